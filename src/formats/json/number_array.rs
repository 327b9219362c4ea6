//! Passing over an embedding: the numbers of an array, many characters at a time.
//!
//! Nearly all numbers of an embedding are written alike: one digit, a point and more digits, perhaps with a `-` before, and
//! white space only behind the comma. Whether a character may stand in such a number is told by the two before it, which is
//! the same few comparisons for every character: the compiler makes one instruction of 32 of them. What is written
//! otherwise, as with an exponent, is no error. It is left to the ordinary scanner, number by number.

/// So many characters are looked at together.
const BLOCK: usize = 32;

/// Passes over numbers in an array, behind one of whose commas `from` is. Gives an offset behind a comma, up to which there
/// are only valid numbers, each with its comma; `from` itself if there are none, or none that are written alike.
#[must_use]
pub fn pass_over(bytes: &[u8], from: usize) -> usize {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512bw,avx512vbmi")]
        fn with_tables(bytes: &[u8], from: usize) -> usize {
            pass_over_with(bytes, from, |bytes, at| plain_blocks(bytes, tables::plain_blocks(bytes, at)))
        }
        #[target_feature(enable = "avx2")]
        fn with_avx2(bytes: &[u8], from: usize) -> usize {
            pass_over_on_any_processor(bytes, from)
        }
        // SAFETY: the processor has the features that the function is compiled for; it has no other requirement.
        #[allow(unsafe_code, reason = "calling code for newer processors is how Rust offers them at run time")]
        unsafe {
            if is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vbmi") {
                return with_tables(bytes, from);
            }
            if is_x86_feature_detected!("avx2") {
                return with_avx2(bytes, from);
            }
        }
    }
    pass_over_on_any_processor(bytes, from)
}

/// The same without what only newer processors have.
#[allow(clippy::inline_always, reason = "otherwise it is not compiled for AVX2")]
#[inline(always)]
#[must_use]
pub fn pass_over_on_any_processor(bytes: &[u8], from: usize) -> usize {
    pass_over_with(bytes, from, plain_blocks)
}

/// The same by a function that gives where the first block begins that may hold something else.
#[allow(clippy::inline_always, reason = "as above")]
#[inline(always)]
fn pass_over_with(bytes: &[u8], from: usize, plain_blocks: impl Fn(&[u8], usize) -> usize) -> usize {
    let before = match from.checked_sub(2) {
        Some(before) if bytes.get(from - 1) == Some(&b',') => before,
        _ => return from,
    };
    // With none passed it is the comma before `from`.
    let last = bytes[..plain_blocks(bytes, before) + 2].iter().rposition(|byte| *byte == b',');
    last.map_or(from, |comma| comma + 1)
}

#[allow(clippy::inline_always, reason = "as above")]
#[inline(always)]
fn plain_blocks(bytes: &[u8], mut at: usize) -> usize {
    while let Some(window) = bytes[at..].first_chunk::<{ BLOCK + 2 }>()
        // Without a branch, which would keep the compiler from comparing many at once.
        && (0..BLOCK).fold(true, |are_plain, at| are_plain & is_plain(window[at], window[at + 1], window[at + 2]))
    {
        at += BLOCK;
    }
    at
}

/// Whether a character may follow two that may stand where they are, of which the second is a digit, `.`, `-`, `,` or white
/// space, and the first too if the second is a digit.
#[allow(clippy::inline_always, reason = "as above")]
#[inline(always)]
fn is_plain(before: u8, last: u8, this: u8) -> bool {
    // Signed, as older processors compare.
    let behind_digit = last.cast_signed() > b'/'.cast_signed();
    let behind_first_digit = behind_digit && before.cast_signed() <= b'-'.cast_signed();
    match this {
        b'0'..=b'9' => !behind_first_digit,
        b'.' => behind_first_digit,
        b',' => behind_digit,
        b'-' | b' ' | b'\n' | b'\r' | b'\t' => last <= b',',
        _ => false,
    }
}

/// The same by processors that look 64 characters up in a table at once, a third of the time.
#[cfg(target_arch = "x86_64")]
mod tables {
    use std::arch::x86_64::{
        __m512i, _mm512_and_si512, _mm512_movepi8_mask, _mm512_permutex2var_epi8, _mm512_set_epi64,
        _mm512_test_epi8_mask,
    };

    const BLOCK: usize = 64;
    /// What a character may stand behind, as bits: the first digit of a number, a later one,
    const FIRST_DIGIT: u8 = 1;
    const LATER_DIGIT: u8 = 2;
    /// a point or `-`, a comma or white space.
    const INSIDE: u8 = 4;
    const BETWEEN: u8 = 8;

    /// For each ASCII character what it may stand behind; what whoever stands behind it stands behind; and what of that is so
    /// if there is another one between.
    static TABLES: [[u8; 128]; 3] = tables();

    const fn tables() -> [[u8; 128]; 3] {
        let mut tables = [[0; 128]; 3];
        let mut character = 0_u8;
        while character.is_ascii() {
            let (this, last) = match character {
                b'0'..=b'9' => (LATER_DIGIT | INSIDE | BETWEEN, FIRST_DIGIT | LATER_DIGIT),
                b'.' => (FIRST_DIGIT, INSIDE),
                b'-' => (BETWEEN, INSIDE),
                b',' => (FIRST_DIGIT | LATER_DIGIT, BETWEEN),
                b' ' | b'\n' | b'\r' | b'\t' => (BETWEEN, BETWEEN),
                _ => (0, 0),
            };
            let before = if character <= b'-' { !LATER_DIGIT } else { !FIRST_DIGIT };
            let place = character as usize;
            (tables[0][place], tables[1][place], tables[2][place]) = (this, last, before);
            character += 1;
        }
        tables
    }

    #[target_feature(enable = "avx512bw,avx512vbmi")]
    pub(super) fn plain_blocks(bytes: &[u8], mut at: usize) -> usize {
        let [this, last, before] = TABLES.each_ref().map(|table| (load(&table[..BLOCK]), load(&table[BLOCK..])));
        let look_up = |table: (__m512i, __m512i), characters| _mm512_permutex2var_epi8(table.0, characters, table.1);
        while let Some(window) = bytes.get(at..at + BLOCK + 2) {
            let characters = load(&window[2..]);
            let may_stand = _mm512_and_si512(look_up(this, characters), look_up(last, load(&window[1..=BLOCK])));
            let are_plain = _mm512_test_epi8_mask(may_stand, look_up(before, load(&window[..BLOCK])));
            // The table has no place for what is not ASCII.
            if are_plain & !_mm512_movepi8_mask(characters) != u64::MAX {
                break;
            }
            at += BLOCK;
        }
        at
    }

    #[target_feature(enable = "avx512bw")]
    fn load(bytes: &[u8]) -> __m512i {
        let word = |at: usize| bytes[8 * at..].first_chunk().map_or(0, |word| i64::from_le_bytes(*word));
        _mm512_set_epi64(word(7), word(6), word(5), word(4), word(3), word(2), word(1), word(0))
    }
}

#[cfg(test)]
mod tests;
