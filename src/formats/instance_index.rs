//! VVAULT's index of one instance, `indexes/{instance}_index.json`, as `vvault_core.py` reads and writes it.
//!
//! Python loads each entry into a dataclass: one with an unknown key, or without one of the twelve, makes it take the whole
//! index for missing and begin a new one at its next store. So nothing is ever added to an entry. What Python wrote comes
//! out again byte for byte.
//!
//! Tags stand twice, in the entry and in the map of tags. A capsule has a tag if either says so.
//!
//! Entries are kept as the text that they have in the file: a history of ten thousand versions is written again by copying
//! it.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use indexmap::{IndexMap, IndexSet};

use super::json::{self, Kind, SyntaxError, Value};

/// The keys that an entry has, no more and no fewer, in Python's order.
pub const ENTRY_KEYS: [&str; 12] = [
    "instance_name",
    "uuid",
    "timestamp",
    "filename",
    "fingerprint_hash",
    "tags",
    "capsule_version",
    "generator",
    "vault_source",
    "file_size",
    "created_at",
    "updated_at",
];

/// What the index says of one capsule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// As it stands in the file.
    text: Box<str>,
    timestamp: Option<Box<str>>,
    filename: Box<str>,
    /// From both places.
    tags: Vec<Box<str>>,
    /// Whether `text` names just these tags.
    names_its_tags: bool,
}

/// An index as it stands in its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceIndex {
    /// The members besides the capsules and tags, as JSON.
    instance_name: Box<str>,
    created_at: Box<str>,
    updated_at: Box<str>,
    latest: Option<Box<str>>,
    entries: IndexMap<Box<str>, Entry>,
    /// The UUIDs of each tag, as JSON values, which need not be strings.
    tagged: IndexMap<Box<str>, Vec<Box<str>>>,
}

/// By tags, the UUIDs of capsules that are given them, as JSON.
type Given = IndexMap<Box<str>, IndexSet<Box<str>>>;

/// Why an index can't be used as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// It ends in the middle: a writer is at work, or was interrupted.
    #[error("the index is cut off")]
    CutOff,
    /// It is not an index.
    #[error("the index is damaged: {0}")]
    NotAnIndex(String),
}

impl Damage {
    fn new(problem: &str) -> Self {
        Self::NotAnIndex(problem.to_owned())
    }

    fn of_syntax(error: SyntaxError, text: &[u8]) -> Self {
        if error.offset >= text.len() { Self::CutOff } else { Self::new(error.problem) }
    }
}

/// What was saved from a damaged index.
#[derive(Debug, Default)]
pub struct Salvaged {
    /// UUIDs and entries.
    pub entries: Vec<(String, Entry)>,
    /// UUIDs and tags, also of entries that could not be saved.
    pub tags: Vec<(String, String)>,
    /// Which capsule was stored last, if that is told.
    pub latest: Option<String>,
}

impl InstanceIndex {
    /// An index without capsules. `now` is an ISO date as Python writes it.
    #[must_use]
    pub fn new(instance: &str, now: &str) -> Self {
        Self {
            instance_name: quoted(instance),
            created_at: quoted(now),
            updated_at: quoted(now),
            latest: None,
            entries: IndexMap::new(),
            tagged: IndexMap::new(),
        }
    }

    /// Reads an index file. Text behind a whole index, which two writers over each other leave, is ignored: see
    /// [`parse_file`](Self::parse_file). Numbers that only Python has become `null`.
    ///
    /// # Errors
    /// [`Damage`]: rebuild the index from the capsules, and see [`salvage`](Self::salvage).
    pub fn parse(text: &[u8]) -> Result<Self, Damage> {
        Self::parse_file(text).map(|(index, _)| index)
    }

    /// The same, and whether nothing stands behind it: Python reads no other.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_file(text: &[u8]) -> Result<(Self, bool), Damage> {
        Self::parse_plain(text).or_else(|damage| {
            let plain = std::str::from_utf8(text).ok().and_then(json::without_python_numbers);
            match plain {
                Some(Cow::Owned(plain)) => Self::parse_plain(plain.as_bytes()),
                _ => Err(damage),
            }
        })
    }

    fn parse_plain(text: &[u8]) -> Result<(Self, bool), Damage> {
        let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        let mut values: HashMap<Vec<u8>, Value<'_>> = HashMap::new();
        let whole = json::scan_first(text, |key, value| {
            values.insert(key.into_owned(), value);
        })
        .map_err(|error| Damage::of_syntax(error, text))?;
        if whole.kind() != Kind::Object || std::str::from_utf8(text).is_err() {
            return Err(Damage::new("it is not an object"));
        }
        let get = |key: &str| values.get(key.as_bytes()).copied();
        let needed = |key: &str| {
            get(key).map(|value| value.text().into()).ok_or_else(|| Damage::NotAnIndex(format!("it has no {key}")))
        };
        let mut index = Self {
            instance_name: needed("instance_name")?,
            created_at: needed("created_at")?,
            updated_at: needed("updated_at")?,
            latest: get("latest_uuid").and_then(|latest| string_of(&latest)),
            entries: IndexMap::new(),
            tagged: IndexMap::new(),
        };
        if let Some(capsules) = get("capsules") {
            index.read_entries(capsules)?;
        }
        if let Some(tags) = get("tags") {
            index.read_tags(tags)?;
        }
        let begin = text.iter().take_while(|byte| is_space(byte)).count();
        Ok((index, text[begin + whole.text().len()..].iter().all(is_space)))
    }

    fn read_entries(&mut self, capsules: Value<'_>) -> Result<(), Damage> {
        if capsules.kind() != Kind::Object {
            return Err(Damage::new("its capsules are not an object"));
        }
        let mut broken = None;
        let _ = json::scan(capsules.text().as_bytes(), |uuid, entry| match Entry::parse(entry) {
            Some(entry) => drop(self.entries.insert(lossy(&uuid), entry)),
            None => broken = Some(lossy(&uuid)),
        });
        broken.map_or(Ok(()), |uuid| {
            Err(Damage::NotAnIndex(format!("the entry of {uuid} has not just the twelve fields of an entry")))
        })
    }

    fn read_tags(&mut self, tags: Value<'_>) -> Result<(), Damage> {
        if tags.kind() != Kind::Object {
            return Err(Damage::new("its tags are not an object"));
        }
        let mut tagged = IndexMap::new();
        let _ = json::scan(tags.text().as_bytes(), |tag, uuids| {
            tagged.insert(lossy(&tag), json::items(uuids.text()));
        });
        let own_tags = |(at, entry)| Entry::tags(entry).map(move |tag| (at, tag));
        let mut known: HashSet<(usize, &str)> = self.entries.values().enumerate().flat_map(own_tags).collect();
        let mut missing = Vec::new();
        for (tag, uuids) in &tagged {
            let capsules = uuids.iter().filter_map(string_of).filter_map(|uuid| self.entries.get_index_of(&uuid));
            missing.extend(capsules.filter(|at| known.insert((*at, tag))).map(|at| (at, tag.clone())));
        }
        for (at, tag) in missing {
            self.entries[at].tags.push(tag);
            self.entries[at].names_its_tags = false;
        }
        let texts = |uuids: Vec<Value<'_>>| uuids.iter().map(|uuid| uuid.text().into()).collect();
        self.tagged = tagged.into_iter().map(|(tag, uuids)| (tag, texts(uuids))).collect();
        Ok(())
    }

    /// What can be saved from a damaged index, as far as it is whole before its damage.
    #[must_use]
    pub fn salvage(text: &[u8]) -> Salvaged {
        const CAPSULES: &[u8] = b"\"capsules\":";
        const TAGS: &[u8] = b"\"tags\":";
        const LATEST: &[u8] = b"\"latest_uuid\":";
        let mut entries = IndexMap::new();
        let mut tags = Vec::new();
        let text_of = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if let Some(at) = memchr::memmem::find(text, CAPSULES) {
            let _ = json::scan_first(&text[at + CAPSULES.len()..], |uuid, value| {
                if let Some(entry) = Entry::parse(value) {
                    entries.insert(text_of(&uuid), entry);
                    return;
                }
                // It has other fields than an entry has, and is made anew of its file, which knows no tags.
                let [own] = json::members(value.text(), ["tags"]);
                let own = json::items(own.map_or("null", |own| own.text()));
                tags.extend(own.iter().filter_map(string_of).map(|tag| (text_of(&uuid), tag.into())));
            });
        }
        // The last: those of entries stand before.
        if let Some(at) = memchr::memmem::rfind(text, TAGS) {
            let _ = json::scan_first(&text[at + TAGS.len()..], |tag, uuids| {
                let uuids = json::items(uuids.text());
                tags.extend(uuids.iter().filter_map(string_of).map(|uuid| (uuid.into(), text_of(&tag))));
            });
        }
        let latest = memchr::memmem::rfind(text, LATEST).and_then(|at| {
            let latest = json::scan_first(&text[at + LATEST.len()..], |_, _| {}).ok()?.string()?;
            String::from_utf8(latest.into_owned()).ok()
        });
        Salvaged { entries: entries.into_iter().collect(), tags, latest }
    }

    /// The text of the file, as Python writes it: two spaces of indentation, no line break at the end.
    #[must_use]
    pub fn to_text(&self) -> String {
        let entries: usize = self.entries.iter().map(|(uuid, entry)| uuid.len() + entry.text.len() + 16).sum();
        let mut text = String::with_capacity(entries + 512);
        text.push_str("{\n  \"instance_name\": ");
        text.push_str(&self.instance_name);
        text.push_str(",\n  \"capsules\": {");
        for (at, (uuid, entry)) in self.entries.iter().enumerate() {
            text.push_str(if at == 0 { "\n    " } else { ",\n    " });
            json::write_string(&mut text, uuid);
            text.push_str(": ");
            text.push_str(&entry.text);
        }
        text.push_str(if self.entries.is_empty() { "},\n  \"tags\": {" } else { "\n  },\n  \"tags\": {" });
        for (at, (tag, tagged)) in self.tagged.iter().enumerate() {
            text.push_str(if at == 0 { "\n    " } else { ",\n    " });
            json::write_string(&mut text, tag);
            text.push_str(": ");
            write_list(&mut text, tagged.iter().map(|uuid| &**uuid), 4);
        }
        text.push_str(if self.tagged.is_empty() { "},\n  \"latest_uuid\": " } else { "\n  },\n  \"latest_uuid\": " });
        match &self.latest {
            Some(latest) => json::write_string(&mut text, latest),
            None => text.push_str("null"),
        }
        for (key, value) in [("created_at", &self.created_at), ("updated_at", &self.updated_at)] {
            text.push_str(",\n  \"");
            text.push_str(key);
            text.push_str("\": ");
            text.push_str(value);
        }
        text.push_str("\n}");
        text
    }

    /// The entry of a capsule.
    #[must_use]
    pub fn entry(&self, uuid: &str) -> Option<&Entry> {
        self.entries.get(uuid)
    }

    /// The UUIDs and entries, in the order of their first storing.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(uuid, entry)| (&**uuid, entry))
    }

    /// How many capsules there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The capsule that was stored last.
    #[must_use]
    pub fn latest(&self) -> Option<&str> {
        self.latest.as_deref()
    }

    /// When the index was begun and last changed, as JSON.
    #[must_use]
    pub fn times(&self) -> [&str; 2] {
        [&self.created_at, &self.updated_at]
    }

    /// The tags in the order in which they were first given.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        self.tagged.keys().map(|tag| &**tag)
    }

    /// The entries, newest first: by timestamp as text, which is how VVAULT compares; of equal ones the first stored comes
    /// first. With `tag` only those that have it.
    #[must_use]
    pub fn newest_first(&self, tag: Option<&str>) -> Vec<(&str, &Entry)> {
        let mut entries: Vec<_> =
            self.entries().filter(|(_, entry)| tag.is_none_or(|tag| entry.has_tag(tag))).collect();
        entries.sort_by(|(_, left), (_, right)| right.timestamp.cmp(&left.timestamp));
        entries
    }

    /// Puts a capsule in and makes it the latest. Of one that is there already the tags and the time of its first storing
    /// are kept.
    pub fn insert(&mut self, uuid: &str, mut entry: Entry, now: &str) {
        if let Some(known) = self.entries.get(uuid) {
            let created = quoted(&known.created_at());
            entry.tags.clone_from(&known.tags);
            entry.set_field(5, &list(&known.tags));
            entry.set_field(10, &created);
        }
        self.entries.insert(uuid.into(), entry);
        self.set_latest(Some(uuid));
        self.touch(now);
    }

    /// Puts a capsule in that was found. Of one that is there already also the time of its last change is kept, by which it is told
    /// what whoever wrote the entry can have known.
    pub fn insert_found(&mut self, uuid: &str, mut entry: Entry, now: &str) {
        if let Some(known) = self.entries.get(uuid) {
            entry.set_field(11, &quoted(&known.updated_at()));
        }
        self.insert(uuid, entry, now);
    }

    /// Puts entries in as they are, as those that were saved from a damaged index; none becomes the latest.
    pub fn put_back(&mut self, entries: Vec<(String, Entry)>) {
        let mut given = Given::new();
        for (uuid, entry) in entries {
            for tag in &entry.tags {
                given.entry(tag.clone()).or_default().insert(quoted(&uuid));
            }
            self.entries.insert(uuid.into(), entry);
        }
        self.note_tagged(given);
    }

    /// Makes a capsule the latest.
    pub fn set_latest(&mut self, uuid: Option<&str>) {
        self.latest = uuid.map(Into::into);
    }

    /// Gives a capsule a tag, in both places. False if there is no such capsule.
    pub fn add_tag(&mut self, uuid: &str, tag: &str, now: &str) -> bool {
        let Some(entry) = self.entries.get_mut(uuid) else { return false };
        if !entry.has_tag(tag) {
            entry.tags.push(tag.into());
            entry.write_tags(now);
        } else if !entry.names_its_tags {
            entry.write_tags(now);
        }
        self.note_tagged([(tag.into(), [quoted(uuid)].into())].into());
        self.touch(now);
        true
    }

    /// Takes a tag from a capsule, in both places. False if there is no such capsule.
    pub fn remove_tag(&mut self, uuid: &str, tag: &str, now: &str) -> bool {
        let Some(entry) = self.entries.get_mut(uuid) else { return false };
        if entry.has_tag(tag) {
            entry.tags.retain(|own| **own != *tag);
            entry.write_tags(now);
        }
        let quoted = quoted(uuid);
        self.forget_tagged(|of, own| of == tag && *own == *quoted);
        self.touch(now);
        true
    }

    /// Gives and takes many tags, in both places: capsules, tags, and whether each has it now. Of several words on one the last
    /// counts. Each entry is written once, and not if it was so already.
    pub fn change_tags<'a>(&mut self, changes: impl IntoIterator<Item = (&'a str, &'a str, bool)>, now: &str) {
        let mut by_capsule: IndexMap<&str, IndexMap<&str, bool>> = IndexMap::new();
        for (uuid, tag, is_given) in changes {
            by_capsule.entry(uuid).or_default().insert(tag, is_given);
        }
        let (mut given, mut taken) = (Given::new(), HashMap::<&str, HashSet<Box<str>>>::new());
        for (uuid, mut tags) in by_capsule {
            let Some(entry) = self.entries.get_mut(uuid) else { continue };
            let known: HashSet<&str> = entry.tags().collect();
            tags.retain(|tag, is_given| known.contains(tag) != *is_given);
            if tags.is_empty() {
                continue;
            }
            entry.tags.retain(|tag| !tags.contains_key(&**tag));
            for (tag, is_given) in tags {
                if is_given {
                    entry.tags.push(tag.into());
                    given.entry(tag.into()).or_default().insert(quoted(uuid));
                } else {
                    taken.entry(tag).or_default().insert(quoted(uuid));
                }
            }
            entry.write_tags(now);
            self.touch(now);
        }
        if !taken.is_empty() {
            self.forget_tagged(|tag, uuid| taken.get(tag).is_some_and(|uuids| uuids.contains(uuid)));
        }
        self.note_tagged(given);
    }

    /// Takes a capsule out; the newest of the rest becomes the latest. Gives its entry.
    pub fn remove(&mut self, uuid: &str, now: &str) -> Option<Entry> {
        let entry = self.entries.shift_remove(uuid)?;
        let quoted = quoted(uuid);
        self.forget_tagged(|_, own| *own == *quoted);
        if self.latest.as_deref() == Some(uuid) {
            self.latest = self.newest_first(None).first().map(|(uuid, _)| (*uuid).into());
        }
        self.touch(now);
        Some(entry)
    }

    /// Puts capsules into the map of tags that are not there.
    fn note_tagged(&mut self, given: Given) {
        for (tag, mut uuids) in given {
            let tagged = self.tagged.entry(tag).or_default();
            let known: HashSet<&str> = tagged.iter().map(|uuid| &**uuid).collect();
            uuids.retain(|uuid| !known.contains(&**uuid));
            tagged.extend(uuids);
        }
    }

    /// Takes capsules out of the map of tags; a tag that nothing has any more goes.
    fn forget_tagged(&mut self, is_gone: impl Fn(&str, &str) -> bool) {
        self.tagged.retain(|tag, tagged| {
            tagged.retain(|own| !is_gone(tag, own));
            !tagged.is_empty()
        });
    }

    /// Notes that the index changed now.
    pub fn touch(&mut self, now: &str) {
        self.updated_at = quoted(now);
    }
}

/// What an entry is made of besides its tags and times: JSON values as they stand in the capsule's metadata.
#[derive(Debug, Clone, Copy)]
pub struct EntryFields<'a> {
    /// The instance's name.
    pub instance_name: Value<'a>,
    /// The capsule's own time.
    pub timestamp: Value<'a>,
    /// The stated hash.
    pub fingerprint_hash: Value<'a>,
    /// `1.0.0` if it is absent.
    pub capsule_version: Option<Value<'a>>,
    /// `CapsuleForge` if it is absent.
    pub generator: Option<Value<'a>>,
    /// `VVAULT` if it is absent.
    pub vault_source: Option<Value<'a>>,
    /// The file's name.
    pub filename: &'a str,
    /// Its bytes.
    pub file_size: u64,
}

impl Entry {
    /// The entry of a capsule that was stored at `now` (an ISO date as Python writes it), without tags.
    #[must_use]
    pub fn new(uuid: &str, fields: &EntryFields<'_>, now: &str) -> Self {
        let or = |value: Option<Value<'_>>, default: &str| value.map_or_else(|| quoted(default), |value| plain(&value));
        let values: [Box<str>; 12] = [
            plain(&fields.instance_name),
            quoted(uuid),
            plain(&fields.timestamp),
            quoted(fields.filename),
            plain(&fields.fingerprint_hash),
            list(&[]),
            or(fields.capsule_version, "1.0.0"),
            or(fields.generator, "CapsuleForge"),
            or(fields.vault_source, "VVAULT"),
            fields.file_size.to_string().into(),
            quoted(now),
            quoted(now),
        ];
        Self {
            text: written(&values),
            timestamp: string_of(&fields.timestamp),
            filename: fields.filename.into(),
            tags: Vec::new(),
            names_its_tags: true,
        }
    }

    /// `None` if it has not just the twelve fields.
    fn parse(entry: Value<'_>) -> Option<Self> {
        if entry.kind() != Kind::Object {
            return None;
        }
        let values = fields(entry.text())?;
        let [_, _, timestamp, filename, _, tags, ..] = values;
        Some(Self {
            text: entry.text().into(),
            timestamp: string_of(&timestamp),
            filename: string_of(&filename).unwrap_or_default(),
            tags: json::items(tags.text()).iter().filter_map(string_of).collect(),
            names_its_tags: true,
        })
    }

    /// The capsule's own time; `None` if it is no text.
    #[must_use]
    pub fn timestamp(&self) -> Option<&str> {
        self.timestamp.as_deref()
    }

    /// The name of the file: not to be trusted, as it stands in a file itself.
    #[must_use]
    pub fn filename(&self) -> &str {
        &self.filename
    }

    /// The tags, from both places.
    pub fn tags(&self) -> impl Iterator<Item = &str> + Clone {
        self.tags.iter().map(|tag| &**tag)
    }

    /// Whether it has a tag.
    #[must_use]
    pub fn has_tag(&self, tag: &str) -> bool {
        self.tags.iter().any(|own| **own == *tag)
    }

    /// Whether a file of so many bytes, written then (nanoseconds since 1970), can be the one that was stored: it was not
    /// written since.
    #[must_use]
    pub fn is_of_file(&self, size: u64, written: i64) -> bool {
        let Some(values) = fields(&self.text) else { return false };
        let stored = string_of(&values[10]).and_then(|at| at.parse::<jiff::Timestamp>().ok());
        values[9].text() == size.to_string()
            && stored.is_some_and(|stored| i128::from(written / 1000) <= i128::from(stored.as_microsecond()))
    }

    /// When it was first stored.
    #[must_use]
    pub fn created_at(&self) -> String {
        self.time(10)
    }

    /// When it was last changed.
    #[must_use]
    pub fn updated_at(&self) -> String {
        self.time(11)
    }

    fn time(&self, place: usize) -> String {
        let time = fields(&self.text).and_then(|values| string_of(&values[place]));
        time.map(String::from).unwrap_or_default()
    }

    /// The entry as JSON, with its tags from both places.
    #[must_use]
    pub fn to_json(&self) -> String {
        if self.names_its_tags {
            return self.text.to_string();
        }
        let mut whole = self.clone();
        whole.set_field(5, &list(&self.tags));
        whole.text.into()
    }

    fn write_tags(&mut self, now: &str) {
        self.set_field(5, &list(&self.tags));
        self.set_field(11, &quoted(now));
        self.names_its_tags = true;
    }

    fn set_field(&mut self, place: usize, value: &str) {
        let Some(values) = fields(&self.text) else { return };
        let mut values = values.map(|value| value.text());
        values[place] = value;
        self.text = written(&values);
    }
}

/// The values of an entry in the order of its keys; `None` if there are other keys, or not all.
fn fields(entry: &str) -> Option<[Value<'_>; 12]> {
    let mut values = [None; 12];
    let mut others = false;
    json::scan(entry.as_bytes(), |key, value| match ENTRY_KEYS.iter().position(|own| own.as_bytes() == key.as_ref()) {
        Some(at) => values[at] = Some(value),
        None => others = true,
    })
    .ok()?;
    if others || values.contains(&None) {
        return None;
    }
    let mut values = values.into_iter().flatten();
    let first = values.next()?;
    let mut whole = [first; 12];
    for (place, value) in whole[1..].iter_mut().zip(values) {
        *place = value;
    }
    Some(whole)
}

fn written(values: &[impl AsRef<str>; 12]) -> Box<str> {
    let mut text = String::with_capacity(512);
    for (at, (key, value)) in ENTRY_KEYS.iter().zip(values).enumerate() {
        text.push_str(if at == 0 { "{\n      \"" } else { ",\n      \"" });
        text.push_str(key);
        text.push_str("\": ");
        text.push_str(value.as_ref());
    }
    text.push_str("\n    }");
    text.into()
}

fn list(tags: &[Box<str>]) -> Box<str> {
    let tags: Vec<Box<str>> = tags.iter().map(|tag| quoted(tag)).collect();
    let mut text = String::new();
    write_list(&mut text, tags.iter().map(|tag| &**tag), 6);
    text.into()
}

fn write_list<'a>(text: &mut String, items: impl Iterator<Item = &'a str>, indentation: usize) {
    let mut items = items.peekable();
    if items.peek().is_none() {
        text.push_str("[]");
        return;
    }
    let line = |text: &mut String, deeper: usize| {
        text.push('\n');
        text.extend(std::iter::repeat_n(' ', indentation + deeper));
    };
    for (at, item) in items.enumerate() {
        text.push_str(if at == 0 { "[" } else { "," });
        line(text, 2);
        text.push_str(item);
    }
    line(text, 0);
    text.push(']');
}

fn quoted(text: &str) -> Box<str> {
    let mut json = String::with_capacity(text.len() + 2);
    json::write_string(&mut json, text);
    json.into()
}

/// A value as Python would write it, strings without needless escapes; but `null` for numbers that only Python has, and what
/// would keep Python from reading or writing the index at all otherwise: a half of a surrogate pair, more digits than it
/// takes, or too deep a nesting.
fn plain(value: &Value<'_>) -> Box<str> {
    /// Python takes 4,300 digits.
    const LONGEST: usize = 4096;
    if let Some(text) = value.string() {
        return quoted(&String::from_utf8_lossy(&text));
    }
    // Of what `serde_json` takes Python takes all.
    let is_fit = |text: &str| value.kind() == Kind::Number || serde_json::from_str::<serde_json::Value>(text).is_ok();
    let plain = json::without_python_numbers(value.text()).filter(|text| text.len() <= LONGEST && is_fit(text));
    plain.map_or_else(|| "null".into(), Cow::into)
}

fn string_of(value: &Value<'_>) -> Option<Box<str>> {
    value.string().and_then(|text| String::from_utf8(text.into_owned()).ok()).map(Into::into)
}

fn lossy(text: &[u8]) -> Box<str> {
    String::from_utf8_lossy(text).into()
}

#[cfg(test)]
mod tests;
