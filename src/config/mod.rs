//! The configuration: TOML as typed, then as meant.
//!
//! `file` reads the TOML and knows the place of each value, `resolve` turns it into these types, which cannot express
//! a broken reference. One file has two parts, the bootstrap (this process) and the policy (what to do with traffic);
//! they are apart here too, because the policy may come from elsewhere.

pub mod catalog;
mod credential;
mod file;
mod find;
mod keys;
mod kinds;
mod limits;
mod load;
mod locate;
mod overrides;
mod place;
mod provider;
mod render;
mod resolve;
mod routes;
mod state;
mod strategy;
mod values;

#[cfg(test)]
mod tests;

pub use catalog::Facts;
pub use credential::{Aws, AwsKey, AwsKeys, Credential, Entra, EntraGrant, Google, GoogleSource, ProviderKey};
pub use keys::{Digest, KEY_PREFIX, Key};
pub use limits::{Dimension, Limit, Most, OnExceed, OnOverrun, Selector, Span, Unit, Window};
pub use load::{Loaded, Outside, Rejected};
pub use locate::Finding;
pub use overrides::{CapabilityRow, Overrides, PriceRow, Said, Subject};
pub use render::render;
pub use routes::{Between, Clock, Count, Days, Glob, Holds, Route, Sample, Sticky, Then, When, Who, Words};
pub use state::{OnFull, State, Sync};

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::uri::Scheme;
use http::{HeaderName, HeaderValue, Uri};

use crate::ir::{Dialect, ModelTraits};

/// Everything that one configuration says.
#[derive(Clone, Debug)]
pub struct Config {
    /// This process.
    pub bootstrap: Bootstrap,
    /// What to do with traffic.
    pub policy: Policy,
    /// Files whose change means a reload: the configuration itself and every `file:` value.
    pub watched: Vec<PathBuf>,
}

/// This process: changed by a restart only.
#[derive(Clone, Debug)]
pub struct Bootstrap {
    /// Where it listens.
    pub listen: Listen,
    /// Who it serves.
    pub identity: Identity,
    /// What it keeps on disk.
    pub state: State,
    /// What it may use.
    pub bounds: Bounds,
}

/// Where the process listens.
#[derive(Clone, Debug)]
pub struct Listen {
    /// The app's address. Port 0 is any free one.
    pub app: SocketAddr,
    /// A unix socket for the app, beside the address.
    pub unix: Option<PathBuf>,
    /// The admin address.
    pub admin: SocketAddr,
    /// How long a drain waits for what is in flight.
    pub drain_timeout: Duration,
    /// `Host` names accepted beside the loopback ones.
    pub hosts: Vec<String>,
    /// `Origin` values accepted; none by default, since an app is not a web page.
    pub origins: Vec<String>,
    /// Event loops, each on a thread of its own. 0: one for each core that the cgroup grants.
    pub workers: usize,
}

/// Who this sidecar serves: labels for accounting, which the caller cannot override.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// The team.
    pub team: Option<String>,
    /// The app.
    pub app: Option<String>,
    /// Whether callers must present an outrider key.
    pub require_key: bool,
}

/// Everything has a bound, and the bound has a name with its unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The largest request head.
    pub head_bytes_max: usize,
    /// The most headers in one head.
    pub headers_max: usize,
    /// The largest request body that is read as JSON.
    pub body_bytes_max: usize,
    /// The largest answer that is read whole.
    pub answer_bytes_max: usize,
    /// The largest single event of a stream.
    pub event_bytes_max: usize,
    /// Connections from the app.
    pub connections_max: usize,
    /// Requests in flight, streams included.
    pub exchanges_max: usize,
    /// Request and answer bytes held in memory by all exchanges together. Past it, new requests get 503.
    pub held_bytes_max: usize,
    /// Idle connections kept to one provider, by each worker.
    pub idle_connections_max: usize,
    /// A request head must be complete within this.
    pub head_timeout: Duration,
    /// A request body that stalls for so long is cut.
    pub body_idle_timeout: Duration,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            app: SocketAddr::from(([127, 0, 0, 1], 4141)),
            unix: None,
            admin: SocketAddr::from(([127, 0, 0, 1], 4142)),
            drain_timeout: Duration::from_secs(30),
            hosts: Vec::new(),
            origins: Vec::new(),
            workers: 0,
        }
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            head_bytes_max: 64 << 10,
            headers_max: 100,
            body_bytes_max: 32 << 20,
            answer_bytes_max: 32 << 20,
            event_bytes_max: 4 << 20,
            connections_max: 10_000,
            exchanges_max: 10_000,
            held_bytes_max: 256 << 20,
            idle_connections_max: 512,
            head_timeout: Duration::from_secs(10),
            body_idle_timeout: Duration::from_secs(30),
        }
    }
}

/// What to do with traffic: replaced whole by a reload.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Short digest of the text it came from: told in `x-outrider-policy`.
    pub version: String,
    /// Providers by name, in the order of the file.
    pub providers: Vec<Arc<Provider>>,
    /// Model aliases, in the order of the file.
    pub models: Vec<Arc<Model>>,
    /// Which request goes to which model, whatever it asked for: the first that matches counts.
    pub routes: Vec<Route>,
    /// What it knows of models, beside the catalogue.
    pub overrides: Overrides,
    /// Limits, in the order of the file.
    pub limits: Vec<Arc<Limit>>,
    /// Outrider keys, in the order of the file.
    pub keys: Vec<Arc<Key>>,
    /// The aliases again, by name.
    by_name: HashMap<String, Arc<Model>>,
}

impl Policy {
    /// A policy of these providers and aliases, without rules; of two aliases with one name the first counts.
    pub fn new(version: String, providers: Vec<Arc<Provider>>, models: Vec<Arc<Model>>, overrides: Overrides) -> Self {
        let mut by_name = HashMap::with_capacity(models.len());
        for model in &models {
            by_name.entry(model.name.clone()).or_insert_with(|| Arc::clone(model));
        }
        Self { version, providers, models, routes: Vec::new(), limits: Vec::new(), keys: Vec::new(), overrides, by_name }
    }
}

/// One provider: data, never code.
#[derive(Clone, Debug)]
pub struct Provider {
    /// Its name in the file.
    pub name: String,
    /// What its `kind` was (`openai`, `mistral`, …): the `gen_ai.provider.name`.
    pub kind: String,
    /// What it speaks, where a model of it speaks nothing else: the first is asked by callers of a dialect that is not
    /// among them. Owned where its table lists them, which counts for every model.
    pub dialects: Cow<'static, [Dialect]>,
    /// Where it is.
    pub place: Place,
    /// How its paths are built.
    pub layout: Layout,
    /// How requests to it are authorised: by one of these, or not at all.
    pub keys: Vec<ProviderKey>,
    /// What else its table says of its place and credential, as it may be shown.
    pub told: Vec<(&'static str, String)>,
    /// Headers sent with each request (`anthropic-version`, `openai-organization`).
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Bare model names that this provider claims, as patterns with `*` (`gpt-*`). Empty: none.
    pub claims: Vec<String>,
}

impl Provider {
    /// The dialect that it is asked in where a caller's own does not decide.
    pub fn dialect(&self) -> Dialect {
        self.dialects.first().copied().unwrap_or(Dialect::OpenAiChat)
    }

    /// One of its keys, by its place.
    pub fn key(&self, index: usize) -> &ProviderKey {
        self.keys.get(index).or(self.keys.first()).unwrap_or(&ProviderKey::NONE)
    }
}

/// How the paths of operations are built behind a base URL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// As the dialect says.
    #[default]
    Standard,
    /// Azure's dated API: `/deployments/NAME` before the operations on a model. The deployment is the model's name, or
    /// this one for all.
    AzureDeployments(Option<String>),
    /// Vertex AI: below the publisher of the model.
    Vertex,
}

/// Where a provider is.
#[derive(Clone, Debug)]
pub enum Place {
    /// Over the network.
    Http(Box<Site>),
    /// The embedded provider that answers offline.
    Echo,
}

/// A provider's address and how to talk to it.
#[derive(Clone, Debug)]
pub struct Site {
    /// Scheme, host and port, as `https://api.openai.com:443`.
    pub origin: Uri,
    /// The path before every operation's path (`/v1`), without a trailing slash.
    pub path_prefix: String,
    /// A query that goes with every request (`api-version=…`).
    pub query: Option<String>,
    /// `Host` for it: host and port, without a default port.
    pub host: Option<HeaderValue>,
    /// Root certificates trusted beside the web's, PEM.
    pub ca_pem: Option<Vec<u8>>,
    /// Which HTTP to speak.
    pub http_version: HttpVersion,
    /// Tells sites apart, a digest of origin, CA and HTTP version: connections of one id may stand in for each other.
    pub id: u64,
}

impl Site {
    /// A site, with what is derived from the rest.
    pub fn new(origin: Uri, path_prefix: String, query: Option<String>, ca_pem: Option<Vec<u8>>, http_version: HttpVersion) -> Self {
        let default_port = if origin.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
        let host = match (origin.host(), origin.port_u16()) {
            (Some(host), Some(port)) if port != default_port => HeaderValue::from_str(&format!("{host}:{port}")).ok(),
            (Some(host), _) => HeaderValue::from_str(host).ok(),
            (None, _) => None,
        };
        let mut hasher = std::hash::DefaultHasher::new();
        (&origin, &ca_pem, http_version).hash(&mut hasher);
        Self { id: hasher.finish(), origin, path_prefix, query, host, ca_pem, http_version }
    }
}

/// Which HTTP to speak with a provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum HttpVersion {
    /// As TLS negotiates; HTTP/1.1 without TLS.
    #[default]
    Auto,
    /// HTTP/1.1 only.
    Http1,
    /// HTTP/2 only; without TLS by prior knowledge.
    Http2,
}

/// A model alias.
#[derive(Clone, Debug)]
pub struct Model {
    /// What callers ask for.
    pub name: String,
    /// Who may answer, in order.
    pub targets: Vec<Target>,
    /// Who of them is asked first.
    pub strategy: Strategy,
    /// How often, and how long.
    pub retry: RetryPolicy,
    /// How long to wait for what.
    pub timeout: Timeouts,
    /// Whether and when a second target is asked beside a slow one.
    pub hedge: Option<Hedge>,
    /// Whether a lossy translation is refused.
    pub strict: bool,
}

impl Model {
    /// A model of these targets, with the defaults.
    pub fn of(name: String, targets: Vec<Target>) -> Self {
        Self {
            name,
            targets,
            strategy: Strategy::default(),
            retry: RetryPolicy::default(),
            timeout: Timeouts::default(),
            hedge: None,
            strict: false,
        }
    }
}

/// One provider's model.
#[derive(Clone, Debug)]
pub struct Target {
    /// Who.
    pub provider: Arc<Provider>,
    /// Its name there.
    pub model: String,
    /// What it speaks, the preferred first; never empty.
    pub dialects: Cow<'static, [Dialect]>,
    /// What codecs must know of it.
    pub traits: ModelTraits,
    /// What is known of it: bounds, capabilities, prices.
    pub facts: Facts,
    /// Its share of the traffic beside the alias' other targets, where the strategy is weighted. 0: only when the others fail.
    pub weight: u32,
}

impl Target {
    /// A provider's model, with what the policy knows of it, and else the catalogue.
    pub fn new(provider: Arc<Provider>, model: String, overrides: &Overrides) -> Self {
        let (traits, mut facts) = overrides.known(&provider.name, &provider.kind, &model);
        if let Some((_, location)) = provider.told.iter().find(|(key, _)| *key == "location") {
            facts.prices = facts.prices.at(location, &model);
        }
        // A list of the provider's own is what its author knows of the host.
        let listed = matches!(provider.dialects, Cow::Owned(_));
        let only = catalog::speaks(&provider.kind, overrides.name(&provider.name, &model), facts.mode).filter(|_| !listed);
        let dialects = only.map_or_else(|| provider.dialects.clone(), Cow::Borrowed);
        Self { provider, model, dialects, traits, facts, weight: 1 }
    }

    /// `provider/model`.
    pub fn label(&self) -> String {
        format!("{}/{}", self.provider.name, self.model)
    }

    /// The dialect in which a caller of `caller` is served: its own where the target speaks it.
    pub fn dialect(&self, caller: Dialect) -> Dialect {
        match self.dialects.contains(&caller) {
            true => caller,
            false => self.dialects.first().copied().unwrap_or(Dialect::OpenAiChat),
        }
    }
}

/// Who of an alias' targets is asked first; the others are asked when it fails.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// The first that is well.
    #[default]
    Ordered,
    /// By chance, in proportion to the weights.
    Weighted,
    /// The one whose first token (a stream) or whole answer (else) came soonest of late.
    Fastest,
    /// The one at which this request is expected to cost least; where bounds are given, of those that keep all of them.
    Cheapest(Vec<LatencyBound>),
}

impl Strategy {
    /// Its word in the file.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Ordered => "ordered",
            Self::Weighted => "weighted",
            Self::Fastest => "fastest",
            Self::Cheapest(_) => "cheapest",
        }
    }
}

/// What an answer's time must keep: one entry of `latency_target`, as `p95_first_token = "800ms"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatencyBound {
    /// Which share of the answers, in percent.
    pub percentile: u8,
    /// From the request to what.
    pub moment: Moment,
    /// Within this.
    pub within: Duration,
}

impl std::fmt::Display for LatencyBound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let moment = match self.moment {
            Moment::FirstToken => "first_token",
            Moment::Whole => "total",
        };
        write!(f, "p{}_{moment} = {}", self.percentile, humantime::format_duration(self.within))
    }
}

/// A moment of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Its first content.
    FirstToken,
    /// Its end.
    Whole,
}

/// Asking a second target while the first is slow (Dean and Barroso, "The Tail at Scale", CACM 2013).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hedge {
    /// After this percentile of the first target's times to the first content.
    pub after_percentile: u8,
    /// At most so many more requests upstream, in thousandths of the alias' requests.
    pub ratio_max_permille: u32,
}

/// How often to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// All tries of one exchange, the first included. 1: no retry.
    pub attempts: u32,
    /// At most so many more tries than exchanges, in thousandths, so that an outage is not multiplied.
    pub budget_permille: u32,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempts: 3, budget_permille: 200 }
    }
}

/// How long to wait for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// From the request to the first content of the answer.
    pub first_token: Duration,
    /// Between two pieces of the answer.
    pub idle: Duration,
    /// For the whole exchange.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            first_token: Duration::from_secs(120),
            idle: Duration::from_secs(120),
            total: Duration::from_secs(600),
        }
    }
}
