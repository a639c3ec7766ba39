//! Which process this is: what belongs to one is not to be used by another, forked from it.

use forkguard::Guard;

/// The process that something belongs to.
///
/// A fork is told by `pthread_atfork`, not by the process id: that is a system call, and takes as
/// long as much of a call. A process made by `clone(2)` behind the C library's back is not told
/// apart from the one it was made from.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    id: u32,
    guard: Guard,
    #[cfg(test)]
    forked: bool,
}

impl Process {
    /// The one that this is.
    pub(crate) fn this() -> Self {
        Self {
            id: std::process::id(),
            guard: forkguard::new(),
            #[cfg(test)]
            forked: false,
        }
    }

    /// Another one, from which this was forked.
    #[cfg(test)]
    pub(crate) fn parent() -> Self {
        Self { forked: true, ..Self::this() }
    }

    /// Its id.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// Whether this is not it any more, but a process that was forked from it.
    pub(crate) fn is_left(&self) -> bool {
        #[cfg(test)]
        if self.forked {
            return true;
        }
        self.guard.clone().detected_fork()
    }
}
