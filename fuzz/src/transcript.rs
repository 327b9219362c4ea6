//! A transcript's memory is valid JSON and has the body that stands behind the separator.
//!
//! The input is the file's name, its session and its text, one behind the other with line breaks between.

use serde_json::{Value, json};
use vvault_native::formats::transcript::parse;

use super::javascript_text::trimmed;

pub fn check(data: &[u8]) {
    let decoded = String::from_utf8_lossy(data);
    let mut parts = decoded.splitn(3, '\n');
    let [name, session, content] = [(); 3].map(|()| parts.next().unwrap_or_default());
    let memory = parse(content, name, session).expect("less than 4 GiB");
    let mut text = String::new();
    memory.write_json(name, "NOW", false, &mut text);
    assert!(vvault_native::formats::json::scan(text.as_bytes(), |_, _| {}).is_ok(), "{text}");

    let lines = format!("\n{content}\n");
    let (header, body) = lines.split_once("\n# ---\n").unwrap_or((&lines, ""));
    let body = trimmed(body);
    // Emotions can be what serde_json can't read.
    let Ok(memory) = serde_json::from_str::<Value>(&text) else { return };
    assert_eq!(memory["content"], body);
    assert_eq!(memory["metadata"]["contentLength"], body.encode_utf16().count());
    let said = |key: &str| header.split('\n').filter_map(|line| line.strip_prefix(key)).next_back().map(trimmed);
    assert_eq!(memory["userId"], json!(said("# User:")));
    assert_eq!(memory["sessionId"], said("# Session:").filter(|own| !own.is_empty()).unwrap_or(session));
    if let (Some(time), Some(role)) = (said("# Timestamp:"), said("# Role:"))
        && !time.is_empty()
        && !role.is_empty()
    {
        assert_eq!([&memory["timestamp"], &memory["role"]], [time, role]);
        assert_eq!(memory["id"], format!("{session}_{time}_{role}"));
    }
}
