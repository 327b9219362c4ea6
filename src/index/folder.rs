//! One folder of memory files, and how its index is brought up to date: by what the system tells, or by a sweep.
//!
//! A sweep looks at every file's state and reads those whose state is new. It is exact where two states can't have one
//! signature. Within one tick of the file system's clock they can: so a file whose change lay less than some ticks back
//! when it was read is *unsettled*, and is read again by the next sweep, until it has been read at a time when any later
//! change would have shown.

use std::collections::{HashMap, HashSet};
use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{self, AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use super::batches::{SPLIT, each, each_batch, give_way};
use super::entry::{BrokenFile, Content, Entry, FolderKind, ReadState, is_ambiguous};
use super::fresh::{Fresh, Part, Start};
use super::segment::{Listed, Names, Opened, Segment, TextReader, Writing};
use super::snapshot::{RowRef, Snapshot};
use super::storage::{Storage, identity};
use crate::formats::fingerprint::digest;
use crate::lock::lock;
use crate::vault::{
    Boundary, Change, Changes, Directory, FileProblem, Item, LARGEST_MEMORY, Notifications, Signature, with_buffer,
};

/// Files above this size are read one after the other, so that memory holds one of them at a time.
const LARGE: u64 = 8 << 20;
/// Reading files pays a second thread sooner than looking at them.
const FEW_TO_READ: usize = SPLIT / 8;
/// A folder of so many bytes, some thousand names, is read for the first time without being watched. The system looks at each
/// file that is opened for who watches its folder: a tenth of the time. Instead it is looked at once more, when nobody waits.
const WATCHED_LATER: u64 = 64 << 10;
/// Fewer files than these are quickly read: no segment is made for them.
const FEW: usize = if cfg!(test) { 2 } else { 256 };
/// A segment is made anew when one in so many of its files is not as it says.
const SHARE: usize = 32;

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

/// How far a reading has come, and whether it is still wanted.
#[derive(Debug, Default)]
pub struct Progress {
    /// So many files have been looked at.
    pub done: AtomicU64,
    /// Of so many that are known of.
    pub total: AtomicU64,
    /// What has been read is kept, and nothing more is.
    pub aborted: AtomicBool,
}

impl Progress {
    /// Whether nobody wants it any more.
    pub fn is_aborted(&self) -> bool {
        self.aborted.load(atomic::Ordering::Relaxed)
    }
}

/// The index of one folder.
#[derive(Debug)]
pub struct Folder {
    kind: FolderKind,
    path: PathBuf,
    storage: Option<Arc<Storage>>,
    state: Mutex<State>,
    /// From so many bytes on it is [read before it is watched](WATCHED_LATER).
    watched_later: u64,
    /// One at a time.
    compacting: Mutex<()>,
}

/// What is known of a segment that was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeptState {
    /// Whether there is one was not looked for.
    NotLookedFor,
    /// There was one, and it was not told yet which of its files are broken.
    Untold,
    /// Nothing is left to be done about it.
    Known,
}

/// A segment that was kept.
struct Kept<'a> {
    storage: &'a Storage,
    names: Arc<Names>,
    opened: Opened,
}

#[derive(Debug)]
struct State {
    snapshot: Arc<Snapshot>,
    kept: KeptState,
    /// When the sweep that made it began,
    swept: Option<Ticket>,
    /// and which folder was swept.
    of: Option<Signature>,
    /// What the folder was when its names were listed, if it was settled then.
    listed: Option<Listed>,
    /// The folder that somebody watches, every change of which he applies.
    watched: Option<Signature>,
    /// What a watch has read and nobody has asked for yet.
    pending: Changed,
    notified: Option<Notified>,
    /// Whether it was read without being watched, and nobody has seen to that yet.
    is_unwatched: bool,
    /// When files were read without looking at them, if they were.
    unseen: Option<UnseenReading>,
    /// There was a file that can be changed by another name; perhaps somebody still has it open by that.
    escaped: bool,
    /// When somebody asked last.
    used: Option<Instant>,
    /// What the files were read within.
    boundary: Option<Boundary>,
    /// So many files could not go into the segment.
    left: usize,
    /// What turned out broken for somebody who did not come to tell it.
    untold: Vec<BrokenFile>,
}

/// Files by name as they are now; `None` for one that is gone.
type Changed = HashMap<Box<str>, Option<Arc<Entry>>>;

/// A folder that the system tells of, all of which was read when its queue had been emptied.
#[derive(Debug)]
struct Notified {
    notifications: Notifications,
    folder: Signature,
    emptied: SystemTime,
    /// What it told when it was emptied, and since when.
    told: HashMap<Box<str>, Change>,
    since: SystemTime,
}

impl Notified {
    fn begin(directory: &Directory, folder: Signature) -> Option<Self> {
        let notifications = Notifications::begin(directory)?;
        let now = SystemTime::now();
        Some(Self { notifications, folder, emptied: now, told: HashMap::new(), since: now })
    }

    /// Whether this state came about after the queue was emptied, so that it is in there; the clock that stamps files may be
    /// a tick behind.
    fn will_tell(&self, name: &str, state: &Signature) -> bool {
        state.was_changed_since(self.emptied) || (state.was_changed_since(self.since) && !self.told.contains_key(name))
    }
}

/// What came of reading what the system has told of.
enum Applied {
    Everything(Vec<BrokenFile>),
    /// It did not tell everything. The files must be looked at, and then what it tells is to be relied on again, if that is there.
    NotEverything(Option<Notified>),
}

impl State {
    fn new(snapshot: Snapshot) -> Self {
        Self {
            snapshot: Arc::new(snapshot),
            kept: KeptState::NotLookedFor,
            swept: None,
            of: None,
            listed: None,
            watched: None,
            pending: HashMap::new(),
            notified: None,
            is_unwatched: false,
            unseen: None,
            escaped: false,
            used: None,
            boundary: None,
            left: 0,
            untold: Vec::new(),
        }
    }

    /// Whether somebody watches the folder that is there now.
    fn is_watched(&self, own: &Signature) -> bool {
        self.watched.is_some_and(|watched| watched.is_same_file(own))
    }

    /// Whether so much has changed that a new segment pays.
    fn is_behind(&self) -> bool {
        let behind = self.snapshot.behind() + self.pending.len();
        behind.saturating_sub(self.left) > FEW.max(self.snapshot.len() / SHARE)
    }
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
    /// Whether it is time for [`compact`](Folder::compact).
    pub behind: bool,
    /// Whether it is to be [watched](Folder::watch) from now on.
    pub unwatched: bool,
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
    /// An index of the folder at this real path, that knows nothing yet, or what was kept of it.
    #[must_use]
    pub fn new(kind: FolderKind, path: PathBuf, storage: Option<Arc<Storage>>) -> Self {
        let state = Mutex::new(State::new(Snapshot::empty(kind.clone())));
        Self { kind, path, storage, state, watched_later: WATCHED_LATER, compacting: Mutex::default() }
    }

    /// The folder's files as they are now, at least as late as `asked`. Callers that asked before a refreshing began share
    /// its result; what turned out broken is told to the first of them.
    ///
    /// # Errors
    /// If the folder can't be listed; of the kind `Interrupted` if it was aborted, and what was read is kept.
    pub fn refresh(
        &self,
        directory: &Directory,
        boundary: &Boundary,
        asked: Ticket,
        progress: &Progress,
    ) -> io::Result<Refreshed> {
        let mut state = lock(&self.state);
        state.used = Some(Instant::now());
        let mut broken = self.update(&mut state, directory, boundary, asked, progress)?;
        // Also what others have found whose result this is.
        Self::add_untold(&mut state, &mut broken);
        let freshness = if state.notified.is_some() { Freshness::Notified } else { Freshness::Swept };
        let (behind, unwatched) = (state.is_behind(), std::mem::take(&mut state.is_unwatched));
        Ok(Refreshed { snapshot: state.snapshot.clone(), broken, freshness, behind, unwatched })
    }

    /// Gives what turned out broken.
    fn update(
        &self,
        state: &mut State,
        directory: &Directory,
        boundary: &Boundary,
        asked: Ticket,
        progress: &Progress,
    ) -> io::Result<Vec<BrokenFile>> {
        if state.snapshot.is_damaged() {
            *state =
                State { kept: KeptState::Known, used: state.used, ..State::new(Snapshot::empty(self.kind.clone())) };
        }
        let own = directory.signature()?;
        // What somebody else has read meanwhile may be another folder, which had this one's place.
        let is_of_another = state.of.is_some_and(|of| !of.is_same_file(&own));
        if !is_of_another && state.swept.is_some_and(|swept| swept > asked) {
            return Ok(Vec::new());
        }
        if state.boundary.as_ref() != Some(boundary) {
            state.boundary = Some(boundary.clone());
        }
        Self::apply_pending(state);
        let swept = Ticket::draw();
        let sweep = Sweep::new(&self.kind, directory, boundary, (progress, state.unseen))?;
        let mut broken = match self.apply_notified(state, &sweep)? {
            Applied::Everything(broken) => broken,
            Applied::NotEverything(notified) => self.sweep(state, sweep, notified)?,
        };
        if std::mem::replace(&mut state.kept, KeptState::Known) == KeptState::Untold {
            let mut texts = TextReader::default();
            let all: Result<Vec<_>, _> = state.snapshot.rows().map(|row| row.broken(&mut texts)).collect();
            let Ok(all) = all else {
                state.snapshot.segment().damage();
                return self.update(state, directory, boundary, asked, progress);
            };
            broken = all.into_iter().flatten().collect();
        }
        (state.swept, state.of) = (Some(swept), Some(own));
        Ok(broken)
    }

    /// Begins to watch a folder that was read without, and looks at what came in between.
    ///
    /// # Errors
    /// If the folder is not there; then the next who asks is told.
    pub(super) fn watch(&self) -> io::Result<()> {
        let directory = Directory::open(&self.path)?;
        let mut state = lock(&self.state);
        let Some(boundary) = state.boundary.clone() else { return Ok(()) };
        let broken = self.update(&mut state, &directory, &boundary, Ticket::draw(), &Progress::default())?;
        // The next who asks tells it.
        state.untold.extend(broken);
        Ok(())
    }

    /// Takes back what turned out broken, from somebody who does not come to tell it.
    pub(super) fn take_back(&self, broken: Vec<BrokenFile>) {
        lock(&self.state).untold.extend(broken);
    }

    /// Adds what nobody came to tell, as far as it is still so.
    fn add_untold(state: &mut State, broken: &mut Vec<BrokenFile>) {
        let mut texts = TextReader::default();
        for untold in std::mem::take(&mut state.untold) {
            let is_so =
                state.snapshot.find(&untold.name).is_some_and(|row| row.broken(&mut texts) == Ok(Some(untold.clone())));
            if is_so && !broken.contains(&untold) {
                broken.push(untold);
            }
        }
    }

    /// The folder's files, if nothing has changed since they were read and that can be told without waiting.
    /// `own` is of what has its name now: another folder may have taken its place with one above it, of which nothing tells.
    pub(super) fn unchanged(&self, own: &Signature) -> Option<Arc<Snapshot>> {
        let mut state = self.state.try_lock().ok()?;
        let notified = state.notified.as_ref().filter(|notified| notified.folder.is_same_file(own))?;
        let is_known = state.swept.is_some() && state.pending.is_empty() && state.snapshot.is_at_hand();
        if !is_known || !state.untold.is_empty() || !notified.notifications.are_none() {
            return None;
        }
        state.used = Some(Instant::now());
        Some(state.snapshot.clone())
    }

    /// The same of a folder that a watch has told everything of.
    pub(super) fn watched_unchanged(&self, own: &Signature) -> Option<Arc<Snapshot>> {
        /// So few changes are applied at once,
        const CHANGES: usize = 8;
        /// to so few fresh files: each costs some tens of nanoseconds.
        const FRESH: usize = 2048;
        let mut state = self.state.try_lock().ok()?;
        let is_quick = state.pending.len() <= CHANGES && state.snapshot.fresh().len() <= FRESH;
        if !state.is_watched(own) || !is_quick && !state.pending.is_empty() {
            return None;
        }
        Self::apply_pending(&mut state);
        state.snapshot.is_at_hand().then(|| state.snapshot.clone())
    }

    /// What was kept of the folder, if that has not been looked for.
    fn open_kept(&self, state: &mut State) -> Option<Kept<'_>> {
        if state.kept != KeptState::NotLookedFor {
            return None;
        }
        state.kept = KeptState::Known;
        let storage = self.storage.as_deref()?;
        let (names, opened) = storage.open(&self.path, &self.kind)?;
        Some(Kept { storage, names, opened })
    }

    /// Takes what was kept. Each file in it is still to be compared.
    fn take_kept(&self, state: &mut State, kept: Kept<'_>) {
        let Kept { storage, names, opened } = kept;
        let listed = names.listed;
        if let Some(segment) = storage.finish(opened, names, &self.kind) {
            state.snapshot = Arc::new(Snapshot::of_segment(self.kind.clone(), segment));
            state.kept = KeptState::Untold;
            state.listed = listed;
        }
    }

    /// Takes what was kept of the folder, and looks at its files meanwhile: neither has to wait for the other. `None` if
    /// names can't be told.
    fn take_kept_and_look(&self, state: &mut State, kept: Kept<'_>, sweep: &Sweep<'_>) -> io::Result<Option<Looked>> {
        let names = kept.names.clone();
        rayon::in_place_scope(|scope| {
            scope.spawn(|_| self.take_kept(state, kept));
            if names.listed.is_some_and(|listed| listed.folder == sweep.own) {
                return Ok(Some(Looked::AtPlaces(sweep.states(&names))));
            }
            Ok(sweep.look()?.map(Looked::ByName))
        })
    }

    /// The files that were kept of the folder, or are known already: each is still to be compared.
    #[must_use]
    pub fn kept(&self) -> Arc<Snapshot> {
        let mut state = lock(&self.state);
        if let Some(kept) = self.open_kept(&mut state) {
            self.take_kept(&mut state, kept);
        }
        Self::apply_pending(&mut state);
        state.snapshot.clone()
    }

    /// Makes a segment of all that has been read, and keeps it where segments are kept.
    pub fn compact(&self) {
        let _alone = lock(&self.compacting);
        let (snapshot, boundary, unseen) = {
            let mut state = lock(&self.state);
            Self::apply_pending(&mut state);
            if !state.is_behind() || state.snapshot.is_damaged() {
                return;
            }
            let Some(boundary) = state.boundary.clone() else { return };
            (state.snapshot.clone(), boundary, state.unseen)
        };
        let snapshot = self.settle(snapshot, &boundary, unseen);
        let can_go_in = |row: &RowRef<'_>| match row {
            RowRef::Fresh(entry) => entry.is_settled() && !is_ambiguous(&entry.name),
            RowRef::Stored(..) => true,
        };
        let rows: Vec<RowRef<'_>> = snapshot.rows().filter(can_go_in).collect();
        let listed = self.listed(&snapshot, &boundary).filter(|_| rows.len() == snapshot.len());
        let name = identity(&self.path, &self.kind);
        let kept = self.storage.as_ref().and_then(|storage| {
            let file = storage.create(&self.path, &self.kind).ok()?;
            storage.settle(Writing::write(file, &rows, &name, listed).ok()?)
        });
        let Some(segment) = kept.or_else(|| Writing::write(Vec::new(), &rows, &name, listed).ok()) else { return };
        self.take_over(segment, &snapshot);
    }

    /// Takes a segment that was made of a snapshot, if the present one comes of that. After damage it does not: what is gone
    /// since is in neither, and nothing would tell that the new segment has it.
    fn take_over(&self, segment: Segment, taken: &Snapshot) {
        let mut state = lock(&self.state);
        if state.snapshot.is_damaged() || !Arc::ptr_eq(state.snapshot.segment(), taken.segment()) {
            segment.remove();
            return;
        }
        let moved = state.snapshot.moved_to(segment, taken);
        state.left = moved.behind();
        state.snapshot = Arc::new(moved);
    }

    /// The files, if the folder holds nothing else, and that can be told without listing it. Each may have changed.
    #[must_use]
    pub fn all_without_listing(&self, directory: &Directory) -> Option<Arc<Snapshot>> {
        let own = directory.signature().ok()?;
        let is_all = |listed: Option<Listed>| listed.is_some_and(|listed| listed.alone && listed.folder == own);
        let mut state = lock(&self.state);
        if let Some(kept) = self.open_kept(&mut state) {
            if !is_all(kept.names.listed) {
                // Only who looks at every file may take it: else what is gone would stay.
                state.kept = KeptState::NotLookedFor;
                return None;
            }
            self.take_kept(&mut state, kept);
        }
        Self::apply_pending(&mut state);
        (is_all(state.listed) && !state.snapshot.is_damaged()).then(|| state.snapshot.clone())
    }

    /// The folder, if it is found to hold these files and no others of its kind.
    fn listed(&self, snapshot: &Snapshot, boundary: &Boundary) -> Option<Listed> {
        let directory = Directory::open(&self.path).ok()?;
        let progress = &Progress::default();
        let sweep = Sweep::new(&self.kind, &directory, boundary, (progress, None)).ok()?;
        let folder = sweep.settled()?;
        let (names, alone) = sweep.names().ok()?;
        let are_same = names.iter().map(|name| &**name).eq(snapshot.rows().map(RowRef::name));
        are_same.then_some(Listed { folder, alone })
    }

    /// Reads files again that were too young to rely on their times when they were read: now any later change would show.
    fn settle(&self, snapshot: Arc<Snapshot>, boundary: &Boundary, unseen: Option<UnseenReading>) -> Arc<Snapshot> {
        let is_young = |entry: &&Arc<Entry>| !entry.is_settled() && !entry.is_unread();
        let young: Vec<&Arc<Entry>> = snapshot.fresh().iter().filter(is_young).collect();
        let Ok(directory) = Directory::open(&self.path) else { return snapshot };
        if young.is_empty() {
            return snapshot;
        }
        let progress = &Progress::default();
        let Ok(sweep) = Sweep::new(&self.kind, &directory, boundary, (progress, unseen)) else { return snapshot };
        let settled = young.into_iter().filter(|entry| !sweep.finds(entry)).filter_map(|entry| {
            let again = sweep.read(entry.name.clone(), Some(RowRef::Fresh(entry)), LARGE).ok()?;
            // What is otherwise by now is for a reader to find.
            let is_same = entry.is_unseen() || again.signature() == entry.signature();
            let is_same = is_same && again.content == entry.content;
            (is_same && again.digest == entry.digest).then_some(again)
        });
        let settled: Vec<Arc<Entry>> = settled.collect();
        if settled.is_empty() {
            return snapshot;
        }
        let with = |snapshot: &Snapshot, entries: &mut dyn Iterator<Item = &Arc<Entry>>| {
            Arc::new(snapshot.with(entries.map(|entry| (entry.name.clone(), Some(entry.clone()))).collect()))
        };
        let mut state = lock(&self.state);
        // Some may have been read again meanwhile.
        let is_as_before = |entry: &&Arc<Entry>| {
            let [now, before] = [&state.snapshot, &snapshot].map(|snapshot| snapshot.fresh_of(&entry.name));
            now.zip(before).is_some_and(|(now, before)| Arc::ptr_eq(now, before))
        };
        state.snapshot = with(&state.snapshot, &mut settled.iter().filter(is_as_before));
        drop(state);
        with(&snapshot, &mut settled.iter())
    }

    fn sweep(
        &self,
        state: &mut State,
        mut sweep: Sweep<'_>,
        notified: Option<Notified>,
    ) -> io::Result<Vec<BrokenFile>> {
        let kept = self.open_kept(state);
        let is_first = kept.is_none() && state.swept.is_none() && state.snapshot.is_empty();
        state.is_unwatched = is_first && sweep.local && sweep.own.size >= self.watched_later;
        sweep.looks_later = state.is_unwatched && sweep.directory.is_stamping();
        if sweep.looks_later {
            sweep.unseen = Some(UnseenReading::begin());
            state.unseen = sweep.unseen;
        }
        // Before anything is looked at, so that no change comes in between.
        let begin = || (!state.is_unwatched).then(|| Notified::begin(sweep.directory, sweep.own)).flatten();
        let notified = notified.or_else(begin);
        sweep.own = sweep.directory.signature()?;
        let looked = match kept {
            Some(kept) => self.take_kept_and_look(state, kept, &sweep)?,
            None => None,
        };
        let Swept { snapshot, listed, broken } = sweep.run(state, looked)?;
        state.snapshot = snapshot;
        if sweep.progress.is_aborted() {
            state.untold.extend(broken);
            state.listed = None;
            return Err(io::ErrorKind::Interrupted.into());
        }
        state.listed = listed;
        state.escaped |= state.snapshot.escapes();
        state.notified = notified.filter(|_| !state.escaped);
        Ok(broken)
    }

    /// Reads what the system has told of.
    fn apply_notified(&self, state: &mut State, sweep: &Sweep<'_>) -> io::Result<Applied> {
        // Given back only when everything that it told has been applied: if that fails, nobody relies on it any more.
        let Some(before) = state.notified.take().filter(|notified| sweep.own.is_same_file(&notified.folder)) else {
            return Ok(Applied::NotEverything(None));
        };
        let Changes::Names(names) = before.notifications.take() else { return Ok(Applied::NotEverything(None)) };
        let emptied = SystemTime::now();
        // What could not be read is tried again; no notification tells that it would be successful.
        let unread = state.snapshot.unread().map(|entry| (entry.name.clone(), Change::Named));
        let names: HashMap<Box<str>, Change> = unread.chain(names).collect();
        let read = self.read_named(state, sweep, &before, &names)?;
        let Notified { notifications, folder, emptied: since, .. } = before;
        let notified = Notified { notifications, folder, emptied, told: names, since };
        let Some((changes, broken)) = read else { return Ok(Applied::NotEverything(Some(notified))) };
        Self::replace(state, changes);
        state.notified = Some(notified);
        Ok(Applied::Everything(broken))
    }

    /// Reads the files of these names; `None` if others may have changed too.
    fn read_named(
        &self,
        state: &mut State,
        sweep: &Sweep<'_>,
        before: &Notified,
        names: &HashMap<Box<str>, Change>,
    ) -> io::Result<Option<(Changed, Vec<BrokenFile>)>> {
        let (mut changes, mut broken) = (HashMap::new(), Vec::new());
        for (name, change) in names {
            let found = sweep.directory.own_signature(name)?;
            let known = state.snapshot.find(name);
            let is_told = |found: &Signature| {
                known.is_none_or(|known| known.signature() != Some(*found)) || before.will_tell(name, found)
            };
            state.escaped |= found.is_some_and(|found| found.is_aliased());
            // The file that was changed may be among the known by another name.
            let is_lost = *change == Change::Written && !found.as_ref().is_some_and(is_told);
            if is_lost || state.escaped {
                return Ok(None);
            }
            if !self.kind.takes(name) {
                continue;
            }
            if found.is_none() {
                changes.extend(known.map(|_| (name.clone(), None)));
                continue;
            }
            let Ok(entry) = sweep.read(name.clone(), known, LARGEST_MEMORY) else { continue };
            if entry.is_aliased() {
                // A link that leads somewhere now.
                return Ok(None);
            }
            if is_news(known, &entry) {
                broken.extend(entry.broken());
            }
            if !is_same(known, &entry) {
                changes.insert(name.clone(), Some(entry));
            }
        }
        Ok(Some((changes, broken)))
    }

    /// Says that a file has changed of which nothing told: every file is looked at when somebody asks.
    pub(super) fn distrust(&self) {
        let mut state = lock(&self.state);
        state.notified = None;
        state.swept = None;
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
    /// A file of this folder, whose text has this signature and digest.
    #[must_use]
    pub fn parse(&self, name: &str, text: &[u8], read: (Signature, bool, [u8; 16])) -> Arc<Entry> {
        let (signature, settled, digest) = read;
        let entry = Entry::new(name.into(), self.kind.parse(name, text), Some(signature), settled);
        Arc::new(Entry { digest: Some(digest), ..entry })
    }

    /// Takes over files as a watch has read them; `None` for one that is gone. Gives whether it is time for
    /// [`compact`](Self::compact).
    pub fn apply(&self, changes: Vec<(Box<str>, Option<Arc<Entry>>)>, boundary: &Boundary) -> bool {
        let mut state = lock(&self.state);
        // A segment that was kept and is not known yet would have to be compared.
        state.kept = KeptState::Known;
        state.pending.extend(changes);
        state.boundary.get_or_insert_with(|| boundary.clone());
        state.is_behind()
    }

    /// The files as the watch has them; `None` if nobody watches the folder that has its name now.
    #[must_use]
    pub fn watched(&self, own: &Signature) -> Option<Arc<Snapshot>> {
        let mut state = lock(&self.state);
        Self::apply_pending(&mut state);
        (state.is_watched(own) && !state.snapshot.is_damaged()).then(|| state.snapshot.clone())
    }

    fn apply_pending(state: &mut State) {
        if !state.pending.is_empty() {
            let pending = std::mem::take(&mut state.pending);
            Self::replace(state, pending);
        }
    }

    /// Puts files in the place of those of their names, or takes them out.
    fn replace(state: &mut State, changes: Changed) {
        if !changes.is_empty() {
            state.snapshot = Arc::new(state.snapshot.with(changes));
            state.listed = None;
        }
    }

    /// Says which folder somebody watches, and has applied everything of.
    pub fn set_watched(&self, watched: Option<Signature>) {
        lock(&self.state).watched = watched;
    }

    /// Whether what is known of it can't be had any more.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        lock(&self.state).snapshot.is_damaged()
    }

    /// Nothing is known any more: another folder has its name, or none.
    pub fn forget(&self) {
        *lock(&self.state) = State { kept: KeptState::Known, ..State::new(Snapshot::empty(self.kind.clone())) };
    }
}

/// Whether what a file holds may be another thing than what was known of it.
fn is_news(known: Option<RowRef<'_>>, entry: &Entry) -> bool {
    match known {
        Some(RowRef::Fresh(known)) => {
            known.content != entry.content || !known.is_unseen() && known.signature() != entry.signature()
        }
        _ => true,
    }
}

fn is_same(known: Option<RowRef<'_>>, entry: &Arc<Entry>) -> bool {
    matches!(known, Some(RowRef::Fresh(known)) if Arc::ptr_eq(known, entry))
}

/// When files began to be read without looking at their states. A large folder is looked at soon afterwards in any case.
#[derive(Debug, Clone, Copy)]
struct UnseenReading {
    began: SystemTime,
    /// The same moment by a clock that nobody sets.
    at: Instant,
}

impl UnseenReading {
    fn begin() -> Self {
        Self { began: SystemTime::now(), at: Instant::now() }
    }

    /// Whether a file's present state is the one that it was read in: its last change lies before. That can't be told if the clock
    /// was set since.
    fn was_in(&self, state: &Signature) -> bool {
        /// What slewing the clock may come to.
        const EVENLY: Duration = Duration::from_millis(20);
        let passed = SystemTime::now().duration_since(self.began);
        let is_even = passed.is_ok_and(|passed| passed.abs_diff(self.at.elapsed()) < EVENLY);
        is_even && state.is_settled(self.began, true)
    }
}

struct Sweep<'a> {
    kind: &'a FolderKind,
    directory: &'a Directory,
    boundary: &'a Boundary,
    local: bool,
    began: SystemTime,
    /// The folder's state, before anything in it was looked at.
    own: Signature,
    progress: &'a Progress,
    unseen: Option<UnseenReading>,
    /// Whether files are read without looking at their states.
    looks_later: bool,
}

struct Swept {
    snapshot: Arc<Snapshot>,
    listed: Option<Listed>,
    broken: Vec<BrokenFile>,
}

/// A name in the folder, and the state of its file if there is one that could be read.
type Named = (Box<str>, Option<Signature>);

/// The states of the files that could be read, in a folder of which nothing was known but what was kept.
enum Looked {
    /// In the order of the names that were kept: there are no others.
    AtPlaces(Vec<Option<Signature>>),
    ByName(Vec<Named>),
}

/// What came of a file in a folder of which nothing was known, or only what was kept of it.
enum Visit {
    /// It is as it was kept at this place.
    AsKept(u32),
    Read(Arc<Entry>),
    /// To be read while no other is: it is too large, or the system had no handle left.
    Alone(Box<str>),
    NotWanted,
}

/// The places of files that are as they were kept, the files that were read, and the names of those that are still to be.
fn told_apart(visits: impl IntoIterator<Item = Visit>) -> (Vec<u32>, Vec<Arc<Entry>>, Vec<Box<str>>) {
    let (mut kept, mut read, mut alone) = (Vec::new(), Vec::new(), Vec::new());
    for visit in visits {
        match visit {
            Visit::AsKept(at) => kept.push(at),
            Visit::Read(entry) => read.push(entry),
            Visit::Alone(name) => alone.push(name),
            Visit::NotWanted => {}
        }
    }
    (kept, read, alone)
}

/// Files that were read, and which of them are broken.
type Read = (Fresh, Vec<BrokenFile>);

/// A name in the folder and what is known of it.
struct Slot<'a> {
    name: &'a str,
    known: Option<RowRef<'a>>,
}

impl<'a> Sweep<'a> {
    fn new(
        kind: &'a FolderKind,
        directory: &'a Directory,
        boundary: &'a Boundary,
        (progress, unseen): (&'a Progress, Option<UnseenReading>),
    ) -> io::Result<Self> {
        let (local, began, own) = (directory.is_local(), SystemTime::now(), directory.signature()?);
        Ok(Self { kind, directory, boundary, local, began, own, progress, unseen, looks_later: false })
    }

    /// The folder's state, if any later change of a name is sure to change it.
    fn settled(&self) -> Option<Signature> {
        (self.local && self.own.is_settled(self.began, true)).then_some(self.own)
    }

    /// If it is aborted, what it gives holds what was read until then, and may hold what is gone.
    fn run(&self, state: &State, looked: Option<Looked>) -> io::Result<Swept> {
        // A folder that has not changed since it was listed still holds the names that it held then.
        let before = state.listed.filter(|listed| listed.folder == self.own);
        let are_same_names = before.is_some();
        let alone = before.is_some_and(|listed| listed.alone);
        let listed = self.settled().map(|folder| Listed { folder, alone });
        let found = match looked {
            _ if !state.snapshot.fresh().is_empty() => None,
            Some(Looked::AtPlaces(states)) if are_same_names => {
                Some(self.compare_at_places(state.snapshot.segment(), &states))
            }
            Some(Looked::ByName(looked)) => Some(self.compare(&state.snapshot, &looked)),
            None if are_same_names => None,
            // Nothing was kept, or it turned out to be damaged.
            _ if state.snapshot.is_empty() => self.first()?.map(|read| (Vec::new(), read)),
            _ => self.look()?.map(|looked| self.compare(&state.snapshot, &looked)),
        };
        if let Some((seen, (read, broken))) = found {
            if read.files.is_empty() && seen.len() == state.snapshot.len() {
                return Ok(Swept { snapshot: state.snapshot.clone(), listed, broken });
            }
            let snapshot = if self.progress.is_aborted() {
                // Of those that were not looked at nothing is known: they stay, and the next sweep compares them.
                state.snapshot.with(read.files.into_iter().map(|entry| (entry.name.clone(), Some(entry))).collect())
            } else {
                state.snapshot.with_only(&seen, read)
            };
            return Ok(Swept { snapshot: Arc::new(snapshot), listed, broken });
        }
        let known: Vec<RowRef<'_>> = state.snapshot.rows().collect();
        let names = if are_same_names { None } else { Some(self.names()?.0) };
        let same_names = names.as_ref().is_none_or(|names| {
            names.len() == known.len() && names.iter().zip(&known).all(|(name, row)| **name == *row.name())
        });
        // One name may stand for several files, as JavaScript sees it: these are put anew together.
        let has_twins = known.windows(2).any(|pair| pair[0].name() == pair[1].name());
        let mut gone: HashSet<&str> = HashSet::new();
        let slots: Vec<Slot<'_>> = match &names {
            Some(names) if !same_names => {
                // Of several files of one name it is not known which is still there.
                let is_one = |row: &&RowRef<'_>| !(has_twins && is_ambiguous(row.name()));
                let mut by_name: HashMap<&str, RowRef<'_>> =
                    known.iter().filter(is_one).map(|row| (row.name(), *row)).collect();
                let slots: Vec<Slot<'_>> =
                    names.iter().map(|name| Slot { name, known: by_name.remove(&**name) }).collect();
                let there: HashSet<&str> = slots.iter().map(|slot| slot.name).collect();
                gone.extend(known.iter().map(|row| row.name()).filter(|name| !there.contains(name)));
                slots
            }
            _ => known.iter().map(|row| Slot { name: row.name(), known: Some(*row) }).collect(),
        };
        self.progress.total.fetch_add(slots.len() as u64, atomic::Ordering::Relaxed);
        let are_current = each(slots.len(), SPLIT, |at| self.is_current(&slots[at]));
        let to_read: Vec<usize> = (0..slots.len()).filter(|at| !are_current[*at]).collect();
        if to_read.is_empty() && same_names {
            return Ok(Swept { snapshot: state.snapshot.clone(), listed, broken: Vec::new() });
        }

        let read = |at: usize, limit| {
            let wanted = || !self.progress.is_aborted();
            wanted().then(|| self.read(slots[at].name.into(), slots[at].known, limit).ok()).flatten()
        };
        let mut entries_read =
            each(to_read.len(), (to_read.len() / 8).clamp(FEW_TO_READ, SPLIT), |at| read(to_read[at], LARGE));
        for (at, entry) in to_read.iter().zip(&mut entries_read) {
            if entry.is_none() {
                *entry = read(*at, LARGEST_MEMORY);
            }
        }
        let mut broken = Vec::new();
        let mut changes: Changed = gone.into_iter().map(|name| (name.into(), None)).collect();
        let has_several = has_twins || slots.windows(2).any(|pair| pair[0].name == pair[1].name);
        let mut several = Vec::new();
        let visited = if has_several { (0..slots.len()).collect() } else { to_read.clone() };
        let mut read = to_read.into_iter().zip(entries_read).peekable();
        for at in visited {
            let entry = read.next_if(|(place, _)| *place == at).and_then(|(_, entry)| entry);
            let known = slots[at].known;
            if let Some(entry) = &entry
                && is_news(known, entry)
            {
                broken.extend(entry.broken());
            }
            let entry =
                entry.or_else(|| if let Some(RowRef::Fresh(known)) = known { Some(known.clone()) } else { None });
            let Some(entry) = entry else { continue };
            if has_several && is_ambiguous(&entry.name) {
                changes.insert(entry.name.clone(), None);
                several.push(entry);
            } else if !is_same(known, &entry) {
                changes.insert(entry.name.clone(), Some(entry));
            }
        }
        if changes.is_empty() && several.is_empty() {
            return Ok(Swept { snapshot: state.snapshot.clone(), listed, broken });
        }
        Ok(Swept { snapshot: Arc::new(state.snapshot.with_several(changes, several)), listed, broken })
    }

    /// Reads a folder of which nothing is known: files are read while further names are still being listed. `None` if a
    /// name is not UTF-8, whose place among the others can't be told from the name that is left of it.
    fn first(&self) -> io::Result<Option<Read>> {
        let start = Start::default();
        let visited = self.visit_all(|items| {
            let (_, read, alone) = told_apart(self.visit_some(items));
            (Part::new(read, &start), alone)
        })?;
        Ok(visited.map(|visited| {
            let (mut parts, alone): (Vec<Part>, Vec<Vec<Box<str>>>) = visited.into_iter().unzip();
            parts.push(Part::new(self.read_alone(alone.into_iter().flatten()).collect(), &start));
            Fresh::join(self.kind, parts)
        }))
    }

    /// One at a time: each may take as much memory as a file may be large, or the only handle that the system has left.
    fn read_alone(&self, names: impl IntoIterator<Item = Box<str>>) -> impl Iterator<Item = Arc<Entry>> {
        let wanted = names.into_iter().take_while(|_| !self.progress.is_aborted());
        wanted.filter_map(|name| self.read(name, None, LARGEST_MEMORY).ok())
    }

    /// The names in the folder and the states of their files. `None` if a name is not UTF-8.
    fn look(&self) -> io::Result<Option<Vec<Named>>> {
        let looked = self.visit_all(|items| {
            let state = |(name, _): Item| {
                let signature = self.state_of(&name);
                (name, signature)
            };
            items.into_iter().take_while(|_| !self.progress.is_aborted()).map(state).collect::<Vec<Named>>()
        })?;
        Ok(looked.map(|parts| parts.into_iter().flatten().collect()))
    }

    /// The states of the files of these names.
    fn states(&self, names: &Names) -> Vec<Option<Signature>> {
        self.progress.total.fetch_add(names.len() as u64, atomic::Ordering::Relaxed);
        let state = |at| if self.progress.is_aborted() { None } else { self.state_of(names.at(at)) };
        each(names.len(), SPLIT, state)
    }

    fn state_of(&self, name: &str) -> Option<Signature> {
        give_way();
        self.directory.file_signature(name, self.boundary).ok()
    }

    /// Which files are as they were kept, by their places; the others are read.
    fn compare(&self, kept: &Snapshot, looked: &[Named]) -> (Vec<u32>, Read) {
        let kept = kept.by_name();
        let visit = |(name, state): &Named| match kept.find(name) {
            Some(RowRef::Stored(segment, at)) if *state == Some(segment.signature(at)) => self.as_kept(at),
            _ => self.visit(name.clone()),
        };
        self.joined(each(looked.len(), SPLIT, |at| visit(&looked[at])))
    }

    /// The same of states in the order of the kept names.
    fn compare_at_places(&self, kept: &Segment, states: &[Option<Signature>]) -> (Vec<u32>, Read) {
        let visit = |(at, state): (u32, &Option<Signature>)| match state {
            Some(state) if *state == kept.signature(at) => self.as_kept(at),
            _ => self.visit(kept.name(at).into()),
        };
        let places: Vec<(u32, &Option<Signature>)> = kept.places().zip(states).collect();
        self.joined(each(places.len(), SPLIT, |at| visit(places[at])))
    }

    fn as_kept(&self, at: u32) -> Visit {
        self.progress.done.fetch_add(1, atomic::Ordering::Relaxed);
        Visit::AsKept(at)
    }

    /// Does something with some names at a time while further ones are still being listed.
    fn visit_all<T: Send>(&self, visit: impl Fn(Vec<Item>) -> T + Sync) -> io::Result<Option<Vec<T>>> {
        let list = |take: &mut dyn FnMut(Vec<Item>)| {
            self.directory.list_in_batches(SPLIT, |mut batch| {
                batch.retain(|(name, _)| self.kind.takes(name));
                self.progress.total.fetch_add(batch.len() as u64, atomic::Ordering::Relaxed);
                take(batch);
            })
        };
        let (all_named, visited) = each_batch(list, visit);
        Ok(all_named?.then_some(visited))
    }

    fn visit(&self, name: Box<str>) -> Visit {
        if self.progress.is_aborted() {
            return Visit::NotWanted;
        }
        self.read(name, None, LARGE).map_or_else(Visit::Alone, Visit::Read)
    }

    /// The places of files that are as they were kept, and the others.
    fn joined(&self, visits: Vec<Visit>) -> (Vec<u32>, Read) {
        let (kept, mut read, alone) = told_apart(visits);
        read.extend(self.read_alone(alone));
        (kept, Fresh::join(self.kind, vec![Part::new(read, &Start::default())]))
    }

    /// The names of the files, and whether there are no others.
    fn names(&self) -> io::Result<(Vec<Box<str>>, bool)> {
        let mut names = self.directory.list()?;
        let count = names.len();
        names.retain(|name| self.kind.takes(name));
        if matches!(self.kind, FolderKind::Transcripts { .. }) {
            names.sort_by(|left, right| self.kind.order(left, right));
        }
        let are_all = names.len() == count;
        Ok((names, are_all))
    }

    fn is_current(&self, slot: &Slot<'_>) -> bool {
        give_way();
        let is_current = slot.known.is_some_and(|known| match known {
            RowRef::Fresh(entry) if entry.is_unseen() => self.finds(entry),
            _ => {
                known.is_settled() && self.directory.file_signature(slot.name, self.boundary).ok() == known.signature()
            }
        });
        self.progress.done.fetch_add(u64::from(is_current), atomic::Ordering::Relaxed);
        is_current
    }

    /// Reads regular files without looking at their states, if that is to be done.
    fn visit_some(&self, items: Vec<Item>) -> Vec<Visit> {
        let mut visits = Vec::with_capacity(items.len());
        let mut others = Vec::new();
        if self.looks_later {
            self.directory.each_unseen(items, LARGE, |(name, inode), text| {
                if self.progress.is_aborted() {
                    return ControlFlow::Break(());
                }
                if let (Some(inode), Some(text)) = (inode, text) {
                    give_way();
                    let content = self.kind.parse(&name, text);
                    visits.push(Visit::Read(Arc::new(Entry::unseen(name, content, inode, text.len() as u64))));
                    self.progress.done.fetch_add(1, atomic::Ordering::Relaxed);
                } else {
                    others.push(name);
                }
                ControlFlow::Continue(())
            });
        } else {
            others.extend(items.into_iter().map(|(name, _)| name));
        }
        visits.extend(others.into_iter().map(|name| self.visit(name)));
        visits
    }

    /// Whether a file that was read without looking at it is found to be as it was then. It is known then in which state.
    fn finds(&self, entry: &Entry) -> bool {
        let (ReadState::Unseen { inode, size, found }, Some(reading)) = (&entry.state, self.unseen) else {
            return false;
        };
        let Ok(signature) = self.directory.file_signature(&entry.name, self.boundary) else { return false };
        signature.is_of(*inode)
            && signature.size == *size
            && reading.was_in(&signature)
            && *found.get_or_init(|| signature) == signature
    }

    /// Reads a file; gives the known entry where that has not changed. Below the largest limit it gives the name back of a file
    /// that is to be read alone: one that is larger, or for which the system had no handle left.
    fn read(&self, name: Box<str>, known: Option<RowRef<'_>>, limit: u64) -> Result<Arc<Entry>, Box<str>> {
        give_way();
        let known = if let Some(RowRef::Fresh(known)) = known { Some(known) } else { None };
        let entry = with_buffer(|buffer| {
            let (content, signature, text) = match self.directory.read(&name, self.boundary, limit, buffer) {
                Ok((signature, length)) => {
                    let text = &buffer[..length];
                    (self.kind.parse(&name, text), Some(signature), text)
                }
                Err(FileProblem::TooLarge { .. } | FileProblem::Exhausted(_)) if limit < LARGEST_MEMORY => {
                    return Err(name);
                }
                Err(problem) => (Content::unreadable(problem.to_string()), None, &[][..]),
            };
            let settled = signature.is_some_and(|signature| signature.is_settled(self.began, self.local));
            let mut entry = Entry::new(name, content, signature, settled);
            if let Some(known) = known
                && known.signature() == entry.signature()
                && known.content == entry.content
            {
                if known.is_settled() == settled {
                    return Ok(known.clone());
                }
                entry.digest = known.digest.map(|_| digest(text));
                entry.answer = known.answer.as_ref().map(|answer| Box::new(Mutex::new(lock(answer).clone())));
            }
            Ok(Arc::new(entry))
        })?;
        self.progress.done.fetch_add(1, atomic::Ordering::Relaxed);
        Ok(entry)
    }
}

#[cfg(test)]
mod tests;
