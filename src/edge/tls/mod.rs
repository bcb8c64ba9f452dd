//! TLS to clients: which certificate is shown to whom, and by whom theirs are verified.
//!
//! Left out on purpose: early data (RFC 8446 §8), since whoever records it could send it again.

use std::fmt;
use std::sync::Arc;

use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{
    ClientHello, ParsedCertificate, ResolvesServerCert, ServerSessionMemoryCache, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};

use self::subject::Validity;
use crate::asker::facet::certificate::Authorities;

pub mod session;
pub mod subject;

/// Sessions that clients may take up again. With a new configuration all of them are forgotten.
const MAX_SESSIONS: usize = 4096;

/// What sessions are agreed on by.
#[derive(Clone)]
pub struct TlsTerms {
    config: Arc<ServerConfig>,
    /// Digests of the certificates that are shown.
    shown: Vec<[u8; 32]>,
    /// Digests of the authorities by which those of clients are verified; `None`: none is asked for.
    roots: Option<Vec<[u8; 32]>>,
}

/// A certificate to show, and its key.
#[derive(Clone)]
pub struct OwnCertificate(Arc<CertifiedKey>);

/// Authorities by which clients' certificates are verified.
#[derive(Clone)]
pub struct Roots(Vec<CertificateDer<'static>>);

/// What is wrong with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// With that of the certificate.
    Certificate(&'static str),
    /// With that of the key.
    Key(&'static str),
}

impl TlsTerms {
    /// Shows these, of which the first is the default; clients may show one that `roots` verify.
    pub fn new(own: Vec<OwnCertificate>, roots: Option<Roots>) -> Result<TlsTerms, rustls::Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let digests = |all: &[CertificateDer<'_>]| all.iter().map(|one| *blake3::hash(one).as_bytes()).collect();
        let shown = own.iter().flat_map(|own| own.0.cert.first()).map(|one| *blake3::hash(one).as_bytes()).collect();
        let told = roots.as_ref().map(|roots| digests(&roots.0));
        let verifier = match roots {
            None => WebPkiClientVerifier::no_client_auth(),
            Some(roots) => {
                let mut store = RootCertStore::empty();
                roots.0.into_iter().try_for_each(|root| store.add(root))?;
                let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider.clone());
                builder.allow_unauthenticated().build().map_err(|error| rustls::Error::General(error.to_string()))?
            }
        };
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let mut config = builder.with_client_cert_verifier(verifier).with_cert_resolver(Arc::new(ByName(own)));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.session_storage = ServerSessionMemoryCache::new(MAX_SESSIONS);
        Ok(TlsTerms { config: Arc::new(config), shown, roots: told })
    }

    /// By whom certificates of clients are verified.
    pub fn authorities(&self) -> Option<Authorities> {
        Some(Authorities(*blake3::hash(self.roots.as_ref()?.as_flattened()).as_bytes()))
    }

    /// Whether the same certificates are shown.
    pub fn shows_same(&self, other: &TlsTerms) -> bool {
        self.shown == other.shown
    }

    /// Digests of these authorities, each for itself.
    pub fn roots(&self) -> Option<&[[u8; 32]]> {
        self.roots.as_deref()
    }
}

/// Whether the same is shown, and clients are verified by the same.
impl PartialEq for TlsTerms {
    fn eq(&self, other: &TlsTerms) -> bool {
        self.shown == other.shown && self.roots == other.roots
    }
}

impl Eq for TlsTerms {}

/// Keys are in it.
impl fmt::Debug for TlsTerms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsTerms(…)")
    }
}

impl OwnCertificate {
    /// From PEM (RFC 7468): a certificate, with those between it and its root behind it; and its private key.
    pub fn read(chain: &[u8], key: &[u8]) -> Result<OwnCertificate, Fault> {
        let chain = certificates(chain).map_err(Fault::Certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|_| Fault::Key("it holds no private key that can be read (PEM, not encrypted)"))?;
        let provider: CryptoProvider = aws_lc_rs::default_provider();
        let key = provider
            .key_provider
            .load_private_key(key)
            .map_err(|_| Fault::Key("it holds a key of a kind that cannot be used"))?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            Ok(()) => Ok(OwnCertificate(Arc::new(certified))),
            Err(rustls::Error::InconsistentKeys(_)) => Err(Fault::Key("it is not the key of the certificate")),
            Err(_) => Err(Fault::Certificate("its first certificate cannot be read")),
        }
    }

    /// When the certificate holds.
    pub fn validity(&self) -> Option<Validity> {
        subject::validity(self.0.cert.first()?)
    }

    fn is_for(&self, name: &ServerName<'_>) -> bool {
        let certificate = self.0.end_entity_cert().and_then(ParsedCertificate::try_from);
        certificate.is_ok_and(|certificate| verify_server_name(&certificate, name).is_ok())
    }
}

impl Roots {
    /// From PEM.
    pub fn read(pem: &[u8]) -> Result<Roots, &'static str> {
        let roots = certificates(pem)?;
        let mut store = RootCertStore::empty();
        let sound = roots.iter().all(|root| store.add(root.clone()).is_ok());
        if sound { Ok(Roots(roots)) } else { Err("a certificate in it cannot be read") }
    }

    /// When each of the certificates holds.
    pub fn validities(&self) -> impl Iterator<Item = Validity> {
        self.0.iter().filter_map(|root| subject::validity(root))
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, &'static str> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match all {
        Ok(all) if all.is_empty() => Err("it holds no certificate (PEM)"),
        Ok(all) => Ok(all),
        Err(_) => Err("a certificate in it cannot be read"),
    }
}

/// Certificates by the name that a client asks for (RFC 6066 §3); the first where none is for that.
struct ByName(Vec<OwnCertificate>);

impl fmt::Debug for ByName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ByName(…)")
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().and_then(|name| ServerName::try_from(name).ok());
        let is_named = |own: &&OwnCertificate| name.as_ref().is_some_and(|name| own.is_for(name));
        let fits = |own: &&OwnCertificate| own.0.key.choose_scheme(hello.signature_schemes()).is_some();
        let mut named = self.0.iter().filter(is_named);
        let own = named.clone().find(fits).or_else(|| named.next()).or(self.0.first());
        own.map(|own| own.0.clone())
    }
}
