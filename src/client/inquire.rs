//! Asking later what became of a call.

use std::io;
use std::time::Duration;

use super::link::Link;
use super::observe::Observer;
use crate::core::CallToken;
use crate::core::client::{Asked, Fate, Inquiry};
use crate::core::fault::Faults;
use crate::net;

/// Asks the server that `token` names what became of its call, for at most `timeout`. Any
/// process may ask; it needs nothing but the token.
///
/// `observer` is told of every datagram.
///
/// # Errors
///
/// When the operating system gives no socket or no randomness. That the server does not answer is
/// no error but [`Fate::Unknown`].
pub fn inquire(
    token: &CallToken,
    what: Asked,
    timeout: Duration,
    faults: Faults,
    observer: Option<Observer>,
) -> io::Result<Fate> {
    let seed = net::seed()?;
    let mut link = Link::new(faults, &seed, observer)?;
    let now = link.now();
    let deadline = now + timeout;
    let mut inquiry = Inquiry::new(now, *token, what, deadline, seed);
    loop {
        if let Some(fate) = inquiry.fate() {
            return Ok(fate.clone());
        }
        link.turn(&mut inquiry, deadline)?;
    }
}
