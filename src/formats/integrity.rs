//! Whether a capsule is what its writer wrote: the verdict on its fingerprint and its tether.

use super::fingerprint::{Recipe, sha256};
use super::json::ObjectText;
use super::json::tree::{Dialect, Node};

/// What is done with what is not as its writer wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// It is refused, and left out.
    Enforce,
    /// It is let pass, marked.
    Report,
}

/// What is known of a capsule's integrity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the stated hash is right; `None` if none is stated. `Some(false)` also of what can't be read.
    pub valid: Option<bool>,
    /// The recipe that matched: `F1` to `F4`, or `raw_sha256`. What only `F3` vouches for may have been changed nearly
    /// everywhere (see [`Recipe::ChattyValidator`]).
    pub recipe: Option<&'static str>,
    /// Whether the tether signature is the expected one; `None` if none is expected.
    pub tether: Option<bool>,
    /// Why the capsule is not sound.
    pub reason: Option<String>,
}

/// Judges a capsule by its file's text. A construct's capsule states `metadata.fingerprint_hash`, a memory capsule
/// `raw_sha256`. The tether signature stands at `metadata.tether_signature`, or where that is empty at
/// `additional_data.tether.signature`.
#[must_use]
pub fn judge(text: &[u8], expected_tether: Option<&str>) -> Verdict {
    let decoded = String::from_utf8_lossy(text);
    let capsule = match Node::parse(decoded.as_bytes(), Dialect::Python) {
        Ok(capsule) => capsule,
        Err(error) => return Verdict::unreadable(error.describe(&decoded)),
    };
    let mut verdict = Verdict { valid: None, recipe: None, tether: None, reason: None };
    let metadata = capsule.get("metadata");
    if let Some(expected) = expected_tether {
        let first = metadata.and_then(|metadata| metadata.get("tether_signature")).and_then(Node::as_str);
        let second = || capsule.get("additional_data")?.get("tether")?.get("signature")?.as_str();
        let tether = first.filter(|signature| !signature.is_empty()).or_else(second);
        verdict.tether = Some(tether == Some(expected));
        if tether != Some(expected) {
            verdict.reason = Some("the tether signature is not the expected one".to_owned());
        }
    }
    let of_metadata = |key: &str| metadata.and_then(|metadata| metadata.get(key));
    if let Some(stated) = of_metadata("fingerprint_hash").filter(is_stated) {
        let problem = mismatch(stated, of_metadata("generator"));
        let stated = stated.as_str().unwrap_or_default().to_owned();
        let matching = Recipe::matching(text, &decoded, capsule, &stated);
        verdict.valid = Some(matching.is_some());
        verdict.recipe = matching.map(Recipe::name);
        if matching.is_none() {
            verdict.reason = Some(problem);
        }
    } else if let (Some(Node::String(raw)), Some(stated)) =
        (capsule.get("raw"), capsule.get("raw_sha256").filter(is_stated))
    {
        let of_memory = of_memory(Some(stated.as_str() == Some(&sha256(raw))));
        verdict = Verdict { tether: verdict.tether, reason: of_memory.reason.or(verdict.reason), ..of_memory };
    }
    verdict
}

/// The verdict on one memory, by whether its `raw_sha256` is the hash of its `raw`; `None` if it states none.
#[must_use]
pub fn of_memory(valid: Option<bool>) -> Verdict {
    let reason = (valid == Some(false)).then(|| "raw_sha256 is not the hash of raw".to_owned());
    Verdict { valid, recipe: (valid == Some(true)).then_some("raw_sha256"), tether: None, reason }
}

/// Neither `null` nor an empty text states a hash.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "it filters an Option")]
fn is_stated(hash: &&Node<'_>) -> bool {
    !matches!(hash, Node::Null) && hash.as_str() != Some("")
}

/// Why no recipe matches, as far as that can be told.
fn mismatch(stated: &Node<'_>, generator: Option<&Node<'_>>) -> String {
    let is_hash = stated.as_str().is_some_and(|stated| {
        stated.len() == 64 && stated.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
    });
    if !is_hash {
        return "the stated fingerprint is no SHA-256 in lower-case hexadecimals".to_owned();
    }
    let generator = generator.and_then(Node::as_str).unwrap_or_default();
    let nearest = match generator {
        "simForge" => Some("F4"),
        _ if generator.contains("CapsuleForge") || generator.contains("NULLSHELL") => Some("F1"),
        _ => None,
    };
    let nearest = nearest.map(|recipe| format!("; its generator {generator} hashes by {recipe}")).unwrap_or_default();
    format!(
        "the fingerprint matches none of the recipes F1 to F4{nearest}: the capsule was changed after it was hashed, or its \
         writer states no real hash (F5: Chatty's own Node.js code writes random ones)"
    )
}

impl Verdict {
    /// On what can't be read, and so can't be relied on.
    #[must_use]
    pub const fn unreadable(reason: String) -> Self {
        Self { valid: Some(false), recipe: None, tether: None, reason: Some(reason) }
    }

    /// As JSON: `{ valid, recipe, tether }`.
    #[must_use]
    pub fn to_json(&self) -> String {
        let truth = |value: Option<bool>| value.map_or("null".to_owned(), |value| value.to_string());
        ObjectText::new()
            .json("valid", truth(self.valid))
            .string_or_null("recipe", self.recipe)
            .json("tether", truth(self.tether))
            .finish()
    }

    /// Whether nothing speaks against the capsule.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.valid != Some(false) && self.tether != Some(false)
    }
}

#[cfg(test)]
mod tests;
