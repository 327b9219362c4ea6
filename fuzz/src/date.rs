//! What is decided of a date is what `jiff` makes of it, and every well-formed date with a zone is decided.

use jiff::civil::DateTime;
use vvault_native::javascript::date::{from_iso, from_number};

pub fn check(data: &[u8]) {
    if let Some(decided) = from_iso(data) {
        let text = std::str::from_utf8(data).expect("ASCII");
        assert_eq!(Some(decided), by_jiff(text), "{text}");
    }
    if let Some(bytes) = data.first_chunk::<8>() {
        let number = from_number(f64::from_le_bytes(*bytes));
        assert!(
            number.is_nan() || number.abs() <= 8.64e15 && number.fract() == 0.0 && !number.to_bits().eq(&(1 << 63))
        );
        let text = well_formed(*bytes, data.get(8..).unwrap_or_default());
        assert_eq!(from_iso(text.as_bytes()), by_jiff(&text), "{text}");
    }
}

/// A date of the form that is decided, its parts near their limits or beyond.
fn well_formed(bytes: [u8; 8], more: &[u8]) -> String {
    let [year_high, year_low, month, day, hour, minute, second, form] = bytes;
    let year = (u16::from(year_high) << 8 | u16::from(year_low)) % 10_000;
    let date = format!("{year:04}-{:02}-{:02}", month % 14, day % 33);
    if form % 8 == 0 {
        return date;
    }
    let seconds = if form % 8 == 1 { String::new() } else { format!(":{:02}", second % 62) };
    let fraction = if form % 8 > 3 {
        let digits = more.iter().take(9).map(|byte| char::from(b'0' + byte % 10));
        Some(digits.collect::<String>()).filter(|digits| !digits.is_empty()).map(|digits| format!(".{digits}"))
    } else {
        None
    };
    let zone = match form >> 4 {
        0..8 => "Z".to_owned(),
        hours => format!("{}{:02}:{:02}", if form & 8 == 0 { '+' } else { '-' }, hours * 2 + hour % 2, minute % 61),
    };
    format!("{date}T{:02}:{:02}{seconds}{}{zone}", hour % 25, minute % 61, fraction.unwrap_or_default())
}

fn by_jiff(text: &str) -> Option<f64> {
    let Some((date, time)) = text.split_once('T') else { return milliseconds(&format!("{text}T00:00"), 0) };
    if let Some(time) = time.strip_suffix('Z') {
        return milliseconds(&format!("{date}T{time}"), 0);
    }
    let (time, zone) = time.split_at(time.find(['+', '-'])?);
    let (hours, minutes) = zone[1..].split_once(':')?;
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
    let offset = if zone.starts_with('-') { -(hours * 60 + minutes) } else { hours * 60 + minutes };
    let is_zone = hours < 24 && minutes < 60;
    is_zone.then(|| milliseconds(&format!("{date}T{time}"), offset)).flatten()
}

fn milliseconds(local: &str, offset_minutes: i64) -> Option<f64> {
    // jiff takes a leap second, JavaScript does not.
    let is_leap = local.len() >= 19 && &local[17..19] == "60";
    let local: DateTime = local.parse().ok().filter(|_| !is_leap)?;
    let since = local.duration_since(DateTime::constant(1970, 1, 1, 0, 0, 0, 0));
    let milliseconds = since.as_nanos().div_euclid(1_000_000) - i128::from(offset_minutes) * 60_000;
    #[allow(clippy::cast_precision_loss, reason = "four-digit years stay far below 2^53 milliseconds")]
    Some(milliseconds as f64)
}
