//! What stands in the files: each format is read here, by pure functions on text.

pub mod capsule;
pub mod construct;
pub mod construct_name;
pub mod fingerprint;
pub mod instance_index;
pub mod integrity;
pub mod json;
pub mod memory;
pub mod memory_capsule;
pub mod rows;
pub mod transcript;
pub mod web_answer;
