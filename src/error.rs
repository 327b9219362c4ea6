//! What can go wrong, in one enum.

use std::path::{Path, PathBuf};

/// An error of the engine. In JavaScript it is an `Error` with this code and path.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A name from outside would lead out of the vault.
    #[error("{} leads out of the vault: use a name without '..'", path.display())]
    OutsideVault {
        /// Where it would lead.
        path: PathBuf,
    },
    /// A date could not be made from a memory's timestamp: what JavaScript threw.
    #[error("{message}")]
    Timestamp {
        /// JavaScript's own message.
        message: String,
    },
    /// What should be a capsule is something else.
    #[error("not a capsule: {message}")]
    NotACapsule {
        /// What a capsule is.
        message: String,
    },
    /// A defect of the engine itself, kept from Node.js.
    #[error("internal error: {message} (please report it)")]
    Internal {
        /// What is known of it.
        message: String,
    },
}

impl Error {
    /// The stable code: what a program may compare with.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::OutsideVault { .. } => "VVAULT_OUTSIDE",
            Self::Timestamp { .. } => "VVAULT_TIMESTAMP",
            Self::NotACapsule { .. } => "VVAULT_NOT_A_CAPSULE",
            Self::Internal { .. } => "VVAULT_INTERNAL",
        }
    }

    /// The path concerned, if there is one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::OutsideVault { path } => Some(path),
            Self::Timestamp { .. } | Self::NotACapsule { .. } | Self::Internal { .. } => None,
        }
    }
}
