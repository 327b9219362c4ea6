//! A new fingerprint is a right one and changes nothing else; what is adopted bears the new UUID; and a verdict on a text
//! says what its own recipe says.

use serde_json::Value;
use vvault_native::formats::capsule::{Header, adopt, refingerprint};
use vvault_native::formats::fingerprint::Recipe;
use vvault_native::formats::integrity::{Verdict, judge};
use vvault_native::formats::json::scan;
use vvault_native::formats::json::tree::{Dialect, Node};

pub fn check(data: &[u8]) {
    let verdict = judge(data, None);
    check_verdict(data, &verdict);
    let tethered = judge(data, Some("TETHER"));
    assert_eq!((tethered.valid, tethered.recipe), (verdict.valid, verdict.recipe));

    if let Ok(renewed) = refingerprint(data) {
        assert_right(&renewed);
        assert_eq!(refingerprint(renewed.as_bytes()).as_deref(), Ok(&*renewed));
        let [before, after] = [data, renewed.as_bytes()].map(serde_json::from_slice::<Value>);
        if let (Ok(mut before), Ok(mut after)) = (before, after) {
            for capsule in [&mut before, &mut after] {
                capsule["metadata"].as_object_mut().expect("an object").remove("fingerprint_hash");
            }
            assert_eq!(before, after);
        }
    }
    if let Ok(adopted) = adopt(data, "NEW", None) {
        assert_right(&adopted);
        if let Ok(header) = Header::parse(adopted.as_bytes()) {
            assert_eq!(header.uuid(), "NEW");
        }
    }
    if let Ok(header) = Header::parse(data)
        && Recipe::CapsuleForge.fingerprint(data).is_some()
    {
        let adopted = adopt(data, "NEW", None).expect("what has a header, and Python can read, can be adopted");
        let own = Header::parse(adopted.as_bytes()).expect("a header");
        assert_eq!([own.instance_name(), own.timestamp()], [header.instance_name(), header.timestamp()]);
        let other = adopt(data, "NEW", Some("nova-002")).expect("the same");
        assert_right(&other);
        assert_eq!(Header::parse(other.as_bytes()).expect("a header").instance_name(), "nova-002");
    }
}

fn assert_right(capsule: &str) {
    let verdict = judge(capsule.as_bytes(), None);
    assert_eq!((verdict.valid, verdict.recipe), (Some(true), Some("F1")), "{:?}: {capsule}", verdict.reason);
}

fn check_verdict(data: &[u8], verdict: &Verdict) {
    assert_eq!(verdict.reason.is_some(), !verdict.is_sound());
    assert!(scan(verdict.to_json().as_bytes(), |_, _| {}).is_ok());
    let Ok(tree) = Node::parse(data, Dialect::Python) else { return };
    let stated = tree.get("metadata").and_then(|metadata| metadata.get("fingerprint_hash"));
    match (verdict.recipe, stated.and_then(Node::as_str)) {
        (Some("raw_sha256"), _) => assert!(tree.get("raw_sha256").and_then(Node::as_str).is_some()),
        (Some(name), stated) => {
            let recipe = Recipe::ALL.into_iter().find(|recipe| recipe.name() == name).expect("a recipe");
            assert_eq!(recipe.fingerprint(data).as_deref(), stated);
        }
        (None, Some(stated)) if stated.len() == 64 => {
            assert!(Recipe::ALL.iter().all(|recipe| recipe.fingerprint(data).as_deref() != Some(stated)));
        }
        (None, _) => {}
    }
}
