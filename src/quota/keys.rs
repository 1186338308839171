//! Whom a presented key stands for.

use std::sync::Arc;
use std::time::SystemTime;

use http::HeaderMap;

use crate::base::{Fault, FaultKind};
use crate::config::{Key, Policy};

/// The outrider keys of a policy, found by their digest.
pub struct Keys {
    required: bool,
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
    pub fn new(_policy: &Policy, required: bool) -> Self {
        Self { required }
    }

    /// Whose key these headers carry (`authorization: Bearer`, `x-api-key`, `x-goog-api-key`, `api-key`). Without an
    /// outrider key: nobody's, unless one is required. What does not begin as outrider keys do is ignored.
    ///
    /// # Errors
    /// A key is missing, unknown or expired.
    pub fn caller(&self, _headers: &HeaderMap, _now: SystemTime) -> Result<Option<Caller>, KeyRefused> {
        if self.required { Err(KeyRefused::Missing) } else { Ok(None) }
    }
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
    /// The fault that the caller is told: 401, or 403 for a model.
    pub fn fault(&self) -> Fault {
        Fault::caller(FaultKind::Unauthenticated, "")
    }
}
