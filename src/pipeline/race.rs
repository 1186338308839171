//! One try, or two side by side: the first to answer is heard, the other is cancelled.

use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use super::account::Prompt;
use super::answer::Refusal;
use super::one_try::{Tried, Try};
use crate::policy::choose::Watch;
use crate::policy::health::Permit;
use crate::quota::Reservation;

/// A try that has its target's permit.
pub(super) struct Entrant<'t> {
    /// What is tried.
    pub attempt: Try<'t>,
    /// The target's leave to ask it.
    pub permit: Permit,
    /// Who learns how it goes.
    pub watch: Watch,
    /// What it sends.
    pub prompt: Prompt,
    /// What it has in the limits of its provider, where there are any.
    pub held: Option<Box<Reservation>>,
}

/// What a try comes to.
type Outcome = Result<Tried, Refusal>;

/// How a try ended; `None` where the other was first and this one was cancelled.
pub(super) type End = Option<Outcome>;

/// Runs a try. Where it gives no answer within `patience`, `second` may enter too; then the first good answer wins, and a failure
/// waits for the other's end. Dropping the future cancels both upstream.
pub(super) async fn race<'t>(
    first: &Try<'t>,
    patience: Option<Duration>,
    second: impl FnOnce() -> Option<Entrant<'t>>,
) -> (End, Option<Box<(Entrant<'t>, End)>>) {
    let mut running = pin!(first.run());
    let Some(patience) = patience else { return (Some(running.await), None) };
    if let Ok(result) = tokio::time::timeout(patience, &mut running).await {
        return (Some(result), None);
    }
    let Some(second) = second() else { return (Some(running.await), None) };
    // Boxed, being rare: every exchange would have room for it.
    let (result, second) = Box::pin(side_by_side(running, second)).await;
    (result, Some(second))
}

async fn side_by_side<'t>(mut first: Pin<&mut impl Future<Output = Outcome>>, second: Entrant<'t>) -> (End, Box<(Entrant<'t>, End)>) {
    let (mut result, mut other) = (None, None);
    {
        let mut beside = pin!(second.attempt.run());
        std::future::poll_fn(|cx| {
            let good = |result: &End| matches!(result, Some(Ok(_)));
            if result.is_none()
                && let Poll::Ready(ready) = first.as_mut().poll(cx)
            {
                result = Some(ready);
            }
            if !good(&result)
                && other.is_none()
                && let Poll::Ready(ready) = beside.as_mut().poll(cx)
            {
                other = Some(ready);
            }
            match good(&result) || good(&other) || (result.is_some() && other.is_some()) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }
    (result, Box::new((second, other)))
}
