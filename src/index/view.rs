//! What one question sees: the snapshots it is put to, its filters, its order.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::folder::{Content, DateAnswer, Entry, NewestFirst, Snapshot};
use super::lists::{Lists, Passing};
use crate::Error;
use crate::formats::integrity::Policy;
use crate::formats::memory::{Memory, Moment};
use crate::javascript::array_sort;
use crate::lock::lock;

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

/// The memories of some snapshots, in the order in which Chatty would have read them.
#[derive(Debug, Clone, Default)]
pub struct View {
    snapshots: Vec<Arc<Snapshot>>,
}

impl View {
    /// Of these snapshots, one after the other.
    #[must_use]
    pub fn new(snapshots: Vec<Arc<Snapshot>>) -> Self {
        Self { snapshots }
    }

    /// Adds memories behind the others.
    pub fn push(&mut self, snapshot: Arc<Snapshot>) {
        self.snapshots.push(snapshot);
    }

    /// The names of the files whose stated hash is wrong.
    pub fn unsound(&self) -> impl Iterator<Item = &str> {
        self.snapshots.iter().flat_map(|snapshot| snapshot.unsound()).map(|name| &**name)
    }

    fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.snapshots.iter().flat_map(|snapshot| &snapshot.entries)
    }

    /// The memories whose dates only JavaScript can tell and has not told for this time zone.
    #[must_use]
    pub fn undecided(&self, zone: &str) -> Vec<UndecidedDate> {
        let unanswered = |entry: &&Arc<Entry>| {
            entry.answer.as_ref().is_some_and(|answer| lock(answer).as_ref().is_none_or(|told| *told.zone != *zone))
        };
        let undecided = self.snapshots.iter().flat_map(|snapshot| snapshot.undecided());
        undecided.filter(unanswered).map(|entry| UndecidedDate { entry: entry.clone() }).collect()
    }

    /// Filters, sorts newest first, and cuts.
    ///
    /// # Errors
    /// [`Error::Timestamp`] if JavaScript threw on a date that the question has to look at.
    pub fn select(&self, query: &Query) -> Result<Selection, Error> {
        let orders = self.snapshots.iter().map(|snapshot| newest_first(snapshot, query)).collect::<Option<Vec<_>>>();
        let rows = match orders {
            Some(orders) => self.select_ordered(&orders, query)?,
            None => self.select_unordered(query)?,
        };
        Ok(Selection { rows, marks: query.policy == Some(Policy::Report) })
    }

    /// All dates are valid and their order is known: goes through them until the limit is reached. Of memories of one
    /// time, those of the first snapshot come first.
    fn select_ordered(&self, orders: &[Passing<'_>], query: &Query) -> Result<Vec<Arc<Entry>>, Error> {
        let entry = |snapshot: usize, at: usize| -> Option<&Arc<Entry>> {
            let place = orders[snapshot].get(at, |memory| is_named(memory, query))?;
            Some(&self.snapshots[snapshot].entries[place])
        };
        let next = |snapshot: usize, at: usize| -> Result<Option<Next>, Error> {
            let Some(entry) = entry(snapshot, at) else { return Ok(None) };
            let Content::Memory(memory) = &entry.content else { return Ok(None) };
            Ok(Some(Next { time: time(entry, memory, query)?, snapshot: Reverse(snapshot), at }))
        };
        let mut heads = BinaryHeap::new();
        for (snapshot, order) in orders.iter().enumerate() {
            let first = query.until.map_or(0, |until| order.newer(|entry| is_after(entry, until, query)));
            heads.extend(next(snapshot, first)?);
        }
        let mut rows = Vec::new();
        while let Some(Next { time, snapshot, at }) = heads.pop() {
            // Everything further down is older still.
            if query.limit == Some(rows.len()) || query.since.is_some_and(|since| !since.le(&time)) {
                break;
            }
            if let Some(entry) = entry(snapshot.0, at)
                && let Content::Memory(memory) = &entry.content
                && is_admitted(memory, query)
                && query.until.is_none_or(|until| time <= until)
            {
                rows.push(entry.clone());
            }
            heads.extend(next(snapshot.0, at + 1)?);
        }
        Ok(rows)
    }

    /// Step by step what Chatty does, for dates that are invalid, missing, or in several folders.
    fn select_unordered(&self, query: &Query) -> Result<Vec<Arc<Entry>>, Error> {
        let mut rows: Vec<(&Arc<Entry>, &Memory)> = Vec::new();
        for entry in self.entries() {
            if let Content::Memory(memory) = &entry.content
                && passes(memory, query)
            {
                rows.push((entry, memory));
            }
        }
        for (bound, keeps) in [(query.since, f64::ge as fn(&f64, &f64) -> bool), (query.until, f64::le)] {
            let Some(bound) = bound else { continue };
            let mut kept = Vec::with_capacity(rows.len());
            for (entry, memory) in rows {
                if keeps(&time(entry, memory, query)?, &bound) {
                    kept.push((entry, memory));
                }
            }
            rows = kept;
        }
        let mut order: Vec<usize> = (0..rows.len()).collect();
        if rows.len() > 1 {
            let times = rows.iter().map(|(entry, memory)| time(entry, memory, query)).collect::<Result<Vec<_>, _>>()?;
            if times.iter().any(|time| time.is_nan()) {
                array_sort::sort(&mut order, |left, right| {
                    let difference = times[right] - times[left];
                    if difference.is_nan() { 0.0 } else { difference }
                });
            } else {
                order.sort_by(|left, right| times[*right].total_cmp(&times[*left]));
            }
        }
        order.truncate(query.limit.unwrap_or(usize::MAX));
        Ok(order.into_iter().map(|at| rows[at].0.clone()).collect())
    }
}

/// A memory whose date JavaScript is asked for.
#[derive(Debug)]
pub struct UndecidedDate {
    entry: Arc<Entry>,
}

impl UndecidedDate {
    /// The timestamp's JSON text.
    #[must_use]
    pub fn timestamp(&self) -> &str {
        match &self.entry.content {
            Content::Memory(memory) => memory.timestamp(),
            Content::Broken { .. } => "null",
        }
    }

    /// Takes the answer: `new Date(timestamp).getTime()`, or the message of what that threw.
    pub fn answer(&self, zone: Arc<str>, time: Result<f64, Arc<str>>) {
        if let Some(answer) = &self.entry.answer {
            *lock(answer) = Some(DateAnswer { zone, time });
        }
    }
}

/// The memories that answer a question, in order.
#[derive(Debug)]
pub struct Selection {
    rows: Vec<Arc<Entry>>,
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

    /// As JSON arrays of memories, each closed as soon as it has `size` bytes.
    #[must_use]
    pub fn to_json(&self, now: &str, size: usize) -> Vec<String> {
        let mut texts = Vec::new();
        let mut text = String::from("[");
        for entry in &self.rows {
            let Content::Memory(memory) = &entry.content else { continue };
            if text.len() >= size {
                text.push(']');
                texts.push(std::mem::replace(&mut text, String::from("[")));
            } else if text.len() > 1 {
                text.push(',');
            }
            let marked = self.marks && memory.is_sound() == Some(false);
            memory.write_json(&entry.name, now, marked, &mut text);
        }
        text.push(']');
        texts.push(text);
        texts
    }
}

/// The newest memory of a snapshot that was not looked at yet.
#[derive(Debug)]
struct Next {
    time: f64,
    snapshot: Reverse<usize>,
    at: usize,
}

impl Ord for Next {
    fn cmp(&self, other: &Self) -> Ordering {
        self.time.total_cmp(&other.time).then_with(|| self.snapshot.cmp(&other.snapshot))
    }
}

impl PartialOrd for Next {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Next {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Next {}

fn passes(memory: &Memory, query: &Query) -> bool {
    is_named(memory, query) && is_admitted(memory, query)
}

/// Whether it is of the session, the role and the tags that are asked for.
fn is_named(memory: &Memory, query: &Query) -> bool {
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
fn is_admitted(memory: &Memory, query: &Query) -> bool {
    query.policy != Some(Policy::Enforce) || memory.is_sound() != Some(false)
}

/// `new Date(memory.timestamp)`; NaN also for one that nobody has told yet.
fn time(entry: &Entry, memory: &Memory, query: &Query) -> Result<f64, Error> {
    match memory.moment() {
        Moment::At(time) => Ok(time),
        Moment::Now => Ok(query.now),
        Moment::Undecided => match entry.answer.as_ref().and_then(|answer| lock(answer).clone()) {
            Some(DateAnswer { time: Ok(time), .. }) => Ok(time),
            Some(DateAnswer { time: Err(message), .. }) => Err(Error::Timestamp { message: message.to_string() }),
            None => Ok(f64::NAN),
        },
    }
}

fn is_after(entry: &Entry, until: f64, query: &Query) -> bool {
    matches!(&entry.content, Content::Memory(memory) if time(entry, memory, query).is_ok_and(|time| time > until))
}

/// The order of a snapshot's memories by date, worked out once; `None` if its dates have no fixed order.
fn newest_first<'a>(snapshot: &'a Snapshot, query: &Query) -> Option<Passing<'a>> {
    let mut known = lock(&snapshot.newest_first);
    if let Some(NewestFirst { zone, order, lists }) = &*known
        && zone.as_ref().is_none_or(|zone| *zone == query.zone)
    {
        return Some(Passing::new(snapshot, order.clone(), lists, query));
    }
    let mut times = Vec::with_capacity(snapshot.entries.len());
    let mut depends_on_zone = false;
    for (at, entry) in snapshot.entries.iter().enumerate() {
        let Content::Memory(memory) = &entry.content else { continue };
        let time = match memory.moment() {
            Moment::Now => return None,
            _ => time(entry, memory, query).ok()?,
        };
        if time.is_nan() {
            return None;
        }
        depends_on_zone |= entry.answer.is_some();
        times.push((time, u32::try_from(at).ok()?));
    }
    times.sort_by(|left, right| right.0.total_cmp(&left.0));
    let order: Arc<[u32]> = times.into_iter().map(|(_, at)| at).collect();
    let (zone, lists) = (depends_on_zone.then(|| query.zone.clone()), Lists::default());
    let passing = Passing::new(snapshot, order.clone(), &lists, query);
    *known = Some(NewestFirst { zone, order, lists });
    Some(passing)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::{Query, SessionFilter, View};
    use crate::formats::integrity::Policy;
    use crate::formats::memory_capsule;
    use crate::index::Snapshot;

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
        ) {
            let view = View::new(snapshots.iter().map(|memories| snapshot(memories)).collect());
            for query in queries {
                let rows = view.select(&query).expect("rows").rows;
                let expected = view.select_unordered(&query).expect("rows");
                prop_assert!(rows.len() == expected.len());
                prop_assert!(rows.iter().zip(&expected).all(|(row, expected)| Arc::ptr_eq(row, expected)));
            }
        }
    }
}
