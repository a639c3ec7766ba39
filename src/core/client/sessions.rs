//! The sessions of a client: the current one, and those it has left in which calls still run.
//!
//! Mostly there is one, and there are never many: a sorted list finds it faster than a tree.

use super::session::Session;
use crate::wire::SessionId;

/// Sessions by their ids.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Sessions(Vec<Session>);

impl Sessions {
    fn place(&self, id: SessionId) -> Result<usize, usize> {
        match self.0.as_slice() {
            [only] if only.id == id => Ok(0),
            several => several.binary_search_by_key(&id, |session| session.id),
        }
    }

    pub(super) fn get(&self, id: SessionId) -> Option<&Session> {
        self.0.get(self.place(id).ok()?)
    }

    pub(super) fn get_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        let place = self.place(id).ok()?;
        self.0.get_mut(place)
    }

    pub(super) fn contains(&self, id: SessionId) -> bool {
        self.place(id).is_ok()
    }

    pub(super) fn insert(&mut self, session: Session) {
        match self.place(session.id) {
            Ok(_) => debug_assert!(false, "a session of this id is there"),
            Err(place) => self.0.insert(place, session),
        }
    }

    pub(super) fn remove(&mut self, id: SessionId) {
        if let Ok(place) = self.place(id) {
            self.0.remove(place);
        }
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = SessionId> {
        self.0.iter().map(|session| session.id)
    }
}
