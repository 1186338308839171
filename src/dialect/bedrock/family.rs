//! What only some families of models take: the API hands `additionalModelRequestFields` to the model as they are.

use super::encode::Writer;
use crate::base::json::Object;
use crate::ir::{Effort, Number, ReasoningMode, Thinking};

/// Who made a model, as far as its requests differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// Anthropic's, and whatever is hidden behind an id that tells nothing: most of what is asked for.
    Claude,
    /// Amazon Nova of the first generation.
    Nova,
    /// Amazon Nova of the second: it reasons.
    Nova2,
    /// OpenAI's open models.
    GptOss,
    /// Another one, with nothing of its own to ask for.
    Other,
}

/// Vendors by their part of a model's id.
const VENDORS: [(&str, Family); 18] = [
    ("anthropic.", Family::Claude),
    ("amazon.nova-2", Family::Nova2),
    ("amazon.nova", Family::Nova),
    ("openai.gpt-oss", Family::GptOss),
    ("amazon.", Family::Other),
    ("openai.", Family::Other),
    ("meta.", Family::Other),
    ("mistral.", Family::Other),
    ("cohere.", Family::Other),
    ("ai21.", Family::Other),
    ("deepseek.", Family::Other),
    ("qwen.", Family::Other),
    ("google.", Family::Other),
    ("nvidia.", Family::Other),
    ("writer.", Family::Other),
    ("minimax.", Family::Other),
    ("moonshot", Family::Other),
    ("zai.", Family::Other),
];

impl Family {
    /// The family of a model's id, an inference profile's id, or the ARN of either.
    pub(super) fn of(model: &str) -> Self {
        // The vendor stands at the start, behind a region's prefix, or behind the kind of resource in an ARN.
        let starts = |vendor: &str| model.match_indices(vendor).any(|(at, _)| at == 0 || b"./:".contains(&model.as_bytes()[at - 1]));
        VENDORS.iter().find(|(vendor, _)| starts(vendor)).map_or(Self::Claude, |(_, family)| *family)
    }

    /// Whether a prefix of the conversation can be marked for the prompt cache.
    pub(super) fn caches(self) -> bool {
        matches!(self, Self::Claude | Self::Nova | Self::Nova2)
    }

    /// Whether tools can be marked too, and a mark can say for how long.
    pub(super) fn caches_all(self) -> bool {
        self == Self::Claude
    }
}

/// Nova's word for an effort, where the model is to think.
fn nova_effort(effort: Option<Effort>, budget: Option<u64>) -> &'static str {
    match (effort, budget) {
        (Some(Effort::None | Effort::Minimal | Effort::Low), _) | (None, Some(..2048)) => "low",
        (Some(Effort::Medium), _) | (None, Some(..4096) | None) => "medium",
        (Some(Effort::High | Effort::Xhigh | Effort::Max), _) | (None, Some(_)) => "high",
    }
}

impl Writer<'_, '_> {
    /// Nova's effort, where it is asked to think.
    pub(super) fn nova_effort(&self) -> Option<&'static str> {
        let wanted = self.request.reasoning?;
        let off = wanted.mode == Some(ReasoningMode::Disabled) || wanted.effort == Some(Effort::None);
        let says = wanted.mode.is_some() || wanted.effort.is_some() || wanted.budget_tokens.is_some();
        let can = self.family == Family::Nova2 && self.traits.thinking != Thinking::Unsupported;
        (can && says && !off).then(|| nova_effort(wanted.effort, wanted.budget_tokens))
    }

    /// Writes the members of `additionalModelRequestFields`.
    pub(super) fn additional(&mut self, fields: &mut Object<'_>) {
        let mut taken = self.reasoning(fields);
        taken.extend(self.top_k(fields));
        if self.request.parallel_tool_calls == Some(false) && !self.request.tools.is_empty() {
            match self.family {
                Family::Claude => {
                    fields.object("tool_choice", |choice| choice.bool("disable_parallel_tool_use", true));
                    taken.push("tool_choice");
                }
                _ => self.lose("parallel_tool_calls"),
            }
        }
        self.put_nested("additionalModelRequestFields.", &taken, fields);
    }

    fn reasoning(&mut self, fields: &mut Object<'_>) -> Vec<&'static str> {
        let mut taken = Vec::new();
        let Some(wanted) = self.request.reasoning else { return taken };
        let off = wanted.mode == Some(ReasoningMode::Disabled) || wanted.effort == Some(Effort::None);
        match self.family {
            Family::Claude => {
                if let Some(ask) = self.plan.thinking {
                    fields.object("thinking", |thinking| ask.put(thinking));
                    taken.push("thinking");
                }
                if let Some(effort) = self.plan.effort {
                    fields.object("output_config", |config| config.string("effort", effort.word()));
                    taken.push("output_config");
                }
            }
            Family::Nova2 => match self.nova_effort() {
                Some(effort) => {
                    fields.object("reasoningConfig", |config| {
                        config.string("type", "enabled");
                        config.string("maxReasoningEffort", effort);
                    });
                    taken.push("reasoningConfig");
                }
                // It does not think unless it is asked to.
                None if off => {}
                None => self.lose("reasoning_effort"),
            },
            Family::GptOss => {
                let word = match wanted.effort {
                    Some(Effort::None | Effort::Minimal | Effort::Low) => Some("low"),
                    Some(Effort::Medium) => Some("medium"),
                    Some(Effort::High | Effort::Xhigh | Effort::Max) => Some("high"),
                    None if off => Some("low"),
                    None => None,
                };
                if off {
                    self.lose("reasoning_effort");
                }
                if let Some(word) = word {
                    fields.string("reasoning_effort", word);
                    taken.push("reasoning_effort");
                }
            }
            Family::Nova | Family::Other => {
                if !off {
                    self.lose("reasoning_effort");
                }
            }
        }
        taken
    }

    fn top_k(&mut self, fields: &mut Object<'_>) -> Option<&'static str> {
        let Number(top_k) = self.request.top_k.as_ref()?;
        match self.family {
            Family::Claude if self.traits.sampling && !self.plan.thinks() => {
                fields.verbatim("top_k", top_k);
                Some("top_k")
            }
            Family::Nova | Family::Nova2 if self.traits.sampling && self.nova_effort() != Some("high") => {
                // Whatever else the caller puts there stays beside it.
                let others: Vec<_> = self.nested("additionalModelRequestFields.inferenceConfig").collect();
                fields.object("inferenceConfig", |config| {
                    config.verbatim("topK", top_k);
                    for (key, value) in others.iter().flat_map(|(_, value)| value.members()).filter(|(key, _)| key != "topK") {
                        config.raw(&key, value);
                    }
                });
                Some("inferenceConfig")
            }
            _ => {
                self.lose("top_k");
                None
            }
        }
    }
}
