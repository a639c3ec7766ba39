//! The client in Python, which was written from PROTOCOL.md, against the daemon.
#![cfg(feature = "cli")]

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::calls::{Statistics, count};
use common::{Daemon, skipped};
use udp_rpc::client::BlockingClient;
use udp_rpc::server::Server;
use udp_rpc::service::{Context, Hook, Method, Refusal, Registry, Status};

/// Its exit codes.
const EXECUTED: i32 = 1;
const USAGE: i32 = 2;
const NOT_EXECUTED: i32 = 3;
const UNKNOWN: i32 = 4;

fn python() -> Command {
    let mut python = Command::new("python3");
    // No __pycache__ among the sources.
    python.env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::null());
    python
}

/// Whether there is a Python that the client runs with; says so if not.
fn is_possible(test: &str) -> bool {
    let probe = "import sys; sys.exit(sys.version_info < (3, 8))";
    let found = python().args(["-c", probe]).status().is_ok_and(|status| status.success());
    if !found {
        skipped(test, "there is no python3, or it is older than 3.8");
    }
    found
}

fn examples() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/python")
}

fn run(server: &str, arguments: &[&str]) -> Output {
    let program = examples().join("udp_rpc.py");
    python().arg(program).arg(server).args(arguments).output().unwrap()
}

#[track_caller]
fn expect(server: &str, arguments: &[&str], code: i32, answer: &str) -> String {
    let output = run(server, arguments);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), answer, "{arguments:?}: {errors}");
    errors
}

#[test]
fn python_client_calls_the_daemon() {
    if !is_possible("python_client_calls…") {
        return;
    }
    let daemon = Daemon::start();
    let server = &daemon.address().to_string();
    expect(server, &["add", "3", "4"], 0, "7\n");
    expect(server, &["add", "3", "-4"], 0, "-1\n");
    expect(server, &["multiply", "2", "5"], 0, "10\n");
    expect(server, &["--repeat", "3", "increment"], 0, "1\n2\n3\n");
    let mut client = BlockingClient::connect(daemon.address()).unwrap();
    let statistics = Statistics::read(&mut client);
    statistics.check_sum();
    assert_eq!(statistics.sum("received.dropped."), 0, "it sends nothing that is malformed");
    assert_eq!(statistics.of("sessions.open"), 1, "it closes its sessions");
}

#[test]
fn python_clients_on_a_lossy_path_have_each_increment_counted_once() {
    if !is_possible("python_clients_on_a_lossy_path…") {
        return;
    }
    let daemon = Daemon::start();
    let server = daemon.address().to_string();
    let clients: Vec<_> = (1..=4)
        .map(|seed| {
            python()
                .arg(examples().join("udp_rpc.py"))
                .args([&server, "--loss", "0.3", "--seed", &seed.to_string()])
                .args(["--repeat", "50", "--timeout", "20", "increment"])
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let mut values = BTreeSet::new();
    for client in clients {
        let output = client.wait_with_output().unwrap();
        assert!(output.status.success());
        for line in String::from_utf8(output.stdout).unwrap().lines() {
            assert!(values.insert(line.parse::<u64>().unwrap()), "{line} was answered twice");
        }
    }
    assert_eq!(values, (1..=200).collect());
    let mut client = BlockingClient::connect(daemon.address()).unwrap();
    // The counter that it increments has no name.
    assert_eq!(count(&mut client, "").unwrap(), 201);
    let statistics = Statistics::read(&mut client);
    assert!(statistics.sum("received.duplicate.") > 0);
}

#[test]
fn python_client_says_by_its_exit_code_whether_the_call_ran() {
    if !is_possible("python_client_says…") {
        return;
    }
    let mut daemon = Daemon::start();
    let server = &daemon.address().to_string();
    let said = expect(server, &["divide", "1", "0"], EXECUTED, "");
    assert!(said.contains("INVALID_ARGUMENT") && said.contains("Executed"), "{said}");
    expect(server, &["add", "3"], USAGE, "");
    // Farther than the server allows: never sent.
    let said = expect(server, &["--timeout", "3600", "add", "1", "2"], NOT_EXECUTED, "");
    assert!(said.contains("never sent"), "{said}");

    // It answers its HELLO, and then nothing: nobody can know.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let proxy = silent.local_addr().unwrap().to_string();
    let behind = daemon.address();
    let relay = std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        let (length, client) = silent.recv_from(&mut buffer).unwrap();
        silent.send_to(&buffer[..length], behind).unwrap();
        let (length, _) = silent.recv_from(&mut buffer).unwrap();
        silent.send_to(&buffer[..length], client).unwrap();
        silent // Open, but deaf.
    });
    let said = expect(&proxy, &["--timeout", "0.5", "increment"], UNKNOWN, "");
    assert!(said.contains("Unknown"), "{said}");
    relay.join().unwrap();

    daemon.kill();
    let said = expect(server, &["add", "3", "4"], NOT_EXECUTED, "");
    assert!(said.contains("NotExecuted"), "{said}");
}

/// Lets in who says the word.
struct Doorkeeper;

impl Hook for Doorkeeper {
    fn start(&self, context: &Context<'_>) -> Result<(), Refusal> {
        match context.metadata.get_text("word") {
            Some("sesame") => Ok(()),
            Some(_) => Err(Refusal::PermissionDenied),
            None => Err(Refusal::Unauthenticated),
        }
    }
}

/// What the client says of three calls: one that is answered, one that fails, two that are
/// turned away.
const WITH_METADATA: &str = r#"
import sys
sys.path.insert(0, sys.argv[1])
from udp_rpc import Client, Executed, NotExecuted
with Client(sys.argv[2]) as client:
    word = ("word", "sesame")
    pairs = [word, ("a", "1"), ("a", "2"), ("b-bin", bytes([0, 255]))]
    reply = client.call("Test/Echo", b"body", metadata=pairs)
    print(reply.decode(), reply.metadata)
    try:
        client.call("Test/Fail", metadata=[word, ("why", "because")])
    except Executed as error:
        print(error.code, error.metadata)
    for pairs in [("word", "please")], []:
        try:
            client.call("Test/Echo", metadata=pairs)
        except NotExecuted as error:
            print(error.code)
"#;

#[test]
fn python_client_sends_and_reads_metadata_and_is_turned_away_for_want_of_it() {
    if !is_possible("python_client_sends_and_reads_metadata…") {
        return;
    }
    fn echo(context: &Context<'_>) {
        for (key, value) in context.metadata.iter().filter(|(key, _)| *key != "word") {
            context.reply_metadata.append(key, value).unwrap();
        }
    }
    let mut registry = Registry::new();
    registry
        .add(Method::inline("Test/Echo", |context, request, reply| {
            echo(context);
            reply.extend(request);
            Ok(())
        }))
        .unwrap()
        .add(Method::pooled("Test/Fail", |context, _, _| {
            echo(context);
            Err(Status::aborted("no"))
        }))
        .unwrap();
    let server = Server::builder(registry).hook(Doorkeeper).listen("127.0.0.1:0");
    let server = server.bind().unwrap().spawn().unwrap();
    let output = python()
        .args(["-c", WITH_METADATA])
        .arg(examples())
        .arg(server.local_addr().to_string())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let expected = "body [('a', '1'), ('a', '2'), ('b-bin', b'\\x00\\xff')]\n\
                    ABORTED [('why', 'because')]\n\
                    PERMISSION_DENIED\n\
                    UNAUTHENTICATED\n";
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{errors}");
}

#[test]
fn python_client_takes_metadata_on_its_command_line() {
    if !is_possible("python_client_takes_metadata…") {
        return;
    }
    let daemon = Daemon::start();
    let server = &daemon.address().to_string();
    // The daemon has no use for them, and the call runs with them.
    let pairs = ["--metadata", "tenant=north", "--metadata", "digest-bin=00ff"];
    expect(server, &[&pairs[..], &["add", "3", "4"]].concat(), 0, "7\n");
    for odd in ["tenant", "Tenant=north", "tenant=a\tb", "digest-bin=xy"] {
        expect(server, &["--metadata", odd, "add", "3", "4"], USAGE, "");
    }
}

#[test]
fn python_clients_own_tests_pass() {
    if !is_possible("python_clients_own_tests…") {
        return;
    }
    let output =
        python().args(["-m", "unittest", "discover", "-s"]).arg(examples()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
