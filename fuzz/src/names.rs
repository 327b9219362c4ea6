//! No name leads out of the vault, names of constructs compare alike from both sides, and a cursor reads back.

use std::path::{Component, Path};

use vvault_native::formats::construct_name::ConstructName;
use vvault_native::vault::{UserPath, is_shard};
use vvault_native::watch::Cursor;

pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let users = Path::new("/vault/users");
    let path = users.join(&*text);
    if UserPath::new(users, &path).is_ok() {
        assert!(path.starts_with(users) && path.components().all(|part| part != Component::ParentDir), "{text:?}");
    }
    let _ = is_shard(&text);
    if let Some(cursor) = Cursor::parse(&text) {
        assert_eq!(Cursor::parse(&cursor.to_string()), Some(cursor));
    }

    let (left, right) = text.split_once('\n').unwrap_or((&text, ""));
    let [name, other] = [left, right].map(ConstructName::new);
    assert_eq!(name.is_same(&other), other.is_same(&name), "{text:?}");
    assert!(name.may_call_itself(right) || !name.is_same(&other));
    assert_eq!(name.canonical() == other.canonical(), name.is_same(&other), "{text:?}");
    let same = [left.to_owned(), format!("gpt-{}", left.trim()), left.to_lowercase()];
    for own in same.iter().filter(|_| !left.trim().to_lowercase().starts_with("gpt-")) {
        assert!(ConstructName::new(own).is_same(&name), "{own:?}");
    }
}
