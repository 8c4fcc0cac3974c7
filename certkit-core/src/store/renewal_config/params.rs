//! `[renewalparams]` with certbot's types, and what `None` means where.

use std::net::IpAddr;
use std::sync::Arc;

use super::read::{Kept, KeptValue};
use super::text::Piece;
use super::{ConfError, ConfText};

/// The directory that certbot silently uses where a conf still names the one of ACME v1, which was switched off in 2021.
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
const LETS_ENCRYPT_V1: &str = "https://acme-v01.api.letsencrypt.org/directory";

/// How certbot writes what is not set.
const NONE: &str = "None";

/// `[renewalparams]` with certbot's types and defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RenewalParams {
    /// The account's id.
    pub account: Option<ConfText>,
    /// The CA's directory, as written; see [`RenewalParams::effective_server`].
    pub server: Option<ConfText>,
    /// How names are validated.
    pub authenticator: Option<ConfText>,
    /// The web server that uses the certificate.
    pub installer: Option<ConfText>,
    /// `pre_hook`.
    pub pre_hook: Option<ConfText>,
    /// `post_hook`.
    pub post_hook: Option<ConfText>,
    /// `renew_hook`, the name under which certbot keeps the deploy hook; `deploy_hook` where there is no `renew_hook`.
    pub deploy_hook: Option<ConfText>,
    /// `key_type`; a missing one means RSA, see [`RenewalParams::effective_key_type`].
    pub key_type: Option<ConfText>,
    /// `rsa_key_size` in bits.
    pub rsa_key_size: Option<u32>,
    /// `elliptic_curve`, for example `secp384r1`.
    pub elliptic_curve: Option<ConfText>,
    /// `reuse_key`.
    pub reuse_key: bool,
    /// `autorenew`; true when missing.
    pub autorenew: bool,
    /// `must_staple`.
    pub must_staple: bool,
    /// `allow_subset_of_names`.
    pub allow_subset_of_names: bool,
    /// `preferred_chain`.
    pub preferred_chain: Option<ConfText>,
    /// `preferred_profile`.
    pub preferred_profile: Option<ConfText>,
    /// `required_profile`.
    pub required_profile: Option<ConfText>,
    /// `pref_challs`, with certbot's short forms `http` and `dns` written out.
    pub preferred_challenges: Vec<String>,
    /// `http01_port`.
    pub http01_port: Option<u16>,
    /// `http01_address`, where the standalone authenticator is used.
    pub http01_address: Option<IpAddr>,
    /// `webroot_path`.
    pub webroot_path: Vec<ConfText>,
    /// `[[webroot_map]]` in its order.
    pub webroot_map: Vec<(ConfText, ConfText)>,
    /// `manual_auth_hook`.
    pub manual_auth_hook: Option<ConfText>,
    /// `manual_cleanup_hook`.
    pub manual_cleanup_hook: Option<ConfText>,
    /// `user_agent`.
    pub user_agent: Option<ConfText>,
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

    /// Reads the section in one pass.
    pub(super) fn read<'v>(
        values: impl Iterator<Item = Value<'v>>,
        webroot_map: Vec<(ConfText, ConfText)>,
    ) -> Result<Self, ConfError> {
        let mut params = Self { webroot_map, ..Self::default() };
        let (mut renew_hook, mut http01_address) = (None, None);
        for value in values {
            match value.key {
                "account" => params.account = value.text()?,
                "server" => params.server = value.text()?,
                "authenticator" => params.authenticator = value.text()?,
                "installer" => params.installer = value.text()?,
                "pre_hook" => params.pre_hook = value.text()?,
                "post_hook" => params.post_hook = value.text()?,
                "deploy_hook" => params.deploy_hook = value.text()?,
                "renew_hook" => renew_hook = Some(value.text()?),
                "key_type" => params.key_type = value.text()?,
                "rsa_key_size" => params.rsa_key_size = Some(value.number()?),
                "elliptic_curve" => params.elliptic_curve = value.text()?,
                "reuse_key" => params.reuse_key = value.truth()?,
                "autorenew" => params.autorenew = value.truth()?,
                "must_staple" => params.must_staple = value.truth()?,
                "allow_subset_of_names" => params.allow_subset_of_names = value.truth()?,
                "preferred_chain" => params.preferred_chain = value.text()?,
                "preferred_profile" => params.preferred_profile = value.text()?,
                "required_profile" => params.required_profile = value.text()?,
                "pref_challs" => params.preferred_challenges = value.challenges()?,
                // Old confs have `http01_port = None`; certbot takes its default for it.
                "http01_port" if !value.is_none() => params.http01_port = Some(value.number()?),
                "http01_address" => http01_address = Some(value),
                "webroot_path" => params.webroot_path = value.paths(),
                "manual_auth_hook" => params.manual_auth_hook = value.text()?,
                "manual_cleanup_hook" => params.manual_cleanup_hook = value.text()?,
                // Nothing but a name for the CA's logs: a list is none.
                "user_agent" => params.user_agent = value.text().unwrap_or_default(),
                _ => {}
            }
        }
        if let Some(renew_hook) = renew_hook {
            params.deploy_hook = renew_hook;
        }
        // The other authenticators don't look at it, so what stands there cannot harm them.
        if params.authenticator.as_deref() == Some("standalone") {
            params.http01_address = http01_address.map_or(Ok(None), |value| value.address())?;
        }
        Ok(params)
    }
}

/// A value and its key.
#[derive(Clone, Copy)]
pub(super) struct Value<'a> {
    pub(super) key: &'a str,
    value: &'a KeptValue,
    /// The conf's text.
    whole: &'a Arc<str>,
}

impl<'a> Value<'a> {
    pub(super) fn new(kept: &'a Kept, whole: &'a Arc<str>) -> Self {
        Self { key: kept.key.within(whole), value: &kept.value, whole }
    }

    /// The text; an error for a list.
    pub(super) fn piece(&self) -> Result<&'a Piece, ConfError> {
        match self.value {
            KeptValue::Text(piece) => Ok(piece),
            KeptValue::List(_) => Err(ConfError::UnexpectedList { key: self.key.to_owned() }),
        }
    }

    fn single(&self) -> Result<&'a str, ConfError> {
        Ok(self.piece()?.within(self.whole))
    }

    /// Whether Python's `None` was written there.
    fn is_none(&self) -> bool {
        self.value.as_text(self.whole) == Some(NONE)
    }

    fn text(&self) -> Result<Option<ConfText>, ConfError> {
        let piece = self.piece()?;
        Ok((!self.is_none()).then(|| piece.shared(self.whole)))
    }

    fn truth(&self) -> Result<bool, ConfError> {
        match self.single()? {
            text if text.eq_ignore_ascii_case("true") => Ok(true),
            text if text.eq_ignore_ascii_case("false") => Ok(false),
            text => Err(self.bad("True or False", text)),
        }
    }

    fn number<N: TryFrom<u64>>(&self) -> Result<N, ConfError> {
        let text = self.single()?;
        let number = python_int(text).and_then(|number| N::try_from(number).ok());
        number.ok_or_else(|| self.bad("a number", text))
    }

    fn address(&self) -> Result<Option<IpAddr>, ConfError> {
        match self.single()? {
            "" | NONE => Ok(None),
            text => text.parse().map(Some).map_err(|_| self.bad("an IP address", text)),
        }
    }

    fn challenges(&self) -> Result<Vec<String>, ConfError> {
        let known = self.pieces().iter().map(|piece| match piece.within(self.whole).trim() {
            "http" | "http-01" => Ok("http-01".to_owned()),
            "dns" | "dns-01" => Ok("dns-01".to_owned()),
            other => Err(self.bad("http-01 or dns-01", other)),
        });
        known.collect()
    }

    /// A plain text counts as one path: certbot before 0.1.0 wrote it so.
    fn paths(&self) -> Vec<ConfText> {
        if self.is_none() {
            return Vec::new();
        }
        self.pieces().iter().map(|piece| piece.shared(self.whole)).collect()
    }

    /// Those of a list; a plain text is one of one.
    fn pieces(&self) -> &'a [Piece] {
        match self.value {
            KeptValue::Text(piece) => std::slice::from_ref(piece),
            KeptValue::List(pieces) => pieces,
        }
    }

    fn bad(&self, expected: &'static str, found: &str) -> ConfError {
        let found = crate::escape(found).chars().take(100).collect();
        ConfError::BadValue { key: self.key.to_owned(), expected, found }
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
        let mut params = RenewalParams { server: Some(LETS_ENCRYPT_V1.into()), ..RenewalParams::default() };
        assert_eq!(params.effective_server(), Some(LETS_ENCRYPT));
        params.server = Some("https://localhost:14000/dir".into());
        assert_eq!(params.effective_server(), Some("https://localhost:14000/dir"));
    }
}
