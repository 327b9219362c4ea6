//! Watching a vault: what arrives on disk, by whatever process, becomes one event.
//!
//! The system's own notifications (or, where there are none, a timer) are hints that name paths. A thread of its own gathers
//! them, looks at what they name, and lets the [`Catalogue`](catalogue::Catalogue) say what happened. What it says waits in a
//! queue of limited length until the other side takes it.

mod catalogue;
mod layout;
mod record;
mod system;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use catalogue::{Content, Event, Happening};
pub use record::Cursor;

use crate::Error;
use crate::index::Vault;
use catalogue::{Catalogue, Looked};
use record::Record;
use system::Notifications;

/// So many events wait at most; then the watch waits too.
const QUEUE: usize = 4096;
/// So many files are looked at in one go.
const BATCH: usize = 512;
/// A file that is being written is looked at after so long without a change, if nothing tells that it was closed.
#[cfg(target_os = "linux")]
const SOON: Duration = Duration::from_millis(40);
#[cfg(not(target_os = "linux"))]
const SOON: Duration = Duration::from_millis(12);
/// How often one is looked at that never stops changing.
const LATEST: Duration = Duration::from_secs(1);

/// How the vault is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// By the system's notifications, and where they are not to be had by polling.
    Notified,
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
    /// Makes what is kept of a notice, on the watching thread.
    pub tell: Box<dyn Fn(Notice) -> String + Send + Sync>,
    /// Is called when there is something to take again, from other threads.
    pub wake: Box<dyn Fn() + Send + Sync>,
}

/// A watched vault.
#[derive(Debug)]
pub struct Watch {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    catalogue: Catalogue,
    root: PathBuf,
    hints: Mutex<Hints>,
    hinted: Condvar,
    queue: Mutex<VecDeque<String>>,
    taken: Condvar,
    listener: Listener,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Shared").field("root", &self.root).finish_non_exhaustive()
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
    paths: HashMap<PathBuf, Due>,
    /// Everything must be looked at: hints were lost.
    everything: bool,
    trouble: Option<Error>,
    stopped: bool,
}

/// How urgent a hint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Urgency {
    /// The path is as it will stay, as far as anybody knows.
    Now,
    /// It is being written.
    Soon,
}

impl Shared {
    fn hint(&self, path: PathBuf, urgency: Urgency) {
        let mut hints = lock(&self.hints);
        let now = Instant::now();
        let due = hints.paths.entry(path).or_insert(Due { first: now, at: now + SOON });
        due.at = match urgency {
            Urgency::Now => now,
            Urgency::Soon if due.at <= now => due.at,
            Urgency::Soon => (now + SOON).min(due.first + LATEST),
        };
        drop(hints);
        self.hinted.notify_all();
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
    fn relative(&self, path: &Path) -> Option<PathBuf> {
        path.strip_prefix(&self.root).ok().map(Path::to_owned)
    }

    fn push(&self, notices: impl IntoIterator<Item = Notice>) {
        let told: Vec<String> = notices.into_iter().map(|notice| (self.listener.tell)(notice)).collect();
        let mut queue = lock(&self.queue);
        let was_empty = queue.is_empty();
        queue.extend(told);
        let wakes = was_empty && !queue.is_empty();
        drop(queue);
        if wakes {
            (self.listener.wake)();
        }
    }

    /// Tells what was found, and remembers what is to be looked at again.
    fn take_over(&self, looked: Looked) {
        self.push(looked.events.into_iter().map(|(_, event)| Notice::Event(Box::new(event))));
        if looked.again.is_empty() {
            return;
        }
        let now = Instant::now();
        let mut hints = lock(&self.hints);
        for (file, after) in looked.again {
            hints.paths.entry(file).or_insert(Due { first: now, at: now + after });
        }
        drop(hints);
        self.hinted.notify_all();
    }

    /// Waits until the queue has room. Gives false if the watch was stopped.
    fn wait_for_room(&self) -> bool {
        let mut queue = lock(&self.queue);
        while queue.len() >= QUEUE {
            if lock(&self.hints).stopped {
                return false;
            }
            queue = self
                .taken
                .wait_timeout(queue, Duration::from_millis(100))
                .map_or_else(|poisoned| poisoned.into_inner().0, |(queue, _)| queue);
        }
        true
    }
}

impl Watch {
    /// Begins to watch: what is there now is known when this returns, and what comes later is told.
    ///
    /// # Errors
    /// [`Error::System`] if no thread can be started.
    pub fn begin(vault: Arc<Vault>, request: &Request, listener: Listener) -> Result<Self, Error> {
        let given = vault.store().root().to_owned();
        let root = given.canonicalize().unwrap_or(given);
        let record = request.cache.as_deref().and_then(|cache| record::path_in(cache, &root).ok());
        let record = record.map_or_else(Record::forgetful, |path| Record::open(&path));
        let shared = Arc::new(Shared {
            catalogue: Catalogue::new(vault, record),
            root,
            hints: Mutex::default(),
            hinted: Condvar::new(),
            queue: Mutex::default(),
            taken: Condvar::new(),
            listener,
        });
        let mut watching = Watching::new(shared.clone(), request.method);
        let files = watching.visit(Path::new(""));
        let events = shared.catalogue.begin(&files, request.since.as_ref());
        shared.push(events.into_iter().map(|event| Notice::Event(Box::new(event))));
        shared.catalogue.set_watched(matches!(watching.means, Means::Notified(_)));
        let thread = std::thread::Builder::new()
            .name("vvault-watch".to_owned())
            .spawn(move || watching.run())
            .map_err(|error| Error::system(&error, "watch", &shared.root))?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    /// The next notices, of about so many bytes.
    #[must_use]
    pub fn take(&self, size: usize) -> Vec<String> {
        let mut queue = lock(&self.shared.queue);
        let mut taken = Vec::new();
        let mut bytes = 0;
        while bytes < size
            && let Some(notice) = queue.pop_front()
        {
            bytes += notice.len();
            taken.push(notice);
        }
        drop(queue);
        self.shared.taken.notify_all();
        taken
    }

    /// Looks at a file that this process has just changed: what happened is in the queue when this returns.
    pub fn look_at(&self, path: &Path) {
        let root = self.shared.catalogue.root();
        if let Ok(file) = path.strip_prefix(root) {
            self.shared.take_over(self.shared.catalogue.look(&[file.to_owned()]));
        }
    }

    /// The cursor behind everything that was told.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        self.shared.catalogue.cursor()
    }

    /// Ends the watch. When this returns nothing more comes, and nothing of the system is held.
    pub fn stop(&self) {
        self.signal_stop();
        if let Some(thread) = lock(&self.thread).take() {
            // A panic of the thread has been printed, and nothing is left to be done about it.
            let _ = thread.join();
        }
        lock(&self.shared.queue).clear();
    }

    fn signal_stop(&self) {
        lock(&self.shared.hints).stopped = true;
        self.shared.hinted.notify_all();
        self.shared.taken.notify_all();
    }
}

impl Drop for Watch {
    /// Not waited for: the owner may be a JavaScript thread that is being terminated.
    fn drop(&mut self) {
        self.signal_stop();
    }
}

/// How hints are come by.
enum Means {
    Notified(Notifications),
    Polling(Duration),
}

/// The watching thread's own.
struct Watching {
    shared: Arc<Shared>,
    means: Means,
}

impl Watching {
    fn new(shared: Arc<Shared>, method: Method) -> Self {
        let means = match method {
            Method::Polling(interval) => Means::Polling(interval),
            Method::Notified => match Notifications::begin(&shared) {
                Ok(notifications) => Means::Notified(notifications),
                Err(trouble) => {
                    shared.push([Notice::Trouble(trouble)]);
                    Means::Polling(system::INTERVAL)
                }
            },
        };
        Self { shared, means }
    }

    fn run(mut self) {
        loop {
            let (due, everything, trouble) = {
                let mut hints = lock(&self.shared.hints);
                loop {
                    if hints.stopped {
                        drop(hints);
                        self.shared.catalogue.set_watched(false);
                        return;
                    }
                    let now = Instant::now();
                    let due: BTreeSet<PathBuf> = hints
                        .paths
                        .iter()
                        .filter(|(_, due)| due.at <= now)
                        .map(|(path, _)| path.clone())
                        .take(BATCH)
                        .collect();
                    if !due.is_empty() || hints.everything {
                        for path in &due {
                            hints.paths.remove(path);
                        }
                        break (due, std::mem::take(&mut hints.everything), hints.trouble.take());
                    }
                    let next = hints.paths.values().map(|due| due.at).min();
                    let mut pause = next.map_or(Duration::from_secs(3600), |at| at.saturating_duration_since(now));
                    if let Means::Polling(interval) = &self.means {
                        pause = pause.min(*interval);
                    }
                    let (waited, timeout) =
                        self.shared.hinted.wait_timeout(hints, pause).unwrap_or_else(PoisonError::into_inner);
                    hints = waited;
                    if timeout.timed_out() && matches!(self.means, Means::Polling(_)) {
                        hints.everything = true;
                    }
                }
            };
            if !self.shared.wait_for_room() {
                continue;
            }
            if let Some(trouble) = trouble {
                self.fall_back(trouble);
            }
            let files = if everything { self.everything() } else { self.files(due) };
            for batch in files.chunks(BATCH) {
                if !self.shared.wait_for_room() {
                    break;
                }
                self.shared.take_over(self.shared.catalogue.look(batch));
            }
            self.shared.catalogue.set_watched(matches!(self.means, Means::Notified(_)));
        }
    }

    /// Tells of trouble, and polls from now on.
    fn fall_back(&mut self, trouble: Error) {
        self.shared.push([Notice::Trouble(trouble)]);
        self.shared.catalogue.set_watched(false);
        self.means = Means::Polling(system::INTERVAL);
    }

    /// The capsule files that hinted paths mean: of a folder all that are in it, and all that were.
    fn files(&mut self, due: BTreeSet<PathBuf>) -> Vec<PathBuf> {
        let mut files = BTreeSet::new();
        for path in due {
            let is_folder = self.shared.catalogue.layout().has_folder(&path);
            if is_folder {
                files.extend(self.shared.catalogue.below(&path));
                files.extend(self.visit(&path));
            }
            if self.shared.catalogue.layout().place(&path).is_some() {
                files.insert(path);
            }
        }
        files.into_iter().collect()
    }

    /// Every capsule file that is there or was.
    fn everything(&mut self) -> Vec<PathBuf> {
        let mut files: BTreeSet<PathBuf> = self.shared.catalogue.below(Path::new("")).into_iter().collect();
        files.extend(self.visit(Path::new("")));
        files.into_iter().collect()
    }

    /// Watches a folder and those below it that hold capsules, and gives the capsule files in them. A folder is watched
    /// before it is listed, so that nothing comes in between.
    fn visit(&mut self, folder: &Path) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            let path = self.shared.root.join(&folder);
            if !path.is_dir() {
                continue;
            }
            if let Means::Notified(notifications) = &mut self.means
                && let Err(trouble) = notifications.add(&path)
            {
                self.fall_back(trouble);
            }
            let layout = self.shared.catalogue.layout();
            for item in std::fs::read_dir(&path).into_iter().flatten().flatten() {
                let relative = folder.join(item.file_name());
                let Ok(kind) = item.file_type() else { continue };
                let is_folder = kind.is_dir() || kind.is_symlink() && self.shared.catalogue.is_inside_folder(&relative);
                if is_folder && layout.has_folder(&relative) {
                    folders.push(relative);
                } else if !is_folder && layout.place(&relative).is_some() {
                    files.push(relative);
                }
            }
        }
        files
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
