//! Whatever an index and a journal say, nothing but the instance's own files is told of or deleted, and the index stays one.
//!
//! The input is an index and a journal, with a zero byte between. Of the files that an index can name, `a.capsule` and
//! `b.capsule` are the instance's; `canary.capsule` lies in its neighbour's folder, in the vault and beside the vault.

use std::fs;
use std::path::Path;

use vvault_native::formats::instance_index::InstanceIndex;
use vvault_native::formats::integrity::Policy;
use vvault_native::store::{Options, Store, Version};

const CANARY: &str = "c4n4ry-0b5c";
const CANARIES: [&str; 3] = ["canary.capsule", "vault/canary.capsule", "vault/capsules/Other/canary.capsule"];

pub fn check(data: &[u8]) {
    let (index, journal) = data.split_at(data.iter().position(|byte| *byte == 0).unwrap_or(data.len()));
    let text = String::from_utf8_lossy(data);
    // One that is damaged is waited for, which takes a fuzzer too long.
    let Ok(parsed) = InstanceIndex::parse(index) else { return };
    if text.contains(CANARY) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let vault = folder.path().join("vault");
    let own = vault.join("capsules/Nova");
    lay_out(folder.path(), &own);
    fs::write(vault.join("indexes/Nova_index.json"), index).expect("written");
    fs::write(vault.join("indexes/Nova.journal"), journal).expect("written");

    let options = Options { policy: Policy::Report, ..Options::default() };
    let store = Store::open(&vault, options).expect("a vault");
    let mut told = Vec::new();
    let mut ask = || {
        told.extend(store.list("Nova", None).expect("a list"));
        told.extend(store.info("Nova").expect("an answer"));
        let uuids = parsed.entries().take(4).map(|(uuid, _)| Version::Uuid(uuid.to_owned()));
        let tags = parsed.tags().take(2).map(|tag| Version::Tagged(tag.to_owned()));
        for version in uuids.chain(tags).chain([Version::Latest]) {
            for path in store.versions("Nova", &version).expect("paths").indexed {
                assert_eq!(path.parent(), Some(&*own), "{}", path.display());
            }
            match store.retrieve("Nova", &version).expect("an answer") {
                Ok(found) => told.extend([found.text, found.metadata]),
                Err(problem) => told.push(problem),
            }
        }
    };
    ask();
    for (step, (uuid, _)) in parsed.entries().take(4).enumerate() {
        let _ = match step {
            0 | 2 => store.add_tag("Nova", uuid, "gold"),
            1 => store.remove_tag("Nova", uuid, "gold"),
            _ => Ok(true),
        };
        if step > 0 {
            let _ = store.delete("Nova", uuid);
        }
    }
    ask();

    assert!(!told.concat().contains(CANARY), "{}", told.concat());
    for canary in CANARIES {
        assert!(fs::read_to_string(folder.path().join(canary)).is_ok_and(|text| text.contains(CANARY)), "{canary}");
    }
    let written = fs::read(vault.join("indexes/Nova_index.json")).expect("an index");
    assert!(InstanceIndex::parse(&written).is_ok(), "{}", String::from_utf8_lossy(&written));
}

fn lay_out(outer: &Path, own: &Path) {
    for folder in [own, &outer.join("vault/capsules/Other"), &outer.join("vault/indexes")] {
        fs::create_dir_all(folder).expect("a folder");
    }
    for canary in CANARIES {
        fs::write(outer.join(canary), capsule(CANARY)).expect("written");
    }
    for uuid in ["a", "b"] {
        fs::write(own.join(format!("{uuid}.capsule")), capsule(uuid)).expect("written");
    }
    #[cfg(unix)]
    std::os::unix::fs::symlink("../../../canary.capsule", own.join("link.capsule")).expect("a link");
}

fn capsule(uuid: &str) -> String {
    let metadata = format!(r#"{{"instance_name":"Nova","uuid":"{uuid}","timestamp":"t","fingerprint_hash":""}}"#);
    format!(r#"{{"metadata":{metadata},"traits":{{}},"personality":{{}},"memory":{{}},"environment":{{}}}}"#)
}
