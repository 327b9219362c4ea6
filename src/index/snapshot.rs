//! A folder's files at one moment: a segment, less what is gone of it, and the files that were read since.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use rayon::prelude::*;

use super::entry::{Content, DateAnswer, Entry, FolderKind};
use super::order::NewestFirst;
use super::segment::{Damaged, Segment, TextReader};
use crate::formats::memory::{Memory, Moment};
use crate::lock::lock;
use crate::vault::Signature;

/// Below so many files a second thread costs more than it brings.
const SPLIT: usize = 64;

/// A file in a snapshot.
#[derive(Debug, Clone, Copy)]
pub enum RowRef<'a> {
    /// Read since the segment was made.
    Fresh(&'a Arc<Entry>),
    /// In a segment, at this place.
    Stored(&'a Arc<Segment>, u32),
}

/// A file that outlives its snapshot.
#[derive(Debug, Clone)]
pub enum Row {
    /// Read since the segment was made.
    Fresh(Arc<Entry>),
    /// In a segment, at this place.
    Stored(Arc<Segment>, u32),
}

impl Row {
    /// The same, borrowed.
    #[must_use]
    pub fn as_ref(&self) -> RowRef<'_> {
        match self {
            Self::Fresh(entry) => RowRef::Fresh(entry),
            Self::Stored(segment, at) => RowRef::Stored(segment, *at),
        }
    }

    /// Does something with the memory, if the file holds one that can be had.
    pub fn with_memory<T>(&self, use_it: impl FnOnce(&Memory) -> T) -> Option<T> {
        match self {
            Self::Fresh(entry) => entry.memory().ok().map(use_it),
            Self::Stored(segment, at) => {
                let memory = TextReader::default().memory(segment, *at).ok()??;
                Some(use_it(&memory))
            }
        }
    }
}

impl<'a> RowRef<'a> {
    /// The same, to be kept.
    #[must_use]
    pub fn to_row(self) -> Row {
        match self {
            Self::Fresh(entry) => Row::Fresh(entry.clone()),
            Self::Stored(segment, at) => Row::Stored(segment.clone(), at),
        }
    }

    /// The file's name, as JavaScript sees it.
    #[must_use]
    pub fn name(self) -> &'a str {
        match self {
            Self::Fresh(entry) => &entry.name,
            Self::Stored(segment, at) => segment.name(at),
        }
    }

    /// The state that the file was read in; `None` if it could not be read.
    #[must_use]
    pub fn signature(self) -> Option<Signature> {
        match self {
            Self::Fresh(entry) => entry.signature,
            Self::Stored(segment, at) => Some(segment.signature(at)),
        }
    }

    /// Of the file's text, if that was asked for when it was read.
    #[must_use]
    pub fn digest(self) -> Option<[u8; 16]> {
        match self {
            Self::Fresh(entry) => entry.digest,
            Self::Stored(segment, at) => segment.digest(at),
        }
    }

    /// Whether any later change shows in the signature.
    pub(super) fn is_settled(self) -> bool {
        match self {
            Self::Fresh(entry) => entry.settled,
            Self::Stored(..) => true,
        }
    }

    /// Whether the file holds a memory.
    #[must_use]
    pub fn is_memory(self) -> bool {
        match self {
            Self::Fresh(entry) => matches!(entry.content, Content::Memory(_)),
            Self::Stored(segment, at) => segment.is_memory(at),
        }
    }

    /// Whether the hash that the file states is right; `None` if none is stated.
    #[must_use]
    pub fn sound(self) -> Option<bool> {
        match self {
            Self::Fresh(entry) => entry.memory().ok().and_then(Memory::is_sound),
            Self::Stored(segment, at) => segment.sound(at),
        }
    }

    /// When the memory was made.
    pub(super) fn moment(self) -> Moment {
        match self {
            Self::Fresh(entry) => entry.memory().map_or(Moment::At(f64::NAN), Memory::moment),
            Self::Stored(segment, at) => segment.moment(at),
        }
    }

    /// What JavaScript said of an undecided moment.
    pub(super) fn answer(self) -> Option<DateAnswer> {
        match self {
            Self::Fresh(entry) => entry.answer.as_ref().and_then(|answer| lock(answer).clone()),
            Self::Stored(segment, at) => segment.answer(at),
        }
    }

    /// What is wrong with a file that holds no memory.
    pub(super) fn broken(self, texts: &mut TextReader) -> Option<super::BrokenFile> {
        match self {
            Self::Fresh(entry) => entry.broken(),
            Self::Stored(segment, at) => {
                let empty = segment.broken(at)?;
                let message = texts.text(segment, at).ok().map(String::from_utf8_lossy)?;
                Some(super::BrokenFile { name: segment.name(at).into(), message: message.into(), empty })
            }
        }
    }
}

/// Places of a segment's files that are gone, or were read again.
#[derive(Debug, Clone, Default)]
struct Gone {
    bits: Vec<u64>,
    count: usize,
}

impl Gone {
    fn has(&self, at: u32) -> bool {
        self.bits.get(at as usize / 64).is_some_and(|bits| bits >> (at % 64) & 1 == 1)
    }

    fn add(&mut self, at: u32) {
        let word = at as usize / 64;
        if self.bits.len() <= word {
            self.bits.resize(word + 1, 0);
        }
        let before = self.bits[word];
        self.bits[word] |= 1 << (at % 64);
        self.count += usize::from(self.bits[word] != before);
    }

    fn remove(&mut self, at: u32) {
        if self.has(at) {
            self.bits[at as usize / 64] &= !(1 << (at % 64));
            self.count -= 1;
        }
    }
}

/// See the module. The files have Chatty's order.
#[derive(Debug)]
pub struct Snapshot {
    kind: FolderKind,
    segment: Arc<Segment>,
    gone: Gone,
    fresh: Vec<Arc<Entry>>,
    /// Of those that are fresh.
    pub(super) newest_first: Mutex<Option<NewestFirst>>,
    unsound: OnceLock<Box<[Box<str>]>>,
    heap_size: usize,
    /// The places of what needs a look at every question, of those that are fresh.
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
    /// Of nothing.
    pub(super) fn empty(kind: FolderKind) -> Self {
        Self::new(kind, Segment::empty(), Gone::default(), Vec::new())
    }

    /// Of a segment's files.
    pub(super) fn of_segment(kind: FolderKind, segment: Segment) -> Self {
        Self::new(kind, Arc::new(segment), Gone::default(), Vec::new())
    }

    /// Of files that have been read, in their order.
    pub(super) fn of_entries(kind: FolderKind, fresh: Vec<Arc<Entry>>) -> Self {
        Self::new(kind, Segment::empty(), Gone::default(), fresh)
    }

    /// Of memories that do not come from a folder.
    #[must_use]
    pub fn of_memories(memories: Vec<Memory>) -> Self {
        let entry = |memory| Arc::new(Entry::new(Box::default(), Content::Memory(memory), None, true));
        Self::of_entries(FolderKind::Capsules, memories.into_iter().map(entry).collect())
    }

    fn new(kind: FolderKind, segment: Arc<Segment>, gone: Gone, fresh: Vec<Arc<Entry>>) -> Self {
        let sizes = fresh.par_iter().with_min_len(16 * SPLIT).map(|entry| entry.heap_size());
        let per_row = size_of::<Arc<Entry>>() + size_of::<u32>();
        let heap_size = segment.heap_size() + sizes.sum::<usize>() + fresh.len() * per_row;
        let mut odd = Odd { escapes: segment.escapes(), ..Odd::default() };
        for (place, entry) in (0..).zip(&fresh) {
            if entry.answer.is_some() {
                odd.undecided.push(place);
            }
            if entry.signature.is_none() {
                odd.unread.push(place);
            }
            odd.escapes |= entry.is_aliased() || entry.is_ambiguous();
        }
        Self { kind, segment, gone, fresh, newest_first: Mutex::default(), unsound: OnceLock::new(), heap_size, odd }
    }

    /// The same with some files read again (or for the first time), or gone.
    pub(super) fn with(&self, changes: HashMap<Box<str>, Option<Arc<Entry>>>) -> Self {
        self.with_several(changes, Vec::new())
    }

    /// The same, and with files that have names in common.
    pub(super) fn with_several(
        &self,
        changes: HashMap<Box<str>, Option<Arc<Entry>>>,
        mut news: Vec<Arc<Entry>>,
    ) -> Self {
        let mut gone = self.gone.clone();
        let mut rest = Vec::with_capacity(self.fresh.len() + changes.len());
        rest.extend(self.fresh.iter().filter(|entry| !changes.contains_key(&entry.name)).cloned());
        let mut forgotten = Vec::new();
        for (name, entry) in changes {
            if let Some(at) = self.segment.find(&self.kind, &name) {
                gone.add(at);
                forgotten.push(at);
            }
            news.extend(entry);
        }
        self.segment.forget(forgotten.into_iter());
        news.sort_unstable_by(|left, right| self.kind.order(&left.name, &right.name));
        if let [entry] = &news[..] {
            let at = rest.partition_point(|other| self.kind.order(&other.name, &entry.name).is_lt());
            rest.insert(at, entry.clone());
        } else if !news.is_empty() {
            rest.append(&mut news);
            // Two sorted runs, which this sort merges.
            rest.sort_by(|left, right| self.kind.order(&left.name, &right.name));
        }
        Self::new(self.kind.clone(), self.segment.clone(), gone, rest)
    }

    /// Of its segment only the files at these places, and others that were read, in their order.
    pub(super) fn with_only(&self, places: &[u32], fresh: Vec<Arc<Entry>>) -> Self {
        let mut gone = Gone::default();
        for at in self.segment.places() {
            gone.add(at);
        }
        for at in places {
            gone.remove(*at);
        }
        self.segment.forget(self.segment.places().filter(|at| gone.has(*at) && !self.gone.has(*at)));
        Self::new(self.kind.clone(), self.segment.clone(), gone, fresh)
    }

    /// The same on another segment, into which files went as they are in `taken`.
    pub(super) fn moved_to(&self, segment: Segment, taken: &Self) -> Self {
        let mut gone = Gone::default();
        let stored = |name: &str| segment.find(&self.kind, name);
        let went_in = |entry: &Arc<Entry>| taken.fresh_of(&entry.name).is_some_and(|own| Arc::ptr_eq(own, entry));
        let mut fresh = Vec::new();
        for entry in &self.fresh {
            match stored(&entry.name) {
                Some(_) if went_in(entry) => {}
                at => {
                    if let Some(at) = at {
                        gone.add(at);
                    }
                    fresh.push(entry.clone());
                }
            }
        }
        let lost = taken.fresh.iter().filter(|entry| self.fresh_of(&entry.name).is_none());
        let lost_of_segment = self.segment.places().filter(|at| self.gone.has(*at) && !taken.gone.has(*at));
        for name in lost.map(|entry| &*entry.name).chain(lost_of_segment.map(|at| self.segment.name(at))) {
            if let Some(at) = stored(name) {
                gone.add(at);
            }
        }
        segment.forget(segment.places().filter(|at| gone.has(*at)));
        Self::new(self.kind.clone(), Arc::new(segment), gone, fresh)
    }

    /// How many files there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.segment.len() - self.gone.count + self.fresh.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many files are not as its segment has them.
    pub(super) fn behind(&self) -> usize {
        self.gone.count + self.fresh.len()
    }

    pub(super) fn kind(&self) -> &FolderKind {
        &self.kind
    }

    pub(super) fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    pub(super) fn fresh(&self) -> &[Arc<Entry>] {
        &self.fresh
    }

    /// Whether a file of the segment is gone, or was read again.
    pub(super) fn is_gone(&self, at: u32) -> bool {
        self.gone.has(at)
    }

    pub(super) fn escapes(&self) -> bool {
        self.odd.escapes
    }

    /// All files, in Chatty's order.
    pub fn rows(&self) -> impl Iterator<Item = RowRef<'_>> {
        let mut stored = self.segment.places().filter(|at| !self.gone.has(*at)).peekable();
        let mut fresh = self.fresh.iter().peekable();
        std::iter::from_fn(move || {
            let is_fresh = match (stored.peek(), fresh.peek()) {
                (Some(at), Some(entry)) => self.kind.order(&entry.name, self.segment.name(*at)) == Ordering::Less,
                (stored, _) => stored.is_none(),
            };
            if is_fresh {
                fresh.next().map(RowRef::Fresh)
            } else {
                stored.next().map(|at| RowRef::Stored(&self.segment, at))
            }
        })
    }

    /// Those whose dates only JavaScript can tell.
    pub(super) fn undecided(&self) -> impl Iterator<Item = RowRef<'_>> {
        let fresh = self.odd.undecided.iter().map(|place| RowRef::Fresh(&self.fresh[*place as usize]));
        let stored = self.segment.undecided().iter().filter(|at| !self.gone.has(**at));
        stored.map(|at| RowRef::Stored(&self.segment, *at)).chain(fresh)
    }

    /// Those that could not be read.
    pub(super) fn unread(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.odd.unread.iter().map(|place| &self.fresh[*place as usize])
    }

    fn fresh_of(&self, name: &str) -> Option<&Arc<Entry>> {
        self.fresh.binary_search_by(|entry| self.kind.order(&entry.name, name)).ok().map(|at| &self.fresh[at])
    }

    /// The file of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<RowRef<'_>> {
        if let Some(entry) = self.fresh_of(name) {
            return Some(RowRef::Fresh(entry));
        }
        let at = self.segment.find(&self.kind, name).filter(|at| !self.gone.has(*at))?;
        Some(RowRef::Stored(&self.segment, at))
    }

    /// For who looks for most of the files by their names: by hash, which at many files is several times as quick.
    #[must_use]
    pub fn by_name(&self) -> ByName<'_> {
        let stored = self.segment.places().filter(|at| !self.gone.has(*at));
        ByName { snapshot: self, stored: stored.map(|at| (self.segment.name(at), at)).collect() }
    }

    /// The place of a memory that comes from no folder; 0 of others, which have names.
    pub(super) fn place_among_nameless(&self, row: RowRef<'_>) -> u32 {
        let RowRef::Fresh(entry) = row else { return 0 };
        if !entry.name.is_empty() {
            return 0;
        }
        let is_it = |other: &Arc<Entry>| Arc::ptr_eq(other, entry);
        self.fresh.iter().position(is_it).and_then(|place| u32::try_from(place).ok()).unwrap_or(0)
    }

    /// The memories as a JSON array; only of what does not come from a folder.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut json = String::from("[");
        for entry in &self.fresh {
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
            let is_unsound = |entry: &&Arc<Entry>| RowRef::Fresh(entry).sound() == Some(false);
            let fresh = self.fresh.par_iter().with_min_len(SPLIT).filter(is_unsound);
            let mut names: Vec<Box<str>> = fresh.map(|entry| entry.name.clone()).collect();
            let stored = self.segment.unsound().iter().filter(|at| !self.gone.has(**at));
            names.extend(stored.map(|at| self.segment.name(*at).into()));
            names.into()
        })
    }

    /// Whether something in its segment turned out to be damaged.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        self.segment.is_damaged()
    }

    /// Whether a question can be put to it as it is: nothing is to be read again or decided first.
    pub(super) fn is_at_hand(&self) -> bool {
        let is_decided = self.odd.undecided.is_empty() && self.segment.undecided().is_empty();
        self.odd.unread.is_empty() && is_decided && !self.is_damaged()
    }

    /// Whether it is known already that no stated hash is wrong.
    pub(super) fn is_known_to_be_sound(&self) -> bool {
        self.unsound.get().is_some_and(|unsound| unsound.is_empty())
    }

    /// Bytes that it holds, about.
    #[must_use]
    pub fn heap_size(&self) -> usize {
        self.heap_size
    }
}

/// See [`Snapshot::by_name`].
#[derive(Debug)]
pub struct ByName<'a> {
    snapshot: &'a Snapshot,
    stored: hashbrown::HashMap<&'a str, u32>,
}

impl<'a> ByName<'a> {
    /// The file of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<RowRef<'a>> {
        let fresh = self.snapshot.fresh_of(name).map(RowRef::Fresh);
        fresh.or_else(|| self.stored.get(name).map(|at| RowRef::Stored(&self.snapshot.segment, *at)))
    }
}

impl From<Damaged> for crate::Error {
    fn from(Damaged: Damaged) -> Self {
        Self::Damaged
    }
}
