//! Each rule that the server holds, dropped: what goes wrong then, and that it does not else.

use super::*;

/// Runs of call 4 after the story is told to a server without the rule, and to one with all.
#[track_caller]
fn only_without(rule: Rule, story: fn(&mut Bench) -> usize) {
    assert_eq!(story(&mut Bench::new()), 0, "all rules hold");
    assert_eq!(story(&mut Bench::dropping(rule)), 1, "without {rule:?}");
}

#[test]
fn refusal_that_is_not_recorded() {
    only_without(Rule::RefusalRecorded, |bench| {
        let peer = bench.open();
        let orphans = [4, 5, 6, 7];
        orphans.iter().for_each(|call| drop(bench.request(&peer, *call, QUICK, b"x")));
        assert_eq!(bench.request(&peer, 8, QUICK, b"y"), [Promise(Reason::TooManyRunning)]);
        orphans.iter().for_each(|call| drop(bench.complete(&peer, *call, b"")));
        bench.request(&peer, 8, QUICK, b"y");
        bench.runs(&peer, 8)
    });
}

#[test]
fn implicit_sessions() {
    only_without(Rule::NoImplicitSessions, |bench| {
        let peer = bench.open();
        // Another life, same rules.
        let rules = bench.server.common.rules;
        bench.server = Server::new(config(), methods(), Seed::from_number(9), bench.now).unwrap();
        bench.server.common.rules = rules;
        bench.request(&peer, 4, QUICK, b"x");
        bench.runs(&peer, 4)
    });
}

#[test]
fn birth_that_never_dies() {
    only_without(Rule::BirthDies, |bench| {
        let mut peer = bench.open();
        bench.pass(40 * SECOND);
        let moved = route("192.0.2.1:1001");
        let heard = bench.send(&moved, 1, ping(&peer, Proofs::default()));
        let [Heard { said: Said::Challenge(path), .. }] = heard[..] else { panic!("{heard:?}") };
        peer.path = path;
        bench.close(&Peer { ..peer });
        bench.run_for(25 * SECOND);
        let late = request(&peer, 4, QUICK, b"x", 90 * SECOND, peer.proofs());
        bench.send(&moved, 1, late);
        bench.runs(&peer, 4)
    });
}

#[test]
fn session_created_by_a_challenges_path() {
    only_without(Rule::OnlyBirthCreates, |bench| {
        let peer = bench.open();
        let moved = route("192.0.2.1:1001");
        let heard = bench.send(&moved, 1, ping(&peer, Proofs::default()));
        let [Heard { said: Said::Challenge(path), .. }] = heard[..] else { panic!("{heard:?}") };
        bench.close(&peer);
        let proofs = Proofs { birth: None, path: Some(path) };
        bench.send(&moved, 1, request(&peer, 4, QUICK, b"x", 10 * SECOND, proofs));
        bench.runs(&peer, 4)
    });
}

#[test]
fn hello_acks_that_mint_one_id() {
    only_without(Rule::HelloAckMints, |bench| {
        let from = route("192.0.2.1:1000");
        let peer = bench.open();
        let heard = bench.send(&from, 1, hello(42));
        let first = heard[0].session;
        bench.pass(SECOND);
        let heard = bench.send(&from, 2, hello(42));
        assert_ne!(first, peer.session);
        usize::from(heard[0].session == first)
    });
}

#[test]
fn smaller_id_that_is_not_stale() {
    only_without(Rule::SmallerIsStale, |bench| {
        let peer = bench.open();
        bench.request(&peer, 8, QUICK, b"x");
        bench.complete(&peer, 8, b"y");
        bench.request(&peer, 4, QUICK, b"x");
        bench.runs(&peer, 4)
    });
}

#[test]
fn live_slot_that_is_evicted() {
    only_without(Rule::NothingEvicted, |bench| {
        let peer = bench.open();
        for call in [4, 5] {
            bench.request(&peer, call, QUICK, b"x");
            bench.complete(&peer, call, b"y");
        }
        bench.pass(SECOND);
        bench.request(&peer, 4, QUICK, b"x");
        bench.runs(&peer, 4) - 1
    });
}

#[test]
fn fence_that_is_not_recorded() {
    only_without(Rule::FenceRecorded, |bench| {
        let peer = bench.open();
        assert_eq!(bench.fence(&peer, 4), [Promise(Reason::Fenced)]);
        bench.request(&peer, 4, QUICK, b"x");
        bench.runs(&peer, 4)
    });
    only_without(Rule::FenceRecorded, |bench| {
        let peer = bench.open();
        bench.request(&peer, 4, SLOW, b"x");
        assert_eq!(bench.fence(&peer, 4), [Promise(Reason::Fenced)]);
        bench.claim();
        bench.runs(&peer, 4)
    });
}

#[test]
fn claim_that_is_not_atomic() {
    only_without(Rule::OneClaim, |bench| {
        let peer = bench.open();
        bench.request(&peer, 4, SLOW, b"x");
        assert_eq!(bench.fence(&peer, 4), [Promise(Reason::Fenced)]);
        bench.claim();
        bench.complete(&peer, 4, b"y");
        assert_eq!(bench.server.running(), 0);
        bench.runs(&peer, 4)
    });
}

#[test]
fn completion_that_names_no_call() {
    only_without(Rule::CompletionNamesCall, |bench| {
        let peer = bench.open();
        bench.request(&peer, 4, QUICK, b"old");
        bench.request(&peer, 8, QUICK, b"new");
        let wrong = bench.complete(&peer, 4, b"OLD");
        bench.complete(&peer, 8, b"NEW");
        assert_eq!(bench.server.running(), 0);
        usize::from(wrong == [reply(b"OLD")])
    });
}

#[test]
fn want_of_room_that_is_said_as_a_promise() {
    let mut bench = Bench::new();
    bench.open();
    let full = bench.server.memory();
    for (dropped, expected) in [
        (None, Refusal(Reason::NoRoomForRecord)),
        (Some(Rule::NoRoomIsNoRefusal), Promise(Reason::NoRoomForRecord)),
    ] {
        let mut bench = Bench::with(ServerConfig { record_memory: full, ..config() });
        dropped.into_iter().for_each(|rule| bench.server.drop_rule(rule));
        let peer = bench.open();
        assert_eq!(bench.request(&peer, 4, QUICK, b"x"), [expected]);
    }
}

#[test]
fn expiry_that_is_not_checked() {
    only_without(Rule::ExpiryAtStart, |bench| {
        let peer = bench.open();
        bench.run_for(20 * SECOND);
        bench.request(&peer, 4, QUICK, b"x");
        bench.runs(&peer, 4)
    });
    only_without(Rule::ExpiryAtStart, |bench| {
        let peer = bench.open();
        bench.request(&peer, 4, SLOW, b"x");
        bench.run_for(20 * SECOND);
        bench.claim();
        bench.runs(&peer, 4)
    });
}
