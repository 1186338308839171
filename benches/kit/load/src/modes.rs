//! The four ways to load a server.

use std::error::Error;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use clock::now_ns;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime};
use tokio::io::unix::AsyncFd;
use tokio::task::{JoinSet, yield_now};
use tokio::time::{sleep, timeout};

use crate::connection::Connection;
use crate::scan::Scan;
use crate::stats::{Stats, add};

/// After a broken exchange: do not hammer a server that is down.
const RECOVERY: Duration = Duration::from_millis(20);

/// How long after the end answers may still come.
const GRACE: Duration = Duration::from_secs(20);

/// How to load.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Each connection sends as soon as it has its answer.
    Closed,
    /// Requests at a constant rate.
    Rate,
    /// Streams, each asked for again when it ends.
    Stream,
    /// Streams, each once.
    Hold,
}

/// All that a run needs to know.
pub struct Plan {
    /// How to load.
    pub mode: Mode,
    /// The port on loopback.
    pub port: u16,
    /// The request, head and body.
    pub request: Vec<u8>,
    /// How long to go on sending.
    pub duration: Duration,
    /// How long not to note times at the start.
    pub warm: Duration,
    /// Connections, or streams.
    pub connections: usize,
    /// Requests a second, over all connections.
    pub rate: f64,
    /// Streams opened a second.
    pub ramp: f64,
}

/// One run: the plan and what came of it, and the times that bound it.
struct Run {
    plan: Rc<Plan>,
    stats: Stats,
    note_from: u64,
    send_until: u64,
}

/// Runs the plan to its end.
pub async fn run(plan: Rc<Plan>) -> Result<Stats, Box<dyn Error>> {
    let start = now_ns();
    let (note_from, send_until) = (start + nanoseconds(plan.warm), start + nanoseconds(plan.duration));
    let run = Rc::new(Run { stats: Stats::new()?, note_from, send_until, plan });
    let mut clients = JoinSet::new();
    let (due, dues) = async_channel::unbounded();
    for index in 0..run.plan.connections {
        let run = run.clone();
        match run.plan.mode {
            Mode::Closed => clients.spawn_local(closed(run)),
            Mode::Rate => clients.spawn_local(paced(run, dues.clone())),
            Mode::Stream | Mode::Hold => clients.spawn_local(streams(run, index)),
        };
    }
    if run.plan.mode == Mode::Rate {
        pace(&run, &due).await?;
    }
    drop(due);
    let left = run.plan.duration.saturating_sub(Duration::from_nanos(now_ns() - start));
    let ended = timeout(left + GRACE, async { while clients.join_next().await.is_some() {} }).await;
    if ended.is_err() {
        run.stats.broken.set(run.stats.broken.get() + clients.len() as u64);
    }
    clients.shutdown().await;
    run.stats.wall.set(now_ns() - start);
    Rc::into_inner(run).map(|run| run.stats).ok_or_else(|| "a client outlived the run".into())
}

async fn closed(run: Rc<Run>) {
    let mut connection = Connection::new(run.plan.port);
    while now_ns() < run.send_until {
        let sent = now_ns();
        let outcome = connection.exchange(&run.plan.request, |piece, _| run.stats.sample(piece)).await;
        run.note(sent, outcome).await;
    }
}

async fn paced(run: Rc<Run>, dues: async_channel::Receiver<u64>) {
    let mut connection = Connection::new(run.plan.port);
    while let Ok(due) = dues.recv().await {
        let outcome = connection.exchange(&run.plan.request, |piece, _| run.stats.sample(piece)).await;
        run.note(due, outcome).await;
    }
}

/// Hands out the times at which requests are due, each at its time. The timer is the kernel's: the runtime's own rounds to
/// milliseconds.
async fn pace(run: &Run, dues: &async_channel::Sender<u64>) -> Result<(), Box<dyn Error>> {
    #[expect(deprecated, reason = "its heir is unsafe and asks that the value keep its descriptor, which an OwnedFd does")]
    let timer = AsyncFd::new(timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?)?;
    let start = now_ns();
    let requests = (run.plan.rate * run.plan.duration.as_secs_f64()) as u64;
    // A server that falls so far behind is not going to catch up.
    let backlog_max = run.plan.rate * GRACE.as_secs_f64();
    for index in 0..requests {
        let due = start + (index as f64 * 1e9 / run.plan.rate) as u64;
        if due <= now_ns() {
            add(&run.stats.late);
            yield_now().await;
        }
        while now_ns() < due {
            expire(&timer, due).await?;
        }
        if dues.len() as f64 > backlog_max {
            break;
        }
        dues.try_send(due)?;
    }
    Ok(())
}

/// Waits until the clock shows `at`. Setting the timer anew takes back its last expiry, so that nothing has to be read.
async fn expire(timer: &AsyncFd<OwnedFd>, at: u64) -> io::Result<()> {
    let value = Timespec { tv_sec: (at / 1_000_000_000) as i64, tv_nsec: (at % 1_000_000_000) as i64 };
    let interval = Timespec { tv_sec: 0, tv_nsec: 0 };
    timerfd_settime(timer.get_ref(), TimerfdTimerFlags::ABSTIME, &Itimerspec { it_interval: interval, it_value: value })?;
    timer.readable().await?.clear_ready();
    Ok(())
}

async fn streams(run: Rc<Run>, index: usize) {
    sleep(Duration::from_secs_f64(index as f64 / run.plan.ramp)).await;
    let mut connection = Connection::new(run.plan.port);
    loop {
        let sent = now_ns();
        let outcome = stream(&run, &mut connection, sent).await;
        run.note(sent, outcome).await;
        if run.plan.mode == Mode::Hold || now_ns() >= run.send_until {
            break;
        }
    }
}

async fn stream(run: &Run, connection: &mut Connection, sent: u64) -> io::Result<u16> {
    let stats = &run.stats;
    let (mut scan, mut open) = (Scan::default(), false);
    let outcome = connection
        .exchange(&run.plan.request, |piece, arrived| {
            stats.sample(piece);
            scan.feed(piece, |made| {
                add(&stats.chunks);
                if !open {
                    open = true;
                    stats.opened();
                    if sent >= run.note_from {
                        stats.first.note(arrived - sent);
                    }
                } else if sent >= run.note_from {
                    stats.delay.note(arrived.saturating_sub(made));
                }
            });
        })
        .await;
    if open {
        stats.closed();
    }
    if scan.ended {
        add(&stats.complete);
    }
    outcome
}

impl Run {
    /// Notes how an exchange went that began, or was due, at `from`.
    async fn note(&self, from: u64, outcome: io::Result<u16>) {
        match outcome {
            Ok(200) => {
                add(&self.stats.ok);
                if from >= self.note_from {
                    self.stats.latency.note(now_ns() - from);
                }
            }
            Ok(_) => add(&self.stats.not_ok),
            Err(_) => {
                add(&self.stats.broken);
                sleep(RECOVERY).await;
            }
        }
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
