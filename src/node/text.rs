//! Strings on their way to JavaScript.

use encoding_rs::mem;
use napi::JsString;
use napi::bindgen_prelude::Env;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// A text as V8 keeps it, so that handing it over is a copy: V8 decodes UTF-8 as slowly as it parses JSON.
pub(super) enum Text {
    Latin1(Vec<u8>),
    Utf16(Vec<u16>),
}

impl Text {
    /// Of a JSON text: see [`escaped`].
    pub(super) fn of_json(text: String) -> Self {
        Self::from(escaped(text))
    }

    pub(super) fn to_js<'env>(&self, env: &'env Env) -> napi::Result<JsString<'env>> {
        match self {
            Self::Latin1(bytes) => env.create_string_latin1(bytes),
            Self::Utf16(units) => env.create_string_utf16(units),
        }
    }
}

/// A JSON text. If few of its characters are no Latin-1 – a typographic quote, an emoji – they are escaped: at two bytes for
/// each of the others V8 takes half as long again, and keeps strings twice as large.
pub(super) fn escaped(text: String) -> String {
    const RARE: usize = 16;
    // Beyond this, what is escaped might be longer than any string of V8.
    const LONG: usize = 64 << 20;
    let mut end = mem::str_latin1_up_to(&text);
    if end == text.len() || text.len() > LONG {
        return text;
    }
    let mut escaped = String::with_capacity(text.len() + text.len() / 2);
    let mut rest = text.as_str();
    for _ in 0..text.len() / RARE {
        escaped.push_str(&rest[..end]);
        let Some(wide) = rest[end..].chars().next() else { return escaped };
        for unit in wide.encode_utf16(&mut [0; 2]) {
            escaped.push_str("\\u");
            escaped.extend([12, 8, 4, 0].map(|bits| char::from(DIGITS[usize::from(*unit >> bits & 15)])));
        }
        rest = &rest[end + wide.len_utf8()..];
        end = mem::str_latin1_up_to(rest);
    }
    text
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        if text.is_ascii() {
            Self::Latin1(text.into_bytes())
        } else if mem::is_str_latin1(&text) {
            Self::Latin1(mem::encode_latin1_lossy(&text).into_owned())
        } else {
            let mut units = vec![0; text.len() + 1];
            let length = mem::convert_str_to_utf16(&text, &mut units);
            units.truncate(length);
            Self::Utf16(units)
        }
    }
}
