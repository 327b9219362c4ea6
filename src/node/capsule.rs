//! Construct capsules for JavaScript: loading with a verdict, and restoring.

use std::path::PathBuf;

use napi::JsString;
use napi::bindgen_prelude::Env;
use napi_derive::napi;

use super::text::Text;
use super::{off_thread, to_js};
use crate::Error;
use crate::formats::integrity::Verdict;
use crate::formats::{construct, integrity};
use crate::vault::{LARGEST_FILE, read_file};

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
    off_thread(move || {
        Ok(match read_file(&PathBuf::from(path), LARGEST_FILE) {
            Ok(bytes) => {
                let verdict = integrity::judge(&bytes, expected_tether.as_deref());
                LoadedCapsule::judged(String::from_utf8_lossy(&bytes).into_owned(), verdict)
            }
            Err(problem) => LoadedCapsule {
                text: None,
                fingerprint_valid: None,
                tether_valid: None,
                recipe: None,
                error_message: Some(problem.to_string()),
            },
        })
    })
    .await
}

/// Judges a capsule's text.
///
/// # Errors
/// Only for a defect of the engine.
#[napi]
pub async fn judge_capsule(text: String) -> napi::Result<LoadedCapsule> {
    off_thread(move || {
        let verdict = integrity::judge(text.as_bytes(), None);
        Ok(LoadedCapsule::judged(text, verdict))
    })
    .await
}

impl LoadedCapsule {
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
/// If the text is not a JSON object.
#[napi(catch_unwind)]
#[allow(clippy::needless_pass_by_value, reason = "napi hands arguments over")]
pub fn restore_construct(capsule: String) -> napi::Result<String> {
    let not_a_capsule = || Error::NotACapsule { message: "a construct's capsule is a JSON object".to_owned() };
    let restored = construct::restore(capsule.as_bytes(), None).ok_or_else(|| to_js(&not_a_capsule()))?;
    Ok(restored.to_json())
}
