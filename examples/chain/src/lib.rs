//! One service calling another: orders, which ask the stock.
//!
//! A call that a handler makes is on behalf of the handler's own call: it ends by the same
//! deadline, is cancelled with it and carries its trace context on. Nobody has to hand any of this
//! down; `tests/chain.rs` holds the library to it.

pub mod orders;
pub mod stock;

/// What the generator makes of `proto/shop.proto`.
pub mod proto {
    udp_rpc::include_protos!();
}
