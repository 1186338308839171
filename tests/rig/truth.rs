//! A provider that keeps the truth: what it was asked and when, who was there at one time, what it said, what it bills for it. What
//! it does with a request hangs on the request's number and the seed alone.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use outrider::base::rng::{Rng, RootRng};
use tokio::sync::watch;

use super::answer::{chunk, chunk_text, content_type, failed, head_of, raw, whole};
use super::lanes::{LANES, alias, target};
use super::speech::{Usage, pieces, tag};
use super::upstream::{Heard, Mock, Seen, Step};

/// Nano-USD for a token, by [`Truth::policy`].
pub const INPUT: u64 = 1_000;
pub const OUTPUT: u64 = 10_000;
/// Requests of this number and above are answered well.
pub const WELL: u64 = 10_000_000;

/// How often, in a hundred, it does not answer as it should, and how long it takes at most.
#[derive(Clone, Copy)]
pub struct Temper {
    pub bad: u64,
    pub slow: Duration,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Good,
    /// A failure of the provider's own.
    Status(u16),
    /// The connection is reset before a byte of the answer,
    Reset,
    /// or after some of it.
    Cut,
}

/// The provider.
pub struct Truth {
    pub mock: Mock,
    seed: u64,
    temper: Temper,
    gate: watch::Sender<bool>,
}

/// Chance for one request.
fn dice(seed: u64, number: u64) -> Rng {
    RootRng::seeded(seed ^ number.wrapping_mul(0x9e37_79b9)).fork()
}

fn fate(seed: u64, temper: Temper, number: u64) -> Fate {
    let mut dice = dice(seed, number);
    if number >= WELL || dice.below(100) >= temper.bad {
        return Fate::Good;
    }
    match dice.below(4) {
        0 => Fate::Status(500),
        1 => Fate::Status(503),
        2 => Fate::Reset,
        _ => Fate::Cut,
    }
}

/// What a good answer takes and says: a word is a token.
fn said(seed: u64, number: u64, prompt_bytes: u64, max_tokens: u64) -> (Usage, String) {
    let mut dice = dice(seed, !number);
    let output = 1 + dice.below(max_tokens);
    let words: Vec<String> = (0..output).map(|_| format!("{:04x}", dice.below(1 << 16))).collect();
    (Usage { input: prompt_bytes.div_ceil(4), output }, words.join(" "))
}

impl Truth {
    pub async fn open(seed: u64, temper: Temper) -> Self {
        let gate = watch::Sender::new(false);
        let opened = gate.subscribe();
        let mock = Mock::open("p", move |heard| script(seed, temper, heard, &opened)).await;
        Self { mock, seed, temper, gate }
    }

    /// Its providers with their prices, and an alias `any.LANE` for each lane; `hold` is answered when the gate opens, `cheap` costs
    /// nothing.
    pub fn policy(&self) -> String {
        let price = |kind: &str| {
            format!(
                "[[prices]]\nprovider = \"p-{kind}\"\nmodel = \"cheap\"\ninput_usd = 0\noutput_usd = 0\n\
                 [[prices]]\nprovider = \"p-{kind}\"\nmodel = \"*\"\ninput_usd = 1\noutput_usd = 10\n"
            )
        };
        let mut policy = self.mock.providers() + &["openai", "anthropic", "gemini"].map(price).concat();
        let once = "retry = { attempts = 1 }";
        for lane in LANES {
            // Several models, so that failures in a row do not add up to an outage.
            policy += &(0..MODELS)
                .map(|m| alias(&any(lane.name, m), &[target("p", lane.provider, &format!("m{m}.{}", lane.name))], once))
                .collect::<String>();
        }
        for name in ["hold", "cheap"] {
            policy += &alias(name, &[target("p", LANES[0].provider, name)], once);
        }
        policy
    }

    /// What becomes of a request.
    pub fn fate(&self, number: u64) -> Fate {
        fate(self.seed, self.temper, number)
    }

    /// What a good answer to it says.
    pub fn text(&self, number: u64, max_tokens: u64) -> String {
        said(self.seed, number, 0, max_tokens).1
    }

    /// Lets those go who ask for `hold`, now and later, or lets them wait again.
    pub fn let_go(&self, go: bool) {
        self.gate.send_replace(go);
    }

    /// What came of the requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.mock.seen()
    }
}

/// How many models each lane has.
pub const MODELS: u64 = 4;

/// An alias of a lane.
pub fn any(lane: &str, nth: u64) -> String {
    format!("any.{lane}.{nth}")
}

/// A prompt of some length that carries its number.
pub fn prompt(number: u64, words: u64) -> String {
    format!("{} Please say {}something of it.", tag(number), "a word and ".repeat(words as usize))
}

fn script(seed: u64, temper: Temper, heard: &Heard, opened: &watch::Receiver<bool>) -> Vec<Step> {
    let (usage, text) = said(seed, heard.number, heard.prompt_bytes, heard.max_tokens.max(1));
    let mut dice = dice(seed, heard.number.rotate_left(20));
    let mut pause = || Step::Wait(Duration::from_micros(dice.below(temper.slow.as_micros() as u64 + 1)));
    let think = if heard.model == "hold" { Step::Until(opened.clone()) } else { pause() };
    let fate = fate(seed, temper, heard.number);
    match fate {
        Fate::Good | Fate::Cut if heard.stream => stream(heard, usage, &text, think, pause, fate == Fate::Cut),
        Fate::Good => {
            let body = heard.tongue.whole(&heard.model, &text, usage);
            vec![think, Step::Over, Step::Bill(usage), whole(200, content_type(heard), "", &body)]
        }
        Fate::Cut => {
            let body = heard.tongue.whole(&heard.model, &text, usage);
            let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
            vec![think, Step::Bill(usage), raw(&(head + &body[..body.len() / 2])), pause(), Step::Over, Step::Reset]
        }
        Fate::Status(status) => [vec![think, Step::Over], failed(status, "", &heard.tongue.error(status, "Oh.", None))].concat(),
        Fate::Reset => vec![think, Step::Over, Step::Reset],
    }
}

/// Piece by piece, billed as it comes.
fn stream(heard: &Heard, usage: Usage, text: &str, think: Step, mut pause: impl FnMut() -> Step, cut: bool) -> Vec<Step> {
    let (events, before) = heard.tongue.events(&heard.model, text, usage);
    let pieces = pieces(text);
    let last = pieces.len() - 1;
    // Of a cut stream a piece at least, so that it has begun.
    let end = if cut { (last / 2).max(1).min(last) } else { last };
    let mut steps = vec![think, head_of(heard), Step::Bill(Usage { output: 0, ..usage })];
    if before > 0 {
        steps.push(chunk(&events[..before].concat()));
    }
    let mut output = 0;
    for (at, piece) in pieces.iter().enumerate().take(end) {
        output += piece.split_whitespace().count() as u64;
        steps.extend([Step::Bill(Usage { output, ..usage }), chunk(&events[before + at]), pause()]);
    }
    if cut {
        steps.extend([Step::Over, Step::Reset]);
        return steps;
    }
    let rest = chunk_text(&events[before + last..].concat());
    steps.extend([Step::Over, Step::Bill(usage), raw(&(rest + "0\r\n\r\n"))]);
    steps
}

/// What it bills for a request, in nano-USD; models that cost nothing aside.
pub fn cost(seen: &Seen) -> u64 {
    if seen.heard.model == "cheap" { 0 } else { seen.bill.input * INPUT + seen.bill.output * OUTPUT }
}

/// The most of these requests that were under way at one instant. Who left is counted `grace` shorter: the provider may notice it
/// late, or not before its answer's end.
pub fn crowd<'s>(seen: impl Iterator<Item = &'s Seen>, left: &HashSet<u64>, grace: Duration) -> usize {
    let mut steps: Vec<(Instant, bool)> = Vec::new();
    for one in seen {
        let gone = one.cancelled.is_some() || left.contains(&one.heard.number);
        let over = one.cancelled.or(one.over).map(|at| if gone { at - grace } else { at });
        if over.is_none_or(|over| over > one.heard.at) {
            steps.push((one.heard.at, true));
            steps.extend(over.map(|at| (at, false)));
        }
    }
    // Who ends at the instant at which another comes has gone.
    steps.sort_unstable();
    let (mut now, mut most) = (0, 0);
    for (_, comes) in steps {
        now = if comes { now + 1 } else { now - 1 };
        most = most.max(now);
    }
    most
}

/// The largest sum of these within any stretch of time so long.
pub fn within(mut all: Vec<(Instant, u64)>, stretch: Duration) -> u64 {
    all.sort_unstable();
    let (mut most, mut sum, mut first) = (0, 0, 0);
    for at in 0..all.len() {
        sum += all[at].1;
        while all[at].0 - all[first].0 >= stretch {
            sum -= all[first].1;
            first += 1;
        }
        most = most.max(sum);
    }
    most
}
