//! The vault on disk: its places, its boundary, and how files are read without trusting them.

mod boundary;
mod directory;
mod problem;
mod user;

pub use boundary::Boundary;
pub use directory::{Directory, FileProblem, LARGEST_FILE, Signature, read_file};
pub use problem::describe;
pub use user::{UserFolder, UserPath, find_user};
