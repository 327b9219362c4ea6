use proptest::prelude::*;

use super::end;

/// The grammar once more, one character at a time.
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

#[test]
fn ends_behind_the_bracket() {
    assert_eq!(end(b"1]", 0), Some(2));
    assert_eq!(end(b"[ -0.5e-7 , 12\n] , [3]", 1), Some(16));
    assert_eq!(end(b"1", 0), None);
    assert_eq!(end(b"", 0), None);
    assert_eq!(end(b"]", 0), None);
    assert_eq!(end(b"1,]", 0), None);
    assert_eq!(end(b"\"a\"]", 0), None);
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
            assert_eq!(end(text.as_bytes(), 0), reference(text.as_bytes()), "{text:?}");
            let text = format!("{}{number}]", "123,".repeat(offset));
            assert_eq!(end(text.as_bytes(), 0), reference(text.as_bytes()), "{text:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn agrees_on_any_text(text in "[0-9.,eE+ \n\\]x-]{0,300}") {
        prop_assert_eq!(end(text.as_bytes(), 0), reference(text.as_bytes()));
    }

    #[test]
    fn agrees_on_nearly_valid_arrays(
        numbers in prop::collection::vec(("[ \n\t]{0,5}", "-?(0|[1-9][0-9]{0,9})([.][0-9]{1,9})?([eE][+-]?[0-9]{1,3})?", "[ ]{0,3}"), 1..60),
        damage in prop::option::of((any::<prop::sample::Index>(), "[0-9.,eE+ \\]x-]")),
    ) {
        let parts: Vec<String> = numbers.into_iter().map(|(before, number, behind)| before + &number + &behind).collect();
        let mut text = parts.join(",") + "]";
        if let Some((place, character)) = damage {
            let place = place.index(text.len());
            text.replace_range(place..=place, &character);
        }
        prop_assert_eq!(end(text.as_bytes(), 0), reference(text.as_bytes()));
    }
}
