//! What `[[prices]]` and `[[capabilities]]` change, and what they refuse.

use std::time::{Duration, SystemTime};

use super::*;
use crate::config::Target;
use crate::config::catalog::price::{Counted, Occasion};
use crate::config::catalog::{self, Capabilities};

const PROVIDERS: &str = "[providers.openai]\nkind = \"openai\"\napi_key = \"k\"\n[providers.azure]\nkind = \"azure\"\napi_key = \"k\"\nbase_url = \"https://r.openai.azure.com\"\n[providers.own]\nkind = \"vllm\"\n";

fn target(rows: &str, asked: &str) -> Target {
    loaded(&format!("{PROVIDERS}{rows}")).policy.find(asked).unwrap().targets[0].clone()
}

/// Input, cached input, cache write, output, reasoning.
fn usd(target: &Target, input_tokens: u64, service_tier: &str) -> [String; 5] {
    let occasion = Occasion { at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000), input_tokens, service_tier };
    let rates = target.facts.prices.rates(&occasion).unwrap_or_default();
    let all = [Counted::Input, Counted::CachedInput, Counted::CacheWrite, Counted::Output, Counted::Reasoning];
    all.map(|counted| rates.of(counted).map_or_else(|| "-".to_owned(), |rate| rate.to_string()))
}

#[test]
fn prices_of_the_policy_count_before_the_catalogues() {
    // (tables, model, tokens, tier, prices)
    let cases = [
        ("", "gpt-4.1-mini", 1, "", ["0.4", "0.1", "0.4", "1.6", "1.6"]),
        ("", "azure/some-deployment", 1, "", ["-"; 5]),
        // Nobody sends a bill for one's own server.
        ("", "own/some-model", 1, "", ["0"; 5]),
        // What is left out is the catalogue's, its conditions too; what is given holds on every occasion.
        ("model = \"gpt-5.5\"\ncached_input_usd = 0.25\n", "gpt-5.5", 1, "", ["5", "0.25", "5", "30", "30"]),
        ("model = \"gpt-5.5\"\ncached_input_usd = 0.25\n", "gpt-5.5", 300_000, "flex", ["5", "0.25", "5", "22.5", "22.5"]),
        ("model = \"gpt-5.5\"\ninput_usd = 1\n", "gpt-5.5", 300_000, "", ["1", "1", "1", "45", "45"]),
        (
            "model = \"gpt-4.1-mini\"\ninput_usd = 0.40\ncached_input_usd = 0.10\ncache_write_usd = 0.50\noutput_usd = 1.60\nreasoning_usd = 2\n",
            "openai/gpt-4.1-mini",
            1,
            "priority",
            ["0.4", "0.1", "0.5", "1.6", "2"],
        ),
        // The first that fits counts, and only for its provider.
        (
            "model = \"gpt-4.1*\"\ninput_usd = 9\noutput_usd = 9\n[[prices]]\nprovider = \"openai\"\nmodel = \"gpt-4.1-mini\"\ninput_usd = 8\n",
            "gpt-4.1-mini",
            1,
            "",
            ["9", "0.1", "9", "9", "9"],
        ),
        ("model = \"gpt-4.1-mini\"\ninput_usd = 9\n", "azure/gpt-4.1-mini", 1, "", ["0.4", "0.1", "0.4", "1.6", "1.6"]),
    ];
    for (rows, asked, tokens, tier, expected) in cases {
        let rows = if rows.is_empty() { String::new() } else { format!("[[prices]]\nprovider = \"openai\"\n{rows}") };
        assert_eq!(usd(&target(&rows, asked), tokens, tier), expected, "{rows} {asked}");
    }
    let free = "[[prices]]\nprovider = \"own\"\nmodel = \"*\"\ninput_usd = 0\noutput_usd = 0.0\n";
    assert_eq!(usd(&target(free, "own/anything/at-all"), 1, ""), ["0"; 5]);
}

#[test]
fn prices_of_the_policy_hold_when_they_say() {
    let rows = r#"
[[prices]]
provider = "azure"
model = "m"
input_usd = 2
output_usd = 4
[[prices]]
provider = "azure"
model = "m"
from = 2027-01-16
tier = "batch"
output_usd = 9
[[prices]]
provider = "azure"
model = "m"
from = 2027-01-15
input_usd = 3
[[prices]]
provider = "azure"
model = "m"
tier = "batch"
input_usd = 1
[[prices]]
provider = "azure"
model = "m"
above_input_tokens = 100
output_usd = 5
[[prices]]
provider = "azure"
model = "m"
tier = "batch"
above_input_tokens = 100
output_usd = 2.5
"#;
    let target = target(rows, "azure/m");
    // The day in question is 2027-01-15. (tokens, tier, input, output)
    for (tokens, tier, input, output) in
        [(100, "", "3", "4"), (101, "default", "3", "5"), (100, "batch", "1", "4"), (101, "batch", "1", "2.5"), (101, "flex", "3", "5")]
    {
        let [found_input, .., found_output, _] = usd(&target, tokens, tier);
        assert_eq!([found_input, found_output], [input, output], "{tokens} {tier}");
    }
    let occasion = Occasion { at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_799_971_199), input_tokens: 1, service_tier: "" };
    assert_eq!(target.facts.prices.rates(&occasion).unwrap().of(Counted::Input).unwrap().to_string(), "2", "a second before midnight");
}

#[test]
fn capabilities_of_the_policy_count_before_the_catalogues() {
    let rows = r#"
[[capabilities]]
provider = "azure"
model = "prod-*"
same_as = "gpt-5-pro"
context_tokens = 123
vision = false
sampling = true
[[capabilities]]
provider = "own"
model = "thinker"
output_tokens = 777
reasoning = "always"
structured_output = false
forced_tool = false
tools = true
system_in_messages = true
[[prices]]
provider = "azure"
model = "prod-*"
input_usd = 1
output_usd = 2
"#;
    let deployment = target(rows, "azure/prod-1");
    let known = catalog::facts("azure", "gpt-5-pro");
    assert_eq!((deployment.facts.context_tokens, deployment.facts.output_tokens), (Some(123), known.output_tokens));
    assert_eq!((known.knows(Capabilities::VISION), deployment.facts.knows(Capabilities::VISION)), (Some(true), Some(false)));
    assert!(deployment.traits.sampling && !catalog::traits("azure", "gpt-5-pro").sampling);
    assert_eq!(&*deployment.dialects, [Dialect::OpenAiResponses]);
    assert_eq!(deployment.model, "prod-1");
    assert_eq!(usd(&deployment, 1, "")[..1], ["1"]);

    let thinker = target(rows, "own/thinker");
    let traits = &thinker.traits;
    assert_eq!((traits.thinking, traits.output_tokens_default), (Thinking::Always, 777));
    assert!(!traits.structured_output && !traits.forced_tool && traits.system_in_messages && traits.sampling);
    assert_eq!(thinker.facts.knows(Capabilities::REASONING), Some(true));
    assert_eq!(thinker.facts.knows(Capabilities::TOOLS), Some(true));
    assert_eq!(target(rows, "own/other").traits, catalog::traits("vllm", "other"));
}

#[test]
fn what_cannot_be_meant_is_refused_where_it_stands() {
    // (tables, faults behind the file's name)
    let cases: [(&str, &[&str]); 13] = [
        (
            "[[prices]]\ninput_usd = 1\n",
            &[
                "10:1: prices[0].provider: is missing (which provider's model this is about, as provider = \"openai\", model = \"gpt-4.1\")",
                "10:1: prices[0].model: is missing (which provider's model this is about, as provider = \"openai\", model = \"gpt-4.1\")",
            ],
        ),
        (
            "[[prices]]\nprovider = \"opnai\"\nmodel = \"gpt-4.1\"\ninput_usd = 1\n",
            &["11:12: prices[0].provider: no provider named \"opnai\" (did you mean \"openai\"?)"],
        ),
        (
            "[[prices]]\nprovider = \"openai\"\nmodel = \"gpt-4.1\"\ninputusd = 1\n",
            &["13:1: prices[0].inputusd: unknown key (did you mean \"input_usd\"?)"],
        ),
        (
            "[[prices]]\nprovider = \"azure\"\nmodel = \"m\"\ninput_usd = 1\n",
            &["10:1: prices[0].output_usd: is missing: the catalogue has no price of \"m\" to take instead (0 where it is free)"],
        ),
        (
            "[[prices]]\nprovider = \"openai\"\nmodel = \"gpt-4.1\"\ninput_usd = -1\n",
            &["13:13: prices[0].input_usd: \"-1\" is not a price in USD, as 0.25"],
        ),
        (
            "[[prices]]\nprovider = \"openai\"\nmodel = \"gpt-4.1\"\ninput_usd = 1e2\n",
            &["13:13: prices[0].input_usd: \"1e2\" is not a price in USD, as 0.25"],
        ),
        (
            "[[prices]]\nprovider = \"openai\"\nmodel = \"gpt-4.1\"\ninput_usd = 0.12345678\n",
            &["13:13: prices[0].input_usd: 0.12345678 is finer than a millionth of a dollar"],
        ),
        (
            "[[prices]]\nprovider = \"azure\"\nmodel = \"m\"\ntier = \"batch\"\ninput_usd = 1\noutput_usd = 1\n[[prices]]\nprovider = \"azure\"\nmodel = \"m\"\nabove_input_tokens = 1\ninput_usd = 2\n",
            &["16:1: prices[1].output_usd: is missing: the catalogue has no price of \"m\" to take instead (0 where it is free)"],
        ),
        (
            "[[prices]]\nprovider = \"openai\"\nmodel = \"gpt-4.1\"\nfrom = \"soon\"\ntier = \"cheap\"\nabove_input_tokens = 0\nrequest_usd = 1001\n",
            &[
                "13:8: prices[0].from: expected a date, as 2026-01-01, found a string",
                "14:8: prices[0].tier: expected one of \"batch\", \"flex\", \"balanced\", \"priority\", \"fast\", \"ultrafast\", found \"cheap\"",
                "15:22: prices[0].above_input_tokens: expected a whole number from 1 to 1000000000",
                "16:15: prices[0].request_usd: 1001 is more than a thousand dollars for one",
            ],
        ),
        (
            "[[prices]]\nprovider = \"openai\"\nmodel = \"gpt-4.1\"\nfrom = 2027-01-01T10:00:00Z\n",
            &["13:8: prices[0].from: expected a date since 1970 alone, as 2026-01-01, found 2027-01-01T10:00:00Z"],
        ),
        (
            "[[prices]]\nprovider = \"openai\"\nmodel = \"gpt-4.1\"\ninput_usd = true\n",
            &["13:13: prices[0].input_usd: expected a number, as 0.25, found a boolean"],
        ),
        (
            "[[prices]]\nprovider = \"openai\"\nmodel = \"gpt-4.1\"\n[[prices]]\nprovider = \"openai\"\nmodel = \"gpt-4.1\"\n",
            &["15:9: prices[1].model: prices[0] is about \"gpt-4.1\" of \"openai\" already"],
        ),
        (
            "[[capabilities]]\nprovider = \"own\"\nmodel = \"m\"\nreasoning = \"sometimes\"\ncontext_tokens = 0\n",
            &[
                "13:13: capabilities[0].reasoning: expected one of \"none\", \"budget\", \"effort\", \"always\", found \"sometimes\"",
                "14:18: capabilities[0].context_tokens: expected a whole number from 1 to 1000000000",
            ],
        ),
    ];
    for (rows, expected) in cases {
        let expected: Vec<_> = expected.iter().map(|text| format!("conf/sidecar.toml:{text}")).collect();
        assert_eq!(faults(&format!("{PROVIDERS}{rows}")), expected, "{rows}");
    }
}
