//! Construct capsules for JavaScript: loading with a verdict, and restoring.

use std::path::{Path, PathBuf};

use napi::JsString;
use napi::bindgen_prelude::{Buffer, Env, PromiseRaw};
use napi_derive::napi;

use super::text::Text;
use super::{off_thread, promised, to_js};
use crate::Error;
use crate::formats::integrity::Verdict;
use crate::formats::{construct, fingerprint, integrity, web_answer};
use crate::lock::Turn;
use crate::vault::{FileProblem, LARGEST_FILE, read_file};

/// Some servers begin a text with it.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// A capsule file and the verdict on it.
#[napi]
pub struct LoadedCapsule {
    text: Option<Text>,
    /// Whether the stated hash is right; `null` if none is stated.
    pub fingerprint_valid: Option<bool>,
    /// Whether the tether signature is the expected one; `null` if none is expected.
    pub tether_valid: Option<bool>,
    /// The recipe that matched.
    #[napi(ts_type = "'F1' | 'F2' | 'F3' | 'F4' | 'raw_sha256'")]
    pub recipe: Option<String>,
    /// Why the capsule is not sound, or not there.
    pub error_message: Option<String>,
}

#[napi]
impl LoadedCapsule {
    /// The file's text, once; `null` if it could not be read.
    ///
    /// # Errors
    /// If the JavaScript engine can't make the string.
    #[napi(catch_unwind, ts_return_type = "string | null")]
    pub fn text<'env>(&self, env: &'env Env) -> napi::Result<Option<JsString<'env>>> {
        self.text.as_ref().map(|text| text.to_js(env)).transpose()
    }
}

/// Reads and judges a capsule file. A file that can't be read is told in `errorMessage`.
///
/// # Errors
/// Only for a defect of the engine.
#[napi]
pub async fn load_capsule(path: String, expected_tether: Option<String>) -> napi::Result<LoadedCapsule> {
    off_thread(move || Ok(LoadedCapsule::of_file(Path::new(&path), LARGEST_FILE, expected_tether.as_deref()))).await
}

/// What answers a request for a capsule over HTTP.
#[napi(object, object_from_js = false)]
pub struct CapsuleAnswer {
    /// `{ success, capsule }` as JSON; absent if the capsule is not sound, too large, or no object that JavaScript could parse.
    pub body: Option<Buffer>,
    /// The body's SHA-256 in hexadecimals.
    pub sha256: Option<String>,
}

impl CapsuleAnswer {
    /// Reads and judges a file of `limit` bytes at most; `None` if it is not there.
    ///
    /// # Errors
    /// If it can't be read.
    pub(super) fn of_file(path: &Path, limit: u64, expected_tether: Option<&str>) -> Result<Option<Self>, Error> {
        let bytes = match read_file(path, limit) {
            Ok(bytes) => bytes,
            Err(FileProblem::TooLarge { .. }) => return Ok(Some(Self { body: None, sha256: None })),
            Err(problem @ (FileProblem::Denied(_) | FileProblem::Exhausted(_) | FileProblem::System(_))) => {
                return Err(Error::of_file(path, problem));
            }
            Err(_) => return Ok(None),
        };
        let _turn = Turn::take();
        let verdict = integrity::judge(&bytes, expected_tether);
        let text = verdict.reason.is_none().then(|| String::from_utf8_lossy(&bytes));
        let body = text.and_then(|text| web_answer::of_capsule(&text)).map(String::into_bytes);
        let sha256 = body.as_deref().map(fingerprint::sha256);
        Ok(Some(Self { body: body.map(Buffer::from), sha256 }))
    }
}

/// Judges the capsule in an answer `{ success, capsule }`.
///
/// # Errors
/// [`Error::NotACapsule`] if the answer is something else.
#[napi(catch_unwind, ts_return_type = "Promise<LoadedCapsule>")]
#[allow(clippy::needless_pass_by_value, reason = "napi hands arguments over")]
pub fn judge_answer(env: &Env, answer: Buffer) -> napi::Result<PromiseRaw<'_, LoadedCapsule>> {
    let answer = answer.to_vec();
    promised(env, move || {
        let text = String::from_utf8_lossy(answer.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&answer));
        let capsule = web_answer::capsule_in(&text).map_err(|message| Error::NotACapsule { message })?;
        let verdict = integrity::judge(capsule.as_bytes(), None);
        Ok(LoadedCapsule::judged(capsule.to_owned(), verdict))
    })
}

impl LoadedCapsule {
    /// Reads and judges a file of `limit` bytes at most.
    pub(super) fn of_file(path: &Path, limit: u64, expected_tether: Option<&str>) -> Self {
        match read_file(path, limit) {
            Ok(bytes) => {
                let _turn = Turn::take();
                let verdict = integrity::judge(&bytes, expected_tether);
                Self::judged(String::from_utf8_lossy(&bytes).into_owned(), verdict)
            }
            Err(problem) => Self {
                text: None,
                fingerprint_valid: None,
                tether_valid: None,
                recipe: None,
                error_message: Some(problem.to_string()),
            },
        }
    }

    fn judged(text: String, verdict: Verdict) -> Self {
        Self {
            text: Some(Text::from(text)),
            fingerprint_valid: verdict.valid,
            tether_valid: verdict.tether,
            recipe: verdict.recipe.map(str::to_owned),
            error_message: verdict.reason,
        }
    }
}

/// Restores a construct from its capsule's JSON text, as JSON.
///
/// # Errors
/// If the text is not a JSON object; [`Error::System`] if what it restores to is too large.
#[napi(catch_unwind)]
#[allow(clippy::needless_pass_by_value, reason = "napi hands arguments over")]
pub fn restore_construct(capsule: String) -> napi::Result<String> {
    let not_a_capsule = || Error::NotACapsule { message: "a construct's capsule is a JSON object".to_owned() };
    let restored = construct::restore(capsule.as_bytes(), None).ok_or_else(|| to_js(&not_a_capsule()))?;
    let json = restored.to_json();
    // In UTF-16 it has no more units than bytes, and may have fewer.
    if json.len() as u64 > LARGEST_FILE && json.encode_utf16().count() as u64 > LARGEST_FILE {
        let message =
            "as one text its memories are longer than a string of V8 may be; Vault.restoreConstruct gives them";
        return Err(to_js(&Error::System {
            code: "VVAULT_TOO_LARGE",
            message: message.to_owned(),
            path: PathBuf::new(),
        }));
    }
    Ok(json)
}
