//! Embeddings, each caller by each provider.

use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};

use crate::support::{End, Reply, Script, Seen, World, corpus, settle};

const EMBEDDINGS: &str = "/v1/embeddings";

fn world() -> World {
    World::new(
        r#"
[providers.openai]
kind = "openai"
api_key = "sk-operator-openai"
base_url = "http://openai.test/v1"
[providers.gemini]
kind = "gemini"
api_key = "sk-operator-gemini"
base_url = "http://gemini.test/v1beta"
[providers.bedrock]
kind = "bedrock"
api_key = "sk-operator-bedrock"
base_url = "http://bedrock.test"
region = "us-east-1"
[providers.echo]
kind = "echo"
[[models]]
name = "to-openai"
targets = [{ provider = "openai", model = "text-embedding-3-small" }]
[[models]]
name = "to-gemini"
targets = [{ provider = "gemini", model = "gemini-embedding-001" }]
[[models]]
name = "to-titan"
targets = [{ provider = "bedrock", model = "amazon.titan-embed-text-v2:0" }]
retry = { attempts = 1 }
[[models]]
name = "to-titan-1"
targets = [{ provider = "bedrock", model = "amazon.titan-embed-text-v1" }]
[[models]]
name = "to-nova"
targets = [{ provider = "bedrock", model = "amazon.nova-2-multimodal-embeddings-v1:0" }]
[[models]]
name = "to-cohere"
targets = [{ provider = "bedrock", model = "us.cohere.embed-v4:0" }]
[[models]]
name = "to-cohere-3"
targets = [{ provider = "bedrock", model = "cohere.embed-english-v3" }]
[[models]]
name = "strict"
targets = [{ provider = "bedrock", model = "amazon.titan-embed-text-v2:0" }]
strict = true
[[models]]
name = "either"
targets = [{ provider = "bedrock", model = "amazon.titan-embed-text-v1" }, { provider = "openai", model = "text-embedding-3-small" }]
"#,
    )
}

/// The vector of a text: told apart by its number, exact in 32 bits, as long as asked for.
fn vector(text: &str, dimensions: u64) -> Vec<f32> {
    let number: f32 = text.rsplit(' ').next().unwrap().parse().unwrap_or(0.5);
    (0..dimensions.max(1)).map(|place| if place == 0 { number } else { -0.015_625 * place as f32 }).collect()
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|text| text.as_str().map_or_else(|| text.to_string(), str::to_owned)).collect()
}

/// The providers, as they answer by their documentation: three tokens for each text.
fn answer(seen: &Seen) -> Script {
    let path = seen.uri.path().to_owned();
    if path == "/dial" {
        return Script::json(500, "{}");
    }
    let body = seen.json();
    let length = |value: &Value| value.as_u64().unwrap_or(3);
    let ok = |value: Value| Script::json(200, &value.to_string());
    let counted = |value: Value, tokens: usize| {
        let headers = vec![("content-type", "application/json".to_owned()), ("x-amzn-bedrock-input-token-count", tokens.to_string())];
        Script::Answer(200, headers, value.to_string().into())
    };
    if path.ends_with("/embeddings") {
        let texts = texts(&body["input"]);
        // Out of order, as the dialect allows.
        let data: Vec<Value> = texts
            .iter()
            .enumerate()
            .rev()
            .map(|(index, text)| json!({"object": "embedding", "index": index, "embedding": vector(text, length(&body["dimensions"]))}))
            .collect();
        return ok(
            json!({"object": "list", "data": data, "model": "text-embedding-3-small", "usage": {"prompt_tokens": 3 * texts.len(), "total_tokens": 3 * texts.len()}}),
        );
    }
    if path.ends_with(":batchEmbedContents") {
        let requests = body["requests"].as_array().unwrap();
        let of = |request: &Value| json!({"values": vector(request["content"]["parts"][0]["text"].as_str().unwrap(), length(&request["outputDimensionality"]))});
        return ok(
            json!({"embeddings": requests.iter().map(of).collect::<Vec<_>>(), "usageMetadata": {"promptTokenCount": 3 * requests.len()}}),
        );
    }
    if path.contains("titan") {
        let length = if path.contains("text-v1") { 1536 } else { length(&body["dimensions"]) };
        let vector = vector(body["inputText"].as_str().unwrap(), length);
        return ok(json!({"embedding": vector, "inputTextTokenCount": 3}));
    }
    if path.contains("nova") {
        let parameters = &body["singleEmbeddingParams"];
        let vector = vector(parameters["text"]["value"].as_str().unwrap(), length(&parameters["embeddingDimension"]));
        return counted(json!({"embeddings": [{"embeddingType": "TEXT", "embedding": vector}]}), 3);
    }
    let texts = texts(&body["texts"]);
    let vectors: Vec<_> =
        texts.iter().map(|text| vector(text, if path.contains("-v3") { 1024 } else { length(&body["output_dimension"]) })).collect();
    match path.contains("v4") {
        true => counted(json!({"embeddings": {"float": vectors}, "response_type": "embeddings_by_type"}), 3 * texts.len()),
        false => counted(json!({"embeddings": vectors, "response_type": "embeddings_floats"}), 3 * texts.len()),
    }
}

fn populated() -> (World, [std::sync::Arc<crate::support::Provider>; 3]) {
    let world = world();
    let providers = ["openai", "gemini", "bedrock"].map(|name| world.provider(name, |seen, _| answer(seen)));
    (world, providers)
}

fn floats(value: &Value) -> Vec<f32> {
    serde_json::from_value(value.clone()).unwrap()
}

/// What OpenAI's SDKs do with base64.
fn unpacked(value: &Value) -> Vec<f32> {
    let text = value.as_str().unwrap_or_else(|| panic!("no base64: {value}"));
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
    bytes.chunks(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect()
}

fn ask_openai(model: &str, inputs: usize, dimensions: Option<u64>, encoding: Option<&str>) -> String {
    let mut body = json!({"model": model, "input": (0..inputs).map(|i| format!("text {i}")).collect::<Vec<_>>()});
    if let Some(dimensions) = dimensions {
        body["dimensions"] = json!(dimensions);
    }
    body["encoding_format"] = json!(encoding);
    body.to_string()
}

fn ask_gemini(inputs: usize, dimensions: Option<u64>) -> String {
    let one = |i: usize| {
        let mut one = json!({"model": "models/alias", "content": {"parts": [{"text": format!("text {i}")}]}});
        if let Some(dimensions) = dimensions {
            one["outputDimensionality"] = json!(dimensions);
        }
        one
    };
    json!({"requests": (0..inputs).map(one).collect::<Vec<_>>()}).to_string()
}

const TARGETS: [&str; 5] = ["to-gemini", "to-titan", "to-nova", "to-cohere", "to-openai"];

// === All pairs ===

#[tokio::test(start_paused = true)]
async fn an_openai_caller_is_served_by_each_provider() {
    let (world, _) = populated();
    let mut asked = 0;
    for target in &TARGETS[..4] {
        for inputs in [1, 2, 9, 250] {
            for dimensions in [None, Some(5)] {
                for encoding in [None, Some("float"), Some("base64")] {
                    let reply = world.post(EMBEDDINGS, ask_openai(target, inputs, dimensions, encoding)).await;
                    asked += 1;
                    assert_eq!(reply.status, 200, "{target}: {}", reply.text());
                    assert_eq!(reply.header("x-outrider-lossy"), "");
                    let answer = reply.json();
                    assert_eq!(answer["object"], "list");
                    assert_eq!(answer["model"], *target);
                    assert_eq!(answer["usage"], json!({"prompt_tokens": 3 * inputs, "total_tokens": 3 * inputs}), "{target}");
                    let data = answer["data"].as_array().unwrap();
                    assert_eq!(data.len(), inputs);
                    for (index, entry) in data.iter().enumerate() {
                        assert_eq!((&entry["object"], &entry["index"]), (&json!("embedding"), &json!(index)));
                        let given = if encoding == Some("base64") { unpacked(&entry["embedding"]) } else { floats(&entry["embedding"]) };
                        assert_eq!(given, vector(&format!("text {index}"), dimensions.unwrap_or(3)), "{target} {index}");
                    }
                }
            }
        }
    }
    world.assert_settled(asked);
}

#[tokio::test(start_paused = true)]
async fn a_gemini_caller_is_served_by_each_provider() {
    let (world, [openai, ..]) = populated();
    let mut asked = 0;
    for target in TARGETS.iter().filter(|target| **target != "to-gemini") {
        for inputs in [1, 2, 130] {
            for dimensions in [None, Some(4)] {
                let reply = world.post(&format!("/v1beta/models/{target}:batchEmbedContents"), ask_gemini(inputs, dimensions)).await;
                asked += 1;
                assert_eq!(reply.status, 200, "{target}: {}", reply.text());
                let answer = reply.json();
                let given: Vec<_> = answer["embeddings"].as_array().unwrap().iter().map(|one| floats(&one["values"])).collect();
                let wanted: Vec<_> = (0..inputs).map(|i| vector(&format!("text {i}"), dimensions.unwrap_or(3))).collect();
                assert_eq!(given, wanted, "{target}");
                assert_eq!(answer["usageMetadata"]["promptTokenCount"], 3 * inputs);
            }
        }
        let one = r#"{"content":{"parts":[{"text":"text 7"}]},"outputDimensionality":2}"#;
        let reply = world.post(&format!("/v1beta/models/{target}:embedContent"), one).await;
        asked += 1;
        assert_eq!(reply.json(), json!({"embedding": {"values": [7.0, -0.015625]}, "usageMetadata": {"promptTokenCount": 3}}), "{target}");
    }
    let sent = openai.seen()[0].json();
    assert_eq!(sent, json!({"model": "text-embedding-3-small", "input": ["text 0"], "encoding_format": "float"}));
    assert_eq!(
        (openai.seen()[0].uri.path(), &openai.seen()[0].headers["authorization"]),
        ("/v1/embeddings", &"Bearer sk-operator-openai".parse().unwrap())
    );
    world.assert_settled(asked);
    assert!(world.metric("gen_ai_client_token_usage_sum", &[("gen_ai_token_type", "input")]) > 0.0);
}

#[tokio::test(start_paused = true)]
async fn the_echo_provider_serves_gemini_callers() {
    let world = world();
    let reply = world.post("/v1/models/echo%2Fecho:embedContent", r#"{"content":{"parts":[{"text":"a"}]},"outputDimensionality":2}"#).await;
    assert_eq!(reply.json()["embedding"]["values"].as_array().unwrap().len(), 2, "{}", reply.text());
}

// === What each is sent ===

#[tokio::test(start_paused = true)]
async fn each_provider_is_asked_in_its_own_words() {
    let (world, [_, gemini, bedrock]) = populated();
    world
        .post(
            EMBEDDINGS,
            r#"{"model":"to-gemini","input":"a \u00e9 1","dimensions":256,"input_type":"document","encoding_format":"base64"}"#,
        )
        .await;
    let sent = &gemini.seen()[0];
    assert_eq!(sent.uri, "/v1beta/models/gemini-embedding-001:batchEmbedContents");
    assert_eq!(
        std::str::from_utf8(&sent.body).unwrap(),
        r#"{"requests":[{"model":"models/gemini-embedding-001","content":{"parts":[{"text":"a \u00e9 1"}]},"taskType":"RETRIEVAL_DOCUMENT","outputDimensionality":256}]}"#
    );
    // (alias, dimensions, path, body)
    let cases = [
        ("to-titan", "256", "/model/amazon.titan-embed-text-v2%3A0/invoke", r#"{"inputText":"a","dimensions":256}"#),
        ("to-titan-1", "1536", "/model/amazon.titan-embed-text-v1/invoke", r#"{"inputText":"a"}"#),
        (
            "to-cohere",
            "512",
            "/model/us.cohere.embed-v4%3A0/invoke",
            r#"{"texts":["a"],"input_type":"search_query","output_dimension":512}"#,
        ),
        ("to-cohere-3", "1024", "/model/cohere.embed-english-v3/invoke", r#"{"texts":["a"],"input_type":"search_query"}"#),
        (
            "to-nova",
            "384",
            "/model/amazon.nova-2-multimodal-embeddings-v1%3A0/invoke",
            r#"{"taskType":"SINGLE_EMBEDDING","singleEmbeddingParams":{"embeddingPurpose":"GENERIC_INDEX","embeddingDimension":384,"text":{"truncationMode":"NONE","value":"a"}}}"#,
        ),
    ];
    for (place, (alias, dimensions, path, body)) in cases.into_iter().enumerate() {
        world.post(EMBEDDINGS, format!(r#"{{"model":"{alias}","input":["a"],"dimensions":{dimensions}}}"#)).await;
        let sent = &bedrock.seen()[place];
        assert_eq!((sent.uri.path(), std::str::from_utf8(&sent.body).unwrap()), (path, body));
        assert_eq!(sent.headers["authorization"], "Bearer sk-operator-bedrock");
    }
}

#[tokio::test(start_paused = true)]
async fn large_requests_become_several_calls() {
    let (world, [_, gemini, bedrock]) = populated();
    world.post(EMBEDDINGS, ask_openai("to-gemini", 250, None, None)).await;
    let lengths = |provider: &crate::support::Provider, member: &str| {
        let mut lengths: Vec<_> = provider.seen().iter().map(|seen| seen.json()[member].as_array().map_or(1, Vec::len)).collect();
        lengths.sort_unstable();
        lengths
    };
    assert_eq!(lengths(&gemini, "requests"), [50, 100, 100]);
    world.post(EMBEDDINGS, ask_openai("to-cohere", 200, None, None)).await;
    assert_eq!(lengths(&bedrock, "texts"), [8, 96, 96]);
    assert!(bedrock.dialled() <= 8);
}

#[tokio::test(start_paused = true)]
async fn only_a_few_calls_are_under_way_at_a_time() {
    let world = world();
    let open = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let most = std::sync::Arc::clone(&open);
    // The nearer the end, the sooner it is answered.
    let bedrock = world.provider("bedrock", move |seen, nth| match answer(seen) {
        Script::Answer(status, headers, body) => {
            most.fetch_max(nth + 1, std::sync::atomic::Ordering::SeqCst);
            Script::Raw(status, headers, vec![(Duration::from_millis(500 - 10 * nth as u64), body)], End::Close)
        }
        other => other,
    });
    let asked = world.post(EMBEDDINGS, ask_openai("to-titan", 30, None, None));
    let (reply, ()) = tokio::join!(asked, async {
        settle().await;
        assert_eq!((bedrock.open(), open.load(std::sync::atomic::Ordering::SeqCst)), (8, 8));
    });
    let answer = reply.json();
    let given: Vec<_> = answer["data"].as_array().unwrap().iter().map(|entry| floats(&entry["embedding"])[0]).collect();
    assert_eq!(given, (0..30).map(|i| i as f32).collect::<Vec<_>>());
    assert_eq!(answer["usage"]["prompt_tokens"], 90);
    assert_eq!(reply.header("x-outrider-attempts"), "1");
    world.assert_settled(1);
}

// === What goes wrong ===

#[tokio::test(start_paused = true)]
async fn one_failure_in_the_middle_fails_all_and_cancels_the_rest() {
    // (what the failing call does, the status that the app sees)
    let throttled = Script::Answer(
        429,
        vec![("content-type", "application/json".into()), ("x-amzn-errortype", "ThrottlingException".into()), ("retry-after", "7".into())],
        r#"{"message":"Too many tokens of sk-operator-bedrock"}"#.into(),
    );
    let cases = [
        (throttled, 429),
        (Script::Drop, 502),
        (Script::json(200, r#"{"embedding":[1,null],"inputTextTokenCount":3}"#), 502),
        (Script::json(200, r#"{"inputTextTokenCount":3}"#), 502),
        (Script::json(200, "not json"), 502),
        (Script::json(400, r#"{"message":"Malformed input request"}"#), 400),
    ];
    for (failure, status) in cases {
        let world = world();
        let bedrock = world.provider("bedrock", move |seen, _| match seen.body.as_ref() {
            br#"{"inputText":"text 11"}"# => failure.clone(),
            _ => answer(seen),
        });
        let reply = world.post(EMBEDDINGS, ask_openai("to-titan", 40, None, Some("base64"))).await;
        assert_eq!(reply.status, status, "{}", reply.text());
        assert!(reply.json()["error"]["message"].is_string());
        assert!(!reply.text().contains("sk-operator"), "{}", reply.text());
        if status == 429 {
            assert_eq!(reply.header("retry-after"), "7");
            assert!(bedrock.seen().len() < 40, "{}", bedrock.seen().len());
        }
        settle().await;
        assert_eq!(bedrock.open(), 0);
        world.assert_settled(1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_cancels_every_call() {
    let world = world();
    let bedrock = world.always("bedrock", Script::Hang);
    let asked = world.post(EMBEDDINGS, ask_openai("to-titan", 40, None, None));
    assert!(tokio::time::timeout(Duration::from_secs(1), asked).await.is_err());
    settle().await;
    assert_eq!((bedrock.seen().len(), bedrock.open(), bedrock.cancelled()), (8, 0, 8));
    world.assert_settled(1);
}

#[tokio::test(start_paused = true)]
async fn another_target_is_asked_for_what_the_first_cannot() {
    let (world, [openai, _, bedrock]) = populated();
    let reply = world.post("/v1beta/models/either:batchEmbedContents", ask_gemini(2, Some(4))).await;
    assert_eq!((reply.status.as_u16(), reply.header("x-outrider-target")), (200, "openai/text-embedding-3-small"));
    assert_eq!((bedrock.seen().len(), openai.seen().len()), (0, 1));
    // Tokens pass to whom they are meant for.
    let tokens = r#"{"model":"either","input":[[1,2],[3]],"encoding_format":null}"#;
    assert_eq!(world.post(EMBEDDINGS, tokens).await.status, 200);
    assert_eq!(openai.seen()[1].body, tokens.replace("either", "text-embedding-3-small"));
}

#[tokio::test(start_paused = true)]
async fn what_would_give_other_vectors_is_refused() {
    let (world, providers) = populated();
    let many = ask_openai("to-gemini", 2049, None, None);
    // (body, param, what the message says)
    let cases: [(&str, Option<&str>, &str); 15] = [
        (r#"{"model":"to-titan-1","input":"a","dimensions":256}"#, Some("dimensions"), "1536"),
        (r#"{"model":"to-cohere-3","input":"a","dimensions":256}"#, Some("dimensions"), "1024"),
        (r#"{"model":"to-gemini","input":[1,2,3]}"#, Some("input"), "check_embedding_ctx_length"),
        (r#"{"model":"to-titan","input":[[1],[2]]}"#, Some("input"), "check_embedding_ctx_length"),
        (r#"{"model":"to-cohere","input":["a",[2]]}"#, Some("input"), "check_embedding_ctx_length"),
        (r#"{"model":"to-gemini"}"#, Some("input"), "found nothing"),
        (r#"{"model":"to-gemini","input":[]}"#, Some("input"), "empty"),
        (r#"{"model":"to-gemini","input":{"a":1}}"#, Some("input"), "found an object"),
        (r#"{"model":"to-gemini","input":["a",true]}"#, Some("input[1]"), "found a boolean"),
        (r#"{"model":"to-gemini","input":[[1,-2]]}"#, Some("input[0][1]"), "whole number"),
        (&many, Some("input[2048]"), "2048"),
        (r#"{"model":"to-gemini","input":"a","dimensions":0}"#, Some("dimensions"), "1 or more"),
        (r#"{"model":"to-gemini","input":"a","dimensions":"8"}"#, Some("dimensions"), "found a string"),
        (r#"{"model":"to-gemini","input":"a","encoding_format":"int8"}"#, Some("encoding_format"), "int8"),
        (r#"{"model":"bedrock/amazon.titan-text-express-v1","input":"a"}"#, Some("model"), "embedding model"),
    ];
    for (body, param, words) in cases {
        let reply = world.post(EMBEDDINGS, body).await;
        let answer = reply.json();
        assert_eq!(reply.status, 400, "{body}");
        assert_eq!(answer["error"]["param"].as_str(), param, "{answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains(words), "{answer}");
    }
    // (method, body, what the message says)
    let cases = [
        ("batchEmbedContents", r#"{"requests":[]}"#, "at least one"),
        ("batchEmbedContents", r#"{"requests":7}"#, "a list"),
        ("batchEmbedContents", r#"{"requests":[{"content":{"parts":[]}}]}"#, "requests[0].content.parts"),
        (
            "batchEmbedContents",
            r#"{"requests":[{"content":{"parts":[{"text":"a"}]},"outputDimensionality":1},{"content":{"parts":[{"text":"a"}]}}]}"#,
            "requests[1].outputDimensionality",
        ),
        (
            "embedContent",
            r#"{"content":{"parts":[{"inline_data":{"mime_type":"image/png","data":"AA=="}}]}}"#,
            "content.parts[0].inline_data",
        ),
        ("embedContent", r#"{}"#, "content"),
        ("embedContent", r#"{"content":{"parts":[{"text":"a"}]},"outputDimensionality":-1}"#, "outputDimensionality"),
    ];
    for (method, body, words) in cases {
        let reply = world.post(&format!("/v1beta/models/to-openai:{method}"), body).await;
        assert_eq!(reply.status, 400, "{body}: {}", reply.text());
        assert_eq!(reply.json()["error"]["status"], "INVALID_ARGUMENT");
        assert!(reply.json()["error"]["message"].as_str().unwrap().contains(words), "{}", reply.text());
    }
    assert!(providers.iter().all(|provider| provider.seen().is_empty()));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_said_is_named_or_refused() {
    let (world, _) = populated();
    let lossy = |reply: &Reply| reply.header("x-outrider-lossy").to_owned();
    let body = r#"{"model":"to-titan","input":"a","user":"u-1","input_type":"query","x":{"y":1}}"#;
    let reply = world.post(EMBEDDINGS, body).await;
    assert_eq!((reply.status.as_u16(), lossy(&reply).as_str()), (200, "user, x, input_type"));
    let reply = world.post(EMBEDDINGS, body.replace("to-titan", "strict")).await;
    assert_eq!((reply.status.as_u16(), reply.json()["error"]["code"].as_str()), (400, Some("unsupported_parameter")));
    let one =
        r#"{"content":{"parts":[{"text":"a"}]},"task_type":"RETRIEVAL_QUERY","title":"t","embedContentConfig":{"autoTruncate":true}}"#;
    let reply = world.post("/v1beta/models/to-openai:embedContent", one).await;
    assert_eq!((reply.status.as_u16(), lossy(&reply).as_str()), (200, "embedContentConfig.autoTruncate, taskType, title"));
    let batch = format!(r#"{{"requests":[{one},{one}]}}"#);
    let reply = world.post("/v1beta/models/to-cohere:batchEmbedContents", batch).await;
    assert_eq!(lossy(&reply), "requests[].embedContentConfig.autoTruncate, requests[].title");
}

#[tokio::test(start_paused = true)]
async fn answers_to_something_else_are_no_answers() {
    // (the provider's answer to two texts of four numbers each, why it is none)
    let cases = [
        (r#"{"embeddings":[{"values":[1,2,3,4]}]}"#, "1 embeddings where 2"),
        (r#"{"embeddings":[{"values":[1,2,3]},{"values":[1,2,3]}]}"#, "3 numbers where 4"),
        (r#"{"embeddings":[{"values":[1,2,3,"4"]},{"values":[1,2,3,4]}]}"#, "not all numbers"),
        (r#"{"embeddings":[{},{}]}"#, "values"),
        (r#"{"candidates":[]}"#, "embeddings"),
        (r#"{"embeddings":[{"values":[1,2,3,1e40]},{"values":[1,2,3,4]}]}"#, "32-bit"),
    ];
    for (answer, why) in cases {
        let world = world();
        world.always("gemini", Script::json(200, answer));
        let reply = world.post(EMBEDDINGS, ask_openai("to-gemini", 2, Some(4), Some("base64"))).await;
        assert_eq!(reply.status, 502, "{}", reply.text());
        assert!(reply.text().contains(why), "{} lacks {why}", reply.text());
        world.assert_settled(1);
    }
    let world = world();
    world.always("openai", Script::json(200, r#"{"error":{"message":"no such model","code":404}}"#));
    let reply = world.post("/v1beta/models/to-openai:embedContent", r#"{"content":{"parts":[{"text":"a"}]}}"#).await;
    assert!(reply.text().contains("no such model"), "{}", reply.text());
}

// === What passes ===

#[tokio::test(start_paused = true)]
async fn gemini_to_gemini_passes_on_the_path_that_was_asked() {
    let world = world();
    let one = r#"{ "embedding": {"values": [0.10, -2e-1]} }"#;
    let gemini = world.always("gemini", Script::json(200, one));
    let body = r#"{"model":"models/to-gemini","content":{"parts":[{"text":"a"}]},"future":1.50}"#;
    let reply = world.post("/v1beta/models/to-gemini:embedContent", body).await;
    assert_eq!((reply.status.as_u16(), reply.text()), (200, one));
    assert_eq!(gemini.seen()[0].uri.path(), "/v1beta/models/gemini-embedding-001:embedContent");
    assert_eq!(gemini.seen()[0].body, body.replace("to-gemini", "gemini-embedding-001"));
    let batch = r#"{"requests":[{"model":"models/to-gemini","content":{"parts":[{"text":"models/to-"}]}}, {"content":{}, "model" : "models/to-gemini"}]}"#;
    world.post("/v1beta/models/to-gemini:batchEmbedContents", batch).await;
    assert_eq!(gemini.seen()[1].uri.path(), "/v1beta/models/gemini-embedding-001:batchEmbedContents");
    assert_eq!(gemini.seen()[1].body, batch.replace("models/to-gemini", "models/gemini-embedding-001"));
    world.assert_settled(2);
}

/// An upstream that answers numbers where base64 was asked for is passed as it is: OpenAI's SDKs read both.
#[tokio::test(start_paused = true)]
async fn an_openai_like_host_that_ignores_base64_is_passed_as_it_is() {
    let world = world();
    let answer = r#"{"object":"list","data":[{"object":"embedding","embedding":[0.10],"index":0}],"model":"m","usage":{"prompt_tokens":2,"total_tokens":2}}"#;
    world.always("openai", Script::json(200, answer));
    assert_eq!(world.post(EMBEDDINGS, ask_openai("to-openai", 1, None, Some("base64"))).await.text(), answer);
    assert_eq!(world.metric("gen_ai_client_token_usage_sum", &[("gen_ai_token_type", "input")]), 2.0);
}

// === Recordings ===

fn recorded(apis: &[&str]) -> Vec<corpus::Exchange> {
    corpus::load().into_iter().filter(|exchange| apis.contains(&exchange.api.as_str())).collect()
}

/// Each recorded answer is given to a caller of the other dialect: every number arrives, in both encodings.
#[tokio::test(start_paused = true)]
async fn recorded_answers_reach_the_other_dialect_whole() {
    let mut checked = 0;
    for exchange in recorded(&["embeddings", "embedContent", "cohere.embed", "invoke"]) {
        let Ok(answer) = serde_json::from_slice::<Value>(&exchange.response) else { continue };
        let vectors: Vec<Value> = match &answer {
            _ if exchange.status != 200 || exchange.stream => continue,
            answer if answer["data"].is_array() => {
                answer["data"].as_array().unwrap().iter().map(|entry| entry["embedding"].clone()).collect()
            }
            answer if answer["embeddings"]["float"].is_array() => answer["embeddings"]["float"].as_array().unwrap().clone(),
            answer if answer["embeddings"].is_array() => {
                let of = |entry: &Value| {
                    [&entry["values"], &entry["embedding"], entry].into_iter().find(|value| value.is_array()).unwrap().clone()
                };
                answer["embeddings"].as_array().unwrap().iter().map(of).collect()
            }
            answer if answer["embedding"]["values"].is_array() => vec![answer["embedding"]["values"].clone()],
            _ => continue,
        };
        if vectors.is_empty() || vectors.iter().any(Value::is_null) {
            continue;
        }
        let world = world();
        let script = Script::Answer(200, vec![("content-type", "application/json".into())], exchange.response.clone().into());
        for provider in ["openai", "gemini", "bedrock"] {
            world.always(provider, script.clone());
        }
        let (from_openai, target) = match &*exchange.api {
            "embeddings" => (false, "to-openai"),
            "embedContent" => (true, "to-gemini"),
            _ => (true, "to-cohere"),
        };
        let id = &exchange.id;
        if !from_openai {
            let reply = world.post("/v1beta/models/to-openai:batchEmbedContents", ask_gemini(vectors.len(), None)).await;
            // Base64 of whole bytes, one for each number: what is no vector of floats is not taken for one.
            if exchange.provider == "perplexity" {
                assert!(reply.status == 502 && reply.text().contains("32-bit floats"), "{id}: {}", reply.text());
                continue;
            }
            assert_eq!(reply.status, 200, "{id}: {}", reply.text());
            let answer = reply.json();
            for (entry, recorded) in answer["embeddings"].as_array().unwrap().iter().zip(&vectors) {
                match recorded.is_array() {
                    true => assert_eq!(&entry["values"], recorded, "{id}"),
                    false => assert_eq!(
                        floats(&entry["values"]).iter().map(|x| x.to_bits()).collect::<Vec<_>>(),
                        unpacked(recorded).iter().map(|x| x.to_bits()).collect::<Vec<_>>(),
                        "{id}"
                    ),
                }
            }
            checked += 1;
            continue;
        }
        for encoding in ["float", "base64"] {
            let reply = world.post(EMBEDDINGS, ask_openai(target, vectors.len(), None, Some(encoding))).await;
            assert_eq!(reply.status, 200, "{id}: {}", reply.text());
            let answer = reply.json();
            for (entry, recorded) in answer["data"].as_array().unwrap().iter().zip(&vectors) {
                match encoding {
                    "float" => assert_eq!(&entry["embedding"], recorded, "{id}"),
                    _ => assert_eq!(unpacked(&entry["embedding"]), floats(recorded), "{id}"),
                }
            }
        }
        checked += 1;
    }
    eprintln!("embeddings: {checked} recorded answers checked");
    assert!(checked == 0 || checked > 40, "{checked}");
}

/// Each recorded request of the one dialect can be put to a provider of the other.
#[tokio::test(start_paused = true)]
async fn recorded_requests_reach_the_other_dialect() {
    let mut checked = 0;
    for exchange in recorded(&["embeddings", "embedContent"]) {
        let Some(mut request) = exchange.request else { continue };
        if exchange.status != 200 {
            continue;
        }
        let (world, [openai, gemini, _]) = populated();
        let id = &exchange.id;
        if exchange.api == "embeddings" {
            request["model"] = json!("to-gemini");
            let reply = world.post(EMBEDDINGS, request.to_string()).await;
            if request["input"].as_array().is_some_and(|input| !input[0].is_string()) {
                assert_eq!(reply.status, 400, "{id}");
                continue;
            }
            assert_eq!(reply.status, 200, "{id}: {}", reply.text());
            let inputs = request["input"].as_array().cloned().unwrap_or_else(|| vec![request["input"].clone()]);
            let sent = gemini.seen()[0].json();
            let texts: Vec<_> = sent["requests"].as_array().unwrap().iter().map(|one| one["content"]["parts"][0]["text"].clone()).collect();
            assert_eq!(texts, inputs, "{id}");
            let asked = request.get("dimensions").filter(|value| !value.is_null());
            assert_eq!(sent["requests"][0].get("outputDimensionality"), asked, "{id}");
        } else {
            let method = if request["requests"].is_array() { "batchEmbedContents" } else { "embedContent" };
            let reply = world.post(&format!("/v1beta/models/to-openai:{method}"), request.to_string()).await;
            if request.to_string().contains("inline_data") {
                assert_eq!(reply.status, 400, "{id}");
                continue;
            }
            assert_eq!(reply.status, 200, "{id}: {}", reply.text());
            let sent = openai.seen()[0].json();
            let one = |one: &Value| one["content"]["parts"][0]["text"].clone();
            let texts: Vec<_> = request["requests"].as_array().map_or_else(|| vec![one(&request)], |all| all.iter().map(one).collect());
            assert_eq!(sent["input"], json!(texts), "{id}");
            let first = if method == "embedContent" { &request } else { &request["requests"][0] };
            let asked = first.get("outputDimensionality").or_else(|| first.get("output_dimensionality"));
            assert_eq!(sent.get("dimensions"), asked, "{id}");
        }
        checked += 1;
    }
    eprintln!("embeddings: {checked} recorded requests checked");
    assert!(checked == 0 || checked > 30, "{checked}");
}
