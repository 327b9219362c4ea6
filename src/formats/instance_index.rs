//! VVAULT's index of one instance, `indexes/{instance}_index.json`, as `vvault_core.py` reads and writes it.
//!
//! Python loads each entry into a dataclass: one with an unknown key, or without one of the twelve, makes it take the whole
//! index for missing and begin a new one at its next store. So nothing is ever added to an entry. What Python wrote comes
//! out again byte for byte.
//!
//! Tags stand twice, in the entry and in the map of tags. A capsule has a tag if either says so.

use serde_json::{Map, Value, json};

/// The keys that an entry has, no more and no fewer, in Python's order.
pub const ENTRY_KEYS: [&str; 12] = [
    "instance_name",
    "uuid",
    "timestamp",
    "filename",
    "fingerprint_hash",
    "tags",
    "capsule_version",
    "generator",
    "vault_source",
    "file_size",
    "created_at",
    "updated_at",
];

/// An index as it stands in its file: `instance_name`, `capsules`, `tags`, `latest_uuid`, `created_at`, `updated_at`.
#[derive(Debug, Clone, PartialEq)]
pub struct InstanceIndex {
    fields: Map<String, Value>,
}

/// Why an index can't be used as it is.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Damage {
    /// It ends in the middle: a writer is at work, or was interrupted.
    #[error("the index is cut off")]
    CutOff,
    /// It is not an index.
    #[error("the index is damaged: {0}")]
    NotAnIndex(String),
}

impl InstanceIndex {
    /// An index without capsules. `now` is an ISO date as Python writes it.
    #[must_use]
    pub fn new(instance: &str, now: &str) -> Self {
        let fields = json!({
            "instance_name": instance,
            "capsules": {},
            "tags": {},
            "latest_uuid": null,
            "created_at": now,
            "updated_at": now,
        });
        Self { fields: if let Value::Object(fields) = fields { fields } else { Map::new() } }
    }

    /// Reads an index file. Text behind a whole index, which two writers over each other leave, is ignored.
    ///
    /// # Errors
    /// [`Damage`]: rebuild the index from the capsules.
    pub fn parse(text: &[u8]) -> Result<Self, Damage> {
        let first = serde_json::Deserializer::from_slice(text).into_iter::<Value>().next();
        match first {
            None => Err(Damage::CutOff),
            Some(Err(error)) if error.is_eof() => Err(Damage::CutOff),
            Some(Err(error)) => Err(Damage::NotAnIndex(error.to_string())),
            Some(Ok(Value::Object(fields))) => Self::check(fields),
            Some(Ok(_)) => Err(Damage::NotAnIndex("it is not an object".to_owned())),
        }
    }

    /// What Python's loader asks of an index.
    fn check(mut fields: Map<String, Value>) -> Result<Self, Damage> {
        for key in ["instance_name", "created_at", "updated_at"] {
            if !fields.contains_key(key) {
                return Err(Damage::NotAnIndex(format!("it has no {key}")));
            }
        }
        for key in ["capsules", "tags"] {
            let map = fields.entry(key).or_insert_with(|| Value::Object(Map::new()));
            if !map.is_object() {
                return Err(Damage::NotAnIndex(format!("its {key} are not an object")));
            }
        }
        fields.entry("latest_uuid").or_insert(Value::Null);
        for (uuid, entry) in fields["capsules"].as_object().into_iter().flatten() {
            let whole = entry.as_object().is_some_and(|entry| {
                entry.len() == ENTRY_KEYS.len() && ENTRY_KEYS.iter().all(|key| entry.contains_key(*key))
            });
            if !whole {
                return Err(Damage::NotAnIndex(format!(
                    "the entry of {uuid} has not just the twelve fields of an entry"
                )));
            }
        }
        Ok(Self { fields })
    }

    /// The text of the file, as Python writes it: two spaces of indentation, no line break at the end.
    #[must_use]
    pub fn to_text(&self) -> String {
        serde_json::to_string_pretty(&self.fields).unwrap_or_default()
    }

    fn map(&self, key: &str) -> Option<&Map<String, Value>> {
        self.fields.get(key).and_then(Value::as_object)
    }

    fn map_mut(&mut self, key: &str) -> Option<&mut Map<String, Value>> {
        self.fields.get_mut(key).and_then(Value::as_object_mut)
    }

    /// The entry of a capsule.
    #[must_use]
    pub fn entry(&self, uuid: &str) -> Option<&Map<String, Value>> {
        self.map("capsules")?.get(uuid)?.as_object()
    }

    /// How many capsules there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.map("capsules").map_or(0, Map::len)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The capsule that was stored last.
    #[must_use]
    pub fn latest(&self) -> Option<&str> {
        self.fields.get("latest_uuid")?.as_str()
    }

    /// The tags of a capsule, from both places.
    #[must_use]
    pub fn tags_of(&self, uuid: &str) -> Vec<String> {
        let own = self.entry(uuid).and_then(|entry| entry["tags"].as_array()).into_iter().flatten();
        let mut tags: Vec<String> = own.filter_map(Value::as_str).map(str::to_owned).collect();
        for (tag, tagged) in self.map("tags").into_iter().flatten() {
            let named = tagged.as_array().is_some_and(|tagged| tagged.iter().any(|own| own.as_str() == Some(uuid)));
            if named && !tags.contains(tag) {
                tags.push(tag.clone());
            }
        }
        tags
    }

    /// The entries, newest first: by timestamp as text, which is how VVAULT compares; of equal ones the first stored comes
    /// first. With `tag` only those that have it.
    #[must_use]
    pub fn newest_first(&self, tag: Option<&str>) -> Vec<&Map<String, Value>> {
        let entries = self.map("capsules").into_iter().flatten();
        let wanted = entries.filter(|(uuid, _)| tag.is_none_or(|tag| self.tags_of(uuid).iter().any(|own| own == tag)));
        let mut entries: Vec<_> = wanted.filter_map(|(_, entry)| entry.as_object()).collect();
        entries.sort_by(|left, right| right["timestamp"].as_str().cmp(&left["timestamp"].as_str()));
        entries
    }

    /// Puts a capsule in and makes it the latest. Of one that is there already the tags and the time of its first storing
    /// are kept. `entry` has the twelve fields.
    pub fn insert(&mut self, uuid: &str, mut entry: Map<String, Value>, now: &str) {
        let tags = self.tags_of(uuid);
        let created = self.entry(uuid).map(|known| known["created_at"].clone());
        if let Some(created) = created {
            entry.insert("tags".to_owned(), json!(tags));
            entry.insert("created_at".to_owned(), created);
        }
        if let Some(capsules) = self.map_mut("capsules") {
            capsules.insert(uuid.to_owned(), Value::Object(entry));
        }
        self.fields.insert("latest_uuid".to_owned(), json!(uuid));
        self.touch(now);
    }

    /// Gives a capsule a tag, in both places. False if there is no such capsule.
    pub fn add_tag(&mut self, uuid: &str, tag: &str, now: &str) -> bool {
        let mut tags = self.tags_of(uuid);
        if self.entry(uuid).is_none() {
            return false;
        }
        if !tags.iter().any(|own| own == tag) {
            tags.push(tag.to_owned());
        }
        self.set_tags(uuid, &tags, now);
        if let Some(map) = self.map_mut("tags") {
            let tagged = map.entry(tag).or_insert_with(|| json!([]));
            if let Some(tagged) = tagged.as_array_mut()
                && !tagged.iter().any(|own| own.as_str() == Some(uuid))
            {
                tagged.push(json!(uuid));
            }
        }
        true
    }

    /// Takes a tag from a capsule, in both places. False if there is no such capsule.
    pub fn remove_tag(&mut self, uuid: &str, tag: &str, now: &str) -> bool {
        let mut tags = self.tags_of(uuid);
        if self.entry(uuid).is_none() {
            return false;
        }
        tags.retain(|own| own != tag);
        self.set_tags(uuid, &tags, now);
        self.forget_tagged(uuid, Some(tag));
        true
    }

    /// Takes a capsule out; the newest of the rest becomes the latest. Gives its entry.
    pub fn remove(&mut self, uuid: &str, now: &str) -> Option<Map<String, Value>> {
        let Some(Value::Object(entry)) = self.map_mut("capsules")?.shift_remove(uuid) else { return None };
        self.forget_tagged(uuid, None);
        if self.latest() == Some(uuid) {
            let latest = self.newest_first(None).first().map_or(Value::Null, |entry| entry["uuid"].clone());
            self.fields.insert("latest_uuid".to_owned(), latest);
        }
        self.touch(now);
        Some(entry)
    }

    fn set_tags(&mut self, uuid: &str, tags: &[String], now: &str) {
        let entry = self.map_mut("capsules").and_then(|capsules| capsules.get_mut(uuid)).and_then(Value::as_object_mut);
        if let Some(entry) = entry
            && entry["tags"] != json!(tags)
        {
            entry.insert("tags".to_owned(), json!(tags));
            entry.insert("updated_at".to_owned(), json!(now));
        }
        self.touch(now);
    }

    /// Takes a capsule out of the map of tags (of one tag, or of all); a tag that nothing has any more goes.
    fn forget_tagged(&mut self, uuid: &str, only: Option<&str>) {
        let Some(map) = self.map_mut("tags") else { return };
        for (_, tagged) in map.iter_mut().filter(|(tag, _)| only.is_none_or(|only| only == *tag)) {
            if let Some(tagged) = tagged.as_array_mut() {
                tagged.retain(|own| own.as_str() != Some(uuid));
            }
        }
        map.retain(|_, tagged| tagged.as_array().is_none_or(|tagged| !tagged.is_empty()));
    }

    fn touch(&mut self, now: &str) {
        self.fields.insert("updated_at".to_owned(), json!(now));
    }
}

#[cfg(test)]
mod tests;
