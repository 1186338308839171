//! What requests of an alias turn out to use.

use super::features::Features;
use super::quote::Expected;
use crate::base::clock::Instant;
use crate::ir::Usage;

/// What requests of one alias turn out to use, by size class and by whether reasoning is asked for.
#[derive(Debug, Default)]
pub struct Habits;

impl Habits {
    /// Nothing is known yet.
    pub fn new(_now: Instant) -> Self {
        Self
    }

    /// A request has used this.
    pub fn observe(&self, _asked: &Features, _usage: &Usage, _now: Instant) {}

    /// What a request is expected to use where its target holds `cached` of its tokens in a prompt cache.
    pub fn expected(&self, asked: &Features, cached: u64) -> Expected {
        let output_tokens = asked.output_tokens_max.unwrap_or(500).min(500);
        Expected {
            input_tokens: asked.input_tokens,
            cached_input_tokens: cached.min(asked.input_tokens),
            output_tokens,
            reasoning_tokens: 0,
        }
    }
}
