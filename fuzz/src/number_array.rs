//! Numbers that are passed over are valid by the grammar, with AVX2 and without.

use vvault_native::formats::json::number_array::{pass_over, pass_over_on_any_processor};

pub fn check(data: &[u8]) {
    compare(data);
    // Once more behind so many valid numbers as the first byte says: it crosses the border of a block elsewhere.
    if let Some((count, rest)) = data.split_first() {
        compare(&[&b"1,".repeat(usize::from(*count)), rest].concat());
    }
}

fn compare(text: &[u8]) {
    for from in 0..=text.len() {
        let passed = pass_over(text, from);
        assert_eq!(pass_over_on_any_processor(text, from), passed);
        if passed != from {
            let numbers = text[from..passed].strip_suffix(b",").expect("behind a comma");
            assert!(numbers.split(|byte| *byte == b',').all(is_number));
        }
    }
}

fn is_number(text: &[u8]) -> bool {
    let is_white = |byte: &u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
    let start = text.iter().position(|byte| !is_white(byte)).unwrap_or(text.len());
    let length = text[start..].iter().rposition(|byte| !is_white(byte)).map_or(0, |last| last + 1);
    let text = &text[start..start + length];
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
