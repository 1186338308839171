//! Who asks for what: the dimensions of a request, each as a text and as 128 bits of hash.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use crate::config::{Dimension, Selector};
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

    /// Whether a selector means it.
    pub(super) fn taken_by(self, selector: &Selector) -> bool {
        self.text.is_none_or(|text| selector.takes(text))
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

impl<'a> Ask<'a> {
    /// The values that it has of a dimension: several tags, else one.
    pub(super) fn values(&self, of: Dimension) -> impl Iterator<Item = Label<'a>> {
        let several = if of == Dimension::Tag { self.tags } else { &[] };
        let one = several.is_empty().then(|| self.value(of));
        several.iter().copied().chain(one)
    }

    /// The value that it has of a dimension, tags apart.
    fn value(&self, of: Dimension) -> Label<'a> {
        match of {
            Dimension::Team => self.team,
            Dimension::App => self.app,
            Dimension::User => self.user,
            Dimension::Key => self.key,
            Dimension::Model => self.model,
            Dimension::Provider => self.provider.unwrap_or(Label::NONE),
            Dimension::Tag => Label::NONE,
            Dimension::Operation => Label { text: Some(self.operation.label()), digest: self.operation as u128 + 1 },
        }
    }
}

/// What each dimension of a request adds to the keys of its subjects. A key is the sum over a limit's dimensions, each
/// digest times a number of the dimension's own: digests being random, so are the sums.
pub(super) struct Parts([u128; 8]);

/// Odd numbers, one for each dimension, as they came from a generator.
const WEIGHTS: [u128; 8] = [
    0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835,
    0xbf58_476d_1ce4_e5b9_2545_f491_4f6c_dd1d,
    0x94d0_49bb_1331_11eb_d6e8_feb8_6659_fd93,
    0xc2b2_ae3d_27d4_eb4f_1656_67b1_9e37_79f9,
    0xff51_afd7_ed55_8ccd_8538_ecb5_bd45_6ea3,
    0xc4ce_b9fe_1a85_ec53_a076_1d64_78bd_642f,
    0xe703_7ed1_a0b4_28db_8ebc_6af0_9c88_c6e3,
    0x5899_65cc_7537_4cc3_1d8e_4e27_c47d_124f,
];

/// The number of a limit's own name.
pub(super) const SEED: u128 = 0xeb44_acca_b455_d165_7c01_812c_f721_ad1d;

impl Parts {
    pub(super) fn of(ask: &Ask<'_>) -> Self {
        let mut weights = WEIGHTS.into_iter();
        Self(Dimension::ALL.map(|of| ask.value(of).digest.wrapping_mul(weights.next().unwrap_or(0))))
    }

    /// Of these dimensions, as bits.
    pub(super) fn sum(&self, mut dimensions: u8) -> u128 {
        let mut sum = 0_u128;
        while dimensions != 0 {
            sum = sum.wrapping_add(self.0.get(dimensions.trailing_zeros() as usize).copied().unwrap_or(0));
            dimensions &= dimensions - 1;
        }
        sum
    }

    /// Of the user alone.
    pub(super) fn user(&self) -> u128 {
        self.sum(1 << Dimension::User as u8)
    }

    /// Of one tag.
    pub(super) fn tag(tag: Label<'_>) -> u128 {
        let [.., weight, _] = WEIGHTS;
        tag.digest.wrapping_mul(weight)
    }

    /// The digest from which a user's or tag's part came.
    pub(super) fn digest_of(part: u128, of: Dimension) -> u128 {
        let weight = WEIGHTS.get(of as usize).copied().unwrap_or(1);
        // Newton's iteration for the inverse of an odd number: right in 3 bits at first, in twice as many each time.
        let inverse = (0..6).fold(weight, |x, _| x.wrapping_mul(2_u128.wrapping_sub(weight.wrapping_mul(x))));
        part.wrapping_mul(inverse)
    }
}
