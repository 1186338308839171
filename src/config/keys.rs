//! `[[keys]]`: outrider keys, stored as digests.

mod read;

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use super::limits::Limit;
use super::values::matches;

pub(super) use read::keys;

/// What every outrider key begins with: tells it from a provider's key.
pub const KEY_PREFIX: &str = "ork-";

/// One outrider key: whom it stands for, and what it may do. The key itself is not kept anywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// SHA-256 of the key's text.
    pub digest: Digest,
    /// Its name for accounting and messages, unique. Not secret.
    pub name: String,
    /// The team that it stands for, instead of `[identity]`'s.
    pub team: Option<String>,
    /// The app that it stands for, instead of `[identity]`'s.
    pub app: Option<String>,
    /// The end user that it stands for, whatever the caller says.
    pub user: Option<String>,
    /// From this instant on it is not accepted.
    pub expires: Option<SystemTime>,
    /// The models that may be asked for with it, as patterns with `*` for any text. Empty: all.
    pub models: Vec<String>,
    /// A limit of its own.
    pub limit: Option<Arc<Limit>>,
}

impl Key {
    /// Reads an expiry: a date, which is its beginning in UTC, or an instant with its offset. The error says what is wrong.
    pub fn expiry(text: &str) -> Result<SystemTime, String> {
        read::instant(text)
    }

    /// Whether this model, as the caller names it, may be asked for.
    pub fn allows(&self, model: &str) -> bool {
        self.models.is_empty() || self.models.iter().any(|pattern| matches(pattern, model))
    }
}

/// SHA-256 of a key's text. Not secret, yet shown nowhere but where it is configured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Of this text.
    pub fn of(text: &str) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
        Self(digest.as_ref().try_into().unwrap_or_default())
    }
}

impl Digest {
    /// The name of a key that has no other: the first 12 hex digits.
    pub fn name(&self) -> String {
        self.0.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Display for Digest {
    /// As the file has it: `sha256:` and 64 hex digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
