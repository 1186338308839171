//! Frames of a streamed answer → events.

use std::borrow::Cow;

use super::decode::input;
use super::wire::{Counters, finish};
use super::{answer, error};
use crate::base::Fault;
use crate::base::json::{Raw, Reader};
use crate::base::sse::Frame;
use crate::dialect::{StreamDecoder, broken};
use crate::ir::{Delta, Dialect, Event, PartStart, Text, unfold};

/// How many blocks may be open at once. The API opens one; the bound keeps a mad upstream's state small.
const OPEN_MAX: usize = 256;

/// Reads one stream. Tolerates unknown events, blocks and deltas, and blocks that nobody opened or closed.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    counters: Counters,
    open: Vec<Open>,
    /// How many parts have begun: the next part's index.
    parts: usize,
    called: bool,
    started: bool,
    ended: bool,
}

/// A block that has begun and not ended.
#[derive(Debug)]
struct Open {
    /// Its `index` on the wire.
    wire: u64,
    /// Its part's index.
    part: usize,
    kind: Kind,
    /// Of a tool call: the input at its start, told if no fragment of it follows.
    input: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Reasoning,
    Redacted,
    Call,
    Opaque,
}

/// The deltas that the neutral form models.
const KNOWN: [&str; 4] = ["text_delta", "thinking_delta", "signature_delta", "input_json_delta"];

type Sink<'s> = &'s mut dyn FnMut(Event<'_>);

impl StreamDecoder for Decoder {
    fn decode(&mut self, frame: &Frame, sink: Sink<'_>) -> Result<(), Fault> {
        let Some(data) = frame.data.as_deref() else { return Ok(()) };
        if self.ended || data == b"[DONE]" || data.is_empty() {
            return Ok(());
        }
        let mut event = Fields::default();
        let read = Reader::read(data, |r| {
            if !r.is_object() {
                return Err(r.expected("an object"));
            }
            r.members(|r, key| {
                let value = r.raw()?;
                match &*key {
                    "type" => event.kind = value.inner(),
                    "index" => event.index = value.u64(),
                    "message" => event.message = Some(value),
                    "content_block" => event.block = Some(value),
                    "delta" => event.delta = Some(value),
                    "usage" => event.usage = Some(value),
                    "error" => event.error = Some(value),
                    _ => {}
                }
                Ok(())
            })
        });
        read.map_err(|e| broken::stream("an event that is not a JSON object").cause(e))?;
        self.event(data, &event, event.kind.unwrap_or(std::str::from_utf8(&frame.name).unwrap_or_default()), sink)
    }
}

/// The error that an event is.
fn typed_error(data: &[u8]) -> Fault {
    Raw::parse(data).map_or_else(|error| broken::stream("an error that is not JSON").cause(error), error::decode_typed)
}

/// The members of an event.
#[derive(Default)]
struct Fields<'f> {
    kind: Option<&'f str>,
    index: Option<u64>,
    message: Option<Raw<'f>>,
    block: Option<Raw<'f>>,
    delta: Option<Raw<'f>>,
    usage: Option<Raw<'f>>,
    error: Option<Raw<'f>>,
}

impl Decoder {
    fn event(&mut self, data: &[u8], event: &Fields<'_>, kind: &str, sink: Sink<'_>) -> Result<(), Fault> {
        match kind {
            "content_block_delta" => {
                if let Some(delta) = event.delta {
                    self.delta(event.index.unwrap_or(0), delta, sink)?;
                }
            }
            "content_block_start" => {
                if let Some(block) = event.block {
                    self.start(event.index.unwrap_or(0), block, sink)?;
                }
            }
            "content_block_stop" => self.stop(event.index.unwrap_or(0), sink),
            "message_start" => {
                if let Some(message) = event.message {
                    self.message_start(message, sink);
                }
            }
            "message_delta" => {
                if let Some(usage) = event.usage {
                    self.usage(usage, sink);
                }
                if let Some(finish) = event.delta.and_then(|delta| finish(delta, self.called)) {
                    sink(Event::Finish(finish));
                }
            }
            "message_stop" => {
                while let Some(open) = self.open.first() {
                    let wire = open.wire;
                    self.stop(wire, sink);
                }
                self.ended = true;
                sink(Event::End);
            }
            // Vertex sends the whole answer as one event where the body did not ask for a stream.
            "message" if !self.started => {
                let answer = answer::decode(data)?;
                self.started = true;
                self.ended = true;
                unfold(&answer, sink);
            }
            "ping" => sink(Event::Ping),
            "error" => sink(Event::Fault(typed_error(data))),
            // An error without its type, as some proxies write it.
            _ if event.error.is_some_and(|e| !e.is_null()) => sink(Event::Fault(typed_error(data))),
            _ => {}
        }
        Ok(())
    }

    fn message_start(&mut self, message: Raw<'_>, sink: Sink<'_>) {
        let (mut id, mut model, mut usage) = (None, None, None);
        for (key, value) in message.members() {
            match &*key {
                "id" => id = Text::of(value),
                "model" => model = Text::of(value),
                "usage" => usage = Some(value),
                _ => {}
            }
        }
        if !std::mem::replace(&mut self.started, true) {
            sink(Event::Start { id, model, created: None });
        }
        if let Some(usage) = usage {
            self.usage(usage, sink);
        }
    }

    fn usage(&mut self, usage: Raw<'_>, sink: Sink<'_>) {
        if usage.is_object() {
            self.counters.read(usage);
            sink(Event::Usage(self.counters.usage()));
        }
    }

    fn start(&mut self, wire: u64, block: Raw<'_>, sink: Sink<'_>) -> Result<(), Fault> {
        self.stop(wire, sink);
        let kind = block.member("type").and_then(Raw::string).unwrap_or_default();
        let text = |name: &str| block.member(name).and_then(Text::of).unwrap_or(Text::EMPTY);
        match &*kind {
            "text" => {
                let part = self.begin(wire, Kind::Text, PartStart::Text, sink)?;
                say(part, Delta::Text(text("text")), sink);
            }
            "thinking" => {
                let part = self.begin(wire, Kind::Reasoning, PartStart::Reasoning, sink)?;
                say(part, Delta::Reasoning(text("thinking")), sink);
                say(part, Delta::Signature(text("signature")), sink);
            }
            "redacted_thinking" => {
                self.begin(wire, Kind::Redacted, PartStart::RedactedReasoning(text("data")), sink)?;
            }
            "tool_use" => {
                self.called = true;
                self.begin(wire, Kind::Call, PartStart::ToolCall { id: text("id"), name: text("name"), custom: false }, sink)?;
                let whole = block.member("input").map(input).map(|text| text.read().into_owned());
                if let Some(open) = self.open.last_mut() {
                    open.input = Some(whole.unwrap_or_else(|| "{}".to_owned()));
                }
            }
            // Its deltas will tell what it is.
            "" => {}
            _ => {
                let part = PartStart::Opaque { dialect: Dialect::Anthropic, kind, raw: Cow::Borrowed(block.get()) };
                self.begin(wire, Kind::Opaque, part, sink)?;
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
        self.open.push(Open { wire, part: index, kind, input: None });
        sink(Event::PartStart { index, part });
        Ok(index)
    }

    fn delta(&mut self, wire: u64, delta: Raw<'_>, sink: Sink<'_>) -> Result<(), Fault> {
        let (mut kind, mut text) = (Cow::Borrowed(""), None);
        for (key, value) in delta.members() {
            match &*key {
                "type" => kind = value.string().unwrap_or_default(),
                "text" | "thinking" | "signature" | "partial_json" => text = Text::of(value),
                _ => {}
            }
        }
        let place = match self.open.iter().position(|open| open.wire == wire) {
            Some(place) => place,
            // A block that was never opened: its kind shows in the delta.
            None => {
                match &*kind {
                    "text_delta" => self.begin(wire, Kind::Text, PartStart::Text, sink)?,
                    "thinking_delta" | "signature_delta" => self.begin(wire, Kind::Reasoning, PartStart::Reasoning, sink)?,
                    _ => return Ok(()),
                };
                self.open.len() - 1
            }
        };
        let open = &mut self.open[place];
        let part = open.part;
        match (&*kind, open.kind, text) {
            ("text_delta", Kind::Text, Some(text)) => say(part, Delta::Text(text), sink),
            ("thinking_delta", Kind::Reasoning, Some(text)) => say(part, Delta::Reasoning(text), sink),
            ("signature_delta", Kind::Reasoning, Some(text)) => say(part, Delta::Signature(text), sink),
            ("input_json_delta", Kind::Call, Some(text)) => {
                if !text.is_empty() {
                    open.input = None;
                }
                say(part, Delta::Arguments(text), sink);
            }
            // A delta in the wrong block says nothing.
            (word, kind, _) if word.is_empty() || (kind != Kind::Opaque && KNOWN.contains(&word)) => {}
            _ => {
                let delta = Delta::Opaque { dialect: Dialect::Anthropic, kind, raw: Cow::Borrowed(delta.get()) };
                sink(Event::PartDelta { index: part, delta });
            }
        }
        Ok(())
    }

    fn stop(&mut self, wire: u64, sink: Sink<'_>) {
        let Some(place) = self.open.iter().position(|open| open.wire == wire) else { return };
        let open = self.open.remove(place);
        if let Some(input) = open.input {
            say(open.part, Delta::Arguments(Text::plain(input)), sink);
        }
        sink(Event::PartEnd { index: open.part });
    }
}

/// Tells a delta, unless it adds nothing.
fn say(index: usize, delta: Delta<'_>, sink: Sink<'_>) {
    if !delta.text().is_empty() {
        sink(Event::PartDelta { index, delta });
    }
}
