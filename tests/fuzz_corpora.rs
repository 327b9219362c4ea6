//! Replays the committed inputs of the fuzz targets.

use std::path::Path;

#[path = "../fuzz/src/lib.rs"]
mod targets;

#[test]
fn every_committed_input_keeps_what_its_target_asserts() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (name, check) in targets::TARGETS {
        let inputs: Vec<_> = std::fs::read_dir(corpora.join(name)).expect("a corpus").collect();
        assert!(!inputs.is_empty(), "{name} has no input");
        for input in inputs {
            let path = input.expect("an entry").path();
            let input = std::fs::read(&path).expect("an input");
            assert!(std::panic::catch_unwind(|| check(&input)).is_ok(), "{}", path.display());
        }
    }
}
