//! Failures, both ways.

use http::{HeaderMap, HeaderValue, StatusCode};

use super::super::Bedrock;
use super::json;
use crate::base::framing::Framing;
use crate::base::{Fault, FaultKind, Origin};
use crate::dialect::Codec;
use crate::ir::Event;

fn decode(status: u16, kind: Option<&str>, body: &str) -> Fault {
    let mut headers = HeaderMap::new();
    if let Some(kind) = kind {
        headers.insert("x-amzn-errortype", HeaderValue::from_str(kind).unwrap());
    }
    Bedrock.decode_error(StatusCode::from_u16(status).unwrap(), &headers, body.as_bytes())
}

#[test]
fn reads_every_error() {
    let message = r#"{"message":"why"}"#;
    let cases = [
        (400, Some("ValidationException:http://internal.amazon.com/coral/com.amazon.bedrock/"), message, FaultKind::BadRequest),
        (400, Some("ValidationException"), r#"{"message":"Input is too long for requested model."}"#, FaultKind::ContextTooLong),
        (400, Some("ValidationException"), r#"{"message":"The provided model identifier is invalid."}"#, FaultKind::ModelNotFound),
        (400, Some("ServiceQuotaExceededException"), message, FaultKind::RateLimited),
        (403, Some("AccessDeniedException"), message, FaultKind::Forbidden),
        (403, Some("UnrecognizedClientException"), message, FaultKind::Unauthenticated),
        (403, Some("InvalidSignatureException"), message, FaultKind::Unauthenticated),
        (403, Some("ExpiredTokenException:http://x"), message, FaultKind::Unauthenticated),
        (404, Some("ResourceNotFoundException"), message, FaultKind::ModelNotFound),
        (404, None, r#"{"__type":"com.amazon.coral.service#UnknownOperationException"}"#, FaultKind::NotFound),
        (408, Some("ModelTimeoutException"), message, FaultKind::Timeout),
        (424, Some("ModelErrorException"), r#"{"message":"m","originalStatusCode":503}"#, FaultKind::Overloaded),
        (424, Some("ModelErrorException"), message, FaultKind::UpstreamFailed),
        (429, Some("ThrottlingException"), r#"{"Message":"why"}"#, FaultKind::RateLimited),
        (429, Some("ModelNotReadyException"), message, FaultKind::RateLimited),
        (500, Some("InternalServerException"), message, FaultKind::UpstreamFailed),
        (503, Some("ServiceUnavailableException"), message, FaultKind::Overloaded),
        (400, None, message, FaultKind::BadRequest),
        (413, None, "", FaultKind::TooLarge),
        (403, None, "", FaultKind::Forbidden),
        (404, None, "nothing", FaultKind::ModelNotFound),
        (429, None, "<html>", FaultKind::RateLimited),
        (502, None, "<html>", FaultKind::UpstreamFailed),
        (504, None, "", FaultKind::Timeout),
    ];
    for (status, kind, body, wanted) in cases {
        let fault = decode(status, kind, body);
        assert_eq!((fault.kind, fault.status), (wanted, Some(status)), "{status} {kind:?} {body}");
        assert!(!fault.client_text.is_empty());
        let own = matches!(fault.kind, FaultKind::BadRequest | FaultKind::TooLarge);
        assert_eq!(fault.origin == Origin::Downstream, own || fault.kind == FaultKind::ContextTooLong, "{status} {kind:?} {body}");
    }
    assert_eq!(decode(400, None, r#"{"message":"why"}"#).client_text, "why");
    assert_eq!(decode(429, None, r#"{"Message":"why"}"#).client_text, "why");
    let long = format!(r#"{{"message":"{}"}}"#, "é".repeat(5000));
    assert!(decode(400, None, &long).client_text.len() <= 2048);
}

const KINDS: [FaultKind; 20] = [
    FaultKind::BadRequest,
    FaultKind::TooLarge,
    FaultKind::NotFound,
    FaultKind::MethodNotAllowed,
    FaultKind::Unauthenticated,
    FaultKind::Forbidden,
    FaultKind::ModelNotFound,
    FaultKind::Unsupported,
    FaultKind::ContextTooLong,
    FaultKind::Blocked,
    FaultKind::RateLimited,
    FaultKind::BudgetExhausted,
    FaultKind::Overloaded,
    FaultKind::Unreachable,
    FaultKind::Timeout,
    FaultKind::UpstreamFailed,
    FaultKind::UpstreamProtocol,
    FaultKind::Truncated,
    FaultKind::Draining,
    FaultKind::Internal,
];

#[test]
fn writes_every_error_as_its_sdk_reads_it() {
    let id = super::reply().id;
    for kind in KINDS {
        let fault = Fault::new(kind, Origin::Gateway, "why \"é\"");
        let (name, value) = Bedrock.error_header(&fault).unwrap();
        assert!(name == "x-amzn-errortype" && value.ends_with("Exception"));
        let status = Bedrock.error_status(&fault);
        assert!(status.is_client_error() || status.is_server_error());
        let mut out = Vec::new();
        Bedrock.encode_error(&fault, id, &mut out);
        assert_eq!(json(&out), serde_json::json!({"message": "why \"é\""}));
        let again = decode(status.as_u16(), Some(value), std::str::from_utf8(&out).unwrap());
        assert_eq!(again.client_text, fault.client_text);
        // One that may pass is still one that may pass.
        assert!(!kind.may_pass() || again.kind.may_pass(), "{kind:?} becomes {:?}", again.kind);

        let mut wire = Vec::new();
        Bedrock.encode_stream_error(&fault, id, Framing::EventStream, true, &mut wire);
        let frames = super::streams::frames(&wire);
        assert_eq!(frames.len(), 1);
        assert!(frames[0].name.ends_with(b"Exception"));
        let mut told = None;
        let mut decoder = Bedrock.stream_decoder();
        decoder
            .decode(&frames[0], &mut |event| {
                if let Event::Fault(fault) = event {
                    told = Some(fault);
                }
            })
            .unwrap();
        let told = told.unwrap();
        assert_eq!(told.client_text, fault.client_text);
        assert!(!kind.may_pass() || told.kind.may_pass(), "{kind:?} becomes {:?}", told.kind);
    }
}
