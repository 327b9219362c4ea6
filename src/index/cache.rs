//! The folders that are kept in memory: process-wide, so that worker threads share them, and limited.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use super::compaction;
use super::entry::FolderKind;
use super::folder::{Folder, Refreshed, Ticket};
use super::storage::Storage;
use crate::lock::lock;

/// About so many bytes are kept; the folders that were not used for longest go first.
const CAPACITY: usize = 512 << 20;
/// A folder that nobody has asked for so long is watched no longer.
const IDLE: Duration = Duration::from_secs(300);

struct Kept {
    folder: Arc<Folder>,
    used: Ticket,
    heap_size: usize,
}

/// Its real path, what is in it, and where segments of it are kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) path: PathBuf,
    pub(super) kind: FolderKind,
    pub(super) storage: Option<Arc<Storage>>,
}

#[derive(Default)]
struct Cache {
    folders: HashMap<Key, Kept>,
    heap_size: usize,
}

static CACHE: LazyLock<Mutex<Cache>> = LazyLock::new(Mutex::default);

/// The index of a folder.
pub(super) fn folder(key: &Key) -> Arc<Folder> {
    let mut cache = lock(&CACHE);
    let kept = cache.folders.entry(key.clone()).or_insert_with(|| Kept {
        folder: Arc::new(Folder::new(key.kind.clone(), key.path.clone(), key.storage.clone())),
        used: Ticket::draw(),
        heap_size: 0,
    });
    kept.used = Ticket::draw();
    kept.folder.clone()
}

/// The index of a folder that has been asked for before, if that can be told without waiting.
pub(super) fn known(key: &Key) -> Option<Arc<Folder>> {
    let mut cache = CACHE.try_lock().ok()?;
    let kept = cache.folders.get_mut(key)?;
    kept.used = Ticket::draw();
    Some(kept.folder.clone())
}

/// Notes what a folder's index has become: how large, and whether it is to be compacted. Lets others go if all together
/// are too large.
pub(super) fn note(key: &Key, refreshed: &Refreshed) {
    /// What an index costs without any file.
    const EMPTY: usize = 1024;
    let mut cache = lock(&CACHE);
    let heap_size = refreshed.snapshot.heap_size() + EMPTY;
    if let Some(kept) = cache.folders.get_mut(key) {
        if refreshed.behind {
            compaction::schedule(&kept.folder);
        }
        let before = std::mem::replace(&mut kept.heap_size, heap_size);
        cache.heap_size = cache.heap_size - before + heap_size;
    }
    while cache.heap_size > CAPACITY {
        let others = cache.folders.iter().filter(|(other, kept)| *other != key && kept.heap_size > 0);
        let Some(oldest) = others.min_by_key(|(_, kept)| kept.used).map(|(other, _)| other.clone()) else { break };
        if let Some(gone) = cache.folders.remove(&oldest) {
            cache.heap_size -= gone.heap_size;
        }
    }
}

/// Sees to it that the system's watches are given back in time: by a thread, as long as there are any.
pub(super) fn give_back_watches() {
    static RUNNING: AtomicBool = AtomicBool::new(false);
    if RUNNING.swap(true, Ordering::SeqCst) {
        return;
    }
    let work = || {
        while any_after(|folder| folder.rest(IDLE)) {
            std::thread::sleep(IDLE / 5);
        }
        RUNNING.store(false, Ordering::SeqCst);
        // One that began to be watched meanwhile relied on this thread.
        if any_after(|folder| folder.rest(IDLE)) {
            give_back_watches();
        }
    };
    if std::thread::Builder::new().name("vvault-idle".to_owned()).spawn(work).is_err() {
        RUNNING.store(false, Ordering::SeqCst);
    }
}

/// Whether any folder answers so; all are asked.
fn any_after(ask: impl Fn(&Folder) -> bool) -> bool {
    let folders: Vec<Arc<Folder>> = lock(&CACHE).folders.values().map(|kept| kept.folder.clone()).collect();
    folders.iter().filter(|folder| ask(folder)).count() > 0
}

/// Makes segments of what was read below a folder, without waiting for a better time.
pub fn compact_below(root: &Path, storage: &Storage) {
    let is_wanted = |key: &Key| key.path.starts_with(root) && key.storage.as_deref() == Some(storage);
    let wanted: Vec<Arc<Folder>> = {
        let cache = lock(&CACHE);
        cache.folders.iter().filter(|(key, _)| is_wanted(key)).map(|(_, kept)| kept.folder.clone()).collect()
    };
    for folder in wanted {
        folder.compact();
    }
}
