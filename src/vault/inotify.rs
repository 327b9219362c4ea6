//! Linux's queue of notifications, `inotify(7)`, as far as all that use it share it.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, Event, Reader, WatchFlags};
use rustix::io::Errno;

/// What is asked for, of each folder.
const EVENTS: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

/// Room for some hundreds of notifications.
const BUFFER: usize = 16 << 10;
/// No notification is larger: a name has 255 bytes at most.
const LARGEST: usize = 320;

/// A queue, closed with its owner.
#[derive(Debug)]
pub(crate) struct Inotify {
    descriptor: OwnedFd,
}

impl Inotify {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { descriptor: inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)? })
    }

    /// Watches a folder; gives its number, which a folder that is watched already has, too.
    pub(crate) fn add(&self, folder: &Path) -> io::Result<i32> {
        Ok(inotify::add_watch(&self.descriptor, folder, EVENTS)?)
    }

    /// Watches a folder no longer.
    pub(crate) fn remove(&self, watch: i32) {
        // It fails if the folder has gone meanwhile, and its watch with it.
        let _ = inotify::remove_watch(&self.descriptor, watch);
    }

    /// Whether there is no notification.
    pub(crate) fn is_empty(&self) -> bool {
        rustix::io::ioctl_fionread(&self.descriptor).is_ok_and(|bytes| bytes == 0)
    }

    /// Whether there are some tens of notifications at most.
    pub(crate) fn holds_few(&self) -> bool {
        /// In bytes.
        const FEW: u64 = 4096;
        rustix::io::ioctl_fionread(&self.descriptor).is_ok_and(|bytes| bytes <= FEW)
    }

    /// Takes all notifications that there are now, without waiting: those that come meanwhile may be more than can be taken.
    pub(crate) fn drain(&self, mut take: impl FnMut(&Event<'_>)) -> io::Result<()> {
        let mut buffer = [MaybeUninit::<u8>::uninit(); BUFFER];
        let mut reader = Reader::new(&self.descriptor, &mut buffer);
        // The kernel fills the buffer with as many as fit whole.
        let waiting = rustix::io::ioctl_fionread(&self.descriptor)?;
        let mut reads = usize::try_from(waiting).unwrap_or_default() / (BUFFER - LARGEST) + 1;
        loop {
            if reader.is_buffer_empty() {
                if reads == 0 {
                    return Ok(());
                }
                reads -= 1;
            }
            match reader.next() {
                Ok(event) => take(&event),
                Err(Errno::WOULDBLOCK) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl AsFd for Inotify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}
