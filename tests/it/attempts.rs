//! The laws of attempts, over thousands of seeds: worlds of one to four targets that misbehave by chance, on a still clock.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use tokio::time::Instant;

use crate::speech::{Tongue, Usage, tag_in, text_of};
use crate::support::{End, Reply, Script, Seen, World, read, settle};

const SEEDS: u64 = 700;
/// Exchanges of one world: two at a time, so many times.
const ROUNDS: u64 = 3;
const EXCHANGES: u64 = 2 * ROUNDS;
/// What a stream may take to close after its end mark.
const GRACE: Duration = Duration::from_millis(1_100);

/// Chance, the same for the same seed.
#[derive(Clone)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// SplitMix64: Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    pub fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from))
    }

    pub fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }
}

#[derive(Clone, Copy)]
struct Target {
    tongue: Tongue,
    /// In a hundred, how often it answers as it should.
    well: u64,
}

struct Setting {
    targets: Vec<Target>,
    attempts: u32,
    total: Duration,
    toml: String,
}

const NAMES: [&str; 4] = ["p0", "p1", "p2", "p3"];

fn setting(dice: &mut Dice) -> Setting {
    let tongues = [Tongue::Chat, Tongue::Claude, Tongue::Gemini];
    let count = 1 + dice.below(4);
    let targets: Vec<_> = (0..count).map(|_| Target { tongue: dice.one_of(&tongues), well: dice.one_of(&[0, 30, 60, 100]) }).collect();
    let mut toml = String::new();
    let mut list = Vec::new();
    for (target, name) in targets.iter().zip(NAMES) {
        let (kind, version) = match target.tongue {
            Tongue::Chat => ("openai", "v1"),
            Tongue::Claude => ("anthropic", "v1"),
            Tongue::Gemini => ("gemini", "v1beta"),
        };
        toml.push_str(&format!(
            "[providers.{name}]\nkind = \"{kind}\"\napi_key = \"sk-test\"\nbase_url = \"http://{name}.test/{version}\"\n"
        ));
        list.push(format!("{{ provider = \"{name}\", model = \"m\", weight = {} }}", 1 + dice.below(9)));
    }
    let attempts = 1 + dice.below(5) as u32;
    let total = dice.millis(500, 20_000);
    let (first, idle) = (dice.millis(200, 6_000), dice.millis(200, 6_000));
    toml.push_str(&format!(
        "[[models]]\nname = \"any\"\ntargets = [{}]\nstrategy = \"{}\"\nretry = {{ attempts = {attempts} }}\n\
         timeout = {{ first_token = \"{}ms\", idle = \"{}ms\", total = \"{}ms\" }}\n",
        list.join(", "),
        dice.one_of(&["ordered", "weighted"]),
        first.as_millis(),
        idle.as_millis(),
        total.as_millis(),
    ));
    Setting { targets, attempts, total, toml }
}

/// What a target does with a request.
fn script(name: &str, target: Target, seen: &Seen, dice: &mut Dice) -> Script {
    if seen.uri.path() == "/dial" {
        return if dice.below(100) < (100 - target.well) / 5 { Script::Refuse } else { Script::Hang };
    }
    let stream = seen.uri.path().contains(":stream") || seen.json()["stream"] == true;
    let text = text_of(name, number_of(seen));
    let script =
        if dice.below(100) < target.well { good(target.tongue, &text, stream, dice) } else { bad(target.tongue, &text, stream, dice) };
    let pause = dice.one_of(&[0, 0, 0, 100, 1_000, 5_000]);
    if pause == 0 { script } else { Script::Later(dice.millis(0, pause), Box::new(script)) }
}

fn good(tongue: Tongue, text: &str, stream: bool, dice: &mut Dice) -> Script {
    if !stream {
        return Script::json(200, &tongue.whole("m", text, Usage::ANY));
    }
    let longest = dice.one_of(&[1, 1, 100, 2_000]);
    Script::Stream(pieces(tongue, text, longest, dice), End::Close)
}

fn pieces(tongue: Tongue, text: &str, longest: u64, dice: &mut Dice) -> Vec<(Duration, Bytes)> {
    let (events, _) = tongue.events("m", text, Usage::ANY);
    events.into_iter().map(|event| (dice.millis(0, longest), Bytes::from(event))).collect()
}

fn bad(tongue: Tongue, text: &str, stream: bool, dice: &mut Dice) -> Script {
    let status = dice.one_of(&[429, 500, 502, 503, 529, 408, 401, 404]);
    let headers = |wait: u64| {
        let mut headers = vec![("content-type", "application/json".to_owned())];
        if wait > 0 {
            headers.push(("retry-after", (wait - 1).to_string()));
        }
        headers
    };
    match dice.below(if stream { 9 } else { 5 }) {
        0 => Script::Drop,
        1 => Script::Hang,
        2 | 3 => Script::Answer(status, headers(dice.below(8)), tongue.error(status, "Oh.", None).into()),
        4 => Script::Answer(200, headers(0), Bytes::from_static(b"<html>")),
        5 => {
            let error = Bytes::from(tongue.error_event());
            let mut pieces = pieces(tongue, text, 100, dice);
            pieces.truncate(dice.below(pieces.len() as u64) as usize);
            pieces.push((Duration::ZERO, error));
            Script::Stream(pieces, End::Close)
        }
        _ => {
            let longest = dice.one_of(&[1, 100, 2_000]);
            let mut pieces = pieces(tongue, text, longest, dice);
            // Up to the last event, in which an end mark may stand.
            pieces.truncate(dice.below(pieces.len() as u64) as usize);
            Script::Stream(pieces, dice.one_of(&[End::Close, End::Cut, End::Hang]))
        }
    }
}

fn number_of(seen: &Seen) -> u64 {
    tag_in(std::str::from_utf8(&seen.body).unwrap()).unwrap()
}

/// One exchange as its caller sees it.
struct Exchange {
    number: u64,
    caller: Tongue,
    stream: bool,
    began: Instant,
    deadline: Duration,
    /// When the head was there, which is when a stream's first content left.
    head: Instant,
    end: Instant,
    reply: Reply,
}

async fn exchange(world: &World, number: u64, total: Duration, mut dice: Dice) -> Exchange {
    let (caller, stream) = (dice.one_of(&[Tongue::Chat, Tongue::Claude]), dice.below(3) > 0);
    tokio::time::sleep(dice.millis(0, 500)).await;
    let asked = dice.millis(100, 15_000);
    let text = format!("{}ms", asked.as_millis());
    let (headers, deadline) =
        if dice.below(2) == 0 { (vec![("x-outrider-timeout", text.as_str())], asked.min(total)) } else { (vec![], total) };
    let began = Instant::now();
    let response = world.open(Method::POST, caller.path(), &headers, caller.request("any", number, stream).as_bytes()).await;
    let head = Instant::now();
    let reply = read(response).await;
    Exchange { number, caller, stream, began, deadline, head, end: Instant::now(), reply }
}

/// What came of the exchanges: answers, failures before any content, failures after some.
type Tally = [usize; 3];

async fn live(seed: u64, tally: &mut Tally) {
    let mut dice = Dice(seed);
    let setting = setting(&mut dice);
    let world = World::new(&setting.toml);
    let mut providers = Vec::new();
    for (target, name) in setting.targets.iter().copied().zip(NAMES) {
        let own = dice.below(u64::MAX);
        providers.push(world.provider(name, move |seen, nth| script(name, target, seen, &mut Dice(own.wrapping_add(nth as u64)))));
    }
    let mut exchanges = Vec::new();
    for round in 0..ROUNDS {
        let [one, two] = [0, 1].map(|at| exchange(&world, 2 * round + at, setting.total, Dice(dice.below(u64::MAX))));
        exchanges.extend(<[Exchange; 2]>::from(tokio::join!(one, two)));
        // Nothing may come after the end either.
        tokio::time::sleep(dice.millis(0, 30_000)).await;
    }
    tokio::time::sleep(Duration::from_secs(30)).await;
    settle().await;
    let seen: Vec<Seen> = providers.iter().flat_map(|provider| provider.seen()).collect();
    for exchange in &exchanges {
        let of_it: Vec<&Seen> = seen.iter().filter(|seen| number_of(seen) == exchange.number).collect();
        let what = || format!("seed {seed}, exchange {}: {:?}\n{}", exchange.number, exchange.reply, setting.toml);
        tally[check(exchange, &setting, &of_it, what)] += 1;
    }
    world.assert_idle();
    // Counting means to write all metrics out, which takes longer than all else here.
    if seed.is_multiple_of(16) {
        world.assert_settled(EXCHANGES as usize);
    }
    assert!(providers.iter().all(|provider| provider.open() == 0), "seed {seed}: an answer is still under way");
}

/// Which place of the tally it counts for.
fn check(exchange: &Exchange, setting: &Setting, seen: &[&Seen], what: impl Fn() -> String) -> usize {
    let Exchange { reply, caller, stream, .. } = exchange;
    let told: u32 = reply.header("x-outrider-attempts").parse().unwrap();
    assert!(seen.len() as u32 <= told && (1..=setting.attempts).contains(&told), "{} requests upstream, {}", seen.len(), what());
    let deadline = exchange.began + exchange.deadline;
    assert!(seen.iter().all(|seen| seen.at <= deadline), "sent after the deadline, {}", what());
    assert!(exchange.end <= deadline + GRACE, "ended {:?} after it began, {}", exchange.end - exchange.began, what());
    assert!(!reply.cut, "cut, {}", what());
    let name = reply.header("x-outrider-target").split('/').next().unwrap();
    let body = reply.text();
    if reply.status != 200 {
        let error = caller.read_whole(body);
        let in_dialect = error.errors == 1 || reply.header("content-type") != "application/json";
        assert!(in_dialect && reply.status.as_u16() >= 400, "no error of the dialect, {}", what());
        return 1;
    }
    assert!(seen.iter().all(|seen| seen.at <= exchange.head), "asked another when content had left, {}", what());
    let answer = if *stream { caller.read_stream(body) } else { caller.read_whole(body) };
    let whole = text_of(name, exchange.number);
    assert!(answer.wrong.is_empty() && answer.ends + answer.errors == 1, "{answer:?}, {}", what());
    match answer.errors {
        0 => assert_eq!(answer.text, whole, "{}", what()),
        _ => assert!(*stream && whole.starts_with(&answer.text), "{answer:?}, {}", what()),
    }
    2 * answer.errors
}

#[test]
fn the_laws_of_attempts_hold() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let mut tally = Tally::default();
    for seed in 0..SEEDS {
        runtime.block_on(live(seed, &mut tally));
    }
    let [answered, failed, broken] = tally;
    println!("{answered} answered, {failed} failed before any content, {broken} after some");
    // Chance must have led everywhere.
    assert!(tally.iter().all(|count| *count as u64 > SEEDS * EXCHANGES / 50), "{tally:?}");
}
