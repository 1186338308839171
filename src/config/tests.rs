//! Tests of the configuration: what is accepted, where faults are told, which model a name means.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;

use super::locate::{Lines, nearest};
use super::resolve::keys;
use super::values::{base_url, digest, matches, show_duration, show_size, size};
use super::*;
use crate::base::FaultKind;
use crate::ir::{MaxTokensName, Thinking};

mod limits;
mod overrides;
mod printed;
mod providers;
mod routes;

fn env(name: &str) -> Option<String> {
    let value = match name {
        "OPENAI_API_KEY" => "sk-openai",
        "ANTHROPIC_API_KEY" => "sk-ant-1",
        "OUTRIDER_APP" => "ranker",
        "OUTRIDER_STATE" => "/var/lib/outrider",
        "OUTRIDER_BAD" => "two\nlines",
        "EMPTY" => "",
        "AWS_SHARED_CREDENTIALS_FILE" => "/etc/aws",
        _ => return None,
    };
    Some(value.to_owned())
}

fn read(path: &Path) -> io::Result<String> {
    match path.to_str() {
        Some("/etc/key") => Ok("sk-file\n".into()),
        Some("conf/key") => Ok("sk-beside\r\n".into()),
        Some("conf/ca.pem") => Ok("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n".into()),
        Some("conf/token") => Ok("eyJ-web-identity\n".into()),
        Some("/etc/aws") => {
            Ok("[default]\naws_access_key_id = AKIDDEFAULT\naws_secret_access_key = sk-d\n[prod]\naws_access_key_id=AKIDPROD\naws_secret_access_key = sk-prod\n".into())
        }
        Some("conf/google.json") => {
            Ok(r#"{"type":"authorized_user","client_id":"c","client_secret":"sk-c","refresh_token":"sk-r"}"#.into())
        }
        Some("conf/sidecar.toml") => Ok("[identity]\nteam = \"conf\"\n".into()),
        _ => Err(io::Error::new(io::ErrorKind::NotFound, "No such file or directory")),
    }
}

const OUTSIDE: Outside<'static> = Outside { env: &env, read: &read };
const EMPTY: Outside<'static> = Outside { env: &|_| None, read: &read };

fn parse(text: &str) -> Result<Loaded, Rejected> {
    Config::parse(Path::new("conf/sidecar.toml"), text, &OUTSIDE)
}

#[track_caller]
fn loaded(text: &str) -> Config {
    parse(text).unwrap_or_else(|rejected| panic!("{rejected}")).config
}

#[track_caller]
fn faults(text: &str) -> Vec<String> {
    let rejected = parse(text).err().unwrap_or_else(|| panic!("accepted: {text}"));
    rejected.faults.iter().map(Finding::to_string).collect()
}

fn warnings(text: &str) -> Vec<String> {
    parse(text).unwrap().warnings.iter().map(Finding::to_string).collect()
}

const PROVIDERS: &str = "[providers.openai]\nkind = \"openai\"\napi_key = \"k\"\n";

#[test]
fn each_fault_has_its_place_and_key_and_what_was_meant() {
    // (text, the faults without the file's name)
    let cases: &[(&str, &[&str])] = &[
        ("lisen = 1", &["1:1: lisen: unknown key (did you mean \"listen\"?)"]),
        ("[listen]\n drain = \"1s\"", &["2:2: listen.drain: unknown key (did you mean \"drain_timeout\"?)"]),
        (
            "[cache]\nenabled = true",
            &[
                "1:2: cache: unknown key (known here: listen, identity, state, bounds, providers, models, routes, limits, keys, prices, capabilities)",
            ],
        ),
        ("[listen]\napp = 4141", &["2:7: listen.app: expected a string, found a number"]),
        (
            "[listen]\napp = \"localhost:4141\"",
            &[
                "2:7: listen.app: \"localhost:4141\" is not an address: expected IP:PORT, as \"127.0.0.1:4141\" (did you mean \"127.0.0.1:4141\"?)",
            ],
        ),
        ("listen = 3", &["1:10: listen: expected a table, found a number"]),
        (
            "[bounds]\nhead_bytes_max = \"1KiB\"\nbody_bytes_max = 5\nhead_timeout = \"0s\"\nheaders_max = -1\nevent_bytes_max = \"huge\"\nbody_idle_timeout = \"soon\"",
            &[
                "2:18: bounds.head_bytes_max: \"1KiB\" is too small: at least \"8KiB\"",
                "3:18: bounds.body_bytes_max: expected a size as a string with its unit, as \"64KiB\", found a number",
                "4:16: bounds.head_timeout: is zero, so that everything would time out at once (for a very long wait write \"1day\")",
                "5:15: bounds.headers_max: expected a whole number from 1 to 10000",
                "6:19: bounds.event_bytes_max: \"huge\" is not a size (write it as \"64KiB\" or \"32MiB\")",
                "7:21: bounds.body_idle_timeout: \"soon\" is not a duration: expected number at 0 (write it as \"30s\", \"250ms\" or \"10m\")",
            ],
        ),
        (
            "[identity]\nteam = \"\"\napp = \"env:NOPE\"",
            &[
                "2:8: identity.team: is empty (leave the key out, or give it a value)",
                "3:7: identity.app: the environment variable NOPE is not set (set it, or write the value another way)",
            ],
        ),
        (
            "[listen]\napp = \"127.0.0.1:9\"\nadmin = \"127.0.0.1:9\"",
            &["3:9: listen.admin: app and admin are both 127.0.0.1:9 (give each an address of its own)"],
        ),
        (
            "[listen]\nhosts = [\"a:80\", 1]\norigins = [\"*\"]",
            &[
                "2:10: listen.hosts[0]: \"a:80\": expected a host name alone, as \"gateway.internal\", without scheme, port or path",
                "2:18: listen.hosts[1]: expected a string, found a number",
                "3:12: listen.origins[0]: \"*\": expected an origin as a browser sends it, as \"https://app.example.com\"",
            ],
        ),
        (
            "[state]\nmax_bytes = \"1MiB\"\nsync = \"1ms\"\non_full = \"drop\"\ndir = \"\"",
            &[
                "2:13: state.max_bytes: \"1MiB\" is too small: at least \"16MiB\"",
                "3:8: state.sync: \"1ms\": expected \"always\", or a duration from \"10ms\" to \"1m\"",
                "4:11: state.on_full: \"drop\": expected \"admit\" (requests are served, and counted in memory) or \"deny\" (they are refused)",
                "5:7: state.dir: is empty (leave the key out, or give it a value)",
            ],
        ),
        // Syntax.
        ("[listen]\napp = ", &["2:7: TOML syntax: string values must be quoted, expected literal string"]),
    ];
    for (text, expected) in cases {
        let expected: Vec<_> = expected.iter().map(|fault| format!("conf/sidecar.toml:{fault}")).collect();
        assert_eq!(faults(text), expected, "{text}");
    }
}

#[test]
fn faults_of_providers_and_models_are_told_together() {
    let text = r#"
[providers.openai]
kind = "openai"
api_key = "env:OUTRIDER_BAD"
base_url = "ftp://api.openai.com"
headers = { Connection = "close", x-api-key = "k", "bad name" = "x", ok = 1, twice = "a", Twice = "b", value = "a\nb" }
http_version = "3"
ca_file = "missing.pem"
models = [""]

[providers.google]
kind = "gemini"

[providers.mistral]

[providers."a/b"]
kind = "groqq"

[providers.echo]
kind = "echo"
base_url = "http://x"

[[models]]
name = "fast"
targets = [
  { provider = "opnai", model = "gpt" },
  { provider = "openai", model = "" },
  { provider = "google", model = "gemini", weight = 9 },
  {},
]
strategy = "wieghted"
retry = { attempts = 0, budget = 1.2 }
timeout = { total = "0s", firs_token = "1s" }
strict = "no"

[[models]]
name = "fast"
targets = []

[[models]]
targets = 3
"#;
    let expected = [
        "4:11: providers.openai.api_key: has characters that no header can carry (is there a line break inside?)",
        "5:12: providers.openai.base_url: has the scheme \"ftp\", expected http or https",
        "6:13: providers.openai.headers.Connection: the header connection belongs to one connection and cannot be set here",
        "6:35: providers.openai.headers.x-api-key: the header x-api-key is a credential, which belongs into api_key",
        "6:52: providers.openai.headers.\"bad name\": \"bad name\" is not a header name (letters, digits and \"-\")",
        "6:70: providers.openai.headers.ok: expected a string, found a number",
        "6:91: providers.openai.headers.Twice: the header twice is set twice (names do not differ by case)",
        "6:104: providers.openai.headers.value: the value of value has characters that no header can carry",
        "7:16: providers.openai.http_version: expected \"auto\", \"1.1\" or \"2\", found \"3\"",
        "8:11: providers.openai.ca_file: cannot read the file conf/missing.pem: No such file or directory (check the path; a relative one in a file starts from that file's folder)",
        "9:11: providers.openai.models[0]: is empty",
        "14:12: providers.mistral.kind: is missing (did you mean \"mistral\"?)",
        "16:12: providers.\"a/b\": a provider's name has letters, digits, \"_\", \"-\" and \".\" only, since models are asked for as provider/model",
        "17:8: providers.\"a/b\".kind: no kind named \"groqq\" (did you mean \"groq\"?)",
        "21:12: providers.echo.base_url: has no use: echo answers inside this process (leave it out)",
        "26:16: models[0].targets[0].provider: no provider named \"opnai\" (did you mean \"openai\"?)",
        "27:34: models[0].targets[1].model: is empty (leave the key out, or give it a value)",
        "29:3: models[0].targets[3].provider: is missing (expected { provider = \"NAME\", model = \"NAME\" })",
        "29:3: models[0].targets[3].model: is missing (expected { provider = \"NAME\", model = \"NAME\" })",
        "31:12: models[0].strategy: no strategy named \"wieghted\" (did you mean \"weighted\"?): expected one of ordered, weighted, fastest, cheapest",
        "32:22: models[0].retry.attempts: expected a whole number from 1 to 100",
        "32:34: models[0].retry.budget: expected a share from 0 to 1, as 0.05",
        "33:21: models[0].timeout.total: is zero, so that everything would time out at once (for a very long wait write \"1day\")",
        "33:27: models[0].timeout.firs_token: unknown key (did you mean \"first_token\"?)",
        "34:10: models[0].strict: expected true or false, found a string",
        "37:8: models[1].name: models[0] has the name \"fast\" already (names are unique)",
        "38:11: models[1].targets: is empty: nobody may answer (add { provider = \"NAME\", model = \"NAME\" })",
        "40:1: models[2].name: is missing (what callers ask for, as \"fast\")",
        "41:11: models[2].targets: expected an array of tables, found a number",
    ];
    let found = faults(text);
    let expected: Vec<_> = expected.iter().map(|fault| format!("conf/sidecar.toml:{fault}")).collect();
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(found, expected);
}

#[test]
fn a_broken_file_is_judged_by_its_syntax_only() {
    for text in ["[listen", "a = 1\na = 2", "x = \"abc", "[a]\n[a]", "\u{0}", "a = {", "[[models]]\nname = 'x'\n[models]\n"] {
        let faults = faults(text);
        assert!(!faults.is_empty() && faults.iter().all(|fault| fault.contains(": TOML syntax: ")), "{text:?}: {faults:?}");
    }
}

#[test]
fn strings_follow_variables_and_files() {
    let text = r#"
[identity]
app = "env:OUTRIDER_APP"
[providers.a]
kind = "openai"
api_key = "file:/etc/key"
[providers.b]
kind = "openai"
api_key = "file:key"
ca_file = "ca.pem"
[providers.c]
kind = "anthropic"
api_key = "file:/etc/key"
ca_file = "file:ca.pem"
"#;
    let config = loaded(text);
    assert_eq!(config.bootstrap.identity.app.as_deref(), Some("ranker"));
    let secrets: Vec<_> = config.policy.providers.iter().map(|provider| provider.key(0).secret.as_ref().unwrap().reveal()).collect();
    assert_eq!(secrets, ["sk-file", "sk-beside", "sk-file"]);
    let pems: Vec<_> = config.policy.providers.iter().map(|provider| site_of(provider).ca_pem.is_some()).collect();
    assert_eq!(pems, [false, true, true]);
    let watched = ["conf/sidecar.toml", "/etc/key", "conf/ca.pem", "conf/key"].map(PathBuf::from);
    assert_eq!(config.watched, watched);
}

#[test]
fn what_a_value_needs_is_said_where_the_value_stands() {
    let with_key = |value: &str| faults(&format!("[providers.o]\nkind = \"openai\"\napi_key = {value:?}")).remove(0);
    let place = "conf/sidecar.toml:3:11: providers.o.api_key: ";
    let cases = [
        ("env:NOPE", "the environment variable NOPE is not set (set it, or write the value another way)"),
        ("env:", "\"env:\" lacks the name of a variable (env:NAME)"),
        ("env:EMPTY", "is empty (leave the key out, or give it a value)"),
        ("file:", "\"file:\" lacks a path (file:/path)"),
        (
            "file:/none",
            "cannot read the file /none: No such file or directory (check the path; a relative one in a file starts from that file's folder)",
        ),
        ("$OPENAI_API_KEY", "names a variable as a shell does (did you mean \"env:OPENAI_API_KEY\"?)"),
        ("OPENAI_API_KEY", "names a variable as a shell does (did you mean \"env:OPENAI_API_KEY\"?)"),
    ];
    for (value, expected) in cases {
        assert_eq!(with_key(value), format!("{place}{expected}"));
    }
    let secret = with_key("env:OUTRIDER_BAD");
    assert!(!secret.contains("lines"), "{secret}");
}

#[test]
fn warnings_do_not_refuse() {
    let cases: &[(&str, &[&str])] = &[
        ("", &["1:1: providers: there is no provider, so that no request can be answered (add [providers.NAME] with its kind)"]),
        (PROVIDERS, &[]),
        ("[providers.x]\nkind = \"ollama\"", &[]),
        (
            "[providers.x]\nkind = \"groq\"",
            &["1:12: providers.x.api_key: is missing: requests go out without a credential (did you mean api_key = \"env:GROQ_API_KEY\"?)"],
        ),
        (
            "[providers.x]\nkind = \"anthropic\"\napi_key = \"k\"\nbase_url = \"https://api.anthropic.com/\"",
            &["4:12: providers.x.base_url: has no path, although this vendor's has (did you mean \"https://api.anthropic.com/v1\"?)"],
        ),
        (
            "[listen]\napp = \"0.0.0.0:80\"\n[providers.x]\nkind = \"echo\"",
            &["2:7: listen.app: 0.0.0.0:80 is open to other machines: whoever reaches it is served (did you mean 127.0.0.1:80?)"],
        ),
        (
            "[bounds]\nheld_bytes_max = \"1MiB\"\n[providers.x]\nkind = \"echo\"",
            &["2:18: bounds.held_bytes_max: bodies larger than held_bytes_max are never admitted, although body_bytes_max allows them"],
        ),
    ];
    for (text, expected) in cases {
        let expected: Vec<_> = expected.iter().map(|warning| format!("conf/sidecar.toml:{warning}")).collect();
        assert_eq!(warnings(text), expected, "{text}");
    }
}

fn site_of(provider: &Provider) -> &Site {
    match &provider.place {
        Place::Http(site) => site,
        Place::Echo => panic!("{} has no site", provider.name),
    }
}

#[test]
fn base_urls_come_apart() {
    // (text, origin, prefix, query)
    let cases = [
        ("https://api.openai.com/v1", "https://api.openai.com:443/", "/v1", None),
        ("https://API.openai.com/v1/", "https://api.openai.com:443/", "/v1", None),
        ("http://localhost", "http://localhost:80/", "", None),
        ("http://[::1]:8080/a/b//", "http://[::1]:8080/", "/a/b", None),
        ("https://r.azure.com/openai/v1/?api-version=preview", "https://r.azure.com:443/", "/openai/v1", Some("api-version=preview")),
        ("https://h?", "https://h:443/", "", None),
    ];
    for (text, origin, prefix, query) in cases {
        let url = base_url(text).unwrap_or_else(|why| panic!("{text}: {why}"));
        assert_eq!((url.origin.to_string().as_str(), url.path_prefix.as_str(), url.query.as_deref()), (origin, prefix, query), "{text}");
    }
    let refused = [
        "",
        " ",
        "api.openai.com",
        "api.openai.com/v1",
        "/v1",
        "ws://h",
        "https://u:p@h/v1",
        "https://h#x",
        "https://",
        "http://h:0",
        "http://h:",
        "http://h:99999",
        "https:///v1",
    ];
    for text in refused {
        let why = base_url(text).err().unwrap_or_else(|| panic!("accepted {text:?}"));
        assert!(!why.contains("u:p"), "{why}");
    }
}

#[test]
fn credentials_travel_as_the_vendor_wants_and_are_not_shown() {
    let cases = [
        ("openai", "k1", "authorization", "Bearer k1"),
        ("groq", "k1", "authorization", "Bearer k1"),
        ("ollama", "k1", "authorization", "Bearer k1"),
        ("anthropic", "sk-ant-api-1", "x-api-key", "sk-ant-api-1"),
        ("anthropic", "sk-ant-oat01-1", "authorization", "Bearer sk-ant-oat01-1"),
    ];
    for (kind, key, name, value) in cases {
        let config = loaded(&format!("[providers.p]\nkind = {kind:?}\napi_key = {key:?}\n"));
        let Credential::Header(found, header) = config.policy.providers[0].key(0).credential.clone() else { panic!("{kind}: no header") };
        assert_eq!((found.as_str(), header.to_str().unwrap()), (name, value));
        assert!(header.is_sensitive());
        assert!(!format!("{config:?}").contains(key), "Debug shows the key");
    }
}

#[test]
fn headers_keep_their_order_and_hide_what_may_be_secret() {
    let config = loaded(
        "[providers.p]\nkind = \"anthropic\"\napi_key = \"k\"\nheaders = { anthropic-version = \"2023-06-01\", X-Team-Token = \"s\", a = \"env:OUTRIDER_APP\" }",
    );
    let headers = &config.policy.providers[0].headers;
    let seen: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.is_sensitive())).collect();
    assert_eq!(seen, [("anthropic-version", false), ("x-team-token", true), ("a", true)]);
}

#[test]
fn units_are_read_as_they_are_shown() {
    for bytes in [1, 1000, 1024, 1536, 64 << 10, 32 << 20, 3 << 30, 1 << 40, (1 << 40) - 1] {
        assert_eq!(size(&show_size(bytes)), Ok(bytes));
    }
    assert_eq!([show_size(64 << 10), show_size(1001), show_size(1536)], ["64KiB", "1001B", "1536B"]);
    assert_eq!([size("1kB"), size("4 MiB"), size("17")], [Ok(1000), Ok(4 << 20), Ok(17)]);
    for text in ["", "-1", "1 parsec", "99999TiB", "NaN", "1e9"] {
        assert!(size(text).is_err(), "{text}");
    }
    for text in ["", "5", "-1s", "1 fortnight", "9999999999999999999s", "1000years"] {
        assert!(values::duration(text).is_err(), "{text}");
    }
    for duration in [0, 1, 999, 1000, 90_000, 600_000].map(Duration::from_millis) {
        assert_eq!(values::duration(&show_duration(duration)), Ok(duration));
    }
}

#[test]
fn patterns_match_whole_names() {
    let cases = [
        ("gpt-*", "gpt-5", true),
        ("gpt-*", "gpt-", true),
        ("gpt-*", "xgpt-5", false),
        ("o1*", "o1", true),
        ("*", "", true),
        ("*", "x", true),
        ("a*b*c", "a-b-b-c", true),
        ("a*b*c", "acb", false),
        ("ab*ba", "aba", false),
        ("claude-*-4-5*", "claude-haiku-4-5-20251001", true),
        ("claude-*-4-5*", "claude-haiku-4", false),
        ("é*é", "éé", true),
        ("", "", true),
        ("", "x", false),
    ];
    for (pattern, name, expected) in cases {
        assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
    }
}

proptest! {
    #[test]
    fn patterns_match_what_they_were_made_from(pieces in prop::collection::vec("[ab]{0,3}", 1..5), fill in "[ab]{0,3}") {
        prop_assert!(matches(&pieces.join("*"), &pieces.join(&fill)));
    }

    #[test]
    fn no_text_panics_and_every_fault_has_a_place(text in "[\\[\\]{}a-c=\"'\n,.# é0-9]{0,60}") {
        if let Err(rejected) = parse(&text) {
            prop_assert!(!rejected.faults.is_empty());
            prop_assert!(rejected.faults.iter().all(|fault| fault.line >= 1 && fault.column >= 1));
        }
    }

    #[test]
    fn places_are_those_of_an_editor(text in "[aé\n\r]{0,40}", offset in 0usize..80) {
        let lines = Lines::new(&text);
        let (line, column) = lines.place(offset);
        let offset = (0..=offset.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap();
        let before: Vec<_> = text[..offset].split('\n').collect();
        prop_assert_eq!(line, before.len());
        prop_assert!(column.abs_diff(before[before.len() - 1].chars().count() + 1) <= 1);
    }
}

#[test]
fn a_suggestion_is_near_or_none() {
    let names = ["openai", "anthropic", "drain_timeout", "app"];
    let cases = [
        ("opnai", Some("openai")),
        ("OpenAI", Some("openai")),
        ("drain", Some("drain_timeout")),
        ("zzz", None),
        ("ap", Some("app")),
        ("", None),
    ];
    for (word, expected) in cases {
        assert_eq!(nearest(word, names), expected, "{word}");
    }
    assert_eq!(nearest(&"a".repeat(1 << 20), names), None);
}

const POLICY: &str = r#"
[providers.openai]
kind = "openai"
api_key = "k"
[providers.second]
kind = "openai"
api_key = "k"
models = ["gpt-5", "local/*"]
[providers.anthropic]
kind = "anthropic"
api_key = "k"
[providers.echo]
kind = "echo"
[[models]]
name = "fast"
targets = [{ provider = "openai", model = "gpt-4.1-mini" }, { provider = "anthropic", model = "claude-haiku-4-5" }]
retry = { attempts = 1 }
strict = true
[[models]]
name = "openai/shadowed"
targets = [{ provider = "echo", model = "echo" }]
"#;

#[test]
fn names_find_their_models() {
    let policy = loaded(POLICY).policy;
    // (asked, its targets)
    let cases = [
        ("fast", "openai/gpt-4.1-mini anthropic/claude-haiku-4-5"),
        ("openai/shadowed", "echo/echo"),
        ("openai/gpt-4o", "openai/gpt-4o"),
        ("openai/any/thing", "openai/any/thing"),
        ("gpt-4o", "openai/gpt-4o"),
        ("claude-opus-5", "anthropic/claude-opus-5"),
        ("local/x", "second/local/x"),
        ("echo/echo", "echo/echo"),
        ("echo", "echo/echo"),
    ];
    for (asked, expected) in cases {
        let model = policy.find(asked).unwrap_or_else(|fault| panic!("{asked}: {fault}"));
        let targets: Vec<_> = model.targets.iter().map(|target| format!("{}/{}", target.provider.name, target.model)).collect();
        assert_eq!((model.name.as_str(), targets.join(" ").as_str()), (asked, expected));
        let configured = asked == "fast";
        assert_eq!((model.retry.attempts, model.strict), if configured { (1, true) } else { (3, false) });
    }
    assert!(Arc::ptr_eq(&policy.find("fast").unwrap(), &policy.models[0]));
    assert_eq!(policy.find("claude-opus-4-8").unwrap().targets[0].traits, catalog::traits("anthropic", "claude-opus-4-8"));
}

#[test]
fn names_that_mean_nothing_or_too_much_are_refused() {
    let policy = loaded(POLICY).policy;
    let general = "ask for an alias from [[models]], for provider/model, or for a model that one provider claims";
    let cases = [
        ("fats", FaultKind::ModelNotFound, "No model named \"fats\" is configured (did you mean \"fast\"?)".to_owned()),
        (
            "opnai/gpt-4o",
            FaultKind::ModelNotFound,
            "No model named \"opnai/gpt-4o\" is configured (did you mean \"openai/gpt-4o\"?)".into(),
        ),
        ("anthropic/", FaultKind::ModelNotFound, "No model named \"anthropic/\" is configured (did you mean \"anthropic/MODEL\"?)".into()),
        ("llama", FaultKind::ModelNotFound, format!("No model named \"llama\" is configured ({general})")),
        ("", FaultKind::ModelNotFound, format!("No model named \"\" is configured ({general})")),
        (
            "gpt-5",
            FaultKind::BadRequest,
            "Several providers claim the model \"gpt-5\" (write one of \"openai/gpt-5\", \"second/gpt-5\")".into(),
        ),
    ];
    for (asked, kind, text) in cases {
        let fault = policy.find(asked).err().unwrap_or_else(|| panic!("found {asked:?}"));
        assert_eq!((fault.kind, fault.client_text.as_ref(), fault.param.as_deref()), (kind, text.as_str(), Some("model")));
    }
    let long = policy.find(&"é".repeat(1 << 20)).unwrap_err();
    assert!(long.client_text.len() < 500);
}

#[test]
fn zero_config_has_a_provider_for_each_key_and_echo() {
    let zero = Config::zero(&OUTSIDE).unwrap();
    let names: Vec<_> = zero.config.policy.providers.iter().map(|provider| provider.name.as_str()).collect();
    assert_eq!(names, ["openai", "anthropic", "echo"]);
    assert_eq!((zero.warnings, zero.file, zero.config.watched), (vec![], None, vec![]));
    let none = Config::zero(&EMPTY).unwrap().config;
    assert_eq!(none.policy.providers.len(), 1);
    assert!(none.policy.find("echo/echo").is_ok());
    // Azure is there with its endpoint only, Bedrock with its region only.
    let keys = |name: &str| (name.ends_with("_KEY") || name.ends_with("_TOKEN") || name.ends_with("_BEDROCK")).then(|| "k".to_owned());
    let all = Config::zero(&Outside { env: &keys, read: &read }).unwrap().config;
    let by_key = catalog::KINDS.iter().filter(|kind| kind.found_by_key && !kind.key_variables.is_empty()).count();
    assert_eq!(all.policy.providers.len(), by_key - 2 + 1);
    let clouds = |name: &str| match name {
        "AZURE_OPENAI_ENDPOINT" => Some("https://res.openai.azure.com/".to_owned()),
        "AWS_DEFAULT_REGION" => Some("eu-west-1".into()),
        _ => keys(name).filter(|_| name.starts_with("A")),
    };
    let clouds = Config::zero(&Outside { env: &clouds, read: &read }).unwrap();
    let shown: Vec<_> = clouds
        .config
        .policy
        .providers
        .iter()
        .filter(|provider| provider.kind != "echo")
        .map(|p| (p.kind.as_str(), site_of(p).origin.host().unwrap()))
        .collect();
    let expected = [
        ("anthropic", "api.anthropic.com"),
        ("bedrock", "bedrock-runtime.eu-west-1.amazonaws.com"),
        ("azure", "res.openai.azure.com"),
        ("aihubmix", "aihubmix.com"),
    ];
    assert_eq!((shown.as_slice(), clouds.warnings), (expected.as_slice(), vec![]));
}

#[test]
fn the_named_file_counts_before_the_variable_before_the_folder() {
    let read = |path: &Path| match path.to_str() {
        Some("a.toml" | "b.toml" | "sidecar.toml") => Ok(format!("[identity]\nteam = \"{}\"\n", path.display())),
        Some("folder") => Err(io::Error::other("is a directory")),
        _ => Err(io::ErrorKind::NotFound.into()),
    };
    let named = |name: &str| (name == "OUTRIDER_CONFIG").then(|| "b.toml".to_owned());
    let both = Outside { env: &named, read: &read };
    let neither = Outside { env: &|_| None, read: &read };
    let team =
        |path: Option<&str>, outside: &Outside<'_>| Config::load(path.map(Path::new), outside).map(|l| l.config.bootstrap.identity.team);
    assert_eq!(team(Some("a.toml"), &both), Ok(Some("a.toml".into())));
    assert_eq!(team(None, &both), Ok(Some("b.toml".into())));
    assert_eq!(team(None, &neither), Ok(Some("sidecar.toml".into())));
    let nothing = Outside { env: &|_| None, read: &|_| Err(io::ErrorKind::NotFound.into()) };
    assert_eq!(team(None, &nothing), Ok(None));
    assert!(team(Some("none.toml"), &both).unwrap_err().to_string().starts_with("none.toml:1:1: file: cannot read"));
    // A file that is there and cannot be read is not skipped.
    let denied = Outside { env: &|_| None, read: &|_| Err(io::ErrorKind::PermissionDenied.into()) };
    assert!(team(None, &denied).is_err());
}

#[test]
fn the_version_is_the_texts_own() {
    assert_eq!(digest(""), "cbf29ce484222325");
    assert_eq!(digest("a"), "af63dc4c8601ec8c");
    assert_eq!(loaded(PROVIDERS).policy.version, loaded(PROVIDERS).policy.version);
    assert_ne!(loaded(PROVIDERS).policy.version, loaded(POLICY).policy.version);
}

#[test]
fn what_an_alias_says_of_its_targets_must_make_sense() {
    let alias = |more: &str| {
        let target = "{ provider = \"openai\", model = \"gpt-4.1-mini\", weight = 0 }";
        format!("{PROVIDERS}[[models]]\nname = \"m\"\ntargets = [{target}]\n{more}")
    };
    let cases = [
        ("latency_target = { p95_total = \"1s\" }", "needs strategy = \"cheapest\""),
        ("strategy = \"fastest\"\nlatency_target = { p95_total = \"1s\" }", "has a meaning for strategy = \"cheapest\" only"),
        ("strategy = \"cheapest\"\nlatency_target = {}", "is empty: expected one or more of p50_first_token"),
        ("strategy = \"weighted\"", "every weight is 0"),
        ("hedge = { after_p = 100 }", "expected a whole number from 50 to 99"),
        ("hedge = { max_ratio = \"half\" }", "expected a share from 0 to 1"),
    ];
    for (more, expected) in cases {
        let found = faults(&alias(more));
        assert!(found.len() == 1 && found[0].contains(expected), "{more}: {found:?}");
    }
    let unpriced = "[[models]]\nname = \"m\"\nstrategy = \"cheapest\"\ntargets = [{ provider = \"openai\", model = \"my-own\" }]\n";
    let found = warnings(&format!("{PROVIDERS}{unpriced}"));
    assert!(found.len() == 1 && found[0].contains("the price of openai/my-own is not known"), "{found:?}");
    let found = warnings(&alias("hedge = {}"));
    assert!(found.len() == 1 && found[0].contains("there is no second target to ask"), "{found:?}");
}

#[test]
fn every_kind_of_the_catalogue_works_with_a_key_alone() {
    for kind in catalog::KINDS.iter().filter(|kind| matches!(kind.base, catalog::Base::Url(_))) {
        let config = loaded(&format!("[providers.p]\nkind = {:?}\napi_key = \"k\"\n", kind.name));
        let provider = &config.policy.providers[0];
        assert_eq!((provider.kind.as_str(), &*provider.dialects), (kind.name, kind.dialects));
        assert!(!site_of(provider).path_prefix.is_empty() || ["perplexity", "helicone"].contains(&kind.name), "{}", kind.name);
        assert_eq!(catalog::claims(kind.name), provider.claims);
    }
    let names: std::collections::HashSet<_> = catalog::KINDS.iter().map(|kind| kind.name).collect();
    assert_eq!(names.len(), catalog::KINDS.len());
}

#[test]
fn traits_follow_the_models_versions() {
    use Thinking::{Adaptive, Always, Budget, Unsupported};
    // (model, output tokens, sampling, both together, thinking, forced tool, structured output, system in messages)
    let claude = [
        ("claude-3-haiku-20240307", 4096, true, true, Unsupported, true, false, false),
        ("claude-3-5-sonnet-20241022", 8192, true, true, Unsupported, true, false, false),
        ("claude-3-7-sonnet-20250219", 64_000, true, true, Budget, true, false, false),
        ("claude-opus-4-1-20250805", 32_000, true, false, Budget, true, false, false),
        ("claude-sonnet-4-20250514", 64_000, true, false, Budget, true, false, false),
        ("claude-haiku-4-5-20251001", 64_000, true, false, Budget, true, true, false),
        ("claude-sonnet-4-6", 128_000, true, false, Adaptive, true, true, false),
        ("claude-opus-4-7-20260416", 128_000, false, false, Adaptive, true, true, false),
        ("claude-opus-4-8", 128_000, false, false, Adaptive, true, true, true),
        ("claude-sonnet-5", 128_000, false, false, Adaptive, true, true, true),
        ("claude-haiku-5-5", 128_000, false, false, Adaptive, true, true, true),
        ("claude-sonnet-5-5", 128_000, false, false, Always, false, true, true),
        ("claude-opus-5-5", 128_000, false, false, Always, false, true, true),
        ("claude-fable-5", 128_000, false, false, Always, true, true, true),
        ("claude-mythos-5-1", 128_000, false, false, Always, false, true, true),
        ("claude-mythos-preview", 128_000, false, false, Always, true, true, false),
        ("claude-unheard-of", 32_000, true, true, Adaptive, true, true, false),
    ];
    for (model, tokens, sampling, together, thinking, forced, structured, system) in claude {
        let traits = catalog::traits("anthropic", model);
        let found = (traits.output_tokens_default, traits.sampling, traits.sampling_together, traits.thinking);
        assert_eq!(found, (tokens, sampling, together, thinking), "{model}");
        let found = (traits.forced_tool, traits.structured_output, traits.system_in_messages);
        assert_eq!(found, (forced, structured, system), "{model}");
    }
    use MaxTokensName::{MaxCompletionTokens, MaxTokens};
    // (kind, model, sampling, thinking, name of the bound, developer role, replays reasoning)
    let chat = [
        ("openai", "gpt-4o-mini", true, Unsupported, MaxCompletionTokens, true, false),
        ("openai", "gpt-4.1", true, Unsupported, MaxCompletionTokens, true, false),
        ("openai", "gpt-5", false, Always, MaxCompletionTokens, true, false),
        ("openai", "gpt-5-mini-2025-08-07", false, Always, MaxCompletionTokens, true, false),
        ("openai", "gpt-5-chat-latest", true, Unsupported, MaxCompletionTokens, true, false),
        ("openai", "gpt-5.1", false, Adaptive, MaxCompletionTokens, true, false),
        ("openai", "gpt-6-sol", false, Adaptive, MaxCompletionTokens, true, false),
        ("openai", "o3-mini", false, Always, MaxCompletionTokens, true, false),
        ("openai", "my-own", true, Adaptive, MaxCompletionTokens, true, false),
        ("mistral", "mistral-medium-latest", true, Adaptive, MaxTokens, false, false),
        ("mistral", "codestral-2508", true, Unsupported, MaxTokens, false, false),
        ("groq", "openai/gpt-oss-120b", true, Adaptive, MaxCompletionTokens, false, false),
        ("deepseek", "deepseek-v4-pro", true, Adaptive, MaxTokens, false, true),
        ("deepseek", "deepseek-reasoner", true, Always, MaxTokens, false, false),
        ("vllm", "gpt-5", true, Adaptive, MaxTokens, false, false),
    ];
    for (kind, model, sampling, thinking, name, developer, replays) in chat {
        let traits = catalog::traits(kind, model);
        let found = (traits.sampling, traits.thinking, traits.max_tokens_name, traits.developer_role, traits.replays_reasoning);
        assert_eq!(found, (sampling, thinking, name, developer, replays), "{kind} {model}");
    }
}
