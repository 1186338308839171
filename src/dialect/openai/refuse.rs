//! What both dialects refuse to translate.

use crate::base::Fault;
use crate::ir::{Dialect, Media, MediaKind, Message, Part, Source, Tool};

/// A target that speaks one of the two.
#[derive(Clone, Copy)]
pub(in crate::dialect) struct Target {
    /// What it speaks.
    pub(in crate::dialect) dialect: Dialect,
    /// The same in words.
    pub(in crate::dialect) name: &'static str,
    /// Kinds of media that it does not fetch from an address.
    pub(in crate::dialect) fetches_not: &'static [(MediaKind, &'static str)],
}

impl Target {
    /// Refuses what would change the conversation if it were left out.
    pub(in crate::dialect) fn check_parts(self, message: &Message<'_>) -> Result<(), Fault> {
        message.parts.iter().try_for_each(|part| self.check_part(part))
    }

    fn check_part(self, part: &Part<'_>) -> Result<(), Fault> {
        match part {
            Part::ToolResult { parts, .. } => parts.iter().try_for_each(|part| self.check_part(part)),
            Part::Media(media) => self.check_media(media),
            _ => Ok(()),
        }
    }

    fn check_media(self, media: &Media<'_>) -> Result<(), Fault> {
        let refuse = |what: &str, instead: &str| {
            let text = format!("messages[].content[]: the target speaks {}, which cannot take {what}; {instead}", self.name);
            Err(Fault::unsupported("messages[].content[]", text))
        };
        match (media.kind, &media.source) {
            (MediaKind::Video, _) => refuse("a film", "send pictures of it"),
            (_, Source::FileId { dialect, .. }) if !matches!(dialect, Dialect::OpenAiChat | Dialect::OpenAiResponses) => {
                refuse("a file uploaded to another provider", "send the file's bytes in base64")
            }
            (_, Source::Opaque { .. }) => refuse("a source of another dialect's own kind", "send the bytes in base64, or the text"),
            (kind, Source::Url(_)) => match self.fetches_not.iter().find(|(of, _)| *of == kind) {
                Some((_, what)) => refuse(&format!("{what} by its address"), "send its bytes in base64"),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// Refuses a tool that only another provider has.
    pub(in crate::dialect) fn check_tool(self, tool: &Tool<'_>) -> Result<(), Fault> {
        match tool {
            Tool::Opaque { dialect, kind, .. } if *dialect != self.dialect => {
                let text = format!(
                    "tools: the target speaks {}, which has no tool of the kind `{kind}` ({}); leave it out, or ask a model that has it",
                    self.name,
                    dialect.label()
                );
                Err(Fault::unsupported("tools", text))
            }
            _ => Ok(()),
        }
    }
}
