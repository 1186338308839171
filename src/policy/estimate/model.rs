//! A line through what was reported: so many tokens for each estimated token of each kind of content, and so many for what a
//! provider writes around any prompt, around tools and schemas, for what it holds and for what its own tools find.
//!
//! The line is a Kalman filter's with all covariances left out, so that each part has a value, a doubt of it and a noise, and an
//! error is put down to the parts that could have caused it. It begins at a belief, whose doubt keeps the first upper estimates
//! safe, and never ends to doubt, so that it follows a model that becomes another one. How many deviations make an upper
//! estimate is found as in adaptive conformal inference (Gibbs and Candès, NeurIPS 2021): a miss adds 99 times what a hit takes
//! off, so that one in a hundred misses, whatever the errors' distribution.

use crate::policy::features::Content;

/// Parts of a prompt: the kinds of content, what stands around it, and what of it only the provider sees ([`Unseen`]).
const PARTS: usize = Content::ALL.len() + 6;

/// What a provider adds that is not in the request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Unseen {
    /// How to use tools, where some are on offer.
    pub(super) tools: bool,
    /// How to write by a schema.
    pub(super) schema: bool,
    /// Reasoning that is sent back and that only it can read: so many pieces.
    pub(super) sealed: u32,
    /// What it holds of the prompt: a stored conversation, a cache with a name.
    pub(super) held: bool,
    /// What tools of its own find.
    pub(super) found: bool,
}

/// What is believed of a part before anything is told.
struct Belief {
    /// Tokens for each estimated one.
    ratio: f64,
    /// How far off that may be, for a target.
    spread: f64,
    /// How far off a target's requests are from each other.
    noise: f64,
    /// What can be; beyond it no report leads. A token has a byte or more, and no part of text has more than four and a half
    /// bytes for each token that was estimated.
    least: f64,
    most: f64,
}

const TEXT: Belief = Belief { ratio: 0.95, spread: 0.2, noise: 0.12, least: 0.2, most: 4.5 };
/// Media are guessed by their bytes, and small models count images thirty times.
const MEDIA: Belief = Belief { ratio: 1.0, spread: 0.6, noise: 0.4, least: 0.02, most: 40.0 };

/// In the order of [`Content::ALL`].
const BELIEFS: [Belief; PARTS] = [
    TEXT,
    Belief { ratio: 1.1, ..TEXT },
    Belief { spread: 0.35, noise: 0.2, ..TEXT },
    Belief { ratio: 0.8, spread: 0.3, noise: 0.2, ..TEXT },
    MEDIA,
    MEDIA,
    MEDIA,
    MEDIA,
    // Around any prompt: gpt-oss has 70, Grok 130 and more.
    Belief { ratio: 10.0, spread: 30.0, noise: 6.0, least: 0.0, most: 20_000.0 },
    // Sealed reasoning is counted as it was when it could be read.
    Belief { ratio: 100.0, spread: 200.0, noise: 100.0, least: 0.0, most: 100_000.0 },
    // How to use tools: Claude is told so in 350 to 700 tokens, most others in few.
    Belief { ratio: 80.0, spread: 200.0, noise: 20.0, least: 0.0, most: 20_000.0 },
    // How to write by a schema: up to 600.
    Belief { ratio: 40.0, spread: 200.0, noise: 20.0, least: 0.0, most: 20_000.0 },
    Belief { ratio: 5_000.0, spread: 12_000.0, noise: 8_000.0, least: 0.0, most: 1_000_000.0 },
    // What tools find is read once more, for each search.
    Belief { ratio: 4_000.0, spread: 8_000.0, noise: 6_000.0, least: 0.0, most: 500_000.0 },
];

/// Of a hundred requests so many may exceed their upper estimate.
const MISSES: f64 = 0.01;
/// How much a miss moves the number of deviations.
const STEP: f64 = 0.5;
/// Deviations of an upper estimate: at first, at least, at most.
const REACH: (f64, f64, f64) = (3.5, 1.5, 8.0);
/// An error of more deviations counts as one of so many.
const ERROR_MAX: f64 = 4.0;
/// After so many reports a doubt is back where it began.
const DOUBT_RETURNS: f64 = 5_000.0;
/// How much of the mean of errors the latest is.
const BIAS_RATE: f64 = 0.2;
/// How much of an error's surprise goes into the noise.
const NOISE_RATE: f64 = 0.1;
/// The least noise, as a share of that which was believed.
const NOISE_LEAST: f64 = 0.1;

/// How much of each part a prompt has.
pub(super) struct Amounts([f64; PARTS]);

impl Amounts {
    /// Of these tokens of each kind of content, so many more of text, and what cannot be seen.
    pub(super) fn new(kinds: [u64; Content::ALL.len()], text: u64, unseen: Unseen) -> Self {
        let [first, rest @ ..] = kinds;
        let flags = [unseen.tools, unseen.schema, unseen.held, unseen.found].map(u64::from);
        let around = [1, u64::from(unseen.sealed)].into_iter().chain(flags);
        let all = std::iter::once(first.saturating_add(text)).chain(rest).chain(around);
        let mut amounts = [0.0; PARTS];
        // Beyond this nothing that is sent goes, and squares stay numbers.
        const MOST: u64 = 1 << 40;
        amounts.iter_mut().zip(all).for_each(|(amount, tokens)| *amount = tokens.min(MOST) as f64);
        Self(amounts)
    }

    /// The least and the most tokens that it can be.
    fn range(&self) -> (f64, f64) {
        let sum = |of: fn(&Belief) -> f64| self.0.iter().zip(&BELIEFS).map(|(amount, belief)| amount * of(belief)).sum::<f64>();
        let least = sum(|belief| belief.least).max(1.0);
        (least, sum(|belief| belief.most).max(least))
    }
}

/// The line, and how far off reports were.
#[derive(Clone, Debug)]
pub(super) struct Model {
    parts: [Part; PARTS],
    /// Deviations to the upper estimate.
    reach: f64,
    /// The mean of the latest errors, in deviations: far from 0 where the line is no longer that of the model.
    bias: f64,
}

/// One part.
#[derive(Clone, Copy, Debug, Default)]
struct Part {
    /// Tokens for each estimated one.
    ratio: f64,
    /// The variance of what is believed of the ratio.
    doubt: f64,
    /// The variance of the ratio from request to request.
    noise: f64,
}

impl Default for Model {
    fn default() -> Self {
        let part = |belief: &Belief| Part { ratio: belief.ratio, doubt: belief.spread.powi(2), noise: belief.noise.powi(2) };
        Self { parts: BELIEFS.each_ref().map(part), reach: REACH.0, bias: 0.0 }
    }
}

impl Model {
    /// What half of such prompts exceed.
    pub(super) fn typical(&self, amounts: &Amounts) -> u64 {
        let (least, most) = amounts.range();
        self.mean(amounts).clamp(least, most).ceil() as u64
    }

    /// What one in a hundred such prompts exceeds.
    pub(super) fn upper(&self, amounts: &Amounts) -> u64 {
        let (least, most) = amounts.range();
        (self.mean(amounts) + self.reach * self.variance(amounts).sqrt()).clamp(least, most).ceil() as u64
    }

    /// A prompt had so many tokens.
    pub(super) fn learn(&mut self, amounts: &Amounts, told: u64) {
        let (least, most) = amounts.range();
        let variance = self.variance(amounts);
        let deviation = variance.sqrt();
        let error = ((told as f64).clamp(least, most) - self.mean(amounts)) / deviation;
        self.reach += if error > self.reach { STEP * (1.0 - MISSES) } else { -STEP * MISSES };
        self.reach = self.reach.clamp(REACH.1, REACH.2);
        let error = error.clamp(-ERROR_MAX, ERROR_MAX);
        self.bias += (error - self.bias) * BIAS_RATE;
        let told = Report { error: error * deviation, variance, surprise: error.powi(2), doubtful: (self.bias.powi(2) - 1.0).max(0.0) };
        for ((part, amount), belief) in self.parts.iter_mut().zip(amounts.0).zip(&BELIEFS) {
            if amount > 0.0 {
                part.learn(belief, amount, &told);
            }
        }
    }

    fn mean(&self, amounts: &Amounts) -> f64 {
        self.parts.iter().zip(amounts.0).map(|(part, amount)| part.ratio * amount).sum()
    }

    fn variance(&self, amounts: &Amounts) -> f64 {
        self.parts.iter().zip(amounts.0).map(|(part, amount)| (part.doubt + part.noise) * amount * amount).sum()
    }
}

/// What a report says of a prompt's parts.
struct Report {
    /// Told less expected, and the variance that was expected of it.
    error: f64,
    variance: f64,
    /// The error's square, in variances.
    surprise: f64,
    /// How much more the line is to be doubted, since reports err on one side of it.
    doubtful: f64,
}

impl Part {
    /// Of a prompt that had so much of this part.
    fn learn(&mut self, belief: &Belief, amount: f64, told: &Report) {
        let share = |variance: f64| variance * amount * amount / told.variance;
        let (doubt_share, noise_share) = (share(self.doubt), share(self.noise));
        self.ratio = (self.ratio + doubt_share / amount * told.error).clamp(belief.least, belief.most);
        let most = belief.spread.powi(2);
        let shaken = 1.0 + told.doubtful * doubt_share.max(noise_share);
        self.doubt = (self.doubt * (1.0 - doubt_share) * shaken + most / DOUBT_RETURNS).min(most * 4.0);
        let noise = belief.noise.powi(2);
        self.noise *= 1.0 + NOISE_RATE * noise_share * (told.surprise - 1.0);
        self.noise = self.noise.clamp(noise * NOISE_LEAST.powi(2), noise * 25.0);
    }
}
