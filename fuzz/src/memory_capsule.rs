//! A memory is what a plain reading of the capsule by `serde_json` makes of it, with Chatty's defaults.

use serde_json::{Map, Value, json};
use vvault_native::formats::integrity::judge;
use vvault_native::formats::json::{Kind, scan};
use vvault_native::formats::memory_capsule::{Refusal, parse};
use vvault_native::formats::rows::Rows;

use super::reference::sha256;

pub fn check(data: &[u8]) {
    let memory = match (parse(data), scan(data, |_, _| {})) {
        (Ok(memory), Ok(_)) => memory,
        (Err(Refusal::Null), Ok(whole)) if whole.kind() == Kind::Null => return,
        (Err(Refusal::Syntax(error)), Err(other)) if error == other => return,
        (refused, _) => panic!("{refused:?}"),
    };
    let mut text = String::new();
    memory.write_json("a\"b.json", "NOW", false, &mut text);
    assert!(scan(text.as_bytes(), |_, _| {}).is_ok(), "{text}");

    // Lone surrogates, numbers beyond a double and deep nesting are beyond serde_json.
    let (Ok(capsule), Ok(written)) = (serde_json::from_slice(data), serde_json::from_str::<Value>(&text)) else {
        return;
    };
    let members = if let Value::Object(members) = capsule { members } else { Map::new() };
    assert_eq!(written, expected(&members));
    let mut rows = Rows::default();
    rows.push(&memory, "a\"b.json", "NOW", false);
    let values: Vec<Value> = serde_json::from_str(&rows.values()).expect("the values are JSON");
    let places = rows.places();
    if let [0, whole] = places[..] {
        assert_eq!(values[index(whole)], written);
    } else {
        let latin1: Vec<char> = rows.latin1().iter().map(|byte| char::from(*byte)).collect();
        let latin1 = |from: i32, to: i32| json!(latin1[index(from)..index(to)].iter().collect::<String>());
        let [name, timestamp, content, hash, ref shared @ ..] = places[..] else { panic!("{places:?}") };
        let shared: Vec<Value> = shared.iter().map(|place| values[index(*place)].clone()).collect();
        let behind = content.max(timestamp);
        let wide = String::from_utf16(rows.wide()).expect("no lone surrogate");
        let content = if content < 0 { json!(wide) } else { latin1(timestamp, content) };
        let metadata = |member: &str| written["metadata"][member].clone();
        assert_eq!(metadata("filename"), latin1(0, name));
        assert_eq!(written["timestamp"], latin1(name, timestamp));
        assert_eq!(written["content"], content);
        assert_eq!(metadata("hash"), latin1(behind, hash));
        let own = [written["role"].clone(), metadata("tags"), metadata("consent"), metadata("embedModel")];
        assert_eq!(shared, own);
    }
    let role = written["role"].as_str();
    assert_eq!(memory.has_role(role.unwrap_or("system").as_bytes()), role.is_some());
    let is_tag = |tag: &str| written["metadata"]["tags"].as_array().is_some_and(|tags| tags.contains(&json!(tag)));
    assert_eq!(memory.has_tags(&[b"gold".to_vec()]), is_tag("gold"));

    let session = session(&members);
    assert_eq!(memory.is_of_session(session.unwrap_or("").as_bytes()), session.map(|_| true));
    assert_eq!(memory.is_of_session(b"\xff"), session.map(|_| false));

    let sound = match (members.get("raw"), members.get("raw_sha256")) {
        (Some(Value::String(raw)), Some(stated)) => Some(stated.as_str() == Some(&sha256(raw.as_bytes()))),
        _ => None,
    };
    assert_eq!(memory.is_sound(), sound);
    let states_fingerprint = members.get("metadata").is_some_and(|metadata| metadata.get("fingerprint_hash").is_some());
    if !states_fingerprint {
        assert_eq!(judge(data, None).valid, sound);
    }
}

fn index(place: i32) -> usize {
    usize::try_from(place).expect("a place")
}

fn expected(members: &Map<String, Value>) -> Value {
    let truthy = |key: &str| members.get(key).filter(|value| is_truthy(value));
    let or = |value: Option<&Value>, default: Value| value.cloned().unwrap_or(default);
    let mut metadata = json!({
        "source": "capsule",
        "filename": "a\"b.json",
        "capsuleId": "a\"b",
        "tags": or(truthy("tags"), json!([])),
        "consent": or(truthy("consent"), json!("unknown")),
    });
    for (key, value) in
        [("embedModel", members.get("embed_model")), ("hash", truthy("raw_sha256").or(members.get("hash")))]
    {
        if let Some(value) = value {
            metadata[key] = value.clone();
        }
    }
    json!({
        "id": "a\"b",
        "type": "capsule",
        "timestamp": or(truthy("created_ts").or(truthy("timestamp")), json!("NOW")),
        "content": or(truthy("raw").or(truthy("content")), json!("")),
        "role": or(truthy("role"), json!("system")),
        "metadata": metadata,
    })
}

fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(_) | Value::Object(_) => true,
    }
}

fn session(members: &Map<String, Value>) -> Option<&str> {
    let text = |key: &str| members.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let in_source = || text("source_id")?.strip_prefix("chatty_").filter(|session| !session.is_empty());
    text("session_id").or_else(|| text("sessionId")).or_else(in_source)
}
