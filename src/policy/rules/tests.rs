//! Each condition both ways, shares, times, what a decision hangs on, and what is told of it.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, UNIX_EPOCH};

use http::HeaderValue;
use proptest::prelude::*;

use super::*;
use crate::config::{Config, Identity, Outside};
use crate::dialect::codec;
use crate::ir::{Dialect, Message, Part, Role, Text};
use crate::policy::features::Has;

/// Rules, each of whose lines is what stands in `when`.
fn rules(whens: &[&str]) -> Rules {
    let mut text = String::from("[providers.echo]\nkind = \"echo\"\n");
    for (index, when) in whens.iter().enumerate() {
        text += &format!("[[routes]]\nwhen = {{ {when} }}\ndeny = \"{index}\"\n");
    }
    let outside = Outside { env: &|_| None, read: &|_| Err(std::io::ErrorKind::NotFound.into()) };
    let loaded = Config::parse(Path::new("t.toml"), &text, &outside).unwrap_or_else(|rejected| panic!("{rejected}"));
    Rules::new(&loaded.config.policy.routes)
}

/// Rules with every condition both ways.
static ALL: LazyLock<Rules> = LazyLock::new(|| rules(&BOTH_WAYS.iter().flat_map(|(holds, fails, _)| [*fails, *holds]).collect::<Vec<_>>()));

/// What a test asks about, owned.
struct World {
    model: &'static str,
    operation: Operation,
    headers: HeaderMap,
    identity: Identity,
    features: Features,
    request: Request<'static>,
    decoded: bool,
    at: SystemTime,
    draw: u64,
}

impl Default for World {
    fn default() -> Self {
        let mut headers = HeaderMap::new();
        for (name, value) in [("x-env", "staging-1"), ("x-env", "b"), ("x-outrider-user", "u-7"), ("x-outrider-tag", "batch, env=prod")] {
            headers.append(name, HeaderValue::from_static(value));
        }
        let say = |role, text| Message::new(role, vec![Part::text(Text::plain(text))]);
        let messages = vec![say(Role::User, "hello"), say(Role::Assistant, "hi"), say(Role::User, "Please translate this, ticket 4411")];
        Self {
            model: "gpt-5-mini",
            operation: Operation::Chat,
            headers,
            identity: Identity { team: Some("search".into()), app: Some("ranker".into()), require_key: false },
            features: Features {
                input_tokens: 400,
                output_tokens_max: Some(100),
                messages: 3,
                stream: true,
                has: Has::TOOLS.and(Has::IMAGES),
                session: 9,
                ..Features::default()
            },
            request: Request { messages, ..Request::default() },
            decoded: true,
            // A Friday, 22:30 in Greenwich.
            at: UNIX_EPOCH + Duration::from_secs(1_795_213_800),
            draw: 1,
        }
    }
}

impl World {
    fn ask<T>(&self, rules: &Rules, answer: impl FnOnce(&Rules, &Asked<'_>) -> T) -> T {
        let caller = Caller::of(&self.identity, None, &self.headers);
        let asked = Asked {
            model: self.model,
            operation: self.operation,
            stream: self.features.stream,
            headers: &self.headers,
            caller: &caller,
            features: &self.features,
            request: self.decoded.then_some(&self.request),
            at: self.at,
            draw: self.draw,
        };
        answer(rules, &asked)
    }

    fn matches(&self, when: &str) -> bool {
        self.ask(&rules(&[when]), |rules, asked| {
            let first = rules.first(asked).is_some();
            assert_eq!(first, rules.trace(asked)[0].failed.is_none(), "{when}");
            first
        })
    }
}

/// Conditions that hold of the world, and like ones that do not, with what is told of them.
const BOTH_WAYS: &[(&str, &str, &str)] = &[
    ("model = \"gpt-5-mini\"", "model = \"gpt-5\"", "model: expected \"gpt-5\", found \"gpt-5-mini\""),
    ("model = [\"auto\", \"gpt-*\"]", "model = [\"auto\", \"o*\"]", "model: expected \"auto\" or \"o*\", found \"gpt-5-mini\""),
    ("model = \"*mini\"", "model = \"*nano\"", "model: expected \"*nano\", found \"gpt-5-mini\""),
    (
        "operation = [\"chat\", \"embeddings\"]",
        "operation = [\"opaque\", \"embeddings\"]",
        "operation: expected embeddings or opaque, found chat",
    ),
    ("stream = true", "stream = false", "stream: expected false, found true"),
    ("min_input_tokens = 400", "min_input_tokens = 401", "min_input_tokens: expected at least 401, found 400"),
    ("max_input_tokens = 400", "max_input_tokens = 399", "max_input_tokens: expected at most 399, found 400"),
    (
        "min_input_tokens = 1, max_input_tokens = 400",
        "min_input_tokens = 500, max_input_tokens = 600",
        "min_input_tokens: expected at least 500, found 400",
    ),
    ("min_messages = 3, max_messages = 3", "min_messages = 4", "min_messages: expected at least 4, found 3"),
    ("max_messages = 3", "max_messages = 2", "max_messages: expected at most 2, found 3"),
    ("min_output_tokens = 100", "min_output_tokens = 101", "min_output_tokens: expected at least 101, found 100"),
    ("max_output_tokens = 100", "max_output_tokens = 99", "max_output_tokens: expected at most 99, found 100"),
    ("max_difficulty = 0.4", "min_difficulty = 0.001", "min_difficulty: expected at least 0.001, found 0.0"),
    ("min_difficulty = 0", "min_difficulty = 0.9", "min_difficulty: expected at least 0.9, found "),
    ("has_tools = true", "has_tools = false", "has_tools: expected false, found true"),
    ("has_images = true", "has_images = false", "has_images: expected false, found true"),
    ("has_documents = false", "has_documents = true", "has_documents: expected true, found false"),
    ("has_audio = false", "has_audio = true", "has_audio: expected true, found false"),
    ("has_video = false", "has_video = true", "has_video: expected true, found false"),
    ("structured_output = false", "structured_output = true", "structured_output: expected true, found false"),
    ("reasoning = false", "has_tools = true, reasoning = true", "reasoning: expected true, found false"),
    ("team = \"search\"", "team = \"ads\"", "team: expected \"ads\", found \"search\""),
    ("app = \"rank*\"", "app = [\"a\", \"b\"]", "app: expected \"a\" or \"b\", found \"ranker\""),
    ("user = \"u-*\"", "user = \"v-*\"", "user: expected \"v-*\", found \"u-7\""),
    ("", "key = \"*\"", "key: expected \"*\", found none"),
    ("tag = \"batch\"", "tag = \"batc\"", "tag: expected \"batc\", found \"batch\", \"env=prod\""),
    ("tag = \"env\"", "tag = \"prod\"", "tag: expected \"prod\", found \"batch\", \"env=prod\""),
    ("tag = \"env=p*\"", "tag = \"env=q*\"", "tag: expected \"env=q*\", found \"batch\", \"env=prod\""),
    (
        "headers = { X-Env = \"staging-*\" }",
        "headers = { x-env = \"prod\" }",
        "headers.x-env: expected \"prod\", found \"staging-1\", \"b\"",
    ),
    ("headers = { x-env = \"b\" }", "headers = { x-none = \"*\" }", "headers.x-none: expected \"*\", found no such header"),
    (
        "hours = \"22:00-23:00\"",
        "hours = \"08:00-18:00\"",
        "hours: expected 08:00-18:00 on mon, tue, wed, thu, fri, sat, sun, found 22:30 on fri",
    ),
    ("days = [\"fri\"]", "days = [\"sat\"], utc_offset = \"+01:00\"", "hours: expected 00:00-24:00 on sat, found 23:30 on fri"),
    (
        "days = [\"sat\"], utc_offset = \"+02:00\"",
        "days = [\"fri\"], utc_offset = \"+02:00\"",
        "hours: expected 00:00-24:00 on fri, found 00:30 on sat",
    ),
    ("percent = 100", "percent = 0", "percent: expected the first 0.0 %, found at "),
    ("words = [\"TRANSLATE\", \"x\"]", "words = [\"late\", \"x\"]", "words: expected \"late\" or \"x\", found a text of 34 characters"),
    ("pattern = \"ticket [0-9]+\"", "pattern = \"^ticket\"", "pattern: expected \"^ticket\", found a text of 34 characters"),
    ("", "pattern = \"hello\"", "pattern: expected \"hello\", found a text of 34 characters"),
];

#[test]
fn each_condition_holds_and_does_not_and_says_why() {
    let world = World::default();
    for (holds, fails, expected) in BOTH_WAYS {
        assert!(world.matches(holds), "{holds}");
        assert!(!world.matches(fails), "{fails}");
        // What is said beside it changes nothing.
        assert!(!world.matches(&format!("{fails}, {}", if fails.contains("stream") { "app = \"*\"" } else { "stream = true" })), "{fails}");
        let told = world.ask(&rules(&[fails]), |rules, asked| rules.trace(asked)[0].failed.clone().unwrap());
        let told = format!("{}: expected {}, found {}", told.key, told.expected, told.found);
        assert!(
            told == *expected || (expected.ends_with(' ') || expected.ends_with("at ")) && told.starts_with(expected),
            "{fails}: {told}"
        );
    }
}

#[test]
fn what_is_not_known_matches_nothing() {
    let world = World {
        headers: HeaderMap::new(),
        identity: Identity::default(),
        features: Features::default(),
        request: Request::default(),
        ..World::default()
    };
    for when in [
        "team = \"*\"",
        "app = \"*\"",
        "user = \"*\"",
        "tag = \"*\"",
        "max_output_tokens = 1_000_000",
        "headers = { x-env = \"*\" }",
        "words = \"x\"",
    ] {
        assert!(!world.matches(when), "{when}");
    }
    let unread = World { decoded: false, ..World::default() };
    for when in ["words = \"translate\"", "pattern = \".*\"", "max_difficulty = 1"] {
        assert!(!unread.matches(when), "{when}");
    }
    assert!(unread.matches("max_input_tokens = 400"));
}

#[test]
fn the_first_that_matches_decides() {
    let world = World::default();
    let many = rules(&["model = \"o*\"", "stream = true, words = \"nothing\"", "stream = true", "team = \"search\""]);
    let first = world.ask(&many, |rules, asked| rules.first(asked).map(|found| (found.index, found.then.clone())));
    assert_eq!(first, Some((2, Then::Deny("2".into()))));
    let failed = world
        .ask(&many, |rules, asked| rules.trace(asked).into_iter().map(|step| step.failed.map(|failed| failed.key)).collect::<Vec<_>>());
    assert_eq!(failed, [Some("model".into()), Some("words".into()), None, None]);
    assert!(world.ask(&Rules::default(), |rules, asked| rules.first(asked).is_none()));
    assert!(world.ask(&rules(&["model = \"o*\""]), |rules, asked| rules.first(asked).is_none()));
}

#[test]
fn a_request_is_decoded_only_where_a_rule_hangs_on_it() {
    // (conditions, whether some rule needs the request, its text)
    let cases = [
        (
            "model = \"a\", stream = true, team = \"t\", headers = { a = \"b\" }, tag = \"x\", days = [\"mon\"], operation = \"chat\"",
            false,
            false,
        ),
        ("percent = 5, sticky = \"request\"", false, false),
        ("percent = 5", true, false),
        ("user = \"u\"", true, false),
        ("has_tools = false", true, false),
        ("max_input_tokens = 1", true, false),
        ("max_difficulty = 0.5", true, true),
        ("words = \"x\"", true, true),
        ("pattern = \"x\"", true, true),
    ];
    for (when, request, text) in cases {
        let rules = rules(&[when, "stream = true"]);
        assert_eq!((rules.needs_request(), rules.needs_text()), (request, text), "{when}");
    }
    let world = World::default();
    let depends = |whens: &[&str]| world.ask(&rules(whens), |rules, asked| rules.depend_on_request(asked));
    assert!(depends(&["model = \"gpt-*\", max_input_tokens = 1"]));
    assert!(!depends(&["model = \"auto\", max_input_tokens = 1"]));
    assert!(!depends(&["stream = true", "max_input_tokens = 1"]));
    assert!(depends(&["stream = false", "max_input_tokens = 1"]));
    // A header names the user.
    assert!(!depends(&["user = \"u-7\"", "max_input_tokens = 1"]));
    assert!(depends(&["percent = 5, sticky = \"session\""]));
    assert!(!depends(&["percent = 5"]));
}

#[test]
fn hours_are_those_of_the_place_and_belong_to_the_day_of_their_beginning() {
    // Monday, 2026-11-23, 00:00 in Greenwich.
    const MONDAY: u64 = 1_795_392_000;
    // (conditions, day from Monday, hour, minute in Greenwich, whether they hold)
    let cases = [
        ("hours = \"08:00-18:00\"", 0, 8, 0, true),
        ("hours = \"08:00-18:00\"", 0, 7, 59, false),
        ("hours = \"08:00-18:00\"", 0, 17, 59, true),
        ("hours = \"08:00-18:00\"", 0, 18, 0, false),
        ("hours = \"08:00-18:00\", utc_offset = \"+02:00\"", 0, 6, 0, true),
        ("hours = \"08:00-18:00\", utc_offset = \"+02:00\"", 0, 16, 0, false),
        ("hours = \"08:00-18:00\", utc_offset = \"-05:30\"", 0, 13, 30, true),
        ("hours = \"08:00-18:00\", utc_offset = \"-05:30\"", 0, 13, 29, false),
        ("hours = \"22:00-06:00\"", 4, 23, 0, true),
        ("hours = \"22:00-06:00\"", 4, 5, 59, true),
        ("hours = \"22:00-06:00\"", 4, 6, 0, false),
        ("hours = \"22:00-06:00\", days = [\"fri\"]", 4, 22, 0, true),
        ("hours = \"22:00-06:00\", days = [\"fri\"]", 5, 3, 0, true),
        ("hours = \"22:00-06:00\", days = [\"fri\"]", 4, 3, 0, false),
        ("hours = \"22:00-06:00\", days = [\"fri\"]", 5, 22, 0, false),
        ("hours = \"22:00-06:00\", days = [\"sun\"]", 0, 2, 0, true),
        ("hours = \"18:00-24:00\", days = [\"wed\"]", 2, 23, 59, true),
        ("hours = \"18:00-24:00\", days = [\"wed\"]", 3, 0, 0, false),
        ("days = [\"mon\"]", 0, 0, 0, true),
        ("days = [\"mon\"]", 0, 23, 59, true),
        ("days = [\"mon\"]", 1, 0, 0, false),
        ("days = [\"mon\"], utc_offset = \"-03:00\"", 1, 2, 59, true),
        ("days = [\"sun\"], utc_offset = \"-03:00\"", 0, 2, 59, true),
        ("days = [\"tue\"], utc_offset = \"+14:00\"", 0, 10, 0, true),
        ("days = [\"sat\", \"sun\"]", 4, 12, 0, false),
        ("days = [\"sat\", \"sun\"]", 6, 12, 0, true),
    ];
    for (when, day, hour, minute, expected) in cases {
        let at = UNIX_EPOCH + Duration::from_secs(MONDAY + (day * 24 + hour) * 3600 + minute * 60 + 30);
        assert_eq!(World { at, ..World::default() }.matches(when), expected, "{when} {day} {hour}:{minute}");
    }
    // Clocks before the epoch: a Wednesday, 23:59.
    let before = World { at: UNIX_EPOCH - Duration::from_secs(1), ..World::default() };
    assert!(before.matches("hours = \"23:59-24:00\", days = [\"wed\"]"));
}

fn with_user(user: &str) -> World {
    let mut world = World::default();
    world.headers.insert("x-outrider-user", HeaderValue::from_str(user).unwrap());
    world
}

#[test]
fn a_share_is_as_large_as_it_says_and_keeps_who_is_in() {
    const USERS: u32 = 100_000;
    let percents = [0.1, 1.0, 5.0, 12.5, 50.0, 99.0, 100.0];
    let rules: Vec<Rules> = percents.iter().map(|percent| rules(&[&format!("percent = {percent}")])).collect();
    let mut counts = vec![0_u32; percents.len()];
    let mut world = World::default();
    for user in 0..USERS {
        world.headers.insert("x-outrider-user", HeaderValue::from_str(&format!("user-{user}")).unwrap());
        let mut before = false;
        for (rules, count) in rules.iter().zip(&mut counts) {
            let within = world.ask(rules, |rules, asked| rules.first(asked).is_some());
            assert!(within || !before, "user-{user} fell out of a larger share");
            before = within;
            *count += u32::from(within);
        }
    }
    for (percent, count) in percents.iter().zip(counts) {
        let (n, p) = (f64::from(USERS), percent / 100.0);
        let deviation = (n * p * (1.0 - p)).sqrt();
        assert!((f64::from(count) - n * p).abs() <= 4.0 * deviation, "{percent} %: {count}");
    }
}

#[test]
fn shares_hang_on_the_user_else_the_conversation_else_chance() {
    let of = |world: &World, when: &str| world.matches(when);
    let differs = |when: &str, change: &dyn Fn(&mut World, u64)| {
        let results: std::collections::HashSet<bool> = (0..200)
            .map(|n| {
                let mut world = World::default();
                change(&mut world, n);
                of(&world, when)
            })
            .collect();
        results.len() == 2
    };
    let user = |world: &mut World, n: u64| *world = with_user(&format!("u{n}"));
    let session = |world: &mut World, n: u64| world.features.session = n + 1;
    let draw = |world: &mut World, n: u64| world.draw = n;
    let (half, by_session, by_request) = ("percent = 50", "percent = 50, sticky = \"session\"", "percent = 50, sticky = \"request\"");
    assert!(differs(half, &user) && !differs(half, &session) && !differs(half, &draw));
    assert!(!differs(by_session, &user) && differs(by_session, &session) && !differs(by_session, &draw));
    assert!(!differs(by_request, &user) && !differs(by_request, &session) && differs(by_request, &draw));
    let nobody = |change: &dyn Fn(&mut World, u64), known: bool| {
        differs(half, &|world, n| {
            world.headers.clear();
            world.features.session = u64::from(known);
            change(world, n);
        })
    };
    assert!(nobody(&session, true) && nobody(&draw, false) && !nobody(&draw, true));
}

#[test]
fn each_rule_has_a_share_of_its_own() {
    let both = rules(&["percent = 50", "percent = 50, stream = true"]);
    let mut seen = std::collections::HashSet::new();
    for user in 0..200 {
        let steps = with_user(&user.to_string())
            .ask(&both, |rules, asked| rules.trace(asked).iter().map(|step| step.failed.is_none()).collect::<Vec<_>>());
        seen.insert(steps);
    }
    assert_eq!(seen.len(), 4);
}

/// Recorded requests, where they are.
#[test]
#[expect(clippy::print_stderr, reason = "what was skipped or checked is said aloud")]
fn recorded_requests_are_compared_without_a_panic() {
    #[expect(clippy::disallowed_methods, reason = "only tests look for recordings")]
    let root = std::env::var("OUTRIDER_CORPUS").map(PathBuf::from);
    let folder = root.unwrap_or_else(|_| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/traffic")).join("given");
    if !folder.is_dir() {
        eprintln!("SKIPPED: no recorded traffic (set OUTRIDER_CORPUS)");
        return;
    }
    let mut compared = 0;
    for path in
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "json"))
    {
        let exchange: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let body = exchange["request"]["body"].to_string();
        for dialect in Dialect::ALL {
            let Ok(request) = codec(dialect).decode_request(body.as_bytes()) else { continue };
            let (headers, identity) = (HeaderMap::new(), Identity::default());
            let caller = Caller::of(&identity, None, &headers).or_user(request.user.as_ref());
            let features = Features::of(&request);
            let asked = Asked {
                model: &request.model,
                operation: Operation::Chat,
                stream: request.stream,
                headers: &headers,
                caller: &caller,
                features: &features,
                request: Some(&request),
                at: UNIX_EPOCH,
                draw: 0,
            };
            let first = ALL.first(&asked).map(|found| found.index);
            assert_eq!(first, ALL.trace(&asked).iter().position(|step| step.failed.is_none()), "{path:?}");
            compared += 1;
        }
    }
    eprintln!("{compared} requests compared with {} rules", 2 * BOTH_WAYS.len());
}

fn any_text() -> impl Strategy<Value = String> {
    "\\PC{0,40}|[a-z .?\\\\u0-9`{};]{0,80}"
}

fn any_part() -> impl Strategy<Value = Part<'static>> {
    let leaf = prop_oneof![
        any_text().prop_map(|text| Part::text(Text::plain(text))),
        any_text().prop_map(|text| Part::Refusal(Text::plain(text))),
        // Not every text is the inside of a literal: reading it ends all the same.
        any_text().prop_map(|text| Part::text(Text::Escaped(Box::leak(text.into_boxed_str())))),
        (any_text(), any_text()).prop_map(|(a, b)| Part::ToolCall {
            id: Text::EMPTY,
            name: Text::plain(a),
            arguments: Text::plain(b),
            custom: false,
            cache: None
        }),
    ];
    leaf.prop_recursive(3, 12, 4, |part| {
        prop::collection::vec(part, 0..4).prop_map(|parts| Part::ToolResult { id: Text::EMPTY, parts, error: false, cache: None })
    })
}

proptest! {
    #[test]
    fn any_request_is_compared(
        turns in prop::collection::vec((0usize..4, prop::collection::vec(any_part(), 0..4)), 0..6),
        model in any_text(), draw in any::<u64>(), seconds in any::<u32>(), decoded in any::<bool>(),
    ) {
        let roles = [Role::System, Role::Developer, Role::User, Role::Assistant];
        let messages = turns.into_iter().map(|(role, parts)| Message::new(roles[role], parts)).collect();
        let request = Request { messages, model: model.into(), ..Request::default() };
        let world = World {
            features: Features::of(&request), request, decoded, draw, at: UNIX_EPOCH + Duration::from_secs(u64::from(seconds)), ..World::default()
        };
        let (first, steps) = world.ask(&ALL, |rules, asked| {
            (rules.first(asked).map(|found| found.index), rules.trace(asked).iter().position(|step| step.failed.is_none()))
        });
        prop_assert_eq!(first, steps);
    }
}
