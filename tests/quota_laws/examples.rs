//! What a reader of the configuration may rely on, case by case.

use std::sync::Arc;
use std::time::Duration;

use outrider::base::FaultKind;
use outrider::base::money::NanoUsd;
use outrider::config::{Digest, Dimension, Key, Limit, Most, OnExceed, OnOverrun, Span, Unit};
use outrider::ir::Operation;
use outrider::quota::{Again, Amount, Ask, Extension, Label, Limits, Measure};

use super::support::*;

fn own(limit: Limit, change: impl FnOnce(&mut Limit)) -> Limit {
    let mut limit = limit;
    change(&mut limit);
    limit
}

#[test]
fn a_minute_has_no_edge_and_refills_in_no_burst() {
    let mut clock = Still::new();
    let limits = limits(&clock, &[limit("l", &[], requests(3))]);
    // One at 0 s, two at 59 s.
    pass(&limits, &ask("", ""), ONE, clock.at());
    clock.forward(seconds(59));
    pass(&limits, &ask("", ""), ONE, clock.at());
    pass(&limits, &ask("", ""), ONE, clock.at());
    let exceeded = refused(&limits, &ask("", ""), ONE, clock.at());
    assert_eq!((exceeded.measure, exceeded.most, exceeded.used, exceeded.asked), (Measure::RequestsPerMinute, 3, 3, 1));
    assert_eq!(exceeded.again, Again::In(seconds(1)));
    clock.forward(Duration::from_nanos(999_999_999));
    assert_eq!(refused(&limits, &ask("", ""), ONE, clock.at()).again, Again::In(Duration::from_nanos(1)));
    clock.forward(Duration::from_nanos(1));
    pass(&limits, &ask("", ""), ONE, clock.at());
    assert_eq!(refused(&limits, &ask("", ""), ONE, clock.at()).again, Again::In(seconds(59)));
}

#[test]
fn each_instant_counts_for_itself() {
    let mut clock = Still::new();
    let limits = limits(&clock, &[limit("l", &[], Most { requests_per_minute: Some(2), tokens_per_minute: Some(60), ..Most::default() })]);
    pass(&limits, &ask("", ""), amount(10, 0), clock.at());
    clock.forward(Duration::from_millis(10));
    pass(&limits, &ask("", ""), amount(50, 0), clock.at());
    // The first to leave makes room for a request, and the second for this many tokens.
    assert_eq!(refused(&limits, &ask("", ""), amount(0, 0), clock.at()).again, Again::In(Duration::from_millis(59_990)));
    let exceeded = refused(&limits, &ask("", ""), amount(30, 0), clock.at());
    assert_eq!((exceeded.measure, exceeded.again), (Measure::TokensPerMinute, Again::In(seconds(60))));
    clock.forward(Duration::from_millis(59_990));
    pass(&limits, &ask("", ""), amount(10, 0), clock.at());
    refused(&limits, &ask("", ""), amount(0, 0), clock.at());
    clock.forward(Duration::from_millis(10));
    pass(&limits, &ask("", ""), amount(50, 0), clock.at());
}

#[test]
fn a_long_log_lets_nobody_in_early_and_nobody_in_late_by_more_than_a_grain() {
    const MOST: u64 = 1000;
    let mut clock = Still::new();
    let limits = limits(&clock, &[limit("l", &[], requests(MOST))]);
    let mut admitted: Vec<u64> = Vec::new();
    let mut random = 7_u64;
    let (mut refusals, mut ideal) = (0, Vec::new());
    for _ in 0..15_000 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        clock.forward(Duration::from_micros(random >> 50));
        let now = clock.elapsed.as_nanos() as u64;
        let within = |of: &[u64], span: u64| of.iter().rev().take_while(|at| **at + span > now).count() as u64;
        if within(&ideal, 60_000_000_000) < MOST {
            ideal.push(now);
        }
        match limits.reserve(&ask("", ""), ONE, clock.at()) {
            Ok(reservation) => {
                assert!(within(&admitted, 60_000_000_000) < MOST);
                drop(reservation.settle(ONE, clock.at()));
                admitted.push(now);
            }
            Err(exceeded) => {
                refusals += 1;
                assert!(within(&admitted, 60_200_000_000) >= MOST, "there was room for a grain of time");
                let Again::In(wait) = exceeded.again else { panic!("{exceeded}") };
                // A few are asked for real: the instant is true.
                if refusals % 997 == 0 {
                    assert!(limits.reserve(&ask("", ""), ONE, clock.after(wait - Duration::from_nanos(1))).is_err());
                    clock.forward(wait);
                    pass(&limits, &ask("", ""), ONE, clock.at());
                    admitted.push(clock.elapsed.as_nanos() as u64);
                }
            }
        }
    }
    assert!(refusals > 2000 && admitted.len() * 100 >= ideal.len() * 97, "{} of {}", admitted.len(), ideal.len());
}

#[test]
fn a_long_log_has_one_entry_for_a_grain() {
    const EXACT: u64 = 64;
    let mut clock = Still::new();
    let limits = limits(&clock, &[limit("l", &[], tokens(EXACT + 3))]);
    let mut pass_at = |millis: u64| {
        clock.forward(Duration::from_millis(millis) - clock.elapsed);
        pass(&limits, &ask("", ""), ONE, clock.at());
        clock
    };
    for each in 0..EXACT {
        pass_at(each);
    }
    // Two within the same fifth of a second count from the later, the next by itself.
    let clock = [10_000, 10_199, 10_200].map(&mut pass_at)[2];
    let wait = |tokens| refused(&limits, &ask("", ""), amount(tokens, 0), clock.at()).again;
    for (tokens, at) in [(EXACT, 63), (EXACT + 1, 10_199), (EXACT + 2, 10_199), (EXACT + 3, 10_200)] {
        assert_eq!(wait(tokens), Again::In(Duration::from_millis(60_000 + at) - clock.elapsed), "{tokens}");
    }
}

#[test]
fn of_equals_the_first_is_told() {
    let clock = Still::new();
    let two = [limit("a", &[], requests(3)), limit("b", &[Dimension::User], requests(2))];
    let limits = limits(&clock, &two);
    pass(&limits, &ask("v", ""), ONE, clock.at());
    let held = limits.reserve(&ask("u", ""), ONE, clock.at()).unwrap();
    assert_eq!(held.left().requests.map(|room| (room.most, room.remaining)), Some((3, 1)), "both have one left");
    pass(&limits, &ask("u", ""), ONE, clock.at());
    assert_eq!(refused(&limits, &ask("u", ""), ONE, clock.at()).limit.name, "a", "both are full, for as long");
}

#[test]
fn each_tag_counts_and_one_that_is_named_twice_counts_once() {
    let clock = Still::new();
    let limits = limits(&clock, &[limit("l", &[Dimension::Tag], requests(2))]);
    let labels = ["a", "b", "a"].map(Label::new);
    let with = |tags: &[Label<'_>]| limits.reserve(&Ask { tags, ..ask("", "") }, ONE, clock.at()).map(drop);
    with(&labels).unwrap();
    with(&labels[..1]).unwrap();
    with(&labels[1..2]).unwrap();
    assert!(with(&labels[..1]).is_err() && with(&labels[1..2]).is_err());
    assert!(with(&[Label::new("c")]).is_ok());
}

#[test]
fn what_was_not_used_comes_back_from_a_long_log_too() {
    let mut clock = Still::new();
    let limits = limits(&clock, &[limit("l", &[], tokens(1_000_000))]);
    let mut open = Vec::new();
    for _ in 0..1000 {
        clock.forward(Duration::from_millis(7));
        open.push(limits.reserve(&ask("", ""), amount(1000, 0), clock.at()).unwrap());
    }
    assert_eq!(refused(&limits, &ask("", ""), ONE, clock.at()).used, 1_000_000);
    for reservation in open.drain(..) {
        drop(reservation.settle(amount(1, 0), clock.at()));
    }
    assert_eq!(refused(&limits, &ask("", ""), amount(999_001, 0), clock.at()).used, 1000);
    pass(&limits, &ask("", ""), amount(999_000, 0), clock.at());
    // Past its minute nothing comes back, and nobody else's is taken.
    let late = limits.reserve(&ask("other", ""), amount(0, 0), clock.at()).unwrap();
    clock.forward(seconds(60));
    pass(&limits, &ask("", ""), amount(7, 0), clock.at());
    late.cancel(clock.at());
    assert_eq!(refused(&limits, &ask("", ""), amount(999_994, 0), clock.at()).used, 7);
}

#[test]
fn a_cancelled_request_was_none() {
    let clock = Still::new();
    let most = Most { requests_per_minute: Some(1), tokens_per_minute: Some(10), concurrent: Some(1), ..Most::default() };
    let limits = limits(&clock, &[limit("l", &[], most), limit("m", &[], window(Unit::Usd, Span::Day, 10))]);
    for _ in 0..3 {
        let reservation = limits.reserve(&ask("", ""), amount(10, 10), clock.at()).unwrap();
        assert_eq!(reservation.reserved(), amount(10, 10));
        reservation.cancel(clock.at());
    }
    assert!(limits.view(clock.at(), 9).limits.iter().all(|limit| limit.top.is_empty()));
    pass(&limits, &ask("", ""), amount(10, 10), clock.at());
    refused(&limits, &ask("", ""), amount(0, 0), clock.at());
}

#[test]
fn windows_end_with_the_clock_of_their_offset() {
    // (instant, offset, span, seconds until the next window)
    let cases: &[(u64, i32, Span, u64)] = &[
        (NOON, 0, Span::Hour, 3600),
        (NOON + 3599, 0, Span::Hour, 1),
        (NOON, 1800, Span::Hour, 1800),
        (NOON, -20_700, Span::Hour, 2700),
        (NOON, 0, Span::Day, 43_200),
        (NOON, 7200, Span::Day, 36_000),
        (NOON, -7200, Span::Day, 50_400),
        (NOON, 50_400, Span::Day, 79_200),
        // To the first of December.
        (NOON, 0, Span::Month, 43_200 + 5 * 86_400),
        (NOON, 7200, Span::Month, 36_000 + 5 * 86_400),
        // 2027-12-31T23:59:59, 2028-01-01T00:00:00.
        (1_830_297_599, 0, Span::Month, 1),
        (1_830_297_600, 0, Span::Month, 31 * 86_400),
        // February of 2028, 2027, 2100 and 2000.
        (1_832_976_000, 0, Span::Month, 29 * 86_400),
        (1_801_440_000, 0, Span::Month, 28 * 86_400),
        (4_105_123_200, 0, Span::Month, 28 * 86_400),
        (949_363_200, 0, Span::Month, 29 * 86_400),
        (951_782_400, 0, Span::Month, 86_400),
        // The epoch itself, where local time is before it, and the last second that is told apart.
        (0, -3600, Span::Day, 3600),
        (0, 0, Span::Month, 31 * 86_400),
    ];
    for (at, offset, span, wait) in cases {
        let mut clock = Still::new();
        clock.wall = seconds(*at);
        let limit = own(limit("l", &[], window(Unit::Usd, *span, 10)), |limit| limit.offset_seconds = *offset);
        let limits = limits(&clock, &[limit]);
        pass(&limits, &ask("", ""), amount(0, 10), clock.at());
        let exceeded = refused(&limits, &ask("", ""), ONE, clock.at());
        assert_eq!(exceeded.again, Again::In(seconds(*wait)), "{at} {offset} {span:?}");
        assert_eq!((exceeded.used, exceeded.held, exceeded.measure), (10, 0, Measure::Window(Unit::Usd, *span)));
        assert!(limits.check(&ask("", ""), ONE, clock.after(seconds(*wait) - Duration::from_nanos(1))).is_err());
        assert!(limits.check(&ask("", ""), ONE, clock.after(seconds(*wait))).is_ok());
    }
}

#[test]
fn each_limit_of_a_request_has_its_own_offset() {
    let mut clock = Still::new();
    let at = |name, offset| own(limit(name, &[], window(Unit::Usd, Span::Day, 10)), |limit| limit.offset_seconds = offset);
    // Their days end in 2, 12 and 10 hours; the third is asked with the first's calendar at hand, and with the second's.
    let limits = limits(&clock, &[at("east", 36_000), at("here", 0), at("near", 7200)]);
    pass(&limits, &ask("", ""), amount(0, 10), clock.at());
    for (hours, left) in [(2, ["here", "near"].as_slice()), (10, &["here"]), (12, &[])] {
        clock.wall = seconds(NOON + hours * 3600 - 1);
        refused(&limits, &ask("", ""), ONE, clock.at());
        clock.wall = seconds(NOON + hours * 3600);
        let view = limits.view(clock.at(), 1);
        let spent = view.limits.iter().filter(|limit| limit.top.iter().any(|top| top.measures.iter().any(|measure| measure.settled == 10)));
        assert_eq!(spent.map(|limit| &*limit.limit.name).collect::<Vec<_>>(), left, "{hours}");
        assert_eq!(limits.check(&ask("", ""), ONE, clock.at()).is_ok(), left.is_empty(), "{hours}");
    }
}

#[test]
fn every_month_of_400_years_has_its_length() {
    // From 1970 on, as far as 32 bits of seconds reach: each month's end is the next one's beginning.
    let mut clock = Still::new();
    clock.wall = Duration::ZERO;
    let limits = limits(&clock, &[limit("l", &[], window(Unit::Tokens, Span::Month, 1))]);
    for month in 0..(136 * 12) {
        pass(&limits, &ask("", ""), ONE, clock.at());
        let Again::In(wait) = refused(&limits, &ask("", ""), ONE, clock.at()).again else { panic!("no time") };
        clock.forward(wait);
        let date = humantime::format_rfc3339_seconds(clock.at().wall).to_string();
        let (year, of_year) = (1970 + (month + 1) / 12, (month + 1) % 12 + 1);
        assert_eq!(date, format!("{year}-{of_year:02}-01T00:00:00Z"));
    }
}

#[test]
fn a_settlement_counts_in_the_window_that_admitted_it_and_in_no_other() {
    let mut clock = Still::new();
    clock.wall = seconds(NOON + 43_190);
    let limits = limits(&clock, &[limit("l", &[], window(Unit::Usd, Span::Day, 100))]);
    let mut crossing = limits.reserve(&ask("", ""), amount(0, 80), clock.at()).unwrap();
    assert_eq!(refused(&limits, &ask("", ""), amount(0, 21), clock.at()).held, 80);
    // What is late is late: the last nanosecond before midnight is still today.
    clock.forward(Duration::from_nanos(9_999_999_999));
    assert!(limits.check(&ask("", ""), amount(0, 21), clock.at()).is_err());
    clock.forward(Duration::from_nanos(1));
    let next = limits.reserve(&ask("", ""), amount(0, 100), clock.at()).unwrap();
    // In yesterday's window nothing more fits, and today's is not asked.
    assert!(matches!(crossing.extend(Amount::ZERO, clock.at()), Extension::Fits));
    assert!(matches!(crossing.extend(amount(0, 500), clock.at()), Extension::Overdrawn));
    drop(crossing.settle(amount(0, 700), clock.at()));
    drop(next.settle(amount(0, 40), clock.at()));
    let view = limits.view(clock.at(), 1);
    assert_eq!((view.limits[0].top[0].measures[0].reserved, view.limits[0].top[0].measures[0].settled), (0, 40));
    pass(&limits, &ask("", ""), amount(0, 60), clock.at());
}

#[test]
fn debt_holds_until_the_window_ends() {
    let mut clock = Still::new();
    let limits = limits(&clock, &[limit("l", &[], window(Unit::Usd, Span::Hour, 100)), limit("t", &[], tokens(100))]);
    let reservation = limits.reserve(&ask("", ""), amount(50, 50), clock.at()).unwrap();
    let settled = reservation.settle(amount(300, 250), clock.at());
    assert_eq!(settled.overrun, amount(250, 200));
    let view = limits.view(clock.at(), 1);
    let [money, minute] = [0, 1].map(|place| view.limits[place].top[0].measures[0]);
    assert_eq!((money.settled, money.free(), money.debt(), money.share()), (250, 0, 150, 2.5));
    assert_eq!((minute.settled, minute.debt()), (300, 200));
    // What asks for nothing of a bound is not held up by it, nor is a stream that asks for nothing more of it.
    assert!(limits.check(&ask("", ""), Amount::ZERO, clock.at()).is_ok());
    let mut free = limits.reserve(&ask("", ""), Amount::ZERO, clock.at()).unwrap();
    assert!(matches!(free.extend(amount(1, 0), clock.at()), Extension::Overdrawn));
    free.cancel(clock.at());
    let money = super::support::limits(&clock, &[limit("l", &[], window(Unit::Usd, Span::Hour, 100))]);
    drop(money.reserve(&ask("", ""), amount(0, 50), clock.at()).unwrap().settle(amount(0, 250), clock.at()));
    let mut free = money.reserve(&ask("", ""), Amount::ZERO, clock.at()).unwrap();
    assert!(matches!(free.extend(amount(9, 0), clock.at()), Extension::Fits));
    assert!(matches!(free.extend(amount(9, 1), clock.at()), Extension::Overdrawn));
    drop(free);
    assert_eq!(refused(&limits, &ask("", ""), amount(1, 0), clock.at()).again, Again::In(seconds(60)));
    clock.forward(seconds(60));
    assert!(limits.check(&ask("", ""), amount(100, 0), clock.at()).is_ok());
    assert_eq!(refused(&limits, &ask("", ""), amount(0, 1), clock.at()).again, Again::In(seconds(3540)));
    clock.forward(seconds(3540));
    assert!(limits.check(&ask("", ""), amount(0, 100), clock.at()).is_ok());
}

#[test]
fn an_overrun_of_the_minute_counts_from_when_it_was_known() {
    let mut clock = Still::new();
    let limits = limits(&clock, &[limit("t", &[], tokens(100))]);
    let reservation = limits.reserve(&ask("", ""), amount(100, 0), clock.at()).unwrap();
    clock.forward(seconds(90));
    assert!(limits.check(&ask("", ""), amount(100, 0), clock.at()).is_ok());
    drop(reservation.settle(amount(160, 0), clock.at()));
    assert_eq!(refused(&limits, &ask("", ""), amount(41, 0), clock.at()).again, Again::In(seconds(60)));
}

#[test]
fn a_stream_is_cut_or_finishes_as_its_limits_say() {
    let clock = Still::new();
    let finish = limit("finish", &[], tokens(100));
    let cut = own(limit("cut", &[], window(Unit::Tokens, Span::Day, 150)), |limit| limit.on_overrun = OnOverrun::Cut);
    let limits = limits(&clock, &[finish, cut]);
    let mut stream = limits.reserve(&ask("", ""), amount(60, 0), clock.at()).unwrap();
    assert!(matches!(stream.extend(amount(40, 0), clock.at()), Extension::Fits));
    assert!(matches!(stream.extend(amount(50, 0), clock.at()), Extension::Overdrawn));
    assert_eq!(stream.reserved(), amount(150, 0));
    let Extension::Cut(exceeded) = stream.extend(amount(1, 0), clock.at()) else { panic!("it goes on") };
    assert_eq!((exceeded.limit.name.as_str(), exceeded.used, exceeded.held, exceeded.asked), ("cut", 150, 150, 1));
    assert_eq!(stream.reserved(), amount(150, 0));
    // More requests than may be at a time are no reason to cut one that is.
    assert!(matches!(stream.extend(Amount::ZERO, clock.at()), Extension::Fits));
    let settled = stream.settle(amount(150, 0), clock.at());
    assert_eq!(settled.overrun, Amount::ZERO);
}

#[test]
fn a_dropped_reservation_settles_at_the_best_estimate() {
    let clock = Still::new();
    let limits = limits(&clock, &[limit("l", &[], window(Unit::Usd, Span::Day, 100))]);
    let spent = || limits.view(clock.at(), 1).limits[0].top.first().map(|top| (top.measures[0].reserved, top.measures[0].settled));
    let mut noted = limits.reserve(&ask("", ""), amount(0, 50), clock.at()).unwrap();
    noted.note(amount(0, 7));
    assert_eq!(spent(), Some((50, 0)));
    drop(noted);
    assert_eq!(spent(), Some((0, 7)));
    drop(limits.reserve(&ask("", ""), amount(0, 50), clock.at()).unwrap());
    assert_eq!(spent(), Some((0, 57)));
    // An extension that was not noted counts as reserved too.
    let mut extended = limits.reserve(&ask("", ""), amount(0, 10), clock.at()).unwrap();
    assert!(matches!(extended.extend(amount(0, 20), clock.at()), Extension::Fits));
    drop(extended);
    assert_eq!(spent(), Some((0, 87)));
    // A panic settles as well.
    let limits_again = Arc::clone(&limits);
    let panicked = std::thread::spawn(move || {
        let _held = limits_again.reserve(&ask("", ""), amount(0, 10), clock.at()).unwrap();
        std::panic::resume_unwind(Box::new(()));
    });
    assert!(panicked.join().is_err());
    assert_eq!(spent(), Some((0, 97)));
}

#[test]
fn subjects_are_counted_apart() {
    let clock = Still::new();
    let limits = limits(&clock, &[limit("l", &[Dimension::User, Dimension::Model], requests(1))]);
    for (user, model) in [("a", "b"), ("b", "a"), ("a", ""), ("", "a"), ("", ""), ("ab", ""), ("", "ab")] {
        pass(&limits, &ask(user, model), ONE, clock.at());
        refused(&limits, &ask(user, model), ONE, clock.at());
    }
    // A digest that was kept is as good as the text.
    let kept = Label::with_digest("a", Label::new("a").digest());
    refused(&limits, &Ask { user: kept, ..ask("", "b") }, ONE, clock.at());
    refused(&limits, &Ask { user: Label::unknown(Label::new("a").digest()), ..ask("", "b") }, ONE, clock.at());
}

#[test]
fn every_dimension_tells_apart() {
    let clock = Still::new();
    let plain = ask("u", "m");
    let [one, two] = ["one", "two"].map(Label::new);
    let (one_tag, two_tag) = ([one], [two]);
    let cases: [(Dimension, Ask<'_>, Ask<'_>); 8] = [
        (Dimension::Team, Ask { team: one, ..plain }, Ask { team: two, ..plain }),
        (Dimension::App, Ask { app: one, ..plain }, Ask { app: two, ..plain }),
        (Dimension::User, Ask { user: one, ..plain }, Ask { user: two, ..plain }),
        (Dimension::Key, Ask { key: one, ..plain }, Ask { key: two, ..plain }),
        (Dimension::Model, Ask { model: one, ..plain }, Ask { model: two, ..plain }),
        (Dimension::Provider, Ask { provider: Some(one), ..plain }, Ask { provider: Some(two), ..plain }),
        (Dimension::Tag, Ask { tags: &one_tag, ..plain }, Ask { tags: &two_tag, ..plain }),
        (Dimension::Operation, Ask { operation: Operation::Chat, ..plain }, Ask { operation: Operation::Embeddings, ..plain }),
    ];
    for (of, first, second) in cases {
        let limits = limits(&clock, &[limit("l", &[of], requests(1))]);
        for ask in [first, second] {
            pass(&limits, &ask, ONE, clock.at());
            refused(&limits, &ask, ONE, clock.at());
        }
        // Nothing else tells apart.
        let others = Dimension::ALL.into_iter().filter(|other| *other != of && *other != Dimension::Provider);
        let limits = super::support::limits(&clock, &[limit("l", &others.collect::<Vec<_>>(), requests(1))]);
        if of != Dimension::Provider {
            pass(&limits, &first, ONE, clock.at());
            refused(&limits, &first, ONE, clock.at());
        }
    }
}

#[test]
fn a_limit_applies_to_what_it_selects() {
    let clock = Still::new();
    let with = |of, patterns: &[&str]| own(limit("l", &[], requests(0)), |limit| limit.when = vec![when(of, patterns)]);
    let tags = [Label::new("nightly"), Label::new("batch-7")];
    let plain = ask("bot-1", "gpt-4.1");
    let all = Ask { key: Label::new("k"), tags: &tags, ..plain };
    let cases: &[(Limit, bool)] = &[
        (with(Dimension::Model, &["gpt-*"]), true),
        (with(Dimension::Model, &["claude-*"]), false),
        (with(Dimension::Model, &["claude-*", "gpt-4.1"]), true),
        (with(Dimension::User, &["bot-*"]), true),
        (with(Dimension::User, &["bot"]), false),
        (with(Dimension::Team, &["search"]), true),
        (with(Dimension::App, &["search"]), false),
        (with(Dimension::Key, &["k"]), true),
        (with(Dimension::Tag, &["batch-*"]), true),
        (with(Dimension::Tag, &["batch"]), false),
        (with(Dimension::Operation, &["chat"]), true),
        (with(Dimension::Operation, &["embed*"]), false),
    ];
    for (limit, applies) in cases {
        assert_eq!(limits(&clock, std::slice::from_ref(limit)).reserve(&all, ONE, clock.at()).is_err(), *applies, "{:?}", limit.when);
    }
    // All of several conditions must hold.
    let both = own(limit("l", &[], requests(0)), |limit| {
        limit.when = vec![when(Dimension::Model, &["gpt-*"]), when(Dimension::User, &["ann"])];
    });
    assert!(limits(&clock, std::slice::from_ref(&both)).reserve(&all, ONE, clock.at()).is_ok());
    assert!(limits(&clock, &[both]).reserve(&Ask { user: Label::new("ann"), ..all }, ONE, clock.at()).is_err());
    // A value whose text is not known is taken by every pattern: rather too strict than too loose.
    let unknown = Ask { user: Label::unknown(7), ..all };
    assert!(limits(&clock, &[with(Dimension::User, &["nobody"])]).reserve(&unknown, ONE, clock.at()).is_err());
}

#[test]
fn each_tag_counts_once() {
    let clock = Still::new();
    let limits = limits(&clock, &[limit("l", &[Dimension::Tag], requests(2))]);
    let [a, b] = ["a", "b"].map(Label::new);
    let plain = ask("", "");
    pass(&limits, &Ask { tags: &[a, b, a], ..plain }, ONE, clock.at());
    pass(&limits, &Ask { tags: &[a], ..plain }, ONE, clock.at());
    refused(&limits, &Ask { tags: &[a], ..plain }, ONE, clock.at());
    // One of them has no room: neither counts.
    refused(&limits, &Ask { tags: &[b, a], ..plain }, ONE, clock.at());
    pass(&limits, &Ask { tags: &[b], ..plain }, ONE, clock.at());
    refused(&limits, &Ask { tags: &[b], ..plain }, ONE, clock.at());
    // Those without a tag share a count.
    pass(&limits, &plain, ONE, clock.at());
    pass(&limits, &plain, ONE, clock.at());
    refused(&limits, &plain, ONE, clock.at());
    // Only the tags that are selected count.
    let selected = own(limit("l", &[Dimension::Tag], requests(1)), |limit| limit.when = vec![when(Dimension::Tag, &["a*"])]);
    let limits = super::support::limits(&clock, &[selected]);
    pass(&limits, &Ask { tags: &[a, b], ..plain }, ONE, clock.at());
    refused(&limits, &Ask { tags: &[a], ..plain }, ONE, clock.at());
    for _ in 0..3 {
        pass(&limits, &Ask { tags: &[b], ..plain }, ONE, clock.at());
    }
    assert_eq!(limits.view(clock.at(), 9).limits[0].subjects, 1);
}

#[test]
fn new_tags_that_share_a_bank_count_each() {
    let clock = Still::new();
    let limits = limits(&clock, &[limit("l", &[Dimension::Tag], requests(1))]);
    // More than there are banks.
    let names: Vec<String> = (0..40).map(|n| n.to_string()).collect();
    let tags: Vec<Label<'_>> = names.iter().map(|name| Label::new(name)).collect();
    let plain = ask("", "");
    pass(&limits, &Ask { tags: &tags, ..plain }, ONE, clock.at());
    for tag in &tags {
        refused(&limits, &Ask { tags: &[*tag], ..plain }, ONE, clock.at());
    }
}

#[test]
fn light_operations_count_where_they_are_named() {
    let clock = Still::new();
    let everything = limit("l", &[], requests(0));
    let apart = limit("l", &[Dimension::Operation], requests(0));
    let named = own(everything.clone(), |limit| limit.when = vec![when(Dimension::Operation, &["count_tokens"])]);
    for (operation, expected) in [
        (Operation::Chat, [true, true, false]),
        (Operation::Embeddings, [true, true, false]),
        (Operation::Opaque, [true, true, false]),
        (Operation::CountTokens, [false, true, true]),
        (Operation::Models, [false, true, false]),
    ] {
        let counted = [&everything, &apart, &named].map(|limit| {
            let limits = limits(&clock, std::slice::from_ref(limit));
            limits.reserve(&Ask { operation, ..ask("", "") }, ONE, clock.at()).is_err()
        });
        assert_eq!(counted, expected, "{operation:?}");
    }
}

#[test]
fn limits_that_know_providers_count_at_each_try() {
    let clock = Still::new();
    let selected = own(limit("selected", &[], requests(3)), |limit| limit.when = vec![when(Dimension::Provider, &["openai"])]);
    let limits = limits(&clock, &[limit("exchange", &[], requests(1)), limit("each", &[Dimension::Provider], requests(2)), selected]);
    let plain = ask("", "");
    let [openai, other] = ["openai", "anthropic"].map(|name| Ask { provider: Some(Label::new(name)), ..plain });
    pass(&limits, &plain, ONE, clock.at());
    assert_eq!(refused(&limits, &plain, ONE, clock.at()).limit.name, "exchange");
    for ask in [openai, other, openai, other] {
        pass(&limits, &ask, ONE, clock.at());
    }
    assert_eq!(refused(&limits, &openai, ONE, clock.at()).limit.name, "each");
    assert_eq!(refused(&limits, &other, ONE, clock.at()).limit.name, "each");
}

#[test]
fn a_key_has_its_own_limit() {
    let clock = Still::new();
    let key = |name: &str, most| Key {
        digest: Digest::of(name),
        name: name.into(),
        team: None,
        app: None,
        user: None,
        expires: None,
        models: Vec::new(),
        limit: Some(Arc::new(limit(&format!("key:{name}"), &[Dimension::Key], requests(most)))),
    };
    let mut policy = policy(&[limit("all", &[], requests(5))]);
    policy.keys = vec![Arc::new(key("k1", 1)), Arc::new(key("k2", 2)), Arc::new(Key { limit: None, ..key("k3", 0) })];
    let limits = Limits::new(&policy, clock.origin());
    assert_eq!(limits.limits().map(|limit| limit.name.as_str()).collect::<Vec<_>>(), ["all", "key:k1", "key:k2"]);
    let by = |name| Ask { key: Label::new(name), ..ask("", "") };
    for (name, expected) in [
        ("k1", None),
        ("k1", Some("key:k1")),
        ("k2", None),
        ("k2", None),
        ("k2", Some("key:k2")),
        ("k3", None),
        ("", None),
        ("", Some("all")),
    ] {
        let refused = limits.reserve(&by(name), ONE, clock.at()).err().map(|exceeded| exceeded.limit.name.clone());
        assert_eq!(refused.as_deref(), expected, "{name}");
    }
}

#[test]
fn the_strictest_answer_counts() {
    let clock = Still::new();
    let reject = |most| limit("reject", &[], requests(most));
    let degrade = |most| own(limit("degrade", &[], requests(most)), |limit| limit.on_exceed = OnExceed::Degrade { to: "cheap".into() });
    let wait = |most| queue(limit("queue", &[], concurrent(most)), 1, 1);
    for (most, expected) in [
        ([0, 0, 0], Some(("reject", None))),
        ([1, 0, 0], Some(("degrade", Some("cheap")))),
        ([1, 1, 0], Some(("queue", None))),
        ([0, 1, 0], Some(("reject", None))),
        ([0, 0, 1], Some(("reject", None))),
        ([1, 0, 1], Some(("degrade", Some("cheap")))),
        ([1, 1, 1], None),
    ] {
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
            let all = [reject(most[0]), degrade(most[1]), wait(most[2])];
            let limits = limits(&clock, &order.map(|place: usize| all[place].clone()));
            let refused = limits.reserve(&ask("", ""), ONE, clock.at()).err();
            assert_eq!(refused.as_ref().map(|exceeded| (exceeded.limit.name.as_str(), exceeded.degrade_to())), expected, "{most:?}");
        }
    }
}

#[test]
fn of_several_that_do_not_fit_the_longest_is_told() {
    let mut clock = Still::new();
    let all =
        [limit("minute", &[], requests(1)), limit("hour", &[], window(Unit::Tokens, Span::Hour, 1)), limit("runs", &[], concurrent(1))];
    let limits = limits(&clock, &all);
    let running = limits.reserve(&ask("", ""), ONE, clock.at()).unwrap();
    clock.forward(seconds(10));
    let exceeded = refused(&limits, &ask("", ""), ONE, clock.at());
    // Nobody knows when it ends, but it is not before the hour does.
    assert_eq!((exceeded.limit.name.as_str(), exceeded.again), ("runs", Again::OnRelease(seconds(3590))));
    assert_eq!(exceeded.again.least(), Some(seconds(3590)));
    drop(running.settle(ONE, clock.at()));
    let exceeded = refused(&limits, &ask("", ""), ONE, clock.at());
    assert_eq!((exceeded.limit.name.as_str(), exceeded.again), ("hour", Again::In(seconds(3590))));
    let exceeded = refused(&limits, &ask("", ""), amount(2, 0), clock.at());
    assert_eq!((exceeded.limit.name.as_str(), exceeded.again, exceeded.again.least()), ("hour", Again::Never, None));
    assert_eq!(refused(&limits, &ask("", ""), amount(0, 0), clock.at()).again, Again::In(seconds(50)));
}

#[test]
fn what_is_left_is_told_of_the_tightest() {
    let mut clock = Still::new();
    let wide = Most { requests_per_minute: Some(100), tokens_per_minute: Some(50), ..Most::default() };
    let tight = Most { requests_per_minute: Some(10), tokens_per_minute: Some(1000), ..Most::default() };
    let all = [
        limit("wide", &[], wide),
        limit("tight", &[Dimension::User], tight),
        limit("day", &[], window(Unit::Usd, Span::Day, 100)),
        limit("hour", &[], window(Unit::Usd, Span::Hour, 90)),
    ];
    let limits = limits(&clock, &all);
    pass(&limits, &ask("a", ""), amount(20, 30), clock.at());
    clock.forward(seconds(30));
    let reservation = limits.reserve(&ask("a", ""), amount(10, 30), clock.at()).unwrap();
    let left = *reservation.left();
    let [requests, tokens, budget] = [left.requests, left.tokens, left.budget].map(Option::unwrap);
    assert_eq!((requests.most, requests.remaining, requests.reset), (10, 8, seconds(60)));
    assert_eq!((tokens.most, tokens.remaining, tokens.reset), (50, 20, seconds(60)));
    assert_eq!((budget.most, budget.remaining, budget.reset), (90, 30, seconds(3570)));
    assert_eq!(left.warning, None);
    let nothing = super::support::limits(&clock, &[limit("l", &[], concurrent(9))]);
    let left = *nothing.reserve(&ask("", ""), ONE, clock.at()).unwrap().left();
    assert_eq!((left.requests, left.tokens, left.budget), (None, None, None));
}

#[test]
fn thresholds_are_told_once_for_each_window() {
    let mut clock = Still::new();
    let warn = |limit| own(limit, |limit| limit.warn_permille = vec![500, 800]);
    let limits = limits(&clock, &[warn(limit("day", &[], window(Unit::Usd, Span::Day, 100)))]);
    let spend = |cost: u64, clock: &Still| {
        let mut reservation = limits.reserve(&ask("", ""), amount(0, cost), clock.at()).unwrap();
        assert!(reservation.take_crossings().is_empty(), "what is reserved is not spent yet");
        let warning = reservation.left().warning;
        let settled = reservation.settle(amount(0, cost), clock.at());
        (warning, settled.crossings.iter().map(|crossing| (crossing.permille, crossing.used, crossing.most)).collect::<Vec<_>>())
    };
    assert_eq!(spend(49, &clock), (None, vec![]));
    assert_eq!(spend(1, &clock), (None, vec![(500, 50, 100)]));
    assert_eq!(spend(10, &clock), (Some(500), vec![]));
    assert_eq!(spend(30, &clock), (Some(500), vec![(800, 90, 100)]));
    assert_eq!(spend(0, &clock), (Some(800), vec![]));
    clock.forward(seconds(86_400));
    // Both at once are one crossing: the higher.
    assert_eq!(spend(100, &clock), (None, vec![(800, 100, 100)]));
}

#[test]
fn thresholds_of_rates_are_told_once_a_minute() {
    let mut clock = Still::new();
    let most = Most { requests_per_minute: Some(10), tokens_per_minute: Some(1000), ..Most::default() };
    let limit_of = own(limit("l", &[], most), |limit| limit.warn_permille = vec![500, 800]);
    let limits = limits(&clock, &[limit_of]);
    let next = |tokens: u64, clock: &Still| {
        let mut reservation = limits.reserve(&ask("", ""), amount(tokens, 0), clock.at()).unwrap();
        let told: Vec<_> =
            reservation.take_crossings().iter().map(|crossing| (crossing.measure, crossing.permille, crossing.used)).collect();
        assert!(reservation.take_crossings().is_empty());
        assert!(reservation.settle(amount(tokens, 0), clock.at()).crossings.is_empty());
        told
    };
    for _ in 0..4 {
        assert_eq!(next(0, &clock), []);
    }
    assert_eq!(next(0, &clock), [(Measure::RequestsPerMinute, 500, 5)]);
    assert_eq!(next(499, &clock), []);
    assert_eq!(next(301, &clock), [(Measure::TokensPerMinute, 800, 800)]);
    assert_eq!(next(0, &clock), [(Measure::RequestsPerMinute, 800, 8)]);
    assert_eq!(next(0, &clock), []);
    clock.forward(seconds(60));
    for _ in 0..4 {
        assert_eq!(next(0, &clock), []);
    }
    assert_eq!(next(0, &clock), [(Measure::RequestsPerMinute, 500, 5)]);
}

#[test]
fn thresholds_are_told_after_a_year_too() {
    let mut clock = Still::new();
    let limits = limits(&clock, &[own(limit("l", &[], requests(1)), |limit| limit.warn_permille = vec![1000])]);
    for _ in 0..3 {
        clock.forward(seconds(366 * 86_400));
        for _ in 0..2 {
            clock.forward(seconds(60));
            assert_eq!(limits.reserve(&ask("", ""), ONE, clock.at()).unwrap().take_crossings().len(), 1, "{:?}", clock.elapsed);
        }
    }
}

#[test]
fn a_threshold_is_reached_at_its_share_exactly() {
    let clock = Still::new();
    for most in [5, 1000, 1005, 1_000_000] {
        let limits = limits(&clock, &[own(limit("l", &[], tokens(most)), |limit| limit.warn_permille = vec![800])]);
        let told = |tokens| limits.reserve(&ask("", ""), amount(tokens, 0), clock.at()).unwrap().take_crossings().len();
        assert_eq!(told(most * 4 / 5 - 1), 0, "{most}");
        assert_eq!(told(1), 1, "{most}");
    }
}

#[test]
fn thresholds_of_concurrency_are_told_once_a_minute() {
    let mut clock = Still::new();
    let limits = limits(&clock, &[own(limit("l", &[], concurrent(2)), |limit| limit.warn_permille = vec![1000])]);
    let told = |clock: &Still| {
        let first = limits.reserve(&ask("", ""), ONE, clock.at()).unwrap();
        let mut second = limits.reserve(&ask("", ""), ONE, clock.at()).unwrap();
        let told: Vec<_> = second.take_crossings().iter().map(|crossing| (crossing.measure, crossing.permille, crossing.used)).collect();
        assert_eq!(second.left().warning, Some(1000));
        drop((first, second));
        told
    };
    assert_eq!(told(&clock), [(Measure::Concurrent, 1000, 2)]);
    clock.forward(seconds(59));
    assert_eq!(told(&clock), []);
    clock.forward(seconds(1));
    assert_eq!(told(&clock), [(Measure::Concurrent, 1000, 2)]);
}

#[test]
fn what_is_counted_survives_a_reload_under_the_limits_name() {
    let clock = Still::new();
    let money = |name: &str, most| limit(name, &[Dimension::User], window(Unit::Usd, Span::Day, most));
    let old = limits(&clock, &[money("a", 100), limit("runs", &[], concurrent(1))]);
    let held = old.reserve(&ask("u", ""), amount(0, 30), clock.at()).unwrap();
    let new = old.renewed(&policy(&[limit("runs", &[], concurrent(1)), money("b", 100), money("a", 40)]));
    assert_eq!(refused(&new, &ask("u", ""), amount(0, 1), clock.at()).limit.name, "runs");
    drop(held.settle(amount(0, 30), clock.at()));
    let exceeded = refused(&new, &ask("u", ""), amount(0, 11), clock.at());
    assert_eq!((exceeded.limit.name.as_str(), exceeded.used, exceeded.most), ("a", 30, 40));
    pass(&new, &ask("u", ""), amount(0, 10), clock.at());
    // A bound that a reload adds begins to count with it.
    let more = Limit { most: Most { requests_per_minute: Some(1), ..money("a", 40).most }, ..money("a", 40) };
    let newest = new.renewed(&policy(&[more]));
    pass(&newest, &ask("u", ""), Amount::ZERO, clock.at());
    assert_eq!(refused(&newest, &ask("u", ""), Amount::ZERO, clock.at()).measure, Measure::RequestsPerMinute);
    assert!(all_returned(&newest, clock.at()));
}

#[test]
fn spend_is_put_back_in_the_windows_that_still_run() {
    let mut clock = Still::new();
    clock.wall = seconds(NOON + 1800);
    let hour = own(limit("hour", &[Dimension::User], window(Unit::Usd, Span::Hour, 100)), |limit| limit.warn_permille = vec![500]);
    let tries = limit("tries", &[Dimension::Provider], window(Unit::Tokens, Span::Month, 1000));
    let limits = limits(&clock, &[hour, limit("day", &[], window(Unit::Usd, Span::Day, 1000)), tries, limit("rate", &[], requests(1))]);
    let plain = ask("u", "m");
    let tried = Ask { provider: Some(Label::new("openai")), ..plain };
    let epoch = std::time::UNIX_EPOCH;
    let put = |ask: &Ask<'_>, cost, at: u64| limits.restore(ask, amount(cost, cost), epoch + seconds(at), clock.at());
    put(&tried, 60, NOON);
    put(&tried, 7, NOON - 1);
    put(&plain, 11, NOON - 2);
    put(&tried, 500, NOON - 43_201);
    put(&tried, 13, NOON - 40 * 86_400);
    let spent: Vec<_> =
        limits.view(clock.at(), 9).limits.iter().map(|limit| limit.top.first().map_or(0, |top| top.measures[0].settled)).collect();
    assert_eq!(spent, [60, 78, 567, 0]);
    assert_eq!(refused(&limits, &plain, amount(0, 41), clock.at()).limit.name, "hour");
    // What was told before the restart is not told again.
    let reservation = limits.reserve(&plain, amount(0, 1), clock.at()).unwrap();
    assert_eq!(reservation.left().warning, Some(500));
    assert!(reservation.settle(amount(0, 1), clock.at()).crossings.is_empty());
    // A window that is over is not made up.
    assert_eq!(limits.view(clock.at(), 9).meters, 4);
}

#[test]
fn a_clock_that_steps_back_opens_no_window_again() {
    let mut clock = Still::new();
    clock.wall = seconds(NOON + 3590);
    let limits = limits(&clock, &[limit("hour", &[], window(Unit::Usd, Span::Hour, 100))]);
    pass(&limits, &ask("", ""), amount(0, 100), clock.at());
    clock.forward(seconds(10));
    pass(&limits, &ask("", ""), amount(0, 90), clock.at());
    // Back in the hour before: it stays in the one that it had reached.
    clock.wall -= seconds(30);
    assert_eq!(refused(&limits, &ask("", ""), amount(0, 11), clock.at()).again, Again::In(seconds(3630)));
    pass(&limits, &ask("", ""), amount(0, 10), clock.at());
    clock.forward(seconds(30));
    refused(&limits, &ask("", ""), ONE, clock.at());
    // A day behind, the clock must have been wrong before.
    clock.wall -= seconds(86_400);
    refused(&limits, &ask("", ""), ONE, clock.at());
    clock.wall -= seconds(3600);
    pass(&limits, &ask("", ""), amount(0, 100), clock.at());
}

#[test]
fn a_month_stays_until_the_clock_is_a_month_behind() {
    let mut clock = Still::new();
    clock.wall = seconds(NOON + 5 * 86_400);
    let limits = limits(&clock, &[limit("month", &[], window(Unit::Usd, Span::Month, 100))]);
    clock.forward(seconds(86_400));
    pass(&limits, &ask("", ""), amount(0, 100), clock.at());
    clock.wall -= seconds(25 * 86_400);
    refused(&limits, &ask("", ""), ONE, clock.at());
    clock.wall -= seconds(31 * 86_400);
    pass(&limits, &ask("", ""), ONE, clock.at());
}

#[test]
fn the_idle_are_let_go_and_those_who_spent_are_kept() {
    let mut clock = Still::new();
    let all = [
        limit("rate", &[Dimension::User], requests(2)),
        limit("hour", &[Dimension::User], window(Unit::Usd, Span::Hour, 100)),
        limit("runs", &[Dimension::User], concurrent(9)),
    ];
    let limits = limits(&clock, &all);
    for user in 0..100 {
        pass(&limits, &ask(&format!("u{user}"), ""), amount(0, 60), clock.at());
    }
    let meters = |clock: &Still| limits.view(clock.at(), 0).meters;
    let visit = |clock: &Still| {
        for user in 0..320 {
            (0..60).for_each(|_| drop(limits.check(&ask(&format!("v{user}"), ""), ONE, clock.at())));
        }
    };
    // Whoever only ran is let go at once; rates stay for a minute, and money for its hour.
    visit(&clock);
    assert_eq!(meters(&clock), 200);
    clock.forward(seconds(59));
    visit(&clock);
    assert_eq!(meters(&clock), 200);
    clock.forward(seconds(1));
    visit(&clock);
    assert_eq!(meters(&clock), 100);
    clock.forward(seconds(3600 - 60 + 299));
    visit(&clock);
    assert_eq!(meters(&clock), 100);
    clock.forward(seconds(1));
    visit(&clock);
    assert_eq!(meters(&clock), 0);
    // Nor is anything left of them where they were.
    assert!(limits.view(clock.at(), 0).limits.iter().all(|limit| limit.subjects == 0));
}

#[test]
fn the_idle_do_not_pile_up_when_many_come() {
    let clock = Still::new();
    let limits = limits(&clock, &[limit("runs", &[Dimension::User], concurrent(9))]);
    for user in 0..5000 {
        pass(&limits, &ask(&format!("u{user}"), ""), ONE, clock.at());
    }
    let view = limits.view(clock.at(), 0);
    assert!(view.meters < 100 && view.limits[0].subjects < 100, "{} of 5000 are kept", view.meters);
}

#[test]
fn what_is_under_way_is_never_let_go() {
    let mut clock = Still::new();
    let limits = limits(
        &clock,
        &[limit("hour", &[Dimension::User], window(Unit::Usd, Span::Hour, 100)), limit("runs", &[Dimension::User], concurrent(1))],
    );
    let held = limits.reserve(&ask("u", ""), amount(0, 100), clock.at()).unwrap();
    clock.forward(seconds(40 * 86_400));
    for user in 0..200 {
        (0..50).for_each(|_| drop(limits.check(&ask(&format!("v{user}"), ""), ONE, clock.at())));
    }
    assert_eq!(refused(&limits, &ask("u", ""), ONE, clock.at()).limit.name, "runs");
    drop(held.settle(amount(0, 1), clock.at()));
    pass(&limits, &ask("u", ""), amount(0, 100), clock.at());
}

#[test]
fn where_there_is_no_room_newcomers_share_one_limit() {
    let mut clock = Still::new();
    let money = limit("money", &[Dimension::User], window(Unit::Usd, Span::Hour, 100));
    // 17 banks of 4 meters.
    let limits = Limits::with_room(&policy(&[money]), clock.origin(), 4);
    let (mut own, mut shared) = (Vec::new(), Vec::new());
    for user in 0..400 {
        let name = format!("u{user}");
        let before = limits.view(clock.at(), 0).crowded;
        match limits.reserve(&ask(&name, ""), amount(0, 70), clock.at()) {
            Ok(reservation) => drop(reservation.settle(amount(0, 70), clock.at())),
            Err(exceeded) => assert_eq!(exceeded.used, 70),
        }
        let crowded = limits.view(clock.at(), 0).crowded > before;
        if crowded { shared.push(name) } else { own.push(name) }
    }
    assert_eq!(own.len(), 64);
    let view = limits.view(clock.at(), usize::MAX);
    // One more in each of the banks in which there was no room: each of 16.
    assert_eq!((view.meters, view.limits[0].subjects), (80, 80));
    assert_eq!(view.limits[0].top.iter().filter(|subject| subject.name == "(others)").count(), 16);
    // Those who are known are not touched by the crowd.
    for name in &own {
        pass(&limits, &ask(name, ""), amount(0, 30), clock.at());
    }
    for name in &shared {
        refused(&limits, &ask(name, ""), amount(0, 31), clock.at());
    }
    // When the known are gone the shared count still stands for those in it: nobody gets a limit twice.
    let mut late = clock;
    late.forward(seconds(3600));
    for name in &shared {
        if let Ok(reservation) = limits.reserve(&ask(name, ""), amount(0, 70), late.at()) {
            drop(reservation.settle(amount(0, 70), late.at()));
        }
    }
    late.forward(seconds(300));
    for name in &shared {
        (0..4).for_each(|_| refused_or(&limits, &ask(name, ""), late));
    }
    // A window later, with the hours before forgotten, everybody has room.
    late.forward(seconds(7200));
    for name in shared.iter().take(20) {
        limits.check(&ask(name, ""), amount(0, 100), late.at()).unwrap_or_else(|exceeded| panic!("{exceeded}"));
    }
    clock.forward(seconds(0));
}

/// Nobody of the crowd gets more than the crowd has.
fn refused_or(limits: &Arc<Limits>, ask: &Ask<'_>, clock: Still) {
    if let Ok(()) = limits.check(ask, amount(0, 31), clock.at()) {
        panic!("one of the crowd has room of its own, while the crowd's count runs");
    }
}

#[test]
fn the_crowd_of_a_limit_is_its_own() {
    let clock = Still::new();
    let both = [limit("a", &[Dimension::User], requests(5)), limit("b", &[Dimension::User], requests(4))];
    let limits = Limits::with_room(&policy(&both), clock.origin(), 0);
    (0..4).for_each(|_| pass(&limits, &ask("u", ""), ONE, clock.at()));
    assert_eq!(refused(&limits, &ask("u", ""), ONE, clock.at()).limit.name, "b");
    // Nor is it the count of those who are not named: in each of 16 banks one has a count of his own, and one is the
    // first of the crowd.
    let limits = Limits::with_room(&policy(&[limit("l", &[Dimension::User], requests(2))]), clock.origin(), 1);
    pass(&limits, &ask("", ""), ONE, clock.at());
    let names: Vec<_> = (0..400).map(|user| format!("u{user}")).collect();
    let passed = names.iter().filter(|name| limits.reserve(&ask(name, ""), ONE, clock.at()).is_ok()).count();
    assert_eq!(passed, 15 * 3 + 2);
    pass(&limits, &ask("", ""), ONE, clock.at());
    refused(&limits, &ask("", ""), ONE, clock.at());
}

#[test]
fn more_is_reserved_where_all_of_it_fits_or_not_at_all() {
    let clock = Still::new();
    let both = [limit("money", &[], window(Unit::Usd, Span::Hour, 100)), limit("tokens", &[], tokens(50))];
    let limits = limits(&clock, &both);
    let mut held = limits.reserve(&ask("", ""), amount(10, 70), clock.at()).unwrap();
    assert!(!held.extend_if_fits(amount(41, 30), clock.at()), "the tokens do not fit");
    assert!(!held.extend_if_fits(amount(40, 31), clock.at()), "the money does not");
    assert_eq!(held.reserved(), amount(10, 70));
    limits.check(&ask("", ""), amount(40, 30), clock.at()).unwrap();
    assert!(held.extend_if_fits(amount(40, 30), clock.at()));
    assert_eq!(held.reserved(), amount(50, 100));
    let exceeded = refused(&limits, &ask("", ""), amount(0, 1), clock.at());
    assert_eq!((&*exceeded.limit.name, exceeded.used), ("money", 100));
    assert_eq!(refused(&limits, &ask("", ""), amount(1, 0), clock.at()).used, 50);
    assert!(held.extend_if_fits(Amount::ZERO, clock.at()), "nothing always fits");
    drop(held.settle(amount(20, 80), clock.at()));
    pass(&limits, &ask("", ""), amount(30, 20), clock.at());
    refused(&limits, &ask("", ""), ONE, clock.at());
}

#[test]
fn tags_that_share_a_crowded_count_are_counted_once() {
    let clock = Still::new();
    let limits = Limits::with_room(&policy(&[limit("l", &[Dimension::Tag], concurrent(1))]), clock.origin(), 0);
    let texts: Vec<_> = (0..64).map(|tag| format!("t{tag}")).collect();
    let tags: Vec<_> = texts.iter().map(|tag| Label::new(tag)).collect();
    let both = Ask { tags: &tags, ..ask("", "") };
    let held = limits.reserve(&both, ONE, clock.at()).unwrap();
    assert!(limits.view(clock.at(), 9).limits[0].under_way <= 16, "one in each bank at most");
    refused(&limits, &both, ONE, clock.at());
    drop(held.settle(ONE, clock.at()));
    assert!(all_returned(&limits, clock.at()));
    pass(&limits, &both, ONE, clock.at());
}

#[test]
fn the_view_shows_the_fullest_by_name() {
    let clock = Still::new();
    let money = |name, per: &[Dimension]| limit(name, per, window(Unit::Usd, Span::Day, 1000));
    let all = [
        money("by-model", &[Dimension::Team, Dimension::Model]),
        money("by-user", &[Dimension::User]),
        money("both", &[Dimension::User, Dimension::Model]),
        money("all", &[]),
    ];
    let limits = limits(&clock, &all);
    for (user, model, cost) in [("a", "x", 10), ("b", "y", 30), ("c", "z", 20), ("d", "w", 0)] {
        pass(&limits, &ask(user, model), amount(0, cost), clock.at());
    }
    let held = limits.reserve(&ask("a", "x"), amount(0, 5), clock.at()).unwrap();
    let view = limits.view(clock.at(), 2);
    let shown =
        |place: usize| view.limits[place].top.iter().map(|subject| (subject.name.clone(), subject.measures[0].settled)).collect::<Vec<_>>();
    assert_eq!(shown(0), [("search / y".to_owned(), 30), ("search / z".to_owned(), 20)]);
    let digest = |user: &str| format!("{:032x}", Label::new(user).digest());
    assert_eq!(shown(1), [(digest("b"), 30), (digest("c"), 20)]);
    assert!(shown(2)[0].0.starts_with('#') && shown(2)[0].0.len() == 33);
    assert_eq!(shown(3), [(String::new(), 60)]);
    assert_eq!(view.limits.iter().map(|limit| limit.subjects).collect::<Vec<_>>(), [4, 4, 4, 1]);
    let all = &view.limits[3].top[0];
    assert_eq!((all.under_way, all.waiting, all.measures[0].reserved, all.measures[0].free()), (1, 0, 5, 935));
    drop(held);
    assert!(limits.view(clock.at(), 0).limits.iter().all(|limit| limit.top.is_empty()));
    assert_eq!(limits.view(clock.at(), 9).limits[1].top.len(), 3, "what is at nothing is not shown");
}

#[test]
fn refusals_are_faults_that_say_what_to_do() {
    let mut clock = Still::new();
    let all = [
        limit("minute", &[Dimension::User], requests(1)),
        limit("day", &[], window(Unit::Usd, Span::Day, 1_500_000_000)),
        limit("words", &[], window(Unit::Tokens, Span::Month, 9)),
    ];
    let limits = limits(&clock, &all);
    pass(&limits, &ask("a", ""), amount(1, 1_000_000_000), clock.at());
    clock.forward(Duration::from_millis(100));
    let fault = refused(&limits, &ask("a", ""), amount(1, 0), clock.at()).fault();
    assert_eq!(
        fault.client_text,
        "The limit \"minute\" has no room: 1 requests in any minute, 1 of it used or reserved, 1 asked for (try again in 60 s)"
    );
    assert_eq!(
        (fault.kind, fault.retry_after, fault.code.as_deref()),
        (FaultKind::RateLimited, Some(Duration::from_millis(59_900)), Some("rate_limit_exceeded"))
    );
    let fault = refused(&limits, &ask("b", ""), amount(1, 600_000_000), clock.at()).fault();
    assert_eq!(
        fault.client_text,
        "The limit \"day\" has no room: 1.5 USD today, 1 USD of it used or reserved, 0.6 USD asked for (try again in 43200 s)"
    );
    assert_eq!((fault.kind, fault.code.as_deref()), (FaultKind::BudgetExhausted, Some("insufficient_quota")));
    let fault = refused(&limits, &ask("b", ""), amount(10, 0), clock.at()).fault();
    assert!(
        fault
            .client_text
            .ends_with("9 tokens this month, 1 of it used or reserved, 10 asked for (it never fits: ask for less, or raise the limit)")
    );
    assert_eq!(fault.retry_after, None);
    let runs = super::support::limits(&clock, &[limit("runs", &[], concurrent(1))]);
    let _held = runs.reserve(&ask("", ""), ONE, clock.at()).unwrap();
    let fault = refused(&runs, &ask("", ""), ONE, clock.at()).fault();
    assert!(
        fault
            .client_text
            .ends_with("1 requests at a time, 1 of it used or reserved, 1 asked for (try again when another request has ended)")
    );
    assert_eq!(fault.retry_after, Some(seconds(1)));
}

#[test]
fn measures_have_the_names_of_their_keys() {
    let all = [
        (Measure::RequestsPerMinute, "requests_per_minute"),
        (Measure::TokensPerMinute, "tokens_per_minute"),
        (Measure::Concurrent, "max_concurrent"),
        (Measure::Window(Unit::Usd, Span::Hour), "budget_usd_per_hour"),
        (Measure::Window(Unit::Tokens, Span::Day), "tokens_per_day"),
    ];
    for (measure, label) in all {
        assert_eq!(measure.label(), label);
    }
    assert_eq!(Measure::TokensPerMinute.to_string(), "tokens in any minute");
    assert_eq!(Measure::Window(Unit::Usd, Span::Hour).to_string(), "this hour");
}

#[test]
fn absurd_amounts_neither_wrap_nor_stick() {
    let clock = Still::new();
    let most = Most { tokens_per_minute: Some(1 << 50), ..window(Unit::Usd, Span::Day, 1 << 50) };
    let limits = limits(&clock, &[limit("l", &[], most)]);
    let absurd = Amount { tokens: u64::MAX, cost: NanoUsd(u64::MAX) };
    let mut held = limits.reserve(&ask("", ""), absurd, clock.at()).unwrap();
    assert_eq!(held.reserved(), amount(1 << 50, 1 << 50));
    for _ in 0..100 {
        assert!(matches!(held.extend(absurd, clock.at()), Extension::Overdrawn));
    }
    drop(held.settle(amount(5, 5), clock.at()));
    let view = limits.view(clock.at(), 1);
    assert!(
        view.limits[0].top.is_empty() || view.limits[0].top[0].measures.iter().all(|measure| (measure.reserved, measure.settled) == (0, 5))
    );
    pass(&limits, &ask("", ""), amount((1 << 50) - 5, (1 << 50) - 5), clock.at());
    drop(limits.reserve(&ask("", ""), Amount::ZERO, clock.at()).unwrap().settle(absurd, clock.at()));
    refused(&limits, &ask("", ""), ONE, clock.at());
}

#[test]
fn without_limits_everything_fits_and_is_still_told() {
    let clock = Still::new();
    let none = limits(&clock, &[]);
    assert!(none.is_empty());
    assert!(!limits(&clock, &[limit("l", &[], requests(1))]).is_empty());
    let mut free = none.reserve(&ask("", ""), amount(5, 5), clock.at()).unwrap();
    assert!(matches!(free.extend(ONE, clock.at()), Extension::Fits));
    assert_eq!(free.reserved(), amount(6, 6));
    assert_eq!(free.settle(amount(8, 6), clock.at()).overrun, amount(2, 0));
    assert!(none.check(&ask("", ""), ONE, clock.at()).is_ok());
}
