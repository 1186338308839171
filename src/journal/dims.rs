//! What an exchange's charge is told apart by: who asked, for what, of whom.

use std::fmt;
use std::sync::Arc;

/// The longest text of one dimension, in bytes: callers choose tags, and files of the configuration the rest.
pub const DIM_BYTES_MAX: usize = 128;

/// The longest encoding of dimensions, in bytes.
pub(super) const DIMS_BYTES_MAX: usize = TEXTS * (1 + DIM_BYTES_MAX) + 16;

const TEXTS: usize = 7;

/// An end user, by a keyed hash: the name itself is never written. From [`super::Journal::user`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserHash(pub(super) u64);

impl UserHash {
    /// As limits count it.
    pub fn digest(self) -> u128 {
        self.0.into()
    }
}

impl fmt::Display for UserHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What an exchange is accounted under. An empty text means "none"; one longer than [`DIM_BYTES_MAX`] is cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dims<'a> {
    /// The team.
    pub team: &'a str,
    /// The app.
    pub app: &'a str,
    /// The end user.
    pub user: Option<UserHash>,
    /// The id of the outrider key, never the key.
    pub key: &'a str,
    /// The model as the caller asked for it.
    pub alias: &'a str,
    /// Who answered, or was asked last.
    pub provider: &'a str,
    /// Its model.
    pub model: &'a str,
    /// The caller's own label.
    pub tag: &'a str,
    /// Which prices counted.
    pub price_revision: u64,
}

impl<'a> Dims<'a> {
    /// Where everything goes that has no room of its own.
    pub const OTHER: Dims<'static> = Dims {
        team: "other",
        app: "other",
        user: None,
        key: "other",
        alias: "other",
        provider: "other",
        model: "other",
        tag: "other",
        price_revision: 0,
    };

    /// The same without what callers choose freely.
    pub(super) fn coarse(self) -> Self {
        Self { user: None, key: "other", tag: "other", ..self }
    }

    pub(super) fn encode(&self, out: &mut Encoded) {
        out.length = 0;
        for text in self.texts() {
            let text = &text[..text.floor_char_boundary(DIM_BYTES_MAX)];
            // DIM_BYTES_MAX fits a byte.
            out.push(&[text.len() as u8]);
            out.push(text.as_bytes());
        }
        out.push(&self.user.map_or(0, |user| user.0).to_le_bytes());
        out.push(&self.price_revision.to_le_bytes());
    }

    /// Reads what [`Dims::encode`] wrote; `None` where it is anything else.
    pub(super) fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (mut rest, mut texts) = (bytes, [""; TEXTS]);
        for text in &mut texts {
            let (length, after) = rest.split_first()?;
            let (own, after) = after.split_at_checked(usize::from(*length))?;
            *text = std::str::from_utf8(own).ok()?;
            rest = after;
        }
        let (user, rest) = rest.split_first_chunk()?;
        let (price_revision, rest) = rest.split_first_chunk()?;
        let user = Some(u64::from_le_bytes(*user)).filter(|user| *user != 0).map(UserHash);
        let [team, app, key, alias, provider, model, tag] = texts;
        let dims = Self { team, app, user, key, alias, provider, model, tag, price_revision: u64::from_le_bytes(*price_revision) };
        rest.is_empty().then_some(dims)
    }

    fn texts(&self) -> [&'a str; TEXTS] {
        [self.team, self.app, self.key, self.alias, self.provider, self.model, self.tag]
    }
}

/// Encoded dimensions, on the stack.
pub(super) struct Encoded {
    bytes: [u8; DIMS_BYTES_MAX],
    length: usize,
}

impl Encoded {
    pub(super) fn of(dims: &Dims<'_>) -> Self {
        let mut encoded = Self { bytes: [0; DIMS_BYTES_MAX], length: 0 };
        dims.encode(&mut encoded);
        encoded
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    fn push(&mut self, bytes: &[u8]) {
        if let Some(room) = self.bytes.get_mut(self.length..self.length + bytes.len()) {
            room.copy_from_slice(bytes);
            self.length += bytes.len();
        }
    }
}

/// Owned dimensions; cloning shares them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DimsBuf(Arc<[u8]>);

impl DimsBuf {
    /// Keeps these dimensions.
    pub fn new(dims: &Dims<'_>) -> Self {
        Self(Encoded::of(dims).bytes().into())
    }

    /// What [`Encoded`] has.
    pub(super) fn sound(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// What was encoded, where it is sound.
    pub(super) fn decoded(bytes: &[u8]) -> Option<Self> {
        Dims::decode(bytes).map(|_| Self(bytes.into()))
    }

    /// What is kept.
    pub fn view(&self) -> Dims<'_> {
        Dims::decode(&self.0).unwrap_or(Dims::OTHER)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::borrow::Borrow<[u8]> for DimsBuf {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

/// How an exchange ended, as a status class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StatusClass {
    /// It is not known: the process ended before the exchange did.
    #[default]
    Lost,
    /// 1xx, 2xx and 3xx.
    Success,
    /// 4xx.
    Caller,
    /// 5xx.
    Server,
    /// The caller went away.
    Gone,
}

impl StatusClass {
    /// Every class, in the order of their codes.
    pub const ALL: [Self; 5] = [Self::Lost, Self::Success, Self::Caller, Self::Server, Self::Gone];

    /// The class of an HTTP status.
    pub fn of(status: u16) -> Self {
        match status {
            0..400 => Self::Success,
            400..500 => Self::Caller,
            _ => Self::Server,
        }
    }

    /// Its word in reports.
    pub fn label(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Success => "2xx",
            Self::Caller => "4xx",
            Self::Server => "5xx",
            Self::Gone => "gone",
        }
    }
}

/// What the cache had to do with an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CacheKind {
    /// Nothing: there is none, or it was not asked.
    #[default]
    Bypass,
    /// It had no answer.
    Miss,
    /// It had this very request's answer.
    Hit,
    /// It had the answer of a request that means the same.
    Semantic,
    /// The shared cache had it.
    Shared,
    /// The same request was under way already.
    Joined,
}

impl CacheKind {
    /// Every kind, in the order of their codes.
    pub const ALL: [Self; 6] = [Self::Bypass, Self::Miss, Self::Hit, Self::Semantic, Self::Shared, Self::Joined];

    /// Its word, as in `x-outrider-cache`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Miss => "miss",
            Self::Hit => "hit",
            Self::Semantic => "semantic",
            Self::Shared => "shared",
            Self::Joined => "joined",
        }
    }
}

/// Status class and cache kind in a byte: they are known at an exchange's end only, and so stand apart from [`Dims`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Class(pub(super) u8);

impl Class {
    pub(super) fn new(status: StatusClass, cache: CacheKind) -> Self {
        Self(status as u8 | (cache as u8) << 4)
    }

    pub(super) fn status(self) -> StatusClass {
        StatusClass::ALL.get(usize::from(self.0 & 15)).copied().unwrap_or_default()
    }

    /// Whether it is an error's.
    pub(super) fn failed(self) -> bool {
        self.status() != StatusClass::Success
    }

    pub(super) fn cache(self) -> CacheKind {
        CacheKind::ALL.get(usize::from(self.0 >> 4)).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dimensions_come_back_and_long_ones_are_cut_at_a_character() {
        let long = "é".repeat(DIM_BYTES_MAX);
        let dims = Dims { team: "search", user: Some(UserHash(7)), tag: &long, price_revision: 3, ..Dims::default() };
        let kept = DimsBuf::new(&dims);
        assert_eq!(kept.view(), Dims { tag: &long[..DIM_BYTES_MAX], ..dims });
        assert_eq!(DimsBuf::decoded(kept.bytes()), Some(kept.clone()));
        assert_eq!(DimsBuf::decoded(&kept.bytes()[1..]), None);
        let all = Dims { team: &long, app: &long, key: &long, alias: &long, provider: &long, model: &long, tag: &long, ..dims };
        assert_eq!(Encoded::of(&all).bytes().len(), DIMS_BYTES_MAX);
    }

    #[test]
    fn a_class_is_its_two_halves() {
        for status in StatusClass::ALL {
            for cache in CacheKind::ALL {
                let class = Class::new(status, cache);
                assert_eq!((class.status(), class.cache()), (status, cache));
            }
        }
        assert_eq!([200, 304, 404, 499, 500, 529].map(StatusClass::of).map(StatusClass::label), ["2xx", "2xx", "4xx", "4xx", "5xx", "5xx"]);
    }
}
