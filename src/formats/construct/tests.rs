use std::collections::HashSet;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::{LARGEST, LONGEST_REPEATED, restore};

fn restored(text: &[u8]) -> Value {
    serde_json::from_str(&restore(text, None).expect("an object").to_json()).expect("valid JSON")
}

/// Capsules that the real programs wrote. `memoryLog` in `expected.json` is what VVAULT's five lists hold, `elsewhere`
/// what stands in other places.
#[test]
fn restores_what_real_programs_wrote() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("__test__/recorded/capsules");
    let expected = std::fs::read(folder.join("expected.json")).expect("the recording");
    let expected: Value = serde_json::from_slice(&expected).expect("the recording");
    for (name, recorded) in expected["capsules"].as_object().expect("capsules") {
        let state = restored(&std::fs::read(folder.join(name)).expect("a capsule"));
        let recorded = &recorded["restore"];
        for (key, recorded_key) in [("uuid", "uuid"), ("timestamp", "timestamp")] {
            assert_eq!(state[key], recorded[recorded_key], "{key} of {name}");
        }
        let log = state["memoryLog"].as_array().expect("a log");
        let lists = recorded["memoryLog"].as_array().expect("a log");
        assert_eq!(&log[..lists.len()], &lists[..], "{name}");
        let memories = state["memories"].as_array().expect("memories");
        let contents: Vec<&Value> = memories.iter().map(|memory| &memory["content"]).collect();
        assert_eq!(contents, log.iter().collect::<Vec<_>>(), "{name}");
        let ids: HashSet<&str> = memories.iter().map(|memory| memory["id"].as_str().expect("an id")).collect();
        assert_eq!(ids.len(), memories.len(), "{name}");
    }
}

#[test]
fn logs_have_roles_and_sessions_both_sides() {
    let state = restored(
        br#"{"memory":{"memory_log":["user: a","assistant: b","c"],"last_memory_timestamp":"T"},"memory_log":["user: d"],
            "metadata":{"instance_name":"Nova","uuid":"u","timestamp":"W"},"long_term_memories":["e"],
            "sessions":[{"estimated_date":"2025-01-02","first_exchange":{"user":"f","construct":"g"},
            "last_exchange":{"user":"","construct":""}}]}"#,
    );
    let memories: Vec<Value> = state["memories"]
        .as_array()
        .expect("memories")
        .iter()
        .map(|memory| json!([memory["content"], memory["role"], memory["timestamp"], memory["metadata"]["kind"]]))
        .collect();
    let expected = [
        json!(["user: a", "user", "T", "log"]),
        json!(["assistant: b", "assistant", "T", "log"]),
        json!(["c", "system", "T", "log"]),
        json!(["user: d", "user", "W", "log"]),
        json!(["e", "system", "W", "long-term"]),
        json!(["f", "user", "2025-01-02", "session"]),
        json!(["g", "assistant", "2025-01-02", "session"]),
    ];
    assert_eq!(memories, expected);
}

#[test]
fn objects_keep_what_they_say_of_themselves() {
    let state = restored(
        br#"{"memory":{"episodic_memories":[{"text":"a","role":"user","timestamp":5,"id":"x"},{"content":"b","text":"no"},
            {"content":""},7,null,["c"]]}}"#,
    );
    assert_eq!(state["memoryLog"], json!(["a", "b"]));
    assert_eq!(state["memories"][0]["id"], "x");
    assert_eq!(state["memories"][0]["timestamp"], 5);
    assert_eq!(state["memories"][0]["role"], "user");
    assert_eq!(state["memories"][1]["metadata"]["section"], "memory.episodic_memories");
    assert_eq!(state["memories"][1]["metadata"]["index"], 1);
}

#[test]
fn a_missing_section_is_empty() {
    let empty = json!({"instanceName": null, "uuid": null, "timestamp": null, "traits": {}, "personality": {}, "memoryLog": [],
        "memories": [], "environment": {}, "additionalData": {}});
    for text in ["{}", r#"{"memory":null,"traits":[],"metadata":5,"sessions":{},"memory_log":"x"}"#] {
        assert_eq!(restored(text.as_bytes()), empty, "{text}");
    }
    for text in ["[]", "5", "null", "{", ""] {
        assert!(restore(text.as_bytes(), None).is_none(), "{text}");
    }
}

/// Each memory names its construct, its version and mostly the capsule's time: here two megabytes that would become six
/// gigabytes.
#[test]
fn a_long_uuid_of_many_memories_is_no_bomb() {
    let text = |length: usize, memories: usize| {
        let (long, list) = ("x".repeat(length), vec!["\"a\""; memories].join(","));
        format!(
            "{{\"metadata\":{{\"instance_name\":\"{long}\",\"uuid\":\"{long}\",\"timestamp\":\"{long}\"}},\"memory\":\
             {{\"last_memory_timestamp\":\"{long}\",\"short_term_memories\":[{list}]}},\"last_synced_at\":\"{long}\",\
             \"sessions\":[{{\"estimated_date\":\"{long}\",\"first_exchange\":{{\"user\":\"b\"}}}}]}}"
        )
    };
    for (length, is_named) in [(10, true), (LONGEST_REPEATED - 2, true), (LONGEST_REPEATED, false), (500_000, false)] {
        let long = "x".repeat(length);
        let capsule = restore(text(length, 1000).as_bytes(), None).expect("a state");
        let mut state: Value = serde_json::from_str(&capsule.to_json()).expect("valid JSON");
        let memories = state["memories"].as_array().expect("a list").clone();
        assert!(state["memories"].to_string().len() < 1001 * (4 * LONGEST_REPEATED + 300));
        assert_eq!(memories.len(), 1001);
        (state["memories"], state["memoryLog"]) = (json!([]), json!([]));
        let header: Value = serde_json::from_str(&capsule.to_json_without_memories()).expect("valid JSON");
        assert_eq!(header, state);
        for key in ["instanceName", "uuid", "timestamp"] {
            assert_eq!(state[key], *long);
        }
        let named = if is_named { json!(long) } else { Value::Null };
        for memory in &memories {
            let metadata = &memory["metadata"];
            assert_eq!([&metadata["instanceName"], &metadata["uuid"], &memory["timestamp"]], [&named; 3]);
        }
        assert_eq!((&memories[999]["content"], &memories[1000]["content"]), (&json!("a"), &json!("b")));
    }
    // What they say of where they stand counts too.
    let many = text(10, LARGEST / 150);
    assert!(restore(many.as_bytes(), None).is_none());
}

/// The same memory has the same id in the next version, also when others came before it.
#[test]
fn ids_are_stable() {
    let id = |list: &str, content: &str| {
        let text =
            format!("{{\"metadata\":{{\"instance_name\":\"Nova\"}},\"memory\":{{\"short_term_memories\":{list}}}}}");
        let state = restored(text.as_bytes());
        let memory =
            state["memories"].as_array().expect("memories").iter().find(|memory| memory["content"] == content).cloned();
        memory.expect("the memory")["id"].clone()
    };
    assert_eq!(id(r#"["a","b"]"#, "b"), id(r#"["x","b","b"]"#, "b"));
    assert_ne!(id(r#"["a","b"]"#, "a"), id(r#"["a","b"]"#, "b"));
    // However it is written, and whatever the construct is called.
    let ids = ["\"Zo\u{eb}\"", "\"Zo\\u00eb\"", "\"gpt-zoe\u{308}-001\""].map(|name| {
        let text = format!("{{\"metadata\":{{\"instance_name\":{name}}},\"memory_log\":[\"\u{e9}\",\"\\u00e9\"]}}");
        restored(text.as_bytes())["memories"]
            .as_array()
            .expect("memories")
            .iter()
            .map(|one| one["id"].clone())
            .collect()
    });
    let [first, escaped, other]: [Vec<Value>; 3] = ids;
    assert_eq!((&first, &first), (&escaped, &other));
    assert_ne!(first[0], first[1]);
    let of_id = |shown: &str| {
        let text = format!(
            "{{\"metadata\":{{\"construct_id\":\"luna-001\",\"instance_name\":\"{shown}\"}},\"memory_log\":[\"a\"]}}"
        );
        restored(text.as_bytes())["memories"][0]["id"].clone()
    };
    assert_eq!(of_id("Luna Nightshade"), of_id("Moonlight"));
}

/// JavaScript can make no date of some values, and fails to.
#[test]
fn what_is_no_time_is_that_of_the_capsule() {
    let odd = r#"{"toString":null,"valueOf":null}"#;
    let state = restored(
        format!(
            "{{\"metadata\":{{\"timestamp\":\"W\"}},\"memory\":{{\"last_memory_timestamp\":{odd},\"short_term_memories\":[\"a\",\
             {{\"content\":\"b\",\"timestamp\":{odd},\"created_ts\":[]}},{{\"content\":\"c\",\"timestamp\":5}}]}},\
             \"last_synced_at\":{odd},\"sessions\":[{{\"estimated_date\":{odd},\"first_exchange\":{{\"user\":\"d\"}}}}]}}"
        )
        .as_bytes(),
    );
    let times: Vec<&Value> =
        state["memories"].as_array().expect("memories").iter().map(|one| &one["timestamp"]).collect();
    assert_eq!(times, [&json!("W"), &json!("W"), &json!(5), &Value::Null]);
}

#[test]
fn memories_are_restored_beside_numbers_that_only_python_has() {
    let text = br#"{"metadata":{"instance_name":"Nova"},"traits":{"drift":NaN,"edge":-Infinity},
        "memory":{"short_term_memories":["a",{"content":"b","weight":Infinity}]}}"#;
    let json = restore(text, None).expect("a state").to_json();
    let state: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(state["memoryLog"], serde_json::json!(["a", "b"]));
    assert_eq!(state["traits"], serde_json::json!({"drift": null, "edge": null}));
}
