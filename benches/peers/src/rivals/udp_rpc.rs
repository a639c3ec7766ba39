//! This project, through what its users have: `Server` with the built-in calculator,
//! `BlockingClient` and `Client`. At-most-once, checksums and all limits are on, as ever.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::time::{Duration, Instant};

use prost::Message;
use udp_rpc::client::{BlockingClient, CallHandle, Client, Method, Options};
use udp_rpc::core::Reply;
use udp_rpc::server::Server;
use udp_rpc::service::{self, Registry, builtin};

use super::closed_loop;
use crate::measure::{Recorder, Sample};
use crate::operands::{Number, Operands, Source, random};
use crate::settings::{Error, Load, Serve};

/// Adds two numbers.
pub(super) const ADD: &str = "udprpc.v1.Calculator/Add";

/// Adds two numbers after a while of work.
const BURN: &str = "peers.Slow/Add";

pub(super) fn serve(serve: &Serve) -> Result<(), Error> {
    let mut registry = Registry::new();
    builtin::install(&mut registry)?;
    let rounds = serve.burn;
    registry.add(service::Method::inline(BURN, move |_, request, reply| {
        burn(rounds);
        let operands = Operands::decode(request)
            .map_err(|error| service::Status::invalid_argument(error.to_string()))?;
        reply.extend(Number { value: operands.sum() }.encode_to_vec());
        Ok(())
    }))?;
    let server = Server::builder(registry)
        .listen(serve.listen)
        .threads(serve.threads)
        .busy_poll(serve.busy_poll)
        .config(|config| {
            // All sessions are of one host here.
            let sessions = serve.sessions + 1024;
            config.max_sessions = config.max_sessions.max(sessions);
            config.max_sessions_per_source = config.max_sessions_per_source.max(sessions);
            config.record_memory = config.record_memory.max(sessions * 1024);
        })
        .bind()?;
    super::listening(server.local_addrs()[0], "")?;
    Ok(server.run()?)
}

/// Works for so many rounds.
fn burn(rounds: u64) {
    let mut state = 1;
    for _ in 0..rounds {
        std::hint::black_box(random(&mut state));
    }
}

/// How many rounds take so long on this machine, now: the best of some tries, since whatever
/// disturbs only lengthens. Work is counted in rounds, not in time: a thread that has to wait for
/// its core has not worked meanwhile.
pub(crate) fn burn_rounds(time: Duration) -> u64 {
    const TRIED: u64 = 1_000_000;
    let once = || {
        let begin = Instant::now();
        burn(TRIED);
        begin.elapsed()
    };
    let best = (0..20).map(|_| once()).min().unwrap_or_default();
    (time.as_secs_f64() / best.as_secs_f64() * TRIED as f64) as u64
}

fn method(load: &Load) -> Method {
    Method::from(if load.burn { BURN } else { ADD })
}

fn sum(reply: &Reply) -> Result<i64, Error> {
    Ok(Number::decode(reply.body.as_slice())?.value)
}

/// A caller with so many calls in flight: makes one for each that ends.
struct Caller {
    client: BlockingClient,
    method: Method,
    options: Options,
    source: Source,
    request: Vec<u8>,
    /// Calls that are timed, and what they are to bring.
    timed: HashMap<CallHandle, (Instant, Operands), BuildHasherDefault<Plain>>,
}

/// A hash for handles, which are numbers that nobody else chooses.
#[derive(Default)]
struct Plain(u64);

impl Hasher for Plain {
    fn finish(&self) -> u64 {
        self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0 << 8 | u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 ^= number;
    }

    fn write_u32(&mut self, number: u32) {
        self.0 = self.0 << 32 | u64::from(number);
    }
}

impl Caller {
    fn new(load: &Load) -> Result<Self, Error> {
        let mut caller = Self {
            client: BlockingClient::builder().busy_poll(load.busy_poll).connect(load.server)?,
            method: method(load),
            options: Options::default(),
            source: Source::new(load.random),
            request: Vec::new(),
            timed: HashMap::default(),
        };
        // As the others connect before anything counts.
        let request = caller.source.next().encode_to_vec();
        caller.client.call_raw(&caller.method, &request, &caller.options)?;
        Ok(caller)
    }

    fn submit(&mut self, recorder: &mut Recorder) -> CallHandle {
        let operands = self.source.next();
        let begun = recorder.begin();
        self.request.clear();
        operands.encode(&mut self.request).expect("a vector has room");
        let handle = self.client.submit(&self.method, &self.request, &self.options);
        if let Some(begun) = begun {
            self.timed.insert(handle, (begun, operands));
        }
        handle
    }

    /// Notes the end of a call; whether the run goes on.
    fn note(
        &mut self,
        recorder: &mut Recorder,
        handle: CallHandle,
        result: Result<Reply, impl std::fmt::Display>,
    ) -> bool {
        let timed = self.timed.remove(&handle);
        let reply = match result {
            Ok(reply) => reply,
            Err(error) => return recorder.fail(error),
        };
        match (sum(&reply), timed) {
            (Ok(sum), Some((_, operands))) if sum != operands.sum() => {
                recorder.fail(format!("{operands:?} is not {sum}"))
            }
            (Ok(_), timed) => recorder.end(timed.map(|timed| timed.0)),
            (Err(error), _) => recorder.fail(error),
        }
    }

    /// Makes calls until the run is over.
    fn run(&mut self, load: &Load, mut recorder: Recorder) -> Sample {
        for _ in 0..load.depth {
            self.submit(&mut recorder);
        }
        loop {
            let ended = if load.lossy {
                let left = recorder.over().saturating_duration_since(Instant::now());
                self.client.wait_any_timeout(left)
            } else {
                self.client.wait_any()
            };
            let goes_on = match ended {
                Some((handle, result)) => self.note(&mut recorder, handle, result),
                None => false,
            };
            if !goes_on {
                return recorder.finish(self.timed.values().map(|timed| timed.0));
            }
            self.submit(&mut recorder);
        }
    }
}

/// One `BlockingClient`.
pub(super) fn load(load: &Load) -> Result<Sample, Error> {
    let mut caller = Caller::new(load)?;
    Ok(caller.run(load, Recorder::new(load)))
}

/// Many of them on one thread, waited for in turn: as the raw echo's sockets.
pub(super) fn load_in_turn(load: &Load) -> Result<Sample, Error> {
    let mut callers = Vec::new();
    for _ in 0..load.clients {
        callers.push(Caller::new(load)?);
    }
    let mut recorder = Recorder::new(load);
    let mut flying = Vec::new();
    for caller in &mut callers {
        flying.push(caller.submit(&mut recorder));
        caller.client.flush();
    }
    loop {
        for (caller, handle) in callers.iter_mut().zip(&mut flying) {
            let result = caller.client.wait(*handle);
            if !caller.note(&mut recorder, *handle, result) {
                let timed = callers.iter().flat_map(|caller| caller.timed.values());
                let begun: Vec<Instant> = timed.map(|timed| timed.0).collect();
                return Ok(recorder.finish(begun));
            }
            *handle = caller.submit(&mut recorder);
            // Others are waited for first.
            caller.client.flush();
        }
    }
}

/// Many of them, each on a thread of its own.
pub(super) fn load_from_threads(load: &Load) -> Result<Sample, Error> {
    let threads: Vec<_> = (0..load.clients)
        .map(|_| {
            let load = load.clone();
            std::thread::spawn(move || {
                let mut caller = Caller::new(&load)?;
                let recorder = Recorder::new(&load);
                Ok::<_, Error>(caller.run(&load, recorder))
            })
        })
        .collect();
    let mut all = Sample::default();
    for thread in threads {
        let one = thread.join().map_err(|_| "a client's thread has panicked")??;
        all.calls += one.calls;
        all.errors += one.errors;
        all.calls_per_s += one.calls_per_s;
        all.seconds = all.seconds.max(one.seconds);
        all.first_error = all.first_error.or(one.first_error);
        // Of percentiles of several, the worst.
        all.p50_us = all.p50_us.max(one.p50_us);
        all.p90_us = all.p90_us.max(one.p90_us);
        all.p99_us = all.p99_us.max(one.p99_us);
        all.p999_us = all.p999_us.max(one.p999_us);
        all.max_us = all.max_us.max(one.max_us);
    }
    Ok(all)
}

/// The `Client` that has a thread of its own, from asynchronous tasks.
pub(super) async fn load_async(load: &Load) -> Result<Sample, Error> {
    let client = Client::builder().busy_poll(load.busy_poll).connect(load.server)?;
    let method = method(load);
    let request = Source::new(load.random).next().encode_to_vec();
    client.call_raw(&method, &request, &Options::default()).await?;
    closed_loop::run(load, move |operands| {
        let call = client.call_raw(&method, &operands.encode_to_vec(), &Options::default());
        async move { sum(&call.await?) }
    })
    .await
}
