//! A client on bytes, so that a test may send what no client would.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A client that writes bytes and reads answers.
pub(crate) struct Peer<S> {
    pub(crate) stream: S,
    pub(crate) seen: Vec<u8>,
}

impl<S: AsyncReadExt + AsyncWriteExt + Unpin> Peer<S> {
    pub(crate) async fn send(&mut self, text: &str) {
        // The server may have hung up already; what it said is still to be read.
        self.stream.write_all(text.as_bytes()).await.ok();
    }

    pub(crate) async fn more(&mut self) -> bool {
        let mut room = [0; 4096];
        match within(self.stream.read(&mut room)).await {
            Ok(read) => {
                self.seen.extend_from_slice(&room[..read]);
                read > 0
            }
            Err(_) => false,
        }
    }

    pub(crate) async fn until(&mut self, mark: &str) -> String {
        loop {
            if let Some(at) = find(&self.seen, mark) {
                let rest = self.seen.split_off(at + mark.len());
                return String::from_utf8(std::mem::replace(&mut self.seen, rest)).unwrap();
            }
            if !self.more().await {
                panic!("closed before {mark:?}: {:?}", String::from_utf8_lossy(&self.seen));
            }
        }
    }

    /// One answer with a `content-length`: status and head, and body. `None` where the connection closed without one.
    pub(crate) async fn answer(&mut self) -> Option<(u16, String, String)> {
        if self.seen.is_empty() && !self.more().await {
            return None;
        }
        let head = self.until("\r\n\r\n").await;
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = head
            .to_ascii_lowercase()
            .split_once("content-length: ")
            .map_or(0, |(_, rest)| rest.split("\r\n").next().unwrap().parse().unwrap());
        while self.seen.len() < length {
            assert!(self.more().await, "closed within a body");
        }
        let rest = self.seen.split_off(length);
        let body = String::from_utf8(std::mem::replace(&mut self.seen, rest)).unwrap();
        Some((status, head, body))
    }

    pub(crate) async fn is_closed(&mut self) -> bool {
        while self.more().await {}
        true
    }
}

pub(crate) fn find(text: &[u8], mark: &str) -> Option<usize> {
    text.windows(mark.len()).position(|window| window == mark.as_bytes())
}

/// A bound on a hang, nothing that a passing test waits for.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("this takes too long")
}
