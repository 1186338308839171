//! The bounds of what waits.

use super::super::sequence::{Sequence, TooTangled};
use super::{reply, streams};
use crate::base::FaultKind;
use crate::dialect::Codec;
use crate::dialect::bedrock::Bedrock;
use crate::ir::{Delta, Event, PartStart, Text};

fn call() -> PartStart<'static> {
    PartStart::ToolCall { id: Text::plain("c"), name: Text::plain("f"), custom: false }
}

#[test]
fn what_waits_is_bounded() {
    let mut sequence = Sequence::default();
    let mut begun = 0;
    let result = (0..5000).try_for_each(|index| {
        begun += 1;
        sequence.start(index, &call(), &mut |_| ())
    });
    assert!(matches!(result, Err(TooTangled)) && begun < 1100);

    let (mut encoder, mut out) = (Bedrock.stream_encoder(reply()), Vec::new());
    encoder.encode(&Event::PartStart { index: 0, part: call() }, &mut out);
    encoder.encode(&Event::PartStart { index: 1, part: call() }, &mut out);
    let megabyte = "x".repeat(1 << 20);
    for _ in 0..40 {
        encoder.encode(&Event::PartDelta { index: 1, delta: Delta::Arguments(Text::plain(megabyte.as_str())) }, &mut out);
    }
    streams::check_grammar(&out).unwrap();
    assert_eq!(streams::fold_wire(&out).fault().map(|fault| fault.kind), Some(FaultKind::UpstreamFailed));
    assert!(out.len() < 2000);
}

#[test]
fn refusals_that_give_way_go_on_as_refusals() {
    let mut sequence = Sequence::default();
    let mut starts = Vec::new();
    let mut each = |step: super::super::sequence::Step<'_, '_>| {
        if let super::super::sequence::Step::Start(part) = step {
            starts.push(format!("{part:?}"));
        }
    };
    let no = Delta::Text(Text::plain("No"));
    sequence.start(0, &PartStart::Refusal, &mut each).unwrap();
    sequence.delta(0, &no, &mut each).unwrap();
    sequence.start(1, &PartStart::Text, &mut each).unwrap();
    sequence.delta(0, &no, &mut each).unwrap();
    sequence.delta(1, &no, &mut each).unwrap();
    assert_eq!(starts, ["Refusal", "Text", "Refusal", "Text"]);
}
