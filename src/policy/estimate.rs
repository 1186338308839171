//! What a request may use at most, by an estimate: what limits reserve before it is sent.
//!
//! No tokenizer is asked. [`Features`] counts a prompt by kinds of content, and a [`Calibration`] learns from what a provider
//! reports how many tokens each kind has at this target, what the provider adds of its own, and how far off that is.

mod model;
#[cfg(test)]
mod tests;

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::charge::Upper;
use super::features::{Content, Features, Has, ImageRule};
use crate::config::catalog::Facts;
use model::{Amounts, Model, Unseen};

/// Output tokens of a model of which nothing is known, where the request sets no bound: what most current models write at most.
pub const OUTPUT_UNKNOWN: u64 = 32_768;

/// How a target counts tokens, as far as its reports told: by what was decoded, and by what was not. Of fixed size, 720 bytes;
/// both ways take a lock for a tenth of a microsecond.
#[derive(Debug, Default)]
pub struct Calibration {
    rule: ImageRule,
    models: Mutex<[Model; 2]>,
}

impl Calibration {
    /// Nothing is known yet but the model's name, by which it counts images as its maker does.
    pub fn of(label: &str) -> Self {
        Self { rule: ImageRule::of(label), ..Self::default() }
    }

    /// A provider reports the input tokens of a request, cached ones included. Zero means that it did not count.
    pub fn learn(&self, features: &Features, told_input_tokens: u64) {
        if told_input_tokens > 0 {
            let amounts = self.amounts(features);
            if let Some(model) = self.models().get_mut(usize::from(features.read)) {
                model.learn(&amounts, told_input_tokens);
            }
        }
    }

    /// The input tokens that of a hundred requests like this one about one exceeds; at least 1.
    pub fn upper(&self, features: &Features) -> u64 {
        let amounts = self.amounts(features);
        self.models().get(usize::from(features.read)).map_or(u64::MAX, |model| model.upper(&amounts))
    }

    /// The input tokens that half of the requests like this one exceed; at least 1.
    pub fn typical(&self, features: &Features) -> u64 {
        let amounts = self.amounts(features);
        self.models().get(usize::from(features.read)).map_or(features.input_tokens, |model| model.typical(&amounts))
    }

    fn models(&self) -> MutexGuard<'_, [Model; 2]> {
        self.models.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn amounts(&self, features: &Features) -> Amounts {
        let kinds = Content::ALL.map(|content| features.contents.tokens(content, self.rule));
        // What was estimated by other means is taken for text.
        let counted = Content::ALL.iter().map(|content| features.contents.tokens(*content, ImageRule::Dearest));
        let rest = features.input_tokens.saturating_sub(counted.fold(0, u64::saturating_add));
        let unseen = Unseen {
            tools: features.has.has(Has::TOOLS),
            schema: features.has.has(Has::STRUCTURED_OUTPUT),
            sealed: features.sealed,
            held: features.held,
            found: features.has.has(Has::SIDE_EFFECTS),
        };
        Amounts::new(kinds, rest, unseen)
    }
}

/// The most that a request may use at a target.
///
/// * Input by the target's calibration, within the model's context window: but for providers that add to the prompt on their
///   own, and for windows that are too small to be true.
/// * Output by the request's own bound, else `assumed`, else the most that the model writes, else [`OUTPUT_UNKNOWN`]; for each
///   of the answers that are asked for.
/// * Searches by the bounds of the tools on offer, else ten for each.
///
/// Sums that are too large stay at the largest number.
pub fn upper(features: &Features, calibration: &Calibration, facts: &Facts, assumed: Option<u64>) -> Upper {
    let upper = calibration.upper(features);
    let window = facts.context_tokens.map(u64::from).filter(|_| !features.has.has(Has::SIDE_EFFECTS));
    let input_tokens = window.map_or(upper, |window| upper.min(window.max(calibration.typical(features))));
    let most = || facts.output_tokens.map_or(OUTPUT_UNKNOWN, u64::from);
    let each = features.output_tokens_max.or(assumed).unwrap_or_else(most);
    let output_tokens = each.saturating_mul(features.answers.unwrap_or(1).max(1));
    Upper { input_tokens, output_tokens, searches: features.searches_max }
}
