//! What the store does to the disk, behind a trait, so that tests can let each step fail.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::vault::is_withheld;

/// The changes that a store makes to a file system.
pub trait Files: Debug + Send + Sync {
    /// Makes a folder, and those above it, and brings that to the disk.
    ///
    /// # Errors
    /// As the system says.
    fn create_folder(&self, path: &Path) -> io::Result<()>;

    /// Writes a file under a name of its own in `folder`, whole and on the disk when this returns. If it fails, no file
    /// stays. One that is to take another's place has that one's owner and mode, where the system lets it.
    ///
    /// # Errors
    /// As the system says.
    fn write_temporary(&self, folder: &Path, content: &[u8], successor_of: Option<&Path>) -> io::Result<PathBuf>;

    /// Gives a file another name in one step, in place of a file that has it.
    ///
    /// # Errors
    /// As the system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file another name in one step, if nothing has that.
    ///
    /// # Errors
    /// As the system says: [`io::ErrorKind::AlreadyExists`] if something has it.
    fn place(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// As the system says.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Removes a folder that is empty.
    ///
    /// # Errors
    /// As the system says; also if something is in it.
    fn remove_folder(&self, path: &Path) -> io::Result<()>;

    /// Brings the names in a folder to the disk.
    ///
    /// # Errors
    /// As the system says.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;

    /// Writes at the end of a file, and brings that to the disk. If it fails, the file is as it was. Gives the file, to be cut:
    /// when something else fails, the system may have no handle to open it again.
    ///
    /// # Errors
    /// As the system says.
    fn append(&self, path: &Path, content: &[u8]) -> io::Result<File>;

    /// Cuts a file back to a length.
    ///
    /// # Errors
    /// As the system says.
    fn cut(&self, file: &File, length: u64) -> io::Result<()>;
}

/// How the name of a temporary file begins and ends: no reader takes it for a capsule or an index.
const TEMPORARY: [&str; 2] = [".vvault-", ".tmp"];

pub(super) fn temporary_name() -> String {
    let [before, after] = TEMPORARY;
    format!("{before}{}{after}", uuid::Uuid::new_v4().simple())
}

pub(super) fn is_temporary_name(name: &str) -> bool {
    let [before, after] = TEMPORARY;
    name.starts_with(before) && name.ends_with(after)
}

/// The file system itself.
#[derive(Debug, Clone, Copy)]
pub struct SystemFiles;

impl Files for SystemFiles {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        let missing: Vec<&Path> = path.ancestors().take_while(|folder| !folder.is_dir()).collect();
        fs::create_dir_all(path)?;
        missing.iter().rev().for_each(|folder| folder_belongs_to_folder(folder));
        let mut parents = missing.iter().filter_map(|folder| folder.parent()).filter(|parent| parent.is_dir());
        parents.try_for_each(|parent| self.sync_folder(parent))
    }

    fn write_temporary(&self, folder: &Path, content: &[u8], successor_of: Option<&Path>) -> io::Result<PathBuf> {
        let path = folder.join(temporary_name());
        let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        match successor_of {
            Some(other) if other.symlink_metadata().is_ok() => take_after(&path, other),
            _ => belong_to_folder(&file, &path),
        }
        let written = file.write_all(content).and_then(|()| file.sync_all());
        if let Err(error) = written {
            // What could not be written may not be removable either; the next store does it.
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        Ok(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        patiently(|| fs::rename(from, to))
    }

    fn place(&self, from: &Path, to: &Path) -> io::Result<()> {
        #[cfg(any(target_os = "linux", target_vendor = "apple"))]
        {
            use rustix::fs::{CWD, RenameFlags, renameat_with};
            use rustix::io::Errno;
            match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
                // A file system that knows no such thing, or a filter of system calls that does not.
                Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP | Errno::PERM) => {}
                done => return Ok(done?),
            }
        }
        if to.symlink_metadata().is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        patiently(|| fs::rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        patiently(|| fs::remove_file(path))
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        patiently(|| fs::remove_dir(path))
    }

    #[cfg(unix)]
    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        match File::open(path)?.sync_all() {
            // A file system that knows no such thing, as of shared folders of virtual machines.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
            synced => synced,
        }
    }

    /// Windows opens no folder as a file; its file system brings names to the disk itself.
    #[cfg(not(unix))]
    fn sync_folder(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn append(&self, path: &Path, content: &[u8]) -> io::Result<File> {
        let mut file = open_file(OpenOptions::new().append(true).create(true), path)?;
        // On Windows one that appends may not cut.
        let to_cut = open_file(OpenOptions::new().write(true), path)?;
        let length = file.metadata()?.len();
        if let Err(error) = file.write_all(content).and_then(|()| file.sync_data()) {
            let _ = self.cut(&to_cut, length);
            return Err(error);
        }
        Ok(to_cut)
    }

    fn cut(&self, file: &File, length: u64) -> io::Result<()> {
        file.set_len(length)
    }
}

/// Opens a file to write in it. What else may have its name, as a named pipe, is refused and not waited for.
pub(super) fn open_file(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(options, rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    let file = options.open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is no file")) }
}

/// Gives a new file the owner and the mode of the one whose place it is going to take: nobody may read it who could not
/// before. So it is done before anything is written.
#[cfg(unix)]
fn take_after(file: &Path, other: &Path) {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown};
    let (Ok(new), Ok(old)) = (fs::symlink_metadata(file), fs::symlink_metadata(other)) else { return };
    if !old.is_file() {
        return;
    }
    // Not every file system knows owners and modes. Only root may give a file away, but others to a group of their own.
    let mut mode = old.mode();
    if (new.uid(), new.gid()) != (old.uid(), old.gid())
        && lchown(file, Some(old.uid()), Some(old.gid())).is_err()
        && new.gid() != old.gid()
        && lchown(file, None, Some(old.gid())).is_err()
    {
        // What the group might, another group may not.
        mode &= !0o070;
    }
    if new.mode() != mode {
        let _ = fs::set_permissions(file, fs::Permissions::from_mode(mode));
    }
}

/// Gives a file that root has made to the owner of the folder that it is in: a person who looks into a server's vault takes
/// nothing from the server.
#[cfg(unix)]
pub(super) fn belong_to_folder(file: &File, path: &Path) {
    if let Some((user, group)) = owner_for_root(path) {
        let _ = std::os::unix::fs::fchown(file, Some(user), Some(group));
    }
}

/// The same of a folder.
#[cfg(unix)]
fn folder_belongs_to_folder(path: &Path) {
    if let Some((user, group)) = owner_for_root(path) {
        let _ = std::os::unix::fs::lchown(path, Some(user), Some(group));
    }
}

/// Whose what root makes is to be, if not root's.
#[cfg(unix)]
fn owner_for_root(path: &Path) -> Option<(u32, u32)> {
    use std::os::unix::fs::MetadataExt as _;
    let folder = path.parent().filter(|_| rustix::process::geteuid().is_root())?.metadata().ok()?;
    (folder.uid() != 0).then(|| (folder.uid(), folder.gid()))
}

/// On Windows a new file has the rights of its folder.
#[cfg(not(unix))]
fn take_after(_file: &Path, _other: &Path) {}

#[cfg(not(unix))]
pub(super) fn belong_to_folder(_file: &File, _path: &Path) {}

#[cfg(not(unix))]
fn folder_belongs_to_folder(_path: &Path) {}

/// Does again what failed because another program has the file open. On Windows that is how things are: who looks for viruses
/// or makes an index opens every new file, and Python lets nobody rename what it reads.
fn patiently<T>(mut work: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    const PATIENCE: Duration = Duration::from_secs(2);
    let is_in_use =
        |error: &io::Error| is_withheld(error) || cfg!(windows) && error.kind() == io::ErrorKind::PermissionDenied;
    let began = Instant::now();
    loop {
        match work() {
            Err(error) if is_in_use(&error) && began.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(5));
            }
            result => return result,
        }
    }
}
