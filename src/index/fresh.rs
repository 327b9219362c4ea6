//! Files that were read and are in no segment.
//!
//! What must be known of each is told by the thread that has read it, while its processor has it at hand. To go through all of
//! them afterwards on one thread took a twentieth of the time that reading them takes.

use std::sync::{Arc, OnceLock};

use rayon::prelude::*;

use super::batches::SPLIT;
use super::entry::{BrokenFile, Entry, FolderKind};

/// Files in their order.
#[derive(Debug, Default)]
pub(super) struct Fresh {
    pub(super) files: Vec<Arc<Entry>>,
    /// Of them all, in bytes.
    pub(super) heap_size: usize,
    /// Whether one of them may be odd; see [`Part`].
    pub(super) may_be_odd: bool,
}

/// Some files of a folder, in no order.
#[derive(Debug)]
pub(super) struct Part {
    files: Vec<(u128, Arc<Entry>)>,
    heap_size: usize,
    /// Whether there is one whose date is undecided, that could not be read, or that escapes notifications.
    is_odd: bool,
    /// Whether the numbers beside the files are in the order of their names, bytes compared, where these differ.
    is_numbered: bool,
    broken: Vec<BrokenFile>,
}

/// What all names of a folder begin with, as far as the first part tells: what stands behind that tells nearly all of them
/// apart, so that names are sorted by a number and need not be fetched.
#[derive(Debug, Default)]
pub(super) struct Start(OnceLock<Box<[u8]>>);

impl Part {
    pub(super) fn new(files: Vec<Arc<Entry>>, start: &Start) -> Self {
        let start = start.0.get_or_init(|| common_start(&files));
        let mut part = Self { files: Vec::new(), heap_size: 0, is_odd: false, is_numbered: true, broken: Vec::new() };
        let told_of = |file: Arc<Entry>| {
            part.heap_size += file.heap_size();
            part.is_odd |= file.answer.is_some() || file.is_unread() || file.escapes();
            part.broken.extend(file.broken());
            let behind = file.name.as_bytes().strip_prefix(&**start);
            part.is_numbered &= behind.is_some();
            (number(behind.unwrap_or_default()), file)
        };
        let files = files.into_iter().map(told_of).collect();
        Self { files, ..part }
    }
}

impl Fresh {
    /// Files in their order, of which nothing is told.
    pub(super) fn of(files: Vec<Arc<Entry>>) -> Self {
        let sizes = files.par_iter().with_min_len(16 * SPLIT).map(|file| file.heap_size());
        Self { heap_size: sizes.sum(), may_be_odd: true, files }
    }

    /// All of a folder, and which of them are broken, also in their order.
    pub(super) fn join(kind: &FolderKind, parts: Vec<Part>) -> (Self, Vec<BrokenFile>) {
        let mut all = Self::default();
        let mut are_numbered = *kind == FolderKind::Capsules;
        let mut numbered = Vec::with_capacity(parts.iter().map(|part| part.files.len()).sum());
        let mut broken = Vec::new();
        for part in parts {
            all.heap_size += part.heap_size;
            all.may_be_odd |= part.is_odd;
            are_numbered &= part.is_numbered;
            numbered.extend(part.files);
            broken.extend(part.broken);
        }
        broken.sort_by(|left, right| kind.order(&left.name, &right.name));
        let by_name =
            |(_, left): &(u128, Arc<Entry>), (_, right): &(u128, Arc<Entry>)| kind.order(&left.name, &right.name);
        if are_numbered {
            numbered.sort_unstable_by(|left, right| left.0.cmp(&right.0).then_with(|| by_name(left, right)));
        } else {
            numbered.sort_unstable_by(by_name);
        }
        all.files = numbered.into_iter().map(|(_, file)| file).collect();
        (all, broken)
    }
}

fn common_start(files: &[Arc<Entry>]) -> Box<[u8]> {
    let Some(first) = files.first().map(|file| file.name.as_bytes()) else { return Box::default() };
    let alike = |file: &Arc<Entry>| file.name.bytes().zip(first).take_while(|(own, other)| own == *other).count();
    first[..files.iter().map(alike).min().unwrap_or_default()].into()
}

fn number(name: &[u8]) -> u128 {
    let mut number = [0; 16];
    let length = name.len().min(number.len());
    number[..length].copy_from_slice(&name[..length]);
    u128::from_be_bytes(number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Arc, Fresh, Part, Start};
    use crate::index::entry::{Content, Entry, FolderKind};

    fn file(name: &str) -> Arc<Entry> {
        Arc::new(Entry::new(name.into(), Content::unreadable(name.to_owned()), None, false))
    }

    proptest! {
        #[test]
        fn joined_parts_are_all_files_in_their_order(
            start in "[a-b]{0,20}",
            parts in prop::collection::vec(prop::collection::vec("[a-c]{0,3}|[a-b\\PC]{14,20}", 0..8), 0..6),
            odd_one in prop::option::of("\\PC{0,3}"),
            transcripts: bool,
        ) {
            let kind = if transcripts { FolderKind::Transcripts { session: "s".into() } } else { FolderKind::Capsules };
            let mut names: Vec<Vec<String>> =
                parts.into_iter().map(|ends| ends.into_iter().map(|end| format!("{start}{end}")).collect()).collect();
            names.extend(odd_one.map(|name| vec![name]));
            let shared = Start::default();
            let parts = names.iter().map(|names| Part::new(names.iter().map(|name| file(name)).collect(), &shared));
            let (fresh, broken) = Fresh::join(&kind, parts.collect());
            let mut expected: Vec<String> = names.concat();
            prop_assert_eq!(fresh.may_be_odd, !expected.is_empty());
            prop_assert_eq!(fresh.heap_size, fresh.files.iter().map(|file| file.heap_size()).sum::<usize>());
            expected.sort_by(|left, right| kind.order(left, right));
            prop_assert_eq!(broken.iter().map(|file| file.name.to_string()).collect::<Vec<_>>(), &*expected);
            prop_assert_eq!(fresh.files.iter().map(|file| file.name.to_string()).collect::<Vec<_>>(), expected);
        }
    }
}
