//! Cheapest: prices, prompt caches, and bounds by size.

use super::*;

const CHEAPEST: fn() -> Strategy = || Strategy::Cheapest(Vec::new());

#[test]
fn the_cheapest_is_first_and_whose_price_is_unknown_is_dearest() {
    let mut alias = Alias::new(CHEAPEST(), &["unheard", DEAR, CHEAP, "unheard-too", MIDDLE]);
    assert_eq!(alias.order(&asking(1000)), [2, 4, 1, 0, 3]);
    alias.stand(2, Standing::Probe);
    assert_eq!(alias.order(&asking(1000))[0], 2, "it would be wanted, so it is probed");
}

#[test]
fn equal_prices_go_by_the_order_of_the_configuration() {
    let mut alias = Alias::new(CHEAPEST(), &[MIDDLE, "gpt-4.1-mini-2025-04-14", CHEAP]);
    assert_eq!(alias.order(&asking(1000)), [2, 0, 1]);
}

#[test]
fn what_requests_turn_out_to_use_decides() {
    // o3-mini: 1.1 in, 4.4 out; gpt-5: 1.25 in, 10 out; gpt-4.1: 2 in, 8 out.
    let mut alias = Alias::new(CHEAPEST(), &["gpt-5", "gpt-4.1"]);
    assert_eq!(alias.order(&asking(5_000))[0], 0, "much in, little out");
    for _ in 0..50 {
        alias.answer(0, &asking(5_000), 10, &used(5_000, 0, 4_000));
    }
    assert_eq!(alias.order(&asking(5_000))[0], 1, "requests of this size turn out to write much");
    assert_eq!(alias.order(&asking(20_000))[0], 0, "of another size they were not seen to");
    let bounded = Features { output_tokens_max: Some(100), ..asking(5_000) };
    assert_eq!(alias.order(&bounded)[0], 0, "the asked-for bound counts");
}

/// A conversation that is at the middle model, because the cheap one was out when it began.
fn conversation(turns: u64, cached: f64) -> (Alias, Features) {
    let mut alias = Alias::new(CHEAPEST(), &["o4-mini", "gpt-5"]);
    let asked = Features { session: 77, output_tokens_max: Some(10), ..asking(50_000) };
    let until = alias.now + Duration::from_secs(10);
    alias.stand(0, Standing::Out(until));
    for turn in 0..turns {
        assert_eq!(alias.order(&asked)[0], 1);
        let held = if turn == 0 { 0 } else { (50_000.0 * cached) as u64 };
        alias.answer(1, &asked, 1000, &used(50_000, held, 10));
    }
    alias.stand(0, Standing::Well);
    (alias, asked)
}

#[test]
fn a_conversation_stays_where_its_prompt_cache_is_worth_more() {
    // 50,000 tokens cost 0.055 at o4-mini (1.1), 0.0625 at gpt-5 (1.25), and 0.01 there with 0.9 of them cached (0.125).
    let (mut alias, asked) = conversation(3, 0.9);
    assert_eq!(alias.order(&asked)[0], 1, "its cache is warm");
    let view = &alias.explain(&asked).views[0];
    assert!(view.index == 1 && view.expected.cached_input_tokens.abs_diff(45_000) <= 1, "{view:?}");
    assert_eq!(alias.order(&Features { session: 78, ..asked.clone() })[0], 0, "another conversation's is not");
    assert_eq!(alias.order(&Features { session: 0, ..asked.clone() })[0], 0);
    alias.pass(299_000);
    assert_eq!(alias.order(&asked)[0], 1);
    alias.pass(2_000);
    assert_eq!(alias.order(&asked)[0], 0, "providers forget");
}

#[test]
fn a_prompt_cache_that_holds_little_keeps_no_conversation() {
    let (mut alias, asked) = conversation(3, 0.05);
    assert_eq!(alias.order(&asked)[0], 0);
    let (mut alias, asked) = conversation(1, 0.9);
    assert_eq!(alias.order(&asked)[0], 0, "nothing was seen of its cache yet");
}

#[test]
fn a_target_without_a_cached_price_keeps_no_conversation() {
    // gpt-4-turbo has none; it costs 10 against 2.5.
    let mut alias = Alias::new(CHEAPEST(), &["gpt-4o", "gpt-4-turbo"]);
    let asked = Features { session: 77, ..asking(50_000) };
    for _ in 0..3 {
        alias.answer(1, &asked, 1000, &used(50_000, 50_000, 10));
    }
    assert_eq!(alias.order(&asked)[0], 0);
    assert_eq!(alias.explain(&asked).views[1].expected.cached_input_tokens, 0);
}

#[test]
fn a_warm_target_that_broke_its_bounds_is_left_all_the_same() {
    let mut alias = Alias::new(within(500), &[DEAR, CHEAP]);
    let asked = Features { session: 77, ..asking(5_000) };
    for _ in 0..30 {
        alias.answer(1, &asked, 2000, &used(5_000, 5_000, 10));
    }
    assert_eq!(alias.order(&asked)[0], 0);
}

#[test]
fn one_size_class_says_nothing_of_another() {
    let mut alias = Alias::new(within(500), &[CHEAP, DEAR]);
    for _ in 0..20 {
        alias.answer(0, &asking(100_000), 5_000, &used(100_000, 0, 10));
        alias.answer(0, &asking(100), 100, &used(100, 0, 10));
    }
    assert_eq!(alias.order(&asking(100))[0], 0);
    let dear = (0..10).filter(|_| alias.order(&asking(100_000))[0] == 1).count();
    assert!(dear >= 9, "{dear}");
}

#[test]
fn all_bounds_are_to_be_kept() {
    let bound = |percentile, ms| LatencyBound { percentile, moment: Moment::Whole, within: Duration::from_millis(ms) };
    let both = Strategy::Cheapest(vec![bound(50, 200), bound(95, 2000)]);
    for (times, is_first) in [([100, 100, 100, 150], true), ([300, 400, 300, 250], false), ([100, 100, 3000, 3000], false)] {
        let mut alias = Alias::new(both.clone(), &[CHEAP, DEAR]);
        for turn in 0..200 {
            alias.answer(0, &asking(100), times[turn % 4], &used(100, 0, 10));
        }
        let first = (0..20).filter(|_| alias.order(&asking(100))[0] == 0).count();
        assert_eq!(first >= 18, is_first, "{times:?}: {first}");
    }
}

#[test]
fn a_bound_on_the_first_token_is_not_for_answers_without_a_stream() {
    let bound = LatencyBound { percentile: 95, moment: Moment::FirstToken, within: Duration::from_millis(200) };
    let mut alias = Alias::new(Strategy::Cheapest(vec![bound]), &[CHEAP, DEAR]);
    for _ in 0..50 {
        alias.answer(0, &asking(100), 5_000, &used(100, 0, 10));
    }
    assert_eq!(alias.order(&asking(100))[0], 0);
}

#[test]
fn failures_count_as_slow_however_fast_they_were() {
    let mut alias = Alias::new(within(500), &[CHEAP, DEAR]);
    for _ in 0..10 {
        alias.chooser.watch(0, &asking(100), alias.now).failed(alias.now);
        alias.pass(10);
    }
    assert_eq!(alias.order(&asking(100))[0], 1);
}

#[test]
fn what_was_given_up_counts_as_slow_only_where_it_was_late_already() {
    for (ms, first) in [(100, 0), (600, 1)] {
        let mut alias = Alias::new(within(500), &[CHEAP, DEAR]);
        for _ in 0..10 {
            let watch = alias.chooser.watch(0, &asking(100), alias.now);
            alias.pass(ms);
            watch.left(alias.now);
        }
        assert_eq!(alias.order(&asking(100))[0], first, "{ms}");
    }
    let mut alias = Alias::new(within(500), &[CHEAP, DEAR]);
    for _ in 0..100 {
        drop(alias.chooser.watch(0, &asking(100), alias.now));
        alias.pass(10_000);
    }
    assert_eq!(alias.order(&asking(100))[0], 0, "a watch that is dropped says nothing");
    assert_eq!(alias.chooser.rivals[0].track.under_way(), 0);
}
