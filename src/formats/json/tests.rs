use std::borrow::Cow;

use proptest::prelude::*;

use super::{Kind, SyntaxError, Value, count_outside_strings, scan, scan_python, without_python_numbers, write_string};

type Members = Vec<(Vec<u8>, String)>;

fn members(text: &str) -> Result<(Kind, Members), SyntaxError> {
    let mut members = Vec::new();
    let whole = scan(text.as_bytes(), |key, value| members.push((key.into_owned(), value.text().to_owned())))?;
    Ok((whole.kind(), members))
}

fn value(text: &str) -> Value<'_> {
    scan(text.as_bytes(), |_, _| {}).expect("valid JSON")
}

#[test]
fn reports_members_in_order_with_the_text_of_their_values() {
    let (kind, members) =
        members(r#" { "a" : [1, {"b": 2}] , "\u0061":"x", "c":{}, "":-1.5e3 } "#).expect("valid JSON");
    assert_eq!(kind, Kind::Object);
    let expected = [("a", r#"[1, {"b": 2}]"#), ("a", r#""x""#), ("c", "{}"), ("", "-1.5e3")];
    assert_eq!(members, expected.map(|(key, text)| (key.as_bytes().to_vec(), text.to_owned())));
}

#[test]
fn counts_what_stands_outside_of_strings() {
    let count = |text: &str| count_outside_strings(text, |byte| byte == b',');
    for (text, commas) in [("", 0), (",\",", 1), (r#"["a,b\",",[1,2],"\\",3,"\\\",,"]"#, 5), (r#""\"#, 0), (r#"","#, 0)]
    {
        assert_eq!(count(text), commas, "{text}");
    }
}

#[test]
fn refuses_what_javascript_refuses() {
    let refused = [
        "",
        " ",
        "{",
        "}",
        "[",
        "]",
        "{]",
        "[}",
        "[1,]",
        "[,1]",
        "{\"a\":1,}",
        "{,}",
        "{a:1}",
        "{'a':1}",
        "{\"a\" 1}",
        "{\"a\":}",
        "{\"a\"}",
        "tru",
        "truex",
        "nul",
        "True",
        "NaN",
        "Infinity",
        "01",
        "-",
        "1.",
        ".5",
        "+1",
        "1e",
        "1 2",
        "\"a",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"\\",
        "\"a\nb\"",
        "\"\u{0}\"",
        "\u{feff}{}",
        "{}\u{feff}",
        "\u{a0}1",
        "{} x",
        "[1] ]",
        "// c\n1",
        "[1 /* c */]",
        "\u{b}1",
        "\u{c}1",
        "[\"a\" \"b\"]",
        "{\"a\":1 \"b\":2}",
        "{\"embedding\":[0.5,1.,2]}",
        "[[[1],[2,]]]",
    ];
    for text in refused {
        assert!(scan(text.as_bytes(), |_, _| {}).is_err(), "{text:?} was taken");
    }
}

#[test]
fn takes_what_javascript_takes() {
    for text in [
        "null",
        " true\t",
        "\r\nfalse",
        "0",
        "-0",
        "1e999",
        "\"\\ud800\"",
        "\"\u{7f}\u{2028}\"",
        "[ ]",
        "{ }",
        "[[],{}]",
    ] {
        assert!(scan(text.as_bytes(), |_, _| {}).is_ok(), "{text:?} was refused");
    }
}

#[test]
fn refuses_strings_that_are_not_utf8() {
    for text in [&b"\"\xff\""[..], b"{\"\xc3\":1}", b"[\"\xed\xa0\x80\"]", b"\xc3\xa9"] {
        assert!(scan(text, |_, _| {}).is_err());
    }
    assert_eq!(scan(b"\"a\xff\"", |_, _| {}).expect_err("not UTF-8").offset, 2);
}

#[test]
fn nesting_of_millions_takes_no_stack() {
    let depth = 5_000_000;
    let text = "[".repeat(depth) + &"]".repeat(depth);
    assert_eq!(value(&text).kind(), Kind::Array);
    assert!(scan(&text.as_bytes()[1..], |_, _| {}).is_err());
    let objects = "{\"a\":".repeat(100_000) + "1" + &"}".repeat(100_000);
    assert_eq!(value(&objects).kind(), Kind::Object);
}

#[test]
fn truthiness_is_javascripts() {
    for text in ["null", "false", "0", "-0", "0.0", "-0e5", "1e-999", "\"\""] {
        assert!(!value(text).is_truthy(), "{text}");
    }
    for text in ["true", "1", "-1e-300", "1e999", "\"0\"", "\" \"", "\"\\u0000\"", "[]", "{}"] {
        assert!(value(text).is_truthy(), "{text}");
    }
}

#[test]
fn strings_decode_to_wtf8() {
    let decoded = |text| value(text).string().expect("a string").into_owned();
    assert_eq!(decoded(r#""a\n\t\"\\\/\b\f\r\u00e9""#), "a\n\t\"\\/\u{8}\u{c}\r\u{e9}".as_bytes());
    assert_eq!(decoded(r#""\ud83d\ude00""#), "\u{1f600}".as_bytes());
    assert_eq!(decoded(r#""\ud83d""#), b"\xed\xa0\xbd");
    assert_eq!(decoded(r#""\ud83dx\ude00""#), b"\xed\xa0\xbdx\xed\xb8\x80");
    assert_eq!(decoded(r#""\ud83d\u0041""#), b"\xed\xa0\xbdA");
}

#[test]
fn an_error_names_its_place() {
    let text = "{\n  \"é\": tru }";
    let error = scan(text.as_bytes(), |_, _| {}).expect_err("invalid JSON");
    assert_eq!(error.describe(text), "expected a value in JSON at line 2 column 11 (byte 13)");
    let marked = "\u{feff}{}";
    let error = scan(marked.as_bytes(), |_, _| {}).expect_err("an error");
    assert_eq!(error.describe(marked), "a byte order mark before the first value in JSON at line 1 column 1 (byte 0)");
}

proptest! {
    /// Against a second implementation; it differs from V8 only in what the generator leaves out (lone surrogates,
    /// nesting beyond 128, numbers beyond a double).
    #[test]
    fn agrees_with_serde_json(text in r#"([\[\]{},:"ab01.e \n-]|true|null|"a":|\\n|\\u00e9){0,40}"#) {
        let other = serde_json::from_str::<serde::de::IgnoredAny>(&text);
        prop_assert_eq!(scan(text.as_bytes(), |_, _| {}).is_ok(), other.is_ok(), "{:?}", other);
    }

    #[test]
    fn never_panics(text in any::<String>()) {
        let _ = scan(text.as_bytes(), |_, value| { let _ = (value.is_truthy(), value.string(), value.number()); });
    }

    #[test]
    fn written_strings_read_back(text in any::<String>()) {
        let mut written = String::new();
        write_string(&mut written, &text);
        prop_assert_eq!(value(&written).string().expect("a string").into_owned(), text.as_bytes());
        prop_assert_eq!(serde_json::from_str::<String>(&written).expect("valid JSON"), text);
    }
}

#[test]
fn numbers_that_only_python_has_become_null() {
    let text = r#"{"NaN": [NaN, -Infinity,Infinity , "NaN \" -Infinity", -1, null], "a": NaN, "é": {"N": 5}}"#;
    assert!(scan(text.as_bytes(), |_, _| {}).is_err());
    assert!(scan_python(text.as_bytes(), |_, _| {}).is_ok());
    let plain = without_python_numbers(text).expect("JSON");
    assert_eq!(plain, r#"{"NaN": [null, null,null , "NaN \" -Infinity", -1, null], "a": null, "é": {"N": 5}}"#);
    assert!(matches!(without_python_numbers("[1]"), Some(Cow::Borrowed("[1]"))));
    for text in ["[nan]", "[-NaN]", "[Inf]", "[NaNN]", "{NaN: 1}", "[+Infinity]", "[- Infinity]", "{"] {
        assert_eq!(without_python_numbers(text), None, "{text}");
    }
}
