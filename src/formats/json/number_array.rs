//! Skipping an embedding: an array that holds nothing but numbers, checked 64 bytes at a time.
//!
//! Each block of 64 bytes becomes one bit mask per class of character. The grammar of `[ number , number , … ]` is then
//! a set of statements on neighbouring bits, and "where does this run of digits end" is an addition whose carry runs
//! through the run. So there is no branch a number, and an invalid array is still told from a valid one.

use wide::u8x16;

/// The offset after the `]` of a valid, non-empty array of numbers, of which `from` is the offset after its `[`;
/// `None` if it is anything else, which the ordinary scanner then judges.
#[must_use]
pub fn end(bytes: &[u8], from: usize) -> Option<usize> {
    // A cheap look keeps arrays of strings and objects out of here.
    match bytes.get(from..)?.iter().find(|byte| !matches!(byte, b' ' | b'\n' | b'\r' | b'\t'))? {
        b'-' | b'0'..=b'9' => {}
        _ => return None,
    }
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("bmi1") {
        // SAFETY: the processor has the features that the function is compiled for; it has no other requirement.
        #[allow(unsafe_code, reason = "calling code for newer processors is how Rust offers them at run time")]
        return unsafe { avx2::end(bytes, from) };
    }
    end_on_any_processor(bytes, from)
}

/// The same without what only newer processors have. Of a text that does not begin as a number does, it gives `None` too.
#[must_use]
pub fn end_on_any_processor(bytes: &[u8], from: usize) -> Option<usize> {
    end_with(bytes, from, Block::new)
}

#[allow(clippy::inline_always, reason = "otherwise it is not compiled for AVX2, and takes three times as long")]
#[inline(always)]
fn end_with(bytes: &[u8], from: usize, classify: impl Fn(&[u8; 64]) -> Block) -> Option<usize> {
    let mut state = State::default();
    let mut at = from;
    loop {
        let rest = &bytes[at..];
        let block = match rest.first_chunk::<64>() {
            Some(whole) => classify(whole),
            None if rest.is_empty() => return None,
            None => {
                // Filled up with a character that no array of numbers holds: an unfinished array is not taken.
                let mut padded = [0; 64];
                padded[..rest.len()].copy_from_slice(rest);
                classify(&padded)
            }
        };
        match state.step(&block, rest) {
            Step::Invalid => return None,
            Step::Ended(length) => return Some(at + length),
            Step::Continues => at += 64,
        }
    }
}

/// The same for processors with AVX2, which nearly all have: 32 characters an instruction.
#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        __m256i, _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_min_epu8, _mm256_movemask_epi8, _mm256_or_si256,
        _mm256_set1_epi8, _mm256_sub_epi8,
    };

    use super::Block;

    #[target_feature(enable = "avx2,bmi1")]
    pub(super) fn end(bytes: &[u8], from: usize) -> Option<usize> {
        super::end_with(bytes, from, |bytes| classify(bytes))
    }

    // Not inlined: LLVM would spread the masks out into single bits and work on those.
    #[inline(never)]
    #[target_feature(enable = "avx2,bmi1")]
    fn classify(bytes: &[u8; 64]) -> Block {
        // SAFETY: loads without alignment of the two halves of the 64 bytes that the array has.
        #[allow(unsafe_code, reason = "put together from smaller loads it is several times slower")]
        let parts =
            unsafe { [_mm256_loadu_si256(bytes.as_ptr().cast()), _mm256_loadu_si256(bytes[32..].as_ptr().cast())] };
        let equal = |byte: u8| mask(parts.map(|part| _mm256_cmpeq_epi8(part, splat(byte))));
        let one_of = |part: __m256i, a: u8, b: u8| {
            _mm256_or_si256(_mm256_cmpeq_epi8(part, splat(a)), _mm256_cmpeq_epi8(part, splat(b)))
        };
        Block {
            digits: mask(parts.map(|part| {
                let value = _mm256_sub_epi8(part, splat(b'0'));
                _mm256_cmpeq_epi8(_mm256_min_epu8(value, splat(9)), value)
            })),
            zeros: equal(b'0'),
            white_space: mask(parts.map(|part| _mm256_or_si256(one_of(part, b' ', b'\n'), one_of(part, b'\r', b'\t')))),
            commas: equal(b','),
            minuses: equal(b'-'),
            points: equal(b'.'),
            brackets: equal(b']'),
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn splat(byte: u8) -> __m256i {
        _mm256_set1_epi8(byte.cast_signed())
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn mask(tests: [__m256i; 2]) -> u64 {
        let [low, high] = tests.map(|test| u64::from(_mm256_movemask_epi8(test).cast_unsigned()));
        low | high << 32
    }
}

/// The classes of 64 characters; bit n stands for character n.
struct Block {
    digits: u64,
    zeros: u64,
    white_space: u64,
    commas: u64,
    minuses: u64,
    points: u64,
    brackets: u64,
}

impl Block {
    // Not inlined, as in `avx2`.
    #[inline(never)]
    fn new(bytes: &[u8; 64]) -> Self {
        let parts: [u8x16; 4] = std::array::from_fn(|part| {
            let mut sixteen = [0; 16];
            sixteen.copy_from_slice(&bytes[part * 16..part * 16 + 16]);
            u8x16::from(sixteen)
        });
        let equal = |byte: u8| mask(&parts, |part| part.simd_eq(u8x16::splat(byte)));
        Self {
            digits: mask(&parts, |part| {
                let value = part - u8x16::splat(b'0');
                value.min(u8x16::splat(9)).simd_eq(value)
            }),
            zeros: equal(b'0'),
            white_space: mask(&parts, |part| {
                part.simd_eq(u8x16::splat(b' '))
                    | part.simd_eq(u8x16::splat(b'\n'))
                    | part.simd_eq(u8x16::splat(b'\r'))
                    | part.simd_eq(u8x16::splat(b'\t'))
            }),
            commas: equal(b','),
            minuses: equal(b'-'),
            points: equal(b'.'),
            brackets: equal(b']'),
        }
    }
}

#[inline]
fn mask(parts: &[u8x16; 4], test: impl Fn(u8x16) -> u8x16) -> u64 {
    let bits = |part: usize| u64::from(test(parts[part]).to_bitmask()) << (part * 16);
    bits(0) | bits(1) | bits(2) | bits(3)
}

enum Step {
    Invalid,
    Ended(usize),
    Continues,
}

/// What one block hands to the next.
#[derive(Default)]
struct State {
    digits: Previous,
    leading_zeros: Previous,
    minuses: Previous,
    points: Previous,
    exponents: Previous,
    exponent_signs: Previous,
    in_fraction: Carry,
    in_exponent: Carry,
    behind_value: Carry,
}

/// A mask of the block before.
#[derive(Default)]
struct Previous(u64);

impl Previous {
    /// The positions right after those of `mask`.
    fn then(&mut self, mask: u64) -> u64 {
        let after = (mask << 1) | (self.0 >> 63);
        self.0 = mask;
        after
    }

    fn reaches_over(&self) -> bool {
        self.0 >> 63 != 0
    }
}

/// The carry of an addition.
#[derive(Default)]
struct Carry(bool);

impl Carry {
    /// For each start (the first character of a run, or a character outside every run) the first position from there
    /// on that is not in a run.
    fn run_through(&mut self, starts: u64, runs: u64) -> u64 {
        let (sum, first) = runs.overflowing_add(starts);
        let (sum, second) = sum.overflowing_add(u64::from(self.0));
        self.0 = first | second;
        sum & !runs
    }
}

impl State {
    /// `text` begins with the block's characters.
    #[allow(clippy::inline_always, reason = "as `end_with`")]
    #[inline(always)]
    fn step(&mut self, block: &Block, text: &[u8]) -> Step {
        // Only what stands before the closing bracket counts; `upto` includes the bracket, where the last run may end.
        let bracket = block.brackets & block.brackets.wrapping_neg();
        let before = bracket.wrapping_sub(1);
        let plain = block.digits | block.white_space | block.commas | block.minuses | block.points;
        let rest = before & !plain;
        let exponent_reaches_in =
            self.exponents.reaches_over() || self.exponent_signs.reaches_over() || self.in_exponent.0;
        let wrong = if rest == 0 && !exponent_reaches_in {
            // Nearly every block; without a bracket much of the check falls away.
            if bracket == 0 { self.check::<false>(block, 0, 0, 0) } else { self.check::<false>(block, bracket, 0, 0) }
        } else {
            self.check_exponents(block, bracket, text)
        };
        if wrong != 0 {
            Step::Invalid
        } else if bracket == 0 {
            Step::Continues
        } else {
            Step::Ended(bracket.trailing_zeros() as usize + 1)
        }
    }

    /// For the few blocks that an exponent reaches into.
    #[cold]
    #[inline(never)]
    fn check_exponents(&mut self, block: &Block, bracket: u64, text: &[u8]) -> u64 {
        let before = bracket.wrapping_sub(1);
        let (mut exponents, mut pluses) = (0, 0);
        for (at, byte) in text.iter().take(64).enumerate() {
            exponents |= u64::from(matches!(byte, b'e' | b'E')) << at;
            pluses |= u64::from(*byte == b'+') << at;
        }
        let plain = block.digits | block.white_space | block.commas | block.minuses | block.points;
        let unknown = before & !(plain | exponents | pluses);
        unknown | self.check::<true>(block, bracket, exponents & before, pluses & before)
    }

    /// The places that break the grammar. Without `EXPONENTS` there is none in this block and none reaches into it.
    ///
    /// A number is one to three runs of digits: an integer, behind `.` a fraction, behind `e` an exponent. Each character
    /// must have the neighbours that the grammar gives it; and the first character behind a number that is no white space
    /// must be a comma or the closing bracket, while there may be no other comma than those.
    #[allow(clippy::inline_always, reason = "as `end_with`")]
    #[inline(always)]
    fn check<const EXPONENTS: bool>(&mut self, block: &Block, bracket: u64, exponents: u64, pluses: u64) -> u64 {
        let before = bracket.wrapping_sub(1);
        let upto = before | bracket;
        let digits = block.digits & before;
        let white_space = block.white_space & before;
        let commas = block.commas & before;
        let minuses = block.minuses & before;
        let points = block.points & before;

        let after_digit = self.digits.then(digits) & upto;
        let after_point = self.points.then(points) & upto;
        let after_exponent = if EXPONENTS { self.exponents.then(exponents) & upto } else { 0 };
        let exponent_signs = after_exponent & (minuses | pluses);
        let after_exponent_sign = if EXPONENTS { self.exponent_signs.then(exponent_signs) & upto } else { 0 };
        let after_minus = self.minuses.then(minuses & !exponent_signs) & upto;

        let ends = after_digit & !digits;
        let fraction_ends = self.in_fraction.run_through(after_point, digits) & upto;
        let exponent_starts = (after_exponent | after_exponent_sign) & digits;
        let exponent_ends = if EXPONENTS { self.in_exponent.run_through(exponent_starts, digits) & upto } else { 0 };
        let integer_starts = digits & !(after_digit | after_point | exponent_starts);
        let after_leading_zero = self.leading_zeros.then(integer_starts & block.zeros);
        let separators = self.behind_value.run_through(ends & !(points | exponents), white_space) & upto;

        ((after_minus | after_point | after_exponent_sign) & !digits)
            | (after_exponent & !(digits | exponent_signs))
            | (pluses & !after_exponent)
            | (points & !(ends & !(fraction_ends | exponent_ends)))
            | (exponents & !(ends & !exponent_ends))
            | (after_leading_zero & digits)
            | (separators ^ (commas | bracket))
    }
}

#[cfg(test)]
mod tests;
