//! A client that keeps its connection and reads bytes.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::speech::{Told, Tongue};

/// One app's connection.
pub struct Client {
    address: SocketAddr,
    sender: Option<SendRequest<Full<Bytes>>>,
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

/// Longer than anything that ends takes.
const HANG: Duration = Duration::from_secs(60);

impl Client {
    pub fn new(address: SocketAddr) -> Self {
        Self { address, sender: None, connects: 0 }
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
        let mut request = Request::post(path).header("host", "localhost").header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        match tokio::time::timeout(HANG, self.exchange(request)).await {
            Ok(reply) => reply.map_err(|error| error.to_string()),
            Err(_) => {
                self.sender = None;
                Err("no end of it within a minute".to_owned())
            }
        }
    }

    pub async fn get(&mut self, path: &str) -> Result<Reply, String> {
        let request = Request::get(path).header("host", "localhost").body(Full::new(Bytes::new())).unwrap();
        self.exchange(request).await.map_err(|error| error.to_string())
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Reply, Box<dyn std::error::Error>> {
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
        }
        if !cut {
            self.sender = Some(sender);
        }
        let body = String::from_utf8(bytes)?;
        Ok(Reply { status: head.status.as_u16(), headers: head.headers, body, cut, to_head, to_end: began.elapsed() })
    }

    async fn connect(&mut self) -> Result<SendRequest<Full<Bytes>>, Box<dyn std::error::Error>> {
        self.connects += 1;
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            // Its error is the request's too.
            let _told = connection.await;
        });
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
