use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::{Journal, MOST_BEFORE, MOST_GONE, Mark, Record, line, moment};
use crate::formats::instance_index::InstanceIndex;

fn tagged(uuid: &str, tag: &str) -> Record {
    Record::Tagged { uuid: uuid.to_owned(), tag: tag.to_owned(), at: "t".to_owned(), before: BTreeSet::new() }
}

#[test]
fn a_line_that_was_cut_off_spoils_nothing() {
    let lines: Vec<String> = ["a", "b", "c"].iter().map(|uuid| line(&tagged(uuid, "gold"))).collect();
    let whole = Journal::parse(lines.concat().as_bytes());
    assert_eq!(whole.marks.len(), 3);
    for end in 0..lines[1].len() {
        let text = [&lines[0], &lines[1][..end], &lines[2]].concat();
        let journal = Journal::parse(text.as_bytes());
        assert!(journal.marks.contains_key("a") && journal.marks.contains_key("c"), "{text}");
    }
}

#[test]
fn only_the_last_word_on_a_tag_is_kept() {
    let mut journal = Journal::default();
    for _ in 0..2000 {
        journal.note(tagged("a", "gold"));
        journal.note(Record::Untagged { uuid: "a".to_owned(), tag: "gold".to_owned(), at: "u".to_owned() });
        journal.note(Record::deleted("b", "t", std::iter::empty()));
    }
    assert_eq!(journal.len(), 6000);
    let short = Journal::parse(journal.to_text(&index(&[], "t", "t"), |_| true, "t").as_bytes());
    assert_eq!((short.marks.len(), short.len()), (1, 2));
    assert_eq!(short.marks, journal.marks);
}

#[test]
fn earlier_states_whose_files_are_gone_are_forgotten() {
    let mut journal = Journal::default();
    for at in 0..2000 {
        let [filename, content, at] = [format!("{at}.capsule"), "c".to_owned(), at.to_string()];
        journal.note(Record::Superseded { filename: filename.clone(), content, uuid: "a".to_owned(), gone: false });
        journal.note(Record::Moved { uuid: "a".to_owned(), filename: format!("next-{filename}"), at });
    }
    let text = journal.to_text(&index(&[], "t", "t"), |filename| filename == "7.capsule", "t");
    let short = Journal::parse(text.as_bytes());
    assert_eq!((short.superseded.len(), short.moved.len(), short.lines), (1, 1, 2));
}

#[test]
fn what_a_reader_took_for_an_earlier_state_may_be_the_capsule_by_now() {
    let mut journal = Journal::default();
    let moved = |filename: &str| {
        let [uuid, filename, at] = ["a", filename, "t"].map(str::to_owned);
        Record::Moved { uuid, filename, at }
    };
    let superseded = |filename: &str| {
        let [filename, content, uuid] = [filename, "c", "a"].map(str::to_owned);
        Record::Superseded { filename, content, uuid, gone: false }
    };
    journal.note(moved("new.capsule"));
    let records = vec![superseded("old.capsule"), superseded("new.capsule"), tagged("a", "gold")];
    let (right, wrong) = journal.still_true(records, &index(&[], "t", "t"));
    assert_eq!(right, [superseded("old.capsule"), tagged("a", "gold")]);
    assert_eq!(wrong, ["new.capsule"]);
}

/// What has such a name later was put there on purpose.
#[test]
fn earlier_states_are_forgotten_with_their_capsule() {
    let superseded = |filename: &str, uuid: &str| {
        let [filename, content, uuid] = [filename, "c", uuid].map(str::to_owned);
        Record::Superseded { filename, content, uuid, gone: false }
    };
    let deleted = Record::deleted("a", "t", std::iter::empty());
    let records = [superseded("1", "a"), superseded("2", "b"), deleted, superseded("3", "a")];
    let mut noted = Journal::default();
    for record in &records {
        noted.note(record.clone());
    }
    let parsed = Journal::parse(records.iter().map(line).collect::<String>().as_bytes());
    let shortened = Journal::parse(noted.to_text(&index(&[], "t", "t"), |_| true, "t").as_bytes());
    for journal in [&noted, &parsed, &shortened] {
        let known = ["1", "2", "3"].map(|filename| journal.is_superseded(filename, "c"));
        assert_eq!(known, [false, true, true]);
    }
    assert_eq!(noted, parsed);
}

/// As nobody can have an index from before that any more.
#[test]
fn of_what_is_gone_only_the_last_is_kept() {
    const NOW: &str = "2026-01-01T01:00:00+00:00";
    let at = |minute: usize| format!("2026-01-01T00:{minute:02}:00+00:00");
    let mut journal = Journal::default();
    // Its index has an entry again: that its tags are void is still to be known.
    journal.note(tagged("a", "gold"));
    journal.note(Record::deleted("a", &at(0), std::iter::empty()));
    journal.note(tagged("b", "gold"));
    for minute in 0..MOST_GONE {
        let [uuid, tag] = ["b".to_owned(), format!("tag{minute}")];
        journal.note(Record::Tagged { uuid: uuid.clone(), tag: tag.clone(), at: at(minute), before: BTreeSet::new() });
        journal.note(Record::Untagged { uuid, tag, at: at(minute) });
        let uuid = format!("gone{minute}");
        journal.note(tagged(&uuid, "lead"));
        journal.note(Record::deleted(&uuid, &at(minute), std::iter::empty()));
    }
    let shortened = |now: &str| Journal::parse(journal.to_text(&index(&[], "t", "t"), |_| true, now).as_bytes());
    let short = shortened(NOW);
    assert_eq!(short.marks.keys().collect::<BTreeSet<_>>(), BTreeSet::from([&"a".to_owned(), &"b".to_owned()]));
    assert!(short.has_deleted("a") && short.marks["b"].contains_key("gold"));
    for minute in 0..MOST_GONE {
        let is_late = minute >= MOST_GONE / 2;
        assert_eq!(short.has_deleted(&format!("gone{minute}")), is_late, "{minute}");
        assert_eq!(short.has_taken("b", &format!("tag{minute}")), is_late, "{minute}");
    }
    assert_eq!(short.len(), MOST_GONE + 3);
    assert_eq!(shortened(&at(1)).len(), 2 * MOST_GONE + 3 - 2, "what is young is kept in any case");
}

/// A file to which a capsule was moved can hold an earlier state later.
#[test]
fn a_shortened_journal_says_the_same() {
    let mut journal = Journal::default();
    journal.note(Record::Moved { uuid: "a".to_owned(), filename: "f".to_owned(), at: "t".to_owned() });
    journal.note(Record::Superseded {
        filename: "f".to_owned(),
        content: "ff".to_owned(),
        uuid: "a".to_owned(),
        gone: false,
    });
    assert_eq!(Journal::parse(journal.to_text(&index(&[], "t", "t"), |_| true, "t").as_bytes()), journal);
}

/// Else it would grow with the square of the tags.
#[test]
fn the_tags_before_are_kept_only_if_they_are_few_and_for_a_while() {
    let (early, late) = ("2026-01-01T00:00:00+00:00", "2026-01-01T00:00:00.5+00:00");
    let many: Vec<String> = (0..1000).map(|tag| format!("tag{tag}")).collect();
    for (count, is_kept) in [(0, true), (10, true), (1000, false)] {
        let before = many[..count].iter().map(String::as_str);
        let record = Record::tagged("a", "gold", early, before.clone());
        assert!(line(&record).len() < MOST_BEFORE + 200, "{count}");
        let mut journal = Journal::default();
        journal.note(record);
        let before: Vec<&str> = before.collect();
        // Somebody took it half a second later: with just the tags before it was on purpose.
        assert_eq!(journal.taken_by_others(&index(&before, early, late)).len(), usize::from(is_kept), "{count}");
        let shortened =
            |now: &str| Journal::parse(journal.to_text(&index(&before, early, late), |_| true, now).as_bytes());
        assert_eq!(shortened(late), journal);
        let old = shortened("2026-01-01T00:01:00+00:00");
        assert_eq!(old.marks["a"]["gold"], Mark::Given { at: early.to_owned(), before: super::undecided("gold") });
        assert!(old.is_undone_in(&index(&before, early, early)) && old.is_undone_in(&index(&before, early, late)));
        assert_eq!(old.taken_by_others(&index(&[], early, "2026-01-01T00:00:02+00:00")).len(), 1, "much later");
    }
}

/// To go through the entry and write it for each of its tags would take minutes.
#[test]
fn many_tags_are_put_right_at_once() {
    const MANY: usize = 10_000;
    let (early, late) = ("2026-01-01T00:00:00+00:00", "2026-01-01T00:00:01+00:00");
    let names = |prefix: &str| (0..MANY).map(|tag| format!("{prefix}{tag}")).collect::<Vec<_>>();
    let (given, taken) = (names("g"), names("t"));
    let mut journal = Journal::default();
    for (given, taken) in given.iter().zip(&taken) {
        let [uuid, at] = ["a", late].map(str::to_owned);
        journal.note(Record::Tagged {
            uuid: uuid.clone(),
            tag: given.clone(),
            at: at.clone(),
            before: BTreeSet::new(),
        });
        journal.note(Record::Untagged { uuid, tag: taken.clone(), at });
    }
    let mut index = index(&taken.iter().map(String::as_str).collect::<Vec<_>>(), early, early);
    assert!(journal.is_undone_in(&index) && journal.taken_by_others(&index).is_empty());
    journal.put_right(&mut index, late);
    let mut tags: Vec<&str> = index.entry("a").expect("an entry").tags().collect();
    tags.sort_unstable();
    assert!(tags.len() == MANY && tags.iter().all(|tag| tag.starts_with('g')));
    assert!(!journal.is_undone_in(&index));
}

#[test]
fn times_compare_as_python_writes_them() {
    assert!(moment("2026-01-01T00:00:00.000001+00:00") > moment("2026-01-01T00:00:00+00:00"));
    assert!(moment("2026-01-01T00:00:01+00:00") > moment("2026-01-01T00:00:00.999999+00:00"));
    assert_eq!(moment("no time"), i64::MIN);
}

/// An index with one entry.
fn index(tags: &[&str], created: &str, updated: &str) -> InstanceIndex {
    let tagged: BTreeMap<&str, [&str; 1]> = tags.iter().map(|tag| (*tag, ["a"])).collect();
    let entry = json!({
        "instance_name": "Nova", "uuid": "a", "timestamp": "t", "filename": "f", "fingerprint_hash": "", "tags": tags,
        "capsule_version": "1.0.0", "generator": "CapsuleForge", "vault_source": "VVAULT", "file_size": 1,
        "created_at": created, "updated_at": updated,
    });
    let index = json!({
        "instance_name": "Nova", "capsules": {"a": entry}, "tags": tagged, "latest_uuid": "a", "created_at": created,
        "updated_at": updated,
    });
    InstanceIndex::parse(index.to_string().as_bytes()).expect("an index")
}

#[test]
fn what_a_clock_that_was_ahead_has_dated_is_not_later_than_everything() {
    const AHEAD: &str = "2036-01-01T00:00:00.000001+00:00";
    const NOW: &str = "2026-01-01T00:00:00.000001+00:00";
    const LATER: &str = "2026-01-01T00:00:01.500001+00:00";
    let mut journal = Journal::default();
    journal.note(Record::Tagged { uuid: "a".into(), tag: "gold".into(), at: AHEAD.into(), before: BTreeSet::new() });
    journal.note(Record::Untagged { uuid: "a".into(), tag: "lead".into(), at: AHEAD.into() });
    journal.note(Record::Moved { uuid: "a".into(), filename: "f".into(), at: AHEAD.into() });
    assert_eq!(journal.dated_ahead(AHEAD), [], "by that clock itself");
    assert!(!journal.is_undone_in(&index(&["gold"], AHEAD, AHEAD)));
    assert!(journal.is_undone_in(&index(&[], NOW, NOW)), "perhaps a copy from before");
    let records = journal.dated_ahead(NOW);
    assert_eq!(records.len(), 3);
    for record in records {
        journal.note(record);
    }
    assert_eq!(journal.dated_ahead(NOW), []);

    let taken = index(&["lead"], AHEAD, LATER);
    assert!(!journal.is_undone_in(&taken));
    assert_eq!(journal.taken_by_others(&taken).len(), 1);
    assert!(!journal.has_moved("a", "f", taken.entry("a").expect("an entry"), |_| false));
    assert!(journal.is_undone_in(&index(&["lead"], AHEAD, NOW)), "a copy from before");
}
