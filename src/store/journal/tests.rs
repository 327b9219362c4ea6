use std::collections::BTreeSet;

use super::{Journal, Record, line, moment};

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
        journal.note(Record::Deleted { uuid: "b".to_owned() });
    }
    assert!(journal.is_long());
    let short = Journal::parse(journal.to_text().as_bytes());
    assert_eq!((short.marks.len(), short.lines), (1, 2));
    assert_eq!(short.marks, journal.marks);
}

/// A file to which a capsule was moved can hold an earlier state later.
#[test]
fn a_shortened_journal_says_the_same() {
    let mut journal = Journal::default();
    journal.note(Record::Moved { uuid: "a".to_owned(), filename: "f".to_owned(), at: "t".to_owned() });
    journal.note(Record::Superseded { filename: "f".to_owned(), content: "ff".to_owned() });
    assert_eq!(Journal::parse(journal.to_text().as_bytes()), journal);
}

#[test]
fn times_compare_as_python_writes_them() {
    assert!(moment("2026-01-01T00:00:00.000001+00:00") > moment("2026-01-01T00:00:00+00:00"));
    assert!(moment("2026-01-01T00:00:01+00:00") > moment("2026-01-01T00:00:00.999999+00:00"));
    assert_eq!(moment("no time"), i64::MIN);
}
