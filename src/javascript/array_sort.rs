//! `Array.prototype.sort` step by step.
//!
//! Chatty sorts memories by the difference of their dates. Where a date can't be parsed the difference is NaN, which
//! counts as "equal": then the comparator is no order, and what comes out depends on which elements the algorithm
//! compares. V8's is Tim Peters' listsort with binary insertion and galloping; this is the same algorithm with the same
//! comparisons in the same sequence. Where every date is valid an ordinary stable sort gives the same answer.

/// After so many wins in a row one run is searched instead of merged element by element.
const MIN_GALLOP: usize = 7;

/// Sorts `items` as V8 does. `compare(a, b)` is what the comparator returns for `(a, b)`, with NaN as 0.
pub fn sort<T: Copy>(items: &mut [T], compare: impl Fn(T, T) -> f64) {
    if items.len() < 2 {
        return;
    }
    let mut sorter = Sorter { items, less: |a, b| compare(a, b) < 0.0, runs: Vec::new(), min_gallop: MIN_GALLOP };
    sorter.sort();
}

#[derive(Clone, Copy)]
struct Run {
    start: usize,
    length: usize,
}

struct Sorter<'a, T, F> {
    items: &'a mut [T],
    less: F,
    runs: Vec<Run>,
    min_gallop: usize,
}

impl<T: Copy, F: Fn(T, T) -> bool> Sorter<'_, T, F> {
    fn sort(&mut self) {
        let mut low = 0;
        let mut remaining = self.items.len();
        let min_run = min_run_length(remaining);
        while remaining > 0 {
            let mut length = self.make_run(low, low + remaining);
            if length < min_run {
                let forced = min_run.min(remaining);
                self.insert_binary(low, low + length, low + forced);
                length = forced;
            }
            self.runs.push(Run { start: low, length });
            self.collapse();
            low += length;
            remaining -= length;
        }
        while self.runs.len() > 1 {
            let mut at = self.runs.len() - 2;
            if at > 0 && self.runs[at - 1].length < self.runs[at + 1].length {
                at -= 1;
            }
            self.merge_at(at);
        }
    }

    /// The length of the run that starts at `low`; a strictly descending one is turned round.
    fn make_run(&mut self, low: usize, high: usize) -> usize {
        if low + 1 == high {
            return 1;
        }
        let descending = (self.less)(self.items[low + 1], self.items[low]);
        let mut end = low + 2;
        while end < high && (self.less)(self.items[end], self.items[end - 1]) == descending {
            end += 1;
        }
        if descending {
            self.items[low..end].reverse();
        }
        end - low
    }

    fn insert_binary(&mut self, low: usize, sorted_end: usize, high: usize) {
        for start in sorted_end.max(low + 1)..high {
            let pivot = self.items[start];
            let (mut left, mut right) = (low, start);
            while left < right {
                let middle = left + (right - left) / 2;
                if (self.less)(pivot, self.items[middle]) {
                    right = middle;
                } else {
                    left = middle + 1;
                }
            }
            self.items.copy_within(left..start, left + 1);
            self.items[left] = pivot;
        }
    }

    fn collapse(&mut self) {
        while self.runs.len() > 1 {
            let mut at = self.runs.len() - 2;
            if !self.invariant_holds(at + 1) || !self.invariant_holds(at) {
                if self.runs[at - 1].length < self.runs[at + 1].length {
                    at -= 1;
                }
                self.merge_at(at);
            } else if self.runs[at].length <= self.runs[at + 1].length {
                self.merge_at(at);
            } else {
                break;
            }
        }
    }

    fn invariant_holds(&self, at: usize) -> bool {
        at < 2 || self.runs[at - 2].length > self.runs[at - 1].length + self.runs[at].length
    }

    fn merge_at(&mut self, at: usize) {
        let Run { start: mut start_a, length: mut length_a } = self.runs[at];
        let Run { start: start_b, length: mut length_b } = self.runs[at + 1];
        self.runs[at].length = length_a + length_b;
        self.runs.remove(at + 1);

        let skipped = gallop_right(self.items, &self.less, self.items[start_b], start_a, length_a, 0);
        start_a += skipped;
        length_a -= skipped;
        if length_a == 0 {
            return;
        }
        let last_of_a = self.items[start_a + length_a - 1];
        length_b = gallop_left(self.items, &self.less, last_of_a, start_b, length_b, length_b - 1);
        if length_b == 0 {
            return;
        }
        if length_a <= length_b {
            self.merge_low(start_a, length_a, start_b, length_b);
        } else {
            self.merge_high(start_a, length_a, start_b, length_b);
        }
    }

    fn merge_low(&mut self, start_a: usize, mut length_a: usize, start_b: usize, mut length_b: usize) {
        let run_a = self.items[start_a..start_a + length_a].to_vec();
        let (mut out, mut a, mut b) = (start_a, 0, start_b);
        self.items[out] = self.items[b];
        out += 1;
        b += 1;
        length_b -= 1;
        let mut merged = length_b == 0;
        let mut min_gallop = self.min_gallop;
        'merging: while !merged && length_a > 1 {
            let (mut wins_a, mut wins_b) = (0, 0);
            loop {
                if (self.less)(self.items[b], run_a[a]) {
                    self.items[out] = self.items[b];
                    out += 1;
                    b += 1;
                    wins_b += 1;
                    length_b -= 1;
                    wins_a = 0;
                    if length_b == 0 {
                        merged = true;
                        break 'merging;
                    }
                    if wins_b >= min_gallop {
                        break;
                    }
                } else {
                    self.items[out] = run_a[a];
                    out += 1;
                    a += 1;
                    wins_a += 1;
                    length_a -= 1;
                    wins_b = 0;
                    if length_a == 1 {
                        break 'merging;
                    }
                    if wins_a >= min_gallop {
                        break;
                    }
                }
            }
            min_gallop += 1;
            let mut first = true;
            while wins_a >= MIN_GALLOP || wins_b >= MIN_GALLOP || first {
                first = false;
                min_gallop = (min_gallop - 1).max(1);
                self.min_gallop = min_gallop;

                wins_a = gallop_right(&run_a, &self.less, self.items[b], a, length_a, 0);
                self.items[out..out + wins_a].copy_from_slice(&run_a[a..a + wins_a]);
                out += wins_a;
                a += wins_a;
                length_a -= wins_a;
                if wins_a > 0 && length_a <= 1 {
                    // With a consistent comparator at least one is left; V8 can't assume it either.
                    merged = length_a == 0;
                    break 'merging;
                }
                self.items[out] = self.items[b];
                out += 1;
                b += 1;
                length_b -= 1;
                if length_b == 0 {
                    merged = true;
                    break 'merging;
                }

                wins_b = gallop_left(self.items, &self.less, run_a[a], b, length_b, 0);
                self.items.copy_within(b..b + wins_b, out);
                out += wins_b;
                b += wins_b;
                length_b -= wins_b;
                if wins_b > 0 && length_b == 0 {
                    merged = true;
                    break 'merging;
                }
                self.items[out] = run_a[a];
                out += 1;
                a += 1;
                length_a -= 1;
                if length_a == 1 {
                    break 'merging;
                }
            }
            min_gallop += 1;
            self.min_gallop = min_gallop;
        }
        if merged {
            self.items[out..out + length_a].copy_from_slice(&run_a[a..a + length_a]);
        } else {
            // The last element of run A belongs at the end.
            self.items.copy_within(b..b + length_b, out);
            self.items[out + length_b] = run_a[a];
        }
    }

    /// From the back; `out`, `a` and `b` stand one behind the place that is next.
    fn merge_high(&mut self, start_a: usize, mut length_a: usize, start_b: usize, mut length_b: usize) {
        let run_b = self.items[start_b..start_b + length_b].to_vec();
        let (mut out, mut a, mut b) = (start_b + length_b, start_a + length_a, length_b);
        out -= 1;
        a -= 1;
        self.items[out] = self.items[a];
        length_a -= 1;
        let mut merged = length_a == 0;
        let mut min_gallop = self.min_gallop;
        'merging: while !merged && length_b > 1 {
            let (mut wins_a, mut wins_b) = (0, 0);
            loop {
                out -= 1;
                if (self.less)(run_b[b - 1], self.items[a - 1]) {
                    a -= 1;
                    self.items[out] = self.items[a];
                    wins_a += 1;
                    length_a -= 1;
                    wins_b = 0;
                    if length_a == 0 {
                        merged = true;
                        break 'merging;
                    }
                    if wins_a >= min_gallop {
                        break;
                    }
                } else {
                    b -= 1;
                    self.items[out] = run_b[b];
                    wins_b += 1;
                    length_b -= 1;
                    wins_a = 0;
                    if length_b == 1 {
                        break 'merging;
                    }
                    if wins_b >= min_gallop {
                        break;
                    }
                }
            }
            min_gallop += 1;
            let mut first = true;
            while wins_a >= MIN_GALLOP || wins_b >= MIN_GALLOP || first {
                first = false;
                min_gallop = (min_gallop - 1).max(1);
                self.min_gallop = min_gallop;

                wins_a = length_a - gallop_right(self.items, &self.less, run_b[b - 1], start_a, length_a, length_a - 1);
                out -= wins_a;
                a -= wins_a;
                self.items.copy_within(a..a + wins_a, out);
                length_a -= wins_a;
                if wins_a > 0 && length_a == 0 {
                    merged = true;
                    break 'merging;
                }
                out -= 1;
                b -= 1;
                self.items[out] = run_b[b];
                length_b -= 1;
                if length_b == 1 {
                    break 'merging;
                }

                wins_b = length_b - gallop_left(&run_b, &self.less, self.items[a - 1], 0, length_b, length_b - 1);
                out -= wins_b;
                b -= wins_b;
                self.items[out..out + wins_b].copy_from_slice(&run_b[b..b + wins_b]);
                length_b -= wins_b;
                if wins_b > 0 && length_b <= 1 {
                    merged = length_b == 0;
                    break 'merging;
                }
                out -= 1;
                a -= 1;
                self.items[out] = self.items[a];
                length_a -= 1;
                if length_a == 0 {
                    merged = true;
                    break 'merging;
                }
            }
            min_gallop += 1;
            self.min_gallop = min_gallop;
        }
        if merged {
            self.items[out - length_b..out].copy_from_slice(&run_b[..length_b]);
        } else {
            // The first element of run B belongs at the front.
            self.items.copy_within(a - length_a..a, out - length_a);
            self.items[out - length_a - 1] = run_b[b - 1];
        }
    }
}

fn min_run_length(mut length: usize) -> usize {
    let mut odd = 0;
    while length >= 64 {
        odd |= length & 1;
        length >>= 1;
    }
    length + odd
}

/// Where `key` belongs in the sorted run, before its equals; the search starts at `hint`.
fn gallop_left<T: Copy>(
    items: &[T],
    less: &impl Fn(T, T) -> bool,
    key: T,
    base: usize,
    length: usize,
    hint: usize,
) -> usize {
    let behind = |at: usize| less(items[base + at], key);
    let (low, high) = if behind(hint) {
        let (last, offset) = gallop(length - hint, |offset| behind(hint + offset));
        (hint + last + 1, hint + offset)
    } else {
        let (last, offset) = gallop(hint + 1, |offset| !behind(hint - offset));
        (hint + 1 - offset, hint - last)
    };
    search(low, high, behind)
}

/// Where `key` belongs in the sorted run, behind its equals; the search starts at `hint`.
fn gallop_right<T: Copy>(
    items: &[T],
    less: &impl Fn(T, T) -> bool,
    key: T,
    base: usize,
    length: usize,
    hint: usize,
) -> usize {
    let before = |at: usize| less(key, items[base + at]);
    let (low, high) = if before(hint) {
        let (last, offset) = gallop(hint + 1, |offset| before(hint - offset));
        (hint + 1 - offset, hint - last)
    } else {
        let (last, offset) = gallop(length - hint, |offset| !before(hint + offset));
        (hint + last + 1, hint + offset)
    };
    search(low, high, |at| !before(at))
}

/// Steps of 1, 3, 7, 15 … while `further` holds: the last offset where it did and the first where it did not.
fn gallop(max: usize, further: impl Fn(usize) -> bool) -> (usize, usize) {
    let (mut last, mut offset) = (0, 1);
    while offset < max && further(offset) {
        last = offset;
        offset = offset * 2 + 1;
    }
    (last, offset.min(max))
}

fn search(mut low: usize, mut high: usize, right_of: impl Fn(usize) -> bool) -> usize {
    while low < high {
        let middle = low + (high - low) / 2;
        if right_of(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

#[cfg(test)]
mod tests;
