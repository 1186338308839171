//! What holds of every charge, and what counts where nothing is known.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proptest::prelude::*;

use super::super::{Charge, Served, Upper, bound, cost};
use super::{NOON, on, tariff};
use crate::base::money::NanoUsd;
use crate::config::catalog::price::{Counted, Occasion, PriceRule, Prices, Rate, Rates, Tariff};
use crate::config::catalog::{self};
use crate::ir::{ServiceTier, Usage};

/// Lists of every shape: thresholds, tiers, hours, days, sound, images, searches, fees, free, unknown.
const MODELS: &[(&str, &str)] = &[
    ("openai", "gpt-5.5"),
    ("openai", "gpt-6-sol"),
    ("openai", "gpt-realtime"),
    ("openai", "gpt-image-1.5"),
    ("openai", "never-heard-of"),
    ("anthropic", "claude-haiku-5-5"),
    ("anthropic", "claude-opus-5"),
    ("gemini", "gemini-2.5-pro"),
    ("gemini", "gemini-embedding-2"),
    ("gemini", "gemini-3-pro-image"),
    ("gemini", "gemini-3.8-flash"),
    ("deepseek", "deepseek-v4-pro"),
    ("dashscope", "qwen-plus-latest"),
    ("perplexity", "sonar-deep-research"),
    ("perplexity", "sonar-pro"),
    ("cohere", "rerank-v3.5"),
    ("bedrock", "global.anthropic.claude-sonnet-4-5-20250929-v1:0"),
    ("ollama", "anything"),
    ("helicone", "anything"),
];

fn count() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![Just(None), (0_u64..400_000).prop_map(Some), Just(Some(0)), any::<u64>().prop_map(Some), Just(Some(u64::MAX))]
}

fn small() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![Just(None), (0_u64..300_000).prop_map(Some)]
}

fn tier() -> impl Strategy<Value = Option<ServiceTier>> {
    let priced = ServiceTier::PRICED.map(|(_, tier)| Some(tier));
    prop_oneof![Just(None), Just(Some(ServiceTier::Standard)), prop::sample::select(priced.to_vec())]
}

prop_compose! {
    fn usage(each: fn() -> BoxedStrategy<Option<u64>>)(
        counts in prop::collection::vec(each(), 14), service_tier in tier(), us_only in any::<Option<bool>>(),
    ) -> Usage {
        Usage {
            input_tokens: counts[0], cache_read_tokens: counts[1], cache_write_tokens: counts[2], cache_write_1h_tokens: counts[3],
            cache_write_12h_tokens: counts[4], output_tokens: counts[5], reasoning_tokens: counts[6], input_audio_tokens: counts[7],
            cache_read_audio_tokens: counts[8], output_audio_tokens: counts[9], input_image_tokens: counts[10],
            output_image_tokens: counts[11], input_video_tokens: counts[12], web_searches: counts[13],
            billed: None, service_tier, us_only,
        }
    }
}

fn mad() -> BoxedStrategy<Option<u64>> {
    count().boxed()
}

fn sane() -> BoxedStrategy<Option<u64>> {
    small().boxed()
}

fn is_input(what: Counted) -> bool {
    use Counted::*;
    matches!(what, Input | CachedInput | CacheWrite | CacheWrite1h | CacheWrite12h | AudioInput | CachedAudio | ImageInput | VideoInput)
}

fn is_output(what: Counted) -> bool {
    matches!(what, Counted::Output | Counted::Reasoning | Counted::AudioOutput | Counted::ImageOutput)
}

proptest! {
    /// Whatever a provider says: every token is charged once, lines are sound, and their sum is the total.
    #[test]
    fn every_token_is_charged_once(usage in usage(mad), model in prop::sample::select(MODELS), seconds in 0_u64..3_000_000_000) {
        let tariff = tariff(model.0, model.1);
        let served = Served::once(UNIX_EPOCH + Duration::from_secs(seconds));
        let charge = Charge::of(&tariff, &usage, &served);
        let sum = |of: fn(Counted) -> bool| {
            charge.lines().iter().filter(|line| of(line.what)).fold(0_u64, |sum, line| sum.saturating_add(line.count))
        };
        let told = |count: Option<u64>| count.unwrap_or(0);
        let written = usage.cache_write_tokens.unwrap_or(told(usage.cache_write_1h_tokens).saturating_add(told(usage.cache_write_12h_tokens)));
        let read = usage.cache_read_tokens.or(usage.cache_read_audio_tokens).unwrap_or(0);
        prop_assert_eq!(sum(is_input), told(usage.input_tokens).max(read.saturating_add(written)));
        let parts = [usage.reasoning_tokens, usage.output_audio_tokens, usage.output_image_tokens];
        let parts = parts.iter().fold(0_u64, |sum, part| sum.saturating_add(told(*part)));
        prop_assert_eq!(sum(is_output), usage.output_tokens.unwrap_or(parts));
        let lines = charge.lines();
        prop_assert!(lines.iter().all(|line| line.count > 0 && line.cost == cost(line.what, line.count, line.rate)));
        for (place, line) in lines.iter().enumerate() {
            prop_assert!(lines[..place].iter().all(|earlier| earlier.what != line.what), "two lines of {:?}", line.what);
        }
        prop_assert_eq!(charge.total, lines.iter().fold(NanoUsd::ZERO, |sum, line| sum.saturating_add(line.cost)));
        prop_assert_eq!(charge.cost(), charge.total);
    }

    /// More output never costs less.
    #[test]
    fn more_output_never_costs_less(usage in usage(sane), more in 0_u64..1000, model in prop::sample::select(MODELS)) {
        let tariff = tariff(model.0, model.1);
        let charged = |output| {
            let usage = Usage {
                output_tokens: Some(output),
                reasoning_tokens: None,
                output_audio_tokens: None,
                output_image_tokens: None,
                ..usage
            };
            Charge::of(&tariff, &usage, &Served::once(on(NOON))).total
        };
        let output = usage.output_tokens.unwrap_or(0);
        prop_assert!(charged(output + more) >= charged(output));
    }

    /// What is reserved is enough, where the usage stays within what was foreseen.
    #[test]
    fn the_bound_is_one(usage in usage(sane), model in prop::sample::select(MODELS), asked in tier()) {
        let tariff = tariff(model.0, model.1);
        let usage = Usage { service_tier: None, ..usage };
        let charge = Charge::of(&tariff, &usage, &Served { tier: asked, ..Served::once(on(NOON)) });
        let sum = |of: fn(Counted) -> bool| charge.lines().iter().filter(|line| of(line.what)).map(|line| line.count).sum::<u64>();
        let upper = Upper { input_tokens: sum(is_input), output_tokens: sum(is_output), searches: usage.web_searches.unwrap_or(0) };
        let bound = bound(&tariff, on(NOON), asked, &upper);
        prop_assert!(charge.total <= bound, "{:?}: {} > {}: {:#?}", model, charge.total, bound, charge.lines());
    }

    /// Compiled or not, the same prices hold.
    #[test]
    fn a_tariff_is_its_list(place in 0_usize..4000, tokens in 0_u64..400_000, tier in tier(), seconds in 1_795_000_000_u64..1_800_000_000) {
        let table: Vec<_> = include_str!("../../../config/catalog/models.tsv").lines().filter(|line| !line.starts_with('#')).collect();
        let mut columns = table[place % table.len()].split('\t');
        let (kind, model) = (columns.next().unwrap(), columns.next().unwrap());
        let prices = catalog::facts(kind, model).prices;
        let at = UNIX_EPOCH + Duration::from_secs(seconds);
        let word = ServiceTier::PRICED.iter().find(|(_, known)| Some(*known) == tier).map_or("", |(word, _)| word);
        let tariff = Tariff::new(&prices);
        let terms = tariff.terms(at, tokens, tier.unwrap_or(ServiceTier::Standard), false);
        let rates = prices.rates(&Occasion { at, input_tokens: tokens, service_tier: word }).unwrap_or_default();
        for (_, counted) in Counted::ALL {
            if !terms.is_guessed(counted) && let Some(rate) = rates.of(counted) {
                prop_assert_eq!(terms.rate(counted), rate, "{} {} {:?}", kind, model, counted);
            }
            prop_assert!(!terms.is_guessed(counted) || terms.rate(counted) > Rate::FREE, "{} {} {:?} is unknown and free", kind, model, counted);
        }
    }
}

fn charge(kind: &str, model: &str, usage: &Usage) -> Charge {
    Charge::of(&tariff(kind, model), usage, &Served::once(on(NOON)))
}

const SOME: Usage = Usage { input_tokens: Some(1_000_000), output_tokens: Some(1_000_000), ..EMPTY };
const EMPTY: Usage = Usage {
    input_tokens: None,
    cache_read_tokens: None,
    cache_write_tokens: None,
    cache_write_1h_tokens: None,
    cache_write_12h_tokens: None,
    output_tokens: None,
    reasoning_tokens: None,
    input_audio_tokens: None,
    cache_read_audio_tokens: None,
    output_audio_tokens: None,
    input_image_tokens: None,
    output_image_tokens: None,
    input_video_tokens: None,
    web_searches: None,
    billed: None,
    service_tier: None,
    us_only: None,
};

#[test]
fn an_unknown_price_is_dear_and_told() {
    // The dearest of the kind: the fast Fable's 16 and 80, o1-pro's 150 and 600; where a kind has no list, the stated 30 and 180.
    for (kind, total) in [("anthropic", "96"), ("openai", "750"), ("helicone", "210"), ("no-kind", "210")] {
        let charge = charge(kind, "never-heard-of", &SOME);
        assert_eq!((charge.total.to_string().as_str(), charge.price_unknown), (total, true), "{kind}");
    }
    let known = charge("openai", "gpt-4.1-mini", &SOME);
    assert_eq!((known.total.to_string().as_str(), known.price_unknown), ("2", false));
    // Searches at a price that is not known: 35 for a thousand, and all else as it is.
    let searched = charge("groq", "openai/gpt-oss-120b", &Usage { web_searches: Some(2), ..SOME });
    assert_eq!((searched.total.to_string().as_str(), searched.price_unknown), ("0.82", true));
    // A dearer tier that no list has: two and a half times, and six times, what is ordinary. A cheaper one: the ordinary price.
    for (tier, total, unknown) in
        [(ServiceTier::Priority, "1.875", true), (ServiceTier::Ultrafast, "4.5", true), (ServiceTier::Flex, "0.75", false)]
    {
        let charge = charge("groq", "openai/gpt-oss-120b", &Usage { service_tier: Some(tier), ..SOME });
        assert_eq!((charge.total.to_string().as_str(), charge.price_unknown), (total, unknown), "{tier:?}");
    }
    for (kind, model) in
        [("ollama", "x"), ("vllm", "x"), ("echo", "echo"), ("openrouter", "never/heard-of:free"), ("cohere", "command-a-plus-05-2026")]
    {
        let charge = charge(kind, model, &Usage { service_tier: Some(ServiceTier::Priority), ..SOME });
        assert_eq!((charge.total, charge.price_unknown), (NanoUsd::ZERO, false), "{kind} {model}");
    }
    // Nothing used is nothing paid, known or not.
    assert_eq!(charge("openai", "never-heard-of", &EMPTY).total, NanoUsd::ZERO);
    assert!(!charge("openai", "never-heard-of", &EMPTY).price_unknown);
}

#[test]
fn prices_of_the_policy_are_known_prices() {
    let mut rates = Rates::default();
    rates.set(Counted::Input, Rate::parse("1").unwrap());
    rates.set(Counted::Output, Rate::parse("2").unwrap());
    let rule = |tier, rates| PriceRule { tier, rates, ..PriceRule::default() };
    let mut batch = Rates::default();
    batch.set(Counted::Output, Rate::FREE);
    let prices = catalog::facts("azure", "deployment").prices.with(vec![rule(Some(ServiceTier::Batch), batch), rule(None, rates)]);
    let charged = |usage: &Usage| {
        let charge = Charge::of(&Tariff::new(&prices), usage, &Served::once(on(NOON)));
        (charge.total.to_string(), charge.price_unknown)
    };
    assert_eq!(charged(&SOME), ("3".into(), false));
    // What the policy sets holds at every tier.
    assert_eq!(charged(&Usage { service_tier: Some(ServiceTier::Priority), ..SOME }), ("3".into(), false));
    assert_eq!(charged(&Usage { service_tier: Some(ServiceTier::Batch), ..SOME }), ("1".into(), false));
}

#[test]
fn a_tier_that_only_the_policy_prices_has_that_price() {
    let mut rates = Rates::default();
    rates.set(Counted::Input, Rate::parse("0.25").unwrap());
    let flex = PriceRule { tier: Some(ServiceTier::Flex), rates, ..PriceRule::default() };
    let prices = catalog::facts("mistral", "mistral-large-latest").prices;
    let charged = |prices: &Prices, tier| {
        let usage = Usage { input_tokens: Some(1_000_000), service_tier: Some(tier), ..EMPTY };
        Charge::of(&Tariff::new(prices), &usage, &Served::once(on(NOON))).total
    };
    let usual = charged(&prices, ServiceTier::Flex);
    assert_eq!(usual, charged(&prices, ServiceTier::Standard));
    let set = prices.with(vec![flex]);
    assert_eq!((charged(&set, ServiceTier::Flex), charged(&set, ServiceTier::Standard)), (NanoUsd(250_000_000), usual));
}

#[test]
fn a_bound_holds_where_a_long_prompt_is_cheaper_and_where_each_part_is_rounded() {
    let one = |counted, rate: &str, above_input_tokens| {
        let mut rates = Rates::default();
        rates.set(counted, Rate::parse(rate).unwrap());
        PriceRule { above_input_tokens, rates, ..PriceRule::default() }
    };
    let prices = |rules| catalog::facts("openai", "never-heard-of").prices.with(rules);
    let cheaper = Tariff::new(&prices(vec![one(Counted::Input, "1", Some(1_000)), one(Counted::Input, "2", None)]));
    let input = |tokens| Usage { input_tokens: Some(tokens), ..EMPTY };
    let upper = |input_tokens| Upper { input_tokens, ..Upper::default() };
    let charged = |tariff: &Tariff, usage: &Usage| Charge::of(tariff, usage, &Served::once(on(NOON))).total;
    assert_eq!([1_000, 1_001].map(|tokens| charged(&cheaper, &input(tokens)).0), [2_000_000, 1_001_000]);
    assert!(bound(&cheaper, on(NOON), None, &upper(1_500)).0 >= 3_000_000, "it may have 1,000 tokens after all");

    // Half a nano-dollar for a token.
    let tiny = Tariff::new(&prices(vec![one(Counted::Input, "0.0005", None)]));
    let parts = Usage { input_tokens: Some(3), cache_read_tokens: Some(1), cache_write_tokens: Some(1), ..EMPTY };
    let total = charged(&tiny, &parts);
    assert_eq!(total, NanoUsd(3));
    assert!(bound(&tiny, on(NOON), None, &upper(3)) >= total);
    assert_eq!(bound(&tiny, on(NOON), None, &upper(0)), NanoUsd::ZERO);
}

#[test]
fn a_bill_counts_before_our_sum() {
    let told = Usage { billed: Some(NanoUsd(7)), ..SOME };
    let all = |charge: Charge| (charge.cost().0, charge.billed.is_some(), charge.price_unknown);
    assert_eq!(all(charge("openrouter", "never/heard-of", &told)), (7, true, false));
    // Whoever is not known to tell dollars may tell anything; and a free variant that fell back to another model is not free.
    assert_eq!(all(charge("groq", "openai/gpt-oss-120b", &told)), (750_000_000, false, false));
    assert_eq!(all(charge("openrouter", "never/heard-of:free", &told)), (7, true, false));
    // What the policy says counts before a bill, and a bill of an answer that was cut is not one.
    let mut rates = Rates::default();
    rates.set(Counted::Input, Rate::parse("1").unwrap());
    rates.set(Counted::Output, Rate::parse("2").unwrap());
    let set = catalog::facts("openrouter", "x/y").prices.with(vec![PriceRule { rates, ..PriceRule::default() }]);
    assert_eq!(all(Charge::of(&Tariff::new(&set), &told, &Served::once(on(NOON)))), (3_000_000_000, false, false));
    let cut = Served { estimated: true, ..Served::once(on(NOON)) };
    assert_eq!(all(Charge::of(&tariff("openrouter", "anthropic/claude-haiku-4.5"), &told, &cut)), (6_000_000_000, false, false));
}

#[test]
fn a_revision_names_the_rates_and_nothing_else() {
    let revision = |kind, model, usage: &Usage| charge(kind, model, usage).revision;
    let usual = revision("openai", "gpt-5.5", &SOME);
    assert_eq!(usual, revision("openai", "gpt-5.5", &Usage { output_tokens: Some(1), ..SOME }), "what is used is not the price");
    assert_ne!(usual, revision("openai", "gpt-5.5", &Usage { input_tokens: Some(1), ..SOME }), "a long prompt has another price");
    assert_ne!(usual, revision("openai", "gpt-5.5", &Usage { service_tier: Some(ServiceTier::Flex), ..SOME }));
    assert_eq!(revision("anthropic", "claude-opus-4-6", &SOME), revision("anthropic", "claude-opus-4-7", &SOME), "the same rates");
    let own = |rate: u32| {
        let mut rates = Rates::default();
        rates.set(Counted::Input, Rate::parse(&format!("0.{rate:06}")).unwrap());
        let prices = catalog::facts("openai", "never-heard-of").prices.with(vec![PriceRule { rates, ..PriceRule::default() }]);
        Charge::of(&Tariff::new(&prices), &SOME, &Served::once(on(NOON))).revision
    };
    assert_eq!((1..1_000).map(own).collect::<std::collections::HashSet<_>>().len(), 999, "other rates have another");
    let us = Usage { us_only: Some(true), ..SOME };
    assert_ne!(revision("anthropic", "claude-opus-4-6", &SOME), revision("anthropic", "claude-opus-4-6", &us));
}

#[test]
fn lines_are_rounded_once_halves_up() {
    // A rate of one unit is a pico-dollar for a token.
    let one = Rate::parse("0.000001").unwrap();
    for (count, nanos) in [(0, 0), (499, 0), (500, 1), (1499, 1), (1500, 2), (u64::MAX, 18_446_744_073_709_552)] {
        assert_eq!(cost(Counted::Input, count, one), NanoUsd(nanos), "{count}");
    }
    let most = Rate::parse("1000000").unwrap();
    assert_eq!(cost(Counted::Input, 20_000_000, most), NanoUsd(20_000_000_000_000_000));
    assert_eq!(cost(Counted::Input, u64::MAX, most), NanoUsd(u64::MAX));
    assert_eq!(cost(Counted::Search, 3, Rate::parse("10").unwrap()), NanoUsd(30_000_000));
    assert_eq!(cost(Counted::Search, u64::MAX, most), NanoUsd(u64::MAX));
}

#[test]
fn a_tier_that_was_asked_for_counts_where_the_answer_is_silent() {
    let flex = Served { tier: Some(ServiceTier::Flex), ..Served::once(on(NOON)) };
    let charged = |usage: &Usage| Charge::of(&tariff("openai", "gpt-5.2"), usage, &flex).total.to_string();
    assert_eq!(charged(&SOME), "7.875");
    assert_eq!(charged(&Usage { service_tier: Some(ServiceTier::Standard), ..SOME }), "15.75");
}

#[test]
fn nothing_happens_before_1970() {
    let usage = Usage { input_tokens: Some(1), ..EMPTY };
    let early = Served::once(SystemTime::UNIX_EPOCH - Duration::from_secs(9));
    assert_eq!(Charge::of(&tariff("gemini", "gemini-3.8-flash"), &usage, &early).total, NanoUsd(750));
    assert_eq!(Charge::of(&Tariff::new(&Prices::default()), &usage, &early).total, NanoUsd(30_000));
}
