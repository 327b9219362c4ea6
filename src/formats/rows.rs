//! Memories in the form that JavaScript builds them from in the least time.

use std::borrow::Cow;

use encoding_rs::mem;
use hashbrown::HashMap;

use super::json::{self, Kind};
use super::memory::{Member, Memory, Moment, Origin};

/// Some memories. The long strings of the usual memory capsule stand behind one another in two texts, which JavaScript
/// takes apart by slices: V8 makes those without copying, and its collector moves but what points to them. Where they end is
/// told by numbers. Everything else is JSON, and of it what many memories share is there once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    latin1: Vec<u8>,
    wide: Vec<u16>,
    places: Vec<i32>,
    /// JSON texts, a comma between two.
    values: String,
    count: i32,
    /// Which of the `values` a text is.
    shared: HashMap<Box<str>, i32>,
}

impl Rows {
    /// Whether there is no memory in them.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Bytes of their texts.
    #[must_use]
    pub fn size(&self) -> usize {
        self.latin1.len() + 2 * self.wide.len() + self.values.len()
    }

    /// The strings of which every character is in Latin-1.
    #[must_use]
    pub fn latin1(&self) -> &[u8] {
        &self.latin1
    }

    /// The other strings, in UTF-16.
    #[must_use]
    pub fn wide(&self) -> &[u16] {
        &self.wide
    }

    /// Of each memory eight numbers: where its file name, timestamp, content and hash end in [`latin1`](Self::latin1), the
    /// content perhaps (negative) in [`wide`](Self::wide), each beginning where the one before it in that text ends; and which
    /// of the [`values`](Self::values) are its role, tags, consent and embed model. Or two: 0, and which of the values is the
    /// memory.
    #[must_use]
    pub fn places(&self) -> &[i32] {
        &self.places
    }

    /// Everything else: a JSON array.
    #[must_use]
    pub fn values(&self) -> String {
        format!("[{}]", self.values)
    }

    /// Adds a memory. The arguments are those of [`Memory::write_json`].
    pub fn push(&mut self, memory: &Memory, file_name: &str, now: &str, marked: bool) {
        if !marked && self.push_usual(memory, file_name).is_some() {
            return;
        }
        let mut json = String::new();
        memory.write_json(file_name, now, marked, &mut json);
        let place = self.add(&json);
        self.places.extend([0, place]);
    }

    /// `None` for a memory that is to be told as a whole.
    fn push_usual(&mut self, memory: &Memory, file_name: &str) -> Option<()> {
        let is_usual = memory.origin() == Origin::Capsule && memory.moment() != Moment::Now;
        if !is_usual || file_name.strip_suffix(".json").is_none() {
            return None;
        }
        let strings = [Member::Timestamp, Member::Content, Member::Hash].map(|member| string_of(memory.member(member)));
        let [Some(timestamp), Some(content), Some(hash)] = strings else { return None };
        if ![file_name, &timestamp, &hash].into_iter().all(mem::is_str_latin1) {
            return None;
        }
        let shared = [Member::Role, Member::Tags, Member::Consent, Member::EmbedModel]
            .map(|member| self.share(memory.member(member), member == Member::Tags));
        if shared.contains(&None) {
            return None;
        }
        for latin1 in [file_name, &timestamp] {
            self.push_latin1(latin1);
        }
        if mem::is_str_latin1(&content) {
            self.push_latin1(&content);
        } else {
            self.push_wide(&content);
        }
        self.push_latin1(&hash);
        self.places.extend(shared.into_iter().flatten());
        Some(())
    }

    fn push_latin1(&mut self, string: &str) {
        let start = self.latin1.len();
        self.latin1.resize(start + string.len(), 0);
        let length = mem::convert_utf8_to_latin1_lossy(string.as_bytes(), &mut self.latin1[start..]);
        self.latin1.truncate(start + length);
        self.places.push(place(self.latin1.len()));
    }

    fn push_wide(&mut self, string: &str) {
        let start = self.wide.len();
        self.wide.resize(start + string.len() + 1, 0);
        let length = mem::convert_str_to_utf16(string, &mut self.wide[start..]);
        self.wide.truncate(start + length);
        self.places.push(-place(self.wide.len()));
    }

    /// Which value this one is, if memories can share it: a scalar, or a list of scalars, which JavaScript copies.
    fn share(&mut self, json: &str, is_list: bool) -> Option<i32> {
        if json.is_empty() || json.starts_with('{') || json.starts_with('[') != is_list {
            return None;
        }
        if let Some(known) = self.shared.get(json) {
            return Some(*known);
        }
        if json::items(json).iter().any(|item| matches!(item.kind(), Kind::Array | Kind::Object)) {
            return None;
        }
        let place = self.add(json);
        self.shared.insert(json.into(), place);
        Some(place)
    }

    fn add(&mut self, json: &str) -> i32 {
        self.values.push_str(if self.count == 0 { "" } else { "," });
        self.values.push_str(json);
        self.count += 1;
        self.count - 1
    }
}

/// The string that a member is; `None` if it is none, or one with lone surrogates.
fn string_of(json: &str) -> Option<Cow<'_, str>> {
    let between = json.strip_prefix('"')?.strip_suffix('"')?;
    if memchr::memchr(b'\\', between.as_bytes()).is_none() {
        return Some(between.into());
    }
    String::from_utf8(json::string(json)?.into_owned()).ok().map(Cow::from)
}

/// A place in a text, none of which is longer than V8's longest string, which is half as long.
fn place(length: usize) -> i32 {
    i32::try_from(length).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::Rows;
    use crate::formats::memory_capsule::parse;

    /// As JavaScript builds them.
    fn built(rows: &Rows) -> Vec<Value> {
        let latin1: Vec<char> = rows.latin1().iter().map(|byte| char::from(*byte)).collect();
        let (places, values) = (rows.places(), serde_json::from_str::<Vec<Value>>(&rows.values()).expect("values"));
        let (mut start, mut wide_start, mut at) = (0, 0, 0);
        let value = |at: usize| values[usize::try_from(places[at]).expect("a place")].clone();
        let mut memories = Vec::new();
        while at < places.len() {
            if places[at] == 0 {
                memories.push(value(at + 1));
                at += 2;
                continue;
            }
            let mut string = |at: usize| {
                let end = usize::try_from(places[at].abs()).expect("a place");
                if places[at] < 0 {
                    let string = String::from_utf16(&rows.wide()[wide_start..end]).expect("no lone surrogate");
                    wide_start = end;
                    return string;
                }
                let string = latin1[start..end].iter().collect::<String>();
                start = end;
                string
            };
            let (file_name, timestamp, content, hash) = (string(at), string(at + 1), string(at + 2), string(at + 3));
            let id = file_name.strip_suffix(".json").expect("a file's name");
            memories.push(json!({"id": id, "type": "capsule", "timestamp": timestamp, "content": content,
                "role": value(at + 4), "metadata": {"source": "capsule", "filename": file_name, "capsuleId": id,
                "tags": value(at + 5), "consent": value(at + 6), "embedModel": value(at + 7), "hash": hash}}));
            at += 8;
        }
        memories
    }

    fn rows_of(files: &[(String, String)]) -> (Rows, Vec<String>) {
        let mut rows = Rows::default();
        let mut expected = Vec::new();
        for (at, (name, text)) in files.iter().enumerate() {
            let memory = parse(text.as_bytes()).expect("a memory");
            let marked = at % 7 == 3;
            rows.push(&memory, name, "NOW", marked);
            let mut json = String::new();
            memory.write_json(name, "NOW", marked, &mut json);
            expected.push(json);
        }
        (rows, expected)
    }

    fn value() -> impl Strategy<Value = Value> {
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[ -~]{0,4}|\\PC{0,20}|[ -\u{ff}]{0,20}|[a-z\"\\\\\n]{0,8}".prop_map(Value::from),
        ];
        scalar.prop_recursive(2, 6, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::hash_map("[a-c]|__proto__", inner, 0..3).prop_map(|map| json!(map)),
            ]
        })
    }

    proptest! {
        #[test]
        fn hold_what_the_memories_are(files in prop::collection::vec(
            ("[a-c]{1,3}|\\PC{1,3}", "\\PC{0,20}|[ -\u{ff}]{0,20}", prop::collection::vec((0..7_usize, value()), 0..2)),
            0..12,
        )) {
            let file = |(name, content, others): &(String, String, Vec<(usize, Value)>)| {
                let mut capsule = usual(content);
                for (member, value) in others {
                    let names = ["created_ts", "raw", "role", "tags", "consent", "embed_model", "raw_sha256"];
                    capsule[names[*member]] = value.clone();
                }
                (format!("{name}.json"), capsule.to_string())
            };
            let (rows, expected) = rows_of(&files.iter().map(file).collect::<Vec<_>>());
            let expected: Vec<Value> = expected.iter().map(|json| serde_json::from_str(json).expect("JSON")).collect();
            prop_assert_eq!(built(&rows), expected);
        }
    }

    fn usual(content: &str) -> Value {
        json!({"created_ts": "2025-03-03T20:55:27Z", "raw": content, "role": "user", "tags": ["a", "é"],
            "consent": "self", "embed_model": "x:1", "raw_sha256": "ff"})
    }

    #[test]
    fn the_usual_memory_is_in_the_texts_and_what_many_share_is_there_once() {
        let files = ["Tschüß", "“so”", ""].map(|content| ("a b.json".to_owned(), usual(content).to_string()));
        let (rows, _) = rows_of(&files);
        assert_eq!(rows.latin1().len(), 3 * ("a b.json".len() + "2025-03-03T20:55:27Z".len() + "ff".len()) + 6);
        assert_eq!(String::from_utf16_lossy(rows.wide()), "“so”");
        assert_eq!(rows.values().matches("\"user\"").count(), 1);
        assert_eq!(rows.values().matches("[\"a\",\"é\"]").count(), 1);
    }

    #[test]
    fn lone_surrogates_stay_json() {
        let text = usual("x").to_string().replace("\"x\"", r#""\ud800""#);
        let (rows, expected) = rows_of(&[("a.json".to_owned(), text)]);
        assert_eq!((rows.latin1(), rows.wide()), (&[][..], &[][..]));
        assert_eq!((rows.places(), rows.values()), (&[0, 0][..], format!("[{}]", expected[0])));
    }
}
