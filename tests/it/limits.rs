//! Keys and limits, on whole exchanges.

use std::time::Duration;

use http::Method;
use outrider::quota::{LimitView, MeasureView, Moment, View};
use tokio::time::Instant;

use crate::support::{End, Script, World, read, read_until, settle};

const CHAT: &str = "/v1/chat/completions";
const PROVIDERS: &str = r#"
[providers.openai]
kind = "openai"
api_key = "sk-operator-openai"
base_url = "http://openai.test/v1"
[providers.other]
kind = "openai"
api_key = "sk-operator-other"
base_url = "http://other.test/v1"
[[models]]
name = "fast"
targets = [{ provider = "openai", model = "m" }]
retry = { attempts = 1 }
[[models]]
name = "cheap"
targets = [{ provider = "other", model = "m" }]
[[models]]
name = "either"
targets = [{ provider = "openai", model = "m" }, { provider = "other", model = "m" }]
[[prices]]
provider = "openai"
model = "m"
input_usd = 1.0
output_usd = 10.0
[[prices]]
provider = "other"
model = "m"
input_usd = 0.1
output_usd = 1.0
"#;

fn world(limits: &str) -> World {
    World::new(&format!("{PROVIDERS}{limits}"))
}

fn answer(input: u64, output: u64) -> Script {
    Script::json(
        200,
        &format!(
            r#"{{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{{"index":0,"message":{{"role":"assistant","content":"Hello"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":{input},"completion_tokens":{output},"total_tokens":{}}}}}"#,
            input + output
        ),
    )
}

fn ask(model: &str) -> String {
    format!(r#"{{"model":"{model}","max_tokens":100,"messages":[{{"role":"user","content":"hi"}}]}}"#)
}

fn view(world: &World) -> View {
    let shared = &world.line.shared;
    shared.snapshot.borrow().limits.view(Moment { now: Instant::now(), wall: shared.env.wall.now() }, 100)
}

/// What the only subject of the only limit has of its first bound.
fn first(world: &World) -> MeasureView {
    let view = view(world);
    let subject = view.limits[0].top.first().unwrap_or_else(|| panic!("{view:?}"));
    subject.measures[0]
}

/// Nothing is under way, waiting or reserved.
fn assert_returned(world: &World) {
    for LimitView { limit, top, .. } in view(world).limits {
        for subject in top {
            assert_eq!((subject.under_way, subject.waiting), (0, 0), "{}", limit.name);
            assert!(subject.measures.iter().all(|measure| measure.reserved == 0), "{}: {subject:?}", limit.name);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_told_in_the_callers_dialect() {
    // (path, body, status, error type, its place)
    let table = [
        (CHAT, ask("fast"), "rate_limit_exceeded", "/error/code"),
        ("/v1/responses", r#"{"model":"fast","input":"hi"}"#.to_owned(), "rate_limit_exceeded", "/error/code"),
        (
            "/v1/messages",
            r#"{"model":"fast","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}"#.to_owned(),
            "rate_limit_error",
            "/error/type",
        ),
        (
            "/v1beta/models/fast:generateContent",
            r#"{"contents":[{"parts":[{"text":"hi"}]}]}"#.to_owned(),
            "RESOURCE_EXHAUSTED",
            "/error/status",
        ),
    ];
    for (path, body, code, place) in table {
        let world = world("[[limits]]\nname = \"all\"\nrequests_per_minute = 1\n");
        let provider = world.always("openai", answer(10, 5));
        let passed = world.post(path, &body).await;
        assert_eq!(passed.status, 200, "{path}: {}", passed.text());
        assert_eq!((passed.header("x-ratelimit-limit-requests"), passed.header("x-ratelimit-remaining-requests")), ("1", "0"));
        tokio::time::advance(Duration::from_secs(20)).await;
        let refused = world.post(path, &body).await;
        assert_eq!(refused.status, 429, "{path}: {}", refused.text());
        assert_eq!(refused.json().pointer(place).unwrap(), code, "{path}: {}", refused.text());
        assert!(refused.text().contains("all"), "the limit is named: {}", refused.text());
        // As SDKs wait: after so long it passes, and not a second sooner.
        let wait: u64 = refused.header("retry-after").parse().unwrap();
        assert_eq!((wait, refused.header("x-ratelimit-remaining-requests")), (40, "0"));
        assert_eq!(refused.headers.contains_key("anthropic-ratelimit-requests-reset"), path == "/v1/messages");
        assert!(refused.header("x-should-retry").is_empty());
        tokio::time::advance(Duration::from_secs(wait - 1)).await;
        assert_eq!(world.post(path, &body).await.status, 429);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(world.post(path, &body).await.status, 200);
        assert_eq!(provider.seen().len(), 2);
        assert_eq!(world.metric("outrider_limit_decisions_total", &[("limit", "all"), ("decision", "reject")]), 2.0);
        assert_returned(&world);
    }
    let world = World::new(
        "[providers.echo]\nkind = \"echo\"\n[[models]]\nname = \"fast\"\ntargets = [{ provider = \"echo\", model = \"echo\" }]\n\
         [[limits]]\nname = \"all\"\nrequests_per_minute = 0\n",
    );
    let refused = world.post("/model/fast/converse", r#"{"messages":[{"role":"user","content":[{"text":"hi"}]}]}"#).await;
    assert_eq!((refused.status.as_u16(), refused.header("x-amzn-errortype")), (429, "ThrottlingException"), "{}", refused.text());
}

#[tokio::test(start_paused = true)]
async fn money_is_reserved_before_and_settled_after() {
    // A request may write 100 tokens: 1,000,000 nano-USD, and reads a little.
    let world = world("[[limits]]\nname = \"day\"\nbudget_usd_per_day = 0.0025\n");
    world.provider("openai", |_, nth| match nth {
        0 => Script::Later(Duration::from_secs(1), Box::new(answer(10, 5))),
        1 => Script::json(500, "{}"),
        _ => answer(10, 100),
    });
    let (one, two) = (world.post(CHAT, ask("fast")), async {
        settle().await;
        let open = first(&world);
        assert!(open.reserved > 1_000_000 && open.settled == 0, "{open:?}");
        assert_eq!(open.reserved + open.settled + open.free(), 2_500_000);
    });
    let (reply, ()) = tokio::join!(one, two);
    assert_eq!(reply.header("x-outrider-cost-usd"), "0.00006");
    assert_eq!((first(&world).reserved, first(&world).settled), (0, 60_000));
    // A failure costs nothing.
    assert_eq!(world.post(CHAT, ask("fast")).await.status, 500);
    assert_eq!((first(&world).reserved, first(&world).settled), (0, 60_000));
    assert_eq!(world.post(CHAT, ask("fast")).await.status, 200);
    assert_eq!(world.post(CHAT, ask("fast")).await.status, 200);
    // 2,080,000 are spent, and another request might come to more than what is left.
    assert_eq!((first(&world).reserved, first(&world).settled), (0, 2_080_000));
    let refused = world.post(CHAT, ask("fast")).await;
    assert_eq!(refused.status, 429, "{}", refused.text());
    assert_eq!(refused.json()["error"]["code"], "insufficient_quota");
    let told = ["limit", "remaining"].map(|name| refused.header(&format!("x-ratelimit-{name}-budget-usd")).to_owned());
    assert_eq!(told, ["0.0025", "0.00042"]);
    assert_eq!(refused.header("x-should-retry"), "false");
    // A smaller one fits.
    assert_eq!(world.post(CHAT, ask("fast").replace("100", "20")).await.status, 200);
    assert_returned(&world);
}

#[tokio::test(start_paused = true)]
async fn who_leaves_gives_back_what_was_not_used() {
    let world = world("[[limits]]\nname = \"l\"\nbudget_usd_per_day = 1\nmax_concurrent = 1\n");
    let chunk = r#"data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"Hello, this is a long answer"},"finish_reason":null}]}"#;
    let said = format!("{chunk}\n\n");
    world.provider("openai", move |_, nth| match nth {
        0 => Script::Hang,
        _ => Script::events(&said, Duration::from_millis(1), End::Hang),
    });
    let stream = ask("fast").replace("\"max_tokens\"", "\"stream\":true,\"max_tokens\"");
    // It leaves before anything came: the provider was at work on the prompt.
    let left = tokio::time::timeout(Duration::from_secs(1), world.post(CHAT, &stream)).await;
    assert!(left.is_err());
    settle().await;
    assert_returned(&world);
    let spent = view(&world).limits[0].top[0].measures.iter().map(|measure| measure.settled).sum::<u64>();
    assert!(spent > 0 && spent < 100_000, "the prompt alone: {spent}");
    // It leaves in mid-stream: the prompt and what came.
    let mut body = world.open(Method::POST, CHAT, &[], stream.as_bytes()).await.into_body();
    read_until(&mut body, "long answer").await;
    let refused = world.post(CHAT, ask("fast")).await;
    assert_eq!((refused.status.as_u16(), refused.header("x-ratelimit-remaining-concurrent")), (429, "0"));
    drop(body);
    settle().await;
    assert_returned(&world);
    let more = view(&world).limits[0].top[0].measures.iter().map(|measure| measure.settled).sum::<u64>() - spent;
    assert!((70_000..200_000).contains(&more), "seven tokens or so: {more}");
    world.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn who_waits_in_line_is_served_in_turn() {
    let world = world("[[limits]]\nname = \"l\"\nmax_concurrent = 2\non_exceed = \"queue\"\nqueue_timeout = \"10s\"\nqueue_max = 4\n");
    let takes = Duration::from_secs(3);
    let provider = world.always("openai", Script::Later(takes, Box::new(answer(10, 5))));
    let begun = Instant::now();
    let exchange = |number: u64| {
        let world = &world;
        async move {
            tokio::time::sleep(Duration::from_millis(number)).await;
            let reply = world.post(CHAT, ask("fast").replace("hi", &number.to_string())).await;
            (reply.status.as_u16(), begun.elapsed().as_secs())
        }
    };
    let replies = futures_util::future::join_all((0..8).map(exchange)).await;
    // Two at a time, four in line, no room for the last two.
    let expected = [(200, 3), (200, 3), (200, 6), (200, 6), (200, 9), (200, 9), (429, 0), (429, 0)];
    assert_eq!(replies, expected);
    let seen = provider.seen();
    assert!(seen.iter().all(|one| seen.iter().filter(|other| other.at <= one.at && one.at < other.at + takes).count() <= 2));
    let order: Vec<String> = seen.iter().map(|seen| seen.json()["messages"][0]["content"].as_str().unwrap().to_owned()).collect();
    assert_eq!(order, ["0", "1", "2", "3", "4", "5"]);
    // The time in line is not our own share.
    let (sum, count) = (world.metric("outrider_overhead_seconds_sum", &[]), world.metric("outrider_overhead_seconds_count", &[]));
    assert!(count == 6.0 && sum < 1.0, "{sum} for {count}");
    // The caller's own patience counts in line too.
    let timed = async {
        settle().await;
        world.post_with(CHAT, &[("x-outrider-timeout", "1s")], ask("fast")).await
    };
    let (_, _, late) = tokio::join!(world.post(CHAT, ask("fast")), world.post(CHAT, ask("fast")), timed);
    assert_eq!(late.status, 504, "{}", late.text());
    assert_returned(&world);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_is_served_by_a_cheaper_alias() {
    let world = world(
        "[[limits]]\nname = \"dear\"\nwhen = { model = \"fast\" }\nbudget_usd_per_day = 0.0015\non_exceed = \"degrade\"\ndegrade_to = \"cheap\"\n\
         [[limits]]\nname = \"all\"\nrequests_per_minute = 3\n",
    );
    world.always("openai", answer(10, 100));
    world.always("other", answer(10, 100));
    let reply = world.post(CHAT, ask("fast")).await;
    assert_eq!((reply.header("x-outrider-target"), reply.header("x-outrider-degraded")), ("openai/m", ""));
    let reply = world.post(CHAT, ask("fast")).await;
    assert_eq!((reply.header("x-outrider-target"), reply.header("x-outrider-degraded")), ("other/m", "cheap; limit=dear"));
    assert_eq!(world.post(CHAT, ask("fast")).await.status, 200);
    // The other limit holds for it too.
    let refused = world.post(CHAT, ask("fast")).await;
    assert!(refused.status == 429 && refused.text().contains("all"), "{}", refused.text());
    assert_eq!(world.metric("outrider_limit_decisions_total", &[("limit", "dear"), ("decision", "degrade")]), 2.0);
    assert_returned(&world);
}

#[tokio::test(start_paused = true)]
async fn a_providers_limit_leads_to_another_provider() {
    let world = world("[[limits]]\nname = \"site\"\nper = [\"provider\"]\nrequests_per_minute = 2\n");
    let (openai, other) = (world.always("openai", answer(10, 5)), world.always("other", answer(10, 5)));
    for _ in 0..4 {
        let reply = world.post(CHAT, ask("either")).await;
        assert_eq!((reply.status.as_u16(), reply.header("x-outrider-attempts")), (200, "1"));
    }
    assert_eq!((openai.seen().len(), other.seen().len()), (2, 2));
    let refused = world.post(CHAT, ask("either")).await;
    assert_eq!(refused.status, 429, "{}", refused.text());
    assert!(refused.text().contains("site"));
    assert!(world.metric("outrider_limit_decisions_total", &[("limit", "site"), ("decision", "reject")]) > 0.0);
    assert_eq!(openai.seen().len() + other.seen().len(), 4);
    assert_returned(&world);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_outruns_its_reservation_is_cut_or_finishes_as_debt() {
    for (policy, cut) in [("cut", true), ("finish", false)] {
        let world =
            world(&format!("[[limits]]\nname = \"l\"\ntokens_per_day = 400\nassume_output_tokens = 50\non_overrun = \"{policy}\"\n"));
        let event = |text: &str, finish: &str| {
            format!(
                "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}},\"finish_reason\":{finish}}}]}}\n\n"
            )
        };
        // A hundred pieces of ten tokens, as far as bytes tell.
        let mut text: String = (0..100).map(|_| event(&"word ".repeat(8), "null")).collect();
        text += &event("", "\"stop\"");
        text += "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":900,\"total_tokens\":910}}\n\ndata: [DONE]\n\n";
        let provider = world.always("openai", Script::events(&text, Duration::from_millis(1), End::Close));
        let reply = world.post(CHAT, r#"{"model":"fast","stream":true,"messages":[{"role":"user","content":"hi"}]}"#).await;
        assert_eq!(reply.status, 200);
        settle().await;
        let stands = first(&world);
        if cut {
            assert!(reply.text().contains("insufficient_quota") && !reply.text().contains("[DONE]"), "{}", reply.text());
            assert!(stands.settled <= 400 && stands.settled > 200, "{stands:?}");
            assert_eq!(provider.cancelled(), 1);
            assert_eq!(world.metric("outrider_limit_decisions_total", &[("decision", "cut")]), 1.0);
        } else {
            assert!(reply.text().ends_with("[DONE]\n\n"));
            assert_eq!((stands.settled, stands.debt()), (910, 510));
            assert_eq!(world.post(CHAT, ask("fast")).await.status, 429);
        }
        assert_returned(&world);
    }
}

const KEYS: &str = r#"
[[keys]]
digest = "sha256:d9d5f5a3c8a5bbcb4da8a7b1ad2eb4b15e2f6d5e4c37e67b46eef5c1a6f2a5a0"
name = "nobody"
"#;

#[tokio::test(start_paused = true)]
async fn keys_tell_callers_apart() {
    let digest = |key: &str| outrider::config::Digest::of(key).to_string();
    let world = world(&format!(
        "{KEYS}\n[[keys]]\ndigest = \"{}\"\nname = \"ranker\"\nteam = \"search\"\nmodels = [\"fast\"]\nlimits = {{ requests_per_minute = 1 }}\n\
         [[keys]]\ndigest = \"{}\"\nname = \"old\"\nexpires = 2020-01-01\n\
         [[keys]]\ndigest = \"{}\"\nname = \"free\"\n[identity]\nrequire_key = true\n",
        digest("ork-ranker"),
        digest("ork-old"),
        digest("ork-free"),
    ));
    let provider = world.always("openai", answer(10, 5));
    let with = |name: &'static str, value: &'static str| {
        let world = &world;
        async move { world.post_with(CHAT, &[(name, value)], ask("fast")).await }
    };
    for (name, value, status) in [
        ("x-nothing", "", 401),
        ("authorization", "Bearer sk-not-ours", 401),
        ("authorization", "Bearer ork-unknown", 401),
        ("authorization", "Bearer ork-old", 401),
        ("authorization", "Bearer ork-ranker", 200),
        ("x-api-key", "ork-ranker", 429),
        ("x-api-key", "ork-free", 200),
        ("x-goog-api-key", "ork-free", 200),
        ("api-key", "ork-free", 200),
    ] {
        let reply = with(name, value).await;
        assert_eq!(reply.status.as_u16(), status, "{name}: {value}: {}", reply.text());
    }
    let in_query = world.post("/v1beta/models/fast:generateContent?key=ork-free", r#"{"contents":[{"parts":[{"text":"hi"}]}]}"#).await;
    assert_eq!(in_query.status, 200, "{}", in_query.text());
    let forbidden = world.post_with(CHAT, &[("x-api-key", "ork-ranker")], ask("cheap")).await;
    assert_eq!((forbidden.status.as_u16(), forbidden.json()["error"]["code"].as_str()), (403, Some("model_not_allowed")));
    let seen = provider.seen();
    assert!(seen.iter().all(|seen| !format!("{seen:?}").contains("ork-")), "a key went upstream");
    assert_eq!(read(world.open(Method::GET, "/v1/models", &[], b"").await).await.status, 401);
    // A sign of life needs none.
    assert_eq!(world.get("/").await.status, 200);
    world.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn users_are_told_apart_by_header_or_by_their_dialects_field() {
    let world = world("[[limits]]\nname = \"u\"\nper = [\"user\"]\nrequests_per_minute = 1\n");
    world.always("openai", answer(10, 5));
    let named = |user: &str| ask("fast").replace("\"max_tokens\"", &format!("\"user\":\"{user}\",\"max_tokens\""));
    assert_eq!(world.post(CHAT, named("ann")).await.status, 200);
    assert_eq!(world.post(CHAT, named("ann")).await.status, 429);
    assert_eq!(world.post_with(CHAT, &[("x-outrider-user", "ann")], ask("fast")).await.status, 429);
    assert_eq!(world.post_with(CHAT, &[("x-outrider-user", "bob")], named("ann")).await.status, 200);
    let claude = r#"{"model":"fast","max_tokens":9,"metadata":{"user_id":"ann"},"messages":[{"role":"user","content":"hi"}]}"#;
    assert_eq!(world.post("/v1/messages", claude).await.status, 429);
    // Nobody is somebody too.
    assert_eq!(world.post(CHAT, ask("fast")).await.status, 200);
    assert_eq!(world.post(CHAT, ask("fast")).await.status, 429);
}

#[tokio::test(start_paused = true)]
async fn light_operations_are_not_refused_for_heavy_ones() {
    let world = world(
        "[[limits]]\nname = \"all\"\nrequests_per_minute = 1\n[[limits]]\nname = \"light\"\nwhen = { operation = \"models\" }\nrequests_per_minute = 2\n",
    );
    world.always("openai", answer(10, 5));
    let count = r#"{"model":"fast","messages":[{"role":"user","content":"hi"}]}"#;
    assert_eq!(world.post(CHAT, ask("fast")).await.status, 200);
    for _ in 0..20 {
        assert_eq!(world.post("/v1/messages/count_tokens", count).await.status, 200);
    }
    assert_eq!(world.post(CHAT, ask("fast")).await.status, 429);
    let listed: Vec<u16> = [world.get("/v1/models/fast").await, world.get("/v1/models/fast").await, world.get("/v1/models/fast").await]
        .map(|reply| reply.status.as_u16())
        .to_vec();
    assert_eq!(listed, [200, 200, 429]);
}

/// A folder for a journal, gone with the test.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("outrider-it-{name}-{}", std::process::id()));
        let _may_not_be_there = std::fs::remove_dir_all(&path);
        Self(path)
    }

    fn world(&self, limits: &str) -> World {
        let world = world(&format!("{limits}\n[state]\ndir = {:?}\n", self.0));
        let shared = &world.line.shared;
        if let Some(recovered) = shared.stores.journal.recovered() {
            shared.restore(&recovered);
        }
        world
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _may_be_gone = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_spent_outlives_the_process() {
    const LIMITS: &str = "[[limits]]\nname = \"day\"\nper = [\"team\", \"user\", \"model\", \"tag\", \"provider\"]\nbudget_usd_per_day = 0.0025\n\
                          [[limits]]\nname = \"month\"\ntokens_per_month = 1_000\n[identity]\nteam = \"search\"\n";
    let folder = Folder::new("restart");
    let headers = [("x-outrider-user", "ann"), ("x-outrider-tag", "batch")];
    let before = folder.world(LIMITS);
    before.provider("openai", |_, nth| if nth == 0 { answer(10, 100) } else { Script::Hang });
    assert_eq!(before.post_with(CHAT, &headers, ask("fast")).await.status, 200);
    let response = tokio::time::timeout(Duration::from_millis(5), before.post_with(CHAT, &headers, ask("fast"))).await;
    assert!(response.is_err());
    drop(before);

    let after = folder.world(LIMITS);
    after.always("openai", answer(10, 100));
    let spent = |world: &World, limit: usize| view(world).limits[limit].top[0].measures[0].settled;
    // Ten and a hundred tokens, and the prompt of the one that left.
    let (day, month) = (spent(&after, 0), spent(&after, 1));
    assert!((1_010_000..1_060_000).contains(&day), "{day}");
    assert!((110..140).contains(&month), "{month}");
    assert_eq!(after.post_with(CHAT, &headers, ask("fast")).await.status, 200);
    assert_eq!(after.post_with(CHAT, &headers, ask("fast")).await.status, 429, "twice a thousandth and more are spent");
    assert_eq!(after.post_with(CHAT, &[("x-outrider-user", "bob")], ask("fast")).await.status, 200);
    drop(after);

    let third = folder.world(LIMITS);
    third.always("openai", answer(10, 100));
    assert_eq!(third.post_with(CHAT, &headers, ask("fast")).await.status, 429);
    assert_eq!(spent(&third, 1), month + 220);
}

#[tokio::test(start_paused = true)]
async fn an_exchange_is_written_down_before_its_end_is_told() {
    let folder = Folder::new("before");
    let world = folder.world("");
    let chunk = r#"data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"Hello"},"finish_reason":"stop"}]}"#;
    let usage = r#"data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":10,"completion_tokens":9,"total_tokens":19}}"#;
    let text = format!("{chunk}\n\n{usage}\n\ndata: [DONE]\n\n");
    let events = Script::events(&text, Duration::from_millis(1), End::Close);
    world.provider("openai", move |_, nth| if nth == 0 { answer(10, 100) } else { events.clone() });
    let records = || world.line.shared.stores.journal.health().records;
    let before = records();
    let response = world.open(Method::POST, CHAT, &[], ask("fast").as_bytes()).await;
    // Nothing of the body has been read yet.
    let whole = records() - before;
    assert!(whole >= 2, "an intent, and an end: {whole}");
    drop(response);
    let before = records();
    let stream = ask("fast").replace("\"max_tokens\"", "\"stream\":true,\"max_tokens\"");
    let mut body = world.open(Method::POST, CHAT, &[], stream.as_bytes()).await.into_body();
    assert_eq!(records() - before, 1, "its intent");
    read_until(&mut body, "[DONE]").await;
    assert_eq!(records() - before, 2, "its end");
}

#[tokio::test(start_paused = true)]
async fn limits_that_send_to_each_other_refuse() {
    let world = world(
        "[[limits]]\nname = \"la\"\nwhen = { model = \"fast\" }\nrequests_per_minute = 0\non_exceed = \"degrade\"\ndegrade_to = \"cheap\"\n\
         [[limits]]\nname = \"lb\"\nwhen = { model = \"cheap\" }\nrequests_per_minute = 0\non_exceed = \"degrade\"\ndegrade_to = \"fast\"\n",
    );
    let refused = world.post(CHAT, ask("fast")).await;
    assert_eq!(refused.status, 429, "{}", refused.text());
    world.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn without_its_journal_nothing_is_served_where_that_is_wanted() {
    // A file stands where the folder should.
    let file = std::env::temp_dir().join(format!("outrider-it-deny-{}", std::process::id()));
    std::fs::write(&file, "").unwrap();
    for (on_full, status) in [("deny", 503), ("admit", 200)] {
        let world = world(&format!("[state]\ndir = {:?}\non_full = \"{on_full}\"\n", file.join("state")));
        world.always("openai", answer(10, 5));
        let reply = world.post(CHAT, ask("fast")).await;
        assert_eq!(reply.status.as_u16(), status, "{}", reply.text());
        assert_eq!(reply.header("retry-after"), if status == 503 { "2" } else { "" });
        // What is paid for by nobody is served all the same.
        assert_eq!(world.get("/v1/models/fast").await.status, 200);
    }
    std::fs::remove_file(file).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_picture_in_a_stream_that_is_left_is_not_charged_by_its_bytes() {
    let world = world("[[limits]]\nname = \"l\"\ntokens_per_day = 10_000_000\n");
    let chunk = r#"data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"Hello"},"finish_reason":null}]}"#;
    world.always("openai", Script::events(&format!("{chunk}\n\n"), Duration::from_millis(1), End::Hang));
    let image = "A".repeat(1_000_000);
    let body = format!(
        r#"{{"model":"fast","stream":true,"max_tokens":9,"messages":[{{"role":"user","content":[{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{image}"}}}}]}}]}}"#
    );
    let mut body = world.open(Method::POST, CHAT, &[], body.as_bytes()).await.into_body();
    read_until(&mut body, "Hello").await;
    drop(body);
    settle().await;
    let settled = first(&world).settled;
    assert!((50..20_000).contains(&settled), "a million bytes are no quarter of a million tokens: {settled}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_bounds_is_reserved_at_the_most_that_its_model_writes() {
    const WRITES: &str = "[[capabilities]]\nprovider = \"openai\"\nmodel = \"m\"\noutput_tokens = 5000\n";
    let unbounded = ask("fast").replace("\"max_tokens\":100,", "");
    for (limit, status) in
        [("tokens_per_day = 4000", 429), ("tokens_per_day = 4000\nassume_output_tokens = 50", 200), ("tokens_per_day = 6000", 200)]
    {
        let world = world(&format!("{WRITES}[[limits]]\nname = \"l\"\n{limit}\n"));
        world.always("openai", answer(10, 10));
        assert_eq!(world.post(CHAT, &unbounded).await.status, status, "{limit}");
    }
}
