//! Passing over an embedding: the numbers of an array, many characters at a time.
//!
//! Nearly all numbers of an embedding are written alike: one digit, a point and more digits, perhaps with a `-` before, and
//! white space only behind the comma. Whether a character may stand in such a number is told by the two before it, which is
//! the same few comparisons for every character: the compiler makes one instruction of 32 of them. What is written
//! otherwise, as with an exponent, is no error. It is left to the ordinary scanner, number by number.

/// So many characters are looked at together,
const BLOCK: usize = 32;
/// or by processors with longer registers so many.
#[cfg(target_arch = "x86_64")]
const LONG_BLOCK: usize = 64;

/// Passes over numbers in an array, behind one of whose commas `from` is. Gives an offset behind a comma, up to which there
/// are only valid numbers, each with its comma; `from` itself if there are none, or none that are written alike.
#[must_use]
pub fn pass_over(bytes: &[u8], from: usize) -> usize {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512bw")]
        fn with_avx512(bytes: &[u8], from: usize) -> usize {
            pass_over_with(bytes, from, |bytes, at| plain_blocks::<BLOCK>(bytes, plain_blocks::<LONG_BLOCK>(bytes, at)))
        }
        #[target_feature(enable = "avx2")]
        fn with_avx2(bytes: &[u8], from: usize) -> usize {
            pass_over_on_any_processor(bytes, from)
        }
        // SAFETY: the processor has the feature that the function is compiled for; it has no other requirement.
        #[allow(unsafe_code, reason = "calling code for newer processors is how Rust offers them at run time")]
        unsafe {
            if std::arch::is_x86_feature_detected!("avx512bw") {
                return with_avx512(bytes, from);
            }
            if std::arch::is_x86_feature_detected!("avx2") {
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
    pass_over_with(bytes, from, plain_blocks::<BLOCK>)
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
fn plain_blocks<const SIZE: usize>(bytes: &[u8], mut at: usize) -> usize {
    while let Some(window) = bytes.get(at..at + SIZE + 2)
        // Without a branch, which would keep the compiler from comparing many at once.
        && (0..SIZE).fold(true, |are_plain, at| are_plain & is_plain(window[at], window[at + 1], window[at + 2]))
    {
        at += SIZE;
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

#[cfg(test)]
mod tests;
