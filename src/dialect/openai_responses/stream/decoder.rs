//! Reading events. The same reader serves translation and the accounting of a stream that passes unchanged, so it walks
//! over each event once and borrows its texts.
//!
//! Items and their parts are told apart by their places alone: some hosts give an item another id in each event.

use super::super::answer;
use super::super::wire::{Served, called, finish, reasoning_part, usage};
use super::event::Wire;
use crate::base::json::{Raw, Reader};
use crate::base::sse::Frame;
use crate::base::{Fault, FaultKind};
use crate::dialect::openai::error;
use crate::dialect::openai::read::{told, words};
use crate::dialect::{StreamDecoder, broken};
use crate::ir::{Delta, Dialect, Event, Part, PartStart, Text, unfold};

/// Most parts that may be open at once. Each costs memory until its end.
const OPEN_MAX: usize = 512;

/// Reads the events of one answer.
#[derive(Default)]
pub(in super::super) struct Decoder {
    started: bool,
    ended: bool,
    /// Parts begun so far.
    parts: usize,
    /// Parts that go on.
    open: Vec<Open>,
    /// Messages of which anything was told, and whose end has not come.
    spoken: Vec<u64>,
    /// The item of the last event, for hosts that do not number them.
    last_item: u64,
    called: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Refusal,
    Reasoning,
    Call,
}

struct Open {
    item: u64,
    /// The part of a message.
    content: u64,
    index: usize,
    kind: Kind,
    /// Whether any of it was told.
    told: bool,
    /// Whether any of the summary's part that goes on was told.
    piece_told: bool,
    /// Which of the two ways of thinking aloud this item took first; the other repeats it.
    summarised: Option<bool>,
}

type Sink<'s> = &'s mut dyn FnMut(Event<'_>);

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
        // Some hosts add the mark of the older dialect behind the end.
        if data.is_empty() || data == b"[DONE]" {
            return Ok(());
        }
        let mut wire = Wire::default();
        Reader::read(data, |r| wire.read(r)).map_err(|error| broken::stream("an event that is not a JSON object").cause(error))?;
        if wire.kind.is_empty() {
            wire.kind = String::from_utf8_lossy(&frame.name);
        }
        self.event(&wire, data, sink)
    }
}

impl Decoder {
    fn event(&mut self, wire: &Wire<'_>, data: &[u8], sink: Sink<'_>) -> Result<(), Fault> {
        let item = wire.item_index.unwrap_or(self.last_item);
        self.last_item = item;
        let content = wire.content_index;
        match &*wire.kind {
            "response.output_text.delta" => self.say(Kind::Text, item, content, wire.delta.as_ref(), sink),
            "response.refusal.delta" => self.say(Kind::Refusal, item, content, wire.delta.as_ref(), sink),
            "response.output_text.done" => self.whole(Kind::Text, item, content, wire.whole.as_ref(), sink),
            "response.refusal.done" => self.whole(Kind::Refusal, item, content, wire.whole.as_ref(), sink),
            "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta" => {
                self.arguments(item, wire.delta.as_ref(), true, sink);
                Ok(())
            }
            "response.function_call_arguments.done" | "response.custom_tool_call_input.done" => {
                self.arguments(item, wire.whole.as_ref(), false, sink);
                Ok(())
            }
            "response.reasoning_summary_text.delta" => self.think(item, true, wire.delta.as_ref(), true, sink),
            "response.reasoning_summary_text.done" => self.think(item, true, wire.whole.as_ref(), false, sink),
            "response.reasoning_text.delta" => self.think(item, false, wire.delta.as_ref(), true, sink),
            "response.reasoning_text.done" => self.think(item, false, wire.whole.as_ref(), false, sink),
            "response.reasoning_summary_part.added" => {
                self.next_summary(item, wire.summary_index, sink);
                Ok(())
            }
            "response.output_text.annotation.added" => {
                if let (Some(open), Some(annotation)) = (self.find(Kind::Text, item, content), wire.annotation) {
                    let delta =
                        Delta::Opaque { dialect: Dialect::OpenAiResponses, kind: "annotations".into(), raw: annotation.get().into() };
                    sink(Event::PartDelta { index: open.index, delta });
                }
                Ok(())
            }
            "response.content_part.added" => self.part_added(item, content, wire.part, sink),
            "response.content_part.done" => self.part_done(item, content, wire.part, sink),
            "response.output_item.added" => self.item_added(item, wire.item, sink),
            "response.output_item.done" => self.item_done(item, wire.item, sink),
            "response.created" | "response.in_progress" | "response.queued" => {
                self.start(wire.response, sink);
                Ok(())
            }
            "response.completed" | "response.incomplete" => self.end(wire.response, &wire.kind, sink),
            "response.failed" | "response.cancelled" | "error" => self.failed(wire.response, data, sink),
            _ if wire.failed => self.failed(wire.response, data, sink),
            _ => Ok(()),
        }
    }

    fn start(&mut self, response: Option<Raw<'_>>, sink: Sink<'_>) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        let (mut id, mut model, mut created) = (None, None, None);
        for (name, value) in response.into_iter().flat_map(Raw::members) {
            match &*name {
                "id" => id = words(Some(value)),
                "model" => model = words(Some(value)),
                "created_at" => created = answer::seconds(value),
                _ => {}
            }
        }
        sink(Event::Start { id, model, created });
    }

    fn find(&mut self, kind: Kind, item: u64, content: u64) -> Option<&mut Open> {
        self.open.iter_mut().rev().find(|open| open.kind == kind && open.item == item && open.content == content)
    }

    fn begin(&mut self, kind: Kind, item: u64, content: u64, part: PartStart<'_>, sink: Sink<'_>) -> Result<&mut Open, Fault> {
        if self.open.len() == OPEN_MAX {
            return Err(broken::answer(&format!("has more than {OPEN_MAX} parts that go on at once")));
        }
        if matches!(kind, Kind::Text | Kind::Refusal) && !self.spoken.contains(&item) && self.spoken.len() < OPEN_MAX {
            self.spoken.push(item);
        }
        let index = self.parts;
        self.parts += 1;
        sink(Event::PartStart { index, part });
        self.open.push(Open { item, content, index, kind, told: false, piece_told: false, summarised: None });
        // Just pushed.
        self.open.last_mut().ok_or_else(|| Fault::internal("a part that was begun is gone"))
    }

    fn close(&mut self, closes: impl Fn(&Open) -> bool, sink: Sink<'_>) {
        self.open.retain(|open| {
            if closes(open) {
                sink(Event::PartEnd { index: open.index });
                return false;
            }
            true
        });
    }

    /// Words, in a part that begins with the first of them.
    fn say(&mut self, kind: Kind, item: u64, content: u64, text: Option<&Text<'_>>, sink: Sink<'_>) -> Result<(), Fault> {
        let Some(text) = text else { return Ok(()) };
        let found = self.open.iter().rposition(|open| open.kind == kind && open.item == item && open.content == content);
        let open = match found.and_then(|at| self.open.get_mut(at)) {
            Some(open) => {
                open.told = true;
                open.index
            }
            None => {
                let part = if kind == Kind::Refusal { PartStart::Refusal } else { PartStart::Text };
                let open = self.begin(kind, item, content, part, sink)?;
                open.told = true;
                open.index
            }
        };
        sink(Event::PartDelta { index: open, delta: Delta::Text(text.by_ref()) });
        Ok(())
    }

    /// The words of a part as a whole: new only where it was not told bit by bit.
    fn whole(&mut self, kind: Kind, item: u64, content: u64, text: Option<&Text<'_>>, sink: Sink<'_>) -> Result<(), Fault> {
        match self.find(kind, item, content) {
            Some(open) if open.told => Ok(()),
            _ => self.say(kind, item, content, text, sink),
        }
    }

    fn arguments(&mut self, item: u64, text: Option<&Text<'_>>, is_delta: bool, sink: Sink<'_>) {
        let (Some(text), Some(open)) = (text, self.find(Kind::Call, item, 0)) else { return };
        if is_delta || !open.told {
            open.told = true;
            sink(Event::PartDelta { index: open.index, delta: Delta::Arguments(text.by_ref()) });
        }
    }

    fn think(&mut self, item: u64, summary: bool, text: Option<&Text<'_>>, is_delta: bool, sink: Sink<'_>) -> Result<(), Fault> {
        let Some(text) = text else { return Ok(()) };
        if self.find(Kind::Reasoning, item, 0).is_none() {
            self.begin(Kind::Reasoning, item, 0, PartStart::Reasoning, sink)?;
        }
        let Some(open) = self.find(Kind::Reasoning, item, 0) else { return Ok(()) };
        if *open.summarised.get_or_insert(summary) != summary || (!is_delta && open.piece_told) {
            return Ok(());
        }
        (open.told, open.piece_told) = (true, true);
        sink(Event::PartDelta { index: open.index, delta: Delta::Reasoning(text.by_ref()) });
        Ok(())
    }

    /// Between the parts of a summary stands a blank line, as in a whole answer.
    fn next_summary(&mut self, item: u64, place: u64, sink: Sink<'_>) {
        let Some(open) = self.find(Kind::Reasoning, item, 0).filter(|open| open.summarised == Some(true)) else { return };
        if place > 0 && open.piece_told {
            open.piece_told = false;
            sink(Event::PartDelta { index: open.index, delta: Delta::Reasoning(Text::Escaped("\\n\\n")) });
        }
    }

    fn part_added(&mut self, item: u64, content: u64, part: Option<Raw<'_>>, sink: Sink<'_>) -> Result<(), Fault> {
        let (kind, start) = match part.and_then(|part| told(part, "type")).and_then(Raw::inner) {
            Some("output_text") => (Kind::Text, PartStart::Text),
            Some("refusal") => (Kind::Refusal, PartStart::Refusal),
            _ => return Ok(()),
        };
        if self.find(kind, item, content).is_none() {
            self.begin(kind, item, content, start, sink)?;
        }
        Ok(())
    }

    fn part_done(&mut self, item: u64, content: u64, part: Option<Raw<'_>>, sink: Sink<'_>) -> Result<(), Fault> {
        let Some(part) = part else { return Ok(()) };
        match told(part, "type").and_then(Raw::inner) {
            Some("output_text") => self.whole(Kind::Text, item, content, words(told(part, "text")).as_ref(), sink)?,
            Some("refusal") => self.whole(Kind::Refusal, item, content, words(told(part, "refusal")).as_ref(), sink)?,
            // The end of a thought waits for its proof.
            _ => return Ok(()),
        }
        self.close(|open| open.item == item && open.content == content && matches!(open.kind, Kind::Text | Kind::Refusal), sink);
        Ok(())
    }

    fn item_added(&mut self, place: u64, item: Option<Raw<'_>>, sink: Sink<'_>) -> Result<(), Fault> {
        let Some(item) = item else { return Ok(()) };
        // A place that is used again is another item.
        self.close(|open| open.item == place, sink);
        self.spoken.retain(|spoken| *spoken != place);
        let custom = match told(item, "type").and_then(Raw::inner) {
            Some("function_call") => false,
            Some("custom_tool_call") => true,
            _ => return Ok(()),
        };
        self.call(place, item, custom, sink)
    }

    fn call(&mut self, place: u64, item: Raw<'_>, custom: bool, sink: Sink<'_>) -> Result<(), Fault> {
        let Some(name) = called(item) else { return Ok(()) };
        let id = words(told(item, "call_id")).or_else(|| words(told(item, "id")));
        let id = id.unwrap_or_else(|| Text::plain(format!("call_{}", self.parts)));
        self.called = true;
        self.begin(Kind::Call, place, 0, PartStart::ToolCall { id, name, custom }, sink)?;
        Ok(())
    }

    /// The item as a whole: what was not told of it yet, and the proof of a thought, which is good only here.
    fn item_done(&mut self, place: u64, item: Option<Raw<'_>>, sink: Sink<'_>) -> Result<(), Fault> {
        let Some(item) = item else { return Ok(()) };
        match told(item, "type").and_then(Raw::string).as_deref() {
            Some("message") => {
                if !self.spoken.contains(&place) {
                    for (content, part) in told(item, "content").into_iter().flat_map(Raw::elements).enumerate() {
                        self.part_done(place, content as u64, Some(part), sink)?;
                    }
                }
                self.spoken.retain(|spoken| *spoken != place);
                if let Some(phase) = told(item, "phase") {
                    let index = self.parts.saturating_sub(1);
                    let delta = Delta::Opaque { dialect: Dialect::OpenAiResponses, kind: "phase".into(), raw: phase.get().into() };
                    sink(Event::PartDelta { index, delta });
                }
            }
            Some("reasoning") => self.thought(place, item, sink)?,
            Some(kind @ ("function_call" | "custom_tool_call")) => {
                let custom = kind == "custom_tool_call";
                if self.find(Kind::Call, place, 0).is_none() {
                    self.call(place, item, custom, sink)?;
                }
                let text = words(told(item, if custom { "input" } else { "arguments" }));
                self.arguments(place, text.as_ref(), false, sink);
            }
            Some(kind) => {
                let index = self.parts;
                self.parts += 1;
                let part = PartStart::Opaque { dialect: Dialect::OpenAiResponses, kind: kind.into(), raw: item.get().into() };
                sink(Event::PartStart { index, part });
                sink(Event::PartEnd { index });
            }
            None => {}
        }
        self.close(|open| open.item == place, sink);
        Ok(())
    }

    fn thought(&mut self, place: u64, item: Raw<'_>, sink: Sink<'_>) -> Result<(), Fault> {
        let Some(part) = reasoning_part(item) else { return Ok(()) };
        let proof = match part {
            Part::Reasoning { text, signature } => {
                let untold = self.find(Kind::Reasoning, place, 0).is_none_or(|open| !open.told);
                if untold && self.find(Kind::Reasoning, place, 0).is_none() {
                    self.begin(Kind::Reasoning, place, 0, PartStart::Reasoning, sink)?;
                }
                if let Some(open) = self.find(Kind::Reasoning, place, 0)
                    && untold
                    && !text.is_empty()
                {
                    sink(Event::PartDelta { index: open.index, delta: Delta::Reasoning(text) });
                }
                signature
            }
            Part::RedactedReasoning(data) if self.find(Kind::Reasoning, place, 0).is_none() => {
                let index = self.parts;
                self.parts += 1;
                sink(Event::PartStart { index, part: PartStart::RedactedReasoning(data) });
                sink(Event::PartEnd { index });
                return Ok(());
            }
            Part::RedactedReasoning(data) => Some(data),
            _ => None,
        };
        if let (Some(open), Some(proof)) = (self.find(Kind::Reasoning, place, 0), proof) {
            sink(Event::PartDelta { index: open.index, delta: Delta::Signature(proof) });
        }
        Ok(())
    }

    fn end(&mut self, response: Option<Raw<'_>>, kind: &str, sink: Sink<'_>) -> Result<(), Fault> {
        self.start(response, sink);
        self.ended = true;
        self.close(|_| true, sink);
        let (mut status, mut reason, mut counted) = (None, None, None);
        let mut served = Served::default();
        for (name, value) in response.into_iter().flat_map(Raw::members) {
            served.read(&name, value);
            match &*name {
                "status" => status = words(Some(value)),
                "incomplete_details" => reason = words(told(value, "reason")),
                "usage" => counted = usage(value),
                _ => {}
            }
        }
        if let Some(response) = response
            && self.parts == 0
        {
            self.untold(response, sink);
        }
        if let Some(counted) = served.with(counted) {
            sink(Event::Usage(counted));
        }
        // The event's own name says it too, where the status was left out.
        let status = status.or_else(|| kind.strip_prefix("response.").map(Text::plain));
        if let Some(finish) = finish(status, reason, self.called) {
            sink(Event::Finish(finish));
        }
        sink(Event::End);
        Ok(())
    }

    /// Hosts that do not stream tell the whole answer at the end alone.
    fn untold(&mut self, response: Raw<'_>, sink: Sink<'_>) {
        let Ok(answer) = answer::read(response) else { return };
        self.called = answer.parts.iter().any(|part| matches!(part, Part::ToolCall { .. }));
        unfold(&answer, |event| {
            if matches!(event, Event::PartStart { .. } | Event::PartDelta { .. } | Event::PartEnd { .. }) {
                sink(event);
            }
        });
    }

    fn failed(&mut self, response: Option<Raw<'_>>, data: &[u8], sink: Sink<'_>) -> Result<(), Fault> {
        self.ended = true;
        if let Some(counted) = response.and_then(|response| told(response, "usage")).and_then(usage) {
            sink(Event::Usage(counted));
        }
        let root = match response {
            Some(response) => Some(response),
            None => Raw::parse(data).ok(),
        };
        let fault = match root {
            Some(root) => error::inside(root).unwrap_or_else(|| match told(root, "message") {
                Some(_) => error::whole(root),
                None => Fault::upstream(FaultKind::UpstreamFailed, "The provider gave up the answer and did not say why."),
            }),
            None => Fault::upstream(FaultKind::UpstreamFailed, "The provider gave up the answer and did not say why."),
        };
        sink(Event::Fault(fault));
        Ok(())
    }
}
