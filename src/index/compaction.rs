//! Makes segments of what was read, by a thread, as long as there is something to do.

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use super::folder::Folder;
use crate::lock::lock;

/// Who has just read a folder is likely to be busy, and in a storm more follows.
const DELAY: Duration = Duration::from_millis(300);

#[derive(Default)]
struct Waiting {
    folders: Vec<Weak<Folder>>,
    running: bool,
}

static WAITING: Mutex<Waiting> = Mutex::new(Waiting { folders: Vec::new(), running: false });

/// Has the folder's segment made anew, soon.
pub(super) fn schedule(folder: &Arc<Folder>) {
    let mut waiting = lock(&WAITING);
    let own = Arc::downgrade(folder);
    if waiting.folders.iter().any(|other| other.ptr_eq(&own)) {
        return;
    }
    waiting.folders.push(own);
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
            std::mem::take(&mut waiting.folders)
        };
        for folder in folders.iter().filter_map(Weak::upgrade) {
            // A defect must not end the thread, which says of itself that it runs.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| folder.compact()));
        }
    }
}
