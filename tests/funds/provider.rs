//! A provider that keeps the truth: what it was asked, what it answered, what it is owed.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::Dice;

/// Nano-USD for a token: the prices in [`PRICES`].
pub const INPUT: u64 = 1_000;
pub const OUTPUT: u64 = 10_000;
pub const PRICES: &str = "[[prices]]\nprovider = \"p\"\nmodel = \"m\"\ninput_usd = 1\noutput_usd = 10\n";
/// What requests bound their answer to.
pub const OUTPUT_MAX: u64 = 40;

/// What is known of one request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Told {
    pub asked: u32,
    /// Of its whole answer, where there was one.
    pub input: u64,
    pub output: u64,
}

impl Told {
    pub fn cost(self) -> u64 {
        self.input * INPUT + self.output * OUTPUT
    }
}

#[derive(Default)]
pub struct Truth {
    /// By the number of the request.
    pub all: HashMap<u64, Told>,
    pub under_way: usize,
    /// The most at one time.
    pub crowd: usize,
}

/// How often, in a hundred, it does not answer as it should; and how long it takes at most.
#[derive(Clone, Copy)]
pub struct Temper {
    pub bad: u64,
    pub slow: Duration,
}

pub struct Provider {
    pub address: SocketAddr,
    pub truth: Arc<Mutex<Truth>>,
}

impl Provider {
    pub async fn open(temper: Temper, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let truth: Arc<Mutex<Truth>> = Arc::default();
        let dice = Arc::new(Mutex::new(Dice(seed)));
        let shared = Arc::clone(&truth);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (truth, dice) = (Arc::clone(&shared), Arc::clone(&dice));
                let service = service_fn(move |request| answer(request, Arc::clone(&truth), Arc::clone(&dice), temper));
                tokio::spawn(async move {
                    // Whoever leaves has left.
                    let _gone = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, truth }
    }

    pub fn policy(&self) -> String {
        let address = self.address;
        format!(
            "[providers.p]\nkind = \"openai\"\napi_key = \"sk-test\"\nbase_url = \"http://{address}/v1\"\n{PRICES}\
             [providers.q]\nkind = \"openai\"\napi_key = \"sk-test\"\nbase_url = \"http://{address}/v1\"\n\
             [[prices]]\nprovider = \"q\"\nmodel = \"m\"\ninput_usd = 0\noutput_usd = 0\n\
             [[models]]\nname = \"any\"\ntargets = [{{ provider = \"p\", model = \"m\" }}]\nretry = {{ attempts = 1 }}\n\
             [[models]]\nname = \"free\"\ntargets = [{{ provider = \"q\", model = \"m\" }}]\nretry = {{ attempts = 1 }}\n"
        )
    }
}

/// A request under way, counted as long as this lives.
struct Presence(Arc<Mutex<Truth>>);

impl Presence {
    fn new(truth: &Arc<Mutex<Truth>>) -> Self {
        let mut now = truth.lock().unwrap();
        now.under_way += 1;
        now.crowd = now.crowd.max(now.under_way);
        drop(now);
        Self(Arc::clone(truth))
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.lock().unwrap().under_way -= 1;
    }
}

/// Pieces with pauses before them, and what to note when the last one leaves.
struct Pieces {
    rest: std::vec::IntoIter<(Duration, Bytes)>,
    waiting: Option<(Pin<Box<tokio::time::Sleep>>, Bytes)>,
    note: Option<Box<dyn FnOnce() + Send + Sync>>,
    presence: Option<Presence>,
    breaks: bool,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if self.waiting.is_none() {
            let Some((pause, bytes)) = self.rest.next() else {
                return Poll::Ready(self.breaks.then(|| Err(std::io::Error::other("broken off"))));
            };
            self.waiting = Some((Box::pin(tokio::time::sleep(pause)), bytes));
        }
        if let Some((sleep, _)) = &mut self.waiting {
            std::task::ready!(sleep.as_mut().poll(cx));
        }
        if self.rest.len() == 0 && !self.breaks {
            // Before the last byte leaves: whoever gets it may ask anew at once.
            self.presence = None;
            if let Some(note) = self.note.take() {
                note();
            }
        }
        Poll::Ready(self.waiting.take().map(|(_, bytes)| Ok(Frame::data(bytes))))
    }
}

async fn answer(
    request: Request<Incoming>,
    truth: Arc<Mutex<Truth>>,
    dice: Arc<Mutex<Dice>>,
    temper: Temper,
) -> Result<Response<Pieces>, Infallible> {
    let presence = Presence::new(&truth);
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let json: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let number: u64 = json["messages"][0]["content"].as_str().and_then(|text| text.rsplit(' ').next()?.parse().ok()).unwrap_or(0);
    truth.lock().unwrap().all.entry(number).or_default().asked += 1;
    let mut dice = Dice(dice.lock().unwrap().below(u64::MAX));
    let (input, output) = (5 + dice.below(10), 1 + dice.below(OUTPUT_MAX));
    let told = Arc::clone(&truth);
    let note = move || {
        let mut truth = told.lock().unwrap();
        let entry = truth.all.entry(number).or_default();
        (entry.input, entry.output) = (input, output);
    };
    let pause = Duration::from_micros(dice.below(temper.slow.as_micros() as u64 + 1));
    let mut pieces = Pieces { rest: Vec::new().into_iter(), waiting: None, note: None, presence: Some(presence), breaks: false };
    if dice.below(100) < temper.bad {
        let status = match dice.below(3) {
            0 => 500,
            1 => 503,
            _ => {
                pieces.breaks = true;
                200
            }
        };
        let error = br#"{"error":{"message":"Oh.","type":"server_error","code":null,"param":null}}"#;
        pieces.rest = vec![(pause, Bytes::from_static(if status == 200 { b"{\"id\":" } else { error }))].into_iter();
        return Ok(Response::builder().status(status).header("content-type", "application/json").body(pieces).unwrap());
    }
    let usage = format!(r#"{{"prompt_tokens":{input},"completion_tokens":{output},"total_tokens":{}}}"#, input + output);
    pieces.note = Some(Box::new(note));
    if json["stream"] == true {
        let chunk = |choices: &str, usage: &str| {
            format!(
                "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{choices}]{usage}}}\n\n"
            )
        };
        let said = r#"{"index":0,"delta":{"role":"assistant","content":"Hello"},"finish_reason":null}"#;
        let stop = r#"{"index":0,"delta":{},"finish_reason":"stop"}"#;
        let last = [chunk(stop, ""), chunk("", &format!(",\"usage\":{usage}")), "data: [DONE]\n\n".to_owned()].concat();
        pieces.rest = vec![(pause / 2, Bytes::from(chunk(said, ""))), (pause / 2, Bytes::from(last))].into_iter();
        return Ok(Response::builder().header("content-type", "text/event-stream").body(pieces).unwrap());
    }
    let text = format!(
        r#"{{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{{"index":0,"message":{{"role":"assistant","content":"Hello"}},"finish_reason":"stop"}}],"usage":{usage}}}"#
    );
    pieces.rest = vec![(pause, Bytes::from(text))].into_iter();
    Ok(Response::builder().header("content-type", "application/json").body(pieces).unwrap())
}
