use proptest::prelude::*;

use super::*;

const HEAD: &str = "POST / HTTP/1.1\r\nHost: a\r\n";

/// What the scanner says of a whole conversation: heads counted, and the flaw.
fn scan(pieces: &[&[u8]]) -> (usize, Option<Flaw>) {
    let (mut scanner, ledger) = (Scanner::new(4096), Ledger::default());
    for piece in pieces {
        if let Err((_, flaw)) = scanner.scan(piece, &ledger) {
            return (ledger.passed.into_inner(), Some(flaw));
        }
    }
    (ledger.passed.into_inner(), ledger.flaw.get().copied())
}

#[test]
fn sound_conversations_are_counted() {
    let table: &[(&str, usize)] = &[
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 1),
        ("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 1),
        ("GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n", 2),
        ("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n\r\n", 2),
        ("POST / HTTP/1.1\r\ncontent-length:0\r\n\r\nGET / HTTP/1.1\r\n\r\n", 2),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n", 2),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0A;x;y=z;q=\"a;\\\"b\"\r\n0123456789\r\n00\r\nTrailer: x\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            2,
        ),
        // A body that looks like requests is a body.
        ("POST / HTTP/1.1\r\nContent-Length: 18\r\n\r\nGET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n", 2),
    ];
    for (text, heads) in table {
        assert_eq!(scan(&[text.as_bytes()]), (*heads, None), "{text:?}");
    }
}

#[test]
fn flaws_are_found() {
    let table: &[(&str, usize, Flaw)] = &[
        ("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 0, Flaw::BothLengths),
        ("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", 0, Flaw::BothLengths),
        ("Content-Length: 3\r\nContent-Length: 3\r\n\r\n", 0, Flaw::TwoLengths),
        ("Content-Length: 3, 3\r\n\r\n", 0, Flaw::BadLength),
        ("Content-Length: +3\r\n\r\n", 0, Flaw::BadLength),
        ("Content-Length:\r\n\r\n", 0, Flaw::BadLength),
        ("Content-Length: 99999999999999999999\r\n\r\n", 0, Flaw::BadLength),
        ("Transfer-Encoding: gzip, chunked\r\n\r\n", 0, Flaw::BadCoding),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 0, Flaw::BadCoding),
        ("A: b\n\r\n", 0, Flaw::BareLf),
        ("A: b\r\n\n", 0, Flaw::BareLf),
        ("A: b\r\n c\r\n\r\n", 0, Flaw::BadLine),
        ("no colon\r\n\r\n", 0, Flaw::BadLine),
        ("Transfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n", 1, Flaw::BadChunk),
        ("Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n", 1, Flaw::BadChunk),
        ("Transfer-Encoding: chunked\r\n\r\n\r\nabc\r\n0\r\n\r\n", 1, Flaw::BadChunk),
        ("Transfer-Encoding: chunked\r\n\r\n00000000000000003\r\nabc\r\n0\r\n\r\n", 1, Flaw::BadChunk),
        ("Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n", 1, Flaw::BareLf),
        ("Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", 1, Flaw::BadChunk),
        ("Transfer-Encoding: chunked\r\n\r\n3\r\nabc\n0\r\n\r\n", 1, Flaw::BadChunk),
        ("Transfer-Encoding: chunked\r\n\r\n3;\r\nabc\r\n0\r\n\r\n", 1, Flaw::BadExtension),
        ("Transfer-Encoding: chunked\r\n\r\n3;a b\r\nabc\r\n0\r\n\r\n", 1, Flaw::BadExtension),
        ("Transfer-Encoding: chunked\r\n\r\n3;a=\r\nabc\r\n0\r\n\r\n", 1, Flaw::BadExtension),
        ("Transfer-Encoding: chunked\r\n\r\n3;a=\"b\r\nabc\r\n0\r\n\r\n", 1, Flaw::BadExtension),
        ("Transfer-Encoding: chunked\r\n\r\n0\r\na: b\n\r\n", 1, Flaw::BareLf),
        ("Transfer-Encoding: chunked\r\n\r\n0\r\na: \rb\r\n\r\n", 1, Flaw::BadLine),
    ];
    for (tail, heads, flaw) in table {
        let text = format!("{HEAD}{tail}");
        assert_eq!(scan(&[text.as_bytes()]), (*heads, Some(*flaw)), "{text:?}");
    }
    assert_eq!(scan(&[b"GET /a#b HTTP/1.1\r\n\r\n"]), (0, Some(Flaw::Fragment)));
}

#[test]
fn a_head_without_an_end_is_bounded() {
    let long = vec![b'a'; 5000];
    let (mut scanner, ledger) = (Scanner::new(4096), Ledger::default());
    for byte in &long {
        assert_eq!(scanner.scan(&[*byte], &ledger), Ok(()));
    }
    assert_eq!(ledger.flaw.get(), Some(&Flaw::HeadTooLarge));
    assert_eq!(scanner.carry.capacity(), 0);
}

#[test]
fn nothing_is_counted_after_a_flaw() {
    let text = "GET / HTTP/1.1\nA: b\r\n\r\nGET / HTTP/1.1\r\n\r\n";
    assert_eq!(scan(&[text.as_bytes()]), (0, Some(Flaw::BareLf)));
}

#[test]
fn a_request_that_was_not_counted_is_refused() {
    let (mut scanner, ledger) = (Scanner::new(4096), Ledger::default());
    assert_eq!(scanner.scan(b"GET / HTTP/1.1\r\n\r\nGET /", &ledger), Ok(()));
    assert_eq!(ledger.next_request(), Ok(()));
    assert_eq!(ledger.next_request(), Err(Flaw::BareLf));
}

proptest! {
    /// How the bytes are cut into reads changes nothing.
    #[test]
    fn cuts_do_not_matter(pick in 0usize..6, cuts in proptest::collection::vec(0usize..200, 0..8)) {
        let tails = [
            "Content-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n\r\n",
            "Transfer-Encoding: chunked\r\n\r\n3;a=\"b;\"\r\nabc\r\n0\r\nT: x\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            "Transfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n",
            "A: b\r\n c\r\n\r\n",
            "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nbb",
        ];
        let text = format!("{HEAD}{}", tails[pick]);
        let mut at: Vec<usize> = cuts.into_iter().map(|cut| cut % text.len()).collect();
        at.sort_unstable();
        let mut pieces = Vec::new();
        let mut from = 0;
        for cut in at {
            pieces.push(&text.as_bytes()[from..cut]);
            from = cut;
        }
        pieces.push(&text.as_bytes()[from..]);
        prop_assert_eq!(scan(&pieces), scan(&[text.as_bytes()]));
    }

    /// Whatever comes in: no panic, and memory within the bound.
    #[test]
    fn noise_is_harmless(noise in proptest::collection::vec(any::<u8>(), 0..600), cut in 0usize..600) {
        let (mut scanner, ledger) = (Scanner::new(256), Ledger::default());
        let cut = cut.min(noise.len());
        if scanner.scan(&noise[..cut], &ledger).is_ok() {
            scanner.scan(&noise[cut..], &ledger).ok();
        }
        prop_assert!(scanner.carry.len() <= 1024);
    }
}
