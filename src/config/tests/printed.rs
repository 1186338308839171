//! Tests of what is printed: `print-config`, and the example.

use super::*;

/// A configuration in which every key differs from its default.
pub(super) const EVERYTHING: &str = r#"
[listen]
app = "127.0.0.1:0"
unix = "/run/app.sock"
admin = "[::1]:0"
drain_timeout = "0s"
hosts = ["gateway.internal", "[::1]"]
origins = ["https://app.example.com"]
workers = 2
[identity]
team = "a \"quoted\" team"
app = "env:OUTRIDER_APP"
require_key = true
[state]
dir = "env:OUTRIDER_STATE"
max_bytes = "17MB"
sync = "always"
on_full = "deny"
[bounds]
head_bytes_max = "10001B"
headers_max = 7
body_bytes_max = "1MB"
answer_bytes_max = "2MiB"
event_bytes_max = "3KiB"
connections_max = 4
exchanges_max = 5
held_bytes_max = "6GiB"
idle_connections_max = 0
head_timeout = "1500ms"
body_idle_timeout = "1h 1m"
[providers."with.dot"]
kind = "openai"
api_key = "sk-very-secret"
base_url = "https://gateway.example.com:8443/openai/?api-version=1&code=x&api_key=sk-in-query"
headers = { openai-organization = "org", x-secret = "sk-in-header", y = "file:/etc/key" }
ca_file = "ca.pem"
http_version = "2"
models = ["a", "b/*"]
[providers.plain]
kind = "vllm"
base_url = "http://10.0.0.1:80"
http_version = "1.1"
models = []
[providers.azure]
kind = "azure"
dialects = ["openai_chat"]
base_url = "https://res.openai.azure.com/openai/deployments/four?api-version=2024-10-21"
tenant_id = "t"
client_id = "c"
client_secret = "sk-azure"
[providers.vertex]
kind = "vertex"
project = "p"
location = "europe-west1"
credentials_file = "google.json"
[providers.keys]
kind = "bedrock"
region = "us-east-1"
access_key_id = "sk-id"
secret_access_key = "sk-secret"
session_token = "sk-session"
[providers.role]
kind = "bedrock"
region = "eu-west-1"
dialects = ["anthropic"]
role_arn = "arn:aws:iam::1:role/r"
web_identity_token_file = "token"
[providers.profile]
kind = "bedrock"
region = "us-gov-west-1"
profile = "prod"
[providers.echo]
kind = "echo"
[[models]]
name = "m"
targets = [{ provider = "plain", model = "x" }, { provider = "with.dot", model = "y" }]
strategy = "cheapest"
latency_target = { p50_total = "9s", p95_first_token = "800ms" }
hedge = { after_p = 90 }
retry = { attempts = 9 }
timeout = { connect = "1s", first_token = "2s", idle = "3s", total = "4s" }
strict = true
[[routes]]
name = "all of it"
when = { model = ["auto", "gpt-*"], operation = "chat", stream = true, min_input_tokens = 1, max_input_tokens = 2, min_messages = 3, max_messages = 4, min_output_tokens = 5, max_output_tokens = 6, min_difficulty = 0.25, max_difficulty = 1, has_tools = false, has_images = true, has_documents = false, has_audio = true, has_video = false, structured_output = true, reasoning = false, team = "t", app = ["a", "b*"], user = "u", key = "k*", tag = "env=prod", headers = { X-Env = "staging-*", x-b = "*" }, hours = "22:00-6:30", days = ["fri", "mon"], utc_offset = "-05:30", percent = 12.5, sticky = "session", words = ["c++", "Straße"], pattern = '\d{4}-"x"' }
use = "m"
[[routes]]
deny = "not here"
[[limits]]
name = "all"
per = ["team", "operation"]
when = { model = ["m", "gpt-*"], user = "bot-*" }
scope = "local"
requests_per_minute = 6_00
tokens_per_minute = 7
max_concurrent = 8
budget_usd_per_hour = 0.000000001
budget_usd_per_day = "1.50"
budget_usd_per_month = 1_000
tokens_per_hour = 1
tokens_per_day = 2
tokens_per_month = 3
time_zone = "-03:30"
on_exceed = "queue"
queue_timeout = "1s"
queue_max = 2
on_overrun = "cut"
assume_output_tokens = 9
warn_at = [0.9, 0.5]
[[limits]]
name = "other"
max_concurrent = 0
on_exceed = "degrade"
degrade_to = "m"
warn_at = []
[[keys]]
digest = "sha256:9F86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
[[keys]]
digest = "sha256:0086d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
name = "named"
team = "t"
app = "a"
user = "u"
expires = 2027-01-31T12:00:00+02:00
models = ["m"]
limits = { per = ["user"], requests_per_minute = 1 }
[[prices]]
provider = "plain"
model = "x*"
input_usd = 1_0.50
cached_input_usd = 0.000001
cache_write_usd = 0
output_usd = 3
reasoning_usd = "4.25"
[[prices]]
provider = "plain"
model = "x*"
from = 2027-02-28
tier = "ultrafast"
above_input_tokens = 128_000
cache_write_1h_usd = 1
cache_write_12h_usd = 2
audio_input_usd = 3
cached_audio_input_usd = 4
audio_output_usd = 5
image_input_usd = 6
image_output_usd = 7
video_input_usd = 8
request_usd = 0.005
search_usd = 0.000001
[[capabilities]]
provider = "plain"
model = "x"
same_as = "y"
context_tokens = 1_000
output_tokens = 100
reasoning = "budget"
tools = true
parallel_tools = false
forced_tool = false
vision = true
documents = true
audio_input = true
audio_output = true
video_input = true
structured_output = false
prompt_cache = false
sampling = false
system_in_messages = true
"#;

#[test]
fn the_printed_configuration_says_the_same_without_secrets() {
    for text in ["[providers.echo]\nkind = \"echo\"", PROVIDERS, POLICY, EVERYTHING] {
        let config = loaded(text);
        let printed = render(&config);
        let again = parse(&printed).unwrap_or_else(|rejected| panic!("{rejected}\n{printed}")).config;
        assert_eq!(render(&again), printed);
        assert_eq!(again.bootstrap.bounds, config.bootstrap.bounds);
        assert_eq!(again.bootstrap.state, config.bootstrap.state);
        for secret in ["sk-", "\"k\""] {
            assert!(!printed.contains(secret), "{secret} in\n{printed}");
        }
    }
    let printed = render(&loaded(EVERYTHING));
    for line in [
        "request_usd = 0.005",
        "search_usd = 0.000001",
        "base_url = \"https://gateway.example.com:8443/openai?api-version=1&code=x&api_key=redacted\"",
        "base_url = \"http://10.0.0.1\"",
        "head_bytes_max = \"10001B\"",
        "max_bytes = \"17000000B\"",
        "sync = \"always\"",
        "on_full = \"deny\"",
        "base_url = \"https://res.openai.azure.com/openai/deployments/four?api-version=2024-10-21\"",
        "base_url = \"https://europe-west1-aiplatform.googleapis.com/v1/projects/p/locations/europe-west1\"",
        "base_url = \"https://bedrock-mantle.eu-west-1.api.aws/anthropic/v1\"",
        "# dialects, by its kind: \"bedrock\"",
        "# api_key: none, but AWS keys by a web identity",
        "web_identity_token_file = \"token\"",
        "timeout = { connect = \"1s\", first_token = \"2s\", idle = \"3s\", total = \"4s\" }",
        "latency_target = { p95_first_token = \"800ms\", p50_total = \"9s\" }",
        "hedge = { after_p = 90, max_ratio = 0.05 }",
        "retry = { attempts = 9, budget = 0.2 }",
        "hours = \"22:00-06:30\"",
        "days = [\"mon\", \"fri\"]",
        "utc_offset = \"-05:30\"",
        "percent = 12.5",
        "max_difficulty = 1.0",
        "headers = { \"x-env\" = \"staging-*\", \"x-b\" = \"*\" }",
    ] {
        assert!(printed.contains(line), "{line} not in\n{printed}");
    }
}

const EXAMPLE: &str = include_str!("../../../sidecar.toml.example");

#[test]
fn the_example_is_a_configuration_that_states_the_defaults() {
    let example = loaded(EXAMPLE);
    let sparse = "[providers.openai]\nkind = \"openai\"\n[[models]]\nname = \"fast\"\ntargets = [{ provider = \"openai\", model = \"gpt-4.1-mini\" }]\n";
    assert_eq!(render(&example), render(&loaded(sparse)));
    // What is commented out, as a default or an example, is accepted too.
    let uncommented: Vec<_> = EXAMPLE.lines().map(|line| line.strip_prefix("# ").filter(|rest| is_entry(rest)).unwrap_or(line)).collect();
    let faults = faults(&uncommented.join("\n"));
    let unread: Vec<_> =
        faults.iter().map(|fault| fault.split_once(": cannot read the file ").and_then(|(place, _)| place.split(": ").nth(1))).collect();
    let expected = [
        "openai.ca_file",
        "azure.client_secret",
        "vertex.credentials_file",
        "bedrock.access_key_id",
        "bedrock.secret_access_key",
        "bedrock.session_token",
        "bedrock-role.web_identity_token_file",
    ];
    assert_eq!(unread, expected.map(|key| Some(format!("providers.{key}"))).each_ref().map(|key| key.as_deref()), "{faults:?}");
}

fn is_entry(line: &str) -> bool {
    line.starts_with("[providers.")
        || line.starts_with("[routes.")
        || line.starts_with("[[")
        || line.split_once(" = ").is_some_and(|(key, _)| key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'))
}

#[test]
fn the_example_and_print_config_have_every_key() {
    let printed = render(&loaded(EVERYTHING));
    let tables = [
        keys::LISTEN,
        keys::IDENTITY,
        keys::BOUNDS,
        state::KEYS,
        keys::PROVIDER,
        keys::MODEL,
        keys::TARGET,
        keys::RETRY,
        keys::HEDGE,
        keys::TIMEOUT,
        keys::LIMITS,
        keys::KEY,
        keys::PRICES,
        keys::CAPABILITIES,
        keys::ROUTE,
        keys::WHEN,
    ];
    for key in tables.concat() {
        let entry = format!("{key} = ");
        assert!(EXAMPLE.contains(&entry), "the example lacks {key}");
        assert!(printed.contains(&entry), "print-config lacks {key}");
    }
    for table in keys::ROOT {
        assert!(EXAMPLE.contains(&format!("[{table}")) || EXAMPLE.contains(&format!("[[{table}]]")), "the example lacks [{table}]");
    }
    for kind in catalog::KINDS {
        assert!(EXAMPLE.contains(kind.name), "the example lacks the kind {}", kind.name);
    }
}
