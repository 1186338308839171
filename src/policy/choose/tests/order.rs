//! What holds for every strategy.

use super::*;

fn strategies() -> [Strategy; 5] {
    [Strategy::Ordered, Strategy::Weighted, Strategy::Fastest, Strategy::Cheapest(Vec::new()), within(500)]
}

#[test]
fn whoever_is_out_comes_last_the_soonest_back_first() {
    for strategy in strategies() {
        let mut alias = Alias::new(strategy.clone(), &[CHEAP, MIDDLE, DEAR, "gpt-4o", "o3"]);
        for (index, seconds) in [(0, 30), (1, 10), (3, 20)] {
            let until = alias.now + Duration::from_secs(seconds);
            alias.stand(index, Standing::Out(until));
        }
        let order = alias.order(&asking(100));
        assert_eq!(order[2..], [1, 3, 0], "{strategy:?}");
        for index in [2, 4] {
            let until = alias.now + Duration::from_secs(index as u64);
            alias.stand(index, Standing::Out(until));
        }
        assert_eq!(alias.order(&asking(100)), [2, 4, 1, 3, 0], "{strategy:?}");
    }
}

#[test]
fn every_candidate_stands_in_the_order_once_and_nobody_else() {
    let many: Vec<_> = std::iter::repeat_n(CHEAP, 200).collect();
    for strategy in strategies() {
        for count in [0, 1, 2, 63, 64, 65, 200] {
            let mut alias = Alias::new(strategy.clone(), &many);
            alias.candidates.truncate(count);
            alias.candidates.iter_mut().for_each(|candidate| candidate.index = 199 - candidate.index);
            for _ in 0..20 {
                let mut order = alias.order(&asking(100));
                order.sort_unstable();
                assert_eq!(order, (200 - count..200).collect::<Vec<_>>(), "{strategy:?}");
            }
        }
    }
}

#[test]
fn a_place_that_is_not_there_does_no_harm() {
    for strategy in strategies() {
        let mut alias = Alias::new(strategy, &[CHEAP]);
        alias.candidates.push(Candidate { index: 7, standing: Standing::Well });
        assert_eq!(alias.order(&asking(100)).len(), 2);
        alias.explain(&asking(100));
        alias.chooser.watch(7, &asking(100), alias.now).answered(&Usage::default(), alias.now);
        alias.chooser.watch(7, &asking(100), alias.now).failed(alias.now);
        alias.chooser.watch(7, &asking(100), alias.now).left(alias.now);
    }
}

#[test]
fn ordered_asks_in_the_order_of_the_configuration() {
    let mut alias = Alias::new(Strategy::Ordered, &[DEAR, CHEAP, MIDDLE]);
    assert_eq!(alias.order(&asking(100)), [0, 1, 2]);
    alias.stand(0, Standing::Probe);
    assert_eq!(alias.order(&asking(100)), [0, 1, 2], "it would be wanted, so it is probed");
}

#[test]
fn whoever_returns_gets_its_share_of_what_it_would_get() {
    for strategy in [Strategy::Ordered, Strategy::Cheapest(Vec::new()), within(500)] {
        let mut alias = Alias::new(strategy.clone(), &[CHEAP, MIDDLE]);
        alias.stand(0, Standing::Returning(0.25));
        let first = (0..4000).filter(|_| alias.order(&asking(100))[0] == 0).count();
        assert!((880..1120).contains(&first), "{strategy:?}: {first}");
    }
}

#[test]
fn weight_0_comes_only_after_the_others() {
    let mut alias = Alias::weighted(Strategy::Weighted, &[(CHEAP, 0), (MIDDLE, 1), (DEAR, 3), ("gpt-4o", 0)]);
    let mut seen = [0; 4];
    for _ in 0..4000 {
        let order = alias.order(&asking(100));
        assert_eq!(order[2..], [0, 3]);
        seen[order[0]] += 1;
    }
    assert!((880..1120).contains(&seen[1]), "{seen:?}");
    let until = alias.now + Duration::from_secs(9);
    alias.stand(1, Standing::Out(until));
    alias.stand(2, Standing::Out(until));
    assert_eq!(alias.order(&asking(100)), [0, 3, 1, 2]);
}
