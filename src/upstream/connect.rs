//! From a site to a byte stream: DNS, TCP, TLS. The test world dials its own in-process providers instead.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use http::Uri;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::pool::{Http1, Http2};
use super::{SendErrorKind, causes};
use crate::base::io::Io;
use crate::config::{HttpVersion, Site};

/// Opens byte streams without TLS: the test world's way to its providers.
pub trait Dial: Send + Sync {
    /// A stream to the host and port of `origin`.
    fn dial(&self, origin: &Uri) -> Dialled;
}

/// A stream that is being opened.
pub type Dialled = Pin<Box<dyn Future<Output = std::io::Result<Box<dyn Io>>> + Send>>;

/// How streams to providers are opened.
#[derive(Clone)]
pub enum Connector {
    /// By DNS, TCP and TLS.
    Network(Arc<TlsSetup>),
    /// By a dialler of the test world; no TLS.
    Dial(Arc<dyn Dial>),
}

/// TLS client configurations, one for each site: they hold its sessions.
#[derive(Default)]
pub struct TlsSetup {
    by_site: Mutex<HashMap<u64, Arc<ClientConfig>>>,
}

pub(super) struct Connected {
    pub(super) io: Stream,
    pub(super) http2: bool,
}

pub(super) struct ConnectError {
    pub(super) kind: SendErrorKind,
    pub(super) cause: String,
}

/// Plain TCP, boxed for everything else: the common cases cost no dynamic call.
pub(super) enum Stream {
    Tcp(TcpStream),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
    Other(Box<dyn Io>),
}

impl Connector {
    pub(super) async fn connect(&self, site: &Site) -> Result<Connected, ConnectError> {
        let tls = match self {
            Self::Dial(dial) => {
                let io = dial.dial(&site.origin).await.map_err(|error| refused(&error))?;
                return Ok(Connected { io: Stream::Other(io), http2: false });
            }
            Self::Network(tls) => tls,
        };
        let host = site.origin.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let secure = site.origin.scheme_str() == Some("https");
        let port = site.origin.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let tcp = TcpStream::connect((host, port)).await.map_err(|error| refused(&error))?;
        // Without it a small event may wait for the delayed ACK of the one before.
        tcp.set_nodelay(true).map_err(|error| refused(&error))?;
        if !secure {
            return Ok(Connected { io: Stream::Tcp(tcp), http2: false });
        }
        let failed = |cause: String| ConnectError { kind: SendErrorKind::Tls, cause };
        let config = tls.config(site).map_err(failed)?;
        let name = ServerName::try_from(host.to_owned()).map_err(|error| failed(error.to_string()))?;
        let stream = TlsConnector::from(config).connect(name, tcp).await.map_err(|error| failed(causes(&error)))?;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(Connected { io: Stream::Tls(Box::new(stream)), http2 })
    }
}

fn refused(error: &std::io::Error) -> ConnectError {
    // The resolver's failures come as uncategorised I/O errors; only their text tells them apart.
    let text = error.to_string();
    let kind = if text.contains("lookup address") { SendErrorKind::Dns } else { SendErrorKind::Connect };
    ConnectError { kind, cause: text }
}

impl TlsSetup {
    fn config(&self, site: &Site) -> Result<Arc<ClientConfig>, String> {
        let mut by_site = self.by_site.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = by_site.get(&site.id) {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(client_config(site)?);
        by_site.insert(site.id, Arc::clone(&config));
        Ok(config)
    }
}

fn client_config(site: &Site) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    if let Some(pem) = &site.ca_pem {
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| format!("ca_file: {error}"))?;
            roots.add(certificate).map_err(|error| format!("ca_file: {error}"))?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = match site.http_version {
        HttpVersion::Auto => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        HttpVersion::Http1 => vec![b"http/1.1".to_vec()],
        HttpVersion::Http2 => vec![b"h2".to_vec()],
    };
    Ok(config)
}

pub(super) async fn handshake_http1(io: Stream) -> Result<Http1, hyper::Error> {
    let (sender, connection) =
        hyper::client::conn::http1::Builder::new().max_buf_size(READ_BUFFER_BYTES_MAX).handshake(TokioIo::new(io)).await?;
    drive(connection);
    Ok(sender)
}

/// A connection for one exchange, whose bytes are the caller's once the provider switches protocols.
pub(super) async fn handshake_upgrade(io: Stream) -> Result<Http1, hyper::Error> {
    let (sender, connection) =
        hyper::client::conn::http1::Builder::new().max_buf_size(READ_BUFFER_BYTES_MAX).handshake(TokioIo::new(io)).await?;
    drive(connection.with_upgrades());
    Ok(sender)
}

pub(super) async fn handshake_http2(io: Stream) -> Result<Http2, hyper::Error> {
    let (sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(std::time::Duration::from_secs(20))
        .initial_stream_window_size(256 << 10)
        .initial_connection_window_size(1 << 20)
        .handshake(TokioIo::new(io))
        .await?;
    drive(connection);
    Ok(sender)
}

/// What hyper may buffer of one answer that is read more slowly than it comes.
const READ_BUFFER_BYTES_MAX: usize = 64 << 10;

#[expect(clippy::disallowed_methods, reason = "a connection's task ends with the last handle to it: it cannot outlive the drain")]
fn drive(connection: impl Future<Output = hyper::Result<()>> + Send + 'static) {
    tokio::spawn(async move {
        // Its error is also told to the request in flight, which reports it.
        let _told_to_the_request = connection.await;
    });
}

mod stream {
    //! Polling through to whichever stream it is.

    use std::io::{IoSlice, Result};
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

    use super::Stream;

    impl AsyncRead for Stream {
        fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<()>> {
            match self.get_mut() {
                Self::Tcp(io) => Pin::new(io).poll_read(cx, buf),
                Self::Tls(io) => Pin::new(io.as_mut()).poll_read(cx, buf),
                Self::Other(io) => Pin::new(io.as_mut()).poll_read(cx, buf),
            }
        }
    }

    impl AsyncWrite for Stream {
        fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
            match self.get_mut() {
                Self::Tcp(io) => Pin::new(io).poll_write(cx, buf),
                Self::Tls(io) => Pin::new(io.as_mut()).poll_write(cx, buf),
                Self::Other(io) => Pin::new(io.as_mut()).poll_write(cx, buf),
            }
        }

        fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<Result<usize>> {
            match self.get_mut() {
                Self::Tcp(io) => Pin::new(io).poll_write_vectored(cx, bufs),
                Self::Tls(io) => Pin::new(io.as_mut()).poll_write_vectored(cx, bufs),
                Self::Other(io) => Pin::new(io.as_mut()).poll_write_vectored(cx, bufs),
            }
        }

        fn is_write_vectored(&self) -> bool {
            match self {
                Self::Tcp(io) => io.is_write_vectored(),
                Self::Tls(io) => io.is_write_vectored(),
                Self::Other(io) => io.is_write_vectored(),
            }
        }

        fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
            match self.get_mut() {
                Self::Tcp(io) => Pin::new(io).poll_flush(cx),
                Self::Tls(io) => Pin::new(io.as_mut()).poll_flush(cx),
                Self::Other(io) => Pin::new(io.as_mut()).poll_flush(cx),
            }
        }

        fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
            match self.get_mut() {
                Self::Tcp(io) => Pin::new(io).poll_shutdown(cx),
                Self::Tls(io) => Pin::new(io.as_mut()).poll_shutdown(cx),
                Self::Other(io) => Pin::new(io.as_mut()).poll_shutdown(cx),
            }
        }
    }
}
