//! How kinds of providers charge, beside their lists.

use super::Habits;
use crate::config::kinds::{self, Base, Kind};

impl Habits {
    /// How a provider of this kind charges for a model.
    pub(in crate::config::catalog) fn of(kind: &str, model: &str) -> Self {
        let found = kinds::kind(kind);
        let name = found.map_or("", |kind| kind.name);
        Self {
            kind: name,
            free: found.is_some_and(is_own) || name == "openrouter" && model.ends_with(":free"),
            // Anthropic's pricing page, "Data residency": inference in the US alone is 1.1 times every category of
            // tokens; models older than the setting do not know it, and never say that they kept it.
            us_premium: name == "anthropic",
            regional: false,
            // Google's pricing page: Gemini 3 and later pay for each query, older ones for each grounded prompt.
            search_by_answer: matches!(name, "gemini" | "vertex") && ["gemini-1", "gemini-2"].iter().any(|old| model.contains(old)),
            tells_bill: matches!(name, "openrouter" | "perplexity" | "xai"),
            // Anthropic's Priority Tier is a commitment, drawn from at the ordinary price.
            priority_is_ordinary: name == "anthropic",
        }
    }

    /// Anthropic's pricing page, "Cloud platform pricing": since Claude 4.5, regional and multi-region endpoints of Vertex AI
    /// cost a tenth more than the global one. (Bedrock's models have ids, and rows, for either.)
    pub(super) fn is_dearer_at(&self, location: &str, model: &str) -> bool {
        const OLDER: &[&str] = &[
            "claude-2",
            "claude-3",
            "claude-instant",
            "claude-opus-4@",
            "claude-opus-4-1",
            "claude-opus-4-2",
            "claude-sonnet-4@",
            "claude-sonnet-4-2",
        ];
        let name = model.rsplit('/').next().unwrap_or(model);
        let older = matches!(name, "claude-opus-4" | "claude-sonnet-4") || OLDER.iter().any(|start| name.starts_with(start));
        self.kind == "vertex" && location != "global" && name.starts_with("claude-") && !older
    }
}

/// Whether it is a server of one's own, or this process.
fn is_own(kind: &Kind) -> bool {
    match kind.base {
        Base::Url(url) => url.starts_with("http://127.0.0.1"),
        Base::Embedded => true,
        Base::Azure | Base::Vertex | Base::Bedrock => false,
    }
}
