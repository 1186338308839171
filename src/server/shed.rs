//! One connection too many: told so, for next to nothing.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::io::Stream;

/// Refused connections that are given time to read why. Past it they are closed without a word.
pub(super) const LINGERING_MAX: usize = 64;

/// How long a refused connection is given.
const LINGER: Duration = Duration::from_secs(1);

/// Read by OpenAI's and Anthropic's clients alike; nobody has looked at which one it is.
const ANSWER: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    content-type: application/json\r\n\
    content-length: 173\r\n\
    retry-after: 1\r\n\
    connection: close\r\n\r\n\
    {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"code\":\"overloaded\",\"param\":null,\"message\":\"Outrider has too many open connections (bounds.connections_max). Try again.\"}}";

/// Answers 503 and closes. What the client has sent is read first: closing over unread bytes would reset the
/// connection, and the client might never see the answer.
pub(super) async fn refuse(mut stream: Stream) {
    let talk = async {
        let stream = &mut stream;
        if read_some(stream).await == 0 || !write_all(stream, ANSWER).await {
            return;
        }
        if poll_fn(|cx| Pin::new(&mut *stream).poll_shutdown(cx)).await.is_ok() {
            while read_some(stream).await > 0 {}
        }
    };
    // Whether it was heard or not, the connection is over.
    tokio::time::timeout(LINGER, talk).await.ok();
}

async fn read_some(stream: &mut Stream) -> usize {
    let mut room = [0; 1024];
    let mut buf = ReadBuf::new(&mut room);
    match poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, &mut buf)).await {
        Ok(()) => buf.filled().len(),
        Err(_) => 0,
    }
}

async fn write_all(stream: &mut Stream, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match poll_fn(|cx| Pin::new(&mut *stream).poll_write(cx, bytes)).await {
            Ok(written) if written > 0 => bytes = &bytes[written..],
            _ => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_as_long_as_it_says() {
        let text = std::str::from_utf8(ANSWER).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{}", body.len());
        serde_json::from_str::<serde_json::Value>(body).unwrap();
    }
}
