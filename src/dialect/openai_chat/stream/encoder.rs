//! Writing chunks: the role, deltas, why it ended, the usage where it was asked for, and the end mark.

use super::super::answer::put_native_finish;
use super::super::wire::finish_word;
use super::super::{error, usage};
use crate::base::Fault;
use crate::base::json::{Object, object, write_string};
use crate::dialect::openai::write::{Held, custom_input, hold};
use crate::dialect::{Losses, Reply, StreamEncoder};
use crate::ir::{Delta, Dialect, Event, Finish, FinishReason, PartStart, Text, Usage};

/// Writes the error event that ends a broken stream.
pub(in super::super) fn write_error(fault: &Fault, out: &mut Vec<u8>) {
    out.extend_from_slice(b"data: ");
    error::encode(fault, out);
    out.extend_from_slice(b"\n\n");
}

/// Writes one streamed answer.
pub(in super::super) struct Encoder {
    reply: Reply,
    /// What every chunk begins with, up to the delta. Empty until the stream begins.
    head: Vec<u8>,
    open: Vec<Open>,
    calls: usize,
    refused: bool,
    usage: Option<Usage>,
    finished: bool,
    closed: bool,
    losses: Losses,
}

/// An open part, by the number its events have.
struct Open {
    index: usize,
    kind: Kind,
}

enum Kind {
    Words,
    Refusal,
    Reasoning,
    Call {
        /// Its place among the calls.
        place: usize,
        /// Whether the caller's tool is a free-form one.
        custom: bool,
        /// Whether any argument was written.
        any: bool,
        /// The argument of a free-form tool that is a function upstream, to be unwrapped at its end.
        wrapped: Option<String>,
    },
    Opaque,
}

impl StreamEncoder for Encoder {
    fn encode(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        if self.closed {
            return;
        }
        match event {
            Event::Start { id, model, created } => self.start(id.as_ref(), model.as_ref(), *created, out),
            Event::PartStart { index, part } => self.part_start(*index, part, out),
            Event::PartDelta { index, delta } => self.part_delta(*index, delta, out),
            Event::PartEnd { index } => {
                if let Some(at) = self.open.iter().position(|open| open.index == *index) {
                    let open = self.open.remove(at);
                    self.part_end(open.kind, out);
                }
            }
            Event::Usage(told) => self.usage.get_or_insert_default().merge(told),
            Event::Finish(finish) => self.finish(Some(finish), out),
            Event::Ping => out.extend_from_slice(b": ping\n\n"),
            Event::Fault(fault) => {
                self.closed = true;
                write_error(fault, out);
            }
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
            head: Vec::new(),
            open: Vec::new(),
            calls: 0,
            refused: false,
            usage: None,
            finished: false,
            closed: false,
            losses: Losses::default(),
        }
    }

    fn start(&mut self, id: Option<&Text<'_>>, model: Option<&Text<'_>>, created: Option<u64>, out: &mut Vec<u8>) {
        if !self.head.is_empty() {
            return;
        }
        let head = &mut self.head;
        head.extend_from_slice(b"data: {\"id\":");
        match id {
            Some(id) => id.write(head),
            None => write_string(&format!("chatcmpl-{}", self.reply.id), head),
        }
        head.extend_from_slice(b",\"object\":\"chat.completion.chunk\",\"created\":");
        head.extend_from_slice(itoa::Buffer::new().format(created.unwrap_or(self.reply.created)).as_bytes());
        head.extend_from_slice(b",\"model\":");
        match model {
            Some(model) => model.write(head),
            None => write_string(&self.reply.model, head),
        }
        self.delta(out, |o| {
            o.string("role", "assistant");
            o.string("content", "");
            o.null("refusal");
        });
    }

    /// One chunk with a delta.
    fn delta(&mut self, out: &mut Vec<u8>, fill: impl FnOnce(&mut Object<'_>)) {
        if self.head.is_empty() {
            self.start(None, None, None, out);
        }
        out.extend_from_slice(&self.head);
        out.extend_from_slice(b",\"choices\":[{\"index\":0,\"delta\":");
        object(out, fill);
        out.extend_from_slice(b",\"logprobs\":null,\"finish_reason\":null}]");
        self.tail(out);
    }

    /// What every chunk but the one of the usage ends with.
    fn tail(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(match self.reply.stream_usage {
            true => b",\"usage\":null}\n\n",
            false => b"}\n\n",
        });
    }

    fn part_start(&mut self, index: usize, part: &PartStart<'_>, out: &mut Vec<u8>) {
        let kind = match part {
            PartStart::Text => Kind::Words,
            PartStart::Refusal => Kind::Refusal,
            PartStart::Reasoning => Kind::Reasoning,
            PartStart::RedactedReasoning(data) => {
                self.block(out, |o| {
                    o.string("type", "redacted_thinking");
                    data.put("data", o);
                });
                return;
            }
            PartStart::ToolCall { id, name, custom } => self.call(id, name, *custom, out),
            PartStart::Opaque { dialect: Dialect::OpenAiChat, kind, raw } if kind == "audio" => {
                self.delta(out, |o| o.verbatim("audio", raw));
                Kind::Opaque
            }
            PartStart::Opaque { kind, .. } => {
                self.losses.add(format!("content[].{kind}"));
                Kind::Opaque
            }
        };
        self.open.retain(|open| open.index != index);
        self.open.push(Open { index, kind });
    }

    fn call(&mut self, id: &Text<'_>, name: &Text<'_>, custom: bool, out: &mut Vec<u8>) -> Kind {
        let place = self.calls;
        self.calls += 1;
        let restored = self.reply.tools.restore(&name.read()).map(|(caller, was_custom)| (caller.to_owned(), was_custom));
        let was_custom = restored.as_ref().is_some_and(|(_, was_custom)| *was_custom);
        let is_custom = custom || was_custom;
        let made = format!("call_{}_{place}", self.reply.id);
        self.delta(out, |o| {
            o.array("tool_calls", |a| {
                a.object(|o| {
                    o.u64("index", place as u64);
                    match id.is_empty() {
                        true => o.string("id", &made),
                        false => id.put("id", o),
                    }
                    let (kind, input) = words_of(is_custom);
                    o.string("type", kind);
                    o.object(kind, |o| {
                        match &restored {
                            Some((caller, _)) => o.string("name", caller),
                            None => name.put("name", o),
                        }
                        o.string(input, "");
                    });
                });
            });
        });
        Kind::Call { place, custom: is_custom, any: false, wrapped: (was_custom && !custom).then(String::new) }
    }

    fn arguments(&mut self, place: usize, custom: bool, text: &Text<'_>, out: &mut Vec<u8>) {
        let (kind, input) = words_of(custom);
        self.delta(out, |o| {
            o.array("tool_calls", |a| {
                a.object(|o| {
                    o.u64("index", place as u64);
                    o.object(kind, |o| text.put(input, o));
                });
            });
        });
    }

    fn block(&mut self, out: &mut Vec<u8>, fill: impl FnOnce(&mut Object<'_>)) {
        self.delta(out, |o| o.array("thinking_blocks", |a| a.object(fill)));
    }

    fn part_delta(&mut self, index: usize, delta: &Delta<'_>, out: &mut Vec<u8>) {
        let open = self.open.iter_mut().find(|open| open.index == index).map(|open| &mut open.kind);
        match (delta, open) {
            (Delta::Opaque { dialect: Dialect::OpenAiChat, kind, raw }, _) if matches!(&**kind, "annotations" | "audio") => {
                self.delta(out, |o| o.verbatim(kind, raw));
            }
            (Delta::Opaque { kind, .. }, _) => self.losses.add(format!("content[].{kind}")),
            (_, Some(Kind::Opaque)) => {}
            (delta, _) if delta.text().is_empty() => {}
            (Delta::Text(text), Some(Kind::Refusal)) => {
                self.refused = true;
                self.delta(out, |o| text.put("refusal", o));
            }
            (Delta::Text(text), _) => self.delta(out, |o| text.put("content", o)),
            (Delta::Reasoning(text), _) => self.delta(out, |o| text.put("reasoning_content", o)),
            (Delta::Signature(signature), _) => self.block(out, |o| {
                o.string("type", "thinking");
                o.string("thinking", "");
                signature.put("signature", o);
            }),
            (Delta::Arguments(text), Some(Kind::Call { place, custom, any, wrapped })) => {
                let (place, custom) = (*place, *custom);
                *any = true;
                match hold(wrapped, text) {
                    Held::Yes => {}
                    Held::No => self.arguments(place, custom, text, out),
                    Held::TooMuch(all) => {
                        self.losses.add("tool_calls[].custom.input");
                        self.arguments(place, custom, &Text::plain(all), out);
                    }
                }
            }
            (Delta::Arguments(_), _) => self.losses.add("tool_calls[].arguments"),
        }
    }

    fn part_end(&mut self, kind: Kind, out: &mut Vec<u8>) {
        let Kind::Call { place, custom, any, wrapped } = kind else { return };
        if let Some(wrapped) = wrapped {
            self.arguments(place, custom, &Text::plain(custom_input(&wrapped)), out);
        } else if !any && !custom {
            self.arguments(place, custom, &Text::Escaped("{}"), out);
        }
    }

    fn finish(&mut self, finish: Option<&Finish<'_>>, out: &mut Vec<u8>) {
        for open in std::mem::take(&mut self.open) {
            self.part_end(open.kind, out);
        }
        if std::mem::replace(&mut self.finished, true) {
            return;
        }
        let explanation = finish.and_then(|finish| finish.explanation.as_ref()).filter(|_| !self.refused);
        if let Some(explanation) = explanation {
            self.delta(out, |o| explanation.put("refusal", o));
        }
        if self.head.is_empty() {
            self.start(None, None, None, out);
        }
        let reason = finish.map_or(FinishReason::Stop, |finish| finish.reason);
        out.extend_from_slice(&self.head);
        out.extend_from_slice(b",\"choices\":[");
        object(out, |o| {
            o.u64("index", 0);
            o.object("delta", |_| ());
            o.null("logprobs");
            o.string("finish_reason", finish_word(reason, self.calls > 0));
            put_native_finish(finish, o);
        });
        out.push(b']');
        self.tail(out);
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.finish(None, out);
        self.closed = true;
        if let Some(told) = self.usage.filter(|_| self.reply.stream_usage) {
            // A member list that goes on behind the head: the brace is the head's.
            let mut members = Vec::with_capacity(256);
            object(&mut members, |o| {
                o.array("choices", |_| ());
                usage::encode(&told, o);
            });
            out.extend_from_slice(&self.head);
            out.push(b',');
            out.extend_from_slice(&members[1..]);
            out.extend_from_slice(b"\n\n");
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }
}

/// A kind of tool and what its argument is called.
fn words_of(custom: bool) -> (&'static str, &'static str) {
    if custom { ("custom", "input") } else { ("function", "arguments") }
}
