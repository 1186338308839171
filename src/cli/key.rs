//! `outrider key new`.

use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;

use super::{Exit, written};
use crate::config::{Digest, KEY_PREFIX, Key};

/// Chance in a key: 192 bits, which make 32 characters.
const KEY_BYTES: usize = 24;

/// What a new key says.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct NewKey {
    /// Its name in accounts and messages [default: the first 12 hex digits of its digest]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The team that it stands for
    #[arg(long, value_name = "TEAM")]
    pub team: Option<String>,
    /// The app that it stands for
    #[arg(long, value_name = "APP")]
    pub app: Option<String>,
    /// The end user that it stands for
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// From when on it is not accepted: a date (its beginning in UTC), or an instant as 2027-01-31T12:00:00Z
    #[arg(long, value_name = "WHEN", value_parser = expiry)]
    pub expires: Option<String>,
    /// The models that may be asked for with it, * for any text
    #[arg(long, value_name = "MODEL,…", value_delimiter = ',')]
    pub models: Vec<String>,
}

fn expiry(text: &str) -> Result<String, String> {
    Key::expiry(text).map(|_| text.trim().to_owned())
}

/// The system's own source of chance.
///
/// # Errors
/// It has none to give.
pub fn entropy(bytes: &mut [u8]) -> io::Result<()> {
    getrandom::getrandom(bytes).map_err(|cause| io::Error::other(cause.to_string()))
}

/// `outrider key new`: the key on the first line of `out`, and below the TOML that holds its digest. `entropy` fills bytes
/// with chance.
pub fn new_key(asked: &NewKey, entropy: impl Fn(&mut [u8]) -> io::Result<()>, out: &mut dyn Write, err: &mut dyn Write) -> Exit {
    let mut bytes = [0; KEY_BYTES];
    if let Err(cause) = entropy(&mut bytes) {
        return written(writeln!(err, "outrider: no key was made: the system has no chance to give: {cause}"), Exit::Failed);
    }
    let key = format!("{KEY_PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
    written(write!(out, "{key}\n\n{}", entry(asked, &key)), Exit::Done)
}

/// The entry of the configuration.
fn entry(asked: &NewKey, key: &str) -> String {
    let mut lines = vec![
        "# The key above is shown this once. This goes into the sidecar's configuration:".to_owned(),
        "[[keys]]".to_owned(),
        format!("digest = \"{}\"", Digest::of(key)),
    ];
    let texts = [("name", &asked.name), ("team", &asked.team), ("app", &asked.app), ("user", &asked.user)];
    let literal = |text: &String| toml::Value::from(text.as_str()).to_string();
    lines.extend(texts.iter().filter_map(|(name, text)| Some(format!("{name} = {}", literal(text.as_ref()?)))));
    // It was read as what TOML calls a date, and so is one.
    lines.extend(asked.expires.iter().map(|expires| format!("expires = {expires}")));
    if !asked.models.is_empty() {
        lines.push(format!("models = [{}]", asked.models.iter().map(literal).collect::<Vec<_>>().join(", ")));
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Command, parse};
    use super::*;
    use crate::config::{Config, Outside};

    fn made(line: &[&str], entropy: impl Fn(&mut [u8]) -> io::Result<()>) -> (Exit, String, String) {
        let Command::NewKey(asked) = parse(line).unwrap().command else { panic!("another command") };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let exit = new_key(&asked, entropy, &mut out, &mut err);
        (exit, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    fn loaded(toml: &str) -> std::sync::Arc<Key> {
        let outside = Outside { env: &|_| None, read: &|_| Err(io::ErrorKind::NotFound.into()) };
        let loaded = Config::parse(Path::new("c"), toml, &outside).unwrap_or_else(|rejected| panic!("{rejected}"));
        loaded.config.policy.keys[0].clone()
    }

    #[test]
    fn a_key_is_shown_with_the_entry_that_accepts_it() {
        let line = [
            "outrider",
            "key",
            "new",
            "--team",
            "a \"b\"",
            "--app=ranker",
            "--user",
            "é",
            "--name",
            "n-1",
            "--expires",
            "2027-01-31",
            "--models",
            "fast,gpt-*",
            "--models",
            "x",
        ];
        let (exit, out, err) = made(&line, entropy);
        assert_eq!((exit, err.as_str()), (Exit::Done, ""));
        let (key, toml) = out.split_once('\n').unwrap();
        assert!(key.starts_with("ork-") && key.len() == 36, "{key}");
        assert!(!toml.contains(key));
        let read = loaded(toml);
        assert_eq!(read.digest, Digest::of(key));
        assert_eq!([&read.team, &read.app, &read.user].map(|text| text.as_deref()), [Some("a \"b\""), Some("ranker"), Some("é")]);
        assert_eq!((read.name.as_str(), read.models.as_slice()), ("n-1", ["fast", "gpt-*", "x"].map(str::to_owned).as_slice()));
        assert_eq!(read.expires, Some(Key::expiry("2027-01-31").unwrap()));
        let (_, other, _) = made(&["outrider", "key", "new"], entropy);
        assert!(other.lines().next() != Some(key));
        assert_eq!(loaded(other.split_once('\n').unwrap().1).name.len(), 12);
        let (_, instant, _) = made(&["outrider", "key", "new", "--expires", "2027-01-31 12:00:00+02:00"], entropy);
        assert_eq!(loaded(instant.split_once('\n').unwrap().1).expires, Some(Key::expiry("2027-01-31T10:00:00Z").unwrap()));
    }

    #[test]
    fn all_chance_of_the_system_is_in_the_key() {
        let of = |place: usize| {
            let flip = move |bytes: &mut [u8]| {
                bytes[place] = 1;
                Ok(())
            };
            made(&["outrider", "key", "new"], flip).1.lines().next().unwrap().to_owned()
        };
        let keys: std::collections::HashSet<_> = (0..KEY_BYTES).map(of).collect();
        assert_eq!(keys.len(), 24);
    }

    #[test]
    fn without_chance_there_is_no_key() {
        let (exit, out, err) = made(&["outrider", "key", "new"], |_| Err(io::Error::other("none")));
        assert_eq!((exit, out.as_str()), (Exit::Failed, ""));
        assert_eq!(err, "outrider: no key was made: the system has no chance to give: none\n");
    }

    #[test]
    fn an_expiry_is_judged_at_once() {
        for when in ["soon", "2027-13-01", "12:00:00", "2027-01-31T12:00:00"] {
            assert!(parse(["outrider", "key", "new", "--expires", when]).is_err(), "{when}");
        }
    }
}
