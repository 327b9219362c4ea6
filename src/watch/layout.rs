//! Which folders of a vault hold capsules, and which files in them are some.

use std::borrow::Borrow;
use std::ffi::{OsStr, OsString};
use std::ops::Deref;
use std::path::{MAIN_SEPARATOR_STR, Path, PathBuf, is_separator};
use std::sync::Arc;

use crate::index::Directories;
use crate::vault::{PlaceOf, is_capsule, is_memory, is_shard};

/// The folder of constructs' numbered copies in a user's folder.
const COPIES: &str = "capsules";
/// How deep the store's own folder may nest.
const DEEPEST: usize = 8;

/// A path from the vault's root: names, joined. It is compared and hashed as one string, since comparing the components of
/// paths is what a storm would spend its time on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct RelativePath(Arc<OsStr>);

impl RelativePath {
    /// The path of a file in a folder.
    pub(super) fn in_folder(folder: &Path, name: &str) -> Self {
        let mut path = OsString::with_capacity(folder.as_os_str().len() + 1 + name.len());
        path.push(folder);
        path.push(MAIN_SEPARATOR_STR);
        path.push(name);
        Self(path.into())
    }

    /// The path of the folder, as a string; of what lies in the root an empty one.
    pub(super) fn folder(&self) -> &OsStr {
        match self.0.to_str() {
            Some(path) => OsStr::new(path.rsplit_once(is_separator).map_or("", |(folder, _)| folder)),
            None => self.parent().unwrap_or(Path::new("")).as_os_str(),
        }
    }
}

impl Deref for RelativePath {
    type Target = Path;

    fn deref(&self) -> &Path {
        Path::new(&self.0)
    }
}

impl Borrow<OsStr> for RelativePath {
    fn borrow(&self) -> &OsStr {
        &self.0
    }
}

impl<P: AsRef<OsStr>> From<P> for RelativePath {
    fn from(path: P) -> Self {
        Self(path.as_ref().into())
    }
}

/// What a file is, by its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// One memory of a user.
    Memory {
        /// The user's name.
        user: Arc<str>,
    },
    /// A construct's capsule.
    Construct {
        /// The user's name; `None` for one of the vault's own.
        user: Option<Arc<str>>,
        /// The construct's name by its folder, if it has one.
        construct: Option<Arc<str>>,
    },
}

/// Whose folder it is by its name.
#[derive(Debug)]
enum Owner {
    /// An instance's, as a user has it.
    Instance(Arc<str>),
    /// A construct's in the store.
    Construct(Arc<str>),
}

/// A folder that holds capsules.
#[derive(Debug)]
pub(super) struct CapsuleFolder {
    user: Option<Arc<str>>,
    of: Option<Owner>,
    /// Whether memories lie in it.
    has_memories: bool,
    /// Whether constructs' capsules do.
    has_constructs: bool,
    /// Whether a construct's capsule may be called `capsule.json` in it.
    has_identity: bool,
}

impl CapsuleFolder {
    /// Whether it is a folder of one user's memories.
    pub(super) fn has_memories(&self) -> bool {
        self.has_memories
    }

    /// Whether a file of this name in it is a capsule.
    pub(super) fn takes(&self, name: &str) -> bool {
        self.has_constructs && is_capsule(name)
            || self.has_memories && is_memory(name)
            || self.has_identity && name == "capsule.json"
    }

    /// What a file of this name in it is; `None` if it is no capsule.
    pub(super) fn place(&self, name: &str) -> Option<Place> {
        match &self.user {
            Some(user) if self.has_memories && is_memory(name) => Some(Place::Memory { user: user.clone() }),
            user => {
                self.takes(name).then(|| Place::Construct { user: user.clone(), construct: self.construct_of(name) })
            }
        }
    }

    fn construct_of(&self, name: &str) -> Option<Arc<str>> {
        match self.of.as_ref()? {
            Owner::Instance(folder) => Some(PlaceOf::construct_in(folder, name).into()),
            Owner::Construct(folder) => Some(folder.clone()),
        }
    }
}

/// The places of one vault. Paths are relative to its root.
#[derive(Debug)]
pub(super) struct Layout {
    users: Vec<String>,
    capsules: Vec<String>,
}

impl Layout {
    pub(super) fn new(directories: &Directories) -> Self {
        let parts = |path: &str| parts(Path::new(path)).into_iter().map(str::to_owned).collect();
        Self { users: parts(&directories.users), capsules: parts(&directories.capsules) }
    }

    /// Whether a folder holds capsules, or folders that do.
    pub(super) fn has_folder(&self, path: &Path) -> bool {
        let path = parts(path);
        if is_above_or_same(&path, &self.users) {
            return true;
        }
        if let Some((_, rest)) = self.user(&path) {
            return rest.is_empty() || is_in_base(rest) || rest == [COPIES] || is_above_or_same(rest, &self.capsules);
        }
        // A shard, whose users are below it.
        if path.len() == self.users.len() + 1 && self.is_of_users(&path) {
            return true;
        }
        is_in_base(&path) || path.first() == Some(&"capsules") && path.len() <= DEEPEST
    }

    /// What a file is; `None` if it is no capsule.
    pub(super) fn place(&self, file: &Path) -> Option<Place> {
        self.folder(file.parent()?)?.place(file.file_name()?.to_str()?)
    }

    /// What a folder holds; `None` if that are no capsules.
    pub(super) fn folder(&self, folder: &Path) -> Option<CapsuleFolder> {
        let folder = parts(folder);
        if let Some((user, rest)) = self.user(&folder) {
            let user: Option<Arc<str>> = Some(user.into());
            // Whatever the folder of memories is called, constructs' copies lie in one of this name.
            let (has_memories, has_constructs) = (rest == self.capsules, rest == [COPIES]);
            let own = in_base(rest, user.clone()).map(|own| CapsuleFolder { has_memories, ..own });
            return own.or_else(|| {
                (has_memories || has_constructs).then_some(CapsuleFolder {
                    user,
                    of: None,
                    has_memories,
                    has_constructs,
                    has_identity: false,
                })
            });
        }
        if folder.first() == Some(&"capsules") && folder.len() <= DEEPEST {
            return Some(CapsuleFolder {
                user: None,
                of: folder.get(1).map(|name| Owner::Construct((*name).into())),
                has_memories: false,
                has_constructs: true,
                has_identity: false,
            });
        }
        in_base(&folder, None)
    }

    /// The user's folder that a file lies in, else the root.
    pub(super) fn base(&self, file: &Path) -> PathBuf {
        let path = parts(file);
        let own = self.user(&path).map_or(0, |(_, rest)| path.len() - rest.len());
        path[..own].iter().collect()
    }

    fn is_of_users(&self, path: &[&str]) -> bool {
        path.len() >= self.users.len() && path.iter().zip(&self.users).all(|(part, own)| part == own)
    }

    /// The user whose folder a path is or lies in, and the path from there.
    fn user<'a, 'b>(&self, path: &'b [&'a str]) -> Option<(&'a str, &'b [&'a str])> {
        if !self.is_of_users(path) {
            return None;
        }
        let below = &path[self.users.len()..];
        let below = if below.first().is_some_and(|name| is_shard(name)) { &below[1..] } else { below };
        below.split_first().map(|(user, rest)| (*user, rest))
    }
}

/// Whether a folder, from a user's folder or the root, holds a construct's capsules or folders that do.
fn is_in_base(path: &[&str]) -> bool {
    matches!(
        path,
        ["instances" | "account"]
            | ["instances", _]
            | ["instances", _, "identity" | "memup"]
            | ["account", "capsule"]
            | ["account", "capsule", "versions"]
    )
}

/// What a folder holds, from a user's folder or the root.
fn in_base(folder: &[&str], user: Option<Arc<str>>) -> Option<CapsuleFolder> {
    let (of, has_identity) = match folder {
        ["instances", name, "identity"] => (Some(Owner::Instance((*name).into())), true),
        ["instances", name] | ["instances", name, "memup"] => (Some(Owner::Instance((*name).into())), false),
        ["account", "capsule"] | ["account", "capsule", "versions"] => (None, false),
        _ => return None,
    };
    Some(CapsuleFolder { user, of, has_memories: false, has_constructs: true, has_identity })
}

fn is_above_or_same(path: &[&str], other: &[String]) -> bool {
    path.len() <= other.len() && path.iter().zip(other).all(|(part, own)| part == own)
}

/// The names in a path; none if one is not UTF-8, or not a name.
fn parts(path: &Path) -> Vec<&str> {
    let names = path.to_str().unwrap_or("..").split(is_separator).filter(|name| !matches!(*name, "" | "."));
    let mut parts = Vec::with_capacity(8);
    parts.extend(names);
    if parts.contains(&"..") { vec!["\0"] } else { parts }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::{Layout, Place};
    use crate::index::Directories;

    fn layout() -> Layout {
        let [users, capsules, transcripts] = ["users", "capsules", "transcripts"].map(str::to_owned);
        Layout::new(&Directories { users, capsules, transcripts })
    }

    #[test]
    fn every_place_of_a_capsule_is_known_with_its_folders() {
        let constructs = [
            ("capsules/nova.capsule", None, None),
            ("capsules/Nova/Nova_1.capsule", None, Some("Nova")),
            ("capsules/nullshell/deep/x.capsule", None, Some("nullshell")),
            ("instances/nova-001/nova-001.capsule", None, Some("nova-001")),
            ("users/ann/capsules/nova-002.capsule", Some("ann"), None),
            ("users/shard_0000/ann/instances/nova-001/nova-001.capsule", Some("ann"), Some("nova-001")),
            ("users/shard_0000/ann/instances/nova-001/identity/x.capsule", Some("ann"), Some("nova-001")),
            ("users/shard_0000/ann/instances/nova-001/identity/capsule.json", Some("ann"), Some("nova-001")),
            ("users/ann/instances/nova-001/memup/nova-001.capsule", Some("ann"), Some("nova-001")),
            ("users/ann/instances/nova/identity/nova-002.capsule", Some("ann"), Some("nova-002")),
            ("users/ann/account/capsule/current.capsule", Some("ann"), None),
            ("users/ann/account/capsule/versions/v1.capsule", Some("ann"), None),
        ];
        let memories = [("users/ann/capsules/m.json", "ann"), ("users/shard_0001/bob/capsules/m.json", "bob")];
        let layout = layout();
        for (path, user, construct) in constructs {
            let [user, construct] = [user, construct].map(|name: Option<&str>| name.map(Into::into));
            assert_eq!(layout.place(Path::new(path)), Some(Place::Construct { user, construct }), "{path}");
        }
        for (path, user) in memories {
            assert_eq!(layout.place(Path::new(path)), Some(Place::Memory { user: user.into() }), "{path}");
        }
        for path in constructs.iter().map(|(path, ..)| path).chain(memories.iter().map(|(path, _)| path)) {
            let base = layout.base(Path::new(path));
            let base = base.to_str().expect("UTF-8").replace('\\', "/");
            assert!(["", "users/ann", "users/shard_0000/ann", "users/shard_0001/bob"].contains(&&*base), "{base}");
            for folder in Path::new(path).ancestors().skip(1) {
                assert!(layout.has_folder(folder), "{path}: {}", folder.display());
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        /// Else nobody would hear of the capsule.
        #[test]
        fn who_knows_a_capsule_knows_every_folder_above_it(
            path in "(users/(shard_[0-9]/)?[a-z.]{1,3}/)?((capsules|instances|account)/)?\
                ((capsule|versions|identity|memup|[a-z./]{1,3}|\\PC)/){0,9}(x[.]capsule|m[.]json|capsule[.]json|\\PC{0,3})"
        ) {
            let (layout, path) = (layout(), Path::new(&path));
            if layout.place(path).is_some() {
                for folder in path.ancestors().skip(1) {
                    prop_assert!(layout.has_folder(folder), "{}", folder.display());
                }
            }
        }
    }

    /// The folder of memories can have another name; that of constructs' copies has not.
    #[test]
    fn constructs_copies_lie_where_readers_look_for_them() {
        let [users, capsules, transcripts] = ["users", "mem", "transcripts"].map(str::to_owned);
        let layout = Layout::new(&Directories { users, capsules, transcripts });
        let user = || "ann".into();
        let construct = Place::Construct { user: Some(user()), construct: None };
        for (path, place) in [
            ("users/ann/mem/m.json", Some(Place::Memory { user: user() })),
            ("users/ann/mem/nova.capsule", None),
            ("users/ann/capsules/nova.capsule", Some(construct)),
            ("users/ann/capsules/m.json", None),
        ] {
            assert_eq!(layout.place(Path::new(path)), place, "{path}");
            assert!(layout.has_folder(Path::new(path).parent().expect("a folder")), "{path}");
        }
    }

    #[test]
    fn other_files_and_folders_are_none() {
        let layout = layout();
        for path in [
            "x.capsule",
            "users/x.capsule",
            "users/shard_0000/x.capsule",
            "users/ann/m.json",
            "users/ann/capsules/deep/m.json",
            "users/ann/capsules/m.json.tmp",
            "users/ann/transcripts/s/x.txt",
            "users/ann/instances/nova-001/memory.json",
            "users/ann/instances/nova-001/logs/x.capsule",
            "indexes/Nova_index.json",
            "capsules/Nova/.vvault-1.tmp",
            "../x.capsule",
        ] {
            assert_eq!(layout.place(Path::new(path)), None, "{path}");
        }
        for path in
            ["indexes", "users/ann/transcripts", "users/ann/instances/nova-001/chatty", "users/ann/capsules/deep"]
        {
            assert!(!layout.has_folder(Path::new(path)), "{path}");
        }
    }
}
