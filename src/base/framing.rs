//! How a streamed answer is cut into frames: server-sent events, or another grammar with the same [`Frame`].

use bytes::Bytes;

use super::eventstream;
use super::json_array;
use super::sse::{self, Frame};

/// The grammar of a streamed body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// Server-sent events.
    #[default]
    Sse,
    /// `application/vnd.amazon.eventstream`: binary messages with checksums.
    EventStream,
    /// One JSON array, an element for each event (Gemini without `alt=sse`).
    JsonArray,
}

impl Framing {
    /// The content type of such a body.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Sse => "text/event-stream; charset=utf-8",
            Self::EventStream => "application/vnd.amazon.eventstream",
            Self::JsonArray => "application/json",
        }
    }

    /// The content type without its parameters.
    pub fn accept(self) -> &'static str {
        self.content_type().split(';').next().unwrap_or_default()
    }

    /// Whether a body of this content type may be framed so.
    pub fn fits(self, content_type: &str) -> bool {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case(self.accept())
    }
}

/// Why a body cannot be cut any further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// One frame is larger than the bound, in bytes.
    TooLarge(usize),
    /// The bytes break the grammar: what is wrong.
    Broken(&'static str),
}

/// Cuts a byte stream into frames, whatever pieces it comes in.
#[derive(Debug)]
pub enum Framer {
    /// Server-sent events.
    Sse(sse::Framer),
    /// Binary messages.
    EventStream(eventstream::Framer),
    /// Elements of one JSON array.
    JsonArray(json_array::Framer),
}

impl Framer {
    /// A framer that refuses a single frame larger than `bytes_max`.
    pub fn new(framing: Framing, bytes_max: usize) -> Self {
        match framing {
            Framing::Sse => Self::Sse(sse::Framer::new(bytes_max)),
            Framing::EventStream => Self::EventStream(eventstream::Framer::new(bytes_max)),
            Framing::JsonArray => Self::JsonArray(json_array::Framer::new(bytes_max)),
        }
    }

    /// Adds what arrived and calls `each` with every frame that is now whole, in order.
    ///
    /// # Errors
    /// A frame past the bound, or bytes that break the grammar. Frames before it have been handed over.
    pub fn push(&mut self, chunk: Bytes, each: impl FnMut(Frame)) -> Result<(), FrameError> {
        match self {
            Self::Sse(framer) => framer.push(chunk, each).map_err(|error| FrameError::TooLarge(error.bytes_max)),
            Self::EventStream(framer) => framer.push(chunk, each),
            Self::JsonArray(framer) => framer.push(chunk, each),
        }
    }

    /// What is left at the end of the stream: an unfinished frame.
    pub fn rest(&mut self) -> Option<Bytes> {
        match self {
            Self::Sse(framer) => framer.rest(),
            Self::EventStream(framer) => framer.rest(),
            Self::JsonArray(framer) => framer.rest(),
        }
    }

    /// Whether a last line without its blank line may be a frame: so it is in SSE only.
    pub fn may_end_in_a_line(&self) -> bool {
        matches!(self, Self::Sse(_))
    }
}
