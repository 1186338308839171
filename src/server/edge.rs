//! Who may ask, and how a request must be addressed: the rules that keep web pages and confused proxies out.
//!
//! A sidecar on localhost is in reach of every page that a browser on the same machine shows. A page cannot forge
//! `Host`, `Origin` or `Sec-Fetch-Site`, so these decide, before any work is done.

use std::net::{IpAddr, SocketAddr};

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderValue, ORIGIN, SEC_WEBSOCKET_KEY, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::{HeaderName, Method, Version};

use crate::base::{Fault, FaultKind};
use crate::config::Listen;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Which requests one listener accepts.
#[derive(Clone, Debug)]
pub struct EdgeRules {
    hosts: Hosts,
    origins: Vec<HeaderValue>,
    /// Whether a WebSocket may be asked for, on the paths that know one.
    websockets: bool,
}

#[derive(Clone, Debug)]
enum Hosts {
    /// Whatever is well formed: no web page can reach a unix socket.
    Any,
    /// Loopback names, these names and these addresses; any address at all where `any_address`. A page rebinds names,
    /// never addresses.
    Listed { names: Vec<String>, address: IpAddr, any_address: bool },
}

impl EdgeRules {
    /// Rules for the app's TCP listener, bound to `local`.
    pub fn for_app(listen: &Listen, local: SocketAddr) -> Self {
        Self { websockets: true, ..Self::listed(listen, local.ip(), local.ip().is_unspecified()) }
    }

    /// Rules for the app's unix socket.
    pub fn for_unix(listen: &Listen) -> Self {
        Self { hosts: Hosts::Any, origins: header_values(&listen.origins), websockets: true }
    }

    /// Rules for the admin listener, bound to `local`: probes and scrapers come with any address as `Host`.
    pub fn for_admin(listen: &Listen, local: SocketAddr) -> Self {
        Self::listed(listen, local.ip(), true)
    }

    fn listed(listen: &Listen, address: IpAddr, any_address: bool) -> Self {
        let names = listen.hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        Self { hosts: Hosts::Listed { names, address, any_address }, origins: header_values(&listen.origins), websockets: false }
    }

    /// Judges a request by its head.
    ///
    /// # Errors
    /// [`FaultKind::BadRequest`] where the head is not that of a sound origin request, [`FaultKind::Forbidden`] where it
    /// comes from a web page or is meant for another host.
    pub fn check(&self, parts: &Parts) -> Result<(), Fault> {
        check_method(parts)?;
        check_target(parts)?;
        self.check_upgrade(parts)?;
        self.check_host(parts)?;
        self.check_page(parts)
    }

    /// An offer of HTTP/2 (`Upgrade: h2c`, which Java's HttpClient makes with every first request) may be ignored, as
    /// RFC 9110 §7.8 has it. A WebSocket is asked for by a sound handshake, where one may answer. Whoever asks for another
    /// protocol would not understand an HTTP answer.
    fn check_upgrade(&self, parts: &Parts) -> Result<(), Fault> {
        let h2c = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"h2c");
        if parts.headers.get_all(UPGRADE).iter().all(h2c) {
            return Ok(());
        }
        if !self.websockets || !may_be_websocket(parts.uri.path()) {
            return Err(Fault::bad_request(
                "Upgrade is refused: this server speaks HTTP/1.1 and HTTP/2, and WebSocket on /v1/realtime and /providers/NAME/ only.",
            ));
        }
        if !is_handshake(parts) {
            return Err(Fault::bad_request(
                "a WebSocket is asked for by a GET of HTTP/1.1 without a body, with `Connection: Upgrade`, `Upgrade: websocket` and \
                 `Sec-WebSocket-Key`, each once.",
            ));
        }
        Ok(())
    }

    fn check_host(&self, parts: &Parts) -> Result<(), Fault> {
        let host = one_host(parts)?;
        let Some(name) = host_name(host) else {
            return Err(Fault::bad_request("Host must be one host name or address with an optional port, as in `Host: 127.0.0.1:4141`."));
        };
        if self.hosts.allow(name) {
            return Ok(());
        }
        Err(forbidden("this Host is not one of this server's: use localhost, 127.0.0.1 or [::1], or list the name in `listen.hosts`."))
    }

    fn check_page(&self, parts: &Parts) -> Result<(), Fault> {
        let mut origins = parts.headers.get_all(ORIGIN).iter().peekable();
        let from_known_page = origins.peek().is_some();
        for origin in origins {
            if !self.origins.contains(origin) {
                return Err(forbidden("requests from web pages are refused: list the page's Origin in `listen.origins` to allow it."));
            }
        }
        let cross_site = |site: &HeaderValue| site.as_bytes().eq_ignore_ascii_case(b"cross-site");
        if !from_known_page && parts.headers.get_all(SEC_FETCH_SITE).iter().any(cross_site) {
            return Err(forbidden("cross-site requests of web pages are refused."));
        }
        Ok(())
    }
}

impl Hosts {
    fn allow(&self, name: &str) -> bool {
        let Self::Listed { names, address, any_address } = self else { return true };
        let literal = name.strip_prefix('[').map_or(name, |rest| rest.strip_suffix(']').unwrap_or(rest));
        if let Ok(ip) = literal.parse::<IpAddr>() {
            return *any_address
                || ip == IpAddr::from([127, 0, 0, 1])
                || ip == IpAddr::from(std::net::Ipv6Addr::LOCALHOST)
                || ip == *address
                || names.iter().any(|known| known.eq_ignore_ascii_case(name) || known.eq_ignore_ascii_case(literal));
        }
        name.eq_ignore_ascii_case("localhost") || names.iter().any(|known| known.eq_ignore_ascii_case(name))
    }
}

fn check_method(parts: &Parts) -> Result<(), Fault> {
    if parts.method == Method::CONNECT || parts.method == Method::TRACE {
        return Err(Fault::bad_request("CONNECT and TRACE are refused: this server is not a forward proxy."));
    }
    Ok(())
}

/// HTTP/2 hands scheme and authority over beside the path, HTTP/1.1 must not.
fn check_target(parts: &Parts) -> Result<(), Fault> {
    let absolute = parts.uri.scheme().is_some() || parts.uri.authority().is_some();
    if (absolute && parts.version < Version::HTTP_2) || !parts.uri.path().starts_with('/') {
        return Err(Fault::bad_request("the request target must be a path: this server is not a forward proxy."));
    }
    Ok(())
}

/// The paths on which a WebSocket is answered: forwarded, or refused with a status that its clients expect.
fn may_be_websocket(path: &str) -> bool {
    let path = path.trim_end_matches('/');
    let short = path.strip_prefix("/v1").unwrap_or(path);
    short == "/responses" || short == "/realtime" || short.starts_with("/realtime/") || path.starts_with("/providers/")
}

/// A handshake by RFC 6455 §4.1, and nothing besides that could be taken for another message.
fn is_handshake(parts: &Parts) -> bool {
    let once = |name: &HeaderName| {
        let mut values = parts.headers.get_all(name).iter();
        values.next().filter(|_| values.next().is_none())
    };
    let websocket = once(&UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let names_upgrade =
        |value: &HeaderValue| value.to_str().is_ok_and(|text| text.split(',').any(|name| name.trim().eq_ignore_ascii_case("upgrade")));
    let without_body =
        parts.headers.get(CONTENT_LENGTH).is_none_or(|length| length == "0") && !parts.headers.contains_key(TRANSFER_ENCODING);
    parts.version == Version::HTTP_11
        && parts.method == Method::GET
        && websocket
        && once(&CONNECTION).is_some_and(names_upgrade)
        && once(&SEC_WEBSOCKET_KEY).is_some()
        && without_body
}

/// The one `Host`, or `:authority` with a `Host` that says the same or nothing.
fn one_host(parts: &Parts) -> Result<&str, Fault> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let (host, more) = (hosts.next(), hosts.next());
    if more.is_some() {
        return Err(Fault::bad_request("the request has more than one Host: send it once."));
    }
    let host = host.map(|host| host.to_str().unwrap_or_default());
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    match (authority, host) {
        (Some(authority), Some(host)) if !authority.eq_ignore_ascii_case(host) => {
            Err(Fault::bad_request("Host and :authority differ: send one of them."))
        }
        (Some(host), _) | (None, Some(host)) => Ok(host),
        (None, None) => Err(Fault::bad_request("the request has no Host: HTTP/1.1 requires it.")),
    }
}

/// The name of `name[:port]`, `None` unless it is well formed: no userinfo, no path, no list, no blank.
fn host_name(host: &str) -> Option<&str> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (address, _) = rest.split_once(']')?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            host.split_at(address.len() + 2)
        }
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    if name.is_empty() || !(name.starts_with('[') || name.bytes().all(plain)) {
        return None;
    }
    match port.strip_prefix(':') {
        Some(digits) => {
            (!digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit()) && digits.parse::<u16>().is_ok()).then_some(name)
        }
        None => port.is_empty().then_some(name),
    }
}

fn forbidden(text: &'static str) -> Fault {
    Fault::caller(FaultKind::Forbidden, text)
}

fn header_values(texts: &[String]) -> Vec<HeaderValue> {
    texts.iter().filter_map(|text| HeaderValue::from_str(text).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_are_parsed_strictly() {
        let table: &[(&str, Option<&str>)] = &[
            ("localhost", Some("localhost")),
            ("localhost:4141", Some("localhost")),
            ("[::1]:80", Some("[::1]")),
            ("[::1]", Some("[::1]")),
            ("my_svc.ns", Some("my_svc.ns")),
            ("", None),
            (":80", None),
            ("localhost:", None),
            ("localhost:80:80", None),
            ("localhost:+8", None),
            ("localhost:99999", None),
            ("user@localhost", None),
            ("localhost/path", None),
            ("localhost, evil", None),
            ("a b", None),
            ("::1", None),
            ("[::1", None),
            ("[::1]x", None),
            ("[evil]", None),
            ("localhost?x", None),
            ("localhost#x", None),
        ];
        for (host, name) in table {
            assert_eq!(host_name(host), *name, "{host:?}");
        }
    }
}
