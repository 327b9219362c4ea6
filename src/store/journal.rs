//! What this side has done that stands nowhere but in the index, `indexes/{instance}.journal`: one JSON object a line, added to at the end.
//!
//! Python's store writes its whole index over ours without a lock, and so can wipe out a tag that was given since it read
//! it; and where it finds an index half written it begins a new one. So each tag that is given or taken here is written
//! down first, with the time that the entry then bears: an entry that turns up with an earlier time is a copy from before,
//! and the tag is put right. The same holds for which of several files is a capsule that was stored again.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use crate::formats::instance_index::{Entry, InstanceIndex};

/// What was done to a capsule's tags.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "did", rename_all = "lowercase")]
pub(super) enum Record {
    /// It was given a tag.
    Tagged {
        uuid: String,
        tag: String,
        /// The entry's `updated_at` since.
        at: String,
        /// Its tags before.
        before: BTreeSet<String>,
    },
    /// A tag was taken from it.
    Untagged { uuid: String, tag: String, at: String },
    /// It was deleted, and its tags with it.
    Deleted { uuid: String },
    /// It was stored again, in another file.
    Moved { uuid: String, filename: String, at: String },
}

/// What is known of one tag of one capsule.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Mark {
    Given { at: String, before: BTreeSet<String> },
    Taken { at: String },
}

/// The journal of one instance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Journal {
    marks: HashMap<String, HashMap<String, Mark>>,
    /// By UUID: the file, and since when it is that.
    moved: HashMap<String, (String, String)>,
    /// How many lines it was read from.
    lines: usize,
}

impl Journal {
    /// Reads a journal. A line that was cut off by a kill was never acknowledged, and is passed over.
    pub(super) fn parse(text: &[u8]) -> Self {
        let mut journal = Self::default();
        for line in text.split(|byte| *byte == b'\n') {
            if let Ok(record) = serde_json::from_slice(line) {
                journal.note(record);
            }
        }
        journal
    }

    pub(super) fn note(&mut self, record: Record) {
        self.lines += 1;
        match record {
            Record::Tagged { uuid, tag, at, before } => {
                self.marks.entry(uuid).or_default().insert(tag, Mark::Given { at, before });
            }
            Record::Untagged { uuid, tag, at } => {
                self.marks.entry(uuid).or_default().insert(tag, Mark::Taken { at });
            }
            Record::Deleted { uuid } => {
                self.marks.remove(&uuid);
                self.moved.remove(&uuid);
            }
            Record::Moved { uuid, filename, at } => {
                self.moved.insert(uuid, (filename, at));
            }
        }
    }

    /// Whether a capsule was moved to this file after its entry was made.
    pub(super) fn has_moved(&self, uuid: &str, filename: &str, entry: &Entry) -> bool {
        self.moved.get(uuid).is_some_and(|(own, at)| own == filename && is_later(at, &entry.updated_at()))
    }

    /// Puts right what a copy of the index from before undid.
    pub(super) fn put_right(&self, index: &mut InstanceIndex, now: &str) {
        for (uuid, tag, is_given) in self.undone(index) {
            if is_given {
                index.add_tag(uuid, tag, now);
            } else {
                index.remove_tag(uuid, tag, now);
            }
        }
    }

    /// Whether there is anything to be put right.
    pub(super) fn is_undone_in(&self, index: &InstanceIndex) -> bool {
        !self.undone(index).is_empty()
    }

    /// The tags that are missing, or there again, though nobody took or gave them on purpose since.
    fn undone(&self, index: &InstanceIndex) -> Vec<(&str, &str, bool)> {
        let mut undone = Vec::new();
        for (uuid, marks) in &self.marks {
            let Some(entry) = index.entry(uuid) else { continue };
            for (tag, mark) in marks {
                match mark {
                    Mark::Given { at, before } if !entry.has_tag(tag) => {
                        // Changed later, with just the tags that it had before: the tag was taken on purpose. Born later:
                        // Python stored it again, which forgets tags.
                        let on_purpose = is_later(&entry.updated_at(), at)
                            && !is_later(&entry.created_at(), at)
                            && entry.tags().map(str::to_owned).collect::<BTreeSet<_>>() == *before;
                        if !on_purpose {
                            undone.push((&**uuid, &**tag, true));
                        }
                    }
                    Mark::Taken { at } if entry.has_tag(tag) && !is_later(&entry.updated_at(), at) => {
                        undone.push((&**uuid, &**tag, false));
                    }
                    _ => {}
                }
            }
        }
        undone
    }

    /// Whether most of its lines are of no use any more.
    pub(super) fn is_long(&self) -> bool {
        const FEW: usize = 1000;
        self.lines > FEW + 4 * (self.moved.len() + self.marks.values().map(HashMap::len).sum::<usize>())
    }

    /// Its text with only the lines that count.
    pub(super) fn to_text(&self) -> String {
        let mut text = String::new();
        for (uuid, marks) in &self.marks {
            for (tag, mark) in marks {
                let (uuid, tag) = (uuid.clone(), tag.clone());
                text.push_str(&line(&match mark.clone() {
                    Mark::Given { at, before } => Record::Tagged { uuid, tag, at, before },
                    Mark::Taken { at } => Record::Untagged { uuid, tag, at },
                }));
            }
        }
        for (uuid, (filename, at)) in &self.moved {
            let (uuid, filename, at) = (uuid.clone(), filename.clone(), at.clone());
            text.push_str(&line(&Record::Moved { uuid, filename, at }));
        }
        text
    }
}

/// A record as a line. It begins with a line break too, so that what a kill cut off before it spoils nothing.
pub(super) fn line(record: &Record) -> String {
    // A record has only strings: it can always be written.
    format!("\n{}\n", serde_json::to_string(record).unwrap_or_default())
}

/// Compares times as Python writes them, which leaves out a fraction of zero.
fn is_later(left: &str, right: &str) -> bool {
    let bare = |time: &str| time.strip_suffix("+00:00").unwrap_or(time).to_owned();
    bare(left) > bare(right)
}

#[cfg(test)]
mod tests;
