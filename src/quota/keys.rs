//! Whom a presented key stands for.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::hint::black_box;
use std::sync::Arc;
use std::time::SystemTime;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};

use crate::base::{Fault, FaultKind};
use crate::config::{Digest, KEY_PREFIX, Key, Policy};

/// Where SDKs put a key, beside `authorization: Bearer`: Anthropic's, Google's, and Azure's of OpenAI.
const KEY_HEADERS: [&str; 3] = ["x-api-key", "x-goog-api-key", "api-key"];

/// The longest key that is looked at: ours are far shorter, and hashing costs time by length.
const KEY_BYTES_MAX: usize = 512;

/// The outrider keys of a policy, found by their digest.
///
/// Only SHA-256 of what is presented is looked up. A keyed hash of that digest, with a key of this process, finds the
/// candidates, and the whole digest is compared without an early end. So the time that it takes depends on what was
/// presented, which whoever presents it knows, and on how many keys share a bucket, which the keyed hash hides; not on
/// how much of a stored digest was right. Even that would not help: who learns a digest still lacks the key.
pub struct Keys {
    required: bool,
    by_digest: HashMap<u64, Vec<Arc<Key>>>,
    hasher: RandomState,
}

/// A key that was presented and is good.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The key.
    pub key: Arc<Key>,
}

/// Why a caller is not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyRefused {
    /// A key is required, and none was presented.
    Missing,
    /// Nobody has this key.
    Unknown,
    /// Its time is over.
    Expired {
        /// The key's name.
        name: String,
        /// Since when.
        since: SystemTime,
    },
    /// It does not allow this model.
    Model {
        /// The key's name.
        name: String,
        /// The model that was asked for.
        model: String,
    },
}

impl Keys {
    /// The keys of this policy; `required`: nobody gets in without one.
    pub fn new(policy: &Policy, required: bool) -> Self {
        let hasher = RandomState::new();
        let mut by_digest: HashMap<u64, Vec<Arc<Key>>> = HashMap::with_capacity(policy.keys.len());
        for key in &policy.keys {
            by_digest.entry(hasher.hash_one(key.digest.0)).or_default().push(Arc::clone(key));
        }
        Self { required, by_digest, hasher }
    }

    /// Whose key these headers carry (`authorization: Bearer`, `x-api-key`, `x-goog-api-key`, `api-key`), or the query (`key`,
    /// as Google's examples have it). Without an outrider key: nobody's, unless one is required. What does not begin as outrider keys do is ignored.
    ///
    /// # Errors
    /// A key is missing, unknown or expired.
    pub fn caller(&self, headers: &HeaderMap, query: Option<&str>, now: SystemTime) -> Result<Option<Caller>, KeyRefused> {
        let Some(presented) = presented(headers, query) else {
            return if self.required { Err(KeyRefused::Missing) } else { Ok(None) };
        };
        let key = self.find(presented).ok_or(KeyRefused::Unknown)?;
        match key.expires {
            Some(since) if since <= now => Err(KeyRefused::Expired { name: key.name.clone(), since }),
            _ => Ok(Some(Caller { key: Arc::clone(key) })),
        }
    }

    fn find(&self, presented: &str) -> Option<&Arc<Key>> {
        if presented.len() > KEY_BYTES_MAX {
            return None;
        }
        let digest = Digest::of(presented);
        let candidates = self.by_digest.get(&self.hasher.hash_one(digest.0))?;
        candidates.iter().find(|key| same(&key.digest, &digest))
    }
}

/// The first outrider key among the headers, else the query's.
fn presented<'h>(headers: &'h HeaderMap, query: Option<&'h str>) -> Option<&'h str> {
    let bearer = headers.get_all(AUTHORIZATION).iter().filter_map(|value| {
        let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(key)
    });
    let own = KEY_HEADERS.iter().flat_map(|name| headers.get_all(*name)).filter_map(text);
    let in_query = query.into_iter().flat_map(|query| query.split('&')).filter_map(|part| part.strip_prefix("key="));
    bearer.chain(own).chain(in_query).map(str::trim).find(|key| key.starts_with(KEY_PREFIX))
}

fn text(value: &HeaderValue) -> Option<&str> {
    value.to_str().ok()
}

/// Compares every byte, wherever the first difference is.
fn same(one: &Digest, other: &Digest) -> bool {
    let difference = one.0.iter().zip(&other.0).fold(0, |difference, (one, other)| black_box(difference | (one ^ other)));
    black_box(difference) == 0
}

impl Caller {
    /// Lets it ask for this model, as it names it.
    ///
    /// # Errors
    /// The key does not allow it.
    pub fn may_ask(&self, model: &str) -> Result<(), KeyRefused> {
        if self.key.allows(model) {
            return Ok(());
        }
        Err(KeyRefused::Model { name: self.key.name.clone(), model: model.to_owned() })
    }
}

impl KeyRefused {
    /// The word for metrics and logs.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Unknown => "unknown",
            Self::Expired { .. } => "expired",
            Self::Model { .. } => "model",
        }
    }

    /// The fault that the caller is told: 401, or 403 for a model.
    pub fn fault(&self) -> Fault {
        let (kind, code, text): (_, _, Cow<'static, str>) = match self {
            Self::Missing => {
                let text = "An outrider key is required: send one as the API key (it begins with \"ork-\"; `outrider key new` makes one)";
                (FaultKind::Unauthenticated, "invalid_api_key", text.into())
            }
            Self::Unknown => {
                let text = "This outrider key is not known here (check that it is whole, and that [[keys]] has its digest)";
                (FaultKind::Unauthenticated, "invalid_api_key", text.into())
            }
            Self::Expired { name, since } => {
                let since = humantime::format_rfc3339_seconds(*since);
                let text = format!("The outrider key {name:?} expired at {since} (ask for a new one)");
                (FaultKind::Unauthenticated, "invalid_api_key", text.into())
            }
            Self::Model { name, model } => {
                let model: String = model.chars().take(SHOWN_MAX).collect();
                let text =
                    format!("The outrider key {name:?} does not allow the model {model:?} (its [[keys]] entry lists those that it does)");
                (FaultKind::Forbidden, "model_not_allowed", text.into())
            }
        };
        let fault = Fault::caller(kind, text).code(code);
        if matches!(self, Self::Model { .. }) { fault.at("model") } else { fault }
    }
}

/// How much of a model's name is told, which may be as long as a request.
const SHOWN_MAX: usize = 100;

#[cfg(test)]
mod tests;
