//! Who asks: what must hold before anything stored is used for them, and with whom they share it.

use std::time::Duration;

use super::pass::PassReason;
use crate::asker::facet::{Facet, KnownFacets};
use crate::asker::identity::{Identity, Shown};
use crate::asker::principal::{PrincipalKey, principal};
use crate::entry::key::{self, KeyBuf, Partition, Primary};
use crate::policy::question::{Asked, Question};
use crate::rules::caching::{Access, Ask, Caching, NamedPolicy, Share};
use crate::rules::route::Route;

/// What still stands between a request and what is stored.
pub(super) enum Gate {
    Open,
    Ask(Question),
    OwnAnswer { keep: Duration },
}

/// Who asks, and for what.
#[derive(Clone, Copy)]
pub(super) struct Caller<'a> {
    pub asked: &'a Asked<'a>,
    pub route: &'a Route,
    pub identity: &'a Identity,
    pub secret: &'a PrincipalKey,
    pub shown: &'a Shown,
}

impl Caller<'_> {
    /// Whether anything stored may be looked for at once.
    pub(super) fn gate(&self, policy: &NamedPolicy) -> Result<Gate, PassReason> {
        if policy.relies_on_token() {
            if self.asked.proven.token.is_none() {
                return Err(PassReason::NoToken);
            }
            if self.identity.shows_beside_token(self.asked.headers) {
                return Err(PassReason::BesideToken);
            }
        }
        if policy.relies_on_certificate_alone() && self.shown.principal {
            return Err(PassReason::BesideCertificate);
        }
        let Some(Access::Ask { about, keep, yes }) = &policy.access else { return Ok(Gate::Open) };
        // The origin is asked with credentials, and what is not sent says nothing.
        if self.shown.other {
            return Err(PassReason::Authorization);
        }
        if !self.shown.principal {
            return Err(PassReason::NoPrincipal);
        }
        let (path, keep) = match about {
            Ask::Same => return Ok(Gate::OwnAnswer { keep: *keep }),
            Ask::Path(_) if self.asked.proven.access.is_some() => return Ok(Gate::Open),
            Ask::Path(path) => (path, *keep),
        };
        let path = path.fill(&|name| self.part(name)).ok_or(PassReason::NoFacet)?;
        let mut about = KeyBuf::new();
        let (fingerprint, partition) = (self.route.fingerprint, Partition::Permitted);
        let Asked { scheme, authority, forwarded_host, .. } = *self.asked;
        Primary { fingerprint, partition, scheme, authority, forwarded_host, path: &path, query: None }
            .write(&mut about);
        Ok(Gate::Ask(Question { digest: self.digest(&about), path, keep, yes: yes.clone() }))
    }

    /// With whom they share it.
    pub(super) fn partition(&self, share: &Share) -> Result<Partition, PassReason> {
        match share {
            // Credentials that are known are neither keyed nor sent.
            Share::Public => Ok(Partition::Public),
            Share::Anonymous if self.shown.principal || self.shown.authorization => Err(PassReason::SignedIn),
            Share::Anonymous if self.asked.proven.certificate.is_shown() => Err(PassReason::SignedIn),
            Share::Anonymous => Ok(Partition::Anonymous),
            // A credential that is not in the key would be withheld from the origin. A certificate always is, so what the
            // origin says does not depend on it.
            Share::Principal | Share::Facets(_) | Share::Permitted if self.shown.other => {
                Err(PassReason::Authorization)
            }
            // Two clients that show nothing are not known to be the same.
            Share::Principal if !self.shown.principal => Err(PassReason::NoPrincipal),
            Share::Principal => Ok(Partition::Principal(principal(self.asked.headers, self.identity, self.secret))),
            Share::Facets(facets) => Ok(Partition::Facets(self.facets(facets)?)),
            Share::Permitted => Ok(Partition::Permitted),
        }
    }

    fn facets(&self, facets: &[Facet]) -> Result<[u8; 32], PassReason> {
        let Asked { headers, proven, .. } = *self.asked;
        let known = KnownFacets { headers, proven, part: &|name| self.part(name) };
        known.digest(facets, &self.secret.0).map_err(|_| PassReason::NoFacet)
    }

    fn part(&self, name: &str) -> Option<&str> {
        self.route.part(name, self.asked.host, self.asked.path)
    }

    /// Who asks, with all that is sent on their behalf, and for what.
    pub(super) fn digest(&self, about: &[u8]) -> [u8; 32] {
        let mut whole = KeyBuf::from_slice(&principal(self.asked.headers, self.identity, self.secret));
        if let Caching::Named(policy) = &self.route.caching {
            let facets = policy.share.facets().iter().filter_map(|facet| facet.source.header());
            facets.chain(policy.narrowing()).for_each(|name| key::write_header(&mut whole, self.asked.headers, name));
        }
        whole.extend_from_slice(about);
        *blake3::keyed_hash(&self.secret.0, &whole).as_bytes()
    }
}
