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

What proves that a call did not run, and nothing else does:
  never sent        no datagram of it left this host
  promised          the server says that it has recorded never to run it
  unknown session   the same life of the server never received it

A call of a procedure declared free of side effects may be issued again by the
client itself; its OK then means \"ran at least once\", and -v says so.
";

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
    fn the_table_fits_80_columns() {
        for line in OUTCOMES.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}
