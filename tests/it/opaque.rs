//! Paths that are not read: who gets them, what of them is changed, and how their bytes move.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full};
use outrider::base::body::Body;
use tokio::sync::mpsc;

use crate::support::{End, PAIR, Provider, Reply, Script, World, read, settle};

pub const JSON: &str = r#"{"object":"list","data":[]}"#;

/// In which what was said before leaves its host.
const PAUSE: (Duration, Bytes) = (Duration::from_millis(1), Bytes::new());

fn ok() -> Script {
    Script::json(200, JSON)
}

fn asked(provider: &Provider) -> Vec<String> {
    provider.seen().iter().map(|seen| format!("{} {}", seen.method, seen.uri)).collect()
}

/// A request's body that the test sends piece by piece; an error breaks it.
struct Pieces(mpsc::Receiver<Result<Bytes, std::io::Error>>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

type Sender = mpsc::Sender<Result<Bytes, std::io::Error>>;

/// Begins a request whose body is sent by what is given back.
fn begin(world: &World, path: &str, content_type: &str) -> (Sender, tokio::task::JoinHandle<Response<Body>>) {
    let (sender, receiver) = mpsc::channel(1);
    let request = Request::post(path).header("host", "localhost").header("content-type", content_type).body(Pieces(receiver)).unwrap();
    let line = world.line.clone();
    (sender, tokio::spawn(async move { line.serve(request).await }))
}

async fn post_form(world: &World, path: &str, form: &[u8]) -> Reply {
    world.post_with(path, &[], form).await
}

#[tokio::test(start_paused = true)]
async fn each_path_goes_to_whose_api_it_is() {
    let world = World::pair();
    let (openai, anthropic) = (world.always("openai", ok()), world.always("anthropic", ok()));
    let version = ("anthropic-version", "2023-06-01");
    type Row<'r> = (&'r str, &'r str, &'r [(&'r str, &'r str)], &'r str);
    let table: &[Row<'_>] = &[
        ("GET", "/v1/files?limit=2&key=AIza", &[], "openai GET /v1/files?limit=2"),
        ("GET", "/v1/files/f-1/content", &[], "openai GET /v1/files/f-1/content"),
        ("DELETE", "/v1/files/f-1", &[], "openai DELETE /v1/files/f-1"),
        ("POST", "/v1/batches", &[], "openai POST /v1/batches"),
        ("POST", "/v1/batches/b/cancel", &[], "openai POST /v1/batches/b/cancel"),
        ("POST", "/v1/fine_tuning/jobs", &[], "openai POST /v1/fine_tuning/jobs"),
        ("POST", "/v1/moderations", &[], "openai POST /v1/moderations"),
        ("POST", "/v1/images/generations", &[], "openai POST /v1/images/generations"),
        ("POST", "/v1/audio/speech", &[], "openai POST /v1/audio/speech"),
        ("POST", "/v1/rerank", &[], "openai POST /v1/rerank"),
        ("POST", "/v1/completions", &[], "openai POST /v1/completions"),
        ("GET", "/v1/responses/r-1?include[]=x", &[], "openai GET /v1/responses/r-1?include[]=x"),
        ("DELETE", "/v1/responses/r-1", &[], "openai DELETE /v1/responses/r-1"),
        ("POST", "/v1/responses/r-1/cancel", &[], "openai POST /v1/responses/r-1/cancel"),
        ("GET", "/v1/responses/r-1/input_items", &[], "openai GET /v1/responses/r-1/input_items"),
        ("POST", "/v1/responses/compact", &[], "openai POST /v1/responses/compact"),
        ("POST", "/v1/conversations", &[], "openai POST /v1/conversations"),
        ("PUT", "/v1/what/comes/next/", &[], "openai PUT /v1/what/comes/next/"),
        ("GET", "/vector_stores", &[], "openai GET /v1/vector_stores"),
        ("POST", "/v1/messages/batches", &[], "anthropic POST /v1/messages/batches"),
        ("GET", "/v1/messages/batches/b/results", &[], "anthropic GET /v1/messages/batches/b/results"),
        ("GET", "/v1/files", &[version], "anthropic GET /v1/files"),
        ("GET", "/v1/files", &[("x-api-key", "sk-app")], "anthropic GET /v1/files"),
        ("GET", "/providers/anthropic/files?a=b", &[], "anthropic GET /v1/files?a=b"),
        ("PATCH", "/providers/openai/models/x%2Fy:z", &[version], "openai PATCH /v1/models/x%2Fy:z"),
        ("POST", "/providers/openai/chat/completions", &[], "openai POST /v1/chat/completions"),
        ("OPTIONS", "/providers/openai", &[], "openai OPTIONS /v1"),
    ];
    for (method, path, headers, wanted) in table {
        let body: &[u8] = if *method == "POST" { b"{}" } else { b"" };
        let reply = read(world.open(method.parse().unwrap(), path, headers, body).await).await;
        assert_eq!((reply.status.as_u16(), reply.text()), (200, JSON), "{method} {path}");
        let (name, provider) = if wanted.starts_with("openai") { ("openai", &openai) } else { ("anthropic", &anthropic) };
        assert_eq!(format!("{name} {}", asked(provider).last().unwrap()), *wanted);
        assert_eq!((reply.header("x-outrider-target"), reply.header("x-outrider-attempts")), (name, "1"), "{path}");
    }
    assert_eq!(openai.seen().len() + anthropic.seen().len(), table.len());
    assert_eq!(world.metric("outrider_requests_total", &[("operation", "opaque"), ("outcome", "complete")]) as usize, table.len());
    world.assert_settled(table.len());
}

#[tokio::test(start_paused = true)]
async fn nothing_of_the_clients_hop_goes_on() {
    let world = World::new(&PAIR.replace("anthropic.test/v1", "anthropic.test/v1?tenant=t"));
    let (openai, anthropic) = (world.always("openai", ok()), world.always("anthropic", ok()));
    let headers = [
        ("authorization", "Bearer sk-app"),
        ("api-key", "sk-app"),
        ("cookie", "sk-app"),
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("x-forwarded-for", "10.0.0.1"),
        ("x-outrider-tag", "t"),
        ("origin", "http://localhost"),
        ("accept-encoding", "br"),
        ("openai-beta", "assistants=v2"),
        ("range", "bytes=0-9"),
    ];
    read(world.open(Method::GET, "/v1/files/f/content", &headers, b"").await).await;
    let seen = &openai.seen()[0];
    assert_eq!(seen.headers["authorization"], "Bearer sk-operator-openai");
    assert_eq!((&seen.headers["openai-beta"], &seen.headers["range"]), (&"assistants=v2".parse().unwrap(), &"bytes=0-9".parse().unwrap()));
    assert_eq!((&seen.headers["accept-encoding"], &seen.headers["host"]), (&"identity".parse().unwrap(), &"openai.test".parse().unwrap()));
    for name in ["api-key", "cookie", "connection", "x-hop", "x-forwarded-for", "x-outrider-tag", "origin"] {
        assert!(!seen.headers.contains_key(name), "{name}");
    }
    assert!(!format!("{:?}", seen.headers).contains("sk-app"));
    read(world.open(Method::POST, "/v1/messages/batches/b/cancel?x=y&key=sk-app", &[("x-api-key", "sk-app")], b"").await).await;
    let seen = &anthropic.seen()[0];
    assert_eq!(seen.uri, "/v1/messages/batches/b/cancel?tenant=t&x=y");
    assert_eq!(
        (&seen.headers["x-api-key"], &seen.headers["anthropic-version"]),
        (&"sk-operator-anthropic".parse().unwrap(), &"2023-06-01".parse().unwrap())
    );
    assert_eq!(seen.headers["content-length"], "0");
}

#[tokio::test(start_paused = true)]
async fn a_models_name_decides_and_is_written_over() {
    let world = World::new(&format!(
        "{PAIR}[providers.mistral]\nkind = \"mistral\"\napi_key = \"sk-operator-mistral\"\nbase_url = \"http://mistral.test/v1\"\n"
    ));
    let (openai, mistral) = (world.always("openai", ok()), world.always("mistral", ok()));
    let table = [
        (
            "/v1/completions",
            r#"{"prompt":"a", "model" : "fast"}"#,
            r#"openai {"prompt":"a", "model" : "gpt-4.1-mini"}"#,
            "openai/gpt-4.1-mini",
        ),
        ("/v1/completions", r#"{"model":"openai/x"}"#, r#"openai {"model":"x"}"#, "openai/x"),
        (
            "/v1/completions",
            r#"{"model":"gpt-3.5-turbo-instruct"}"#,
            r#"openai {"model":"gpt-3.5-turbo-instruct"}"#,
            "openai/gpt-3.5-turbo-instruct",
        ),
        (
            "/v1/moderations",
            r#"{"model":"mistral-moderation-2411"}"#,
            r#"mistral {"model":"mistral-moderation-2411"}"#,
            "mistral/mistral-moderation-2411",
        ),
        // Not every name is claimed: the vendor whose API it is will know.
        ("/v1/images/generations", r#"{"model":"dall-e-3"}"#, r#"openai {"model":"dall-e-3"}"#, "openai"),
        ("/v1/images/generations", r#"{"model":null}"#, r#"openai {"model":null}"#, "openai"),
        ("/v1/files", "[1]", "openai [1]", "openai"),
        // There the provider's own names are meant.
        ("/providers/openai/completions", r#"{"model":"fast"}"#, r#"openai {"model":"fast"}"#, "openai/fast"),
        ("/v1/rerank?model=fast", "{}", "openai {}", "openai/gpt-4.1-mini"),
    ];
    for (path, sent, got, target) in table {
        let reply = world.post(path, sent).await;
        assert_eq!(reply.status, 200, "{path} {sent}: {}", reply.text());
        let (name, provider) = if got.starts_with("openai") { ("openai", &openai) } else { ("mistral", &mistral) };
        let seen = provider.seen().pop().unwrap();
        assert_eq!(format!("{name} {}", String::from_utf8_lossy(&seen.body)), got);
        assert_eq!(reply.header("x-outrider-target"), target, "{path} {sent}");
    }
    assert_eq!(openai.seen().last().unwrap().uri, "/v1/rerank?model=gpt-4.1-mini");
    world.assert_settled(table.len());
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_decided_is_refused_in_words() {
    let hosts = "[providers.groq]\nkind = \"groq\"\nbase_url = \"http://a.test\"\n[providers.local]\nkind = \"vllm\"\nbase_url = \"http://b.test\"\n[providers.echo]\nkind = \"echo\"\n";
    let world = World::new(hosts);
    let pair = World::pair();
    let table = [
        (&world, "/v1/files", "", 400, "ask /providers/groq/files or /providers/local/files"),
        (&world, "/v1/messages/batches", "", 404, "No provider that speaks anthropic"),
        (&world, "/providers/nobody/files", "", 404, "there are: groq, local, echo"),
        (&world, "/providers/echo/files", "", 404, "The embedded provider echo"),
        (&world, "/v1/files/../x", "", 400, "segment"),
        (&world, "/providers/groq/%2e%2e/x", "", 400, "segment"),
        (&pair, "/v1/images/generations", r#"{"model":"smart"}"#, 400, "not of a provider that speaks openai_chat"),
        (&pair, "/v1/images/generations", r#"{"model":1}"#, 400, "`model` must be a string"),
        (&pair, "/v1/images/generations", r#"{"model":"a","model":"b"}"#, 400, "stands twice"),
        (&pair, "/v1/images/generations", r#"{"Model":"a"}"#, 400, "must be spelt `model`"),
        (&pair, "/v1/images/generations", r#"{"model":"#, 400, "not valid JSON"),
        (&pair, "/v1", "{}", 404, "There is no endpoint"),
        (&pair, "/favicon.ico", "{}", 404, "There is no endpoint"),
    ];
    for (world, path, body, status, text) in table {
        let reply = world.post(path, body).await;
        assert_eq!(reply.status.as_u16(), status, "{path}: {}", reply.text());
        assert!(reply.json()["error"]["message"].as_str().unwrap().contains(text), "{path}: {}", reply.text());
    }
    assert!(world.post("/v1/messages/batches", "{}").await.json()["type"] == "error", "in the caller's dialect");
    assert!(pair.post("/providers/anthropic/x/./y", "{}").await.json()["type"] == "error", "in the provider's dialect");
}

#[tokio::test(start_paused = true)]
async fn methods_and_empty_answers_pass() {
    let world = World::pair();
    world.provider("openai", |seen, _| match seen.method {
        Method::HEAD => Script::Answer(200, vec![("content-length", "123".into()), ("content-type", "audio/mpeg".into())], Bytes::new()),
        Method::DELETE => Script::Answer(204, vec![("set-cookie", "a=b".into()), ("x-request-id", "req_1".into())], Bytes::new()),
        _ => Script::Answer(302, vec![("location", "https://elsewhere.test/x".into())], Bytes::new()),
    });
    let head = read(world.open(Method::HEAD, "/v1/files/f/content", &[], b"").await).await;
    assert_eq!((head.status.as_u16(), head.header("content-length"), head.body.len()), (200, "123", 0));
    let delete = read(world.open(Method::DELETE, "/v1/files/f", &[], b"").await).await;
    assert_eq!((delete.status.as_u16(), delete.header("x-request-id"), delete.header("set-cookie")), (204, "req_1", ""));
    let get = world.get("/v1/files/f/content").await;
    assert_eq!((get.status.as_u16(), get.header("location")), (302, "https://elsewhere.test/x"));
    world.assert_settled(3);
}

#[tokio::test(start_paused = true)]
async fn an_error_passes_without_the_key() {
    let world = World::pair();
    let body = r#"{"error":{"message":"Incorrect API key provided: sk-operator-openai.","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}"#;
    let headers = vec![("content-type", "application/json".to_owned()), ("x-echo", "sk-operator-openai".to_owned())];
    let provider = world.always("openai", Script::Answer(401, headers, body.into()));
    let reply = world.post("/v1/moderations", "{}").await;
    assert_eq!((reply.status.as_u16(), reply.header("x-echo")), (401, "[redacted]"));
    assert_eq!(reply.text(), body.replace("sk-operator-openai", "[redacted]"));
    assert_eq!(provider.seen().len(), 1);
    world.assert_settled(1);
    // In events, too.
    let world = World::pair();
    world.always("openai", Script::sse("data: {\"error\":\"sk-operator-openai\"}\n\n"));
    assert_eq!(world.post("/v1/completions", "{}").await.text(), "data: {\"error\":\"[redacted]\"}\n\n");
    world.assert_settled(1);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_tried_again_only_where_that_does_no_harm() {
    for (path, body, tries) in
        [("/v1/moderations", r#"{"model":"openai/m"}"#, 3), ("/v1/batches", "{}", 1), ("/providers/openai/batches", "{}", 1)]
    {
        let world = World::pair();
        let provider = world.always("openai", Script::json(500, r#"{"error":{"message":"oops","type":"server_error"}}"#));
        let reply = world.post(path, body).await;
        assert_eq!((reply.status.as_u16(), provider.seen().len()), (500, tries), "{path}");
        world.assert_settled(1);
    }
    let world = World::pair();
    let provider = world.provider("openai", |_, nth| if nth < 2 { Script::json(503, "{}") } else { ok() });
    assert_eq!(world.get("/v1/batches/b").await.status, 200);
    assert_eq!(provider.seen().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn usage_is_found_in_passing() {
    let sum = |world: &World, kind| {
        world.metric("gen_ai_client_token_usage_sum", &[("gen_ai_operation_name", "opaque"), ("gen_ai_token_type", kind)])
    };
    let large =
        format!(r#"{{"created":1,"data":[{{"b64_json":"{}"}}],"usage":{{"input_tokens":50,"output_tokens":4160}}}}"#, "A".repeat(3 << 20));
    let pieces = |text: &str| text.as_bytes().chunks(1000).map(|piece| (Duration::ZERO, Bytes::copy_from_slice(piece))).collect::<Vec<_>>();
    let json = || vec![("content-type", "application/json".to_owned())];
    let events = "data: {\"type\":\"image_generation.partial_image\"}\n\nevent: x\ndata: {\"usage\":{\"input_tokens\":1,\"output_tokens\":2}}\n\ndata: {\"usage\":{\"output_tokens\":9}}\n\ndata: [DONE]\n\n";
    let table = [
        (Script::json(200, r#"{"id":"c","usage":{"prompt_tokens":3,"completion_tokens":4}}"#), 3.0, 4.0),
        (Script::Answer(200, json(), large.clone().into()), 50.0, 4160.0),
        (Script::Raw(200, json(), pieces(&large), End::Close), 50.0, 4160.0),
        (Script::sse(events).chunked(3), 1.0, 9.0),
    ];
    for (script, input, output) in table {
        let world = World::pair();
        world.always("openai", script);
        let reply = world.post("/v1/images/generations", r#"{"model":"gpt-image-1"}"#).await;
        assert_eq!(reply.status, 200);
        assert!(reply.text() == large || reply.text() == events || reply.text().len() < 100, "the bytes are untouched");
        assert_eq!((sum(&world, "input"), sum(&world, "output")), (input, output));
        world.assert_settled(1);
    }
    // What was paid for once is not counted when it is looked at.
    let world = World::pair();
    world.always("openai", Script::json(200, r#"{"usage":{"input_tokens":3,"output_tokens":4}}"#));
    world.get("/v1/responses/r").await;
    world.post("/v1/responses/r/cancel", "").await;
    assert_eq!(sum(&world, "input"), 0.0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_what_it_claims_is_no_answer() {
    let with =
        |content_type: &str, text: &str| Script::Answer(200, vec![("content-type", content_type.to_owned())], text.to_owned().into());
    let stream = |content_type: &str, text: &str| {
        let pieces = vec![(Duration::ZERO, Bytes::copy_from_slice(text.as_bytes()))];
        Script::Raw(200, vec![("content-type", content_type.to_owned())], pieces, End::Close)
    };
    for script in [
        with("application/json", "<html>captive portal</html>"),
        with("application/json; charset=utf-8", r#"{"data":["#),
        stream("application/json", "<html>"),
        stream("text/event-stream", "<html>"),
        stream("text/event-stream", r#"{"error":"x"}"#),
    ] {
        let world = World::pair();
        world.always("openai", script);
        let reply = world.post("/v1/batches", "{}").await;
        assert_eq!(reply.status, 502, "{}", reply.text());
        assert!(reply.json()["error"]["message"].is_string());
        world.assert_settled(1);
    }
}

fn form(model: Option<&str>, before: &str, file: usize) -> Vec<u8> {
    let mut form = before.as_bytes().to_vec();
    if let Some(model) = model {
        form.extend_from_slice(format!("--XX\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n{model}\r\n").as_bytes());
    }
    form.extend_from_slice(b"--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\n");
    form.extend(std::iter::repeat_n(b'x', file));
    form.extend_from_slice(b"\r\n--XX--\r\n");
    form
}

const FORM: (&str, &str) = ("content-type", "multipart/form-data; boundary=XX");

async fn send_form(world: &World, path: &str, form: Vec<u8>) -> Reply {
    let request = Request::post(path).header("host", "localhost").header(FORM.0, FORM.1).body(Full::new(Bytes::from(form))).unwrap();
    read(world.line.serve(request).await).await
}

#[tokio::test(start_paused = true)]
async fn a_forms_model_is_written_over_and_the_rest_streams() {
    let world = World::pair();
    let openai = world.always("openai", ok());
    let early = "--XX\r\nContent-Disposition: form-data; name=\"language\"\r\n\r\nen\r\n".to_owned();
    let late = format!("--XX\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\n{}\r\n", "p".repeat(70 << 10));
    let table = [
        (Some("fast"), early.as_str(), 10, Some("gpt-4.1-mini"), "openai/gpt-4.1-mini"),
        (Some("openai/whisper-1"), "", 1 << 20, Some("whisper-1"), "openai/whisper-1"),
        (Some("whisper-1"), "", 10, Some("whisper-1"), "openai"),
        (None, "", 10, None, "openai"),
        // Too far behind to be found.
        (Some("fast"), late.as_str(), 10, Some("fast"), "openai"),
    ];
    for (model, before, file, written, target) in table {
        let reply = send_form(&world, "/v1/audio/transcriptions", form(model, before, file)).await;
        assert_eq!((reply.status.as_u16(), reply.header("x-outrider-target")), (200, target));
        let seen = openai.seen().pop().unwrap();
        let wanted = form(written, before, file);
        assert!(seen.body == wanted, "{model:?}");
        assert_eq!(
            (seen.headers["content-type"].to_str().unwrap(), seen.headers["content-length"].to_str().unwrap()),
            (FORM.1, wanted.len().to_string().as_str())
        );
    }
    assert_eq!(post_form(&world, "/v1/images/edits", b"{}").await.status, 200);
    world.assert_settled(table.len() + 1);
}

/// A provider that takes a piece of the body for each permit, and counts the bytes.
pub fn slow_reader(world: &World) -> (Arc<tokio::sync::Semaphore>, Arc<AtomicUsize>) {
    let (permits, taken) = (Arc::new(tokio::sync::Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let (permit, count) = (Arc::clone(&permits), Arc::clone(&taken));
    world.handler("openai", move |request| {
        let (permit, count) = (Arc::clone(&permit), Arc::clone(&count));
        Box::pin(async move {
            let mut body = request.into_body();
            loop {
                permit.acquire().await.unwrap().forget();
                let Some(frame) = body.frame().await else { break };
                count.fetch_add(frame.map_err(std::io::Error::other)?.into_data().map_or(0, |data| data.len()), Ordering::SeqCst);
            }
            Ok(Response::builder()
                .header("content-type", "application/json")
                .body(Full::new(Bytes::from(JSON)).map_err(|e| match e {}).boxed())
                .unwrap())
        })
    });
    (permits, taken)
}

#[tokio::test(start_paused = true)]
async fn an_upload_is_as_fast_as_its_reader_and_is_not_kept() {
    const PIECE: usize = 64 << 10;
    const PIECES: usize = 500;
    let world = World::pair();
    let (permits, taken) = slow_reader(&world);
    let (sender, answer) = begin(&world, "/v1/files", "application/octet-stream");
    let mut sent = 0;
    // As long as nobody reads, the app is held back: a few buffers are all that goes in. The provider may take its time.
    while tokio::time::timeout(Duration::from_secs(300), sender.send(Ok(Bytes::from(vec![b'x'; PIECE])))).await.is_ok() {
        sent += 1;
        assert!(sent * PIECE < 2 << 20, "nothing holds the app back");
    }
    assert!(world.line.shared.stores.held.bytes() < PIECE, "nothing is kept");
    permits.add_permits(1 << 20);
    for _ in sent..PIECES {
        sender.send(Ok(Bytes::from(vec![b'x'; PIECE]))).await.unwrap();
    }
    drop(sender);
    let reply = read(answer.await.unwrap()).await;
    assert_eq!((reply.status.as_u16(), reply.text()), (200, JSON));
    assert_eq!(taken.load(Ordering::SeqCst), PIECES * PIECE);
    world.assert_settled(1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_as_fast_as_its_reader() {
    let world = World::pair();
    let pieces = vec![(Duration::ZERO, Bytes::from(vec![0; 64 << 10])); 200];
    let provider = world.always("openai", Script::Raw(200, vec![("content-type", "audio/mpeg".into())], pieces, End::Close));
    let mut body = world.open(Method::POST, "/v1/audio/speech", &[], b"{}").await.into_body();
    let mut got = body.frame().await.unwrap().unwrap().into_data().unwrap().len();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(provider.open(), 1, "the provider waits for the app");
    while let Some(frame) = body.frame().await {
        got += frame.unwrap().into_data().unwrap().len();
    }
    assert_eq!(got, 200 * (64 << 10));
    drop(body);
    settle().await;
    world.assert_settled(1);
}

#[tokio::test(start_paused = true)]
async fn whoever_leaves_the_other_is_told() {
    // The app, while it uploads: by a broken body, and by being gone.
    for broken in [true, false] {
        let world = World::pair();
        let (permits, _) = slow_reader(&world);
        permits.add_permits(1 << 20);
        let (sender, answer) = begin(&world, "/v1/files", "application/octet-stream");
        sender.send(Ok(Bytes::from_static(b"begun"))).await.unwrap();
        settle().await;
        if broken {
            sender.send(Err(std::io::ErrorKind::ConnectionReset.into())).await.unwrap();
            let reply = read(answer.await.unwrap()).await;
            assert!(reply.status == 400 && reply.text().contains("broke off"), "{}", reply.text());
        } else {
            answer.abort();
            settle().await;
        }
        settle().await;
        assert!(sender.is_closed(), "the body is let go");
        world.assert_settled(1);
    }
    // The app, while it downloads.
    let world = World::pair();
    let provider = world
        .always("openai", Script::Raw(200, vec![("content-type", "audio/mpeg".into())], vec![(Duration::ZERO, "a".into())], End::Hang));
    let mut body = world.open(Method::GET, "/v1/files/f/content", &[], b"").await.into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    settle().await;
    assert_eq!((provider.cancelled(), provider.open()), (1, 0));
    assert_eq!(world.metric("outrider_requests_total", &[("outcome", "client_gone")]), 1.0);
    world.assert_settled(1);
    // The provider, while the app uploads.
    let world = World::pair();
    world.handler("openai", |_| Box::pin(async { Err(std::io::Error::other("gone")) }));
    let (sender, answer) = begin(&world, "/v1/files", "application/octet-stream");
    while sender.send(Ok(Bytes::from(vec![0; 64 << 10]))).await.is_ok() {}
    assert_eq!(read(answer.await.unwrap()).await.status, 502);
    world.assert_settled(1);
    // The provider, while it answers: what is not whole does not look whole.
    let world = World::pair();
    let pieces = vec![(Duration::ZERO, Bytes::from_static(b"half")), PAUSE];
    world.always("openai", Script::Raw(200, vec![("content-type", "audio/mpeg".into())], pieces, End::Cut));
    let reply = world.get("/v1/files/f/content").await;
    assert!(reply.cut && reply.text() == "half");
    assert_eq!(world.metric("outrider_requests_total", &[("outcome", "truncated")]), 1.0);
    world.assert_settled(1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_before_the_end_of_the_body_ends_it() {
    for status in [200, 413] {
        let world = World::pair();
        world.handler("openai", move |request| {
            Box::pin(async move {
                let mut body = request.into_body();
                body.frame().await;
                // Its connection stays open, and the rest unread.
                tokio::spawn(async move {
                    let _unread = body;
                    std::future::pending::<()>().await;
                });
                let body = Full::new(Bytes::from_static(b"{\"error\":{\"message\":\"too large\"}}")).map_err(|e| match e {}).boxed();
                Ok(Response::builder().status(status).header("content-type", "application/json").body(body).unwrap())
            })
        });
        let (sender, answer) = begin(&world, "/v1/files", "application/octet-stream");
        sender.send(Ok(Bytes::from_static(b"begun"))).await.unwrap();
        let reply = read(answer.await.unwrap()).await;
        assert_eq!(reply.status.as_u16(), status, "{}", reply.text());
        settle().await;
        assert!(sender.is_closed(), "nobody wants the rest");
        world.assert_settled(1);
    }
}

#[tokio::test(start_paused = true)]
async fn standing_still_is_bounded() {
    // A body that stalls.
    let world = World::pair();
    let (permits, _) = slow_reader(&world);
    permits.add_permits(1 << 20);
    let (sender, answer) = begin(&world, "/v1/files", "application/octet-stream");
    sender.send(Ok(Bytes::from_static(b"begun"))).await.unwrap();
    let reply = read(answer.await.unwrap()).await;
    assert!(reply.text().contains("stalled for 30s"), "{} {}", reply.status, reply.text());
    world.assert_settled(1);
    // A provider that never answers, and one that stops.
    let world = World::pair();
    world.always("openai", Script::Hang);
    assert_eq!(world.post("/v1/batches", "{}").await.status, 504);
    let reply = world.post_with("/v1/batches", &[("x-outrider-timeout", "1s")], "{}").await;
    assert_eq!(reply.status, 504);
    let pieces = vec![(Duration::ZERO, Bytes::from_static(b"half"))];
    world.always("openai", Script::Raw(200, vec![("content-type", "audio/mpeg".into())], pieces, End::Hang));
    assert!(world.get("/v1/files/f/content").await.cut);
    world.assert_settled(3);
}

#[tokio::test(start_paused = true)]
async fn events_that_break_off_end_in_an_error_event() {
    let event = "data: {\"x\":1}\n\n";
    for (text, whole) in [(event.to_owned(), true), (format!("{event}data: {{"), false)] {
        let world = World::pair();
        world.always("openai", Script::Stream(vec![(Duration::ZERO, Bytes::from(text.clone())), PAUSE], End::Cut));
        let reply = world.post("/v1/completions", r#"{"model":"fast","stream":true}"#).await;
        assert_eq!(reply.cut, !whole);
        assert!(reply.text().starts_with(&text), "{}", reply.text());
        assert_eq!(reply.text().contains("broke off before its end"), whole, "{}", reply.text());
        world.assert_settled(1);
    }
    // So does the cut of a drain.
    let world = World::pair();
    world.always("openai", Script::Stream(vec![(Duration::ZERO, Bytes::from(event))], End::Hang));
    let reading = world.open(Method::POST, "/v1/completions", &[], b"{}").await;
    let (reply, ()) = tokio::join!(read(reading), async {
        settle().await;
        world.line.shared.drain.cut();
    });
    assert!(!reply.cut && reply.text().contains("shutting down"), "{}", reply.text());
    world.assert_settled(1);
}
