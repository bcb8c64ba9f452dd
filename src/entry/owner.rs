//! For whom an answer was fetched, as far as a store needs to know it to share its room out. It tells nobody who that is.

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::LazyLock;

/// One of [`Owner::NUMBERS`] numbers, drawn by chance anew in each process: two clients may have the same, and two principals.
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
    pub const NUMBERS: usize = CLIENTS + 256;
    /// Nobody's: fetched by ourselves.
    pub const NOBODY: Owner = Owner(0);

    /// Its number, below [`Owner::NUMBERS`].
    pub fn number(self) -> usize {
        usize::from(self.0)
    }

    fn of_client(address: &[u8]) -> Owner {
        Owner(1 + (CHANCE.hash_one(address) % (CLIENTS as u64 - 1)) as u16)
    }

    fn of_principal(digest: &[u8; 32]) -> Owner {
        Owner(CLIENTS as u16 + (CHANCE.hash_one(digest) % 255) as u16)
    }
}

impl Owners {
    /// Those of a fetch for a client with this address (a network of 64 bits, where it is IPv6) and this principal.
    pub fn of(client: Option<IpAddr>, principal: Option<&[u8; 32]>) -> Owners {
        let client = client.map_or(Owner::NOBODY, |address| match address.to_canonical() {
            IpAddr::V4(address) => Owner::of_client(&address.octets()),
            IpAddr::V6(address) => Owner::of_client(&address.octets()[..8]),
        });
        Owners { client, principal: principal.map_or(Owner::NOBODY, Owner::of_principal) }
    }

    /// As an entry has them: the client's number, and one that stands for the principal's.
    pub(super) fn packed(self) -> (u16, u8) {
        let principal = self.principal.0.checked_sub(CLIENTS as u16).map_or(0, |number| number as u8 + 1);
        (self.client.0, principal)
    }

    pub(super) fn unpacked(client: u16, principal: u8) -> Owners {
        let principal = principal.checked_sub(1).map_or(0, |number| CLIENTS as u16 + u16::from(number));
        Owners { client: Owner(client), principal: Owner(principal) }
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

/// The numbers of clients, nobody's among them; behind them are those of principals.
const CLIENTS: usize = 4096;

static CHANCE: LazyLock<foldhash::quality::RandomState> = LazyLock::new(foldhash::quality::RandomState::default);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_read_as_they_were_packed() {
        let address = |number: u8| Some(IpAddr::from([192, 0, 2, number]));
        for number in 0..=255 {
            for owners in [Owners::of(address(number), None), Owners::of(address(number), Some(&[number; 32]))] {
                let (client, principal) = owners.packed();
                assert_eq!(Owners::unpacked(client, principal), owners);
                assert!(owners.iter().all(|owner| owner.number() < Owner::NUMBERS));
                assert_ne!(owners.client, owners.principal);
            }
        }
        assert_eq!(Owners::of(None, None).iter().count(), 0);
        let mapped: IpAddr = "::ffff:192.0.2.7".parse().unwrap();
        assert_eq!(Owners::of(Some(mapped), None), Owners::of(address(7), None));
    }
}
