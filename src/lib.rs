//! The memory engine of Chatty's vault.

mod error;
pub mod formats;
pub mod index;
pub mod javascript;
mod lock;
#[cfg(feature = "node")]
pub mod node;
pub mod store;
pub mod vault;
pub mod watch;

pub use error::Error;
