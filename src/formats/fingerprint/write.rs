//! JSON written as three programs write it, to the byte: what they hash.

use std::borrow::Cow;
use std::cmp::Ordering;

use sha2::{Digest as _, Sha256};

use crate::formats::json::tree::Node;

/// The longest string of V8, in UTF-16 code units.
const LONGEST_STRING: usize = (1 << 29) - 24;

/// The most digits that Python converts to an integer.
const LONGEST_INTEGER: usize = 4300;

/// `json.dumps(node, sort_keys=True)`; `None` where Python can't have read it.
pub(super) fn python(node: &Node<'_>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    write_python(node, &mut out)?;
    Some(out)
}

fn write_python(node: &Node<'_>, out: &mut Vec<u8>) -> Option<()> {
    match node {
        Node::Null => out.extend_from_slice(b"null"),
        Node::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
        Node::Number(text) => out.extend_from_slice(python_number(text)?.as_bytes()),
        Node::String(text) => write_ascii_string(text, out),
        Node::Array(items) => {
            out.push(b'[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.extend_from_slice(b", ");
                }
                write_python(item, out)?;
            }
            out.push(b']');
        }
        Node::Object(members) => {
            out.push(b'{');
            for (at, (key, value)) in members.iter().enumerate() {
                if at > 0 {
                    out.extend_from_slice(b", ");
                }
                write_ascii_string(key, out);
                out.extend_from_slice(b": ");
                write_python(value, out)?;
            }
            out.push(b'}');
        }
    }
    Some(())
}

/// What Python reads from a number's text and writes again: an integer exactly, a float as its `repr`.
fn python_number(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains(['.', 'e', 'E', 'N', 'I']) {
        let digits = text.strip_prefix('-').unwrap_or(text);
        return match digits {
            "0" => Some(Cow::Borrowed("0")),
            _ if digits.len() > LONGEST_INTEGER => None,
            _ => Some(Cow::Borrowed(text)),
        };
    }
    let value: f64 = match text {
        "NaN" | "Infinity" | "-Infinity" => return Some(Cow::Borrowed(text)),
        _ => text.parse().ok()?,
    };
    if value.is_infinite() {
        return Some(Cow::Borrowed(if value > 0.0 { "Infinity" } else { "-Infinity" }));
    }
    Some(Cow::Owned(python_float(value)))
}

/// Python's `repr(float)`: the shortest digits that read back, as a decimal from 1e-4 up to 1e16, else with an exponent of
/// two digits or more. (The digits are JavaScript's; Rust's own formatting rounds a tie up where both round to even.)
fn python_float(value: f64) -> String {
    let mut buffer = ryu_js::Buffer::new();
    let shortest = buffer.format_finite(value.abs());
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((shortest, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let digits = all.trim_start_matches('0');
    // Where the point stands, counted from the first digit.
    let point = exponent.parse().unwrap_or(0) + places(whole) - places(&all) + places(digits);
    let digits = digits.trim_end_matches('0');
    let sign = if value.is_sign_negative() { "-" } else { "" };
    if digits.is_empty() {
        return format!("{sign}0.0");
    }
    if !(-3..=16).contains(&point) {
        let (first, rest) = digits.split_at(1);
        let separator = if rest.is_empty() { "" } else { "." };
        let exponent_sign = if point < 1 { '-' } else { '+' };
        return format!("{sign}{first}{separator}{rest}e{exponent_sign}{:02}", (point - 1).abs());
    }
    match usize::try_from(point) {
        Ok(0) | Err(_) => format!("{sign}0.{}{digits}", "0".repeat(point.unsigned_abs() as usize)),
        Ok(point) if point >= digits.len() => format!("{sign}{digits}{}.0", "0".repeat(point - digits.len())),
        Ok(point) => format!("{sign}{}.{}", &digits[..point], &digits[point..]),
    }
}

fn places(digits: &str) -> i32 {
    i32::try_from(digits.len()).unwrap_or(i32::MAX)
}

/// Compact JSON with the keys of every object in UTF-16 order, as JavaScript writes values.
pub(super) fn compact(node: &Node<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    write_compact(node, &mut out);
    out
}

fn write_compact(node: &Node<'_>, out: &mut Vec<u8>) {
    match node {
        Node::Array(items) => {
            out.push(b'[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write_compact(item, out);
            }
            out.push(b']');
        }
        Node::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by(|left, right| compare_utf16(&left.0, &right.0));
            out.push(b'{');
            for (at, (key, value)) in members.into_iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write_string(key, out);
                out.push(b':');
                write_compact(value, out);
            }
            out.push(b'}');
        }
        plain => write_plain(plain, out),
    }
}

/// Where a text goes.
trait Sink {
    fn put(&mut self, text: &[u8]);

    fn put_spaces(&mut self, count: usize) {
        const SPACES: [u8; 64] = [b' '; 64];
        for at in (0..count).step_by(SPACES.len()) {
            self.put(&SPACES[..SPACES.len().min(count - at)]);
        }
    }
}

impl Sink for Vec<u8> {
    fn put(&mut self, text: &[u8]) {
        self.extend_from_slice(text);
    }
}

/// Hashes a text that comes in many small parts.
#[derive(Default)]
struct Hashed {
    hasher: Sha256,
    pending: Vec<u8>,
}

impl Sink for Hashed {
    fn put(&mut self, text: &[u8]) {
        self.pending.extend_from_slice(text);
        if self.pending.len() > 1 << 14 {
            self.hasher.update(&self.pending);
            self.pending.clear();
        }
    }
}

/// Counts UTF-16 code units.
struct Length(usize);

impl Sink for Length {
    fn put(&mut self, text: &[u8]) {
        let units = |byte: &u8| match byte {
            0x80..0xc0 => 0,
            0xf0.. => 2,
            _ => 1,
        };
        self.0 += text.iter().map(units).sum::<usize>();
    }

    fn put_spaces(&mut self, count: usize) {
        self.0 += count;
    }
}

/// `JSON.stringify(node, Object.keys(node).sort(), 2)`, hashed: the list of keys goes for nested objects too. Indentation can
/// make the text a thousand times as long as the file, so it is never held; `None` where it is longer than V8's strings.
pub(super) fn allow_listed(node: &Node<'_>) -> Option<Sha256> {
    let mut keys: Vec<&[u8]> = node.members().unwrap_or_default().iter().map(|(key, _)| key.as_ref()).collect();
    keys.sort_by(|left, right| compare_utf16(left, right));
    let mut length = Length(0);
    write_allow_listed(node, &keys, 0, &mut length);
    if length.0 > LONGEST_STRING {
        return None;
    }
    let mut hashed = Hashed::default();
    write_allow_listed(node, &keys, 0, &mut hashed);
    Some(hashed.hasher.chain_update(hashed.pending))
}

fn write_allow_listed(node: &Node<'_>, keys: &[&[u8]], depth: usize, out: &mut impl Sink) {
    match node {
        Node::Array(items) if items.is_empty() => out.put(b"[]"),
        Node::Array(items) => {
            out.put(b"[");
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.put(b",");
                }
                line(depth + 1, out);
                write_allow_listed(item, keys, depth + 1, out);
            }
            line(depth, out);
            out.put(b"]");
        }
        Node::Object(members) => {
            let place = |key: &[u8]| keys.binary_search_by(|own| compare_utf16(own, key)).ok();
            // Found by the members, since looking for each key in each object takes hours where both are many.
            let own = members.iter().filter_map(|(key, value)| Some((place(key)?, Some(value))));
            let mut written: Vec<(usize, Option<&Node<'_>>)> = own.collect();
            // A key is looked up like any property: where an object has no own `__proto__`, that is its prototype,
            // whose own prototype is null. Whatever else is inherited is a function and not written.
            if let Some(place) = place(b"__proto__")
                && written.iter().all(|(own, _)| *own != place)
            {
                written.push((place, None));
            }
            written.sort_unstable_by_key(|(place, _)| *place);
            out.put(b"{");
            for (at, (place, own)) in written.iter().enumerate() {
                if at > 0 {
                    out.put(b",");
                }
                line(depth + 1, out);
                write_string(keys[*place], out);
                out.put(b": ");
                if let Some(value) = own {
                    write_allow_listed(value, keys, depth + 1, out);
                } else {
                    out.put(b"{");
                    line(depth + 2, out);
                    out.put(b"\"__proto__\": null");
                    line(depth + 1, out);
                    out.put(b"}");
                }
            }
            if !written.is_empty() {
                line(depth, out);
            }
            out.put(b"}");
        }
        plain => write_plain(plain, out),
    }
}

fn line(depth: usize, out: &mut impl Sink) {
    out.put(b"\n");
    out.put_spaces(depth * 2);
}

/// Everything but arrays and objects, as `JSON.stringify` writes it.
fn write_plain(node: &Node<'_>, out: &mut impl Sink) {
    match node {
        Node::Bool(value) => out.put(if *value { b"true" } else { b"false" }),
        Node::Number(text) => match text.parse::<f64>() {
            Ok(value) if value.is_finite() => {
                out.put(ryu_js::Buffer::new().format_finite(value).as_bytes());
            }
            _ => out.put(b"null"),
        },
        Node::String(text) => write_string(text, out),
        Node::Null | Node::Array(_) | Node::Object(_) => out.put(b"null"),
    }
}

/// A string as `JSON.stringify` writes it: only what must be is escaped, and lone surrogates.
fn write_string(text: &[u8], out: &mut impl Sink) {
    out.put(b"\"");
    for code_point in code_points(text) {
        if matches!(code_point, 0x22 | 0x5c | 0..0x20 | 0xd800..0xe000) {
            write_escape(code_point, out);
        } else if let Some(character) = char::from_u32(code_point) {
            out.put(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    out.put(b"\"");
}

/// A string as Python's `ensure_ascii` writes it.
fn write_ascii_string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for code_point in code_points(text) {
        match code_point {
            0x22 | 0x5c | 0..0x20 | 0x7f..0x1_0000 => write_escape(code_point, out),
            0x1_0000.. => {
                let offset = code_point - 0x1_0000;
                write_escape(0xd800 + (offset >> 10), out);
                write_escape(0xdc00 + (offset & 0x3ff), out);
            }
            ascii => out.push(ascii.to_le_bytes()[0]),
        }
    }
    out.push(b'"');
}

/// The escape of one UTF-16 code unit, the short one if there is one. Python and JavaScript have the same.
fn write_escape(unit: u32, out: &mut impl Sink) {
    let short = match unit {
        0x22 => b'"',
        0x5c => b'\\',
        0x08 => b'b',
        0x09 => b't',
        0x0a => b'n',
        0x0c => b'f',
        0x0d => b'r',
        _ => {
            out.put(format!("\\u{unit:04x}").as_bytes());
            return;
        }
    };
    out.put(&[b'\\', short]);
}

/// The order of two WTF-8 strings by their UTF-16 code units.
fn compare_utf16(left: &[u8], right: &[u8]) -> Ordering {
    units(left).cmp(units(right))
}

fn units(text: &[u8]) -> impl Iterator<Item = u32> {
    code_points(text).flat_map(|code_point| {
        let pair = match code_point.checked_sub(0x1_0000) {
            Some(offset) => [Some(0xd800 + (offset >> 10)), Some(0xdc00 + (offset & 0x3ff))],
            None => [Some(code_point), None],
        };
        pair.into_iter().flatten()
    })
}

/// The code points of WTF-8, lone surrogates among them.
fn code_points(text: &[u8]) -> impl Iterator<Item = u32> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (first, behind) = rest.split_first()?;
        let (length, mut code_point) = match first {
            0..0x80 => (0, u32::from(*first)),
            0x80..0xe0 => (1, u32::from(first & 0x1f)),
            0xe0..0xf0 => (2, u32::from(first & 0x0f)),
            0xf0.. => (3, u32::from(first & 0x07)),
        };
        let (more, behind) = behind.split_at(length.min(behind.len()));
        for byte in more {
            code_point = (code_point << 6) | u32::from(byte & 0x3f);
        }
        rest = behind;
        Some(code_point)
    })
}
