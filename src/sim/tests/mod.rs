//! Tests.
mod stage;
