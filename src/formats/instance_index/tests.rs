use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Damage, Entry, EntryFields, InstanceIndex, Salvaged};
use crate::formats::json as text;

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
            let listed: Vec<Value> =
                python["list"].as_array().expect("a list").iter().map(|entry| entry["uuid"].clone()).collect();
            assert_eq!(json!(uuids(&index.newest_first(None))), json!(listed), "{vault}/{instance}");
            compared += 1;
        }
    }
    assert!(compared >= 8, "only {compared}");
}

fn insert(index: &mut InstanceIndex, uuid: &str, timestamp: &str, now: &str) {
    let [instance_name, timestamp] = [json!("Nova").to_string(), json!(timestamp).to_string()];
    let value = |text| text::scan(str::as_bytes(text), |_, _| {}).expect("JSON");
    let fields = EntryFields {
        instance_name: value(&instance_name),
        timestamp: value(&timestamp),
        fingerprint_hash: value("null"),
        capsule_version: None,
        generator: None,
        vault_source: None,
        filename: "x.capsule",
        file_size: 5,
    };
    index.insert(uuid, Entry::new(uuid, &fields, now), now);
}

fn uuids(entries: &[(&str, &Entry)]) -> Vec<String> {
    entries.iter().map(|(uuid, _)| (*uuid).to_owned()).collect()
}

fn tags(index: &InstanceIndex, uuid: &str) -> Vec<String> {
    index.entry(uuid).expect("an entry").tags().map(str::to_owned).collect()
}

#[test]
fn keeps_versions_tags_and_the_latest() {
    let mut index = InstanceIndex::new("Nova", "t0");
    assert!(index.is_empty() && index.latest().is_none());
    insert(&mut index, "a", "2026-02", "t1");
    insert(&mut index, "b", "2026-03", "t2");
    insert(&mut index, "c", "2026-01", "t3");
    assert_eq!(index.latest(), Some("c"));
    assert_eq!(uuids(&index.newest_first(None)), ["b", "a", "c"]);
    assert!(index.add_tag("a", "gold", "t4") && index.add_tag("b", "gold", "t4") && !index.add_tag("x", "gold", "t4"));
    assert_eq!(uuids(&index.newest_first(Some("gold"))), ["b", "a"]);
    assert!(
        index.remove_tag("b", "gold", "t5")
            && index.remove_tag("b", "gold", "t5")
            && !index.remove_tag("x", "gold", "t5")
    );
    assert_eq!(tags(&index, "a"), ["gold"]);
    assert!(index.remove("c", "t6").is_some());
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
    insert(&mut index, "a", "1", "t1");
    index.add_tag("a", "gold", "t2");
    insert(&mut index, "a", "2", "t3");
    assert_eq!(tags(&index, "a"), ["gold"]);
    let entry = index.entry("a").expect("an entry");
    assert_eq!((&*entry.created_at(), &*entry.updated_at(), entry.timestamp()), ("t1", "t3", Some("2")));
}

/// The same steps in Python give the same text (`capsule_version` and the like have Python's defaults).
#[test]
fn writes_as_python_does() {
    let mut index = InstanceIndex::new("Nova", "t0");
    insert(&mut index, "a", "1", "t1");
    index.add_tag("a", "\u{fc}n\"i", "t2");
    index.add_tag("a", "\u{8}\u{c}\u{1}\u{7f}", "t2");
    let parsed: Value = serde_json::from_str(&index.to_text()).expect("JSON");
    assert_eq!(index.to_text(), serde_json::to_string_pretty(&parsed).expect("JSON"));
    assert_eq!(parsed["capsules"]["a"]["capsule_version"], "1.0.0");
    assert_eq!(parsed["tags"], json!({"\u{fc}n\"i": ["a"], "\u{8}\u{c}\u{1}\u{7f}": ["a"]}));
}

#[test]
fn a_tag_that_only_the_map_names_counts() {
    let mut index = InstanceIndex::new("Nova", "t0");
    insert(&mut index, "a", "1", "t1");
    let text = index.to_text().replace("\"tags\": {}", "\"tags\": {\"gold\": [\"a\", null, 5]}");
    let index = InstanceIndex::parse(text.as_bytes()).expect("an index");
    assert_eq!(tags(&index, "a"), ["gold"]);
    let entry: Value = serde_json::from_str(&index.entry("a").expect("an entry").to_json()).expect("JSON");
    assert_eq!(entry["tags"], json!(["gold"]));
}

/// Comparing each tag with all of the others would take minutes.
#[test]
fn many_tags_of_one_capsule_are_no_bomb() {
    let mut index = InstanceIndex::new("Nova", "t0");
    insert(&mut index, "a", "1", "t1");
    index.add_tag("a", "t5", "t2");
    let tags: Vec<String> = (0..100_000).map(|tag| format!("\"t{tag}\": [\"a\", \"a\"]")).collect();
    let whole = index.to_text();
    let (before, _) = whole.split_once("\"tags\": {\n").expect("tags");
    let text = format!("{before}\"tags\": {{{}}}, \"created_at\": \"t\", \"updated_at\": \"t\"}}", tags.join(","));
    let index = InstanceIndex::parse(text.as_bytes()).expect("an index");
    assert_eq!(index.entry("a").expect("an entry").tags().count(), 100_000);
}

/// To write the entry for each of them would take minutes, too, and so would a look at all entries of a tag for each.
#[test]
fn many_tags_are_changed_at_once() {
    const MANY: usize = 20_000;
    let mut index = InstanceIndex::new("Nova", "t0");
    for uuid in ["a", "b"] {
        insert(&mut index, uuid, "1", "t1");
    }
    index.add_tag("a", "t5", "t2");
    let tags: Vec<String> = (0..MANY).map(|tag| format!("t{tag}")).collect();
    let all = |is_given: bool| tags.iter().flat_map(move |tag| ["a", "none"].map(|uuid| (uuid, &**tag, is_given)));
    index.change_tags(all(true).chain(all(true)), "t3");
    assert_eq!((index.entry("a").expect("an entry").tags().count(), index.tags().count()), (MANY, MANY));
    assert_eq!(index.entry("a").expect("an entry").updated_at(), "t3");
    assert_eq!(InstanceIndex::parse(index.to_text().as_bytes()).as_ref(), Ok(&index));
    let again = index.clone();
    index.change_tags(all(true), "t4");
    assert_eq!(index, again, "nothing has changed");
    // The last word counts.
    index.change_tags(all(true).chain(all(false)).chain([("a", "t7", true), ("b", "t7", true)]), "t5");
    assert_eq!((tags_of(&index), index.tags().collect()), (["t7", "t7"].map(|tag| vec![tag.to_owned()]), vec!["t7"]));
    assert_eq!(InstanceIndex::parse(index.to_text().as_bytes()), Ok(index));

    let mut whole = InstanceIndex::new("Nova", "t0");
    insert(&mut whole, "a", "1", "t1");
    whole.add_tag("a", "gold", "t2");
    let entry = whole.entry("a").expect("an entry");
    whole.put_back((0..MANY).map(|uuid| (uuid.to_string(), entry.clone())).collect());
    assert_eq!(whole.newest_first(Some("gold")).len(), MANY + 1);
    assert_eq!(InstanceIndex::parse(whole.to_text().as_bytes()), Ok(whole));
}

fn tags_of(index: &InstanceIndex) -> [Vec<String>; 2] {
    ["a", "b"].map(|uuid| tags(index, uuid))
}

/// As in every object, and as in Python: an earlier list of the same tag says nothing.
#[test]
fn of_equal_tags_in_the_map_the_last_counts() {
    let mut index = InstanceIndex::new("Nova", "t0");
    insert(&mut index, "a", "1", "t1");
    let text = index.to_text().replace("\"tags\": {}", "\"tags\": {\"gold\": [\"a\"], \"gold\": [\"b\"]}");
    let index = InstanceIndex::parse(text.as_bytes()).expect("an index");
    assert!(tags(&index, "a").is_empty());
    assert_eq!(InstanceIndex::parse(index.to_text().as_bytes()), Ok(index));
}

#[test]
fn whole_entries_are_saved_from_a_damaged_index() {
    let mut index = InstanceIndex::new("Nova", "t0");
    for uuid in ["a", "b", "c"] {
        insert(&mut index, uuid, "1", "t1");
        index.add_tag(uuid, "gold", "t2");
    }
    let text = index.to_text();
    let mut most = 0;
    for end in 0..text.len() {
        let Salvaged { entries: saved, latest, .. } = InstanceIndex::salvage(&text.as_bytes()[..end]);
        assert!(latest.is_none_or(|latest| latest == "c"));
        assert!(saved.len() >= most && saved.iter().all(|(uuid, entry)| index.entry(uuid) == Some(entry)));
        most = saved.len();
    }
    assert_eq!(most, 3);
    assert_eq!(InstanceIndex::salvage(&text.as_bytes()[..text.len() - 1]).latest.as_deref(), Some("c"));
    let over_each_other = format!("{}{}", &text[..text.len() / 2], &text[text.len() / 3..]);
    assert!(!InstanceIndex::salvage(over_each_other.as_bytes()).entries.is_empty());
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

/// Else it would begin a new index, or cut this one off.
#[test]
fn has_nothing_that_python_can_t_read_or_write() {
    let (digits, deep) = ("1".repeat(5000), "[".repeat(500) + &"]".repeat(500));
    for (given, kept) in [
        ("\"a\\ud800\"", "\"a\u{fffd}\u{fffd}\u{fffd}\""),
        ("NaN", "null"),
        ("-Infinity", "null"),
        (&*digits, "null"),
        ("[\"\\ud800\"]", "null"),
        ("{\"\\udc00\":1}", "null"),
        ("{\"a\":[\"\\ud83d\\ude00\",1e5]}", "{\"a\":[\"\\ud83d\\ude00\",1e5]}"),
        (&*deep, "null"),
    ] {
        let value = text::scan_python(given.as_bytes(), |_, _| {}).expect("JSON");
        assert_eq!(&*super::plain(&value), kept);
    }
}
