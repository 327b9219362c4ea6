//! A memory capsule: one memory in one `.json` file (`config/capsule_schema.json` of VVAULT; what Chatty's
//! `readMemories` took from it).
//!
//! Every JSON value except `null` is a memory; what is missing gets the default that Chatty gives it. The embedding is
//! checked as JSON and skipped.

use super::fingerprint::sha256;
use super::json::{self, Kind, SyntaxError, Value};
use super::memory::{Claim, Member, Memory, Moment, Origin, SOURCE_PREFIX, SessionName};

/// Why a file gives no memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It is not JSON.
    Syntax(SyntaxError),
    /// It is JSON's `null`.
    Null,
    /// Its members are together larger than 4 GiB.
    TooLarge,
}

#[derive(Default)]
struct Members<'a> {
    created_ts: Option<Value<'a>>,
    timestamp: Option<Value<'a>>,
    raw: Option<Value<'a>>,
    content: Option<Value<'a>>,
    role: Option<Value<'a>>,
    tags: Option<Value<'a>>,
    consent: Option<Value<'a>>,
    embed_model: Option<Value<'a>>,
    raw_sha256: Option<Value<'a>>,
    hash: Option<Value<'a>>,
    session_snake_case: Option<Value<'a>>,
    session_camel_case: Option<Value<'a>>,
    source: Option<Value<'a>>,
    embedding: Option<Value<'a>>,
}

/// Reads one memory capsule.
///
/// # Errors
/// If the text is not JSON, or `null`.
pub fn parse(text: &[u8]) -> Result<Memory, Refusal> {
    let mut members = Members::default();
    let whole = json::scan(text, |key, value| {
        let place = match key.as_ref() {
            b"created_ts" => &mut members.created_ts,
            b"timestamp" => &mut members.timestamp,
            b"raw" => &mut members.raw,
            b"content" => &mut members.content,
            b"role" => &mut members.role,
            b"tags" => &mut members.tags,
            b"consent" => &mut members.consent,
            b"embed_model" => &mut members.embed_model,
            b"raw_sha256" => &mut members.raw_sha256,
            b"hash" => &mut members.hash,
            b"session_id" => &mut members.session_snake_case,
            b"sessionId" => &mut members.session_camel_case,
            b"source_id" => &mut members.source,
            b"embedding" => &mut members.embedding,
            _ => return,
        };
        *place = Some(value);
    })
    .map_err(Refusal::Syntax)?;
    if whole.kind() == Kind::Null {
        return Err(Refusal::Null);
    }
    let (session, session_name) = session(&members);
    let timestamp = truthy(members.created_ts).or(truthy(members.timestamp));
    let claim = claim(&members);
    let embedding = members.embedding.filter(|value| value.kind() == Kind::Array).and_then(|value| place(text, &value));
    Memory::new(
        Origin::Capsule,
        &[
            (Member::Timestamp, text_or(timestamp, "")),
            (Member::Content, text_or(truthy(members.raw).or(truthy(members.content)), "\"\"")),
            (Member::Role, text_or(truthy(members.role), "\"system\"")),
            (Member::Session, session),
            (Member::Tags, text_or(truthy(members.tags), "[]")),
            (Member::Consent, text_or(truthy(members.consent), "\"unknown\"")),
            (Member::EmbedModel, text_or(members.embed_model, "")),
            (Member::Hash, text_or(truthy(members.raw_sha256).or(members.hash), "")),
        ],
        timestamp.map_or(Moment::Now, |timestamp| Moment::of(&timestamp)),
        session_name,
    )
    .map(|memory| memory.with_claim(claim).with_embedding(embedding))
    .ok_or(Refusal::TooLarge)
}

/// Where a value stands in the text that it was found in, and its length.
fn place(text: &[u8], value: &Value<'_>) -> Option<(u32, u32)> {
    let place = value.place_in(text)?;
    Some((u32::try_from(place.start).ok()?, u32::try_from(place.len()).ok()?))
}

/// `raw_sha256` is the hash of `raw`. Usually both are what the memory keeps, and are compared when somebody asks.
fn claim(members: &Members<'_>) -> Claim {
    // Neither `null` nor an empty text states a hash.
    let is_stated = |hash: &Value<'_>| hash.kind() != Kind::Null && (hash.kind() != Kind::String || hash.is_truthy());
    let stated = members.raw_sha256.filter(is_stated);
    let (Some(raw), Some(stated)) = (members.raw.filter(|raw| raw.kind() == Kind::String), stated) else {
        return Claim::None;
    };
    if raw.is_truthy() && stated.is_truthy() && stated.kind() == Kind::String {
        return Claim::HashOfContent;
    }
    let raw = raw.string().unwrap_or_default();
    if stated.string().is_some_and(|stated| stated.as_ref() == sha256(&raw).as_bytes()) {
        Claim::Right
    } else {
        Claim::Wrong
    }
}

/// The session that the capsule names: `session_id`, else `sessionId`, else what follows `chatty_` in `source_id`.
fn session<'a>(members: &Members<'a>) -> (&'a str, SessionName) {
    let longer_than = |prefix: &[u8], value: &Value<'_>| {
        value.string().is_some_and(|text| text.starts_with(prefix) && text.len() > prefix.len())
    };
    if let Some(session) = [members.session_snake_case, members.session_camel_case]
        .into_iter()
        .flatten()
        .find(|session| longer_than(b"", session))
    {
        (session.text(), SessionName::Plain)
    } else if let Some(source) = members.source.filter(|source| longer_than(SOURCE_PREFIX, source)) {
        (source.text(), SessionName::InSource)
    } else {
        ("", SessionName::None)
    }
}

fn truthy(value: Option<Value<'_>>) -> Option<Value<'_>> {
    value.filter(Value::is_truthy)
}

fn text_or<'a>(value: Option<Value<'a>>, default: &'a str) -> &'a str {
    value.map_or(default, |value| value.text())
}

#[cfg(test)]
mod tests {
    use super::{Refusal, parse};
    use crate::formats::memory::{Memory, Moment};

    fn json(text: &str) -> serde_json::Value {
        let mut out = String::new();
        parse(text.as_bytes()).expect("a memory").write_json("a b.json", "NOW", false, &mut out);
        serde_json::from_str(&out).expect("valid JSON")
    }

    #[test]
    fn maps_what_chatty_maps() {
        let text = r#"{"memory_id":"m","created_ts":"2025-03-03T20:55:27Z","raw":"Hello","content":"no","role":"user",
            "tags":["a"],"consent":"self","embed_model":"x:1","embedding":[0.5,1e-05],"raw_sha256":"ff","hash":"00"}"#;
        assert_eq!(
            json(text),
            serde_json::json!({"id": "a b", "type": "capsule", "timestamp": "2025-03-03T20:55:27Z", "content": "Hello",
                "role": "user", "metadata": {"source": "capsule", "filename": "a b.json", "capsuleId": "a b", "tags": ["a"],
                "consent": "self", "embedModel": "x:1", "hash": "ff"}})
        );
        assert_eq!(parse(text.as_bytes()).expect("a memory").moment(), Moment::At(1_741_035_327_000.0));
    }

    #[test]
    fn gives_the_defaults_that_chatty_gives() {
        let defaults = serde_json::json!({"id": "a b", "type": "capsule", "timestamp": "NOW", "content": "",
            "role": "system", "metadata": {"source": "capsule", "filename": "a b.json", "capsuleId": "a b", "tags": [],
            "consent": "unknown"}});
        for text in
            ["{}", "[1]", "5", "\"x\"", "true", "false", r#"{"created_ts":"","role":0,"tags":null,"raw":false}"#]
        {
            assert_eq!(json(text), defaults, "{text}");
        }
        assert_eq!(json(r#"{"embed_model":null,"raw_sha256":"","hash":0}"#)["metadata"]["hash"], 0);
        assert_eq!(json(r#"{"embed_model":null}"#)["metadata"]["embedModel"], serde_json::Value::Null);
    }

    #[test]
    fn the_last_of_equal_keys_counts() {
        assert_eq!(json(r#"{"raw":"a","r\u0061w":"b"}"#)["content"], "b");
        assert_eq!(json(r#"{"raw":"a","raw":0,"content":"c"}"#)["content"], "c");
    }

    #[test]
    fn names_its_session() {
        let of =
            |text: &str, session: &str| parse(text.as_bytes()).expect("a memory").is_of_session(session.as_bytes());
        let all = r#"{"session_id":"a","sessionId":"b","source_id":"chatty_c"}"#;
        assert_eq!([of(all, "a"), of(all, "b"), of(all, "c")], [Some(true), Some(false), Some(false)]);
        assert_eq!(of(r#"{"session_id":"","sessionId":"b"}"#, "b"), Some(true));
        assert_eq!(of(r#"{"source_id":"ch\u0061tty_c"}"#, "c"), Some(true));
        assert_eq!(of(r#"{"source_id":"chatty_c"}"#, "chatty_c"), Some(false));
        assert_eq!(of(r#"{"source_id":"chatty_"}"#, ""), None);
        assert_eq!(of(r#"{"source_id":"other_c","session_id":5}"#, "c"), None);
    }

    #[test]
    fn knows_where_the_embedding_stands() {
        let text = r#"{"raw":"\u00e9é","embedding":[0.5, -1e-05],"tags":[]}"#;
        let memory = parse(text.as_bytes()).expect("a memory");
        let place = memory.embedding().expect("an embedding");
        let (start, end) = (usize::try_from(place.start).expect("small"), usize::try_from(place.end).expect("small"));
        assert_eq!(&text[start..end], "[0.5, -1e-05]");
        for without in [r#"{"embedding":null}"#, r#"{"embedding":"x"}"#, "{}"] {
            assert_eq!(parse(without.as_bytes()).expect("a memory").embedding(), None, "{without}");
        }
    }

    #[test]
    fn comes_back_from_its_record() {
        let memory =
            parse(br#"{"raw":"a\ud800","role":"user","tags":["x",1],"source_id":"chatty_s"}"#).expect("a memory");
        let mut record = Vec::new();
        memory.write_record(&mut record);
        assert_eq!(Memory::from_record(&record).as_ref(), Some(&memory));
        assert_eq!((memory.role().as_deref(), memory.session().as_deref()), (Some(&b"user"[..]), Some(&b"s"[..])));
        assert_eq!(memory.tags().len(), 1);
        for at in 0..record.len() {
            // Whatever a damaged record gives, using it is no panic.
            let mut damaged = record.clone();
            damaged[at] ^= 0x55;
            for record in [&damaged[..], &record[..at]] {
                if let Some(memory) = Memory::from_record(record) {
                    memory.write_json("a.json", "NOW", true, &mut String::new());
                    crate::formats::rows::Rows::default().push(&memory, "a.json", "NOW", false);
                    let _ = (memory.is_sound(), memory.role(), memory.session(), memory.tags());
                }
            }
        }
    }

    #[test]
    fn refuses_null_and_what_is_not_json() {
        assert_eq!(parse(b" null "), Err(Refusal::Null));
        assert!(matches!(parse(b"{"), Err(Refusal::Syntax(_))));
        assert!(matches!(parse("\u{feff}{}".as_bytes()), Err(Refusal::Syntax(_))));
    }

    #[test]
    fn compares_roles_by_value() {
        let memory = parse(br#"{"role":"us\u0065r\ud800"}"#).expect("a memory");
        assert!(memory.has_role(b"user\xed\xa0\x80") && !memory.has_role(b"user"));
        assert!(!parse(br#"{"role":["user"]}"#).expect("a memory").has_role(b"user"));
    }
}
