//! Every decoder and framer, and the reader of the journal, under libFuzzer, in one binary: `OUTRIDER_FUZZ=request-gemini fuzz CORPUS`. See `fuzz/run`.
//!
//! No input may panic, and whatever is understood must come out as sound text of every other dialect.
#![no_main]

use std::sync::OnceLock;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use libfuzzer_sys::fuzz_target;
use outrider::base::framing::{Framer, Framing};
use outrider::base::json::{Envelope, Raw, Reader};
use outrider::base::rng::RootRng;
use outrider::dialect::{Codec, Notes, Reply, ToolNames, codec};
use outrider::ir::{Dialect, Event, ModelTraits};

const EVENT_BYTES_MAX: usize = 1 << 20;

/// What is tried, and with which dialect.
enum Target {
    Json,
    Journal,
    Framer(Framing),
    Request(&'static dyn Codec),
    Answer(&'static dyn Codec),
    Stream(&'static dyn Codec),
}

fn target() -> Target {
    let name = std::env::var("OUTRIDER_FUZZ").unwrap_or_default();
    let (what, which) = name.split_once('-').unwrap_or((&name, ""));
    let named = || {
        let dialect = Dialect::ALL.into_iter().find(|dialect| dialect.label() == which);
        codec(dialect.unwrap_or_else(|| panic!("OUTRIDER_FUZZ={name}: no dialect {which:?}")))
    };
    match (what, which) {
        ("json", _) => Target::Json,
        ("journal", _) => Target::Journal,
        ("framer", "sse") => Target::Framer(Framing::Sse),
        ("framer", "eventstream") => Target::Framer(Framing::EventStream),
        ("framer", "json_array") => Target::Framer(Framing::JsonArray),
        ("request", _) => Target::Request(named()),
        ("answer", _) => Target::Answer(named()),
        ("stream", _) => Target::Stream(named()),
        _ => panic!("OUTRIDER_FUZZ={name}: expected json, journal, framer-FRAMING, request-DIALECT, answer-DIALECT or stream-DIALECT"),
    }
}

fuzz_target!(|data: &[u8]| {
    static TARGET: OnceLock<Target> = OnceLock::new();
    match TARGET.get_or_init(target) {
        Target::Json => json(data),
        Target::Journal => outrider::journal::fuzz::read(data),
        Target::Framer(framing) => framer(*framing, data),
        Target::Request(codec) => request(*codec, data),
        Target::Answer(codec) => answer(*codec, data),
        Target::Stream(codec) => stream(*codec, data),
    }
});

/// The walker, the reader and the parser judge alike, and spans lie inside the text.
fn json(data: &[u8]) {
    let parsed = Raw::parse(data);
    let envelope = Envelope::read(data);
    if let Ok(envelope) = &envelope {
        let raw = parsed.as_ref().expect("an envelope of what is not JSON");
        assert_eq!(raw.members().count(), envelope.members().len());
        for member in envelope.members() {
            Raw::parse(&data[member.value.clone()]).expect("a member's span");
        }
    }
    let read = Reader::read(data, |reader| reader.skip());
    assert_eq!(read.is_ok(), parsed.is_ok());
    if let Ok(raw) = parsed {
        walk(raw, 0);
    }
}

/// Visits every value of a sound text.
fn walk(raw: Raw<'_>, depth: usize) {
    assert!(depth <= 128);
    raw.members().for_each(|(_, value)| walk(value, depth + 1));
    raw.elements().for_each(|value| walk(value, depth + 1));
    let _any_kind = (raw.string(), raw.u64(), raw.bool(), raw.number());
}

/// The first byte says how long the pieces are: any cut gives the same frames, and their raw twins are the stream.
fn framer(framing: Framing, data: &[u8]) {
    let Some((size, stream)) = data.split_first() else { return };
    let frames = |size: usize| {
        let mut framer = Framer::new(framing, EVENT_BYTES_MAX);
        let mut frames = Vec::new();
        let pushed = stream.chunks(size).try_for_each(|piece| framer.push(Bytes::copy_from_slice(piece), |frame| frames.push(frame)));
        (frames, pushed, framer.rest())
    };
    let (whole, told, rest) = frames(stream.len().max(1));
    let (cut, told_in_pieces, _) = frames(usize::from(*size).max(1));
    assert_eq!(whole, cut);
    assert_eq!(told, told_in_pieces);
    let mut twins: Vec<u8> = whole.iter().flat_map(|frame| frame.raw.to_vec()).collect();
    twins.extend_from_slice(rest.as_deref().unwrap_or_default());
    assert!(stream.starts_with(&twins) || told.is_err());
}

fn reply(framing: Framing) -> Reply {
    let id = RootRng::seeded(1).fork().exchange_id();
    Reply { id, model: "m".into(), created: 1, stream_usage: true, input_tokens_estimate: 7, tools: ToolNames::default(), framing }
}

fn sound<'t>(text: &'t [u8], what: &str) -> &'t [u8] {
    if let Err(error) = Raw::parse(text) {
        panic!("{what} is not JSON: {error}: {}", String::from_utf8_lossy(text));
    }
    text
}

fn others(own: &'static dyn Codec) -> impl Iterator<Item = &'static dyn Codec> {
    Dialect::ALL.into_iter().filter(move |dialect| *dialect != own.dialect()).map(codec)
}

fn request(own: &'static dyn Codec, data: &[u8]) {
    if Envelope::read(data).is_err() {
        return;
    }
    let Ok(request) = own.decode_request(data) else { return };
    for other in others(own) {
        let mut out = Vec::new();
        if other.encode_request(&request, "m", &ModelTraits::default(), &mut Notes::default(), &mut out).is_ok() {
            let _understood = other.decode_request(sound(&out, "a request"));
        }
    }
}

fn answer(own: &'static dyn Codec, data: &[u8]) {
    let status = StatusCode::from_u16(400 + u16::from(data.first().copied().unwrap_or(0))).unwrap_or(StatusCode::BAD_GATEWAY);
    let fault = own.decode_error(status, &HeaderMap::new(), data);
    for other in others(own) {
        let mut out = Vec::new();
        other.encode_error(&fault, reply(Framing::Sse).id, &mut out);
        sound(&out, "an error");
    }
    let _observed = own.observe_answer(data);
    let Ok(answer) = own.decode_answer(data) else { return };
    for other in others(own) {
        let mut out = Vec::new();
        other.encode_answer(&answer, &reply(Framing::Sse), &mut Notes::default(), &mut out);
        if let Err(fault) = other.decode_answer(sound(&out, "an answer")) {
            panic!("{}: {fault}: {}", other.dialect().label(), String::from_utf8_lossy(&out));
        }
    }
}

/// A stream of the dialect's own framing; where that is binary, each line is the payload of one message.
fn stream(own: &'static dyn Codec, data: &[u8]) {
    let frames = match own.framing() {
        Framing::EventStream => messages(data),
        framing => cut(framing, data),
    };
    let mut decoder = own.stream_decoder();
    let mut encoders: Vec<_> = others(own).map(|other| (other, other.stream_encoder(reply(other.framing())), Vec::new())).collect();
    for frame in &frames {
        let read = decoder.decode(frame, &mut |event: Event<'_>| {
            encoders.iter_mut().for_each(|(_, encoder, out)| encoder.encode(&event, out));
        });
        if read.is_err() {
            break;
        }
    }
    for (other, mut encoder, mut out) in encoders {
        encoder.encode(&Event::End, &mut out);
        let mut back = other.stream_decoder();
        for frame in cut(other.framing(), &out) {
            if let Err(fault) = back.decode(&frame, &mut |_| ()) {
                panic!("{}: {fault}: {}", other.dialect().label(), String::from_utf8_lossy(&frame.raw));
            }
        }
    }
}

fn cut(framing: Framing, data: &[u8]) -> Vec<outrider::base::sse::Frame> {
    let mut frames = Vec::new();
    let mut framer = Framer::new(framing, EVENT_BYTES_MAX);
    let _as_far_as_it_goes = framer.push(Bytes::copy_from_slice(data), |frame| frames.push(frame));
    frames
}

/// `NAME PAYLOAD` a line: checksums would keep the fuzzer out.
fn messages(data: &[u8]) -> Vec<outrider::base::sse::Frame> {
    let lines = data.split(|byte| *byte == b'\n');
    lines
        .map(|line| {
            let at = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
            let (name, payload) = line.split_at(at);
            let payload = Bytes::copy_from_slice(payload.get(1..).unwrap_or_default());
            outrider::base::sse::Frame { raw: payload.clone(), name: Bytes::copy_from_slice(name), data: Some(payload) }
        })
        .collect()
}
