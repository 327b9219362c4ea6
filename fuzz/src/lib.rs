//! What each fuzz target asserts: a function of the fuzzer's bytes that panics where it does not hold.
//!
//! `fuzz_targets/` hands these to libFuzzer, and the core's `tests/fuzz_corpora.rs` replays the committed inputs with them.

pub mod array_sort;
pub mod capsule;
pub mod construct;
pub mod date;
pub mod fingerprint;
pub mod index_changes;
pub mod instance_index;
pub mod javascript_text;
pub mod journal;
pub mod json;
pub mod json_tree;
pub mod memory_capsule;
pub mod names;
pub mod number_array;
mod reference;
pub mod store;
pub mod transcript;

/// A target: its name and what it asserts.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 16] = [
    ("array_sort", array_sort::check),
    ("capsule", capsule::check),
    ("construct", construct::check),
    ("date", date::check),
    ("fingerprint", fingerprint::check),
    ("index_changes", index_changes::check),
    ("instance_index", instance_index::check),
    ("javascript_text", javascript_text::check),
    ("journal", journal::check),
    ("json", json::check),
    ("json_tree", json_tree::check),
    ("memory_capsule", memory_capsule::check),
    ("names", names::check),
    ("number_array", number_array::check),
    ("store", store::check),
    ("transcript", transcript::check),
];
