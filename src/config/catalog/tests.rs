use std::process::Command;
use std::time::{Duration, SystemTime};

use super::price::{Counted, Occasion, Rate};
use super::*;
use crate::ir::{ServiceTier, Thinking};

/// An ordinary request on a working day's noon; 2026-11-25 is a Wednesday.
fn noon() -> SystemTime {
    on("2026-11-25T12:00:00Z")
}

fn on(time: &str) -> SystemTime {
    humantime::parse_rfc3339(time).unwrap()
}

fn price(kind: &str, model: &str, counted: Counted, occasion: &Occasion<'_>) -> String {
    let rates = facts(kind, model).prices.rates(occasion);
    rates.and_then(|rates| rates.of(counted)).map_or_else(|| "-".to_owned(), |rate| rate.to_string())
}

const fn ordinary(at: SystemTime) -> Occasion<'static> {
    Occasion { at, input_tokens: 1_000, service_tier: "standard" }
}

#[test]
fn models_are_found_by_what_they_are_called() {
    // (kind, name, context, output, price of input, of output)
    let cases = [
        ("openai", "gpt-4.1-mini", 1_047_576, 32_768, "0.4", "1.6"),
        ("openai", "gpt-4.1-mini-2025-04-14", 1_047_576, 32_768, "0.4", "1.6"),
        ("openai", "GPT-5", 272_000, 128_000, "1.25", "10"),
        ("openai", "gpt-5-2025-08-07", 272_000, 128_000, "1.25", "10"),
        ("openai", "gpt-6-sol-2026-12-31", 922_000, 128_000, "2", "10"),
        ("openai", "o3", 200_000, 100_000, "2", "8"),
        ("openai", "ft:gpt-4.1-mini-2025-04-14:org:suffix:AbC12", 1_047_576, 32_768, "0.8", "3.2"),
        ("openai", "text-embedding-3-large", 8_191, 0, "0.13", "0"),
        ("azure", "gpt-4.1", 1_047_576, 32_768, "2", "8"),
        ("azure", "gpt-35-turbo", 4_097, 4_096, "0.5", "1.5"),
        ("anthropic", "claude-haiku-4-5", 200_000, 64_000, "1", "5"),
        ("anthropic", "claude-haiku-4-5-20251001", 200_000, 64_000, "1", "5"),
        ("anthropic", "claude-opus-4-8", 1_000_000, 128_000, "5", "25"),
        ("anthropic", "claude-3-5-sonnet-latest", 200_000, 0, "3", "15"),
        ("anthropic", "claude-3-5-sonnet-20241022", 200_000, 0, "3", "15"),
        ("gemini", "gemini-2.5-pro", 1_048_576, 65_536, "1.25", "10"),
        ("gemini", "models/gemini-2.5-pro", 1_048_576, 65_536, "1.25", "10"),
        ("gemini", "gemini-4-argon", 1_048_576, 1_048_576, "2", "10"),
        ("vertex", "gemini-2.5-flash", 1_048_576, 65_535, "0.3", "2.5"),
        ("vertex", "publishers/google/models/gemini-2.5-flash", 1_048_576, 65_535, "0.3", "2.5"),
        ("vertex", "claude-haiku-4-5@20251001", 200_000, 64_000, "1", "5"),
        ("vertex", "claude-opus-4-8@20991231", 1_000_000, 128_000, "5", "25"),
        ("bedrock", "anthropic.claude-haiku-4-5-20251001-v1:0", 200_000, 64_000, "1.1", "5.5"),
        ("bedrock", "global.anthropic.claude-haiku-4-5-20251001-v1:0", 200_000, 64_000, "1", "5"),
        ("bedrock", "us.anthropic.claude-opus-5-5", 1_000_000, 128_000, "4.4", "22"),
        ("bedrock", "us.anthropic.claude-opus-5-5-v1:0", 1_000_000, 128_000, "4.4", "22"),
        ("bedrock", "us.anthropic.claude-opus-5-5-20261001-v2:0", 1_000_000, 128_000, "4.4", "22"),
        (
            "bedrock",
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-opus-5-5",
            1_000_000,
            128_000,
            "4.4",
            "22",
        ),
        ("bedrock", "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0", 300_000, 10_000, "0.8", "3.2"),
        ("bedrock", "sa.amazon.nova-pro-v1:0", 300_000, 10_000, "0.8", "3.2"),
        ("bedrock", "meta.llama3-3-70b-instruct-v1:0", 128_000, 4_096, "0.72", "0.72"),
        ("mistral", "mistral-large-latest", 262_144, 262_144, "0.5", "1.5"),
        ("groq", "openai/gpt-oss-120b", 131_072, 65_536, "0.15", "0.6"),
        ("deepseek", "deepseek-v4-pro", 1_000_000, 393_216, "0.66", "1.98"),
        ("xai", "grok-4.5", 500_000, 500_000, "2", "6"),
        ("cohere", "command-a-03-2025", 256_000, 8_000, "2.5", "10"),
        ("cerebras", "gpt-oss-120b", 131_072, 32_768, "0.35", "0.75"),
        ("together", "moonshotai/Kimi-K3", 1_048_576, 1_048_576, "3", "15"),
        ("openrouter", "anthropic/claude-opus-5", 1_000_000, 128_000, "5", "25"),
        ("moonshot", "kimi-k3", 1_048_576, 1_048_576, "3", "15"),
    ];
    for (kind, model, context, output, input_usd, output_usd) in cases {
        let found = facts(kind, model);
        let bounds = (found.context_tokens.unwrap_or(0), found.output_tokens.unwrap_or(0));
        let usd = [Counted::Input, Counted::Output].map(|counted| price(kind, model, counted, &ordinary(noon())));
        assert_eq!((bounds, usd), ((context, output), [input_usd.into(), output_usd.into()]), "{kind} {model}");
    }
}

#[test]
fn what_is_not_known_stays_unknown() {
    let strange = "x".repeat(1_000_000);
    let names = [
        "",
        "-",
        ":",
        "@",
        "/",
        "é",
        "-é-0000-00-0",
        "gpt",
        "gpt-4.1-min",
        "gpt-4.1-mini-tiny",
        "my-deployment",
        "\t",
        "\n",
        strange.as_str(),
    ];
    for kind in ["openai", "bedrock", "vertex", "azure", "no-kind", ""] {
        for name in names {
            let found = facts(kind, name);
            assert!(found.prices.is_empty(), "{kind} {name:.20}");
            assert_eq!(Facts { prices: price::Prices::default(), ..found }, Facts::default(), "{kind} {name:.20}");
        }
    }
    // A free variant does not cost what the model does, and a model's maker does not set its host's price.
    assert!(facts("openrouter", "anthropic/claude-opus-5:unheard").prices.is_empty());
    assert!(facts("azure", "prod-claude-opus-4-8").prices.is_empty());
    assert_eq!(facts("azure", "prod-claude-opus-4-8").context_tokens, Some(1_000_000));
}

#[test]
fn prices_follow_the_occasion() {
    use Counted::{CacheWrite1h, CachedInput, Input, Output, Reasoning, Search};
    let day = |time| on(time);
    let (peak, dawn, saturday) = (day("2026-11-25T02:00:00Z"), day("2026-11-25T00:59:59Z"), day("2026-11-28T02:00:00Z"));
    // (kind, model, what, when, tokens of the prompt, tier, price)
    let cases = [
        ("openai", "gpt-5.5", Input, noon(), 272_000, "default", "5"),
        ("openai", "gpt-5.5", Input, noon(), 272_001, "default", "10"),
        ("openai", "gpt-5.5", CachedInput, noon(), 272_001, "default", "1"),
        ("openai", "gpt-5.5", Output, noon(), 1, "flex", "15"),
        ("openai", "gpt-5.5", Output, noon(), 300_000, "flex", "22.5"),
        ("openai", "gpt-5.5", Output, noon(), 1, "priority", "75"),
        ("openai", "gpt-5.5", Output, noon(), 1, "batch", "15"),
        // Without a price of its own reasoning is output.
        ("openai", "gpt-5.5", Reasoning, noon(), 1, "", "30"),
        ("openai", "gpt-5.5", Search, noon(), 1, "", "10"),
        ("anthropic", "claude-opus-4-8", CacheWrite1h, noon(), 1, "standard", "10"),
        ("anthropic", "claude-haiku-5-5", Input, noon(), 100_001, "standard", "0.5"),
        ("anthropic", "claude-haiku-5-5", Input, noon(), 100_001, "batch", "0.25"),
        ("gemini", "gemini-3.8-flash", Input, day("2026-12-31T23:59:59Z"), 1, "standard", "0.75"),
        ("gemini", "gemini-3.8-flash", Input, day("2027-01-01T00:00:00Z"), 1, "standard", "1.5"),
        ("gemini", "gemini-3.8-flash", Input, day("2027-01-01T00:00:00Z"), 1, "batch", "0.75"),
        // All before the day has ended, the old price of reasoning too.
        ("gemini", "gemini-3.8-flash", Reasoning, day("2027-01-01T00:00:00Z"), 1, "standard", "7.5"),
        ("deepseek", "deepseek-v4-pro", Input, peak, 1, "standard", "1.32"),
        ("deepseek", "deepseek-v4-pro", Input, dawn, 1, "standard", "0.66"),
        ("deepseek", "deepseek-v4-pro", Input, saturday, 1, "standard", "0.66"),
        ("deepseek", "deepseek-v4-pro", CachedInput, dawn, 1, "standard", "0.022"),
        ("cohere", "rerank-v3.5", Counted::Request, noon(), 1, "", "2"),
        ("openai", "gpt-4.1", Input, SystemTime::UNIX_EPOCH - Duration::from_secs(9), 1, "", "2"),
    ];
    for (kind, model, counted, at, input_tokens, service_tier, usd) in cases {
        let occasion = Occasion { at, input_tokens, service_tier };
        assert_eq!(price(kind, model, counted, &occasion), usd, "{kind} {model} {counted:?} {input_tokens} {service_tier}");
    }
}

#[test]
fn parts_rise_with_what_they_are_part_of() {
    let prices = price::Prices::listed("i1 r0.1 w1.25 o4 t5|@priority i2 o8 w3");
    let rates = |service_tier| prices.rates(&Occasion { at: noon(), input_tokens: 1, service_tier }).unwrap();
    let of = |service_tier, counted| rates(service_tier).of(counted).map(|rate| rate.to_string()).unwrap_or_default();
    for (counted, usual, dear) in [
        (Counted::Input, "1", "2"),
        (Counted::CachedInput, "0.1", "0.2"),
        (Counted::CacheWrite, "1.25", "3"),
        (Counted::Output, "4", "8"),
        (Counted::Reasoning, "5", "10"),
    ] {
        assert_eq!([of("", counted), of("priority", counted)], [usual, dear], "{counted:?}");
    }
    // They do not fall with it: a list that is silent of a part has not said that it costs less.
    let batch = Occasion { service_tier: "batch", ..ordinary(noon()) };
    let rates = price::Prices::listed("i1 r0.1 o4|@batch i0.5 o2").rates(&batch).unwrap();
    assert_eq!([Counted::Input, Counted::CachedInput].map(|counted| rates.of(counted)), ["0.5", "0.1"].map(|usd| Rate::parse(usd).ok()));
    // From nothing there is no telling by how much.
    let priority = Occasion { service_tier: "priority", ..ordinary(noon()) };
    let rates = price::Prices::listed("i0 r0.1 o4|@priority i2").rates(&priority).unwrap();
    assert_eq!(rates.of(Counted::CachedInput), Rate::parse("0.1").ok());
    assert!(price::Prices::listed("").rates(&priority).is_none(), "nothing is known");
}

#[test]
fn hours_days_tiers_and_lengths_hold_at_once() {
    const LIST: &str = "i1 o2|>100 i3|@batch i5|off:1234567/0000-0600 i7|off:67/0600-2400 i9|off:67/0600-2400 @batch i10\
        |from:2026-12-01 i11 o2|from:2026-12-01 @batch i15|from:2026-12-01 >100 i13|from:2026-12-01 off:1234567/0000-0600 i17\
        |from:2026-12-01 off:67/0600-2400 i19";
    let prices = price::Prices::listed(LIST);
    let tariff = price::Tariff::new(&prices);
    let mut seen = std::collections::BTreeSet::new();
    for time in ["2026-11-25T12:00:00Z", "2026-11-25T03:00:00Z", "2026-11-28T12:00:00Z"] {
        for days in [0, 7, 14] {
            for (input_tokens, service_tier) in [(100, ""), (101, ""), (100, "batch"), (101, "batch")] {
                let at = on(time) + Duration::from_secs(days * 86_400);
                let rates = prices.rates(&Occasion { at, input_tokens, service_tier }).unwrap();
                let tier = ServiceTier::named(service_tier).unwrap_or(ServiceTier::Standard);
                let rate = tariff.terms(at, input_tokens, tier, false).rate(Counted::Input);
                assert_eq!(Some(rate), rates.of(Counted::Input), "{time} + {days} {input_tokens} {service_tier}");
                seen.insert(rate.to_string());
            }
        }
    }
    assert!(seen.len() >= 8, "{seen:?}");
}

#[test]
fn regional_endpoints_of_vertex_cost_more_for_the_newer_claude() {
    for (kind, location, model, usd) in [
        ("vertex", "global", "claude-sonnet-4-5@20250929", "1"),
        ("vertex", "europe-west1", "claude-sonnet-4-5@20250929", "1.1"),
        ("vertex", "us-east5", "publishers/anthropic/models/claude-opus-5", "1.1"),
        ("vertex", "us-east5", "claude-opus-4", "1"),
        ("vertex", "us-east5", "claude-opus-4@20250514", "1"),
        ("vertex", "us-east5", "claude-opus-4-1", "1"),
        ("vertex", "us-east5", "claude-sonnet-4", "1"),
        ("vertex", "us-east5", "claude-3-5-haiku@20241022", "1"),
        ("vertex", "us-east5", "gemini-2.5-pro", "1"),
        ("anthropic", "us-east5", "claude-opus-5", "1"),
    ] {
        let habits = price::Habits { kind, ..price::Habits::default() };
        let rates = price::Prices::listed("i1").charged(habits).at(location, model).rates(&ordinary(noon())).unwrap();
        assert_eq!(rates.of(Counted::Input), Rate::parse(usd).ok(), "{kind} {location} {model}");
    }
}

#[test]
fn rates_are_exact() {
    for (text, units) in [("0", 0), ("0.40", 400_000), ("1.60", 1_600_000), ("0.000001", 1), ("12", 12_000_000), ("0.1250000000", 125_000)]
    {
        assert_eq!(Rate::parse(text).map(Rate::units), Ok(units), "{text}");
    }
    for text in
        ["", ".", ".5", "5.", "-1", "1e3", "nan", "inf", "0.0000001", "1000001", "99999999999999999999999", "1,5", "1_0", "0x1", "١"]
    {
        assert!(Rate::parse(text).is_err(), "{text}");
    }
    assert_eq!(Rate::parse("1000000").map(|rate| rate.to_string()), Ok("1000000".into()));
    assert_eq!(Rate::parse("0.0125").map(|rate| rate.to_string()), Ok("0.0125".into()));
}

#[test]
fn the_table_is_in_order_and_sane() {
    let mut before = ("", "");
    let mut odd = Vec::new();
    for line in models::body().lines() {
        let columns: Vec<_> = line.split('\t').collect();
        let &[kind, model, mode, context, output, flags, prices] = columns.as_slice() else { panic!("{line}") };
        assert!(before < (kind, model), "not in order, or twice: {line}");
        before = (kind, model);
        assert!(super::super::kinds::kind(kind).is_some(), "no such kind: {line}");
        assert_eq!(model, model.to_ascii_lowercase());
        assert!(mode.is_empty() || Mode::named(mode).is_some(), "{line}");
        assert!([context, output].iter().all(|tokens| tokens.is_empty() || tokens.parse::<u32>().is_ok_and(|tokens| tokens > 0)), "{line}");
        let known: usize = Capabilities::ALL.iter().filter(|(_, each)| Capabilities::read(flags).has(*each)).count();
        assert_eq!(known, flags.replace('-', "").len(), "a letter twice, or unknown: {line}");
        for word in prices.split(['|', ' ']).filter(|word| !word.is_empty()) {
            let condition = word.starts_with(['>', '@']) || word.contains(':');
            assert!(condition || word.get(1..).is_some_and(|rate| Rate::parse(rate).is_ok()), "{word} of {line}");
        }
        let found = facts(kind, model);
        let rates = found.prices.rates(&ordinary(noon())).unwrap_or_default();
        let cached_costs_more = rates.own(Counted::CachedInput) > rates.own(Counted::Input) && rates.own(Counted::Input).is_some();
        let dear = [Counted::Input, Counted::Output].iter().any(|counted| rates.of(*counted) > Rate::parse("1000").ok());
        if cached_costs_more || dear {
            odd.push(format!("{kind} {model}"));
        }
    }
    // What the lists have wrong or strange, each looked at.
    assert_eq!(odd, ODD);
}

/// A table that is looked at by hand is kept short.
const ODD: &[&str] = &["openrouter ~deepseek/deepseek-pro"];

#[test]
#[expect(clippy::print_stderr, reason = "a test that checks nothing says so")]
fn the_files_are_what_the_lists_give() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let corpus = std::env::var_os("OUTRIDER_CORPUS").map_or_else(|| root.join("../shared/traffic"), Into::into);
    let lists = corpus.join("../specs/data");
    let paths = ["models.litellm.json", "prices.genai-prices.json"].map(|name| lists.join(name));
    if !paths.iter().all(|path| path.exists()) {
        eprintln!("SKIPPED: the lists of models are not in {}", lists.display());
        return;
    }
    let day = models::TABLE.lines().next().and_then(|line| line.rsplit("as of ").next()).unwrap().trim_end_matches('.');
    let checked = Command::new("python3").arg(root.join("catalog/refresh")).args(["--check", "--date", day]).args(paths).output();
    match checked {
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
        Err(cause) => eprintln!("SKIPPED: python3 cannot be run: {cause}"),
    }
}

#[test]
fn hosted_models_are_spoken_to_as_their_makers_are() {
    use Thinking::{Adaptive, Always, Budget, Unsupported};
    // (kind, model, thinking, sampling, both together, forced tool, structured output, output tokens)
    let cases = [
        ("bedrock", "us.anthropic.claude-opus-5-5", Always, false, false, false, false, 128_000),
        ("bedrock", "anthropic.claude-opus-4-8", Adaptive, false, false, true, true, 128_000),
        ("bedrock", "eu.anthropic.claude-opus-4-7", Adaptive, false, false, true, false, 128_000),
        ("bedrock", "us.anthropic.claude-sonnet-4-6", Adaptive, true, false, true, true, 64_000),
        ("bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", Budget, true, false, true, true, 64_000),
        ("bedrock", "anthropic.claude-3-5-sonnet-20241022-v2:0", Unsupported, true, true, true, false, 8192),
        ("bedrock", "us.meta.llama3-3-70b-instruct-v1:0", Adaptive, true, true, false, true, 4096),
        ("bedrock", "us.openai.gpt-6-sol", Adaptive, false, true, true, true, 128_000),
        ("vertex", "claude-sonnet-5-5@20261001", Always, false, false, false, true, 128_000),
        ("vertex", "claude-haiku-4-5@20251001", Budget, true, false, true, true, 64_000),
        ("vertex", "claude-haiku-5-5", Adaptive, false, false, true, true, 128_000),
        ("azure", "claude-opus-4-6", Adaptive, true, false, true, true, 128_000),
        ("azure", "gpt-5-mini", Always, false, true, true, true, 128_000),
        ("azure", "my-deployment", Adaptive, true, true, true, true, 32_000),
        ("openai", "gpt-6-astra", Always, false, true, true, true, 128_000),
        ("openai", "gpt-6.1-sol", Always, false, true, true, true, 128_000),
        ("openai", "gpt-6-luna", Adaptive, false, true, true, true, 128_000),
        ("gemini", "gemini-2.0-flash", Unsupported, true, true, true, true, 32_000),
        ("gemini", "gemini-2.5-flash", Budget, true, true, true, true, 65_536),
        ("gemini", "gemini-2.5-flash-preview-tts", Unsupported, true, true, true, true, 65_536),
        ("gemini", "gemini-3-flash-preview", Adaptive, true, true, true, true, 65_536),
        ("gemini", "gemini-3.1-pro-preview", Always, true, true, true, true, 65_536),
        ("gemini", "gemini-3.8-flash", Always, false, true, true, true, 65_536),
        ("gemini", "gemini-4-argon", Always, true, true, true, true, 1_048_576),
        ("vertex", "gemini-2.5-pro", Budget, true, true, true, true, 65_535),
        ("vertex", "gemini-4-argon", Always, true, true, true, true, 1_048_576),
        ("anthropic", "claude-fable-5-2", Always, false, false, true, true, 128_000),
        ("anthropic", "claude-opus-5-9", Adaptive, false, false, true, true, 128_000),
    ];
    for (kind, model, thinking, sampling, together, forced, structured, tokens) in cases {
        let found = traits(kind, model);
        let found = (
            found.thinking,
            found.sampling,
            found.sampling_together,
            found.forced_tool,
            found.structured_output,
            found.output_tokens_default,
        );
        assert_eq!(found, (thinking, sampling, together, forced, structured, tokens), "{kind} {model}");
    }
}

#[test]
fn responses_alone_is_spoken_where_the_table_says_so() {
    for model in ["gpt-5.1-codex-max", "gpt-5.5-pro-2026-04-23", "o3-pro", "gpt-5-codex", "o1-pro", "gpt-daybreak-red-latest"] {
        let mode = facts("openai", model).mode;
        assert_eq!(speaks("openai", model, mode), Some([Dialect::OpenAiResponses].as_slice()), "{model}");
    }
    assert_eq!(speaks("openai", "gpt-5.5", facts("openai", "gpt-5.5").mode), None);
    // A kind that does not speak it is asked in what it speaks.
    let model = "anthropic/claude-opus-5";
    assert_eq!(facts("perplexity", model).mode, Some(Mode::Responses));
    assert_eq!(speaks("perplexity", model, Some(Mode::Responses)), None);
}

#[test]
fn rows_of_old_models_are_still_needed() {
    // The lists have dropped what these write at most; once they have it again, the rows in `traits` can go.
    for (model, tokens) in [("claude-3-haiku-20240307", 4096), ("claude-3-7-sonnet-20250219", 64_000), ("claude-opus-4-1-20250805", 32_000)]
    {
        assert_eq!(facts("anthropic", model).output_tokens, None, "{model}");
        assert_eq!(traits("anthropic", model).output_tokens_default, tokens, "{model}");
    }
}
