//! The socket of one connection: watched for framing, and for standing still.
//!
//! hyper has one clock for a head, which also runs while a kept-alive connection waits for its next request; ten
//! seconds of that would cut connections that pooled clients are about to use. So the clocks are here, where it is
//! known what the connection waits for: a head, a body, the next request, or a reader.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Sleep, sleep_until};

use super::framing::{Flaw, Ledger, Phase, Scanner};
use crate::base::clock::{self, Instant};

/// A kept-alive connection is closed after this, or up to twice this; a reader that takes nothing is cut after this.
/// Longer than the pools of common clients keep a connection (OkHttp: 5 minutes), so that it is they who close, and no
/// request of theirs meets our close half way.
const IDLE_TIMEOUT: Duration = Duration::from_secs(360);

const H2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long a connection may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// For a complete head.
    pub(super) head: Duration,
    /// Between two pieces of a body.
    pub(super) body: Duration,
}

/// An accepted socket.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A socket with its scanner and clocks.
pub(super) struct Wire {
    stream: Stream,
    ledger: Arc<Ledger>,
    scanner: Scanner,
    patience: Patience,
    /// Read by [`Self::sniff`], not yet handed on.
    prefix: [u8; 24],
    prefix_len: usize,
    broken: Option<Flaw>,
    /// Since when the current head is awaited; it does not restart with each byte.
    head_since: Option<Instant>,
    /// Since when nothing came, in a body or between requests.
    quiet_since: Option<Instant>,
    /// Since when nothing could be written.
    stuck_since: Option<Instant>,
    /// One timer for all clocks, made when something first has to be waited for. It may fire early, never late.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Wire {
    pub(super) fn new(stream: Stream, ledger: Arc<Ledger>, head_bytes_max: usize, patience: Patience) -> Self {
        Self {
            stream,
            ledger,
            scanner: Scanner::new(head_bytes_max),
            patience,
            prefix: [0; 24],
            prefix_len: 0,
            broken: None,
            head_since: Some(clock::now()),
            quiet_since: None,
            stuck_since: None,
            timer: None,
        }
    }

    /// The bare socket, once the connection speaks something else than HTTP.
    pub(super) fn into_stream(self) -> Stream {
        self.stream
    }

    /// Reads just enough to tell HTTP/2 (true) from HTTP/1.1 (false). Until then a connection costs no buffers.
    pub(super) fn poll_sniff(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        while self.prefix_len < H2_PREFACE.len() {
            let mut buf = ReadBuf::new(&mut self.prefix[self.prefix_len..]);
            let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(cx, &mut buf) else {
                return self.poll_overdue(cx).map(Err);
            };
            let fresh = buf.filled().len();
            read?;
            if fresh == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            self.prefix_len += fresh;
            if self.prefix[..self.prefix_len] != H2_PREFACE[..self.prefix_len] {
                return Poll::Ready(Ok(false));
            }
        }
        self.scanner.switch_off();
        Poll::Ready(Ok(true))
    }

    /// Follows what was read; false where nothing of it may be handed on.
    fn watch(&mut self, buf: &mut ReadBuf<'_>, start: usize) -> bool {
        self.quiet_since = None;
        if let Err((sound, flaw)) = self.scanner.scan(&buf.filled()[start..], &self.ledger) {
            buf.set_filled(start + sound);
            self.broken = Some(flaw);
            return sound > 0;
        }
        match self.scanner.phase() {
            Phase::Head => {
                self.head_since.get_or_insert_with(clock::now);
            }
            _ => self.head_since = None,
        }
        true
    }

    /// Ready with an error once the peer has kept us waiting for too long.
    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let phase = self.scanner.phase();
        if phase == Phase::Unwatched {
            return Poll::Pending;
        }
        if phase == Phase::Between && self.ledger.is_busy() {
            self.quiet_since = None;
            // hyper does not read again when the answer is over, so a timer has to bring us back here.
            return self.poll_timer(cx, clock::now() + IDLE_TIMEOUT).map(|()| io::ErrorKind::TimedOut.into());
        }
        let (since, patience, text) = match (self.head_since, phase) {
            (Some(since), _) => (since, self.patience.head, "the request head did not arrive in time"),
            (None, Phase::Body) => (quiet(&mut self.quiet_since), self.patience.body, "the request body stalled"),
            (None, _) => (quiet(&mut self.quiet_since), IDLE_TIMEOUT, "the connection was idle"),
        };
        ready!(self.poll_timer(cx, since + patience));
        Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, text))
    }

    fn poll_stuck(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let since = quiet(&mut self.stuck_since);
        ready!(self.poll_timer(cx, since + IDLE_TIMEOUT));
        Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, "the reader of the answer stalled"))
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        // Left running when a wait ended, it may be due before its time: then it is set anew, once.
        while timer.as_mut().poll(cx).is_ready() {
            if clock::now() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }

    fn watch_write(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(result) => {
                self.stuck_since = None;
                Poll::Ready(result)
            }
            Poll::Pending => self.poll_stuck(cx).map(Err),
        }
    }
}

fn quiet(since: &mut Option<Instant>) -> Instant {
    *since.get_or_insert_with(clock::now)
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Some(flaw) = this.broken {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, flaw.text())));
        }
        let start = buf.filled().len();
        let kept = this.prefix_len.min(buf.remaining());
        if kept > 0 {
            buf.put_slice(&this.prefix[..kept]);
            this.prefix.copy_within(kept..this.prefix_len, 0);
            this.prefix_len -= kept;
        }
        // Reading on behind the prefix spares hyper a look at half a head.
        let read = if buf.remaining() > 0 { Pin::new(&mut this.stream).poll_read(cx, buf) } else { Poll::Ready(Ok(())) };
        if buf.filled().len() > start {
            if this.watch(buf, start) {
                return Poll::Ready(Ok(()));
            }
            return self.poll_read(cx, buf);
        }
        match read {
            Poll::Ready(result) => Poll::Ready(result),
            Poll::Pending => this.poll_overdue(cx).map(Err),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.watch_write(cx, written)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, slices: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.watch_write(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Unix(unix) => Pin::new(unix).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Unix(unix) => Pin::new(unix).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, slices: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write_vectored(cx, slices),
            Self::Unix(unix) => Pin::new(unix).poll_write_vectored(cx, slices),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Unix(unix) => Pin::new(unix).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Unix(unix) => Pin::new(unix).poll_shutdown(cx),
        }
    }
}
