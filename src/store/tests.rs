use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use serde_json::{Value, json};

use super::{Files, Options, Policy, Store, SystemFiles, Version, journal};
use crate::Error;
use crate::formats::capsule::refingerprint;
use crate::vault::PlaceOf;

fn capsule(instance: &str, uuid: &str, timestamp: &str, memory: &str) -> String {
    let capsule = json!({
        "metadata": {"instance_name": instance, "uuid": uuid, "timestamp": timestamp, "fingerprint_hash": ""},
        "traits": {"drift": 1.0}, "personality": {}, "memory": {"short_term_memories": [memory]}, "environment": {},
    });
    let text = serde_json::to_string_pretty(&capsule).expect("JSON");
    refingerprint(text.as_bytes()).expect("a capsule")
}

struct Vault {
    folder: tempfile::TempDir,
    store: Store,
}

impl Vault {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = open(folder.path());
        Self { folder, store }
    }

    /// With two capsules, each tagged by its own name, which stands nowhere but in the index.
    fn with_tags_of_python() -> Self {
        let vault = Self::new();
        for name in ["a", "b"] {
            vault.store.store(capsule("Nova", name, name, name).as_bytes()).expect("stored");
            vault.store.add_tag("Nova", name, name).expect("tagged");
        }
        fs::remove_file(vault.root().join("indexes/Nova.journal")).expect("removed");
        vault
    }

    /// With a capsule that was stored again, with this time. And its first state, of which the file is `Nova_1.capsule`.
    fn with_one_stored_twice(timestamp: &str) -> (Self, String) {
        let vault = Self::new();
        let first = capsule("Nova", "a", "1", "first");
        vault.store.store(first.as_bytes()).expect("stored");
        vault.store.store(capsule("Nova", "a", timestamp, "second").as_bytes()).expect("stored");
        (vault, first)
    }

    fn root(&self) -> &Path {
        self.folder.path()
    }

    fn index_path(&self) -> PathBuf {
        self.root().join("indexes/Nova_index.json")
    }
}

fn open(root: &Path) -> Store {
    Store::open(root, Options { create: true, ..Options::default() }).expect("a vault")
}

fn listed(store: &Store) -> Vec<Value> {
    let entries = store.list("Nova", None).expect("a list");
    entries.iter().map(|entry| serde_json::from_str(entry).expect("JSON")).collect()
}

/// UUIDs and tags, newest first.
fn tags(store: &Store) -> Vec<(String, Vec<String>)> {
    let entries = listed(store).into_iter().map(|entry| {
        let tags = entry["tags"].as_array().expect("tags").iter().map(|tag| tag.as_str().expect("a tag").to_owned());
        (entry["uuid"].as_str().expect("a uuid").to_owned(), tags.collect())
    });
    entries.collect()
}

fn text_of(store: &Store, version: &Version) -> Result<String, String> {
    store.retrieve("Nova", version).expect("an answer").map(|retrieved| retrieved.text)
}

fn uuid(uuid: &str) -> Version {
    Version::Uuid(uuid.to_owned())
}

/// Another file of the vault, written while each step in turn fails: it is whole, the old one or the new.
#[test]
fn another_file_is_written_whole_or_stays() {
    for how in [Failure::Crash, Failure::Refusal(io::ErrorKind::PermissionDenied)] {
        for fails_at in 0.. {
            let vault = Vault::new();
            let path = vault.root().join("nova-001").join("config.json");
            vault.store.write_text(&path, "old").expect("written");
            let files = FailingFiles::new(fails_at, how);
            let store = Store::open_with(vault.root(), Options::default(), files).expect("a vault");
            let written = store.write_text(&path, "the new one");
            let text = vault.store.read_text(&path).expect("a file");
            assert!(text == "the new one" || (written.is_err() && text == "old"), "{how:?} {fails_at}: {text}");
            let names = fs::read_dir(path.parent().expect("a folder")).expect("a folder").count();
            assert!(names == 1 || how == Failure::Crash, "{how:?} {fails_at}: {names} files");
            let other = vault.root().join("nova-002");
            let store = Store::open_with(vault.root(), Options::default(), FailingFiles::new(fails_at, how));
            let made = store.expect("a vault").write_text(&other.join("config.json"), "new");
            assert!(made.is_ok() == other.exists() || how == Failure::Crash, "{how:?} {fails_at}");
            if written.is_ok() && made.is_ok() {
                assert!(fails_at > 1);
                break;
            }
        }
    }
}

#[cfg(unix)]
#[test]
fn who_may_not_read_an_index_may_not_afterwards() {
    use std::os::unix::fs::PermissionsExt as _;
    let vault = Vault::new();
    for (uuid, mode) in [("a", 0o644), ("b", 0o600), ("c", 0o640)] {
        vault.store.store(capsule("Nova", uuid, "2026-01-01T00:00:00Z", uuid).as_bytes()).expect("stored");
        fs::set_permissions(vault.index_path(), fs::Permissions::from_mode(mode)).expect("a mode");
        assert!(vault.store.add_tag("Nova", uuid, "kept").expect("tagged"));
        let found = fs::metadata(vault.index_path()).expect("an index").permissions().mode();
        assert_eq!(found & 0o777, mode, "{uuid}");
    }
}

/// Who opens a pipe to write into it waits until somebody reads.
#[cfg(any(target_os = "linux", target_os = "macos"))]
#[test]
fn a_pipe_in_the_place_of_a_file_is_refused_and_not_waited_for() {
    for name in ["Nova.lock", "Nova.journal"] {
        let vault = Vault::new();
        vault.store.store(capsule("Nova", "a", "2026-01-01T00:00:00Z", "a").as_bytes()).expect("stored");
        let path = vault.root().join("indexes").join(name);
        let _ = fs::remove_file(&path);
        let made = std::process::Command::new("mkfifo").arg(&path).status().expect("a pipe");
        assert!(made.success());
        let tagged = vault.store.add_tag("Nova", "a", "kept");
        assert!(tagged.is_err(), "{name}");
        assert_eq!(vault.store.list("Nova", None).is_ok(), name == "Nova.lock");
    }
}

/// Else what was acknowledged would be lost without a word, once an earlier copy of the index comes back.
#[test]
fn a_journal_that_cannot_be_read_is_not_taken_for_none() {
    type Put = fn(&Path);
    let folder: Put = |path| fs::create_dir(path).expect("a folder");
    let too_large: Put = |path| {
        let file = File::create(path).expect("a file");
        file.set_len(journal::LARGEST + 1).expect("a size");
    };
    #[cfg(unix)]
    let outside: Put = |path| std::os::unix::fs::symlink(std::env::temp_dir(), path).expect("a link");
    for (name, put) in [
        ("folder", folder),
        ("too large", too_large),
        #[cfg(unix)]
        ("outside", outside),
    ] {
        let vault = Vault::with_tags_of_python();
        let stale = fs::read(vault.index_path()).expect("an index");
        vault.store.add_tag("Nova", "a", "gold").expect("tagged");
        let journal = vault.root().join("indexes/Nova.journal");
        let kept = journal.with_extension("kept");
        fs::rename(&journal, &kept).expect("renamed");
        put(&journal);
        // Half of it, so that the tags are saved from it that stand nowhere else.
        fs::write(vault.index_path(), &stale[..stale.len() - 10]).expect("written");
        for store in [&vault.store, &open(vault.root())] {
            for error in [store.list("Nova", None).map(drop), store.add_tag("Nova", "a", "late").map(drop)] {
                let error = error.expect_err(name);
                assert!(
                    error.path() == Some(&journal) && error.to_string().contains("Nova.journal"),
                    "{name}: {error}"
                );
            }
        }
        let _ = fs::remove_dir(&journal).or_else(|_| fs::remove_file(&journal));
        fs::rename(&kept, &journal).expect("renamed");
        let all = [("b", vec!["b"]), ("a", vec!["a", "gold"])];
        let all = all.map(|(uuid, tags)| (uuid.to_owned(), tags.into_iter().map(str::to_owned).collect()));
        assert_eq!(tags(&vault.store), all, "{name}");
    }
}

#[cfg(unix)]
#[test]
fn who_may_read_an_index_may_read_its_journal() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
    let rights = |path: &Path| {
        let found = fs::metadata(path).expect("a file");
        (found.uid(), found.gid(), found.mode() & 0o777)
    };
    for mode in [0o600, 0o640, 0o644] {
        let vault = Vault::new();
        vault.store.store(capsule("Nova", "a", "2026-01-01T00:00:00Z", "a").as_bytes()).expect("stored");
        fs::set_permissions(vault.index_path(), fs::Permissions::from_mode(mode)).expect("a mode");
        // Only root can.
        let _ = chown(vault.index_path(), Some(65534), Some(65534));
        let wanted = rights(&vault.index_path());
        let journal = vault.root().join("indexes/Nova.journal");
        vault.store.add_tag("Nova", "a", "gold").expect("tagged");
        assert_eq!(rights(&journal), wanted, "made");
        fs::set_permissions(&journal, fs::Permissions::from_mode(0o400)).expect("a mode");
        vault.store.add_tag("Nova", "a", &"x".repeat(100_000)).expect("tagged");
        assert_eq!(rights(&journal), wanted, "made anew");
        assert_eq!(rights(&vault.index_path()), wanted);
    }
}

#[test]
fn a_journal_does_not_grow_without_end() {
    let vault = Vault::new();
    vault.store.store(capsule("Nova", "a", "1", "a").as_bytes()).expect("stored");
    vault.store.store(capsule("Nova", "b", "2", "b").as_bytes()).expect("stored");
    let stale = fs::read(vault.index_path()).expect("an index");
    vault.store.add_tag("Nova", "b", "gold").expect("tagged");
    let long = "x".repeat(10_000);
    for _ in 0..20 {
        assert_eq!(vault.store.add_tag("Nova", "a", &long), Ok(true));
        assert_eq!(vault.store.remove_tag("Nova", "a", &long), Ok(true));
    }
    let size = fs::metadata(vault.root().join("indexes/Nova.journal")).expect("a journal").len();
    assert!(size < 200_000, "{size} bytes");
    fs::write(vault.index_path(), &stale).expect("written");
    assert_eq!(tags(&vault.store), [("b".to_owned(), vec!["gold".to_owned()]), ("a".to_owned(), vec![])]);

    // One that could not be read any more is not made: the change fails instead.
    let most = usize::try_from(journal::LARGEST).expect("a size");
    let refused = vault.store.add_tag("Nova", "a", &"x".repeat(most));
    assert!(refused.is_err_and(|error| error.to_string().contains("Nova.journal")));
    assert_eq!(tags(&open(vault.root())), [("b".to_owned(), vec!["gold".to_owned()]), ("a".to_owned(), vec![])]);
}

#[test]
fn keeps_versions() {
    let vault = Vault::new();
    let [first, second] =
        [capsule("Nova", "a", "2026-02-01T00:00:00.5+00:00", "one"), capsule("Nova", "b", "2026-01", "two")];
    let stored = vault.store.store(first.as_bytes()).expect("stored");
    assert_eq!(stored.path, vault.root().join("capsules/Nova/Nova_2026-02-01T00-00-00-5-00-00.capsule"));
    assert_eq!(fs::read_to_string(&stored.path).expect("a file"), first);
    vault.store.store(second.as_bytes()).expect("stored");
    assert_eq!(vault.store.instances().expect("names"), ["Nova"]);
    assert_eq!(text_of(&vault.store, &Version::Latest), Ok(second), "the latest is the one stored last");
    assert_eq!(text_of(&vault.store, &uuid("a")), Ok(first));
    assert!(vault.store.add_tag("Nova", "a", "gold").expect("tagged"));
    assert_eq!(tags(&vault.store), [("a".to_owned(), vec!["gold".to_owned()]), ("b".to_owned(), vec![])]);
    assert_eq!(vault.store.list("Nova", Some("gold")).expect("a list").len(), 1);
    let info: Value = serde_json::from_str(&vault.store.info("Nova").expect("info").expect("info")).expect("JSON");
    assert_eq!(
        (&info["total_capsules"], &info["latest_uuid"], &info["tags"]),
        (&json!(2), &json!("b"), &json!({"gold": 1}))
    );
    assert!(vault.store.delete("Nova", "b").expect("deleted") && !vault.store.delete("Nova", "b").expect("an answer"));
    assert_eq!(vault.store.info("Nobody"), Ok(None));
    assert_eq!(text_of(&vault.store, &uuid("b")), Err("Capsule with UUID 'b' not found".to_owned()));
    assert_eq!(vault.store.retrieve("Nobody", &Version::Latest), Ok(Err("Instance 'Nobody' not found".to_owned())));
    assert_eq!(
        text_of(&vault.store, &Version::Tagged("x".to_owned())),
        Err("No capsules found with tag 'x'".to_owned())
    );
    assert!(!vault.store.add_tag("Nobody", "b", "x").expect("an answer"));
    assert!(!vault.root().join("capsules/Nobody").exists(), "asking makes nothing");
}

#[test]
fn a_capsule_is_checked_before_it_is_stored() {
    let vault = Vault::new();
    let good = capsule("Nova", "a", "2026", "one");
    assert!(matches!(vault.store.store(good.replace("one", "two").as_bytes()), Err(Error::Unsound { .. })));
    assert!(matches!(vault.store.store(b"{}"), Err(Error::InvalidCapsule { .. })));
    for name in ["..", "../x", "a/b", "", "a\u{0}b", "a\\b", &"x".repeat(200)] {
        let text = capsule(name, "a", "2026", "one");
        assert!(matches!(vault.store.store(text.as_bytes()), Err(Error::InvalidName { .. })), "{name:?}");
        assert!(matches!(vault.store.list(name, None), Err(Error::InvalidName { .. })), "{name:?}");
    }
    for (uuid, timestamp) in [("", "2026"), ("a", "../../x"), ("a", "2026\n"), ("a", &"2".repeat(100))] {
        let text = capsule("Nova", uuid, timestamp, "one");
        assert!(matches!(vault.store.store(text.as_bytes()), Err(Error::InvalidCapsule { .. })), "{timestamp:?}");
    }
    assert!(vault.store.instances().expect("names").is_empty(), "nothing was made");

    let options = Options { largest_capsule: 100, ..Options::default() };
    let small = Store::open(vault.root(), options).expect("a vault");
    assert!(matches!(small.store(good.as_bytes()), Err(Error::TooLarge { limit: 100, .. })));
    let options = Options { policy: Policy::Report, ..Options::default() };
    let lenient = Store::open(vault.root(), options).expect("a vault");
    assert_eq!(lenient.store(good.replace("one", "two").as_bytes()).expect("stored").verdict.valid, Some(false));
}

#[test]
fn an_unsound_capsule_can_be_adopted() {
    let vault = Vault::new();
    let file = vault.root().join("found.capsule");
    let unsound = capsule("Nova", "a", "2026", "one").replace("\"one\"", "\"two\"");
    fs::write(&file, &unsound).expect("a file");
    let adopted = vault.store.adopt(&file, &PlaceOf::Nobody).expect("adopted");
    assert_eq!(tags(&vault.store), [(adopted.uuid.clone(), vec!["adopted".to_owned()])]);
    assert!(text_of(&vault.store, &Version::Latest).is_ok_and(|text| text.contains("\"two\"")));
    assert_eq!((adopted.verdict.valid, fs::read_to_string(&file).ok()), (Some(true), Some(unsound)));
}

/// Chatty's Node code makes the name of every `nova-…` to `Nova`, which readers take for `nova-001`.
#[test]
fn what_is_adopted_stays_the_construct_s_that_it_was_meant_for() {
    let vault = Vault::new();
    let file = vault.root().join("found.capsule");
    fs::write(&file, capsule("Nova", "a", "2026", "one")).expect("a file");
    let own = |name: &str| PlaceOf::Construct(name.to_owned());
    let copy = |name: &str, is_taken| PlaceOf::Copy { name: name.to_owned(), is_taken };
    for (place, instance) in [
        (own("nova-002"), "nova-002"),
        (own("nova-1769054400000"), "nova-1769054400000"),
        (own("nova-001"), "Nova"),
        (own("katana-001"), "Nova"),
        (copy("nova-002", true), "nova-002"),
        (copy("nova-002", false), "Nova"),
        (PlaceOf::Stored("Nova".to_owned()), "Nova"),
        (PlaceOf::Anyone, "Nova"),
        (PlaceOf::Nobody, "Nova"),
    ] {
        let adopted = vault.store.adopt(&file, &place).expect("adopted");
        assert_eq!(adopted.instance_name, instance, "{place:?}");
    }
    let shown =
        capsule("Luna Nightshade", "a", "2026", "one").replace("\"uuid\"", "\"construct_id\":\"luna-001\",\"uuid\"");
    fs::write(&file, shown).expect("a file");
    assert_eq!(vault.store.adopt(&file, &own("luna-001")).expect("adopted").instance_name, "luna-001");
}

/// A file that one process may not read, or not just now, may be what the index says, or an earlier state.
#[test]
fn what_can_t_be_read_decides_nothing() {
    let sizes =
        |long: &str, short: &str| [capsule("Nova", "a", "1", &long.repeat(1000)), capsule("Nova", "a", "2", short)];
    let small = |vault: &Vault| {
        Store::open(vault.root(), Options { largest_capsule: 1000, ..Options::default() }).expect("a vault")
    };
    let [large, short] = sizes("x", "short");

    let vault = Vault::new();
    let stored = vault.store.store(large.as_bytes()).expect("stored");
    vault.store.add_tag("Nova", "a", "gold").expect("tagged");
    fs::write(stored.path.with_file_name("copy.capsule"), &short).expect("a copy");
    assert_eq!(tags(&small(&vault)), [("a".to_owned(), vec!["gold".to_owned()])]);
    assert_eq!(text_of(&open(vault.root()), &Version::Latest), Ok(large.clone()));

    // Deleted here, and stored and tagged by Python.
    let index = fs::read(vault.index_path()).expect("an index");
    vault.store.delete("Nova", "a").expect("deleted");
    fs::write(&stored.path, &large).expect("stored");
    fs::write(vault.index_path(), &index).expect("an index");
    assert_eq!(listed(&small(&vault)).len(), 1);
    assert_eq!(text_of(&open(vault.root()), &Version::Latest), Ok(large.clone()));

    let vault = Vault::new();
    for text in [&large, &short] {
        vault.store.store(text.as_bytes()).expect("stored");
    }
    assert!(matches!(small(&vault).delete("Nova", "a"), Err(Error::TooLarge { .. })));
    assert_eq!(text_of(&small(&vault), &Version::Latest), Ok(short.clone()));
    assert_eq!(open(vault.root()).delete("Nova", "a"), Ok(true));
    assert_eq!(listed(&open(vault.root())), Vec::<Value>::new());

    // Also where nothing tells what it is; but one's own, of which the index tells, goes.
    let vault = Vault::new();
    let stored = vault.store.store(large.as_bytes()).expect("stored");
    let copy = stored.path.with_file_name("copy.capsule");
    fs::copy(&stored.path, &copy).expect("a copy");
    assert!(matches!(small(&vault).delete("Nova", "a"), Err(Error::TooLarge { .. })));
    // What begins as no capsule, or as another, hinders nobody.
    fs::write(&copy, vec![0; 2000]).expect("zeros");
    fs::write(copy.with_file_name("other.capsule"), capsule("Nova", "b", "2", &"y".repeat(1000))).expect("another");
    assert_eq!(small(&vault).delete("Nova", "a"), Ok(true));

    // Python has written over it, and was killed before it said so.
    let vault = Vault::new();
    let stored = vault.store.store(short.as_bytes()).expect("stored");
    fs::write(&stored.path, capsule("Nova", "b", "2", &"y".repeat(1000))).expect("written over");
    assert!(matches!(small(&vault).delete("Nova", "a"), Err(Error::TooLarge { .. })));
    assert!(stored.path.exists());
}

/// An index that is made anew names what is newest; where that can't be read now, nothing is written down.
#[test]
fn an_index_is_not_made_anew_without_what_can_t_be_read() {
    for is_cut in [false, true] {
        let vault = Vault::new();
        let long = capsule("Nova", "a", "2", &"x".repeat(1000));
        vault.store.store(capsule("Nova", "a", "1", "old").as_bytes()).expect("stored");
        vault.store.store(long.as_bytes()).expect("stored");
        vault.store.add_tag("Nova", "a", "gold").expect("tagged");
        let index = fs::read(vault.index_path()).expect("an index");
        if is_cut {
            fs::write(vault.index_path(), &index[..index.len() / 4]).expect("cut");
        } else {
            fs::remove_file(vault.index_path()).expect("removed");
        }
        let small = Store::open(vault.root(), Options { largest_capsule: 1000, ..Options::default() });
        let small = small.expect("a vault");
        for _ in 0..2 {
            let _ = small.list("Nova", None);
            let tagged = small.add_tag("Nova", "a", "other");
            assert!(is_cut || matches!(tagged, Err(Error::TooLarge { .. })), "{tagged:?}");
        }
        for store in [&open(vault.root()), &small] {
            assert!(tags(store).first().is_none_or(|(uuid, tags)| uuid == "a" && tags.contains(&"gold".to_owned())));
        }
        assert_eq!(text_of(&open(vault.root()), &Version::Latest), Ok(long));
    }
}

#[test]
fn a_text_made_of_what_was_parsed_needs_a_right_hash_in_any_case() {
    let vault = Vault::new();
    let options = Options { policy: Policy::Report, ..Options::default() };
    let lenient = Store::open(vault.root(), options).expect("a vault");
    let lost = capsule("Nova", "a", "2026", "one").replace("1.0", "1");
    assert!(matches!(lenient.store_parsed(lost.as_bytes()), Err(Error::Unsound { .. })));
    assert!(lenient.store(lost.as_bytes()).is_ok());
    assert!(lenient.store_parsed(capsule("Nova", "b", "2026", "one").as_bytes()).is_ok());
}

#[test]
fn the_newest_is_found_by_time_and_the_latest_also_in_a_damaged_index() {
    let vault = Vault::new();
    for (uuid, time) in [("new", "2026-01-01T10:00:00.500000+00:00"), ("old", "2026-01-01T10:00:00Z")] {
        vault.store.store(capsule("Nova", uuid, time, uuid).as_bytes()).expect("stored");
        vault.store.add_tag("Nova", uuid, "x").expect("tagged");
    }
    let newest = vault.store.versions("Nova", &Version::Latest).expect("files").indexed;
    assert!(fs::read_to_string(&newest[0]).expect("a file").contains("\"new\""));
    assert!(text_of(&vault.store, &Version::Tagged("x".to_owned())).expect("one").contains("\"new\""));
    let index = fs::read(vault.index_path()).expect("an index");
    fs::write(vault.index_path(), &index[..index.len() - 1]).expect("cut off");
    for store in [&vault.store, &open(vault.root())] {
        assert!(text_of(store, &Version::Latest).expect("one").contains("\"old\""));
    }
}

#[test]
fn a_capsule_with_numbers_that_only_python_has_can_be_stored() {
    let vault = Vault::new();
    let text = capsule("Nova", "a", "2026", "one").replace("1.0", "NaN");
    let text = refingerprint(text.as_bytes()).expect("a capsule");
    assert_eq!(vault.store.store(text.as_bytes()).expect("stored").verdict.valid, Some(true));
    assert_eq!(text_of(&vault.store, &Version::Latest), Ok(text.clone()));
    fs::remove_file(vault.index_path()).expect("removed");
    assert_eq!(text_of(&open(vault.root()), &uuid("a")), Ok(text));
}

/// Right after they were stored: what such files hold may still change, as far as their times tell.
#[test]
fn what_is_deleted_is_gone_with_its_earlier_states() {
    let [first, second] = ["2026-01", "2026-02"].map(|time| capsule("Nova", "a", time, time));
    for reopen in [false, true] {
        let vault = Vault::new();
        vault.store.store(first.as_bytes()).expect("stored");
        vault.store.store(second.as_bytes()).expect("stored");
        let again = open(vault.root());
        let store = if reopen { &again } else { &vault.store };
        assert_eq!(store.delete("Nova", "a"), Ok(true));
        assert_eq!(fs::read_dir(vault.root().join("capsules/Nova")).expect("a folder").count(), 0, "{reopen}");
        assert_eq!(store.delete("Nova", "a"), Ok(false));
    }
    // Nothing is left but an earlier state.
    let vault = Vault::new();
    let earlier = vault.store.store(first.as_bytes()).expect("stored").path;
    let later = vault.store.store(second.as_bytes()).expect("stored").path;
    fs::remove_file(later).expect("removed");
    assert_eq!((vault.store.delete("Nova", "a"), earlier.exists()), (Ok(true), false));
}

#[test]
fn an_index_that_names_a_wrong_file_hides_no_capsule() {
    for (wrong, has_b) in
        [("../../outside.capsule", true), ("Nova_2026-02.capsule", true), ("../Nova/Nova_2026-01.capsule", true)]
    {
        let vault = Vault::new();
        fs::write(vault.root().join("outside.capsule"), "x").expect("a file");
        let [a, b] = [capsule("Nova", "a", "2026-01", "one"), capsule("Nova", "b", "2026-02", "two")];
        for text in [&a, &b] {
            vault.store.store(text.as_bytes()).expect("stored");
        }
        let index = fs::read_to_string(vault.index_path()).expect("an index");
        fs::write(vault.index_path(), index.replace("Nova_2026-01.capsule", wrong)).expect("written");
        for store in [&vault.store, &open(vault.root())] {
            assert_eq!(text_of(store, &uuid("a")), Ok(a.clone()), "{wrong}");
            assert_eq!((text_of(store, &uuid("b")).is_ok(), listed(store).len()), (has_b, 2), "{wrong}");
        }
        fs::remove_file(vault.index_path()).expect("removed");
        assert_eq!(text_of(&open(vault.root()), &uuid("a")), Ok(a), "{wrong}");
    }
}

#[cfg(unix)]
#[test]
fn nothing_is_written_by_way_of_links_out_of_the_vault() {
    use std::os::unix::fs::symlink;
    let outside = tempfile::tempdir().expect("a folder");
    let text = capsule("Nova", "a", "2026-01", "one");
    for (link, target) in
        [("indexes/Nova.journal", "there"), ("indexes/Nova.journal", "new"), ("indexes/Nova.lock", "new")]
    {
        fs::write(outside.path().join("there"), "own\n").expect("a file");
        let vault = Vault::new();
        vault.store.store(text.as_bytes()).expect("stored");
        let link = vault.root().join(link);
        let _ = fs::remove_file(&link);
        symlink(outside.path().join(target), &link).expect("a link");
        assert!(matches!(vault.store.add_tag("Nova", "a", "x"), Err(Error::OutsideVault { .. })), "{link:?}");
        assert_eq!(fs::read_to_string(outside.path().join("there")).expect("a file"), "own\n");
        assert!(!outside.path().join("new").exists());
    }
    for folder in ["capsules", "indexes"] {
        let vault = tempfile::tempdir().expect("a folder");
        let own = outside.path().join(folder);
        fs::create_dir(&own).expect("a folder");
        symlink(&own, vault.path().join(folder)).expect("a link");
        let store = Store::open(vault.path(), Options::default()).expect("a vault");
        assert!(matches!(store.store(text.as_bytes()), Err(Error::OutsideVault { .. })), "{folder}");
        assert_eq!(fs::read_dir(&own).expect("a folder").count(), 0, "{folder}");
    }
}

#[test]
fn a_vault_that_is_gone_is_not_made_anew() {
    let vault = tempfile::tempdir().expect("a folder");
    let root = vault.path().join("vault");
    let store = open(&root);
    fs::remove_dir_all(&root).expect("removed");
    let stored = store.store(capsule("Nova", "a", "2026-01", "one").as_bytes());
    assert!(matches!(stored, Err(Error::System { code: "VVAULT_NOT_FOUND", .. })));
    assert!(!root.exists());
}

/// Python would overwrite the first.
#[test]
fn two_capsules_of_one_time_have_two_files() {
    let vault = Vault::new();
    let [a, b] = ["a", "b"].map(|uuid| capsule("Nova", uuid, "2026", uuid));
    for text in [&a, &b, &b] {
        vault.store.store(text.as_bytes()).expect("stored");
    }
    assert_eq!((text_of(&vault.store, &uuid("a")), text_of(&vault.store, &uuid("b"))), (Ok(a), Ok(b)));
    assert_eq!(fs::read_dir(vault.root().join("capsules/Nova")).expect("a folder").count(), 2);
}

/// A name that is too long could not be given.
#[test]
fn two_capsules_of_one_time_have_two_files_however_long_that_is_written() {
    let vault = Vault::new();
    let instance = "é".repeat(90);
    for uuid in ["a", "b", "c"] {
        let text = capsule(&instance, uuid, &format!("2026-01-01T00:00:00.{}", "1".repeat(40)), uuid);
        vault.store.store(text.as_bytes()).expect("stored");
    }
    assert_eq!(vault.store.list(&instance, None).expect("a list").len(), 3);
}

#[test]
fn a_capsule_that_lies_there_is_found() {
    let vault = Vault::new();
    let folder = vault.root().join("capsules/Nova");
    fs::create_dir_all(&folder).expect("a folder");
    let text = capsule("Nova", "a", "2026", "one");
    fs::write(folder.join("anything.capsule"), &text).expect("a file");
    fs::write(folder.join("half.capsule"), &text[..100]).expect("a file");
    fs::write(folder.join("other.capsule"), capsule("Katana", "k", "2026", "one")).expect("a file");
    assert_eq!(text_of(&vault.store, &Version::Latest), Ok(text.clone()));
    assert_eq!(listed(&vault.store).len(), 1);
    assert!(
        fs::read_to_string(vault.index_path()).expect("an index").contains("anything.capsule"),
        "Python sees it too"
    );
    fs::write(folder.join("half.capsule"), capsule("Nova", "b", "2027", "two")).expect("a file");
    assert_eq!(listed(&vault.store).len(), 2, "mended");
    fs::remove_file(folder.join("anything.capsule")).expect("removed");
    assert_eq!(tags(&vault.store), [("b".to_owned(), vec![])], "what is gone is not told of");
}

#[test]
fn a_damaged_index_is_made_anew_with_its_tags() {
    for damage in ["half", "missing", "rubbish", "wiped", "followed"] {
        let vault = Vault::new();
        for name in ["a", "b", "c"] {
            vault.store.store(capsule("Nova", name, &format!("2026-{name}"), name).as_bytes()).expect("stored");
            vault.store.add_tag("Nova", name, "gold").expect("tagged");
        }
        let before = tags(&vault.store);
        let text = fs::read(vault.index_path()).expect("an index");
        match damage {
            "half" => fs::write(vault.index_path(), &text[..text.len() / 2]).expect("written"),
            "missing" => fs::remove_file(vault.index_path()).expect("removed"),
            "rubbish" => fs::write(vault.index_path(), "rubbish").expect("written"),
            // As two Pythons at once leave it.
            "followed" => fs::write(vault.index_path(), [&*text, b"ld\"}\n}"].concat()).expect("written"),
            _ => {
                let empty = crate::formats::instance_index::InstanceIndex::new("Nova", "2026");
                fs::write(vault.index_path(), empty.to_text()).expect("written");
            }
        }
        assert_eq!(tags(&vault.store), before, "{damage}, the same process");
        assert_eq!(tags(&open(vault.root())), before, "{damage}, another");
        let healed = fs::read(vault.index_path()).expect("an index");
        let index = crate::formats::instance_index::InstanceIndex::parse(&healed).expect("an index");
        assert_eq!((index.len(), index.latest()), (3, Some("c")), "{damage}");
        assert!(serde_json::from_slice::<Value>(&healed).is_ok(), "{damage}: Python reads no other");
    }
}

/// Tags that only Python gave stand nowhere but in the index: what is whole of it is kept.
#[test]
fn tags_are_saved_from_half_an_index() {
    let vault = Vault::new();
    for name in ["a", "b"] {
        vault.store.store(capsule("Nova", name, name, name).as_bytes()).expect("stored");
        vault.store.add_tag("Nova", name, "gold").expect("tagged");
    }
    fs::remove_file(vault.root().join("indexes/Nova.journal")).expect("removed");
    let text = fs::read_to_string(vault.index_path()).expect("an index");
    let cut = text.find("\"b\": {").expect("an entry") + 40;
    fs::write(vault.index_path(), &text[..cut]).expect("written");
    let gold = vec!["gold".to_owned()];
    assert_eq!(tags(&open(vault.root())), [("b".to_owned(), vec![]), ("a".to_owned(), gold)]);
    assert_eq!(fs::read_to_string(vault.root().join("indexes/Nova.damaged")).expect("kept"), text[..cut]);
}

/// Python reads the index, something happens here, and Python writes its copy over it.
#[test]
fn a_stale_copy_of_the_index_undoes_nothing() {
    let vault = Vault::new();
    let store = &vault.store;
    let put_back = |text: &str| fs::write(vault.index_path(), text).expect("written");
    let read = || fs::read_to_string(vault.index_path()).expect("an index");
    store.store(capsule("Nova", "a", "1", "a").as_bytes()).expect("stored");
    let stale = read();
    store.store(capsule("Nova", "b", "2", "b").as_bytes()).expect("stored");
    store.add_tag("Nova", "a", "gold").expect("tagged");
    let gold = vec!["gold".to_owned()];
    put_back(&stale);
    assert_eq!(tags(store), [("b".to_owned(), vec![]), ("a".to_owned(), gold.clone())]);
    put_back(&stale);
    assert_eq!(tags(&open(vault.root())), [("b".to_owned(), vec![]), ("a".to_owned(), gold)]);
    let stale = read();
    store.remove_tag("Nova", "a", "gold").expect("an answer");
    store.delete("Nova", "b").expect("an answer");
    put_back(&stale);
    assert_eq!(tags(store), [("a".to_owned(), vec![])]);
    assert_eq!(tags(&open(vault.root())), [("a".to_owned(), vec![])]);

    // Taken by Python on purpose: its entry is newer than ours.
    store.add_tag("Nova", "a", "gold").expect("tagged");
    let mut index = crate::formats::instance_index::InstanceIndex::parse(read().as_bytes()).expect("an index");
    index.remove_tag("a", "gold", "2999-01-01T00:00:00+00:00");
    put_back(&index.to_text());
    assert_eq!(tags(store), [("a".to_owned(), vec![])]);
}

/// What Python's store does: it writes the file in place, and an index of its own making.
fn python_stores(vault: &Vault, text: &str, filename: &str) {
    use crate::formats::capsule::Header;
    use crate::formats::instance_index::{Entry, InstanceIndex};
    fs::write(vault.root().join("capsules/Nova").join(filename), text).expect("a file");
    let header = Header::parse(text.as_bytes()).expect("a header");
    let mut index = InstanceIndex::parse(&fs::read(vault.index_path()).expect("an index")).expect("an index");
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string();
    index.insert(&header.uuid(), Entry::new(&header.uuid(), &header.entry(filename, 5), &now), &now);
    fs::write(vault.index_path(), index.to_text()).expect("written");
}

fn python_changes(vault: &Vault, change: impl FnOnce(&mut crate::formats::instance_index::InstanceIndex, &str)) {
    use crate::formats::instance_index::InstanceIndex;
    let mut index = InstanceIndex::parse(&fs::read(vault.index_path()).expect("an index")).expect("an index");
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string();
    change(&mut index, &now);
    fs::write(vault.index_path(), index.to_text()).expect("written");
}

/// Python writes a capsule over the file of another that has the same time, and is killed before it says so.
#[test]
fn a_file_that_was_written_over_is_found_and_not_removed() {
    let vault = Vault::new();
    let a = vault.store.store(capsule("Nova", "a", "1", "first").as_bytes()).expect("stored");
    let (b, uuid) = (capsule("Nova", "b", "1", "other"), |uuid: &str| Version::Uuid(uuid.to_owned()));
    assert_eq!(listed(&vault.store).len(), 1);
    fs::write(&a.path, &b).expect("written");
    assert!(text_of(&vault.store, &uuid("a")).is_err());
    for store in [&vault.store, &open(vault.root())] {
        assert_eq!((text_of(store, &uuid("b")), text_of(store, &Version::Latest)), (Ok(b.clone()), Ok(b.clone())));
    }
    assert_eq!(vault.store.delete("Nova", "a"), Ok(true));
    assert_eq!((tags(&vault.store), text_of(&vault.store, &uuid("b"))), (vec![("b".to_owned(), vec![])], Ok(b)));
}

/// Of the same size and time as a capsule that was deleted, and then Python writes its copy of the index from before.
#[test]
fn a_deleted_capsule_does_not_come_back_in_the_file_of_another() {
    let vault = Vault::new();
    vault.store.store(capsule("Nova", "a", "1", "first").as_bytes()).expect("stored");
    let stale = fs::read(vault.index_path()).expect("an index");
    vault.store.delete("Nova", "a").expect("deleted");
    vault.store.store(capsule("Nova", "b", "1", "other").as_bytes()).expect("stored");
    vault.store.add_tag("Nova", "b", "gold").expect("tagged");
    fs::write(vault.index_path(), stale).expect("written");
    for store in [&vault.store, &open(vault.root())] {
        assert_eq!(tags(store), [("b".to_owned(), vec!["gold".to_owned()])]);
    }
}

/// Python reads the index, and writes it back when a capsule in it has been tagged and stored again.
#[test]
fn what_was_stored_again_keeps_its_tags_when_an_earlier_index_comes_back() {
    let vault = Vault::new();
    let [first, second] = ["2026-01", "2026-02"].map(|time| capsule("Nova", "a", time, time));
    vault.store.store(first.as_bytes()).expect("stored");
    let before = fs::read(vault.index_path()).expect("an index");
    vault.store.add_tag("Nova", "a", "precious").expect("tagged");
    // As the times of files and entries are compared.
    std::thread::sleep(std::time::Duration::from_millis(20));
    vault.store.store(second.as_bytes()).expect("stored");
    fs::write(vault.index_path(), &before).expect("an index");
    assert_eq!(tags(&vault.store), [("a".to_owned(), vec!["precious".to_owned()])]);
    assert_eq!(text_of(&vault.store, &uuid("a")), Ok(second.clone()));
    // Also if who comes first does not look into the folder.
    fs::write(vault.index_path(), &before).expect("an index");
    assert!(open(vault.root()).add_tag("Nova", "a", "gold").expect("tagged"));
    for store in [&vault.store, &open(vault.root())] {
        assert_eq!(text_of(store, &uuid("a")), Ok(second.clone()));
        assert_eq!(tags(store)[0].1.len(), 2);
    }
}

#[test]
fn a_capsule_whose_folder_is_gone_is_deleted_like_one_whose_file_is() {
    let vault = Vault::new();
    vault.store.store(capsule("Nova", "a", "2026", "x").as_bytes()).expect("stored");
    fs::remove_dir_all(vault.root().join("capsules/Nova")).expect("removed");
    for store in [&vault.store, &open(vault.root())] {
        assert_eq!(store.delete("Nova", "a"), Ok(false));
    }
}

#[test]
fn what_is_stored_again_after_its_deletion_is_no_earlier_state() {
    let vault = Vault::new();
    let states = ["1", "2"].map(|time| capsule("Nova", "a", time, time));
    for state in &states {
        vault.store.store(state.as_bytes()).expect("stored");
    }
    vault.store.add_tag("Nova", "a", "gold").expect("tagged");
    vault.store.delete("Nova", "a").expect("deleted");
    vault.store.store(states[0].as_bytes()).expect("stored");
    fs::remove_file(vault.index_path()).expect("removed");
    for store in [&vault.store, &open(vault.root())] {
        assert_eq!(tags(store), [("a".to_owned(), vec![])]);
        assert_eq!(text_of(store, &Version::Latest), Ok(states[0].clone()));
    }
}

/// A deletion that was killed after it was written down has taken nothing.
#[test]
fn tags_hold_until_a_deletion_is_done() {
    let vault = Vault::new();
    vault.store.store(capsule("Nova", "a", "1", "a").as_bytes()).expect("stored");
    let stale = fs::read(vault.index_path()).expect("an index");
    vault.store.add_tag("Nova", "a", "gold").expect("tagged");
    let deleted = journal::Record::deleted("a", "2999-01-01T00:00:00+00:00", std::iter::empty());
    SystemFiles.append(&vault.root().join("indexes/Nova.journal"), journal::line(&deleted).as_bytes()).expect("killed");
    fs::write(vault.index_path(), stale).expect("written");
    assert_eq!(tags(&open(vault.root())), [("a".to_owned(), vec!["gold".to_owned()])]);
}

#[test]
fn a_copy_of_a_capsule_is_no_earlier_state_of_it() {
    let vault = Vault::new();
    let text = capsule("Nova", "a", "1", "a");
    let stored = vault.store.store(text.as_bytes()).expect("stored");
    fs::copy(&stored.path, stored.path.with_file_name("copy.capsule")).expect("copied");
    assert_eq!(listed(&vault.store).len(), 1);
    fs::remove_file(&stored.path).expect("removed");
    assert_eq!(text_of(&open(vault.root()), &Version::Latest), Ok(text));
}

#[test]
fn tags_are_saved_from_an_index_with_an_odd_entry() {
    let vault = Vault::with_tags_of_python();
    let mut index: Value = serde_json::from_slice(&fs::read(vault.index_path()).expect("an index")).expect("JSON");
    index["capsules"]["a"]["odd"] = json!(1);
    index["tags"]["mapped"] = json!(["a"]);
    fs::write(vault.index_path(), index.to_string()).expect("written");
    let of_a = vec!["a".to_owned(), "mapped".to_owned()];
    assert_eq!(tags(&open(vault.root())), [("b".to_owned(), vec!["b".to_owned()]), ("a".to_owned(), of_a)]);
}

/// What only Python calls a number, in a field that the index takes over.
#[test]
fn an_index_with_python_s_numbers_is_no_damaged_one() {
    let vault = Vault::with_tags_of_python();
    let text = fs::read_to_string(vault.index_path()).expect("an index");
    fs::write(vault.index_path(), text.replacen("\"1.0.0\"", "NaN", 1)).expect("written");
    let store = open(vault.root());
    let both = [("b".to_owned(), vec!["b".to_owned()]), ("a".to_owned(), vec!["a".to_owned()])];
    assert_eq!(tags(&store), both);
    assert!(listed(&store).iter().any(|entry| entry["capsule_version"].is_null()));
    assert!(!vault.root().join("indexes/Nova.damaged").exists());

    let text = capsule("Nova", "c", "c", "c").replacen("{\n", "{\n  \"title\": NaN,", 1);
    let text =
        refingerprint(text.replace("\"uuid\"", "\"capsule_version\": NaN, \"uuid\"").as_bytes()).expect("a capsule");
    store.store(text.as_bytes()).expect("stored");
    assert_eq!(listed(&open(vault.root())).len(), 3);
}

/// Who reads waits for nobody, also where there is something to be put right.
#[test]
fn a_reader_does_not_wait_for_a_writer() {
    let vault = Vault::new();
    vault.store.store(capsule("Nova", "a", "1", "a").as_bytes()).expect("stored");
    let file = File::options().write(true).open(vault.root().join("indexes/Nova.lock")).expect("a lock");
    file.lock().expect("locked");
    fs::write(vault.root().join("capsules/Nova/b.capsule"), capsule("Nova", "b", "2", "b")).expect("a file");
    let began = std::time::Instant::now();
    assert_eq!(listed(&vault.store).len(), 2);
    assert!(began.elapsed() < std::time::Duration::from_secs(10), "not for the 30 s of a writer");
}

/// Each after its own time: also who waits for a thread that is to wait for longer.
#[test]
fn a_lock_that_another_process_keeps_is_told_of_in_time() {
    use std::time::{Duration, Instant};
    let vault = Vault::new();
    vault.store.store(capsule("Nova", "a", "1", "a").as_bytes()).expect("stored");
    // More than the 30 s for which it is waited.
    let late = vault.store.asked_at(Instant::now().checked_sub(Duration::from_secs(31)).expect("a time"));
    assert_eq!(late.add_tag("Nova", "a", "late"), Ok(true), "nobody has it locked");
    let lock = vault.root().join("indexes/Nova.lock");
    let file = File::options().write(true).open(&lock).expect("a lock");
    file.lock().expect("locked");
    let folder = vault.root().join("capsules/Nova");
    let files = || fs::read_dir(&folder).expect("a folder").count();
    std::thread::scope(|scope| {
        let [early, second] = ["early", "second"].map(|tag| {
            let store = &vault.store;
            scope.spawn(move || store.add_tag("Nova", "a", tag))
        });
        // Both have asked: one waits for the lock, the other for that one.
        while vault.store.with_instance("Nova", |instance| Ok(instance.waiting())) != Ok(2) {
            std::thread::yield_now();
        }
        // As if another process had kept it all the time.
        let forget = vault.store.with_instance("Nova", |instance| {
            instance.forget_lock();
            Ok(())
        });
        forget.expect("forgotten");
        let busy = |error: Option<Error>| matches!(error, Some(Error::Busy { path, .. }) if path == lock);
        assert!(busy(late.add_tag("Nova", "a", "x").err()));
        assert!(busy(late.store(capsule("Nova", "b", "2", "b").as_bytes()).err()));
        assert!(busy(late.delete("Nova", "a").err()));
        assert_eq!(files(), 1, "nothing is left");
        assert!(!early.is_finished() && !second.is_finished());
        drop(file);
        assert_eq!([early, second].map(|asked| asked.join().expect("no panic")), [Ok(true), Ok(true)]);
    });
    let mut tags = tags(&vault.store).remove(0).1;
    tags.sort();
    assert_eq!(tags, ["early", "late", "second"]);
}

#[test]
fn a_file_that_python_gave_to_another_capsule_is_not_removed() {
    let vault = Vault::new();
    vault.store.store(capsule("Nova", "a", "1", "a").as_bytes()).expect("stored");
    let others = capsule("Nova", "b", "1", "b");
    python_stores(&vault, &others, "Nova_1.capsule");
    vault.store.store(capsule("Nova", "a", "1", "a changed").as_bytes()).expect("stored");
    assert_eq!(text_of(&vault.store, &uuid("b")), Ok(others));
    assert!(text_of(&vault.store, &uuid("a")).is_ok());
}

/// A capsule of another instance may lie in the folder, and have the same UUID.
/// The index is a file that others write: it must not give away another user's capsule as one of the store.
#[test]
fn an_entry_that_names_a_file_elsewhere_leads_nowhere() {
    let vault = Vault::new();
    let text = capsule("Nova", "a", "2026", "one");
    let stored = vault.store.store(text.as_bytes()).expect("stored");
    let private = vault.root().join("users/ann/instances/nova/nova.capsule");
    fs::create_dir_all(private.parent().expect("a folder")).expect("a folder");
    fs::write(&private, &text).expect("written");
    let own = stored.path.file_name().expect("a name").to_string_lossy();
    let index = fs::read_to_string(vault.index_path()).expect("an index");
    for elsewhere in ["../../users/ann/instances/nova/nova.capsule", &private.to_string_lossy()] {
        fs::write(vault.index_path(), index.replace(&*own, elsewhere)).expect("written");
        let store = open(vault.root());
        for version in [uuid("a"), Version::Latest] {
            let versions = store.versions("Nova", &version).expect("paths").indexed;
            assert!(versions.iter().all(|path| *path == stored.path), "{versions:?}");
        }
    }
}

#[test]
fn deleting_leaves_what_is_another_instances() {
    let vault = Vault::new();
    vault.store.store(capsule("Nova", "a", "1", "a").as_bytes()).expect("stored");
    let others = vault.root().join("capsules/Nova/other.capsule");
    fs::write(&others, capsule("Katana", "a", "1", "katana's")).expect("a file");
    // Until its state is settled it is looked at anew each time, and not remembered.
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert!(vault.store.delete("Nova", "a").expect("an answer"));
    assert!(tags(&vault.store).is_empty() && others.exists());
}

#[test]
fn a_tag_that_python_took_stays_away() {
    let vault = Vault::new();
    vault.store.store(capsule("Nova", "a", "1", "a").as_bytes()).expect("stored");
    vault.store.add_tag("Nova", "a", "one").expect("tagged");
    vault.store.add_tag("Nova", "a", "two").expect("tagged");
    python_changes(&vault, |index, now| assert!(index.remove_tag("a", "one", now)));
    let two = [("a".to_owned(), vec!["two".to_owned()])];
    assert_eq!(tags(&vault.store), two);
    assert_eq!(tags(&open(vault.root())), two);
}

#[test]
fn what_python_deleted_does_not_come_back_as_it_was_before() {
    let vault = Vault::new();
    for (timestamp, memory) in [("1", "first"), ("2", "second")] {
        vault.store.store(capsule("Nova", "a", timestamp, memory).as_bytes()).expect("stored");
    }
    fs::remove_file(vault.root().join("capsules/Nova/Nova_2.capsule")).expect("removed");
    python_changes(&vault, |index, now| assert!(index.remove("a", now).is_some()));
    assert!(vault.root().join("capsules/Nova/Nova_1.capsule").exists());
    assert!(tags(&vault.store).is_empty());
    assert!(tags(&open(vault.root())).is_empty());

    // Python itself stores it twice, which is seen, and deletes it.
    for (timestamp, memory) in [("3", "third"), ("4", "fourth")] {
        python_stores(&vault, &capsule("Nova", "b", timestamp, memory), &format!("Nova_{timestamp}.capsule"));
    }
    assert_eq!(tags(&vault.store).len(), 1);
    fs::remove_file(vault.root().join("capsules/Nova/Nova_4.capsule")).expect("removed");
    python_changes(&vault, |index, now| assert!(index.remove("b", now).is_some()));
    assert!(tags(&open(vault.root())).is_empty());
}

/// Somebody stores a capsule, stores it again, and goes back to the first state: once the index is lost, that is still it.
#[test]
fn an_earlier_state_that_is_the_capsule_again_is_found_without_an_index() {
    for (seen, is_cut) in [(true, true), (true, false), (false, true), (false, false)] {
        for second_by_us in [false, true] {
            let vault = Vault::new();
            let [first, second] = ["1", "2"].map(|time| capsule("Nova", "a", time, time));
            let path = |time: &str| format!("Nova_{time}.capsule");
            let look = || assert!(!seen || tags(&vault.store).len() == 2);
            vault.store.store(capsule("Nova", "other", "0", "other").as_bytes()).expect("stored");
            python_stores(&vault, &first, &path("1"));
            look();
            if second_by_us {
                vault.store.store(second.as_bytes()).expect("stored");
            } else {
                python_stores(&vault, &second, &path("2"));
            }
            look();
            std::thread::sleep(std::time::Duration::from_millis(5));
            python_stores(&vault, &first, &path("1"));
            look();
            if second_by_us && !seen {
                // Nobody can know.
                continue;
            }
            // What was seen is written down at most once a second, and with every change.
            vault.store.add_tag("Nova", "other", "gold").expect("tagged");
            if is_cut {
                let text = fs::read(vault.index_path()).expect("an index");
                fs::write(vault.index_path(), &text[..60]).expect("cut");
            } else {
                fs::remove_file(vault.index_path()).expect("removed");
            }
            let what = format!("seen {seen}, cut {is_cut}, second by us {second_by_us}");
            assert_eq!(text_of(&vault.store, &uuid("a")).as_ref(), Ok(&first), "{what}");
            assert_eq!(text_of(&open(vault.root()), &uuid("a")).as_ref(), Ok(&first), "{what}, opened again");
        }
    }
}

/// A backup has an earlier state only, or somebody removes the newer file: it is all that is left of the capsule.
#[test]
fn an_earlier_state_is_the_capsule_where_nothing_else_is_left() {
    for timestamp in ["1", "2"] {
        let (vault, first) = Vault::with_one_stored_twice(timestamp);
        let folder = vault.root().join("capsules/Nova");
        fs::remove_dir_all(&folder).expect("removed");
        fs::create_dir(&folder).expect("made");
        fs::write(folder.join("Nova_1.capsule"), &first).expect("put back");
        // Python, who removes a file and then writes the index, is given a second.
        assert!(tags(&vault.store).is_empty());
        let before = SystemTime::now() - std::time::Duration::from_secs(10);
        File::open(&folder).expect("a folder").set_modified(before).expect("a time");
        for _ in 0..200 {
            if !tags(&vault.store).is_empty() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        for store in [&vault.store, &open(vault.root())] {
            assert_eq!(text_of(store, &uuid("a")).as_ref(), Ok(&first), "{timestamp}");
        }
        vault.store.add_tag("Nova", "a", "gold").expect("tagged");
        assert_eq!(tags(&open(vault.root())), [("a".to_owned(), vec!["gold".to_owned()])]);
    }
}

/// Its file is away for longer than somebody takes who deletes it, and comes back; or it is only then put into the folder.
#[test]
fn a_later_state_that_comes_later_is_the_capsule() {
    let times = ["2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"];
    let [first, second] = times.map(|time| capsule("Nova", "a", time, time));
    for with_journal in [true, false] {
        let vault = Vault::new();
        vault.store.store(first.as_bytes()).expect("stored");
        vault.store.add_tag("Nova", "a", "gold").expect("tagged");
        let stored = vault.store.store(second.as_bytes()).expect("stored").path;
        if !with_journal {
            fs::remove_file(vault.root().join("indexes/Nova.journal")).expect("removed");
        }
        let away = vault.root().join("away");
        fs::rename(&stored, &away).expect("moved");
        let folder = File::open(stored.parent().expect("a folder")).expect("a folder");
        folder.set_modified(SystemTime::now() - std::time::Duration::from_secs(10)).expect("a time");
        let store = open(vault.root());
        eventually(|| text_of(&store, &uuid("a")) == Ok(first.clone()));
        store.add_tag("Nova", "a", "lead").expect("tagged");
        std::thread::sleep(std::time::Duration::from_millis(20));
        fs::rename(&away, &stored).expect("moved");
        eventually(|| text_of(&store, &uuid("a")) == Ok(second.clone()));
        store.add_tag("Nova", "a", "iron").expect("tagged");
        for store in [&store, &open(vault.root())] {
            assert_eq!(text_of(store, &uuid("a")).as_ref(), Ok(&second), "{with_journal}");
            assert_eq!(tags(store).len(), 1);
            assert_eq!(tags(store)[0].1.len(), 3, "{:?}", tags(store));
        }
        fs::remove_file(vault.index_path()).expect("removed");
        assert_eq!(text_of(&open(vault.root()), &uuid("a")).as_ref(), Ok(&second), "{with_journal}");
    }
    // One that is unsound, or has no later time, is a conflict copy.
    let vault = Vault::new();
    vault.store.store(first.as_bytes()).expect("stored");
    std::thread::sleep(std::time::Duration::from_millis(20));
    let put = |name: &str, text: &str| fs::write(vault.root().join("capsules/Nova").join(name), text).expect("written");
    put("edited.capsule", &first.replace("\"memory_log\"", "\"edited\""));
    put("unsound.capsule", &second.replace("\"fingerprint_hash\": \"", "\"fingerprint_hash\": \"0"));
    assert_eq!(text_of(&vault.store, &uuid("a")), Ok(first));
    put("Nova_2.capsule", &second);
    for store in [&vault.store, &open(vault.root())] {
        assert_eq!(text_of(store, &uuid("a")).as_ref(), Ok(&second));
    }
}

fn eventually(is_so: impl Fn() -> bool) {
    for _ in 0..300 {
        if is_so() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("never");
}

/// Python deletes what was stored twice, which is seen. Later the index is damaged, or missing for a moment.
#[test]
fn what_python_deleted_stays_deleted_whatever_becomes_of_the_index() {
    for is_cut in [true, false] {
        let vault = Vault::new();
        vault.store.store(capsule("Nova", "other", "0", "other").as_bytes()).expect("stored");
        for timestamp in ["1", "2"] {
            vault.store.store(capsule("Nova", "a", timestamp, timestamp).as_bytes()).expect("stored");
        }
        let folder = vault.root().join("capsules/Nova");
        fs::remove_file(folder.join("Nova_2.capsule")).expect("removed");
        python_changes(&vault, |index, now| assert!(index.remove("a", now).is_some()));
        let before = SystemTime::now() - std::time::Duration::from_secs(10);
        File::open(&folder).expect("a folder").set_modified(before).expect("a time");
        let journal = || fs::read_to_string(vault.root().join("indexes/Nova.journal")).expect("a journal");
        eventually(|| {
            assert_eq!(tags(&vault.store).len(), 1);
            vault.store.add_tag("Nova", "other", "gold").expect("tagged");
            journal().contains("\"gone\":true")
        });
        let text = fs::read(vault.index_path()).expect("an index");
        if is_cut {
            fs::write(vault.index_path(), &text[..text.len() - 30]).expect("cut");
        } else {
            fs::remove_file(vault.index_path()).expect("removed");
        }
        for store in [&vault.store, &open(vault.root())] {
            assert_eq!(tags(store).into_iter().map(|(uuid, _)| uuid).collect::<Vec<_>>(), ["other"], "cut: {is_cut}");
        }
    }
    // An editor that puts another in its place is waited for.
    let vault = Vault::with_tags_of_python();
    let all = tags(&vault.store);
    let aside = vault.index_path().with_extension("old");
    fs::rename(vault.index_path(), &aside).expect("moved");
    std::thread::scope(|threads| {
        threads.spawn(|| {
            std::thread::sleep(std::time::Duration::from_millis(20));
            fs::rename(&aside, vault.index_path()).expect("moved");
        });
        assert_eq!(tags(&vault.store), all);
    });
}

/// What was stored again here bears a time that is to come; then Python stores it, by the right clock.
#[test]
fn what_python_stores_counts_also_by_a_clock_that_is_behind() {
    let (vault, _) = Vault::with_one_stored_twice("2");
    let moved = journal::Record::Moved {
        uuid: "a".to_owned(),
        filename: "Nova_2.capsule".to_owned(),
        at: iso_in(std::time::Duration::from_secs(1800)),
    };
    SystemFiles.append(&vault.root().join("indexes/Nova.journal"), journal::line(&moved).as_bytes()).expect("written");
    let third = capsule("Nova", "a", "3", "third");
    python_stores(&vault, &third, "Nova_3.capsule");
    for _ in 0..2 {
        for store in [&vault.store, &open(vault.root())] {
            assert_eq!(text_of(store, &uuid("a")).as_ref(), Ok(&third));
        }
        vault.store.add_tag("Nova", "a", "gold").expect("tagged");
        vault.store.remove_tag("Nova", "a", "gold").expect("taken");
    }
    fs::remove_file(vault.index_path()).expect("removed");
    assert_eq!(text_of(&open(vault.root()), &uuid("a")), Ok(third));
}

fn iso_in(time: std::time::Duration) -> String {
    let then = jiff::Timestamp::now() + jiff::SignedDuration::try_from(time).expect("a duration");
    then.strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string()
}

/// It was deleted here, and is there again: stored by Python, or put back. A moment without its file is no deletion.
#[test]
fn what_came_back_keeps_its_tags_while_its_file_is_away() {
    for is_by_python in [true, false] {
        let vault = Vault::new();
        let text = capsule("Nova", "a", "1", "first");
        vault.store.store(text.as_bytes()).expect("stored");
        vault.store.delete("Nova", "a").expect("deleted");
        std::thread::sleep(std::time::Duration::from_millis(20));
        let path = vault.root().join("capsules/Nova/Nova_1.capsule");
        if is_by_python {
            python_stores(&vault, &text, "Nova_1.capsule");
        } else {
            fs::write(&path, &text).expect("put back");
            vault.store.add_tag("Nova", "a", "ours").expect("tagged");
        }
        python_changes(&vault, |index, now| assert!(index.add_tag("a", "python's", now)));
        let all = tags(&vault.store);
        let away = vault.root().join("away");
        fs::rename(&path, &away).expect("moved");
        assert!(tags(&open(vault.root())).is_empty());
        assert!(tags(&vault.store).is_empty());
        fs::rename(&away, &path).expect("moved");
        for store in [&vault.store, &open(vault.root())] {
            assert_eq!(tags(store), all, "by Python: {is_by_python}");
        }
    }
}

/// It is deleted here and stored again, while Python has its copy of the index, and changes another entry in it.
#[test]
fn the_tags_of_what_was_deleted_do_not_come_back_with_a_copy_from_before() {
    for timestamp in ["1", "2"] {
        let vault = Vault::new();
        vault.store.store(capsule("Nova", "other", "0", "other").as_bytes()).expect("stored");
        vault.store.store(capsule("Nova", "a", "1", "first").as_bytes()).expect("stored");
        vault.store.add_tag("Nova", "a", "private").expect("tagged");
        vault.store.add_tag("Nova", "a", "again").expect("tagged");
        vault.store.add_tag("Nova", "a", "for a moment").expect("tagged");
        let copy = fs::read(vault.index_path()).expect("an index");
        std::thread::sleep(std::time::Duration::from_millis(5));
        vault.store.remove_tag("Nova", "a", "for a moment").expect("taken");
        vault.store.delete("Nova", "a").expect("deleted");
        vault.store.store(capsule("Nova", "a", timestamp, "second").as_bytes()).expect("stored");
        vault.store.add_tag("Nova", "a", "again").expect("tagged");
        fs::write(vault.index_path(), &copy).expect("written");
        python_changes(&vault, |index, now| assert!(index.add_tag("other", "python's", now)));
        for store in [&vault.store, &open(vault.root())] {
            let mut all = tags(store);
            all.sort();
            let [of_a, of_other] = ["again", "python's"].map(|tag| vec![tag.to_owned()]);
            assert_eq!(all, [("a".to_owned(), of_a), ("other".to_owned(), of_other)], "{timestamp}");
        }
    }
}

#[test]
fn a_file_of_a_deleted_capsule_that_is_put_back_is_found_also_if_it_was_an_earlier_state() {
    for timestamp in ["1", "2"] {
        let (vault, first) = Vault::with_one_stored_twice(timestamp);
        assert!(vault.store.delete("Nova", "a").expect("deleted"));
        fs::write(vault.root().join("capsules/Nova/Nova_1.capsule"), &first).expect("put back");
        for store in [&vault.store, &open(vault.root())] {
            assert_eq!(text_of(store, &uuid("a")).as_ref(), Ok(&first), "{timestamp}");
        }
    }
}

/// Also where it was Python who stored it again, or its file came back.
#[test]
fn tags_given_after_a_deletion_are_kept() {
    for is_by_python in [false, true] {
        for is_cut in [false, true] {
            let vault = Vault::new();
            let text = capsule("Nova", "a", "1", "first");
            vault.store.store(text.as_bytes()).expect("stored");
            vault.store.add_tag("Nova", "a", "old").expect("tagged");
            vault.store.delete("Nova", "a").expect("deleted");
            std::thread::sleep(std::time::Duration::from_millis(20));
            if is_by_python {
                python_stores(&vault, &text, "Nova_1.capsule");
            } else {
                fs::write(vault.root().join("capsules/Nova/Nova_1.capsule"), &text).expect("put back");
            }
            assert_eq!(tags(&vault.store), [("a".to_owned(), vec![])]);
            let stale = fs::read(vault.index_path()).expect("an index");
            assert!(vault.store.add_tag("Nova", "a", "new").expect("tagged"));
            fs::write(vault.index_path(), if is_cut { &stale[..60] } else { &stale }).expect("written");
            let kept = [("a".to_owned(), vec!["new".to_owned()])];
            assert_eq!(tags(&vault.store), kept, "by Python {is_by_python}, cut {is_cut}");
            assert_eq!(tags(&open(vault.root())), kept, "by Python {is_by_python}, cut {is_cut}, opened again");
        }
    }
}

/// A process that runs finds what took another capsule's file, as one does that starts.
#[test]
fn a_capsule_whose_file_took_anothers_place_is_found() {
    let vault = Vault::new();
    for name in ["a", "b"] {
        vault.store.store(capsule("Nova", name, name, name).as_bytes()).expect("stored");
    }
    assert_eq!(tags(&vault.store).len(), 2);
    // A copy of the index from before, and a file that was written over in place.
    let stale = fs::read(vault.index_path()).expect("an index");
    let path = vault.root().join("capsules/Nova/Nova_b.capsule");
    fs::write(&path, capsule("Nova", "c", "b", "the other one")).expect("written");
    fs::write(vault.index_path(), stale).expect("written");
    python_changes(&vault, |_, _| {});
    let found: Vec<String> = tags(&vault.store).into_iter().map(|(uuid, _)| uuid).collect();
    assert!(found.contains(&"c".to_owned()), "{found:?}");
    assert!(text_of(&vault.store, &uuid("c")).is_ok());
}

/// As where two accounts of a group share a vault.
#[cfg(unix)]
#[test]
fn who_may_write_in_the_folders_can_store_and_tag() {
    use std::os::unix::fs::PermissionsExt as _;
    if rustix::process::geteuid().is_root() {
        // Root may write in every file.
        return;
    }
    let vault = Vault::new();
    vault.store.store(capsule("Nova", "a", "1", "a").as_bytes()).expect("stored");
    vault.store.add_tag("Nova", "a", "one").expect("tagged");
    for name in ["Nova.lock", "Nova.journal"] {
        let path = vault.root().join("indexes").join(name);
        fs::set_permissions(path, fs::Permissions::from_mode(0o444)).expect("a mode");
    }
    let other = open(vault.root());
    other.store(capsule("Nova", "b", "2", "b").as_bytes()).expect("stored");
    other.add_tag("Nova", "a", "two").expect("tagged");
    assert_eq!(tags(&open(vault.root()))[1], ("a".to_owned(), vec!["one".to_owned(), "two".to_owned()]));
}

/// Who looks into a server's vault as root takes nothing from the server.
#[cfg(unix)]
#[test]
fn what_root_makes_is_the_folders_owners() {
    use std::os::unix::fs::{MetadataExt as _, chown};
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let vault = Vault::new();
    for name in ["", "capsules", "indexes"] {
        let path = vault.root().join(name);
        fs::create_dir_all(&path).expect("made");
        chown(path, Some(1234), Some(4321)).expect("an owner");
    }
    vault.store.store(capsule("Nova", "a", "1", "a").as_bytes()).expect("stored");
    vault.store.add_tag("Nova", "a", "one").expect("tagged");
    let own = ["capsules/Nova", "capsules/Nova/Nova_1.capsule"];
    let indexes = ["Nova.lock", "Nova.journal", "Nova_index.json"].map(|name| format!("indexes/{name}"));
    for name in own.into_iter().map(str::to_owned).chain(indexes) {
        let metadata = fs::metadata(vault.root().join(&name)).expect("a file");
        assert_eq!((metadata.uid(), metadata.gid()), (1234, 4321), "{name}");
    }
}

#[test]
fn an_entry_of_a_deleted_capsule_leaves_the_index() {
    let vault = Vault::new();
    vault.store.store(capsule("Nova", "a", "1", "a").as_bytes()).expect("stored");
    let stale = fs::read(vault.index_path()).expect("an index");
    vault.store.delete("Nova", "a").expect("deleted");
    fs::write(vault.index_path(), stale).expect("written");
    assert!(!vault.store.add_tag("Nova", "a", "x").expect("an answer"));
    assert!(!vault.store.delete("Nova", "a").expect("an answer"));
    assert!(tags(&open(vault.root())).is_empty());
    let index = fs::read_to_string(vault.index_path()).expect("an index");
    assert!(!index.contains("\"a\""), "{index}");
    vault.store.store(capsule("Nova", "a", "1", "a").as_bytes()).expect("stored");
    assert_eq!(tags(&vault.store), [("a".to_owned(), vec![])], "stored again, without its tags");
}

#[test]
fn a_tag_is_given_also_to_a_capsule_that_was_just_lost_from_the_index() {
    let vault = Vault::new();
    for name in ["a", "b"] {
        vault.store.store(capsule("Nova", name, name, name).as_bytes()).expect("stored");
    }
    python_changes(&vault, |index, now| drop(index.remove("a", now)));
    let change = super::Change::AddTag { uuid: "a".to_owned(), tag: "gold".to_owned() };
    let changed = vault.store.with_instance("Nova", |instance| instance.change(change, std::time::Instant::now()));
    assert_eq!(changed, Ok(super::Outcome::Changed(true)));
    assert_eq!(vault.store.list("Nova", Some("gold")).expect("a list").len(), 1);
}

/// Vaults that the real `VVAULTCore` wrote, and what it says of them itself.
#[test]
fn sees_what_python_sees() {
    let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("__test__/recorded/python-vault");
    let expected = fs::read(recorded.join("expected.json")).expect("the recording");
    let expected: Value = serde_json::from_slice(&expected).expect("the recording");
    for (name, recording) in expected["vaults"].as_object().expect("vaults") {
        let copy = tempfile::tempdir().expect("a folder");
        copy_folder(&recorded.join(name), copy.path());
        let store = Store::open(copy.path(), Options::default()).expect("a vault");
        assert_eq!(json!(store.instances().expect("names")), recording["python"]["instances"], "{name}");
        for (instance, python) in recording["python"]["of"].as_object().expect("instances") {
            let told = |entry: &Value| json!([entry["uuid"], entry["timestamp"], entry["filename"], entry["tags"]]);
            let own = store.list(instance, None).expect("a list");
            let own: Vec<Value> = own.iter().map(|entry| told(&serde_json::from_str(entry).expect("JSON"))).collect();
            // Python lists capsules whose files are gone, too.
            let is_there = |entry: &&Value| {
                let name = entry["filename"].as_str().expect("a name");
                copy.path().join("capsules").join(instance).join(name).exists()
            };
            let mut python_list: Vec<Value> =
                python["list"].as_array().expect("a list").iter().filter(is_there).map(told).collect();
            if name == "same-uuid" {
                // Python's list asks the entry, which lost its tags; its retrieval by tag asks the map, which has them.
                python_list[0][3] = json!(["gold"]);
            }
            let lists_more = ["half-index", "lost-update", "store-over-half-index"].contains(&name.as_str());
            if lists_more {
                assert!(own.len() > python_list.len(), "{name}: {own:?}");
            } else {
                assert_eq!(own, python_list, "{name}/{instance}");
            }
            let info = store.info(instance).expect("info");
            if python["info"].is_null() && !lists_more {
                assert_eq!(info, None, "{name}/{instance}");
            } else if !lists_more {
                let info = info.expect("info");
                let info: Value = serde_json::from_str(&info).expect("JSON");
                let latest = &python["info"]["latest_uuid"];
                if name != "strays" {
                    assert_eq!(info["latest_uuid"], *latest, "{name}/{instance}");
                }
                assert_eq!(info["total_capsules"], json!(python_list.len()), "{name}/{instance}");
            }
        }
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for item in fs::read_dir(from).expect("a folder") {
        let item = item.expect("an item");
        let target = to.join(item.file_name());
        if item.path().is_dir() {
            copy_folder(&item.path(), &target);
        } else {
            fs::copy(item.path(), target).expect("copied");
        }
    }
}

/// A file system on which the step of a certain number fails. After a crash nothing works any more.
#[derive(Debug)]
struct FailingFiles {
    steps: AtomicUsize,
    fails_at: usize,
    how: Failure,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// The process is killed in the middle of the step.
    Crash,
    /// The step is refused.
    Refusal(io::ErrorKind),
}

impl FailingFiles {
    fn new(fails_at: usize, how: Failure) -> Arc<Self> {
        Arc::new(Self { steps: AtomicUsize::new(0), fails_at, how })
    }

    /// Before a step; in the crash itself `middle` is done.
    fn step(&self, middle: impl FnOnce()) -> io::Result<()> {
        let step = self.steps.fetch_add(1, Ordering::SeqCst);
        match self.how {
            Failure::Crash if step == self.fails_at => middle(),
            Failure::Crash if step > self.fails_at => {}
            Failure::Refusal(kind) if step == self.fails_at => return Err(kind.into()),
            _ => return Ok(()),
        }
        Err(io::Error::other("killed"))
    }
}

impl Files for FailingFiles {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.step(|| {})?;
        SystemFiles.create_folder(path)
    }

    fn write_temporary(&self, folder: &Path, content: &[u8], successor_of: Option<&Path>) -> io::Result<PathBuf> {
        self.step(|| drop(SystemFiles.write_temporary(folder, &content[..content.len() / 2], successor_of)))?;
        SystemFiles.write_temporary(folder, content, successor_of)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(|| {})?;
        SystemFiles.rename(from, to)
    }

    fn place(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(|| {})?;
        SystemFiles.place(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.step(|| {})?;
        SystemFiles.remove(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        self.step(|| {})?;
        SystemFiles.remove_folder(path)
    }

    /// A refusal here is told, but what was done can't be taken back: the names are there already.
    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        if self.how == Failure::Crash {
            self.step(|| {})?;
        }
        SystemFiles.sync_folder(path)
    }

    fn append(&self, path: &Path, content: &[u8]) -> io::Result<File> {
        self.step(|| drop(SystemFiles.append(path, &content[..content.len() / 2])))?;
        SystemFiles.append(path, content)
    }

    fn cut(&self, file: &File, length: u64) -> io::Result<()> {
        self.step(|| {})?;
        SystemFiles.cut(file, length)
    }
}

/// What was acknowledged: each capsule's text and tags.
type Known = BTreeMap<String, (String, Vec<String>)>;

#[derive(Debug, Clone)]
enum Step {
    Store(&'static str, &'static str, &'static str),
    Tag(&'static str, &'static str),
    Untag(&'static str, &'static str),
    Delete(&'static str),
}

const STEPS: [Step; 9] = [
    Step::Store("a", "1", "first"),
    Step::Tag("a", "gold"),
    Step::Store("b", "2", "second"),
    Step::Tag("b", "gold"),
    Step::Tag("b", "kept"),
    Step::Untag("a", "gold"),
    Step::Store("a", "1", "changed"),
    Step::Delete("b"),
    Step::Store("c", "1", "of the same time"),
];

fn take(store: &Store, step: &Step) -> Result<(), Error> {
    match step {
        Step::Store(uuid, timestamp, memory) => {
            store.store(capsule("Nova", uuid, timestamp, memory).as_bytes()).map(drop)
        }
        Step::Tag(uuid, tag) => store.add_tag("Nova", uuid, tag).map(|done| assert!(done)),
        Step::Untag(uuid, tag) => store.remove_tag("Nova", uuid, tag).map(|done| assert!(done)),
        Step::Delete(uuid) => store.delete("Nova", uuid).map(|done| assert!(done)),
    }
}

fn after(known: &Known, step: &Step) -> Known {
    let mut known = known.clone();
    match step {
        Step::Store(uuid, timestamp, memory) => {
            known.entry((*uuid).to_owned()).or_default().0 = capsule("Nova", uuid, timestamp, memory);
        }
        Step::Tag(uuid, tag) => known.get_mut(*uuid).expect("a capsule").1.push((*tag).to_owned()),
        Step::Untag(uuid, tag) => known.get_mut(*uuid).expect("a capsule").1.retain(|own| own != tag),
        Step::Delete(uuid) => drop(known.remove(*uuid)),
    }
    known
}

fn found(store: &Store) -> Known {
    let listed = tags(store).into_iter();
    listed.map(|(name, tags)| (name.clone(), (text_of(store, &uuid(&name)).expect("a capsule"), tags))).collect()
}

/// Whatever step is refused or never comes to its end: what was acknowledged is there, what was not is there whole or not
/// at all, and after a refusal not at all.
#[test]
fn every_step_may_fail() {
    let failures = [
        Failure::Crash,
        Failure::Refusal(io::ErrorKind::StorageFull),
        Failure::Refusal(io::ErrorKind::PermissionDenied),
        Failure::Refusal(io::ErrorKind::ReadOnlyFilesystem),
    ];
    let mut failed = 0;
    for how in failures {
        for fails_at in 0.. {
            let folder = tempfile::tempdir().expect("a folder");
            drop(open(folder.path()));
            let files = FailingFiles::new(fails_at, how);
            let store = Store::open_with(folder.path(), Options::default(), files.clone()).expect("a vault");
            let mut known = Known::new();
            let mut in_flight = None;
            for step in &STEPS {
                match take(&store, step) {
                    Ok(()) => known = after(&known, step),
                    Err(error) => {
                        failed += 1;
                        in_flight = Some(step);
                        if let Failure::Refusal(kind) = how {
                            let code = match kind {
                                io::ErrorKind::StorageFull => "VVAULT_DISK_FULL",
                                io::ErrorKind::PermissionDenied => "VVAULT_PERMISSION",
                                _ => "VVAULT_READ_ONLY",
                            };
                            assert_eq!(error.code(), code, "{how:?} at {fails_at}: {error}");
                            assert_eq!(found(&store), known, "{how:?} at {fails_at}: {step:?} was refused");
                            let is_known = !known.is_empty();
                            assert_eq!(store.instances().map(|names| !names.is_empty()), Ok(is_known), "{fails_at}");
                        }
                        break;
                    }
                }
            }
            let reached = files.steps.load(Ordering::SeqCst) > fails_at;
            drop(store);
            let store = open(folder.path());
            let now = found(&store);
            let allowed = in_flight.map(|step| after(&known, step));
            let half = matches!(how, Failure::Crash) && allowed.as_ref() == Some(&now);
            assert!(now == known || half, "{how:?} at {fails_at} in {in_flight:?}: {now:#?} instead of {known:#?}");
            // Also if Python's part, the index, is lost then.
            let copy = tempfile::tempdir().expect("a folder");
            copy_folder(folder.path(), copy.path());
            let _ = fs::remove_file(copy.path().join("indexes/Nova_index.json"));
            // What was just being deleted comes back without its tags.
            let in_order = |mut known: Known| {
                for (uuid, (_, tags)) in &mut known {
                    tags.sort();
                    if matches!(in_flight, Some(Step::Delete(deleted)) if deleted == uuid) {
                        tags.clear();
                    }
                }
                known
            };
            let found_without = in_order(found(&open(copy.path())));
            assert!(
                [Some(&known), allowed.as_ref()]
                    .into_iter()
                    .flatten()
                    .any(|one| in_order(one.clone()) == found_without),
                "{how:?} at {fails_at} in {in_flight:?}, no index: {found_without:#?} instead of {known:#?}"
            );
            for item in fs::read_dir(folder.path().join("capsules/Nova")).into_iter().flatten() {
                let path = item.expect("an item").path();
                if path.extension().is_some_and(|extension| extension == "capsule") {
                    let text = fs::read(&path).expect("a file");
                    assert!(serde_json::from_slice::<Value>(&text).is_ok(), "half a file: {}", path.display());
                }
            }
            // And it goes on from there.
            if let Some(step) = in_flight {
                if !half || matches!(step, Step::Store(..) | Step::Tag(..) | Step::Untag(..)) {
                    take(&store, step).expect("now it works");
                }
                assert_eq!(found(&store), after(&known, step), "{how:?} at {fails_at}, tried again");
            }
            if !reached {
                break;
            }
        }
    }
    assert!(failed > 100, "only {failed}");
}

#[test]
fn many_threads_lose_nothing() {
    let vault = Vault::new();
    let other = open(vault.root());
    let acknowledged = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (acknowledged, store) = (&acknowledged, if thread % 2 == 0 { &vault.store } else { &other });
            scope.spawn(move || {
                for at in 0..8 {
                    let name = format!("{thread}-{at}");
                    let text = capsule("Nova", &name, &format!("2026-{at}"), &name);
                    store.store(text.as_bytes()).expect("stored");
                    assert!(store.add_tag("Nova", &name, "gold").expect("an answer"));
                    acknowledged.lock().expect("a lock").push((name, text));
                    assert!(!tags(store).is_empty());
                }
            });
        }
    });
    for store in [&vault.store, &other, &open(vault.root())] {
        assert_eq!(store.list("Nova", Some("gold")).expect("a list").len(), 64);
        for (name, text) in acknowledged.lock().expect("a lock").iter() {
            assert_eq!(text_of(store, &uuid(name)).as_ref(), Ok(text));
        }
    }
}

#[test]
fn nothing_is_kept_of_names_that_are_no_instances() {
    let vault = Vault::new();
    vault.store.store(capsule("Nova", "a", "a", "a").as_bytes()).expect("stored");
    let ask = |number: usize| {
        let name = format!("nobody{number}");
        assert_eq!(vault.store.info(&name), Ok(None));
        assert_eq!(vault.store.list(&name, None), Ok(Vec::new()));
        assert!(vault.store.retrieve(&name, &Version::Latest).expect("an answer").is_err());
        assert!(vault.store.versions(&name, &Version::Latest).expect("an answer").indexed.is_empty());
        assert_eq!(vault.store.add_tag(&name, "a", "gold"), Ok(false));
        assert_eq!(vault.store.remove_tag(&name, "a", "gold"), Ok(false));
        assert_eq!(vault.store.delete(&name, "a"), Ok(false));
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..50).for_each(|number| ask(number % 7)));
        }
    });
    assert_eq!(crate::lock::lock(&vault.store.instances).keys().collect::<Vec<_>>(), ["Nova"]);
}

/// As if one had come after the other: which files there are is known only once the first is done.
#[test]
fn changes_of_one_capsule_at_once_come_one_after_the_other() {
    let vault = Vault::new();
    let store = &vault.store;
    store.store(capsule("Nova", "seed", "2025", "seed").as_bytes()).expect("stored");
    for round in 0..40 {
        let (twice, brief) = (format!("twice-{round}"), format!("brief-{round}"));
        let time = format!("2026-01-01T00:00:00.{round:06}");
        let texts = ["one", "another"].map(|memory| capsule("Nova", &twice, &time, memory));
        let barrier = std::sync::Barrier::new(5);
        let begin = &|| {
            barrier.wait();
        };
        let (stored, deleted) = std::thread::scope(|scope| {
            let put = |text: String| {
                scope.spawn(move || {
                    begin();
                    store.store(text.as_bytes()).expect("stored").path
                })
            };
            let stored = texts.clone().map(put);
            put(capsule("Nova", &brief, "2024", &brief));
            scope.spawn(|| {
                begin();
                store.add_tag("Nova", "seed", &time).expect("an answer")
            });
            begin();
            let deleted = store.delete("Nova", &brief).expect("an answer");
            (stored.map(|thread| thread.join().expect("a path")), deleted)
        });
        assert_ne!(stored[0], stored[1]);
        let now = text_of(store, &uuid(&twice)).expect("a capsule");
        let last = texts.iter().position(|text| *text == now).expect("one of both");
        assert_eq!(fs::read_to_string(&stored[last]).expect("a file"), now);
        assert_eq!(text_of(store, &uuid(&brief)).is_ok(), !deleted, "{round}");
    }
}

/// What VVAULT can't take for a version, and states the UUID of one.
#[test]
fn what_states_a_uuid_is_deleted_with_it() {
    let vault = Vault::new();
    let stray = |uuid: &str| json!({"metadata": {"instance_name": "Nova", "uuid": uuid}, "memory": {}}).to_string();
    vault.store.store(capsule("Nova", "a", "2026", "a").as_bytes()).expect("stored");
    let place = |name: &str| vault.root().join("capsules/Nova").join(name);
    for (name, uuid) in [("a.capsule", "a"), ("b.capsule", "b"), ("c.capsule", "c")] {
        fs::write(place(name), stray(uuid)).expect("a file");
    }
    let strays = || vault.store.versions("Nova", &Version::Latest).expect("files").strays.len();
    assert_eq!(strays(), 3);
    for (uuid, left) in [("a", 2), ("b", 1)] {
        assert_eq!(vault.store.delete("Nova", uuid), Ok(true));
        assert_eq!((strays(), vault.store.delete("Nova", uuid)), (left, Ok(false)));
    }
    assert!(place("c.capsule").exists() && !place("a.capsule").exists());
}

/// As Python does, which knows no lock: it puts a capsule under a name that was free just now, or writes over ours.
#[derive(Debug)]
struct Usurper {
    place: PathBuf,
    text: String,
    is_first: AtomicUsize,
    when: When,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum When {
    Before,
    After,
    /// A file that is to be deleted has been set aside.
    Aside,
}

impl Usurper {
    fn act(&self, when: When) {
        if when == self.when && self.is_first.swap(0, Ordering::SeqCst) == 1 {
            fs::write(&self.place, &self.text).expect("a file");
            // It writes its index, too.
            let index = self.place.ancestors().nth(3).expect("a vault").join("indexes/Nova_index.json");
            let text = fs::read_to_string(&index).expect("an index");
            fs::write(&index, text + "\n").expect("an index");
        }
    }
}

impl Files for Usurper {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        SystemFiles.create_folder(path)
    }

    fn write_temporary(&self, folder: &Path, content: &[u8], successor_of: Option<&Path>) -> io::Result<PathBuf> {
        SystemFiles.write_temporary(folder, content, successor_of)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        SystemFiles.rename(from, to)?;
        if super::files::is_temporary_name(&to.file_name().unwrap_or_default().to_string_lossy()) {
            self.act(When::Aside);
        }
        Ok(())
    }

    fn place(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.act(When::Before);
        SystemFiles.place(from, to)?;
        self.act(When::After);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        SystemFiles.remove(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        SystemFiles.remove_folder(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        SystemFiles.sync_folder(path)
    }

    fn append(&self, path: &Path, content: &[u8]) -> io::Result<File> {
        SystemFiles.append(path, content)
    }

    fn cut(&self, file: &File, length: u64) -> io::Result<()> {
        SystemFiles.cut(file, length)
    }
}

/// What can't be read, and came when the deletion had begun, does not end it in its midst.
#[test]
fn a_deletion_that_has_begun_is_done() {
    let vault = Vault::new();
    let stored = vault.store.store(capsule("Nova", "a", "2026", "a").as_bytes()).expect("stored");
    let files = Usurper {
        place: stored.path.with_file_name("large.capsule"),
        text: capsule("Nova", "b", "2026", &"x".repeat(1000)),
        is_first: AtomicUsize::new(1),
        when: When::Aside,
    };
    let options = Options { largest_capsule: 1000, ..Options::default() };
    let store = Store::open_with(vault.root(), options, Arc::new(files)).expect("a vault");
    assert_eq!(store.delete("Nova", "a"), Ok(true));
    assert_eq!(tags(&open(vault.root())), [("b".to_owned(), vec![])]);
}

#[test]
fn a_name_that_python_takes_at_the_same_moment_loses_nothing() {
    for when in [When::Before, When::After] {
        let folder = tempfile::tempdir().expect("a folder");
        open(folder.path()).store(capsule("Nova", "first", "2025", "first").as_bytes()).expect("stored");
        let text = capsule("Nova", "pythons", "2026", "Python's");
        let place = folder.path().join("capsules/Nova/Nova_2026.capsule");
        let files = Usurper { place: place.clone(), text: text.clone(), is_first: AtomicUsize::new(1), when };
        let store = Store::open_with(folder.path(), Options::default(), Arc::new(files)).expect("a vault");
        let own = capsule("Nova", "own", "2026", "ours");
        let stored = store.store(own.as_bytes()).expect("stored");
        assert_ne!(stored.path, place, "{when:?}");
        assert_eq!(fs::read_to_string(&stored.path).expect("a file"), own, "{when:?}");
        assert_eq!(fs::read_to_string(&place).expect("a file"), text, "{when:?}");
        assert_eq!(text_of(&store, &uuid("own")), Ok(own), "{when:?}");
        assert_eq!(text_of(&store, &uuid("pythons")), Ok(text), "{when:?}");
    }
}

#[cfg(unix)]
#[test]
fn links_lead_nowhere() {
    let (vault, outside) = (Vault::new(), tempfile::tempdir().expect("a folder"));
    fs::write(outside.path().join("x.capsule"), capsule("Nova", "a", "2026", "one")).expect("a file");
    std::os::unix::fs::symlink(outside.path(), vault.root().join("capsules/Nova")).expect("a link");
    assert!(matches!(vault.store.list("Nova", None), Err(Error::OutsideVault { .. })));
    assert!(matches!(
        vault.store.store(capsule("Nova", "b", "2026", "two").as_bytes()),
        Err(Error::OutsideVault { .. })
    ));
    assert_eq!(fs::read_dir(outside.path()).expect("a folder").count(), 1);
    assert_eq!(vault.store.instances().expect("names"), [""; 0]);
}

#[cfg(windows)]
mod windows {
    use std::fs::OpenOptions;
    use std::os::windows::fs::OpenOptionsExt as _;
    use std::time::Duration;

    use super::{Vault, capsule, tags};
    use crate::Error;
    use crate::vault::FileProblem;

    #[test]
    fn what_others_have_open_is_waited_for() {
        let vault = Vault::new();
        vault.store.store(capsule("Nova", "a", "2026-1", "one").as_bytes()).expect("stored");
        // As Python opens files: others may read and write them, and not rename or remove them.
        let index = vault.root().join("indexes/Nova_index.json");
        let held = OpenOptions::new().read(true).share_mode(3).open(index).expect("opened");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(200));
                drop(held);
            });
            assert!(vault.store.add_tag("Nova", "a", "gold").expect("an answer"));
        });
        assert_eq!(tags(&vault.store).len(), 1);
    }

    #[test]
    fn no_name_leads_to_a_drive_a_stream_or_a_device() {
        let vault = Vault::new();
        for name in ["C:x", "x:y", "CON", "nul.txt", "com1", "Nova.", "Nova "] {
            let text = capsule(name, "a", "2026", "one");
            assert!(matches!(vault.store.store(text.as_bytes()), Err(Error::InvalidName { .. })), "{name:?}");
        }
        let read = |name: &str| vault.store.with_instance("Nova", |instance| Ok(instance.read(name)));
        for name in ["C:x.capsule", "Nova_2026.capsule:x"] {
            assert!(matches!(read(name), Ok(Err(FileProblem::Outside(_)))), "{name}");
        }
    }
}
