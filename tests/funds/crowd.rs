//! Crowds against each kind of limit: never over, all returned, each refusal in order.

use std::collections::HashSet;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::client::{Client, Reply};
use crate::house::House;
use crate::kill::request;
use crate::provider::{OUTPUT_MAX, Provider, Temper};
use crate::{Dice, scaled};

const CHAT: &str = "/v1/chat/completions";
const CLAUDE: &str = "/v1/messages";

struct Kind {
    name: &'static str,
    limit: &'static str,
    /// The most that the provider may see of it.
    bound: Bound,
}

enum Bound {
    /// Requests at a time.
    Crowd(usize),
    /// Requests at all.
    Requests(usize),
    /// Tokens told.
    Tokens(u64),
    /// Nano-USD owed.
    Money(u64),
    /// Nano-USD owed for each of the users.
    MoneyOfEach(u64),
}

const USERS: u64 = 5;

const KINDS: [Kind; 10] = [
    Kind { name: "requests", limit: "requests_per_minute = 100", bound: Bound::Requests(100) },
    Kind { name: "tokens", limit: "tokens_per_minute = 5000", bound: Bound::Tokens(5000) },
    Kind { name: "concurrency", limit: "max_concurrent = 16", bound: Bound::Crowd(16) },
    Kind {
        name: "a line",
        limit: "max_concurrent = 16\non_exceed = \"queue\"\nqueue_timeout = \"60s\"\nqueue_max = 10000",
        bound: Bound::Crowd(16),
    },
    Kind { name: "money by the hour", limit: "budget_usd_per_hour = 0.02", bound: Bound::Money(20_000_000) },
    Kind { name: "money by the day", limit: "budget_usd_per_day = 0.01", bound: Bound::Money(10_000_000) },
    Kind { name: "tokens by the day", limit: "tokens_per_day = 5000", bound: Bound::Tokens(5000) },
    Kind { name: "money of each user", limit: "per = [\"user\"]\nbudget_usd_per_day = 0.004", bound: Bound::MoneyOfEach(4_000_000) },
    Kind {
        name: "a cheaper alias",
        limit: "when = { model = \"any\" }\nbudget_usd_per_day = 0.005\non_exceed = \"degrade\"\ndegrade_to = \"free\"",
        bound: Bound::Money(5_000_000),
    },
    Kind { name: "a provider's requests", limit: "per = [\"provider\"]\nrequests_per_minute = 50", bound: Bound::Requests(50) },
];

#[tokio::test]
async fn no_kind_of_limit_is_overshot_by_a_crowd() {
    for (seed, kind) in KINDS.iter().enumerate() {
        crowd(kind, 100 + seed as u64).await;
    }
}

/// What one of a crowd saw: nothing, where it left.
async fn one(mut client: Client, number: u64, mut dice: Dice, leaves: bool) -> (u64, Option<Reply>) {
    let (stream, user) = (dice.below(2) == 0, format!("u{}", number % USERS));
    let (path, body) = match dice.below(3) {
        0 => (
            CLAUDE,
            format!(
                r#"{{"model":"any","stream":{stream},"max_tokens":{OUTPUT_MAX},"messages":[{{"role":"user","content":"Where is my parcel? {number}"}}]}}"#
            ),
        ),
        _ => (CHAT, request(number, stream)),
    };
    tokio::time::sleep(Duration::from_millis(dice.below(300))).await;
    let headers = [("x-outrider-user", user.as_str())];
    let asking = client.post(path, &headers, body);
    if leaves && dice.below(4) == 0 {
        let patience = Duration::from_millis(dice.below(60));
        return (number, tokio::time::timeout(patience, asking).await.ok().and_then(Result::ok));
    }
    (number, Some(asking.await.unwrap_or_else(|error| panic!("{number}: {error}"))))
}

async fn crowd(kind: &Kind, seed: u64) {
    let count = scaled(300, 2_000) as u64;
    let strict = matches!(kind.bound, Bound::Crowd(_));
    // The provider notices late that somebody left: where it counts who is there, nobody leaves.
    let provider = Provider::open(Temper { bad: 15, slow: Duration::from_millis(40) }, seed).await;
    let house = House::open(&format!("{}[[limits]]\nname = \"it\"\n{}\n", provider.policy(), kind.limit)).await;
    let mut dice = Dice(seed);
    let mut all = JoinSet::new();
    for number in 1..=count {
        all.spawn(one(house.client(), number, Dice(dice.below(u64::MAX)), !strict));
    }
    let (mut served, mut refused, mut failed, mut left) = (0, 0, 0, HashSet::new());
    for (number, reply) in all.join_all().await {
        let Some(reply) = reply else {
            left.insert(number);
            continue;
        };
        match reply.status {
            200 => served += 1,
            // Anthropic's API has a status of its own for money.
            429 | 402 => {
                refused += 1;
                assert_refusal(&reply, kind.name);
            }
            // The provider's own.
            500 | 502 | 503 | 529 => failed += 1,
            other => panic!("{}: {other}: {}", kind.name, reply.body),
        }
    }
    println!("{}: {served} served, {refused} refused, {failed} failed, {} left", kind.name, left.len());
    {
        let truth = provider.truth.lock().unwrap();
        let asked: u32 = truth.all.values().map(|told| told.asked).sum();
        // How much a provider still writes for somebody who has left, nobody is told: that is charged by our own measure.
        let stayed = || truth.all.iter().filter(|(number, _)| !left.contains(*number));
        let sum = |of: &dyn Fn(u64, u64) -> u64| stayed().map(|(number, told)| of(*number, told.cost())).sum::<u64>();
        let tokens: u64 = stayed().map(|(_, told)| told.input + told.output).sum();
        match kind.bound {
            Bound::Crowd(most) => assert!(truth.crowd <= most, "{}: {} at a time", kind.name, truth.crowd),
            Bound::Requests(most) => assert!(asked as usize <= most, "{}: {asked} requests", kind.name),
            Bound::Tokens(most) => assert!(tokens <= most, "{}: {tokens} tokens", kind.name),
            // What the free alias answered costs nothing.
            Bound::Money(_) if kind.name == "a cheaper alias" => assert_eq!(refused, 0),
            Bound::Money(most) => assert!(sum(&|_, cost| cost) <= most, "{}: {}", kind.name, sum(&|_, cost| cost)),
            Bound::MoneyOfEach(most) => {
                for user in 0..USERS {
                    let spent = sum(&|number, cost| if number % USERS == user { cost } else { 0 });
                    assert!(spent <= most, "{}: user {user}: {spent}", kind.name);
                }
            }
        }
    }
    house.assert_calm().await;
    let charged = house.metric("outrider_cost_usd_total").await * 1e9;
    if let Bound::Money(most) = kind.bound {
        assert!(charged.round() as u64 <= most, "{}: {charged} charged", kind.name);
    }
    if let Bound::Crowd(most) = kind.bound {
        assert!(served > 0);
        all_returned(&house, &provider, most).await;
    }
}

/// As many at a time as at the beginning.
async fn all_returned(house: &House, provider: &Provider, most: usize) {
    for _ in 0..200 {
        provider.truth.lock().unwrap().crowd = 0;
        let mut all = JoinSet::new();
        for number in 0..most as u64 {
            let mut client = house.client();
            all.spawn(async move { client.post(CHAT, &[], request(1_000_000 + number, false)).await.unwrap().status });
        }
        let statuses = all.join_all().await;
        assert!(statuses.iter().all(|status| *status != 429), "{statuses:?}");
        if provider.truth.lock().unwrap().crowd == most {
            return;
        }
    }
    panic!("never {most} at a time");
}

fn assert_refusal(reply: &Reply, what: &str) {
    let seconds: u64 = reply.header("retry-after").parse().unwrap_or_else(|_| panic!("{what}: retry-after of {reply:?}"));
    assert!((1..=32 * 86_400).contains(&seconds), "{what}: {seconds}");
    assert!(reply.body.contains("\\\"it\\\"") && reply.body.contains("error"), "{what}: {}", reply.body);
    let told = reply.headers.keys().any(|name| name.as_str().starts_with("x-ratelimit-remaining-"));
    assert!(told, "{what}: {:?}", reply.headers);
}
