//! LMDB: heads in one database of the environment, texts in another.

use std::path::Path;

use heed::byteorder::BigEndian;
use heed::types::{Bytes, U32};
use heed::{Database, Env, EnvFlags, EnvOpenOptions};

use super::Store;
use crate::rows::{Head, Heads, PACKED, Result, Row, Texts};

type Table = Database<U32<BigEndian>, Bytes>;

/// The largest that the file may become. It must be known beforehand.
const MAP: usize = 4 << 30;

struct Lmdb {
    environment: Env,
    heads: Table,
    texts: Table,
}

fn connect(folder: &Path, synced: bool) -> Result<Env> {
    let mut options = EnvOpenOptions::new();
    options.map_size(MAP).max_dbs(2);
    let flags = if synced { EnvFlags::NO_META_SYNC } else { EnvFlags::NO_SYNC };
    // SAFETY: nobody else writes to the files of this benchmark, and what a power cut leaves is not looked at. (In a
    // cache folder nothing could promise that: whoever truncates the file kills every reader by SIGBUS.)
    Ok(unsafe { options.flags(flags).open(folder)? })
}

pub fn open(folder: &Path, synced: bool) -> Result<Box<dyn Store>> {
    let environment = connect(folder, synced)?;
    let transaction = environment.read_txn()?;
    let heads = environment.open_database(&transaction, Some("heads"))?.ok_or("there are no heads")?;
    let texts = environment.open_database(&transaction, Some("texts"))?.ok_or("there are no texts")?;
    // Committed, as a table opened in a transaction that is given up is closed again.
    transaction.commit()?;
    Ok(Box::new(Lmdb { environment, heads, texts }))
}

pub fn create(folder: &Path, rows: &[Row], synced: bool) -> Result<()> {
    let environment = connect(folder, synced)?;
    let mut transaction = environment.write_txn()?;
    let heads = environment.create_database(&mut transaction, Some("heads"))?;
    let texts = environment.create_database(&mut transaction, Some("texts"))?;
    transaction.commit()?;
    Lmdb { environment, heads, texts }.replace(rows)
}

impl Store for Lmdb {
    fn heads(&mut self) -> Result<Heads> {
        let mut heads = Heads::default();
        let transaction = self.environment.read_txn()?;
        for entry in self.heads.iter(&transaction)? {
            let (_, packed) = entry?;
            let name = packed.get(PACKED..).ok_or("a record is too short")?;
            heads.push(name, Head::unpack(packed).ok_or("a record is too short")?);
        }
        Ok(heads)
    }

    fn all_texts(&mut self) -> Result<Texts> {
        let mut texts = Texts::default();
        let transaction = self.environment.read_txn()?;
        for entry in self.texts.iter(&transaction)? {
            texts.push(entry?.1);
        }
        Ok(texts)
    }

    fn texts(&mut self, ids: &[u32]) -> Result<Vec<Vec<u8>>> {
        let transaction = self.environment.read_txn()?;
        ids.iter().map(|id| Ok(self.texts.get(&transaction, id)?.ok_or("a text is missing")?.to_vec())).collect()
    }

    fn replace(&mut self, rows: &[Row]) -> Result<()> {
        let mut transaction = self.environment.write_txn()?;
        let mut packed = Vec::new();
        for row in rows {
            packed.clear();
            packed.extend_from_slice(&row.head.pack());
            packed.extend_from_slice(row.name.as_bytes());
            self.heads.put(&mut transaction, &row.id, &packed)?;
        }
        for row in rows {
            self.texts.put(&mut transaction, &row.id, &row.text)?;
        }
        Ok(transaction.commit()?)
    }
}
