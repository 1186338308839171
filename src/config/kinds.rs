//! Kinds of providers, as data: where each is, what it speaks, how its key travels, which models are its own.

use crate::ir::Dialect;

/// A kind of provider.
#[derive(Debug)]
pub struct Kind {
    /// What `kind` says.
    pub name: &'static str,
    /// What it speaks, the preferred first.
    pub dialects: &'static [Dialect],
    /// Where it is, unless the configuration says otherwise.
    pub base: Base,
    /// How its key travels.
    pub auth: Auth,
    /// The environment variables that customarily hold its key, the best known first.
    pub key_variables: &'static [&'static str],
    /// Whether it refuses requests without a key, and knows no other credential.
    pub key_needed: bool,
    /// Whether it is there without being configured where one of those variables is set.
    pub found_by_key: bool,
    /// The bare model names that it claims, as patterns.
    pub claims: &'static [&'static str],
}

/// Where a kind of provider is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// At this base URL.
    Url(&'static str),
    /// Azure: at each resource's own host.
    Azure,
    /// Vertex AI: at each location's host, below each project's path.
    Vertex,
    /// Amazon Bedrock: at each region's host.
    Bedrock,
    /// In this process.
    Embedded,
}

/// How a key travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// `authorization: Bearer KEY`.
    Bearer,
    /// In a header of its own.
    Header(&'static str),
}

/// Every kind that this version knows.
pub const KINDS: &[Kind] = &[
    hosted("openai", CHAT_AND_RESPONSES, "https://api.openai.com/v1", &["OPENAI_API_KEY"], OPENAI_CLAIMS),
    Kind {
        name: "anthropic",
        dialects: &[Dialect::Anthropic],
        base: Base::Url("https://api.anthropic.com/v1"),
        auth: Auth::Header("x-api-key"),
        key_variables: &["ANTHROPIC_API_KEY"],
        key_needed: true,
        found_by_key: true,
        claims: &["claude-*"],
    },
    Kind {
        name: "gemini",
        dialects: GEMINI,
        base: Base::Url("https://generativelanguage.googleapis.com/v1beta"),
        auth: Auth::Header("x-goog-api-key"),
        key_variables: &["GEMINI_API_KEY", "GOOGLE_API_KEY"],
        key_needed: true,
        found_by_key: true,
        claims: GEMINI_CLAIMS,
    },
    cloud("vertex", GEMINI, Base::Vertex, Auth::Header("x-goog-api-key"), &[], GEMINI_CLAIMS),
    cloud("bedrock", &[Dialect::Bedrock], Base::Bedrock, Auth::Bearer, &["AWS_BEARER_TOKEN_BEDROCK"], BEDROCK_CLAIMS),
    // A deployment has whatever name its owner gave it.
    cloud("azure", CHAT_AND_RESPONSES, Base::Azure, Auth::Header("api-key"), &["AZURE_OPENAI_API_KEY"], &[]),
    hosted("mistral", CHAT, "https://api.mistral.ai/v1", &["MISTRAL_API_KEY"], MISTRAL_CLAIMS),
    // Hosts of other vendors' models claim none of their names: which host is meant must be said.
    hosted("groq", CHAT_AND_RESPONSES, "https://api.groq.com/openai/v1", &["GROQ_API_KEY"], &[]),
    hosted("deepseek", CHAT_AND_RESPONSES, "https://api.deepseek.com/v1", &["DEEPSEEK_API_KEY"], &["deepseek-*"]),
    hosted("xai", CHAT_AND_RESPONSES, "https://api.x.ai/v1", &["XAI_API_KEY"], &["grok-*"]),
    hosted("openrouter", CHAT_AND_RESPONSES, "https://openrouter.ai/api/v1", &["OPENROUTER_API_KEY"], &[]),
    hosted("together", CHAT, "https://api.together.ai/v1", &["TOGETHER_API_KEY"], &[]),
    hosted("fireworks", CHAT, "https://api.fireworks.ai/inference/v1", &["FIREWORKS_API_KEY"], &["accounts/fireworks/*"]),
    hosted("cerebras", CHAT, "https://api.cerebras.ai/v1", &["CEREBRAS_API_KEY"], &[]),
    hosted("perplexity", CHAT, "https://api.perplexity.ai", &["PERPLEXITY_API_KEY"], &["sonar", "sonar-*"]),
    hosted("cohere", CHAT, "https://api.cohere.ai/compatibility/v1", &["CO_API_KEY", "COHERE_API_KEY"], &["command-*", "c4ai-*"]),
    hosted("huggingface", CHAT, "https://router.huggingface.co/v1", &["HF_TOKEN"], &[]),
    hosted("nvidia", CHAT, "https://integrate.api.nvidia.com/v1", &["NVIDIA_API_KEY"], &[]),
    hosted("moonshot", CHAT, "https://api.moonshot.ai/v1", &["MOONSHOT_API_KEY"], &["kimi-*", "moonshot-*"]),
    hosted("zai", CHAT, "https://api.z.ai/api/paas/v4", &["ZAI_API_KEY"], &["glm-*"]),
    hosted("sambanova", CHAT, "https://api.sambanova.ai/v1", &["SAMBANOVA_API_KEY"], &[]),
    hosted("nebius", CHAT, "https://api.studio.nebius.ai/v1", &["NEBIUS_API_KEY"], &[]),
    // The international host; the Chinese one has the same path.
    hosted("dashscope", CHAT, "https://dashscope-intl.aliyuncs.com/compatible-mode/v1", &["DASHSCOPE_API_KEY"], &["qwen-*", "qwen3-*"]),
    // Vendors whose key variable names no one else: zero-config sends a key to nobody but the vendor that it is for.
    hosted("aihubmix", CHAT, "https://aihubmix.com/v1", &["AIHUBMIX_API_KEY"], &[]),
    hosted("chutes", CHAT, "https://llm.chutes.ai/v1", &["CHUTES_API_KEY"], &[]),
    hosted("crusoe", CHAT, "https://api.inference.crusoecloud.com/v1", &["CRUSOE_API_KEY"], &[]),
    hosted("helicone", CHAT, "https://ai-gateway.helicone.ai", &["HELICONE_API_KEY"], &[]),
    hosted("nanogpt", CHAT, "https://nano-gpt.com/api/v1", &["NANOGPT_API_KEY"], &[]),
    hosted("parasail", CHAT_AND_RESPONSES, "https://api.parasail.io/v1", &["PARASAIL_API_KEY"], &[]),
    hosted("poe", CHAT, "https://api.poe.com/v1", &["POE_API_KEY"], &[]),
    hosted("publicai", CHAT, "https://api.publicai.co/v1", &["PUBLICAI_API_KEY"], &[]),
    hosted("reka", CHAT, "https://api.reka.ai/v1", &["REKA_API_KEY"], &["reka-*"]),
    hosted("scaleway", CHAT, "https://api.scaleway.ai/v1", &["SCW_SECRET_KEY"], &[]),
    hosted("synthetic", CHAT, "https://api.synthetic.new/openai/v1", &["SYNTHETIC_API_KEY"], &[]),
    hosted("venice", CHAT, "https://api.venice.ai/api/v1", &["VENICE_AI_API_KEY"], &[]),
    hosted("xiaomi", CHAT, "https://api.xiaomimimo.com/v1", &["XIAOMI_MIMO_API_KEY"], &["mimo-*"]),
    local("ollama", CHAT_AND_RESPONSES, "http://127.0.0.1:11434/v1", &["OLLAMA_API_KEY"]),
    local("vllm", CHAT_AND_RESPONSES, "http://127.0.0.1:8000/v1", &["VLLM_API_KEY"]),
    local("llamacpp", CHAT_AND_RESPONSES, "http://127.0.0.1:8080/v1", &["LLAMA_API_KEY"]),
    local("lmstudio", CHAT_AND_RESPONSES, "http://127.0.0.1:1234/v1", &[]),
    local("sglang", CHAT, "http://127.0.0.1:30000/v1", &[]),
    cloud("echo", CHAT, Base::Embedded, Auth::Bearer, &[], &["echo"]),
];

const OPENAI_CLAIMS: &[&str] = &["gpt-*", "o1*", "o3*", "o4*", "chatgpt-*", "text-embedding-*", "ft:*", "codex-*", "computer-use-*"];

const GEMINI_CLAIMS: &[&str] = &["gemini-*"];

/// Bedrock's ids name the model's maker, after the region where they are inference profiles.
const BEDROCK_CLAIMS: &[&str] = &["anthropic.claude-*", "*.anthropic.claude-*", "amazon.*", "*.amazon.*", "arn:aws*:bedrock:*"];

const MISTRAL_CLAIMS: &[&str] =
    &["mistral-*", "ministral-*", "magistral-*", "codestral-*", "devstral-*", "pixtral-*", "voxtral-*", "open-mistral-*", "open-mixtral-*"];

/// OpenAI's older dialect alone.
const CHAT: &[Dialect] = &[Dialect::OpenAiChat];
/// Both of OpenAI's; callers of another are served in the older one, which loses less.
const CHAT_AND_RESPONSES: &[Dialect] = &[Dialect::OpenAiChat, Dialect::OpenAiResponses];
const GEMINI: &[Dialect] = &[Dialect::Gemini];

/// A vendor in the net that speaks OpenAI's dialect and wants a key.
const fn hosted(
    name: &'static str,
    dialects: &'static [Dialect],
    base_url: &'static str,
    key_variables: &'static [&'static str],
    claims: &'static [&'static str],
) -> Kind {
    Kind { name, dialects, base: Base::Url(base_url), auth: Auth::Bearer, key_variables, key_needed: true, found_by_key: true, claims }
}

/// A server of one's own that speaks OpenAI's dialect and mostly wants no key.
const fn local(name: &'static str, dialects: &'static [Dialect], base_url: &'static str, key_variables: &'static [&'static str]) -> Kind {
    Kind {
        name,
        dialects,
        base: Base::Url(base_url),
        auth: Auth::Bearer,
        key_variables,
        key_needed: false,
        found_by_key: false,
        claims: &[],
    }
}

/// A provider that is where its configuration says, and that a key is one way of several to be known by.
const fn cloud(
    name: &'static str,
    dialects: &'static [Dialect],
    base: Base,
    auth: Auth,
    key_variables: &'static [&'static str],
    claims: &'static [&'static str],
) -> Kind {
    Kind { name, dialects, base, auth, key_variables, key_needed: false, found_by_key: true, claims }
}

/// The kind of this name.
pub fn kind(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name)
}

/// The bare model names that a provider of this kind claims by default, as patterns with `*`.
pub fn claims(kind_name: &str) -> &'static [&'static str] {
    kind(kind_name).map(|kind| kind.claims).unwrap_or_default()
}
