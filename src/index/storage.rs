//! Where segments are kept beyond the process: one file for each folder, in a folder that only its owner may look into.
//!
//! Nothing here is needed. A file that can't be read, is of another form or of somebody else is no file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufWriter, Read as _, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use super::entry::FolderKind;
use super::segment::{Finished, Names, Opened, Segment, Sink};
use crate::formats::fingerprint::sha256;
use crate::lock::lock;
use crate::vault::{Directory, SpareFile, open_no_link, with_handle};

/// What nobody has opened for so long is of a vault that is gone.
const UNUSED: Duration = Duration::from_secs(90 * 24 * 3600);
/// Between its making and its locking a temporary file is not so old.
const YOUNG: Duration = Duration::from_secs(10);
/// So often at most a process looks what nobody needs: every segment is opened for that.
const PAUSE: Duration = Duration::from_secs(if cfg!(test) { 0 } else { 60 });
/// How finely it is noted when a file was opened.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A folder of segments.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Storage {
    folder: PathBuf,
}

impl Storage {
    /// In a cache folder, which need not be there.
    #[must_use]
    pub fn new(cache: &Path) -> Self {
        Self { folder: cache.join("memories") }
    }

    fn place(&self, path: &Path, kind: &FolderKind) -> PathBuf {
        let hash = sha256(identity(path, kind).as_bytes());
        self.folder.join(String::from_utf8_lossy(&hash.as_bytes()[..32]).into_owned() + ".segment")
    }

    /// What was kept of the folder at this real path: the names of its files, and what is left to be made of it.
    pub(super) fn open(&self, path: &Path, kind: &FolderKind) -> Option<(Arc<Names>, Opened)> {
        self.tidy_once();
        let place = self.place(path, kind);
        let file = open_own(&place)?;
        let modified = file.metadata().and_then(|metadata| metadata.modified()).ok()?;
        if modified.elapsed().is_ok_and(|age| age > DAY) {
            let _ = file.set_modified(SystemTime::now());
        }
        Opened::open(SpareFile::new(file, place).ok()?, &identity(path, kind))
    }

    /// The segment of what was opened.
    pub(super) fn finish(&self, opened: Opened, names: Arc<Names>, kind: &FolderKind) -> Option<Segment> {
        self.settle(opened.finish(names, kind)?)
    }

    /// The segment with its texts where they may stay: a network drive that hangs must not hold up every answer.
    pub(super) fn settle(&self, segment: Segment) -> Option<Segment> {
        let is_local = Directory::open(&self.folder).is_ok_and(|folder| folder.is_local());
        if is_local { Some(segment) } else { segment.into_memory().ok() }
    }

    /// A file for a new segment, which takes the place of the old one when it is finished.
    pub(super) fn create(&self, path: &Path, kind: &FolderKind) -> io::Result<SegmentFile> {
        make_folder(&self.folder)?;
        self.tidy();
        let place = self.place(path, kind);
        let temporary = place.with_extension(format!("{}.tmp", uuid::Uuid::new_v4().simple()));
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = with_handle(|| options.open(&temporary))?;
        // As long as it is locked, its writer is alive. Where there are no locks, others take it for abandoned, and it is lost.
        let _ = file.try_lock();
        Ok(SegmentFile { file: Some(BufWriter::with_capacity(256 << 10, file)), temporary, place })
    }

    /// Removes what is kept of a folder.
    pub(super) fn remove(&self, path: &Path, kind: &FolderKind) {
        let _ = std::fs::remove_file(self.place(path, kind));
    }

    /// What nobody needs any more goes, now and then: no memory is to outlive its vault here.
    fn tidy(&self) {
        static TIDIED: Mutex<BTreeMap<PathBuf, Instant>> = Mutex::new(BTreeMap::new());
        let mut tidied = lock(&TIDIED);
        if tidied.get(&self.folder).is_some_and(|last| last.elapsed() < PAUSE) {
            return;
        }
        tidied.insert(self.folder.clone(), Instant::now());
        drop(tidied);
        self.remove_abandoned();
        for segment in self.files("segment") {
            if age(&segment).is_some_and(|age| age > UNUSED) || is_orphan(&segment) {
                let _ = std::fs::remove_file(segment);
            }
        }
    }

    /// At the first opening in a process: what another has left that was killed goes at once.
    fn tidy_once(&self) {
        static TIDIED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
        let mut tidied = lock(&TIDIED);
        if !tidied.contains(&self.folder) {
            tidied.insert(self.folder.clone());
            drop(tidied);
            self.remove_abandoned();
        }
    }

    /// Removes segments that nobody is writing any more, and that were not finished.
    fn remove_abandoned(&self) {
        for temporary in self.files("tmp") {
            // One of a time to come is no young one.
            if age(&temporary).is_none_or(|age| age > YOUNG)
                && File::open(&temporary).is_ok_and(|file| file.try_lock().is_ok())
            {
                let _ = std::fs::remove_file(temporary);
            }
        }
    }

    fn files(&self, extension: &str) -> impl Iterator<Item = PathBuf> {
        let items = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        items.map(|item| item.path()).filter(move |path| path.extension().is_some_and(|own| own == extension))
    }
}

/// How long ago a file was written; `None` if that is to come, or it is not there.
fn age(path: &Path) -> Option<Duration> {
    path.metadata().and_then(|metadata| metadata.modified()).ok()?.elapsed().ok()
}

/// What a segment says of the folder that it is of: one line of JSON, so that no two paths give one text.
pub(super) fn identity(path: &Path, kind: &FolderKind) -> String {
    let session = if let FolderKind::Transcripts { session } = kind { session } else { "" };
    let bytes = path.to_str().is_none().then_some(path.as_os_str().as_encoded_bytes());
    serde_json::json!([path.to_string_lossy(), session, bytes]).to_string()
}

/// Whether the folder that a segment is of is there no more.
fn is_orphan(segment: &Path) -> bool {
    let mut line = String::new();
    let Some(file) = open_own(segment) else { return false };
    // Longer than the longest path.
    if io::BufReader::new(file).take(64 << 10).read_line(&mut line).is_err() {
        return false;
    }
    let Ok((path, _, None)) = serde_json::from_str::<(PathBuf, String, Option<Vec<u8>>)>(&line) else {
        return false;
    };
    matches!(path.try_exists(), Ok(false))
}

#[cfg(unix)]
fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

#[cfg(not(unix))]
fn make_folder(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)
}

/// Opens a file only if it is this user's, and nobody else may write it.
#[must_use]
pub fn open_own(place: &Path) -> Option<File> {
    let file = open_no_link(place).ok()?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let metadata = file.metadata().ok()?;
        let is_own = metadata.uid() == rustix::process::geteuid().as_raw() && metadata.mode() & 0o022 == 0;
        if !metadata.is_file() || !is_own {
            return None;
        }
    }
    Some(file)
}

/// A segment that is being written. If it is not finished, nothing is left of it.
pub(super) struct SegmentFile {
    file: Option<BufWriter<File>>,
    temporary: PathBuf,
    place: PathBuf,
}

impl Write for SegmentFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.as_mut().map_or(Ok(0), |file| file.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), BufWriter::flush)
    }
}

impl Sink for SegmentFile {
    fn finish(mut self) -> io::Result<Finished> {
        let file = self.file.take().ok_or(io::ErrorKind::InvalidInput)?;
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        let _ = file.unlock();
        std::fs::rename(&self.temporary, &self.place)?;
        Ok(Finished::File(SpareFile::new(file, std::mem::take(&mut self.place))?))
    }
}

impl Drop for SegmentFile {
    fn drop(&mut self) {
        if !self.place.as_os_str().is_empty() {
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_has_left_goes_at_the_next_opening() {
        let folder = tempfile::tempdir().expect("a folder");
        let storage = Storage::new(folder.path());
        let path = Path::new("/vault/users/ann/capsules");
        let alive = storage.create(path, &FolderKind::Capsules).expect("a file");
        let left = storage.folder.join("left.tmp");
        std::fs::write(&left, "a memory").expect("written");
        let hour = Duration::from_secs(3600);
        let present = SystemTime::now();
        for (file, time) in [(&alive.temporary, present - hour), (&left, present + hour)] {
            File::options().write(true).open(file).and_then(|file| file.set_modified(time)).expect("a time");
        }
        assert!(storage.open(path, &FolderKind::Capsules).is_none());
        assert!(!left.exists() && alive.temporary.exists());
    }
}
