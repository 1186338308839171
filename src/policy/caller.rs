//! Who asks, as far as that is known.

use std::borrow::Cow;

use http::HeaderMap;

use crate::config::{Identity, Key};
use crate::ir::Text;

/// The header that names the end user.
const USER: &str = "x-outrider-user";

/// The header with labels.
const TAG: &str = "x-outrider-tag";

/// The longest user id that is taken, in bytes: the vendors' own bounds are 64 to 256.
const USER_BYTES_MAX: usize = 512;

/// How many labels a request may have, and how long each may be, in bytes.
const TAGS_MAX: usize = 16;
const TAG_BYTES_MAX: usize = 128;

/// Who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller<'a> {
    /// The team, which the caller cannot choose.
    pub team: Option<Cow<'a, str>>,
    /// The app, which the caller cannot choose.
    pub app: Option<Cow<'a, str>>,
    /// The end user, by the id that the app has for it.
    pub user: Option<Box<str>>,
    /// The name of the outrider key that was presented.
    pub key: Option<Cow<'a, str>>,
    /// Labels, each once, in the order they came.
    pub tags: Vec<Tag>,
}

impl<'a> Caller<'a> {
    /// What the key, the sidecar and the headers say, before those of ours are taken out; what a key says goes first. The user is `x-outrider-user`; labels are
    /// `x-outrider-tag`, several headers or one with commas, each `name` or `name=value`. A user longer than 512 bytes, a label
    /// longer than 128, and labels beyond 16 are left out: they are free words, and no reason to refuse a request.
    pub fn of(identity: &'a Identity, key: Option<&'a Key>, headers: &HeaderMap) -> Self {
        let mut tags: Vec<Tag> = Vec::new();
        let texts = headers.get_all(TAG).iter().filter_map(|value| std::str::from_utf8(value.as_bytes()).ok());
        for tag in texts.flat_map(|text| text.split(',')).filter_map(Tag::read) {
            if tags.len() == TAGS_MAX {
                break;
            }
            if !tags.contains(&tag) {
                tags.push(tag);
            }
        }
        let user = headers.get(USER).and_then(|value| std::str::from_utf8(value.as_bytes()).ok());
        Self {
            team: key.and_then(|key| key.team.as_deref()).or(identity.team.as_deref()).map(Cow::Borrowed),
            app: key.and_then(|key| key.app.as_deref()).or(identity.app.as_deref()).map(Cow::Borrowed),
            user: key.and_then(|key| key.user.as_deref()).or(user).and_then(sound_user),
            key: key.map(|key| Cow::Borrowed(key.name.as_str())),
            tags,
        }
    }

    /// The same with the user that the request itself names in its dialect's own field, where no header named one.
    #[must_use]
    pub fn or_user(mut self, user: Option<&Text<'_>>) -> Self {
        if self.user.is_none() {
            self.user = user.filter(|user| user.len() <= 6 * USER_BYTES_MAX).and_then(|user| sound_user(&user.read()));
        }
        self
    }
}

fn sound_user(user: &str) -> Option<Box<str>> {
    let user = user.trim();
    (!user.is_empty() && user.len() <= USER_BYTES_MAX).then(|| user.into())
}

/// One label: a name, and a value where it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    text: Box<str>,
    name_bytes: usize,
}

impl Tag {
    fn read(text: &str) -> Option<Self> {
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        let name = name.trim();
        let text = value.map_or_else(|| name.to_owned(), |value| format!("{name}={}", value.trim()));
        let sound = !name.is_empty() && text.len() <= TAG_BYTES_MAX && !text.contains(char::is_control);
        sound.then(|| Self { name_bytes: name.len(), text: text.into() })
    }

    /// The whole: `name` or `name=value`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.text.get(..self.name_bytes).unwrap_or_default()
    }

    /// Its value.
    pub fn value(&self) -> Option<&str> {
        self.text.get(self.name_bytes + 1..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    fn of(headers: &[(&str, &str)]) -> Caller<'static> {
        static IDENTITY: Identity = Identity { team: None, app: None, require_key: false };
        let pairs =
            headers.iter().map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap()));
        let mut map = HeaderMap::new();
        map.extend(pairs);
        Caller::of(&IDENTITY, None, &map)
    }

    #[test]
    fn the_user_is_the_headers_else_the_dialects_own() {
        let own = Text::Escaped("u\\u0031");
        assert_eq!(of(&[]).or_user(Some(&own)).user.as_deref(), Some("u1"));
        assert_eq!(of(&[("x-outrider-user", " jörg ")]).or_user(Some(&own)).user.as_deref(), Some("jörg"));
        assert_eq!(of(&[("x-outrider-user", "")]).or_user(None).user, None);
        let long = "x".repeat(513);
        assert_eq!(of(&[("x-outrider-user", &long)]).or_user(Some(&Text::plain(long.as_str()))).user, None);
        let identity = Identity { team: Some("search".into()), app: None, require_key: false };
        let caller = Caller::of(&identity, None, &HeaderMap::new());
        assert_eq!((caller.team.as_deref(), caller.app, caller.key), (Some("search"), None, None));
    }

    #[test]
    fn tags_are_names_or_names_with_values_and_bounded() {
        let tags = |values: &[&str]| {
            let headers: Vec<_> = values.iter().map(|value| ("x-outrider-tag", *value)).collect();
            of(&headers).tags
        };
        let found = tags(&["batch, env = prod ,,=x,batch", "a=b=c", "empty="]);
        let found: Vec<_> = found.iter().map(|tag| (tag.as_str(), tag.name(), tag.value())).collect();
        let expected =
            [("batch", "batch", None), ("env=prod", "env", Some("prod")), ("a=b=c", "a", Some("b=c")), ("empty=", "empty", Some(""))];
        assert_eq!(found, expected);
        let many: Vec<_> = (0..40).map(|n| n.to_string()).collect();
        assert_eq!(tags(&[&many.join(",")]).len(), 16);
        assert_eq!(tags(&[&"x".repeat(129), &"y".repeat(128), "a\tb"]).len(), 1);
    }
}
