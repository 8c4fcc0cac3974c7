//! `renewal/NAME.conf`: read with certbot's meaning, written so that only the lines that change change.

use std::net::IpAddr;
use std::path::PathBuf;

/// A conf that was read.
#[derive(Clone, Debug)]
pub struct RenewalConf {
    pub(crate) text: String,
}

/// A value as the grammar knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "the grammar has exactly these two")]
pub enum ConfValue {
    /// One string.
    Text(String),
    /// A comma-separated list.
    List(Vec<String>),
}

/// `[renewalparams]` with certbot's types and defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RenewalParams {
    /// The account's id.
    pub account: Option<String>,
    /// The CA's directory, as written.
    pub server: Option<String>,
    /// How names are validated.
    pub authenticator: Option<String>,
    /// The web server that uses the certificate.
    pub installer: Option<String>,
    /// `pre_hook`.
    pub pre_hook: Option<String>,
    /// `post_hook`.
    pub post_hook: Option<String>,
    /// `renew_hook`: the deploy hook.
    pub deploy_hook: Option<String>,
    /// `key_type`; a missing one means RSA.
    pub key_type: Option<String>,
    /// `rsa_key_size` in bits.
    pub rsa_key_size: Option<u32>,
    /// `elliptic_curve`, for example `secp384r1`.
    pub elliptic_curve: Option<String>,
    /// `reuse_key`.
    pub reuse_key: bool,
    /// `autorenew`; true when missing.
    pub autorenew: bool,
    /// `must_staple`.
    pub must_staple: bool,
    /// `allow_subset_of_names`.
    pub allow_subset_of_names: bool,
    /// `preferred_chain`.
    pub preferred_chain: Option<String>,
    /// `preferred_profile`.
    pub preferred_profile: Option<String>,
    /// `required_profile`.
    pub required_profile: Option<String>,
    /// `pref_challs`.
    pub preferred_challenges: Vec<String>,
    /// `http01_port`.
    pub http01_port: Option<u16>,
    /// `http01_address`.
    pub http01_address: Option<IpAddr>,
    /// `webroot_path`.
    pub webroot_path: Vec<PathBuf>,
    /// `[[webroot_map]]` in its order.
    pub webroot_map: Vec<(String, PathBuf)>,
    /// `manual_auth_hook`.
    pub manual_auth_hook: Option<String>,
    /// `manual_cleanup_hook`.
    pub manual_cleanup_hook: Option<String>,
}

/// Changes to a conf.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfEdits {
    /// Top-level keys to set; `None` removes.
    pub top: Vec<(String, Option<ConfValue>)>,
    /// Keys of `[renewalparams]` to set; `None` removes.
    pub params: Vec<(String, Option<ConfValue>)>,
    /// A new `[[webroot_map]]`; an empty one removes the section.
    pub webroot_map: Option<Vec<(String, PathBuf)>>,
}

/// Why a conf cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfError {
    /// It does not follow the grammar.
    #[error("line {line}: {problem}")]
    Syntax {
        /// The line, from 1; 0 when unknown.
        line: usize,
        /// What is wrong, escaped.
        problem: String,
    },
    // helper B: NotUtf8, MissingSection, MissingKey, BadValue{key, expected, found}, Interpolation{key, name}, …
}

impl RenewalConf {
    /// Reads a conf.
    pub fn parse(_bytes: &[u8]) -> Result<Self, ConfError> {
        todo!()
    }

    /// A conf for a new lineage, empty but for what `edits` set.
    pub fn new(_edits: &ConfEdits) -> Result<Self, ConfError> {
        todo!()
    }

    /// The text, byte for byte.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// A top-level value.
    pub fn top(&self, _key: &str) -> Option<&ConfValue> {
        todo!()
    }

    /// A value of `[renewalparams]`.
    pub fn param(&self, _key: &str) -> Option<&ConfValue> {
        todo!()
    }

    /// `[renewalparams]` with certbot's types.
    pub fn params(&self) -> &RenewalParams {
        todo!()
    }

    /// `renew_before_expiry`, as written.
    pub fn renew_before_expiry(&self) -> Option<&str> {
        todo!()
    }

    /// `archive_dir`, as written.
    pub fn archive_dir(&self) -> Option<&str> {
        todo!()
    }

    /// The conf with `edits`: only lines that change are touched, comments and unknown keys stay, and certbot reads it
    /// back with the same meaning.
    pub fn edited(&self, _edits: &ConfEdits) -> Result<Self, ConfError> {
        todo!()
    }
}

impl RenewalParams {
    /// shim
    pub fn effective_server(&self) -> Option<String> { self.server.clone() }
}

impl ConfEdits {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.top.is_empty() && self.params.is_empty() && self.webroot_map.is_none()
    }

    /// Sets (or with `None` removes) a key of `[renewalparams]`.
    pub fn param(&mut self, key: &str, value: Option<&str>) -> &mut Self {
        self.params.push((key.to_owned(), value.map(|value| ConfValue::Text(value.to_owned()))));
        self
    }
}
