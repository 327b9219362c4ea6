//! What is known of every capsule file in the vault, and what a look at the disk makes of it.
//!
//! Whatever a watcher says is only a reason to look. What happened follows from comparing the file with what was known.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant, SystemTime};

use hashbrown::{HashMap, HashSet};
use rayon::prelude::*;

use super::Writer;
use super::known::KnownFiles;
use super::layout::{CapsuleFolder, Layout, Place, RelativePath};
use super::record::{Cursor, Record, Told};
use crate::Error;
use crate::formats::construct_name::ConstructName;
use crate::formats::fingerprint::{self, digest};
use crate::formats::integrity::{self, Policy, Verdict};
use crate::formats::json;
use crate::index::{
    ConstructCapsule, Entry, Folder, HALF, Progress, Row, RowRef, SPLIT, Snapshot, Vault, WatchedFolders, each,
    give_way,
};
use crate::javascript::date;
use crate::lock::lock;
use crate::store::Options;
use crate::vault::{
    Directory, FileProblem, LARGEST_MEMORY, PlaceOf, Signature, UserFolder, UserPath, find_user, instances,
    is_exhausted, is_shard, with_buffer,
};

/// One that is whole but unsound may be in the middle of being written over.
const UNSOUND: Duration = Duration::from_millis(150);
/// One that its writer has not closed is taken for whole when it was left alone for so long.
const OPEN: Duration = Duration::from_millis(1500);
/// One that is not whole, and that its writer has not closed.
const OPEN_AND_BROKEN: Duration = Duration::from_secs(30);
/// When a file is looked at again that could not be looked at.
const CLOSED: Duration = Duration::from_millis(200);
/// When one is that the system failed to read, as a disk or a server does: nothing tells when it can again.
const FAULTY: Duration = Duration::from_secs(5);
/// A file that is gone may be about to come back: many programs save so.
const GONE: Duration = Duration::from_millis(25);

/// So many constructs' capsules are held in memory at a time,
const CONSTRUCTS: usize = 32;
/// of about so many bytes together, or one that is larger.
const CONSTRUCT_BYTES: u64 = 32 << 20;

/// Whether the system may find a file by a name that is written otherwise than its own, with other cases.
const CASELESS: bool = cfg!(any(windows, target_vendor = "apple"));

/// What happened to a capsule file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happening {
    /// It was not there.
    Imported,
    /// It has other content.
    Updated,
    /// It is gone.
    Removed,
    /// It can't be used.
    Rejected,
}

/// One event.
#[derive(Debug)]
pub struct Event {
    /// What happened.
    pub happening: Happening,
    /// The file, absolute.
    pub path: PathBuf,
    /// The user's name.
    pub user: Option<String>,
    /// What users may be called whose memories it is among, when it is read.
    pub readers: Vec<String>,
    /// The construct's name by its folder.
    pub construct: Option<String>,
    /// The names of the constructs whose capsule it is.
    pub constructs: Vec<String>,
    /// What the file holds.
    pub content: Content,
    /// What its fingerprint says.
    pub verdict: Verdict,
    /// When it was seen, as an ISO date.
    pub seen: String,
    /// The place in the order of events.
    pub cursor: String,
}

/// What a capsule file holds.
#[derive(Debug)]
pub enum Content {
    /// One memory.
    Memory(Option<Row>),
    /// A construct.
    Construct(Option<Arc<ConstructCapsule>>),
}

/// What is known of a file.
#[derive(Debug, Clone)]
struct Known {
    signature: Signature,
    settled: bool,
    digest: [u8; 16],
    /// Whether it was told of as a capsule, not as a rejected file.
    accepted: bool,
    /// Of a construct's capsule: the content of each section.
    sections: Sections,
}

/// Names and digests.
type Sections = Box<[Section]>;
type Section = (String, [u8; 16]);

/// A file that is waited for.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    since: Instant,
    /// Of the file then; `None` if it was gone.
    signature: Option<Signature>,
}

/// All capsule files, by path relative to the root.
#[derive(Debug)]
pub(super) struct Catalogue {
    vault: Arc<Vault>,
    layout: Layout,
    /// Whether all that is written where constructs' capsules lie is notified: not what other machines write on a network drive.
    is_local: AtomicBool,
    state: Mutex<State>,
    /// Found in the present look: to list them for each of many copies would take their product.
    instances: Mutex<HashMap<PathBuf, Arc<[ConstructName]>>>,
    /// The cursor behind everything that was told, for who can't wait until a look is over.
    present: Mutex<Cursor>,
}

#[derive(Debug)]
struct State {
    known: KnownFiles<Known>,
    waiting: HashMap<RelativePath, Waiting>,
    folders: HashMap<PathBuf, WatchedFolder>,
    /// Folders that were listed for this look, all of whose files it takes in.
    listed: HashMap<PathBuf, Signature>,
    /// Files that can't be read, and the reason that was told.
    unreadable: HashMap<RelativePath, String>,
    record: Record,
    /// Files that can be changed by a name outside of their folder, which is not notified.
    aliased: ByFolder,
    /// Files that the system would not tell of when they were looked at last: who reads asks it again.
    unknown: ByFolder,
    /// Whether readers rely on what was applied.
    is_watched: bool,
}

type ByFolder = BTreeMap<PathBuf, HashSet<RelativePath>>;

/// A folder of memories by one of its paths, and its index, which is shared with its readers.
#[derive(Debug, Clone)]
struct WatchedFolder {
    index: Arc<Folder>,
    /// Where it really is.
    real: PathBuf,
    /// The folder itself: another may get its name.
    own: Signature,
    /// Whether no link leads to it: what happens to one that a link leads to, as its being moved away, is not all notified.
    is_direct: bool,
    /// Whether all that is written there is notified: not what other machines write on a network drive.
    is_local: bool,
    /// Whether not every file of it has been looked at.
    is_partial: bool,
}

/// What came of a look.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// With their places in the order of events.
    pub(super) events: Vec<(u64, Event)>,
    /// Files to be looked at again, and when.
    pub(super) again: Vec<(RelativePath, Duration)>,
    /// How many files are as they were told before.
    as_told: usize,
    /// Why the system could not tell what is there, as it has no more of something.
    exhausted: Option<Error>,
}

/// A file as it was found.
enum Found {
    Unchanged,
    Gone,
    /// The system can't tell now, or nobody wants to know any more.
    Unknown(Option<Error>),
    /// It can't be read.
    Unreadable(FileProblem),
    Read(Box<Read>),
    /// At the beginning: it is as it was told before, and readers have it already.
    AsTold(Box<OsStr>, Known),
}

struct Read {
    signature: Signature,
    settled: bool,
    digest: [u8; 16],
    content: Content,
    sections: Sections,
    verdict: Verdict,
    /// Why it is no capsule.
    problem: Option<String>,
    /// Whether its text breaks off.
    is_half: bool,
}

impl Catalogue {
    pub(super) fn new(vault: Arc<Vault>) -> Self {
        let layout = Layout::new(vault.directories());
        let state = State {
            known: KnownFiles::default(),
            waiting: HashMap::new(),
            folders: HashMap::new(),
            listed: HashMap::new(),
            unreadable: HashMap::new(),
            record: Record::forgetful(),
            aliased: ByFolder::new(),
            unknown: ByFolder::new(),
            is_watched: false,
        };
        vault.note_watch(true);
        let is_local = AtomicBool::new(Directory::open(vault.store().root()).is_ok_and(|root| root.is_local()));
        let present = Mutex::new(state.record.present());
        Self { vault, layout, is_local, state: Mutex::new(state), instances: Mutex::default(), present }
    }

    /// What the verdict on a file depends on besides the file, in short.
    pub(super) fn settings(&self) -> String {
        let Options { create: _, policy, expected_tether, largest_capsule } = self.vault.store().options();
        let settings = format!("{policy:?} {expected_tether:?} {largest_capsule} {:?}", self.vault.directories());
        fingerprint::sha256(settings.as_bytes())
    }

    /// What was told by those before.
    pub(super) fn set_record(&self, record: Record) {
        *lock(&self.present) = record.present();
        lock(&self.state).record = record;
    }

    /// The vault's folder, as it was named.
    pub(super) fn root(&self) -> &Path {
        self.vault.store().root()
    }

    /// Whether a link leads to a folder inside the vault.
    pub(super) fn is_inside_folder(&self, folder: &Path) -> bool {
        matches!(self.vault.boundary().resolve(&self.root().join(folder)), Ok(Some(real)) if real.is_dir())
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Takes the files that are there at the beginning for known. Told are only those that came, changed or went since
    /// `since`, in the order in which that was noticed. `began` is a time before anything was listed.
    ///
    /// What somebody is just writing is decided on later.
    ///
    /// # Errors
    /// [`Error::Aborted`]; what has been read is kept. [`Error::System`] if the system has no more files to give.
    pub(super) fn begin(
        &self,
        files: &[RelativePath],
        since: Option<&Cursor>,
        began: SystemTime,
        progress: &Progress,
    ) -> Result<Looked, Error> {
        progress.total.store(files.len() as u64, Ordering::Relaxed);
        if let Some(since) = since {
            // What is told now changed since then, and may be told only in part.
            self.set_quiet(since.time().min(SystemTime::now()));
        }
        let mut looked = self.look_in(Stage::Beginning(since, progress), files);
        if progress.is_aborted() {
            self.vault.keep_indexes();
            return Err(Error::Aborted);
        }
        if let Some(problem) = looked.exhausted.take() {
            // What it found later would be told as if it had come later.
            return Err(problem);
        }
        let mut events = std::mem::take(&mut looked.events);
        let mut state = lock(&self.state);
        let State { known, record, unreadable, .. } = &mut *state;
        let is_there = |line: &Told| line.digest.is_some();
        // Most often all that were there still are.
        let all_are_there = record.lines().filter(|(_, line)| is_there(line)).count() == looked.as_told;
        // What can't be looked at now is not gone.
        let undecided: HashSet<&str> = looked.again.iter().filter_map(|(file, _)| file.to_str()).collect();
        let is_found = |path: &str| {
            known.get(Path::new(path)).is_some()
                || undecided.contains(path)
                || unreadable.contains_key(&RelativePath::from(path))
        };
        let is_gone = |(path, line): &(&str, &Told)| !(all_are_there && is_there(line) || is_found(path));
        let gone = record.lines().filter(is_gone).map(|(path, line)| (path.to_owned(), line.clone()));
        let mut gone: Vec<(String, Told)> = gone.collect();
        gone.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        for (path, mut line) in gone {
            if let Some(digest) = line.digest {
                if self.is_withheld(&path) {
                    // It is as it was told, until somebody can look.
                    let (signature, sections) = (Signature::default(), Sections::default());
                    let as_told = Known { signature, settled: false, digest, accepted: line.accepted, sections };
                    known.insert(Path::new(&path), as_told);
                    continue;
                }
                line = Told::followed_by(Some(&line), record.draw(), None, Happening::Removed);
                line = record.caught_up(since, line);
                record.note(&path, line.clone());
            }
            let file = RelativePath::from(&path);
            if let Some(place) = self.layout.place(&file)
                // Who never heard of it is not told that it went.
                && since.is_some_and(|since| {
                    record.is_behind(since, line.number, None) && record.was_there(since, &line)
                })
            {
                let cursor = record.cursor(line.number);
                events.push((line.number, self.event(&file, &place, Happening::Removed, None, NO_VERDICT, &cursor)));
            }
        }
        record.write();
        events.sort_by_key(|(number, _)| *number);
        if undecided.is_empty() {
            // Who has heard the last of it has heard all.
            record.set_quiet(began);
            if let Some((number, last)) = events.last_mut() {
                last.cursor = record.cursor(*number).to_string();
            }
        }
        *lock(&self.present) = record.present();
        drop(undecided);
        Ok(Looked { events, ..looked })
    }

    /// Whether the system does not tell if there is such a file, as it lies in a folder that may not be entered.
    fn is_withheld(&self, file: &str) -> bool {
        let found = self.root().join(file).symlink_metadata();
        found.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    }

    fn event(
        &self,
        file: &Path,
        place: &Place,
        happening: Happening,
        content: Option<Content>,
        verdict: Verdict,
        cursor: &Cursor,
    ) -> Event {
        let seen = date::now_as_iso();
        let (path, cursor) = (self.root().join(file), cursor.to_string());
        let (user, construct, nothing) = match place {
            Place::Memory { user } => (Some(user.clone()), None, Content::Memory(None)),
            Place::Construct { user, construct } => (user.clone(), construct.clone(), Content::Construct(None)),
        };
        let [user, construct] = [user, construct].map(|name| name.map(|name| name.as_ref().to_owned()));
        let readers = user.iter().flat_map(|user| self.readers(&self.layout.base(file), user)).collect();
        let constructs = match &content {
            Some(Content::Construct(Some(capsule))) => {
                let base = self.root().join(self.layout.base(file));
                let instances = self.instances(&base);
                let place = PlaceOf::of(&base, &path, &instances);
                capsule.constructs(&place).into_iter().map(str::to_owned).collect()
            }
            _ => Vec::new(),
        };
        let content = content.unwrap_or(nothing);
        Event { happening, path, user, readers, construct, constructs, content, verdict, seen, cursor }
    }

    /// The instances below a folder, as they were when somebody asked first in this look.
    fn instances(&self, base: &Path) -> Arc<[ConstructName]> {
        let mut known = lock(&self.instances);
        if let Some(known) = known.get(base) {
            return known.clone();
        }
        let found: Arc<[ConstructName]> = instances(base, self.vault.boundary()).into();
        known.insert(base.to_owned(), found.clone());
        found
    }

    /// By what names readers find the folder of a user: by his own, unless another folder is found by that, and in a shard
    /// by that of both.
    fn readers(&self, base: &Path, user: &str) -> Vec<String> {
        let shard = base.parent().and_then(Path::file_name).and_then(OsStr::to_str).filter(|name| is_shard(name));
        let Some(shard) = shard else { return vec![user.to_owned()] };
        let in_shard = format!("{shard}/{user}");
        let users = base.ancestors().nth(2).map(|users| self.root().join(users));
        let found = users.and_then(|users| UserPath::new(&users, &users.join(user)).ok());
        let found = found.map(|path| find_user(&path, self.vault.boundary()));
        if found == Some(UserFolder::Found(self.root().join(base))) {
            vec![user.to_owned(), in_shard]
        } else {
            vec![in_shard]
        }
    }

    /// The cursor behind everything that was told.
    pub(super) fn cursor(&self) -> Cursor {
        lock(&self.present).clone()
    }

    /// The files in a folder of memories, if it holds nothing else and that can be told without listing it.
    pub(super) fn all_without_listing(&self, folder: &Path, path: &Path) -> Option<Arc<Snapshot>> {
        self.layout.folder(folder).filter(CapsuleFolder::has_memories)?;
        let real = self.vault.boundary().resolve(path).ok()??;
        self.vault.watched().folder(&real).all_without_listing(&Directory::open(&real).ok()?)
    }

    /// From here on readers may rely on what was applied.
    pub(super) fn set_watched(&self, watched: bool) {
        let mut state = lock(&self.state);
        for (path, folder) in &state.folders {
            let WatchedFolder { index, own, is_direct, is_local, is_partial, .. } = folder;
            let is_sure = !is_partial && !state.aliased.contains_key(path) && !state.unknown.contains_key(path);
            if *is_direct {
                index.set_watched((watched && *is_local && is_sure).then_some(*own));
            }
        }
        let is_of_construct = |folder: &PathBuf| !self.layout.folder(folder).is_some_and(|own| own.has_memories());
        let is_sure = !state.aliased.keys().chain(state.unknown.keys()).any(is_of_construct);
        let watched = watched && self.is_local.load(Ordering::Relaxed) && is_sure;
        // Set anew only when that changes: what was found for somebody would be forgotten.
        if std::mem::replace(&mut state.is_watched, watched) != watched {
            self.vault.constructs().set_watched(watched);
        }
    }

    /// The files in a folder and below it that are known or waited for, or can't be read.
    pub(super) fn below(&self, folder: &Path) -> Vec<RelativePath> {
        let state = lock(&self.state);
        let mut files = state.known.below(folder);
        let others = state.waiting.keys().chain(state.unreadable.keys());
        files.extend(others.filter(|file| file.starts_with(folder)).cloned());
        files
    }

    /// The files that have been changed without a notification, by a name outside of their folders.
    pub(super) fn changed_by_others(&self) -> Vec<RelativePath> {
        let aliased = lock(&self.state).aliased.clone();
        let mut changed = Vec::new();
        for (folder, files) in aliased {
            let files: Vec<(RelativePath, Option<Signature>)> = {
                let state = lock(&self.state);
                let known = |file: &RelativePath| state.known.get(file).map(|known| known.signature);
                files.into_iter().map(|file| (file.clone(), known(&file))).collect()
            };
            let real = self.vault.boundary().resolve(&self.root().join(folder)).ok().flatten();
            let directory = real.and_then(|real| Directory::open(&real).ok());
            let state_of = |file: &RelativePath| {
                directory.as_ref()?.file_signature(file.file_name()?.to_str()?, self.vault.boundary()).ok()
            };
            changed.extend(files.into_iter().filter(|(file, known)| state_of(file) != *known).map(|(file, _)| file));
        }
        changed
    }

    /// Notes a folder that is there, and tells whether others may write in it unnoticed: what is below the vault's folder
    /// may be mounted from elsewhere.
    pub(super) fn note_folder(&self, folder: &Path, path: &Path) -> bool {
        let Ok(directory) = Directory::open(path) else { return false };
        let is_elsewhere = !directory.is_local();
        match self.layout.folder(folder) {
            Some(own) if own.has_memories() => {
                if let Ok(own) = directory.signature() {
                    lock(&self.state).listed.insert(folder.to_owned(), own);
                }
            }
            Some(_) if is_elsewhere => self.is_local.store(false, Ordering::Relaxed),
            _ => {}
        }
        is_elsewhere
    }

    /// All files of the folders that were listed for this look have been looked at.
    pub(super) fn complete(&self) {
        let mut state = lock(&self.state);
        for (folder, own) in std::mem::take(&mut state.listed) {
            if let Some(watched) = state.folders.get_mut(&folder)
                && watched.own.is_same_file(&own)
            {
                watched.is_partial = false;
            }
        }
    }

    /// The folders of memories whose index can't be had any more, as somebody has cleared the cache: all is to be read again.
    pub(super) fn damaged(&self) -> Vec<RelativePath> {
        let state = lock(&self.state);
        let damaged = state.folders.iter().filter(|(_, known)| known.index.is_damaged());
        damaged.map(|(folder, _)| folder.as_path().into()).collect()
    }

    /// Forgets which constructs were found for whom: a folder has come or gone.
    pub(super) fn forget_constructs(&self) {
        let state = lock(&self.state);
        if state.is_watched {
            self.vault.constructs().set_watched(true);
        }
    }

    /// Whether what has this name is a link.
    fn is_link(&self, file: &Path) -> bool {
        self.root().join(file).is_symlink()
    }

    /// Takes all that was changed before this moment for looked at.
    pub(super) fn set_quiet(&self, quiet: SystemTime) {
        let mut state = lock(&self.state);
        state.record.set_quiet(quiet);
        *lock(&self.present) = state.record.present();
    }

    /// Looks at files and says what happened. `open` are those that somebody may be writing.
    pub(super) fn look(&self, files: &[RelativePath], open: &HashMap<RelativePath, Writer>) -> Looked {
        self.look_in(Stage::Running(open), files)
    }

    /// Nothing more is told.
    pub(super) fn end(&self) {
        self.set_watched(false);
        self.vault.note_watch(false);
    }

    /// Writes no record any more: another process may.
    pub(super) fn close_record(&self) {
        lock(&self.state).record.close();
    }

    fn look_in(&self, when: Stage<'_>, files: &[RelativePath]) -> Looked {
        let mut state = lock(&self.state);
        lock(&self.instances).clear();
        let mut looking = Looking { stage: when, looked: Looked::default(), changes: Vec::new() };
        let mut constructs_changed = false;
        for files in files.chunk_by(|one, other| one.folder() == other.folder()) {
            let Some(folder) = files[0].parent() else { continue };
            let Some(capsules) = self.layout.folder(folder) else { continue };
            let place = |file: &RelativePath| capsules.place(file.file_name()?.to_str()?);
            // In a storm the watching thread would wait longer for another than it takes.
            let files: Vec<(&RelativePath, Place)> =
                files.par_iter().with_min_len(16 * SPLIT).filter_map(|file| Some((file, place(file)?))).collect();
            let path = self.root().join(folder);
            let resolved = self.vault.boundary().resolve(&path);
            let opened = match &resolved {
                Ok(Some(real)) => Some(Directory::open(real)),
                _ => None,
            };
            let is_closed =
                |error: &io::Error| !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
            let problem = resolved.as_ref().err().or_else(|| opened.as_ref().and_then(|opened| opened.as_ref().err()));
            if let Some(error) = problem.filter(|error| is_exhausted(error)) {
                looking.looked.exhausted = Some(Error::system(error, "open", &path));
            }
            if problem.is_some_and(is_closed) {
                state.put_off(folder, files, &mut looking);
                continue;
            }
            let real = resolved.ok().flatten();
            let is_misnamed = CASELESS && real.as_ref().is_some_and(|real| self.is_misnamed(folder, real));
            let directory = opened.and_then(Result::ok).filter(|_| !is_misnamed);
            let has_memories = files.iter().any(|(_, place)| matches!(place, Place::Memory { .. }));
            let found = real.as_ref().zip(directory.as_ref());
            let index = if has_memories { self.index_of(&mut state, folder, found, &mut looking) } else { None };
            // What was kept of the folder: all files of it are looked at now, so that what it has besides is gone.
            let kept = index.as_ref().filter(|_| matches!(when, Stage::Beginning(..))).map(|index| index.kept());
            let rows: Vec<RowRef<'_>> = kept.iter().flat_map(|kept| kept.rows()).collect();
            // Most often they have the same names in the same order.
            let by_name = kept.as_ref().map(|kept| LazyLock::new(|| kept.by_name()));
            let row_of = |at: usize, name: &str| {
                let same = rows.get(at).filter(|row| row.name() == name).copied();
                same.or_else(|| by_name.as_ref()?.find(name))
            };
            let met = AtomicUsize::new(0);
            let is_local = directory.as_ref().is_some_and(Directory::is_local);
            let is_memory = |(_, place): &(&RelativePath, Place)| matches!(place, Place::Memory { .. });
            let (memories, constructs): (Vec<_>, Vec<_>) = files.into_iter().partition(is_memory);
            let size_of = |(file, _): &(&RelativePath, Place)| {
                let name = file.file_name().and_then(OsStr::to_str);
                let state =
                    directory.as_ref().zip(name).map(|(own, name)| own.file_signature(name, self.vault.boundary()));
                state.and_then(Result::ok).map_or(0, |signature| signature.size)
            };
            let lots = std::iter::once((&*memories, true)).chain(lots(&constructs, size_of).map(|lot| (lot, false)));
            for (files, are_memories) in lots {
                let split = if are_memories { SPLIT } else { 1 };
                let State { known, record, .. } = &*state;
                let found: Vec<Found> = each(files.len(), split, |at| {
                    give_way();
                    let (file, place) = &files[at];
                    match &directory {
                        // Nothing is said of it.
                        Some(_) if when.is_aborted() => Found::Unknown(None),
                        Some(directory) => {
                            let row = file.file_name().and_then(|name| row_of(at, name.to_str()?));
                            met.fetch_add(usize::from(row.is_some()), Ordering::Relaxed);
                            if let Some(row) = row
                                && let Some(known) = self.as_told(when, row, directory, file, record)
                            {
                                return Found::AsTold(OsStr::new(row.name()).into(), known);
                            }
                            self.find((directory, is_local), file, place, (known.get(file), row), index.as_deref())
                        }
                        None => Found::Gone,
                    }
                });
                constructs_changed |= !are_memories && found.iter().any(|found| !matches!(found, Found::Unchanged));
                self.take_found(&mut state, (folder, directory.as_ref()), files, found, &mut looking);
            }
            if let Some(kept) = &kept
                && met.into_inner() < kept.len()
            {
                let names: HashSet<&str> =
                    memories.iter().filter_map(|(file, _)| file.file_name().and_then(|name| name.to_str())).collect();
                let gone = kept.rows().map(RowRef::name).filter(|name| !names.contains(name));
                looking.changes.extend(gone.map(|name| (name.into(), None)));
            }
            let changes = std::mem::take(&mut looking.changes);
            if let Some(index) = index
                && !changes.is_empty()
            {
                WatchedFolders::apply(&index, changes, self.vault.boundary());
            }
        }
        // Before anything is told.
        state.record.write();
        *lock(&self.present) = state.record.present();
        if constructs_changed && state.is_watched {
            self.vault.constructs().set_watched(true);
        }
        looking.looked
    }

    /// Takes over what some files of a folder were found to be.
    fn take_found(
        &self,
        state: &mut State,
        (folder, directory): (&Path, Option<&Directory>),
        files: &[(&RelativePath, Place)],
        found: Vec<Found>,
        looking: &mut Looking<'_>,
    ) {
        let mut as_told = Vec::with_capacity(found.iter().filter(|found| matches!(found, Found::AsTold(..))).count());
        for ((file, place), found) in files.iter().zip(found) {
            give_way();
            if let Found::AsTold(name, known) = found {
                as_told.push((name, known));
                continue;
            }
            let found = match directory {
                Some(directory) if CASELESS => state.by_own_name(file, folder, directory, found, looking),
                _ => found,
            };
            self.decide(state, file, place, found, looking);
        }
        looking.looked.as_told += as_told.len();
        if !as_told.is_empty() {
            state.known.extend(folder, as_told);
        }
    }

    /// The index of a folder of memories, which from now on is the watch's to keep if no link leads to the folder. If another
    /// folder was there before, or none is there now, or the index is damaged, what was known counts no more.
    fn index_of(
        &self,
        state: &mut State,
        folder: &Path,
        found: Option<(&PathBuf, &Directory)>,
        looking: &mut Looking<'_>,
    ) -> Option<Arc<Folder>> {
        let found = found.and_then(|(real, directory)| Some((real, directory, directory.signature().ok()?)));
        if let Some(known) = state.folders.get(folder) {
            match found {
                Some((real, _, own))
                    if known.real == *real && known.own.is_same_file(&own) && !known.index.is_damaged() =>
                {
                    return Some(known.index.clone());
                }
                _ => {}
            }
            if known.is_direct {
                self.vault.watched().forget(&known.real);
            }
            state.folders.remove(folder);
            state.aliased.remove(folder);
            state.unreadable.retain(|file, _| file.folder() != folder.as_os_str());
            // Also a file that is just as it was is not in the other folder's index yet.
            state.known.change_in(folder, |known| {
                (known.signature, known.settled) = (Signature::default(), false);
            });
        }
        let (real, directory, own) = found?;
        // Of one that was not listed for this look there may be more files.
        let is_partial = matches!(looking.stage, Stage::Running(_));
        if is_partial && !state.listed.get(folder).is_some_and(|listed| listed.is_same_file(&own)) {
            looking.looked.again.push((folder.into(), Duration::ZERO));
        }
        let index = self.vault.watched().folder(real);
        let is_direct = real.strip_prefix(self.vault.boundary().root()).is_ok_and(|real| real == folder);
        let (real, is_local) = (real.clone(), directory.is_local());
        let watched = WatchedFolder { index: index.clone(), real, own, is_direct, is_local, is_partial };
        state.folders.insert(folder.to_owned(), watched);
        Some(index)
    }

    /// Whether a folder's own name is another than that by which it was found.
    fn is_misnamed(&self, folder: &Path, real: &Path) -> bool {
        let lower = |path: &Path| path.to_string_lossy().to_lowercase();
        let own = real.strip_prefix(self.vault.boundary().root());
        own.is_ok_and(|own| own != folder && lower(own) == lower(folder))
    }

    fn find(
        &self,
        (directory, is_local): (&Directory, bool),
        file: &Path,
        place: &Place,
        (known, kept): (Option<&Known>, Option<RowRef<'_>>),
        index: Option<&Folder>,
    ) -> Found {
        let Some(name) = file.file_name().and_then(|name| name.to_str()) else { return Found::Gone };
        let (store, boundary) = (self.vault.store(), self.vault.boundary());
        if let Some(known) = known.filter(|known| known.settled)
            && directory.file_signature(name, boundary) == Ok(known.signature)
        {
            return Found::Unchanged;
        }
        if let Some(read) = kept.and_then(of_kept)
            && directory.file_signature(name, boundary) == Ok(read.signature)
        {
            return Found::Read(Box::new(read));
        }
        let limit = match place {
            Place::Memory { .. } => LARGEST_MEMORY,
            Place::Construct { .. } => store.options().largest_capsule,
        };
        let began = SystemTime::now();
        with_buffer(|buffer| match directory.read(name, boundary, limit, buffer) {
            Ok((signature, length)) => {
                let settled = signature.is_settled(began, is_local);
                self.parse((file, name), place, index, &buffer[..length], (signature, settled))
            }
            Err(FileProblem::Missing(_)) => Found::Gone,
            Err(problem @ FileProblem::Exhausted(_)) => {
                // On Windows it is one program that has one file.
                Found::Unknown(cfg!(unix).then(|| Error::of_file(&self.root().join(file), problem)))
            }
            Err(problem) => Found::Unreadable(problem),
        })
    }

    fn parse(
        &self,
        (file, name): (&Path, &str),
        place: &Place,
        index: Option<&Folder>,
        text: &[u8],
        (signature, settled): (Signature, bool),
    ) -> Found {
        let store = self.vault.store();
        let digest = digest(text);
        let (content, judged) = if let (Place::Memory { .. }, Some(index)) = (place, index) {
            let entry = index.parse(name, text, (signature, settled, digest));
            let judged = entry.memory().map(|memory| integrity::of_memory(memory.is_sound())).map_err(str::to_owned);
            (Content::Memory(Some(Row::Fresh(entry))), judged)
        } else if let Some(capsule) = ConstructCapsule::parse(store, &self.root().join(file), None, text) {
            let verdict = capsule.verdict.clone();
            (Content::Construct(Some(Arc::new(capsule))), Ok(verdict))
        } else {
            (Content::Construct(None), Err(ConstructCapsule::problem_of(text)))
        };
        let problem = judged.as_ref().err().cloned();
        let verdict = judged.unwrap_or_else(Verdict::unreadable);
        let is_half = problem.is_some() && json::breaks_off(text);
        let sections = if let Content::Construct(Some(_)) = content { sections(text) } else { Sections::default() };
        let read = Read { signature, settled, digest, content, sections, verdict, problem, is_half };
        Found::Read(Box::new(read))
    }

    /// What is known of a memory that at the beginning is as the index has it and as it was told before, and is sound.
    fn as_told(
        &self,
        when: Stage<'_>,
        kept: RowRef<'_>,
        directory: &Directory,
        file: &RelativePath,
        record: &Record,
    ) -> Option<Known> {
        let (Stage::Beginning(since, _), RowRef::Stored(..)) = (when, kept) else { return None };
        let (signature, digest) = (kept.signature()?, kept.digest()?);
        let line = record.line(file.to_str()?)?;
        let is_told = line.accepted && line.digest == Some(digest);
        let is_usable =
            self.vault.store().options().policy == Policy::Report || integrity::of_memory(kept.sound()).is_sound();
        let is_news = since.is_some_and(|since| record.is_behind(since, line.number, Some(signature.changed())));
        let is_as_told = is_told && is_usable && !is_news && kept.is_memory() && !signature.is_aliased();
        let seen = || directory.file_signature(kept.name(), self.vault.boundary()).ok();
        (is_as_told && seen() == Some(signature)).then(|| Known {
            signature,
            settled: true,
            digest,
            accepted: true,
            sections: Sections::default(),
        })
    }

    /// Tells of a file that can't be read, once that has been so for a while. Whether it is told now.
    fn reject_unread(
        &self,
        state: &mut State,
        file: &RelativePath,
        place: &Place,
        problem: &FileProblem,
        looking: &mut Looking<'_>,
    ) -> bool {
        if let FileProblem::System(_) = problem {
            looking.looked.again.push((file.to_owned(), FAULTY));
        }
        let problem = problem.to_string();
        note_file(&mut state.aliased, file, self.is_link(file));
        // If it can be read again as it was, readers must have it back.
        state.known.change(file, |known| known.settled = false);
        if state.unreadable.get(file) == Some(&problem) || state.must_wait(file, None, UNSOUND, looking) {
            return false;
        }
        state.known.remove(file);
        state.unreadable.insert(file.to_owned(), problem.clone());
        let reason = digest(problem.as_bytes());
        let noticed = Noticed::new(file, place, Happening::Rejected, Verdict::unreadable(problem));
        // In place of its content's digest, so that it is not taken for gone.
        self.tell(state, Noticed { digest: Some(reason), ..noticed }, looking);
        true
    }

    /// What a found file means, for listeners and for readers of its folder.
    fn decide(&self, state: &mut State, file: &RelativePath, place: &Place, found: Found, looking: &mut Looking<'_>) {
        let known = state.known.get(file).cloned();
        if !matches!(found, Found::Unreadable(_)) {
            state.unreadable.remove(file);
        }
        let apply = |looking: &mut Looking<'_>, entry| {
            looking.changes.push((file.file_name().unwrap_or_default().to_string_lossy().into(), entry));
        };
        note_file(&mut state.unknown, file, matches!(found, Found::Unknown(_)));
        match found {
            Found::Unchanged | Found::AsTold(..) => {}
            Found::Unknown(problem) => {
                looking.looked.exhausted = looking.looked.exhausted.take().or(problem);
                state.look_again(file, looking.stage);
                looking.looked.again.push((file.to_owned(), CLOSED));
                return;
            }
            Found::Gone => {
                let was_accepted = known.map(|known| known.accepted);
                // Readers see at once that it is gone, also if nobody was told of it yet; who listens is told when it stays so.
                apply(looking, None);
                if was_accepted.is_some() && state.must_wait(file, None, GONE, looking) {
                    // If it comes back as it was, readers must have it back.
                    state.known.change(file, |known| known.settled = false);
                    return;
                }
                state.known.remove(file);
                // Nothing tells when that comes which a link leads to.
                note_file(&mut state.aliased, file, self.is_link(file));
                if was_accepted == Some(true) {
                    let noticed = Noticed::new(file, place, Happening::Removed, NO_VERDICT);
                    self.tell(state, noticed, looking);
                }
            }
            Found::Unreadable(problem) => {
                apply(looking, None);
                if !self.reject_unread(state, file, place, &problem, looking) {
                    return;
                }
            }
            Found::Read(read) => {
                let Read { signature, settled, digest, content, sections, mut verdict, problem, is_half } = *read;
                note_file(&mut state.aliased, file, signature.is_aliased());
                let is_usable =
                    problem.is_none() && (self.vault.store().options().policy == Policy::Report || verdict.is_sound());
                if let Stage::Beginning(..) = looking.stage
                    && is_half
                    && signature.is_younger_than(HALF)
                {
                    // Somebody is just writing it.
                    state.look_again(file, looking.stage);
                    looking.looked.again.push((file.to_owned(), HALF));
                    return;
                }
                let same = known.as_ref().filter(|known| known.digest == digest);
                let writer = if let Stage::Running(open) = looking.stage { open.get(file) } else { None };
                let patience = patience(writer.copied(), is_usable, is_half);
                let entry =
                    if let Content::Memory(Some(Row::Fresh(entry))) = &content { Some(entry.clone()) } else { None };
                if same.is_none() && state.must_wait(file, Some(signature), patience, looking) {
                    // Readers have what is on the disk, as they have it without a watch.
                    if entry.is_some() {
                        apply(looking, entry);
                    }
                    return;
                }
                let accepted = is_usable || same.is_some_and(|known| known.accepted);
                let was_away = state.waiting.contains_key(file);
                let is_news =
                    was_away || same.is_none_or(|known| known.signature != signature || known.settled != settled);
                if !is_usable
                    && problem.is_none()
                    && let Some(before) = known.as_ref().filter(|known| known.accepted)
                {
                    let changed = changed_sections(&before.sections, &sections);
                    if let Some(reason) = verdict.reason.as_mut().filter(|_| !changed.is_empty()) {
                        reason.push_str(". Since the version before there has changed: ");
                        reason.push_str(&changed.join(", "));
                    }
                }
                state.known.insert(file, Known { signature, settled, digest, accepted, sections });
                if same.is_none() {
                    let happening = match (is_usable, known.is_some_and(|known| known.accepted)) {
                        (false, _) => Happening::Rejected,
                        (true, true) => Happening::Updated,
                        (true, false) => Happening::Imported,
                    };
                    let noticed = Noticed::new(file, place, happening, verdict).of(content, digest, &signature);
                    self.tell(state, noticed, looking);
                }
                if is_news && entry.is_some() {
                    apply(looking, entry);
                }
            }
        }
        state.waiting.remove(file);
    }

    /// Records what was noticed, and tells it if it is news to who listens.
    fn tell(&self, state: &mut State, noticed: Noticed<'_>, looking: &mut Looking<'_>) {
        let Noticed { file, place, mut happening, content, verdict, digest, changed } = noticed;
        let record = &mut state.record;
        let path = file.to_string_lossy();
        let accepted = matches!(happening, Happening::Imported | Happening::Updated);
        let before = record.line(&path).cloned();
        let same = before.as_ref().filter(|line| line.digest == digest && line.accepted == accepted);
        let number = match (looking.stage, same) {
            (Stage::Beginning(..), Some(told)) => told.number,
            // What was there before anything was recorded.
            (Stage::Beginning(since, _), None)
                if record.is_new() && !since.is_some_and(|since| record.is_behind(since, 0, changed)) =>
            {
                0
            }
            _ => record.draw(),
        };
        let mut told = Told::followed_by(before.as_ref(), number, digest, happening);
        let mut since = None;
        if let Stage::Beginning(cursor, _) = looking.stage {
            told = record.caught_up(cursor, told);
            since = cursor.filter(|cursor| record.is_behind(cursor, number, changed));
            told.heard = since.is_some() || same.is_some_and(|same| same.heard);
        }
        let heard = told.heard;
        if same.is_none_or(|same| (same.number, same.heard) != (number, heard)) {
            record.note(&path, told);
        }
        let whole = self.root().join(file);
        if let Stage::Beginning(cursor, _) = looking.stage {
            let Some(since) = since else {
                let is_rejected = happening == Happening::Rejected;
                // Who comes without a cursor may be another.
                let was_heard = cursor.is_some() && heard;
                self.vault.note_told(&whole, is_rejected && was_heard);
                if is_rejected && !was_heard {
                    // By who meets it.
                    self.vault.note_untold(whole, verdict.reason.unwrap_or_default());
                }
                return;
            };
            let line = record.line(&path);
            if happening == Happening::Imported && line.is_some_and(|line| record.was_there(since, line)) {
                happening = Happening::Updated;
            }
        }
        self.vault.note_told(&whole, happening == Happening::Rejected);
        let cursor = record.cursor(number);
        looking.looked.events.push((number, self.event(file, place, happening, content, verdict, &cursor)));
    }
}

/// Files, so many at a time as may be in memory together.
fn lots<T>(files: &[T], size_of: impl Fn(&T) -> u64) -> impl Iterator<Item = &[T]> {
    let mut left = files;
    std::iter::from_fn(move || {
        let (mut bytes, mut count) = (0, 0);
        while count < left.len().min(CONSTRUCTS) {
            bytes += size_of(&left[count]);
            if count > 0 && bytes > CONSTRUCT_BYTES {
                break;
            }
            count += 1;
        }
        let (lot, rest) = left.split_at(count);
        left = rest;
        (count > 0).then_some(lot)
    })
}

/// How far a watch is.
#[derive(Debug, Clone, Copy)]
enum Stage<'a> {
    /// Nothing is waited for, and told is only what happened since a cursor.
    Beginning(Option<&'a Cursor>, &'a Progress),
    /// Everything is told. These files somebody may be writing.
    Running(&'a HashMap<RelativePath, Writer>),
}

impl Stage<'_> {
    /// Whether nothing more is to be read. Counts a file that is looked at at the beginning.
    fn is_aborted(self) -> bool {
        let Self::Beginning(_, progress) = self else { return false };
        progress.done.fetch_add(1, Ordering::Relaxed);
        progress.is_aborted()
    }
}

/// A look that is under way.
struct Looking<'a> {
    stage: Stage<'a>,
    looked: Looked,
    /// For the readers of the present folder.
    changes: Vec<(Box<str>, Option<Arc<Entry>>)>,
}

/// What happened to a file.
struct Noticed<'a> {
    file: &'a Path,
    place: &'a Place,
    happening: Happening,
    content: Option<Content>,
    verdict: Verdict,
    digest: Option<[u8; 16]>,
    /// When the system says that it was changed last: nanoseconds since 1970.
    changed: Option<i64>,
}

impl<'a> Noticed<'a> {
    fn new(file: &'a Path, place: &'a Place, happening: Happening, verdict: Verdict) -> Self {
        Self { file, place, happening, content: None, verdict, digest: None, changed: None }
    }

    fn of(self, content: Content, digest: [u8; 16], signature: &Signature) -> Self {
        Self { content: Some(content), digest: Some(digest), changed: Some(signature.changed()), ..self }
    }
}

impl State {
    /// A file is gone that is found by a name which no file in its folder has: it was renamed, and only the case of its name is
    /// another. So may be one that is known by another name.
    fn by_own_name(
        &mut self,
        file: &RelativePath,
        folder: &Path,
        directory: &Directory,
        found: Found,
        looking: &mut Looking<'_>,
    ) -> Found {
        let Found::Read(read) = &found else { return found };
        let is_other = |(name, known): &(&OsStr, &Known)| {
            Some(*name) != file.file_name() && known.signature.is_same_file(&read.signature)
        };
        let others = self.known.in_folder(folder).filter(is_other).map(|(name, _)| folder.join(name).into());
        let others: Vec<RelativePath> = others.collect();
        if others.is_empty() || read.signature.is_aliased() {
            return found;
        }
        let Ok(names) = directory.list() else { return found };
        let is_there = |file: &Path| names.iter().any(|name| file.file_name() == Some(OsStr::new(&**name)));
        for other in others.into_iter().filter(|other| !is_there(other)) {
            self.known.change(&other, |known| known.settled = false);
            looking.looked.again.push((other, Duration::ZERO));
        }
        if is_there(file) { found } else { Found::Gone }
    }

    /// Nobody knows what is in a folder that is closed now. Readers ask the disk, which refuses them.
    fn put_off(&mut self, folder: &Path, files: Vec<(&RelativePath, Place)>, looking: &mut Looking<'_>) {
        if let Some(closed) = self.folders.get_mut(folder) {
            closed.index.set_watched(None);
            closed.is_partial = true;
        }
        if let Stage::Running(_) = looking.stage {
            looking.looked.again.push((RelativePath::from(folder), CLOSED));
            return;
        }
        for (file, _) in files {
            self.look_again(file, looking.stage);
            looking.looked.again.push((file.clone(), CLOSED));
        }
    }

    /// What was told of a file before, to whoever comes back, is what it will be compared with when it is looked at again.
    fn look_again(&mut self, file: &RelativePath, stage: Stage<'_>) {
        let Stage::Beginning(since, _) = stage else { return };
        let signature = Signature::default();
        let path = file.to_string_lossy();
        let Some(mut line) = self.record.line(&path).cloned() else { return };
        if let Some(since) = since.filter(|since| self.record.is_behind(since, line.number, None)) {
            // What happened behind the cursor is not told now.
            line = line.as_of(since.number());
            self.record.note(&path, line.clone());
        }
        if let Some(digest) = line.digest {
            let sections = Sections::default();
            self.known.insert(file, Known { signature, settled: false, digest, accepted: line.accepted, sections });
        }
    }

    /// Whether a file in this state is still to be waited for; then it is looked at again.
    fn must_wait(
        &mut self,
        file: &RelativePath,
        signature: Option<Signature>,
        patience: Duration,
        looking: &mut Looking<'_>,
    ) -> bool {
        if let Stage::Beginning(..) = looking.stage {
            return false;
        }
        let waiting = self.waiting.get(file).filter(|waiting| waiting.signature == signature).copied();
        let waiting = waiting.unwrap_or(Waiting { since: Instant::now(), signature });
        let left = patience.saturating_sub(waiting.since.elapsed());
        self.waiting.insert(file.to_owned(), waiting);
        if !left.is_zero() {
            looking.looked.again.push((file.to_owned(), left));
        }
        !left.is_zero()
    }
}

/// Notes whether a file is one of some.
fn note_file(files: &mut ByFolder, file: &RelativePath, is_one: bool) {
    let Some(folder) = file.parent() else { return };
    if is_one {
        files.entry(folder.to_owned()).or_default().insert(file.clone());
    } else if let Some(own) = files.get_mut(folder) {
        own.remove(file);
        if own.is_empty() {
            files.remove(folder);
        }
    }
}

/// How long a file is left alone before it is taken for what its writer meant.
fn patience(writer: Option<Writer>, is_usable: bool, is_half: bool) -> Duration {
    match (writer, is_usable) {
        (Some(Writer::Seen), true) => OPEN,
        (Some(Writer::Seen | Writer::Expected), false) => OPEN_AND_BROKEN,
        (_, true) => Duration::ZERO,
        (Some(Writer::Possible), false) if is_half => 4 * HALF,
        (_, false) if is_half => HALF,
        (_, false) => UNSOUND,
    }
}

/// What an index knows of a memory that was read before.
fn of_kept(row: RowRef<'_>) -> Option<Read> {
    if !row.is_memory() {
        return None;
    }
    Some(Read {
        signature: row.signature()?,
        settled: true,
        digest: row.digest()?,
        content: Content::Memory(Some(row.to_row())),
        sections: Sections::default(),
        verdict: integrity::of_memory(row.sound()),
        problem: None,
        is_half: false,
    })
}

const NO_VERDICT: Verdict = Verdict { valid: None, recipe: None, tether: None, reason: None };

fn sections(text: &[u8]) -> Sections {
    let mut sections = Vec::new();
    // The text has been parsed: there is no error to tell.
    let _ = json::scan(text, |name, value| {
        sections.push((String::from_utf8_lossy(&name).into_owned(), digest(value.text().as_bytes())));
    });
    sections.into()
}

fn changed_sections(before: &[Section], after: &[Section]) -> Vec<String> {
    let changed = after.iter().filter(|section| !before.contains(section));
    let gone = before.iter().filter(|(name, _)| !after.iter().any(|(own, _)| own == name));
    changed.chain(gone).map(|(name, _)| name.clone()).collect()
}
