//! The tests' own promises: how often a false alarm, how soon a true one.

use super::super::under_way::UnderWay;
use super::super::verdict::{Tests, Verdict};
use super::*;

/// Answers until the verdict changes, at most so many.
fn until_broken(threshold: f32, share: u64, seed: u64, most: u32) -> u32 {
    let (tests, now) = (Tests::of(95), clock::now());
    let mut rng = RootRng::seeded(seed).fork();
    let mut verdict = Verdict::unknown(threshold);
    for answer in 0..most {
        verdict.add(rng.below(1000) < share, &tests, threshold, now);
        if verdict.is_broken() {
            return answer + 1;
        }
    }
    most
}

#[test]
fn a_false_alarm_is_as_rare_as_the_threshold_says() {
    const ANSWERS: u32 = 5_000;
    for (share, most) in [(25, 1), (40, 8)] {
        let broken = (0..40).filter(|seed| until_broken(7.5, share, *seed, ANSWERS) < ANSWERS).count();
        assert!(broken <= most, "{share} in a thousand over: {broken} of 40 alarms within {ANSWERS}");
    }
}

#[test]
fn a_great_change_is_seen_after_a_few_answers_and_a_small_one_in_time() {
    for (share, mean) in [(1000, 5), (500, 20), (250, 60), (100, 900), (75, 3000)] {
        let answers: u32 = (0..20).map(|seed| until_broken(9.0, share, seed, 20_000)).sum();
        assert!(answers / 20 <= mean, "{share} in a thousand over: {} answers", answers / 20);
    }
}

#[test]
fn who_breaks_a_bound_again_soon_needs_more_evidence_each_time() {
    let (tests, start) = (Tests::of(95), clock::now());
    let mut verdict = Verdict::unknown(8.0);
    let mut needed = Vec::new();
    for _ in 0..4 {
        while !verdict.is_broken() {
            verdict.add(true, &tests, 8.0, start);
        }
        let answers = (1..).find(|_| {
            verdict.add(false, &tests, 8.0, start);
            !verdict.is_broken()
        });
        needed.push(answers.unwrap());
    }
    assert!(needed[0] <= 10 && needed.windows(2).all(|pair| pair[1] >= pair[0] * 3 / 2), "{needed:?}");
    // It kept it for an hour since.
    while !verdict.is_broken() {
        verdict.add(true, &tests, 8.0, start + Duration::from_secs(3600));
    }
    let answers = (1u32..).find(|_| {
        verdict.add(false, &tests, 8.0, start + Duration::from_secs(3600));
        !verdict.is_broken()
    });
    assert!(answers.unwrap() <= needed[0] + 2);
}

#[test]
fn each_request_under_way_is_late_once_and_none_that_was_answered() {
    let start = clock::now();
    let mut rng = RootRng::seeded(9).fork();
    let mut queue = UnderWay::new(2);
    let mut sent = Vec::new();
    let mut late = [Vec::new(), Vec::new()];
    let bounds = [Duration::from_millis(70), Duration::from_millis(200)];
    for step in 0..2000u64 {
        let now = start + Duration::from_millis(step);
        match rng.below(5) {
            0 | 1 => sent.extend(queue.push(3, now).map(|number| (number, now))),
            2 if !sent.is_empty() => {
                let (number, _) = sent.swap_remove(rng.below(sent.len() as u64) as usize);
                queue.close(number, 3);
            }
            _ => {}
        }
        for question in 0..2 {
            while let Some(number) = queue.late(question, bounds[question], now) {
                let at = sent.iter().find(|(sent, _)| *sent == number).expect("it was answered").1;
                assert!(now - at >= bounds[question]);
                late[question].push(number);
            }
            let missed = sent.iter().find(|(number, at)| now - *at >= bounds[question] && !late[question].contains(number));
            assert_eq!(missed, None);
        }
    }
    for late in &late {
        assert!(late.len() > 50 && late.is_sorted_by(|a, b| a < b), "each once: {late:?}");
    }
    sent.iter().for_each(|(number, _)| assert!(!queue.close(*number, 1) || queue.next() > *number));
}
