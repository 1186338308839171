//! A WebSocket: the handshake goes to the provider with its own credential, then bytes are copied both ways.
//!
//! The frames are the two ends' own. Ours is only to know where the provider's begin, so that the cut of a drain can be
//! a clean one, and to read what they tell of usage; for that no compression is offered on.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Response};
use tokio::io::{AsyncWriteExt, ReadBuf};

use super::super::account::Account;
use super::super::answer;
use super::super::attempt::{Content, Good};
use super::usage::{self, UsageFinder};
use crate::base::io::Io;
use crate::base::{Fault, FaultKind, Origin, drain};
use crate::dialect::Losses;
use crate::ir::Usage;
use crate::telemetry::Ending;

/// A connection over which nobody says a word for so long is closed. Both ends ping far more often.
const IDLE: Duration = Duration::from_secs(15 * 60);
/// How long one end may go on after the other has closed.
const CLOSE_GRACE: Duration = Duration::from_secs(2);
/// What is read at once in one direction.
const BUFFER_BYTES: usize = 16 << 10;
/// A close frame of a server: 1001, going away (RFC 6455 §7.4.1).
const GOING_AWAY: &[u8] = &[0x88, 0x02, 0x03, 0xe9];

/// Whether a head asks for a WebSocket. The edge has let in sound handshakes only.
pub(in crate::pipeline) fn is_handshake(head: &Parts) -> bool {
    head.method == Method::GET && head.headers.get(header::UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// What the client's handshake says that its provider must hear.
pub(super) fn handshake(client: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(16);
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    for name in [header::SEC_WEBSOCKET_KEY, header::SEC_WEBSOCKET_VERSION] {
        headers.extend(client.get(&name).cloned().map(|value| (name, value)));
    }
    let protocols = client.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    let kept: Vec<_> = protocols.flat_map(|value| value.split(',')).map(str::trim).filter(|name| !is_credential(name)).collect();
    if !kept.is_empty() {
        headers.extend(HeaderValue::from_str(&kept.join(", ")).ok().map(|value| (header::SEC_WEBSOCKET_PROTOCOL, value)));
    }
    headers
}

/// Browsers cannot set headers, so OpenAI takes these as names of protocols.
fn is_credential(protocol: &str) -> bool {
    let name = protocol.to_ascii_lowercase();
    ["openai-insecure-api-key.", "openai-ephemeral-key.", "openai-organization.", "openai-project."]
        .iter()
        .any(|credential| name.starts_with(credential))
}

/// A provider that speaks WebSocket now, and waits for the app.
pub(in crate::pipeline) struct Socket {
    provider: Box<dyn Io>,
    cut: drain::Cut,
    account: Option<Account>,
    streams: Option<Arc<AtomicUsize>>,
}

/// The app's answer to its handshake.
pub(super) fn switched(response: Response<Box<dyn Io>>, cut: drain::Cut) -> Good {
    let (head, provider) = response.into_parts();
    let mut headers = head.headers;
    answer::keep_answer_headers(&mut headers);
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    let socket = Socket { provider, cut, account: None, streams: None };
    Good { status: head.status, headers, content: Content::Socket(Box::new(socket)), losses: Losses::default() }
}

/// The status that makes clients of Responses over WebSocket (Codex) fall back to POST, with the header that it wants.
pub(in crate::pipeline) const UPGRADE_REQUIRED: (HeaderName, HeaderValue) = (header::UPGRADE, HeaderValue::from_static("HTTP/1.1"));

impl Socket {
    /// From here on this connection is the app's: it carries the account, and closes it.
    pub(in crate::pipeline) fn commit(mut self, account: Account, streams: &Arc<AtomicUsize>) -> Self {
        streams.fetch_add(1, Ordering::Relaxed);
        self.streams = Some(Arc::clone(streams));
        self.account = Some(account);
        self
    }

    /// Copies both ways until one end closes, or the drain's time is over.
    pub(in crate::pipeline) async fn run(mut self, early: Bytes, mut app: Box<dyn Io>) {
        let mut pump = Pump::new(early);
        let ending = loop {
            let patience = if pump.one_ended() { CLOSE_GRACE } else { IDLE };
            let moved = pump.moved();
            let turn = std::future::poll_fn(|cx| pump.poll(cx, &mut *app, &mut *self.provider));
            tokio::select! {
                biased;
                () = self.cut.cut() => {
                    // Between two frames, or it would be taken for a part of one.
                    if pump.frames.between() {
                        let last_word = async {
                            app.write_all(GOING_AWAY).await?;
                            app.shutdown().await
                        };
                        // An app that takes nothing now has had its time.
                        let _in_time = tokio::time::timeout(CLOSE_GRACE / 4, last_word).await;
                    }
                    break Ending::Failed(Box::new(Fault::new(FaultKind::Draining, Origin::Gateway, "Outrider is shutting down.")));
                }
                turn = turn => match turn {
                    Turn::OneEnded => {}
                    Turn::BothEnded => break pump.ending(End::Provider, None),
                    Turn::Broke(end, error) => break pump.ending(end, Some(&error)),
                },
                () = tokio::time::sleep(patience) => {
                    if pump.one_ended() {
                        break pump.ending(End::Provider, None);
                    }
                    if pump.moved() == moved {
                        let text = format!("Nobody said anything for {}.", humantime::format_duration(IDLE));
                        break Ending::Failed(Box::new(Fault::upstream(FaultKind::Timeout, text)));
                    }
                }
            }
        };
        if let Some(account) = &mut self.account {
            account.record.usage = pump.usage;
            account.record.request_bytes = pump.up.bytes;
            account.record.response_bytes = pump.down.bytes;
            account.close(&ending);
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Some(streams) = &self.streams {
            streams.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    App,
    Provider,
}

enum Turn {
    OneEnded,
    BothEnded,
    Broke(End, io::Error),
}

/// Both directions of one connection.
struct Pump {
    up: Pipe,
    down: Pipe,
    frames: Frames,
    finder: UsageFinder,
    usage: Usage,
    /// Who closed first.
    first: Option<End>,
}

impl Pump {
    fn new(early: Bytes) -> Self {
        Self {
            up: Pipe::new(&early),
            down: Pipe::new(&[]),
            frames: Frames::default(),
            finder: UsageFinder::default(),
            usage: Usage::default(),
            first: None,
        }
    }

    fn moved(&self) -> u64 {
        self.up.bytes + self.down.bytes
    }

    fn one_ended(&self) -> bool {
        self.up.shut || self.down.shut
    }

    fn poll(&mut self, cx: &mut Context<'_>, app: &mut dyn Io, provider: &mut dyn Io) -> Poll<Turn> {
        let up = self.up.poll(cx, app, provider, &mut |_| ());
        let Self { frames, finder, usage, .. } = self;
        let down = self.down.poll(cx, provider, app, &mut |bytes| {
            frames.read(bytes);
            // Each answer tells its own.
            finder.read(bytes, &mut |told| usage::add(usage, &told));
        });
        for (end, broke) in [(End::App, up.0), (End::Provider, up.1), (End::Provider, down.0), (End::App, down.1)] {
            if let Some(error) = broke {
                return Poll::Ready(Turn::Broke(end, error));
            }
        }
        match (self.up.shut, self.down.shut) {
            (true, true) => Poll::Ready(Turn::BothEnded),
            (false, false) => Poll::Pending,
            _ if self.first.is_some() => Poll::Pending,
            (up, _) => {
                self.first = Some(if up { End::App } else { End::Provider });
                Poll::Ready(Turn::OneEnded)
            }
        }
    }

    /// How it ended, by who ended it: whole where the provider said goodbye.
    fn ending(&self, by: End, cause: Option<&io::Error>) -> Ending {
        match self.first.unwrap_or(by) {
            _ if self.frames.closed => Ending::Complete,
            End::App => Ending::ClientGone,
            End::Provider => {
                let fault = Fault::upstream(FaultKind::Truncated, "The provider closed the connection without a close frame.");
                Ending::Failed(Box::new(match cause {
                    Some(cause) => fault.cause(cause),
                    None => fault,
                }))
            }
        }
    }
}

/// One direction.
struct Pipe {
    buffer: Box<[u8]>,
    from: usize,
    to: usize,
    bytes: u64,
    ended: bool,
    unflushed: bool,
    shut: bool,
}

/// What broke: the reading, the writing.
type Broke = (Option<io::Error>, Option<io::Error>);

impl Pipe {
    fn new(early: &[u8]) -> Self {
        let mut buffer = vec![0; BUFFER_BYTES.max(early.len())].into_boxed_slice();
        buffer[..early.len()].copy_from_slice(early);
        Self { buffer, from: 0, to: early.len(), bytes: early.len() as u64, ended: false, unflushed: false, shut: false }
    }

    /// Copies until one side must be waited for.
    fn poll(&mut self, cx: &mut Context<'_>, source: &mut dyn Io, sink: &mut dyn Io, seen: &mut dyn FnMut(&[u8])) -> Broke {
        if self.shut {
            return (None, None);
        }
        match self.poll_copy(cx, source, sink, seen) {
            Poll::Ready(Err(broke)) => broke,
            Poll::Ready(Ok(())) => {
                self.shut = true;
                (None, None)
            }
            Poll::Pending => (None, None),
        }
    }

    fn poll_copy(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut dyn Io,
        sink: &mut dyn Io,
        seen: &mut dyn FnMut(&[u8]),
    ) -> Poll<Result<(), Broke>> {
        loop {
            while self.from < self.to {
                let written = ready!(Pin::new(&mut *sink).poll_write(cx, &self.buffer[self.from..self.to]));
                match written {
                    Ok(0) => return Poll::Ready(Err((None, Some(io::ErrorKind::WriteZero.into())))),
                    Ok(written) => self.from += written,
                    Err(error) => return Poll::Ready(Err((None, Some(error)))),
                }
                self.unflushed = true;
            }
            if self.ended {
                return Pin::new(&mut *sink).poll_shutdown(cx).map_err(|error| (None, Some(error)));
            }
            let mut room = ReadBuf::new(&mut self.buffer);
            match Pin::new(&mut *source).poll_read(cx, &mut room) {
                Poll::Ready(Err(error)) => return Poll::Ready(Err((Some(error), None))),
                Poll::Ready(Ok(())) => {
                    (self.from, self.to) = (0, room.filled().len());
                    self.bytes += self.to as u64;
                    self.ended = self.to == 0;
                    seen(&self.buffer[..self.to]);
                }
                Poll::Pending => {
                    if self.unflushed {
                        // TLS keeps what was written until it is told to send it.
                        ready!(Pin::new(&mut *sink).poll_flush(cx)).map_err(|error| (None, Some(error)))?;
                        self.unflushed = false;
                    }
                    return Poll::Pending;
                }
            }
        }
    }
}

/// Where a server's frames begin and end (RFC 6455 §5.2).
#[derive(Default)]
struct Frames {
    head: [u8; 14],
    head_len: usize,
    left: u64,
    /// Whether a close frame was among them.
    closed: bool,
}

impl Frames {
    fn between(&self) -> bool {
        self.head_len == 0 && self.left == 0
    }

    fn read(&mut self, mut bytes: &[u8]) {
        while let Some(first) = bytes.first() {
            if self.left > 0 {
                let skipped = bytes.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
                self.left -= skipped as u64;
                bytes = &bytes[skipped..];
                continue;
            }
            self.head[self.head_len] = *first;
            self.head_len += 1;
            bytes = &bytes[1..];
            if let Some(length) = self.length() {
                self.closed |= self.head[0] & 0x0f == 8;
                self.left = length;
                self.head_len = 0;
            }
        }
    }

    /// The payload's length, once the head is whole.
    fn length(&self) -> Option<u64> {
        let second = *self.head[..self.head_len].get(1)?;
        let (short, masked) = (second & 0x7f, second & 0x80 != 0);
        let extended = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if self.head_len < 2 + extended + if masked { 4 } else { 0 } {
            return None;
        }
        let long = self.head[2..2 + extended].iter().fold(0u64, |length, byte| length << 8 | u64::from(*byte));
        Some(if extended == 0 { u64::from(short) } else { long })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_followed_however_they_are_cut() {
        let mut wire = vec![0x81, 3, b'a', b'b', b'c'];
        wire.extend([0x82, 126, 1, 0]);
        wire.extend([0x88; 256]);
        wire.extend([0x82, 127, 0, 0, 0, 0, 0, 1, 0, 1]);
        wire.extend(vec![0; 65_537]);
        wire.extend([0x89, 0]);
        let ends = [5, 5 + 4 + 256, 5 + 4 + 256 + 10 + 65_537, wire.len()];
        for step in [1, 2, 7, 100_000] {
            let mut frames = Frames::default();
            let mut at = 0;
            for piece in wire.chunks(step) {
                frames.read(piece);
                at += piece.len();
                assert_eq!(frames.between(), ends.contains(&at), "at {at} by {step}");
            }
            assert!(!frames.closed);
            frames.read(GOING_AWAY);
            assert!(frames.closed && frames.between());
        }
    }

    #[test]
    fn keys_among_the_protocols_stay_here() {
        let mut client = HeaderMap::new();
        client.append(
            header::SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static("realtime, openai-insecure-api-key.sk-x,openai-beta.realtime-v1"),
        );
        client.append(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("OpenAI-Insecure-Api-Key.sk-y"));
        client.insert(header::SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static("permessage-deflate"));
        let kept = handshake(&client);
        assert_eq!(kept[header::SEC_WEBSOCKET_PROTOCOL], "realtime, openai-beta.realtime-v1");
        assert!(!kept.contains_key(header::SEC_WEBSOCKET_EXTENSIONS));
        client.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("openai-insecure-api-key.sk-x"));
        assert!(!handshake(&client).contains_key(header::SEC_WEBSOCKET_PROTOCOL));
    }
}
