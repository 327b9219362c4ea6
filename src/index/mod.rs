//! The index in memory: what the files of a folder said, kept for as long as they have not changed.
//!
//! It is derived from the files and checked against them at every reading: an answer never rests on it alone.

mod cache;
mod folder;
mod reader;
mod view;

pub use folder::{BrokenFile, Folder, FolderKind, Snapshot, Ticket};
pub use reader::{Found, Request, Source, Warning, WarningKind, read};
pub use view::{Query, Selection, SessionFilter, UndecidedDate, View};
