//! The conversation as Anthropic orders it, and Bedrock too: a leading system text, then turns that alternate.

use std::borrow::Cow;
use std::collections::HashSet;

use super::decode::IN_CONTENT;
use super::wire::is_blank;
use crate::base::Fault;
use crate::dialect::{Losses, refuse};
use crate::ir::{Dialect, Extension, Message, ModelTraits, Part, Role, proof};

/// One turn: what consecutive messages of one speaker make together.
pub(in crate::dialect) struct Turn<'r, 'a> {
    /// `user`, `assistant`, or `system` in the middle.
    pub(in crate::dialect) role: &'static str,
    /// What is said, without what the API refuses (blank text, thinking that nobody signed), in the order it wants.
    pub(in crate::dialect) parts: Vec<&'r Part<'a>>,
    /// Members of the dialect's own.
    pub(in crate::dialect) extensions: Vec<&'r Extension<'a>>,
}

/// A conversation in Anthropic's order.
pub(in crate::dialect) struct Turns<'r, 'a> {
    /// Whose order, proofs and extensions.
    dialect: Dialect,
    /// The leading instructions.
    pub(in crate::dialect) system: Vec<&'r Part<'a>>,
    /// The turns.
    pub(in crate::dialect) turns: Vec<Turn<'r, 'a>>,
}

impl<'r, 'a> Turns<'r, 'a> {
    /// Orders `messages`. Tool results come first in their turn and thinking first in its message, as the API demands.
    ///
    /// # Errors
    /// Nothing but instructions, or a spoken answer of another provider in the history.
    pub(in crate::dialect) fn new(
        dialect: Dialect,
        messages: &'r [Message<'a>],
        traits: &ModelTraits,
        losses: &mut Losses,
    ) -> Result<Self, Fault> {
        let mut this = Self { dialect, system: Vec::new(), turns: Vec::new() };
        let is_system = |m: &Message<'_>| matches!(m.role, Role::System | Role::Developer);
        let leading = messages.iter().take_while(|m| is_system(m)).count();
        for message in &messages[..leading] {
            note_rest(dialect, message, losses)?;
            this.system.extend(sayable(dialect, message, losses));
        }
        // Whether what follows a message, but for more of the system's, is the assistant's or nothing.
        let mut ends: Vec<bool> = Vec::with_capacity(messages.len() - leading);
        for message in messages[leading..].iter().rev() {
            ends.push(if is_system(message) { ends.last().copied().unwrap_or(true) } else { message.role == Role::Assistant });
        }
        for (message, ends) in messages[leading..].iter().zip(ends.into_iter().rev()) {
            note_rest(dialect, message, losses)?;
            let role = match message.role {
                Role::User => "user",
                Role::Assistant => "assistant",
                // The API takes one such turn behind a user's, before an assistant's or at the end.
                Role::System | Role::Developer
                    if traits.system_in_messages && matches!(this.turns.last().map(|t| t.role), Some("user" | "system")) && ends =>
                {
                    "system"
                }
                Role::System | Role::Developer => {
                    losses.add("messages[].system");
                    "user"
                }
            };
            this.say(role, message, losses);
        }
        for turn in &mut this.turns {
            turn.parts.sort_by_key(|part| !matches!(part, Part::ToolResult { .. }));
        }
        if this.turns.is_empty() {
            let text = "messages: the target needs at least one message beside the instructions whose content is not blank.";
            return Err(Fault::unsupported("messages", text));
        }
        Ok(this)
    }

    /// The names of the tools that were called, each once.
    pub(in crate::dialect) fn called(&self) -> Vec<Cow<'r, str>> {
        let (mut names, mut met) = (Vec::new(), HashSet::new());
        for part in self.turns.iter().flat_map(|turn| &turn.parts) {
            if let Part::ToolCall { name, .. } = part {
                let name = name.read();
                if met.insert(name.clone()) {
                    names.push(name);
                }
            }
        }
        names
    }

    fn say(&mut self, role: &'static str, message: &'r Message<'a>, losses: &mut Losses) {
        let dialect = self.dialect;
        let anew = self.turns.last().is_none_or(|turn| turn.role != role);
        if anew {
            self.turns.push(Turn { role, parts: Vec::new(), extensions: Vec::new() });
        }
        let Some(turn) = self.turns.last_mut() else { return };
        let before = turn.parts.len();
        turn.parts.extend(sayable(dialect, message, losses));
        let said = &mut turn.parts[before..];
        if said.is_empty() {
            if anew {
                self.turns.pop();
            }
            return;
        }
        if role == "assistant" && !said.first().is_some_and(|part| is_thinking(part)) {
            said.sort_by_key(|part| !is_thinking(part));
        }
        let own = |e: &&Extension<'_>| e.dialect == dialect && !e.name.starts_with(IN_CONTENT);
        let extensions = message.extensions.iter().filter(own);
        match turn.extensions.is_empty() {
            true => turn.extensions.extend(extensions),
            false => extensions.for_each(|e| losses.add(format!("messages[].{}", e.name))),
        }
    }
}

fn is_thinking(part: &Part<'_>) -> bool {
    matches!(part, Part::Reasoning { .. } | Part::RedactedReasoning(_))
}

/// The parts that the API takes at all. A proof of another provider is refused together with the whole request.
fn sayable<'r, 'a>(dialect: Dialect, message: &'r Message<'a>, losses: &mut Losses) -> impl Iterator<Item = &'r Part<'a>> {
    message.parts.iter().filter(move |part| match part {
        Part::Text { text, cache, .. } if is_blank(text) => {
            if cache.is_some() {
                losses.add("cache_control");
            }
            false
        }
        Part::Refusal(text) => !is_blank(text),
        Part::Reasoning { text, signature } if signature.as_ref().and_then(|proof| proof::claim(dialect, proof)).is_none() => {
            if !text.is_empty() || signature.as_ref().is_some_and(|s| !s.is_empty()) {
                losses.add("messages[].reasoning");
            }
            false
        }
        Part::RedactedReasoning(data) if proof::claim(dialect, data).is_none() => {
            losses.add("messages[].reasoning");
            false
        }
        _ => true,
    })
}

/// Names what of a message, beside its parts, is not written.
fn note_rest(dialect: Dialect, message: &Message<'_>, losses: &mut Losses) -> Result<(), Fault> {
    if message.name.is_some() {
        losses.add("messages[].name");
    }
    for extension in &message.extensions {
        let foreign = extension.dialect != dialect;
        if extension.value.is_null() || !(foreign || extension.name.starts_with(IN_CONTENT)) {
            continue;
        }
        if foreign && extension.name == "audio" {
            return Err(refuse::spoken_answer());
        }
        losses.add(format!("messages[].{}", extension.name));
    }
    Ok(())
}
