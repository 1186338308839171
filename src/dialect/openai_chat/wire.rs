//! What requests, answers and streams of this dialect have in common: made ids, thinking in blocks, and the vendors' words
//! for why an answer ended.

use crate::base::json::Raw;
use crate::dialect::openai::read::{told, words};
use crate::ir::{FinishReason, Text};

/// Why an answer ended, from the word that OpenAI or a host beside it uses.
pub(super) fn finish_reason(word: &str) -> FinishReason {
    match word {
        "" | "stop" | "eos" | "end_turn" | "stop_sequence" | "STOP" => FinishReason::Stop,
        "length" | "max_tokens" | "model_length" | "MAX_TOKENS" => FinishReason::Length,
        "tool_calls" | "tool_use" | "function_call" => FinishReason::ToolCalls,
        "content_filter" | "refusal" | "SAFETY" => FinishReason::ContentFilter,
        _ => FinishReason::Other,
    }
}

/// The word of this dialect for a reason. A pause is an answer that is not whole, so `length` and not `stop`.
pub(super) fn finish_word(reason: FinishReason, has_calls: bool) -> &'static str {
    match reason {
        FinishReason::Stop | FinishReason::Other if has_calls => "tool_calls",
        FinishReason::Stop | FinishReason::Other => "stop",
        FinishReason::Length | FinishReason::Pause => "length",
        FinishReason::ToolCalls => "tool_calls",
        FinishReason::ContentFilter => "content_filter",
    }
}

/// An id for a call that its host gave none: the same for the same answer, whether streamed or whole.
pub(super) fn made_call_id(answer_id: Option<&Text<'_>>, place: usize) -> Text<'static> {
    let id = match answer_id {
        Some(id) if !id.is_empty() => format!("call_{}_{place}", id.read()),
        _ => format!("call_{place}"),
    };
    Text::plain(id)
}

/// The thinking of one block in the form `{type: "thinking", thinking, signature}`; some hosts give `thinking` as text parts.
pub(super) fn thinking_text(block: Raw<'_>) -> Text<'_> {
    let Some(thinking) = told(block, "thinking") else { return Text::EMPTY };
    if !thinking.is_array() {
        return Text::of(thinking).unwrap_or(Text::EMPTY);
    }
    let mut pieces = thinking.elements().filter_map(|piece| words(told(piece, "text")));
    let Some(first) = pieces.next() else { return Text::EMPTY };
    let Some(second) = pieces.next() else { return first };
    let mut joined = first.read().into_owned();
    joined.push_str(&second.read());
    pieces.for_each(|piece| joined.push_str(&piece.read()));
    Text::plain(joined)
}
