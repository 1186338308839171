//! Requests, written.

use serde_json::{Value, json};

use super::super::Bedrock;
use super::{CLAUDE, NOVA, encoded};
use crate::base::FaultKind;
use crate::base::json::Raw;
use crate::dialect::tests::{call, foreign, function, losses, result, says};
use crate::dialect::{Codec, Notes};
use crate::ir::{
    CacheMark, CacheTtl, Dialect, Effort, Extension, Media, MediaKind, Message, ModelTraits, Number, OutputFormat, Part, Reasoning,
    ReasoningMode, Request, Role, Source, Text, Thinking, Tool, ToolChoice, proof,
};

fn asking() -> Request<'static> {
    Request { messages: vec![says(Role::User, "hi")], ..Request::default() }
}

fn of(parts: Vec<Part<'static>>) -> Request<'static> {
    Request { messages: vec![Message::new(Role::User, parts)], ..Request::default() }
}

fn media(kind: MediaKind, source: Source<'static>, title: Option<&'static str>) -> Part<'static> {
    Part::Media(Media { kind, source, title: title.map(Text::plain), detail: None, extensions: vec![], cache: None })
}

fn base64(media_type: &'static str) -> Source<'static> {
    Source::Base64 { media_type: Text::plain(media_type), data: Text::plain("QQ==") }
}

#[test]
fn writes_a_conversation_in_its_order() {
    let sig = Text::plain("sig");
    let own = proof::read(Dialect::Bedrock, sig.clone()).into_owned();
    let messages = vec![
        says(Role::System, "Be brief."),
        says(Role::User, "one"),
        says(Role::User, " "),
        says(Role::User, "two"),
        Message::new(
            Role::Assistant,
            vec![
                Part::text(Text::plain("I look.")),
                Part::Reasoning { text: Text::plain("hm"), signature: Some(own.clone()) },
                Part::Reasoning { text: Text::plain("another's"), signature: Some(sig) },
                Part::Reasoning { text: Text::plain("unsigned"), signature: None },
                Part::RedactedReasoning(proof::read(Dialect::Bedrock, Text::plain("QQ==")).into_owned()),
                call("call/1", "ns.get", r#"{"a":1}"#),
                call("call_2", "get", ""),
                call("call_3", "get", "[1]"),
            ],
        ),
        Message::new(Role::User, vec![result("call/1", "r1")]),
        Message::new(
            Role::User,
            vec![
                Part::text(Text::plain("and?")),
                result("call_2", " "),
                Part::ToolResult { id: Text::plain("call_3"), parts: vec![], error: true, cache: None },
            ],
        ),
        says(Role::Developer, "Now in French."),
        says(Role::Assistant, "Bon. "),
    ];
    let request = Request { messages, tools: vec![function("ns.get"), function("get")], ..Request::default() };
    let (body, notes) = encoded(&request, CLAUDE, &ModelTraits::default());
    assert_eq!(body["system"], json!([{"text": "Be brief."}]));
    let id = body["messages"][1]["content"][3]["toolUse"]["toolUseId"].clone();
    assert!(id.as_str().unwrap().starts_with("call_1_"), "{id}");
    assert_eq!(
        body["messages"],
        json!([
            {"role": "user", "content": [{"text": "one"}, {"text": "two"}]},
            {"role": "assistant", "content": [
                {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "sig"}}},
                {"reasoningContent": {"redactedContent": "QQ=="}},
                {"text": "I look."},
                {"toolUse": {"toolUseId": id, "name": "ns_get", "input": {"a": 1}}},
                {"toolUse": {"toolUseId": "call_2", "name": "get", "input": {}}},
                {"toolUse": {"toolUseId": "call_3", "name": "get", "input": {"_raw": "[1]"}}},
            ]},
            {"role": "user", "content": [
                {"toolResult": {"toolUseId": id, "content": [{"text": "r1"}]}},
                {"toolResult": {"toolUseId": "call_2", "content": []}},
                {"toolResult": {"toolUseId": "call_3", "content": [], "status": "error"}},
                {"text": "and?"}, {"text": "Now in French."},
            ]},
            {"role": "assistant", "content": [{"text": "Bon."}]},
        ])
    );
    assert_eq!(losses(&notes), ["messages[].reasoning", "messages[].system"]);
    let spec = |name: &str| json!({"toolSpec": {"name": name, "description": name, "inputSchema": {"json": {"type": "object"}}}});
    assert_eq!(body["toolConfig"], json!({"tools": [spec("ns_get"), spec("get")]}));
    assert_eq!(notes.tools.restore("ns_get"), Some(("ns.get", false)));
}

/// What is changed on an asking request, for which model, what is looked for, and what is lost.
type Case = (fn(&mut Request<'static>, &mut ModelTraits), &'static str, &'static str, Value, &'static [&'static str]);

#[test]
fn writes_every_member_as_its_model_takes_it() {
    const GPT_OSS: &str = "openai.gpt-oss-120b-1:0";
    const LLAMA: &str = "us.meta.llama4-scout-17b-instruct-v1:0";
    const NOVA_2: &str = "global.amazon.nova-2-lite-v1:0";
    let cases: [Case; 34] = [
        (|r, _| r.output_tokens_max = Some(5), CLAUDE, "/inferenceConfig", json!({"maxTokens": 5}), &[]),
        (|r, _| r.temperature = Some(Number("1.5".into())), CLAUDE, "/inferenceConfig", json!({"temperature": 1}), &["temperature"]),
        (|r, _| r.temperature = Some(Number("0".into())), CLAUDE, "/inferenceConfig", json!({"temperature": 0}), &[]),
        (
            |r, t| {
                (r.temperature, r.top_p) = (Some(Number("0.5".into())), Some(Number("0.5".into())));
                t.sampling_together = false;
            },
            CLAUDE,
            "/inferenceConfig",
            json!({"temperature": 0.5}),
            &["top_p"],
        ),
        (
            |r, t| {
                (r.temperature, r.top_k) = (Some(Number("0.1".into())), Some(Number("4".into())));
                t.sampling = false;
            },
            CLAUDE,
            "/inferenceConfig",
            Value::Null,
            &["temperature", "top_k"],
        ),
        (|r, _| r.stop = vec![Text::plain("a"), Text::plain(" ")], CLAUDE, "/inferenceConfig", json!({"stopSequences": ["a"]}), &["stop"]),
        (|r, _| r.stop = vec![Text::plain("a")], CLAUDE, "/additionalModelResponseFieldPaths", json!(["/stop_sequence"]), &[]),
        (
            |r, _| r.stop = vec![Text::plain("\n")],
            LLAMA,
            "",
            json!({"inferenceConfig": {"stopSequences": ["\n"]}, "messages": [{"role": "user", "content": [{"text": "hi"}]}]}),
            &[],
        ),
        (|r, _| r.top_k = Some(Number("4".into())), CLAUDE, "/additionalModelRequestFields", json!({"top_k": 4}), &[]),
        (|r, _| r.top_k = Some(Number("4".into())), NOVA, "/additionalModelRequestFields", json!({"inferenceConfig": {"topK": 4}}), &[]),
        (|r, _| r.top_k = Some(Number("4".into())), LLAMA, "/additionalModelRequestFields", Value::Null, &["top_k"]),
        (
            |r, _| r.reasoning = Some(Reasoning { effort: Some(Effort::High), ..Reasoning::default() }),
            CLAUDE,
            "/additionalModelRequestFields",
            json!({"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": "high"}}),
            &[],
        ),
        (
            |r, t| {
                r.reasoning = Some(Reasoning { effort: Some(Effort::High), ..Reasoning::default() });
                t.thinking = Thinking::Budget;
            },
            CLAUDE,
            "",
            json!({
                "inferenceConfig": {"maxTokens": 32000},
                "additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 4096}},
                "messages": [{"role": "user", "content": [{"text": "hi"}]}],
            }),
            &[],
        ),
        (
            |r, _| {
                r.reasoning = Some(Reasoning { effort: Some(Effort::Xhigh), ..Reasoning::default() });
                (r.output_tokens_max, r.temperature) = (Some(100), Some(Number("0".into())));
            },
            NOVA_2,
            "",
            json!({
                "additionalModelRequestFields": {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}},
                "messages": [{"role": "user", "content": [{"text": "hi"}]}],
            }),
            &["max_tokens", "temperature"],
        ),
        (
            |r, _| r.reasoning = Some(Reasoning { mode: Some(ReasoningMode::Disabled), ..Reasoning::default() }),
            NOVA_2,
            "/additionalModelRequestFields",
            Value::Null,
            &[],
        ),
        (
            |r, _| r.reasoning = Some(Reasoning { effort: Some(Effort::Minimal), ..Reasoning::default() }),
            GPT_OSS,
            "/additionalModelRequestFields",
            json!({"reasoning_effort": "low"}),
            &[],
        ),
        (
            |r, _| r.reasoning = Some(Reasoning { effort: Some(Effort::Low), ..Reasoning::default() }),
            NOVA,
            "/additionalModelRequestFields",
            Value::Null,
            &["reasoning_effort"],
        ),
        (
            |r, _| (r.tools, r.parallel_tool_calls) = (vec![function("f")], Some(false)),
            CLAUDE,
            "/additionalModelRequestFields",
            json!({"tool_choice": {"disable_parallel_tool_use": true}}),
            &[],
        ),
        (
            |r, _| (r.tools, r.parallel_tool_calls) = (vec![function("f")], Some(false)),
            NOVA,
            "/additionalModelRequestFields",
            Value::Null,
            &["parallel_tool_calls"],
        ),
        (
            |r, _| (r.tools, r.tool_choice) = (vec![function("f")], Some(ToolChoice::Auto)),
            CLAUDE,
            "/toolConfig/toolChoice",
            json!({"auto": {}}),
            &[],
        ),
        (
            |r, _| (r.tools, r.tool_choice) = (vec![function("f")], Some(ToolChoice::Auto)),
            LLAMA,
            "/toolConfig/toolChoice",
            Value::Null,
            &[],
        ),
        (
            |r, _| (r.tools, r.tool_choice) = (vec![function("f")], Some(ToolChoice::Required)),
            CLAUDE,
            "/toolConfig/toolChoice",
            json!({"any": {}}),
            &[],
        ),
        (
            |r, _| (r.tools, r.tool_choice) = (vec![function("f")], Some(ToolChoice::None)),
            CLAUDE,
            "/toolConfig/toolChoice",
            Value::Null,
            &["tool_choice"],
        ),
        (
            |r, _| (r.tools, r.tool_choice) = (vec![function("a.b")], Some(ToolChoice::Named(Text::plain("a.b")))),
            CLAUDE,
            "/toolConfig/toolChoice",
            json!({"tool": {"name": "a_b"}}),
            &[],
        ),
        (
            |r, t| {
                (r.tools, r.tool_choice) = (vec![function("f")], Some(ToolChoice::Required));
                t.forced_tool = false;
            },
            CLAUDE,
            "/toolConfig/toolChoice",
            Value::Null,
            &["tool_choice"],
        ),
        (
            |r, _| {
                r.tools = vec![function("f"), function("g")];
                r.tool_choice = Some(ToolChoice::Allowed { required: true, names: vec![Text::plain("g")] });
            },
            CLAUDE,
            "/toolConfig",
            json!({"tools": [{"toolSpec": {"name": "g", "description": "g", "inputSchema": {"json": {"type": "object"}}}}], "toolChoice": {"any": {}}}),
            &[],
        ),
        (
            |r, _| {
                let schema = Raw::literal(r#"{"type":"object","properties":{"a":{"type":"integer","minimum":1}}}"#).into();
                r.output = Some(OutputFormat::JsonSchema { name: Some(Text::plain("n")), description: None, schema, strict: Some(true) });
            },
            CLAUDE,
            "/outputConfig",
            json!({"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {
                "schema": r#"{"type":"object","properties":{"a":{"type":"integer","description":"{minimum: 1}"}},"additionalProperties":false}"#,
                "name": "n",
            }}}}),
            &[],
        ),
        (
            |r, _| r.output = Some(OutputFormat::JsonObject),
            CLAUDE,
            "/system",
            json!([{"text": "Answer with one valid JSON object and nothing else."}]),
            &["response_format"],
        ),
        (|r, _| r.service_tier = Some(Text::plain("priority")), CLAUDE, "/serviceTier", json!({"type": "priority"}), &[]),
        (|r, _| r.service_tier = Some(Text::plain("scale")), CLAUDE, "/serviceTier", Value::Null, &["service_tier"]),
        (
            |r, _| {
                r.user = Some(Text::plain("u-1"));
                r.extensions = vec![foreign("metadata", r#"{"team":"a","bad":"é","n":1}"#)];
            },
            CLAUDE,
            "/requestMetadata",
            json!({"user_id": "u-1", "team": "a"}),
            &["metadata"],
        ),
        (|r, _| r.user = Some(Text::plain("{\"a\":1}")), CLAUDE, "/requestMetadata", Value::Null, &["user"]),
        (
            |r, _| {
                r.seed = Some(Number("1".into()));
                r.extensions = vec![foreign("verbosity", r#""low""#), foreign("store", "false")];
            },
            CLAUDE,
            "/verbosity",
            Value::Null,
            &["seed", "verbosity"],
        ),
        (
            |r, _| {
                let own =
                    |name: &'static str, value| Extension { dialect: Dialect::Bedrock, name: name.into(), value: Raw::literal(value) };
                r.extensions =
                    vec![own("guardrailConfig", r#"{"a":1}"#), own("additionalModelRequestFields.x", "1"), own("inferenceConfig.y", "2")];
            },
            CLAUDE,
            "",
            json!({
                "inferenceConfig": {"y": 2},
                "additionalModelRequestFields": {"x": 1},
                "guardrailConfig": {"a": 1},
                "messages": [{"role": "user", "content": [{"text": "hi"}]}],
            }),
            &[],
        ),
    ];
    for (i, (change, model, place, wanted, lost)) in cases.into_iter().enumerate() {
        let (mut request, mut traits) = (asking(), ModelTraits::default());
        change(&mut request, &mut traits);
        let (body, notes) = encoded(&request, model, &traits);
        assert_eq!(body.pointer(place).cloned().unwrap_or_default(), wanted, "case {i} {place}: {body}");
        assert_eq!(losses(&notes), lost, "case {i} {place}");
    }
}

#[test]
fn declares_the_tools_of_a_history() {
    let messages = vec![
        says(Role::User, "hi"),
        Message::new(Role::Assistant, vec![call("c", "f.x", "{}")]),
        Message::new(Role::User, vec![result("c", "r")]),
    ];
    let (body, notes) = encoded(&Request { messages, ..Request::default() }, CLAUDE, &ModelTraits::default());
    let spec = json!({"name": "f_x", "description": "f_x", "inputSchema": {"json": {"type": "object", "properties": {}}}});
    assert_eq!(body["toolConfig"], json!({"tools": [{"toolSpec": spec}]}));
    assert_eq!(notes.tools.restore("f_x"), Some(("f.x", false)));
}

#[test]
fn writes_cache_points_behind_what_they_mark_and_keeps_the_last_four() {
    let mark = |ttl| Some(CacheMark { ttl });
    let text = |text: &'static str, ttl| Part::Text { text: Text::plain(text), citations: None, cache: mark(ttl) };
    let mut tool = function("f");
    if let Tool::Function { cache, .. } = &mut tool {
        *cache = mark(None);
    }
    let inner = Part::Text { text: Text::plain("r"), citations: None, cache: mark(None) };
    let request = Request {
        tools: vec![tool],
        messages: vec![
            Message::new(Role::System, vec![text("s", Some(CacheTtl::Hour1))]),
            Message::new(Role::User, vec![text("a", None)]),
            Message::new(
                Role::Assistant,
                vec![Part::ToolCall {
                    id: Text::plain("c"),
                    name: Text::plain("f"),
                    arguments: Text::plain("{}"),
                    custom: false,
                    cache: mark(None),
                }],
            ),
            Message::new(Role::User, vec![Part::ToolResult { id: Text::plain("c"), parts: vec![inner], error: false, cache: None }]),
        ],
        ..Request::default()
    };
    let point = json!({"cachePoint": {"type": "default"}});
    let (body, notes) = encoded(&request, CLAUDE, &ModelTraits::default());
    assert_eq!(body["toolConfig"]["tools"].as_array().unwrap().len(), 1, "the earliest of five is gone");
    assert_eq!(body["system"], json!([{"text": "s"}, {"cachePoint": {"type": "default", "ttl": "1h"}}]));
    for turn in 0..3 {
        assert_eq!(body["messages"][turn]["content"][1], point, "{body}");
    }
    assert_eq!(losses(&notes), ["cache_control"]);
    let (body, notes) = encoded(&request, NOVA, &ModelTraits::default());
    assert_eq!(body["system"], json!([{"text": "s"}, point]));
    assert_eq!(losses(&notes), ["tools[].cache_control", "cache_control.ttl"]);
    let (body, notes) = encoded(&request, "mistral.mistral-large-2402-v1:0", &ModelTraits::default());
    assert!(!body.to_string().contains("cachePoint"));
    assert_eq!(losses(&notes), ["cache_control"]);
}

#[test]
fn writes_media_as_bytes() {
    let cases = [
        (media(MediaKind::Image, base64("image/jpg"), None), json!({"image": {"format": "jpeg", "source": {"bytes": "QQ=="}}})),
        (
            media(MediaKind::Image, Source::Url(Text::plain("data:image/webp;base64,QQ==")), None),
            json!({"image": {"format": "webp", "source": {"bytes": "QQ=="}}}),
        ),
        (
            media(MediaKind::Video, Source::Url(Text::plain("s3://bucket/film.MP4")), None),
            json!({"video": {"format": "mp4", "source": {"s3Location": {"uri": "s3://bucket/film.MP4"}}}}),
        ),
        (
            media(MediaKind::Document, base64("application/pdf"), Some("Annual  report.pdf")),
            json!({"document": {"format": "pdf", "name": "Annual report", "source": {"bytes": "QQ=="}}}),
        ),
        (
            media(MediaKind::Document, Source::Plain(Text::plain("wörds")), None),
            json!({"document": {"format": "txt", "name": "document", "source": {"bytes": "d8O2cmRz"}}}),
        ),
        (
            media(MediaKind::Document, base64("text/x-log; charset=utf-8"), Some("é_1")),
            json!({"document": {"format": "txt", "name": "--1", "source": {"bytes": "QQ=="}}}),
        ),
        (
            media(MediaKind::Document, base64("application/octet-stream"), Some("notes.md")),
            json!({"document": {"format": "md", "name": "notes", "source": {"bytes": "QQ=="}}}),
        ),
        (media(MediaKind::Audio, base64("audio/mpeg"), None), json!({"audio": {"format": "mp3", "source": {"bytes": "QQ=="}}})),
    ];
    for (part, wanted) in cases {
        let (body, _) = encoded(&of(vec![part]), CLAUDE, &ModelTraits::default());
        assert_eq!(body["messages"][0]["content"], json!([wanted]));
    }
    let twin = || media(MediaKind::Document, base64("application/pdf"), Some("a.pdf"));
    let (body, notes) =
        encoded(&of(vec![twin(), twin(), media(MediaKind::Document, base64("text/csv"), None)]), CLAUDE, &ModelTraits::default());
    let names: Vec<_> = body["messages"][0]["content"].as_array().unwrap().iter().map(|d| d["document"]["name"].clone()).collect();
    assert_eq!(names, ["a", "a 2", "document"]);
    assert_eq!(losses(&notes), ["messages[].content[].filename"]);
}

#[test]
fn refuses_what_would_change_the_meaning() {
    let url = || Source::Url(Text::plain("https://x.test/y.png"));
    let cases: [(Request<'static>, &str, &str); 11] = [
        (Request { answers: Some(2), ..asking() }, "n", "cannot do this"),
        (Request { extensions: vec![foreign("logit_bias", r#"{"1":2}"#)], ..asking() }, "logit_bias", "cannot do this"),
        (of(vec![media(MediaKind::Image, url(), None)]), "messages[].content", "base64"),
        (of(vec![media(MediaKind::Image, base64("image/tiff"), None)]), "messages[].content", "image/tiff"),
        (
            of(vec![media(MediaKind::Document, Source::FileId { dialect: Dialect::OpenAiChat, id: Text::plain("f") }, None)]),
            "messages[].content",
            "another provider",
        ),
        (
            of(vec![Part::Opaque { dialect: Dialect::Anthropic, kind: "server_tool_use".into(), raw: Raw::literal("{}") }]),
            "messages[].content",
            "server_tool_use",
        ),
        (
            Request {
                tools: vec![Tool::Opaque { dialect: Dialect::Anthropic, kind: "web_search".into(), raw: Raw::literal("{}") }],
                ..asking()
            },
            "tools",
            "web_search",
        ),
        (Request { messages: vec![says(Role::System, "s")], ..asking() }, "messages", "at least one message"),
        (Request { messages: vec![says(Role::Assistant, "a"), says(Role::User, "b")], ..asking() }, "messages", "begin with a user"),
        (
            Request {
                messages: vec![Message::new(Role::System, vec![media(MediaKind::Image, url(), None)]), says(Role::User, "b")],
                ..asking()
            },
            "messages[].content",
            "instructions must be text",
        ),
        (
            Request {
                output: Some(OutputFormat::JsonSchema { name: None, description: None, schema: Raw::literal("{}").into(), strict: None }),
                ..asking()
            },
            "response_format",
            "no structured output",
        ),
    ];
    let traits = ModelTraits { structured_output: false, ..ModelTraits::default() };
    for (request, param, text) in cases {
        let mut out = b"kept".to_vec();
        let fault = Bedrock.encode_request(&request, CLAUDE, &traits, &mut Notes::default(), &mut out).unwrap_err();
        assert_eq!((fault.kind, fault.param.as_deref(), &out[..]), (FaultKind::Unsupported, Some(param), &b"kept"[..]), "{fault}");
        assert!(fault.client_text.contains(text), "{fault}");
    }
}

#[test]
fn names_the_model_in_the_path() {
    use crate::ir::Operation;
    let path = |model, stream| Bedrock.path(Operation::Chat, model, stream).unwrap();
    assert_eq!(path("us.anthropic.claude-haiku-4-5-20251001-v1:0", false), "/model/us.anthropic.claude-haiku-4-5-20251001-v1%3A0/converse");
    let arn = "arn:aws:bedrock:us-east-1:1:inference-profile/us.a_b~é";
    assert_eq!(path(arn, true), "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.a_b~%C3%A9/converse-stream");
    assert_eq!(Bedrock.path(Operation::CountTokens, "m", false), None);
}

#[test]
fn knows_the_family_of_every_kind_of_id() {
    use super::super::family::Family;
    let cases = [
        ("anthropic.claude-3-haiku-20240307-v1:0", Family::Claude),
        ("us.anthropic.claude-sonnet-4-6", Family::Claude),
        ("arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0", Family::Nova),
        ("arn:aws:bedrock:us-east-1:123:inference-profile/us.amazon.nova-2-lite-v1:0", Family::Nova2),
        ("arn:aws:bedrock:us-east-1:123:application-inference-profile/abcdefghijkl", Family::Claude),
        ("openai.gpt-oss-20b-1:0", Family::GptOss),
        ("us.deepseek.r1-v1:0", Family::Other),
        ("amazon.titan-text-lite-v1", Family::Other),
    ];
    for (model, family) in cases {
        assert_eq!(Family::of(model), family, "{model}");
    }
}
