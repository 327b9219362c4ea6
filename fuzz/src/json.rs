//! The scanner takes what `serde_json` takes, and what it says of a text is true of that text.

use serde_json::value::RawValue;
use vvault_native::formats::json::{Kind, Value, items, members, scan, scan_first, string, write_string};

pub fn check(data: &[u8]) {
    let mut seen = Vec::new();
    let scanned = scan(data, |key, value| seen.push((key.into_owned(), value)));
    let text = std::str::from_utf8(data);
    // Ignoring a value, serde_json looks neither at surrogates nor at depth nor at a number's size.
    let other = text.ok().and_then(|text| serde_json::from_str::<&RawValue>(text).ok());
    assert_eq!(scanned.map(|whole| whole.text()).ok(), other.map(RawValue::get));

    match (scan_first(data, |_, _| {}), scanned) {
        (Ok(first), Ok(whole)) => assert_eq!(first, whole),
        (Ok(first), Err(_)) => assert_eq!(scan(first.text().as_bytes(), |_, _| {}), Ok(first)),
        (Err(error), whole) => assert_eq!(whole, Err(error)),
    }
    let whole = match scanned {
        Ok(whole) => whole,
        Err(error) => {
            assert!(error.offset <= data.len());
            let described = error.describe(&String::from_utf8_lossy(data));
            // Of a byte order mark it says that.
            assert!(described.contains(error.problem) || data.starts_with("\u{feff}".as_bytes()));
            return;
        }
    };
    for (key, value) in &seen {
        assert_eq!(scan(value.text().as_bytes(), |_, _| {}), Ok(*value));
        if let Ok(key) = std::str::from_utf8(key)
            && let [Some(last)] = members(whole.text(), [key])
        {
            let expected = seen.iter().rev().find(|(other, _)| other == key.as_bytes());
            assert_eq!(expected.map(|(_, value)| *value), Some(last));
        }
    }
    match whole.kind() {
        Kind::Array => {
            let others: Vec<&RawValue> = serde_json::from_str(whole.text()).expect("an array");
            let own: Vec<_> = items(whole.text()).iter().map(Value::text).collect();
            assert_eq!(own, others.into_iter().map(RawValue::get).collect::<Vec<_>>());
        }
        Kind::Number => assert_eq!(whole.number(), whole.text().parse().ok()),
        Kind::String => {
            let own = whole.string().expect("a string");
            assert_eq!(string(whole.text()).as_ref(), Some(&own));
            // serde_json refuses lone surrogates, for which the own text is no UTF-8.
            let other = serde_json::from_str::<String>(whole.text()).ok();
            assert_eq!(std::str::from_utf8(&own).ok(), other.as_deref());
            if let Some(decoded) = other {
                let mut written = String::new();
                write_string(&mut written, &decoded);
                assert_eq!(written, serde_json::to_string(&decoded).expect("JSON"));
            }
        }
        _ => {}
    }
}
