//! What a memory is filtered by, small enough to pass over thousands without a look at any of them.

use super::entry::Entry;
use super::view::{Query, SessionFilter};

/// Hashes of a memory's role, session and tags. Which memory has another can't pass a filter; which has the same may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct FilterKey {
    role: Option<u32>,
    /// `None` for a memory that names no session: it is of any.
    session: Option<u32>,
    /// A bit for each tag.
    tags: u64,
}

impl FilterKey {
    pub(super) fn of(entry: &Entry) -> Self {
        let Ok(memory) = entry.memory() else { return Self::default() };
        Self {
            role: memory.role().map(|role| crc32fast::hash(&role)),
            session: memory.session().map(|session| crc32fast::hash(&session)),
            tags: bits(memory.tags().iter()),
        }
    }
}

/// What a question filters by.
#[derive(Debug, Clone, Copy)]
pub(super) struct WantedKey {
    role: Option<u32>,
    session: Option<WantedSession>,
    tags: u64,
}

#[derive(Debug, Clone, Copy)]
enum WantedSession {
    Named(u32),
    Nameless,
}

impl WantedKey {
    /// `None` if nothing is filtered by.
    pub(super) fn of(query: &Query) -> Option<Self> {
        if query.role.is_none() && query.session.is_none() && query.tags.is_empty() {
            return None;
        }
        Some(Self {
            role: query.role.as_deref().map(crc32fast::hash),
            session: query.session.as_ref().map(|session| match session {
                SessionFilter::Named(session) => WantedSession::Named(crc32fast::hash(session)),
                SessionFilter::Nameless => WantedSession::Nameless,
            }),
            tags: bits(query.tags.iter()),
        })
    }

    /// Whether a memory of this key may pass.
    pub(super) fn may_be(&self, key: &FilterKey) -> bool {
        let is_of_session = match (self.session, key.session) {
            (None, _) | (Some(_), None) => true,
            (Some(WantedSession::Named(wanted)), Some(own)) => wanted == own,
            (Some(WantedSession::Nameless), Some(_)) => false,
        };
        is_of_session && (self.role.is_none() || self.role == key.role) && self.tags & !key.tags == 0
    }
}

fn bits<T: AsRef<[u8]>>(tags: impl Iterator<Item = T>) -> u64 {
    tags.fold(0, |bits, tag| bits | 1 << (crc32fast::hash(tag.as_ref()) % 64))
}
