//! A streamed answer in the neutral form, and the two ways between a stream and a whole answer.

use std::borrow::Cow;

use super::{Answer, Dialect, Finish, Part, Text, Usage};
use crate::base::Fault;

/// One meaning of a streamed answer. Parts never overlap in an encoder's output; in its input they may (a decoder
/// tells them apart by `index`).
#[derive(Clone, Debug)]
pub enum Event<'f> {
    /// The answer begins. Told at most once.
    Start {
        /// The provider's id for the answer.
        id: Option<Text<'f>>,
        /// The model that answers.
        model: Option<Text<'f>>,
        /// Seconds since the Unix epoch.
        created: Option<u64>,
    },
    /// A part begins.
    PartStart {
        /// Its place among the parts, dense from 0 in the order of their starts.
        index: usize,
        /// What kind of part.
        part: PartStart<'f>,
    },
    /// More of a part that has begun.
    PartDelta {
        /// Which part.
        index: usize,
        /// What is added.
        delta: Delta<'f>,
    },
    /// A part is whole.
    PartEnd {
        /// Which part.
        index: usize,
    },
    /// Counters so far: cumulative, absent means unchanged.
    Usage(Usage),
    /// Why the answer ended. More usage may follow.
    Finish(Finish<'f>),
    /// A sign of life.
    Ping,
    /// The upstream gave up in mid-stream.
    Fault(Fault),
    /// The dialect's own end mark: the stream is whole.
    End,
}

impl Event<'_> {
    /// Whether it carries content: from here on, no other target may answer.
    pub fn is_content(&self) -> bool {
        match self {
            Self::PartStart { part, .. } => {
                matches!(part, PartStart::ToolCall { .. } | PartStart::RedactedReasoning(_) | PartStart::Opaque { .. })
            }
            Self::PartDelta { delta, .. } => !delta.text().is_empty(),
            _ => false,
        }
    }
}

/// What kind of part begins.
#[derive(Clone, Debug)]
pub enum PartStart<'f> {
    /// Words.
    Text,
    /// Words by which the model declines.
    Refusal,
    /// Thinking.
    Reasoning,
    /// Thinking that only the provider can read; whole at once.
    RedactedReasoning(Text<'f>),
    /// A tool call; its arguments follow as deltas.
    ToolCall {
        /// The call's id.
        id: Text<'f>,
        /// The tool's name.
        name: Text<'f>,
        /// Whether the tool is a free-form one.
        custom: bool,
    },
    /// A part that the neutral form does not model: its start, verbatim, for its own dialect only.
    Opaque {
        /// Whose part it is.
        dialect: Dialect,
        /// The part's `type`.
        kind: Cow<'f, str>,
        /// The JSON of its start.
        raw: Cow<'f, str>,
    },
}

/// What is added to a part.
#[derive(Clone, Debug)]
pub enum Delta<'f> {
    /// Words, of a text or a refusal.
    Text(Text<'f>),
    /// Thinking.
    Reasoning(Text<'f>),
    /// The provider's proof of the thinking.
    Signature(Text<'f>),
    /// A fragment of a tool call's arguments.
    Arguments(Text<'f>),
    /// A delta that the neutral form does not model (a citation).
    Opaque {
        /// Whose delta it is.
        dialect: Dialect,
        /// The delta's `type`.
        kind: Cow<'f, str>,
        /// The JSON of the delta.
        raw: Cow<'f, str>,
    },
}

impl Delta<'_> {
    /// Its text, whatever it is for; that of an opaque delta is its JSON.
    pub fn text(&self) -> Text<'_> {
        match self {
            Self::Text(t) | Self::Reasoning(t) | Self::Signature(t) | Self::Arguments(t) => t.by_ref(),
            Self::Opaque { raw, .. } => Text::Plain(Cow::Borrowed(raw)),
        }
    }
}

/// Turns a stream into a whole answer. Opaque parts and deltas are counted, not kept: a folded answer goes to another
/// dialect, or into a comparison.
#[derive(Debug, Default)]
pub struct Fold {
    answer: Answer<'static>,
    opaque: usize,
    ended: bool,
    fault: Option<Fault>,
    /// Where in `answer.parts` the part of an event index is.
    places: Vec<Option<usize>>,
}

impl Fold {
    /// Adds one event.
    pub fn add(&mut self, event: &Event<'_>) {
        match event {
            Event::Start { id, model, created } => {
                self.answer.id = id.clone().map(Text::into_owned);
                self.answer.model = model.clone().map(Text::into_owned);
                self.answer.created = *created;
            }
            Event::PartStart { index, part } => self.start(*index, part),
            Event::PartDelta { index, delta } => self.delta(*index, delta),
            Event::Usage(usage) => self.answer.usage.get_or_insert_default().merge(usage),
            Event::Finish(finish) => self.answer.finish = Some(finish.clone().into_owned()),
            Event::Fault(fault) => self.fault = Some(fault.clone()),
            Event::End => self.ended = true,
            Event::PartEnd { .. } | Event::Ping => {}
        }
    }

    fn start(&mut self, index: usize, part: &PartStart<'_>) {
        let part = match part {
            PartStart::Text => Some(Part::text(Text::EMPTY)),
            PartStart::Refusal => Some(Part::Refusal(Text::EMPTY)),
            PartStart::Reasoning => Some(Part::Reasoning { text: Text::EMPTY, signature: None }),
            PartStart::RedactedReasoning(data) => Some(Part::RedactedReasoning(data.clone().into_owned())),
            PartStart::ToolCall { id, name, custom } => Some(Part::ToolCall {
                id: id.clone().into_owned(),
                name: name.clone().into_owned(),
                arguments: Text::EMPTY,
                custom: *custom,
                cache: None,
            }),
            PartStart::Opaque { .. } => None,
        };
        if self.places.len() <= index {
            self.places.resize(index + 1, None);
        }
        match part {
            Some(part) => {
                self.places[index] = Some(self.answer.parts.len());
                self.answer.parts.push(part);
            }
            None => self.opaque += 1,
        }
    }

    fn delta(&mut self, index: usize, delta: &Delta<'_>) {
        let Some(place) = self.places.get(index).copied().flatten() else { return };
        match (&mut self.answer.parts[place], delta) {
            (Part::Text { text, .. } | Part::Refusal(text), Delta::Text(more)) => append(text, more),
            (Part::Reasoning { text, .. }, Delta::Reasoning(more)) => append(text, more),
            (Part::Reasoning { signature, .. }, Delta::Signature(more)) => append(signature.get_or_insert(Text::EMPTY), more),
            (Part::ToolCall { arguments, .. }, Delta::Arguments(more)) => append(arguments, more),
            _ => self.opaque += 1,
        }
    }

    /// Whether the end mark was seen.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Why the answer ended, where that was told.
    pub fn finish(&self) -> Option<&Finish<'static>> {
        self.answer.finish.as_ref()
    }

    /// The upstream's error in mid-stream, if there was one.
    pub fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }

    /// How many opaque parts and deltas were met.
    pub fn opaque(&self) -> usize {
        self.opaque
    }

    /// The answer so far.
    pub fn into_answer(self) -> Answer<'static> {
        self.answer
    }
}

fn append(text: &mut Text<'static>, more: &Text<'_>) {
    if let Text::Plain(Cow::Owned(joined)) = text {
        joined.push_str(&more.read());
    } else {
        *text = Text::Plain(Cow::Owned(format!("{}{}", text.read(), more.read())));
    }
}

/// Replays a whole answer as the events of a stream: each part as one delta.
pub fn unfold<'a>(answer: &'a Answer<'_>, mut each: impl FnMut(Event<'a>)) {
    each(Event::Start {
        id: answer.id.as_ref().map(Text::by_ref),
        model: answer.model.as_ref().map(Text::by_ref),
        created: answer.created,
    });
    let mut index = 0;
    for part in &answer.parts {
        let (start, deltas) = match part {
            Part::Text { text, .. } => (PartStart::Text, [Some(Delta::Text(text.by_ref())), None]),
            Part::Refusal(text) => (PartStart::Refusal, [Some(Delta::Text(text.by_ref())), None]),
            Part::Reasoning { text, signature } => {
                (PartStart::Reasoning, [Some(Delta::Reasoning(text.by_ref())), signature.as_ref().map(|s| Delta::Signature(s.by_ref()))])
            }
            Part::RedactedReasoning(data) => (PartStart::RedactedReasoning(data.by_ref()), [None, None]),
            Part::ToolCall { id, name, arguments, custom, .. } => (
                PartStart::ToolCall { id: id.by_ref(), name: name.by_ref(), custom: *custom },
                [Some(Delta::Arguments(arguments.by_ref())), None],
            ),
            Part::Opaque { dialect, kind, raw } => {
                (PartStart::Opaque { dialect: *dialect, kind: Cow::Borrowed(kind), raw: Cow::Borrowed(raw.get()) }, [None, None])
            }
            Part::ToolResult { .. } | Part::Media(_) => continue,
        };
        each(Event::PartStart { index, part: start });
        for delta in deltas.into_iter().flatten() {
            each(Event::PartDelta { index, delta });
        }
        each(Event::PartEnd { index });
        index += 1;
    }
    if let Some(usage) = answer.usage {
        each(Event::Usage(usage));
    }
    if let Some(finish) = &answer.finish {
        each(Event::Finish(finish.clone()));
    }
    each(Event::End);
}
