//! One open vault: its store, its users' memories and its constructs, under one policy.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use hashbrown::{HashMap, HashSet};
use rayon::prelude::*;

use super::cache::compact_below;
use super::constructs::{BrokenCapsule, ConstructCapsule, Constructs, FoundConstruct, Whose};
use super::entry::{Content, FolderKind};
use super::folder::Progress;
use super::reader::{Found, Request, Source, Warning, WarningKind, WatchedFolders, read};
use super::storage::Storage;
use crate::Error;
use crate::formats::integrity::{Policy, Verdict, of_memory};
use crate::formats::json::{self, Kind};
use crate::lock::lock;
use crate::store::{Store, Version};
use crate::vault::{
    Boundary, Directory, FileProblem, LARGEST_MEMORY, UserFolder, UserPath, describe, find_user, is_capsule, is_memory,
    read_file,
};

/// How deep folders are searched.
const DEEPEST: usize = 24;

/// The names of the folders in a vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directories {
    /// All users.
    pub users: String,
    /// A user's memory capsules.
    pub capsules: String,
    /// A user's transcripts.
    pub transcripts: String,
}

/// An open vault.
#[derive(Debug)]
pub struct Vault {
    store: Store,
    directories: Directories,
    constructs: Constructs,
    watched: Arc<WatchedFolders>,
    storage: Option<Arc<Storage>>,
    /// Rejected files that were told of.
    told: Mutex<HashSet<PathBuf>>,
    /// Those that a watch found at its beginning, which are told by who meets them, and why.
    untold: Mutex<HashMap<PathBuf, String>>,
    /// Whether there is one.
    has_watch: AtomicBool,
}

/// A file that was left out because it is not what its writer wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The file.
    pub path: PathBuf,
    /// Whether it is a construct's; else it is one memory.
    pub is_construct: bool,
    /// Whether it can be parsed.
    pub is_whole: bool,
    /// What its fingerprint says, or why it can't be.
    pub verdict: Verdict,
    /// The instance's name, UUID and time, as JSON.
    pub header: [String; 3],
    /// What it calls its construct.
    pub calls_itself: Option<String>,
}

impl Rejection {
    /// Of a file of which nothing else is known.
    fn of_file(path: PathBuf, is_construct: bool, is_whole: bool, reason: String) -> Self {
        let header = std::array::from_fn(|_| "null".to_owned());
        Self { path, is_construct, is_whole, verdict: Verdict::unreadable(reason), header, calls_itself: None }
    }
}

/// What a question found, before any filter.
#[derive(Debug)]
pub struct FoundInVault {
    /// The memories.
    pub found: Found,
    /// What was left out, and was not told of before.
    pub rejections: Vec<Rejection>,
}

/// A construct's capsule that was looked for, or why there is none.
pub type Sought = Result<Arc<ConstructCapsule>, Error>;

/// What there is in a vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovery {
    /// Sorted by path.
    pub capsules: Vec<Discovered>,
    /// Why some folders could not be looked into.
    pub closed: Vec<String>,
}

/// A capsule file and what its header tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovered {
    /// Where it is.
    pub path: PathBuf,
    /// Bytes.
    pub size: u64,
    /// Milliseconds since 1970.
    pub modified: i64,
    /// Members of the file, as JSON: title, description, version, tags, instance's name, UUID, timestamp.
    pub header: [Option<String>; 7],
}

/// A file and the verdict on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Where it is.
    pub path: PathBuf,
    /// Whether it is a construct's; else it is one memory.
    pub is_construct: bool,
    /// What its fingerprint says.
    pub verdict: Verdict,
}

/// Whether a file is a construct's capsule, by its name or by the folder of an identity.
fn is_construct(folder: &Path, name: &str) -> bool {
    is_capsule(name) || name == "capsule.json" && folder.ends_with("identity")
}

impl Vault {
    /// Of an open store; indexes of its memories are kept in `storage`.
    #[must_use]
    pub fn new(store: Store, directories: Directories, storage: Option<Arc<Storage>>) -> Self {
        let watched = Arc::new(WatchedFolders::new(storage.clone()));
        let constructs = Constructs::default();
        let (told, untold, has_watch) = (Mutex::default(), Mutex::default(), AtomicBool::new(false));
        Self { store, directories, constructs, watched, storage, told, untold, has_watch }
    }

    /// Where its indexes are kept beyond the process.
    #[must_use]
    pub fn storage(&self) -> Option<&Arc<Storage>> {
        self.storage.as_ref()
    }

    /// Keeps what has been read, so that who opens the vault next need not read it again.
    pub fn keep_indexes(&self) {
        self.watched.compact();
        if let (Some(storage), Ok(root)) = (&self.storage, self.store.root().canonicalize()) {
            compact_below(&root, storage);
        }
    }

    /// Its store.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Its folders that are watched.
    #[must_use]
    pub fn watched(&self) -> &Arc<WatchedFolders> {
        &self.watched
    }

    /// Its constructs.
    #[must_use]
    pub fn constructs(&self) -> &Constructs {
        &self.constructs
    }

    /// The names of its folders.
    #[must_use]
    pub fn directories(&self) -> &Directories {
        &self.directories
    }

    /// The folder of all users.
    #[must_use]
    pub fn users(&self) -> PathBuf {
        self.store.root().join(&self.directories.users)
    }

    /// Reads a user's memories, and those of a construct, of the user's own or of the vault's.
    ///
    /// # Errors
    /// [`Error::OutsideVault`] if the user's name leads out of the vault; [`Error::System`].
    pub fn read(&self, request: &Request, construct: Option<&str>) -> Result<FoundInVault, Error> {
        let mut found = read(request)?;
        let mut rejections = Vec::new();
        if found.source == Source::Capsules && self.policy() == Policy::Enforce {
            self.reject_memories(&found, &mut rejections);
        }
        if let Some(folder) = &found.folder {
            self.reject_broken(folder, &mut rejections);
        }
        if let Some(name) = construct {
            let user = UserPath::new(&request.users, &request.user)?;
            let user = match find_user(&user, self.store.boundary()) {
                UserFolder::Found(user) => user,
                // No folder, and so no construct in it.
                UserFolder::Missing | UserFolder::Outside(_) => request.user.clone(),
            };
            let whose = Whose { users: &request.users, user: Some(&user) };
            let constructs = if request.watched.is_some() {
                self.constructs.find_latest(&self.store, whose, name)?
            } else {
                self.constructs.find(&self.store, whose, name, &Version::Latest)?
            };
            rejections.extend(self.reject_constructs(&constructs));
            // The other memories come all the same.
            found.warnings.extend(constructs.problem.map(|problem| Warning {
                kind: WarningKind::Closed,
                name: name.to_owned(),
                message: problem.to_string(),
            }));
            if let Some(capsule) = constructs.capsule {
                found.view.push(None, capsule.memories.clone());
            }
        }
        Ok(FoundInVault { found, rejections })
    }

    /// Finds a construct's capsule, or why there is none; and what was left out, and was not told of before.
    ///
    /// # Errors
    /// [`Error::OutsideVault`], [`Error::System`]; inside of the answer [`Error::NoConstruct`], [`Error::Unsound`].
    pub fn construct(
        &self,
        name: &str,
        version: &Version,
        user: Option<&Path>,
    ) -> Result<(Sought, Vec<Rejection>), Error> {
        let users = self.users();
        let user = match user {
            Some(user) => match find_user(&UserPath::new(&users, user)?, self.store.boundary()) {
                UserFolder::Found(user) => Some(user),
                UserFolder::Missing | UserFolder::Outside(_) => Some(user.to_owned()),
            },
            None => None,
        };
        let whose = Whose { users: &users, user: user.as_deref() };
        let found = self.constructs.find(&self.store, whose, name, version)?;
        let rejections = self.reject_constructs(&found);
        let FoundConstruct { capsule, rejected, broken, problem, .. } = found;
        // What could not be looked at just now may be newer. What may never be looked at is none of the reader's.
        if let Some(problem) = problem.as_ref().filter(|problem| problem.code() == "VVAULT_SYSTEM") {
            return Err(problem.clone());
        }
        let unsound = rejected.first().map(|one| (&one.path, one.verdict.reason.as_deref().unwrap_or_default()));
        let unusable = unsound.or_else(|| broken.first().map(|one| (&one.path, &*one.reason)));
        let capsule = capsule.ok_or_else(|| match (problem, unusable) {
            (Some(problem), _) => problem,
            (None, Some((path, reason))) => {
                Error::Unsound { reason: format!("{}: {reason}", path.display()), path: Some(path.clone()) }
            }
            (None, None) => Error::NoConstruct {
                message: match version {
                    Version::Latest => format!(
                        "no capsule of {name} was found in the vault's places for one: docs/formats.md names these, \
                         `vvault list --files` all capsules"
                    ),
                    Version::Uuid(uuid) => format!("no capsule of {name} with the UUID {uuid} was found"),
                    Version::Tagged(tag) => format!("no version of {name} with the tag {tag} was found in the store"),
                },
            },
        });
        Ok((capsule, rejections))
    }

    fn policy(&self) -> Policy {
        self.store.options().policy
    }

    fn reject_memories(&self, found: &Found, rejections: &mut Vec<Rejection>) {
        let Some(folder) = &found.folder else { return };
        let unsound: HashSet<PathBuf> = found.view.unsound().map(|name| folder.join(name)).collect();
        let mut told = lock(&self.told);
        // Constructs' capsules may lie there, too.
        let is_other = |path: &Path| path.parent() != Some(folder) || !path.to_str().is_some_and(is_memory);
        told.retain(|path| is_other(path) || unsound.contains(path));
        let has_watch = self.has_watch.load(Ordering::Relaxed);
        for path in unsound {
            if (!has_watch || self.take_untold(&path)) && told.insert(path.clone()) {
                rejections.push(Rejection::of_file(path, false, true, "raw_sha256 is not the hash of raw".to_owned()));
            }
        }
    }

    /// Without a watch they are warned of when they are read.
    fn reject_broken(&self, folder: &Path, rejections: &mut Vec<Rejection>) {
        let is_memory_of = |path: &Path| path.parent() == Some(folder) && path.to_str().is_some_and(is_memory);
        let met: Vec<_> = lock(&self.untold).extract_if(|path, _| is_memory_of(path)).collect();
        let mut told = lock(&self.told);
        let news = met.into_iter().filter(|(path, _)| path.exists() && told.insert(path.clone()));
        rejections.extend(news.map(|(path, reason)| Rejection::of_file(path, false, false, reason)));
    }

    fn reject_constructs(&self, found: &FoundConstruct) -> Vec<Rejection> {
        let has_watch = self.has_watch.load(Ordering::Relaxed);
        let may_tell = |path: &Path, may_be_half: bool| if has_watch { self.take_untold(path) } else { !may_be_half };
        let unsound: Vec<_> = found.rejected.iter().filter(|one| may_tell(&one.path, false)).collect();
        let broken: Vec<_> = found.broken.iter().filter(|one| may_tell(&one.path, one.may_be_half)).collect();
        let mut told = lock(&self.told);
        if let Some(capsule) = &found.capsule {
            told.remove(&capsule.path);
        }
        let news = unsound.into_iter().filter(|capsule| told.insert(capsule.path.clone()));
        let mut rejections: Vec<Rejection> = news
            .map(|capsule| Rejection {
                path: capsule.path.clone(),
                is_construct: true,
                is_whole: true,
                verdict: capsule.verdict.clone(),
                header: [&capsule.instance_name, &capsule.uuid, &capsule.timestamp].map(Clone::clone),
                calls_itself: capsule.calls_itself().map(str::to_owned),
            })
            .collect();
        for BrokenCapsule { path, reason, .. } in broken {
            if told.insert(path.clone()) {
                rejections.push(Rejection::of_file(path.clone(), true, false, reason.clone()));
            }
        }
        rejections
    }

    /// Whether a reader is to tell of a file's rejection, on a watched vault: a watch tells itself of what came later, once it is
    /// sure that nobody is still writing it.
    fn take_untold(&self, path: &Path) -> bool {
        lock(&self.untold).remove(path).is_some()
    }

    /// Says whether a watch tells of what is rejected from now on.
    pub fn note_watch(&self, has_watch: bool) {
        self.has_watch.store(has_watch, Ordering::Relaxed);
    }

    /// Notes that a file's rejection was told of by others, or that the file is no longer rejected.
    pub fn note_told(&self, path: &Path, rejected: bool) {
        if rejected {
            lock(&self.told).insert(path.to_owned());
        } else {
            lock(&self.told).remove(path);
        }
        lock(&self.untold).remove(path);
    }

    /// Notes that a file is rejected, and that nobody was told of it.
    pub fn note_untold(&self, path: PathBuf, reason: String) {
        lock(&self.untold).insert(path, reason);
    }

    /// Every construct's capsule file under the vault.
    ///
    /// # Errors
    /// [`Error::System`] if the system refuses to tell what there is.
    pub fn discover(&self) -> Result<Discovery, Error> {
        let (files, closed) = self.files(is_construct);
        let (closed, failed): (Vec<_>, Vec<_>) =
            closed.into_iter().partition(|(_, error)| error.kind() == std::io::ErrorKind::PermissionDenied);
        if let Some((folder, error)) = failed.first() {
            return Err(Error::system(error, "scandir", folder));
        }
        let read: Result<Vec<Option<Discovered>>, Error> =
            files.into_par_iter().map(|path| self.discovered(path)).collect();
        let closed = closed.iter().map(|(folder, error)| describe(error, "scandir", folder)).collect();
        Ok(Discovery { capsules: read?.into_iter().flatten().collect(), closed })
    }

    /// `None` if it is gone.
    fn discovered(&self, path: PathBuf) -> Result<Option<Discovered>, Error> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
            return Ok(None);
        };
        let boundary = self.store.boundary();
        let opened = Directory::open(parent).map_err(|error| FileProblem::of_system(&error, "open", parent));
        let seen = opened.and_then(|folder| folder.file_signature(name, boundary).map(|signature| (folder, signature)));
        let (folder, signature) = match seen {
            Ok(seen) => seen,
            Err(problem @ FileProblem::Exhausted(_)) => return Err(Error::of_file(&path, problem)),
            Err(_) => return Ok(None),
        };
        let mut text = Vec::new();
        let text = match folder.read(name, boundary, self.store.options().largest_capsule, &mut text) {
            Ok((_, length)) => String::from_utf8_lossy(&text[..length]).into_owned(),
            Err(problem @ FileProblem::Exhausted(_)) => return Err(Error::of_file(&path, problem)),
            // What it is called and how large it is, is known all the same.
            Err(_) => String::new(),
        };
        let text = json::without_python_numbers(&text).unwrap_or_default();
        let [title, description, version, tags, metadata] =
            json::members(&text, ["title", "description", "version", "tags", "metadata"]);
        let metadata = metadata.map_or("null", |metadata| metadata.text());
        let [instance_name, uuid, timestamp, capsule_version] =
            json::members(metadata, ["instance_name", "uuid", "timestamp", "capsule_version"]);
        let members = [title, description, version.or(capsule_version), tags, instance_name, uuid, timestamp];
        let header =
            members.map(|value| value.filter(|value| value.kind() != Kind::Null).map(|value| value.text().to_owned()));
        Ok(Some(Discovered { path, size: signature.size, modified: signature.modified() / 1_000_000, header }))
    }

    /// The verdict on every capsule file under the vault, or on those of some instances, sorted by path. A folder
    /// that can't be looked into is among them, with the reason. What is left is left out once nobody wants it any more.
    #[must_use]
    pub fn verify(&self, instances: Option<&[String]>, progress: &Progress) -> Vec<Verified> {
        let capsules = &self.directories.capsules;
        let (files, closed) = match instances {
            None => {
                self.files(|folder, name| is_construct(folder, name) || is_memory(name) && folder.ends_with(capsules))
            }
            Some(names) => {
                let folder = self.store.root().join(crate::store::CAPSULES);
                self.files(|own, name| {
                    is_capsule(name)
                        && own.parent() == Some(&*folder)
                        && own
                            .file_name()
                            .and_then(|own| own.to_str())
                            .is_some_and(|own| names.iter().any(|name| name == own))
                })
            }
        };
        let unknown = closed.into_iter().map(|(path, error)| {
            let reason = Some(describe(&error, "scandir", &path));
            Verified { path, is_construct: true, verdict: Verdict { valid: None, recipe: None, tether: None, reason } }
        });
        progress.total.store(files.len() as u64, Ordering::Relaxed);
        let judged = files.into_par_iter().take_any_while(|_| !progress.is_aborted()).map(|path| {
            progress.done.fetch_add(1, Ordering::Relaxed);
            let name = path.file_name().and_then(|name| name.to_str());
            let is_construct = path.parent().zip(name).is_some_and(|(folder, name)| is_construct(folder, name));
            // As readers have it: a limit is for constructs.
            let limit = if is_construct { self.store.options().largest_capsule } else { LARGEST_MEMORY };
            let verdict = match read_file(&path, limit) {
                // What is no object is no capsule of a construct, whatever it states.
                Ok(text) if is_construct && ConstructCapsule::is_no_object(&text) => {
                    Verdict::unreadable(ConstructCapsule::problem_of(&text))
                }
                // A tether binds constructs; a memory has none.
                Ok(text) if is_construct => self.store.judge(&text),
                // By what readers and the watch judge one.
                Ok(text) => match FolderKind::Capsules.parse("", &text) {
                    Content::Memory(memory) => of_memory(memory.is_sound()),
                    Content::Broken { message, .. } => Verdict::unreadable(message.into()),
                },
                Err(problem) => Verdict::unreadable(problem.to_string()),
            };
            Verified { path, is_construct, verdict }
        });
        let mut verified: Vec<Verified> = judged.collect();
        verified.extend(unknown);
        verified.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        verified
    }

    /// The files below the root that are wanted, by folder and name, and the folders that can't be looked into, with the reason.
    /// Links are not followed.
    fn files(&self, is_wanted: impl Fn(&Path, &str) -> bool) -> (Vec<PathBuf>, Vec<(PathBuf, std::io::Error)>) {
        let (mut found, mut closed) = (Vec::new(), Vec::new());
        let mut folders = vec![(self.store.root().to_owned(), 0)];
        while let Some((folder, depth)) = folders.pop() {
            let items = match std::fs::read_dir(&folder) {
                Ok(items) => items,
                Err(error) => {
                    if error.kind() != std::io::ErrorKind::NotFound {
                        closed.push((folder.clone(), error));
                    }
                    continue;
                }
            };
            for item in items.flatten() {
                let (Ok(kind), Ok(name)) = (item.file_type(), item.file_name().into_string()) else { continue };
                if kind.is_dir() && depth < DEEPEST {
                    folders.push((folder.join(name), depth + 1));
                } else if kind.is_file() && is_wanted(&folder, &name) {
                    found.push(folder.join(name));
                }
            }
        }
        found.sort_unstable();
        (found, closed)
    }

    /// The border that no link may lead across.
    #[must_use]
    pub fn boundary(&self) -> &Boundary {
        self.store.boundary()
    }
}
