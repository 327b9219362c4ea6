//! `new Date(value)` for the values that can be decided without V8.
//!
//! V8 reads many forms of dates, and dates without a zone in the process's own time zone. Decided here is the one form
//! that nearly every file has, ISO 8601 with a zone (or a bare date, which JavaScript takes as UTC); every other string
//! is put to JavaScript's own `Date`.

use jiff::Timestamp;

/// The largest distance from 1970 that a JavaScript date can have, in milliseconds.
const LIMIT: f64 = 8.64e15;

/// The time of `new Date(number)`: milliseconds since 1970, NaN if it is not a date.
#[must_use]
pub fn from_number(number: f64) -> f64 {
    // Adding zero makes -0 to 0, as TimeClip does.
    if number.abs() <= LIMIT { number.trunc() + 0.0 } else { f64::NAN }
}

/// The time of `new Date(text)` in milliseconds since 1970, or `None` if only JavaScript can tell.
///
/// Decided are `YYYY-MM-DD` and `YYYY-MM-DDTHH:mm[:ss[.fraction]]` with `Z` or `±HH:mm`, on days that exist. V8 cuts the
/// fraction after three digits; it counts digits in its own way beyond nine, so those are not decided here.
#[must_use]
pub fn from_iso(text: &[u8]) -> Option<f64> {
    let (date, rest) = text.split_at_checked(10)?;
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = date else { return None };
    let year = digits(&[*y1, *y2, *y3, *y4])?;
    let month = digits(&[*m1, *m2])?;
    let day = digits(&[*d1, *d2])?;
    if !(1..=12).contains(&month) || !(1..=days_in_month(year, month)).contains(&day) {
        return None;
    }
    let midnight = days_since_1970(year, month, day) * 86_400_000;
    if rest.is_empty() {
        return Some(exact(midnight));
    }
    let (clock, rest) = rest.split_at_checked(6)?;
    let [b'T', h1, h2, b':', n1, n2] = clock else { return None };
    let (hour, minute) = (digits(&[*h1, *h2])?, digits(&[*n1, *n2])?);
    let (second, rest) = match rest {
        [b':', s1, s2, rest @ ..] => (digits(&[*s1, *s2])?, rest),
        _ => (0, rest),
    };
    let (millisecond, rest) = match rest {
        [b'.', fraction @ ..] if clock.len() + 10 < text.len() - rest.len() => {
            let length = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if !(1..=9).contains(&length) {
                return None;
            }
            let first_three: [u8; 3] = std::array::from_fn(|at| if at < length { fraction[at] } else { b'0' });
            (digits(&first_three)?, &fraction[length..])
        }
        _ => (0, rest),
    };
    let offset_minutes = match rest {
        b"Z" => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', n1, n2] => {
            let (hours, minutes) = (digits(&[*h1, *h2])?, digits(&[*n1, *n2])?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let offset = hours * 60 + minutes;
            if *sign == b'-' { -offset } else { offset }
        }
        _ => return None,
    };
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = (hour * 60 + minute - offset_minutes) * 60 + second;
    Some(exact(midnight + seconds * 1000 + millisecond))
}

#[allow(clippy::cast_precision_loss, reason = "four-digit years stay far below 2^53 milliseconds")]
fn exact(milliseconds: i64) -> f64 {
    milliseconds as f64
}

fn digits(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |value, digit| digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0')))
}

/// `new Date(time).toISOString()` of a time in the years 0 to 9998, in milliseconds since 1970.
#[must_use]
pub fn to_iso(time: f64) -> String {
    #[allow(clippy::cast_possible_truncation, reason = "a time that is no date becomes one")]
    let time = Timestamp::from_millisecond(time as i64).unwrap_or_default();
    iso_text(time)
}

/// The same of the present time.
#[must_use]
pub fn now_as_iso() -> String {
    iso_text(Timestamp::now())
}

fn iso_text(time: Timestamp) -> String {
    format!("{time:.3}")
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar (Howard Hinnant's `days_from_civil`).
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::{from_iso, from_number, to_iso};

    #[test]
    fn decides_iso_dates_with_a_zone() {
        // Each expected value is what Node 20 prints for Date.parse of the same text.
        let cases = [
            ("1970-01-01", 0.0),
            ("2025-03-03T20:55:27Z", 1_741_035_327_000.0),
            ("2025-03-03T20:55Z", 1_741_035_300_000.0),
            ("2025-08-05T02:21:54.994781+00:00", 1_754_360_514_994.0),
            ("2025-08-05T02:21:54.9-05:30", 1_754_380_314_900.0),
            ("2025-08-05T02:21:54.012345678Z", 1_754_360_514_012.0),
            ("2000-02-29T23:59:59.999Z", 951_868_799_999.0),
            ("0000-01-01T00:00:00Z", -62_167_219_200_000.0),
            ("9999-12-31T23:59:59+23:59", 253_402_214_459_000.0),
            ("1969-12-31T23:59:59.999Z", -1.0),
        ];
        for (text, expected) in cases {
            assert_eq!(from_iso(text.as_bytes()), Some(expected), "{text}");
        }
    }

    #[test]
    fn leaves_the_rest_to_javascript() {
        let undecided = [
            "",
            "2025",
            "2025-03",
            "2025-03-03T20:55:27",
            "2025-02-30T00:00:00Z",
            "2025-02-29",
            "2025-13-01",
            "2025-00-01",
            "2025-01-00",
            "2025-03-03T24:00:00Z",
            "2025-03-03T23:60:00Z",
            "2025-03-03T23:00:60Z",
            "2025-03-03T20:55:27.Z",
            "2025-03-03T20:55:27.0123456789Z",
            "2025-03-03T20:55.5Z",
            "2025-03-03t20:55:27z",
            "2025-03-03 20:55:27Z",
            "2025-03-03T20:55:27+0100",
            "2025-03-03T20:55:27+24:00",
            "2025-03-03T20:55:27+01:60",
            "2025-03-03T20:55:27Z ",
            " 2025-03-03T20:55:27Z",
            "+002025-03-03T20:55:27Z",
            "Mar 3 2025",
            "2025-03-03Z",
            "2025-03-03T20Z",
            "\u{664}025-03-03",
            "2025-3-3",
            "2025-03-03T20:55:27\u{2212}01:00",
        ];
        for text in undecided {
            assert_eq!(from_iso(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn writes_dates_as_javascript_does() {
        for text in [
            "1970-01-01T00:00:00.000Z",
            "1969-12-31T23:59:59.001Z",
            "0001-02-03T04:05:06.070Z",
            "9998-12-31T23:59:59.999Z",
        ] {
            assert_eq!(from_iso(text.as_bytes()).map(to_iso).as_deref(), Some(text));
        }
    }

    #[test]
    fn numbers_are_clipped() {
        assert_eq!(from_number(1.9).to_bits(), 1.0_f64.to_bits());
        assert_eq!(from_number(-0.5).to_bits(), 0.0_f64.to_bits());
        assert_eq!(from_number(8.64e15).to_bits(), 8.64e15_f64.to_bits());
        assert!(from_number(8.64e15 + 2.0).is_nan() && from_number(f64::INFINITY).is_nan());
    }
}
