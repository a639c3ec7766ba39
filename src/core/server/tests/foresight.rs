//! Foreseeing: without effect, whatever it is given.

use super::*;
use crate::core::Prf;

/// A server with sessions, of which some have had calls, and datagrams for all of them and for none.
fn populated() -> (Bench, Vec<Vec<u8>>) {
    let mut bench = Bench::new();
    let mut datagrams = vec![Vec::new(), vec![0; 7], vec![0xff; 47], vec![0xff; 48]];
    for n in 0..100 {
        let peer = bench.open();
        for call in W..W + n % 3 {
            bench.request(&peer, call, QUICK, b"body");
            bench.complete(&peer, call, b"reply");
        }
        for (session, call) in [(peer.session, W), (SessionId(n), 9), (peer.session, u64::MAX)] {
            let peer = Peer { session, ..peer };
            let message = request(&peer, call, QUICK, b"body", 10 * SECOND, Proofs::default());
            let mut bytes = Vec::new();
            Datagram { attempt: 1, message }.emit(&mut bytes);
            datagrams.push(bytes[..20].to_vec());
            datagrams.push(bytes);
        }
    }
    (bench, datagrams)
}

fn all(datagrams: &[Vec<u8>]) -> impl Iterator<Item = &[u8]> {
    datagrams.iter().map(Vec::as_slice)
}

#[test]
fn foreseeing_changes_nothing() {
    let (bench, datagrams) = populated();
    let before = bench.server.clone();
    bench.server.foresee(all(&datagrams));
    assert_eq!(bench.server, before);
    let counted = |server: &Server| format!("{:?}", server.counters());
    assert_eq!(counted(&bench.server), counted(&before));
}

#[test]
fn what_is_foreseen_is_handled_as_what_is_not() {
    let (mut bench, datagrams) = populated();
    let (mut blind, _) = populated();
    assert_eq!(bench.server, blind.server);
    let route = route("192.0.2.1:1000");
    bench.server.foresee(all(&datagrams));
    for datagram in &datagrams {
        let heard = bench.raw(&route, datagram);
        assert_eq!(said(&heard), said(&blind.raw(&route, datagram)));
    }
    assert_eq!(bench.server, blind.server);
    assert_eq!(bench.started, blind.started);
}

#[test]
fn garbage_of_every_length_is_foreseen_without_harm() {
    let (bench, _) = populated();
    let before = bench.server.clone();
    let mut dice = Prf::new(&Seed::from_number(3), "garbage");
    let garbage: Vec<Vec<u8>> =
        (0..200).map(|length| (0..length).map(|_| dice.below(256) as u8).collect()).collect();
    bench.server.foresee(all(&garbage));
    // None yet, so that nothing can be found.
    Bench::new().server.foresee(all(&garbage));
    bench.server.foresee([]);
    assert_eq!(bench.server, before);
}
