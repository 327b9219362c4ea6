//! An answer at once, on whatever thread asks: from what is in memory, if nothing has changed since it was read.
//!
//! Only what costs little is done here: the kernel's queue is looked at, locks are tried, and a question that would take more
//! than a few thousand steps is put off. Who gets no answer asks the longer way, which is always right.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::cache::{self, Key};
use super::entry::FolderKind;
use super::folder::Freshness;
use super::reader::{Found, Request, Source};
use super::snapshot::Snapshot;
use super::view::View;
use crate::vault::{Boundary, Directory, Signature, UserPath, real_folder};

/// So many folders are remembered.
const MOST: usize = 1024;

/// Where a user's capsules were found when they were last read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    /// As it was named.
    folder: PathBuf,
    real: PathBuf,
    /// The vault, which it must be inside of.
    root: PathBuf,
    boundary: Boundary,
}

/// By what was asked: the vault, the users, the user and the folder of capsules.
type Question = (PathBuf, PathBuf, PathBuf, PathBuf);

static PLACES: Mutex<Option<HashMap<Question, Place>>> = Mutex::new(None);

fn question(request: &Request) -> Option<Question> {
    let capsules = request.capsules.clone()?;
    Some((request.vault.clone(), request.users.clone(), request.user.clone(), capsules))
}

/// Remembers where a question's folder is. Not of users in shards: somebody may come before them.
pub(super) fn remember(request: &Request, folder: &Path, real: &Path, root: &Path, boundary: &Boundary) {
    let Some(question) = question(request) else { return };
    let place = Place { folder: folder.into(), real: real.into(), root: root.into(), boundary: boundary.clone() };
    let Ok(mut places) = PLACES.try_lock() else { return };
    let places = places.get_or_insert_default();
    if places.get(&question) == Some(&place) {
        return;
    }
    if places.len() >= MOST {
        places.clear();
    }
    places.insert(question, place);
}

/// What [`read`](super::read) would find, if it is known already, and the folder, of whose files states can be asked.
/// `is_quiet` says of a watch that everything it was told of has been applied.
#[must_use]
pub fn read_unchanged(request: &Request, is_quiet: impl FnOnce() -> bool) -> Option<(Found, Directory)> {
    UserPath::new(&request.users, &request.user).ok()?;
    let question = question(request)?;
    let place = PLACES.try_lock().ok()?.as_ref()?.get(&question)?.clone();
    let (real, directory) = real_folder(&place.folder)?;
    if real != place.real || !real_folder(&place.root).is_some_and(|(root, _)| place.boundary.is_at(&root)) {
        return None;
    }
    let (snapshot, freshness) = snapshot(request, real, &directory.signature().ok()?, is_quiet)?;
    let view = View::of_folder(&place.folder, snapshot);
    let found = Found { source: Source::Capsules, folder: Some(place.folder), view, warnings: Vec::new(), freshness };
    Some((found, directory))
}

fn snapshot(
    request: &Request,
    real: PathBuf,
    own: &Signature,
    is_quiet: impl FnOnce() -> bool,
) -> Option<(Arc<Snapshot>, Freshness)> {
    if let Some(watched) = &request.watched {
        return is_quiet()
            .then(|| watched.unchanged(&real, own))
            .flatten()
            .map(|snapshot| (snapshot, Freshness::Watched));
    }
    let key = Key { path: real, kind: FolderKind::Capsules, storage: request.storage.clone() };
    cache::known(&key)?.unchanged(own).map(|snapshot| (snapshot, Freshness::Notified))
}
