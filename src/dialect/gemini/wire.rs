//! What requests, answers and streams share: places, spellings, signatures.

use std::borrow::Cow;
use std::fmt;

use crate::base::Fault;
use crate::base::json::Raw;
use crate::ir::{Dialect, Extension, Number, Text, proof};

/// Where in a body something stands (`contents[2].parts[0].text`). Built on the stack, spelled only where a fault names it.
#[derive(Clone, Copy)]
pub(super) struct At<'p> {
    parent: Option<&'p At<'p>>,
    step: Step<'p>,
}

#[derive(Clone, Copy)]
enum Step<'p> {
    Name(&'p str),
    Index(usize),
}

impl<'p> At<'p> {
    /// A top-level member.
    pub(super) fn root(name: &'p str) -> Self {
        Self { parent: None, step: Step::Name(name) }
    }

    /// A member of the object here.
    pub(super) fn name(&'p self, name: &'p str) -> Self {
        Self { parent: Some(self), step: Step::Name(name) }
    }

    /// An element of the array here.
    pub(super) fn index(&'p self, index: usize) -> Self {
        Self { parent: Some(self), step: Step::Index(index) }
    }

    /// A malformed request: what was expected here, and what was found.
    pub(super) fn wrong(&self, expected: &str, found: Raw<'_>) -> Fault {
        self.fault(format_args!("expected {expected}, found {}", found.kind_name()))
    }

    /// A malformed request: what is missing here.
    pub(super) fn missing(&self, expected: &str) -> Fault {
        self.fault(format_args!("expected {expected}, found nothing"))
    }

    /// A malformed request.
    pub(super) fn fault(&self, what: impl fmt::Display) -> Fault {
        let place = self.to_string();
        Fault::bad_request(format!("{place}: {what}.")).at(place)
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.parent, self.step) {
            (None, Step::Name(name)) => f.write_str(name),
            (Some(parent), Step::Name(name)) => write!(f, "{parent}.{name}"),
            (None, Step::Index(index)) => write!(f, "[{index}]"),
            (Some(parent), Step::Index(index)) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// A member's name as the API spells it: both spellings of a protobuf field are legal JSON.
pub(super) fn camel(name: Cow<'_, str>) -> Cow<'_, str> {
    if !name.contains('_') {
        return name;
    }
    let mut words = name.split('_');
    let mut spelled = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        spelled.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        spelled.push_str(letters.as_str());
    }
    Cow::Owned(spelled)
}

/// The members that are told, by the API's own spelling: `null` is absence.
pub(super) fn members<'a>(raw: Raw<'a>) -> impl Iterator<Item = (Cow<'a, str>, Raw<'a>)> {
    raw.members().filter(|(_, value)| !value.is_null()).map(|(name, value)| (camel(name), value))
}

/// A member by the API's own spelling or the other one.
pub(super) fn member<'a>(raw: Raw<'a>, name: &str) -> Option<Raw<'a>> {
    members(raw).filter(|(key, _)| key == name).last().map(|(_, value)| value)
}

/// Reads each element of an array, or the one value that stands in its place, as the API takes it.
pub(super) fn each<'a>(raw: Raw<'a>, at: &At<'_>, mut read: impl FnMut(Raw<'a>, &At<'_>) -> Result<(), Fault>) -> Result<(), Fault> {
    if !raw.is_array() {
        return read(raw, at);
    }
    raw.elements().enumerate().try_for_each(|(i, element)| read(element, &at.index(i)))
}

/// The value, where it is an object.
pub(super) fn object<'a>(value: Raw<'a>, at: &At<'_>) -> Result<Raw<'a>, Fault> {
    if value.is_object() { Ok(value) } else { Err(at.wrong("an object", value)) }
}

/// A string.
pub(super) fn text<'a>(value: Raw<'a>, at: &At<'_>) -> Result<Text<'a>, Fault> {
    Text::of(value).ok_or_else(|| at.wrong("a string", value))
}

/// A number as it is spelled.
pub(super) fn number<'a>(value: Raw<'a>, at: &At<'_>) -> Result<Number<'a>, Fault> {
    Number::of(value).ok_or_else(|| at.wrong("a number", value))
}

/// A whole number from 0.
pub(super) fn whole(value: Raw<'_>, at: &At<'_>) -> Result<u64, Fault> {
    value.u64().ok_or_else(|| match value.number() {
        Some(_) => at.fault("expected a whole number from 0, found another number"),
        None => at.wrong("a whole number", value),
    })
}

/// A boolean.
pub(super) fn boolean(value: Raw<'_>, at: &At<'_>) -> Result<bool, Fault> {
    value.bool().ok_or_else(|| at.wrong("a boolean", value))
}

/// What the neutral form has no place for.
pub(super) fn extension<'a>(name: impl Into<Cow<'a, str>>, value: Raw<'a>) -> Extension<'a> {
    Extension { dialect: Dialect::Gemini, name: name.into(), value }
}

/// A signature in the neutral form. Google's Python SDK spells all base64 by the URL alphabet, which the signatures of
/// Anthropic and Bedrock, travelling in this slot, do not survive.
pub(super) fn signature(wire: Text<'_>) -> Text<'_> {
    let neutral = proof::read(Dialect::Gemini, wire);
    let standard = proof::claim(Dialect::Anthropic, &neutral).is_some() || proof::claim(Dialect::Bedrock, &neutral).is_some();
    let respelled = |text: &Text<'_>| text.read().bytes().any(|b| b == b'-' || b == b'_');
    match standard && respelled(&neutral) {
        true => Text::plain(neutral.read().replace('-', "+").replace('_', "/")),
        false => neutral,
    }
}

/// A proof as it stands in this dialect's slot, for a caller to replay; `None` where that is no base64: Google's Python SDK
/// refuses the whole answer for it.
pub(super) fn shown<'t>(proof: &'t Text<'_>) -> Option<Text<'t>> {
    let wire = proof::write(Dialect::Gemini, proof);
    let sound = is_base64(&wire.read());
    sound.then_some(wire)
}

/// Whether a text is base64 of either alphabet, with padding or without, and with nothing in its last bits.
fn is_base64(text: &str) -> bool {
    let digits = text.trim_end_matches('=');
    let value = |b: u8| match b {
        b'A'..=b'Z' => Some(b - b'A'),
        b'a'..=b'z' => Some(b - b'a' + 26),
        b'0'..=b'9' => Some(b - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    };
    let mixed = digits.contains(['+', '/']) && digits.contains(['-', '_']);
    let last = digits.bytes().last().and_then(value).unwrap_or(0);
    let left_over = match digits.len() % 4 {
        0 => 0,
        2 => last & 0x0f,
        3 => last & 0x03,
        _ => 1,
    };
    !mixed && left_over == 0 && text.len() - digits.len() <= 2 && digits.bytes().all(|b| value(b).is_some())
}

/// The arguments of a call, where its `args` are given.
pub(super) fn arguments(args: Option<Raw<'_>>) -> Text<'_> {
    args.map_or(Text::Plain(Cow::Borrowed("{}")), |args| Text::plain(args.get()))
}
