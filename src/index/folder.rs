//! One folder of memory files, and how its index is brought up to date: by what the system tells, or by a sweep.
//!
//! A sweep looks at every file's state and reads those whose state is new. It is exact where two states can't have one
//! signature. Within one tick of the file system's clock they can: so a file whose change lay less than some ticks back
//! when it was read is *unsettled*, and is read again by the next sweep, until it has been read at a time when any later
//! change would have shown.

use std::borrow::Cow;
use std::cell::Cell;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::io;
use std::sync::atomic::{self, AtomicU64};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rayon::prelude::*;

use super::lists::Lists;
use crate::formats::memory::{Memory, Moment};
use crate::formats::{memory_capsule, transcript};
use crate::javascript::text;
use crate::lock::lock;
use crate::vault::{
    Boundary, Change, Changes, Directory, FileProblem, LARGEST_FILE, Notifications, Signature, with_buffer,
};

/// Files above this size are read one after the other, so that memory holds one of them at a time.
const LARGE: u64 = 8 << 20;
/// Below so many files a second thread costs more than it brings.
const SPLIT: usize = 64;

/// When a question was asked, as a place in the order of all questions and sweeps of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

impl Ticket {
    /// The present place: later than everything that has been drawn.
    #[must_use]
    pub fn draw() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, atomic::Ordering::SeqCst))
    }
}

/// What the files in a folder are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum FolderKind {
    /// Memory capsules, `*.json`.
    Capsules,
    /// The transcripts of the session that the folder is named for, `*.txt`.
    Transcripts {
        /// The folder's name.
        session: Box<str>,
    },
}

impl FolderKind {
    #[allow(clippy::case_sensitive_file_extension_comparisons, reason = "Chatty's own comparison is")]
    fn takes(&self, name: &str) -> bool {
        match self {
            Self::Capsules => name.ends_with(".json"),
            Self::Transcripts { .. } => name.ends_with(".txt"),
        }
    }

    /// The order in which Chatty goes through the files: as listed, by bytes; transcripts it sorts once more, as
    /// JavaScript sorts strings.
    fn order(&self, left: &str, right: &str) -> Ordering {
        match self {
            Self::Capsules => left.cmp(right),
            Self::Transcripts { .. } => text::compare(left, right),
        }
    }

    fn parse(&self, name: &str, bytes: &[u8]) -> Content {
        let too_large = || Content::unreadable("its memory is larger than 4 GiB".to_owned());
        // As Node.js decodes: what is not UTF-8 becomes U+FFFD, a byte order mark stays.
        match self {
            Self::Capsules => match memory_capsule::parse(bytes) {
                Ok(memory) => Content::Memory(memory),
                Err(memory_capsule::Refusal::Syntax(error)) => match String::from_utf8_lossy(bytes) {
                    Cow::Borrowed(text) => Content::unreadable(error.describe(text)),
                    Cow::Owned(decoded) => self.parse(name, decoded.as_bytes()),
                },
                Err(memory_capsule::Refusal::Null) => {
                    Content::Broken { message: "the capsule is null".into(), empty: true }
                }
                Err(memory_capsule::Refusal::TooLarge) => too_large(),
            },
            Self::Transcripts { session } => transcript::parse(&String::from_utf8_lossy(bytes), name, session)
                .map_or_else(too_large, Content::Memory),
        }
    }
}

/// What a file holds.
#[derive(Debug, PartialEq)]
pub(super) enum Content {
    Memory(Memory),
    Broken {
        message: Box<str>,
        /// It could be read, but holds nothing (JSON's `null`).
        empty: bool,
    },
}

impl Content {
    fn unreadable(message: String) -> Self {
        Self::Broken { message: message.into(), empty: false }
    }
}

/// What JavaScript's `Date` made of a timestamp, in which time zone.
#[derive(Debug, Clone)]
pub(super) struct DateAnswer {
    pub(super) zone: Arc<str>,
    /// Milliseconds since 1970 or NaN; or the message of what it threw.
    pub(super) time: Result<f64, Arc<str>>,
}

/// One file as it was read.
#[derive(Debug)]
pub struct Entry {
    pub(super) name: Box<str>,
    pub(super) content: Content,
    /// Only where the moment is undecided.
    pub(super) answer: Option<Box<Mutex<Option<DateAnswer>>>>,
    /// `None` for a file that could not be read: it is tried again by every sweep.
    signature: Option<Signature>,
    settled: bool,
}

impl Entry {
    fn new(name: Box<str>, content: Content, signature: Option<Signature>, settled: bool) -> Self {
        let undecided = matches!(&content, Content::Memory(memory) if memory.moment() == Moment::Undecided);
        Self { name, content, answer: undecided.then(Box::default), signature, settled }
    }

    /// The file's name, as JavaScript sees it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The memory that the file holds, or what is wrong with it.
    ///
    /// # Errors
    /// In words, if it holds none.
    pub fn memory(&self) -> Result<&Memory, &str> {
        match &self.content {
            Content::Memory(memory) => Ok(memory),
            Content::Broken { message, .. } => Err(message),
        }
    }

    /// Whether it can be changed by way of another folder.
    fn is_aliased(&self) -> bool {
        self.signature.is_some_and(|signature| signature.is_aliased())
    }

    fn broken(&self) -> Option<BrokenFile> {
        let Content::Broken { message, empty } = &self.content else { return None };
        Some(BrokenFile { name: self.name.clone(), message: message.clone(), empty: *empty })
    }

    fn heap_size(&self) -> usize {
        let content = match &self.content {
            Content::Memory(memory) => memory.heap_size(),
            Content::Broken { message, .. } => message.len(),
        };
        size_of::<Self>() + self.name.len() + content
    }
}

/// An order that has been worked out, and the time zone it holds in (none if it depends on none).
#[derive(Debug, Clone)]
pub(super) struct NewestFirst {
    pub(super) zone: Option<Arc<str>>,
    pub(super) order: Arc<[u32]>,
    pub(super) lists: Lists,
}

/// A folder's files at one moment, in the order in which Chatty goes through them.
#[derive(Debug, Default)]
pub struct Snapshot {
    pub(super) entries: Vec<Arc<Entry>>,
    pub(super) newest_first: Mutex<Option<NewestFirst>>,
    unsound: OnceLock<Box<[Box<str>]>>,
    heap_size: usize,
    /// The places of what needs a look at every question.
    odd: Odd,
}

/// Places of entries in a snapshot.
#[derive(Debug, Default)]
struct Odd {
    /// Whose dates only JavaScript can tell.
    undecided: Vec<u32>,
    /// That could not be read.
    unread: Vec<u32>,
    /// Whether notifications of the folder don't tell everything: of a file with a name elsewhere, or one that is not UTF-8.
    escapes: bool,
}

impl Snapshot {
    fn new(entries: Vec<Arc<Entry>>) -> Self {
        let sizes = entries.par_iter().with_min_len(SPLIT).map(|entry| entry.heap_size());
        let heap_size = sizes.sum::<usize>() + entries.len() * (size_of::<Arc<Entry>>() + size_of::<u32>());
        let mut odd = Odd::default();
        for (place, entry) in (0..).zip(&entries) {
            if entry.answer.is_some() {
                odd.undecided.push(place);
            }
            if entry.signature.is_none() {
                odd.unread.push(place);
            }
            odd.escapes |= entry.is_aliased() || !entry.name.is_ascii() && entry.name.contains('\u{fffd}');
        }
        Self { entries, newest_first: Mutex::default(), unsound: OnceLock::new(), heap_size, odd }
    }

    fn at<'a>(&'a self, places: &'a [u32]) -> impl Iterator<Item = &'a Arc<Entry>> {
        places.iter().map(|place| &self.entries[*place as usize])
    }

    /// Those whose dates only JavaScript can tell.
    pub(super) fn undecided(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.at(&self.odd.undecided)
    }

    fn unread(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.at(&self.odd.unread)
    }

    /// The entry of this name.
    fn find(&self, kind: &FolderKind, name: &str) -> Option<&Arc<Entry>> {
        self.entries.binary_search_by(|entry| kind.order(&entry.name, name)).ok().map(|at| &self.entries[at])
    }

    /// Of memories that do not come from a folder.
    #[must_use]
    pub fn of_memories(memories: Vec<Memory>) -> Self {
        let entry = |memory| Arc::new(Entry::new(Box::default(), Content::Memory(memory), None, true));
        Self::new(memories.into_iter().map(entry).collect())
    }

    /// The memories as a JSON array.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut json = String::from("[");
        for entry in &self.entries {
            if let Content::Memory(memory) = &entry.content {
                if json.len() > 1 {
                    json.push(',');
                }
                memory.write_json(&entry.name, "", false, &mut json);
            }
        }
        json.push(']');
        json
    }

    /// The names of the files whose stated hash is wrong.
    #[must_use]
    pub fn unsound(&self) -> &[Box<str>] {
        self.unsound.get_or_init(|| {
            let is_unsound = |entry: &&Arc<Entry>| {
                matches!(&entry.content, Content::Memory(memory) if memory.is_sound() == Some(false))
            };
            self.entries.par_iter().with_min_len(SPLIT).filter(is_unsound).map(|entry| entry.name.clone()).collect()
        })
    }

    /// Bytes that it holds, about.
    #[must_use]
    pub fn heap_size(&self) -> usize {
        self.heap_size
    }
}

/// A file that gave no memory, found by the sweep that told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenFile {
    /// Its name.
    pub name: Box<str>,
    /// What is wrong.
    pub message: Box<str>,
    /// It could be read, but holds nothing (JSON's `null`).
    pub empty: bool,
}

/// The index of one folder.
#[derive(Debug)]
pub struct Folder {
    kind: FolderKind,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    snapshot: Arc<Snapshot>,
    /// When the sweep that made it began.
    swept: Option<Ticket>,
    /// The folder's own state when its names were listed, if it was settled then.
    listed: Option<Signature>,
    /// Whether somebody watches the folder and applies every change.
    watched: bool,
    /// What a watch has read and nobody has asked for yet.
    pending: HashMap<Box<str>, Option<Arc<Entry>>>,
    /// What the system tells since the sweep, and the folder that it tells of.
    notified: Option<(Notifications, Signature)>,
    /// There was a file that can be changed by another name; perhaps somebody still has it open by that.
    escaped: bool,
    /// When somebody asked last.
    used: Option<Instant>,
}

/// A folder's files as they are.
#[derive(Debug)]
pub struct Refreshed {
    /// The files.
    pub snapshot: Arc<Snapshot>,
    /// Those that turned out broken just now.
    pub broken: Vec<BrokenFile>,
    /// How it is known that they are still so.
    pub freshness: Freshness,
}

/// How it is known that what was read once is still so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Freshness {
    /// A watch of the vault applies every change.
    Watched,
    /// The system has told of every change.
    Notified,
    /// The state of every file was looked at.
    Swept,
}

impl Folder {
    /// An index that knows nothing yet.
    #[must_use]
    pub fn new(kind: FolderKind) -> Self {
        Self { kind, state: Mutex::default() }
    }

    /// The folder's files as they are now, at least as late as `asked`. Callers that asked before a refreshing began share
    /// its result; what turned out broken is told to the first of them.
    ///
    /// # Errors
    /// If the folder can't be listed.
    pub fn refresh(&self, directory: &Directory, boundary: &Boundary, asked: Ticket) -> io::Result<Refreshed> {
        let mut state = lock(&self.state);
        state.used = Some(Instant::now());
        let mut broken = Vec::new();
        if state.swept.is_none_or(|swept| swept <= asked) {
            self.apply_pending(&mut state);
            let swept = Ticket::draw();
            let (local, began) = (directory.is_local(), SystemTime::now());
            let sweep = Sweep { kind: &self.kind, directory, boundary, local, began };
            broken = match self.apply_notified(&mut state, &sweep)? {
                Some(broken) => broken,
                None => Self::sweep(&mut state, &sweep)?,
            };
            state.swept = Some(swept);
        }
        let freshness = if state.notified.is_some() { Freshness::Notified } else { Freshness::Swept };
        Ok(Refreshed { snapshot: state.snapshot.clone(), broken, freshness })
    }

    fn sweep(state: &mut State, sweep: &Sweep<'_>) -> io::Result<Vec<BrokenFile>> {
        // Before anything is looked at, so that no change comes in between.
        let own = sweep.directory.signature()?;
        let notified = Notifications::begin(sweep.directory).map(|notifications| (notifications, own));
        let Swept { snapshot, listed, broken } = sweep.run(state)?;
        state.snapshot = snapshot;
        state.listed = listed;
        state.escaped |= state.snapshot.odd.escapes;
        state.notified = notified.filter(|_| !state.escaped);
        Ok(broken)
    }

    /// Reads what the system has told of; `None` if that does not tell everything.
    fn apply_notified(&self, state: &mut State, sweep: &Sweep<'_>) -> io::Result<Option<Vec<BrokenFile>>> {
        // Given back only when everything that it told has been applied: if that fails, nobody relies on it any more.
        let Some((notifications, own)) = state.notified.take() else { return Ok(None) };
        if !sweep.directory.signature()?.is_same_file(&own) {
            return Ok(None);
        }
        let Changes::Names(names) = notifications.take() else { return Ok(None) };
        // What could not be read is tried again; no notification tells that it would be successful.
        let unread = state.snapshot.unread().map(|entry| (entry.name.clone(), Change::Named));
        let names: HashMap<Box<str>, Change> = unread.chain(names).collect();
        let (mut changes, mut broken) = (HashMap::new(), Vec::new());
        for (name, change) in names {
            let found = sweep.directory.own_signature(&name)?;
            let known = state.snapshot.find(&self.kind, &name);
            let is_lost =
                change == Change::Written && (found.is_none() || known.is_some_and(|known| known.signature == found));
            state.escaped |= found.is_some_and(|found| found.is_aliased());
            if is_lost || state.escaped {
                // The file that was changed may be among the known by another name.
                return Ok(None);
            }
            if !self.kind.takes(&name) {
                continue;
            }
            if found.is_none() {
                changes.extend(known.map(|_| (name, None)));
                continue;
            }
            let Ok(entry) = sweep.read(name.clone(), known, LARGEST_FILE) else { continue };
            if entry.is_aliased() {
                // A link that leads somewhere now.
                return Ok(None);
            }
            if known.is_none_or(|known| known.content != entry.content || known.signature != entry.signature) {
                broken.extend(entry.broken());
            }
            if known.is_none_or(|known| !Arc::ptr_eq(known, &entry)) {
                changes.insert(name, Some(entry));
            }
        }
        self.replace(state, changes);
        state.notified = Some((notifications, own));
        Ok(Some(broken))
    }

    /// Gives the system's watch back if nobody has asked for so long. Gives whether there is still one.
    pub(super) fn rest(&self, idle: Duration) -> bool {
        let mut state = lock(&self.state);
        if state.used.is_none_or(|used| used.elapsed() >= idle) {
            state.notified = None;
            state.escaped = false;
        }
        state.notified.is_some()
    }
}

impl Folder {
    /// A file of this folder, whose text has this signature.
    #[must_use]
    pub fn parse(&self, name: &str, text: &[u8], signature: Signature, settled: bool) -> Arc<Entry> {
        Arc::new(Entry::new(name.into(), self.kind.parse(name, text), Some(signature), settled))
    }

    /// Takes over files as a watch has read them; `None` for one that is gone.
    pub fn apply(&self, changes: Vec<(Box<str>, Option<Arc<Entry>>)>) {
        lock(&self.state).pending.extend(changes);
    }

    /// The files as the watch has them; `None` if nobody watches.
    #[must_use]
    pub fn watched(&self) -> Option<Arc<Snapshot>> {
        let mut state = lock(&self.state);
        self.apply_pending(&mut state);
        state.watched.then(|| state.snapshot.clone())
    }

    fn apply_pending(&self, state: &mut State) {
        let pending = std::mem::take(&mut state.pending);
        self.replace(state, pending);
    }

    /// Puts files in the place of those of their names, or takes them out.
    fn replace(&self, state: &mut State, mut changes: HashMap<Box<str>, Option<Arc<Entry>>>) {
        if changes.is_empty() {
            return;
        }
        let mut entries = Vec::with_capacity(state.snapshot.entries.len() + changes.len());
        for entry in &state.snapshot.entries {
            match changes.remove(&entry.name) {
                None => entries.push(entry.clone()),
                Some(news) => entries.extend(news),
            }
        }
        let known = entries.len();
        entries.extend(changes.into_values().flatten());
        if entries.len() > known {
            entries.sort_unstable_by(|left, right| self.kind.order(&left.name, &right.name));
        }
        state.snapshot = Arc::new(Snapshot::new(entries));
        state.listed = None;
    }

    /// Says whether somebody watches, and has applied everything.
    pub fn set_watched(&self, watched: bool) {
        lock(&self.state).watched = watched;
    }
}

/// Lets other threads run, now and then. A sweep keeps every core busy for milliseconds; without this the system lets the
/// JavaScript thread wait for a core for as long as that.
fn give_way() {
    /// Files between two offers: less than a millisecond's work.
    const FILES: u32 = 32;
    thread_local! {
        static DONE: Cell<u32> = const { Cell::new(0) };
    }
    let done = DONE.get() + 1;
    if done == FILES {
        std::thread::yield_now();
    }
    DONE.set(done % FILES);
}

struct Sweep<'a> {
    kind: &'a FolderKind,
    directory: &'a Directory,
    boundary: &'a Boundary,
    local: bool,
    began: SystemTime,
}

struct Swept {
    snapshot: Arc<Snapshot>,
    listed: Option<Signature>,
    broken: Vec<BrokenFile>,
}

/// A name in the folder and what is known of it.
struct Slot<'a> {
    name: &'a str,
    known: Option<&'a Arc<Entry>>,
}

impl Sweep<'_> {
    fn run(&self, state: &State) -> io::Result<Swept> {
        let own = self.directory.signature()?;
        let listed = (self.local && own.is_settled(self.began, true)).then_some(own);
        let known = &state.snapshot.entries;
        if known.is_empty()
            && let Some(entries) = self.first()?
        {
            let broken = entries.iter().filter_map(|entry| entry.broken()).collect();
            return Ok(Swept { snapshot: Arc::new(Snapshot::new(entries)), listed, broken });
        }
        // A folder that has not changed since it was listed still holds the names that it held then.
        let names = if state.listed == Some(own) { None } else { Some(self.names()?) };
        let same_names = names.as_ref().is_none_or(|names| {
            names.len() == known.len() && names.iter().zip(known).all(|(name, entry)| *name == entry.name)
        });
        let slots: Vec<Slot<'_>> = match &names {
            Some(names) if !same_names => {
                let by_name: HashMap<&str, &Arc<Entry>> = known.iter().map(|entry| (&*entry.name, entry)).collect();
                names.iter().map(|name| Slot { name, known: by_name.get(&**name).copied() }).collect()
            }
            _ => known.iter().map(|entry| Slot { name: &entry.name, known: Some(entry) }).collect(),
        };
        let indexed = slots.par_iter().with_min_len(SPLIT).enumerate();
        let to_read: Vec<usize> = indexed.filter(|(_, slot)| !self.is_current(slot)).map(|(at, _)| at).collect();
        if to_read.is_empty() && same_names {
            return Ok(Swept { snapshot: state.snapshot.clone(), listed, broken: Vec::new() });
        }

        let read = |at: &usize, limit| self.read(slots[*at].name.into(), slots[*at].known, limit).ok();
        let mut entries_read: Vec<Option<Arc<Entry>>> =
            to_read.par_iter().with_min_len(SPLIT / 8).map(|at| read(at, LARGE)).collect();
        for (at, entry) in to_read.iter().zip(&mut entries_read) {
            if entry.is_none() {
                *entry = read(at, LARGEST_FILE);
            }
        }
        let mut read = to_read.into_iter().zip(entries_read).peekable();
        let mut changed = !same_names;
        let mut broken = Vec::new();
        let mut entries = Vec::with_capacity(slots.len());
        for (at, slot) in slots.iter().enumerate() {
            let entry = if read.peek().is_some_and(|(place, _)| *place == at) {
                read.next().and_then(|(_, entry)| entry)
            } else {
                slot.known.cloned()
            };
            let Some(entry) = entry else { continue };
            changed |= slot.known.is_none_or(|known| !Arc::ptr_eq(known, &entry));
            let news =
                slot.known.is_none_or(|known| known.content != entry.content || known.signature != entry.signature);
            if news {
                broken.extend(entry.broken());
            }
            entries.push(entry);
        }
        let snapshot = if changed { Arc::new(Snapshot::new(entries)) } else { state.snapshot.clone() };
        Ok(Swept { snapshot, listed, broken })
    }

    /// Reads a folder of which nothing is known: files are read while further names are still being listed. `None` if a
    /// name is not UTF-8, whose place among the others can't be told from the name that is left of it.
    fn first(&self) -> io::Result<Option<Vec<Arc<Entry>>>> {
        let (entries, large) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
        let all_named = rayon::in_place_scope(|scope| {
            self.directory.list_in_batches(SPLIT, |mut batch| {
                batch.retain(|name| self.kind.takes(name));
                let (entries, large) = (&entries, &large);
                scope.spawn(move |_| {
                    let mut read = Vec::with_capacity(batch.len());
                    for name in batch {
                        match self.read(name, None, LARGE) {
                            Ok(entry) => read.push(entry),
                            Err(name) => lock(large).push(name),
                        }
                    }
                    lock(entries).append(&mut read);
                });
            })
        })?;
        if !all_named {
            return Ok(None);
        }
        let mut entries = entries.into_inner().unwrap_or_else(PoisonError::into_inner);
        for name in large.into_inner().unwrap_or_else(PoisonError::into_inner) {
            entries.extend(self.read(name, None, LARGEST_FILE));
        }
        entries.par_sort_unstable_by(|left, right| self.kind.order(&left.name, &right.name));
        Ok(Some(entries))
    }

    fn names(&self) -> io::Result<Vec<Box<str>>> {
        let mut names = self.directory.list()?;
        names.retain(|name| self.kind.takes(name));
        if matches!(self.kind, FolderKind::Transcripts { .. }) {
            names.sort_by(|left, right| self.kind.order(left, right));
        }
        Ok(names)
    }

    fn is_current(&self, slot: &Slot<'_>) -> bool {
        give_way();
        slot.known.is_some_and(|entry| {
            entry.settled && self.directory.file_signature(slot.name, self.boundary).ok() == entry.signature
        })
    }

    /// Reads a file; gives the known entry where that has not changed, and the name back of a file larger than `limit`
    /// where a larger limit is to be tried.
    fn read(&self, name: Box<str>, known: Option<&Arc<Entry>>, limit: u64) -> Result<Arc<Entry>, Box<str>> {
        give_way();
        with_buffer(|buffer| {
            let (content, signature) = match self.directory.read(&name, self.boundary, limit, buffer) {
                Ok((signature, length)) => (self.kind.parse(&name, &buffer[..length]), Some(signature)),
                Err(FileProblem::TooLarge { .. }) if limit < LARGEST_FILE => return Err(name),
                Err(problem) => (Content::unreadable(problem.to_string()), None),
            };
            let settled = signature.is_some_and(|signature| signature.is_settled(self.began, self.local));
            let mut entry = Entry::new(name, content, signature, settled);
            if let Some(known) = known
                && known.signature == entry.signature
                && known.content == entry.content
            {
                if known.settled == settled {
                    return Ok(known.clone());
                }
                entry.answer = known.answer.as_ref().map(|answer| Box::new(Mutex::new(lock(answer).clone())));
            }
            Ok(Arc::new(entry))
        })
    }
}

#[cfg(test)]
mod tests;
