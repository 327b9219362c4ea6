//! JSON exactly as V8's `JSON.parse` accepts it, without building anything.
//!
//! A capsule is mostly an embedding that nobody asks for, so a file is *scanned*: every byte is checked against the
//! grammar (a file that `JSON.parse` refuses is refused here), while values stay what they are in the file, as slices.
//! What JavaScript receives is then made from those slices by `JSON.parse` itself, so that big numbers, lone
//! surrogates, duplicate keys in nested objects and `__proto__` keys come out as they always did.
//!
//! Nesting costs one bit a level and no stack.

pub mod number_array;
pub mod tree;

use std::borrow::Cow;
use std::fmt::{Display, Write as _};
use std::ops::Range;

/// What is wrong with a JSON text, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyntaxError {
    /// Offset in bytes.
    pub offset: usize,
    /// What was found instead of what the grammar allows.
    pub problem: &'static str,
}

impl SyntaxError {
    /// The message that a person reads: the problem with its line and column (both from 1, columns in characters).
    #[must_use]
    pub fn describe(&self, text: &str) -> String {
        let before = &text.as_bytes()[..self.offset.min(text.len())];
        let line = 1 + memchr::memchr_iter(b'\n', before).count();
        let line_start = memchr::memrchr(b'\n', before).map_or(0, |newline| newline + 1);
        let column = 1 + before[line_start..].iter().filter(|byte| (**byte & 0xc0) != 0x80).count();
        let problem = match self.offset {
            0 if text.starts_with('\u{feff}') => "a byte order mark before the first value",
            _ => self.problem,
        };
        format!("{problem} in JSON at line {line} column {column} (byte {})", self.offset)
    }
}

/// The type of a JSON value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `null`
    Null,
    /// `true`
    True,
    /// `false`
    False,
    /// Any number.
    Number,
    /// Any string.
    String,
    /// Any array.
    Array,
    /// Any object.
    Object,
}

/// One JSON value as it stands in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Value<'a> {
    kind: Kind,
    text: Text<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Text<'a> {
    String(StringText<'a>),
    Other(&'a [u8]),
}

/// A string as it stands in its file, with its quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct StringText<'a> {
    text: &'a str,
    has_escapes: bool,
}

impl<'a> StringText<'a> {
    /// What it says, in WTF-8.
    fn decoded(self) -> Cow<'a, [u8]> {
        let content = &self.text.as_bytes()[1..self.text.len() - 1];
        if self.has_escapes { Cow::Owned(unescape(content)) } else { Cow::Borrowed(content) }
    }
}

impl<'a> Value<'a> {
    /// Its type.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its text, valid by itself, without white space around it.
    #[must_use]
    pub fn text(&self) -> &'a str {
        match self.text {
            Text::String(string) => string.text,
            // The scanner has seen that strings are UTF-8, and outside of them there is only ASCII.
            Text::Other(bytes) => std::str::from_utf8(bytes).unwrap_or("null"),
        }
    }

    fn bytes(&self) -> &'a [u8] {
        match self.text {
            Text::String(string) => string.text.as_bytes(),
            Text::Other(bytes) => bytes,
        }
    }

    /// Where it stands in the text that it was found in. Told without a look at the value, which may be long.
    #[must_use]
    pub fn place_in(&self, text: &[u8]) -> Option<Range<usize>> {
        let start = self.bytes().as_ptr().addr().checked_sub(text.as_ptr().addr())?;
        let end = start.checked_add(self.bytes().len())?;
        (end <= text.len()).then_some(start..end)
    }

    /// Whether JavaScript takes the value for true.
    #[must_use]
    pub fn is_truthy(&self) -> bool {
        match self.kind {
            Kind::Null | Kind::False => false,
            Kind::True | Kind::Array | Kind::Object => true,
            Kind::String => self.bytes().len() > 2,
            Kind::Number => self.number() != Some(0.0),
        }
    }

    /// The value as a double, if it is a number. Beyond a double's range it is infinite, as in JavaScript.
    #[must_use]
    pub fn number(&self) -> Option<f64> {
        if self.kind == Kind::Number { self.text().parse().ok() } else { None }
    }

    /// The bytes of the string, if it is one: WTF-8, which is UTF-8 that can also hold a lone surrogate.
    #[must_use]
    pub fn string(&self) -> Option<Cow<'a, [u8]>> {
        if let Text::String(string) = self.text { Some(string.decoded()) } else { None }
    }
}

/// Checks a whole JSON text, which must be UTF-8 as far as it matters (its strings). If it is an object, `member` is called for each of its direct members in the file's
/// order, with the decoded key (WTF-8) and the value; of equal keys JavaScript keeps the last value.
///
/// # Errors
/// Where the text is not JSON. Members before that place have been reported by then.
pub fn scan<'a>(text: &'a [u8], member: impl FnMut(Cow<'a, [u8]>, Value<'a>)) -> Result<Value<'a>, SyntaxError> {
    Scanner::new(text).whole(member)
}

/// The same of JSON as Python writes it, which has the numbers `NaN`, `Infinity` and `-Infinity`.
///
/// # Errors
/// As [`scan`].
pub fn scan_python<'a>(text: &'a [u8], member: impl FnMut(Cow<'a, [u8]>, Value<'a>)) -> Result<Value<'a>, SyntaxError> {
    Scanner { is_python: true, ..Scanner::new(text) }.whole(member)
}

/// A text that Python wrote as JSON that JavaScript reads: with `null` for numbers that only Python has. `None` if it is not
/// JSON for Python either.
#[must_use]
pub fn without_python_numbers(text: &str) -> Option<Cow<'_, str>> {
    if scan(text.as_bytes(), |_, _| {}).is_ok() {
        return Some(Cow::Borrowed(text));
    }
    scan_python(text.as_bytes(), |_, _| {}).ok()?;
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    // Outside of strings these letters begin nothing else.
    while let Some(at) = rest.find(['"', 'N', 'I']) {
        let (before, found) = rest.split_at(at);
        let length = match found.as_bytes()[0] {
            b'"' => {
                let mut scanner = Scanner::new(found.as_bytes());
                scanner.string().ok()?;
                plain.push_str(before);
                plain.push_str(&found[..scanner.at]);
                scanner.at
            }
            letter => {
                plain.push_str(before.strip_suffix('-').unwrap_or(before));
                plain.push_str("null");
                if letter == b'N' { NAN.len() } else { INFINITY.len() }
            }
        };
        rest = &found[length..];
    }
    plain.push_str(rest);
    Some(Cow::Owned(plain))
}

/// The same of the first value in a text, whatever follows it.
///
/// # Errors
/// Where the value is not JSON. Members before that place have been reported by then.
pub fn scan_first<'a>(text: &'a [u8], member: impl FnMut(Cow<'a, [u8]>, Value<'a>)) -> Result<Value<'a>, SyntaxError> {
    Scanner::new(text).first_value(member)
}

/// The items of a JSON array, in order; none if the text is anything else.
#[must_use]
pub fn items(text: &str) -> Vec<Value<'_>> {
    let mut items = Vec::new();
    let mut scanner = Scanner::new(text.as_bytes());
    if scanner.peek() != Some(b'[') {
        return items;
    }
    scanner.at += 1;
    loop {
        scanner.white_space();
        let Ok(item) = scanner.value() else { return items };
        items.push(item);
        scanner.white_space();
        if scanner.peek() != Some(b',') {
            return items;
        }
        scanner.at += 1;
    }
}

/// The last value of each of these members of a JSON object; none of a text that is anything else.
#[must_use]
pub fn members<'a, const N: usize>(text: &'a str, keys: [&str; N]) -> [Option<Value<'a>>; N] {
    let mut values = [None; N];
    // The text is a value that has been scanned before: there is no error to tell.
    let _ = scan_python(text.as_bytes(), |key, value| {
        if let Some(at) = keys.iter().position(|wanted| wanted.as_bytes() == key.as_ref()) {
            values[at] = Some(value);
        }
    });
    values
}

/// The string that a JSON text is, in WTF-8; `None` if it is anything else.
#[must_use]
pub fn string(text: &str) -> Option<Cow<'_, [u8]>> {
    scan(text.as_bytes(), |_, _| {}).ok()?.string()
}

/// Which of the open containers are arrays: one bit each.
#[derive(Default)]
struct Nesting {
    words: Vec<u64>,
    depth: usize,
}

impl Nesting {
    fn open(&mut self, array: bool) {
        let (word, bit) = (self.depth / 64, self.depth % 64);
        if word == self.words.len() {
            self.words.push(0);
        }
        self.words[word] = (self.words[word] & !(1 << bit)) | (u64::from(array) << bit);
        self.depth += 1;
    }

    fn close(&mut self) {
        self.depth -= 1;
    }

    fn in_array(&self) -> bool {
        let top = self.depth - 1;
        self.words[top / 64] >> (top % 64) & 1 == 1
    }
}

const NAN: &[u8] = b"NaN";
const INFINITY: &[u8] = b"Infinity";

struct Scanner<'a> {
    bytes: &'a [u8],
    /// The same, if all of it is UTF-8: then not each string is to be looked at for that.
    text: Option<&'a str>,
    at: usize,
    nesting: Nesting,
    is_python: bool,
    /// Of a tree: so many it has by now.
    values: usize,
}

impl<'a> Scanner<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        let text = simdutf8::basic::from_utf8(bytes).ok();
        Self { bytes, text, at: 0, nesting: Nesting::default(), is_python: false, values: 0 }
    }

    fn error(&self, problem: &'static str) -> SyntaxError {
        let problem = if self.at >= self.bytes.len() { "unexpected end" } else { problem };
        SyntaxError { offset: self.at, problem }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn white_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    /// The one value that the text is, its members reported if it is an object.
    fn whole(mut self, member: impl FnMut(Cow<'a, [u8]>, Value<'a>)) -> Result<Value<'a>, SyntaxError> {
        let whole = self.first_value(member)?;
        self.white_space();
        if self.at < self.bytes.len() {
            return Err(self.error("unexpected text after the value"));
        }
        Ok(whole)
    }

    /// The value that the text begins with, its members reported if it is an object.
    fn first_value(&mut self, mut member: impl FnMut(Cow<'a, [u8]>, Value<'a>)) -> Result<Value<'a>, SyntaxError> {
        self.white_space();
        let start = self.at;
        if self.peek() != Some(b'{') {
            return self.value();
        }
        self.at += 1;
        self.white_space();
        if self.peek() == Some(b'}') {
            self.at += 1;
        } else {
            loop {
                let key = self.key()?;
                self.white_space();
                let value = self.value()?;
                member(key.decoded(), value);
                self.white_space();
                match self.peek() {
                    Some(b',') => {
                        self.at += 1;
                        self.white_space();
                    }
                    Some(b'}') => {
                        self.at += 1;
                        break;
                    }
                    _ => return Err(self.error("expected ',' or '}'")),
                }
            }
        }
        Ok(self.value_from(start, Kind::Object))
    }

    /// A key and its colon.
    fn key(&mut self) -> Result<StringText<'a>, SyntaxError> {
        if self.peek() != Some(b'"') {
            return Err(self.error("expected a key in double quotes"));
        }
        let key = self.string()?;
        self.white_space();
        if self.peek() != Some(b':') {
            return Err(self.error("expected ':'"));
        }
        self.at += 1;
        Ok(key)
    }

    /// One value, however deep. Iterative: what is open is kept in `nesting`.
    fn value(&mut self) -> Result<Value<'a>, SyntaxError> {
        let start = self.at;
        let kind = match self.peek() {
            Some(b'"') => return Ok(Value { kind: Kind::String, text: Text::String(self.string()?) }),
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b't') => Kind::True,
            Some(b'f') => Kind::False,
            Some(b'n') => Kind::Null,
            _ => Kind::Number,
        };
        let outside = self.nesting.depth;
        'value: loop {
            match self.peek() {
                Some(b'"') => drop(self.string()?),
                Some(b'-' | b'0'..=b'9') => self.number()?,
                Some(b'[') => {
                    self.at += 1;
                    self.white_space();
                    if self.peek() == Some(b']') {
                        self.at += 1;
                    } else {
                        self.nesting.open(true);
                        continue 'value;
                    }
                }
                Some(b'{') => {
                    self.at += 1;
                    self.white_space();
                    if self.peek() == Some(b'}') {
                        self.at += 1;
                    } else {
                        self.nesting.open(false);
                        self.key()?;
                        self.white_space();
                        continue 'value;
                    }
                }
                Some(b't') => self.literal(b"true")?,
                Some(b'f') => self.literal(b"false")?,
                Some(b'n') => self.literal(b"null")?,
                Some(b'N') if self.is_python => self.literal(NAN)?,
                Some(b'I') if self.is_python => self.literal(INFINITY)?,
                _ => return Err(self.error("expected a value")),
            }
            loop {
                if self.nesting.depth == outside {
                    return Ok(self.value_from(start, kind));
                }
                self.white_space();
                match (self.peek(), self.nesting.in_array()) {
                    (Some(b','), true) => {
                        self.at = number_array::pass_over(self.bytes, self.at + 1);
                        self.white_space();
                        continue 'value;
                    }
                    (Some(b','), false) => {
                        self.at += 1;
                        self.white_space();
                        self.key()?;
                        self.white_space();
                        continue 'value;
                    }
                    (Some(b']'), true) | (Some(b'}'), false) => {
                        self.at += 1;
                        self.nesting.close();
                    }
                    (_, true) => return Err(self.error("expected ',' or ']'")),
                    (_, false) => return Err(self.error("expected ',' or '}'")),
                }
            }
        }
    }

    fn value_from(&self, start: usize, kind: Kind) -> Value<'a> {
        Value { kind, text: Text::Other(&self.bytes[start..self.at]) }
    }

    fn literal(&mut self, word: &'static [u8]) -> Result<(), SyntaxError> {
        for expected in word {
            if self.peek() != Some(*expected) {
                return Err(self.error("expected a value"));
            }
            self.at += 1;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), SyntaxError> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(self.error("expected a digit"));
        }
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), SyntaxError> {
        if self.peek() == Some(b'-') {
            self.at += 1;
            if self.is_python && self.peek() == Some(b'I') {
                return self.literal(INFINITY);
            }
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
            if matches!(self.peek(), Some(b'0'..=b'9')) {
                return Err(self.error("a number must not start with 0"));
            }
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    /// Nearly all strings end at the first character that needs a look.
    #[inline]
    fn string(&mut self) -> Result<StringText<'a>, SyntaxError> {
        let start = self.at;
        self.at += 1;
        self.at += plain_length(&self.bytes[self.at..]);
        if self.peek() == Some(b'"')
            && let Some(text) = self.text.and_then(|text| text.get(start..=self.at))
        {
            self.at += 1;
            return Ok(StringText { text, has_escapes: false });
        }
        self.rest_of_string(start)
    }

    fn rest_of_string(&mut self, start: usize) -> Result<StringText<'a>, SyntaxError> {
        let mut has_escapes = false;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    if let Some(text) = self.text.and_then(|text| text.get(start..self.at)) {
                        return Ok(StringText { text, has_escapes });
                    }
                    return match std::str::from_utf8(&self.bytes[start..self.at]) {
                        Ok(text) => Ok(StringText { text, has_escapes }),
                        Err(error) => {
                            Err(SyntaxError { offset: start + error.valid_up_to(), problem: "invalid UTF-8" })
                        }
                    };
                }
                Some(b'\\') => {
                    has_escapes = true;
                    self.at += 1;
                    match self.peek() {
                        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
                        Some(b'u') => {
                            self.at += 1;
                            for _ in 0..4 {
                                if !self.peek().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                                    return Err(self.error("expected four hexadecimal digits"));
                                }
                                self.at += 1;
                            }
                        }
                        _ => return Err(self.error("unknown escape")),
                    }
                }
                Some(_) => return Err(self.error("unescaped control character")),
                None => return Err(self.error("unexpected end")),
            }
            self.at += plain_length(&self.bytes[self.at..]);
        }
    }
}

/// How many bytes go by before one that ends a string or needs a look: `"`, `\` or a control character.
fn plain_length(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    let special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    let mut at = 0;
    // Without a branch, which would keep the compiler from comparing many at once.
    while let Some(block) = bytes[at..].first_chunk::<16>()
        && !block.iter().fold(false, |found, byte| found | special(byte))
    {
        at += 16;
    }
    while let Some(chunk) = bytes[at..].first_chunk::<8>() {
        let word = u64::from_le_bytes(*chunk);
        let zero = |word: u64| word.wrapping_sub(ONES) & !word;
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let found = (control | zero(word ^ (ONES * 0x22)) | zero(word ^ (ONES * 0x5c))) & HIGH;
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    at + bytes[at..].iter().position(special).unwrap_or(bytes.len() - at)
}

/// The text between a valid string's quotes, decoded to WTF-8.
fn unescape(bytes: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        decoded.extend_from_slice(&rest[..at]);
        let code = rest[at + 1];
        rest = &rest[at + 2..];
        let plain = match code {
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let mut unit = hexadecimal(rest);
                rest = &rest[4..];
                if (0xd800..0xdc00).contains(&unit) && rest.starts_with(b"\\u") {
                    let low = hexadecimal(&rest[2..]);
                    if (0xdc00..0xe000).contains(&low) {
                        unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                        rest = &rest[6..];
                    }
                }
                push_code_point(&mut decoded, unit);
                continue;
            }
            other => other,
        };
        decoded.push(plain);
    }
    decoded.extend_from_slice(rest);
    decoded
}

fn hexadecimal(digits: &[u8]) -> u32 {
    digits.iter().take(4).fold(0, |value, digit| value * 16 + (*digit as char).to_digit(16).unwrap_or(0))
}

/// Appends a code point in UTF-8; a lone surrogate in the three bytes that UTF-8 would give it if it could (WTF-8).
fn push_code_point(out: &mut Vec<u8>, code_point: u32) {
    if let Some(character) = char::from_u32(code_point) {
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    } else {
        let low_bits = |shift: u32| 0x80 | ((code_point >> shift) & 0x3f).to_le_bytes()[0];
        out.extend_from_slice(&[0xed, low_bits(6), low_bits(0)]);
    }
}

/// Appends `text` as a JSON string, with the escapes that Python and JavaScript write.
pub fn write_string(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    loop {
        let plain = plain_length(rest.as_bytes());
        out.push_str(&rest[..plain]);
        let Some(special) = rest.as_bytes().get(plain) else { break };
        match special {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x08 => out.push_str("\\b"),
            0x0c => out.push_str("\\f"),
            control => {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                out.push_str("\\u00");
                out.push(DIGITS[usize::from(control >> 4)] as char);
                out.push(DIGITS[usize::from(control & 15)] as char);
            }
        }
        rest = &rest[plain + 1..];
    }
    out.push('"');
}

/// An object that is being written.
#[derive(Debug, Default)]
pub struct ObjectText {
    text: String,
}

impl ObjectText {
    /// One without members.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One without members, for about so many bytes.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self { text: String::with_capacity(bytes) }
    }

    /// Adds a member whose value is JSON already, or prints as JSON.
    #[must_use]
    pub fn json(mut self, key: &str, value: impl Display) -> Self {
        self.key(key);
        // Writing to a string does not fail.
        let _ = write!(self.text, "{value}");
        self
    }

    fn key(&mut self, key: &str) {
        self.text.push(if self.text.is_empty() { '{' } else { ',' });
        write_string(&mut self.text, key);
        self.text.push(':');
    }

    /// Adds a string.
    #[must_use]
    pub fn string(mut self, key: &str, value: &str) -> Self {
        self.key(key);
        write_string(&mut self.text, value);
        self
    }

    /// Adds a string, or `null`.
    #[must_use]
    pub fn string_or_null(self, key: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.string(key, value),
            None => self.json(key, "null"),
        }
    }

    /// Its text.
    #[must_use]
    pub fn finish(mut self) -> String {
        self.text.push_str(if self.text.is_empty() { "{}" } else { "}" });
        self.text
    }
}

/// How many of a JSON text's bytes outside its strings are counted.
#[must_use]
pub fn count_outside_strings(text: &str, counts: impl Fn(u8) -> bool) -> usize {
    let mut rest = text.as_bytes();
    let mut count = 0;
    loop {
        let outside = memchr::memchr(b'"', rest).unwrap_or(rest.len());
        count += rest[..outside].iter().filter(|byte| counts(**byte)).count();
        rest = rest.get(outside + 1..).unwrap_or_default();
        loop {
            let Some(end) = memchr::memchr2(b'"', b'\\', rest) else { return count };
            let is_escape = rest[end] == b'\\';
            rest = rest.get(end + 1 + usize::from(is_escape)..).unwrap_or_default();
            if !is_escape {
                break;
            }
        }
    }
}

/// Whether a text is the beginning of a JSON value.
#[must_use]
pub fn breaks_off(text: &[u8]) -> bool {
    scan(text, |_, _| {}).is_err_and(|error| error.offset >= text.len())
}

#[cfg(test)]
mod tests;
