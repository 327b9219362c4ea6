//! Each recipe hashes what a plain reading of its description hashes, on a tree made by `serde_json`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use vvault_native::formats::fingerprint::Recipe;

use super::reference::{Json, sha256};

pub fn check(data: &[u8]) {
    let hashes = Recipe::ALL.map(|recipe| recipe.fingerprint(data));
    let Ok(text) = std::str::from_utf8(data) else {
        assert_eq!([&hashes[0], &hashes[1]], [&None, &None], "Python reads no other encoding");
        return;
    };
    for (recipe, hash) in Recipe::ALL.into_iter().zip(hashes) {
        let Some(capsule) = Json::read(text) else { return };
        if recipe == Recipe::ChattyValidator
            && capsule.members().is_some_and(|members| members.contains_key("__proto__"))
        {
            // A key that JavaScript looks up in the prototype: the recorded tests have it.
            continue;
        }
        let expected = if capsule.members().is_some() { hashed(recipe, capsule) } else { None };
        assert_eq!(hash, expected.as_ref().map(|text| sha256(text.as_bytes())), "{}: {expected:?}", recipe.name());
    }
}

fn hashed(recipe: Recipe, mut capsule: Json) -> Option<String> {
    let members = capsule.members_mut()?;
    let mut metadata = members.get_mut("metadata").and_then(Json::members_mut);
    if recipe == Recipe::VvaultCore {
        *metadata?.get_mut("fingerprint_hash")? = Json::String(String::new());
        return python(&capsule);
    }
    if let Some(metadata) = &mut metadata {
        metadata.remove("fingerprint_hash");
        if recipe == Recipe::SimForge {
            metadata.remove("timestamp");
        }
    }
    match recipe {
        Recipe::CapsuleForge => python(&capsule),
        Recipe::ChattyValidator => {
            let allowed = sorted_by_units(members).into_iter().map(|(key, _)| key.clone()).collect::<Vec<_>>();
            Some(allow_listed(&capsule, &allowed, "\n"))
        }
        _ => {
            members.remove("last_active");
            let additional = members.get_mut("additional_data").and_then(Json::members_mut);
            if let Some(sigil) = additional.and_then(|data| data.get_mut("sigil")?.members_mut()) {
                sigil.remove("forged_timestamp");
            }
            Some(compact(&capsule))
        }
    }
}

fn sorted_by_units(members: &BTreeMap<String, Json>) -> Vec<(&String, &Json)> {
    let mut members: Vec<_> = members.iter().collect();
    members.sort_by_key(|(key, _)| key.encode_utf16().collect::<Vec<_>>());
    members
}

fn python(node: &Json) -> Option<String> {
    Some(match node {
        Json::Null => "null".to_owned(),
        Json::Bool(value) => value.to_string(),
        Json::Number(text) => python_number(text)?,
        Json::String(text) => ascii(text),
        Json::Array(items) => format!("[{}]", items.iter().map(python).collect::<Option<Vec<_>>>()?.join(", ")),
        Json::Object(members) => {
            let members = members.iter().map(|(key, value)| Some(format!("{}: {}", ascii(key), python(value)?)));
            format!("{{{}}}", members.collect::<Option<Vec<_>>>()?.join(", "))
        }
    })
}

fn ascii(text: &str) -> String {
    let quoted = serde_json::to_string(text).expect("JSON");
    quoted.encode_utf16().fold(String::new(), |mut out, unit| {
        match u8::try_from(unit) {
            Ok(plain @ 0x20..=0x7e) => out.push(plain.into()),
            _ => write!(out, "\\u{unit:04x}").expect("written"),
        }
        out
    })
}

fn python_number(text: &str) -> Option<String> {
    if text.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit()) {
        let is_too_long = text.trim_start_matches('-').len() > 4300;
        return (!is_too_long).then(|| if text == "-0" { "0".to_owned() } else { text.to_owned() });
    }
    let value: f64 = text.parse().expect("a number");
    if value.is_infinite() {
        return Some(if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned());
    }
    let sign = if value.is_sign_negative() { "-" } else { "" };
    let Some((digits, point)) = shortest(value) else { return Some(format!("{sign}0.0")) };
    let plain = if (-3..=16).contains(&point) { decimal(&digits, point, true) } else { exponential(&digits, point, 2) };
    Some(sign.to_owned() + &plain)
}

fn javascript_number(text: &str) -> String {
    let value: f64 = text.parse().expect("a number");
    if value.is_infinite() {
        return "null".to_owned();
    }
    let Some((digits, point)) = shortest(value) else { return "0".to_owned() };
    let sign = if value < 0.0 { "-" } else { "" };
    let plain =
        if (-5..=21).contains(&point) { decimal(&digits, point, false) } else { exponential(&digits, point, 1) };
    sign.to_owned() + &plain
}

/// The fewest digits that mean just this value, and where the point stands before or behind the first; `None` for 0.
fn shortest(value: f64) -> Option<(String, i32)> {
    let text = serde_json::to_string(&value.abs()).expect("a number");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let zeros = digits.len() - digits.trim_start_matches('0').len();
    let point = whole.len().cast_signed() - zeros.cast_signed();
    let digits = digits.trim_matches('0').to_owned();
    let point = i32::try_from(point).expect("small") + exponent.parse::<i32>().expect("an exponent");
    (!digits.is_empty()).then_some((digits, point))
}

fn decimal(digits: &str, point: i32, with_fraction: bool) -> String {
    let length = i32::try_from(digits.len()).expect("few digits");
    if point <= 0 {
        format!("0.{}{digits}", "0".repeat(point.unsigned_abs() as usize))
    } else if point < length {
        let (whole, fraction) = digits.split_at(point.unsigned_abs() as usize);
        format!("{whole}.{fraction}")
    } else {
        let zeros = "0".repeat((point - length).unsigned_abs() as usize);
        format!("{digits}{zeros}{}", if with_fraction { ".0" } else { "" })
    }
}

fn exponential(digits: &str, point: i32, least: usize) -> String {
    let (first, rest) = digits.split_at(1);
    let (exponent, sign) = ((point - 1).abs(), if point > 0 { '+' } else { '-' });
    let rest = if rest.is_empty() { String::new() } else { format!(".{rest}") };
    format!("{first}{rest}e{sign}{exponent:0least$}")
}

fn javascript(node: &Json) -> String {
    match node {
        Json::Bool(value) => value.to_string(),
        Json::Number(text) => javascript_number(text),
        Json::String(text) => serde_json::to_string(text).expect("JSON"),
        _ => "null".to_owned(),
    }
}

fn compact(node: &Json) -> String {
    match node {
        Json::Array(items) => format!("[{}]", items.iter().map(compact).collect::<Vec<_>>().join(",")),
        Json::Object(members) => {
            let members = sorted_by_units(members);
            let members = members
                .into_iter()
                .map(|(key, value)| format!("{}:{}", serde_json::to_string(key).expect("JSON"), compact(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        plain => javascript(plain),
    }
}

/// `line` is a line break with the indentation of the node itself.
fn allow_listed(node: &Json, allowed: &[String], line: &str) -> String {
    let deeper = format!("{line}  ");
    let (brackets, parts): (_, Vec<String>) = match node {
        Json::Array(items) => ("[]", items.iter().map(|item| allow_listed(item, allowed, &deeper)).collect()),
        Json::Object(members) => {
            let members = allowed.iter().filter_map(|key| Some((key, members.get(key)?)));
            let members = members.map(|(key, value)| {
                format!("{}: {}", serde_json::to_string(key).expect("JSON"), allow_listed(value, allowed, &deeper))
            });
            ("{}", members.collect())
        }
        plain => return javascript(plain),
    };
    let (open, close) = brackets.split_at(1);
    if parts.is_empty() {
        return brackets.to_owned();
    }
    format!("{open}{deeper}{}{line}{close}", parts.join(&format!(",{deeper}")))
}
