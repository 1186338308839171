//! The laws of limits on whole exchanges, over hundreds of seeds: callers come and leave by chance, targets fail by chance, on a
//! still clock. At every moment no more is admitted than each limit allows; at the end everything is returned, and what limits
//! have settled is what was charged.

use std::time::Duration;

use bytes::Bytes;
use outrider::quota::{Moment, View};
use tokio::time::Instant;

use crate::attempts::Dice;
use crate::support::{End, Script, World, settle};

const SEEDS: u64 = 150;
const CALLERS: u64 = 24;
const CHAT: &str = "/v1/chat/completions";

/// A budget for about a dozen whole answers, a few at a time, a rate for each provider.
fn policy(dice: &mut Dice) -> String {
    let mut toml = String::new();
    for name in ["p0", "p1", "p2"] {
        toml += &format!(
            "[providers.{name}]\nkind = \"openai\"\napi_key = \"sk-test\"\nbase_url = \"http://{name}.test/v1\"\n\
             [[prices]]\nprovider = \"{name}\"\nmodel = \"m\"\ninput_usd = {}\noutput_usd = {}\n",
            1 + dice.below(3),
            5 + dice.below(20)
        );
    }
    let list: Vec<_> = ["p0", "p1", "p2"].map(|name| format!("{{ provider = \"{name}\", model = \"m\" }}")).into();
    let hedge = dice.one_of(&["", "hedge = { after_p = 50, max_ratio = 0.5 }\n"]);
    toml += &format!(
        "[[models]]\nname = \"any\"\ntargets = [{}]\nretry = {{ attempts = {} }}\n{hedge}timeout = {{ first_token = \"{}ms\", idle = \"2s\", total = \"20s\" }}\n",
        list.join(", "),
        1 + dice.below(3),
        dice.one_of(&[300, 2_000]),
    );
    let then = dice.one_of(&["reject", "queue"]);
    toml + &format!(
        "[[limits]]\nname = \"money\"\nbudget_usd_per_day = 0.0{}\n\
             [[limits]]\nname = \"few\"\nmax_concurrent = {}\non_exceed = \"{then}\"\n\
             [[limits]]\nname = \"user\"\nper = [\"user\"]\ntokens_per_day = {}\nrequests_per_minute = {}\n\
             [[limits]]\nname = \"site\"\nper = [\"provider\"]\nrequests_per_minute = {}\ntokens_per_day = {}\n",
        1 + dice.below(6),
        1 + dice.below(5),
        500 + dice.below(1500),
        2 + dice.below(8),
        2 + dice.below(12),
        500 + dice.below(5000),
    )
}

fn whole(input: u64, output: u64) -> String {
    format!(
        r#"{{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{{"index":0,"message":{{"role":"assistant","content":"Hello"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":{input},"completion_tokens":{output},"total_tokens":{}}}}}"#,
        input + output
    )
}

/// What a target does: it never reads or writes more than the request bounds.
fn script(stream: bool, dice: &mut Dice) -> Script {
    let (input, output) = (200 + dice.below(100), 1 + dice.below(20));
    let chunk = |text: &str, finish: &str| {
        format!(
            "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}},\"finish_reason\":{finish}}}]}}\n\n"
        )
    };
    let mut pieces: Vec<_> = (0..1 + dice.below(8)).map(|_| (dice.millis(0, 800), Bytes::from(chunk("Hello, you. ", "null")))).collect();
    let script = match (dice.below(8), stream) {
        (0, _) => Script::Drop,
        (1, _) => Script::Hang,
        (2, _) => Script::json(dice.one_of(&[400, 429, 500, 503]), r#"{"error":{"message":"Oh.","type":"x","code":null,"param":null}}"#),
        (3, true) => Script::Stream(pieces, dice.one_of(&[End::Close, End::Cut, End::Hang])),
        (_, true) => {
            let usage = format!(
                "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[],\"usage\":{{\"prompt_tokens\":{input},\"completion_tokens\":{output},\"total_tokens\":{}}}}}\n\ndata: [DONE]\n\n",
                input + output
            );
            pieces.push((dice.millis(0, 100), Bytes::from(chunk("", "\"stop\"") + &usage)));
            Script::Stream(pieces, End::Close)
        }
        (_, false) => Script::json(200, &whole(input, output)),
    };
    match dice.below(3) {
        0 => script,
        _ => Script::Later(dice.millis(0, 3_000), Box::new(script)),
    }
}

fn view(world: &World) -> View {
    let shared = &world.line.shared;
    shared.snapshot.borrow().limits.view(Moment { now: Instant::now(), wall: shared.env.wall.now() }, 1_000)
}

/// No subject of any limit has more than it may.
fn assert_within(world: &World, what: &str) {
    for limit in view(world).limits {
        for subject in limit.top {
            for measure in subject.measures {
                assert!(measure.reserved + measure.settled <= measure.most, "{}: {}: {measure:?}, {what}", limit.limit.name, subject.name);
            }
        }
    }
}

async fn live(seed: u64, tally: &mut [u64; 3]) {
    let mut dice = Dice::new(seed);
    let toml = policy(&mut dice);
    let world = World::new(&toml);
    for name in ["p0", "p1", "p2"] {
        let own = dice.below(u64::MAX);
        world.provider(name, move |seen, nth| {
            let stream = seen.uri.path() != "/dial" && seen.json()["stream"] == true;
            script(stream, &mut Dice::new(own.wrapping_add(nth as u64)))
        });
    }
    let what = format!("seed {seed}\n{toml}");
    let caller = |mut dice: Dice| {
        let (world, what) = (&world, &what);
        async move {
            let (stream, user) = (dice.below(2) == 0, dice.one_of(&["ann", "bob", "cay"]));
            let words = "words ".repeat(200);
            let body = format!(
                r#"{{"model":"any","stream":{stream},"max_tokens":20,"user":"{user}","messages":[{{"role":"user","content":"{words}"}}]}}"#
            );
            tokio::time::sleep(dice.millis(0, 90_000)).await;
            let patience = dice.one_of(&[50, 500, 3_000, 60_000, 60_000]);
            let outcome = tokio::time::timeout(Duration::from_millis(patience), world.post(CHAT, &body)).await;
            assert_within(world, what);
            outcome.map_or(0, |reply| reply.status.as_u16())
        }
    };
    let callers = (0..CALLERS).map(|_| caller(Dice::new(dice.below(u64::MAX)))).collect::<Vec<_>>();
    for status in futures_util::future::join_all(callers).await {
        tally[usize::from(status == 200) + 2 * usize::from(status == 429)] += 1;
    }
    tokio::time::sleep(Duration::from_secs(30)).await;
    settle().await;
    world.assert_idle();
    let view = view(&world);
    for limit in &view.limits {
        for subject in &limit.top {
            assert_eq!((subject.under_way, subject.waiting), (0, 0), "{}: {what}", limit.limit.name);
            assert!(subject.measures.iter().all(|measure| measure.reserved == 0), "{}: {subject:?}, {what}", limit.limit.name);
        }
    }
    let settled = view.limits[0].top.first().map_or(0, |subject| subject.measures[0].settled);
    let charged = (world.metric("outrider_cost_usd_total", &[]) * 1e9).round() as u64;
    assert_eq!(settled, charged, "{what}");
}

#[test]
fn no_interleaving_of_arrivals_departures_and_failures_overshoots() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let mut tally = [0; 3];
    for seed in 0..SEEDS {
        runtime.block_on(live(seed, &mut tally));
    }
    let [others, answered, refused] = tally;
    println!("{answered} answered, {refused} refused, {others} failed or left");
    assert!(tally.iter().all(|count| *count > SEEDS), "chance must have led everywhere: {tally:?}");
}
