//! Every metric, as a typed function: the one place that spells their names.
//!
//! Names follow the OpenTelemetry GenAI conventions in Prometheus form where one exists. Label values are bounded:
//! model names beyond the first [`MODEL_LABELS_MAX`] are counted under `other`.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::base::FaultKind;
use crate::base::money::NanoUsd;
use crate::ir::{Operation, Usage};

/// How many model names become label values.
const MODEL_LABELS_MAX: usize = 200;

const DURATION: &str = "gen_ai_client_operation_duration_seconds";
const FIRST_TOKEN: &str = "gen_ai_server_time_to_first_token_seconds";
const TOKENS: &str = "gen_ai_client_token_usage";
const REQUESTS: &str = "outrider_requests_total";
const OVERHEAD: &str = "outrider_overhead_seconds";
const ATTEMPTS: &str = "outrider_upstream_attempts_total";
const COST: &str = "outrider_cost_usd_total";
const LIMIT_DECISIONS: &str = "outrider_limit_decisions_total";
const LIMIT_WARNINGS: &str = "outrider_limit_warnings_total";
const LIMIT_USED: &str = "outrider_limit_used_ratio";
const PRICES_UNKNOWN: &str = "outrider_prices_unknown_total";
const BREAKER: &str = "outrider_breaker_state";
const LOSSES: &str = "outrider_translation_losses_total";
const STREAMS: &str = "outrider_streams_open";
const EXCHANGES: &str = "outrider_exchanges_open";
const HELD: &str = "outrider_memory_held_bytes";
const POLICY: &str = "outrider_policy_info";
const RELOADS: &str = "outrider_reloads_total";
const PANICS: &str = "outrider_panics_total";
const OBSERVER: &str = "outrider_observer_faults_total";
const CONNECTIONS_REFUSED: &str = "outrider_connections_refused_total";
const JOURNAL_OK: &str = "outrider_journal_ok";
const JOURNAL_PENDING: &str = "outrider_journal_pending";
const JOURNAL_BYTES: &str = "outrider_journal_bytes";
const JOURNAL_RECORDS: &str = "outrider_journal_records_total";
const JOURNAL_WRITE_ERRORS: &str = "outrider_journal_write_errors_total";
const JOURNAL_STALLS: &str = "outrider_journal_stalls_total";
const JOURNAL_CORRUPT: &str = "outrider_journal_corrupt_files_total";
const JOURNAL_BY_ESTIMATE: &str = "outrider_journal_settled_by_estimate_total";

/// Bounds of the histograms: those that the OpenTelemetry GenAI conventions advise, and microseconds for our own share.
const SECONDS: [f64; 14] = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
const TOKEN_COUNTS: [f64; 14] =
    [1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0, 16384.0, 65536.0, 262_144.0, 1_048_576.0, 4_194_304.0, 16_777_216.0, 67_108_864.0];
const OVERHEAD_SECONDS: [f64; 12] = [0.000_005, 0.000_01, 0.000_02, 0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.02, 0.1];

/// The process's metrics.
pub struct Meters {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    model_labels: Mutex<HashSet<Arc<str>>>,
    /// Streams being relayed.
    pub streams_open: Gauge,
    /// Exchanges in flight.
    pub exchanges_open: Gauge,
    /// Bytes of requests and answers held.
    pub held_bytes: Gauge,
    /// Panics caught in a request.
    pub panics: Counter,
    /// Passed-on answers that our own reader could not follow.
    pub observer_faults: Counter,
    /// Connections refused for the bound.
    pub connections_refused: Counter,
}

const METADATA: Metadata<'static> = Metadata::new("outrider", Level::INFO, None);

impl Default for Meters {
    fn default() -> Self {
        Self::new()
    }
}

impl Meters {
    /// A fresh set, independent of any other in the process.
    pub fn new() -> Self {
        let buckets: [(&str, &[f64]); 4] =
            [(DURATION, &SECONDS), (FIRST_TOKEN, &SECONDS), (TOKENS, &TOKEN_COUNTS), (OVERHEAD, &OVERHEAD_SECONDS)];
        let builder = buckets.into_iter().fold(PrometheusBuilder::new(), |builder, (name, bounds)| {
            // The bounds are constants and not empty: the builder has nothing to refuse.
            builder.set_buckets_for_metric(Matcher::Full(name.into()), bounds).unwrap_or_default()
        });
        let recorder = builder.build_recorder();
        describe(&recorder);
        let plain = |name: &'static str| Key::from_static_name(name);
        Self {
            handle: recorder.handle(),
            streams_open: recorder.register_gauge(&plain(STREAMS), &METADATA),
            exchanges_open: recorder.register_gauge(&plain(EXCHANGES), &METADATA),
            held_bytes: recorder.register_gauge(&plain(HELD), &METADATA),
            panics: recorder.register_counter(&plain(PANICS), &METADATA),
            observer_faults: recorder.register_counter(&plain(OBSERVER), &METADATA),
            connections_refused: recorder.register_counter(&plain(CONNECTIONS_REFUSED), &METADATA),
            model_labels: Mutex::default(),
            recorder,
        }
    }

    /// The Prometheus text.
    pub fn render(&self) -> String {
        in_dollars(&self.handle.render())
    }

    /// Folds what the histograms gathered; to be called every few seconds, since they gather until someone does.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }

    /// The meters of one target under one model name.
    pub fn target(&self, model: &str, provider: &str, provider_kind: &str) -> ExchangeMeters {
        ExchangeMeters {
            model: self.model_label(model),
            provider: provider.into(),
            provider_kind: provider_kind.into(),
            chat: OnceLock::new(),
        }
    }

    fn model_label(&self, model: &str) -> Arc<str> {
        let mut labels = self.model_labels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(label) = labels.get(model) {
            return Arc::clone(label);
        }
        if labels.len() >= MODEL_LABELS_MAX {
            return "other".into();
        }
        let label: Arc<str> = model.into();
        labels.insert(Arc::clone(&label));
        label
    }

    /// An exchange that reached no target is over.
    pub fn refused(&self, operation: Option<Operation>, kind: FaultKind) {
        let labels = vec![
            Label::from_static_parts("operation", operation.map_or("none", Operation::label)),
            Label::from_static_parts("provider", ""),
            Label::from_static_parts("model", ""),
            Label::from_static_parts("outcome", kind.label()),
        ];
        self.count(REQUESTS, labels, 1);
    }

    /// One try upstream is over.
    pub fn attempt(&self, meters: &ExchangeMeters, outcome: &'static str) {
        let labels = vec![
            Label::new("provider", Arc::clone(&meters.provider)),
            Label::new("model", Arc::clone(&meters.model)),
            Label::from_static_parts("outcome", outcome),
        ];
        self.count(ATTEMPTS, labels, 1);
    }

    /// An answer was written with losses.
    pub fn losses(&self, from: &'static str, to: &'static str, count: usize) {
        let labels = vec![Label::from_static_parts("from", from), Label::from_static_parts("to", to)];
        self.count(LOSSES, labels, count as u64);
    }

    /// How a target stands: 0 it is asked, 1 it is not, between them it is being tried or gets a part of its share.
    pub fn breaker(&self, provider: &str, model: &str, state: f64) {
        let labels = vec![Label::new("provider", provider.to_owned()), Label::new("model", model.to_owned())];
        self.recorder.register_gauge(&Key::from_parts(BREAKER, labels), &METADATA).set(state);
    }

    /// An answer of a target was charged by a guess, since its price is not known.
    pub fn price_unknown(&self, meters: &ExchangeMeters) {
        let labels = vec![Label::new("provider", Arc::clone(&meters.provider)), Label::new("model", Arc::clone(&meters.model))];
        self.count(PRICES_UNKNOWN, labels, 1);
    }

    /// A limit has decided something about a request.
    pub fn limit_decision(&self, limit: &str, decision: &'static str) {
        let labels = vec![Label::new("limit", limit.to_owned()), Label::from_static_parts("decision", decision)];
        self.count(LIMIT_DECISIONS, labels, 1);
    }

    /// A limit has let in so many since the process began, of these `queued` after they had stood in its line.
    pub fn limit_admissions(&self, limit: &str, admitted: u64, queued: u64) {
        for (decision, count) in [("admit", Some(admitted)), ("queue", Some(queued).filter(|queued| *queued > 0))] {
            let Some(count) = count else { continue };
            let labels = vec![Label::new("limit", limit.to_owned()), Label::from_static_parts("decision", decision)];
            self.recorder.register_counter(&Key::from_parts(LIMIT_DECISIONS, labels), &METADATA).absolute(count);
        }
    }

    /// The fullest bound of a limit's fullest subject is used to this share.
    pub fn limit_used(&self, limit: &str, share: f64) {
        let labels = vec![Label::new("limit", limit.to_owned())];
        self.recorder.register_gauge(&Key::from_parts(LIMIT_USED, labels), &METADATA).set(share);
    }

    /// How the journal is.
    pub fn journal(&self, is: &JournalMeters) {
        let gauges = [(JOURNAL_OK, u64::from(is.ok)), (JOURNAL_PENDING, is.pending), (JOURNAL_BYTES, is.bytes)];
        for (name, value) in gauges {
            self.recorder.register_gauge(&Key::from_static_name(name), &METADATA).set(value as f64);
        }
        let counters = [
            (JOURNAL_RECORDS, is.records),
            (JOURNAL_WRITE_ERRORS, is.write_errors),
            (JOURNAL_STALLS, is.stalls),
            (JOURNAL_CORRUPT, is.corrupt_files),
            (JOURNAL_BY_ESTIMATE, is.settled_by_estimate),
        ];
        for (name, value) in counters {
            self.recorder.register_counter(&Key::from_static_name(name), &METADATA).absolute(value);
        }
    }

    /// A limit has passed one of its thresholds.
    pub fn limit_warning(&self, limit: &str) {
        self.count(LIMIT_WARNINGS, vec![Label::new("limit", limit.to_owned())], 1);
    }

    /// A policy version is in force.
    pub fn policy(&self, version: &str, before: Option<&str>) {
        let gauge = |version: &str| {
            self.recorder.register_gauge(&Key::from_parts(POLICY, vec![Label::new("version", version.to_owned())]), &METADATA)
        };
        if let Some(before) = before {
            gauge(before).set(0.0);
        }
        gauge(version).set(1.0);
    }

    /// A reload was tried.
    pub fn reload(&self, accepted: bool) {
        self.count(RELOADS, vec![Label::from_static_parts("result", if accepted { "accepted" } else { "refused" })], 1);
    }

    fn count(&self, name: &'static str, labels: Vec<Label>, by: u64) {
        self.recorder.register_counter(&Key::from_parts(name, labels), &METADATA).increment(by);
    }
}

/// The metrics of one target under one model name. The usual outcome's handles are kept, so that counting an exchange
/// costs a few atomic additions and no look-up.
pub struct ExchangeMeters {
    model: Arc<str>,
    provider: Arc<str>,
    provider_kind: Arc<str>,
    chat: OnceLock<Handles>,
}

struct Handles {
    requests: Counter,
    attempts: Counter,
    duration: Histogram,
    first_token: Histogram,
    overhead: Histogram,
    input_tokens: Histogram,
    output_tokens: Histogram,
    cost: Counter,
}

/// What the meters need to know of the journal, counted since the process began.
#[derive(Clone, Copy, Debug, Default)]
pub struct JournalMeters {
    /// Whether records are written.
    pub ok: bool,
    /// Exchanges whose charge is in memory only.
    pub pending: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// Records written.
    pub records: u64,
    /// Times that writing or forcing to the disk failed.
    pub write_errors: u64,
    /// Times that a request did not wait for a disk that does not answer.
    pub stalls: u64,
    /// Files set aside since they were damaged.
    pub corrupt_files: u64,
    /// Exchanges of earlier processes settled at their estimate.
    pub settled_by_estimate: u64,
}

/// What the meters need to know of a finished exchange.
pub(super) struct Outcome<'o> {
    pub(super) operation: Operation,
    pub(super) outcome: &'static str,
    pub(super) failed: bool,
    pub(super) duration: Duration,
    pub(super) first_token: Option<Duration>,
    pub(super) overhead: Option<Duration>,
    pub(super) usage: &'o Usage,
    pub(super) cost: NanoUsd,
}

impl ExchangeMeters {
    /// Counts a good try upstream.
    pub fn attempt_succeeded(&self, meters: &Meters, operation: Operation) {
        match operation {
            Operation::Chat => self.chat_handles(meters).attempts.increment(1),
            _ => meters.attempt(self, "ok"),
        }
    }

    pub(super) fn exchange(&self, meters: &Meters, outcome: &Outcome<'_>) {
        if outcome.operation == Operation::Chat && !outcome.failed {
            self.chat_handles(meters).record(outcome);
        } else {
            self.handles(meters, outcome.operation, outcome.outcome, outcome.failed).record(outcome);
        }
    }

    fn chat_handles(&self, meters: &Meters) -> &Handles {
        self.chat.get_or_init(|| self.handles(meters, Operation::Chat, "complete", false))
    }

    fn handles(&self, meters: &Meters, operation: Operation, outcome: &'static str, failed: bool) -> Handles {
        let recorder = &meters.recorder;
        let own = |extra: Vec<Label>| {
            let mut labels = vec![
                Label::from_static_parts("operation", operation.label()),
                Label::new("provider", Arc::clone(&self.provider)),
                Label::new("model", Arc::clone(&self.model)),
            ];
            labels.extend(extra);
            labels
        };
        let gen_ai = |extra: Vec<Label>| {
            let mut labels = vec![
                Label::from_static_parts("gen_ai_operation_name", operation.label()),
                Label::new("gen_ai_provider_name", Arc::clone(&self.provider_kind)),
                Label::new("gen_ai_request_model", Arc::clone(&self.model)),
            ];
            labels.extend(extra);
            labels
        };
        let error = if failed { vec![Label::from_static_parts("error_type", outcome)] } else { vec![] };
        let attempts = vec![
            Label::new("provider", Arc::clone(&self.provider)),
            Label::new("model", Arc::clone(&self.model)),
            Label::from_static_parts("outcome", "ok"),
        ];
        let histogram = |name, labels| recorder.register_histogram(&Key::from_parts(name, labels), &METADATA);
        let tokens = |kind| histogram(TOKENS, gen_ai(vec![Label::from_static_parts("gen_ai_token_type", kind)]));
        Handles {
            requests: recorder
                .register_counter(&Key::from_parts(REQUESTS, own(vec![Label::from_static_parts("outcome", outcome)])), &METADATA),
            attempts: recorder.register_counter(&Key::from_parts(ATTEMPTS, attempts), &METADATA),
            duration: histogram(DURATION, gen_ai(error)),
            first_token: histogram(FIRST_TOKEN, gen_ai(vec![])),
            overhead: recorder.register_histogram(&Key::from_static_name(OVERHEAD), &METADATA),
            cost: recorder.register_counter(&Key::from_parts(COST, own(vec![])), &METADATA),
            input_tokens: tokens("input"),
            output_tokens: tokens("output"),
        }
    }
}

impl Handles {
    fn record(&self, outcome: &Outcome<'_>) {
        self.requests.increment(1);
        self.cost.increment(outcome.cost.0);
        self.duration.record(outcome.duration.as_secs_f64());
        let seconds = |histogram: &Histogram, time: Option<Duration>| {
            if let Some(time) = time {
                histogram.record(time.as_secs_f64());
            }
        };
        seconds(&self.first_token, outcome.first_token);
        seconds(&self.overhead, outcome.overhead);
        let tokens = |histogram: &Histogram, count: Option<u64>| {
            if let Some(count) = count {
                histogram.record(count as f64);
            }
        };
        tokens(&self.input_tokens, outcome.usage.input_tokens);
        tokens(&self.output_tokens, outcome.usage.output_tokens);
    }
}

/// Counters are whole numbers, so money is counted in nano-dollars and told in dollars, to the last of them.
fn in_dollars(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 64);
    for line in text.split_inclusive('\n') {
        let told = line.strip_prefix(COST).and_then(|rest| {
            let (labels, count) = rest.rsplit_once(' ')?;
            Some((labels, NanoUsd(count.trim_end().parse().ok()?)))
        });
        match told {
            Some((labels, nano)) => out.push_str(&format!("{COST}{labels} {nano}\n")),
            None => out.push_str(line),
        }
    }
    out
}

fn describe(recorder: &PrometheusRecorder) {
    let counters = [
        (REQUESTS, "Exchanges that ended, by outcome."),
        (ATTEMPTS, "Tries at an upstream, by outcome."),
        (COST, "What answers cost, in USD."),
        (LIMIT_DECISIONS, "What limits decided about requests, by limit and decision."),
        (LIMIT_WARNINGS, "Thresholds (warn_at) that limits passed."),
        (PRICES_UNKNOWN, "Answers whose price is not known, so that a pessimistic one was counted."),
        (LOSSES, "Members that a translation could not express."),
        (RELOADS, "Configuration reloads, by result."),
        (PANICS, "Panics caught in a request."),
        (OBSERVER, "Passed-on answers that could not be read for accounting."),
        (CONNECTIONS_REFUSED, "App connections refused because the bound was reached."),
        (JOURNAL_RECORDS, "Records of the journal that were written."),
        (JOURNAL_WRITE_ERRORS, "Times that the journal could not be written or forced to the disk."),
        (JOURNAL_STALLS, "Times that a request did not wait for a disk that does not answer."),
        (JOURNAL_CORRUPT, "Files of the journal set aside since they were damaged."),
        (JOURNAL_BY_ESTIMATE, "Exchanges of earlier processes settled at their estimate."),
    ];
    for (name, text) in counters {
        recorder.describe_counter(name.into(), None, text.into());
    }
    let gauges = [
        (STREAMS, "Streams being relayed."),
        (EXCHANGES, "Exchanges in flight."),
        (HELD, "Bytes of requests and answers held in memory."),
        (POLICY, "The policy version in force."),
        (LIMIT_USED, "The used share of a limit, of its fullest subject and bound."),
        (JOURNAL_OK, "Whether the journal is written: 0 while it counts in memory only."),
        (JOURNAL_PENDING, "Exchanges whose charge is in memory only."),
        (JOURNAL_BYTES, "Bytes of the journal's files."),
        (BREAKER, "Whether a target is left alone: 0 no, 1 yes, between them while it comes back."),
    ];
    for (name, text) in gauges {
        recorder.describe_gauge(name.into(), None, text.into());
    }
    let histograms = [
        (DURATION, "Duration of an exchange as the app sees it."),
        (FIRST_TOKEN, "From the request to the first content."),
        (TOKENS, "Tokens by exchange and type."),
        (OVERHEAD, "Outrider's own share of an exchange's duration."),
    ];
    for (name, text) in histograms {
        recorder.describe_histogram(name.into(), None, text.into());
    }
}
