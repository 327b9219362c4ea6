//! Watching a vault: what arrives on disk, by whatever process, becomes one event.
//!
//! The system's own notifications (or, where there are none, a timer) are hints that name paths. A thread of its own looks at
//! what they name, and lets the [`Catalogue`](catalogue::Catalogue) say what happened. What it says waits in a queue of
//! limited length until the other side takes it.
//!
//! On Linux a reader empties the kernel's queue itself, and so knows of every change that was finished before it asked:
//! [`Watch::settle`].

mod catalogue;
#[cfg(target_os = "linux")]
mod inotify;
mod known;
mod layout;
mod library;
mod record;

use std::collections::{BTreeSet, VecDeque};
use std::ffi::OsStr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

pub use catalogue::{Content, Event, Happening};
pub use record::Cursor;

use hashbrown::HashMap;
use rayon::prelude::*;

use crate::Error;
use crate::index::{Progress, RowRef, SPLIT, Vault, give_way};
use crate::lock::lock;
use crate::vault::{Directory, PlaceOf, Signature, instances, is_exhausted, state_of};
use catalogue::{Catalogue, Looked};
use layout::{Layout, Place, RelativePath};
use record::Record;

/// A text of notices is about so large, in bytes: little enough that parsing it is no stall, on a busy machine either.
const TEXT_SIZE: usize = 16 << 10;
/// So many notices wait at most; then the watch waits too.
const QUEUE: usize = 4096;
/// The same in bytes.
const QUEUE_BYTES: usize = 64 << 20;
/// The watching thread looks at what is hinted at for about so long before who reads may do it,
const TURN: Duration = Duration::from_millis(200);
/// and who reads for so long before he reads the disk himself.
#[cfg(target_os = "linux")]
const READERS_TURN: Duration = Duration::from_millis(50);
/// Beyond so many hints who reads goes to the disk, and so many are taken at a time: to choose a few each time would take long.
const MANY: usize = 16 << 10;
/// So many files are looked at in one go,
const BATCH: usize = 512;
/// at first only so many, and after large ones fewer: what they hold is in memory at once.
const FIRST_BATCH: usize = 16;
/// A file that is being written is looked at after so long without a change, if nothing tells that it was closed.
#[cfg(target_os = "linux")]
const SOON: Duration = Duration::from_millis(40);
#[cfg(not(target_os = "linux"))]
const SOON: Duration = Duration::from_millis(12);
/// How often everything is looked at where there are no notifications.
const INTERVAL: Duration = Duration::from_secs(1);
/// How often one is looked at that never stops changing.
const LATEST: Duration = Duration::from_secs(1);
/// Whether notifications may be lost, and end, without a word: on Windows a buffer that is full is not told of by the library,
/// nor that the root was removed or moved away.
const LOSSY: bool = cfg!(windows);
/// How often everything is looked at then.
const SWEEP: Duration = Duration::from_secs(60);
/// After so many hints some may have been lost.
const BURST: usize = 64;

/// How the vault is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// By the system's notifications, and where they are not to be had by polling.
    Notified,
    /// The same by way of the library that is used on systems other than Linux.
    Library,
    /// By looking at every file, so often.
    Polling(Duration),
}

/// What is to be watched, and told first.
#[derive(Debug, Clone)]
pub struct Request {
    /// How.
    pub method: Method,
    /// Tell also what happened since.
    pub since: Option<Cursor>,
    /// The folder in which it is recorded what was told; `None` to record nothing.
    pub cache: Option<PathBuf>,
    /// How far the first look has come.
    pub progress: Arc<Progress>,
}

/// What a watch tells.
#[derive(Debug)]
pub enum Notice {
    /// Something happened to a capsule.
    Event(Box<Event>),
    /// The watch itself is in trouble.
    Trouble(Error),
}

/// Where notices go.
pub struct Listener {
    /// Makes what is kept of a notice, on the watching thread: texts of JSON.
    pub tell: Box<dyn Fn(Notice) -> Vec<String> + Send + Sync>,
    /// Is called when there is something to take again, from other threads.
    pub wake: Box<dyn Fn() + Send + Sync>,
}

/// A watched vault.
#[derive(Debug)]
pub struct Watch {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Shared {
    catalogue: Catalogue,
    root: PathBuf,
    /// Whether it was told that the vault's name leads to another folder now.
    is_elsewhere: AtomicBool,
    hints: Mutex<Hints>,
    hinted: Condvar,
    /// The watching thread waits for hints.
    idle: Condvar,
    queue: Mutex<Queued>,
    taken: Condvar,
    /// So many files are looked at next.
    batch: AtomicUsize,
    listener: Listener,
    means: Mutex<Means>,
    /// Held from taking hints until what they name has been looked at: who holds it knows that nothing is under way.
    turn: Mutex<()>,
    /// The folder that was the root when it was watched: a watch is of a folder, not of its name.
    home: Mutex<Option<Signature>>,
    /// Folders of capsules by whose names links lead to others, relative to the root, and those that are watched.
    linked: Mutex<HashMap<PathBuf, Option<Signature>>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Shared").field("root", &self.root).finish_non_exhaustive()
    }
}

/// What is to be told.
#[derive(Debug, Default)]
struct Queued {
    texts: VecDeque<Several>,
    /// So many notices,
    notices: usize,
    /// and so many bytes.
    bytes: usize,
    /// Of so many notices, ever.
    count: u64,
}

impl Queued {
    fn has_room(&self) -> bool {
        self.notices < QUEUE && self.bytes < QUEUE_BYTES
    }

    fn next(&mut self) -> Option<Several> {
        let next = self.texts.pop_front()?;
        self.notices -= next.notices;
        self.bytes -= next.text.len();
        Some(next)
    }
}

/// Notices in one text: thousands of texts, which one thread allocates and another frees, would have them wait for each other.
#[derive(Debug)]
struct Several {
    /// JSON, a comma between two.
    text: String,
    /// How many end in it.
    notices: usize,
}

impl Several {
    fn fits(&self, text: &str) -> bool {
        self.text.len() + text.len() < TEXT_SIZE
    }

    fn push(&mut self, text: &str) {
        self.text.reserve(TEXT_SIZE.saturating_sub(self.text.len()).max(text.len() + 1));
        self.text.push(',');
        self.text.push_str(text);
    }
}

/// When a hinted path is to be looked at.
#[derive(Debug, Clone, Copy)]
struct Due {
    first: Instant,
    at: Instant,
}

#[derive(Debug, Default)]
struct Hints {
    /// Relative to the root.
    paths: HashMap<RelativePath, Due>,
    /// Files that somebody may be writing.
    open: HashMap<RelativePath, Writer>,
    /// Everything must be looked at: hints were lost.
    everything: bool,
    trouble: Option<Error>,
    /// Why not all folders could be listed, as the system has no more of something.
    exhausted: Option<Error>,
    /// The vault's folder is not there: nothing tells when it comes back.
    rootless: bool,
    /// How often everything is looked at; `None` where notifications tell of changes.
    polling: Option<Duration>,
    /// When everything was looked at last,
    polled: Option<Instant>,
    /// and that by the clock of files.
    polled_from: Option<SystemTime>,
    /// When what is not notified is looked after next.
    next_check: Option<Instant>,
    /// All that was changed before has been looked at.
    quiet: Option<SystemTime>,
    /// How many hints came since.
    noted: usize,
    phase: Phase,
}

/// What the watching thread does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Phase {
    /// It waits for hints.
    #[default]
    Idle,
    /// It is at work, and will empty the queue of notifications itself before it waits.
    Looking,
    /// It ends.
    Stopped,
}

/// Whether somebody is writing a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writer {
    /// It was seen to be written, and not to be closed.
    Seen,
    /// Its name was seen to come: it is about to be written, or what was written elsewhere got one name more.
    Expected,
    /// It was found in a folder that is new: nobody saw how it came there.
    Possible,
}

/// How urgent a hint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Urgency {
    /// The path is as it will stay, as far as anybody knows.
    Now,
    /// It has come; whether somebody has it open is not known.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "only Linux tells of the closing"))]
    Made,
    /// It is being written, and its writer has not closed it.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "only Linux tells of the closing"))]
    Written,
    /// Something about it has changed.
    Soon,
}

impl Shared {
    /// Notes that a path is to be looked at, if it can be a capsule's or hold some.
    fn hint_if_concerned(&self, path: &Path, urgency: Urgency) {
        self.note(&mut lock(&self.hints), path, urgency);
        self.hinted.notify_all();
    }

    fn note(&self, hints: &mut Hints, path: &Path, urgency: Urgency) {
        let now = Instant::now();
        hints.noted += 1;
        let due = if let Some(due) = hints.paths.get_mut(path.as_os_str()) {
            due
        } else {
            let layout = self.catalogue.layout();
            if layout.place(path).is_none() && !layout.has_folder(path) {
                return;
            }
            if urgency == Urgency::Now && layout.has_folder(path) && !hints.open.is_empty() {
                // Another folder may have its name now: nobody has a file in that open.
                hints.open.retain(|file, _| !file.starts_with(path) || &**file == path);
            }
            hints.paths.entry(path.into()).or_insert(Due { first: now, at: now + SOON })
        };
        due.at = match urgency {
            Urgency::Now => now,
            _ if due.at <= now => due.at,
            _ => (now + SOON).min(due.first + LATEST),
        };
        match urgency {
            Urgency::Now => drop(hints.open.remove(path.as_os_str())),
            Urgency::Made => drop(hints.open.insert(path.into(), Writer::Expected)),
            Urgency::Written => drop(hints.open.insert(path.into(), Writer::Seen)),
            Urgency::Soon => {}
        }
    }

    fn hint_everything(&self, trouble: Option<Error>) {
        let mut hints = lock(&self.hints);
        hints.everything = true;
        if trouble.is_some() {
            hints.trouble = trouble;
        }
        drop(hints);
        self.hinted.notify_all();
    }

    /// The path from the root; `None` for one that is not below it.
    fn relative(&self, path: &Path) -> Option<RelativePath> {
        path.strip_prefix(&self.root).ok().map(RelativePath::from)
    }

    /// Gives how many bytes that are.
    fn push(&self, notices: impl IntoIterator<Item = Notice>) -> usize {
        let mut told: Vec<Several> = Vec::new();
        let mut count = 0;
        for notice in notices {
            give_way();
            for text in (self.listener.tell)(notice) {
                match told.last_mut().filter(|several| several.fits(&text)) {
                    Some(several) => several.push(&text),
                    None => told.push(Several { text, notices: 0 }),
                }
            }
            if let Some(several) = told.last_mut() {
                several.notices += 1;
            }
            count += 1;
        }
        let bytes = told.iter().map(|several| several.text.len()).sum();
        let mut queue = lock(&self.queue);
        let was_empty = queue.texts.is_empty();
        queue.bytes += bytes;
        queue.notices += count;
        queue.count += count as u64;
        queue.texts.extend(told);
        let wakes = was_empty && !queue.texts.is_empty();
        drop(queue);
        if wakes {
            (self.listener.wake)();
        }
        bytes
    }

    /// Tells what was found, and remembers what is to be looked at again.
    fn take_over(&self, looked: Looked) -> usize {
        let bytes = self.push(looked.events.into_iter().map(|(_, event)| Notice::Event(Box::new(event))));
        if looked.again.is_empty() {
            return bytes;
        }
        let now = Instant::now();
        let mut hints = lock(&self.hints);
        for (file, after) in looked.again {
            hints.paths.entry(file).or_insert(Due { first: now, at: now + after });
        }
        drop(hints);
        self.hinted.notify_all();
        bytes
    }

    fn has_room(&self) -> bool {
        lock(&self.queue).has_room()
    }

    /// Waits until the queue has room. Gives false if the watch was stopped.
    fn wait_for_room(&self) -> bool {
        let mut queue = lock(&self.queue);
        while !queue.has_room() {
            if lock(&self.hints).phase == Phase::Stopped {
                return false;
            }
            queue = self
                .taken
                .wait_timeout(queue, Duration::from_millis(100))
                .map_or_else(|poisoned| poisoned.into_inner().0, |(queue, _)| queue);
        }
        true
    }

    /// Whether the root is the folder that is watched. Nothing tells when a folder above it is moved, and another takes its
    /// place.
    fn is_at_home(&self) -> bool {
        let (home, now) = (*lock(&self.home), state_of(&self.root));
        home.is_some() == now.is_some() && home.zip(now).is_none_or(|(home, now)| home.is_same_file(&now))
    }

    /// Looks after what is not notified: the root's place, and what can be changed by way of other folders.
    fn check(&self) {
        if !self.is_at_home() {
            return self.come_home();
        }
        if let Ok(now) = self.catalogue.root().canonicalize()
            && now != self.root
            && !self.is_elsewhere.swap(true, Ordering::Relaxed)
        {
            let path = self.catalogue.root().to_owned();
            let message = format!(
                "the vault's folder leads to {} now, and was {} when it was opened: open the vault again to hear of what \
                 happens there",
                now.display(),
                self.root.display()
            );
            self.push([Notice::Trouble(Error::System { code: "VVAULT_WATCH", message, path })]);
        }
        let linked = lock(&self.linked).clone();
        let is_another = |(folder, known): &(PathBuf, Option<Signature>)| {
            let now = self.target_of(folder);
            known.is_some() != now.is_some() || known.zip(now).is_some_and(|(known, now)| !known.is_same_file(&now))
        };
        let others: Vec<(PathBuf, Option<Signature>)> = linked.into_iter().filter(is_another).collect();
        let (changed, damaged) = (self.catalogue.changed_by_others(), self.catalogue.damaged());
        let mut hints = lock(&self.hints);
        for (folder, _) in others {
            self.note(&mut hints, &folder, Urgency::Now);
        }
        let now = Instant::now();
        for file in changed.into_iter().chain(damaged) {
            hints.paths.entry(file).or_insert(Due { first: now, at: now });
        }
    }

    /// The folder inside the vault that a link leads to.
    fn target_of(&self, folder: &Path) -> Option<Signature> {
        if !self.catalogue.is_inside_folder(folder) {
            return None;
        }
        Directory::open(&self.root.join(folder)).and_then(|folder| folder.signature()).ok()
    }

    /// Has everything looked at, and the root watched that is there now.
    fn come_home(&self) {
        let mut hints = lock(&self.hints);
        hints.rootless = true;
        hints.everything = true;
    }

    /// Linux's queue of notifications, if that is where hints come from.
    #[cfg(target_os = "linux")]
    fn queue(&self) -> Option<Arc<inotify::Queue>> {
        if let Means::Queue(queue) = &*lock(&self.means) { Some(queue.clone()) } else { None }
    }

    /// Makes hints of the notifications that come.
    #[cfg(target_os = "linux")]
    fn take_notifications(&self, queue: &inotify::Queue) {
        /// The kernel keeps 16,384 notifications; nobody writes so many files meanwhile.
        const PAUSE: Duration = Duration::from_millis(2);
        loop {
            match queue.wait() {
                inotify::Woken::Stopped => return,
                inotify::Woken::Mounted => self.hint_everything(None),
                inotify::Woken::Notified => {}
            }
            self.drain(queue);
            // In a storm, to be woken by each notification would cost more than what it tells.
            let hints = lock(&self.hints);
            drop(self.idle.wait_timeout_while(hints, PAUSE, |hints| hints.phase == Phase::Looking));
        }
    }

    /// Makes hints of the notifications that there are.
    #[cfg(target_os = "linux")]
    fn drain(&self, queue: &inotify::Queue) {
        // Held meanwhile: who finds the queue empty finds the hints of what was in it.
        let mut hints = lock(&self.hints);
        let mut any = false;
        let drained = queue.drain(|hint| {
            any = true;
            match hint {
                inotify::Hint::Path(path, urgency) => self.note(&mut hints, path, urgency),
                inotify::Hint::Everything => hints.everything = true,
            }
        });
        drop(hints);
        if any {
            self.hinted.notify_all();
        }
        if let Err(error) = drained {
            self.hint_everything(Some(trouble(&error.to_string(), None, &self.root)));
        }
    }

    /// Looks at what hints name, as far as there is room for what is to be told, and about so long at most: others wait for this
    /// turn. Gives false if something is left.
    fn look_at(&self, hinted: Hinted, patience: Duration) -> bool {
        let began = Instant::now();
        let Hinted { paths, everything, trouble } = hinted;
        if let Some(trouble) = trouble {
            self.fall_back(trouble);
        }
        let quiet = lock(&self.hints).quiet;
        if let Some(quiet) = quiet {
            self.catalogue.set_quiet(quiet);
        }
        let files = if everything { self.everything() } else { self.files(paths) };
        let mut left = &*files;
        while !left.is_empty() {
            if !self.has_room() || began.elapsed() > patience {
                let now = Instant::now();
                let mut hints = lock(&self.hints);
                for file in left {
                    hints.paths.entry(file.clone()).or_insert(Due { first: now, at: now });
                }
                return false;
            }
            let size = self.batch.load(Ordering::Relaxed);
            let (batch, rest) = left.split_at(size.min(left.len()));
            left = rest;
            let open: HashMap<RelativePath, Writer> = {
                let hints = lock(&self.hints);
                let writer = |file: &RelativePath| Some((file.clone(), *hints.open.get(file)?));
                batch.iter().filter_map(writer).collect()
            };
            let looked = self.catalogue.look(batch, &open);
            // Whether somebody may be at work on a file that was only found, or came, counts until it has been decided on.
            let is_decided = |file: &RelativePath| looked.again.iter().all(|(again, _)| again != file);
            let found = open.iter().filter(|(file, writer)| **writer != Writer::Seen && is_decided(file));
            for (file, _) in found {
                lock(&self.hints).open.remove(file);
            }
            let bytes = self.take_over(looked);
            let next = if bytes > QUEUE_BYTES / 4 { size.div_ceil(4) } else { BATCH.min(size * 2) };
            self.batch.store(next, Ordering::Relaxed);
        }
        self.catalogue.complete();
        if !files.is_empty() {
            self.set_watched();
        }
        true
    }

    /// Whether readers may rely on what was applied: where all changes are known when somebody asks.
    fn set_watched(&self) {
        self.catalogue.set_watched(lock(&self.means).can_drain());
    }

    /// Tells of trouble, and polls from now on.
    fn fall_back(&self, trouble: Error) {
        self.push([Notice::Trouble(trouble)]);
        std::mem::replace(&mut *lock(&self.means), Means::Polling).stop();
        lock(&self.hints).polling = Some(INTERVAL);
        self.set_watched();
        self.hinted.notify_all();
    }

    /// Polls besides the notifications, where those tell only of this machine's writers.
    fn poll_besides(&self, path: &Path) {
        let mut hints = lock(&self.hints);
        if hints.polling.is_some() {
            return;
        }
        hints.polling = Some(INTERVAL);
        drop(hints);
        let seconds = INTERVAL.as_secs();
        let message = format!(
            "the system does not tell what other machines write in {}: the vault is looked through every {seconds} s. Open \
             it with watch: 'poll' to choose that",
            path.display()
        );
        self.push([Notice::Trouble(Error::System { code: "VVAULT_WATCH", message, path: path.to_owned() })]);
        self.hinted.notify_all();
    }

    /// The capsule files that hinted paths mean: of a folder all that are in it, and all that were.
    fn files(&self, paths: Vec<RelativePath>) -> Vec<RelativePath> {
        let mut files = Vec::with_capacity(paths.len());
        let mut constructs_are_known = true;
        for path in paths {
            if self.catalogue.layout().has_folder(&path) {
                if std::mem::take(&mut constructs_are_known) {
                    // Which folders there are says whose a construct is.
                    self.catalogue.forget_constructs();
                }
                files.extend(self.catalogue.below(&path));
                let found = self.visit(&path);
                let mut hints = lock(&self.hints);
                for file in &found {
                    hints.open.entry(file.clone()).or_insert(Writer::Possible);
                }
                drop(hints);
                files.extend(found);
            }
            if self.catalogue.layout().place(&path).is_some() {
                files.push(path);
            }
        }
        files.sort_unstable();
        files.dedup();
        files
    }

    /// Every capsule file that is there or was.
    fn everything(&self) -> Vec<RelativePath> {
        let mut files: BTreeSet<RelativePath> = self.catalogue.below(Path::new("")).into_iter().collect();
        files.extend(self.visit(Path::new("")));
        files.into_iter().collect()
    }

    /// Watches a folder and those below it that hold capsules, and gives the capsule files in them. A folder is watched
    /// before it is listed, so that nothing comes in between.
    fn visit(&self, folder: &Path) -> Vec<RelativePath> {
        let mut files = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            // Without a separator at the end of the root.
            let path: PathBuf = self.root.join(&folder).components().collect();
            let is_root = folder.as_os_str().is_empty();
            let target = (!is_root && path.is_symlink()).then(|| self.target_of(&folder));
            if target.is_some() && is_above_itself(&path) {
                continue;
            }
            match target {
                Some(target) => drop(lock(&self.linked).insert(folder.clone(), target)),
                None => drop(lock(&self.linked).remove(&folder)),
            }
            let is_there = path.is_dir() && target.is_none_or(|target| target.is_some());
            let mut was_away = false;
            {
                let mut hints = lock(&self.hints);
                if is_root {
                    was_away = std::mem::replace(&mut hints.rootless, !is_there);
                } else if !is_there {
                    // With it the root may have gone.
                    hints.noted += BURST;
                }
            }
            if !is_there {
                continue;
            }
            if is_root {
                *lock(&self.home) = state_of(&path);
            }
            if self.catalogue.note_folder(&folder, &path) && !LOSSY {
                self.poll_besides(&path);
            }
            let added = if is_root && (was_away || LOSSY) {
                lock(&self.means).renew(&path, &folder)
            } else {
                lock(&self.means).add(&path, &folder)
            };
            match added {
                Err(_) if !path.is_dir() => {
                    lock(&self.hints).rootless |= is_root;
                    continue;
                }
                Err(trouble) => self.fall_back(trouble),
                Ok(()) => {}
            }
            if let Some(known) = self.catalogue.all_without_listing(&folder, &path) {
                let names: Vec<&str> = known.rows().map(RowRef::name).collect();
                files.par_extend(
                    names.par_iter().with_min_len(SPLIT).map(|name| RelativePath::in_folder(&folder, name)),
                );
                continue;
            }
            let layout = self.catalogue.layout();
            let items = std::fs::read_dir(&path);
            if let Some(error) = items.as_ref().err().filter(|error| is_exhausted(error)) {
                lock(&self.hints).exhausted = Some(Error::system(error, "scandir", &path));
            }
            if items.as_ref().is_err_and(|error| error.kind() != std::io::ErrorKind::NotFound) {
                let (now, after) = (Instant::now(), INTERVAL / 4);
                lock(&self.hints).paths.insert(folder.as_path().into(), Due { first: now, at: now + after });
            }
            let capsules = layout.folder(&folder);
            let takes = |name: &OsStr| capsules.as_ref().zip(name.to_str()).is_some_and(|(own, name)| own.takes(name));
            for item in items.into_iter().flatten().flatten() {
                let (name, Ok(kind)) = (item.file_name(), item.file_type()) else { continue };
                let below = folder.join(&name);
                let is_folder = kind.is_dir() || kind.is_symlink() && self.catalogue.is_inside_folder(&below);
                if !is_folder && takes(&name) {
                    files.push(below.clone().into());
                }
                // A link may lead to a folder later.
                if (is_folder || kind.is_symlink()) && layout.has_folder(&below) {
                    folders.push(below);
                }
            }
        }
        files
    }

    /// Takes the hints that are due, or all.
    fn take_hints(&self, all: bool) -> Hinted {
        let mut hints = lock(&self.hints);
        let now = Instant::now();
        let mut due: Vec<(&RelativePath, &Due)> = hints.paths.iter().filter(|(_, due)| all || due.at <= now).collect();
        let most = if due.len() > MANY { MANY } else { BATCH };
        if !all && due.len() > most {
            // Those that have waited longest.
            due.select_nth_unstable_by_key(most, |(_, due)| due.first);
            due.truncate(most);
        }
        let paths: Vec<RelativePath> = due.into_iter().map(|(path, _)| path.clone()).collect();
        for path in &paths {
            hints.paths.remove(path);
        }
        let everything = std::mem::take(&mut hints.everything);
        if everything {
            (hints.polled, hints.polled_from) = (Some(now), Some(SystemTime::now()));
            hints.noted = 0;
        }
        Hinted { paths, everything, trouble: hints.trouble.take() }
    }

    /// Waits until hints are due, or it is time to look at everything. False once the watch was stopped.
    fn wait_for_hints(&self) -> bool {
        let mut hints = lock(&self.hints);
        loop {
            if hints.phase == Phase::Stopped {
                return false;
            }
            let now = Instant::now();
            let sweep = if hints.noted < BURST { SWEEP } else { INTERVAL };
            let interval =
                hints.polling.or_else(|| hints.rootless.then_some(INTERVAL / 4)).or_else(|| LOSSY.then_some(sweep));
            let next_poll = interval.map(|interval| *hints.polled.get_or_insert(now) + interval);
            hints.everything |= next_poll.is_some_and(|next_poll| next_poll <= now);
            let next_check = *hints.next_check.get_or_insert(now + INTERVAL);
            if hints.polling.is_none() && next_check <= now {
                drop(hints);
                self.check();
                hints = lock(&self.hints);
                // Of many files that have other names each is asked for: at most a twentieth of the time goes into that.
                hints.next_check = Some(Instant::now() + INTERVAL.max(now.elapsed() * 20));
                continue;
            }
            let next_path = hints.paths.values().map(|due| due.at).min();
            if hints.everything || next_path.is_some_and(|next_path| next_path <= now) {
                hints.phase = Phase::Looking;
                return true;
            }
            hints.phase = Phase::Idle;
            if hints.paths.is_empty() {
                // What comes between two looks, nothing tells of.
                hints.quiet = if hints.polling.is_some() { hints.polled_from } else { Some(SystemTime::now()) };
            }
            self.idle.notify_all();
            let next =
                next_path.into_iter().chain(next_poll).chain(hints.polling.is_none().then_some(next_check)).min();
            let pause = next.map_or(Duration::from_secs(3600), |next| next.saturating_duration_since(now));
            hints = self.hinted.wait_timeout(hints, pause).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The watching thread.
    fn run(&self) {
        while self.wait_for_hints() {
            if !self.wait_for_room() {
                break;
            }
            let turn = lock(&self.turn);
            let hinted = self.take_hints(false);
            self.look_at(hinted, TURN);
            drop(turn);
            #[cfg(target_os = "linux")]
            if let Some(queue) = self.queue() {
                self.drain(&queue);
            }
        }
        self.catalogue.set_watched(false);
    }

    /// A thread of the watch has panicked. What was applied may be half of what happened: readers ask the disk from now on.
    fn give_up(&self) {
        lock(&self.hints).phase = Phase::Stopped;
        std::mem::replace(&mut *lock(&self.means), Means::Polling).stop();
        self.catalogue.end();
        let message = "the watch has ended by a defect of its own (please report what was printed): open the vault again to \
                       hear of what happens in it";
        let path = self.catalogue.root().to_owned();
        self.push([Notice::Trouble(Error::System { code: "VVAULT_WATCH", message: message.to_owned(), path })]);
        for waiting in [&self.hinted, &self.idle, &self.taken] {
            waiting.notify_all();
        }
    }
}

/// Whose a capsule file is by its place: the user's name, and that of the construct's folder.
#[must_use]
pub fn owners_of(vault: &Vault, file: &Path) -> [Option<String>; 2] {
    let root = vault.store().root();
    let relative = file.strip_prefix(root).or_else(|_| file.strip_prefix(vault.boundary().root()));
    let place = relative.ok().and_then(|file| Layout::new(vault.directories()).place(file));
    let (user, construct) = match place {
        Some(Place::Memory { user }) => (Some(user), None),
        Some(Place::Construct { user, construct }) => (user, construct),
        None => (None, None),
    };
    [user, construct].map(|name| name.map(|name| name.as_ref().to_owned()))
}

/// What the place of a construct's capsule says of whose it is.
#[must_use]
pub fn place_of(vault: &Vault, file: &Path) -> PlaceOf {
    let root = vault.boundary().root();
    let as_named = file.strip_prefix(vault.store().root()).or_else(|_| file.strip_prefix(root)).map(Path::to_owned);
    // By way of a link from elsewhere.
    let real = || Some(file.parent()?.canonicalize().ok()?.join(file.file_name()?).strip_prefix(root).ok()?.to_owned());
    let Some(relative) = as_named.ok().or_else(real) else { return PlaceOf::Nobody };
    let base = Layout::new(vault.directories()).base(&relative);
    PlaceOf::of(&root.join(&base), &root.join(&relative), &instances(&root.join(base), vault.boundary()))
}

impl Watch {
    /// Begins to watch: what is there now is known when this returns, and what comes later is told.
    ///
    /// # Errors
    /// [`Error::System`] if no thread can be started, or the system has no more files to give; [`Error::Aborted`].
    pub fn begin(vault: Arc<Vault>, request: &Request, listener: Listener) -> Result<Self, Error> {
        let given = vault.store().root().to_owned();
        let root = given.canonicalize().unwrap_or(given);
        let shared = Arc::new(Shared {
            catalogue: Catalogue::new(vault),
            root,
            is_elsewhere: AtomicBool::new(false),
            hints: Mutex::default(),
            hinted: Condvar::new(),
            idle: Condvar::new(),
            queue: Mutex::default(),
            taken: Condvar::new(),
            batch: AtomicUsize::new(FIRST_BATCH),
            listener,
            means: Mutex::new(Means::Polling),
            turn: Mutex::default(),
            home: Mutex::default(),
            linked: Mutex::default(),
        });
        let mut threads = Vec::new();
        let thread = |name: &str, work: Box<dyn FnOnce(&Shared) + Send>| {
            let own = shared.clone();
            let work = move || {
                if catch_unwind(AssertUnwindSafe(|| work(&own))).is_err() {
                    own.give_up();
                }
            };
            let started = std::thread::Builder::new().name(name.to_owned()).spawn(work);
            started.map_err(|error| Error::system(&error, "watch", &shared.root))
        };
        let began = SystemTime::now();
        match Means::begin(&shared, request.method) {
            Ok(means) => *lock(&shared.means) = means,
            Err(trouble) => shared.fall_back(trouble),
        }
        if let Method::Polling(interval) = request.method {
            lock(&shared.hints).polling = Some(interval);
        }
        let mut record = None;
        let files = rayon::in_place_scope(|scope| {
            scope.spawn(|_| {
                let settings = shared.catalogue.settings();
                let open = |cache: &PathBuf| Record::open(cache, &shared.root, &settings, request.since.as_ref());
                record = request.cache.as_ref().map(open);
            });
            shared.visit(Path::new(""))
        });
        if let Some(problem) = lock(&shared.hints).exhausted.take() {
            return Err(problem);
        }
        shared.catalogue.set_record(record.unwrap_or_else(Record::forgetful));
        let looked = shared.catalogue.begin(&files, request.since.as_ref(), began, &request.progress)?;
        shared.take_over(looked);
        shared.set_watched();
        #[cfg(target_os = "linux")]
        if let Some(queue) = shared.queue() {
            threads.push(thread("vvault-hints", Box::new(move |shared| shared.take_notifications(&queue)))?);
        }
        threads.push(thread("vvault-watch", Box::new(Shared::run))?);
        Ok(Self { shared, threads: Mutex::new(threads) })
    }

    /// Applies every change that was finished before this is called, where the system can tell all of them: on Linux.
    /// Elsewhere readers don't rely on the watch. Gives false if so much waits to be told that not all could be applied: then
    /// they must not.
    #[must_use]
    pub fn settle(&self) -> bool {
        #[cfg(target_os = "linux")]
        {
            let Some(queue) = self.shared.queue() else { return true };
            // Nothing tells when it comes back.
            let is_away = lock(&self.shared.hints).rootless;
            if is_away || !self.shared.is_at_home() {
                self.shared.come_home();
            }
            self.shared.drain(&queue);
            if lock(&self.shared.hints).paths.len() > MANY {
                // The watching thread is quicker alone.
                return false;
            }
            let _turn = lock(&self.shared.turn);
            self.shared.look_at(self.shared.take_hints(true), READERS_TURN)
        }
        #[cfg(not(target_os = "linux"))]
        true
    }

    /// Whether every change that was finished before this is called has been applied; false also where that can't be told
    /// without waiting.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        #[cfg(target_os = "linux")]
        {
            let Ok(means) = self.shared.means.try_lock() else { return false };
            let Means::Queue(queue) = &*means else { return false };
            // In this order: what was taken from the queue is a hint before this lock is free, and who takes hints holds
            // the turn until they have been looked at.
            let Ok(hints) = self.shared.hints.try_lock() else { return false };
            let is_known = hints.paths.is_empty() && !hints.everything && hints.trouble.is_none() && !hints.rootless;
            is_known && self.shared.is_at_home() && queue.is_empty() && self.shared.turn.try_lock().is_ok()
        }
        #[cfg(not(target_os = "linux"))]
        false
    }

    /// The same; if what is left to be applied takes but a moment, that is waited for, `patience` at most.
    #[must_use]
    pub fn is_settled_within(&self, patience: Duration) -> bool {
        self.is_settled() || self.settles_within(patience) && self.is_settled()
    }

    /// Whether all that is known of has been applied in time by the watching thread.
    #[cfg(target_os = "linux")]
    fn settles_within(&self, patience: Duration) -> bool {
        /// In a storm there is always something left.
        const FEW: usize = 8;
        let end = Instant::now() + patience;
        let Some(queue) = self.shared.queue().filter(|queue| queue.holds_few()) else { return false };
        self.shared.drain(&queue);
        let mut hints = lock(&self.shared.hints);
        loop {
            let now = Instant::now();
            let are_due = hints.paths.len() <= FEW && hints.paths.values().all(|due| due.at <= now);
            if !are_due || hints.everything || hints.trouble.is_some() || hints.rootless || now >= end {
                return false;
            }
            if hints.paths.is_empty() && hints.phase == Phase::Idle {
                return true;
            }
            let waited = self.shared.idle.wait_timeout(hints, end - now);
            hints = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    #[cfg(not(target_os = "linux"))]
    #[allow(clippy::unused_self, reason = "as on Linux")]
    fn settles_within(&self, _patience: Duration) -> bool {
        false
    }

    /// The next notices: a JSON array, of some kilobytes as a rule.
    #[must_use]
    pub fn take(&self) -> Option<String> {
        let mut queue = lock(&self.shared.queue);
        let mut taken = queue.next()?;
        while queue.texts.front().is_some_and(|next| taken.fits(&next.text))
            && let Some(next) = queue.next()
        {
            taken.push(&next.text);
        }
        drop(queue);
        self.shared.taken.notify_all();
        Some(format!("[{}]", taken.text))
    }

    /// How many notices there have been.
    #[must_use]
    pub fn count(&self) -> u64 {
        lock(&self.shared.queue).count
    }

    /// Has a file looked at by the next [`settle`](Self::settle), of which nothing told that it changed.
    pub fn distrust(&self, path: &Path) {
        if let Ok(file) = path.strip_prefix(self.shared.catalogue.root()) {
            let now = Instant::now();
            lock(&self.shared.hints).paths.entry(file.into()).or_insert(Due { first: now, at: now }).at = now;
            self.shared.hinted.notify_all();
        }
    }

    /// Looks at a file that this process has just changed: what happened is in the queue when this returns.
    pub fn look_at(&self, path: &Path) {
        let root = self.shared.catalogue.root();
        if let Ok(file) = path.strip_prefix(root) {
            // In turn, so that events are queued in their order.
            let _turn = lock(&self.shared.turn);
            self.shared.take_over(self.shared.catalogue.look(&[file.into()], &HashMap::new()));
            self.shared.set_watched();
        }
    }

    /// The cursor behind everything that was told.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        // Who asks must not wait. Asked for first: what is found by then is behind the cursor.
        let quiet = self.shared.hints.try_lock().ok().and_then(|hints| hints.quiet);
        self.shared.catalogue.cursor().at_least(quiet)
    }

    /// Ends the watch. When this returns nothing more comes, and nothing of the system is held.
    pub fn stop(&self) {
        self.signal_stop();
        for thread in lock(&self.threads).drain(..) {
            // A panic of the thread has been printed, and nothing is left to be done about it.
            let _ = thread.join();
        }
        *lock(&self.shared.means) = Means::Polling;
        self.shared.catalogue.close_record();
        *lock(&self.shared.queue) = Queued::default();
    }

    fn signal_stop(&self) {
        lock(&self.shared.hints).phase = Phase::Stopped;
        lock(&self.shared.means).stop();
        self.shared.hinted.notify_all();
        self.shared.idle.notify_all();
        self.shared.taken.notify_all();
    }
}

impl Drop for Watch {
    /// Not waited for: the owner may be a JavaScript thread that is being terminated.
    fn drop(&mut self) {
        self.signal_stop();
    }
}

/// Hints that were taken.
#[derive(Debug)]
struct Hinted {
    paths: Vec<RelativePath>,
    everything: bool,
    trouble: Option<Error>,
}

/// How hints are come by.
#[derive(Debug)]
enum Means {
    #[cfg(target_os = "linux")]
    Queue(Arc<inotify::Queue>),
    Library(library::Notifications),
    Polling,
}

impl Means {
    fn begin(shared: &Arc<Shared>, method: Method) -> Result<Self, Error> {
        match method {
            Method::Polling(_) => Ok(Self::Polling),
            #[cfg(target_os = "linux")]
            Method::Notified => match inotify::Queue::new() {
                Ok(queue) => Ok(Self::Queue(Arc::new(queue))),
                Err(error) => Err(trouble(&error.to_string(), error.raw_os_error(), &shared.root)),
            },
            #[cfg(not(target_os = "linux"))]
            Method::Notified => library::Notifications::begin(shared).map(Self::Library),
            Method::Library => library::Notifications::begin(shared).map(Self::Library),
        }
    }

    /// Watches a folder, too. One that is gone meanwhile is none.
    #[cfg(target_os = "linux")]
    fn add(&self, path: &Path, relative: &Path) -> Result<(), Error> {
        let Self::Queue(queue) = self else { return Ok(()) };
        let mut added = queue.add(path, relative);
        let is_denied = |error: &std::io::Error| error.kind() == std::io::ErrorKind::PermissionDenied;
        // One that nobody may look into is tried again when it is looked into. One that may be, and not be watched (SELinux),
        // never can.
        let is_never = added.as_ref().is_err_and(is_denied) && std::fs::read_dir(path).is_ok();
        if is_never {
            added = queue.add(path, relative);
        }
        match added {
            Err(error) if is_lasting(&error) || is_never && is_denied(&error) => {
                Err(trouble(&error.to_string(), error.raw_os_error(), path))
            }
            // One that went is watched when it comes.
            _ => Ok(()),
        }
    }

    /// The root is watched with all that comes to be below it.
    #[cfg(not(target_os = "linux"))]
    #[allow(clippy::unnecessary_wraps, clippy::unused_self, reason = "as on Linux")]
    fn add(&self, _path: &Path, _relative: &Path) -> Result<(), Error> {
        Ok(())
    }

    /// Watches the root again, where one folder may have taken the place of another.
    #[cfg_attr(not(target_os = "linux"), allow(unused_variables, reason = "the library knows its root"))]
    fn renew(&mut self, path: &Path, relative: &Path) -> Result<(), Error> {
        match self {
            Self::Library(notifications) => notifications.renew(),
            #[cfg(target_os = "linux")]
            Self::Queue(queue) => {
                queue.forget_all();
                self.add(path, relative)
            }
            Self::Polling => Ok(()),
        }
    }

    #[cfg(target_os = "linux")]
    fn can_drain(&self) -> bool {
        matches!(self, Self::Queue(_))
    }

    #[cfg(not(target_os = "linux"))]
    #[allow(clippy::unused_self, reason = "as on Linux")]
    fn can_drain(&self) -> bool {
        false
    }

    fn stop(&mut self) {
        match self {
            #[cfg(target_os = "linux")]
            Self::Queue(queue) => queue.stop(),
            Self::Library(notifications) => notifications.stop(),
            Self::Polling => {}
        }
    }
}

/// Whether a link leads to a folder that it lies in, at whatever depth: what is below it is found there.
fn is_above_itself(link: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().ok();
    link.parent().and_then(real).zip(real(link)).is_some_and(|(own, target)| own.starts_with(target))
}

/// Whether a folder can't be watched for another reason than that it is gone or closed just now.
#[cfg(target_os = "linux")]
fn is_lasting(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};
    !matches!(error.kind(), NotFound | NotADirectory | PermissionDenied)
}

/// That a vault can't be watched, and what to do.
fn trouble(problem: &str, code: Option<i32>, path: &Path) -> Error {
    let setting = match code {
        // ENOSPC and EMFILE, in inotify's own meaning.
        Some(28) => Some("fs.inotify.max_user_watches (sysctl)"),
        Some(24) => Some("fs.inotify.max_user_instances (sysctl), or the files that the process may open (ulimit -n)"),
        _ => None,
    };
    let seconds = INTERVAL.as_secs();
    let message = match setting {
        Some(setting) => format!(
            "the system gives no more watches: raise {setting}, and open the vault again. Until then it is looked through every \
             {seconds} s"
        ),
        None => format!("the vault can't be watched: {problem}. It is looked through every {seconds} s instead"),
    };
    Error::System { code: "VVAULT_WATCH", message, path: path.to_owned() }
}

#[cfg(test)]
mod tests;
