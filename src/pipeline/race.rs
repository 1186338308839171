//! One try, or two side by side: the first to answer is heard, the other is cancelled.

use std::pin::pin;
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
    pub held: Option<Reservation>,
}

/// How a try ended.
pub(super) struct Finish<'t> {
    /// Who.
    pub entrant: Entrant<'t>,
    /// How; `None` where the other was first and this one was cancelled.
    pub result: Option<Result<Tried, Refusal>>,
}

/// Runs a try. Where it gives no answer within `patience`, `second` may enter too; then the first good answer wins, and a failure
/// waits for the other's end. Dropping the future cancels both upstream.
pub(super) async fn race<'t>(
    first: Entrant<'t>,
    patience: Option<Duration>,
    second: impl FnOnce() -> Option<Entrant<'t>>,
) -> (Finish<'t>, Option<Finish<'t>>) {
    let alone = |entrant, result| (Finish { entrant, result: Some(result) }, None);
    let mut running = pin!(first.attempt.run());
    let Some(patience) = patience else { return alone(first, running.await) };
    if let Ok(result) = tokio::time::timeout(patience, &mut running).await {
        return alone(first, result);
    }
    let Some(second) = second() else { return alone(first, running.await) };
    // Boxed, being rare.
    let mut beside = Box::pin(second.attempt.run());
    let (mut result, mut other) = (None, None);
    std::future::poll_fn(|cx| {
        let good = |result: &Option<Result<Tried, Refusal>>| matches!(result, Some(Ok(_)));
        if result.is_none()
            && let Poll::Ready(ready) = running.as_mut().poll(cx)
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
    drop(beside);
    (Finish { entrant: first, result }, Some(Finish { entrant: second, result: other }))
}
