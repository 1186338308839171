//! Who asks for what: the dimensions of a request, each as a text and as 128 bits of hash.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use crate::ir::Operation;

/// A value of a dimension. Its text is matched against patterns, its digest is what is counted under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label<'a> {
    /// The text, where it is known.
    text: Option<&'a str>,
    digest: u128,
}

impl<'a> Label<'a> {
    /// No value: a subject of its own, as "no user named".
    pub const NONE: Label<'static> = Label { text: Some(""), digest: 0 };

    /// This text, under a keyed hash of this process. An empty one is [`Label::NONE`].
    pub fn new(text: &'a str) -> Self {
        if text.is_empty() { Label::NONE } else { Self { text: Some(text), digest: hash(text) } }
    }

    /// This text under a digest that was made elsewhere: one that was kept, or one that outlives the process.
    pub fn with_digest(text: &'a str, digest: u128) -> Self {
        Self { text: Some(text), digest }
    }

    /// A digest whose text is not known, as of a journal. Every pattern takes it: a limit that is restored counts
    /// rather too much than too little.
    pub fn unknown(digest: u128) -> Label<'static> {
        Label { text: None, digest }
    }

    /// The text; empty where it is not known.
    pub fn text(self) -> &'a str {
        self.text.unwrap_or_default()
    }

    /// The digest, to be kept for [`Label::with_digest`].
    pub fn digest(self) -> u128 {
        self.digest
    }
}

/// Two independent hashes with keys from the system: nobody can choose a name that is counted as another's.
fn hash(text: &str) -> u128 {
    static KEYS: LazyLock<[RandomState; 2]> = LazyLock::new(|| [RandomState::new(), RandomState::new()]);
    let [high, low] = KEYS.each_ref().map(|key| key.hash_one(text));
    u128::from(high) << 64 | u128::from(low)
}

/// One request, as far as limits tell requests apart.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The team.
    pub team: Label<'a>,
    /// The app.
    pub app: Label<'a>,
    /// The end user.
    pub user: Label<'a>,
    /// The outrider key, by its name.
    pub key: Label<'a>,
    /// The model as the caller asks for it.
    pub model: Label<'a>,
    /// `None`: before a target is chosen, when limits that know providers do not count yet. `Some`: at a try, when they
    /// alone count.
    pub provider: Option<Label<'a>>,
    /// The caller's labels.
    pub tags: &'a [Label<'a>],
    /// What is asked for. Counting tokens and listing models count only in limits that name the operation.
    pub operation: Operation,
}
