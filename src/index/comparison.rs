//! An answer beside the disk: whether the files that it comes from are as they were read.
//!
//! Notifications do not tell of every write: not of one by another name of the file, nor of one by way of a memory mapping.

use std::path::Path;

use super::cache::{self, Key};
use super::folder::{Freshness, Ticket};
use super::reader::Request;
use super::view::{Selection, View};
use crate::vault::real_folder;

/// How often one question's answers were compared with the disk.
#[derive(Debug, Default)]
pub struct Comparison {
    times: usize,
}

impl Comparison {
    /// Whether a file of the answer is not as it was read: then the question is to be put again. Of what has changed just now
    /// the system tells; where it does not, `look_at` is called for who watches the vault, and all files are looked at by the
    /// next question. What only *would* be in the answer by now is not looked for.
    pub fn is_outdated(
        &mut self,
        request: &mut Request,
        (view, answer): (&View, &Selection),
        freshness: Freshness,
        look_at: impl Fn(&Path),
    ) -> bool {
        /// Of so many memories at most: a microsecond each.
        const FEW: usize = 256;
        const TRIES: usize = 3;
        if freshness == Freshness::Swept || answer.len() > FEW || self.times == TRIES {
            return false;
        }
        let changed = view.changed_since(answer);
        if self.times > 0 {
            for (kind, folder, name) in &changed {
                look_at(&folder.join(name));
                if let Some((path, _)) = real_folder(folder) {
                    let key = Key { path, kind: (*kind).clone(), storage: request.storage.clone() };
                    cache::folder(&key).distrust();
                }
            }
        }
        request.asked = Ticket::draw();
        self.times += 1;
        !changed.is_empty()
    }
}
