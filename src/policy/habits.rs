//! What requests of an alias turn out to use.

#[cfg(test)]
mod tests;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::SizeClass;
use super::decay::{Decay, Mean};
use super::features::{Features, Has};
use super::quote::Expected;
use crate::base::clock::Instant;
use crate::ir::Usage;

/// What requests use changes with the app, not with the minute.
const DECAY: Decay = Decay { half_life: Duration::from_secs(3600), window: 256.0 };
/// What is believed before anything is seen: output and reasoning tokens, without and with reasoning asked for.
const BELIEF: [(f32, f32); 2] = [(300.0, 0.0), (1500.0, 1000.0)];
/// It counts as so many requests.
const BELIEF_COUNTS: f32 = 2.0;

/// What requests of one alias turn out to use, by size class and by whether reasoning is asked for.
#[derive(Debug)]
pub struct Habits(Mutex<Seen>);

#[derive(Debug)]
struct Seen {
    cells: [[Cell; 2]; SizeClass::COUNT],
    /// Tokens of the prompt, over all requests, and the share of those that asked for reasoning.
    input: Mean,
    reasons: Mean,
}

#[derive(Clone, Copy, Debug)]
struct Cell {
    output: Mean,
    reasoning: Mean,
}

impl Habits {
    /// Nothing is known yet.
    pub fn new(now: Instant) -> Self {
        let cell = Cell { output: Mean::new(now), reasoning: Mean::new(now) };
        Self(Mutex::new(Seen { cells: [[cell; 2]; SizeClass::COUNT], input: Mean::new(now), reasons: Mean::new(now) }))
    }

    /// A request has used this.
    pub fn observe(&self, asked: &Features, usage: &Usage, now: Instant) {
        let Some(output) = usage.output_tokens else { return };
        let reasoning = usage.reasoning_tokens.unwrap_or(0).min(output);
        let mut seen = self.lock();
        seen.input.add(usage.input_tokens.unwrap_or(asked.input_tokens) as f32, &DECAY, now);
        seen.reasons.add(f32::from(u8::from(reasons(asked))), &DECAY, now);
        let Some(cell) = seen.cells.get_mut(asked.class().index()).and_then(|cells| cells.get_mut(usize::from(reasons(asked)))) else {
            return;
        };
        cell.output.add(output as f32, &DECAY, now);
        cell.reasoning.add(reasoning as f32, &DECAY, now);
    }

    /// What a request is expected to use where its target holds `cached` of its tokens in a prompt cache.
    pub fn expected(&self, asked: &Features, cached: u64) -> Expected {
        let reasons = usize::from(reasons(asked));
        let (output, reasoning) = BELIEF.get(reasons).copied().unwrap_or_default();
        let cell = self.lock().cells.get(asked.class().index()).and_then(|cells| cells.get(reasons)).copied();
        let (output, reasoning) = cell.map_or((output, reasoning), |cell| {
            (cell.output.mean_with(output, BELIEF_COUNTS), cell.reasoning.mean_with(reasoning, BELIEF_COUNTS))
        });
        let output_tokens = (output as u64).min(asked.output_tokens_max.unwrap_or(u64::MAX));
        Expected {
            input_tokens: asked.input_tokens,
            cached_input_tokens: cached.min(asked.input_tokens),
            output_tokens,
            reasoning_tokens: (reasoning as u64).min(output_tokens),
        }
    }

    /// The typical request of the alias; `None` where none was seen.
    pub fn typical(&self) -> Option<Features> {
        let seen = self.lock();
        let has = if seen.reasons.mean()? >= 0.5 { Has::REASONING } else { Has::default() };
        Some(Features { input_tokens: seen.input.mean()? as u64, has, ..Features::default() })
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn reasons(asked: &Features) -> bool {
    asked.has.has(Has::REASONING)
}
