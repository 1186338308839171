use http::StatusCode;

use super::*;
use crate::base::FaultKind as K;

/// Status and body; kind, text, code and param.
type Case = (u16, &'static str, K, &'static str, Option<&'static str>, Option<&'static str>);

#[test]
fn every_shape_of_error_is_read() {
    let cases: &[Case] = &[
        (
            400,
            r#"{"error":{"message":"bad","type":"invalid_request_error","param":"messages","code":null}}"#,
            K::BadRequest,
            "bad",
            None,
            Some("messages"),
        ),
        (
            400,
            r#"{"error":{"message":"long","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#,
            K::ContextTooLong,
            "long",
            Some("context_length_exceeded"),
            Some("messages"),
        ),
        (
            400,
            r#"{"object":"error","message":"This model's maximum context length is 2048 tokens.","type":"BadRequestError","param":null,"code":400}"#,
            K::ContextTooLong,
            "This model's maximum context length is 2048 tokens.",
            None,
            None,
        ),
        (
            400,
            r#"{"error":{"message":"filtered","code":"content_filter","innererror":{}}}"#,
            K::Blocked,
            "filtered",
            Some("content_filter"),
            None,
        ),
        (
            401,
            r#"{"error":{"message":"Incorrect API key","type":"invalid_request_error","code":"invalid_api_key"}}"#,
            K::Unauthenticated,
            "Incorrect API key",
            Some("invalid_api_key"),
            None,
        ),
        (
            402,
            r#"{"error":{"message":"Insufficient Balance","code":"invalid_request_error"}}"#,
            K::BudgetExhausted,
            "Insufficient Balance",
            Some("invalid_request_error"),
            None,
        ),
        (403, r#"{"error":{"message":"no","type":"permission_error"}}"#, K::Forbidden, "no", None, None),
        (404, r#"{"error":{"message":"no model","code":"model_not_found"}}"#, K::ModelNotFound, "no model", Some("model_not_found"), None),
        (
            413,
            r#"{"error":{"message":"Request too large for model","type":"tokens","code":"rate_limit_exceeded"}}"#,
            K::TooLarge,
            "Request too large for model",
            Some("rate_limit_exceeded"),
            None,
        ),
        (413, "Payload Too Large", K::TooLarge, "Payload Too Large", None, None),
        (
            422,
            r#"{"detail":[{"loc":["body"],"msg":"field required"}]}"#,
            K::BadRequest,
            r#"[{"loc":["body"],"msg":"field required"}]"#,
            None,
            None,
        ),
        (
            403,
            r#"{"error":{"code":403,"message":"Your input was flagged","metadata":{"reasons":["violence"],"flagged_input":"x","provider_name":"p"}}}"#,
            K::Blocked,
            "Your input was flagged",
            None,
            None,
        ),
        (425, "", K::UpstreamFailed, "The provider answered 425 Too Early and did not say why.", None, None),
        (
            429,
            r#"{"error":{"message":"Request too large for gpt-4o: Limit 30000, Requested 30601.","type":"tokens","code":"rate_limit_exceeded"}}"#,
            K::RateLimited,
            "Request too large for gpt-4o: Limit 30000, Requested 30601.",
            Some("rate_limit_exceeded"),
            None,
        ),
        (
            429,
            r#"{"error":{"message":"quota","type":"insufficient_quota","code":"insufficient_quota"}}"#,
            K::BudgetExhausted,
            "quota",
            Some("insufficient_quota"),
            None,
        ),
        (429, r#"{"message":"Requests rate limit exceeded"}"#, K::RateLimited, "Requests rate limit exceeded", None, None),
        (
            429,
            r#"{"object":"error","message":"Rate limit exceeded","type":"rate_limited","code":"1300"}"#,
            K::RateLimited,
            "Rate limit exceeded",
            Some("1300"),
            None,
        ),
        (
            429,
            r#"[{"error":{"code":429,"message":"Resource exhausted","status":"RESOURCE_EXHAUSTED"}}]"#,
            K::RateLimited,
            "Resource exhausted",
            None,
            None,
        ),
        (408, "", K::Timeout, "The provider answered 408 Request Timeout and did not say why.", None, None),
        (409, "{}", K::UpstreamFailed, "The provider answered 409 Conflict and did not say why.", None, None),
        (500, r#"{"error":"model \"x\" crashed"}"#, K::UpstreamFailed, "model \"x\" crashed", None, None),
        (502, "<html>\r\n<h1>502 Bad Gateway</h1>\u{7}</html>", K::UpstreamFailed, "<html>\n<h1>502 Bad Gateway</h1> </html>", None, None),
        (503, r#"{"error":{"message":"busy","type":"server_error","code":503}}"#, K::Overloaded, "busy", None, None),
        (504, "", K::Timeout, "The provider answered 504 Gateway Timeout and did not say why.", None, None),
        // An echoed prompt must not decide.
        (
            500,
            r#"{"error":{"message":"prompt was: 429 rate limit, maximum context length"}}"#,
            K::UpstreamFailed,
            "prompt was: 429 rate limit, maximum context length",
            None,
            None,
        ),
    ];
    for (status, body, kind, text, code, param) in cases {
        let fault = OpenAiChat.decode_error(StatusCode::from_u16(*status).unwrap(), &http::HeaderMap::new(), body.as_bytes());
        assert_eq!((fault.kind, fault.status), (*kind, Some(*status)), "{status} {body}");
        assert_eq!((&*fault.client_text, fault.code.as_deref(), fault.param.as_deref()), (*text, *code, *param), "{status} {body}");
    }
    let long = "é".repeat(5000);
    assert!(OpenAiChat.decode_error(StatusCode::BAD_GATEWAY, &http::HeaderMap::new(), long.as_bytes()).client_text.len() <= 2048);
    let behind =
        br#"{"error":{"code":429,"message":"Provider returned error","metadata":{"raw":"slow","provider_name":"X"}},"user_id":"u"}"#;
    assert_eq!(
        OpenAiChat.decode_error(StatusCode::TOO_MANY_REQUESTS, &http::HeaderMap::new(), behind).operator_text.as_deref(),
        Some("slow")
    );
}

#[test]
fn errors_have_all_four_members() {
    let id = reply().id;
    let written = |fault: &Fault| {
        let mut out = Vec::new();
        OpenAiChat.encode_error(fault, id, &mut out);
        value(&out)
    };
    assert_eq!(
        written(&Fault::bad_request("x \"y\"")),
        json!({"error":{"message":"x \"y\"","type":"invalid_request_error","param":null,"code":null}})
    );
    assert_eq!(
        written(&Fault::unsupported("tools", "t")),
        json!({"error":{"message":"t","type":"invalid_request_error","param":"tools","code":"unsupported_parameter"}})
    );
    assert_eq!(
        written(&Fault::upstream(K::RateLimited, "r").code("tokens_used")),
        json!({"error":{"message":"r","type":"rate_limit_error","param":null,"code":"tokens_used"}})
    );
    let mut out = Vec::new();
    OpenAiChat.encode_stream_error(&Fault::upstream(K::Truncated, "cut"), id, crate::base::framing::Framing::Sse, true, &mut out);
    assert_eq!(out, b"data: {\"error\":{\"message\":\"cut\",\"type\":\"server_error\",\"param\":null,\"code\":\"upstream_error\"}}\n\n");
}

#[test]
fn statuses_are_those_that_the_sdk_knows() {
    let cases = [
        (K::BadRequest, 400),
        (K::TooLarge, 413),
        (K::NotFound, 404),
        (K::MethodNotAllowed, 405),
        (K::Unauthenticated, 401),
        (K::Forbidden, 403),
        (K::ModelNotFound, 404),
        (K::Unsupported, 400),
        (K::ContextTooLong, 400),
        (K::Blocked, 400),
        (K::RateLimited, 429),
        (K::BudgetExhausted, 429),
        (K::Overloaded, 503),
        (K::Unreachable, 502),
        (K::Timeout, 504),
        (K::UpstreamFailed, 502),
        (K::UpstreamProtocol, 502),
        (K::Truncated, 502),
        (K::Draining, 503),
        (K::Internal, 500),
    ];
    for (kind, status) in cases {
        let fault = Fault::new(kind, crate::base::Origin::Gateway, "x");
        assert_eq!(OpenAiChat.error_status(&fault).as_u16(), status, "{kind:?}");
    }
}
