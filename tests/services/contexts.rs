//! What handlers are told about their call, and what they can say beside its reply.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use udp_rpc::client::{Asked, BlockingClient, Fate, Options, inquire};
use udp_rpc::core::fault::Faults;
use udp_rpc::core::{CallToken, Outcome};
use udp_rpc::server::{Running, Server};
use udp_rpc::service::{CancelToken, Context, Method, Registry, Responder, Status};
use udp_rpc::wire::{Code, SlotState};

use super::common::calls::within;
use super::common::{PATIENCE, wait_for};
use super::{connect, one_thread, serve};

type Handler = fn(&Context<'_>, &[u8]) -> Result<Vec<u8>, Status>;

const KINDS: [&str; 4] = ["Test/Inline", "Test/Pooled", "Test/Deferred", "Test/Asynchronous"];

/// A server with this handler as a method of each kind.
fn of_every_kind(run: Handler) -> Running {
    let append = move |context: &Context<'_>, request: &[u8], reply: &mut Vec<u8>| {
        run(context, request).map(|body| reply.extend(body))
    };
    let [inline, pooled, deferred, asynchronous] = KINDS;
    serve([
        Method::inline(inline, append),
        Method::pooled(pooled, append),
        Method::deferred(deferred, move |context, request, responder| {
            std::thread::spawn(move || responder.respond(run(&context.borrow(), &request)));
        }),
        Method::asynchronous(asynchronous, one_thread(), move |context, request| async move {
            run(&context.borrow(), &request)
        }),
    ])
}

fn with_metadata(pairs: &[(&str, &[u8])]) -> Options {
    let mut options = within(PATIENCE);
    for (key, value) in pairs {
        options.metadata.append(key, value).unwrap();
    }
    options
}

#[test]
fn metadata_goes_to_every_kind_of_handler_and_comes_back_with_reply_and_failure() {
    // Sends back what it got, and a value more.
    let server = of_every_kind(|context, request| {
        for (key, value) in context.metadata.iter() {
            context.reply_metadata.append(key, value).unwrap();
        }
        context.reply_metadata.insert("took-bin", [0, 255]).unwrap();
        match request {
            b"fail" => Err(Status::aborted("as asked")),
            _ => Ok(request.to_vec()),
        }
    });
    let mut client = connect(&server);
    let options = with_metadata(&[("tenant", b"north"), ("digest-bin", &[1, 2]), ("tenant", b"x")]);
    let mut expected = options.metadata.clone();
    expected.append("took-bin", [0, 255]).unwrap();
    for method in KINDS {
        let reply = client.call_raw(method, b"well", &options).unwrap();
        assert_eq!((reply.body.as_slice(), &reply.metadata), (&b"well"[..], &expected), "{method}");
        let error = client.call_raw(method, b"fail", &options).unwrap_err();
        assert_eq!((error.code, &error.metadata), (Code::Aborted, &expected), "{method}");
        // And nothing is left of it in the next call.
        let plain = client.call_raw(method, b"well", &within(PATIENCE)).unwrap();
        assert_eq!(plain.metadata.iter().collect::<Vec<_>>(), [("took-bin", &[0, 255][..])]);
    }
}

#[test]
fn metadata_that_makes_a_reply_too_long_is_an_executed_error() {
    let server = of_every_kind(|context, request| {
        context.reply_metadata.insert("padding", "x".repeat(900)).unwrap();
        Ok(request.repeat(100))
    });
    let mut client = connect(&server);
    for method in KINDS {
        client.call_raw(method, b"ab", &within(PATIENCE)).unwrap();
        let error = client.call_raw(method, b"abc", &within(PATIENCE)).unwrap_err();
        assert_eq!((error.code, error.outcome), (Code::ResourceExhausted, Outcome::Executed));
        assert!(error.message.contains("metadata"), "{error}");
    }
}

#[test]
fn every_kind_of_handler_can_read_the_servers_numbers() {
    let server = of_every_kind(|context, _| {
        let mut numbers = BTreeMap::new();
        context.gauges.read(&mut |name, value| {
            assert!(numbers.insert(name.to_owned(), value).is_none(), "{name} comes twice");
        });
        Ok(format!("{} {}", numbers["workers.total"], numbers["calls.started"]).into_bytes())
    });
    let mut client = connect(&server);
    for (method, started) in KINDS.into_iter().zip(1..) {
        let reply = client.call_raw(method, b"", &within(PATIENCE)).unwrap();
        let numbers = String::from_utf8(reply.body).unwrap();
        assert_eq!(numbers, format!("2 {started}"), "{method}: each call has started itself");
    }
}

/// A call that runs until the test answers it, and what its handler gave out.
struct Held {
    token: CallToken,
    cancel: CancelToken,
    responder: Responder,
}

/// A server whose one method is held; the address says where it listens.
fn holding(listen: &str) -> (Running, Receiver<Held>) {
    let (holding, held) = channel();
    let holding = Mutex::new(holding);
    let mut registry = Registry::new();
    registry
        .add(Method::deferred("Test/Held", move |context, _, responder| {
            let token = context.token().expect("it knows where it was reached");
            let cancel = context.cancel;
            holding.lock().unwrap().send(Held { token, cancel, responder }).unwrap();
        }))
        .unwrap();
    (Server::builder(registry).listen(listen).bind().unwrap().spawn().unwrap(), held)
}

fn ask(token: &CallToken, asked: Asked, within: Duration) -> Fate {
    inquire(token, asked, within, Faults::NONE, None).unwrap()
}

#[test]
fn token_that_a_handler_gives_out_asks_for_and_cancels_its_call() {
    // An address that stands for all of the host's: the token names the one that was reached.
    let (server, held) = holding("0.0.0.0:0");
    let port = server.local_addr().port();
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let mut client = BlockingClient::connect(address).unwrap();
    let call = client.submit("Test/Held", b"", &within(PATIENCE));
    let Held { token, cancel, responder } = wait_for("the call to run", || {
        assert!(client.wait_timeout(call, Duration::from_millis(1)).is_none());
        held.try_recv().ok()
    });
    assert_eq!(token.server, address);
    // As it was shown to somebody, who shows it to another process.
    let token: CallToken = token.to_string().parse().unwrap();

    let running = Fate::InProgress(SlotState::Running);
    assert_eq!(ask(&token, Asked::Status, PATIENCE), running);
    assert!(!cancel.is_cancelled());
    assert_eq!(ask(&token, Asked::Fence, PATIENCE), running);
    assert!(cancel.wait_timeout(PATIENCE), "the handler is told");
    responder.respond(Ok(b"done all the same".to_vec()));
    assert_eq!(client.wait(call).unwrap().body, b"done all the same");
    let Fate::Executed { status: Code::Ok, body, .. } = ask(&token, Asked::Status, PATIENCE) else {
        panic!("it has run");
    };
    assert_eq!(body, b"done all the same");
}

#[test]
fn token_that_a_handler_gave_out_never_proves_that_its_call_did_not_run() {
    let (server, held) = holding("127.0.0.1:0");
    let mut client = connect(&server);
    let call = client.submit("Test/Held", b"", &within(PATIENCE));
    let Held { token, responder, .. } = wait_for("the call to run", || {
        assert!(client.wait_timeout(call, Duration::from_millis(1)).is_none());
        held.try_recv().ok()
    });
    responder.respond(Ok(vec![]));
    client.wait(call).unwrap();
    // Nothing keeps this client from closing its session: it has given no token out itself.
    client.close();
    for asked in [Asked::Status, Asked::Fence] {
        let fate = wait_for("the session to be closed", || {
            match ask(&token, asked, Duration::from_millis(200)) {
                // CLOSE is not answered; it may be a moment.
                Fate::Executed { .. } => None,
                fate => Some(fate),
            }
        });
        assert!(matches!(fate, Fate::Unknown(_)), "{fate:?}");
    }
}
