//! Strings on their way to JavaScript.

use encoding_rs::mem;
use napi::JsString;
use napi::bindgen_prelude::Env;

/// The first byte in UTF-8 of all characters that are no Latin-1 is this one or a higher one, and no other byte is.
const FIRST_WIDE: u8 = 0xC4;

/// A text as V8 keeps it, so that handing it over is a copy: V8 decodes UTF-8 as slowly as it parses JSON.
pub(super) enum Text {
    Latin1(Vec<u8>),
    Utf16(Vec<u16>),
}

impl Text {
    /// Of a JSON text. If few of its characters are no Latin-1 – a typographic quote, an emoji – they are escaped: at two
    /// bytes for each of the others V8 takes half as long again, and keeps strings twice as large.
    pub(super) fn of_json(text: String) -> Self {
        const RARE: usize = 16;
        // Beyond this, what is escaped might be longer than any string of V8.
        const LONG: usize = 64 << 20;
        if text.is_ascii() {
            return Self::Latin1(text.into_bytes());
        }
        let wide = text.bytes().filter(|byte| *byte >= FIRST_WIDE).count();
        if wide == 0 || wide > text.len() / RARE || text.len() > LONG {
            return Self::from(text);
        }
        let mut bytes = Vec::with_capacity(text.len() + 8 * wide);
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (latin1, behind) = rest.split_at(mem::str_latin1_up_to(rest));
            bytes.extend_from_slice(&mem::encode_latin1_lossy(latin1));
            let mut characters = behind.chars();
            for unit in characters.by_ref().take(1).collect::<String>().encode_utf16() {
                bytes.extend_from_slice(format!("\\u{unit:04x}").as_bytes());
            }
            rest = characters.as_str();
        }
        Self::Latin1(bytes)
    }

    pub(super) fn to_js<'env>(&self, env: &'env Env) -> napi::Result<JsString<'env>> {
        match self {
            Self::Latin1(bytes) => env.create_string_latin1(bytes),
            Self::Utf16(units) => env.create_string_utf16(units),
        }
    }
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
