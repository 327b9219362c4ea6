//! The same by the standard library alone, for systems without Unix's calls (Windows).

use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::{ItemKind, Signature};

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

    pub(super) fn names(&self) -> io::Result<impl Iterator<Item = io::Result<Vec<u8>>>> {
        Ok(fs::read_dir(&self.folder)?.map(|item| Ok(item?.file_name().to_string_lossy().into_owned().into_bytes())))
    }

    pub(super) fn signature(&self) -> io::Result<Signature> {
        Ok(signature(&fs::metadata(&self.folder)?))
    }

    pub(super) fn file(&self, name: &str) -> io::Result<(Signature, ItemKind)> {
        file_at(&self.folder.join(name))
    }

    /// Opens a file; `None` if it is a link.
    pub(super) fn open_file(&self, name: &str) -> io::Result<Option<Opened>> {
        let path = self.folder.join(name);
        match file_at(&path)? {
            (_, ItemKind::Link) => Ok(None),
            (signature, ItemKind::Regular) => Ok(Some((File::open(path)?, signature, ItemKind::Regular))),
            // Not opened: Windows opens no folder, and nothing else is of use.
            (_, ItemKind::Folder) => Err(io::Error::from(io::ErrorKind::IsADirectory)),
            (_, ItemKind::Other) => Err(io::Error::other("not a regular file")),
        }
    }

    pub(super) fn is_local(&self) -> bool {
        false
    }
}

/// The file at a path, without following a link.
pub(super) fn file_at(path: &Path) -> io::Result<(Signature, ItemKind)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((signature(&metadata), kind(&metadata)))
}

/// Opens the file at a resolved path.
pub(super) fn open_target(path: &Path) -> io::Result<Opened> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    Ok((file, signature(&metadata), kind(&metadata)))
}

/// Reads to the end.
pub(super) fn read_whole(file: &mut File, _size: u64, limit: u64, buffer: &mut Vec<u8>) -> io::Result<usize> {
    buffer.clear();
    let read = file.take(limit + 1).read_to_end(buffer)?;
    if u64::try_from(read).is_ok_and(|read| read > limit) {
        return Err(io::Error::other(format!("the file grew beyond {limit} bytes")));
    }
    Ok(read)
}

fn signature(metadata: &Metadata) -> Signature {
    let nanoseconds = |time: io::Result<SystemTime>| {
        let since = time.ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        since.and_then(|since| i64::try_from(since.as_nanos()).ok()).unwrap_or(0)
    };
    let modified = nanoseconds(metadata.modified());
    Signature {
        device: 0,
        // The standard library tells no file number; a replaced file is told by the time of its making.
        inode: nanoseconds(metadata.created()).cast_unsigned(),
        size: metadata.len(),
        modified,
        changed: modified,
        // Nor how many names a file has.
        aliased: false,
    }
}

fn kind(metadata: &Metadata) -> ItemKind {
    let kind = metadata.file_type();
    if kind.is_symlink() {
        ItemKind::Link
    } else if kind.is_dir() {
        ItemKind::Folder
    } else if kind.is_file() {
        ItemKind::Regular
    } else {
        ItemKind::Other
    }
}

pub(super) fn real_path(_folder: &Path) -> Option<PathBuf> {
    None
}
