//! What routing one request costs: 100 rules, and an alias of 50 targets.
//!
//!     cargo bench --bench routing
//!
//! Times are the best of many rounds, since the machine is shared; the first line is what the others are to be compared with.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a program that measures")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::HeaderMap;
use outrider::base::clock::{self, SystemClock, WallClock};
use outrider::base::rng::RootRng;
use outrider::config::{Config, Outside, State};
use outrider::dialect::codec;
use outrider::ir::{Dialect, Operation};
use outrider::journal::Journal;
use outrider::pipeline::{Snapshot, Stores, order};
use outrider::policy::caller::Caller;
use outrider::policy::features::Features;
use outrider::policy::rules::Asked;
use outrider::telemetry::{Failures, Meters, Sinks};

const RULES: usize = 100;
const TARGETS: usize = 50;
const ROUNDS: usize = 200;
const REPEATS: u32 = 1_000;

fn main() {
    let outside = Outside { env: &|_| None, read: &|_| Err(std::io::ErrorKind::NotFound.into()) };
    let config = Config::parse(Path::new("bench.toml"), &policy(), &outside).unwrap_or_else(|faults| panic!("{faults}")).config;
    let snapshot = Snapshot::new(config.policy, &config.bootstrap.identity);
    let sinks = Sinks { meters: Meters::new(), team: String::new(), app: String::new(), failures: Failures::default() };
    let journal = Arc::new(Journal::still(&State::default(), SystemTime::UNIX_EPOCH, &RootRng::seeded(1)));
    let stores = Stores::new(config.bootstrap.bounds, config.bootstrap.identity, journal, sinks);
    let body = request();
    let (headers, at) = (HeaderMap::new(), SystemClock.now());
    let caller = Caller::of(&stores.identity, None, &headers);
    let request = codec(Dialect::OpenAiChat).decode_request(body.as_bytes()).unwrap();
    let features = Features::of(&request);
    let mut rng = RootRng::seeded(1).fork();
    let asked = Asked {
        model: "auto",
        operation: Operation::Chat,
        stream: false,
        headers: &headers,
        caller: &caller,
        features: &features,
        request: Some(&request),
        at,
        draw: 7,
    };
    assert_eq!(snapshot.rules.first(&asked).map(|found| found.index), Some(RULES - 1), "the last rule is the one that matches");
    let routes = ["weighted", "fastest", "cheapest", "bounded"].map(|name| (name, snapshot.route(name, &stores).unwrap()));

    let read = best(|| Features::of(&codec(Dialect::OpenAiChat).decode_request(black_box(body.as_bytes())).unwrap()).input_tokens);
    println!("reading a request of {} bytes: {}", body.len(), micros(read));
    let rules = best(|| snapshot.rules.first(black_box(&asked)).map(|found| found.index));
    println!("{RULES} rules, of which the last matches: {}", micros(rules));
    for (name, route) in &routes {
        let ordered = best(|| order(route, black_box(&features), clock::now(), at, &mut rng).len());
        println!("{TARGETS} targets, {name}: {} (with the rules {})", micros(ordered), micros(ordered + rules));
    }
}

/// The best of many rounds, for one call.
fn best<T>(mut work: impl FnMut() -> T) -> Duration {
    let round = |_| {
        let begun = clock::now();
        for _ in 0..REPEATS {
            black_box(work());
        }
        begun.elapsed() / REPEATS
    };
    (0..ROUNDS).map(round).min().unwrap_or_default()
}

fn micros(time: Duration) -> String {
    format!("{:.2} µs", time.as_secs_f64() * 1e6)
}

/// A system prompt and a few turns: 2 KB.
fn request() -> String {
    let text = "You answer questions about parcels and are brief. ".repeat(18);
    let turn =
        |role: &str| format!(r#"{{"role":"{role}","content":"Where is my parcel 4711, and when will it come? I was told Tuesday."}}"#);
    let turns = [turn("user"), turn("assistant"), turn("user")].join(",");
    format!(r#"{{"model":"auto","max_tokens":300,"messages":[{{"role":"system","content":"{text}"}},{turns}],"temperature":0.2}}"#)
}

/// Rules of all cheap kinds, of which only the last matches, and one alias for each strategy.
fn policy() -> String {
    let mut toml = String::from("[providers.p]\nkind = \"openai\"\napi_key = \"sk-bench\"\nbase_url = \"http://127.0.0.1:9\"\n");
    let targets: Vec<_> = (0..TARGETS)
        .map(|number| {
            let model = ["gpt-4.1", "gpt-4.1-mini", "gpt-4.1-nano", "gpt-4o", "gpt-4o-mini"][number % 5];
            let weight = number + 1;
            format!("{{ provider = \"p{number}\", model = \"{model}\", weight = {weight} }}")
        })
        .collect();
    for number in 0..TARGETS {
        let _infallible = writeln!(toml, "[providers.p{number}]\nkind = \"openai\"\napi_key = \"sk-{number}\"\nmodels = []");
    }
    let strategies = [
        ("weighted", "strategy = \"weighted\""),
        ("fastest", "strategy = \"fastest\""),
        ("cheapest", "strategy = \"cheapest\""),
        ("bounded", "strategy = \"cheapest\"\nlatency_target = { p95_first_token = \"800ms\", p95_total = \"5s\" }"),
    ];
    for (name, strategy) in strategies {
        let _infallible = writeln!(toml, "[[models]]\nname = \"{name}\"\ntargets = [{}]\n{strategy}", targets.join(", "));
    }
    let conditions = [
        "model = \"other-*\"",
        "model = \"auto\", min_input_tokens = 50_000",
        "has_images = true",
        "user = \"team-*\"",
        "model = \"auto\", has_tools = true, stream = true",
        "tag = \"batch\"",
        "headers = { x-tier = \"gold\" }",
        "operation = \"embeddings\"",
        "model = \"auto\", min_output_tokens = 5_000",
        "percent = 0.01, sticky = \"request\"",
    ];
    for number in 0..RULES - 1 {
        let condition = conditions[number % conditions.len()];
        let _infallible = writeln!(toml, "[[routes]]\nname = \"r{number}\"\nwhen = {{ {condition} }}\nuse = \"weighted\"");
    }
    toml + "[[routes]]\nname = \"last\"\nwhen = { model = \"auto\" }\nuse = \"cheapest\"\n"
}
