//! How hard a request looks: a cheap estimate that can say why.
//!
//! It reads the last user message's words, signs and lines, and what the request asks for beside it; it understands nothing.
//! Words are English ones, with some of German, French and Spanish; of other languages the signs, the lines, the length and the
//! request count alone. 0.4 divides best between what a small model does as well (greetings, classification, extraction,
//! translation, look-ups) and what it does not (proofs, several steps, code to be designed, plans under constraints): the
//! test beside this says how well.

mod words;

#[cfg(test)]
mod tests;

use super::features::{Features, Has, asks_to_reason};
use super::prompt;
use crate::ir::{Effort, Request};

/// How hard a request looks, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Difficulty {
    weights: [f32; REASONS.len()],
}

/// What counts, in the words of `explain`.
const REASONS: [&str; 14] = [
    "length",
    "code",
    "maths",
    "constraints",
    "questions and numbered steps",
    "words that ask for reasoning",
    "words that ask for a design or a plan",
    "words that ask for a routine task",
    "reasoning asked for",
    "tools",
    "structured output",
    "a long answer may be given",
    "only a short answer may be given",
    "documents to be read",
];

#[derive(Clone, Copy)]
enum Reason {
    Length,
    Code,
    Maths,
    Constraints,
    Steps,
    Reasoning,
    Design,
    Routine,
    Effort,
    Tools,
    Structured,
    LongAnswer,
    ShortAnswer,
    Documents,
}

impl Difficulty {
    /// Of a request; `text` is its last user message, as [`prompt::last_user_text`] gives it.
    pub fn of(request: &Request<'_>, features: &Features, text: &str) -> Self {
        let mut difficulty = Self::of_text(text, prompt::last_user_bytes(request));
        difficulty.add_asked(request, features);
        difficulty
    }

    /// From 0, easy, to 1, hard.
    pub fn value(&self) -> f32 {
        const BASE: f32 = 0.1;
        (BASE + self.weights.iter().sum::<f32>()).clamp(0.0, 1.0)
    }

    /// The same in thousandths, as rules have it.
    pub fn permille(&self) -> u64 {
        (f64::from(self.value()) * 1000.0).round() as u64
    }

    /// What counted, and how much: they add up to the value, less the base of 0.1 and what is beyond 0 and 1.
    pub fn reasons(&self) -> impl Iterator<Item = (&'static str, f32)> {
        REASONS.into_iter().zip(self.weights).filter(|(_, weight)| *weight != 0.0)
    }

    /// Of a text, of a message of so many bytes.
    fn of_text(text: &str, bytes: usize) -> Self {
        let seen = words::Seen::of(text);
        let mut difficulty = Self::default();
        let rising = |count: u32, each: f32, most: f32| (count as f32 * each).min(most);
        // Each doubling from 200 bytes on.
        let doublings = (bytes.max(1) as f32 / 200.0).log2().max(0.0);
        difficulty.set(Reason::Length, (doublings * 0.04).min(0.25));
        difficulty.set(Reason::Code, rising(seen.code, 0.06, 0.25));
        difficulty.set(Reason::Maths, rising(seen.maths, 0.08, 0.35));
        difficulty.set(Reason::Constraints, rising(seen.constraints, 0.05, 0.3));
        difficulty.set(Reason::Steps, rising((seen.questions + seen.steps).saturating_sub(1), 0.04, 0.2));
        difficulty.set(Reason::Reasoning, rising(seen.reasoning, 0.14, 0.42));
        difficulty.set(Reason::Design, rising(seen.design, 0.14, 0.42));
        // What is asked comes first: a routine task on a text full of the words above stays one.
        let routine = if seen.routine_first { 0.45 } else { rising(seen.routine, 0.06, 0.18) };
        difficulty.set(Reason::Routine, -routine);
        difficulty
    }

    fn add_asked(&mut self, request: &Request<'_>, features: &Features) {
        if let Some(reasoning) = request.reasoning.as_ref().filter(|reasoning| asks_to_reason(reasoning)) {
            let by_budget = reasoning.budget_tokens.map(|budget| if budget >= 8_000 { 0.3 } else { 0.15 });
            let by_effort = reasoning.effort.map(|effort| match effort {
                Effort::None | Effort::Minimal => 0.0,
                Effort::Low => 0.05,
                Effort::Medium => 0.15,
                Effort::High | Effort::Xhigh | Effort::Max => 0.3,
            });
            self.set(Reason::Effort, by_effort.or(by_budget).unwrap_or(0.15));
        }
        if features.has.has(Has::TOOLS) {
            self.set(Reason::Tools, (0.04 + 0.01 * request.tools.len() as f32).min(0.15));
        }
        if features.has.has(Has::STRUCTURED_OUTPUT) {
            self.set(Reason::Structured, -0.05);
        }
        if features.has.any(Has::DOCUMENTS.and(Has::VIDEO)) {
            self.set(Reason::Documents, 0.1);
        }
        match features.output_tokens_max {
            Some(0..=64) => self.set(Reason::ShortAnswer, -0.15),
            Some(16_000..) => self.set(Reason::LongAnswer, 0.03),
            _ => {}
        }
    }

    fn set(&mut self, reason: Reason, weight: f32) {
        if let Some(place) = self.weights.get_mut(reason as usize) {
            *place = weight;
        }
    }
}
