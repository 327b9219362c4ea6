use std::path::PathBuf;

use super::judge;

fn capsules() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("__test__/recorded/capsules")
}

/// Capsules that the real programs wrote, with the recipes that match by the real programs (`expected.json`).
#[test]
fn names_the_recipe_that_the_real_program_used() {
    let expected = std::fs::read(capsules().join("expected.json")).expect("the recording");
    let expected: serde_json::Value = serde_json::from_slice(&expected).expect("the recording");
    let recorded = expected["capsules"].as_object().expect("capsules");
    assert!(recorded.len() > 30);
    for (name, recorded) in recorded {
        let verdict = judge(&std::fs::read(capsules().join(name)).expect("a capsule"), None);
        let matching = recorded["matches"].as_array().expect("recipes").first();
        let valid = if recorded["stated"].is_null() { None } else { Some(matching.is_some()) };
        assert_eq!(verdict.valid, valid, "{name}");
        assert_eq!(verdict.recipe, matching.and_then(|recipe| recipe.as_str()), "{name}");
        assert_eq!(verdict.reason.is_some(), valid == Some(false), "{name}");
    }
}

#[test]
fn the_tether_is_looked_for_in_both_places() {
    let tether = |text: &str| judge(text.as_bytes(), Some("SIG")).tether;
    assert_eq!(tether(r#"{"metadata":{"tether_signature":"SIG"}}"#), Some(true));
    assert_eq!(
        tether(r#"{"metadata":{"tether_signature":"OTHER"},"additional_data":{"tether":{"signature":"SIG"}}}"#),
        Some(false)
    );
    assert_eq!(
        tether(r#"{"metadata":{"tether_signature":""},"additional_data":{"tether":{"signature":"SIG"}}}"#),
        Some(true)
    );
    assert_eq!(tether(r#"{"additional_data":{"tether":{"signature":"SIG"}}}"#), Some(true));
    assert_eq!(tether(r#"{"additional_data":{"tether":null}}"#), Some(false));
    assert_eq!(judge(br#"{"metadata":{"tether_signature":"SIG"}}"#, None).tether, None);
}

#[test]
fn a_memory_states_the_hash_of_its_text() {
    let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let verdict = |raw: &str| judge(format!("{{\"raw\":\"{raw}\",\"raw_sha256\":\"{hash}\"}}").as_bytes(), None);
    assert_eq!((verdict("abc").valid, verdict("abc").recipe), (Some(true), Some("raw_sha256")));
    assert_eq!((verdict("abd").valid, verdict("abd").recipe), (Some(false), None));
    assert_eq!(judge(br#"{"raw":"abc"}"#, None).valid, None);
}

#[test]
fn a_hash_that_is_no_text_matches_nothing() {
    for hash in ["5", "[]", "false", "\" \"", "\"\\ud800\""] {
        let text = format!("{{\"metadata\":{{\"fingerprint_hash\":{hash}}}}}");
        assert_eq!(judge(text.as_bytes(), None).valid, Some(false), "{hash}");
    }
    for none in ["null", "\"\""] {
        let text = format!("{{\"metadata\":{{\"fingerprint_hash\":{none}}}}}");
        assert_eq!(judge(text.as_bytes(), None).valid, None, "{none}");
    }
    assert_eq!(judge(b"{\"a\":", None).valid, Some(false));
    assert!(!judge(b"", None).is_sound());
}
