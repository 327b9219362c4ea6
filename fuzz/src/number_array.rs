//! The scanner with AVX2, the one without and the grammar read one character at a time find the same end.

use vvault_native::formats::json::number_array::{end, end_on_any_processor};

pub fn check(data: &[u8]) {
    compare(data);
    // Once more behind so many valid numbers as the first byte says: it crosses the border of a block elsewhere.
    if let Some((count, rest)) = data.split_first() {
        compare(&[&b"1,".repeat(usize::from(*count)), rest].concat());
    }
}

fn compare(text: &[u8]) {
    let expected = by_grammar(text);
    assert_eq!(end(text, 0), expected);
    assert_eq!(end_on_any_processor(text, 0), expected);
}

fn by_grammar(text: &[u8]) -> Option<usize> {
    let bracket = text.iter().position(|byte| *byte == b']')?;
    let is_white = |byte: &u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
    let mut items = text[..bracket].split(|byte| *byte == b',');
    items
        .all(|item| {
            let start = item.iter().position(|byte| !is_white(byte)).unwrap_or(item.len());
            let length = item[start..].iter().rposition(|byte| !is_white(byte)).map_or(0, |last| last + 1);
            is_number(&item[start..start + length])
        })
        .then_some(bracket + 1)
}

fn is_number(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let (mantissa, exponent) = split(text, |byte| matches!(byte, b'e' | b'E'));
    let (whole, fraction) = split(mantissa, |byte| *byte == b'.');
    let are_digits = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let exponent = exponent.map(|text| text.strip_prefix(b"+").or(text.strip_prefix(b"-")).unwrap_or(text));
    are_digits(whole)
        && (whole.len() == 1 || whole[0] != b'0')
        && fraction.is_none_or(are_digits)
        && exponent.is_none_or(are_digits)
}

fn split(text: &[u8], at: impl Fn(&u8) -> bool) -> (&[u8], Option<&[u8]>) {
    match text.iter().position(at) {
        Some(place) => (&text[..place], Some(&text[place + 1..])),
        None => (text, None),
    }
}
