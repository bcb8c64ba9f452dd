//! Somebody who signs certificates, made anew for each test: no key is kept anywhere.

#![allow(dead_code)]

use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair, SanType,
    date_time_ymd,
};

/// Somebody who signs certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub struct Pair {
    pub cert: String,
    pub key: String,
}

impl Authority {
    pub fn new(name: &str) -> Authority {
        let mut params = params(&[(DnType::CommonName, name)], &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Its own certificate.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// One for a server of these names.
    pub fn server(&self, names: &[&str]) -> Pair {
        self.sign(params(&[(DnType::CommonName, "server")], names))
    }

    /// One for a client with this subject.
    pub fn client(&self, subject: &[(DnType, &str)]) -> Pair {
        self.sign(params(subject, &[]))
    }

    /// As above, with these alternative names.
    pub fn client_with(&self, subject: &[(DnType, &str)], names: Vec<SanType>) -> Pair {
        let mut params = params(subject, &[]);
        params.subject_alt_names = names;
        self.sign(params)
    }

    /// One that does not hold any more.
    pub fn expired(&self, names: &[&str]) -> Pair {
        let mut params = params(&[(DnType::CommonName, "server")], names);
        params.not_after = date_time_ymd(2021, 1, 1);
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> Pair {
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.0).unwrap();
        Pair { cert: cert.pem(), key: key.serialize_pem() }
    }
}

impl Pair {
    /// Writes `NAME.pem` and `NAME.key`.
    pub fn write(&self, folder: &Path, name: &str) {
        std::fs::write(folder.join(format!("{name}.pem")), &self.cert).unwrap();
        write_secret(&folder.join(format!("{name}.key")), &self.key);
    }
}

/// For nobody else on the machine.
pub fn write_secret(path: &Path, content: &str) {
    std::fs::write(path, content).unwrap();
    #[cfg(unix)]
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
}

/// The end of all of them.
pub const LAST_YEAR: i32 = 2100;

fn params(subject: &[(DnType, &str)], names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = DistinguishedName::new();
    subject.iter().for_each(|(kind, value)| params.distinguished_name.push(kind.clone(), *value));
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(LAST_YEAR, 1, 1));
    params
}
