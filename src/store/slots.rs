//! What a store of entries can do, whichever it is.

use crate::entry::key::Key;
use crate::entry::owner::Owners;
use crate::entry::slot::Slot;

/// Where slots are kept. It may forget any of them at any time.
pub trait Slots {
    /// What is kept under this key.
    fn get(&self, key: &[u8]) -> Option<Slot>;
    /// The same for the store's own housekeeping: nobody asked for it, and what is asked for by nobody else is no more popular for it.
    fn peek(&self, key: &[u8]) -> Option<Slot> {
        self.get(key)
    }
    /// Whether an answer that is coming would be stored under this key: there is room for so many bytes, as far as that is known, or
    /// a reason to make some. It is asked once for each answer, before it is put.
    fn admits(&self, _key: &[u8], _owners: Owners, _length: Option<u64>) -> bool {
        true
    }
    /// Keeps it, in place of what was there.
    fn put(&self, key: Key, slot: Slot);
    /// Forgets it.
    fn remove(&self, key: &[u8]);
}
