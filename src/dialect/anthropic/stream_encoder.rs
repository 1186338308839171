//! Events → the frames of a streamed answer.
//!
//! Blocks never overlap on the wire. Where parts do, the open one goes on and the others wait in the order of their
//! starts; words, which can be continued in a block of their own, give way at once, so that nothing streams late.

use std::collections::VecDeque;

use super::answer::put_head;
use super::error;
use super::wire::{Seen, put_cache_creation, put_call_id, put_finish, put_usage_rest};
use crate::base::json::{self, Object, write_on_one_line};
use crate::base::{Fault, FaultKind};
use crate::dialect::{Losses, Reply, StreamEncoder};
use crate::ir::{Delta, Dialect, Event, Finish, PartStart, Text, Usage};

/// The most text that parts may wait with. An upstream that interleaves more than this is not a chat.
const WAITING_BYTES_MAX: usize = 32 << 20;
/// The most parts that may wait, and the most refusals that are remembered.
const WAITING_PARTS_MAX: usize = 1024;

/// Writes one stream.
pub(super) struct Encoder {
    reply: Reply,
    losses: Losses,
    usage: Usage,
    finish: Option<Finish<'static>>,
    seen: Seen,
    /// The part on the wire, and behind it those that wait.
    parts: VecDeque<Held>,
    /// Parts of words that declined and gave way: what follows of them declines too.
    declined: Vec<usize>,
    /// The next block's index.
    blocks: u64,
    waiting_bytes: usize,
    started: bool,
    done: bool,
}

/// Which words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Words {
    Text,
    Refusal,
    Reasoning,
}

#[derive(Debug)]
enum Kind {
    /// Opened by its first word.
    Words(Words),
    /// A tool call; of a free-form tool, its text is wrapped in an object.
    Call { id: Text<'static>, name: String, custom: bool },
    /// A block whose start is written as it is.
    Verbatim(Vec<u8>),
    /// A part that this dialect cannot say: its deltas are swallowed.
    Skipped,
}

/// One part that is on the wire or waits for it.
#[derive(Debug)]
struct Held {
    index: usize,
    kind: Kind,
    /// Whether its block has been opened.
    open: bool,
    /// Whether any text of a tool call was written.
    spoken: bool,
    /// Deltas that wait.
    waiting: Vec<Waiting>,
    /// The thinking's signature, told just before the block's end.
    signature: String,
    ended: bool,
}

#[derive(Debug)]
enum Waiting {
    Text(String),
    Verbatim(Vec<u8>),
}

/// A delta by what it does to its part.
enum Piece<'d> {
    Text(Text<'d>),
    Signature(Text<'d>),
    Verbatim(&'d str),
}

impl Encoder {
    pub(super) fn new(reply: Reply) -> Self {
        Self {
            reply,
            losses: Losses::default(),
            usage: Usage::default(),
            finish: None,
            seen: Seen::default(),
            parts: VecDeque::new(),
            declined: Vec::new(),
            blocks: 0,
            waiting_bytes: 0,
            started: false,
            done: false,
        }
    }
}

impl StreamEncoder for Encoder {
    fn encode(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        if self.done {
            return;
        }
        match event {
            Event::Start { id, model, .. } => self.message_start(id.as_ref(), model.as_ref(), out),
            Event::PartStart { index, part } => self.part_start(*index, part, out),
            Event::PartDelta { index, delta } => self.part_delta(*index, delta, out),
            Event::PartEnd { index } => {
                if let Some(held) = self.parts.iter_mut().rev().find(|held| held.index == *index) {
                    held.ended = true;
                    self.advance(out);
                }
            }
            Event::Usage(usage) => self.usage.merge(usage),
            Event::Finish(finish) => self.finish = Some(finish.clone().into_owned()),
            Event::Ping => out.extend_from_slice(b"event: ping\ndata: {\"type\":\"ping\"}\n\n"),
            Event::Fault(fault) => self.fault(fault, out),
            Event::End => self.end(out),
        }
    }

    fn losses(&self) -> &Losses {
        &self.losses
    }
}

impl Encoder {
    fn message_start(&mut self, id: Option<&Text<'_>>, model: Option<&Text<'_>>, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        let input = self.usage.uncached_input_tokens().unwrap_or(self.reply.input_tokens_estimate);
        event("message_start", out, |body| {
            body.object("message", |message| {
                put_head(id, model, &self.reply, message);
                message.array("content", |_| ());
                message.null("stop_reason");
                message.null("stop_sequence");
                message.object("usage", |usage| {
                    usage.u64("input_tokens", input);
                    put_usage_rest(&self.usage, usage);
                    put_cache_creation(&self.usage, usage);
                });
            });
        });
    }

    fn part_start(&mut self, index: usize, part: &PartStart<'_>, out: &mut Vec<u8>) {
        self.message_start(None, None, out);
        // An index that begins again is another part.
        for held in self.parts.iter_mut().filter(|held| held.index == index) {
            held.ended = true;
        }
        self.declined.retain(|declined| *declined != index);
        let mut ended = false;
        let kind = match part {
            PartStart::Text => Kind::Words(Words::Text),
            PartStart::Refusal => Kind::Words(Words::Refusal),
            PartStart::Reasoning => Kind::Words(Words::Reasoning),
            PartStart::RedactedReasoning(data) => {
                let mut block = Vec::new();
                json::object(&mut block, |block| {
                    block.string("type", "redacted_thinking");
                    data.put("data", block);
                });
                ended = true;
                Kind::Verbatim(block)
            }
            PartStart::ToolCall { id, name, custom } => {
                self.seen.call = true;
                let name = self.reply.caller_name(name).into_owned();
                Kind::Call { id: id.clone().into_owned(), name, custom: *custom }
            }
            PartStart::Opaque { dialect: Dialect::Anthropic, raw, .. } => {
                let mut block = Vec::new();
                write_on_one_line(raw, &mut block);
                Kind::Verbatim(block)
            }
            PartStart::Opaque { kind, .. } => {
                self.losses.add(format!("content[].{kind}"));
                Kind::Skipped
            }
        };
        self.push(Held::new(index, kind, ended), out);
    }

    fn push(&mut self, held: Held, out: &mut Vec<u8>) {
        self.parts.push_back(held);
        self.advance(out);
        if self.parts.len() > WAITING_PARTS_MAX {
            self.give_up(out);
        }
    }

    fn part_delta(&mut self, index: usize, delta: &Delta<'_>, out: &mut Vec<u8>) {
        self.message_start(None, None, out);
        let Some(piece) = self.piece(delta) else { return };
        let place = match self.parts.iter().rposition(|held| held.index == index && !held.ended && held.takes(delta)) {
            Some(place) => place,
            None => {
                let Some(words) = self.continued(index, delta) else { return };
                self.push(Held::new(index, Kind::Words(words), false), out);
                if self.done {
                    return;
                }
                self.parts.len() - 1
            }
        };
        let held = &mut self.parts[place];
        match piece {
            Piece::Signature(text) => {
                held.signature.push_str(&text.read());
                if held.signature.len() > WAITING_BYTES_MAX {
                    self.give_up(out);
                }
            }
            piece if place == 0 => {
                if !held.open {
                    held.begin(self.blocks, out);
                }
                match piece {
                    Piece::Text(text) => {
                        self.seen.refusal |= matches!(held.kind, Kind::Words(Words::Refusal));
                        held.say(self.blocks, &text, out);
                    }
                    Piece::Verbatim(raw) => say_verbatim(self.blocks, |data| write_on_one_line(raw, data), out),
                    Piece::Signature(_) => {}
                }
            }
            piece => {
                self.waiting_bytes += held.wait(piece);
                if self.waiting_bytes > WAITING_BYTES_MAX {
                    self.give_up(out);
                }
            }
        }
    }

    /// What a delta does; `None` where it adds nothing that this dialect can say.
    fn piece<'d>(&mut self, delta: &'d Delta<'_>) -> Option<Piece<'d>> {
        match delta {
            Delta::Text(text) | Delta::Reasoning(text) | Delta::Arguments(text) => (!text.is_empty()).then(|| Piece::Text(text.by_ref())),
            Delta::Signature(text) => (!text.is_empty()).then(|| Piece::Signature(text.by_ref())),
            Delta::Opaque { dialect: Dialect::Anthropic, raw, .. } => Some(Piece::Verbatim(raw)),
            Delta::Opaque { kind, .. } => {
                self.losses.add(format!("content[].{kind}"));
                None
            }
        }
    }

    /// The kind of the part that goes on with `delta` after its block was closed, or that never began.
    fn continued(&mut self, index: usize, delta: &Delta<'_>) -> Option<Words> {
        match delta {
            Delta::Text(_) => Some(if self.declined.contains(&index) { Words::Refusal } else { Words::Text }),
            Delta::Reasoning(_) => Some(Words::Reasoning),
            // What belongs to a block that is closed cannot be told any more.
            Delta::Signature(_) => {
                self.losses.add("content[].signature");
                None
            }
            Delta::Arguments(_) | Delta::Opaque { .. } => None,
        }
    }

    /// Closes what is over, or gives way, and opens what waits, until the part on the wire is one that goes on.
    fn advance(&mut self, out: &mut Vec<u8>) {
        loop {
            let behind = self.parts.len() > 1;
            let Some(front) = self.parts.front_mut() else { return };
            let gives_way = behind && matches!(front.kind, Kind::Words(_) | Kind::Skipped);
            let over = front.ended || gives_way;
            let waiting = std::mem::take(&mut front.waiting);
            if !front.open && (!waiting.is_empty() || front.opens_at_once() || (over && !front.signature.is_empty())) {
                front.begin(self.blocks, out);
            }
            for piece in waiting {
                match piece {
                    Waiting::Text(text) => {
                        self.seen.refusal |= matches!(front.kind, Kind::Words(Words::Refusal));
                        self.waiting_bytes = self.waiting_bytes.saturating_sub(text.len());
                        front.say(self.blocks, &Text::plain(text), out);
                    }
                    Waiting::Verbatim(raw) => {
                        self.waiting_bytes = self.waiting_bytes.saturating_sub(raw.len());
                        say_verbatim(self.blocks, |data| data.extend_from_slice(&raw), out);
                    }
                }
            }
            if !over {
                return;
            }
            if matches!(front.kind, Kind::Words(Words::Refusal)) && !front.ended && self.declined.len() < WAITING_PARTS_MAX {
                self.declined.push(front.index);
            }
            if front.open {
                front.close(self.blocks, out);
                self.blocks += 1;
            }
            self.parts.pop_front();
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.message_start(None, None, out);
        for held in &mut self.parts {
            held.ended = true;
        }
        self.advance(out);
        event("message_delta", out, |body| {
            body.object("delta", |delta| put_finish(self.finish.as_ref(), self.seen, delta));
            body.object("usage", |usage| {
                if let Some(input) = self.usage.uncached_input_tokens() {
                    usage.u64("input_tokens", input);
                }
                put_usage_rest(&self.usage, usage);
                put_cache_creation(&self.usage, usage);
            });
        });
        event("message_stop", out, |_| ());
        self.done = true;
    }

    fn give_up(&mut self, out: &mut Vec<u8>) {
        let text = "The provider's answer interleaves its parts beyond what can be put in order.";
        self.fault(&Fault::upstream(FaultKind::UpstreamProtocol, text), out);
    }

    fn fault(&mut self, fault: &Fault, out: &mut Vec<u8>) {
        error::encode_event(fault, self.reply.id, out);
        self.done = true;
    }
}

impl Held {
    fn new(index: usize, kind: Kind, ended: bool) -> Self {
        Self { index, kind, open: false, spoken: false, waiting: Vec::new(), signature: String::new(), ended }
    }

    /// Whether it is a block even without a delta. Words are not: an empty block of text would come back in the next request.
    fn opens_at_once(&self) -> bool {
        matches!(self.kind, Kind::Call { .. } | Kind::Verbatim(_))
    }

    fn takes(&self, delta: &Delta<'_>) -> bool {
        match delta {
            Delta::Text(_) => matches!(self.kind, Kind::Words(Words::Text | Words::Refusal)),
            Delta::Reasoning(_) | Delta::Signature(_) => matches!(self.kind, Kind::Words(Words::Reasoning)),
            Delta::Arguments(_) => matches!(self.kind, Kind::Call { .. }),
            Delta::Opaque { .. } => matches!(self.kind, Kind::Verbatim(_) | Kind::Words(Words::Text)),
        }
    }

    /// Keeps a delta until its turn, and tells its bytes. Texts in a row become one.
    fn wait(&mut self, piece: Piece<'_>) -> usize {
        match piece {
            Piece::Text(text) => {
                let text = text.read();
                match self.waiting.last_mut() {
                    Some(Waiting::Text(last)) => last.push_str(&text),
                    _ => self.waiting.push(Waiting::Text(text.as_ref().to_owned())),
                }
                text.len()
            }
            Piece::Verbatim(raw) => {
                let mut line = Vec::with_capacity(raw.len());
                write_on_one_line(raw, &mut line);
                self.waiting.push(Waiting::Verbatim(line));
                raw.len()
            }
            Piece::Signature(_) => 0,
        }
    }

    fn begin(&mut self, block: u64, out: &mut Vec<u8>) {
        self.open = true;
        event("content_block_start", out, |body| {
            body.u64("index", block);
            match &self.kind {
                Kind::Words(Words::Text | Words::Refusal) => body.verbatim("content_block", r#"{"type":"text","text":""}"#),
                Kind::Words(Words::Reasoning) => {
                    body.verbatim("content_block", r#"{"type":"thinking","thinking":"","signature":""}"#);
                }
                Kind::Call { id, name, .. } => body.object("content_block", |call| {
                    call.string("type", "tool_use");
                    put_call_id("id", id, call);
                    call.string("name", name);
                    call.verbatim("input", "{}");
                }),
                Kind::Verbatim(json) => body.key("content_block").extend_from_slice(json),
                Kind::Skipped => body.null("content_block"),
            }
        });
    }

    fn say(&mut self, block: u64, text: &Text<'_>, out: &mut Vec<u8>) {
        match &self.kind {
            Kind::Words(Words::Text | Words::Refusal) => delta(block, "text_delta", "text", |out| text.write_inner(out), out),
            Kind::Words(Words::Reasoning) => delta(block, "thinking_delta", "thinking", |out| text.write_inner(out), out),
            Kind::Call { custom: false, .. } => delta(block, ARGUMENTS, PARTIAL, |out| text.write_inner(out), out),
            Kind::Call { custom: true, .. } => {
                // The text becomes a string inside of JSON that is itself told as a string.
                let mut inner = Vec::new();
                text.write_inner(&mut inner);
                let inner = String::from_utf8_lossy(&inner);
                if !self.spoken {
                    delta(block, ARGUMENTS, PARTIAL, |out| json::write_escaped(r#"{"input":""#, out), out);
                }
                delta(block, ARGUMENTS, PARTIAL, |out| json::write_escaped(&inner, out), out);
            }
            Kind::Verbatim(_) | Kind::Skipped => return,
        }
        self.spoken = true;
    }

    fn close(&mut self, block: u64, out: &mut Vec<u8>) {
        match &self.kind {
            Kind::Words(Words::Reasoning) if !self.signature.is_empty() => {
                delta(block, "signature_delta", "signature", |out| json::write_escaped(&self.signature, out), out);
            }
            Kind::Call { custom: true, .. } => {
                let end = if self.spoken { r#""}"# } else { r#"{"input":""}"# };
                delta(block, ARGUMENTS, PARTIAL, |out| json::write_escaped(end, out), out);
            }
            Kind::Call { .. } if !self.spoken => delta(block, ARGUMENTS, PARTIAL, |_| (), out),
            _ => {}
        }
        event("content_block_stop", out, |body| body.u64("index", block));
    }
}

const ARGUMENTS: &str = "input_json_delta";
const PARTIAL: &str = "partial_json";

/// Writes one event, complete with its blank line.
fn event(name: &str, out: &mut Vec<u8>, fill: impl FnOnce(&mut Object<'_>)) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    json::object(out, |body| {
        body.string("type", name);
        fill(body);
    });
    out.extend_from_slice(b"\n\n");
}

/// Writes a delta of text; `inner` writes the inside of a JSON string literal.
fn delta(block: u64, kind: &str, key: &str, inner: impl FnOnce(&mut Vec<u8>), out: &mut Vec<u8>) {
    event("content_block_delta", out, |body| {
        body.u64("index", block);
        body.object("delta", |delta| {
            delta.string("type", kind);
            let out = delta.key(key);
            out.push(b'"');
            inner(out);
            out.push(b'"');
        });
    });
}

fn say_verbatim(block: u64, write: impl FnOnce(&mut Vec<u8>), out: &mut Vec<u8>) {
    event("content_block_delta", out, |body| {
        body.u64("index", block);
        write(body.key("delta"));
    });
}
