//! `demo`: the project in five seconds.
//!
//! A daemon of its own on a free loopback port, a bad path before it, three calls told datagram
//! by datagram, a hundred increments, and the server's own count as the judge. Everything printed
//! was observed; a call that ran twice, or a counter that disagrees, fails the demo.

mod crowd;
mod path;
mod story;
mod witness;

use std::time::{Duration, Instant};

use prost::Message;
use udp_rpc::client::{BlockingClient, Method};
use udp_rpc::core::fault::Faults;
use udp_rpc::server::Server;
use udp_rpc::service::generated::v1::calculator::ADD;
use udp_rpc::service::generated::v1::counter::INCREMENT;
use udp_rpc::service::generated::v1::{CounterValue, IncrementRequest, Number, Operands};
use udp_rpc::service::{Registry, builtin};
use udp_rpc::wire::Kind;

use crate::args::{DemoArgs, Global};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::style::Style;
use crate::traffic::Meter;
use crate::units;
use crowd::Crowd;
use path::{Path, Script};
use story::Story;
use witness::{Counts, Witness};

/// The counter that the demo counts with.
const COUNTER: &str = "demo";

/// Delay of the story's path each way: a round trip that a person can tell from none.
const STORY_DELAY: Duration = Duration::from_millis(10);

/// The path of the crowd, unless the command line says otherwise: bad enough for every kind of
/// trouble, good enough that most lines stay unsaid.
const CROWD_FAULTS: Faults = Faults {
    loss: 0.1,
    duplicate: 0.1,
    reorder: 0.05,
    corrupt: 0.0,
    delay: Duration::from_millis(2),
    jitter: Duration::from_millis(2),
};

/// How long each call may take: the longest that the server allows, so that a path made very bad
/// on the command line delays calls and does not fail them.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Increments of the crowd.
const CROWD: usize = 100;
/// Increments in flight at once.
const AT_ONCE: usize = 8;
/// How long the path must be quiet before a story is told to its end: more than the longest that
/// a client of a 20 ms path waits before it sends again.
const QUIET: Duration = Duration::from_millis(60);

/// Runs the demo.
///
/// # Errors
///
/// What it could not begin with, or what the server's count says against the promise.
pub(crate) fn run(global: &Global, args: &DemoArgs) -> Result<Exit, Failure> {
    let began = Instant::now();
    let cannot = |error: &dyn std::fmt::Display| Failure::Lost(format!("cannot begin: {error}"));
    let mut registry = Registry::new();
    builtin::install(&mut registry).map_err(|error| cannot(&error))?;
    let server = Server::builder(registry)
        .listen("127.0.0.1:0")
        .bind()
        .and_then(Server::spawn)
        .map_err(|error| cannot(&error))?;
    let path = Path::open(server.local_addr(), STORY_DELAY).map_err(|error| cannot(&error))?;
    let meter = Meter::default();
    let client = BlockingClient::builder()
        .timeout(TIMEOUT)
        .observer(meter.observer(global))
        .connect(path.address)
        .map_err(|error| cannot(&error))?;
    let witness = Witness::new(server.local_addr())?;
    let mut demo = Demo { style: Style::stdout(), path, client, witness, calls: 0 };
    demo.say(&format!(
        "A daemon listens on {}. Between it and the client lies a bad path,\n\
         {} each way, that loses and copies datagrams. This is what passed there;\n\
         --> to the server, <-- to the client, X where a datagram was lost.",
        server.local_addr(),
        units::show(STORY_DELAY),
    ))?;
    let before = demo.witness.counts()?;
    demo.stories()?;
    demo.crowd(global, args.seed)?;
    demo.verdict(before, began)
}

/// The demo under way.
struct Demo {
    style: Style,
    path: Path,
    client: BlockingClient,
    witness: Witness,
    calls: u64,
}

impl Demo {
    fn say(&self, text: &str) -> Result<(), Failure> {
        match output::line(text)? {
            output::Reader::Listening => Ok(()),
            output::Reader::Gone => Err(Failure::BrokenPipe),
        }
    }

    fn stories(&mut self) -> Result<(), Failure> {
        let operands = Operands { a: 20, b: 22 };
        let number = |body: &[u8]| match Number::decode(body) {
            Ok(number) => number.value.to_string(),
            Err(_) => "?".to_owned(),
        };
        self.story(
            "1. The request is lost, so it is sent again.",
            Script::Lose(Kind::Request),
            (Method::from(&ADD), "add(20, 22)"),
            &operands.encode_to_vec(),
            &number,
        )?;
        let increment = increment().encode_to_vec();
        self.story(
            "2. The reply is lost. The call has run, and must not run again.",
            Script::Lose(Kind::Reply),
            (Method::from(&INCREMENT), "increment()"),
            &increment,
            &counted,
        )?;
        self.story(
            "3. The network copies the request, and the copy comes after the answer.",
            Script::Echo(Kind::Request),
            (Method::from(&INCREMENT), "increment()"),
            &increment,
            &counted,
        )
    }

    /// One call, told when nothing of it is under way any more.
    fn story(
        &mut self,
        title: &str,
        script: Script,
        (method, shown): (Method, &str),
        request: &[u8],
        answer: &dyn Fn(&[u8]) -> String,
    ) -> Result<(), Failure> {
        self.say(&format!("\n{}", self.style.strong(title)))?;
        let before = self.witness.counts()?;
        self.path.script(script);
        let result = self.client.call_raw(method, request, &Default::default());
        self.calls += 1;
        self.path.settle(QUIET);
        let mut story = Story::new(self.style, shown, answer);
        for passage in self.path.take() {
            self.say(&story.tell(&passage))?;
        }
        let reply = result.map_err(|error| broken(&format!("{shown} ended in {error}")))?;
        let Counts { executed, suppressed } = self.witness.counts()?.since(before);
        self.say(&format!(
            "    The caller has {} after {}. The server: executed {executed}, \
             duplicates {suppressed}.",
            answer(&reply.body),
            units::show(reply.elapsed),
        ))?;
        if executed != 1 {
            return Err(broken(&format!("{shown} ran {executed} times")));
        }
        if script != Script::Lose(Kind::Request) && suppressed == 0 {
            return Err(broken("the server has not seen the duplicate"));
        }
        Ok(())
    }

    fn crowd(&mut self, global: &Global, seed: u64) -> Result<(), Failure> {
        let hurt = &global.hurt;
        let faults = Faults {
            loss: if hurt.loss > 0.0 { hurt.loss } else { CROWD_FAULTS.loss },
            duplicate: if hurt.duplicate > 0.0 { hurt.duplicate } else { CROWD_FAULTS.duplicate },
            delay: hurt.delay.max(CROWD_FAULTS.delay),
            ..CROWD_FAULTS
        };
        self.say(&format!(
            "\n{}\n    {:.0}% lost, {:.0}% doubled, {:.0}% overtaken by later ones (seed {seed}). \
             # = the value\n    answered{}.",
            self.style.strong(&format!(
                "{CROWD} increments, {AT_ONCE} at a time, through a path that is bad at random."
            )),
            faults.loss * 100.0,
            faults.duplicate * 100.0,
            faults.reorder * 100.0,
            if global.verbose > 0 {
                ""
            } else {
                "; those without trouble are not shown (-v shows them)"
            },
        ))?;
        self.path.faults(faults, seed);
        let request = increment().encode_to_vec();
        let (mut begun, mut ended) = (0, 0);
        let mut crowd = Crowd::default();
        while ended < CROWD {
            while begun < CROWD && begun - ended < AT_ONCE {
                self.client.submit(&INCREMENT, &request, &Default::default());
                begun += 1;
            }
            let Some((_, result)) = self.client.wait_any() else { break };
            ended += 1;
            self.calls += 1;
            result.map_err(|error| broken(&format!("an increment ended in {error}")))?;
            let passages = self.path.take();
            for line in crowd.follow(&passages, global.verbose > 0, self.style, &counted) {
                self.say(&line)?;
            }
        }
        if crowd.len() != CROWD {
            return Err(broken(&format!("the path saw {} calls", crowd.len())));
        }
        Ok(())
    }

    /// The server's own numbers against what was called.
    fn verdict(mut self, before: Counts, began: Instant) -> Result<Exit, Failure> {
        // Copies may still be on their way; they are counted too.
        self.path.settle(QUIET);
        let Counts { executed, suppressed } = self.witness.counts()?.since(before);
        let counter = self.witness.counter(COUNTER)?;
        let (calls, increments) = (self.calls, self.calls - 1);
        let good = executed == calls && counter == increments;
        let verdict =
            format!("calls {calls} / executed {executed} / duplicates suppressed {suppressed}");
        let verdict = if good { self.style.good(&verdict) } else { self.style.bad(&verdict) };
        self.say(&format!(
            "\n{verdict}\nThe counter was incremented {increments} times and says {counter}. ({})",
            units::show(began.elapsed())
        ))?;
        if good { Ok(Exit::Ok) } else { Err(broken("a call ran twice, or not at all")) }
    }
}

/// An increment of the demo's counter.
fn increment() -> IncrementRequest {
    IncrementRequest { by: None, name: Some(COUNTER.to_owned()) }
}

/// What an increment has answered.
fn counted(body: &[u8]) -> String {
    match CounterValue::decode(body) {
        Ok(counter) => counter.value.to_string(),
        Err(_) => "?".to_owned(),
    }
}

/// The promise is broken: the demo fails.
fn broken(what: &str) -> Failure {
    Failure::Broken(what.to_owned())
}
