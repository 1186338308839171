//! Frames of a streamed answer → events.
//!
//! Each frame is an answer of its own: more parts, the counters so far, in the end a reason. The grammar has no mark for
//! the end but the bracket of a JSON array.

use std::borrow::Cow;

use super::answer::{OF_CANDIDATE, call_id, seconds};
use super::partial::Partial;
use super::parts::{Call, Fields};
use super::wire::{At, arguments};
use super::{error, finish, usage};
use crate::base::Fault;
use crate::base::json::{Raw, Reader};
use crate::base::sse::Frame;
use crate::dialect::{StreamDecoder, broken};
use crate::ir::{Delta, Dialect, Event, PartStart, Text, Usage};

type Sink<'s> = &'s mut dyn FnMut(Event<'_>);

/// Reads one stream.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    started: bool,
    /// The answer's id, for calls that come without one.
    id: Option<Text<'static>>,
    /// How many parts have begun: the next part's index.
    parts: usize,
    calls: usize,
    open: Option<Open>,
    /// A signed text without words has come: it is a part only if something else follows, else its signature stands for it.
    empty: bool,
    finished: bool,
    ended: bool,
}

/// The part that may go on.
#[derive(Debug)]
enum Open {
    Text(usize),
    Thought(usize),
    Call(usize, Partial),
}

/// The members of a frame.
#[derive(Default)]
struct Chunk<'f> {
    candidates: Option<Raw<'f>>,
    feedback: Option<Raw<'f>>,
    usage: Option<Raw<'f>>,
    id: Option<Text<'f>>,
    model: Option<Text<'f>>,
    created: Option<u64>,
    failed: bool,
}

impl StreamDecoder for Decoder {
    fn decode(&mut self, frame: &Frame, sink: Sink<'_>) -> Result<(), Fault> {
        if self.ended {
            return Ok(());
        }
        let Some(data) = frame.data.as_deref() else {
            if self.finished && frame.raw.trim_ascii() == b"]" {
                self.ended = true;
                sink(Event::End);
            }
            return Ok(());
        };
        // Some proxies add OpenAI's mark.
        if data.is_empty() || data == b"[DONE]" {
            return Ok(());
        }
        let chunk = Chunk::read(data)?;
        if chunk.failed {
            let fault = Raw::parse(data).map_or_else(|e| broken::stream("an error that is not JSON").cause(e), error::decode_typed);
            sink(Event::Fault(fault));
            return Ok(());
        }
        self.chunk(chunk, sink)
    }
}

impl<'f> Chunk<'f> {
    fn read(data: &'f [u8]) -> Result<Self, Fault> {
        let mut chunk = Self::default();
        Reader::read(data, |r| {
            // The array that a failed request for a stream is answered with.
            if !r.is_object() {
                chunk.failed = error::is_error(r.raw()?);
                return if chunk.failed { Ok(()) } else { Err(r.expected("an object")) };
            }
            r.members(|r, name| {
                let value = r.raw()?;
                if value.is_null() {
                    return Ok(());
                }
                match &*name {
                    "candidates" => chunk.candidates = Some(value),
                    "promptFeedback" => chunk.feedback = Some(value),
                    "usageMetadata" => chunk.usage = Some(value),
                    "responseId" => chunk.id = Text::of(value),
                    "modelVersion" => chunk.model = Text::of(value),
                    "createTime" => chunk.created = value.string().and_then(|stamp| seconds(&stamp)),
                    "error" => chunk.failed = true,
                    _ => {}
                }
                Ok(())
            })
        })
        .map_err(|e| broken::stream("an event that is not a JSON object").cause(e))?;
        Ok(chunk)
    }
}

impl Decoder {
    fn chunk(&mut self, chunk: Chunk<'_>, sink: Sink<'_>) -> Result<(), Fault> {
        if !std::mem::replace(&mut self.started, true) {
            self.id = chunk.id.clone().map(Text::into_owned);
            sink(Event::Start { id: chunk.id, model: chunk.model, created: chunk.created });
        }
        let first = |candidate: &Raw<'_>| candidate.member("index").and_then(Raw::u64).unwrap_or(0) == 0;
        let candidate = chunk.candidates.and_then(|candidates| candidates.elements().find(first));
        let end = match candidate {
            Some(candidate) => self.candidate(candidate, sink)?,
            None => chunk.feedback.and_then(finish::blocked),
        };
        if let Some(usage) = chunk.usage.and_then(usage::read) {
            sink(Event::Usage(usage));
        }
        if let Some(end) = end {
            self.finished = true;
            sink(Event::Finish(end));
        }
        Ok(())
    }

    fn candidate<'f>(&mut self, raw: Raw<'f>, sink: Sink<'_>) -> Result<Option<crate::ir::Finish<'f>>, Fault> {
        let (mut parts, mut word, mut message) = (None, None, None);
        let mut beside = Vec::new();
        for (name, value) in raw.members().filter(|(_, v)| !v.is_null()) {
            match &*name {
                "content" => parts = value.member("parts"),
                "finishReason" => word = finish::word_of(value),
                "finishMessage" => message = Text::of(value),
                of_own if OF_CANDIDATE.contains(&of_own) => beside.push((name, value)),
                _ => {}
            }
        }
        let at = At::root("candidates[0].content.parts");
        for (i, raw) in parts.into_iter().flat_map(Raw::elements).enumerate() {
            self.part(raw, &at.index(i), sink).map_err(|fault| broken::part(&fault))?;
        }
        for (kind, value) in beside {
            if kind == "groundingMetadata"
                && let web_searches @ Some(_) = usage::searches(value)
            {
                sink(Event::Usage(Usage { web_searches, ..Usage::default() }));
            }
            self.close(sink);
            self.opaque(kind, value, sink);
        }
        let Some(word) = word else { return Ok(None) };
        self.close(sink);
        self.empty = false;
        Ok(Some(finish::read(word, message, self.calls > 0)))
    }

    fn part(&mut self, raw: Raw<'_>, at: &At<'_>, sink: Sink<'_>) -> Result<(), Fault> {
        let fields = Fields::read(raw, at)?;
        match fields.held {
            Some((kind, value)) if kind == "functionCall" => {
                let call = Call::read(value, &at.name(&kind))?;
                self.call(call, fields.signature, raw, sink)?;
            }
            Some((kind, _)) => {
                self.close(sink);
                self.tell_empty(sink);
                self.opaque(kind, raw, sink);
            }
            None if fields.thought => self.thought(fields, sink),
            None => self.words(fields, sink),
        }
        Ok(())
    }

    fn words(&mut self, fields: Fields<'_>, sink: Sink<'_>) {
        let words = fields.text.filter(|text| !text.is_empty());
        if let Some(signature) = fields.signature {
            self.close(sink);
            self.tell_empty(sink);
            self.sign(signature, sink);
            self.empty = words.is_none();
        }
        let Some(words) = words else { return };
        self.empty = false;
        let index = match self.open {
            Some(Open::Text(index)) => index,
            _ => {
                self.close(sink);
                let index = self.begin(PartStart::Text, sink);
                self.open = Some(Open::Text(index));
                index
            }
        };
        sink(Event::PartDelta { index, delta: Delta::Text(words) });
    }

    fn thought(&mut self, fields: Fields<'_>, sink: Sink<'_>) {
        let Some(words) = fields.text else {
            if let Some(proof) = fields.signature {
                self.close(sink);
                self.tell_empty(sink);
                let index = self.begin(PartStart::RedactedReasoning(proof), sink);
                sink(Event::PartEnd { index });
            }
            return;
        };
        if words.is_empty() && fields.signature.is_none() {
            return;
        }
        let index = match self.open {
            Some(Open::Thought(index)) => index,
            _ => {
                self.close(sink);
                self.tell_empty(sink);
                let index = self.begin(PartStart::Reasoning, sink);
                self.open = Some(Open::Thought(index));
                index
            }
        };
        if !words.is_empty() {
            sink(Event::PartDelta { index, delta: Delta::Reasoning(words) });
        }
        if let Some(signature) = fields.signature {
            sink(Event::PartDelta { index, delta: Delta::Signature(signature) });
            self.close(sink);
        }
    }

    /// A call mostly comes whole. One that is streamed begins with its name and ends with a piece that does not continue.
    fn call(&mut self, call: Call<'_>, signature: Option<Text<'_>>, raw: Raw<'_>, sink: Sink<'_>) -> Result<(), Fault> {
        // A piece of a call that goes on has none.
        if let Some(name) = call.name.filter(|name| !name.is_empty()) {
            self.close(sink);
            self.tell_empty(sink);
            if let Some(signature) = signature {
                self.sign(signature, sink);
            }
            let id = call.id.unwrap_or_else(|| Text::plain(call_id(self.id.as_ref(), self.calls, raw.get())));
            self.calls += 1;
            let index = self.begin(PartStart::ToolCall { id, name, custom: false }, sink);
            if call.partial.is_none() && !call.continues {
                sink(Event::PartDelta { index, delta: Delta::Arguments(arguments(call.args)) });
                sink(Event::PartEnd { index });
                return Ok(());
            }
            self.open = Some(Open::Call(index, Partial::default()));
        }
        if let (Some(pieces), Some(Open::Call(_, partial))) = (call.partial, &mut self.open) {
            partial.add(pieces)?;
        }
        if !call.continues && matches!(self.open, Some(Open::Call(..))) {
            self.close(sink);
        }
        Ok(())
    }

    fn sign(&mut self, signature: Text<'_>, sink: Sink<'_>) {
        let index = self.begin(PartStart::Reasoning, sink);
        sink(Event::PartDelta { index, delta: Delta::Signature(signature) });
        sink(Event::PartEnd { index });
    }

    fn opaque(&mut self, kind: Cow<'_, str>, raw: Raw<'_>, sink: Sink<'_>) {
        let index = self.begin(PartStart::Opaque { dialect: Dialect::Gemini, kind, raw: Cow::Borrowed(raw.get()) }, sink);
        sink(Event::PartEnd { index });
    }

    /// The signed text without words, where another part follows: the signature must not become that one's.
    fn tell_empty(&mut self, sink: Sink<'_>) {
        if std::mem::take(&mut self.empty) {
            let index = self.begin(PartStart::Text, sink);
            sink(Event::PartEnd { index });
        }
    }

    fn begin(&mut self, part: PartStart<'_>, sink: Sink<'_>) -> usize {
        let index = self.parts;
        self.parts += 1;
        sink(Event::PartStart { index, part });
        index
    }

    fn close(&mut self, sink: Sink<'_>) {
        let index = match self.open.take() {
            Some(Open::Text(index) | Open::Thought(index)) => index,
            Some(Open::Call(index, partial)) => {
                sink(Event::PartDelta { index, delta: Delta::Arguments(Text::plain(partial.into_text())) });
                index
            }
            None => return,
        };
        sink(Event::PartEnd { index });
    }
}
