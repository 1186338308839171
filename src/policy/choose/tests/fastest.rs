//! Fastest.

use super::*;

/// Sends so many requests, ten each second; each target takes what `ms` says. Tells how many went to each.
fn send(alias: &mut Alias, requests: usize, ms: impl Fn(usize) -> u64) -> Vec<usize> {
    let mut sent = vec![0; alias.candidates.len()];
    let mut under_way: Vec<(Instant, Watch)> = Vec::new();
    for request in 0..requests {
        let asked = asking(100);
        let index = alias.order(&asked)[0];
        sent[index] += 1;
        let took = Duration::from_millis(ms(index) * (80 + request as u64 * 7 % 40) / 100);
        under_way.push((alias.now + took, alias.chooser.watch(index, &asked, alias.now)));
        alias.pass(100);
        let (done, rest): (Vec<_>, Vec<_>) = under_way.into_iter().partition(|(at, _)| *at <= alias.now);
        done.into_iter().for_each(|(at, watch)| watch.answered(&used(100, 0, 10), at));
        under_way = rest;
    }
    sent
}

const TIMES: [u64; 3] = [900, 300, 600];

#[test]
fn every_target_is_tried_and_the_fastest_gets_the_traffic() {
    let mut alias = Alias::new(Strategy::Fastest, &[CHEAP, MIDDLE, DEAR]);
    let sent = send(&mut alias, 60, |index| TIMES[index]);
    assert!(sent.iter().all(|sent| *sent >= 1) && sent[1] > 25, "{sent:?}");
    let sent = send(&mut alias, 3000, |index| TIMES[index]);
    assert!(sent[1] >= 2850, "exploration is bounded: {sent:?}");
    assert!(sent[0] >= 5 && sent[2] >= 5 && sent[2] >= sent[0], "it goes on, and more where it promises more: {sent:?}");
}

#[test]
fn it_goes_over_when_the_fastest_becomes_slow_and_back_when_that_recovers() {
    let mut alias = Alias::new(Strategy::Fastest, &[CHEAP, MIDDLE, DEAR]);
    send(&mut alias, 2000, |index| TIMES[index]);
    let sent = send(&mut alias, 300, |index| if index == 1 { 3000 } else { TIMES[index] });
    assert!(sent[1] <= 80 && sent[2] >= 200, "{sent:?}");
    send(&mut alias, 3000, |index| if index == 1 { 3000 } else { TIMES[index] });
    send(&mut alias, 3000, |index| TIMES[index]);
    let sent = send(&mut alias, 300, |index| TIMES[index]);
    assert!(sent[1] >= 270, "{sent:?}");
}

#[test]
fn one_that_hangs_is_left_before_its_answers_come() {
    let mut alias = Alias::new(Strategy::Fastest, &[CHEAP, MIDDLE, DEAR]);
    send(&mut alias, 2000, |index| TIMES[index]);
    let sent = send(&mut alias, 300, |index| if index == 1 { 300_000 } else { TIMES[index] });
    assert!(sent[1] <= 60, "{sent:?}");
}

#[test]
fn one_that_is_hardly_faster_does_not_take_over() {
    let mut alias = Alias::new(Strategy::Fastest, &[CHEAP, MIDDLE]);
    send(&mut alias, 2000, |index| [300, 310][index]);
    let before = alias.chooser.pace.switches(alias.now);
    send(&mut alias, 5000, |index| [310, 300][index]);
    assert_eq!(alias.chooser.pace.switches(alias.now), before);
    let told = alias.explain(&asking(100));
    assert_eq!(told.views[0].index, 0);
    assert!(told.views[0].why.ends_with("no other is clearly faster"), "{told:?}");
}

#[test]
fn an_unknown_target_does_not_get_all_requests_at_once() {
    let mut alias = Alias::new(Strategy::Fastest, &[CHEAP, MIDDLE]);
    let watches: Vec<_> = (0..20)
        .map(|_| {
            let index = alias.order(&asking(100))[0];
            (index, alias.chooser.watch(index, &asking(100), alias.now))
        })
        .collect();
    assert!(watches.iter().filter(|(index, _)| *index == 1).count() >= 3);
}
