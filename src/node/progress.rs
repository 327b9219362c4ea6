//! How far a long work has come, for JavaScript.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use napi_derive::napi;

use crate::index::Progress;

/// How far a reading or an opening has come.
#[napi]
pub struct ReadingProgress {
    progress: Arc<Progress>,
}

#[napi]
impl ReadingProgress {
    /// Of a work that is to begin.
    #[napi(constructor, catch_unwind)]
    #[must_use]
    #[allow(clippy::new_without_default, reason = "made by JavaScript")]
    pub fn new() -> Self {
        Self::of(Arc::default())
    }

    /// So many files have been looked at, of so many that are known of.
    #[napi(catch_unwind, ts_return_type = "[number, number]")]
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "there are fewer files than 2^53")]
    pub fn counts(&self) -> Vec<f64> {
        [&self.progress.done, &self.progress.total].map(|count| count.load(Ordering::Relaxed) as f64).into()
    }

    /// Ends the work as soon as can be. What has been read is kept, and not read again by the next.
    #[napi(catch_unwind)]
    pub fn abort(&self) {
        self.progress.aborted.store(true, Ordering::Relaxed);
    }
}

impl ReadingProgress {
    pub(super) fn of(progress: Arc<Progress>) -> Self {
        Self { progress }
    }

    pub(super) fn shared(&self) -> &Arc<Progress> {
        &self.progress
    }
}
