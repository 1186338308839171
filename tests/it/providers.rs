//! Providers of the clouds: their paths, their bodies, and how requests to them are authorised.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use outrider::config::Outside;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use ring::{digest, hmac};
use serde_json::json;

use crate::support::{Provider, Script, Seen, WALL_SECONDS, World, read, settle};

const CHAT: &str = "/v1/chat/completions";
const MESSAGES: &str = "/v1/messages";
const ANSWER: &str = r#"{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}"#;
const MESSAGE: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"claude-haiku-4-5","content":[{"type":"text","text":"Hello"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":9,"output_tokens":2}}"#;

fn ask(model: &str) -> String {
    format!("{{\"model\":\"{model}\",\"messages\":[{{\"role\":\"user\",\"content\":\"hi\"}}]}}")
}

fn ask_claude(model: &str) -> String {
    format!("{{\"max_tokens\": 5, \"model\" : \"{model}\",\"messages\":[{{\"role\":\"user\",\"content\":\"hi\"}}],\"future\":1.50}}")
}

/// A world with these variables and files.
fn world(toml: &str, variables: &[(&str, &str)], files: &[(&str, &str)]) -> World {
    let env = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    let read = |path: &Path| {
        let known = files.iter().find(|(known, _)| Path::new(known) == path);
        known.map(|(_, text)| (*text).to_owned()).ok_or_else(|| std::io::ErrorKind::NotFound.into())
    };
    World::within(toml, &Outside { env: &env, read: &read })
}

fn header<'s>(seen: &'s Seen, name: &str) -> &'s str {
    seen.headers.get(name).map_or("", |value| value.to_str().unwrap())
}

/// The fields of a form.
fn form(seen: &Seen) -> HashMap<String, String> {
    let text = std::str::from_utf8(&seen.body).unwrap();
    let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned();
    text.split('&').filter_map(|pair| pair.split_once('=')).map(|(name, value)| (name.to_owned(), decoded(value))).collect()
}

// === Azure ===

#[tokio::test(start_paused = true)]
async fn a_dated_azure_names_the_deployment_in_the_path() {
    let world = world(
        "[providers.azure]\nkind = \"azure\"\napi_key = \"az-key\"\nbase_url = \"http://azure.test/?api-version=2024-10-21\"\n",
        &[],
        &[],
    );
    let azure = world.always("azure", Script::json(200, ANSWER));
    let reply = world.post(CHAT, ask("azure/my-gpt")).await;
    assert_eq!((reply.status.as_u16(), reply.text()), (200, ANSWER));
    let seen = &azure.seen()[0];
    assert_eq!(seen.uri, "/openai/deployments/my-gpt/chat/completions?api-version=2024-10-21");
    assert_eq!((header(seen, "api-key"), header(seen, "authorization")), ("az-key", ""));
    assert_eq!(seen.body, ask("my-gpt"));
    world.post("/v1/embeddings", r#"{"model":"azure/e","input":"x"}"#).await;
    assert_eq!(azure.seen()[1].uri, "/openai/deployments/e/embeddings?api-version=2024-10-21");
    world.get("/v1/models").await;
    assert_eq!(azure.seen()[2].uri, "/openai/models?api-version=2024-10-21");
    assert_eq!(header(&azure.seen()[2], "api-key"), "az-key");
}

const ENTRA: &str = "[providers.azure]\nkind = \"azure\"\nbase_url = \"http://azure.test/openai/v1\"\ntenant_id = \"t-1\"\nclient_id = \"c-1\"\nclient_secret = \"very-secret\"\n";

/// Tokens of an hour, `token-0` first; slow to come.
fn tokens(world: &World, host: &str) -> Arc<Provider> {
    world.host(host, |_, nth| {
        let body = format!("{{\"token_type\":\"Bearer\",\"expires_in\":3600,\"access_token\":\"token-{nth}\"}}");
        Script::Raw(
            200,
            vec![("content-type", "application/json".into())],
            vec![(Duration::from_secs(2), Bytes::from(body))],
            crate::support::End::Close,
        )
    })
}

/// Bearer tokens, in the order in which they came.
fn bearers(provider: &Provider) -> Vec<String> {
    provider.seen().iter().map(|seen| header(seen, "authorization").trim_start_matches("Bearer ").to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_hundred_wait_for_one_token() {
    let world = Arc::new(world(ENTRA, &[], &[]));
    let azure = world.always("azure", Script::json(200, ANSWER));
    let entra = tokens(&world, "login.microsoftonline.com");
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let world = Arc::clone(&world);
        asking.spawn(async move { world.post(CHAT, ask("azure/m")).await.status.as_u16() });
    }
    assert_eq!(asking.join_all().await, vec![200; 100]);
    assert_eq!((entra.seen().len(), azure.seen().len()), (1, 100));
    assert!(bearers(&azure).iter().all(|bearer| bearer == "token-0"));
    let seen = &entra.seen()[0];
    assert_eq!(seen.uri, "/t-1/oauth2/v2.0/token");
    let expected = [
        ("grant_type", "client_credentials"),
        ("client_id", "c-1"),
        ("client_secret", "very-secret"),
        ("scope", "https://cognitiveservices.azure.com/.default"),
    ];
    assert_eq!(form(seen), expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    world.assert_settled(100);
}

#[tokio::test(start_paused = true)]
async fn a_token_is_refreshed_behind_those_whom_the_old_one_serves() {
    let world = world(ENTRA, &[], &[]);
    let azure = world.always("azure", Script::json(200, ANSWER));
    let entra = tokens(&world, "login.microsoftonline.com");
    world.post(CHAT, ask("azure/m")).await;
    tokio::time::sleep(Duration::from_secs(54 * 60)).await;
    world.post(CHAT, ask("azure/m")).await;
    assert_eq!(entra.seen().len(), 1, "not before it is due");
    tokio::time::sleep(Duration::from_secs(90)).await;
    let before = tokio::time::Instant::now();
    for _ in 0..3 {
        world.post(CHAT, ask("azure/m")).await;
    }
    assert_eq!(before.elapsed(), Duration::ZERO, "nobody waits while the old one is good");
    tokio::time::sleep(Duration::from_secs(3)).await;
    world.post(CHAT, ask("azure/m")).await;
    assert_eq!(entra.seen().len(), 2, "one fetch for all");
    assert_eq!(bearers(&azure), ["token-0", "token-0", "token-0", "token-0", "token-0", "token-1"]);
}

#[tokio::test(start_paused = true)]
async fn the_old_token_serves_while_refreshing_fails_and_an_outage_is_not_hammered() {
    let world = world(
        &format!("{ENTRA}[[models]]\nname = \"m\"\ntargets = [{{ provider = \"azure\", model = \"m\" }}]\nretry = {{ attempts = 1 }}\n"),
        &[],
        &[],
    );
    let azure = world.always("azure", Script::json(200, ANSWER));
    let entra = world.host("login.microsoftonline.com", |_, nth| match nth {
        0 => Script::json(200, r#"{"access_token":"token-0","expires_in":"3600"}"#),
        1..12 => Script::json(503, r#"{"error":"temporarily_unavailable"}"#),
        _ => Script::json(200, r#"{"access_token":"token-new","expires_in":3600}"#),
    });
    world.post(CHAT, ask("m")).await;
    tokio::time::sleep(Duration::from_secs(56 * 60)).await;
    // Ten requests a second for four minutes, until the token is over.
    for _ in 0..2390 {
        assert_eq!(world.post(CHAT, ask("m")).await.status, 200);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let tried = entra.seen().len() - 1;
    assert!((5..=9).contains(&tried), "{tried} tries in four minutes");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let reply = world.post(CHAT, ask("m")).await;
    assert_eq!(reply.status, 502);
    assert!(reply.text().contains("azure cannot be asked: Outrider got no credential for it."), "{}", reply.text());
    assert!(!reply.text().contains("temporarily_unavailable") && !reply.text().contains("very-secret"));
    assert!(azure.seen().len() >= 2391);
    // It heals by itself.
    let mut status = 0;
    for _ in 0..1000 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        status = world.post(CHAT, ask("m")).await.status.as_u16();
        if status == 200 {
            break;
        }
    }
    assert_eq!((status, bearers(&azure).last().unwrap().as_str()), (200, "token-new"));
}

#[tokio::test(start_paused = true)]
async fn without_a_token_another_target_answers() {
    let toml = format!(
        "{ENTRA}[providers.other]\nkind = \"openai\"\napi_key = \"k\"\nbase_url = \"http://other.test/v1\"\n[[models]]\nname = \"m\"\ntargets = [{{ provider = \"azure\", model = \"a\" }}, {{ provider = \"other\", model = \"o\" }}]\n"
    );
    let refused = r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided."}"#;
    for script in
        [Script::json(401, refused), Script::json(200, "{}"), Script::json(200, "<html>"), Script::Drop, Script::Refuse, Script::Hang]
    {
        let world = world(&toml, &[], &[]);
        let azure = world.always("azure", Script::json(200, ANSWER));
        world.always("other", Script::json(200, ANSWER));
        world.host("login.microsoftonline.com", move |_, _| script.clone());
        let reply = world.post(CHAT, ask("m")).await;
        assert_eq!((reply.status.as_u16(), reply.header("x-outrider-target"), reply.header("x-outrider-attempts")), (200, "other/o", "2"));
        assert!(azure.seen().is_empty());
        settle().await;
        world.assert_settled(1);
    }
    let alone = world(ENTRA, &[], &[]);
    let entra = alone.host("login.microsoftonline.com", move |_, _| Script::json(401, refused));
    let reply = alone.post(CHAT, ask("azure/m")).await;
    assert_eq!((reply.status.as_u16(), reply.header("x-outrider-attempts")), (401, "1"));
    assert!(!reply.text().contains("AADSTS"), "{}", reply.text());
    for _ in 0..10 {
        assert_eq!(alone.post(CHAT, ask("azure/m")).await.status, 401);
    }
    assert_eq!(entra.seen().len(), 1, "told from memory for a moment");
}

#[tokio::test(start_paused = true)]
async fn who_leaves_takes_nobodys_token_away() {
    let world = Arc::new(world(ENTRA, &[], &[]));
    let azure = world.always("azure", Script::json(200, ANSWER));
    let entra = tokens(&world, "login.microsoftonline.com");
    let first = tokio::time::timeout(Duration::from_secs(1), world.post(CHAT, ask("azure/m"))).await;
    assert!(first.is_err());
    assert_eq!(world.post(CHAT, ask("azure/m")).await.status, 200);
    assert_eq!((entra.seen().len(), azure.seen().len()), (1, 1));
    settle().await;
    world.assert_settled(2);
}

#[tokio::test(start_paused = true)]
async fn a_withdrawn_token_is_given_up_and_never_echoed() {
    let world = world(ENTRA, &[], &[]);
    let azure = world.provider("azure", |seen, _| match header(seen, "authorization") {
        "Bearer token-0" => Script::json(401, r#"{"error":{"message":"bad token-0","code":"401"}}"#),
        _ => Script::json(200, ANSWER),
    });
    let entra = tokens(&world, "login.microsoftonline.com");
    let reply = world.post(CHAT, ask("azure/m")).await;
    assert_eq!(reply.status, 401);
    assert!(reply.text().contains("bad [redacted]"), "{}", reply.text());
    world.post(CHAT, ask("azure/m")).await;
    assert_eq!(entra.seen().len(), 1, "a brand-new one would be no better");
    tokio::time::sleep(Duration::from_secs(61)).await;
    world.post(CHAT, ask("azure/m")).await;
    assert_eq!(world.post(CHAT, ask("azure/m")).await.status, 200);
    assert_eq!((entra.seen().len(), azure.seen().len()), (2, 4));
}

#[tokio::test(start_paused = true)]
async fn azures_other_identities_ask_as_they_must() {
    let place = "[providers.azure]\nkind = \"azure\"\nbase_url = \"http://azure.test/openai/v1\"\n";
    let federated = world(
        place,
        &[("AZURE_TENANT_ID", "t"), ("AZURE_CLIENT_ID", "c"), ("AZURE_FEDERATED_TOKEN_FILE", "/token")],
        &[("/token", "jwt-1\n")],
    );
    federated.always("azure", Script::json(200, ANSWER));
    let entra = tokens(&federated, "login.microsoftonline.com");
    assert_eq!(federated.post(CHAT, ask("azure/m")).await.status, 200);
    let form = form(&entra.seen()[0]);
    assert_eq!(
        (form["client_assertion"].as_str(), form["client_assertion_type"].as_str()),
        ("jwt-1", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
    );

    let managed = world(place, &[], &[]);
    let azure = managed.always("azure", Script::json(200, ANSWER));
    let machine = tokens(&managed, "169.254.169.254");
    assert_eq!(managed.post(CHAT, ask("azure/m")).await.status, 200);
    let seen = &machine.seen()[0];
    assert_eq!(seen.uri, "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://cognitiveservices.azure.com");
    assert_eq!((header(seen, "metadata"), bearers(&azure)[0].as_str()), ("true", "token-0"));
}

// === Vertex ===

const VERTEX: &str =
    "[providers.vertex]\nkind = \"vertex\"\nproject = \"p-1\"\nlocation = \"europe-west1\"\nbase_url = \"http://vertex.test\"\n";
const CLAUDE: &str = "/v1/projects/p-1/locations/europe-west1/publishers/anthropic/models";

#[tokio::test(start_paused = true)]
async fn claude_on_vertex_is_asked_in_vertexs_way() {
    let world = world(VERTEX, &[], &[]);
    let counted = r#"{"input_tokens":7}"#;
    let vertex = world.provider("vertex", move |seen, _| match seen.uri.path().contains("/count-tokens:") {
        true => Script::json(200, counted),
        false => Script::json(200, MESSAGE),
    });
    let machine = tokens(&world, "metadata.google.internal");
    let headers = [("anthropic-beta", "context-1m-2025-08-07")];
    let reply = world.post_with(MESSAGES, &headers, ask_claude("vertex/claude-haiku-4-5@20251001")).await;
    assert_eq!((reply.status.as_u16(), reply.text()), (200, MESSAGE));
    let seen = &vertex.seen()[0];
    assert_eq!(seen.uri.to_string(), format!("{CLAUDE}/claude-haiku-4-5@20251001:rawPredict"));
    let expected = ask_claude("X").replace(r#""model" : "X""#, r#""anthropic_version":"vertex-2023-10-16""#);
    assert_eq!(seen.body, expected);
    assert_eq!((header(seen, "authorization"), header(seen, "anthropic-beta")), ("Bearer token-0", "context-1m-2025-08-07"));
    let seen = &machine.seen()[0];
    assert_eq!(
        (seen.uri.path(), header(seen, "metadata-flavor")),
        ("/computeMetadata/v1/instance/service-accounts/default/token", "Google")
    );
    // Which model counts is told by the body.
    let reply = world.post("/v1/messages/count_tokens", r#"{"model":"vertex/claude-haiku-4-5@20251001","messages":[]}"#).await;
    assert_eq!(reply.text(), counted);
    let seen = &vertex.seen()[1];
    assert_eq!(seen.uri.to_string(), format!("{CLAUDE}/count-tokens:rawPredict"));
    assert_eq!(seen.body, r#"{"anthropic_version":"vertex-2023-10-16","model":"claude-haiku-4-5@20251001","messages":[]}"#);
    assert_eq!(machine.seen().len(), 1);
    // Nothing is asked for a list.
    world.get("/v1/models").await;
    assert_eq!(vertex.seen().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_translated_request_to_claude_on_vertex_is_in_vertexs_way_too() {
    let world = world(VERTEX, &[], &[]);
    let stream = [
        r#"event: message_start
data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"c","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":9,"output_tokens":1}}}"#,
        r#"event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        r#"event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello"}}"#,
        r#"event: content_block_stop
data: {"type":"content_block_stop","index":0}"#,
        r#"event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":2}}"#,
        "event: message_stop\ndata: {\"type\":\"message_stop\"}",
    ]
    .map(|event| format!("{event}\n\n"))
    .concat();
    let vertex = world.always("vertex", Script::sse(&stream));
    tokens(&world, "metadata.google.internal");
    let body = json!({"model": "vertex/claude-haiku-4-5@20251001", "stream": true, "messages": [{"role": "user", "content": "hi"}]});
    let reply = world.post(CHAT, body.to_string()).await;
    assert!(reply.text().contains("Hello") && reply.text().ends_with("data: [DONE]\n\n"), "{}", reply.text());
    let seen = &vertex.seen()[0];
    assert_eq!(seen.uri.to_string(), format!("{CLAUDE}/claude-haiku-4-5@20251001:streamRawPredict"));
    let sent = seen.json();
    assert_eq!((&sent["anthropic_version"], &sent["stream"], sent.get("model")), (&json!("vertex-2023-10-16"), &json!(true), None));
    settle().await;
    world.assert_settled(1);
}

#[tokio::test(start_paused = true)]
async fn gemini_on_vertex_is_asked_below_its_publisher() {
    let world = world(&format!("{VERTEX}api_key = \"express-key\"\n"), &[], &[]);
    let answer = r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"Hello"}]},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":2,"totalTokenCount":5}}"#;
    let vertex = world.provider("vertex", move |seen, _| match seen.uri.query() {
        Some("alt=sse") => Script::sse(&format!("data: {answer}\n\n")),
        _ => Script::json(200, answer),
    });
    let models = "/v1/projects/p-1/locations/europe-west1/publishers/google/models";
    let body = r#"{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}"#;
    let reply = world.post("/v1beta/models/vertex/gemini-3-pro:generateContent", body).await;
    assert_eq!((reply.status.as_u16(), reply.text()), (200, answer));
    let streamed = json!({"model": "vertex/gemini-3-pro", "stream": true, "messages": [{"role": "user", "content": "hi"}]}).to_string();
    let reply = world.post(CHAT, streamed).await;
    assert!(reply.text().contains("Hello") && reply.text().ends_with("data: [DONE]\n\n"), "{}", reply.text());
    let seen = vertex.seen();
    assert_eq!(seen[0].uri.to_string(), format!("{models}/gemini-3-pro:generateContent"));
    assert_eq!(seen[0].body, body);
    assert_eq!(seen[1].uri.to_string(), format!("{models}/gemini-3-pro:streamGenerateContent?alt=sse"));
    assert!(seen.iter().all(|seen| header(seen, "x-goog-api-key") == "express-key"));
}

#[tokio::test(start_paused = true)]
async fn a_service_account_signs_for_its_token() {
    const PEM: &str = include_str!("service-account.pem");
    let file =
        json!({"type": "service_account", "client_email": "a@p.iam.gserviceaccount.com", "private_key_id": "key-1", "private_key": PEM})
            .to_string();
    let world = world(&format!("{VERTEX}credentials_file = \"/account.json\"\n"), &[], &[("/account.json", &file)]);
    let vertex = world.always("vertex", Script::json(200, MESSAGE));
    let google = tokens(&world, "oauth2.googleapis.com");
    assert_eq!(world.post(MESSAGES, ask_claude("vertex/claude-x")).await.status, 200);
    assert_eq!(bearers(&vertex), ["token-0"]);
    let form = form(&google.seen()[0]);
    assert_eq!(form["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer");
    let parts: Vec<&str> = form["assertion"].split('.').collect();
    let decoded = |part: &str| serde_json::from_slice::<serde_json::Value>(&unbase64url(part)).unwrap();
    assert_eq!(decoded(parts[0]), json!({"alg": "RS256", "typ": "JWT", "kid": "key-1"}));
    let claims = json!({
        "iss": "a@p.iam.gserviceaccount.com",
        "scope": "https://www.googleapis.com/auth/cloud-platform",
        "aud": "https://oauth2.googleapis.com/token",
        "iat": WALL_SECONDS,
        "exp": WALL_SECONDS + 3600,
    });
    assert_eq!(decoded(parts[1]), claims);
    let der = unbase64url(&PEM.lines().filter(|line| !line.starts_with('-')).collect::<String>().replace('+', "-").replace('/', "_"));
    let key = RsaKeyPair::from_pkcs8(&der).unwrap();
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public().as_ref().to_vec());
    public.verify(format!("{}.{}", parts[0], parts[1]).as_bytes(), &unbase64url(parts[2])).unwrap();
}

fn unbase64url(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (mut out, mut bits, mut held) = (Vec::new(), 0u32, 0);
    for byte in text.bytes().filter(|byte| *byte != b'=') {
        bits = bits << 6 | ALPHABET.iter().position(|known| *known == byte).unwrap() as u32;
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    out
}

#[tokio::test(start_paused = true)]
async fn an_outside_identity_is_exchanged_and_acts_as_a_service_account() {
    let file = r#"{"type":"external_account","audience":"//iam/pools/x","subject_token_type":"urn:ietf:params:oauth:token-type:jwt","token_url":"https://sts.googleapis.com/v1/token","credential_source":{"file":"/subject"},"service_account_impersonation_url":"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/a@p:generateAccessToken"}"#;
    let world =
        world(&format!("{VERTEX}credentials_file = \"/outside.json\"\n"), &[], &[("/outside.json", file), ("/subject", "subject-1\n")]);
    let vertex = world.always("vertex", Script::json(200, MESSAGE));
    let sts = tokens(&world, "sts.googleapis.com");
    let accounts = world
        .host("iamcredentials.googleapis.com", |_, _| Script::json(200, r#"{"accessToken":"acting","expireTime":"2027-01-15T09:00:00Z"}"#));
    assert_eq!(world.post(MESSAGES, ask_claude("vertex/claude-x")).await.status, 200);
    assert_eq!(bearers(&vertex), ["acting"]);
    let form = form(&sts.seen()[0]);
    assert_eq!((form["subject_token"].as_str(), form["audience"].as_str()), ("subject-1", "//iam/pools/x"));
    let seen = &accounts.seen()[0];
    assert_eq!(
        (seen.uri.path(), header(seen, "authorization")),
        ("/v1/projects/-/serviceAccounts/a@p:generateAccessToken", "Bearer token-0")
    );
    assert_eq!(seen.json()["lifetime"], "3600s");
}

#[tokio::test(start_paused = true)]
async fn a_users_credentials_name_the_project_that_pays() {
    let file = r#"{"type":"authorized_user","client_id":"c","client_secret":"cs","refresh_token":"rt","quota_project_id":"q-1"}"#;
    let world = world(VERTEX, &[("GOOGLE_APPLICATION_CREDENTIALS", "/adc.json")], &[("/adc.json", file)]);
    let vertex = world.always("vertex", Script::json(200, MESSAGE));
    let google = tokens(&world, "oauth2.googleapis.com");
    assert_eq!(world.post(MESSAGES, ask_claude("vertex/claude-x")).await.status, 200);
    assert_eq!(header(&vertex.seen()[0], "x-goog-user-project"), "q-1");
    assert_eq!(form(&google.seen()[0])["refresh_token"], "rt");
}

// === Bedrock ===

const MANTLE: &str = "[providers.aws]\nkind = \"bedrock\"\ndialects = [\"anthropic\"]\nregion = \"us-east-1\"\nbase_url = \"http://bedrock-mantle.test/anthropic/v1\"\n";

/// Checks a signature as the service does: from what came, by the secret alone.
fn assert_signed(seen: &Seen, method: &str, secret: &str, service: &str) {
    let authorization = header(seen, "authorization");
    let (credential, rest) = authorization.strip_prefix("AWS4-HMAC-SHA256 Credential=").unwrap().split_once(", SignedHeaders=").unwrap();
    let (names, signature) = rest.split_once(", Signature=").unwrap();
    let scope = credential.split_once('/').unwrap().1;
    assert_eq!(scope, format!("20270115/us-east-1/{service}/aws4_request"));
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let hash = |bytes: &[u8]| hex(digest::digest(&digest::SHA256, bytes).as_ref());
    let headers: String = names.split(';').map(|name| format!("{name}:{}\n", header(seen, name))).collect();
    // Encoded once more than it came; the few characters of these tests.
    let path = seen.uri.path().replace('%', "%25").replace(':', "%3A");
    let canonical = format!("{method}\n{path}\n{}\n{headers}\n{names}\n{}", seen.uri.query().unwrap_or_default(), hash(&seen.body));
    let text = format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{}", header(seen, "x-amz-date"), hash(canonical.as_bytes()));
    let mut key = format!("AWS4{secret}").into_bytes();
    for part in scope.split('/') {
        key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), part.as_bytes()).as_ref().to_vec();
    }
    assert_eq!(hex(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), text.as_bytes()).as_ref()), signature);
    for name in names.split(';') {
        assert!(["host", "content-type"].contains(&name) || name.starts_with("x-amz-"), "{name} is signed");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_is_what_was_signed() {
    let world = world(
        &format!("{MANTLE}access_key_id = \"AKID\"\nsecret_access_key = \"aws-secret\"\n"),
        &[("AWS_SESSION_TOKEN", "another's")],
        &[],
    );
    let aws = world.host("bedrock-mantle.test", |_, _| Script::json(200, MESSAGE));
    let headers = [
        ("x-amz-security-token", "client's"),
        ("authorization", "Bearer client's"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ];
    let reply = world.post_with("/v1/messages?beta=true", &headers, ask_claude("aws/anthropic.claude-haiku-4-5")).await;
    assert_eq!((reply.status.as_u16(), reply.text()), (200, MESSAGE));
    let seen = &aws.seen()[0];
    assert_eq!(seen.uri, "/anthropic/v1/messages?beta=true");
    assert_signed(seen, "POST", "aws-secret", "bedrock-mantle");
    assert_eq!(header(seen, "x-amz-security-token"), "");
    assert_eq!(header(seen, "host"), "bedrock-mantle.test");
    // The same from another dialect, and for the list.
    assert_eq!(world.post(CHAT, ask("aws/anthropic.claude-haiku-4-5")).await.status, 200);
    assert_signed(&aws.seen()[1], "POST", "aws-secret", "bedrock-mantle");
    world.get("/v1/models").await;
    assert_signed(&aws.seen()[2], "GET", "aws-secret", "bedrock-mantle");
}

#[tokio::test(start_paused = true)]
async fn converse_is_signed_over_the_path_as_it_is_sent() {
    let keys = "access_key_id = \"AKID\"\nsecret_access_key = \"aws-secret\"\n";
    let world = world(
        &format!("[providers.aws]\nkind = \"bedrock\"\n{keys}base_url = \"https://bedrock-runtime.us-east-1.amazonaws.com\"\n"),
        &[],
        &[],
    );
    let answer = r#"{"output":{"message":{"role":"assistant","content":[{"text":"Hello"}]}},"stopReason":"end_turn","usage":{"inputTokens":3,"outputTokens":2,"totalTokens":5}}"#;
    let aws = world.host("bedrock-runtime.us-east-1.amazonaws.com", move |_, _| Script::json(200, answer));
    let profile = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-opus-4-6-v1";
    let reply = world.post(CHAT, ask(&format!("aws/{profile}"))).await;
    assert_eq!((reply.status.as_u16(), &reply.json()["choices"][0]["message"]["content"]), (200, &json!("Hello")));
    // The same dialect, its model in the caller's own path.
    let encoded = "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fus.anthropic.claude-opus-4-6-v1";
    let body = r#"{"messages":[{"role":"user","content":[{"text":"hi"}]}]}"#;
    let reply = world.post(&format!("/model/aws%2F{encoded}/converse"), body).await;
    assert_eq!((reply.status.as_u16(), reply.text()), (200, answer));
    for seen in aws.seen() {
        assert_eq!(seen.uri.to_string(), format!("/model/{encoded}/converse"));
        assert_signed(&seen, "POST", "aws-secret", "bedrock");
    }
    assert_eq!(aws.seen()[1].body, body);
}

#[tokio::test(start_paused = true)]
async fn a_bedrock_key_is_a_bearer_and_wins_over_the_chain() {
    let world =
        world(MANTLE, &[("AWS_BEARER_TOKEN_BEDROCK", "bedrock-api-key"), ("AWS_ACCESS_KEY_ID", "A"), ("AWS_SECRET_ACCESS_KEY", "S")], &[]);
    let aws = world.host("bedrock-mantle.test", |_, _| Script::json(200, MESSAGE));
    world.post(MESSAGES, ask_claude("aws/x")).await;
    assert_eq!(bearers(&aws), ["bedrock-api-key"]);
}

#[tokio::test(start_paused = true)]
async fn a_web_identity_is_traded_for_keys_whose_session_is_not_echoed() {
    let xml = "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleWithWebIdentityResult><Credentials>\
        <AccessKeyId>ASIA1</AccessKeyId><SecretAccessKey>temporary-secret</SecretAccessKey><SessionToken>session//token==</SessionToken>\
        <Expiration>2027-01-15T09:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>";
    let variables =
        [("AWS_WEB_IDENTITY_TOKEN_FILE", "/eks"), ("AWS_ROLE_ARN", "arn:aws:iam::1:role/r"), ("AWS_ROLE_SESSION_NAME", "pod-1")];
    let world = world(MANTLE, &variables, &[("/eks", "jwt-1\n")]);
    let sts =
        world.host("sts.us-east-1.amazonaws.com", move |_, _| Script::Answer(200, vec![("content-type", "text/xml".into())], xml.into()));
    let aws = world.host("bedrock-mantle.test", |_, nth| match nth {
        0 => Script::json(200, MESSAGE),
        _ => Script::json(403, r#"{"message":"The Canonical String should have been 'x-amz-security-token:session//token==' "}"#),
    });
    assert_eq!(world.post(MESSAGES, ask_claude("aws/x")).await.status, 200);
    let seen = &aws.seen()[0];
    assert_signed(seen, "POST", "temporary-secret", "bedrock-mantle");
    assert_eq!(header(seen, "x-amz-security-token"), "session//token==");
    let form = form(&sts.seen()[0]);
    let expected = [
        ("Action", "AssumeRoleWithWebIdentity"),
        ("Version", "2011-06-15"),
        ("RoleArn", "arn:aws:iam::1:role/r"),
        ("RoleSessionName", "pod-1"),
        ("WebIdentityToken", "jwt-1"),
    ];
    assert_eq!(form, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    let reply = world.post(MESSAGES, ask_claude("aws/x")).await;
    assert_eq!(reply.status, 403);
    assert!(!reply.text().contains("session//token=="), "{}", reply.text());
    assert_eq!(sts.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_machines_own_role_is_asked_by_the_second_version() {
    let world = world(MANTLE, &[], &[]);
    let aws = world.host("bedrock-mantle.test", |_, _| Script::json(200, MESSAGE));
    let machine = world.host("169.254.169.254", |seen, _| match (seen.uri.path(), header(seen, "x-aws-ec2-metadata-token")) {
        ("/latest/api/token", "") => Script::json(200, "imds-token"),
        ("/latest/meta-data/iam/security-credentials/", "imds-token") => Script::json(200, "role-1\n"),
        ("/latest/meta-data/iam/security-credentials/role-1", "imds-token") => {
            Script::json(200, r#"{"Code":"Success","AccessKeyId":"ASIA2","SecretAccessKey":"machine-secret","Token":"tok","Expiration":"2027-01-15T14:00:00Z"}"#)
        }
        _ => Script::json(401, ""),
    });
    assert_eq!(world.post(MESSAGES, ask_claude("aws/x")).await.status, 200);
    assert_signed(&aws.seen()[0], "POST", "machine-secret", "bedrock-mantle");
    assert_eq!(machine.seen().len(), 3);
    // Six hours, less five minutes.
    tokio::time::sleep(Duration::from_secs(6 * 3600 - 301)).await;
    world.post(MESSAGES, ask_claude("aws/x")).await;
    settle().await;
    assert_eq!(machine.seen().len(), 3);
    tokio::time::sleep(Duration::from_secs(2)).await;
    world.post(MESSAGES, ask_claude("aws/x")).await;
    settle().await;
    assert_eq!(machine.seen().len(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_containers_agent_is_asked_with_its_token() {
    let variables = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1/credentials"),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/pod"),
    ];
    let world = world(MANTLE, &variables, &[("/pod", "pod-token\n")]);
    let aws = world.host("bedrock-mantle.test", |_, _| Script::json(200, MESSAGE));
    let expired = Arc::new(AtomicU64::new(1));
    let (count, seen) = (Arc::clone(&expired), Arc::new(Mutex::new(Vec::new())));
    let noted = Arc::clone(&seen);
    world.host("169.254.170.23", move |asked, _| {
        if asked.uri.path() == "/dial" {
            return Script::Hang;
        }
        noted.lock().unwrap().push((asked.uri.to_string(), header(asked, "authorization").to_owned()));
        let year = if count.load(Ordering::SeqCst) == 1 { 2020 } else { 2027 };
        Script::json(200, &format!("{{\"AccessKeyId\":\"ASIA3\",\"SecretAccessKey\":\"pod-secret\",\"Token\":\"tok\",\"Expiration\":\"{year}-01-15T09:00:00Z\"}}"))
    });
    let reply = world.post(MESSAGES, ask_claude("aws/x")).await;
    assert_eq!(reply.status, 401, "keys that have expired are of no use: {}", reply.text());
    expired.store(0, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(world.post(MESSAGES, ask_claude("aws/x")).await.status, 200);
    assert_signed(&aws.seen()[0], "POST", "pod-secret", "bedrock-mantle");
    assert_eq!(seen.lock().unwrap()[0], ("/v1/credentials".to_owned(), "pod-token".to_owned()));
}

// === Quirks ===

#[tokio::test(start_paused = true)]
async fn a_stream_is_not_asked_for_its_usage_where_that_is_not_known() {
    let world =
        world("[providers.mistral]\nkind = \"mistral\"\napi_key = \"k-mistral\"\nbase_url = \"http://mistral.test/v1\"\n", &[], &[]);
    let last = r#"data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}"#;
    let stream = format!("{last}\n\ndata: [DONE]\n\n");
    let mistral = world.always("mistral", Script::sse(&stream));
    let body = r#"{"model":"mistral/mistral-small-latest","stream":true,"messages":[{"role":"user","content":"hi"}]}"#;
    let reply = read(world.open(Method::POST, CHAT, &[], body.as_bytes()).await).await;
    assert_eq!(reply.text(), stream, "usage that nobody had to ask for stays");
    assert_eq!(mistral.seen()[0].body, body.replace("mistral/", ""));
    let translated =
        r#"{"model":"mistral/mistral-small-latest","max_tokens":5,"stream":true,"top_k":5,"messages":[{"role":"user","content":"hi"}]}"#;
    let reply = world.post(MESSAGES, translated).await;
    assert!(reply.text().contains("\"output_tokens\":4"), "{}", reply.text());
    assert_eq!(reply.header("x-outrider-lossy"), "");
    let sent = mistral.seen()[1].json();
    assert_eq!((sent.get("stream_options"), &sent["top_k"], &sent["max_tokens"]), (None, &json!(5), &json!(5)));
    settle().await;
    assert_eq!(world.metric("gen_ai_client_token_usage_sum", &[("gen_ai_token_type", "output")]), 8.0);
}

// === Lists of models ===

#[tokio::test(start_paused = true)]
async fn lists_are_read_in_each_providers_form() {
    let toml = "[providers.gemini]\nkind = \"gemini\"\napi_key = \"k\"\nbase_url = \"http://gemini.test/v1beta\"\n\
        [providers.together]\nkind = \"together\"\napi_key = \"k\"\nbase_url = \"http://together.test/v1\"\n\
        [providers.aws]\nkind = \"bedrock\"\napi_key = \"k\"\nbase_url = \"http://aws.test\"\nregion = \"us-east-1\"\n\
        [[models]]\nname = \"m\"\ntargets = [{ provider = \"aws\", model = \"us.anthropic.claude-opus-4-8\" }]\n";
    let world = world(toml, &[], &[]);
    let gemini = world.always(
        "gemini",
        Script::json(200, r#"{"models":[{"name":"models/gemini-2.5-pro","version":"2.5","displayName":"Gemini 2.5 Pro"},{"displayName":"?"}],"nextPageToken":"x"}"#),
    );
    world.always(
        "together",
        Script::json(200, r#"[{"id":"moonshotai/Kimi-K3","object":"model","created":7,"type":"chat","display_name":"Kimi"},7]"#),
    );
    let list = world.get("/v1/models").await.json();
    let told: Vec<_> =
        list["data"].as_array().unwrap().iter().map(|model| (&model["id"], &model["display_name"], &model["max_input_tokens"])).collect();
    let expected = [
        (&json!("m"), &json!("m"), &json!(1_000_000)),
        (&json!("gemini/gemini-2.5-pro"), &json!("Gemini 2.5 Pro"), &json!(1_048_576)),
        (&json!("together/moonshotai/Kimi-K3"), &json!("Kimi"), &json!(1_048_576)),
        // Bedrock has no list where it answers: what is configured is known.
        (&json!("aws/us.anthropic.claude-opus-4-8"), &json!("aws/us.anthropic.claude-opus-4-8"), &json!(1_000_000)),
    ];
    assert_eq!(told, expected);
    assert_eq!(gemini.seen()[0].uri, "/v1beta/models?pageSize=1000");
}
