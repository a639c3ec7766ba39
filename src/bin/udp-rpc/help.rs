//! `help`: the subcommands, and what each outcome allows.

use clap::CommandFactory;

use crate::args::{Cli, HelpArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;

/// What `help outcomes` prints: outcome × what you may do now.
const OUTCOMES: &str = "\
A call ends in exactly one of four ways. The exit code says which; so does every
error, with the proof where there is one.

 exit  outcome       what is certain             what you may do now
 ----  ------------  --------------------------  -----------------------------
    0  OK            it ran once; this is that   use the answer
                     run's answer
    1  executed      it ran once and answered    read the error; calling again
                     an error                    runs it a second time
    3  not executed  it has not run and never    call again, here or elsewhere:
                     will, and the error names   it cannot become two runs
                     the proof
    4  unknown       it ran at most once         ask later, with the token that
                                                 the error printed (below)
    2  usage         nothing was sent            mend the command line
  130  interrupted   you pressed Ctrl-C: the     as the outcome printed with it
                     call was fenced             says

When the outcome is unknown:
  udp-rpc status TOKEN   asks what became of the call and changes nothing.
  udp-rpc fence TOKEN    makes sure that it does not start any more, if it has
                         not started yet, and says what became of it.
  Both exit by the table above: 0 it ran and answered (the answer is printed),
  1 it ran and answered an error, 3 it did not run, 4 still unknown (it is
  running; or the server was restarted, and nobody will ever know).
  Calling again may run it twice. That is harmless only if the procedure has no
  side effects, or a second run adds nothing to the first.

Of many calls (call -d @lines.jsonl) each says how it ended on a line of its
own, and the exit code is the worst: 4 before 3, 3 before 2 (a malformed line,
which was not sent), 2 before 1, 1 before 0.

What proves that a call did not run, and nothing else does:
  never sent        no datagram of it left this host
  promised          the server says that it has recorded never to run it
  unknown session   the same life of the server never received it

A call of a procedure declared free of side effects may be issued again by the
client itself; its OK then means \"ran at least once\", and -v says so.
";

/// What follows the options in `list --help`.
pub(crate) const LIST: &str = "\
With `-o json` each procedure is an object on a line of its own: name (package.Service/Method), \
idempotency (IDEMPOTENCY_UNKNOWN, NO_SIDE_EFFECTS, IDEMPOTENT), clientStreaming, serverStreaming, \
served, described, deprecated.";

/// What follows the options in `describe --help`.
pub(crate) const DESCRIBE: &str = r#"Examples:
  udp-rpc describe add
  udp-rpc describe udprpc.v1.Calculator
  udp-rpc describe --template SayHello > hello.json
  udp-rpc describe --proto shop.proto Orders/Place

With `-o json` each is an object on a line of its own:
  kind        "method", "service", "message" or "enum"
  name        in full
  comment, deprecated
  methods     the method, or those of the service: as `list -o json` prints them, with comment,
              request and reply (full names; null for raw bytes)
  messages    by full name: comment, deprecated, oneofs (name, comment), and fields (name,
              jsonName, number, comment, label, keyType, type, oneof, default, deprecated);
              label is "", "optional", "repeated", "required" or "map"
  enums       by full name: comment, deprecated, values (name, number, comment, deprecated)"#;

/// What follows the options in `call --help`. A test runs the examples.
pub(crate) const CALL: &str = r#"Examples:
  udp-rpc call add 3 -4
  udp-rpc call SayHello name=Annie greeting=Hi
  udp-rpc call sleep 1500ms --timeout 3s
  udp-rpc call add -d '{"a":3,"b":4}' -o json
  udp-rpc call PlaceOrder address.city=Seoul 'items[0].name=tea' 'items[0].count=2'
  udp-rpc call PlaceOrder tags=new tags=gift labels.colour=red 'labels[gift wrap]=yes'
  udp-rpc call PlaceOrder 'address={"city":"Seoul"}' status=STATUS_PAID photo=@photo.jpg

Arguments without a name fill the fields in the order of the .proto: all of them but optional
and repeated ones; a repeated field that comes last takes all that is left. As soon as one
argument has a name, fields may be left out, as in JSON. A value that begins with a dash and is
no number goes after `--` or by its name (text=-x).

PATH=VALUE, where a path goes down from the request:
  address.city=Seoul     a field of a message; address[city] is the same
  tags=new tags=gift     a repeated field, one value more each time
  items[0].name=tea      an element by its number, from 0; the next one begins a new element
  items[].name=tea       always a new element
  labels.colour=red      an entry of a map, by its key, which is of any type that keys have
  labels[a.b]=red        a key with dots, brackets or spaces; or \. for a dot
  address={"city":"x"}   JSON for a whole message; tags=["a","b"] and labels={"a":"b"} add
Each thing is given once, whole or by its parts, and of a oneof one member.

Values: numbers; true and false; text as it is; enums by name or number; bytes in base64, or
from a file (photo=@FILE; @- is stdin); a Duration like 1500ms, a Timestamp like
2026-01-02T03:04:05Z, a FieldMask like a,b.c, wrappers like what they wrap; a Struct or Value by
path or as JSON; an Any as JSON with "@type". JSON is as protobuf's own mapping has it, and a
duration in it may also be like 1500ms.

Metadata goes with a request as -H KEY=VALUE, again for more; 986 bytes in all. What comes with
the answer is shown by -v, in its JSON as "metadata"; so is an error's, and with -o json in the
error itself. Details of an error, in the shape of google.rpc.Status, are shown as JSON where
their types are known.
  udp-rpc call add 3 4 -H tenant=north -H digest-bin=AP8=

Many calls: where -d names a file that ends in .jsonl or .ndjson, or --lines is given, each line
is a request; otherwise more than one JSON value is, on lines of their own or not. They go
through one session, --in-flight of them at once, each with the whole --timeout. On stdout comes
a line of JSON for each, in the order of the input: the answer, or in its place {"error": ...},
as -o json prints errors, with the number of the line. A malformed line is not sent, and the
others are. stderr gets a summary, and a terminal a progress bar. Ctrl-C fences what is in
flight. The exit code is the worst: 4 one unknown, else 3 one not executed, else 2 one malformed
line, else 1 one that ran and answered an error, else 0.
  udp-rpc call add -d '{"a":1,"b":2} {"a":3,"b":4}'
  udp-rpc call add -d @sums.jsonl --in-flight 8

Limits: 100 levels deep, by path and in JSON; 4 MiB of a file, or of one request."#;

/// What follows the options in `bench --help`.
pub(crate) const BENCH: &str = r#"Examples:
  udp-rpc bench add 3 4
  udp-rpc bench add 1..1000000 1..1000000 --random -c 512 --duration 5s
  udp-rpc bench add 3 4 -c 1 -n 10000 --busy-poll
  udp-rpc bench echo --size 1000 --rate 20k
  udp-rpc bench add 3 4 --clients 8 -c 16 --loss 1% -o json

Without --rate each client keeps -c calls in flight: an answer makes room for the next call, and
latency counts from when a call is made. With --rate calls are due at fixed instants, whatever
the server does, and latency counts from when a call was due, so that whatever a stall holds up
is in it. -c bounds the calls in flight then too.

A call counts if it began after the warm-up, and is waited for to its end, however it ends: what
fails is in the latencies with the time that it took. Answers are counted, not looked at.
Throughput is of the calls that ended within the duration. The calls may have side effects: they
run as often as they are made. With -n there are exactly so many, and no others for warm-up.

The exit code is that of the worst call: 4 one unknown, else 3 one not executed, else 1 one that
ran and answered an error, else 0; 130 after Ctrl-C, which prints what there is. Warnings on
stderr say when the figures are the generator's rather than the server's.

With `-o json` there is one object on one line. Times are in the unit that their names end in.
  schema             1; rises when something goes or changes its meaning
  method, server, clients, in_flight, busy_poll
  rate_per_s         as asked for, or null
  warm_up_s, duration_s
  requests           different requests that take turns
  request_bytes_min, request_bytes_max
  calls              that count
  calls_per_s        that ended within the duration
  ok, executed, not_executed, unknown
                     calls by outcome; executed: ran, and answered an error
  errors             list of code, outcome ("executed", "notExecuted", "unknown") and calls
  attempts, attempts_per_call
                     transmissions
  latency_us         min, mean, stddev, p50, p90, p99, p99_9, max
  histogram          list of from_us, to_us (not included) and calls; empty rows are left out
  generator_busy     share of the time for which the clients worked; null where they never rest
  calls_late         begun more than 1 ms after they were due, though there was room
  calls_held_back    that had to wait for room among those in flight
  calls_never_begun  that were due within the duration
  warnings           list of sentences
  interrupted, exit"#;

/// Prints help on a topic, or on everything.
///
/// # Errors
///
/// No such topic; stdout cannot be written.
pub(crate) fn run(args: &HelpArgs) -> Result<Exit, Failure> {
    let mut command = Cli::command();
    command.build();
    let text = match args.topic.as_deref() {
        None => command.render_long_help().to_string(),
        Some("outcomes" | "outcome") => OUTCOMES.to_owned(),
        Some(topic) => match command.find_subcommand_mut(topic) {
            Some(subcommand) => subcommand.render_long_help().to_string(),
            None => {
                let names: Vec<_> = command.get_subcommands().map(|sub| sub.get_name()).collect();
                return Err(Failure::Usage(
                    format!("there is no help on {topic:?}"),
                    vec![format!("topics: outcomes, {}", names.join(", "))],
                ));
            }
        },
    };
    output::print(text.as_bytes())?;
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_fit_a_terminal() {
        for line in OUTCOMES.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
        // As wide as clap's own lines may be.
        for line in CALL.lines().chain(BENCH.lines()) {
            assert!(line.chars().count() <= 96, "{line}");
        }
    }
}
