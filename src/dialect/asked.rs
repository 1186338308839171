//! What stands at the top of a request that must be known though nobody reads the rest: whom it is for, and how it is served.

use crate::base::json::{Envelope, Raw};
use crate::ir::{Dialect, ServiceTier, Text};

/// The end user whom a request names in its dialect's own field.
pub fn user<'b>(dialect: Dialect, body: &'b [u8], envelope: &Envelope) -> Option<Text<'b>> {
    let member = |name| envelope.member(body, name);
    let within = |outer, inner| member(outer).and_then(|value| value.member(inner));
    let named = match dialect {
        Dialect::OpenAiChat | Dialect::OpenAiResponses => [member("user"), member("safety_identifier")],
        Dialect::Anthropic => [within("metadata", "user_id"), None],
        Dialect::Bedrock => [within("requestMetadata", "user_id"), None],
        Dialect::Gemini => [None, None],
    };
    named.into_iter().flatten().find_map(Text::of)
}

/// The service tier that is asked for; `None`: none, or the provider's choice.
pub fn service_tier(dialect: Dialect, body: &[u8], envelope: &Envelope) -> Option<ServiceTier> {
    let asked = match dialect {
        Dialect::Bedrock => envelope.member(body, "serviceTier").and_then(|tier| tier.member("type")),
        _ => envelope.member(body, "service_tier").or_else(|| envelope.member(body, "serviceTier")),
    };
    asked.and_then(Raw::inner).and_then(ServiceTier::named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_dialect_names_its_user() {
        let cases = [
            (Dialect::OpenAiChat, r#"{"model":"m","user":"ann"}"#, Some("ann")),
            (Dialect::OpenAiResponses, r#"{"safety_identifier":"ann"}"#, Some("ann")),
            (Dialect::OpenAiChat, r#"{"user":null,"safety_identifier":"bob"}"#, Some("bob")),
            (Dialect::OpenAiChat, r#"{"user":7}"#, None),
            (Dialect::Anthropic, r#"{"metadata":{"user_id":"a\u006en"}}"#, Some("ann")),
            (Dialect::Anthropic, r#"{"user":"ann"}"#, None),
            (Dialect::Bedrock, r#"{"requestMetadata":{"user_id":"ann"}}"#, Some("ann")),
            (Dialect::Gemini, r#"{"user":"ann"}"#, None),
        ];
        for (dialect, body, expected) in cases {
            let envelope = Envelope::read(body.as_bytes()).unwrap();
            assert_eq!(user(dialect, body.as_bytes(), &envelope).map(|user| user.read().into_owned()).as_deref(), expected, "{body}");
        }
    }

    #[test]
    fn a_tier_is_the_one_asked_for() {
        let cases = [
            (Dialect::OpenAiChat, r#"{"service_tier":"priority"}"#, Some(ServiceTier::Priority)),
            (Dialect::OpenAiChat, r#"{"service_tier":"auto"}"#, None),
            (Dialect::OpenAiChat, r#"{"service_tier":7}"#, None),
            (Dialect::Bedrock, r#"{"serviceTier":{"type":"flex"}}"#, Some(ServiceTier::Flex)),
            (Dialect::Gemini, r#"{"serviceTier":"priority"}"#, Some(ServiceTier::Priority)),
        ];
        for (dialect, body, expected) in cases {
            let envelope = Envelope::read(body.as_bytes()).unwrap();
            assert_eq!(service_tier(dialect, body.as_bytes(), &envelope), expected, "{body}");
        }
    }
}
