//! The keys here were made for these tests and protect nothing. The public keys were printed by OpenSSL 3.0
//! (`openssl pkey -pubout -outform DER`).

use data_encoding::BASE64;
use proptest::prelude::*;

use super::*;

const P256_PKCS8: &str = "\
-----BEGIN PRIVATE KEY-----\n\
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg0eSo0roR8YIcX+/5\n\
He61EkKOocfbS06z0gqlxmbxGU+hRANCAAQDrp3QFAWJags5mjK0lbVbqxYYQ2mL\n\
sAmTb76QU0bDPGuN6ChtvMfXWYrLEVpVJw++1EwxCXtBwm2Hmsw7YZVe\n\
-----END PRIVATE KEY-----\n\
";

const P256_SEC1: &str = "\
-----BEGIN EC PRIVATE KEY-----\n\
MHcCAQEEINHkqNK6EfGCHF/v+R3utRJCjqHH20tOs9IKpcZm8RlPoAoGCCqGSM49\n\
AwEHoUQDQgAEA66d0BQFiWoLOZoytJW1W6sWGENpi7AJk2++kFNGwzxrjegobbzH\n\
11mKyxFaVScPvtRMMQl7QcJth5rMO2GVXg==\n\
-----END EC PRIVATE KEY-----\n\
";

const P256_SEC1_WITHOUT_PUBLIC: &str = "\
-----BEGIN EC PRIVATE KEY-----\n\
MDECAQEEINHkqNK6EfGCHF/v+R3utRJCjqHH20tOs9IKpcZm8RlPoAoGCCqGSM49\n\
AwEH\n\
-----END EC PRIVATE KEY-----\n\
";

const P256_SEC1_COMPRESSED: &str = "\
-----BEGIN EC PRIVATE KEY-----\n\
MFcCAQEEINHkqNK6EfGCHF/v+R3utRJCjqHH20tOs9IKpcZm8RlPoAoGCCqGSM49\n\
AwEHoSQDIgACA66d0BQFiWoLOZoytJW1W6sWGENpi7AJk2++kFNGwzw=\n\
-----END EC PRIVATE KEY-----\n\
";

const EC_PARAMETERS: &str = "\
-----BEGIN EC PARAMETERS-----\n\
BggqhkjOPQMBBw==\n\
-----END EC PARAMETERS-----\n\
";

const P256_ENCRYPTED: &str = "\
-----BEGIN ENCRYPTED PRIVATE KEY-----\n\
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAhZTD/eXWuxAAICCAAw\n\
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEAQIEEOfYxkhIWK2ly7iLG09koWMEgZCI\n\
ElRmOKT12eJDiqeOKKsl6WL8LsMC5diksUYNIPeUFTi6dmWGUtmv8uXtK6640cTS\n\
hUl+cLeMFTLYdwN2e4EgFNIiaW54ZJsE6RMI/BFCDQRvc+DzxYClRLQT7JZ2d8E1\n\
n/5wrLOgjpZOcyFdKXb8fjPNcjlN6kangW/p/ljW4e3PfbzVyQ4J7Hsp5LfnIOA=\n\
-----END ENCRYPTED PRIVATE KEY-----\n\
";

const P256_SEC1_ENCRYPTED: &str = "\
-----BEGIN EC PRIVATE KEY-----\n\
Proc-Type: 4,ENCRYPTED\n\
DEK-Info: AES-128-CBC,FA519EB0EE92C165332CB8684399952C\n\
\n\
KFYXoLIQ+UwE40uqXN+J+UtJZaKx3gYrmY2qf0PUd8dThv3qJYE0BMtkWYExmmzV\n\
jef0CuNNDokpleNyG6IZ2rG/7JmC2Kn8gzGq9/Dn7ovF6FAtY9DP7/l+q3ZXYbe6\n\
KMPQ8ksoy/zdoTQqjtHOKgHVbKqfU3i40UPV5Wov1eY=\n\
-----END EC PRIVATE KEY-----\n\
";

const RSA_PKCS1: &str = "\
-----BEGIN RSA PRIVATE KEY-----\n\
MIICXAIBAAKBgQCoZmK6vPy2NSsnzpuHqk+pJXZkLJwPh3jsoWDYqWG3R27vn78B\n\
JI8gwkfhNJlyLHgh8p1p0gUcEU3rDIpMyA31yM26cJtGggGiEm5VOQI0I+mwcutR\n\
oGa51M0CgPXopDN3MDtS4MmYvK+HRGWkOd7zMNFMJAAtDO1FA6AEe8NLkwIDAQAB\n\
AoGAL2HflbtnP71mDyVLDbkWAPnRfg4vOw9bLvmZTl0aaX9n73R7Qc8PlqATqYIr\n\
SrzIcITbVdMKLQORcPluUHxZsMGA+/J8jHf6+gHAbUEbNFj/yCUuO8l5Vpz+dO0v\n\
idhEo67Y0kJlYlj+qXIABM1BDXbv5kqiiszCjJ4eLGMYW4ECQQDZPlTzbbXqSiJp\n\
o6202b+FFK4jS8weZSdWdiJvv2NrHAgBzZJxya8xyZ4q7e9WrUuQWqGJ4KXsYbhG\n\
O8JrnJ9ZAkEAxnFVcp7AnrixWZHqPmd2rBovcdpfFYmfgtKSmxdTP1UE9PJYbx2c\n\
fMdyB+Y7Ft41dEwOhgJamcBlhnzhFmpwywJAdesMh3mUldCZr0emARV0jJL2FriM\n\
2i7D1H2ZIZj8KOZ1Pi1MgTEdRGQQ03KFSEIWUwuuxT1IMu+z64OCe5DvOQJBAMOO\n\
nG5AFAJWcC+cpAKrYz9m7qp8UIehABij+uXrrpYS6reYu52EyNoOkklGkaSPho39\n\
BbL6Tt6Fw4ctOYQlkNECQHuS2+aOTiHAWmK64noN5wpDI7Qh/gY83rEgNg7EkXl5\n\
vx9+niBoR4lvFmNGJhutnKHulocQF1TllvYH24FWPj8=\n\
-----END RSA PRIVATE KEY-----\n\
";

const RSA_PKCS8: &str = "\
-----BEGIN PRIVATE KEY-----\n\
MIICdgIBADANBgkqhkiG9w0BAQEFAASCAmAwggJcAgEAAoGBAKhmYrq8/LY1KyfO\n\
m4eqT6kldmQsnA+HeOyhYNipYbdHbu+fvwEkjyDCR+E0mXIseCHynWnSBRwRTesM\n\
ikzIDfXIzbpwm0aCAaISblU5AjQj6bBy61GgZrnUzQKA9eikM3cwO1LgyZi8r4dE\n\
ZaQ53vMw0UwkAC0M7UUDoAR7w0uTAgMBAAECgYAvYd+Vu2c/vWYPJUsNuRYA+dF+\n\
Di87D1su+ZlOXRppf2fvdHtBzw+WoBOpgitKvMhwhNtV0wotA5Fw+W5QfFmwwYD7\n\
8nyMd/r6AcBtQRs0WP/IJS47yXlWnP507S+J2ESjrtjSQmViWP6pcgAEzUENdu/m\n\
SqKKzMKMnh4sYxhbgQJBANk+VPNttepKImmjrbTZv4UUriNLzB5lJ1Z2Im+/Y2sc\n\
CAHNknHJrzHJnirt71atS5BaoYngpexhuEY7wmucn1kCQQDGcVVynsCeuLFZkeo+\n\
Z3asGi9x2l8ViZ+C0pKbF1M/VQT08lhvHZx8x3IH5jsW3jV0TA6GAlqZwGWGfOEW\n\
anDLAkB16wyHeZSV0JmvR6YBFXSMkvYWuIzaLsPUfZkhmPwo5nU+LUyBMR1EZBDT\n\
coVIQhZTC67FPUgy77Prg4J7kO85AkEAw46cbkAUAlZwL5ykAqtjP2buqnxQh6EA\n\
GKP65euulhLqt5i7nYTI2g6SSUaRpI+Gjf0FsvpO3oXDhy05hCWQ0QJAe5Lb5o5O\n\
IcBaYrrieg3nCkMjtCH+BjzesSA2DsSReXm/H36eIGhHiW8WY0YmG62coe6WhxAX\n\
VOWW9gfbgVY+Pw==\n\
-----END PRIVATE KEY-----\n\
";

const ED25519_PKCS8: &str = "\
-----BEGIN PRIVATE KEY-----\n\
MC4CAQAwBQYDK2VwBCIEIBvhHaVNLPVkjifx8xl0b3SvTdylLjnLJkIGletBXUc0\n\
-----END PRIVATE KEY-----\n\
";

const P256_SPKI: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEA66d0BQFiWoLOZoytJW1W6sWGENpi7AJk2++kFNGwzxrjegobbzH11mKyxFaVScPvtRMMQl7QcJth5rMO2GVXg==";
const RSA_SPKI: &str = "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCoZmK6vPy2NSsnzpuHqk+pJXZkLJwPh3jsoWDYqWG3R27vn78BJI8gwkfhNJlyLHgh8p1p0gUcEU3rDIpMyA31yM26cJtGggGiEm5VOQI0I+mwcutRoGa51M0CgPXopDN3MDtS4MmYvK+HRGWkOd7zMNFMJAAtDO1FA6AEe8NLkwIDAQAB";
const ED25519_SPKI: &str = "MCowBQYDK2VwAyEArYiWRI7P9xVW9ZPMFAHcfgp7pW1N01aBVYlanhsBoUU=";

fn carried(pem: &str) -> Option<String> {
    PrivateKey::from_pem(pem.as_bytes()).unwrap().carried_spki_der().map(|spki| BASE64.encode(&spki))
}

#[test]
fn the_public_key_is_the_one_openssl_computes() {
    assert_eq!(carried(P256_PKCS8).as_deref(), Some(P256_SPKI));
    assert_eq!(carried(P256_SEC1).as_deref(), Some(P256_SPKI));
    assert_eq!(carried(RSA_PKCS1).as_deref(), Some(RSA_SPKI));
    assert_eq!(carried(RSA_PKCS8).as_deref(), Some(RSA_SPKI));
}

#[test]
fn a_key_of_each_format_becomes_the_pkcs8_that_openssl_writes() {
    let key = |pem: &str| PrivateKey::from_pem(pem.as_bytes()).unwrap();
    let pkcs8 = |pem: &str| key(pem).to_pkcs8_der().unwrap();
    assert_eq!(*pkcs8(RSA_PKCS1), key(RSA_PKCS8).der());
    assert_eq!(*pkcs8(P256_SEC1), key(P256_PKCS8).der());
    assert_eq!(*pkcs8(ED25519_PKCS8), key(ED25519_PKCS8).der());
    // Without a public key there is none to carry over.
    let bare = PrivateKey::from_der(&pkcs8(P256_SEC1_WITHOUT_PUBLIC), PrivateKeyFormat::Pkcs8).unwrap();
    assert_eq!(bare.carried_spki_der(), None);
}

#[test]
fn a_key_that_does_not_name_its_curve_becomes_no_pkcs8() {
    let nameless = der::element(der::SEQUENCE, &[&[2, 1, 1], &der::element(der::OCTET_STRING, &[&[7; 32]])]);
    assert_eq!(PrivateKey::from_der(&nameless, PrivateKeyFormat::Sec1).unwrap().to_pkcs8_der(), None);
}

#[test]
fn a_key_without_its_public_key_carries_none() {
    assert_eq!(carried(P256_SEC1_WITHOUT_PUBLIC), None);
    assert_eq!(carried(ED25519_PKCS8), None);
}

/// A compressed point would never equal the one in a certificate, and the key would seem not to belong to it.
#[test]
fn a_compressed_public_key_does_not_count() {
    assert_eq!(carried(P256_SEC1_COMPRESSED), None);
}

/// RFC 5958 version 2, as ring writes Ed25519 keys: the public key follows.
#[test]
fn the_public_key_of_a_second_version_key_is_found() {
    let old = PrivateKey::from_pem(ED25519_PKCS8.as_bytes()).unwrap();
    let public = BASE64.decode(ED25519_SPKI.as_bytes()).unwrap();
    let point = [&[0][..], &public[12..]].concat();
    for tail in [
        der::element(der::implicit(1), &[&point]),
        der::element(der::explicit(1), &[&der::element(der::BIT_STRING, &[&point])]),
    ] {
        let new = der::element(der::SEQUENCE, &[&[2, 1, 1], &old.der()[5..], &tail]);
        let key = PrivateKey::from_der(&new, PrivateKeyFormat::Pkcs8).unwrap();
        assert_eq!(key.carried_spki_der(), Some(public.clone()));
    }
}

#[test]
fn pem_comes_back_byte_for_byte() {
    for (pem, format) in [
        (P256_PKCS8, PrivateKeyFormat::Pkcs8),
        (P256_SEC1, PrivateKeyFormat::Sec1),
        (RSA_PKCS1, PrivateKeyFormat::Pkcs1),
        (ED25519_PKCS8, PrivateKeyFormat::Pkcs8),
    ] {
        let key = PrivateKey::from_pem(pem.as_bytes()).unwrap();
        assert_eq!(key.format(), format);
        assert_eq!(*key.to_pem(), pem);
        assert_eq!(PrivateKey::from_bare_der(key.der()).unwrap().format(), format);
    }
}

#[test]
fn parameters_in_front_and_windows_line_ends_do_not_matter() {
    let text = format!("{EC_PARAMETERS}{P256_SEC1}").replace('\n', "\r\n");
    assert_eq!(carried(&text).as_deref(), Some(P256_SPKI));
}

#[test]
fn encrypted_keys_are_said_to_be_encrypted() {
    for pem in [P256_ENCRYPTED, P256_SEC1_ENCRYPTED] {
        assert_eq!(PrivateKey::from_pem(pem.as_bytes()).unwrap_err(), PrivateKeyError::Encrypted);
    }
    let der = pem::parse(P256_ENCRYPTED).unwrap();
    assert_eq!(PrivateKey::from_bare_der(der.contents()).unwrap_err(), PrivateKeyError::Encrypted);
}

#[test]
fn errors_say_what_and_where_but_show_nothing_of_the_key() {
    assert_eq!(PrivateKey::from_pem(b"").unwrap_err(), PrivateKeyError::NoKey);
    assert_eq!(PrivateKey::from_pem(EC_PARAMETERS.as_bytes()).unwrap_err(), PrivateKeyError::NoKey);
    let damaged = P256_PKCS8.replace("0eSo", "0e$o");
    assert!(matches!(PrivateKey::from_pem(damaged.as_bytes()).unwrap_err(), PrivateKeyError::Pem { line: 1, .. }));
    let relabelled = P256_PKCS8.replace("PRIVATE KEY", "RSA PRIVATE KEY");
    assert!(matches!(
        PrivateKey::from_pem(relabelled.as_bytes()).unwrap_err(),
        PrivateKeyError::Malformed { offset: 6, .. }
    ));
    let openssh = P256_PKCS8.replace("PRIVATE KEY", "OPENSSH PRIVATE KEY");
    assert!(matches!(PrivateKey::from_pem(openssh.as_bytes()).unwrap_err(), PrivateKeyError::Unsupported(_)));

    let key = PrivateKey::from_pem(P256_PKCS8.as_bytes()).unwrap();
    let longer = [key.der(), &[0]].concat();
    assert!(PrivateKey::from_der(&longer, PrivateKeyFormat::Pkcs8).is_err());
    assert_eq!(format!("{key:?}"), "PrivateKey { format: Pkcs8, .. }");
}

proptest! {
    #[test]
    fn mutated_keys_do_not_panic(position: prop::sample::Index, octet: u8, length: prop::sample::Index) {
        for pem in [P256_PKCS8, P256_SEC1, RSA_PKCS1, ED25519_PKCS8] {
            let key = PrivateKey::from_pem(pem.as_bytes()).unwrap();
            let mut der = key.der().to_vec();
            *position.get_mut(&mut der) = octet;
            der.truncate(length.index(2 * der.len()));
            if let Ok(key) = PrivateKey::from_bare_der(&der) {
                let _ = key.carried_spki_der();
            }
        }
    }
}
