//! The tree takes what the scanner takes, and holds what `serde_json` reads.

use vvault_native::formats::json::scan;
use vvault_native::formats::json::tree::{Dialect, Node};

use super::reference::Json;

pub fn check(data: &[u8]) {
    let scanned = scan(data, |_, _| {});
    let python = Node::parse(data, Dialect::Python);
    match Node::parse(data, Dialect::JavaScript) {
        Ok(tree) => {
            assert!(scanned.is_ok());
            assert_eq!(python.as_ref(), Ok(&tree));
            if let Some(other) = std::str::from_utf8(data).ok().and_then(Json::read) {
                assert_same(&tree, &other);
            }
        }
        Err(error) if error.problem == "nested too deep" => {}
        Err(error) => assert_eq!(scanned, Err(error)),
    }
    let has = |word: &[u8]| data.windows(word.len()).any(|part| part == word);
    assert!(python.is_err() || scanned.is_ok() || has(b"NaN") || has(b"Infinity"));
}

fn assert_same(own: &Node<'_>, other: &Json) {
    match (own, other) {
        (Node::Null, Json::Null) => {}
        (Node::Bool(own), Json::Bool(other)) => assert_eq!(own, other),
        (Node::Number(own), Json::Number(other)) => assert_eq!(own, other),
        (Node::String(own), Json::String(other)) => assert_eq!(own.as_ref(), other.as_bytes()),
        (Node::Array(own), Json::Array(other)) => {
            assert_eq!(own.len(), other.len());
            own.iter().zip(other).for_each(|(own, other)| assert_same(own, other));
        }
        (Node::Object(own), Json::Object(other)) => {
            assert_eq!(own.len(), other.len());
            for ((own_key, own_value), (key, value)) in own.iter().zip(other) {
                assert_eq!(own_key.as_ref(), key.as_bytes());
                assert_same(own_value, value);
            }
        }
        _ => panic!("{own:?} is of another type"),
    }
}
