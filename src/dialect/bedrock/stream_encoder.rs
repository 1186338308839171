//! Events → the messages of a streamed answer.

use super::error;
use super::media::is_base64;
use super::sequence::{Sequence, Step, TooTangled};
use super::wire::{put_call_id, put_stop_sequence, put_usage, stop_reason};
use crate::base::json::{self, Object};
use crate::base::{Fault, FaultKind, eventstream};
use crate::dialect::anthropic::wire::Seen;
use crate::dialect::{Losses, Reply, StreamEncoder};
use crate::ir::{Delta, Dialect, Event, Finish, PartStart, Text, Usage, proof};

/// The longest signature that is gathered.
const SIGNATURE_BYTES_MAX: usize = 32 << 20;

/// Writes one stream.
pub(super) struct Encoder {
    sequence: Sequence,
    writer: Writer,
    usage: Usage,
    finish: Option<Finish<'static>>,
    done: bool,
}

/// Writes the part that is open.
struct Writer {
    reply: Reply,
    losses: Losses,
    seen: Seen,
    /// The open part's `contentBlockIndex`, which is the next one's while nothing of it was written.
    block: u64,
    part: Open,
    /// Whether the block has been begun by a message.
    open: bool,
    /// Whether any text of a tool call was written.
    spoken: bool,
    /// The thinking's signature, told just before the block's end: whose it is shows when it is whole.
    signature: String,
    started: bool,
    tangled: bool,
}

/// What the open part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Text,
    Refusal,
    Reasoning,
    Call {
        custom: bool,
    },
    Verbatim,
    /// A part that this dialect cannot say: its deltas are swallowed.
    Skipped,
}

impl Encoder {
    pub(super) fn new(reply: Reply) -> Self {
        let writer = Writer {
            reply,
            losses: Losses::default(),
            seen: Seen::default(),
            block: 0,
            part: Open::Skipped,
            open: false,
            spoken: false,
            signature: String::new(),
            started: false,
            tangled: false,
        };
        Self { sequence: Sequence::default(), writer, usage: Usage::default(), finish: None, done: false }
    }
}

impl StreamEncoder for Encoder {
    fn encode(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        if self.done {
            return;
        }
        let Self { sequence, writer, .. } = self;
        let result = match event {
            Event::Start { .. } => {
                writer.message_start(out);
                Ok(())
            }
            Event::PartStart { index, part } => {
                writer.message_start(out);
                sequence.start(*index, part, &mut |step| writer.step(&step, out))
            }
            Event::PartDelta { index, delta } => {
                writer.message_start(out);
                sequence.delta(*index, delta, &mut |step| writer.step(&step, out))
            }
            Event::PartEnd { index } => {
                sequence.end(*index, &mut |step| writer.step(&step, out));
                Ok(())
            }
            Event::Usage(usage) => {
                self.usage.merge(usage);
                Ok(())
            }
            Event::Finish(finish) => {
                self.finish = Some(finish.clone().into_owned());
                Ok(())
            }
            // The dialect has no sign of life.
            Event::Ping => Ok(()),
            Event::Fault(fault) => {
                self.fault(fault, out);
                Ok(())
            }
            Event::End => {
                self.end(out);
                Ok(())
            }
        };
        if let (Err(TooTangled), _) | (_, true) = (result, self.writer.tangled) {
            let text = "The provider's answer interleaves its parts beyond what can be put in order.";
            self.fault(&Fault::upstream(FaultKind::UpstreamProtocol, text), out);
        }
    }

    fn losses(&self) -> &Losses {
        &self.writer.losses
    }
}

impl Encoder {
    fn end(&mut self, out: &mut Vec<u8>) {
        let Self { sequence, writer, usage, finish, done } = self;
        writer.message_start(out);
        sequence.finish(&mut |step| writer.step(&step, out));
        let finish = finish.as_ref();
        message("messageStop", out, |body| {
            body.string("stopReason", stop_reason(finish, writer.seen));
            put_stop_sequence(finish, body);
        });
        message("metadata", out, |body| put_usage(usage, false, body));
        *done = true;
    }

    fn fault(&mut self, fault: &Fault, out: &mut Vec<u8>) {
        error::encode_message(fault, out);
        self.done = true;
    }
}

impl Writer {
    fn message_start(&mut self, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.started, true) {
            message("messageStart", out, |body| body.string("role", "assistant"));
        }
    }

    fn step(&mut self, step: &Step<'_, '_>, out: &mut Vec<u8>) {
        match step {
            Step::Start(part) => self.start(part, out),
            Step::Delta(delta) => self.delta(delta, out),
            Step::End => self.end(out),
            Step::Lost(Delta::Signature(_)) => self.losses.add("content[].signature"),
            Step::Lost(Delta::Opaque { kind, .. }) => self.losses.add(format!("content[].{kind}")),
            Step::Lost(_) => {}
        }
    }

    fn start(&mut self, part: &PartStart<'_>, out: &mut Vec<u8>) {
        self.spoken = false;
        self.part = match part {
            PartStart::Text => Open::Text,
            PartStart::Refusal => Open::Refusal,
            PartStart::Reasoning => Open::Reasoning,
            PartStart::RedactedReasoning(data) => {
                let data = proof::write(Dialect::Bedrock, data);
                // The slot holds bytes: what is no base64 would not come back from an SDK whole.
                let slot = if is_base64(&data.read()) { "redactedContent" } else { "signature" };
                self.say(out, |delta| delta.object("reasoningContent", |content| data.put(slot, content)));
                Open::Verbatim
            }
            PartStart::ToolCall { id, name, custom } => {
                self.seen.call = true;
                let name = self.reply.caller_name(name);
                self.open = true;
                message("contentBlockStart", out, |body| {
                    body.u64("contentBlockIndex", self.block);
                    body.object("start", |start| {
                        start.object("toolUse", |call| {
                            put_call_id(id, call);
                            call.string("name", &name);
                        });
                    });
                });
                Open::Call { custom: *custom }
            }
            PartStart::Opaque { dialect: Dialect::Bedrock, raw, .. } => {
                self.open = true;
                message("contentBlockStart", out, |body| {
                    body.u64("contentBlockIndex", self.block);
                    body.verbatim("start", raw);
                });
                Open::Verbatim
            }
            PartStart::Opaque { kind, .. } => {
                self.losses.add(format!("content[].{kind}"));
                Open::Skipped
            }
        };
    }

    fn delta(&mut self, delta: &Delta<'_>, out: &mut Vec<u8>) {
        match (delta, self.part) {
            (_, Open::Skipped) => {}
            (Delta::Text(text), _) => {
                self.seen.refusal |= self.part == Open::Refusal;
                self.say(out, |delta| text.put("text", delta));
            }
            (Delta::Reasoning(text), _) => self.say(out, |delta| delta.object("reasoningContent", |content| text.put("text", content))),
            (Delta::Signature(text), _) => {
                self.signature.push_str(&text.read());
                self.tangled |= self.signature.len() > SIGNATURE_BYTES_MAX;
            }
            (Delta::Arguments(text), Open::Call { custom: true }) => {
                // The text becomes a string inside of JSON that is itself told as a string.
                let mut inner = Vec::new();
                if !self.spoken {
                    inner.extend_from_slice(br#"{"input":""#);
                }
                text.write_inner(&mut inner);
                self.arguments(&Text::plain(String::from_utf8_lossy(&inner)), out);
            }
            (Delta::Arguments(text), _) => self.arguments(text, out),
            (Delta::Opaque { dialect: Dialect::Bedrock, raw, .. }, _) => {
                self.open = true;
                message("contentBlockDelta", out, |body| {
                    body.u64("contentBlockIndex", self.block);
                    body.verbatim("delta", raw);
                });
            }
            (Delta::Opaque { kind, .. }, _) => self.losses.add(format!("content[].{kind}")),
        }
    }

    fn arguments(&mut self, text: &Text<'_>, out: &mut Vec<u8>) {
        self.spoken = true;
        self.say(out, |delta| delta.object("toolUse", |call| text.put("input", call)));
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        let signature = std::mem::take(&mut self.signature);
        match self.part {
            Open::Reasoning if !signature.is_empty() => {
                let proof = Text::plain(signature);
                let signature = proof::write(Dialect::Bedrock, &proof);
                self.say(out, |delta| delta.object("reasoningContent", |content| signature.put("signature", content)));
            }
            Open::Call { custom: true } => {
                let end = if self.spoken { r#""}"# } else { r#"{"input":""}"# };
                self.arguments(&Text::plain(end), out);
            }
            Open::Call { custom: false } if !self.spoken => self.arguments(&Text::plain("{}"), out),
            _ => {}
        }
        if std::mem::take(&mut self.open) {
            message("contentBlockStop", out, |body| body.u64("contentBlockIndex", self.block));
            self.block += 1;
        }
        self.part = Open::Skipped;
    }

    /// Writes a delta of the open block, which its first one begins.
    fn say(&mut self, out: &mut Vec<u8>, fill: impl FnOnce(&mut Object<'_>)) {
        self.open = true;
        message("contentBlockDelta", out, |body| {
            body.u64("contentBlockIndex", self.block);
            body.object("delta", fill);
        });
    }
}

/// Writes one event.
fn message(name: &str, out: &mut Vec<u8>, fill: impl FnOnce(&mut Object<'_>)) {
    let headers = [(":event-type", name), (":content-type", "application/json"), (":message-type", "event")];
    eventstream::write(&headers, out, |out| json::object(out, fill));
}
