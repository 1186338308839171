//! The admin listener.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use outrider::base::drain::Drain;
use outrider::config::Bounds;
use outrider::server::admin::ADMIN_CONNECTIONS_MAX;
use outrider::server::{Admin, AdminSource, EdgeRules, Gate, Listener, Server};
use tokio::net::{TcpListener, TcpStream};

use crate::listen;
use crate::peer::Peer;

struct Source {
    drains: AtomicUsize,
}

impl AdminSource for Source {
    fn metrics(&self, openmetrics: bool) -> String {
        if openmetrics { "# EOF\n".into() } else { "up 1\n".into() }
    }

    fn config(&self) -> String {
        "[listen]\n".into()
    }

    fn status_json(&self) -> String {
        "{}".into()
    }

    fn status_html(&self) -> String {
        "<p>fine</p>".into()
    }

    fn ready(&self) -> Result<(), String> {
        match self.drains.load(Ordering::SeqCst) {
            0 => Ok(()),
            _ => Err("draining".into()),
        }
    }

    fn drain(&self) {
        self.drains.fetch_add(1, Ordering::SeqCst);
    }
}

/// Request line and headers in; status, a piece of the head, the body out.
#[rustfmt::skip]
const PAGES: &[(&str, u16, &str, &str)] = &[
    ("GET / HTTP/1.1\r\nHost: localhost", 200, "text/html", "<a href=\"/status\">"),
    ("GET /healthz HTTP/1.1\r\nHost: localhost", 200, "text/plain", "ok\n"),
    ("GET /healthz HTTP/1.1\r\nHost: 10.1.2.3:4142", 200, "text/plain", "ok\n"),
    ("GET /healthz HTTP/1.1\r\nHost: [fd00::7]:4142", 200, "text/plain", "ok\n"),
    ("GET /healthz HTTP/1.1\r\nHost: evil.test", 403, "application/json", "forbidden"),
    ("GET /healthz HTTP/1.1\r\nHost: 10.1.2.3\r\nOrigin: http://10.1.2.3", 403, "application/json", "forbidden"),
    ("GET /readyz HTTP/1.1\r\nHost: localhost", 200, "text/plain", "ready\n"),
    ("GET /metrics HTTP/1.1\r\nHost: localhost", 200, "version=0.0.4", "up 1\n"),
    ("GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1", 200, "application/openmetrics-text; version=1.0.0", "# EOF\n"),
    ("GET /config HTTP/1.1\r\nHost: localhost", 200, "text/plain", "[listen]\n"),
    ("GET /status HTTP/1.1\r\nHost: localhost", 200, "application/json", "{}"),
    ("GET /status HTTP/1.1\r\nHost: localhost\r\nAccept: text/html,*/*", 200, "text/html", "<p>fine</p>"),
    ("GET /status?format=json HTTP/1.1\r\nHost: localhost\r\nAccept: text/html", 200, "application/json", "{}"),
    ("GET /nowhere HTTP/1.1\r\nHost: localhost", 404, "application/json", "not_found"),
    ("POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0", 405, "allow: GET, HEAD\r\n", "method_not_allowed"),
    ("GET /drain HTTP/1.1\r\nHost: localhost", 405, "allow: POST\r\n", "method_not_allowed"),
    // No web page drains a sidecar, neither by its form nor by its script.
    ("POST /drain HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.test\r\nContent-Length: 0", 403, "application/json", "forbidden"),
    ("POST /drain HTTP/1.1\r\nHost: localhost\r\nOrigin: null\r\nContent-Length: 0", 403, "application/json", "forbidden"),
    ("POST /drain HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: cross-site\r\nContent-Length: 0", 403, "application/json", "forbidden"),
    ("POST /drain HTTP/1.1\r\nHost: rebound.test\r\nContent-Length: 0", 403, "application/json", "forbidden"),
    ("GET /readyz HTTP/1.1\r\nHost: localhost", 200, "text/plain", "ready\n"),
    ("POST /drain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0", 202, "application/json", "draining"),
    ("GET /readyz HTTP/1.1\r\nHost: localhost", 503, "text/plain", "not ready: draining\n"),
    ("GET /healthz HTTP/1.1\r\nHost: localhost", 200, "text/plain", "ok\n"),
];

#[tokio::test]
async fn each_page_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let source = Arc::new(Source { drains: AtomicUsize::new(0) });
    let bounds = Admin::<Source>::bounds(&Bounds::default());
    let rules = EdgeRules::for_admin(&listen(), address);
    let server = Server::new(Admin::new(Arc::clone(&source)), rules, &bounds, Gate::new(ADMIN_CONNECTIONS_MAX), Drain::default());
    tokio::spawn(async move { server.serve(Listener::Tcp(listener)).await });

    for (request, wanted, head_piece, body_piece) in PAGES {
        let mut peer = Peer { stream: TcpStream::connect(address).await.unwrap(), seen: Vec::new() };
        peer.send(&format!("{request}\r\n\r\n")).await;
        let (status, head, body) = peer.answer().await.unwrap();
        assert_eq!(status, *wanted, "{request:?}");
        assert!(head.contains(head_piece), "{request:?}: {head}");
        assert!(body.contains(body_piece), "{request:?}: {body}");
    }
    assert_eq!(source.drains.load(Ordering::SeqCst), 1);

    let mut peer = Peer { stream: TcpStream::connect(address).await.unwrap(), seen: Vec::new() };
    peer.send("HEAD /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    let head = peer.until("\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("content-length: 3"), "{head}");
    assert!(peer.is_closed().await && peer.seen.is_empty());
}
