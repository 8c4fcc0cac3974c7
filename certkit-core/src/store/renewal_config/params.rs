//! `[renewalparams]` with certbot's types, and what `None` means where.

use std::net::IpAddr;
use std::path::PathBuf;

use super::{ConfError, ConfValue};

/// The directory that certbot silently uses where a conf still names the one of ACME v1, which was switched off in 2021.
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
const LETS_ENCRYPT_V1: &str = "https://acme-v01.api.letsencrypt.org/directory";

/// `[renewalparams]` with certbot's types and defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RenewalParams {
    /// The account's id.
    pub account: Option<String>,
    /// The CA's directory, as written; see [`RenewalParams::effective_server`].
    pub server: Option<String>,
    /// How names are validated.
    pub authenticator: Option<String>,
    /// The web server that uses the certificate.
    pub installer: Option<String>,
    /// `pre_hook`.
    pub pre_hook: Option<String>,
    /// `post_hook`.
    pub post_hook: Option<String>,
    /// `renew_hook`, the name under which certbot keeps the deploy hook; `deploy_hook` where there is no `renew_hook`.
    pub deploy_hook: Option<String>,
    /// `key_type`; a missing one means RSA, see [`RenewalParams::effective_key_type`].
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
    /// `pref_challs`, with certbot's short forms `http` and `dns` written out.
    pub preferred_challenges: Vec<String>,
    /// `http01_port`.
    pub http01_port: Option<u16>,
    /// `http01_address`, where the standalone authenticator is used.
    pub http01_address: Option<IpAddr>,
    /// `webroot_path`.
    pub webroot_path: Vec<PathBuf>,
    /// `[[webroot_map]]` in its order.
    pub webroot_map: Vec<(String, PathBuf)>,
    /// `manual_auth_hook`.
    pub manual_auth_hook: Option<String>,
    /// `manual_cleanup_hook`.
    pub manual_cleanup_hook: Option<String>,
    /// `user_agent`.
    pub user_agent: Option<String>,
}

impl Default for RenewalParams {
    /// What an empty `[renewalparams]` means.
    fn default() -> Self {
        Self {
            account: None,
            server: None,
            authenticator: None,
            installer: None,
            pre_hook: None,
            post_hook: None,
            deploy_hook: None,
            key_type: None,
            rsa_key_size: None,
            elliptic_curve: None,
            reuse_key: false,
            autorenew: true,
            must_staple: false,
            allow_subset_of_names: false,
            preferred_chain: None,
            preferred_profile: None,
            required_profile: None,
            preferred_challenges: Vec::new(),
            http01_port: None,
            http01_address: None,
            webroot_path: Vec::new(),
            webroot_map: Vec::new(),
            manual_auth_hook: None,
            manual_cleanup_hook: None,
            user_agent: None,
        }
    }
}

impl RenewalParams {
    /// The CA's directory that certbot would use: the one of Let's Encrypt's ACME v1 stands for that of v2.
    pub fn effective_server(&self) -> Option<&str> {
        self.server.as_deref().map(|server| if server == LETS_ENCRYPT_V1 { LETS_ENCRYPT } else { server })
    }

    /// `key_type`, or `rsa` where there is none: certbot before 1.25 did not write it and made RSA keys.
    pub fn effective_key_type(&self) -> &str {
        self.key_type.as_deref().unwrap_or("rsa")
    }

    pub(super) fn read(values: &[(String, ConfValue)], webroot_map: Vec<(String, PathBuf)>) -> Result<Self, ConfError> {
        let values = Values(values);
        let mut params = Self {
            account: values.text("account")?,
            server: values.text("server")?,
            authenticator: values.text("authenticator")?,
            installer: values.text("installer")?,
            pre_hook: values.text("pre_hook")?,
            post_hook: values.text("post_hook")?,
            deploy_hook: values.text("deploy_hook")?,
            key_type: values.text("key_type")?,
            rsa_key_size: values.number("rsa_key_size")?,
            elliptic_curve: values.text("elliptic_curve")?,
            reuse_key: values.truth("reuse_key")?.unwrap_or(false),
            autorenew: values.truth("autorenew")?.unwrap_or(true),
            must_staple: values.truth("must_staple")?.unwrap_or(false),
            allow_subset_of_names: values.truth("allow_subset_of_names")?.unwrap_or(false),
            preferred_chain: values.text("preferred_chain")?,
            preferred_profile: values.text("preferred_profile")?,
            required_profile: values.text("required_profile")?,
            preferred_challenges: values.challenges("pref_challs")?,
            http01_port: None,
            http01_address: None,
            webroot_path: values.paths("webroot_path"),
            webroot_map,
            manual_auth_hook: values.text("manual_auth_hook")?,
            manual_cleanup_hook: values.text("manual_cleanup_hook")?,
            user_agent: match values.find("user_agent") {
                Some(ConfValue::Text(text)) if text != "None" => Some(text.clone()),
                _ => None,
            },
        };
        if values.find("renew_hook").is_some() {
            params.deploy_hook = values.text("renew_hook")?;
        }
        // Old confs have `http01_port = None`; certbot takes its default for it.
        if values.find("http01_port") != Some(&ConfValue::Text("None".to_owned())) {
            params.http01_port = values.number("http01_port")?;
        }
        // The other authenticators don't look at it, so what stands there cannot harm them.
        if params.authenticator.as_deref() == Some("standalone") {
            params.http01_address = values.address("http01_address")?;
        }
        Ok(params)
    }
}

struct Values<'a>(&'a [(String, ConfValue)]);

impl<'a> Values<'a> {
    fn find(&self, key: &str) -> Option<&'a ConfValue> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    fn single(&self, key: &'static str) -> Result<Option<&'a str>, ConfError> {
        match self.find(key) {
            None => Ok(None),
            Some(ConfValue::Text(text)) => Ok(Some(text)),
            Some(ConfValue::List(_)) => Err(ConfError::UnexpectedList { key: key.to_owned() }),
        }
    }

    fn text(&self, key: &'static str) -> Result<Option<String>, ConfError> {
        Ok(self.single(key)?.filter(|text| *text != "None").map(str::to_owned))
    }

    fn truth(&self, key: &'static str) -> Result<Option<bool>, ConfError> {
        match self.single(key)? {
            None => Ok(None),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(Some(true)),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(Some(false)),
            Some(text) => Err(bad_value(key, "True or False", text)),
        }
    }

    fn number<N: TryFrom<u64>>(&self, key: &'static str) -> Result<Option<N>, ConfError> {
        let Some(text) = self.single(key)? else { return Ok(None) };
        let number = python_int(text).and_then(|number| N::try_from(number).ok());
        number.map(Some).ok_or_else(|| bad_value(key, "a number", text))
    }

    fn address(&self, key: &'static str) -> Result<Option<IpAddr>, ConfError> {
        match self.single(key)? {
            None | Some("" | "None") => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|_| bad_value(key, "an IP address", text)),
        }
    }

    fn challenges(&self, key: &'static str) -> Result<Vec<String>, ConfError> {
        let written = match self.find(key) {
            None => return Ok(Vec::new()),
            Some(ConfValue::Text(text)) => std::slice::from_ref(text),
            Some(ConfValue::List(items)) => items,
        };
        let known = written.iter().map(|item| match item.trim() {
            "http" | "http-01" => Ok("http-01".to_owned()),
            "dns" | "dns-01" => Ok("dns-01".to_owned()),
            other => Err(bad_value(key, "http-01 or dns-01", other)),
        });
        known.collect()
    }

    /// A plain text counts as one path: certbot before 0.1.0 wrote it so.
    fn paths(&self, key: &str) -> Vec<PathBuf> {
        match self.find(key) {
            None => Vec::new(),
            Some(ConfValue::Text(text)) if text == "None" => Vec::new(),
            Some(ConfValue::Text(text)) => vec![text.into()],
            Some(ConfValue::List(items)) => items.iter().map(PathBuf::from).collect(),
        }
    }
}

/// What Python's `int` reads: blanks around, a sign, single underscores between digits.
fn python_int(text: &str) -> Option<u64> {
    let text = super::grammar::trim(text);
    let digits = text.strip_prefix('+').unwrap_or(text);
    if digits.split('_').any(|part| part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit())) {
        return None;
    }
    digits.replace('_', "").parse().ok()
}

fn bad_value(key: &str, expected: &'static str, found: &str) -> ConfError {
    ConfError::BadValue { key: key.to_owned(), expected, found: crate::escape(found).chars().take(100).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_what_python_takes_for_numbers() {
        let good = [("80", 80), (" 0080 ", 80), ("+1", 1), ("1_000", 1000), ("18446744073709551615", u64::MAX)];
        for (text, number) in good {
            assert_eq!(python_int(text), Some(number), "{text}");
        }
        for text in ["", "+", "_1", "1_", "1__0", "0x10", "1.0", "-1", "None", "18446744073709551616"] {
            assert_eq!(python_int(text), None, "{text}");
        }
    }

    #[test]
    fn the_switched_off_directory_stands_for_its_successor() {
        let mut params = RenewalParams { server: Some(LETS_ENCRYPT_V1.to_owned()), ..RenewalParams::default() };
        assert_eq!(params.effective_server(), Some(LETS_ENCRYPT));
        params.server = Some("https://localhost:14000/dir".to_owned());
        assert_eq!(params.effective_server(), Some("https://localhost:14000/dir"));
    }
}
