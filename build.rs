//! Tells the linker what a Node.js addon needs, and the code which form a kept index has.

use std::fs;
use std::path::{Path, PathBuf};

/// What decides what an index says of a file: another text in any of these, and every kept index is made anew.
const FORMATS: [&str; 4] = ["src/formats", "src/javascript", "src/index/segment.rs", "src/vault/directory.rs"];

fn main() {
    #[cfg(feature = "node")]
    napi_build::setup();
    let mut files = Vec::new();
    for place in FORMATS {
        println!("cargo:rerun-if-changed={place}");
        list(Path::new(place), &mut files);
    }
    files.sort();
    // FNV-1a: nobody is to be kept out, only changes are to be noticed.
    let texts = files.iter().flat_map(|file| fs::read(file).unwrap_or_default());
    let hash =
        texts.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    println!("cargo:rustc-env=FORMATS_HASH={hash:016x}");
}

fn list(place: &Path, files: &mut Vec<PathBuf>) {
    match fs::read_dir(place) {
        Ok(items) => items.flatten().for_each(|item| list(&item.path(), files)),
        Err(_) => files.push(place.to_owned()),
    }
}
