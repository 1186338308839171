//! Limits and keys: what they say, and what is wrong with them.

use std::time::{SystemTime, UNIX_EPOCH};

use super::*;
use crate::base::money::NanoUsd;
use crate::config::limits::show_offset;

fn limits_of(text: &str) -> Vec<Arc<Limit>> {
    loaded(&format!("{PROVIDERS}{MODEL}{text}")).policy.limits
}

fn keys_of(text: &str) -> Vec<Arc<Key>> {
    loaded(&format!("{PROVIDERS}{MODEL}{text}")).policy.keys
}

const MODEL: &str = "[[models]]\nname = \"fast\"\ntargets = [{ provider = \"openai\", model = \"gpt-4.1\" }]\n";

const DIGEST: &str = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

#[test]
fn a_limit_says_what_it_means() {
    let [limit] = <[_; 1]>::try_from(limits_of("[[limits]]\nname = \"a\"\nbudget_usd_per_day = 50.0")).unwrap();
    let most = Most { windows: vec![Window { unit: Unit::Usd, span: Span::Day, most: 50_000_000_000 }], ..Most::default() };
    let expected = Limit {
        name: "a".into(),
        per: Vec::new(),
        when: Vec::new(),
        most,
        offset_seconds: 0,
        on_exceed: OnExceed::Reject,
        on_overrun: OnOverrun::Finish,
        assumed_output_tokens: None,
        warn_permille: vec![800],
    };
    assert_eq!(*limit, expected);
    assert_eq!(limit.most.budget(Span::Day), Some(NanoUsd(50_000_000_000)));
    let all = &loaded(super::printed::EVERYTHING).policy.limits[0];
    assert_eq!(all.per, [Dimension::Team, Dimension::Operation]);
    let selector = |of, patterns: &[&str]| Selector { of, patterns: patterns.iter().map(|text| (*text).to_owned()).collect() };
    assert_eq!(all.when, [selector(Dimension::User, &["bot-*"]), selector(Dimension::Model, &["m", "gpt-*"])]);
    let most = [all.most.requests_per_minute, all.most.tokens_per_minute, all.most.concurrent];
    assert_eq!(most, [Some(600), Some(7), Some(8)]);
    let windows: Vec<_> = Window::kinds().map(|(unit, span)| all.most.window(unit, span).unwrap()).collect();
    assert_eq!(windows, [1, 1_500_000_000, 1_000_000_000_000, 1, 2, 3]);
    assert_eq!(all.offset_seconds, -(3 * 3600 + 30 * 60));
    assert_eq!(all.on_exceed, OnExceed::Queue { timeout: Duration::from_secs(1), length_max: 2 });
    assert_eq!((all.on_overrun, all.warn_permille.as_slice()), (OnOverrun::Cut, [500, 900].as_slice()));
    let other = &loaded(super::printed::EVERYTHING).policy.limits[1];
    assert_eq!(other.on_exceed, OnExceed::Degrade { to: "m".into() });
    assert!(other.warn_permille.is_empty());
}

#[test]
fn a_queue_has_bounds_by_default() {
    let limit = &limits_of("[[limits]]\nname = \"a\"\nmax_concurrent = 1\non_exceed = \"queue\"")[0];
    assert_eq!(limit.on_exceed, OnExceed::Queue { timeout: Duration::from_secs(10), length_max: 100 });
}

#[test]
fn faults_of_limits_have_their_place_and_what_was_meant() {
    let head = "[[limits]]\nname = \"a\"\nmax_concurrent = 1\n";
    let known = "team, app, user, key, model, provider, tag, operation";
    let cases: &[(&str, &[&str])] = &[
        ("[[limits]]\nmax_concurrent = 1", &["1:1: limits[0].name: is missing (what callers and metrics are told, as \"team-budget\")"]),
        (
            "[[limits]]\nname = \"a b\"\nmax_concurrent = 1",
            &["2:8: limits[0].name: a limit's name has letters, digits, \"-\", \"_\" and \".\", at most 64 (it is a label of metrics)"],
        ),
        (
            "[[limits]]\nname = \"a\"\nmax_concurrent = 1\n[[limits]]\nname = \"a\"\nmax_concurrent = 1",
            &["5:8: limits[1].name: limits[0] has the name \"a\" already (names are unique)"],
        ),
        (
            "[[limits]]\nname = \"a\"",
            &[
                "1:1: limits[0]: bounds nothing: expected one or more of requests_per_minute, tokens_per_minute, max_concurrent, budget_usd_per_hour, budget_usd_per_day, budget_usd_per_month, tokens_per_hour, tokens_per_day, tokens_per_month",
            ],
        ),
        ("request_per_minute = 1", &["4:1: limits[0].request_per_minute: unknown key (did you mean \"requests_per_minute\"?)"]),
        (
            "per = [\"teams\", \"user\", \"user\"]",
            &[
                "4:8: limits[0].per[0]: nothing is told apart by \"teams\" (did you mean \"team\"?): expected any of KNOWN",
                "4:25: limits[0].per[2]: \"user\" is there already",
            ],
        ),
        ("when = { modle = \"x\" }", &["4:10: limits[0].when.modle: unknown key (did you mean \"model\"?)"]),
        (
            "when = { model = [], user = 1, operation = [\"chats\", \"c*\"] }",
            &[
                "4:18: limits[0].when.model: is empty: the limit would never apply (leave it out to apply to all)",
                "4:29: limits[0].when.user: expected a string or an array of strings, found a number",
                "4:45: limits[0].when.operation[0]: no operation is \"chats\" (did you mean \"chat\"?): expected one of chat, embeddings, count_tokens, models, opaque",
            ],
        ),
        (
            "scope = \"global\"",
            &[
                "4:9: limits[0].scope: \"global\" needs a control plane, which this version has none of: write \"local\", which counts in this process alone",
            ],
        ),
        ("scope = \"loca\"", &["4:9: limits[0].scope: expected \"local\", found \"loca\""]),
        ("requests_per_minute = -1", &["4:23: limits[0].requests_per_minute: expected a whole number from 0 to 1125899906842624"]),
        ("budget_usd_per_day = -1", &["4:22: limits[0].budget_usd_per_day: \"-1\" is not an amount in USD, as 50.0"]),
        ("budget_usd_per_day = 1e3", &["4:22: limits[0].budget_usd_per_day: \"1e3\" is not an amount in USD, as 50.0"]),
        ("budget_usd_per_day = 0.0000000001", &["4:22: limits[0].budget_usd_per_day: 0.0000000001 is finer than a billionth of a dollar"]),
        ("budget_usd_per_day = 1000000.01", &["4:22: limits[0].budget_usd_per_day: 1000000.01 is more than a million dollars"]),
        (
            "on_exceed = \"que\"",
            &["4:13: limits[0].on_exceed: expected one of reject, queue, degrade, found \"que\" (did you mean \"queue\"?)"],
        ),
        (
            "queue_max = 1\ndegrade_to = \"fast\"",
            &[
                "4:13: limits[0].queue_max: has a meaning for on_exceed = \"queue\" only",
                "5:14: limits[0].degrade_to: has a meaning for on_exceed = \"degrade\" only",
            ],
        ),
        (
            "on_exceed = \"queue\"\nqueue_timeout = \"0s\"\nqueue_max = 0",
            &[
                "5:17: limits[0].queue_timeout: is zero, so that everything would time out at once (for a very long wait write \"1day\")",
                "6:13: limits[0].queue_max: expected a whole number from 1 to 1000000",
            ],
        ),
        ("on_exceed = \"degrade\"", &["1:1: limits[0].degrade_to: is missing: the alias that serves what does not fit, as \"cheap\""]),
        (
            "on_exceed = \"degrade\"\ndegrade_to = \"fsat\"",
            &["5:14: limits[0].degrade_to: no alias named \"fsat\" (did you mean \"fast\"?): expected the name of a [[models]] entry"],
        ),
        ("on_overrun = \"stop\"", &["4:14: limits[0].on_overrun: expected \"finish\" or \"cut\", found \"stop\""]),
        (
            "time_zone = \"Europe/Berlin\"",
            &[
                "4:13: limits[0].time_zone: expected an offset from UTC, as \"+02:00\"; names of zones are not known here, since their summer times change, found \"Europe/Berlin\"",
            ],
        ),
        (
            "warn_at = [0, 1.1, \"x\", 1]",
            &[
                "4:11: limits[0].warn_at: warns at nothing: expected shares above 0, as [0.8]",
                "4:15: limits[0].warn_at[1]: expected a share from 0 to 1, as 0.05",
                "4:20: limits[0].warn_at[2]: expected a share from 0 to 1, as 0.05",
            ],
        ),
        ("warn_at = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]", &["4:11: limits[0].warn_at: has more than 7 shares"]),
    ];
    for (text, expected) in cases {
        let text = if text.starts_with("[[") { (*text).to_owned() } else { format!("{head}{text}") };
        let expected: Vec<_> = expected.iter().map(|fault| format!("conf/sidecar.toml:{}", fault.replace("KNOWN", known))).collect();
        // The alias comes last, so that it moves no line.
        assert_eq!(faults(&format!("{text}\n{PROVIDERS}{MODEL}")), expected, "{text}");
    }
}

#[test]
fn the_number_of_limits_is_bounded() {
    let limits = |count: usize| -> String {
        (0..count).map(|at| format!("[[limits]]\nname = \"l{at}\"\nmax_concurrent = 1\n")).collect::<String>() + PROVIDERS + MODEL
    };
    assert_eq!(loaded(&limits(256)).policy.limits.len(), 256);
    assert!(faults(&limits(257))[0].contains("limits[256]: there are more than 256 limits"));
}

#[test]
fn what_has_no_effect_is_told() {
    let locked = warnings(&format!("{PROVIDERS}[identity]\nrequire_key = true"));
    assert_eq!(
        locked,
        ["conf/sidecar.toml:5:15: identity.require_key: nobody gets in: there are no [[keys]] (`outrider key new` makes one)"]
    );
    let text = format!(
        "[[limits]]\nname = \"a\"\nmax_concurrent = 1\ntime_zone = \"UTC\"\non_overrun = \"cut\"\n[[limits]]\nname = \"b\"\ntokens_per_minute = 1\non_overrun = \"cut\"\n{PROVIDERS}"
    );
    assert_eq!(
        warnings(&text),
        [
            "conf/sidecar.toml:4:13: limits[0].time_zone: has no effect: nothing is bounded by the hour, the day or the month",
            "conf/sidecar.toml:5:14: limits[0].on_overrun: has no effect: no tokens and no money are bounded, which a stream could outrun",
        ]
    );
}

#[test]
fn offsets_are_read_as_they_are_shown() {
    for (text, seconds) in
        [("UTC", 0), ("Z", 0), ("+00:00", 0), ("-00:00", 0), ("+02:00", 7200), ("-03:30", -12_600), ("+14:00", 50_400), ("+05:45", 20_700)]
    {
        let limit = &limits_of(&format!("[[limits]]\nname = \"a\"\ntokens_per_day = 1\ntime_zone = {text:?}"))[0];
        assert_eq!(limit.offset_seconds, seconds, "{text}");
        let again = &limits_of(&format!("[[limits]]\nname = \"a\"\ntokens_per_day = 1\ntime_zone = {:?}", show_offset(seconds)))[0];
        assert_eq!(again.offset_seconds, seconds, "{text}");
    }
    for text in ["", "+", "2:00", "+2:00", "+02", "+0200", "+15:00", "+02:60", "+02:0x", "+-2:00", "é02:00", "+02:000", "+02:+1"] {
        let found = faults(&format!("[[limits]]\nname = \"a\"\ntokens_per_day = 1\ntime_zone = {text:?}\n{PROVIDERS}"));
        assert!(found.len() == 1 && found[0].contains("limits[0].time_zone"), "{text}: {found:?}");
    }
}

#[test]
fn a_key_says_whom_it_stands_for() {
    let [bare, named] = <[_; 2]>::try_from(loaded(super::printed::EVERYTHING).policy.keys).unwrap();
    assert_eq!((bare.name.as_str(), bare.digest.to_string().as_str()), ("9f86d081884c", DIGEST));
    assert_eq!(bare.digest, Digest::of("test"));
    assert_eq!(format!("{:?}", bare.digest), DIGEST);
    assert_eq!((&bare.team, &bare.expires, bare.models.len(), &bare.limit), (&None, &None, 0, &None));
    assert!(bare.allows("anything"));
    assert_eq!([&named.team, &named.app, &named.user].map(|text| text.as_deref()), [Some("t"), Some("a"), Some("u")]);
    assert_eq!(named.expires, Some(UNIX_EPOCH + Duration::from_secs(1_801_389_600)));
    assert!(named.allows("m") && !named.allows("mm"));
    let limit = named.limit.as_ref().unwrap();
    assert_eq!((limit.name.as_str(), limit.per.as_slice()), ("key:named", [Dimension::Key, Dimension::User].as_slice()));
    assert_eq!(limit.most.requests_per_minute, Some(1));
}

#[test]
fn instants_are_dates_or_times_with_an_offset() {
    let at = |text: &str| {
        let text = format!("[[keys]]\ndigest = {DIGEST:?}\nexpires = {text}");
        keys_of(&text)[0].expires.unwrap().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
    };
    for (text, seconds) in [
        ("1970-01-01", 0),
        ("2027-01-31", 1_801_353_600),
        ("\"2027-01-31\"", 1_801_353_600),
        ("2027-01-31T00:00:00Z", 1_801_353_600),
        ("2027-01-31 02:00:00+02:00", 1_801_353_600),
        ("\"2027-01-30T22:30:00-01:30\"", 1_801_353_600),
        ("2028-02-29", 1_835_395_200),
        ("2028-03-01", 1_835_481_600),
        ("2000-12-31T23:59:59Z", 978_307_199),
        ("2100-03-01", 4_107_542_400),
    ] {
        assert_eq!(at(text), seconds, "{text}");
    }
}

#[test]
fn faults_of_keys_have_their_place_and_never_tell_a_key() {
    let head = format!("[[keys]]\ndigest = {DIGEST:?}\n");
    let example = "write it as 2027-01-31, which is its beginning in UTC, or as 2027-01-31T12:00:00Z";
    let cases: &[(&str, &[&str])] = &[
        ("[[keys]]", &["1:1: keys[0].digest: is missing (\"sha256:\" and 64 hex digits, as `outrider key new` prints them)"]),
        (
            "[[keys]]\ndigest = \"ork-very-secret\"",
            &[
                "2:10: keys[0].digest: is a key, not its digest: whoever reads this file could use it (`outrider key new` prints the digest of a new one)",
            ],
        ),
        (
            "[[keys]]\ndigest = \"sha256:9f86d0\"",
            &["2:10: keys[0].digest: expected \"sha256:\" and 64 hex digits, as `outrider key new` prints them"],
        ),
        (
            "[[keys]]\ndigest = \"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\"",
            &["2:10: keys[0].digest: expected \"sha256:\" and 64 hex digits, as `outrider key new` prints them"],
        ),
        (
            "[[keys]]\ndigest = \"sha256:secret\"",
            &["2:10: keys[0].digest: expected \"sha256:\" and 64 hex digits, as `outrider key new` prints them"],
        ),
        (
            "[[keys]]\ndigest = \"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a0g\"",
            &["2:10: keys[0].digest: expected \"sha256:\" and 64 hex digits, as `outrider key new` prints them"],
        ),
        (
            "name = \"a b\"",
            &["3:8: keys[0].name: a key's name has letters, digits, \"-\", \"_\" and \".\", at most 64 (it is a label of accounts)"],
        ),
        ("[[keys]]\ndigest = DIGEST", &["4:10: keys[1].digest: keys[0] has this digest already"]),
        (
            "name = \"n\"\n[[keys]]\ndigest = \"sha256:0086d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\"\nname = \"n\"",
            &["6:8: keys[1].name: keys[0] has this name already"],
        ),
        ("models = []", &["3:10: keys[0].models: is empty: the key would allow nothing (leave it out to allow all)"]),
        ("expires = \"soon\"", &["3:11: keys[0].expires: \"soon\" is not a date (EXAMPLE)"]),
        ("expires = 1", &["3:11: keys[0].expires: expected a date, as 2027-01-31, or an instant, as 2027-01-31T12:00:00Z, found a number"]),
        ("expires = 12:00:00", &["3:11: keys[0].expires: \"12:00:00\" lacks a date (EXAMPLE)"]),
        ("expires = 2027-01-31T12:00:00", &["3:11: keys[0].expires: \"2027-01-31T12:00:00\" lacks its offset from UTC (EXAMPLE)"]),
        ("expires = 1969-12-31", &["3:11: keys[0].expires: \"1969-12-31\" is before 1970"]),
        ("limits = { name = \"x\", max_concurrent = 1 }", &["3:12: keys[0].limits.name: unknown key (known here: "]),
        ("limits = {}", &["3:10: keys[0].limits: bounds nothing: expected one or more of "]),
        ("limits = { per = [\"key\"], max_concurrent = 1 }", &["3:19: keys[0].limits.per[0]: \"key\" is there already"]),
    ];
    for (text, expected) in cases {
        let text = if text.starts_with("[[keys]]") && !text.contains("DIGEST") { (*text).to_owned() } else { format!("{head}{text}") };
        let text = text.replace("= DIGEST", &format!("= {DIGEST:?}"));
        let found = faults(&format!("{text}\n{PROVIDERS}"));
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (fault, expected) in found.iter().zip(*expected) {
            let expected = format!("conf/sidecar.toml:{}", expected.replace("EXAMPLE", example));
            assert!(fault.starts_with(&expected) && !fault.contains("secret"), "{fault}\n{expected}");
        }
    }
}
