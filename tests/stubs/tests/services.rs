//! What generated services say about their methods, and where these run.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use support::serve;
use udp_rpc::client::Options;
use udp_rpc::core::Outcome;
use udp_rpc::service::{
    Action, Context, Idempotency, OwnedContext, Registry, Service, Status, Task,
};
use udp_rpc::wire::Code;
use udp_rpc_stubs::proto::stubs::semantics::{Amount, account, nothing, river, stream};

/// An account with this many cents.
#[derive(Default)]
struct Cents(AtomicU64);

impl account::Account for Cents {
    fn pay(&self, context: &Context<'_>, request: Amount) -> Result<Amount, Status> {
        assert_eq!(context.method, "stubs.semantics.Account/Pay");
        let by = u64::try_from(request.cents)
            .map_err(|_| Status::invalid_argument("less than nothing was paid"))?;
        let before = self.0.fetch_add(by, Ordering::SeqCst);
        Ok(Amount { cents: (before + by).cast_signed() })
    }
    fn balance(&self, _: &Context<'_>, _: Amount) -> Result<Amount, Status> {
        Ok(Amount { cents: self.0.load(Ordering::SeqCst).cast_signed() })
    }
    fn close(&self, _: &Context<'_>, _: Amount) -> Result<Amount, Status> {
        Ok(Amount { cents: self.0.swap(0, Ordering::SeqCst).cast_signed() })
    }
    fn unknown(&self, _: &Context<'_>, request: Amount) -> Result<Amount, Status> {
        Ok(request)
    }
}

#[test]
fn semantics_are_those_of_the_file_on_both_sides() {
    let declared = [
        (account::PAY, Idempotency::Unknown),
        (account::BALANCE, Idempotency::NoSideEffects),
        (account::CLOSE, Idempotency::Idempotent),
        (account::UNKNOWN, Idempotency::Unknown),
    ];
    let mut registry = Registry::new();
    registry.add_service(account::service(Cents::default())).unwrap();
    let services = registry.seal().unwrap();
    for (signature, expected) in declared {
        assert_eq!(signature.idempotency(), expected);
        let method = services.methods().iter().find(|method| *method.name == *signature.name());
        assert_eq!(method.unwrap().idempotency, expected, "{}", signature.name());
    }
    assert_eq!(stream::DOWN.idempotency(), Idempotency::NoSideEffects);
    assert_eq!(stream::NEW.name(), "stubs.semantics.Stream/New");
}

#[test]
fn failure_of_a_handler_reaches_the_caller_of_either_client() {
    let mut served = serve([account::service(Cents::default())]);
    let wrong = Amount { cents: -1 };
    let mut blocking = account::BlockingAccountClient::new(&mut served.blocking);
    let client = account::AccountClient::new(served.client.clone());
    for error in [
        blocking.pay(&wrong).unwrap_err(),
        blocking.pay_with(&wrong, &Options::default()).unwrap_err(),
        client.pay(&wrong).wait().unwrap_err(),
        smol::block_on(client.pay_with(&wrong, &Options::default())).unwrap_err(),
    ] {
        assert_eq!((error.code, error.outcome), (Code::InvalidArgument, Outcome::Executed));
        assert_eq!(error.message, "less than nothing was paid");
    }
}

#[test]
fn reply_with_options_comes_with_what_is_known_about_it() {
    let mut served = serve([account::service(Cents::default())]);
    let options = Options::within(Duration::from_secs(60));
    let mut blocking = account::BlockingAccountClient::new(&mut served.blocking);
    let response = blocking.pay_with(&Amount { cents: 5 }, &options).unwrap();
    assert_eq!((response.message.cents, response.issues), (5, 1));
    let client = account::AccountClient::new(served.client.clone());
    let response = client.pay_with(&Amount { cents: 2 }, &options).wait().unwrap();
    assert_eq!((response.message.cents, response.issues), (7, 1));
}

/// How the methods of a service run, in the order of the file.
fn actions(service: &Service) -> Vec<String> {
    service.methods().iter().map(|method| format!("{:?}", method.action)).collect()
}

#[test]
fn methods_run_on_the_pool_unless_another_place_is_named() {
    let cents = account::service(Cents::default());
    assert_eq!(actions(&cents), ["Pooled"; 4]);
    let changed = account::service(Cents::default())
        .inline(&["Balance"])
        .replace(account::CLOSE.deferred(|_, request, responder| responder.respond(Ok(request))));
    assert_eq!(actions(&changed), ["Pooled", "Inline", "Deferred", "Pooled"]);
    let mut served = serve([changed]);
    let mut blocking = account::BlockingAccountClient::new(&mut served.blocking);
    assert_eq!(blocking.pay(&Amount { cents: 3 }).unwrap().cents, 3);
    assert_eq!(blocking.balance(&Amount::default()).unwrap().cents, 3);
    assert_eq!(blocking.close(&Amount { cents: 9 }).unwrap().cents, 9);
}

#[test]
fn method_that_the_service_does_not_have_is_refused_by_the_registry() {
    let wrong = account::service(Cents::default()).inline(&["Balanec"]);
    let error = Registry::new().add_service(wrong).unwrap_err().to_string();
    assert!(error.contains("Balanec") && error.contains("Balance"), "{error}");
}

/// The same, with futures.
struct Later {
    cents: Arc<Cents>,
    /// Where it stops to think.
    thought: fn() -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl account::AsyncAccount for Later {
    async fn pay(&self, context: OwnedContext, request: Amount) -> Result<Amount, Status> {
        (self.thought)().await;
        account::Account::pay(&*self.cents, &context.borrow(), request)
    }
    async fn balance(&self, context: OwnedContext, request: Amount) -> Result<Amount, Status> {
        account::Account::balance(&*self.cents, &context.borrow(), request)
    }
    async fn close(&self, _: OwnedContext, _: Amount) -> Result<Amount, Status> {
        std::future::pending().await
    }
    fn unknown(
        &self,
        _: OwnedContext,
        request: Amount,
    ) -> impl Future<Output = Result<Amount, Status>> + Send {
        std::future::ready(Ok(request))
    }
}

/// Calls the methods of an asynchronous account.
fn exercise(service: Service) {
    assert_eq!(actions(&service), ["Deferred"; 4]);
    let served = serve([service]);
    let client = account::AccountClient::new(served.client.clone());
    assert_eq!(client.pay(&Amount { cents: 4 }).wait().unwrap().cents, 4);
    assert_eq!(client.balance(&Amount::default()).wait().unwrap().cents, 4);
    assert_eq!(client.unknown(&Amount { cents: 8 }).wait().unwrap().cents, 8);
    let error = client.pay(&Amount { cents: -4 }).wait().unwrap_err();
    assert_eq!((error.code, error.outcome), (Code::InvalidArgument, Outcome::Executed));
    // Its future never ends by itself.
    let closing =
        client.close_with(&Amount::default(), &Options::within(Duration::from_millis(50)));
    assert_eq!(closing.wait().unwrap_err().code, Code::DeadlineExceeded);
}

#[test]
fn asynchronous_service_runs_on_tokio() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let handle = runtime.handle().clone();
    let later = Later {
        cents: Arc::default(),
        // It needs the runtime: anywhere else this would panic.
        thought: || Box::pin(tokio::time::sleep(Duration::from_millis(1))),
    };
    let executor = move |task: Task| {
        handle.spawn(task);
    };
    exercise(account::async_service(later, executor));
}

#[test]
fn asynchronous_service_runs_on_smol() {
    let later = Later { cents: Arc::default(), thought: || Box::pin(smol::future::yield_now()) };
    exercise(account::async_service(later, |task: Task| smol::spawn(task).detach()));
}

struct Unary;

impl stream::Stream for Unary {
    fn unary(&self, _: &Context<'_>, request: Amount) -> Result<Amount, Status> {
        Ok(request)
    }
}

impl river::River for Unary {}
impl nothing::Nothing for Unary {}

#[test]
fn unary_methods_beside_streams_are_served_and_streams_are_known() {
    let mut served =
        serve([stream::service(Unary), river::service(Unary), nothing::service(Unary)]);
    let mut blocking = stream::BlockingStreamClient::new(&mut served.blocking);
    assert_eq!(blocking.unary(&Amount { cents: 1 }).unwrap().cents, 1);
    let error = served.blocking.call_raw("stubs.semantics.Stream/Down", &[], &Options::default());
    assert_eq!(error.unwrap_err().code, Code::Unimplemented);
}

#[test]
fn handler_is_inline_when_it_is_asked_to_be() {
    // The same handler, not another: the state is one.
    let cents = account::service(Cents::default()).inline(&["Pay", "Balance"]);
    assert!(matches!(cents.methods()[0].action, Action::Inline(_)));
    let mut served = serve([cents]);
    let mut blocking = account::BlockingAccountClient::new(&mut served.blocking);
    blocking.pay(&Amount { cents: 6 }).unwrap();
    assert_eq!(blocking.balance(&Amount::default()).unwrap().cents, 6);
    assert_eq!(blocking.close(&Amount::default()).unwrap().cents, 6);
}
