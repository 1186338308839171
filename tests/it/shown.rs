//! What is shown of keys, limits and money: by `/status`, the metrics, `explain` and the list of models.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request};
use outrider::config::{Config, Digest, Outside};
use outrider::pipeline;
use outrider::server::admin::AdminSource;
use outrider::status::Status;
use serde_json::{Value, json};

use crate::support::{Script, World, read};

const CHAT: &str = "/v1/chat/completions";
const PROVIDERS: &str = r#"
[identity]
team = "search"
app = "ranker"
[providers.openai]
kind = "openai"
api_key = "sk-operator"
base_url = "http://openai.test/v1"
[[models]]
name = "fast"
targets = [{ provider = "openai", model = "m" }]
[[models]]
name = "slow"
targets = [{ provider = "openai", model = "n" }]
[[prices]]
provider = "openai"
model = "*"
input_usd = 1.0
output_usd = 10.0
"#;

fn answer() -> Script {
    Script::json(
        200,
        r#"{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1000,"completion_tokens":50,"total_tokens":1050}}"#,
    )
}

fn ask(model: &str) -> String {
    json!({ "model": model, "max_tokens": 100, "messages": [{ "role": "user", "content": "hi" }] }).to_string()
}

fn status(world: &World, toml: &str) -> Status {
    let loaded = Config::parse(Path::new("world.toml"), toml, &Outside::process()).unwrap_or_else(|faults| panic!("{faults}"));
    Status::new(Arc::clone(&world.line.shared), loaded.config)
}

fn samples(metrics: &str, name: &str) -> Vec<(String, f64)> {
    let of = |line: &str| {
        let (label, value) = line.strip_prefix(name)?.rsplit_once(' ')?;
        (label.is_empty() || label.starts_with('{')).then(|| (label.to_owned(), value.parse().unwrap()))
    };
    metrics.lines().filter_map(of).collect()
}

#[tokio::test(start_paused = true)]
async fn status_and_metrics_tell_how_limits_stand() {
    let providers = PROVIDERS.replace("\"search\"", "\"search <b>\"");
    let toml = format!(
        "{providers}\n[[limits]]\nname = \"team\"\nper = [\"team\"]\nrequests_per_minute = 3\nbudget_usd_per_day = 0.01\n\
         [[limits]]\nname = \"unused\"\nwhen = {{ app = \"other\" }}\nmax_concurrent = 1\n"
    );
    let world = World::new(&toml);
    world.always("openai", answer());
    let status = status(&world, &toml);
    for expected in [200, 200, 200, 429] {
        assert_eq!(world.post(CHAT, ask("fast")).await.status.as_u16(), expected);
    }

    let document: Value = serde_json::from_str(&status.status_json()).unwrap();
    let limit = &document["limits"][0];
    assert_eq!(limit["name"], "team");
    assert_eq!(limit["says"], "for each team; past it refused");
    assert_eq!(limit["bounds"], json!({ "requests_per_minute": 3, "budget_usd_per_day": 0.01 }));
    assert_eq!([&limit["subjects"], &limit["under_way"], &limit["waiting"], &limit["admitted"], &limit["queued"]], [1, 0, 0, 3, 0]);
    let fullest = &limit["fullest"][0];
    assert_eq!(fullest["subject"], "search <b>");
    let [requests, budget] = [&fullest["bounds"][0], &fullest["bounds"][1]];
    assert_eq!([&requests["most"], &requests["settled"], &requests["left"]], [3, 3, 0]);
    // 1,000 tokens at 1 USD and 50 at 10 USD for a million, three times.
    assert_eq!([&budget["settled"], &budget["reserved"], &budget["left"]], [&json!(0.0045), &json!(0), &json!(0.0055)]);
    assert!(requests["frees_in_seconds"].as_f64().unwrap() <= 60.0);
    assert_eq!(document["limits"][1]["fullest"], json!([]));
    assert_eq!(document["spent_usd"], json!({ "today": 0.0045, "this_month": 0.0045 }));
    assert_eq!(document["journal"]["configured"], false);

    let page = status.status_html();
    for words in
        ["search &lt;b&gt;", "3 requests a minute, 0.01 USD a day", "0.0055 USD", "0.0045 USD today", "for each team; past it refused"]
    {
        assert!(page.contains(words), "{words:?} is not in {page}");
    }
    assert!(!page.contains("<b>"));

    let metrics = status.metrics(false);
    let decisions = |decision: &str, limit: &str| {
        let all = samples(&metrics, "outrider_limit_decisions_total");
        let wanted = [format!("decision=\"{decision}\""), format!("limit=\"{limit}\"")];
        all.iter().filter(|(labels, _)| wanted.iter().all(|label| labels.contains(label))).map(|(_, count)| *count).sum::<f64>()
    };
    assert_eq!([decisions("admit", "team"), decisions("reject", "team"), decisions("admit", "unused")], [3.0, 1.0, 0.0]);
    let ratio = samples(&metrics, "outrider_limit_used_ratio");
    assert_eq!(ratio.iter().map(|(_, share)| *share).fold(0.0, f64::max), 1.0, "{ratio:?}");
    for name in ["outrider_journal_ok", "outrider_journal_pending", "outrider_journal_bytes", "outrider_journal_records_total"] {
        assert_eq!(samples(&metrics, name), [(String::new(), 0.0)], "{name}");
    }
}

async fn explain(world: &World, key: Option<&str>, model: &str) -> Value {
    let mut request = Request::post(CHAT);
    if let Some(key) = key {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    let (head, ()) = request.body(()).unwrap().into_parts();
    let document = pipeline::explain(&world.line, head, Bytes::from(ask(model))).await.unwrap();
    serde_json::from_slice(&document).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&document)))
}

#[tokio::test(start_paused = true)]
async fn explain_tells_what_limits_decide_and_reserves_nothing() {
    let world = World::new(&format!(
        "{PROVIDERS}\n[[limits]]\nname = \"few\"\nwhen = {{ model = \"fast\" }}\nrequests_per_minute = 1\non_exceed = \"degrade\"\ndegrade_to = \"slow\"\n\
         [[limits]]\nname = \"least\"\nwhen = {{ model = \"slow\" }}\nrequests_per_minute = 1\n\
         [[limits]]\nname = \"provider\"\nper = [\"provider\"]\ntokens_per_minute = 1_000_000\n"
    ));
    world.always("openai", answer());
    for _ in 0..3 {
        let free = explain(&world, None, "fast").await;
        let step = &free["limits"][0];
        assert_eq!([&step["model"], &step["outcome"], &step["because"]], [&json!("fast"), &json!("let in"), &Value::Null]);
        assert_eq!(step["at_most"]["output_tokens"], 100);
        assert!(step["at_most"]["cost_usd"].as_f64().unwrap() >= 0.001);
        let bound = &step["applying"][0]["bounds"][0];
        assert_eq!(step["applying"][0]["limit"], "few");
        assert_eq!(
            [&bound["bound"], &bound["used"], &bound["asked"], &bound["fits"]],
            [&json!("requests_per_minute"), &json!(0), &json!(1), &json!(true)]
        );
        let provider = &free["targets"][0]["limits"][0];
        assert_eq!([&provider["limit"], &provider["subject"], &provider["fits"]], [&json!("provider"), &json!("openai"), &json!(true)]);
    }
    world.post(CHAT, ask("fast")).await;
    let degraded = explain(&world, None, "fast").await;
    let outcomes: Vec<_> = degraded["limits"].as_array().unwrap().iter().map(|step| [&step["model"], &step["outcome"]]).collect();
    assert_eq!(outcomes, [["fast", "asked for as slow"], ["slow", "let in"]]);
    assert_eq!(degraded["model"]["name"], "slow");
    assert_eq!(world.post(CHAT, ask("fast")).await.header("x-outrider-degraded"), "slow; limit=few");
    let refused = explain(&world, None, "fast").await;
    let reply = world.post(CHAT, ask("fast")).await;
    assert_eq!(reply.status, 429);
    assert_eq!(refused["limits"][1]["outcome"], "refused");
    assert_eq!(refused["refused"]["message"], reply.json()["error"]["message"], "the caller is told the same");
    assert!(refused.get("targets").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_key_sees_and_is_explained_what_it_may_ask_for() {
    const KEY: &str = "ork-fast-only";
    let keys = format!("[[keys]]\nname = \"one\"\ndigest = \"{}\"\nteam = \"ads\"\nmodels = [\"fast\"]\n", Digest::of(KEY));
    let world = World::new(&format!("{}{keys}", PROVIDERS.replace("[identity]", "[identity]\nrequire_key = true")));
    world.always("openai", answer());
    let list = read(world.open(Method::GET, "/v1/models", &[("authorization", "Bearer ork-fast-only")], b"").await).await.json();
    let names: Vec<_> = list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!(names, ["fast"]);
    let one = async |id: &str| {
        let path = format!("/v1/models/{id}");
        read(world.open(Method::GET, &path, &[("authorization", "Bearer ork-fast-only")], b"").await).await.status.as_u16()
    };
    assert_eq!([one("fast").await, one("slow").await, one("openai/m").await], [200, 403, 403]);

    let allowed = explain(&world, Some(KEY), "fast").await;
    assert_eq!([&allowed["caller"]["key"], &allowed["caller"]["team"]], ["one", "ads"]);
    assert_eq!(allowed["model"]["name"], "fast");
    let other = explain(&world, Some(KEY), "slow").await;
    assert!(other["refused"]["message"].as_str().unwrap().contains("does not allow"), "{other}");
    assert_eq!(other["caller"]["key"], "one");
    assert_eq!(explain(&world, None, "fast").await["refused"]["error_type"], "unauthenticated");
}
