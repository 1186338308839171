//! Requests, written.

use serde_json::{Value, json};

use super::super::Anthropic;
use super::{decoded, encoded};
use crate::base::json::Raw;
use crate::base::{Fault, FaultKind};
use crate::dialect::tests::{call, foreign, function, losses, result, says};
use crate::dialect::{Codec, Notes};
use crate::ir::{
    CacheMark, CacheTtl, Dialect, Effort, Extension, Media, MediaKind, Message, ModelTraits, Number, OutputFormat, Part, Reasoning,
    ReasoningMode, Request, Role, Source, Text, Thinking, Tool, ToolChoice,
};

fn refused(request: &Request<'_>, traits: &ModelTraits) -> Fault {
    let mut out = b"kept".to_vec();
    let fault = Anthropic.encode_request(request, "claude", traits, &mut Notes::default(), &mut out).unwrap_err();
    assert_eq!(out, b"kept", "a refused request leaves nothing behind");
    fault
}

fn asking() -> Request<'static> {
    Request { messages: vec![says(Role::User, "hi")], output_tokens_max: Some(2000), ..Request::default() }
}

fn effort(effort: Effort) -> Option<Reasoning> {
    Some(Reasoning { effort: Some(effort), ..Reasoning::default() })
}

#[test]
fn writes_a_conversation_in_its_order() {
    let mut assistant = Message::new(
        Role::Assistant,
        vec![
            Part::text(Text::plain("I look.")),
            Part::Reasoning { text: Text::plain("hm"), signature: Some(Text::plain("sig")) },
            Part::Reasoning { text: Text::plain("unsigned"), signature: None },
            call("call.1", "ns.get", r#"{"a":1}"#),
            call("call_2", "get", ""),
            call("call_3", "get", "{broken"),
        ],
    );
    assistant.name = Some(Text::plain("bob"));
    let request = Request {
        messages: vec![
            says(Role::System, "One."),
            says(Role::Developer, "Two."),
            says(Role::User, "hi"),
            says(Role::User, " \n"),
            says(Role::User, "there"),
            says(Role::Assistant, ""),
            assistant,
            Message::new(Role::User, vec![result("call.1", "r1")]),
            says(Role::System, "Careful."),
            Message::new(Role::User, vec![result("call_2", "r2")]),
            says(Role::Assistant, "So: \n"),
        ],
        tools: vec![function("ns.get"), function("get")],
        output_tokens_max: Some(0),
        ..Request::default()
    };
    let (body, notes) = encoded(&request, &ModelTraits::default());
    let id = body["messages"][1]["content"][2]["id"].clone();
    assert!(id.as_str().unwrap().starts_with("call_1_"), "{id}");
    let wanted = json!({
        "model": "claude", "max_tokens": 0,
        "system": [{"type": "text", "text": "One."}, {"type": "text", "text": "Two."}],
        "tools": [{"name": "ns_get", "input_schema": {"type": "object"}}, {"name": "get", "input_schema": {"type": "object"}}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "text", "text": "there"}]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm", "signature": "sig"},
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": id, "name": "ns_get", "input": {"a": 1}},
                {"type": "tool_use", "id": "call_2", "name": "get", "input": {}},
                {"type": "tool_use", "id": "call_3", "name": "get", "input": {"_raw": "{broken"}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": id, "content": "r1"},
                {"type": "tool_result", "tool_use_id": "call_2", "content": "r2"},
                {"type": "text", "text": "Careful."},
            ]},
            {"role": "assistant", "content": "So:"},
        ],
    });
    assert_eq!(body, wanted);
    assert_eq!(losses(&notes), ["messages[].name", "messages[].reasoning", "messages[].system"]);
    assert_eq!(notes.tools.restore("ns_get"), Some(("ns.get", false)));
}

#[test]
fn keeps_a_system_turn_in_place_where_the_model_takes_it() {
    let traits = ModelTraits { system_in_messages: true, ..ModelTraits::default() };
    let request = Request {
        messages: vec![
            says(Role::User, "a"),
            says(Role::System, "mid"),
            says(Role::Assistant, "b"),
            says(Role::System, "behind an assistant"),
            says(Role::User, "c"),
            says(Role::Developer, "last"),
        ],
        ..asking()
    };
    let (body, notes) = encoded(&request, &traits);
    let turns: Vec<_> = body["messages"].as_array().unwrap().iter().map(|m| m["role"].as_str().unwrap()).collect();
    assert_eq!(turns, ["user", "system", "assistant", "user", "system"]);
    assert_eq!(body["messages"][3]["content"][0]["text"], "behind an assistant");
    assert_eq!(losses(&notes), ["messages[].system"]);
}

/// One change to a plain request, what becomes of it, and what is lost.
type Case = (&'static str, fn(&mut Request<'static>, &mut ModelTraits), Value, &'static [&'static str]);

#[test]
fn writes_each_member_by_what_the_model_takes() {
    let cases: Vec<Case> = vec![
        ("default bound", |r, t| (r.output_tokens_max, t.output_tokens_default) = (None, 500), json!({"max_tokens": 500}), &[]),
        ("stream", |r, _| r.stream = true, json!({"stream": true}), &[]),
        ("temperature 0", |r, _| r.temperature = Some(Number("0".into())), json!({"temperature": 0}), &[]),
        ("temperature 2", |r, _| r.temperature = Some(Number("2".into())), json!({"temperature": 1}), &["temperature"]),
        ("top_p", |r, _| r.top_p = Some(Number("0.50".into())), json!({"top_p": 0.5}), &[]),
        (
            "no sampling",
            |r, t| {
                t.sampling = false;
                r.temperature = Some(Number("0.1".into()));
                r.top_p = Some(Number("1".into()));
                r.top_k = Some(Number("3".into()));
            },
            json!({"temperature": null, "top_p": null, "top_k": null}),
            &["temperature", "top_k"],
        ),
        (
            "not together",
            |r, t| {
                t.sampling_together = false;
                (r.temperature, r.top_p) = (Some(Number("0.1".into())), Some(Number("0.2".into())));
            },
            json!({"temperature": 0.1, "top_p": null}),
            &["top_p"],
        ),
        ("stop", |r, _| r.stop = vec![Text::plain("END"), Text::plain(" \n")], json!({"stop_sequences": ["END"]}), &["stop"]),
        ("seed", |r, _| r.seed = Some(Number("1".into())), json!({"seed": null}), &["seed"]),
        ("no penalty", |r, _| r.presence_penalty = Some(Number("0".into())), json!({}), &[]),
        ("penalty", |r, _| r.frequency_penalty = Some(Number("1".into())), json!({}), &["frequency_penalty"]),
        ("user", |r, _| r.user = Some(Text::plain("u")), json!({"metadata": {"user_id": "u"}}), &[]),
        ("long user", |r, _| r.user = Some(Text::plain("u".repeat(257))), json!({"metadata": null}), &["user"]),
        ("safety id", |r, _| r.extensions = vec![foreign("safety_identifier", "\"s\"")], json!({"metadata": {"user_id": "s"}}), &[]),
        ("tier auto", |r, _| r.service_tier = Some(Text::plain("priority")), json!({"service_tier": "auto"}), &[]),
        ("tier default", |r, _| r.service_tier = Some(Text::plain("default")), json!({"service_tier": null}), &[]),
        ("tier flex", |r, _| r.service_tier = Some(Text::plain("flex")), json!({"service_tier": null}), &["service_tier"]),
        (
            "foreign members",
            |r, _| {
                r.extensions =
                    vec![foreign("verbosity", "\"low\""), foreign("store", "false"), foreign("logit_bias", "{}"), foreign("x", "null")]
            },
            json!({"verbosity": null}),
            &["verbosity"],
        ),
        (
            "json object",
            |r, _| r.output = Some(OutputFormat::JsonObject),
            json!({"system": "Answer with one valid JSON object and nothing else."}),
            &["response_format"],
        ),
        (
            "json schema",
            |r, _| {
                let schema =
                    Raw::literal(r#"{"type":"object","properties":{"n":{"type":"integer","minimum":1,"description":"A number."}}}"#);
                r.output = Some(OutputFormat::JsonSchema {
                    name: Some(Text::plain("x")),
                    description: None,
                    schema: schema.into(),
                    strict: Some(true),
                });
                r.reasoning = effort(Effort::Low);
            },
            json!({"output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {
                "type": "object", "additionalProperties": false,
                "properties": {"n": {"type": "integer", "description": "A number.\n\n{minimum: 1}"}}}}}}),
            &[],
        ),
        (
            "adaptive",
            |r, _| r.reasoning = effort(Effort::Minimal),
            json!({"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": "low"}}),
            &[],
        ),
        ("no thinking", |r, _| r.reasoning = effort(Effort::None), json!({"thinking": {"type": "disabled"}, "output_config": null}), &[]),
        (
            "thinking without a summary, and sampling",
            |r, _| {
                r.reasoning =
                    Some(Reasoning { mode: Some(ReasoningMode::Enabled), budget_tokens: Some(5000), summary: Some(false), effort: None });
                (r.temperature, r.top_p) = (Some(Number("0.5".into())), Some(Number("0.95".into())));
            },
            json!({"thinking": {"type": "adaptive", "display": "omitted"}, "output_config": {"effort": "high"}, "temperature": null, "top_p": 0.95}),
            &["temperature"],
        ),
        (
            "budget",
            |r, t| (r.reasoning, t.thinking) = (effort(Effort::Max), Thinking::Budget),
            json!({"thinking": {"type": "enabled", "budget_tokens": 1999}}),
            &[],
        ),
        (
            "no room for a budget",
            |r, t| (r.reasoning, t.thinking, r.output_tokens_max) = (effort(Effort::Low), Thinking::Budget, Some(1024)),
            json!({"thinking": null}),
            &["reasoning_effort"],
        ),
        (
            "always",
            |r, t| (r.reasoning, t.thinking) = (effort(Effort::High), Thinking::Always),
            json!({"thinking": null, "output_config": {"effort": "high"}}),
            &[],
        ),
        (
            "always, though",
            |r, t| (r.reasoning, t.thinking) = (effort(Effort::None), Thinking::Always),
            json!({"thinking": null}),
            &["reasoning_effort"],
        ),
        (
            "cannot think",
            |r, t| (r.reasoning, t.thinking) = (effort(Effort::High), Thinking::Unsupported),
            json!({"thinking": null, "output_config": null}),
            &["reasoning_effort"],
        ),
        ("no tools", |r, _| r.tool_choice = Some(ToolChoice::Auto), json!({"tools": null, "tool_choice": null}), &[]),
        (
            "required",
            |r, _| (r.tools, r.tool_choice, r.parallel_tool_calls) = (vec![function("f")], Some(ToolChoice::Required), Some(false)),
            json!({"tool_choice": {"type": "any", "disable_parallel_tool_use": true}}),
            &[],
        ),
        (
            "serial",
            |r, _| (r.tools, r.parallel_tool_calls) = (vec![function("f")], Some(false)),
            json!({"tool_choice": {"type": "auto", "disable_parallel_tool_use": true}}),
            &[],
        ),
        (
            "none, serial",
            |r, _| (r.tools, r.tool_choice, r.parallel_tool_calls) = (vec![function("f")], Some(ToolChoice::None), Some(false)),
            json!({"tool_choice": {"type": "none"}}),
            &[],
        ),
        (
            "named",
            |r, _| (r.tools, r.tool_choice) = (vec![function("a b")], Some(ToolChoice::Named(Text::plain("a b")))),
            json!({"tool_choice": {"type": "tool", "name": "a_b"}}),
            &[],
        ),
        (
            "not forced",
            |r, t| (r.tools, r.tool_choice, t.forced_tool) = (vec![function("f")], Some(ToolChoice::Required), false),
            json!({"tool_choice": {"type": "auto"}}),
            &["tool_choice"],
        ),
        (
            "not forced while thinking the older way",
            |r, t| {
                (r.tools, r.tool_choice) = (vec![function("f")], Some(ToolChoice::Required));
                (r.reasoning, t.thinking) = (effort(Effort::Low), Thinking::Budget);
            },
            json!({"tool_choice": {"type": "auto"}, "thinking": {"type": "enabled", "budget_tokens": 1024}}),
            &["tool_choice"],
        ),
        (
            "allowed",
            |r, _| {
                (r.tools, r.tool_choice) =
                    (vec![function("f")], Some(ToolChoice::Allowed { required: true, names: vec![Text::plain("f")] }))
            },
            json!({"tool_choice": {"type": "any"}}),
            &["tool_choice.allowed_tools"],
        ),
        (
            "tools of the history",
            |r, _| {
                r.messages = vec![
                    says(Role::User, "q"),
                    Message::new(Role::Assistant, vec![call("1", "f", "{}"), call("2", "f", "{}")]),
                    Message::new(Role::User, vec![result("1", "x")]),
                ]
            },
            json!({"tools": [{"name": "f", "input_schema": {"type": "object", "properties": {}}}], "tool_choice": {"type": "none"}}),
            &[],
        ),
        (
            "the older thinking amid an unthought tool call",
            |r, t| {
                r.messages = vec![
                    says(Role::User, "q"),
                    Message::new(Role::Assistant, vec![call("1", "f", "{}")]),
                    Message::new(Role::User, vec![result("1", "x")]),
                ];
                (r.tools, r.reasoning, t.thinking) = (vec![function("f")], effort(Effort::Low), Thinking::Budget);
            },
            json!({"thinking": null}),
            &["reasoning_effort"],
        ),
    ];
    for (name, change, wanted, lost) in cases {
        let (mut request, mut traits) = (asking(), ModelTraits::default());
        change(&mut request, &mut traits);
        let (body, notes) = encoded(&request, &traits);
        for (key, value) in wanted.as_object().unwrap() {
            assert_eq!(&body[key], value, "{name}: {key} in {body}");
        }
        assert_eq!(losses(&notes), lost, "{name}");
    }
}

#[test]
fn writes_tools_and_media() {
    let strict = Raw::literal(
        r##"{"properties":{"a":{"oneOf":[{"type":"string","maxLength":3},{"$ref":"#/definitions/d"}]}},"definitions":{"d":{"type":"object"}}}"##,
    );
    let request = Request {
        tools: vec![
            Tool::Function {
                name: Text::plain("s"),
                description: Some(Text::plain("d")),
                parameters: Some(strict.into()),
                strict: Some(true),
                cache: Some(CacheMark { ttl: Some(CacheTtl::Hours12) }),
                extensions: vec![foreign("defer_loading", "true")],
            },
            Tool::Function {
                name: Text::plain("n"),
                description: None,
                parameters: None,
                strict: Some(false),
                cache: None,
                extensions: vec![],
            },
            Tool::Custom {
                name: Text::plain("run code"),
                description: Some(Text::plain("Runs.")),
                format: Some(Raw::literal(r#"{"type":"grammar"}"#)),
            },
        ],
        messages: vec![Message::new(
            Role::User,
            vec![
                media(MediaKind::Image, Source::Base64 { media_type: Text::plain("image/jpg"), data: Text::plain("QQ==") }),
                media(MediaKind::Image, Source::Url(Text::plain("https://x"))),
                media(MediaKind::Document, Source::Plain(Text::plain("words"))),
                media(MediaKind::Document, Source::Base64 { media_type: Text::plain("text/csv"), data: Text::plain("YSxiCg==") }),
                media(MediaKind::Document, Source::FileId { dialect: Dialect::Anthropic, id: Text::plain("f1") }),
            ],
        )],
        ..asking()
    };
    let (body, notes) = encoded(&request, &ModelTraits::default());
    assert_eq!(
        body["tools"],
        json!([
            {"name": "s", "description": "d", "strict": true, "cache_control": {"type": "ephemeral", "ttl": "1h"}, "input_schema": {
                "type": "object", "additionalProperties": false,
                "properties": {"a": {"anyOf": [{"type": "string", "description": "{maxLength: 3}"}, {"$ref": "#/$defs/d"}]}},
                "$defs": {"d": {"type": "object", "additionalProperties": false}}}},
            {"name": "n", "input_schema": {"type": "object", "properties": {}}},
            {"name": "run_code", "description": "Runs.\n\nTakes free-form text: put all of it, unquoted and unescaped, into `input`.",
             "input_schema": {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}},
        ])
    );
    assert_eq!(notes.tools.restore("run_code"), Some(("run code", true)));
    assert_eq!(losses(&notes), ["tools[].defer_loading", "tools[].format"]);
    assert_eq!(
        body["messages"][0]["content"],
        json!([
            {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": "QQ=="}},
            {"type": "image", "source": {"type": "url", "url": "https://x"}},
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}},
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a,b\n"}},
            {"type": "document", "source": {"type": "file", "file_id": "f1"}},
        ])
    );
}

fn media(kind: MediaKind, source: Source<'static>) -> Part<'static> {
    Part::Media(Media { kind, source, title: None, detail: None, extensions: vec![], cache: None })
}

#[test]
fn a_changed_name_meets_no_unchanged_one() {
    let request = Request { tools: vec![function("a.b"), function("a_b")], ..asking() };
    let (body, notes) = encoded(&request, &ModelTraits::default());
    assert_eq!((&body["tools"][0]["name"], &body["tools"][1]["name"]), (&json!("a_b_2"), &json!("a_b")));
    assert_eq!(notes.tools.restore("a_b_2"), Some(("a.b", false)));
}

#[test]
fn refuses_what_would_change_the_meaning() {
    type Change = fn(&mut Request<'static>, &mut ModelTraits);
    let cases: [(Change, &str); 14] = [
        (|r, _| r.answers = Some(2), "n"),
        (|r, _| r.extensions = vec![foreign("logit_bias", r#"{"1":1}"#)], "logit_bias"),
        (|r, _| r.extensions = vec![foreign("logprobs", "true")], "logprobs"),
        (|r, _| r.extensions = vec![foreign("modalities", r#"["text","audio"]"#)], "modalities"),
        (|r, _| r.extensions = vec![foreign("web_search_options", "{}")], "web_search_options"),
        (|r, _| r.messages[0].extensions = vec![foreign("audio", r#"{"id":"a"}"#)], "messages[].audio"),
        (|r, _| r.messages = vec![says(Role::System, "only")], "messages"),
        (|r, _| r.messages = vec![says(Role::User, " ")], "messages"),
        (|r, _| r.messages[0].parts.push(media(MediaKind::Audio, Source::Plain(Text::EMPTY))), "messages[].content"),
        (
            |r, _| r.messages[0].parts.push(media(MediaKind::Image, Source::FileId { dialect: Dialect::OpenAiChat, id: Text::plain("f") })),
            "messages[].content",
        ),
        (
            |r, _| {
                r.messages[0].parts.push(Part::Opaque { dialect: Dialect::OpenAiChat, kind: "video_url".into(), raw: Raw::literal("{}") })
            },
            "messages[].content",
        ),
        (
            |r, _| r.messages.insert(0, Message::new(Role::System, vec![media(MediaKind::Image, Source::Url(Text::EMPTY))])),
            "messages[].content",
        ),
        (|r, _| r.tools = vec![Tool::Opaque { dialect: Dialect::OpenAiChat, kind: "mcp".into(), raw: Raw::literal("{}") }], "tools"),
        (
            |r, t| {
                t.structured_output = false;
                r.output =
                    Some(OutputFormat::JsonSchema { name: None, description: None, schema: Raw::literal("{}").into(), strict: None });
            },
            "response_format",
        ),
    ];
    for (change, param) in cases {
        let (mut request, mut traits) = (asking(), ModelTraits::default());
        change(&mut request, &mut traits);
        let fault = refused(&request, &traits);
        assert_eq!((fault.kind, fault.param.as_deref()), (FaultKind::Unsupported, Some(param)), "{fault}");
    }
}

#[test]
fn keeps_the_last_four_cache_marks() {
    let mark = Some(CacheMark { ttl: None });
    let marked = |text: &'static str| Part::Text { text: Text::plain(text), citations: None, cache: mark };
    let mut tool = function("f");
    if let Tool::Function { cache, .. } = &mut tool {
        *cache = mark;
    }
    let mut answer = result("1", "r");
    if let Part::ToolResult { cache, parts, .. } = &mut answer {
        (*cache, *parts) = (mark, vec![marked("inner")]);
    }
    let request = Request {
        tools: vec![tool],
        messages: vec![
            Message::new(Role::System, vec![marked("s1"), marked("s2")]),
            Message::new(Role::User, vec![marked("u1"), answer, marked(" ")]),
        ],
        ..asking()
    };
    let (body, notes) = encoded(&request, &ModelTraits::default());
    let text = body.to_string();
    assert_eq!(text.matches("cache_control").count(), 4, "{text}");
    assert!(body["tools"][0].get("cache_control").is_none());
    assert!(body["system"][0].get("cache_control").is_none());
    assert!(body["system"][1].get("cache_control").is_some());
    assert!(body["messages"][0]["content"][0]["content"][0].get("cache_control").is_some());
    assert_eq!(losses(&notes), ["cache_control"]);

    let top = Extension { dialect: Dialect::Anthropic, name: "cache_control".into(), value: Raw::literal(r#"{"type":"ephemeral"}"#) };
    let (body, _) = encoded(&Request { extensions: vec![top], ..request }, &ModelTraits::default());
    assert_eq!(body.to_string().matches("cache_control").count(), 4, "the mark at the top counts too");
}

#[test]
fn gives_its_own_members_back() {
    let body = r#"{"model":"m","max_tokens":9,"container":"c","thinking":{"type":"adaptive","x":1},"output_config":{"effort":"ultra","y":2},
        "metadata":{"user_id":"u","z":3},"tools":[{"type":"bash_20250124","name":"bash"}],"tool_choice":{"type":"auto","w":4},
        "messages":[{"role":"user","output_config":{"effort":"low"},"content":[
          {"type":"document","context":"c","citations":{"enabled":true},"source":{"type":"content","content":"x"}},
          {"type":"search_result","title":"t"}]}]}"#;
    let (out, notes) = encoded(&decoded(body), &ModelTraits::default());
    let mut wanted: Value = serde_json::from_str(body).unwrap();
    (wanted["model"], wanted["thinking"]["display"]) = (json!("claude"), json!("summarized"));
    assert_eq!(out, wanted);
    assert!(losses(&notes).is_empty());
}

#[test]
fn base64_is_read_as_it_was_written() {
    let cases = [
        ("", Some("")),
        ("YQ==", Some("a")),
        ("YQ", Some("a")),
        ("YR", Some("a")),
        ("YWI=", Some("ab")),
        ("YWJj\n", Some("abc")),
        ("Y", None),
        ("Y*==", None),
    ];
    for (text, wanted) in cases {
        assert_eq!(super::super::wire::unbase64(text.as_bytes()).as_deref(), wanted.map(str::as_bytes), "{text:?}");
    }
}
