//! Messages against the published vectors, and the laws of cutting.

use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::Value;

use super::*;

const BOUND: usize = 1 << 20;

fn push_all<'p>(framer: &mut Framer, pieces: impl IntoIterator<Item = &'p [u8]>) -> (Vec<Frame>, Result<(), FrameError>) {
    let mut frames = Vec::new();
    for piece in pieces {
        let pushed = framer.push(Bytes::copy_from_slice(piece), |frame| frames.push(frame));
        if pushed.is_err() {
            return (frames, pushed);
        }
    }
    (frames, Ok(()))
}

fn read(wire: &[u8], size: usize) -> (Vec<Frame>, Result<Option<Bytes>, FrameError>) {
    let mut framer = Framer::new(BOUND);
    let (frames, result) = push_all(&mut framer, wire.chunks(size.max(1)));
    (frames, result.map(|()| framer.rest()))
}

fn unhex(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().unwrap();
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

#[expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test finds the vectors by the environment, and says when there are none"
)]
fn corpus(path: &str) -> Option<Vec<u8>> {
    let root = std::env::var("OUTRIDER_CORPUS")
        .map_or_else(|_| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/traffic"), PathBuf::from);
    let path = root.join(path);
    let found = std::fs::read(&path).ok();
    if found.is_none() {
        eprintln!("SKIPPED: nothing at {}", path.display());
    }
    found
}

fn shown(value: HeaderValue<'_>) -> Value {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    match value {
        HeaderValue::Bool(value) => value.into(),
        HeaderValue::Int(value) | HeaderValue::Timestamp(value) => value.into(),
        HeaderValue::Text(value) => value.into(),
        HeaderValue::Bytes(value) | HeaderValue::Uuid(value) => hex(value).into(),
    }
}

fn headers(raw: &[u8]) -> Value {
    let end = PRELUDE_BYTES + u32::from_be_bytes(raw[4..8].try_into().unwrap()) as usize;
    let each = Headers::new(&raw[PRELUDE_BYTES..end]).map(Result::unwrap);
    Value::Object(each.map(|(name, value)| (name.to_owned(), shown(value))).collect())
}

#[test]
fn the_published_vectors_hold() {
    let Some(text) = corpus("../specs/data/aws-eventstream.vectors.json") else { return };
    let vectors: Value = serde_json::from_slice(&text).unwrap();
    for vector in vectors["frames"].as_array().unwrap() {
        let wire = unhex(&vector["hex"]);
        for size in [1, 5, wire.len()] {
            let (frames, rest) = read(&wire, size);
            assert_eq!((frames.len(), rest), (1, Ok(None)), "{vector}");
            let Frame { raw, name, data } = &frames[0];
            assert_eq!((raw, headers(raw)), (&Bytes::from(wire.clone()), vector["headers"].clone()));
            match vector["headers"][":message-type"].as_str() {
                Some("error") => {
                    let told: Value = serde_json::from_slice(data.as_ref().unwrap()).unwrap();
                    assert_eq!((&name[..], &told["code"]), (ERROR.as_bytes(), &vector["headers"][":error-code"]));
                    assert_eq!(told["message"], vector["headers"][":error-message"]);
                }
                kind => {
                    assert_eq!(data.as_deref().unwrap_or_default(), vector["payload"].as_str().unwrap().as_bytes());
                    let header = if kind == Some("exception") { ":exception-type" } else { ":event-type" };
                    assert_eq!(*name, vector["headers"][header].as_str().unwrap_or_default().as_bytes());
                }
            }
        }
    }
    for vector in vectors["invalid"].as_array().unwrap() {
        let (frames, rest) = read(&unhex(&vector["hex"]), 3);
        let truncated = vector["label"].as_str().unwrap().starts_with("truncated");
        assert_eq!((frames.len(), matches!(rest, Ok(Some(_)))), (0, truncated), "{vector}: {rest:?}");
    }
    for vector in vectors["smithy_rs"].as_array().unwrap() {
        let (frames, rest) = read(&unhex(&vector["hex"]), 7);
        let valid = vector["valid"].as_bool().unwrap();
        assert_eq!((frames.len(), rest == Ok(None)), (usize::from(valid), valid), "{vector}");
    }
    let wire = unhex(&vectors["converse_stream_concatenated_hex"]);
    let whole = read(&wire, wire.len());
    assert_eq!(whole.1, Ok(None));
    assert!(whole.0.len() >= 10);
    for size in 1..64 {
        assert_eq!(read(&wire, size), whole, "{size}");
    }
}

#[test]
fn recorded_edge_cases_are_read_or_refused() {
    for (name, count) in [
        ("agentgateway__detect__bedrock-basic.bin", Some(7)),
        ("agentgateway__detect__bedrock-broken.bin", None),
        ("agentgateway__detect__bedrock-invoke.bin", Some(9)),
        ("apisix__bedrock__bedrock-converse-streaming.bin", Some(6)),
    ] {
        let Some(wire) = corpus(&format!("extras/edge/{name}")) else { return };
        let (frames, rest) = read(&wire, 11);
        assert_eq!(count.is_some(), rest == Ok(None), "{name}: {rest:?}");
        assert_eq!(frames.len(), count.unwrap_or(0), "{name}");
    }
}

fn message(headers: &[(&str, &str)], payload: &str) -> Vec<u8> {
    let mut out = Vec::new();
    write(headers, &mut out, |out| out.extend_from_slice(payload.as_bytes()));
    out
}

fn bare(total: u32, headers: u32) -> Vec<u8> {
    let mut prelude = [total.to_be_bytes(), headers.to_be_bytes()].concat();
    prelude.extend_from_slice(&crc32fast::hash(&prelude).to_be_bytes());
    prelude
}

#[test]
fn a_hostile_length_is_refused_before_anything_is_kept() {
    for (total, headers, wanted) in [
        (u32::MAX, 0, FrameError::TooLarge(BOUND)),
        (BOUND as u32 + 1, 0, FrameError::TooLarge(BOUND)),
        (15, 0, FrameError::Broken("a message's lengths contradict each other")),
        (0, 0, FrameError::Broken("a message's lengths contradict each other")),
        (40, 25, FrameError::Broken("a message's lengths contradict each other")),
        (40, u32::MAX, FrameError::Broken("a message's lengths contradict each other")),
        (200 << 10, 129 << 10, FrameError::Broken("a message's lengths contradict each other")),
    ] {
        for size in [1, 12] {
            let mut framer = Framer::new(BOUND);
            let (frames, result) = push_all(&mut framer, bare(total, headers).chunks(size));
            assert_eq!((frames.len(), result), (0, Err(wanted.clone())), "{total} {headers}");
        }
    }
    let mut framer = Framer::new(BOUND);
    framer.push(bare(BOUND as u32, 0).into(), |_| ()).unwrap();
    assert!(framer.pending.capacity() < 100, "what is announced is not reserved");
}

#[test]
fn whole_messages_are_sliced_and_their_kinds_told_apart() {
    let wire = Bytes::from(
        [
            message(&[(":message-type", "event"), (":event-type", "messageStop")], "{}"),
            message(&[(":exception-type", "throttlingException"), (":message-type", "exception")], "{}"),
            message(&[(":exception-type", "odd"), (":message-type", "exception")], ""),
            message(&[(":message-type", "error"), (":error-code", "E\"1"), (":error-message", "é")], ""),
            message(&[], ""),
        ]
        .concat(),
    );
    let mut frames = Vec::new();
    Framer::new(BOUND).push(wire.clone(), |frame| frames.push(frame)).unwrap();
    assert_eq!(frames[0].raw.as_ptr(), wire.as_ptr());
    let told: Vec<_> = frames.iter().map(|f| (f.name.as_ref(), f.data.as_deref())).collect();
    let wanted: [(&[u8], Option<&[u8]>); 5] = [
        (b"messageStop", Some(b"{}")),
        (b"throttlingException", Some(b"{}")),
        (b"oddException", None),
        (b":error", Some("{\"code\":\"E\\\"1\",\"message\":\"é\"}".as_bytes())),
        (b"", None),
    ];
    assert_eq!(told, wanted);
}

#[test]
fn a_value_past_the_protocol_is_cut() {
    let long = "é".repeat(40_000);
    let wire = message(&[(":event-type", &long)], "{}");
    let (frames, rest) = read(&wire, wire.len());
    assert_eq!((frames.len(), rest, frames[0].name.len()), (1, Ok(None), 32_766));
}

proptest! {
    /// Law: what is written is read, whatever the cuts.
    #[test]
    fn any_cut_gives_the_same_messages(
        messages in prop::collection::vec(("[a-z]{1,9}", "\\PC{0,40}"), 0..12),
        cuts in prop::collection::vec(1usize..40, 1..30),
        tail in 0usize..30,
    ) {
        let whole: Vec<Vec<u8>> = messages.iter().map(|(name, text)| {
            message(&[(":event-type", name), (":content-type", "application/json"), (":message-type", "event")], text)
        }).collect();
        let mut wire = whole.concat();
        let cut_off = message(&[], "0123456789")[..tail.min(25)].to_vec();
        wire.extend_from_slice(&cut_off);
        let (mut pieces, mut rest, mut sizes) = (Vec::new(), &wire[..], cuts.iter().cycle());
        while !rest.is_empty() {
            let (piece, more) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
            pieces.push(piece);
            rest = more;
        }
        let mut framer = Framer::new(BOUND);
        let (frames, result) = push_all(&mut framer, pieces);
        prop_assert_eq!(result, Ok(()));
        prop_assert_eq!(framer.rest().unwrap_or_default(), cut_off);
        prop_assert_eq!(frames.len(), messages.len());
        for (frame, (raw, (name, text))) in frames.iter().zip(whole.iter().zip(&messages)) {
            prop_assert_eq!(&frame.raw, raw);
            prop_assert_eq!(&frame.name, name.as_bytes());
            prop_assert_eq!(frame.data.as_deref().unwrap_or_default(), text.as_bytes());
        }
    }

    /// Law: a changed byte is noticed, and nothing of its message is told.
    #[test]
    fn any_flipped_byte_is_noticed(text in "\\PC{0,40}", place in any::<prop::sample::Index>(), flip in 1u8..) {
        let mut wire = message(&[(":event-type", "x"), (":message-type", "event")], &text);
        let place = place.index(wire.len());
        wire[place] ^= flip;
        let (frames, result) = read(&wire, 9);
        prop_assert!(frames.is_empty() && result.is_err());
    }

    /// Law: no bytes are a panic.
    #[test]
    fn any_bytes_are_read_or_refused(headers in prop::collection::vec(any::<u8>(), 0..60), payload in prop::collection::vec(any::<u8>(), 0..20)) {
        let total = (16 + headers.len() + payload.len()) as u32;
        let mut wire = bare(total, headers.len() as u32);
        wire.extend_from_slice(&headers);
        wire.extend_from_slice(&payload);
        let sum = crc32fast::hash(&wire);
        wire.extend_from_slice(&sum.to_be_bytes());
        let readable = Headers::new(&headers).all(|header| header.is_ok());
        prop_assert_eq!(read(&wire, 7).0.len(), usize::from(readable));
    }
}
