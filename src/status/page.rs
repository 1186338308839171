//! The state of things as a page, for people.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::view::{self, AliasView, PRICES, TargetView};
use super::{Status, address, limits, words};
use crate::base::clock;
use crate::base::text::grouped;
use crate::config::{Strategy, Target};
use crate::journal::Health;
use crate::policy::Standing;
use crate::policy::budget::Spent;
use crate::policy::choose::TargetSummary;
use crate::policy::health::Report;

/// The page.
pub(super) fn page(status: &Status) -> String {
    let (now, at) = (clock::now(), status.shared.env.wall.now());
    let stores = &status.shared.stores;
    let snapshot = Arc::clone(&status.shared.snapshot.borrow());
    let sinks = &status.shared.stores.sinks;
    let refused = status.config.lock().unwrap_or_else(PoisonError::into_inner).refused.clone();
    let mut facts = vec![
        ("State", status.state().to_owned()),
        ("Up for", humantime::format_duration(status.uptime()).to_string()),
        ("Serves", format!("{} / {}", or_dash(&sinks.team), or_dash(&sinks.app))),
        ("Policy", snapshot.policy.version.clone()),
    ];
    let [(_, exchanges), (_, streams), (_, held)] = status.counts();
    facts.push(("In flight", format!("{exchanges} requests, {streams} of them streams, {} held", bytesize::ByteSize(held))));
    let spent = stores.journal.spent_lately(at);
    facts.push(("Spent", format!("{} today, {} this month (UTC)", words::usd(spent.today), words::usd(spent.this_month))));
    facts.push(("Usage journal", journal(&stores.journal.health())));
    if let Some(why) = refused {
        facts.push(("Last reload", format!("refused: {why}")));
    }
    let mut html = String::with_capacity(4096);
    html.push_str(PAGE_HEAD);
    html.push_str("<dl>");
    for (name, value) in facts {
        html.push_str(&format!("<dt>{name}</dt><dd>{}</dd>", escape(&value)));
    }
    html.push_str("</dl>");
    let providers: Vec<_> = snapshot
        .policy
        .providers
        .iter()
        .map(|p| [p.name.clone(), p.kind.clone(), p.dialect().label().to_owned(), address(&p.place)])
        .collect();
    table(&mut html, "Providers", ["Name", "Kind", "Dialect", "Address"], &providers);
    let aliases = view::aliases(&snapshot, stores, now, at);
    let models: Vec<_> = aliases.iter().map(model).collect();
    table(&mut html, "Models", ["Alias", "Strategy", "Targets", "Retries left", "Retries", "Moved on", "Denied"], &models);
    let shares: Vec<_> = aliases.iter().flat_map(shares).collect();
    table(&mut html, "Who is asked", ["Alias", "Target", "Share of late", "USD for a typical request", "Why"], &shares);
    let targets = view::targets(&snapshot, stores, now, at);
    let doing: Vec<_> = targets.iter().map(health).collect();
    let names = ["Target", "Health", "Failures, 10 s", "Last failure", "First token p50", "p95", "Whole answer p50", "p95"];
    table(&mut html, "Targets", names, &doing);
    let known: Vec<_> = targets.iter().map(known).collect();
    let names = ["Target", "Context", "Output at most", "Input, USD per 1M", "Cached input", "Output"];
    table(&mut html, "Bounds and prices", names, &known);
    let limited = limits::limits(&snapshot, &status.shared);
    let names = ["Limit", "Bounds", "For whom", "Subjects", "Under way", "In line", "Let in"];
    table(&mut html, "Limits", names, &limits::rows(&limited));
    if limited.more > 0 {
        html.push_str(&format!("<p class=\"none\">and {} more, of which less is used</p>", grouped(limited.more as u64)));
    }
    let names = ["Limit", "Who", "Bound", "Used", "Left", "Free again"];
    table(&mut html, "Fullest limits", names, &limits::fullest_rows(&limited));
    let failures: Vec<_> = sinks
        .failures
        .all()
        .iter()
        .rev()
        .map(|f| {
            [
                humantime::format_rfc3339_seconds(f.at).to_string(),
                f.kind.label().to_owned(),
                f.status.map(|s| s.to_string()).unwrap_or_default(),
                f.target.as_deref().unwrap_or_default().to_owned(),
                f.cause.clone().unwrap_or_default(),
                f.id.to_string(),
            ]
        })
        .collect();
    table(&mut html, "Last errors", ["When", "What", "Status", "Target", "Cause", "Request"], &failures);
    html.push_str("<p><a href=\"/metrics\">metrics</a> · <a href=\"/config\">configuration</a> · <a href=\"/status?format=json\">this page as JSON</a></p></main></body></html>");
    html
}

fn journal(health: &Health) -> String {
    let kept = format!("{} records, {}", grouped(health.records), bytesize::ByteSize(health.bytes));
    let state = match (&health.trouble, health.configured) {
        (_, false) => return "none: a restart forgets what was spent ([state] dir is not set)".to_owned(),
        (Some(trouble), true) => format!("counts in memory only: {trouble}; {} exchanges are not written", grouped(health.pending)),
        (None, true) => kept,
    };
    match health.corrupt_files {
        0 => state,
        files => format!("{state}; {files} damaged files were set aside"),
    }
}

fn model(alias: &AliasView<'_>) -> [String; 7] {
    let targets: Vec<_> = alias.model.targets.iter().map(Target::label).collect();
    let between = if alias.model.strategy == Strategy::Ordered { ", then " } else { ", " };
    let count = |count: fn(&Spent) -> u64| alias.retries.map_or_else(dash, |spent| count(&spent).to_string());
    [
        alias.model.name.clone(),
        alias.model.strategy.label().to_owned(),
        targets.join(between),
        alias.retries.map_or_else(dash, |spent| format!("{:.0}", spent.left)),
        count(|spent| spent.charged),
        count(|spent| spent.moved),
        count(|spent| spent.denied),
    ]
}

/// The targets of an alias that has a choice.
fn shares(alias: &AliasView<'_>) -> Vec<[String; 5]> {
    let targets = alias.summary.iter().flat_map(|summary| &summary.targets).zip(&alias.whys).filter(|_| alias.model.targets.len() > 1);
    let row = |(target, why): (&TargetSummary, &String)| {
        let cost = target.cost.map_or_else(dash, |nano| format!("{:.6}", nano as f64 / 1e9));
        [alias.model.name.clone(), target.label.clone(), format!("{:.0} %", target.share * 100.0), cost, why.clone()]
    };
    targets.map(row).collect()
}

fn health(view: &TargetView<'_>) -> [String; 8] {
    let time = |time: Option<Duration>| time.map_or_else(dash, |time| format!("{} ms", time.as_millis()));
    let [first_p50, first_p95, whole_p50, whole_p95] = view.times.map(time);
    let (state, failures, last) = match &view.health {
        None => ("not asked yet".to_owned(), dash(), dash()),
        Some(report) => (in_words(report), format!("{} of {}", report.failures, report.tries), last_fault(report)),
    };
    [view.target.label(), state, failures, last, first_p50, first_p95, whole_p50, whole_p95]
}

fn in_words(report: &Report) -> String {
    let wait = humantime::format_duration(Duration::from_secs(report.wait.as_secs() + 1));
    let state = match report.standing {
        Standing::Well | Standing::Probe => report.state.to_owned(),
        Standing::Returning(share) => format!("{}, {:.0} % of its share", report.state, share * 100.0),
        Standing::Out(_) => format!("{} for {wait}", report.state),
    };
    let resting = report.keys.iter().filter(|key| !key.wait.is_zero()).count();
    match (resting, report.keys.len()) {
        (0, _) | (_, 0 | 1) => state,
        (resting, keys) => format!("{state}; {resting} of {keys} keys rest"),
    }
}

fn last_fault(report: &Report) -> String {
    report
        .last_fault
        .map_or_else(dash, |(kind, since)| format!("{kind}, {} ago", humantime::format_duration(Duration::from_secs(since.as_secs()))))
}

fn known(view: &TargetView<'_>) -> [String; 6] {
    let tokens = |tokens: Option<u32>| tokens.map_or_else(dash, |tokens| tokens.to_string());
    let [input, cached, output] = PRICES.map(|(_, counted)| view.rates.of(counted).map_or_else(dash, |rate| rate.to_string()));
    let facts = &view.target.facts;
    [view.target.label(), tokens(facts.context_tokens), tokens(facts.output_tokens), input, cached, output]
}

fn dash() -> String {
    "–".to_owned()
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "–" } else { text }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn table<const COLUMNS: usize>(html: &mut String, title: &str, names: [&str; COLUMNS], rows: &[[String; COLUMNS]]) {
    html.push_str(&format!("<h2>{title}</h2>"));
    if rows.is_empty() {
        html.push_str("<p class=\"none\">none</p>");
        return;
    }
    html.push_str("<div class=\"scroll\"><table><tr>");
    names.iter().for_each(|name| html.push_str(&format!("<th>{name}</th>")));
    html.push_str("</tr>");
    for row in rows {
        html.push_str("<tr>");
        row.iter().for_each(|cell| html.push_str(&format!("<td>{}</td>", escape(cell))));
        html.push_str("</tr>");
    }
    html.push_str("</table></div>");
}

const PAGE_HEAD: &str = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
<meta http-equiv=\"refresh\" content=\"5\"><title>Outrider</title><style>\
:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;margin:0}main{max-width:72rem;margin:2rem auto;padding:0 1.5rem}\
h1{font-size:1.5rem;margin:0 0 1rem}h2{font-size:1.05rem;margin:2rem 0 .5rem}\
dl{display:grid;grid-template-columns:max-content 1fr;gap:.25rem 1.5rem;margin:0}dt{color:#888}dd{margin:0}\
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.35rem 1rem .35rem 0;border-bottom:1px solid #8884;vertical-align:top}\
th{font-weight:600;color:#888}td{font-variant-numeric:tabular-nums}.none{color:#888;margin:0}</style></head><body><main><h1>Outrider</h1>";
