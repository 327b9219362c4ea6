use proptest::prelude::*;

use super::{BLOCK, pass_over, pass_over_on_any_processor};
use crate::formats::json::scan;

/// The grammar of an array's numbers, one character at a time: the offset behind the closing bracket.
fn reference(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    let white_space = |at: &mut usize| {
        while matches!(text.get(*at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            *at += 1;
        }
    };
    let digits = |at: &mut usize| {
        let start = *at;
        while matches!(text.get(*at), Some(b'0'..=b'9')) {
            *at += 1;
        }
        *at - start
    };
    loop {
        white_space(&mut at);
        if text.get(at) == Some(&b'-') {
            at += 1;
        }
        let zero = text.get(at) == Some(&b'0');
        let length = digits(&mut at);
        if length == 0 || (zero && length > 1) {
            return None;
        }
        if text.get(at) == Some(&b'.') {
            at += 1;
            if digits(&mut at) == 0 {
                return None;
            }
        }
        if matches!(text.get(at), Some(b'e' | b'E')) {
            at += 1;
            if matches!(text.get(at), Some(b'+' | b'-')) {
                at += 1;
            }
            if digits(&mut at) == 0 {
                return None;
            }
        }
        white_space(&mut at);
        match text.get(at) {
            Some(b',') => at += 1,
            Some(b']') => return Some(at + 1),
            _ => return None,
        }
    }
}

/// The scanner takes what the grammar takes, and what is passed over are whole numbers.
fn check(numbers: &str) {
    let end = reference(numbers.as_bytes());
    // What stands behind the bracket would be refused.
    let array = format!("[{}", &numbers[..end.unwrap_or(numbers.len())]);
    if !numbers.trim_ascii_start().starts_with(']') {
        assert_eq!(scan(array.as_bytes(), |_, _| {}).is_ok(), end.is_some(), "{array:?}");
    }
    for from in array.match_indices(',').map(|(comma, _)| comma + 1).take(2) {
        let passed = pass_over(array.as_bytes(), from);
        assert_eq!(pass_over_on_any_processor(array.as_bytes(), from), passed);
        if passed != from {
            let numbers = array[from..passed].strip_suffix(',').expect("behind a comma");
            assert_eq!(
                reference(format!("{numbers}]").as_bytes()),
                Some(numbers.len() + 1),
                "{numbers:?} in {array:?}"
            );
        }
    }
}

#[test]
fn begins_only_behind_a_comma() {
    let text = "[0.5, 0.25, 0.125, 0.5, 0.25, 0.125, 0.5, 0.25, 0.125, 0.5]";
    for from in
        (0..=text.len() + 1).filter(|from| from.checked_sub(1).and_then(|at| text.as_bytes().get(at)) != Some(&b','))
    {
        assert_eq!(pass_over(text.as_bytes(), from), from);
    }
    assert_eq!(pass_over(b",", 1), 1);
}

#[test]
fn passes_over_an_embedding() {
    for separator in [",", ", ", ",\n    ", ",\r\n\t"] {
        let text = format!("[0.5{}]", format!("{separator}-0.0123{separator}1.5{separator}0{separator}3").repeat(96));
        let passed = pass_over(text.as_bytes(), "[0.5,".len());
        assert!(passed > text.len() - 2 * BLOCK && text[..passed].ends_with(','), "{passed} of {}", text.len());
    }
}

/// A number of every form at every offset from a block's border, valid and broken in each place.
#[test]
fn agrees_at_every_block_border() {
    let numbers = [
        "0", "-0", "7", "-12", "0.5", "-10.25", "1e5", "1E-05", "-2.5e+10", "0e0", "00", "01", "-", "1.", ".5", "+1",
        "1e", "1e+", "1e-", "--1", "1-2", "1.2.3", "1e5.5", "1e5e5", "1 2", "1,,2", "1, ,2", ",1", "0x1", "1e+-5",
        "NaN", "-01", "1.e5", "1+", "1e 5", "- 1", "1 .5",
    ];
    for number in numbers {
        for offset in 0..140 {
            let text = format!("{}{number}, {}5]", " ".repeat(offset), "1.5,".repeat(offset % 7));
            check(&text);
            check(&format!("{}{number}]", "123,".repeat(offset)));
            check(&format!("{}{number},1]", "3,".repeat(offset)));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn agrees_on_any_text(text in "[0-9.,eE+ \n\\]x-]{0,300}") {
        check(&text);
    }

    #[test]
    fn agrees_on_nearly_valid_arrays(
        numbers in prop::collection::vec(("[ \n\t]{0,5}", "-?(0|[1-9][0-9]{0,9})([.][0-9]{1,9})?([eE][+-]?[0-9]{1,3})?", "[ ]{0,3}"), 1..20),
        damage in prop::option::of((any::<prop::sample::Index>(), "[0-9.,eE+ \\]x-]")),
    ) {
        let parts: Vec<String> = numbers.into_iter().map(|(before, number, behind)| before + &number + &behind).collect();
        let mut text = parts.join(",") + "]";
        if let Some((place, character)) = damage {
            let place = place.index(text.len());
            text.replace_range(place..=place, &character);
        }
        check(&text);
    }
}
