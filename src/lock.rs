//! Locks.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Takes a lock. What a lock of this crate protects is whole also where its holder panicked: it is replaced as a whole, or
/// each step leaves it whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
