//! All of it at once: ten thousand requests, of which none may fail.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::faults::{FAULTS, FIRST_TOKEN, Outcome, chance, sick, well};
use crate::house::House;
use crate::lanes::{LANES, Lane, alias, providers, target};
use crate::upstream::{Mock, at_accept};

const REQUESTS: usize = 10_000;
const CLIENTS: usize = 32;
const ATTEMPTS: u32 = 4;
const STRATEGIES: [&str; 2] = ["ordered", "weighted"];

/// Upstreams that fail before they have read anything: name, origin, and what comes of it.
pub struct Doors {
    pub all: Vec<(&'static str, String, Outcome, Outcome)>,
    /// Keeps its port closed: bound by nobody else, and listened on by nobody.
    _closed: TcpSocket,
}

impl Doors {
    pub async fn open() -> Self {
        use Outcome::{Elsewhere, InTime};
        let closed = TcpSocket::new_v4().unwrap();
        closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let refused = closed.local_addr().unwrap().port();
        let reset = at_accept(|stream| async move { stream.set_zero_linger().unwrap() }).await;
        let fin = at_accept(|_| async {}).await;
        let half = at_accept(|mut stream| async move {
            // Shut for writing, open for reading, for as long as the other side likes.
            let _shut = stream.shutdown().await;
            read_on(stream).await;
        });
        let mute = at_accept(read_on);
        let tls = acceptor();
        let self_signed = at_accept(move |stream| {
            let tls = tls.clone();
            async move { drop(tls.accept(stream).await) }
        });
        let (half, mute, self_signed) = (half.await, mute.await, self_signed.await);
        let plain = at_accept(|mut stream| async move {
            // A web server that speaks no TLS says so to whatever comes.
            let _hello = stream.read(&mut [0; 4096]).await;
            let _said = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
        });
        let plain = plain.await;
        let http = |port: u16| format!("http://127.0.0.1:{port}");
        let https = |port: u16| format!("https://127.0.0.1:{port}");
        let all = vec![
            ("refused", http(refused), Elsewhere, Elsewhere),
            ("reset-at-accept", http(reset), Elsewhere, Elsewhere),
            ("fin-at-accept", http(fin), Elsewhere, Elsewhere),
            ("half-closed-at-accept", http(half), Elsewhere, Elsewhere),
            ("mute", http(mute), InTime, Outcome::None),
            ("nowhere", "http://nowhere.invalid".to_owned(), Elsewhere, Elsewhere),
            ("self-signed", https(self_signed), Elsewhere, Elsewhere),
            ("plain-on-tls", https(plain), Elsewhere, Elsewhere),
            ("reset-on-tls", https(reset), Elsewhere, Elsewhere),
            ("fin-on-tls", https(fin), Elsewhere, Elsewhere),
            ("mute-on-tls", https(mute), InTime, InTime),
        ];
        Self { all, _closed: closed }
    }
}

async fn read_on(mut stream: TcpStream) {
    let mut room = [0; 4096];
    while stream.read(&mut room).await.is_ok_and(|read| read > 0) {}
}

/// TLS by a certificate that nobody has signed.
fn acceptor() -> TlsAcceptor {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = builder.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// One way to ask: an alias whose first target is sick in one way.
#[derive(Clone, Debug)]
struct Case {
    fault: &'static str,
    lane: Lane,
    strategy: &'static str,
    stream: bool,
    outcome: Outcome,
    scripted: bool,
}

impl Case {
    fn alias(&self) -> String {
        let mode = if self.stream { "stream" } else { "whole" };
        format!("{}.{}.{}.{mode}", self.fault, self.lane.name, self.strategy)
    }
}

fn cases(doors: &Doors) -> (Vec<Case>, String) {
    let scripted = FAULTS.iter().map(|fault| (fault.name, fault.stream, fault.whole, true));
    let at_doors = doors.all.iter().map(|(name, _, stream, whole)| (*name, *stream, *whole, false));
    let (mut cases, mut policy) = (Vec::new(), String::new());
    for (fault, for_stream, for_whole, scripted) in scripted.chain(at_doors) {
        for lane in LANES {
            for strategy in STRATEGIES {
                for (stream, outcome) in [(true, for_stream), (false, for_whole)] {
                    if outcome == Outcome::None {
                        continue;
                    }
                    let case = Case { fault, lane, strategy, stream, outcome, scripted };
                    // A target of its own for each, so that what is learnt of one keeps no other from its fault.
                    let name = case.alias();
                    let targets = [if scripted { "sick" } else { fault }, "well"].map(|provider| target(provider, lane.provider, &name));
                    // Where no fault is about time, its bounds are out of the way, however slow the machine is.
                    let slow = outcome == Outcome::InTime;
                    let (first, idle, connect) = if slow { (FIRST_TOKEN, "2s", "500ms") } else { ("30s", "30s", "10s") };
                    let keys = format!(
                        "strategy = \"{strategy}\"\nretry = {{ attempts = {ATTEMPTS} }}\n\
                         timeout = {{ first_token = \"{first}\", idle = \"{idle}\", total = \"60s\", connect = \"{connect}\" }}"
                    );
                    policy.push_str(&alias(&name, &targets, &keys));
                    cases.push(case);
                }
            }
        }
    }
    (cases, policy)
}

#[tokio::test]
async fn no_request_of_ten_thousand_fails() {
    let (sick, well) = (Mock::open("sick", sick).await, Mock::open("well", well).await);
    let doors = Doors::open().await;
    let (cases, aliases) = cases(&doors);
    let mut policy = sick.providers() + &well.providers();
    for (name, origin, ..) in &doors.all {
        policy.push_str(&providers(name, origin));
    }
    let house = House::open(&(policy + &aliases)).await;

    // Each case in turn, in an order that is the same each time and no pattern; those that wait for a timeout less often.
    let mut order: Vec<usize> =
        (0..cases.len()).flat_map(|at| vec![at; if cases[at].outcome == Outcome::InTime { 3 } else { 10 }]).collect();
    order.sort_by_key(|at| (0..10).find(|round| chance("order", (at * 11 + round) as u64) < 20));
    let order: Vec<usize> = (0..REQUESTS).map(|nth| order[(nth * 7919) % order.len()]).collect();

    let next = Arc::new(AtomicUsize::new(0));
    let shared = Arc::new((cases, order));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (mut client, next, shared) = (house.client(), Arc::clone(&next), Arc::clone(&shared));
            tokio::spawn(async move {
                let mut failed = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(case) = shared.1.get(number).map(|at| &shared.0[*at]) else { break };
                    let (model, lane, number) = (case.alias(), case.lane, number as u64);
                    let verdict = match client.ask(lane.caller, &model, number, case.stream).await {
                        Err(error) => Err(error),
                        Ok(reply) => judge(case, &reply, &model, number),
                    };
                    if let Err(why) = verdict {
                        failed.push(format!("{number} {model} stream={}: {why}", case.stream));
                    }
                }
                (failed, client.connects)
            })
        })
        .collect();
    let (mut failed, mut connects) = (Vec::new(), 0);
    for client in clients {
        let (theirs, times) = client.await.unwrap();
        failed.extend(theirs);
        connects += times;
    }
    let mut kinds: HashMap<&str, usize> = HashMap::new();
    for one in &failed {
        *kinds.entry(one.split(' ').nth(1).unwrap_or_default().split('.').next().unwrap_or_default()).or_default() += 1;
    }
    assert!(failed.is_empty(), "{} of {REQUESTS} failed: {kinds:?}\n{}", failed.len(), failed[..failed.len().min(12)].join("\n"));
    // What goes wrong upstream never costs an app its connection.
    assert_eq!(connects, CLIENTS);
    sick.assert_understood();
    well.assert_understood();

    // No request was asked for more often than it may be, and each fault has had its chance in each lane and mode.
    let mut asked = sick.by_number();
    for (number, times) in well.by_number() {
        *asked.entry(number).or_default() += times;
    }
    let most = asked.values().copied().max().unwrap_or_default();
    assert!(most <= ATTEMPTS as usize, "a request went upstream {most} times");
    let met: HashSet<String> = sick.seen().into_iter().map(|seen| seen.heard.model).collect();
    let meets = |case: &&Case| case.scripted && case.strategy == "ordered";
    let missed: Vec<String> = shared.0.iter().filter(meets).map(Case::alias).filter(|alias| !met.contains(alias)).collect();
    assert!(missed.is_empty(), "never at the sick one: {missed:?}");
    house.assert_calm().await;
}

fn judge(case: &Case, reply: &crate::client::Reply, model: &str, number: u64) -> Result<(), String> {
    let attempts = reply.attempts();
    if !(1..=ATTEMPTS).contains(&attempts) {
        return Err(format!("x-outrider-attempts: {attempts}"));
    }
    // The first target may be well at times, and answers then; a door is never well.
    let by = match reply.provider() {
        "sick" if case.scripted => "sick",
        _ => "well",
    };
    if reply.to_end > Duration::from_secs(30) {
        return Err(format!("{:?} until the end", reply.to_end));
    }
    case.lane.check(reply, by, model, number, case.stream)
}
