//! One memory, from whatever file it came, as `readMemories` answers with it.

use std::borrow::Cow;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::formats::fingerprint::sha256;
use crate::formats::json::{self, Kind, Value};
use crate::javascript::date;

/// When a memory was made, as `new Date(memory.timestamp)` has it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Moment {
    /// Milliseconds since 1970; NaN if the timestamp is no date.
    At(f64),
    /// The file names no time: Chatty takes the time of reading.
    Now,
    /// Only JavaScript's own `Date` can tell: it is asked with the timestamp's JSON text.
    Undecided,
}

impl Moment {
    /// The moment of a timestamp that stands in a file.
    #[must_use]
    pub fn of(timestamp: &Value<'_>) -> Self {
        match timestamp.kind() {
            // `new Date(null)` and `new Date(false)` are 1970; neither a capsule nor a transcript can bring `false` here.
            Kind::Null | Kind::False => Self::At(0.0),
            Kind::True => Self::At(1.0),
            Kind::Number => Self::At(timestamp.number().map_or(f64::NAN, date::from_number)),
            Kind::String => {
                let decided = timestamp.string().and_then(|text| date::from_iso(&text));
                decided.map_or(Self::Undecided, Self::At)
            }
            Kind::Array | Kind::Object => Self::Undecided,
        }
    }
}

/// The members of a memory that its file decides, each kept as JSON text. What the file's name decides (a capsule's id)
/// is written from the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Member {
    Id,
    Timestamp,
    Content,
    Role,
    Session,
    User,
    Tags,
    Consent,
    EmbedModel,
    Hash,
    Emotions,
    ContentLength,
    Details,
}

const MEMBERS: usize = 13;

/// From what kind of file a memory comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// A memory capsule.
    Capsule,
    /// A transcript.
    Transcript,
    /// A construct's capsule.
    Construct,
}

/// What a memory capsule says of its own integrity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Claim {
    /// Nothing.
    None,
    /// Its hash is said to be that of its content.
    HashOfContent,
    /// A hash that was found to be wrong.
    Wrong,
    /// A hash that was found to be right.
    Right,
}

/// A parsed memory.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    origin: Origin,
    claim: Claim,
    texts: Box<str>,
    /// Where each member ends in `texts`.
    ends: [u32; MEMBERS],
    moment: Moment,
    /// How the session that the file names stands in it.
    session: SessionName,
    /// Where the file's embedding begins, and its length; in bytes.
    embedding: Option<(u32, u32)>,
}

/// How a file names its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum SessionName {
    /// Not at all.
    None,
    /// As it is.
    Plain,
    /// Behind `chatty_`, as a source.
    InSource,
}

/// What stands before the session in the source of a memory that Chatty made.
pub(super) const SOURCE_PREFIX: &[u8] = b"chatty_";

impl Memory {
    /// The members that are there, as JSON texts in the order of [`Member`]. `None` if they are together larger than 4 GiB.
    pub(super) fn new(
        origin: Origin,
        members: &[(Member, &str)],
        moment: Moment,
        session: SessionName,
    ) -> Option<Self> {
        debug_assert!(members.is_sorted_by_key(|(member, _)| *member as usize));
        let mut ends = [0; MEMBERS];
        let mut texts = String::with_capacity(members.iter().map(|(_, text)| text.len()).sum());
        for (member, text) in members {
            texts.push_str(text);
            ends[*member as usize..].fill(u32::try_from(texts.len()).ok()?);
        }
        Some(Self { origin, claim: Claim::None, texts: texts.into(), ends, moment, session, embedding: None })
    }

    pub(super) fn with_claim(self, claim: Claim) -> Self {
        Self { claim, ..self }
    }

    pub(super) fn with_embedding(self, embedding: Option<(u32, u32)>) -> Self {
        Self { embedding, ..self }
    }

    /// Appends the memory in the form that [`from_record`](Self::from_record) reads.
    pub fn write_record(&self, out: &mut Vec<u8>) {
        // Into memory nothing can fail.
        if let Ok(record) = postcard::to_allocvec(self) {
            out.extend_from_slice(&record);
        }
    }

    /// A memory from the form that it was kept in; `None` if the bytes are no such thing.
    #[must_use]
    pub fn from_record(record: &[u8]) -> Option<Self> {
        let memory: Self = postcard::from_bytes(record).ok()?;
        let is_place = |end: &u32| memory.texts.is_char_boundary(*end as usize);
        (memory.ends.is_sorted() && memory.ends.iter().all(is_place)).then_some(memory)
    }

    /// Where in its file the embedding stands, as JSON text: bytes. It is not kept in memory.
    #[must_use]
    pub fn embedding(&self) -> Option<Range<u64>> {
        let (start, length) = self.embedding?;
        Some(start.into()..u64::from(start) + u64::from(length))
    }

    /// Its role (WTF-8), if that is a string.
    #[must_use]
    pub fn role(&self) -> Option<Cow<'_, [u8]>> {
        json::string(self.member(Member::Role))
    }

    /// The session that the file itself names (WTF-8); `None` if it names none.
    #[must_use]
    pub fn session(&self) -> Option<Cow<'_, [u8]>> {
        if self.session == SessionName::None {
            return None;
        }
        let own = json::string(self.member(Member::Session))?;
        if self.session == SessionName::Plain {
            return Some(own);
        }
        Some(own.strip_prefix(SOURCE_PREFIX)?.to_vec().into())
    }

    /// Those of its tags that are strings (WTF-8).
    #[must_use]
    pub fn tags(&self) -> Vec<Cow<'_, [u8]>> {
        json::items(self.member(Member::Tags)).iter().filter_map(Value::string).collect()
    }

    /// How many values its lists and objects are and hold, about, and not too few.
    #[must_use]
    pub fn value_count(&self) -> usize {
        let mut start = 0;
        let members = self.ends.iter().map(|end| {
            let member = &self.texts[start..*end as usize];
            start = *end as usize;
            member
        });
        let lists = members.filter(|member| member.starts_with(['[', '{']));
        lists.map(|list| 1 + json::count_outside_strings(list, |byte| matches!(byte, b',' | b'[' | b'{'))).sum()
    }

    /// From what kind of file it comes.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Whether the hash that its file states is right; `None` if none is stated.
    #[must_use]
    pub fn is_sound(&self) -> Option<bool> {
        match self.claim {
            Claim::None => None,
            Claim::Wrong => Some(false),
            Claim::Right => Some(true),
            Claim::HashOfContent => {
                let content = json::string(self.member(Member::Content)).unwrap_or_default();
                let hash = json::string(self.member(Member::Hash)).unwrap_or_default();
                Some(sha256(&content).as_bytes() == hash.as_ref())
            }
        }
    }

    /// Whether it has each of these tags (WTF-8).
    #[must_use]
    pub fn has_tags(&self, tags: &[Vec<u8>]) -> bool {
        let own = json::items(self.member(Member::Tags));
        tags.iter().all(|tag| own.iter().any(|own| own.string().is_some_and(|own| own.as_ref() == &**tag)))
    }

    /// Its text, as JSON.
    #[must_use]
    pub fn content(&self) -> &str {
        self.member(Member::Content)
    }

    pub(super) fn member(&self, member: Member) -> &str {
        let at = member as usize;
        let start = if at == 0 { 0 } else { self.ends[at - 1] as usize };
        &self.texts[start..self.ends[at] as usize]
    }

    /// When it was made.
    #[must_use]
    pub fn moment(&self) -> Moment {
        self.moment
    }

    /// The timestamp as JSON; empty if the file names none.
    #[must_use]
    pub fn timestamp(&self) -> &str {
        self.member(Member::Timestamp)
    }

    /// Whether the file itself names this session (WTF-8); `None` if it names none.
    #[must_use]
    pub fn is_of_session(&self, session: &[u8]) -> Option<bool> {
        if self.session == SessionName::None {
            return None;
        }
        let own = json::string(self.member(Member::Session))?;
        let own = if self.session == SessionName::InSource { own.strip_prefix(SOURCE_PREFIX)? } else { &own };
        Some(own == session)
    }

    /// Whether `memory.role === role`.
    #[must_use]
    pub fn has_role(&self, role: &[u8]) -> bool {
        let text = self.member(Member::Role);
        text.starts_with('"') && json::string(text).is_some_and(|own| own.as_ref() == role)
    }

    /// Bytes of its JSON text, but for names and marks of which there are less than 8 KiB.
    #[must_use]
    pub fn text_size(&self) -> usize {
        self.texts.len() + self.member(Member::Session).len()
    }

    /// Bytes that it holds on the heap.
    #[must_use]
    pub fn heap_size(&self) -> usize {
        self.texts.len()
    }

    /// Appends what tells one usual memory capsule from another, JSON values with a comma between two: timestamp, content, role,
    /// tags, consent, embed model, hash. `None` for a memory that is to be written as a whole.
    pub fn write_values(&self, out: &mut String) -> Option<()> {
        use Member::{Consent, Content, EmbedModel, Hash, Role, Tags, Timestamp};
        let values = [Timestamp, Content, Role, Tags, Consent, EmbedModel, Hash].map(|member| self.member(member));
        if self.origin != Origin::Capsule || self.moment == Moment::Now || values.contains(&"") {
            return None;
        }
        for (at, value) in values.into_iter().enumerate() {
            out.push_str(if at == 0 { "" } else { "," });
            out.push_str(value);
        }
        Some(())
    }

    /// Appends the memory as JSON. `file_name` is the name as JavaScript sees it, `now` the ISO time of the reading, for
    /// a file that names none. `marked` puts into the metadata that its hash is wrong.
    pub fn write_json(&self, file_name: &str, now: &str, marked: bool, out: &mut String) {
        let mut put = |before: &str, json: &str| {
            out.push_str(before);
            out.push_str(json);
        };
        if self.origin == Origin::Construct {
            put("{\"id\":", self.member(Member::Id));
            put(",\"type\":\"construct\",\"timestamp\":", self.member(Member::Timestamp));
            put(",\"content\":", self.member(Member::Content));
            put(",\"role\":", self.member(Member::Role));
            put(",\"metadata\":{", self.member(Member::Details));
        } else if self.origin == Origin::Transcript {
            put("{\"id\":", self.member(Member::Id));
            put(",\"type\":\"transcript\",\"timestamp\":", self.member(Member::Timestamp));
            put(",\"content\":", self.member(Member::Content));
            put(",\"role\":", self.member(Member::Role));
            put(",\"sessionId\":", self.member(Member::Session));
            put(",\"userId\":", self.member(Member::User));
            put(",\"metadata\":{\"source\":\"transcript\",\"sessionId\":", self.member(Member::Session));
            put(",\"emotions\":", self.member(Member::Emotions));
            put(",\"contentLength\":", self.member(Member::ContentLength));
        } else {
            let mut name_json = String::with_capacity(file_name.len() + 2);
            json::write_string(&mut name_json, file_name);
            let mut id_json = String::with_capacity(name_json.len());
            json::write_string(&mut id_json, file_name.strip_suffix(".json").unwrap_or(file_name));
            put("{\"id\":", &id_json);
            put(",\"type\":\"capsule\",\"timestamp\":", self.member(Member::Timestamp));
            if self.moment == Moment::Now {
                put("\"", now);
                put("\"", "");
            }
            put(",\"content\":", self.member(Member::Content));
            put(",\"role\":", self.member(Member::Role));
            put(",\"metadata\":{\"source\":\"capsule\",\"filename\":", &name_json);
            put(",\"capsuleId\":", &id_json);
            put(",\"tags\":", self.member(Member::Tags));
            put(",\"consent\":", self.member(Member::Consent));
            for (before, member) in [(",\"embedModel\":", Member::EmbedModel), (",\"hash\":", Member::Hash)] {
                if !self.member(member).is_empty() {
                    put(before, self.member(member));
                }
            }
        }
        if marked {
            put(",\"integrity\":", "{\"valid\":false,\"recipe\":null,\"tether\":null}");
        }
        put("}", "}");
    }
}
