//! Token counters on the wire.

use crate::base::json::{Object, Raw};
use crate::dialect::openai::read::{Bill, told, web_searches};
use crate::dialect::openai::usage::{read_input_details, read_output_details};
use crate::ir::{ServiceTier, Usage};

/// Reads a `usage` object; what it does not tell stays unknown. `None` where it is no object.
pub(super) fn decode(raw: Raw<'_>) -> Option<Usage> {
    if !raw.is_object() {
        return None;
    }
    let mut usage = Usage::default();
    let (mut total, mut cited) = (None, None);
    // What hosts name beside the details.
    let (mut host_cached, mut host_written, mut host_reasoning) = (None, None, None);
    let mut bill = Bill::default();
    for (name, value) in raw.members() {
        match &*name {
            name if bill.read(name, value) => {}
            "prompt_tokens" => usage.input_tokens = value.u64(),
            "completion_tokens" => usage.output_tokens = value.u64(),
            "total_tokens" => total = value.u64(),
            // DeepSeek, Moonshot, Mistral and the hosts of Anthropic's models.
            "prompt_cache_hit_tokens" | "cached_tokens" | "num_cached_tokens" | "cache_read_input_tokens" => {
                host_cached = value.u64().or(host_cached);
            }
            "cache_creation_input_tokens" => host_written = value.u64(),
            // Perplexity.
            "reasoning_tokens" => host_reasoning = value.u64(),
            "citation_tokens" => cited = value.u64(),
            "num_search_queries" => usage.web_searches = value.u64(),
            // OpenRouter, and xAI.
            "server_tool_use" | "server_tool_use_details" => {
                usage.web_searches = told(value, "web_search_requests").and_then(Raw::u64).or(usage.web_searches)
            }
            "server_side_tool_usage_details" => usage.web_searches = web_searches(value).or(usage.web_searches),
            // Mistral.
            "service_tier" => usage.service_tier = value.inner().and_then(ServiceTier::named),
            "prompt_tokens_details" => read_input_details(value, &mut usage),
            "completion_tokens_details" => read_output_details(value, &mut usage),
            _ => {}
        }
    }
    usage.billed = bill.total();
    usage.cache_read_tokens = usage.cache_read_tokens.or(host_cached);
    usage.cache_write_tokens = usage.cache_write_tokens.or(host_written);
    usage.reasoning_tokens = usage.reasoning_tokens.or(host_reasoning);
    include_reasoning(&mut usage, total);
    include_parts(&mut usage, total);
    // Texts that were read for the answer, which Perplexity counts, and bills, beside the prompt.
    if let (Some(input), Some(cited)) = (&mut usage.input_tokens, cited) {
        *input = input.saturating_add(cited);
    }
    Some(usage)
}

/// Input counts what was cached and heard. Some hosts leave the one or the other out of the prompt's counter, which a
/// part larger than the whole gives away, or the total.
fn include_parts(usage: &mut Usage, total: Option<u64>) {
    let Some(input) = usage.input_tokens else { return };
    let cached = usage.cache_read_tokens.unwrap_or(0).saturating_add(usage.cache_write_tokens.unwrap_or(0));
    let heard = usage.input_audio_tokens.unwrap_or(0);
    let told = total.map(|total| total.saturating_sub(usage.output_tokens.unwrap_or(0)));
    let (cached_is_beside, heard_is_beside) = (cached > input, heard > input || heard > 0 && told == Some(input.saturating_add(heard)));
    let beside = [(cached, cached_is_beside), (heard, heard_is_beside)].into_iter().filter(|(_, yes)| *yes);
    usage.input_tokens = Some(beside.fold(input, |sum, (tokens, _)| sum.saturating_add(tokens)));
}

/// Output counts reasoning. xAI leaves it out of `completion_tokens`, which its total gives away. Perplexity, and Vercel for
/// Gemini, leave it out of the total too, which gives itself away only by being much more than the output: some hosts count
/// their reasoning a little differently, and tell a little more of it than of all output.
fn include_reasoning(usage: &mut Usage, total: Option<u64>) {
    let (Some(output), Some(reasoning)) = (usage.output_tokens, usage.reasoning_tokens) else { return };
    let apart = usage.input_tokens.unwrap_or(0).saturating_add(output).saturating_add(reasoning);
    if reasoning > 0 && (total == Some(apart) || reasoning / 2 > output) {
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
