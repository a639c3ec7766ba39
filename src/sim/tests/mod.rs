//! Worlds by the thousand, and scenarios by hand.

mod controls;
mod stage;
mod worlds;
