//! Linux's own queue of notifications, `inotify(7)`.
//!
//! The kernel puts a notification into the queue before the call that caused it returns. So whoever empties the queue knows
//! of every change that was finished before, without a look at any file: see [`Queue::drain`]. What escapes it are writes
//! through a memory mapping, and those of other machines on a network drive.
//!
//! Each folder that can hold capsules is watched by itself, so that a vault's other folders cost nothing.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fs::inotify::ReadFlags;
use rustix::io::Errno;

use super::Urgency;
use crate::lock::lock;
use crate::vault::Inotify;

#[derive(Debug)]
pub(super) struct Queue {
    inotify: Inotify,
    /// By watch descriptor: the folder, relative to the root, by all names that lead to it.
    folders: Mutex<HashMap<i32, Vec<PathBuf>>>,
    /// The kernel tells by it that something was mounted or unmounted, of which `inotify` says nothing.
    mounts: Option<File>,
    stop: OwnedFd,
}

/// What a queue was waited for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Woken {
    /// There may be something to be drained.
    Notified,
    /// Another file system may lie at some folder.
    Mounted,
    /// It was stopped.
    Stopped,
}

/// What a drained queue says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Hint<'a> {
    Path(&'a Path, Urgency),
    /// Notifications were lost.
    Everything,
}

impl Queue {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            inotify: Inotify::new()?,
            folders: Mutex::default(),
            mounts: File::open("/proc/self/mountinfo").ok(),
            stop: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        })
    }

    /// Watches a folder, too.
    pub(super) fn add(&self, path: &Path, relative: &Path) -> io::Result<()> {
        // Held meanwhile: a notification of the new watch must find its folder.
        let mut folders = lock(&self.folders);
        let descriptor = self.inotify.add(path)?;
        let names = folders.entry(descriptor).or_default();
        if !names.iter().any(|name| name == relative) {
            names.push(relative.to_owned());
        }
        Ok(())
    }

    /// Takes all notifications that there are, without waiting.
    pub(super) fn drain(&self, mut take: impl FnMut(Hint<'_>)) -> io::Result<()> {
        let mut folders = lock(&self.folders);
        self.inotify.drain(|event| {
            let what = event.events();
            if what.contains(ReadFlags::QUEUE_OVERFLOW) {
                return take(Hint::Everything);
            }
            if what.contains(ReadFlags::IGNORED) {
                folders.remove(&event.wd());
                return;
            }
            let Some(names) = folders.get(&event.wd()) else { return };
            // Times, owner and mode: that another folder has a name by now is told otherwise.
            let is_same = what.difference(ReadFlags::ISDIR) == ReadFlags::ATTRIB;
            let of_folder = if is_same { Urgency::Soon } else { Urgency::Now };
            let Some(name) = event.file_name() else {
                return names.iter().for_each(|folder| take(Hint::Path(folder, of_folder)));
            };
            // A name that is not UTF-8 is no capsule's.
            let Ok(name) = name.to_str() else { return };
            let is_folder = what.contains(ReadFlags::ISDIR);
            let is_done = what
                .intersects(ReadFlags::CLOSE_WRITE | ReadFlags::DELETE | ReadFlags::MOVED_FROM | ReadFlags::MOVED_TO);
            let urgency = if is_folder {
                of_folder
            } else if is_done {
                Urgency::Now
            } else if what.contains(ReadFlags::MODIFY) {
                Urgency::Written
            } else if what.contains(ReadFlags::CREATE) {
                Urgency::Made
            } else {
                Urgency::Soon
            };
            let mut moved_away = Vec::new();
            for folder in names {
                let path = folder.join(name);
                take(Hint::Path(&path, urgency));
                if is_folder && what.contains(ReadFlags::MOVED_FROM) {
                    moved_away.push(path);
                }
            }
            for path in moved_away {
                self.forget_below(&mut folders, &path);
            }
        })
    }

    /// Watches nothing any more.
    pub(super) fn forget_all(&self) {
        self.forget_below(&mut lock(&self.folders), Path::new(""));
    }

    /// A folder that has moved away is watched no longer, as nobody knows where it went.
    fn forget_below(&self, folders: &mut HashMap<i32, Vec<PathBuf>>, path: &Path) {
        folders.retain(|descriptor, names| {
            names.retain(|name| !name.starts_with(path));
            let stays = !names.is_empty();
            if !stays {
                self.inotify.remove(*descriptor);
            }
            stays
        });
    }

    /// Whether there is nothing to be drained.
    pub(super) fn is_empty(&self) -> bool {
        self.inotify.is_empty()
    }

    /// Whether to drain it takes but a moment.
    pub(super) fn holds_few(&self) -> bool {
        self.inotify.holds_few()
    }

    /// Waits until there is something to be drained, or else to be done.
    pub(super) fn wait(&self) -> Woken {
        loop {
            let mut all = vec![
                PollFd::from_borrowed_fd(self.inotify.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(self.stop.as_fd(), PollFlags::IN),
            ];
            all.extend(self.mounts.iter().map(|mounts| PollFd::from_borrowed_fd(mounts.as_fd(), PollFlags::PRI)));
            match poll(&mut all, None) {
                Ok(_) if !all[1].revents().is_empty() => return Woken::Stopped,
                Ok(_) if all.get(2).is_some_and(|mounts| !mounts.revents().is_empty()) => return Woken::Mounted,
                Ok(_) => return Woken::Notified,
                Err(Errno::INTR) => {}
                Err(_) => return Woken::Stopped,
            }
        }
    }

    pub(super) fn stop(&self) {
        // A counter that is full already says the same.
        let _ = rustix::io::write(&self.stop, &1_u64.to_ne_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::{Hint, Queue, Urgency};

    /// The paths; none for lost notifications.
    fn drained(queue: &Queue) -> Vec<Option<(PathBuf, Urgency)>> {
        let mut hints = Vec::new();
        let take = |hint: Hint<'_>| {
            hints.push(if let Hint::Path(path, urgency) = hint { Some((path.to_owned(), urgency)) } else { None });
        };
        queue.drain(take).expect("a queue");
        hints
    }

    /// What `Vault` relies on: a change is in the queue when the call that made it returns.
    #[test]
    fn a_finished_change_is_in_the_queue() {
        let folder = tempfile::tempdir().expect("a folder");
        let queue = Queue::new().expect("a queue");
        queue.add(folder.path(), Path::new("x")).expect("a watch");
        let file = folder.path().join("a");
        let hinted = |queue: &Queue| drained(queue).iter().flatten().any(|(path, _)| path == Path::new("x/a"));
        for _ in 0..1000 {
            fs::write(&file, "1").expect("written");
            assert!(hinted(&queue));
            fs::rename(&file, folder.path().join("b")).expect("renamed");
            assert!(hinted(&queue));
            fs::rename(folder.path().join("b"), &file).expect("renamed");
            assert!(hinted(&queue));
            fs::remove_file(&file).expect("removed");
            assert!(hinted(&queue));
        }
        assert!(drained(&queue).is_empty());
    }

    #[test]
    fn a_folder_that_moved_away_is_not_watched() {
        let folder = tempfile::tempdir().expect("a folder");
        let below = folder.path().join("below");
        fs::create_dir(&below).expect("a folder");
        let queue = Queue::new().expect("a queue");
        queue.add(folder.path(), Path::new("")).expect("a watch");
        queue.add(&below, Path::new("below")).expect("a watch");
        let other = tempfile::tempdir().expect("a folder");
        fs::rename(&below, other.path().join("moved")).expect("renamed");
        assert!(drained(&queue).contains(&Some((PathBuf::from("below"), Urgency::Now))));
        drained(&queue);
        fs::write(other.path().join("moved/x"), "x").expect("written");
        assert_eq!(drained(&queue), []);
    }
}
