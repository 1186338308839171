//! Requests, both ways.

use std::borrow::Cow;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::Anthropic;
use super::{encoded, losses};
use crate::base::json::Raw;
use crate::base::{Fault, FaultKind};
use crate::dialect::{Codec, Notes};
use crate::ir::{
    CacheMark, CacheTtl, Dialect, Effort, Extension, Media, MediaKind, Message, ModelTraits, Number, OutputFormat, Part, Reasoning,
    ReasoningMode, Request, Role, Source, Text, Thinking, Tool, ToolChoice,
};

fn decoded(body: &str) -> Request<'_> {
    Anthropic.decode_request(body.as_bytes()).unwrap_or_else(|fault| panic!("{fault}: {body}"))
}

fn refused(request: &Request<'_>, traits: &ModelTraits) -> Fault {
    let mut out = b"kept".to_vec();
    let fault = Anthropic.encode_request(request, "claude", traits, &mut Notes::default(), &mut out).unwrap_err();
    assert_eq!(out, b"kept", "a refused request leaves nothing behind");
    fault
}

fn user(text: &str) -> Message<'_> {
    Message::new(Role::User, vec![Part::text(Text::plain(text))])
}

fn says(role: Role, text: &'static str) -> Message<'static> {
    Message::new(role, vec![Part::text(Text::plain(text))])
}

fn asking() -> Request<'static> {
    Request { messages: vec![user("hi")], output_tokens_max: Some(2000), ..Request::default() }
}

fn function(name: &'static str) -> Tool<'static> {
    let parameters = Some(Raw::literal(r#"{"type":"object"}"#).into());
    Tool::Function { name: Text::plain(name), description: None, parameters, strict: None, cache: None, extensions: vec![] }
}

fn call(id: &'static str, name: &'static str, arguments: &'static str) -> Part<'static> {
    Part::ToolCall { id: Text::plain(id), name: Text::plain(name), arguments: Text::plain(arguments), custom: false, cache: None }
}

fn result(id: &'static str, text: &'static str) -> Part<'static> {
    Part::ToolResult { id: Text::plain(id), parts: vec![Part::text(Text::plain(text))], error: false, cache: None }
}

fn foreign(name: &'static str, value: &'static str) -> Extension<'static> {
    Extension { dialect: Dialect::OpenAiChat, name: Cow::Borrowed(name), value: Raw::literal(value) }
}

fn effort(effort: Effort) -> Option<Reasoning> {
    Some(Reasoning { effort: Some(effort), ..Reasoning::default() })
}

#[test]
fn reads_every_member() {
    let request = decoded(
        r#"{"model":"claude-x","max_tokens":1024,"stream":true,"temperature":0.70,"top_p":0.9,"top_k":40,
            "stop_sequences":["END","\n\n"],"service_tier":"standard_only","metadata":{"user_id":"u-1","extra":1},
            "system":[{"type":"text","text":"Be brief."},{"type":"text","text":"Rules","cache_control":{"type":"ephemeral","ttl":"1h"}}],
            "tools":[
              {"name":"get","description":"d","input_schema":{"type":"object"},"strict":true,"input_examples":[{}]},
              {"type":"custom","name":"put","input_schema":{"type":"object"},"cache_control":{"type":"ephemeral"}},
              {"type":"web_search_20250305","name":"web_search"}],
            "tool_choice":{"type":"tool","name":"get","disable_parallel_tool_use":true},
            "thinking":{"type":"enabled","budget_tokens":2048,"display":"omitted"},
            "output_config":{"effort":"high","format":{"type":"json_schema","schema":{"type":"object"}}},
            "container":"c-1","inference_geo":null,
            "messages":[{"role":"user","content":"hi"}]}"#,
    );
    assert_eq!((&*request.model, request.output_tokens_max, request.stream, request.stream_usage), ("claude-x", Some(1024), true, true));
    assert_eq!(request.temperature, Some(Number("0.70".into())));
    assert_eq!((request.top_p.unwrap().value(), request.top_k.unwrap().value()), (0.9, 40.0));
    assert_eq!(request.stop, [Text::plain("END"), Text::plain("\n\n")]);
    assert_eq!((request.user, request.service_tier), (Some(Text::plain("u-1")), Some(Text::plain("standard_only"))));
    assert_eq!((request.tool_choice, request.parallel_tool_calls), (Some(ToolChoice::Named(Text::plain("get"))), Some(false)));
    let reasoning =
        Reasoning { mode: Some(ReasoningMode::Enabled), effort: Some(Effort::High), budget_tokens: Some(2048), summary: Some(false) };
    assert_eq!(request.reasoning, Some(reasoning));
    assert!(matches!(request.output, Some(OutputFormat::JsonSchema { schema, .. }) if schema.raw().get() == r#"{"type":"object"}"#));
    let names: Vec<_> = request.extensions.iter().map(|e| (&*e.name, e.value.get())).collect();
    assert_eq!(names, [("metadata.extra", "1"), ("container", "\"c-1\"")]);
    assert_eq!(request.messages.len(), 2);
    assert_eq!((request.messages[0].role, request.messages[0].parts.len()), (Role::System, 2));
    let marks = request.messages[0].parts.iter().map(|part| match part {
        Part::Text { cache, .. } => *cache,
        other => panic!("{other:?}"),
    });
    assert_eq!(marks.collect::<Vec<_>>(), [None, Some(CacheMark { ttl: Some(CacheTtl::Hour1) })]);
    let Tool::Function { name, strict: Some(true), extensions, .. } = &request.tools[0] else { panic!("{:?}", request.tools) };
    assert!(name.is("get") && extensions[0].name == "input_examples");
    assert!(matches!(&request.tools[1], Tool::Function { cache: Some(_), .. }));
    assert!(matches!(&request.tools[2], Tool::Opaque { kind, .. } if kind == "web_search_20250305"));
}

#[test]
fn reads_every_block() {
    let block = |json: &str| {
        let body = format!(r#"{{"model":"m","max_tokens":1,"messages":[{{"role":"user","content":[{json}]}}]}}"#);
        let message = Anthropic.decode_request(body.as_bytes()).unwrap().messages.remove(0);
        format!("{:?} {:?}", message.parts[0], message.extensions.iter().map(|e| &*e.name).collect::<Vec<_>>())
    };
    let cases = [
        (
            r#"{"type":"text","text":"a\nb","citations":null,"new":1}"#,
            &["Text", r#"Escaped("a\\nb")"#, "citations: None", "content[].new"][..],
        ),
        (r#"{"type":"text","text":"a","citations":[{"type":"page_location"}]}"#, &["citations: Some", "page_location"]),
        (r#"{"type":"image","source":{"type":"url","url":"https://x/y.png"}}"#, &["kind: Image", "Url"]),
        (r#"{"type":"image","source":{"type":"base64","media_type":"image/png","data":"QQ=="}}"#, &["Base64", "image/png", "QQ=="]),
        (r#"{"type":"image","source":{"type":"file","file_id":"file_1"}}"#, &["FileId", "Anthropic", "file_1"]),
        (
            r#"{"type":"document","title":"T","context":"C","source":{"type":"text","media_type":"text/plain","data":"words"}}"#,
            &["Document", "Plain", "words", "title: Some", "context"],
        ),
        (r#"{"type":"document","source":{"type":"content","content":[]}}"#, &["Opaque", "content"]),
        (
            r#"{"type":"tool_use","id":"t1","name":"f","input":{"a": 1.0},"cache_control":{"type":"ephemeral"}}"#,
            &["ToolCall", r#"{\"a\": 1.0}"#, "cache: Some", "custom: false"],
        ),
        (r#"{"type":"tool_use","id":"t1","name":"f","input":"","caller":{"type":"direct"}}"#, &[r#"arguments: Plain("{}")"#, "[]"]),
        (r#"{"type":"tool_result","tool_use_id":"t1","content":"ok","is_error":true}"#, &["ToolResult", "ok", "error: true"]),
        (r#"{"type":"tool_result","tool_use_id":"t1"}"#, &["parts: []", "error: false"]),
        (
            r#"{"type":"tool_result","tool_use_id":"t1","content":[{"type":"text","text":"x"},{"type":"search_result","title":"s"}]}"#,
            &["Text", "Opaque", "search_result"],
        ),
        (r#"{"type":"thinking","thinking":"hm","signature":"sig"}"#, &["Reasoning", "hm", "sig"]),
        (r#"{"type":"thinking","thinking":"hm","signature":""}"#, &["signature: None"]),
        (r#"{"type":"redacted_thinking","data":"xyz"}"#, &["RedactedReasoning", "xyz"]),
        (r#"{"type":"server_tool_use","id":"s1","name":"web_search","input":{}}"#, &["Opaque", "server_tool_use"]),
        (r#"{"type":"from_the_future"}"#, &["Opaque", "from_the_future"]),
    ];
    for (json, wanted) in cases {
        let got = block(json);
        for part in wanted {
            assert!(got.contains(part), "{json}: no {part} in {got}");
        }
    }
}

#[test]
fn names_what_is_wrong_and_where() {
    let with = |member: &str| format!(r#"{{"model":"m","max_tokens":1,"messages":[{{"role":"user","content":"hi"}}],{member}}}"#);
    let message = |message: &str| format!(r#"{{"model":"m","max_tokens":1,"messages":[{{"role":"user","content":"hi"}},{message}]}}"#);
    let cases = [
        (r#"{"max_tokens":1,"messages":[]}"#.to_owned(), "model", "Field required"),
        (r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#.to_owned(), "max_tokens", "Field required"),
        (r#"{"model":"m","max_tokens":1}"#.to_owned(), "messages", "Field required"),
        (r#"{"model":"m","max_tokens":1,"messages":[]}"#.to_owned(), "messages", "at least one"),
        (with(r#""max_tokens":"many""#), "max_tokens", "expected a whole number, found a string"),
        (with(r#""max_tokens":-1"#), "max_tokens", "found -1"),
        (with(r#""stream":1"#), "stream", "expected a boolean, found a number"),
        (with(r#""temperature":"hot""#), "temperature", "expected a number"),
        (with(r#""system":[{"type":"text"}]"#), "system.0.text", "Field required"),
        (with(r#""stop_sequences":["a",1]"#), "stop_sequences.1", "expected a string, found a number"),
        (with(r#""tools":[{"input_schema":{}}]"#), "tools.0.name", "Field required"),
        (with(r#""tools":[{"name":"x","input_schema":[]}]"#), "tools.0.input_schema", "expected an object, found an array"),
        (with(r#""tool_choice":"auto""#), "tool_choice", "expected an object, found a string"),
        (with(r#""thinking":{"type":"enabled","budget_tokens":true}"#), "thinking.budget_tokens", "found a boolean"),
        (
            message(r#"{"role":"user","content":5}"#),
            "messages.1.content",
            "expected a string or an array of content blocks, found a number",
        ),
        (message(r#"{"role":"tool","content":"x"}"#), "messages.1.role", "found \"tool\""),
        (message(r#"{"content":"x"}"#), "messages.1.role", "Field required"),
        (message(r#"{"role":"user","content":[{"text":"x"}]}"#), "messages.1.content.0.type", "Field required"),
        (message(r#"{"role":"user","content":[{"type":"image"}]}"#), "messages.1.content.0.source", "Field required"),
        (
            message(r#"{"role":"user","content":[{"type":"text","text":"x","cache_control":1}]}"#),
            "messages.1.content.0.cache_control",
            "found a number",
        ),
    ];
    for (body, param, text) in cases {
        let fault = Anthropic.decode_request(body.as_bytes()).unwrap_err();
        assert_eq!((fault.kind, fault.param.as_deref()), (FaultKind::BadRequest, Some(param)), "{body}: {fault}");
        assert!(fault.client_text.contains(text) && fault.client_text.starts_with(param), "{body}: {}", fault.client_text);
    }
    assert_eq!(Anthropic.decode_request(b"[]").unwrap_err().kind, FaultKind::BadRequest);
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
            user("hi"),
            user(" \n"),
            user("there"),
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
            user("a"),
            says(Role::System, "mid"),
            says(Role::Assistant, "b"),
            says(Role::System, "behind an assistant"),
            user("c"),
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
                    user("q"),
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
                    user("q"),
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
        (|r, _| r.messages = vec![user(" ")], "messages"),
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

/// Requests that Anthropic's own form can say in full.
fn arbitrary_body() -> impl Strategy<Value = Value> {
    let words = "[a-zA-Zé\\n\"\\\\ ]{0,8}x";
    let mark = prop::option::of(prop::sample::select(vec![json!({"type": "ephemeral"}), json!({"type": "ephemeral", "ttl": "1h"})]));
    let marked = |block: Value, mark: Option<Value>| {
        let mut block = block;
        if let Some(mark) = mark {
            block["cache_control"] = mark;
        }
        block
    };
    let text = (words, mark.clone()).prop_map(move |(text, mark)| marked(json!({"type": "text", "text": text}), mark));
    let image = words.prop_map(|url| json!({"type": "image", "source": {"type": "url", "url": url}}));
    let result = (words, words, any::<bool>()).prop_map(|(id, text, error)| {
        let id = id.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        let mut block = json!({"type": "tool_result", "tool_use_id": id, "content": text});
        if error {
            block["is_error"] = json!(true);
        }
        block
    });
    let call = (words, words).prop_map(|(id, value)| {
        let id = id.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        json!({"type": "tool_use", "id": id, "name": "f", "input": {"a": value}})
    });
    let thinking = words.prop_map(|text| json!({"type": "thinking", "thinking": text, "signature": "s"}));
    let user = (prop::collection::vec(result, 0..3), prop::collection::vec(prop_oneof![text.clone(), image], 1..3))
        .prop_map(|(results, rest)| json!({"role": "user", "content": ([results, rest].concat())}));
    let assistant = (prop::collection::vec(thinking, 0..2), prop::collection::vec(prop_oneof![text.clone(), call], 1..3))
        .prop_map(|(thinking, rest)| json!({"role": "assistant", "content": ([thinking, rest].concat())}));
    (prop::collection::vec((user, assistant), 1..4), prop::collection::vec(text, 0..2), 1u64..9999).prop_map(|(turns, system, max)| {
        let messages: Vec<Value> =
            turns.into_iter().flat_map(|(user, assistant)| [user, assistant]).chain([json!({"role": "user", "content": "end"})]).collect();
        let tools = json!([{"name": "f", "input_schema": {"type": "object"}}]);
        json!({"model": "claude", "max_tokens": max, "system": system, "tools": tools, "messages": messages})
    })
}

/// The same request with the shorthands written out.
fn long_form(mut body: Value) -> Value {
    let lengthen = |content: &mut Value| {
        if let Some(text) = content.as_str() {
            *content = json!([{"type": "text", "text": text}]);
        }
    };
    lengthen(&mut body["system"]);
    if body["system"].is_null() {
        body["system"] = json!([]);
    }
    body["messages"].as_array_mut().unwrap().iter_mut().for_each(|message| lengthen(&mut message["content"]));
    body
}

proptest! {
    /// Law: what is read is written again, in full.
    #[test]
    fn a_request_round_trips(body in arbitrary_body()) {
        let text = body.to_string();
        let request = Anthropic.decode_request(text.as_bytes()).unwrap();
        let (out, notes) = encoded(&request, &ModelTraits::default());
        let marks = text.matches("cache_control").count();
        if marks <= 4 {
            prop_assert!(notes.losses.is_empty());
            prop_assert_eq!(long_form(out), long_form(body));
        } else {
            prop_assert_eq!(out.to_string().matches("cache_control").count(), 4);
        }
    }

    /// Law: no request, however broken, does more than be refused.
    #[test]
    fn a_broken_request_is_refused_at_worst(body in arbitrary_body(), at in any::<prop::sample::Index>(), piece in prop::sample::select(vec!["null", "1", "\"x\"", "[]", "{}", "true", "[{}]", "[null]", "-1.5e99"])) {
        let mut body = body;
        let mut places = Vec::new();
        pointers(&body, String::new(), &mut places);
        *body.pointer_mut(&places[at.index(places.len())]).unwrap() = serde_json::from_str(piece).unwrap();
        let text = body.to_string();
        if let Ok(request) = Anthropic.decode_request(text.as_bytes()) {
            let mut out = Vec::new();
            if Anthropic.encode_request(&request, "m", &ModelTraits::default(), &mut Notes::default(), &mut out).is_ok() {
                prop_assert!(serde_json::from_slice::<Value>(&out).is_ok());
            }
        }
        // The edge refuses what is not JSON; here it must do no harm.
        let chopped = &text.as_bytes()[..at.index(text.len())];
        let read = Anthropic.decode_request(chopped);
        drop(read.and_then(|r| Anthropic.encode_request(&r, "m", &ModelTraits::default(), &mut Notes::default(), &mut Vec::new())));
    }
}

fn pointers(value: &Value, at: String, out: &mut Vec<String>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(key, member)| pointers(member, format!("{at}/{key}"), out)),
        Value::Array(elements) => elements.iter().enumerate().for_each(|(i, element)| pointers(element, format!("{at}/{i}"), out)),
        _ => {}
    }
    out.push(at);
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
