//! The folders that are kept in memory: process-wide, so that worker threads share them, and limited.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, Weak};
use std::time::Duration;

use super::compaction;
use super::entry::FolderKind;
use super::folder::{Folder, Refreshed, Ticket};
use super::storage::Storage;
use crate::lock::lock;
use crate::vault::let_go_of_unused;

/// About so many bytes are kept; the folders that were not used for longest go first.
const CAPACITY: usize = 512 << 20;
/// What an index costs without any file, in bytes.
const EMPTY: usize = 2 << 10;
/// What nobody has asked for so long is given back to the system.
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
    let Cache { folders, heap_size } = &mut *cache;
    let kept = folders.entry(key.clone()).or_insert_with(|| {
        *heap_size += EMPTY;
        let folder = Arc::new(Folder::new(key.kind.clone(), key.path.clone(), key.storage.clone()));
        Kept { folder, used: Ticket::draw(), heap_size: EMPTY }
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
    let mut cache = lock(&CACHE);
    let heap_size = refreshed.snapshot.heap_size() + EMPTY;
    if let Some(kept) = cache.folders.get_mut(key) {
        if refreshed.behind {
            compaction::schedule(&kept.folder);
        }
        if refreshed.unwatched {
            watch_soon(Arc::downgrade(&kept.folder));
        }
        let before = std::mem::replace(&mut kept.heap_size, heap_size);
        cache.heap_size = cache.heap_size - before + heap_size;
    }
    while cache.heap_size > CAPACITY {
        let others = cache.folders.iter().filter(|(other, _)| *other != key);
        let Some(oldest) = others.min_by_key(|(_, kept)| kept.used).map(|(other, _)| other.clone()) else { break };
        if let Some(gone) = cache.folders.remove(&oldest) {
            cache.heap_size -= gone.heap_size;
        }
    }
    drop(cache);
    give_back_in_time();
}

/// Has a folder watched that was read without, by a thread. Who asks before does it himself.
fn watch_soon(folder: Weak<Folder>) {
    /// Who has just read it has to make his answer of it first.
    const DELAY: Duration = Duration::from_millis(2);
    let work = move || {
        std::thread::sleep(DELAY);
        if let Some(folder) = folder.upgrade() {
            // If that fails, the next who asks is told why.
            let _ = folder.watch();
        }
    };
    // Without a thread the next who asks does it.
    let _ = std::thread::Builder::new().name("vvault-watching".to_owned()).spawn(work);
}

/// Sees to it that what nobody needs any more is given back in time, by a thread, as long as any folder is known.
fn give_back_in_time() {
    static RUNNING: AtomicBool = AtomicBool::new(false);
    if RUNNING.swap(true, Ordering::SeqCst) {
        return;
    }
    let work = || {
        while give_back(IDLE) {
            std::thread::sleep(IDLE / 5);
        }
        RUNNING.store(false, Ordering::SeqCst);
        // One that came meanwhile relied on this thread.
        if !lock(&CACHE).folders.is_empty() {
            give_back_in_time();
        }
    };
    if std::thread::Builder::new().name("vvault-idle".to_owned()).spawn(work).is_err() {
        RUNNING.store(false, Ordering::SeqCst);
    }
}

/// Gives back the watches and handles that nobody has used for so long, and all that is kept of folders that are gone: what
/// was deleted must not stay. Gives whether any folder is left.
fn give_back(idle: Duration) -> bool {
    let folders: Vec<(Key, Arc<Folder>)> =
        lock(&CACHE).folders.iter().map(|(key, kept)| (key.clone(), kept.folder.clone())).collect();
    for (key, folder) in folders {
        if matches!(key.path.try_exists(), Ok(false)) {
            forget(&key);
        } else {
            folder.rest(idle);
        }
    }
    let_go_of_unused(idle);
    !lock(&CACHE).folders.is_empty()
}

/// Forgets a folder that is gone, also where segments are kept.
fn forget(key: &Key) {
    let mut cache = lock(&CACHE);
    let gone = cache.folders.remove(key);
    cache.heap_size -= gone.as_ref().map_or(0, |gone| gone.heap_size);
    drop(cache);
    if let Some(storage) = &key.storage {
        storage.remove(&key.path, &key.kind);
    }
}

/// Has a folder that is watched by the system's notifications give them back in time.
pub(super) fn give_back_watches() {
    give_back_in_time();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::Progress;
    use crate::vault::{Boundary, Directory};

    #[test]
    fn what_is_gone_is_kept_nowhere() {
        let (vault, kept) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let storage = Arc::new(Storage::new(kept.path()));
        let segments = || {
            let files = std::fs::read_dir(kept.path().join("memories")).into_iter().flatten().flatten();
            files.filter(|file| file.path().extension().is_some_and(|extension| extension == "segment")).count()
        };
        let read = |name: &str| {
            let path = vault.path().canonicalize().expect("a folder").join(name);
            std::fs::create_dir(&path).expect("a folder");
            for number in 0..4 {
                std::fs::write(path.join(format!("{number}.json")), r#"{"raw":"secret"}"#).expect("written");
            }
            let key = Key { path, kind: FolderKind::Capsules, storage: Some(storage.clone()) };
            let boundary = Boundary::new(vault.path()).expect("a vault");
            let directory = Directory::open(&key.path).expect("a folder");
            let folder = folder(&key);
            let asked = Ticket::draw();
            note(&key, &folder.refresh(&directory, &boundary, asked, &Progress::default()).expect("files"));
            // Young files can't go into a segment.
            while segments() == 0 {
                std::thread::sleep(Duration::from_millis(20));
                folder.compact();
            }
            key
        };
        let gone = read("ann");
        std::fs::remove_dir_all(&gone.path).expect("removed");
        give_back(IDLE);
        assert!(!lock(&CACHE).folders.contains_key(&gone));
        assert_eq!(segments(), 0);
        let there = read("bob");
        give_back(IDLE);
        assert!(lock(&CACHE).folders.contains_key(&there));
        assert_eq!(segments(), 1);
    }
}
