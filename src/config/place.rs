//! Where a provider is: its base URL as given, or as its kind builds one, and the layout of the paths behind it.

use super::catalog::{Base, Kind};
use super::file::{Reading, Spot, Table};
use super::values::{self, BaseUrl};
use super::{HttpVersion, Layout, Site};
use crate::ir::Dialect;

/// Where AWS's tools look for the region.
pub(super) const AWS_REGIONS: [&str; 2] = ["AWS_REGION", "AWS_DEFAULT_REGION"];

/// Where a provider is.
pub(super) struct Placed {
    pub(super) site: Site,
    pub(super) layout: Layout,
    /// The AWS region, for a kind that has one.
    pub(super) region: Option<String>,
    /// What the table says of it, as it may be shown.
    pub(super) told: Vec<(&'static str, String)>,
}

/// Reads what a provider's table says about where it is; `speaks` is what it is asked in first.
pub(super) fn place(reading: &Reading<'_>, table: &Table<'_, '_>, kind: &Kind, speaks: Dialect) -> Option<Placed> {
    let (ca_pem, http_version) = transport(reading, table);
    let given = match table.has("base_url") {
        true => {
            let text = table.name("base_url")?;
            Some((reading.accept(&text.at, values::base_url(&text.value))?, text.at))
        }
        false => None,
    };
    let mut told = Vec::new();
    let mut region = None;
    let (url, layout) = match kind.base {
        Base::Url(usual) => (fixed(reading, table, given, usual)?, Layout::Standard),
        Base::Embedded => return None,
        Base::Azure => azure(reading, table, given)?,
        Base::Vertex => (vertex(reading, table, given, &mut told)?, Layout::Vertex),
        Base::Bedrock => {
            let found = aws_region(reading, table, given.as_ref().map(|(url, _)| url), &mut told)?;
            let url = match given {
                Some((url, _)) => url,
                None => reading.accept(&table.at, values::base_url(&bedrock_url(&found, speaks)))?,
            };
            region = Some(found);
            (url, Layout::Standard)
        }
    };
    let BaseUrl { origin, path_prefix, query } = url;
    Some(Placed { site: Site::new(origin, path_prefix, query, ca_pem, http_version), layout, region, told })
}

/// What a table whose kind is not known says about its place, for its faults.
pub(super) fn judge(reading: &Reading<'_>, table: &Table<'_, '_>) {
    transport(reading, table);
    if let Some(text) = table.text("base_url") {
        reading.accept(&text.at, values::base_url(&text.value));
    }
}

fn transport(reading: &Reading<'_>, table: &Table<'_, '_>) -> (Option<Vec<u8>>, HttpVersion) {
    let http_version = table.text("http_version").and_then(|text| {
        let version = match text.value.as_str() {
            "auto" => Ok(HttpVersion::Auto),
            "1.1" => Ok(HttpVersion::Http1),
            "2" => Ok(HttpVersion::Http2),
            other => Err(format!("expected \"auto\", \"1.1\" or \"2\", found {other:?}")),
        };
        reading.accept(&text.at, version)
    });
    let ca_pem = table.name("ca_file").and_then(|text| {
        let pem = if text.value.starts_with("-----BEGIN") { Ok(text.value) } else { reading.read(&text.value) };
        let certificates = |pem: String| match pem.contains("-----BEGIN CERTIFICATE-----") {
            true => Ok(pem.into_bytes()),
            false => Err("holds no certificate (expected PEM: -----BEGIN CERTIFICATE-----)".to_owned()),
        };
        reading.accept(&text.at, pem.and_then(certificates))
    });
    (ca_pem, http_version.unwrap_or_default())
}

type Given = Option<(BaseUrl, Spot)>;

fn fixed(reading: &Reading<'_>, table: &Table<'_, '_>, given: Given, usual: &str) -> Option<BaseUrl> {
    let Some((url, at)) = given else { return reading.accept(&table.at, values::base_url(usual)) };
    // The vendors' SDKs differ in whether their base URL has the `/v1`; ours has it.
    let known = values::base_url(usual).ok();
    if known.is_some_and(|known| url.origin == known.origin && url.path_prefix.is_empty() && !known.path_prefix.is_empty()) {
        reading.warn(&at, format!("has no path, although this vendor's has (did you mean {usual:?}?)"));
    }
    Some(url)
}

/// The v1 API has the paths of OpenAI; a dated version, told in the query, names the deployment in the path.
fn azure(reading: &Reading<'_>, table: &Table<'_, '_>, given: Given) -> Option<(BaseUrl, Layout)> {
    let Some((mut url, at)) = given else {
        let text = "is missing: each resource of Azure has a host of its own (as \"https://NAME.openai.azure.com/openai/v1\")";
        reading.fault(&table.spot("base_url"), text);
        return None;
    };
    let version = url.query.as_deref().and_then(|query| query.split('&').find_map(|part| part.strip_prefix("api-version=")));
    // `preview` and `latest` are versions of the v1 API.
    let dated = version.is_some_and(|version| version.starts_with(|c: char| c.is_ascii_digit()));
    let known_version = version.is_some();
    if let Some((before, deployment)) = url.path_prefix.rsplit_once("/deployments/")
        && !deployment.is_empty()
        && !deployment.contains('/')
    {
        let layout = Layout::AzureDeployments(Some(deployment.to_owned()));
        url.path_prefix.truncate(before.len());
        warn_without_version(reading, &at, known_version);
        return Some((url, layout));
    }
    if url.path_prefix.ends_with("/openai") {
        warn_without_version(reading, &at, known_version);
        return Some((url, Layout::AzureDeployments(None)));
    }
    if !url.path_prefix.is_empty() {
        return Some((url, Layout::Standard));
    }
    url.path_prefix.push_str(if dated { "/openai" } else { "/openai/v1" });
    Some((url, if dated { Layout::AzureDeployments(None) } else { Layout::Standard }))
}

fn warn_without_version(reading: &Reading<'_>, at: &Spot, known: bool) {
    if !known {
        let text = "lacks the api-version that this path wants (did you mean …/openai/v1, or …/openai?api-version=2024-10-21?)";
        reading.warn(at, text);
    }
}

fn vertex(reading: &Reading<'_>, table: &Table<'_, '_>, given: Given, told: &mut Vec<(&'static str, String)>) -> Option<BaseUrl> {
    let project = segment(reading, table, "project")?;
    let location = segment(reading, table, "location")?;
    let whole = given.as_ref().is_some_and(|(url, _)| url.path_prefix.contains("/projects/"));
    let location_or_default = location.clone().unwrap_or_else(|| "global".into());
    let mut url = match given {
        Some((url, _)) => url,
        None => {
            let host = match location_or_default.as_str() {
                "global" => "aiplatform.googleapis.com".to_owned(),
                "us" | "eu" => format!("aiplatform.{location_or_default}.rep.googleapis.com"),
                region => format!("{region}-aiplatform.googleapis.com"),
            };
            reading.accept(&table.at, values::base_url(&format!("https://{host}")))?
        }
    };
    if !whole {
        if !url.path_prefix.ends_with("/v1") && !url.path_prefix.ends_with("/v1beta1") {
            url.path_prefix.push_str("/v1");
        }
        match &project {
            Some(project) => url.path_prefix.push_str(&format!("/projects/{project}/locations/{location_or_default}")),
            // A key alone is the express mode, whose paths have no project.
            None if table.has("api_key") => {}
            None => {
                let text = "is missing (did you mean project = \"env:GOOGLE_CLOUD_PROJECT\"?)";
                reading.fault(&table.spot("project"), text);
                return None;
            }
        }
    }
    told.extend([("project", project), ("location", location)].into_iter().filter_map(|(key, value)| Some((key, value?))));
    Some(url)
}

fn aws_region(
    reading: &Reading<'_>,
    table: &Table<'_, '_>,
    url: Option<&BaseUrl>,
    told: &mut Vec<(&'static str, String)>,
) -> Option<String> {
    let named = segment(reading, table, "region")?;
    // Signatures are good for the region of the host that they are sent to.
    let of_host = url.and_then(|url| url.origin.host()).and_then(|host| host.split('.').find(|label| is_region(label))).map(str::to_owned);
    if let (Some(named), Some(of_host)) = (&named, &of_host)
        && named != of_host
    {
        let text = format!("is {named:?}, but base_url is a host of {of_host:?} (leave region out, or make them equal)");
        reading.fault(&table.spot("region"), text);
        return None;
    }
    told.extend(named.clone().map(|region| ("region", region)));
    let found = named.or(of_host).or_else(|| AWS_REGIONS.iter().find_map(|name| reading.env(name)));
    // A host of one's own stands for a region that it does not name: signatures to it want some region.
    let found = found.filter(|region| is_host_label(region)).or_else(|| url.map(|_| "us-east-1".to_owned()));
    if found.is_none() {
        reading.fault(&table.spot("region"), "is missing (as \"us-east-1\"; did you mean region = \"env:AWS_REGION\"?)");
    }
    found
}

/// Whether it is written as `us-east-1` or `us-gov-west-1`.
fn is_region(label: &str) -> bool {
    let mut parts = label.split('-');
    let area = parts.next().is_some_and(|area| area.len() == 2 && area.bytes().all(|byte| byte.is_ascii_lowercase()));
    let number = parts.next_back().is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()));
    area && number && parts.next().is_some_and(|direction| direction.bytes().all(|byte| byte.is_ascii_lowercase()))
}

/// The host at which a region serves this dialect.
fn bedrock_url(region: &str, speaks: Dialect) -> String {
    let host = format!("https://bedrock-runtime.{region}.{}", aws_domain(region));
    match speaks {
        Dialect::OpenAiChat | Dialect::OpenAiResponses => format!("{host}/openai/v1"),
        Dialect::Anthropic => format!("https://bedrock-mantle.{region}.api.aws/anthropic/v1"),
        Dialect::Bedrock | Dialect::Gemini => host,
    }
}

/// The domain of AWS's hosts in a region.
pub(super) fn aws_domain(region: &str) -> &'static str {
    if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" }
}

/// The value of a key that becomes a part of a host or path; `None` where it is there and cannot.
fn segment(reading: &Reading<'_>, table: &Table<'_, '_>, key: &'static str) -> Option<Option<String>> {
    if !table.has(key) {
        return Some(None);
    }
    let text = table.name(key)?;
    let value = text.value.trim();
    // A project may belong to a domain: `example.com:name`.
    let sound = is_host_label(value) || (key == "project" && value.split([':', '.']).all(is_host_label));
    if !sound {
        reading.fault(&text.at, format!("{value:?} is no {key}: expected letters, digits and \"-\""));
        return None;
    }
    Some(Some(value.to_owned()))
}

fn is_host_label(text: &str) -> bool {
    !text.is_empty() && text.len() < 64 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}
