//! The client core and the real server core, with a path between them that loses, duplicates and
//! delays. A counter behind the server makes double execution visible.

use std::collections::BTreeMap;

use super::*;
use crate::core::fault::{Faults, FaultyPath};
use crate::core::server::{CallKey, End, Execution, MethodSpec, Route, Server, ServerConfig};

const INCREMENT: MethodId = MethodId::of("test.Counter/Increment");
const GET: MethodId = MethodId::of("test.Counter/Get");
const SLOW: MethodId = MethodId::of("test.Counter/Slow");

/// How long a call of `SLOW` runs.
const SLOWNESS: Duration = Duration::from_millis(1500);

struct Pair {
    client: Client,
    server: Option<Server>,
    now: Time,
    /// Where the client's datagrams come from.
    local: SocketAddr,
    outward: FaultyPath<(Vec<u8>, SocketAddr)>,
    inward: FaultyPath<(Vec<u8>, SocketAddr)>,
    /// How often each call's handler ran, over all lives of the server.
    runs: BTreeMap<CallKey, u32>,
    running: Vec<(Time, CallKey)>,
    ended: BTreeMap<CallHandle, Result<Reply, CallError>>,
    lives: u64,
    progressed: u32,
}

impl Pair {
    fn new(faults: Faults, seed: u64) -> Self {
        let client = Client::new(ClientConfig::default(), vec![server()], Seed::from_number(seed));
        let mut pair = Self {
            client,
            server: None,
            now: Time::from_micros(1_000_000),
            local: "198.51.100.7:1000".parse().unwrap(),
            outward: FaultyPath::new(faults, &Seed::from_number(seed + 1)),
            inward: FaultyPath::new(faults, &Seed::from_number(seed + 2)),
            runs: BTreeMap::new(),
            running: Vec::new(),
            ended: BTreeMap::new(),
            lives: 0,
            progressed: 0,
        };
        pair.start_server();
        pair
    }

    /// Starts the server, in a new life.
    fn start_server(&mut self) {
        self.lives += 1;
        let methods = vec![
            MethodSpec::new(INCREMENT, Execution::Inline),
            MethodSpec::new(GET, Execution::Inline),
            MethodSpec::new(SLOW, Execution::Queued),
        ];
        let seed = Seed::from_number(1000 + self.lives);
        let config = ServerConfig::default();
        self.server = Some(Server::new(config, methods, seed, self.now).unwrap());
    }

    fn crash(&mut self) {
        self.server = None;
        self.running.clear();
    }

    fn call(&mut self, method: MethodId, timeout: Duration) -> CallHandle {
        let deadline = self.now + timeout;
        let no_side_effects = method == GET;
        let call = NewCall {
            method,
            metadata: Metadata::new(),
            body: Vec::new(),
            deadline,
            no_side_effects,
            retry: None,
        };
        self.client.call(self.now, call)
    }

    fn serve(&mut self, from: SocketAddr, datagram: &[u8]) {
        let Some(server) = &mut self.server else { return };
        let route = Route { remote: from, local: None, socket: 0 };
        if let Some(start) = server.handle_datagram(self.now, &route, datagram) {
            *self.runs.entry(start.key).or_default() += 1;
            let body = u64::try_from(self.runs.len()).unwrap().to_be_bytes();
            server.complete(
                self.now,
                start.key,
                End::Done { status: Code::Ok, metadata: MetadataRef::EMPTY, body: &body },
            );
        }
        while let Some(job) = server.claim(self.now) {
            *self.runs.entry(job.key).or_default() += 1;
            self.running.push((self.now + SLOWNESS, job.key));
        }
    }

    /// Moves everything that moves now.
    fn turn(&mut self) {
        while self.step() {}
    }

    /// Moves what moves now; whether anything did.
    fn step(&mut self) -> bool {
        let mut sent = false;
        if self.client.poll_timeout().is_some_and(|at| at <= self.now) {
            self.client.handle_timeout(self.now);
        }
        let mut out = Vec::new();
        while let Some(transmit) = self.client.poll_transmit(self.now, &mut out) {
            assert_eq!(transmit.remote, server());
            sent = true;
            for datagram in out.chunks(transmit.segment_size.unwrap_or(transmit.size)) {
                self.outward.push(self.now, (datagram.to_vec(), self.local));
            }
            out.clear();
        }
        while let Some((datagram, from)) = self.outward.poll(self.now) {
            self.serve(from, &datagram);
        }
        if let Some(server) = &mut self.server {
            for (at, key) in std::mem::take(&mut self.running) {
                if at <= self.now {
                    server.complete(
                        self.now,
                        key,
                        End::Done { status: Code::Ok, metadata: MetadataRef::EMPTY, body: b"slow" },
                    );
                } else {
                    self.running.push((at, key));
                }
            }
            if server.poll_timeout().is_some_and(|at| at <= self.now) {
                server.handle_timeout(self.now);
            }
            while server.poll_event().is_some() {}
            out.clear();
            while let Some(transmit) = server.poll_transmit(self.now, &mut out) {
                let size = transmit.segment_size.unwrap_or(transmit.size);
                for datagram in out.chunks(size) {
                    let item = (datagram.to_vec(), transmit.route.remote);
                    self.inward.push(self.now, item);
                    sent = true;
                }
                out.clear();
            }
        }
        while let Some((datagram, to)) = self.inward.poll(self.now) {
            sent = true;
            if to == self.local {
                let progress = parse_from_server_kind(&datagram);
                self.progressed += u32::from(progress);
                self.client.handle_datagram(self.now, server(), &datagram);
            }
        }
        while let Some(event) = self.client.poll_event() {
            if let Event::Ended { handle, result } = event {
                assert!(self.ended.insert(handle, result).is_none(), "{handle:?} ended twice");
            }
        }
        sent
    }

    /// Lets time pass until `done`.
    fn run_until(&mut self, mut done: impl FnMut(&Self) -> bool) {
        for _ in 0..2_000_000 {
            self.turn();
            if done(self) {
                return;
            }
            let next = [
                self.client.poll_timeout(),
                self.server.as_ref().and_then(Server::poll_timeout),
                self.outward.poll_timeout(),
                self.inward.poll_timeout(),
                self.running.iter().map(|(at, _)| *at).min(),
            ];
            let soonest = next.into_iter().flatten().min().expect("something is to happen");
            self.now = self.now.max(soonest).max(self.now + Duration::from_micros(1));
        }
        panic!("it never ends");
    }

    fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.now < end {
            self.turn();
            self.now = self.now + 5 * MS;
        }
    }

    /// Makes `total` increments, `at_once` in progress.
    fn increments(&mut self, total: usize, at_once: usize) -> Vec<Result<Reply, CallError>> {
        let mut handles = Vec::new();
        while handles.len() < total.min(at_once) {
            handles.push(self.call(INCREMENT, 60 * SECOND));
        }
        let before = self.ended.len();
        loop {
            let known = self.ended.len();
            self.run_until(|pair| pair.ended.len() > known);
            while handles.len() < total && handles.len() - (self.ended.len() - before) < at_once {
                handles.push(self.call(INCREMENT, 60 * SECOND));
            }
            if self.ended.len() - before == total {
                return handles.iter().map(|h| self.ended.remove(h).unwrap()).collect();
            }
        }
    }

    fn run_once_each(&self) -> bool {
        self.runs.values().all(|runs| *runs == 1)
    }
}

fn parse_from_server_kind(datagram: &[u8]) -> bool {
    matches!(
        crate::wire::parse_from_server(datagram),
        Ok(Datagram { message: FromServer::Progress { .. }, .. })
    )
}

fn path(loss: f64, duplicate: f64) -> Faults {
    Faults { loss, duplicate, delay: 10 * MS, jitter: 5 * MS, ..Faults::default() }
}

#[test]
fn clean_path_takes_one_attempt_for_each_call() {
    let mut pair = Pair::new(path(0.0, 0.0), 1);
    let ends = pair.increments(500, 64);
    assert!(ends.iter().all(Result::is_ok));
    assert_eq!(pair.runs.len(), 500);
    assert!(pair.run_once_each());
    let attempts: u32 = ends.iter().flatten().map(|reply| reply.attempts).sum();
    assert!(attempts <= 505, "{attempts} attempts");
}

#[test]
fn lossy_and_duplicating_path_runs_every_call_exactly_once() {
    let mut pair = Pair::new(path(0.3, 0.2), 2);
    let ends = pair.increments(2000, 64);
    let failed: Vec<_> = ends.iter().filter_map(|end| end.as_ref().err()).collect();
    assert!(failed.is_empty(), "{failed:?}");
    assert_eq!(pair.runs.len(), 2000);
    assert!(pair.run_once_each());
}

/// The time within which all but one call in so many end, for a path without jitter.
fn nearly_all_within(loss: f64, one_in: usize) -> Duration {
    let faults = Faults { loss, delay: MS / 2, ..Faults::default() };
    let mut pair = Pair::new(faults, 4);
    let ends = pair.increments(5000, 64);
    let mut elapsed: Vec<Duration> = ends.iter().flatten().map(|reply| reply.elapsed).collect();
    assert_eq!(elapsed.len(), 5000, "all end Ok");
    assert!(pair.run_once_each());
    elapsed.sort();
    elapsed[elapsed.len() - 1 - elapsed.len() / one_in]
}

#[test]
fn loss_among_many_calls_is_mended_in_a_few_round_trips() {
    // A round trip takes 1 ms, the RTO is 10 ms at least.
    let p99 = nearly_all_within(0.01, 100);
    assert!(p99 <= 4 * MS, "{p99:?}");
    let p99 = nearly_all_within(0.05, 100);
    assert!(p99 <= 9 * MS, "{p99:?}");
}

#[test]
fn slow_handler_runs_once_and_its_client_does_not_drum() {
    let mut pair = Pair::new(path(0.0, 0.0), 3);
    let handle = pair.call(SLOW, 10 * SECOND);
    pair.run_until(|pair| pair.ended.contains_key(&handle));
    let reply = pair.ended.remove(&handle).unwrap().unwrap();
    assert_eq!(reply.body, b"slow");
    assert!(pair.run_once_each());
    assert!(pair.progressed > 0);
    assert!(reply.attempts <= 15, "{} attempts", reply.attempts);
}

#[test]
fn client_that_changes_its_address_in_a_call_gets_its_reply_there() {
    let mut pair = Pair::new(path(0.0, 0.0), 4);
    let handle = pair.call(SLOW, 10 * SECOND);
    pair.pass(500 * MS);
    pair.local = "203.0.113.9:7".parse().unwrap();
    pair.run_until(|pair| pair.ended.contains_key(&handle));
    assert!(pair.ended[&handle].is_ok(), "{:?}", pair.ended[&handle]);
    assert!(pair.run_once_each());
}

#[test]
fn server_that_crashes_and_restarts_never_runs_a_call_in_two_lives() {
    for seed in 0..20 {
        let mut pair = Pair::new(path(0.1, 0.1), 10 * seed + 5);
        let handles: Vec<_> = (0..50).map(|_| pair.call(INCREMENT, 5 * SECOND)).collect();
        pair.pass((30 + 3 * seed) as u32 * MS);
        pair.crash();
        pair.pass(300 * MS);
        pair.start_server();
        pair.run_until(|pair| pair.ended.len() == handles.len());
        assert!(pair.run_once_each());
        let ok = pair.ended.values().filter(|end| end.is_ok()).count();
        let unknown = pair
            .ended
            .values()
            .filter(|end| matches!(end, Err(e) if e.outcome == Outcome::Unknown))
            .count();
        let ran = pair.runs.len();
        assert!(ran >= ok && ran <= ok + unknown, "{ok} OK, {unknown} unknown, {ran} ran");
        // New calls work at once.
        let next = pair.call(INCREMENT, 5 * SECOND);
        pair.run_until(|pair| pair.ended.contains_key(&next));
        assert!(pair.ended[&next].is_ok(), "{:?}", pair.ended[&next]);
    }
}

#[test]
fn idle_client_finds_a_restarted_server_without_an_unknown() {
    let mut pair = Pair::new(path(0.0, 0.0), 6);
    assert!(pair.increments(1, 1)[0].is_ok());
    pair.crash();
    pair.pass(3 * SECOND);
    pair.start_server();
    let ends = pair.increments(1, 1);
    assert_eq!(ends[0].as_ref().map(|reply| reply.issues), Ok(1));
    assert_eq!(pair.runs.len(), 2);
}

#[test]
fn call_without_side_effects_lives_through_a_restart_and_says_so() {
    let mut pair = Pair::new(path(0.0, 0.0), 7);
    assert!(pair.increments(1, 1)[0].is_ok());
    // The session is known and recently heard; the next copy goes to a new life.
    pair.crash();
    pair.start_server();
    let handle = pair.call(GET, 5 * SECOND);
    pair.run_until(|pair| pair.ended.contains_key(&handle));
    let reply = pair.ended.remove(&handle).unwrap().unwrap();
    assert_eq!((reply.issues, reply.at_least_once), (2, true));
}

#[test]
fn cancelled_call_is_fenced_or_answered_and_never_both() {
    for seed in 0..20 {
        let mut pair = Pair::new(path(0.2, 0.2), 100 + seed);
        assert!(pair.increments(1, 1)[0].is_ok());
        let handle = pair.call(INCREMENT, 20 * SECOND);
        pair.turn();
        pair.client.cancel(pair.now, handle);
        pair.run_until(|pair| pair.ended.contains_key(&handle));
        pair.pass(SECOND);
        match &pair.ended[&handle] {
            Ok(_) => assert_eq!(pair.runs.len(), 2),
            Err(error) => {
                assert_eq!((error.code, pair.runs.len()), (Code::Cancelled, 1), "{error}");
                assert_eq!(error.outcome, promised(Reason::Fenced));
            }
        }
    }
}

#[test]
fn draining_server_refuses_by_promise_until_another_takes_over() {
    let mut pair = Pair::new(path(0.0, 0.0), 8);
    assert!(pair.increments(1, 1)[0].is_ok());
    let now = pair.now;
    pair.server.as_mut().unwrap().drain(now);
    let handle = pair.call(INCREMENT, 20 * SECOND);
    pair.pass(SECOND);
    assert!(pair.ended.is_empty());
    pair.crash();
    pair.start_server();
    pair.run_until(|pair| pair.ended.contains_key(&handle));
    let reply = pair.ended.remove(&handle).unwrap().unwrap();
    assert!(reply.issues > 1 && !reply.at_least_once, "{reply:?}");
    assert_eq!(pair.runs.len(), 2);
}

#[test]
fn fence_by_token_and_the_clients_own_view_agree() {
    let mut pair = Pair::new(path(0.0, 0.0), 9);
    let handle = pair.call(SLOW, 10 * SECOND);
    pair.pass(100 * MS);
    let token = pair.client.token(handle).unwrap();
    let deadline = pair.now + 5 * SECOND;
    let fate = |pair: &mut Pair| {
        let mut inquiry =
            Inquiry::new(pair.now, token, Asked::Status, deadline, Seed::from_number(3));
        let asker = "198.51.100.8:2".parse().unwrap();
        let mut out = Vec::new();
        for _ in 0..3 {
            while inquiry.poll_transmit(pair.now, &mut out).is_some() {
                pair.serve(asker, &std::mem::take(&mut out));
            }
            let server_core = pair.server.as_mut().unwrap();
            while let Some(transmit) = server_core.poll_transmit(pair.now, &mut out) {
                let answer = std::mem::take(&mut out);
                if transmit.route.remote == asker {
                    inquiry.handle_datagram(pair.now, server(), &answer);
                }
            }
        }
        inquiry.fate()
    };
    assert_eq!(fate(&mut pair), Some(Fate::InProgress(SlotState::Running)));
    pair.run_until(|pair| pair.ended.contains_key(&handle));
    let ran =
        Fate::Executed { status: Code::Ok, metadata: Metadata::new(), body: b"slow".to_vec() };
    assert_eq!(fate(&mut pair), Some(ran));
}
