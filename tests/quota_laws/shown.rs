//! What is told of limits: how they stand, how a request would find them, how often they let someone in.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use outrider::config::{Dimension, Limit, Most, Span, Unit, Window};
use outrider::quota::{Ask, Label, Limits, Measure, Turn};

use super::support::*;

/// Admitted and queued, by limit.
fn admissions(limits: &Limits) -> BTreeMap<String, (u64, u64)> {
    limits.admissions().map(|count| (count.limit.to_owned(), (count.admitted, count.queued))).collect()
}

#[test]
fn who_is_let_in_is_counted_once_by_each_limit() {
    let clock = Still::new();
    let tagged = limit("tagged", &[Dimension::Tag], requests(100));
    let site = limit("site", &[Dimension::Provider], requests(100));
    let old = limits(&clock, &[limit("all", &[], requests(3)), tagged, site]);
    let tags = [Label::new("a"), Label::new("b")];
    let tags = Ask { tags: &tags, ..ask("u", "m") };
    pass(&old, &tags, ONE, clock.at());
    pass(&old, &ask("u", "m"), ONE, clock.at());
    drop(old.reserve(&ask("u", "m"), ONE, clock.at()).unwrap());
    refused(&old, &ask("u", "m"), ONE, clock.at());
    let at_try = Ask { provider: Some(Label::new("p")), ..ask("u", "m") };
    pass(&old, &at_try, ONE, clock.at());
    let counted = |counts: &[(&str, u64)]| counts.iter().map(|(name, count)| ((*name).to_owned(), (*count, 0))).collect::<BTreeMap<_, _>>();
    assert_eq!(admissions(&old), counted(&[("all", 3), ("tagged", 3), ("site", 1)]));
    // It goes on after a reload, under the name; who still holds what was before counts to the same.
    let new = old.renewed(&policy(&[limit("tagged", &[], concurrent(9)), limit("other", &[], concurrent(9))]));
    pass(&new, &ask("u", "m"), ONE, clock.at());
    pass(&old, &at_try, ONE, clock.at());
    assert_eq!(admissions(&new), counted(&[("all", 3), ("tagged", 4), ("site", 2), ("other", 1)]));
}

#[test]
fn what_limits_that_are_gone_admitted_is_not_kept_for_ever() {
    let clock = Still::new();
    let policies = |round: u32| policy(&(0..900).map(|each| limit(&format!("l{round}-{each}"), &[], requests(9))).collect::<Vec<_>>());
    let mut now = Limits::new(&policies(0), clock.origin());
    for round in 1..30 {
        pass(&now, &ask("u", "m"), ONE, clock.at());
        now = now.renewed(&policies(round));
        assert!(now.admissions().count() <= 11_000, "{round}");
    }
    assert_eq!(admissions(&now)["l28-0"], (1, 0), "what went last is told still");
}

#[test]
fn who_stood_in_line_is_counted_apart() {
    let clock = Still::new();
    let queued = queue(limit("line", &[], concurrent(1)), 10, 9);
    let limits = limits(&clock, &[queued, limit("beside", &[], concurrent(9))]);
    let turn = |waiting: &mut outrider::quota::Waiting| waiting.turn(clock.at(), Waker::noop());
    let mut first = limits.enter(&ask("u", "m"), ONE, clock.at());
    let Turn::Admitted(held) = turn(&mut first) else { panic!("there is room") };
    let (mut second, mut third) = (limits.enter(&ask("u", "m"), ONE, clock.at()), limits.enter(&ask("u", "m"), ONE, clock.at()));
    assert!(matches!(turn(&mut second), Turn::Wait(_)) && matches!(turn(&mut third), Turn::Wait(_)));
    let view = limits.view(clock.at(), 9);
    let [line, beside] = &view.limits[..] else { panic!("{view:?}") };
    assert_eq!((line.subjects, line.under_way, line.waiting, beside.under_way, beside.waiting), (1, 1, 2, 1, 0));
    drop(held.settle(ONE, clock.at()));
    let Turn::Admitted(held) = turn(&mut second) else { panic!("it is its turn") };
    drop(held.settle(ONE, clock.at()));
    drop(third);
    let counts = admissions(&limits);
    assert_eq!((counts["line"], counts["beside"]), ((1, 1), (2, 0)));
}

#[test]
fn a_view_tells_when_all_is_there_again() {
    let mut clock = Still::new();
    let windows = [(Unit::Usd, Span::Hour, 100), (Unit::Tokens, Span::Day, 50)].map(|(unit, span, most)| Window { unit, span, most });
    let most = Most { requests_per_minute: Some(9), concurrent: Some(2), windows: windows.to_vec(), ..Most::default() };
    let limits = limits(&clock, &[limit("l", &[], most)]);
    let told = |limits: &Limits, at| {
        let view = limits.view(at, 1).limits.remove(0);
        let of = |all: &[outrider::quota::MeasureView]| {
            all.iter().map(|m| (m.measure, m.settled, m.frees_in.map(|time| time.as_secs()))).collect::<Vec<_>>()
        };
        (of(&view.bounds), view.top.first().map(|top| of(&top.measures)))
    };
    let [rate, running] = [Measure::RequestsPerMinute, Measure::Concurrent];
    let [hour, day] = [Measure::Window(Unit::Usd, Span::Hour), Measure::Window(Unit::Tokens, Span::Day)];
    let unused = vec![(rate, 0, None), (running, 0, None), (hour, 0, Some(3600)), (day, 0, Some(12 * 3600))];
    assert_eq!(told(&limits, clock.at()), (unused, None));
    pass(&limits, &ask("u", "m"), amount(7, 30), clock.at());
    clock.forward(Duration::from_secs(20));
    pass(&limits, &ask("u", "m"), amount(7, 30), clock.at());
    clock.forward(Duration::from_secs(10));
    let (_, used) = told(&limits, clock.at());
    assert_eq!(used.unwrap(), [(rate, 2, Some(50)), (running, 0, None), (hour, 60, Some(3570)), (day, 14, Some(12 * 3600 - 30))]);
}

#[test]
fn a_view_finds_the_fullest_of_very_many() {
    let clock = Still::new();
    let limits =
        limits(&clock, &[limit("users", &[Dimension::User], window(Unit::Usd, Span::Day, 10_000)), limit("all", &[], concurrent(9))]);
    for user in 0..5_000 {
        pass(&limits, &ask(&user.to_string(), "m"), amount(0, (user * 7919) % 5_000), clock.at());
    }
    let view = limits.view(clock.at(), 10);
    assert_eq!((view.meters, view.limits[0].subjects, view.limits[0].top.len()), (5_001, 5_000, 10));
    let spent: Vec<_> = view.limits[0].top.iter().map(|top| top.measures[0].settled).collect();
    assert_eq!(spent, (4_990..5_000).rev().collect::<Vec<_>>());
}

#[test]
fn an_explanation_tells_what_a_request_would_find_and_takes_nothing() {
    let clock = Still::new();
    let most = Most { requests_per_minute: Some(2), ..window(Unit::Usd, Span::Day, 100) };
    let limits = limits(
        &clock,
        &[
            limit("both", &[Dimension::Team], most),
            queue(limit("line", &[Dimension::User], concurrent(1)), 10, 9),
            Limit { when: vec![when(Dimension::Model, &["other"])], ..limit("not", &[], concurrent(0)) },
            limit("try", &[Dimension::Provider], concurrent(5)),
        ],
    );
    pass(&limits, &ask("u", "m"), amount(1, 60), clock.at());
    let stands = |ask: &Ask<'_>, nanos| {
        let told = |stand: &outrider::quota::Stand| {
            let bounds = stand.bounds.iter().map(|bound| (bound.view.measure.label(), bound.asked, bound.view.free(), bound.fits));
            (stand.limit.name.clone(), stand.subject.clone(), stand.fits(), bounds.collect::<Vec<_>>())
        };
        limits.stands(ask, amount(5, nanos), clock.at()).iter().map(told).collect::<Vec<_>>()
    };
    let user = format!("{:032x}", Label::new("u").digest());
    let both = |nanos, fits| vec![("requests_per_minute", 1, 1, true), ("budget_usd_per_day", nanos, 40, fits)];
    let line = ("line".to_owned(), user.clone(), true, vec![("max_concurrent", 1, 1, true)]);
    assert_eq!(stands(&ask("u", "m"), 40), [("both".to_owned(), "search".to_owned(), true, both(40, true)), line.clone()]);
    assert_eq!(stands(&ask("u", "m"), 41), [("both".to_owned(), "search".to_owned(), false, both(41, false)), line]);
    let at_try = Ask { provider: Some(Label::new("p")), ..ask("u", "m") };
    assert_eq!(stands(&at_try, 1), [("try".to_owned(), "p".to_owned(), true, vec![("max_concurrent", 1, 5, true)])]);
    // Who stands in line comes first, even where there is room.
    let held = limits.reserve(&ask("u", "m"), amount(0, 1), clock.at()).unwrap();
    let mut waiting = limits.enter(&Ask { team: Label::new("t2"), ..ask("u", "m") }, ONE, clock.at());
    assert!(matches!(waiting.turn(clock.at(), Waker::noop()), Turn::Wait(_)));
    drop(held.settle(ONE, clock.at()));
    let behind = limits.stands(&ask("u", "m"), ONE, clock.at()).remove(1);
    assert!(behind.line && !behind.fits() && behind.bounds[0].fits);
    drop(waiting);
    assert_eq!(Arc::strong_count(&limits), 1);
    assert!(all_returned(&limits, clock.at()));
}

#[test]
fn a_minute_is_over_a_minute_after_its_last_request_began() {
    let mut clock = Still::new();
    let limits =
        limits(&clock, &[limit("l", &[], Most { requests_per_minute: Some(10), tokens_per_minute: Some(100), ..Most::default() })]);
    let held = limits.reserve(&ask("", ""), amount(20, 0), clock.at()).unwrap();
    clock.forward(seconds(30));
    held.settle(amount(20, 0), clock.at());
    let frees = |clock: &Still| limits.view(clock.at(), 1).limits[0].top[0].measures.iter().map(|of| of.frees_in).collect::<Vec<_>>();
    assert_eq!(frees(&clock), [Some(seconds(30)); 2]);
}
