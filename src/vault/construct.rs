//! Where a construct's capsules lie, and by which names.
//!
//! Chatty and VVAULT keep them in five places of an instance's folder, in folders of copies, and in VVAULT's store, under
//! names that mean the same construct: `nova-001`, `gpt-nova-001`, and for the first of its name `nova` (as `Nova` in a
//! capsule). No reader of theirs looks at all of them.

use std::io;
use std::path::{Path, PathBuf};

use super::{Boundary, Directory};
use crate::Error;
use crate::formats::construct_name::ConstructName;

/// What the place of a capsule file says of whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlaceOf {
    /// The construct's of this name.
    Construct(String),
    /// An instance's of VVAULT's store, which files capsules by the name that they show.
    Stored(String),
    /// A copy of this name, whose number may be the construct's, or count the copies of the first of its name; not these if
    /// there is a construct of that number.
    Copy {
        /// The file's name without its ending.
        name: String,
        /// Whether there is one.
        is_taken: bool,
    },
    /// Nothing.
    Anyone,
    /// That no construct is looked for here.
    Nobody,
}

impl PlaceOf {
    /// Of a file in the folder of copies, beside the folders of these instances.
    fn in_copies(file: &str, instances: &[ConstructName]) -> Self {
        let name = ConstructName::new(stem(file));
        let is_taken = name.has_number() && instances.contains(&name);
        Self::Copy { name: stem(file).to_owned(), is_taken }
    }

    /// The construct of a file in one of an instance's folders: one without a number may hold the capsules of several.
    #[must_use]
    pub fn construct_in<'a>(folder: &'a str, file: &'a str) -> &'a str {
        let name = stem(file);
        let [own, by_file] = [folder, name].map(ConstructName::new);
        if !own.has_number() && by_file.has_number() && own.is_of_family(&by_file) { name } else { folder }
    }

    /// Of a file below a user's folder, or the vault's root, with what [`instances`] gives for that.
    #[must_use]
    pub fn of(base: &Path, file: &Path, instances: &[ConstructName]) -> Self {
        let path = file.strip_prefix(base).ok().into_iter().flatten();
        match path.filter_map(|name| name.to_str()).collect::<Vec<&str>>()[..] {
            ["instances", folder, .., file] => Self::Construct(Self::construct_in(folder, file).to_owned()),
            ["capsules", file] => Self::in_copies(file, instances),
            ["capsules", instance, _] => Self::Stored(instance.to_owned()),
            ["account", "capsule", "current.capsule"] => Self::Anyone,
            _ => Self::Nobody,
        }
    }

    /// The names of the constructs whose capsule it is, if it calls itself so, and shows this name; the one that it is most likely
    /// meant for first.
    #[must_use]
    pub fn names<'a>(&'a self, own: Option<&'a str>, shown: Option<&str>) -> Vec<&'a str> {
        match (self, own) {
            (Self::Construct(name) | Self::Stored(name) | Self::Copy { name, .. }, None) => vec![name],
            (Self::Construct(name) | Self::Stored(name), Some(own))
                if ConstructName::new(name).may_call_itself(own) =>
            {
                vec![name]
            }
            (Self::Stored(name), Some(own)) => {
                let is_filed = shown.is_some_and(|shown| ConstructName::new(shown).is_same(&ConstructName::new(name)));
                // Else nobody looks here.
                let is_found = is_filed && ConstructName::new(own).may_be_shown_as(name);
                is_found.then_some(own).into_iter().collect()
            }
            (Self::Copy { name, is_taken }, Some(own)) => {
                let meant = ConstructName::new(own);
                let is_own = meant.may_name(name) && (!*is_taken || meant.has_number());
                let by_name = ConstructName::new(name).may_call_itself(own).then_some(&**name);
                is_own.then_some(own).into_iter().chain(by_name).collect()
            }
            (Self::Anyone, own) => own.into_iter().collect(),
            (Self::Construct(_), Some(_)) | (Self::Nobody, _) => Vec::new(),
        }
    }
}

/// The instances that have folders below a user's, or the vault's root.
#[must_use]
pub fn instances(base: &Path, boundary: &Boundary) -> Vec<ConstructName> {
    let folders = names(&base.join(INSTANCES), boundary).unwrap_or_default();
    folders.iter().map(|folder| ConstructName::new(folder)).collect()
}

/// A file that may be a capsule of the construct, if it calls itself so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Where it is.
    pub path: PathBuf,
    /// What its place says.
    pub place: PlaceOf,
}

/// The capsule files of a construct below a user's folder (or the vault's own), whatever they hold. A folder that is there and
/// can't be looked into is told to `closed`.
#[must_use]
pub fn candidates(
    base: &Path,
    name: &ConstructName,
    boundary: &Boundary,
    closed: &mut impl FnMut(Error),
) -> Vec<Candidate> {
    let mut found = Vec::new();
    let mut names = |folder: &Path| names(folder, boundary).map_err(&mut *closed).unwrap_or_default();
    let folders = names(&base.join(INSTANCES));
    let instances: Vec<ConstructName> = folders.iter().map(|folder| ConstructName::new(folder)).collect();
    for (folder, _) in folders.iter().zip(&instances).filter(|(_, own)| own.is_of_family(name)) {
        for below in ["", "identity", "memup"] {
            let path: PathBuf = [base, Path::new(INSTANCES), Path::new(&**folder), Path::new(below)].iter().collect();
            let is_one = |file: &str| is_capsule(file) || below == "identity" && file == "capsule.json";
            for file in names(&path).into_iter().filter(|file| is_one(file)) {
                let own = PlaceOf::construct_in(folder, &file);
                if ConstructName::new(own).is_same(name) {
                    found.push(Candidate { path: path.join(&*file), place: PlaceOf::Construct(own.to_owned()) });
                }
            }
        }
    }
    let copies = base.join("capsules");
    for file in names(&copies).into_iter().filter(|file| is_capsule(file) && name.may_name(file)) {
        found.push(Candidate { path: copies.join(&*file), place: PlaceOf::in_copies(&file, &instances) });
    }
    let own = base.join("account/capsule/current.capsule");
    if own.is_file() {
        found.push(Candidate { path: own, place: PlaceOf::Anyone });
    }
    found
}

/// The folder of all instances, in a user's folder or the vault's root.
const INSTANCES: &str = "instances";

fn stem(file: &str) -> &str {
    file.strip_suffix(".capsule").unwrap_or(file)
}

/// The folders of all users, in `users` and in its shards. One that can't be looked into is told to `closed`.
#[must_use]
pub fn all_users(users: &Path, boundary: &Boundary, closed: &mut impl FnMut(Error)) -> Vec<PathBuf> {
    let mut names = |folder: &Path| names(folder, boundary).map_err(&mut *closed).unwrap_or_default();
    let mut found = Vec::new();
    for name in names(users) {
        let folder = users.join(&*name);
        if super::is_shard(&name) {
            found.extend(names(&folder).iter().map(|name| folder.join(&**name)));
        } else {
            found.push(folder);
        }
    }
    found
}

/// The names in a folder; none if it is not there, or outside.
fn names(folder: &Path, boundary: &Boundary) -> Result<Vec<Box<str>>, Error> {
    let names = || match boundary.resolve(folder)? {
        Some(real) => Directory::open(&real)?.list(),
        None => Ok(Vec::new()),
    };
    names().or_else(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(Vec::new()),
        _ => Err(Error::system(&error, "scandir", folder)),
    })
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
