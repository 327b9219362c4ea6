//! Strings on their way to JavaScript.

use encoding_rs::mem;
use napi::JsString;
use napi::bindgen_prelude::Env;

/// A text as V8 keeps it, so that handing it over is a copy: V8 decodes UTF-8 as slowly as it parses JSON.
pub(super) enum Text {
    Latin1(Vec<u8>),
    Utf16(Vec<u16>),
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

impl Text {
    pub(super) fn to_js<'env>(&self, env: &'env Env) -> napi::Result<JsString<'env>> {
        match self {
            Self::Latin1(bytes) => env.create_string_latin1(bytes),
            Self::Utf16(units) => env.create_string_utf16(units),
        }
    }
}
