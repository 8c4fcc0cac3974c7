//! One TLS handshake that takes down what is served, and what a client that checks would say of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use certkit_core::{Certificate, Distrust, DistrustCause, KeyType, escape};
use chrono::{DateTime, Utc};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use crate::transport::{describe, tls_problem, trust};

/// What a server sent.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) chain: Vec<CertificateDer<'static>>,
    /// The handshake was not signed with the leaf's key.
    bad_signature: Option<String>,
}

/// How a handshake is made.
#[derive(Clone, Copy)]
pub(super) struct How {
    /// Send the name (SNI).
    pub(super) with_name: bool,
    /// Accept no other keys: a server with two certificates for a name chooses by that.
    pub(super) only: Option<KeyFamily>,
}

/// What kind of key a server signs the handshake with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyFamily {
    Rsa,
    Ec,
    Other,
}

impl KeyFamily {
    pub(super) fn of(certificate: &Certificate) -> Self {
        match certificate.key_type() {
            KeyType::Rsa => Self::Rsa,
            KeyType::Ec(_) => Self::Ec,
            _ => Self::Other,
        }
    }

    fn signs_by(self, scheme: SignatureScheme) -> bool {
        use SignatureScheme as S;
        let family = match scheme {
            S::RSA_PKCS1_SHA256
            | S::RSA_PKCS1_SHA384
            | S::RSA_PKCS1_SHA512
            | S::RSA_PSS_SHA256
            | S::RSA_PSS_SHA384
            | S::RSA_PSS_SHA512 => Self::Rsa,
            S::ECDSA_NISTP256_SHA256 | S::ECDSA_NISTP384_SHA384 | S::ECDSA_NISTP521_SHA512 => Self::Ec,
            _ => Self::Other,
        };
        family == self
    }
}

/// Shakes hands and takes down what is served. An error says why nothing was, escaped.
pub(super) async fn take_down<S>(
    stream: S,
    name: ServerName<'static>,
    how: How,
    limit: Duration,
) -> Result<Taken, String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let recorder = Arc::new(Recorder { only: how.only, seen: Mutex::default() });
    let mut config = trust::config_with(Arc::clone(&recorder) as Arc<dyn ServerCertVerifier>)
        .map_err(|error| escape(&error.to_string()).into_owned())?;
    config.enable_sni = how.with_name;
    // What is taken up again shows no certificate.
    config.resumption = rustls::client::Resumption::disabled();
    let handshake = TlsConnector::from(Arc::new(config)).connect(name, stream);
    let ended = tokio::time::timeout(limit, handshake).await;
    // What was seen counts even when the handshake breaks off later, for want of a client certificate for example.
    let seen = recorder.seen.lock().unwrap_or_else(PoisonError::into_inner).take();
    seen.ok_or_else(|| match ended {
        Err(_) => too_long(limit),
        Ok(Err(error)) => format!("TLS: {}", escape(&describe(&error))),
        Ok(Ok(_)) => "TLS without a certificate".into(),
    })
}

/// No answer within a limit.
pub(super) fn too_long(limit: Duration) -> String {
    format!("no answer within {} s", limit.as_secs())
}

impl Taken {
    /// What a client that checks says at an instant: `Ok`, or why it refuses.
    pub(super) fn verdict(
        &self,
        roots: &trust::SystemRoots,
        name: &ServerName<'_>,
        at: DateTime<Utc>,
    ) -> Result<(), Refusal> {
        if let Some(why) = &self.bad_signature {
            return Err(Refusal { is_about_the_name: false, distrust: Distrust::new(DistrustCause::Other, why) });
        }
        let Some((leaf, issuers)) = self.chain.split_first() else { return Ok(()) };
        let seconds = u64::try_from(at.timestamp()).unwrap_or_default();
        let at = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        match roots.verify_server_cert(leaf, issuers, name, &[], at) {
            Ok(_) => Ok(()),
            Err(error) => Err(Refusal::of(&error, leaf)),
        }
    }

    /// The certificates that can be read, and what is wrong with the others, escaped.
    pub(super) fn certificates(&self) -> (Vec<Certificate>, Vec<String>) {
        let (mut certificates, mut unreadable) = (Vec::new(), Vec::new());
        for (index, der) in self.chain.iter().enumerate() {
            match Certificate::from_der(der) {
                Ok(certificate) => certificates.push(certificate),
                Err(error) => unreadable.push(format!("certificate {}: {}", index + 1, escape(&error.to_string()))),
            }
        }
        (certificates, unreadable)
    }
}

/// Why a client that checks refuses.
pub(super) struct Refusal {
    /// The chain is trusted, for other names.
    pub(super) is_about_the_name: bool,
    pub(super) distrust: Distrust,
}

impl Refusal {
    /// That a certificate vouches for itself is the whole story, whatever the checks trip over first.
    fn of(error: &rustls::Error, leaf: &CertificateDer<'_>) -> Self {
        use rustls::Error as Tls;
        let is_about_the_issuer =
            matches!(error, Tls::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::Other(_)));
        let is_its_own = || Certificate::from_der(leaf).is_ok_and(|certificate| certificate.is_self_issued());
        if is_about_the_issuer && is_its_own() {
            let why = "the server's certificate is self-signed (it names itself as its issuer)";
            return Self { is_about_the_name: false, distrust: Distrust::new(DistrustCause::UnknownIssuer, why) };
        }
        let cause = match error {
            Tls::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
                DistrustCause::Expired
            }
            Tls::InvalidCertificate(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) => {
                DistrustCause::NotYetValid
            }
            // Without any roots nothing can be said of an issuer either.
            Tls::InvalidCertificate(CertificateError::UnknownIssuer) | Tls::General(_) => DistrustCause::UnknownIssuer,
            _ => DistrustCause::Other,
        };
        let is_about_the_name = matches!(
            error,
            Tls::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
            )
        );
        Self { is_about_the_name, distrust: Distrust::new(cause, tls_problem(error)) }
    }
}

/// Keeps the chain and lets the handshake go on, whatever it is.
#[derive(Debug)]
struct Recorder {
    only: Option<KeyFamily>,
    seen: Mutex<Option<Taken>>,
}

impl Recorder {
    /// A signature of the handshake that does not verify is the worst verdict of all: the server has not the key.
    fn handshake(&self, result: Result<HandshakeSignatureValid, rustls::Error>) -> HandshakeSignatureValid {
        if let (Err(error), Some(seen)) = (result, self.seen.lock().unwrap_or_else(PoisonError::into_inner).as_mut()) {
            let why = format!("the handshake is not signed with the certificate's key: {}", tls_problem(&error));
            seen.bad_signature = Some(escape(&why).into_owned());
        }
        HandshakeSignatureValid::assertion()
    }
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain = std::iter::once(end_entity).chain(intermediates).map(|der| der.clone().into_owned()).collect();
        let taken = Taken { chain, bad_signature: None };
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(taken);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = trust::provider().signature_verification_algorithms;
        Ok(self.handshake(rustls::crypto::verify_tls12_signature(message, certificate, signed, &algorithms)))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = trust::provider().signature_verification_algorithms;
        Ok(self.handshake(rustls::crypto::verify_tls13_signature(message, certificate, signed, &algorithms)))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let all = trust::provider().signature_verification_algorithms.supported_schemes();
        match self.only {
            Some(family) => all.into_iter().filter(|scheme| family.signs_by(*scheme)).collect(),
            None => all,
        }
    }
}
