//! One event of the wire, read in one walk.

use std::borrow::Cow;

use crate::base::json::{JsonError, Raw, Reader};
use crate::dialect::openai::read::words;
use crate::ir::Text;

/// The members that mean something.
#[derive(Default)]
pub(super) struct Wire<'f> {
    /// What kind of event.
    pub(super) kind: Cow<'f, str>,
    /// Which item.
    pub(super) item_index: Option<u64>,
    /// Which part of a message.
    pub(super) content_index: u64,
    /// Which part of a summary.
    pub(super) summary_index: u64,
    /// What is added.
    pub(super) delta: Option<Text<'f>>,
    /// What a part is as a whole: `text`, `refusal`, `arguments` or `input`.
    pub(super) whole: Option<Text<'f>>,
    /// The item.
    pub(super) item: Option<Raw<'f>>,
    /// The part.
    pub(super) part: Option<Raw<'f>>,
    /// Where a claim comes from.
    pub(super) annotation: Option<Raw<'f>>,
    /// The response.
    pub(super) response: Option<Raw<'f>>,
    /// Whether there is an `error`.
    pub(super) failed: bool,
}

impl<'f> Wire<'f> {
    /// Reads the members; all of them are validated.
    pub(super) fn read(&mut self, r: &mut Reader<'f>) -> Result<(), Box<JsonError>> {
        if !r.is_object() {
            return Err(r.expected("an object"));
        }
        r.members(|r, name| {
            match &*name {
                "type" => self.kind = r.raw()?.string().unwrap_or_default(),
                "output_index" => self.item_index = r.raw()?.u64(),
                "content_index" => self.content_index = r.raw()?.u64().unwrap_or(0),
                "summary_index" => self.summary_index = r.raw()?.u64().unwrap_or(0),
                "delta" => self.delta = words(Some(r.raw()?)),
                "text" | "refusal" | "arguments" | "input" => self.whole = words(Some(r.raw()?)),
                "item" => self.item = Some(r.raw()?).filter(|item| item.is_object()),
                "part" => self.part = Some(r.raw()?).filter(|part| part.is_object()),
                "annotation" => self.annotation = Some(r.raw()?).filter(|annotation| !annotation.is_null()),
                "response" => self.response = Some(r.raw()?).filter(|response| response.is_object()),
                "error" => self.failed = !r.raw()?.is_null(),
                _ => r.skip()?,
            }
            Ok(())
        })
    }
}
