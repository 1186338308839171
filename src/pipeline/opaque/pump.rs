//! Copies a connection's bytes both ways.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::ReadBuf;

use super::frames::Frames;
use super::usage::UsageFinder;
use crate::base::io::Io;
use crate::base::{Fault, FaultKind};
use crate::ir::Usage;
use crate::telemetry::Ending;

/// What is read at once in one direction.
const BUFFER_BYTES: usize = 16 << 10;

/// One end of the connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The app's.
    App,
    /// The provider's.
    Provider,
}

/// What has to be decided.
pub(super) enum Turn {
    /// One end has closed.
    OneEnded,
    /// Both have.
    BothEnded,
    /// One end broke.
    Broke(End, io::Error),
}

/// Both directions of one connection.
pub(super) struct Pump {
    up: Pipe,
    down: Pipe,
    frames: Frames,
    finder: UsageFinder,
    /// What the provider told of it.
    pub(super) usage: Usage,
    /// Who closed first.
    first: Option<End>,
}

impl Pump {
    /// A pump that has read the app's first bytes already.
    pub(super) fn new(early: &[u8]) -> Self {
        Self {
            up: Pipe::new(early),
            down: Pipe::new(&[]),
            frames: Frames::default(),
            finder: UsageFinder::default(),
            usage: Usage::default(),
            first: None,
        }
    }

    /// Bytes that came from the app, and from the provider.
    pub(super) fn moved(&self) -> (u64, u64) {
        (self.up.bytes, self.down.bytes)
    }

    /// Whether something may be said to the app in the provider's place.
    pub(super) fn between_frames(&self) -> bool {
        self.frames.between() && self.down.from == self.down.to
    }

    /// Whether one end has closed, and the other been told.
    pub(super) fn one_ended(&self) -> bool {
        self.up.shut || self.down.shut
    }

    /// Copies until both ends must be waited for, or something ended.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, app: &mut dyn Io, provider: &mut dyn Io) -> Poll<Turn> {
        let up = self.up.poll(cx, app, provider, &mut |_| ());
        let Self { frames, finder, usage, .. } = self;
        let down = self.down.poll(cx, provider, app, &mut |bytes| {
            frames.read(bytes);
            // Each answer tells its own.
            finder.read(bytes, &mut |told| usage.add(&told));
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
    pub(super) fn ending(&self, by: End, cause: Option<&io::Error>) -> Ending {
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
