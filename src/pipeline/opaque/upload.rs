//! A request's body on its way to the provider: read as fast as the provider takes it, and no faster.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

use super::super::ingress::{body_fault, body_stalled};
use crate::base::Fault;
use crate::base::body::Cut;
use crate::base::clock::{self, Instant};

/// What the exchange knows of a body that its connection upstream is reading. Dropping it ends the body: once the answer
/// is over, nobody wants the rest.
pub(super) struct Upload(Arc<Progress>);

struct Progress(Mutex<State>);

struct State {
    bytes: u64,
    moved: Instant,
    fault: Option<Fault>,
    stopped: bool,
    waker: Option<Waker>,
}

impl Progress {
    /// The lock is held for a few words, never over an await; a panic cannot leave them half changed.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Upload {
    /// A body whose beginning has been read already, and its other end.
    pub(super) fn new<B>(begun: Bytes, rest: B, idle: Duration) -> (Self, UploadBody<B>) {
        let state = State { bytes: 0, moved: clock::now(), fault: None, stopped: false, waker: None };
        let progress = Arc::new(Progress(Mutex::new(state)));
        let begun = Some(begun).filter(|begun| !begun.is_empty());
        (Self(Arc::clone(&progress)), UploadBody { begun, rest, idle, waiting_since: None, timer: None, progress })
    }

    /// Bytes that the provider has taken.
    pub(super) fn bytes(&self) -> u64 {
        self.0.state().bytes
    }

    /// When a piece was taken last.
    pub(super) fn moved(&self) -> Instant {
        self.0.state().moved
    }

    /// Why the body broke off, where it did: the caller's fault, not the provider's.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.0.state().fault.clone()
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.stopped = true;
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }
}

/// The body, as the connection upstream reads it.
pub(super) struct UploadBody<B> {
    begun: Option<Bytes>,
    rest: B,
    idle: Duration,
    waiting_since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    progress: Arc<Progress>,
}

impl<B> UploadBody<B> {
    fn took(&mut self, piece: Bytes) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        self.waiting_since = None;
        let mut state = self.progress.state();
        state.bytes += piece.len() as u64;
        state.moved = clock::now();
        drop(state);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn broke(&self, fault: Fault) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        self.progress.state().fault = Some(fault);
        Poll::Ready(Some(Err(Cut)))
    }

    /// Ready once the app has sent nothing for too long. Time in which the provider takes nothing does not count.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let due = *self.waiting_since.get_or_insert_with(clock::now) + self.idle;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        while timer.as_mut().poll(cx).is_ready() {
            if clock::now() >= due {
                return Poll::Ready(());
            }
            timer.as_mut().reset(due);
        }
        Poll::Pending
    }
}

impl<B> Body for UploadBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + 'static,
{
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        {
            let mut state = self.progress.state();
            if state.stopped {
                return Poll::Ready(Some(Err(Cut)));
            }
            if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                state.waker = Some(cx.waker().clone());
            }
        }
        if let Some(begun) = self.begun.take() {
            return self.took(begun);
        }
        loop {
            match Pin::new(&mut self.rest).poll_frame(cx) {
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(Err(error))) => return self.broke(body_fault(&error)),
                Poll::Ready(Some(Ok(frame))) => {
                    // Trailers are of this hop.
                    if let Ok(piece) = frame.into_data() {
                        return self.took(piece);
                    }
                }
                Poll::Pending => {
                    std::task::ready!(self.poll_stalled(cx));
                    let idle = self.idle;
                    return self.broke(body_stalled(idle));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.begun.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let begun = self.begun.as_ref().map_or(0, |begun| begun.len() as u64);
        let rest = self.rest.size_hint();
        let mut hint = SizeHint::new();
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(begun));
        }
        hint.set_lower(rest.lower().saturating_add(begun));
        hint
    }
}
