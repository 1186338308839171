//! Answers in one piece.

use bytes::Bytes;

/// A chat completion of about `bytes` bytes.
pub fn openai(bytes: usize) -> Bytes {
    filled(
        bytes,
        r#"{"id":"chatcmpl-mock123","object":"chat.completion","created":1700000000,"model":"gpt-4o-mini","choices":[{"index":0,"message":{"role":"assistant","content":""#,
        r#"","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":400,"completion_tokens":150,"total_tokens":550,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}},"service_tier":"default","system_fingerprint":"fp_mock"}"#,
    )
}

/// A message of about `bytes` bytes.
pub fn anthropic(bytes: usize) -> Bytes {
    filled(
        bytes,
        r#"{"id":"msg_mock123","type":"message","role":"assistant","model":"claude-3-5-haiku-20241022","content":[{"type":"text","text":""#,
        r#""}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":400,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":150}}"#,
    )
}

fn filled(bytes: usize, before: &str, after: &str) -> Bytes {
    let room = bytes.saturating_sub(before.len() + after.len());
    let text: String = "The quick brown fox jumps over the lazy dog. ".chars().cycle().take(room).collect();
    Bytes::from(format!("{before}{text}{after}"))
}
