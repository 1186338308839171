//! One chunk on the wire: its members, gathered in the walk that also validates it.

use super::super::usage;
use crate::base::json::{JsonError, Raw, Reader};
use crate::dialect::openai::read::{told, words};
use crate::ir::{ServiceTier, Text, Usage};

/// The members of a chunk, gathered in the one walk that also validates it.
#[derive(Default)]
pub(super) struct Chunk<'f> {
    pub(super) id: Option<Text<'f>>,
    pub(super) model: Option<Text<'f>>,
    pub(super) created: Option<u64>,
    pub(super) counted: Option<Usage>,
    pub(super) groq: Option<Usage>,
    /// The tier that answers, where the chunk tells it.
    pub(super) tier: Option<ServiceTier>,
    /// Whether it may be an error.
    pub(super) suspect: bool,
    pub(super) has_choices: bool,
    /// The choice of index 0. Further answers (`n`) are not modelled: a request for them is never translated.
    pub(super) first: Option<Choice<'f>>,
}

pub(super) struct Choice<'f> {
    pub(super) is_first: bool,
    pub(super) delta: DeltaMembers<'f>,
    pub(super) word: Option<Text<'f>>,
    pub(super) stop_text: Option<Text<'f>>,
}

#[derive(Default)]
pub(super) struct DeltaMembers<'f> {
    pub(super) content: Option<Raw<'f>>,
    pub(super) refusal: Option<Text<'f>>,
    pub(super) reasoning_content: Option<Text<'f>>,
    pub(super) reasoning: Option<Text<'f>>,
    pub(super) blocks: Option<Raw<'f>>,
    pub(super) calls: Option<Raw<'f>>,
    pub(super) function_call: Option<Raw<'f>>,
    pub(super) annotations: Option<Raw<'f>>,
    pub(super) audio: Option<Raw<'f>>,
}

type Read = Result<(), Box<JsonError>>;

impl<'f> Chunk<'f> {
    pub(super) fn read(&mut self, r: &mut Reader<'f>) -> Read {
        if !r.is_object() {
            return Err(r.expected("an object"));
        }
        r.members(|r, name| {
            match &*name {
                "id" => self.id = words(Some(r.raw()?)),
                "model" => self.model = words(Some(r.raw()?)),
                "created" => self.created = r.raw()?.u64(),
                "choices" => return r.elements(|r, _| self.choice(r)),
                "usage" => self.counted = usage::decode(r.raw()?),
                "x_groq" => self.groq = told(r.raw()?, "usage").and_then(usage::decode),
                "service_tier" => self.tier = r.raw()?.inner().and_then(ServiceTier::named),
                "error" => self.suspect |= !r.raw()?.is_null(),
                "object" => self.suspect |= r.raw()?.inner() == Some("error"),
                _ => return r.skip(),
            }
            Ok(())
        })
    }

    fn choice(&mut self, r: &mut Reader<'f>) -> Read {
        if !r.is_object() {
            return r.skip();
        }
        self.has_choices = true;
        let mut choice = Choice { is_first: true, delta: DeltaMembers::default(), word: None, stop_text: None };
        r.members(|r, name| {
            match &*name {
                "index" => choice.is_first = r.raw()?.u64().is_none_or(|index| index == 0),
                "delta" | "message" => return choice.delta.read(r),
                "finish_reason" => choice.word = Text::of(r.raw()?),
                "stop_reason" => choice.stop_text = words(Some(r.raw()?)),
                _ => return r.skip(),
            }
            Ok(())
        })?;
        if choice.is_first {
            self.first.get_or_insert(choice);
        }
        Ok(())
    }
}

impl<'f> DeltaMembers<'f> {
    fn read(&mut self, r: &mut Reader<'f>) -> Read {
        r.members(|r, name| {
            let value = match &*name {
                "content" => &mut self.content,
                "thinking_blocks" => &mut self.blocks,
                "tool_calls" => &mut self.calls,
                "function_call" => &mut self.function_call,
                "annotations" => &mut self.annotations,
                "audio" => &mut self.audio,
                "refusal" => return r.raw().map(|value| self.refusal = words(Some(value))),
                "reasoning_content" => return r.raw().map(|value| self.reasoning_content = words(Some(value))),
                "reasoning" => return r.raw().map(|value| self.reasoning = words(Some(value))),
                _ => return r.skip(),
            };
            *value = Some(r.raw()?).filter(|value| !value.is_null());
            Ok(())
        })
    }
}
