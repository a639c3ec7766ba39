//! Worlds by the thousand, and scenarios by hand.

mod stage;
mod worlds;
