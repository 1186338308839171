//! What a translation could not say, and which names it had to change.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::base::json::Object;
use crate::ir::{Dialect, Extension};

/// How many different losses are named; further ones are counted under the last.
const LOSSES_MAX: usize = 32;
/// Longest name of a loss, in bytes.
const LOSS_NAME_BYTES_MAX: usize = 64;

/// Members that the target's dialect could not express, by their path without indexes (`messages[].name`). Bounded, since
/// a caller chooses the names of unknown members and they end in a header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    names: Vec<Cow<'static, str>>,
}

impl Losses {
    /// Names a loss once. Characters that a header value cannot hold are left out.
    pub fn add(&mut self, name: impl Into<Cow<'static, str>>) {
        let name = name.into();
        let sound = |c: char| c.is_ascii_alphanumeric() || "_-.[]".contains(c);
        let name = match name.len() <= LOSS_NAME_BYTES_MAX && name.chars().all(sound) {
            true => name,
            false => Cow::Owned(name.chars().filter(|c| sound(*c)).take(LOSS_NAME_BYTES_MAX).collect()),
        };
        if self.names.len() < LOSSES_MAX && !self.names.contains(&name) {
            self.names.push(name);
        }
    }

    /// Writes the members of `dialect`'s own and names the others, behind `place`.
    pub(super) fn write_own<'e>(
        &mut self,
        dialect: Dialect,
        place: &str,
        extensions: impl IntoIterator<Item = &'e Extension<'e>>,
        object: &mut Object<'_>,
    ) {
        for Extension { dialect: of, name, value } in extensions {
            match *of == dialect {
                _ if value.is_null() => {}
                true => object.raw(name, *value),
                false => self.add(format!("{place}{name}")),
            }
        }
    }

    /// Takes over another list.
    pub fn extend(&mut self, other: &Self) {
        for name in &other.names {
            self.add(name.clone());
        }
    }

    /// Whether nothing was lost.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The names in the order they were met.
    pub fn names(&self) -> &[Cow<'static, str>] {
        &self.names
    }
}

/// What an encoder leaves behind for the way back.
#[derive(Clone, Debug, Default)]
pub struct Notes {
    /// What could not be said.
    pub losses: Losses,
    /// Which tools go by another name upstream.
    pub tools: ToolNames,
}

/// Tools that the target knows under another name, or as another kind, than the caller. However many there are, a name is
/// found at once: a caller chooses how many it sends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolNames {
    /// By the names upstream that are taken.
    upstream: HashMap<String, Known>,
    /// The names upstream of those that had to change.
    fitted: HashMap<String, String>,
    /// How often a name that begins so was taken already.
    taken: HashMap<String, usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    caller: String,
    custom: bool,
}

/// How much of a name is left free for a number behind it.
const NUMBER_BYTES: usize = 8;

impl ToolNames {
    /// The name to use upstream for `caller`: itself where it fits the charset `[a-zA-Z0-9_-]{1,max}`, else a fitting
    /// one that no other tool has. The same name gives the same answer each time.
    pub fn fit<'n>(&mut self, caller: &'n str, length_max: usize) -> Cow<'n, str> {
        if let Some(fitted) = self.fitted.get(caller) {
            return Cow::Owned(fitted.clone());
        }
        if fits(caller, length_max) {
            return Cow::Borrowed(caller);
        }
        let mut upstream: String = caller.chars().take(length_max).map(|c| if is_sound(c) { c } else { '_' }).collect();
        if upstream.is_empty() {
            "tool".clone_into(&mut upstream);
        }
        if self.upstream.contains_key(&upstream) {
            let stem = upstream[..upstream.len().min(length_max.saturating_sub(NUMBER_BYTES))].to_owned();
            let number = self.taken.entry(stem.clone()).or_insert(1);
            while self.upstream.contains_key(&upstream) {
                *number += 1;
                upstream = format!("{stem}_{number}");
            }
        }
        self.upstream.insert(upstream.clone(), Known { caller: caller.to_owned(), custom: false });
        self.fitted.insert(caller.to_owned(), upstream.clone());
        Cow::Owned(upstream)
    }

    /// Reserves the names that need no change, where any of `names` needs one: a changed name must not meet an unchanged
    /// one. Call it with all tools on offer before the first [`Self::fit`].
    pub fn reserve<'n>(&mut self, names: impl Iterator<Item = Cow<'n, str>> + Clone, length_max: usize) {
        if names.clone().all(|name| fits(&name, length_max)) {
            return;
        }
        for name in names.filter(|name| fits(name, length_max)) {
            self.upstream.insert(name.clone().into_owned(), Known { caller: name.into_owned(), custom: false });
        }
    }

    /// Notes that the tool known upstream as `upstream` stands for a free-form tool of the caller's.
    pub fn mark_custom(&mut self, upstream: &str, caller: &str) {
        match self.upstream.get_mut(upstream) {
            Some(known) => known.custom = true,
            None => drop(self.upstream.insert(upstream.to_owned(), Known { caller: caller.to_owned(), custom: true })),
        }
    }

    /// The caller's name for an upstream one, and whether the caller's tool is a free-form one. `None`: nothing was changed.
    pub fn restore(&self, upstream: &str) -> Option<(&str, bool)> {
        self.upstream.get(upstream).map(|known| (known.caller.as_str(), known.custom))
    }

    /// Whether no tool was renamed.
    pub fn is_empty(&self) -> bool {
        self.upstream.is_empty()
    }
}

fn is_sound(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

fn fits(name: &str, length_max: usize) -> bool {
    !name.is_empty() && name.len() <= length_max && name.chars().all(is_sound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_named_once_and_bounded() {
        let mut losses = Losses::default();
        losses.add("seed");
        losses.add("seed");
        losses.add("bad\r\nname: x");
        assert_eq!(losses.names(), ["seed", "badnamex"]);
        for i in 0..100 {
            losses.add(format!("x{i}"));
        }
        assert_eq!(losses.names().len(), LOSSES_MAX);
    }

    #[test]
    fn tool_names_fit_and_come_back() {
        let mut names = ToolNames::default();
        assert_eq!(names.fit("get_weather", 64), "get_weather");
        assert!(names.is_empty());
        assert_eq!(names.fit("a.b", 64), "a_b");
        assert_eq!(names.fit("a/b", 64), "a_b_2");
        assert_eq!(names.fit("a b", 64), "a_b_3");
        assert_eq!(names.fit("a.b", 64), "a_b");
        assert_eq!(names.restore("a_b_2"), Some(("a/b", false)));
        let long = "x".repeat(70);
        assert_eq!(names.fit(&long, 64).len(), 64);
        let longer = "x".repeat(71);
        assert_eq!(names.fit(&longer, 64), format!("{}_2", "x".repeat(56)));
        assert_eq!(names.restore(&format!("{}_2", "x".repeat(56))), Some((longer.as_str(), false)));
        assert_eq!(names.restore("get_weather"), None);
    }

    #[test]
    fn a_changed_name_never_meets_an_unchanged_one() {
        let offered = ["a.b", "a_b", "c"];
        let mut names = ToolNames::default();
        names.reserve(offered.iter().map(|name| Cow::Borrowed(*name)), 64);
        let upstream = offered.map(|name| names.fit(name, 64).into_owned());
        assert_eq!(upstream, ["a_b_2", "a_b", "c"]);
        assert_eq!(upstream.each_ref().map(|name| names.restore(name)), offered.map(|name| Some((name, false))));
        let mut sound = ToolNames::default();
        sound.reserve(["a", "b"].iter().map(|name| Cow::Borrowed(*name)), 64);
        assert!(sound.is_empty());
    }
}
