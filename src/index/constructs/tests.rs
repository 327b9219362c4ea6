use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::{ConstructCapsule, Constructs, KEPT_BYTES, Whose};
use crate::Error;
use crate::formats::capsule::refingerprint;
use crate::formats::integrity::Policy;
use crate::lock::lock;
use crate::store::{Options, Store, Version};

fn capsule(name: &str, day: u32, memory: &str) -> String {
    let text = json!({
        "metadata": {"instance_name": name, "uuid": format!("{name}-{day}"), "timestamp": format!("2026-01-{day:02}T00:00:00+00:00"),
            "fingerprint_hash": ""},
        "traits": {}, "personality": {}, "memory": {"short_term_memories": [memory]}, "environment": {},
    });
    refingerprint(text.to_string().as_bytes()).expect("a capsule")
}

fn put(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(path, text).expect("a file");
}

fn find(root: &Path, user: Option<&str>, name: &str, policy: Policy) -> Result<Option<String>, Error> {
    let store = Store::open(root, Options { policy, ..Options::default() })?;
    let users = root.join("users");
    let user = user.map(|user| users.join(user));
    let whose = Whose { users: &users, user: user.as_deref() };
    let found = Constructs::default().find(&store, whose, name, &Version::Latest)?;
    Ok(found.capsule.map(|capsule| {
        let first = capsule.memories_as_json().next().expect("a memory");
        let first: Value = serde_json::from_str(&first).expect("JSON");
        first["content"].as_str().expect("a memory").to_owned()
    }))
}

/// A vault that is watched.
fn watched() -> (tempfile::TempDir, Store, Constructs) {
    let vault = tempfile::tempdir().expect("a folder");
    let store = Store::open(vault.path(), Options::default()).expect("a store");
    let constructs = Constructs::default();
    constructs.set_watched(true);
    (vault, store, constructs)
}

const PLACES: [&str; 9] = [
    "users/shard_0000/ann/instances/nova-001/identity/nova-001.capsule",
    "users/shard_0000/ann/instances/nova-001/identity/other name.capsule",
    "users/shard_0000/ann/instances/nova-001/identity/capsule.json",
    "users/shard_0000/ann/instances/nova-001/nova-001.capsule",
    "users/shard_0000/ann/instances/gpt-nova-001/memup/nova-001.capsule",
    "users/shard_0000/ann/instances/nova/identity/nova-001.capsule",
    "users/shard_0000/ann/capsules/nova-007.capsule",
    "capsules/Nova_2026-01-01.capsule",
    "capsules/Nova/x.capsule",
];

#[test]
fn the_newest_sound_capsule_of_all_places_wins() {
    for name in ["nova-001", "nova", "gpt-nova-001", "Nova"] {
        for (at, newest) in PLACES.iter().enumerate() {
            let vault = tempfile::tempdir().expect("a folder");
            for (other, place) in PLACES.iter().enumerate() {
                let day = if other == at { 9 } else { 2 };
                put(vault.path(), place, &capsule("Nova", day, place));
            }
            let found = |user| find(vault.path(), user, name, Policy::Enforce);
            assert_eq!(found(Some("shard_0000/ann")), Ok(Some((*newest).to_owned())), "{name}");
            assert_eq!(found(None), Ok(Some((*newest).to_owned())), "{name}");

            // A newer one that was tampered with is passed over.
            let place = PLACES[(at + 1) % PLACES.len()];
            put(vault.path(), place, &capsule("Nova", 20, "true").replace("\"true\"", "\"tampered\""));
            assert_eq!(found(None), Ok(Some((*newest).to_owned())), "{name}");
            let reported = find(vault.path(), None, name, Policy::Report);
            assert_eq!(reported, Ok(Some("tampered".to_owned())), "{name}");
        }
    }
}

#[test]
fn nobody_gets_what_is_anothers() {
    let vault = tempfile::tempdir().expect("a folder");
    let root = vault.path();
    put(root, "users/ann/instances/nova-001/nova-001.capsule", &capsule("Nova", 1, "ann's"));
    put(root, "users/bob/instances/nova-001/nova-001.capsule", &capsule("Nova", 2, "bob's"));
    put(root, "users/bob/instances/nova-002/nova-002.capsule", &capsule("nova-002", 3, "the second's"));
    put(root, "users/bob/instances/nova-001/identity/katana.capsule", &capsule("Katana", 4, "katana's"));
    put(root, "users/bob/capsules/nova-009.capsule", &capsule("novak-001", 5, "novak's"));
    let find = |user, name| find(root, user, name, Policy::Enforce);
    assert_eq!(find(Some("ann"), "nova-001"), Ok(Some("ann's".to_owned())));
    assert_eq!(find(Some("bob"), "nova-001"), Ok(Some("bob's".to_owned())));
    assert_eq!(find(Some("bob"), "nova-002"), Ok(Some("the second's".to_owned())));
    assert_eq!(find(Some("ann"), "nova-002"), Ok(None));
    assert_eq!(find(Some("bob"), "katana-001"), Ok(None));
    assert!(matches!(find(None, "nova-001"), Err(Error::NoConstruct { .. })));
    assert_eq!(find(None, "nova-002"), Ok(Some("the second's".to_owned())));
}

#[test]
fn a_name_with_a_number_is_nobody_elses() {
    let vault = tempfile::tempdir().expect("a folder");
    let root = vault.path();
    let find = |name| find(root, Some("ann"), name, Policy::Enforce);
    let calling_itself_nova = |path: &str| put(root, path, &capsule("Nova", 1, path));
    for path in [
        "users/ann/instances/nova-001/nova-001.capsule",
        "users/ann/capsules/nova-001.capsule",
        "capsules/Nova/x.capsule",
    ] {
        calling_itself_nova(path);
        for name in ["nova-002", "nova-777", "nova-1", "nova-01", "nova-0011", "nov", "novak-001"] {
            assert_eq!(find(name), Ok(None), "{path}, {name}");
        }
        assert_eq!(find("nova"), Ok(Some(path.to_owned())));
        fs::remove_file(root.join(path)).expect("a file");
    }
    calling_itself_nova("users/ann/instances/nova-002/identity/nova-002.capsule");
    assert_eq!((find("nova"), find("nova-001")), (Ok(None), Ok(None)));
    assert!(find("nova-002").is_ok_and(|found| found.is_some()));
}

#[test]
fn a_number_in_the_folder_of_copies_counts_copies_unless_there_is_such_a_construct() {
    let vault = tempfile::tempdir().expect("a folder");
    let root = vault.path();
    let find = |name| find(root, Some("ann"), name, Policy::Enforce);
    let path = "users/ann/capsules/nova-002.capsule";
    put(root, path, &capsule("Nova", 1, path));
    assert_eq!((find("nova-001"), find("nova-002")), (Ok(Some(path.to_owned())), Ok(Some(path.to_owned()))));
    fs::create_dir_all(root.join("users/ann/instances/nova-002")).expect("a folder");
    assert_eq!((find("nova-001"), find("nova-002")), (Ok(None), Ok(Some(path.to_owned()))));
    put(root, path, &capsule("nova-001", 2, path));
    assert_eq!((find("nova-001"), find("nova-002")), (Ok(Some(path.to_owned())), Ok(None)));
}

/// simForge's capsules have an id beside the name that they show, by which the store files them.
#[test]
fn what_is_stored_by_the_name_that_it_shows_is_found_by_its_id() {
    let vault = tempfile::tempdir().expect("a folder");
    let root = vault.path();
    let find = |name| find(root, Some("ann"), name, Policy::Report);
    let forge = |id: &str, shown: &str, folder: &str| {
        let text = capsule(shown, 1, id).replace(&format!("{shown}-1"), id).replacen(
            "\"instance_name\"",
            &format!("\"construct_id\":\"{id}\",\"instance_name\""),
            1,
        );
        put(root, &format!("capsules/{folder}/{id}.capsule"), &text);
    };
    forge("luna-001", "Luna Nightshade", "Luna Nightshade");
    forge("nova-002", "Nova", "Nova");
    forge("nova-003", "Nova", "Nova");
    for name in ["luna-001", "luna", "nova-002", "nova-003"] {
        assert!(find(name).is_ok_and(|found| found.is_some_and(|id| id.starts_with(name))), "{name}");
    }
    // Whose name it only shows.
    for name in ["nova-001", "Nova", "luna-002", "nightshade-001"] {
        assert_eq!(find(name), Ok(None), "{name}");
    }
    // What is wrong there is of no account for others.
    fs::create_dir_all(root.join("indexes/Lunaris.journal")).expect("a folder");
    put(root, "capsules/Lunaris/x.capsule", "{");
    assert!(find("luna-001").is_ok_and(|found| found.is_some()));
    // However many others have been stored since.
    for day in 0..40 {
        let text = capsule("Nova", 2, &format!("another {day}")).replace("Nova-2", &format!("another-{day}"));
        put(root, &format!("capsules/Nova/another-{day}.capsule"), &text);
    }
    assert!(find("nova-002").is_ok_and(|found| found.is_some_and(|id| id == "nova-002")));
    forge("nova-001", "Katana", "Katana");
    forge("nova-004", "Nova", "Nova-Prime");
    assert_eq!((find("katana-001"), find("nova-004")), (Ok(None), Ok(None)));
}

/// Also by its short form, and however many newer ones are not to be used.
#[test]
fn an_old_version_is_found_behind_unsound_ones() {
    let vault = tempfile::tempdir().expect("a folder");
    for day in 1..30 {
        let text = capsule("X", day, "found");
        let text = if day == 1 { text } else { text.replace("found", "tampered") };
        put(vault.path(), &format!("capsules/x-ray-001/{day}.capsule"), &text);
    }
    let found = find(vault.path(), None, "x-ray-001", Policy::Enforce);
    assert_eq!(found, Ok(Some("found".to_owned())));
}

/// A log grows at its end, and all its lines have one time.
#[test]
fn of_one_time_the_last_of_a_list_is_the_newest() {
    let text = r#"{"metadata":{"instance_name":"Nova"},"memory":{"short_term_memories":["a","b"],"memory_log":["c","d","e"]}}"#;
    let vault = tempfile::tempdir().expect("a folder");
    let store = Store::open(vault.path(), Options::default()).expect("a store");
    let capsule = ConstructCapsule::parse(&store, vault.path(), None, text.as_bytes()).expect("a capsule");
    let contents = |memories: &mut dyn Iterator<Item = String>| -> Vec<String> {
        memories
            .map(|one| {
                serde_json::from_str::<Value>(&one).expect("JSON")["content"].as_str().expect("a text").to_owned()
            })
            .collect()
    };
    let snapshot = &capsule.memories;
    assert_eq!(contents(&mut (0..5).filter_map(|place| snapshot.nameless_as_json(place))), ["b", "a", "e", "d", "c"]);
    assert_eq!(contents(&mut capsule.memories_as_json()), ["a", "b", "c", "d", "e"]);
}

/// Nothing tells when a file can be read again that could not be.
#[test]
fn what_could_not_be_looked_at_is_looked_for_again() {
    let (vault, store, constructs) = watched();
    let whose = Whose { users: &vault.path().join("users"), user: None };
    put(vault.path(), "capsules/Nova/x.capsule", &capsule("Nova", 1, "found"));
    let kept = || lock(&constructs.watched).iter().flatten().count();
    for (broken, is_kept) in [(true, 0), (false, 1)] {
        let path = vault.path().join("instances/nova-001/nova-001.capsule");
        if broken {
            put(vault.path(), "instances/nova-001/nova-001.capsule", "{");
        } else {
            fs::remove_file(path).expect("a file");
        }
        assert!(constructs.find_latest(&store, whose, "nova-001").is_ok_and(|found| found.capsule.is_some()));
        assert_eq!(kept(), is_kept);
    }
}

/// Capsules that are read one after the other must not all stay.
#[test]
fn what_is_kept_of_constructs_is_bounded() {
    let (vault, store, constructs) = watched();
    let whose = Whose { users: &vault.path().join("users"), user: None };
    let mut sizes = Vec::new();
    for number in 0..5 {
        let name = format!("nova{number}");
        put(vault.path(), &format!("capsules/{name}/x.capsule"), &capsule(&name, 1, &"x".repeat(KEPT_BYTES / 4)));
        let found = constructs.find_latest(&store, whose, &name).expect("a construct");
        sizes.push(found.heap_size());
        assert!(found.capsule.is_some());
        let known: usize = lock(&constructs.known).values().map(|known| known.capsule.heap_size()).sum();
        let answers = lock(&constructs.watched);
        let answers: usize = answers.iter().flatten().map(|(_, (found, _))| found.heap_size()).sum();
        assert!(known > 0 && known <= KEPT_BYTES && answers > 0 && answers <= KEPT_BYTES);
    }
    assert!(sizes.iter().sum::<usize>() > KEPT_BYTES);
}
