//! An index to which things are done says what a plain list of capsules says, and can be written and read at any time.
//!
//! Each two bytes of the input are one change.

use serde_json::Value;
use vvault_native::formats::instance_index::{Entry, EntryFields, InstanceIndex};
use vvault_native::formats::json;

/// Names and tags, also ones that need care where they are written.
const WORDS: [&str; 8] = ["a", "b", "c", "", "\u{fc}n\"i\\", "\u{1}\u{8}\u{c}\u{7f}", "\u{2028}\u{1f600}", "gold"];

struct Capsule {
    uuid: &'static str,
    timestamp: &'static str,
    created: String,
    updated: String,
    tags: Vec<&'static str>,
}

pub fn check(data: &[u8]) {
    let mut index = InstanceIndex::new("Nova", "t");
    let mut capsules: Vec<Capsule> = Vec::new();
    let mut latest = None;
    for (step, change) in data.as_chunks::<2>().0.iter().take(64).enumerate() {
        let now = format!("t{step:03}");
        let word = |bits: u8| WORDS[usize::from(bits & 7)];
        let (uuid, other) = (word(change[0]), word(change[0] >> 3));
        let known = capsules.iter().position(|capsule| capsule.uuid == uuid);
        match change[1] % 5 {
            0 => {
                index.insert(uuid, entry(uuid, other, &now), &now);
                if let Some(at) = known {
                    (capsules[at].timestamp, capsules[at].updated) = (other, now);
                } else {
                    let (created, updated) = (now.clone(), now);
                    capsules.push(Capsule { uuid, timestamp: other, created, updated, tags: Vec::new() });
                }
                latest = Some(uuid);
            }
            1 => {
                assert_eq!(index.add_tag(uuid, other, &now), known.is_some());
                if let Some(at) = known
                    && !capsules[at].tags.contains(&other)
                {
                    capsules[at].tags.push(other);
                    capsules[at].updated = now;
                }
            }
            2 => {
                assert_eq!(index.remove_tag(uuid, other, &now), known.is_some());
                if let Some(at) = known
                    && capsules[at].tags.contains(&other)
                {
                    capsules[at].tags.retain(|tag| *tag != other);
                    capsules[at].updated = now;
                }
            }
            3 => {
                assert_eq!(index.remove(uuid, &now).is_some(), known.is_some());
                if let Some(at) = known {
                    capsules.remove(at);
                    if latest == Some(uuid) {
                        latest = newest_first(&capsules).first().copied();
                    }
                }
            }
            _ => {
                latest = known.map(|_| uuid);
                index.set_latest(latest);
            }
        }
    }
    compare(&index, &capsules, latest);
    let text = index.to_text();
    let parsed: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(text, serde_json::to_string_pretty(&parsed).expect("JSON"));
    let again = InstanceIndex::parse(text.as_bytes()).expect("an index");
    assert_eq!(again, index);
    compare(&again, &capsules, latest);
}

fn newest_first(capsules: &[Capsule]) -> Vec<&'static str> {
    let mut sorted: Vec<&Capsule> = capsules.iter().collect();
    sorted.sort_by_key(|capsule| std::cmp::Reverse(capsule.timestamp));
    sorted.into_iter().map(|capsule| capsule.uuid).collect()
}

fn compare(index: &InstanceIndex, capsules: &[Capsule], latest: Option<&str>) {
    let uuids = |entries: Vec<(&str, &Entry)>| entries.into_iter().map(|(uuid, _)| uuid.to_owned()).collect::<Vec<_>>();
    assert_eq!(uuids(index.newest_first(None)), newest_first(capsules));
    assert_eq!(uuids(index.entries().collect()), capsules.iter().map(|capsule| capsule.uuid).collect::<Vec<_>>());
    assert_eq!(index.latest(), latest);
    for capsule in capsules {
        let entry = index.entry(capsule.uuid).expect("an entry");
        assert_eq!(entry.tags().collect::<Vec<_>>(), capsule.tags);
        assert_eq!([entry.created_at(), entry.updated_at()], [&*capsule.created, &*capsule.updated]);
        assert_eq!(entry.timestamp(), Some(capsule.timestamp));
    }
    let given = |tag: &&str| capsules.iter().any(|capsule| capsule.tags.contains(tag));
    let mut tags: Vec<&str> = index.tags().collect();
    assert!(tags.iter().all(given));
    tags.sort_unstable();
    let mut expected: Vec<&str> = WORDS.into_iter().filter(given).collect();
    expected.sort_unstable();
    assert_eq!(tags, expected);
}

fn entry(uuid: &str, timestamp: &str, now: &str) -> Entry {
    let mut quoted = String::new();
    json::write_string(&mut quoted, timestamp);
    let value = |text| json::scan(str::as_bytes(text), |_, _| {}).expect("JSON");
    let fields = EntryFields {
        instance_name: value("\"Nova\""),
        timestamp: value(&quoted),
        fingerprint_hash: value("null"),
        capsule_version: None,
        generator: Some(value("5")),
        vault_source: None,
        filename: uuid,
        file_size: 5,
    };
    Entry::new(uuid, &fields, now)
}
