//! One frame's way from the provider to the app: read for accounting, then passed on as it is or in the other dialect.

use bytes::{Bytes, BytesMut};

use super::answer::{redact, redact_fault};
use crate::base::clock::{self, Instant};
use crate::base::framing::Framing;
use crate::base::sse::Frame;
use crate::base::{Fault, Secret};
use crate::dialect::{StreamDecoder, StreamEncoder};
use crate::ir::{Event, FinishReason, Usage};
use crate::telemetry::Meters;

/// How frames become the app's bytes.
pub(super) enum Mode {
    /// The same dialect: raw frames, but for a usage event that only we asked for.
    Forward {
        /// Whether such an event is expected.
        withhold_usage: bool,
    },
    /// Another dialect.
    Translate(Box<dyn StreamEncoder>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// More may come.
    Open,
    /// The end mark has been seen.
    Whole,
    /// Nothing more is read; what is gathered goes out.
    Over,
}

/// What the events told.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) usage: Usage,
    pub(super) finish: Option<FinishReason>,
    pub(super) output_bytes: u64,
    pub(super) first_content: Option<Instant>,
    pub(super) frames: u64,
    pub(super) fault: Option<Fault>,
}

/// Bytes for the app. One piece is passed on as it is, several of one chunk are joined.
#[derive(Default)]
pub(super) struct Out {
    first: Option<Bytes>,
    joined: BytesMut,
}

impl Out {
    pub(super) fn push(&mut self, piece: Bytes) {
        if piece.is_empty() {
            return;
        }
        match self.first.take() {
            None if self.joined.is_empty() => self.first = Some(piece),
            first => {
                self.joined.extend_from_slice(&first.unwrap_or_default());
                self.joined.extend_from_slice(&piece);
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.first.as_ref().map_or(0, Bytes::len) + self.joined.len()
    }

    pub(super) fn take(&mut self) -> Option<Bytes> {
        self.first.take().or_else(|| (!self.joined.is_empty()).then(|| self.joined.split().freeze()))
    }
}

/// Passes one frame on: read for accounting, then as it is or in the other dialect.
#[expect(clippy::too_many_arguments, reason = "the relay's fields, borrowed apart from its framer")]
pub(super) fn pass(
    frame: Frame,
    decoder: &mut Option<Box<dyn StreamDecoder>>,
    mode: &mut Mode,
    seen: &mut Seen,
    out: &mut Out,
    state: &mut State,
    secret: Option<&Secret>,
    framing: Framing,
    meters: &Meters,
) -> Result<(), Fault> {
    let mut only_usage = false;
    let mut told_fault = false;
    let mut encoded = Vec::new();
    if let Some(reader) = decoder {
        let mut others = false;
        let read = reader.decode(&frame, &mut |mut event| {
            if let Event::Fault(fault) = &mut event {
                redact_fault(fault, secret);
            }
            match &event {
                Event::Usage(_) => only_usage = true,
                Event::Fault(_) => told_fault = true,
                _ => others = true,
            }
            seen.event(&event, state);
            if let Mode::Translate(encoder) = mode {
                encoder.encode(&event, &mut encoded);
            }
        });
        only_usage &= !others && !told_fault;
        match (read, &mode) {
            (Ok(()), _) => seen.frames += 1,
            // Nothing sound has come yet: this is not the stream that its content type promised.
            (Err(fault), _) if seen.frames == 0 => return Err(fault),
            (Err(fault), Mode::Translate(_)) => return Err(fault),
            (Err(_), Mode::Forward { .. }) => {
                // An observer may never break what passes through.
                meters.observer_faults.increment(1);
                *decoder = None;
            }
        }
    }
    match mode {
        Mode::Translate(_) => {
            out.push(encoded.into());
            if told_fault {
                *state = State::Over;
            }
        }
        Mode::Forward { withhold_usage: true } if only_usage => {}
        Mode::Forward { .. } if told_fault => {
            let clean = redact(frame.raw.clone(), secret);
            match seen.fault.take_if(|_| framing == Framing::EventStream && clean != frame.raw) {
                // A message with a checksum cannot be mended: it is written anew.
                Some(fault) => return Err(fault),
                None => out.push(clean),
            }
        }
        Mode::Forward { .. } => out.push(frame.raw),
    }
    Ok(())
}

impl Seen {
    pub(super) fn event(&mut self, event: &Event<'_>, state: &mut State) {
        if self.first_content.is_none() && event.is_content() {
            self.first_content = Some(clock::now());
        }
        match event {
            Event::PartDelta { delta, .. } => self.output_bytes += delta.text().len() as u64,
            Event::Usage(usage) => self.usage.merge(usage),
            Event::Finish(finish) => self.finish = Some(finish.reason),
            Event::Fault(fault) => self.fault = Some(fault.clone()),
            Event::End if *state == State::Open => *state = State::Whole,
            _ => {}
        }
    }
}
