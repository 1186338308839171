//! Where the clouds' providers are, and by what they are paid.

use super::*;
use crate::config::catalog::Base;

/// A configuration with this environment, and these files.
fn within(text: &str, variables: &[(&str, &str)], files: &[(&str, &str)]) -> Result<Loaded, Rejected> {
    let env = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    let read = |path: &Path| {
        let known = files.iter().find(|(known, _)| Path::new(known) == path);
        known.map(|(_, text)| (*text).to_owned()).ok_or_else(|| io::ErrorKind::NotFound.into())
    };
    Config::parse(Path::new("conf/sidecar.toml"), text, &Outside { env: &env, read: &read })
}

#[track_caller]
fn only(text: &str, variables: &[(&str, &str)], files: &[(&str, &str)]) -> Arc<Provider> {
    let loaded = within(text, variables, files).unwrap_or_else(|rejected| panic!("{rejected}"));
    Arc::clone(&loaded.config.policy.providers[0])
}

fn label(provider: &Provider) -> &'static str {
    provider.key(0).credential.label()
}

#[test]
fn azures_places_are_read_in_all_their_forms() {
    let dated = || Layout::AzureDeployments(None);
    // (base_url, prefix, query, layout)
    let cases = [
        ("https://r.openai.azure.com", "/openai/v1", None, Layout::Standard),
        ("https://r.openai.azure.com/", "/openai/v1", None, Layout::Standard),
        ("https://r.openai.azure.com/openai/v1/", "/openai/v1", None, Layout::Standard),
        ("https://r.services.ai.azure.com/openai/v1?api-version=preview", "/openai/v1", Some("api-version=preview"), Layout::Standard),
        ("https://r.openai.azure.com?api-version=preview", "/openai/v1", Some("api-version=preview"), Layout::Standard),
        ("https://r.openai.azure.com?api-version=2024-10-21", "/openai", Some("api-version=2024-10-21"), dated()),
        ("https://r.openai.azure.com/openai?api-version=2024-10-21", "/openai", Some("api-version=2024-10-21"), dated()),
        (
            "https://apim.example.com/ai/openai/deployments/four?api-version=2024-10-21",
            "/ai/openai",
            Some("api-version=2024-10-21"),
            Layout::AzureDeployments(Some("four".into())),
        ),
        ("https://proxy.example.com/azure", "/azure", None, Layout::Standard),
    ];
    for (base_url, prefix, query, layout) in cases {
        let provider = only(&format!("[providers.a]\nkind = \"azure\"\napi_key = \"k\"\nbase_url = {base_url:?}\n"), &[], &[]);
        let site = site_of(&provider);
        assert_eq!((site.path_prefix.as_str(), site.query.as_deref(), &provider.layout), (prefix, query, &layout), "{base_url}");
    }
    let place = "conf/sidecar.toml:1:12: providers.a.base_url: is missing";
    assert!(faults("[providers.a]\nkind = \"azure\"\napi_key = \"k\"")[0].starts_with(place));
    let warned = warnings("[providers.a]\nkind = \"azure\"\napi_key = \"k\"\nbase_url = \"https://r.openai.azure.com/openai\"");
    assert!(warned[0].contains("lacks the api-version"), "{warned:?}");
}

#[test]
fn vertex_is_where_its_project_and_location_are() {
    let project = "project = \"p-1\"";
    // (keys, host, prefix)
    let cases = [
        (project.to_owned(), "aiplatform.googleapis.com", "/v1/projects/p-1/locations/global"),
        (format!("{project}\nlocation = \"us\""), "aiplatform.us.rep.googleapis.com", "/v1/projects/p-1/locations/us"),
        (
            format!("{project}\nlocation = \"europe-west1\""),
            "europe-west1-aiplatform.googleapis.com",
            "/v1/projects/p-1/locations/europe-west1",
        ),
        ("project = \"env:GOOGLE_CLOUD_PROJECT\"".into(), "aiplatform.googleapis.com", "/v1/projects/example.com:p/locations/global"),
        (format!("{project}\nbase_url = \"http://v.test/v1beta1/\""), "v.test", "/v1beta1/projects/p-1/locations/global"),
        ("base_url = \"http://v.test/v1/projects/q/locations/r\"".into(), "v.test", "/v1/projects/q/locations/r"),
        ("api_key = \"k\"".into(), "aiplatform.googleapis.com", "/v1"),
    ];
    for (keys, host, prefix) in cases {
        let provider = only(&format!("[providers.v]\nkind = \"vertex\"\n{keys}\n"), &[("GOOGLE_CLOUD_PROJECT", "example.com:p")], &[]);
        let site = site_of(&provider);
        assert_eq!((site.origin.host().unwrap(), site.path_prefix.as_str(), &provider.layout), (host, prefix, &Layout::Vertex), "{keys}");
    }
    let cases = [
        ("", "1:12: providers.v.project: is missing (did you mean project = \"env:GOOGLE_CLOUD_PROJECT\"?)"),
        ("project = \"a/../b\"", "3:11: providers.v.project: \"a/../b\" is no project: expected letters, digits and \"-\""),
        (
            "project = \"p\"\nlocation = \"x.evil.test/\"",
            "4:12: providers.v.location: \"x.evil.test/\" is no location: expected letters, digits and \"-\"",
        ),
    ];
    for (keys, fault) in cases {
        assert_eq!(faults(&format!("[providers.v]\nkind = \"vertex\"\n{keys}")), [format!("conf/sidecar.toml:{fault}")], "{keys}");
    }
}

#[test]
fn a_provider_may_have_several_keys() {
    let keys = |provider: &Provider| -> Vec<String> {
        let shown = |key: &ProviderKey| format!("{:?} {}", key.credential, key.secret.as_ref().unwrap().reveal());
        provider.keys.iter().map(shown).collect()
    };
    let text = |keys: &str| format!("[providers.p]\nkind = \"anthropic\"\napi_key = {keys}\n");
    let files = [("/k", "sk-file\n")];
    let provider = only(&text("[\"sk-ant-1\", \"env:K\", \"file:/k\", \"sk-ant-oat-2\"]"), &[("K", "sk-env")], &files);
    let wanted = [
        "Header(\"x-api-key\", Sensitive) sk-ant-1",
        "Header(\"x-api-key\", Sensitive) sk-env",
        "Header(\"x-api-key\", Sensitive) sk-file",
        "Header(\"authorization\", Sensitive) sk-ant-oat-2",
    ];
    assert_eq!(keys(&provider), wanted);
    // Whichever is sent, none is shown; the longest goes first, since one may be the beginning of another.
    let hidden: Vec<_> = provider.key(2).secret.as_ref().unwrap().hidden().collect();
    assert_eq!(hidden, ["sk-ant-oat-2", "sk-ant-1", "sk-file", "sk-env"]);
    let ids: std::collections::HashSet<_> = provider.keys.iter().map(ProviderKey::id).collect();
    assert_eq!((ids.len(), provider.key(0).id()), (4, only(&text("\"sk-ant-1\""), &[], &[]).key(0).id()));
    // One alone is hidden alone, and a place that no key has is the first one's: a reload may have taken keys away.
    let one = only(&text("[\"k-1\"]"), &[], &[]);
    assert_eq!(one.key(7).secret.as_ref().unwrap().hidden().collect::<Vec<_>>(), ["k-1"]);
    assert!(matches!(only("[providers.v]\nkind = \"vllm\"\n", &[], &[]).key(0).credential, Credential::None));

    let loaded = within(&text("[\"a-key\", \"b-key\", \" a-key \"]"), &[], &[]).unwrap();
    let warned: Vec<_> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warned,
        ["conf/sidecar.toml:3:30: providers.p.api_key[2]: is the same key as providers.p.api_key[0], and shares its limits (leave it out)"]
    );
    let printed = render(&loaded.config);
    assert!(printed.contains("api_key = [\"[redacted]\", \"[redacted]\", \"[redacted]\"]"), "{printed}");
    assert!(!printed.contains("a-key"));

    let at = "conf/sidecar.toml:3:";
    let cases = [
        ("[]", "11: providers.p.api_key: is empty (leave the key out, or give it a value)"),
        ("7", "11: providers.p.api_key: expected a string or an array of strings, found a number"),
        ("[\"k\", 7]", "17: providers.p.api_key[1]: expected a string, found a number"),
        ("[\"k\", \" \"]", "17: providers.p.api_key[1]: is empty"),
        (
            "[\"k\", \"env:NONE\"]",
            "17: providers.p.api_key[1]: the environment variable NONE is not set (set it, or write the value another way)",
        ),
        ("[\"$K\"]", "12: providers.p.api_key[0]: names a variable as a shell does (did you mean \"env:ANTHROPIC_API_KEY\"?)"),
    ];
    for (keys, fault) in cases {
        assert_eq!(faults(&text(keys)), [format!("{at}{fault}")], "{keys}");
    }
    let many = format!("[{}]", (0..101).map(|n| format!("\"key-{n}\", ")).collect::<String>());
    assert_eq!(faults(&text(&many)), [format!("{at}11: providers.p.api_key: has 101 values: at most 100")]);
}

#[test]
fn bedrock_is_in_its_region_at_the_host_of_its_dialect() {
    let aws = |provider: &Provider| match &provider.key(0).credential {
        Credential::Aws(aws) => (aws.region.clone(), aws.service),
        other => panic!("{other:?}"),
    };
    let keys = "access_key_id = \"a\"\nsecret_access_key = \"b\"\n";
    // (more keys, host, prefix, region, service)
    let cases = [
        ("region = \"us-east-1\"", "bedrock-runtime.us-east-1.amazonaws.com", "", "us-east-1", "bedrock"),
        ("region = \"cn-north-1\"", "bedrock-runtime.cn-north-1.amazonaws.com.cn", "", "cn-north-1", "bedrock"),
        ("", "bedrock-runtime.eu-north-1.amazonaws.com", "", "eu-north-1", "bedrock"),
        ("dialects = [\"anthropic\"]", "bedrock-mantle.eu-north-1.api.aws", "/anthropic/v1", "eu-north-1", "bedrock-mantle"),
        ("dialects = [\"openai_chat\"]", "bedrock-runtime.eu-north-1.amazonaws.com", "/openai/v1", "eu-north-1", "bedrock"),
        (
            "base_url = \"https://bedrock-runtime-fips.us-gov-west-1.amazonaws.com/\"",
            "bedrock-runtime-fips.us-gov-west-1.amazonaws.com",
            "",
            "us-gov-west-1",
            "bedrock",
        ),
        (
            "base_url = \"https://vpce-0a1-2b.bedrock-runtime.ap-southeast-2.vpce.amazonaws.com\"",
            "vpce-0a1-2b.bedrock-runtime.ap-southeast-2.vpce.amazonaws.com",
            "",
            "ap-southeast-2",
            "bedrock",
        ),
        ("region = \"us-west-2\"\nbase_url = \"http://proxy.test/aws\"", "proxy.test", "/aws", "us-west-2", "bedrock"),
        (
            "base_url = \"https://aws-external-anthropic.us-west-2.api.aws/v1\"",
            "aws-external-anthropic.us-west-2.api.aws",
            "/v1",
            "us-west-2",
            "aws-external-anthropic",
        ),
    ];
    for (more, host, prefix, region, service) in cases {
        let provider = only(&format!("[providers.b]\nkind = \"bedrock\"\n{keys}{more}\n"), &[("AWS_REGION", "eu-north-1")], &[]);
        let site = site_of(&provider);
        assert_eq!((site.origin.host().unwrap(), site.path_prefix.as_str()), (host, prefix), "{more}");
        assert_eq!(aws(&provider), (region.to_owned(), service), "{more}");
    }
    let wrong = "region = \"us-east-1\"\nbase_url = \"https://bedrock-runtime.us-west-2.amazonaws.com\"";
    let cases = [
        ("", "1:12: providers.b.region: is missing (as \"us-east-1\"; did you mean region = \"env:AWS_REGION\"?)"),
        (
            wrong,
            "5:10: providers.b.region: is \"us-east-1\", but base_url is a host of \"us-west-2\" (leave region out, or make them equal)",
        ),
        ("region = \"evil.test/\"", "5:10: providers.b.region: \"evil.test/\" is no region: expected letters, digits and \"-\""),
    ];
    for (more, fault) in cases {
        assert_eq!(faults(&format!("[providers.b]\nkind = \"bedrock\"\n{keys}{more}")), [format!("conf/sidecar.toml:{fault}")], "{more}");
    }
}

#[test]
fn awss_chain_is_walked_in_order() {
    let region = "[providers.b]\nkind = \"bedrock\"\nregion = \"us-east-1\"\n";
    let fixed = |provider: &Provider| match &provider.key(0).credential {
        Credential::Aws(aws) => match &aws.keys {
            AwsKeys::Fixed(key) => (key.id.clone(), key.session_token.as_ref().map(|token| token.reveal().to_owned())),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    let all = [
        ("AWS_BEARER_TOKEN_BEDROCK", "bearer-1"),
        ("AWS_ACCESS_KEY_ID", "ENVID"),
        ("AWS_SECRET_ACCESS_KEY", "env-secret"),
        ("AWS_SESSION_TOKEN", "env-session"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/token"),
        ("AWS_ROLE_ARN", "arn:role"),
        ("HOME", "/home/x"),
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/1"),
    ];
    let files = [
        ("/token", "jwt\n"),
        ("/home/x/.aws/credentials", "# c\n[other]\n[ default ]\naws_access_key_id=FILEID\naws_secret_access_key = s = x\n"),
    ];
    let explicit = "access_key_id = \"OWNID\"\nsecret_access_key = \"s\"\n";
    let provider = only(&format!("{region}{explicit}"), &all, &files);
    assert_eq!(fixed(&provider), ("OWNID".into(), None), "explicit keys never take the environment's session token");
    assert!(!format!("{provider:?}").contains("\"s\""));
    let profile = only(&format!("{region}profile = \"default\""), &all, &files);
    assert_eq!(fixed(&profile), ("FILEID".into(), None));

    assert_eq!(label(&only(region, &all, &files)), "a key");
    assert_eq!(fixed(&only(region, &all[1..], &files)), ("ENVID".into(), Some("env-session".into())));
    assert_eq!(label(&only(region, &all[4..], &files)), "AWS keys by a web identity");
    assert_eq!(fixed(&only(region, &all[6..], &files)), ("FILEID".into(), None));
    let container = only(region, &all[7..], &files);
    let Credential::Aws(aws) = &container.key(0).credential else { panic!() };
    let AwsKeys::Container { site, authorization } = &aws.keys else { panic!() };
    assert_eq!(
        (site.origin.to_string().as_str(), site.path_prefix.as_str(), authorization.is_none()),
        ("http://169.254.170.2:80/", "/v2/credentials/1", true)
    );
    assert_eq!(label(&only(region, &[], &files)), "AWS keys of the instance");

    // Watched, so that a rotated token comes with a reload; its content makes it no other credential.
    let loaded = within(region, &all[4..], &files).unwrap();
    assert!(loaded.config.watched.contains(&PathBuf::from("/token")));
    let id = |files: &[(&str, &str)]| match &only(region, &all[4..], files).key(0).credential {
        Credential::Aws(aws) => aws.id,
        _ => panic!(),
    };
    assert_eq!(id(&files), id(&[("/token", "another")]));

    let pod = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1/credentials"),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/token"),
    ];
    assert_eq!(label(&only(region, &pod, &files)), "AWS keys of the container");
    let far = within(region, &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://evil.test/x")], &[]).unwrap_err();
    assert!(far.faults[0].text.contains("without TLS"), "{far}");
    let disabled = within(region, &[("AWS_EC2_METADATA_DISABLED", "TRUE")], &[]).unwrap();
    assert!(disabled.warnings[0].text.starts_with("has no credential"));
}

/// The cases of OpenAI's SDK about which credential of several counts, where they are.
#[test]
fn the_credential_that_openais_sdk_would_take_is_taken() {
    let default = format!("{}/../shared/traffic", env!("CARGO_MANIFEST_DIR"));
    let corpus = (Outside::process().env)("OUTRIDER_CORPUS").unwrap_or(default);
    let path = format!("{corpus}/extras/sigv4/bedrock_auth_cases.json");
    let Ok(text) = std::fs::read_to_string(&path) else {
        #[expect(clippy::print_stderr, reason = "what was not checked is told")]
        {
            eprintln!("skipped: {path} is not there");
        }
        return;
    };
    let all: serde_json::Value = serde_json::from_str(&text).unwrap();
    let cases: Vec<_> = all["cases"].as_array().unwrap().iter().filter(|case| case["kind"] == "auth_selection").collect();
    assert!(cases.len() >= 7);
    for case in cases {
        let explicit = &case["given"]["explicit"];
        let mut keys = String::from("[providers.b]\nkind = \"bedrock\"\nregion = \"us-east-1\"\n");
        let mut add = |name: &str, value: &serde_json::Value| {
            if let Some(value) = value.as_str() {
                keys.push_str(&format!("{name} = {value:?}\n"));
            }
        };
        add("api_key", &explicit["bearer"]);
        add("access_key_id", &explicit["aws"]["access_key_id"]);
        add("secret_access_key", &explicit["aws"]["secret_access_key"]);
        add("profile", &explicit["profile"]);
        let variables: Vec<_> = case["given"]["environment"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
            .collect();
        let variables = [variables, vec![("HOME", "/h")]].concat();
        let files = [("/h/.aws/credentials", "[fixture-profile]\naws_access_key_id = P\naws_secret_access_key = s\n")];
        let expected = &case["expected"];
        match within(&keys, &variables, &files) {
            Err(rejected) => assert_eq!(expected["error"], "bedrock_conflicting_auth", "{}: {rejected}", case["id"]),
            Ok(loaded) => {
                let label = loaded.config.policy.providers[0].key(0).credential.label();
                let mode = if label == "a key" { "bearer" } else { "sigv4" };
                assert_eq!(expected["auth_mode"], mode, "{}: {label}", case["id"]);
            }
        }
    }
}

#[test]
fn entras_grants_are_found() {
    let azure = "[providers.a]\nkind = \"azure\"\nbase_url = \"https://r.openai.azure.com\"\n";
    let entra = |provider: &Provider| match &provider.key(0).credential {
        Credential::Entra(entra) => Arc::clone(entra),
        other => panic!("{other:?}"),
    };
    let known =
        [("AZURE_TENANT_ID", "t-1"), ("AZURE_CLIENT_ID", "c-1"), ("AZURE_CLIENT_SECRET", "s-1"), ("AZURE_FEDERATED_TOKEN_FILE", "/token")];
    let files = [("/token", "jwt")];
    let provider = only(azure, &known, &files);
    assert_eq!(label(&provider), "an Entra token by a client secret");
    let by_secret = entra(&provider);
    assert_eq!(
        (by_secret.site.origin.to_string().as_str(), by_secret.site.path_prefix.as_str()),
        ("https://login.microsoftonline.com:443/", "/t-1/oauth2/v2.0/token")
    );
    assert_eq!(by_secret.scope, "https://cognitiveservices.azure.com/.default");
    assert!(!format!("{by_secret:?}").contains("s-1"));
    let federated = [known[0], known[1], known[3]];
    assert_eq!(label(&only(azure, &federated, &files)), "an Entra token by a workload identity");
    let managed = entra(&only(azure, &known[1..2], &[]));
    let query = "api-version=2018-02-01&resource=https://cognitiveservices.azure.com&client_id=c-1";
    assert_eq!((managed.site.origin.host().unwrap(), managed.site.query.as_deref()), ("169.254.169.254", Some(query)));
    let app = [("IDENTITY_ENDPOINT", "http://127.0.0.1:42356/msi/token"), ("IDENTITY_HEADER", "secret-1")];
    let app = entra(&only(azure, &app, &[]));
    assert!(matches!(&app.grant, EntraGrant::Managed((name, value)) if name == "x-identity-header" && value.is_sensitive()));
    let foundry = azure.replace("r.openai", "r.services.ai");
    assert_eq!(entra(&only(&foundry, &known, &files)).scope, "https://ai.azure.com/.default");

    let alone = faults(&format!("{azure}client_secret = \"s\"\n"));
    assert_eq!(
        alone,
        [
            "conf/sidecar.toml:4:17: providers.a.client_secret: is of no use without tenant_id and client_id (the Entra tenant, and the app's id)"
        ]
    );
    let both = faults(&format!("{azure}api_key = \"k\"\ntenant_id = \"t\"\n"));
    assert!(
        both[0].ends_with("providers.a.tenant_id: stands beside api_key: one credential alone is used (leave one of them out)"),
        "{both:?}"
    );
}

#[test]
fn googles_files_are_read_by_their_type() {
    let vertex = "[providers.v]\nkind = \"vertex\"\nproject = \"p\"\n";
    let account = r#"{"type":"service_account","client_email":"a@p.iam","private_key_id":"k1","private_key":"-----BEGIN PRIVATE KEY-----\nsecret-key\n-----END PRIVATE KEY-----\n"}"#;
    let user = r#"{"type":"authorized_user","client_id":"c","client_secret":"cs","refresh_token":"rt","quota_project_id":"q-1"}"#;
    let outside = r#"{"type":"external_account","audience":"//iam/pools/x","subject_token_type":"urn:jwt","token_url":"https://sts.googleapis.com/v1/token","credential_source":{"file":"/subject","format":{"type":"json","subject_token_field_name":"tok"}},"service_account_impersonation_url":"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/a:generateAccessToken"}"#;
    let files = [
        ("conf/account.json", account),
        ("/adc.json", user),
        ("/gcloud/application_default_credentials.json", user),
        ("conf/outside.json", outside),
        ("/subject", r#"{"tok":"subject-1"}"#),
    ];
    let named = |file: &str| format!("{vertex}credentials_file = {file:?}\n");
    let provider = only(&named("account.json"), &[("GOOGLE_APPLICATION_CREDENTIALS", "/adc.json")], &files);
    assert_eq!(label(&provider), "a Google token of a service account");
    assert!(!format!("{provider:?}").contains("secret-key"));
    let provider = only(vertex, &[("GOOGLE_APPLICATION_CREDENTIALS", "/adc.json")], &files);
    assert_eq!(label(&provider), "a Google token of a user");
    let Credential::Google(google) = &provider.key(0).credential else { panic!() };
    assert_eq!(google.quota_project.as_ref().unwrap(), "q-1");
    assert_eq!(label(&only(vertex, &[("CLOUDSDK_CONFIG", "/gcloud")], &files)), "a Google token of a user");
    assert_eq!(label(&only(vertex, &[("HOME", "/nowhere")], &files)), "a Google token of the metadata server");
    let provider = only(&named("outside.json"), &[], &files);
    let Credential::Google(google) = &provider.key(0).credential else { panic!() };
    let GoogleSource::External { subject_token, impersonation, .. } = &google.source else { panic!() };
    assert_eq!((subject_token.reveal(), impersonation.is_some()), ("subject-1", true));

    let cases = [
        ("{}", "is not a credentials file: it has no `type`"),
        ("{", "is not a credentials file: "),
        (r#"{"type":"service_account"}"#, "is not a complete credentials file: it has no `client_email`"),
        (r#"{"type":"service_account","client_email":"a","private_key":"x"}"#, "has a `private_key` that is no PKCS #8 key in PEM"),
        (r#"{"type":"external_account","credential_source":{"url":"http://x"}}"#, "has a `credential_source` without a `file`"),
        (r#"{"type":"impersonated_service_account"}"#, "has the type \"impersonated_service_account\", which this version does not know"),
        (
            r#"{"type":"authorized_user","client_id":"c","client_secret":"s","refresh_token":"r","token_uri":"ftp://x"}"#,
            "has a `token_uri` that has the scheme",
        ),
    ];
    for (text, expected) in cases {
        let rejected = within(&named("x.json"), &[], &[("conf/x.json", text)]).unwrap_err();
        assert!(rejected.faults[0].text.starts_with(expected), "{rejected}");
    }
}

#[test]
fn a_listed_dialect_counts_for_every_model() {
    let config = loaded(
        "[providers.o]\nkind = \"openai\"\napi_key = \"k\"\ndialects = [\"openai_chat\"]\n[providers.v]\nkind = \"vertex\"\nproject = \"p\"\n[providers.p]\nkind = \"openai\"\napi_key = \"k\"\n",
    );
    let speaks = |model: &str| config.policy.find(model).unwrap().targets[0].dialects.to_vec();
    assert_eq!(speaks("o/o3-pro"), [Dialect::OpenAiChat]);
    assert_eq!(speaks("p/o3-pro"), [Dialect::OpenAiResponses]);
    assert_eq!(speaks("v/claude-opus-4-5@20251101"), [Dialect::Anthropic]);
    assert_eq!(speaks("v/gemini-3-pro"), [Dialect::Gemini]);
    let wrong = faults(
        "[providers.o]\nkind = \"openai\"\napi_key = \"k\"\ndialects = [\"openai_chats\", \"anthropic\", \"anthropic\", \"x\"]\n[providers.q]\nkind = \"openai\"\napi_key = \"k\"\ndialects = []",
    );
    let expected = [
        "4:13: providers.o.dialects[0]: no dialect named \"openai_chats\" (did you mean \"openai_chat\"?)",
        "4:42: providers.o.dialects[2]: \"anthropic\" stands twice",
        "4:55: providers.o.dialects[3]: no dialect named \"x\" (one of openai_chat, openai_responses, anthropic, gemini, bedrock)",
        "8:12: providers.q.dialects: is empty: the provider could not be asked anything (leave it out for the kind's own)",
    ];
    assert_eq!(wrong, expected.map(|fault| format!("conf/sidecar.toml:{fault}")));
}

#[test]
fn keys_of_another_kind_are_refused_where_they_stand() {
    let cases = [
        (
            "kind = \"openai\"\nregion = \"us-east-1\"",
            "3:10: providers.x.region: has no use for the kind \"openai\": it belongs to \"bedrock\" (leave it out)",
        ),
        (
            "kind = \"bedrock\"\nregion = \"us-east-1\"\nproject = \"p\"",
            "4:11: providers.x.project: has no use for the kind \"bedrock\": it belongs to \"vertex\" (leave it out)",
        ),
        (
            "kind = \"echo\"\nclient_id = \"c\"",
            "3:13: providers.x.client_id: has no use for the kind \"echo\": it belongs to \"azure\" (leave it out)",
        ),
        (
            "kind = \"bedrock\"\nregion = \"us-east-1\"\naccess_key_id = \"a\"",
            "1:12: providers.x.secret_access_key: is missing: access_key_id is of no use without it",
        ),
        (
            "kind = \"bedrock\"\nregion = \"us-east-1\"\nsession_token = \"a\"",
            "4:17: providers.x.session_token: is of no use without access_key_id and secret_access_key",
        ),
        (
            "kind = \"bedrock\"\nregion = \"us-east-1\"\nrole_arn = \"a\"",
            "1:12: providers.x.web_identity_token_file: is missing: role_arn is of no use without it",
        ),
        (
            "kind = \"bedrock\"\nregion = \"us-east-1\"\nprofile = \"nope\"",
            "4:11: providers.x.profile: \"nope\" has no aws_access_key_id and aws_secret_access_key in /etc/aws",
        ),
    ];
    for (keys, fault) in cases {
        assert_eq!(faults(&format!("[providers.x]\n{keys}")), [format!("conf/sidecar.toml:{fault}")], "{keys}");
    }
}

#[test]
fn tokens_given_as_keys_travel_as_bearers() {
    let cases = [
        ("azure", "base_url = \"https://r.openai.azure.com\"", "0123abcd", "api-key", "0123abcd"),
        ("azure", "base_url = \"https://r.openai.azure.com\"", "eyJ0.e30.sig", "authorization", "Bearer eyJ0.e30.sig"),
        ("gemini", "", "AIza1", "x-goog-api-key", "AIza1"),
        ("vertex", "", "ya29.token", "authorization", "Bearer ya29.token"),
        ("bedrock", "region = \"us-east-1\"", "bedrock-api-key", "authorization", "Bearer bedrock-api-key"),
        ("cohere", "", "co-key", "authorization", "Bearer co-key"),
    ];
    for (kind, more, key, name, value) in cases {
        let provider = only(&format!("[providers.p]\nkind = {kind:?}\napi_key = {key:?}\n{more}\n"), &[], &[]);
        let Credential::Header(found, header) = &provider.key(0).credential else { panic!("{kind}: no header") };
        assert_eq!((found.as_str(), header.to_str().unwrap(), header.is_sensitive()), (name, value, true));
        assert_eq!(provider.key(0).secret.as_ref().unwrap().reveal(), key);
    }
}

#[test]
fn each_kind_says_where_it_is_in_a_form_that_is_read() {
    for kind in catalog::KINDS {
        if let Base::Url(url) = kind.base {
            assert!(base_url(url).is_ok_and(|base| !url.ends_with('/') && base.query.is_none()), "{url}");
        }
        assert!(kind.key_variables.iter().all(|name| name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')));
    }
}

#[test]
fn quirks_are_those_of_their_hosts() {
    // (kind, stream_options, top_k, random_seed, short ids, developer role)
    let cases = [
        ("openai", true, false, false, false, true),
        ("azure", true, false, false, false, true),
        ("mistral", false, true, true, true, false),
        ("groq", true, false, false, false, false),
        ("vllm", true, true, false, false, false),
        ("cohere", true, false, false, false, false),
    ];
    for (kind, options, top_k, seed, ids, developer) in cases {
        let traits = catalog::traits(kind, "some-model");
        let found = (traits.stream_options, traits.top_k, traits.random_seed, traits.short_call_ids, traits.developer_role);
        assert_eq!(found, (options, top_k, seed, ids, developer), "{kind}");
    }
    // Whatever speaks OpenAI's dialect with models of others gets the older names.
    for kind in catalog::KINDS.iter().filter(|kind| matches!(kind.base, Base::Url(_)) && kind.dialects.contains(&Dialect::OpenAiChat)) {
        let traits = catalog::traits(kind.name, "some-model");
        assert_eq!(traits.developer_role, kind.name == "openai", "{}", kind.name);
        let newer = ["openai", "groq", "xai", "cerebras"].contains(&kind.name);
        let expected = if newer { MaxTokensName::MaxCompletionTokens } else { MaxTokensName::MaxTokens };
        assert_eq!(traits.max_tokens_name, expected, "{}", kind.name);
    }
}
