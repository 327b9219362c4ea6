//! The index in memory: what the files of a folder said, kept for as long as they have not changed.
//!
//! It is derived from the files and checked against them at every reading: an answer never rests on it alone.

mod batches;
mod cache;
mod compaction;
mod comparison;
mod constructs;
mod entry;
mod filter_key;
mod folder;
mod fresh;
mod order;
mod reader;
mod segment;
mod snapshot;
mod storage;
mod unchanged;
mod vault;
mod view;

pub(crate) use batches::{SPLIT, each, give_way};
pub use cache::compact_below;
pub use comparison::Comparison;
pub use constructs::{BrokenCapsule, ConstructCapsule, Constructs, FoundConstruct, HALF, Whose};
pub use entry::{BrokenFile, Entry, FolderKind};
pub use folder::{Folder, Freshness, Progress, Refreshed, Ticket};
pub use reader::{Found, Request, Source, Warning, WarningKind, WatchedFolders, read};
pub use segment::Damaged;
pub use snapshot::{Row, RowRef, Snapshot};
pub use storage::{Storage, open_own};
pub use unchanged::read_unchanged;
pub use vault::{Directories, Discovered, Discovery, FoundInVault, Rejection, Sought, Vault, Verified};
pub use view::{PageCursor, Query, Selection, SessionFilter, UndecidedDate, View};
