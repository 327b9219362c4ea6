//! A whole JSON text as a tree, with everything that a hash over it can depend on: the text of each number, strings with
//! their lone surrogates, and of equal keys the last value.

use std::borrow::Cow;

use super::{Scanner, SyntaxError};

/// How deep a text may nest: as far as Python's `json` goes.
const DEEPEST: usize = 990;

/// So many values a text may have: a tree of them takes some 200 MB.
const MOST: usize = 4 << 20;

/// A JSON value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number as it is written; from Python also `NaN`, `Infinity` and `-Infinity`.
    Number(&'a str),
    /// A string, in WTF-8.
    String(Cow<'a, [u8]>),
    /// An array.
    Array(Vec<Node<'a>>),
    /// An object, its keys (WTF-8) in the order of their code points, each once.
    Object(Vec<Member<'a>>),
}

/// A key (WTF-8) and its value.
pub type Member<'a> = (Cow<'a, [u8]>, Node<'a>);

/// Whose JSON a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// What `JSON.parse` takes.
    JavaScript,
    /// What Python's `json.load` takes: also `NaN`, `Infinity` and `-Infinity`.
    Python,
}

impl<'a> Node<'a> {
    /// Reads a whole text.
    ///
    /// # Errors
    /// If it is not JSON, nests deeper than Python could read (990 levels), or has more than 4,194,304 values.
    pub fn parse(text: &'a [u8], dialect: Dialect) -> Result<Self, SyntaxError> {
        let mut scanner = Scanner::new(text);
        scanner.white_space();
        let node = scanner.node(dialect, 0)?;
        scanner.white_space();
        if scanner.at < text.len() {
            return Err(scanner.error("unexpected text after the value"));
        }
        Ok(node)
    }

    /// The members, if it is an object.
    #[must_use]
    pub fn members(&self) -> Option<&[Member<'a>]> {
        if let Self::Object(members) = self { Some(members) } else { None }
    }

    /// The value at a key, if it is an object that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        let members = self.members()?;
        let at = members.binary_search_by(|(own, _)| own.as_ref().cmp(key.as_bytes())).ok()?;
        Some(&members[at].1)
    }

    /// Gives a key a value, be it there or not, if it is an object.
    pub fn set(&mut self, key: &'a str, value: Self) {
        if let Self::Object(members) = self {
            match members.binary_search_by(|(own, _)| own.as_ref().cmp(key.as_bytes())) {
                Ok(at) => members[at].1 = value,
                Err(at) => members.insert(at, (Cow::Borrowed(key.as_bytes()), value)),
            }
        }
    }

    /// Removes a key, if it is an object that has it.
    pub fn remove(&mut self, key: &str) {
        if let Self::Object(members) = self {
            members.retain(|(own, _)| own.as_ref() != key.as_bytes());
        }
    }

    /// The value at a key, to be changed.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Self> {
        let Self::Object(members) = self else { return None };
        let at = members.binary_search_by(|(own, _)| own.as_ref().cmp(key.as_bytes())).ok()?;
        Some(&mut members[at].1)
    }

    /// The string, if it is one and has no lone surrogate.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { std::str::from_utf8(text).ok() } else { None }
    }
}

impl<'a> Scanner<'a> {
    fn node(&mut self, dialect: Dialect, depth: usize) -> Result<Node<'a>, SyntaxError> {
        if depth > DEEPEST {
            return Err(self.error("nested too deep"));
        }
        self.values += 1;
        if self.values > MOST {
            return Err(self.error("more than 4,194,304 values"));
        }
        let start = self.at;
        match self.peek() {
            Some(b'"') => Ok(Node::String(self.string()?.decoded())),
            Some(b't') => self.literal(b"true").map(|()| Node::Bool(true)),
            Some(b'f') => self.literal(b"false").map(|()| Node::Bool(false)),
            Some(b'n') => self.literal(b"null").map(|()| Node::Null),
            Some(b'N') if dialect == Dialect::Python => self.literal(b"NaN").map(|()| Node::Number("NaN")),
            Some(b'I') if dialect == Dialect::Python => self.literal(b"Infinity").map(|()| Node::Number("Infinity")),
            Some(b'-') if dialect == Dialect::Python && self.bytes[start..].starts_with(b"-I") => {
                self.literal(b"-Infinity").map(|()| Node::Number("-Infinity"))
            }
            Some(b'-' | b'0'..=b'9') => {
                self.number()?;
                Ok(Node::Number(std::str::from_utf8(&self.bytes[start..self.at]).unwrap_or("0")))
            }
            Some(b'[') => self.array(dialect, depth),
            Some(b'{') => self.object(dialect, depth),
            _ => Err(self.error("expected a value")),
        }
    }

    fn array(&mut self, dialect: Dialect, depth: usize) -> Result<Node<'a>, SyntaxError> {
        self.at += 1;
        self.white_space();
        let mut items = Vec::new();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Node::Array(items));
        }
        loop {
            self.white_space();
            items.push(self.node(dialect, depth + 1)?);
            self.white_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Node::Array(items));
                }
                _ => return Err(self.error("expected ',' or ']'")),
            }
        }
    }

    fn object(&mut self, dialect: Dialect, depth: usize) -> Result<Node<'a>, SyntaxError> {
        self.at += 1;
        self.white_space();
        let mut members = Vec::new();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Node::Object(members));
        }
        loop {
            self.white_space();
            let key = self.key()?.decoded();
            self.white_space();
            members.push((key, self.node(dialect, depth + 1)?));
            self.white_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    break;
                }
                _ => return Err(self.error("expected ',' or '}'")),
            }
        }
        // WTF-8 sorts by code point. Turned round first, so that of equal keys the last comes first and stays.
        members.reverse();
        members.sort_by(|left, right| left.0.cmp(&right.0));
        members.dedup_by(|later, kept| later.0 == kept.0);
        Ok(Node::Object(members))
    }
}
