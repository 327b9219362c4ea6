//! The files that are known, by folder: of a folder with many they come, and are looked for, together.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, is_separator};

use hashbrown::HashMap;

use super::layout::RelativePath;

/// What is known of every file.
#[derive(Debug)]
pub(super) struct KnownFiles<T> {
    /// By the path of the folder, and by name.
    folders: BTreeMap<RelativePath, HashMap<Box<OsStr>, T>>,
}

impl<T> Default for KnownFiles<T> {
    fn default() -> Self {
        Self { folders: BTreeMap::new() }
    }
}

impl<T> KnownFiles<T> {
    /// What is known of a file.
    pub(super) fn get(&self, file: &Path) -> Option<&T> {
        let (folder, name) = split(file)?;
        self.folders.get(folder)?.get(name)
    }

    /// What is known of the files in a folder, by their names.
    pub(super) fn in_folder(&self, folder: &Path) -> impl Iterator<Item = (&OsStr, &T)> {
        self.folders.get(folder.as_os_str()).into_iter().flatten().map(|(name, known)| (&**name, known))
    }

    /// Changes what is known of a file.
    pub(super) fn change(&mut self, file: &Path, change: impl FnMut(&mut T)) {
        let known = split(file).and_then(|(folder, name)| self.folders.get_mut(folder)?.get_mut(name));
        known.into_iter().for_each(change);
    }

    /// Changes what is known of each file in a folder.
    pub(super) fn change_in(&mut self, folder: &Path, change: impl FnMut(&mut T)) {
        self.folders.get_mut(folder.as_os_str()).into_iter().flat_map(HashMap::values_mut).for_each(change);
    }

    /// Takes what is known of a file in the place of what was.
    pub(super) fn insert(&mut self, file: &Path, known: T) {
        if let Some((folder, name)) = split(file) {
            self.extend(Path::new(folder), [(name.into(), known)]);
        }
    }

    /// Takes what is known of files in one folder, by their names.
    pub(super) fn extend(&mut self, folder: &Path, files: impl IntoIterator<Item = (Box<OsStr>, T)>) {
        if let Some(known) = self.folders.get_mut(folder.as_os_str()) {
            known.extend(files);
        } else {
            self.folders.insert(folder.into(), files.into_iter().collect());
        }
    }

    /// Nothing is known of a file any more.
    pub(super) fn remove(&mut self, file: &Path) {
        let Some((folder, name)) = split(file) else { return };
        let Some(known) = self.folders.get_mut(folder) else { return };
        known.remove(name);
        if known.is_empty() {
            self.folders.remove(folder);
        }
    }

    /// The file of this path, and those below the folder of this path.
    pub(super) fn below(&self, path: &Path) -> Vec<RelativePath> {
        let own = self.get(path).map(|_| path.into());
        // As strings, "folder-2" and what is in it lie between "folder" and what is in that.
        let deeper = RelativePath::from(path.join(""));
        let deeper = self.folders.range(deeper..).take_while(|(folder, _)| folder.starts_with(path));
        let direct = self.folders.get_key_value(path.as_os_str()).filter(|_| !path.as_os_str().is_empty());
        let folders = direct.into_iter().chain(deeper);
        own.into_iter().chain(folders.flat_map(files_of)).collect()
    }
}

/// The folder of a file, and its name. Not by the components of its path, which takes long.
fn split(file: &Path) -> Option<(&OsStr, &OsStr)> {
    let Some(path) = file.to_str() else { return Some((file.parent()?.as_os_str(), file.file_name()?)) };
    let (folder, name) = path.rsplit_once(is_separator).unwrap_or(("", path));
    (!name.is_empty()).then_some((folder.as_ref(), name.as_ref()))
}

fn files_of<'a, T>(
    (folder, files): (&'a RelativePath, &'a HashMap<Box<OsStr>, T>),
) -> impl Iterator<Item = RelativePath> {
    files.keys().map(move |name| folder.join(&**name).into())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use proptest::prelude::*;

    use super::KnownFiles;

    proptest! {
        /// A folder's files are its own and those of the folders in it, and no others.
        #[test]
        fn files_are_found_below_their_folders(
            paths in prop::collection::btree_map("([ab-]{1,2}/){0,3}[ab-]{1,2}", any::<bool>(), 0..20),
            folder in "(([ab-]{1,2}/){0,2}[ab-]{1,2})?",
        ) {
            let native = |path: &String| path.replace('/', std::path::MAIN_SEPARATOR_STR);
            let (paths, folder): (BTreeMap<String, bool>, String) =
                (paths.iter().map(|(path, stays)| (native(path), *stays)).collect(), native(&folder));
            let mut known = KnownFiles::default();
            for path in paths.keys() {
                known.insert(Path::new(path), path.clone());
            }
            for (path, _) in paths.iter().filter(|(_, stays)| !**stays) {
                known.remove(Path::new(path));
            }
            for (path, stays) in &paths {
                prop_assert_eq!(known.get(Path::new(path)), stays.then_some(path));
            }
            let as_text = |path: &Path| path.to_string_lossy().into_owned();
            let mut found: Vec<String> = known.below(Path::new(&folder)).iter().map(|path| as_text(path)).collect();
            found.sort_unstable();
            let below = |path: &String| Path::new(path).starts_with(&folder);
            let expected: Vec<String> =
                paths.iter().filter(|(path, stays)| **stays && below(path)).map(|(path, _)| path.clone()).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
