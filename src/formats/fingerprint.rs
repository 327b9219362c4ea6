//! The fingerprints that capsules carry at `metadata.fingerprint_hash`.
//!
//! Four programs write that field and each hashes another text, so a capsule is checked against each recipe in turn, and
//! the verdict names the one that matched. All are SHA-256 in lower-case hexadecimals.
//!
//! | recipe | who | hashed text |
//! | --- | --- | --- |
//! | F1 | CapsuleForge (`capsuleforge.py`), user capsules, NULLSHELL | Python's `json.dumps(sort_keys=True)` without the field |
//! | F2 | VVAULTCore (`vvault_core.py`) | the same with the field as `""` |
//! | F3 | Chatty's `capsuleIntegrityValidator.js` | `JSON.stringify(capsule, its sorted top-level keys, 2)` without the field |
//! | F4 | Chatty's `simForge.js` | compact JSON, keys sorted in UTF-16 order, without the field and three that vary |
//!
//! F3's list of keys filters nested objects too, so it covers hardly anything: what only F3 vouches for may have been
//! changed nearly everywhere.

use std::borrow::Cow;

use highway::{HighwayHash as _, HighwayHasher};
use sha2::{Digest as _, Sha256};

use super::json::tree::{Dialect, Node};

mod write;

/// Where in `metadata` the fingerprint stands.
const FIELD: &str = "fingerprint_hash";

/// How a fingerprint was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recipe {
    /// F1, by CapsuleForge.
    CapsuleForge,
    /// F2, by VVAULTCore.
    VvaultCore,
    /// F3, by Chatty's validator: covers only top-level keys and what is named like them.
    ChattyValidator,
    /// F4, by simForge.
    SimForge,
}

impl Recipe {
    /// All of them, the strongest and most usual first.
    pub const ALL: [Self; 4] = [Self::CapsuleForge, Self::VvaultCore, Self::SimForge, Self::ChattyValidator];

    /// Its short name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CapsuleForge => "F1",
            Self::VvaultCore => "F2",
            Self::ChattyValidator => "F3",
            Self::SimForge => "F4",
        }
    }

    /// The fingerprint of a capsule's text; `None` where the recipe's own program refuses the text.
    #[must_use]
    pub fn fingerprint(self, text: &[u8]) -> Option<String> {
        match self {
            Self::CapsuleForge | Self::VvaultCore => {
                let mut capsule = Node::parse(text, Dialect::Python).ok()?;
                if self == Self::VvaultCore {
                    capsule.get("metadata")?.get(FIELD)?;
                }
                self.python(&mut capsule)
            }
            Self::ChattyValidator | Self::SimForge => {
                // Node.js decodes what is not UTF-8 as U+FFFD.
                let decoded = String::from_utf8_lossy(text);
                self.javascript(&mut Node::parse(decoded.as_bytes(), Dialect::JavaScript).ok()?)
            }
        }
    }

    /// The first recipe by which a capsule's text has the fingerprint that it states. `decoded` is it as Node.js reads it,
    /// `capsule` as Python would read that.
    pub(super) fn matching(text: &[u8], decoded: &str, mut capsule: Node<'_>, fingerprint: &str) -> Option<Self> {
        let is_it = |own: Option<String>| own.as_deref() == Some(fingerprint);
        // Python refuses what is not UTF-8.
        if text == decoded.as_bytes() {
            let python = [Self::CapsuleForge, Self::VvaultCore];
            if let Some(recipe) = python.into_iter().find(|recipe| is_it(recipe.python(&mut capsule))) {
                return Some(recipe);
            }
        }
        // One tree at a time.
        drop(capsule);
        let mut capsule = Node::parse(decoded.as_bytes(), Dialect::JavaScript).ok()?;
        // Before what simForge leaves out is gone.
        let by_validator = is_it(Self::ChattyValidator.javascript(&mut capsule));
        if is_it(Self::SimForge.javascript(&mut capsule)) {
            return Some(Self::SimForge);
        }
        by_validator.then_some(Self::ChattyValidator)
    }

    fn python(self, capsule: &mut Node<'_>) -> Option<String> {
        capsule.members()?;
        if let Some(metadata) = capsule.get_mut("metadata") {
            if self == Self::VvaultCore {
                metadata.set(FIELD, Node::String(Cow::Borrowed(b"")));
            } else {
                metadata.remove(FIELD);
            }
        }
        write::python(capsule).map(|text| sha256(&text))
    }

    fn javascript(self, capsule: &mut Node<'_>) -> Option<String> {
        capsule.members()?;
        if let Some(metadata) = capsule.get_mut("metadata") {
            metadata.remove(FIELD);
            if self == Self::SimForge {
                metadata.remove("timestamp");
            }
        }
        if self == Self::ChattyValidator {
            return write::allow_listed(capsule).map(|hasher| hexadecimal(&hasher.finalize()));
        }
        if let Some(sigil) = capsule.get_mut("additional_data").and_then(|data| data.get_mut("sigil")) {
            sigil.remove("forged_timestamp");
        }
        capsule.remove("last_active");
        Some(sha256(&write::compact(capsule)))
    }
}

fn hexadecimal(digest: &[u8]) -> String {
    digest.iter().fold(String::with_capacity(digest.len() * 2), |mut text, byte| {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(digit.into(), 16).unwrap_or('0'));
        }
        text
    })
}

/// What tells one content of a file from another: its `HighwayHash`. Whoever could make two contents with one digest would hide
/// no more than his own change of his own file; SHA-256 takes six times as long, a tenth of all that an event costs.
#[must_use]
pub fn digest(text: &[u8]) -> [u8; 16] {
    let [low, high] = HighwayHasher::default().hash128(text).map(u64::to_le_bytes);
    std::array::from_fn(|at| if at < 8 { low[at] } else { high[at - 8] })
}

/// SHA-256 of a text in lower-case hexadecimals: a memory's `raw_sha256`.
#[must_use]
pub fn sha256(text: &[u8]) -> String {
    hexadecimal(&Sha256::digest(text))
}

#[cfg(test)]
mod tests;
