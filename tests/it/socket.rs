//! WebSockets and uploads over real sockets, through the real listener.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::HeaderMap;
use outrider::config::{Bounds, Listen};
use outrider::server::{self, EdgeRules, Gate, Listener, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::opaque::{JSON, slow_reader};
use crate::support::World;

const DONE: &str = r#"{"type":"response.done","response":{"usage":{"total_tokens":7,"input_tokens":3,"output_tokens":4}}}"#;

/// A provider that says back what it hears, `DONE` to `done`, goodbye to `bye`, and breaks off at `break`.
struct Provider {
    address: SocketAddr,
    handshakes: Arc<Mutex<Vec<(String, HeaderMap)>>>,
    ended: Arc<tokio::sync::Semaphore>,
}

impl Provider {
    async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (handshakes, ended) = (Arc::<Mutex<Vec<(String, HeaderMap)>>>::default(), Arc::new(tokio::sync::Semaphore::new(0)));
        let (seen, over) = (Arc::clone(&handshakes), Arc::clone(&ended));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, over) = (Arc::clone(&seen), Arc::clone(&over));
                tokio::spawn(async move {
                    converse(stream, &seen).await;
                    over.add_permits(1);
                });
            }
        });
        Self { address, handshakes, ended }
    }

    async fn ends(&self) {
        within(self.ended.acquire()).await.unwrap().forget();
    }
}

#[expect(clippy::result_large_err, reason = "the callback's own type")]
async fn converse(stream: TcpStream, seen: &Mutex<Vec<(String, HeaderMap)>>) {
    let judge = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
        seen.lock().unwrap().push((request.uri().to_string(), request.headers().clone()));
        if request.uri().path().ends_with("/refused") {
            let body = "{\"error\":{\"message\":\"Incorrect API key provided: sk-operator\"}}".to_owned();
            let refusal = http::Response::builder().status(401).header("content-type", "application/json").body(Some(body));
            return Err(refusal.unwrap());
        }
        if let Some(protocols) = request.headers().get("sec-websocket-protocol") {
            let first = protocols.to_str().unwrap().split(',').next().unwrap();
            response.headers_mut().insert("sec-websocket-protocol", first.parse().unwrap());
        }
        Ok(response)
    };
    let Ok(mut socket) = tokio_tungstenite::accept_hdr_async(stream, judge).await else { return };
    while let Some(Ok(message)) = socket.next().await {
        match message {
            Message::Text(text) if text == "done" => socket.send(DONE.into()).await.unwrap(),
            Message::Text(text) if text == "bye" => socket.close(None).await.unwrap(),
            Message::Text(text) if text == "break" => return,
            // What it says to one who is gone is lost.
            Message::Text(_) | Message::Binary(_) => drop(socket.send(message).await),
            _ => {}
        }
    }
}

/// A gateway on a port, before that provider.
struct House {
    world: World,
    address: SocketAddr,
    gate: Arc<Gate>,
}

impl House {
    async fn open(provider: &Provider) -> Self {
        let world = World::on_the_network(&format!(
            "[providers.p]\nkind = \"openai\"\napi_key = \"sk-operator\"\nbase_url = \"http://{}/v1\"\n[[models]]\nname = \"voice\"\ntargets = [{{ provider = \"p\", model = \"gpt-realtime\" }}]\n",
            provider.address
        ));
        Self::around(world).await
    }

    async fn around(world: World) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let gate = Gate::new(100);
        let rules = EdgeRules::for_app(&Listen::default(), address);
        let server = Server::new(world.line.clone(), rules, &Bounds::default(), Arc::clone(&gate), world.line.shared.drain.clone());
        tokio::spawn(async move { server.serve(Listener::Tcp(listener)).await });
        Self { world, address, gate }
    }

    async fn connect(&self, path: &str, headers: &[(&'static str, &str)]) -> Result<WebSocketStream<MaybeTlsStream<TcpStream>>, Error> {
        let mut request = format!("ws://{}{path}", self.address).into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        within(tokio_tungstenite::connect_async(request)).await.map(|(socket, _)| socket)
    }

    fn streams(&self) -> usize {
        self.world.line.shared.stores.streams.load(std::sync::atomic::Ordering::SeqCst)
    }

    /// All accounts closed, this one by this outcome.
    async fn ended(&self, outcome: &str) {
        within(self.gate.emptied()).await;
        self.world.assert_settled(1);
        assert_eq!(self.world.metric("outrider_requests_total", &[("operation", "opaque"), ("outcome", outcome)]), 1.0, "{outcome}");
    }
}

/// A bound on a hang, nothing that a passing test waits for.
async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future).await.unwrap_or_else(|_| panic!("this takes too long"))
}

async fn heard(socket: &mut WebSocketStream<MaybeTlsStream<TcpStream>>) -> Message {
    within(socket.next()).await.unwrap().unwrap()
}

#[tokio::test]
async fn frames_pass_both_ways_and_are_metered() {
    let provider = Provider::open().await;
    let house = House::open(&provider).await;
    let headers = [
        ("authorization", "Bearer sk-app"),
        ("sec-websocket-protocol", "realtime, openai-insecure-api-key.sk-app"),
        ("sec-websocket-extensions", "permessage-deflate"),
        ("openai-beta", "realtime=v1"),
    ];
    let mut socket = house.connect("/v1/realtime?model=voice", &headers).await.unwrap();
    assert_eq!(house.streams(), 1);
    {
        let (uri, seen) = provider.handshakes.lock().unwrap()[0].clone();
        assert_eq!(uri, "/v1/realtime?model=gpt-realtime");
        assert_eq!(
            (&seen["authorization"], &seen["openai-beta"]),
            (&"Bearer sk-operator".parse().unwrap(), &"realtime=v1".parse().unwrap())
        );
        assert_eq!(seen["sec-websocket-protocol"], "realtime");
        assert!(!format!("{seen:?}").contains("sk-app") && !seen.contains_key("sec-websocket-extensions"));
    }
    let large = "x".repeat(3 << 20);
    for message in [Message::text("hi"), Message::binary(Bytes::from(vec![7; 100_000])), Message::text(large), Message::text("")] {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(heard(&mut socket).await, message);
    }
    for _ in 0..2 {
        socket.send("done".into()).await.unwrap();
        assert_eq!(heard(&mut socket).await, Message::text(DONE));
    }
    socket.close(None).await.unwrap();
    assert!(matches!(heard(&mut socket).await, Message::Close(_)));
    drop(socket);
    provider.ends().await;
    house.ended("complete").await;
    let sum = |kind| house.world.metric("gen_ai_client_token_usage_sum", &[("gen_ai_request_model", "voice"), ("gen_ai_token_type", kind)]);
    assert_eq!((sum("input"), sum("output")), (6.0, 8.0));
}

#[tokio::test]
async fn a_named_provider_is_asked_by_any_path() {
    let provider = Provider::open().await;
    let house = House::open(&provider).await;
    let mut socket = house.connect("/providers/p/live/x", &[]).await.unwrap();
    socket.send("bye".into()).await.unwrap();
    assert!(matches!(heard(&mut socket).await, Message::Close(_)));
    assert!(within(socket.next()).await.is_none());
    drop(socket);
    house.ended("complete").await;
    assert_eq!(provider.handshakes.lock().unwrap()[0].0, "/v1/live/x");
}

#[tokio::test]
async fn a_refusal_is_an_answer_without_the_key() {
    let provider = Provider::open().await;
    let house = House::open(&provider).await;
    let Err(Error::Http(response)) = house.connect("/v1/realtime/refused", &[]).await else { panic!("not refused") };
    assert_eq!(response.status(), 401);
    assert!(String::from_utf8_lossy(response.body().as_deref().unwrap()).contains("provided: [redacted]"));
    let Err(Error::Http(response)) = house.connect("/v1/files", &[]).await else { panic!("not refused") };
    assert_eq!(response.status(), 400);
    let Err(Error::Http(response)) = house.connect("/v1/realtime", &[("origin", "http://evil.test")]).await else { panic!("not refused") };
    assert_eq!(response.status(), 403);
    assert_eq!(provider.handshakes.lock().unwrap().len(), 1);
    within(house.gate.emptied()).await;
    house.world.assert_settled(3);
}

/// Codex falls back to POST by this.
#[tokio::test]
async fn responses_over_a_socket_are_asked_for_by_post() {
    let house = House::open(&Provider::open().await).await;
    let Err(Error::Http(response)) = house.connect("/v1/responses", &[]).await else { panic!("not refused") };
    assert_eq!(
        (response.status().as_u16(), &response.headers()["upgrade"], &response.headers()["allow"]),
        (426, &"HTTP/1.1".parse().unwrap(), &"POST".parse().unwrap())
    );
}

#[tokio::test]
async fn an_app_that_vanishes_lets_the_provider_go() {
    let provider = Provider::open().await;
    let house = House::open(&provider).await;
    let mut socket = house.connect("/v1/realtime", &[]).await.unwrap();
    socket.send("hi".into()).await.unwrap();
    heard(&mut socket).await;
    drop(socket);
    provider.ends().await;
    house.ended("client_gone").await;
}

#[tokio::test]
async fn a_provider_that_vanishes_lets_the_app_go() {
    let provider = Provider::open().await;
    let house = House::open(&provider).await;
    let mut socket = house.connect("/v1/realtime", &[]).await.unwrap();
    socket.send("break".into()).await.unwrap();
    assert!(matches!(within(socket.next()).await, None | Some(Err(_))));
    drop(socket);
    house.ended("truncated").await;
}

#[tokio::test]
async fn a_drain_waits_for_a_socket_and_cuts_it_with_a_close_frame() {
    let provider = Provider::open().await;
    let house = House::open(&provider).await;
    let mut socket = house.connect("/v1/realtime", &[]).await.unwrap();
    let draining = tokio::spawn({
        let (drain, gate) = (house.world.line.shared.drain.clone(), Arc::clone(&house.gate));
        async move { server::drain(&drain, &gate, Duration::from_secs(3600)).await }
    });
    tokio::task::yield_now().await;
    socket.send("still here".into()).await.unwrap();
    assert_eq!(heard(&mut socket).await, Message::text("still here"));
    assert!(!draining.is_finished());
    house.world.line.shared.drain.cut();
    let goodbye = Message::Close(Some(CloseFrame { code: CloseCode::Away, reason: "".into() }));
    assert_eq!(heard(&mut socket).await, goodbye);
    provider.ends().await;
    house.ended("draining").await;
    within(draining).await.unwrap();
}

#[tokio::test]
async fn what_comes_before_its_time_is_not_lost_and_no_request() {
    let provider = Provider::open().await;
    let house = House::open(&provider).await;
    // A masked text frame `hi`, sent with the handshake: after the switch it is the provider's, and it is answered.
    let frame = [0x81, 0x82, 0, 0, 0, 0, b'h', b'i'];
    let handshake = "GET /v1/realtime HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    stream.write_all(&[handshake.as_bytes(), &frame].concat()).await.unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(b"\x81\x02hi") {
        assert!(within(stream.read_buf(&mut seen)).await.unwrap() > 0, "{}", String::from_utf8_lossy(&seen));
    }
    assert!(seen.starts_with(b"HTTP/1.1 101 "));
    drop(stream);
    house.ended("client_gone").await;
    // Where the provider does not switch, what follows is judged as a request of its own.
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    let refused = handshake.replace("/v1/realtime", "/v1/realtime/refused");
    stream.write_all(format!("{refused}GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n").as_bytes()).await.unwrap();
    let mut text = String::new();
    within(stream.read_to_string(&mut text)).await.unwrap();
    let statuses: Vec<_> = text.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(statuses, ["401", "403"]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_provider_does_not_make_an_app_look_stalled() {
    const BYTES: usize = 24 << 20;
    let world = World::pair();
    let (permits, taken) = slow_reader(&world);
    let house = House::around(world).await;
    let (mut reader, mut writer) = TcpStream::connect(house.address).await.unwrap().into_split();
    let sending = tokio::spawn(async move {
        let head = format!("POST /v1/files HTTP/1.1\r\nHost: localhost\r\nContent-Type: audio/wav\r\nContent-Length: {BYTES}\r\n\r\n");
        writer.write_all(head.as_bytes()).await.unwrap();
        writer.write_all(&vec![b'x'; BYTES]).await.unwrap();
        writer
    });
    // Longer than a body may stall; the clock stands wherever somebody has something to do.
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert!(!sending.is_finished(), "nothing holds the app back");
    assert!(house.world.line.shared.stores.held.bytes() == 0, "nothing is kept");
    permits.add_permits(1 << 20);
    let _writer = sending.await.unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(JSON.as_bytes()) {
        assert!(reader.read_buf(&mut seen).await.unwrap() > 0, "{}", String::from_utf8_lossy(&seen));
    }
    assert!(seen.starts_with(b"HTTP/1.1 200 "));
    assert_eq!(taken.load(std::sync::atomic::Ordering::SeqCst), BYTES);
}

#[tokio::test]
async fn an_app_that_leaves_in_mid_upload_lets_the_provider_go() {
    let world = World::pair();
    let (permits, taken) = slow_reader(&world);
    permits.add_permits(1 << 20);
    let house = House::around(world).await;
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    stream
        .write_all(b"POST /v1/files HTTP/1.1\r\nHost: localhost\r\nContent-Type: audio/wav\r\nContent-Length: 99\r\n\r\nbegun")
        .await
        .unwrap();
    while taken.load(std::sync::atomic::Ordering::SeqCst) < 5 {
        tokio::task::yield_now().await;
    }
    drop(stream);
    within(house.gate.emptied()).await;
    house.world.assert_settled(1);
}
