//! Requests, written.

use serde_json::{Value, json};

use super::super::Gemini;
use super::decode::RICH;
use super::encoded;
use crate::base::FaultKind;
use crate::base::json::Raw;
use crate::dialect::tests::{call, losses};
use crate::dialect::{Codec, Notes};
use crate::ir::{
    CacheMark, Dialect, Effort, Extension, Media, MediaKind, Message, ModelTraits, Number, Operation, OutputFormat, Part, Reasoning,
    ReasoningMode, Request, Role, Source, Text, Thinking, Tool, ToolChoice, proof,
};

fn text(words: &str) -> Part<'_> {
    Part::text(Text::plain(words))
}

fn result<'a>(id: &'a str, parts: Vec<Part<'a>>, error: bool) -> Part<'a> {
    Part::ToolResult { id: Text::plain(id), parts, error, cache: None }
}

fn function(name: &str) -> Tool<'_> {
    let parameters = Some(Raw::literal(r##"{"type":"object","properties":{"a":{"$ref":"#/$defs/x"}}}"##).into());
    Tool::Function { name: Text::plain(name), description: None, parameters, strict: None, cache: None, extensions: vec![] }
}

fn signed<'a>(words: &'a str, wire: &'a str) -> Part<'a> {
    Part::Reasoning { text: Text::plain(words), signature: Some(proof::read(Dialect::Gemini, Text::plain(wire))) }
}

/// A request of these turns.
fn conversation(turns: Vec<(Role, Vec<Part<'_>>)>) -> Request<'_> {
    Request { messages: turns.into_iter().map(|(role, parts)| Message::new(role, parts)).collect(), ..Request::default() }
}

fn contents(request: &Request<'_>) -> Value {
    encoded(request, &ModelTraits::default()).0["contents"].clone()
}

#[test]
fn writes_a_rich_request_again() {
    let request = Gemini.decode_request(RICH.as_bytes()).unwrap();
    let (body, notes) = encoded(&request, &ModelTraits { thinking: Thinking::Budget, ..ModelTraits::default() });
    let wanted = json!({
        "systemInstruction": {"parts": [{"text": "Be éxact."}, {"text": "Always."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "look"}, {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
                {"fileData": {"mimeType": "application/pdf", "fileUri": "https://x.test/a.pdf"}},
                {"fileData": {"mimeType": "video/mp4", "fileUri": "https://generativelanguage.googleapis.com/v1beta/files/abc"}, "videoMetadata": {"fps": 2}}]},
            {"role": "model", "parts": [{"text": "ok", "thoughtSignature": "c2ln"},
                {"functionCall": {"name": "f", "args": {"a": 1.5}}, "thoughtSignature": "c2lnMg=="},
                {"functionCall": {"name": "f", "args": {"a": 2}}}, {"functionCall": {"name": "g", "args": {}}},
                {"executableCode": {"language": "PYTHON", "code": "1"}}]},
            {"role": "user", "parts": [
                {"functionResponse": {"name": "f", "response": {"result": "one"}}},
                {"functionResponse": {"name": "f", "response": {"b": 2}, "parts": [{"inlineData": {"mimeType": "image/png", "data": "BBBB"}}]}},
                {"functionResponse": {"name": "g", "response": {"error": "no"}}},
                {"functionResponse": {"name": "call_of_h", "response": {"x": 1, "y": 2}}}]}
        ],
        "tools": [
            {"functionDeclarations": [
                {"name": "f", "description": "d", "parametersJsonSchema": {"type": "object", "properties": {"a": {"type": ["number", "null"]}}}},
                {"name": "g", "parametersJsonSchema": {"type": "object"}, "behavior": "BLOCKING"}]},
            {"googleSearch": {}}
        ],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f", "g"]}, "retrievalConfig": {"a": 1}},
        "generationConfig": {"temperature": 0.7, "topP": 1, "topK": 40, "maxOutputTokens": 99, "stopSequences": ["END"], "seed": 7,
            "presencePenalty": 0.5, "frequencyPenalty": 0.25, "candidateCount": 1, "responseMimeType": "application/json",
            "responseJsonSchema": {"type": "string"}, "thinkingConfig": {"thinkingBudget": 98, "includeThoughts": true},
            "mediaResolution": "MEDIA_RESOLUTION_LOW"},
        "serviceTier": "flex", "safetySettings": [{"category": "c"}], "labels": {"a": "b"}, "cachedContent": "cachedContents/1"
    });
    assert_eq!(body, wanted);
    assert_eq!(losses(&notes), ["messages[].reasoning"]);
}

#[test]
fn orders_the_conversation() {
    use Role::{Assistant, Developer, System, User};
    let request = conversation(vec![
        (System, vec![text("s")]),
        (Developer, vec![text("d")]),
        (Assistant, vec![text("hello")]),
        (User, vec![text("a")]),
        (User, vec![text("b")]),
        (Assistant, vec![]),
        (System, vec![text("now")]),
        (Assistant, vec![text("c"), Part::Refusal(Text::plain("no"))]),
    ]);
    let (body, notes) = encoded(&request, &ModelTraits::default());
    assert_eq!(body["systemInstruction"], json!({"parts": [{"text": "s"}, {"text": "d"}]}));
    assert_eq!(
        body["contents"],
        json!([
            {"role": "user", "parts": [{"text": " "}]},
            {"role": "model", "parts": [{"text": "hello"}]},
            {"role": "user", "parts": [{"text": "a"}, {"text": "b"}]},
            {"role": "model", "parts": [{"text": " "}]},
            {"role": "user", "parts": [{"text": "now"}]},
            {"role": "model", "parts": [{"text": "c"}, {"text": "no"}]},
        ])
    );
    assert_eq!(losses(&notes), ["messages[].system"]);
    for turns in [vec![], vec![(System, vec![text("s")])]] {
        assert_eq!(contents(&conversation(turns)), json!([{"role": "user", "parts": [{"text": " "}]}]));
    }
}

#[test]
fn pairs_results_with_their_calls() {
    use Role::{Assistant, User};
    let image = || {
        let source = Source::Base64 { media_type: Text::plain("image/jpg"), data: Text::plain("AA") };
        Part::Media(Media { kind: MediaKind::Image, source, title: None, detail: None, extensions: vec![], cache: None })
    };
    let request = conversation(vec![
        (User, vec![text("q")]),
        (Assistant, vec![signed("", "s1"), call("a", "f", "{\"x\": 1}"), call("b", "g", ""), call("c", "h", "[1")]),
        (User, vec![text("more"), result("c", vec![], false), result("b", vec![text("bad"), text("!")], true)]),
        (User, vec![result("a", vec![text("{\"ok\":true}"), image()], false), result("z", vec![text("{\"a\":{\"$ref\":\"x\"}}")], false)]),
    ]);
    assert_eq!(
        contents(&request).as_array().unwrap()[1..],
        [
            json!({"role": "model", "parts": [
                {"functionCall": {"name": "f", "args": {"x": 1}}, "thoughtSignature": "s1"},
                {"functionCall": {"name": "g", "args": {}}},
                {"functionCall": {"name": "h", "args": {"_raw": "[1"}}}]}),
            json!({"role": "user", "parts": [
                {"functionResponse": {"name": "f", "response": {"ok": true}, "parts": [{"inlineData": {"mimeType": "image/jpeg", "data": "AA"}}]}},
                {"functionResponse": {"name": "g", "response": {"error": "bad!"}}},
                {"functionResponse": {"name": "h", "response": {"result": ""}}},
                {"functionResponse": {"name": "z", "response": {"result": "{\"a\":{\"$ref\":\"x\"}}"}}},
                {"text": "more"}]}),
        ]
    );
}

#[test]
fn signatures_stand_where_the_api_looks() {
    use Role::{Assistant, User};
    let foreign = || Part::Reasoning { text: Text::EMPTY, signature: Some(Text::plain("anthropic's")) };
    const NONE: &str = "skip_thought_signature_validator";
    let cases: Vec<(&str, Vec<Part<'_>>, Value)> = vec![
        ("on a text", vec![signed("", "s"), text("t")], json!([{"text": "t", "thoughtSignature": "s"}])),
        (
            "on a thought",
            vec![signed("hm", "s"), text("t")],
            json!([{"text": "hm", "thought": true, "thoughtSignature": "s"}, {"text": "t"}]),
        ),
        ("alone", vec![text("t"), signed("", "s")], json!([{"text": "t"}, {"text": "", "thoughtSignature": "s"}])),
        (
            "on the call, not on the text between",
            vec![signed("", "s"), text("t"), call("a", "f", "{}")],
            json!([{"text": "t"}, {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "s"}]),
        ),
        (
            "each on its own, moved to the front",
            vec![signed("", "s1"), signed("", "s2"), text("t"), call("a", "f", "{}"), call("b", "f", "{}")],
            json!([{"text": "t", "thoughtSignature": "s1"}, {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "s2"},
                {"functionCall": {"name": "f", "args": {}}}]),
        ),
        (
            "each on its own, in place",
            vec![signed("", "s1"), text("t"), signed("", "s2"), call("a", "f", "{}"), text("u"), signed("", "s3"), call("b", "f", "{}")],
            json!([{"text": "t", "thoughtSignature": "s1"}, {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "s2"}, {"text": "u"},
                {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "s3"}]),
        ),
        (
            "a stranger's",
            vec![foreign(), call("a", "f", "{}"), call("b", "f", "{}")],
            json!([{"functionCall": {"name": "f", "args": {}}, "thoughtSignature": NONE}, {"functionCall": {"name": "f", "args": {}}}]),
        ),
        (
            "of a thought without words that is redacted",
            vec![Part::RedactedReasoning(proof::read(Dialect::Gemini, Text::plain("s"))), call("a", "f", "{}")],
            json!([{"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "s"}]),
        ),
    ];
    for (case, parts, wanted) in cases {
        let request = conversation(vec![(User, vec![text("q")]), (Assistant, parts)]);
        assert_eq!(contents(&request)[1]["parts"], wanted, "{case}");
    }
}

#[test]
fn only_calls_of_the_current_turn_need_a_signature() {
    use Role::{Assistant, User};
    let turns = || {
        vec![
            (User, vec![text("q")]),
            (Assistant, vec![call("a", "f", "{}")]),
            (User, vec![result("a", vec![], false)]),
            (Assistant, vec![text("so")]),
            (User, vec![text("r")]),
            (Assistant, vec![call("b", "f", "{}")]),
            (User, vec![result("b", vec![], false), text("note")]),
            (Assistant, vec![call("c", "f", "{}")]),
            (User, vec![result("c", vec![], false)]),
        ]
    };
    let request = conversation(turns());
    let signed = |body: &Value| [1, 5, 7].map(|i| body["contents"][i]["parts"][0]["thoughtSignature"].is_string());
    assert_eq!(signed(&encoded(&request, &ModelTraits::default()).0), [false, true, true]);
    for thinking in [Thinking::Budget, Thinking::Unsupported] {
        assert_eq!(signed(&encoded(&request, &ModelTraits { thinking, ..ModelTraits::default() }).0), [false; 3]);
    }
}

#[test]
fn thinking_is_asked_for_in_the_models_words() {
    let effort = |effort| Reasoning { effort: Some(effort), ..Reasoning::default() };
    let mode = |mode| Reasoning { mode: Some(mode), ..Reasoning::default() };
    let budget = |tokens| Reasoning { budget_tokens: Some(tokens), mode: Some(ReasoningMode::Enabled), ..Reasoning::default() };
    use Thinking::{Adaptive, Always, Budget, Unsupported};
    let cases = [
        (Adaptive, effort(Effort::Low), json!({"thinkingLevel": "LOW", "includeThoughts": true}), false),
        (Adaptive, effort(Effort::Minimal), json!({"thinkingLevel": "MINIMAL", "includeThoughts": true}), false),
        (Adaptive, effort(Effort::None), json!({"thinkingLevel": "MINIMAL", "includeThoughts": false}), false),
        (Adaptive, effort(Effort::Max), json!({"thinkingLevel": "HIGH", "includeThoughts": true}), true),
        (Adaptive, mode(ReasoningMode::Adaptive), json!({"includeThoughts": true}), false),
        (Adaptive, budget(2048), json!({"thinkingLevel": "MEDIUM", "includeThoughts": true}), false),
        (Adaptive, Reasoning { summary: Some(true), ..Reasoning::default() }, json!({"includeThoughts": true}), false),
        (
            Adaptive,
            Reasoning { summary: Some(false), ..effort(Effort::High) },
            json!({"thinkingLevel": "HIGH", "includeThoughts": false}),
            false,
        ),
        (Always, effort(Effort::Minimal), json!({"thinkingLevel": "LOW", "includeThoughts": true}), false),
        (Always, mode(ReasoningMode::Disabled), json!({"thinkingLevel": "LOW", "includeThoughts": false}), true),
        (Budget, effort(Effort::Medium), json!({"thinkingBudget": 2048, "includeThoughts": true}), false),
        (Budget, budget(100), json!({"thinkingBudget": 100, "includeThoughts": true}), false),
        (Budget, budget(100_000), json!({"thinkingBudget": 9999, "includeThoughts": true}), false),
        (Budget, mode(ReasoningMode::Adaptive), json!({"thinkingBudget": -1, "includeThoughts": true}), false),
        (Budget, mode(ReasoningMode::Disabled), json!({"thinkingBudget": 0}), false),
        (Unsupported, effort(Effort::High), Value::Null, true),
        (Unsupported, mode(ReasoningMode::Disabled), Value::Null, false),
        (Adaptive, Reasoning::default(), Value::Null, false),
    ];
    for (thinking, reasoning, wanted, lost) in cases {
        let request = Request { reasoning: Some(reasoning), output_tokens_max: Some(10_000), ..conversation(vec![]) };
        let (body, notes) = encoded(&request, &ModelTraits { thinking, ..ModelTraits::default() });
        assert_eq!(body["generationConfig"]["thinkingConfig"], wanted, "{thinking:?} {reasoning:?}");
        assert_eq!(losses(&notes) == ["reasoning_effort"], lost, "{thinking:?} {reasoning:?}");
    }
}

#[test]
fn tools_and_the_choice_among_them() {
    let custom = Tool::Custom { name: Text::plain("apply.patch"), description: Some(Text::plain("p")), format: None };
    let request = Request { tools: vec![function("f"), custom, function("apply_patch")], ..conversation(vec![]) };
    let (body, notes) = encoded(&request, &ModelTraits::default());
    let tools = body["tools"].as_array().unwrap();
    assert_eq!((tools.len(), tools[0]["functionDeclarations"].as_array().unwrap().len()), (1, 3));
    assert_eq!(tools[0]["functionDeclarations"][0]["parametersJsonSchema"]["properties"]["a"]["$ref"], "#/$defs/x");
    assert_eq!(tools[0]["functionDeclarations"][1]["name"], "apply_patch_2");
    assert_eq!(notes.tools.restore("apply_patch_2"), Some(("apply.patch", true)));
    let names = || vec![Text::plain("f")];
    let cases = [
        (ToolChoice::Auto, json!({"mode": "AUTO"})),
        (ToolChoice::None, json!({"mode": "NONE"})),
        (ToolChoice::Required, json!({"mode": "ANY"})),
        (ToolChoice::Named(Text::plain("apply.patch")), json!({"mode": "ANY", "allowedFunctionNames": ["apply_patch_2"]})),
        (ToolChoice::Allowed { required: true, names: names() }, json!({"mode": "ANY", "allowedFunctionNames": ["f"]})),
        (ToolChoice::Allowed { required: false, names: names() }, json!({"mode": "VALIDATED", "allowedFunctionNames": ["f"]})),
    ];
    for (choice, wanted) in cases {
        let forces = wanted["mode"] == "ANY";
        let mut request = Request { tool_choice: Some(choice), ..request.clone() };
        assert_eq!(encoded(&request, &ModelTraits::default()).0["toolConfig"]["functionCallingConfig"], wanted);
        let (body, notes) = encoded(&request, &ModelTraits { forced_tool: false, ..ModelTraits::default() });
        if forces {
            assert_eq!((&body["toolConfig"]["functionCallingConfig"], losses(&notes)), (&json!({"mode": "AUTO"}), vec!["tool_choice"]));
        }
        request.tools.clear();
        let (body, _) = encoded(&request, &ModelTraits::default());
        assert!(body.get("tools").is_none() && body.get("toolConfig").is_none());
    }
}

#[test]
fn media_go_where_they_fit() {
    let media = |kind, source| Part::Media(Media { kind, source, title: None, detail: None, extensions: vec![], cache: None });
    let url = |url: &'static str| Source::Url(Text::plain(url));
    let cases = [
        (
            media(MediaKind::Image, url("https://x.test/a.WEBP?b=c.png")),
            json!({"fileData": {"mimeType": "image/webp", "fileUri": "https://x.test/a.WEBP?b=c.png"}}),
        ),
        (media(MediaKind::Image, url("https://x.test/a")), json!({"fileData": {"mimeType": "image/jpeg", "fileUri": "https://x.test/a"}})),
        (media(MediaKind::Video, url("gs://b/v.mov")), json!({"fileData": {"mimeType": "video/mov", "fileUri": "gs://b/v.mov"}})),
        (
            media(MediaKind::Video, url("https://www.youtube.com/watch?v=x")),
            json!({"fileData": {"fileUri": "https://www.youtube.com/watch?v=x"}}),
        ),
        (media(MediaKind::Document, Source::Plain(Text::plain("words"))), json!({"text": "words"})),
        (
            media(MediaKind::Audio, Source::Base64 { media_type: Text::plain("audio/wav"), data: Text::plain("AA") }),
            json!({"inlineData": {"mimeType": "audio/wav", "data": "AA"}}),
        ),
    ];
    for (part, wanted) in cases {
        assert_eq!(contents(&conversation(vec![(Role::User, vec![part])]))[0]["parts"][0], wanted);
    }
}

#[test]
fn what_would_change_the_meaning_is_refused() {
    let chat = |name: &'static str, value| Extension { dialect: Dialect::OpenAiChat, name: name.into(), value };
    let file = Source::FileId { dialect: Dialect::OpenAiChat, id: Text::plain("file-1") };
    let media = Media { kind: MediaKind::Document, source: file, title: None, detail: None, extensions: vec![], cache: None };
    let opaque = Part::Opaque { dialect: Dialect::Anthropic, kind: "server_tool_use".into(), raw: Raw::literal("{}") };
    let tool = Tool::Opaque { dialect: Dialect::Anthropic, kind: "web_search_20250305".into(), raw: Raw::literal("{}") };
    let schema = Some(OutputFormat::JsonSchema { name: None, description: None, schema: Raw::literal("{}").into(), strict: None });
    let cases: Vec<(Request<'_>, &str)> = vec![
        (Request { answers: Some(2), ..conversation(vec![]) }, "n"),
        (Request { extensions: vec![chat("logprobs", Raw::literal("true"))], ..conversation(vec![]) }, "logprobs"),
        (Request { extensions: vec![chat("logit_bias", Raw::literal("{\"1\":2}"))], ..conversation(vec![]) }, "logit_bias"),
        (Request { extensions: vec![chat("web_search_options", Raw::literal("{}"))], ..conversation(vec![]) }, "web_search_options"),
        (Request { tools: vec![tool], ..conversation(vec![]) }, "tools"),
        (Request { output: schema, ..conversation(vec![]) }, "response_format"),
        (conversation(vec![(Role::User, vec![Part::Media(media.clone())])]), "messages[].content"),
        (conversation(vec![(Role::System, vec![Part::Media(media)])]), "messages[].content"),
        (conversation(vec![(Role::Assistant, vec![opaque])]), "messages[].content"),
    ];
    let traits = ModelTraits { structured_output: false, ..ModelTraits::default() };
    for (request, param) in cases {
        let mut out = b"kept".to_vec();
        let fault = Gemini.encode_request(&request, "m", &traits, &mut Notes::default(), &mut out).unwrap_err();
        assert_eq!((fault.kind, fault.param.as_deref(), &out[..]), (FaultKind::Unsupported, Some(param), &b"kept"[..]));
    }
}

#[test]
fn what_is_lost_is_named() {
    let chat = |name: &'static str, value| Extension { dialect: Dialect::OpenAiChat, name: name.into(), value };
    let mut message =
        Message::new(Role::User, vec![Part::Text { text: Text::plain("x"), citations: None, cache: Some(CacheMark { ttl: None }) }]);
    message.name = Some(Text::plain("bob"));
    let thought = Part::Reasoning { text: Text::plain("hm"), signature: None };
    let mut tool = function("f");
    if let Tool::Function { strict, extensions, .. } = &mut tool {
        *strict = Some(true);
        extensions.push(chat("defer_loading", Raw::literal("true")));
    }
    let request = Request {
        messages: vec![message, Message::new(Role::Assistant, vec![thought])],
        tools: vec![tool],
        parallel_tool_calls: Some(false),
        seed: Some(Number("99999999999".into())),
        stop: vec![Text::plain("x"); 6],
        temperature: Some(Number("0".into())),
        top_p: Some(Number("1.0".into())),
        user: Some(Text::plain("u")),
        service_tier: Some(Text::plain("scale")),
        extensions: vec![chat("verbosity", Raw::literal("\"low\"")), chat("store", Raw::literal("false"))],
        ..Request::default()
    };
    let (body, notes) = encoded(&request, &ModelTraits { sampling: false, ..ModelTraits::default() });
    let mut lost = losses(&notes);
    lost.sort_unstable();
    let wanted = [
        "cache_control",
        "messages[].name",
        "messages[].reasoning",
        "parallel_tool_calls",
        "seed",
        "service_tier",
        "stop",
        "temperature",
        "tools[].defer_loading",
        "tools[].strict",
        "user",
        "verbosity",
    ];
    assert_eq!(lost, wanted);
    assert_eq!(body["generationConfig"], json!({"stopSequences": ["x", "x", "x", "x", "x"]}));
    // Nothing is made up where nothing was asked.
    let (body, notes) = encoded(&conversation(vec![(Role::User, vec![text("x")])]), &ModelTraits::default());
    assert_eq!((body, losses(&notes)), (json!({"contents": [{"role": "user", "parts": [{"text": "x"}]}]}), vec![]));
}

#[test]
fn paths_name_the_model() {
    let cases = [
        (Operation::Chat, "gemini-3-pro", false, Some("/models/gemini-3-pro:generateContent")),
        (Operation::Chat, "models/gemini-3-pro", true, Some("/models/gemini-3-pro:streamGenerateContent")),
        (Operation::Chat, "tunedModels/x-1", false, Some("/tunedModels/x-1:generateContent")),
        (Operation::Chat, "a/b@001", false, Some("/models/a/b@001:generateContent")),
        (Operation::Chat, "../x?y#z:é", false, Some("/models/..%2Fx%3Fy%23z%3A%C3%A9:generateContent")),
        (Operation::CountTokens, "m", true, Some("/models/m:countTokens")),
        (Operation::Models, "", false, Some("/models")),
        (Operation::Embeddings, "m", false, Some("/models/m:batchEmbedContents")),
    ];
    for (operation, model, stream, wanted) in cases {
        assert_eq!(Gemini.path(operation, model, stream).as_deref(), wanted);
    }
}
