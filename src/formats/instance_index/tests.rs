use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::{Damage, ENTRY_KEYS, InstanceIndex};

fn vaults() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("__test__/recorded/python-vault")
}

fn expected() -> Value {
    let recorded = std::fs::read(vaults().join("expected.json")).expect("the recording");
    serde_json::from_slice(&recorded).expect("the recording")
}

/// Vaults that the real `VVAULTCore` wrote, and what it says of them itself.
#[test]
fn reads_and_writes_what_python_wrote() {
    let mut compared = 0;
    for (vault, recorded) in expected()["vaults"].as_object().expect("vaults") {
        for (instance, python) in recorded["python"]["of"].as_object().expect("instances") {
            let file = vaults().join(vault).join(format!("indexes/{instance}_index.json"));
            let Ok(text) = std::fs::read(&file) else { continue };
            let index = match InstanceIndex::parse(&text) {
                Ok(index) => index,
                Err(damage) => {
                    assert_eq!((damage, &python["info"]), (Damage::CutOff, &Value::Null), "{vault}");
                    continue;
                }
            };
            assert_eq!(index.to_text().as_bytes(), text, "{vault}/{instance}");
            assert_eq!(json!(index.len()), python["info"]["total_capsules"], "{vault}/{instance}");
            assert_eq!(json!(index.latest()), python["info"]["latest_uuid"], "{vault}/{instance}");
            let names = |entries: Vec<&Map<String, Value>>| -> Vec<Value> {
                entries.into_iter().map(|entry| entry["uuid"].clone()).collect()
            };
            let listed: Vec<Value> =
                python["list"].as_array().expect("a list").iter().map(|entry| entry["uuid"].clone()).collect();
            assert_eq!(names(index.newest_first(None)), listed, "{vault}/{instance}");
            compared += 1;
        }
    }
    assert!(compared >= 8, "only {compared}");
}

fn entry(uuid: &str, timestamp: &str) -> Map<String, Value> {
    let mut entry: Map<String, Value> = ENTRY_KEYS.iter().map(|key| ((*key).to_owned(), json!(""))).collect();
    entry["uuid"] = json!(uuid);
    entry["timestamp"] = json!(timestamp);
    entry["tags"] = json!([]);
    entry["created_at"] = json!("born");
    entry
}

fn uuids(entries: &[&Map<String, Value>]) -> Vec<String> {
    entries.iter().map(|entry| entry["uuid"].as_str().expect("a uuid").to_owned()).collect()
}

#[test]
fn keeps_versions_tags_and_the_latest() {
    let mut index = InstanceIndex::new("Nova", "t0");
    assert!(index.is_empty() && index.latest().is_none());
    index.insert("a", entry("a", "2026-02"), "t1");
    index.insert("b", entry("b", "2026-03"), "t2");
    index.insert("c", entry("c", "2026-01"), "t3");
    assert_eq!(index.latest(), Some("c"));
    assert_eq!(uuids(&index.newest_first(None)), ["b", "a", "c"]);
    assert!(index.add_tag("a", "gold", "t4") && index.add_tag("b", "gold", "t4") && !index.add_tag("x", "gold", "t4"));
    assert_eq!(uuids(&index.newest_first(Some("gold"))), ["b", "a"]);
    assert!(
        index.remove_tag("b", "gold", "t5")
            && index.remove_tag("b", "gold", "t5")
            && !index.remove_tag("x", "gold", "t5")
    );
    assert_eq!(index.tags_of("a"), ["gold"]);
    assert_eq!(index.remove("c", "t6").expect("an entry")["uuid"], "c");
    assert_eq!(index.latest(), Some("b"));
    assert_eq!(index.remove("c", "t6"), None);
    index.remove("a", "t7");
    assert_eq!(InstanceIndex::parse(index.to_text().as_bytes()), Ok(index.clone()));
    assert!(index.to_text().contains("\"tags\": {},\n"), "{}", index.to_text());
}

/// Python forgets the tags of a capsule that is stored again; here they stay.
#[test]
fn storing_again_keeps_tags_and_birth() {
    let mut index = InstanceIndex::new("Nova", "t0");
    index.insert("a", entry("a", "1"), "t1");
    index.add_tag("a", "gold", "t2");
    let mut again = entry("a", "2");
    again["created_at"] = json!("later");
    index.insert("a", again, "t3");
    assert_eq!(index.tags_of("a"), ["gold"]);
    assert_eq!(index.entry("a").expect("an entry")["created_at"], "born");
    assert_eq!(index.entry("a").expect("an entry")["timestamp"], "2");
}

#[test]
fn a_damaged_index_is_told_from_an_unfinished_one() {
    let whole = InstanceIndex::new("Nova", "t0").to_text();
    assert_eq!(InstanceIndex::parse(b""), Err(Damage::CutOff));
    for end in 1..whole.len() {
        assert_eq!(InstanceIndex::parse(&whole.as_bytes()[..end]), Err(Damage::CutOff), "{end}");
    }
    let behind = whole.clone() + "d\": 5}";
    assert!(InstanceIndex::parse(behind.as_bytes()).is_ok());
    for text in ["[]", "5", "{}", "nonsense", &whole.replace("\"capsules\": {}", "\"capsules\": []")] {
        assert!(matches!(InstanceIndex::parse(text.as_bytes()), Err(Damage::NotAnIndex(_))), "{text}");
    }
    let extra = whole.replace("\"capsules\": {}", "\"capsules\": {\"a\": {\"uuid\": \"a\"}}");
    assert!(matches!(InstanceIndex::parse(extra.as_bytes()), Err(Damage::NotAnIndex(_))));
}
