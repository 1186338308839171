//! Rules: which request goes to which model. The first whose conditions all hold decides.

mod condition;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::cell::OnceCell;
use std::time::SystemTime;

use http::HeaderMap;

use super::caller::Caller;
use super::difficulty::Difficulty;
use super::digest::Digest;
use super::features::Features;
use super::prompt;
use crate::config::{Route, Then};
use crate::ir::{Operation, Request};
use condition::{Condition, Needs};

/// What rules are asked about.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The model asked for, as the caller spelled it.
    pub model: &'a str,
    /// What is asked for.
    pub operation: Operation,
    /// Whether the answer comes as a stream.
    pub stream: bool,
    /// The caller's headers, as they came.
    pub headers: &'a HeaderMap,
    /// Who asks.
    pub caller: &'a Caller<'a>,
    /// What the request is.
    pub features: &'a Features,
    /// The request itself; `None` where it was not decoded. Then what its text says is not known, and conditions on it do not hold.
    pub request: Option<&'a Request<'a>>,
    /// The time.
    pub at: SystemTime,
    /// Chance: a number of its own for each exchange, for shares of users and sessions that are not known.
    pub draw: u64,
}

/// A rule that matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match<'r> {
    /// Its place in the file, from 0.
    pub index: usize,
    /// Its name, where it has one.
    pub name: Option<&'r str>,
    /// What it does.
    pub then: &'r Then,
}

/// How a rule compared with a request, for people.
#[derive(Clone, Debug, PartialEq)]
pub struct Step<'r> {
    /// Its place in the file, from 0.
    pub index: usize,
    /// Its name, where it has one.
    pub name: Option<&'r str>,
    /// What it does.
    pub then: &'r Then,
    /// The first condition that did not hold, in the order in which they are looked at; `None`: it matches. The first that
    /// matches decides, whatever later ones do.
    pub failed: Option<Failed>,
}

/// A condition that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Its key in the file (`max_input_tokens`).
    pub key: Cow<'static, str>,
    /// What was expected, in words.
    pub expected: String,
    /// What was found, in words. Never a prompt's text.
    pub found: String,
}

/// The rules of a policy, ready to be compared.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    rules: Vec<Rule>,
    needs: Needs,
}

#[derive(Clone, Debug)]
struct Rule {
    name: Option<Box<str>>,
    then: Then,
    /// The cheapest first; those that need the request stand behind those that do not.
    conditions: Box<[Condition]>,
    needs: Needs,
}

impl Rules {
    /// Compiles the rules of a policy.
    pub fn new(routes: &[Route]) -> Self {
        let rules: Vec<_> = routes.iter().enumerate().map(|(index, route)| Rule::new(index, route)).collect();
        let needs = rules.iter().map(|rule| rule.needs).max().unwrap_or_default();
        Self { rules, needs }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether some rule looks at what only a decoded request shows: its features, the user in its dialect's own field, its text.
    pub fn needs_request(&self) -> bool {
        self.needs >= Needs::Request
    }

    /// Whether some rule looks at the text of the last user message.
    pub fn needs_text(&self) -> bool {
        self.needs >= Needs::Text
    }

    /// Whether the decision about this request hangs on what only decoding it shows: `false` also where a rule decides before,
    /// or where all rules that look into requests are about other models, callers or times. What it says of `features` and
    /// `request` is not looked at.
    pub fn depend_on_request(&self, asked: &Asked<'_>) -> bool {
        if !self.needs_request() {
            return false;
        }
        let seen = Seen::new(asked);
        for rule in &self.rules {
            let mut inside = false;
            let outside_holds = rule.conditions.iter().all(|condition| match condition.waits(asked) {
                true => {
                    inside = true;
                    true
                }
                false => condition.holds(&seen),
            });
            if outside_holds {
                return inside;
            }
        }
        false
    }

    /// The first rule that matches.
    pub fn first(&self, asked: &Asked<'_>) -> Option<Match<'_>> {
        let seen = Seen::new(asked);
        let matches = |rule: &Rule| rule.conditions.iter().all(|condition| condition.holds(&seen));
        let index = self.rules.iter().position(matches)?;
        let rule = self.rules.get(index)?;
        Some(Match { index, name: rule.name.as_deref(), then: &rule.then })
    }

    /// How each rule compares, for `outrider explain`.
    pub fn trace(&self, asked: &Asked<'_>) -> Vec<Step<'_>> {
        let seen = Seen::new(asked);
        let step = |(index, rule): (usize, &'_ Rule)| {
            let failed = rule.conditions.iter().find(|condition| !condition.holds(&seen)).map(|condition| condition.tell(&seen));
            (index, failed)
        };
        let steps = self.rules.iter().enumerate().map(|(index, rule)| (rule, step((index, rule))));
        steps.map(|(rule, (index, failed))| Step { index, name: rule.name.as_deref(), then: &rule.then, failed }).collect()
    }
}

impl Rule {
    fn new(index: usize, route: &Route) -> Self {
        let mut conditions = condition::all(index, route);
        conditions.sort_by_key(Condition::cost);
        let needs = conditions.iter().map(Condition::needs).max().unwrap_or_default();
        Self { name: route.name.as_deref().map(Box::from), then: route.then.clone(), conditions: conditions.into(), needs }
    }
}

/// A request while rules are compared with it: what is dear is found once, when first asked for.
struct Seen<'a> {
    asked: &'a Asked<'a>,
    text: OnceCell<Cow<'a, str>>,
    difficulty: OnceCell<Difficulty>,
    minutes: OnceCell<i64>,
    user: OnceCell<Option<u64>>,
}

impl<'a> Seen<'a> {
    fn new(asked: &'a Asked<'a>) -> Self {
        Self { asked, text: OnceCell::new(), difficulty: OnceCell::new(), minutes: OnceCell::new(), user: OnceCell::new() }
    }

    /// The time, in minutes since the epoch.
    fn minutes(&self) -> i64 {
        *self.minutes.get_or_init(|| condition::minutes(self.asked.at))
    }

    /// The user's digest, where the user is known.
    fn user(&self) -> Option<u64> {
        *self.user.get_or_init(|| self.asked.caller.user.as_deref().map(|user| Digest::new().bytes(user.as_bytes()).finish()))
    }

    /// The last user message; `None` where the request was not decoded.
    fn text(&self) -> Option<&str> {
        let request = self.asked.request?;
        Some(self.text.get_or_init(|| prompt::last_user_text(request)))
    }

    /// How hard it looks; `None` where the request was not decoded.
    fn difficulty(&self) -> Option<Difficulty> {
        let (request, text) = (self.asked.request?, self.text()?);
        Some(*self.difficulty.get_or_init(|| Difficulty::of(request, self.asked.features, text)))
    }
}
