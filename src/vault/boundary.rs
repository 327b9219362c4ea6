//! The vault's border, which no link may lead across.

use std::io;
use std::path::{Path, PathBuf};

/// The real path of a vault's root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boundary {
    root: PathBuf,
}

impl Boundary {
    /// The border of the vault at `root`.
    ///
    /// # Errors
    /// If the root can't be resolved, as when it does not exist.
    pub fn new(root: &Path) -> io::Result<Self> {
        Ok(Self { root: root.canonicalize()? })
    }

    /// Where the vault is.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether this is where the vault is.
    #[must_use]
    pub fn is_at(&self, root: &Path) -> bool {
        self.root == root
    }

    /// Whether the vault is still there.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.root.is_dir()
    }

    /// No border, for a path that the caller itself named.
    #[must_use]
    pub fn none() -> Self {
        // Every path starts with the empty one.
        Self { root: PathBuf::new() }
    }

    /// The real path that `path` leads to, or `None` if that is outside.
    ///
    /// # Errors
    /// If nothing is there, or it can't be looked at.
    pub fn resolve(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        let real = path.canonicalize()?;
        Ok(if real.starts_with(&self.root) { Some(real) } else { None })
    }
}
