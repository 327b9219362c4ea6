//! What one question sees: the snapshots it is put to, its filters, its order.

use std::sync::Arc;

use super::folder::{Content, DateAnswer, Entry, NewestFirst, Snapshot, lock};
use crate::Error;
use crate::formats::memory::{Memory, Moment};
use crate::javascript::array_sort;

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
    /// The time of the question: that of a memory whose file names none.
    pub now: f64,
    /// What JavaScript's answers on undecided dates depend on: the process's time zone, in any form.
    pub zone: Arc<str>,
}

/// Which session is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
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

    fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.snapshots.iter().flat_map(|snapshot| &snapshot.entries)
    }

    /// The memories whose dates only JavaScript can tell and has not told for this time zone.
    #[must_use]
    pub fn undecided(&self, zone: &str) -> Vec<UndecidedDate> {
        let unanswered = |entry: &&Arc<Entry>| {
            entry.answer.as_ref().is_some_and(|answer| lock(answer).as_ref().is_none_or(|told| *told.zone != *zone))
        };
        self.entries().filter(unanswered).map(|entry| UndecidedDate { entry: entry.clone() }).collect()
    }

    /// Filters, sorts newest first, and cuts.
    ///
    /// # Errors
    /// [`Error::Timestamp`] if JavaScript threw on a date that the question has to look at.
    pub fn select(&self, query: &Query) -> Result<Selection, Error> {
        let rows = match self.snapshots.as_slice() {
            [snapshot] => match newest_first(snapshot, query) {
                Some(order) => Self::select_ordered(snapshot, &order, query)?,
                None => self.select_unordered(query)?,
            },
            _ => self.select_unordered(query)?,
        };
        Ok(Selection { rows })
    }

    /// All dates are valid and their order is known: goes through it until the limit is reached.
    fn select_ordered(snapshot: &Snapshot, order: &[u32], query: &Query) -> Result<Vec<Arc<Entry>>, Error> {
        let mut rows = Vec::new();
        for at in order {
            if query.limit == Some(rows.len()) {
                break;
            }
            let entry = &snapshot.entries[*at as usize];
            let Content::Memory(memory) = &entry.content else { continue };
            if !passes(memory, query) {
                continue;
            }
            let time = time(entry, memory, query)?;
            if query.since.is_some_and(|since| !since.le(&time)) {
                // Everything further down is older still.
                break;
            }
            if query.until.is_none_or(|until| time <= until) {
                rows.push(entry.clone());
            }
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
            memory.write_json(&entry.name, now, &mut text);
        }
        text.push(']');
        texts.push(text);
        texts
    }
}

fn passes(memory: &Memory, query: &Query) -> bool {
    let session = match &query.session {
        None => true,
        // A memory that names no session passes.
        Some(SessionFilter::Named(session)) => memory.is_of_session(session).unwrap_or(true),
        Some(SessionFilter::Nameless) => memory.is_of_session(b"").is_none(),
    };
    session && query.role.as_ref().is_none_or(|role| memory.has_role(role))
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

/// The order of a snapshot's memories by date, worked out once; `None` if its dates have no fixed order.
fn newest_first(snapshot: &Snapshot, query: &Query) -> Option<Arc<[u32]>> {
    let mut known = lock(&snapshot.newest_first);
    if let Some(NewestFirst { zone, order }) = &*known
        && zone.as_ref().is_none_or(|zone| *zone == query.zone)
    {
        return Some(order.clone());
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
    *known = Some(NewestFirst { zone: depends_on_zone.then(|| query.zone.clone()), order: order.clone() });
    Some(order)
}
