//! An answer that is not read, on its way to the app: polled, never spawned, each piece as it came.
//!
//! As with a stream that is read (`relay`), the app's read speed is the provider's write speed, and dropping the body
//! cancels the request upstream. But nothing can be added to bytes of an unknown kind, so what breaks off is cut off;
//! only server-sent events end in an error event, where the last one was whole.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::Sleep;

use super::super::account::Account;
use super::super::answer::redact;
use super::upload::Upload;
use super::usage::UsageFinder;
use crate::base::body::Cut;
use crate::base::clock::{self, Instant};
use crate::base::framing::Framing;
use crate::base::rng::ExchangeId;
use crate::base::{Fault, FaultKind, Origin, Secret};
use crate::dialect::codec;
use crate::ir::{Dialect, Usage};
use crate::telemetry::Ending;
use crate::upstream::AnswerBody;

/// One answer.
pub(in crate::pipeline) struct Passage {
    /// The provider's body.
    pub(super) upstream: AnswerBody,
    /// What was read of it before it was known to be sound.
    pub(super) first: Option<Bytes>,
    /// Where its text may tell the usage.
    pub(super) finder: Option<UsageFinder>,
    /// What it told so far.
    pub(super) usage: Usage,
    /// Server-sent events, and in which dialect they may end.
    pub(super) events: Option<Dialect>,
    /// The provider's key, to be removed from what its events echo.
    pub(super) secret: Option<Secret>,
    /// The exchange's id.
    pub(super) id: ExchangeId,
    /// How long the provider may be silent.
    pub(super) idle: Duration,
    /// When all must be over, where the caller said so.
    pub(super) deadline: Option<Instant>,
    /// Fires when the drain time is over.
    pub(super) cut: crate::base::drain::Cut,
    /// The request's body, ended with the answer.
    pub(super) upload: Option<Upload>,
    /// What is known of where it stands.
    pub(super) progress: Progress,
}

/// Where an answer stands.
#[derive(Default)]
pub(super) struct Progress {
    bytes: u64,
    /// The last bytes passed on: whether an event is whole.
    tail: [u8; 4],
    waiting_since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    over: bool,
    account: Option<Box<Account>>,
    streams: Option<Arc<AtomicUsize>>,
}

impl Passage {
    /// From here on this answer is the app's: it carries the account, and closes it.
    pub(in crate::pipeline) fn commit(mut self, account: Box<Account>, streams: &Arc<AtomicUsize>) -> Self {
        streams.fetch_add(1, Ordering::Relaxed);
        self.progress.streams = Some(Arc::clone(streams));
        self.progress.account = Some(account);
        self
    }

    fn pass(&mut self, mut piece: Bytes) -> Bytes {
        let progress = &mut self.progress;
        progress.waiting_since = None;
        progress.bytes += piece.len() as u64;
        let usage = &mut self.usage;
        if let Some(finder) = &mut self.finder {
            finder.read(&piece, &mut |told| usage.merge(&told));
        }
        if self.events.is_some() {
            piece = redact(piece, self.secret.as_ref());
            let kept = piece.len().min(progress.tail.len());
            progress.tail.rotate_left(kept);
            let from = progress.tail.len() - kept;
            progress.tail[from..].copy_from_slice(&piece[piece.len() - kept..]);
        }
        // Who knows the length does not ask for the end.
        if self.upstream.is_end_stream() {
            self.end(&Ending::Complete);
        }
        piece
    }

    /// Ready once there is no time left.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<Fault> {
        if self.cut.poll_cut(cx).is_ready() {
            return Poll::Ready(Fault::new(FaultKind::Draining, Origin::Gateway, "Outrider is shutting down; the answer is incomplete."));
        }
        let silent = *self.progress.waiting_since.get_or_insert_with(clock::now) + self.idle;
        let due = self.deadline.map_or(silent, |deadline| deadline.min(silent));
        let timer = self.progress.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        if timer.deadline() > due {
            timer.as_mut().reset(due);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if clock::now() >= due {
                let text = match due < silent {
                    true => "The exchange's total time is over.".to_owned(),
                    false => format!("The provider sent nothing for {}.", humantime::format_duration(self.idle)),
                };
                return Poll::Ready(Fault::upstream(FaultKind::Timeout, text));
            }
            timer.as_mut().reset(due);
        }
        Poll::Pending
    }

    /// Ends an answer that is not whole: by an error event where one can stand, else by cutting it.
    fn fail(&mut self, fault: Fault) -> Result<Frame<Bytes>, Cut> {
        let whole = self.progress.bytes == 0 || self.progress.tail.ends_with(b"\n\n") || self.progress.tail.ends_with(b"\r\n\r\n");
        let mut event = Vec::new();
        if let Some(dialect) = self.events.filter(|_| whole) {
            codec(dialect).encode_stream_error(&fault, self.id, Framing::Sse, self.progress.bytes > 0, &mut event);
        }
        self.end(&Ending::Failed(Box::new(fault)));
        if event.is_empty() { Err(Cut) } else { Ok(Frame::data(event.into())) }
    }

    /// Closes the account by what is known, once.
    fn end(&mut self, ending: &Ending) {
        self.progress.over = true;
        let Some(mut account) = self.progress.account.take() else { return };
        account.record.usage = self.usage;
        account.record.response_bytes = self.progress.bytes;
        if let Some(upload) = self.upload.take() {
            account.record.request_bytes = upload.bytes();
        }
        account.close(ending);
    }
}

impl http_body::Body for Passage {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = &mut *self;
        if let Some(first) = this.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(this.pass(first)))));
        }
        loop {
            if this.progress.over {
                return Poll::Ready(None);
            }
            match Pin::new(&mut this.upstream).poll_frame(cx) {
                Poll::Ready(None) => this.end(&Ending::Complete),
                Poll::Ready(Some(Ok(frame))) => {
                    // Trailers are of that hop.
                    if let Ok(piece) = frame.into_data() {
                        return Poll::Ready(Some(Ok(Frame::data(this.pass(piece)))));
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    let text = "The provider's answer broke off before its end; what came so far is incomplete.";
                    return Poll::Ready(Some(this.fail(Fault::upstream(FaultKind::Truncated, text).cause(error.0))));
                }
                Poll::Pending => {
                    let fault = std::task::ready!(this.wait(cx));
                    return Poll::Ready(Some(this.fail(fault)));
                }
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        // Events may get one more, and lose a key.
        match (self.events, self.upstream.size_hint().exact()) {
            (None, Some(rest)) => SizeHint::with_exact(rest + self.first.as_ref().map_or(0, |first| first.len() as u64)),
            _ => SizeHint::default(),
        }
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.end(&Ending::Failed(Box::new(Fault::internal("panic"))));
        } else {
            self.end(&Ending::ClientGone);
        }
        if let Some(streams) = &self.progress.streams {
            streams.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
