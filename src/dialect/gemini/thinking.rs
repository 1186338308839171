//! How a request for thinking is put to a model, by what the model understands.

use crate::base::json::Object;
use crate::dialect::Losses;
use crate::ir::{Effort, ModelTraits, Reasoning, ReasoningMode, Thinking};

/// The name under which a wish for thinking is reported as lost.
const LOSS: &str = "reasoning_effort";

/// The `thinkingConfig` to write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    level: Option<&'static str>,
    budget: Option<Budget>,
    include: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Budget {
    Dynamic,
    Tokens(u64),
}

impl Plan {
    /// Finds what to write for what is wanted; `bound` is the bound on output tokens, in which thinking counts.
    ///
    /// A caller who asks for thinking is shown it, unless it says otherwise: every dialect has a place for it.
    pub(super) fn new(wanted: Option<Reasoning>, bound: Option<u64>, traits: &ModelTraits, losses: &mut Losses) -> Self {
        let Some(wanted) = wanted else { return Self::default() };
        let disabled = wanted.mode == Some(ReasoningMode::Disabled) || wanted.effort == Some(Effort::None);
        let asked = wanted.mode.is_some() || wanted.effort.is_some() || wanted.budget_tokens.is_some();
        let include = match (disabled, asked) {
            (true, _) => None,
            (false, true) => Some(wanted.summary.unwrap_or(true)),
            (false, false) => wanted.summary,
        };
        match traits.thinking {
            Thinking::Unsupported => {
                if !disabled && (asked || include == Some(true)) {
                    losses.add(LOSS);
                }
                Self::default()
            }
            Thinking::Budget if disabled => Self { budget: Some(Budget::Tokens(0)), ..Self::default() },
            Thinking::Budget => Self { level: None, budget: budget(&wanted, bound), include },
            // Not to think at all is nothing these models can do.
            Thinking::Adaptive if disabled => Self { level: Some("MINIMAL"), budget: None, include: Some(false) },
            Thinking::Always if disabled => {
                losses.add(LOSS);
                Self { level: Some("LOW"), budget: None, include: Some(false) }
            }
            Thinking::Adaptive | Thinking::Always => Self { level: level(&wanted, traits.thinking, losses), budget: None, include },
        }
    }

    /// Whether there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Writes the members.
    pub(super) fn put(self, object: &mut Object<'_>) {
        match self.budget {
            Some(Budget::Dynamic) => object.verbatim("thinkingBudget", "-1"),
            Some(Budget::Tokens(tokens)) => object.u64("thinkingBudget", tokens),
            None => {}
        }
        if let Some(level) = self.level {
            object.string("thinkingLevel", level);
        }
        if let Some(include) = self.include {
            object.bool("includeThoughts", include);
        }
    }
}

fn budget(wanted: &Reasoning, bound: Option<u64>) -> Option<Budget> {
    let tokens = wanted.budget_tokens.or_else(|| {
        Some(match wanted.effort? {
            Effort::None => 0,
            Effort::Minimal => 512,
            Effort::Low => 1024,
            Effort::Medium => 2048,
            Effort::High => 4096,
            Effort::Xhigh => 8192,
            Effort::Max => 16384,
        })
    });
    match tokens {
        Some(tokens) => Some(Budget::Tokens(bound.map_or(tokens, |bound| tokens.min(bound.saturating_sub(1))))),
        None => wanted.mode.map(|_| Budget::Dynamic),
    }
}

/// The level in words that every model of the kind knows; above them, the highest.
fn level(wanted: &Reasoning, thinking: Thinking, losses: &mut Losses) -> Option<&'static str> {
    let effort = wanted.effort.or_else(|| {
        Some(match wanted.budget_tokens? {
            4096.. => Effort::High,
            2048.. => Effort::Medium,
            _ => Effort::Low,
        })
    })?;
    Some(match effort {
        Effort::None | Effort::Minimal if thinking == Thinking::Adaptive => "MINIMAL",
        Effort::None | Effort::Minimal | Effort::Low => "LOW",
        Effort::Medium => "MEDIUM",
        Effort::High => "HIGH",
        Effort::Xhigh | Effort::Max => {
            losses.add(LOSS);
            "HIGH"
        }
    })
}
