//! Two servers, of which one calls the other, and a buyer: `cargo run -p chain`.

use std::time::Duration;

use chain::orders::Clerk;
use chain::proto::shop::orders::{self, OrdersClient};
use chain::proto::shop::stock::{self, StockClient};
use chain::proto::shop::{Goods, Order};
use chain::stock::Warehouse;
use udp_rpc::client::{Client, Options};
use udp_rpc::server::{Running, Server};
use udp_rpc::service::{Context, Hook, Registry, Service};
use udp_rpc::wire::Code;

/// Writes down every call, and which trace it is of.
struct Diary(&'static str);

impl Hook for Diary {
    fn end(&self, context: &Context<'_>, code: Code, took: Duration) {
        let trace = context.metadata.get_text("traceparent").unwrap_or("no trace");
        println!("  {}: {} {} after {took:.0?} ({trace})", self.0, context.method, code.name());
    }
}

fn serve(name: &'static str, service: Service) -> Result<Running, Box<dyn std::error::Error>> {
    let mut registry = Registry::new();
    registry.add_service(service)?;
    // On one machine here; anywhere else it is `listen` and an address.
    Ok(Server::builder(registry).hook(Diary(name)).spawn_local()?)
}

fn order(pieces: u32, name: &str) -> Order {
    let goods = Some(Goods { name: name.to_owned(), pieces });
    Order { buyer: "Annie".to_owned(), goods }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let warehouse = Warehouse::with(&[("bicycle", 3), ("heavy anvil", 9)]);
    let behind = serve("stock ", stock::service(warehouse))?;

    // The server in front is a client too. Its handlers are futures, here on tokio.
    let runtime = tokio::runtime::Builder::new_multi_thread().build()?;
    let handle = runtime.handle().clone();
    let executor = move |task: udp_rpc::service::Task| drop(handle.spawn(task));
    let clerk = Clerk { stock: StockClient::new(Client::connect(behind.local_addr())?) };
    let front = serve("orders", orders::async_service(clerk, executor))?;

    let buyer = OrdersClient::new(Client::connect(front.local_addr())?);
    let mut options = Options::within(Duration::from_secs(2));
    let traced = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    options.metadata.insert("traceparent", traced)?;

    println!("two bicycles, within two seconds");
    let receipt = buyer.place_with(&order(2, "bicycle"), &options).wait()?.message;
    println!("receipt {}: {:?}", receipt.number, receipt.reserved.unwrap_or_default());

    println!("two more, of which there is one");
    let error = buyer.place_with(&order(2, "bicycle"), &options).wait().expect_err("too many");
    println!("{error}");

    println!("nine anvils, which take longer than that: both servers give up in time");
    let error = buyer.place_with(&order(9, "heavy anvil"), &options).wait().expect_err("too slow");
    println!("{error}");

    println!("nine anvils with all the time in the world, and a buyer who goes away");
    let patient = Options { timeout: Some(Duration::from_secs(30)), ..options };
    let call = buyer.place_with(&order(9, "heavy anvil"), &patient);
    std::thread::sleep(Duration::from_millis(200));
    call.cancel();
    println!("{}", call.wait().expect_err("cancelled"));

    front.shutdown(Duration::from_secs(5))?;
    behind.shutdown(Duration::from_secs(5))?;
    Ok(())
}
