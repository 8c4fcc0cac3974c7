//! Where a certificate is expected to be served.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A place where a certificate is served.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Endpoint {
    /// A name or an address; an IPv6 address without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// What is spoken before TLS.
    pub protocol: EndpointProtocol,
    /// The name to send in the handshake (SNI, RFC 6066 section 3); the host when none.
    pub server_name: Option<String>,
    /// Who says that the certificate is served there.
    pub source: EndpointSource,
}

/// What is spoken before TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum EndpointProtocol {
    /// Nothing: TLS from the first byte.
    #[default]
    Tls,
    /// SMTP with STARTTLS (RFC 3207).
    Smtp,
    /// IMAP with STARTTLS (RFC 9051 section 6.2.1).
    Imap,
    /// POP3 with STLS (RFC 2595 section 4).
    Pop3,
}

/// Who says that a certificate is served at an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum EndpointSource {
    /// Nobody: it is port 443 of one of its names. It counts once it has served a version of ours, as seen from here.
    Default,
    /// The owner, in the settings. It always counts.
    Settings,
}

impl Endpoint {
    /// TLS at this host and port, said by the owner.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
            protocol: EndpointProtocol::Tls,
            server_name: None,
            source: EndpointSource::Settings,
        }
    }

    /// Port 443 of a name of the certificate.
    pub fn default_of(name: impl Into<String>) -> Self {
        /// RFC 9110 section 4.2.2.
        const HTTPS_PORT: u16 = 443;
        Self { source: EndpointSource::Default, ..Self::new(name, HTTPS_PORT) }
    }

    /// The same with another protocol before TLS.
    #[must_use]
    pub fn speaking(mut self, protocol: EndpointProtocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// The same with another name in the handshake.
    #[must_use]
    pub fn named(mut self, server_name: impl Into<String>) -> Self {
        self.server_name = Some(server_name.into());
        self
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = crate::escape(&self.host);
        match self.host.contains(':') {
            true => write!(f, "[{host}]:{}", self.port),
            false => write!(f, "{host}:{}", self.port),
        }
    }
}

impl EndpointProtocol {
    /// The word for it in settings and documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::Smtp => "smtp",
            Self::Imap => "imap",
            Self::Pop3 => "pop3",
        }
    }
}
