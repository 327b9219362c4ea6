//! Files that this process wants to have open, and lets go when others need their handles: the system gives it only so many.
//!
//! Who asks for one that was let go opens it again, and takes it only if it is the same: another process may have put
//! another in its place.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::lock::lock;

/// At most so many are open at once,
const MOST: usize = 200;
/// and one in so many of all that the process may have: the rest is the application's.
#[cfg(unix)]
const SHARE: u64 = 8;
/// So many bytes at a file's end tell it from others of its length.
const END: u64 = 32;

/// By the numbers of their owners.
static OPEN: Mutex<BTreeMap<u64, Open>> = Mutex::new(BTreeMap::new());

struct Open {
    file: Arc<File>,
    used: Instant,
}

/// A file that is written no more but in place, and not at its end; read and written at any place, by several threads at
/// once.
#[derive(Debug)]
pub struct SpareFile {
    number: u64,
    path: PathBuf,
    length: u64,
    end: Vec<u8>,
}

impl SpareFile {
    /// The open file, which has this path.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn new(file: File, path: PathBuf) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let length = file.metadata()?.len();
        let end = end(&file, length)?;
        let spare = Self { number: NEXT.fetch_add(1, Ordering::Relaxed), path, length, end };
        spare.keep(Arc::new(file));
        Ok(spare)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// In bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Reads from a place until the buffer is full or the file ends. Gives how much was read.
    ///
    /// # Errors
    /// As the system says; of the kind `NotFound` if it had to be opened again, and is there no more.
    pub fn read_up_to(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        read_up_to(&*self.file()?, buffer, offset)
    }

    /// Fills the buffer from a place.
    ///
    /// # Errors
    /// As [`read_up_to`](Self::read_up_to); also if the file ends before.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        read_at(&*self.file()?, buffer, offset)
    }

    /// Writes over what is at a place.
    ///
    /// # Errors
    /// As [`read_up_to`](Self::read_up_to).
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        write_at(&*self.file()?, bytes, offset)
    }

    /// Whether it still has its path, and no other took its place.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        self.file().is_ok_and(|file| is_at(&file, &self.path))
    }

    fn file(&self) -> io::Result<Arc<File>> {
        if let Some(open) = lock(&OPEN).get_mut(&self.number) {
            open.used = Instant::now();
            return Ok(open.file.clone());
        }
        let file = Arc::new(open_no_link(&self.path)?);
        let is_same = file.metadata()?.len() == self.length && end(&file, self.length)? == self.end;
        if !is_same {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.keep(file.clone());
        Ok(file)
    }

    fn keep(&self, file: Arc<File>) {
        let mut open = lock(&OPEN);
        open.insert(self.number, Open { file, used: Instant::now() });
        let too_many = open.len().saturating_sub(most());
        let gone: Vec<Open> = (0..too_many).filter_map(|_| take_least_used(&mut open)).collect();
        // Closed without the lock: the last one to close a file that was removed waits for the file system.
        drop(open);
        drop(gone);
    }
}

impl Drop for SpareFile {
    fn drop(&mut self) {
        let own = lock(&OPEN).remove(&self.number);
        drop(own);
    }
}

/// Lets go of those that nobody has used for so long.
pub fn let_go_of_unused(idle: Duration) {
    let mut open = lock(&OPEN);
    let is_unused = |open: &Open| open.used.elapsed() >= idle;
    let (unused, used) = std::mem::take(&mut *open).into_iter().partition(|(_, open)| is_unused(open));
    *open = used;
    drop(open);
    drop::<BTreeMap<u64, Open>>(unused);
}

/// Does something that takes a handle: as long as the system has none to give, one of these is let go for it.
///
/// # Errors
/// As the work has it.
pub fn with_handle<T>(mut work: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match work() {
            Err(error) if are_used_up(&error) => {
                let gone = take_least_used(&mut lock(&OPEN));
                if gone.is_none() {
                    return Err(error);
                }
            }
            result => return result,
        }
    }
}

/// Opens a file to read and write, if it is no link.
///
/// # Errors
/// As the system says.
pub fn open_no_link(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    {
        let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits();
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, flags.cast_signed());
    }
    with_handle(|| options.open(path))
}

fn take_least_used(open: &mut BTreeMap<u64, Open>) -> Option<Open> {
    let least_used = open.iter().min_by_key(|(_, open)| open.used).map(|(number, _)| *number)?;
    open.remove(&least_used)
}

/// Asked each time: the limit may be changed.
fn most() -> usize {
    #[cfg(unix)]
    if let Some(limit) = rustix::process::getrlimit(rustix::process::Resource::Nofile).current {
        return usize::try_from(limit / SHARE).map_or(MOST, |share| share.clamp(1, MOST));
    }
    MOST
}

/// Whether the process or the system has no more handles: `EMFILE`, `ENFILE`; `ERROR_TOO_MANY_OPEN_FILES`.
fn are_used_up(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(23 | 24) if cfg!(unix))
        || matches!(error.raw_os_error(), Some(4) if cfg!(windows))
}

fn end(file: &File, length: u64) -> io::Result<Vec<u8>> {
    let mut end = vec![0; usize::try_from(length.min(END)).unwrap_or_default()];
    read_at(file, &mut end, length - length.min(END))?;
    Ok(end)
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let own = |metadata: io::Result<std::fs::Metadata>| metadata.map(|metadata| (metadata.dev(), metadata.ino())).ok();
    own(file.metadata()) == own(path.symlink_metadata())
}

#[cfg(windows)]
fn is_at(file: &File, path: &Path) -> bool {
    let own = |file: &File| {
        let known = winapi_util::file::information(file).ok()?;
        Some((known.volume_serial_number(), known.file_index()))
    };
    File::open(path).is_ok_and(|other| own(&other) == own(file))
}

fn read_up_to(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        match read_some(file, &mut buffer[read..], offset + read as u64) {
            Ok(0) => break,
            Ok(count) => read += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    if read_up_to(file, buffer, offset)? == buffer.len() { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

#[cfg(unix)]
fn read_some(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_some(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, offset)
}

#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(windows)]
fn write_at(file: &File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = std::os::windows::fs::FileExt::seek_write(file, bytes, offset)?;
        bytes = &bytes[written..];
        offset += written as u64;
    }
    Ok(())
}

/// Held by tests that let go of what others have open, and by those whose files may not be opened again.
#[cfg(test)]
pub(crate) static LETTING_GO: Mutex<()> = Mutex::new(());

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs;
    use std::io;
    use std::time::Duration;

    use super::{LETTING_GO, MOST, OPEN, SpareFile, let_go_of_unused, open_no_link, with_handle};
    use crate::lock::lock;

    fn read(file: &SpareFile) -> Result<String, io::ErrorKind> {
        let mut text = vec![0; usize::try_from(file.length()).expect("short")];
        file.read_at(&mut text, 0).map_err(|error| error.kind())?;
        Ok(String::from_utf8(text).expect("text"))
    }

    fn let_go(file: &SpareFile) {
        drop(lock(&OPEN).remove(&file.number));
    }

    #[test]
    fn a_file_is_opened_again_if_it_is_the_same() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a");
        let text = "a text of more bytes than are compared: the end";
        fs::write(&path, text).expect("written");
        let file = SpareFile::new(open_no_link(&path).expect("a file"), path.clone()).expect("a file");
        for _ in 0..2 {
            assert_eq!(read(&file).as_deref(), Ok(text));
            assert!(file.is_in_place());
            let_go(&file);
        }
        file.write_at(b"A", 0).expect("written");
        assert!(fs::read_to_string(&path).expect("a text").starts_with("A text"));
        // As another process puts another in its place, of the same length.
        let_go(&file);
        fs::write(&path, text.replace("end", "End")).expect("written");
        assert_eq!(read(&file), Err(io::ErrorKind::NotFound));
        fs::remove_file(&path).expect("removed");
        assert_eq!(read(&file), Err(io::ErrorKind::NotFound));
        assert!(!file.is_in_place());
    }

    #[test]
    fn only_so_many_are_open_and_these_are_let_go_for_others() {
        let _alone = lock(&LETTING_GO);
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a");
        fs::write(&path, "a text").expect("written");
        let new = |_| SpareFile::new(open_no_link(&path).expect("a file"), path.clone()).expect("a file");
        let files: Vec<SpareFile> = (0..=MOST).map(new).collect();
        assert!(lock(&OPEN).len() <= MOST);
        assert!(files.iter().all(|file| read(file).is_ok()));
        let tries = Cell::new(0);
        let given = with_handle(|| {
            tries.set(tries.get() + 1);
            if tries.get() > 2 { Ok(()) } else { Err(io::Error::from_raw_os_error(if cfg!(windows) { 4 } else { 24 })) }
        });
        assert!(given.is_ok() && tries.get() == 3);
        assert!(with_handle(|| Err::<(), _>(io::Error::other("another"))).is_err(), "not tried again");
        if let Some(open) = lock(&OPEN).get_mut(&files[0].number) {
            open.used = open.used.checked_sub(Duration::from_secs(60)).expect("a time");
        }
        let_go_of_unused(Duration::from_secs(50));
        assert!(!lock(&OPEN).contains_key(&files[0].number) && read(&files[0]).is_ok());
        let numbers: Vec<u64> = files.iter().map(|file| file.number).collect();
        drop(files);
        assert!(numbers.iter().all(|number| !lock(&OPEN).contains_key(number)));
    }
}
