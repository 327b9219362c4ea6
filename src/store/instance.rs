//! One instance's capsules: its folder, its index, its journal, and the one way in which they are changed.
//!
//! What is answered comes from the index file, put right by what the folder and the journal say: a capsule that no entry
//! names has an entry, and one whose file is gone is not told of. Readers take no lock.
//!
//! Changes are made by one process at a time, under a lock on `indexes/{instance}.lock`, and by one thread of it, which
//! does at once what the others have asked for meanwhile. Python's store knows no lock. So the new index is written beside
//! the old one, and put in its place only if that has not changed since it was read.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rayon::prelude::*;

use super::files::{Files, belong_to_folder, is_temporary_name, open_file, temporary_name};
use super::journal::{self, Journal, Record};
use crate::Error;
use crate::formats::capsule::{self, Header};
use crate::formats::fingerprint::sha256;
use crate::formats::instance_index::{Entry, InstanceIndex, Salvaged};
use crate::formats::{integrity, json};
use crate::lock::lock;
use crate::vault::{Boundary, Directory, FileProblem, LARGEST_FILE, Signature, is_capsule};

/// How long another process may keep the lock, since a change was asked for, or since this one had it last.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a text that can't be read must stay the same before it counts as damaged: Python writes in place, and a file
/// that it is writing is half.
const QUIET: Duration = Duration::from_millis(200);
/// So long at most a text is waited for that is being written again and again, and is not whole.
const UNREST: Duration = Duration::from_secs(5);
/// So long at most does a program take that removes a file and then writes the index.
const LONGEST_CHANGE: Duration = Duration::from_secs(1);
/// After so long a temporary file belongs to nobody any more.
const ABANDONED: Duration = Duration::from_secs(600);

/// Where an instance's files are, and how they are changed.
#[derive(Debug, Clone)]
pub(super) struct Places {
    /// The folder of its capsules.
    pub(super) folder: PathBuf,
    /// The folder of all indexes.
    pub(super) indexes: PathBuf,
    pub(super) boundary: Boundary,
    pub(super) files: Arc<dyn Files>,
    /// The largest capsule, in bytes.
    pub(super) largest: u64,
}

/// One instance.
#[derive(Debug)]
pub(super) struct Instance {
    name: String,
    places: Places,
    state: Mutex<State>,
    queue: Mutex<Queue>,
    done: Condvar,
}

/// What is known, and of which state of the disk.
#[derive(Debug, Default)]
struct State {
    index: Option<Arc<InstanceIndex>>,
    index_seen: Option<IndexSeen>,
    /// Whether `index` says more than the file.
    ahead: bool,
    journal: Journal,
    journal_seen: Option<Signature>,
    /// How many lines and bytes were left when it was shortened last.
    journal_left: (usize, usize),
    /// The names in the folder.
    names: Arc<HashSet<Box<str>>>,
    /// By UUID.
    checked: HashMap<Box<str>, Checked>,
    /// When the states of all files are to be looked at again.
    check_all_at: Option<Instant>,
    /// Entries whose files are other capsules'.
    foreign: HashSet<Box<str>>,
    folder_seen: Option<Signature>,
    /// Files that are in no index for a reason.
    strays: HashMap<Box<str>, Stray>,
    /// What was seen and is to be written down.
    unrecorded: Vec<Record>,
    /// The text of an index that could not be read: kept beside the new one.
    damaged: Option<Vec<u8>>,
    /// When `ahead` was last tried to be written.
    healed: Option<Instant>,
    /// Why an index that is made anew is not to be written: one of the files could not be read, and may be the newest state of a
    /// capsule.
    unread: Option<Error>,
}

/// The file that an entry names.
#[derive(Debug)]
struct Checked {
    filename: Box<str>,
    /// Its state; without one it is looked into again.
    seen: Option<Signature>,
    /// Whether it is another capsule's.
    is_another: bool,
}

/// A state of the index file. Every save gives it another time in its last line; so while its signature is not settled,
/// its end is compared too.
#[derive(Debug, Clone, PartialEq, Eq)]
struct IndexSeen {
    signature: Option<Signature>,
    end: Vec<u8>,
    settled: bool,
}

/// What can be asked for. Each is done whole or not at all.
#[derive(Debug, Clone)]
pub(super) enum Change {
    /// Puts in a capsule that was written under a temporary name.
    Store {
        uuid: String,
        temporary: PathBuf,
        text: Arc<[u8]>,
        /// A tag that it has from the first.
        tag: Option<String>,
        placed: Option<Placed>,
    },
    AddTag {
        uuid: String,
        tag: String,
    },
    RemoveTag {
        uuid: String,
        tag: String,
    },
    Delete {
        uuid: String,
    },
    /// Writes what is known beyond the file.
    Heal,
}

/// Where a capsule was put.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    filename: String,
    /// Whether it was there before, byte for byte.
    was_there: bool,
    /// Whether the index has it.
    stays: bool,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Stored {
        path: PathBuf,
        is_new: bool,
    },
    /// Whether there is such a capsule.
    Changed(bool),
}

type Answer = Result<Outcome, Error>;

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<(u64, Change)>,
    answers: HashMap<u64, Answer>,
    next: u64,
    work: Work,
    /// When the lock was given back last.
    had_lock: Option<Instant>,
}

/// What is done by one thread for all.
#[derive(Debug, Default, PartialEq, Eq)]
enum Work {
    #[default]
    None,
    /// It waits for the lock between processes. Nothing has left the queue.
    Locking,
    Committing,
}

/// What an instance holds at one moment.
#[derive(Debug, Clone)]
pub(super) struct Listing {
    index: Arc<InstanceIndex>,
    names: Arc<HashSet<Box<str>>>,
    /// Entries whose files are other capsules'.
    foreign: HashSet<Box<str>>,
    is_settled: bool,
}

impl Listing {
    pub(super) fn index(&self) -> &InstanceIndex {
        &self.index
    }

    /// Whether the file of an entry is there: else it is being deleted, or was taken away.
    pub(super) fn has_file(&self, entry: &Entry) -> bool {
        self.names.contains(entry.filename())
    }

    /// Whether it stays so until something changes: of what is all that is left of a capsule it is not known yet whether somebody is
    /// deleting it.
    pub(super) fn is_settled(&self) -> bool {
        self.is_settled
    }

    /// Whether another capsule was written over a capsule's file. Python lists it all the same.
    pub(super) fn is_written_over(&self, uuid: &str) -> bool {
        self.foreign.contains(uuid)
    }

    /// The entries with a file, newest first.
    pub(super) fn newest_first(&self, tag: Option<&str>) -> Vec<(&str, &Entry)> {
        let mut entries = self.index.newest_first(tag);
        entries.retain(|(_, entry)| self.has_file(entry));
        entries
    }

    /// The capsule that was stored last, or where its file is gone, the newest.
    pub(super) fn latest(&self) -> Option<(&str, &Entry)> {
        let latest = self.index.latest().and_then(|uuid| self.index.entry(uuid).map(|entry| (uuid, entry)));
        latest.filter(|(_, entry)| self.has_file(entry)).or_else(|| self.newest_first(None).first().copied())
    }
}

impl Change {
    /// The capsule that is changed.
    fn uuid(&self) -> Option<&str> {
        match self {
            Self::Store { uuid, .. }
            | Self::AddTag { uuid, .. }
            | Self::RemoveTag { uuid, .. }
            | Self::Delete { uuid } => Some(uuid),
            Self::Heal => None,
        }
    }

    /// Whether it makes or removes files.
    fn is_of_files(&self) -> bool {
        matches!(self, Self::Store { .. } | Self::Delete { .. })
    }
}

impl Queue {
    /// Takes out what can be done at once. What makes or removes a capsule's files is done apart from all else that is asked
    /// of that capsule, in its turn: how the files are is known only once it is done.
    fn take(&mut self) -> (Vec<u64>, Vec<Change>) {
        let mut met: HashMap<String, bool> = HashMap::new();
        let is_next = |(_, change): &mut (u64, Change)| {
            let Some(uuid) = change.uuid() else { return true };
            let is_alone = change.is_of_files();
            match met.get_mut(uuid) {
                None => {
                    met.insert(uuid.to_owned(), is_alone);
                    true
                }
                Some(others) => !std::mem::replace(others, *others || is_alone) && !is_alone,
            }
        };
        self.waiting.extract_if(.., is_next).unzip()
    }

    /// Takes out a change that is not made.
    fn withdraw(&mut self, number: u64) -> Vec<Change> {
        self.waiting.extract_if(.., |(own, _)| *own == number).map(|(_, change)| change).collect()
    }

    /// How long the lock is still waited for.
    fn patience(&self, asked: Instant) -> Duration {
        PATIENCE.saturating_sub(self.had_lock.map_or(asked, |had| had.max(asked)).elapsed())
    }
}

impl State {
    /// Whether the states of all files are to be looked at, as one may have been written over in place: each second at most, and
    /// for a fiftieth of the time.
    fn are_all_due(&self) -> bool {
        self.check_all_at.is_none_or(|at| Instant::now() >= at)
    }

    /// Takes in what was seen, and is to be written down.
    fn note(&mut self, record: Record) {
        self.journal.note(record.clone());
        self.unrecorded.push(record);
        self.ahead = true;
    }

    fn has_entry(&self, uuid: &str) -> bool {
        self.index.as_ref().is_some_and(|index| index.entry(uuid).is_some())
    }
}

impl Instance {
    pub(super) fn new(name: &str, places: Places) -> Self {
        Self { name: name.to_owned(), places, state: Mutex::default(), queue: Mutex::default(), done: Condvar::new() }
    }

    fn index_name(&self) -> String {
        format!("{}_index.json", self.name)
    }

    fn journal_name(&self) -> String {
        format!("{}.journal", self.name)
    }

    /// What the instance holds now; `None` if there is no such instance.
    pub(super) fn listing(&self) -> Result<Option<Listing>, Error> {
        self.contents().map(|(listing, _)| listing)
    }

    /// The same, and the names of the files in its folder that VVAULT can't take for versions: what stands in them is not what
    /// it asks for. Earlier states of versions are not among them.
    pub(super) fn contents(&self) -> Result<(Option<Listing>, Vec<Box<str>>), Error> {
        let (listing, strays, ahead) = {
            let mut state = lock(&self.state);
            self.refresh(&mut state, true)?;
            let ahead = state.ahead && state.healed.is_none_or(|healed| healed.elapsed() > Duration::from_secs(1));
            if ahead {
                state.healed = Some(Instant::now());
            }
            let (names, foreign) = (state.names.clone(), state.foreign.clone());
            let strays = state.strays.iter().filter(|(_, stray)| !stray.is_earlier).map(|(name, _)| name.clone());
            let strays = strays.collect();
            let is_settled = !state.strays.values().any(|stray| stray.is_earlier && stray.seen.is_none());
            (state.index.clone().map(|index| Listing { index, names, foreign, is_settled }), strays, ahead)
        };
        // Of no account for this answer: nobody is waited for, and on a disk that can't be written it stays undone.
        if ahead {
            let _ = self.change(Change::Heal, Instant::now());
        }
        Ok((listing, strays))
    }

    /// Has the file of a capsule looked into by the next [`listing`](Self::listing), as it turned out to be another's.
    pub(super) fn distrust(&self, uuid: &str) {
        let mut state = lock(&self.state);
        state.checked.remove(uuid);
        state.folder_seen = None;
    }

    /// The text of a capsule's file, whole. One that Python is writing is waited for.
    pub(super) fn read(&self, filename: &str) -> Result<Vec<u8>, FileProblem> {
        if !is_plain(filename) {
            return Err(FileProblem::Outside(self.places.folder.join(filename)));
        }
        let folder = self.open_folder()?.ok_or_else(|| missing(&self.places.folder.join(filename)))?;
        let (read, _) = read_whole(&folder, &self.places.boundary, filename, self.places.largest, |text| {
            json::scan(text, |_, _| {}).is_ok()
        })?;
        Ok(read)
    }

    /// Opens the folder of capsules, which may be a link inside the vault.
    fn open_folder(&self) -> Result<Option<Directory>, FileProblem> {
        open_inside(&self.places.folder, &self.places.boundary)
    }

    /// Brings `state` up to date with the disk: always the index and the journal; if `whole`, or if there is no index,
    /// also what lies in the folder.
    fn refresh(&self, state: &mut State, whole: bool) -> Result<(), Error> {
        let refreshed = self.refresh_to_end(state, whole);
        if state.unread.is_some() {
            state.ahead = false;
            state.unrecorded.clear();
            // As it is without them.
            state.journal_seen = None;
        }
        if refreshed.is_err() || state.unread.is_some() {
            // What was read of the index was not put right.
            state.index_seen = None;
        }
        refreshed
    }

    fn refresh_to_end(&self, state: &mut State, whole: bool) -> Result<(), Error> {
        let indexes = open_inside(&self.places.indexes, &self.places.boundary)
            .map_err(|problem| Error::of_file(&self.places.indexes, problem))?;
        let now = now();
        let (mut changed, mut rebuilt) = (true, false);
        let mut salvaged_tags = Vec::new();
        match self.read_index(indexes.as_ref(), state.index_seen.as_ref())? {
            IndexFile::Unchanged => changed = false,
            IndexFile::Whole(index, seen, damaged) => {
                state.index = Some(index);
                state.index_seen = Some(seen);
                // Who wrote it may have written over files.
                state.check_all_at = None;
                rebuilt = damaged.is_some();
                // What is still to be written down is in no index.
                state.ahead = rebuilt || !state.unrecorded.is_empty();
                state.damaged = damaged.or(state.damaged.take());
            }
            IndexFile::Missing(seen) => {
                state.index = None;
                state.index_seen = Some(seen);
                rebuilt = true;
            }
            IndexFile::Damaged(text, seen) => {
                let mut index = InstanceIndex::new(&self.name, &now);
                let Salvaged { entries, tags, latest } = InstanceIndex::salvage(&text);
                salvaged_tags = tags;
                index.put_back(entries);
                index.set_latest(latest.as_deref().filter(|uuid| index.entry(uuid).is_some()));
                state.index = Some(Arc::new(index));
                state.index_seen = Some(seen);
                state.ahead = true;
                state.damaged = Some(text);
                rebuilt = true;
            }
        }
        changed |= self.read_journal(state, indexes.as_ref())?;
        // An entry from before its capsule was stored again is not to be changed.
        let is_moved_back = changed && state.index.as_ref().is_some_and(|index| state.journal.is_moved_back(index));
        if whole || rebuilt || is_moved_back {
            changed |= self.read_folder(state, changed, rebuilt)?;
        }
        let State { index, journal, ahead, unrecorded, names, .. } = &mut *state;
        if changed && let Some(index) = index {
            if !salvaged_tags.is_empty() {
                let given = salvaged_tags.iter().filter(|(uuid, tag)| !journal.has_taken(uuid, tag));
                Arc::make_mut(index).change_tags(given.map(|(uuid, tag)| (&**uuid, &**tag, true)), &now);
            }
            for record in journal.taken_by_others(index) {
                journal.note(record.clone());
                unrecorded.push(record);
                *ahead = true;
            }
            if journal.is_undone_in(index) {
                journal.put_right(Arc::make_mut(index), &now);
                *ahead = true;
            }
            for record in journal.dated_ahead(&now) {
                journal.note(record.clone());
                unrecorded.push(record);
                *ahead = true;
            }
            for record in journal.gone_back_to(index, |filename| names.contains(filename)) {
                journal.note(record.clone());
                unrecorded.push(record);
                *ahead = true;
            }
            // Deleted here, and brought back by a copy from before.
            let is_ghost = |uuid: &str, entry: &Entry| {
                journal.has_deleted_since(uuid, entry)
                    && matches!(self.holds(entry.filename(), uuid), Ok(None | Some(false)))
            };
            let ghosts: Vec<String> = index
                .entries()
                .filter(|(uuid, entry)| is_ghost(uuid, entry))
                .map(|(uuid, _)| uuid.to_owned())
                .collect();
            for uuid in &ghosts {
                Arc::make_mut(index).remove(uuid, &now);
                *ahead = true;
            }
        }
        Ok(())
    }

    /// The state of the index file. One that `was_there` is waited for: somebody may be about to put another in its place.
    fn signature_of_index(&self, indexes: &Directory, name: &str, was_there: bool) -> Result<Signature, FileProblem> {
        let asked = Instant::now();
        loop {
            match indexes.file_signature(name, &self.places.boundary) {
                Err(FileProblem::Missing(_)) if was_there && asked.elapsed() < QUIET => {
                    std::thread::sleep(Duration::from_millis(2));
                }
                signature => return signature,
            }
        }
    }

    fn read_index(&self, indexes: Option<&Directory>, seen: Option<&IndexSeen>) -> Result<IndexFile, Error> {
        let name = self.index_name();
        let absent = IndexSeen { signature: None, end: Vec::new(), settled: true };
        let Some(indexes) = indexes else {
            return Ok(if seen == Some(&absent) { IndexFile::Unchanged } else { IndexFile::Missing(absent) });
        };
        let boundary = &self.places.boundary;
        let was_there = seen.is_some_and(|seen| seen.signature.is_some());
        let signature = match self.signature_of_index(indexes, &name, was_there) {
            Ok(signature) => signature,
            Err(FileProblem::Missing(_)) if seen == Some(&absent) => return Ok(IndexFile::Unchanged),
            Err(FileProblem::Missing(_)) => return Ok(IndexFile::Missing(absent)),
            Err(problem) => return Err(Error::of_file(&self.places.indexes.join(&name), problem)),
        };
        if let Some(seen) = seen
            && seen.signature == Some(signature)
            && (seen.settled || end_of_file(&indexes.path().join(&name), signature.size).as_ref() == Some(&seen.end))
        {
            return Ok(IndexFile::Unchanged);
        }
        let began = SystemTime::now();
        let is_whole = |text: &[u8]| InstanceIndex::parse_file(text).is_ok_and(|(_, is_alone)| is_alone);
        let read = read_whole(indexes, boundary, &name, LARGEST_FILE, is_whole);
        let (text, signature) = match read {
            Ok(read) => read,
            Err(FileProblem::Missing(_)) => return Ok(IndexFile::Missing(absent)),
            Err(problem) => return Err(Error::of_file(&self.places.indexes.join(&name), problem)),
        };
        let seen = IndexSeen {
            signature: Some(signature),
            end: end(&text),
            settled: signature.is_settled(began, indexes.is_local()),
        };
        Ok(match InstanceIndex::parse_file(&text) {
            Ok((index, is_alone)) => IndexFile::Whole(Arc::new(index), seen, (!is_alone).then_some(text)),
            Err(_) => IndexFile::Damaged(text, seen),
        })
    }

    /// Gives whether it changed.
    fn read_journal(&self, state: &mut State, indexes: Option<&Directory>) -> Result<bool, Error> {
        let Some(indexes) = indexes else { return Ok(false) };
        let name = self.journal_name();
        let mut text = Vec::new();
        let read = match indexes.file_signature(&name, &self.places.boundary) {
            Ok(signature) if state.journal_seen == Some(signature) => return Ok(false),
            Ok(_) => indexes.read(&name, &self.places.boundary, journal::LARGEST, &mut text),
            Err(problem) => Err(problem),
        };
        match read {
            Ok((signature, length)) => {
                state.journal = Journal::parse(&text[..length]);
                state.journal_seen = Some(signature);
                Ok(true)
            }
            Err(FileProblem::Missing(_)) => {
                state.journal = Journal::default();
                Ok(state.journal_seen.take().is_some())
            }
            // What was acknowledged stands in it: it must not be taken for empty.
            Err(problem) => Err(self.journal_error(problem)),
        }
    }

    /// Why the journal can't be read; it is named in any case.
    fn journal_error(&self, problem: FileProblem) -> Error {
        let path = self.places.indexes.join(self.journal_name());
        match problem {
            FileProblem::TooLarge { .. } | FileProblem::NotRegular | FileProblem::Folder => {
                Error::System { code: "VVAULT_SYSTEM", message: format!("{problem} '{}'", path.display()), path }
            }
            problem => Error::of_file(&path, problem),
        }
    }

    /// Looks for capsules that no entry names, and gives them one. Gives whether that changed the index. Of one that was `rebuilt`
    /// entries may be lost.
    fn read_folder(&self, state: &mut State, index_changed: bool, rebuilt: bool) -> Result<bool, Error> {
        let problem = |problem| Error::of_file(&self.places.folder, problem);
        state.unread = None;
        let Some(folder) = self.open_folder().map_err(problem)? else {
            state.names = Arc::default();
            state.foreign.clear();
            state.folder_seen = None;
            return Ok(false);
        };
        let system = |error: std::io::Error| Error::system(&error, "scandir", &self.places.folder);
        let began = SystemTime::now();
        let signature = folder.signature().map_err(system)?;
        if state.folder_seen == Some(signature) {
            let is_same = |name: &str, seen| folder.file_signature(name, &self.places.boundary).ok() == Some(seen);
            if !index_changed
                && !state.are_all_due()
                && state.strays.iter().all(|(name, stray)| stray.seen.is_some_and(|seen| is_same(name, seen)))
            {
                return Ok(false);
            }
        } else {
            state.names = Arc::new(folder.list().map_err(system)?.into_iter().collect());
            state.strays.retain(|name, _| state.names.contains(name));
            let settled = folder.is_local() && signature.is_settled(began, true);
            state.folder_seen = settled.then_some(signature);
        }
        let known = state.index.clone();
        let known = known.as_deref();
        // An earlier state only of what has an entry that is no copy from before, and its file: else it may be all that is left.
        let State { strays, journal, names, .. } = &mut *state;
        strays.retain(|name, stray| {
            let Some(uuid) = stray.uuid.as_ref().filter(|_| stray.is_earlier) else { return true };
            let entry = known.and_then(|index| index.entry(uuid));
            entry.map_or(!index_changed, |entry| {
                let is_there = |filename: &str| names.contains(filename);
                is_there(entry.filename()) && (!index_changed || !journal.has_moved(uuid, name, entry, is_there))
            })
        });
        self.check_entries(state, &folder, began);
        let own = known.iter().flat_map(|index| index.entries()).filter(|(uuid, _)| !state.foreign.contains(*uuid));
        let named: HashSet<&str> = own.map(|(_, entry)| entry.filename()).collect();
        let unknown: Vec<&Box<str>> =
            state.names.iter().filter(|name| is_capsule(name) && !named.contains(&***name)).collect();
        if unknown.is_empty() {
            return Ok(false);
        }
        let strays = &state.strays;
        let known = Known {
            index: known,
            journal: &state.journal,
            names: &state.names,
            foreign: &state.foreign,
            is_whole: !rebuilt,
            is_quiet: signature.is_settled(began.checked_sub(LONGEST_CHANGE).unwrap_or(began), true),
            began,
        };
        let found: Vec<(Box<str>, Looked)> = unknown
            .into_par_iter()
            .filter_map(|name| {
                let signature = folder.file_signature(name, &self.places.boundary).ok()?;
                if strays.get(name).is_some_and(|stray| stray.seen == Some(signature)) {
                    return None;
                }
                Some((name.clone(), self.look_at(&folder, name, &known)))
            })
            .collect();
        Ok(self.take_in(state, &folder, found, rebuilt))
    }

    /// Takes over what was found of files without entries. Gives whether that changed the index.
    fn take_in(&self, state: &mut State, folder: &Directory, found: Vec<(Box<str>, Looked)>, rebuilt: bool) -> bool {
        let (mut births, mut left, mut earlier) = (Vec::new(), Vec::new(), Vec::new());
        let unread = |(name, found): &(Box<str>, Looked)| {
            let (Stray { problem, .. }, _) = found.as_ref().err()?;
            let problem = problem.as_deref().filter(|problem| self.may_be_capsule(name, problem, None))?;
            Some(Error::of_file(&self.places.folder.join(&**name), problem.clone()))
        };
        state.unread = found.iter().find_map(unread).filter(|_| rebuilt);
        for (name, found) in found {
            match found {
                Ok(found) if found.was_earlier && state.unread.is_some() => {
                    let stray = Stray { uuid: Some(found.uuid), is_earlier: true, ..Stray::default() };
                    state.strays.insert(name, stray);
                }
                Ok(found) if found.was_earlier => left.push((name, found)),
                Ok(found) => births.push((name, found)),
                Err((stray, unwritten)) => {
                    if let (Some(unwritten), Some(uuid)) = (unwritten, &stray.uuid) {
                        earlier.push((name.to_string(), uuid.clone(), unwritten));
                    }
                    state.strays.insert(name, stray);
                }
            }
        }
        // Of several files of a capsule the newest, and of what is left of it too.
        births.sort_by_key(|(_, found): &(Box<str>, Found)| Reverse((found.sound, found.time, found.modified)));
        left.sort_by_key(|(_, found): &(Box<str>, Found)| Reverse(found.modified));
        let mut born: HashSet<String> = HashSet::new();
        births.append(&mut left);
        let (births, others): (Vec<_>, Vec<_>) =
            births.into_iter().partition(|(_, found)| born.insert(found.uuid.clone()));
        for (name, found) in others {
            let stray = Stray { uuid: Some(found.uuid), is_earlier: true, ..Stray::default() };
            state.strays.insert(name, stray);
        }
        for (name, found) in births.iter().filter(|(_, found)| found.was_earlier || found.is_newer) {
            let (uuid, filename) = (found.uuid.clone(), name.to_string());
            let before = state.index.as_ref().and_then(|index| Some(index.entry(&uuid)?.filename().to_owned()));
            if let Some(filename) = before.filter(|_| found.is_newer)
                && let Ok(content) = self.read(&filename)
            {
                let (content, uuid) = (sha256(&content), uuid.clone());
                state.note(Record::Superseded { filename, content, uuid, gone: false });
            }
            state.note(Record::Moved { uuid, filename, at: now() });
        }
        for (filename, uuid, Unwritten { content, gone }) in earlier {
            let is_born = born.contains(&uuid);
            let record = Record::Superseded { filename, content, uuid, gone };
            if !gone {
                // Whether it holds shows under the lock only: see `Journal::still_true`.
                state.unrecorded.push(record);
                state.ahead = true;
            } else if !is_born {
                state.note(record);
            }
        }
        let any = !births.is_empty();
        if any {
            self.index_found(state, folder, births);
        }
        any
    }

    /// Looks which entries' files are other capsules': Python writes over a file whose capsule has the same time, and may be
    /// killed before it says so. Only such files are looked into as were written since, are named twice or have another size.
    fn check_entries(&self, state: &mut State, folder: &Directory, began: SystemTime) {
        let Some(index) = state.index.clone() else { return };
        let all = state.are_all_due().then(Instant::now);
        let mut times_named: HashMap<&str, usize> = HashMap::new();
        for (_, entry) in index.entries() {
            *times_named.entry(entry.filename()).or_default() += 1;
        }
        let (names, checked) = (&state.names, &state.checked);
        let is_checked = |uuid: &str, entry: &Entry| {
            all.is_none()
                && times_named[entry.filename()] == 1
                && checked.get(uuid).is_some_and(|checked| *checked.filename == *entry.filename())
        };
        let unchecked: Vec<(&str, &Entry)> = index
            .entries()
            .filter(|(uuid, entry)| names.contains(entry.filename()) && !is_checked(uuid, entry))
            .collect();
        let found: Vec<(&str, Checked)> = unchecked
            .into_par_iter()
            .filter_map(|(uuid, entry)| {
                let filename = entry.filename();
                let signature = folder.file_signature(filename, &self.places.boundary).ok()?;
                let is_alone = times_named[filename] == 1;
                let is_same = |known: &&Checked| *known.filename == *filename && known.seen == Some(signature);
                let is_another = match checked.get(uuid).filter(is_same) {
                    Some(known) if is_alone => known.is_another,
                    _ => {
                        let is_doubtful = !is_alone || !entry.is_of_file(signature.size, signature.modified());
                        is_doubtful && self.holds_another(filename, uuid)
                    }
                };
                let seen = signature.is_settled(began, folder.is_local()).then_some(signature);
                Some((uuid, Checked { filename: filename.into(), seen, is_another }))
            })
            .collect();
        let State { checked, foreign, .. } = state;
        checked.retain(|uuid, checked| index.entry(uuid).is_some_and(|entry| entry.filename() == &*checked.filename));
        checked.extend(found.into_iter().map(|(uuid, found)| (uuid.into(), found)));
        *foreign = checked.iter().filter(|(_, checked)| checked.is_another).map(|(uuid, _)| uuid.clone()).collect();
        if let Some(start) = all {
            state.check_all_at = Some(Instant::now() + (50 * start.elapsed()).max(Duration::from_secs(1)));
        }
    }

    /// Puts found capsules into the index, in the order in which they were written.
    fn index_found(&self, state: &mut State, folder: &Directory, mut births: Vec<(Box<str>, Found)>) {
        let now = now();
        births.sort_by_key(|(_, found)| found.modified);
        let mut index =
            state.index.as_deref().cloned().unwrap_or_else(|| InstanceIndex::new(&self.name, &births[0].1.born));
        let written = |index: &InstanceIndex, uuid: &str| {
            let entry = index.entry(uuid)?;
            Some(folder.file_signature(entry.filename(), &self.places.boundary).ok()?.modified())
        };
        let mut latest = index.latest().map(str::to_owned);
        let own = latest.as_deref().filter(|uuid| !state.foreign.contains(*uuid));
        let mut latest_written = own.and_then(|uuid| written(&index, uuid));
        for (_, found) in births {
            if let Some(restored) = state.journal.restored(&found.uuid, &index, "") {
                state.note(restored);
            }
            index.insert_found(&found.uuid, found.entry, &now);
            if latest_written.is_none_or(|written| found.sound && found.modified > written) {
                latest = Some(found.uuid);
                latest_written = Some(found.modified);
            }
        }
        index.set_latest(latest.as_deref());
        state.index = Some(Arc::new(index));
        state.ahead = true;
    }

    fn look_at(&self, folder: &Directory, name: &str, known: &Known<'_>) -> Looked {
        let mut text = Vec::new();
        let read = folder.read(name, &self.places.boundary, self.places.largest, &mut text);
        let (signature, length) = match read {
            Ok(read) => read,
            Err(problem) => return Err((Stray { problem: Some(Box::new(problem)), ..Stray::default() }, None)),
        };
        let text = &text[..length];
        let seen = signature.is_settled(known.began, folder.is_local()).then_some(signature);
        let header = match Header::parse(text) {
            Ok(header) if header.instance_name() == self.name => header,
            _ => {
                return Err((Stray { seen, uuid: capsule::stated_uuid(text, &self.name), ..Stray::default() }, None));
            }
        };
        let uuid = header.uuid();
        let earlier = |seen| Stray { seen, uuid: Some(header.uuid()), is_earlier: true, problem: None };
        let content = sha256(text);
        // Of several files of one capsule, the one that the index names is it, if it is one of them, and none came later with a
        // later time.
        let entry = known.index.and_then(|index| index.entry(&uuid));
        let is_there = |filename: &str| known.names.contains(filename);
        let current = entry.filter(|entry| !known.journal.has_moved(&uuid, name, entry, is_there));
        let was_earlier = known.journal.is_superseded(name, &content);
        let sound = integrity::judge(text, None).is_sound();
        let time = capsule::time(header.timestamp().as_bytes());
        let mut is_newer = false;
        if was_earlier {
            if current.is_some_and(|current| is_there(current.filename())) && !known.foreign.contains(&*uuid)
                || known.journal.is_gone(name)
            {
                return Err((earlier(seen), None));
            }
            if !known.is_quiet && (entry.is_some() || known.is_whole) {
                // Whoever deletes it may be about to write the index.
                return Err((earlier(None), None));
            }
            if entry.is_none() && known.is_whole {
                // Python deletes only the file that the index names.
                return Err((earlier(seen), Some(Unwritten { content, gone: true })));
            }
        } else if let Some(current) = current {
            match self.holds(current.filename(), &uuid) {
                Ok(Some(true)) => {
                    is_newer = sound && time > time_of(current) && came_after(&signature, current);
                    if !is_newer {
                        // A copy of what it is now is no earlier state.
                        let is_copy = self.read(current.filename()).is_ok_and(|current| current == text);
                        return Err((earlier(seen), (!is_copy).then_some(Unwritten { content, gone: false })));
                    }
                }
                // Which of them it is now shows once that one can be read.
                Err(_) => return Err((earlier(None), None)),
                Ok(None | Some(false)) => {}
            }
        }
        let born = iso(signature.modified());
        Ok(Found {
            entry: Entry::new(&uuid, &header.entry(name, signature.size), &born),
            uuid,
            time,
            modified: signature.modified(),
            born,
            sound,
            was_earlier,
            is_newer,
        })
    }

    /// Makes a change, together with what other threads have asked for. That another process keeps the lock is told each by
    /// its own time, also while another thread waits for it.
    pub(super) fn change(&self, change: Change, asked: Instant) -> Answer {
        let mut queue = lock(&self.queue);
        let is_by_reader = matches!(change, Change::Heal);
        if is_by_reader && queue.work != Work::None {
            // Who only reads waits for nobody.
            return Ok(Outcome::Changed(false));
        }
        let own = queue.next;
        queue.next += 1;
        queue.waiting.push((own, change));
        loop {
            if let Some(answer) = queue.answers.remove(&own) {
                return answer;
            }
            let patience = if is_by_reader { Duration::ZERO } else { queue.patience(asked) };
            queue = match queue.work {
                Work::Committing => self.done.wait(queue).unwrap_or_else(PoisonError::into_inner),
                Work::Locking if patience.is_zero() => return self.give_up(queue, own, self.busy()),
                Work::Locking => self.done.wait_timeout(queue, patience).unwrap_or_else(PoisonError::into_inner).0,
                Work::None => {
                    queue.work = Work::Locking;
                    drop(queue);
                    let mut turn = Turn { instance: self, numbers: Vec::new() };
                    let held = match self.take_lock(patience) {
                        Ok(held) => held,
                        Err(error) => return self.give_up(lock(&self.queue), own, error),
                    };
                    let mut queue = lock(&self.queue);
                    queue.work = Work::Committing;
                    let (numbers, changes) = queue.take();
                    drop(queue);
                    turn.numbers = numbers;
                    let answers = self.commit(changes);
                    drop(held);
                    let mut queue = lock(&self.queue);
                    queue.had_lock = Some(Instant::now());
                    queue.answers.extend(std::mem::take(&mut turn.numbers).into_iter().zip(answers));
                    drop(queue);
                    drop(turn);
                    lock(&self.queue)
                }
            };
        }
    }

    /// Ends a change that was never begun.
    fn give_up(&self, mut queue: MutexGuard<'_, Queue>, own: u64, error: Error) -> Answer {
        let changes = queue.withdraw(own);
        drop(queue);
        self.take_back(&Batch::new(changes));
        Err(error)
    }

    /// Makes changes under the lock.
    fn commit(&self, changes: Vec<Change>) -> Vec<Answer> {
        let mut batch = Batch::new(changes);
        let mut state = lock(&self.state);
        let result = self.commit_locked(&mut state, &mut batch);
        if result.is_err() {
            self.take_back(&batch);
            // It may have been left in the middle: read again.
            *state = State::default();
        }
        drop(state);
        let answers = batch.answers.into_iter();
        answers
            .map(|answer| match (&result, answer) {
                (Err(error), None | Some(Ok(_))) => Err(error.clone()),
                (Ok(()), None) => Err(Error::Internal { message: "a change was not made".to_owned() }),
                (_, Some(answer)) => answer,
            })
            .collect()
    }

    /// Takes back what was done outside the index for changes that were not made after all.
    fn take_back(&self, batch: &Batch) {
        let _ = match &batch.journal {
            Some(Written::Appended { file, length }) => self.places.files.cut(file, *length),
            Some(Written::Anew) => self.places.files.remove(&self.places.indexes.join(self.journal_name())),
            None => Ok(()),
        };
        for (path, aside) in &batch.set_aside {
            let _ = self.places.files.rename(aside, path);
        }
        for change in &batch.changes {
            if let Change::Store { temporary, placed, .. } = change {
                let path = match placed {
                    Some(Placed { filename, was_there: false, stays: false }) => &self.places.folder.join(filename),
                    Some(_) => continue,
                    None => temporary,
                };
                let _ = self.places.files.remove(path);
            }
        }
    }

    fn commit_locked(&self, state: &mut State, batch: &mut Batch) -> Result<(), Error> {
        const TRIES: usize = 50;
        let files = &*self.places.files;
        let whole = batch.changes.iter().any(|change| matches!(change, Change::Delete { .. } | Change::Heal));
        let target = self.places.indexes.join(self.index_name());
        for attempt in 0..TRIES {
            self.refresh(state, whole || attempt > 0)?;
            if let Some(unread) = &state.unread {
                return Err(unread.clone());
            }
            self.write_again(batch)?;
            let is_missing = |change: &Change| {
                !matches!(change, Change::Store { .. }) && change.uuid().is_some_and(|uuid| !state.has_entry(uuid))
            };
            if batch.changes.iter().any(is_missing) {
                // It may only be lost from the index.
                self.refresh(state, true)?;
            }
            let seen = state.index_seen.clone().and_then(|seen| seen.signature);
            let now = now();
            let mut index = match state.index.take() {
                Some(index) => Arc::try_unwrap(index).unwrap_or_else(|shared| (*shared).clone()),
                None => InstanceIndex::new(&self.name, &now),
            };
            let planned = self.plan(&mut index, state, batch, &now);
            if !planned.writes && !state.ahead {
                state.index = (!index.is_empty() || seen.is_some()).then(|| Arc::new(index));
                return Ok(());
            }
            let text = index.to_text();
            let system = |error: std::io::Error| Error::system(&error, "write", &target);
            let written = files.write_temporary(&self.places.indexes, text.as_bytes(), Some(&target));
            let temporary = written.map_err(system)?;
            self.keep_damaged(state);
            let placed = self.place(state, batch, &planned);
            let unchanged = || self.signature(&self.index_name()) == seen;
            // The last attempt takes what comes: what Python wrote meanwhile is found again by the next refresh.
            let replaced = match placed {
                Ok(true) if attempt + 1 == TRIES || unchanged() => files.rename(&temporary, &target).map(|()| true),
                Ok(_) => Ok(false),
                Err(error) => {
                    let _ = files.remove(&temporary);
                    return Err(error);
                }
            };
            if !matches!(replaced, Ok(true)) {
                let _ = files.remove(&temporary);
                replaced.map_err(|error| Error::system(&error, "rename", &target))?;
                state.index_seen = None;
                continue;
            }
            // From here on the index says so: nothing is taken back.
            batch.journal = None;
            let set_aside = std::mem::take(&mut batch.set_aside);
            for change in &mut batch.changes {
                if let Change::Store { placed: Some(placed), .. } = change {
                    placed.stays = true;
                }
            }
            for folder in [&self.places.folder, &self.places.indexes] {
                if folder.is_dir() {
                    files.sync_folder(folder).map_err(|error| Error::system(&error, "fsync", folder))?;
                }
            }
            // The index says that they are gone. If one stays, it is known to be superseded.
            let superseded = planned.superseded.iter().map(|filename| self.places.folder.join(filename));
            for path in set_aside.into_iter().map(|(_, aside)| aside).chain(superseded) {
                let _ = files.remove(&path);
            }
            for (change, answer) in batch.changes.iter().zip(&mut batch.answers) {
                if let (Change::Store { placed: Some(placed), .. }, Some(Ok(Outcome::Stored { is_new, .. }))) =
                    (change, answer)
                {
                    *is_new = !placed.was_there;
                }
            }
            self.note_written(state, index, &text);
            self.shorten_journal(state, &now);
            return Ok(());
        }
        Err(Error::Internal { message: "the index changes all the time".to_owned() })
    }

    /// Writes again what Python has written over since it was put in its place.
    fn write_again(&self, batch: &mut Batch) -> Result<(), Error> {
        for change in &mut batch.changes {
            if let Change::Store { temporary, placed, text, .. } = change
                && placed.as_ref().is_some_and(|placed| self.read(&placed.filename).is_ok_and(|own| own != **text))
            {
                *temporary = self.write(text)?;
                *placed = None;
            }
        }
        Ok(())
    }

    /// Applies the changes that are still to be made to the index, and says what else must be done.
    fn plan(&self, index: &mut InstanceIndex, state: &mut State, batch: &mut Batch, now: &str) -> Plan {
        let (records, wrong) = state.journal.still_true(std::mem::take(&mut state.unrecorded), index);
        // To be looked at again.
        state.strays.retain(|name, _| !wrong.iter().any(|wrong| **wrong == **name));
        let mut plan = Plan { carried: records.len(), records, ..Plan::default() };
        let Batch { changes, answers, .. } = batch;
        for (at, (change, answer)) in changes.iter_mut().zip(answers).enumerate() {
            if matches!(answer, Some(Err(_))) {
                continue;
            }
            let outcome = match change {
                Change::Store { text, tag, placed, .. } => {
                    let text = text.clone();
                    let Ok(header) = Header::parse(&text) else { continue };
                    let uuid = header.uuid();
                    let filename = placed.as_ref().map(|placed| placed.filename.clone());
                    let filename = filename.unwrap_or_else(|| self.free_filename(&header, &text, index));
                    plan.records.extend(state.journal.restored(&uuid, index, now));
                    let moved = |filename: &String| Record::Moved {
                        uuid: uuid.clone(),
                        filename: filename.clone(),
                        at: now.to_owned(),
                    };
                    if let Some(before) = index.entry(&uuid).filter(|before| before.filename() != filename) {
                        let before_file = before.filename().to_owned();
                        let is_own =
                            self.is_own_file(&before_file, &uuid) && !is_named_by_another(index, &before_file, &uuid);
                        if is_own && let Ok(content) = self.read(&before_file) {
                            let (filename, content, uuid) = (before_file.clone(), sha256(&content), uuid.clone());
                            plan.records.push(Record::Superseded { filename, content, uuid, gone: false });
                        }
                        if is_own && before.timestamp() == Some(&*header.timestamp()) {
                            plan.superseded.push(before_file);
                        }
                        plan.records.push(moved(&filename));
                    } else if state.journal.has_superseded(&filename) {
                        // What it holds now is no earlier state.
                        plan.records.push(moved(&filename));
                    }
                    let entry = Entry::new(&uuid, &header.entry(&filename, text.len() as u64), now);
                    index.insert(&uuid, entry, now);
                    if let Some(tag) = tag {
                        plan.records.extend(tagged(index, &uuid, tag, now));
                    }
                    let path = self.places.folder.join(&filename);
                    plan.stores.push((at, filename));
                    Outcome::Stored { path, is_new: true }
                }
                Change::AddTag { uuid, .. } | Change::RemoveTag { uuid, .. } if !self.has_file(index, uuid) => {
                    if batch.journal.is_some() {
                        // It went while this was tried: what was written down of it is void, but for its earlier states, whose
                        // files may be there.
                        plan.records.push(Record::deleted(uuid, now, std::iter::empty()));
                        plan.records.extend(state.journal.earlier_states_of(uuid));
                    }
                    Outcome::Changed(false)
                }
                Change::AddTag { uuid, tag } => {
                    let record = tagged(index, uuid, tag, now);
                    let is_there = record.is_some();
                    plan.records.extend(record);
                    Outcome::Changed(is_there)
                }
                Change::RemoveTag { uuid, tag } => {
                    let is_there = index.remove_tag(uuid, tag, now);
                    if is_there {
                        let (uuid, tag, at) = (uuid.clone(), tag.clone(), now.to_owned());
                        plan.records.push(Record::Untagged { uuid, tag, at });
                    }
                    Outcome::Changed(is_there)
                }
                Change::Delete { uuid } => {
                    *answer = self.may_stay(state, index, &batch.removed, uuid).map(Err);
                    if answer.is_some() {
                        continue;
                    }
                    let had_file = self.has_file(index, uuid);
                    let filename = index.entry(uuid).map(|entry| entry.filename().to_owned());
                    let removed = index.remove(uuid, now);
                    // Earlier states of it go too, and what VVAULT can't take for a version, also where nothing else is left.
                    let others = state.strays.iter().filter(|(_, stray)| stray.uuid.as_ref() == Some(uuid));
                    let others: Vec<String> = others.map(|(name, _)| name.to_string()).collect();
                    if removed.is_some() || !others.is_empty() {
                        if had_file || !others.is_empty() {
                            batch.removed.insert(uuid.clone());
                        }
                        plan.removals.extend(others);
                        let is_own = |filename: &String| {
                            is_plain(filename)
                                && !self.holds_another(filename, uuid)
                                && (!is_named_by_another(index, filename, uuid) || self.is_own_file(filename, uuid))
                        };
                        plan.removals.extend(filename.filter(is_own));
                        let tags = removed.iter().flat_map(Entry::tags);
                        plan.records.push(Record::deleted(uuid, now, tags));
                        plan.writes = true;
                    }
                    // Also in a second attempt, which finds it gone.
                    Outcome::Changed(batch.removed.contains(uuid))
                }
                Change::Heal => Outcome::Changed(true),
            };
            plan.writes |= !matches!(outcome, Outcome::Changed(false)) && !matches!(change, Change::Heal);
            *answer = Some(Ok(outcome));
        }
        plan
    }

    /// Does what stands outside the index: the new files, the journal, then what goes. False if a capsule could not be put in its place:
    /// its answer says why, and the index must be made anew without it.
    fn place(&self, state: &mut State, batch: &mut Batch, plan: &Plan) -> Result<bool, Error> {
        let files = &*self.places.files;
        for (at, filename) in &plan.stores {
            let Change::Store { temporary, placed, text, .. } = &mut batch.changes[*at] else { continue };
            if placed.is_some() {
                continue;
            }
            let path = self.places.folder.join(filename);
            let is_taken = |error: &std::io::Error| error.kind() == ErrorKind::AlreadyExists;
            let put = match files.place(temporary, &path) {
                Err(error) if is_taken(&error) && self.read(filename).is_ok_and(|own| own == **text) => {
                    files.remove(temporary).map(|()| true)
                }
                put => put.map(|()| false),
            };
            match put {
                Ok(was_there) => *placed = Some(Placed { filename: filename.clone(), was_there, stays: false }),
                Err(error) => {
                    state.unrecorded = plan.records[..plan.carried].to_vec();
                    // Somebody else has taken the name just now.
                    if is_taken(&error) {
                        return Ok(false);
                    }
                    batch.answers[*at] = Some(Err(Error::system(&error, "rename", &path)));
                    let _ = files.remove(temporary);
                    return Ok(false);
                }
            }
        }
        if !plan.records.is_empty() {
            // That a file is an earlier state holds only once the later one is there.
            let is_superseded = |record: &Record| matches!(record, Record::Superseded { .. });
            if !plan.stores.is_empty() && plan.records.iter().any(is_superseded) {
                let folder = &self.places.folder;
                files.sync_folder(folder).map_err(|error| Error::system(&error, "fsync", folder))?;
            }
            let path = self.places.indexes.join(self.journal_name());
            self.check_own(&path)?;
            let lines: String = plan.records.iter().map(journal::line).collect();
            let length = match path.metadata() {
                Ok(metadata) => Some(metadata.len()),
                Err(error) if error.kind() == ErrorKind::NotFound => None,
                Err(error) => return Err(Error::system(&error, "stat", &path)),
            };
            let size = length.unwrap_or_default() + lines.len() as u64;
            if size > journal::LARGEST {
                return Err(self.journal_error(FileProblem::TooLarge { size, limit: journal::LARGEST }));
            }
            let written = match length {
                Some(length) => match files.append(&path, lines.as_bytes()) {
                    // Another's, as the index is, which is written anew in any case.
                    Err(error) if error.kind() == ErrorKind::PermissionDenied => self.append_anew(&lines),
                    appended => appended,
                }
                .map(|file| Written::Appended { file, length }),
                None => self.put_beside_index(&self.journal_name(), lines.as_bytes()).map(|()| Written::Anew),
            };
            let written = written.map_err(|error| Error::system(&error, "write", &path))?;
            batch.journal.get_or_insert(written);
            plan.records.iter().for_each(|record| state.journal.note(record.clone()));
            state.journal_seen = self.signature(&self.journal_name());
        }
        for filename in &plan.removals {
            let path = self.places.folder.join(filename);
            let aside = self.places.folder.join(temporary_name());
            match files.rename(&path, &aside) {
                Ok(()) => batch.set_aside.push((path, aside)),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(Error::system(&error, "unlink", &path)),
            }
        }
        let folder = &self.places.folder;
        // Somebody may have removed all of it.
        if !plan.removals.is_empty() && folder.is_dir() {
            // Else the index might say so after a power failure, and the folder not.
            files.sync_folder(folder).map_err(|error| Error::system(&error, "fsync", folder))?;
        }
        Ok(true)
    }

    /// Puts a journal with these lines at its end in its place.
    fn append_anew(&self, lines: &str) -> std::io::Result<File> {
        let path = self.places.indexes.join(self.journal_name());
        let mut text = std::fs::read(&path)?;
        text.extend_from_slice(lines.as_bytes());
        self.put_beside_index(&self.journal_name(), &text)?;
        open_file(File::options().write(true), &path)
    }

    fn keep_damaged(&self, state: &mut State) {
        let Some(text) = state.damaged.take() else { return };
        // For a person to look into; nothing depends on it.
        let _ = self.put_beside_index(&format!("{}.damaged", self.name), &text);
    }

    fn note_written(&self, state: &mut State, index: InstanceIndex, text: &str) {
        state.index = Some(Arc::new(index));
        state.ahead = false;
        state.folder_seen = None;
        let end = end(text.as_bytes());
        state.index_seen = self.signature(&self.index_name()).map(|signature| IndexSeen {
            signature: Some(signature),
            end,
            settled: false,
        });
    }

    /// Leaves out of the journal what is of no use any more, now and then.
    fn shorten_journal(&self, state: &mut State, now: &str) {
        const FEW: usize = 1000;
        const SMALL: u64 = if cfg!(test) { 64 << 10 } else { 8 << 20 };
        let (lines, bytes) = state.journal_left;
        let size = state.journal_seen.map_or(0, |seen| seen.size);
        if state.journal.len() <= FEW + 2 * lines && size <= SMALL + 2 * bytes as u64 {
            return;
        }
        let Some(index) = &state.index else { return };
        let has_file = |filename: &str| self.places.folder.join(filename).symlink_metadata().is_ok();
        let text = state.journal.to_text(index, has_file, now);
        // If it fails, it is tried again later.
        let _ = self.put_beside_index(&self.journal_name(), text.as_bytes());
        state.journal_left = (Journal::parse(text.as_bytes()).len(), text.len());
        state.journal_seen = None;
    }

    /// Puts a new file among the indexes, which who may read the index may read, and nobody else. Of a journal: who could read
    /// only the index would be told what Python's copies have undone.
    fn put_beside_index(&self, name: &str, text: &[u8]) -> std::io::Result<()> {
        let Places { files, indexes, .. } = &self.places;
        let temporary = files.write_temporary(indexes, text, Some(&indexes.join(self.index_name())))?;
        files.rename(&temporary, &indexes.join(name)).inspect_err(|_| {
            let _ = files.remove(&temporary);
        })
    }

    /// The state of a file among the indexes.
    fn signature(&self, name: &str) -> Option<Signature> {
        let indexes = open_inside(&self.places.indexes, &self.places.boundary).ok()??;
        indexes.file_signature(name, &self.places.boundary).ok()
    }

    /// The name under which VVAULT stores a capsule. Where a file has that name already, which Python would overwrite,
    /// another; nothing is ever overwritten.
    fn free_filename(&self, header: &Header<'_>, text: &[u8], index: &InstanceIndex) -> String {
        let uuid = header.uuid();
        let usual = filename(&self.name, &header.timestamp());
        // As long as a file's name may be, in bytes, with what is added.
        let stem = usual.trim_end_matches(".capsule");
        let longest = stem.len().min(255 - "_.capsule".len() - 32);
        let stem = &stem[..(0..=longest).rev().find(|end| stem.is_char_boundary(*end)).unwrap_or_default()];
        let by_content = format!("{stem}_{}.capsule", &sha256(text)[..16]);
        let is_free = |name: &str| {
            !is_named_by_another(index, name, &uuid)
                && match self.read(name) {
                    Ok(other) => other == text,
                    // Also of a link that leads nowhere.
                    Err(_) => self.places.folder.join(name).symlink_metadata().is_err(),
                }
        };
        if is_free(&usual) {
            usual
        } else if is_free(&by_content) {
            by_content
        } else {
            format!("{stem}_{}.capsule", uuid::Uuid::new_v4().simple())
        }
    }

    /// Whether the file is there that the index names for a capsule.
    fn has_file(&self, index: &InstanceIndex, uuid: &str) -> bool {
        let filename = index.entry(uuid).map(Entry::filename).filter(|filename| is_plain(filename));
        filename.is_some_and(|filename| self.places.folder.join(filename).symlink_metadata().is_ok())
    }

    /// Whether a file is of this capsule; `None` if it is not there. That it can't be read, by this process or just now, says
    /// nothing of what it holds.
    fn holds(&self, filename: &str, uuid: &str) -> Result<Option<bool>, FileProblem> {
        match self.read(filename) {
            Ok(text) => Ok(Some(Header::parse(&text).is_ok_and(|header| header.uuid() == uuid))),
            Err(FileProblem::Missing(_)) => Ok(None),
            Err(FileProblem::NotRegular | FileProblem::Folder | FileProblem::Outside(_)) => Ok(Some(false)),
            Err(problem) => Err(problem),
        }
    }

    /// Whether a file is whole, and another capsule's: also one's that VVAULT can't take for a version.
    fn holds_another(&self, filename: &str, uuid: &str) -> bool {
        self.read(filename).is_ok_and(|text| {
            let header = Header::parse(&text).map(|header| header.uuid()).ok();
            header.or_else(|| capsule::stated_uuid(&text, &self.name)).is_some_and(|own| own != uuid)
        })
    }

    /// Why a capsule can't be deleted: a file that can't be read may be one of its states, and would be the capsule again; or it
    /// is the one that the index names, and may be another capsule's by now.
    fn may_stay(&self, state: &State, index: &InstanceIndex, removed: &HashSet<String>, uuid: &str) -> Option<Error> {
        // In a second attempt it has begun to go.
        if removed.contains(uuid) {
            return None;
        }
        let error = |name: &str, problem| Error::of_file(&self.places.folder.join(name), problem);
        let own = index.entry(uuid).and_then(|entry| {
            let problem = self.holds(entry.filename(), uuid).err()?;
            let folder = self.open_folder().ok()??;
            let state = folder.file_signature(entry.filename(), &self.places.boundary).ok()?;
            let is_own = entry.is_of_file(state.size, state.modified());
            (!is_own).then(|| error(entry.filename(), problem))
        });
        own.or_else(|| {
            state.strays.iter().find_map(|(name, stray)| {
                let problem = stray.problem.as_deref();
                let problem = problem.filter(|problem| self.may_be_capsule(name, problem, Some(uuid)))?;
                Some(error(name, problem.clone()))
            })
        })
    }

    /// Whether what could not be read for this may be a capsule, or the one of this UUID, for another process or later. Of a file
    /// that is too large the beginning is looked at: that is where every writer has its header.
    fn may_be_capsule(&self, name: &str, problem: &FileProblem, uuid: Option<&str>) -> bool {
        /// Bytes.
        const HEAD: u64 = 1 << 20;
        match problem {
            FileProblem::Denied(_) | FileProblem::Exhausted(_) | FileProblem::System(_) => true,
            FileProblem::TooLarge { .. } => {
                let mut head = Vec::new();
                let file = open_file(File::options().read(true), &self.places.folder.join(name));
                let read = file.and_then(|file| file.take(HEAD).read_to_end(&mut head));
                let has = |text: &[u8]| memchr::memmem::find(&head, text).is_some();
                let is_possible = || uuid.is_none_or(|uuid| has(format!("\"{uuid}\"").as_bytes()) || !has(b"\"uuid\""));
                read.is_err() || head.trim_ascii_start().starts_with(b"{") && is_possible()
            }
            FileProblem::NotRegular | FileProblem::Folder | FileProblem::Outside(_) | FileProblem::Missing(_) => false,
        }
    }

    /// Whether a file is of this capsule, or not there.
    fn is_own_file(&self, filename: &str, uuid: &str) -> bool {
        matches!(self.holds(filename, uuid), Ok(None | Some(true)))
    }

    fn lock_path(&self) -> PathBuf {
        self.places.indexes.join(format!("{}.lock", self.name))
    }

    fn busy(&self) -> Error {
        Error::Busy { path: self.lock_path(), seconds: PATIENCE.as_secs() }
    }

    /// Takes the lock between processes, which the system gives back when the file is closed, also by a kill.
    fn take_lock(&self, patience: Duration) -> Result<File, Error> {
        let indexes = &self.places.indexes;
        let path = self.lock_path();
        make_folder(indexes, &*self.places.files, &self.places.boundary)?;
        self.check_own(&path)?;
        let system = |error: &std::io::Error| Error::system(error, "open", &path);
        let is_new = path.symlink_metadata().is_err();
        let opened = match open_file(File::options().write(true).create(true), &path) {
            // Who may not write in it, as it is another's, can lock it all the same.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => open_file(File::options().read(true), &path),
            opened => opened,
        };
        let file = opened.map_err(|error| system(&error))?;
        if is_new {
            belong_to_folder(&file, &path);
        }
        let began = Instant::now();
        let mut pause = Duration::from_micros(100);
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) if began.elapsed() >= patience => {
                    return Err(self.busy());
                }
                Err(TryLockError::WouldBlock) => {
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(Duration::from_millis(5));
                }
                Err(TryLockError::Error(error)) => return Err(system(&error)),
            }
        }
    }

    /// Writes a capsule beside its place, whole and on the disk.
    pub(super) fn write(&self, text: &[u8]) -> Result<PathBuf, Error> {
        let Places { folder, indexes, files, .. } = &self.places;
        for path in [folder, indexes] {
            make_folder(path, &**files, &self.places.boundary)?;
        }
        files.write_temporary(folder, text, None).map_err(|error| Error::system(&error, "write", folder))
    }

    /// Whether anything is known of it that a later call can use.
    pub(super) fn is_known(&self) -> bool {
        let state = lock(&self.state);
        state.index.is_some() || !state.strays.is_empty()
    }

    /// How many changes are waiting.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        lock(&self.queue).waiting.len()
    }

    /// As if this process had never had the lock.
    #[cfg(test)]
    pub(super) fn forget_lock(&self) {
        lock(&self.queue).had_lock = None;
    }

    /// Whether it has a folder, be it empty.
    pub(super) fn has_folder(&self) -> bool {
        self.places.folder.is_dir()
    }

    /// Takes its folder away, if nothing is in it.
    pub(super) fn remove_empty_folder(&self) {
        // It fails if something is.
        let _ = self.places.files.remove_folder(&self.places.folder);
    }

    /// Whether a file that is written in place is the vault's own: no link leads it elsewhere.
    fn check_own(&self, path: &Path) -> Result<(), Error> {
        let is_link = path.symlink_metadata().is_ok_and(|own| own.file_type().is_symlink());
        if is_link && !matches!(self.places.boundary.resolve(path), Ok(Some(_))) {
            return Err(Error::of_file(path, FileProblem::Outside(path.to_owned())));
        }
        Ok(())
    }

    /// Removes what processes that were killed have left. Under the lock: no capsule is set aside then.
    pub(super) fn sweep_temporaries(&self) {
        let mut abandoned = Vec::new();
        for folder in [&self.places.folder, &self.places.indexes] {
            let Ok(Some(folder)) = open_inside(folder, &self.places.boundary) else { continue };
            abandoned.extend(abandoned_in(&folder));
        }
        if !abandoned.is_empty()
            && let Ok(_lock) = self.take_lock(Duration::ZERO)
        {
            for path in abandoned {
                let _ = self.places.files.remove(&path);
            }
        }
    }
}

/// Lets the next thread have its turn, also after a panic.
struct Turn<'a> {
    instance: &'a Instance,
    /// Whose changes are not answered yet.
    numbers: Vec<u64>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut queue = lock(&self.instance.queue);
        queue.work = Work::None;
        let panicked = || Err(Error::Internal { message: "a change of the store panicked".to_owned() });
        queue.answers.extend(self.numbers.drain(..).map(|number| (number, panicked())));
        drop(queue);
        self.instance.done.notify_all();
    }
}

/// How something was written into the journal.
enum Written {
    /// At its end: how long it was before, and the file itself.
    Appended { file: File, length: u64 },
    /// There was none.
    Anew,
}

struct Batch {
    changes: Vec<Change>,
    answers: Vec<Option<Answer>>,
    /// UUIDs that were found and removed.
    removed: HashSet<String>,
    /// What was first done to the journal.
    journal: Option<Written>,
    /// Files to be deleted, and where they are until the index says so.
    set_aside: Vec<(PathBuf, PathBuf)>,
}

impl Batch {
    fn new(changes: Vec<Change>) -> Self {
        let answers = changes.iter().map(|_| None).collect();
        Self { changes, answers, removed: HashSet::new(), journal: None, set_aside: Vec::new() }
    }
}

/// What a batch asks for besides the index.
#[derive(Debug, Default)]
struct Plan {
    /// Which changes store, and under which names.
    stores: Vec<(usize, String)>,
    records: Vec<Record>,
    /// So many of them, the first, come of what was found, not of the changes.
    carried: usize,
    removals: Vec<String>,
    /// Files that are of no use once the new index is there.
    superseded: Vec<String>,
    /// Whether the index has to be written.
    writes: bool,
}

enum IndexFile {
    Unchanged,
    /// With the text, if others than its own stand in it, too.
    Whole(Arc<InstanceIndex>, IndexSeen, Option<Vec<u8>>),
    Missing(IndexSeen),
    Damaged(Vec<u8>, IndexSeen),
}

/// A capsule that no entry names.
struct Found {
    uuid: String,
    entry: Entry,
    /// Its own time, in microseconds since 1970.
    time: Option<i64>,
    modified: i64,
    born: String,
    sound: bool,
    /// Whether it was written down as an earlier state, and is all that is left.
    was_earlier: bool,
    /// Whether it is a later state than the one that the index names, and came after that.
    is_newer: bool,
}

/// What is to be written down of an earlier state of a capsule.
struct Unwritten {
    content: String,
    /// Whether the capsule itself is gone.
    gone: bool,
}

/// What is known when a file is looked at that no entry names.
struct Known<'a> {
    index: Option<&'a InstanceIndex>,
    journal: &'a Journal,
    names: &'a HashSet<Box<str>>,
    foreign: &'a HashSet<Box<str>>,
    /// Whether the index was read as somebody wrote it: what has no entry was deleted, not lost.
    is_whole: bool,
    /// Whether the folder is as it was for longer than somebody takes who removes a file and then writes the index.
    is_quiet: bool,
    began: SystemTime,
}

/// What a capsule file was found to be.
type Looked = Result<Found, (Stray, Option<Unwritten>)>;

/// A file that gets no entry.
#[derive(Debug, Default)]
struct Stray {
    /// Its state when it was looked at; without one it is looked at again.
    seen: Option<Signature>,
    /// What it states.
    uuid: Option<String>,
    /// Whether it is an earlier state of a version, or a copy of one.
    is_earlier: bool,
    /// Why it could not be read.
    problem: Option<Box<FileProblem>>,
}

/// Gives a capsule a tag. What is to be written down of it; `None` if there is no such capsule.
fn tagged(index: &mut InstanceIndex, uuid: &str, tag: &str, now: &str) -> Option<Record> {
    let record = Record::tagged(uuid, tag, now, index.entry(uuid)?.tags());
    index.add_tag(uuid, tag, now);
    Some(record)
}

/// The time that an entry's capsule states, in microseconds since 1970.
fn time_of(entry: &Entry) -> Option<i64> {
    capsule::time(entry.timestamp()?.as_bytes())
}

/// Whether a file was written, or put into its folder, after an entry was changed last.
fn came_after(signature: &Signature, entry: &Entry) -> bool {
    let came = signature.changed().max(signature.modified()) / 1000;
    capsule::time(entry.updated_at().as_bytes()).is_some_and(|since| came > since)
}

fn is_named_by_another(index: &InstanceIndex, filename: &str, uuid: &str) -> bool {
    index.entries().any(|(other, entry)| other != uuid && entry.filename() == filename)
}

/// The name of a capsule's file, as VVAULT makes it.
fn filename(instance: &str, timestamp: &str) -> String {
    format!("{instance}_{}.capsule", timestamp.replace([':', '.', '+'], "-"))
}

/// Whether a name stays in its folder. On Windows `C:x` lies on another drive, and `x:y` in another file; elsewhere `x\y` is one
/// name, which VVAULT gives where a timestamp has it.
fn is_plain(name: &str) -> bool {
    let is_elsewhere = |character| matches!(character, '/' | '\0') || cfg!(windows) && matches!(character, '\\' | ':');
    !name.is_empty() && name != "." && name != ".." && !name.contains(is_elsewhere)
}

/// Makes a folder of the vault, which must be there, if it is not there itself. No link leads it out of the vault.
pub(super) fn make_folder(path: &Path, files: &dyn Files, boundary: &Boundary) -> Result<(), Error> {
    let outside = || Error::of_file(path, FileProblem::Outside(path.to_owned()));
    let above = path.ancestors().find(|above| above.symlink_metadata().is_ok());
    match above.map(|above| boundary.resolve(above)) {
        Some(Ok(Some(_))) => {}
        Some(Err(error)) => return Err(Error::system(&error, "mkdir", path)),
        // Above the vault: it is gone.
        Some(Ok(None)) if !boundary.is_there() => {
            return Err(Error::system(&ErrorKind::NotFound.into(), "mkdir", path));
        }
        Some(Ok(None)) | None => return Err(outside()),
    }
    files.create_folder(path).map_err(|error| Error::system(&error, "mkdir", path))?;
    open_inside(path, boundary).map_err(|problem| Error::of_file(path, problem)).map(drop)
}

/// Opens a folder that must lie inside the vault; `None` if it is not there.
pub(super) fn open_inside(path: &Path, boundary: &Boundary) -> Result<Option<Directory>, FileProblem> {
    let system = |error: &std::io::Error| FileProblem::of_system(error, "open", path);
    match boundary.resolve(path) {
        Ok(Some(real)) => Directory::open(&real).map(Some).map_err(|error| system(&error)),
        Ok(None) => Err(FileProblem::Outside(path.to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(system(&error)),
    }
}

/// What processes that were killed have left in a folder.
pub(super) fn abandoned_in(folder: &Directory) -> Vec<PathBuf> {
    let temporaries = folder.list().unwrap_or_default().into_iter().filter(|name| is_temporary_name(name));
    let age = |path: &Path| path.symlink_metadata().ok()?.modified().ok()?.elapsed().ok();
    let paths = temporaries.map(|name| folder.path().join(&*name));
    paths.filter(|path| age(path).is_some_and(|age| age > ABANDONED)).collect()
}

fn missing(path: &Path) -> FileProblem {
    FileProblem::of_system(&ErrorKind::NotFound.into(), "open", path)
}

/// Reads a file that another program may be writing in place: again and again, until it is whole or stays as it is. One that
/// does neither for [`UNREST`] can't be read.
fn read_whole(
    folder: &Directory,
    boundary: &Boundary,
    name: &str,
    limit: u64,
    is_whole: impl Fn(&[u8]) -> bool,
) -> Result<(Vec<u8>, Signature), FileProblem> {
    let mut text = Vec::new();
    let mut last: Option<(Vec<u8>, Instant)> = None;
    let began = Instant::now();
    loop {
        let (signature, length) = folder.read(name, boundary, limit, &mut text)?;
        text.truncate(length);
        let settled = signature.is_settled(SystemTime::now() - QUIET, true);
        if settled || is_whole(&text) {
            return Ok((text, signature));
        }
        match &last {
            Some((before, since)) if *before == text => {
                if since.elapsed() > QUIET {
                    return Ok((text, signature));
                }
            }
            _ if began.elapsed() > UNREST => {
                let path = folder.path().join(name);
                return Err(FileProblem::System(format!(
                    "EBUSY: it is being written all the time, read '{}'",
                    path.display()
                )));
            }
            _ => last = Some((text.clone(), Instant::now())),
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// So many bytes at the end of an index tell one save from another: the time of the save is in them.
const END: usize = 96;

fn end(text: &[u8]) -> Vec<u8> {
    text[text.len().saturating_sub(END)..].to_vec()
}

/// The same of a file that has so many bytes.
fn end_of_file(path: &Path, size: u64) -> Option<Vec<u8>> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let mut file = File::open(path).ok()?;
    file.seek(SeekFrom::Start(size.saturating_sub(END as u64))).ok()?;
    let mut end = Vec::with_capacity(END);
    file.take(END as u64).read_to_end(&mut end).ok()?;
    Some(end)
}

/// The present time as Python's `datetime.now(timezone.utc).isoformat()` writes it.
fn now() -> String {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    iso(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

fn iso(nanoseconds: i64) -> String {
    let time = jiff::Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap_or_default();
    let fraction = if nanoseconds.rem_euclid(1_000_000_000) < 1000 { "" } else { "%.6f" };
    time.strftime(&format!("%Y-%m-%dT%H:%M:%S{fraction}+00:00")).to_string()
}
