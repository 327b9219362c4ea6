//! The system's notifications, by way of `notify`.
//!
//! On Linux each folder that can hold capsules is watched by itself, so that a vault's other folders cost nothing; elsewhere
//! the root with all below it, which is how those systems do it.

use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{ErrorKind, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::{Shared, Urgency};
use crate::Error;

/// How often everything is looked at where there are no notifications.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Notifications {
    watcher: RecommendedWatcher,
}

impl Notifications {
    pub(super) fn begin(shared: &Arc<Shared>) -> Result<Self, Error> {
        // Weak: the watcher is owned by the thread that owns `Shared` too.
        let listener = Arc::downgrade(shared);
        let mut watcher = notify::recommended_watcher(move |event| take(&listener, event))
            .map_err(|error| trouble(&error, &shared.root))?;
        if cfg!(not(target_os = "linux")) {
            watcher.watch(&shared.root, RecursiveMode::Recursive).map_err(|error| trouble(&error, &shared.root))?;
        }
        Ok(Self { watcher })
    }

    /// Watches a folder, too. One that is gone meanwhile is none.
    pub(super) fn add(&mut self, folder: &Path) -> Result<(), Error> {
        if cfg!(not(target_os = "linux")) {
            return Ok(());
        }
        // The root comes with a separator at its end.
        let folder: std::path::PathBuf = folder.components().collect();
        match self.watcher.watch(&folder, RecursiveMode::NonRecursive) {
            Err(error) if folder.is_dir() => Err(trouble(&error, &folder)),
            _ => Ok(()),
        }
    }
}

fn take(shared: &Weak<Shared>, event: notify::Result<notify::Event>) {
    let Some(shared) = shared.upgrade() else { return };
    let event = match event {
        Ok(event) => event,
        Err(error) => {
            let told = matches!(error.kind, ErrorKind::MaxFilesWatch).then(|| trouble(&error, &shared.root));
            return shared.hint_everything(told);
        }
    };
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
            let layout = shared.catalogue.layout();
            if layout.place(&relative).is_some() || layout.has_folder(&relative) {
                shared.hint(relative, urgency);
            }
        }
    }
}

fn trouble(error: &notify::Error, path: &Path) -> Error {
    let reached = match &error.kind {
        ErrorKind::MaxFilesWatch => Some("fs.inotify.max_user_watches"),
        // EMFILE
        ErrorKind::Io(error) if error.raw_os_error() == Some(24) => Some("fs.inotify.max_user_instances"),
        _ => None,
    };
    let seconds = INTERVAL.as_secs();
    let message = match reached {
        Some(setting) => format!(
            "the system gives no more watches: raise {setting} (sysctl). Until then the vault is looked through every {seconds} s"
        ),
        None => format!("the vault can't be watched: {error}. It is looked through every {seconds} s instead"),
    };
    Error::System { code: "VVAULT_WATCH", message, path: path.to_owned() }
}
