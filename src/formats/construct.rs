//! A construct's capsule: what it restores to.
//!
//! Many programs have written capsules, each with its memories in other places. Read here are, in this order: the five
//! lists of `memory` in the order of VVAULT's own `restore_construct` (short-term, long-term, emotional, procedural,
//! episodic), `memory.memory_log`, `memory_log` at the top (Chatty's Node code, both "role: text"), `long_term_memories`
//! at the top (the bridge's older form), and the exchanges of `sessions` (memup). Memories are strings, or objects with
//! `content` or `text`. A section that is missing or of another type is empty.
//!
//! Nothing in a capsule is ever run, and values cross to JavaScript as the JSON text that stands in the file.

use std::borrow::Cow;
use std::collections::HashMap;

use super::construct_name::ConstructName;
use super::fingerprint::sha256;
use super::json::{self, Kind, Value};
use super::memory::{Member, Memory, Moment, Origin, SessionName};

/// The five lists of `memory`, each with its kind, in the order in which they are restored.
const LISTS: [(&str, &str); 5] = [
    ("short_term_memories", "short-term"),
    ("long_term_memories", "long-term"),
    ("emotional_memories", "emotional"),
    ("procedural_memories", "procedural"),
    ("episodic_memories", "episodic"),
];

/// So many bytes do the memories of a capsule have at most: as an answer they are one string, and V8 has none that is
/// longer.
const LARGEST: usize = if cfg!(test) { 1 << 23 } else { (1 << 29) - 24 };

/// What each memory says of its capsule is at most so long, as JSON: the capsule has it once, and may have a memory for
/// every four bytes. What is longer (no name of a file, no UUID and no date is) stands in the state alone.
const LONGEST_REPEATED: usize = 256;

/// What a capsule restores to. What is not a memory is kept as JSON.
#[derive(Debug)]
pub struct Restored {
    instance_name: String,
    uuid: String,
    timestamp: String,
    traits: String,
    personality: String,
    environment: String,
    additional_data: String,
    memories: Vec<Memory>,
    /// Where the sections end among the memories. What a section lists of one time was appended: the last is the newest.
    pub sections: Vec<usize>,
}

impl Restored {
    /// The memories, in the order of the sections.
    #[must_use]
    pub fn into_memories(self) -> Vec<Memory> {
        self.memories
    }

    /// The state as JSON: `{ instanceName, uuid, timestamp, traits, personality, memoryLog, memories, environment,
    /// additionalData }`.
    #[must_use]
    pub fn to_json(&self) -> String {
        self.state_with(&self.memories)
    }

    /// The same, with a `memoryLog` and `memories` that are empty.
    #[must_use]
    pub fn to_json_without_memories(&self) -> String {
        self.state_with(&[])
    }

    fn state_with(&self, memories: &[Memory]) -> String {
        let mut out = String::new();
        for (key, value) in [
            ("{\"instanceName\":", &self.instance_name),
            (",\"uuid\":", &self.uuid),
            (",\"timestamp\":", &self.timestamp),
            (",\"traits\":", &self.traits),
            (",\"personality\":", &self.personality),
        ] {
            out.push_str(key);
            out.push_str(value);
        }
        out.push_str(",\"memoryLog\":[");
        for (at, memory) in memories.iter().enumerate() {
            out.push_str(if at == 0 { "" } else { "," });
            out.push_str(memory.content());
        }
        out.push_str("],\"memories\":[");
        for (at, memory) in memories.iter().enumerate() {
            out.push_str(if at == 0 { "" } else { "," });
            memory.write_json("", "", false, &mut out);
        }
        out.push(']');
        for (key, value) in [(",\"environment\":", &self.environment), (",\"additionalData\":", &self.additional_data)]
        {
            out.push_str(key);
            out.push_str(value);
        }
        out.push('}');
        out
    }
}

/// Restores a capsule. `None` if the text is not a JSON object, or its memories, each with what it says of the capsule,
/// would be larger than 512 MiB. `mark`, a JSON value, is put into the metadata of each memory as `integrity`.
#[must_use]
pub fn restore(text: &[u8], mark: Option<&str>) -> Option<Restored> {
    let decoded = String::from_utf8_lossy(text);
    let plain = json::without_python_numbers(&decoded)?;
    let whole = json::scan(plain.as_bytes(), |_, _| {}).ok()?;
    if whole.kind() != Kind::Object {
        return None;
    }
    let [metadata, traits, personality, memory, environment, additional_data, own_traits, construct_id] = json::members(
        whole.text(),
        [
            "metadata",
            "traits",
            "personality",
            "memory",
            "environment",
            "additional_data",
            "personality_traits",
            "construct_id",
        ],
    );
    let [instance_name, uuid, timestamp, own_id] =
        json::members(text_of(metadata), ["instance_name", "uuid", "timestamp", "construct_id"]);
    let object = |value: Option<Value<'_>>| -> String {
        value.filter(|value| value.kind() == Kind::Object).map_or("{}", |value| value.text()).to_owned()
    };
    let name = instance_name.or(construct_id);

    let mut restoring = Restoring {
        canonical: own_id.or(construct_id).or(name).filter(is_short).and_then(|name| name.string()).map_or_else(
            || "null".to_owned(),
            |name| format!("\"{}\"", ConstructName::new(&String::from_utf8_lossy(&name)).canonical()),
        ),
        name: text_of(name.filter(is_short)),
        uuid: text_of(uuid.filter(is_short)),
        written: timestamp.filter(is_time).filter(is_short),
        seen: HashMap::new(),
        mark: mark.map(|mark| format!(",\"integrity\":{mark}")).unwrap_or_default(),
        memories: Vec::new(),
        sections: Vec::new(),
        size: 0,
    };
    restoring.memory(memory);
    restoring.top_level(whole.text());

    let Restoring { memories, sections, size, .. } = restoring;
    if size > LARGEST {
        return None;
    }
    Some(Restored {
        instance_name: text_of(name).to_owned(),
        uuid: text_of(uuid).to_owned(),
        timestamp: text_of(timestamp).to_owned(),
        traits: object(traits.or(own_traits)),
        personality: object(personality),
        environment: object(environment),
        additional_data: object(additional_data),
        memories,
        sections,
    })
}

fn text_of(value: Option<Value<'_>>) -> &str {
    value.map_or("null", |value| value.text())
}

fn is_short(value: &Value<'_>) -> bool {
    value.text().len() <= LONGEST_REPEATED
}

/// Whether it may be a memory's time: JavaScript fails to make a date of an object that has no text.
fn is_time(value: &Value<'_>) -> bool {
    value.is_truthy() && matches!(value.kind(), Kind::String | Kind::Number)
}

/// What is said of the capsule, and told of each memory, is short, or "null".
struct Restoring<'a> {
    name: &'a str,
    /// The name, as a text, by which all spellings of it are the same.
    canonical: String,
    uuid: &'a str,
    /// When the capsule was written.
    written: Option<Value<'a>>,
    /// How often a text has come up in a kind, for ids that stay the same when other memories come and go.
    seen: HashMap<(&'static str, Vec<u8>), usize>,
    /// What stands at the end of each memory's metadata.
    mark: String,
    memories: Vec<Memory>,
    sections: Vec<usize>,
    /// The bytes of the memories; beyond the largest none is made any more.
    size: usize,
}

/// Where a memory stands.
#[derive(Clone, Copy)]
struct Place<'a> {
    kind: &'static str,
    section: &'a str,
    index: usize,
}

impl<'a> Restoring<'a> {
    fn memory(&mut self, memory: Option<Value<'a>>) {
        let memory = text_of(memory);
        let [last, log] = json::members(memory, ["last_memory_timestamp", "memory_log"]);
        let time = last.filter(is_time).filter(is_short).or(self.written);
        let lists = json::members(memory, LISTS.map(|(key, _)| key));
        for ((key, kind), list) in LISTS.into_iter().zip(lists) {
            self.list(&format!("memory.{key}"), kind, text_of(list), time);
        }
        self.list("memory.memory_log", "log", text_of(log), time);
    }

    fn top_level(&mut self, capsule: &'a str) {
        let [log, long_term, sessions, synced] =
            json::members(capsule, ["memory_log", "long_term_memories", "sessions", "last_synced_at"]);
        self.list("memory_log", "log", text_of(log), self.written);
        self.list("long_term_memories", "long-term", text_of(long_term), self.written);
        let synced = synced.filter(is_time).filter(is_short);
        for (index, session) in json::items(text_of(sessions)).into_iter().enumerate() {
            let [date, first, last] =
                json::members(session.text(), ["estimated_date", "first_exchange", "last_exchange"]);
            let time = date.filter(is_time).filter(is_short).or(synced);
            for (part, exchange) in [("first_exchange", first), ("last_exchange", last)] {
                let section = format!("sessions[{index}].{part}");
                let [user, construct] = json::members(text_of(exchange), ["user", "construct"]);
                for (index, (role, said)) in [("\"user\"", user), ("\"assistant\"", construct)].into_iter().enumerate()
                {
                    if let Some(said) = said.filter(|said| said.kind() == Kind::String && said.is_truthy()) {
                        let place = Place { kind: "session", section: &section, index };
                        self.push(place, said.text(), role, time, None);
                    }
                }
            }
        }
        self.sections.push(self.memories.len());
    }

    fn list(&mut self, section: &str, kind: &'static str, list: &str, time: Option<Value<'_>>) {
        for (index, item) in json::items(list).into_iter().enumerate() {
            let place = Place { kind, section, index };
            match item.kind() {
                Kind::String => {
                    let role = if kind == "log" { role_of_line(&item) } else { "\"system\"" };
                    self.push(place, item.text(), role, time, None);
                }
                Kind::Object => {
                    let [content, text, created, own_time, role, id] =
                        json::members(item.text(), ["content", "text", "created_ts", "timestamp", "role", "id"]);
                    let words = |value: &Value<'_>| value.kind() == Kind::String && value.is_truthy();
                    let Some(said) = content.filter(words).or(text.filter(words)) else { continue };
                    let own_time = own_time.filter(is_time).or(created.filter(is_time));
                    let (role, id) = (role.filter(words), id.filter(words));
                    self.push(
                        place,
                        said.text(),
                        role.map_or("\"system\"", |role| role.text()),
                        own_time.or(time),
                        id.map(|id| id.text()),
                    );
                }
                // What is neither has no words in it; every original reader passes it over.
                _ => {}
            }
        }
        self.sections.push(self.memories.len());
    }

    fn push(&mut self, place: Place<'_>, content: &str, role: &str, time: Option<Value<'_>>, id: Option<&str>) {
        let Place { kind, section, index } = place;
        if self.size > LARGEST {
            return;
        }
        let time_text = text_of(time);
        // However its JSON is written.
        let words = json::string(content).unwrap_or(Cow::Borrowed(content.as_bytes()));
        let count = self.seen.entry((kind, words.to_vec())).or_default();
        let occurrence = std::mem::replace(count, *count + 1);
        let id = id.map_or_else(
            || {
                let head = format!("{}\n{kind}\n{occurrence}\n\"", self.canonical);
                let hash = sha256(&[head.as_bytes(), &words, b"\""].concat());
                format!("\"{kind}_{}\"", &hash[..16])
            },
            str::to_owned,
        );
        let mut section_json = String::new();
        json::write_string(&mut section_json, section);
        let details = format!(
            "\"source\":\"construct\",\"kind\":\"{kind}\",\"instanceName\":{},\"uuid\":{},\"section\":{section_json},\
             \"index\":{index}{}",
            self.name, self.uuid, self.mark,
        );
        self.size = [&id, time_text, content, role, &details].iter().fold(self.size, |size, text| size + text.len());
        let memory = Memory::new(
            Origin::Construct,
            &[
                (Member::Id, &id),
                (Member::Timestamp, time_text),
                (Member::Content, content),
                (Member::Role, role),
                (Member::Details, &details),
            ],
            time.map_or(Moment::At(0.0), |time| Moment::of(&time)),
            SessionName::None,
        );
        // One memory of more than 4 GiB can't be: files are smaller.
        self.memories.extend(memory);
    }
}

/// The role that a line of a log begins with ("user: …"): Chatty writes only these two.
fn role_of_line(line: &Value<'_>) -> &'static str {
    let line = line.string().unwrap_or_default();
    if line.starts_with(b"user: ") {
        "\"user\""
    } else if line.starts_with(b"assistant: ") {
        "\"assistant\""
    } else {
        "\"system\""
    }
}

#[cfg(test)]
mod tests;
