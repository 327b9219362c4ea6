//! An index that is read and written is the same index; one that Python wrote comes out byte for byte; a part of one is
//! taken for cut off.

use serde_json::Value;
use vvault_native::formats::instance_index::{Damage, Entry, InstanceIndex, Salvaged};

pub fn check(data: &[u8]) {
    let Salvaged { entries: saved, latest, .. } = InstanceIndex::salvage(data);
    let Ok(index) = InstanceIndex::parse(data) else { return };
    let written = index.to_text();
    let again = InstanceIndex::parse(written.as_bytes());
    assert_eq!(again.as_ref(), Ok(&index), "{written}");
    assert_eq!(again.map(|index| index.to_text()).as_ref(), Ok(&written));

    let text = std::str::from_utf8(data).expect("an index is UTF-8");
    if is_by_python(text) {
        assert_eq!(written, text);
        assert_eq!(saved.len(), index.len());
        assert_eq!(latest.as_deref(), index.latest());
        let part = &text.as_bytes()[..text.len() * 2 / 3];
        assert_eq!(InstanceIndex::parse(part), Err(Damage::CutOff));
    }
    for (uuid, entry) in index.entries() {
        assert_eq!(index.entry(uuid), Some(entry));
        let _ = (entry.created_at(), entry.updated_at());
        if let Ok(json) = serde_json::from_str::<Value>(&entry.to_json()) {
            let tags: Vec<_> = json["tags"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            assert_eq!(entry.tags().collect::<Vec<_>>(), tags);
        }
    }
    let newest: Vec<Option<&str>> =
        index.newest_first(None).into_iter().map(|(_, entry)| Entry::timestamp(entry)).collect();
    assert!(newest.is_sorted_by(|left, right| left >= right) && newest.len() == index.len());
}

/// Whether Python's `json.dump(…, indent=2, ensure_ascii=False)` could have written the text.
fn is_by_python(text: &str) -> bool {
    let Ok(Value::Object(index)) = serde_json::from_str(text) else { return false };
    let keys = ["instance_name", "capsules", "tags", "latest_uuid", "created_at", "updated_at"];
    index.keys().eq(keys)
        && (index["latest_uuid"].is_null() || index["latest_uuid"].is_string())
        && index["tags"].as_object().is_some_and(|tags| tags.values().all(is_list_of_texts))
        && serde_json::to_string_pretty(&index).is_ok_and(|written| written == text)
}

fn is_list_of_texts(value: &Value) -> bool {
    value.as_array().is_some_and(|items| items.iter().all(Value::is_string))
}
