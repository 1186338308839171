//! Recorded exchanges: after a few reports of a target the upper estimate holds, and is not far above.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::Value;

use super::super::Calibration;
use crate::base::framing::Framer;
use crate::base::json::Envelope;
use crate::dialect::codec;
use crate::ir::{Dialect, Event, Usage};
use crate::policy::features::Features;

/// So many reports of a target are no more than a beginning.
const WARM: usize = 10;
/// Shorter prompts are mostly what the provider writes around them.
const LONG: u64 = 500;

struct Recorded {
    target: String,
    read: Features,
    unread: Features,
    told: u64,
}

#[test]
#[expect(clippy::print_stderr, reason = "what was skipped or measured is said aloud")]
fn after_a_few_reports_the_upper_estimate_holds() {
    let recorded = recorded();
    if recorded.is_empty() {
        eprintln!("SKIPPED: no recorded traffic (set OUTRIDER_CORPUS)");
        return;
    }
    for (way, read) in [("decoded", true), ("by their bytes", false)] {
        let mut calibrations = BTreeMap::<&str, (Calibration, usize)>::new();
        let (mut first, mut later) = (Tally::default(), Tally::default());
        for exchange in &recorded {
            let features = if read { &exchange.read } else { &exchange.unread };
            let (calibration, reports) = calibrations.entry(&exchange.target).or_insert_with(|| (Calibration::of(&exchange.target), 0));
            let tally = if *reports < WARM { &mut first } else { &mut later };
            tally.add(exchange.told, calibration.upper(features), calibration.typical(features));
            calibration.learn(features, exchange.told);
            *reports += 1;
        }
        eprintln!("{way}, the first {WARM} of each of {} targets: {first}", calibrations.len());
        eprintln!("{way}, later: {later}");
        assert!(later.held() >= 0.97 && first.held() >= 0.95, "{way}");
        assert!((0.8..1.25).contains(&at(&later.typicals, 50)) && at(&later.excess, 50) < 200.0 && at(&later.long, 50) < 2.0, "{way}");
    }
}

#[derive(Default)]
struct Tally {
    held: usize,
    /// Upper estimate and typical one, to what was told.
    uppers: Vec<f64>,
    typicals: Vec<f64>,
    /// What was reserved too much, in tokens.
    excess: Vec<f64>,
    /// Upper estimates of prompts that are not short, to what was told.
    long: Vec<f64>,
}

impl Tally {
    fn add(&mut self, told: u64, upper: u64, typical: u64) {
        self.held += usize::from(upper >= told);
        self.uppers.push(upper as f64 / told as f64);
        self.typicals.push(typical as f64 / told as f64);
        self.excess.push(upper as f64 - told as f64);
        if told >= LONG {
            self.long.push(upper as f64 / told as f64);
        }
    }

    fn held(&self) -> f64 {
        self.held as f64 / self.uppers.len() as f64
    }
}

fn at(numbers: &[f64], percent: usize) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() * percent / 100]
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let three = |numbers: &[f64]| format!("{:.2} {:.2} {:.2}", at(numbers, 10), at(numbers, 50), at(numbers, 90));
        let (held, count) = (100.0 * self.held(), self.uppers.len());
        let (upper, typical, excess) = (three(&self.uppers), three(&self.typicals), three(&self.excess));
        let (long, of) = (three(&self.long), self.long.len());
        write!(f, "{held:.1} % of {count} held; at 10, 50 and 90 %: upper / told {upper}, typical / told {typical}, ")?;
        write!(f, "upper - told {excess}; upper / told of the {of} with {LONG} tokens or more {long}")
    }
}

/// Each recorded exchange that tells its input, in an order that mixes what was recorded together.
fn recorded() -> Vec<Recorded> {
    #[expect(clippy::disallowed_methods, reason = "only tests look for recordings")]
    let root = std::env::var("OUTRIDER_CORPUS").map(PathBuf::from);
    let folder = root.unwrap_or_else(|_| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/traffic")).join("given");
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).filter(|path| !path.ends_with("GROUPS.json")).collect();
    paths.sort_by_key(|path| path.file_stem().map(|name| name.to_string_lossy().chars().rev().collect::<String>()));
    paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "json")).filter_map(read).collect()
}

fn read(path: impl AsRef<Path>) -> Option<Recorded> {
    let exchange: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let dialect = match exchange["api"].as_str()? {
        "chat.completions" => Dialect::OpenAiChat,
        "responses" => Dialect::OpenAiResponses,
        "messages" | "vertex.rawPredict" => Dialect::Anthropic,
        "generateContent" => Dialect::Gemini,
        "converse" => Dialect::Bedrock,
        _ => return None,
    };
    let body = exchange["request"]["body"].to_string();
    let unread = Features::of_bytes(dialect, body.as_bytes(), &Envelope::read(body.as_bytes()).ok()?, false);
    let read = Features::of(&codec(dialect).decode_request(body.as_bytes()).ok()?);
    let told = usage(dialect, &exchange["response"])?.input_tokens.filter(|told| *told > 0)?;
    let path = exchange["request"]["path"].as_str().unwrap_or_default();
    let in_path = || path.split(['/', '?']).skip_while(|piece| !piece.ends_with("models") && *piece != "model").nth(1).unwrap_or_default();
    let model = exchange["request"]["body"]["model"].as_str().unwrap_or_else(in_path).split(':').next()?;
    let vendor = exchange["provider"].as_str()?;
    Some(Recorded { target: format!("{vendor}/{model}"), read, unread, told })
}

fn usage(dialect: Dialect, response: &Value) -> Option<Usage> {
    match (&response["body"], response["body_text"].as_str()) {
        (body @ Value::Object(_), _) => codec(dialect).observe_answer(body.to_string().as_bytes()).ok()?.usage,
        (_, Some(text)) => {
            let (mut decoder, mut usage) = (codec(dialect).stream_decoder(), None);
            let mut framer = Framer::new(codec(dialect).framing(), 16 << 20);
            let mut see = |event: Event<'_>| {
                if let Event::Usage(told) = event {
                    usage = Some(told);
                }
            };
            framer.push(Bytes::copy_from_slice(text.as_bytes()), |frame| drop(decoder.decode(&frame, &mut see))).ok()?;
            usage
        }
        _ => None,
    }
}
