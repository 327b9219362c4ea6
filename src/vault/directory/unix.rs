//! The system calls of Unix, relative to an open folder.

use std::io;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
#[cfg(target_os = "linux")]
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fstat, open, openat, statat};
use rustix::io::Errno;

use super::{ItemKind, Signature};
use crate::vault::with_handle;

#[derive(Debug)]
pub(super) struct Handle {
    folder: OwnedFd,
    device: u64,
    /// Whether files are opened so that reading one writes nothing; not those of other people.
    #[cfg(target_os = "linux")]
    unmarked: AtomicBool,
}

/// A file that was opened, its state and its type.
pub(super) type Opened = (OwnedFd, Signature, ItemKind);

/// linux/magic.h: ext2–4, xfs, btrfs, tmpfs.
#[cfg(target_os = "linux")]
const STAMPING: [u32; 4] = [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994];

/// Not blocking, so that opening a pipe without a writer returns; reading one is refused by its type.
const READ: OFlags =
    OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC).union(OFlags::NOCTTY);

/// As the system itself knows the open folder.
#[cfg(target_os = "linux")]
pub(super) fn real_folder(folder: &Path) -> Option<(PathBuf, Handle)> {
    use std::os::fd::AsRawFd as _;
    let folder = open(folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let own = format!("/proc/self/fd/{}", folder.as_raw_fd());
    let path = rustix::fs::readlink(own, Vec::with_capacity(256)).ok()?;
    Some((PathBuf::from(path.into_string().ok()?), Handle::of(folder).ok()?))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn real_folder(_folder: &Path) -> Option<(PathBuf, Handle)> {
    None
}

impl Handle {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Self::of(with_handle(|| Ok(open(path, flags, Mode::empty())?))?)
    }

    fn of(folder: OwnedFd) -> io::Result<Self> {
        let device = signature(&fstat(&folder)?).device;
        Ok(Self {
            folder,
            device,
            #[cfg(target_os = "linux")]
            unmarked: AtomicBool::new(true),
        })
    }

    /// The state of a file of this folder. One of another file system is mounted in its place, and what happens to it is told
    /// of the folder that it is in.
    fn own(&self, file: Signature) -> Signature {
        Signature { aliased: file.aliased || file.device != self.device, ..file }
    }

    #[cfg(target_os = "linux")]
    pub(super) fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&self.folder)
    }

    /// Hands out the names, and the inodes of those that are regular files for sure, until it is told to stop.
    #[cfg(target_os = "linux")]
    pub(super) fn each_name(&self, mut take: impl FnMut(&[u8], Option<u64>) -> ControlFlow<()>) -> io::Result<()> {
        /// Bytes: some hundred names.
        const AT_ONCE: usize = 32 << 10;
        // With a place in the list of its own.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = with_handle(|| Ok(openat(&self.folder, ".", flags, Mode::empty())?))?;
        let mut buffer = Vec::with_capacity(AT_ONCE);
        let mut names = rustix::fs::RawDir::new(folder, buffer.spare_capacity_mut());
        while let Some(item) = names.next() {
            let item = match item {
                // It was removed meanwhile.
                Err(Errno::NOENT) => break,
                Err(Errno::INTR) => continue,
                item => item?,
            };
            let inode = (item.file_type() == FileType::RegularFile).then_some(item.ino());
            if is_name(item.file_name().to_bytes()) && take(item.file_name().to_bytes(), inode).is_break() {
                break;
            }
        }
        Ok(())
    }

    #[cfg(not(target_os = "linux"))]
    #[allow(clippy::unnecessary_cast, clippy::cast_lossless, reason = "the type differs from system to system")]
    pub(super) fn each_name(&self, mut take: impl FnMut(&[u8], Option<u64>) -> ControlFlow<()>) -> io::Result<()> {
        for item in with_handle(|| Ok(rustix::fs::Dir::read_from(&self.folder)?))? {
            let item = item?;
            let inode = (item.file_type() == FileType::RegularFile).then_some(item.ino() as u64);
            if is_name(item.file_name().to_bytes()) && take(item.file_name().to_bytes(), inode).is_break() {
                break;
            }
        }
        Ok(())
    }

    pub(super) fn signature(&self) -> io::Result<Signature> {
        Ok(signature(&fstat(&self.folder)?))
    }

    pub(super) fn file(&self, name: &str) -> io::Result<(Signature, ItemKind)> {
        let stat = statat(&self.folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let (signature, kind) = (signature(&stat), kind(&stat));
        Ok((if let ItemKind::Regular = kind { self.own(signature) } else { signature }, kind))
    }

    /// Opens a file; `None` if it is a link.
    pub(super) fn open_file(&self, name: &str) -> io::Result<Option<Opened>> {
        let file = with_handle(|| match self.open_to_read(name) {
            // FreeBSD says EMLINK.
            Err(Errno::LOOP | Errno::MLINK) => Ok(None),
            file => Ok(Some(file?)),
        })?;
        let Some(file) = file else { return Ok(None) };
        opened(file).map(|(file, signature, kind)| Some((file, self.own(signature), kind)))
    }

    /// Opens a file without looking at its state; `None` if it is a link, or not to be opened at once.
    pub(super) fn open_unseen(&self, name: &str) -> Option<OwnedFd> {
        self.open_to_read(name).ok()
    }

    /// Where the system lets us, without the mark that a file was read: it is written to the disk for each one that was not read
    /// since it was written, or for a day, and takes a quarter of the time that the reading does.
    #[cfg(target_os = "linux")]
    fn open_to_read(&self, name: &str) -> Result<OwnedFd, Errno> {
        if self.unmarked.load(Ordering::Relaxed) {
            match openat(&self.folder, name, READ | OFlags::NOATIME, Mode::empty()) {
                // It is somebody else's, or on a file system that does not know this.
                Err(Errno::PERM | Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) => {
                    self.unmarked.store(false, Ordering::Relaxed);
                }
                file => return file,
            }
        }
        openat(&self.folder, name, READ, Mode::empty())
    }

    #[cfg(not(target_os = "linux"))]
    fn open_to_read(&self, name: &str) -> Result<OwnedFd, Errno> {
        openat(&self.folder, name, READ, Mode::empty())
    }

    #[cfg(target_os = "linux")]
    pub(super) fn is_local(&self) -> bool {
        // linux/magic.h: f2fs, zfs, bcachefs, overlayfs, ramfs.
        const OTHERS: [u32; 5] = [0xf2f5_2010, 0x2fc1_2fc1, 0xca45_1a4e, 0x794c_7630, 0x8584_58f6];
        self.system().is_some_and(|system| STAMPING.contains(&system) || OTHERS.contains(&system))
    }

    /// Whether each change of a file, also of its name, stamps it with the time of this machine's clock, and the folder names
    /// its inode.
    #[cfg(target_os = "linux")]
    pub(super) fn is_stamping(&self) -> bool {
        self.system().is_some_and(|system| STAMPING.contains(&system))
    }

    #[cfg(not(target_os = "linux"))]
    #[allow(clippy::unused_self, reason = "as on Linux")]
    pub(super) fn is_stamping(&self) -> bool {
        false
    }

    /// What kind of file system it is on.
    #[cfg(target_os = "linux")]
    fn system(&self) -> Option<u32> {
        u32::try_from(rustix::fs::fstatfs(&self.folder).ok()?.f_type).ok()
    }

    #[cfg(target_vendor = "apple")]
    pub(super) fn is_local(&self) -> bool {
        // sys/mount.h
        const MNT_LOCAL: u32 = 0x1000;
        rustix::fs::fstatfs(&self.folder).is_ok_and(|system| system.f_flags & MNT_LOCAL != 0)
    }

    #[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
    pub(super) fn is_local(&self) -> bool {
        false
    }
}

/// Whether it is none of the names by which folders are linked.
fn is_name(name: &[u8]) -> bool {
    name != b"." && name != b".."
}

/// The file at a resolved path, which must not have become a link since.
pub(super) fn file_at(path: &Path) -> io::Result<(Signature, ItemKind)> {
    let stat = statat(rustix::fs::CWD, path, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok((signature(&stat), kind(&stat)))
}

/// Opens the file at a resolved path, which must not have become a link since.
pub(super) fn open_target(path: &Path) -> io::Result<Opened> {
    opened(with_handle(|| Ok(open(path, READ, Mode::empty())?))?)
}

fn opened(file: OwnedFd) -> io::Result<Opened> {
    let stat = fstat(&file)?;
    Ok((file, signature(&stat), kind(&stat)))
}

/// Reads to the end, into the buffer from a place on. A regular file that gives less than was asked for, at or beyond its
/// known size, has ended.
pub(super) fn read_whole(
    file: &mut OwnedFd,
    size: u64,
    limit: u64,
    start: usize,
    buffer: &mut Vec<u8>,
) -> io::Result<usize> {
    let size = usize::try_from(size).map_err(io::Error::other)?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX - 1);
    if buffer.len() <= start + size {
        buffer.resize(start + size + 1, 0);
    }
    let mut filled = 0;
    loop {
        match rustix::io::read(&mut *file, &mut buffer[start + filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        if filled > limit {
            return Err(io::Error::other(format!("the file grew beyond {limit} bytes")));
        }
        if start + filled == buffer.len() {
            buffer.resize(start + filled * 2, 0);
        } else if filled >= size {
            break;
        }
    }
    Ok(filled)
}

#[allow(
    clippy::unnecessary_cast,
    clippy::cast_lossless,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "the fields' types differ from system to system; the values fit all of them"
)]
fn signature(stat: &Stat) -> Signature {
    let nanoseconds = |seconds: i64, part: i64| seconds.saturating_mul(1_000_000_000).saturating_add(part);
    Signature {
        device: stat.st_dev as u64,
        inode: stat.st_ino as u64,
        size: stat.st_size as u64,
        modified: nanoseconds(stat.st_mtime as i64, stat.st_mtime_nsec as i64),
        changed: nanoseconds(stat.st_ctime as i64, stat.st_ctime_nsec as i64),
        aliased: stat.st_nlink as u64 > 1 && !matches!(kind(stat), ItemKind::Folder),
    }
}

fn kind(stat: &Stat) -> ItemKind {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => ItemKind::Regular,
        FileType::Symlink => ItemKind::Link,
        FileType::Directory => ItemKind::Folder,
        _ => ItemKind::Other,
    }
}
