//! The effective configuration as TOML again: every default visible, every secret redacted.

mod limits;

use std::borrow::Cow;
use std::fmt::Write;

use http::HeaderValue;

use super::catalog::price::date_of;
use super::credential::REDACTED;
use super::provider::secretive;
use super::strategy::LATENCY_KEYS;
use super::values::{show_duration, show_size};
use super::{
    Between, Bounds, CapabilityRow, Clock, Config, Count, Credential, Days, Glob, Holds, HttpVersion, Identity, LatencyBound, Layout,
    Listen, Model, Place, PriceRow, Provider, Route, Site, Sticky, Strategy, Target, Then, When, Who, overrides, state,
};
use crate::ir::{Dialect, ServiceTier};

/// Writes the configuration as a file that says the same, apart from its secrets.
pub fn render(config: &Config) -> String {
    let mut out = Toml(String::new());
    listen(&mut out, &config.bootstrap.listen);
    identity(&mut out, &config.bootstrap.identity);
    state::show(&mut out, &config.bootstrap.state);
    bounds(&mut out, &config.bootstrap.bounds);
    config.policy.providers.iter().for_each(|each| provider(&mut out, each));
    config.policy.models.iter().for_each(|each| model(&mut out, each));
    config.policy.routes.iter().for_each(|each| route(&mut out, each));
    config.policy.limits.iter().for_each(|each| limits::limit(&mut out, each));
    config.policy.keys.iter().for_each(|each| limits::key(&mut out, each));
    config.policy.overrides.prices.iter().for_each(|each| price(&mut out, each));
    config.policy.overrides.capabilities.iter().for_each(|each| capability(&mut out, each));
    out.0
}

fn listen(out: &mut Toml, listen: &Listen) {
    out.header("[listen]");
    out.text("app", &listen.app.to_string());
    match &listen.unix {
        Some(path) => out.text("unix", &path.display().to_string()),
        None => out.none("unix"),
    }
    out.text("admin", &listen.admin.to_string());
    out.text("drain_timeout", &show_duration(listen.drain_timeout));
    out.raw("hosts", &texts(&listen.hosts));
    out.raw("origins", &texts(&listen.origins));
    out.raw("workers", &listen.workers.to_string());
}

fn identity(out: &mut Toml, identity: &Identity) {
    out.header("[identity]");
    for (key, value) in [("team", &identity.team), ("app", &identity.app)] {
        match value {
            Some(value) => out.text(key, value),
            None => out.none(key),
        }
    }
    out.raw("require_key", if identity.require_key { "true" } else { "false" });
}

fn bounds(out: &mut Toml, bounds: &Bounds) {
    out.header("[bounds]");
    out.text("head_bytes_max", &show_size(bounds.head_bytes_max));
    out.raw("headers_max", &bounds.headers_max.to_string());
    out.text("body_bytes_max", &show_size(bounds.body_bytes_max));
    out.text("answer_bytes_max", &show_size(bounds.answer_bytes_max));
    out.text("event_bytes_max", &show_size(bounds.event_bytes_max));
    out.raw("connections_max", &bounds.connections_max.to_string());
    out.raw("exchanges_max", &bounds.exchanges_max.to_string());
    out.text("held_bytes_max", &show_size(bounds.held_bytes_max));
    out.raw("idle_connections_max", &bounds.idle_connections_max.to_string());
    out.text("head_timeout", &show_duration(bounds.head_timeout));
    out.text("body_idle_timeout", &show_duration(bounds.body_idle_timeout));
}

fn provider(out: &mut Toml, provider: &Provider) {
    // A name with a dot would be two keys.
    let name = if provider.name.contains('.') { literal(&provider.name) } else { provider.name.clone() };
    out.header(&format!("[providers.{name}]"));
    out.text("kind", &provider.kind);
    if let Place::Http(at) = &provider.place {
        match &provider.dialects {
            Cow::Owned(listed) => out.raw("dialects", &format!("[{}]", dialects(listed))),
            Cow::Borrowed(usual) => out.line(format_args!("# dialects, by its kind: {}", dialects(usual))),
        }
        match &provider.key(0).credential {
            Credential::Header(..) if provider.keys.len() > 1 => {
                out.raw("api_key", &texts(vec![REDACTED.to_owned(); provider.keys.len()].as_slice()))
            }
            Credential::Header(..) => out.text("api_key", REDACTED),
            Credential::None => out.none("api_key"),
            other => out.line(format_args!("# api_key: none, but {}", other.label())),
        }
        provider.told.iter().for_each(|(key, value)| out.text(key, value));
        let deployment = match &provider.layout {
            Layout::AzureDeployments(Some(name)) => format!("/deployments/{name}"),
            _ => String::new(),
        };
        site(out, at, &deployment);
        let headers: Vec<_> =
            provider.headers.iter().map(|(name, value)| format!("{} = {}", literal(name.as_str()), header(value))).collect();
        out.raw("headers", &if headers.is_empty() { "{}".into() } else { format!("{{ {} }}", headers.join(", ")) });
    }
    out.raw("models", &texts(&provider.claims));
}

fn dialects(dialects: &[Dialect]) -> String {
    dialects.iter().map(|dialect| literal(dialect.label())).collect::<Vec<_>>().join(", ")
}

fn site(out: &mut Toml, site: &Site, deployment: &str) {
    let usual = if site.origin.scheme_str() == Some("http") { ":80" } else { ":443" };
    let origin = site.origin.to_string();
    let origin = origin.trim_end_matches('/');
    let origin = origin.strip_suffix(usual).unwrap_or(origin);
    let query = site.query.as_deref().map(|query| format!("?{}", redact_query(query))).unwrap_or_default();
    out.text("base_url", &format!("{origin}{}{deployment}{query}", site.path_prefix));
    match &site.ca_pem {
        Some(pem) => out.text("ca_file", &String::from_utf8_lossy(pem)),
        None => out.none("ca_file"),
    }
    let version = match site.http_version {
        HttpVersion::Auto => "auto",
        HttpVersion::Http1 => "1.1",
        HttpVersion::Http2 => "2",
    };
    out.text("http_version", version);
}

fn header(value: &HeaderValue) -> String {
    match value.to_str() {
        Ok(text) if !value.is_sensitive() => literal(text),
        _ => literal(REDACTED),
    }
}

fn redact_query(query: &str) -> String {
    let pair = |pair: &str| match pair.split_once('=') {
        Some((name, _)) if secretive(name) => format!("{name}=redacted"),
        _ => pair.to_owned(),
    };
    query.split('&').map(pair).collect::<Vec<_>>().join("&")
}

fn model(out: &mut Toml, model: &Model) {
    out.header("[[models]]");
    out.text("name", &model.name);
    let target = |each: &Target| {
        format!("  {{ provider = {}, model = {}, weight = {} }},\n", literal(&each.provider.name), literal(&each.model), each.weight)
    };
    let targets: String = model.targets.iter().map(target).collect();
    out.raw("targets", &format!("[\n{targets}]"));
    out.text("strategy", model.strategy.label());
    match &model.strategy {
        Strategy::Cheapest(bounds) if !bounds.is_empty() => out.raw("latency_target", &latency_target(bounds)),
        _ => out.none("latency_target"),
    }
    out.raw("retry", &format!("{{ attempts = {}, budget = {} }}", model.retry.attempts, share(model.retry.budget_permille)));
    match model.hedge {
        Some(hedge) => {
            out.raw("hedge", &format!("{{ after_p = {}, max_ratio = {} }}", hedge.after_percentile, share(hedge.ratio_max_permille)))
        }
        None => out.none("hedge"),
    }
    let timeout = [
        ("connect", model.timeout.connect),
        ("first_token", model.timeout.first_token),
        ("idle", model.timeout.idle),
        ("total", model.timeout.total),
    ];
    let timeout = timeout.map(|(key, duration)| format!("{key} = {}", literal(&show_duration(duration))));
    out.raw("timeout", &format!("{{ {} }}", timeout.join(", ")));
    out.raw("strict", if model.strict { "true" } else { "false" });
}

fn latency_target(bounds: &[LatencyBound]) -> String {
    let key = |bound: &LatencyBound| {
        let found = LATENCY_KEYS.iter().find(|(_, percentile, moment)| (*percentile, *moment) == (bound.percentile, bound.moment));
        found.map_or("", |(key, ..)| key)
    };
    let bounds: Vec<_> = bounds.iter().map(|bound| format!("{} = {}", key(bound), literal(&show_duration(bound.within)))).collect();
    format!("{{ {} }}", bounds.join(", "))
}

/// Thousandths, as a share from 0 to 1.
fn share(permille: u32) -> String {
    format!("{:?}", f64::from(permille) / 1000.0)
}

fn route(out: &mut Toml, route: &Route) {
    out.header("[[routes]]");
    match &route.name {
        Some(name) => out.text("name", name),
        None => out.none("name"),
    }
    match &route.then {
        Then::Use(model) => out.text("use", model),
        Then::Deny(message) => out.text("deny", message),
    }
    if route.when.says_nothing() {
        return out.raw("when", "{}");
    }
    out.line(format_args!("[routes.when]"));
    let When { model, operations, stream, counts, holds, who, headers, time, sample, words, pattern } = &route.when;
    let globs = |globs: &[Glob]| texts(globs.iter().map(Glob::as_str));
    if !model.is_empty() {
        out.raw("model", &globs(model));
    }
    if !operations.is_empty() {
        out.raw("operation", &texts(operations.iter().map(|operation| operation.label())));
    }
    if let Some(stream) = stream {
        out.raw("stream", &stream.to_string());
    }
    for (count, between) in counts {
        between_bounds(out, *count, *between);
    }
    for (key, wanted) in holds.iter().flat_map(|(own, wanted)| key_of(*own, &Holds::ALL).map(|key| (key, wanted))) {
        out.raw(key, &wanted.to_string());
    }
    for (key, patterns) in who.iter().flat_map(|(own, patterns)| key_of(*own, &Who::ALL).map(|key| (key, patterns))) {
        out.raw(key, &globs(patterns));
    }
    if !headers.is_empty() {
        let headers: Vec<_> =
            headers.iter().map(|(name, glob)| format!("{} = {}", literal(name.as_str()), literal(glob.as_str()))).collect();
        out.raw("headers", &format!("{{ {} }}", headers.join(", ")));
    }
    if let Some(time) = time {
        clock(out, time);
    }
    if let Some(sample) = sample {
        out.raw("percent", &format!("{:?}", f64::from(sample.ppm) / 10_000.0));
        key_of(sample.sticky, &Sticky::ALL).iter().for_each(|word| out.text("sticky", word));
    }
    if let Some(words) = words {
        out.raw("words", &texts(&words.list));
    }
    if let Some(pattern) = pattern {
        out.text("pattern", pattern.as_str());
    }
}

fn key_of<T: PartialEq>(own: T, all: &[(T, &'static str)]) -> Option<&'static str> {
    all.iter().find(|(each, _)| *each == own).map(|(_, key)| *key)
}

fn between_bounds(out: &mut Toml, count: Count, between: Between) {
    let show = |bound: u64| match count {
        Count::Difficulty => share(u32::try_from(bound).unwrap_or(u32::MAX)),
        Count::InputTokens | Count::Messages | Count::OutputTokens => bound.to_string(),
    };
    for (_, min, max) in Count::ALL.iter().filter(|(each, ..)| *each == count) {
        for (key, bound) in [(min, between.min), (max, between.max)] {
            if let Some(bound) = bound {
                out.raw(key, &show(bound));
            }
        }
    }
}

fn clock(out: &mut Toml, clock: &Clock) {
    let time = |minutes: u16| format!("{:02}:{:02}", minutes / 60, minutes % 60);
    out.text("hours", &format!("{}-{}", time(clock.from), time(clock.until)));
    let days: Vec<_> = Days::WORDS.iter().enumerate().filter(|(day, _)| clock.days.has(*day)).map(|(_, word)| *word).collect();
    out.raw("days", &texts(&days));
    let sign = if clock.offset_minutes < 0 { '-' } else { '+' };
    out.text("utc_offset", &format!("{sign}{}", time(clock.offset_minutes.unsigned_abs())));
}

fn price(out: &mut Toml, row: &PriceRow) {
    out.header("[[prices]]");
    out.text("provider", &row.of.provider);
    out.text("model", &row.of.model);
    match row.rule.from {
        Some(day) => out.raw("from", &date_of(day)),
        None => out.line(format_args!("# from: the beginning")),
    }
    match ServiceTier::PRICED.iter().find(|(_, tier)| Some(*tier) == row.rule.tier) {
        Some((word, _)) => out.text("tier", word),
        None => out.line(format_args!("# tier: every one")),
    }
    match row.rule.above_input_tokens {
        Some(tokens) => out.raw("above_input_tokens", &tokens.to_string()),
        None => out.line(format_args!("# above_input_tokens: prompts of any length")),
    }
    for (key, counted) in overrides::PRICES {
        match row.rule.rates.own(*counted) {
            Some(rate) if !counted.is_tokens() => out.raw(key, &rate.of_each().to_string()),
            Some(rate) => out.raw(key, &rate.to_string()),
            None => out.listed(key),
        }
    }
}

fn capability(out: &mut Toml, row: &CapabilityRow) {
    out.header("[[capabilities]]");
    out.text("provider", &row.of.provider);
    out.text("model", &row.of.model);
    match &row.said.same_as {
        Some(name) => out.text("same_as", name),
        None => out.none("same_as"),
    }
    for (key, tokens) in [("context_tokens", row.said.context_tokens), ("output_tokens", row.said.output_tokens)] {
        match tokens {
            Some(tokens) => out.raw(key, &tokens.to_string()),
            None => out.listed(key),
        }
    }
    match overrides::REASONING.iter().find(|(_, thinking)| Some(*thinking) == row.said.reasoning) {
        Some((word, _)) => out.text("reasoning", word),
        None => out.listed("reasoning"),
    }
    for (key, capability) in overrides::SWITCHES {
        match (row.said.can.has(*capability), row.said.cannot.has(*capability)) {
            (true, _) => out.raw(key, "true"),
            (false, true) => out.raw(key, "false"),
            (false, false) => out.listed(key),
        }
    }
}

/// TOML as it is written, line by line.
pub(super) struct Toml(String);

impl Toml {
    pub(super) fn header(&mut self, header: &str) {
        let gap = if self.0.is_empty() { "" } else { "\n" };
        self.line(format_args!("{gap}{header}"));
    }

    pub(super) fn text(&mut self, key: &str, value: &str) {
        self.raw(key, &literal(value));
    }

    fn raw(&mut self, key: &str, value: &str) {
        self.line(format_args!("{key} = {value}"));
    }

    pub(super) fn none(&mut self, key: &str) {
        self.line(format_args!("# {key}: none"));
    }

    /// A key for which the catalogue answers.
    fn listed(&mut self, key: &str) {
        self.line(format_args!("# {key}: as the catalogue has it"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _infallible = writeln!(self.0, "{line}").is_ok();
    }
}

fn literal(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn texts<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> String {
    let texts: Vec<_> = texts.into_iter().map(|text| literal(text.as_ref())).collect();
    format!("[{}]", texts.join(", "))
}
