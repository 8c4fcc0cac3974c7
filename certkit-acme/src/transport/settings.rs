//! How to reach a CA, as values.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// How to reach a CA.
#[derive(Clone)]
#[non_exhaustive]
pub struct TransportSettings {
    /// PEM files (or directories of them) with roots to trust besides the system's, read as soon as a transport is made. The system's are those that
    /// `rustls-native-certs` finds, which looks at SSL_CERT_FILE and SSL_CERT_DIR as OpenSSL does.
    pub ca_bundles: Vec<PathBuf>,
    /// The same, as the environment names them. Nobody asked for these in this run, so they are read when the first
    /// server has to be checked: a run that calls nobody does not fail for them.
    pub environment_ca_bundles: Vec<PathBuf>,
    /// Whether the server's certificate is checked.
    pub tls_verification: TlsVerification,
    /// Appended to the User-Agent in parentheses. Characters that a header cannot hold are left out.
    pub user_agent_comment: Option<String>,
    /// The proxy for https: `http://`, `https://`, `socks4://`, `socks4a://`, `socks5://` or `socks5h://` with an
    /// optional `user:password@`. Loopback hosts are always reached directly.
    pub https_proxy: Option<String>,
    /// The proxy for plain http, which is for revocation lists: a CA is called by https, or on loopback directly.
    pub http_proxy: Option<String>,
    /// Hosts that are reached without a proxy: names with their subdomains, addresses, networks or `*`, separated by
    /// commas, as NO_PROXY.
    pub no_proxy: Option<String>,
    /// For the whole of one exchange, the body included. certbot's 45 seconds by default.
    pub timeout: Duration,
    /// For one TCP connection to one address. 10 seconds by default.
    pub connect_timeout: Duration,
    /// The largest body, in bytes. 1 MiB by default: an order for 10,000 names fits.
    pub max_body_bytes: usize,
}

/// Whether a server's certificate is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsVerification {
    /// Against the system's roots and the extra ones.
    Full,
    /// Not at all: certbot's `--no-verify-ssl`, for a test CA.
    Off,
}

impl TransportSettings {
    /// certbot's limit for one exchange.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(45);
    /// More than any handshake across the world takes, so that the next address still has its turn.
    pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
    /// Far above any directory, order or chain; small enough to be held many times.
    pub const DEFAULT_MAX_BODY_BYTES: usize = 1024 * 1024;

    /// Nothing from the environment.
    pub fn new() -> Self {
        Self {
            ca_bundles: Vec::new(),
            environment_ca_bundles: Vec::new(),
            tls_verification: TlsVerification::Full,
            user_agent_comment: None,
            https_proxy: None,
            http_proxy: None,
            no_proxy: None,
            timeout: Self::DEFAULT_TIMEOUT,
            connect_timeout: Self::DEFAULT_CONNECT_TIMEOUT,
            max_body_bytes: Self::DEFAULT_MAX_BODY_BYTES,
        }
    }

    /// SSL_CERT_FILE, REQUESTS_CA_BUNDLE, HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY (also in lower case, which wins).
    pub fn from_env() -> Self {
        Self::from_lookup(|name| std::env::var_os(name))
    }

    fn from_lookup(lookup: impl Fn(&str) -> Option<std::ffi::OsString>) -> Self {
        let text = |names: &[&str]| {
            let set = names.iter().find_map(|name| lookup(name).filter(|value| !value.is_empty()))?;
            // A value that is not UTF-8 stays visible as an unusable proxy instead of being taken for no proxy at all.
            Some(set.to_string_lossy().into_owned())
        };
        let all = text(&["all_proxy", "ALL_PROXY"]);
        // A CGI program gets the client's `Proxy:` header as HTTP_PROXY (CVE-2016-5385, "httpoxy").
        let is_cgi = lookup("REQUEST_METHOD").is_some();
        let http_names: &[&str] = if is_cgi { &["http_proxy"] } else { &["http_proxy", "HTTP_PROXY"] };
        Self {
            environment_ca_bundles: ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"]
                .iter()
                .filter_map(|name| lookup(name).filter(|value| !value.is_empty()))
                .map(PathBuf::from)
                .collect(),
            https_proxy: text(&["https_proxy", "HTTPS_PROXY"]).or_else(|| all.clone()),
            http_proxy: text(http_names).or(all),
            no_proxy: text(&["no_proxy", "NO_PROXY"]),
            ..Self::new()
        }
    }
}

impl Default for TransportSettings {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for TransportSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A proxy's URL may hold a password.
        f.debug_struct("TransportSettings")
            .field("ca_bundles", &self.ca_bundles)
            .field("environment_ca_bundles", &self.environment_ca_bundles)
            .field("tls_verification", &self.tls_verification)
            .field("https_proxy", &self.https_proxy.as_ref().map(|_| ".."))
            .field("no_proxy", &self.no_proxy)
            .field("timeout", &self.timeout)
            .field("max_body_bytes", &self.max_body_bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(variables: &[(&str, &str)]) -> TransportSettings {
        TransportSettings::from_lookup(|name| {
            variables.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).into())
        })
    }

    #[test]
    fn lower_case_wins_and_all_proxy_fills_the_gaps() {
        let settings =
            from(&[("HTTPS_PROXY", "http://upper"), ("https_proxy", "http://lower"), ("ALL_PROXY", "http://all")]);
        assert_eq!(settings.https_proxy.as_deref(), Some("http://lower"));
        assert_eq!(settings.http_proxy.as_deref(), Some("http://all"));
        assert_eq!(from(&[("https_proxy", "")]).https_proxy, None);
    }

    #[test]
    fn a_cgi_program_does_not_take_its_clients_proxy() {
        let settings = from(&[("HTTP_PROXY", "http://evil"), ("REQUEST_METHOD", "GET")]);
        assert_eq!(settings.http_proxy, None);
    }

    #[test]
    fn bundles_come_from_both_variables() {
        let settings = from(&[("SSL_CERT_FILE", "/a.pem"), ("REQUESTS_CA_BUNDLE", "/b.pem")]);
        assert_eq!(settings.environment_ca_bundles, [PathBuf::from("/a.pem"), PathBuf::from("/b.pem")]);
    }

    #[test]
    fn a_proxys_password_is_not_shown() {
        let settings = from(&[("https_proxy", "http://user:hunter2@proxy")]);
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
