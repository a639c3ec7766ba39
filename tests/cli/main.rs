//! The command line from outside: the real binaries, as a shell sees them.

#[path = "../common/mod.rs"]
mod common;
#[allow(dead_code, reason = "each test uses a part of it")]
#[path = "../protocol/mod.rs"]
mod protocol;

mod answers;
mod batch;
mod bench;
mod demo;
mod describe;
mod errors;
mod hostile;
mod input;
mod interrupts;
mod loops;
mod meeting;
mod metadata;
mod path;
mod proto;
mod real;
mod reflected;
mod run;
mod shop;
mod tokens;
mod tools;
mod usage;
