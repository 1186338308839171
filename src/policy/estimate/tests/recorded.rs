//! Recorded exchanges: after a few reports of a target the upper estimate holds, and is not far above.

use std::collections::BTreeMap;
use std::path::PathBuf;

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

struct Recorded {
    id: String,
    target: String,
    vendor: String,
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
    for (name, by_target) in [("target", true), ("vendor", false)] {
        for (way, read) in [("decoded", true), ("by their bytes", false)] {
            let mut calibrations = BTreeMap::<&str, (Calibration, usize)>::new();
            let (mut first, mut later) = (Tally::default(), Tally::default());
            for exchange in &recorded {
                let key = if by_target { &exchange.target } else { &exchange.vendor };
                let features = if read { &exchange.read } else { &exchange.unread };
                let (calibration, reports) = calibrations.entry(key).or_insert_with(|| (Calibration::of(&exchange.target), 0));
                let (upper, typical) = (calibration.upper(features), calibration.typical(features));
                let tally = if *reports < WARM { &mut first } else { &mut later };
                tally.add(exchange.told, upper, typical);
                if std::env::var_os("SHOW").is_some() && upper < exchange.told {
                    eprintln!(
                        "miss {key} {} #{reports} told {} upper {upper} typical {typical} raw {} {features:?}",
                        exchange.id, exchange.told, features.input_tokens
                    );
                }
                calibration.learn(features, exchange.told);
                *reports += 1;
            }
            eprintln!("{way}, by {name}, the first {WARM} of each: {first}");
            eprintln!("{way}, by {name}, later: {later}");
        }
    }
}

#[derive(Default)]
struct Tally {
    held: usize,
    /// Upper estimate and typical one, to what was told.
    uppers: Vec<f64>,
    typicals: Vec<f64>,
    excess: Vec<f64>,
}

impl Tally {
    fn add(&mut self, told: u64, upper: u64, typical: u64) {
        self.held += usize::from(upper >= told);
        self.uppers.push(upper as f64 / told as f64);
        self.typicals.push(typical as f64 / told as f64);
        self.excess.push(upper as f64 - told as f64);
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
        let three = |numbers: &[f64]| format!("{:.2}/{:.2}/{:.2}", at(numbers, 10), at(numbers, 50), at(numbers, 90));
        let (count, held) = (self.uppers.len(), 100.0 * self.held());
        let (uppers, typicals) = (three(&self.uppers), three(&self.typicals));
        let excess = at(&self.excess, 50);
        write!(
            f,
            "{held:.1} % of {count} held; to what was told, at 10/50/90 %: upper {uppers}, typical {typicals}; upper - told at 50 % {excess}"
        )
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
    paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "json")).filter_map(|path| read(path)).collect()
}

fn read(path: &PathBuf) -> Option<Recorded> {
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
    let model = exchange["request"]["body"]["model"].as_str().unwrap_or_else(in_path).split(':').next()?.to_owned();
    let vendor = exchange["provider"].as_str()?.to_owned();
    let id = exchange["id"].to_string();
    Some(Recorded { id, target: format!("{vendor}/{model}"), vendor, read, unread, told })
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
