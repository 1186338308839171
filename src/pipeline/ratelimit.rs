//! What limits have left, in the headers that SDKs read.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::base::money::NanoUsd;
use crate::config::Unit;
use crate::ir::Dialect;
use crate::quota::{Exceeded, Left, Measure, Room};

/// The share of a limit, that it is past: `0.8`.
const WARNING: HeaderName = HeaderName::from_static("x-outrider-limit-warning");

/// The headers of one kind of bound: what it is, what is left, when all of it is there again.
struct Names {
    openai: [HeaderName; 3],
    anthropic: Option<[HeaderName; 3]>,
}

const fn named(name: &'static str) -> HeaderName {
    HeaderName::from_static(name)
}

static REQUESTS: Names = Names {
    openai: [named("x-ratelimit-limit-requests"), named("x-ratelimit-remaining-requests"), named("x-ratelimit-reset-requests")],
    anthropic: Some([
        named("anthropic-ratelimit-requests-limit"),
        named("anthropic-ratelimit-requests-remaining"),
        named("anthropic-ratelimit-requests-reset"),
    ]),
};
static TOKENS: Names = Names {
    openai: [named("x-ratelimit-limit-tokens"), named("x-ratelimit-remaining-tokens"), named("x-ratelimit-reset-tokens")],
    anthropic: Some([
        named("anthropic-ratelimit-tokens-limit"),
        named("anthropic-ratelimit-tokens-remaining"),
        named("anthropic-ratelimit-tokens-reset"),
    ]),
};
static CONCURRENT: Names = Names {
    openai: [named("x-ratelimit-limit-concurrent"), named("x-ratelimit-remaining-concurrent"), named("x-ratelimit-reset-concurrent")],
    anthropic: None,
};
static BUDGET: Names = Names {
    openai: [named("x-ratelimit-limit-budget-usd"), named("x-ratelimit-remaining-budget-usd"), named("x-ratelimit-reset-budget-usd")],
    anthropic: None,
};

/// Tells what is left, instead of what a provider says of its own limits of the same kind. Money is told where it is exceeded:
/// no SDK reads it, and each header costs.
pub(super) fn tell(headers: &mut HeaderMap, caller: Dialect, left: &Left, now: SystemTime) {
    for (names, room) in [(&REQUESTS, left.requests), (&TOKENS, left.tokens)] {
        if let Some(room) = room {
            names.tell(headers, caller, &room, now);
        }
    }
    if let Some(warning) = left.warning.and_then(|permille| value(format!("{}", f64::from(permille) / 1000.0))) {
        headers.insert(WARNING, warning);
    }
}

/// Tells of the bound that a request exceeded.
pub(super) fn tell_exceeded(headers: &mut HeaderMap, caller: Dialect, exceeded: &Exceeded, now: SystemTime) {
    let remaining = exceeded.most.saturating_sub(exceeded.used);
    let room = Room { most: exceeded.most, remaining, reset: exceeded.again.least().unwrap_or_default() };
    let names = match exceeded.measure {
        Measure::RequestsPerMinute => &REQUESTS,
        Measure::TokensPerMinute | Measure::Window(Unit::Tokens, _) => &TOKENS,
        Measure::Concurrent => &CONCURRENT,
        Measure::Window(Unit::Usd, _) => &BUDGET,
    };
    names.tell(headers, caller, &room, now);
}

impl Names {
    fn tell(&self, headers: &mut HeaderMap, caller: Dialect, room: &Room, now: SystemTime) {
        let money = self.openai[0] == BUDGET.openai[0];
        let amount = |amount: u64| if money { value(NanoUsd(amount).to_string()) } else { Some(HeaderValue::from(amount)) };
        let mut put = |names: &[HeaderName; 3], reset: String| {
            let values = [amount(room.most), amount(room.remaining), value(reset)];
            for (name, value) in names.iter().zip(values) {
                value.and_then(|value| headers.insert(name.clone(), value));
            }
        };
        put(&self.openai, seconds(room.reset));
        if let Some(names) = self.anthropic.as_ref().filter(|_| caller == Dialect::Anthropic) {
            // Rounded up to the second, as the vendor does.
            let at = now + room.reset + Duration::from_millis(999);
            put(names, humantime::format_rfc3339_seconds(at).to_string());
        }
    }
}

/// A time as OpenAI writes it: `6m0s`, `1.5s`, `20ms`.
fn seconds(time: Duration) -> String {
    let millis = time.as_micros().div_ceil(1000);
    let (minutes, rest) = (millis / 60_000, millis % 60_000);
    let (whole, part) = (rest / 1000, rest % 1000);
    match (minutes, whole, part) {
        (0, 0, _) => format!("{millis}ms"),
        (0, _, 0) => format!("{whole}s"),
        (0, ..) => format!("{whole}.{part:03}s"),
        _ => format!("{minutes}m{}s", whole + u128::from(part > 0)),
    }
}

fn value(text: String) -> Option<HeaderValue> {
    HeaderValue::try_from(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_openai_does() {
        let cases = [
            (0, "0ms"),
            (20, "20ms"),
            (999, "999ms"),
            (1_000, "1s"),
            (1_500, "1.500s"),
            (59_999, "59.999s"),
            (60_000, "1m0s"),
            (360_000, "6m0s"),
            (61_001, "1m2s"),
            (86_400_000, "1440m0s"),
        ];
        for (millis, expected) in cases {
            assert_eq!(seconds(Duration::from_millis(millis)), expected);
        }
    }

    #[test]
    fn what_is_left_stands_in_the_headers_of_the_callers_sdk() {
        let room = |most, remaining| Some(Room { most, remaining, reset: Duration::from_millis(1500) });
        let left = Left { requests: room(10, 3), tokens: room(1000, 400), budget: room(5_000_000_000, 1_250_000_000), warning: Some(800) };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let mut headers = HeaderMap::new();
        headers.insert("x-ratelimit-limit-requests", HeaderValue::from_static("the provider's"));
        tell(&mut headers, Dialect::Anthropic, &left, now);
        let expected = [
            ("x-ratelimit-limit-requests", "10"),
            ("x-ratelimit-remaining-requests", "3"),
            ("x-ratelimit-reset-requests", "1.500s"),
            ("x-ratelimit-limit-tokens", "1000"),
            ("x-ratelimit-remaining-tokens", "400"),
            ("anthropic-ratelimit-requests-limit", "10"),
            ("anthropic-ratelimit-tokens-remaining", "400"),
            ("anthropic-ratelimit-requests-reset", "2027-01-15T08:00:02Z"),
            ("x-outrider-limit-warning", "0.8"),
        ];
        for (name, value) in expected {
            assert_eq!(headers.get_all(name).iter().collect::<Vec<_>>(), [value], "{name}");
        }
        let mut headers = HeaderMap::new();
        tell(&mut headers, Dialect::OpenAiChat, &left, now);
        assert!(!headers.keys().any(|name| name.as_str().starts_with("anthropic")));
    }
}
