//! The service behind: a warehouse.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use udp_rpc::service::{Context, Status};

use crate::proto::shop::stock::Stock;
use crate::proto::shop::{Goods, Reserved};

/// How long it takes to carry a piece of goods that is heavy.
const CARRYING: Duration = Duration::from_secs(1);

/// Goods, and how many pieces there are of each.
#[derive(Debug, Default)]
pub struct Warehouse {
    pieces: Mutex<BTreeMap<String, u32>>,
}

impl Warehouse {
    /// A warehouse with these goods.
    pub fn with(goods: &[(&str, u32)]) -> Self {
        let pieces = goods.iter().map(|(name, pieces)| ((*name).to_owned(), *pieces));
        Self { pieces: Mutex::new(pieces.collect()) }
    }
}

impl Stock for Warehouse {
    /// Runs on the server's pool, so it may take its time; it looks now and then whether anybody
    /// still waits.
    fn reserve(&self, context: &Context<'_>, goods: Goods) -> Result<Reserved, Status> {
        if goods.name.starts_with("heavy ") {
            for _ in 0..goods.pieces {
                context.cancel.wait_timeout(CARRYING);
                // The goods stay where they are when the buyer has gone.
                context.check()?;
            }
        }
        let mut stock = self.pieces.lock().unwrap_or_else(PoisonError::into_inner);
        let pieces = stock
            .get_mut(&goods.name)
            .ok_or_else(|| Status::not_found(format!("we have no {}", goods.name)))?;
        *pieces = pieces.checked_sub(goods.pieces).ok_or_else(|| {
            Status::failed_precondition(format!("there are only {pieces} of {}", goods.name))
        })?;
        let spare = context.remaining().try_into().ok();
        Ok(Reserved { left: *pieces, spare })
    }
}
