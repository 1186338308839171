//! A. Tool calling.

use serde_json::json;

use super::*;

const WEATHER: &str = r#"{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}"#;

fn schema() -> Value {
    serde_json::from_str(WEATHER).unwrap()
}

fn chat_tool(name: &str) -> Value {
    json!({"type": "function", "function": {"name": name, "description": "d", "parameters": schema()}})
}

fn claude_calls(calls: &[Value]) -> Value {
    json!({"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": calls},
        {"role": "user", "content": calls.iter().map(|c| json!({"type": "tool_result", "tool_use_id": c["id"], "content": "ok"})).collect::<Vec<_>>()}],
        "tools": [{"name": "weather", "input_schema": schema()}]})
}

#[test]
fn t02_namespace_tools_are_flattened_and_restored() {
    let tools = json!([{"type": "namespace", "name": "files", "description": "d",
        "tools": [{"type": "function", "name": "read", "parameters": schema(), "strict": false}]}]);
    for to in [C, A, G, B] {
        let sent = tell(R, to, json!({"input": "hi", "tools": tools.clone()}));
        let text = sent.body.to_string();
        assert!(!text.contains("namespace") && text.contains("files"), "{to:?} {text}");
        let name = text.split('"').find(|word| word.starts_with("files") && word.ends_with("read")).unwrap().to_owned();
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c)), "{to:?} {name}");
        assert!(sent.notes.tools.restore(&name).is_some(), "{to:?} {name}");
    }
}

#[test]
fn t04_a_call_without_arguments_is_an_empty_object() {
    let wire = named(&[
        json!({"type": "message_start", "message": {"id": "m", "type": "message", "role": "assistant", "model": "c", "content": [], "stop_reason": null, "usage": {"input_tokens": 1, "output_tokens": 1}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use", "id": "t1", "name": "now", "input": {}}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": ""}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": null}, "usage": {"output_tokens": 2}}),
        json!({"type": "message_stop"}),
    ]);
    let arguments = |told: &str| -> String {
        data(told)
            .iter()
            .filter_map(|e| e["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"].as_str().map(str::to_owned))
            .collect()
    };
    assert_eq!(arguments(&stream(A, C, &wire)), "{}");
    for to in [R, G, B] {
        let told = stream_bytes(A, to, Framing::Sse, wire.as_bytes());
        assert!(String::from_utf8_lossy(&told).contains("{}"), "{to:?}");
    }
    let history = json!({"messages": [{"role": "user", "content": "hi"},
        {"role": "assistant", "content": null, "tool_calls": [{"id": "c", "type": "function", "function": {"name": "now", "arguments": ""}}]},
        {"role": "tool", "tool_call_id": "c", "content": "12"}]});
    assert_eq!(tell(C, A, history.clone()).body["messages"][1]["content"][0]["input"], json!({}));
    assert_eq!(tell(C, B, history.clone()).body["messages"][1]["content"][0]["toolUse"]["input"], json!({}));
    let gemini = tell(C, G, history).body;
    assert!(gemini["contents"][1]["parts"][0]["functionCall"]["args"].as_object().is_none_or(|args| args.is_empty()));
}

#[test]
fn t05_arguments_that_are_no_object_do_not_fail_the_conversation() {
    for arguments in ["[1,2]", "null", "not json", "\"text\"", "{\"a\":"] {
        let history = json!({"messages": [{"role": "user", "content": "hi"},
            {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}]},
            {"role": "tool", "tool_call_id": "c", "content": "r"}]});
        assert!(tell(C, A, history.clone()).body["messages"][1]["content"][0]["input"].is_object(), "{arguments}");
        assert!(tell(C, B, history.clone()).body["messages"][1]["content"][0]["toolUse"]["input"].is_object(), "{arguments}");
        assert!(tell(C, G, history).body["contents"][1]["parts"][0]["functionCall"]["args"].is_object(), "{arguments}");
    }
}

#[test]
fn t06_objects_one_behind_the_other_do_not_fail_the_conversation() {
    let history = json!({"messages": [{"role": "user", "content": "hi"},
        {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}{\"a\":2}"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "r"}]});
    // Not split: the ids of the calls that this would make have no results. Nothing of the text is lost.
    let body = tell(C, B, history).body;
    let input = &body["messages"][1]["content"][0]["toolUse"]["input"];
    assert!(input.is_object() && input.to_string().contains("2"), "{body}");
}

#[test]
fn t08_calls_in_the_history_bring_their_tools() {
    let history = json!({"messages": [{"role": "user", "content": "hi"},
        {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "weather", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "r"}]});
    let body = tell(C, B, history).body;
    assert_eq!(body["toolConfig"]["tools"][0]["toolSpec"]["name"], "weather");
}

#[test]
fn t09_an_empty_list_of_tools_is_left_out() {
    let asked = json!({"messages": [{"role": "user", "content": "hi"}], "tools": [], "tool_choice": "auto"});
    for (to, member) in [(B, "toolConfig"), (G, "tools"), (A, "tools"), (R, "tools")] {
        let body = tell(C, to, asked.clone()).body;
        assert!(body.get(member).is_none() && body.get("tool_choice").is_none() && body.get("toolConfig").is_none(), "{to:?} {body}");
    }
}

fn two_calls_after_text() -> String {
    let mut events = vec![
        json!({"type": "message_start", "message": {"id": "m", "type": "message", "role": "assistant", "model": "c", "content": [], "stop_reason": null, "usage": {"input_tokens": 1, "output_tokens": 1}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x"}}),
        json!({"type": "content_block_stop", "index": 0}),
    ];
    for (index, id) in [(1, "a"), (2, "b")] {
        events.push(json!({"type": "content_block_start", "index": index, "content_block": {"type": "tool_use", "id": id, "name": "f", "input": {}}}));
        events.push(json!({"type": "content_block_delta", "index": index, "delta": {"type": "input_json_delta", "partial_json": "{}"}}));
        events.push(json!({"type": "content_block_stop", "index": index}));
    }
    events
        .push(json!({"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": null}, "usage": {"output_tokens": 2}}));
    events.push(json!({"type": "message_stop"}));
    named(&events)
}

fn chat_call_indexes(told: &str) -> Vec<(u64, String)> {
    let starts = data(told).into_iter().filter_map(|e| {
        let call = e["choices"][0]["delta"]["tool_calls"][0].clone();
        Some((call["index"].as_u64()?, call["id"].as_str()?.to_owned()))
    });
    starts.collect()
}

#[test]
fn t10_each_streamed_call_has_its_own_index() {
    let told = stream(A, C, &two_calls_after_text());
    assert_eq!(chat_call_indexes(&told), [(0, "a".to_owned()), (1, "b".to_owned())]);
}

fn bedrock_calls() -> Vec<u8> {
    let mut wire = binary("messageStart", &json!({"role": "assistant"}));
    wire.extend(binary("contentBlockDelta", &json!({"contentBlockIndex": 0, "delta": {"text": "x"}})));
    wire.extend(binary("contentBlockStop", &json!({"contentBlockIndex": 0})));
    for (index, id) in [(1, "a"), (2, "b")] {
        wire.extend(binary(
            "contentBlockStart",
            &json!({"contentBlockIndex": index, "start": {"toolUse": {"toolUseId": id, "name": "f"}}}),
        ));
        wire.extend(binary("contentBlockDelta", &json!({"contentBlockIndex": index, "delta": {"toolUse": {"input": "{}"}}})));
        wire.extend(binary("contentBlockStop", &json!({"contentBlockIndex": index})));
    }
    wire.extend(binary("messageStop", &json!({"stopReason": "tool_use"})));
    wire.extend(binary(
        "metadata",
        &json!({"usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}, "metrics": {"latencyMs": 1}}),
    ));
    wire
}

#[test]
fn t11_a_text_block_does_not_shift_the_calls_index() {
    let told = String::from_utf8(stream_bytes(B, C, Framing::EventStream, &bedrock_calls())).unwrap();
    assert_eq!(chat_call_indexes(&told), [(0, "a".to_owned()), (1, "b".to_owned())]);
}

#[test]
fn t12_the_output_index_is_the_place_in_the_output() {
    let told = String::from_utf8(stream_bytes(B, R, Framing::EventStream, &bedrock_calls())).unwrap();
    let told = data(&told);
    let output = told.last().unwrap()["response"]["output"].as_array().unwrap().clone();
    let added: Vec<_> = told.iter().filter(|e| e["type"] == "response.output_item.added").collect();
    assert_eq!(added.len(), output.len());
    for (place, item) in added.iter().enumerate() {
        assert_eq!(item["output_index"], place);
        assert_eq!(item["item"]["id"], output[place]["id"]);
    }
}

#[test]
fn t14_a_name_that_comes_late_is_waited_for() {
    let wire = chunks(&[
        chunk(
            json!({"role": "assistant", "tool_calls": [{"index": 0, "id": "c", "type": "function", "function": {"arguments": ""}}]}),
            None,
        ),
        chunk(json!({"tool_calls": [{"index": 0, "function": {"name": "weather"}}]}), None),
        chunk(json!({"tool_calls": [{"index": 0, "function": {"arguments": "{\"city\":\"Oslo\"}"}}]}), None),
        chunk(json!({}), Some("tool_calls")),
    ]);
    let told = data(&stream(C, A, &wire));
    let start = told.iter().find(|e| e["type"] == "content_block_start").unwrap();
    assert_eq!((&start["content_block"]["name"], &start["content_block"]["id"]), (&json!("weather"), &json!("c")));
    let arguments: String = told.iter().filter_map(|e| e["delta"]["partial_json"].as_str()).collect();
    assert_eq!(arguments, r#"{"city":"Oslo"}"#);
}

#[test]
fn t15_a_call_is_not_over_because_its_buffer_parses() {
    let wire = chunks(&[
        chunk(
            json!({"role": "assistant", "tool_calls": [{"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}),
            None,
        ),
        chunk(json!({"tool_calls": [{"index": 0, "function": {"arguments": " "}}]}), None),
        chunk(json!({}), Some("tool_calls")),
    ]);
    let told = data(&stream(C, A, &wire));
    let kinds: Vec<_> = told.iter().map(|e| e["type"].as_str().unwrap()).collect();
    let stop = kinds.iter().position(|kind| *kind == "content_block_stop").unwrap();
    let last_delta = kinds.iter().rposition(|kind| *kind == "content_block_delta").unwrap();
    assert!(last_delta < stop, "{kinds:?}");
    assert_eq!(told.iter().filter_map(|e| e["delta"]["partial_json"].as_str()).collect::<String>().trim(), "{}");
}

#[test]
fn t16_deltas_without_an_id_belong_to_the_open_call() {
    let wire = chunks(&[
        chunk(json!({"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{\"a\""}}]}), None),
        chunk(json!({"tool_calls": [{"function": {"arguments": ":1}"}}]}), None),
        chunk(json!({}), Some("tool_calls")),
    ]);
    let answer = fold(A, &stream(C, A, &wire)).into_answer();
    let calls = crate::square::facts(&answer).calls;
    assert_eq!(calls, [("f".to_owned(), json!({"a": 1}))]);
}

#[test]
fn t17_an_empty_role_is_no_role() {
    let wire = chunks(&[chunk(json!({"role": "", "content": "a"}), None), chunk(json!({"role": "", "content": "b"}), Some("stop"))]);
    assert_eq!(crate::square::facts(&fold(A, &stream(C, A, &wire)).into_answer()).words, "ab");
}

#[test]
fn t18_the_providers_own_tools_are_no_calls_for_the_client() {
    let wire = named(&[
        json!({"type": "message_start", "message": {"id": "m", "type": "message", "role": "assistant", "model": "c", "content": [], "stop_reason": null, "usage": {"input_tokens": 1, "output_tokens": 1}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "{\"query\":\"x\"}"}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "content_block_start", "index": 1, "content_block": {"type": "web_search_tool_result", "tool_use_id": "s1", "content": []}}),
        json!({"type": "content_block_stop", "index": 1}),
        json!({"type": "content_block_start", "index": 2, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 2, "delta": {"type": "text_delta", "text": "found"}}),
        json!({"type": "content_block_stop", "index": 2}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null}, "usage": {"output_tokens": 2}}),
        json!({"type": "message_stop"}),
    ]);
    let told = stream(A, C, &wire);
    assert!(!told.contains("tool_calls") && told.contains("found"), "{told}");
    let told = data(&stream(A, R, &wire));
    let output = told.last().unwrap()["response"]["output"].clone();
    assert!(output.as_array().unwrap().iter().all(|item| item["type"] != "function_call"), "{output}");
}

#[test]
fn t24_a_forced_tool_is_any_on_gemini_though_strict() {
    let tool = json!({"type": "function", "function": {"name": "weather", "parameters": schema(), "strict": true}});
    let asked = |choice: Value| json!({"messages": [{"role": "user", "content": "hi"}], "tools": [tool.clone()], "tool_choice": choice});
    let config = tell(C, G, asked(json!("required"))).body["toolConfig"]["functionCallingConfig"].clone();
    assert_eq!(config["mode"], "ANY");
    let config =
        tell(C, G, asked(json!({"type": "function", "function": {"name": "weather"}}))).body["toolConfig"]["functionCallingConfig"].clone();
    assert_eq!((&config["mode"], &config["allowedFunctionNames"]), (&json!("ANY"), &json!(["weather"])));
}

#[test]
fn t25_a_claude_tool_without_a_type_and_its_result_make_the_round() {
    let call = json!({"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Oslo"}});
    let body = tell(A, C, claude_calls(&[call])).body;
    assert_eq!(body["tools"][0]["function"]["name"], "weather");
    assert_eq!(body["messages"][2]["role"], "tool");
    assert_eq!((&body["messages"][2]["tool_call_id"], &body["messages"][2]["content"]), (&json!("t1"), &json!("ok")));
}

#[test]
fn t26_gemini_functions_have_no_type_inside_and_share_one_tool() {
    let body = tell(C, G, json!({"messages": [{"role": "user", "content": "hi"}], "tools": [chat_tool("a"), chat_tool("b")]})).body;
    assert_eq!(body["tools"].as_array().unwrap().len(), 1);
    let functions = body["tools"][0]["functionDeclarations"].as_array().unwrap();
    assert_eq!(functions.len(), 2);
    assert!(functions.iter().all(|function| function.get("type").is_none()));
}

#[test]
fn t32_tools_survive_every_pair() {
    let ask = |dialect: Dialect| match dialect {
        C => json!({"messages": [{"role": "user", "content": "hi"}], "tools": [chat_tool("weather")]}),
        R => {
            json!({"input": "hi", "tools": [{"type": "function", "name": "weather", "description": "d", "parameters": schema(), "strict": false}]})
        }
        A => {
            json!({"messages": [{"role": "user", "content": "hi"}], "tools": [{"name": "weather", "description": "d", "input_schema": schema()}]})
        }
        G => json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}],
            "tools": [{"functionDeclarations": [{"name": "weather", "description": "d", "parametersJsonSchema": schema()}]}]}),
        B => json!({"messages": [{"role": "user", "content": [{"text": "hi"}]}],
            "toolConfig": {"tools": [{"toolSpec": {"name": "weather", "description": "d", "inputSchema": {"json": schema()}}}]}}),
    };
    for (from, to) in Dialect::ALL.into_iter().flat_map(|from| Dialect::ALL.map(|to| (from, to))).filter(|(from, to)| from != to) {
        let sent = tell(from, to, ask(from));
        let text = sent.body.to_string();
        let request = codec(to).decode_request(text.as_bytes()).unwrap();
        let [outrider::ir::Tool::Function { name, description, parameters, .. }] = &request.tools[..] else {
            panic!("{from:?} {to:?} {text}")
        };
        assert!(name.is("weather") && description.as_ref().unwrap().is("d"), "{from:?} {to:?} {text}");
        let told: Value = serde_json::from_str(parameters.as_ref().unwrap().raw().get()).unwrap();
        assert_eq!(told, schema(), "{from:?} {to:?}");
    }
}

#[test]
fn t33_a_reference_in_a_result_is_no_pointer() {
    let history = json!({"messages": [{"role": "user", "content": "hi"},
        {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "{\"$ref\":\"part-1\"}"}]});
    let body = tell(C, G, history).body;
    let response = &body["contents"][2]["parts"][0]["functionResponse"]["response"];
    assert!(response.get("$ref").is_none() && response.to_string().contains("part-1"), "{body}");
}
