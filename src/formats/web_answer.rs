//! A capsule in an answer of VVAULT's web API: `{ success, capsule }`.
//!
//! It stands there as it is: what is parsed and written again has other hashes, as `1.0` becomes `1`.

use super::json::{self, Kind, Value};

/// The answer that gives a capsule. `None` if JavaScript could not parse it, as Python also writes `NaN`, or would find
/// no object.
#[must_use]
pub fn of_capsule(text: &str) -> Option<String> {
    let capsule = json::scan(text.as_bytes(), |_, _| {}).ok()?;
    (capsule.kind() == Kind::Object).then(|| format!("{{\"success\":true,\"capsule\":{text}}}"))
}

/// The text of the capsule in an answer.
///
/// # Errors
/// What the answer is instead, in words.
pub fn capsule_in(answer: &str) -> Result<&str, String> {
    // Of equal keys JavaScript keeps the last value.
    let (mut success, mut capsule, mut error) = (None, None, None);
    let scanned = json::scan(answer.as_bytes(), |key, value| match key.as_ref() {
        b"success" => success = Some(value),
        b"capsule" => capsule = Some(value),
        b"error" => error = Some(value),
        _ => {}
    });
    if let Err(problem) = scanned {
        let kind = if answer.trim_start().starts_with('<') { "a page (HTML)" } else { "no JSON, or half of one" };
        return Err(format!("the answer is {kind}: {}", problem.describe(answer)));
    }
    let is_refused = success.is_some_and(|value: Value<'_>| value.kind() == Kind::False);
    if let Some(capsule) = capsule.filter(|value| value.kind() == Kind::Object && !is_refused) {
        return Ok(capsule.text());
    }
    let said = error.and_then(|value: Value<'_>| value.string());
    let said = said.map(|said| format!(": {}", String::from_utf8_lossy(&said))).unwrap_or_default();
    Err(format!("the answer is no {{ success: true, capsule: {{ … }} }}{said}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capsule_is_given_and_taken_as_it_stands() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        for text in ["{}", " { \"a\" : 1.0, \"b\": [1e5, {\"capsule\":2}] }\n", "{\"capsule\":\"}\\\",{\"}", &deep] {
            let answer = of_capsule(text).expect(text);
            assert_eq!(capsule_in(&answer), Ok(text.trim()));
        }
        for text in ["", "null", "[]", "\"{}\"", "{\"traits\":NaN}", "{} {}", "\u{feff}{}"] {
            assert_eq!(of_capsule(text), None, "{text}");
        }
    }

    #[test]
    fn the_last_capsule_counts_whatever_is_around_it() {
        for (answer, expected) in [
            ("{\"capsule\":{\"a\":1.0},\"x\":{\"capsule\":{}}}", "{\"a\":1.0}"),
            (" {\n \"x\" : {\"capsule\": 1} , \"capsule\"\t:\r\n {\"y\" : 1.50 } \n} ", "{\"y\" : 1.50 }"),
            ("{\"capsule\":1,\"\\u0063apsule\":{\"b\":[2,3]}}", "{\"b\":[2,3]}"),
            ("{\"x\":\"\\\\\",\"capsule\":{\"a\":\"\\\\\\\"\"}}", "{\"a\":\"\\\\\\\"\"}"),
            ("{\"success\":false,\"capsule\":{},\"success\":1}", "{}"),
        ] {
            assert_eq!(capsule_in(answer), Ok(expected), "{answer}");
        }
    }

    #[test]
    fn what_an_answer_is_instead_is_told() {
        for (answer, expected) in [
            ("", "no JSON, or half of one"),
            ("{\"capsule\":{\"a\":NaN}}", "no JSON, or half of one"),
            (" <!doctype html>", "a page (HTML)"),
            ("[]", "{ success: true, capsule: { … } }"),
            ("null", "{ success: true, capsule: { … } }"),
            ("{\"capsule\":{},\"capsule\":[]}", "{ success: true, capsule: { … } }"),
            ("{\"success\":false,\"capsule\":{},\"error\":\"no\\u0041\"}", "{ success: true, capsule: { … } }: noA"),
            ("{\"error\":{}}", "{ success: true, capsule: { … } }"),
        ] {
            let told = capsule_in(answer).expect_err(answer);
            assert!(told.contains(expected), "{answer}: {told}");
        }
    }
}
