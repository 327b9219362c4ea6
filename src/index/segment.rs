//! An immutable part of a folder's index, compact: what is compared and filtered by is in memory, the memories' texts are
//! in the segment's file, or in memory too where there is none.
//!
//! The file is derived and disposable. It begins with a line that names the folder. Then come its texts, newest first; then
//! the names of the files and the head, everything else, as postcard has them; then a footer of fixed size, which is written
//! last. A file that is not whole has no good footer, and each text has its own check: what is damaged is never answered
//! with, and the files are read again.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

use super::entry::{Content, DateAnswer, FolderKind};
use super::order::NewestFirst;
use super::snapshot::RowRef;
use crate::formats::memory::{Memory, Moment};
use crate::vault::{Signature, SpareFile};

/// What a footer begins with: the form of the file, and the code that parsed what is in it (see `build.rs`).
const MARK: &str = concat!("vvault segment 2 ", env!("FORMATS_HASH"));
/// The mark, where the names begin, their and the head's length and check.
const FOOTER: usize = MARK.len() + 8 + 8 + 4;
/// Texts are read in pieces of this size where several follow each other.
const WINDOW: usize = 64 << 10;

/// The text of a row is not, or no longer, what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damaged;

/// What is known of a file without its text.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct RowHead {
    signature: Signature,
    digest: Option<[u8; 16]>,
    /// Milliseconds since 1970, where that is known.
    time: f64,
    /// Where its text stands: bytes.
    text_start: u64,
    text_length: u32,
    text_check: u32,
    /// Places in `labels`, from 1; 0 for none.
    role: u32,
    session: u32,
    /// Place in `tag_lists`.
    tags: u32,
    state: RowState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum RowState {
    Memory { sound: Option<bool>, moment: MomentKind },
    Broken { empty: bool },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum MomentKind {
    At,
    Now,
    Undecided,
}

/// A folder when its names were listed. As long as it has this state they are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Listed {
    /// Its own state, which any later change of a name would have changed.
    pub(super) folder: Signature,
    /// Whether it held nothing but files of its kind.
    pub(super) alone: bool,
}

/// The names of a segment's files, in Chatty's order.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Names {
    /// What the folder was when it was listed and held these files.
    pub(super) listed: Option<Listed>,
    text: Box<str>,
    /// Where each ends in the text.
    ends: Box<[u32]>,
}

#[derive(Serialize, Deserialize)]
struct Head<'a> {
    /// Of the files, in the order of their names.
    rows: Vec<RowHead>,
    /// Sorted.
    #[serde(borrow)]
    labels: Labels<'a>,
    tag_lists: Vec<Vec<u32>>,
    /// If all dates are decided and valid.
    newest_first: Option<Vec<u32>>,
}

#[derive(Serialize, Deserialize)]
struct Labels<'a> {
    bytes: &'a [u8],
    ends: Vec<u32>,
}

enum Texts {
    /// Perhaps from a file, which is closed.
    Memory {
        texts: Box<[u8]>,
        path: Option<PathBuf>,
    },
    File(SpareFile),
}

impl std::fmt::Debug for Texts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Memory { texts, .. } => write!(formatter, "{} bytes", texts.len()),
            Self::File(file) => write!(formatter, "{}", file.path().display()),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Segment {
    names: Arc<Names>,
    rows: Box<[RowHead]>,
    labels: Box<[u8]>,
    label_ends: Box<[u32]>,
    tag_lists: Box<[Box<[u32]>]>,
    texts: Texts,
    undecided: Box<[u32]>,
    unsound: Box<[u32]>,
    /// Whether notifications of the folder don't tell everything of its files.
    escapes: bool,
    damaged: AtomicBool,
    answers: Mutex<HashMap<u32, DateAnswer>>,
    pub(super) newest_first: Mutex<Option<NewestFirst>>,
}

/// Where a segment is written to.
pub(super) trait Sink: Write {
    /// Everything has been written: what it can be read from.
    fn finish(self) -> io::Result<Finished>;
}

/// What has been written.
pub(super) enum Finished {
    Memory(Vec<u8>),
    File(SpareFile),
}

impl Sink for Vec<u8> {
    fn finish(self) -> io::Result<Finished> {
        Ok(Finished::Memory(self))
    }
}

impl Names {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The name at this place.
    pub(super) fn at(&self, at: usize) -> &str {
        let start = if at == 0 { 0 } else { self.ends[at - 1] as usize };
        &self.text[start..self.ends[at] as usize]
    }

    /// Whether every name can be taken out of the text.
    fn is_good(&self) -> bool {
        let is_end = |end: &u32| self.text.is_char_boundary(*end as usize);
        self.ends.iter().all(is_end) && self.ends.is_sorted()
    }

    fn are_in_order(&self, kind: &FolderKind) -> bool {
        (1..self.len()).all(|at| kind.order(self.at(at - 1), self.at(at)).is_lt())
    }
}

/// A segment's file that is whole, and what is left to be made of it.
pub(super) struct Opened {
    file: SpareFile,
    /// Where the texts end in the file.
    texts_end: u64,
    /// The head.
    head: Vec<u8>,
}

impl Opened {
    /// The names in a segment's file, if it is whole, of this form and of this folder. The rest takes longer, and is for
    /// [`finish`](Self::finish).
    pub(super) fn open(file: SpareFile, folder: &str) -> Option<(Arc<Names>, Self)> {
        let mut footer = [0; FOOTER];
        let end_of_head = file.length().checked_sub(FOOTER as u64)?;
        file.read_at(&mut footer, end_of_head).ok()?;
        let (mark, rest) = footer.split_at(MARK.len());
        let (texts_end, rest) = rest.split_first_chunk().map(|(start, rest)| (u64::from_le_bytes(*start), rest))?;
        let (size, rest) = rest.split_first_chunk().map(|(size, rest)| (u64::from_le_bytes(*size), rest))?;
        let check = u32::from_le_bytes(rest.try_into().ok()?);
        if mark != MARK.as_bytes() || texts_end.checked_add(size) != Some(end_of_head) {
            return None;
        }
        let mut text = vec![0; usize::try_from(size).ok()?];
        file.read_at(&mut text, texts_end).ok()?;
        if crc32fast::hash(&text) != check {
            return None;
        }
        let (own, rest) = postcard::take_from_bytes::<&str>(&text).ok()?;
        if own != folder {
            return None;
        }
        let (names, head) = postcard::take_from_bytes::<Names>(rest).ok()?;
        let head = text.len() - head.len();
        text.drain(..head);
        names.is_good().then(|| (Arc::new(names), Self { file, texts_end, head: text }))
    }

    /// The segment, if all places in it lead somewhere.
    pub(super) fn finish(self, names: Arc<Names>, kind: &FolderKind) -> Option<Segment> {
        let head: Head<'_> = postcard::from_bytes(&self.head).ok()?;
        let is_good = head.is_good(self.texts_end) && head.rows.len() == names.len() && names.are_in_order(kind);
        is_good.then(|| Segment::new(names, head, Texts::File(self.file)))
    }
}

impl Segment {
    /// One of nothing.
    pub(super) fn empty() -> Arc<Self> {
        let head = Head {
            rows: Vec::new(),
            labels: Labels { bytes: &[], ends: Vec::new() },
            tag_lists: Vec::new(),
            newest_first: Some(Vec::new()),
        };
        Arc::new(Self::new(Arc::default(), head, Texts::Memory { texts: Box::default(), path: None }))
    }

    fn new(names: Arc<Names>, head: Head<'_>, texts: Texts) -> Self {
        let places = |wanted: &dyn Fn(&RowHead) -> bool| -> Box<[u32]> {
            (0..).zip(&head.rows).filter(|(_, row)| wanted(row)).map(|(place, _)| place).collect()
        };
        let is_undecided = |row: &RowHead| matches!(row.state, RowState::Memory { moment: MomentKind::Undecided, .. });
        let is_unsound = |row: &RowHead| matches!(row.state, RowState::Memory { sound: Some(false), .. });
        Self {
            undecided: places(&is_undecided),
            unsound: places(&is_unsound),
            escapes: head.rows.iter().any(|row| row.signature.is_aliased()),
            names,
            labels: head.labels.bytes.into(),
            label_ends: head.labels.ends.into(),
            tag_lists: head.tag_lists.into_iter().map(distinct).collect(),
            rows: head.rows.into(),
            texts,
            damaged: AtomicBool::new(false),
            answers: Mutex::default(),
            newest_first: Mutex::new(head.newest_first.map(|order| NewestFirst::new(None, order.into()))),
        }
    }

    /// The same with its texts in memory.
    ///
    /// # Errors
    /// If they can't be read.
    pub(super) fn into_memory(mut self) -> io::Result<Self> {
        let Texts::File(file) = &self.texts else { return Ok(self) };
        let end = self.rows.iter().map(|row| row.text_start + u64::from(row.text_length)).max().unwrap_or(0);
        let mut texts = vec![0; usize::try_from(end).map_err(|_| io::ErrorKind::OutOfMemory)?];
        file.read_at(&mut texts, 0)?;
        let path = Some(file.path().to_owned());
        self.texts = Texts::Memory { texts: texts.into(), path };
        Ok(self)
    }

    /// How many files it knows.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The places of its files.
    pub(super) fn places(&self) -> Range<u32> {
        0..u32::try_from(self.rows.len()).unwrap_or(u32::MAX)
    }

    /// The name of the file at this place.
    pub(super) fn name(&self, at: u32) -> &str {
        self.names.at(at as usize)
    }

    /// The place of the file of this name.
    pub(super) fn find(&self, kind: &FolderKind, name: &str) -> Option<u32> {
        search(self.rows.len(), |at| kind.order(self.names.at(at), name))
    }

    pub(super) fn signature(&self, at: u32) -> Signature {
        self.rows[at as usize].signature
    }

    pub(super) fn text_size(&self, at: u32) -> usize {
        self.rows[at as usize].text_length as usize
    }

    pub(super) fn digest(&self, at: u32) -> Option<[u8; 16]> {
        self.rows[at as usize].digest
    }

    pub(super) fn is_memory(&self, at: u32) -> bool {
        matches!(self.rows[at as usize].state, RowState::Memory { .. })
    }

    /// Of a file that holds no memory: whether it could be read, but holds nothing.
    pub(super) fn broken(&self, at: u32) -> Option<bool> {
        match self.rows[at as usize].state {
            RowState::Memory { .. } => None,
            RowState::Broken { empty } => Some(empty),
        }
    }

    /// Whether a stated hash is right.
    pub(super) fn sound(&self, at: u32) -> Option<bool> {
        match self.rows[at as usize].state {
            RowState::Memory { sound, .. } => sound,
            RowState::Broken { .. } => None,
        }
    }

    pub(super) fn moment(&self, at: u32) -> Moment {
        let row = &self.rows[at as usize];
        match row.state {
            RowState::Memory { moment: MomentKind::Undecided, .. } => Moment::Undecided,
            RowState::Memory { moment: MomentKind::Now, .. } => Moment::Now,
            _ => Moment::At(row.time),
        }
    }

    pub(super) fn answer(&self, at: u32) -> Option<DateAnswer> {
        crate::lock::lock(&self.answers).get(&at).cloned()
    }

    pub(super) fn set_answer(&self, at: u32, answer: DateAnswer) {
        crate::lock::lock(&self.answers).insert(at, answer);
    }

    pub(super) fn undecided(&self) -> &[u32] {
        &self.undecided
    }

    pub(super) fn unsound(&self) -> &[u32] {
        &self.unsound
    }

    pub(super) fn escapes(&self) -> bool {
        self.escapes
    }

    fn label_at(&self, at: usize) -> &[u8] {
        let start = if at == 0 { 0 } else { self.label_ends[at - 1] as usize };
        &self.labels[start..self.label_ends[at] as usize]
    }

    /// What is written in rows for a role, a session or a tag; `None` if no row has it.
    pub(super) fn label(&self, text: &[u8]) -> Option<u32> {
        search(self.label_ends.len(), |at| self.label_at(at).cmp(text)).map(|at| at + 1)
    }

    /// How many labels there are.
    pub(super) fn label_count(&self) -> usize {
        self.label_ends.len()
    }

    /// The labels of a row's role and session, 0 for none.
    pub(super) fn labels(&self, at: u32) -> (u32, u32) {
        let row = &self.rows[at as usize];
        (row.role, row.session)
    }

    /// The labels of a row's tags, each once.
    pub(super) fn tags(&self, at: u32) -> &[u32] {
        &self.tag_lists[self.rows[at as usize].tags as usize]
    }

    /// Bytes that it holds in memory, about.
    pub(super) fn heap_size(&self) -> usize {
        let texts = if let Texts::Memory { texts, .. } = &self.texts { texts.len() } else { 0 };
        let lists: usize = self.tag_lists.iter().map(|list| size_of::<Box<[u32]>>() + list.len() * 4).sum();
        let orders = self.rows.len() * 4;
        let names = self.names.text.len() + self.names.len() * size_of::<u32>();
        self.rows.len() * size_of::<RowHead>() + names + self.labels.len() + lists + orders + texts
    }

    /// Whether something in it turned out to be damaged: then all of it is to be forgotten.
    pub(super) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::SeqCst)
    }

    pub(super) fn damage(&self) -> Damaged {
        if !self.damaged.swap(true, Ordering::SeqCst) {
            // Whoever opens it next would find the same.
            self.remove();
        }
        Damaged
    }

    /// The same where its file is not to be had any more: what is in its place may be another process's, and good.
    fn lose(&self) -> Damaged {
        self.damaged.store(true, Ordering::SeqCst);
        Damaged
    }

    /// Removes what is kept in its place, if it has one: others read the files again.
    pub(super) fn remove(&self) {
        let path = match &self.texts {
            Texts::File(file) => file.path(),
            Texts::Memory { path: Some(path), .. } => path,
            Texts::Memory { path: None, .. } => return,
        };
        let _ = std::fs::remove_file(path);
    }

    /// Overwrites the texts of files that are gone or have changed: what somebody deleted is not kept here either.
    pub(super) fn forget(&self, places: impl Iterator<Item = u32>) {
        let mut places = places.peekable();
        if places.peek().is_none() {
            return;
        }
        // By now another process may have put its own in its place: where that has the text nobody knows.
        let Texts::File(file) = &self.texts else { return self.remove() };
        if !file.is_in_place() {
            self.remove();
        }
        for at in places {
            let row = &self.rows[at as usize];
            if file.write_at(&vec![0; row.text_length as usize], row.text_start).is_err() {
                // The next writing of the segment leaves them out.
                break;
            }
        }
    }
}

/// Where in so many things, of which each says how it compares, the one that is sought is.
fn search(count: usize, compare: impl Fn(usize) -> std::cmp::Ordering) -> Option<u32> {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        match compare(middle) {
            std::cmp::Ordering::Equal => return u32::try_from(middle).ok(),
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Greater => high = middle,
        }
    }
    None
}

/// A file may name a tag several times. In the tag's list of memories it is to stand once.
fn distinct(mut labels: Vec<u32>) -> Box<[u32]> {
    labels.sort_unstable();
    labels.dedup();
    labels.into()
}

impl Head<'_> {
    /// Whether all places in it lead somewhere.
    fn is_good(&self, texts_end: u64) -> bool {
        let is_label = |label: &u32| (*label as usize) <= self.labels.ends.len();
        let are_rows_good = self.rows.iter().all(|row| {
            row.text_start.checked_add(row.text_length.into()).is_some_and(|end| end <= texts_end)
                && is_label(&row.role)
                && is_label(&row.session)
                && (row.tags as usize) < self.tag_lists.len()
        });
        let mut seen = vec![false; self.rows.len()];
        let mut is_order = |order: &Vec<u32>| {
            let is_new = |place: &u32| seen.get_mut(*place as usize).is_some_and(|seen| !std::mem::replace(seen, true));
            order.iter().all(is_new)
                && order.is_sorted_by(|newer, older| self.rows[*newer as usize].time >= self.rows[*older as usize].time)
        };
        are_rows_good
            && self.labels.ends.is_sorted()
            && self.labels.ends.last().is_none_or(|end| *end as usize <= self.labels.bytes.len())
            && self.tag_lists.iter().flatten().all(is_label)
            && self.newest_first.as_ref().is_none_or(&mut is_order)
    }
}

/// Takes rows from files and other segments and makes a segment of them.
pub(super) struct Writing<S> {
    sink: S,
    written: u64,
    rows: Vec<RowHead>,
    names: String,
    name_ends: Vec<u32>,
    labels: BTreeMap<Vec<u8>, u32>,
    tag_lists: HashMap<Vec<u32>, u32>,
}

impl<S: Sink> Writing<S> {
    /// The rows in Chatty's order of files. Each must be settled, and of a file that could be read. `listed` tells of the
    /// folder, if it holds these files and no others of its kind.
    ///
    /// # Errors
    /// If a text can't be read or the file can't be written.
    pub(super) fn write(sink: S, rows: &[RowRef<'_>], folder: &str, listed: Option<Listed>) -> io::Result<Segment> {
        let mut writing = Self {
            sink,
            written: 0,
            rows: Vec::with_capacity(rows.len()),
            names: String::new(),
            name_ends: Vec::with_capacity(rows.len()),
            labels: BTreeMap::new(),
            tag_lists: HashMap::from([(Vec::new(), 0)]),
        };
        writing.sink.write_all(folder.as_bytes())?;
        writing.sink.write_all(b"\n")?;
        writing.written = folder.len() as u64 + 1;
        let newest_first = newest_first(rows);
        for row in rows {
            writing.head(*row)?;
        }
        let mut texts = TextReader::default();
        let mut record = Vec::new();
        let in_order = |at: usize| newest_first.as_ref().map_or(at, |order| order[at] as usize);
        for at in 0..newest_first.as_ref().map_or(rows.len(), Vec::len) {
            writing.text(in_order(at), rows, &mut texts, &mut record)?;
        }
        if newest_first.is_some() {
            // Those without a time.
            for at in (0..rows.len()).filter(|at| !rows[*at].is_memory()) {
                writing.text(at, rows, &mut texts, &mut record)?;
            }
        }
        writing.finish(newest_first, folder, listed)
    }

    fn label(&mut self, text: Option<Cow<'_, [u8]>>) -> u32 {
        let Some(text) = text else { return 0 };
        if let Some(label) = self.labels.get(text.as_ref()) {
            return *label;
        }
        let label = u32::try_from(self.labels.len() + 1).unwrap_or(0);
        self.labels.insert(text.into_owned(), label);
        label
    }

    fn head(&mut self, row: RowRef<'_>) -> io::Result<()> {
        let too_large = || io::Error::from(io::ErrorKind::FileTooLarge);
        self.names.push_str(row.name());
        self.name_ends.push(u32::try_from(self.names.len()).map_err(|_| too_large())?);
        let (role, session, tags, state) = match row {
            RowRef::Fresh(entry) => match &entry.content {
                Content::Memory(memory) => {
                    let moment = match memory.moment() {
                        Moment::At(_) => MomentKind::At,
                        Moment::Now => MomentKind::Now,
                        Moment::Undecided => MomentKind::Undecided,
                    };
                    let tags: Vec<u32> = memory.tags().into_iter().map(|tag| self.label(Some(tag))).collect();
                    let state = RowState::Memory { sound: memory.is_sound(), moment };
                    (self.label(memory.role()), self.label(memory.session()), tags, state)
                }
                Content::Broken { empty, .. } => (0, 0, Vec::new(), RowState::Broken { empty: *empty }),
            },
            RowRef::Stored(segment, at) => {
                let own = &segment.rows[at as usize];
                let label =
                    |label: u32| label.checked_sub(1).map(|label| Cow::Borrowed(segment.label_at(label as usize)));
                let tags = segment.tags(at).iter().map(|tag| self.label(label(*tag))).collect();
                (self.label(label(own.role)), self.label(label(own.session)), tags, own.state)
            }
        };
        let next = u32::try_from(self.tag_lists.len()).map_err(|_| too_large())?;
        self.rows.push(RowHead {
            signature: row.signature().ok_or(io::ErrorKind::InvalidInput)?,
            digest: row.digest(),
            time: if let Moment::At(time) = row.moment() { time } else { f64::NAN },
            text_start: 0,
            text_length: 0,
            text_check: 0,
            role,
            session,
            tags: *self.tag_lists.entry(tags).or_insert(next),
            state,
        });
        Ok(())
    }

    fn text(&mut self, at: usize, rows: &[RowRef<'_>], texts: &mut TextReader, record: &mut Vec<u8>) -> io::Result<()> {
        record.clear();
        match rows[at] {
            RowRef::Fresh(entry) => match &entry.content {
                Content::Memory(memory) => memory.write_record(record),
                Content::Broken { message, .. } => record.extend_from_slice(message.as_bytes()),
            },
            RowRef::Stored(segment, at) => {
                let text = texts.text(segment, at).map_err(|Damaged| io::ErrorKind::InvalidData)?;
                record.extend_from_slice(text);
            }
        }
        let row = &mut self.rows[at];
        row.text_start = self.written;
        row.text_length = u32::try_from(record.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        row.text_check = crc32fast::hash(record);
        self.written += record.len() as u64;
        self.sink.write_all(record)
    }

    fn finish(self, newest_first: Option<Vec<u32>>, folder: &str, listed: Option<Listed>) -> io::Result<Segment> {
        let Self { mut sink, written, mut rows, names, name_ends, labels, tag_lists } = self;
        // From the order in which they were met to the sorted one.
        let mut sorted = vec![0; labels.len() + 1];
        for (place, met) in (1..).zip(labels.values()) {
            sorted[*met as usize] = place;
        }
        let mut bytes = Vec::new();
        let mut ends = Vec::with_capacity(labels.len());
        for label in labels.keys() {
            bytes.extend_from_slice(label);
            ends.push(u32::try_from(bytes.len()).map_err(|_| io::ErrorKind::FileTooLarge)?);
        }
        for row in &mut rows {
            row.role = sorted[row.role as usize];
            row.session = sorted[row.session as usize];
        }
        let mut lists = vec![Vec::new(); tag_lists.len()];
        for (list, place) in tag_lists {
            lists[place as usize] = list.into_iter().map(|label| sorted[label as usize]).collect();
        }
        let labels = Labels { bytes: &bytes, ends };
        let names = Names { listed, text: names.into(), ends: name_ends.into() };
        let head = Head { rows, labels, tag_lists: lists, newest_first };
        let mut text = postcard::to_allocvec(&(folder, &names)).map_err(io::Error::other)?;
        text = postcard::to_extend(&head, text).map_err(io::Error::other)?;
        sink.write_all(&text)?;
        sink.write_all(MARK.as_bytes())?;
        sink.write_all(&written.to_le_bytes())?;
        sink.write_all(&(text.len() as u64).to_le_bytes())?;
        sink.write_all(&crc32fast::hash(&text).to_le_bytes())?;
        let texts = match sink.finish()? {
            Finished::Memory(mut texts) => {
                texts.truncate(usize::try_from(written).unwrap_or(usize::MAX));
                Texts::Memory { texts: texts.into(), path: None }
            }
            Finished::File(file) => Texts::File(file),
        };
        Ok(Segment::new(Arc::new(names), head, texts))
    }
}

/// The places of the rows' memories, newest first; `None` if a date is undecided or invalid.
fn newest_first(rows: &[RowRef<'_>]) -> Option<Vec<u32>> {
    let mut times = Vec::with_capacity(rows.len());
    for (place, row) in (0..).zip(rows).filter(|(_, row)| row.is_memory()) {
        match row.moment() {
            Moment::At(time) if !time.is_nan() => times.push((time, place)),
            _ => return None,
        }
    }
    times.sort_by(|(left, _), (right, _)| right.total_cmp(left));
    Some(times.into_iter().map(|(_, place)| place).collect())
}

/// Reads texts of segments; those that follow each other at once.
#[derive(Debug, Default)]
pub(super) struct TextReader {
    window: Vec<u8>,
    /// So much was to be read into it at once: more with each time.
    size: usize,
    start: u64,
    /// Whose: its address.
    of: usize,
}

impl TextReader {
    /// The text of a row.
    pub(super) fn text<'a>(&'a mut self, segment: &'a Segment, at: u32) -> Result<&'a [u8], Damaged> {
        let row = &segment.rows[at as usize];
        let length = row.text_length as usize;
        let text = match &segment.texts {
            Texts::Memory { texts, .. } => {
                let start = usize::try_from(row.text_start).map_err(|_| segment.damage())?;
                texts.get(start..start + length).ok_or_else(|| segment.damage())?
            }
            Texts::File(file) => {
                let own = std::ptr::from_ref(segment).addr();
                let offset = row.text_start.checked_sub(self.start).and_then(|offset| usize::try_from(offset).ok());
                let known =
                    offset.filter(|offset| self.of == own && self.window.len().saturating_sub(*offset) >= length);
                let offset = if let Some(offset) = known {
                    offset
                } else {
                    // Only who goes on from one text to the next is likely to want what follows.
                    let goes_on = self.of == own && offset.is_some_and(|offset| offset <= self.window.len());
                    self.size = if goes_on { WINDOW.min(4 * self.size) } else { WINDOW / 16 };
                    self.window.resize(length.max(self.size), 0);
                    let read = file.read_up_to(&mut self.window, row.text_start).map_err(|_| segment.lose())?;
                    self.window.truncate(read);
                    (self.start, self.of) = (row.text_start, own);
                    0
                };
                self.window.get(offset..offset + length).ok_or_else(|| segment.damage())?
            }
        };
        if crc32fast::hash(text) == row.text_check {
            Ok(text)
        } else if text.iter().all(|byte| *byte == 0) {
            // Overwritten on purpose: whoever asks has an old snapshot.
            Err(Damaged)
        } else {
            Err(segment.damage())
        }
    }

    /// The memory of a row; `None` if its file holds none.
    pub(super) fn memory(&mut self, segment: &Segment, at: u32) -> Result<Option<Memory>, Damaged> {
        if !segment.is_memory(at) {
            return Ok(None);
        }
        let memory = Memory::from_record(self.text(segment, at)?);
        memory.map(Some).ok_or_else(|| segment.damage())
    }
}
