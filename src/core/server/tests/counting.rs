//! Whatever is received: counted once, answered by no more than came, and never a panic.

use proptest::prelude::*;

use super::*;

#[test]
fn names_of_counts_are_distinct() {
    let counters = Counters::default();
    let names: std::collections::BTreeSet<_> = counters.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), counters.iter().count());
}

#[test]
fn received_family_adds_up() {
    let mut bench = Bench::new();
    let peer = bench.open();
    bench.request(&peer, 4, QUICK, b"x");
    bench.request(&peer, 4, QUICK, b"x");
    bench.raw(&peer.route, b"");
    bench.raw(&peer.route, &[0; 48]);
    bench.request(&Peer { route: route("10.0.0.1:1"), ..peer }, 4, QUICK, b"x");
    let family = bench.server.counters().iter().filter(|(name, _)| name.starts_with("received."));
    assert_eq!(family.map(|(_, count)| count).sum::<u64>(), 7);
    assert_eq!(bench.server.counters().datagrams(), 7);
}

/// Kind, call, expiry, body, whose session and with which proofs, where to damage which bits.
type Anything = (u8, u64, u64, Vec<u8>, u8, Option<(usize, u8)>);

/// A datagram of a client, perhaps with proofs of the peer, perhaps damaged.
fn anything() -> impl Strategy<Value = Anything> {
    let body = proptest::collection::vec(any::<u8>(), 0..200);
    let damage = proptest::option::weighted(0.2, (0usize..300, 1u8..));
    (0u8..9, 0u64..20, 0u64..70_000_000, body, 0u8..4, damage)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn unproved_addresses_get_at_most_one_datagram_for_one_and_not_longer(
        inputs in proptest::collection::vec(anything(), 1..40),
    ) {
        let mut bench = Bench::new();
        let peer = bench.open();
        let unborn = bench.hello(&route("192.0.2.1:1000"));
        let stranger = route("203.0.113.9:99");
        for (kind, call, expiry, body, with, damage) in inputs {
            let (session, call) = (if with & 1 == 0 { &peer } else { &unborn }, CallId(call));
            let proofs = if with & 2 == 0 { Proofs::default() } else { session.proofs() };
            let session = session.session;
            let mut bytes = Vec::new();
            let message = match kind {
                0 => hello(5),
                1 => FromClient::Request {
                    session, call, expiry, method: QUICK, flags: Flags::WHOLE, cell: 0, proofs,
                    metadata: MetadataRef::EMPTY,unknown_critical: false, options: &[], body: &body,
                },
                2 => FromClient::Ack { session, call, hold_us: 1, credit: 1, cell: 1, proofs },
                3 => FromClient::Fence { session, call, proofs },
                4 => FromClient::Status { session, call, proofs },
                5 => FromClient::Ping { session, call, proofs },
                _ => FromClient::Close { session, proofs },
            };
            Datagram { attempt: 1, message }.emit(&mut bytes);
            if kind == 8 {
                bytes = body;
            }
            if let Some((at, bits)) = damage {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= bits;
                }
                if at % 2 == 0 {
                    crate::wire::seal(&mut bytes);
                }
            }
            let before = bench.server.sessions();
            let heard = bench.raw(&stranger, &bytes);
            prop_assert!(heard.len() <= 1);
            for heard in heard {
                prop_assert!(heard.len <= bytes.len());
                prop_assert_eq!(heard.to, stranger.remote);
            }
            prop_assert_eq!(bench.server.sessions(), before);
            prop_assert!(bench.started.is_empty());
            bench.pass(300_000);
        }
    }
}

#[test]
fn every_prefix_and_every_bit_flip_of_a_request_does_nothing() {
    let mut bench = Bench::new();
    let peer = bench.open();
    let mut bytes = Vec::new();
    let message = request(&peer, 4, QUICK, b"body", 10 * SECOND, peer.proofs());
    Datagram { attempt: 1, message }.emit(&mut bytes);
    for length in 0..bytes.len() {
        assert!(bench.raw(&peer.route, &bytes[..length]).is_empty());
    }
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(bench.raw(&peer.route, &bytes).is_empty(), "bit {bit}");
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    assert_eq!(bench.started, []);
    bench.raw(&peer.route, &bytes);
    assert_eq!(bench.runs(&peer, 4), 1);
}
