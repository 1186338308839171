//! Token counters.

use crate::base::json::{Object, Raw};
use crate::ir::{ServiceTier, Usage};

/// Reads `usageMetadata`; `None` where it tells no counter. The API leaves out a counter that is zero.
pub(super) fn read(raw: Raw<'_>) -> Option<Usage> {
    let (mut prompt, mut tools, mut candidates, mut thoughts, mut total) = (None, None, None, None, None);
    let mut usage = Usage::default();
    let (mut of_prompt, mut of_tools) = (Modalities::default(), Modalities::default());
    for (name, value) in raw.members() {
        match &*name {
            "promptTokenCount" => prompt = value.u64(),
            "toolUsePromptTokenCount" => tools = value.u64(),
            "cachedContentTokenCount" => usage.cache_read_tokens = value.u64(),
            "candidatesTokenCount" | "responseTokenCount" => candidates = value.u64(),
            "thoughtsTokenCount" => thoughts = value.u64(),
            "totalTokenCount" => total = value.u64(),
            "promptTokensDetails" => of_prompt = modalities(value),
            "toolUsePromptTokensDetails" => of_tools = modalities(value),
            "cacheTokensDetails" => usage.cache_read_audio_tokens = modalities(value).audio,
            "candidatesTokensDetails" | "responseTokensDetails" => {
                let written = modalities(value);
                (usage.output_audio_tokens, usage.output_image_tokens) = (written.audio, written.image);
            }
            "serviceTier" | "trafficType" => usage.service_tier = value.inner().and_then(ServiceTier::named).or(usage.service_tier),
            _ => {}
        }
    }
    usage.input_audio_tokens = sum(of_prompt.audio, of_tools.audio);
    usage.input_image_tokens = sum(of_prompt.image, of_tools.image);
    usage.input_video_tokens = sum(of_prompt.video, of_tools.video);
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

/// Tokens by what they stand for. Text is the rest, and a document is priced as text.
#[derive(Default)]
struct Modalities {
    image: Option<u64>,
    video: Option<u64>,
    audio: Option<u64>,
}

fn modalities(details: Raw<'_>) -> Modalities {
    let mut found = Modalities::default();
    for detail in details.elements() {
        let Some(modality) = detail.member("modality") else { continue };
        // A client may ask for enums as numbers.
        let slot = match (modality.inner(), modality.u64()) {
            (Some("IMAGE"), _) | (_, Some(2)) => &mut found.image,
            (Some("VIDEO"), _) | (_, Some(3)) => &mut found.video,
            (Some("AUDIO"), _) | (_, Some(4)) => &mut found.audio,
            _ => continue,
        };
        *slot = sum(*slot, detail.member("tokenCount").and_then(Raw::u64));
    }
    found
}

/// How many searches of the web a candidate's `groundingMetadata` tells.
pub(super) fn searches(grounding: Raw<'_>) -> Option<u64> {
    let asked = grounding.member("webSearchQueries")?.elements().filter(|query| query.inner().is_some_and(|text| !text.is_empty()));
    u64::try_from(asked.count()).ok().filter(|count| *count > 0)
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
