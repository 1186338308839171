//! A provider that is never the bottleneck: OpenAI chat completions and Anthropic messages, whole and streamed.
//!
//! Each streamed event's text holds `t=` and the 19 digits of the clock at which it was made, so that a reader on the same
//! machine can tell how long the event was under way, through any proxy that keeps the text.
//!
//! `mock [--port 9000]`; the rest is set while it runs: `GET /__config?body=1024&chunks=100&gap_ms=10`, `/__stats`,
//! `/__reset`.

mod answer;
mod state;
mod stream;

use std::convert::Infallible;
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use memchr::memmem;
use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;
use tokio::task::{LocalSet, spawn_local};

use crate::state::State;
use crate::stream::Events;

const USAGE: &str = "mock [--port 9000]";

/// Which of the two APIs a request means.
#[derive(Clone, Copy)]
enum Api {
    /// `POST …/chat/completions`.
    OpenAi,
    /// `POST …/messages`.
    Anthropic,
}

type Answer = Response<Either<Full<Bytes>, Events>>;

fn main() -> Result<(), Box<dyn Error>> {
    let mut port = 9000;
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        match name.as_str() {
            "--port" => port = arguments.next().ok_or(USAGE)?.parse()?,
            _ => return Err(USAGE.into()),
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, serve(port))
}

async fn serve(port: u16) -> Result<(), Box<dyn Error>> {
    let listener = listen(port)?;
    let state = Rc::new(State::new());
    loop {
        let Ok((socket, _)) = listener.accept().await else { continue };
        socket.set_nodelay(true)?;
        let state = state.clone();
        spawn_local(async move {
            let service = service_fn(move |request| answer(state.clone(), request));
            // HTTP/1.1, and HTTP/2 with prior knowledge. How a connection ends is the client's business.
            let _ended = auto::Builder::new(Local).serve_connection(TokioIo::new(socket), service).await;
        });
    }
}

/// A deep backlog: a proxy opens its connections all at once.
fn listen(port: u16) -> Result<TcpListener, Box<dyn Error>> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    socket.listen(8192)?;
    Ok(TcpListener::from_std(socket.into())?)
}

async fn answer(state: Rc<State>, request: Request<Incoming>) -> Result<Answer, Infallible> {
    let (head, body) = request.into_parts();
    let path = head.uri.path();
    if path.starts_with("/__") {
        return Ok(json(StatusCode::OK, state.control(path, head.uri.query().unwrap_or_default())));
    }
    let api = match head.method {
        Method::POST if path.ends_with("/chat/completions") => Api::OpenAi,
        Method::POST if path.ends_with("/messages") => Api::Anthropic,
        _ => return Ok(json(StatusCode::NOT_FOUND, Bytes::from_static(br#"{"error":{"message":"not found"}}"#))),
    };
    let Ok(body) = body.collect().await else {
        return Ok(json(StatusCode::BAD_REQUEST, Bytes::from_static(br#"{"error":{"message":"the body broke off"}}"#)));
    };
    state.count(api);
    let body = body.to_bytes();
    if !wants_stream(&body) {
        return Ok(json(StatusCode::OK, state.whole(api)));
    }
    let mut answer = Response::new(Either::Right(Events::new(state, api)));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    answer.headers_mut().insert("x-request-id", HeaderValue::from_static("req_mock"));
    Ok(answer)
}

/// Not a parser: the bench writes its own requests, compact, and a search costs next to nothing at 100 KB.
fn wants_stream(body: &[u8]) -> bool {
    memmem::find(body, br#""stream":true"#).is_some()
}

fn json(status: StatusCode, body: Bytes) -> Answer {
    let mut answer = Response::new(Either::Left(Full::new(body)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer.headers_mut().insert("x-request-id", HeaderValue::from_static("req_mock"));
    answer
}

/// Runs hyper's tasks on this thread.
#[derive(Clone, Copy)]
struct Local;

impl<F: Future + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, task: F) {
        spawn_local(async move {
            task.await;
        });
    }
}
