//! Events → the frames of a streamed answer.
//!
//! A frame is an answer of its own, so words go out as they come, whichever part they are of; a call goes out when it is
//! whole, since the dialect has no fragments of arguments that every SDK reads.

use super::answer::{OF_CANDIDATE, put_call, put_tail, put_thought, put_words};
use super::wire::shown;
use super::{error, finish, usage};
use crate::base::framing::Framing;
use crate::base::json::{self, Object, write_on_one_line};
use crate::base::{Fault, FaultKind};
use crate::dialect::{Losses, Reply, StreamEncoder};
use crate::ir::{Delta, Dialect, Event, Finish, PartStart, Text, Usage, proof};

/// The most text that calls and proofs may wait with.
const WAITING_BYTES_MAX: usize = 32 << 20;
/// The most parts that may be open at once.
const OPEN_MAX: usize = 1024;

/// Writes one stream.
pub(super) struct Encoder {
    reply: Reply,
    losses: Losses,
    id: Option<Text<'static>>,
    model: Option<Text<'static>>,
    usage: Usage,
    finish: Option<Finish<'static>>,
    open: Vec<Open>,
    /// A signature, as the wire has it, that belongs to the part that follows.
    pending: Option<Text<'static>>,
    refused: bool,
    waiting_bytes: usize,
    /// Whether a frame has gone out.
    begun: bool,
    done: bool,
}

/// A part that has begun.
struct Open {
    index: usize,
    kind: Kind,
}

enum Kind {
    Words { refusal: bool },
    Thought { spoken: bool, proof: String },
    Call { id: Text<'static>, name: String, custom: bool, arguments: String },
    Skipped,
}

impl Encoder {
    pub(super) fn new(reply: Reply) -> Self {
        Self {
            reply,
            losses: Losses::default(),
            id: None,
            model: None,
            usage: Usage::default(),
            finish: None,
            open: Vec::new(),
            pending: None,
            refused: false,
            waiting_bytes: 0,
            begun: false,
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
            Event::Start { id, model, .. } => {
                self.id = id.clone().map(Text::into_owned);
                self.model = model.clone().map(Text::into_owned);
            }
            Event::PartStart { index, part } => self.part_start(*index, part, out),
            Event::PartDelta { index, delta } => self.part_delta(*index, delta, out),
            Event::PartEnd { index } => self.part_end(*index, out),
            Event::Usage(usage) => self.usage.merge(usage),
            Event::Finish(finish) => self.finish = Some(finish.clone().into_owned()),
            // The grammar has no sign of life: the SDKs read each line as an answer.
            Event::Ping => {}
            Event::Fault(fault) => self.fault(fault, out),
            Event::End => self.end(out),
        }
    }

    fn losses(&self) -> &Losses {
        &self.losses
    }
}

impl Encoder {
    fn part_start(&mut self, index: usize, part: &PartStart<'_>, out: &mut Vec<u8>) {
        // An index that begins again is another part.
        self.part_end(index, out);
        let kind = match part {
            PartStart::Text => Kind::Words { refusal: false },
            PartStart::Refusal => Kind::Words { refusal: true },
            PartStart::Reasoning => Kind::Thought { spoken: false, proof: String::new() },
            PartStart::RedactedReasoning(data) => {
                self.proof(None, data, out);
                Kind::Skipped
            }
            PartStart::ToolCall { id, name, custom } => Kind::Call {
                id: id.clone().into_owned(),
                name: self.reply.caller_name(name).into_owned(),
                custom: *custom,
                arguments: String::new(),
            },
            PartStart::Opaque { dialect: Dialect::Gemini, kind, raw } => {
                if OF_CANDIDATE.contains(&&**kind) {
                    self.frame(|candidate| write_on_one_line(raw, candidate.key(kind)), None, out);
                } else {
                    self.flush(out);
                    self.part(|part| write_on_one_line(raw, part), out);
                }
                Kind::Skipped
            }
            PartStart::Opaque { kind, .. } => {
                self.losses.add(format!("parts[].{kind}"));
                Kind::Skipped
            }
        };
        if self.open.len() >= OPEN_MAX {
            return self.give_up(out);
        }
        self.open.push(Open { index, kind });
    }

    fn part_delta(&mut self, index: usize, delta: &Delta<'_>, out: &mut Vec<u8>) {
        let open = self.open.iter_mut().rev().find(|open| open.index == index).map(|open| &mut open.kind);
        match (delta, open) {
            (Delta::Text(text) | Delta::Reasoning(text) | Delta::Signature(text) | Delta::Arguments(text), _) if text.is_empty() => {}
            (Delta::Text(text), kind) => {
                self.refused |= matches!(kind, Some(Kind::Words { refusal: true }));
                let signature = self.pending.take();
                self.part(|part| put_words(text, signature.as_ref(), part), out);
            }
            (Delta::Reasoning(text), kind) => {
                if let Some(Kind::Thought { spoken, .. }) = kind {
                    *spoken = true;
                }
                self.flush(out);
                self.part(|part| put_thought(Some(text), None, part), out);
            }
            (Delta::Signature(text), Some(Kind::Thought { proof: waiting, .. }))
            | (Delta::Arguments(text), Some(Kind::Call { arguments: waiting, .. })) => {
                waiting.push_str(&text.read());
                self.waiting_bytes += text.len();
                if self.waiting_bytes > WAITING_BYTES_MAX {
                    self.give_up(out);
                }
            }
            (Delta::Signature(_), _) => self.losses.add("parts[].signature"),
            (Delta::Arguments(_), _) => {}
            (Delta::Opaque { kind, .. }, _) => self.losses.add(format!("parts[].{kind}")),
        }
    }

    fn part_end(&mut self, index: usize, out: &mut Vec<u8>) {
        let Some(place) = self.open.iter().rposition(|open| open.index == index) else { return };
        match self.open.remove(place).kind {
            Kind::Thought { spoken, proof: waiting } if !waiting.is_empty() => {
                self.waiting_bytes = self.waiting_bytes.saturating_sub(waiting.len());
                let proof = Text::plain(waiting);
                if !spoken && proof::claim(Dialect::Gemini, &proof).is_some() {
                    self.flush(out);
                    self.pending = Some(proof::write(Dialect::Gemini, &proof).into_owned());
                } else {
                    self.proof(Some(&Text::EMPTY), &proof, out);
                }
            }
            Kind::Call { id, name, custom, arguments } => {
                self.waiting_bytes = self.waiting_bytes.saturating_sub(arguments.len());
                let (arguments, signature) = (Text::plain(arguments), self.pending.take());
                self.part(|part| put_call(&id, &name, &arguments, custom, signature.as_ref(), part), out);
            }
            Kind::Thought { .. } | Kind::Words { .. } | Kind::Skipped => {}
        }
    }

    fn proof(&mut self, text: Option<&Text<'_>>, proof: &Text<'_>, out: &mut Vec<u8>) {
        self.flush(out);
        match shown(proof) {
            Some(signature) => self.part(|part| put_thought(text, Some(&signature), part), out),
            None => self.losses.add("parts[].signature"),
        }
    }

    /// A signature whose part never came stands on one without words.
    fn flush(&mut self, out: &mut Vec<u8>) {
        if let Some(signature) = self.pending.take() {
            self.part(|part| put_words(&Text::EMPTY, Some(&signature), part), out);
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        while let Some(index) = self.open.first().map(|open| open.index) {
            self.part_end(index, out);
        }
        let (finish, refused, signature) = (self.finish.take(), self.refused, self.pending.take());
        let usage = self.usage;
        self.frame(
            |candidate| {
                put_content(|part| put_words(&Text::EMPTY, signature.as_ref(), part), candidate);
                finish::put(finish.as_ref(), refused, candidate);
            },
            Some(&usage),
            out,
        );
        if self.reply.framing == Framing::JsonArray {
            out.push(b']');
        }
        self.done = true;
    }

    fn part(&mut self, write: impl FnOnce(&mut Vec<u8>), out: &mut Vec<u8>) {
        self.frame(|candidate| put_content(write, candidate), None, out);
    }

    fn frame(&mut self, fill: impl FnOnce(&mut Object<'_>), usage: Option<&Usage>, out: &mut Vec<u8>) {
        let in_array = self.reply.framing == Framing::JsonArray;
        let begun = std::mem::replace(&mut self.begun, true);
        out.extend_from_slice(match (in_array, begun) {
            (true, true) => b",\r\n",
            (true, false) => b"[",
            (false, _) => b"data: ",
        });
        json::object(out, |body| {
            body.array("candidates", |candidates| {
                candidates.object(|candidate| {
                    fill(candidate);
                    candidate.u64("index", 0);
                });
            });
            if let Some(usage) = usage {
                usage::put(usage, body);
            }
            put_tail(self.id.as_ref(), self.model.as_ref(), &self.reply, body);
        });
        if !in_array {
            out.extend_from_slice(b"\r\n\r\n");
        }
    }

    fn give_up(&mut self, out: &mut Vec<u8>) {
        self.fault(&Fault::upstream(FaultKind::UpstreamProtocol, "The provider's answer holds back more than a stream can wait for."), out);
    }

    fn fault(&mut self, fault: &Fault, out: &mut Vec<u8>) {
        error::encode_event(fault, self.reply.framing, self.begun, out);
        self.done = true;
    }
}

fn put_content(write: impl FnOnce(&mut Vec<u8>), candidate: &mut Object<'_>) {
    candidate.object("content", |content| {
        content.array("parts", |parts| write(parts.item()));
        content.string("role", "model");
    });
}
