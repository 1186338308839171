//! placeholder of the binary event stream; replaced by its own commit.
use super::framing::FrameError;
use super::sse::Frame;
use bytes::Bytes;

/// Framer.
#[derive(Debug)]
pub struct Framer {
    bytes_max: usize,
}

impl Framer {
    /// New.
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max }
    }

    /// Push.
    pub fn push(&mut self, _: Bytes, _: impl FnMut(Frame)) -> Result<(), FrameError> {
        Err(FrameError::TooLarge(self.bytes_max))
    }

    /// Rest.
    pub fn rest(&mut self) -> Option<Bytes> {
        None
    }
}

/// Write.
pub fn write(_: &[(&str, &str)], _: &[u8], _: &mut Vec<u8>) {}
