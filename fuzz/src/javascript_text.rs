//! Trimming, length and order are those of ECMAScript's own description.

use vvault_native::javascript::text::{compare, length, trim};

pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    assert_eq!(trim(&text), trimmed(&text));
    assert_eq!(length(&text), text.encode_utf16().count());
    let middle = text.char_indices().nth(text.chars().count() / 2).map_or(0, |(at, _)| at);
    let (left, right) = text.split_at(middle);
    let units = |text: &str| text.encode_utf16().collect::<Vec<_>>();
    assert_eq!(compare(left, right), units(left).cmp(&units(right)));
}

/// Without the `WhiteSpace` and `LineTerminator` at both ends.
pub fn trimmed(text: &str) -> &str {
    const WHITE: &str = "\t\u{b}\u{c}\u{feff}\n\r\u{2028}\u{2029} \u{a0}\u{1680}\u{2000}\u{2001}\u{2002}\u{2003}\u{2004}\
                         \u{2005}\u{2006}\u{2007}\u{2008}\u{2009}\u{200a}\u{202f}\u{205f}\u{3000}";
    text.trim_matches(|character| WHITE.contains(character))
}
