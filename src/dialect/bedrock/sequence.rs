//! Parts that overlap → parts one after the other.
//!
//! The open part goes on and the others wait in the order of their starts; words, which can be continued in a part of
//! their own, give way at once, so that nothing streams late.

use std::collections::VecDeque;

use crate::ir::{Delta, Dialect, PartStart, Text};

/// The most text that parts may wait with. An upstream that interleaves more than this is not a chat.
const WAITING_BYTES_MAX: usize = 32 << 20;
/// The most parts that may wait, and the most refusals that are remembered.
const WAITING_PARTS_MAX: usize = 1024;

/// What happens to the one part that is open.
#[derive(Debug)]
pub(super) enum Step<'s, 'f> {
    /// It begins; the one before has ended.
    Start(&'s PartStart<'f>),
    /// More of it.
    Delta(&'s Delta<'f>),
    /// It is whole.
    End,
    /// A delta came whose part has ended and cannot be continued.
    Lost(&'s Delta<'f>),
}

/// The parts interleave beyond what can be put in order.
#[derive(Debug)]
pub(super) struct TooTangled;

/// Puts the parts of one answer in order.
#[derive(Debug, Default)]
pub(super) struct Sequence {
    /// The open part, and behind it those that wait.
    parts: VecDeque<Held>,
    /// Parts of words that declined and gave way: what follows of them declines too.
    declined: Vec<usize>,
    waiting_bytes: usize,
}

#[derive(Debug)]
struct Held {
    index: usize,
    /// What it is; `None` where its start has been told.
    start: Option<PartStart<'static>>,
    takes: Takes,
    waiting: Vec<Delta<'static>>,
    ended: bool,
}

/// Which deltas a part takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    Text,
    Refusal,
    Reasoning,
    Arguments,
    Opaque,
    Nothing,
}

impl Takes {
    fn of(start: &PartStart<'_>) -> Self {
        match start {
            PartStart::Text => Self::Text,
            PartStart::Refusal => Self::Refusal,
            PartStart::Reasoning => Self::Reasoning,
            PartStart::RedactedReasoning(_) => Self::Nothing,
            PartStart::ToolCall { .. } => Self::Arguments,
            PartStart::Opaque { .. } => Self::Opaque,
        }
    }

    fn delta(self, delta: &Delta<'_>) -> bool {
        match delta {
            Delta::Text(_) => matches!(self, Self::Text | Self::Refusal),
            Delta::Reasoning(_) | Delta::Signature(_) => self == Self::Reasoning,
            Delta::Arguments(_) => self == Self::Arguments,
            Delta::Opaque { .. } => matches!(self, Self::Opaque | Self::Text),
        }
    }

    fn gives_way(self) -> bool {
        matches!(self, Self::Text | Self::Refusal | Self::Reasoning | Self::Nothing)
    }
}

impl Sequence {
    /// A part begins.
    ///
    /// # Errors
    /// Too many parts wait.
    pub(super) fn start(&mut self, index: usize, part: &PartStart<'_>, each: &mut dyn FnMut(Step<'_, '_>)) -> Result<(), TooTangled> {
        // An index that begins again is another part.
        for held in self.parts.iter_mut().filter(|held| held.index == index) {
            held.ended = true;
        }
        self.declined.retain(|declined| *declined != index);
        self.begin(index, part, each)
    }

    fn begin(&mut self, index: usize, part: &PartStart<'_>, each: &mut dyn FnMut(Step<'_, '_>)) -> Result<(), TooTangled> {
        let takes = Takes::of(part);
        self.advance(true, each);
        let start = if self.parts.is_empty() {
            each(Step::Start(part));
            None
        } else {
            Some(owned_start(part))
        };
        self.parts.push_back(Held { index, start, takes, waiting: Vec::new(), ended: takes == Takes::Nothing });
        if self.parts.len() > WAITING_PARTS_MAX {
            return Err(TooTangled);
        }
        self.advance(false, each);
        Ok(())
    }

    /// More of a part.
    ///
    /// # Errors
    /// Too much waits.
    pub(super) fn delta(&mut self, index: usize, delta: &Delta<'_>, each: &mut dyn FnMut(Step<'_, '_>)) -> Result<(), TooTangled> {
        if delta.text().is_empty() {
            return Ok(());
        }
        let place = self.parts.iter().rposition(|held| held.index == index && !held.ended && held.takes.delta(delta));
        let place = match (place, delta) {
            (Some(place), _) => place,
            (None, Delta::Text(_) | Delta::Reasoning(_)) => {
                let part = match delta {
                    Delta::Reasoning(_) => PartStart::Reasoning,
                    _ if self.declined.contains(&index) => PartStart::Refusal,
                    _ => PartStart::Text,
                };
                self.begin(index, &part, each)?;
                self.parts.len() - 1
            }
            (None, _) => {
                each(Step::Lost(delta));
                return Ok(());
            }
        };
        if place == 0 {
            each(Step::Delta(delta));
            return Ok(());
        }
        self.waiting_bytes += delta.text().len();
        if self.waiting_bytes > WAITING_BYTES_MAX {
            return Err(TooTangled);
        }
        self.parts[place].wait(delta);
        Ok(())
    }

    /// A part is whole.
    pub(super) fn end(&mut self, index: usize, each: &mut dyn FnMut(Step<'_, '_>)) {
        if let Some(held) = self.parts.iter_mut().rev().find(|held| held.index == index) {
            held.ended = true;
            self.advance(false, each);
        }
    }

    /// All parts are whole.
    pub(super) fn finish(&mut self, each: &mut dyn FnMut(Step<'_, '_>)) {
        for held in &mut self.parts {
            held.ended = true;
        }
        self.advance(false, each);
    }

    /// Ends what is over, or gives way, and begins what waits, until the open part is one that goes on. `another`: a part
    /// is about to wait behind those here.
    fn advance(&mut self, another: bool, each: &mut dyn FnMut(Step<'_, '_>)) {
        loop {
            let behind = another || self.parts.len() > 1;
            let Some(front) = self.parts.front_mut() else { return };
            if let Some(start) = front.start.take() {
                each(Step::Start(&start));
            }
            for delta in std::mem::take(&mut front.waiting) {
                self.waiting_bytes = self.waiting_bytes.saturating_sub(delta.text().len());
                each(Step::Delta(&delta));
            }
            let over = front.ended || (behind && front.takes.gives_way());
            if !over {
                return;
            }
            if front.takes == Takes::Refusal && !front.ended && self.declined.len() < WAITING_PARTS_MAX {
                self.declined.push(front.index);
            }
            each(Step::End);
            self.parts.pop_front();
        }
    }
}

impl Held {
    /// Keeps a delta until its turn. Texts in a row become one.
    fn wait(&mut self, delta: &Delta<'_>) {
        let joined = match (self.waiting.last_mut(), delta) {
            (Some(Delta::Text(last)), Delta::Text(more))
            | (Some(Delta::Reasoning(last)), Delta::Reasoning(more))
            | (Some(Delta::Signature(last)), Delta::Signature(more))
            | (Some(Delta::Arguments(last)), Delta::Arguments(more)) => Some((last, more)),
            _ => None,
        };
        match joined {
            Some((Text::Plain(last), more)) => last.to_mut().push_str(&more.read()),
            _ => self.waiting.push(owned_delta(delta)),
        }
    }
}

fn owned_start(part: &PartStart<'_>) -> PartStart<'static> {
    match part {
        PartStart::Text => PartStart::Text,
        PartStart::Refusal => PartStart::Refusal,
        PartStart::Reasoning => PartStart::Reasoning,
        PartStart::RedactedReasoning(data) => PartStart::RedactedReasoning(data.clone().into_owned()),
        PartStart::ToolCall { id, name, custom } => {
            PartStart::ToolCall { id: id.clone().into_owned(), name: name.clone().into_owned(), custom: *custom }
        }
        PartStart::Opaque { dialect, kind, raw } => {
            let (kind, raw) = owned_opaque(*dialect, kind, raw);
            PartStart::Opaque { dialect: *dialect, kind: kind.into(), raw: raw.into() }
        }
    }
}

fn owned_delta(delta: &Delta<'_>) -> Delta<'static> {
    match delta {
        Delta::Text(text) => Delta::Text(text.clone().into_owned()),
        Delta::Reasoning(text) => Delta::Reasoning(text.clone().into_owned()),
        Delta::Signature(text) => Delta::Signature(text.clone().into_owned()),
        Delta::Arguments(text) => Delta::Arguments(text.clone().into_owned()),
        Delta::Opaque { dialect, kind, raw } => {
            let (kind, raw) = owned_opaque(*dialect, kind, raw);
            Delta::Opaque { dialect: *dialect, kind: kind.into(), raw: raw.into() }
        }
    }
}

/// Another dialect's is only named as a loss: its JSON need not be kept.
fn owned_opaque(dialect: Dialect, kind: &str, raw: &str) -> (String, String) {
    (kind.to_owned(), if dialect == Dialect::Bedrock { raw.to_owned() } else { "{}".to_owned() })
}
