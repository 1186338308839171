use proptest::prelude::*;

use super::*;
use crate::journal::counters::Charge;
use crate::journal::dims::{CacheKind, StatusClass};

#[test]
fn a_header_comes_back_with_any_one_byte_flipped() {
    let header = Header { sums: true, after_failure: true, incarnation: 1 << 63, number: 7, first_record: 9 };
    let mut bytes = Vec::new();
    header.encode(&mut bytes);
    assert_eq!(bytes.len(), RECORDS_AT);
    for at in 0..bytes.len() {
        bytes[at] ^= 0x55;
        assert_eq!(Header::read(&bytes), Head::Ours(header));
        bytes[at] ^= 0x55;
    }
    assert_eq!(Header::read(&bytes[..HEADER_BYTES - 1]), Head::None);
    bytes[8] = 2;
    bytes.truncate(HEADER_BYTES);
    let crc = crc32fast::hash(&bytes[..HEADER_BYTES - 4]).to_le_bytes();
    bytes[HEADER_BYTES - 4..].copy_from_slice(&crc);
    assert_eq!(Header::read(&bytes), Head::Foreign(2));
}

fn numbers<const N: usize>() -> impl Strategy<Value = [u64; N]> {
    proptest::array::uniform(prop_oneof![0..300u64, any::<u64>()])
}

fn records() -> impl Strategy<Value = Record<'static>> {
    let id = any::<[u8; 16]>().prop_map(ExchangeId::from_bytes);
    let class = (0..5usize, 0..6usize).prop_map(|(a, b)| Class::new(StatusClass::ALL[a], CacheKind::ALL[b]));
    let key = (any::<u32>(), 0..3usize, any::<u32>(), class.clone()).prop_map(|(start, span, dims, class)| CellKey {
        start,
        span: Span::ALL[span],
        dims,
        class,
    });
    let cell = (key, numbers()).prop_map(|(key, numbers)| (key, Counters::from_numbers(numbers))).boxed();
    let settle = (id.clone(), any::<(u32, bool, u64, u32, bool)>(), class, numbers::<7>()).prop_map(
        |(id, (batch, recovered, at_ms, dims, estimated), class, [a, b, c, d, e, f, g])| {
            let charge = Charge {
                status: class.status(),
                cache: class.cache(),
                estimated,
                input_tokens: a,
                cached_tokens: b,
                cache_write_tokens: c,
                output_tokens: d,
                reasoning_tokens: e,
                cost: NanoUsd(f),
                duration: std::time::Duration::from_micros(g),
                first_token: estimated.then_some(std::time::Duration::from_micros(g / 2)),
            };
            Record::Settle(Settle { id, batch, recovered, at_ms, dims, class, counters: Counters::of(&charge) })
        },
    );
    let intent = (id.clone(), any::<(u64, u32)>(), numbers()).prop_map(|(id, (at_ms, dims), [a, b, c])| {
        Record::Intent(Intent { id, at_ms, dims, estimate: Estimate { input_tokens: a, output_tokens: b, cost: NanoUsd(c) } })
    });
    prop_oneof![
        settle,
        intent,
        id.prop_map(Record::Done),
        cell.clone().prop_map(|(key, counters)| Record::Row(key, counters)),
        cell.clone().prop_map(|(key, counters)| Record::Cell(key, counters)),
        (any::<u32>(), cell).prop_map(|(batch, (key, counters))| Record::Partial(batch, key, counters)),
        any::<(u32, u32)>().prop_map(|(batch, rows)| Record::Begin { batch, rows }),
        any::<u32>().prop_map(|batch| Record::Commit { batch }),
        any::<u32>().prop_map(|batch| Record::Closed { batch }),
        any::<u32>().prop_map(|records| Record::End { records }),
        any::<u32>().prop_map(|index| Record::Dims { index, bytes: b"abc" }),
    ]
}

proptest! {
    #[test]
    fn records_come_back_and_one_wrong_bit_is_noticed(record in records(), seed: u32, bit: prop::sample::Index) {
        let mut bytes = Vec::new();
        record.encode(seed, &mut bytes);
        prop_assert_eq!(frame_length(&bytes), Some(bytes.len()));
        let (kind, payload) = open_frame(&bytes, seed).unwrap();
        prop_assert_eq!(Record::decode(kind, payload), Some(record));
        prop_assert_eq!(open_frame(&bytes, seed ^ 1), None);
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let length = frame_length(&bytes);
        prop_assert!(length.is_none_or(|length| open_frame(&bytes[..length], seed).is_none()));
    }

    #[test]
    fn no_payload_panics(kind: u8, payload: Vec<u8>) {
        let _any = Record::decode(kind, &payload);
        let _any = Header::read(&payload);
    }
}
