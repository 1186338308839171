//! What the admin listener shows: metrics, the effective configuration, and the state of things, for programs and for people.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::base::clock::{self, Instant};
use crate::base::drain::DrainState;
use crate::base::json;
use crate::config::catalog::price::{Counted, Occasion, Rates};
use crate::config::{Config, Model, Place, Rejected, Target, render};
use crate::pipeline::Shared;
use crate::server::admin::AdminSource;
use crate::server::to_openmetrics;

/// The process's state, as far as it is shown.
pub struct Status {
    shared: Arc<Shared>,
    started: Instant,
    config: Mutex<Shown>,
}

struct Shown {
    config: Config,
    refused: Option<String>,
}

impl Status {
    /// The state of a process that runs by `config`.
    pub fn new(shared: Arc<Shared>, config: Config) -> Self {
        Self { shared, started: clock::now(), config: Mutex::new(Shown { config, refused: None }) }
    }

    /// A new configuration is in force.
    pub fn reloaded(&self, config: Config) {
        *self.config.lock().unwrap_or_else(PoisonError::into_inner) = Shown { config, refused: None };
    }

    /// A new configuration was refused.
    pub fn reload_refused(&self, rejected: &Rejected) {
        self.config.lock().unwrap_or_else(PoisonError::into_inner).refused = Some(rejected.to_string());
    }

    fn uptime(&self) -> Duration {
        Duration::from_secs(clock::now().duration_since(self.started).as_secs())
    }

    fn state(&self) -> &'static str {
        match self.shared.drain.state() {
            DrainState::Serving => "serving",
            DrainState::Draining => "draining",
            DrainState::Cut => "cut",
        }
    }

    fn counts(&self) -> [(&'static str, u64); 3] {
        let stores = &self.shared.stores;
        [
            ("exchanges_open", stores.exchanges.load(Ordering::Relaxed) as u64),
            ("streams_open", stores.streams.load(Ordering::Relaxed) as u64),
            ("held_bytes", stores.held.bytes() as u64),
        ]
    }
}

impl AdminSource for Status {
    fn metrics(&self, openmetrics: bool) -> String {
        let meters = &self.shared.stores.sinks.meters;
        let [(_, exchanges), (_, streams), (_, held)] = self.counts();
        meters.exchanges_open.set(exchanges as f64);
        meters.streams_open.set(streams as f64);
        meters.held_bytes.set(held as f64);
        let text = meters.render();
        if openmetrics { to_openmetrics(&text) } else { text }
    }

    fn config(&self) -> String {
        render(&self.config.lock().unwrap_or_else(PoisonError::into_inner).config)
    }

    fn status_json(&self) -> String {
        let now = self.shared.env.wall.now();
        let snapshot = Arc::clone(&self.shared.snapshot.borrow());
        let refused = self.config.lock().unwrap_or_else(PoisonError::into_inner).refused.clone();
        let sinks = &self.shared.stores.sinks;
        let mut out = Vec::with_capacity(2048);
        json::object(&mut out, |out| {
            out.string("version", env!("CARGO_PKG_VERSION"));
            out.string("state", self.state());
            out.u64("uptime_seconds", self.uptime().as_secs());
            out.object("identity", |out| {
                out.string("team", &sinks.team);
                out.string("app", &sinks.app);
            });
            out.object("policy", |out| {
                out.string("version", &snapshot.policy.version);
                match &refused {
                    Some(why) => out.string("last_reload_refused", why),
                    None => out.null("last_reload_refused"),
                }
            });
            self.counts().into_iter().for_each(|(name, count)| out.u64(name, count));
            out.array("providers", |out| {
                for provider in &snapshot.policy.providers {
                    out.object(|out| {
                        out.string("name", &provider.name);
                        out.string("kind", &provider.kind);
                        out.string("dialect", provider.dialect().label());
                        out.string("address", &address(&provider.place));
                    });
                }
            });
            out.array("models", |out| {
                for model in &snapshot.policy.models {
                    out.object(|out| {
                        out.string("name", &model.name);
                        out.array("targets", |out| model.targets.iter().for_each(|target| out.string(&target.label())));
                    });
                }
            });
            out.array("targets", |out| {
                for target in targets(&snapshot.policy.models) {
                    let rates = ordinary_rates(target, now);
                    out.object(|out| {
                        out.string("name", &target.label());
                        for (name, tokens) in
                            [("context_tokens", target.facts.context_tokens), ("output_tokens", target.facts.output_tokens)]
                        {
                            match tokens {
                                Some(tokens) => out.u64(name, tokens.into()),
                                None => out.null(name),
                            }
                        }
                        for (name, counted) in SHOWN_PRICES {
                            match rates.of(counted) {
                                Some(rate) => out.verbatim(name, &rate.to_string()),
                                None => out.null(name),
                            }
                        }
                    });
                }
            });
            out.array("last_errors", |out| {
                for failure in sinks.failures.all().iter().rev() {
                    out.object(|out| {
                        out.string("at", &humantime::format_rfc3339_seconds(failure.at).to_string());
                        out.string("request_id", &failure.id.to_string());
                        out.string("error_type", failure.kind.label());
                        out.string("target", failure.target.as_deref().unwrap_or_default());
                        out.u64("status", u64::from(failure.status.unwrap_or(0)));
                        out.string("cause", failure.cause.as_deref().unwrap_or_default());
                    });
                }
            });
        });
        String::from_utf8_lossy(&out).into_owned()
    }

    fn status_html(&self) -> String {
        let now = self.shared.env.wall.now();
        let snapshot = Arc::clone(&self.shared.snapshot.borrow());
        let sinks = &self.shared.stores.sinks;
        let refused = self.config.lock().unwrap_or_else(PoisonError::into_inner).refused.clone();
        let mut facts = vec![
            ("State", self.state().to_owned()),
            ("Up for", humantime::format_duration(self.uptime()).to_string()),
            ("Serves", format!("{} / {}", or_dash(&sinks.team), or_dash(&sinks.app))),
            ("Policy", snapshot.policy.version.clone()),
        ];
        let [(_, exchanges), (_, streams), (_, held)] = self.counts();
        facts.push(("In flight", format!("{exchanges} requests, {streams} of them streams, {} held", bytesize::ByteSize(held))));
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
        let models: Vec<_> = snapshot
            .policy
            .models
            .iter()
            .map(|m| {
                let targets: Vec<_> = m.targets.iter().map(Target::label).collect();
                [m.name.clone(), targets.join(", then ")]
            })
            .collect();
        table(&mut html, "Models", ["Alias", "Targets"], &models);
        let known: Vec<_> = targets(&snapshot.policy.models)
            .map(|target| {
                let rates = ordinary_rates(target, now);
                let tokens = |tokens: Option<u32>| tokens.map_or_else(|| "–".to_owned(), |tokens| tokens.to_string());
                let [input, cached, output] =
                    SHOWN_PRICES.map(|(_, counted)| rates.of(counted).map_or_else(|| "–".to_owned(), |rate| rate.to_string()));
                [target.label(), tokens(target.facts.context_tokens), tokens(target.facts.output_tokens), input, cached, output]
            })
            .collect();
        let names = ["Target", "Context", "Output at most", "Input, USD per 1M", "Cached input", "Output"];
        table(&mut html, "Targets", names, &known);
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

    fn ready(&self) -> Result<(), String> {
        match self.shared.drain.state() {
            DrainState::Serving => Ok(()),
            DrainState::Draining | DrainState::Cut => Err("draining".to_owned()),
        }
    }

    fn drain(&self) {
        self.shared.drain.begin();
    }
}

/// The prices that are shown, in USD for a million tokens.
const SHOWN_PRICES: [(&str, Counted); 3] =
    [("input_usd", Counted::Input), ("cached_input_usd", Counted::CachedInput), ("output_usd", Counted::Output)];

/// The targets of the aliases, each once.
fn targets(models: &[Arc<Model>]) -> impl Iterator<Item = &Target> {
    let mut seen = HashSet::new();
    let all = models.iter().flat_map(|model| &model.targets);
    all.filter(move |target| seen.insert((&target.provider.name, &target.model)))
}

/// What an ordinary request costs now.
fn ordinary_rates(target: &Target, now: SystemTime) -> Rates {
    let occasion = Occasion { at: now, input_tokens: 0, service_tier: "" };
    target.facts.prices.rates(&occasion).unwrap_or_default()
}

fn address(place: &Place) -> String {
    match place {
        Place::Echo => "embedded".to_owned(),
        Place::Http(site) => format!("{}{}", site.origin.to_string().trim_end_matches('/'), site.path_prefix),
    }
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
