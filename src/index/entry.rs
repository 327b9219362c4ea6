//! One file of a folder as it was read.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::{Arc, Mutex, OnceLock};

use crate::formats::memory::{Memory, Moment};
use crate::formats::{memory_capsule, transcript};
use crate::javascript::text;
use crate::vault::{LARGEST_MEMORY, Signature};

/// Bytes of a transcript's memory on its way to JavaScript.
const LONGEST_TRANSCRIPT: u64 = if cfg!(test) { 1 << 20 } else { LARGEST_MEMORY };

/// What the files in a folder are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum FolderKind {
    /// Memory capsules, `*.json`.
    Capsules,
    /// The transcripts of the session that the folder is named for, `*.txt`.
    Transcripts {
        /// The folder's name.
        session: Box<str>,
    },
}

impl FolderKind {
    #[allow(clippy::case_sensitive_file_extension_comparisons, reason = "Chatty's own comparison is")]
    pub(super) fn takes(&self, name: &str) -> bool {
        match self {
            Self::Capsules => name.ends_with(".json"),
            Self::Transcripts { .. } => name.ends_with(".txt"),
        }
    }

    /// The order in which Chatty goes through the files: as listed, by bytes; transcripts it sorts once more, as
    /// JavaScript sorts strings.
    pub(super) fn order(&self, left: &str, right: &str) -> Ordering {
        match self {
            Self::Capsules => left.cmp(right),
            Self::Transcripts { .. } => text::compare(left, right),
        }
    }

    pub(super) fn parse(&self, name: &str, bytes: &[u8]) -> Content {
        let too_large = || Content::unreadable("its memory is larger than 4 GiB".to_owned());
        // As Node.js decodes: what is not UTF-8 becomes U+FFFD, a byte order mark stays.
        match self {
            Self::Capsules => match memory_capsule::parse(bytes) {
                Ok(memory) => Content::Memory(memory),
                Err(memory_capsule::Refusal::Syntax(error)) => match String::from_utf8_lossy(bytes) {
                    Cow::Borrowed(text) => Content::unreadable(error.describe(text)),
                    Cow::Owned(decoded) => self.parse(name, decoded.as_bytes()),
                },
                Err(memory_capsule::Refusal::Null) => {
                    Content::Broken { message: "the capsule is null".into(), empty: true }
                }
                Err(memory_capsule::Refusal::TooLarge) => too_large(),
            },
            Self::Transcripts { session } => {
                match transcript::parse(&String::from_utf8_lossy(bytes), name, session) {
                    // What is short in the file may be long when it is escaped.
                    Some(memory) if memory.text_size() as u64 > LONGEST_TRANSCRIPT => {
                        Content::unreadable("its memory is longer than V8's longest string".to_owned())
                    }
                    parsed => parsed.map_or_else(too_large, Content::Memory),
                }
            }
        }
    }
}

/// What a file holds.
#[derive(Debug, PartialEq)]
pub(super) enum Content {
    Memory(Memory),
    Broken {
        message: Box<str>,
        /// It could be read, but holds nothing (JSON's `null`).
        empty: bool,
    },
}

impl Content {
    pub(super) fn unreadable(message: String) -> Self {
        Self::Broken { message: message.into(), empty: false }
    }
}

/// What JavaScript's `Date` made of a timestamp, in which time zone.
#[derive(Debug, Clone)]
pub(super) struct DateAnswer {
    pub(super) zone: Arc<str>,
    /// Milliseconds since 1970 or NaN; or the message of what it threw.
    pub(super) time: Result<f64, Arc<str>>,
}

/// The state that a file was in when it was read.
#[derive(Debug)]
pub(super) enum ReadState {
    /// It could not be read: it is tried again by every sweep.
    Unread,
    Seen {
        signature: Signature,
        /// Whether any later change shows in the signature.
        settled: bool,
    },
    /// It was not looked at.
    Unseen {
        /// As the folder named it.
        inode: u64,
        /// Bytes that were read.
        size: u64,
        /// What it turned out to have been by a later look: settled.
        found: OnceLock<Signature>,
    },
}

/// A file and what it holds.
#[derive(Debug)]
pub struct Entry {
    pub(super) name: Box<str>,
    pub(super) content: Content,
    /// Only where the moment is undecided.
    pub(super) answer: Option<Box<Mutex<Option<DateAnswer>>>>,
    pub(super) state: ReadState,
    /// Of the file's text, where somebody asked for it.
    pub(super) digest: Option<[u8; 16]>,
}

impl Entry {
    pub(super) fn new(name: Box<str>, content: Content, signature: Option<Signature>, settled: bool) -> Self {
        let state = signature.map_or(ReadState::Unread, |signature| ReadState::Seen { signature, settled });
        Self::of(name, content, state)
    }

    /// Of a file that was not looked at.
    pub(super) fn unseen(name: Box<str>, content: Content, inode: u64, size: u64) -> Self {
        Self::of(name, content, ReadState::Unseen { inode, size, found: OnceLock::new() })
    }

    fn of(name: Box<str>, content: Content, state: ReadState) -> Self {
        let undecided = matches!(&content, Content::Memory(memory) if memory.moment() == Moment::Undecided);
        Self { name, content, answer: undecided.then(Box::default), state, digest: None }
    }

    /// The state that the file was read in; `None` if it could not be read, or is not known.
    pub(super) fn signature(&self) -> Option<Signature> {
        match &self.state {
            ReadState::Unread => None,
            ReadState::Seen { signature, .. } => Some(*signature),
            ReadState::Unseen { found, .. } => found.get().copied(),
        }
    }

    /// Whether any later change shows in the signature.
    pub(super) fn is_settled(&self) -> bool {
        match &self.state {
            ReadState::Unread => false,
            ReadState::Seen { settled, .. } => *settled,
            ReadState::Unseen { found, .. } => found.get().is_some(),
        }
    }

    /// Whether it was read, and is not known in which state.
    pub(super) fn is_unseen(&self) -> bool {
        matches!(&self.state, ReadState::Unseen { found, .. } if found.get().is_none())
    }

    pub(super) fn is_unread(&self) -> bool {
        matches!(self.state, ReadState::Unread)
    }

    /// The memory that the file holds, or what is wrong with it.
    ///
    /// # Errors
    /// In words, if it holds none.
    pub fn memory(&self) -> Result<&Memory, &str> {
        match &self.content {
            Content::Memory(memory) => Ok(memory),
            Content::Broken { message, .. } => Err(message),
        }
    }

    /// Whether it can be changed by way of another folder.
    pub(super) fn is_aliased(&self) -> bool {
        self.signature().is_some_and(|signature| signature.is_aliased())
    }

    /// Whether notifications of the folder don't tell everything of it: it has a name elsewhere, or one that is not UTF-8.
    pub(super) fn escapes(&self) -> bool {
        self.is_aliased() || is_ambiguous(&self.name)
    }

    pub(super) fn broken(&self) -> Option<BrokenFile> {
        let Content::Broken { message, empty } = &self.content else { return None };
        Some(BrokenFile { name: self.name.clone(), message: message.clone(), empty: *empty })
    }

    pub(super) fn heap_size(&self) -> usize {
        let content = match &self.content {
            Content::Memory(memory) => memory.heap_size(),
            Content::Broken { message, .. } => message.len(),
        };
        size_of::<Self>() + self.name.len() + content
    }
}

/// Whether a name may be that of several files: it has U+FFFD in place of what is not UTF-8.
pub(super) fn is_ambiguous(name: &str) -> bool {
    !name.is_ascii() && name.contains('\u{fffd}')
}

/// A file that gave no memory, found by the sweep that told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenFile {
    /// Its name.
    pub name: Box<str>,
    /// What is wrong.
    pub message: Box<str>,
    /// It could be read, but holds nothing (JSON's `null`).
    pub empty: bool,
}

#[cfg(test)]
mod tests {
    use super::{Content, FolderKind};

    /// Escaped, each of these characters is six.
    #[test]
    fn a_transcript_that_would_be_too_long_for_javascript_is_left_out() {
        let transcripts = FolderKind::Transcripts { session: "s".into() };
        for (length, is_left_out) in [(150_000, false), (190_000, true)] {
            let text = format!("# Role: user\n# ---\nx{}x", "\u{1}".repeat(length));
            let content = transcripts.parse("a.txt", text.as_bytes());
            assert_eq!(matches!(content, Content::Broken { .. }), is_left_out, "{length}");
        }
    }
}
