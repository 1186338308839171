//! Signatures by AWS's own suite, by botocore's and by OpenAI's SDK for Bedrock, read where they are.

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::base::Secret;

const KEY_ID: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

fn at(rfc3339: &str) -> SystemTime {
    humantime::parse_rfc3339_weak(rfc3339).unwrap()
}

/// A file of vectors below the recorded traffic, or beside it.
fn vectors(path: &str) -> Option<Value> {
    let default = || format!("{}/../shared/traffic", env!("CARGO_MANIFEST_DIR"));
    let corpus = crate::config::Outside::process();
    let corpus = (corpus.env)("OUTRIDER_CORPUS").unwrap_or_else(default);
    match std::fs::read_to_string(format!("{corpus}/{path}")) {
        Ok(text) => Some(serde_json::from_str(&text).unwrap()),
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "what was not checked is told")]
            {
                eprintln!("skipped: {corpus}/{path}: {error}");
            }
            None
        }
    }
}

/// A request as the suite writes it.
struct Written {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, Cow<'static, str>)>,
    body: String,
}

impl Written {
    fn read(text: &str) -> Self {
        let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
        let mut lines = head.lines();
        let (method, rest) = lines.next().unwrap().split_once(' ').unwrap();
        let target = rest.strip_suffix(" HTTP/1.1").unwrap();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut headers: Vec<(String, Cow<'static, str>)> = Vec::new();
        for line in lines {
            if line.starts_with(' ') {
                headers.last_mut().unwrap().1.to_mut().push_str(line);
                continue;
            }
            let (name, value) = line.split_once(':').unwrap();
            headers.push((name.to_lowercase(), value.to_owned().into()));
        }
        Self { method: method.into(), path: path.into(), query: query.into(), headers, body: body.into() }
    }
}

fn hash(body: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, body).as_ref())
}

#[test]
fn a_plain_request_is_signed_as_aws_documents_it() {
    let mut request = Request::builder().uri("/").body(Body::Full(Bytes::new())).unwrap();
    let key = AwsKey { id: KEY_ID.into(), secret: Secret::new(SECRET), session_token: None };
    let host = HeaderValue::from_static("example.amazonaws.com");
    sign(&mut request, b"", host, &key, "us-east-1", "bedrock", at("2015-08-30T12:36:00Z")).unwrap();
    let header = |name: &str| request.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("x-amz-date"), "20150830T123600Z");
    assert!(header("authorization").starts_with(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/bedrock/aws4_request, SignedHeaders=host;x-amz-date, Signature="
    ));
    assert!(request.headers()["authorization"].is_sensitive());
    // The example of AWS's documentation, whose service is called so.
    let (canonical, _) = canonical_request(
        "GET",
        "/",
        "",
        vec![("host".into(), "example.amazonaws.com".into()), ("x-amz-date".into(), "20150830T123600Z".into())],
        &hash(b""),
        true,
    );
    let text = string_to_sign("20150830T123600Z", &scope("20150830T123600Z", "us-east-1", "service"), &canonical);
    let signed = signature(SECRET, "20150830T123600Z", "us-east-1", "service", &text);
    assert_eq!(signed, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
}

#[test]
fn aws_own_suite_is_met() {
    let Some(all) = vectors("../specs/data/aws-sigv4.vectors.json") else { return };
    let mut checked = 0;
    for (name, case) in all["suite"].as_object().unwrap() {
        let mut written = Written::read(case["request"].as_str().unwrap());
        let expected = |member: &str| case[member].as_str().unwrap();
        let Some(context) = case.get("context") else {
            // Those of smithy-rs are about the canonical request alone, and disagree with themselves about the date.
            written.headers.retain(|(name, _)| name != "x-amz-date");
            let stamp = expected("header-canonical-request").lines().find_map(|line| line.strip_prefix("x-amz-date:")).unwrap();
            written.headers.push(("x-amz-date".into(), stamp.to_owned().into()));
            let (canonical, _) = canonical_request(&written.method, &written.path, &written.query, written.headers, &hash(b""), true);
            assert_eq!(canonical, expected("header-canonical-request"), "{name}");
            checked += 1;
            continue;
        };
        let normalize = context["normalize"].as_bool().unwrap();
        let token = context["credentials"]["token"].as_str();
        let token = token.filter(|_| context["omit_session_token"].as_bool() != Some(true));
        let stamp = stamp(at(context["timestamp"].as_str().unwrap()));
        let (region, service) = (context["region"].as_str().unwrap(), context["service"].as_str().unwrap());
        let scope = scope(&stamp, region, service);
        let payload = hash(written.body.as_bytes());

        let mut headers = written.headers.clone();
        headers.push(("x-amz-date".into(), stamp.clone().into()));
        headers.extend(token.map(|token| ("x-amz-security-token".into(), token.to_owned().into())));
        if context["sign_body"].as_bool() == Some(true) {
            headers.push(("x-amz-content-sha256".into(), payload.clone().into()));
        }
        let (canonical, _) = canonical_request(&written.method, &written.path, &written.query, headers, &payload, normalize);
        assert_eq!(canonical, expected("header-canonical-request"), "{name}");
        let text = string_to_sign(&stamp, &scope, &canonical);
        assert_eq!(text, expected("header-string-to-sign"), "{name}");
        assert_eq!(signature(SECRET, &stamp, region, service, &text), expected("header-signature"), "{name}");

        // The same in the query: not what is sent to a provider, but the same parts.
        let (_, names) = canonical_headers(written.headers.clone());
        let encoded = |text: &str| utf8_percent_encode(text, UNRESERVED).to_string();
        let mut query = written.query.clone();
        for (name, value) in [
            ("Algorithm", "AWS4-HMAC-SHA256"),
            ("Credential", &format!("{KEY_ID}/{scope}")),
            ("Date", &stamp),
            ("Expires", "3600"),
            ("SignedHeaders", &names),
        ]
        .into_iter()
        .chain(token.map(|token| ("Security-Token", token)))
        {
            query.push_str(&format!("&X-Amz-{name}={}", encoded(value)));
        }
        let (canonical, _) = canonical_request(&written.method, &written.path, &query, written.headers, &payload, normalize);
        assert_eq!(canonical, expected("query-canonical-request"), "{name}");
        let text = string_to_sign(&stamp, &scope, &canonical);
        assert_eq!(text, expected("query-string-to-sign"), "{name}");
        assert_eq!(signature(SECRET, &stamp, region, service, &text), expected("query-signature"), "{name}");
        checked += 1;
    }
    assert_eq!(checked, 40);
}

#[test]
fn botocores_signatures_for_bedrock_are_met() {
    let Some(all) = vectors("../specs/data/aws-sigv4.vectors.json") else { return };
    let cases = all["bedrock"].as_array().unwrap();
    assert_eq!(cases.len(), 9);
    for case in cases {
        let text = |member: &str| case[member].as_str().unwrap();
        let uri: http::Uri = text("url").parse().unwrap();
        assert_eq!(uri.path(), text("wire_path"), "the path is sent as it is signed");
        let stamp = text("timestamp");
        let mut headers: Vec<(String, Cow<'_, str>)> = vec![("host".into(), uri.host().unwrap().to_owned().into())];
        for (name, value) in case["headers"].as_object().unwrap().iter().filter(|(name, _)| *name != "Authorization") {
            headers.push((name.to_lowercase(), value.as_str().unwrap().to_owned().into()));
        }
        let payload = hash(text("body").as_bytes());
        let query = uri.query().unwrap_or_default();
        let (canonical, names) = canonical_request(text("method"), uri.path(), query, headers, &payload, true);
        let label = text("label");
        assert_eq!(canonical, text("canonical_request"), "{label}");
        let (region, service) = (text("region"), text("service"));
        let to_sign = string_to_sign(stamp, &scope(stamp, region, service), &canonical);
        assert_eq!(to_sign, text("string_to_sign"), "{label}");
        let signed = signature(text("secret_key"), stamp, region, service, &to_sign);
        assert_eq!(signed, text("signature"), "{label}");
        assert!(case["headers"]["Authorization"].as_str().unwrap().contains(&format!("SignedHeaders={names}, Signature={signed}")));
    }
}

/// One request of OpenAI's fixtures, signed by the function that signs what is sent.
fn signed(method: &str, url: &str, body: &[u8], key: &AwsKey, region: &str, service: &str, time: &str) -> http::HeaderMap {
    let uri: http::Uri = url.parse().unwrap();
    let mut request = Request::builder().method(method).uri(uri.path()).header("content-type", "application/json");
    // Never signed, whatever a client sends.
    for (name, value) in [("user-agent", "x"), ("traceparent", "00-1"), ("accept-encoding", "identity"), ("accept", "*/*")] {
        request = request.header(name, value);
    }
    let mut request = request.body(Body::Full(Bytes::copy_from_slice(body))).unwrap();
    let host = HeaderValue::from_str(uri.host().unwrap()).unwrap();
    sign(&mut request, body, host, key, region, service, at(time)).unwrap();
    request.headers().clone()
}

#[test]
fn openais_signature_for_mantle_is_met_to_the_letter() {
    let Some(case) = vectors("extras/sigv4/bedrock_sigv4.json") else { return };
    let (credentials, asked, expected) = (&case["credentials"], &case["request"], &case["expected"]);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let key = AwsKey {
        id: text(&credentials["accessKeyId"]),
        secret: Secret::new(&text(&credentials["secretAccessKey"])),
        session_token: Some(Secret::new(&text(&credentials["sessionToken"]))),
    };
    let body = text(&asked["body"]);
    let (region, service, date) = (text(&case["region"]), text(&case["service"]), text(&case["signingDate"]));
    let headers = signed(&text(&asked["method"]), &text(&asked["url"]), body.as_bytes(), &key, &region, &service, &date);
    assert_eq!(headers["authorization"], text(&expected["authorization"]));
    assert_eq!(headers["x-amz-date"], text(&expected["date"]));
    assert_eq!(headers["x-amz-content-sha256"], text(&expected["payloadHash"]));
    assert!(headers["x-amz-security-token"].is_sensitive());
}

#[test]
fn openais_cases_for_bedrock_are_met() {
    let Some(all) = vectors("extras/sigv4/bedrock_auth_cases.json") else { return };
    let cases: Vec<_> = all["cases"].as_array().unwrap().iter().filter(|case| case["kind"] == "sigv4").collect();
    assert!(!cases.is_empty());
    for case in cases {
        let (given, expected) = (&case["given"], &case["expected"]);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let uri: http::Uri = text(&given["request"]["url"]).parse().unwrap();
        let (region, service) = (text(&given["signing"]["region"]), text(&given["signing"]["service"]));
        let stamp = stamp(at(&text(&given["signing"]["timestamp"])));
        let payload = text(&expected["payload_sha256"]);
        // That SDK signs the content's length as well.
        let mut headers: Vec<(String, Cow<'_, str>)> = Vec::new();
        for (name, value) in given["request"]["headers"].as_object().unwrap() {
            headers.push((name.clone(), text(value).into()));
        }
        headers.push(("x-amz-content-sha256".into(), payload.clone().into()));
        headers.push(("x-amz-date".into(), stamp.clone().into()));
        headers
            .extend(given["credentials"]["session_token"].as_str().map(|token| ("x-amz-security-token".into(), token.to_owned().into())));
        let (canonical, names) = canonical_request(&text(&given["request"]["method"]), uri.path(), "", headers, &payload, true);
        assert_eq!(hash(canonical.as_bytes()), text(&expected["canonical_request_sha256"]));
        let scope = scope(&stamp, &region, &service);
        let secret = text(&given["credentials"]["secret_access_key"]);
        let signed = signature(&secret, &stamp, &region, &service, &string_to_sign(&stamp, &scope, &canonical));
        let authorization = format!("AWS4-HMAC-SHA256 Credential={KEY_ID}/{scope}, SignedHeaders={names}, Signature={signed}");
        assert_eq!(authorization, text(&expected["headers"]["authorization"]), "{}", case["id"]);
    }
}

#[test]
fn stamps_are_in_utc() {
    assert_eq!(stamp(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)), "20270115T080000Z");
}

proptest! {
    #[test]
    fn no_path_or_query_panics(path in "/[a-z%/.:é ]{0,30}", query in "[a-z%=&+é]{0,30}") {
        let canonical = canonical_path(&path, true);
        prop_assert!(canonical.starts_with('/') && canonical.is_ascii());
        prop_assert!(canonical_query(&query).is_ascii());
    }
}
