//! The load generator. It only ever talks to loopback, and prints one line of JSON.
//!
//! | mode | what it does |
//! |---|---|
//! | `closed` | `--conns` connections, each sending as soon as it has its answer |
//! | `rate` | `--rate` requests a second, whatever the answers do; latency counts from when a request was due |
//! | `stream` | `--conns` streams at once, each asked for again when it ends |
//! | `hold` | `--conns` streams, `--ramp` more each second, each kept to its end |
//!
//! `load MODE --body FILE [--port 9000] [--path /v1/chat/completions] [--header "K: V"]… [--secs 5] [--warm 0.5]
//! [--conns 64] [--rate 500] [--ramp 500]`

mod connection;
mod modes;
mod scan;
mod stats;

use std::error::Error;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::LocalSet;

use crate::modes::{Mode, Plan};

const USAGE: &str = "load closed|rate|stream|hold --body FILE [--port N] [--path P] [--header 'K: V']… [--secs S] [--warm S] [--conns N] [--rate N] [--ramp N]";

fn main() -> Result<(), Box<dyn Error>> {
    let plan = Rc::new(plan(std::env::args().skip(1))?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let stats = LocalSet::new().block_on(&runtime, modes::run(plan))?;
    println!("{}", stats.report());
    Ok(())
}

fn plan(mut arguments: impl Iterator<Item = String>) -> Result<Plan, Box<dyn Error>> {
    let mode = match arguments.next().as_deref() {
        Some("closed") => Mode::Closed,
        Some("rate") => Mode::Rate,
        Some("stream") => Mode::Stream,
        Some("hold") => Mode::Hold,
        _ => return Err(USAGE.into()),
    };
    let (mut port, mut path, mut headers, mut body) = (9000, "/v1/chat/completions".to_owned(), String::new(), Vec::new());
    let (mut duration, mut warm, mut connections, mut rate, mut ramp) = (5.0, 0.5, 64, 500.0, 500.0);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or(USAGE)?;
        match name.as_str() {
            "--port" => port = value.parse()?,
            "--path" => path = value,
            "--header" => headers += &format!("{value}\r\n"),
            "--body" => body = std::fs::read(&value).map_err(|fault| format!("{value}: {fault}"))?,
            "--secs" => duration = value.parse()?,
            "--warm" => warm = value.parse()?,
            "--conns" => connections = value.parse()?,
            "--rate" => rate = value.parse()?,
            "--ramp" => ramp = value.parse()?,
            _ => return Err(USAGE.into()),
        }
    }
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nuser-agent: load\r\naccept: */*\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(&body);
    let (duration, warm) = (Duration::from_secs_f64(duration), Duration::from_secs_f64(warm));
    Ok(Plan { mode, port, request, duration, warm, connections, rate, ramp })
}
