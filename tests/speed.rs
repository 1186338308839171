#![allow(clippy::all, clippy::unwrap_used, clippy::print_stderr, clippy::disallowed_methods, missing_docs)]
use outrider::{
    base::{clock, rng::RootRng},
    config::*,
    ir::Usage,
    policy::{choose::*, features::*, latency::Latency, quote::*, *},
};
use std::sync::Arc;
use std::time::*;
fn cpu() -> u64 { std::fs::read_to_string("/proc/thread-self/schedstat").unwrap().split(' ').next().unwrap().parse().unwrap() }
#[test]
fn speed() {
    let models: Vec<String> = include_str!("../src/config/catalog/models.tsv")
        .lines()
        .filter(|l| l.starts_with("openai\t") || l.starts_with("deepseek\t") || l.starts_with("gemini\t"))
        .filter(|l| l.split('\t').nth(2) == Some("chat"))
        .map(|l| l.split('\t').take(2).collect::<Vec<_>>().join("/"))
        .collect();
    for (name, strategy) in [
        ("ordered", Strategy::Ordered),
        ("weighted", Strategy::Weighted),
        ("fastest", Strategy::Fastest),
        ("cheapest", Strategy::Cheapest(vec![])),
        (
            "bounds",
            Strategy::Cheapest(vec![LatencyBound { percentile: 95, moment: Moment::FirstToken, within: Duration::from_millis(800) }]),
        ),
    ] {
        for n in [2usize, 5, 50] {
            let now = clock::now();
            let step = models.len() / n;
            let c = Arc::new(Chooser::new(
                strategy.clone(),
                (0..n)
                    .map(|i| {
                        let m = &models[i * step];
                        let (k, mm) = m.split_once('/').unwrap();
                        Entrant {
                            label: m.clone(),
                            weight: 1 + i as u32,
                            latency: Arc::new(Latency::new(now)),
                            quote: Arc::new(Quote::new(&catalog::facts(k, mm).prices)),
                        }
                    })
                    .collect(),
                None,
                now,
            ));
            let cand: Vec<_> = (0..n).map(|index| Candidate { index, standing: Standing::Well }).collect();
            let asked = Features { input_tokens: 2000, stream: true, session: 5, ..Features::default() };
            let mut rng = RootRng::seeded(3).fork();
            let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_600_800);
            // some history
            for r in 0..2000u64 {
                let i = (r as usize) % n;
                let t = now + Duration::from_millis(r * 10);
                let mut w = c.watch(i, &asked, t);
                let took = Duration::from_millis(if i % 3 == 0 { 1500 } else { 300 } + i as u64);
                w.first_token(t + took);
                w.answered(&Usage { input_tokens: Some(2000), output_tokens: Some(100), ..Usage::default() }, t + took);
            }
            let t0 = now + Duration::from_secs(21);
            // a few under way
            let _ws: Vec<_> = (0..10).map(|_| c.watch(1 % n, &asked, t0)).collect();
            let reps = 200_000u64;
            let mut best = f64::MAX;
            for _ in 0..5 {
                let s = cpu();
                for r in 0..reps / 5 {
                    std::hint::black_box(c.order(&asked, &cand, t0 + Duration::from_micros(r), at, &mut rng));
                }
                best = best.min((cpu()-s) as f64 / (reps / 5) as f64);
            }
            let lat = Latency::new(now);
            lat.observe(asked.class(), Moment::Whole, Duration::from_millis(5), now);
            let s = cpu();
            for r in 0..reps {
                std::hint::black_box(lat.read(asked.class(), Moment::Whole, now + Duration::from_micros(r)));
            }
            let read = (cpu()-s) as f64 / reps as f64;
            let s = cpu();
            for r in 0..reps {
                lat.observe(asked.class(), Moment::Whole, Duration::from_millis(5 + r % 900), now + Duration::from_micros(r));
            }
            let obs = (cpu()-s) as f64 / reps as f64;
            let s = cpu();
            for r in 0..reps {
                let t = t0 + Duration::from_micros(r);
                let mut w = c.watch(1, &asked, t);
                w.first_token(t);
                w.answered(&Usage { input_tokens: Some(2000), output_tokens: Some(100), ..Usage::default() }, t);
            }
            let watch = (cpu()-s) as f64 / reps as f64;
            eprintln!("{name:9} {n:3}: order {best:7.1} ns; read {read:.1} observe {obs:.1} watch whole {watch:.1}");
        }
    }
    for (k, m) in
        [("openai", "gpt-4.1-mini"), ("gemini", "gemini-2.5-pro"), ("deepseek", "deepseek-v4-pro"), ("gemini", "gemini-3.8-flash")]
    {
        let q = Quote::new(&outrider::config::catalog::facts(k, m).prices);
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_600_800);
        let s = cpu();
        for r in 0..1_000_000u64 {
            std::hint::black_box(q.cost(&Expected { input_tokens: r, cached_input_tokens: 3, output_tokens: 7, reasoning_tokens: 1 }, at));
        }
        eprintln!("{k}/{m}: cost {:.1} ns", (cpu()-s) as f64 / 1e6);
    }
}
