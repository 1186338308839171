//! Each kind of limit, and what may be seen of it at the provider.

use std::fmt::Write;

use outrider::config::Digest;

/// How many users and keys there are.
pub const USERS: u64 = 5;
pub const KEYS: u64 = 3;

/// A limit, named `it`.
pub struct Kind {
    pub name: &'static str,
    /// Its keys in the configuration.
    pub limit: &'static str,
    pub per: Per,
    pub most: &'static [Most],
    /// Whether anybody is refused.
    pub refuses: bool,
}

/// What is counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    All,
    User,
    Key,
}

/// The most that the provider may see, for each subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Most {
    Crowd(usize),
    Requests(u64),
    TokensInMinute(u64),
    Tokens(u64),
    Nanos(u64),
}

use Most::{Crowd, Nanos, Requests, Tokens, TokensInMinute};

const fn rejects(name: &'static str, limit: &'static str, per: Per, most: &'static [Most]) -> Kind {
    Kind { name, limit, per, most, refuses: true }
}

const fn serves(name: &'static str, limit: &'static str, per: Per, most: &'static [Most]) -> Kind {
    Kind { name, limit, per, most, refuses: false }
}

const IN_LINE: &str = "on_exceed = \"queue\"\nqueue_timeout = \"60s\"\nqueue_max = 10000\nmax_concurrent = 8";
const IN_LINES: &str = "per = [\"user\"]\non_exceed = \"queue\"\nqueue_timeout = \"60s\"\nqueue_max = 10000\nmax_concurrent = 4";

pub const KINDS: &[Kind] = &[
    rejects("requests", "requests_per_minute = 100", Per::All, &[Requests(100)]),
    rejects("requests of each user", "per = [\"user\"]\nrequests_per_minute = 20", Per::User, &[Requests(20)]),
    rejects("requests of each provider", "per = [\"provider\"]\nrequests_per_minute = 30", Per::All, &[Requests(90)]),
    rejects("tokens by the minute", "tokens_per_minute = 5000", Per::All, &[TokensInMinute(5000)]),
    rejects("tokens of each user", "per = [\"user\"]\ntokens_per_minute = 1500", Per::User, &[TokensInMinute(1500)]),
    rejects("concurrency", "max_concurrent = 16", Per::All, &[Crowd(16)]),
    rejects("concurrency of each key", "per = [\"key\"]\nmax_concurrent = 6", Per::Key, &[Crowd(6)]),
    serves("a line", IN_LINE, Per::All, &[Crowd(8)]),
    serves("a line for each user", IN_LINES, Per::User, &[Crowd(4)]),
    rejects("money by the hour", "budget_usd_per_hour = 0.02", Per::All, &[Nanos(20_000_000)]),
    rejects("money by the day", "budget_usd_per_day = 0.01", Per::All, &[Nanos(10_000_000)]),
    rejects("money of each user", "per = [\"user\"]\nbudget_usd_per_day = 0.004", Per::User, &[Nanos(4_000_000)]),
    rejects("money of each key", "per = [\"key\"]\nbudget_usd_per_month = 0.006", Per::Key, &[Nanos(6_000_000)]),
    rejects("tokens by the day", "tokens_per_day = 5000", Per::All, &[Tokens(5000)]),
    serves(
        "a cheaper alias",
        "when = { model = \"any.*\" }\nbudget_usd_per_day = 0.005\non_exceed = \"degrade\"\ndegrade_to = \"cheap\"",
        Per::All,
        &[Nanos(5_000_000)],
    ),
    rejects(
        "several at once",
        "max_concurrent = 24\nrequests_per_minute = 120\ntokens_per_minute = 7000\nbudget_usd_per_hour = 0.02",
        Per::All,
        &[Crowd(24), Requests(120), TokensInMinute(7000), Nanos(20_000_000)],
    ),
];

impl Kind {
    /// The limit and the keys, as configuration.
    pub fn policy(&self) -> String {
        let mut policy = format!("[[limits]]\nname = \"it\"\n{}\ntime_zone = \"{}\"\n", self.limit, noon());
        for key in 0..KEYS {
            writeln!(policy, "[[keys]]\nname = \"k{key}\"\ndigest = \"{}\"", Digest::of(&self::key(key))).unwrap();
        }
        policy
    }
}

impl Per {
    /// To whom a request counts, by its number.
    pub fn subject(self, number: u64) -> u64 {
        match self {
            Self::All => 0,
            Self::User => number % USERS,
            Self::Key => number % KEYS,
        }
    }

    /// How many there are.
    pub fn subjects(self) -> u64 {
        match self {
            Self::All => 1,
            Self::User => USERS,
            Self::Key => KEYS,
        }
    }
}

/// An outrider key.
pub fn key(nth: u64) -> String {
    format!("ork-test-{nth}")
}

/// The zone in which it is about noon now, and no hour near its end: no window ends while a test runs.
pub fn noon() -> String {
    let minutes = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() / 60 % 1440;
    let (hour, minute) = (minutes / 60, minutes % 60);
    // To 12:00 at least and 12:30 at most.
    let ahead = 12 * 60 - hour as i64 * 60 - if minute > 30 { 30 } else { 0 };
    let (sign, ahead) = if ahead < 0 { ('-', -ahead) } else { ('+', ahead) };
    format!("{sign}{:02}:{:02}", ahead / 60, ahead % 60)
}
