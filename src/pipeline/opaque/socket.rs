//! A WebSocket: the handshake goes to the provider with its own credential, then bytes are copied both ways.
//!
//! The frames are the two ends' own. Ours is only to know where the provider's begin, so that the cut of a drain can be
//! a clean one, and to read what they tell of usage; for that no compression is offered on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Response};
use tokio::io::AsyncWriteExt;

use super::super::account::Account;
use super::super::answer;
use super::super::good::{Content, Good};
use super::frames::GOING_AWAY;
use super::pump::{End, Pump, Turn};
use crate::base::io::Io;
use crate::base::{Fault, FaultKind, Origin, drain};
use crate::dialect::Losses;
use crate::telemetry::Ending;

/// A connection over which nobody says a word for so long is closed. Both ends ping far more often.
const IDLE: Duration = Duration::from_secs(15 * 60);
/// How long one end may go on after the other has closed.
const CLOSE_GRACE: Duration = Duration::from_secs(2);

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
    account: Option<Box<Account>>,
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
    pub(in crate::pipeline) fn commit(mut self, account: Box<Account>, streams: &Arc<AtomicUsize>) -> Self {
        streams.fetch_add(1, Ordering::Relaxed);
        self.streams = Some(Arc::clone(streams));
        self.account = Some(account);
        self
    }

    /// Copies both ways until one end closes, or the drain's time is over.
    pub(in crate::pipeline) async fn run(mut self, early: Bytes, mut app: Box<dyn Io>) {
        let mut pump = Pump::new(&early);
        let ending = loop {
            let patience = if pump.one_ended() { CLOSE_GRACE } else { IDLE };
            let moved = pump.moved();
            let turn = std::future::poll_fn(|cx| pump.poll(cx, &mut *app, &mut *self.provider));
            tokio::select! {
                biased;
                () = self.cut.cut() => {
                    // Between two frames, or it would be taken for a part of one.
                    if pump.between_frames() {
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
            (account.record.request_bytes, account.record.response_bytes) = pump.moved();
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

#[cfg(test)]
mod tests {
    use super::*;

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
