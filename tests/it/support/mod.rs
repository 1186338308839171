//! The World: whole exchanges in process. The app's side is the pipeline itself, the providers are hyper servers on the
//! other end of in-memory streams, the clock stands still and is advanced by whoever waits.

pub mod corpus;

use std::collections::HashMap;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body::{Body as HttpBody, Frame};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use outrider::base::body::Body;
use outrider::base::clock::{StillClock, WallClock};
use outrider::base::drain::Drain;
use outrider::base::rng::RootRng;
use outrider::config::{Config, Outside};
use outrider::credential::Credentials;
use outrider::journal::Journal;
use outrider::pipeline::{Env, Pipeline, Shared, Snapshot, Stores};
use outrider::telemetry::{Failures, Meters, Sinks};
use outrider::upstream::{Connector, Dial, Dialled, Io, Upstream};

/// A request as a provider saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// When it was there whole.
    pub at: tokio::time::Instant,
}

impl Seen {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }
}

/// What a provider does with a request.
#[derive(Clone)]
pub enum Script {
    /// A whole answer.
    Answer(u16, Vec<(&'static str, String)>, Bytes),
    /// A head, then pieces, each after a pause; then how it ends.
    Stream(Vec<(Duration, Bytes)>, End),
    /// A head of its own, then pieces.
    Raw(u16, Vec<(&'static str, String)>, Vec<(Duration, Bytes)>, End),
    /// The same after a pause.
    Later(Duration, Box<Script>),
    /// Never a head.
    Hang,
    /// The connection closes without an answer.
    Drop,
    /// The connection is refused.
    Refuse,
}

/// How a scripted stream ends.
#[derive(Clone, Copy, PartialEq)]
pub enum End {
    /// Properly, as HTTP goes.
    Close,
    /// The connection breaks.
    Cut,
    /// Nothing more comes.
    Hang,
}

impl Script {
    pub fn json(status: u16, body: &str) -> Self {
        Self::Answer(status, vec![("content-type", "application/json".into())], Bytes::copy_from_slice(body.as_bytes()))
    }

    pub fn sse(text: &str) -> Self {
        Self::Stream(vec![(Duration::ZERO, Bytes::copy_from_slice(text.as_bytes()))], End::Close)
    }

    /// One piece for each event, a pause before each.
    pub fn events(text: &str, pause: Duration, end: End) -> Self {
        let pieces = text.split_inclusive("\n\n").map(|event| (pause, Bytes::copy_from_slice(event.as_bytes())));
        Self::Stream(pieces.collect(), end)
    }

    /// The same bytes in pieces of this size.
    pub fn chunked(self, size: usize) -> Self {
        match self {
            Self::Stream(pieces, end) => {
                let all: Vec<u8> = pieces.iter().flat_map(|(_, piece)| piece.to_vec()).collect();
                Self::Stream(all.chunks(size.max(1)).map(|c| (Duration::ZERO, Bytes::copy_from_slice(c))).collect(), end)
            }
            other => other,
        }
    }
}

type Decide = dyn Fn(&Seen, usize) -> Script + Send + Sync;

/// A scripted provider.
pub struct Provider {
    decide: Box<Decide>,
    seen: Mutex<Vec<Seen>>,
    dialled: AtomicUsize,
    /// Answers that were dropped before their end: the gateway cancelled.
    cancelled: AtomicUsize,
    open: AtomicUsize,
}

impl Provider {
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub fn dialled(&self) -> usize {
        self.dialled.load(Ordering::SeqCst)
    }

    pub fn cancelled(&self) -> usize {
        self.cancelled.load(Ordering::SeqCst)
    }

    pub fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

/// Answers a request whose body it reads itself, or not.
type Handle = dyn Fn(Request<Incoming>) -> Handled + Send + Sync;
pub type Handled = Pin<Box<dyn Future<Output = Result<Response<BoxBody<Bytes, std::io::Error>>, std::io::Error>> + Send>>;

#[derive(Default)]
struct Net {
    providers: Mutex<HashMap<String, Arc<Provider>>>,
    handlers: Mutex<HashMap<String, Arc<Handle>>>,
}

impl Dial for Net {
    fn dial(&self, origin: &Uri) -> Dialled {
        let provider = self.providers.lock().unwrap().get(origin.host().unwrap()).cloned();
        let handler = self.handlers.lock().unwrap().get(origin.host().unwrap()).cloned();
        Box::pin(async move {
            if let Some(handler) = handler {
                let (ours, theirs) = tokio::io::duplex(64 << 10);
                tokio::spawn(async move {
                    let service = hyper::service::service_fn(move |request| handler(request));
                    let _cut = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(theirs), service).await;
                });
                return Ok(Box::new(ours) as Box<dyn Io>);
            }
            let Some(provider) = provider else {
                return Err(std::io::Error::other("failed to lookup address information: no such host"));
            };
            let nth = provider.dialled.fetch_add(1, Ordering::SeqCst);
            let probe = Seen {
                method: Method::GET,
                uri: Uri::from_static("/dial"),
                headers: HeaderMap::new(),
                body: Bytes::new(),
                at: tokio::time::Instant::now(),
            };
            if matches!((provider.decide)(&probe, nth), Script::Refuse) {
                return Err(std::io::ErrorKind::ConnectionRefused.into());
            }
            let (ours, theirs) = tokio::io::duplex(64 << 10);
            tokio::spawn(async move {
                let service = hyper::service::service_fn(move |request| answer(Arc::clone(&provider), request));
                let _cut_by_script = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(theirs), service).await;
            });
            Ok(Box::new(ours) as Box<dyn Io>)
        })
    }
}

/// Counts an answer as open, and as cancelled where it is dropped before its end.
struct Watch {
    provider: Arc<Provider>,
    done: bool,
}

impl Watch {
    fn new(provider: Arc<Provider>) -> Self {
        provider.open.fetch_add(1, Ordering::SeqCst);
        Self { provider, done: false }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.provider.open.fetch_sub(1, Ordering::SeqCst);
        if !self.done {
            self.provider.cancelled.fetch_add(1, Ordering::SeqCst);
        }
    }
}

async fn answer(provider: Arc<Provider>, request: Request<Incoming>) -> Result<Response<Scripted>, std::io::Error> {
    let mut watch = Watch::new(Arc::clone(&provider));
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
    let seen = Seen { method: head.method, uri: head.uri, headers: head.headers, body, at: tokio::time::Instant::now() };
    let nth = {
        let mut all = provider.seen.lock().unwrap();
        all.push(seen.clone());
        all.len() - 1
    };
    let sse = || vec![("content-type", "text/event-stream; charset=utf-8".to_owned())];
    let mut script = (provider.decide)(&seen, nth);
    while let Script::Later(pause, then) = script {
        tokio::time::sleep(pause).await;
        script = *then;
    }
    let (status, headers, pieces, end) = match script {
        Script::Answer(status, headers, body) => {
            watch.done = true;
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            let body = Scripted { pieces: vec![(Duration::ZERO, body)].into(), end: End::Close, timer: None, watch };
            return Ok(response.body(body).unwrap());
        }
        Script::Stream(pieces, end) => (200, sse(), pieces, end),
        Script::Raw(status, headers, pieces, end) => (status, headers, pieces, end),
        Script::Hang | Script::Later(..) => std::future::pending().await,
        Script::Drop | Script::Refuse => {
            watch.done = true;
            return Err(std::io::Error::other("scripted"));
        }
    };
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    Ok(response.body(Scripted { pieces: pieces.into(), end, timer: None, watch }).unwrap())
}

struct Scripted {
    pieces: std::collections::VecDeque<(Duration, Bytes)>,
    end: End,
    timer: Option<Pin<Box<tokio::time::Sleep>>>,
    watch: Watch,
}

impl HttpBody for Scripted {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let Some((pause, _)) = self.pieces.front() else {
            return match self.end {
                End::Close => {
                    self.watch.done = true;
                    Poll::Ready(None)
                }
                End::Cut => {
                    self.watch.done = true;
                    Poll::Ready(Some(Err(std::io::Error::other("scripted cut"))))
                }
                End::Hang => Poll::Pending,
            };
        };
        let pause = *pause;
        if !pause.is_zero() {
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(pause)));
            std::task::ready!(timer.as_mut().poll(cx));
            self.timer = None;
        }
        Poll::Ready(self.pieces.pop_front().map(|(_, piece)| Ok(Frame::data(piece))))
    }
}

/// What the wall clock shows.
pub const WALL_SECONDS: u64 = 1_800_000_000;

/// Neither variables nor files.
const NOTHING: Outside<'static> = Outside { env: &|_| None, read: &nothing };

fn nothing(_: &Path) -> std::io::Result<String> {
    Err(std::io::ErrorKind::NotFound.into())
}

/// A gateway among scripted providers.
pub struct World {
    pub line: Pipeline,
    net: Arc<Net>,
}

/// What the app got.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Whether the body was cut instead of ending.
    pub cut: bool,
}

impl Reply {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl World {
    /// A world by this configuration; its providers live at `http://NAME.test`.
    pub fn new(toml: &str) -> Self {
        Self::within(toml, &NOTHING)
    }

    /// A world with variables and files outside.
    pub fn within(toml: &str, outside: &Outside<'_>) -> Self {
        let net = Arc::new(Net::default());
        Self::through(Connector::Dial(Arc::clone(&net) as Arc<dyn Dial>), net, toml, outside)
    }

    /// A world whose providers are on real sockets.
    pub fn on_the_network(toml: &str) -> Self {
        Self::through(Connector::Network(Arc::default()), Arc::default(), toml, &NOTHING)
    }

    fn through(connector: Connector, net: Arc<Net>, toml: &str, outside: &Outside<'_>) -> Self {
        let loaded = Config::parse(Path::new("world.toml"), toml, outside).unwrap_or_else(|faults| panic!("{faults}"));
        let config = loaded.config;
        let sinks = Sinks { meters: Meters::new(), team: "test".into(), app: "world".into(), failures: Failures::default() };
        let wall: Arc<dyn WallClock> = Arc::new(StillClock(SystemTime::UNIX_EPOCH + Duration::from_secs(WALL_SECONDS)));
        let journal = Arc::new(Journal::still(&config.bootstrap.state, wall.now(), &RootRng::seeded(2)));
        let shared = Shared {
            credentials: Credentials::new(Arc::clone(&wall)),
            env: Env { wall, rng: RootRng::seeded(1) },
            snapshot: tokio::sync::watch::Sender::new(Arc::new(Snapshot::new(config.policy, &config.bootstrap.identity))),
            stores: Stores::new(config.bootstrap.bounds, config.bootstrap.identity, journal, sinks),
            drain: Drain::default(),
        };
        let upstream = Upstream::new(connector, 16);
        Self { line: Pipeline { shared: Arc::new(shared), upstream: Arc::new(upstream) }, net }
    }

    /// The two vendors under their own names, an alias for each dialect's models.
    pub fn pair() -> Self {
        Self::new(PAIR)
    }

    /// Places a provider at `http://NAME.test`; it decides by the request and how many came before.
    pub fn provider(&self, name: &str, decide: impl Fn(&Seen, usize) -> Script + Send + Sync + 'static) -> Arc<Provider> {
        self.host(&format!("{name}.test"), decide)
    }

    /// The same under any host's name.
    pub fn host(&self, host: &str, decide: impl Fn(&Seen, usize) -> Script + Send + Sync + 'static) -> Arc<Provider> {
        let provider = Arc::new(Provider {
            decide: Box::new(decide),
            seen: Mutex::default(),
            dialled: AtomicUsize::new(0),
            cancelled: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
        });
        self.net.providers.lock().unwrap().insert(host.to_owned(), Arc::clone(&provider));
        provider
    }

    /// Places a provider that reads its requests itself.
    pub fn handler(&self, name: &str, handle: impl Fn(Request<Incoming>) -> Handled + Send + Sync + 'static) {
        self.net.handlers.lock().unwrap().insert(format!("{name}.test"), Arc::new(handle));
    }

    /// A provider that always does the same.
    pub fn always(&self, name: &str, script: Script) -> Arc<Provider> {
        self.provider(name, move |_, _| script.clone())
    }

    /// Sends a request and gives the head of its answer.
    pub async fn open(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response<Body> {
        let mut request =
            Request::builder().method(method).uri(path).header("host", "127.0.0.1").header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body))).unwrap();
        self.line.serve(request).await
    }

    pub async fn post(&self, path: &str, body: impl AsRef<[u8]>) -> Reply {
        self.post_with(path, &[], body).await
    }

    pub async fn post_with(&self, path: &str, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Reply {
        read(self.open(Method::POST, path, headers, body.as_ref()).await).await
    }

    pub async fn get(&self, path: &str) -> Reply {
        read(self.open(Method::GET, path, &[], b"").await).await
    }

    /// The sum of a metric's samples whose labels contain each of `labels`.
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let text = self.line.shared.stores.sinks.meters.render();
        let wanted: Vec<String> = labels.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
        text.lines()
            .filter(|line| line.split(['{', ' ']).next() == Some(name) && wanted.iter().all(|label| line.contains(label.as_str())))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// Asserts that nothing is open, held or relayed any more, and that exactly `exchanges` accounts were closed.
    pub fn assert_settled(&self, exchanges: usize) {
        self.assert_idle();
        assert_eq!(self.metric("outrider_requests_total", &[]) as usize, exchanges, "closed accounts");
    }

    /// Asserts that nothing is open, held or relayed any more.
    pub fn assert_idle(&self) {
        let stores = &self.line.shared.stores;
        assert_eq!(stores.exchanges.load(Ordering::SeqCst), 0, "open accounts");
        assert_eq!(stores.streams.load(Ordering::SeqCst), 0, "open streams");
        assert_eq!(stores.held.bytes(), 0, "held bytes");
    }
}

pub const PAIR: &str = r#"
[providers.openai]
kind = "openai"
api_key = "sk-operator-openai"
base_url = "http://openai.test/v1"
[providers.anthropic]
kind = "anthropic"
api_key = "sk-operator-anthropic"
base_url = "http://anthropic.test/v1"
[[models]]
name = "fast"
targets = [{ provider = "openai", model = "gpt-4.1-mini" }]
[[models]]
name = "smart"
targets = [{ provider = "anthropic", model = "claude-haiku-4-5" }]
[[models]]
name = "strict"
targets = [{ provider = "anthropic", model = "claude-haiku-4-5" }]
strict = true
[[models]]
name = "either"
targets = [{ provider = "openai", model = "gpt-4.1-mini" }, { provider = "anthropic", model = "claude-haiku-4-5" }]
"#;

/// Reads an answer to its end.
pub async fn read(response: Response<Body>) -> Reply {
    let (head, mut body) = response.into_parts();
    let mut bytes = Vec::new();
    let mut cut = false;
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => bytes.extend_from_slice(&frame.into_data().unwrap_or_default()),
            Err(_) => cut = true,
        }
    }
    Reply { status: head.status, headers: head.headers, body: bytes.into(), cut }
}

/// Reads pieces until the text so far contains `mark`.
pub async fn read_until(body: &mut Body, mark: &str) -> String {
    let mut text = String::new();
    while !text.contains(mark) {
        let frame = body.frame().await.unwrap_or_else(|| panic!("ended without {mark:?}: {text}")).unwrap();
        text.push_str(std::str::from_utf8(&frame.into_data().unwrap_or_default()).unwrap());
    }
    text
}

/// Lets the other tasks run until nothing is left to do but wait.
pub async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}
