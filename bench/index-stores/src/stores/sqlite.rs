//! `SQLite` in write-ahead mode: heads in one table, texts in another, so that reading all heads passes no text.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, params};

use super::Store;
use crate::rows::{Head, Heads, Result, Row, Texts, unpack_numbers};

struct Sqlite(Connection);

fn connect(folder: &Path, flags: OpenFlags, synchronous: &str) -> Result<Connection> {
    let flags = flags | OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(folder.join("index.sqlite"), flags)?;
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "mmap_size", 1 << 30)?;
    Ok(connection)
}

pub fn open(folder: &Path, synchronous: &str) -> Result<Box<dyn Store>> {
    Ok(Box::new(Sqlite(connect(folder, OpenFlags::empty(), synchronous)?)))
}

pub fn create(folder: &Path, rows: &[Row], synchronous: &str) -> Result<()> {
    let mut store = Sqlite(connect(folder, OpenFlags::SQLITE_OPEN_CREATE, synchronous)?);
    store.0.execute_batch(
        "BEGIN; CREATE TABLE heads (id INTEGER PRIMARY KEY, name TEXT, signature BLOB, time REAL, numbers BLOB);
         CREATE TABLE texts (id INTEGER PRIMARY KEY, text TEXT); COMMIT",
    )?;
    store.replace(rows)
}

impl Store for Sqlite {
    fn heads(&mut self) -> Result<Heads> {
        let mut statement = self.0.prepare("SELECT name, signature, time, numbers FROM heads ORDER BY id")?;
        let mut rows = statement.query([])?;
        let mut heads = Heads::default();
        while let Some(row) = rows.next()? {
            let signature = row.get_ref(1)?.as_blob()?.first_chunk().ok_or("a signature is too short")?;
            let numbers = row.get_ref(3)?.as_blob()?.first_chunk().ok_or("numbers are missing")?;
            let head = Head { signature: *signature, time: row.get(2)?, numbers: unpack_numbers(numbers) };
            heads.push(row.get_ref(0)?.as_bytes()?, head);
        }
        Ok(heads)
    }

    fn all_texts(&mut self) -> Result<Texts> {
        let mut statement = self.0.prepare("SELECT text FROM texts ORDER BY id")?;
        let mut rows = statement.query([])?;
        let mut texts = Texts::default();
        while let Some(row) = rows.next()? {
            texts.push(row.get_ref(0)?.as_bytes()?);
        }
        Ok(texts)
    }

    fn texts(&mut self, ids: &[u32]) -> Result<Vec<Vec<u8>>> {
        let transaction = self.0.transaction()?;
        let mut statement = transaction.prepare("SELECT text FROM texts WHERE id = ?")?;
        ids.iter().map(|id| Ok(statement.query_row([id], |row| Ok(row.get_ref(0)?.as_bytes()?.to_vec()))?)).collect()
    }

    fn replace(&mut self, rows: &[Row]) -> Result<()> {
        let transaction = self.0.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        {
            let mut head = transaction.prepare("REPLACE INTO heads VALUES (?, ?, ?, ?, ?)")?;
            let mut text = transaction.prepare("REPLACE INTO texts VALUES (?, ?)")?;
            for row in rows {
                let signature = &row.head.signature[..];
                head.execute(params![row.id, row.name, signature, row.head.time, &row.head.numbers_packed()[..]])?;
            }
            // One table after the other, so that each lies together.
            for row in rows {
                text.execute(params![row.id, std::str::from_utf8(&row.text)?])?;
            }
        }
        Ok(transaction.commit()?)
    }
}
