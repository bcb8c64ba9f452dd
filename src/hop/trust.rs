//! Whose word about a client counts.

use std::net::IpAddr;

use ipnet::IpNet;

/// Whether a peer is one of `trusted_proxies`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Its forwarding fields are believed.
    Proxy,
    /// They are dropped.
    Stranger,
}

impl Trust {
    /// Of a client at this address.
    pub fn of(ip: IpAddr, trusted_proxies: &[IpNet]) -> Trust {
        let trusted = trusted_proxies.iter().any(|net| net.contains(&ip));
        if trusted { Trust::Proxy } else { Trust::Stranger }
    }
}
