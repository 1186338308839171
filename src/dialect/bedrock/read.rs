//! Reading members by their names, where an object has few of them.

use crate::base::Fault;
use crate::base::json::Raw;
use crate::dialect::anthropic::wire::Path;

/// Reads the elements of an array.
pub(super) fn each<'a, T>(
    value: Raw<'a>,
    path: &Path<'_>,
    expected: &str,
    mut read: impl FnMut(Raw<'a>, &Path<'_>) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    if !value.is_array() {
        return Err(path.wrong(expected, value));
    }
    value.elements().enumerate().map(|(i, element)| read(element, &path.index(i))).collect()
}

/// Reads a member that may be absent, or `null`.
pub(super) fn optional<'a, T>(
    value: Raw<'a>,
    path: &Path<'_>,
    name: &str,
    read: impl FnOnce(Raw<'a>, &Path<'_>) -> Result<T, Fault>,
) -> Result<Option<T>, Fault> {
    match value.member(name) {
        Some(member) if !member.is_null() => read(member, &path.name(name)).map(Some),
        _ => Ok(None),
    }
}

/// Reads a member that must be there.
pub(super) fn required<'a, T>(
    value: Raw<'a>,
    path: &Path<'_>,
    name: &str,
    read: impl FnOnce(Raw<'a>, &Path<'_>) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let member = value.member(name).ok_or_else(|| path.name(name).missing("a value"))?;
    read(member, &path.name(name))
}
