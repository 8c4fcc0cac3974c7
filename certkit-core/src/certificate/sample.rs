//! Certificates made for tests, odd ones above all. Their signatures are empty shells.

use crate::der::{self, element};

/// The parts of a certificate as DER; what is not set is ordinary.
pub(crate) struct Sample {
    pub(crate) serial: Vec<u8>,
    pub(crate) issuer: Vec<u8>,
    pub(crate) subject: Vec<u8>,
    /// Tag and content of notBefore and notAfter.
    pub(crate) times: [(u8, &'static str); 2],
    pub(crate) spki: Vec<u8>,
    /// OID and value.
    pub(crate) extensions: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Sample {
    pub(crate) fn new(subject: &str, issuer: &str) -> Self {
        let algorithm = element(der::SEQUENCE, &[&element(der::OID, &[&[0x2b, 0x65, 0x70]])]);
        Self {
            serial: vec![0x05],
            issuer: common_name(0x0c, issuer.as_bytes()),
            subject: common_name(0x0c, subject.as_bytes()),
            times: [(der::UTC_TIME, "260101000000Z"), (der::UTC_TIME, "260401000000Z")],
            spki: element(der::SEQUENCE, &[&algorithm, &element(der::BIT_STRING, &[&[0; 33]])]),
            extensions: Vec::new(),
        }
    }

    /// With an extension of the arc 2.5.29 (RFC 5280 section 4.2.1).
    pub(crate) fn extension(mut self, number: u8, value: &[u8]) -> Self {
        self.extensions.push((vec![0x55, 0x1d, number], value.to_vec()));
        self
    }

    /// With subject alternative names, each as its number in GeneralName and its content.
    pub(crate) fn names(self, names: &[(u8, &[u8])]) -> Self {
        let names: Vec<u8> =
            names.iter().flat_map(|(number, content)| element(der::implicit(*number), &[content])).collect();
        self.extension(0x11, &element(der::SEQUENCE, &[&names]))
    }

    pub(crate) fn subject_key_id(self, id: &[u8]) -> Self {
        self.extension(0x0e, &element(der::OCTET_STRING, &[id]))
    }

    pub(crate) fn authority_key_id(self, id: &[u8]) -> Self {
        self.extension(0x23, &element(der::SEQUENCE, &[&element(der::implicit(0), &[id])]))
    }

    pub(crate) fn der(&self) -> Vec<u8> {
        let algorithm = element(der::SEQUENCE, &[&element(der::OID, &[&[0x2b, 0x65, 0x70]])]);
        let times = self.times.map(|(tag, text)| element(tag, &[text.as_bytes()])).concat();
        let extensions: Vec<u8> = self
            .extensions
            .iter()
            .flat_map(|(oid, value)| {
                element(der::SEQUENCE, &[&element(der::OID, &[oid]), &element(der::OCTET_STRING, &[value])])
            })
            .collect();
        let tbs = element(
            der::SEQUENCE,
            &[
                &element(der::explicit(0), &[&[der::INTEGER, 1, 2]]),
                &element(der::INTEGER, &[&self.serial]),
                &algorithm,
                &self.issuer,
                &element(der::SEQUENCE, &[&times]),
                &self.subject,
                &self.spki,
                &element(der::explicit(3), &[&element(der::SEQUENCE, &[&extensions])]),
            ],
        );
        element(der::SEQUENCE, &[&tbs, &algorithm, &element(der::BIT_STRING, &[&[0; 65]])])
    }

    pub(crate) fn read(&self) -> Result<super::Certificate, super::ReadError> {
        super::Certificate::from_der(&self.der())
    }

    pub(crate) fn certificate(&self) -> super::Certificate {
        self.read().unwrap()
    }
}

/// A Name that holds one common name of the string type.
pub(crate) fn common_name(tag: u8, text: &[u8]) -> Vec<u8> {
    super::name::build(&[(&[0x55, 0x04, 0x03], tag, text)])
}
