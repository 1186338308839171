use super::*;
use crate::dialect::codec;
use crate::ir::{Dialect, Thinking};

fn decode(body: &Value) -> Result<String, Fault> {
    OpenAiResponses.decode_request(body.to_string().as_bytes()).map(|request| format!("{:?}", request.messages))
}

/// A request of this dialect as another would write it, and what was lost.
fn to(target: Dialect, body: &Value) -> (Value, Vec<String>) {
    let text = body.to_string();
    let request = OpenAiResponses.decode_request(text.as_bytes()).unwrap();
    let (value, notes) = written(codec(target), &request, &ModelTraits::default()).unwrap();
    (value, notes.losses.names().iter().map(|name| name.to_string()).collect())
}

/// A request of another dialect as this one writes it, and what was lost.
fn from(source: Dialect, body: &Value, traits: &ModelTraits) -> Result<(Value, Vec<String>), Fault> {
    let text = body.to_string();
    let request = codec(source).decode_request(text.as_bytes()).unwrap();
    let (value, notes) = written(&OpenAiResponses, &request, traits)?;
    Ok((value, notes.losses.names().iter().map(|name| name.to_string()).collect()))
}

/// Codex's second turn: everything the model did is one turn, everything the tools said is one turn.
#[test]
fn an_agents_second_turn_is_put_into_turns() {
    let body = json!({
        "model": "m",
        "input": [
            {"type": "message", "id": "msg_1", "role": "developer", "content": [{"type": "input_text", "text": "base"}]},
            {"role": "user", "content": [{"type": "input_text", "text": "run"}]},
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "plan"}], "content": null, "encrypted_content": "ENC="},
            {"type": "message", "role": "assistant", "status": "completed", "id": "msg_2", "content": [{"type": "output_text", "text": "ok", "annotations": []}]},
            {"type": "function_call", "status": "completed", "id": "fc_0", "name": "sh", "arguments": "{\"c\":0}", "call_id": "call_0"},
            {"type": "custom_tool_call", "id": "ctc_1", "name": "patch", "input": "*** Begin", "call_id": "call_1"},
            {"type": "function_call_output", "id": "fco_0", "call_id": "call_0", "output": "zero"},
            {"type": "custom_tool_call_output", "call_id": "call_1", "output": [{"type": "input_text", "text": "one"}]}
        ],
        "tools": [
            {"type": "function", "name": "sh", "strict": false, "parameters": {"type": "object", "properties": {}}},
            {"type": "custom", "name": "patch", "description": "d", "format": {"type": "grammar", "syntax": "lark", "definition": "x"}},
            {"type": "namespace", "name": "agents", "description": "", "tools": [{"type": "function", "name": "close", "strict": false, "parameters": {"type": "object", "properties": {}}}]},
            {"type": "web_search", "external_web_access": false}
        ],
        "tool_choice": "auto", "parallel_tool_calls": true, "reasoning": {"summary": "auto"}, "store": false,
        "include": ["reasoning.encrypted_content"], "prompt_cache_key": "k", "stream": true
    });
    let (chat, lost) = to(Dialect::OpenAiChat, &body);
    assert_eq!(
        chat["messages"],
        json!([
            {"role": "developer", "content": "base"},
            {"role": "user", "content": "run"},
            {"role": "assistant", "content": "ok", "tool_calls": [
                {"id": "call_0", "type": "function", "function": {"name": "sh", "arguments": "{\"c\":0}"}},
                {"id": "call_1", "type": "custom", "custom": {"name": "patch", "input": "*** Begin"}}
            ]},
            {"role": "tool", "tool_call_id": "call_0", "content": "zero"},
            {"role": "tool", "tool_call_id": "call_1", "content": "one"}
        ])
    );
    assert_eq!(chat["tools"][2]["function"]["name"], "agents_close");
    assert_eq!(lost, ["messages[].reasoning", "tools[].web_search"]);
    assert_eq!(chat["prompt_cache_key"], "k");
    let (messages, _) = to(Dialect::Anthropic, &body);
    let turns: Vec<_> = messages["messages"].as_array().unwrap().iter().map(|turn| turn["role"].as_str().unwrap()).collect();
    assert_eq!(turns, ["user", "assistant", "user"]);
    assert_eq!(messages["messages"][2]["content"].as_array().unwrap().len(), 2);
}

#[test]
fn what_only_its_holder_could_resolve_is_refused() {
    let table = [
        (json!({"model": "m", "input": "x", "previous_response_id": "resp_1"}), "previous_response_id"),
        (json!({"model": "m", "input": "x", "conversation": {"id": "conv_1"}}), "conversation"),
        (json!({"model": "m", "input": "x", "conversation": "conv_1"}), "conversation"),
        (json!({"model": "m", "input": "x", "background": true}), "background"),
        (json!({"model": "m", "prompt": {"id": "pmpt_1"}}), "prompt"),
        (json!({"model": "m", "input": ["a", {"type": "item_reference", "id": "msg_1"}]}), "input[1]"),
        (json!({"model": "m", "input": [{"id": "msg_1"}]}), "input[0]"),
        (json!({"model": "m", "input": [{"type": "compaction", "encrypted_content": "x"}]}), "input[0]"),
    ];
    for (body, param) in table {
        let fault = decode(&body).unwrap_err();
        assert_eq!((fault.kind.label(), fault.param.as_deref()), ("unsupported", Some(param)), "{body}");
    }
    let nothing =
        json!({"model": "m", "input": "x", "previous_response_id": null, "conversation": null, "background": false, "store": false});
    assert!(OpenAiResponses.decode_request(nothing.to_string().as_bytes()).unwrap().extensions.is_empty());
}

#[test]
fn errors_say_where_and_what() {
    let table = [
        (json!([]), "the body: expected an object, found an array"),
        (json!({"input": "x"}), "model: expected the name of a model, found nothing"),
        (json!({"model": "m"}), "input: expected a string or an array of items, found nothing"),
        (json!({"model": "m", "input": 3}), "input: expected a string or an array of items, found a number"),
        (json!({"model": "m", "input": [3]}), "input[0]: expected an item (an object), found a number"),
        (json!({"model": "m", "input": [{}]}), "input[0].type: expected a string, found nothing"),
        (
            json!({"model": "m", "input": [{"role": "x"}]}),
            "input[0].role: expected `user`, `assistant`, `system` or `developer`, found `x`",
        ),
        (
            json!({"model": "m", "input": [{"role": "user", "content": 1}]}),
            "input[0].content: expected a string or an array of parts, found a number",
        ),
        (
            json!({"model": "m", "input": [{"role": "user", "content": [{"type": "input_image"}]}]}),
            "input[0].content[0]: expected `image_url` or `file_id`, found neither",
        ),
        (json!({"model": "m", "input": [{"type": "function_call", "call_id": "c"}]}), "input[0].name: expected a string, found nothing"),
        (
            json!({"model": "m", "input": [{"type": "function_call_output", "output": "x"}]}),
            "input[0].call_id: expected a string, found nothing",
        ),
        (json!({"model": "m", "input": "x", "tools": {}}), "tools: expected an array of tools, found an object"),
        (json!({"model": "m", "input": "x", "tools": [{"type": "function"}]}), "tools[0].name: expected a string, found nothing"),
        (
            json!({"model": "m", "input": "x", "tools": [{"type": "namespace", "name": "n", "tools": [{"type": "function"}]}]}),
            "tools[0].tools[0].name: expected a string, found nothing",
        ),
        (json!({"model": "m", "input": "x", "text": {"format": {}}}), "text.format.type: expected a string, found nothing"),
        (
            json!({"model": "m", "input": "x", "tool_choice": "any"}),
            "tool_choice: expected `auto`, `none`, `required` or an object that names a tool, found `any`",
        ),
    ];
    for (body, text) in table {
        assert_eq!(decode(&body).unwrap_err().client_text, text);
    }
}

#[test]
fn members_find_their_place_elsewhere() {
    let body = json!({
        "model": "m", "instructions": "be kind", "input": "x", "max_output_tokens": 99, "temperature": 0.70, "top_p": 0.5,
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": true}, "verbosity": "low"},
        "reasoning": {"effort": "high"}, "metadata": {"a": "b"}, "safety_identifier": "s", "service_tier": "flex",
        "tools": [{"type": "function", "name": "f", "parameters": null, "strict": null}],
        "tool_choice": {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]},
        "truncation": "auto", "store": true
    });
    let (chat, lost) = to(Dialect::OpenAiChat, &body);
    assert_eq!(
        chat,
        json!({
            "model": "m",
            "messages": [{"role": "system", "content": "be kind"}, {"role": "user", "content": "x"}],
            "tools": [{"type": "function", "function": {"name": "f"}}],
            "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "f"}}]}},
            "temperature": 0.70, "top_p": 0.5,
            "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": true}},
            "reasoning_effort": "high", "max_completion_tokens": 99, "user": "s", "service_tier": "flex",
            "verbosity": "low", "metadata": {"a": "b"}
        })
    );
    assert_eq!(lost, ["store", "truncation"]);
}

#[test]
fn media_are_read_from_every_source() {
    let body = json!({"model": "m", "input": [
        {"role": "user", "content": [
            {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "low"},
            {"type": "input_image", "image_url": "https://x/y.png"},
            {"type": "input_file", "file_data": "data:application/pdf;base64,BB==", "filename": "a.pdf"},
            {"type": "input_file", "file_data": "CC=="},
        ]},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_image", "image_url": "data:image/png;base64,DD=="}]}
    ]});
    let (messages, lost) = to(Dialect::Anthropic, &body);
    let sources: Vec<_> = messages["messages"][0]["content"].as_array().unwrap().iter().map(|part| part["source"].clone()).collect();
    assert_eq!(
        sources,
        [
            json!({"type": "base64", "media_type": "image/png", "data": "AA=="}),
            json!({"type": "url", "url": "https://x/y.png"}),
            json!({"type": "base64", "media_type": "application/pdf", "data": "BB=="}),
            json!({"type": "base64", "media_type": "application/pdf", "data": "CC=="}),
        ]
    );
    assert_eq!(messages["messages"][2]["content"][0]["content"][0]["source"]["data"], "DD==");
    assert!(lost.is_empty(), "{lost:?}");
    let own = json!({"model": "m", "input": [{"role": "user", "content": [
        {"type": "input_file", "file_url": "https://x/y.pdf"}, {"type": "input_file", "file_id": "file_1"},
        {"type": "input_image", "file_id": "file_2", "detail": "high"},
        {"type": "input_audio", "input_audio": {"data": "EE==", "format": "mp3"}}
    ]}]});
    assert_eq!(to(Dialect::OpenAiResponses, &own).0["input"][0]["content"], own["input"][0]["content"]);
}

#[test]
fn chat_completions_becomes_items() {
    let body = json!({
        "model": "m",
        "messages": [
            {"role": "system", "content": "s"},
            {"role": "user", "content": [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "https://x/y.png"}}]},
            {"role": "assistant", "content": "hm", "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}},
                {"id": "c2", "type": "custom", "custom": {"name": "g", "input": "raw"}}
            ]},
            {"role": "tool", "tool_call_id": "c1", "content": "one"},
            {"role": "tool", "tool_call_id": "c2", "content": "two"},
            {"role": "user", "content": "go on"}
        ],
        "tools": [
            {"type": "function", "function": {"name": "f"}},
            {"type": "custom", "custom": {"name": "g", "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "x"}}}}
        ],
        "tool_choice": {"type": "custom", "custom": {"name": "g"}},
        "response_format": {"type": "json_object"}, "reasoning_effort": "low", "max_completion_tokens": 5, "verbosity": "high",
        "logprobs": true, "top_logprobs": 2, "metadata": {"a": "b"}, "seed": 1, "presence_penalty": 0, "frequency_penalty": 1,
        "store": true, "stream": true
    });
    let (out, lost) = from(Dialect::OpenAiChat, &body, &ModelTraits::default()).unwrap();
    assert_eq!(
        out,
        json!({
            "model": "m",
            "input": [
                {"type": "message", "role": "system", "content": "s"},
                {"type": "message", "role": "user", "content": [
                    {"type": "input_text", "text": "look"},
                    {"type": "input_image", "image_url": "https://x/y.png", "detail": "auto"}
                ]},
                {"type": "message", "role": "assistant", "content": "hm"},
                {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
                {"type": "custom_tool_call", "call_id": "c2", "name": "g", "input": "raw"},
                {"type": "function_call_output", "call_id": "c1", "output": "one"},
                {"type": "custom_tool_call_output", "call_id": "c2", "output": "two"},
                {"type": "message", "role": "user", "content": "go on"}
            ],
            "tools": [
                {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}, "strict": false},
                {"type": "custom", "name": "g", "format": {"type": "grammar", "syntax": "lark", "definition": "x"}}
            ],
            "tool_choice": {"type": "custom", "name": "g"},
            "text": {"format": {"type": "json_object"}, "verbosity": "high"},
            "reasoning": {"effort": "low"}, "max_output_tokens": 16, "stream": true, "store": false,
            "include": ["reasoning.encrypted_content", "message.output_text.logprobs"],
            "top_logprobs": 2, "metadata": {"a": "b"}
        })
    );
    assert_eq!(lost, ["store", "seed", "frequency_penalty", "max_output_tokens"]);
}

#[test]
fn messages_become_items_in_order() {
    let body = json!({
        "model": "m", "max_tokens": 100, "system": "s",
        "messages": [
            {"role": "user", "content": "u"},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "own words", "signature": "b3V0cmlkZXIvcmVzcG9uc2VzRU5D"},
                {"type": "redacted_thinking", "data": "b3V0cmlkZXIvcmVzcG9uc2VzUkVE"},
                {"type": "thinking", "thinking": "foreign", "signature": "EqAB"},
                {"type": "text", "text": "a"},
                {"type": "tool_use", "id": "t1", "name": "f", "input": {"x": 1}}
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "t1", "is_error": true, "content": [
                    {"type": "text", "text": "bad"}, {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}
                ]},
                {"type": "text", "text": "again"}
            ]}
        ],
        "tools": [{"name": "f", "input_schema": {"type": "object"}}], "tool_choice": {"type": "any", "disable_parallel_tool_use": true},
        "thinking": {"type": "enabled", "budget_tokens": 4096}, "metadata": {"user_id": "u"}
    });
    let (out, lost) = from(Dialect::Anthropic, &body, &ModelTraits::default()).unwrap();
    assert_eq!(
        out["input"],
        json!([
            {"type": "message", "role": "system", "content": "s"},
            {"type": "message", "role": "user", "content": "u"},
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "own words"}], "encrypted_content": "RU5D"},
            {"type": "reasoning", "summary": [], "encrypted_content": "UkVE"},
            {"type": "message", "role": "assistant", "content": "a"},
            {"type": "function_call", "call_id": "t1", "name": "f", "arguments": "{\"x\":1}"},
            {"type": "function_call_output", "call_id": "t1", "output": [
                {"type": "input_text", "text": "Error: bad"}, {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "auto"}
            ]},
            {"type": "message", "role": "user", "content": "again"}
        ])
    );
    assert_eq!(out["tools"][0]["parameters"], json!({"type": "object", "properties": {}}));
    assert_eq!((&out["tool_choice"], &out["parallel_tool_calls"]), (&json!("required"), &json!(false)));
    assert_eq!(out["reasoning"], json!({"effort": "high", "summary": "auto"}));
    assert_eq!(lost, ["messages[].reasoning"]);
}

#[test]
fn what_would_change_the_meaning_is_refused() {
    let say = json!([{"role": "user", "content": "x"}]);
    let table = [
        (Dialect::OpenAiChat, json!({"model": "m", "messages": say, "n": 2}), "n"),
        (Dialect::OpenAiChat, json!({"model": "m", "messages": say, "stop": ["x"]}), "stop"),
        (Dialect::OpenAiChat, json!({"model": "m", "messages": say, "logit_bias": {"1": 2}}), "logit_bias"),
        (Dialect::OpenAiChat, json!({"model": "m", "messages": say, "modalities": ["text", "audio"]}), "modalities"),
        (
            Dialect::Anthropic,
            json!({"model": "m", "max_tokens": 9, "messages": say, "tools": [{"type": "bash_20250124", "name": "bash"}]}),
            "tools",
        ),
        (
            Dialect::Anthropic,
            json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}]}]}),
            "messages[].content[]",
        ),
    ];
    for (source, body, param) in table {
        let fault = from(source, &body, &ModelTraits::default()).unwrap_err();
        assert_eq!((fault.kind.label(), fault.param.as_deref()), ("unsupported", Some(param)), "{body}");
    }
}

#[test]
fn a_model_that_does_not_think_is_not_asked_for_proofs() {
    let traits = ModelTraits { thinking: Thinking::Unsupported, sampling: false, ..ModelTraits::default() };
    let body = json!({"model": "m", "messages": [], "reasoning_effort": "high", "temperature": 0});
    let (out, lost) = from(Dialect::OpenAiChat, &body, &traits).unwrap();
    assert_eq!(out, json!({"model": "m", "input": [], "store": false}));
    assert_eq!(lost, ["temperature", "reasoning"]);
}
