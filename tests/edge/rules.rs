//! The edge rules as a table.

pub(crate) const CLOSED: bool = true;
const OPEN: bool = false;

/// Bytes in, status and end of the connection out. Status 0: closed without an answer.
#[rustfmt::skip]
pub(crate) const RULES: &[(&str, u16, bool)] = &[
    // Host.
    ("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 200, OPEN),
    ("GET / HTTP/1.1\r\nHost: LOCALHOST:1\r\n\r\n", 200, OPEN),
    ("GET / HTTP/1.1\r\nHost: 127.0.0.1:4141\r\n\r\n", 200, OPEN),
    ("GET / HTTP/1.1\r\nHost: [::1]:4141\r\n\r\n", 200, OPEN),
    ("GET / HTTP/1.1\r\nHost: outrider.test\r\n\r\n", 200, OPEN),
    ("GET / HTTP/1.1\r\n\r\n", 400, CLOSED),
    ("GET / HTTP/1.0\r\n\r\n", 400, CLOSED),
    ("GET / HTTP/1.1\r\nHost:\r\n\r\n", 400, CLOSED),
    ("GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400, CLOSED),
    ("GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.test\r\n\r\n", 400, CLOSED),
    ("GET / HTTP/1.1\r\nHost: user@localhost\r\n\r\n", 400, CLOSED),
    ("GET / HTTP/1.1\r\nHost: localhost/path\r\n\r\n", 400, CLOSED),
    ("GET / HTTP/1.1\r\nHost: localhost, localhost\r\n\r\n", 400, CLOSED),
    ("GET / HTTP/1.1\r\nHost: localhost:x\r\n\r\n", 400, CLOSED),
    ("GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n", 403, CLOSED),
    ("GET / HTTP/1.1\r\nHost: localhost.evil.test\r\n\r\n", 403, CLOSED),
    ("GET / HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n", 403, CLOSED),
    // Web pages.
    ("POST / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://page.test\r\nContent-Length: 0\r\n\r\n", 200, OPEN),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://page.test\r\nSec-Fetch-Site: cross-site\r\nContent-Length: 0\r\n\r\n", 200, OPEN),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.test\r\nContent-Length: 0\r\n\r\n", 403, CLOSED),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://page.test\r\nOrigin: http://evil.test\r\nContent-Length: 0\r\n\r\n", 403, CLOSED),
    ("GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: null\r\n\r\n", 403, CLOSED),
    ("GET / HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: cross-site\r\n\r\n", 403, CLOSED),
    ("GET / HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: same-origin\r\n\r\n", 200, OPEN),
    // Targets and methods.
    ("GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, CLOSED),
    ("GET http://evil.test/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, CLOSED),
    ("GET * HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, CLOSED),
    ("OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, CLOSED),
    ("OPTIONS /a HTTP/1.1\r\nHost: localhost\r\n\r\n", 200, OPEN),
    ("GET /a#b HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, CLOSED),
    ("GET localhost HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, CLOSED),
    ("CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, CLOSED),
    ("TRACE / HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, CLOSED),
    // Upgrades.
    ("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 400, CLOSED),
    ("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n", 200, OPEN),
    ("POST /read HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nContent-Length: 2\r\n\r\n{}", 200, OPEN),
    // Framing.
    ("POST /read HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc", 200, OPEN),
    ("POST /read HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 200, OPEN),
    ("POST /read HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nT: x\r\n\r\n", 200, OPEN),
    ("POST /read HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, CLOSED),
    ("POST /read HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 400, CLOSED),
    ("POST /read HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400, CLOSED),
    ("POST /read HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 400, CLOSED),
    ("POST /read HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\nabc", 400, CLOSED),
    ("POST /read HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400, CLOSED),
    ("POST /read HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: identity\r\n\r\n", 400, CLOSED),
    ("POST /read HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, CLOSED),
    ("GET / HTTP/1.1\nHost: localhost\r\n\r\n", 400, CLOSED),
    ("GET / HTTP/1.1\r\nHost: localhost\n\n", 400, CLOSED),
    ("GET / HTTP/1.1\r\nHost: localhost\r\nA : b\r\n\r\n", 400, CLOSED),
    ("GET / HTTP/1.1\r\nHost: localhost\r\nA: b\r\n c\r\n\r\n", 400, CLOSED),
    ("GET / HTTP/1.1\r\nHost: localhost\r\nA: b\0c\r\n\r\n", 400, CLOSED),
    ("GET / HTTP/2.0\r\nHost: localhost\r\n\r\n", 400, CLOSED),
    ("nonsense\r\n\r\n", 400, CLOSED),
    // Chunks; a service that does not read the body answers, and the connection ends all the same.
    ("POST /read HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n", 400, CLOSED),
    ("POST /read HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3;\r\nabc\r\n0\r\n\r\n", 400, CLOSED),
    ("POST /read HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3;a b\r\nabc\r\n0\r\n\r\n", 400, CLOSED),
    ("POST /read HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n", 400, CLOSED),
    ("POST /read HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nx\r\nabc\r\n0\r\n\r\n", 400, CLOSED),
    ("POST /read HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", 400, CLOSED),
    ("POST /skip HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3;\r\nabc\r\n0\r\n\r\n", 200, CLOSED),
    // Panics.
    ("GET /panic HTTP/1.1\r\nHost: localhost\r\n\r\n", 500, OPEN),
];
