//! Whatever stands where something else belongs: nothing panics, what is read is written soundly for every dialect, and
//! what is refused is refused with its place.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::super::{Codec, Notes, codec};
use super::{frames, json, mangle, recordings, reply};
use crate::base::framing::Framing;
use crate::base::json::Raw;
use crate::base::rng::{Rng, RootRng};
use crate::base::sse::Frame;
use crate::base::{Fault, FaultKind};
use crate::ir::{Dialect, Event, ModelTraits, Thinking};

const JUNK: [&str; 11] = [
    "null",
    "0",
    "-1.5e300",
    "18446744073709551616",
    "\"\"",
    "\"\\ud83d\\ude00\\u0000\"",
    "[]",
    "{}",
    "[[{}]]",
    "[{\"type\":\"text\"}]",
    "{\"type\":\"tool_use\",\"text\":1,\"name\":[],\"id\":null}",
];

/// A request, an answer and events with everything in them that the codec reads by name.
struct Seeds {
    dialect: Dialect,
    request: &'static str,
    answer: &'static str,
    /// Each with its name, where that is no member.
    events: &'static [(&'static str, &'static str)],
}

const SEEDS: [Seeds; 5] = [
    Seeds {
        dialect: Dialect::OpenAiChat,
        request: r#"{"model":"m","messages":[{"role":"system","content":"s","name":"n"},{"role":"user","content":[{"type":"text","text":"a","cache_control":{"type":"ephemeral","ttl":"5m"}},{"type":"image_url","image_url":{"url":"data:image/png;base64,AA","detail":"low"}},{"type":"input_audio","input_audio":{"data":"A","format":"wav"}},{"type":"file","file":{"file_data":"data:a/b;base64,AA","filename":"f"}},{"type":"file","file":{"file_id":"i"}}]},{"role":"assistant","content":null,"refusal":"r","reasoning_content":"t","thinking_blocks":[{"type":"thinking","thinking":"t","signature":"s"},{"type":"redacted_thinking","data":"d"}],"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"d","type":"custom","custom":{"name":"g","input":"x"}}],"function_call":{"name":"h","arguments":"{}"},"audio":{"id":"a"}},{"role":"tool","tool_call_id":"c","content":[{"type":"text","text":"r"}]},{"role":"function","name":"h","content":"r"}],"tools":[{"type":"function","function":{"name":"f.x","description":"d","parameters":{"type":"object","properties":{"a":{"type":"string","minLength":1}}},"strict":true}},{"type":"custom","custom":{"name":"g","format":{"type":"grammar","grammar":{"syntax":"lark"}}}}],"functions":[{"name":"h"}],"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"f.x"}}]}},"n":1,"stop":["a"],"temperature":1,"top_p":0.5,"top_k":3,"seed":1,"presence_penalty":0.5,"max_tokens":9,"max_completion_tokens":9,"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object"},"strict":true}},"reasoning_effort":"low","reasoning":{"effort":"low","max_tokens":5},"thinking":{"type":"enabled","budget_tokens":5},"stream":true,"stream_options":{"include_usage":true},"parallel_tool_calls":false,"service_tier":"flex","user":"u","safety_identifier":"s","metadata":{"a":"b"},"logit_bias":{"1":2},"modalities":["text"],"verbosity":"low","prediction":{}}"#,
        answer: r#"{"id":"c","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":[{"type":"text","text":"a"},{"type":"thinking","thinking":[{"type":"text","text":"t"}]}],"reasoning":"r","refusal":"x","annotations":[{}],"thinking_blocks":[{"type":"thinking","thinking":"t","signature":"s"},{"type":"redacted_thinking","data":"d"}],"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"d","type":"custom","custom":{"name":"g","input":"x"}}],"function_call":{"name":"h","arguments":"{}"},"audio":{"id":"a"},"choices":["no choice of ours"]},"logprobs":{},"stop_reason":"x","finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2,"prompt_tokens_details":{"cached_tokens":1},"completion_tokens_details":{"reasoning_tokens":1}},"x_groq":{"usage":{}},"error":null}"#,
        events: &[(
            "",
            r#"{"id":"c","created":1,"model":"m","object":"o","choices":[{"index":0,"delta":{"role":"assistant","content":"a","reasoning_content":"r","refusal":"x","annotations":[{}],"thinking_blocks":[{"type":"thinking","thinking":"t","signature":"s"},{"type":"redacted_thinking","data":"d"}],"tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":"{}"}},{"index":1,"id":"d","custom":{"name":"g","input":"x"}}],"function_call":{"name":"h","arguments":"{}"},"audio":{"id":"a"}},"finish_reason":"stop","stop_reason":"s"}],"usage":{"prompt_tokens":1},"x_groq":{"usage":{}},"error":null}"#,
        )],
    },
    Seeds {
        dialect: Dialect::OpenAiResponses,
        request: r#"{"model":"m","instructions":"i","input":[{"role":"developer","content":"s"},{"role":"user","content":[{"type":"input_text","text":"a","prompt_cache_breakpoint":{"mode":"explicit","ttl":"30m"}},{"type":"input_image","image_url":"data:image/png;base64,AA","detail":"low"},{"type":"input_file","file_data":"data:a/b;base64,AA","filename":"f"},{"type":"input_file","file_url":"https://x/y.pdf"},{"type":"input_audio","input_audio":{"data":"A","format":"mp3"}}]},{"type":"reasoning","summary":[{"type":"summary_text","text":"t"}],"content":[{"type":"reasoning_text","text":"u"}],"encrypted_content":"e"},{"type":"message","role":"assistant","phase":"final_answer","content":[{"type":"output_text","text":"o","annotations":[{}]},{"type":"refusal","refusal":"r"}]},{"type":"function_call","call_id":"c","name":"f","namespace":"n","arguments":"{}"},{"type":"custom_tool_call","call_id":"d","name":"g","input":"x"},{"type":"web_search_call","id":"w"},{"type":"function_call_output","call_id":"c","output":[{"type":"input_text","text":"r"}]},{"type":"additional_tools","tools":[{"type":"function","name":"l"}]}],"temperature":1,"top_p":1,"text":{"format":{"type":"json_schema","name":"n","schema":{},"strict":true},"verbosity":"low"},"reasoning":{"effort":"low","summary":"auto","context":"c"},"stream":true,"tools":[{"type":"function","name":"f","parameters":{"type":"object"},"strict":true},{"type":"custom","name":"g","format":{"type":"text"}},{"type":"namespace","name":"n","description":"d","tools":[{"type":"function","name":"h"}]},{"type":"web_search","external_web_access":false}],"tool_choice":{"type":"allowed_tools","mode":"auto","tools":[{"type":"function","name":"f"}]},"parallel_tool_calls":true,"service_tier":"flex","user":"u","safety_identifier":"s","max_output_tokens":99,"include":["x"],"metadata":{"a":"b"},"background":false,"store":false}"#,
        answer: r#"{"id":"resp_1","created_at":1,"model":"m","status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"output":[{"type":"reasoning","summary":[{"type":"summary_text","text":"t"}],"encrypted_content":"e"},{"type":"message","role":"assistant","phase":"p","content":[{"type":"output_text","text":"a","annotations":[{}],"logprobs":[{}]},{"type":"refusal","refusal":"x"}]},{"type":"function_call","call_id":"c","name":"f","arguments":"{}"},{"type":"custom_tool_call","call_id":"d","name":"g","input":"x"},{"type":"web_search_call","id":"w"}],"usage":{"input_tokens":1,"output_tokens":1,"total_tokens":2,"input_tokens_details":{"cached_tokens":1},"output_tokens_details":{"reasoning_tokens":1}},"error":null,"service_tier":"t"}"#,
        events: &[
            ("", r#"{"type":"response.created","response":{"id":"r","model":"m","created_at":1}}"#),
            ("", r#"{"type":"response.output_item.added","output_index":0,"item":{"type":"reasoning"}}"#),
            ("", r#"{"type":"response.reasoning_summary_part.added","output_index":0,"summary_index":1}"#),
            ("", r#"{"type":"response.reasoning_summary_text.delta","output_index":0,"summary_index":0,"delta":"d"}"#),
            (
                "",
                r#"{"type":"response.output_item.done","output_index":0,"item":{"type":"reasoning","summary":[{"text":"s"}],"encrypted_content":"e"}}"#,
            ),
            ("", r#"{"type":"response.content_part.added","output_index":1,"content_index":0,"part":{"type":"output_text","text":""}}"#),
            ("", r#"{"type":"response.output_text.delta","output_index":1,"content_index":0,"delta":"d"}"#),
            ("", r#"{"type":"response.output_text.annotation.added","output_index":1,"content_index":0,"annotation":{"type":"x"}}"#),
            ("", r#"{"type":"response.output_text.done","output_index":1,"content_index":0,"text":"d"}"#),
            (
                "",
                r#"{"type":"response.output_item.done","output_index":1,"item":{"type":"message","phase":"p","content":[{"type":"output_text","text":"p"},{"type":"refusal","refusal":"r"}]}}"#,
            ),
            ("", r#"{"type":"response.output_item.added","output_index":2,"item":{"type":"function_call","call_id":"c","name":"f"}}"#),
            ("", r#"{"type":"response.function_call_arguments.delta","output_index":2,"delta":"{}"}"#),
            (
                "",
                r#"{"type":"response.output_item.done","output_index":2,"item":{"type":"function_call","call_id":"c","name":"f","arguments":"{}"}}"#,
            ),
            (
                "",
                r#"{"type":"response.completed","response":{"id":"r","status":"completed","output":[],"incomplete_details":{"reason":"x"},"usage":{"input_tokens":1}}}"#,
            ),
            ("", r#"{"type":"response.failed","response":{"error":{"code":"c","message":"m"}}}"#),
        ],
    },
    Seeds {
        dialect: Dialect::Anthropic,
        request: r#"{"model":"m","max_tokens":4000,"system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral","ttl":"1h"}}],"messages":[{"role":"user","content":[{"type":"text","text":"a","citations":[{"x":1}]},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AA=="}},{"type":"document","title":"t","context":"c","source":{"type":"url","url":"https://x/y.pdf"}},{"type":"document","source":{"type":"text","media_type":"text/plain","data":"d"}},{"type":"document","source":{"type":"file","file_id":"f"}}]},{"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"s"},{"type":"redacted_thinking","data":"d"},{"type":"tool_use","id":"c","name":"f","input":{"a":1},"caller":{"type":"direct"}},{"type":"server_tool_use","id":"w","name":"web_search","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"c","is_error":true,"content":[{"type":"text","text":"r"},{"type":"image","source":{"type":"url","url":"https://x/y.png"}}]}]},{"role":"system","content":"later"}],"tools":[{"name":"f","description":"d","input_schema":{"type":"object","properties":{"a":{"type":"array","items":{"oneOf":[{}]},"maxItems":3}},"$defs":{"b":{}}},"strict":true,"cache_control":{"type":"ephemeral"}},{"type":"web_search_20250305","name":"web_search"}],"tool_choice":{"type":"tool","name":"f","disable_parallel_tool_use":true},"temperature":1.5,"top_p":0.5,"top_k":3,"stop_sequences":["a"," "],"stream":true,"thinking":{"type":"enabled","budget_tokens":2000,"display":"omitted"},"output_config":{"effort":"low","format":{"type":"json_schema","schema":{"type":"object"}}},"metadata":{"user_id":"u"},"service_tier":"auto"}"#,
        answer: r#"{"id":"i","type":"message","role":"assistant","model":"m","content":[{"type":"thinking","thinking":"t","signature":"s"},{"type":"redacted_thinking","data":"d"},{"type":"text","text":"a","citations":[{"type":"x"}]},{"type":"tool_use","id":"c","name":"f","input":{"a":1}},{"type":"server_tool_use","id":"w","name":"web_search","input":{}}],"stop_reason":"refusal","stop_sequence":"s","stop_details":{"type":"refusal","explanation":"e"},"usage":{"input_tokens":1,"cache_read_input_tokens":2,"cache_creation_input_tokens":3,"cache_creation":{"ephemeral_1h_input_tokens":1},"output_tokens":4,"output_tokens_details":{"thinking_tokens":1}},"container":{}}"#,
        events: &[
            ("message_start", r#"{"type":"message_start","message":{"id":"i","model":"m","usage":{"input_tokens":1}}}"#),
            (
                "content_block_start",
                r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
            ),
            ("content_block_delta", r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"t"}}"#),
            ("content_block_delta", r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"s"}}"#),
            ("content_block_stop", r#"{"type":"content_block_stop","index":0}"#),
            (
                "content_block_start",
                r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"c","name":"f","input":{}}}"#,
            ),
            ("content_block_delta", r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{}"}}"#),
            ("content_block_start", r#"{"type":"content_block_start","index":2,"content_block":{"type":"text","text":"a"}}"#),
            ("content_block_delta", r#"{"type":"content_block_delta","index":2,"delta":{"type":"citations_delta","citation":{}}}"#),
            (
                "message_delta",
                r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":1}}"#,
            ),
            ("error", r#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#),
            ("message_stop", r#"{"type":"message_stop"}"#),
        ],
    },
    Seeds {
        dialect: Dialect::Gemini,
        request: r#"{"systemInstruction":{"role":"user","parts":[{"text":"s"}]},"contents":[{"role":"user","parts":[{"text":"a"},{"inlineData":{"mimeType":"image/png","data":"AAAA"}},{"file_data":{"mime_type":"application/pdf","file_uri":"https://x/a.pdf"},"videoMetadata":{"fps":2}}]},{"role":"model","parts":[{"text":"hm","thought":true,"thoughtSignature":"c2ln"},{"functionCall":{"id":"c","name":"f","args":{"a":1.50}},"thought_signature":"c2lnMg=="},{"executableCode":{"language":"PYTHON","code":"1"}}]},{"role":"function","parts":[{"functionResponse":{"id":"c","name":"f","response":{"result":"one"},"parts":[{"inlineData":{"mimeType":"image/png","data":"BBBB"}}]}}]}],"tools":[{"functionDeclarations":[{"name":"f","description":"d","parameters":{"type":"OBJECT","properties":{"a":{"type":"NUMBER","nullable":true,"enum":[1],"any_of":[{"type":"NULL"}],"min_items":"2"}}}},{"name":"g","parametersJsonSchema":{"type":"object"},"behavior":"BLOCKING"}]},{"google_search":{}}],"tool_config":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["f","g"]},"retrievalConfig":{"a":1}},"generation_config":{"temperature":0.70,"topP":1,"top_k":40,"maxOutputTokens":99,"stopSequences":["END"],"seed":7,"presencePenalty":0.5,"candidateCount":1,"responseMimeType":"application/json","responseSchema":{"type":"STRING"},"thinkingConfig":{"thinkingBudget":2048,"thinkingLevel":"low","includeThoughts":true},"responseModalities":["TEXT"],"mediaResolution":"LOW"},"safetySettings":[{"category":"c"}],"cachedContent":"x","serviceTier":"flex"}"#,
        answer: r#"{"responseId":"i","modelVersion":"m","createTime":"2026-01-01T00:00:00Z","candidates":[{"index":0,"content":{"role":"model","parts":[{"text":"t","thought":true,"thoughtSignature":"c2ln"},{"text":"a","thoughtSignature":"c2ln"},{"functionCall":{"id":"c","name":"f","args":{"a":1}}},{"inlineData":{"mimeType":"image/png","data":"AA=="}},{"text":""}]},"finishReason":"STOP","finishMessage":"m","citationMetadata":{},"groundingMetadata":{}}],"promptFeedback":{"blockReason":"SAFETY","blockReasonMessage":"m"},"usageMetadata":{"promptTokenCount":1,"toolUsePromptTokenCount":1,"cachedContentTokenCount":1,"candidatesTokenCount":2,"thoughtsTokenCount":3,"totalTokenCount":6,"promptTokensDetails":[{"modality":"AUDIO","tokenCount":1}]}}"#,
        events: &[
            (
                "",
                r#"{"responseId":"i","modelVersion":"m","createTime":"2026-01-01T00:00:00Z","candidates":[{"index":0,"content":{"role":"model","parts":[{"text":"t","thought":true,"thoughtSignature":"c2ln"},{"text":"a","thoughtSignature":"c2ln"},{"functionCall":{"id":"c","name":"f","args":{"a":1}}},{"executableCode":{"code":"1"}},{"text":""}]},"groundingMetadata":{}}],"usageMetadata":{"promptTokenCount":1}}"#,
            ),
            ("", r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"g","willContinue":true}}]}}]}"#),
            (
                "",
                r#"{"candidates":[{"content":{"parts":[{"functionCall":{"partialArgs":[{"jsonPath":"$.a[0]","stringValue":"x","willContinue":true},{"jsonPath":"$.b","numberValue":1.5}],"willContinue":true}}]}}]}"#,
            ),
            (
                "",
                r#"{"candidates":[{"content":{"parts":[{"functionCall":{}}]},"finishReason":"STOP","finishMessage":"m"}],"promptFeedback":{"blockReason":"SAFETY"}}"#,
            ),
            (
                "",
                r#"{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED","details":[{"retryDelay":"3s","violations":[{"quotaId":"PerDay"}],"fieldViolations":[{"field":"f"}]}]}}"#,
            ),
        ],
    },
    Seeds {
        dialect: Dialect::Bedrock,
        request: r#"{"system":[{"text":"s"},{"cachePoint":{"type":"default","ttl":"1h"}}],"inferenceConfig":{"maxTokens":4000,"temperature":1,"topP":0.5,"stopSequences":["a"]},"toolConfig":{"tools":[{"toolSpec":{"name":"f.x","description":"d","inputSchema":{"json":{"type":"object"}},"strict":true}},{"cachePoint":{"type":"default"}},{"systemTool":{"name":"s"}}],"toolChoice":{"tool":{"name":"f.x"}}},"additionalModelRequestFields":{"thinking":{"type":"enabled","budget_tokens":2000,"display":"omitted"},"top_k":4,"output_config":{"effort":"low"},"reasoningConfig":{"type":"enabled","maxReasoningEffort":"low"},"inferenceConfig":{"topK":3},"tool_choice":{"disable_parallel_tool_use":true}},"outputConfig":{"textFormat":{"type":"json_schema","structure":{"jsonSchema":{"schema":"{\"type\":\"object\"}","name":"n","description":"d"}}},"effort":"low"},"serviceTier":{"type":"flex"},"requestMetadata":{"user_id":"u","k":"v"},"messages":[{"role":"user","content":[{"text":"a"},{"cachePoint":{"type":"default"}},{"image":{"format":"png","source":{"bytes":"QQ=="}}},{"document":{"format":"pdf","name":"n","source":{"s3Location":{"uri":"s3://b/k.pdf"}},"citations":{"enabled":true}}},{"guardContent":{"text":{"text":"g"}}}]},{"role":"assistant","content":[{"reasoningContent":{"reasoningText":{"text":"t","signature":"s"}}},{"reasoningContent":{"redactedContent":"QQ=="}},{"citationsContent":{"content":[{"text":"c"}],"citations":[{"title":"t"}]}},{"toolUse":{"toolUseId":"c","name":"f.x","input":{}}},{"toolUse":{"toolUseId":"d","name":"s","type":"server_tool_use","input":{}}}]},{"role":"user","content":[{"toolResult":{"toolUseId":"c","content":[{"text":"r"},{"json":{}},{"image":{"format":"png","source":{"bytes":"QQ=="}}}],"status":"error"}}]}]}"#,
        answer: r#"{"output":{"message":{"role":"assistant","content":[{"reasoningContent":{"reasoningText":{"text":"t","signature":"s"}}},{"reasoningContent":{"redactedContent":"QQ=="}},{"text":"a"},{"citationsContent":{"content":[{"text":"c"}],"citations":[{"title":"t"}]}},{"toolUse":{"toolUseId":"c","name":"f","input":{"a":1}}},{"image":{"format":"png","source":{"bytes":"QQ=="}}}]}},"stopReason":"guardrail_intervened","usage":{"inputTokens":1,"outputTokens":2,"totalTokens":3,"cacheReadInputTokens":1,"cacheWriteInputTokens":2,"cacheDetails":[{"ttl":"1h","inputTokens":1}]},"metrics":{"latencyMs":1},"additionalModelResponseFields":{"stop_sequence":"s","usage":{"output_tokens_details":{"thinking_tokens":1}}},"trace":{"guardrail":{"actionReason":"r"}}}"#,
        events: &[
            ("messageStart", r#"{"role":"assistant"}"#),
            (
                "contentBlockDelta",
                r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"text":"t","signature":"s","redactedContent":"QQ=="}}}"#,
            ),
            ("contentBlockStop", r#"{"contentBlockIndex":0}"#),
            ("contentBlockStart", r#"{"contentBlockIndex":1,"start":{"toolUse":{"toolUseId":"c","name":"f"}}}"#),
            ("contentBlockDelta", r#"{"contentBlockIndex":1,"delta":{"toolUse":{"input":"{}"}}}"#),
            ("contentBlockDelta", r#"{"contentBlockIndex":2,"delta":{"text":"a"}}"#),
            ("contentBlockDelta", r#"{"contentBlockIndex":2,"delta":{"citation":{"title":"t"}}}"#),
            ("messageStop", r#"{"stopReason":"stop_sequence","additionalModelResponseFields":{"delta":{"stop_sequence":"s"}}}"#),
            ("metadata", r#"{"usage":{"inputTokens":1,"outputTokens":2},"metrics":{"latencyMs":1}}"#),
            ("throttlingException", r#"{"message":"m","originalStatusCode":429}"#),
        ],
    },
];

fn all() -> impl Iterator<Item = &'static dyn Codec> {
    Dialect::ALL.into_iter().map(codec)
}

/// What a caller is told of what is wrong: where it is, but for the body as a whole.
fn has_place(fault: &Fault) -> bool {
    let whole = fault.client_text.to_lowercase().starts_with("the body");
    whole || fault.param.as_deref().is_some_and(|param| !param.is_empty() && fault.client_text.contains(param.split('[').next().unwrap()))
}

fn check_request(from: &dyn Codec, tree: &Value) {
    let body = tree.to_string();
    let request = match from.decode_request(body.as_bytes()) {
        Ok(request) => request,
        Err(fault) => {
            assert!(matches!(fault.kind, FaultKind::BadRequest | FaultKind::Unsupported), "{fault}: {body}");
            assert!(has_place(&fault), "{:?} {fault}: {body}", fault.param);
            return;
        }
    };
    let traits = ModelTraits { thinking: Thinking::Budget, system_in_messages: true, replays_reasoning: true, ..ModelTraits::default() };
    for to in all() {
        let mut out = Vec::new();
        match to.encode_request(&request, "us.anthropic.claude-sonnet-4-6", &traits, &mut Notes::default(), &mut out) {
            Ok(()) => assert!(Raw::parse(&out).is_ok(), "{}: {} of {body}", to.dialect().label(), String::from_utf8_lossy(&out)),
            Err(fault) => {
                assert_eq!(fault.kind, FaultKind::Unsupported, "{fault}: {body}");
                assert!(has_place(&fault) && out.is_empty(), "{:?} {fault}: {body}", fault.param);
            }
        }
    }
}

fn check_answer(from: &dyn Codec, tree: &Value) {
    let body = tree.to_string();
    drop(from.observe_answer(body.as_bytes()));
    let answer = match from.decode_answer(body.as_bytes()) {
        Ok(answer) => answer,
        Err(fault) => return assert!(fault.kind != FaultKind::Internal && !fault.client_text.is_empty(), "{fault}: {body}"),
    };
    for to in all() {
        let mut out = Vec::new();
        to.encode_answer(&answer, &reply(Framing::Sse), &mut Notes::default(), &mut out);
        assert!(Raw::parse(&out).is_ok(), "{}: {} of {body}", to.dialect().label(), String::from_utf8_lossy(&out));
        if let Err(fault) = to.decode_answer(&out) {
            panic!("{}: {fault}: {} of {body}", to.dialect().label(), String::from_utf8_lossy(&out));
        }
    }
}

/// Events in their order; what they become can be read in every dialect.
fn check_stream(from: &dyn Codec, events: &[(&str, Value)]) {
    let mut decoder = from.stream_decoder();
    let mut encoders: Vec<_> = all().map(|to| (to, to.stream_encoder(reply(to.framing())), Vec::new())).collect();
    for (name, event) in events {
        let data = Bytes::from(event.to_string());
        let frame = Frame { raw: data.clone(), name: Bytes::copy_from_slice(name.as_bytes()), data: Some(data) };
        let told = decoder.decode(&frame, &mut |event| encoders.iter_mut().for_each(|(_, encoder, out)| encoder.encode(&event, out)));
        if let Err(fault) = told {
            assert!(fault.kind == FaultKind::UpstreamProtocol, "{fault}");
            break;
        }
    }
    for (to, mut encoder, mut out) in encoders {
        encoder.encode(&Event::End, &mut out);
        let mut back = to.stream_decoder();
        for frame in frames(to.framing(), &out) {
            if let Err(fault) = back.decode(&frame, &mut |_| ()) {
                panic!("{}: {fault}: {} of {events:?}", to.dialect().label(), String::from_utf8_lossy(&frame.raw));
            }
        }
    }
}

fn nodes(tree: &Value) -> usize {
    1 + match tree {
        Value::Array(list) => list.iter().map(nodes).sum(),
        Value::Object(map) => map.values().map(nodes).sum(),
        _ => 0,
    }
}

/// Each node of a text, with each kind of junk in its place.
fn each_mangled(seed: &str, mut check: impl FnMut(&Value)) {
    let seed = json(seed.as_bytes());
    check(&seed);
    for place in 0..nodes(&seed) {
        for junk in JUNK {
            let mut tree = seed.clone();
            mangle(&mut tree, place, &json(junk.as_bytes()));
            check(&tree);
        }
    }
}

#[test]
fn requests() {
    for Seeds { dialect, request, .. } in &SEEDS {
        each_mangled(request, |tree| check_request(codec(*dialect), tree));
    }
}

#[test]
fn answers() {
    for Seeds { dialect, answer, .. } in &SEEDS {
        each_mangled(answer, |tree| check_answer(codec(*dialect), tree));
    }
}

#[test]
fn errors() {
    const ERROR: &str = r#"{"type":"error","error":{"type":"t","message":"m","code":400,"param":"p","status":"s","details":{"error_code":"e"},"metadata":{"raw":"r"}},"message":"m","detail":"d","__type":"x#T","code":"c"}"#;
    each_mangled(ERROR, |tree| {
        for from in all() {
            let fault = from.decode_error(StatusCode::BAD_REQUEST, &HeaderMap::new(), tree.to_string().as_bytes());
            assert!(!fault.client_text.trim().is_empty(), "{}: {tree}", from.dialect().label());
        }
    });
}

#[test]
fn streams() {
    for Seeds { dialect, events, .. } in &SEEDS {
        let whole: Vec<(&str, Value)> = events.iter().map(|(name, event)| (*name, json(event.as_bytes()))).collect();
        for (place, (_, event)) in events.iter().enumerate() {
            each_mangled(event, |tree| {
                let mut mangled = whole.clone();
                mangled[place].1 = tree.clone();
                check_stream(codec(*dialect), &mangled);
            });
        }
    }
}

/// Real texts, each with some of its nodes in each other's places.
#[test]
fn recorded_texts() {
    let rng = RootRng::seeded(11);
    let mut rng = rng.fork();
    let apis = [
        ("chat.completions", Dialect::OpenAiChat),
        ("responses", Dialect::OpenAiResponses),
        ("messages", Dialect::Anthropic),
        ("generateContent", Dialect::Gemini),
        ("converse", Dialect::Bedrock),
    ];
    for (api, dialect) in apis {
        for (_, exchange) in recordings(&[api], &[]) {
            let (request, answer) = (&exchange["request"]["body"], &exchange["response"]["body"]);
            if request.is_object() && request.to_string().len() < 20_000 {
                check_request(codec(dialect), &swapped(request, &mut rng));
            }
            if answer.is_object() && answer.to_string().len() < 20_000 {
                check_answer(codec(dialect), &swapped(answer, &mut rng));
            }
        }
    }
}

fn swapped(tree: &Value, rng: &mut Rng) -> Value {
    let mut swapped = tree.clone();
    for _ in 0..1 + rng.below(3) {
        let mut list = Vec::new();
        collect(tree, &mut list);
        let with = list[rng.below(list.len() as u64) as usize].clone();
        mangle(&mut swapped, rng.below(list.len() as u64) as usize, &with);
    }
    swapped
}

fn collect<'v>(tree: &'v Value, list: &mut Vec<&'v Value>) {
    list.push(tree);
    match tree {
        Value::Array(children) => children.iter().for_each(|child| collect(child, list)),
        Value::Object(map) => map.values().for_each(|child| collect(child, list)),
        _ => {}
    }
}
