//! Signatures that clients no longer accept.

/// What a signature is called that nobody accepts any more. By the object identifiers of RFC 3279 section 2.2, in the DER of an AlgorithmIdentifier.
pub(super) fn weak_signature(algorithm: &[u8]) -> Option<&'static str> {
    const WEAK: [(&[u8], &str); 4] = [
        (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x04], "RSA with MD5"),
        (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x05], "RSA with SHA-1"),
        (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01], "ECDSA with SHA-1"),
        (&[0x2a, 0x86, 0x48, 0xce, 0x38, 0x04, 0x03], "DSA with SHA-1"),
    ];
    // SEQUENCE, its length, OBJECT IDENTIFIER, its length: all short.
    let [0x30, _, 0x06, length, rest @ ..] = algorithm else { return None };
    let oid = rest.get(..usize::from(*length))?;
    WEAK.iter().find(|(weak, _)| *weak == oid).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_signatures_are_known_by_their_identifiers() {
        let rsa = |last: u8| {
            [&[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01][..], &[last, 0x05, 0x00]]
                .concat()
        };
        assert_eq!(weak_signature(&rsa(0x05)), Some("RSA with SHA-1"));
        assert_eq!(weak_signature(&rsa(0x0b)), None, "SHA-256");
        assert_eq!(
            weak_signature(&[0x30, 0x09, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01]),
            Some("ECDSA with SHA-1")
        );
        for nonsense in [&[][..], &[0x30], &[0x30, 0, 6, 200, 1]] {
            assert_eq!(weak_signature(nonsense), None);
        }
    }
}
