//! Worlds by the thousand, and scenarios by hand.

mod controls;
mod corpus;
mod properties;
mod stage;
mod worlds;
