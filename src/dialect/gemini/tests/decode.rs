//! Requests, read.

use super::super::Gemini;
use crate::base::FaultKind;
use crate::dialect::Codec;
use crate::ir::{
    Dialect, Media, MediaKind, Number, OutputFormat, Part, Reasoning, ReasoningMode, Role, Source, Text, Tool, ToolChoice, proof,
};

pub(super) const RICH: &str = r#"{
  "systemInstruction": {"role": "user", "parts": [{"text": "Be \u00e9xact."}, {"text": "Always."}]},
  "contents": [
    {"role": "user", "parts": [{"text": "look"}, {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
      {"file_data": {"mime_type": "application/pdf", "file_uri": "https://x.test/a.pdf"}},
      {"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/abc", "mimeType": "video/mp4"},
       "videoMetadata": {"fps": 2}}]},
    {"role": "model", "parts": [{"text": "hm", "thought": true}, {"text": "ok", "thoughtSignature": "c2ln"},
      {"functionCall": {"name": "f", "args": {"a": 1.50}}, "thought_signature": "c2lnMg=="},
      {"function_call": {"name": "f", "args": {"a": 2}}}, {"functionCall": {"id": "own", "name": "g"}},
      {"executableCode": {"language": "PYTHON", "code": "1"}}]},
    {"role": "function", "parts": [
      {"functionResponse": {"name": "f", "response": {"result": "one"}}},
      {"functionResponse": {"name": "f", "response": {"output": {"b": 2}},
        "parts": [{"inlineData": {"mimeType": "image/png", "data": "BBBB"}}]}},
      {"functionResponse": {"id": "own", "name": "g", "response": {"error": "no"}}},
      {"functionResponse": {"name": "h", "response": {"x": 1, "y": 2}}}]}
  ],
  "tools": [
    {"functionDeclarations": [{"name": "f", "description": "d", "parameters": {"type": "OBJECT", "properties": {"a": {"type": "NUMBER", "nullable": true}}}},
      {"name": "g", "parametersJsonSchema": {"type":  "object"}, "behavior": "BLOCKING"}]},
    {"google_search": {}}
  ],
  "tool_config": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f", "g"]}, "retrievalConfig": {"a": 1}},
  "generation_config": {"temperature": 0.70, "topP": 1, "top_k": 40, "maxOutputTokens": 99, "stopSequences": ["END"], "seed": 7,
    "presencePenalty": 0.5, "frequencyPenalty": 0.25, "candidateCount": 1, "responseMimeType": "application/json",
    "responseSchema": {"type": "STRING"}, "thinkingConfig": {"thinkingBudget": 2048, "includeThoughts": true},
    "responseModalities": ["TEXT"], "mediaResolution": "MEDIA_RESOLUTION_LOW"},
  "safetySettings": [{"category": "c"}], "labels": {"a": "b"}, "cachedContent": "cachedContents/1", "serviceTier": "flex",
  "model": "models/x", "max_tokens": 1, "toolsets": null}"#;

#[test]
fn reads_a_rich_request() {
    let request = Gemini.decode_request(RICH.as_bytes()).unwrap();
    assert_eq!((request.model.as_ref(), request.stream, request.stream_usage), ("", false, true));
    let roles: Vec<Role> = request.messages.iter().map(|m| m.role).collect();
    assert_eq!(roles, [Role::System, Role::User, Role::Assistant, Role::User]);
    let [_, user, model, results] = &request.messages[..] else { panic!() };
    assert!(
        matches!(&user.parts[1], Part::Media(Media { kind: MediaKind::Image, source: Source::Base64 { data, .. }, .. }) if data.is("AAAA"))
    );
    assert!(
        matches!(&user.parts[2], Part::Media(Media { kind: MediaKind::Document, source: Source::Url(url), .. }) if url.is("https://x.test/a.pdf"))
    );
    assert!(
        matches!(&user.parts[3], Part::Media(Media { kind: MediaKind::Video, source: Source::FileId { dialect: Dialect::Gemini, .. }, extensions, .. })
        if extensions[0].name == "videoMetadata")
    );
    let told: Vec<String> = model
        .parts
        .iter()
        .map(|part| match part {
            Part::Text { text, .. } => format!("text {}", text.read()),
            Part::Reasoning { text, signature } => {
                let own = signature.as_ref().and_then(|s| proof::claim(Dialect::Gemini, s)).map(|s| s.read().into_owned());
                format!("thought {} {own:?}", text.read())
            }
            Part::ToolCall { id, name, arguments, .. } => format!("{} {} {}", id.read(), name.read(), arguments.read()),
            Part::Opaque { kind, .. } => format!("opaque {kind}"),
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(
        told,
        [
            "thought hm None",
            "thought  Some(\"c2ln\")",
            "text ok",
            "thought  Some(\"c2lnMg==\")",
            "call_0 f {\"a\": 1.50}",
            "call_1 f {\"a\": 2}",
            "own g {}",
            "opaque executableCode"
        ]
    );
    let told: Vec<(String, String, bool, usize)> = results
        .parts
        .iter()
        .map(|part| match part {
            Part::ToolResult { id, parts, error, .. } => match &parts[0] {
                Part::Text { text, .. } => (id.read().into_owned(), text.read().into_owned(), *error, parts.len()),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        })
        .collect();
    let wanted = [
        ("call_0", "one", false, 1),
        ("call_1", r#"{"b": 2}"#, false, 2),
        ("own", "no", true, 1),
        ("call_of_h", r#"{"x": 1, "y": 2}"#, false, 1),
    ];
    assert_eq!(told, wanted.map(|(id, said, error, parts)| (id.to_owned(), said.to_owned(), error, parts)));

    let [Tool::Function { parameters: Some(f), .. }, Tool::Function { parameters: Some(g), extensions, .. }, Tool::Opaque { kind, .. }] =
        &request.tools[..]
    else {
        panic!("{:?}", request.tools)
    };
    assert_eq!(f.raw().get(), r#"{"type":"object","properties":{"a":{"type":["number","null"]}}}"#);
    assert_eq!((g.raw().get(), &*extensions[0].name, &**kind), (r#"{"type":  "object"}"#, "behavior", "googleSearch"));
    assert_eq!(request.tool_choice, Some(ToolChoice::Allowed { required: true, names: vec![Text::plain("f"), Text::plain("g")] }));
    assert_eq!(request.temperature, Some(Number("0.70".into())));
    assert_eq!((request.output_tokens_max, request.answers, request.stop.len()), (Some(99), Some(1), 1));
    assert!(matches!(&request.output, Some(OutputFormat::JsonSchema { schema, .. }) if schema.raw().get() == r#"{"type":"string"}"#));
    let reasoning = Reasoning { mode: Some(ReasoningMode::Enabled), budget_tokens: Some(2048), summary: Some(true), effort: None };
    assert_eq!(request.reasoning, Some(reasoning));
    assert!(request.service_tier.as_ref().unwrap().is("flex"));
    let names: Vec<&str> = request.extensions.iter().map(|e| &*e.name).collect();
    assert_eq!(names, ["toolConfig.retrievalConfig", "generationConfig.mediaResolution", "safetySettings", "labels", "cachedContent"]);
}

#[test]
fn a_question_for_tokens_may_wrap_its_request() {
    let body = br#"{"max_tokens":1,"generateContentRequest":{"model":"models/x","contents":{"parts":{"text":"hi"}},"systemInstruction":"s",
        "generateContentRequest":{"contents":[]}}}"#;
    let request = Gemini.decode_request(body).unwrap();
    assert_eq!(request.messages.len(), 2);
    assert!(request.extensions.is_empty());
    let mut out = Vec::new();
    assert!(Gemini.encode_token_count(42, &mut out));
    assert_eq!(out, br#"{"totalTokens":42}"#);
}

#[test]
fn joins_what_a_client_kept_of_a_stream() {
    let body = br#"{"contents":[{"role":"user","parts":[{"text":"q"}]},
        {"role":"model","parts":[{"text":"I th","thought":true}]},{"role":"model","parts":[{"text":"ink","thought":true}]},
        {"role":"model","parts":[{"text":"","thought":true,"thoughtSignature":"b3V0cmlkZXIvYW50aHJvcGljq-_q"}]},
        {"role":"model","parts":[{"text":"Hel"}]},{"role":"model","parts":[{"text":"lo"}]},{"role":"model","parts":[{"text":""}]},
        {"role":"model","parts":[{"thought":true,"thoughtSignature":"b3V0cmlkZXIvYW50aHJvcGljeA=="}]},
        {"role":"user","parts":[{"text":"a"},{"text":"b"}]}]}"#;
    let request = Gemini.decode_request(body).unwrap();
    assert_eq!(request.messages.len(), 3);
    let [Part::Reasoning { text, signature: Some(signature) }, Part::Text { text: said, .. }, Part::RedactedReasoning(data)] =
        &request.messages[1].parts[..]
    else {
        panic!("{:?}", request.messages[1])
    };
    // The proof of another provider came through an SDK that spells base64 its own way.
    assert!(text.is("I think") && said.is("Hello") && signature.is("q+/q") && data.is("eA=="), "{signature:?} {data:?}");
    assert_eq!(request.messages[2].parts.len(), 2);
}

#[test]
fn reads_every_choice() {
    let named = |name: &'static str| ToolChoice::Named(Text::plain(name));
    let cases = [
        (r#"{"mode":"AUTO"}"#, Some(ToolChoice::Auto), 0),
        (r#"{"mode":"auto"}"#, Some(ToolChoice::Auto), 0),
        (r#"{"mode":"NONE"}"#, Some(ToolChoice::None), 0),
        (r#"{"mode":"ANY"}"#, Some(ToolChoice::Required), 0),
        (r#"{"mode":"ANY","allowed_function_names":["f"]}"#, Some(named("f")), 0),
        (r#"{"mode":"VALIDATED"}"#, Some(ToolChoice::Auto), 1),
        (
            r#"{"mode":"VALIDATED","allowedFunctionNames":["f"]}"#,
            Some(ToolChoice::Allowed { required: false, names: vec![Text::plain("f")] }),
            1,
        ),
        (r#"{"streamFunctionCallArguments":true}"#, None, 1),
        (r#"{"mode":"MODE_UNSPECIFIED"}"#, None, 0),
    ];
    for (config, choice, extensions) in cases {
        let body = format!(r#"{{"contents":[{{"parts":[{{"text":"x"}}]}}],"toolConfig":{{"functionCallingConfig":{config}}}}}"#);
        let request = Gemini.decode_request(body.as_bytes()).unwrap();
        assert_eq!((&request.tool_choice, request.extensions.len()), (&choice, extensions), "{config}");
    }
}

#[test]
fn names_what_is_wrong() {
    let cases = [
        ("[]", None, "must be a JSON object"),
        ("{", None, "not JSON"),
        ("{}", Some("contents"), "expected an array of contents, found nothing"),
        (r#"{"contents":[]}"#, Some("contents"), "at least one content"),
        (r#"{"contents":[1]}"#, Some("contents[0]"), "expected an object, found a number"),
        (r#"{"contents":[{"role":"assistant","parts":[]}]}"#, Some("contents[0].role"), "expected `user` or `model`, found `assistant`"),
        (r#"{"contents":[{"parts":[{"text":1}]}]}"#, Some("contents[0].parts[0].text"), "expected a string"),
        (r#"{"contents":[{"parts":[{"functionCall":{}}]}]}"#, Some("contents[0].parts[0].functionCall.name"), "the function's name"),
        (
            r#"{"contents":[{"parts":[{"functionCall":{"name":"f","args":"x"}}]}]}"#,
            Some("contents[0].parts[0].functionCall.args"),
            "an object, found a string",
        ),
        (r#"{"contents":[{"parts":[{"inlineData":{"data":"A"}}]}]}"#, Some("contents[0].parts[0].inlineData.mimeType"), "media type"),
        (
            r#"{"contents":[{"parts":[{"text":"x"}]}],"tools":[{"functionDeclarations":[{}]}]}"#,
            Some("tools[0].functionDeclarations[0].name"),
            "a string",
        ),
        (
            r#"{"contents":[{"parts":[{"text":"x"}]}],"generationConfig":{"maxOutputTokens":-1}}"#,
            Some("generationConfig.maxOutputTokens"),
            "whole number",
        ),
        (
            r#"{"contents":[{"parts":[{"text":"x"}]}],"generationConfig":{"thinkingConfig":{"thinkingBudget":-2}}}"#,
            Some("generationConfig.thinkingConfig.thinkingBudget"),
            "from -1",
        ),
    ];
    for (body, param, what) in cases {
        let fault = Gemini.decode_request(body.as_bytes()).unwrap_err();
        assert_eq!((fault.kind, fault.param.as_deref()), (FaultKind::BadRequest, param), "{body}");
        assert!(fault.client_text.contains(what), "{body}: {}", fault.client_text);
    }
}
