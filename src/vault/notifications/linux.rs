//! One queue of notifications for all folders of the process: a user may have few of them (128 by default), and many watches.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::fs::inotify::ReadFlags;

use super::{Change, Changes};
use crate::lock::lock;
use crate::vault::Directory;
use crate::vault::inotify::Inotify;

/// At most so many folders are watched at once; the others are looked through.
const MOST: usize = 1024;
/// After so many names it is cheaper to look through the folder.
const MOST_NAMES: usize = 4096;
/// Where the system has no queue to give, it is asked again after so long.
const AGAIN: Duration = Duration::from_secs(1);

static SHARED: Mutex<Shared> = Mutex::new(Shared { queue: None, refused: None });

/// The process's queue, from when the system first gives one.
struct Shared {
    queue: Option<Queue>,
    /// When it had none to give.
    refused: Option<Instant>,
}

struct Queue {
    inotify: Inotify,
    /// By watch descriptor: several readers may watch one folder.
    watches: HashMap<i32, HashMap<u64, Told>>,
    /// So many readers have begun.
    drawn: u64,
}

/// What one reader has been told since he asked last.
#[derive(Debug)]
struct Told {
    changes: Changes,
    /// The last name that a file lost, and the number that the system gave to that.
    moved: Option<(u32, Box<str>)>,
}

/// A folder that is watched for one reader, from its making to its end.
#[derive(Debug)]
pub struct Notifications {
    watch: i32,
    reader: u64,
}

impl Notifications {
    /// Watches a folder from now on; `None` where that can't be had.
    #[must_use]
    pub fn begin(directory: &Directory) -> Option<Self> {
        if !directory.is_local() {
            return None;
        }
        let mut shared = lock(&SHARED);
        let queue = shared.queue(Inotify::new)?;
        if queue.watches.len() >= MOST {
            return None;
        }
        // By the open folder, whatever its path leads to meanwhile.
        let path = format!("/proc/self/fd/{}", directory.as_fd().as_raw_fd());
        let watch = queue.inotify.add(Path::new(&path)).ok()?;
        queue.drawn += 1;
        let reader = queue.drawn;
        queue
            .watches
            .entry(watch)
            .or_default()
            .insert(reader, Told { changes: Changes::Names(HashMap::new()), moved: None });
        Some(Self { watch, reader })
    }

    /// Whether nothing has happened since the last time; false also where that can't be told without waiting.
    #[must_use]
    pub fn are_none(&self) -> bool {
        let Ok(shared) = SHARED.try_lock() else { return false };
        let Some(queue) = &shared.queue else { return false };
        let told = queue.watches.get(&self.watch).and_then(|readers| readers.get(&self.reader));
        queue.inotify.is_empty()
            && told.is_some_and(|told| matches!(&told.changes, Changes::Names(names) if names.is_empty()))
    }

    /// What has happened since the last time, or since the beginning: everything that was finished before this was called.
    #[must_use]
    pub fn take(&self) -> Changes {
        let mut shared = lock(&SHARED);
        let Some(queue) = &mut shared.queue else { return Changes::Unknown };
        queue.drain();
        match queue.watches.get_mut(&self.watch).and_then(|readers| readers.get_mut(&self.reader)) {
            Some(told) => std::mem::replace(&mut told.changes, Changes::Names(HashMap::new())),
            // The folder is gone.
            None => Changes::Unknown,
        }
    }
}

impl Drop for Notifications {
    fn drop(&mut self) {
        let mut shared = lock(&SHARED);
        let Some(queue) = &mut shared.queue else { return };
        // The system gives a number to another folder only after it has told that the former is gone.
        if let Some(readers) = queue.watches.get_mut(&self.watch)
            && readers.remove(&self.reader).is_some()
            && readers.is_empty()
        {
            queue.watches.remove(&self.watch);
            queue.inotify.remove(self.watch);
        }
    }
}

impl Shared {
    fn queue(&mut self, open: impl FnOnce() -> io::Result<Inotify>) -> Option<&mut Queue> {
        if self.queue.is_none() && self.refused.is_none_or(|refused| refused.elapsed() >= AGAIN) {
            let inotify = open().ok();
            self.refused = inotify.is_none().then(Instant::now);
            self.queue = inotify.map(|inotify| Queue { inotify, watches: HashMap::new(), drawn: 0 });
        }
        self.queue.as_mut()
    }
}

impl Queue {
    fn drain(&mut self) {
        let Self { inotify, watches, .. } = self;
        let drained = inotify.drain(|event| {
            let what = event.events();
            if what.contains(ReadFlags::QUEUE_OVERFLOW) {
                for told in watches.values_mut().flat_map(HashMap::values_mut) {
                    told.changes = Changes::Unknown;
                }
            } else if what.contains(ReadFlags::IGNORED) {
                watches.remove(&event.wd());
            } else if let Some(readers) = watches.get_mut(&event.wd()) {
                let name = event.file_name().and_then(|name| name.to_str().ok());
                for told in readers.values_mut() {
                    told.note(name, what, event.cookie());
                }
            }
        });
        if drained.is_err() {
            watches.clear();
        }
    }
}

impl Told {
    /// Takes one notification, of a name or of the folder itself.
    fn note(&mut self, name: Option<&str>, what: ReadFlags, cookie: u32) {
        let Changes::Names(names) = &mut self.changes else { return };
        let Some(name) = name.filter(|_| names.len() < MOST_NAMES) else {
            self.changes = Changes::Unknown;
            return;
        };
        let before = names.get(name).copied();
        if before == Some(Change::Written)
            && what.intersects(ReadFlags::CREATE | ReadFlags::DELETE | ReadFlags::MOVED_TO)
        {
            // That file has lost this name, and may have another that it got meanwhile.
            self.changes = Changes::Unknown;
            return;
        }
        let mut change = Change::Written;
        if what.intersects(ReadFlags::CREATE | ReadFlags::DELETE) {
            change = Change::Named;
        } else if what.contains(ReadFlags::CLOSE_WRITE) {
            // By itself it changes nothing, but who wrote through a mapping tells of it by this alone.
            change = before.unwrap_or(Change::Named);
        } else if what.contains(ReadFlags::MOVED_FROM) {
            change = before.unwrap_or(Change::Named);
            self.moved = Some((cookie, name.into()));
        } else if what.contains(ReadFlags::MOVED_TO) {
            change = Change::Named;
            if let Some((_, from)) = self.moved.take().filter(|(own, _)| *own == cookie)
                && let Some(from) = names.get_mut(&from)
            {
                // It is known by its new name.
                change = std::mem::replace(from, Change::Named);
            }
        }
        names.insert(name.into(), change);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::fs;
    use std::io::Write as _;

    use super::{AGAIN, Change, Changes, Inotify, MOST_NAMES, Notifications, Shared};
    use crate::vault::Directory;

    fn names<const COUNT: usize>(names: [(&str, Change); COUNT]) -> Changes {
        Changes::Names(names.into_iter().map(|(name, last)| (name.into(), last)).collect())
    }

    #[test]
    fn a_queue_that_was_refused_is_asked_for_again() {
        let mut shared = Shared { queue: None, refused: None };
        assert!(shared.queue(|| Err(std::io::Error::other("none"))).is_none());
        assert!(shared.queue(|| unreachable!("not at once")).is_none());
        shared.refused = shared.refused.and_then(|refused| refused.checked_sub(AGAIN));
        assert!(shared.queue(Inotify::new).is_some());
        assert!(shared.queue(|| unreachable!("there is one")).is_some());
    }

    #[test]
    fn every_finished_change_is_known() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let directory = Directory::open(folder.path()).expect("a folder");
        let (one, other) = (Notifications::begin(&directory), Notifications::begin(&directory));
        let (one, other) = (one.expect("a watch"), other.expect("a watch"));
        for _ in 0..1000 {
            fs::write(path("a"), "1").expect("written");
            assert_eq!(one.take(), names([("a", Change::Written)]));
            fs::rename(path("a"), path("b")).expect("renamed");
            assert_eq!(one.take(), names([("a", Change::Named), ("b", Change::Named)]));
            fs::remove_file(path("b")).expect("removed");
            assert_eq!(one.take(), names([("b", Change::Named)]));
            assert_eq!(one.take(), names([]));
        }
        assert_eq!(other.take(), Changes::Unknown, "each reader is told for himself");
        drop(one);
        fs::write(path("c"), "1").expect("written");
        assert_eq!(other.take(), names([("c", Change::Written)]), "the other's watch stays");
    }

    #[test]
    fn what_happened_to_a_file_goes_with_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let watch = Notifications::begin(&Directory::open(folder.path()).expect("a folder")).expect("a watch");
        fs::write(path("a"), "1").expect("written");
        fs::rename(path("a"), path("b")).expect("renamed");
        assert_eq!(watch.take(), names([("a", Change::Named), ("b", Change::Written)]));
        // A name that was given for a moment may have been another's.
        for last in [fs::remove_file(path("c")), fs::rename(path("d"), path("c"))] {
            drop(last);
            fs::write(path("d"), "1").expect("written");
            fs::hard_link(path("b"), path("c")).expect("a link");
            let _ = watch.take();
            fs::write(path("c"), "2").expect("written");
            fs::remove_file(path("c")).expect("removed");
            assert_eq!(watch.take(), Changes::Unknown);
        }
        fs::write(path("b"), "3").expect("written");
        let other = tempfile::tempdir().expect("a folder");
        fs::rename(path("b"), other.path().join("b")).expect("renamed");
        assert_eq!(watch.take(), names([("b", Change::Written)]));
    }

    #[test]
    fn a_file_that_is_written_by_a_lost_name_is_told_by_that() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let mut file = fs::File::create(path("a")).expect("a file");
        fs::hard_link(path("a"), path("b")).expect("a link");
        fs::remove_file(path("a")).expect("removed");
        let watch = Notifications::begin(&Directory::open(folder.path()).expect("a folder")).expect("a watch");
        file.write_all(b"x").expect("written");
        assert_eq!(watch.take(), names([("a", Change::Written)]));
    }

    #[test]
    fn a_folder_that_is_gone_is_unknown() {
        let folder = tempfile::tempdir().expect("a folder");
        let below = folder.path().join("below");
        fs::create_dir(&below).expect("a folder");
        let watch = Notifications::begin(&Directory::open(&below).expect("a folder")).expect("a watch");
        assert_eq!(watch.take(), Changes::Names(HashMap::new()));
        fs::remove_dir(&below).expect("removed");
        assert_eq!(watch.take(), Changes::Unknown);
        assert_eq!(watch.take(), Changes::Unknown);
    }

    #[test]
    fn too_many_changes_are_unknown() {
        let folder = tempfile::tempdir().expect("a folder");
        let watch = Notifications::begin(&Directory::open(folder.path()).expect("a folder")).expect("a watch");
        for number in 0..=MOST_NAMES {
            fs::write(folder.path().join(number.to_string()), "").expect("written");
        }
        assert_eq!(watch.take(), Changes::Unknown);
        fs::write(folder.path().join("a"), "1").expect("written");
        assert_eq!(watch.take(), names([("a", Change::Written)]), "from there on it is known again");
    }
}
