//! Batches of files, looked at or read by as many threads as pay.
//!
//! Where everything is in the system's cache, a thread for each core is best: more would only take it from the JavaScript
//! thread. Where files come from a disk, these threads sleep nearly all the time, and the disk could do more at once.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::lock::lock;

/// Below so many files a second thread costs more than it brings; so many make a batch.
pub(crate) const SPLIT: usize = 64;
/// So many threads more when the disk is waited for, in the whole process.
const MORE: usize = 14;
/// So much memory is got at a time, in bytes: a little less than is given back at once.
const AT_ONCE: usize = 120 << 10;
/// A batch that is done sooner did not wait for a disk.
const QUICK: Duration = Duration::from_millis(2);
/// So many batches in a row are waited for before that: one may also have waited for a core.
const IN_A_ROW: usize = 4;

/// Does some work on every batch that is produced, while further ones are still being produced; the thread that produced them
/// then helps. Gives what was produced at last, and the results, in no order.
pub(super) fn each_batch<B: Send, T: Send, R>(
    produce: impl FnOnce(&mut dyn FnMut(B)) -> R,
    work: impl Fn(B) -> T + Sync,
) -> (R, Vec<T>) {
    let waiting = Mutex::new(VecDeque::new());
    let done = Mutex::new(Vec::new());
    let in_a_row = AtomicUsize::new(0);
    let next = || {
        let batch = lock(&waiting).pop_front()?;
        // Else the C library has the system enlarge this thread's part of the memory by a page or two at a time.
        std::hint::black_box(Vec::<u8>::with_capacity(AT_ONCE));
        let result = work(batch);
        lock(&done).push(result);
        Some(())
    };
    let produced = std::thread::scope(|threads| {
        rayon::in_place_scope(|scope| {
            let (waiting, next, in_a_row) = (&waiting, &next, &in_a_row);
            let produced = produce(&mut |batch| {
                lock(waiting).push_back(batch);
                scope.spawn(move |_| {
                    let began = (Instant::now(), processor_time());
                    next();
                    if !was_asleep(began) {
                        in_a_row.store(0, Ordering::Relaxed);
                    } else if in_a_row.fetch_add(1, Ordering::Relaxed) + 1 >= IN_A_ROW {
                        in_a_row.store(0, Ordering::Relaxed);
                        for place in (0..MORE).map_while(|_| Place::take()) {
                            let drain = move || {
                                let _place = place;
                                while next().is_some() {}
                            };
                            let thread = std::thread::Builder::new().name("vvault-disk".to_owned());
                            // Without it the others do all the work.
                            let _ = thread.spawn_scoped(threads, drain);
                        }
                    }
                });
            });
            // Else its core may stay idle for ten milliseconds while others of these threads share one: the system moves a
            // thread that is running already only now and then.
            while next().is_some() {}
            produced
        })
    });
    (produced, done.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Does some work for every number below `count`, in batches of this size. Gives the results in their order.
pub(crate) fn each<T: Send>(count: usize, batch: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    if count <= batch {
        return (0..count).map(work).collect();
    }
    let ((), mut done) = each_batch(
        |take| (0..count).step_by(batch).for_each(|from| take(from..count.min(from + batch))),
        |batch| (batch.start, batch.map(&work).collect::<Vec<T>>()),
    );
    done.sort_unstable_by_key(|(from, _)| *from);
    done.into_iter().flat_map(|(_, done)| done).collect()
}

/// Lets other threads run, now and then. Many files keep every core busy for milliseconds; without this the system lets the
/// JavaScript thread wait for a core for as long as that.
pub(crate) fn give_way() {
    /// Files between two offers: less than a millisecond's work.
    const FILES: u32 = 64;
    thread_local! {
        static DONE: Cell<u32> = const { Cell::new(0) };
    }
    let done = DONE.get() + 1;
    if done == FILES {
        std::thread::yield_now();
    }
    DONE.set(done % FILES);
}

/// The right to be one of the threads that are more.
struct Place;

static PLACES: AtomicUsize = AtomicUsize::new(MORE);

impl Place {
    fn take() -> Option<Self> {
        let one_less = |free: usize| free.checked_sub(1);
        PLACES.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).ok().map(|_| Self)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        PLACES.fetch_add(1, Ordering::Relaxed);
    }
}

/// Whether this thread slept for most of the time since then.
fn was_asleep((began, processor_time_then): (Instant, Option<Duration>)) -> bool {
    let passed = began.elapsed();
    let at_work = || Some(processor_time()?.saturating_sub(processor_time_then?));
    // One that only shares a core with another gets more of it.
    passed > QUICK && at_work().is_some_and(|at_work| at_work < passed / 2)
}

/// What this thread has had of the processors; `None` where the system does not tell.
#[cfg(unix)]
fn processor_time() -> Option<Duration> {
    rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime).try_into().ok()
}

#[cfg(not(unix))]
fn processor_time() -> Option<Duration> {
    None
}

#[cfg(all(test, unix))]
mod tests {
    use std::sync::{Condvar, Mutex};
    use std::time::Duration;

    use super::{IN_A_ROW, SPLIT, each, each_batch};

    #[test]
    fn does_each_batch_once() {
        let (produced, mut done) = each_batch(
            |take| {
                (0..1000).for_each(take);
                "all"
            },
            |number| number * 2,
        );
        done.sort_unstable();
        assert_eq!((produced, done), ("all", (0..1000).map(|number| number * 2).collect()));
        assert_eq!(each_batch(|_| "nothing", |number: u32| number), ("nothing", Vec::new()));
    }

    #[test]
    fn gives_results_in_order() {
        for count in [0, 1, SPLIT, SPLIT + 1, 10 * SPLIT - 1] {
            assert_eq!(each(count, SPLIT, |at| at + 1), (1..=count).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_thread_that_produced_helps() {
        let producer = std::thread::current().id();
        let (helped, changed) = (Mutex::new(false), Condvar::new());
        let ((), done_by) = each_batch(
            |take| (0..=rayon::current_num_threads()).for_each(take),
            |_| {
                let own = std::thread::current().id();
                let mut helped = helped.lock().expect("no panic");
                *helped |= own == producer;
                changed.notify_all();
                drop(changed.wait_timeout_while(helped, Duration::from_secs(10), |helped| !*helped));
                own
            },
        );
        assert!(done_by.contains(&producer));
    }

    #[test]
    fn more_threads_come_when_the_disk_is_waited_for() {
        let wanted = rayon::current_num_threads() + 1;
        let (at_once, changed) = (Mutex::new(0), Condvar::new());
        let ((), most) = each_batch(
            |take| (0..(IN_A_ROW + 1) * wanted).for_each(take),
            |_| {
                let mut now = at_once.lock().expect("no panic");
                *now += 1;
                changed.notify_all();
                // As a read that the disk takes its time for, and as long as the others have not come.
                let (now, _) =
                    changed.wait_timeout_while(now, Duration::from_millis(50), |now| *now < wanted).expect("no panic");
                let most = *now;
                drop(now);
                *at_once.lock().expect("no panic") -= 1;
                most
            },
        );
        assert!(most.into_iter().max() >= Some(wanted));
    }
}
