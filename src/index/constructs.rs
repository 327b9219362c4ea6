//! A construct's newest sound capsule, wherever it lies.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use super::snapshot::Snapshot;
use crate::Error;
use crate::formats::construct_name::ConstructName;
use crate::formats::integrity::{Policy, Verdict};
use crate::formats::json::{self, Kind, Value};
use crate::formats::{capsule, construct};
use crate::lock::{Turn, lock};
use crate::store::{Store, Version, Versions};
use crate::vault::{Candidate, Directory, FileProblem, PlaceOf, Signature, all_users, candidates, read_file, state_of};

/// A text that breaks off is waited for so long: its writer may be slow.
pub const HALF: Duration = Duration::from_millis(1500);

/// So many capsules are kept parsed,
const KEPT: usize = 256;
/// of so many bytes together, or one that is larger.
const KEPT_BYTES: usize = if cfg!(test) { 1 << 20 } else { 128 << 20 };

/// Bytes: a capsule that is larger is parsed in turn.
const LARGE: usize = 64 << 10;
/// So many of the newest versions are looked at before it is asked whose each is.
const USUAL: usize = 16;
/// Of so many files it is known whose they are.
const CALLED: usize = 1 << 16;

/// So often is looked again while files come and go.
const RACES: usize = 8;

/// The constructs of one vault.
#[derive(Debug, Default)]
pub struct Constructs {
    known: Mutex<HashMap<PathBuf, Known>>,
    /// While the vault is watched: what was found for whom, until a construct's file changes.
    watched: Mutex<Option<Answers>>,
    /// How often that happened: an answer that was found meanwhile is not kept.
    changes: AtomicU64,
    /// What files of the store call their constructs, where several show one name.
    called: Mutex<HashMap<PathBuf, (Signature, Option<String>)>>,
}

/// By user and name, with the state of the file of each.
type Answers = HashMap<(Option<PathBuf>, String), (FoundConstruct, Option<Signature>)>;

#[derive(Debug)]
struct Known {
    signature: Signature,
    settled: bool,
    capsule: Arc<ConstructCapsule>,
}

/// A construct's capsule as it was read.
#[derive(Debug)]
pub struct ConstructCapsule {
    /// Its file.
    pub path: PathBuf,
    /// The user whose folder it lies in; `None` for one of the vault's own.
    pub owner: Option<PathBuf>,
    /// What its fingerprint says.
    pub verdict: Verdict,
    /// The instance's name, as JSON.
    pub instance_name: String,
    /// What names this version, as JSON.
    pub uuid: String,
    /// Its own time, as JSON.
    pub timestamp: String,
    /// Microseconds since 1970; `None`, which is before all others, if it states none.
    time: Option<i64>,
    /// What it calls its construct.
    calls_itself: Option<String>,
    /// What it restores to, as JSON, without its memories.
    pub state: String,
    /// Its memories, of each section the last first: they have been appended, and many have one time.
    pub memories: Arc<Snapshot>,
    /// Where the sections end.
    sections: Vec<usize>,
}

/// Whose construct is looked for.
#[derive(Debug, Clone, Copy)]
pub struct Whose<'a> {
    /// The folder of all users.
    pub users: &'a Path,
    /// The user's own folder; `None` to look at all users.
    pub user: Option<&'a Path>,
}

/// What was found.
#[derive(Debug, Default, Clone)]
pub struct FoundConstruct {
    /// The newest that may be used.
    pub capsule: Option<Arc<ConstructCapsule>>,
    /// Those that may not, and lie nearest to it.
    pub rejected: Vec<Arc<ConstructCapsule>>,
    /// Files that lie where its capsules do, and can't be read as one.
    pub broken: Vec<BrokenCapsule>,
    /// Why not all could be looked at.
    pub problem: Option<Error>,
    /// Whether another may be found in a moment without a change.
    pub is_unsettled: bool,
    /// Files that were listed, and were not there when they were read.
    gone: Vec<PathBuf>,
}

/// A file that can't be read as a capsule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenCapsule {
    /// Where it is.
    pub path: PathBuf,
    /// Why not.
    pub reason: String,
    /// Whether somebody may just be writing it.
    pub may_be_half: bool,
}

impl Constructs {
    /// Says that somebody watches the vault (or no longer), or that a construct's file has changed.
    pub fn set_watched(&self, watched: bool) {
        let mut answers = lock(&self.watched);
        self.changes.fetch_add(1, Ordering::SeqCst);
        *answers = watched.then(Answers::new);
    }

    /// As [`find`](Self::find) for the latest version; while the vault is watched, as the watch has it.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub fn find_latest(&self, store: &Store, whose: Whose<'_>, name: &str) -> Result<FoundConstruct, Error> {
        let key = (whose.user.map(Path::to_owned), name.to_owned());
        let generation = match &*lock(&self.watched) {
            None => None,
            Some(answers) => match answers.get(&key) {
                // Nothing tells of a write by another name of the file.
                Some((found, state)) if is_as_read(found, *state) => return Ok(found.clone()),
                _ => Some(self.changes.load(Ordering::SeqCst)),
            },
        };
        let found = self.find(store, whose, name, &Version::Latest)?;
        if let (Some(generation), Some(answers)) = (generation, &mut *lock(&self.watched))
            && generation == self.changes.load(Ordering::SeqCst)
            && !found.is_unsettled
            // Nothing tells when what could not be read can be.
            && found.problem.is_none()
            && found.broken.is_empty()
        {
            if is_full(answers.values().map(|(found, _)| found.heap_size()), found.heap_size()) {
                answers.clear();
            }
            let known = lock(&self.known);
            let state =
                found.capsule.as_ref().and_then(|capsule| known.get(&capsule.path)).map(|known| known.signature);
            answers.insert(key, (found.clone(), state));
        }
        Ok(found)
    }

    /// Finds a construct's capsule: of all places the newest that is sound, or with [`Policy::Report`] the newest. A
    /// version by UUID or tag must be sound too.
    ///
    /// # Errors
    /// [`Error::NoConstruct`] if it is not to be told whose is meant; [`Error::OutsideVault`], [`Error::System`].
    pub fn find(
        &self,
        store: &Store,
        whose: Whose<'_>,
        name: &str,
        version: &Version,
    ) -> Result<FoundConstruct, Error> {
        let wanted = ConstructName::new(name);
        let (mut found, mut capsules) = self.look(store, whose, &wanted, version);
        // What went since it was listed may have made room for another. What is not there at all, as a link that leads nowhere,
        // does not come by looking.
        for _ in 0..RACES {
            if found.gone.is_empty() {
                break;
            }
            let (again, other) = self.look(store, whose, &wanted, version);
            let are_same = again.gone == found.gone;
            (found, capsules) = (again, other);
            if are_same {
                break;
            }
        }
        if let Version::Uuid(uuid) = version {
            capsules.retain(|capsule| is_text(&capsule.uuid, uuid));
        }
        capsules.sort_by_key(|capsule| Reverse(capsule.time));
        for capsule in capsules {
            if store.options().policy == Policy::Report || capsule.verdict.is_sound() {
                if let Some(chosen) = &found.capsule {
                    let owners = (&chosen.owner, &capsule.owner);
                    if let (Some(one), Some(other)) = owners
                        && one != other
                    {
                        return Err(no_construct(format!("several users have a {name}: say whose is meant (userId)")));
                    }
                } else {
                    found.capsule = Some(capsule);
                }
            } else if found.capsule.is_none() {
                found.rejected.push(capsule);
            }
        }
        Ok(found)
    }

    /// The capsules in all places.
    fn look(
        &self,
        store: &Store,
        whose: Whose<'_>,
        wanted: &ConstructName,
        version: &Version,
    ) -> (FoundConstruct, Vec<Arc<ConstructCapsule>>) {
        let mut found = FoundConstruct::default();
        let mut capsules = self.stored(store, wanted, version, &mut found);
        if !matches!(version, Version::Tagged(_)) {
            capsules.extend(self.placed(store, whose, wanted, &mut found));
        }
        (found, capsules)
    }

    /// Of VVAULT's own store: of each instance the newest that may be used, and all that its index can't name.
    fn stored(
        &self,
        store: &Store,
        wanted: &ConstructName,
        version: &Version,
        found: &mut FoundConstruct,
    ) -> Vec<Arc<ConstructCapsule>> {
        let mut capsules = Vec::new();
        let instances = store.instances();
        for instance in instances.map_err(|problem| found.problem = Some(problem)).unwrap_or_default() {
            let is_own = ConstructName::new(&instance).is_same(wanted);
            if !is_own && !wanted.may_be_shown_as(&instance) {
                continue;
            }
            let place = PlaceOf::Stored(instance.clone());
            let Versions { indexed, strays, is_settled } = match store.versions(&instance, version) {
                Ok(versions) => versions,
                Err(problem) => {
                    // Most likely it is of no account for this construct what is wrong with an instance by another name.
                    found.problem = found.problem.take().or(is_own.then_some(problem));
                    continue;
                }
            };
            found.is_unsettled |= !is_settled;
            // A version that has the UUID is it.
            let is_found = matches!(version, Version::Uuid(_)) && !indexed.is_empty();
            let is_its = |own: &str| {
                if is_own { wanted.may_call_itself(own) } else { ConstructName::new(own).is_same(wanted) }
            };
            let may_be = |(at, path): &(usize, PathBuf)| is_own && *at < USUAL || self.may_be(store, path, is_its);
            for (_, path) in indexed.into_iter().enumerate().filter(may_be) {
                let Some(capsule) = self.read_as(store, (&path, None), (wanted, &place), found) else { continue };
                let usable = store.options().policy == Policy::Report || capsule.verdict.is_sound();
                if usable {
                    capsules.push(capsule);
                    break;
                }
                found.rejected.push(capsule);
            }
            let strays = strays.into_iter().filter(|path| !is_found && (is_own || self.may_be(store, path, is_its)));
            capsules.extend(strays.filter_map(|path| self.read_as(store, (&path, None), (wanted, &place), found)));
        }
        capsules
    }

    /// Whether a version in the store may be of a construct, by what it calls itself. Cheap when asked again.
    fn may_be(&self, store: &Store, path: &Path, is_its: impl Fn(&str) -> bool) -> bool {
        let is_it = |own: &Option<String>| own.as_deref().is_none_or(&is_its);
        let seen = state_of(path);
        if let Some((known, own)) = lock(&self.called).get(path)
            && seen == Some(*known)
        {
            return is_it(own);
        }
        let began = SystemTime::now();
        // What can't be read is told by who reads it.
        let Ok(text) = read_file(path, store.options().largest_capsule) else { return true };
        let own = capsule::names(&String::from_utf8_lossy(&text)).into_iter().flatten().next();
        let is_it = is_it(&own);
        if let Some(seen) = seen.filter(|seen| seen.is_settled(began, true)) {
            let mut called = lock(&self.called);
            if called.len() >= CALLED {
                called.clear();
            }
            called.insert(path.to_owned(), (seen, own));
        }
        is_it
    }

    /// Of all other places.
    fn placed(
        &self,
        store: &Store,
        whose: Whose<'_>,
        wanted: &ConstructName,
        found: &mut FoundConstruct,
    ) -> Vec<Arc<ConstructCapsule>> {
        let boundary = store.boundary();
        let mut closed = |problem| found.problem = Some(problem);
        let mut places: Vec<(Candidate, Option<PathBuf>)> = candidates(store.root(), wanted, boundary, &mut closed)
            .into_iter()
            .map(|candidate| (candidate, None))
            .collect();
        let users = match whose.user {
            Some(user) => vec![user.to_owned()],
            None => all_users(whose.users, boundary, &mut closed),
        };
        for user in users {
            let own = candidates(&user, wanted, boundary, &mut closed);
            places.extend(own.into_iter().map(|candidate| (candidate, Some(user.clone()))));
        }
        let capsules = places.into_iter().filter_map(|(Candidate { path, place }, owner)| {
            self.read_as(store, (&path, owner), (wanted, &place), found)
        });
        capsules.collect()
    }

    /// A capsule file of a construct; `None` if it is not there, or another's. Why it can't be read goes into `found`, if by its
    /// place it is of this construct.
    fn read_as(
        &self,
        store: &Store,
        (path, owner): (&Path, Option<PathBuf>),
        (wanted, place): (&ConstructName, &PlaceOf),
        found: &mut FoundConstruct,
    ) -> Option<Arc<ConstructCapsule>> {
        match self.read(store, path, owner) {
            Ok(capsule) => capsule.is_of(wanted, place).then_some(capsule),
            Err(Unread::Missing) => {
                found.gone.push(path.to_owned());
                None
            }
            Err(Unread::NotNow(problem)) => {
                found.problem = Some(Error::of_file(path, problem));
                None
            }
            Err(Unread::Broken { reason, may_be_half }) => {
                if place.names(None, None).into_iter().any(|name| ConstructName::new(name).is_same(wanted)) {
                    found.broken.push(BrokenCapsule { path: path.to_owned(), reason, may_be_half });
                }
                None
            }
        }
    }

    fn read(&self, store: &Store, path: &Path, owner: Option<PathBuf>) -> Result<Arc<ConstructCapsule>, Unread> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name().and_then(OsStr::to_str)) else {
            return Err(Unread::Missing);
        };
        let boundary = store.boundary();
        let system = |error: &io::Error| FileProblem::of_system(error, "open", path);
        let real = boundary.resolve(parent).map_err(|error| system(&error))?.ok_or(Unread::Missing)?;
        let folder = Directory::open(&real).map_err(|error| system(&error))?;
        let seen = folder.file_signature(name, boundary);
        if let Some(known) = lock(&self.known).get(path)
            && known.settled
            && seen == Ok(known.signature)
        {
            return Ok(known.capsule.clone());
        }
        let began = SystemTime::now();
        let mut text = Vec::new();
        let (signature, length) = folder.read(name, boundary, store.options().largest_capsule, &mut text)?;
        let text = &text[..length];
        let _turn = (length > LARGE).then(Turn::take);
        let capsule = ConstructCapsule::parse(store, path, owner, text);
        let capsule = Arc::new(capsule.ok_or_else(|| Unread::Broken {
            reason: ConstructCapsule::problem_of(text),
            may_be_half: json::breaks_off(text) && signature.is_younger_than(HALF),
        })?);
        let settled = signature.is_settled(began, folder.is_local());
        let mut known = lock(&self.known);
        if is_full(known.values().map(|known| known.capsule.heap_size()), capsule.heap_size()) {
            known.clear();
        }
        known.insert(path.to_owned(), Known { signature, settled, capsule: capsule.clone() });
        Ok(capsule)
    }
}

/// Why there is no capsule in a file.
enum Unread {
    /// There is no file.
    Missing,
    /// It can't be said now.
    NotNow(FileProblem),
    /// What is there is none.
    Broken { reason: String, may_be_half: bool },
}

impl From<FileProblem> for Unread {
    fn from(problem: FileProblem) -> Self {
        match problem {
            FileProblem::Missing(_) => Self::Missing,
            FileProblem::Exhausted(_) | FileProblem::System(_) => Self::NotNow(problem),
            _ => Self::Broken { reason: problem.to_string(), may_be_half: false },
        }
    }
}

impl ConstructCapsule {
    /// Reads a capsule's text.
    #[must_use]
    pub fn parse(store: &Store, path: &Path, owner: Option<PathBuf>, text: &[u8]) -> Option<Self> {
        let verdict = store.judge(text);
        let mark = (!verdict.is_sound()).then(|| verdict.to_json());
        let mut restored = construct::restore(text, mark.as_deref())?;
        let decoded = String::from_utf8_lossy(text);
        let plain = json::without_python_numbers(&decoded)?;
        let [metadata, construct_id, synced, created, updated] =
            json::members(&plain, ["metadata", "construct_id", "last_synced_at", "created", "updated"]);
        let metadata = metadata.map_or("null", |metadata| metadata.text());
        let [instance_name, uuid, timestamp] = json::members(metadata, ["instance_name", "uuid", "timestamp"]);
        let times = [timestamp, synced, updated, created];
        let time = times.iter().flatten().find_map(capsule::time_of);
        let state = restored.to_json_without_memories();
        let sections = std::mem::take(&mut restored.sections);
        let mut memories = restored.into_memories();
        let mut start = 0;
        for end in &sections {
            memories[start..*end].reverse();
            start = *end;
        }
        let json = |value: Option<Value<'_>>| value.map_or("null", |value| value.text()).to_owned();
        Some(Self {
            path: path.to_owned(),
            owner,
            verdict,
            instance_name: json(instance_name.or(construct_id)),
            uuid: json(uuid),
            timestamp: json(timestamp),
            time,
            calls_itself: capsule::names(&plain).into_iter().flatten().next(),
            state,
            memories: Arc::new(Snapshot::of_memories(memories)),
            sections,
        })
    }

    /// Whether a text is whole, and no object.
    #[must_use]
    pub fn is_no_object(text: &[u8]) -> bool {
        let decoded = String::from_utf8_lossy(text);
        json::scan(decoded.as_bytes(), |_, _| {}).is_ok_and(|value| value.kind() != Kind::Object)
    }

    /// Why a text is none.
    #[must_use]
    pub fn problem_of(text: &[u8]) -> String {
        let decoded = String::from_utf8_lossy(text);
        match json::scan(decoded.as_bytes(), |_, _| {}) {
            Err(error) => error.describe(&decoded),
            Ok(value) if value.kind() != Kind::Object => "a construct's capsule is a JSON object".to_owned(),
            Ok(_) => "it is no capsule".to_owned(),
        }
    }

    /// What it calls its construct.
    #[must_use]
    pub fn calls_itself(&self) -> Option<&str> {
        self.calls_itself.as_deref()
    }

    /// The names of the constructs whose it is, by its place and by what it calls itself.
    #[must_use]
    pub fn constructs<'a>(&'a self, place: &'a PlaceOf) -> Vec<&'a str> {
        let shown = json::string(&self.instance_name);
        place.names(self.calls_itself(), shown.as_deref().and_then(|shown| std::str::from_utf8(shown).ok()))
    }

    /// Its memories as JSON, as they stand in the capsule.
    pub fn memories_as_json(&self) -> impl Iterator<Item = String> {
        let starts = std::iter::once(0).chain(self.sections.iter().copied());
        let places = starts.zip(&self.sections).flat_map(|(start, end)| (start..*end).rev());
        places.filter_map(|place| self.memories.nameless_as_json(place))
    }

    /// Bytes that it holds, about.
    fn heap_size(&self) -> usize {
        self.state.len() + self.memories.heap_size()
    }

    fn is_of(&self, wanted: &ConstructName, place: &PlaceOf) -> bool {
        self.constructs(place).into_iter().any(|name| ConstructName::new(name).is_same(wanted))
    }
}

impl FoundConstruct {
    fn heap_size(&self) -> usize {
        self.capsule.iter().chain(&self.rejected).map(|capsule| capsule.heap_size()).sum()
    }
}

/// Whether no more fits beside what is kept: their sizes.
fn is_full(kept: impl ExactSizeIterator<Item = usize>, more: usize) -> bool {
    kept.len() >= KEPT || kept.sum::<usize>() + more > KEPT_BYTES
}

/// Whether a construct's file is still as it was read.
fn is_as_read(found: &FoundConstruct, state: Option<Signature>) -> bool {
    found.capsule.as_ref().is_none_or(|capsule| state.is_some() && state_of(&capsule.path) == state)
}

/// Whether a JSON text is this string.
fn is_text(json: &str, text: &str) -> bool {
    json::string(json).is_some_and(|own| own.as_ref() == text.as_bytes())
}

fn no_construct(message: String) -> Error {
    Error::NoConstruct { message }
}

#[cfg(test)]
mod tests;
