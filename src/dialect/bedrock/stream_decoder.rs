//! Messages of a streamed answer → events.

use std::borrow::Cow;

use super::content::is_served;
use super::error;
use super::wire::{finish, reasoning_tokens, tier, usage};
use crate::base::json::{JsonError, Raw, Reader};
use crate::base::sse::Frame;
use crate::base::{Fault, eventstream};
use crate::dialect::{StreamDecoder, broken};
use crate::ir::{Delta, Dialect, Event, PartStart, Text, Usage, proof};

/// How many blocks may be open at once. The API opens one; the bound keeps a mad upstream's state small.
const OPEN_MAX: usize = 256;

/// Reads one stream. Tolerates unknown events, blocks and deltas, and blocks that nobody opened or closed: text and
/// thinking begin with their first delta.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    open: Vec<Open>,
    /// How many parts have begun: the next part's index.
    parts: usize,
    called: bool,
    started: bool,
    /// Whether why it ended has been told, and what it cost: the stream is whole after both.
    finished: bool,
    counted: bool,
}

/// A block that has begun and not ended.
#[derive(Debug)]
struct Open {
    /// Its `contentBlockIndex`.
    wire: u64,
    /// Its part's index.
    part: usize,
    kind: Kind,
    /// Whether any arguments of a call were told, or any of a signature.
    spoken: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Reasoning,
    Redacted,
    Call,
    Opaque,
}

type Sink<'s> = &'s mut dyn FnMut(Event<'_>);

impl StreamDecoder for Decoder {
    fn decode(&mut self, frame: &Frame, sink: Sink<'_>) -> Result<(), Fault> {
        let name = std::str::from_utf8(&frame.name).unwrap_or_default();
        let data = frame.data.as_deref().unwrap_or_default();
        if name == eventstream::ERROR || name.ends_with(eventstream::EXCEPTION) {
            sink(Event::Fault(error::decode_frame(name, data)));
            return Ok(());
        }
        if self.finished && self.counted {
            return Ok(());
        }
        match name {
            "contentBlockDelta" => self.delta(&Fields::read(data, "delta")?, sink),
            "contentBlockStart" => self.start(&Fields::read(data, "start")?, sink),
            "contentBlockStop" => {
                let fields = Fields::read(data, "")?;
                self.stop(fields.index, sink);
                Ok(())
            }
            "messageStart" => {
                if !std::mem::replace(&mut self.started, true) {
                    sink(Event::Start { id: None, model: None, created: None });
                }
                Ok(())
            }
            "messageStop" => self.message_stop(data, sink),
            "metadata" => self.metadata(data, sink),
            _ => Ok(()),
        }
    }
}

/// What a message about a block says: which block, and the one member of what is told of it.
struct Fields<'f> {
    index: u64,
    holder: Option<Raw<'f>>,
    kind: Cow<'f, str>,
    inner: Option<Raw<'f>>,
}

impl<'f> Fields<'f> {
    fn read(data: &'f [u8], holder: &str) -> Result<Self, Fault> {
        let mut fields = Self { index: 0, holder: None, kind: Cow::Borrowed(""), inner: None };
        read(data, |key, value| match key {
            "contentBlockIndex" => fields.index = value.u64().unwrap_or(0),
            _ if key == holder => {
                fields.holder = Some(value);
                if let Some((kind, inner)) = value.members().find(|(_, inner)| !inner.is_null()) {
                    (fields.kind, fields.inner) = (kind, Some(inner));
                }
            }
            _ => {}
        })?;
        Ok(fields)
    }
}

/// Reads the members of a payload.
fn read<'f>(data: &'f [u8], mut each: impl FnMut(&str, Raw<'f>)) -> Result<(), Fault> {
    let read = Reader::read(data, |r| -> Result<(), Box<JsonError>> {
        if !r.is_object() {
            return Err(r.expected("an object"));
        }
        r.members(|r, key| {
            each(&key, r.raw()?);
            Ok(())
        })
    });
    read.map_err(|e| broken::stream("an event that is not a JSON object").cause(e))
}

impl Decoder {
    fn start(&mut self, fields: &Fields<'_>, sink: Sink<'_>) -> Result<(), Fault> {
        self.stop(fields.index, sink);
        let (Some(holder), Some(inner)) = (fields.holder, fields.inner) else { return Ok(()) };
        let text = |name: &str| inner.member(name).and_then(Text::of).unwrap_or(Text::EMPTY);
        match &*fields.kind {
            "toolUse" if !is_served(inner) => {
                self.called = true;
                let part = PartStart::ToolCall { id: text("toolUseId"), name: text("name"), custom: false };
                self.begin(fields.index, Kind::Call, part, sink)?;
            }
            // Their deltas will tell.
            "text" | "reasoningContent" => {}
            kind => {
                let part = PartStart::Opaque { dialect: Dialect::Bedrock, kind: Cow::Borrowed(kind), raw: Cow::Borrowed(holder.get()) };
                self.begin(fields.index, Kind::Opaque, part, sink)?;
            }
        }
        Ok(())
    }

    fn begin(&mut self, wire: u64, kind: Kind, part: PartStart<'_>, sink: Sink<'_>) -> Result<usize, Fault> {
        if self.open.len() >= OPEN_MAX {
            return Err(broken::stream("more open content blocks than an answer can have"));
        }
        let index = self.parts;
        self.parts += 1;
        self.open.push(Open { wire, part: index, kind, spoken: false });
        sink(Event::PartStart { index, part });
        Ok(self.open.len() - 1)
    }

    /// The block's part, which begins here where it has not, or where the block was of another kind.
    fn part(&mut self, wire: u64, kind: Kind, part: PartStart<'static>, sink: Sink<'_>) -> Result<&mut Open, Fault> {
        let place = match self.open.iter().position(|open| open.wire == wire) {
            Some(place) if self.open[place].kind == kind => place,
            _ => {
                self.stop(wire, sink);
                self.begin(wire, kind, part, sink)?
            }
        };
        Ok(&mut self.open[place])
    }

    fn delta(&mut self, fields: &Fields<'_>, sink: Sink<'_>) -> Result<(), Fault> {
        let (wire, Some(inner)) = (fields.index, fields.inner) else { return Ok(()) };
        match &*fields.kind {
            "text" => {
                let Some(text) = Text::of(inner).filter(|text| !text.is_empty()) else { return Ok(()) };
                let index = self.part(wire, Kind::Text, PartStart::Text, sink)?.part;
                sink(Event::PartDelta { index, delta: Delta::Text(text) });
            }
            "toolUse" => {
                let text = inner.member("input").and_then(Text::of).unwrap_or(Text::EMPTY);
                let Some(open) = self.open.iter_mut().find(|open| open.wire == wire) else { return Ok(()) };
                match open.kind {
                    Kind::Call if !text.is_empty() => {
                        open.spoken = true;
                        sink(Event::PartDelta { index: open.part, delta: Delta::Arguments(text) });
                    }
                    Kind::Opaque => sink(opaque(open.part, fields)),
                    _ => {}
                }
            }
            "reasoningContent" => self.reasoning(wire, inner, sink)?,
            "citation" => {
                let index = self.part(wire, Kind::Text, PartStart::Text, sink)?.part;
                sink(opaque(index, fields));
            }
            _ => {
                if let Some(open) = self.open.iter().find(|open| open.wire == wire && open.kind == Kind::Opaque) {
                    sink(opaque(open.part, fields));
                }
            }
        }
        Ok(())
    }

    fn reasoning(&mut self, wire: u64, inner: Raw<'_>, sink: Sink<'_>) -> Result<(), Fault> {
        for (key, value) in inner.members() {
            let Some(text) = Text::of(value).filter(|text| !text.is_empty()) else { continue };
            match &*key {
                "text" => {
                    let index = self.part(wire, Kind::Reasoning, PartStart::Reasoning, sink)?.part;
                    sink(Event::PartDelta { index, delta: Delta::Reasoning(text) });
                }
                "signature" => {
                    let open = self.part(wire, Kind::Reasoning, PartStart::Reasoning, sink)?;
                    // Whose it is shows at its beginning.
                    let first = !std::mem::replace(&mut open.spoken, true);
                    let index = open.part;
                    let text = if first { proof::read(Dialect::Bedrock, text) } else { text };
                    sink(Event::PartDelta { index, delta: Delta::Signature(text) });
                }
                "redactedContent" => {
                    self.stop(wire, sink);
                    let part = PartStart::RedactedReasoning(proof::read(Dialect::Bedrock, text));
                    self.begin(wire, Kind::Redacted, part, sink)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn stop(&mut self, wire: u64, sink: Sink<'_>) {
        let Some(place) = self.open.iter().position(|open| open.wire == wire) else { return };
        let open = self.open.remove(place);
        if open.kind == Kind::Call && !open.spoken {
            sink(Event::PartDelta { index: open.part, delta: Delta::Arguments(Text::plain("{}")) });
        }
        sink(Event::PartEnd { index: open.part });
    }

    fn message_stop(&mut self, data: &[u8], sink: Sink<'_>) -> Result<(), Fault> {
        let (mut reason, mut fields) = (None, None);
        read(data, |key, value| match key {
            "stopReason" => reason = Text::of(value),
            "additionalModelResponseFields" => fields = Some(value),
            _ => {}
        })?;
        while let Some(open) = self.open.first() {
            let wire = open.wire;
            self.stop(wire, sink);
        }
        sink(Event::Finish(finish(reason.unwrap_or(Text::EMPTY), fields, self.called)));
        if let Some(tokens) = fields.and_then(reasoning_tokens) {
            sink(Event::Usage(Usage { reasoning_tokens: Some(tokens), ..Default::default() }));
        }
        self.finished = true;
        self.end(sink);
        Ok(())
    }

    fn metadata(&mut self, data: &[u8], sink: Sink<'_>) -> Result<(), Fault> {
        let mut told = Usage::default();
        read(data, |key, value| match key {
            "usage" if value.is_object() => told.merge(&usage(value)),
            "serviceTier" => told.service_tier = tier(value),
            _ => {}
        })?;
        if told != Usage::default() {
            sink(Event::Usage(told));
        }
        self.counted = true;
        self.end(sink);
        Ok(())
    }

    fn end(&mut self, sink: Sink<'_>) {
        if self.finished && self.counted {
            sink(Event::End);
        }
    }
}

fn opaque<'f>(index: usize, fields: &'f Fields<'_>) -> Event<'f> {
    let raw = fields.holder.map_or("{}", Raw::get);
    let delta = Delta::Opaque { dialect: Dialect::Bedrock, kind: Cow::Borrowed(&fields.kind), raw: Cow::Borrowed(raw) };
    Event::PartDelta { index, delta }
}
