//! Recorded answers in which the provider says what it charged: our charge must be that, or the price must have changed.

use std::path::PathBuf;

use bytes::Bytes;
use serde_json::Value;

use super::super::{Charge, Served};
use super::{NOON, on};
use crate::base::framing::{Framer, Framing};
use crate::config::catalog::price::{Counted, PriceRule, Prices, Rate, Rates, Tariff};
use crate::config::catalog::{self};
use crate::dialect::codec;
use crate::ir::{Dialect, Fold, Usage};

/// What was the price when an answer was recorded, where it is another one now: `KIND/MODEL`, and the rates in the
/// letters of the catalogue.
const THEN: &[(&str, &str)] = &[
    ("avian/moonshotai/kimi-k2.5", "i0.45 o2.2 r0.225"),
    ("openrouter/google/gemini-3.1-flash-lite-preview", "i0.25 o1.5"),
    ("openrouter/openai/gpt-5.6-sol", "i5 o30 r0.5"),
    ("openrouter/x-ai/grok-4.1-fast", "i0.2 o0.5 r0.05"),
    ("openrouter/x-ai/grok-4", "i3 o15 r0.75"),
    ("perplexity/sonar-pro", "i3 o15 q6"),
    ("perplexity/sonar-reasoning-pro", "i2 o8 q6"),
    ("perplexity/sonar", "i1 o1 q5"),
    ("vercel-gateway/anthropic/claude-sonnet-4", "i3 o15"),
    ("vercel-gateway/google/gemini-2.5-flash", "i0.3 o2.5"),
    ("vercel-gateway/google/gemini-3-pro-preview", "i2 o12"),
    ("vercel-gateway/openai/gpt-5", "i1.25 o10"),
    ("xai/grok-3-mini-high", "i0.3 o0.5 r0.075"),
    ("xai/grok-4.3", "i1.25 o2.5 r0.2 s5"),
    ("xai/grok-code-fast-1", "i0.2 o1.5 r0.02"),
];

/// Answers whose bill is not the sum of what is counted: `KIND/MODEL`, and why.
const OTHERWISE: &[(&str, &str)] = &[
    ("openai/muse-spark-1.1", "not OpenAI, but somebody who speaks its dialect"),
    ("openrouter/deepseek/deepseek-chat", "a search of the web is $0.007 of OpenRouter's own"),
    ("vercel-gateway/openai/gpt-5", "Vercel bills the reasoning twice: as output, and beside it"),
    ("xai/grok-4.5", "the recorder wrote 123,456 ticks of its own"),
];

#[test]
#[expect(clippy::print_stderr, reason = "a test that checks nothing says so")]
fn charges_are_what_providers_billed() {
    let Some(folder) = super::given() else {
        eprintln!("SKIPPED: no recorded traffic (set OUTRIDER_CORPUS)");
        return;
    };
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let (mut exact, mut then, mut otherwise, mut wrong) = (0, 0, 0, Vec::new());
    for path in files {
        let Ok(exchange) = serde_json::from_slice::<Value>(&std::fs::read(&path).unwrap()) else { continue };
        let Some(bill) = bill(&exchange) else { continue };
        let Some((dialect, usage)) = usage(&exchange) else { continue };
        let kind = exchange["provider"].as_str().unwrap();
        let charged = |prices: &Prices| Charge::of(&Tariff::new(prices), &usage, &Served::once(on(NOON))).total.0;
        // Perplexity rounds each of its parts to a hundredth of a thousandth.
        let near = |nanos: u64| nanos.abs_diff(bill) <= if kind == "perplexity" { 15_000 } else { 1 };
        // Under the name that was asked for, or the one that answered.
        let names = models(&exchange);
        let today = |name: &String| charged(&catalog::facts(kind, name).prices);
        let listed = |table: &'static [(&str, &'static str)], name: &String| {
            table.iter().find(|(of, _)| format!("{kind}/{name}").starts_with(of)).map(|(_, what)| *what)
        };
        if names.iter().any(|name| near(today(name))) {
            exact += 1;
        } else if names.iter().filter_map(|name| listed(THEN, name)).any(|list| near(charged(&Prices::default().with(vec![old(list)])))) {
            then += 1;
        } else if names.iter().any(|name| listed(OTHERWISE, name).is_some()) {
            otherwise += 1;
        } else {
            let sums: Vec<_> = names.iter().map(today).collect();
            wrong.push(format!("{} {kind} {names:?} {dialect:?}: billed {bill}, charged {sums:?} nano-USD for {usage:?}", exchange["id"]));
        }
    }
    eprintln!("bills: {exact} at today's price, {then} at the price of then, {otherwise} otherwise, {} wrong", wrong.len());
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn old(list: &str) -> PriceRule {
    let mut rates = Rates::default();
    for word in list.split(' ') {
        let counted = Counted::ALL.iter().find(|(letter, _)| *letter == word.as_bytes()[0]).unwrap().1;
        rates.set(counted, Rate::parse(&word[1..]).unwrap());
    }
    PriceRule { rates, ..PriceRule::default() }
}

/// The JSON documents of an answer: one, or one for each event.
fn documents(exchange: &Value) -> Vec<Value> {
    match (&exchange["response"]["body"], &exchange["response"]["body_text"]) {
        (Value::Null, Value::String(text)) => {
            text.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data:")?.trim()).ok()).collect()
        }
        (body, _) => vec![body.clone()],
    }
}

/// What the provider says that the answer cost, in nano-USD.
fn bill(exchange: &Value) -> Option<u64> {
    documents(exchange).iter().rev().find_map(|document| {
        let usage = [&document["usage"], &document["response"]["usage"]].into_iter().find(|usage| usage.is_object())?;
        let ticks = usage["cost_in_usd_ticks"].as_u64().filter(|ticks| *ticks > 0).map(|ticks| ticks / 10);
        let cost = usage["cost"].as_f64().or_else(|| usage["cost"]["total_cost"].as_f64());
        ticks.or_else(|| Some((cost? * 1e9).round() as u64))
    })
}

/// The model that was asked for, and the one that answered.
fn models(exchange: &Value) -> Vec<String> {
    let documents = documents(exchange);
    let answered = documents.iter().find_map(|document| document["model"].as_str().or(document["response"]["model"].as_str()));
    [exchange["request"]["body"]["model"].as_str(), answered].into_iter().flatten().map(str::to_owned).collect()
}

fn usage(exchange: &Value) -> Option<(Dialect, Usage)> {
    let dialect = match exchange["api"].as_str()? {
        "chat.completions" => Dialect::OpenAiChat,
        "responses" => Dialect::OpenAiResponses,
        _ => return None,
    };
    if exchange["stream"] == true || exchange["stream"] == 1 {
        let (mut decoder, mut fold) = (codec(dialect).stream_decoder(), Fold::default());
        let mut framer = Framer::new(Framing::Sse, 16 << 20);
        let text = exchange["response"]["body_text"].as_str()?;
        let decode = |frame| drop(decoder.decode(&frame, &mut |event| fold.add(&event)));
        framer.push(Bytes::copy_from_slice(text.as_bytes()), decode).ok()?;
        return Some((dialect, fold.into_answer().usage?));
    }
    let body = exchange["response"]["body"].to_string();
    Some((dialect, codec(dialect).decode_answer(body.as_bytes()).ok()?.usage?))
}
