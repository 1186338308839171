//! From the document to the resolved types: cross-references are followed here, and what cannot work is refused here.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use toml::de::DeTable;

use super::file::{Reading, Table, Text};
use super::load::Rejected;
use super::locate::Finding;
use super::overrides::Overrides;
use super::provider::Providers;
use super::routes;
use super::strategy;
use super::{Bootstrap, Bounds, Config, Identity, Listen, Model, Policy, Target, limits, state, values};

/// The keys of each table.
pub(super) mod keys {
    pub(in super::super) const ROOT: &[&str] =
        &["listen", "identity", "state", "bounds", "providers", "models", "routes", "limits", "keys", "prices", "capabilities"];
    pub(in super::super) const LISTEN: &[&str] = &["app", "unix", "admin", "drain_timeout", "hosts", "origins", "workers"];
    pub(in super::super) const IDENTITY: &[&str] = &["team", "app", "require_key"];
    pub(in super::super) const BOUNDS: &[&str] = &[
        "head_bytes_max",
        "headers_max",
        "body_bytes_max",
        "answer_bytes_max",
        "event_bytes_max",
        "connections_max",
        "exchanges_max",
        "held_bytes_max",
        "idle_connections_max",
        "head_timeout",
        "body_idle_timeout",
    ];
    pub(in super::super) const PROVIDER: &[&str] = &[
        "kind",
        "dialects",
        "api_key",
        "base_url",
        "headers",
        "ca_file",
        "http_version",
        "models",
        "tenant_id",
        "client_id",
        "client_secret",
        "project",
        "location",
        "credentials_file",
        "region",
        "access_key_id",
        "secret_access_key",
        "session_token",
        "profile",
        "role_arn",
        "web_identity_token_file",
    ];
    pub(in super::super) const MODEL: &[&str] = &["name", "targets", "strategy", "latency_target", "retry", "timeout", "hedge", "strict"];
    pub(in super::super) const TARGET: &[&str] = &["provider", "model", "weight"];
    pub(in super::super) const ROUTE: &[&str] = &["name", "when", "use", "deny"];
    pub(in super::super) const WHEN: &[&str] = &[
        "model",
        "operation",
        "stream",
        "min_input_tokens",
        "max_input_tokens",
        "min_messages",
        "max_messages",
        "min_output_tokens",
        "max_output_tokens",
        "min_difficulty",
        "max_difficulty",
        "has_tools",
        "has_images",
        "has_documents",
        "has_audio",
        "has_video",
        "structured_output",
        "reasoning",
        "team",
        "app",
        "user",
        "key",
        "tag",
        "headers",
        "hours",
        "days",
        "utc_offset",
        "percent",
        "sticky",
        "words",
        "pattern",
    ];
    pub(in super::super) const PRICES: &[&str] = &[
        "provider",
        "model",
        "from",
        "tier",
        "above_input_tokens",
        "input_usd",
        "cached_input_usd",
        "cache_write_usd",
        "cache_write_1h_usd",
        "cache_write_12h_usd",
        "output_usd",
        "reasoning_usd",
        "audio_input_usd",
        "cached_audio_input_usd",
        "audio_output_usd",
        "image_input_usd",
        "image_output_usd",
        "video_input_usd",
        "request_usd",
        "search_usd",
    ];
    pub(in super::super) const CAPABILITIES: &[&str] = &[
        "provider",
        "model",
        "same_as",
        "context_tokens",
        "output_tokens",
        "reasoning",
        "tools",
        "parallel_tools",
        "forced_tool",
        "vision",
        "documents",
        "audio_input",
        "audio_output",
        "video_input",
        "structured_output",
        "prompt_cache",
        "sampling",
        "system_in_messages",
    ];
    pub(in super::super) const LIMITS: &[&str] = &[
        "name",
        "when",
        "scope",
        // From here on what a limit has wherever it stands.
        "per",
        // What is bounded.
        "requests_per_minute",
        "tokens_per_minute",
        "max_concurrent",
        "budget_usd_per_hour",
        "budget_usd_per_day",
        "budget_usd_per_month",
        "tokens_per_hour",
        "tokens_per_day",
        "tokens_per_month",
        "time_zone",
        "on_exceed",
        "queue_timeout",
        "queue_max",
        "degrade_to",
        "on_overrun",
        "assume_output_tokens",
        "warn_at",
    ];
    /// What a key's own limit has.
    pub(in super::super) const OWN_LIMIT: &[&str] = LIMITS.split_at(3).1;
    /// What limits bound.
    pub(in super::super) const MOST: &[&str] = LIMITS.split_at(4).1.split_at(9).0;
    pub(in super::super) const KEY: &[&str] = &["digest", "name", "team", "app", "user", "expires", "models", "limits"];
    pub(in super::super) const RETRY: &[&str] = &["attempts", "budget"];
    pub(in super::super) const HEDGE: &[&str] = &["after_p", "max_ratio"];
    pub(in super::super) const TIMEOUT: &[&str] = &["connect", "first_token", "idle", "total"];
}

/// Reads the whole document.
pub(super) fn resolve(reading: Reading<'_>, text: &str) -> Result<(Config, Vec<Finding>), Rejected> {
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        // What a broken text seems to say is not worth judging.
        errors.iter().for_each(|error| reading.syntax(error));
        return Err(reading.finish().err().unwrap_or(Rejected { faults: Vec::new(), warnings: Vec::new() }));
    }
    let root = Table::root(&reading, document.get_ref(), keys::ROOT);
    let bootstrap = Bootstrap {
        listen: listen(&reading, &root),
        identity: identity(&root),
        state: state::read(&reading, &root),
        bounds: bounds(&reading, &root),
    };
    let providers = Providers::read(&reading, &root);
    let overrides = Overrides::read(&reading, &root, &providers);
    let models = models(&reading, &root, &providers, &overrides);
    let limits = limits::limits(&reading, &root, &models);
    let outrider_keys = super::keys::keys(&reading, &root, &models);
    if bootstrap.identity.require_key && outrider_keys.is_empty() {
        let at = root.table("identity", keys::IDENTITY).spot("require_key");
        reading.warn(&at, "nobody gets in: there are no [[keys]] (`outrider key new` makes one)");
    }
    let mut policy = Policy { limits, keys: outrider_keys, ..Policy::new(values::digest(text), providers.resolved, models, overrides) };
    policy.routes = routes::read(&reading, &root, &policy);
    let (watched, warnings) = reading.finish()?;
    Ok((Config { bootstrap, policy, watched }, warnings))
}

fn listen(reading: &Reading<'_>, root: &Table<'_, '_>) -> Listen {
    const WORKERS_MAX: usize = 1024;
    let table = root.table("listen", keys::LISTEN);
    let default = Listen::default();
    let listen = Listen {
        app: address(reading, &table, "app").unwrap_or(default.app),
        unix: table.name("unix").map(|text| PathBuf::from(text.value)),
        admin: address(reading, &table, "admin").unwrap_or(default.admin),
        drain_timeout: table.duration_or_zero("drain_timeout").unwrap_or(default.drain_timeout),
        hosts: checked(reading, &table, "hosts", |host| {
            let bare = !host.contains(['/', '@', ' ', '?', '#']) && (host.starts_with('[') || !host.contains(':'));
            if bare { Ok(()) } else { Err("expected a host name alone, as \"gateway.internal\", without scheme, port or path") }
        }),
        origins: checked(reading, &table, "origins", |origin| {
            let host = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
            let sound = host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '@', ' ', '?', '#', '*']));
            if sound { Ok(()) } else { Err("expected an origin as a browser sends it, as \"https://app.example.com\"") }
        }),
        workers: table.count("workers", 0..=WORKERS_MAX).unwrap_or(default.workers),
    };
    if listen.app == listen.admin && listen.app.port() != 0 {
        let key = if table.has("admin") { "admin" } else { "app" };
        reading.fault(&table.spot(key), format!("app and admin are both {} (give each an address of its own)", listen.app));
    }
    for (key, address) in [("app", listen.app), ("admin", listen.admin)] {
        if !address.ip().is_loopback() {
            let text =
                format!("{address} is open to other machines: whoever reaches it is served (did you mean 127.0.0.1:{}?)", address.port());
            reading.warn(&table.spot(key), text);
        }
    }
    listen
}

fn address(reading: &Reading<'_>, table: &Table<'_, '_>, key: &str) -> Option<SocketAddr> {
    let text = table.text(key)?;
    let address = text.value.parse().map_err(|_| {
        let port = text.value.rsplit(':').next().and_then(|port| port.parse::<u16>().ok());
        let meant = port.map(|port| format!(" (did you mean \"127.0.0.1:{port}\"?)")).unwrap_or_default();
        format!("{:?} is not an address: expected IP:PORT, as \"127.0.0.1:4141\"{meant}", text.value)
    });
    reading.accept(&text.at, address)
}

/// An array of strings of which each passes `check`.
fn checked(reading: &Reading<'_>, table: &Table<'_, '_>, key: &str, check: fn(&str) -> Result<(), &'static str>) -> Vec<String> {
    let names = table.names(key).unwrap_or_default();
    let sound =
        |text: Text| reading.accept(&text.at, check(&text.value).map_err(|why| format!("{:?}: {why}", text.value))).map(|()| text.value);
    names.into_iter().filter_map(sound).collect()
}

fn identity(root: &Table<'_, '_>) -> Identity {
    let table = root.table("identity", keys::IDENTITY);
    Identity {
        team: table.name("team").map(|text| text.value),
        app: table.name("app").map(|text| text.value),
        require_key: table.flag("require_key").unwrap_or_default(),
    }
}

fn bounds(reading: &Reading<'_>, root: &Table<'_, '_>) -> Bounds {
    /// Less does not hold the head of an ordinary request, and the HTTP library refuses it.
    const HEAD_BYTES_MIN: usize = 8 << 10;
    /// More does not fit the HTTP library's header map.
    const HEADERS_LIMIT: usize = 10_000;
    const COUNT_LIMIT: usize = 1_000_000;
    let table = root.table("bounds", keys::BOUNDS);
    let default = Bounds::default();
    let bounds = Bounds {
        head_bytes_max: table.size("head_bytes_max", HEAD_BYTES_MIN).unwrap_or(default.head_bytes_max),
        headers_max: table.count("headers_max", 1..=HEADERS_LIMIT).unwrap_or(default.headers_max),
        body_bytes_max: table.size("body_bytes_max", 1).unwrap_or(default.body_bytes_max),
        answer_bytes_max: table.size("answer_bytes_max", 1).unwrap_or(default.answer_bytes_max),
        event_bytes_max: table.size("event_bytes_max", 1).unwrap_or(default.event_bytes_max),
        connections_max: table.count("connections_max", 1..=COUNT_LIMIT).unwrap_or(default.connections_max),
        exchanges_max: table.count("exchanges_max", 1..=COUNT_LIMIT).unwrap_or(default.exchanges_max),
        held_bytes_max: table.size("held_bytes_max", 1).unwrap_or(default.held_bytes_max),
        idle_connections_max: table.count("idle_connections_max", 0..=COUNT_LIMIT).unwrap_or(default.idle_connections_max),
        head_timeout: table.duration("head_timeout").unwrap_or(default.head_timeout),
        body_idle_timeout: table.duration("body_idle_timeout").unwrap_or(default.body_idle_timeout),
    };
    if bounds.body_bytes_max > bounds.held_bytes_max {
        let key = if table.has("body_bytes_max") { "body_bytes_max" } else { "held_bytes_max" };
        let text = "bodies larger than held_bytes_max are never admitted, although body_bytes_max allows them";
        reading.warn(&table.spot(key), text);
    }
    bounds
}

fn models(reading: &Reading<'_>, root: &Table<'_, '_>, providers: &Providers<'_>, overrides: &Overrides) -> Vec<Arc<Model>> {
    let mut models: Vec<Arc<Model>> = Vec::new();
    let mut names: Vec<(String, String)> = Vec::new();
    for table in root.tables("models", keys::MODEL).unwrap_or_default() {
        let name = model_name(reading, &table);
        if let Some(name) = &name {
            match names.iter().find(|(earlier, _)| *earlier == name.value) {
                Some((_, earlier)) => {
                    reading.fault(&name.at, format!("{earlier} has the name {:?} already (names are unique)", name.value))
                }
                None => names.push((name.value.clone(), table.at.key.clone())),
            }
        }
        let targets = targets(reading, &table, providers, overrides);
        let model = Model {
            name: name.as_ref().map(|name| name.value.clone()).unwrap_or_default(),
            strategy: strategy::strategy(reading, &table, &targets),
            retry: strategy::retry(&table),
            timeout: strategy::timeouts(&table),
            hedge: strategy::hedge(reading, &table, &targets),
            strict: table.flag("strict").unwrap_or_default(),
            targets,
        };
        if name.is_some() {
            models.push(Arc::new(model));
        }
    }
    models
}

fn model_name(reading: &Reading<'_>, table: &Table<'_, '_>) -> Option<Text> {
    const LENGTH_MAX: usize = 256;
    if !table.has("name") {
        reading.fault(&table.spot("name"), "is missing (what callers ask for, as \"fast\")");
        return None;
    }
    let name = table.name("name")?;
    if name.value.len() > LENGTH_MAX || name.value.chars().any(|c| c.is_control() || c.is_whitespace()) {
        reading.fault(&name.at, format!("a model's name has no white space and at most {LENGTH_MAX} bytes"));
        return None;
    }
    Some(name)
}

fn targets(reading: &Reading<'_>, model: &Table<'_, '_>, providers: &Providers<'_>, overrides: &Overrides) -> Vec<Target> {
    let example = "{ provider = \"NAME\", model = \"NAME\" }";
    if !model.has("targets") {
        reading.fault(&model.spot("targets"), format!("is missing (an array of {example})"));
    }
    let tables = model.tables("targets", keys::TARGET);
    // An element that is no table has its own fault already, and is no reason to call the array empty.
    if tables.as_ref().is_some_and(|tables| tables.is_empty()) && model.is_empty_array("targets") {
        reading.fault(&model.spot("targets"), format!("is empty: nobody may answer (add {example})"));
    }
    let target = |table: &Table<'_, '_>| {
        for key in ["provider", "model"].iter().filter(|key| !table.has(key)) {
            reading.fault(&table.spot(key), format!("is missing (expected {example})"));
        }
        let provider = table.name("provider").and_then(|name| providers.find(reading, &name));
        let model = table.name("model")?.value;
        let weight = table.count("weight", 0..=strategy::WEIGHT_MAX).and_then(|weight| u32::try_from(weight).ok()).unwrap_or(1);
        let provider = provider?;
        Some(Target { weight, ..Target::new(provider, model, overrides) })
    };
    tables.unwrap_or_default().iter().filter_map(target).collect()
}
