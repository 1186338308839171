//! What requests, answers and streams share: words, ids, counters.

use crate::base::json::{Object, Raw};
use crate::dialect::anthropic::wire::Seen;
use crate::dialect::call_id;
use crate::ir::{Finish, FinishReason, ServiceTier, Text, Usage};

/// The longest call id that the API takes.
const CALL_ID_BYTES_MAX: usize = 64;

/// Writes the `toolUseId` of a call or of its result.
pub(super) fn put_call_id(id: &Text<'_>, object: &mut Object<'_>) {
    object.string("toolUseId", &call_id::fit(&id.read(), b"_.:-", CALL_ID_BYTES_MAX));
}

/// The unified reason for a `stopReason`. `called`: a tool call was seen, which outweighs a careless `end_turn`.
pub(super) fn finish_reason(word: &str, called: bool) -> FinishReason {
    match word {
        "end_turn" if called => FinishReason::ToolCalls,
        "end_turn" | "stop_sequence" => FinishReason::Stop,
        "max_tokens" | "model_context_window_exceeded" => FinishReason::Length,
        "tool_use" => FinishReason::ToolCalls,
        "guardrail_intervened" | "content_filtered" => FinishReason::ContentFilter,
        _ => FinishReason::Other,
    }
}

/// Why an answer ended: a `stopReason`, and what the model told beside it where it was asked to.
pub(super) fn finish<'a>(reason: Text<'a>, fields: Option<Raw<'a>>, called: bool) -> Finish<'a> {
    let mut finish = Finish::new(finish_reason(&reason.read(), called), reason);
    // Whole answers and streams keep it in different places.
    let sequence = |holder: Raw<'a>| holder.member("stop_sequence").and_then(Text::of);
    finish.stop_sequence = fields.and_then(|fields| sequence(fields).or_else(|| fields.member("delta").and_then(sequence)));
    finish
}

/// The `stopReason` to tell.
pub(super) fn stop_reason(finish: Option<&Finish<'_>>, seen: Seen) -> &'static str {
    const OWN: [&str; 9] = [
        "end_turn",
        "tool_use",
        "max_tokens",
        "stop_sequence",
        "guardrail_intervened",
        "content_filtered",
        "malformed_model_output",
        "malformed_tool_use",
        "model_context_window_exceeded",
    ];
    let by_content = match seen {
        Seen { call: true, .. } => "tool_use",
        Seen { refusal: true, .. } => "content_filtered",
        _ => "end_turn",
    };
    let Some(finish) = finish else { return by_content };
    let own = OWN.iter().find(|word| finish.raw.is(word) && finish_reason(word, false) == finish.reason);
    match finish.reason {
        FinishReason::Stop | FinishReason::Pause if by_content != "end_turn" => by_content,
        FinishReason::Stop if finish.stop_sequence.is_some() => "stop_sequence",
        _ if own.is_some() => own.unwrap_or(&by_content),
        FinishReason::Stop | FinishReason::Pause | FinishReason::Other => by_content,
        FinishReason::Length => "max_tokens",
        FinishReason::ToolCalls => "tool_use",
        FinishReason::ContentFilter => "content_filtered",
    }
}

/// Writes `additionalModelResponseFields` where a stop text was met.
pub(super) fn put_stop_sequence(finish: Option<&Finish<'_>>, object: &mut Object<'_>) {
    if let Some(sequence) = finish.and_then(|finish| finish.stop_sequence.as_ref()) {
        object.object("additionalModelResponseFields", |fields| sequence.put("stop_sequence", fields));
    }
}

/// Reads a `usage` object: input without the cached.
pub(super) fn usage(raw: Raw<'_>) -> Usage {
    let (mut input, mut usage) = (None, Usage::default());
    for (key, value) in raw.members() {
        match &*key {
            "inputTokens" => input = value.u64(),
            "outputTokens" => usage.output_tokens = value.u64(),
            "cacheReadInputTokens" => usage.cache_read_tokens = value.u64(),
            "cacheWriteInputTokens" => usage.cache_write_tokens = value.u64(),
            "cacheDetails" => {
                let hour = value.elements().filter(|detail| detail.member("ttl").and_then(Raw::inner) == Some("1h"));
                usage.cache_write_1h_tokens = hour.filter_map(|detail| detail.member("inputTokens")?.u64()).reduce(u64::saturating_add);
            }
            _ => {}
        }
    }
    let cached = usage.cache_read_tokens.unwrap_or(0).saturating_add(usage.cache_write_tokens.unwrap_or(0));
    usage.input_tokens = input.map(|input| input.saturating_add(cached));
    usage
}

/// The tier that answered: `serviceTier` beside the usage.
pub(super) fn tier(raw: Raw<'_>) -> Option<ServiceTier> {
    raw.member("type")?.inner().and_then(ServiceTier::named)
}

/// The thinking's tokens, which only some models tell, and only among the fields that were asked for.
pub(super) fn reasoning_tokens(fields: Raw<'_>) -> Option<u64> {
    let usage = fields.member("usage").unwrap_or(fields);
    usage.member("output_tokens_details")?.member("thinking_tokens")?.u64()
}

/// Writes `usage`, and `metrics` where those are not told otherwise: the SDKs' types promise both.
pub(super) fn put_usage(usage: &Usage, measured: bool, object: &mut Object<'_>) {
    object.object("usage", |object| {
        let output = usage.output_tokens.unwrap_or(0);
        object.u64("inputTokens", usage.uncached_input_tokens().unwrap_or(0));
        object.u64("outputTokens", output);
        object.u64("totalTokens", usage.input_tokens.unwrap_or(0).saturating_add(output));
        if let Some(read) = usage.cache_read_tokens {
            object.u64("cacheReadInputTokens", read);
        }
        if let Some(written) = usage.cache_write_tokens {
            object.u64("cacheWriteInputTokens", written);
        }
        if let Some(hour) = usage.cache_write_1h_tokens {
            object.array("cacheDetails", |details| {
                let rest = usage.cache_write_tokens.unwrap_or(hour).saturating_sub(hour);
                for (ttl, tokens) in [("5m", rest), ("1h", hour)] {
                    details.object(|detail| {
                        detail.string("ttl", ttl);
                        detail.u64("inputTokens", tokens);
                    });
                }
            });
        }
    });
    if !measured {
        object.verbatim("metrics", r#"{"latencyMs":0}"#);
    }
}
