//! The contestants, each with the layout and the settings that suit it: heads apart from texts, one transaction for
//! what belongs together, nothing synced that need not be.

#[cfg(feature = "lmdb")]
mod lmdb;
#[cfg(feature = "redb")]
mod redb;
#[cfg(feature = "snapshot")]
mod snapshot;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::path::Path;

use crate::rows::{Heads, Result, Row, Texts};

/// A store that is open in a folder of its own.
pub trait Store {
    fn heads(&mut self) -> Result<Heads>;
    fn all_texts(&mut self) -> Result<Texts>;
    fn texts(&mut self, ids: &[u32]) -> Result<Vec<Vec<u8>>>;
    /// Once this returns, whoever opens the store finds the new rows, also if this process is killed.
    fn replace(&mut self, rows: &[Row]) -> Result<()>;
}

pub struct Contestant {
    pub name: &'static str,
    /// What it is told to sync, and what that is good for.
    pub settings: &'static str,
    pub create: fn(&Path, &[Row]) -> Result<()>,
    pub open: fn(&Path) -> Result<Box<dyn Store>>,
}

pub const CONTESTANTS: &[Contestant] = &[
    #[cfg(feature = "snapshot")]
    Contestant {
        name: "snapshot",
        settings: "nothing synced: every byte has a checksum",
        create: snapshot::create,
        open: snapshot::open,
    },
    #[cfg(feature = "sqlite")]
    Contestant {
        name: "sqlite",
        settings: "WAL, synchronous=NORMAL: synced at checkpoints; whole after a power cut",
        create: |folder, rows| sqlite::create(folder, rows, "NORMAL"),
        open: |folder| sqlite::open(folder, "NORMAL"),
    },
    #[cfg(feature = "sqlite")]
    Contestant {
        name: "sqlite-nosync",
        settings: "WAL, synchronous=OFF: a power cut may leave it wrong, which nothing tells",
        create: |folder, rows| sqlite::create(folder, rows, "OFF"),
        open: |folder| sqlite::open(folder, "OFF"),
    },
    #[cfg(feature = "lmdb")]
    Contestant {
        name: "lmdb",
        settings: "MDB_NOMETASYNC: one sync for each transaction; whole after a power cut",
        create: |folder, rows| lmdb::create(folder, rows, true),
        open: |folder| lmdb::open(folder, true),
    },
    #[cfg(feature = "lmdb")]
    Contestant {
        name: "lmdb-nosync",
        settings: "MDB_NOSYNC: a power cut may leave it wrong, which nothing tells",
        create: |folder, rows| lmdb::create(folder, rows, false),
        open: |folder| lmdb::open(folder, false),
    },
    #[cfg(feature = "redb")]
    Contestant {
        name: "redb",
        settings: "MultiWriter (which commits in two phases), Durability::Immediate; whole after a power cut",
        create: |folder, rows| redb::create(folder, rows, true),
        open: |folder| redb::open(folder, true),
    },
    #[cfg(feature = "redb")]
    Contestant {
        name: "redb-nosync",
        settings: "the same, on a backend whose sync does nothing: a power cut may leave it wrong",
        create: |folder, rows| redb::create(folder, rows, false),
        open: |folder| redb::open(folder, false),
    },
    // Without any, so that carry.sh can tell what one adds.
    #[cfg(not(any(feature = "lmdb", feature = "redb", feature = "snapshot", feature = "sqlite")))]
    Contestant { name: "none", settings: "", create: |_, _| Err("no store".into()), open: |_| Err("no store".into()) },
];
