//! Explaining, and what survives a reload.

use super::*;

#[test]
fn each_candidate_is_explained_in_the_order_of_trying() {
    let mut alias = Alias::new(within(500), &[DEAR, CHEAP, "unheard", MIDDLE]);
    for _ in 0..20 {
        alias.answer(1, &asking(100), 2000, &used(100, 0, 10));
        alias.answer(0, &asking(100), 100, &used(100, 0, 10));
    }
    let until = alias.now + Duration::from_secs(12);
    alias.stand(3, Standing::Out(until));
    let told = alias.explain(&asking(100));
    assert_eq!(told.views.iter().map(|view| view.index).collect::<Vec<_>>(), [0, 2, 1, 3]);
    assert_eq!(told.decided, "openai/gpt-4.1 first: cheapest of those that keep the bounds");
    let [dear, unheard, cheap, middle] = &told.views[..] else { panic!("{told:?}") };
    assert!(cheap.why.contains("cheaper, but broke its bounds") && cheap.why.contains("tried again after"), "{}", cheap.why);
    assert!(cheap.bounds[0].broken && cheap.bounds[0].over > Some(0.9), "{:?}", cheap.bounds);
    assert!(cheap.bounds[0].observed > Some(Duration::from_millis(1500)));
    assert!(!dear.bounds[0].broken && dear.bounds[0].over < Some(0.1) && dear.whole.samples > 15.0, "{dear:?}");
    assert!(unheard.why.contains("not known") && unheard.cost.is_none(), "{unheard:?}");
    assert_eq!(middle.why, "out for 12.0s");
    assert_eq!(dear.cost, Some(100 * 2_000 + dear.expected.output_tokens * 8_000));
}

#[test]
fn explaining_changes_nothing() {
    let mut alias = Alias::new(within(500), &[CHEAP, DEAR]);
    for _ in 0..20 {
        alias.answer(0, &asking(100), 2000, &used(100, 0, 10));
    }
    alias.pass(60_000);
    for _ in 0..100 {
        assert_eq!(alias.explain(&asking(100)).views[0].index, 1);
    }
    let order = alias.chooser.order(&asking(100), &alias.candidates, alias.now, UNIX_EPOCH, &mut alias.rng);
    assert!(order.explores && order.indexes == [0, 1], "the trial is still due: {order:?}");
}

#[test]
fn weights_are_told_as_shares() {
    let mut alias = Alias::weighted(Strategy::Weighted, &[(CHEAP, 1), (MIDDLE, 3), (DEAR, 0)]);
    alias.stand(0, Standing::Returning(0.5));
    let why: Vec<_> = alias.explain(&asking(100)).views.into_iter().map(|view| view.why).collect();
    assert_eq!(
        why,
        [
            "weight 3: 85.7% of the requests",
            "weight 1: 14.3% of the requests; returning with 50% of its share",
            "weight 0: only when the others fail"
        ]
    );
}

#[test]
fn a_summary_tells_shares_times_prices_and_switches() {
    let mut alias = Alias::new(within(500), &[CHEAP, DEAR]);
    for _ in 0..30 {
        alias.answer(0, &asking(100), 100, &used(100, 0, 10));
    }
    for _ in 0..10 {
        alias.answer(1, &asking(100), 2000, &used(100, 0, 10));
    }
    let summary = alias.chooser.summary(alias.now, UNIX_EPOCH);
    assert_eq!((summary.strategy, summary.switches, summary.targets.len()), ("cheapest", 1, 2));
    assert!((summary.targets[0].share - 0.75).abs() < 0.02, "{summary:?}");
    assert!(summary.targets[0].whole.p50.unwrap() < Duration::from_millis(150), "{summary:?}");
    assert!(summary.targets[0].cost.unwrap() * 10 < summary.targets[1].cost.unwrap());
    assert!(summary.targets[1].bounds[0].1[0].broken && !summary.targets[0].bounds[0].1[0].broken);
    alias.pass(3_601_000);
    assert_eq!(alias.chooser.summary(alias.now, UNIX_EPOCH).switches, 0);
}

#[test]
fn what_was_learnt_of_a_target_survives_a_reload_in_another_order() {
    let mut alias = Alias::new(within(500), &[CHEAP, DEAR]);
    for _ in 0..20 {
        alias.answer(0, &asking(100), 2000, &used(100, 0, 10));
    }
    let reload = |alias: &Alias, strategy| {
        let entrants = [DEAR, MIDDLE, CHEAP].map(|model| entrant(model, 1, alias.now)).into();
        Chooser::new(strategy, entrants, Some(&alias.chooser), alias.now)
    };
    let candidates: Vec<_> = (0..3).map(|index| Candidate { index, standing: Standing::Well }).collect();
    let order =
        |chooser: Chooser, alias: &mut Alias| chooser.order(&asking(100), &candidates, alias.now, UNIX_EPOCH, &mut alias.rng).indexes;
    let same = reload(&alias, within(500));
    assert_eq!(order(same, &mut alias), [1, 0, 2]);
    let other = reload(&alias, within(5000));
    assert_eq!(order(other, &mut alias), [2, 1, 0], "other bounds are another question");
}
