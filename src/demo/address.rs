//! A port for the demo, though another program may have the usual one.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};

/// An address to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FoundAddress {
    /// The one that was asked for.
    Asked(SocketAddr),
    /// Any free port beside it.
    Instead(SocketAddr),
}

impl FoundAddress {
    pub(super) fn address(self) -> SocketAddr {
        match self {
            FoundAddress::Asked(address) | FoundAddress::Instead(address) => address,
        }
    }
}

/// `asked` if it is free and not `reserved` already, else the same host with a port that the system chooses.
///
/// Stent's own listeners share their ports (`SO_REUSEPORT`), so starting would not fail beside another Stent: the two
/// would divide the connections between them. Hence a listener that does not share is tried first.
pub(super) fn find(asked: SocketAddr, reserved: Option<SocketAddr>) -> Result<FoundAddress, String> {
    if asked.port() == 0 {
        return Ok(FoundAddress::Asked(asked));
    }
    let instead = FoundAddress::Instead(SocketAddr::new(asked.ip(), 0));
    if reserved == Some(asked) {
        return Ok(instead);
    }
    match TcpListener::bind(asked) {
        Ok(_) => Ok(FoundAddress::Asked(asked)),
        Err(error) if error.kind() == ErrorKind::AddrInUse => Ok(instead),
        Err(error) => Err(format!("listening on {asked}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_left_alone() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("some port is free");
        let address = taken.local_addr().expect("it is bound");
        let any = SocketAddr::new(address.ip(), 0);
        assert_eq!(find(address, None), Ok(FoundAddress::Instead(any)));
        assert_eq!(find(any, None), Ok(FoundAddress::Asked(any)));
    }

    #[test]
    fn an_address_is_given_once() {
        let address = SocketAddr::from(([127, 0, 0, 1], 9));
        assert_eq!(find(address, Some(address)).map(FoundAddress::address), Ok(SocketAddr::from(([127, 0, 0, 1], 0))));
    }
}
