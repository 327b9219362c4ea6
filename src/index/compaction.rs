//! Makes segments of what was read, by a thread, as long as there is something to do.

use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use super::folder::Folder;
use crate::lock::lock;

/// Who has just read a folder is likely to be busy, and in a storm more follows: it is left alone until nothing has come
/// for so long,
const DELAY: Duration = Duration::from_millis(300);
/// but not for longer than this, as somebody may keep adding to it.
const LONGEST: Duration = Duration::from_secs(2);

struct Waiting {
    folders: Vec<Due>,
    running: bool,
}

/// A folder that is behind.
struct Due {
    folder: Weak<Folder>,
    first: Instant,
    last: Instant,
}

impl Due {
    fn is_due(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) >= DELAY || now.saturating_duration_since(self.first) >= LONGEST
    }
}

static WAITING: Mutex<Waiting> = Mutex::new(Waiting { folders: Vec::new(), running: false });

/// Has the folder's segment made anew, soon.
pub(super) fn schedule(folder: &Arc<Folder>) {
    let mut waiting = lock(&WAITING);
    let (own, now) = (Arc::downgrade(folder), Instant::now());
    match waiting.folders.iter_mut().find(|due| due.folder.ptr_eq(&own)) {
        Some(due) => due.last = now,
        None => waiting.folders.push(Due { folder: own, first: now, last: now }),
    }
    if !waiting.running {
        // Without a thread it is tried again when the folder changes.
        waiting.running = std::thread::Builder::new().name("vvault-segments".to_owned()).spawn(work).is_ok();
    }
}

fn work() {
    loop {
        std::thread::sleep(DELAY);
        let folders = {
            let mut waiting = lock(&WAITING);
            waiting.running = !waiting.folders.is_empty();
            if !waiting.running {
                return;
            }
            let now = Instant::now();
            waiting.folders.extract_if(.., |due| due.is_due(now)).collect::<Vec<Due>>()
        };
        for folder in folders.iter().filter_map(|due| due.folder.upgrade()) {
            // A defect must not end the thread, which says of itself that it runs.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| folder.compact()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Weak};
    use std::time::{Duration, Instant};

    use super::{DELAY, Due, LONGEST, WAITING, schedule};
    use crate::index::{Folder, FolderKind};
    use crate::lock::lock;

    #[test]
    fn a_folder_that_waits_in_vain_has_the_thread_started() {
        let folder = Arc::new(Folder::new(FolderKind::Capsules, "/nowhere".into(), None));
        let now = Instant::now();
        lock(&WAITING).folders.push(Due { folder: Arc::downgrade(&folder), first: now, last: now });
        schedule(&folder);
        let waiting = lock(&WAITING);
        let is_waiting = waiting.folders.iter().any(|due| due.folder.ptr_eq(&Arc::downgrade(&folder)));
        assert!(waiting.running || !is_waiting);
    }

    #[test]
    fn a_folder_is_left_alone_while_it_changes_but_not_forever() {
        let first = Instant::now();
        let due = |last: Duration| Due { folder: Weak::new(), first, last: first + last };
        assert!(!due(DELAY / 2).is_due(first + DELAY));
        assert!(due(DELAY / 2).is_due(first + DELAY / 2 + DELAY));
        assert!(due(LONGEST.saturating_sub(DELAY / 2)).is_due(first + LONGEST));
    }
}
