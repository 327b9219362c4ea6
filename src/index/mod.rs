//! The index in memory: what the files of a folder said, kept for as long as they have not changed.
//!
//! It is derived from the files and checked against them at every reading: an answer never rests on it alone.

mod cache;
mod constructs;
mod folder;
mod lists;
mod reader;
mod vault;
mod view;

pub use constructs::{ConstructCapsule, Constructs, FoundConstruct, Whose};
pub use folder::{BrokenFile, Entry, Folder, FolderKind, Freshness, Refreshed, Snapshot, Ticket};
pub use reader::{Found, Request, Source, Warning, WarningKind, WatchedFolders, read};
pub use vault::{Directories, Discovered, FoundInVault, Rejection, Vault, Verified};
pub use view::{Query, Selection, SessionFilter, UndecidedDate, View};
