//! Events → the frames of a streamed answer.
//!
//! Items never overlap on the wire. Where parts do, the first goes on and the others wait in the order of their starts:
//! their text is kept for the end anyway, since what ends an item tells it whole. An item is over once the next begins or
//! the answer ends, so that its status can tell whether it was cut off, and words in a row make one message.

use std::collections::VecDeque;

use super::super::reply::{Call, Head, Made, Status, put_rest};
use super::super::wire::status_words;
use super::held::{Events, Held, Kind, Place, Said, put_parts};
use crate::base::json::object;
use crate::base::{Fault, FaultKind};
use crate::dialect::openai::error;
use crate::dialect::{Losses, Reply, StreamEncoder};
use crate::ir::{Delta, Event, Finish, FinishReason, PartStart, Text, Usage};

/// The most text of one answer, which is held until its end. What says more is not a chat.
const BYTES_MAX: usize = 16 << 20;
/// The most parts that may wait.
const WAITING_PARTS_MAX: usize = 1024;

/// Writes the error event that ends a broken stream; without `number` where the stream was not ours.
pub(in super::super) fn write_error(fault: &Fault, number: Option<&mut u64>, out: &mut Vec<u8>) {
    let mut first = 0;
    let number = number.unwrap_or(&mut first);
    Events { number, out }.write("error", |o| {
        // The API nests it, the SDKs' types do not.
        o.object("error", |o| error::put(fault, o));
        o.string("code", error::code(fault));
        o.string("message", &fault.client_text);
        match &fault.param {
            Some(param) => o.string("param", param),
            None => o.null("param"),
        }
    });
}

/// Writes one streamed answer.
pub(in super::super) struct Encoder {
    reply: Reply,
    losses: Losses,
    head: Option<Head>,
    /// The next event's number.
    number: u64,
    /// The part on the wire, and behind it those that wait.
    parts: VecDeque<Held>,
    /// The parts of the open message that are whole, as JSON; `None` where no message is open.
    message: Option<Message>,
    /// The whole items, as JSON.
    output: Vec<u8>,
    /// How many items are whole.
    items: usize,
    /// Bytes of text held or written so far.
    bytes: usize,
    refused: bool,
    usage: Option<Usage>,
    finish: Option<Finish<'static>>,
    done: bool,
}

#[derive(Default)]
struct Message {
    parts: Vec<u8>,
    count: usize,
}

impl StreamEncoder for Encoder {
    fn encode(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        if self.done {
            return;
        }
        match event {
            Event::Start { id, model, created } => self.start(id.as_ref(), model.as_ref(), *created, out),
            Event::PartStart { index, part } => self.part_start(*index, part, out),
            Event::PartDelta { index, delta } => self.part_delta(*index, delta, out),
            Event::PartEnd { index } => {
                if let Some(held) = self.parts.iter_mut().rev().find(|held| held.index == *index) {
                    held.ended = true;
                    self.advance(false, out);
                }
            }
            Event::Usage(told) => self.usage.get_or_insert_default().merge(told),
            Event::Finish(finish) => {
                self.finish = Some(finish.clone().into_owned());
                self.close(out);
            }
            Event::Ping => out.extend_from_slice(b": ping\n\n"),
            Event::Fault(fault) => self.fault(fault, out),
            Event::End => self.end(out),
        }
    }

    fn losses(&self) -> &Losses {
        &self.losses
    }
}

impl Encoder {
    /// A writer for this exchange.
    pub(in super::super) fn new(reply: Reply) -> Self {
        Self {
            reply,
            losses: Losses::default(),
            head: None,
            number: 0,
            parts: VecDeque::new(),
            message: None,
            output: Vec::new(),
            items: 0,
            bytes: 0,
            refused: false,
            usage: None,
            finish: None,
            done: false,
        }
    }

    fn start(&mut self, id: Option<&Text<'_>>, model: Option<&Text<'_>>, created: Option<u64>, out: &mut Vec<u8>) {
        if self.head.is_some() {
            return;
        }
        self.head = Some(Head::new(id, model, created, &self.reply));
        for name in ["response.created", "response.in_progress"] {
            self.response(name, &Status { word: "in_progress", incomplete: None, error: None }, out);
        }
    }

    /// An event that tells the response as far as it is.
    fn response(&mut self, name: &str, status: &Status<'_>, out: &mut Vec<u8>) {
        let Some(head) = &self.head else { return };
        let (output, usage) = (&self.output, self.usage.filter(|_| status.word != "in_progress"));
        Events { number: &mut self.number, out }.write(name, |o| {
            o.object("response", |o| {
                head.put(status, o);
                o.array("output", |a| put_parts(output, a));
                put_rest(usage.as_ref(), o);
            });
        });
    }

    fn part_start(&mut self, index: usize, part: &PartStart<'_>, out: &mut Vec<u8>) {
        self.start(None, None, None, out);
        // An index that begins again is another part.
        self.parts.iter_mut().filter(|held| held.index == index).for_each(|held| held.ended = true);
        let mut ended = false;
        let kind = match part {
            PartStart::Text => Kind::Text,
            PartStart::Refusal => Kind::Refusal,
            PartStart::Reasoning => Kind::Reasoning,
            PartStart::RedactedReasoning(data) => {
                ended = true;
                Kind::Redacted(data.clone().into_owned())
            }
            PartStart::ToolCall { id, name, custom } => {
                let call = Call::new(id, name, *custom, &Made { reply: &self.reply, place: self.items + self.parts.len() });
                let wrapped = call.wrapped.then(String::new);
                Kind::Call(call, wrapped)
            }
            PartStart::Opaque { kind, .. } => {
                self.losses.add(format!("content[].{kind}"));
                ended = true;
                Kind::Skipped
            }
        };
        self.push(Held { ended, ..Held::new(index, kind) }, out);
    }

    fn push(&mut self, held: Held, out: &mut Vec<u8>) {
        self.parts.push_back(held);
        self.advance(false, out);
        if self.parts.len() > WAITING_PARTS_MAX {
            self.give_up(out);
        }
    }

    fn part_delta(&mut self, index: usize, delta: &Delta<'_>, out: &mut Vec<u8>) {
        if let Delta::Opaque { kind, .. } = delta {
            return self.losses.add(format!("content[].{kind}"));
        }
        if delta.text().is_empty() {
            return;
        }
        let found = self.parts.iter().rposition(|held| held.index == index && !held.ended && held.takes(delta));
        let at = match (found, delta) {
            (Some(at), _) => at,
            // Words that no start has told of.
            (None, Delta::Text(_)) => self.begin_late(index, Kind::Text, out),
            (None, Delta::Reasoning(_)) => self.begin_late(index, Kind::Reasoning, out),
            (None, Delta::Signature(_)) => return self.losses.add("content[].signature"),
            (None, _) => return self.losses.add("content[].arguments"),
        };
        if self.done {
            return;
        }
        let place = self.place();
        let Some(held) = self.parts.get_mut(at) else { return };
        self.refused |= matches!(held.kind, Kind::Refusal);
        let from = held.text.len();
        let (bytes, kept) = match held.add(delta) {
            Said::More(bytes) => (bytes, false),
            Said::Kept(bytes) => (bytes, true),
            Said::Unwrapped(bytes) => {
                self.losses.add("content[].input");
                (bytes, false)
            }
        };
        self.bytes += bytes;
        if self.bytes > BYTES_MAX {
            return self.give_up(out);
        }
        if at > 0 || kept {
            return;
        }
        if held.open {
            let place = Place { reply: &self.reply, item: place.0, content: place.1 };
            held.say(from, place, &mut Events { number: &mut self.number, out });
        } else {
            self.advance(false, out);
        }
    }

    fn begin_late(&mut self, index: usize, kind: Kind, out: &mut Vec<u8>) -> usize {
        self.start(None, None, None, out);
        self.push(Held::new(index, kind), out);
        self.parts.len().saturating_sub(1)
    }

    /// Where the next item, and the next part of the message, stand.
    fn place(&self) -> (usize, usize) {
        (self.items, self.message.as_ref().map_or(0, |message| message.count))
    }

    /// Closes what is over and opens what waits, until the part on the wire is one that goes on. The last one stays open
    /// until the answer is `over`.
    fn advance(&mut self, over: bool, out: &mut Vec<u8>) {
        let status = self.status();
        loop {
            let behind = self.parts.len() > 1;
            let Some(front) = self.parts.front() else { return };
            if !front.open && front.wants_open() {
                let spoken = front.kind.is_spoken();
                self.make_room(spoken, out);
                let (item, content) = self.place();
                if let Some(front) = self.parts.front_mut() {
                    let place = Place { reply: &self.reply, item, content };
                    front.begin(place, &mut Events { number: &mut self.number, out });
                }
            }
            let Some(front) = self.parts.front() else { return };
            if !(front.ended && (behind || over || !front.open)) {
                return;
            }
            let last = !behind && over;
            let Some(mut front) = self.parts.pop_front() else { return };
            if !front.open {
                continue;
            }
            let (item, content) = self.place();
            let place = Place { reply: &self.reply, item, content };
            let mut none = Vec::new();
            let message = self.message.as_mut().map_or(&mut none, |message| &mut message.parts);
            let mut events = Events { number: &mut self.number, out };
            front.end(if last { status } else { "completed" }, place, &mut events, message, &mut self.output);
            match &mut self.message {
                Some(message) if front.kind.is_spoken() => message.count += 1,
                _ => self.items += 1,
            }
        }
    }

    /// Opens the message for words, or closes it for anything else.
    fn make_room(&mut self, spoken: bool, out: &mut Vec<u8>) {
        match (spoken, &self.message) {
            (true, None) => {
                let made = Made { reply: &self.reply, place: self.items };
                Events { number: &mut self.number, out }.item_added(self.items, |out| made.message("in_progress", out, |_| ()));
                self.message = Some(Message::default());
            }
            (false, Some(_)) => self.end_message("completed", out),
            _ => {}
        }
    }

    fn end_message(&mut self, status: &str, out: &mut Vec<u8>) {
        let Some(message) = self.message.take() else { return };
        let made = Made { reply: &self.reply, place: self.items };
        Events { number: &mut self.number, out }
            .item_done(self.items, &mut self.output, |out| made.message(status, out, |a| put_parts(&message.parts, a)));
        self.items += 1;
    }

    fn status(&self) -> &'static str {
        self.finish.as_ref().map_or("completed", |finish| status_words(finish.reason).0)
    }

    /// Closes all that is open.
    fn close(&mut self, out: &mut Vec<u8>) {
        self.start(None, None, None, out);
        self.parts.iter_mut().for_each(|held| held.ended = true);
        let explanation = self.finish.as_mut().and_then(|finish| finish.explanation.take()).filter(|_| !self.refused);
        if let Some(explanation) = explanation {
            let mut held = Held { ended: true, ..Held::new(usize::MAX, Kind::Refusal) };
            held.add(&Delta::Text(explanation));
            self.parts.push_back(held);
        }
        self.advance(true, out);
        let status = self.status();
        self.end_message(status, out);
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.close(out);
        let reason = self.finish.as_ref().map_or(FinishReason::Stop, |finish| finish.reason);
        let (word, incomplete) = status_words(reason);
        let name = if incomplete.is_some() { "response.incomplete" } else { "response.completed" };
        self.response(name, &Status { word, incomplete, error: None }, out);
        self.done = true;
    }

    fn give_up(&mut self, out: &mut Vec<u8>) {
        let text = "The provider's answer is larger than what can be told in OpenAI Responses, which repeats all of it at the end.";
        self.fault(&Fault::upstream(FaultKind::UpstreamProtocol, text), out);
    }

    /// As the API does it: an error, which the SDKs raise, and the response as failed, which agents look at.
    fn fault(&mut self, fault: &Fault, out: &mut Vec<u8>) {
        self.start(None, None, None, out);
        write_error(fault, Some(&mut self.number), out);
        let mut told = Vec::with_capacity(128);
        object(&mut told, |o| {
            o.string("code", error::code(fault));
            o.string("message", &fault.client_text);
        });
        self.response("response.failed", &Status { word: "failed", incomplete: None, error: Some(&told) }, out);
        self.done = true;
    }
}
