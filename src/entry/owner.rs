//! For whom an answer was fetched, as far as a store needs to know it to share its room out. It tells nobody who that is.

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::LazyLock;

/// One of [`Owner::NUMBERS`] numbers, drawn by chance anew in each process: two clients may have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Owner(u16);

/// Who may be said to own what one fetch brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Owners {
    /// The client's address.
    pub client: Owner,
    /// The principal, where the answer is one principal's; otherwise nobody.
    pub principal: Owner,
}

impl Owner {
    /// How many there are.
    pub const NUMBERS: usize = 4096;
    /// Nobody's: fetched by ourselves.
    pub const NOBODY: Owner = Owner(0);

    /// Its number, below [`Owner::NUMBERS`].
    pub fn number(self) -> usize {
        usize::from(self.0)
    }

    pub(super) fn of_number(number: u16) -> Owner {
        Owner(number % Owner::NUMBERS as u16)
    }

    fn of(bytes: &[u8]) -> Owner {
        let hash = CHANCE.hash_one(bytes);
        Owner(1 + (hash % (Owner::NUMBERS as u64 - 1)) as u16)
    }
}

impl Owners {
    /// Those of a fetch for a client with this address (a network of 64 bits, where it is IPv6) and this principal.
    pub fn of(client: Option<IpAddr>, principal: Option<&[u8; 32]>) -> Owners {
        let client = client.map_or(Owner::NOBODY, |address| match address.to_canonical() {
            IpAddr::V4(address) => Owner::of(&address.octets()),
            IpAddr::V6(address) => Owner::of(&address.octets()[..8]),
        });
        Owners { client, principal: principal.map_or(Owner::NOBODY, |digest| Owner::of(digest)) }
    }

    /// Those that are somebody.
    pub fn iter(self) -> impl Iterator<Item = Owner> {
        [self.client, self.principal].into_iter().filter(|owner| *owner != Owner::NOBODY)
    }

    /// Whether this is one of them.
    pub fn contain(self, owner: Owner) -> bool {
        self.client == owner || self.principal == owner
    }
}

static CHANCE: LazyLock<foldhash::quality::RandomState> = LazyLock::new(foldhash::quality::RandomState::default);
