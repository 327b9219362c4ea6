//! What can go wrong, in one enum.

use std::io;
use std::path::{Path, PathBuf};

use crate::vault::{FileProblem, describe};

/// An error of the engine. In JavaScript it is an `Error` with this code and path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A name from outside, or a link, would lead out of the vault.
    #[error("{} leads out of the vault: use names without '..', and links that end inside", path.display())]
    OutsideVault {
        /// Where it would lead.
        path: PathBuf,
    },
    /// A date could not be made from a memory's timestamp: what JavaScript threw.
    #[error("{message}")]
    Timestamp {
        /// JavaScript's own message.
        message: String,
        /// The memory's file.
        path: PathBuf,
    },
    /// What should be a capsule is something else.
    #[error("not a capsule: {message}")]
    NotACapsule {
        /// What a capsule is.
        message: String,
    },
    /// There is no vault where one was to be opened.
    #[error("there is no vault at {}: {problem}", path.display())]
    NoVault {
        /// Where.
        path: PathBuf,
        /// Why not, and what to do.
        problem: &'static str,
    },
    /// A name that can't be an instance's.
    #[error("{name:?} can't be the name of an instance: {problem}")]
    InvalidName {
        /// The name.
        name: String,
        /// Why not.
        problem: &'static str,
    },
    /// What is to be stored is no capsule that VVAULT could store.
    #[error("Invalid capsule structure: {problem}")]
    InvalidCapsule {
        /// Why not.
        problem: String,
    },
    /// A capsule is not what its writer wrote.
    #[error("the capsule is not sound: {reason}")]
    Unsound {
        /// Why not.
        reason: String,
        /// Its file; `None` for one that was handed over.
        path: Option<PathBuf>,
    },
    /// A capsule is larger than allowed.
    #[error("the capsule has {size} bytes; at most {limit} are taken (maxCapsuleBytes)")]
    TooLarge {
        /// Its size in bytes.
        size: u64,
        /// The allowed size in bytes.
        limit: u64,
    },
    /// Another process has kept an instance locked.
    #[error("another process has kept {} locked for {seconds} s: is it stopped?", path.display())]
    Busy {
        /// The lock's file.
        path: PathBuf,
        /// How long was waited.
        seconds: u64,
    },
    /// What was given as a cursor is none.
    #[error("{cursor:?} is no cursor: give one that an event or a page of memories carried")]
    InvalidCursor {
        /// What was given.
        cursor: String,
    },
    /// No sound capsule of a construct was found.
    #[error("{message}")]
    NoConstruct {
        /// Where was looked, and what was found instead.
        message: String,
    },
    /// What was kept of a folder is not what was written: it is to be read again.
    #[error("the kept index is damaged")]
    Damaged,
    /// Who asked did not want the answer any more.
    #[error("aborted")]
    Aborted,
    /// The system refused.
    #[error("{message}")]
    System {
        /// Of what kind, as a code.
        code: &'static str,
        /// In the words of Node.js.
        message: String,
        /// What it was about.
        path: PathBuf,
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
            Self::NoVault { .. } => "VVAULT_NO_VAULT",
            Self::InvalidName { .. } => "VVAULT_INVALID_NAME",
            Self::InvalidCapsule { .. } => "VVAULT_INVALID_CAPSULE",
            Self::Unsound { .. } => "VVAULT_UNSOUND",
            Self::TooLarge { .. } => "VVAULT_TOO_LARGE",
            Self::Busy { .. } => "VVAULT_BUSY",
            Self::InvalidCursor { .. } => "VVAULT_INVALID_CURSOR",
            Self::NoConstruct { .. } => "VVAULT_NO_CONSTRUCT",
            Self::Aborted => "VVAULT_ABORTED",
            Self::System { code, .. } => code,
            Self::Damaged | Self::Internal { .. } => "VVAULT_INTERNAL",
        }
    }

    /// The path concerned, if there is one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::OutsideVault { path }
            | Self::NoVault { path, .. }
            | Self::Busy { path, .. }
            | Self::Timestamp { path, .. } => Some(path),
            // Of what was handed over there is none.
            Self::System { path, .. } => Some(&**path).filter(|path| !path.as_os_str().is_empty()),
            Self::Unsound { path, .. } => path.as_deref(),
            _ => None,
        }
    }

    /// Why a file could not be read.
    #[must_use]
    pub fn of_file(path: &Path, problem: FileProblem) -> Self {
        let code = match problem {
            FileProblem::Outside(path) => return Self::OutsideVault { path },
            FileProblem::TooLarge { size, limit } => return Self::TooLarge { size, limit },
            FileProblem::Missing(_) => "VVAULT_NOT_FOUND",
            FileProblem::Denied(_) => "VVAULT_PERMISSION",
            _ => "VVAULT_SYSTEM",
        };
        Self::System { code, message: problem.to_string(), path: path.to_owned() }
    }

    /// What the system said to a call on a path.
    #[must_use]
    pub fn system(error: &io::Error, call: &str, path: &Path) -> Self {
        let code = match error.kind() {
            io::ErrorKind::NotFound => "VVAULT_NOT_FOUND",
            io::ErrorKind::PermissionDenied => "VVAULT_PERMISSION",
            io::ErrorKind::ReadOnlyFilesystem => "VVAULT_READ_ONLY",
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "VVAULT_DISK_FULL",
            _ => "VVAULT_SYSTEM",
        };
        Self::System { code, message: describe(error, call, path), path: path.to_owned() }
    }
}
