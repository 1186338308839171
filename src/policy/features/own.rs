//! What a provider does on its own for a request: its tools, its searches, what it remembers.

use std::borrow::Cow;

use crate::base::json::Raw;
use crate::ir::Dialect;

/// Top-level members by which the provider acts or remembers.
pub(super) const ACTING: [&str; 6] =
    ["conversation", "previous_response_id", "background", "mcp_servers", "container", "web_search_options"];

/// Whether such a member's value says that it does.
pub(super) fn acts(value: Raw<'_>) -> bool {
    !value.is_null() && value.bool() != Some(false) && !(value.is_array() && value.elements().next().is_none())
}

/// The beginnings of the kinds of tools that vendors define and callers run.
const RUN_BY_CALLERS: [&str; 8] = ["bash_", "text_editor_", "memory_", "computer", "local_shell", "apply_patch", "function", "custom"];

/// Whether the provider runs a tool of this kind.
pub(super) fn runs_at_provider(kind: &str) -> bool {
    !RUN_BY_CALLERS.iter().any(|own| kind.starts_with(own)) && kind != "namespace"
}

/// The kind of an element of the wire's tools, where it is one that the provider runs.
pub(super) fn own_kind(dialect: Dialect, tool: Raw<'_>) -> Option<Cow<'_, str>> {
    match dialect {
        Dialect::Gemini => {
            let own = tool.members().filter(|(name, value)| !value.is_null() && runs_at_provider(name));
            own.map(|(name, _)| name).max_by_key(|name| is_search(name))
        }
        Dialect::Bedrock => tool.member("systemTool").map(|_| "systemTool".into()),
        Dialect::OpenAiChat | Dialect::OpenAiResponses | Dialect::Anthropic => {
            tool.member("type").and_then(Raw::string).filter(|kind| runs_at_provider(kind))
        }
    }
}

/// Top-level members that name what the provider holds of the prompt.
pub(super) const HELD: [&str; 4] = ["cachedContent", "previous_response_id", "conversation", "prompt"];
/// Top-level members by which the provider searches the web.
pub(super) const SEARCHING: [&str; 2] = ["web_search_options", "search_parameters"];
/// How often a provider searches for one answer where the request does not say: recorded answers rarely take more than five.
pub(super) const SEARCHES_ASSUMED: u64 = 10;

/// How often the provider may search the web by a tool of its own of this kind.
pub(super) fn searches_of(kind: &str, tool: Raw<'_>) -> u64 {
    if is_search(kind) { tool.member("max_uses").and_then(Raw::u64).unwrap_or(SEARCHES_ASSUMED) } else { 0 }
}

/// Whether such a kind of tool searches the web.
fn is_search(kind: &str) -> bool {
    const OTHERS: [&str; 3] = ["file", "tool", "vertexaisearch"];
    let kind = kind.to_ascii_lowercase();
    // Bedrock's one tool of this sort is Nova's grounding.
    kind.contains("search") && !OTHERS.iter().any(|other| kind.starts_with(other)) || kind == "systemtool"
}
