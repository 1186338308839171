use super::*;
use crate::base::FaultKind;
use crate::base::json::Raw;
use crate::ir::{
    CacheMark, Citations, Dialect, Effort, Extension, MaxTokensName, Media, MediaKind, Message, Number, Reasoning, ReasoningMode, Role,
    Source, Text, Thinking, Tool, ToolChoice,
};

fn decode(body: &str) -> Result<Request<'_>, Fault> {
    OpenAiChat.decode_request(body.as_bytes())
}

/// What is written again means the same, member by member.
#[test]
fn a_request_returns_as_it_came() {
    let bodies = [
        r#"{"model":"m","messages":[{"role":"user","content":"Hi \u00e9\n\ud83d\ude00"}]}"#,
        r#"{"model":"m","messages":[{"role":"system","content":"S"},{"role":"developer","content":"D"},{"role":"user","content":"U","name":"ann"},{"role":"assistant","content":"A"},{"role":"system","content":"later"},{"role":"user","content":""}]}"#,
        r#"{"model":"m","temperature":0,"top_p":0.10,"seed":-7,"presence_penalty":-2,"frequency_penalty":0,"n":2,"stop":["a","b"],"user":"u","service_tier":"flex","messages":[]}"#,
        r#"{"model":"m","max_completion_tokens":0,"reasoning_effort":"xhigh","verbosity":"low","prompt_cache_key":"k","logit_bias":{"1":-100},"logprobs":true,"messages":[]}"#,
        r#"{"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[]}"#,
        r#"{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"https://x/y.png","detail":"low"}},{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBO+/=="}},{"type":"input_audio","input_audio":{"data":"UklG","format":"wav"}},{"type":"input_audio","input_audio":{"data":"SUQz","format":"mp3"}},{"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,JVBE"}},{"type":"file","file":{"file_id":"file-1"}},{"type":"video_url","video_url":{"url":"https://x/v.mp4"}}]}]}"#,
        r#"{"model":"m","messages":[{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\":\"\\u00e9\"}"}},{"id":"c2","type":"custom","custom":{"name":"g","input":"raw text"}}]},{"role":"tool","tool_call_id":"c1","content":"r1"},{"role":"tool","tool_call_id":"c2","content":[{"type":"text","text":"r2a"},{"type":"text","text":"r2b"}]},{"role":"user","content":"go on"}]}"#,
        r#"{"model":"m","messages":[{"role":"assistant","content":"so","reasoning_content":"hmm","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"not json"}}]},{"role":"assistant","content":null,"refusal":"no"}]}"#,
        r#"{"model":"m","messages":[],"tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object","properties":{"a":{"type":"number","minimum":1.0}}},"strict":true}},{"type":"function","function":{"name":"bare"}},{"type":"custom","custom":{"name":"g","description":"d","format":{"type":"grammar","grammar":{"syntax":"lark","definition":"start: /a/"}}}},{"type":"openrouter:web_search","parameters":{}}],"tool_choice":{"type":"function","function":{"name":"f"}},"parallel_tool_calls":false}"#,
        r#"{"model":"m","messages":[],"tools":[{"type":"function","function":{"name":"f"}},{"type":"custom","custom":{"name":"g"}}],"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[{"type":"function","function":{"name":"f"}},{"type":"custom","custom":{"name":"g"}}]}}}"#,
        r#"{"model":"m","messages":[],"response_format":{"type":"json_schema","json_schema":{"name":"n","description":"d","schema":{"type":"object"},"strict":true}}}"#,
        r#"{"model":"m","messages":[],"response_format":{"type":"grammar","grammar":"x"},"tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":{"type":"web_search"}}"#,
        r#"{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"a","prompt_cache_breakpoint":{"mode":"explicit","ttl":"12h"}}]}]}"#,
    ];
    for body in bodies {
        let request = decode(body).unwrap();
        let (out, notes) = written(&request, &traits()).unwrap();
        assert_eq!(out, value(body.as_bytes()), "{body}");
        assert!(notes.losses.is_empty(), "{body}: {:?}", notes.losses);
    }
}

/// Spellings that mean the same become one.
#[test]
fn older_and_looser_forms_are_understood() {
    let cases = [
        (
            r#"{"model":"m","messages":[],"max_tokens":5,"stop":"x","user":null,"temperature":null,"logprobs":false,"store":false,"foo":null}"#,
            json!({"model":"m","messages":[],"max_completion_tokens":5,"stop":["x"]}),
        ),
        (
            r#"{"model":"m","max_tokens":5,"max_completion_tokens":6,"safety_identifier":"s","messages":[]}"#,
            json!({"model":"m","messages":[],"max_completion_tokens":6,"user":"s"}),
        ),
        (
            r#"{"model":"m","safety_identifier":"s","user":"u","messages":[]}"#,
            json!({"model":"m","messages":[],"user":"u","safety_identifier":"s"}),
        ),
        (
            r#"{"model":"m","functions":[{"name":"f","parameters":{"type":"object","properties":{}}}],"function_call":{"name":"f"},"messages":[{"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{}"}},{"role":"function","name":"f","content":"r"}]}"#,
            json!({"model":"m",
                "tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{}}}}],
                "tool_choice":{"type":"function","function":{"name":"f"}},
                "messages":[
                    {"role":"assistant","content":null,"tool_calls":[{"id":"call_0","type":"function","function":{"name":"f","arguments":"{}"}}]},
                    {"role":"tool","tool_call_id":"call_0","content":"r"}]}),
        ),
        (
            r#"{"model":"m","messages":[{"role":"assistant","content":"","annotations":[],"audio":null,"function_call":null,"refusal":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":{"a":1}}}]}]}"#,
            json!({"model":"m","messages":[{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]}]}),
        ),
        (
            r#"{"model":"m","messages":[{"role":"assistant","content":"","tool_calls":[]},{"role":"assistant","content":null},{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"f","arguments":""}}]}]}"#,
            json!({"model":"m","messages":[{"role":"assistant","content":""},{"role":"assistant","content":""},
                {"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]}]}),
        ),
        (
            r#"{"model":"m","messages":[],"tools":[{"type":"function","name":"f","parameters":{"type":"object"}}],"tool_choice":{"type":"function","name":"f"}}"#,
            json!({"model":"m","messages":[],"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{}}}}],
                "tool_choice":{"type":"function","function":{"name":"f"}}}),
        ),
        (
            r#"{"model":"m","messages":[],"tools":[],"tool_choice":"auto","parallel_tool_calls":true,"service_tier":"auto","modalities":["text"]}"#,
            json!({"model":"m","messages":[]}),
        ),
        (
            r#"{"model":"m","messages":[],"reasoning":{"max_tokens":5000},"response_format":{"type":"json_object"}}"#,
            json!({"model":"m","messages":[],"reasoning_effort":"high","response_format":{"type":"json_object"}}),
        ),
        (r#"{"model":"m","messages":[],"thinking":{"type":"disabled"}}"#, json!({"model":"m","messages":[],"reasoning_effort":"none"})),
    ];
    for (body, expected) in cases {
        assert_eq!(written(&decode(body).unwrap(), &traits()).unwrap().0, expected, "{body}");
    }
}

#[test]
fn tool_results_next_to_each_other_are_one_turn() {
    let request = decode(
        r#"{"model":"m","messages":[{"role":"tool","tool_call_id":"a","content":"1"},{"role":"tool","tool_call_id":"b","content":null},{"role":"user","content":"x"},{"role":"tool","tool_call_id":"c","content":"3","cache_control":{"type":"ephemeral","ttl":"1h"}}]}"#,
    )
    .unwrap();
    let shape: Vec<_> = request.messages.iter().map(|m| (m.role, m.parts.len())).collect();
    assert_eq!(shape, [(Role::User, 2), (Role::User, 1), (Role::User, 1)]);
    assert!(matches!(&request.messages[2].parts[0], Part::ToolResult { cache: Some(CacheMark { ttl: Some(_) }), .. }));
}

#[test]
fn thinking_comes_first_and_its_proof_wins_over_the_bare_text() {
    let request = decode(
        r#"{"model":"m","messages":[{"role":"assistant","content":"c","reasoning_content":"t","thinking_blocks":[{"type":"thinking","thinking":"t","signature":"s"},{"type":"redacted_thinking","data":"d"}]},{"role":"assistant","content":[{"type":"thinking","thinking":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}],"reasoning":"r"}]}"#,
    )
    .unwrap();
    let parts = &request.messages[0].parts;
    assert!(matches!(&parts[0], Part::Reasoning { text, signature: Some(s) } if text.is("t") && s.is("s")));
    assert!(matches!(&parts[1], Part::RedactedReasoning(d) if d.is("d")));
    assert!(matches!(&parts[2], Part::Text { .. }));
    let parts = &request.messages[1].parts;
    assert!(matches!(&parts[0], Part::Reasoning { text, .. } if text.is("r")));
    assert!(matches!(&parts[1], Part::Reasoning { text, .. } if text.is("ab")));
}

#[test]
fn data_urls_are_cut_inside_their_escapes() {
    let cases = [
        ("data:image/png;base64,AA+/", Some(("image/png", "AA+/"))),
        (r"data:image\/png;base64,AA\/\/", Some(("image/png", "AA//"))),
        (r"\u0064ata:image\/gif;base64,AA", Some(("image/gif", "AA"))),
        ("DATA:image/webp;name=x;BASE64,AA", Some(("image/webp", "AA"))),
        ("data:;base64,AA", Some(("text/plain", "AA"))),
        ("data:text/plain,hello", None),
        ("data:base64,AA", None),
        (r"https:\/\/x\/y", None),
        ("é", None),
    ];
    for (inner, expected) in cases {
        let got = crate::dialect::openai::read::source(inner);
        match (&got, expected) {
            (Source::Base64 { media_type, data }, Some((kind, text))) => assert!(media_type.is(kind) && data.is(text), "{inner}: {got:?}"),
            (Source::Url(url), None) => assert_eq!(url.read(), Text::Escaped(inner).read()),
            _ => panic!("{inner}: {got:?}"),
        }
    }
}

#[test]
fn a_wrong_type_is_told_with_its_place() {
    let cases = [
        (r#"[1]"#, "", "the body: expected an object, found an array"),
        (r#"{"messages":[]}"#, "model", "model: expected the name of a model, found nothing"),
        (r#"{"model":"m"}"#, "messages", "messages: expected an array of messages, found nothing"),
        (r#"{"model":7,"messages":[]}"#, "model", "model: expected a string, found a number"),
        (r#"{"model":"m","messages":{}}"#, "messages", "messages: expected an array of messages, found an object"),
        (
            r#"{"model":"m","messages":[{"role":"user","content":"a"},3]}"#,
            "messages[1]",
            "messages[1]: expected a message (an object), found a number",
        ),
        (r#"{"model":"m","messages":[{"content":"a"}]}"#, "messages[0].role", "messages[0].role: expected a string, found nothing"),
        (
            r#"{"model":"m","messages":[{"role":"user","content":5}]}"#,
            "messages[0].content",
            "messages[0].content: expected a string or an array of parts, found a number",
        ),
        (
            r#"{"model":"m","messages":[{"role":"user","content":[{"type":"text"}]}]}"#,
            "messages[0].content[0].text",
            "messages[0].content[0].text: expected a string, found nothing",
        ),
        (
            r#"{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":null}}]}]}"#,
            "messages[0].content[0].image_url.url",
            "messages[0].content[0].image_url.url: expected a string, found nothing",
        ),
        (
            r#"{"model":"m","messages":[{"role":"tool","content":"x"}]}"#,
            "messages[0].tool_call_id",
            "messages[0].tool_call_id: expected the id of a tool call, found nothing",
        ),
        (
            r#"{"model":"m","messages":[{"role":"assistant","tool_calls":[{"id":"c","function":{"arguments":"{}"}}]}]}"#,
            "messages[0].tool_calls[0].function.name",
            "messages[0].tool_calls[0].function.name: expected a string, found nothing",
        ),
        (r#"{"model":"m","messages":[],"temperature":"hot"}"#, "temperature", "temperature: expected a number, found a string"),
        (r#"{"model":"m","messages":[],"max_tokens":-1}"#, "max_tokens", "max_tokens: expected a whole number, 0 or more, found a number"),
        (r#"{"model":"m","messages":[],"stop":[1]}"#, "stop[0]", "stop[0]: expected a string, found a number"),
        (
            r#"{"model":"m","messages":[],"tools":[{"type":"function","function":{}}]}"#,
            "tools[0].function.name",
            "tools[0].function.name: expected a string, found nothing",
        ),
        (
            r#"{"model":"m","messages":[],"stream_options":{"include_usage":1}}"#,
            "stream_options.include_usage",
            "stream_options.include_usage: expected true or false, found a number",
        ),
    ];
    for (body, param, text) in cases {
        let fault = decode(body).unwrap_err();
        assert_eq!(fault.kind, FaultKind::BadRequest, "{body}");
        assert_eq!(fault.param.as_deref().unwrap_or(""), param, "{body}");
        assert_eq!(fault.client_text, text, "{body}");
    }
    let fault = decode(r#"{"model":"m","messages":[{"role":"wizard"}]}"#).unwrap_err();
    assert!(fault.client_text.contains("messages[0].role") && fault.client_text.contains("`wizard`"), "{fault}");
}

/// A turn as an Anthropic caller would send it.
fn anthropic_request() -> Request<'static> {
    let mark = Some(CacheMark { ttl: None });
    let text = |t: &'static str| Part::text(Text::plain(t));
    Request {
        model: "m".into(),
        messages: vec![
            Message::new(Role::System, vec![text("one"), Part::Text { text: Text::plain("two"), citations: None, cache: mark }]),
            Message::new(Role::User, vec![text("go")]),
            Message::new(
                Role::Assistant,
                vec![
                    Part::Reasoning { text: Text::plain("hm"), signature: Some(Text::plain("sig")) },
                    Part::Text {
                        text: Text::plain("It is "),
                        citations: Some(Citations { dialect: Dialect::Anthropic, raw: Raw::literal("[]") }),
                        cache: None,
                    },
                    text("here."),
                    Part::Opaque { dialect: Dialect::Anthropic, kind: "server_tool_use".into(), raw: Raw::literal("{}") },
                    Part::ToolCall {
                        id: Text::plain("t1"),
                        name: Text::plain("srv.read"),
                        arguments: Text::plain("{\"p\":\"a\\nb\"}"),
                        custom: false,
                        cache: mark,
                    },
                    Part::ToolCall { id: Text::plain("t2"), name: Text::plain("list"), arguments: Text::EMPTY, custom: false, cache: None },
                ],
            ),
            Message::new(
                Role::User,
                vec![
                    Part::ToolResult {
                        id: Text::plain("t1"),
                        parts: vec![
                            text("see"),
                            Part::Media(Media {
                                kind: MediaKind::Image,
                                source: Source::Base64 { media_type: Text::plain("image/png"), data: Text::plain("AAAA") },
                                title: None,
                                detail: None,
                                extensions: Vec::new(),
                                cache: None,
                            }),
                        ],
                        error: false,
                        cache: None,
                    },
                    Part::ToolResult { id: Text::plain("t2"), parts: vec![text("no such dir")], error: true, cache: mark },
                    text("next?"),
                ],
            ),
        ],
        tools: vec![
            Tool::Function {
                name: Text::plain("srv.read"),
                description: None,
                parameters: Some(Raw::literal(r#"{"type":"object"}"#).into()),
                strict: None,
                cache: mark,
                extensions: vec![Extension { dialect: Dialect::Anthropic, name: "defer_loading".into(), value: Raw::literal("true") }],
            },
            Tool::Function {
                name: Text::plain("list"),
                description: None,
                parameters: None,
                strict: None,
                cache: None,
                extensions: Vec::new(),
            },
        ],
        tool_choice: Some(ToolChoice::Named(Text::plain("srv.read"))),
        top_k: Some(Number("40".into())),
        stop: ["a", "b", "c", "d", "e"].map(Text::plain).into(),
        reasoning: Some(Reasoning { mode: Some(ReasoningMode::Enabled), budget_tokens: Some(2048), ..Reasoning::default() }),
        output_tokens_max: Some(100),
        stream: true,
        service_tier: Some(Text::plain("standard_only")),
        extensions: vec![Extension { dialect: Dialect::Anthropic, name: "container".into(), value: Raw::literal("\"c\"") }],
        ..Request::default()
    }
}

#[test]
fn an_anthropic_turn_is_said_in_this_dialect() {
    let (out, notes) = written(&anthropic_request(), &ModelTraits::default()).unwrap();
    let expected = json!({
        "model": "m",
        "messages": [
            {"role":"system","content":[{"type":"text","text":"one"},{"type":"text","text":"two"}]},
            {"role":"user","content":"go"},
            {"role":"assistant","content":"It is here.","tool_calls":[
                {"id":"t1","type":"function","function":{"name":"srv_read","arguments":"{\"p\":\"a\\nb\"}"}},
                {"id":"t2","type":"function","function":{"name":"list","arguments":"{}"}}]},
            {"role":"tool","tool_call_id":"t1","content":[{"type":"text","text":"see"},{"type":"text","text":"[the tool returned a file: it is in the next user message]"}]},
            {"role":"tool","tool_call_id":"t2","content":"Error: no such dir"},
            {"role":"user","content":[{"type":"text","text":"From the tool call t1:"},
                {"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}},{"type":"text","text":"next?"}]}
        ],
        "tools": [
            {"type":"function","function":{"name":"srv_read","parameters":{"type":"object","properties":{}}}},
            {"type":"function","function":{"name":"list"}}],
        "tool_choice": {"type":"function","function":{"name":"srv_read"}},
        "stop": ["a","b","c","d"],
        "reasoning_effort": "medium",
        "max_completion_tokens": 100,
        "stream": true,
        "stream_options": {"include_usage": true}
    });
    assert_eq!(out, expected);
    let mut losses: Vec<_> = notes.losses.names().iter().map(|n| n.as_ref()).collect();
    losses.sort_unstable();
    let mut named = [
        "cache_control",
        "container",
        "messages[].content[].citations",
        "messages[].content[].server_tool_use",
        "messages[].reasoning",
        "service_tier",
        "stop",
        "tools[].defer_loading",
        "top_k",
    ];
    named.sort_unstable();
    assert_eq!(losses, named);
    assert_eq!(notes.tools.restore("srv_read"), Some(("srv.read", false)));
}

#[test]
fn the_targets_traits_are_kept() {
    let mut request = decode(
        r#"{"model":"m","messages":[{"role":"developer","content":"d"},{"role":"assistant","content":"a","reasoning_content":"r"}],"temperature":0.5,"top_p":1,"max_tokens":9,"reasoning_effort":"high","tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"required","response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{}}}}"#,
    )
    .unwrap();
    let traits = ModelTraits {
        sampling: false,
        thinking: Thinking::Unsupported,
        forced_tool: false,
        structured_output: false,
        max_tokens_name: MaxTokensName::MaxTokens,
        developer_role: false,
        ..ModelTraits::default()
    };
    let (out, notes) = written(&request, &traits).unwrap();
    assert_eq!(
        out,
        json!({"model":"m","messages":[{"role":"system","content":"d"},{"role":"assistant","content":"a"}],"max_tokens":9,
            "tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"auto","response_format":{"type":"json_object"}})
    );
    let names: Vec<_> = notes.losses.names().iter().map(|n| n.as_ref()).collect();
    assert_eq!(names, ["messages[].reasoning", "tool_choice", "temperature", "response_format.json_schema", "reasoning"]);

    let efforts = [
        (Reasoning { mode: Some(ReasoningMode::Disabled), ..Reasoning::default() }, Thinking::Adaptive, Some("none")),
        (Reasoning { mode: Some(ReasoningMode::Disabled), ..Reasoning::default() }, Thinking::Always, Some("low")),
        (Reasoning { mode: Some(ReasoningMode::Disabled), ..Reasoning::default() }, Thinking::Unsupported, None),
        (Reasoning { mode: Some(ReasoningMode::Adaptive), ..Reasoning::default() }, Thinking::Adaptive, None),
        (
            Reasoning { mode: Some(ReasoningMode::Adaptive), effort: Some(Effort::Max), ..Reasoning::default() },
            Thinking::Always,
            Some("max"),
        ),
        (Reasoning { budget_tokens: Some(1024), ..Reasoning::default() }, Thinking::Adaptive, Some("low")),
        (Reasoning { budget_tokens: Some(4096), ..Reasoning::default() }, Thinking::Adaptive, Some("high")),
        (Reasoning { budget_tokens: Some(8192), ..Reasoning::default() }, Thinking::Adaptive, Some("xhigh")),
    ];
    for (reasoning, thinking, word) in efforts {
        request.reasoning = Some(reasoning);
        let (out, _) = written(&request, &ModelTraits { thinking, ..ModelTraits::default() }).unwrap();
        assert_eq!(out.get("reasoning_effort").and_then(Value::as_str), word, "{reasoning:?} {thinking:?}");
    }
}

#[test]
fn what_would_change_the_meaning_is_refused() {
    let media = |kind, source| {
        let media = Media { kind, source, title: None, detail: None, extensions: Vec::new(), cache: None };
        Request { messages: vec![Message::new(Role::User, vec![Part::Media(media)])], ..Request::default() }
    };
    let file = || Source::FileId { dialect: Dialect::Anthropic, id: Text::plain("file_1") };
    let tool = Tool::Opaque { dialect: Dialect::Anthropic, kind: "web_search_20250305".into(), raw: Raw::literal("{}") };
    let cases = [
        (media(MediaKind::Image, file()), "messages[].content[]", "uploaded to another provider"),
        (media(MediaKind::Document, Source::Url(Text::plain("https://x"))), "messages[].content[]", "document by its address"),
        (Request { tools: vec![tool], ..Request::default() }, "tools", "web_search_20250305"),
    ];
    for (request, param, text) in cases {
        let fault = written(&request, &ModelTraits::default()).unwrap_err();
        assert_eq!((fault.kind, fault.param.as_deref()), (FaultKind::Unsupported, Some(param)), "{fault}");
        assert!(fault.client_text.contains(text), "{fault}");
    }
}

#[test]
fn documents_are_said_as_files_or_words() {
    let document = |source, title: Option<&'static str>| {
        let title = title.map(Text::plain);
        let media = Media { kind: MediaKind::Document, source, title, detail: None, extensions: Vec::new(), cache: None };
        let request = Request { messages: vec![Message::new(Role::User, vec![Part::Media(media)])], ..Request::default() };
        written(&request, &ModelTraits::default()).unwrap().0["messages"][0]["content"][0].clone()
    };
    assert_eq!(document(Source::Plain(Text::plain("words")), None), json!({"type":"text","text":"words"}));
    let pdf = Source::Base64 { media_type: Text::plain("application/pdf"), data: Text::plain("JV") };
    assert_eq!(
        document(pdf.clone(), Some("a.pdf")),
        json!({"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,JV"}})
    );
    assert_eq!(document(pdf, None)["file"]["filename"], "document.pdf");
}

/// Law: texts move in the spelling they came in, lone surrogates and all.
#[test]
fn texts_keep_their_spelling() {
    let spelled = r#""\ud83d \/ \u00e9 é""#;
    let body = format!(r#"{{"model":"m","temperature":1.50,"messages":[{{"role":"user","content":{spelled}}}]}}"#);
    let request = decode(&body).unwrap();
    let (mut notes, mut out) = (Notes::default(), Vec::new());
    OpenAiChat.encode_request(&request, "m", &traits(), &mut notes, &mut out).unwrap();
    let out = String::from_utf8(out).unwrap();
    assert!(out.contains(spelled) && out.contains("\"temperature\":1.50"), "{out}");
}

#[test]
fn a_renamed_tool_never_meets_another() {
    let body = r#"{"model":"m","messages":[{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"a.b","arguments":"{}"}}]}],"tools":[{"type":"function","function":{"name":"a.b"}},{"type":"function","function":{"name":"a_b"}}],"tool_choice":{"type":"function","function":{"name":"a.b"}}}"#;
    let (out, notes) = written(&decode(body).unwrap(), &traits()).unwrap();
    assert_eq!(out["messages"][0]["tool_calls"][0]["function"]["name"], "a_b_2");
    assert_eq!(out["tools"][0]["function"]["name"], "a_b_2");
    assert_eq!(out["tools"][1]["function"]["name"], "a_b");
    assert_eq!(out["tool_choice"]["function"]["name"], "a_b_2");
    assert_eq!(notes.tools.restore("a_b"), Some(("a_b", false)));
}

#[test]
fn hosts_that_differ_are_written_to_as_they_want() {
    let call = |id: &str| json!({"role": "assistant", "content": null, "tool_calls": [{"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}}]});
    let result = |id: &str| json!({"role": "tool", "tool_call_id": id, "content": "x"});
    let ids = ["call_0123456789abcdef", "Abc012xyZ", "toolu_é", "call-12_3"];
    let messages: Vec<Value> = ids.iter().flat_map(|id| [call(id), result(id)]).collect();
    let body = json!({"model": "m", "stream": true, "seed": 7, "messages": messages}).to_string();
    let request = OpenAiChat.decode_request(body.as_bytes()).unwrap();

    let (usual, _) = written(&request, &traits()).unwrap();
    assert_eq!((&usual["seed"], usual.get("random_seed")), (&json!(7), None));
    assert_eq!(usual["stream_options"], json!({"include_usage": true}));
    assert_eq!(usual["messages"][0]["tool_calls"][0]["id"], ids[0]);

    let differing = ModelTraits { stream_options: false, random_seed: true, short_call_ids: true, ..traits() };
    let (differs, notes) = written(&request, &differing).unwrap();
    assert_eq!((&differs["random_seed"], differs.get("seed"), differs.get("stream_options")), (&json!(7), None, None));
    assert!(notes.losses.is_empty());
    let mut seen = Vec::new();
    for pair in differs["messages"].as_array().unwrap().chunks(2) {
        let id = pair[0]["tool_calls"][0]["id"].as_str().unwrap();
        assert_eq!(pair[1]["tool_call_id"], id, "a result names its call");
        assert!(id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
        assert!(!seen.contains(&id));
        seen.push(id);
    }
    assert_eq!(seen[1], ids[1], "one that fits stays");
}

#[test]
fn top_k_goes_where_it_is_known() {
    let body = br#"{"model":"claude-x","max_tokens":5,"top_k":40,"messages":[{"role":"user","content":"hi"}]}"#;
    let request = crate::dialect::anthropic::Anthropic.decode_request(body).unwrap();
    let (usual, notes) = written(&request, &traits()).unwrap();
    assert_eq!((usual.get("top_k"), notes.losses.names()), (None, &["top_k".into()][..]));
    let (known, notes) = written(&request, &ModelTraits { top_k: true, ..traits() }).unwrap();
    assert_eq!((&known["top_k"], notes.losses.is_empty()), (&json!(40), true));
}
