//! B. Messages, system, roles and parameters. D. Caching.

use serde_json::json;

use super::*;

#[test]
fn t35_system_turns_in_the_middle_stay_in_their_place() {
    let asked = json!({"messages": [{"role": "system", "content": "first"}, {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"}, {"role": "system", "content": "later"}, {"role": "user", "content": "c"}]});
    for to in [A, G, B] {
        let body = tell(C, to, asked.clone()).body;
        let text = body[if to == G { "contents" } else { "messages" }].to_string();
        let at = |word: &str| text.find(&format!(":\"{word}")).unwrap_or_else(|| panic!("{to:?}: no {word} in {text}"));
        assert!(body.to_string().contains("first") && at("b\"") < at("later") && at("later") < at("c\""), "{to:?} {text}");
    }
    let body = tell(C, A, asked).body;
    assert!(body["system"].to_string().contains("first") && !body["system"].to_string().contains("later"), "{body}");
}

#[test]
fn t36_an_empty_assistant_turn_is_left_out() {
    let asked = |turn: Value| json!({"messages": [{"role": "user", "content": "a"}, turn, {"role": "user", "content": "b"}]});
    let body = tell(C, B, asked(json!({"role": "assistant", "content": ""}))).body;
    let roles: Vec<_> = body["messages"].as_array().unwrap().iter().map(|m| m["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["user"], "{body}");
    assert!(!body.to_string().contains("\"text\":\"\""), "{body}");
}

#[test]
fn t37_null_content_stands_only_beside_calls() {
    let call = json!({"type": "tool_use", "id": "t", "name": "f", "input": {}});
    let asked = |content: Value| {
        json!({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": content},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "r"}]}]})
    };
    let body = tell(A, C, asked(json!([call]))).body;
    assert!(body["messages"][1]["content"].is_null() && body["messages"][1]["tool_calls"].is_array(), "{body}");
    let body = tell(
        A,
        C,
        json!({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": []}, {"role": "user", "content": "b"}]}),
    )
    .body;
    assert!(body["messages"].as_array().unwrap().iter().all(|m| m["content"].is_string()), "{body}");
}

#[test]
fn t38_instructions_alone_still_make_a_conversation() {
    let body = tell(C, G, json!({"messages": [{"role": "system", "content": "be brief"}]})).body;
    assert_eq!(body["contents"][0]["role"], "user");
    assert!(body["contents"][0]["parts"][0]["text"].is_string() && body["systemInstruction"].to_string().contains("be brief"), "{body}");
}

#[test]
fn t39_zero_is_a_value() {
    let asked = json!({"messages": [{"role": "user", "content": "hi"}], "temperature": 0, "top_p": 0});
    let body = tell(C, G, asked.clone()).body;
    assert_eq!((&body["generationConfig"]["temperature"], &body["generationConfig"]["topP"]), (&json!(0), &json!(0)));
    assert_eq!(tell(C, R, asked.clone()).body["temperature"], 0);
    let old = ("anthropic", "claude-3-5-haiku-20241022");
    assert_eq!(tell_model(C, A, old, asked).body["temperature"], 0);
    assert_eq!(tell(A, C, json!({"messages": [{"role": "user", "content": "hi"}], "temperature": 0})).body["temperature"], 0);
}

#[test]
fn t40_the_output_bound_has_the_targets_name() {
    let claude = json!({"messages": [{"role": "user", "content": "hi"}], "max_tokens": 77});
    assert_eq!(tell_model(A, C, ("openai", "gpt-5"), claude.clone()).body["max_completion_tokens"], 77);
    assert_eq!(tell_model(A, C, ("mistral", "mistral-large-latest"), claude.clone()).body["max_tokens"], 77);
    assert_eq!(tell(A, R, claude.clone()).body["max_output_tokens"], 77);
    assert_eq!(tell(A, G, claude.clone()).body["generationConfig"]["maxOutputTokens"], 77);
    assert_eq!(tell(A, B, claude).body["inferenceConfig"]["maxTokens"], 77);
    for name in ["max_tokens", "max_completion_tokens"] {
        assert_eq!(tell(C, A, json!({"messages": [{"role": "user", "content": "hi"}], name: 77})).body["max_tokens"], 77);
    }
}

#[test]
fn t41_an_unknown_claude_is_not_held_to_a_small_bound() {
    let body = tell_model(C, A, ("anthropic", "claude-next-9"), json!({"messages": [{"role": "user", "content": "hi"}]})).body;
    assert!(body["max_tokens"].as_u64().unwrap() >= 32_000, "{body}");
}

#[test]
fn t42_the_api_version_that_still_samples_is_asked_for() {
    let headers = codec(A).default_headers();
    assert!(headers.contains(&("anthropic-version", "2023-06-01")));
}

#[test]
fn t43_what_a_reasoning_model_refuses_is_dropped_and_named() {
    let asked = json!({"messages": [{"role": "user", "content": "hi"}], "temperature": 0.1});
    let sent = tell_model(C, A, ("anthropic", "claude-opus-4-8"), asked.clone());
    assert!(sent.body.get("temperature").is_none() && sent.lost("temperature"), "{sent:?}");
    let sent = tell_model(A, C, ("openai", "o4-mini"), json!({"messages": [{"role": "user", "content": "hi"}], "temperature": 0.1}));
    assert!(sent.body.get("temperature").is_none() && sent.lost("temperature"), "{sent:?}");
}

#[test]
fn t44_top_k_goes_where_the_model_family_reads_it() {
    let asked = json!({"messages": [{"role": "user", "content": "hi"}], "top_k": 5});
    let claude = tell_model(A, B, ("bedrock", "anthropic.claude-3-5-haiku-20241022-v1:0"), asked.clone()).body;
    assert_eq!(claude["additionalModelRequestFields"]["top_k"], 5);
    let nova = tell_model(A, B, ("bedrock", "amazon.nova-lite-v1:0"), asked).body;
    assert_eq!(nova["additionalModelRequestFields"]["inferenceConfig"]["topK"], 5);
}

#[test]
fn t45_what_was_not_sent_is_not_sent_as_null() {
    fn nulls(value: &Value, path: String, found: &mut Vec<String>) {
        match value {
            Value::Null => found.push(path),
            Value::Object(members) => members.iter().for_each(|(name, value)| nulls(value, format!("{path}.{name}"), found)),
            Value::Array(elements) => elements.iter().for_each(|value| nulls(value, path.clone(), found)),
            _ => {}
        }
    }
    let asked = json!({"messages": [{"role": "user", "content": "hi"}], "temperature": null, "stop": null, "tools": null, "top_p": null});
    for to in [A, R, G, B] {
        let mut found = Vec::new();
        nulls(&tell(C, to, asked.clone()).body, String::new(), &mut found);
        assert!(found.is_empty(), "{to:?} {found:?}");
    }
}

#[test]
fn t46_googles_members_are_in_camel_case() {
    let asked = json!({"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "hi"}], "max_tokens": 5, "stop": ["x"], "top_p": 0.5,
        "response_format": {"type": "json_object"}, "reasoning_effort": "low"});
    let text = tell(C, G, asked).body.to_string();
    assert!(!text.contains('_') || text.contains("application/json"), "{text}");
    for name in ["systemInstruction", "generationConfig", "maxOutputTokens", "stopSequences", "topP", "responseMimeType"] {
        assert!(text.contains(name), "{name} in {text}");
    }
}

#[test]
fn t47_items_without_a_type_are_messages() {
    let asked = json!({"input": [{"role": "user", "content": "a"}, {"role": "assistant", "content": [{"type": "output_text", "text": "b"}]},
        {"role": "user", "content": [{"type": "input_text", "text": "c"}]}]});
    let body = tell(R, C, asked).body;
    let said: Vec<_> =
        body["messages"].as_array().unwrap().iter().map(|m| (m["role"].as_str().unwrap(), m["content"].to_string())).collect();
    assert_eq!(said.iter().map(|(role, _)| *role).collect::<Vec<_>>(), ["user", "assistant", "user"]);
    assert!(said[1].1.contains('b') && said[2].1.contains('c'));
}

#[test]
fn t50_items_replayed_with_null_members_are_read() {
    let asked = json!({"input": [{"role": "user", "content": "a"},
        {"type": "reasoning", "id": "rs_1", "summary": [], "content": null, "encrypted_content": null, "status": null},
        {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}", "status": "completed", "namespace": null},
        {"type": "function_call_output", "id": "fco_1", "call_id": "c", "output": "r", "status": null}]});
    for to in [C, A, G, B] {
        assert!(tell(R, to, asked.clone()).body.to_string().contains("\"f\""), "{to:?}");
    }
}

#[test]
fn t51_state_that_the_target_does_not_keep_is_refused() {
    for (name, value) in [("previous_response_id", json!("resp_1")), ("conversation", json!("conv_1")), ("background", json!(true))] {
        for to in [C, A, G, B] {
            let fault = try_tell(R, to, model_of(to), json!({"input": "hi", name: value.clone()})).unwrap_err();
            assert_eq!((fault.kind, fault.param.as_deref()), (FaultKind::Unsupported, Some(name)), "{to:?}");
        }
    }
    let fault = try_tell(R, C, model_of(C), json!({"input": [{"type": "item_reference", "id": "msg_1"}]})).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Unsupported);
}

#[test]
fn t52_names_are_not_sent_where_there_are_none() {
    let asked = json!({"messages": [{"role": "user", "name": "ann", "content": "hi"}]});
    for to in [A, G, B] {
        let sent = tell(C, to, asked.clone());
        assert!(!sent.body.to_string().contains("ann") && sent.lost("name"), "{to:?} {sent:?}");
    }
    assert!(
        !tell_model(A, C, ("groq", "llama-3.3-70b"), json!({"messages": [{"role": "user", "content": "hi"}]}))
            .body
            .to_string()
            .contains("function_call")
    );
}

fn marked() -> Value {
    let mark = json!({"type": "ephemeral"});
    json!({"system": [{"type": "text", "text": "s", "cache_control": mark}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "a", "cache_control": mark}]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}, "cache_control": mark}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "r"}]}],
        "tools": [{"name": "f", "input_schema": {"type": "object"}}]})
}

#[test]
fn t66_cache_marks_survive_on_every_kind_of_block() {
    let body = tell(A, B, marked()).body;
    assert_eq!(body.to_string().matches("cachePoint").count(), 3, "{body}");
    let mut tools = json!({"messages": [{"role": "user", "content": "a"}], "tools": [{"name": "f", "input_schema": {"type": "object"}, "cache_control": {"type": "ephemeral"}}]});
    assert!(tell(A, B, tools.clone()).body["toolConfig"].to_string().contains("cachePoint"));
    tools["messages"] = json!([{"role": "user", "content": "a"}, {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "r", "cache_control": {"type": "ephemeral"}}]}]);
    assert!(tell(A, B, tools).body["messages"].to_string().contains("cachePoint"));
}

#[test]
fn t67_a_cache_point_is_an_element_of_its_own() {
    let body = tell(A, B, marked()).body;
    let content = body["messages"].as_array().unwrap().iter().flat_map(|m| m["content"].as_array().unwrap());
    for block in content.chain(body["system"].as_array().unwrap()) {
        assert_eq!(block.as_object().unwrap().len(), 1, "{block}");
    }
}

#[test]
fn t69_a_model_is_known_behind_its_inference_profile() {
    let known = |model: &str| catalog::traits("bedrock", model);
    let plain = known("anthropic.claude-haiku-4-5-20251001-v1:0");
    assert_ne!(plain, catalog::traits("bedrock", "unheard-of"));
    for model in [
        "us.anthropic.claude-haiku-4-5-20251001-v1:0",
        "global.anthropic.claude-haiku-4-5-20251001-v1:0",
        "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-haiku-4-5-20251001-v1:0",
    ] {
        assert_eq!(known(model), plain, "{model}");
    }
}

#[test]
fn t109_a_file_in_googles_storage_is_passed_by_its_address() {
    let asked = json!({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "gs://bucket/a.png"}}]}]});
    let body = tell(C, G, asked).body;
    let file = &body["contents"][0]["parts"][0]["fileData"];
    assert_eq!((&file["fileUri"], &file["mimeType"]), (&json!("gs://bucket/a.png"), &json!("image/png")), "{body}");
}

fn schema_asked(schema: Value) -> Value {
    json!({"messages": [{"role": "user", "content": "hi"}], "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": true}}})
}

#[test]
fn t111_constraints_that_are_refused_are_told_in_words() {
    let schema =
        json!({"type": "object", "properties": {"n": {"type": "integer", "minimum": 3}}, "required": ["n"], "additionalProperties": false});
    let told = tell_model(C, A, ("anthropic", "claude-sonnet-4-6"), schema_asked(schema)).body["output_config"]["format"]["schema"].clone();
    assert!(
        told["properties"]["n"].get("minimum").is_none() && told["properties"]["n"]["description"].to_string().contains("minimum"),
        "{told}"
    );
}

#[test]
fn t112_references_stay_resolvable_and_cycles_end() {
    let cyclic = json!({"type": "object", "properties": {"next": {"$ref": "#/definitions/node"}},
        "definitions": {"node": {"type": "object", "properties": {"next": {"$ref": "#/definitions/node"}}}}});
    for to in [A, G, B] {
        let (kind, model) = if to == A { ("anthropic", "claude-sonnet-4-6") } else { model_of(to) };
        let text = match try_tell(C, to, (kind, model), schema_asked(cyclic.clone())) {
            Ok(sent) => sent.body.to_string(),
            // Refused with a reason is an end too.
            Err(fault) => return assert_eq!(fault.kind, FaultKind::Unsupported, "{to:?}"),
        };
        assert!(text.len() < 10_000, "{to:?}");
        let pointer = text.contains("$ref");
        assert!(!pointer || text.contains("definitions") || text.contains("$defs"), "{to:?} {text}");
    }
}

#[test]
fn t113_schemas_reach_gemini_as_json_schema() {
    let schema = json!({"type": "object", "properties": {"v": {"description": "d", "anyOf": [{"type": "string"}, {"type": "null"}]}, "n": {"enum": [1, 2]}}});
    let body = tell(C, G, schema_asked(schema.clone())).body;
    assert_eq!(body["generationConfig"]["responseJsonSchema"], schema, "the member that takes anyOf and numbers as they are");
    assert!(body["generationConfig"].get("responseSchema").is_none());
}
