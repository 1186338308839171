//! Laws over whatever comes.

use proptest::prelude::*;
use serde_json::Value;

use super::super::Bedrock;
use super::{CLAUDE, NOVA, decoded};
use crate::dialect::tests::mangle;
use crate::dialect::{Codec, Notes};
use crate::ir::{ModelTraits, Thinking};

const JUNK: [&str; 8] = ["null", "0", "-1.5", "true", "\"x\"", "[]", "{}", "[{\"text\":\"a\"},{\"cachePoint\":{\"type\":\"default\"}}]"];

/// A request with everything in it.
const SEED: &str = r#"{"system":[{"text":"s"},{"cachePoint":{"type":"default","ttl":"1h"}}],"inferenceConfig":{"maxTokens":9,"temperature":1,"topP":0.5,"stopSequences":["a"]},"toolConfig":{"tools":[{"toolSpec":{"name":"f.x","inputSchema":{"json":{"type":"object"}}}},{"cachePoint":{"type":"default"}}],"toolChoice":{"tool":{"name":"f.x"}}},"additionalModelRequestFields":{"thinking":{"type":"enabled","budget_tokens":2000},"top_k":4},"outputConfig":{"textFormat":{"type":"json_schema","structure":{"jsonSchema":{"schema":"{}","name":"n"}}},"effort":"low"},"serviceTier":{"type":"flex"},"requestMetadata":{"user_id":"u"},"messages":[{"role":"user","content":[{"text":"a"},{"cachePoint":{"type":"default"}},{"image":{"format":"png","source":{"bytes":"QQ=="}}},{"document":{"format":"pdf","name":"n","source":{"bytes":"QQ=="}}},{"guardContent":{"text":{"text":"g"}}}]},{"role":"assistant","content":[{"reasoningContent":{"reasoningText":{"text":"t","signature":"s"}}},{"citationsContent":{"content":[{"text":"c"}],"citations":[{"title":"t"}]}},{"toolUse":{"toolUseId":"c","name":"f.x","input":{}}}]},{"role":"user","content":[{"toolResult":{"toolUseId":"c","content":[{"text":"r"},{"json":{}}],"status":"error"}}]}]}"#;

#[test]
fn what_is_written_reads_as_the_same() {
    let traits = ModelTraits { thinking: Thinking::Budget, ..ModelTraits::default() };
    let request = decoded(SEED);
    let (mut once, mut twice) = (Vec::new(), Vec::new());
    Bedrock.encode_request(&request, CLAUDE, &traits, &mut Notes::default(), &mut once).unwrap();
    let again = Bedrock.decode_request(&once).unwrap();
    Bedrock.encode_request(&again, CLAUDE, &traits, &mut Notes::default(), &mut twice).unwrap();
    assert_eq!(super::json(&once), super::json(&twice));
    assert_eq!(format!("{:?}", request.tools).replace("f.x", "f_x").replace("description: None", ""), {
        format!("{:?}", again.tools).replace("description: Some(Escaped(\"f_x\"))", "")
    });
}

proptest! {
    /// Law: whatever a request holds, it is read and written, or refused; what is written can be read.
    #[test]
    fn mangled_requests_are_read_or_refused(place in 0usize..110, junk in prop::sample::select(JUNK.to_vec())) {
        let mut tree: Value = serde_json::from_str(SEED).unwrap();
        mangle(&mut tree, place, &serde_json::from_str(junk).unwrap());
        let body = serde_json::to_vec(&tree).unwrap();
        if let Ok(request) = Bedrock.decode_request(&body) {
            for model in [CLAUDE, NOVA, "global.amazon.nova-2-lite-v1:0", "meta.x"] {
                let mut out = Vec::new();
                if Bedrock.encode_request(&request, model, &ModelTraits::default(), &mut Notes::default(), &mut out).is_ok() {
                    prop_assert!(Bedrock.decode_request(&out).is_ok(), "{}", String::from_utf8_lossy(&out));
                }
            }
        }
    }

    /// Law: an id fits and stays apart from others.
    #[test]
    fn call_ids_fit(id in "\\PC{0,90}", other in "\\PC{0,90}") {
        use crate::dialect::call_id::fit;
        let fitted = fit(&id, b"_.:-", 64);
        prop_assert!((1..=64).contains(&fitted.len()) && fitted.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.:-".contains(&b)));
        prop_assert_eq!(id == other, fitted == fit(&other, b"_.:-", 64));
    }
}
