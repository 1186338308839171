//! JSON by its spans: a strict, allocation-light walk over a body that finds the top-level members and changes nothing.
//!
//! Reading through the spans and writing through the bytes is what lets a request keep its unknown members, its key
//! order and the spelling of its numbers. The walk is a full validation by RFC 8259 (the vendors' parsers and ours
//! must judge the same text), but it builds no tree: strings, which are nearly all of a prompt, are skipped by blocks.

mod block;
mod cursor;
mod raw;
mod reader;
mod skip;
mod string;
mod walk;
mod write;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use bytes::{Bytes, BytesMut};

pub use cursor::{Cursor, Fields};
pub use raw::Raw;
pub use reader::Reader;
pub use string::{unescape, write_escaped, write_string};
pub use write::{Array, Object, array, object, try_array, try_object, write_on_one_line};

use walk::{Walk, Walked, at};

/// How deep arrays and objects may nest: serde_json's own bound, so that whatever passes here parses there.
pub const DEPTH_MAX: usize = 127;

/// How many top-level members a request may have: the vendors' own requests have at most a few dozen, and twins are
/// looked for pair by pair.
pub const MEMBERS_MAX: usize = 256;

/// Where and why a text is not JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonError {
    /// Byte offset of the first wrong byte.
    pub offset: usize,
    /// Line, from 1.
    pub line: usize,
    /// Column in bytes, from 1.
    pub column: usize,
    /// What was expected, or found.
    pub what: Cow<'static, str>,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at line {} column {} (byte {})", self.what, self.line, self.column, self.offset)
    }
}

/// One top-level member: where its key and its value stand in the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The key's characters, without the quotes.
    pub key: Range<usize>,
    /// The value, without surrounding white space.
    pub value: Range<usize>,
}

/// The top-level members of one JSON object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// The offset just behind the opening brace: where a new member may be inserted.
    pub open: usize,
    /// The offset just behind the closing brace.
    close: usize,
    members: Vec<Member>,
    /// Whether a name has escapes in it, so that its bytes are not its characters.
    escaped: bool,
}

impl Envelope {
    /// Validates the whole of `body` and notes its top-level members.
    ///
    /// # Errors
    /// Not UTF-8, not JSON, not an object, nested deeper than [`DEPTH_MAX`], or two members whose names differ in
    /// nothing or only in case: two readers of such a text may see two different requests.
    pub fn read(body: &[u8]) -> Result<Self, Box<JsonError>> {
        if let Err(error) = simdutf8::compat::from_utf8(body) {
            return Err(at(body, error.valid_up_to(), "the text is not UTF-8"));
        }
        let mut walk = Walk::over(body);
        let mut envelope = Self { open: 0, close: 0, members: Vec::with_capacity(16), escaped: false };
        walk.space();
        if walk.peek() != Some(b'{') {
            return Err(walk.expected("an object (`{`)"));
        }
        walk.at += 1;
        envelope.open = walk.at;
        walk.members(|walk, key| {
            let start = walk.at;
            walk.value(1)?;
            envelope.members.push(Member { key, value: start..walk.at });
            Ok(())
        })?;
        envelope.close = walk.at;
        walk.space();
        if walk.at != body.len() {
            return Err(walk.expected("the end of the text"));
        }
        if envelope.members.len() > MEMBERS_MAX {
            return Err(at(body, envelope.open, format!("more than {MEMBERS_MAX} members")));
        }
        envelope.escaped = envelope.members.iter().any(|member| body[member.key.clone()].contains(&b'\\'));
        envelope.refuse_twins(body)?;
        Ok(envelope)
    }

    /// The object itself; `None` where `body` is not the text that was read.
    pub fn root<'b>(&self, body: &'b [u8]) -> Option<Raw<'b>> {
        let object = body.get(self.open.checked_sub(1)?..self.close)?;
        simdutf8::basic::from_utf8(object).ok().map(Raw::walked)
    }

    /// The members in the order they stand.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The value of the member with exactly this name.
    pub fn get<'b>(&self, body: &'b [u8], name: &str) -> Option<&'b [u8]> {
        self.span(body, name).map(|span| &body[span])
    }

    /// The same, to be read further.
    pub fn member<'b>(&self, body: &'b [u8], name: &str) -> Option<Raw<'b>> {
        simdutf8::basic::from_utf8(self.get(body, name)?).ok().map(Raw::walked)
    }

    /// The span of the value of the member with exactly this name.
    pub fn span(&self, body: &[u8], name: &str) -> Option<Range<usize>> {
        let is = |raw: &[u8]| raw == name.as_bytes() || (self.escaped && characters(raw) == name);
        self.members.iter().find(|member| is(&body[member.key.clone()])).map(|member| member.value.clone())
    }

    /// A member whose name is one of `known` but for its case, with the right spelling.
    pub fn case_variant<'k>(&self, body: &[u8], known: &[&'k str]) -> Option<(Member, &'k str)> {
        let may_vary = |raw: &[u8]| raw.iter().any(|b| b.is_ascii_uppercase() || *b == b'\\');
        self.members.iter().filter(|member| may_vary(&body[member.key.clone()])).find_map(|member| {
            let key = characters(&body[member.key.clone()]);
            let right = known.iter().find(|k| k.eq_ignore_ascii_case(&key) && **k != key)?;
            Some((member.clone(), *right))
        })
    }

    fn refuse_twins(&self, body: &[u8]) -> Walked {
        let raw = |member: &Member| &body[member.key.clone()];
        for (i, member) in self.members.iter().enumerate() {
            let twin = self.members[..i].iter().any(|other| match self.escaped {
                false => raw(member).eq_ignore_ascii_case(raw(other)),
                true => characters(raw(member)).eq_ignore_ascii_case(&characters(raw(other))),
            });
            if twin {
                let name = characters(raw(member));
                let what = format!("the member `{name}` stands twice (names that differ only in case count as one)");
                return Err(at(body, member.key.start, what));
            }
        }
        Ok(())
    }
}

/// The characters of a key whose body has been validated.
fn characters(raw: &[u8]) -> Cow<'_, str> {
    unescape(std::str::from_utf8(raw).unwrap_or_default())
}

/// One replacement of a span of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    /// What is replaced; empty for an insertion.
    pub span: Range<usize>,
    /// What stands there instead.
    pub with: Bytes,
}

/// The body with its patches applied, in one new allocation; the body itself where there is nothing to do.
/// Patches must not overlap; they may come in any order.
pub fn splice(body: &Bytes, mut patches: Vec<Patch>) -> Bytes {
    if patches.is_empty() {
        return body.clone();
    }
    patches.sort_by_key(|p| p.span.start);
    let grown: usize = patches.iter().map(|p| p.with.len()).sum();
    let mut out = BytesMut::with_capacity(body.len() + grown);
    let mut from = 0;
    for patch in &patches {
        out.extend_from_slice(&body[from..patch.span.start]);
        out.extend_from_slice(&patch.with);
        from = patch.span.end;
    }
    out.extend_from_slice(&body[from..]);
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    #[test]
    fn judges_as_serde_json_does() {
        let validate = |body: &[u8]| Raw::parse(body).map(|_| ());
        let texts = [
            "{}",
            " { } ",
            r#"{"a":1}"#,
            r#"{"a":[1,2,{"b":null}],"c":"x\u00e9\n"}"#,
            r#"{"a":-0.5e+10}"#,
            "",
            "[",
            "{",
            "[1 2]",
            "{\"a\" 1}",
            "{\"a\":01}",
            "{\"a\":1.}",
            "{\"a\":.5}",
            "{\"a\":1e}",
            "{\"a\":\"\\x\"}",
            "{\"a\":\"\\u12g4\"}",
            "{\"a\":\"\n\"}",
            "{\"a\":tru}",
            "{\"a\":1,}",
            "{,}",
            "{} x",
            "[]",
            "nul",
            "-",
            "{\"a\":\"0123456789012345678901234567890123456789\u{1}\"}",
            "{\"long\":\"0123456789012345678901234567890123456789\\\"\"}",
        ];
        for text in texts {
            let ours = validate(text.as_bytes());
            let theirs = serde_json::from_str::<Box<RawValue>>(text);
            assert_eq!(ours.is_ok(), theirs.is_ok(), "{text:?}: {ours:?} {theirs:?}");
        }
        assert!(validate(&[b"[".repeat(127), b"]".repeat(127)].concat()).is_ok());
        assert!(validate(&[b"[".repeat(128), b"]".repeat(128)].concat()).is_err());
    }

    #[test]
    fn names_the_place() {
        let error = Envelope::read(b"{\n  \"a\": 1,\n  \"b\" 2}").unwrap_err();
        assert_eq!((error.line, error.column), (3, 7));
        assert_eq!(error.to_string(), "expected `:`, found `2` at line 3 column 7 (byte 18)");
        assert!(Envelope::read(b"[1]").unwrap_err().to_string().starts_with("expected an object"));
        assert!(Envelope::read(b"{\"a\":\"\xff\"}").unwrap_err().to_string().contains("UTF-8"));
    }

    #[test]
    fn refuses_twins_in_every_spelling() {
        for twin in [r#"{"model":1,"model":2}"#, r#"{"model":1,"Model":2}"#, r#"{"model":1,"mo\u0064el":2}"#] {
            assert!(Envelope::read(twin.as_bytes()).unwrap_err().to_string().contains("stands twice"), "{twin}");
        }
        let body = br#"{"Model":1}"#;
        let (member, right) = Envelope::read(body).unwrap().case_variant(body, &["model", "stream"]).unwrap();
        assert_eq!((&body[member.key], right), (&b"Model"[..], "model"));
    }

    #[test]
    fn finds_and_splices_members() {
        let body = Bytes::from_static(br#" {"a" : "x", "mo\u0064el":"m" }"#);
        let envelope = Envelope::read(&body).unwrap();
        assert_eq!(envelope.get(&body, "a"), Some(&b"\"x\""[..]));
        let patches = vec![
            Patch { span: envelope.span(&body, "model").unwrap(), with: Bytes::from_static(b"\"other\"") },
            Patch { span: envelope.open..envelope.open, with: Bytes::from_static(b"\"n\":1,") },
        ];
        assert_eq!(splice(&body, patches), &br#" {"n":1,"a" : "x", "mo\u0064el":"other" }"#[..]);
        assert_eq!(splice(&body, vec![]).as_ptr(), body.as_ptr());
    }

    proptest! {
        #[test]
        fn escaping_round_trips(text in "\\PC{0,40}|[\\x00-\\x7f]{0,40}") {
            let mut out = Vec::new();
            write_string(&text, &mut out);
            prop_assert!(Raw::parse(&out).is_ok());
            prop_assert_eq!(&*characters(&out[1..out.len() - 1]), &text);
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }

        /// Long strings take another way than short ones.
        #[test]
        fn long_strings_are_judged_and_skipped_as_serde_json_does(
            inner in prop::collection::vec(prop::sample::select(vec!["a", "bcdefghijklmno", "\\\\", "\\\"", "\\u00e9", "é", "\\x", "\u{1}", "\\u12"]), 0..60),
            rare in 0usize..4,
        ) {
            // Mostly sound texts, for else none would be.
            let pieces: Vec<&str> = inner.iter().copied().filter(|piece| rare == 0 || !["\\x", "\u{1}", "\\u12"].contains(piece)).collect();
            let text = format!("[\"{}\",{{\"k\":\"{}\"}}, 7]", pieces.concat(), pieces.concat());
            let ours = Raw::parse(text.as_bytes());
            prop_assert_eq!(ours.is_ok(), serde_json::from_str::<Box<RawValue>>(&text).is_ok());
            if let Ok(raw) = ours {
                let elements: Vec<Raw<'_>> = raw.elements().collect();
                prop_assert_eq!(elements.len(), 3);
                prop_assert_eq!(elements[0].inner().unwrap(), pieces.concat());
                prop_assert_eq!(elements[1].member("k").and_then(Raw::inner).unwrap(), pieces.concat());
                prop_assert_eq!(elements[2].u64(), Some(7));
            }
        }

        #[test]
        fn any_bytes_are_judged_as_serde_json_does(bytes in prop::collection::vec(prop::sample::select(&b"{}[]\",:\\u0019.eE+- tfnabc\xc3\xa9\n"[..]), 0..40)) {
            prop_assert_eq!(Raw::parse(&bytes).is_ok(), serde_json::from_slice::<Box<RawValue>>(&bytes).is_ok());
        }
    }
}
