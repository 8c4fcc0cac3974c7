//! JSON Web Signatures in the flattened form (RFC 7515 section 7.2.2, RFC 8555 section 6.2).

use aws_lc_rs::hmac;
use certkit_core::AcmeUrl;
use data_encoding::{BASE64, BASE64URL_NOPAD};
use serde_json::{Value, json};

use super::{AccountSigner, AcmeError};

/// How the CA is told whose signature it is.
#[derive(Clone, Copy, Debug)]
pub(super) enum KeyName<'a> {
    /// The public key itself: for new accounts and for revoking with a certificate's key.
    Jwk,
    /// The account's URL.
    Kid(&'a AcmeUrl),
}

/// A signed request. `payload` is in base64url already; empty for POST-as-GET.
pub(super) fn sign(
    signer: &dyn AccountSigner,
    name: KeyName<'_>,
    nonce: &str,
    url: &AcmeUrl,
    payload: &str,
) -> Result<Vec<u8>, AcmeError> {
    let mut header = json!({ "alg": signer.algorithm(), "nonce": nonce, "url": url.as_str() });
    match name {
        KeyName::Jwk => header["jwk"] = public_jwk(signer)?,
        KeyName::Kid(account) => header["kid"] = account.as_str().into(),
    }
    let protected = encode(&header);
    let signature =
        signer.sign(format!("{protected}.{payload}").as_bytes()).map_err(|error| AcmeError::Key(error.to_string()))?;
    Ok(flattened(&protected, payload, &signature).to_string().into_bytes())
}

/// What the holder of a new account key signs with it (RFC 8555 section 7.3.5): the account and the key that it has so
/// far. There is no nonce; the request around it, signed with the old key, has one.
pub(super) fn key_change(
    new: &dyn AccountSigner,
    old: &dyn AccountSigner,
    account: &AcmeUrl,
    key_change: &AcmeUrl,
) -> Result<Value, AcmeError> {
    let header = json!({ "alg": new.algorithm(), "jwk": public_jwk(new)?, "url": key_change.as_str() });
    let (protected, payload) =
        (encode(&header), encode(&json!({ "account": account.as_str(), "oldKey": public_jwk(old)? })));
    let signature =
        new.sign(format!("{protected}.{payload}").as_bytes()).map_err(|error| AcmeError::Key(error.to_string()))?;
    Ok(flattened(&protected, &payload, &signature))
}

/// `externalAccountBinding` (RFC 8555 section 7.3.4): the account's public key under the CA's symmetric key, no nonce.
pub(super) fn bind(
    signer: &dyn AccountSigner,
    binding: &ExternalAccountBinding,
    new_account: &AcmeUrl,
) -> Result<Value, AcmeError> {
    let header = json!({ "alg": binding.algorithm, "kid": binding.kid, "url": new_account.as_str() });
    let (protected, payload) = (encode(&header), encode(&public_jwk(signer)?));
    let tag = hmac::sign(&binding.key, format!("{protected}.{payload}").as_bytes());
    Ok(flattened(&protected, &payload, tag.as_ref()))
}

/// A JSON value as a JWS carries it.
pub(super) fn encode(value: &Value) -> String {
    BASE64URL_NOPAD.encode(value.to_string().as_bytes())
}

fn flattened(protected: &str, payload: &str, signature: &[u8]) -> Value {
    json!({ "protected": protected, "payload": payload, "signature": BASE64URL_NOPAD.encode(signature) })
}

fn public_jwk(signer: &dyn AccountSigner) -> Result<Value, AcmeError> {
    serde_json::from_str(signer.public_jwk()).map_err(|_| AcmeError::Key("its public JWK is not JSON".into()))
}

/// Credentials that a CA hands out outside ACME (RFC 8555 section 7.3.4). Never shown.
pub struct ExternalAccountBinding {
    kid: String,
    key: hmac::Key,
    algorithm: &'static str,
}

impl ExternalAccountBinding {
    /// `kid` and the base64url (or base64) HMAC key as the CA shows them; `algorithm` HS256, HS384 or HS512.
    pub fn new(kid: &str, hmac_key: &str, algorithm: &str) -> Result<Self, AcmeError> {
        let refuse = |what: &str| AcmeError::Input(format!("the external account binding cannot be used: {what}"));
        let kid = kid.trim();
        if kid.is_empty() {
            return Err(refuse("the key id (--eab-kid) is empty"));
        }
        let (algorithm, kind) = match algorithm.to_ascii_uppercase().as_str() {
            "HS256" => ("HS256", hmac::HMAC_SHA256),
            "HS384" => ("HS384", hmac::HMAC_SHA384),
            "HS512" => ("HS512", hmac::HMAC_SHA512),
            _ => return Err(refuse("the algorithm (--eab-hmac-alg) must be HS256, HS384 or HS512")),
        };
        let text = zeroize::Zeroizing::new(hmac_key.trim().trim_end_matches('=').to_owned());
        let octets = BASE64URL_NOPAD
            .decode(text.as_bytes())
            .or_else(|_| BASE64.decode(padded(&text).as_bytes()))
            .map(zeroize::Zeroizing::new)
            .map_err(|_| refuse("the HMAC key (--eab-hmac-key) is not base64url"))?;
        if octets.is_empty() {
            return Err(refuse("the HMAC key (--eab-hmac-key) is empty"));
        }
        Ok(Self { kid: kid.to_owned(), key: hmac::Key::new(kind, &octets), algorithm })
    }
}

impl std::fmt::Debug for ExternalAccountBinding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExternalAccountBinding").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

fn padded(text: &str) -> zeroize::Zeroizing<String> {
    let missing = text.len().wrapping_neg() % 4;
    zeroize::Zeroizing::new(format!("{text}{}", "=".repeat(missing)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{AccountKey, AccountKeyType};

    #[test]
    fn hmac_keys_come_in_every_base64() {
        // 0xfb 0xef 0xff is `--__` or `++//`; a fourth octet needs padding in plain base64.
        for text in ["--__", "++//", " --__ ", "--__AA", "++//AA==", "++//AA"] {
            assert!(ExternalAccountBinding::new("kid", text, "hs256").is_ok(), "{text}");
        }
        for (kid, text, algorithm) in
            [("", "AAAA", "HS256"), ("kid", "", "HS256"), ("kid", "*", "HS256"), ("kid", "AAAA", "none")]
        {
            assert!(ExternalAccountBinding::new(kid, text, algorithm).is_err(), "{kid} {text} {algorithm}");
        }
        let shown = format!("{:?}", ExternalAccountBinding::new("kid", "c2VjcmV0", "HS512").unwrap());
        assert!(!shown.contains("c2VjcmV0") && !shown.contains("secret"));
    }

    #[test]
    fn a_request_says_who_signed_what_for_where() {
        let key = AccountKey::generate_kind(AccountKeyType::EcdsaP384).unwrap();
        let url = AcmeUrl::parse("https://ca.example/new-order").unwrap();
        let account = AcmeUrl::parse("https://ca.example/acct/1").unwrap();
        let decode = |text: &Value| BASE64URL_NOPAD.decode(text.as_str().unwrap().as_bytes()).unwrap();
        for name in [KeyName::Jwk, KeyName::Kid(&account)] {
            let jws: Value = serde_json::from_slice(&sign(&key, name, "n-1", &url, "").unwrap()).unwrap();
            let header: Value = serde_json::from_slice(&decode(&jws["protected"])).unwrap();
            assert_eq!((&header["alg"], &header["nonce"]), (&json!("ES384"), &json!("n-1")));
            assert_eq!(header["url"], json!(url.as_str()));
            assert_eq!(header.get("kid").is_some(), matches!(name, KeyName::Kid(_)));
            assert_eq!(header.get("jwk").is_some(), matches!(name, KeyName::Jwk));
            assert_eq!(decode(&jws["signature"]).len(), 96);
        }
    }

    #[test]
    fn a_new_key_vouches_for_the_account_and_the_old_key_without_a_nonce() {
        let old = AccountKey::generate_kind(AccountKeyType::EcdsaP256).unwrap();
        let new = AccountKey::generate_kind(AccountKeyType::EcdsaP384).unwrap();
        let url = AcmeUrl::parse("https://ca.example/key-change").unwrap();
        let account = AcmeUrl::parse("https://ca.example/acct/1").unwrap();
        let jws = key_change(&new, &old, &account, &url).unwrap();
        let decode = |text: &Value| BASE64URL_NOPAD.decode(text.as_str().unwrap().as_bytes()).unwrap();
        let header: Value = serde_json::from_slice(&decode(&jws["protected"])).unwrap();
        let public = |key: &AccountKey| serde_json::from_str::<Value>(key.public_jwk()).unwrap();
        assert_eq!(header, json!({ "alg": "ES384", "jwk": public(&new), "url": url.as_str() }));
        let payload: Value = serde_json::from_slice(&decode(&jws["payload"])).unwrap();
        assert_eq!(payload, json!({ "account": account.as_str(), "oldKey": public(&old) }));
        let signed = format!("{}.{}", jws["protected"].as_str().unwrap(), jws["payload"].as_str().unwrap());
        use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};
        UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, new.spki_der())
            .verify(signed.as_bytes(), &decode(&jws["signature"]))
            .unwrap();
    }
}
