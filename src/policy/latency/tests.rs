use super::*;
use crate::base::clock;

const CLASS: SizeClass = SizeClass(0);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn it_is_small() {
    assert!(size_of::<[[Cell; MOMENTS]; SizeClass::COUNT]>() + size_of::<Latency>() <= 3 << 10);
}

#[test]
fn buckets_meet_and_hold_their_own() {
    for micros in (1..3_000_000u64).step_by(97).chain([(1 << 30) - 1]) {
        let took = Duration::from_micros(micros);
        let at = bucket(took);
        assert!(at < BUCKETS - 1);
        assert!(took.max(ms(1)) < edge(at + 1) && (edge(at) <= took || at == 0), "{took:?} in {at}");
    }
    assert_eq!(bucket(Duration::MAX), BUCKETS - 2);
}

#[test]
fn percentiles_are_near_the_true_ones() {
    let start = clock::now();
    let latency = Latency::new(start);
    for i in 0..10_000u64 {
        // A permutation of 100..=1099 ms, again and again.
        latency.observe(CLASS, Moment::Whole, ms(100 + i * 617 % 1000), start + ms(i * 10));
    }
    let now = start + ms(100_000);
    for (percentile, truth) in [(50, 600.0), (95, 1050.0), (75, 850.0), (90, 1000.0)] {
        let found = latency.percentile(CLASS, Moment::Whole, percentile, now).unwrap().as_secs_f64() * 1e3;
        assert!((found / truth - 1.0).abs() < 0.12, "p{percentile}: {found} for {truth}");
    }
    assert_eq!(latency.percentile(CLASS, Moment::FirstToken, 50, now), None);
    assert_eq!(latency.percentile(SizeClass(1), Moment::Whole, 50, now), None);
    let (overall, read) = (latency.overall(Moment::Whole, now), latency.read(CLASS, Moment::Whole, now));
    assert!(overall.p50.unwrap().abs_diff(read.p50.unwrap()) < ms(1) && (overall.samples / read.samples - 1.0).abs() < 0.01);
}

#[test]
fn silence_makes_the_past_fade() {
    let start = clock::now();
    let latency = Latency::new(start);
    latency.observe(CLASS, Moment::Whole, ms(100), start);
    let samples = |after| latency.read(CLASS, Moment::Whole, start + after).samples;
    assert!((samples(Duration::ZERO) - 1.0).abs() < 0.01);
    assert!((samples(DECAY.half_life) - 0.5).abs() < 0.01);
    assert_eq!(latency.percentile(CLASS, Moment::Whole, 50, start + 3 * DECAY.half_life), None);
    assert_eq!(latency.percentile(CLASS, Moment::Whole, 90, start + 3 * DECAY.half_life), None);
    // Days, and a clock that goes back, do no harm.
    latency.observe(CLASS, Moment::Whole, ms(400), start + Duration::from_secs(1_000_000));
    latency.observe(CLASS, Moment::Whole, ms(400), start);
    let found = latency.read(CLASS, Moment::Whole, start + Duration::from_secs(1_000_000));
    assert!(found.p50.unwrap() > ms(300) && found.samples < 2.1, "{found:?}");
}

#[test]
fn a_change_shows_after_a_few_answers() {
    let start = clock::now();
    let latency = Latency::new(start);
    let mut now = start;
    let mut tell = |took: u64, times: u64| {
        for i in 0..times {
            now += ms(20);
            latency.observe(CLASS, Moment::Whole, ms(took + i % 7 * took / 10), now);
        }
        latency.read(CLASS, Moment::Whole, now).p50.unwrap()
    };
    assert!(tell(100, 1000) < ms(200));
    assert!(tell(2000, 30) > ms(1500), "it has become slow");
    tell(2000, 1000);
    assert!(tell(100, 30) < ms(200), "it has become fast again");
}

#[test]
fn what_failed_counts_as_slower_than_all_that_came() {
    let now = clock::now();
    let latency = Latency::new(now);
    for i in 0..100 {
        match i % 10 {
            0 => latency.failed(CLASS, Moment::FirstToken, now),
            _ => latency.observe(CLASS, Moment::FirstToken, ms(100), now),
        }
    }
    let read = latency.read(CLASS, Moment::FirstToken, now);
    assert!(read.p50.unwrap() < ms(120));
    assert_eq!(read.p95, Some(Latency::NEVER));
    assert!(latency.percentile_answered(CLASS, Moment::FirstToken, 95, now).unwrap() < ms(130));
}
