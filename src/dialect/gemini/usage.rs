//! Token counters.

use crate::base::json::{Object, Raw};
use crate::ir::Usage;

/// Reads `usageMetadata`; `None` where it tells no counter. The API leaves out a counter that is zero.
pub(super) fn read(raw: Raw<'_>) -> Option<Usage> {
    let (mut prompt, mut tools, mut candidates, mut thoughts, mut total) = (None, None, None, None, None);
    let mut usage = Usage::default();
    for (name, value) in raw.members() {
        match &*name {
            "promptTokenCount" => prompt = value.u64(),
            "toolUsePromptTokenCount" => tools = value.u64(),
            "cachedContentTokenCount" => usage.cache_read_tokens = value.u64(),
            "candidatesTokenCount" => candidates = value.u64(),
            "thoughtsTokenCount" => thoughts = value.u64(),
            "totalTokenCount" => total = value.u64(),
            "promptTokensDetails" => usage.input_audio_tokens = audio(value),
            "candidatesTokensDetails" => usage.output_audio_tokens = audio(value),
            _ => {}
        }
    }
    usage.input_tokens = sum(prompt, tools);
    usage.reasoning_tokens = thoughts;
    usage.output_tokens = sum(candidates, thoughts).or_else(|| Some(total?.saturating_sub(usage.input_tokens?)));
    (usage != Usage::default()).then_some(usage)
}

fn sum(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (None, None) => None,
        _ => Some(a.unwrap_or(0).saturating_add(b.unwrap_or(0))),
    }
}

fn audio(details: Raw<'_>) -> Option<u64> {
    // A client may ask for enums as numbers.
    let of = |detail: &Raw<'_>| detail.member("modality").is_some_and(|m| m.inner() == Some("AUDIO") || m.u64() == Some(4));
    details.elements().find(of)?.member("tokenCount")?.u64()
}

/// Writes `usageMetadata`, where anything is told.
pub(super) fn put(usage: &Usage, object: &mut Object<'_>) {
    if *usage == Usage::default() {
        return;
    }
    object.object("usageMetadata", |object| {
        let mut told = |name: &str, count: Option<u64>| {
            if let Some(count) = count {
                object.u64(name, count);
            }
        };
        told("promptTokenCount", usage.input_tokens);
        told("cachedContentTokenCount", usage.cache_read_tokens);
        told("candidatesTokenCount", usage.output_tokens.map(|all| all.saturating_sub(usage.reasoning_tokens.unwrap_or(0))));
        told("thoughtsTokenCount", usage.reasoning_tokens);
        if let (Some(input), Some(output)) = (usage.input_tokens, usage.output_tokens) {
            told("totalTokenCount", Some(input.saturating_add(output)));
        }
        let mut of_audio = |name: &str, count: Option<u64>| {
            if let Some(count) = count.filter(|count| *count > 0) {
                object.array(name, |details| {
                    details.object(|detail| {
                        detail.string("modality", "AUDIO");
                        detail.u64("tokenCount", count);
                    });
                });
            }
        };
        of_audio("promptTokensDetails", usage.input_audio_tokens);
        of_audio("candidatesTokensDetails", usage.output_audio_tokens);
    });
}
