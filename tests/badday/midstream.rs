//! Once content has left for the client there is no other target: what came stays, and an honest error event ends it.

use std::time::Duration;

use crate::answer::{chunk, head_of, raw};
use crate::client::Reply;
use crate::faults::well;
use crate::house::House;
use crate::lanes::{LANES, Lane, alias, target};
use crate::speech::{Usage, text_of};
use crate::upstream::{Heard, Mock, Step};

/// What happens after the first contents; events are cut to their chunks by the script.
type After = fn(&Heard) -> Vec<Step>;

const MOMENT: Duration = Duration::from_millis(20);

#[rustfmt::skip]
const BREAKS: &[(&str, After)] = &[
    ("stall", |_| vec![Step::Hold]),
    ("reset", |_| vec![Step::Wait(MOMENT), Step::Reset]),
    ("fin", |_| vec![Step::Fin]),
    ("half-close", |_| vec![Step::HalfClose]),
    ("end", |_| vec![raw("0\r\n\r\n")]),
    ("bad-chunks", |_| vec![raw("zz\r\n"), Step::Hold]),
    ("short-chunk", |_| vec![raw("ff\r\ndata: {\"id\":"), Step::Fin]),
    ("half-event", |_| vec![chunk("data: {\"id\":"), Step::Fin]),
    ("half-event-stall", |_| vec![chunk("data: {\"id\":"), Step::Hold]),
    ("error-event", |heard| vec![chunk(&heard.tongue.error_event()), raw("0\r\n\r\n")]),
    ("error-event-reset", |heard| vec![chunk(&heard.tongue.error_event()), Step::Wait(MOMENT), Step::Reset]),
    ("endless-event", |_| vec![chunk("data: "), chunk(&"x".repeat(9 << 10)), chunk(&"x".repeat(64 << 10)), Step::Hold]),
];

/// How often each is tried, each time with targets of its own, so that what is learnt of one does not change the next.
const TIMES: usize = 3;

/// The first contents, then what the model's name says.
fn sick(heard: &Heard) -> Vec<Step> {
    let name = heard.model.split('.').next().unwrap_or_default();
    let after = BREAKS.iter().find(|(break_name, _)| *break_name == name).map(|(_, after)| after(heard));
    [beginning(heard), after.unwrap_or_else(|| other(name, heard))].concat()
}

fn beginning(heard: &Heard) -> Vec<Step> {
    vec![head_of(heard), chunk(&sent(heard))]
}

/// The events that come before the break: those without content, and two with some.
fn sent(heard: &Heard) -> String {
    let (events, before) = heard.tongue.events(&heard.model, &text_of("sick", heard.number), Usage::ANY);
    events[..before + 2].concat()
}

fn rest(heard: &Heard) -> String {
    let (events, before) = heard.tongue.events(&heard.model, &text_of("sick", heard.number), Usage::ANY);
    events[before + 2..].concat()
}

const BROKEN: &str = "data: {\"id\": oh\n\n";

fn other(name: &str, heard: &Heard) -> Vec<Step> {
    match name {
        "broken-event" => vec![chunk(BROKEN), chunk(&rest(heard)), raw("0\r\n\r\n")],
        "broken-event-reset" => vec![chunk(BROKEN), Step::Wait(MOMENT), Step::Reset],
        "broken-event-stall" => vec![chunk(BROKEN), Step::Hold],
        "drip" => vec![Step::Drip(chunk_bytes(&rest(heard)), Duration::from_millis(1)), raw("0\r\n\r\n")],
        _ => panic!("no break {name}"),
    }
}

fn chunk_bytes(text: &str) -> Vec<u8> {
    match chunk(text) {
        Step::Send(bytes) => bytes,
        _ => Vec::new(),
    }
}

struct Street {
    house: House,
    sick: Mock,
    well: Mock,
}

impl Street {
    async fn open(names: &[&str]) -> Self {
        let (sick, well) = (Mock::open("sick", sick).await, Mock::open("well", well).await);
        let mut policy = "[bounds]\nevent_bytes_max = \"64KiB\"\n".to_owned() + &sick.providers() + &well.providers();
        for name in names {
            for lane in LANES {
                for time in 0..TIMES {
                    let name = model(name, lane, time);
                    let targets = [target("sick", lane.provider, &name), target("well", lane.provider, &name)];
                    let keys = "timeout = { first_token = \"30s\", idle = \"400ms\", total = \"60s\" }";
                    policy.push_str(&alias(&name, &targets, keys));
                }
            }
        }
        Self { house: House::open(&policy).await, sick, well }
    }

    /// Asks each alias once, all at a time.
    async fn ask_all(&self, names: &[&'static str]) -> Vec<(&'static str, Lane, u64, String, Reply)> {
        let mut asking = Vec::new();
        for name in names.iter().copied() {
            for lane in LANES {
                for time in 0..TIMES {
                    let (mut client, model, number) = (self.house.client(), model(name, lane, time), asking.len() as u64);
                    asking.push(tokio::spawn(async move {
                        let reply = client.ask(lane.caller, &model, number, true).await.unwrap_or_else(|error| panic!("{model}: {error}"));
                        // The connection is as good as before.
                        client.ask(lane.caller, "nobody/knows", number, false).await.unwrap();
                        assert_eq!(client.connects, 1, "{model}");
                        (name, lane, number, model, reply)
                    }));
                }
            }
        }
        let mut replies = Vec::new();
        for asked in asking {
            replies.push(asked.await.unwrap());
        }
        replies
    }

    async fn assert_no_splice(&self) {
        assert!(self.well.seen().is_empty(), "the second target was asked though the first had spoken");
        assert!(self.sick.by_number().values().all(|times| *times == 1), "a request went out twice though the first had spoken");
        self.sick.assert_understood();
        self.house.assert_calm().await;
    }
}

fn model(name: &str, lane: Lane, time: usize) -> String {
    format!("{name}.{}.{time}", lane.name)
}

fn heard(lane: Lane, number: u64, model: &str) -> Heard {
    Heard {
        number,
        model: model.to_owned(),
        stream: true,
        tongue: lane.provider,
        nth: 0,
        at: std::time::Instant::now(),
        key: String::new(),
        prompt_bytes: 0,
        max_tokens: 0,
    }
}

/// What came is the beginning of what the first target said, and one error event is the end of it.
fn check_broken(lane: Lane, number: u64, model: &str, reply: &Reply) {
    let told = reply.read(lane.caller, true);
    let all = format!("{model}: {told:?}\n{}", reply.body);
    assert_eq!((reply.status, reply.cut, reply.attempts(), reply.provider()), (200, false, 1, "sick"), "{all}");
    assert_eq!((told.errors, told.ends, told.wrong.as_slice()), (1, 0, [].as_slice()), "{all}");
    assert!(!told.text.is_empty() && text_of("sick", number).starts_with(&told.text) && told.text != text_of("sick", number), "{all}");
    if lane.caller == lane.provider {
        assert!(reply.body.starts_with(&sent(&heard(lane, number, model))), "{all}");
    }
}

#[tokio::test]
async fn a_break_after_content_is_told_and_never_spliced() {
    let names: Vec<_> = BREAKS.iter().map(|(name, _)| *name).collect();
    let street = Street::open(&names).await;
    for (_, lane, number, model, reply) in street.ask_all(&names).await {
        check_broken(lane, number, &model, &reply);
    }
    street.assert_no_splice().await;
}

#[tokio::test]
async fn an_event_that_cannot_be_read_passes_or_is_told() {
    let street = Street::open(&["broken-event"]).await;
    for (_, lane, number, model, reply) in street.ask_all(&["broken-event"]).await {
        if lane.caller == lane.provider {
            // Bytes of the caller's own dialect are the caller's to judge.
            let heard = heard(lane, number, &model);
            assert_eq!(reply.body, sent(&heard) + BROKEN + &rest(&heard), "{model}");
        } else {
            check_broken(lane, number, &model, &reply);
        }
    }
    street.assert_no_splice().await;
}

#[tokio::test]
async fn a_break_after_an_event_that_cannot_be_read_is_told_too() {
    let names = ["broken-event-reset", "broken-event-stall"];
    let street = Street::open(&names).await;
    for (_, lane, number, model, reply) in street.ask_all(&names).await {
        if lane.caller == lane.provider {
            let (body, heard) = (&reply.body, heard(lane, number, &model));
            let before = sent(&heard) + BROKEN;
            let after = body.strip_prefix(&before).unwrap_or_else(|| panic!("{model}: {body}"));
            let told = lane.caller.read_stream(after);
            assert_eq!((told.errors, told.ends, told.text.as_str()), (1, 0, ""), "{model}: {body}");
        } else {
            check_broken(lane, number, &model, &reply);
        }
    }
    street.assert_no_splice().await;
}

#[tokio::test]
async fn a_drip_after_content_is_waited_for() {
    let street = Street::open(&["drip"]).await;
    for (_, lane, number, model, reply) in street.ask_all(&["drip"]).await {
        lane.check(&reply, "sick", &model, number, true).unwrap_or_else(|why| panic!("{model}: {why}"));
    }
    street.assert_no_splice().await;
}
