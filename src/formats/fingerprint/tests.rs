use std::path::Path;

use serde::Deserialize;

use super::{Recipe, sha256};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Recorded {
    name: String,
    text: Option<String>,
    base64: Option<String>,
    f1: Option<String>,
    f2: Option<String>,
    f3: Option<String>,
    f4: Option<String>,
}

fn decode(base64: &str) -> Vec<u8> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = base64.bytes().filter(|byte| *byte != b'=').map(value).collect();
    let bits = digits
        .chunks(4)
        .map(|chunk| chunk.iter().fold(0_u32, |bits, digit| bits << 6 | u32::from(*digit)) << (6 * (4 - chunk.len())));
    let mut bytes: Vec<u8> = bits.flat_map(|bits| bits.to_be_bytes().into_iter().skip(1)).collect();
    bytes.truncate(digits.len() * 6 / 8);
    bytes
}

/// Recorded from the real CapsuleForge, VVAULTCore, capsuleIntegrityValidator and simForge (`scripts/record-fingerprints.py`).
#[test]
fn equals_the_real_programs_on_thousands_of_texts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("__test__/recorded/fingerprints");
    let mut compared = 0;
    for name in ["python.json", "node.json", "numbers.json", "odd.json"] {
        let recorded = std::fs::read(folder.join(name)).expect("the recording");
        let recorded: Vec<Recorded> = serde_json::from_slice(&recorded).expect("the recording");
        for Recorded { name, text, base64, f1, f2, f3, f4 } in recorded {
            let text = text.map_or_else(|| decode(&base64.expect("a text")), String::into_bytes);
            // A capsule is an object; the programs hash some other values too, which is of no use.
            let is_object = text.trim_ascii_start().starts_with(b"{");
            let of_object = |hash: Option<String>| hash.filter(|_| is_object);
            let expected = [
                (Recipe::CapsuleForge, of_object(f1)),
                (Recipe::VvaultCore, of_object(f2)),
                (Recipe::ChattyValidator, of_object(f3)),
                (Recipe::SimForge, of_object(f4)),
            ];
            for (recipe, expected) in expected {
                assert_eq!(
                    recipe.fingerprint(&text),
                    expected,
                    "{} of {name}: {}",
                    recipe.name(),
                    String::from_utf8_lossy(&text)
                );
                compared += 1;
            }
        }
    }
    assert!(compared > 10_000, "only {compared}");
}

/// Looking for each of the keys in each of the objects would take minutes.
#[test]
fn many_keys_and_many_objects_are_no_bomb() {
    let keys: Vec<String> = (0..100_000).map(|key| format!("\"k{key}\":0")).collect();
    let text = format!("{{{},\"z\":[{}0]}}", keys.join(","), "{},".repeat(100_000));
    assert!(Recipe::ChattyValidator.fingerprint(text.as_bytes()).is_some());
}

/// In F3's text each item has a line of its own, with all of its indentation. Node.js has no string of these 600 MB.
#[test]
fn deep_nesting_is_no_bomb() {
    let nested = |items| format!("{{\"a\":{}{}0{}}}", "[".repeat(980), "0,".repeat(items), "]".repeat(980));
    let hash = |items| Recipe::ChattyValidator.fingerprint(nested(items).as_bytes());
    assert!(hash(100).is_some());
    assert_eq!(hash(300_000), None);
}

#[test]
fn raw_is_hashed_as_it_is() {
    assert_eq!(sha256(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}
