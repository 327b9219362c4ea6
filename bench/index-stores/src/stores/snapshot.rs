//! One file: a header, then all heads and names in one piece, then the texts. It is written under a temporary name and
//! renamed, so a reader has a whole file or another whole file, and keeps the one that it has open.
//!
//! | header, 48 bytes | heads, [`RECORD`] bytes each, and the names | texts |
//!
//! The header has a checksum, the second part has one, and each text has one of its own (in its head), so that a single
//! text can be read and checked.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};

use super::Store;
use crate::rows::{Head, Heads, PACKED, Result, Row, Texts};

const MAGIC: [u8; 8] = *b"vvault\0\x01";
const HEADER: usize = 48;
/// Head, checksum and offset of the text, its length, and where the name ends.
const RECORD: usize = PACKED + 8 + 8 + 4 + 4;
/// So that a part stays in the processor's cache between reading, checking and taking apart.
const RECORDS_AT_ONCE: usize = 1024;
const BUFFER: usize = 1 << 20;

#[derive(Clone, Copy)]
struct Place {
    checksum: u64,
    offset: u64,
    length: u32,
}

struct Snapshot {
    folder: PathBuf,
    file: File,
    rows: usize,
    names: usize,
    texts: usize,
    checksum: u64,
    places: Vec<Place>,
}

/// Where the text of a new file comes from.
enum Source<'a> {
    New(&'a [u8]),
    Old(Place),
}

fn open_snapshot(folder: &Path) -> Result<Snapshot> {
    let file = File::open(folder.join("index"))?;
    let mut header = [0; HEADER];
    file.read_exact_at(&mut header, 0)?;
    let [magic, rows, names, texts, checksum, header_checksum] = *header.as_chunks::<8>().0 else { unreachable!() };
    if magic != MAGIC || u64::from_le_bytes(header_checksum) != xxh3_64(&header[..HEADER - 8]) {
        return Err("the header is damaged".into());
    }
    let [rows, names, texts, checksum] = [rows, names, texts, checksum].map(u64::from_le_bytes);
    let (rows, names, texts) = (rows as usize, names as usize, texts as usize);
    if file.metadata()?.len() != (HEADER + rows * RECORD + names + texts) as u64 {
        return Err("the file has another length".into());
    }
    Ok(Snapshot { folder: folder.into(), file, rows, names, texts, checksum, places: Vec::new() })
}

pub fn open(folder: &Path) -> Result<Box<dyn Store>> {
    Ok(Box::new(open_snapshot(folder)?))
}

pub fn create(folder: &Path, rows: &[Row]) -> Result<()> {
    write(folder, None, rows.iter().map(|row| (row.name.as_bytes(), &row.head, Source::New(&row.text))))
}

/// A killed writer leaves its temporary file, and the lock on it is free.
fn remove_leftovers(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "tmp") {
            match File::open(&path).map(|file| file.try_lock()) {
                Ok(Err(TryLockError::WouldBlock)) => {}
                _ => drop(fs::remove_file(&path)),
            }
        }
    }
    Ok(())
}

fn write<'a>(
    folder: &Path,
    old: Option<&File>,
    rows: impl ExactSizeIterator<Item = (&'a [u8], &'a Head, Source<'a>)> + Clone,
) -> Result<()> {
    remove_leftovers(folder)?;
    let temporary = folder.join(format!("index.{}.tmp", std::process::id()));
    let mut file = File::options().read(true).write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.lock()?;

    let mut head = vec![0; HEADER];
    head.reserve(rows.len() * (RECORD + 48));
    let (mut name_end, mut offset) = (0, 0);
    for (name, head_of_row, source) in rows.clone() {
        name_end += name.len() as u32;
        let (checksum, length) = match source {
            Source::New(text) => (xxh3_64(text), text.len() as u32),
            Source::Old(place) => (place.checksum, place.length),
        };
        head.extend_from_slice(&head_of_row.pack());
        head.extend_from_slice(&checksum.to_le_bytes());
        head.extend_from_slice(&u64::to_le_bytes(offset));
        head.extend_from_slice(&length.to_le_bytes());
        head.extend_from_slice(&name_end.to_le_bytes());
        offset += u64::from(length);
    }
    for (name, ..) in rows.clone() {
        head.extend_from_slice(name);
    }
    let counts = [rows.len() as u64, u64::from(name_end), offset, xxh3_64(&head[HEADER..])];
    head[..8].copy_from_slice(&MAGIC);
    for (bytes, count) in head[8..HEADER - 8].as_chunks_mut::<8>().0.iter_mut().zip(counts) {
        *bytes = count.to_le_bytes();
    }
    let checksum = xxh3_64(&head[..HEADER - 8]);
    head[HEADER - 8..HEADER].copy_from_slice(&checksum.to_le_bytes());
    file.write_all(&head)?;

    // Old texts that follow each other are copied together, by the kernel and unread: their checksums come with them.
    let mut run = 0..0;
    let mut new = Vec::with_capacity(BUFFER + (1 << 12));
    for (.., source) in rows {
        match source {
            Source::New(text) => {
                copy(old, &mut run, &mut file)?;
                new.extend_from_slice(text);
                if new.len() >= BUFFER {
                    file.write_all(&new)?;
                    new.clear();
                }
            }
            Source::Old(place) => {
                file.write_all(&new)?;
                new.clear();
                if place.offset != run.end {
                    copy(old, &mut run, &mut file)?;
                    run = place.offset..place.offset;
                }
                run.end += u64::from(place.length);
            }
        }
    }
    copy(old, &mut run, &mut file)?;
    file.write_all(&new)?;
    fs::rename(&temporary, folder.join("index"))?;
    Ok(())
}

fn copy(old: Option<&File>, run: &mut Range<u64>, new: &mut File) -> io::Result<()> {
    if let Some(mut old) = old.filter(|_| !run.is_empty()) {
        old.seek(SeekFrom::Start(run.start))?;
        let length = run.end - run.start;
        if io::copy(&mut old.take(length), new)? != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    run.start = run.end;
    Ok(())
}

impl Snapshot {
    fn texts_begin(&self) -> u64 {
        (HEADER + self.rows * RECORD + self.names) as u64
    }
}

impl Store for Snapshot {
    fn heads(&mut self) -> Result<Heads> {
        let mut checksum = Xxh3Default::new();
        let mut at = HEADER as u64;
        let mut part = vec![0; RECORD * RECORDS_AT_ONCE];
        let mut heads = Vec::with_capacity(self.rows);
        let mut name_ends = Vec::with_capacity(self.rows);
        self.places = Vec::with_capacity(self.rows);
        while heads.len() < self.rows {
            let part = &mut part[..RECORD * RECORDS_AT_ONCE.min(self.rows - heads.len())];
            self.file.read_exact_at(part, at)?;
            at += part.len() as u64;
            checksum.update(part);
            for record in part.as_chunks::<RECORD>().0 {
                heads.push(Head::unpack(record).ok_or("a record is too short")?);
                let [checksum, offset] = *record[PACKED..PACKED + 16].as_chunks::<8>().0 else { unreachable!() };
                let [length, name_end] = *record[PACKED + 16..].as_chunks::<4>().0 else { unreachable!() };
                self.places.push(Place {
                    checksum: u64::from_le_bytes(checksum),
                    offset: u64::from_le_bytes(offset),
                    length: u32::from_le_bytes(length),
                });
                name_ends.push(u32::from_le_bytes(name_end));
            }
        }
        let mut names = vec![0; self.names];
        self.file.read_exact_at(&mut names, at)?;
        checksum.update(&names);
        if checksum.digest() != self.checksum {
            return Err("the heads are damaged".into());
        }
        Ok(Heads { rows: heads, names, name_ends })
    }

    fn all_texts(&mut self) -> Result<Texts> {
        let mut bytes = vec![0; self.texts];
        self.file.read_exact_at(&mut bytes, self.texts_begin())?;
        let mut ends = Vec::with_capacity(self.rows);
        for place in &self.places {
            let text = &bytes[place.offset as usize..][..place.length as usize];
            if xxh3_64(text) != place.checksum {
                return Err("a text is damaged".into());
            }
            ends.push(place.offset + u64::from(place.length));
        }
        Ok(Texts { bytes, ends })
    }

    fn texts(&mut self, ids: &[u32]) -> Result<Vec<Vec<u8>>> {
        ids.iter()
            .map(|id| {
                let place = &self.places[*id as usize];
                let mut text = vec![0; place.length as usize];
                self.file.read_exact_at(&mut text, self.texts_begin() + place.offset)?;
                if xxh3_64(&text) != place.checksum {
                    return Err("a text is damaged".into());
                }
                Ok(text)
            })
            .collect()
    }

    /// Writes everything anew. An index would have the heads in memory; here they are read again.
    fn replace(&mut self, rows: &[Row]) -> Result<()> {
        let heads = self.heads()?;
        let mut new: Vec<Option<&Row>> = vec![None; self.rows];
        for row in rows {
            new[row.id as usize] = Some(row);
        }
        // Copied texts are found relative to the whole old file.
        let begin = self.texts_begin();
        let all = (0..self.rows).map(|at| {
            let start = if at == 0 { 0 } else { heads.name_ends[at - 1] as usize };
            if let Some(row) = new[at] {
                return (row.name.as_bytes(), &row.head, Source::New(&row.text));
            }
            let place = self.places[at];
            let name = &heads.names[start..heads.name_ends[at] as usize];
            (name, &heads.rows[at], Source::Old(Place { offset: begin + place.offset, ..place }))
        });
        write(&self.folder, Some(&self.file), all)?;
        *self = open_snapshot(&self.folder)?;
        Ok(())
    }
}
