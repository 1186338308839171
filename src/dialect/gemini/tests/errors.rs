//! Failures, both ways.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::super::Gemini;
use super::{json as parse, reply};
use crate::base::framing::Framing;
use crate::base::{Fault, FaultKind, Origin};
use crate::dialect::Codec;

fn own(status: u16, word: &str, message: &str, details: Value) -> String {
    json!({"error": {"code": status, "message": message, "status": word, "details": details}}).to_string()
}

#[test]
fn reads_every_error() {
    let reason = |reason: &str| json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}]);
    let none = || json!([]);
    let daily = json!([{"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}]);
    let cases = [
        (400, own(400, "INVALID_ARGUMENT", "bad 429", none()), FaultKind::BadRequest),
        (400, own(400, "FAILED_PRECONDITION", "not so", none()), FaultKind::BadRequest),
        (400, own(400, "INVALID_ARGUMENT", "no", reason("API_KEY_INVALID")), FaultKind::Unauthenticated),
        (400, own(400, "INVALID_ARGUMENT", "API key expired. Please renew the API key.", none()), FaultKind::Unauthenticated),
        (400, own(400, "FAILED_PRECONDITION", "User location is not supported for the API use.", none()), FaultKind::Forbidden),
        (
            400,
            own(400, "INVALID_ARGUMENT", "The input token count (9) exceeds the maximum number of tokens allowed (8).", none()),
            FaultKind::ContextTooLong,
        ),
        (401, own(401, "UNAUTHENTICATED", "no", none()), FaultKind::Unauthenticated),
        (403, own(403, "PERMISSION_DENIED", "no", none()), FaultKind::Forbidden),
        (403, own(403, "PERMISSION_DENIED", "Method doesn't allow unregistered callers", none()), FaultKind::Unauthenticated),
        (403, own(403, "PERMISSION_DENIED", "no", reason("BILLING_DISABLED")), FaultKind::BudgetExhausted),
        (404, own(404, "NOT_FOUND", "models/x is not found", none()), FaultKind::ModelNotFound),
        (404, String::new(), FaultKind::NotFound),
        (413, String::new(), FaultKind::TooLarge),
        (429, own(429, "RESOURCE_EXHAUSTED", "slow", none()), FaultKind::RateLimited),
        (429, own(429, "RESOURCE_EXHAUSTED", "slow", daily), FaultKind::BudgetExhausted),
        (429, format!("[{}]", own(429, "RESOURCE_EXHAUSTED", "slow", none())), FaultKind::RateLimited),
        (499, own(499, "CANCELLED", "gone", none()), FaultKind::UpstreamFailed),
        (500, own(500, "INTERNAL", "oops", none()), FaultKind::UpstreamFailed),
        (500, own(500, "DEADLINE_EXCEEDED", "late", none()), FaultKind::Timeout),
        (502, "<html>bad gateway</html>".to_owned(), FaultKind::UpstreamFailed),
        (503, own(503, "UNAVAILABLE", "busy", none()), FaultKind::Overloaded),
        (504, own(504, "DEADLINE_EXCEEDED", "late", none()), FaultKind::Timeout),
    ];
    for (status, body, kind) in cases {
        let fault = Gemini.decode_error(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.as_bytes());
        assert_eq!((fault.kind, fault.status), (kind, Some(status)), "{status} {body}");
        assert!(!fault.client_text.is_empty() && !fault.client_text.starts_with(['{', '[']), "{body}");
    }
    let long = Gemini.decode_error(StatusCode::BAD_GATEWAY, &HeaderMap::new(), &[b'x'; 9999]);
    assert_eq!(long.client_text.len(), 2048);
}

#[test]
fn reads_when_to_come_back() {
    let cases = [
        ("34s", Some(Duration::from_secs(34))),
        ("34.4s", Some(Duration::from_millis(34_400))),
        ("0s", Some(Duration::ZERO)),
        ("-1s", None),
        ("1e300s", None),
        ("NaNs", None),
        ("soon", None),
    ];
    for (wait, wanted) in cases {
        let body =
            own(429, "RESOURCE_EXHAUSTED", "slow", json!([{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": wait}]));
        let fault = Gemini.decode_error(StatusCode::TOO_MANY_REQUESTS, &HeaderMap::new(), body.as_bytes());
        assert_eq!(fault.retry_after, wanted, "{wait}");
    }
}

#[test]
fn tells_every_error() {
    let cases = [
        (FaultKind::BadRequest, 400, "INVALID_ARGUMENT"),
        (FaultKind::Unsupported, 400, "INVALID_ARGUMENT"),
        (FaultKind::ContextTooLong, 400, "INVALID_ARGUMENT"),
        (FaultKind::Blocked, 400, "INVALID_ARGUMENT"),
        (FaultKind::Unauthenticated, 401, "UNAUTHENTICATED"),
        (FaultKind::Forbidden, 403, "PERMISSION_DENIED"),
        (FaultKind::NotFound, 404, "NOT_FOUND"),
        (FaultKind::ModelNotFound, 404, "NOT_FOUND"),
        (FaultKind::MethodNotAllowed, 405, "UNIMPLEMENTED"),
        (FaultKind::TooLarge, 413, "INVALID_ARGUMENT"),
        (FaultKind::RateLimited, 429, "RESOURCE_EXHAUSTED"),
        (FaultKind::BudgetExhausted, 429, "RESOURCE_EXHAUSTED"),
        (FaultKind::Internal, 500, "INTERNAL"),
        (FaultKind::UpstreamFailed, 502, "INTERNAL"),
        (FaultKind::UpstreamProtocol, 502, "INTERNAL"),
        (FaultKind::Truncated, 502, "INTERNAL"),
        (FaultKind::Unreachable, 502, "UNAVAILABLE"),
        (FaultKind::Overloaded, 503, "UNAVAILABLE"),
        (FaultKind::Draining, 503, "UNAVAILABLE"),
        (FaultKind::Timeout, 504, "DEADLINE_EXCEEDED"),
    ];
    let id = reply(Framing::Sse).id;
    for (kind, status, word) in cases {
        let fault = Fault::new(kind, Origin::Gateway, "why \"so\"");
        assert_eq!(Gemini.error_status(&fault).as_u16(), status, "{kind:?}");
        let mut out = Vec::new();
        Gemini.encode_error(&fault, id, &mut out);
        assert_eq!(parse(&out), json!({"error": {"code": status, "message": "why \"so\"", "status": word}}));
        let event = |framing, begun| {
            let mut event = Vec::new();
            Gemini.encode_stream_error(&fault, id, framing, begun, &mut event);
            event
        };
        assert_eq!(event(Framing::Sse, true), [b"data: ", &out[..], b"\r\n\r\n"].concat());
        assert_eq!(event(Framing::JsonArray, false), [b"[", &out[..], b"]"].concat());
        assert_eq!(event(Framing::JsonArray, true), [b",\r\n", &out[..], b"]"].concat());
    }
}

#[test]
fn details_come_and_go() {
    let fault = Fault::bad_request("contents: no").at("contents").code("odd").after(Some(Duration::from_millis(1500)));
    let mut out = Vec::new();
    Gemini.encode_error(&fault, reply(Framing::Sse).id, &mut out);
    let kinds: Vec<Value> = parse(&out)["error"]["details"].as_array().unwrap().iter().map(|d| d["@type"].clone()).collect();
    let wanted = ["ErrorInfo", "BadRequest", "RetryInfo"].map(|kind| json!(format!("type.googleapis.com/google.rpc.{kind}")));
    assert_eq!(kinds, wanted);
    let again = Gemini.decode_error(StatusCode::BAD_REQUEST, &HeaderMap::new(), &out);
    assert_eq!((again.param.as_deref(), again.code.as_deref(), again.retry_after), (Some("contents"), Some("odd"), fault.retry_after));
}
