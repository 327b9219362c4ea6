//! One folder, held open: its names, the state of its files, and their contents.
//!
//! Files are reached from the open folder by name, without following links, so that nobody can put a link in the way
//! between a check and a read. A file that is a link is resolved and must end inside the vault. Only regular files are
//! read, with a limit: a pipe can't hang a reader, nor a giant fill the memory.

#[cfg_attr(unix, path = "directory/unix.rs")]
#[cfg_attr(windows, path = "directory/windows.rs")]
mod system;

use std::cell::Cell;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rayon::slice::ParallelSliceMut as _;
use serde::{Deserialize, Serialize};

use super::{Boundary, describe};

/// The largest file that is read, in bytes: V8's longest string, beyond which Chatty's own reader fails too.
pub const LARGEST_FILE: u64 = 0x1fff_ffe8;

/// The largest file of a memory, in bytes: a little less, as the memory and its names are one string on their way to JavaScript.
pub const LARGEST_MEMORY: u64 = LARGEST_FILE - (8 << 10);

/// What tells one state of a file from another. A write gives the file a new change time, a replacement another inode.
/// Only where two writes fall into one tick of the file system's clock two states can have one signature; see
/// [`Signature::is_settled`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    device: u64,
    inode: u64,
    /// Bytes.
    pub size: u64,
    /// Nanoseconds since 1970, as the file system has it.
    modified: i64,
    /// Nanoseconds since 1970; set by the system at every change of content or name, not settable by programs.
    changed: i64,
    /// See [`Signature::is_aliased`].
    aliased: bool,
}

impl Signature {
    /// Whether the file can be changed by way of another folder: it is a link, or has several names.
    #[must_use]
    pub fn is_aliased(&self) -> bool {
        self.aliased
    }

    /// When the content was last changed, as the file says: nanoseconds since 1970.
    #[must_use]
    pub fn modified(&self) -> i64 {
        self.modified
    }

    /// When the file was last changed in any way, by the system's clock: nanoseconds since 1970.
    #[must_use]
    pub fn changed(&self) -> i64 {
        self.changed
    }

    /// Whether it is a state of the file that a folder listed so.
    #[must_use]
    pub fn is_of(&self, inode: u64) -> bool {
        self.inode == inode && !self.aliased
    }

    /// Whether the file was changed so short a while ago.
    #[must_use]
    pub fn is_younger_than(&self, age: Duration) -> bool {
        SystemTime::now().checked_sub(age).is_some_and(|then| self.was_changed_since(then))
    }

    /// Whether both are states of one file, which was not replaced between them.
    #[must_use]
    pub fn is_same_file(&self, other: &Self) -> bool {
        self.device == other.device && self.inode == other.inode
    }

    /// Whether a change made at `now` or later is sure to give another signature: the last one lies back by more than
    /// the ticks of the clock that stamps files.
    #[must_use]
    pub fn is_settled(&self, now: SystemTime, local: bool) -> bool {
        /// Some ticks of the slowest kernel clock in use (10 ms), in nanoseconds.
        const TICKS: i64 = 60_000_000;
        /// For file systems that stamp whole seconds (as FAT, every second one), or by another machine's clock.
        const COARSE: i64 = 5_000_000_000;
        let margin = if local && self.changed % 1_000_000_000 != 0 { TICKS } else { COARSE };
        nanoseconds(now).is_some_and(|now| self.changed < now.saturating_sub(margin))
    }

    /// Whether the file's last change was not before `then`. One that came less than a tick after it may be taken for an earlier
    /// one.
    #[must_use]
    pub fn was_changed_since(&self, then: SystemTime) -> bool {
        nanoseconds(then).is_some_and(|then| self.changed >= then)
    }
}

/// Since 1970.
fn nanoseconds(time: SystemTime) -> Option<i64> {
    i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_nanos()).ok()
}

/// Why a file could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileProblem {
    /// It is larger than allowed; nothing of it was read.
    #[error("the file has {size} bytes; at most {limit} are read")]
    TooLarge {
        /// Its size in bytes.
        size: u64,
        /// The allowed size in bytes.
        limit: u64,
    },
    /// It is a pipe, a socket or a device.
    #[error("not a regular file")]
    NotRegular,
    /// It is a folder.
    #[error("EISDIR: illegal operation on a directory, read")]
    Folder,
    /// It is a link that leads out of the vault.
    #[error("a link that leads out of the vault is not followed, '{}'", .0.display())]
    Outside(PathBuf),
    /// There is none, in the words of Node.js.
    #[error("{0}")]
    Missing(String),
    /// It may not be read, in the words of Node.js.
    #[error("{0}")]
    Denied(String),
    /// The system has no more of something just now, in the words of Node.js.
    #[error("{0}")]
    Exhausted(String),
    /// The system refused, in the words of Node.js.
    #[error("{0}")]
    System(String),
}

/// A name in a folder, and the inode if it is a regular file's for sure.
pub type Item = (Box<str>, Option<u64>);

enum ItemKind {
    Regular,
    Link,
    Folder,
    Other,
}

/// An open folder.
#[derive(Debug)]
pub struct Directory {
    handle: system::Handle,
    /// As the caller named it: what messages say.
    path: PathBuf,
}

impl Directory {
    /// Opens the folder at `path`, following links: the caller has resolved it (see [`Boundary::resolve`]).
    ///
    /// # Errors
    /// If it is not there, not a folder, or not to be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { handle: system::Handle::open(path)?, path: path.to_owned() })
    }

    /// The open folder, as the system has it.
    #[cfg(target_os = "linux")]
    pub(super) fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.handle.as_fd()
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names in it, in the order in which Node.js lists them: by their bytes. A name that is not UTF-8 has U+FFFD in
    /// place of what is not, as in JavaScript.
    ///
    /// # Errors
    /// If the folder can't be read.
    pub fn list(&self) -> io::Result<Vec<Box<str>>> {
        let mut names: Vec<Vec<u8>> = Vec::new();
        self.handle.each_name(|name, _| {
            names.push(name.to_vec());
            ControlFlow::Continue(())
        })?;
        names.par_sort_unstable();
        Ok(names
            .into_iter()
            .map(|name| match String::from_utf8(name) {
                Ok(name) => name.into_boxed_str(),
                Err(error) => String::from_utf8_lossy(error.as_bytes()).into(),
            })
            .collect())
    }

    /// Hands the names on in batches of `size`, in no order, as they come from the system, with the inodes of those that are
    /// regular files for sure. Gives false, and stops, if a name is not UTF-8.
    ///
    /// # Errors
    /// If the folder can't be read.
    pub fn list_in_batches(&self, size: usize, mut take: impl FnMut(Vec<Item>)) -> io::Result<bool> {
        let mut batch = Vec::with_capacity(size);
        let mut is_utf8 = true;
        self.handle.each_name(|name, inode| {
            let Ok(name) = str::from_utf8(name) else {
                is_utf8 = false;
                return ControlFlow::Break(());
            };
            batch.push((name.into(), inode));
            if batch.len() == size {
                take(std::mem::replace(&mut batch, Vec::with_capacity(size)));
            }
            ControlFlow::Continue(())
        })?;
        if !is_utf8 {
            return Ok(false);
        }
        take(batch);
        Ok(true)
    }

    /// The folder's own state: it changes when a name in it comes, goes or changes.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn signature(&self) -> io::Result<Signature> {
        self.handle.signature()
    }

    /// Whether the folder lies on a file system of this machine, whose times come from this machine's clock and whose
    /// folders change when their names do.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.handle.is_local()
    }

    /// Whether each change of a file in it, also of its name, stamps it with the time of this machine's clock, and listing tells
    /// the inodes that states have.
    #[must_use]
    pub fn is_stamping(&self) -> bool {
        self.handle.is_stamping()
    }

    /// Reads files that were listed as regular ones as [`read`](Self::read) does, but without looking at their states, which
    /// takes a tenth of the time. Hands out each with what it holds, until it is told to stop; with `None` if it is to be read
    /// in the other way.
    ///
    /// Some are opened, then read, then handed out, then closed: going from one kind of work to another with every file, the
    /// processor finds neither its code nor its data at hand, and takes a tenth longer.
    pub fn each_unseen(
        &self,
        files: Vec<Item>,
        limit: u64,
        mut take: impl FnMut(Item, Option<&[u8]>) -> ControlFlow<()>,
    ) {
        /// Files open at once: twice as many would save a hundredth more, but the application wants handles, too.
        const TOGETHER: usize = 8;
        /// Bytes: more than an ordinary capsule has, and more than as many ordinary ones have.
        const USUAL: usize = 64 << 10;
        const ENOUGH: usize = 192 << 10;
        let open = |file: Item| (file.1.and_then(|_| self.handle.open_unseen(&file.0)), file);
        let mut files = files.into_iter();
        let mut read = Vec::with_capacity(TOGETHER);
        with_buffer(|buffer| {
            while !files.as_slice().is_empty() {
                let mut opened = files.by_ref().take(TOGETHER).map(open).collect::<Vec<_>>().into_iter();
                let mut to_close = Vec::with_capacity(TOGETHER);
                let mut end = 0;
                while let Some((mut handle, file)) = opened.next() {
                    buffer.resize(buffer.len().max(end + USUAL), 0);
                    let length =
                        handle.as_mut().and_then(|handle| system::read_whole(handle, 0, limit, end, buffer).ok());
                    to_close.push(handle);
                    read.push((file, length.map(|length| end..end + length)));
                    end += length.unwrap_or_default();
                    if end < ENOUGH && !opened.as_slice().is_empty() {
                        continue;
                    }
                    for (file, place) in read.drain(..) {
                        if take(file, place.map(|place| &buffer[place])).is_break() {
                            return;
                        }
                    }
                    end = 0;
                }
            }
        });
    }

    /// The state of the file `name`, or of what it links to inside the vault.
    ///
    /// # Errors
    /// In words, if there is none that could be read.
    pub fn file_signature(&self, name: &str, boundary: &Boundary) -> Result<Signature, FileProblem> {
        match self.handle.file(name) {
            Ok((signature, ItemKind::Regular)) => Ok(signature),
            Ok((_, ItemKind::Link)) => {
                let target = self.resolve(name, boundary)?;
                let (signature, kind) = system::file_at(&target).map_err(|error| self.problem(&error, "open", name))?;
                if let ItemKind::Regular = kind { Ok(linked(signature)) } else { Err(not_regular(&kind)) }
            }
            Ok((_, kind)) => Err(not_regular(&kind)),
            Err(error) => Err(self.problem(&error, "open", name)),
        }
    }

    /// The state of what has this name, be it a link; `None` if there is nothing.
    ///
    /// # Errors
    /// If the system refuses to tell.
    pub fn own_signature(&self, name: &str) -> io::Result<Option<Signature>> {
        match self.handle.file(name) {
            Ok((signature, _)) => Ok(Some(signature)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads the file `name` into `buffer`, which is grown as needed and never shrunk, so that it can be used again at
    /// no cost. Gives the state that the file had before, and its length.
    ///
    /// # Errors
    /// In words, if it is not a regular file inside the vault, larger than `limit` bytes, or not to be read.
    pub fn read(
        &self,
        name: &str,
        boundary: &Boundary,
        limit: u64,
        buffer: &mut Vec<u8>,
    ) -> Result<(Signature, usize), FileProblem> {
        let opened = match self.handle.open_file(name) {
            Ok(Some(opened)) => opened,
            Ok(None) => {
                let target = self.resolve(name, boundary)?;
                let opened = system::open_target(&target).map_err(|error| self.problem(&error, "open", name))?;
                (opened.0, linked(opened.1), opened.2)
            }
            Err(error) => return Err(self.problem(&error, "open", name)),
        };
        let (mut file, signature, kind) = opened;
        let ItemKind::Regular = kind else { return Err(not_regular(&kind)) };
        if signature.size > limit {
            return Err(FileProblem::TooLarge { size: signature.size, limit });
        }
        let length = system::read_whole(&mut file, signature.size, limit, 0, buffer)
            .map_err(|error| self.problem(&error, "read", name))?;
        Ok((signature, length))
    }

    fn resolve(&self, name: &str, boundary: &Boundary) -> Result<PathBuf, FileProblem> {
        let path = self.path.join(name);
        match boundary.resolve(&path) {
            Ok(Some(target)) => Ok(target),
            Ok(None) => Err(FileProblem::Outside(path)),
            Err(error) => Err(self.problem(&error, "open", name)),
        }
    }

    fn problem(&self, error: &io::Error, call: &str, name: &str) -> FileProblem {
        FileProblem::of_system(error, call, &self.path.join(name))
    }
}

/// Lends a buffer to [read](Directory::read) into, the thread's own, so that a reader of many files asks for memory once.
pub fn with_buffer<T>(work: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    /// One that has grown beyond this is given back, in bytes.
    const LARGEST_KEPT: usize = 1 << 20;
    thread_local! {
        static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    }
    let mut buffer = BUFFER.take();
    let result = work(&mut buffer);
    if buffer.len() <= LARGEST_KEPT {
        BUFFER.set(buffer);
    }
    result
}

/// The real path of a folder, and the folder, of which only states can be asked: at the price of opening it. `None` where
/// that can't be told so.
#[must_use]
pub fn real_folder(folder: &Path) -> Option<(PathBuf, Directory)> {
    let (real, handle) = system::real_folder(folder)?;
    Some((real, Directory { handle, path: folder.to_owned() }))
}

/// The state of what is at a path, which is no link; `None` if there is nothing.
#[must_use]
pub fn state_of(path: &Path) -> Option<Signature> {
    system::file_at(path).ok().map(|(signature, _)| signature)
}

/// Reads the file at a path that the caller itself named.
///
/// # Errors
/// In words, if it is not a regular file, larger than `limit` bytes, or not to be read.
pub fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>, FileProblem> {
    let system = |error: &io::Error| FileProblem::of_system(error, "open", path);
    let (Some(parent), Some(name)) = (path.parent(), path.file_name().and_then(std::ffi::OsStr::to_str)) else {
        return Err(system(&io::ErrorKind::NotFound.into()));
    };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let directory = Directory::open(parent).map_err(|error| system(&error))?;
    let mut bytes = Vec::new();
    let (_, length) = directory.read(name, &Boundary::none(), limit, &mut bytes)?;
    bytes.truncate(length);
    Ok(bytes)
}

impl FileProblem {
    /// What the system said to a call on a path.
    #[must_use]
    pub fn of_system(error: &io::Error, call: &str, path: &Path) -> Self {
        let words = describe(error, call, path);
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing(words),
            io::ErrorKind::PermissionDenied => Self::Denied(words),
            _ if is_exhausted(error) => Self::Exhausted(words),
            _ => Self::System(words),
        }
    }
}

/// Whether it may be different soon: the system has no more files or memory to give (ENFILE, EMFILE, ENOMEM), or on Windows
/// another program, as one that looks for viruses, lets nobody have the file.
pub(crate) fn is_exhausted(error: &io::Error) -> bool {
    let unix = cfg!(unix) && matches!(error.raw_os_error(), Some(23 | 24));
    error.kind() == io::ErrorKind::OutOfMemory || unix || is_withheld(error)
}

/// Whether another program has a file open in a way that lets nobody have it: `ERROR_SHARING_VIOLATION`,
/// `ERROR_LOCK_VIOLATION`.
pub(crate) fn is_withheld(error: &io::Error) -> bool {
    cfg!(windows) && matches!(error.raw_os_error(), Some(32 | 33))
}

fn linked(signature: Signature) -> Signature {
    Signature { aliased: true, ..signature }
}

fn not_regular(kind: &ItemKind) -> FileProblem {
    if let ItemKind::Folder = kind { FileProblem::Folder } else { FileProblem::NotRegular }
}

#[cfg(test)]
mod tests;
