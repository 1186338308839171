//! How often a limit let requests in.

use std::sync::atomic::{AtomicU64, Ordering};

/// The count of one limit, which goes on under its name after a reload. Only ever added to, and exact once nobody adds.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) name: Box<str>,
    admitted: AtomicU64,
    queued: AtomicU64,
}

/// How often a limit let requests in; one that counts providers is asked at each try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admissions<'l> {
    /// The limit's name.
    pub limit: &'l str,
    /// At once.
    pub admitted: u64,
    /// After they had stood in its line.
    pub queued: u64,
}

impl Tally {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.into(), admitted: AtomicU64::new(0), queued: AtomicU64::new(0) }
    }

    pub(super) fn admit(&self, queued: bool) {
        let count = if queued { &self.queued } else { &self.admitted };
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Admissions<'_> {
        let [admitted, queued] = [&self.admitted, &self.queued].map(|count| count.load(Ordering::Relaxed));
        Admissions { limit: &self.name, admitted, queued }
    }
}
