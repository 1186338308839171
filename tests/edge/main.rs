//! The edge over real sockets: what is accepted, what is refused, when the connection ends, how it drains.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "a test")]
#![allow(clippy::disallowed_methods, reason = "a test's tasks end with its runtime")]

mod admin;
mod peer;
mod rules;

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use outrider::base::body::{Body, Cut as BodyCut};
use outrider::base::drain::{Cut, Drain, DrainState};
use outrider::base::{Fault, FaultKind};
use outrider::config::{Bounds, Listen};
use outrider::server::{self, EdgeRules, Gate, Listener, Server, Service};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::peer::{Peer, find, within};
use crate::rules::{CLOSED, RULES};

/// Answers what the path asks for.
#[derive(Clone)]
struct Toy(Arc<ToyState>);

struct ToyState {
    drain: Drain,
    panics: AtomicUsize,
    held: Semaphore,
    release: Semaphore,
}

impl Service for Toy {
    async fn serve(&self, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        match path.as_str() {
            "/read" => match request.into_body().collect().await {
                Ok(body) => answer(StatusCode::OK, body.to_bytes()),
                Err(error) => answer(StatusCode::BAD_REQUEST, chain(&error).into()),
            },
            "/panic" => panic!("on purpose"),
            "/stream-panic" => Response::new(Body::Stream(Box::pin(PanicBody))),
            "/flood" => Response::new(Body::Stream(Box::pin(Flood))),
            "/hold" => {
                self.0.held.add_permits(1);
                self.0.release.acquire().await.unwrap().forget();
                answer(StatusCode::OK, "held".into())
            }
            "/endless" => {
                self.0.held.add_permits(1);
                Response::new(Body::Stream(Box::pin(Endless { first: true, over: false, cut: self.0.drain.cut_signal() })))
            }
            _ => answer(StatusCode::OK, path.into()),
        }
    }

    fn refuse(&self, head: &Parts, fault: Fault) -> Response<Body> {
        let status = match fault.kind {
            FaultKind::BadRequest => StatusCode::BAD_REQUEST,
            FaultKind::Forbidden => StatusCode::FORBIDDEN,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        answer(status, format!("{}: {}", head.uri.path(), fault.client_text).into())
    }

    fn panicked(&self) {
        self.0.panics.fetch_add(1, Ordering::SeqCst);
    }
}

fn answer(status: StatusCode, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::Full(body));
    *response.status_mut() = status;
    response
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// One event, silence, and at the cut the last word.
struct Endless {
    first: bool,
    over: bool,
    cut: Cut,
}

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = BodyCut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyCut>>> {
        if std::mem::take(&mut self.first) {
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"data: one\n\n")))));
        }
        if self.over {
            return Poll::Ready(None);
        }
        self.cut.poll_cut(cx).map(|()| {
            self.over = true;
            Some(Ok(Frame::data(Bytes::from_static(b"event: error\n\n"))))
        })
    }
}

/// As much as the client takes.
struct Flood;

impl http_body::Body for Flood {
    type Data = Bytes;
    type Error = BodyCut;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyCut>>> {
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'a'; 16 << 10])))))
    }
}

struct PanicBody;

impl http_body::Body for PanicBody {
    type Data = Bytes;
    type Error = BodyCut;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyCut>>> {
        panic!("in a body, on purpose")
    }
}

/// A running server.
struct House {
    address: SocketAddr,
    toy: Toy,
    drain: Drain,
    gate: Arc<Gate>,
    serving: JoinHandle<()>,
}

fn listen() -> Listen {
    Listen {
        app: ([127, 0, 0, 1], 0).into(),
        unix: None,
        admin: ([127, 0, 0, 1], 0).into(),
        drain_timeout: Duration::from_secs(30),
        hosts: vec!["outrider.test".into()],
        origins: vec!["http://page.test".into()],
        workers: 1,
    }
}

fn toy(drain: &Drain) -> Toy {
    Toy(Arc::new(ToyState { drain: drain.clone(), panics: AtomicUsize::new(0), held: Semaphore::new(0), release: Semaphore::new(0) }))
}

impl House {
    async fn open(bounds: Bounds) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let drain = Drain::default();
        let gate = Gate::new(bounds.connections_max);
        let toy = toy(&drain);
        let server = Server::new(toy.clone(), EdgeRules::for_app(&listen(), address), &bounds, Arc::clone(&gate), drain.clone());
        let serving = tokio::spawn(async move { server.serve(Listener::Tcp(listener)).await });
        Self { address, toy, drain, gate, serving }
    }

    async fn connect(&self) -> Peer<TcpStream> {
        Peer { stream: TcpStream::connect(self.address).await.unwrap(), seen: Vec::new() }
    }

    async fn holds_one(&self) {
        self.toy.0.held.acquire().await.unwrap().forget();
    }
}

pub(crate) const NEXT: &str = "GET /next HTTP/1.1\r\nHost: localhost\r\n\r\n";
#[tokio::test]
async fn each_rule_holds() {
    let house = House::open(Bounds::default()).await;
    for (bytes, wanted, closed) in RULES {
        let mut peer = house.connect().await;
        peer.send(bytes).await;
        let status = peer.answer().await.map_or(0, |(status, ..)| status);
        assert_eq!(status, *wanted, "{bytes:?}");
        if *closed {
            assert!(peer.is_closed().await, "{bytes:?}");
        } else {
            peer.send(NEXT).await;
            let next = peer.answer().await.unwrap_or_else(|| panic!("closed after {bytes:?}"));
            assert_eq!((next.0, next.2.as_str()), (200, "/next"), "{bytes:?}");
        }
    }
    assert_eq!(house.toy.0.panics.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn each_rule_holds_byte_by_byte() {
    let house = House::open(Bounds::default()).await;
    for (bytes, wanted, _) in RULES {
        let mut peer = house.connect().await;
        peer.stream.set_nodelay(true).unwrap();
        for at in 0..bytes.len() {
            peer.send(&bytes[at..=at]).await;
            tokio::task::yield_now().await;
        }
        let status = peer.answer().await.map_or(0, |(status, ..)| status);
        assert_eq!(status, *wanted, "{bytes:?}");
    }
}

#[tokio::test]
async fn no_second_request_survives_a_refusal() {
    let house = House::open(Bounds::default()).await;
    for (bytes, _, closed) in RULES.iter().filter(|rule| rule.2 == CLOSED) {
        let mut peer = house.connect().await;
        peer.send(&format!("{bytes}{NEXT}")).await;
        while peer.more().await {}
        assert!(closed & find(&peer.seen, "/next").is_none(), "{bytes:?}");
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let house = House::open(Bounds::default()).await;
    let mut peer = house.connect().await;
    peer.send("GET /a HTTP/1.1\r\nHost: localhost\r\n\r\nPOST /read HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nbGET /c HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    for body in ["/a", "b", "/c"] {
        assert_eq!(peer.answer().await.unwrap().2, body);
    }
}

#[tokio::test]
async fn a_client_that_asks_before_it_sends_is_told_to_continue() {
    let house = House::open(Bounds::default()).await;
    let mut peer = house.connect().await;
    peer.send("POST /read HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n").await;
    assert_eq!(peer.until("\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    peer.send("abc").await;
    assert_eq!(peer.answer().await.unwrap().2, "abc");
}

#[tokio::test]
async fn a_large_head_is_refused() {
    let house = House::open(Bounds::default()).await;
    let mut peer = house.connect().await;
    peer.send(&format!("GET / HTTP/1.1\r\nHost: localhost\r\nA: {}\r\n\r\n", "a".repeat(70_000))).await;
    assert_eq!(peer.answer().await.unwrap().0, 431);
    let mut peer = house.connect().await;
    peer.send(&format!("GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "A: b\r\n".repeat(200))).await;
    assert_eq!(peer.answer().await.unwrap().0, 431);
}

#[tokio::test(start_paused = true)]
async fn a_slow_head_and_a_stalled_body_are_cut() {
    let house = House::open(Bounds::default()).await;
    // Paused time runs ahead as soon as all wait, so these end at once or never.
    for beginning in ["", "P", "PRI * HTTP/2.0", "GET / HTTP/1.1\r\nHost: localhost\r\n", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\nGET /"]
    {
        let mut peer = house.connect().await;
        peer.send(beginning).await;
        assert!(peer_closes(&mut peer).await, "{beginning:?}");
    }
    let mut peer = house.connect().await;
    peer.send("POST /read HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nab").await;
    assert!(peer_closes(&mut peer).await);
    assert!(find(&peer.seen, "stalled").is_some(), "{:?}", String::from_utf8_lossy(&peer.seen));
}

#[tokio::test(start_paused = true)]
async fn a_kept_connection_outlives_a_pool_and_a_long_answer_outlives_both() {
    let house = House::open(Bounds::default()).await;
    let mut peer = house.connect().await;
    for _ in 0..3 {
        peer.send(NEXT).await;
        assert_eq!(peer.answer().await.unwrap().0, 200);
        tokio::time::sleep(Duration::from_secs(300)).await;
    }
    peer.send("GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    house.holds_one().await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    house.toy.0.release.add_permits(1);
    assert_eq!(peer.answer().await.unwrap().2, "held");
    assert!(peer_closes(&mut peer).await);
    assert_eq!(house.gate.open(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_takes_nothing_is_cut() {
    let house = House::open(Bounds::default()).await;
    let mut peer = house.connect().await;
    peer.send("GET /flood HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(house.gate.open(), 1);
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(house.gate.open(), 0);
}

/// Like `is_closed`, without a timeout that a paused clock would run into.
async fn peer_closes(peer: &mut Peer<TcpStream>) -> bool {
    let mut room = [0; 4096];
    loop {
        match peer.stream.read(&mut room).await {
            Ok(read) if read > 0 => peer.seen.extend_from_slice(&room[..read]),
            _ => return true,
        }
    }
}

#[tokio::test]
async fn http2_by_prior_knowledge() {
    let house = House::open(Bounds::default()).await;
    let stream = TcpStream::connect(house.address).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut client, connection) = hyper::client::conn::http2::handshake(hyper_util::rt::TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let table = [("http://localhost/a", 200), ("http://evil.test/a", 403), ("http://localhost/panic", 500), ("http://localhost/b", 200)];
    for (uri, status) in table {
        let request = Request::get(uri).body(Body::Empty).unwrap();
        let response = within(client.send_request(request)).await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{uri}");
    }
    let crossed = Request::get("http://localhost/").header("host", "127.0.0.1").body(Body::Empty).unwrap();
    assert_eq!(within(client.send_request(crossed)).await.unwrap().status(), 400);
}

#[tokio::test]
async fn a_unix_socket_takes_any_host_that_is_one() {
    let path = std::env::temp_dir().join(format!("outrider-edge-{}.sock", std::process::id()));
    std::fs::remove_file(&path).ok();
    let listener = UnixListener::bind(&path).unwrap();
    let drain = Drain::default();
    let server = Server::new(toy(&drain), EdgeRules::for_unix(&listen()), &Bounds::default(), Gate::new(8), drain);
    tokio::spawn(async move { server.serve(Listener::Unix(listener)).await });
    for (host, wanted) in [("api.openai.com", 200), ("x", 200), ("a/b", 400)] {
        let mut peer = Peer { stream: UnixStream::connect(&path).await.unwrap(), seen: Vec::new() };
        peer.send(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!(peer.answer().await.unwrap().0, wanted, "{host}");
    }
    std::fs::remove_file(&path).ok();
}

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    let house = House::open(Bounds { connections_max: 1, ..Bounds::default() }).await;
    let mut first = house.connect().await;
    first.send(NEXT).await;
    assert_eq!(first.answer().await.unwrap().0, 200);
    let mut second = house.connect().await;
    second.send(NEXT).await;
    let (status, head, body) = second.answer().await.unwrap();
    assert_eq!(status, 503);
    assert!(head.contains("retry-after: 1"), "{head}");
    assert!(body.contains("overloaded"), "{body}");
    assert!(second.is_closed().await);
    // The place is free again once the first is gone.
    drop(first);
    within(house.gate.emptied()).await;
    let mut third = house.connect().await;
    third.send(NEXT).await;
    assert_eq!(third.answer().await.unwrap().0, 200);
}

#[tokio::test]
async fn a_panic_in_a_body_ends_its_connection_only() {
    let house = House::open(Bounds::default()).await;
    let mut peer = house.connect().await;
    peer.send("GET /stream-panic HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(peer.is_closed().await);
    within(house.gate.emptied()).await;
    assert_eq!(house.toy.0.panics.load(Ordering::SeqCst), 1);
    let mut peer = house.connect().await;
    peer.send(NEXT).await;
    assert_eq!(peer.answer().await.unwrap().0, 200);
}

#[tokio::test]
async fn a_drain_closes_the_idle_and_waits_for_the_busy() {
    let house = House::open(Bounds::default()).await;
    let (mut idle, mut busy) = (house.connect().await, house.connect().await);
    idle.send(NEXT).await;
    assert_eq!(idle.answer().await.unwrap().0, 200);
    busy.send("GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    house.holds_one().await;

    let draining = tokio::spawn({
        let (drain, gate) = (house.drain.clone(), Arc::clone(&house.gate));
        async move { server::drain(&drain, &gate, Duration::from_secs(3600)).await }
    });
    assert!(idle.is_closed().await);
    assert!(!house.serving.is_finished());
    house.toy.0.release.add_permits(1);
    let (status, head, _) = busy.answer().await.unwrap();
    assert_eq!(status, 200);
    assert!(head.contains("connection: close"), "{head}");
    assert!(busy.is_closed().await);
    within(house.serving).await.unwrap();
    within(draining).await.unwrap();
    assert_eq!(house.drain.state(), DrainState::Draining);
    assert!(TcpStream::connect(house.address).await.is_err());
}

#[tokio::test]
async fn at_the_cut_streams_say_their_last_word() {
    let house = House::open(Bounds::default()).await;
    let mut peer = house.connect().await;
    peer.send("GET /endless HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    peer.until("data: one\n\n").await;
    let mut deaf = house.connect().await;
    deaf.send("GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    house.holds_one().await;
    house.holds_one().await;

    server::drain(&house.drain, &house.gate, Duration::ZERO).await;
    peer.until("event: error\n\n").await;
    // A clean end of the chunked body: the client must not take it for a broken connection.
    peer.until("0\r\n\r\n").await;
    assert!(peer.is_closed().await);
    // What does not heed the cut is dropped after the grace.
    assert!(deaf.answer().await.is_none());
    within(house.serving).await.unwrap();
    assert_eq!(house.gate.open(), 0);
}

#[tokio::test]
async fn a_client_that_connected_before_the_drain_is_answered() {
    let house = House::open(Bounds::default()).await;
    // Same thread, so the server has not accepted yet when the drain begins.
    let mut stream = std::net::TcpStream::connect(house.address).unwrap();
    std::io::Write::write_all(&mut stream, NEXT.as_bytes()).unwrap();
    house.drain.begin();
    stream.set_nonblocking(true).unwrap();
    let mut peer = Peer { stream: TcpStream::from_std(stream).unwrap(), seen: Vec::new() };
    assert_eq!(peer.answer().await.unwrap().0, 200);
    within(house.serving).await.unwrap();
}

#[tokio::test]
async fn a_client_that_leaves_cancels_its_exchange() {
    let house = House::open(Bounds::default()).await;
    let mut peer = house.connect().await;
    peer.send("GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    house.holds_one().await;
    drop(peer);
    within(house.gate.emptied()).await;
}
