//! The bindings: they convert what JavaScript gives and gets, and decide nothing.
//!
//! Everything that touches a disk or grows with a vault runs on tokio's blocking threads. An error crosses as JSON in its
//! message; `lib/errors.js` makes an `Error` with `code` and `path` of it.

pub mod capsule;
pub mod progress;
pub mod reading;
mod text;
pub mod vault;

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use napi::JsValue as _;
use napi::bindgen_prelude::{Env, PromiseRaw, ToNapiValue, spawn_blocking};
use tokio::runtime;
use tokio::sync::Semaphore;

use crate::Error;
use crate::index::Vault;
use crate::lock::lock;
use crate::store::Store;

/// So many pieces of work at once. A thread is made only when all others are in use.
const BLOCKING_THREADS: usize = CHANGES + 64;
/// So many of them are changes,
const CHANGES: usize = 3 * CHANGES_OF_ONE_INSTANCE;
/// and so many of these are of one instance, which are written as one.
const CHANGES_OF_ONE_INSTANCE: usize = 64;

#[napi_derive::module_init]
fn start() {
    // The promises need one thread; the work is done on blocking threads. There are so many because some wait: for another
    // process that has an instance locked, or for the same folder. If the runtime can't be made, napi makes its own.
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_name("vvault")
        .enable_all()
        .build();
    if let Ok(runtime) = runtime {
        napi::bindgen_prelude::create_custom_tokio_runtime(runtime);
    }
}

/// Makes the threads that files are read by: where that fails once, as the system has none to give just then, they can't be
/// made any more. Not while the library is being loaded, when a thread that begins would wait for that.
#[napi_derive::napi(catch_unwind)]
pub fn prepare() {
    // Who needs them tells what is wrong.
    let _ = rayon::ThreadPoolBuilder::new().thread_name(|number| format!("vvault-files-{number}")).build_global();
}

fn to_js(error: &Error) -> napi::Error {
    napi::Error::from_reason(to_json(error))
}

/// An error's code, message and path.
fn to_json(error: &Error) -> String {
    let mut json = String::from("{\"code\":");
    let mut put = |before: &str, text: &str| {
        json.push_str(before);
        crate::formats::json::write_string(&mut json, text);
    };
    put("", error.code());
    put(",\"message\":", &error.to_string());
    if let Some(path) = error.path() {
        put(",\"path\":", &path.to_string_lossy());
    }
    json.push('}');
    json
}

/// As [`off_thread`] a change of an instance, which may have to wait for another process: so many at once that the rest of
/// the threads is left for who reads, and of one instance so many that a lock on it does not keep back those of others.
async fn off_thread_in_turn<T: Send + 'static>(
    vault: Arc<Vault>,
    instance: String,
    work: impl FnOnce(&Store) -> Result<T, Error> + Send + 'static,
) -> napi::Result<T> {
    static TURNS: Semaphore = Semaphore::const_new(CHANGES);
    // Those that are in use.
    static INSTANCES: Mutex<BTreeMap<(PathBuf, String), Arc<Semaphore>>> = Mutex::new(BTreeMap::new());
    let asked = Instant::now();
    let key = (vault.store().root().to_owned(), instance);
    let new = || Arc::new(Semaphore::new(CHANGES_OF_ONE_INSTANCE));
    let turns = lock(&INSTANCES).entry(key.clone()).or_insert_with(new).clone();
    // They are never closed. Who waits for the first holds nothing that others need.
    let held = (turns.acquire().await, TURNS.acquire().await);
    let result = off_thread(move || work(&vault.store().asked_at(asked))).await;
    drop(held);
    let mut instances = lock(&INSTANCES);
    drop(turns);
    if instances.get(&key).is_some_and(|turns| Arc::strong_count(turns) == 1) {
        instances.remove(&key);
    }
    result
}

/// A promise of what work gives that runs off the JavaScript thread; a panic becomes an error. That thread settles it: a future
/// would have it done by another one, for which JavaScript would have to wait, too.
fn promised<T: ToNapiValue + Send + 'static>(
    env: &Env,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> napi::Result<PromiseRaw<'_, T>> {
    let (deferred, promise) = env.create_deferred()?;
    // Whoever takes it settles it.
    let deferred = Arc::new(Mutex::new(Some(deferred)));
    let settle = {
        let deferred = deferred.clone();
        move |result: Result<T, Error>| match (lock(&deferred).take(), result) {
            (Some(deferred), Ok(value)) => deferred.resolve(move |_| Ok(value)),
            (Some(deferred), Err(error)) => deferred.reject(to_js(&error)),
            (None, _) => {}
        }
    };
    let work = {
        let settle = settle.clone();
        move || {
            let done = catch_unwind(AssertUnwindSafe(work));
            settle(done.unwrap_or_else(|panic| Err(Error::Internal { message: panic_message(&*panic) })));
        }
    };
    // It panics where the system has no thread to give.
    if catch_unwind(AssertUnwindSafe(|| drop(spawn_blocking(work)))).is_err() {
        settle(Err(no_thread()));
    }
    Ok(PromiseRaw::new(env.raw(), promise.raw()))
}

fn no_thread() -> Error {
    let message = "the system gives no more threads: raise the limit of processes, and ask again".to_owned();
    Error::Internal { message }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic").to_owned()
}

/// Runs work off the JavaScript thread, for a future; a panic becomes an error.
async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> napi::Result<T> {
    // It panics where the system has no thread to give.
    let started = catch_unwind(AssertUnwindSafe(|| tokio::task::spawn_blocking(work)));
    let Ok(started) = started else { return Err(to_js(&no_thread())) };
    let done = started.await;
    done.unwrap_or_else(|panic| Err(Error::Internal { message: panic.to_string() })).map_err(|error| to_js(&error))
}
