use super::*;
use crate::config::catalog;
use crate::config::catalog::price::Occasion;

/// Every row of the catalogue: kind, model.
fn rows() -> impl Iterator<Item = (&'static str, &'static str)> {
    let table = include_str!("../../config/catalog/models.tsv");
    table.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let mut columns = line.split('\t');
        Some((columns.next()?, columns.next()?))
    })
}

fn on(time: &str) -> SystemTime {
    humantime::parse_rfc3339(time).unwrap()
}

/// The plain way: rates from the text, then multiplication.
fn plainly(prices: &Prices, expected: &Expected, at: SystemTime) -> Option<u64> {
    let rates = prices.rates(&Occasion { at, input_tokens: expected.input_tokens, service_tier: "" })?;
    let by_request = rates.own(Counted::Request).is_some() && rates.own(Counted::Input).is_none();
    if rates.of(Counted::Input).is_none() && !by_request {
        return None;
    }
    let units = |counted| u128::from(rates.of(counted).map_or(0, |rate| rate.units()));
    let fresh = u128::from(expected.input_tokens - expected.cached_input_tokens);
    let said = u128::from(expected.output_tokens - expected.reasoning_tokens);
    let pico = fresh * units(Counted::Input)
        + u128::from(expected.cached_input_tokens) * units(Counted::CachedInput)
        + said * units(Counted::Output)
        + u128::from(expected.reasoning_tokens) * units(Counted::Reasoning);
    u64::try_from(pico / 1000 + units(Counted::Request)).ok()
}

#[test]
fn it_agrees_with_the_list_on_every_model_at_every_time_and_size() {
    let times = [
        "2026-11-25T12:00:00Z",
        "2026-11-25T00:59:59Z",
        "2026-11-25T01:00:00Z",
        "2026-11-29T03:59:59Z",
        "2026-12-01T00:00:00Z",
        "2027-01-01T00:00:00Z",
        "2031-03-03T10:00:00Z",
        "1970-01-01T00:00:00Z",
    ]
    .map(on);
    let sizes = [0, 1, 999, 127_999, 128_000, 128_001, 200_000, 200_001, 272_000, 272_001, 1_000_000];
    let mut seen = 0;
    for (kind, model) in rows() {
        let prices = catalog::facts(kind, model).prices;
        let quote = Quote::new(&prices);
        for at in times {
            for input_tokens in sizes {
                let expected = Expected {
                    input_tokens,
                    cached_input_tokens: input_tokens / 3,
                    output_tokens: 1 + input_tokens / 7,
                    reasoning_tokens: input_tokens / 20,
                };
                assert_eq!(quote.cost(&expected, at), plainly(&prices, &expected, at), "{kind} {model} {input_tokens} {at:?}");
            }
        }
        seen += 1;
    }
    assert!(seen > 3000, "the catalogue was not found");
}

#[test]
fn the_hours_of_a_list_are_kept_to_the_minute() {
    let (kind, model) = rows().find(|row| *row == ("deepseek", "deepseek-v4-pro")).unwrap();
    let prices = catalog::facts(kind, model).prices;
    let quote = Quote::new(&prices);
    let expected = Expected { input_tokens: 1_000_000, output_tokens: 1_000, ..Expected::default() };
    let start = on("2026-11-23T00:00:00Z");
    let costs: Vec<_> = (0..7 * 24 * 60)
        .map(|minute| {
            let at = start + std::time::Duration::from_secs(minute * 60 + 59);
            let cost = quote.cost(&expected, at);
            assert_eq!(cost, plainly(&prices, &expected, at), "minute {minute}");
            cost
        })
        .collect();
    assert!(costs.iter().any(|cost| *cost != costs[0]), "there are no hours");
}

#[test]
fn what_overflows_costs_the_most() {
    let quote = Quote::new(&catalog::facts("openai", "gpt-4.1").prices);
    let expected = Expected { input_tokens: u64::MAX, output_tokens: u64::MAX, cached_input_tokens: u64::MAX, reasoning_tokens: u64::MAX };
    assert_eq!(quote.cost(&expected, on("2026-11-25T12:00:00Z")), Some(u64::MAX / 1000));
    assert_eq!(Quote::new(&catalog::facts("openai", "unheard").prices).cost(&expected, on("2026-11-25T12:00:00Z")), None);
}

#[test]
fn a_cached_rate_is_known_where_the_list_has_one() {
    let knows = |kind, model| Quote::new(&catalog::facts(kind, model).prices).knows_cached();
    assert!(knows("openai", "gpt-4.1"));
    assert!(!knows("openai", "gpt-4-turbo"));
}
