//! How a request for thinking is put to a model, by what the model understands.

use crate::base::json::Object;
use crate::dialect::Losses;
use crate::ir::{Effort, Message, ModelTraits, Part, Reasoning, ReasoningMode, Role, Thinking};

/// The name under which a wish for thinking is reported as lost.
const LOSS: &str = "reasoning_effort";
/// The smallest budget that the API accepts, and the output bound up to which there is no room for one.
const BUDGET_TOKENS_MIN: u64 = 1024;

/// What to write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::dialect) struct Plan {
    /// The `thinking` member.
    pub(in crate::dialect) thinking: Option<Ask>,
    /// `output_config.effort`.
    pub(in crate::dialect) effort: Option<Effort>,
}

/// The `thinking` member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dialect) enum Ask {
    /// Do not think.
    Disabled,
    /// As much as the model sees fit; `display` says whether a summary is told.
    Adaptive {
        /// `summarized` or `omitted`.
        display: &'static str,
    },
    /// Up to a budget.
    Budget {
        /// At least 1024, below the output bound.
        tokens: u64,
        /// As above, where the caller said.
        display: Option<&'static str>,
    },
}

impl Plan {
    /// Finds what to write for what is wanted, given the bound on output tokens that will be sent.
    pub(in crate::dialect) fn new(
        wanted: Option<Reasoning>,
        messages: &[Message<'_>],
        output_tokens_max: u64,
        traits: &ModelTraits,
        losses: &mut Losses,
    ) -> Self {
        let Some(wanted) = wanted else { return Self::default() };
        let disabled = wanted.mode == Some(ReasoningMode::Disabled) || wanted.effort == Some(Effort::None);
        if !disabled && wanted.mode.is_none() && wanted.effort.is_none() && wanted.budget_tokens.is_none() {
            return Self::default();
        }
        let display = if wanted.summary == Some(false) { "omitted" } else { "summarized" };
        match traits.thinking {
            Thinking::Adaptive if disabled => Self { thinking: Some(Ask::Disabled), effort: effort(&wanted) },
            Thinking::Adaptive => Self { thinking: Some(Ask::Adaptive { display }), effort: effort(&wanted) },
            Thinking::Budget if disabled => Self { thinking: Some(Ask::Disabled), effort: None },
            Thinking::Budget => {
                if output_tokens_max <= BUDGET_TOKENS_MIN || resumes_unthought(messages) {
                    losses.add(LOSS);
                    return Self::default();
                }
                let tokens = budget(&wanted).max(BUDGET_TOKENS_MIN).min(output_tokens_max - 1);
                Self { thinking: Some(Ask::Budget { tokens, display: wanted.summary.map(|_| display) }), effort: None }
            }
            Thinking::Always => {
                if disabled {
                    losses.add(LOSS);
                }
                let shown = (wanted.summary == Some(true) && !disabled).then_some(Ask::Adaptive { display });
                Self { thinking: shown, effort: effort(&wanted) }
            }
            Thinking::Unsupported => {
                if !disabled {
                    losses.add(LOSS);
                }
                Self::default()
            }
        }
    }

    /// Whether the model was asked to think, which rules out most sampling parameters.
    pub(in crate::dialect) fn thinks(&self) -> bool {
        matches!(self.thinking, Some(Ask::Adaptive { .. } | Ask::Budget { .. }))
    }

    /// Whether it was asked so in the older way, which rules out a forced tool.
    pub(in crate::dialect) fn is_legacy(&self) -> bool {
        matches!(self.thinking, Some(Ask::Budget { .. }))
    }
}

impl Ask {
    /// Writes the members.
    pub(in crate::dialect) fn put(self, object: &mut Object<'_>) {
        match self {
            Self::Disabled => object.string("type", "disabled"),
            Self::Adaptive { display } => {
                object.string("type", "adaptive");
                object.string("display", display);
            }
            Self::Budget { tokens, display } => {
                object.string("type", "enabled");
                object.u64("budget_tokens", tokens);
                if let Some(display) = display {
                    object.string("display", display);
                }
            }
        }
    }
}

/// The effort in words that Claude knows: it has none below `low`.
fn effort(wanted: &Reasoning) -> Option<Effort> {
    match (wanted.effort, wanted.budget_tokens) {
        (Some(Effort::None), _) => None,
        (Some(Effort::Minimal), _) => Some(Effort::Low),
        (Some(effort), _) => Some(effort),
        (None, Some(8192..)) => Some(Effort::Xhigh),
        (None, Some(4096..)) => Some(Effort::High),
        (None, Some(2048..)) => Some(Effort::Medium),
        (None, Some(_)) => Some(Effort::Low),
        (None, None) => None,
    }
}

fn budget(wanted: &Reasoning) -> u64 {
    wanted.budget_tokens.unwrap_or(match wanted.effort {
        Some(Effort::None | Effort::Minimal | Effort::Low) => 1024,
        Some(Effort::Medium) => 2048,
        Some(Effort::High) | None => 4096,
        Some(Effort::Xhigh) => 8192,
        Some(Effort::Max) => 16384,
    })
}

/// Whether the request continues a tool call that was made without thinking: with the older way of asking, the API
/// then refuses the history ("Expected `thinking`").
fn resumes_unthought(messages: &[Message<'_>]) -> bool {
    let thought = |part: &Part<'_>| matches!(part, Part::Reasoning { signature: Some(_), .. } | Part::RedactedReasoning(_));
    let pending = messages.last().is_some_and(|m| m.parts.iter().any(|p| matches!(p, Part::ToolResult { .. })));
    let assistants = || messages.iter().filter(|m| m.role == Role::Assistant);
    pending && !assistants().any(|m| m.parts.iter().any(thought))
}
