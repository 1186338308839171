//! A value that must not be shown: no `Debug`, no `Display`, no `Serialize`.

use std::fmt;
use std::sync::Arc;

/// A credential. Cloning shares it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    text: Arc<str>,
    /// All that must be hidden where this one may be echoed, itself among them, the longest first.
    all: Option<Arc<[Arc<str>]>>,
}

impl Secret {
    /// Wraps a credential; surrounding white space (a file's last newline) is not part of it.
    pub fn new(value: &str) -> Self {
        Self { text: value.trim().into(), all: None }
    }

    /// The credentials of one provider: whichever goes out, none may be shown.
    pub fn together(secrets: Vec<Self>) -> Vec<Self> {
        if secrets.len() < 2 {
            return secrets;
        }
        let mut texts: Vec<_> = secrets.iter().map(|secret| Arc::clone(&secret.text)).collect();
        // One may be the beginning of another.
        texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
        let all: Arc<[Arc<str>]> = texts.into();
        secrets.into_iter().map(|secret| Self { all: Some(Arc::clone(&all)), ..secret }).collect()
    }

    /// The credential itself: for the header that carries it, and for nothing else.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// What must be removed from whatever the provider echoes.
    pub fn hidden(&self) -> impl Iterator<Item = &str> {
        let all = self.all.as_deref().unwrap_or(std::slice::from_ref(&self.text));
        all.iter().map(|text| &**text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
