//! The service in front: a clerk who takes orders and asks the stock, three times over.
//!
//! None of the three says a word about deadlines or cancellation: what the buyer's call has left
//! is what the call to the stock gets.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use udp_rpc::service::{Context, OwnedContext, Status};

use crate::proto::shop::orders::{AsyncOrders, Orders};
use crate::proto::shop::stock::{BlockingStockClient, StockClient};
use crate::proto::shop::{Order, Receipt, Reserved};

/// The numbers of receipts.
static LAST: AtomicU64 = AtomicU64::new(0);

fn receipt(reserved: Reserved) -> Receipt {
    let number = LAST.fetch_add(1, Ordering::Relaxed) + 1;
    Receipt { number, reserved: Some(reserved) }
}

/// A clerk with a client that any number of calls share.
#[derive(Debug, Clone)]
pub struct Clerk {
    /// The way to the stock.
    pub stock: StockClient,
}

/// On a thread of the server's pool, which waits meanwhile.
impl Orders for Clerk {
    fn place(&self, _: &Context<'_>, order: Order) -> Result<Receipt, Status> {
        let reserved = self.stock.reserve(&order.goods.unwrap_or_default()).wait()?;
        Ok(receipt(reserved))
    }
}

/// As a future, on whatever runtime: thousands of orders wait at once, on no thread at all. It is
/// dropped when the buyer cancels, and the call to the stock with it.
impl AsyncOrders for Clerk {
    async fn place(&self, _: OwnedContext, order: Order) -> Result<Receipt, Status> {
        let reserved = self.stock.reserve(&order.goods.unwrap_or_default()).await?;
        Ok(receipt(reserved))
    }
}

/// A clerk with a client for one call at a time, as quick as a socket can be.
#[derive(Debug, Clone)]
pub struct SlowButSure {
    /// The way to the stock, for one at a time.
    pub stock: Arc<Mutex<BlockingStockClient>>,
}

impl Orders for SlowButSure {
    fn place(&self, _: &Context<'_>, order: Order) -> Result<Receipt, Status> {
        let mut stock = self.stock.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(receipt(stock.reserve(&order.goods.unwrap_or_default())?))
    }
}
