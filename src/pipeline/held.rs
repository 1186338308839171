//! The bound on bytes held in memory, all exchanges together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

/// Counts the bytes of requests and answers that are held now.
#[derive(Debug)]
pub struct Held {
    bytes: AtomicUsize,
    bytes_max: usize,
}

impl Held {
    /// An empty account with a bound.
    pub fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { bytes: AtomicUsize::new(0), bytes_max })
    }

    /// Bytes held now.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// A hold of nothing yet.
    pub fn open(self: &Arc<Self>) -> Hold {
        Hold { held: Arc::clone(self), bytes: 0 }
    }
}

/// Bytes held by one owner; given back when dropped.
#[derive(Debug)]
pub struct Hold {
    held: Arc<Held>,
    bytes: usize,
}

impl Hold {
    /// Takes `more` bytes; false, and nothing taken, where the bound does not allow it.
    #[must_use]
    pub fn grow(&mut self, more: usize) -> bool {
        let before = self.held.bytes.fetch_add(more, Ordering::Relaxed);
        if before.saturating_add(more) > self.held.bytes_max {
            self.held.bytes.fetch_sub(more, Ordering::Relaxed);
            return false;
        }
        self.bytes += more;
        true
    }

    /// Takes or gives back, so that exactly `bytes` are held; false, and nothing changed, where the bound does not allow it.
    #[must_use]
    pub fn set(&mut self, bytes: usize) -> bool {
        if bytes > self.bytes {
            return self.grow(bytes - self.bytes);
        }
        self.held.bytes.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        self.bytes = bytes;
        true
    }
}

impl Hold {
    /// The same bytes, which keep the hold until the last reference to them is gone: until the app has read them.
    pub fn over(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(HeldBytes { bytes, _hold: self })
    }
}

struct HeldBytes {
    bytes: Bytes,
    _hold: Hold,
}

impl AsRef<[u8]> for HeldBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.held.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_over_and_all_returned() {
        let held = Held::new(10);
        let (mut a, mut b) = (held.open(), held.open());
        assert!(a.grow(6) && !b.grow(5) && b.grow(4));
        assert!(a.set(2) && b.set(8) && !b.set(9));
        assert_eq!(held.bytes(), 10);
        drop(b);
        let bytes = a.over(Bytes::from_static(b"ab"));
        let slice = bytes.slice(1..);
        drop(bytes);
        assert_eq!((held.bytes(), &slice[..]), (2, &b"b"[..]));
        drop(slice);
        assert_eq!(held.bytes(), 0);
    }
}
