//! Where a construct's capsules lie, and by which names.
//!
//! Chatty and VVAULT keep them in five places of an instance's folder, in folders of copies, and in VVAULT's store, under
//! names that mean the same construct: `nova-001`, `gpt-nova-001`, and for the first of its name `nova` (as `Nova` in a
//! capsule). No reader of theirs looks at all of them.

use std::path::{Path, PathBuf};

use super::{Boundary, Directory};

/// A construct's name, by which two names can be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConstructName {
    /// In lower case, without `gpt-`.
    plain: String,
    /// Where the number begins, if there is one.
    number: Option<usize>,
}

impl ConstructName {
    /// Of a name as somebody wrote it.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let lower = name.trim().to_lowercase();
        let plain = lower.strip_prefix("gpt-").unwrap_or(&lower).to_owned();
        let digits = plain.len() - plain.trim_end_matches(|digit: char| digit.is_ascii_digit()).len();
        let number = plain.len() - digits;
        let number = (digits > 0 && plain[..number].ends_with('-') && number > 1).then_some(number);
        Self { plain, number }
    }

    fn bare(&self) -> &str {
        self.number.map_or(&self.plain, |number| &self.plain[..number - 1])
    }

    /// A bare name is that of the first, and of one whose number nobody counted: the milliseconds at which it was made.
    fn may_go_without_number(&self) -> bool {
        const MILLISECONDS: usize = 13;
        self.number.is_none_or(|number| &self.plain[number..] == "001" || self.plain.len() - number >= MILLISECONDS)
    }

    /// Whether both mean one construct.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.plain == other.plain
            || self.bare() == other.bare()
                && self.number.is_some() != other.number.is_some()
                && self.may_go_without_number()
                && other.may_go_without_number()
    }

    /// Whether both are the same name, not just names of one construct.
    #[must_use]
    pub fn is_same_name(&self, other: &Self) -> bool {
        self.plain == other.plain
    }

    /// Whether a file may be named for this construct: it begins as its name does.
    fn may_name(&self, file: &str) -> bool {
        let first = self.bare().split('-').next().unwrap_or_default();
        let lower = file.to_lowercase();
        lower.strip_prefix("gpt-").unwrap_or(&lower).starts_with(first)
    }

    /// Whether a capsule in this construct's folder may call itself so: also by the part before the first `-`, as Chatty
    /// makes the name of `x-ray-001` to `X`.
    #[must_use]
    pub fn may_call_itself(&self, own: &str) -> bool {
        let own = Self::new(own);
        self.is_same(&own) || self.plain.strip_prefix(&own.plain).is_some_and(|rest| rest.starts_with('-'))
    }
}

/// A file that may be a capsule of the construct.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Where it is.
    pub path: PathBuf,
    /// What its place says.
    pub place: PlaceOf,
}

/// Whose capsule a file's place says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlaceOf {
    /// The construct's that is looked for.
    This,
    /// That is for the capsule to say.
    Anyone,
    /// Another's of its name, unless the capsule says it by the whole name.
    Another,
}

/// The capsule files of a construct below a user's folder (or the vault's own), whatever they hold.
#[must_use]
pub fn candidates(base: &Path, name: &ConstructName, boundary: &Boundary) -> Vec<Candidate> {
    let mut found = Vec::new();
    let instances = base.join("instances");
    let folders = names(&instances, boundary);
    for folder in &folders {
        let own = ConstructName::new(folder);
        // A folder without a number may hold the capsules of several.
        if !own.is_same(name) && (own.number.is_some() || own.bare() != name.bare()) {
            continue;
        }
        let instance = instances.join(&**folder);
        for place in ["", "identity", "memup"] {
            let folder = if place.is_empty() { instance.clone() } else { instance.join(place) };
            for file in capsules(&folder, boundary).filter(|file| place == "identity" || is_capsule(file)) {
                let stem = ConstructName::new(file.trim_end_matches(".capsule"));
                let by_file = own.number.is_none() && stem.number.is_some();
                if if by_file { &stem } else { &own }.is_same(name) {
                    found.push(Candidate { path: folder.join(&*file), place: PlaceOf::This });
                }
            }
        }
    }
    let copies = base.join("capsules");
    for file in capsules(&copies, boundary).filter(|file| is_capsule(file) && name.may_name(file)) {
        // Its number may be the construct's, or count the copies of the first of that name.
        let stem = ConstructName::new(file.trim_end_matches(".capsule"));
        let place = if stem.is_same_name(name) {
            PlaceOf::This
        } else if stem.number.is_some() && folders.iter().any(|folder| ConstructName::new(folder).is_same_name(&stem)) {
            PlaceOf::Another
        } else {
            PlaceOf::Anyone
        };
        found.push(Candidate { path: copies.join(&*file), place });
    }
    let own = base.join("account/capsule/current.capsule");
    if own.is_file() {
        found.push(Candidate { path: own, place: PlaceOf::Anyone });
    }
    found
}

/// The folders of all users, in `users` and in its shards.
#[must_use]
pub fn all_users(users: &Path, boundary: &Boundary) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for name in names(users, boundary) {
        let folder = users.join(&*name);
        if super::is_shard(&name) {
            found.extend(names(&folder, boundary).iter().map(|name| folder.join(&**name)));
        } else {
            found.push(folder);
        }
    }
    found
}

fn names(folder: &Path, boundary: &Boundary) -> Vec<Box<str>> {
    let Ok(Some(real)) = boundary.resolve(folder) else { return Vec::new() };
    Directory::open(&real).and_then(|folder| folder.list()).unwrap_or_default()
}

fn capsules(folder: &Path, boundary: &Boundary) -> impl Iterator<Item = Box<str>> {
    names(folder, boundary).into_iter().filter(|name| is_capsule(name) || &**name == "capsule.json")
}

/// Whether a file's name is that of a construct's capsule.
#[must_use]
#[allow(clippy::case_sensitive_file_extension_comparisons, reason = "VVAULT's own comparison is")]
pub fn is_capsule(name: &str) -> bool {
    name.ends_with(".capsule")
}

/// Whether a file's name is that of a memory capsule.
#[must_use]
#[allow(clippy::case_sensitive_file_extension_comparisons, reason = "Chatty's own comparison is")]
pub fn is_memory(name: &str) -> bool {
    name.ends_with(".json")
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
        assert!(is_same("aurora-1769054400000", "Aurora"));
        assert!(!is_same("aurora-1769054400000", "aurora-001"));
        assert!(is_same("x-ray", "x-ray-001"));
        assert!(!is_same("-001", "001"));
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
