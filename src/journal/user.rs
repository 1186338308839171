//! Users by a keyed hash: names stay out of the files, and a user keeps the hash over restarts.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use ring::hmac;

use super::dims::UserHash;
use crate::base::rng::RootRng;

const FILE: &str = "journal.key";
const KEY_BYTES: usize = 32;

/// The secret that hashes depend on.
pub(super) struct UserKey(hmac::Key, [u8; KEY_BYTES]);

impl UserKey {
    /// A key of this process's own.
    pub(super) fn random(chance: &RootRng) -> Self {
        let mut key = [0; KEY_BYTES];
        if getrandom::getrandom(&mut key).is_err() {
            let mut rng = chance.fork();
            key.chunks_exact_mut(8).for_each(|chunk| chunk.copy_from_slice(&rng.next_u64().to_le_bytes()));
        }
        Self::of(key)
    }

    fn of(key: [u8; KEY_BYTES]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, &key), key)
    }

    /// The folder's key, where it has a sound one.
    pub(super) fn read(folder: &Path) -> Option<Self> {
        let bytes = fs::read(folder.join(FILE)).ok()?;
        let (key, crc) = bytes.split_first_chunk::<KEY_BYTES>()?;
        (crc == crc32fast::hash(key).to_le_bytes()).then(|| Self::of(*key))
    }

    /// Makes this the folder's key, instead of one that cannot be read.
    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        let unfinished = folder.join(super::folder::UNFINISHED);
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        file.write_all(&self.1)?;
        file.write_all(&crc32fast::hash(&self.1).to_le_bytes())?;
        file.sync_all()?;
        fs::rename(unfinished, folder.join(FILE))
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        self.1 == other.1
    }

    /// The user's hash; never 0, which is none.
    pub(super) fn hash(&self, name: &str) -> UserHash {
        let tag = hmac::sign(&self.0, name.as_bytes());
        let first = tag.as_ref().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        UserHash(first.max(1))
    }
}
