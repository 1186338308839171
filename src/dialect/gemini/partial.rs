//! The arguments of a call that are streamed leaf by leaf (Vertex's `streamFunctionCallArguments`), put together again.
//!
//! Each piece names its place by a JSON path. The fragments of another dialect run from the first byte to the last, so
//! nothing can be told before the call is whole.

use super::wire::{At, each, members, object};
use crate::base::Fault;
use crate::base::json::{self, Raw};
use crate::dialect::broken;

/// Bounds of one call's arguments, against an upstream gone mad.
const BYTES_MAX: usize = 16 << 20;
const NODES_MAX: usize = 4096;
const DEPTH_MAX: usize = 64;

/// Arguments so far.
#[derive(Debug)]
pub(super) struct Partial {
    root: Node,
    bytes: usize,
    nodes: usize,
}

impl Default for Partial {
    fn default() -> Self {
        Self { root: Node::Object(Vec::new()), bytes: 0, nodes: 0 }
    }
}

#[derive(Debug)]
enum Node {
    Object(Vec<(String, Node)>),
    Array(Vec<Node>),
    Words(String),
    Json(String),
}

enum Step<'p> {
    Name(&'p str),
    Index(usize),
}

impl Partial {
    /// Adds what `partialArgs` tells.
    pub(super) fn add(&mut self, pieces: Raw<'_>) -> Result<(), Fault> {
        each(pieces, &At::root("partialArgs"), |piece, at| {
            let (mut path, mut value) = (None, None);
            for (name, given) in members(object(piece, at)?) {
                match &*name {
                    "jsonPath" => path = given.string(),
                    "stringValue" | "numberValue" | "boolValue" => value = Some(given),
                    "nullValue" => value = Some(Raw::literal("null")),
                    _ => {}
                }
            }
            match (path, value) {
                (Some(path), Some(value)) => self.set(&path, value).ok_or_else(unfollowed),
                _ => Ok(()),
            }
        })
    }

    fn set(&mut self, path: &str, value: Raw<'_>) -> Option<()> {
        self.bytes += path.len() + value.get().len();
        if self.bytes > BYTES_MAX {
            return None;
        }
        let mut node = &mut self.root;
        for step in steps(path)? {
            node = node.child(&step, &mut self.nodes)?;
        }
        match (node, value.string()) {
            (Node::Words(words), Some(more)) => words.push_str(&more),
            (node, Some(words)) => *node = Node::Words(words.into_owned()),
            (node, None) => *node = Node::Json(value.get().to_owned()),
        }
        (self.nodes <= NODES_MAX).then_some(())
    }

    /// The arguments as the text of a JSON object.
    pub(super) fn into_text(self) -> String {
        let mut out = Vec::with_capacity(self.bytes);
        self.root.write(&mut out);
        String::from_utf8(out).unwrap_or_default()
    }
}

impl Node {
    /// The node a step below; what is no container yet becomes the one that is meant.
    fn child(&mut self, step: &Step<'_>, nodes: &mut usize) -> Option<&mut Self> {
        let fresh = || Self::Json("null".to_owned());
        match step {
            Step::Name(name) => {
                if !matches!(self, Self::Object(_)) {
                    *self = Self::Object(Vec::new());
                }
                let Self::Object(members) = self else { return None };
                let place = members.iter().position(|(own, _)| own == name);
                if place.is_none() {
                    *nodes += 1;
                    members.push(((*name).to_owned(), fresh()));
                }
                let place = place.unwrap_or(members.len() - 1);
                members.get_mut(place).map(|(_, node)| node)
            }
            Step::Index(index) => {
                if !matches!(self, Self::Array(_)) {
                    *self = Self::Array(Vec::new());
                }
                let Self::Array(elements) = self else { return None };
                if *index == elements.len() {
                    *nodes += 1;
                    elements.push(fresh());
                }
                elements.get_mut(*index)
            }
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Object(members) => json::object(out, |object| members.iter().for_each(|(name, node)| node.write(object.key(name)))),
            Self::Array(elements) => json::array(out, |array| elements.iter().for_each(|node| node.write(array.item()))),
            Self::Words(words) => json::write_string(words, out),
            Self::Json(text) => out.extend_from_slice(text.as_bytes()),
        }
    }
}

/// `$.a['b'][0]`; `None` where it cannot be followed.
fn steps(path: &str) -> Option<Vec<Step<'_>>> {
    let mut rest = path.strip_prefix('$').unwrap_or(path);
    let mut steps = Vec::new();
    while !rest.is_empty() {
        let step;
        if let Some(bracket) = rest.strip_prefix('[') {
            let quote = bracket.chars().next().filter(|c| matches!(c, '\'' | '"'));
            (step, rest) = match quote {
                Some(quote) => {
                    let (name, behind) = bracket[1..].split_once(&format!("{quote}]"))?;
                    (Step::Name(name), behind)
                }
                None => {
                    let (index, behind) = bracket.split_once(']')?;
                    (Step::Index(index.parse().ok()?), behind)
                }
            };
        } else {
            let name = rest.strip_prefix('.').unwrap_or(rest);
            let end = name.find(['.', '[']).unwrap_or(name.len());
            step = Step::Name(&name[..end]);
            rest = &name[end..];
        }
        steps.push(step);
        if steps.len() > DEPTH_MAX {
            return None;
        }
    }
    (!steps.is_empty()).then_some(steps)
}

fn unfollowed() -> Fault {
    broken::stream("a piece of a call's arguments that cannot be put in its place")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_make_an_object() {
        let mut partial = Partial::default();
        for pieces in [
            r#"[{"jsonPath":"$.city","stringValue":"New ","willContinue":true}]"#,
            r#"[{"jsonPath":"$.city","stringValue":"\u0059ork"}, {"jsonPath":"$.days[0]['a.b']","numberValue":1.50}]"#,
            r#"[{"jsonPath":"$.days[1]","boolValue":true},{"jsonPath":"$.days[0].c","nullValue":"NULL_VALUE"},{"willContinue":true}]"#,
        ] {
            partial.add(Raw::parse(pieces.as_bytes()).unwrap()).unwrap();
        }
        assert_eq!(partial.into_text(), r#"{"city":"New York","days":[{"a.b":1.50,"c":null},true]}"#);
        assert_eq!(Partial::default().into_text(), "{}");
    }

    #[test]
    fn what_has_no_place_is_refused() {
        for path in ["$", "$.a[7]", "$.a[x]", "$['a", "$[18446744073709551616]", &format!("${}", ".a".repeat(65))] {
            let piece = format!(r#"{{"jsonPath":"{path}","stringValue":"x"}}"#);
            assert!(Partial::default().add(Raw::parse(piece.as_bytes()).unwrap()).is_err(), "{path}");
        }
        let many: Vec<String> = (0..=NODES_MAX).map(|i| format!(r#"{{"jsonPath":"$.x{i}","boolValue":true}}"#)).collect();
        let many = format!("[{}]", many.join(","));
        assert!(Partial::default().add(Raw::parse(many.as_bytes()).unwrap()).is_err());
    }
}
