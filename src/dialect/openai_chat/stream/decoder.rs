//! Reading chunks. The same reader serves translation and the accounting of a stream that passes unchanged, so it
//! validates each chunk once, borrows its texts and allocates only for tool calls.

use std::borrow::Cow;

use super::super::error;
use super::super::wire::{finish_reason, made_call_id, thinking_text};
use super::chunk::{Chunk, DeltaMembers};
use crate::base::Fault;
use crate::base::json::{Raw, Reader};
use crate::base::sse::Frame;
use crate::dialect::openai::read::{served, told, words};
use crate::dialect::{StreamDecoder, broken};
use crate::ir::{Delta, Dialect, Event, Finish, FinishReason, PartStart, ServiceTier, Text, Usage};

/// Most tool calls in one answer. Each costs memory until the end of the stream.
const CALLS_MAX: usize = 512;
/// Most bytes of arguments that are held back for calls whose name has not come yet, all together.
const HELD_BYTES_MAX: usize = 1 << 20;

/// Reads the chunks of one answer.
#[derive(Default)]
pub(in super::super) struct Decoder {
    started: bool,
    finish_told: bool,
    /// Whether a host ended with the word "".
    empty_finish: bool,
    ended: bool,
    /// The tier that answers, which every chunk tells, the one with the counters or not.
    tier: Option<ServiceTier>,
    /// Parts begun so far.
    parts: usize,
    /// The part of words that is open: the next kind closes it.
    open: Option<Open>,
    /// A sound, whose pieces come like deltas.
    audio: Option<usize>,
    /// Tool calls, which stay open to the end, since their pieces may come in turns.
    calls: Vec<Call>,
    held_bytes: usize,
}

type Sink<'s> = &'s mut dyn FnMut(Event<'_>);

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Text,
    Refusal,
    Reasoning,
}

struct Open {
    index: usize,
    kind: Kind,
    /// Whether its proof has come, behind which only another part can follow.
    signed: bool,
}

#[derive(Default)]
struct Call {
    /// The host's number for it, which may be absent, sparse or used again.
    number: Option<u64>,
    id: String,
    name: String,
    /// The part, once the name is known.
    index: Option<usize>,
    /// Whether the part's end was told.
    closed: bool,
    /// Arguments that came before the name.
    held: String,
}

/// What one element of `tool_calls` tells.
struct Piece<'f> {
    number: Option<u64>,
    id: Cow<'f, str>,
    name: Cow<'f, str>,
    arguments: Option<Text<'f>>,
    custom: bool,
}

impl StreamDecoder for Decoder {
    fn decode(&mut self, frame: &Frame, sink: Sink<'_>) -> Result<(), Fault> {
        if self.ended {
            return Ok(());
        }
        let Some(data) = frame.data.as_deref().map(<[u8]>::trim_ascii) else {
            if frame.raw.first() == Some(&b':') {
                sink(Event::Ping);
            }
            return Ok(());
        };
        match data {
            b"" => Ok(()),
            b"[DONE]" => {
                self.end(sink);
                Ok(())
            }
            _ => self.chunk(data, &frame.name == "error", sink),
        }
    }
}

impl Decoder {
    fn chunk(&mut self, data: &[u8], is_error: bool, sink: Sink<'_>) -> Result<(), Fault> {
        let mut chunk = Chunk { suspect: is_error, ..Chunk::default() };
        Reader::read(data, |r| chunk.read(r)).map_err(|error| broken::stream("a chunk that is not a JSON object").cause(error))?;
        if chunk.suspect
            && let Ok(root) = Raw::parse(data)
            && let Some(fault) = error::inside(root).or_else(|| (is_error && !chunk.has_choices).then(|| error::whole(root)))
        {
            sink(Event::Fault(fault));
            return Ok(());
        }
        if chunk.has_choices && !std::mem::replace(&mut self.started, true) {
            sink(Event::Start {
                id: chunk.id.as_ref().map(Text::by_ref),
                model: chunk.model.as_ref().map(Text::by_ref),
                created: chunk.created,
            });
        }
        let mut finish = None;
        if let Some(choice) = chunk.first {
            self.delta(choice.delta, chunk.id.as_ref(), sink)?;
            finish = choice.word.map(|word| {
                let mut finish = Finish::new(finish_reason(&word.read()), word);
                if finish.reason == FinishReason::Stop {
                    finish.stop_sequence = choice.stop_text;
                }
                finish
            });
        }
        self.tier = chunk.tier.or(self.tier);
        self.tell(served(chunk.counted.or(chunk.groq), self.tier), finish, sink);
        Ok(())
    }

    /// The counters go first: a writer may want them where it says why the answer ended.
    fn tell(&mut self, counted: Option<Usage>, finish: Option<Finish<'_>>, sink: Sink<'_>) {
        if finish.is_some() {
            self.close_all(sink);
        }
        if let Some(counted) = counted {
            sink(Event::Usage(counted));
        }
        let Some(mut finish) = finish else { return };
        if finish.raw.is_empty() {
            self.empty_finish = true;
            return;
        }
        if std::mem::replace(&mut self.finish_told, true) {
            return;
        }
        if finish.reason == FinishReason::Stop && self.has_calls() {
            finish.reason = FinishReason::ToolCalls;
            finish.stop_sequence = None;
        }
        sink(Event::Finish(finish));
    }

    fn has_calls(&self) -> bool {
        self.calls.iter().any(|call| call.index.is_some())
    }

    fn end(&mut self, sink: Sink<'_>) {
        self.ended = true;
        self.close_all(sink);
        if !self.finish_told {
            let reason = match (self.has_calls(), self.empty_finish) {
                (true, _) => Some(FinishReason::ToolCalls),
                (false, true) => Some(FinishReason::Stop),
                (false, false) => None,
            };
            if let Some(reason) = reason {
                sink(Event::Finish(Finish::new(reason, Text::EMPTY)));
            }
        }
        sink(Event::End);
    }

    fn delta(&mut self, delta: DeltaMembers<'_>, id: Option<&Text<'_>>, sink: Sink<'_>) -> Result<(), Fault> {
        let DeltaMembers { content, refusal, reasoning_content, reasoning, blocks, calls, function_call, annotations, audio } = delta;
        let thought = reasoning_content.or(reasoning);
        let has_thought = thought.is_some();
        if let Some(text) = thought {
            self.say(Kind::Reasoning, Delta::Reasoning(text), sink);
        }
        for block in blocks.into_iter().flat_map(Raw::elements) {
            self.block(block, !has_thought, sink);
        }
        match content {
            Some(list) if list.is_array() => list.elements().for_each(|block| self.block(block, true, sink)),
            content => {
                if let Some(text) = words(content) {
                    self.say(Kind::Text, Delta::Text(text), sink);
                }
            }
        }
        if let Some(text) = refusal {
            self.say(Kind::Refusal, Delta::Text(text), sink);
        }
        let annotations = annotations.filter(|list| list.elements().next().is_some());
        if let (Some(list), Some(Open { index, kind: Kind::Text, .. })) = (annotations, &self.open) {
            sink(Event::PartDelta { index: *index, delta: opaque_delta("annotations", list) });
        }
        for call in calls.into_iter().flat_map(Raw::elements) {
            self.call(Piece::of(call), id, sink)?;
        }
        if let Some(call) = function_call {
            // The older form has one call and no number: one that no host gives.
            let piece = Piece { number: Some(u64::MAX), ..Piece::body(call, false) };
            self.call(piece, id, sink)?;
        }
        if let Some(audio) = audio.filter(|audio| audio.is_object()) {
            self.audio(audio, sink);
        }
        Ok(())
    }

    /// A block of a content that is a list, or of `thinking_blocks`.
    fn block(&mut self, block: Raw<'_>, with_thinking: bool, sink: Sink<'_>) {
        match told(block, "type").and_then(Raw::inner) {
            Some("text") | None => {
                if let Some(text) = words(told(block, "text")) {
                    self.say(Kind::Text, Delta::Text(text), sink);
                }
            }
            Some("thinking") => {
                let text = thinking_text(block);
                if with_thinking && !text.is_empty() {
                    self.say(Kind::Reasoning, Delta::Reasoning(text), sink);
                }
                if let Some(signature) = words(told(block, "signature")) {
                    self.sign(signature, sink);
                }
            }
            Some("redacted_thinking") => {
                if let Some(data) = words(told(block, "data")) {
                    self.close(sink);
                    let index = self.next_part();
                    sink(Event::PartStart { index, part: PartStart::RedactedReasoning(data) });
                    sink(Event::PartEnd { index });
                }
            }
            Some(kind) => {
                self.close(sink);
                let index = self.next_part();
                let part = PartStart::Opaque { dialect: Dialect::OpenAiChat, kind: kind.into(), raw: block.get().into() };
                sink(Event::PartStart { index, part });
                sink(Event::PartEnd { index });
            }
        }
    }

    fn next_part(&mut self) -> usize {
        self.parts += 1;
        self.parts - 1
    }

    fn say(&mut self, kind: Kind, delta: Delta<'_>, sink: Sink<'_>) {
        let index = match &self.open {
            Some(open) if open.kind == kind && !open.signed => open.index,
            _ => self.open(kind, sink),
        };
        sink(Event::PartDelta { index, delta });
    }

    /// The proof belongs to the thinking before it.
    fn sign(&mut self, signature: Text<'_>, sink: Sink<'_>) {
        let index = match &self.open {
            Some(open) if open.kind == Kind::Reasoning => open.index,
            _ => self.open(Kind::Reasoning, sink),
        };
        if let Some(open) = &mut self.open {
            open.signed = true;
        }
        sink(Event::PartDelta { index, delta: Delta::Signature(signature) });
    }

    fn open(&mut self, kind: Kind, sink: Sink<'_>) -> usize {
        self.close(sink);
        let index = self.next_part();
        let part = match kind {
            Kind::Text => PartStart::Text,
            Kind::Refusal => PartStart::Refusal,
            Kind::Reasoning => PartStart::Reasoning,
        };
        sink(Event::PartStart { index, part });
        self.open = Some(Open { index, kind, signed: false });
        index
    }

    fn close(&mut self, sink: Sink<'_>) {
        if let Some(open) = self.open.take() {
            sink(Event::PartEnd { index: open.index });
        }
    }

    fn close_all(&mut self, sink: Sink<'_>) {
        self.close(sink);
        for call in self.calls.iter_mut().filter(|call| !call.closed) {
            if let Some(index) = call.index {
                call.closed = true;
                sink(Event::PartEnd { index });
            }
        }
        if let Some(index) = self.audio.take() {
            sink(Event::PartEnd { index });
        }
    }

    fn call(&mut self, piece: Piece<'_>, answer_id: Option<&Text<'_>>, sink: Sink<'_>) -> Result<(), Fault> {
        let place = match self.find(&piece) {
            Some(place) => place,
            None if self.calls.len() == CALLS_MAX => {
                return Err(broken::answer(&format!("has more than {CALLS_MAX} tool calls")));
            }
            None => {
                self.calls.push(Call { number: piece.number, ..Call::default() });
                self.calls.len() - 1
            }
        };
        let begun = self.calls[place].index.is_some();
        if !begun && !piece.name.is_empty() {
            self.close(sink);
            let index = self.next_part();
            let call = &mut self.calls[place];
            call.index = Some(index);
            call.name = piece.name.into_owned();
            if !piece.id.is_empty() {
                call.id = piece.id.into_owned();
            }
            let id = match call.id.is_empty() {
                true => made_call_id(answer_id, place),
                false => Text::plain(&*call.id),
            };
            let part = PartStart::ToolCall { id, name: Text::plain(&*call.name), custom: piece.custom };
            sink(Event::PartStart { index, part });
            if !call.held.is_empty() {
                self.held_bytes -= call.held.len();
                let held = std::mem::take(&mut call.held);
                sink(Event::PartDelta { index, delta: Delta::Arguments(Text::plain(held)) });
            }
        } else if !begun && !piece.id.is_empty() {
            self.calls[place].id = piece.id.into_owned();
        }
        let Some(arguments) = piece.arguments.filter(|arguments| !arguments.is_empty()) else { return Ok(()) };
        let call = &mut self.calls[place];
        if let Some(index) = call.index {
            sink(Event::PartDelta { index, delta: Delta::Arguments(arguments) });
            return Ok(());
        }
        let before = call.held.len();
        call.held.push_str(&arguments.read());
        self.held_bytes += call.held.len() - before;
        match self.held_bytes > HELD_BYTES_MAX {
            true => Err(broken::stream("a tool call without its name")),
            false => Ok(()),
        }
    }

    /// The call that a piece continues. By number and id where both are given; a number that comes with another id, or
    /// without one but with another name, is used again for a new call; a piece without both belongs to the last call.
    fn find(&self, piece: &Piece<'_>) -> Option<usize> {
        let other_name = |call: &Call| !piece.name.is_empty() && !call.name.is_empty() && call.name != piece.name;
        let (place, call) = match piece.number {
            Some(_) => self.calls.iter().enumerate().rfind(|(_, call)| call.number == piece.number)?,
            None if !piece.id.is_empty() => self.calls.iter().enumerate().rfind(|(_, call)| call.id == *piece.id)?,
            None => {
                let last = self.calls.iter().enumerate().next_back()?;
                return (piece.name.is_empty() || last.1.name.is_empty()).then_some(last.0);
            }
        };
        let continues = match (piece.id.is_empty(), call.id.is_empty()) {
            (false, false) => *piece.id == call.id,
            _ => !other_name(call),
        };
        continues.then_some(place)
    }

    fn audio(&mut self, audio: Raw<'_>, sink: Sink<'_>) {
        if let Some(index) = self.audio {
            return sink(Event::PartDelta { index, delta: opaque_delta("audio", audio) });
        }
        let index = self.next_part();
        self.audio = Some(index);
        let part = PartStart::Opaque { dialect: Dialect::OpenAiChat, kind: "audio".into(), raw: audio.get().into() };
        sink(Event::PartStart { index, part });
    }
}

impl<'f> Piece<'f> {
    fn of(call: Raw<'f>) -> Self {
        let (mut number, mut id, mut function, mut custom) = (None, None, None, None);
        for (name, value) in call.members() {
            match &*name {
                _ if value.is_null() => {}
                "index" => number = value.u64(),
                "id" => id = value.string(),
                "function" => function = Some(value),
                "custom" => custom = Some(value),
                _ => {}
            }
        }
        let body = match (function, custom) {
            (None, Some(custom)) => Self::body(custom, true),
            (Some(function), _) => Self::body(function, false),
            (None, None) => Self { number: None, id: "".into(), name: "".into(), arguments: None, custom: false },
        };
        Self { number, id: id.unwrap_or_default(), ..body }
    }

    fn body(body: Raw<'f>, custom: bool) -> Self {
        let (mut called, mut arguments) = (None, None);
        for (name, value) in body.members() {
            match &*name {
                _ if value.is_null() => {}
                "name" => called = value.string(),
                "arguments" | "input" => arguments = Some(Text::of(value).unwrap_or(Text::plain(value.get()))),
                _ => {}
            }
        }
        Self { number: None, id: "".into(), name: called.unwrap_or_default(), arguments, custom }
    }
}

fn opaque_delta<'f>(kind: &'f str, raw: Raw<'f>) -> Delta<'f> {
    Delta::Opaque { dialect: Dialect::OpenAiChat, kind: kind.into(), raw: raw.get().into() }
}
