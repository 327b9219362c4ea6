//! A construct restores to valid JSON with the memories that a plain reading of its sections finds.

use serde_json::{Value, json};
use vvault_native::formats::construct::restore;
use vvault_native::formats::json::scan;

pub fn check(data: &[u8]) {
    let restored = restore(data, Some("{\"valid\":true}"));
    let decoded = String::from_utf8_lossy(data);
    let Some(restored) = restored else {
        // `serde_json` takes nothing that is refused here.
        assert!(!serde_json::from_str::<Value>(&decoded).is_ok_and(|capsule| capsule.is_object()));
        return;
    };
    let (state, header) = (restored.to_json(), restored.to_json_without_memories());
    for text in [&state, &header] {
        assert!(scan(text.as_bytes(), |_, _| {}).is_ok(), "{text}");
    }
    let sections = restored.sections.clone();
    assert!(sections.is_sorted());
    let memories = restored.into_memories();
    assert_eq!(sections.last(), Some(&memories.len()));
    for memory in memories {
        let _ = (memory.has_role(b"user"), memory.has_tags(&[]), memory.is_sound());
    }
    let (Ok(capsule), Ok(state)) = (serde_json::from_str::<Value>(&decoded), serde_json::from_str::<Value>(&state))
    else {
        return;
    };
    let expected = contents(&capsule);
    assert_eq!(state["memoryLog"], json!(expected));
    let memories = state["memories"].as_array().expect("memories");
    assert_eq!(memories.iter().map(|memory| &memory["content"]).collect::<Vec<_>>(), expected);
    assert!(memories.iter().all(|memory| memory["id"].is_string() && memory["role"].is_string()));
    assert!(memories.iter().all(|memory| memory["metadata"]["integrity"]["valid"] == true));

    let name = capsule["metadata"].get("instance_name").unwrap_or(&capsule["construct_id"]);
    assert_eq!(&state["instanceName"], name);
    assert_eq!([&state["uuid"], &state["timestamp"]], ["uuid", "timestamp"].map(|key| &capsule["metadata"][key]));
    let object = |value: &Value| if value.is_object() { value.clone() } else { json!({}) };
    let traits = capsule.get("traits").unwrap_or(&capsule["personality_traits"]);
    for (key, value) in [
        ("traits", traits),
        ("personality", &capsule["personality"]),
        ("environment", &capsule["environment"]),
        ("additionalData", &capsule["additional_data"]),
    ] {
        assert_eq!(state[key], object(value), "{key}");
    }
}

fn contents(capsule: &Value) -> Vec<&Value> {
    let mut contents = Vec::new();
    for list in [
        "short_term_memories",
        "long_term_memories",
        "emotional_memories",
        "procedural_memories",
        "episodic_memories",
        "memory_log",
    ] {
        take(&capsule["memory"][list], &mut contents);
    }
    take(&capsule["memory_log"], &mut contents);
    take(&capsule["long_term_memories"], &mut contents);
    for session in capsule["sessions"].as_array().into_iter().flatten() {
        for exchange in ["first_exchange", "last_exchange"] {
            contents.extend(
                ["user", "construct"].map(|who| &session[exchange][who]).into_iter().filter(|said| is_words(said)),
            );
        }
    }
    contents
}

fn take<'a>(list: &'a Value, contents: &mut Vec<&'a Value>) {
    for item in list.as_array().into_iter().flatten() {
        if item.is_string() {
            contents.push(item);
        } else {
            contents.extend([&item["content"], &item["text"]].into_iter().find(|said| is_words(said)));
        }
    }
}

fn is_words(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.is_empty())
}
