//! What other people's code does with a peer's descriptors, kept from ending the process or from
//! keeping it busy for ever.
//!
//! prost-reflect takes descriptors for granted in places, and panics on some that no compiler
//! makes. They come from a peer, so a panic is taken for what it is: an error in them.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::{Once, mpsc};
use std::thread;
use std::time::Duration;

/// Stack of a thread that reads what a peer says, bytes: several times what the deepest descriptors
/// that pass [`crate::descriptors::check`] were seen to take without optimisation.
const STACK: usize = 64 << 20;

thread_local! {
    /// This thread's panics are answers, and not for stderr.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs `body`; `None`, and nothing on stderr, if it panics. Only for code that is not ours and
/// leaves nothing half done behind.
pub(crate) fn quietly<T>(body: impl FnOnce() -> T) -> Option<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let loud = take_hook();
        set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                loud(panic);
            }
        }));
    });
    let before = QUIET.replace(true);
    let result = catch_unwind(AssertUnwindSafe(body));
    QUIET.set(before);
    result.ok()
}

/// Runs `body` as [`quietly`] does, on a thread with much stack, for at most this long; then the
/// thread is left to itself, and goes with the process.
///
/// # Errors
///
/// Why there is no result.
pub(crate) fn within<T: Send + 'static>(
    limit: Duration,
    body: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Unfinished> {
    let (done, result) = mpsc::channel();
    let work = move || {
        // Whoever waited may have gone.
        let _ = done.send(quietly(body));
    };
    let started = thread::Builder::new().stack_size(STACK).spawn(work);
    started.map_err(|_| Unfinished::NoThread)?;
    match result.recv_timeout(limit) {
        Ok(Some(value)) => Ok(value),
        Ok(None) => Err(Unfinished::Panicked),
        Err(_) => Err(Unfinished::OutOfTime),
    }
}

/// Why something that was to end [`within`] a time has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfinished {
    /// It panicked.
    Panicked,
    /// It did not end in time.
    OutOfTime,
    /// The operating system has no thread for it.
    NoThread,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_answer_too() {
        assert_eq!(quietly(|| 7), Some(7));
        assert_eq!(quietly(|| -> u8 { panic!("not shown") }), None);
        assert_eq!(within(Duration::from_secs(60), || 7), Ok(7));
        let panics = || -> u8 { panic!("not shown either") };
        assert_eq!(within(Duration::from_secs(60), panics), Err(Unfinished::Panicked));
    }

    #[test]
    fn what_does_not_end_is_left() {
        let (_keep, never) = mpsc::channel::<()>();
        let waits = move || never.recv().is_ok();
        assert_eq!(within(Duration::from_millis(1), waits), Err(Unfinished::OutOfTime));
    }
}
