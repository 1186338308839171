#![allow(clippy::unwrap_used, reason = "a test")]

use http::{HeaderName, HeaderValue};
use proptest::prelude::*;

use super::*;

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())).collect()
}

#[test]
fn every_form_of_headers_is_read() {
    const DATE: (&str, &str) = ("date", "Thu, 01 Jan 2026 00:00:00 GMT");
    let day = 86_400_000;
    // (headers, milliseconds)
    type Pairs = &'static [(&'static str, &'static str)];
    let cases: &[(Pairs, Option<u64>)] = &[
        (&[("retry-after", "7")], Some(7_000)),
        (&[("retry-after", " 0.25 ")], Some(250)),
        (&[("retry-after", "1m30s")], Some(90_000)),
        (&[("retry-after", "Thu, 01 Jan 2026 00:01:30 GMT"), DATE], Some(90_000)),
        (&[("retry-after", "Wed, 31 Dec 2025 00:01:30 GMT"), DATE], None),
        (&[("retry-after", "Thu, 01 Jan 2026 00:01:30 GMT")], None),
        (&[("retry-after", "0")], None),
        (&[("retry-after", "-5")], None),
        (&[("retry-after", "NaN")], None),
        (&[("retry-after", "inf")], None),
        (&[("retry-after", "1e3")], None),
        (&[("retry-after", "soon")], None),
        (&[("retry-after", "99999999999999999999999999")], Some(day)),
        (&[("retry-after", "31536000")], Some(day)),
        (&[("retry-after-ms", "18642"), ("retry-after", "19")], Some(18_642)),
        // As Azure has sent it.
        (&[("retry-after-ms", "0"), ("retry-after", "1")], Some(1_000)),
        (&[("retry-after-ms", "-1"), ("retry-after", "2")], Some(2_000)),
        (&[("retry-after-ms", "1e300")], Some(day)),
        // OpenAI's: the limit that is used up, not the other one.
        (
            &[
                ("x-ratelimit-remaining-requests", "499"),
                ("x-ratelimit-remaining-tokens", "0"),
                ("x-ratelimit-reset-requests", "120ms"),
                ("x-ratelimit-reset-tokens", "18.642s"),
            ],
            Some(18_642),
        ),
        (
            &[("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-remaining-tokens", "5"), ("x-ratelimit-reset-requests", "2m59.56s")],
            Some(179_560),
        ),
        (&[("x-ratelimit-remaining-requests", "3"), ("x-ratelimit-reset-requests", "6m0s")], None),
        (&[("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "6m0s"), ("retry-after", "3")], Some(3_000)),
        // Azure's: bare seconds, and nothing about what is left.
        (&[("x-ratelimit-reset-requests", "60")], Some(60_000)),
        // OpenRouter's: a moment, in milliseconds since 1970.
        (&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1767225645000"), DATE], Some(45_000)),
        (&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1767225645"), DATE], Some(45_000)),
        (&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1767225645000")], None),
        // Anthropic's: moments.
        (
            &[
                DATE,
                ("anthropic-ratelimit-requests-remaining", "49"),
                ("anthropic-ratelimit-requests-reset", "2026-01-01T00:00:01Z"),
                ("anthropic-ratelimit-input-tokens-remaining", "0"),
                ("anthropic-ratelimit-input-tokens-reset", "2026-01-01T00:00:27Z"),
                ("anthropic-ratelimit-output-tokens-remaining", "8000"),
                ("anthropic-ratelimit-output-tokens-reset", "2026-01-01T00:01:00Z"),
            ],
            Some(27_000),
        ),
        (
            &[
                DATE,
                ("anthropic-priority-input-tokens-remaining", "0"),
                ("anthropic-priority-input-tokens-reset", "2026-01-01T00:00:09.5Z"),
            ],
            Some(9_500),
        ),
        (&[("ratelimitbysize-remaining", "0"), ("ratelimitbysize-reset", "33")], Some(33_000)),
        (&[], None),
    ];
    for (pairs, millis) in cases {
        assert_eq!(told(&headers(pairs), true), millis.map(Duration::from_millis), "{pairs:?}");
    }
    // They stand on every answer.
    assert_eq!(told(&headers(&[("x-ratelimit-reset-requests", "60")]), false), None);
    assert_eq!(told(&headers(&[("retry-after", "60")]), false), Some(Duration::from_secs(60)));
}

#[test]
fn spans_and_texts_are_read() {
    let cases = [
        ("1m30s", Some(90_000)),
        ("120ms", Some(120)),
        ("6m0s", Some(360_000)),
        ("1h2m3s", Some(3_723_000)),
        ("1d", Some(86_400_000)),
        ("34.4s", Some(34_400)),
        ("5", Some(5_000)),
        ("5 s", None),
        ("s", None),
        ("5m5", None),
        ("1.2.3s", None),
        ("", None),
        ("-1s", None),
        ("5y", None),
        ("ä", None),
    ];
    for (text, millis) in cases {
        assert_eq!(span(text), millis.map(Duration::from_millis), "{text}");
    }
    let cases = [
        ("Limit 6000, Used 5034, Requested 1443. Please try again in 4.77s. Need more tokens?", Some(4_770)),
        ("Limit 30000. Please try again in 18.642s.", Some(18_642)),
        ("Please try again in 6m0s. Visit", Some(360_000)),
        ("Please try again in 120ms", Some(120)),
        ("pricing tier. Please retry after 60 seconds. Please go here", Some(60_000)),
        ("model: gemini-2.5-flash\nPlease retry in 48.939935699s.", Some(48_939)),
        ("Please retry after 1 minute.", Some(60_000)),
        ("Please retry shortly, or add your own key", None),
        ("Please try again in a moment", None),
        ("Please try again in ", None),
        ("Please try again in 0s", None),
        ("Please try again later.", None),
    ];
    for (text, millis) in cases {
        assert_eq!(in_text(text).map(|wait| wait.as_millis()), millis, "{text}");
    }
}

proptest! {
    #[test]
    fn no_text_is_too_odd(text in "[ -~]{0,40}", number in proptest::num::f64::ANY) {
        for value in [text.clone(), number.to_string()] {
            for name in ["retry-after", "retry-after-ms", "x-ratelimit-reset", "x-ratelimit-reset-tokens", "anthropic-ratelimit-tokens-reset"] {
                let wait = told(&headers(&[(name, &value), ("date", "Thu, 01 Jan 2026 00:00:00 GMT")]), true);
                prop_assert!(wait.is_none_or(|wait| wait <= WAIT_MAX && !wait.is_zero()));
            }
            in_text(&format!("Please try again in {value}"));
        }
    }
}
