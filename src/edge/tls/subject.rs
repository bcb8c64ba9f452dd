//! What X.509 certificates say (RFC 5280): until when they hold, and the fields that may be facets. Whether one is to be
//! believed is not judged here.

use std::time::SystemTime;

use x509_cert::der::asn1::{Any, Ia5StringRef, ObjectIdentifier, PrintableStringRef, Utf8StringRef};
use x509_cert::der::{Decode as _, Tag, Tagged as _};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use crate::asker::facet::certificate::{Authorities, Certificate, SubjectField};

/// When a certificate holds (RFC 5280 §4.1.2.5).
#[derive(Debug, Clone)]
pub struct Validity {
    /// From when on.
    pub from: SystemTime,
    /// Until when.
    pub until: SystemTime,
    /// The same for people.
    pub until_text: String,
}

/// When a certificate holds; `None` for what cannot be read.
pub fn validity(der: &[u8]) -> Option<Validity> {
    let validity = x509_cert::Certificate::from_der(der).ok()?.tbs_certificate.validity;
    let (from, until) = (validity.not_before.to_system_time(), validity.not_after.to_system_time());
    Some(Validity { from, until, until_text: validity.not_after.to_date_time().to_string() })
}

/// A certificate that these authorities have verified. Of one that cannot be read here, nothing is known, and it has expired.
pub(super) fn certificate(der: &[u8], verified_by: Authorities) -> Certificate {
    let read = x509_cert::Certificate::from_der(der).ok();
    let (fields, expires) = read.map_or((Vec::new(), SystemTime::UNIX_EPOCH), |read| {
        (fields(&read.tbs_certificate), read.tbs_certificate.validity.not_after.to_system_time())
    });
    Certificate { fields, expires, verified_by }
}

fn fields(certificate: &x509_cert::TbsCertificate) -> Vec<(SubjectField, Option<String>)> {
    let mut fields = Vec::new();
    for attribute in certificate.subject.0.iter().flat_map(|relative| relative.0.iter()) {
        if let Some((_, field)) = ATTRIBUTES.iter().find(|(id, _)| *id == attribute.oid) {
            fields.push((*field, text(&attribute.value)));
        }
    }
    // One that is there twice, or cannot be read, says nothing.
    let names = certificate.get::<SubjectAltName>().ok().flatten().map_or(Vec::new(), |(_, names)| names.0);
    fields.extend(names.iter().filter_map(|name| match name {
        GeneralName::DnsName(name) => Some((SubjectField::Dns, Some(name.to_string()))),
        GeneralName::Rfc822Name(name) => Some((SubjectField::Email, Some(name.to_string()))),
        GeneralName::UniformResourceIdentifier(name) => Some((SubjectField::Uri, Some(name.to_string()))),
        _ => None,
    }));
    fields
}

/// RFC 4519 §2.
const ATTRIBUTES: [(ObjectIdentifier, SubjectField); 8] = [
    (ObjectIdentifier::new_unwrap("2.5.4.3"), SubjectField::CommonName),
    (ObjectIdentifier::new_unwrap("2.5.4.5"), SubjectField::SerialNumber),
    (ObjectIdentifier::new_unwrap("2.5.4.6"), SubjectField::Country),
    (ObjectIdentifier::new_unwrap("2.5.4.7"), SubjectField::Locality),
    (ObjectIdentifier::new_unwrap("2.5.4.8"), SubjectField::State),
    (ObjectIdentifier::new_unwrap("2.5.4.10"), SubjectField::Organization),
    (ObjectIdentifier::new_unwrap("2.5.4.11"), SubjectField::OrganizationalUnit),
    (ObjectIdentifier::new_unwrap("0.9.2342.19200300.100.1.1"), SubjectField::UserId),
];

/// Of the kinds of text, those that are read in one way only.
fn text(value: &Any) -> Option<String> {
    let text = match value.tag() {
        Tag::Utf8String => value.decode_as::<Utf8StringRef<'_>>().ok()?.as_str().to_owned(),
        Tag::PrintableString => value.decode_as::<PrintableStringRef<'_>>().ok()?.as_str().to_owned(),
        Tag::Ia5String => value.decode_as::<Ia5StringRef<'_>>().ok()?.as_str().to_owned(),
        _ => return None,
    };
    Some(text)
}
