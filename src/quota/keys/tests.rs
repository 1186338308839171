use std::time::Duration;

use super::*;
use crate::config::Overrides;

const NOW: Duration = Duration::from_secs(1_800_000_000);

fn key(text: &str, name: &str) -> Arc<Key> {
    Arc::new(Key {
        digest: Digest::of(text),
        name: name.into(),
        team: None,
        app: None,
        user: None,
        expires: None,
        models: Vec::new(),
        limit: None,
    })
}

fn keys(required: bool) -> Keys {
    let mut expired = (*key("ork-old", "old")).clone();
    expired.expires = Some(SystemTime::UNIX_EPOCH + NOW);
    let mut later = (*key("ork-later", "later")).clone();
    later.expires = Some(SystemTime::UNIX_EPOCH + NOW + Duration::from_nanos(1));
    let mut some = (*key("ork-some", "some")).clone();
    some.models = vec!["fast".into(), "gpt-*".into()];
    of(vec![key("ork-good", "good"), expired.into(), later.into(), some.into()], required)
}

fn of(keys: Vec<Arc<Key>>, required: bool) -> Keys {
    let mut policy = Policy::new(String::new(), Vec::new(), Vec::new(), Overrides::default());
    policy.keys = keys;
    Keys::new(&policy, required)
}

fn ask(keys: &Keys, headers: &[(&'static str, &str)]) -> Result<Option<String>, &'static str> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    let found = keys.caller(&map, None, SystemTime::UNIX_EPOCH + NOW);
    found.map(|caller| caller.map(|caller| caller.key.name.clone())).map_err(|refused| refused.label())
}

#[test]
fn a_key_is_found_wherever_sdks_put_it() {
    let (free, strict) = (keys(false), keys(true));
    let (nobody, good) = (Ok(None), Ok(Some("good".to_owned())));
    for headers in [
        [("authorization", "Bearer ork-good")].as_slice(),
        &[("authorization", "bearer  ork-good ")],
        &[("x-api-key", "ork-good")],
        &[("x-goog-api-key", "ork-good")],
        &[("api-key", "ork-good")],
        // A vendor's key beside it does not hide it, nor does another scheme.
        &[("authorization", "Bearer sk-1"), ("x-api-key", "ork-good")],
        &[("authorization", "Basic ork-x"), ("authorization", "Bearer ork-good")],
        &[("x-api-key", "é"), ("x-api-key", "ork-good")],
    ] {
        assert_eq!(ask(&free, headers), good, "{headers:?}");
        assert_eq!(ask(&strict, headers), good, "{headers:?}");
    }
    for headers in [
        [].as_slice(),
        &[("authorization", "Bearer sk-1")],
        &[("authorization", "ork-good")],
        &[("authorization", "Basic ork-good")],
        &[("x-api-key", "xork-good")],
        &[("x-api-key", "\u{e9}")],
        &[("x-other", "ork-good")],
    ] {
        assert_eq!(ask(&free, headers), nobody, "{headers:?}");
        assert_eq!(ask(&strict, headers), Err("missing"), "{headers:?}");
    }
}

#[test]
fn what_begins_as_a_key_must_be_one() {
    let long = format!("ork-{}", "x".repeat(KEY_BYTES_MAX));
    for keys in [keys(false), keys(true)] {
        for (key, expected) in [
            ("ork-goo", Err("unknown")),
            ("ork-goodd", Err("unknown")),
            ("ork-GOOD", Err("unknown")),
            ("ork-", Err("unknown")),
            (long.as_str(), Err("unknown")),
            ("ork-old", Err("expired")),
            ("ork-later", Ok(Some("later".to_owned()))),
        ] {
            assert_eq!(ask(&keys, &[("x-api-key", key)]), expected, "{key}");
        }
    }
}

#[test]
fn keys_that_meet_in_a_bucket_stay_apart() {
    let mut keys = keys(false);
    let all: Vec<_> = keys.by_digest.drain().flat_map(|(_, keys)| keys).collect();
    for text in ["ork-good", "ork-some", "ork-unknown"] {
        keys.by_digest.insert(keys.hasher.hash_one(Digest::of(text).0), all.clone());
    }
    assert_eq!(keys.find("ork-some").unwrap().name, "some");
    assert_eq!(keys.find("ork-good").unwrap().name, "good");
    assert!(keys.find("ork-unknown").is_none());
}

#[test]
fn the_longest_key_is_still_looked_at() {
    let text = format!("ork-{}", "x".repeat(KEY_BYTES_MAX - 4));
    let keys = of(vec![key(&text, "long")], false);
    assert!(keys.find(&text).is_some() && keys.find(&format!("{text}x")).is_none());
}

#[test]
fn digests_differ_wherever_they_differ() {
    let one = Digest::of("ork-good");
    assert!(same(&one, &one));
    for place in 0..32 {
        for bit in 0..8 {
            let mut other = one;
            other.0[place] ^= 1 << bit;
            assert!(!same(&one, &other));
        }
    }
    // Two differences must not cancel out.
    let mut other = one;
    (other.0[0], other.0[1]) = (one.0[0] ^ 1, one.0[1] ^ 1);
    assert!(!same(&one, &other));
}

#[test]
fn a_key_allows_what_it_lists() {
    let caller = |name: &str| Caller { key: Arc::clone(keys(false).find(name).unwrap()) };
    assert_eq!(caller("ork-good").may_ask("anything"), Ok(()));
    assert_eq!(caller("ork-some").may_ask("gpt-4.1"), Ok(()));
    assert_eq!(caller("ork-some").may_ask("fast"), Ok(()));
    let refused = caller("ork-some").may_ask("faster").unwrap_err();
    assert_eq!(refused, KeyRefused::Model { name: "some".into(), model: "faster".into() });
    let fault = refused.fault();
    assert_eq!((fault.kind, fault.param.as_deref()), (FaultKind::Forbidden, Some("model")));
    assert!(fault.client_text.contains("\"some\"") && fault.client_text.contains("\"faster\""));
    let long = KeyRefused::Model { name: "some".into(), model: "é".repeat(10_000) }.fault();
    assert!(long.client_text.len() < 400);
}

#[test]
fn refusals_say_what_to_do_and_never_the_key() {
    let since = SystemTime::UNIX_EPOCH + NOW;
    for (refused, kind, word) in [
        (KeyRefused::Missing, FaultKind::Unauthenticated, "required"),
        (KeyRefused::Unknown, FaultKind::Unauthenticated, "not known"),
        (KeyRefused::Expired { name: "old".into(), since }, FaultKind::Unauthenticated, "2027-01-15T08:00:00Z"),
    ] {
        let fault = refused.fault();
        assert_eq!((fault.kind, fault.param.as_deref(), fault.code.as_deref()), (kind, None, Some("invalid_api_key")));
        assert!(fault.client_text.contains(word), "{}", fault.client_text);
    }
}
