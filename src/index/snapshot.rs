//! A folder's files at one moment: a segment, less what is gone of it, and the files that were read since.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock};

use rayon::prelude::*;

use super::batches::SPLIT;
use super::entry::{Content, DateAnswer, Entry, FolderKind};
use super::filter_key::FilterKey;
use super::fresh::Fresh;
use super::order::NewestFirst;
use super::segment::{Damaged, Segment, TextReader};
use crate::formats::memory::{Memory, Moment};
use crate::lock::lock;
use crate::vault::Signature;

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

    /// The state that the file was read in; `None` if it could not be read, or is not known.
    #[must_use]
    pub fn signature(self) -> Option<Signature> {
        match self {
            Self::Fresh(entry) => entry.signature(),
            Self::Stored(segment, at) => Some(segment.signature(at)),
        }
    }

    /// Bytes of what is kept of the file.
    pub(super) fn text_size(self) -> usize {
        match self {
            Self::Fresh(entry) => entry.memory().map_or(0, Memory::heap_size),
            Self::Stored(segment, at) => segment.text_size(at),
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
            Self::Fresh(entry) => entry.is_settled(),
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
    pub(super) fn broken(self, texts: &mut TextReader) -> Result<Option<super::BrokenFile>, Damaged> {
        match self {
            Self::Fresh(entry) => Ok(entry.broken()),
            Self::Stored(segment, at) => {
                let Some(empty) = segment.broken(at) else { return Ok(None) };
                let message = String::from_utf8_lossy(texts.text(segment, at)?).into();
                Ok(Some(super::BrokenFile { name: segment.name(at).into(), message, empty }))
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
    /// Of those that are fresh.
    filter_keys: OnceLock<Vec<FilterKey>>,
    unsound: OnceLock<Box<[Box<str>]>>,
    heap_size: usize,
    /// The places of what needs a look at every question, of those that are fresh.
    odd: Odd,
}

/// Bytes for each fresh file besides its own.
const PER_ROW: usize = size_of::<Arc<Entry>>() + size_of::<u32>() + size_of::<FilterKey>();
/// What a snapshot works out costs as much as all its fresh files, a change of so few only as much as they.
const FEW: usize = 8;

/// Places of entries in a snapshot.
#[derive(Debug, Default, PartialEq, Eq)]
struct Odd {
    /// Whose dates only JavaScript can tell.
    undecided: Vec<u32>,
    /// That could not be read.
    unread: Vec<u32>,
    /// Whether notifications of the folder don't tell everything: of a file with a name elsewhere, or one that is not UTF-8.
    escapes: bool,
}

impl Odd {
    fn new(segment: &Segment, fresh: &[Arc<Entry>]) -> Self {
        let mut odd = Self { escapes: segment.escapes(), ..Self::default() };
        for (place, entry) in (0..).zip(fresh) {
            if entry.answer.is_some() {
                odd.undecided.push(place);
            }
            if entry.is_unread() {
                odd.unread.push(place);
            }
            odd.escapes |= entry.escapes();
        }
        odd
    }

    /// Whether all that it says is of the segment.
    fn is_of_segment(&self, segment: &Segment) -> bool {
        self.undecided.is_empty() && self.unread.is_empty() && self.escapes == segment.escapes()
    }
}

impl Snapshot {
    /// Of nothing.
    pub(super) fn empty(kind: FolderKind) -> Self {
        Self::new(kind, Segment::empty(), Gone::default(), Fresh::default())
    }

    /// Of a segment's files.
    pub(super) fn of_segment(kind: FolderKind, segment: Segment) -> Self {
        Self::new(kind, Arc::new(segment), Gone::default(), Fresh::default())
    }

    /// Of files that have been read, in their order.
    pub(super) fn of_entries(kind: FolderKind, fresh: Vec<Arc<Entry>>) -> Self {
        Self::new(kind, Segment::empty(), Gone::default(), Fresh::of(fresh))
    }

    /// Of memories that do not come from a folder.
    #[must_use]
    pub fn of_memories(memories: Vec<Memory>) -> Self {
        let entry = |memory| Arc::new(Entry::new(Box::default(), Content::Memory(memory), None, true));
        Self::of_entries(FolderKind::Capsules, memories.into_iter().map(entry).collect())
    }

    fn new(kind: FolderKind, segment: Arc<Segment>, gone: Gone, fresh: Fresh) -> Self {
        let odd = Odd::new(&segment, if fresh.may_be_odd { &fresh.files } else { &[] });
        let heap_size = segment.heap_size() + fresh.heap_size + fresh.files.len() * PER_ROW;
        let fresh = fresh.files;
        let (newest_first, filter_keys, unsound) = (Mutex::default(), OnceLock::new(), OnceLock::new());
        Self { kind, segment, gone, fresh, newest_first, filter_keys, unsound, heap_size, odd }
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
        let unsound: Option<Vec<Box<str>>> =
            self.unsound.get().map(|names| names.iter().filter(|name| !changes.contains_key(*name)).cloned().collect());
        let mut gone = self.gone.clone();
        let (mut lost, mut forgotten) = (Vec::new(), Vec::new());
        for (name, entry) in changes {
            if let Some(at) = self.segment.find(&self.kind, &name) {
                gone.add(at);
                // What was read again as it was keeps its text, for whoever opens the segment next.
                if entry.as_ref().and_then(|entry| entry.signature()) != Some(self.segment.signature(at)) {
                    forgotten.push(at);
                }
            }
            lost.extend(self.places_of(&name));
            news.extend(entry);
        }
        self.segment.forget(forgotten.into_iter());
        lost.sort_unstable();
        news.sort_by(|left, right| self.kind.order(&left.name, &right.name));
        let mut fresh = Vec::with_capacity(self.fresh.len() - lost.len() + news.len());
        let mut from = 0;
        for at in &lost {
            fresh.extend_from_slice(&self.fresh[from..*at]);
            from = at + 1;
        }
        fresh.extend_from_slice(&self.fresh[from..]);
        let is_small = lost.len() <= FEW && news.len() <= FEW;
        let mut places = Vec::new();
        if is_small {
            for entry in &news {
                places.push(fresh.partition_point(|other| self.kind.order(&other.name, &entry.name).is_le()));
                fresh.insert(places[places.len() - 1], entry.clone());
            }
        } else {
            fresh.extend_from_slice(&news);
            // Two sorted runs, which this sort merges.
            fresh.sort_by(|left, right| self.kind.order(&left.name, &right.name));
        }
        let snapshot = if is_small && self.odd.is_of_segment(&self.segment) {
            let size = |entries: &mut dyn Iterator<Item = &Arc<Entry>>| {
                entries.map(|entry| entry.heap_size() + PER_ROW).sum::<usize>()
            };
            let heap_size = self.heap_size + size(&mut news.iter()) - size(&mut lost.iter().map(|at| &self.fresh[*at]));
            let mut odd = Odd::new(&self.segment, &news);
            for place in odd.undecided.iter_mut().chain(&mut odd.unread) {
                *place = u32::try_from(places[*place as usize]).unwrap_or(u32::MAX);
            }
            let newest_first = Mutex::new(self.newest_first_with(&lost, &places, &fresh));
            let (kind, segment) = (self.kind.clone(), self.segment.clone());
            let filter_keys = self.filter_keys_with(&lost, &places, &fresh);
            let unsound = OnceLock::new();
            Self { kind, segment, gone, fresh, newest_first, filter_keys, unsound, heap_size, odd }
        } else {
            Self::new(self.kind.clone(), self.segment.clone(), gone, Fresh::of(fresh))
        };
        if let Some(mut unsound) = unsound {
            let is_unsound = |entry: &&Arc<Entry>| RowRef::Fresh(entry).sound() == Some(false);
            unsound.extend(news.iter().filter(is_unsound).map(|entry| entry.name.clone()));
            // Nobody else has the snapshot yet.
            let _ = snapshot.unsound.set(unsound.into());
        }
        snapshot
    }

    /// The order of the fresh memories when some were taken out and others put in, if it is known and all dates are.
    fn newest_first_with(&self, lost: &[usize], places: &[usize], fresh: &[Arc<Entry>]) -> Option<NewestFirst> {
        let known = lock(&self.newest_first).clone().filter(|known| !known.depends_on_zone())?;
        let moved = |place: &u32| {
            let place = *place as usize;
            let before = lost.binary_search(&place).err()?;
            u32::try_from(places.iter().fold(place - before, |place, new| place + usize::from(*new <= place))).ok()
        };
        let mut order: Vec<u32> = known.order.iter().filter_map(moved).collect();
        for place in places {
            let entry = RowRef::Fresh(&fresh[*place]);
            if !entry.is_memory() {
                continue;
            }
            let time = |row: RowRef<'_>| if let Moment::At(time) = row.moment() { Some(time) } else { None };
            let own = time(entry).filter(|time| !time.is_nan())?;
            let is_before = |other: &u32| {
                let by_time = time(RowRef::Fresh(&fresh[*other as usize])).map(|time| time.total_cmp(&own));
                by_time.is_some_and(|by_time| by_time.then_with(|| place.cmp(&(*other as usize))).is_gt())
            };
            order.insert(order.partition_point(is_before), u32::try_from(*place).ok()?);
        }
        Some(NewestFirst::new(None, order.into()))
    }

    /// The same of what they are filtered by.
    fn filter_keys_with(&self, lost: &[usize], places: &[usize], fresh: &[Arc<Entry>]) -> OnceLock<Vec<FilterKey>> {
        let Some(known) = self.filter_keys.get() else { return OnceLock::new() };
        let mut keys = known.clone();
        for place in lost.iter().rev() {
            keys.remove(*place);
        }
        for place in places {
            keys.insert(*place, FilterKey::of(&fresh[*place]));
        }
        keys.into()
    }

    /// What the fresh files are filtered by, in their order; worked out once.
    pub(super) fn filter_keys(&self) -> &[FilterKey] {
        self.filter_keys.get_or_init(|| self.fresh.iter().map(|entry| FilterKey::of(entry)).collect())
    }

    /// Whether that takes no time.
    pub(super) fn has_filter_keys(&self) -> bool {
        self.filter_keys.get().is_some()
    }

    /// Where the fresh files of this name are.
    fn places_of(&self, name: &str) -> Range<usize> {
        let start = self.fresh.partition_point(|entry| self.kind.order(&entry.name, name).is_lt());
        let is_it = |entry: &&Arc<Entry>| self.kind.order(&entry.name, name).is_eq();
        start..start + self.fresh[start..].iter().take_while(is_it).count()
    }

    /// Of its segment only the files at these places, and others that were read, in their order.
    pub(super) fn with_only(&self, places: &[u32], fresh: Fresh) -> Self {
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
        Self::new(self.kind.clone(), Arc::new(segment), gone, Fresh::of(fresh))
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

    pub(super) fn fresh_of(&self, name: &str) -> Option<&Arc<Entry>> {
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

    /// One memory as JSON, of those that do not come from a folder.
    #[must_use]
    pub fn nameless_as_json(&self, place: usize) -> Option<String> {
        let entry = self.fresh.get(place)?;
        let Content::Memory(memory) = &entry.content else { return None };
        let mut json = String::new();
        memory.write_json(&entry.name, "", false, &mut json);
        Some(json)
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

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::{Entry, FolderKind, Snapshot};
    use crate::formats::integrity::Policy;
    use crate::formats::memory_capsule;
    use crate::index::entry::Content;
    use crate::index::{Query, RowRef, SessionFilter, View};
    use crate::vault::Directory;

    /// A file: a memory of a second or without a date that Rust can read, sound or not; or none.
    #[derive(Debug, Clone)]
    enum File {
        Memory(u8, bool),
        Undecided,
        Broken,
        Unreadable,
    }

    fn file() -> impl Strategy<Value = File> {
        prop_oneof![
            20 => (0..10_u8, any::<bool>()).prop_map(|(second, sound)| File::Memory(second, sound)),
            2 => Just(File::Broken),
            1 => Just(File::Undecided),
            1 => Just(File::Unreadable),
        ]
    }

    fn entry(name: u8, file: &File) -> Arc<Entry> {
        let others = [
            "",
            ",\"role\":\"user\"",
            ",\"role\":5,\"tags\":[\"a\",null]",
            ",\"role\":\"us\\u0065r\",\"tags\":[\"b\",\"a\"],\"session_id\":\"s\"",
            ",\"session_id\":\"t\",\"tags\":{}",
        ];
        let memory = |created: &str, hash: &str| {
            let other = others[usize::from(name) % others.len()];
            let text = format!("{{\"raw\":\"x\",\"created_ts\":\"{created}\",\"raw_sha256\":\"{hash}\"{other}}}");
            Content::Memory(memory_capsule::parse(text.as_bytes()).expect("a memory"))
        };
        let content = match file {
            File::Memory(second, sound) => memory(
                &format!("2026-01-01T00:00:{second:02}Z"),
                if *sound { "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881" } else { "0" },
            ),
            File::Undecided => memory("some day", ""),
            File::Broken => Content::Broken { message: "broken".into(), empty: false },
            File::Unreadable => Content::unreadable("closed".to_owned()),
        };
        let folder = Directory::open(&std::env::temp_dir()).expect("a folder");
        let signature = folder.signature().ok().filter(|_| !matches!(file, File::Unreadable));
        Arc::new(Entry::new(format!("{name:02}.json").into(), content, signature, true))
    }

    /// As Chatty has it, of a memory by itself.
    fn admits(row: RowRef<'_>, query: &Query) -> bool {
        let RowRef::Fresh(entry) = row else { return false };
        let Ok(memory) = entry.memory() else { return false };
        let is_of_session = match &query.session {
            None => true,
            Some(SessionFilter::Named(session)) => memory.is_of_session(session).unwrap_or(true),
            Some(SessionFilter::Nameless) => memory.is_of_session(b"").is_none(),
        };
        row.sound() != Some(false)
            && is_of_session
            && query.role.as_ref().is_none_or(|role| memory.has_role(role))
            && memory.has_tags(&query.tags)
    }

    fn sorted(names: &[Box<str>]) -> Vec<&str> {
        let mut names: Vec<&str> = names.iter().map(|name| &**name).collect();
        names.sort_unstable();
        names
    }

    proptest! {
        /// A snapshot that comes of another is the one that comes of its files.
        #[test]
        fn what_is_carried_over_is_what_is_worked_out(
            steps in prop::collection::vec(prop::collection::vec((0..30_u8, prop::option::of(file())), 0..12), 1..12),
            asked: Vec<bool>,
        ) {
            let mut files: BTreeMap<u8, Arc<Entry>> = BTreeMap::new();
            let mut snapshot = Arc::new(Snapshot::empty(FolderKind::Capsules));
            let all = Query { policy: Some(Policy::Enforce), ..Query::default() };
            let role = Query { role: Some(b"user".to_vec()), ..all.clone() };
            let session = Query { session: Some(SessionFilter::Named(b"s".to_vec())), ..all.clone() };
            let nameless = Query { session: Some(SessionFilter::Nameless), ..all.clone() };
            let tags = Query { tags: vec![b"a".to_vec()], ..all.clone() };
            let queries = [all, role, session, nameless, tags];
            let ask = |snapshot: &Arc<Snapshot>| {
                let selections = queries.iter().map(|query| View::new(vec![snapshot.clone()]).select(query).expect("rows"));
                selections.map(|rows| rows.to_rows("", usize::MAX, 0, 1).expect("rows").0).collect::<Vec<_>>()
            };
            for (at, step) in steps.into_iter().enumerate() {
                let mut changes = HashMap::new();
                for (name, file) in step {
                    let entry = file.map(|file| entry(name, &file));
                    changes.insert(format!("{name:02}.json").into(), entry.clone());
                    match entry {
                        Some(entry) => drop(files.insert(name, entry)),
                        None => drop(files.remove(&name)),
                    }
                }
                if asked.get(at) == Some(&true) {
                    prop_assert!(snapshot.unsound().len() <= snapshot.len());
                    ask(&snapshot);
                }
                snapshot = Arc::new(snapshot.with(changes));
                let anew = Arc::new(Snapshot::of_entries(FolderKind::Capsules, files.values().cloned().collect()));
                prop_assert_eq!(snapshot.heap_size(), anew.heap_size());
                prop_assert_eq!(&snapshot.odd, &anew.odd);
                prop_assert_eq!(ask(&snapshot), ask(&anew));
                for query in &queries {
                    let found = View::new(vec![snapshot.clone()]).select(query).expect("rows").len();
                    prop_assert_eq!(found, anew.rows().filter(|row| admits(*row, query)).count());
                }
                if snapshot.unsound.get().is_some() {
                    prop_assert_eq!(sorted(snapshot.unsound()), sorted(anew.unsound()));
                }
            }
        }
    }
}
