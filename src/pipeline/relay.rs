//! A streamed answer on its way to the app: polled, never spawned, no channel.
//!
//! The app's read speed is the provider's write speed, and dropping the body cancels the request upstream: both come
//! for free from polling. Only whole frames are passed on, so that an honest error event can always follow, wherever
//! the provider broke off. How the stream ended is judged by its dialect's own end mark, never by its closing.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body as _, Frame as HttpFrame};
use tokio::time::Sleep;

use super::account::Account;
use super::answer;
use super::passing::{Mode, Out, Seen, State, pass};
use crate::base::body::Cut;
use crate::base::clock::{self, Instant};
use crate::base::drain;
use crate::base::framing::{FrameError, Framer, Framing};
use crate::base::rng::ExchangeId;
use crate::base::{Fault, FaultKind, Origin, Secret};
use crate::dialect::{Codec, StreamDecoder};
use crate::ir::Event;
use crate::quota::Exceeded;
use crate::telemetry::{Ending, Sinks};
use crate::upstream::AnswerBody;

/// What may gather before the first content: an answer that talks so long without saying anything is let through.
const PRIME_BYTES_MAX: usize = 64 << 10;
/// How long the provider may take to close after its own end mark, for the sake of its connection.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// After so much silence a translated stream says that it is alive: clients and proxies cut what is idle for long.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// How long to wait for what, from now on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Between two pieces.
    pub idle: Duration,
    /// When all must be over.
    pub deadline: Instant,
}

impl Patience {
    /// What has run out.
    fn fault(self) -> Fault {
        let text = match clock::now() < self.deadline {
            true => format!("The provider sent nothing for {}.", humantime::format_duration(self.idle)),
            false => "The exchange's total time is over.".to_owned(),
        };
        Fault::upstream(FaultKind::Timeout, text)
    }
}

/// One stream. First primed, then committed as the answer's body.
pub(super) struct Relay {
    upstream: AnswerBody,
    framer: Framer,
    framing: Framing,
    decoder: Option<Box<dyn StreamDecoder>>,
    mode: Mode,
    /// The app's dialect, for an error event.
    caller: &'static dyn Codec,
    id: ExchangeId,
    secret: Option<Secret>,
    patience: Patience,
    ends_without_mark: bool,
    cut: drain::Cut,
    timer: Option<Pin<Box<Sleep>>>,
    last_piece: Instant,
    last_sign: Instant,
    out: Out,
    seen: Seen,
    state: State,
    account: Option<Box<Account>>,
    streams: Option<Arc<AtomicUsize>>,
    sinks: Arc<Sinks>,
}

/// What a relay is made of.
pub(super) struct Parts {
    /// The provider's body.
    pub upstream: AnswerBody,
    /// The provider's dialect.
    pub provider: &'static dyn Codec,
    /// The app's dialect.
    pub caller: &'static dyn Codec,
    /// How frames become the app's bytes.
    pub mode: Mode,
    /// How the provider's stream is cut; the app's too, where frames pass as they are.
    pub framing: Framing,
    /// The exchange's id.
    pub id: ExchangeId,
    /// The provider's key, to be removed from what it echoes.
    pub secret: Option<Secret>,
    /// How long to wait.
    pub patience: Patience,
    /// The largest single event.
    pub event_bytes_max: usize,
    /// Whether closing after the finish reason is this provider's end mark.
    pub ends_without_mark: bool,
    /// Fires when the drain time is over.
    pub cut: drain::Cut,
    /// Where the exchange will be told.
    pub sinks: Arc<Sinks>,
}

impl Relay {
    /// A relay that has read nothing yet.
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            upstream: parts.upstream,
            framer: Framer::new(parts.framing, parts.event_bytes_max),
            framing: parts.framing,
            decoder: Some(parts.provider.stream_decoder()),
            mode: parts.mode,
            caller: parts.caller,
            id: parts.id,
            secret: parts.secret,
            patience: parts.patience,
            ends_without_mark: parts.ends_without_mark,
            cut: parts.cut,
            timer: None,
            last_piece: clock::now(),
            last_sign: clock::now(),
            out: Out::default(),
            seen: Seen::default(),
            state: State::Open,
            account: None,
            streams: None,
            sinks: parts.sinks,
        }
    }

    /// Reads up to the first content, so that an early failure may still be another target's chance.
    ///
    /// # Errors
    /// The stream failed before any content.
    pub(super) async fn prime(&mut self) -> Result<(), Fault> {
        while self.state == State::Open
            && self.seen.first_content.is_none()
            && self.seen.fault.is_none()
            && self.out.len() < PRIME_BYTES_MAX
        {
            std::future::poll_fn(|cx| self.step(cx)).await;
        }
        match self.seen.fault.take() {
            // After content it is the app's to see, in its place in the stream.
            Some(fault) if self.seen.first_content.is_some() => {
                self.seen.fault = Some(fault);
                Ok(())
            }
            Some(fault) => Err(fault),
            None => Ok(()),
        }
    }

    /// From here on this answer is the app's: it carries the account, and closes it.
    pub(super) fn commit(mut self, account: Box<Account>, streams: &Arc<AtomicUsize>) -> Self {
        streams.fetch_add(1, Ordering::Relaxed);
        self.streams = Some(Arc::clone(streams));
        self.account = Some(account);
        if self.state != State::Open {
            self.settle();
        }
        self
    }

    /// Takes one piece from the provider, or notices that time is over.
    fn step(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match Pin::new(&mut self.upstream).poll_frame(cx) {
            Poll::Ready(Some(Ok(piece))) => {
                self.last_piece = clock::now();
                if let Ok(chunk) = piece.into_data() {
                    self.chunk(chunk);
                }
            }
            Poll::Ready(Some(Err(error))) => self.broke_off(&error.0),
            Poll::Ready(None) => self.closed(),
            Poll::Pending => {
                std::task::ready!(self.wait(cx));
            }
        }
        Poll::Ready(())
    }

    fn chunk(&mut self, chunk: Bytes) {
        let Self { framer, framing, decoder, mode, seen, out, state, secret, sinks, .. } = self;
        let mut failed = None;
        let pushed = framer.push(chunk, |frame| {
            if failed.is_none() && *state != State::Over {
                failed = pass(frame, decoder, mode, seen, out, state, secret.as_ref(), *framing, &sinks.meters).err();
            }
        });
        if let Err(error) = pushed {
            let text = match error {
                FrameError::TooLarge(bytes_max) => format!("The provider sent a single event of more than {bytes_max} bytes."),
                FrameError::Broken(what) => format!("The provider's stream cannot be read: {what}."),
            };
            failed = Some(Fault::upstream(FaultKind::UpstreamProtocol, text));
        }
        if let Some(fault) = failed {
            self.fail(fault);
        } else if self.state == State::Whole {
            self.settle();
        } else if let Some(exceeded) = self.outruns() {
            self.fail(exceeded.fault());
        }
    }

    /// Whether it has come to more than is reserved for it, and a limit says to cut.
    fn outruns(&mut self) -> Option<Box<Exceeded>> {
        let exceeded = self.account.as_mut()?.outruns(&self.seen.usage, self.seen.output_bytes).err()?;
        self.sinks.meters.limit_decision(&exceeded.limit.name, "cut");
        Some(exceeded)
    }

    /// The provider closed. That is an end only where its own mark said so before, or says so in a last line without
    /// its blank line.
    fn closed(&mut self) {
        let rest = self.framer.rest();
        match (self.state, rest) {
            (State::Open, Some(rest)) if self.framing == Framing::Sse && self.last_line_ends_it(&rest) => {
                if let Mode::Forward { .. } = self.mode {
                    self.out.push(rest);
                }
                self.state = State::Over;
                self.settle();
            }
            (State::Open, _) if self.seen.fault.is_some() => {
                self.state = State::Over;
                self.settle();
            }
            (State::Open, None) if self.ends_without_mark && self.seen.finish.is_some() => {
                if let Mode::Translate(encoder) = &mut self.mode {
                    let mut end = Vec::new();
                    encoder.encode(&Event::End, &mut end);
                    self.out.push(end.into());
                }
                self.state = State::Over;
                self.settle();
            }
            (State::Open, _) if self.decoder.is_none() => {
                // Unread, so unjudged: it closed as HTTP closes, and the bytes went through as they came.
                self.state = State::Over;
                self.settle();
            }
            (State::Open, _) => self.truncated("the stream closed without its end mark".to_owned()),
            (State::Whole, Some(rest)) if matches!(self.mode, Mode::Forward { .. }) => {
                self.out.push(rest);
                self.state = State::Over;
            }
            (State::Whole | State::Over, _) => self.state = State::Over,
        }
    }

    fn last_line_ends_it(&mut self, rest: &Bytes) -> bool {
        let Some(decoder) = &mut self.decoder else { return false };
        let mut framed = BytesMut::from(&rest[..]);
        framed.extend_from_slice(b"\n\n");
        let (seen, mode) = (&mut self.seen, &mut self.mode);
        let mut state = State::Open;
        let mut encoded = Vec::new();
        let mut framer = Framer::new(Framing::Sse, framed.len());
        // The bound is the text's own length, and a frame that cannot be read is no end mark.
        let _within_bound = framer.push(framed.freeze(), |frame| {
            let _unreadable_is_no_end = decoder.decode(&frame, &mut |event| {
                seen.event(&event, &mut state);
                if let Mode::Translate(encoder) = mode {
                    encoder.encode(&event, &mut encoded);
                }
            });
        });
        self.out.push(encoded.into());
        state == State::Whole
    }

    fn broke_off(&mut self, cause: &str) {
        match self.state {
            State::Open if self.seen.fault.is_none() => self.truncated(cause.to_owned()),
            _ => self.state = State::Over,
        }
    }

    fn truncated(&mut self, cause: String) {
        let text = "The provider's answer broke off before its end; what came so far is incomplete.";
        self.fail(Fault::upstream(FaultKind::Truncated, text).cause(cause));
    }

    /// Nothing is there to read: is there still time?
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // All that matters has been said: what is awaited is only that the provider closes, for the sake of its connection.
        let said = self.state == State::Whole || self.seen.fault.is_some();
        if self.cut.poll_cut(cx).is_ready() {
            self.give_up(said, || Fault::new(FaultKind::Draining, Origin::Gateway, "Outrider is shutting down; the answer is incomplete."));
            return Poll::Ready(());
        }
        let idle = if said { CLOSE_GRACE } else { self.patience.idle };
        let due = (self.last_piece + idle).min(self.patience.deadline);
        let sign = self.next_sign_of_life(said).filter(|sign| *sign < due);
        let wake = sign.unwrap_or(due);
        // The timer is armed once and looked at when it fires: pieces in between cost it nothing.
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(wake)));
        if timer.deadline() > wake {
            timer.as_mut().reset(wake);
        }
        loop {
            std::task::ready!(timer.as_mut().poll(cx));
            if clock::now() >= wake {
                break;
            }
            timer.as_mut().reset(wake);
        }
        if sign.is_some() {
            self.give_sign_of_life();
            return Poll::Ready(());
        }
        let patience = self.patience;
        self.give_up(said, || patience.fault());
        Poll::Ready(())
    }

    /// When the app should hear that a silent answer is still alive. Bytes of its own dialect pass untouched, so there it is the
    /// provider's to say.
    fn next_sign_of_life(&self, said: bool) -> Option<Instant> {
        let translated = matches!(self.mode, Mode::Translate(_));
        (translated && !said && self.account.is_some()).then(|| self.last_piece.max(self.last_sign) + SIGN_OF_LIFE)
    }

    fn give_sign_of_life(&mut self) {
        self.last_sign = clock::now();
        if let Mode::Translate(encoder) = &mut self.mode {
            let mut ping = Vec::new();
            encoder.encode(&Event::Ping, &mut ping);
            self.out.push(ping.into());
        }
    }

    /// Ends the wait: in silence where all has been said, else with an error event.
    fn give_up(&mut self, said: bool, why: impl FnOnce() -> Fault) {
        if said {
            self.state = State::Over;
            self.settle();
        } else {
            self.fail(why());
        }
    }

    /// Ends the stream by an error event of the app's dialect, once it has begun for the app.
    fn fail(&mut self, fault: Fault) {
        let mut event = Vec::new();
        match &mut self.mode {
            Mode::Translate(encoder) => encoder.encode(&Event::Fault(fault.clone()), &mut event),
            Mode::Forward { .. } => self.caller.encode_stream_error(&fault, self.id, self.framing, self.seen.frames > 0, &mut event),
        }
        self.out.push(event.into());
        self.seen.fault = Some(fault);
        self.state = State::Over;
        self.settle();
    }

    /// Closes the account by what is known. Before the commit there is none, and the attempt loop decides.
    fn settle(&mut self) {
        let Some(account) = &mut self.account else { return };
        let ending = match (&self.seen.fault, self.state) {
            (Some(fault), _) => Ending::Failed(Box::new(fault.clone())),
            (None, State::Open) => Ending::ClientGone,
            (None, _) => Ending::Complete,
        };
        let record = &mut account.record;
        record.usage = self.seen.usage;
        record.finish = self.seen.finish;
        record.output_bytes = self.seen.output_bytes;
        record.first_token = self.seen.first_content.map(|at| at.duration_since(record.started));
        if let Mode::Translate(encoder) = &self.mode {
            record.losses += encoder.losses().names().len();
        }
        account.close(&ending);
    }

    /// What is known only now, once, where the app takes it.
    fn trailers(&mut self) -> Option<HeaderMap> {
        let account = self.account.as_mut()?;
        let wanted = std::mem::take(&mut account.takes_trailers);
        answer::trailers(account.record.cost.filter(|_| wanted))
    }
}

impl http_body::Body for Relay {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<HttpFrame<Bytes>, Cut>>> {
        loop {
            if self.state == State::Over {
                // A provider's error event passed on in its own words: the account has not been closed yet, and is before the last
                // bytes leave.
                self.settle();
            }
            if let Some(bytes) = self.out.take() {
                return Poll::Ready(Some(Ok(HttpFrame::data(bytes))));
            }
            if self.state == State::Over {
                return Poll::Ready(self.trailers().map(|trailers| Ok(HttpFrame::trailers(trailers))));
            }
            std::task::ready!(self.step(cx));
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.settle();
        if let Some(streams) = &self.streams {
            streams.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
