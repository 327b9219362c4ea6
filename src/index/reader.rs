//! Chatty's `readMemories`: from a user's name to the memories that a question is put to.

use std::collections::HashMap;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::cache::{self, Key};
use super::compaction;
use super::entry::{BrokenFile, Entry, FolderKind};
use super::folder::{Folder, Freshness, Progress, Ticket};
use super::snapshot::Snapshot;
use super::storage::Storage;
use super::unchanged;
use super::view::View;
use crate::Error;
use crate::lock::lock;
use crate::vault::{Boundary, Directory, Signature, UserFolder, UserPath, describe, find_user, state_of};

/// Whose memories, and where. All paths are absolute.
#[derive(Debug, Clone)]
pub struct Request {
    /// The vault's root, which nothing read may lie outside of.
    pub vault: PathBuf,
    /// The folder of all users.
    pub users: PathBuf,
    /// The user's folder by name.
    pub user: PathBuf,
    /// The folder of memory capsules, from the user's folder.
    pub capsules: Option<PathBuf>,
    /// The folder of transcripts, from the user's folder.
    pub transcripts: Option<PathBuf>,
    /// Of the transcripts, only this session's; `Some(None)` if what is asked for can be no session's name.
    pub session: Option<Option<String>>,
    /// When the question was asked.
    pub asked: Ticket,
    /// Folders that are watched: they answer as the watch has them, without a look at the disk.
    pub watched: Option<Arc<WatchedFolders>>,
    /// Where indexes are kept beyond the process; `None` for nowhere.
    pub storage: Option<Arc<Storage>>,
    /// How far the reading has come.
    pub progress: Arc<Progress>,
}

/// The folders of memory capsules that somebody watches, by real path.
#[derive(Debug, Default)]
pub struct WatchedFolders {
    folders: Mutex<HashMap<PathBuf, Arc<Folder>>>,
    storage: Option<Arc<Storage>>,
}

impl WatchedFolders {
    /// None, whose indexes are kept there.
    #[must_use]
    pub fn new(storage: Option<Arc<Storage>>) -> Self {
        Self { folders: Mutex::default(), storage }
    }

    /// The folder at a real path, from now on among them.
    pub fn folder(&self, real: &Path) -> Arc<Folder> {
        let new = || Arc::new(Folder::new(FolderKind::Capsules, real.to_owned(), self.storage.clone()));
        lock(&self.folders).entry(real.to_owned()).or_insert_with(new).clone()
    }

    /// Takes over files of one of them as they were read; `None` for one that is gone.
    pub fn apply(folder: &Arc<Folder>, changes: Vec<(Box<str>, Option<Arc<Entry>>)>, boundary: &Boundary) {
        if folder.apply(changes, boundary) {
            compaction::schedule(folder);
        }
    }

    /// Makes segments of what was read, without waiting for a better time.
    pub fn compact(&self) {
        let folders: Vec<Arc<Folder>> = lock(&self.folders).values().cloned().collect();
        for folder in folders {
            folder.compact();
        }
    }

    /// The folder at a real path is gone, or another.
    pub fn forget(&self, real: &Path) {
        if let Some(folder) = lock(&self.folders).remove(real) {
            // Whoever has it still is not to rely on it.
            folder.forget();
        }
    }

    /// A folder's files, if that can be told without waiting.
    pub(super) fn unchanged(&self, real: &Path, own: &Signature) -> Option<Arc<Snapshot>> {
        let folder = self.folders.try_lock().ok()?.get(real).cloned()?;
        folder.watched_unchanged(own)
    }

    fn snapshot(&self, real: &Path, own: &Signature) -> Option<Arc<Snapshot>> {
        let folder = lock(&self.folders).get(real).cloned();
        folder.and_then(|folder| folder.watched(own))
    }
}

/// Where memories came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// There is no such user.
    NoUser,
    /// The user's memory capsules.
    Capsules,
    /// The transcripts, as the user has no folder of capsules.
    Transcripts,
}

/// What was found, before any filter.
#[derive(Debug)]
pub struct Found {
    /// Where.
    pub source: Source,
    /// The folder of the memory capsules, if that is where.
    pub folder: Option<PathBuf>,
    /// The memories.
    pub view: View,
    /// What could not be read. Nothing of it stops the rest.
    pub warnings: Vec<Warning>,
    /// How it is known that the memories are as they are on disk: of several folders the least.
    pub freshness: Freshness,
}

/// Which kind of thing could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WarningKind {
    /// A memory capsule; told once for each state of the file.
    CapsuleFile,
    /// A memory capsule that holds `null`; told once for each state of the file.
    EmptyCapsule,
    /// A transcript; told once for each state of the file.
    TranscriptFile,
    /// The folder of capsules.
    CapsulesFolder,
    /// The folder of transcripts.
    TranscriptsFolder,
    /// The folder of a session.
    SessionFolder,
    /// A link that leads out of the vault.
    Link,
    /// A folder that may not be entered; Chatty's own reader takes it for a missing one, without a word.
    Closed,
}

/// Something that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Of what kind it is.
    pub kind: WarningKind,
    /// The file or folder.
    pub name: String,
    /// What is wrong.
    pub message: String,
}

/// Reads a user's memories, as they are on disk at `request.asked` or later.
///
/// # Errors
/// [`Error::OutsideVault`] if the user's name leads out of the vault.
pub fn read(request: &Request) -> Result<Found, Error> {
    let user = UserPath::new(&request.users, &request.user)?;
    // A vault that is configured elsewhere than its users is bounded by the users.
    let root = if request.users.starts_with(&request.vault) { &request.vault } else { &request.users };
    let nobody = || Ok(nothing(Source::NoUser, denied(&request.user).into_iter().collect()));
    let Ok(boundary) = Boundary::new(root) else { return nobody() };
    let user = match find_user(&user, &boundary) {
        UserFolder::Found(user) => user,
        UserFolder::Missing => return nobody(),
        UserFolder::Outside(path) => return Ok(nothing(Source::NoUser, vec![outside(&path)])),
    };
    let mut reading =
        Reading { boundary, request, warnings: Vec::new(), freshness: None, aborted: false, broken: Vec::new() };
    if let Some(capsules) = &request.capsules {
        let path = join(&user, capsules);
        let is_folders_name = capsules.to_string_lossy().ends_with(std::path::is_separator);
        match reading.boundary.resolve(&path) {
            // A file is nothing by such a name.
            Ok(Some(real)) if is_folders_name && !real.is_dir() => {}
            Ok(Some(real)) => {
                let view = reading.capsules(&path, &real);
                if user == request.user {
                    unchanged::remember(request, &path, &real, root, &reading.boundary);
                }
                return reading.found(Source::Capsules, Some(path), view);
            }
            Ok(None) => reading.warnings.push(outside(&path)),
            Err(_) => reading.warnings.extend(denied(&path)),
        }
    }
    let view = match &request.transcripts {
        Some(transcripts) => reading.transcripts(&join(&user, transcripts), request.session.as_ref()),
        None => View::default(),
    };
    reading.found(Source::Transcripts, None, view)
}

fn nothing(source: Source, warnings: Vec<Warning>) -> Found {
    Found { source, folder: None, view: View::default(), warnings, freshness: Freshness::Swept }
}

/// A folder that this process may not look into is no missing one.
fn denied(path: &Path) -> Option<Warning> {
    let error = path.canonicalize().err().filter(|error| error.kind() == io::ErrorKind::PermissionDenied)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Some(Warning { kind: WarningKind::Closed, name, message: describe(&error, "scandir", path) })
}

fn outside(path: &Path) -> Warning {
    Warning {
        kind: WarningKind::Link,
        name: path.display().to_string(),
        message: "a link that leads out of the vault is not followed".to_owned(),
    }
}

/// Joins as Node.js does: a path that begins with a separator is no way back to the root, and `x/..` is nothing even where
/// there is no `x`.
fn join(folder: &Path, below: &Path) -> PathBuf {
    let mut joined = folder.to_owned();
    for part in below.components() {
        match part {
            Component::Normal(name) => joined.push(name),
            Component::ParentDir => drop(joined.pop()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    joined
}

struct Reading<'a> {
    boundary: Boundary,
    request: &'a Request,
    warnings: Vec<Warning>,
    /// Of the folders that were read so far.
    freshness: Option<Freshness>,
    aborted: bool,
    /// What turned out broken in each folder, and is among the warnings.
    broken: Vec<(Arc<Folder>, Vec<BrokenFile>)>,
}

impl Reading<'_> {
    fn found(self, source: Source, folder: Option<PathBuf>, view: View) -> Result<Found, Error> {
        if self.aborted {
            for (folder, broken) in self.broken {
                folder.take_back(broken);
            }
            return Err(Error::Aborted);
        }
        // Without any folder there is nothing that could tell of a change.
        let freshness = self.freshness.unwrap_or(Freshness::Swept);
        Ok(Found { source, folder, view, warnings: self.warnings, freshness })
    }

    fn capsules(&mut self, path: &Path, real: &Path) -> View {
        if let Some(watched) = &self.request.watched
            && let Some(own) = state_of(real)
            && let Some(snapshot) = watched.snapshot(real, &own)
        {
            self.freshness = Some(Freshness::Watched);
            return View::of_folder(path, snapshot);
        }
        let found = Directory::open(real).and_then(|directory| self.folder(&directory, FolderKind::Capsules));
        match found {
            Ok(snapshot) => View::of_folder(path, snapshot),
            Err(error) => {
                self.warn(WarningKind::CapsulesFolder, path, describe(&error, "scandir", path));
                View::default()
            }
        }
    }

    fn transcripts(&mut self, path: &Path, session: Option<&Option<String>>) -> View {
        let real = match self.boundary.resolve(path) {
            Ok(Some(real)) => real,
            Ok(None) => {
                self.warnings.push(outside(path));
                return View::default();
            }
            Err(_) => return View::default(),
        };
        let sessions = match Directory::open(&real).and_then(|directory| directory.list()) {
            Ok(sessions) => sessions,
            Err(error) => {
                self.warn(WarningKind::TranscriptsFolder, path, describe(&error, "scandir", path));
                return View::default();
            }
        };
        let mut view = View::default();
        for name in sessions {
            if session.is_some_and(|session| session.as_deref() != Some(&*name)) {
                continue;
            }
            let folder = path.join(&*name);
            match self.boundary.resolve(&folder) {
                Ok(Some(real)) if real.is_dir() => {
                    let kind = FolderKind::Transcripts { session: name };
                    match Directory::open(&real).and_then(|directory| self.folder(&directory, kind)) {
                        Ok(snapshot) => view.push(Some(&folder), snapshot),
                        Err(error) => {
                            self.warn(WarningKind::SessionFolder, &folder, describe(&error, "scandir", &folder));
                        }
                    }
                }
                Ok(Some(_)) => {}
                Ok(None) => self.warnings.push(outside(&folder)),
                Err(error) => {
                    // Chatty's own walk ends here, with what it has.
                    self.warn(WarningKind::TranscriptsFolder, path, describe(&error, "stat", &folder));
                    break;
                }
            }
        }
        view
    }

    fn folder(&mut self, directory: &Directory, kind: FolderKind) -> io::Result<Arc<Snapshot>> {
        let file = file_warning(&kind);
        let Request { asked, storage, progress, .. } = self.request;
        let key = Key { path: directory.path().to_owned(), kind, storage: storage.clone() };
        let folder = cache::folder(&key);
        let refreshed = folder.refresh(directory, &self.boundary, *asked, progress);
        if refreshed.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::Interrupted) {
            self.aborted = true;
            compaction::schedule(&folder);
        }
        let refreshed = refreshed?;
        self.freshness = self.freshness.max(Some(refreshed.freshness));
        if refreshed.freshness == Freshness::Notified {
            cache::give_back_watches();
        }
        cache::note(&key, &refreshed);
        self.warnings.extend(refreshed.broken.iter().map(|broken| Warning {
            kind: if broken.empty { WarningKind::EmptyCapsule } else { file },
            name: broken.name.clone().into(),
            message: broken.message.clone().into(),
        }));
        if !refreshed.broken.is_empty() {
            self.broken.push((folder, refreshed.broken));
        }
        Ok(refreshed.snapshot)
    }

    fn warn(&mut self, kind: WarningKind, path: &Path, message: String) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.warnings.push(Warning { kind, name, message });
    }
}

fn file_warning(kind: &FolderKind) -> WarningKind {
    match kind {
        FolderKind::Capsules => WarningKind::CapsuleFile,
        FolderKind::Transcripts { .. } => WarningKind::TranscriptFile,
    }
}

#[cfg(test)]
mod tests {
    use super::join;
    use std::path::Path;

    #[test]
    fn joins_like_node() {
        let cases =
            [("capsules", "/u/capsules"), ("/a//b/", "/u/a/b"), ("", "/u"), ("no/../a", "/u/a"), ("../b/./c", "/b/c")];
        for (below, joined) in cases {
            assert_eq!(join(Path::new("/u"), Path::new(below)), Path::new(joined), "{below}");
        }
    }
}
