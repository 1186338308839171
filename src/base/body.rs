//! The body of an answer to the app, or of a request to a provider: nothing, bytes, or a stream that is polled and never
//! spawned.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::io::Tunnel;

/// A streamed body, boxed once for each stream.
pub type BoxStream = Pin<Box<dyn http_body::Body<Data = Bytes, Error = Cut> + Send>>;

/// The body of an answer or a request.
pub enum Body {
    /// Nothing, or nothing more.
    Empty,
    /// The whole body.
    Full(Bytes),
    /// Pieces, as they come.
    Stream(BoxStream),
    /// Of an answer `101 Switching Protocols` only: the connection itself, from now on.
    Tunnel(Tunnel),
}

/// The body cannot be completed, and saying so in the dialect was not possible: the connection is cut.
#[derive(Debug)]
pub struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body was cut")
    }
}

impl std::error::Error for Cut {}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match &mut *self {
            Self::Empty | Self::Tunnel(_) => Poll::Ready(None),
            Self::Full(_) => match std::mem::replace(&mut *self, Self::Empty) {
                Self::Full(bytes) if !bytes.is_empty() => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                _ => Poll::Ready(None),
            },
            Self::Stream(stream) => stream.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty | Self::Tunnel(_) => true,
            Self::Full(bytes) => bytes.is_empty(),
            Self::Stream(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty | Self::Tunnel(_) => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(stream) => stream.size_hint(),
        }
    }
}
