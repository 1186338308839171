//! Which model a caller means by a name.

use std::sync::Arc;

use crate::base::{Fault, FaultKind};

use super::locate::nearest;
use super::values::matches;
use super::{Model, Policy, Provider, Target};

impl Policy {
    /// The model that `asked` means: an alias, or `provider/model`, or a bare name that exactly one provider claims.
    ///
    /// An alias costs a look-up and a reference count; the other two build a model with one target and the defaults.
    /// A name that nobody knows is [`FaultKind::ModelNotFound`], one that several claim [`FaultKind::BadRequest`].
    pub fn find(&self, asked: &str) -> Result<Arc<Model>, Fault> {
        if let Some(model) = self.by_name.get(asked) {
            return Ok(Arc::clone(model));
        }
        if asked.is_empty() || asked.len() > NAME_BYTES_MAX {
            return Err(self.unknown(asked));
        }
        if let Some((name, model)) = asked.split_once('/')
            && let Some(provider) = self.providers.iter().find(|provider| provider.name == name)
            && !model.is_empty()
        {
            return Ok(Arc::new(self.implicit(asked, provider, model)));
        }
        let mut claimants = self.providers.iter().filter(|provider| provider.claims.iter().any(|claim| matches(claim, asked)));
        match (claimants.next(), claimants.next()) {
            (Some(provider), None) => Ok(Arc::new(self.implicit(asked, provider, asked))),
            (Some(first), Some(second)) => Err(ambiguous(asked, [first, second].into_iter().chain(claimants))),
            (None, _) => Err(self.unknown(asked)),
        }
    }

    fn implicit(&self, asked: &str, provider: &Arc<Provider>, model: &str) -> Model {
        let target = Target::new(Arc::clone(provider), model.to_owned(), &self.overrides);
        Model::of(asked.to_owned(), vec![target])
    }

    fn unknown(&self, asked: &str) -> Fault {
        let shown = shown(asked);
        let names = self.models.iter().map(|model| model.name.as_str());
        let claimed = self.providers.iter().flat_map(|provider| &provider.claims).map(String::as_str).filter(|claim| !claim.contains('*'));
        let prefixed = asked.split_once('/').and_then(|(name, model)| {
            let provider = nearest(name, self.providers.iter().map(|provider| provider.name.as_str()))?;
            Some(format!("{provider}/{}", if model.is_empty() { "MODEL" } else { model }))
        });
        let meant = nearest(asked, names.chain(claimed)).map(str::to_owned).or(prefixed);
        let hint = match meant {
            Some(meant) => format!("did you mean {meant:?}?"),
            None => "ask for an alias from [[models]], for provider/model, or for a model that one provider claims".into(),
        };
        Fault::caller(FaultKind::ModelNotFound, format!("No model named {shown:?} is configured ({hint})"))
            .at("model")
            .code("model_not_found")
    }
}

/// Model names of vendors stay far below this; matching and suggesting cost time by length.
const NAME_BYTES_MAX: usize = 4096;

fn ambiguous<'p>(asked: &str, claimants: impl Iterator<Item = &'p Arc<Provider>>) -> Fault {
    let choices: Vec<_> = claimants.map(|provider| format!("\"{}/{asked}\"", provider.name)).collect();
    let text = format!("Several providers claim the model {:?} (write one of {})", shown(asked), choices.join(", "));
    Fault::bad_request(text).at("model")
}

/// The beginning of a name, which may be as long as a request.
fn shown(asked: &str) -> String {
    const SHOWN_MAX: usize = 100;
    if asked.chars().nth(SHOWN_MAX).is_none() {
        return asked.to_owned();
    }
    asked.chars().take(SHOWN_MAX).chain(['…']).collect()
}
