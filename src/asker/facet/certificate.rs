//! What a client's certificate proves: the fields of its subject and its alternative names, each with one value or none.
//!
//! How a certificate is read and verified is the edge's affair ([`crate::edge::tls`]). The name of a field is that of RFC 4514
//! §3 in lower case.

use std::sync::Arc;
use std::time::SystemTime;

/// A field of a certificate that may be a facet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SubjectField {
    /// `commonName`.
    CommonName,
    /// `organizationName`.
    Organization,
    /// `organizationalUnitName`.
    OrganizationalUnit,
    /// `countryName`.
    Country,
    /// `localityName`.
    Locality,
    /// `stateOrProvinceName`.
    State,
    /// `serialNumber`: of the subject, not of the certificate.
    SerialNumber,
    /// `userId`.
    UserId,
    /// `dNSName` of the alternative names (RFC 5280 §4.2.1.6).
    Dns,
    /// `rfc822Name` of the alternative names.
    Email,
    /// `uniformResourceIdentifier` of the alternative names.
    Uri,
}

impl SubjectField {
    /// All of them, as they are written behind `cert.`.
    pub const ALL: [(&str, SubjectField); 11] = [
        ("cn", SubjectField::CommonName),
        ("o", SubjectField::Organization),
        ("ou", SubjectField::OrganizationalUnit),
        ("c", SubjectField::Country),
        ("l", SubjectField::Locality),
        ("st", SubjectField::State),
        ("serialNumber", SubjectField::SerialNumber),
        ("uid", SubjectField::UserId),
        ("san.dns", SubjectField::Dns),
        ("san.email", SubjectField::Email),
        ("san.uri", SubjectField::Uri),
    ];

    /// The field that is written so.
    pub fn named(name: &str) -> Option<SubjectField> {
        SubjectField::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, field)| field)
    }

    /// As it is written behind `cert.`.
    pub fn as_str(self) -> &'static str {
        SubjectField::ALL.into_iter().find(|(_, field)| *field == self).map_or("", |(name, _)| name)
    }
}

/// The authorities that certificates are verified by, as a digest of their certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Authorities(pub [u8; 32]);

/// A client's certificate that was verified when its connection was opened. What it says is about a person or an
/// organisation, so it cannot be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Each field and its value, as often as it is there; `None` for what cannot be read as text.
    pub fields: Vec<(SubjectField, Option<String>)>,
    /// From when on it does not hold.
    pub expires: SystemTime,
    /// By whom it was verified.
    pub verified_by: Authorities,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Certificate(…)")
    }
}

impl Certificate {
    /// The value of a field that is there once.
    pub fn value(&self, field: SubjectField) -> Option<&str> {
        let mut all = self.fields.iter().filter(|(known, _)| *known == field).map(|(_, value)| value.as_deref());
        all.next().flatten().filter(|_| all.next().is_none())
    }

    /// Whether it holds now, where these authorities are in force.
    pub fn holds(&self, authorities: Option<Authorities>, now: SystemTime) -> bool {
        authorities == Some(self.verified_by) && now < self.expires
    }
}

/// What the certificate of a connection says about whoever asks.
#[derive(Debug, Clone, Default)]
pub enum Presented {
    /// There is none, or it is a trusted proxy's own.
    #[default]
    Nothing,
    /// There is one, and it proves nothing: it has expired, other authorities are in force by now, or whoever shows it says
    /// that it speaks for somebody else.
    Unproven,
    /// There is one, and it holds.
    Holding(Arc<Certificate>),
}

impl Presented {
    /// The certificate, where it proves something.
    pub fn proves(&self) -> Option<&Certificate> {
        match self {
            Presented::Holding(certificate) => Some(certificate),
            Presented::Nothing | Presented::Unproven => None,
        }
    }

    /// Whether a certificate is shown at all: it is a credential.
    pub fn is_shown(&self) -> bool {
        !matches!(self, Presented::Nothing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_field_has_one_value_or_none() {
        use SubjectField::{Country, Dns, Organization, OrganizationalUnit};
        let text = |text: &str| Some(text.to_owned());
        let fields = vec![
            (Organization, text("a")),
            (OrganizationalUnit, text("x")),
            (OrganizationalUnit, text("x")),
            (Country, None),
            (Dns, text("d")),
            (Dns, None),
        ];
        let certificate = Certificate { fields, expires: SystemTime::UNIX_EPOCH, verified_by: Authorities([7; 32]) };
        let values = [Organization, OrganizationalUnit, Country, Dns].map(|field| certificate.value(field));
        assert_eq!(values, [Some("a"), None, None, None]);
        assert_eq!(format!("{certificate:?}"), "Certificate(…)");
    }

    #[test]
    fn it_holds_until_it_expires_and_for_those_who_verified_it() {
        let expires = SystemTime::UNIX_EPOCH + Duration::from_secs(10);
        let certificate = Certificate { fields: Vec::new(), expires, verified_by: Authorities([7; 32]) };
        let holds = |authorities, seconds| {
            certificate.holds(authorities, SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
        };
        assert!(holds(Some(Authorities([7; 32])), 9));
        assert!(!holds(Some(Authorities([7; 32])), 10));
        assert!(!holds(Some(Authorities([8; 32])), 9));
        assert!(!holds(None, 9));
    }

    #[test]
    fn names_and_fields_are_one_to_one() {
        for (name, field) in SubjectField::ALL {
            assert_eq!((SubjectField::named(name), field.as_str()), (Some(field), name));
        }
        assert_eq!(SubjectField::named("CN"), None);
    }
}
