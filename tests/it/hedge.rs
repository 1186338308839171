//! Hedging, on a still clock: a second target races a slow first one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use tokio::time::Instant;

use crate::support::{End, Provider, Script, World, read, settle};

const CHAT: &str = "/v1/chat/completions";
const STREAM: &str = r#"{"model":"quick","stream":true,"messages":[{"role":"user","content":"hi"}]}"#;
const WHOLE: &str = r#"{"model":"quick","messages":[{"role":"user","content":"hi"}]}"#;
/// A tool that the provider runs by itself.
const ACTS: &str = r#"{"model":"quick","stream":true,"input":"hi","tools":[{"type":"code_interpreter","container":{"type":"auto"}}]}"#;

const FAST: Duration = Duration::from_millis(20);
const SLOW: Duration = Duration::from_millis(600);

fn world(hedge: &str) -> World {
    World::new(&format!(
        r#"
[providers.a]
kind = "openai"
api_key = "sk-a"
base_url = "http://a.test/v1"
[providers.b]
kind = "openai"
api_key = "sk-b"
base_url = "http://b.test/v1"
[[models]]
name = "quick"
targets = [{{ provider = "a", model = "gpt-4.1-mini" }}, {{ provider = "b", model = "gpt-4.1-mini" }}]
{hedge}
"#
    ))
}

const HEDGE: &str = "hedge = { after_p = 95, max_ratio = 0.05 }";

fn stream(first: Duration) -> Script {
    let event = |delta: &str| {
        format!("data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{delta}]}}\n\n")
    };
    let said = event(r#"{"index":0,"delta":{"role":"assistant","content":"Hello"},"finish_reason":null}"#);
    let done = event(r#"{"index":0,"delta":{},"finish_reason":"stop"}"#) + "data: [DONE]\n\n";
    Script::Stream(vec![(first, said.into()), (Duration::ZERO, done.into())], End::Close)
}

/// One in twenty is slow, in no order.
fn has_a_tail(nth: usize) -> Duration {
    let scattered = (nth as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    if scattered.is_multiple_of(20) { SLOW } else { FAST + Duration::from_millis(scattered % 5) }
}

fn providers(world: &World, salt: usize) -> [Arc<Provider>; 2] {
    [("a", 0), ("b", salt)].map(|(name, salt)| world.provider(name, move |_, nth| stream(has_a_tail(nth + salt))))
}

/// Times to the first content of so many requests, ascending, after a warm-up.
async fn times(world: &World, requests: usize) -> Vec<Duration> {
    let mut times = Vec::new();
    for number in 0..requests + 1_000 {
        let begun = Instant::now();
        let response = world.open(Method::POST, CHAT, &[], STREAM.as_bytes()).await;
        if number >= 1_000 {
            times.push(begun.elapsed());
        }
        let reply = read(response).await;
        assert!(reply.text().ends_with("data: [DONE]\n\n") && !reply.cut, "{}", reply.text());
        assert_eq!(reply.text().matches("Hello").count(), 1, "{}", reply.text());
    }
    times.sort_unstable();
    times
}

#[tokio::test(start_paused = true)]
async fn a_slow_tail_is_cut_for_a_few_requests_more() {
    const REQUESTS: usize = 4_000;
    let plain = world("");
    let _served = providers(&plain, 77);
    let before = times(&plain, REQUESTS).await;
    let hedged = world(HEDGE);
    let [a, b] = providers(&hedged, 77);
    let after = times(&hedged, REQUESTS).await;
    let p99 = |times: &[Duration]| times[REQUESTS * 99 / 100];
    println!("p99 {:?} → {:?}, {} requests more of {}", p99(&before), p99(&after), b.seen().len(), REQUESTS + 1_000);
    assert!(p99(&before) >= SLOW);
    assert!(p99(&after) * 10 <= p99(&before) * 4, "{:?}", p99(&after));
    let asked = a.seen().len() + b.seen().len();
    assert!(asked * 100 <= (REQUESTS + 1_000) * 105, "{asked}");
    settle().await;
    assert_eq!(a.cancelled() + b.cancelled(), asked - (REQUESTS + 1_000), "whoever lost was cancelled");
    assert_eq!((a.open(), b.open()), (0, 0));
    hedged.assert_settled(REQUESTS + 1_000);
}

/// A world whose first target has been seen to be fast and now hangs.
async fn warm(hedge: &str) -> (World, [Arc<Provider>; 2]) {
    let world = world(hedge);
    let warm_up = 400;
    let a = world.provider("a", move |_, nth| if nth < warm_up { stream(FAST) } else { Script::Hang });
    let b = world.always("b", stream(FAST));
    for _ in 0..warm_up {
        read(world.open(Method::POST, CHAT, &[], STREAM.as_bytes()).await).await;
    }
    assert_eq!(b.seen().len(), 0);
    (world, [a, b])
}

#[tokio::test(start_paused = true)]
async fn the_loser_is_cancelled_at_once_and_told() {
    let (world, [a, _b]) = warm(HEDGE).await;
    let begun = Instant::now();
    let reply = world.post(CHAT, STREAM).await;
    assert!(begun.elapsed() < 5 * FAST, "{:?}", begun.elapsed());
    assert_eq!(reply.header("x-outrider-target"), "b/gpt-4.1-mini");
    assert_eq!(reply.header("x-outrider-attempts"), "2");
    settle().await;
    assert_eq!((a.cancelled(), a.open()), (1, 0));
    assert_eq!(world.metric("outrider_upstream_attempts_total", &[("provider", "a"), ("outcome", "hedge_lost")]), 1.0);
    assert_eq!(world.metric("outrider_upstream_attempts_total", &[("provider", "b"), ("outcome", "ok")]), 1.0);
    world.assert_settled(401);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_hedged_that_acts_or_has_used_up_its_tries() {
    let (world, [_, b]) = warm(HEDGE).await;
    let waits = tokio::time::timeout(Duration::from_secs(5), world.open(Method::POST, "/v1/responses", &[], ACTS.as_bytes())).await;
    assert!(waits.is_err() && b.seen().is_empty(), "a tool of the provider's own would run twice");
    let (world, [_, b]) = warm(&format!("{HEDGE}\nretry = {{ attempts = 1 }}")).await;
    let waits = tokio::time::timeout(Duration::from_secs(5), world.open(Method::POST, CHAT, &[], STREAM.as_bytes())).await;
    assert!(waits.is_err() && b.seen().is_empty(), "one try is one try");
}

#[tokio::test(start_paused = true)]
async fn a_failure_beside_a_race_is_not_the_last_word() {
    let world = world(HEDGE);
    let warm_up = 400;
    let slow = SLOW;
    world.provider("a", move |_, nth| stream(if nth < warm_up { FAST } else { slow }));
    world.always("b", Script::json(500, r#"{"error":{"message":"no"}}"#));
    for _ in 0..warm_up {
        read(world.open(Method::POST, CHAT, &[], STREAM.as_bytes()).await).await;
    }
    let reply = world.post(CHAT, STREAM).await;
    assert_eq!((reply.status.as_u16(), reply.header("x-outrider-target")), (200, "a/gpt-4.1-mini"));
    assert_eq!(reply.header("x-outrider-attempts"), "2");
}

#[tokio::test(start_paused = true)]
async fn whole_answers_race_by_their_own_times() {
    let world = world(HEDGE);
    let answer = r#"{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}"#;
    let whole = move |after: Duration| {
        Script::Raw(200, vec![("content-type", "application/json".into())], vec![(after, answer.into())], End::Close)
    };
    let a = world.provider("a", move |_, nth| whole(if nth < 400 { 4 * SLOW } else { 100 * SLOW }));
    let b = world.provider("b", move |_, _| whole(SLOW));
    for _ in 0..400 {
        world.post(CHAT, WHOLE).await;
    }
    let begun = Instant::now();
    let reply = world.post(CHAT, WHOLE).await;
    assert_eq!((reply.text(), reply.header("x-outrider-target")), (answer, "b/gpt-4.1-mini"));
    let waited = begun.elapsed();
    assert!(waited > 4 * SLOW && waited < 9 * SLOW, "{waited:?}");
    assert_eq!(b.seen().len(), 1);
    settle().await;
    assert_eq!(a.cancelled(), 1);
    let counted: BTreeMap<_, _> =
        ["a", "b"].map(|name| (name, world.metric("outrider_upstream_attempts_total", &[("provider", name)]))).into();
    assert_eq!(counted, [("a", 401.0), ("b", 1.0)].into());
}
