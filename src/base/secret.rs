//! A value that must not be shown: no `Debug`, no `Display`, no `Serialize`.

use std::fmt;
use std::sync::Arc;

/// A credential. Cloning shares it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Wraps a credential; surrounding white space (a file's last newline) is not part of it.
    pub fn new(value: &str) -> Self {
        Self(value.trim().into())
    }

    /// The credential itself: for the header that carries it, and for nothing else.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
