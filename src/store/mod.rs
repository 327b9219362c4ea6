//! The store of constructs' capsules: VVAULT's own, `capsules/{instance}/` and `indexes/{instance}_index.json`, shared with
//! Python's `VVAULTCore` and with other processes.

mod files;
mod instance;
pub mod journal;
mod other_file;

use std::cmp::Reverse;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;

pub use files::{Files, SystemFiles};

use crate::Error;
use crate::formats::capsule::{self, Header, adopt, names, refingerprint};
use crate::formats::construct_name::ConstructName;
use crate::formats::instance_index::Entry;
use crate::formats::integrity::{Policy, Verdict, judge};
use crate::formats::json::{self, ObjectText};
use crate::lock::lock;
use crate::vault::{Boundary, Directory, PlaceOf, read_file};
use instance::{Change, Instance, Listing, Outcome, Places};

/// How a vault is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// Make the vault's folders if they are not there.
    pub create: bool,
    /// What is done with unsound capsules.
    pub policy: Policy,
    /// The tether signature that capsules must have.
    pub expected_tether: Option<String>,
    /// The largest capsule that is taken and read, in bytes.
    pub largest_capsule: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { create: false, policy: Policy::Enforce, expected_tether: None, largest_capsule: 64 << 20 }
    }
}

/// The store of one vault. A copy is of the same vault.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
    boundary: Boundary,
    options: Options,
    files: Arc<dyn Files>,
    instances: Arc<Mutex<HashMap<String, Arc<Instance>>>>,
    /// When changes were asked for, if not just now.
    asked: Option<Instant>,
}

/// A capsule that was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its file.
    pub path: PathBuf,
    /// Its instance.
    pub instance_name: String,
    /// What names it.
    pub uuid: String,
    /// Its own time.
    pub timestamp: String,
    /// What its fingerprint says.
    pub verdict: Verdict,
    /// The file's text.
    pub text: Arc<[u8]>,
    /// Whether it was not there before.
    pub is_new: bool,
}

/// Which version of an instance is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Version {
    /// The one stored last.
    Latest,
    /// The newest that has a tag.
    Tagged(String),
    /// The one of this UUID.
    Uuid(String),
}

/// The files that a question for a version may mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versions {
    /// Of versions in the index, the best answer first.
    pub indexed: Vec<PathBuf>,
    /// In the instance's folder, and in no index, as VVAULT asks for more than stands in them.
    pub strays: Vec<PathBuf>,
    /// Whether it stays so until something changes.
    pub is_settled: bool,
}

/// A capsule that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retrieved {
    /// Its file.
    pub path: PathBuf,
    /// The file's text.
    pub text: String,
    /// Its entry in the index, as JSON.
    pub metadata: String,
    /// What its fingerprint says.
    pub verdict: Verdict,
}

/// Why a version was not found.
enum NotFound {
    Words(String),
    /// The file of a capsule holds another one: their UUIDs.
    Another(String, String),
}

impl NotFound {
    fn into_words(self) -> String {
        match self {
            Self::Words(words) => words,
            Self::Another(uuid, other) => format!("the file of {uuid} holds another capsule, {other}"),
        }
    }
}

impl Store {
    /// Opens the vault at `root`.
    ///
    /// # Errors
    /// [`Error::NoVault`] if there is no folder, and it is not to be made.
    pub fn open(root: &Path, options: Options) -> Result<Self, Error> {
        Self::open_with(root, options, Arc::new(SystemFiles))
    }

    /// The same with another way to write files.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(root: &Path, options: Options, files: Arc<dyn Files>) -> Result<Self, Error> {
        if options.create {
            for folder in [root.to_owned(), root.join(CAPSULES), root.join(INDEXES)] {
                files.create_folder(&folder).map_err(|error| Error::system(&error, "mkdir", &folder))?;
            }
        }
        let no_vault = |problem| Error::NoVault { path: root.to_owned(), problem };
        let boundary = Boundary::new(root).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => no_vault("no such folder; make it"),
            _ => Error::system(&error, "open", root),
        })?;
        if !root.is_dir() {
            return Err(no_vault("it is no folder"));
        }
        match root.join(CAPSULES).symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(Error::system(&error, "open", root));
            }
            _ => {}
        }
        let store = Self { root: root.to_owned(), boundary, options, files, instances: Arc::default(), asked: None };
        for name in store.instances()? {
            // Names that are none for an instance are left alone.
            let _ = store.with_instance(&name, |instance| {
                instance.sweep_temporaries();
                Ok(())
            });
        }
        Ok(store)
    }

    /// For changes that were asked for earlier, and could not be begun at once: since then counts how long another process
    /// keeps an instance locked.
    #[must_use]
    pub fn asked_at(&self, asked: Instant) -> Self {
        Self { asked: Some(asked), ..self.clone() }
    }

    /// The vault's folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The border that no link may lead across.
    #[must_use]
    pub fn boundary(&self) -> &Boundary {
        &self.boundary
    }

    /// How it was opened.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The names of all instances, sorted: the folders in `capsules/`, as VVAULT has it.
    ///
    /// # Errors
    /// [`Error::System`]
    pub fn instances(&self) -> Result<Vec<String>, Error> {
        let folder = self.root.join(CAPSULES);
        let system = |error: io::Error| Error::system(&error, "scandir", &folder);
        let real = match self.boundary.resolve(&folder) {
            Ok(Some(real)) => real,
            Ok(None) => return Ok(Vec::new()),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(Vec::new());
            }
            Err(error) => return Err(system(error)),
        };
        let names = Directory::open(&real).and_then(|folder| folder.list()).map_err(system)?;
        let is_folder =
            |name: &str| matches!(self.boundary.resolve(&folder.join(name)), Ok(Some(real)) if real.is_dir());
        Ok(names.into_iter().filter(|name| is_folder(name)).map(String::from).collect())
    }

    /// Does something with an instance: all who do so at once have the same. One that turns out not to be there is
    /// forgotten: names come from outside, and are without end.
    fn with_instance<T>(&self, name: &str, work: impl FnOnce(&Instance) -> Result<T, Error>) -> Result<T, Error> {
        check_name(name)?;
        let new = || {
            let places = Places {
                folder: self.root.join(CAPSULES).join(name),
                indexes: self.root.join(INDEXES),
                boundary: self.boundary.clone(),
                files: self.files.clone(),
                largest: self.options.largest_capsule,
            };
            Arc::new(Instance::new(name, places))
        };
        let instance = lock(&self.instances).entry(name.to_owned()).or_insert_with(new).clone();
        let result = work(&instance);
        let mut instances = lock(&self.instances);
        drop(instance);
        // Who has it still will forget it.
        let is_nothing = |own: &Arc<Instance>| Arc::strong_count(own) == 1 && !own.is_known();
        if instances.get(name).is_some_and(is_nothing) {
            instances.remove(name);
        }
        result
    }

    /// The verdict on a capsule's text.
    #[must_use]
    pub fn judge(&self, text: &[u8]) -> Verdict {
        judge(text, self.options.expected_tether.as_deref())
    }

    /// Stores a capsule byte for byte: when this returns, it is on the disk under its final name, and in the index.
    ///
    /// # Errors
    /// [`Error::InvalidCapsule`], [`Error::InvalidName`], [`Error::TooLarge`]; [`Error::Unsound`] if integrity is enforced;
    /// [`Error::Busy`], [`Error::System`]. Nothing has changed then.
    pub fn store(&self, text: &[u8]) -> Result<Stored, Error> {
        self.put(text, None, |verdict| self.admits(verdict))
    }

    /// The same of a text that was made of what had been parsed, which may have lost what the hash covers (`1.0` becomes
    /// `1`): a wrong hash is refused in any case.
    ///
    /// # Errors
    /// As [`store`](Self::store).
    pub fn store_parsed(&self, text: &[u8]) -> Result<Stored, Error> {
        self.put(text, None, |verdict| verdict.valid != Some(false) && self.admits(verdict))
    }

    fn admits(&self, verdict: &Verdict) -> bool {
        self.options.policy == Policy::Report || verdict.is_sound()
    }

    fn put(&self, text: &[u8], tag: Option<&str>, may_be_stored: impl Fn(&Verdict) -> bool) -> Result<Stored, Error> {
        let limit = self.options.largest_capsule;
        if text.len() as u64 > limit {
            return Err(Error::TooLarge { size: text.len() as u64, limit });
        }
        let header = Header::parse(text).map_err(|problem| Error::InvalidCapsule { problem })?;
        let (instance_name, uuid, timestamp) = (header.instance_name(), header.uuid(), header.timestamp());
        check_name(&instance_name)?;
        if uuid.is_empty() {
            return Err(Error::InvalidCapsule { problem: "its uuid is empty".to_owned() });
        }
        if timestamp.contains(is_unfit_for_names) || timestamp.len() > LONGEST_NAME / 3 {
            let problem = format!("its timestamp {timestamp:?} can't be part of a file's name");
            return Err(Error::InvalidCapsule { problem });
        }
        let verdict = self.judge(text);
        if !may_be_stored(&verdict) {
            return Err(Error::Unsound { reason: verdict.reason.unwrap_or_default(), path: None });
        }
        let text: Arc<[u8]> = text.into();
        let asked = self.asked.unwrap_or_else(Instant::now);
        let outcome = self.with_instance(&instance_name, |instance| {
            let is_known = instance.has_folder();
            let put = || {
                let temporary = instance.write(&text)?;
                let (uuid, tag) = (uuid.clone(), tag.map(str::to_owned));
                instance.change(Change::Store { uuid, temporary, text: text.clone(), tag, placed: None }, asked)
            };
            put().inspect_err(|_| {
                if !is_known {
                    // An instance is whatever has a folder.
                    instance.remove_empty_folder();
                }
            })
        })?;
        match outcome {
            Outcome::Stored { path, is_new } => {
                Ok(Stored { path, instance_name, uuid, timestamp, verdict, text, is_new })
            }
            Outcome::Changed(_) => Err(Error::Internal { message: "a store was not answered".to_owned() }),
        }
    }

    /// Stores a capsule with a new fingerprint, by CapsuleForge's recipe.
    ///
    /// # Errors
    /// As [`store`](Self::store).
    pub fn store_refingerprinted(&self, text: &[u8]) -> Result<Stored, Error> {
        let text = refingerprint(text).map_err(|problem| Error::InvalidCapsule { problem })?;
        self.store(text.as_bytes())
    }

    /// Stores what a capsule file holds, however unsound, as a version of its own with a right fingerprint and the tag
    /// `adopted`. The file stays as it is. If by its place it is the capsule of a construct for which it would not be read under
    /// the name that it shows, it becomes a version of that construct: Chatty's Node code has capsules of `nova-002` show `Nova`.
    ///
    /// # Errors
    /// As [`store`](Self::store); [`Error::System`] if the file can't be read.
    pub fn adopt(&self, path: &Path, place: &PlaceOf) -> Result<Stored, Error> {
        let text = read_file(path, self.options.largest_capsule).map_err(|problem| Error::of_file(path, problem))?;
        let uuid = uuid::Uuid::new_v4().to_string();
        let names = names(&String::from_utf8_lossy(&text));
        let shown = names[2].as_deref();
        let meant = place.names(names.iter().flatten().map(String::as_str).next(), shown);
        let is_shown =
            |name: &&str| shown.is_some_and(|shown| ConstructName::new(shown).is_same(&ConstructName::new(name)));
        let other = if meant.iter().any(is_shown) { None } else { meant.first().copied() };
        let text = adopt(&text, &uuid, other).map_err(|problem| Error::InvalidCapsule { problem })?;
        self.put(text.as_bytes(), Some("adopted"), |verdict| self.admits(verdict))
    }

    /// A version of an instance: the file's own text, and the verdict on it.
    ///
    /// # Errors
    /// In VVAULT's words, why there is none, as `Ok(Err(…))`; [`Error::InvalidName`], [`Error::OutsideVault`],
    /// [`Error::System`].
    pub fn retrieve(&self, name: &str, version: &Version) -> Result<Result<Retrieved, String>, Error> {
        self.with_instance(name, |instance| {
            let found = self.retrieve_listed(instance, name, version)?;
            if let Err(NotFound::Another(uuid, _)) = &found {
                // Its file was written over since it was looked into.
                instance.distrust(uuid);
                return Ok(self.retrieve_listed(instance, name, version)?.map_err(NotFound::into_words));
            }
            Ok(found.map_err(NotFound::into_words))
        })
    }

    fn retrieve_listed(
        &self,
        instance: &Instance,
        name: &str,
        version: &Version,
    ) -> Result<Result<Retrieved, NotFound>, Error> {
        let Some(listing) = instance.listing()? else {
            return Ok(Err(NotFound::Words(format!("Instance '{name}' not found"))));
        };
        let found = match version {
            Version::Uuid(uuid) => listing
                .index()
                .entry(uuid)
                .map(|entry| (&**uuid, entry))
                .ok_or_else(|| format!("Capsule with UUID '{uuid}' not found")),
            Version::Tagged(tag) => by_time(listing.newest_first(Some(tag)))
                .first()
                .copied()
                .ok_or_else(|| format!("No capsules found with tag '{tag}'")),
            Version::Latest => listing.latest().ok_or_else(|| format!("No capsules found for instance '{name}'")),
        };
        Ok(found.map_err(NotFound::Words).and_then(|(uuid, entry)| {
            let path = self.root.join(CAPSULES).join(name).join(entry.filename());
            let bytes = instance.read(entry.filename()).map_err(|problem| match problem {
                crate::vault::FileProblem::Missing(_) => {
                    NotFound::Words(format!("Capsule file not found: {}", path.display()))
                }
                problem => NotFound::Words(problem.to_string()),
            })?;
            let not_utf8 = |error| NotFound::Words(format!("the capsule is not UTF-8: {error}"));
            let text = String::from_utf8(bytes).map_err(not_utf8)?;
            // Python's JSON also has NaN and Infinity.
            json::scan_python(text.as_bytes(), |_, _| {}).map_err(|error| NotFound::Words(error.describe(&text)))?;
            if let Ok(header) = Header::parse(text.as_bytes())
                && header.uuid() != uuid
            {
                return Err(NotFound::Another(uuid.to_owned(), header.uuid()));
            }
            Ok(Retrieved { path, verdict: self.judge(text.as_bytes()), metadata: entry.to_json(), text })
        }))
    }

    /// The versions of an instance, newest first, as JSON objects; with `tag` only those that have it.
    ///
    /// # Errors
    /// [`Error::InvalidName`], [`Error::OutsideVault`], [`Error::System`]
    pub fn list(&self, name: &str, tag: Option<&str>) -> Result<Vec<String>, Error> {
        let listing = self.with_instance(name, Instance::listing)?;
        let entries = listing.iter().flat_map(|listing| listing.newest_first(tag));
        Ok(entries.map(|(_, entry)| entry.to_json()).collect())
    }

    /// The files of an instance that a question means.
    ///
    /// # Errors
    /// [`Error::InvalidName`], [`Error::OutsideVault`], [`Error::System`]
    pub fn versions(&self, name: &str, version: &Version) -> Result<Versions, Error> {
        let (listing, strays) = self.with_instance(name, Instance::contents)?;
        let folder = self.root.join(CAPSULES).join(name);
        let strays = match version {
            // Without an entry it has no tags.
            Version::Tagged(_) => Vec::new(),
            Version::Latest | Version::Uuid(_) => strays.into_iter().map(|name| folder.join(&*name)).collect(),
        };
        let Some(listing) = listing else {
            return Ok(Versions { indexed: Vec::new(), strays, is_settled: true });
        };
        let entries = match version {
            Version::Latest => by_time(listing.newest_first(None)),
            Version::Tagged(tag) => by_time(listing.newest_first(Some(tag))),
            // What the index calls a file may lead elsewhere: only what lies in the folder is one.
            Version::Uuid(uuid) => {
                let entry = listing.index().entry(uuid).filter(|entry| listing.has_file(entry));
                entry.map(|entry| (&**uuid, entry)).into_iter().collect()
            }
        };
        let own = entries.into_iter().filter(|(uuid, _)| !listing.is_written_over(uuid));
        let indexed = own.map(|(_, entry)| folder.join(entry.filename())).collect();
        Ok(Versions { indexed, strays, is_settled: listing.is_settled() })
    }

    /// What is known of an instance, as a JSON object; `None` if there is none.
    ///
    /// # Errors
    /// [`Error::InvalidName`], [`Error::OutsideVault`], [`Error::System`]
    pub fn info(&self, name: &str) -> Result<Option<String>, Error> {
        Ok(self.with_instance(name, Instance::listing)?.map(|listing| info(name, &listing)))
    }

    /// Gives a capsule a tag. False if there is no such capsule.
    ///
    /// # Errors
    /// [`Error::InvalidName`], [`Error::Busy`], [`Error::System`]
    pub fn add_tag(&self, name: &str, uuid: &str, tag: &str) -> Result<bool, Error> {
        self.change(name, Change::AddTag { uuid: uuid.to_owned(), tag: tag.to_owned() })
    }

    /// Takes a tag from a capsule. False if there is no such capsule.
    ///
    /// # Errors
    /// [`Error::InvalidName`], [`Error::Busy`], [`Error::System`]
    pub fn remove_tag(&self, name: &str, uuid: &str, tag: &str) -> Result<bool, Error> {
        self.change(name, Change::RemoveTag { uuid: uuid.to_owned(), tag: tag.to_owned() })
    }

    /// Deletes a capsule, its file and its tags. False if there is no such capsule.
    ///
    /// # Errors
    /// [`Error::InvalidName`], [`Error::Busy`], [`Error::System`]
    pub fn delete(&self, name: &str, uuid: &str) -> Result<bool, Error> {
        self.change(name, Change::Delete { uuid: uuid.to_owned() })
    }

    fn change(&self, name: &str, change: Change) -> Result<bool, Error> {
        let asked = self.asked.unwrap_or_else(Instant::now);
        self.with_instance(name, |instance| {
            let (listing, strays) = instance.contents()?;
            if listing.is_none() && strays.is_empty() {
                return Ok(false);
            }
            Ok(instance.change(change, asked)? == Outcome::Changed(true))
        })
    }
}

/// The folder of all instances' capsules.
pub const CAPSULES: &str = "capsules";
/// The folder of all instances' indexes.
pub const INDEXES: &str = "indexes";

/// Bytes: with timestamp and ending a file's name has at most 255.
const LONGEST_NAME: usize = 180;

fn is_unfit_for_names(character: char) -> bool {
    character.is_control() || matches!(character, '/' | '\\') || cfg!(windows) && "<>\"|?*".contains(character)
}

/// Whether Windows takes a name for a device, whatever folder it stands in.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end().to_ascii_uppercase();
    matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL")
        || stem
            .strip_prefix("COM")
            .or_else(|| stem.strip_prefix("LPT"))
            .is_some_and(|number| matches!(number, "0" | "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9"))
}

/// Names of instances become names of files.
fn check_name(name: &str) -> Result<(), Error> {
    let problem = if name.is_empty() {
        "it is empty"
    } else if name == "." || name == ".." {
        "it names a folder"
    } else if name.contains(is_unfit_for_names) || cfg!(windows) && (name.contains(':') || name.ends_with(['.', ' '])) {
        "it has a character that no file's name may have"
    } else if cfg!(windows) && is_device(name) {
        "it is the name of a device"
    } else if name.len() > LONGEST_NAME {
        "it has more than 180 bytes"
    } else {
        return Ok(());
    };
    Err(Error::InvalidName { name: name.to_owned(), problem })
}

/// Newest first by their times, which as texts may stand in another order: with other zones or fractions. Of one time, the one
/// first that was stored last.
fn by_time<'a>(mut entries: Vec<(&'a str, &'a Entry)>) -> Vec<(&'a str, &'a Entry)> {
    let time = |text: &str| capsule::time(text.as_bytes());
    entries.sort_by_cached_key(|(_, entry)| Reverse((entry.timestamp().and_then(time), time(&entry.created_at()))));
    entries
}

fn info(name: &str, listing: &Listing) -> String {
    let index = listing.index();
    let entries = listing.newest_first(None);
    let mut counts: indexmap::IndexMap<&str, usize> = index.tags().map(|tag| (tag, 0)).collect();
    for tag in entries.iter().flat_map(|(_, entry)| entry.tags()) {
        *counts.entry(tag).or_default() += 1;
    }
    let counted = counts.into_iter().filter(|(_, count)| *count > 0);
    let tags = counted.fold(ObjectText::new(), |tags, (tag, count)| tags.json(tag, count));
    let [created, updated] = index.times();
    ObjectText::new()
        .string("instance_name", name)
        .json("total_capsules", entries.len())
        .string_or_null("latest_uuid", listing.latest().map(|(uuid, _)| uuid))
        .json("tags", tags.finish())
        .json("created_at", created)
        .json("updated_at", updated)
        .finish()
}

#[cfg(test)]
mod tests;
