//! A transcript: one message in one `.txt` file, with a header of `# Key: value` lines (what Chatty's older writer left
//! in `transcripts/{session}/`, and how its `readMemories` took it).

use std::borrow::Cow;

use super::json;
use super::memory::{Member, Memory, Moment, Origin, SessionName};
use crate::javascript::date;
use crate::javascript::text::{self, trim};

/// Reads one transcript of the session folder `session`; `file_name` gives timestamp and role where the text does not.
/// `None` only if the texts are together larger than 4 GiB.
#[must_use]
pub fn parse(content: &str, file_name: &str, session: &str) -> Option<Memory> {
    let mut timestamp: Option<Cow<'_, str>> = None;
    let mut role: Option<&str> = None;
    let mut user = None;
    let mut named_session = None;
    let mut emotions = "null";
    let mut body = "";

    // The header ends at a line that is exactly `# ---`; until then every line is looked at, also after blank ones.
    let mut rest = Some(content);
    while let Some(remaining) = rest {
        let line;
        (line, rest) = match remaining.split_once('\n') {
            Some((line, behind)) => (line, Some(behind)),
            None => (remaining, None),
        };
        if let Some(value) = line.strip_prefix("# Timestamp:") {
            timestamp = Some(Cow::Borrowed(trim(value)));
        } else if let Some(value) = line.strip_prefix("# Role:") {
            role = Some(trim(value));
        } else if let Some(value) = line.strip_prefix("# User:") {
            user = Some(trim(value));
        } else if let Some(value) = line.strip_prefix("# Session:") {
            named_session = Some(trim(value));
        } else if let Some(value) = line.strip_prefix("# Emotions:") {
            if let Ok(value) = json::scan(trim(value).as_bytes(), |_, _| {}) {
                emotions = value.text();
            }
        } else if line == "# ---" {
            body = trim(rest.unwrap_or(""));
            break;
        }
    }

    let present = |text: Option<&str>| text.is_some_and(|text| !text.is_empty());
    if !(present(timestamp.as_deref()) && present(role)) {
        // Both come from the name then, and the stamp's date loses its `-` too: Chatty's way, kept.
        if let Some((stamp, role_in_name)) = stamp_and_role(file_name) {
            timestamp = Some(Cow::Owned(stamp.replace('-', ":")));
            role = Some(role_in_name);
        }
    }

    let as_json = |text: Option<&str>| {
        let mut out = String::new();
        match text {
            Some(text) => json::write_string(&mut out, text),
            None => out.push_str("null"),
        }
        out
    };
    let timestamp = timestamp.as_deref();
    let id = format!("{session}_{}_{}", timestamp.unwrap_or("null"), role.unwrap_or("null"));
    let session = named_session.filter(|session| !session.is_empty()).unwrap_or(session);
    let timestamp_json = as_json(timestamp);
    let moment = match timestamp {
        Some(text) => date::from_iso(text.as_bytes()).map_or(Moment::Undecided, Moment::At),
        None => Moment::At(0.0),
    };
    Memory::new(
        Origin::Transcript,
        &[
            (Member::Id, &as_json(Some(&id))),
            (Member::Timestamp, &timestamp_json),
            (Member::Content, &as_json(Some(body))),
            (Member::Role, &as_json(role)),
            (Member::Session, &as_json(Some(session))),
            (Member::User, &as_json(user)),
            (Member::Emotions, emotions),
            (Member::ContentLength, &text::length(body).to_string()),
        ],
        moment,
        SessionName::None,
    )
}

/// `2025-10-25T21-19-32Z_role.txt`: the stamp and the role. Names with milliseconds are not of this form.
fn stamp_and_role(name: &str) -> Option<(&str, &str)> {
    const PATTERN: &[u8] = b"0000-00-00T00-00-00Z_";
    let (stamp, role) = name.split_at_checked(PATTERN.len())?;
    let fits = |(byte, pattern): (u8, &u8)| if *pattern == b'0' { byte.is_ascii_digit() } else { byte == *pattern };
    if !stamp.bytes().zip(PATTERN).all(fits) {
        return None;
    }
    let role = role.strip_suffix(".txt")?;
    if role.is_empty() || role.contains(['\n', '\r', '\u{2028}', '\u{2029}']) {
        return None;
    }
    Some((&stamp[..stamp.len() - 1], role))
}

#[cfg(test)]
mod tests {
    use super::parse;
    use crate::formats::memory::Moment;

    fn json(content: &str, name: &str) -> serde_json::Value {
        let mut out = String::new();
        parse(content, name, "folder").expect("a memory").write_json(name, "NOW", false, &mut out);
        serde_json::from_str(&out).expect("valid JSON")
    }

    #[test]
    fn reads_header_and_body() {
        let content = "# Timestamp: 2025-10-25T21:19:09.413Z\n# Role: user\n# User: u\n# Session: s\n# Tokens: 4\n\
            # Emotions: {\"joy\": 0.5}\n# ---\n\n  Hi \u{1f600}\nthere\u{feff}\n";
        assert_eq!(
            json(content, "x.txt"),
            serde_json::json!({"id": "folder_2025-10-25T21:19:09.413Z_user", "type": "transcript",
                "timestamp": "2025-10-25T21:19:09.413Z", "content": "Hi \u{1f600}\nthere", "role": "user", "sessionId": "s",
                "userId": "u", "metadata": {"source": "transcript", "sessionId": "s", "emotions": {"joy": 0.5},
                "contentLength": 11}})
        );
    }

    #[test]
    fn takes_stamp_and_role_from_the_name() {
        let memory = json("# Role: user\nno separator", "2025-10-25T21-19-32Z_assistant.v2.txt");
        assert_eq!(memory["timestamp"], "2025:10:25T21:19:32Z");
        assert_eq!(memory["role"], "assistant.v2");
        assert_eq!(memory["content"], "");
        assert_eq!(memory["sessionId"], "folder");
        assert_eq!(json("", "2025-10-25T21-19-32-215Z_user.txt")["id"], "folder_null_null");
        assert_eq!(json("# Role:\n", "a.txt")["role"], "");
        assert_eq!(json("", "2025-10-25T21-19-32Z_a\u{2028}b.txt")["role"], serde_json::Value::Null);
        assert_eq!(parse("", "a.txt", "s").expect("a memory").moment(), Moment::At(0.0));
    }

    #[test]
    fn keeps_the_last_valid_emotions() {
        assert_eq!(
            json("# Emotions: [1]\n# Emotions: {bad\n", "a.txt")["metadata"]["emotions"],
            serde_json::json!([1])
        );
    }

    #[test]
    fn a_line_end_of_windows_is_no_separator() {
        assert_eq!(json("# Role: user\r\n# ---\r\nbody", "a.txt")["content"], "");
    }
}
