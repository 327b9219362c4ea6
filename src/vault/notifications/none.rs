//! For systems that tell of a change only some time later.

use super::Changes;
use crate::vault::Directory;

/// Never to be had.
#[derive(Debug)]
pub enum Notifications {}

impl Notifications {
    /// None.
    #[must_use]
    pub fn begin(_directory: &Directory) -> Option<Self> {
        None
    }

    /// Of none.
    #[must_use]
    pub fn are_none(&self) -> bool {
        match *self {}
    }

    /// Of none.
    #[must_use]
    pub fn take(&self) -> Changes {
        match *self {}
    }
}
