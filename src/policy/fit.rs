//! Whether a model can take a request at all: what surely cannot is not asked.

use std::fmt;

use super::features::{Features, Has};
use crate::base::text::grouped;
use crate::config::Facts;
use crate::config::catalog::Capabilities;

/// Why a model cannot take a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// The prompt is longer than what it reads, in tokens.
    Context {
        /// What it reads.
        window: u64,
        /// What the prompt has, by estimate.
        estimate: u64,
        /// What is to be written beside it in the same window, where that counts.
        output: Option<u64>,
    },
    /// More output is asked for than it writes, in tokens.
    Output {
        /// What it writes.
        most: u64,
        /// What is asked for.
        asked: u64,
    },
    /// It is known not to be able to do something that the request needs: this.
    Lacks(&'static str),
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Context { window, estimate, output: None } => {
                write!(f, "context window {} tokens, the request is estimated at {}", grouped(*window), grouped(*estimate))
            }
            Self::Context { window, estimate, output: Some(output) } => write!(
                f,
                "context window {} tokens, the request is estimated at {} and asks for {} of output",
                grouped(*window),
                grouped(*estimate),
                grouped(*output)
            ),
            Self::Output { most, asked } => {
                write!(f, "writes at most {} tokens, the request asks for {}", grouped(*most), grouped(*asked))
            }
            Self::Lacks(what) => write!(f, "is known not to take {what}"),
        }
    }
}

/// What a request may need, by what a model is known to be able to.
const NEEDS: [(Has, Capabilities, &str); 8] = [
    (Has::TOOLS, Capabilities::TOOLS, "tools"),
    (Has::FORCED_TOOL, Capabilities::FORCED_TOOL, "a forced call of a tool"),
    (Has::IMAGES, Capabilities::VISION, "images"),
    (Has::DOCUMENTS, Capabilities::DOCUMENTS, "documents"),
    (Has::AUDIO, Capabilities::AUDIO_INPUT, "sound"),
    (Has::VIDEO, Capabilities::VIDEO_INPUT, "video"),
    (Has::STRUCTURED_OUTPUT, Capabilities::STRUCTURED_OUTPUT, "a schema for its answer"),
    (Has::REASONING, Capabilities::REASONING, "a request to reason"),
];

/// Whether a model can take a request; what is not known of it speaks for it.
///
/// A prompt's length is an estimate, so it must be clearly over: three fifths of the text's estimate and a quarter of the
/// media's count ([`sure_tokens`]): of recorded prompts the provider counted no fewer. The lists say of some models what they read, and of others the window that prompt and
/// output share, and do not say which: the asked-for output is added only where no bound of its own is known, or one
/// as large as the window. A request that is too long by less is sent, and the provider says so.
///
/// # Errors
/// Why not.
pub fn fits(features: &Features, facts: &Facts) -> Result<(), Misfit> {
    if let Some((.., what)) = NEEDS.iter().find(|(need, capability, _)| features.has.has(*need) && facts.knows(*capability) == Some(false))
    {
        return Err(Misfit::Lacks(what));
    }
    let asked = features.output_tokens_max.unwrap_or(0);
    let most = facts.output_tokens.map(u64::from);
    if let Some(most) = most.filter(|most| asked > *most) {
        return Err(Misfit::Output { most, asked });
    }
    let Some(window) = facts.context_tokens.map(u64::from) else { return Ok(()) };
    let shared = most.is_none_or(|most| most >= window);
    let output = if shared { asked } else { 0 };
    if sure_tokens(features).saturating_add(output) > window {
        let output = (output > 0).then_some(output);
        return Err(Misfit::Context { window, estimate: features.input_tokens, output });
    }
    Ok(())
}

/// Tokens that a prompt surely has, whatever the tokenizer.
pub fn sure_tokens(features: &Features) -> u64 {
    let text = features.input_tokens.saturating_sub(features.media_tokens);
    text / 5 * 3 + features.media_tokens / 4
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Facts {
        let (can, cannot) = (Capabilities::TOOLS, Capabilities::VISION);
        Facts { context_tokens: Some(128_000), output_tokens: Some(16_384), can, cannot, ..Facts::default() }
    }

    fn asked(input: u64, media: u64, output: Option<u64>, has: Has) -> Features {
        Features { input_tokens: input, media_tokens: media, output_tokens_max: output, has, ..Features::default() }
    }

    #[test]
    fn what_surely_does_not_fit_is_told_in_words() {
        let none = Has::default();
        let known = known();
        let unsplit = Facts { output_tokens: None, ..known.clone() };
        let same = Facts { output_tokens: Some(128_000), ..known.clone() };
        let unknown = Facts::default();
        let blind = Facts { cannot: NEEDS.iter().fold(Capabilities::default(), |all, (_, each, _)| all.and(*each)), ..unknown.clone() };
        // (facts, request, the misfit)
        let cases = [
            (&known, asked(1_000, 0, None, none), ""),
            (&known, asked(240_000, 0, None, none), "context window 128,000 tokens, the request is estimated at 240,000"),
            // An estimate may be two thirds too high.
            (&known, asked(210_000, 0, None, none), ""),
            (&known, asked(400_000, 380_000, None, none), ""),
            (&known, asked(600_000, 590_000, None, none), "context window 128,000 tokens, the request is estimated at 600,000"),
            // Prompt and output have windows of their own, or share one.
            (&known, asked(160_000, 0, Some(16_384), none), ""),
            (
                &unsplit,
                asked(200_000, 0, Some(16_384), none),
                "context window 128,000 tokens, the request is estimated at 200,000 and asks for 16,384 of output",
            ),
            (
                &same,
                asked(8_000, 0, Some(127_000), none),
                "context window 128,000 tokens, the request is estimated at 8,000 and asks for 127,000 of output",
            ),
            (&known, asked(10, 0, Some(16_385), none), "writes at most 16,384 tokens, the request asks for 16,385"),
            (&known, asked(10, 0, None, Has::TOOLS), ""),
            (&known, asked(10, 0, None, Has::TOOLS.and(Has::IMAGES)), "is known not to take images"),
            (&known, asked(10, 0, None, Has::DOCUMENTS), ""),
            (&unknown, asked(u64::MAX, u64::MAX, Some(u64::MAX), Has::VIDEO), ""),
            (&blind, asked(1, 0, None, none), ""),
            (&blind, asked(1, 0, None, Has::FORCED_TOOL), "is known not to take a forced call of a tool"),
            (&blind, asked(1, 0, None, Has::DOCUMENTS), "is known not to take documents"),
            (&blind, asked(1, 0, None, Has::AUDIO), "is known not to take sound"),
            (&blind, asked(1, 0, None, Has::VIDEO), "is known not to take video"),
            (&blind, asked(1, 0, None, Has::STRUCTURED_OUTPUT), "is known not to take a schema for its answer"),
            (&blind, asked(1, 0, None, Has::REASONING), "is known not to take a request to reason"),
            (&blind, asked(1, 0, None, Has::SIDE_EFFECTS), ""),
        ];
        for (facts, features, expected) in cases {
            let told = fits(&features, facts).err().map(|misfit| misfit.to_string()).unwrap_or_default();
            assert_eq!(told, expected, "{features:?}");
        }
    }

    #[test]
    fn numbers_are_set_apart() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
