//! Why an answer ended.

use crate::base::json::{Object, Raw};
use crate::ir::{Finish, FinishReason, Text};

/// The API's words. Those that say a model's slip are neither a stop nor a refusal.
const WORDS: [(&str, FinishReason); 23] = [
    ("STOP", FinishReason::Stop),
    ("MAX_TOKENS", FinishReason::Length),
    ("CONTINUATION", FinishReason::Length),
    ("SAFETY", FinishReason::ContentFilter),
    ("RECITATION", FinishReason::ContentFilter),
    ("LANGUAGE", FinishReason::ContentFilter),
    ("BLOCKLIST", FinishReason::ContentFilter),
    ("PROHIBITED_CONTENT", FinishReason::ContentFilter),
    ("SPII", FinishReason::ContentFilter),
    ("MODEL_ARMOR", FinishReason::ContentFilter),
    ("IMAGE_SAFETY", FinishReason::ContentFilter),
    ("IMAGE_PROHIBITED_CONTENT", FinishReason::ContentFilter),
    ("IMAGE_RECITATION", FinishReason::ContentFilter),
    ("OTHER", FinishReason::Other),
    ("FINISH_REASON_UNSPECIFIED", FinishReason::Other),
    ("IMAGE_OTHER", FinishReason::Other),
    ("NO_IMAGE", FinishReason::Other),
    ("MALFORMED_FUNCTION_CALL", FinishReason::Other),
    ("MALFORMED_RESPONSE", FinishReason::Other),
    ("UNEXPECTED_TOOL_CALL", FinishReason::Other),
    ("TOO_MANY_TOOL_CALLS", FinishReason::Other),
    ("MISSING_THOUGHT_SIGNATURE", FinishReason::Other),
    ("ESCALATION", FinishReason::Other),
];

/// The word of a `finishReason`. A client may ask for enums as numbers, whose order Google's API and Vertex share up to 5;
/// the next three are refusals with both.
pub(super) fn word_of(value: Raw<'_>) -> Option<Text<'_>> {
    let number = match value.u64() {
        None => return Text::of(value),
        Some(number) => number,
    };
    Some(Text::plain(match number {
        1 => "STOP",
        2 => "MAX_TOKENS",
        3 => "SAFETY",
        4 => "RECITATION",
        5 => "OTHER",
        6..=8 => "PROHIBITED_CONTENT",
        _ => "FINISH_REASON_UNSPECIFIED",
    }))
}

/// The unified reason. `called`: a function call was seen, for which the API has no word of its own.
pub(super) fn reason(word: &str, called: bool) -> FinishReason {
    match WORDS.iter().find(|(own, _)| *own == word) {
        Some((_, FinishReason::Stop)) if called => FinishReason::ToolCalls,
        Some((_, reason)) => *reason,
        None => FinishReason::Other,
    }
}

/// Reads a candidate's end.
pub(super) fn read<'a>(raw: Text<'a>, message: Option<Text<'a>>, called: bool) -> Finish<'a> {
    let reason = reason(&raw.read(), called);
    let mut finish = Finish::new(reason, raw);
    if matches!(reason, FinishReason::ContentFilter | FinishReason::Other) {
        finish.explanation = message;
    }
    finish
}

/// The end of an answer that never began, where `feedback` says that the prompt was blocked.
pub(super) fn blocked(feedback: Raw<'_>) -> Option<Finish<'_>> {
    let (mut word, mut message) = (None, None);
    for (name, value) in feedback.members() {
        match &*name {
            "blockReason" => word = Text::of(value).or_else(|| value.number().map(Text::plain)),
            "blockReasonMessage" => message = Text::of(value),
            _ => {}
        }
    }
    let word = word?;
    let explanation = message.unwrap_or_else(|| Text::plain(format!("The provider blocked the prompt ({}).", word.read())));
    let mut finish = Finish::new(FinishReason::ContentFilter, word);
    finish.explanation = Some(explanation);
    Some(finish)
}

/// Writes `finishReason` and, where it is told, why. `refused`: the model declined in words.
pub(super) fn put(finish: Option<&Finish<'_>>, refused: bool, candidate: &mut Object<'_>) {
    candidate.string("finishReason", finish.map_or("STOP", |finish| word(finish, refused)));
    if let Some(explanation) = finish.and_then(|finish| finish.explanation.as_ref()) {
        explanation.put("finishMessage", candidate);
    }
}

fn word(finish: &Finish<'_>, refused: bool) -> &'static str {
    let own = WORDS.iter().find(|(word, reason)| *reason == finish.reason && finish.raw.is(word));
    match (own, finish.reason) {
        (_, FinishReason::Stop) if refused => "SAFETY",
        (Some((word, _)), _) => word,
        (None, FinishReason::Stop | FinishReason::ToolCalls | FinishReason::Pause) => "STOP",
        (None, FinishReason::Length) => "MAX_TOKENS",
        (None, FinishReason::ContentFilter) => "SAFETY",
        (None, FinishReason::Other) => "OTHER",
    }
}
