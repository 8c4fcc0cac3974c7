//! The CAs of the setting `fallback_servers`: by name or URL, each with an account that is in the store already.

use certkit_core::settings::{SettingsProblem, SettingsProblemCode as Code, Sourced};
use certkit_core::store::Store;
use certkit_core::{AcmeUrl, escape};

use crate::accounts::{Choice, choose_account};
use crate::authorities::{is_test_authority, known, resolve};

/// What can be made of `fallback_servers`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fallbacks {
    /// The directories that can be tried, in their order, each one once.
    pub usable: Vec<AcmeUrl>,
    /// Why the others cannot.
    pub problems: Vec<SettingsProblem>,
}

/// Resolves `fallback_servers`. When a CA is down is no time to register anywhere, so one without an account is a problem;
/// a test CA is one, too, where `may_be_test` is false: its certificates would never be put in the place of good ones. The
/// certificate's own CA may be among them, and is then for the caller to pass over. Reads the store: call it on a blocking
/// thread.
pub fn fallbacks(store: &Store, servers: &Sourced<Vec<String>>, may_be_test: bool) -> Fallbacks {
    const KEY: &str = "fallback_servers";
    let mut found = Fallbacks::default();
    for text in &servers.value {
        let mut problem = |code, what: String, cure: String| {
            found.problems.push(SettingsProblem::new(code, servers.origin.line(), KEY, what, cure));
        };
        let shown = escape(text);
        let url = match resolve(text) {
            Ok(url) => url,
            Err(error) => {
                let cure = "name a CA as with --server, or write the https URL of its directory";
                problem(Code::UnknownServer, error.to_string(), cure.to_owned());
                continue;
            }
        };
        let is_test = is_test_authority(url.as_str()) || known(&url).is_some_and(|known| known.is_test);
        if found.usable.contains(&url) {
            problem(Code::Duplicate, format!("`{shown}` is in `{KEY}` by another name, too"), "remove one".to_owned());
        } else if is_test && !may_be_test {
            let what = format!("`{shown}` is a test CA: nobody trusts its certificates");
            problem(Code::TestServer, what, "name a CA whose certificates take the place of the others".to_owned());
        } else {
            match choose_account(store, &url, None) {
                Ok(Choice::Account(_)) => found.usable.push(url),
                Ok(Choice::NoAccount) => {
                    let eab = known(&url).is_some_and(|known| known.external_account);
                    let eab = if eab { " --eab-kid KID --eab-hmac-key KEY" } else { "" };
                    let cure = format!("register one: certkit register --server {url} --agree-tos{eab}");
                    problem(Code::NoAccount, format!("there is no account for `{shown}`"), cure);
                }
                Err(failure) => {
                    let cure = "make sure that exactly one account for it can be read";
                    problem(Code::NoAccount, failure.detail, cure.to_owned());
                }
            }
        }
    }
    found
}
