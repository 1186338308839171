//! Tests of the rules' tables.

use super::*;
use crate::config::routes::Glob;

const BASE: &str = "[providers.openai]\nkind = \"openai\"\napi_key = \"k\"\n[[models]]\nname = \"fast\"\ntargets = [{ provider = \"openai\", model = \"gpt-4.1-mini\" }]\n";

fn rule(lines: &str) -> String {
    format!("{BASE}[[routes]]\n{lines}\n")
}

#[test]
fn a_rule_that_cannot_work_is_refused_with_its_place_and_what_was_meant() {
    // (the rule's lines, its faults, without file, line and column)
    let cases: &[(&str, &[&str])] = &[
        ("", &["routes[0].use: is missing (the alias or provider/model that is asked, or deny = \"why not\")"]),
        (
            "use = \"fast\"\ndeny = \"no\"",
            &["routes[0].deny: stands beside use: a rule either names a model or refuses (leave one of them out)"],
        ),
        ("use = \"fats\"", &["routes[0].use: No model named \"fats\" is configured (did you mean \"fast\"?)"]),
        ("use = \"opnai/x\"", &["routes[0].use: No model named \"opnai/x\" is configured (did you mean \"openai/x\"?)"]),
        ("deny = \"\"", &["routes[0].deny: is empty (leave the key out, or give it a value)"]),
        ("use = \"fast\"\nwhen = \"always\"", &["routes[0].when: expected a table, found a string"]),
        ("use = \"fast\"\nwen = {}", &["routes[0].wen: unknown key (did you mean \"when\"?)"]),
        (
            "use = \"fast\"\nwhen = { max_input_token = 1 }",
            &["routes[0].when.max_input_token: unknown key (did you mean \"max_input_tokens\"?)"],
        ),
        (
            "use = \"fast\"\nwhen = { min_messages = 3, max_messages = 2, min_difficulty = 0.5, max_difficulty = 0.4 }",
            &[
                "routes[0].when.max_messages: is less than min_messages, so that the rule would never match",
                "routes[0].when.max_difficulty: is less than min_difficulty, so that the rule would never match",
            ],
        ),
        (
            "use = \"fast\"\nwhen = { model = [], words = [], headers = {}, days = [], operation = [] }",
            &[
                "routes[0].when.model: is empty, so that the rule would never match (leave the key out to match all)",
                "routes[0].when.words: is empty, so that the rule would never match (leave the key out to match all)",
                "routes[0].when.headers: is empty (expected { NAME = \"PATTERN\" }, as { x-env = \"staging\" })",
                "routes[0].when.days: is empty, so that the rule would never match (leave the key out to match all)",
                "routes[0].when.operation: is empty, so that the rule would never match (leave the key out to match all)",
            ],
        ),
        (
            "use = \"fast\"\nwhen = { model = 3, has_tools = \"no\", max_input_tokens = -1, max_difficulty = 2 }",
            &[
                "routes[0].when.model: expected a string or an array of strings, found a number",
                "routes[0].when.has_tools: expected true or false, found a string",
                "routes[0].when.max_input_tokens: expected a whole number from 0 to 1000000000",
                "routes[0].when.max_difficulty: expected a share from 0 to 1, as 0.05",
            ],
        ),
        (
            "use = \"fast\"\nwhen = { operation = \"chats\", days = [\"mo\", \"tue\", \"tue\"] }",
            &[
                "routes[0].when.operation: no operation named \"chats\" (did you mean \"chat\"?): expected one of chat, embeddings, count_tokens, opaque",
                "routes[0].when.days[0]: no day named \"mo\" (did you mean \"mon\"?): expected one of mon, tue, wed, thu, fri, sat, sun",
                "routes[0].when.days[2]: \"tue\" stands twice",
            ],
        ),
        (
            "use = \"fast\"\nwhen = { hours = \"8-18\", utc_offset = \"CET\" }",
            &[
                "routes[0].when.hours: \"8-18\" is no span of hours: expected HH:MM-HH:MM, as \"08:00-18:00\"",
                "routes[0].when.utc_offset: \"CET\" is no distance from UTC: expected \"+HH:MM\" or \"-HH:MM\" up to 14 hours, as \"+02:00\"",
            ],
        ),
        (
            "use = \"fast\"\nwhen = { utc_offset = \"+02:00\", sticky = \"user\" }",
            &[
                "routes[0].when.utc_offset: has a meaning beside hours or days only",
                "routes[0].when.sticky: has a meaning beside percent only: it says by what a request is in the share",
            ],
        ),
        (
            "use = \"fast\"\nwhen = { percent = 101, sticky = \"usr\" }",
            &[
                "routes[0].when.percent: expected a number from 0 to 100, as 5 or 0.5",
                "routes[0].when.sticky: no way to be sticky named \"usr\" (did you mean \"user\"?): expected one of user, session, request",
            ],
        ),
        ("use = \"fast\"\nwhen = { percent = 0.00001 }", &["routes[0].when.percent: is too fine: the least share is 0.0001"]),
        (
            "use = \"fast\"\nwhen = { pattern = \"a(b\" }",
            &["routes[0].when.pattern: is not a regular expression: unclosed group (at its character 2)"],
        ),
        (
            "use = \"fast\"\nwhen = { pattern = '\\w{1000}' }",
            &["routes[0].when.pattern: is too large when compiled (smaller repetitions, fewer \\w and \\d)"],
        ),
        (
            "use = \"fast\"\nwhen = { headers = { \"a b\" = \"x\", Authorization = \"*\", X-A = \"1\", x-a = \"2\" } }",
            &[
                "routes[0].when.headers.\"a b\": \"a b\" is not a header name (letters, digits and \"-\")",
                "routes[0].when.headers.Authorization: the header authorization is a credential, by which no rule decides",
                "routes[0].when.headers.x-a: the header x-a stands twice (names do not differ by case)",
            ],
        ),
        (
            "name = \"a\"\nuse = \"fast\"\nwhen = { stream = true }\n[[routes]]\nname = \"a\"\nuse = \"fast\"",
            &["routes[1].name: routes[0] has the name \"a\" already (names are unique)"],
        ),
    ];
    for (lines, expected) in cases {
        let found = faults(&rule(lines));
        let found: Vec<_> = found.iter().map(|fault| fault.splitn(4, ':').nth(3).unwrap_or_default().trim_start()).collect();
        assert_eq!(found, *expected, "{lines}");
    }
    let placed = faults(&rule("use = \"fast\"\nwhen = { model = \"m\", pattern = \"[\" }"));
    assert!(placed[0].starts_with("conf/sidecar.toml:9:33: routes[0].when.pattern: "), "{placed:?}");
}

#[test]
fn hours_and_offsets_are_read_as_people_write_them() {
    let clock = |when: &str| {
        let config = loaded(&rule(&format!("use = \"fast\"\nwhen = {{ {when} }}")));
        config.policy.routes[0].when.time.map(|clock| (clock.from, clock.until, clock.offset_minutes))
    };
    let cases = [
        ("hours = \"08:00-18:00\"", (480, 1080, 0)),
        ("hours = \"8:00 - 18:30\", utc_offset = \"Z\"", (480, 1110, 0)),
        ("hours = \"22:00-06:00\", utc_offset = \"+05:45\"", (1320, 360, 345)),
        ("hours = \"18:00-24:00\", utc_offset = \"-3:30\"", (1080, 1440, -210)),
        ("hours = \"18:00-00:00\"", (1080, 1440, 0)),
        ("days = [\"sat\"], utc_offset = \"-14:00\"", (0, 1440, -840)),
    ];
    for (when, expected) in cases {
        assert_eq!(clock(when), Some(expected), "{when}");
    }
    for wrong in
        ["24:00-06:00", "08:60-09:00", "08:00", "08:00-08:00", "08:00-25:00", "aa:00-bb:00", "", "+8:00-9:00", "008:00-9:00", "8:0-9:00"]
    {
        let found = faults(&rule(&format!("use = \"fast\"\nwhen = {{ hours = {wrong:?} }}")));
        assert_eq!(found.len(), 1, "{wrong}: {found:?}");
    }
    for wrong in ["2", "+14:01", "02:00", "+-2:00", "+2", "−02:00", "é"] {
        let found = faults(&rule(&format!("use = \"fast\"\nwhen = {{ days = [\"mon\"], utc_offset = {wrong:?} }}")));
        assert_eq!(found.len(), 1, "{wrong}: {found:?}");
    }
}

#[test]
fn what_comes_after_a_rule_for_everything_is_told() {
    let two = |first: &str| warnings(&rule(&format!("{first}\nuse = \"fast\"\n[[routes]]\nuse = \"fast\"\nwhen = {{ stream = true }}")));
    for first in ["", "when = {}", "when = { model = \"*\" }", "when = { percent = 100 }"] {
        let expected = "is never reached: routes[0] matches everything";
        assert!(two(first).iter().any(|warning| warning.ends_with(expected)), "{first}: {:?}", two(first));
    }
    for first in ["when = { model = \"a*\" }", "when = { percent = 99.9 }", "when = { user = \"*\" }"] {
        assert_eq!(two(first), Vec::<String>::new(), "{first}");
    }
    let none = warnings(&rule("use = \"fast\"\nwhen = { percent = 0 }"));
    assert!(none[0].ends_with("routes[0].when.percent: is 0, so that the rule never matches"), "{none:?}");
}

#[test]
fn a_rule_names_whatever_a_caller_may_ask_for() {
    for name in ["fast", "openai/anything", "gpt-5"] {
        assert_eq!(loaded(&rule(&format!("use = {name:?}"))).policy.routes[0].then, Then::Use(name.into()));
    }
    let many = "[[routes]]\nuse = \"fast\"\nwhen = { stream = true }\n".repeat(1001);
    assert!(faults(&format!("{BASE}{many}"))[0].ends_with("routes: 1001 rules are too many: at most 1000"));
}

#[test]
fn words_are_found_whole_and_in_whatever_case() {
    let found = |words: &str, text: &str| {
        let config = loaded(&rule(&format!("use = \"fast\"\nwhen = {{ words = {words} }}")));
        config.policy.routes[0].when.words.as_ref().unwrap().are_in(text)
    };
    let cases = [
        ("[\"pro\"]", "a Pro, really", true),
        ("[\"pro\"]", "prove it", false),
        ("[\"pro\", \"prove\"]", "prove", true),
        ("[\"new york city\", \"new york\"]", "new  york citys", true),
        ("[\"new york\"]", "new\nYork", true),
        ("[\"c++\"]", "(C++11)", true),
        ("[\"c++\"]", "abc++", false),
        ("[\"a.b\"]", "axb", false),
        ("\"straße\"", "STRAßE!", true),
        ("[\"stra\"]", "straße", false),
        ("[\"翻译\"]", "请翻译这句话", true),
        ("[\"ใจ\"]", "ขอบใจมาก", true),
        ("[\"traduire\"]", "«traduire»", true),
        ("[\"x\"]", "", false),
    ];
    for (words, text, expected) in cases {
        assert_eq!(found(words, text), expected, "{words} in {text:?}");
    }
    let thousand: Vec<_> = (0..1000).map(|n| format!("\"word{n}\"")).collect();
    assert!(found(&format!("[{}]", thousand.join(",")), "the Word999 it is"));
}

proptest! {
    #[test]
    fn a_pattern_means_what_every_other_pattern_of_the_file_means(pattern in "[ab*]{0,6}", text in "[ab]{0,6}") {
        prop_assert_eq!(Glob::new(&pattern).matches(&text), matches(&pattern, &text), "{} {}", pattern, text);
    }
}
