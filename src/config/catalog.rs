//! What is known of models, as data: what each speaks and accepts. An unknown model gets the defaults of its kind,
//! which strip nothing. The kinds themselves stand in `kinds`.

use crate::ir::Dialect;

mod traits;

pub use super::kinds::{Auth, Base, KINDS, Kind, claims, kind};
pub use traits::traits;

use super::values::matches;

/// What a model speaks where that is not what its provider's others speak, the preferred first.
pub fn speaks(kind: &str, model: &str) -> Option<&'static [Dialect]> {
    let row = SPEAK_ONLY.iter().find(|row| row.kinds.contains(&kind) && row.models.iter().any(|pattern| matches(pattern, model)));
    row.map(|row| row.dialects)
}

/// Models that speak less, or other dialects, than their provider's others.
struct SpeakRow {
    kinds: &'static [&'static str],
    models: &'static [&'static str],
    dialects: &'static [Dialect],
}

const SPEAK_ONLY: &[SpeakRow] = &[
    SpeakRow {
        kinds: &["openai", "azure"],
        models: &[
            "o1-pro*",
            "o3-pro*",
            "gpt-5-pro*",
            "gpt-5.*-pro*",
            "*-deep-research*",
            "computer-use-preview*",
            "codex-*",
            "gpt-5*-codex*",
        ],
        dialects: &[Dialect::OpenAiResponses],
    },
    SpeakRow { kinds: &["vertex"], models: &["claude-*"], dialects: &[Dialect::Anthropic] },
];
