//! Ctrl-C: the first asks the command to end well, the second ends it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::SIGINT;

use crate::exit::Exit;

/// How often a wait looks for Ctrl-C. A signal usually ends the wait itself; this bounds the case
/// in which it came just before.
pub(crate) const SLICE: Duration = Duration::from_millis(50);

/// Whether Ctrl-C was pressed.
#[derive(Clone, Debug)]
pub(crate) struct Interrupts {
    pressed: Arc<AtomicBool>,
}

impl Interrupts {
    /// Takes SIGINT over from the shell's default.
    ///
    /// # Errors
    ///
    /// When the operating system refuses.
    pub(crate) fn install() -> io::Result<Interrupts> {
        let pressed = Arc::new(AtomicBool::new(false));
        let status = i32::from(Exit::Interrupted.number());
        // In this order: the first signal arms what the second finds.
        signal_hook::flag::register_conditional_shutdown(SIGINT, status, Arc::clone(&pressed))?;
        signal_hook::flag::register(SIGINT, Arc::clone(&pressed))?;
        Ok(Interrupts { pressed })
    }

    /// Whether it was pressed.
    pub(crate) fn pressed(&self) -> bool {
        self.pressed.load(Ordering::Relaxed)
    }

    /// Sleeps until `instant`, or until Ctrl-C; whether the sleep was undisturbed.
    pub(crate) fn sleep_until(&self, instant: Instant) -> bool {
        loop {
            let left = instant.saturating_duration_since(Instant::now());
            if self.pressed() || left.is_zero() {
                return !self.pressed();
            }
            std::thread::sleep(left.min(SLICE));
        }
    }
}
