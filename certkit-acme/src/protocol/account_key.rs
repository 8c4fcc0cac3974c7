//! Account keys: certbot's JWKs, RSA and EC.

use std::fmt;

use aws_lc_rs::encoding::{AsBigEndian, AsDer, EcPrivateKeyBin, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPairComponents, KeySize, PublicKeyComponents};
use aws_lc_rs::signature::{EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use certkit_core::{PrivateKey, PrivateKeyFormat, escape};
use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;
use serde::de::IgnoredAny;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::der::{self, Reader};
use crate::key_material::{Curve, KeyMaterial, ec_spki, rsa_spki};

/// Signs requests for an account (RFC 8555 section 6.2).
pub trait AccountSigner: Send + Sync {
    /// The JWS algorithm: RS256, ES256, ES384 or ES512.
    fn algorithm(&self) -> &'static str;
    /// The public key as a JWK in its canonical form (RFC 7638: members sorted, no blanks).
    fn public_jwk(&self) -> &str;
    /// Signs; ECDSA signatures are in the fixed-length form of RFC 7518 section 3.4.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, AccountKeyError>;
}

/// An account key. The private part is zeroized on drop as far as the crypto library allows, and never shown.
pub struct AccountKey {
    signing: Signing,
    public_jwk: String,
    private_jwk: Zeroizing<String>,
    spki_der: Vec<u8>,
}

/// The kinds of new account keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AccountKeyType {
    /// RSA with 2048 bits: what certbot makes. Every certbot can take such an account back, old ones included; EC
    /// account keys are read by newer ones only.
    #[default]
    Rsa2048,
    /// RSA with 3072 bits.
    Rsa3072,
    /// RSA with 4096 bits.
    Rsa4096,
    /// ECDSA on P-256.
    EcdsaP256,
    /// ECDSA on P-384.
    EcdsaP384,
    /// ECDSA on P-521.
    EcdsaP521,
}

enum Signing {
    Rsa(RsaKeyPair),
    Ec(Curve, EcdsaKeyPair),
}

type Secret = Zeroizing<Vec<u8>>;

/// The members of a private JWK (RFC 7518 section 6). They are borrowed: no copy of a secret is left behind. Others
/// (`kid`, `use`, `alg` …) are allowed and not looked at.
#[derive(Deserialize)]
struct Jwk<'a> {
    kty: Option<&'a str>,
    crv: Option<&'a str>,
    x: Option<&'a str>,
    y: Option<&'a str>,
    d: Option<&'a str>,
    n: Option<&'a str>,
    e: Option<&'a str>,
    p: Option<&'a str>,
    q: Option<&'a str>,
    dp: Option<&'a str>,
    dq: Option<&'a str>,
    qi: Option<&'a str>,
    oth: Option<IgnoredAny>,
}

/// A JSON object of members that need no escaping. Its size is fixed beforehand, so that no outgrown copy is left behind.
fn secret_object(members: &[(&str, &str)]) -> Zeroizing<String> {
    let size = 2 + members.iter().map(|(name, value)| name.len() + value.len() + 8).sum::<usize>();
    let mut object = Zeroizing::new(String::with_capacity(size));
    for (index, (name, value)) in members.iter().enumerate() {
        for part in [if index == 0 { "{\"" } else { ", \"" }, name, "\": \"", value, "\""] {
            object.push_str(part);
        }
    }
    object.push('}');
    object
}

fn number(name: &str, text: Option<&str>) -> Result<Secret, AccountKeyError> {
    let text = text.ok_or_else(|| unreadable(format!("`{name}` is missing")))?;
    BASE64URL_NOPAD
        .decode(text.trim_end_matches('=').as_bytes())
        .map(Zeroizing::new)
        .map_err(|_| unreadable(format!("`{name}` is not base64url")))
}

/// The JWK members that hold numbers of an RSA key (RFC 7518 section 6.3), in the order of RFC 8017's RSAPrivateKey.
const RSA_MEMBERS: [&str; 8] = ["n", "e", "d", "p", "q", "dp", "dq", "qi"];

impl AccountKey {
    /// Reads certbot's `private_key.json`: an RSA key with all its numbers or an EC key, members in any order.
    pub fn from_jwk(json: &str) -> Result<Self, AccountKeyError> {
        let jwk: Jwk<'_> = serde_json::from_str(json).map_err(|_| unreadable("it is not a JWK in JSON"))?;
        match jwk.kty {
            Some("RSA") => {
                if jwk.oth.is_some() {
                    return Err(unreadable("an RSA key with more than two primes"));
                }
                let members = [jwk.n, jwk.e, jwk.d, jwk.p, jwk.q, jwk.dp, jwk.dq, jwk.qi];
                let named = RSA_MEMBERS.into_iter().zip(members);
                Self::rsa(&named.map(|(name, text)| number(name, text)).collect::<Result<Vec<_>, _>>()?)
            }
            Some("EC") => {
                let name = jwk.crv.unwrap_or_default();
                let curve = Curve::ALL.into_iter().find(|curve| curve.jwk_name() == name);
                let curve =
                    curve.ok_or_else(|| unreadable(format!("the curve `{}` is not supported", escape(name))))?;
                Self::ec(curve, &number("d", jwk.d)?, &number("x", jwk.x)?, &number("y", jwk.y)?)
            }
            Some(other) => Err(unreadable(format!("keys of the type `{}` are not supported", escape(other)))),
            None => Err(unreadable("`kty` is missing")),
        }
    }

    /// A new key of the default kind, RSA with 2048 bits: see [`AccountKeyType`]. Takes a while: call it on a blocking
    /// thread.
    pub fn generate() -> Result<Self, AccountKeyError> {
        Self::generate_kind(AccountKeyType::default())
    }

    /// A new key of this kind. Takes a while for RSA: call it on a blocking thread.
    pub fn generate_kind(kind: AccountKeyType) -> Result<Self, AccountKeyError> {
        let failed = |_| unreadable("the crypto library made none");
        let rsa = |size| {
            let der: Pkcs8V1Der<'_> = RsaKeyPair::generate(size).and_then(|pair| pair.as_der()).map_err(failed)?;
            Self::from_pkcs8_rsa(der.as_ref())
        };
        let ec = |curve: Curve| Self::from_ec_pair(curve, &EcdsaKeyPair::generate(curve.signing()).map_err(failed)?);
        match kind {
            AccountKeyType::Rsa2048 => rsa(KeySize::Rsa2048),
            AccountKeyType::Rsa3072 => rsa(KeySize::Rsa3072),
            AccountKeyType::Rsa4096 => rsa(KeySize::Rsa4096),
            AccountKeyType::EcdsaP256 => ec(Curve::P256),
            AccountKeyType::EcdsaP384 => ec(Curve::P384),
            AccountKeyType::EcdsaP521 => ec(Curve::P521),
        }
    }

    /// A private key from a file as a signer, for revoking with a certificate's own key (RFC 8555 section 7.6).
    pub fn from_private_key(key: &PrivateKey) -> Result<Self, AccountKeyError> {
        match (KeyMaterial::load(key).map_err(unreadable)?, key.format()) {
            (KeyMaterial::Rsa(_), PrivateKeyFormat::Pkcs1) => Self::from_pkcs1(key.der()),
            (KeyMaterial::Rsa(_), _) => Self::from_pkcs8_rsa(key.der()),
            (KeyMaterial::Ec(curve, pair), _) => Self::from_ec_pair(curve, &pair),
            (KeyMaterial::Ed25519(_), _) => Err(unreadable("Ed25519 keys cannot sign requests to a CA here")),
        }
    }

    /// What kind of key it is. RSA keys of a size that is not made here count as the next smaller one.
    pub fn key_type(&self) -> AccountKeyType {
        match &self.signing {
            Signing::Rsa(pair) if pair.public_modulus_len() >= 4096 / 8 => AccountKeyType::Rsa4096,
            Signing::Rsa(pair) if pair.public_modulus_len() >= 3072 / 8 => AccountKeyType::Rsa3072,
            Signing::Rsa(_) => AccountKeyType::Rsa2048,
            Signing::Ec(Curve::P256, _) => AccountKeyType::EcdsaP256,
            Signing::Ec(Curve::P384, _) => AccountKeyType::EcdsaP384,
            Signing::Ec(Curve::P521, _) => AccountKeyType::EcdsaP521,
        }
    }

    /// The private key as a JWK that certbot reads.
    pub fn to_jwk(&self) -> Zeroizing<String> {
        self.private_jwk.clone()
    }

    /// The SubjectPublicKeyInfo in DER (certbot names the account directory after it).
    pub fn spki_der(&self) -> &[u8] {
        &self.spki_der
    }

    /// base64url(SHA-256(JWK thumbprint)) (RFC 7638).
    pub fn thumbprint(&self) -> String {
        BASE64URL_NOPAD.encode(&Sha256::digest(self.public_jwk.as_bytes()))
    }

    fn from_pkcs8_rsa(der: &[u8]) -> Result<Self, AccountKeyError> {
        let inner = || {
            let mut key = Reader::new(der).inside(der::SEQUENCE)?;
            key.expect(der::INTEGER)?;
            key.expect(der::SEQUENCE)?;
            key.expect(der::OCTET_STRING)
        };
        Self::from_pkcs1(inner().ok_or_else(|| unreadable("it is not PKCS#8"))?)
    }

    fn from_pkcs1(der: &[u8]) -> Result<Self, AccountKeyError> {
        let numbers = || {
            let mut key = Reader::new(der).inside(der::SEQUENCE)?;
            key.expect(der::INTEGER)?;
            RSA_MEMBERS.iter().map(|_| key.unsigned().map(|n| Zeroizing::new(n.to_vec()))).collect::<Option<Vec<_>>>()
        };
        Self::rsa(&numbers().ok_or_else(|| unreadable("it is not an RSAPrivateKey"))?)
    }

    fn from_ec_pair(curve: Curve, pair: &EcdsaKeyPair) -> Result<Self, AccountKeyError> {
        let number: EcPrivateKeyBin<'_> =
            pair.private_key().as_be_bytes().map_err(|_| unreadable("the number of the EC key is not available"))?;
        let point = pair.public_key().as_ref().strip_prefix(&[4]).unwrap_or_default();
        let (x, y) = point.split_at_checked(curve.field_octets()).ok_or_else(|| unreadable("it has no point"))?;
        Self::ec(curve, number.as_ref(), x, y)
    }

    /// From n, e, d, p, q, dP, dQ, qInv.
    fn rsa(numbers: &[Secret]) -> Result<Self, AccountKeyError> {
        let [n, e, d, p, q, dp, dq, qi] = numbers else { return Err(unreadable("numbers are missing")) };
        let (n, e) = (der::without_leading_zeros(n), der::without_leading_zeros(e));
        let components = KeyPairComponents {
            public_key: PublicKeyComponents { n, e },
            d: d.as_slice(),
            p: p.as_slice(),
            q: q.as_slice(),
            dP: dp.as_slice(),
            dQ: dq.as_slice(),
            qInv: qi.as_slice(),
        };
        let pair = RsaKeyPair::from_components(&components).map_err(|error| {
            unreadable(format!("an RSA key that is not valid ({error}); it must have 2048 to 8192 bits"))
        })?;
        let spki_der = rsa_spki(&pair).map_err(unreadable)?;
        let encoded = |number: &[u8]| BASE64URL_NOPAD.encode(der::without_leading_zeros(number));
        let public_jwk = format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, encoded(e), encoded(n));
        let encoded: Vec<_> = numbers.iter().map(|number| Zeroizing::new(encoded(number))).collect();
        let mut members: Vec<_> = RSA_MEMBERS.into_iter().zip(encoded.iter().map(|number| number.as_str())).collect();
        members.push(("kty", "RSA"));
        let private_jwk = secret_object(&members);
        Ok(Self { signing: Signing::Rsa(pair), public_jwk, private_jwk, spki_der })
    }

    fn ec(curve: Curve, d: &[u8], x: &[u8], y: &[u8]) -> Result<Self, AccountKeyError> {
        let length = curve.field_octets();
        // RFC 7518 section 6.2.1.2 wants the full length; keys with leading zeros cut off exist.
        let full = |number: &[u8]| -> Result<Secret, AccountKeyError> {
            let number = der::without_leading_zeros(number);
            let zeros = length.checked_sub(number.len()).ok_or_else(|| unreadable("a number is too long"))?;
            Ok(Zeroizing::new([&vec![0; zeros][..], number].concat()))
        };
        let (d, x, y) = (full(d)?, full(x)?, full(y)?);
        let point = [&[4][..], &x, &y].concat();
        let pair = EcdsaKeyPair::from_private_key_and_public_key(curve.signing(), &d, &point)
            .map_err(|error| unreadable(format!("an EC key that is not valid ({error})")))?;
        let spki_der = ec_spki(curve, &point);
        let (crv, x, y) = (curve.jwk_name(), BASE64URL_NOPAD.encode(&x), BASE64URL_NOPAD.encode(&y));
        let d = Zeroizing::new(BASE64URL_NOPAD.encode(&d));
        Ok(Self {
            signing: Signing::Ec(curve, pair),
            public_jwk: format!(r#"{{"crv":"{crv}","kty":"EC","x":"{x}","y":"{y}"}}"#),
            private_jwk: secret_object(&[("crv", crv), ("d", &d), ("kty", "EC"), ("x", &x), ("y", &y)]),
            spki_der,
        })
    }
}

impl AccountSigner for AccountKey {
    fn algorithm(&self) -> &'static str {
        match self.signing {
            Signing::Rsa(_) => "RS256",
            Signing::Ec(Curve::P256, _) => "ES256",
            Signing::Ec(Curve::P384, _) => "ES384",
            Signing::Ec(Curve::P521, _) => "ES512",
        }
    }

    fn public_jwk(&self) -> &str {
        &self.public_jwk
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, AccountKeyError> {
        let random = SystemRandom::new();
        match &self.signing {
            Signing::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .map(|()| signature)
                    .map_err(|_| AccountKeyError::Signing)
            }
            Signing::Ec(_, pair) => pair
                .sign(&random, message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| AccountKeyError::Signing),
        }
    }
}

impl fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountKey").field("algorithm", &self.algorithm()).finish_non_exhaustive()
    }
}

/// Why an account key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AccountKeyError {
    /// Not a JWK of a supported kind.
    #[error("the account key cannot be read: {0}")]
    Unreadable(String),
    /// The crypto library refused to sign.
    #[error("the account key does not sign")]
    Signing,
}

fn unreadable(what: impl Into<String>) -> AccountKeyError {
    AccountKeyError::Unreadable(what.into())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, RSA_PKCS1_2048_8192_SHA256,
        UnparsedPublicKey, VerificationAlgorithm,
    };

    /// RFC 7517 appendix A.2; its thumbprint is the example of RFC 7638 section 3.1.
    const RFC_RSA: &str = r#"{"kty":"RSA",
        "n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
        "e":"AQAB",
        "d":"X4cTteJY_gn4FYPsXB8rdXix5vwsg1FLN5E3EaG6RJoVH-HLLKD9M7dx5oo7GURknchnrRweUkC7hT5fJLM0WbFAKNLWY2vv7B6NqXSzUvxT0_YSfqijwp3RTzlBaCxWp4doFk5N2o8Gy_nHNKroADIkJ46pRUohsXywbReAdYaMwFs9tv8d_cPVY3i07a3t8MN6TNwm0dSawm9v47UiCl3Sk5ZiG7xojPLu4sbg1U2jx4IBTNBznbJSzFHK66jT8bgkuqsk0GjskDJk19Z4qwjwbsnn4j2WBii3RL-Us2lGVkY8fkFzme1z0HbIkfz0Y6mqnOYtqc0X4jfcKoAC8Q",
        "p":"83i-7IvMGXoMXCskv73TKr8637FiO7Z27zv8oj6pbWUQyLPQBQxtPVnwD20R-60eTDmD2ujnMt5PoqMrm8RfmNhVWDtjjMmCMjOpSXicFHj7XOuVIYQyqVWlWEh6dN36GVZYk93N8Bc9vY41xy8B9RzzOGVQzXvNEvn7O0nVbfs",
        "q":"3dfOR9cuYq-0S-mkFLzgItgMEfFzB2q3hWehMuG0oCuqnb3vobLyumqjVZQO1dIrdwgTnCdpYzBcOfW5r370AFXjiWft_NGEiovonizhKpo9VVS78TzFgxkIdrecRezsZ-1kYd_s1qDbxtkDEgfAITAG9LUnADun4vIcb6yelxk",
        "dp":"G4sPXkc6Ya9y8oJW9_ILj4xuppu0lzi_H7VTkS8xj5SdX3coE0oimYwxIi2emTAue0UOa5dpgFGyBJ4c8tQ2VF402XRugKDTP8akYhFo5tAA77Qe_NmtuYZc3C3m3I24G2GvR5sSDxUyAN2zq8Lfn9EUms6rY3Ob8YeiKkTiBj0",
        "dq":"s9lAH9fggBsoFR8Oac2R_E2gw282rT2kGOAhvIllETE1efrA6huUUvMfBcMpn8lqeW6vzznYY5SSQF7pMdC_agI3nG8Ibp1BUb0JUiraRNqUfLhcQb_d9GF4Dh7e74WbRsobRonujTYN1xCaP6TO61jvWrX-L18txXw494Q_cgk",
        "qi":"GyM_p6JrXySiz1toFgKbWV-JdI3jQ4ypu9rbMWx3rQJBfmt0FoYzgUIZEVFEcOqwemRN81zoDAaa-Bk0KWNGDjJHZDdDmFhW3AN7lI-puxk_mHZGJ11rxyR8O55XLSe3SPmRfKwZI6yU24ZxvQKFYItdldUKGzO6Ia6zTKhAVRU",
        "alg":"RS256","kid":"2011-04-29"}"#;

    /// RFC 7517 appendix A.2.
    const RFC_EC: &str = r#"{"kty":"EC","crv":"P-256",
        "x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
        "d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE","use":"enc","kid":"1"}"#;

    /// SHA-256 of `{"crv":"P-256","kty":"EC","x":…,"y":…}`, computed with Python's hashlib.
    const RFC_EC_THUMBPRINT: &str = "cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s";

    fn changed(jwk: &str, name: &str, value: serde_json::Value) -> String {
        let mut members: serde_json::Value = serde_json::from_str(jwk).unwrap();
        members[name] = value;
        members.to_string()
    }

    #[test]
    fn thumbprints_are_those_of_the_rfcs() {
        assert_eq!(AccountKey::from_jwk(RFC_RSA).unwrap().thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
        assert_eq!(AccountKey::from_jwk(RFC_EC).unwrap().thumbprint(), RFC_EC_THUMBPRINT);
    }

    #[test]
    fn leading_zeros_and_padding_change_nothing() {
        // Some writers put a zero octet in front, as DER does; the thumbprint is over the shortest form (RFC 7518 section 2).
        let key = AccountKey::from_jwk(RFC_RSA).unwrap();
        let n: serde_json::Value = serde_json::from_str::<serde_json::Value>(RFC_RSA).unwrap()["n"].clone();
        let octets = BASE64URL_NOPAD.decode(n.as_str().unwrap().as_bytes()).unwrap();
        let longer = data_encoding::BASE64URL.encode(&[&[0][..], &octets].concat());
        assert!(longer.ends_with('='));
        let same = AccountKey::from_jwk(&changed(RFC_RSA, "n", longer.into())).unwrap();
        assert_eq!((same.thumbprint(), same.to_jwk()), (key.thumbprint(), key.to_jwk()));
    }

    #[test]
    fn every_kind_signs_and_survives_its_own_jwk() {
        let kinds: [(AccountKeyType, &str, &dyn VerificationAlgorithm, usize); 4] = [
            (AccountKeyType::Rsa2048, "RS256", &RSA_PKCS1_2048_8192_SHA256, 256),
            (AccountKeyType::EcdsaP256, "ES256", &ECDSA_P256_SHA256_FIXED, 64),
            (AccountKeyType::EcdsaP384, "ES384", &ECDSA_P384_SHA384_FIXED, 96),
            (AccountKeyType::EcdsaP521, "ES512", &ECDSA_P521_SHA512_FIXED, 132),
        ];
        for (kind, algorithm, verification, length) in kinds {
            let key = AccountKey::generate_kind(kind).unwrap();
            let read = AccountKey::from_jwk(&key.to_jwk()).unwrap();
            assert_eq!((read.algorithm(), read.key_type()), (algorithm, kind));
            assert_eq!((read.spki_der(), read.public_jwk()), (key.spki_der(), key.public_jwk()));
            let signature = read.sign(b"message").unwrap();
            assert_eq!(signature.len(), length);
            UnparsedPublicKey::new(verification, key.spki_der()).verify(b"message", &signature).unwrap();
            let shown = format!("{key:?}");
            assert!(!shown.contains("\"d\"") && shown.len() < 60, "{shown}");
        }
    }

    #[test]
    fn the_private_jwk_has_certbots_members() {
        let jwk = AccountKey::from_jwk(RFC_RSA).unwrap().to_jwk();
        let members: BTreeMap<String, String> = serde_json::from_str(&jwk).unwrap();
        let names: Vec<_> = members.keys().map(String::as_str).collect();
        assert_eq!(names, ["d", "dp", "dq", "e", "kty", "n", "p", "q", "qi"]);
        let given: serde_json::Value = serde_json::from_str(RFC_RSA).unwrap();
        for name in names {
            assert_eq!(members[name], given[name], "{name}");
        }
    }

    #[test]
    fn keys_that_are_none_are_refused_without_showing_them() {
        let secret = "870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE";
        for (jwk, says) in [
            ("", "not a JWK"),
            ("[]", "not a JWK"),
            ("{}", "`kty` is missing"),
            (r#"{"kty":"oct","k":"AAAA"}"#, "type `oct`"),
            (&changed(RFC_EC, "crv", "P-\u{202e}".into()), "the curve `P-\\u{202e}`"),
            (&changed(RFC_EC, "d", "!".into()), "`d` is not base64url"),
            (&changed(RFC_EC, "d", serde_json::Value::Null), "`d` is missing"),
            (&changed(RFC_EC, "x", secret.into()), "not valid"),
            (&changed(RFC_EC, "y", "B".repeat(172).into()), "too long"),
            (&changed(RFC_RSA, "e", "Aw".into()), "not valid"),
            (&changed(RFC_RSA, "qi", serde_json::Value::Null), "`qi` is missing"),
            (&changed(RFC_RSA, "n", "AQAB".into()), "not valid"),
            (&changed(RFC_RSA, "oth", serde_json::json!([])), "more than two primes"),
        ] {
            let problem = AccountKey::from_jwk(jwk).unwrap_err().to_string();
            assert!(problem.contains(says), "{problem} / {says}");
            assert!(!problem.contains(secret), "{problem}");
        }
    }

    #[test]
    fn certificate_keys_of_every_form_can_sign() {
        let rsa = AccountKey::from_jwk(RFC_RSA).unwrap();
        let pkcs8 = crate::keys::KeySpec::Rsa2048.generate().unwrap();
        assert_eq!(AccountKey::from_private_key(&pkcs8).unwrap().algorithm(), "RS256");
        let ec = crate::keys::KeySpec::EcdsaP384.generate().unwrap();
        let signer = AccountKey::from_private_key(&ec).unwrap();
        assert_eq!(signer.algorithm(), "ES384");
        assert_eq!(Some(signer.spki_der().to_vec()), ec.carried_spki_der());
        assert_ne!(signer.thumbprint(), rsa.thumbprint());
    }

    proptest::proptest! {
        #[test]
        fn reading_never_panics(text in ".{0,200}", crv in "P-(256|384|521)", x in "[A-Za-z0-9_-]{0,100}") {
            let _ = AccountKey::from_jwk(&text);
            let _ = AccountKey::from_jwk(&format!(r#"{{"kty":"EC","crv":"{crv}","x":"{x}","y":"{x}","d":"{x}"}}"#));
            let _ = AccountKey::from_jwk(&format!(r#"{{"kty":"RSA","n":"{x}","e":"{x}","d":"{x}","p":"{x}","q":"{x}","dp":"{x}","dq":"{x}","qi":"{x}"}}"#));
        }
    }
}
