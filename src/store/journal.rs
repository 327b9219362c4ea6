//! What this side has done that stands nowhere but in the index, `indexes/{instance}.journal`: one JSON object a line, added to at the end.
//!
//! Python's store writes its whole index over ours without a lock, and so can wipe out a tag that was given since it read
//! it; and where it finds an index half written it begins a new one. So each tag that is given or taken here is written
//! down first, with the time that the entry then bears: an entry that turns up with an earlier time is a copy from before,
//! and the tag is put right. The same holds for which of several files is a capsule that was stored again.

use std::cell::LazyCell;
use std::collections::{BTreeSet, HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::formats::instance_index::{Entry, InstanceIndex};
use crate::vault::LARGEST_FILE;

/// What was done to a capsule's tags.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "did", rename_all = "lowercase")]
pub enum Record {
    /// It was given a tag.
    Tagged {
        /// The capsule.
        uuid: String,
        /// The tag.
        tag: String,
        /// The entry's `updated_at` since.
        at: String,
        /// Its tags before; the tag alone if they decide nothing: see [`Record::tagged`].
        before: BTreeSet<String>,
    },
    /// A tag was taken from it.
    Untagged {
        /// The capsule.
        uuid: String,
        /// The tag.
        tag: String,
        /// The entry's `updated_at` since.
        at: String,
    },
    /// It was deleted, and its tags with it. Until the index says so too, they count.
    Deleted {
        /// The capsule.
        uuid: String,
        /// When.
        #[serde(default)]
        at: String,
        /// The tags that went with it, or some of them if they are long.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        tags: BTreeSet<String>,
    },
    /// It was stored again after it had been deleted, or its file was put back: what was done before is void.
    Restored {
        /// The capsule.
        uuid: String,
        /// Before when; empty if everything is.
        #[serde(default)]
        at: String,
    },
    /// It was stored again, in another file.
    Moved {
        /// The capsule.
        uuid: String,
        /// The file.
        filename: String,
        /// The entry's `updated_at` since.
        at: String,
    },
    /// A file with this content is an earlier state of a capsule that the index has in another file.
    Superseded {
        /// The file.
        filename: String,
        /// The SHA-256 of its text.
        content: String,
        /// The capsule. All its files go with it: what has such a name later was put there on purpose.
        #[serde(default)]
        uuid: String,
        /// Whether that capsule was seen to be deleted by somebody else, who left this file: it is none again by itself.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        gone: bool,
    },
}

impl Record {
    /// That a capsule was given a tag. Its tags before are written down only if they are few: else each record would be as long
    /// as all of them, and the journal as long as their square. Without them less counts as taken on purpose.
    #[must_use]
    pub fn tagged<'a>(uuid: &str, tag: &str, at: &str, before: impl Iterator<Item = &'a str> + Clone) -> Self {
        // With the quotation marks and the comma.
        let size: usize = before.clone().map(|tag| tag.len() + 3).sum();
        let before = if size > MOST_BEFORE { undecided(tag) } else { before.map(str::to_owned).collect() };
        Self::Tagged { uuid: uuid.to_owned(), tag: tag.to_owned(), at: at.to_owned(), before }
    }

    /// That a capsule with these tags was deleted.
    #[must_use]
    pub fn deleted<'a>(uuid: &str, at: &str, tags: impl Iterator<Item = &'a str>) -> Self {
        let mut size = 0;
        let is_within = |tag: &&str| {
            size += tag.len() + 3;
            size <= MOST_BEFORE
        };
        let tags = tags.take_while(is_within).map(str::to_owned).collect();
        Self::Deleted { uuid: uuid.to_owned(), at: at.to_owned(), tags }
    }
}

/// Of so many bytes at most are the tags before that a record has.
const MOST_BEFORE: usize = 1024;

/// What stands for the tags before where they decide nothing: that an entry is without the tag, and has just these, is never
/// so; and that it has the tag shows nothing.
fn undecided(tag: &str) -> BTreeSet<String> {
    BTreeSet::from([tag.to_owned()])
}

/// What is known of one tag of one capsule.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Mark {
    Given { at: String, before: BTreeSet<String> },
    Taken { at: String },
}

/// A file that is an earlier state of a capsule.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Earlier {
    content: String,
    uuid: String,
    gone: bool,
}

impl Earlier {
    fn record(self, filename: String) -> Record {
        let Self { content, uuid, gone } = self;
        Record::Superseded { filename, content, uuid, gone }
    }
}

/// When something was done to a capsule, and the tags that it had before its deletion, as far as they are known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Deletion {
    at: String,
    tags: BTreeSet<String>,
}

/// The journal of one instance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Journal {
    marks: HashMap<String, HashMap<String, Mark>>,
    /// By UUID: the file, and since when it is that.
    moved: HashMap<String, (String, String)>,
    /// By file.
    superseded: HashMap<String, Earlier>,
    /// Capsules that were deleted here, and when.
    deleted: HashMap<String, Deletion>,
    /// Capsules that were restored after that, and when.
    restored: HashMap<String, Deletion>,
    /// How many lines it was read from.
    lines: usize,
}

impl Journal {
    /// Reads a journal. A line that was cut off by a kill was never acknowledged, and is passed over.
    #[must_use]
    pub fn parse(text: &[u8]) -> Self {
        let lines = || text.split(|byte| *byte == b'\n').enumerate();
        // Known beforehand: to look through all that was superseded at each deletion would take the square of their number.
        let mut deleted: HashMap<String, usize> = HashMap::new();
        for (at, line) in lines().filter(|(_, line)| memchr::memmem::find(line, b"\"deleted\"").is_some()) {
            if let Ok(Record::Deleted { uuid, .. }) = serde_json::from_slice(line) {
                deleted.insert(uuid, at);
            }
        }
        let mut journal = Self::default();
        for (at, line) in lines() {
            match serde_json::from_slice(line) {
                Ok(Record::Superseded { uuid, .. }) if deleted.get(&uuid).is_some_and(|deleted| at < *deleted) => {
                    journal.lines += 1;
                }
                Ok(record) => journal.take(record),
                Err(_) => {}
            }
        }
        journal
    }

    /// Takes a record in.
    pub fn note(&mut self, record: Record) {
        if let Record::Deleted { uuid, .. } = &record {
            self.superseded.retain(|_, earlier| earlier.uuid != *uuid);
        }
        self.take(record);
    }

    fn take(&mut self, record: Record) {
        self.lines += 1;
        match record {
            Record::Tagged { uuid, tag, at, before } => {
                self.marks.entry(uuid).or_default().insert(tag, Mark::Given { at, before });
            }
            Record::Untagged { uuid, tag, at } => {
                self.marks.entry(uuid).or_default().insert(tag, Mark::Taken { at });
            }
            Record::Deleted { uuid, at, tags } => {
                self.restored.remove(&uuid);
                self.deleted.insert(uuid, Deletion { at, tags });
            }
            Record::Restored { uuid, at } => {
                let mut tags = self.deleted.remove(&uuid).unwrap_or_default().tags;
                if let Some(marks) = self.marks.get_mut(&uuid) {
                    let void = marks.extract_if(|_, mark| {
                        let (Mark::Given { at: own, .. } | Mark::Taken { at: own }) = mark;
                        at.is_empty() || moment(own) <= moment(&at)
                    });
                    // Also those that it had before, and no more when it was deleted: a copy may be from then.
                    tags.extend(void.map(|(tag, _)| tag));
                    if marks.is_empty() {
                        self.marks.remove(&uuid);
                    }
                }
                self.moved.remove(&uuid);
                if !tags.is_empty() {
                    self.restored.insert(uuid, Deletion { at, tags });
                }
            }
            Record::Moved { uuid, filename, at } => {
                self.superseded.remove(&filename);
                self.moved.insert(uuid, (filename, at));
            }
            Record::Superseded { filename, content, uuid, gone } => {
                self.superseded.insert(filename, Earlier { content, uuid, gone });
            }
        }
    }

    /// Whether a capsule was moved to this file after its entry was made. An entry that names a file which `is_there` and is no
    /// earlier state was made since, by a clock that is behind.
    #[must_use]
    pub fn has_moved(&self, uuid: &str, filename: &str, entry: &Entry, is_there: impl Fn(&str) -> bool) -> bool {
        self.moved.get(uuid).is_some_and(|(own, at)| {
            own == filename
                && moment(at) > moment(&entry.updated_at())
                && (self.has_superseded(entry.filename()) || !is_there(entry.filename()))
        })
    }

    /// Whether a file with this content is an earlier state of a capsule.
    #[must_use]
    pub fn is_superseded(&self, filename: &str, content: &str) -> bool {
        self.superseded.get(filename).is_some_and(|earlier| earlier.content == content)
    }

    /// Whether that capsule was seen to be deleted by somebody else.
    #[must_use]
    pub fn is_gone(&self, filename: &str) -> bool {
        self.superseded.get(filename).is_some_and(|earlier| earlier.gone)
    }

    /// What is known of earlier states of a capsule.
    #[must_use]
    pub fn earlier_states_of(&self, uuid: &str) -> Vec<Record> {
        let own = self.superseded.iter().filter(|(_, earlier)| earlier.uuid == uuid);
        own.map(|(filename, earlier)| earlier.clone().record(filename.clone())).collect()
    }

    /// Whether a file of this name was once an earlier state of a capsule.
    #[must_use]
    pub fn has_superseded(&self, filename: &str) -> bool {
        self.superseded.contains_key(filename)
    }

    /// Whether an index has an entry from before its capsule was stored again in another file.
    #[must_use]
    pub fn is_moved_back(&self, index: &InstanceIndex) -> bool {
        self.moved.iter().any(|(uuid, (filename, _))| {
            // The folder is looked into then, and tells.
            let is_there = |_: &str| false;
            index
                .entry(uuid)
                .is_some_and(|entry| entry.filename() != filename && self.has_moved(uuid, filename, entry, is_there))
        })
    }

    /// That what the index has is another file than is written down here: one that was an earlier state, as somebody went back to it,
    /// or one that is not known, of a clock that is behind. To be written down, so that they are found should the index be lost.
    #[must_use]
    pub fn gone_back_to(&self, index: &InstanceIndex, is_there: impl Fn(&str) -> bool) -> Vec<Record> {
        if self.superseded.is_empty() && self.moved.is_empty() {
            return Vec::new();
        }
        let is_another = |uuid: &str, entry: &Entry| {
            let own = entry.filename();
            let is_elsewhere = self
                .moved
                .get(uuid)
                .is_some_and(|(filename, at)| filename != own && moment(at) > moment(&entry.updated_at()));
            if self.has_superseded(own) { !is_elsewhere } else { is_elsewhere && is_there(own) }
        };
        let gone_back = index.entries().filter(|(uuid, entry)| is_another(uuid, entry));
        let moved = |(uuid, entry): (&str, &Entry)| Record::Moved {
            uuid: uuid.to_owned(),
            filename: entry.filename().to_owned(),
            at: entry.updated_at(),
        };
        gone_back.map(moved).collect()
    }

    /// Those of some records that still hold, and the files that others took for earlier states: who looks without the lock may
    /// find a capsule's new file in its place before journal and index say so.
    #[must_use]
    pub fn still_true(&self, records: Vec<Record>, index: &InstanceIndex) -> (Vec<Record>, Vec<String>) {
        if !records.iter().any(|record| matches!(record, Record::Superseded { .. } | Record::Moved { .. })) {
            return (records, Vec::new());
        }
        let named = index.entries().map(|(_, entry)| entry.filename());
        // What was moved here and then elsewhere by somebody else is an earlier state.
        let is_last =
            |uuid: &str, at: &str| index.entry(uuid).is_none_or(|entry| moment(at) >= moment(&entry.updated_at()));
        let moved = self.moved.iter().filter(|(uuid, (_, at))| is_last(uuid, at)).map(|(_, (filename, _))| &**filename);
        let current: HashSet<&str> = named.chain(moved).collect();
        let mut wrong = Vec::new();
        let right = records.into_iter().filter(|record| match record {
            Record::Superseded { filename, .. } if current.contains(&**filename) => {
                wrong.push(filename.clone());
                false
            }
            Record::Moved { uuid, filename, .. } => {
                index.entry(uuid).is_none_or(|entry| entry.filename() == &**filename)
            }
            _ => true,
        });
        let right = right.collect();
        (right, wrong)
    }

    /// That a capsule is there again, which voids what was done before its deletion here and, if it is stored anew, before `now`;
    /// `None` if it was not deleted, or the index does not say so.
    #[must_use]
    pub fn restored(&self, uuid: &str, index: &InstanceIndex, now: &str) -> Option<Record> {
        let deletion = self.deleted.get(uuid).filter(|_| index.entry(uuid).is_none())?;
        // By a clock that was ahead it may have been deleted later than now.
        Some(Record::Restored { uuid: uuid.to_owned(), at: deletion.at.as_str().max(now).to_owned() })
    }

    /// Whether a capsule was deleted here.
    #[must_use]
    pub fn has_deleted(&self, uuid: &str) -> bool {
        self.deleted.contains_key(uuid)
    }

    /// Whether it was deleted here after this entry was made.
    #[must_use]
    pub fn has_deleted_since(&self, uuid: &str, entry: &Entry) -> bool {
        self.deleted.get(uuid).is_some_and(|deletion| moment(&entry.created_at()) <= moment(&deletion.at))
    }

    /// Whether a tag was last taken here, not given.
    #[must_use]
    pub fn has_taken(&self, uuid: &str, tag: &str) -> bool {
        self.marks.get(uuid).and_then(|marks| marks.get(tag)).is_some_and(|mark| matches!(mark, Mark::Taken { .. }))
    }

    /// Puts right what a copy of the index from before undid.
    pub fn put_right(&self, index: &mut InstanceIndex, now: &str) {
        let undone = self.compare(index).0;
        index.change_tags(undone, now);
    }

    /// Whether there is anything to be put right.
    #[must_use]
    pub fn is_undone_in(&self, index: &InstanceIndex) -> bool {
        !self.compare(index).0.is_empty()
    }

    /// The tags given here that somebody else has taken on purpose, as records to be written down.
    #[must_use]
    pub fn taken_by_others(&self, index: &InstanceIndex) -> Vec<Record> {
        self.compare(index).1
    }

    /// What was done by a clock that was ahead, as done `now`, so that what others do from now on is later. To be written
    /// down when the index shows it: until then an entry of that clock could not be told from a later one.
    #[must_use]
    pub fn dated_ahead(&self, now: &str) -> Vec<Record> {
        let present = moment(now);
        let is_ahead = |at: &str| at > now && is_ahead(moment(at), present);
        let mut records = Vec::new();
        for (uuid, marks) in &self.marks {
            for (tag, mark) in marks {
                let (Mark::Given { at, .. } | Mark::Taken { at }) = mark;
                if !is_ahead(at) {
                    continue;
                }
                let (uuid, tag, at) = (uuid.clone(), tag.clone(), now.to_owned());
                records.push(match mark.clone() {
                    Mark::Given { before, .. } => Record::Tagged { uuid, tag, at, before },
                    Mark::Taken { .. } => Record::Untagged { uuid, tag, at },
                });
            }
        }
        for (uuid, (filename, _)) in self.moved.iter().filter(|(_, (_, at))| is_ahead(at)) {
            let (uuid, filename, at) = (uuid.clone(), filename.clone(), now.to_owned());
            records.push(Record::Moved { uuid, filename, at });
        }
        records
    }

    /// The tags that are missing, or there again, though nobody took or gave them on purpose since; and those that somebody
    /// took.
    fn compare(&self, index: &InstanceIndex) -> (Vec<(&str, &str, bool)>, Vec<Record>) {
        let (mut undone, mut taken) = (Vec::new(), Vec::new());
        let shown = self.last_shown(index);
        for (uuid, marks) in &self.marks {
            let Some(entry) = index.entry(uuid) else { continue };
            // Each takes as long as the entry is, which may have as many tags as there are marks.
            let tags: BTreeSet<&str> = entry.tags().collect();
            let times = LazyCell::new(|| [entry.created_at(), entry.updated_at()].map(|at| moment(&at)));
            // It was stored again by Python: what was done before is void.
            let void = self.deleted.get(uuid).map(|deletion| moment(&deletion.at)).filter(|at| times[0] > *at);
            for (tag, mark) in marks {
                let (Mark::Given { at, .. } | Mark::Taken { at }) = mark;
                if void.is_some_and(|void| moment(at) <= void) {
                    continue;
                }
                match mark {
                    Mark::Given { at, before } if !tags.contains(&**tag) => {
                        // Taken on purpose, if who changed the entry since knew of the tag: because it has just the tags
                        // that it had before, or shows something later of ours, or was changed so much later that no copy
                        // from before can have been in anybody's hands. Born later: Python stored it again, which forgets
                        // tags; but born after it was changed it was by a clock that was ahead.
                        let (own, [born, changed]) = (moment(at), *times);
                        let on_purpose = changed > own
                            && (born <= own || born > changed)
                            && (shown.is_some_and(|shown| shown > own)
                                || changed.saturating_sub(own) > LONGEST_CHANGE
                                || tags.iter().copied().eq(before.iter().map(String::as_str)));
                        if on_purpose {
                            let (uuid, tag, at) = (uuid.clone(), tag.clone(), entry.updated_at());
                            taken.push(Record::Untagged { uuid, tag, at });
                        } else {
                            undone.push((&**uuid, &**tag, true));
                        }
                    }
                    Mark::Taken { at } if tags.contains(&**tag) && times[1] <= moment(at) => {
                        undone.push((&**uuid, &**tag, false));
                    }
                    _ => {}
                }
            }
        }
        // In a copy from before its deletion, a capsule that was restored has the tags that it had then.
        for (uuid, Deletion { at, tags }) in &self.restored {
            let Some(entry) = index.entry(uuid).filter(|entry| moment(&entry.updated_at()) < moment(at)) else {
                continue;
            };
            let is_given = |tag: &str| self.marks.get(uuid).is_some_and(|marks| marks.contains_key(tag));
            let void = tags.iter().filter(|tag| entry.has_tag(tag) && !is_given(tag));
            undone.extend(void.map(|tag| (&**uuid, &**tag, false)));
        }
        (undone, taken)
    }

    /// The latest tag given here that an index shows: whoever wrote the index had read it then or later.
    fn last_shown(&self, index: &InstanceIndex) -> Option<i64> {
        let shown = self.marks.iter().filter_map(|(uuid, marks)| {
            let tags: HashSet<&str> = index.entry(uuid)?.tags().collect();
            let shown = marks.iter().filter_map(|(tag, mark)| match mark {
                Mark::Given { at, before } if !before.contains(tag) && tags.contains(&**tag) => Some(moment(at)),
                _ => None,
            });
            shown.max()
        });
        shown.max()
    }

    /// How many lines it was read from.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lines
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines == 0
    }

    /// Until when what was taken or deleted may be forgotten: a copy of the index from before has been written back long ago.
    /// `None` if there is not so much of it.
    fn forgotten_until(&self, index: &InstanceIndex, now: &str) -> Option<i64> {
        let taken = self.marks.values().flat_map(HashMap::values).filter_map(|mark| match mark {
            Mark::Taken { at } => Some(moment(at)),
            Mark::Given { .. } => None,
        });
        let deleted = self.deleted.iter().filter(|(uuid, _)| index.entry(uuid).is_none());
        let deleted = deleted.map(|(_, deletion)| moment(&deletion.at));
        let mut times: Vec<i64> = taken.chain(deleted).collect();
        let last = times.len().checked_sub(MOST_GONE)?.checked_sub(1)?;
        Some((*times.select_nth_unstable(last).1).min(moment(now).saturating_sub(YOUNG)))
    }

    /// Its text with only the lines that count: not those of capsules that were deleted, and are in no entry any more, and of
    /// files that are not there; of what is gone the last ones. Of tags that were given long ago, without the tags before:
    /// these count for [`LONGEST_CHANGE`].
    #[must_use]
    pub fn to_text(&self, index: &InstanceIndex, has_file: impl Fn(&str) -> bool, now: &str) -> String {
        let mut text = String::new();
        let forgotten = self.forgotten_until(index, now);
        let is_late = |at: &str| forgotten.is_none_or(|until| moment(at) > until);
        let old = moment(now).saturating_sub(YOUNG);
        // What was done before a deletion is void as long as that is known.
        let counts = |(uuid, deletion): &(&String, &Deletion)| index.entry(uuid).is_some() || is_late(&deletion.at);
        // With the tags of which the lines are left out.
        let deleted = |(uuid, Deletion { at, tags }): (&String, &Deletion)| {
            let marked = self.marks.get(uuid).into_iter().flat_map(HashMap::keys);
            let tags = tags.iter().chain(marked).cloned().collect();
            line(&Record::Deleted { uuid: uuid.clone(), at: at.clone(), tags })
        };
        text.extend(self.deleted.iter().filter(counts).map(deleted));
        for (uuid, deletion) in self.restored.iter().filter(|(_, deletion)| moment(&deletion.at) >= old) {
            let Deletion { at, tags } = deletion.clone();
            text.push_str(&line(&Record::Deleted { uuid: uuid.clone(), at, tags }));
            text.push_str(&line(&Record::Restored { uuid: uuid.clone(), at: deletion.at.clone() }));
        }
        let is_there = |uuid: &str| !self.deleted.contains_key(uuid) || index.entry(uuid).is_some();
        for (uuid, marks) in self.marks.iter().filter(|(uuid, _)| is_there(uuid)) {
            for (tag, mark) in marks {
                let (uuid, tag) = (uuid.clone(), tag.clone());
                text.push_str(&line(&match mark.clone() {
                    Mark::Given { at, .. } if moment(&at) < old => {
                        let before = undecided(&tag);
                        Record::Tagged { uuid, tag, at, before }
                    }
                    Mark::Given { at, before } => Record::Tagged { uuid, tag, at, before },
                    Mark::Taken { at } if is_late(&at) => Record::Untagged { uuid, tag, at },
                    Mark::Taken { .. } => continue,
                }));
            }
        }
        for (uuid, (filename, at)) in self.moved.iter().filter(|(uuid, _)| is_there(uuid)) {
            let (uuid, filename, at) = (uuid.clone(), filename.clone(), at.clone());
            text.push_str(&line(&Record::Moved { uuid, filename, at }));
        }
        // Behind what was moved, which takes the same file's word back.
        let superseded = self.superseded.clone().into_iter();
        for (filename, earlier) in superseded.filter(|(filename, _)| has_file(filename)) {
            text.push_str(&line(&earlier.record(filename)));
        }
        text
    }
}

/// The largest journal, in bytes: a larger one could not be read.
pub const LARGEST: u64 = if cfg!(test) { 1 << 20 } else { LARGEST_FILE };

/// Of tags that were taken and capsules that were deleted so many are kept in mind, the last ones,
const MOST_GONE: usize = if cfg!(test) { 20 } else { 10_000 };
/// and all that are not so old, in microseconds.
const YOUNG: i64 = 10 * LONGEST_CHANGE;

/// A record as a line. It begins with a line break too, so that what a kill cut off before it spoils nothing.
#[must_use]
pub fn line(record: &Record) -> String {
    // A record has only strings: it can always be written.
    format!("\n{}\n", serde_json::to_string(record).unwrap_or_default())
}

/// Microseconds: so long at most does a program keep a copy of an index before it writes that back.
const LONGEST_CHANGE: i64 = 1_000_000;

/// Whether a clock that was ahead gave a time: it is to come, by more than the clocks of several machines differ.
fn is_ahead(time: i64, now: i64) -> bool {
    /// Microseconds.
    const DIFFERENCE: i64 = 3_600_000_000;
    time > now.saturating_add(DIFFERENCE)
}

/// A time as Python writes it, in microseconds since 1970; what is none lies before all others.
fn moment(time: &str) -> i64 {
    time.parse::<jiff::Timestamp>().map_or(i64::MIN, jiff::Timestamp::as_microsecond)
}

#[cfg(test)]
mod tests;
