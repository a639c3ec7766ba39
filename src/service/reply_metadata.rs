//! The metadata that goes with a reply, while its handler gathers it.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::wire::{Metadata, MetadataError, MetadataRef};

/// What is to go with the reply of a call beside its message, or with its status. It counts as
/// part of the reply where a method's longest one is concerned; what is added after the call has
/// been answered is dropped.
#[derive(Debug, Default)]
pub struct ReplyMetadata(
    /// Most calls have none, and take no lock.
    OnceLock<Mutex<Metadata>>,
);

impl ReplyMetadata {
    /// Nothing yet. Takes no memory.
    pub const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// Gives a key this one value; what it had goes.
    ///
    /// # Errors
    ///
    /// When the pair cannot be sent; nothing has changed then.
    pub fn insert(&self, key: &str, value: impl AsRef<[u8]>) -> Result<(), MetadataError> {
        self.lock().insert(key, value)
    }

    /// Adds a value to those that a key has.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert).
    pub fn append(&self, key: &str, value: impl AsRef<[u8]>) -> Result<(), MetadataError> {
        self.lock().append(key, value)
    }

    /// What there is so far.
    pub fn get(&self) -> Metadata {
        self.with(|metadata| metadata.to_owned())
    }

    /// Looks at what there is.
    pub(crate) fn with<T>(&self, look: impl FnOnce(MetadataRef<'_>) -> T) -> T {
        match self.0.get() {
            Some(metadata) => look(lock(metadata).borrow()),
            None => look(MetadataRef::EMPTY),
        }
    }

    /// What there is, for the reply of a call that nobody else has in hand.
    pub(crate) fn into_inner(self) -> Metadata {
        let metadata = self.0.into_inner();
        metadata.map_or_else(Metadata::new, |metadata| {
            metadata.into_inner().unwrap_or_else(PoisonError::into_inner)
        })
    }

    /// What there is, for the reply.
    pub(crate) fn take(&self) -> Metadata {
        self.0.get().map_or_else(Metadata::new, |metadata| std::mem::take(&mut *lock(metadata)))
    }

    fn lock(&self) -> MutexGuard<'_, Metadata> {
        lock(self.0.get_or_init(Mutex::default))
    }
}

/// Metadata changes whole or not at all.
fn lock(metadata: &Mutex<Metadata>) -> MutexGuard<'_, Metadata> {
    metadata.lock().unwrap_or_else(PoisonError::into_inner)
}
