//! What was told, kept beyond the process: so that who comes back can ask for what happened since.
//!
//! A file in the cache folder, added to before an event is told. It can be lost at no harm but this: then a cursor means its
//! time, and what changed about that time may be told twice.
//!
//! Its first line is a heading in JSON. Behind it each line has its length and its CRC-32, both as four bytes, and then the
//! path and what was told, as `postcard` writes them: a vault of 100,000 files is opened with as many lines.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hashbrown::HashMap;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::Happening;
use crate::index::open_own;

/// A place in the order of all events: of the record with this id, or by the clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    record: String,
    number: u64,
    /// Milliseconds since 1970.
    time: u64,
}

impl Cursor {
    /// Reads a cursor as [`Display`](std::fmt::Display) writes it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let (record, number, time) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || record.is_empty() {
            return None;
        }
        Some(Self { record: record.to_owned(), number: number.parse().ok()?, time: time.parse().ok()? })
    }

    /// A moment, in milliseconds since 1970.
    #[must_use]
    pub fn at(time: u64) -> Self {
        Self { record: String::new(), number: 0, time }
    }

    /// Its place in the order of its record.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The same, if its time is not before this one.
    pub(super) fn at_least(self, time: Option<SystemTime>) -> Self {
        Self { time: time.map_or(0, milliseconds).max(self.time), ..self }
    }

    /// Its time.
    pub(super) fn time(&self) -> SystemTime {
        UNIX_EPOCH.checked_add(Duration::from_millis(self.time)).unwrap_or(UNIX_EPOCH)
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}.{}.{}", self.record, self.number, self.time)
    }
}

/// The last that was told of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    /// The place in the order of events.
    pub(super) number: u64,
    /// Of the event that told of its import, if it is there.
    pub(super) imported: u64,
    /// The content, or of a file that could not be read the reason; `None` if it is gone.
    pub(super) digest: Option<[u8; 16]>,
    /// Whether it was told of as a capsule, not as a rejected file.
    pub(super) accepted: bool,
    /// When it was there before: from its import to its end, the last of them last.
    pub(super) before: Vec<(u64, u64)>,
    /// Whether an event told of it. What is found at an opening without a cursor is only noted.
    pub(super) heard: bool,
}

impl Told {
    /// What is known once another event has told of a file.
    pub(super) fn followed_by(
        before: Option<&Self>,
        number: u64,
        digest: Option<[u8; 16]>,
        happening: Happening,
    ) -> Self {
        /// So many times are kept; beyond them the oldest two become one.
        const MOST: usize = 16;
        let mut spans = before.map(|before| before.before.clone()).unwrap_or_default();
        let present = before.filter(|before| before.is_present()).map(|before| before.imported);
        let accepted = matches!(happening, Happening::Imported | Happening::Updated);
        if let Some(imported) = present.filter(|_| !accepted) {
            spans.push((imported, number));
            if spans.len() > MOST {
                let (_, end) = spans.remove(1);
                spans[0].1 = end;
            }
        }
        Self { number, imported: present.unwrap_or(number), digest, accepted, before: spans, heard: true }
    }

    /// Whether the last that was told is that it is there, as a capsule.
    fn is_present(&self) -> bool {
        self.accepted && self.digest.is_some()
    }

    /// The event that told of its import, if it was there, as a capsule, when the event of a number was told.
    fn imported_by(&self, number: u64) -> Option<u64> {
        let present = self.is_present().then_some((self.imported, u64::MAX));
        let mut spans = self.before.iter().copied().chain(present);
        spans.find(|(imported, end)| (*imported..*end).contains(&number)).map(|(imported, _)| imported)
    }

    /// As it was when the event of a number was told. Of the content then it is known only that it was another.
    pub(super) fn as_of(&self, number: u64) -> Self {
        if self.number <= number {
            return self.clone();
        }
        let imported = self.imported_by(number);
        Self {
            number,
            imported: imported.unwrap_or(number),
            digest: imported.map(|_| self.digest.unwrap_or_default().map(|byte| !byte)),
            accepted: imported.is_some(),
            before: self.before.iter().copied().filter(|(_, end)| *end <= number).collect(),
            heard: self.heard,
        }
    }

    /// What is known once the last event has told of all that happened behind a number.
    pub(super) fn told_at_once(self, number: u64) -> Self {
        if self.number <= number {
            return self;
        }
        let happening = match self.digest {
            None => Happening::Removed,
            Some(_) if self.accepted => Happening::Imported,
            Some(_) => Happening::Rejected,
        };
        Self::followed_by(Some(&self.as_of(number)), self.number, self.digest, happening)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Heading {
    format: u32,
    record: String,
    /// The settings that files were judged by: what they make of a file is told of nobody else's.
    settings: String,
    /// The record, and the number in it, that it was begun from.
    #[serde(default)]
    begun: Option<(String, u64)>,
}

impl Heading {
    fn is_for(&self, settings: &str) -> bool {
        self.format == FORMAT && self.settings == settings
    }

    /// Whether it was begun for who came back with this cursor.
    fn is_begun_at(&self, cursor: &Cursor) -> bool {
        self.begun.as_ref().is_some_and(|(record, number)| *record == cursor.record && *number == cursor.number)
    }
}

/// So many files that are gone are remembered for who comes back with a cursor.
const MOST_GONE: usize = if cfg!(test) { 1000 } else { 100_000 };
/// What could not be written is tried again after so long.
const RETRY: Duration = Duration::from_secs(1);

/// The present format; a record of another is begun anew.
const FORMAT: u32 = 5;

/// What a record goes on with.
#[derive(Debug, Clone, Copy)]
enum Origin<'a> {
    /// What its file has.
    Own,
    /// What another's file has.
    Other(&'a Path),
    /// Nothing.
    Nothing,
}

/// The file of a record, which is added to.
#[derive(Debug)]
struct Kept {
    path: PathBuf,
    file: File,
    /// So many lines are in it, also of what was told again since.
    lines: usize,
}

/// The record of one vault.
#[derive(Debug)]
pub(super) struct Record {
    id: String,
    /// Of the watch whose record it is.
    settings: String,
    /// The record, and the number in it, that it was begun from.
    begun: Option<(String, u64)>,
    /// By path, relative to the root.
    lines: HashMap<Box<str>, Told>,
    number: u64,
    /// All that was changed before has been looked at.
    quiet: SystemTime,
    /// Lines that are not in the file yet, and how many.
    unwritten: (Vec<u8>, usize),
    /// Whether nothing was known when it was opened.
    is_new: bool,
    /// Where it is kept; `None` if it is not.
    file: Option<Kept>,
    /// Where it could not be written, as on a full disk, and when that was tried last.
    failed: Option<(PathBuf, Instant)>,
    /// So many lines were noted since those of files that are gone were counted.
    noted: usize,
    /// Held as long as this process writes.
    lock: Option<File>,
}

impl Record {
    /// One that is kept nowhere.
    pub(super) fn forgetful() -> Self {
        let id = uuid::Uuid::new_v4().simple().to_string();
        Self {
            id,
            settings: String::new(),
            begun: None,
            lines: HashMap::new(),
            number: 0,
            quiet: SystemTime::now(),
            unwritten: (Vec::new(), 0),
            is_new: true,
            file: None,
            failed: None,
            noted: 0,
            lock: None,
        }
    }

    /// The record of a vault in a cache folder: the one that a cursor is of, else the first of a watch with the same settings
    /// that nobody else writes. Each watch has one of its own, as what one has told another has not. If none can be written,
    /// one that is kept nowhere.
    pub(super) fn open(cache: &Path, root: &Path, settings: &str, since: Option<&Cursor>) -> Self {
        let Ok(paths) = paths_in(cache, root) else { return Self::forgetful() };
        let meant = since.and_then(|since| {
            let headings: Vec<(&PathBuf, Heading)> =
                paths.iter().filter_map(|path| Some((path, heading(path)?))).collect();
            let own = headings.iter().find(|(_, heading)| heading.record == since.record);
            // What it was begun from may be gone.
            let begun = || headings.iter().find(|(_, heading)| heading.is_begun_at(since));
            Some((since, own.or_else(begun)?.0))
        });
        let found = match meant {
            Some((since, meant)) => Self::come_back(&paths, meant, settings, since),
            None => Self::come(&paths, settings, since),
        };
        found.unwrap_or_else(Self::forgetful)
    }

    /// A record for who has no cursor of any.
    fn come(paths: &[PathBuf], settings: &str, since: Option<&Cursor>) -> Option<Self> {
        let rank = |path: &PathBuf| match (heading(path), used(path)) {
            (Some(heading), _) if heading.is_for(settings) => (0, None),
            // Of others, with other settings: the oldest.
            (Some(_), used) if used != Some(LEFT) => (2, used),
            _ => (1, None),
        };
        let mut ranked: Vec<_> = paths.iter().map(|path| (rank(path), path)).collect();
        ranked.sort();
        ranked.into_iter().find_map(|((rank, _), path)| {
            if rank > 0 {
                return Self::open_file(path, settings, since, Origin::Nothing).ok();
            }
            let record = Self::open_file(path, settings, since, Origin::Own).ok()?;
            set_shared(path);
            Some(record)
        })
    }

    /// The record that a cursor is of, if nobody else writes it, and all that stands in it was told to who has the cursor.
    /// Else one of his own, begun from it: in that one, what he is told at once happened at once.
    fn come_back(paths: &[PathBuf], meant: &Path, settings: &str, since: &Cursor) -> Option<Self> {
        let own = Self::open_file(meant, settings, Some(since), Origin::Own).ok();
        if own.is_none() {
            set_shared(meant);
        }
        let origin = own.as_ref().filter(|own| own.id == since.record).and_then(|own| own.begun.as_ref());
        if let Some((origin, _)) = origin {
            // Who has a cursor of this one needs that no more.
            let left = paths.iter().find(|path| heading(path).is_some_and(|heading| heading.record == *origin));
            if let Some(path) = left.filter(|path| !is_shared(path)) {
                set_used(path, LEFT);
            }
        }
        if own.as_ref().is_some_and(|own| own.lines.values().all(|line| line.number <= since.number)) {
            return own;
        }
        let is_own = |path: &PathBuf| heading(path).is_some_and(|heading| heading.is_begun_at(since));
        let mut others: Vec<&PathBuf> = paths.iter().filter(|path| *path != meant).collect();
        let is_shared = is_shared(meant);
        // Where it was begun before, and nothing of it was dealt with (by another, perhaps, if others have the same cursor); in
        // the place of one that was left; where there is none.
        let rank = |path: &PathBuf| match (is_own(path), used(path)) {
            (true, _) if !is_shared => 0,
            (_, used) if used == Some(LEFT) => 1,
            (_, None) => 2,
            (true, _) => 3,
            _ => 4,
        };
        others.sort_by_key(|path| (rank(path), used(path)));
        let (free, rest): (Vec<&PathBuf>, Vec<&PathBuf>) = others.into_iter().partition(|path| rank(path) < 4);
        let begin = |path: &PathBuf| Self::open_file(path, settings, Some(since), Origin::Other(meant)).ok();
        let made = free.into_iter().find_map(begin);
        made.or_else(|| match own {
            // Rather than in the place of anybody else's.
            Some(mut own) if !is_shared => {
                own.begin_from(since);
                Some(own)
            }
            own => rest.into_iter().find_map(begin).or(own),
        })
    }

    /// Makes it one that is begun at a cursor.
    fn begin_from(&mut self, since: &Cursor) {
        self.id = uuid::Uuid::new_v4().simple().to_string();
        self.begun = Some((since.record.clone(), since.number));
        for (path, mut told) in std::mem::take(&mut self.lines) {
            told = told.told_at_once(since.number);
            // Of no use to any cursor of the new record.
            told.before.retain(|(_, end)| *end > since.number);
            if told.digest.is_some() || !told.before.is_empty() {
                self.lines.insert(path, told);
            }
        }
        if let Some(Kept { path, .. }) = self.file.take() {
            self.begin_again_at(path);
        }
    }

    /// The record in a file, or one that is begun in its place, and kept there from now on.
    fn open_file(path: &Path, settings: &str, since: Option<&Cursor>, origin: Origin<'_>) -> io::Result<Self> {
        let lock = options().truncate(false).open(path.with_extension("lock"))?;
        if [path, &path.with_extension("lock")].into_iter().any(|path| path.exists() && open_own(path).is_none()) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        lock.try_lock()?;
        let mut record = Self { settings: settings.to_owned(), ..Self::forgetful() };
        let mut text = Vec::new();
        let source = match origin {
            Origin::Own => Some(path),
            Origin::Other(origin) => Some(origin),
            Origin::Nothing => None,
        };
        if let Some(mut file) = source.and_then(open_own)
            && file.read_to_end(&mut text).is_err()
        {
            text.clear();
        }
        let (mut count, mut is_whole) = (0, false);
        let end_of_heading = memchr::memchr(b'\n', &text).map_or(text.len(), |end| end + 1);
        if let Ok(heading) = serde_json::from_slice::<Heading>(&text[..end_of_heading])
            && heading.format == FORMAT
        {
            record.is_new = false;
            let (frames, rest) = frames(&text[end_of_heading..]);
            let lines: Vec<Option<(&str, Told)>> = frames.into_par_iter().map(line_in).collect();
            count = lines.len();
            // A line that a kill cut off was of an event that nobody heard of.
            is_whole = rest.is_empty() && lines.iter().all(Option::is_some);
            record.lines.reserve(count);
            for (path, told) in lines.into_iter().flatten() {
                record.number = record.number.max(told.number);
                record.lines.insert(path.into(), told);
            }
            // Its end was lost: numbers that were told must not be told again of other events.
            let is_lost = since.is_some_and(|since| since.record == heading.record && since.number > record.number);
            if !is_lost {
                (record.id, record.begun) = (heading.record, heading.begun);
            }
            is_whole &= !is_lost && heading.settings == settings;
        }
        record.lock = Some(lock);
        let has_forgotten = record.forget_oldest();
        let is_as_kept = !record.is_new && is_whole && !has_forgotten && !record.is_longer_than_needed(count);
        let opened = || options().append(true).open(path).ok();
        if !matches!(origin, Origin::Own) {
            let _ = std::fs::remove_file(path.with_extension(SHARED));
        }
        if let Some(since) = since.filter(|_| matches!(origin, Origin::Other(_))) {
            record.failed = Some((path.to_owned(), Instant::now()));
            record.begin_from(since);
            record.try_again(Duration::ZERO);
        } else if let Some(file) = opened().filter(|_| is_as_kept) {
            set_used(path, SystemTime::now());
            record.file = Some(Kept { path: path.to_owned(), file, lines: count });
        } else {
            record.begin_again_at(path.to_owned());
        }
        Ok(record)
    }

    fn is_longer_than_needed(&self, count: usize) -> bool {
        count > 1000 + 2 * self.lines.len()
    }

    fn write_anew(&self, path: &Path) -> io::Result<()> {
        // Of who has the lock: nobody else writes it.
        let temporary = path.with_extension("tmp");
        let written = self.write_to(&temporary).and_then(|()| std::fs::rename(&temporary, path));
        if written.is_err() {
            let _ = std::fs::remove_file(&temporary);
        }
        written
    }

    fn write_to(&self, temporary: &Path) -> io::Result<()> {
        let mut file = io::BufWriter::new(options().truncate(true).open(temporary)?);
        let (record, settings, begun) = (self.id.clone(), self.settings.clone(), self.begun.clone());
        let heading = Heading { format: FORMAT, record, settings, begun };
        serde_json::to_writer(&mut file, &heading)?;
        file.write_all(b"\n")?;
        let mut frame = Vec::new();
        for (path, told) in &self.lines {
            frame.clear();
            write_line(&mut frame, path, told);
            file.write_all(&frame)?;
        }
        file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
    }

    /// Leaves out the files that have been gone for longest, if there are very many. Gives whether it did.
    fn forget_oldest(&mut self) -> bool {
        self.noted = 0;
        let gone = self.lines.values().filter(|told| told.digest.is_none());
        let mut numbers: Vec<u64> = gone.map(|told| told.number).collect();
        let Some(surplus) = numbers.len().checked_sub(MOST_GONE).filter(|surplus| *surplus > 0) else { return false };
        let (_, first, _) = numbers.select_nth_unstable(surplus);
        let first = *first;
        self.lines.retain(|_, told| told.digest.is_some() || told.number >= first);
        true
    }

    /// From here on nothing is kept any more.
    pub(super) fn close(&mut self) {
        self.try_again(Duration::ZERO);
        self.file = None;
        // The system gives it back in any case when the file is closed.
        let _ = self.lock.take().map(|lock| lock.unlock());
    }

    pub(super) fn is_new(&self) -> bool {
        self.is_new
    }

    pub(super) fn line(&self, path: &str) -> Option<&Told> {
        self.lines.get(path)
    }

    pub(super) fn lines(&self) -> impl Iterator<Item = (&str, &Told)> {
        self.lines.iter().map(|(path, told)| (&**path, told))
    }

    /// The next place in the order of events.
    pub(super) fn draw(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    /// What is noted of a file for who comes back with a cursor: he is told at once of all that happened since.
    pub(super) fn caught_up(&self, since: Option<&Cursor>, told: Told) -> Told {
        match since {
            Some(since) if self.is_of(since) => told.told_at_once(since.number),
            _ => told,
        }
    }

    /// Notes a line, to be [written](Self::write); one before the first event has the number 0.
    pub(super) fn note(&mut self, path: &str, told: Told) {
        if self.file.is_some() {
            let (lines, count) = &mut self.unwritten;
            write_line(lines, path, &told);
            *count += 1;
        }
        self.noted += 1;
        self.lines.insert(path.into(), told);
    }

    /// Writes the lines that were noted. On a full disk it is tried again later, with all that was noted meanwhile.
    pub(super) fn write(&mut self) {
        let (lines, count) = std::mem::take(&mut self.unwritten);
        let has_forgotten = self.noted > MOST_GONE && self.forget_oldest();
        if let Some(mut kept) = self.file.take_if(|_| count > 0) {
            kept.lines += count;
            if has_forgotten || self.is_longer_than_needed(kept.lines) {
                // Closed first: not every file system of Windows replaces a file that is open.
                drop(kept.file);
                self.begin_again_at(kept.path);
            } else if kept.file.write_all(&lines).is_ok() {
                self.file = Some(kept);
            } else {
                self.failed = Some((kept.path, Instant::now()));
            }
        } else {
            self.try_again(RETRY);
        }
    }

    /// Writes all that is known where it could not be written, if that is so long ago.
    fn try_again(&mut self, pause: Duration) {
        if let Some((path, _)) = self.failed.take_if(|(_, tried)| tried.elapsed() >= pause) {
            self.begin_again_at(path);
        }
    }

    fn begin_again_at(&mut self, path: PathBuf) {
        match self.begin_again(path.clone()) {
            Ok(kept) => self.file = Some(kept),
            Err(_) => self.failed = Some((path, Instant::now())),
        }
    }

    /// Leaves out what was told again since.
    fn begin_again(&self, path: PathBuf) -> io::Result<Kept> {
        self.write_anew(&path)?;
        Ok(Kept { file: options().append(true).open(&path)?, path, lines: self.lines.len() })
    }

    /// Takes all that was changed before this moment for told.
    pub(super) fn set_quiet(&mut self, quiet: SystemTime) {
        self.quiet = quiet;
    }

    /// The cursor behind the event of this number. Its time is one before which nothing was left to be told.
    pub(super) fn cursor(&self, number: u64) -> Cursor {
        Cursor { record: self.id.clone(), number, time: milliseconds(self.quiet) }
    }

    /// The cursor behind everything that was told.
    pub(super) fn present(&self) -> Cursor {
        self.cursor(self.number)
    }

    /// Whether a cursor is of this record. One beyond its end is of lines that were lost.
    pub(super) fn is_of(&self, cursor: &Cursor) -> bool {
        let is_begun =
            self.begun.as_ref().is_some_and(|(record, number)| *record == cursor.record && *number == cursor.number);
        (cursor.record == self.id || is_begun) && cursor.number <= self.number
    }

    /// Whether a file was there, told of as a capsule, at a cursor.
    pub(super) fn was_there(&self, cursor: &Cursor, told: &Told) -> bool {
        self.is_of(cursor) && told.imported_by(cursor.number).is_some()
    }

    /// Whether an event of this number, on a file that changed at this time (nanoseconds since 1970), is behind a cursor.
    pub(super) fn is_behind(&self, cursor: &Cursor, number: u64, changed: Option<i64>) -> bool {
        /// A cursor of another record tells only its time: rather told twice than not at all. In milliseconds.
        const MARGIN: u64 = 1000;
        if self.is_of(cursor) {
            return number > cursor.number;
        }
        let from = cursor.time.saturating_sub(if cursor.record.is_empty() { 0 } else { MARGIN });
        changed.is_some_and(|changed| u64::try_from(changed / 1_000_000).is_ok_and(|changed| changed >= from))
    }
}

/// Since 1970.
fn milliseconds(time: SystemTime) -> u64 {
    u64::try_from(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

/// What a line takes besides its content.
const FRAME: usize = 8;

fn write_line(out: &mut Vec<u8>, path: &str, told: &Told) {
    // Into memory nothing can fail, and no path is so long.
    let Ok(content) = postcard::to_allocvec(&(path, told)) else { return };
    let Ok(length) = u32::try_from(content.len()) else { return };
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&crc32fast::hash(&content).to_le_bytes());
    out.extend_from_slice(&content);
}

/// The CRC-32 and the content of each line, and what is left behind the last one that is whole.
fn frames(mut text: &[u8]) -> (Vec<(u32, &[u8])>, &[u8]) {
    let mut frames = Vec::new();
    while let Some((frame, rest)) = text.split_first_chunk::<FRAME>() {
        let [length, check] =
            [0, 4].map(|at| u32::from_le_bytes([frame[at], frame[at + 1], frame[at + 2], frame[at + 3]]));
        let Some((content, rest)) = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length))
        else {
            break;
        };
        frames.push((check, content));
        text = rest;
    }
    (frames, text)
}

fn line_in((check, content): (u32, &[u8])) -> Option<(&str, Told)> {
    (crc32fast::hash(content) == check).then(|| postcard::from_bytes(content).ok()).flatten()
}

/// What the record in a file is.
fn heading(path: &Path) -> Option<Heading> {
    let mut line = String::new();
    io::BufReader::new(open_own(path)?.take(1024)).read_line(&mut line).ok()?;
    serde_json::from_str(&line).ok()
}

/// How the name of a file ends that says of a record that others may come back to it, too, than who goes on with it.
const SHARED: &str = "shared";

fn set_shared(path: &Path) {
    let _ = options().open(path.with_extension(SHARED));
}

fn is_shared(path: &Path) -> bool {
    path.with_extension(SHARED).exists()
}

/// When nobody comes back to a record any more.
const LEFT: SystemTime = UNIX_EPOCH;

/// When a record was used last, which says whose place is taken: the modification time of its file.
fn used(path: &Path) -> Option<SystemTime> {
    path.metadata().ok()?.modified().ok()
}

fn set_used(path: &Path, when: SystemTime) {
    // It fails where nothing can be written, and nobody's place is taken either.
    let _ = File::options().write(true).open(path).and_then(|file| file.set_modified(when));
}

/// Where the records of a vault may be kept in a cache folder, which is made for its owner alone.
fn paths_in(cache: &Path, root: &Path) -> io::Result<Vec<PathBuf>> {
    /// So many watches of one vault at once are recorded.
    const MOST: usize = 16;
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(cache)?;
    let name = crate::formats::fingerprint::sha256(root.to_string_lossy().as_bytes());
    Ok((0..MOST).map(|place| cache.join(format!("{}-{place}.watch", &name[..32]))).collect())
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true).write(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        // A pipe of somebody else's that nobody reads would be waited for.
        options.mode(0o600).custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    }
    options
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Cursor, Record, Told};

    fn told(number: u64) -> Told {
        Told { number, imported: number, digest: Some([7; 16]), accepted: true, before: Vec::new(), heard: true }
    }

    /// A cache folder, and where the first record of the vault is kept in it.
    fn cache() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = super::paths_in(folder.path(), Path::new("/vault")).expect("a folder")[0].clone();
        (folder, path)
    }

    fn open(folder: &tempfile::TempDir, since: Option<&Cursor>) -> Record {
        Record::open(folder.path(), Path::new("/vault"), "settings", since)
    }

    /// An event tells of a file.
    fn note(record: &mut Record, name: &str) {
        let number = record.draw();
        record.note(name, told(number));
        record.write();
    }

    #[test]
    fn keeps_what_was_told() {
        let (folder, path) = cache();
        let mut record = open(&folder, None);
        assert!(record.is_new() && record.file.is_some());
        for name in ["a", "b", "a"] {
            let number = record.draw();
            record.note(name, told(number));
            record.write();
        }
        let cursor = record.present();
        let other = open(&folder, Some(&cursor));
        assert!(other.file.is_some() && other.id != record.id, "each has its own");
        assert!(other.is_of(&cursor) && other.line("a") == record.line("a"), "and knows what the other was told");
        let other_path = other.file.as_ref().expect("a file").path.clone();
        drop((record, other));
        // A kill in the middle of a line.
        let mut text = std::fs::read(&path).expect("a file");
        text.extend_from_slice(&[40, 0, 0, 0, 1, 2, 3, 4, 1, b'c']);
        std::fs::write(&path, text).expect("written");
        for _ in 0..2 {
            let held = Record::open(folder.path(), Path::new("/another"), "settings", None);
            let mut record = open(&folder, Some(&cursor));
            assert!(!record.is_new() && record.id == cursor.record && held.id != record.id);
            assert_eq!((record.lines.len(), record.line("a").map(|line| line.number)), (2, Some(3)));
            assert!(!record.is_behind(&cursor, 3, None) && record.is_behind(&cursor, 4, None));
            let number = record.draw();
            record.note("d", told(number));
            record.write();
            record.lines.remove("d");
            // Not every file system of Windows replaces a file that is open.
            record.file = None;
            record.write_anew(&path).expect("written");
        }
        assert_eq!(Cursor::parse(&cursor.to_string()), Some(cursor));
        std::fs::write(&path, "{\"format\":99,\"record\":\"x\"}\n").expect("written");
        std::fs::remove_file(other_path).expect("removed");
        assert!(open(&folder, None).is_new(), "another format is begun anew");
    }

    #[test]
    fn numbers_are_not_given_twice_when_the_end_was_lost() {
        let (folder, path) = cache();
        let mut record = open(&folder, None);
        let mut lengths = Vec::new();
        for name in ["a", "b", "c"] {
            let number = record.draw();
            record.note(name, told(number));
            record.write();
            lengths.push(std::fs::metadata(&path).expect("a file").len());
        }
        let cursor = record.present();
        drop(record);
        let file = std::fs::File::options().write(true).open(&path).expect("a file");
        file.set_len(lengths[0]).expect("cut");
        for _ in 0..2 {
            let mut record = open(&folder, Some(&cursor));
            assert!(!record.is_of(&cursor) && record.line("a").is_some());
            for name in ["d", "e", "f"] {
                let number = record.draw();
                record.note(name, told(number));
                record.write();
            }
        }
    }

    #[test]
    fn knows_when_a_file_was_there() {
        use crate::watch::Happening::{Imported, Rejected, Removed, Updated};
        let mut told: Option<Told> = None;
        for (number, happening) in (1..).zip([Imported, Updated, Removed, Imported, Rejected, Imported, Removed]) {
            let digest = (happening != Removed).then_some([1; 16]);
            told = Some(Told::followed_by(told.as_ref(), number, digest, happening));
        }
        let told = told.expect("told");
        let there: Vec<u64> = (0..9).filter(|number| told.imported_by(*number).is_some()).collect();
        assert_eq!(there, [1, 2, 4, 6]);
        // However often it comes and goes.
        let mut told = told;
        for number in 8..200 {
            let happening = if number % 2 == 0 { Imported } else { Removed };
            told = Told::followed_by(Some(&told), number, (happening == Imported).then_some([1; 16]), happening);
        }
        assert!(told.imported_by(198).is_some() && told.imported_by(199).is_none() && told.before.len() <= 16);
    }

    /// Whoever comes back is told at once of what happened since, and may be ended in the middle of that.
    #[test]
    fn what_is_told_at_once_happened_at_once_for_whom_it_is_told() {
        use crate::watch::Happening::{self, Imported, Rejected, Removed, Updated};
        let history = |happenings: &[Happening]| {
            let mut told: Option<Told> = None;
            for (number, happening) in (1..).zip(happenings) {
                let digest = (*happening != Removed).then_some([1; 16]);
                told = Some(Told::followed_by(told.as_ref(), number, digest, *happening));
            }
            told.expect("told")
        };
        let there = |told: &Told| (0..9).filter(|number| told.imported_by(*number).is_some()).collect::<Vec<u64>>();
        for (happenings, since, expected) in [
            (&[Imported, Removed, Imported][..], 1, &[1, 2, 3, 4, 5, 6, 7, 8][..]),
            (&[Imported, Removed, Imported, Removed], 1, &[1, 2, 3]),
            (&[Imported, Removed, Imported, Removed], 2, &[1]),
            (&[Imported, Removed, Imported, Updated], 2, &[1, 4, 5, 6, 7, 8]),
            (&[Imported, Updated, Rejected], 1, &[1, 2]),
            (&[Imported, Removed], 2, &[1]),
            (&[Rejected, Imported, Rejected], 1, &[]),
            (&[Imported, Updated], 0, &[2, 3, 4, 5, 6, 7, 8]),
        ] {
            let told = history(happenings);
            let then = told.as_of(since);
            assert_eq!(then.digest.is_some(), told.imported_by(since).is_some(), "{happenings:?} as of {since}");
            let last = (told.number, told.digest);
            let at_once = told.told_at_once(since);
            assert_eq!(there(&at_once), expected, "{happenings:?} since {since}");
            assert_eq!((at_once.number, at_once.digest), last);
        }
    }

    #[test]
    fn who_comes_back_to_a_record_that_went_on_has_one_of_his_own_and_takes_nobodys() {
        let (folder, _) = cache();
        // Two applications, each with a record.
        let mut one = open(&folder, None);
        note(&mut one, "a");
        let mut two = open(&folder, None);
        note(&mut two, "a");
        let (cursor_of_one, cursor_of_two) = (one.present(), two.present());
        drop((one, two));
        // A third has no cursor.
        let mut third = open(&folder, None);
        assert_eq!(third.id, cursor_of_one.record);
        note(&mut third, "b");
        let cursor_of_third = third.present();
        let one = open(&folder, Some(&cursor_of_one));
        assert!(one.id != third.id && one.is_of(&cursor_of_one) && one.file.is_some());
        drop((one, third));
        let one = open(&folder, Some(&cursor_of_one));
        assert!(one.id != cursor_of_one.record && one.is_of(&cursor_of_one), "also if nobody has it now");
        let two = open(&folder, Some(&cursor_of_two));
        assert_eq!(two.id, cursor_of_two.record);
        let third = open(&folder, Some(&cursor_of_third));
        assert_eq!(third.id, cursor_of_third.record);
    }

    #[test]
    fn who_judges_by_other_settings_has_a_record_of_his_own() {
        let (folder, _) = cache();
        let other =
            |settings: &str, since: Option<&Cursor>| Record::open(folder.path(), Path::new("/vault"), settings, since);
        let mut one = open(&folder, None);
        note(&mut one, "a");
        let cursor = one.present();
        drop(one);
        let others: Vec<Record> = ["tether", "limit", "limit"].map(|settings| other(settings, None)).into();
        assert!(others.iter().all(|record| record.is_new && record.file.is_some()));
        let ids: Vec<String> = others.iter().map(|record| record.id.clone()).collect();
        drop(others);
        let one = open(&folder, Some(&cursor));
        assert!(one.id == cursor.record && one.line("a") == Some(&told(1)));
        drop(one);
        assert_eq!(ids[..2], ["tether", "limit"].map(|settings| other(settings, None).id));
        // Who has set another himself comes back to what he was told.
        let one = other("tether", Some(&cursor));
        assert!(one.id == cursor.record && one.line("a").is_some());
        drop(one);
        assert_eq!(other("tether", Some(&cursor)).id, cursor.record);
        // Where there is no room, the place of who was away for longest is taken.
        let many: Vec<Record> = (0..20).map(|place| other(&place.to_string(), None)).collect();
        assert_eq!(many.iter().filter(|record| record.file.is_some()).count(), 16);
    }

    #[test]
    fn who_is_ended_again_and_again_takes_no_place_but_his_own() {
        let (folder, _) = cache();
        let files = || {
            let names = std::fs::read_dir(folder.path()).expect("a folder").map(|item| item.expect("a file").path());
            names.filter(|path| path.extension().is_some_and(|kind| kind == "watch")).count()
        };
        let mut one = open(&folder, None);
        note(&mut one, "a");
        let mut two = open(&folder, None);
        note(&mut two, "a");
        let (cursor_of_one, mut cursor_of_two) = (one.present(), two.present());
        note(&mut two, "b");
        drop((one, two));
        for round in 0..60 {
            // He deals with what he is told in every third life only.
            let mut two = open(&folder, Some(&cursor_of_two));
            assert!(two.is_of(&cursor_of_two) && two.line("b").is_some(), "{round}");
            if round % 3 == 2 {
                cursor_of_two = two.present();
                note(&mut two, "b");
            }
        }
        assert!(files() <= 4, "{} files", files());
        let one = open(&folder, Some(&cursor_of_one));
        assert_eq!(one.id, cursor_of_one.record);
    }

    #[test]
    fn is_no_longer_than_needed() {
        let (folder, path) = cache();
        let mut record = open(&folder, None);
        for round in 0..5000 {
            let number = record.draw();
            record.note(["a", "b", "c"][round % 3], told(number));
            record.write();
        }
        let cursor = record.present();
        assert!(std::fs::metadata(&path).expect("a file").len() < 100_000);
        drop(record);
        let record = open(&folder, Some(&cursor));
        assert_eq!(record.present().to_string().split('.').next(), cursor.to_string().split('.').next());
        let numbers = ["a", "b", "c"].map(|name| record.line(name).map(|line| line.number));
        assert_eq!(numbers, [Some(4999), Some(5000), Some(4998)]);
    }

    #[test]
    fn of_very_many_files_that_are_gone_the_oldest_are_forgotten() {
        let (folder, path) = cache();
        let mut record = open(&folder, None);
        let note = |record: &mut Record, name: String, told: Told| {
            record.note(&name, told);
            record.write();
        };
        for round in 0..5000 {
            let number = record.draw();
            let gone = round % 5 > 0;
            let told = if gone { Told { digest: None, accepted: false, ..told(number) } } else { told(number) };
            note(&mut record, round.to_string(), told);
        }
        let gone = |record: &Record| record.lines.values().filter(|told| told.digest.is_none()).count();
        assert!(gone(&record) <= 2 * super::MOST_GONE && record.lines.len() - gone(&record) == 1000);
        drop(record);
        let record = open(&folder, None);
        assert_eq!((gone(&record), record.lines.len()), (super::MOST_GONE, 1000 + super::MOST_GONE));
        assert!(record.line("4999").is_some() && record.line("1").is_none());
        assert!(std::fs::metadata(&path).expect("a file").len() < 200_000);
    }

    /// As the lines are all in memory, nothing is lost but what is told until it can be written.
    #[test]
    fn what_could_not_be_written_is_written_when_it_can_be() {
        let (folder, path) = cache();
        let mut record = open(&folder, None);
        // As on a full disk: nothing can be written there.
        let full = folder.path().join("full");
        std::fs::create_dir(&full).expect("a folder");
        let kept = record.file.take().expect("a file");
        record.failed = Some((full, std::time::Instant::now()));
        drop(kept);
        let number = record.draw();
        record.note("a", told(number));
        record.write();
        let cursor = record.present();
        assert!(record.file.is_none() && record.failed.is_some());
        record.failed = record.failed.map(|(_, tried)| (path, tried));
        record.close();
        drop(record);
        let record = open(&folder, Some(&cursor));
        assert!(record.is_of(&cursor) && record.line("a").is_some());
    }

    #[test]
    fn a_cursor_of_another_record_tells_its_time() {
        let record = Record::forgetful();
        let cursor = Cursor { record: "other".to_owned(), number: 5, time: 10_000 };
        assert!(
            record.is_behind(&cursor, 1, Some(9_500_000_000)) && !record.is_behind(&cursor, 9, Some(8_000_000_000))
        );
        assert!(!record.is_behind(&Cursor::at(10_000), 1, Some(9_999_000_000)));
        let lost = Cursor { record: record.id.clone(), number: 5, time: 10_000 };
        assert!(record.is_behind(&lost, 1, Some(10_000_000_000)), "its line is not there");
        for text in ["", "a", "a.b.c", "a.1", "a.1.2.3", ".1.2", "a.-1.2"] {
            assert_eq!(Cursor::parse(text), None, "{text}");
        }
    }
}
