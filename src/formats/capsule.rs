//! A construct's capsule as VVAULT stores it: what it must have, and what its header says.

use super::fingerprint::Recipe;
use super::instance_index::EntryFields;
use super::json::{self, Kind, Value};
use crate::javascript::date;

/// The sections that VVAULT's store asks for (`vvault_core.py`, `_validate_capsule_structure`).
const SECTIONS: [&str; 5] = ["metadata", "traits", "personality", "memory", "environment"];

/// What `metadata` must have.
const REQUIRED: [&str; 4] = ["instance_name", "uuid", "timestamp", "fingerprint_hash"];

/// The header of a capsule that can be stored.
#[derive(Debug, Clone, Copy)]
pub struct Header<'a> {
    instance_name: Value<'a>,
    uuid: Value<'a>,
    timestamp: Value<'a>,
    fingerprint_hash: Value<'a>,
    capsule_version: Option<Value<'a>>,
    generator: Option<Value<'a>>,
    vault_source: Option<Value<'a>>,
}

impl<'a> Header<'a> {
    /// Reads the header of a capsule's text.
    ///
    /// # Errors
    /// What is missing, in words.
    pub fn parse(text: &'a [u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(text).map_err(|error| format!("it is not UTF-8: {error}"))?;
        let sections = sections(text)?;
        if let Some((missing, _)) = SECTIONS.iter().zip(&sections).find(|(_, section)| section.is_none()) {
            return Err(format!("it has no {missing}"));
        }
        let metadata = sections[0].map_or("null", |metadata| metadata.text());
        let required = json::members(metadata, REQUIRED);
        let [Some(instance_name), Some(uuid), Some(timestamp), Some(fingerprint_hash)] = required else {
            let missing = REQUIRED.iter().zip(&required).find(|(_, value)| value.is_none());
            return Err(format!("its metadata has no {}", missing.map_or("", |(key, _)| *key)));
        };
        for (key, value) in [("instance_name", instance_name), ("uuid", uuid), ("timestamp", timestamp)] {
            if text_of(value).is_none() {
                return Err(format!("its metadata.{key} is not a text"));
            }
        }
        let [capsule_version, generator, vault_source] =
            json::members(metadata, ["capsule_version", "generator", "vault_source"]);
        Ok(Self { instance_name, uuid, timestamp, fingerprint_hash, capsule_version, generator, vault_source })
    }

    /// The instance that it is a version of.
    #[must_use]
    pub fn instance_name(&self) -> String {
        text_of(self.instance_name).unwrap_or_default()
    }

    /// What names this version.
    #[must_use]
    pub fn uuid(&self) -> String {
        text_of(self.uuid).unwrap_or_default()
    }

    /// Its own time.
    #[must_use]
    pub fn timestamp(&self) -> String {
        text_of(self.timestamp).unwrap_or_default()
    }

    /// What the index says of it.
    #[must_use]
    pub fn entry<'b>(&self, filename: &'b str, file_size: u64) -> EntryFields<'b>
    where
        'a: 'b,
    {
        EntryFields {
            instance_name: self.instance_name,
            timestamp: self.timestamp,
            fingerprint_hash: self.fingerprint_hash,
            capsule_version: self.capsule_version,
            generator: self.generator,
            vault_source: self.vault_source,
            filename,
            file_size,
        }
    }
}

/// The UUID that a text states as a capsule of an instance does, whatever else it is; not if it names another instance.
#[must_use]
pub fn stated_uuid(text: &[u8], instance: &str) -> Option<String> {
    let text = String::from_utf8_lossy(text);
    let [metadata, ..] = sections(&text).ok()?;
    let [name, uuid] = json::members(metadata?.text(), ["instance_name", "uuid"]);
    text_of(uuid?).filter(|_| name.and_then(text_of).is_none_or(|name| name == instance))
}

/// What a capsule calls its construct: by its ids, in `metadata` (as simForge has it) or beside it, and by the name that it
/// shows; the surest first.
#[must_use]
pub fn names(capsule: &str) -> [Option<String>; 3] {
    let [metadata, construct_id] = json::members(capsule, ["metadata", "construct_id"]);
    let metadata = metadata.map_or("null", |metadata| metadata.text());
    let [own_id, instance_name] = json::members(metadata, ["construct_id", "instance_name"]);
    [own_id, construct_id, instance_name].map(|name| text_of(name?).filter(|name| !name.is_empty()))
}

/// What a capsule states as its time, in microseconds since 1970: a text, or JavaScript's or Python's number.
#[must_use]
#[allow(clippy::cast_possible_truncation, reason = "a date is at most 8.64e15 milliseconds")]
pub fn time_of(value: &Value<'_>) -> Option<i64> {
    /// Seconds: in the year 5138. So many milliseconds have passed in 1973.
    const SECONDS: f64 = 1e11;
    if value.kind() != Kind::Number {
        return time(&value.string()?);
    }
    let number: f64 = value.text().parse().ok()?;
    let milliseconds = if number.abs() < SECONDS { number * 1000.0 } else { number };
    (!date::from_number(milliseconds).is_nan()).then_some((milliseconds * 1000.0) as i64)
}

/// A capsule's time in microseconds since 1970, as Python counts them: ISO 8601, also as Python's `str` and `strftime` write it.
/// One without a zone is taken as UTC, so that the order of capsules does not depend on the machine.
#[must_use]
#[allow(clippy::cast_possible_truncation, reason = "a date is a whole number of milliseconds, at most 8.64e15")]
pub fn time(text: &[u8]) -> Option<i64> {
    let mut text = text.to_vec();
    if let Some(between) = text.get_mut(10).filter(|between| **between == b' ') {
        *between = b'T';
    }
    if let [.., b'+' | b'-', h1, h2, m1, m2] = text[..]
        && [h1, h2, m1, m2].iter().all(u8::is_ascii_digit)
        && text.len() > 13
    {
        text.insert(text.len() - 2, b':');
    }
    let milliseconds = date::from_iso(&text).or_else(|| date::from_iso(&[&text, &b"Z"[..]].concat()))?;
    // JavaScript's dates have three digits of the fraction.
    let fraction = text.split(|byte| *byte == b'.').nth(1).unwrap_or_default();
    let mut digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).skip(3);
    let microseconds = (0..3).fold(0, |value, _| value * 10 + digits.next().map_or(0, |digit| i64::from(digit - b'0')));
    (!milliseconds.is_nan()).then(|| milliseconds as i64 * 1000 + microseconds)
}

fn text_of(value: Value<'_>) -> Option<String> {
    String::from_utf8(value.string()?.into_owned()).ok()
}

fn sections(text: &str) -> Result<[Option<Value<'_>>; 5], String> {
    let mut sections = [None; 5];
    let whole = json::scan_python(text.as_bytes(), |key, value| {
        if let Some(at) = SECTIONS.iter().position(|section| section.as_bytes() == key.as_ref()) {
            sections[at] = Some(value);
        }
    })
    .map_err(|error| error.describe(text))?;
    if whole.kind() != Kind::Object {
        return Err("it is not an object".to_owned());
    }
    Ok(sections)
}

/// The capsule with a fingerprint of its present text, by CapsuleForge's recipe (F1). Nothing else of the text changes.
///
/// # Errors
/// In words, if the text is not a JSON object with `metadata`, or Python could not read it.
pub fn refingerprint(text: &[u8]) -> Result<String, String> {
    let text = std::str::from_utf8(text).map_err(|error| format!("it is not UTF-8: {error}"))?;
    let [metadata, ..] = sections(text)?;
    let metadata = metadata.filter(|value| value.kind() == Kind::Object).ok_or("it has no metadata")?;
    let hash = Recipe::CapsuleForge.fingerprint(text.as_bytes()).ok_or("it nests too deep to be hashed")?;
    let metadata = with_member(metadata.text(), "fingerprint_hash", &format!("\"{hash}\""));
    Ok(with_member(text, "metadata", &metadata))
}

/// The capsule as a version of its own: with a new UUID, with the sections that the store asks for, and with a right
/// fingerprint; of another instance, if one is given. Its own time stays, as its memories may have no other.
///
/// # Errors
/// In words, if it is no capsule.
pub fn adopt(text: &[u8], uuid: &str, instance: Option<&str>) -> Result<String, String> {
    let text = std::str::from_utf8(text).map_err(|error| format!("it is not UTF-8: {error}"))?;
    let sections = sections(text)?;
    let metadata = sections[0].filter(|value| value.kind() == Kind::Object).ok_or("it has no metadata")?;
    let mut metadata = with_member(metadata.text(), "uuid", &format!("\"{uuid}\""));
    if let Some(instance) = instance {
        let mut name = String::new();
        json::write_string(&mut name, instance);
        metadata = with_member(&metadata, "instance_name", &name);
    }
    let mut adopted = with_member(text, "metadata", &metadata);
    for (section, _) in SECTIONS.iter().zip(&sections).filter(|(_, value)| value.is_none()) {
        adopted = with_member(&adopted, section, "{}");
    }
    refingerprint(adopted.as_bytes())
}

/// The text of an object with a member set: in its place if it is there, else as the first.
fn with_member(object: &str, key: &str, value: &str) -> String {
    if let [Some(old)] = json::members(object, [key])
        && let Some(place) = old.place_in(object.as_bytes())
    {
        return [&object[..place.start], value, &object[place.end..]].concat();
    }
    let (before, after) = object.split_once('{').unwrap_or_default();
    let comma = if after.trim_start().starts_with('}') { "" } else { "," };
    format!("{before}{{\n  \"{key}\": {value}{comma}{after}")
}

#[cfg(test)]
mod tests {
    use super::{Header, adopt, json, refingerprint, time, time_of};
    use crate::formats::integrity::judge;

    const CAPSULE: &str = r#"{"metadata": {"instance_name": "Zo\u00eb", "uuid": "u", "timestamp": "2026-01-01T00:00:00Z",
        "fingerprint_hash": "wrong"}, "traits": {"drift": 1.0, "big": 123456789012345678901234567890},
        "personality": {}, "memory": {"short_term_memories": ["a"]}, "environment": {}}"#;

    #[test]
    fn reads_a_header() {
        let header = Header::parse(CAPSULE.as_bytes()).expect("a header");
        assert_eq!([header.instance_name(), header.uuid()], ["Zoë", "u"]);
        for missing in ["traits", "memory", "uuid", "fingerprint_hash", "metadata"] {
            let without = CAPSULE.replace(&format!("\"{missing}\""), "\"other\"");
            assert!(Header::parse(without.as_bytes()).is_err_and(|problem| problem.contains(missing)), "{missing}");
        }
        let number = CAPSULE.replace("\"u\"", "5");
        assert_eq!(Header::parse(number.as_bytes()).err().as_deref(), Some("its metadata.uuid is not a text"));
        for text in ["", "[]", "null", "{", "\u{feff}{}"] {
            assert!(Header::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_compared_as_times() {
        let ascending = [
            "2025-12-31T23:59:59.999999+01:00",
            "2026-01-01T00:00:00Z",
            "2026-01-01T00:00:00.000001",
            "2026-01-01T05:00:00.25+05:00",
            "2026-01-01T00:00:00.250001+00:00",
            "2026-01-01 00:00:00.3+00:00",
            "2026-01-01 05:00:00.4+0500",
            "2026-01-01 00:00:01",
        ];
        let times = ascending.map(|text| time(text.as_bytes()));
        assert!(times.iter().all(Option::is_some) && times.is_sorted_by(|one, other| one < other), "{times:?}");
        assert_eq!(time(b"yesterday"), None);
        assert_eq!(time(b"2026-0101"), None);
        for number in ["1767225600000", "1767225600.0", "\"2026-01-01T00:00:00Z\""] {
            let value = json::scan(number.as_bytes(), |_, _| {}).expect("JSON");
            assert_eq!(time_of(&value), Some(1_767_225_600_000_000), "{number}");
        }
    }

    #[test]
    fn a_new_fingerprint_changes_nothing_else() {
        assert_eq!(judge(CAPSULE.as_bytes(), None).valid, Some(false));
        let right = refingerprint(CAPSULE.as_bytes()).expect("a capsule");
        let verdict = judge(right.as_bytes(), None);
        assert_eq!((verdict.valid, verdict.recipe), (Some(true), Some("F1")));
        assert!(right.contains("1.0, \"big\": 123456789012345678901234567890}"));
        let without = CAPSULE.replace(r#""fingerprint_hash": "wrong""#, r#""fingerprint_x": "wrong""#);
        let right = refingerprint(without.as_bytes()).expect("a capsule");
        assert_eq!(judge(right.as_bytes(), None).valid, Some(true), "{right}");
    }

    #[test]
    fn what_is_adopted_can_be_stored() {
        let node = r#"{"metadata": {"instance_name": "Nova", "uuid": "u", "timestamp": "t", "fingerprint_hash": "random"},
            "traits": {}, "memory_log": ["user: a"], "environment": {}, "personality": {}}"#;
        let adopted = adopt(node.as_bytes(), "new", None).expect("a capsule");
        let header = Header::parse(adopted.as_bytes()).expect("a header");
        assert_eq!(
            [header.instance_name(), header.uuid(), header.timestamp()],
            ["Nova", "new", "t"].map(str::to_owned)
        );
        let other = adopt(node.as_bytes(), "new", Some("nova-002")).expect("a capsule");
        assert_eq!(Header::parse(other.as_bytes()).expect("a header").instance_name(), "nova-002");
        assert_eq!(judge(other.as_bytes(), None).valid, Some(true));
        assert_eq!(judge(adopted.as_bytes(), None).valid, Some(true));
        for text in ["{}", r#"{"metadata":5}"#, r#"{"metadata":[{}]}"#, r#"{"metadata":"{"}"#] {
            assert_eq!(adopt(text.as_bytes(), "new", None).err().as_deref(), Some("it has no metadata"), "{text}");
        }
        assert!(adopt(b"[]", "new", None).is_err());
    }
}
