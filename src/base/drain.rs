//! The way out: serving, then draining, then cut.
//!
//! The server moves it, whoever holds a stream watches it. It only ever moves forward.

use std::fmt;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::watch;

/// How far the way out has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DrainState {
    /// New work is welcome.
    Serving,
    /// No new connections; what is in flight finishes.
    Draining,
    /// The time is over: streams end now, with an error event in their dialect.
    Cut,
}

/// The handle that moves the state. Clones move the same one.
#[derive(Clone, Debug)]
pub struct Drain(Arc<watch::Sender<DrainState>>);

impl Default for Drain {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(DrainState::Serving)))
    }
}

impl Drain {
    /// The state now.
    pub fn state(&self) -> DrainState {
        *self.0.borrow()
    }

    /// Serving becomes draining. False where it was no longer serving.
    pub fn begin(&self) -> bool {
        self.advance(DrainState::Draining)
    }

    /// Whatever it was becomes cut.
    pub fn cut(&self) -> bool {
        self.advance(DrainState::Cut)
    }

    /// A view for loops.
    pub fn watch(&self) -> DrainWatch {
        DrainWatch(self.0.subscribe())
    }

    /// A view for a stream.
    pub fn cut_signal(&self) -> Cut {
        Cut { watch: self.watch(), wait: None }
    }

    fn advance(&self, to: DrainState) -> bool {
        self.0.send_if_modified(|state| {
            let forward = *state < to;
            *state = to.max(*state);
            forward
        })
    }
}

/// A view of the state, to be awaited.
#[derive(Clone, Debug)]
pub struct DrainWatch(watch::Receiver<DrainState>);

impl DrainWatch {
    /// The state now.
    pub fn state(&self) -> DrainState {
        *self.0.borrow()
    }

    /// Returns once the state is at least `state`; never, where nobody is left to move it.
    pub async fn reached(&mut self, state: DrainState) {
        if self.0.wait_for(|now| *now >= state).await.is_err() {
            pending::<()>().await;
        }
    }
}

/// A stream's view: has the time come to end?
pub struct Cut {
    watch: DrainWatch,
    /// Made at the first poll that has to wait, so that an exchange without a stream pays nothing.
    wait: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Cut {
    /// Whether the time is over.
    pub fn is_cut(&self) -> bool {
        self.watch.state() == DrainState::Cut
    }

    /// Returns once the time is over.
    pub async fn cut(&mut self) {
        self.watch.reached(DrainState::Cut).await;
    }

    /// Like [`Self::cut`], for a body that is polled: ready once the time is over, and from then on.
    pub fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_cut() {
            return Poll::Ready(());
        }
        let watch = &self.watch;
        let wait = self.wait.get_or_insert_with(|| {
            let mut watch = watch.clone();
            Box::pin(async move { watch.reached(DrainState::Cut).await })
        });
        wait.as_mut().poll(cx)
    }
}

impl Clone for Cut {
    fn clone(&self) -> Self {
        Self { watch: self.watch.clone(), wait: None }
    }
}

impl fmt::Debug for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cut").field(&self.is_cut()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[test]
    fn the_state_moves_forward_only() {
        let drain = Drain::default();
        assert!(drain.begin());
        assert!(!drain.begin());
        assert!(drain.cut());
        assert!(!drain.begin());
        assert_eq!(drain.state(), DrainState::Cut);
    }

    #[tokio::test]
    async fn a_polled_stream_is_woken_by_the_cut_and_not_by_the_drain() {
        let drain = Drain::default();
        let mut cut = drain.cut_signal();
        let waiting = poll_fn(|cx| cut.poll_cut(cx));
        let (done, ()) = tokio::join!(
            async {
                waiting.await;
                drain.state()
            },
            async {
                tokio::task::yield_now().await;
                drain.begin();
                tokio::task::yield_now().await;
                drain.cut();
            }
        );
        assert_eq!(done, DrainState::Cut);
        assert!(cut.is_cut());
        poll_fn(|cx| cut.poll_cut(cx)).await;
    }
}
