//! The same on Windows, by path: its folders can't be held open and asked by name without unsafe code.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::ops::ControlFlow;
use std::os::windows::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use winapi_util::file::{information, typ};

use super::{ItemKind, Signature};

/// Opens folders, too: `FILE_FLAG_BACKUP_SEMANTICS`.
const FOLDERS_TOO: u32 = 0x0200_0000;
/// Opens a link, not what it leads to: `FILE_FLAG_OPEN_REPARSE_POINT`.
const LINK_ITSELF: u32 = 0x0020_0000;

#[derive(Debug)]
pub(super) struct Handle {
    folder: PathBuf,
}

/// A file that was opened, its state and its type.
pub(super) type Opened = (File, Signature, ItemKind);

impl Handle {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        fs::read_dir(path)?;
        Ok(Self { folder: path.to_owned() })
    }

    pub(super) fn each_name(&self, mut take: impl FnMut(&[u8], Option<u64>) -> ControlFlow<()>) -> io::Result<()> {
        for item in fs::read_dir(&self.folder)? {
            if take(item?.file_name().to_string_lossy().as_bytes(), None).is_break() {
                break;
            }
        }
        Ok(())
    }

    #[allow(clippy::unused_self, reason = "as on other systems")]
    pub(super) fn open_unseen(&self, _name: &str) -> Option<File> {
        None
    }

    #[allow(clippy::unused_self, reason = "as on other systems")]
    pub(super) fn is_stamping(&self) -> bool {
        false
    }

    pub(super) fn signature(&self) -> io::Result<Signature> {
        Ok(looked_at(&self.folder, FOLDERS_TOO)?.0)
    }

    pub(super) fn file(&self, name: &str) -> io::Result<(Signature, ItemKind)> {
        file_at(&self.folder.join(name))
    }

    /// Opens a file; `None` if it is a link.
    pub(super) fn open_file(&self, name: &str) -> io::Result<Option<Opened>> {
        /// So often a file may be replaced between the looks at it.
        const TRIES: usize = 20;
        let path = self.folder.join(name);
        for _ in 0..TRIES {
            // Not opened as a link would be: of what the system keeps elsewhere (compressed, in a cloud) nothing could be read.
            let opened = open_target(&path);
            match (file_at(&path)?, opened) {
                ((_, ItemKind::Link), _) => return Ok(None),
                (_, Err(error)) => return Err(error),
                // What was opened has this name, and no link led there.
                ((own, _), Ok(opened)) if own.is_same_file(&opened.1) => return Ok(Some(opened)),
                _ => {}
            }
        }
        Err(io::Error::other("the file is replaced all the time"))
    }

    #[allow(clippy::unused_self, reason = "as on other systems")]
    pub(super) fn is_local(&self) -> bool {
        false
    }
}

/// The file at a path, without following a link.
pub(super) fn file_at(path: &Path) -> io::Result<(Signature, ItemKind)> {
    looked_at(path, FOLDERS_TOO | LINK_ITSELF)
}

fn looked_at(path: &Path, flags: u32) -> io::Result<(Signature, ItemKind)> {
    // No right is needed, so that it succeeds where another program lets nobody read.
    state(&OpenOptions::new().access_mode(0).custom_flags(flags).open(path)?)
}

/// Opens the file at a resolved path.
pub(super) fn open_target(path: &Path) -> io::Result<Opened> {
    let file = OpenOptions::new().read(true).custom_flags(FOLDERS_TOO).open(path)?;
    let (signature, kind) = state(&file)?;
    Ok((file, signature, kind))
}

/// Reads to the end, into the buffer from a place on.
pub(super) fn read_whole(
    file: &mut File,
    _size: u64,
    limit: u64,
    start: usize,
    buffer: &mut Vec<u8>,
) -> io::Result<usize> {
    buffer.truncate(start);
    let read = file.take(limit + 1).read_to_end(buffer)?;
    if u64::try_from(read).is_ok_and(|read| read > limit) {
        return Err(io::Error::other(format!("the file grew beyond {limit} bytes")));
    }
    Ok(read)
}

fn state(file: &File) -> io::Result<(Signature, ItemKind)> {
    let metadata = file.metadata()?;
    let nanoseconds = |time: io::Result<SystemTime>| {
        let since = time.ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        since.and_then(|since| i64::try_from(since.as_nanos()).ok()).unwrap_or(0)
    };
    let modified = nanoseconds(metadata.modified());
    let (own, kind) = (information(file)?, kind(file, &metadata));
    let signature = Signature {
        device: own.volume_serial_number(),
        inode: own.file_index(),
        size: metadata.len(),
        modified,
        // Windows has a time that programs can't set, but no safe call gives it.
        changed: modified,
        aliased: own.number_of_links() > 1 && !matches!(kind, ItemKind::Folder),
    };
    Ok((signature, kind))
}

fn kind(file: &File, metadata: &Metadata) -> ItemKind {
    let kind = metadata.file_type();
    if kind.is_symlink() {
        ItemKind::Link
    } else if kind.is_dir() {
        ItemKind::Folder
    } else if kind.is_file() && typ(file).is_ok_and(|kind| kind.is_disk()) {
        ItemKind::Regular
    } else {
        ItemKind::Other
    }
}

pub(super) fn real_folder(_folder: &Path) -> Option<(PathBuf, Handle)> {
    None
}
