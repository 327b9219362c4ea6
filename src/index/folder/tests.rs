use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proptest::prelude::*;

use super::{
    BrokenFile, Folder, FolderKind, Names, Opened, Progress, Refreshed, Snapshot, Storage, Ticket, UnseenReading,
    Writing, identity,
};
#[cfg(target_os = "linux")]
use super::{Entry, Freshness};
use crate::index::{Query, RowRef, View};
use crate::lock::lock;
use crate::vault::{Boundary, Directory, LETTING_GO};

/// After so long a file's times can be relied on: on Windows no folder is known to be local.
const SETTLED: Duration = Duration::from_millis(if cfg!(windows) { 5100 } else { 65 });

struct Vault {
    place: tempfile::TempDir,
    cache: tempfile::TempDir,
    folder: Folder,
    /// By the system's notifications where they are to be had, or by sweeps alone.
    notified: bool,
    /// It is read before it is watched.
    later: bool,
}

impl Vault {
    fn new(notified: bool) -> Self {
        let (place, cache) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let folder = Self::folder(&place, &cache);
        Self { place, cache, folder, notified, later: false }
    }

    fn folder(place: &tempfile::TempDir, cache: &tempfile::TempDir) -> Folder {
        let path = place.path().canonicalize().expect("a folder");
        Folder::new(FolderKind::Capsules, path, Some(Arc::new(Storage::new(cache.path()))))
    }

    fn watched_later() -> Self {
        let mut vault = Self { later: true, ..Self::new(true) };
        vault.reopen();
        vault
    }

    /// As a process that begins anew.
    fn reopen(&mut self) {
        self.folder = Self::folder(&self.place, &self.cache);
        if self.later {
            self.folder.watched_later = 0;
        }
    }

    /// The file that is kept of the folder.
    fn kept(&self) -> Option<PathBuf> {
        let mut files = fs::read_dir(self.cache.path().join("memories")).ok()?.map(|file| file.expect("a file").path());
        let file = files.next();
        assert_eq!(files.next(), None);
        file
    }

    /// Waits until every file is old enough to rely on its times, and makes a segment.
    fn compact(&self) {
        std::thread::sleep(SETTLED);
        self.folder.compact();
    }

    /// By every way of knowing what has changed.
    fn each() -> [Self; 3] {
        [Self::new(true), Self::new(false), Self::watched_later()]
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn write(&self, name: &str, raw: &str) {
        fs::write(self.path(name), format!("{{\"raw\":\"{raw}\"}}")).expect("a file");
    }

    fn write_nine_and_a_broken_one(&self) {
        for number in 0..9 {
            self.write(&format!("{number}.json"), &number.to_string());
        }
        fs::write(self.path("broken.json"), "{").expect("a file");
    }

    fn refresh(&self, asked: Ticket) -> Refreshed {
        if !self.notified {
            self.folder.rest(Duration::ZERO);
        }
        let boundary = Boundary::new(self.place.path()).expect("a vault");
        let directory = Directory::open(self.place.path()).expect("a folder");
        self.folder.refresh(&directory, &boundary, asked, &Progress::default()).expect("files")
    }

    fn sweep(&self) -> (Arc<Snapshot>, Vec<BrokenFile>) {
        let Refreshed { snapshot, broken, .. } = self.refresh(Ticket::draw());
        (snapshot, broken)
    }

    fn contents(&self) -> Vec<(String, Option<String>)> {
        // As a question does that meets damage.
        let mut tries = 0;
        loop {
            let snapshot = self.sweep().0;
            if let Some(texts) = texts(&snapshot) {
                return texts;
            }
            tries += 1;
            assert!(tries < 3, "damage is read past");
            View::new(vec![snapshot]).distrust_after(tries);
        }
    }

    /// What a reader finds that knows nothing yet.
    fn read_anew(&self) -> Vec<(String, Option<String>)> {
        let boundary = Boundary::new(self.place.path()).expect("a vault");
        let directory = Directory::open(self.place.path()).expect("a folder");
        let reader = Folder::new(FolderKind::Capsules, self.place.path().to_owned(), None);
        let read = reader.refresh(&directory, &boundary, Ticket::draw(), &Progress::default());
        texts(&read.expect("files").snapshot).expect("nothing was kept of it")
    }
}

/// What each file holds; `None` if what was kept is damaged.
fn texts(snapshot: &Snapshot) -> Option<Vec<(String, Option<String>)>> {
    let text = |row: RowRef<'_>| {
        if !row.is_memory() {
            return Some(None);
        }
        let mut json = String::new();
        row.to_row().with_memory(|memory| memory.write_json("", "", false, &mut json))?;
        let value: serde_json::Value = serde_json::from_str(&json).expect("valid JSON");
        Some(Some(value["content"].as_str().expect("a string").to_owned()))
    };
    snapshot.rows().map(|row| Some((row.name().to_owned(), text(row)?))).collect()
}

fn pair(name: &str, raw: &str) -> (String, Option<String>) {
    (name.to_owned(), Some(raw.to_owned()))
}

#[test]
fn what_nobody_came_to_tell_is_told_to_the_next() {
    for vault in Vault::each() {
        for name in ["a.json", "b.json"] {
            fs::write(vault.path(name), "{").expect("a file");
        }
        let broken = vault.refresh(Ticket::draw()).broken;
        assert_eq!(broken.len(), 2);
        assert!(vault.refresh(Ticket::draw()).broken.is_empty());
        vault.folder.take_back(broken.clone());
        vault.write("b.json", "mended");
        assert_eq!(vault.refresh(Ticket::draw()).broken, broken[..1]);
        assert!(vault.refresh(Ticket::draw()).broken.is_empty());
    }
}

/// Faster than any file system's clock ticks, so that neither size nor time tells one state from the next.
#[test]
fn a_rewrite_of_the_same_size_within_one_tick_is_seen() {
    for vault in Vault::each() {
        for round in 0..3000 {
            let raw = format!("{round:06}");
            vault.write("a.json", &raw);
            assert_eq!(vault.contents(), [pair("a.json", &raw)]);
        }
    }
}

#[test]
fn replacement_removal_and_a_new_folder_are_seen() {
    for vault in Vault::each() {
        vault.write("b.json", "1");
        vault.write("a.json", "1");
        vault.write("no.txt", "1");
        assert_eq!(vault.contents(), [pair("a.json", "1"), pair("b.json", "1")]);
        vault.write("new", "2");
        fs::rename(vault.path("new"), vault.path("a.json")).expect("a replacement");
        assert_eq!(vault.contents(), [pair("a.json", "2"), pair("b.json", "1")]);
        fs::remove_file(vault.path("b.json")).expect("removed");
        assert_eq!(vault.contents(), [pair("a.json", "2")]);
        fs::remove_dir_all(vault.place.path()).expect("removed");
        fs::create_dir(vault.place.path()).expect("a folder");
        assert_eq!(vault.contents(), []);
        vault.write("a.json", "3");
        assert_eq!(vault.contents(), [pair("a.json", "3")]);
    }
}

/// The first reading of a large folder does not look at its files' states.
#[cfg(target_os = "linux")]
#[test]
fn what_was_read_without_looking_at_it_is_told_by_a_later_look() {
    let vault = Vault::watched_later();
    vault.write_nine_and_a_broken_one();
    fs::write(vault.path("large.json"), format!("{{\"raw\":\"{}\"}}", "x".repeat(70_000))).expect("a file");
    fs::hard_link(vault.path("8.json"), vault.cache.path().join("other name")).expect("a link");
    std::thread::sleep(SETTLED);
    fs::write(vault.path("young.json"), "[").expect("a file");
    let (first, broken) = vault.sweep();
    assert_eq!(broken.len(), 2);
    let is_unseen = |entry: &&Arc<Entry>| entry.is_unseen();
    assert_eq!(first.fresh().iter().filter(is_unseen).count(), 12);

    // Of the same size, and the file's own time set back: only the system knows.
    let before = fs::metadata(vault.path("1.json")).expect("a file").modified().expect("a time");
    vault.write("1.json", "x");
    fs::File::options().write(true).open(vault.path("1.json")).and_then(|file| file.set_modified(before)).expect("set");
    vault.write("beside", "y");
    fs::rename(vault.path("beside"), vault.path("2.json")).expect("renamed");
    fs::rename(vault.path("3.json"), vault.path("4.json")).expect("renamed");
    fs::remove_file(vault.path("5.json")).expect("removed");
    std::os::unix::fs::symlink("6.json", vault.path("link.json")).expect("a link");
    fs::remove_file(vault.path("7.json")).expect("removed");
    rustix::fs::mknodat(rustix::fs::CWD, vault.path("7.json"), rustix::fs::FileType::Fifo, 0o600.into(), 0)
        .expect("a pipe");

    let (second, broken) = vault.sweep();
    assert_eq!(broken.iter().map(|broken| &*broken.name).collect::<Vec<_>>(), ["7.json"]);
    assert_eq!(texts(&second), Some(vault.read_anew()));
    let stays = |name: &str| Arc::ptr_eq(first.fresh_of(name).expect("read"), second.fresh_of(name).expect("read"));
    let names = ["0", "1", "2", "4", "6", "8", "broken", "large", "young"].map(|name| format!("{name}.json"));
    let expected = [true, false, false, false, true, false, true, true, false];
    assert_eq!(names.each_ref().map(|name| stays(name)), expected);
    assert!(!second.fresh().iter().any(|entry| entry.is_unseen()));
    assert!(second.fresh_of("0.json").is_some_and(|entry| entry.is_settled() && entry.signature().is_some()));
}

#[test]
fn a_state_tells_nothing_of_before_once_the_clock_was_set() {
    let vault = Vault::new(false);
    vault.write("a.json", "a");
    std::thread::sleep(SETTLED);
    let directory = Directory::open(vault.place.path()).expect("a folder");
    let state = directory.own_signature("a.json").expect("a state").expect("a file");
    let now = UnseenReading::begin();
    assert!(now.was_in(&state));
    for began in [now.began + Duration::from_secs(1), now.began - Duration::from_secs(1)] {
        assert!(!UnseenReading { began, ..now }.was_in(&state));
    }
    vault.write("a.json", "b");
    let state = directory.own_signature("a.json").expect("a state").expect("a file");
    assert!(!now.was_in(&state));
}

/// What is written while all files are looked at is told when it has been read.
#[cfg(target_os = "linux")]
#[test]
fn a_write_that_was_read_before_it_was_told_is_not_lost() {
    let vault = Vault::new(true);
    for number in 0..3000 {
        vault.write(&format!("{number:04}.json"), "old");
    }
    let boundary = Boundary::new(vault.place.path()).expect("a vault");
    let directory = Directory::open(vault.place.path()).expect("a folder");
    let looked_at = |progress: &Progress| {
        vault.folder.refresh(&directory, &boundary, Ticket::draw(), progress).expect("files");
        progress.total.load(Ordering::Relaxed)
    };
    looked_at(&Progress::default());
    std::thread::sleep(SETTLED);
    looked_at(&Progress::default());
    vault.folder.rest(Duration::ZERO);
    let looks = ["2998.json", "2999.json"].map(|name| {
        let progress = Progress::default();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while progress.total.load(Ordering::Relaxed) == 0 && !progress.aborted.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
                vault.write(name, "new");
            });
            let looked_at = looked_at(&progress);
            progress.aborted.store(true, Ordering::Relaxed);
            looked_at
        })
    });
    // The first time it can't always be told from a write before.
    assert_eq!((looks[0], looked_at(&Progress::default())), (3000, 0));
    assert_eq!(vault.contents()[2998..], ["2998.json", "2999.json"].map(|name| pair(name, "new")));
}

/// It is told by a name that was written too, but before the question.
#[test]
fn a_write_by_a_lost_name_is_seen_beside_one_by_that_name() {
    use Change::{Break, Link, Open, Remove, Replace, Write, WriteOpen};
    let written_anew =
        [vec![Replace(5, 0)], vec![Open(5)], vec![Link(5, 2), Remove(5)], vec![Write(5, 0)], vec![WriteOpen(1)]];
    let replaced = [vec![Break(5), Open(5)], vec![Link(5, 0), Replace(5, 0)], vec![WriteOpen(0)]];
    for changes in [written_anew.to_vec(), replaced.to_vec()] {
        for way in 0..3 {
            equals_a_fresh_reading(changes.clone(), way).expect("the same");
        }
    }
}

#[test]
fn a_settled_folder_is_not_read_again() {
    let vault = Vault::new(false);
    vault.write("a.json", "1");
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    // The first sweeps still find the file too young to rely on its times.
    while !vault.sweep().0.fresh()[0].is_settled() {
        assert!(std::time::Instant::now() < deadline, "the file never settled");
    }
    let (first, second) = (vault.sweep().0, vault.sweep().0);
    assert!(Arc::ptr_eq(&first, &second));
}

#[test]
fn a_broken_file_is_told_once_for_each_of_its_states() {
    for vault in Vault::each() {
        fs::write(vault.path("a.json"), "{bad").expect("a file");
        vault.write("b.json", "1");
        let (snapshot, broken) = vault.sweep();
        assert_eq!(snapshot.len(), 2);
        assert_eq!(broken.len(), 1);
        assert_eq!((&*broken[0].name, broken[0].empty), ("a.json", false));
        assert!(broken[0].message.starts_with("expected a key in double quotes in JSON at line 1 column 2"));
        assert_eq!(vault.sweep().1, []);
        fs::write(vault.path("a.json"), "null").expect("a file");
        let broken = vault.sweep().1;
        assert!(broken.len() == 1 && broken[0].empty);
        assert_eq!(vault.sweep().1, []);
        vault.write("a.json", "mended");
        assert_eq!((vault.sweep().1, vault.contents()), (vec![], vec![pair("a.json", "mended"), pair("b.json", "1")]));
        fs::create_dir(vault.path("c.json")).expect("a folder");
        assert_eq!(vault.sweep().1.len(), 1);
        assert_eq!(vault.sweep().1, []);
    }
}

#[test]
fn who_asked_before_a_sweep_began_shares_it() {
    for vault in Vault::each() {
        vault.write("a.json", "1");
        let early = Ticket::draw();
        let first = vault.sweep().0;
        vault.write("a.json", "2");
        assert!(Arc::ptr_eq(&first, &vault.refresh(early).snapshot));
        assert_eq!(vault.contents(), [pair("a.json", "2")]);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_large_folder_is_watched_once_it_has_been_read() {
    let vault = Vault::watched_later();
    vault.write("a.json", "1");
    let first = vault.refresh(Ticket::draw());
    assert_eq!((first.freshness, first.unwatched), (Freshness::Swept, true));
    vault.write("b.json", "1");
    fs::write(vault.path("c.json"), "{").expect("a file");
    vault.folder.watch().expect("a folder");
    vault.write("a.json", "2");
    let second = vault.refresh(Ticket::draw());
    assert_eq!((second.freshness, second.unwatched), (Freshness::Notified, false));
    assert_eq!(second.broken.len(), 1, "what came in between is told");
    assert_eq!(vault.contents(), [pair("a.json", "2"), pair("b.json", "1"), ("c.json".to_owned(), None)]);
    // It was read before, so now it is watched first.
    vault.folder.rest(Duration::ZERO);
    assert_eq!(vault.refresh(Ticket::draw()).freshness, Freshness::Notified);
    let empty = Vault::watched_later();
    assert!(empty.refresh(Ticket::draw()).unwatched);
    assert_eq!(empty.refresh(Ticket::draw()).freshness, Freshness::Notified);
}

#[cfg(target_os = "linux")]
#[test]
fn what_is_found_broken_while_nobody_asks_is_told_to_the_next() {
    let vault = Vault::watched_later();
    vault.write("a.json", "1");
    vault.refresh(Ticket::draw());
    fs::write(vault.path("b.json"), "{").expect("a file");
    let asked = Ticket::draw();
    vault.folder.watch().expect("a folder");
    assert_eq!(vault.refresh(asked).broken.len(), 1, "also to who shares what was found");
    assert!(vault.refresh(Ticket::draw()).broken.is_empty());
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_is_swept_once_and_then_notified() {
    let vault = Vault::new(true);
    vault.write("a.json", "1");
    let first = vault.refresh(Ticket::draw());
    let second = vault.refresh(Ticket::draw());
    assert_eq!((first.freshness, second.freshness), (Freshness::Notified, Freshness::Notified));
    assert!(Arc::ptr_eq(&first.snapshot, &second.snapshot), "however young the file is");
    // A file with a name in another folder may be changed there.
    let other = tempfile::tempdir().expect("a folder");
    fs::write(other.path().join("b"), "{\"raw\":\"1\"}").expect("a file");
    fs::hard_link(other.path().join("b"), vault.path("b.json")).expect("a link");
    assert_eq!(vault.refresh(Ticket::draw()).freshness, Freshness::Swept);
    for round in 0..1000 {
        fs::write(other.path().join("b"), format!("{{\"raw\":\"{round:04}\"}}")).expect("written");
        assert_eq!(vault.contents()[1], pair("b.json", &format!("{round:04}")));
    }
    fs::remove_file(vault.path("b.json")).expect("removed");
    assert_eq!(vault.refresh(Ticket::draw()).freshness, Freshness::Swept, "somebody may still have it open");
    assert!(!vault.folder.rest(Duration::ZERO));
    assert_eq!(vault.refresh(Ticket::draw()).freshness, Freshness::Notified);
    assert!(vault.folder.rest(Duration::from_secs(60)), "it was just used");
    assert!(!vault.folder.rest(Duration::ZERO));
}

/// By a link whose first name has gone, of which the system tells nothing but that.
#[test]
fn a_file_that_is_written_by_a_lost_name_is_read_again() {
    for vault in Vault::each() {
        vault.write("a", "1");
        let mut file = fs::OpenOptions::new().write(true).open(vault.path("a")).expect("a file");
        fs::hard_link(vault.path("a"), vault.path("b.json")).expect("a link");
        fs::remove_file(vault.path("a")).expect("removed");
        assert_eq!(vault.contents(), [pair("b.json", "1")]);
        for round in 0..100 {
            std::io::Seek::rewind(&mut file).expect("rewound");
            std::io::Write::write_all(&mut file, format!("{{\"raw\":\"{round:03}\"}}").as_bytes()).expect("written");
            assert_eq!(vault.contents(), [pair("b.json", &format!("{round:03}"))]);
        }
    }
}

#[cfg(unix)]
#[test]
fn what_could_not_be_read_is_tried_again() {
    for vault in Vault::each() {
        std::os::unix::fs::symlink("below/b", vault.path("a.json")).expect("a link");
        assert_eq!(vault.contents(), [("a.json".to_owned(), None)]);
        fs::create_dir(vault.path("below")).expect("a folder");
        vault.write("below/b", "1");
        assert_eq!(vault.contents(), [pair("a.json", "1")]);
        vault.write("below/b", "2");
        assert_eq!(vault.contents(), [pair("a.json", "2")]);
    }
}

/// Readers and a writer at once: what was written before a reader asked is in its answer.
#[test]
fn concurrent_readers_are_never_stale() {
    for vault in Vault::each() {
        vault.write("a.json", "0");
        let (written, done) = (std::sync::atomic::AtomicU32::new(0), AtomicBool::new(false));
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !done.load(Ordering::SeqCst) {
                        let before = written.load(Ordering::SeqCst);
                        // A half-written file is a broken one, for a moment.
                        if let Some(seen) = &vault.contents()[0].1 {
                            assert!(seen.parse::<u32>().expect("a number") >= before, "{seen} after {before}");
                        }
                    }
                });
            }
            for round in 1..2000 {
                vault.write("a.json", &round.to_string());
                written.store(round, Ordering::SeqCst);
            }
            done.store(true, Ordering::SeqCst);
        });
    }
}

fn stored(snapshot: &Snapshot) -> usize {
    snapshot.rows().filter(|row| matches!(row, RowRef::Stored(..))).count()
}

#[test]
fn what_was_kept_is_not_read_again() {
    for mut vault in Vault::each() {
        vault.write_nine_and_a_broken_one();
        let before = vault.contents();
        assert_eq!(stored(&vault.sweep().0), 0);
        vault.compact();
        assert_eq!(stored(&vault.sweep().0), 10, "in the same process too");
        vault.reopen();
        let (snapshot, broken) = vault.sweep();
        assert_eq!((stored(&snapshot), broken.len()), (10, 1), "and this process tells of what is broken");
        assert_eq!(texts(&snapshot), Some(before));
        // Only what is otherwise by now.
        vault.reopen();
        vault.write("3.json", "new");
        fs::remove_file(vault.path("4.json")).expect("removed");
        vault.write("a.json", "a");
        assert_eq!(stored(&vault.sweep().0), 8);
        let contents = vault.contents();
        assert_eq!((&contents[3], &contents[4], contents.len()), (&pair("3.json", "new"), &pair("5.json", "5"), 10));
        vault.compact();
        assert_eq!(vault.contents(), contents);
    }
}

#[test]
fn a_broken_file_is_told_by_each_process_whatever_became_of_its_kept_reason() {
    for mut vault in Vault::each() {
        vault.write_nine_and_a_broken_one();
        let told = vault.sweep().1;
        vault.compact();
        vault.reopen();
        vault.sweep();
        // As a watch does that finds no memory kept of it.
        let boundary = Boundary::new(vault.place.path()).expect("a vault");
        let directory = Directory::open(vault.place.path()).expect("a folder");
        let mut buffer = Vec::new();
        let (signature, length) = directory.read("broken.json", &boundary, 1000, &mut buffer).expect("a file");
        let entry = vault.folder.parse("broken.json", &buffer[..length], (signature, true, [0; 16]));
        vault.folder.apply(vec![("broken.json".into(), Some(entry))], &boundary);
        vault.sweep();
        vault.reopen();
        let (snapshot, again) = vault.sweep();
        assert_eq!((stored(&snapshot), &again), (10, &told), "nothing of it is gone");
        // As versions did that forgot what was there.
        let path = vault.kept().expect("a file");
        let mut bytes = fs::read(&path).expect("bytes");
        let reason = told[0].message.as_bytes();
        let at = bytes.windows(reason.len()).position(|bytes| bytes == reason).expect("kept");
        bytes[at..at + reason.len()].fill(0);
        fs::write(&path, bytes).expect("written");
        vault.reopen();
        assert_eq!(vault.sweep().1, told);
    }
}

/// Else nothing would go into the segment of a folder that somebody keeps adding to.
#[cfg(target_os = "linux")]
#[test]
fn files_settle_while_others_come() {
    let vault = Vault::new(true);
    for name in ["a.json", "b.json", "c.json"] {
        vault.write(name, "1");
    }
    let before = vault.sweep().0;
    std::thread::sleep(SETTLED);
    vault.write("b.json", "2");
    vault.write("d.json", "1");
    vault.sweep();
    let boundary = Boundary::new(vault.place.path()).expect("a vault");
    let settled = vault.folder.settle(before, &boundary, None);
    let now = vault.folder.kept();
    let is_settled = |name: &str| settled.fresh_of(name).expect("a file").is_settled();
    let is_shared =
        |name: &str| settled.fresh_of(name).zip(now.fresh_of(name)).is_some_and(|(one, other)| Arc::ptr_eq(one, other));
    assert_eq!(["a.json", "b.json", "c.json"].map(is_settled), [true, false, true]);
    assert_eq!(["a.json", "b.json", "c.json", "d.json"].map(is_shared), [true, false, true, false]);
}

#[cfg(unix)]
#[test]
fn what_is_gone_from_the_vault_is_gone_from_what_is_kept() {
    let vault = Vault::new(true);
    for number in 0..9 {
        vault.write(&format!("{number}.json"), &format!("secret-{number}"));
    }
    vault.contents();
    vault.compact();
    let holds = |text: &str| {
        let kept = fs::read(vault.kept().expect("a file")).expect("bytes");
        kept.windows(text.len()).any(|bytes| bytes == text.as_bytes())
    };
    assert!(holds("secret-3") && holds("secret-4"));
    fs::remove_file(vault.path("3.json")).expect("removed");
    vault.write("4.json", "other");
    let early = vault.folder.kept();
    vault.contents();
    assert!(!holds("secret-3") && !holds("secret-4") && holds("secret-5"));
    // Who asked before reads again, and that is no reason to forget the rest.
    assert_eq!(texts(&early), None);
    assert_eq!(stored(&vault.sweep().0), 7);
}

#[test]
fn a_tag_that_a_file_names_twice_counts_once() {
    for mut vault in Vault::each() {
        for number in 0..9 {
            let tags = if number == 4 { "\"y\",\"x\",\"x\",\"y\",\"x\"" } else { "\"x\"" };
            let text = format!("{{\"raw\":\"1\",\"created_ts\":\"2026-01-01T00:00:0{number}Z\",\"tags\":[{tags}]}}");
            fs::write(vault.path(&format!("{number}.json")), text).expect("a file");
        }
        let ask = |vault: &Vault| {
            let query = Query { limit: Some(7), tags: vec![b"x".to_vec()], ..Query::default() };
            let rows = View::new(vec![vault.sweep().0]).select(&query).expect("rows");
            rows.to_rows("", usize::MAX, 0, 1).expect("rows").0
        };
        let before = ask(&vault);
        vault.compact();
        assert_eq!((stored(&vault.sweep().0), ask(&vault)), (9, before.clone()));
        vault.reopen();
        assert_eq!(ask(&vault), before);
    }
}

/// Processes that begin at once each write a segment of what they have read; the last one stays.
#[test]
fn what_is_gone_from_the_vault_is_gone_from_what_another_process_keeps() {
    let _alone = lock(&LETTING_GO);
    let vault = Vault::new(false);
    for number in 0..9 {
        vault.write(&format!("{number}.json"), &format!("secret-{number}"));
    }
    let other = Vault { folder: Vault::folder(&vault.place, &vault.cache), ..Vault::new(false) };
    let boundary = Boundary::new(vault.place.path()).expect("a vault");
    let directory = Directory::open(vault.place.path()).expect("a folder");
    let look = || other.folder.refresh(&directory, &boundary, Ticket::draw(), &Progress::default()).expect("files");
    look();
    vault.contents();
    vault.compact();
    other.compact();
    vault.write("a.json", "a");
    vault.contents();
    assert!(vault.kept().is_some(), "nothing in it is gone");
    fs::remove_file(vault.path("3.json")).expect("removed");
    vault.contents();
    assert_eq!(vault.kept(), None);
    // Which is no reason for the other to read anything again.
    assert_eq!(stored(&look().snapshot), 8);
    // A segment that was written since is nobody's whose own is gone.
    for name in ["b.json", "c.json", "d.json"] {
        vault.write(name, "b");
    }
    vault.contents();
    vault.compact();
    look();
    assert_eq!(stored(&vault.sweep().0), 12);
    assert!(vault.kept().is_some());
}

/// Else it would bring back what is gone since, as nothing of that is in the snapshot that was forgotten.
#[test]
fn a_segment_of_what_was_forgotten_meanwhile_is_not_taken_over() {
    let vault = Vault::new(true);
    for number in 0..9 {
        vault.write(&format!("{number}.json"), &number.to_string());
    }
    vault.contents();
    vault.compact();
    for name in ["a.json", "b.json", "c.json"] {
        vault.write(name, "a");
    }
    let before = vault.sweep().0;
    let rows: Vec<RowRef<'_>> = before.rows().collect();
    let path = vault.place.path().canonicalize().expect("a folder");
    let name = identity(&path, &FolderKind::Capsules);
    let file = Storage::new(vault.cache.path()).create(&path, &FolderKind::Capsules).expect("a file");
    let segment = Writing::write(file, &rows, &name, None).expect("a segment");
    before.segment().damage();
    fs::remove_file(vault.path("3.json")).expect("removed");
    let contents = vault.contents();
    vault.folder.take_over(segment, &before);
    assert_eq!(texts(&vault.folder.kept()), Some(contents.clone()));
    assert_eq!(vault.contents(), contents);
    assert_eq!(vault.kept(), None, "what is deleted is not kept");
}

fn opened(vault: &Vault) -> Option<(Storage, Arc<Names>, Opened)> {
    let storage = Storage::new(vault.cache.path());
    let path = vault.place.path().canonicalize().expect("a folder");
    let (names, opened) = storage.open(&path, &FolderKind::Capsules)?;
    Some((storage, names, opened))
}

/// A folder need not be listed again that is as it was when its names were kept.
#[cfg(unix)]
#[test]
fn names_are_kept_as_long_as_the_folder_is_as_it_was() {
    let changes: [fn(&Vault); 5] = [
        |vault| vault.write("4.json", "later"),
        |vault| fs::remove_file(vault.path("1.json")).expect("removed"),
        |vault| fs::rename(vault.path("1.json"), vault.path("9.json")).expect("renamed"),
        |vault| fs::rename(vault.path("1.json"), vault.path("2.json")).expect("renamed"),
        |vault| vault.write("2.json", "other"),
    ];
    for mut vault in Vault::each() {
        for change in changes {
            for number in 0..6 {
                vault.write(&format!("{number}.json"), &number.to_string());
            }
            vault.contents();
            vault.compact();
            vault.reopen();
            let directory = Directory::open(vault.place.path()).expect("a folder");
            let (_, names, _) = opened(&vault).expect("a segment");
            let listed = names.listed.expect("settled");
            assert_eq!((names.len(), listed.folder), (vault.contents().len(), directory.signature().expect("a state")));
            assert_eq!(vault.folder.all_without_listing(&directory).is_some(), listed.alone);
            vault.reopen();
            change(&vault);
            assert_eq!(vault.contents(), vault.read_anew());
        }
    }
}

/// As where many folders are open at once, or the cache folder is on a network drive.
#[test]
fn texts_in_memory_are_as_good() {
    let mut vault = Vault::new(true);
    for number in 0..9 {
        vault.write(&format!("{number}.json"), &format!("secret-{number}"));
    }
    let contents = vault.contents();
    vault.compact();
    vault.reopen();
    let (storage, names, opened) = opened(&vault).expect("a segment");
    let segment = storage.finish(opened, names, &FolderKind::Capsules).expect("a segment");
    let segment = segment.into_memory().expect("texts");
    let snapshot = Snapshot::of_segment(FolderKind::Capsules, segment);
    assert_eq!(texts(&snapshot), Some(contents));
    assert!(vault.kept().is_some());
    let without = snapshot.with([("3.json".into(), None)].into());
    assert_eq!((without.len(), vault.kept()), (8, None), "what is deleted is not kept");
    assert_eq!(vault.contents().len(), 9);
}

#[test]
fn what_is_kept_of_a_folder_that_is_gone_goes() {
    let [mut vault, other] = [true, false].map(Vault::new);
    for number in 0..4 {
        vault.write(&format!("{number}.json"), "1");
        other.write(&format!("{number}.json"), "1");
    }
    let storage = Arc::new(Storage::new(vault.cache.path()));
    let path = other.place.path().canonicalize().expect("a folder");
    let boundary = Boundary::new(&path).expect("a vault");
    let folder = Folder::new(FolderKind::Capsules, path.clone(), Some(storage));
    let directory = Directory::open(&path).expect("a folder");
    folder.refresh(&directory, &boundary, Ticket::draw(), &Progress::default()).expect("files");
    std::thread::sleep(SETTLED);
    folder.compact();
    let gone = vault.kept().expect("a file");
    drop(other);
    vault.contents();
    vault.compact();
    assert_ne!(vault.kept().expect("one file"), gone);
    vault.reopen();
    assert_eq!(stored(&vault.sweep().0), 4);
}

#[test]
fn what_is_kept_is_its_owners_alone() {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
        let mut vault = Vault::new(true);
        for number in 0..4 {
            vault.write(&format!("{number}.json"), "1");
        }
        let contents = vault.contents();
        vault.compact();
        let kept = vault.kept().expect("a file");
        let mode = |path: &std::path::Path| fs::metadata(path).expect("there").mode() & 0o777;
        assert_eq!((mode(&kept), mode(kept.parent().expect("a folder"))), (0o600, 0o700));
        // One that others could have written is not believed.
        fs::set_permissions(&kept, fs::Permissions::from_mode(0o622)).expect("set");
        vault.reopen();
        assert_eq!(stored(&vault.sweep().0), 0);
        assert_eq!(vault.contents(), contents);
    }
}

/// Whatever happens to the file that is kept, answers stay right.
#[test]
fn a_damaged_file_is_no_file() {
    let mut vault = Vault::new(false);
    for number in 0..5 {
        vault.write(&format!("{number}.json"), &number.to_string());
    }
    fs::write(vault.path("broken.json"), "{").expect("a file");
    let contents = vault.contents();
    vault.compact();
    let path = vault.kept().expect("a file");
    let whole = fs::read(&path).expect("bytes");
    let mut damaged: Vec<Vec<u8>> = (0..whole.len()).step_by(7).map(|end| whole[..end].to_vec()).collect();
    damaged.extend((0..whole.len()).map(|at| {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x20;
        bytes
    }));
    damaged.push([&whole[..], b"x"].concat());
    damaged.push(vec![0; whole.len()]);
    for bytes in damaged {
        fs::write(&path, bytes).expect("written");
        vault.reopen();
        assert_eq!(vault.contents(), contents);
    }
    fs::write(&path, &whole).expect("written");
    vault.reopen();
    assert_eq!(stored(&vault.sweep().0), 6, "it was not the rest that was wrong");
    // Of another folder nothing was kept.
    assert!(opened(&Vault { cache: vault.cache, ..Vault::new(false) }).is_none());
}

#[test]
fn an_aborted_reading_is_gone_on_with() {
    for mut vault in Vault::each() {
        for number in 0..500 {
            vault.write(&format!("{number:03}.json"), &number.to_string());
        }
        let boundary = Boundary::new(vault.place.path()).expect("a vault");
        let directory = Directory::open(vault.place.path()).expect("a folder");
        let progress = Progress::default();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while progress.done.load(Ordering::Relaxed) < 100 {
                    std::hint::spin_loop();
                }
                progress.aborted.store(true, Ordering::Relaxed);
            });
            let aborted = vault.folder.refresh(&directory, &boundary, Ticket::draw(), &progress);
            // On a busy machine it may have been too late.
            assert!(aborted.map_or(true, |all| all.snapshot.len() == 500));
        });
        let read = vault.folder.kept().len();
        assert!(read >= 100);
        vault.compact();
        vault.reopen();
        assert_eq!(stored(&vault.folder.kept()), read);
        assert_eq!(vault.contents().len(), 500);
    }
}

#[test]
fn what_was_kept_stays_when_a_reading_is_aborted() {
    for mut vault in Vault::each() {
        for number in 0..300 {
            vault.write(&format!("{number:03}.json"), &number.to_string());
        }
        fs::write(vault.path("broken.json"), "{").expect("a file");
        let contents = vault.contents();
        vault.compact();
        vault.reopen();
        let boundary = Boundary::new(vault.place.path()).expect("a vault");
        let directory = Directory::open(vault.place.path()).expect("a folder");
        let progress = Progress { aborted: AtomicBool::new(true), ..Progress::default() };
        let aborted = vault.folder.refresh(&directory, &boundary, Ticket::draw(), &progress);
        assert_eq!(aborted.expect_err("aborted").kind(), std::io::ErrorKind::Interrupted);
        let (snapshot, broken) = vault.sweep();
        assert_eq!((stored(&snapshot), broken.len()), (301, 1));
        assert_eq!(texts(&snapshot), Some(contents));
    }
}

#[derive(Debug, Clone)]
enum Change {
    Write(u8, u8),
    Replace(u8, u8),
    Remove(u8),
    Break(u8),
    Rename(u8, u8),
    Touch(u8),
    Link(u8, u8),
    Open(u8),
    WriteOpen(u8),
    Compact,
    Reopen,
}

fn change() -> impl Strategy<Value = Change> {
    let name = 0..6_u8;
    prop_oneof![
        4 => (name.clone(), 0..10_u8).prop_map(|(name, text)| Change::Write(name, text)),
        2 => (name.clone(), 0..10_u8).prop_map(|(name, text)| Change::Replace(name, text)),
        1 => name.clone().prop_map(Change::Remove),
        1 => name.clone().prop_map(Change::Break),
        1 => (name.clone(), name.clone()).prop_map(|(from, to)| Change::Rename(from, to)),
        1 => (name.clone(), name.clone()).prop_map(|(from, to)| Change::Link(from, to)),
        1 => name.clone().prop_map(Change::Open),
        1 => (0..10_u8).prop_map(Change::WriteOpen),
        1 => name.prop_map(Change::Touch),
    ]
}

proptest! {
    /// After any changes the index says what a reader without an index says.
    #[test]
    fn equals_a_fresh_reading_after_any_changes(changes in steps(), way in 0..3_usize) {
        equals_a_fresh_reading(changes, way)?;
    }
}

proptest! {
    // Each waits many times until files are settled.
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 16, ..ProptestConfig::default() })]

    /// Also with segments, and after a restart.
    #[test]
    fn equals_a_fresh_reading_with_what_was_kept(changes in steps_with_segments(), way in 0..3_usize) {
        equals_a_fresh_reading(changes, way)?;
    }
}

fn steps() -> impl Strategy<Value = Vec<Vec<Change>>> {
    prop::collection::vec(prop::collection::vec(change(), 0..4), 1..30)
}

fn steps_with_segments() -> impl Strategy<Value = Vec<Vec<Change>>> {
    let change = prop_oneof![12 => change(), 1 => Just(Change::Compact), 1 => Just(Change::Reopen)];
    prop::collection::vec(prop::collection::vec(change, 0..4), 1..30)
}

fn equals_a_fresh_reading(changes: Vec<Vec<Change>>, way: usize) -> Result<(), TestCaseError> {
    let Some(mut vault) = Vault::each().into_iter().nth(way) else { return Ok(()) };
    let mut open = None;
    let place = vault.place.path().to_owned();
    let path = |name: u8| place.join(format!("{name}.json"));
    for step in changes {
        for change in step {
            match change {
                Change::Write(name, text) => vault.write(&format!("{name}.json"), &text.to_string()),
                Change::Replace(name, text) => {
                    vault.write("temporary", &text.to_string());
                    fs::rename(vault.path("temporary"), path(name)).expect("a replacement");
                }
                Change::Remove(name) => drop(fs::remove_file(path(name))),
                Change::Break(name) => fs::write(path(name), "{").expect("a file"),
                Change::Rename(from, to) => drop(fs::rename(path(from), path(to))),
                Change::Link(from, to) => drop(fs::hard_link(path(from), path(to))),
                Change::Open(name) => open = fs::OpenOptions::new().write(true).open(path(name)).ok(),
                Change::WriteOpen(text) => {
                    // If it has lost its name, and the file that has it now was written too, nothing tells one from the other.
                    prop_assert_eq!(vault.contents(), vault.read_anew());
                    if let Some(file) = &mut open {
                        std::io::Seek::rewind(file).expect("rewound");
                        write!(file, "{{\"raw\":\"{text}\"}}").expect("written");
                    }
                    prop_assert_eq!(vault.contents(), vault.read_anew());
                }
                Change::Compact => vault.compact(),
                Change::Reopen => vault.reopen(),
                Change::Touch(name) => {
                    if let Ok(file) = fs::File::open(path(name)) {
                        file.set_modified(std::time::SystemTime::UNIX_EPOCH).expect("touched");
                    }
                }
            }
        }
        prop_assert_eq!(vault.contents(), vault.read_anew());
    }
    Ok(())
}
