//! What the system tells of a folder by itself: so that who has read it need not look at every file again.
//!
//! Linux puts a notification into a queue before the call that caused it returns (`inotify(7)`). Who empties the queue when
//! a question is asked knows of every change that was finished before. Other systems tell later, and are not asked.
//!
//! What escapes it: writes through a memory mapping; libaio's until the file is closed; writes to a file by a name in another
//! folder that it got since it was read, or that it no longer has; and what other machines write to a network drive, which is
//! why only a folder on a file system of this machine is watched.

#[cfg_attr(target_os = "linux", path = "notifications/linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "notifications/none.rs")]
mod system;

use std::collections::HashMap;

pub use system::Notifications;

/// What has happened in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changes {
    /// This, to files of these names; nothing else has changed.
    Names(HashMap<Box<str>, Change>),
    /// Nobody knows: the folder must be looked through.
    Unknown,
}

/// What has happened to a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It came or went, or nobody knows what.
    Named,
    /// Its file was changed. If that is not the file of this name now, it may have another, which nobody knows.
    Written,
}
