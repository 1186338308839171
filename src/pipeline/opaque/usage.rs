//! Finds what an answer says of its usage while it passes, without keeping or changing it.
//!
//! Every vendor tells it as one small object under `"usage"` (Gemini: `"usageMetadata"`), mostly at the end, behind what
//! may be megabytes of base64. So nothing is parsed but that object. Inside of a JSON string the quote before `usage` is
//! escaped, and the one behind it too: what an answer talks about is never taken for its count.

use memchr::memmem;

use crate::base::json::Raw;
use crate::ir::Usage;

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
    let (mut total, mut thoughts) = (None, None);
    // Anthropic and Bedrock count what was read from and written to the cache beside the input, the others within it.
    let mut beside = 0;
    for (name, value) in raw.members() {
        match &*name {
            "prompt_tokens" | "input_tokens" | "inputTokens" | "promptTokenCount" => usage.input_tokens = value.u64(),
            "completion_tokens" | "output_tokens" | "outputTokens" | "candidatesTokenCount" | "responseTokenCount" => {
                usage.output_tokens = value.u64();
            }
            "total_tokens" => total = value.u64(),
            "thoughtsTokenCount" => thoughts = value.u64(),
            "cachedContentTokenCount" => usage.cache_read_tokens = value.u64(),
            "cache_read_input_tokens" | "cacheReadInputTokens" => {
                usage.cache_read_tokens = value.u64();
                beside += value.u64().unwrap_or(0);
            }
            "cache_creation_input_tokens" | "cacheWriteInputTokens" => {
                usage.cache_write_tokens = value.u64();
                beside += value.u64().unwrap_or(0);
            }
            "prompt_tokens_details" | "input_tokens_details" | "input_token_details" => {
                usage.cache_read_tokens = value.member("cached_tokens").and_then(Raw::u64).or(usage.cache_read_tokens);
                usage.input_audio_tokens = value.member("audio_tokens").and_then(Raw::u64);
            }
            "completion_tokens_details" | "output_tokens_details" | "output_token_details" => {
                usage.reasoning_tokens = value.member("reasoning_tokens").and_then(Raw::u64);
                usage.output_audio_tokens = value.member("audio_tokens").and_then(Raw::u64);
            }
            _ => {}
        }
    }
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

/// Adds up: for a connection that answers more than once.
pub(super) fn add(sum: &mut Usage, more: &Usage) {
    let plus = |own: &mut Option<u64>, other: Option<u64>| {
        if let Some(other) = other {
            *own = Some(own.unwrap_or(0).saturating_add(other));
        }
    };
    plus(&mut sum.input_tokens, more.input_tokens);
    plus(&mut sum.cache_read_tokens, more.cache_read_tokens);
    plus(&mut sum.cache_write_tokens, more.cache_write_tokens);
    plus(&mut sum.cache_write_1h_tokens, more.cache_write_1h_tokens);
    plus(&mut sum.output_tokens, more.output_tokens);
    plus(&mut sum.reasoning_tokens, more.reasoning_tokens);
    plus(&mut sum.input_audio_tokens, more.input_audio_tokens);
    plus(&mut sum.output_audio_tokens, more.output_audio_tokens);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
