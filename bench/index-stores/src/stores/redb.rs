//! redb, in the mode in which several processes may write.

use std::fs::File;
use std::io;
use std::ops::Bound;
use std::path::Path;

use redb::backends::FileBackend;
use redb::{
    BackendError, Builder, ConcurrencyMode, Database, ReadableDatabase as _, ReadableTable as _, StorageBackend,
    TableDefinition,
};

use super::Store;
use crate::rows::{Head, Heads, PACKED, Result, Row, Texts};

const HEADS: TableDefinition<u32, &[u8]> = TableDefinition::new("heads");
const TEXTS: TableDefinition<u32, &[u8]> = TableDefinition::new("texts");

/// A file that is never synced.
#[derive(Debug)]
struct Unsynced(FileBackend);

type Locked<T> = std::result::Result<T, BackendError>;

impl StorageBackend for Unsynced {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.0.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<bool> {
        self.0.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<bool> {
        self.0.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<()> {
        self.0.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<()> {
        self.0.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<()> {
        self.0.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<bool> {
        self.0.query_lock_range(start, end)
    }
}

struct Redb(Database);

fn connect(folder: &Path, create: bool, synced: bool) -> Result<Redb> {
    let file = File::options().read(true).write(true).create(create).open(folder.join("index.redb"))?;
    let file = FileBackend::new(file)?;
    let mut builder = Builder::new();
    builder.set_concurrency_mode(ConcurrencyMode::MultiWriter);
    Ok(Redb(if synced { builder.create_with_backend(file)? } else { builder.create_with_backend(Unsynced(file))? }))
}

pub fn open(folder: &Path, synced: bool) -> Result<Box<dyn Store>> {
    Ok(Box::new(connect(folder, false, synced)?))
}

pub fn create(folder: &Path, rows: &[Row], synced: bool) -> Result<()> {
    connect(folder, true, synced)?.replace(rows)
}

impl Store for Redb {
    fn heads(&mut self) -> Result<Heads> {
        let mut heads = Heads::default();
        for entry in self.0.begin_read()?.open_table(HEADS)?.iter()? {
            let (_, value) = entry?;
            let packed = value.value();
            let name = packed.get(PACKED..).ok_or("a record is too short")?;
            heads.push(name, Head::unpack(packed).ok_or("a record is too short")?);
        }
        Ok(heads)
    }

    fn all_texts(&mut self) -> Result<Texts> {
        let mut texts = Texts::default();
        for entry in self.0.begin_read()?.open_table(TEXTS)?.iter()? {
            texts.push(entry?.1.value());
        }
        Ok(texts)
    }

    fn texts(&mut self, ids: &[u32]) -> Result<Vec<Vec<u8>>> {
        let table = self.0.begin_read()?.open_table(TEXTS)?;
        ids.iter().map(|id| Ok(table.get(id)?.ok_or("a text is missing")?.value().to_vec())).collect()
    }

    fn replace(&mut self, rows: &[Row]) -> Result<()> {
        let transaction = self.0.begin_write()?;
        {
            let mut heads = transaction.open_table(HEADS)?;
            let mut texts = transaction.open_table(TEXTS)?;
            let mut packed = Vec::new();
            for row in rows {
                packed.clear();
                packed.extend_from_slice(&row.head.pack());
                packed.extend_from_slice(row.name.as_bytes());
                heads.insert(row.id, &packed[..])?;
            }
            for row in rows {
                texts.insert(row.id, &row.text[..])?;
            }
        }
        Ok(transaction.commit()?)
    }
}
