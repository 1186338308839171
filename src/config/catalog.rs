//! What is known of models, as data: what each speaks, accepts and costs. An unknown model gets the defaults of its
//! kind, which strip nothing. The kinds themselves stand in `kinds`; the table of models is made by `catalog/refresh`.

mod facts;
mod models;
pub mod price;
#[cfg(test)]
mod tests;
mod traits;

pub use super::kinds::{Auth, Base, KINDS, Kind, claims, kind};
pub use facts::{Capabilities, Facts, Mode};
pub use traits::traits;

use crate::ir::Dialect;

use super::values::matches;

/// What is known of `model` at a provider of this kind. Of a hosted model of another's, what its maker says counts where
/// the host's list is silent, apart from prices.
pub fn facts(kind: &str, model: &str) -> Facts {
    let mut own = models::lookup(kind, model).unwrap_or_default();
    own.prices = own.prices.charged(price::Habits::of(kind, model));
    match family(kind, model).and_then(|(maker, name)| models::lookup(maker, name)) {
        Some(makers) => own.or(&makers),
        None => own,
    }
}

/// Whose model it is, and by which name there, where another vendor hosts it: `us.anthropic.claude-opus-4-8-v1:0` is
/// Anthropic's `claude-opus-4-8-v1:0`, behind whatever region, profile or publisher it stands.
fn family<'m>(kind: &str, model: &'m str) -> Option<(&'static str, &'m str)> {
    if !matches!(kind, "bedrock" | "vertex" | "azure" | "openrouter") {
        return None;
    }
    let from = |name: &str| model.find(name).and_then(|at| model.get(at..));
    from("claude-").map(|name| ("anthropic", name)).or_else(|| from("gemini-").map(|name| ("gemini", name)))
}

/// What a model speaks where that is not what its provider's others speak, the preferred first.
pub fn speaks(kind: &str, model: &str, mode: Option<Mode>) -> Option<&'static [Dialect]> {
    let row = SPEAK_ONLY.iter().find(|row| row.kinds.contains(&kind) && row.models.iter().any(|pattern| matches(pattern, model)));
    let responses = mode == Some(Mode::Responses) && super::kinds::kind(kind)?.dialects.contains(&Dialect::OpenAiResponses);
    row.map(|row| row.dialects).or(responses.then_some(&[Dialect::OpenAiResponses]))
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
