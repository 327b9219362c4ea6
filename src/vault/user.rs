//! Where a user's memories lie: `{users}/{user}/`, or `{users}/shard_NNNN/{user}/` where Chatty shards its users.

use std::path::{Component, Path, PathBuf};

use super::Boundary;
use super::directory::Directory;
use crate::Error;

/// A user's folder by name: absolute, and known not to leave the folder of all users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserPath {
    users: PathBuf,
    /// As it was given: with a separator at its end only a folder will do.
    own: PathBuf,
    below: PathBuf,
}

impl UserPath {
    /// `user` is the path that `users` and a user id were joined to, both absolute.
    ///
    /// # Errors
    /// [`Error::OutsideVault`] if the id leads out of `users`, as `../x` does.
    pub fn new(users: &Path, user: &Path) -> Result<Self, Error> {
        match user.strip_prefix(users) {
            Ok(below) if below.components().all(|part| matches!(part, Component::Normal(_))) => {
                Ok(Self { users: users.to_owned(), own: user.to_owned(), below: below.to_owned() })
            }
            _ => Err(Error::OutsideVault { path: user.to_owned() }),
        }
    }
}

/// What is known of a user's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserFolder {
    /// It is there.
    Found(PathBuf),
    /// There is none.
    Missing,
    /// It is a link that leads out of the vault, and is not followed.
    Outside(PathBuf),
}

/// Finds a user's folder: in `users` itself, else in the first of its shards that has it. What leads out of the vault hides
/// none that a later shard has.
#[must_use]
pub fn find_user(path: &UserPath, boundary: &Boundary) -> UserFolder {
    if path.own.exists() {
        return inside(path.own.clone(), boundary);
    }
    let shards = Directory::open(&path.users).and_then(|users| users.list()).unwrap_or_default();
    let mut outside = UserFolder::Missing;
    for shard in shards.into_iter().filter(|name| is_shard(name)) {
        let folder = path.users.join(shard.as_ref()).join(&path.below);
        if !folder.is_dir() {
            continue;
        }
        match inside(folder, boundary) {
            UserFolder::Found(folder) => return UserFolder::Found(folder),
            found if outside == UserFolder::Missing => outside = found,
            _ => {}
        }
    }
    outside
}

fn inside(folder: PathBuf, boundary: &Boundary) -> UserFolder {
    match boundary.resolve(&folder) {
        Ok(Some(_)) => UserFolder::Found(folder),
        Ok(None) => UserFolder::Outside(folder),
        Err(_) => UserFolder::Missing,
    }
}

/// Whether a folder among the users is one of users, as Chatty shards them.
#[must_use]
pub fn is_shard(name: &str) -> bool {
    name.strip_prefix("shard_")
        .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::{UserFolder, UserPath, find_user};
    use crate::Error;
    use crate::vault::Boundary;
    use std::fs;
    use std::path::Path;

    #[test]
    fn a_user_may_not_leave_the_users() {
        let users = Path::new("/vault/users");
        for path in ["/vault/capsules", "/etc", "/vault/users2/x", "/vault", "/vault/users/../x"] {
            assert!(matches!(UserPath::new(users, Path::new(path)), Err(Error::OutsideVault { .. })), "{path}");
        }
        assert!(UserPath::new(users, Path::new("/vault/users/a/b")).is_ok());
    }

    #[test]
    fn shards_are_searched_after_users() {
        let vault = tempfile::tempdir().expect("a folder");
        let users = vault.path().join("users");
        for folder in ["shard_0000/ann", "shard_0001/bob", "shard_0002/bob", "shard_x/eve", "ann"] {
            fs::create_dir_all(users.join(folder)).expect("a folder");
        }
        let boundary = Boundary::new(vault.path()).expect("a vault");
        let find = |user: &str| find_user(&UserPath::new(&users, &users.join(user)).expect("a path"), &boundary);
        assert_eq!(find("ann"), UserFolder::Found(users.join("ann")));
        assert_eq!(find("bob"), UserFolder::Found(users.join("shard_0001/bob")));
        assert_eq!(find("eve"), UserFolder::Missing);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_out_of_the_vault_is_not_followed() {
        let (vault, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let users = vault.path().join("users");
        fs::create_dir_all(users.join("real")).expect("a folder");
        std::os::unix::fs::symlink(other.path(), users.join("out")).expect("a link");
        std::os::unix::fs::symlink("real", users.join("in")).expect("a link");
        let boundary = Boundary::new(vault.path()).expect("a vault");
        let find = |user: &str| find_user(&UserPath::new(&users, &users.join(user)).expect("a path"), &boundary);
        assert_eq!(find("out"), UserFolder::Outside(users.join("out")));
        assert_eq!(find("in"), UserFolder::Found(users.join("in")));
        fs::create_dir(other.path().join("bob")).expect("a folder");
        std::os::unix::fs::symlink(other.path(), users.join("shard_0000")).expect("a link");
        assert_eq!(find("bob"), UserFolder::Outside(users.join("shard_0000/bob")));
        fs::create_dir_all(users.join("shard_0001")).expect("a folder");
        fs::write(users.join("shard_0001/bob"), "").expect("a file");
        fs::create_dir_all(users.join("shard_0002/bob")).expect("a folder");
        assert_eq!(
            find("bob"),
            UserFolder::Found(users.join("shard_0002/bob")),
            "neither a link out nor a file hides him"
        );
    }
}
