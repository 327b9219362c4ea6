//! An open vault for JavaScript.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use napi::JsString;
use napi::bindgen_prelude::{Buffer, Either, Env, Function, PromiseRaw};
use napi::threadsafe_function::ThreadsafeFunctionCallMode;
use napi_derive::napi;

use super::capsule::{CapsuleAnswer, LoadedCapsule};
use super::progress::ReadingProgress;
use super::reading::{MemoryReading, ReadingRequest, TEXT_SIZE};
use super::text::{Text, escaped};
use super::{off_thread, off_thread_in_turn, promised};
use crate::Error;
use crate::formats::capsule::Header;
use crate::formats::construct_name::ConstructName;
use crate::formats::integrity::{Policy, Verdict};
use crate::formats::json::{self, ObjectText};
use crate::formats::memory::Memory;
use crate::index::{ConstructCapsule, Directories, Discovery, Rejection, Row, Storage, Vault};
use crate::lock::lock;
use crate::store::{Options, Store, Stored, Version};
use crate::vault::PlaceOf;
use crate::watch::{self, Content, Cursor, Happening, Listener, Method, Notice, Watch};

/// How a vault is opened.
#[napi(object)]
pub struct VaultOptions {
    /// Make its folders.
    pub create: bool,
    /// Let unsound capsules pass, marked; else they are left out.
    pub report: bool,
    /// The tether signature that capsules must have.
    pub expected_tether: Option<String>,
    /// The largest capsule in bytes.
    pub max_capsule_bytes: Option<f64>,
    /// The folder of all users.
    pub users: String,
    /// A user's folder of memory capsules.
    pub capsules: String,
    /// A user's folder of transcripts.
    pub transcripts: String,
    /// Watch by looking at every file, so often; else by the system's notifications.
    pub poll_milliseconds: Option<f64>,
    /// Tell also what happened since: a cursor, or milliseconds since 1970.
    pub since: Option<Either<String, f64>>,
    /// Where the watch records what it told, and indexes are kept.
    pub cache: Option<String>,
}

/// JSON texts, handed out one by one.
#[napi]
pub struct JsonTexts {
    texts: Mutex<VecDeque<Text>>,
}

#[napi]
impl JsonTexts {
    /// The next JSON array; `null` when there are no more.
    ///
    /// # Errors
    /// If the JavaScript engine can't make the string.
    #[napi(catch_unwind, ts_return_type = "string | null")]
    pub fn next<'env>(&self, env: &'env Env) -> napi::Result<Option<JsString<'env>>> {
        let text = lock(&self.texts).pop_front();
        text.map(|text| text.to_js(env)).transpose()
    }
}

impl JsonTexts {
    fn of(values: impl IntoIterator<Item = String>) -> Self {
        Self { texts: Mutex::new(arrays(values).into_iter().map(Text::of_json).collect()) }
    }
}

/// JSON values as arrays of about [`TEXT_SIZE`] bytes; one at least.
fn arrays(values: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut arrays = Vec::new();
    let mut array = String::from("[");
    for value in values {
        if array.len() >= TEXT_SIZE {
            array.push(']');
            arrays.push(std::mem::replace(&mut array, String::from("[")));
        } else if array.len() > 1 {
            array.push(',');
        }
        array.push_str(&value);
    }
    array.push(']');
    arrays.push(array);
    arrays
}

/// A capsule that was found, or why not.
#[napi]
pub struct RetrievedCapsule {
    text: Option<Text>,
    /// Its entry in the index, as JSON.
    pub metadata: Option<String>,
    /// Whether the stated hash is right; `null` if none is stated.
    pub valid: Option<bool>,
    /// The recipe that matched.
    #[napi(ts_type = "'F1' | 'F2' | 'F3' | 'F4' | 'raw_sha256'")]
    pub recipe: Option<String>,
    /// Whether the tether signature is the expected one; `null` if none is expected.
    pub tether: Option<bool>,
    /// Why it was not found, or is not sound.
    pub problem: Option<String>,
}

#[napi]
impl RetrievedCapsule {
    /// The file's text; `null` if it was not found.
    ///
    /// # Errors
    /// If the JavaScript engine can't make the string.
    #[napi(catch_unwind, ts_return_type = "string | null")]
    pub fn text<'env>(&self, env: &'env Env) -> napi::Result<Option<JsString<'env>>> {
        self.text.as_ref().map(|text| text.to_js(env)).transpose()
    }
}

/// A capsule that was stored.
#[napi(object)]
pub struct StoredCapsule {
    /// Its file.
    pub path: String,
    /// What happened, as JSON texts, if nobody else tells of it.
    pub event: Option<Vec<String>>,
}

/// A construct that was restored.
#[napi]
pub struct RestoredConstruct {
    state: Option<Text>,
    memories: JsonTexts,
    /// Its file.
    pub path: String,
    /// Why there is none, as JSON.
    pub problem: Option<String>,
    /// What was left out, as JSON.
    pub rejected: Vec<String>,
}

#[napi]
impl RestoredConstruct {
    /// The state, as JSON, without its memories; `null` if there is none.
    ///
    /// # Errors
    /// If the JavaScript engine can't make the string.
    #[napi(catch_unwind, ts_return_type = "string | null")]
    pub fn state<'env>(&self, env: &'env Env) -> napi::Result<Option<JsString<'env>>> {
        self.state.as_ref().map(|state| state.to_js(env)).transpose()
    }

    /// As `JsonTexts`, its memories.
    ///
    /// # Errors
    /// If the JavaScript engine can't make the string.
    #[napi(catch_unwind, ts_return_type = "string | null")]
    pub fn next<'env>(&self, env: &'env Env) -> napi::Result<Option<JsString<'env>>> {
        self.memories.next(env)
    }
}

/// Which version.
#[napi(object)]
pub struct VersionRequest {
    /// The one of this UUID.
    pub uuid: Option<String>,
    /// Else the newest that has this tag; else the latest.
    pub tag: Option<String>,
}

impl From<VersionRequest> for Version {
    fn from(request: VersionRequest) -> Self {
        match request {
            VersionRequest { uuid: Some(uuid), .. } => Self::Uuid(uuid),
            VersionRequest { tag: Some(tag), .. } => Self::Tagged(tag),
            _ => Self::Latest,
        }
    }
}

/// Opens a vault. With `wake` it is watched: `wake` is called, without arguments, when `take` has something.
///
/// # Errors
/// [`Error::NoVault`], [`Error::System`], [`Error::Aborted`]
#[napi(catch_unwind, ts_return_type = "Promise<NativeVault>")]
pub fn open_vault<'env>(
    env: &'env Env,
    root: String,
    options: VaultOptions,
    wake: Option<Function<'_, (), ()>>,
    progress: &ReadingProgress,
) -> napi::Result<PromiseRaw<'env, NativeVault>> {
    // Weak: the JavaScript side decides what keeps the process alive.
    let progress = progress.shared().clone();
    let wake = wake.map(|wake| wake.build_threadsafe_function().weak::<true>().build()).transpose()?;
    promised(env, move || {
        let mut store_options = Options {
            create: options.create,
            policy: if options.report { Policy::Report } else { Policy::Enforce },
            expected_tether: options.expected_tether,
            ..Options::default()
        };
        if let Some(bytes) = options.max_capsule_bytes {
            store_options.largest_capsule = whole(bytes);
        }
        let store = Store::open(&PathBuf::from(root), store_options)?;
        let VaultOptions { users, capsules, transcripts, .. } = options;
        let cache = options.cache.map(PathBuf::from);
        let storage = cache.as_deref().map(Storage::new).map(Arc::new);
        let vault = Arc::new(Vault::new(store, Directories { users, capsules, transcripts }, storage));
        let watch = match wake {
            None => None,
            Some(wake) => {
                let method = options
                    .poll_milliseconds
                    .map_or(Method::Notified, |interval| Method::Polling(Duration::from_millis(whole(interval))));
                let listener = Listener {
                    tell: Box::new({
                        let report = vault.store().options().policy == Policy::Report;
                        move |notice| told(notice, report).into_iter().map(escaped).collect()
                    }),
                    // The queue keeps what there is until somebody takes it: nothing is lost if this fails.
                    wake: Box::new(move || {
                        let _ = wake.call((), ThreadsafeFunctionCallMode::NonBlocking);
                    }),
                };
                let since = match options.since {
                    Some(Either::A(cursor)) => Some(Cursor::parse(&cursor).ok_or(Error::InvalidCursor { cursor })?),
                    Some(Either::B(time)) => Some(Cursor::at(whole(time))),
                    None => None,
                };
                let request = watch::Request { method, since, cache, progress };
                Some(Arc::new(Watch::begin(vault.clone(), &request, listener)?))
            }
        };
        Ok(NativeVault { vault, watch })
    })
}

/// Whether two names mean one construct.
#[napi(catch_unwind)]
#[must_use]
#[allow(clippy::needless_pass_by_value, reason = "napi hands arguments over")]
pub fn is_same_construct(one: String, other: String) -> bool {
    ConstructName::new(&one).is_same(&ConstructName::new(&other))
}

/// An open vault.
#[napi]
pub struct NativeVault {
    vault: Arc<Vault>,
    watch: Option<Arc<Watch>>,
}

#[napi]
impl NativeVault {
    /// What the watch has told since, as a JSON array; `null` if there is nothing.
    ///
    /// # Errors
    /// If the JavaScript engine can't make the string.
    #[napi(catch_unwind, ts_return_type = "string | null")]
    pub fn take<'env>(&self, env: &'env Env) -> napi::Result<Option<JsString<'env>>> {
        let told = self.watch.as_ref().and_then(|watch| watch.take());
        told.map(|told| Text::from(told).to_js(env)).transpose()
    }

    /// How many notices the watch has had for `take`.
    #[napi(catch_unwind)]
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a double counts them for thousands of years")]
    pub fn told(&self) -> f64 {
        self.watch.as_ref().map_or(0, |watch| watch.count()) as f64
    }

    /// The cursor behind everything that the watch has told; `null` without one.
    #[napi(catch_unwind)]
    #[must_use]
    pub fn cursor(&self) -> Option<String> {
        self.watch.as_ref().map(|watch| watch.cursor().to_string())
    }

    /// Ends the watch, and keeps what was read for who opens the vault next.
    ///
    /// # Errors
    /// Only for a defect of the engine.
    #[napi(catch_unwind, ts_return_type = "Promise<void>")]
    pub fn close<'env>(&self, env: &'env Env) -> napi::Result<PromiseRaw<'env, ()>> {
        let (vault, watch) = (self.vault.clone(), self.watch.clone());
        promised(env, move || {
            if let Some(watch) = watch {
                watch.stop();
            }
            vault.keep_indexes();
            Ok(())
        })
    }

    /// The vault's folder, behind all links.
    #[napi(catch_unwind)]
    #[must_use]
    pub fn real_root(&self) -> String {
        self.vault.boundary().root().to_string_lossy().into_owned()
    }

    /// Reads and judges a construct's capsule file. One that can't be read is told in `errorMessage`.
    ///
    /// # Errors
    /// Only for a defect of the engine.
    #[napi(catch_unwind, ts_return_type = "Promise<LoadedCapsule>")]
    pub fn load_capsule<'env>(&self, env: &'env Env, path: String) -> napi::Result<PromiseRaw<'env, LoadedCapsule>> {
        let vault = self.vault.clone();
        promised(env, move || {
            let Options { largest_capsule, expected_tether, .. } = vault.store().options();
            Ok(LoadedCapsule::of_file(Path::new(&path), *largest_capsule, expected_tether.as_deref()))
        })
    }

    /// Reads and judges a construct's capsule file, and makes the answer that gives it; `null` if it can't be read.
    ///
    /// # Errors
    /// Only for a defect of the engine.
    #[napi(catch_unwind, ts_return_type = "Promise<CapsuleAnswer | null>")]
    pub fn answer_with_capsule<'env>(
        &self,
        env: &'env Env,
        path: String,
    ) -> napi::Result<PromiseRaw<'env, Option<CapsuleAnswer>>> {
        let vault = self.vault.clone();
        promised(env, move || {
            let Options { largest_capsule, expected_tether, .. } = vault.store().options();
            CapsuleAnswer::of_file(Path::new(&path), *largest_capsule, expected_tether.as_deref())
        })
    }

    /// A question to this vault: see `MemoryReading`.
    #[napi(catch_unwind)]
    #[must_use]
    pub fn reading(&self, request: ReadingRequest) -> MemoryReading {
        MemoryReading::of_vault(request, self.vault.clone(), self.watch.clone())
    }

    /// Stores a capsule. `parsed` tells that its text was made of an object.
    ///
    /// # Errors
    /// As `Store::store`.
    #[napi(catch_unwind, ts_return_type = "Promise<StoredCapsule>")]
    pub fn store<'env>(
        &self,
        env: &'env Env,
        capsule: Either<String, Buffer>,
        refingerprint: bool,
        parsed: bool,
    ) -> napi::Result<PromiseRaw<'env, StoredCapsule>> {
        let (vault, watch) = (self.vault.clone(), self.watch.clone());
        let text = match capsule {
            Either::A(text) => text.into_bytes(),
            Either::B(bytes) => bytes.to_vec(),
        };
        env.spawn_future(async move {
            let (text, name) = off_thread(move || {
                // What has none is refused later.
                let name = Header::parse(&text).map(|header| header.instance_name()).unwrap_or_default();
                Ok((text, name))
            })
            .await?;
            off_thread_in_turn(vault, name, move |store| {
                let stored = match (refingerprint, parsed) {
                    (true, _) => store.store_refingerprinted(&text)?,
                    (false, true) => store.store_parsed(&text)?,
                    (false, false) => store.store(&text)?,
                };
                Ok(StoredCapsule::of(&stored, store, watch.as_deref()))
            })
            .await
        })
    }

    /// Stores what an unsound capsule file holds.
    ///
    /// # Errors
    /// As `Store::adopt`.
    #[napi(catch_unwind, ts_return_type = "Promise<StoredCapsule>")]
    pub fn adopt<'env>(&self, env: &'env Env, path: String) -> napi::Result<PromiseRaw<'env, StoredCapsule>> {
        let (vault, watch) = (self.vault.clone(), self.watch.clone());
        let path = PathBuf::from(path);
        let own = vault.clone();
        // The folder of an instance has its name.
        let folder = path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
        env.spawn_future(off_thread_in_turn(vault, folder, move |store| {
            let stored = store.adopt(&path, &watch::place_of(&own, &path))?;
            Ok(StoredCapsule::of(&stored, store, watch.as_deref()))
        }))
    }

    /// Finds a version of an instance.
    ///
    /// # Errors
    /// As `Store::retrieve`.
    #[napi(catch_unwind, ts_return_type = "Promise<RetrievedCapsule>")]
    pub fn retrieve<'env>(
        &self,
        env: &'env Env,
        name: String,
        version: VersionRequest,
    ) -> napi::Result<PromiseRaw<'env, RetrievedCapsule>> {
        let vault = self.vault.clone();
        promised(env, move || {
            Ok(match vault.store().retrieve(&name, &version.into())? {
                Ok(found) => RetrievedCapsule {
                    text: Some(Text::from(found.text)),
                    metadata: Some(found.metadata),
                    valid: found.verdict.valid,
                    recipe: found.verdict.recipe.map(str::to_owned),
                    tether: found.verdict.tether,
                    problem: found.verdict.reason,
                },
                Err(problem) => RetrievedCapsule {
                    text: None,
                    metadata: None,
                    valid: None,
                    recipe: None,
                    tether: None,
                    problem: Some(problem),
                },
            })
        })
    }

    /// The entries of an instance, newest first.
    ///
    /// # Errors
    /// As `Store::list`.
    #[napi(catch_unwind, ts_return_type = "Promise<JsonTexts>")]
    pub fn list<'env>(
        &self,
        env: &'env Env,
        name: String,
        tag: Option<String>,
    ) -> napi::Result<PromiseRaw<'env, JsonTexts>> {
        let vault = self.vault.clone();
        promised(env, move || vault.store().list(&name, tag.as_deref()).map(JsonTexts::of))
    }

    /// The names of all instances.
    ///
    /// # Errors
    /// As `Store::instances`.
    #[napi(catch_unwind, ts_return_type = "Promise<Array<string>>")]
    pub fn instances<'env>(&self, env: &'env Env) -> napi::Result<PromiseRaw<'env, Vec<String>>> {
        let vault = self.vault.clone();
        promised(env, move || vault.store().instances())
    }

    /// What is known of an instance, as JSON; `null` if there is none.
    ///
    /// # Errors
    /// As `Store::info`.
    #[napi(catch_unwind, ts_return_type = "Promise<string | null>")]
    pub fn info<'env>(&self, env: &'env Env, name: String) -> napi::Result<PromiseRaw<'env, Option<String>>> {
        let vault = self.vault.clone();
        promised(env, move || vault.store().info(&name))
    }

    /// The text of a small file of the vault.
    ///
    /// # Errors
    /// As `Store::read_text`.
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn read_text<'env>(&self, env: &'env Env, path: String) -> napi::Result<PromiseRaw<'env, String>> {
        let vault = self.vault.clone();
        promised(env, move || vault.store().read_text(&PathBuf::from(path)))
    }

    /// Writes a file of the vault that is no capsule.
    ///
    /// # Errors
    /// As `Store::write_text`.
    #[napi(catch_unwind, ts_return_type = "Promise<void>")]
    pub fn write_text<'env>(&self, env: &'env Env, path: String, text: String) -> napi::Result<PromiseRaw<'env, ()>> {
        let vault = self.vault.clone();
        promised(env, move || vault.store().write_text(&PathBuf::from(path), &text))
    }

    /// Gives a capsule a tag.
    ///
    /// # Errors
    /// As `Store::add_tag`.
    #[napi(catch_unwind, ts_return_type = "Promise<boolean>")]
    pub fn add_tag<'env>(
        &self,
        env: &'env Env,
        name: String,
        uuid: String,
        tag: String,
    ) -> napi::Result<PromiseRaw<'env, bool>> {
        let vault = self.vault.clone();
        env.spawn_future(off_thread_in_turn(vault, name.clone(), move |store| store.add_tag(&name, &uuid, &tag)))
    }

    /// Takes a tag from a capsule.
    ///
    /// # Errors
    /// As `Store::remove_tag`.
    #[napi(catch_unwind, ts_return_type = "Promise<boolean>")]
    pub fn remove_tag<'env>(
        &self,
        env: &'env Env,
        name: String,
        uuid: String,
        tag: String,
    ) -> napi::Result<PromiseRaw<'env, bool>> {
        let vault = self.vault.clone();
        env.spawn_future(off_thread_in_turn(vault, name.clone(), move |store| store.remove_tag(&name, &uuid, &tag)))
    }

    /// Deletes a capsule.
    ///
    /// # Errors
    /// As `Store::delete`.
    #[napi(catch_unwind, ts_return_type = "Promise<boolean>")]
    pub fn delete<'env>(&self, env: &'env Env, name: String, uuid: String) -> napi::Result<PromiseRaw<'env, bool>> {
        let vault = self.vault.clone();
        env.spawn_future(off_thread_in_turn(vault, name.clone(), move |store| store.delete(&name, &uuid)))
    }

    /// Restores a construct from its newest sound capsule, or from the version asked for.
    ///
    /// # Errors
    /// As `Vault::construct`.
    #[napi(catch_unwind, ts_return_type = "Promise<RestoredConstruct>")]
    pub fn restore<'env>(
        &self,
        env: &'env Env,
        name: String,
        version: VersionRequest,
        user: Option<String>,
    ) -> napi::Result<PromiseRaw<'env, RestoredConstruct>> {
        let vault = self.vault.clone();
        promised(env, move || {
            let user = user.map(PathBuf::from);
            let (capsule, rejections) = vault.construct(&name, &version.into(), user.as_deref())?;
            let problem = capsule.as_ref().err().map(super::to_json);
            let capsule = capsule.ok();
            Ok(RestoredConstruct {
                state: capsule.as_ref().map(|capsule| Text::of_json(capsule.state.clone())),
                memories: JsonTexts::of(capsule.iter().flat_map(|capsule| capsule.memories_as_json())),
                path: capsule.map(|capsule| capsule.path.to_string_lossy().into_owned()).unwrap_or_default(),
                problem,
                rejected: rejections.iter().map(|rejection| rejected(&vault, rejection)).collect(),
            })
        })
    }

    /// Every construct's capsule file, and what its header tells; before them why some folders can't be looked into, as `closed`.
    ///
    /// # Errors
    /// As `Vault::discover`.
    #[napi(catch_unwind, ts_return_type = "Promise<JsonTexts>")]
    pub fn discover<'env>(&self, env: &'env Env) -> napi::Result<PromiseRaw<'env, JsonTexts>> {
        let vault = self.vault.clone();
        promised(env, move || {
            let Discovery { capsules, closed } = vault.discover()?;
            let closed = closed.into_iter().map(|reason| ObjectText::new().string("closed", &reason).finish());
            Ok(JsonTexts::of(closed.chain(capsules.into_iter().map(|found| {
                let text = ObjectText::new()
                    .string("path", &found.path.to_string_lossy())
                    .json("size", found.size)
                    .json("modified", found.modified);
                let keys = ["title", "description", "version", "tags", "instanceName", "uuid", "timestamp"];
                let header = keys.iter().zip(&found.header);
                let told = header.filter_map(|(key, value)| value.as_ref().map(|value| (key, value)));
                told.fold(text, |text, (key, value)| text.json(key, value)).finish()
            }))))
        })
    }

    /// The verdict on every capsule file, or on those of some instances.
    ///
    /// # Errors
    /// Only for a defect of the engine.
    #[napi(catch_unwind, ts_return_type = "Promise<JsonTexts>")]
    pub fn verify<'env>(
        &self,
        env: &'env Env,
        instances: Option<Vec<String>>,
        progress: &ReadingProgress,
    ) -> napi::Result<PromiseRaw<'env, JsonTexts>> {
        let (vault, progress) = (self.vault.clone(), progress.shared().clone());
        promised(env, move || {
            Ok(JsonTexts::of(vault.verify(instances.as_deref(), &progress).into_iter().map(|verified| {
                ObjectText::new()
                    .string("path", &verified.path.to_string_lossy())
                    .string("format", format_of(verified.is_construct))
                    .json("integrity", verified.verdict.to_json())
                    .string_or_null("reason", verified.verdict.reason.as_deref())
                    .finish()
            })))
        })
    }
}

impl StoredCapsule {
    /// A watch tells of it itself; without one the event is handed over.
    fn of(stored: &Stored, store: &Store, watch: Option<&Watch>) -> Self {
        let path = stored.path.to_string_lossy().into_owned();
        if let Some(watch) = watch {
            watch.look_at(&stored.path);
            return Self { path, event: None };
        }
        let event = stored.is_new.then(|| {
            let capsule = ConstructCapsule::parse(store, &stored.path, None, &stored.text);
            let place = PlaceOf::Stored(stored.instance_name.clone());
            let constructs = capsule.as_ref().map(|capsule| capsule.constructs(&place)).unwrap_or_default();
            let write = |memories: &str| {
                ObjectText::new()
                    .string("kind", "imported")
                    .string("path", &path)
                    .string("format", format_of(true))
                    .json("userId", "null")
                    .string("constructId", &stored.instance_name)
                    .json("constructIds", serde_json::json!(constructs))
                    .string("instanceName", &stored.instance_name)
                    .string("uuid", &stored.uuid)
                    .string("timestamp", &stored.timestamp)
                    .json("integrity", stored.verdict.to_json())
                    .json("memories", memories)
                    .json("reason", "null")
                    .json("cursor", "null")
                    .finish()
            };
            with_memories(write, arrays(capsule.iter().flat_map(ConstructCapsule::memories_as_json)))
        });
        Self { path, event }
    }
}

/// An event with these memories, as JSON texts: itself; or if they are many, so that none takes long to be parsed, how many
/// arrays of them there are, the event without memories, and these arrays.
fn with_memories(event: impl FnOnce(&str) -> String, mut memories: Vec<String>) -> Vec<String> {
    match &*memories {
        [] => vec![event("null")],
        [all] => vec![event(all)],
        parts => {
            let mut texts = vec![parts.len().to_string(), event("[]")];
            texts.append(&mut memories);
            texts
        }
    }
}

/// Bytes of an event's memories: V8's longest string holds twice as many.
const LONGEST: usize = 256 << 20;

/// Values of an event's memory: V8 takes a tenth of a second to make so many objects, and as long again to collect them.
const MOST_VALUES: usize = 256 << 10;

/// Whether a memory is small enough to be parsed while others wait.
fn fits(memory: &Memory) -> bool {
    memory.heap_size() <= LONGEST && (memory.heap_size() <= MOST_VALUES || memory.value_count() <= MOST_VALUES)
}

/// That a usual memory came or was changed, as a JSON array of what is not always the same: V8 parses that, and JavaScript makes
/// the event of it, in two thirds of the time: `eventOf` in lib/watch-events.js has the order. `None` for what is to be told as a
/// whole.
fn told_in_brief(event: &watch::Event, report: bool) -> Option<String> {
    /// Bytes, beside the memory's: about.
    const HEADER: usize = 256;
    let Content::Memory(Some(row)) = &event.content else { return None };
    let (kind, valid) = (kind_of(event.happening), event.verdict.valid);
    let is_there = matches!(event.happening, Happening::Imported | Happening::Updated);
    let is_usual = event.construct.is_none() && event.verdict.tether.is_none() && !(report && valid == Some(false));
    let path = event.path.to_str().filter(|_| is_there && is_usual)?;
    // JavaScript makes the memory's id of it.
    if event.path.file_name()? != row.as_ref().name() || path.strip_suffix(".json").is_none() {
        return None;
    }
    row.with_memory(|memory| {
        if !fits(memory) {
            return None;
        }
        let mut text = String::with_capacity(memory.heap_size() + HEADER);
        text.push('[');
        let strings = [Some(kind), Some(path), event.user.as_deref(), event.verdict.recipe, Some(&event.cursor)];
        for string in strings {
            match string {
                Some(string) => json::write_string(&mut text, string),
                None => text.push_str("null"),
            }
            text.push(',');
        }
        text.push_str(valid.map_or("null,", |valid| if valid { "true," } else { "false," }));
        memory.write_values(&mut text)?;
        for reader in &event.readers {
            text.push(',');
            json::write_string(&mut text, reader);
        }
        text.push(']');
        Some(text)
    })?
}

fn kind_of(happening: Happening) -> &'static str {
    match happening {
        Happening::Imported => "imported",
        Happening::Updated => "updated",
        Happening::Removed => "removed",
        Happening::Rejected => "rejected",
    }
}

/// A notice of the watch, as JSON: see [`with_memories`] and [`told_in_brief`].
fn told(notice: Notice, report: bool) -> Vec<String> {
    /// Bytes of an event, beside its memories, and of a memory beside its contents: about.
    const HEADER: usize = 768;
    let event = match notice {
        Notice::Event(event) => event,
        Notice::Trouble(error) => {
            let path = error.path().map(|path| path.to_string_lossy().into_owned());
            let event = ObjectText::new()
                .string("kind", "error")
                .string("code", error.code())
                .string("message", &error.to_string())
                .string_or_null("path", path.as_deref());
            return vec![event.finish()];
        }
    };
    if let Some(text) = told_in_brief(&event, report) {
        return vec![text];
    }
    let is_there = matches!(event.happening, Happening::Imported | Happening::Updated);
    let null = || "null".to_owned();
    let mut header = [null(), null(), null()];
    let mut memories = Vec::new();
    let mut calls_itself = None;
    let mut is_too_large = false;
    let format = match &event.content {
        Content::Memory(row) => {
            let marked = report && event.verdict.valid == Some(false);
            let write = |row: &Row, memory: &Memory| {
                let mut json = String::with_capacity(memory.heap_size() + HEADER);
                json.push('[');
                memory.write_json(row.as_ref().name(), &event.seen, marked, &mut json);
                json.push(']');
                json
            };
            if let Some(row) = row.as_ref().filter(|_| is_there) {
                let text = row.with_memory(|memory| fits(memory).then(|| write(row, memory)));
                is_too_large = text == Some(None);
                memories.extend(text.flatten());
            }
            format_of(false)
        }
        Content::Construct(capsule) => {
            if let Some(capsule) = capsule {
                header = [&capsule.instance_name, &capsule.uuid, &capsule.timestamp].map(Clone::clone);
                calls_itself = capsule.calls_itself().map(str::to_owned);
                if is_there {
                    memories = arrays(capsule.memories_as_json());
                }
            }
            format_of(true)
        }
    };
    let [instance_name, uuid, timestamp] = header;
    let is_construct = matches!(event.content, Content::Construct(Some(_)));
    let reason = if is_there { None } else { reason_of(&event.verdict, is_construct) };
    if is_too_large || memories.iter().map(String::len).sum::<usize>() > LONGEST {
        let message = "it is too large for an event; `readMemories` gives what it holds".to_owned();
        let path = event.path.clone();
        return told(Notice::Trouble(Error::System { code: "VVAULT_TOO_LARGE", message, path }), report);
    }
    let write = |memories: &str| {
        let mut text = ObjectText::with_capacity(memories.len() + HEADER);
        if is_there {
            text = text.json("userIds", serde_json::json!(event.readers));
        }
        if is_construct && is_there {
            text = text.json("constructIds", serde_json::json!(event.constructs));
        }
        text.string("kind", kind_of(event.happening))
            .string("path", &event.path.to_string_lossy())
            .string("format", format)
            .string_or_null("userId", event.user.as_deref())
            .string_or_null("constructId", event.construct.as_deref().or(calls_itself.as_deref()))
            .json("instanceName", instance_name)
            .json("uuid", uuid)
            .json("timestamp", timestamp)
            .json("integrity", event.verdict.to_json())
            .json("memories", memories)
            .string_or_null("reason", reason.as_deref())
            .string("cursor", &event.cursor)
            .finish()
    };
    with_memories(write, memories)
}

/// The event that tells of a rejection, as JSON.
pub(super) fn rejected(vault: &Vault, rejection: &Rejection) -> String {
    let Rejection { path, is_construct, is_whole, verdict, header, calls_itself } = rejection;
    let [instance_name, uuid, timestamp] = header;
    let [user, construct] = watch::owners_of(vault, path);
    ObjectText::new()
        .string("kind", "rejected")
        .string("path", &path.to_string_lossy())
        .string("format", format_of(*is_construct))
        .string_or_null("userId", user.as_deref())
        .string_or_null("constructId", construct.as_deref().or(calls_itself.as_deref()))
        .json("instanceName", instance_name)
        .json("uuid", uuid)
        .json("timestamp", timestamp)
        .json("integrity", verdict.to_json())
        .json("memories", "null")
        .string_or_null("reason", reason_of(verdict, *is_construct && *is_whole).as_deref())
        .json("cursor", "null")
        .finish()
}

/// Why a capsule was rejected, and how a construct's can be released whose hash is wrong.
fn reason_of(verdict: &Verdict, is_construct: bool) -> Option<String> {
    let reason = verdict.reason.as_deref()?;
    let way_out = if is_construct && verdict.valid == Some(false) {
        ". Once somebody has looked at it, vault.adoptCapsule(path) stores what it holds with a right hash"
    } else {
        ""
    };
    Some(format!("{reason}{way_out}"))
}

fn format_of(is_construct: bool) -> &'static str {
    if is_construct { "construct" } else { "memory" }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked in JavaScript")]
fn whole(number: f64) -> u64 {
    number as u64
}
