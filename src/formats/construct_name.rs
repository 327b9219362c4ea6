//! A construct's name: `nova-001`, `gpt-nova-001`, and for the first of its name `nova` (as `Nova` in a capsule) mean the same.

use unicode_normalization::UnicodeNormalization as _;

/// A construct's name, by which two names can be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConstructName {
    /// Folded, without `gpt-`.
    plain: String,
    /// Where the number begins, if there is one.
    number: Option<usize>,
}

impl ConstructName {
    /// Of a name as somebody wrote it.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let folded = folded(name.trim());
        let plain = folded.strip_prefix("gpt-").unwrap_or(&folded).to_owned();
        let digits = plain.len() - plain.trim_end_matches(|digit: char| digit.is_ascii_digit()).len();
        let number = plain.len() - digits;
        let number = (digits > 0 && plain[..number].ends_with('-') && number > 1).then_some(number);
        Self { plain, number }
    }

    /// The name in the one form that all have that mean the same construct.
    #[must_use]
    pub fn canonical(&self) -> &str {
        if self.is_first() { self.bare() } else { &self.plain }
    }

    /// Whether it tells by a number which of its family it is.
    #[must_use]
    pub fn has_number(&self) -> bool {
        self.number.is_some()
    }

    /// Whether both are the same but for their numbers.
    #[must_use]
    pub fn is_of_family(&self, other: &Self) -> bool {
        self.bare() == other.bare()
    }

    fn bare(&self) -> &str {
        self.number.map_or(&self.plain, |number| &self.plain[..number - 1])
    }

    /// A bare name is that of the first.
    fn is_first(&self) -> bool {
        self.number.is_none_or(|number| &self.plain[number..] == "001")
    }

    /// Whether both mean one construct.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.plain == other.plain
            || self.bare() == other.bare()
                && self.number.is_some() != other.number.is_some()
                && self.is_first()
                && other.is_first()
    }

    /// Whether a file may be named for this construct: it begins as its name does.
    #[must_use]
    pub fn may_name(&self, file: &str) -> bool {
        let first = self.bare().split('-').next().unwrap_or_default();
        let folded = folded(file);
        folded.strip_prefix("gpt-").unwrap_or(&folded).starts_with(first)
    }

    /// Whether a construct of this name may be shown by that one, as simForge has `Luna Nightshade` for `luna-001`: it has no
    /// number, and begins with the same word.
    #[must_use]
    pub fn may_be_shown_as(&self, shown: &str) -> bool {
        let shown = Self::new(shown);
        let first = self.bare().split('-').next().unwrap_or_default();
        let rest = shown.plain.strip_prefix(first).filter(|_| !shown.has_number());
        rest.is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
    }

    /// Whether a capsule in this construct's folder may call itself so: also by the part before the first `-`, as Chatty
    /// makes the name of `x-ray-001` to `X`.
    #[must_use]
    pub fn may_call_itself(&self, own: &str) -> bool {
        let own = Self::new(own);
        self.is_same(&own) || self.plain.strip_prefix(&own.plain).is_some_and(|rest| rest.starts_with('-'))
    }
}

/// In lower case, and composed: macOS and tools that copy from it decompose the names of files (`é` as `e` and an accent).
fn folded(name: &str) -> String {
    let lower = name.to_lowercase();
    if lower.is_ascii() { lower } else { lower.nfc().collect() }
}

#[cfg(test)]
mod tests {
    use super::ConstructName;

    fn is_same(left: &str, right: &str) -> bool {
        let [left, right] = [left, right].map(ConstructName::new);
        assert_eq!(left.is_same(&right), right.is_same(&left));
        left.is_same(&right)
    }

    #[test]
    fn names_of_one_construct() {
        for name in ["nova", "Nova", "nova-001", "gpt-nova-001", "gpt-nova", "NOVA-001"] {
            assert!(is_same("nova-001", name), "{name}");
        }
        for name in ["nova-002", "novak", "nova-001-001", "n", "", "katana-001", "gpt-nova-010"] {
            assert!(!is_same("nova-001", name), "{name}");
        }
        for name in ["nova-002", "nova-777", "nova-1", "nova-01", "nova-0011"] {
            assert!(!is_same("nova", name), "{name}");
        }
        for name in ["Aurora", "aurora-001", "aurora-1769054400001"] {
            assert!(!is_same("aurora-1769054400000", name), "{name}");
        }
        assert!(is_same("x-ray", "x-ray-001"));
        // As HFS+ has it.
        assert!(is_same("zo\u{e9}-001", "Zoe\u{301}"));
        assert!(is_same("\u{1f0}", "J\u{30c}"));
        assert!(ConstructName::new("zo\u{e9}-001").may_name("zoe\u{301}-001.capsule"));
        assert!(!is_same("-001", "001"));
    }

    #[test]
    fn by_what_a_construct_may_be_shown() {
        let name = ConstructName::new("luna-001");
        for shown in ["Luna", "Luna Nightshade", "luna-nightshade", "gpt-luna"] {
            assert!(name.may_be_shown_as(shown), "{shown}");
        }
        for shown in ["Lunaris", "luna-002", "luna-1769054400000", "Nightshade", ""] {
            assert!(!name.may_be_shown_as(shown), "{shown}");
        }
    }

    #[test]
    fn what_a_capsule_may_call_itself() {
        let name = ConstructName::new("x-ray-001");
        for own in ["X", "x-ray", "X-Ray-001", "gpt-x-ray-001"] {
            assert!(name.may_call_itself(own), "{own}");
        }
        for own in ["x-ray-002", "Katana", "x-ra", ""] {
            assert!(!name.may_call_itself(own), "{own}");
        }
    }
}
