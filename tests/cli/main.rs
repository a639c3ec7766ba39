//! The command line from outside: the real binaries, as a shell sees them.

#[path = "../common/mod.rs"]
mod common;

mod answers;
mod demo;
mod errors;
mod interrupts;
mod loops;
mod path;
mod run;
mod tokens;
mod tools;
mod usage;
