//! Token counters on the wire.

use crate::base::json::{Object, Raw};
use crate::dialect::openai::usage::{read_input_details, read_output_details};
use crate::ir::Usage;

/// Reads a `usage` object; what it does not tell stays unknown. `None` where it is no object.
pub(super) fn decode(raw: Raw<'_>) -> Option<Usage> {
    if !raw.is_object() {
        return None;
    }
    let mut usage = Usage::default();
    let mut total = None;
    let mut host_cached = None;
    for (name, value) in raw.members() {
        match &*name {
            "prompt_tokens" => usage.input_tokens = value.u64(),
            "completion_tokens" => usage.output_tokens = value.u64(),
            "total_tokens" => total = value.u64(),
            // DeepSeek and Moonshot name what was cached beside the counters.
            "prompt_cache_hit_tokens" | "cached_tokens" => host_cached = value.u64(),
            "prompt_tokens_details" => read_input_details(value, &mut usage),
            "completion_tokens_details" => read_output_details(value, &mut usage),
            _ => {}
        }
    }
    usage.cache_read_tokens = usage.cache_read_tokens.or(host_cached);
    include_reasoning(&mut usage, total);
    // Some hosts leave what was cached out of the prompt's counter, which a larger part than the whole gives away.
    if let (Some(input), Some(cached)) = (usage.input_tokens, usage.cache_read_tokens)
        && cached > input
    {
        usage.input_tokens = Some(input.saturating_add(cached));
    }
    Some(usage)
}

/// Output counts reasoning. xAI leaves it out of `completion_tokens`, which its total gives away; some hosts report more
/// reasoning than output.
fn include_reasoning(usage: &mut Usage, total: Option<u64>) {
    let (Some(output), Some(reasoning)) = (usage.output_tokens, usage.reasoning_tokens) else { return };
    let apart = usage.input_tokens.unwrap_or(0).saturating_add(output).saturating_add(reasoning);
    if reasoning > 0 && total == Some(apart) {
        usage.output_tokens = Some(output.saturating_add(reasoning));
    } else {
        usage.reasoning_tokens = Some(reasoning.min(output));
    }
}

/// Writes the `usage` member. Details that are not known are left out, never `null`.
pub(super) fn encode(usage: &Usage, object: &mut Object<'_>) {
    let (input, output) = (usage.input_tokens.unwrap_or(0), usage.output_tokens.unwrap_or(0));
    let detail = |o: &mut Object<'_>, name: &str, value: Option<u64>| {
        if let Some(value) = value {
            o.u64(name, value);
        }
    };
    object.object("usage", |o| {
        o.u64("prompt_tokens", input);
        o.u64("completion_tokens", output);
        o.u64("total_tokens", input.saturating_add(output));
        if usage.cache_read_tokens.or(usage.cache_write_tokens).or(usage.input_audio_tokens).is_some() {
            o.object("prompt_tokens_details", |o| {
                detail(o, "cached_tokens", usage.cache_read_tokens);
                detail(o, "cache_write_tokens", usage.cache_write_tokens);
                detail(o, "audio_tokens", usage.input_audio_tokens);
            });
        }
        if usage.reasoning_tokens.or(usage.output_audio_tokens).is_some() {
            o.object("completion_tokens_details", |o| {
                detail(o, "reasoning_tokens", usage.reasoning_tokens);
                detail(o, "audio_tokens", usage.output_audio_tokens);
            });
        }
    });
}
