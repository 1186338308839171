//! What holds of each request, whatever the day: few tries, honest failures, waits that are kept, and the way back.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::net::TcpSocket;

use crate::client::Reply;
use crate::faults::{FAULTS, FIRST_TOKEN, Outcome, well};
use crate::house::House;
use crate::lanes::{LANES, Lane, alias, providers, target};
use crate::speech::Tongue;
use crate::upstream::{Heard, Mock, Step};

/// Each fault without the good days between.
fn always(heard: &Heard) -> Vec<Step> {
    let name = heard.model.split('.').next().unwrap_or_default();
    FAULTS.iter().find(|fault| fault.name == name).map_or_else(|| vec![Step::Hold], |fault| (fault.steps)(heard))
}

/// Asks `count` requests by so many clients at a time.
async fn ask_many(house: &House, clients: usize, count: u64, lane: Lane, model: &'static str) -> Vec<(u64, Reply)> {
    let next = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> = (0..clients)
        .map(|_| {
            let (mut client, next) = (house.client(), Arc::clone(&next));
            tokio::spawn(async move {
                let mut replies = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return replies;
                    }
                    replies.push((number, client.ask(lane.caller, model, number, number % 2 == 0).await.unwrap()));
                }
            })
        })
        .collect();
    let mut replies = Vec::new();
    for client in clients {
        replies.extend(client.await.unwrap());
    }
    replies
}

/// What a status may be where both targets fail in this way; `None` where the caller's dialect decides.
fn honest(fault: &str, status: u16, lane: Lane) -> bool {
    // The provider's own status goes on to a caller who speaks its dialect; else the kind of the failure decides.
    let own = lane.caller == lane.provider;
    match fault {
        _ if fault.starts_with("429") => status == 429,
        "529" => status == if own || lane.caller == Tongue::Claude { 529 } else { 503 },
        "503" => matches!(status, 503 | 529),
        "500" => status == if own { 500 } else { 502 },
        "502" => status == 502,
        "504" => status == 504,
        "408" => status == if own { 408 } else { 504 },
        "401" | "403" | "404" => fault.parse() == Ok(status),
        "error-as-200" | "error-event" | "late-error-event" => matches!(status, 502 | 503 | 529),
        _ if fault.contains("stall") || fault.contains("drip") => status == 504,
        _ => status == 502,
    }
}

#[tokio::test]
async fn failures_are_told_in_the_callers_dialect_after_so_many_tries() {
    const ATTEMPTS: [u32; 3] = [1, 2, 3];
    let (one, two) = (Mock::open("one", always).await, Mock::open("two", always).await);
    let mut policy = one.providers() + &two.providers();
    let mut cases = Vec::new();
    for fault in FAULTS.iter().filter(|fault| fault.stream != Outcome::Good) {
        for lane in LANES {
            for attempts in ATTEMPTS {
                // A whole answer that stalls lasts until the exchange's time is over: that too is to be told.
                let slow = fault.stream == Outcome::InTime;
                let modes = if slow || fault.whole != Outcome::None { [true, false].as_slice() } else { &[true] };
                for stream in modes.iter().copied() {
                    let name = format!("{}.{}.{attempts}.{stream}", fault.name, lane.name);
                    let targets = [target("one", lane.provider, &name), target("two", lane.provider, &name)];
                    let (first, total) = if slow { (FIRST_TOKEN, "1s") } else { ("30s", "60s") };
                    let keys = format!(
                        "retry = {{ attempts = {attempts} }}\ntimeout = {{ first_token = \"{first}\", idle = \"30s\", total = \"{total}\" }}"
                    );
                    policy.push_str(&alias(&name, &targets, &keys));
                    cases.push((fault.name, lane, attempts, name, stream));
                }
            }
        }
    }
    let house = House::open(&policy).await;
    let cases = Arc::new(cases);
    let next = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> = (0..32)
        .map(|_| {
            let (mut client, next, cases) = (house.client(), Arc::clone(&next), Arc::clone(&cases));
            tokio::spawn(async move {
                let mut wrong = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some((fault, lane, attempts, model, stream)) = cases.get(usize::try_from(number).unwrap()) else { return wrong };
                    let reply = client.ask(lane.caller, model, number, *stream).await.unwrap_or_else(|error| panic!("{model}: {error}"));
                    let told = lane.caller.read_whole(&reply.body);
                    let is_json = reply.header("content-type").starts_with("application/json");
                    // A page of a proxy goes on as it came to a caller of the same dialect.
                    let page = lane.caller == lane.provider && ["502", "504", "408"].contains(fault);
                    let waits = ["429-seconds", "429-millis", "429-date", "429-long"].contains(fault)
                        || (*fault == "429-body" && lane.provider == Tongue::Gemini);
                    let in_dialect = told.errors == 1 && told.wrong.is_empty() && is_json;
                    let sound = (in_dialect || page) && honest(fault, reply.status, *lane) && !reply.cut;
                    let says_when = reply.header("retry-after").is_empty() != waits && reply.header("location").is_empty();
                    let few = (1..=*attempts).contains(&reply.attempts());
                    let prompt = reply.to_end < Duration::from_secs(30);
                    if !(sound && says_when && few && prompt) {
                        wrong.push(format!(
                            "{model} stream={stream}: {} {:?} {:?} {}",
                            reply.status,
                            reply.attempts(),
                            reply.to_end,
                            reply.body
                        ));
                    }
                }
            })
        })
        .collect();
    let mut wrong = Vec::new();
    for client in clients {
        wrong.extend(client.await.unwrap());
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    let (at_one, at_two) = (one.by_number(), two.by_number());
    for (number, (.., attempts, model, _)) in cases.iter().enumerate() {
        let times = |counts: &HashMap<u64, usize>| counts.get(&(number as u64)).copied().unwrap_or(0);
        let times = times(&at_one) + times(&at_two);
        assert!((1..=*attempts as usize).contains(&times), "{model}: {times} requests upstream");
    }
    house.assert_calm().await;
}

#[tokio::test]
async fn an_outage_is_not_multiplied() {
    const REQUESTS: u64 = 2_000;
    for fault in ["500", "reset"] {
        let (one, two) = (Mock::open("one", always).await, Mock::open("two", always).await);
        let pair = [target("one", Tongue::Chat, fault), target("two", Tongue::Chat, fault)];
        let policy = one.providers() + &two.providers() + &alias("out", &pair, "retry = { attempts = 3, budget = 0.2 }");
        let house = House::open(&policy).await;
        let replies = ask_many(&house, 16, REQUESTS, LANES[0], "out").await;
        for (number, reply) in &replies {
            assert!(honest(fault, reply.status, LANES[0]) || reply.status == 503, "{number}: {} {}", reply.status, reply.body);
            assert_eq!(Tongue::Chat.read_whole(&reply.body).errors, 1, "{number}: {}", reply.body);
            assert!(reply.to_end < Duration::from_secs(10), "{number}: {:?}", reply.to_end);
        }
        let upstream = one.seen().len() + two.seen().len();
        eprintln!("{fault}: {upstream} requests upstream for {REQUESTS}");
        // Until it is known that both are out, each request may move on to the one that seems well.
        assert!(upstream as f64 <= 1.2 * REQUESTS as f64 + 100.0, "{upstream} requests upstream for {REQUESTS}");
        house.assert_calm().await;
    }
}

/// The provider of a recovered target answers again as the first, within this.
const RECOVERY: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_healed_target_is_first_again_and_nobody_noticed() {
    // One is sick on its own socket; the other's socket is closed until it is healed.
    let ill = Arc::new(AtomicBool::new(true));
    let (script, closed) = (Arc::clone(&ill), TcpSocket::new_v4().unwrap());
    let sick = Mock::open("sick", move |heard| match (script.load(Ordering::SeqCst), heard.nth % 2) {
        (true, 0) => vec![Step::Reset],
        (true, _) => vec![crate::answer::raw("HTTP/1.1 503 Oh\r\nContent-Length: 0\r\n\r\n")],
        (false, _) => vec![crate::answer::answer_of("sick", heard, "")],
    });
    let (sick, well) = (sick.await, Mock::open("well", well).await);
    closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = closed.local_addr().unwrap().port();
    let policy = sick.providers()
        + &well.providers()
        + &providers("gone", &format!("http://127.0.0.1:{port}"))
        + &alias("sick", &["sick", "well"].map(|name| target(name, Tongue::Chat, "sick")), "")
        + &alias("gone", &["gone", "well"].map(|name| target(name, Tongue::Chat, "gone")), "");
    let house = House::open(&policy).await;
    for model in ["sick", "gone"] {
        for (number, reply) in ask_many(&house, 8, 300, LANES[0], model).await {
            LANES[0].check(&reply, "well", model, number, number % 2 == 0).unwrap_or_else(|why| panic!("{model} {number}: {why}"));
        }
    }
    ill.store(false, Ordering::SeqCst);
    let gone = Mock::on(closed.listen(1024).unwrap(), "gone", |heard| vec![crate::answer::answer_of("gone", heard, "")]);

    let healed = Instant::now();
    for model in ["sick", "gone"] {
        let (mut client, mut in_a_row, mut number) = (house.client(), 0, 1000);
        while in_a_row < 50 {
            number += 1;
            let reply = client.ask(Tongue::Chat, model, number, true).await.unwrap();
            let mock = if reply.provider() == "well" { "well" } else { model };
            LANES[0].check(&reply, mock, model, number, true).unwrap_or_else(|why| panic!("{model} {number}: {why}"));
            in_a_row = if mock == "well" { 0 } else { in_a_row + 1 };
            assert!(healed.elapsed() < RECOVERY, "{model} has been well for {:?} and is not asked first", healed.elapsed());
            if mock == "well" {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
    eprintln!("both first again {:?} after they were healed", healed.elapsed());
    for mock in [&sick, &well, &gone] {
        mock.assert_understood();
    }
    house.assert_calm().await;
}

/// The vendors' ways of saying when to come back: what the upstream says, in whose dialect, and how long that is.
fn waits() -> Vec<(&'static str, Lane, Duration)> {
    let second = Duration::from_secs(1);
    vec![
        ("429-seconds", LANES[0], second),
        ("429-millis", LANES[0], Duration::from_millis(700)),
        ("429-date", LANES[0], second),
        ("429-seconds", LANES[1], second),
        ("429-seconds", LANES[2], second),
        ("429-body", LANES[3], second),
    ]
}

/// Says the first time that it is too much, and after that answers.
fn once(heard: &Heard) -> Vec<Step> {
    if heard.nth == 0 { always(heard) } else { vec![crate::answer::answer_of("sick", heard, "")] }
}

fn model_of(fault: &str, lane: Lane) -> String {
    format!("{fault}.{}", lane.name)
}

#[tokio::test]
async fn a_target_alone_is_asked_again_when_it_said() {
    let sick = Mock::open("sick", once).await;
    let mut policy = sick.providers();
    for (fault, lane, _) in waits() {
        policy.push_str(&alias(&model_of(fault, lane), &[target("sick", lane.provider, &model_of(fault, lane))], ""));
    }
    let house = House::open(&policy).await;
    for (number, (fault, lane, wait)) in (0..).zip(waits()) {
        let model = model_of(fault, lane);
        let reply = house.client().ask(lane.caller, &model, number, true).await.unwrap();
        lane.check(&reply, "sick", &model, number, true).unwrap_or_else(|why| panic!("{model}: {why}"));
        assert_eq!(reply.attempts(), 2, "{model}");
        let [first, second] = sick.seen_of(&model)[..].iter().map(|seen| seen.heard.at).collect::<Vec<_>>().try_into().unwrap();
        assert!(second.duration_since(first) >= wait, "{model}: asked again after {:?}", second.duration_since(first));
    }
    house.assert_calm().await;
}

#[tokio::test]
async fn a_target_that_said_when_is_left_alone_until_then() {
    let (sick, well) = (Mock::open("sick", once).await, Mock::open("well", well).await);
    let mut policy = sick.providers() + &well.providers();
    for (fault, lane, _) in waits() {
        let model = model_of(fault, lane);
        policy.push_str(&alias(&model, &["sick", "well"].map(|name| target(name, lane.provider, &model)), ""));
    }
    let house = House::open(&policy).await;
    let mut asking = Vec::new();
    for (fault, lane, wait) in waits() {
        let (mut client, model) = (house.client(), model_of(fault, lane));
        asking.push(tokio::spawn(async move {
            let began = Instant::now();
            for number in 0.. {
                let reply = client.ask(lane.caller, &model, number, number % 2 == 0).await.unwrap();
                let mock = if reply.provider() == "well" { "well" } else { "sick" };
                lane.check(&reply, mock, &model, number, number % 2 == 0).unwrap_or_else(|why| panic!("{model}: {why}"));
                if mock == "sick" {
                    return (model, wait);
                }
                assert!(began.elapsed() < RECOVERY, "{model} is not asked any more");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            unreachable!("there are numbers enough")
        }));
    }
    for asked in asking {
        let (model, wait) = asked.await.unwrap();
        let seen = sick.seen_of(&model);
        let apart = seen[1].heard.at.duration_since(seen[0].heard.at);
        assert!(apart >= wait, "{model}: asked again after {apart:?}");
    }
    house.assert_calm().await;
}

#[tokio::test]
async fn a_key_that_is_spent_is_left_alone_and_the_other_serves() {
    // Each key may ask twice a second by this upstream's count.
    let spent: Arc<std::sync::Mutex<HashMap<String, Instant>>> = Arc::default();
    let script = Arc::clone(&spent);
    let mock = Mock::open("keyed", move |heard| {
        let mut spent = script.lock().unwrap();
        if heard.key == "sk-one" && !spent.contains_key("sk-one") {
            spent.insert(heard.key.clone(), heard.at);
            return always(&Heard { model: "429-seconds".to_owned(), ..heard.clone() });
        }
        vec![crate::answer::answer_of("keyed", heard, "")]
    });
    let mock = mock.await;
    let keyed = mock.providers().replacen("api_key = \"sk-keyed\"", "api_key = [\"sk-one\", \"sk-two\"]", 1);
    let policy = keyed + &alias("keyed", &[target("keyed", Tongue::Chat, "keyed")], "");
    let house = House::open(&policy).await;
    let (mut client, mut number) = (house.client(), 0);
    // Until the first key has been told off, and for a while after; both serve in the end.
    let began = Instant::now();
    let mut served: HashMap<String, Vec<Instant>> = HashMap::new();
    while served.get("sk-one").is_none_or(|times| times.len() < 2) || !served.contains_key("sk-two") {
        let reply = client.ask(Tongue::Chat, "keyed", number, true).await.unwrap();
        LANES[0].check(&reply, "keyed", "keyed", number, true).unwrap_or_else(|why| panic!("{number}: {why}"));
        assert!(reply.to_end < Duration::from_millis(900), "waited for a key while the other was free: {:?}", reply.to_end);
        number += 1;
        served.clear();
        for seen in mock.seen() {
            served.entry(seen.heard.key).or_default().push(seen.heard.at);
        }
        assert!(began.elapsed() < RECOVERY, "{:?}", served.iter().map(|(key, times)| (key, times.len())).collect::<Vec<_>>());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let told_off = spent.lock().unwrap()["sk-one"];
    let early = served["sk-one"].iter().filter(|at| **at > told_off && at.duration_since(told_off) < Duration::from_secs(1)).count();
    assert_eq!(early, 0, "a spent key was used again too early");
    house.assert_calm().await;
}

#[tokio::test]
async fn a_whole_answer_that_stalls_is_replaced() {
    let (sick, well) = (Mock::open("sick", always).await, Mock::open("well", well).await);
    let mut policy = sick.providers() + &well.providers();
    let stalls = ["stall", "stall-in-head", "stall-after-head", "stall-before-content"];
    for stall in stalls {
        for lane in LANES {
            let model = format!("{stall}.{}", lane.name);
            let targets = ["sick", "well"].map(|name| target(name, lane.provider, &model));
            policy.push_str(&alias(&model, &targets, "timeout = { first_token = \"400ms\", idle = \"400ms\", total = \"4s\" }"));
        }
    }
    let house = House::open(&policy).await;
    let asked = (0..).zip(stalls).flat_map(|(number, stall)| LANES.map(|lane| (number, lane, format!("{stall}.{}", lane.name))));
    let asking = asked.map(|(number, lane, model)| {
        let mut client = house.client();
        tokio::spawn(async move {
            let reply = client.ask(lane.caller, &model, number, false).await.unwrap();
            lane.check(&reply, "well", &model, number, false).unwrap_or_else(|why| panic!("{model}: {why}"));
        })
    });
    for asked in asking.collect::<Vec<_>>() {
        asked.await.unwrap();
    }
}
