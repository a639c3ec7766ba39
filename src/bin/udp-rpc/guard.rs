//! What other people's code does with a peer's descriptors, kept from ending the process.
//!
//! prost-reflect takes descriptors for granted in places, and panics on some that no compiler
//! makes. They come from a peer, so a panic is taken for what it is: an error in them.

use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::{Mutex, PoisonError};

/// Runs `body`; `None`, and nothing on stderr, if it panics. Only for code that is not ours and
/// leaves nothing half done behind.
pub(crate) fn quietly<T>(body: impl FnOnce() -> T) -> Option<T> {
    // Tests call this from several threads, and there is one hook for all.
    static HOOK: Mutex<()> = Mutex::new(());
    let _turn = HOOK.lock().unwrap_or_else(PoisonError::into_inner);
    let hook = take_hook();
    set_hook(Box::new(|_| {}));
    let result = catch_unwind(AssertUnwindSafe(body));
    set_hook(hook);
    result.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_answer_too() {
        assert_eq!(quietly(|| 7), Some(7));
        assert_eq!(quietly(|| -> u8 { panic!("not shown") }), None);
    }
}
