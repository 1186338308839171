//! The healthy path does not pay for the sick one.

use std::time::Duration;

use crate::faults::{Outcome, chance, well};
use crate::house::House;
use crate::lanes::{LANES, Lane, alias, providers, target};
use crate::upstream::Mock;

/// Requests of each.
const ROUNDS: u64 = 300;
/// Far above what noise makes of nothing.
const RATIO_MAX: f64 = 1.5;

#[tokio::test]
async fn a_sick_second_target_costs_nothing() {
    let (mock, doors) = (Mock::open("well", well).await, crate::storm::Doors::open().await);
    let mut policy = mock.providers();
    for (name, origin, ..) in &doors.all {
        policy.push_str(&providers(name, origin));
    }
    for lane in LANES {
        let mut targets = vec![target("well", lane.provider, "m")];
        policy.push_str(&alias(&format!("alone.{}", lane.name), &targets, ""));
        let sick = doors.all.iter().filter(|(_, _, outcome, _)| *outcome == Outcome::Elsewhere);
        targets.extend(sick.map(|(name, ..)| target(name, lane.provider, "m")));
        policy.push_str(&alias(&format!("among.{}", lane.name), &targets, ""));
    }
    let house = House::alone(&policy).await;
    for (stream, lane) in [(true, LANES[0]), (false, LANES[0]), (true, LANES[2]), (false, LANES[3])] {
        let mut ratios = Vec::new();
        // What else the machine does may fall on one of both; it does not do so each time.
        while ratios.len() < 3 && ratios.last().is_none_or(|ratio| *ratio > RATIO_MAX) {
            ratios.push(ratio(&house, lane, stream).await);
        }
        eprintln!("{} stream={stream}: {ratios:.2?} of the time alone", lane.name);
        assert!(ratios.last().is_some_and(|ratio| *ratio <= RATIO_MAX), "{} stream={stream}: {ratios:?}", lane.name);
    }
    mock.assert_understood();
    house.assert_calm().await;
}

/// The median time of the target among sick ones, as a share of that of the target alone.
async fn ratio(house: &House, lane: Lane, stream: bool) -> f64 {
    let (mut client, mut times) = (house.client(), [Vec::new(), Vec::new()]);
    for round in 0..2 * ROUNDS {
        // By chance, or what comes in turns elsewhere falls always on the same.
        let kind = usize::from(chance("turn", round) < 50);
        let model = format!("{}.{}", ["alone", "among"][kind], lane.name);
        let reply = client.ask(lane.caller, &model, round, stream).await.unwrap();
        lane.check(&reply, "well", "m", round, stream).unwrap_or_else(|why| panic!("{model}: {why}"));
        assert_eq!(reply.attempts(), 1);
        times[kind].push(reply.to_end);
    }
    let [alone, among] = times.map(median);
    among.as_secs_f64() / alone.as_secs_f64()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
