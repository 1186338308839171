//! Finds what an answer says of its usage while it passes, without keeping or changing it.
//!
//! Every vendor tells it as one small object under `"usage"` (Gemini: `"usageMetadata"`), mostly at the end, behind what
//! may be megabytes of base64. So nothing is parsed but that object. Inside of a JSON string the quote before `usage` is
//! escaped, and the one behind it too: what an answer talks about is never taken for its count.

use memchr::memmem;

use crate::base::json::Raw;
use crate::ir::{ServiceTier, Usage};

/// What such a member begins with.
const MARK: &[u8] = b"\"usage";
/// A larger object is none.
const OBJECT_BYTES_MAX: usize = 8 << 10;

/// Follows one answer's text, whatever pieces it comes in.
#[derive(Default)]
pub(super) struct UsageFinder {
    stage: Stage,
    kept: Vec<u8>,
}

#[derive(Clone, Copy, Default)]
enum Stage {
    /// Looking for the mark, of which the text so far ends with this many bytes.
    #[default]
    Mark,
    /// Behind the mark, in the name.
    Name,
    /// Behind the name.
    Colon,
    /// Behind the colon.
    Open,
    /// In the object.
    Object { depth: u32, string: bool, escaped: bool },
}

impl UsageFinder {
    /// Reads on, and hands over each usage that is now complete.
    pub(super) fn read(&mut self, mut text: &[u8], found: &mut dyn FnMut(Usage)) {
        while !text.is_empty() {
            match self.stage {
                Stage::Mark => text = self.seek(text),
                _ => {
                    self.step(text[0], found);
                    text = &text[1..];
                }
            }
        }
    }

    /// Goes to behind the next mark, or to the end.
    fn seek<'t>(&mut self, text: &'t [u8]) -> &'t [u8] {
        if !self.kept.is_empty() {
            // The text so far ended like the beginning of a mark, whose first byte stands nowhere else in it.
            let missing = &MARK[self.kept.len()..];
            let common = missing.iter().zip(text).take_while(|(wanted, byte)| wanted == byte).count();
            if common == missing.len() {
                return self.behind_mark(&text[common..]);
            }
            if common == text.len() {
                self.kept.extend_from_slice(text);
                return &[];
            }
            self.kept.clear();
        }
        if let Some(at) = memmem::find(text, MARK) {
            return self.behind_mark(&text[at + MARK.len()..]);
        }
        let begun = (1..MARK.len()).rev().find(|length| text.ends_with(&MARK[..*length]));
        self.kept.extend_from_slice(&MARK[..begun.unwrap_or(0)]);
        &[]
    }

    fn behind_mark<'t>(&mut self, rest: &'t [u8]) -> &'t [u8] {
        self.kept.clear();
        self.stage = Stage::Name;
        rest
    }

    fn step(&mut self, byte: u8, found: &mut dyn FnMut(Usage)) {
        let blank = matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        self.stage = match self.stage {
            Stage::Name if byte == b'"' && (self.kept.is_empty() || self.kept == b"Metadata") => {
                self.kept.clear();
                Stage::Colon
            }
            Stage::Name if b"Metadata".get(self.kept.len()) == Some(&byte) => {
                self.kept.push(byte);
                Stage::Name
            }
            Stage::Colon if byte == b':' => Stage::Open,
            Stage::Colon | Stage::Open if blank => self.stage,
            Stage::Open if byte == b'{' => {
                self.kept.push(byte);
                Stage::Object { depth: 1, string: false, escaped: false }
            }
            Stage::Object { depth, string, escaped } if self.kept.len() < OBJECT_BYTES_MAX => {
                self.kept.push(byte);
                match (string, byte) {
                    (true, _) if escaped => Stage::Object { depth, string, escaped: false },
                    (true, b'\\') => Stage::Object { depth, string, escaped: true },
                    (_, b'"') => Stage::Object { depth, string: !string, escaped },
                    (false, b'{') => Stage::Object { depth: depth + 1, string, escaped },
                    (false, b'}') if depth > 1 => Stage::Object { depth: depth - 1, string, escaped },
                    (false, b'}') => {
                        if let Ok(raw) = Raw::parse(&std::mem::take(&mut self.kept)) {
                            found(usage(raw));
                        }
                        Stage::Mark
                    }
                    _ => self.stage,
                }
            }
            _ => {
                self.kept.clear();
                Stage::Mark
            }
        };
        // A quote that ended something else may begin a mark.
        if matches!(self.stage, Stage::Mark) && byte == b'"' {
            self.kept.push(byte);
        }
    }
}

/// Reads a usage object of any vendor. Input counts what was cached, output counts reasoning, as everywhere here.
fn usage(raw: Raw<'_>) -> Usage {
    let mut usage = Usage::default();
    let (mut total, mut thoughts, mut tools) = (None, None, None);
    // Anthropic and Bedrock count what was read from and written to the cache beside the input, the others within it.
    let mut beside = 0_u64;
    for (name, value) in raw.members() {
        match &*name {
            "prompt_tokens" | "input_tokens" | "inputTokens" | "promptTokenCount" => usage.input_tokens = value.u64(),
            "completion_tokens" | "output_tokens" | "outputTokens" | "candidatesTokenCount" | "responseTokenCount" => {
                usage.output_tokens = value.u64();
            }
            "total_tokens" => total = value.u64(),
            "thoughtsTokenCount" => thoughts = value.u64(),
            "toolUsePromptTokenCount" => tools = value.u64(),
            "cachedContentTokenCount" => usage.cache_read_tokens = value.u64(),
            "cache_read_input_tokens" | "cacheReadInputTokens" => {
                usage.cache_read_tokens = value.u64();
                beside = beside.saturating_add(value.u64().unwrap_or(0));
            }
            "cache_creation_input_tokens" | "cacheWriteInputTokens" => {
                usage.cache_write_tokens = value.u64();
                beside = beside.saturating_add(value.u64().unwrap_or(0));
            }
            "cache_creation" => usage.cache_write_1h_tokens = value.member("ephemeral_1h_input_tokens").and_then(Raw::u64),
            "prompt_tokens_details" | "input_tokens_details" | "input_token_details" => read_details(value, &mut usage),
            "completion_tokens_details" | "output_tokens_details" | "output_token_details" => written_details(value, &mut usage),
            "server_tool_use" => usage.web_searches = value.member("web_search_requests").and_then(Raw::u64),
            "service_tier" | "serviceTier" | "trafficType" => usage.service_tier = value.inner().and_then(ServiceTier::named),
            "promptTokensDetails" => {
                usage.input_audio_tokens = modality(value, "AUDIO");
                usage.input_image_tokens = modality(value, "IMAGE");
                usage.input_video_tokens = modality(value, "VIDEO");
            }
            "cacheTokensDetails" => usage.cache_read_audio_tokens = modality(value, "AUDIO"),
            "candidatesTokensDetails" | "responseTokensDetails" => {
                usage.output_audio_tokens = modality(value, "AUDIO");
                usage.output_image_tokens = modality(value, "IMAGE");
            }
            _ => {}
        }
    }
    let beside = beside.saturating_add(tools.unwrap_or(0));
    usage.input_tokens = usage.input_tokens.map(|input| input.saturating_add(beside));
    if let Some(thoughts) = thoughts {
        usage.reasoning_tokens = Some(thoughts);
        usage.output_tokens = Some(usage.output_tokens.unwrap_or(0).saturating_add(thoughts));
    }
    // Rerankers and some embedders tell the sum alone: it is what they read.
    if usage.input_tokens.is_none() && usage.output_tokens.is_none() {
        usage.input_tokens = total;
    }
    usage
}

/// What OpenAI tells of the input: what was cached of it, and what it stands for.
fn read_details(details: Raw<'_>, usage: &mut Usage) {
    for (name, value) in details.members() {
        match &*name {
            "cached_tokens" => usage.cache_read_tokens = value.u64().or(usage.cache_read_tokens),
            "cache_write_tokens" => usage.cache_write_tokens = value.u64(),
            "audio_tokens" => usage.input_audio_tokens = value.u64(),
            "image_tokens" => usage.input_image_tokens = value.u64(),
            "cached_tokens_details" => usage.cache_read_audio_tokens = value.member("audio_tokens").and_then(Raw::u64),
            _ => {}
        }
    }
}

/// The same of the output.
fn written_details(details: Raw<'_>, usage: &mut Usage) {
    for (name, value) in details.members() {
        match &*name {
            "reasoning_tokens" | "thinking_tokens" => usage.reasoning_tokens = value.u64(),
            "audio_tokens" => usage.output_audio_tokens = value.u64(),
            "image_tokens" => usage.output_image_tokens = value.u64(),
            _ => {}
        }
    }
}

/// What Gemini tells of one modality.
fn modality(details: Raw<'_>, name: &str) -> Option<u64> {
    let of = details.elements().filter(|detail| detail.member("modality").and_then(Raw::inner) == Some(name));
    of.filter_map(|detail| detail.member("tokenCount")?.u64()).reduce(u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::catalog::price::Tariff;
    use crate::policy::charge::{Charge, Served};

    fn found(pieces: &[&[u8]]) -> Vec<Usage> {
        let mut finder = UsageFinder::default();
        let mut all = Vec::new();
        for piece in pieces {
            finder.read(piece, &mut |usage| all.push(usage));
        }
        all
    }

    fn tokens(text: &str) -> Vec<(Option<u64>, Option<u64>)> {
        found(&[text.as_bytes()]).into_iter().map(|usage| (usage.input_tokens, usage.output_tokens)).collect()
    }

    #[test]
    fn every_vendors_object_is_read() {
        let table: &[(&str, Option<u64>, Option<u64>)] = &[
            (r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}"#, Some(3), Some(4)),
            ("{\n  \"usage\" : {\n \"input_tokens\": 3,\n \"output_tokens\": 4 }\n}", Some(3), Some(4)),
            (
                r#"{"data":[{"b64_json":"AA"}],"usage":{"input_tokens":50,"input_tokens_details":{"text_tokens":50},"output_tokens":4160,"total_tokens":4210}}"#,
                Some(50),
                Some(4160),
            ),
            (
                r#"{"text":"a","usage":{"type":"tokens","input_tokens":14,"input_token_details":{"audio_tokens":14},"output_tokens":45}}"#,
                Some(14),
                Some(45),
            ),
            (r#"{"text":"a","usage":{"type":"duration","seconds":9}}"#, None, None),
            (r#"{"results":[],"usage":{"total_tokens":26}}"#, Some(26), None),
            (
                r#"{"usage":{"input_tokens":3,"cache_read_input_tokens":10,"cache_creation_input_tokens":20,"output_tokens":4}}"#,
                Some(33),
                Some(4),
            ),
            (r#"{"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":4,"thoughtsTokenCount":5}}"#, Some(3), Some(9)),
            (r#"{"usage":{"inputTokens":3,"outputTokens":4,"totalTokens":7}}"#, Some(3), Some(4)),
        ];
        for (text, input, output) in table {
            assert_eq!(tokens(text), [(*input, *output)], "{text}");
        }
    }

    #[test]
    fn what_is_read_is_charged() {
        // (kind, model, answer, nano-USD by hand)
        let table: &[(&str, &str, &str, u64)] = &[
            // OpenAI's guide to image generation: a square one of high quality is 4160 tokens, $0.167; text 50 x $5.
            (
                "openai",
                "gpt-image-1",
                r#"{"usage":{"input_tokens":50,"input_tokens_details":{"text_tokens":50,"image_tokens":0},"output_tokens":4160,"total_tokens":4210}}"#,
                250_000 + 4160 * 40_000,
            ),
            // Images apart from words: text 12 x 5, an image read 100 x 8, one written 4160 x 32, thoughts 333 x 10.
            (
                "openai",
                "gpt-image-1.5",
                r#"{"usage":{"input_tokens":112,"input_tokens_details":{"text_tokens":12,"image_tokens":100},"output_tokens":4493,"output_tokens_details":{"image_tokens":4160,"text_tokens":333},"total_tokens":4605}}"#,
                60_000 + 800_000 + 4160 * 32_000 + 3_330_000,
            ),
            // A transcript: 14 x 6 + 45 x 10.
            (
                "openai",
                "gpt-4o-transcribe",
                r#"{"text":"a","usage":{"type":"tokens","input_tokens":14,"input_token_details":{"text_tokens":0,"audio_tokens":14},"output_tokens":45,"total_tokens":59}}"#,
                84_000 + 450_000,
            ),
            // A realtime answer: fresh text 19 x 4, fresh sound 10 x 32, cached text 100 x 0.4, cached sound 50 x 0.4; out 20 x 16 + 80 x 64.
            (
                "openai",
                "gpt-realtime",
                r#"{"response":{"usage":{"total_tokens":279,"input_tokens":179,"output_tokens":100,"input_token_details":{"text_tokens":119,"audio_tokens":60,"cached_tokens":150,"cached_tokens_details":{"text_tokens":100,"audio_tokens":50}},"output_token_details":{"text_tokens":20,"audio_tokens":80}}}}"#,
                76_000 + 320_000 + 40_000 + 20_000 + 320_000 + 5_120_000,
            ),
            // An answer that a batch holds: half of 10 x 3 + 20 x 0.3 + 30 x 6 (an hour) + 4 x 15.
            (
                "anthropic",
                "claude-sonnet-4-5",
                r#"{"usage":{"input_tokens":10,"cache_read_input_tokens":20,"cache_creation_input_tokens":30,"cache_creation":{"ephemeral_1h_input_tokens":30},"output_tokens":4,"service_tier":"batch"}}"#,
                15_000 + 3_000 + 90_000 + 30_000,
            ),
        ];
        for (kind, model, text, nanos) in table {
            let tariff = Tariff::new(&crate::config::catalog::facts(kind, model).prices);
            let usage = found(&[text.as_bytes()])[0];
            let charge = Charge::of(&tariff, &usage, &Served::once(std::time::UNIX_EPOCH));
            assert_eq!((charge.total.0, charge.price_unknown), (*nanos, false), "{model}: {:#?}", charge.lines());
        }
    }

    #[test]
    fn what_only_looks_like_it_is_not() {
        for text in [
            r#"{"text":"\"usage\":{\"input_tokens\":1}"}"#,
            r#"{"usage":null,"x":{"input_tokens":1}}"#,
            r#"{"a":"usage","b":{"input_tokens":1}}"#,
            r#"{"usages":{"input_tokens":1}}"#,
            r#"{"usageMeta":{"input_tokens":1}}"#,
            r#"{"usage":[{"input_tokens":1}]}"#,
            r#"{"usage":{"input_tokens":1"#,
            r#"{"usage":{"input_tokens" 1}}"#,
        ] {
            assert_eq!(tokens(text), [], "{text}");
        }
        let vast = format!(r#"{{"usage":{{"a":"{}"}},"usage":{{"input_tokens":1}}}}"#, "x".repeat(OBJECT_BYTES_MAX));
        assert_eq!(tokens(&vast), [(Some(1), None)]);
    }

    proptest! {
        /// Law: how the text is cut changes nothing.
        #[test]
        fn cuts_do_not_matter(cuts in prop::collection::vec(0usize..200, 0..40)) {
            let text = br#"data: {"a":"\"usage\":{","usage":"usage","usage":{"input_tokens":1,"s":"}\"{"}}  ""usage":{"output_tokens":2}"usag"usageMetadata" : {"promptTokenCount":3}"#;
            let mut at: Vec<usize> = cuts.into_iter().map(|cut| cut % text.len()).collect();
            at.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in at {
                pieces.push(&text[from..cut]);
                from = cut;
            }
            pieces.push(&text[from..]);
            let all = found(&pieces);
            prop_assert_eq!(all.len(), 3);
            prop_assert_eq!(all, found(&[text]));
        }

        #[test]
        fn noise_is_harmless(noise in "[\"usageMtd:{}\\\\ ]{0,200}") {
            let mut finder = UsageFinder::default();
            finder.read(noise.as_bytes(), &mut |_| ());
            prop_assert!(finder.kept.len() <= OBJECT_BYTES_MAX);
        }
    }
}
