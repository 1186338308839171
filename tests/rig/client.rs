//! A client that keeps its connection and reads bytes.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;

use super::speech::{Told, Tongue};

/// One app's connection.
pub struct Client {
    address: SocketAddr,
    sender: Option<SendRequest<Full<Bytes>>>,
    /// Serves the connection; ends it when aborted.
    task: Option<AbortHandle>,
    /// How often it had to connect.
    pub connects: usize,
}

/// What came back.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
    /// The connection broke within the body.
    pub cut: bool,
    pub to_head: Duration,
    pub to_end: Duration,
}

/// When a client hangs up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    Never,
    After(Duration),
    /// When so many bytes of the body are there.
    AtBytes(usize),
}

/// Longer than anything that ends takes.
const HANG: Duration = Duration::from_secs(60);

impl Client {
    pub fn new(address: SocketAddr) -> Self {
        Self { address, sender: None, task: None, connects: 0 }
    }

    /// A model's answer to the prompt of this number.
    ///
    /// # Errors
    /// No answer: the connection broke, or nothing came for a minute.
    pub async fn ask(&mut self, tongue: Tongue, model: &str, number: u64, stream: bool) -> Result<Reply, String> {
        self.post(tongue.path(), &[], tongue.request(model, number, stream)).await
    }

    /// # Errors
    /// As in [`Self::ask`].
    pub async fn post(&mut self, path: &str, headers: &[(&str, &str)], body: String) -> Result<Reply, String> {
        self.post_and(Leave::Never, path, headers, body).await.map(|reply| reply.unwrap())
    }

    /// The same, but hangs up when it is time to; `None` where it did.
    ///
    /// # Errors
    /// As in [`Self::ask`].
    pub async fn post_and(&mut self, leave: Leave, path: &str, headers: &[(&str, &str)], body: String) -> Result<Option<Reply>, String> {
        let mut request = Request::post(path).header("host", "localhost").header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        let (time, most) = match leave {
            Leave::Never => (HANG, usize::MAX),
            Leave::After(time) => (time, usize::MAX),
            Leave::AtBytes(most) => (HANG, most),
        };
        let exchanged = tokio::time::timeout(time, self.exchange(request, most)).await;
        let left = !matches!(exchanged, Ok(Ok(Some(_))));
        if left {
            self.hang_up();
        }
        match exchanged {
            Ok(exchanged) => exchanged.map_err(|error| error.to_string()),
            Err(_) if matches!(leave, Leave::After(_)) => Ok(None),
            Err(_) => Err("no end of it within a minute".to_owned()),
        }
    }

    fn hang_up(&mut self) {
        self.sender = None;
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }

    pub async fn get(&mut self, path: &str) -> Result<Reply, String> {
        let request = Request::get(path).header("host", "localhost").body(Full::new(Bytes::new())).unwrap();
        self.exchange(request, usize::MAX).await.map(|reply| reply.unwrap()).map_err(|error| error.to_string())
    }

    /// One request and its answer; `None` where more than so many bytes of it came.
    async fn exchange(&mut self, request: Request<Full<Bytes>>, most: usize) -> Result<Option<Reply>, Box<dyn std::error::Error>> {
        let mut sender = match self.sender.take() {
            Some(sender) if !sender.is_closed() => sender,
            _ => self.connect().await?,
        };
        sender.ready().await?;
        let began = Instant::now();
        let response = sender.send_request(request).await?;
        let to_head = began.elapsed();
        let (head, mut body) = response.into_parts();
        let (mut bytes, mut cut) = (Vec::new(), false);
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => bytes.extend_from_slice(&frame.into_data().unwrap_or_default()),
                Err(_) => cut = true,
            }
            if bytes.len() > most {
                return Ok(None);
            }
        }
        if !cut {
            self.sender = Some(sender);
        }
        let body = String::from_utf8(bytes)?;
        Ok(Some(Reply { status: head.status.as_u16(), headers: head.headers, body, cut, to_head, to_end: began.elapsed() }))
    }

    async fn connect(&mut self) -> Result<SendRequest<Full<Bytes>>, Box<dyn std::error::Error>> {
        self.connects += 1;
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let task = tokio::spawn(async move {
            // Its error is the request's too.
            let _told = connection.await;
        });
        self.task = Some(task.abort_handle());
        Ok(sender)
    }
}

impl Reply {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap_or("unreadable"))
    }

    /// The `provider/model` that answered.
    pub fn target(&self) -> &str {
        self.header("x-outrider-target")
    }

    /// The name of the provider that answered, up to its dialect.
    pub fn provider(&self) -> &str {
        self.target().split(['-', '/']).next().unwrap_or_default()
    }

    pub fn attempts(&self) -> u32 {
        self.header("x-outrider-attempts").parse().unwrap_or(0)
    }

    pub fn read(&self, tongue: Tongue, stream: bool) -> Told {
        if stream && self.header("content-type").starts_with("text/event-stream") {
            tongue.read_stream(&self.body)
        } else {
            tongue.read_whole(&self.body)
        }
    }
}
