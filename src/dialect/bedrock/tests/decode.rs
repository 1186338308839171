//! Requests, read.

use super::super::Bedrock;
use super::decoded;
use crate::base::FaultKind;
use crate::dialect::Codec;
use crate::ir::{CacheMark, CacheTtl, Effort, Number, OutputFormat, Part, Reasoning, ReasoningMode, Role, Text, Tool, ToolChoice};

#[test]
fn reads_every_member() {
    let request = decoded(
        r#"{"system":[{"text":"Be brief."},{"cachePoint":{"type":"default","ttl":"1h"}},{"guardContent":{"text":{"text":"Guarded","qualifiers":["query"]}}}],
            "inferenceConfig":{"maxTokens":1024,"temperature":0.70,"topP":0.9,"stopSequences":["END","\n\n"],"new":1},
            "toolConfig":{"tools":[
                {"toolSpec":{"name":"get","description":"d","inputSchema":{"json":{"type":"object"}},"strict":true}},
                {"cachePoint":{"type":"default"}},
                {"systemTool":{"name":"nova_grounding"}}],
              "toolChoice":{"tool":{"name":"get"}}},
            "additionalModelRequestFields":{"thinking":{"type":"adaptive","display":"omitted"},"output_config":{"effort":"high"},
              "top_k":40,"tool_choice":{"disable_parallel_tool_use":true},"anthropic_beta":["x"]},
            "outputConfig":{"textFormat":{"type":"json_schema","structure":{"jsonSchema":{"name":"n","schema":"{\"type\": \"object\"}"}}}},
            "serviceTier":{"type":"flex"},"requestMetadata":{"user_id":"u-1","team":"a"},
            "guardrailConfig":{"guardrailIdentifier":"g"},"performanceConfig":null,
            "messages":[{"role":"user","content":[{"text":"hi"}]}]}"#,
    );
    assert_eq!((request.output_tokens_max, request.stream_usage), (Some(1024), true));
    assert_eq!(
        (request.temperature, request.top_p.unwrap().value(), request.top_k.unwrap().value()),
        (Some(Number("0.70".into())), 0.9, 40.0)
    );
    assert_eq!(request.stop, [Text::plain("END"), Text::plain("\n\n")]);
    assert_eq!((request.user, request.service_tier), (Some(Text::plain("u-1")), Some(Text::plain("flex"))));
    assert_eq!((request.tool_choice, request.parallel_tool_calls), (Some(ToolChoice::Named(Text::plain("get"))), Some(false)));
    let reasoning =
        Reasoning { mode: Some(ReasoningMode::Adaptive), effort: Some(Effort::High), budget_tokens: None, summary: Some(false) };
    assert_eq!(request.reasoning, Some(reasoning));
    let Some(OutputFormat::JsonSchema { name, schema, .. }) = &request.output else { panic!("{:?}", request.output) };
    assert_eq!((name.as_ref().unwrap().read(), schema.raw().get()), ("n".into(), r#"{"type": "object"}"#));
    let names: Vec<_> = request.extensions.iter().map(|e| &*e.name).collect();
    let wanted = ["inferenceConfig.new", "additionalModelRequestFields.anthropic_beta", "requestMetadata.team", "guardrailConfig"];
    assert_eq!(names, wanted);
    let system = &request.messages[0];
    assert_eq!((system.role, system.parts.len(), &*system.extensions[0].name), (Role::System, 2, "content[].guardContent"));
    assert!(matches!(system.parts[0], Part::Text { cache: Some(CacheMark { ttl: Some(CacheTtl::Hour1) }), .. }));
    assert!(matches!(&request.tools[0], Tool::Function { strict: Some(true), cache: Some(_), .. }));
    assert!(matches!(&request.tools[1], Tool::Opaque { kind, .. } if kind == "systemTool"));
}

#[test]
fn reads_every_block() {
    let block = |json: &str| {
        let body = format!(r#"{{"messages":[{{"role":"user","content":[{json}]}}]}}"#);
        let message = Bedrock.decode_request(body.as_bytes()).unwrap().messages.remove(0);
        format!("{:?} {:?}", message.parts, message.extensions.iter().map(|e| &*e.name).collect::<Vec<_>>())
    };
    let cases = [
        (r#"{"text":"a\nb","image":null}"#, &["Text", r#"Escaped("a\\nb")"#, "citations: None"][..]),
        (r#"{"image":{"format":"jpeg","source":{"bytes":"QQ=="}}}"#, &["Image", "image/jpeg", "QQ=="]),
        (r#"{"image":{"format":"png","source":{"s3Location":{"uri":"s3://b/k"}}}}"#, &["Image", "Opaque", "s3://b/k"]),
        (
            r#"{"document":{"format":"pdf","name":"a b","source":{"bytes":"QQ=="},"context":"c"}}"#,
            &["Document", "application/pdf", "a b", "context"],
        ),
        (r#"{"document":{"format":"txt","name":"n","source":{"text":"words"}}}"#, &["Document", "Plain", "words"]),
        (r#"{"document":{"format":"txt","name":"n","source":{"content":[{"text":"words"}]}}}"#, &["Document", "Opaque"]),
        (r#"{"video":{"format":"three_gp","source":{"bytes":"QQ=="}}}"#, &["Video", "video/3gpp"]),
        (r#"{"audio":{"format":"wav","source":{"bytes":"QQ=="}}}"#, &["Audio", "audio/wav"]),
        (r#"{"toolUse":{"toolUseId":"t1","name":"f","input":{"a": 1.0}}}"#, &["ToolCall", r#"{\"a\": 1.0}"#, "custom: false"]),
        (r#"{"toolUse":{"toolUseId":"t1","name":"f","type":"tool_use"}}"#, &["ToolCall", "{}"]),
        (r#"{"toolUse":{"toolUseId":"t1","name":"f","input":{},"type":"server_tool_use"}}"#, &["Opaque", "toolUse"]),
        (
            r#"{"toolResult":{"toolUseId":"t1","content":[{"text":"ok"},{"json":{"a": 1}},{"image":{"format":"png","source":{"bytes":"QQ=="}}}],"status":"error"}}"#,
            &["ToolResult", "ok", r#"{\"a\": 1}"#, "Image", "error: true"],
        ),
        (r#"{"toolResult":{"toolUseId":"t1","content":[{"toolResult":{}}]}}"#, &["ToolResult", "Opaque", "error: false"]),
        (r#"{"toolResult":{"toolUseId":"t1","content":[],"type":"nova_code_interpreter_result"}}"#, &["Opaque", "toolResult"]),
        (r#"{"reasoningContent":{"reasoningText":{"text":"hm","signature":"sig"}}}"#, &["Reasoning", "hm", "b3V0cmlkZXIvYmVkcm9jay8vsig"]),
        (r#"{"reasoningContent":{"redactedContent":"QQ=="}}"#, &["RedactedReasoning", "b3V0cmlkZXIvYmVkcm9jay8vQQ=="]),
        (r#"{"text":"a"},{"cachePoint":{"type":"default"}}"#, &["cache: Some(CacheMark { ttl: None })", "[]"]),
        (r#"{"cachePoint":{"type":"default"}},{"text":"a"}"#, &["cache: None", "content[].cachePoint"]),
        (
            r#"{"citationsContent":{"content":[{"text":"a"},{"text":"b"}],"citations":[{"title":"t"}]}}"#,
            &["Plain(\"ab\")", "citations: Some"],
        ),
        (r#"{"guardContent":{"image":{"format":"png","source":{"bytes":"QQ=="}}}}"#, &["Image", "content[].guardContent"]),
        (r#"{"searchResult":{"source":"s","title":"t","content":[]}}"#, &["Opaque", "searchResult"]),
        (r#"{"fromTheFuture":{}}"#, &["Opaque", "fromTheFuture"]),
    ];
    for (json, wanted) in cases {
        let got = block(json);
        for part in wanted {
            assert!(got.contains(part), "{json}: no {part} in {got}");
        }
    }
}

#[test]
fn reads_what_each_family_calls_thinking() {
    let cases = [
        (r#"{"thinking":{"type":"enabled","budget_tokens":2048}}"#, Some((Some(ReasoningMode::Enabled), None, Some(2048)))),
        (r#"{"reasoning_config":{"type":"enabled","budget_tokens":1024}}"#, Some((Some(ReasoningMode::Enabled), None, Some(1024)))),
        (
            r#"{"reasoningConfig":{"type":"enabled","maxReasoningEffort":"low"}}"#,
            Some((Some(ReasoningMode::Enabled), Some(Effort::Low), None)),
        ),
        (r#"{"reasoning_effort":"high"}"#, Some((None, Some(Effort::High), None))),
        (r#"{"thinking":{"type":"later"}}"#, None),
        (r#"{"thinking":{"type":"enabled","new":1}}"#, None),
        (r#"{"reasoning_effort":"ultra"}"#, None),
        (r#"{"output_config":{"effort":"low","x":1}}"#, None),
    ];
    for (fields, wanted) in cases {
        let body = format!(r#"{{"additionalModelRequestFields":{fields},"messages":[{{"role":"user","content":[]}}]}}"#);
        let request = decoded(&body);
        assert_eq!(request.reasoning.map(|r| (r.mode, r.effort, r.budget_tokens)), wanted, "{fields}");
        assert_eq!(request.extensions.len(), usize::from(wanted.is_none()), "{fields}");
    }
    let nova = decoded(r#"{"additionalModelRequestFields":{"inferenceConfig":{"topK":20}},"messages":[{"role":"user","content":[]}]}"#);
    assert_eq!(nova.top_k, Some(Number("20".into())));
}

#[test]
fn names_what_is_wrong_and_where() {
    let with = |member: &str| format!(r#"{{"messages":[{{"role":"user","content":[]}}],{member}}}"#);
    let message = |message: &str| format!(r#"{{"messages":[{{"role":"user","content":[]}},{message}]}}"#);
    let block = |block: &str| message(&format!(r#"{{"role":"user","content":[{block}]}}"#));
    let cases = [
        ("{}".to_owned(), "messages", "Field required"),
        (r#"{"messages":[]}"#.to_owned(), "messages", "at least one"),
        (r#"{"messages":{}}"#.to_owned(), "messages", "expected an array of messages, found an object"),
        (with(r#""system":"be brief""#), "system", "expected an array of system blocks, found a string"),
        (with(r#""inferenceConfig":{"maxTokens":"many"}"#), "inferenceConfig.maxTokens", "expected a whole number, found a string"),
        (with(r#""inferenceConfig":{"stopSequences":["a",1]}"#), "inferenceConfig.stopSequences.1", "expected a string"),
        (with(r#""toolConfig":{"tools":[{}]}"#), "toolConfig.tools.0", "toolSpec"),
        (with(r#""toolConfig":{"tools":[{"toolSpec":{}}]}"#), "toolConfig.tools.0.toolSpec.name", "Field required"),
        (with(r#""toolConfig":{"toolChoice":"auto"}"#), "toolConfig.toolChoice", "expected an object, found a string"),
        (with(r#""serviceTier":"flex""#), "serviceTier", "expected an object"),
        (
            with(r#""outputConfig":{"textFormat":{"type":"json_schema","structure":{"jsonSchema":{"schema":"{oops"}}}}"#),
            "outputConfig.textFormat.structure.jsonSchema.schema",
            "must hold a JSON schema",
        ),
        (message(r#"{"role":"user","content":"hi"}"#), "messages.1.content", "expected an array of content blocks, found a string"),
        (message(r#"{"role":"tool","content":[]}"#), "messages.1.role", "found \"tool\""),
        (message(r#"{"content":[]}"#), "messages.1.role", "Field required"),
        (block("{}"), "messages.1.content.0", "found an empty object"),
        (block(r#"{"text":1}"#), "messages.1.content.0.text", "found a number"),
        (block(r#"{"image":{"format":"png"}}"#), "messages.1.content.0.image.source", "Field required"),
        (block(r#"{"toolUse":{"name":"f"}}"#), "messages.1.content.0.toolUse.toolUseId", "Field required"),
        (block(r#"{"toolResult":{"toolUseId":"t","content":"x"}}"#), "messages.1.content.0.toolResult.content", "expected an array"),
        (block(r#"{"cachePoint":1}"#), "messages.1.content.0.cachePoint", "found a number"),
    ];
    for (body, param, text) in cases {
        let fault = Bedrock.decode_request(body.as_bytes()).unwrap_err();
        assert_eq!((fault.kind, fault.param.as_deref()), (FaultKind::BadRequest, Some(param)), "{body}: {fault}");
        assert!(fault.client_text.contains(text) && fault.client_text.starts_with(param), "{body}: {}", fault.client_text);
    }
    assert_eq!(Bedrock.decode_request(b"[]").unwrap_err().kind, FaultKind::BadRequest);
}
