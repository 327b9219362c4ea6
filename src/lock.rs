//! Locks, and turns.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Takes a lock. What a lock of this crate protects is whole also where its holder panicked: it is replaced as a whole, or
/// each step leaves it whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The right to parse a large text, which waits for no disk: a thread for each core has it. What each takes of the memory is a
/// multiple of the text, and hundreds of threads that allocate at once make JavaScript's wait, too.
pub(crate) struct Turn;

static BUSY: Mutex<usize> = Mutex::new(0);
static DONE: Condvar = Condvar::new();

impl Turn {
    /// Waits for it.
    pub(crate) fn take() -> Self {
        let mut busy = lock(&BUSY);
        while *busy >= rayon::current_num_threads() {
            busy = DONE.wait(busy).unwrap_or_else(PoisonError::into_inner);
        }
        *busy += 1;
        Self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *lock(&BUSY) -= 1;
        DONE.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::Turn;

    #[test]
    fn no_more_have_a_turn_than_there_are_cores() {
        let (at_once, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|threads| {
            for _ in 0..4 * rayon::current_num_threads() {
                threads.spawn(|| {
                    let _turn = Turn::take();
                    most.fetch_max(at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::yield_now();
                    at_once.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        assert!((1..=rayon::current_num_threads()).contains(&most.into_inner()));
    }
}
