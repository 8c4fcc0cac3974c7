//! Account directories as certbot writes them.

use std::fs;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use md5::{Digest, Md5};
use rcgen::{KeyPair, PublicKeyData};

use crate::KeyKind;
use crate::tree::{make_dir, write_with_mode};

/// What key an account has: certbot makes RSA keys and uses EC keys that it finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountKeyKind {
    /// ES256.
    EcP256,
    /// ES384.
    EcP384,
    /// RS256, 2048 bits: certbot's own.
    Rsa2048,
    /// RS256, 3072 bits.
    Rsa3072,
    /// RS256, 4096 bits.
    Rsa4096,
}

/// An account that was written.
#[derive(Clone, Debug)]
pub struct StoredAccount {
    /// The directory's name; the conf's `account`.
    pub id: String,
    /// The directory.
    pub path: PathBuf,
    /// The private key as a JWK, as it stands in `private_key.json`.
    pub jwk: String,
}

/// Writes an account whose URL at the CA is `uri` below `config_dir`.
pub(crate) fn write(
    config_dir: &Path,
    server: &str,
    kind: AccountKeyKind,
    uri: &str,
    now: DateTime<Utc>,
) -> StoredAccount {
    let key = match kind {
        AccountKeyKind::EcP256 => KeyKind::EcdsaP256,
        AccountKeyKind::EcP384 => KeyKind::EcdsaP384,
        AccountKeyKind::Rsa2048 => KeyKind::Rsa2048,
        AccountKeyKind::Rsa3072 => KeyKind::Rsa3072,
        AccountKeyKind::Rsa4096 => KeyKind::Rsa4096,
    }
    .generate();
    let jwk = match kind {
        AccountKeyKind::EcP256 => ec_jwk(&key, "P-256", 32),
        AccountKeyKind::EcP384 => ec_jwk(&key, "P-384", 48),
        AccountKeyKind::Rsa2048 | AccountKeyKind::Rsa3072 | AccountKeyKind::Rsa4096 => rsa_jwk(&key),
    };
    let id = account_id(&key);
    let path = account_dir(config_dir, server).join(&id);
    let mut folder = config_dir.to_owned();
    for part in path.strip_prefix(config_dir).unwrap() {
        folder.push(part);
        make_dir(&folder, 0o700);
    }
    write_with_mode(&path.join("private_key.json"), &jwk, 0o400);
    write_with_mode(&path.join("regr.json"), &serde_json::json!({ "body": {}, "uri": uri }).to_string(), 0o644);
    let meta = serde_json::json!({
        "creation_dt": now.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "creation_host": "testkit.invalid",
    });
    write_with_mode(&path.join("meta.json"), &meta.to_string(), 0o644);
    StoredAccount { id, path, jwk }
}

/// `accounts/HOST[:PORT]/PATH` of a directory URL.
pub(crate) fn account_dir(config_dir: &Path, server: &str) -> PathBuf {
    let without_scheme = server.split_once("://").map_or(server, |(_, rest)| rest);
    config_dir.join("accounts").join(without_scheme.trim_end_matches('/'))
}

/// The ids of the accounts that are stored for a directory URL.
pub(crate) fn stored_ids(config_dir: &Path, server: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(account_dir(config_dir, server)) else { return Vec::new() };
    let mut ids: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    ids.sort();
    ids
}

/// md5 of the PEM public key with its trailing newline.
fn account_id(key: &KeyPair) -> String {
    let block = pem::Pem::new("PUBLIC KEY", key.subject_public_key_info());
    let text = pem::encode_config(&block, pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF));
    HEXLOWER.encode(&Md5::digest(text.as_bytes()))
}

fn ec_jwk(key: &KeyPair, curve: &str, size: usize) -> String {
    // An uncompressed point (SEC 1 section 2.3.3): 04, x, y.
    let point = key.der_bytes();
    let (x, y) = point[1..].split_at(size);
    // ECPrivateKey (RFC 5915): version 1, then the octet string with the private number.
    let der = key.serialize_der();
    let head = [0x02, 0x01, 0x01, 0x04, size as u8];
    let at = der.windows(head.len()).position(|window| window == head).unwrap() + head.len();
    let encode = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
    serde_json::json!({
        "kty": "EC", "crv": curve, "x": encode(x), "y": encode(y), "d": encode(&der[at..at + size]),
    })
    .to_string()
}

fn rsa_jwk(key: &KeyPair) -> String {
    // PrivateKeyInfo (RFC 5208) holds RSAPrivateKey (RFC 8017 appendix A.1.2) in its octet string.
    let pkcs8 = key.serialize_der();
    let mut info = Der(Der(&pkcs8).next(0x30));
    info.next(0x02);
    info.next(0x30);
    let mut numbers = Der(Der(info.next(0x04)).next(0x30));
    numbers.next(0x02);
    let mut jwk = serde_json::Map::new();
    jwk.insert("kty".into(), "RSA".into());
    for name in ["n", "e", "d", "p", "q", "dp", "dq", "qi"] {
        let number = numbers.next(0x02);
        let bare = number.strip_prefix(&[0]).unwrap_or(number);
        jwk.insert(name.into(), BASE64URL_NOPAD.encode(bare).into());
    }
    serde_json::Value::from(jwk).to_string()
}

/// Just enough DER for a key that we made ourselves.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    fn next(&mut self, tag: u8) -> &'a [u8] {
        assert_eq!(self.0[0], tag);
        let (length, rest) = match self.0[1] {
            short @ 0..0x80 => (usize::from(short), &self.0[2..]),
            long => {
                let (digits, rest) = self.0[2..].split_at(usize::from(long & 0x7f));
                (digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)), rest)
            }
        };
        let (content, after) = rest.split_at(length);
        self.0 = after;
        content
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_an_rsa_jwk_belong_together() {
        let jwk: serde_json::Value = serde_json::from_str(&rsa_jwk(&KeyKind::Rsa2048.generate())).unwrap();
        let size = |name: &str| BASE64URL_NOPAD.decode(jwk[name].as_str().unwrap().as_bytes()).unwrap().len();
        assert_eq!((size("n"), size("p"), size("q")), (256, 128, 128));
        assert_eq!(jwk["e"], "AQAB");
    }

    #[test]
    fn an_ec_jwk_has_numbers_of_the_curves_size() {
        let jwk: serde_json::Value =
            serde_json::from_str(&ec_jwk(&KeyKind::EcdsaP384.generate(), "P-384", 48)).unwrap();
        for name in ["x", "y", "d"] {
            assert_eq!(BASE64URL_NOPAD.decode(jwk[name].as_str().unwrap().as_bytes()).unwrap().len(), 48);
        }
    }
}
