//! What ten limits and the journal add to one exchange.
//!
//!     cargo bench --bench limits
//!
//! Whole exchanges in process, answered by the embedded provider, so that what differs is all that differs. The two ways take turns,
//! and the median of many rounds counts, since the machine is shared.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a program that measures")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use outrider::base::clock::{self, SystemClock, WallClock};
use outrider::base::drain::Drain;
use outrider::base::rng::RootRng;
use outrider::config::{Config, Outside};
use outrider::credential::Credentials;
use outrider::journal::Journal;
use outrider::pipeline::{Env, Pipeline, Shared, Snapshot, Stores};
use outrider::telemetry::{Failures, Meters, Sinks};
use outrider::upstream::{Connector, Upstream};

/// The program's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 60;
const REPEATS: u32 = 2_000;
const LIMITS: usize = 10;

fn main() {
    let dir = std::env::temp_dir().join(format!("outrider-bench-{}", std::process::id()));
    // One journal keeps others out of its folder.
    let state = |name: &str| format!("[state]\ndir = {:?}\n", dir.join(name));
    let plain = line("");
    let ways = [
        ("ten limits", line(&limits())),
        ("the journal", line(&state("alone"))),
        ("both", line(&format!("{}{}", limits(), state("both")))),
    ];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut times = vec![Vec::new(); ways.len() + 1];
        for _ in 0..ROUNDS {
            for (times, line) in times.iter_mut().zip(std::iter::once(&plain).chain(ways.iter().map(|(_, line)| line))) {
                times.push(round(line).await);
            }
        }
        let mut medians = times.iter_mut().map(|times| {
            times.sort();
            times[times.len() / 2]
        });
        let alone = medians.next().unwrap();
        println!("an exchange with the embedded provider: {}", micros(alone));
        for ((name, _), median) in ways.iter().zip(medians) {
            println!("{name}: {} more", micros(median.saturating_sub(alone)));
        }
    });
    side_by_side("without", &plain);
    for (name, line) in &ways {
        side_by_side(name, line);
    }
    drop(ways);
    let _may_be_gone = std::fs::remove_dir_all(dir);
}

/// What an exchange takes where two workers have nothing else to do, against one alone: what it is more, they wait for each other
/// (for locks, and for the machine's caches and memory).
fn side_by_side(name: &str, line: &Pipeline) {
    let worker = |line: &Pipeline| {
        let line = line.clone();
        move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(round(&line))
        }
    };
    let mut ratios: Vec<f64> = Vec::new();
    for _ in 0..ROUNDS / 2 {
        let alone = std::thread::spawn(worker(line)).join().unwrap();
        let both = [std::thread::spawn(worker(line)), std::thread::spawn(worker(line))].map(|worker| worker.join().unwrap());
        ratios.push((both[0] + both[1]).as_secs_f64() / 2.0 / alone.as_secs_f64());
    }
    ratios.sort_by(f64::total_cmp);
    println!("{name}, two workers at once: {:.2} times what one alone takes", ratios[ratios.len() / 2]);
}

async fn round(line: &Pipeline) -> Duration {
    let begun = clock::now();
    for _ in 0..REPEATS {
        let request = Request::post("/v1/chat/completions").header("content-type", "application/json").header("x-outrider-user", "ann");
        let response = line.serve(request.body(Full::new(Bytes::from_static(BODY))).unwrap()).await;
        assert_eq!(response.status(), 200);
        black_box(response.into_body().collect().await.is_ok());
    }
    begun.elapsed() / REPEATS
}

const BODY: &[u8] =
    br#"{"model":"echo/echo","max_tokens":50,"messages":[{"role":"user","content":"Where is my parcel 4711, and when will it come?"}]}"#;

/// Limits of all kinds that apply to each request and are never full.
fn limits() -> String {
    let bounds = [
        ("[]", "requests_per_minute = 100_000_000"),
        ("[]", "tokens_per_minute = 1_000_000_000_000"),
        ("[]", "max_concurrent = 1000"),
        ("[]", "budget_usd_per_day = 100000"),
        ("[]", "budget_usd_per_month = 1000000"),
        ("[\"user\"]", "max_concurrent = 1000"),
        ("[\"user\"]", "budget_usd_per_day = 100000"),
        ("[\"team\", \"app\"]", "tokens_per_day = 1_000_000_000_000"),
        ("[\"model\"]", "tokens_per_hour = 1_000_000_000_000"),
        ("[\"user\", \"model\"]", "budget_usd_per_hour = 100000"),
    ];
    bounds.iter().take(LIMITS).enumerate().fold(String::new(), |mut toml, (number, (per, bound))| {
        let _infallible = writeln!(toml, "[[limits]]\nname = \"l{number}\"\nper = {per}\n{bound}");
        toml
    })
}

fn line(toml: &str) -> Pipeline {
    let outside = Outside { env: &|_| None, read: &|_| Err(std::io::ErrorKind::NotFound.into()) };
    let toml = format!("[providers.echo]\nkind = \"echo\"\n{toml}");
    let config = Config::parse(Path::new("bench.toml"), &toml, &outside).unwrap_or_else(|faults| panic!("{faults}")).config;
    let sinks = Sinks { meters: Meters::new(), team: String::new(), app: String::new(), failures: Failures::default() };
    let (wall, chance): (Arc<dyn WallClock>, _) = (Arc::new(SystemClock), RootRng::seeded(1));
    let journal = Journal::open(&config.bootstrap.state, Arc::clone(&wall), &chance);
    let shared = Shared {
        credentials: Credentials::new(Arc::clone(&wall)),
        env: Env { wall, rng: chance },
        snapshot: tokio::sync::watch::Sender::new(Arc::new(Snapshot::new(config.policy, &config.bootstrap.identity))),
        stores: Stores::new(config.bootstrap.bounds, config.bootstrap.identity, journal, sinks),
        drain: Drain::default(),
    };
    Pipeline { shared: Arc::new(shared), upstream: Arc::new(Upstream::new(Connector::Network(Arc::default()), 16)) }
}

fn micros(time: Duration) -> String {
    format!("{:.2} µs", time.as_secs_f64() * 1e6)
}
