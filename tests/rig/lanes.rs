//! Who asks in which dialect, who answers in which, and the policy that brings them together.

use super::client::Reply;
use super::speech::{Tongue, Usage, text_of};

/// A caller's dialect and a provider's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lane {
    pub name: &'static str,
    pub caller: Tongue,
    pub provider: Tongue,
}

/// Two that pass bytes, two that translate.
pub const LANES: [Lane; 4] = [
    Lane { name: "chat", caller: Tongue::Chat, provider: Tongue::Chat },
    Lane { name: "claude", caller: Tongue::Claude, provider: Tongue::Claude },
    Lane { name: "chat2claude", caller: Tongue::Chat, provider: Tongue::Claude },
    Lane { name: "claude2gemini", caller: Tongue::Claude, provider: Tongue::Gemini },
];

impl Tongue {
    /// The kind of provider that speaks it.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Chat => "openai",
            Self::Claude => "anthropic",
            Self::Gemini => "gemini",
        }
    }

    fn version(self) -> &'static str {
        if self == Self::Gemini { "v1beta" } else { "v1" }
    }
}

/// Providers of the three dialects, `NAME-KIND`, all at one origin.
pub fn providers(name: &str, origin: &str) -> String {
    let provider = |tongue: Tongue| {
        let (kind, version) = (tongue.kind(), tongue.version());
        format!("[providers.{name}-{kind}]\nkind = \"{kind}\"\napi_key = \"sk-{name}\"\nbase_url = \"{origin}/{version}\"\n")
    };
    [Tongue::Chat, Tongue::Claude, Tongue::Gemini].map(provider).concat()
}

/// A target.
pub fn target(provider: &str, tongue: Tongue, model: &str) -> String {
    format!("{{ provider = \"{provider}-{}\", model = \"{model}\" }}", tongue.kind())
}

/// An alias of these targets, with keys of its own.
pub fn alias(name: &str, targets: &[String], keys: &str) -> String {
    format!("[[models]]\nname = \"{name}\"\ntargets = [{}]\n{keys}\n", targets.join(", "))
}

impl Lane {
    /// What is wrong with a reply that should be this mock's good answer.
    pub fn check(self, reply: &Reply, mock: &str, model: &str, number: u64, stream: bool) -> Result<(), String> {
        if reply.status != 200 || reply.cut {
            return Err(format!("status {}, cut: {}: {}", reply.status, reply.cut, reply.body));
        }
        let target = format!("{}/{model}", reply.target().split('/').next().unwrap_or_default());
        if reply.target() != target {
            return Err(format!("x-outrider-target: {}", reply.target()));
        }
        let told = reply.read(self.caller, stream);
        if told.text != text_of(mock, number) || told.ends != 1 || told.errors != 0 || !told.wrong.is_empty() {
            return Err(format!("from {}: {told:?}", reply.target()));
        }
        if self.caller == self.provider {
            let text = text_of(mock, number);
            let sent = if stream {
                self.provider.events(model, &text, Usage::ANY).0.concat()
            } else {
                self.provider.whole(model, &text, Usage::ANY)
            };
            if reply.body != sent {
                return Err(format!("sent: {sent}\ngot: {}", reply.body));
            }
        }
        Ok(())
    }
}
