//! One part on its way to the wire: what it is, what was said of it, and its events.

use super::super::reply::{Call, Made, put_literal, put_refusal, put_text};
use crate::base::json::{Array, Object, object};
use crate::dialect::Reply;
use crate::dialect::openai::write::{Held as Wrapping, custom_input, hold};
use crate::ir::{Delta, Dialect, Text, proof};

/// What kind of part.
pub(super) enum Kind {
    /// Words, in a message.
    Text,
    /// Words that decline, in a message.
    Refusal,
    /// A thought.
    Reasoning,
    /// A thought without words.
    Redacted(Text<'static>),
    /// A call; the argument of a free-form tool that is a function upstream is held to be unwrapped at its end.
    Call(Call, Option<String>),
    /// A part that this dialect cannot say: its deltas are swallowed.
    Skipped,
}

/// One part that is on the wire or waits for it.
pub(super) struct Held {
    /// The number that its events have.
    pub(super) index: usize,
    /// What it is.
    pub(super) kind: Kind,
    /// Its item's id, once it is on the wire.
    pub(super) id: String,
    /// What was said so far, as the inside of a JSON literal.
    pub(super) text: Vec<u8>,
    /// The thought's proof.
    pub(super) signature: String,
    /// Whether it is on the wire.
    pub(super) open: bool,
    /// Whether nothing more comes.
    pub(super) ended: bool,
}

/// Where a part stands on the wire.
#[derive(Clone, Copy)]
pub(super) struct Place<'p> {
    /// The exchange.
    pub(super) reply: &'p Reply,
    /// Which item.
    pub(super) item: usize,
    /// Which part of a message.
    pub(super) content: usize,
}

impl Place<'_> {
    fn made(&self) -> Made<'_> {
        Made { reply: self.reply, place: self.item }
    }

    fn put(&self, held: &Held, o: &mut Object<'_>) {
        o.string("item_id", &held.id);
        o.u64("output_index", self.item as u64);
        match held.kind {
            Kind::Text | Kind::Refusal => o.u64("content_index", self.content as u64),
            Kind::Reasoning => o.u64("summary_index", 0),
            Kind::Redacted(_) | Kind::Call(..) | Kind::Skipped => {}
        }
    }
}

impl Kind {
    fn prefix(&self) -> &'static str {
        match self {
            Self::Text | Self::Refusal => "msg_",
            Self::Reasoning | Self::Redacted(_) | Self::Skipped => "rs_",
            Self::Call(call, _) => call.prefix(),
        }
    }

    /// Whether it stands in a message.
    pub(super) fn is_spoken(&self) -> bool {
        matches!(self, Self::Text | Self::Refusal)
    }

    /// The names of its delta, of what ends it, and of the member that tells it whole.
    fn words(&self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Refusal => ("response.refusal.delta", "response.refusal.done", "refusal"),
            Self::Reasoning => ("response.reasoning_summary_text.delta", "response.reasoning_summary_text.done", "text"),
            Self::Call(call, _) if call.custom => {
                ("response.custom_tool_call_input.delta", "response.custom_tool_call_input.done", "input")
            }
            Self::Call(..) => ("response.function_call_arguments.delta", "response.function_call_arguments.done", "arguments"),
            Self::Text | Self::Redacted(_) | Self::Skipped => ("response.output_text.delta", "response.output_text.done", "text"),
        }
    }
}

/// What became of a delta.
pub(super) enum Said {
    /// So many bytes more are held, and go to the wire where the part is on it.
    More(usize),
    /// Nothing is to be written, but so many bytes are held.
    Kept(usize),
    /// As more, but the argument could not be unwrapped.
    Unwrapped(usize),
}

impl Held {
    /// A part of which nothing is known yet.
    pub(super) fn new(index: usize, kind: Kind) -> Self {
        Self { index, kind, id: String::new(), text: Vec::new(), signature: String::new(), open: false, ended: false }
    }

    /// Whether it belongs on the wire already. Words do not before the first: an empty text would come back in the next request.
    pub(super) fn wants_open(&self) -> bool {
        match self.kind {
            Kind::Text | Kind::Refusal => !self.text.is_empty(),
            Kind::Reasoning => !self.text.is_empty() || (self.ended && !self.signature.is_empty()),
            Kind::Redacted(_) | Kind::Call(..) => true,
            Kind::Skipped => false,
        }
    }

    /// Whether a delta is for a part of this kind.
    pub(super) fn takes(&self, delta: &Delta<'_>) -> bool {
        match delta {
            Delta::Text(_) => self.kind.is_spoken(),
            Delta::Reasoning(_) | Delta::Signature(_) => matches!(self.kind, Kind::Reasoning),
            Delta::Arguments(_) => matches!(self.kind, Kind::Call(..)),
            Delta::Opaque { .. } => false,
        }
    }

    /// Takes what a delta adds.
    pub(super) fn add(&mut self, delta: &Delta<'_>) -> Said {
        if let Delta::Signature(signature) = delta {
            self.signature.push_str(&signature.read());
            return Said::Kept(signature.len());
        }
        let text = delta.text();
        if let Kind::Call(_, wrapped) = &mut self.kind {
            match hold(wrapped, &text) {
                Wrapping::Yes => return Said::Kept(text.len()),
                Wrapping::TooMuch(all) => return Said::Unwrapped(self.append(&Text::plain(all))),
                Wrapping::No => {}
            }
        }
        Said::More(self.append(&text))
    }

    fn append(&mut self, text: &Text<'_>) -> usize {
        let before = self.text.len();
        text.write_inner(&mut self.text);
        self.text.len() - before
    }

    /// Its first events.
    pub(super) fn begin(&mut self, place: Place<'_>, events: &mut Events<'_>) {
        self.open = true;
        self.id = place.made().id(self.kind.prefix());
        let made = place.made();
        match &self.kind {
            Kind::Text | Kind::Refusal => events.write("response.content_part.added", |o| {
                place.put(self, o);
                o.object("part", |o| match self.kind {
                    Kind::Refusal => put_refusal(o, |_| ()),
                    _ => put_text(o, |_| (), None),
                });
            }),
            Kind::Reasoning => {
                events.item_added(place.item, |out| made.reasoning(out, None::<fn(&mut Vec<u8>)>, None));
                events.write("response.reasoning_summary_part.added", |o| {
                    place.put(self, o);
                    o.verbatim("part", r#"{"type":"summary_text","text":""}"#);
                });
            }
            Kind::Redacted(_) => events.item_added(place.item, |out| made.reasoning(out, None::<fn(&mut Vec<u8>)>, None)),
            Kind::Call(call, _) => events.item_added(place.item, |out| made.call(call, "in_progress", out, |_| ())),
            Kind::Skipped => return,
        }
        if !self.text.is_empty() {
            self.say(0, place, events);
        }
    }

    /// Tells what was added behind `from`.
    pub(super) fn say(&self, from: usize, place: Place<'_>, events: &mut Events<'_>) {
        let more = self.text.get(from..).unwrap_or_default();
        events.write(self.kind.words().0, |o| {
            place.put(self, o);
            put_literal(o, "delta", |out| out.extend_from_slice(more));
            if matches!(self.kind, Kind::Text) {
                o.verbatim("logprobs", "[]");
            }
        });
    }

    /// Its last events. A message's part goes to `message`, an item of its own to `output`.
    pub(super) fn end(&mut self, status: &str, place: Place<'_>, events: &mut Events<'_>, message: &mut Vec<u8>, output: &mut Vec<u8>) {
        if let Kind::Call(call, wrapped) = &mut self.kind {
            let unwrapped = wrapped.take().map(|wrapped| custom_input(&wrapped));
            let late = unwrapped.or_else(|| (self.text.is_empty() && !call.custom).then(|| "{}".to_owned()));
            if let Some(late) = late.filter(|late| !late.is_empty()) {
                self.append(&Text::plain(late));
                self.say(0, place, events);
            }
        }
        let text = &self.text;
        let inner = |out: &mut Vec<u8>| out.extend_from_slice(text);
        let made = place.made();
        if !matches!(self.kind, Kind::Redacted(_) | Kind::Skipped) {
            let (_, done, member) = self.kind.words();
            events.write(done, |o| {
                place.put(self, o);
                put_literal(o, member, inner);
                match &self.kind {
                    Kind::Text => o.verbatim("logprobs", "[]"),
                    Kind::Call(call, _) => call.put_name(o),
                    _ => {}
                }
            });
        }
        match &self.kind {
            Kind::Text | Kind::Refusal => {
                let start = next(message);
                object(message, |o| match self.kind {
                    Kind::Refusal => put_refusal(o, inner),
                    _ => put_text(o, inner, None),
                });
                let part = message.get(start..).unwrap_or_default();
                events.write("response.content_part.done", |o| {
                    place.put(self, o);
                    o.key("part").extend_from_slice(part);
                });
            }
            Kind::Reasoning => {
                events.write("response.reasoning_summary_part.done", |o| {
                    place.put(self, o);
                    o.object("part", |o| {
                        o.string("type", "summary_text");
                        put_literal(o, "text", inner);
                    });
                });
                let signature = Text::plain(self.signature.as_str());
                let proof = (!self.signature.is_empty()).then(|| proof::write(Dialect::OpenAiResponses, &signature));
                events.item_done(place.item, output, |out| made.reasoning(out, Some(inner), proof.as_ref()));
            }
            Kind::Redacted(data) => {
                let proof = proof::write(Dialect::OpenAiResponses, data);
                events.item_done(place.item, output, |out| made.reasoning(out, None::<fn(&mut Vec<u8>)>, Some(&proof)));
            }
            Kind::Call(call, _) => events.item_done(place.item, output, |out| made.call(call, status, out, inner)),
            Kind::Skipped => {}
        }
    }
}

/// Begins the next element of a list that is written bit by bit, and tells where it begins.
fn next(list: &mut Vec<u8>) -> usize {
    if !list.is_empty() {
        list.push(b',');
    }
    list.len()
}

/// The events on the wire, numbered.
pub(super) struct Events<'e> {
    /// The next number.
    pub(super) number: &'e mut u64,
    /// The wire.
    pub(super) out: &'e mut Vec<u8>,
}

impl Events<'_> {
    /// Writes one event, complete with its blank line.
    pub(super) fn write(&mut self, name: &str, fill: impl FnOnce(&mut Object<'_>)) {
        let Self { number, out } = self;
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\ndata: ");
        object(out, |o| {
            o.string("type", name);
            o.u64("sequence_number", **number);
            fill(o);
        });
        out.extend_from_slice(b"\n\n");
        **number += 1;
    }

    /// An item begins.
    pub(super) fn item_added(&mut self, place: usize, item: impl FnOnce(&mut Vec<u8>)) {
        self.write("response.output_item.added", |o| {
            o.u64("output_index", place as u64);
            item(o.key("item"));
        });
    }

    /// An item is whole, and kept for the end.
    pub(super) fn item_done(&mut self, place: usize, output: &mut Vec<u8>, item: impl FnOnce(&mut Vec<u8>)) {
        let start = next(output);
        item(output);
        let item = output.get(start..).unwrap_or_default();
        self.write("response.output_item.done", |o| {
            o.u64("output_index", place as u64);
            o.key("item").extend_from_slice(item);
        });
    }
}

/// The parts of a message that were written bit by bit.
pub(super) fn put_parts(parts: &[u8], a: &mut Array<'_>) {
    if !parts.is_empty() {
        a.item().extend_from_slice(parts);
    }
}
