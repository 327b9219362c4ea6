//! Files of the vault that are no capsules: read inside its border, and written whole.

use std::path::Path;

use super::Store;
use super::instance::{abandoned_in, make_folder, open_inside};
use crate::Error;
use crate::vault::FileProblem;

/// The largest that is read, in bytes.
const LARGEST: u64 = 1 << 20;

impl Store {
    /// The text of a small file of the vault.
    ///
    /// # Errors
    /// [`Error::OutsideVault`], [`Error::System`]
    pub fn read_text(&self, path: &Path) -> Result<String, Error> {
        let problem = |problem: FileProblem| match problem {
            FileProblem::Outside(path) => Error::OutsideVault { path },
            other => Error::System { code: "VVAULT_SYSTEM", message: other.to_string(), path: path.to_owned() },
        };
        let (folder, name) = parts(path)?;
        let missing = || FileProblem::of_system(&std::io::ErrorKind::NotFound.into(), "open", path);
        let folder = open_inside(folder, &self.boundary).and_then(|folder| folder.ok_or_else(missing));
        let mut bytes = Vec::new();
        let read = folder.and_then(|folder| folder.read(name, &self.boundary, LARGEST, &mut bytes));
        let (_, length) = read.map_err(problem)?;
        Ok(String::from_utf8_lossy(&bytes[..length]).into_owned())
    }

    /// Writes a file of the vault: on the disk when this returns, with its folder if there was none. Nobody reads half of it,
    /// and what was there stays if it fails.
    ///
    /// # Errors
    /// [`Error::OutsideVault`], [`Error::System`]
    pub fn write_text(&self, path: &Path, text: &str) -> Result<(), Error> {
        let files = &*self.files;
        let (folder, name) = parts(path)?;
        let is_new = folder.symlink_metadata().is_err();
        make_folder(folder, files, &self.boundary)?;
        self.write_in(path, (folder, name), text).inspect_err(|_| {
            if is_new {
                let _ = files.remove_folder(folder);
            }
        })
    }

    fn write_in(&self, path: &Path, (folder, name): (&Path, &str), text: &str) -> Result<(), Error> {
        let files = &*self.files;
        let system = |error, call| Error::system(&error, call, path);
        let missing = || Error::system(&std::io::ErrorKind::NotFound.into(), "open", path);
        let opened = open_inside(folder, &self.boundary).map_err(|problem| Error::of_file(path, problem))?;
        let opened = opened.ok_or_else(missing)?;
        for abandoned in abandoned_in(&opened) {
            let _ = files.remove(&abandoned);
        }
        let (folder, target) = (opened.path(), opened.path().join(name));
        let written = files.write_temporary(folder, text.as_bytes(), Some(&target));
        let temporary = written.map_err(|error| system(error, "write"))?;
        files.rename(&temporary, &target).map_err(|error| {
            let _ = files.remove(&temporary);
            system(error, "rename")
        })?;
        files.sync_folder(folder).map_err(|error| system(error, "fsync"))
    }
}

/// The folder and the name of a file.
fn parts(path: &Path) -> Result<(&Path, &str), Error> {
    let name = path.file_name().and_then(std::ffi::OsStr::to_str);
    path.parent().zip(name).ok_or_else(|| Error::OutsideVault { path: path.to_owned() })
}
