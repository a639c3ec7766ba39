//! Worlds by the thousand, and scenarios by hand.

mod controls;
mod corpus;
mod stage;
mod worlds;
