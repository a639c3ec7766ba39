//! What goes down a chain of two services without anybody handing it down: the deadline, the
//! cancellation and the trace context of the call in front.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chain::orders::{Clerk, SlowButSure};
use chain::proto::shop::orders::{self, OrdersClient};
use chain::proto::shop::stock::{self, BlockingStockClient, Stock, StockClient};
use chain::proto::shop::{Goods, Order, Receipt, Reserved};
use udp_rpc::client::{BlockingClient, Client, Hook, Options, Starting};
use udp_rpc::core::{CallError, Outcome};
use udp_rpc::server::{Running, Server};
use udp_rpc::service::{Context, Registry, Service, Status, Task};
use udp_rpc::wire::{Code, Metadata};

/// How long a test waits for what must come, however slow the machine.
const PATIENCE: Duration = Duration::from_secs(20);

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// What the service behind is told of a call.
struct Seen {
    deadline: Instant,
    metadata: Metadata,
}

/// A stock that tells what it sees, and then waits until nobody waits for it, if it is asked to.
struct Watched {
    seen: Sender<Seen>,
    gone: Sender<Status>,
}

const UNTIL_CANCELLED: &str = "what nobody can carry";

impl Stock for Watched {
    fn reserve(&self, context: &Context<'_>, goods: Goods) -> Result<Reserved, Status> {
        let (deadline, metadata) = (context.deadline, context.metadata.to_owned());
        self.seen.send(Seen { deadline, metadata }).unwrap();
        if goods.name == UNTIL_CANCELLED {
            assert!(context.cancel.wait_timeout(PATIENCE), "nobody cancelled the call behind");
            let why = context.check().unwrap_err();
            self.gone.send(why.clone()).unwrap();
            return Err(why);
        }
        Ok(Reserved { left: 1, spare: None })
    }
}

fn serve(service: Service) -> Running {
    let mut registry = Registry::new();
    registry.add_service(service).unwrap();
    Server::spawn_local(registry).unwrap()
}

/// Orders in front of a stock that is watched.
struct Chain {
    front: Running,
    seen: Receiver<Seen>,
    gone: Receiver<Status>,
    /// Dropped last, like the runtime.
    _behind: Running,
    _runtime: tokio::runtime::Runtime,
}

/// How the handler in front calls the one behind.
#[derive(Debug, Clone, Copy)]
enum Front {
    /// On a thread of the pool, through a client that has a thread of its own.
    Pooled,
    /// On a thread of the pool, through a client that has none.
    Blocking,
    /// As a future.
    Asynchronous,
}

const FRONTS: [Front; 3] = [Front::Pooled, Front::Blocking, Front::Asynchronous];

impl Chain {
    fn new(front: Front) -> Self {
        let (seen, seeing) = channel();
        let (gone, going) = channel();
        let behind = serve(stock::service(Watched { seen, gone }));
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let stock = || StockClient::new(Client::connect(behind.local_addr()).unwrap());
        let front = serve(match front {
            Front::Pooled => orders::service(Clerk { stock: stock() }),
            Front::Blocking => {
                let client = BlockingClient::connect(behind.local_addr()).unwrap();
                let stock = Arc::new(Mutex::new(BlockingStockClient::new(client)));
                orders::service(SlowButSure { stock })
            }
            Front::Asynchronous => {
                let handle = runtime.handle().clone();
                let executor = move |task: Task| drop(handle.spawn(task));
                orders::async_service(Clerk { stock: stock() }, executor)
            }
        });
        Self { front, seen: seeing, gone: going, _behind: behind, _runtime: runtime }
    }

    fn buyer(&self) -> OrdersClient {
        OrdersClient::new(Client::connect(self.front.local_addr()).unwrap())
    }

    fn seen(&self) -> Seen {
        self.seen.recv_timeout(PATIENCE).expect("the stock is asked")
    }
}

fn order(name: &str) -> Order {
    let goods = Some(Goods { name: name.to_owned(), pieces: 1 });
    Order { buyer: "Annie".to_owned(), goods }
}

#[track_caller]
fn reserved(receipt: Result<Receipt, CallError>) {
    assert_eq!(receipt.unwrap().reserved, Some(Reserved { left: 1, spare: None }));
}

#[test]
fn call_behind_gets_what_the_caller_in_front_has_left() {
    for front in FRONTS {
        let chain = Chain::new(front);
        // Less than a client waits by itself, which would show if it stood in for what is left.
        let timeout = Duration::from_secs(4);
        let asked = Instant::now();
        let call = chain.buyer().place_with(&order("bicycle"), &Options::within(timeout));
        let latest = Instant::now() + timeout;
        reserved(call.wait().map(|response| response.message));
        let deadline = chain.seen().deadline;
        assert!(deadline <= latest, "{front:?}: {:?} too late", deadline - latest);
        // And it is all that is left, but for what each side believes the other's clock to be
        // behind: a round trip, and a thousandth for how differently they may run.
        let margin = 2 * asked.elapsed() + timeout / 100;
        assert!(latest - deadline <= margin, "{front:?}: {:?} too early", latest - deadline);
    }
}

#[test]
fn deadline_in_front_ends_the_call_behind() {
    for front in FRONTS {
        let chain = Chain::new(front);
        let options = Options::within(Duration::from_millis(400));
        let error = chain.buyer().place_with(&order(UNTIL_CANCELLED), &options).wait().unwrap_err();
        assert_eq!(error.code, Code::DeadlineExceeded, "{front:?}: {error}");
        // Its own client alone would have waited for ten seconds.
        let why = chain.gone.recv_timeout(Duration::from_secs(5)).expect("it is told");
        assert_eq!(why.code, Code::DeadlineExceeded, "{front:?}");
    }
}

#[test]
fn cancellation_in_front_reaches_the_handler_behind() {
    for front in FRONTS {
        let chain = Chain::new(front);
        let options = Options::within(PATIENCE);
        let call = chain.buyer().place_with(&order(UNTIL_CANCELLED), &options);
        chain.seen();
        call.cancel();
        let why = chain.gone.recv_timeout(PATIENCE).expect("it is told");
        assert_eq!(why.code, Code::Cancelled, "{front:?}");
        // Both ran, and the buyer hears what the clerk made of it.
        let error = call.wait().unwrap_err();
        assert_eq!((error.code, error.outcome), (Code::Cancelled, Outcome::Executed), "{front:?}");
    }
}

#[test]
fn call_in_front_that_is_dropped_takes_the_one_behind_with_it() {
    for front in FRONTS {
        let chain = Chain::new(front);
        let call = chain.buyer().place_with(&order(UNTIL_CANCELLED), &Options::within(PATIENCE));
        chain.seen();
        drop(call);
        let why = chain.gone.recv_timeout(PATIENCE).expect("it is told");
        assert_eq!(why.code, Code::Cancelled, "{front:?}");
    }
}

#[test]
fn of_the_metadata_the_trace_context_goes_down_and_nothing_else() {
    /// Adds to every call what its process has to show for itself.
    struct Credentials;
    impl Hook for Credentials {
        fn start(&self, call: &mut Starting<'_>) {
            call.metadata.insert("authorization", "buyer's own").unwrap();
        }
    }
    for front in FRONTS {
        let chain = Chain::new(front);
        let client = Client::builder().hook(Credentials).connect(chain.front.local_addr()).unwrap();
        let mut options = Options::within(PATIENCE);
        options.metadata.insert("traceparent", TRACEPARENT).unwrap();
        options.metadata.insert("tracestate", "shop=1").unwrap();
        let call = OrdersClient::new(client).place_with(&order("bicycle"), &options);
        reserved(call.wait().map(|response| response.message));
        let metadata = chain.seen().metadata;
        let pairs: Vec<_> = metadata.iter().collect();
        let trace = [("traceparent", TRACEPARENT.as_bytes()), ("tracestate", b"shop=1")];
        assert_eq!(pairs, trace, "{front:?}");
    }
}

#[test]
fn failure_behind_is_told_in_front_with_what_is_known_of_it() {
    let behind = serve(stock::service(chain::stock::Warehouse::with(&[("bicycle", 3)])));
    let stock = StockClient::new(Client::connect(behind.local_addr()).unwrap());
    let front = serve(orders::service(Clerk { stock }));
    let buyer = OrdersClient::new(Client::connect(front.local_addr()).unwrap());
    let error = buyer.place(&order("unicorn")).wait().unwrap_err();
    assert_eq!((error.code, error.outcome), (Code::NotFound, Outcome::Executed));
    assert!(error.message.contains("NOT_FOUND: we have no unicorn; executed"), "{error}");

    // What runs in front has run, whatever becomes of the call behind.
    drop(behind);
    let error = buyer.place_with(&order("bicycle"), &Options::within(Duration::from_secs(2)));
    let error = error.wait().unwrap_err();
    assert!(matches!(error.code, Code::Unavailable | Code::DeadlineExceeded), "{error}");
    assert!(!matches!(error.outcome, Outcome::NotExecuted(_)), "{error}");
}
