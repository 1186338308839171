//! A good answer, and how it leaves.

use bytes::Bytes;
use http::header::HeaderMap;
use http::{Response, StatusCode};

use super::Pipeline;
use super::account::Account;
use super::answer;
use super::held::Hold;
use super::opaque::{Passage, Socket};
use super::relay::Relay;
use crate::base::body::Body;
use crate::dialect::Losses;
use crate::telemetry::Ending;

/// Answers up to this leave with the next write; larger ones hold their memory until the app has read them.
const SMALL_BYTES: usize = 64 << 10;

/// A good answer, ready for the app.
pub(super) struct Good {
    /// Status and headers.
    pub status: StatusCode,
    /// The provider's headers, or new ones.
    pub headers: HeaderMap,
    /// The content.
    pub content: Content,
    /// What the way to this provider and back lost.
    pub losses: Losses,
}

/// The content of a good answer.
pub(super) enum Content {
    /// All of it, and what it holds of the memory bound until it has been read.
    Whole(Bytes, Option<Hold>),
    /// Primed, to be committed.
    Stream(Box<Relay>),
    /// Forwarded unread, to be committed.
    Passage(Box<Passage>),
    /// A WebSocket, to be committed.
    Socket(Box<Socket>),
}

impl Good {
    /// The app's answer; the account closes with its body.
    pub(super) fn respond(self, mut account: Box<Account>, line: &Pipeline) -> Response<Body> {
        let streams = &line.shared.stores.streams;
        let body = match self.content {
            Content::Whole(bytes, hold) => {
                account.close(&Ending::Complete);
                Body::Full(match hold {
                    Some(hold) if bytes.len() > SMALL_BYTES => hold.over(bytes),
                    _ => bytes,
                })
            }
            Content::Stream(relay) => Body::Stream(Box::pin(relay.commit(account, streams))),
            Content::Passage(passage) => Body::Stream(Box::pin(passage.commit(account, streams))),
            Content::Socket(socket) => {
                let socket = socket.commit(account, streams);
                Body::Tunnel(Box::new(move |early, app| Box::pin(socket.run(early, app))))
            }
        };
        answer::respond(self.status, self.headers, body)
    }
}
