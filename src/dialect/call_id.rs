//! Ids of calls in the characters that a target takes.

use std::borrow::Cow;

use crate::base::digest::fnv1a;

/// An id of letters, digits and the characters in `also`, at most `length_max` of them (18 or more). The same id gives the
/// same answer in every call and result of every request, and another id another one.
pub(super) fn fit<'i>(id: &'i str, also: &[u8], length_max: usize) -> Cow<'i, str> {
    let sound = |c: char| c.is_ascii_alphanumeric() || (c.is_ascii() && also.contains(&(c as u8)));
    if !id.is_empty() && id.len() <= length_max && id.chars().all(sound) {
        return Cow::Borrowed(id);
    }
    // The digest keeps apart what the cleaning and the cutting make equal.
    let digest = format!("_{:016x}", fnv1a(id));
    let mut fitted: String = id.chars().map(|c| if sound(c) { c } else { '_' }).take(length_max - digest.len()).collect();
    fitted.push_str(&digest);
    Cow::Owned(fitted)
}
