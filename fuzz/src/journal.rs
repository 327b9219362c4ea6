//! A journal that is read and written again says the same, and what it puts right in an index stays right.
//!
//! The input is a journal and an index, with a zero byte between.

use vvault_native::formats::instance_index::InstanceIndex;
use vvault_native::store::journal::Journal;

const NOW: &str = "9999-12-30T00:00:00.000000+00:00";
const EARLIER: &str = "2026-01-01T00:00:00.000000+00:00";

pub fn check(data: &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let mut journal = Journal::parse(parts.next().unwrap_or_default());
    let empty = InstanceIndex::new("Nova", EARLIER);
    let written = journal.to_text(&empty, |_| true, NOW);
    let again = Journal::parse(written.as_bytes());
    assert_eq!(sorted_lines(&again.to_text(&empty, |_| true, NOW)), sorted_lines(&written));
    assert_eq!(again.len(), written.split('\n').filter(|line| !line.is_empty()).count());

    let Ok(mut index) = InstanceIndex::parse(parts.next().unwrap_or_default()) else { return };
    for (uuid, entry) in index.entries() {
        let _ = (journal.has_moved(uuid, entry.filename(), entry, |_| true), journal.has_deleted(uuid));
        let _ = journal.is_superseded(entry.filename(), uuid);
    }
    for record in journal.taken_by_others(&index) {
        journal.note(record);
    }
    journal.put_right(&mut index, NOW);
    assert!(!journal.is_undone_in(&index), "{}", index.to_text());
    // By a clock that is right, all of that was to come.
    for record in journal.dated_ahead(EARLIER) {
        journal.note(record);
    }
    assert!(journal.dated_ahead(EARLIER).is_empty());
    assert_eq!(InstanceIndex::parse(index.to_text().as_bytes()), Ok(index));
}

/// Maps have no order.
fn sorted_lines(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.split('\n').collect();
    lines.sort_unstable();
    lines
}
