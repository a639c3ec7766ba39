//! Clients from outside: calls as futures on several runtimes and as calls that are waited for,
//! many at once, dropped, cancelled, made on behalf of others, watched by hooks.
#![cfg(feature = "cli")]

#[path = "../common/mod.rs"]
mod common;

mod dropping;
mod futures;
mod hooks;
mod many;
mod nested;
mod stage;
