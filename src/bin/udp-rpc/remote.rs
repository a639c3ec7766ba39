//! The server as the subcommands see it: one client, one session, one deadline, Ctrl-C.
//!
//! This is the only place that knows the library's client. It measures what `-v` prints, writes
//! the transcript of `-vv`, and sees to it that an interrupted call is fenced.

mod another;
mod pipeline;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use prost::Message;
use prost_reflect::DescriptorPool;
use udp_rpc::client::{
    BlockingClient, CallHandle, DEFAULT_TIMEOUT, Method as Called, Options, Pong,
};
use udp_rpc::core::fault::Faults;
use udp_rpc::core::{CallError, CallToken, Outcome, Proof, Reply};
use udp_rpc::service::Idempotency;
use udp_rpc::service::generated::v1::{DescribeReply, DescribeRequest, MethodSummary};
use udp_rpc::wire::{Code, Metadata};

use crate::args::{Format, Global, Hurt};
use crate::failure::{Ended, Failure};
use crate::fetch::{Parts, Trouble};
use crate::interrupt::{Interrupts, SLICE};
use crate::metadata;
use crate::names;
use crate::schema::{self, Method};
use crate::traffic::{self, Meter};
use crate::units;

pub(crate) use pipeline::Pipeline;

/// How long an interrupted call's fence is waited for.
pub(crate) const GRACE: Duration = Duration::from_secs(1);

/// How often a description is fetched whose parts do not fit together, before that is an error: a
/// server is not restarted again and again within one timeout.
const DESCRIBES_MAX: u32 = 3;

/// Parts of a description that are asked for at once.
const PARTS_AT_ONCE: usize = 16;

/// The method that resolves a name and tells the types.
const DESCRIBE: &str = "udprpc.v1.Reflection/Describe";

/// A server.
pub(crate) struct Remote {
    client: BlockingClient,
    server: String,
    timeout: Duration,
    opened: Instant,
    interrupts: Interrupts,
    meter: Meter,
    verbose: u8,
    format: Format,
    told: Option<Told>,
    /// What goes with every request.
    metadata: Metadata,
}

/// What `-v` says of the last call; of many calls it says only what all of them took.
#[derive(Debug, Default)]
struct Told {
    attempts: u32,
    issues: u32,
    elapsed: Duration,
    at_least_once: bool,
    token: Option<CallToken>,
    /// What came with the answer.
    metadata: Metadata,
}

/// A description, as far as a server has one.
pub(crate) struct Described {
    /// What it says of a method; `None` if it is none.
    pub(crate) summary: Option<MethodSummary>,
    /// The full name, if it is a service, a message or an enum.
    pub(crate) symbol: String,
    /// The types; `None` for a method of raw bytes.
    pub(crate) pool: Option<DescriptorPool>,
}

/// A call under way.
struct Running {
    handle: CallHandle,
    began: Instant,
    /// REQUESTs that had been sent before it.
    sent_before: u32,
}

/// A reply, and whether Ctrl-C was pressed before it came.
pub(crate) struct Answer {
    pub(crate) reply: Reply,
    pub(crate) interrupted: bool,
}

/// The faults that the options ask for.
pub(crate) fn faults(hurt: &Hurt) -> Faults {
    Faults { loss: hurt.loss, duplicate: hurt.duplicate, delay: hurt.delay, ..Faults::NONE }
}

impl Remote {
    /// Resolves the server's name. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// The name does not resolve, or the operating system refuses what a client needs.
    pub(crate) fn open(global: &Global) -> Result<Remote, Failure> {
        let unavailable = |message| Failure::NotSent(Code::Unavailable, message, Vec::new());
        let opened = Instant::now();
        let addresses = global.server.resolve().map_err(unavailable)?;
        let interrupts = Interrupts::install().map_err(|error| unavailable(error.to_string()))?;
        let meter = Meter::default();
        let timeout = global.timeout.unwrap_or(DEFAULT_TIMEOUT);
        let client = another::builder(global)
            .config(|config| config.tokens = global.verbose > 0)
            .observer(meter.observer(global))
            .connect(addresses.as_slice())
            .map_err(|error| unavailable(format!("cannot open a socket: {error}")))?;
        Ok(Remote {
            client,
            server: global.server.to_string(),
            timeout,
            opened,
            interrupts,
            meter,
            verbose: global.verbose,
            format: global.output,
            told: None,
            metadata: Metadata::new(),
        })
    }

    /// Resolves a method's name and fetches its types.
    ///
    /// # Errors
    ///
    /// No such function, or why nobody could say; of the call that it was for, nothing was sent.
    pub(crate) fn describe(&mut self, name: &str) -> Result<Method, Failure> {
        let request = DescribeRequest { name: name.to_owned(), ..Default::default() };
        let Described { summary, pool, .. } = self.fetch(request)?;
        let summary = summary.ok_or_else(|| Failure::unsound(name, "it names no method"))?;
        Method::new(summary, pool.as_ref()).map_err(|error| Failure::unsound(name, &error))
    }

    /// Fetches a description, part by part.
    ///
    /// # Errors
    ///
    /// As [`describe`](Self::describe).
    pub(crate) fn fetch(&mut self, mut request: DescribeRequest) -> Result<Described, Failure> {
        let query = request.name.clone();
        for _ in 0..DESCRIBES_MAX {
            let mut first = self.describe_from(&request)?;
            let summary = first.method.take();
            // The parts that follow are of this, whatever the name may mean by then.
            if let Some(name) = summary.as_ref().map(|summary| &summary.name) {
                request.name.clone_from(name);
            } else if !first.symbol.is_empty() {
                request.name.clone_from(&first.symbol);
            }
            let fetched = match Parts::begin(&first) {
                Ok(parts) => self.rest(&request, parts)?,
                Err(trouble) => Err(trouble),
            };
            match fetched {
                Ok(set) => {
                    let pool = (!set.is_empty()).then(|| schema::pool(set, self.left()));
                    let pool =
                        pool.transpose().map_err(|error| Failure::unsound(&query, &error))?;
                    return Ok(Described { summary, symbol: first.symbol, pool });
                }
                Err(Trouble::Wrong(why)) => return Err(Failure::unsound(&query, &why)),
                Err(Trouble::Changed) => request.name.clone_from(&query),
            }
        }
        Err(Failure::unsound(&query, "its parts do not fit together, whenever they are asked for"))
    }

    /// Fetches the parts that follow the first, several at a time.
    fn rest(
        &mut self,
        request: &DescribeRequest,
        mut parts: Parts,
    ) -> Result<Result<Vec<u8>, Trouble>, Failure> {
        let mut under_way = VecDeque::new();
        loop {
            while under_way.len() < PARTS_AT_ONCE
                && let Some(offset) = parts.next()
            {
                let request = DescribeRequest { offset, ..request.clone() }.encode_to_vec();
                under_way.push_back(self.submit(DESCRIBE, &request, true, self.left()));
            }
            let Some(running) = under_way.pop_front() else { return Ok(parts.finish()) };
            let part = self.part(&request.name, running)?;
            if let Err(trouble) = parts.take(&part) {
                return Ok(Err(trouble));
            }
        }
    }

    /// One part of a description.
    fn describe_from(&mut self, request: &DescribeRequest) -> Result<DescribeReply, Failure> {
        let running = self.submit(DESCRIBE, &request.encode_to_vec(), true, self.left());
        self.part(&request.name, running)
    }

    fn part(&mut self, name: &str, running: Running) -> Result<DescribeReply, Failure> {
        let reply = match self.finish(running) {
            Ok(Answer { interrupted: false, reply }) => reply,
            Ok(Answer { interrupted: true, .. }) => return Err(self.interrupted_before()),
            Err(failure) => return Err(before_the_call(name, failure)),
        };
        DescribeReply::decode(reply.body.as_slice())
            .map_err(|error| Failure::unsound(name, &error.to_string()))
    }

    /// Calls a method within what is left of the timeout.
    ///
    /// # Errors
    ///
    /// How the call ended.
    pub(crate) fn call(
        &mut self,
        method: &str,
        request: &[u8],
        no_side_effects: bool,
    ) -> Result<Answer, Failure> {
        self.run(method, request, no_side_effects, self.left())
    }

    /// Calls a built-in method without side effects, with the whole timeout to itself.
    ///
    /// # Errors
    ///
    /// How the call ended; a reply that is none.
    pub(crate) fn ask<Rep: Message + Default>(
        &mut self,
        method: &str,
        request: &impl Message,
    ) -> Result<Rep, Failure> {
        let answer = self.run(method, &request.encode_to_vec(), true, self.timeout)?;
        if answer.interrupted {
            return Err(self.interrupted_before());
        }
        Rep::decode(answer.reply.body.as_slice()).map_err(|error| {
            Failure::Answer(format!("its answer is not what it should be: {error}"))
        })
    }

    /// Sends a PING and waits for its PONG.
    ///
    /// # Errors
    ///
    /// Why none came.
    pub(crate) fn ping(&mut self, timeout: Duration) -> Result<Pong, CallError> {
        self.client.ping(timeout)
    }

    /// Ctrl-C.
    pub(crate) fn interrupts(&self) -> &Interrupts {
        &self.interrupts
    }

    /// The server as the user named it, or its address once there is a session.
    pub(crate) fn server(&self) -> String {
        self.client.info().map_or_else(|| self.server.clone(), |info| info.server.to_string())
    }

    /// The same with this metadata in every request, those included that ask what a method takes:
    /// a server that lets only the known in asks them too.
    pub(crate) fn with_metadata(mut self, metadata: Metadata) -> Remote {
        self.metadata = metadata;
        self
    }

    /// Hands over what `-v` would say at the end, if it is to be said, for who says it with more.
    pub(crate) fn take_summary(
        &mut self,
    ) -> Option<(serde_json::Map<String, serde_json::Value>, String)> {
        let is_wanted = std::mem::take(&mut self.verbose) > 0;
        is_wanted.then(|| self.summary())
    }

    fn options(&self, timeout: Duration) -> Options {
        Options { metadata: self.metadata.clone(), ..Options::within(timeout) }
    }

    fn left(&self) -> Duration {
        self.timeout.saturating_sub(self.opened.elapsed())
    }

    /// One call to its end; Ctrl-C fences it.
    fn run(
        &mut self,
        method: &str,
        request: &[u8],
        no_side_effects: bool,
        timeout: Duration,
    ) -> Result<Answer, Failure> {
        let running = self.submit(method, request, no_side_effects, timeout);
        self.finish(running)
    }

    /// Begins a call.
    fn submit(
        &mut self,
        method: &str,
        request: &[u8],
        no_side_effects: bool,
        timeout: Duration,
    ) -> Running {
        names::learn(method);
        let idempotency =
            if no_side_effects { Idempotency::NoSideEffects } else { Idempotency::Unknown };
        let called = Called::new(method).with_idempotency(idempotency);
        let options = self.options(timeout);
        let began = Instant::now();
        let sent_before = self.meter.read().requests;
        let handle = self.client.submit(called, request, &options);
        Running { handle, began, sent_before }
    }

    /// Waits for the end of a call; Ctrl-C fences it.
    fn finish(&mut self, running: Running) -> Result<Answer, Failure> {
        let Running { handle, began, sent_before } = running;
        self.told = None;
        let mut fenced: Option<Instant> = None;
        let result = loop {
            if let Some(result) = self.client.wait_timeout(handle, SLICE) {
                break result;
            }
            match fenced {
                None if self.interrupts.pressed() => {
                    self.client.cancel(handle);
                    fenced = Some(Instant::now());
                }
                Some(since) if since.elapsed() >= GRACE => {
                    let attempts = self.meter.read().requests - sent_before;
                    break Err(self.given_up(handle, attempts, began.elapsed()));
                }
                _ => {}
            }
        };
        let interrupted = self.interrupts.pressed();
        match result {
            Ok(reply) => {
                self.told = Some(Told {
                    attempts: reply.attempts,
                    issues: reply.issues,
                    elapsed: reply.elapsed,
                    at_least_once: reply.at_least_once,
                    token: reply.token,
                    metadata: reply.metadata.clone(),
                });
                Ok(Answer { reply, interrupted })
            }
            Err(error) => {
                self.told = Some(Told {
                    attempts: error.attempts,
                    issues: error.issues,
                    elapsed: error.elapsed,
                    at_least_once: false,
                    token: error.token.as_deref().copied(),
                    metadata: error.metadata.clone(),
                });
                let server = self.server();
                Err(Failure::Call(Box::new(Ended { error, interrupted, server })))
            }
        }
    }

    /// The end of an interrupted call whose fence the server has not confirmed in time.
    fn given_up(&mut self, handle: CallHandle, attempts: u32, elapsed: Duration) -> CallError {
        CallError {
            code: Code::Cancelled,
            message: "the server has not confirmed in time that it will not run".into(),
            details: Vec::new(),
            metadata: Metadata::new(),
            outcome: Outcome::Unknown,
            attempts,
            issues: 1,
            elapsed,
            token: self.client.token(handle).map(Box::new),
        }
    }

    fn interrupted_before(&self) -> Failure {
        let error = CallError {
            code: Code::Cancelled,
            message: "before the call was sent".into(),
            details: Vec::new(),
            metadata: Metadata::new(),
            outcome: Outcome::NotExecuted(Proof::NeverSent),
            attempts: 0,
            issues: 0,
            elapsed: self.opened.elapsed(),
            token: None,
        };
        Failure::Call(Box::new(Ended { error, interrupted: true, server: self.server() }))
    }

    /// What `-v` says, as JSON and as a line.
    fn summary(&self) -> (serde_json::Map<String, serde_json::Value>, String) {
        let total = self.opened.elapsed();
        let rto = self.client.info().map(|info| info.rto);
        let traffic = self.meter.read();

        let mut object = serde_json::Map::new();
        object.insert("totalMs".into(), units::millis(total).into());
        object.insert("rtoMs".into(), rto.map(units::millis).into());
        traffic.json(&mut object);
        let mut line = format!("{} in all", units::show(total));
        if let Some(told) = &self.told {
            told.json(&mut object);
            line = format!("{} ({line})", told.text());
        }
        if let Some(rto) = rto {
            line.push_str(&format!(", RTO {}", units::show(rto)));
        }
        line.push_str(&format!(", {}", traffic.text()));
        if let Some(token) = self.told.as_ref().and_then(|told| told.token.as_ref()) {
            line.push_str(&format!(", token {token}"));
        }
        if let Some(told) = &self.told {
            line.push_str(&metadata::text(&told.metadata));
        }
        (object, line)
    }
}

impl Told {
    fn text(&self) -> String {
        let Told { attempts, issues, elapsed, at_least_once, .. } = self;
        let count = units::count(u64::from(*attempts), "attempt");
        let mut line = format!("{} in {count}", units::show(*elapsed));
        if *issues > 1 {
            line.push_str(&format!(" and {issues} issues"));
        }
        if *at_least_once {
            line.push_str(", ran at least once");
        }
        line
    }

    fn json(&self, object: &mut serde_json::Map<String, serde_json::Value>) {
        let Told { attempts, issues, elapsed, at_least_once, token, metadata } = self;
        object.insert("elapsedMs".into(), units::millis(*elapsed).into());
        object.insert("attempts".into(), (*attempts).into());
        object.insert("issues".into(), (*issues).into());
        object.insert("atLeastOnce".into(), (*at_least_once).into());
        object.insert("token".into(), token.as_ref().map(ToString::to_string).into());
        object.insert("metadata".into(), metadata::json(metadata));
    }
}

/// `-v` speaks when all is done; then the client gives its session up, if it may.
impl Drop for Remote {
    fn drop(&mut self) {
        if self.verbose > 0 {
            let (object, line) = self.summary();
            traffic::summary(self.format, object, line);
        }
    }
}

/// What a failure to describe means for the call that it was for: nothing of it was sent.
fn before_the_call(name: &str, failure: Failure) -> Failure {
    let Failure::Call(mut ended) = failure else { return failure };
    let error = &mut ended.error;
    let asked = error.outcome == Outcome::Executed;
    match error.code {
        Code::NotFound | Code::InvalidArgument if asked => {
            let help = vec!["udp-rpc list  shows all that there are".to_owned()];
            let message = std::mem::take(&mut error.message);
            Failure::NotSent(Code::Unimplemented, message, help)
        }
        Code::Unimplemented => {
            let message = format!("the server has no reflection to say what {name} takes");
            let help = vec!["--proto FILE  takes it from a .proto file".to_owned()];
            Failure::NotSent(Code::Unimplemented, message, help)
        }
        _ => {
            if error.outcome != Outcome::NotExecuted(Proof::NeverSent) {
                error.message = format!("asking what {name} takes: {}", error.message);
                error.outcome = Outcome::NotExecuted(Proof::NeverSent);
                error.token = None;
            }
            Failure::Call(ended)
        }
    }
}
