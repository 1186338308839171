//! Limits as `/status` shows them.

use std::sync::Arc;

use super::verdict::Measure;
use crate::config::Limit;

/// Every limit, as it stands.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The limits, in the order of the configuration, then those of keys.
    pub limits: Vec<LimitView>,
    /// Subjects that are counted apart.
    pub subjects: u64,
    /// Times that a subject was counted with others, since there was no room for one more.
    pub crowded: u64,
}

/// One limit.
#[derive(Clone, Debug)]
pub struct LimitView {
    /// Which.
    pub limit: Arc<Limit>,
    /// Subjects that it counts.
    pub subjects: u64,
    /// Those that used most of what they may, the fullest first.
    pub top: Vec<SubjectView>,
}

/// One subject of a limit.
#[derive(Clone, Debug)]
pub struct SubjectView {
    /// Its values in the order of `per`; an end user and a tag only by the beginning of their digest.
    pub name: String,
    /// Requests under way.
    pub under_way: u64,
    /// Waiting in line.
    pub waiting: u64,
    /// What each bound has.
    pub measures: Vec<MeasureView>,
}

/// One bound for one subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeasureView {
    /// Which.
    pub measure: Measure,
    /// How much is allowed.
    pub most: u64,
    /// Reserved by what is under way (for rates and concurrency this is in `settled`).
    pub reserved: u64,
    /// Settled, or passed.
    pub settled: u64,
    /// What is used beyond the bound.
    pub debt: u64,
}
