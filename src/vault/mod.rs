//! The vault on disk: its places, its boundary, and how files are read without trusting them.

mod boundary;
mod construct;
mod directory;
mod handles;
#[cfg(target_os = "linux")]
mod inotify;
mod notifications;
mod problem;
mod user;

pub use boundary::Boundary;
pub use construct::{Candidate, PlaceOf, all_users, candidates, instances, is_capsule, is_memory};
pub use directory::{
    Directory, FileProblem, Item, LARGEST_FILE, LARGEST_MEMORY, Signature, read_file, real_folder, state_of,
    with_buffer,
};
pub(crate) use directory::{is_exhausted, is_withheld};
#[cfg(test)]
pub(crate) use handles::LETTING_GO;
pub use handles::{SpareFile, let_go_of_unused, open_no_link, with_handle};
#[cfg(target_os = "linux")]
pub(crate) use inotify::Inotify;
pub use notifications::{Change, Changes, Notifications};
pub use problem::describe;
pub use user::{UserFolder, UserPath, find_user, is_shard};
