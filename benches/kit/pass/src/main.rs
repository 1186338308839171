//! The bare proxy: a hyper server, a hyper client connection and a hand-made pool, on one thread.
//!
//! Bodies stream through unseen, nothing is decided, logged or counted: what is left is the price of HTTP/1.1 on
//! loopback with this library. It is the limit that the product is measured against.
//!
//! `pass [--port 9104] [--upstream 9000]`

use std::cell::RefCell;
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::{Either, Empty};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONNECTION, HOST, HeaderMap, HeaderValue, TRANSFER_ENCODING};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str = "pass [--port 9104] [--upstream 9000]";

type Failure = Box<dyn Error + Send + Sync>;

thread_local! {
    /// Idle connections to the upstream, the youngest on top: it is the likeliest to be alive and in cache.
    static POOL: RefCell<Vec<SendRequest<Incoming>>> = const { RefCell::new(Vec::new()) };
}

fn main() -> Result<(), Failure> {
    let (mut port, mut upstream) = (9104u16, 9000u16);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or(USAGE)?.parse()?;
        match name.as_str() {
            "--port" => port = value,
            "--upstream" => upstream = value,
            _ => return Err(USAGE.into()),
        }
    }
    let upstream = SocketAddr::from((Ipv4Addr::LOCALHOST, upstream));
    let host = HeaderValue::from_str(&upstream.to_string())?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve(port, upstream, host))
}

async fn serve(port: u16, upstream: SocketAddr, host: HeaderValue) -> Result<(), Failure> {
    let listener = listen(port)?;
    loop {
        let Ok((socket, _)) = listener.accept().await else { continue };
        socket.set_nodelay(true)?;
        let host = host.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| forward(upstream, host.clone(), request));
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service).await
        });
    }
}

/// A deep backlog: the load generator opens its connections all at once.
fn listen(port: u16) -> Result<TcpListener, Failure> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    socket.listen(8192)?;
    Ok(TcpListener::from_std(socket.into())?)
}

async fn forward(
    upstream: SocketAddr,
    host: HeaderValue,
    mut request: Request<Incoming>,
) -> Result<Response<Either<Relayed, Empty<Bytes>>>, Failure> {
    strip(request.headers_mut());
    request.headers_mut().insert(HOST, host);
    if let Some(path) = request.uri().path_and_query().cloned() {
        *request.uri_mut() = Uri::from(path);
    }
    let Ok(mut answer) = send(upstream, request).await else {
        let mut refusal = Response::new(Either::Right(Empty::new()));
        *refusal.status_mut() = StatusCode::BAD_GATEWAY;
        return Ok(refusal);
    };
    strip(answer.headers_mut());
    Ok(answer.map(Either::Left))
}

/// Removes what concerns one connection only.
fn strip(headers: &mut HeaderMap) {
    headers.remove(CONNECTION);
    headers.remove(TRANSFER_ENCODING);
}

/// Sends on an idle connection, or on a new one where there is none. A request that an idle connection gave back unsent
/// goes on the next.
async fn send(upstream: SocketAddr, mut request: Request<Incoming>) -> Result<Response<Relayed>, Failure> {
    loop {
        let mut connection = match idle().await {
            Some(connection) => connection,
            None => connect(upstream).await?,
        };
        match connection.try_send_request(request).await {
            Ok(answer) => return Ok(answer.map(|inner| Relayed { inner, connection: Some(connection) })),
            Err(mut failure) => match failure.take_message() {
                Some(unsent) => request = unsent,
                None => return Err(failure.into_error().into()),
            },
        }
    }
}

async fn idle() -> Option<SendRequest<Incoming>> {
    loop {
        let mut connection = POOL.with_borrow_mut(Vec::pop)?;
        if connection.ready().await.is_ok() {
            return Some(connection);
        }
    }
}

async fn connect(upstream: SocketAddr) -> Result<SendRequest<Incoming>, Failure> {
    let socket = TcpStream::connect(upstream).await?;
    socket.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

/// The answer's body. At its end the connection goes back to the pool.
struct Relayed {
    inner: Incoming,
    connection: Option<SendRequest<Incoming>>,
}

impl Body for Relayed {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        if (matches!(polled, Poll::Ready(None)) || self.inner.is_end_stream())
            && let Some(connection) = self.connection.take()
        {
            POOL.with_borrow_mut(|pool| pool.push(connection));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
