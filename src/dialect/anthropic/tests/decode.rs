//! Requests, read.

use super::super::Anthropic;
use super::decoded;
use crate::base::FaultKind;
use crate::dialect::Codec;
use crate::ir::{CacheMark, CacheTtl, Effort, Number, OutputFormat, Part, Reasoning, ReasoningMode, Role, Text, Tool, ToolChoice};

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
