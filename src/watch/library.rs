//! The system's notifications by way of the library `notify`, for systems other than Linux: the root with all below it is
//! watched, which is how those systems do it.

use std::path::PathBuf;
use std::sync::{Arc, Weak};

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::{Shared, Urgency, trouble};
use crate::Error;

#[derive(Debug)]
pub(super) struct Notifications {
    watcher: RecommendedWatcher,
    root: PathBuf,
}

impl Notifications {
    pub(super) fn begin(shared: &Arc<Shared>) -> Result<Self, Error> {
        // Weak: the watcher is owned by `Shared`.
        let listener = Arc::downgrade(shared);
        let watcher = notify::recommended_watcher(move |event| take(&listener, event))
            .map_err(|error| trouble(&error.to_string(), None, &shared.root))?;
        let mut own = Self { watcher, root: shared.root.clone() };
        own.watch()?;
        Ok(own)
    }

    fn watch(&mut self) -> Result<(), Error> {
        let watched = self.watcher.watch(&self.root, RecursiveMode::Recursive);
        watched.map_err(|error| trouble(&error.to_string(), None, &self.root))
    }

    /// Watches the folder that is the root now: a watch is of a folder, not of its name. What is changed meanwhile is not
    /// notified.
    pub(super) fn renew(&mut self) -> Result<(), Error> {
        self.stop();
        self.watch()
    }

    /// From here on nothing is notified.
    pub(super) fn stop(&mut self) {
        // It fails if the root is gone, and its watch with it.
        let _ = self.watcher.unwatch(&self.root);
    }
}

fn take(shared: &Weak<Shared>, event: notify::Result<notify::Event>) {
    let Some(shared) = shared.upgrade() else { return };
    let Ok(event) = event else { return shared.hint_everything(None) };
    if event.need_rescan() {
        return shared.hint_everything(None);
    }
    let urgency = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write))
        | EventKind::Modify(ModifyKind::Name(_))
        | EventKind::Remove(_) => Urgency::Now,
        EventKind::Access(_) => return,
        // A new folder is looked into at once; a new file is about to be written.
        EventKind::Create(_) if event.paths.iter().all(|path| path.is_dir()) => Urgency::Now,
        _ => Urgency::Soon,
    };
    for path in event.paths {
        if let Some(relative) = shared.relative(&path) {
            shared.hint_if_concerned(&relative, urgency);
        }
    }
}
