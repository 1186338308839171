//! The conversation as Gemini orders it: leading instructions, then turns that alternate, the user's first.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::base::Fault;
use crate::dialect::{Losses, refuse};
use crate::ir::{Dialect, Extension, Message, Part, Role, Text};

/// One turn: what consecutive messages of one speaker make together.
pub(super) struct Turn<'r, 'a> {
    /// `user` or `model`.
    pub(super) role: &'static str,
    /// What is said, results of calls first.
    pub(super) parts: Vec<&'r Part<'a>>,
    /// Whether it belongs to the exchange that goes on: behind the last turn of the user's that answers no call.
    pub(super) current: bool,
}

/// A conversation in Gemini's order.
#[derive(Default)]
pub(super) struct Turns<'r, 'a> {
    /// The leading instructions.
    pub(super) system: Vec<&'r Part<'a>>,
    /// The turns.
    pub(super) turns: Vec<Turn<'r, 'a>>,
    /// By the id of each call, its place among all calls and its function's name.
    calls: HashMap<Cow<'r, str>, (usize, &'r Text<'a>)>,
    made: usize,
}

impl<'r, 'a> Turns<'r, 'a> {
    /// Orders `messages`.
    ///
    /// # Errors
    /// A spoken answer of another provider in the history.
    pub(super) fn new(messages: &'r [Message<'a>], losses: &mut Losses) -> Result<Self, Fault> {
        let mut this = Self::default();
        let is_system = |m: &Message<'_>| matches!(m.role, Role::System | Role::Developer);
        let leading = messages.iter().take_while(|m| is_system(m)).count();
        for (i, message) in messages.iter().enumerate() {
            note_rest(message, losses)?;
            match message.role {
                Role::System | Role::Developer if i < leading => this.system.extend(&message.parts),
                Role::System | Role::Developer => {
                    losses.add("messages[].system");
                    this.say("user", message);
                }
                Role::User => this.say("user", message),
                Role::Assistant => this.say("model", message),
            }
        }
        this.order();
        Ok(this)
    }

    /// The name of the function whose call has this id.
    pub(super) fn function(&self, id: &str) -> Option<&'r Text<'a>> {
        self.calls.get(id).map(|(_, name)| *name)
    }

    fn say(&mut self, role: &'static str, message: &'r Message<'a>) {
        for part in &message.parts {
            if let Part::ToolCall { id, name, .. } = part {
                self.calls.insert(id.read(), (self.made, name));
                self.made += 1;
            }
        }
        match self.turns.last_mut() {
            Some(turn) if turn.role == role => turn.parts.extend(&message.parts),
            _ => self.turns.push(Turn { role, parts: message.parts.iter().collect(), current: false }),
        }
    }

    /// Results stand first in their turn and in the order of their calls: without ids, that is how they are paired.
    fn order(&mut self) {
        let Self { turns, calls, .. } = self;
        for turn in turns.iter_mut().filter(|turn| turn.role == "user") {
            turn.parts.sort_by_cached_key(|part| match part {
                Part::ToolResult { id, .. } => calls.get(&*id.read()).map_or(usize::MAX - 1, |(place, _)| *place),
                _ => usize::MAX,
            });
        }
        let spoken = |turn: &Turn<'_, '_>| turn.role == "user" && !turn.parts.iter().any(|p| matches!(p, Part::ToolResult { .. }));
        let last = turns.iter().rposition(spoken);
        for (i, turn) in turns.iter_mut().enumerate() {
            turn.current = last.is_none_or(|last| i > last);
        }
    }
}

/// Names what of a message, beside its parts, is not written.
fn note_rest(message: &Message<'_>, losses: &mut Losses) -> Result<(), Fault> {
    if message.name.is_some() {
        losses.add("messages[].name");
    }
    for Extension { dialect, name, value } in &message.extensions {
        if value.is_null() {
            continue;
        }
        if *dialect != Dialect::Gemini && name == "audio" {
            return Err(refuse::spoken_answer());
        }
        losses.add(format!("messages[].{name}"));
    }
    Ok(())
}
