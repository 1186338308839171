//! A second target races where the first is slow: the tail goes, for few requests more.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::answer::{answer_of, chunk, head_of, raw};
use crate::faults::chance;
use crate::house::House;
use crate::lanes::{LANES, Lane, alias, target};
use crate::speech::{Usage, text_of};
use crate::upstream::{Heard, Mock, Seen, Step};

const QUICK: Duration = Duration::from_millis(20);
const SLOW: Duration = Duration::from_millis(600);
/// One of so many is slow, each time another: 4.5 percent, so that the 95th percentile is not on the edge between the two.
const ONE_OF: u64 = 22;
const CLIENTS: usize = 8;
const WARM_UP: u64 = 600;
const REQUESTS: u64 = 2_000;
const LANE: Lane = LANES[0];

fn is_slow(mock: &str, heard: &Heard) -> bool {
    let (block, place) = (heard.nth / ONE_OF, heard.nth % ONE_OF);
    chance(&format!("{mock}{}", heard.model), block) % ONE_OF == place
}

/// Thinks before its head; a stream thinks before its first content, its head being there at once, as vendors do it.
fn slow_at_times(mock: &'static str) -> impl Fn(&Heard) -> Vec<Step> {
    move |heard| {
        let think = Step::Wait(if is_slow(mock, heard) { SLOW } else { QUICK });
        if !heard.stream {
            return vec![think, answer_of(mock, heard, "")];
        }
        let (events, before) = heard.tongue.events(&heard.model, &text_of(mock, heard.number), Usage::ANY);
        vec![head_of(heard), chunk(&events[..before].concat()), think, chunk(&events[before..].concat()), raw("0\r\n\r\n")]
    }
}

/// The times to the first content of so many streams, in order of length.
async fn times(house: &House, model: &'static str, numbers: std::ops::Range<u64>) -> Vec<Duration> {
    let next = Arc::new(AtomicU64::new(numbers.start));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (mut client, next, end) = (house.client(), Arc::clone(&next), numbers.end);
            tokio::spawn(async move {
                let mut times = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= end {
                        return times;
                    }
                    let reply = client.ask(LANE.caller, model, number, true).await.unwrap();
                    let mock = if reply.provider() == "second" { "second" } else { "first" };
                    LANE.check(&reply, mock, model, number, true).unwrap_or_else(|why| panic!("{number}: {why}"));
                    // A head leaves with the first content.
                    times.push(reply.to_head);
                }
            })
        })
        .collect();
    let mut times = Vec::new();
    for client in clients {
        times.extend(client.await.unwrap());
    }
    times.sort_unstable();
    times
}

fn p99(times: &[Duration]) -> Duration {
    times[times.len() * 99 / 100]
}

#[tokio::test]
async fn a_hedge_takes_the_tail_away_for_few_requests_more() {
    let (first, second) = (Mock::open("first", slow_at_times("first")).await, Mock::open("second", slow_at_times("second")).await);
    let pair = |model: &str| [target("first", LANE.provider, model), target("second", LANE.provider, model)];
    let policy = first.providers()
        + &second.providers()
        + &alias("patient", &pair("patient"), "")
        + &alias("hasty", &pair("hasty"), "hedge = { after_p = 95, max_ratio = 0.05 }");
    let house = House::alone(&policy).await;

    let patient = times(&house, "patient", 0..REQUESTS / 2).await;
    times(&house, "hasty", 10_000..10_000 + WARM_UP).await;
    let hasty = times(&house, "hasty", 20_000..20_000 + REQUESTS).await;

    let of_hasty = |mock: &Mock| -> HashMap<u64, Seen> {
        mock.seen_of("hasty").into_iter().filter(|seen| seen.heard.number >= 20_000).map(|seen| (seen.heard.number, seen)).collect()
    };
    let (at_first, at_second) = (of_hasty(&first), of_hasty(&second));
    let raced: Vec<_> = at_first.values().filter_map(|one| Some((one, at_second.get(&one.heard.number)?))).collect();
    let told = format!(
        "p50 {:?} and {:?}, p99 {:?} and {:?}, {} of {REQUESTS} raced",
        patient[patient.len() / 2],
        hasty[hasty.len() / 2],
        p99(&patient),
        p99(&hasty),
        raced.len()
    );
    eprintln!("{told}");
    assert!(p99(&patient) >= SLOW, "no tail to take away: {told}");
    assert!(p99(&hasty) <= p99(&patient).mul_f64(0.4), "{told}");
    // Five in a hundred, and what a bucket may hold from before.
    let more = at_first.len() + at_second.len() - hasty.len();
    assert!(more as f64 <= REQUESTS as f64 * 0.05 + 20.0, "{more} more upstream: {told}");
    assert!(!raced.is_empty(), "{told}");

    // Of each race one was given up; a race that both won at the same moment has none.
    let mut none = 0;
    for (one, other) in &raced {
        match (one.cancelled, other.cancelled) {
            (Some(_), Some(_)) => panic!("nobody was left to answer {}", one.heard.number),
            (None, None) => none += 1,
            // Both took their time: the loser ran until the other was there.
            _ if is_slow("first", &one.heard) && is_slow("second", &other.heard) => {}
            (Some(at), None) | (None, Some(at)) => {
                let since = at.saturating_duration_since(one.heard.at.max(other.heard.at));
                // The winner took its time to think; a loser that is left to finish takes the slow one's.
                assert!(since < SLOW / 2, "the loser of {} went on for {since:?}", one.heard.number);
            }
        }
    }
    assert!(none * 20 <= raced.len() + 20, "{none} of {} losers were not cancelled", raced.len());
    assert!(hasty.len() == REQUESTS as usize);
    first.assert_understood();
    second.assert_understood();
    house.assert_calm().await;
}
