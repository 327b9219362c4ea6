//! Strings as JavaScript sees them.

use std::cmp::Ordering;

/// Whether `String.prototype.trim` takes the character away (ECMAScript's `WhiteSpace` and `LineTerminator`). Unlike
/// Rust's, it takes a byte order mark and leaves U+0085.
#[must_use]
pub fn is_white_space(character: char) -> bool {
    character == '\u{feff}' || (character.is_whitespace() && character != '\u{85}')
}

/// `String.prototype.trim`.
#[must_use]
pub fn trim(text: &str) -> &str {
    text.trim_matches(is_white_space)
}

/// `String.prototype.length`: UTF-16 code units.
#[must_use]
pub fn length(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// The order of `Array.prototype.sort` without a comparator: by UTF-16 code units.
#[must_use]
pub fn compare(left: &str, right: &str) -> Ordering {
    left.encode_utf16().cmp(right.encode_utf16())
}

#[cfg(test)]
mod tests {
    use super::{compare, length, trim};
    use std::cmp::Ordering;

    #[test]
    fn trims_what_javascript_trims() {
        let white = "\t\n\u{b}\u{c}\r \u{a0}\u{1680}\u{2000}\u{200a}\u{2028}\u{2029}\u{202f}\u{205f}\u{3000}\u{feff}";
        assert_eq!(trim(&format!("{white}a b{white}")), "a b");
        for kept in ["\u{85}", "\u{200b}", "\u{180e}", "\u{0}", "\u{1c}", "\u{2060}"] {
            assert_eq!(trim(kept), kept);
        }
    }

    #[test]
    fn counts_and_orders_by_code_units() {
        assert_eq!(length("a\u{e9}\u{1f600}"), 4);
        assert_eq!(compare("\u{1f600}", "\u{ffee}"), Ordering::Less);
        assert_eq!(compare("a", "ab"), Ordering::Less);
    }
}
