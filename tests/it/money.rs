//! What answers cost, on whole exchanges.

use std::time::Duration;

use http::Method;
use http_body_util::BodyExt as _;

use crate::support::{End, Script, World, read_until, settle};

const CHAT: &str = "/v1/chat/completions";
const POLICY: &str = r#"
[providers.openai]
kind = "openai"
api_key = "sk-operator-openai"
base_url = "http://openai.test/v1"
[[models]]
name = "fast"
targets = [{ provider = "openai", model = "gpt-4.1-mini" }]
[[models]]
name = "own"
targets = [{ provider = "openai", model = "my-own-model" }]
[[prices]]
provider = "openai"
model = "gpt-4.1-mini"
input_usd = 0.40
cached_input_usd = 0.10
output_usd = 1.60
"#;

fn answer(usage: &str) -> String {
    format!(
        r#"{{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{{"index":0,"message":{{"role":"assistant","content":"Hello"}},"finish_reason":"stop"}}],"usage":{usage}}}"#
    )
}

fn ask(model: &str, stream: bool) -> String {
    format!(r#"{{"model":"{model}","stream":{stream},"messages":[{{"role":"user","content":"hi"}}]}}"#)
}

const USAGE: &str = r#"{"prompt_tokens":1000,"completion_tokens":10,"total_tokens":1010,"prompt_tokens_details":{"cached_tokens":400}}"#;
/// 600 × 0.40 + 400 × 0.10 + 10 × 1.60, for a million.
const COST: &str = "0.000296";

fn cost(world: &World) -> f64 {
    world.metric("outrider_cost_usd_total", &[("provider", "openai")])
}

#[tokio::test(start_paused = true)]
async fn a_whole_answer_tells_what_it_costs() {
    let world = World::new(POLICY);
    world.always("openai", Script::json(200, &answer(USAGE)));
    let reply = world.post(CHAT, ask("fast", false)).await;
    assert_eq!(reply.header("x-outrider-cost-usd"), COST);
    world.post(CHAT, ask("fast", false)).await;
    assert_eq!(cost(&world), 0.000_592);
    let echo = World::new("[providers.echo]\nkind = \"echo\"\n").post(CHAT, ask("echo/echo", false)).await;
    assert_eq!(echo.header("x-outrider-cost-usd"), "0");
}

#[tokio::test(start_paused = true)]
async fn a_stream_tells_what_it_cost_behind_its_body_to_who_takes_trailers() {
    let world = World::new(POLICY);
    let usage = format!(
        "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[],\"usage\":{USAGE}}}\n\n"
    );
    let whole = [chunk(r#"{"content":"Hello"}"#, "\"stop\""), usage, "data: [DONE]\n\n".to_owned()].concat();
    world.always("openai", Script::sse(&whole));
    for (te, announced) in [(Some("deflate;q=0.5, Trailers"), Some("x-outrider-cost-usd")), (Some("gzip"), None), (None, None)] {
        let headers: Vec<_> = te.map(|te| ("te", te)).into_iter().collect();
        let asked = ask("fast", true).replace("\"stream\"", "\"stream_options\":{\"include_usage\":true},\"stream\"");
        let response = world.open(Method::POST, CHAT, &headers, asked.as_bytes()).await;
        assert_eq!(response.headers().get("trailer").map(|name| name.to_str().unwrap()), announced);
        let read = response.into_body().collect().await.unwrap();
        let told = read.trailers().and_then(|trailers| trailers.get("x-outrider-cost-usd")).map(|cost| cost.to_str().unwrap());
        assert_eq!(told, announced.map(|_| COST));
        assert_eq!(read.to_bytes(), whole);
    }
    let reply = world.post_with(CHAT, &[("te", "trailers")], ask("own", false)).await;
    assert_eq!(reply.header("trailer"), "", "a whole answer has it in its head");
}

fn chunk(delta: &str, finish: &str) -> String {
    format!(
        "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{finish}}}]}}\n\n"
    )
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_charged_when_it_ends_and_one_that_is_left_for_what_came() {
    let world = World::new(POLICY);
    let said = chunk(r#"{"role":"assistant","content":"Hello, this is a long answer"}"#, "null");
    let usage = format!(
        "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[],\"usage\":{USAGE}}}\n\n"
    );
    let whole = [said.clone(), chunk("{}", "\"stop\""), usage, "data: [DONE]\n\n".to_owned()].concat();
    world.provider("openai", move |_, nth| match nth {
        0 => Script::events(&whole, Duration::from_millis(1), End::Close),
        _ => Script::events(&said, Duration::from_millis(1), End::Hang),
    });
    let reply = world.post(CHAT, ask("fast", true)).await;
    assert_eq!((reply.status.as_u16(), reply.header("x-outrider-cost-usd")), (200, ""));
    assert_eq!(cost(&world), 0.000_296);
    // The app leaves in mid-stream: the prompt and what was produced are paid for, by our own measure.
    let response = world.open(Method::POST, CHAT, &[], ask("fast", true).as_bytes()).await;
    let mut body = response.into_body();
    read_until(&mut body, "Hello").await;
    drop(body);
    settle().await;
    let left = cost(&world) - 0.000_296;
    assert!(left > 0.0 && left < 0.000_1, "{left}");
    world.assert_settled(2);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_price_is_guessed_dearly_and_counted() {
    let world = World::new(POLICY);
    world.always("openai", Script::json(200, &answer(USAGE)));
    let reply = world.post(CHAT, ask("own", false)).await;
    assert!(reply.header("x-outrider-cost-usd").parse::<f64>().unwrap() > 0.01, "{}", reply.header("x-outrider-cost-usd"));
    assert_eq!(world.metric("outrider_prices_unknown_total", &[("provider", "openai")]), 1.0);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_costs_nothing() {
    let world = World::new(POLICY);
    world.always("openai", Script::json(400, r#"{"error":{"message":"no","type":"invalid_request_error"}}"#));
    let reply = world.post(CHAT, ask("fast", false)).await;
    assert_eq!((reply.status.as_u16(), reply.header("x-outrider-cost-usd")), (400, ""));
    assert_eq!(cost(&world), 0.0);
}
