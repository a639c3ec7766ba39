//! `call` with many requests: one session, a bounded number of calls in flight, a line of JSON for
//! each in the order of the input.
//!
//! Memory does not grow with the input: requests are read ahead up to a bound, and no call is made
//! while too many answers wait for one before them.

pub(crate) mod chunks;
mod order;
mod progress;
pub(crate) mod reader;
pub(crate) mod source;
pub(crate) mod tally;

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use udp_rpc::client::CallHandle;
use udp_rpc::core::{CallError, Reply};

use crate::args::{CallArgs, Format, Global};
use crate::call;
use crate::exit::Exit;
use crate::failure::{Ended, Failure};
use crate::input;
use crate::interrupt::SLICE;
use crate::remote::{GRACE, Pipeline, Remote};
use crate::schema::{Method, Types};
use crate::traffic;

use order::Order;
use progress::Progress;
use reader::{Item, Next, Reader};
use source::Requests;
use tally::Tally;

/// Most answers that wait for one before them; further calls wait until it has come.
const AHEAD_MAX: usize = 8192;

/// Bytes of answers that are written at once, when they come faster than that.
const WRITE: usize = 64 << 10;

/// What there is to say of a line.
enum End {
    Answered(Reply),
    /// With whether it was interrupted.
    Failed(CallError, bool),
    Malformed(String),
}

/// A line whose turn it is, with what became of it.
struct Line {
    number: u64,
    /// Bytes of the input up to its end.
    read: u64,
    end: End,
}

/// Why no more calls are made.
#[derive(Debug)]
enum Stop {
    /// Ctrl-C.
    Interrupted,
    /// Nobody reads the answers any more.
    NobodyReads,
    /// The answers cannot be written.
    Unwritable(io::Error),
}

/// A batch under way.
struct Batch<'a> {
    pipeline: Pipeline<'a>,
    types: &'a Types,
    /// What usage errors say that the method takes.
    takes: String,
    in_flight_max: usize,
    /// Calls in flight: their number in the order, line, and bytes of the input.
    in_flight: BTreeMap<CallHandle, (u64, u64, u64)>,
    order: Order<Line>,
    tally: Tally,
    progress: Progress,
    /// Lines of answers that are not written yet.
    out: Vec<u8>,
    /// Why and since when no more calls are made.
    stop: Option<(Stop, Instant)>,
}

/// Makes all calls and prints their answers.
///
/// # Errors
///
/// The input cannot be read at all, or the answers cannot be written. How calls ended is in their
/// lines and in the exit code.
pub(crate) fn run(
    global: &Global,
    args: &CallArgs,
    remote: &mut Remote,
    (method, types): (&Method, &Types),
    requests: Requests,
) -> Result<Exit, Failure> {
    let began = Instant::now();
    let takes = format!("{} takes {}", method.name, input::fields(&types.request));
    let progress = Progress::new(requests.length, global.verbose < 2);
    let pipeline = remote.pipeline(method);
    let interrupter = pipeline.interrupter();
    let reader = Reader::start(requests.chunks, types.request.clone(), interrupter)
        .map_err(|error| Failure::usage(format!("the input cannot be read: {error}")))?;
    let mut batch = Batch {
        pipeline,
        types,
        takes,
        in_flight_max: usize::from(args.in_flight),
        in_flight: BTreeMap::new(),
        order: Order::new(),
        tally: Tally::default(),
        progress,
        out: Vec::new(),
        stop: None,
    };
    batch.make_calls(&reader);
    batch.progress.end();

    let Batch { tally, stop, .. } = batch;
    let elapsed = began.elapsed();
    let stop = stop.map(|(stop, _)| stop);
    let exit = match &stop {
        Some(Stop::NobodyReads) => return Ok(Exit::Ok),
        Some(Stop::Unwritable(_)) => Exit::Failed,
        Some(Stop::Interrupted) => Exit::Interrupted,
        None => tally.exit(),
    };
    let mut object = tally.json(elapsed);
    object.insert("exit".into(), exit.number().into());
    let mut text = tally.text(elapsed);
    match &stop {
        Some(Stop::Interrupted) => text.push_str("; interrupted, the rest was not called"),
        Some(_) => text.push_str("; stopped, the rest was not called"),
        None => {}
    }
    if let Some((more, line)) = remote.take_summary() {
        object.extend(more);
        text = format!("{text}\n{line}");
    }
    traffic::summary(global.output, object, text);
    match stop {
        Some(Stop::Unwritable(error)) => Err(error.into()),
        _ => Ok(exit),
    }
}

impl Batch<'_> {
    /// Makes calls until all have ended, or until it is no use.
    fn make_calls(&mut self, reader: &Reader) {
        let mut more = true;
        loop {
            let mut hungry = false;
            while more && self.stop.is_none() && self.has_room() {
                match reader.poll() {
                    Next::Item(item) => self.begin(item),
                    Next::Later => {
                        hungry = true;
                        break;
                    }
                    Next::End => more = false,
                }
            }
            self.hand_on();
            if self.in_flight.is_empty() && (!more || self.stop.is_some()) {
                return;
            }
            if self.in_flight.is_empty() && hungry {
                match reader.wait(SLICE) {
                    Next::Item(item) => self.begin(item),
                    Next::Later => {}
                    Next::End => more = false,
                }
            } else {
                self.collect();
            }
            self.look_for_an_end();
        }
    }

    fn has_room(&self) -> bool {
        self.in_flight.len() < self.in_flight_max && self.order.len() < AHEAD_MAX
    }

    /// Makes the call that a line asks for, or says what is wrong with the line.
    fn begin(&mut self, item: Item) {
        let Item { line: number, read, request } = item;
        let place = self.order.begin();
        match request {
            Ok(request) => {
                let handle = self.pipeline.submit(&request);
                self.in_flight.insert(handle, (place, number, read));
            }
            Err(why) => {
                self.tally.malformed += 1;
                self.order.end(place, Line { number, read, end: End::Malformed(why) });
            }
        }
    }

    /// Waits until a call ends, and takes those that have ended with it.
    fn collect(&mut self) {
        let mut timeout = SLICE;
        while let Some((handle, result)) = self.pipeline.next(timeout) {
            self.ended(handle, result);
            timeout = Duration::ZERO;
        }
    }

    fn ended(&mut self, handle: CallHandle, result: Result<Reply, CallError>) {
        let Some((place, number, read)) = self.in_flight.remove(&handle) else { return };
        let end = match result {
            Ok(reply) => End::Answered(reply),
            Err(error) => {
                let interrupted = matches!(self.stop, Some((Stop::Interrupted, _)));
                End::Failed(error, interrupted)
            }
        };
        self.order.end(place, Line { number, read, end });
    }

    /// After Ctrl-C, or when nobody reads: no more calls, those in flight are fenced, and their
    /// fences are waited for, but not for long.
    fn look_for_an_end(&mut self) {
        if self.stop.is_none() && self.pipeline.interrupted() {
            self.stop(Stop::Interrupted);
        }
        let overdue = self.stop.as_ref().is_some_and(|(_, since)| since.elapsed() >= GRACE);
        if overdue {
            let handles: Vec<CallHandle> = self.in_flight.keys().copied().collect();
            for handle in handles {
                let error = self.pipeline.given_up(handle);
                self.ended(handle, Err(error));
            }
        }
    }

    fn stop(&mut self, stop: Stop) {
        for handle in self.in_flight.keys() {
            self.pipeline.cancel(*handle);
        }
        self.stop = Some((stop, Instant::now()));
    }

    /// Prints the lines whose turn has come.
    fn hand_on(&mut self) {
        while let Some(line) = self.order.next() {
            let read = line.read;
            let value = self.line(line);
            self.out.extend_from_slice(&value);
            self.progress.show(read, &self.tally);
            if self.out.len() >= WRITE {
                self.write();
            }
        }
        self.write();
    }

    fn write(&mut self) {
        let bytes = std::mem::take(&mut self.out);
        // Who has stopped reading is not written to again.
        let silent = matches!(self.stop, Some((Stop::NobodyReads | Stop::Unwritable(_), _)));
        if bytes.is_empty() || silent {
            return;
        }
        match self.progress.print(&bytes) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.stop(Stop::NobodyReads),
            Err(error) => self.stop(Stop::Unwritable(error)),
        }
    }

    /// A line of output, counted.
    fn line(&mut self, line: Line) -> Vec<u8> {
        let failure = match line.end {
            End::Answered(reply) => {
                let rendered = call::render(self.types, &reply.body, Format::Json);
                self.tally.answered(&reply, rendered.is_ok());
                match rendered {
                    Ok(bytes) => return bytes,
                    Err(why) => Failure::Answer(why),
                }
            }
            End::Failed(error, interrupted) => {
                self.tally.failed(&error);
                let server = self.pipeline.server();
                Failure::Call(Box::new(Ended { error, interrupted, server }))
            }
            End::Malformed(why) => Failure::Usage(why, vec![self.takes.clone()]),
        };
        let mut object = failure.json();
        if let Some(Value::Object(error)) = object.get_mut("error") {
            error.insert("line".to_owned(), json!(line.number));
        }
        (object.to_string() + "\n").into_bytes()
    }
}
