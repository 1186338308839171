//! Worked examples: a vendor's own JSON, and what it costs by hand.
//!
//! PAGE: the sum, or the counters, stand on the named page; LISTED: counters of ours (or of a recorded answer) times the
//! rates that the page lists. Sums are in millionths of a dollar (µ$) where that is easier to read: tokens times USD for a
//! million. Pages, as of November 2026:
//! A  https://platform.claude.com/docs/en/about-claude/pricing
//! C  https://platform.claude.com/docs/en/build-with-claude/prompt-caching
//! W  https://platform.claude.com/docs/en/agents-and-tools/tool-use/web-search-tool
//! K  https://platform.claude.com/docs/en/build-with-claude/compaction
//! O  https://developers.openai.com/api/docs/pricing
//! P  https://developers.openai.com/api/docs/guides/prompt-caching
//! G  https://ai.google.dev/gemini-api/docs/pricing
//! V  https://cloud.google.com/vertex-ai/generative-ai/pricing
//! B  https://aws.amazon.com/bedrock/pricing/
//! Z  https://azure.microsoft.com/pricing/details/azure-openai/
//! S  https://docs.perplexity.ai/getting-started/pricing
//! D  https://api-docs.deepseek.com/quick_start/pricing
//! X  https://docs.x.ai/docs/models, M  https://mistral.ai/pricing, R  https://groq.com/pricing
//! N  https://platform.moonshot.ai/docs/pricing, H  https://cohere.com/pricing, Q  https://openrouter.ai/models
//! L  https://www.alibabacloud.com/help/en/model-studio/model-pricing

use bytes::Bytes;

use super::super::{Charge, Served};
use super::{NOON, on, tariff};
use crate::base::framing::{Framer, Framing};
use crate::base::money::NanoUsd;
use crate::config::catalog::{self, price::Tariff};
use crate::dialect::codec;
use crate::ir::Dialect::{self, Anthropic, Bedrock, Gemini, OpenAiChat, OpenAiResponses};
use crate::ir::{Fold, ServiceTier, Usage};

struct Row {
    /// `kind/model`.
    of: &'static str,
    dialect: Dialect,
    /// Members of the answer, as the vendor writes them.
    told: &'static str,
    tier: Option<ServiceTier>,
    at: &'static str,
    location: Option<&'static str>,
    usd: &'static str,
}

const fn row(of: &'static str, dialect: Dialect, told: &'static str, usd: &'static str) -> Row {
    Row { of, dialect, told, tier: None, at: NOON, location: None, usd }
}

impl Row {
    /// From a batch: whose answers' dialects do not all say so.
    const fn batch(self) -> Self {
        Self { tier: Some(ServiceTier::Batch), ..self }
    }

    const fn at(self, at: &'static str) -> Self {
        Self { at, ..self }
    }

    const fn location(self, location: &'static str) -> Self {
        Self { location: Some(location), ..self }
    }
}

/// The answer around the members.
fn answer(dialect: Dialect, told: &str) -> String {
    match dialect {
        OpenAiChat => format!(
            r#"{{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{{"index":0,"message":{{"role":"assistant","content":"x"}},"finish_reason":"stop"}}],{told}}}"#
        ),
        Anthropic => format!(
            r#"{{"id":"m","type":"message","role":"assistant","model":"m","content":[{{"type":"text","text":"x"}}],"stop_reason":"end_turn","stop_sequence":null,{told}}}"#
        ),
        OpenAiResponses if told.contains("\"output\":") => format!(r#"{{"id":"r","status":"completed","model":"m",{told}}}"#),
        OpenAiResponses => format!(
            r#"{{"id":"r","status":"completed","model":"m","output":[{{"type":"message","content":[{{"type":"output_text","text":"x"}}]}}],{told}}}"#
        ),
        Bedrock => format!(
            r#"{{"output":{{"message":{{"role":"assistant","content":[{{"text":"x"}}]}}}},"stopReason":"end_turn","metrics":{{"latencyMs":1}},{told}}}"#
        ),
        Gemini => match told.split_once("GROUNDING") {
            Some((grounding, told)) => format!(
                r#"{{"candidates":[{{"content":{{"parts":[{{"text":"x"}}],"role":"model"}},"finishReason":"STOP","groundingMetadata":{grounding}}}],{told}}}"#
            ),
            None => format!(r#"{{"candidates":[{{"content":{{"parts":[{{"text":"x"}}],"role":"model"}},"finishReason":"STOP"}}],{told}}}"#),
        },
    }
}

/// Decimal dollars as nano-USD.
fn usd(text: &str) -> NanoUsd {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    NanoUsd(format!("{whole}{fraction:0<9}").parse().unwrap())
}

#[test]
fn worked_examples_come_out() {
    let mut wrong = Vec::new();
    for row in ROWS {
        let (kind, model) = row.of.split_once('/').unwrap();
        let prices = catalog::facts(kind, model).prices;
        let prices = match row.location {
            Some(location) => prices.at(location, model),
            None => prices,
        };
        let body = answer(row.dialect, row.told);
        let decoded = codec(row.dialect).decode_answer(body.as_bytes()).unwrap().usage.unwrap();
        let observed = codec(row.dialect).observe_answer(body.as_bytes()).unwrap().usage.unwrap();
        assert_eq!(decoded, observed, "read and seen differ: {body}");
        let served = Served { tier: row.tier, ..Served::once(on(row.at)) };
        let charge = Charge::of(&Tariff::new(&prices), &decoded, &served);
        if charge.total != usd(row.usd) || charge.price_unknown {
            wrong.push(format!("{} {}: {} instead of {}: {:#?}", row.of, row.told, charge.total, row.usd, charge.lines()));
        }
    }
    assert!(wrong.is_empty(), "{} of {} wrong:\n{}", wrong.len(), ROWS.len(), wrong.join("\n"));
    assert!(ROWS.len() >= 75, "only {} rows", ROWS.len());
}

/// What is not told by a chat's codec, counted where it is read.
#[test]
fn other_answers_come_out() {
    let charge = |kind, model, usage: &Usage, tier| {
        Charge::of(&tariff(kind, model), usage, &Served { tier, ..Served::once(on(NOON)) }).total.to_string()
    };
    // O, LISTED: 8 tokens x $0.02 = 0.16 µ$; 1,000,000 x $0.13; in a batch half.
    let embedded = |body: &str| {
        let answer = codec(OpenAiChat).embeddings().unwrap().decode_answer(body.as_bytes(), &http::HeaderMap::new()).unwrap();
        Usage { input_tokens: answer.input_tokens, ..Usage::default() }
    };
    let small = embedded(
        r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5]}],"model":"text-embedding-3-small","usage":{"prompt_tokens":8,"total_tokens":8}}"#,
    );
    assert_eq!(charge("openai", "text-embedding-3-small", &small, None), "0.00000016");
    let large = embedded(
        r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5]}],"model":"text-embedding-3-large","usage":{"prompt_tokens":1000000,"total_tokens":1000000}}"#,
    );
    assert_eq!(charge("openai", "text-embedding-3-large", &large, None), "0.13");
    assert_eq!(charge("openai", "text-embedding-3-large", &large, Some(ServiceTier::Batch)), "0.065");
    // H, LISTED: a search is $2 for a thousand, and the tokens that are told beside it cost nothing.
    assert_eq!(charge("cohere", "rerank-v3.5", &Usage { input_tokens: Some(9999), ..Usage::default() }, None), "0.002");
    // G, LISTED: 100 x $0.15.
    assert_eq!(charge("gemini", "gemini-embedding-001", &Usage { input_tokens: Some(100), ..Usage::default() }, None), "0.000015");
    // G, LISTED: gemini-embedding-2: text $0.2, images $0.45, sound $6.5, video $12: 10 + 20 + 30 + 40 tokens = 2+9+195+480 µ$.
    let all = Usage {
        input_tokens: Some(100),
        input_image_tokens: Some(20),
        input_audio_tokens: Some(30),
        input_video_tokens: Some(40),
        ..Usage::default()
    };
    assert_eq!(charge("gemini", "gemini-embedding-2", &all, None), "0.000686");
}

/// A stream tells the same, though not all of it at once.
#[test]
fn streams_come_out() {
    // (kind, model, dialect, events, USD)
    let table: &[(&str, &str, Dialect, &[&str], &str)] = &[
        // Only the first chunk tells the tier: 1000 x 2.5 + 100 x 15.
        (
            "openai",
            "gpt-5.5",
            OpenAiChat,
            &[
                r#"{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","service_tier":"flex","choices":[{"index":0,"delta":{"role":"assistant","content":"x"},"finish_reason":null}],"usage":null}"#,
                r#"{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}"#,
                r#"{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":1000,"completion_tokens":100,"total_tokens":1100}}"#,
                "[DONE]",
            ],
            "0.004",
        ),
        // The start tells place and speed, the end the counters and a search: (1000 x 10 + 100 x 50) x 1.1 + 10,000.
        (
            "anthropic",
            "claude-opus-5",
            Anthropic,
            &[
                r#"{"type":"message_start","message":{"id":"m","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"usage":{"input_tokens":1000,"output_tokens":1,"service_tier":"standard","speed":"fast","inference_geo":"us"}}}"#,
                r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
                r#"{"type":"content_block_stop","index":0}"#,
                r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":100,"server_tool_use":{"web_search_requests":1}}}"#,
                r#"{"type":"message_stop"}"#,
            ],
            "0.0265",
        ),
        // The response at the end has all of it, at priority's 4 and 20: 1000 x 4 + 100 x 20 + 10,000.
        (
            "openai",
            "gpt-6-sol",
            OpenAiResponses,
            &[
                r#"{"type":"response.created","sequence_number":0,"response":{"id":"r","status":"in_progress","model":"m","output":[]}}"#,
                r#"{"type":"response.completed","sequence_number":1,"response":{"id":"r","status":"completed","model":"m","service_tier":"priority","output":[{"type":"web_search_call","id":"1","status":"completed","action":{"type":"search"}},{"type":"message","content":[{"type":"output_text","text":"x"}]}],"usage":{"input_tokens":1000,"output_tokens":100,"total_tokens":1100}}}"#,
            ],
            "0.016",
        ),
        // Each chunk tells the counters so far, the last of them the queries: 100 x 0.5 + 100 x 3 + 14,000.
        (
            "gemini",
            "gemini-3-flash-preview",
            Gemini,
            &[
                r#"{"candidates":[{"content":{"parts":[{"text":"x"}],"role":"model"}}],"usageMetadata":{"promptTokenCount":100,"candidatesTokenCount":10,"totalTokenCount":110}}"#,
                r#"{"candidates":[{"content":{"parts":[{"text":"y"}],"role":"model"},"finishReason":"STOP","groundingMetadata":{"webSearchQueries":["a",""]}}],"usageMetadata":{"promptTokenCount":100,"candidatesTokenCount":100,"totalTokenCount":200}}"#,
            ],
            "0.01435",
        ),
    ];
    for (kind, model, dialect, events, total) in table {
        let (mut decoder, mut fold) = (codec(*dialect).stream_decoder(), Fold::default());
        let mut framer = Framer::new(Framing::Sse, 1 << 20);
        let name = |event: &str| event.split('"').nth(3).filter(|_| event.starts_with("{\"type\"")).unwrap_or("message").to_owned();
        let wire: String = events.iter().map(|event| format!("event: {}\ndata: {event}\n\n", name(event))).collect();
        framer.push(Bytes::from(wire), |frame| decoder.decode(&frame, &mut |event| fold.add(&event)).unwrap()).unwrap();
        let usage = fold.into_answer().usage.unwrap();
        let charge = Charge::of(&tariff(kind, model), &usage, &Served::once(on(NOON)));
        assert_eq!((charge.total.to_string().as_str(), charge.price_unknown), (*total, false), "{model}: {usage:?} {:#?}", charge.lines());
    }
}

const ROWS: &[Row] = &[
    // A, PAGE, "Worked example" without the session's hour: 50,000 x $5 + 15,000 x $25.
    row("anthropic/claude-opus-4-8", Anthropic, r#""usage":{"input_tokens":50000,"output_tokens":15000}"#, "0.625"),
    // A, PAGE, the same with 40,000 tokens read from the cache: $0.05 + $0.02 + $0.375.
    row(
        "anthropic/claude-opus-4-8",
        Anthropic,
        r#""usage":{"input_tokens":10000,"cache_read_input_tokens":40000,"cache_creation_input_tokens":0,"output_tokens":15000}"#,
        "0.445",
    ),
    // A, PAGE, support tickets: 10,000 conversations of 3,700 tokens on Haiku 4.5 are about $37.
    row("anthropic/claude-haiku-4-5", Anthropic, r#""usage":{"input_tokens":37000000,"output_tokens":0}"#, "37"),
    // C, PAGE (counters): 2048 x 3 + 1800 x 0.3 + 148 x 3.75 + 100 x 6 + 503 x 15 = 6144+540+555+600+7545 µ$.
    row(
        "anthropic/claude-sonnet-4-5",
        Anthropic,
        r#""usage":{"input_tokens":2048,"cache_read_input_tokens":1800,"cache_creation_input_tokens":248,"output_tokens":503,"cache_creation":{"ephemeral_5m_input_tokens":148,"ephemeral_1h_input_tokens":100}}"#,
        "0.015384",
    ),
    // W, PAGE (counters): 105 x 5 + 7123 x 0.5 + 7345 x 6.25 + 6039 x 25 + one search of $10/1000
    // = 525+3561.5+45906.25+150975+10000 µ$.
    row(
        "anthropic/claude-opus-4-8",
        Anthropic,
        r#""usage":{"input_tokens":105,"output_tokens":6039,"cache_read_input_tokens":7123,"cache_creation_input_tokens":7345,"server_tool_use":{"web_search_requests":1}}"#,
        "0.21096775",
    ),
    // A, LISTED, batch: half: 1M x 0.5 + 200,000 x 2.5.
    row("anthropic/claude-haiku-4-5", Anthropic, r#""usage":{"input_tokens":1000000,"output_tokens":200000,"service_tier":"batch"}"#, "1"),
    // A, LISTED, batch and caching together: 1000 x 2.5 + 200,000 x 0.25 + 100,000 x 5 (1h) + 2000 x 12.5 = 2500+50000+500000+25000.
    row(
        "anthropic/claude-opus-4-8",
        Anthropic,
        r#""usage":{"input_tokens":1000,"cache_read_input_tokens":200000,"cache_creation_input_tokens":100000,"cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":100000},"output_tokens":2000,"service_tier":"batch"}"#,
        "0.5775",
    ),
    // A, LISTED, data residency, all x 1.1: 100,000 x 5.5 + 50,000 x 0.55 + 20,000 x 6.875 + 10,000 x 27.5 = 550+27.5+137.5+275 m$.
    row(
        "anthropic/claude-opus-4-6",
        Anthropic,
        r#""usage":{"input_tokens":100000,"cache_read_input_tokens":50000,"cache_creation_input_tokens":20000,"output_tokens":10000,"inference_geo":"us"}"#,
        "0.99",
    ),
    // A, LISTED, the same anywhere: 500 + 25 + 125 + 250 m$.
    row(
        "anthropic/claude-opus-4-6",
        Anthropic,
        r#""usage":{"input_tokens":100000,"cache_read_input_tokens":50000,"cache_creation_input_tokens":20000,"output_tokens":10000,"inference_geo":"global"}"#,
        "0.9",
    ),
    // A, LISTED, data residency is of tokens, not of searches: 1000 x 5.5 + 100 x 27.5 + 2 x 10,000 = 5500+2750+20000.
    row(
        "anthropic/claude-opus-4-8",
        Anthropic,
        r#""usage":{"input_tokens":1000,"output_tokens":100,"inference_geo":"us","server_tool_use":{"web_search_requests":2,"web_fetch_requests":7}}"#,
        "0.02825",
    ),
    // A, LISTED, fast mode of Opus 4.8 ($10, $50): 1000 x 10 + 1000 x 50.
    row("anthropic/claude-opus-4-8", Anthropic, r#""usage":{"input_tokens":1000,"output_tokens":1000,"service_tier":"standard","speed":"fast"}"#, "0.06"),
    // A, LISTED, fast mode and data residency stack: 1000 x 11 + 1000 x 55.
    row("anthropic/claude-opus-5", Anthropic, r#""usage":{"input_tokens":1000,"output_tokens":1000,"speed":"fast","inference_geo":"us"}"#, "0.066"),
    // A, LISTED, the priority tier draws on a commitment at the ordinary price: 1000 x 3 + 1000 x 15.
    row("anthropic/claude-sonnet-4-5", Anthropic, r#""usage":{"input_tokens":1000,"output_tokens":1000,"service_tier":"priority"}"#, "0.018"),
    // LISTED, Haiku 5.5 beyond 100,000 tokens, cached ones included: 60,001 x 0.5 + 40,000 x 0.05 + 1000 x 2.5 = 30000.5+2000+2500.
    row("anthropic/claude-haiku-5-5", Anthropic, r#""usage":{"input_tokens":60001,"cache_read_input_tokens":40000,"output_tokens":1000}"#, "0.0345005"),
    // LISTED, and at 100,000: 60,000 x 0.1 + 40,000 x 0.01 + 1000 x 0.5.
    row("anthropic/claude-haiku-5-5", Anthropic, r#""usage":{"input_tokens":60000,"cache_read_input_tokens":40000,"output_tokens":1000}"#, "0.0069"),
    // LISTED, long and batch: 200,000 x 0.25 + 1000 x 1.25.
    row("anthropic/claude-haiku-5-5", Anthropic, r#""usage":{"input_tokens":200000,"output_tokens":1000,"service_tier":"batch"}"#, "0.05125"),
    // A, LISTED, thinking is part of the output: 100 x 5 + 2000 x 25.
    row("anthropic/claude-opus-4-8", Anthropic, r#""usage":{"input_tokens":100,"output_tokens":2000,"output_tokens_details":{"thinking_tokens":1500}}"#, "0.0505"),
    // K, PAGE (rule: what is billed is the sum of the iterations; counters of a recorded answer):
    // (181+100) x 3 + 55,096 x 0.3 + (8+83) x 15 = 843+16528.8+1365 µ$.
    row(
        "anthropic/claude-sonnet-4-6",
        Anthropic,
        r#""usage":{"input_tokens":181,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":8,"iterations":[{"input_tokens":100,"output_tokens":83,"cache_read_input_tokens":55096,"cache_creation_input_tokens":0,"cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0},"type":"compaction"},{"input_tokens":181,"output_tokens":8,"cache_read_input_tokens":0,"cache_creation_input_tokens":0,"type":"message"}]}"#,
        "0.0187368",
    ),
    // A, LISTED: 1000 x 15 + 1000 x 1.5 + 1000 x 30 + 1000 x 75.
    row(
        "anthropic/claude-opus-4-1",
        Anthropic,
        r#""usage":{"input_tokens":1000,"cache_read_input_tokens":1000,"cache_creation_input_tokens":1000,"cache_creation":{"ephemeral_1h_input_tokens":1000},"output_tokens":1000}"#,
        "0.1215",
    ),
    // A, LISTED, a write without its duration is one of five minutes: 10 x 1 + 10,000 x 1.25 + 100 x 5.
    row("anthropic/claude-haiku-4-5", Anthropic, r#""usage":{"input_tokens":10,"cache_creation_input_tokens":10000,"output_tokens":100}"#, "0.01301"),
    // P, PAGE (counters): (2006-1920) x 2.5 + 1920 x 1.25 + 300 x 10 = 215+2400+3000.
    row(
        "openai/gpt-4o-2024-08-06",
        OpenAiChat,
        r#""usage":{"prompt_tokens":2006,"completion_tokens":300,"total_tokens":2306,"prompt_tokens_details":{"cached_tokens":1920},"completion_tokens_details":{"reasoning_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}"#,
        "0.005615",
    ),
    // O, LISTED, reasoning is part of the output: 1000 x 1.1 + 2000 x 4.4.
    row(
        "openai/o4-mini",
        OpenAiChat,
        r#""usage":{"prompt_tokens":1000,"completion_tokens":2000,"total_tokens":3000,"completion_tokens_details":{"reasoning_tokens":1500}}"#,
        "0.0099",
    ),
    // O, LISTED, flex: 8000 x 2.5 + 2000 x 0.25 + 500 x 15.
    row(
        "openai/gpt-5.5",
        OpenAiChat,
        r#""service_tier":"flex","usage":{"prompt_tokens":10000,"completion_tokens":500,"total_tokens":10500,"prompt_tokens_details":{"cached_tokens":2000}}"#,
        "0.028",
    ),
    // O, LISTED, priority: 8000 x 12.5 + 2000 x 1.25 + 500 x 75.
    row(
        "openai/gpt-5.5",
        OpenAiChat,
        r#""usage":{"prompt_tokens":10000,"completion_tokens":500,"total_tokens":10500,"prompt_tokens_details":{"cached_tokens":2000}},"service_tier":"priority""#,
        "0.14",
    ),
    // O, LISTED: 8000 x 5 + 2000 x 0.5 + 500 x 30.
    row(
        "openai/gpt-5.5",
        OpenAiChat,
        r#""usage":{"prompt_tokens":10000,"completion_tokens":500,"total_tokens":10500,"prompt_tokens_details":{"cached_tokens":2000}},"service_tier":"default""#,
        "0.056",
    ),
    // O, LISTED, capacity paid for beforehand counts as the ordinary tier: 1000 x 2.5 + 1000 x 10.
    row("openai/gpt-4o", OpenAiChat, r#""usage":{"prompt_tokens":1000,"completion_tokens":1000,"total_tokens":2000},"service_tier":"scale""#, "0.0125"),
    // O, LISTED, long context: 272,000 x 5 + 1000 x 30; one token more: 272,001 x 10 + 1000 x 45.
    row("openai/gpt-5.5", OpenAiChat, r#""usage":{"prompt_tokens":272000,"completion_tokens":1000,"total_tokens":273000}"#, "1.39"),
    row("openai/gpt-5.5", OpenAiChat, r#""usage":{"prompt_tokens":272001,"completion_tokens":1000,"total_tokens":273001}"#, "2.76501"),
    // O, LISTED, long and flex: 300,000 x 5 + 1000 x 22.5.
    row("openai/gpt-5.5", OpenAiChat, r#""usage":{"prompt_tokens":300000,"completion_tokens":1000,"total_tokens":301000},"service_tier":"flex""#, "1.5225"),
    // O, LISTED, long and batch: 200,000 x 5 + 100,000 x 0.5 + 1000 x 22.5.
    row(
        "openai/gpt-5.5",
        OpenAiChat,
        r#""usage":{"prompt_tokens":300000,"completion_tokens":1000,"total_tokens":301000,"prompt_tokens_details":{"cached_tokens":100000}}"#,
        "1.0725",
    )
    .batch(),
    // O, LISTED, cache writes by duration: 3000 x 2 + 2000 x 0.2 + 3000 x 2.5 + 2000 x 5 + 1000 x 10 = 6000+400+7500+10000+10000.
    row(
        "openai/gpt-6-sol",
        OpenAiResponses,
        r#""service_tier":"default","usage":{"input_tokens":10000,"input_tokens_details":{"cached_tokens":2000,"cache_write_tokens":5000,"cache_write_tokens_details":{"ttl_30m_tokens":3000,"ttl_12h_tokens":2000}},"output_tokens":1000,"output_tokens_details":{"reasoning_tokens":600},"total_tokens":11000}"#,
        "0.0339",
    ),
    // O, LISTED: 1000 x 2 + 4000 x 2.5 + 100 x 10.
    row(
        "openai/gpt-6-sol",
        OpenAiChat,
        r#""usage":{"prompt_tokens":5000,"completion_tokens":100,"total_tokens":5100,"prompt_tokens_details":{"cached_tokens":0,"cache_write_tokens":4000}}"#,
        "0.013",
    ),
    // O, LISTED, flex halves writes too: 1000 x 1 + 4000 x 1.25 + 100 x 5.
    row(
        "openai/gpt-6-sol",
        OpenAiResponses,
        r#""service_tier":"flex","usage":{"input_tokens":5000,"input_tokens_details":{"cached_tokens":0,"cache_write_tokens":4000},"output_tokens":100,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":5100}"#,
        "0.0065",
    ),
    // O, LISTED, audio apart from text: 20 x 2.5 + 80 x 32 + 10 x 10 + 50 x 64 = 50+2560+100+3200.
    row(
        "openai/gpt-audio",
        OpenAiChat,
        r#""usage":{"prompt_tokens":100,"completion_tokens":60,"total_tokens":160,"prompt_tokens_details":{"audio_tokens":80,"text_tokens":20,"cached_tokens":0},"completion_tokens_details":{"audio_tokens":50,"text_tokens":10,"reasoning_tokens":0}}"#,
        "0.00591",
    ),
    // O, LISTED (counters of a recorded answer): 22 x 2.5 + 6 x 10 + 12 x 80.
    row(
        "openai/gpt-4o-audio-preview-2025-06-03",
        OpenAiChat,
        r#""usage":{"completion_tokens":18,"completion_tokens_details":{"audio_tokens":12,"reasoning_tokens":0,"text_tokens":6},"prompt_tokens":22,"prompt_tokens_details":{"audio_tokens":0,"cached_tokens":0,"image_tokens":0,"text_tokens":22},"total_tokens":40}"#,
        "0.001075",
    ),
    // O, LISTED, cached audio and text of a realtime model: fresh text 100 x 4, fresh audio 200 x 32, cached 300 x 0.4, cached
    // audio 400 x 0.4, out text 10 x 16, out audio 20 x 64 = 400+6400+120+160+160+1280.
    row(
        "openai/gpt-realtime",
        OpenAiChat,
        r#""usage":{"prompt_tokens":1000,"completion_tokens":30,"total_tokens":1030,"prompt_tokens_details":{"audio_tokens":600,"text_tokens":400,"cached_tokens":700,"cached_tokens_details":{"audio_tokens":400,"text_tokens":300}},"completion_tokens_details":{"audio_tokens":20}}"#,
        "0.00852",
    ),
    // O, LISTED, three searches of $10/1000: 1000 x 1.25 + 500 x 10 + 30,000.
    row(
        "openai/gpt-5",
        OpenAiResponses,
        r#""usage":{"input_tokens":1000,"input_tokens_details":{"cached_tokens":0,"cache_write_tokens":0},"output_tokens":500,"output_tokens_details":{"reasoning_tokens":400},"total_tokens":1500},"tool_usage":{"image_gen":{"input_tokens":0,"output_tokens":0,"total_tokens":0},"web_search":{"num_requests":3}}"#,
        "0.03625",
    ),
    // O, LISTED, searches that only the output tells; opening a page is none: 10,000 x 0.25 + 1000 x 2 + 20,000.
    row(
        "openai/gpt-5-mini",
        OpenAiResponses,
        r#""output":[{"type":"web_search_call","id":"1","status":"completed","action":{"type":"search","query":"a"}},{"type":"web_search_call","id":"2","status":"completed","action":{"type":"open_page","url":"u"}},{"type":"web_search_call","id":"3","status":"completed","action":{"type":"search","query":"b"}},{"type":"message","content":[{"type":"output_text","text":"x"}]}],"usage":{"input_tokens":10000,"input_tokens_details":{"cached_tokens":0},"output_tokens":1000,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":11000}"#,
        "0.0245",
    ),
    // O, LISTED, batch: 1M x 1 + 100,000 x 4.
    row("openai/gpt-4.1", OpenAiChat, r#""usage":{"prompt_tokens":1000000,"completion_tokens":100000,"total_tokens":1100000}"#, "1.4").batch(),
    // O, LISTED, rejected predictions are part of the completion: 1000 x 2.5 + 500 x 10.
    row(
        "openai/gpt-4o",
        OpenAiChat,
        r#""usage":{"prompt_tokens":1000,"completion_tokens":500,"total_tokens":1500,"completion_tokens_details":{"accepted_prediction_tokens":100,"rejected_prediction_tokens":50,"reasoning_tokens":0}}"#,
        "0.0075",
    ),
    // O, LISTED: 1000 x 150 + 1000 x 600.
    row("openai/o1-pro", OpenAiResponses, r#""usage":{"input_tokens":1000,"output_tokens":1000,"output_tokens_details":{"reasoning_tokens":900},"total_tokens":2000}"#, "0.75"),
    // O, LISTED, fine-tuned: 1000 x 0.8 + 1000 x 3.2.
    row("openai/ft:gpt-4.1-mini-2025-04-14:org:suffix:AbC12", OpenAiChat, r#""usage":{"prompt_tokens":1000,"completion_tokens":1000,"total_tokens":2000}"#, "0.004"),
    // G, PAGE: an image of 1290 tokens at $30 is $0.039 (0.0387); and 10 tokens of text x 0.3.
    row(
        "gemini/gemini-2.5-flash-image",
        Gemini,
        r#""usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":1290,"totalTokenCount":1300,"promptTokensDetails":[{"modality":"TEXT","tokenCount":10}],"candidatesTokensDetails":[{"modality":"IMAGE","tokenCount":1290}]}"#,
        "0.038703",
    ),
    // G, PAGE: an image read is 560 tokens or $0.0011 (0.00112), one written of 1120 tokens at $120 is $0.134 (0.1344); 100
    // thoughts x 12.
    row(
        "gemini/gemini-3-pro-image",
        Gemini,
        r#""usageMetadata":{"promptTokenCount":560,"candidatesTokenCount":1120,"thoughtsTokenCount":100,"totalTokenCount":1780,"promptTokensDetails":[{"modality":"IMAGE","tokenCount":560}],"candidatesTokensDetails":[{"modality":"IMAGE","tokenCount":1120}]}"#,
        "0.13672",
    ),
    // G, PAGE: in a batch $0.067 (1120 x 60 = 0.0672); 100 x 1.
    row(
        "gemini/gemini-3-pro-image",
        Gemini,
        r#""usageMetadata":{"promptTokenCount":100,"candidatesTokenCount":1120,"totalTokenCount":1220,"candidatesTokensDetails":[{"modality":"IMAGE","tokenCount":1120}]}"#,
        "0.0673",
    )
    .batch(),
    // G, PAGE: 4K images consume 2000 tokens and are $0.24; 50 words of text beside it x 12; 100 x 2.
    row(
        "gemini/gemini-3-pro-image",
        Gemini,
        r#""usageMetadata":{"promptTokenCount":100,"candidatesTokenCount":2050,"totalTokenCount":2150,"candidatesTokensDetails":[{"modality":"IMAGE","tokenCount":2000},{"modality":"TEXT","tokenCount":50}]}"#,
        "0.2408",
    ),
    // G, LISTED, thinking is output: 200,000 x 1.25 + 1500 x 10.
    row("gemini/gemini-2.5-pro", Gemini, r#""usageMetadata":{"promptTokenCount":200000,"candidatesTokenCount":1000,"thoughtsTokenCount":500,"totalTokenCount":201500}"#, "0.265"),
    // G, LISTED, prompts over 200k, cached: 100,001 x 2.5 + 100,000 x 0.25 + 100 x 15 = 250002.5+25000+1500.
    row("gemini/gemini-2.5-pro", Gemini, r#""usageMetadata":{"promptTokenCount":200001,"cachedContentTokenCount":100000,"candidatesTokenCount":100,"totalTokenCount":200101}"#, "0.2765025"),
    // G, LISTED, long and priority: 250,000 x 4.5 + 1000 x 27.
    row("gemini/gemini-2.5-pro", Gemini, r#""usageMetadata":{"promptTokenCount":250000,"candidatesTokenCount":600,"thoughtsTokenCount":400,"totalTokenCount":251000,"serviceTier":"priority"}"#, "1.152"),
    // G, LISTED, audio: 200 x 0.3 + 800 x 1 + (100+50) x 2.5.
    row(
        "gemini/gemini-2.5-flash",
        Gemini,
        r#""usageMetadata":{"promptTokenCount":1000,"candidatesTokenCount":100,"thoughtsTokenCount":50,"totalTokenCount":1150,"promptTokensDetails":[{"modality":"TEXT","tokenCount":200},{"modality":"AUDIO","tokenCount":800}]}"#,
        "0.001235",
    ),
    // G, LISTED, cached audio: text 100 x 0.3, audio 400 x 1, cached text 100 x 0.03, cached audio 400 x 0.1, out 10 x 2.5.
    row(
        "gemini/gemini-2.5-flash",
        Gemini,
        r#""usageMetadata":{"promptTokenCount":1000,"cachedContentTokenCount":500,"candidatesTokenCount":10,"totalTokenCount":1010,"promptTokensDetails":[{"modality":"TEXT","tokenCount":200},{"modality":"AUDIO","tokenCount":800}],"cacheTokensDetails":[{"modality":"AUDIO","tokenCount":400},{"modality":"TEXT","tokenCount":100}]}"#,
        "0.000498",
    ),
    // G, LISTED, flex halves thinking too: 1000 x 0.15 + (100+40) x 1.25.
    row("gemini/gemini-2.5-flash", Gemini, r#""usageMetadata":{"promptTokenCount":1000,"candidatesTokenCount":100,"thoughtsTokenCount":40,"totalTokenCount":1140,"serviceTier":"flex"}"#, "0.000325"),
    // G, LISTED, and priority raises it: 1000 x 0.54 + (100+40) x 4.5.
    row("gemini/gemini-2.5-flash", Gemini, r#""usageMetadata":{"promptTokenCount":1000,"candidatesTokenCount":100,"thoughtsTokenCount":40,"totalTokenCount":1140,"serviceTier":"priority"}"#, "0.00117"),
    // V, LISTED, the tier in Vertex' word: 1000 x 0.54 + 140 x 4.5.
    row("vertex/gemini-2.5-flash", Gemini, r#""usageMetadata":{"promptTokenCount":1000,"candidatesTokenCount":100,"thoughtsTokenCount":40,"totalTokenCount":1140,"trafficType":"ON_DEMAND_PRIORITY"}"#, "0.00117"),
    // G, LISTED, Gemini 3 pays for each query, $14/1000: 100 x 0.5 + 100 x 3 + 2 x 14,000.
    row(
        "gemini/gemini-3-flash-preview",
        Gemini,
        r#"{"webSearchQueries":["a","b"]}GROUNDING"usageMetadata":{"promptTokenCount":100,"candidatesTokenCount":100,"totalTokenCount":200}"#,
        "0.02835",
    ),
    // G, LISTED, Gemini 2.5 for each grounded prompt, $35/1000: 100 x 0.3 + 100 x 2.5 + 35,000.
    row(
        "gemini/gemini-2.5-flash",
        Gemini,
        r#"{"webSearchQueries":["a","b","c"]}GROUNDING"usageMetadata":{"promptTokenCount":100,"candidatesTokenCount":100,"totalTokenCount":200}"#,
        "0.03528",
    ),
    // G, LISTED (counters of a recorded answer), what tools fed in is input: (332+643) x 0.5 + (53+173) x 3 = 487.5+678.
    row(
        "gemini/gemini-3-flash-preview",
        Gemini,
        r#""usageMetadata":{"candidatesTokenCount":53,"promptTokenCount":332,"promptTokensDetails":[{"modality":"TEXT","tokenCount":332}],"serviceTier":"standard","thoughtsTokenCount":173,"toolUsePromptTokenCount":643,"toolUsePromptTokensDetails":[{"modality":"TEXT","tokenCount":643}],"totalTokenCount":1201}"#,
        "0.0011655",
    ),
    // G, LISTED, an announced price: $0.75, $3.75 until the end of 2026, then $1.50, $7.50: 1000 x 0.75 + 100 x 3.75, the double.
    row("gemini/gemini-3.8-flash", Gemini, r#""usageMetadata":{"promptTokenCount":1000,"candidatesTokenCount":100,"totalTokenCount":1100}"#, "0.001125").at("2026-12-31T23:59:59Z"),
    row("gemini/gemini-3.8-flash", Gemini, r#""usageMetadata":{"promptTokenCount":1000,"candidatesTokenCount":100,"totalTokenCount":1100}"#, "0.00225").at("2027-01-01T00:00:00Z"),
    // A, PAGE (rule), regional endpoints of Vertex are a tenth dearer since Claude 4.5: 1000 x 1.1 + 100 x 5.5; global: 1 and 5.
    row("vertex/claude-haiku-4-5", Anthropic, r#""usage":{"input_tokens":1000,"output_tokens":100}"#, "0.00165").location("us-east5"),
    row("vertex/claude-haiku-4-5", Anthropic, r#""usage":{"input_tokens":1000,"output_tokens":100}"#, "0.0015").location("global"),
    // B, PAGE: 11,000 tokens read at $8 and 4,000 written at $24 by Claude 2.1 are $0.088 + $0.096 = $0.184.
    row("bedrock/anthropic.claude-v2:1", Bedrock, r#""usage":{"inputTokens":11000,"outputTokens":4000,"totalTokens":15000}"#, "0.184"),
    // B, PAGE: 2,000 read and 1,000 written by Llama 2 Chat 13B are 2 x $0.00075 + $0.001 = $0.0025.
    row("bedrock/meta.llama2-13b-chat-v1", Bedrock, r#""usage":{"inputTokens":2000,"outputTokens":1000,"totalTokens":3000}"#, "0.0025"),
    // B, LISTED: 2000 x 0.15 + 1000 x 0.2.
    row("bedrock/amazon.titan-text-lite-v1", Bedrock, r#""usage":{"inputTokens":2000,"outputTokens":1000,"totalTokens":3000}"#, "0.0005"),
    // B, LISTED, Nova writes its cache for the price of input: 1000 x 0.8 + 4000 x 0.2 + 2000 x 0.8 + 500 x 3.2.
    row(
        "bedrock/amazon.nova-pro-v1:0",
        Bedrock,
        r#""usage":{"inputTokens":1000,"outputTokens":500,"totalTokens":7500,"cacheReadInputTokens":4000,"cacheWriteInputTokens":2000}"#,
        "0.0048",
    ),
    // B, LISTED, flex: 1000 x 0.4 + 500 x 1.6; priority: 1000 x 1.4 + 500 x 5.6.
    row("bedrock/amazon.nova-pro-v1:0", Bedrock, r#""usage":{"inputTokens":1000,"outputTokens":500,"totalTokens":1500},"serviceTier":{"type":"flex"}"#, "0.0012"),
    row("bedrock/amazon.nova-pro-v1:0", Bedrock, r#""usage":{"inputTokens":1000,"outputTokens":500,"totalTokens":1500},"serviceTier":{"type":"priority"}"#, "0.0042"),
    // B, LISTED (counters of a recorded answer), a profile of one region costs a tenth more: 3 x 1.1 + 1712 x 0.11 + 236 x 1.375
    // + 121 x 5.5 = 3.3+188.32+324.5+665.5 µ$; the global one: 3+171.2+295+605.
    row(
        "bedrock/us.anthropic.claude-haiku-4-5-20251001-v1:0",
        Bedrock,
        r#""usage":{"cacheDetails":[{"inputTokens":236,"ttl":"5m"}],"cacheReadInputTokenCount":1712,"cacheReadInputTokens":1712,"cacheWriteInputTokenCount":236,"cacheWriteInputTokens":236,"inputTokens":3,"outputTokens":121,"serverToolUsage":{},"totalTokens":2072}"#,
        "0.00118162",
    ),
    row(
        "bedrock/global.anthropic.claude-haiku-4-5-20251001-v1:0",
        Bedrock,
        r#""usage":{"cacheDetails":[{"inputTokens":236,"ttl":"5m"}],"cacheReadInputTokens":1712,"cacheWriteInputTokens":236,"inputTokens":3,"outputTokens":121,"totalTokens":2072}"#,
        "0.0010742",
    ),
    // B, LISTED, an hour apart from five minutes: 10 x 3 + 1000 x 3.75 + 2000 x 6 + 100 x 15 = 30+3750+12000+1500.
    row(
        "bedrock/global.anthropic.claude-sonnet-4-5-20250929-v1:0",
        Bedrock,
        r#""usage":{"inputTokens":10,"outputTokens":100,"totalTokens":3110,"cacheWriteInputTokens":3000,"cacheDetails":[{"ttl":"1h","inputTokens":2000},{"ttl":"5m","inputTokens":1000}]}"#,
        "0.01728",
    ),
    // B, LISTED, a prompt of more than 200k, cached tokens included: 150,000 x 6 + 60,000 x 0.6 + 1000 x 22.5.
    row(
        "bedrock/global.anthropic.claude-sonnet-4-5-20250929-v1:0",
        Bedrock,
        r#""usage":{"inputTokens":150000,"outputTokens":1000,"totalTokens":211000,"cacheReadInputTokens":60000}"#,
        "0.9585",
    ),
    // B, LISTED, GovCloud: 1000 x 3.6 + 1000 x 18.
    row("bedrock/us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0", Bedrock, r#""usage":{"inputTokens":1000,"outputTokens":1000,"totalTokens":2000}"#, "0.0216"),
    // Z, LISTED, a data zone costs a tenth more: 6000 x 1.375 + 4000 x 0.1375 + 1000 x 11.
    row(
        "azure/eu/gpt-5.1",
        OpenAiChat,
        r#""usage":{"prompt_tokens":10000,"completion_tokens":1000,"total_tokens":11000,"prompt_tokens_details":{"cached_tokens":4000}}"#,
        "0.0198",
    ),
    // Z, LISTED, the same everywhere: 6000 x 1.25 + 4000 x 0.125 + 1000 x 10.
    row(
        "azure/gpt-5.1",
        OpenAiChat,
        r#""usage":{"prompt_tokens":10000,"completion_tokens":1000,"total_tokens":11000,"prompt_tokens_details":{"cached_tokens":4000}}"#,
        "0.018",
    ),
    // X, LISTED (counters of a recorded answer), reasoning stands beside the completion: 176 x 1 + 320 x 0.2 + (77+256) x 2.
    row(
        "xai/grok-code-fast-1",
        OpenAiChat,
        r#""usage":{"prompt_tokens":496,"completion_tokens":77,"total_tokens":829,"prompt_tokens_details":{"text_tokens":496,"audio_tokens":0,"image_tokens":0,"cached_tokens":320},"completion_tokens_details":{"reasoning_tokens":256,"audio_tokens":0},"num_sources_used":0}"#,
        "0.000906",
    ),
    // S, PAGE, sonar-deep-research: 33 x 2 + 19,028 cited x 2 + 11,395 x 8 + 193,947 reasoned x 3 + 21 searches of $5/1000
    // = 66+38056+91160+581841+105000 µ$; the page rounds to $0.816.
    row(
        "perplexity/sonar-deep-research",
        OpenAiChat,
        r#""usage":{"prompt_tokens":33,"completion_tokens":11395,"total_tokens":11428,"citation_tokens":19028,"num_search_queries":21,"reasoning_tokens":193947}"#,
        "0.816123",
    ),
    // D, LISTED, hits and misses, in the dear hours and in the others: 400 x 1.32 + 600 x 0.044 + 200 x 3.96; half.
    row(
        "deepseek/deepseek-v4-pro",
        OpenAiChat,
        r#""usage":{"prompt_tokens":1000,"completion_tokens":200,"total_tokens":1200,"prompt_cache_hit_tokens":600,"prompt_cache_miss_tokens":400}"#,
        "0.0013464",
    )
    .at("2026-11-25T02:00:00Z"),
    row(
        "deepseek/deepseek-v4-pro",
        OpenAiChat,
        r#""usage":{"prompt_tokens":1000,"completion_tokens":200,"total_tokens":1200,"prompt_cache_hit_tokens":600,"prompt_cache_miss_tokens":400}"#,
        "0.0006732",
    ),
    // M, LISTED (counters of a recorded answer), sound stands beside the prompt: (9+375) x 0.1 + 201 x 0.4 = 38.4+80.4.
    row(
        "mistral/voxtral-small-latest",
        OpenAiChat,
        r#""usage":{"prompt_audio_seconds":4,"prompt_tokens":9,"total_tokens":585,"completion_tokens":201,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":375},"service_tier":"standard"}"#,
        "0.0001188",
    ),
    // N, LISTED (counters of a recorded answer): 10 x 0.6 + 10 x 0.15 + 30 x 2.5.
    row(
        "moonshot/kimi-k2-thinking",
        OpenAiChat,
        r#""usage":{"prompt_tokens":20,"completion_tokens":30,"total_tokens":50,"cached_tokens":10,"completion_tokens_details":{"reasoning_tokens":22}}"#,
        "0.0000825",
    ),
    // R, LISTED (counters of a recorded answer): 80 x 0.15 + 256 x 0.075 + 96 x 0.6 = 12+19.2+57.6.
    row(
        "groq/openai/gpt-oss-120b",
        OpenAiChat,
        r#""usage":{"completion_time":0.57,"completion_tokens":96,"completion_tokens_details":{"reasoning_tokens":59},"prompt_time":0.56,"prompt_tokens":336,"prompt_tokens_details":{"cached_tokens":256},"queue_time":0.005,"total_time":1.14,"total_tokens":432}"#,
        "0.0000888",
    ),
    // Q, PAGE (the answer's own "cost"): 67 x 1 + 47 x 5.
    row(
        "openrouter/anthropic/claude-haiku-4.5",
        OpenAiChat,
        r#""usage":{"prompt_tokens":67,"completion_tokens":47,"total_tokens":114,"cost":0.000302,"is_byok":false,"prompt_tokens_details":{"cached_tokens":0,"cache_write_tokens":0,"audio_tokens":0,"video_tokens":0},"completion_tokens_details":{"reasoning_tokens":21,"image_tokens":0,"audio_tokens":0}}"#,
        "0.000302",
    ),
    // L, LISTED, an explicit cache: 3000 x 2.5 + 4000 x 0.5 + 3000 x 3.125 + 100 x 7.5 = 7500+2000+9375+750.
    row(
        "dashscope/qwen3.7-max",
        OpenAiChat,
        r#""usage":{"prompt_tokens":10000,"completion_tokens":100,"total_tokens":10100,"prompt_tokens_details":{"cached_tokens":4000,"cache_creation_input_tokens":3000,"cache_type":"ephemeral"}}"#,
        "0.019625",
    ),
    // L, LISTED, thinking at a price of its own: 1000 x 0.4 + 900 x 4 + 100 x 1.2.
    row(
        "dashscope/qwen-plus-2025-04-28",
        OpenAiChat,
        r#""usage":{"prompt_tokens":1000,"completion_tokens":1000,"total_tokens":2000,"completion_tokens_details":{"reasoning_tokens":900}}"#,
        "0.00412",
    ),
    // One's own server, and a variant for nothing.
    row("ollama/qwen3:8b", OpenAiChat, r#""usage":{"prompt_tokens":1000,"completion_tokens":1000,"total_tokens":2000}"#, "0"),
    row("openrouter/deepseek/deepseek-chat:free", OpenAiChat, r#""usage":{"prompt_tokens":1000,"completion_tokens":1000,"total_tokens":2000}"#, "0"),
];
