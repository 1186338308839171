//! How a model is told of, in each dialect's own words.

use std::time::{Duration, UNIX_EPOCH};

use crate::base::json::{self, Object};
use crate::config::Facts;
use crate::config::catalog::{Capabilities, Mode};
use crate::ir::{Dialect, Thinking};

/// One model of a list.
pub(super) struct Told {
    /// What it is asked for by.
    pub(super) id: String,
    /// Who has it.
    pub(super) owner: String,
    /// When it was made, in seconds since 1970; 0 where that is not known.
    pub(super) created: u64,
    /// Its name for people.
    pub(super) display_name: String,
    /// What is known of it.
    pub(super) facts: Facts,
    /// How it is asked to reason.
    pub(super) thinking: Thinking,
    /// Whether it speaks Anthropic's dialect, so that what only that can say reaches it.
    pub(super) speaks_anthropic: bool,
}

/// Writes all of them, as `dialect` lists models.
pub(super) fn list(models: &[Told], dialect: Dialect, body: &mut Vec<u8>) {
    json::object(body, |out| {
        if dialect == Dialect::Gemini {
            return out.array("models", |out| models.iter().for_each(|model| out.object(|out| gemini(out, model))));
        }
        out.string("object", "list");
        out.array("data", |out| models.iter().for_each(|model| out.object(|out| superset(out, model, dialect))));
        out.bool("has_more", false);
        for (name, edge) in [("first_id", models.first()), ("last_id", models.last())] {
            match edge {
                Some(model) => out.string(name, &model.id),
                None => out.null(name),
            }
        }
    });
}

/// Writes one of them, as `dialect` tells of a model.
pub(super) fn one(model: &Told, dialect: Dialect, body: &mut Vec<u8>) {
    json::object(body, |out| match dialect {
        Dialect::Gemini => gemini(out, model),
        _ => superset(out, model, dialect),
    });
}

/// One form that the OpenAI and the Anthropic SDKs both read: many apps ask for the list without saying who they are.
fn superset(out: &mut Object<'_>, model: &Told, dialect: Dialect) {
    out.string("id", &model.id);
    out.string("object", "model");
    out.string("type", "model");
    out.u64("created", model.created);
    let created_at = UNIX_EPOCH.checked_add(Duration::from_secs(model.created)).unwrap_or(UNIX_EPOCH);
    out.string("created_at", &humantime::format_rfc3339_seconds(created_at).to_string());
    out.string("owned_by", &model.owner);
    out.string("display_name", &model.display_name);
    out.string("lifecycle", "active");
    for (name, tokens) in [("max_input_tokens", model.facts.context_tokens), ("max_tokens", model.facts.output_tokens)] {
        match tokens {
            Some(tokens) => out.u64(name, tokens.into()),
            None => out.null(name),
        }
    }
    if dialect == Dialect::Anthropic && model.facts.can != Capabilities::default() {
        out.object("capabilities", |out| capabilities(out, model));
    }
}

/// Anthropic's tree of capabilities, in which nothing may be left out.
fn capabilities(out: &mut Object<'_>, model: &Told) {
    let supported = |out: &mut Object<'_>, name: &str, yes: bool| out.object(name, |out| out.bool("supported", yes));
    let can = |capability| model.facts.can.has(capability);
    let own = model.speaks_anthropic;
    let (thinks, by_effort) = (model.thinking != Thinking::Unsupported, matches!(model.thinking, Thinking::Adaptive | Thinking::Always));
    // Batches are other requests than those that are routed here.
    supported(out, "batch", false);
    supported(out, "citations", own);
    supported(out, "code_execution", own && can(Capabilities::TOOLS));
    supported(out, "image_input", can(Capabilities::VISION));
    supported(out, "pdf_input", can(Capabilities::DOCUMENTS));
    supported(out, "structured_outputs", can(Capabilities::STRUCTURED_OUTPUT));
    supported(out, "context_management", own);
    out.object("server_tools", |out| {
        out.bool("supported", own && can(Capabilities::TOOLS));
        supported(out, "code_execution", own && can(Capabilities::TOOLS));
        supported(out, "web_search", own && can(Capabilities::WEB_SEARCH));
    });
    out.object("effort", |out| {
        out.bool("supported", by_effort);
        for level in ["low", "medium", "high", "xhigh", "max"] {
            supported(out, level, by_effort);
        }
    });
    out.object("thinking", |out| {
        out.bool("supported", thinks);
        out.object("types", |out| {
            supported(out, "adaptive", by_effort);
            supported(out, "between_tools", own && by_effort);
            supported(out, "disabled", model.thinking != Thinking::Always);
            supported(out, "enabled", model.thinking == Thinking::Budget);
        });
    });
}

fn gemini(out: &mut Object<'_>, model: &Told) {
    out.string("name", &format!("models/{}", model.id));
    out.string("displayName", &model.display_name);
    out.string("version", "");
    for (name, tokens) in [("inputTokenLimit", model.facts.context_tokens), ("outputTokenLimit", model.facts.output_tokens)] {
        if let Some(tokens) = tokens {
            out.u64(name, tokens.into());
        }
    }
    out.array("supportedGenerationMethods", |out| {
        let methods: &[&str] = match model.facts.mode {
            Some(Mode::Embedding) => &["embedContent"],
            Some(Mode::Rerank | Mode::Moderation) => &[],
            _ => &["generateContent", "countTokens"],
        };
        methods.iter().for_each(|method| out.string(method));
    });
    if let Some(thinks) = model.facts.knows(Capabilities::REASONING) {
        out.bool("thinking", thinks);
    }
}
