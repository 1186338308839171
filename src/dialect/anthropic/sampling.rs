//! How freely a Claude chooses its words, and what stops it.

use crate::base::json::Object;
use crate::dialect::Losses;
use crate::ir::{Request, Text};

/// The least `top_p` that the API takes beside thinking.
const TOP_P_MIN: f64 = 0.95;

/// What a model takes of the temperature and the nucleus.
pub(in crate::dialect) struct Heat {
    /// Whether any of the two.
    pub(in crate::dialect) any: bool,
    /// Whether both.
    pub(in crate::dialect) both: bool,
    /// Whether it thinks, which leaves it less choice.
    pub(in crate::dialect) thinks: bool,
}

impl Heat {
    /// Writes the two, the latter under its name here.
    pub(in crate::dialect) fn put(self, request: &Request<'_>, top_p_name: &str, losses: &mut Losses, object: &mut Object<'_>) {
        let Self { any, both, thinks } = self;
        let mut heated = false;
        if let Some(temperature) = &request.temperature {
            let value = temperature.value();
            if !any || thinks {
                // 1 is what holds anyway.
                if value != 1.0 {
                    losses.add("temperature");
                }
            } else if value > 1.0 {
                losses.add("temperature");
                object.verbatim("temperature", "1");
                heated = true;
            } else {
                object.verbatim("temperature", &temperature.0);
                heated = true;
            }
        }
        if let Some(top_p) = &request.top_p {
            let value = top_p.value();
            let crowded = heated && !both;
            if any && !crowded && !(thinks && value < TOP_P_MIN) {
                object.verbatim(top_p_name, &top_p.0);
            } else if value != 1.0 {
                losses.add("top_p");
            }
        }
    }
}

/// Writes the stop texts that are not `refused`.
pub(in crate::dialect) fn put_stops(
    request: &Request<'_>,
    name: &str,
    refused: impl Fn(&Text<'_>) -> bool,
    losses: &mut Losses,
    object: &mut Object<'_>,
) {
    let stops: Vec<&Text<'_>> = request.stop.iter().filter(|text| !refused(text)).collect();
    if stops.len() < request.stop.len() {
        losses.add("stop");
    }
    if !stops.is_empty() {
        object.array(name, |array| stops.iter().for_each(|text| text.write(array.item())));
    }
}
