//! What one question sees: the snapshots it is put to, its filters, its order.

use std::borrow::Cow;
use std::cell::Cell;
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

use super::batches::give_way;
use super::entry::{Content, DateAnswer, FolderKind};
use super::filter_key::WantedKey;
use super::order::{NewestFirst, Posting};
use super::segment::{Damaged, Segment, TextReader};
use super::snapshot::{Row, RowRef, Snapshot};
use crate::Error;
use crate::formats::integrity::Policy;
use crate::formats::json;
use crate::formats::memory::{Memory, Moment};
use crate::formats::rows::Rows;
use crate::javascript::array_sort;
use crate::lock::lock;
use crate::vault::{Directory, real_folder};

/// What is asked for. Texts are WTF-8, times milliseconds since 1970.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// At most so many memories; `None` for all.
    pub limit: Option<usize>,
    /// Of capsules that name their session, only those of this one.
    pub session: Option<SessionFilter>,
    /// Only memories of exactly this role.
    pub role: Option<Vec<u8>>,
    /// Only memories of this time or later.
    pub since: Option<f64>,
    /// Only memories of this time or earlier.
    pub until: Option<f64>,
    /// Only memories that come after this place in the order of all.
    pub before: Option<PageCursor>,
    /// Only memories that have all of these tags.
    pub tags: Vec<Vec<u8>>,
    /// What is done with memories whose stated hash is wrong; `None` if nobody judges.
    pub policy: Option<Policy>,
    /// The time of the question: that of a memory whose file names none.
    pub now: f64,
    /// What JavaScript's answers on undecided dates depend on: the process's time zone, in any form.
    pub zone: Arc<str>,
}

/// Which session is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SessionFilter {
    /// The one of this name.
    Named(Vec<u8>),
    /// One that no session can equal: what was asked for is not a string.
    Nameless,
}

/// The place of a memory among all, newest first. It holds its place also when the memory is gone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PageCursor {
    /// Milliseconds since 1970; `None` if the memory's date is invalid.
    time: Option<f64>,
    /// The session whose transcripts it was among; empty for capsules.
    session: String,
    name: String,
    /// Among those of one name: memories that come from no folder have none.
    place: u32,
    /// What such a memory is called, which it is also in the next version of its construct.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// What counts as the time of memories without one, so that these keep their places.
    #[serde(default)]
    now: f64,
    /// How many memories came up to this one.
    #[serde(default)]
    count: usize,
}

impl PageCursor {
    /// A cursor from its text.
    ///
    /// # Errors
    /// [`Error::InvalidCursor`]
    pub fn parse(text: &str) -> Result<Self, Error> {
        serde_json::from_str(text).map_err(|_| Error::InvalidCursor { cursor: text.to_owned() })
    }

    /// Milliseconds since 1970: the time of memories without one on all pages.
    #[must_use]
    pub fn now(&self) -> f64 {
        self.now
    }
}

impl std::fmt::Display for PageCursor {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&serde_json::to_string(self).map_err(|_| std::fmt::Error)?)
    }
}

/// The memories of some snapshots, in the order in which Chatty would have read them.
#[derive(Debug, Clone, Default)]
pub struct View {
    snapshots: Vec<Arc<Snapshot>>,
    /// Of each snapshot; `None` if its memories are no files.
    folders: Vec<Option<PathBuf>>,
}

impl View {
    /// Of these snapshots, one after the other, of no folders.
    #[must_use]
    pub fn new(snapshots: Vec<Arc<Snapshot>>) -> Self {
        Self { folders: vec![None; snapshots.len()], snapshots }
    }

    /// Of a folder's files.
    #[must_use]
    pub fn of_folder(folder: &Path, snapshot: Arc<Snapshot>) -> Self {
        let mut view = Self::default();
        view.push(Some(folder), snapshot);
        view
    }

    /// Adds memories behind the others: a folder's files, or others.
    pub fn push(&mut self, folder: Option<&Path>, snapshot: Arc<Snapshot>) {
        self.snapshots.push(snapshot);
        self.folders.push(folder.map(Path::to_owned));
    }

    /// The files of an answer, by what they are and in which folder, that are not as they were read.
    pub(super) fn changed_since(&self, answer: &Selection) -> Vec<(&FolderKind, &Path, String)> {
        let mut changed = Vec::new();
        for (at, snapshot) in self.snapshots.iter().enumerate() {
            let Some(folder) = &self.folders[at] else { continue };
            let mut rows = answer.rows.iter().filter(|(own, _)| *own == at).map(|(_, row)| row.as_ref()).peekable();
            if rows.peek().is_none() {
                continue;
            }
            let Some((_, directory)) = real_folder(folder) else { continue };
            let names = rows.filter(|row| is_changed(*row, &directory)).map(|row| row.name().to_owned());
            changed.extend(names.map(|name| (snapshot.kind(), folder.as_path(), name)));
        }
        changed
    }

    /// The names of the files whose stated hash is wrong.
    pub fn unsound(&self) -> impl Iterator<Item = &str> {
        self.snapshots.iter().flat_map(|snapshot| snapshot.unsound()).map(|name| &**name)
    }

    /// After a reading that met damage: from the second on everything that was kept on disk is to be read again. At the
    /// first it may only have been overwritten, as somebody deleted it.
    pub fn distrust_after(&self, tries: usize) {
        if tries > 1 {
            for snapshot in &self.snapshots {
                snapshot.segment().damage();
            }
        }
    }

    /// The memories whose dates only JavaScript can tell and has not told for this time zone.
    ///
    /// # Errors
    /// If what was kept on disk is damaged: to be read again.
    pub fn undecided(&self, zone: &str) -> Result<Vec<UndecidedDate>, Damaged> {
        let mut texts = TextReader::default();
        let mut undecided = Vec::new();
        for row in self.snapshots.iter().flat_map(|snapshot| snapshot.undecided()) {
            if row.answer().is_some_and(|told| *told.zone == *zone) {
                continue;
            }
            let timestamp = match row {
                RowRef::Fresh(entry) => entry.memory().ok().map(|memory| memory.timestamp().into()),
                RowRef::Stored(segment, at) => texts.memory(segment, at)?.map(|memory| memory.timestamp().into()),
            };
            undecided.extend(timestamp.map(|timestamp| UndecidedDate { row: row.to_row(), timestamp }));
        }
        Ok(undecided)
    }

    /// The same as [`select`](Self::select), if it takes few steps.
    #[must_use]
    pub fn select_quickly(&self, query: &Query) -> Option<Selection> {
        /// So many memories are looked at: about a tenth of a millisecond's work.
        const STEPS: usize = 2048;
        if query.before.as_ref().is_some_and(|cursor| cursor.id.is_some() || cursor.time.is_none()) {
            return None;
        }
        query.limit.filter(|limit| *limit <= QUICK)?;
        let is_filtered = WantedKey::of(query).is_some();
        let is_ordered = |order: &Mutex<Option<NewestFirst>>, needs_postings: bool| {
            let is_good =
                |order: &NewestFirst| order.holds_in(&query.zone) && (!needs_postings || order.has_postings());
            order.try_lock().is_ok_and(|order| order.as_ref().is_some_and(is_good))
        };
        let is_known = |snapshot: &Arc<Snapshot>| {
            let segment = snapshot.segment();
            let is_filterable = !is_filtered || snapshot.has_filter_keys();
            (segment.len() == 0 || is_ordered(&segment.newest_first, is_filtered))
                && (snapshot.fresh().len() < QUICK || is_filterable && is_ordered(&snapshot.newest_first, false))
        };
        let is_judged = |snapshot: &Arc<Snapshot>| query.policy.is_none() || snapshot.is_known_to_be_sound();
        if !self.snapshots.iter().all(|snapshot| is_known(snapshot) && is_judged(snapshot)) {
            return None;
        }
        let steps = Steps(Cell::new(STEPS));
        let rows = self.select_ordered(&self.parts(query)?, query, &steps).ok()?;
        (steps.0.get() > 0).then(|| self.selection(rows, query))
    }

    /// Filters, sorts newest first, and cuts.
    ///
    /// # Errors
    /// [`Error::Timestamp`] if JavaScript threw on a date that the question has to look at.
    pub fn select(&self, query: &Query) -> Result<Selection, Error> {
        let located = query.before.as_ref().and_then(|cursor| self.located(cursor, query));
        let query =
            &located.map_or(Cow::Borrowed(query), |before| Cow::Owned(Query { before: Some(before), ..query.clone() }));
        // An invalid date has no place among valid ones.
        let is_ordered = query.before.as_ref().is_none_or(|cursor| cursor.time.is_some());
        let rows = match self.parts(query).filter(|_| is_ordered) {
            Some(parts) => self.select_ordered(&parts, query, &Steps(Cell::new(usize::MAX))),
            None => self.select_unordered(query),
        };
        let rows = rows.map_err(|error| match error {
            Error::Timestamp { message, path } => {
                let mut places = self.folders.iter().flatten().map(|folder| folder.join(&path));
                Error::Timestamp { message, path: places.find(|place| place.exists()).unwrap_or(path) }
            }
            error => error,
        })?;
        Ok(self.selection(rows, query))
    }

    /// What a question concerns; `None` if the dates have no fixed order.
    fn parts(&self, query: &Query) -> Option<Vec<Part<'_>>> {
        let mut parts = Vec::new();
        for (at, snapshot) in self.snapshots.iter().enumerate() {
            parts.extend(Part::of(at, snapshot, query)?);
        }
        Some(parts)
    }

    /// Rows of which one more was looked for, to know whether there is one.
    fn selection(&self, mut rows: Vec<(usize, RowRef<'_>)>, query: &Query) -> Selection {
        let is_more = query.limit.is_some_and(|limit| rows.len() > limit);
        rows.truncate(query.limit.unwrap_or(usize::MAX));
        let count = rows.len().saturating_add(query.before.as_ref().map_or(0, |cursor| cursor.count));
        let last = rows.last().filter(|_| is_more);
        let next = last.map(|(snapshot, row)| PageCursor { count, ..self.cursor(*snapshot, *row, query) });
        let rows = rows.into_iter().map(|(snapshot, row)| (snapshot, row.to_row())).collect();
        Selection { rows, next, marks: query.policy == Some(Policy::Report) }
    }

    fn cursor(&self, snapshot: usize, row: RowRef<'_>, query: &Query) -> PageCursor {
        let time = time(row, query).ok().filter(|time| !time.is_nan());
        let place = self.snapshots[snapshot].place_among_nameless(row);
        let (session, name) = (self.session(snapshot).to_owned(), row.name().to_owned());
        PageCursor { time, session, name, place, id: nameless_id(row), now: query.now, count: 0 }
    }

    /// Where a memory that comes from no folder is now, if another version of its construct has come since. Of one that is gone,
    /// the one before it in the capsule: rather twice than not at all.
    fn located(&self, cursor: &PageCursor, query: &Query) -> Option<PageCursor> {
        let id = cursor.id.as_ref()?;
        let rows = |snapshot: usize| self.snapshots[snapshot].fresh().iter().map(RowRef::Fresh);
        let is_it = |row: RowRef<'_>| nameless_id(row).as_ref() == Some(id);
        let place = cursor.place as usize;
        let is_construct = |at: &usize| rows(*at).next().is_some_and(|row| row.name().is_empty());
        let snapshot = (0..self.snapshots.len()).find(|at| self.session(*at) == cursor.session && is_construct(at))?;
        let same = rows(snapshot).nth(place).filter(|row| is_it(*row));
        let found = same.or_else(|| rows(snapshot).find(|row| is_it(*row)));
        let gone = || rows(snapshot).nth(place.saturating_sub(1)).or_else(|| rows(snapshot).next_back());
        let row = found.or_else(gone)?;
        let now = self.cursor(snapshot, row, query);
        // Before all of its time, if it was the first.
        let is_first = found.is_none() && place == 0;
        let time = if is_first { now.time.map(f64::next_up) } else { now.time };
        Some(PageCursor { time, count: cursor.count, ..now })
    }

    fn session(&self, snapshot: usize) -> &str {
        match self.snapshots[snapshot].kind() {
            FolderKind::Capsules => "",
            FolderKind::Transcripts { session } => session,
        }
    }

    /// Whether a memory of this time comes before a place in the order of all, or has that place.
    fn is_before(&self, row: (usize, RowRef<'_>), time: f64, cursor: &PageCursor) -> bool {
        let Some(own) = cursor.time else { return true };
        time > own || time >= own && self.is_before_in_place(row, cursor)
    }

    /// The same of memories of one time: in the order of the snapshots, and of the files in them. Where the session is gone nobody
    /// can know: rather twice than not at all.
    fn is_before_in_place(&self, (snapshot, row): (usize, RowRef<'_>), cursor: &PageCursor) -> bool {
        let mut of_session = (0..self.snapshots.len()).filter(|at| self.session(*at) == cursor.session);
        // A construct's memories stand behind capsules, and have no file's name.
        let of_session = if cursor.name.is_empty() { of_session.next_back() } else { of_session.next() };
        let order = self.snapshots[snapshot].kind().order(row.name(), &cursor.name);
        let place = || self.snapshots[snapshot].place_among_nameless(row).cmp(&cursor.place);
        of_session.is_some_and(|of_session| snapshot.cmp(&of_session).then(order).then_with(place).is_le())
    }

    /// All dates are valid and their order is known: goes through them until the limit is reached. Of memories of one
    /// time, those of the first snapshot come first, and of those the file that comes first.
    fn select_ordered<'a>(
        &self,
        parts: &[Part<'a>],
        query: &Query,
        steps: &Steps,
    ) -> Result<Vec<(usize, RowRef<'a>)>, Error> {
        let next = |part: usize, at: usize| -> Result<Option<Next<'a>>, Error> {
            let at = parts[part].skip(at, steps);
            let Some(row) = parts[part].row(at).filter(|_| steps.take(1)) else { return Ok(None) };
            Ok(Some(Next {
                time: time(row, query)?,
                snapshot: parts[part].at,
                kind: parts[part].kind(),
                row,
                part,
                at,
            }))
        };
        let mut heads = BinaryHeap::new();
        for (at, part) in parts.iter().enumerate() {
            let is_newer = |row: RowRef<'_>| {
                let is_after = |time| {
                    query.until.is_some_and(|until| time > until)
                        || query.before.as_ref().is_some_and(|cursor| self.is_before((part.at, row), time, cursor))
                };
                time(row, query).is_ok_and(is_after)
            };
            let is_bounded = query.until.is_some() || query.before.is_some();
            let first = if is_bounded { part.partition_point(is_newer) } else { 0 };
            heads.extend(next(at, first)?);
        }
        let mut rows = Vec::new();
        while let Some(Next { time, snapshot, row, part, at, .. }) = heads.pop() {
            // Everything further down is older still.
            let is_over = query.limit.is_some_and(|limit| rows.len() > limit);
            if is_over || query.since.is_some_and(|since| !since.le(&time)) {
                break;
            }
            if !parts[part].is_gone(row)
                && parts[part].passes(row, query)
                && is_admitted(row, query)
                && query.until.is_none_or(|until| time <= until)
                && query.before.as_ref().is_none_or(|cursor| !self.is_before((snapshot, row), time, cursor))
            {
                rows.push((snapshot, row));
            }
            heads.extend(next(part, at + 1)?);
        }
        Ok(rows)
    }

    /// Step by step what Chatty does, for dates that are invalid, missing, or in several folders.
    fn select_unordered(&self, query: &Query) -> Result<Vec<(usize, RowRef<'_>)>, Error> {
        let mut rows: Vec<(usize, RowRef<'_>)> = Vec::new();
        for (at, snapshot) in self.snapshots.iter().enumerate() {
            let filter = StoredFilter::new(snapshot.segment(), query);
            let passes =
                |row: &RowRef<'_>| row.is_memory() && is_named(*row, &filter, query) && is_admitted(*row, query);
            rows.extend(snapshot.rows().filter(passes).map(|row| (at, row)));
        }
        for (bound, keeps) in [(query.since, f64::ge as fn(&f64, &f64) -> bool), (query.until, f64::le)] {
            let Some(bound) = bound else { continue };
            let mut kept = Vec::with_capacity(rows.len());
            for row in rows {
                if keeps(&time(row.1, query)?, &bound) {
                    kept.push(row);
                }
            }
            rows = kept;
        }
        let mut order: Vec<usize> = (0..rows.len()).collect();
        let mut times = Vec::new();
        if rows.len() > 1 || query.before.is_some() {
            times = rows.iter().map(|(_, row)| time(*row, query)).collect::<Result<Vec<_>, _>>()?;
            if times.iter().any(|time| time.is_nan()) {
                array_sort::sort(&mut order, |left, right| {
                    let difference = times[right] - times[left];
                    if difference.is_nan() { 0.0 } else { difference }
                });
            } else {
                order.sort_by(|left, right| times[*right].total_cmp(&times[*left]));
            }
        }
        if let Some(cursor) = &query.before {
            let is_it = |at: &usize| {
                let (snapshot, row) = rows[*at];
                let place = || self.snapshots[snapshot].place_among_nameless(row);
                row.name() == cursor.name && self.session(snapshot) == cursor.session && place() == cursor.place
            };
            let are_valid = !times.iter().any(|time| time.is_nan());
            if are_valid && cursor.time.is_some() {
                order.retain(|at| !self.is_before(rows[*at], times[*at], cursor));
            } else if cursor.time.is_none() && times.iter().all(|time| time.is_nan()) {
                // In the order in which they are read.
                order.retain(|at| !self.is_before_in_place(rows[*at], cursor));
            } else {
                // There is no order by time: behind the memory itself, or where it is gone behind as many as came up to it.
                let before = order.iter().position(is_it).map_or(cursor.count.saturating_sub(1), |at| at + 1);
                order.drain(..before.min(order.len()));
            }
        }
        order.truncate(query.limit.map_or(usize::MAX, |limit| limit.saturating_add(1)));
        Ok(order.into_iter().map(|at| rows[at]).collect())
    }
}

/// A limit for a question with few memories to return, and for what is read before an order has been worked out.
const QUICK: usize = 128;

/// How many memories may still be looked at.
struct Steps(Cell<usize>);

impl Steps {
    /// Takes so many, if there are more left.
    fn take(&self, steps: usize) -> bool {
        self.0.set(self.0.get().saturating_sub(steps));
        self.0.get() > 0
    }
}

/// Memories of a snapshot, newest first: of its segment (perhaps only those with a label), or those that are fresh.
struct Part<'a> {
    /// The snapshot's place.
    at: usize,
    snapshot: &'a Arc<Snapshot>,
    order: NewestFirst,
    /// Of its segment.
    stored: Option<Arc<StoredFilter>>,
    posting: Option<Posting>,
    /// What is wanted of those that are fresh, if not all are.
    wanted: Option<WantedKey>,
}

impl<'a> Part<'a> {
    /// What a question concerns of a snapshot; `None` if its dates have no fixed order.
    fn of(at: usize, snapshot: &'a Arc<Snapshot>, query: &Query) -> Option<Vec<Self>> {
        let mut parts = Vec::new();
        let segment = snapshot.segment();
        if segment.len() > 0 {
            let order = newest_first_of_segment(snapshot, query)?;
            let filter = Arc::new(StoredFilter::new(segment, query));
            let part = |posting| Self {
                at,
                snapshot,
                order: order.clone(),
                stored: Some(filter.clone()),
                posting,
                wanted: None,
            };
            match filter.postings(segment, &order) {
                None => parts.push(part(None)),
                Some(postings) => parts.extend(postings.into_iter().map(|posting| part(Some(posting)))),
            }
        }
        if !snapshot.fresh().is_empty() {
            let order = newest_first_of_fresh(snapshot, query)?;
            parts.push(Self { at, snapshot, order, stored: None, posting: None, wanted: WantedKey::of(query) });
        }
        Some(parts)
    }

    fn kind(&self) -> &'a FolderKind {
        self.snapshot.kind()
    }

    fn ranks(&self) -> Option<&[u32]> {
        self.posting.map(|posting| self.order.postings(self.snapshot.segment()).get(posting))
    }

    fn in_place(&self, place: u32) -> RowRef<'a> {
        match self.stored {
            Some(_) => RowRef::Stored(self.snapshot.segment(), place),
            None => RowRef::Fresh(&self.snapshot.fresh()[place as usize]),
        }
    }

    fn row(&self, at: usize) -> Option<RowRef<'a>> {
        let rank = match self.ranks() {
            Some(ranks) => *ranks.get(at)? as usize,
            None => at,
        };
        self.order.order.get(rank).map(|place| self.in_place(*place))
    }

    /// The first from `at` on that may pass.
    fn skip(&self, at: usize, steps: &Steps) -> usize {
        /// To pass one over is so many times less work than to look at one.
        const CHEAPER: usize = 16;
        let Some(wanted) = &self.wanted else { return at };
        let keys = self.snapshot.filter_keys();
        let rest = self.order.order.get(at..).unwrap_or_default();
        let skipped = rest.iter().take_while(|place| !wanted.may_be(&keys[**place as usize])).count();
        steps.take(skipped / CHEAPER);
        at + skipped
    }

    /// How many come first that are such; the others are not.
    fn partition_point(&self, is_such: impl Fn(RowRef<'_>) -> bool) -> usize {
        let order = &self.order.order;
        match self.ranks() {
            Some(ranks) => ranks.partition_point(|rank| is_such(self.in_place(order[*rank as usize]))),
            None => order.partition_point(|place| is_such(self.in_place(*place))),
        }
    }

    fn passes(&self, row: RowRef<'_>, query: &Query) -> bool {
        match (row, &self.stored) {
            (RowRef::Stored(segment, at), Some(filter)) => filter.passes(segment, at),
            (RowRef::Fresh(entry), _) => entry.memory().is_ok_and(|memory| is_memory_named(memory, query)),
            _ => false,
        }
    }

    fn is_gone(&self, row: RowRef<'_>) -> bool {
        matches!(row, RowRef::Stored(_, at) if self.snapshot.is_gone(at))
    }
}

/// A question's filter in the words of a segment.
struct StoredFilter {
    role: Option<u32>,
    /// 0 for one that no session can equal.
    session: Option<u32>,
    tags: Vec<u32>,
}

impl StoredFilter {
    /// What no row has.
    const NONE: u32 = u32::MAX;

    fn new(segment: &Segment, query: &Query) -> Self {
        let label = |text: &Vec<u8>| segment.label(text).unwrap_or(Self::NONE);
        Self {
            role: query.role.as_ref().map(label),
            session: query.session.as_ref().map(|session| match session {
                SessionFilter::Named(session) => label(session),
                SessionFilter::Nameless => 0,
            }),
            tags: query.tags.iter().map(label).collect(),
        }
    }

    /// The shortest lists that hold all that passes; `None` if everything does.
    fn postings(&self, segment: &Segment, order: &NewestFirst) -> Option<Vec<Posting>> {
        let mut candidates: Vec<Vec<Posting>> = Vec::new();
        candidates.extend(self.role.map(|role| vec![Posting::Role(role)]));
        candidates.extend(self.session.map(|session| match session {
            0 => vec![Posting::Session(0)],
            session => vec![Posting::Session(session), Posting::Session(0)],
        }));
        candidates.extend(self.tags.iter().map(|tag| vec![Posting::Tag(*tag)]));
        if candidates.is_empty() {
            return None;
        }
        let postings = order.postings(segment);
        candidates.into_iter().min_by_key(|lists| lists.iter().map(|list| postings.get(*list).len()).sum::<usize>())
    }

    fn passes(&self, segment: &Segment, at: u32) -> bool {
        let (role, session) = segment.labels(at);
        self.role.is_none_or(|own| own == role)
            // A memory that names no session passes.
            && self.session.is_none_or(|own| session == 0 || session == own)
            && (self.tags.is_empty() || {
                let tags = segment.tags(at);
                self.tags.iter().all(|tag| tags.contains(tag))
            })
    }
}

/// A memory whose date JavaScript is asked for.
#[derive(Debug)]
pub struct UndecidedDate {
    row: Row,
    timestamp: Box<str>,
}

impl UndecidedDate {
    /// The timestamp's JSON text.
    #[must_use]
    pub fn timestamp(&self) -> &str {
        &self.timestamp
    }

    /// Takes the answer: `new Date(timestamp).getTime()`, or the message of what that threw.
    pub fn answer(&self, zone: Arc<str>, time: Result<f64, Arc<str>>) {
        let answer = DateAnswer { zone, time };
        match &self.row {
            Row::Fresh(entry) => {
                if let Some(own) = &entry.answer {
                    *lock(own) = Some(answer);
                }
            }
            Row::Stored(segment, at) => segment.set_answer(*at, answer),
        }
    }
}

/// The memories that answer a question, in order.
#[derive(Debug, Default)]
pub struct Selection {
    /// With the place of the snapshot that each is of.
    rows: Vec<(usize, Row)>,
    next: Option<PageCursor>,
    marks: bool,
}

impl Selection {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Bytes of their texts: about what [rows](Self::to_rows) of them take.
    #[must_use]
    pub fn text_size(&self) -> usize {
        self.rows.iter().map(|(_, row)| row.as_ref().text_size()).sum()
    }

    /// Whether all of them, which come from one folder, are as they were read.
    #[must_use]
    pub fn is_as_in(&self, directory: &Directory) -> bool {
        !self.rows.iter().any(|(_, row)| is_changed(row.as_ref(), directory))
    }

    /// The cursor behind the last of them; `None` if no more follow.
    #[must_use]
    pub fn next(&self) -> Option<&PageCursor> {
        self.next.as_ref()
    }

    /// The memories from the one at `from` on, in parts of at most `size` bytes if they hold more than one; at most `most`
    /// parts. And how many memories there are before what is left.
    ///
    /// # Errors
    /// If what was kept on disk is damaged: to be read again.
    pub fn to_rows(&self, now: &str, size: usize, from: usize, most: usize) -> Result<(Vec<Rows>, usize), Damaged> {
        let mut made = Vec::new();
        let mut rows = Rows::default();
        let mut stored = TextReader::default();
        for (at, (_, row)) in self.rows.iter().enumerate().skip(from) {
            give_way();
            let row = row.as_ref();
            if !rows.is_empty() && rows.size().saturating_add(row.text_size()) > size {
                made.push(std::mem::take(&mut rows));
                if made.len() == most {
                    return Ok((made, at));
                }
            }
            let marked = self.marks && row.sound() == Some(false);
            match row {
                RowRef::Fresh(entry) => {
                    if let Content::Memory(memory) = &entry.content {
                        rows.push(memory, &entry.name, now, marked);
                    }
                }
                RowRef::Stored(segment, at) => {
                    let memory = stored.memory(segment, at)?.ok_or(Damaged)?;
                    rows.push(&memory, segment.name(at), now, marked);
                }
            }
        }
        made.push(rows);
        Ok((made, self.rows.len()))
    }
}

/// What a memory is called that comes from no folder.
fn nameless_id(row: RowRef<'_>) -> Option<String> {
    let RowRef::Fresh(entry) = row else { return None };
    let Content::Memory(memory) = &entry.content else { return None };
    let mut text = String::new();
    entry.name.is_empty().then(|| memory.write_json("", "", false, &mut text))?;
    let [id] = json::members(&text, ["id"]);
    String::from_utf8(id?.string()?.into_owned()).ok()
}

/// Whether a folder's file is not as it was read.
fn is_changed(row: RowRef<'_>, directory: &Directory) -> bool {
    give_way();
    let Some(signature) = row.signature().filter(|_| !row.name().is_empty()) else { return false };
    directory.own_signature(row.name()).ok().flatten() != Some(signature)
}

/// The newest memory of a part that was not looked at yet.
struct Next<'a> {
    time: f64,
    snapshot: usize,
    kind: &'a FolderKind,
    row: RowRef<'a>,
    part: usize,
    at: usize,
}

impl Ord for Next<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_snapshot = other.snapshot.cmp(&self.snapshot);
        self.time
            .total_cmp(&other.time)
            .then(by_snapshot)
            .then_with(|| self.kind.order(other.row.name(), self.row.name()))
    }
}

impl PartialOrd for Next<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Next<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Next<'_> {}

/// Whether it is of the session, the role and the tags that are asked for.
fn is_named(row: RowRef<'_>, filter: &StoredFilter, query: &Query) -> bool {
    match row {
        RowRef::Fresh(entry) => entry.memory().is_ok_and(|memory| is_memory_named(memory, query)),
        RowRef::Stored(segment, at) => filter.passes(segment, at),
    }
}

fn is_memory_named(memory: &Memory, query: &Query) -> bool {
    let session = match &query.session {
        None => true,
        // A memory that names no session passes.
        Some(SessionFilter::Named(session)) => memory.is_of_session(session).unwrap_or(true),
        Some(SessionFilter::Nameless) => memory.is_of_session(b"").is_none(),
    };
    session
        && query.role.as_ref().is_none_or(|role| memory.has_role(role))
        && (query.tags.is_empty() || memory.has_tags(&query.tags))
}

/// Whether its hash may be as it is.
fn is_admitted(row: RowRef<'_>, query: &Query) -> bool {
    query.policy != Some(Policy::Enforce) || row.sound() != Some(false)
}

/// `new Date(memory.timestamp)`; NaN also for one that nobody has told yet.
fn time(row: RowRef<'_>, query: &Query) -> Result<f64, Error> {
    match row.moment() {
        Moment::At(time) => Ok(time),
        Moment::Now => Ok(query.now),
        Moment::Undecided => match row.answer() {
            Some(DateAnswer { time: Ok(time), .. }) => Ok(time),
            Some(DateAnswer { time: Err(message), .. }) => {
                let path = PathBuf::from(row.name());
                Err(Error::Timestamp { message: message.to_string(), path })
            }
            None => Ok(f64::NAN),
        },
    }
}

/// The order of the fresh memories of a snapshot by date, worked out once; `None` if their dates have no fixed order.
fn newest_first_of_fresh(snapshot: &Snapshot, query: &Query) -> Option<NewestFirst> {
    let mut known = lock(&snapshot.newest_first);
    if let Some(known) = known.as_ref().filter(|known| known.holds_in(&query.zone)) {
        return Some(known.clone());
    }
    let rows = (0..).zip(snapshot.fresh()).map(|(place, entry)| (place, RowRef::Fresh(entry)));
    *known = Some(newest_first(rows, query)?);
    known.clone()
}

/// The same of those in its segment.
fn newest_first_of_segment(snapshot: &Snapshot, query: &Query) -> Option<NewestFirst> {
    let segment = snapshot.segment();
    let mut known = lock(&segment.newest_first);
    if let Some(known) = known.as_ref().filter(|known| known.holds_in(&query.zone)) {
        return Some(known.clone());
    }
    // One that is gone can still be the reason why there is no order; rarely, and the slower way is right too.
    *known = Some(newest_first(segment.places().map(|at| (at, RowRef::Stored(segment, at))), query)?);
    known.clone()
}

fn newest_first<'a>(rows: impl Iterator<Item = (u32, RowRef<'a>)>, query: &Query) -> Option<NewestFirst> {
    let mut times = Vec::with_capacity(rows.size_hint().0);
    let mut depends_on_zone = false;
    for (place, row) in rows.filter(|(_, row)| row.is_memory()) {
        let moment = row.moment();
        if moment == Moment::Now {
            return None;
        }
        let time = time(row, query).ok().filter(|time| !time.is_nan())?;
        depends_on_zone |= moment == Moment::Undecided;
        times.push((time, place));
    }
    times.sort_by(|(left, _), (right, _)| right.total_cmp(left));
    let order = times.into_iter().map(|(_, place)| place).collect();
    Some(NewestFirst::new(depends_on_zone.then(|| query.zone.clone()), order))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::{Content, FolderKind, Memory, PageCursor, Query, SessionFilter, View};
    use crate::formats::integrity::Policy;
    use crate::formats::memory_capsule;
    use crate::index::Entry;
    use crate::index::segment::Writing;
    use crate::index::{RowRef, Snapshot};
    use crate::vault::Directory;

    fn snapshot(memories: &[(u8, u8, u8, u8)]) -> Arc<Snapshot> {
        let memory = |(time, role, session, tags): &(u8, u8, u8, u8)| {
            let session = if *session == 0 { String::new() } else { format!(",\"session_id\":\"{session}\"") };
            let tags: Vec<String> = (0..*tags).map(|tag| format!("\"{tag}\"")).collect();
            let text = format!(
                "{{\"raw\":\"x\",\"created_ts\":\"2026-01-01T00:00:{time:02}Z\",\"role\":\"{role}\",\"tags\":[{}]{session}}}",
                tags.join(",")
            );
            memory_capsule::parse(text.as_bytes()).expect("a memory")
        };
        Arc::new(Snapshot::of_memories(memories.iter().map(memory).collect()))
    }

    /// The same with names, in a segment but for those that were read later: some of the first again, some for the first
    /// time.
    fn named(memories: &[(u8, u8, u8, u8)], split: usize) -> Arc<Snapshot> {
        let nameless = snapshot(memories);
        let folder = Directory::open(&std::env::temp_dir()).expect("a folder");
        let signature = Some(folder.signature().expect("a signature"));
        let entry = |(at, entry): (usize, &Arc<Entry>)| {
            let mut record = Vec::new();
            entry.memory().expect("a memory").write_record(&mut record);
            let memory = Content::Memory(Memory::from_record(&record).expect("a memory"));
            Arc::new(Entry::new(format!("{at:02}.json").into(), memory, signature, true))
        };
        let entries: Vec<Arc<Entry>> = nameless.fresh().iter().enumerate().map(entry).collect();
        let in_segment = &entries[..split.min(entries.len())];
        let rows: Vec<RowRef<'_>> = in_segment.iter().map(RowRef::Fresh).collect();
        let segment = Writing::write(Vec::new(), &rows, "", None).expect("a segment");
        let later = entries.iter().skip(split / 2).step_by(2).chain(&entries[in_segment.len()..]);
        let later = later.map(|entry| (entry.name.clone(), Some(entry.clone()))).collect();
        Arc::new(Snapshot::of_segment(FolderKind::Capsules, segment).with(later))
    }

    fn is_same(one: RowRef<'_>, other: RowRef<'_>) -> bool {
        match (one, other) {
            (RowRef::Fresh(one), RowRef::Fresh(other)) => Arc::ptr_eq(one, other),
            (RowRef::Stored(one, at), RowRef::Stored(other, place)) => Arc::ptr_eq(one, other) && at == place,
            _ => false,
        }
    }

    fn query() -> impl Strategy<Value = Query> {
        let few = || prop::option::of(0..3_u8);
        let time = || prop::option::of(0..12_u32);
        (prop::option::of(0..6_usize), few(), few(), 0..3_u8, time(), time()).prop_map(
            |(limit, role, session, tags, since, until)| {
                let moment = |second: u32| 1_767_225_600_000.0 + f64::from(second) * 1000.0;
                Query {
                    limit,
                    role: role.map(|role| role.to_string().into_bytes()),
                    session: session.map(|session| SessionFilter::Named(session.to_string().into_bytes())),
                    tags: (0..tags).map(|tag| tag.to_string().into_bytes()).collect(),
                    since: since.map(moment),
                    until: until.map(moment),
                    policy: Some(Policy::Enforce),
                    ..Query::default()
                }
            },
        )
    }

    proptest! {
        /// Whatever was asked before, of the same lists.
        #[test]
        fn lists_give_what_going_through_all_gives(
            snapshots in prop::collection::vec(prop::collection::vec((0..12_u8, 0..3_u8, 0..3_u8, 0..3_u8), 0..20), 1..3),
            queries in prop::collection::vec(query(), 1..40),
            splits in (0..20_usize, 0..20_usize),
        ) {
            let splits = [splits.0, splits.1];
            let view = View::new(snapshots.iter().zip(splits).map(|(memories, split)| named(memories, split)).collect());
            for query in queries {
                let rows = view.select(&query).expect("rows").rows;
                let mut expected = view.select_unordered(&query).expect("rows");
                expected.truncate(query.limit.unwrap_or(usize::MAX));
                prop_assert!(rows.len() == expected.len());
                prop_assert!(rows.iter().zip(&expected).all(|(row, (_, expected))| is_same(row.1.as_ref(), *expected)));
                if let Some(quick) = view.select_quickly(&query) {
                    prop_assert!(quick.rows.len() == rows.len());
                    prop_assert!(quick.rows.iter().zip(&rows).all(|(row, expected)| is_same(row.1.as_ref(), expected.1.as_ref())));
                }
            }
        }

        /// Page by page comes what comes at once.
        #[test]
        fn pages_are_the_whole(
            snapshots in prop::collection::vec(prop::collection::vec((0..4_u8, 0..3_u8, 0..3_u8, 0..3_u8), 0..20), 1..3),
            query in query(),
            size in 1..5_usize,
            split in 0..20_usize,
        ) {
            // Capsules, and behind them a construct's memories.
            let nameless = snapshots.get(1).map(|memories| snapshot(memories));
            let view = View::new([named(&snapshots[0], split)].into_iter().chain(nameless).collect());
            let whole = view.select(&Query { limit: None, ..query.clone() }).expect("rows");
            prop_assert!(whole.next.is_none());
            let mut rows = Vec::new();
            let mut before = None;
            loop {
                let page = view.select(&Query { limit: Some(size), before, ..query.clone() }).expect("rows");
                rows.extend(page.rows);
                before = page.next.map(|next| PageCursor::parse(&next.to_string()).expect("a cursor"));
                if before.is_none() {
                    break;
                }
            }
            prop_assert!(rows.len() == whole.rows.len());
            prop_assert!(rows.iter().zip(&whole.rows).all(|(row, expected)| is_same(row.1.as_ref(), expected.1.as_ref())));
        }
    }
}
