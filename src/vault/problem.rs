//! System errors in the words of Node.js, which Chatty's logs have always had.

use std::io;
use std::path::Path;

/// The message that Node.js gives for a failed system call on a path, such as
/// `ENOENT: no such file or directory, open '/vault/x.json'`.
#[must_use]
pub fn describe(error: &io::Error, call: &str, path: &Path) -> String {
    let words = match error.kind() {
        io::ErrorKind::NotFound => "ENOENT: no such file or directory",
        // What Windows calls a refused access.
        io::ErrorKind::PermissionDenied if cfg!(windows) => "EPERM: operation not permitted",
        io::ErrorKind::PermissionDenied => "EACCES: permission denied",
        io::ErrorKind::NotADirectory => "ENOTDIR: not a directory",
        io::ErrorKind::IsADirectory => "EISDIR: illegal operation on a directory",
        io::ErrorKind::ReadOnlyFilesystem => "EROFS: read-only file system",
        io::ErrorKind::StorageFull => "ENOSPC: no space left on device",
        io::ErrorKind::InvalidFilename => "ENAMETOOLONG: name too long",
        _ => match error.raw_os_error().and_then(rare) {
            Some(words) => words,
            None => return format!("{error}, {call} '{}'", path.display()),
        },
    };
    format!("{words}, {call} '{}'", path.display())
}

#[cfg(unix)]
fn rare(code: i32) -> Option<&'static str> {
    use rustix::io::Errno;
    Some(match Errno::from_raw_os_error(code) {
        Errno::LOOP => "ELOOP: too many symbolic links encountered",
        Errno::MFILE => "EMFILE: too many open files",
        Errno::NFILE => "ENFILE: file table overflow",
        Errno::IO => "EIO: i/o error",
        Errno::PERM => "EPERM: operation not permitted",
        Errno::NXIO => "ENXIO: no such device or address",
        _ => return None,
    })
}

#[cfg(windows)]
fn rare(code: i32) -> Option<&'static str> {
    Some(match code {
        // ERROR_TOO_MANY_OPEN_FILES, ERROR_SHARING_VIOLATION, ERROR_LOCK_VIOLATION, ERROR_CANT_RESOLVE_FILENAME
        4 => "EMFILE: too many open files",
        32 | 33 => "EBUSY: resource busy or locked",
        1921 => "ELOOP: too many symbolic links encountered",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::describe;
    use std::path::Path;

    #[test]
    fn speaks_like_node() {
        let path = Path::new("/nowhere/x.json");
        let error = std::fs::read(path).expect_err("nothing is there");
        assert_eq!(describe(&error, "open", path), "ENOENT: no such file or directory, open '/nowhere/x.json'");
    }
}
