//! The way to the providers on real sockets: TLS with a private CA, HTTP/2 by negotiation and by prior knowledge.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::support::World;

const ANSWER: &str = r#"{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}"#;
const ASK: &str = r#"{"model":"p/m","messages":[{"role":"user","content":"hi"}]}"#;

/// A provider on loopback; answers with the HTTP version that it was asked by in `x-version`.
struct Provider {
    port: u16,
    ca_pem: String,
    connections: Arc<AtomicUsize>,
}

impl Provider {
    async fn open(tls: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let ca_pem = made.cert.pem();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config = builder.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let service = hyper::service::service_fn(answer);
                    let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    // A client that refuses the certificate ends the connection: what the test is about.
                    if !tls {
                        drop(server.serve_connection(TokioIo::new(stream), service).await);
                    } else if let Ok(stream) = acceptor.accept(stream).await {
                        drop(server.serve_connection(TokioIo::new(stream), service).await);
                    }
                });
            }
        });
        Self { port, ca_pem, connections }
    }

    fn world(&self, scheme: &str, extra: &str) -> World {
        let port = self.port;
        World::on_the_network(&format!(
            "[providers.p]\nkind = \"openai\"\napi_key = \"sk-operator\"\nbase_url = \"{scheme}://localhost:{port}/v1\"\n{extra}\n"
        ))
    }

    fn trusted(&self) -> String {
        format!("ca_file = \"\"\"{}\"\"\"", self.ca_pem)
    }
}

async fn answer(mut request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let bytes = request.body_mut().collect().await.map_or(0, |body| body.to_bytes().len());
    let version = if request.version() == Version::HTTP_2 { "2" } else { "1.1" };
    let host = request.uri().authority().map(ToString::to_string);
    let host = host.or_else(|| Some(request.headers().get("host")?.to_str().unwrap().to_owned())).unwrap_or_default();
    let response = Response::builder()
        .header("content-type", "application/json")
        .header("x-version", version)
        .header("x-host", host)
        .header("x-bytes", bytes);
    Ok(response.body(Full::new(Bytes::from_static(ANSWER.as_bytes()))).unwrap())
}

#[tokio::test]
async fn tls_negotiates_http2_and_trusts_a_private_ca() {
    let provider = Provider::open(true).await;
    let world = provider.world("https", &provider.trusted());
    for _ in 0..3 {
        let reply = world.post("/v1/chat/completions", ASK).await;
        assert_eq!((reply.status.as_u16(), reply.header("x-version")), (200, "2"), "{}", reply.text());
        assert_eq!(reply.header("x-host"), format!("localhost:{}", provider.port));
    }
    let both = tokio::join!(world.post("/v1/chat/completions", ASK), world.post("/v1/chat/completions", ASK));
    assert_eq!((both.0.status.as_u16(), both.1.status.as_u16()), (200, 200));
    assert_eq!(provider.connections.load(Ordering::SeqCst), 1, "one connection carries all");
}

#[tokio::test]
async fn http1_over_tls_where_asked_for() {
    let provider = Provider::open(true).await;
    let world = provider.world("https", &format!("http_version = \"1.1\"\n{}", provider.trusted()));
    for _ in 0..3 {
        let reply = world.post("/v1/chat/completions", ASK).await;
        assert_eq!((reply.status.as_u16(), reply.header("x-version")), (200, "1.1"), "{}", reply.text());
    }
    assert_eq!(provider.connections.load(Ordering::SeqCst), 1, "it is kept");
}

#[tokio::test]
async fn an_unknown_ca_is_refused_and_never_spoken_to() {
    let provider = Provider::open(true).await;
    let world = provider.world("https", "");
    let reply = world.post("/v1/chat/completions", ASK).await;
    assert_eq!(reply.status, 502);
    assert!(reply.text().contains("TLS handshake failed"), "{}", reply.text());
    world.assert_settled(1);
}

#[tokio::test]
async fn http2_by_prior_knowledge_and_plain_http1() {
    let provider = Provider::open(false).await;
    for (extra, version) in [("http_version = \"2\"", "2"), ("", "1.1")] {
        let reply = provider.world("http", extra).post("/v1/chat/completions", ASK).await;
        assert_eq!((reply.status.as_u16(), reply.header("x-version")), (200, version), "{}", reply.text());
    }
}

#[tokio::test]
async fn an_unknown_host_and_a_closed_port_are_told_apart() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    for (base, text) in [
        (format!("http://127.0.0.1:{port}"), "the connection was refused"),
        ("http://no-such-host.invalid".to_owned(), "its name has no address"),
    ] {
        let world =
            World::on_the_network(&format!("[providers.p]\nkind = \"openai\"\napi_key = \"sk-operator\"\nbase_url = \"{base}/v1\"\n"));
        let reply = world.post("/v1/chat/completions", ASK).await;
        assert!(reply.status == 502 && reply.text().contains(text), "{base}: {}", reply.text());
    }
}

#[tokio::test]
async fn a_body_streams_over_both_versions() {
    let provider = Provider::open(false).await;
    for (extra, version) in [("http_version = \"2\"", "2"), ("", "1.1")] {
        let world = provider.world("http", extra);
        for _ in 0..2 {
            let body = Full::new(Bytes::from(vec![b'x'; 3 << 20]));
            let request = Request::post("/v1/files").header("host", "localhost").header("content-type", "audio/wav").body(body).unwrap();
            let reply = crate::support::read(world.line.serve(request).await).await;
            assert_eq!((reply.status.as_u16(), reply.header("x-version"), reply.header("x-bytes")), (200, version, "3145728"));
        }
        world.assert_settled(2);
    }
}
