//! Which server certificates are believed.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use certkit_core::store;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::{TlsVerification, TransportError, TransportSettings};

/// The largest bundle that is read. The public roots of all trust stores together are about 1 MiB.
const LARGEST_BUNDLE: usize = 16 * 1024 * 1024;

/// The crypto library, passed explicitly everywhere: a host program may have several in its tree, or a default of its
/// own, and is left alone.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// The TLS settings for reaching a CA, and the roots that they go by.
pub(crate) fn client_config(
    settings: &TransportSettings,
) -> Result<(ClientConfig, Option<Arc<SystemRoots>>), TransportError> {
    match settings.tls_verification {
        TlsVerification::Full => {
            let roots = Arc::new(SystemRoots::new(settings)?);
            Ok((config_with(Arc::clone(&roots) as Arc<dyn ServerCertVerifier>)?, Some(roots)))
        }
        TlsVerification::Off => Ok((config_with(Arc::new(AnyCertificate(provider())))?, None)),
    }
}

/// TLS settings that believe `verifier`.
pub(crate) fn config_with(verifier: Arc<dyn ServerCertVerifier>) -> Result<ClientConfig, TransportError> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| TransportError::Setup(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(config)
}

/// Believes what the system's roots and those of the bundles vouch for. Bundles that the owner named are read at once;
/// the system's roots and what the environment names are read when the first certificate has to be checked.
#[derive(Debug)]
pub(crate) struct SystemRoots {
    named: Vec<CertificateDer<'static>>,
    environment: Vec<PathBuf>,
    provider: Arc<CryptoProvider>,
    read: Mutex<Option<Arc<dyn ServerCertVerifier>>>,
}

impl SystemRoots {
    pub(crate) fn new(settings: &TransportSettings) -> Result<Self, TransportError> {
        let named = read_all(&settings.ca_bundles)?;
        let environment = settings.environment_ca_bundles.clone();
        Ok(Self { named, environment, provider: provider(), read: Mutex::default() })
    }

    /// Reads what is not read yet. A system without any roots (a container) is no error as long as nothing has to be
    /// verified under them.
    pub(crate) fn ready(&self) -> Result<Arc<dyn ServerCertVerifier>, TransportError> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(verifier) = read.as_ref() {
            return Ok(Arc::clone(verifier));
        }
        let mut extra = self.named.clone();
        extra.extend(read_all(&self.environment)?);
        let without_extra = extra.is_empty();
        let provider = Arc::clone(&self.provider);
        let verifier: Arc<dyn ServerCertVerifier> =
            match rustls_platform_verifier::Verifier::new_with_extra_roots(extra, Arc::clone(&provider)) {
                Ok(verifier) => Arc::new(verifier),
                Err(_) if without_extra => Arc::new(NoRoots(provider)),
                Err(error) => return Err(TransportError::Setup(error.to_string())),
            };
        Ok(Arc::clone(read.insert(verifier)))
    }
}

/// The roots of all bundles.
pub(crate) fn read_all(bundles: &[PathBuf]) -> Result<Vec<CertificateDer<'static>>, TransportError> {
    let mut roots = Vec::new();
    for path in bundles {
        roots.extend(read_roots(path)?);
    }
    Ok(roots)
}

/// The usable roots of a file, or of the files of a directory. None at all is an error that names the path.
fn read_roots(path: &Path) -> Result<Vec<CertificateDer<'static>>, TransportError> {
    let refuse = |problem: String| TransportError::Roots { path: path.to_owned(), problem };
    let metadata = std::fs::metadata(path).map_err(|error| refuse(error.to_string()))?;
    let (mut roots, mut problem) = (Vec::new(), None);
    if metadata.is_dir() {
        for entry in std::fs::read_dir(path).map_err(|error| refuse(error.to_string()))? {
            let file = entry.map_err(|error| refuse(error.to_string()))?.path();
            // A directory of roots may hold other files; what counts is that it holds at least one root.
            if file.is_file() {
                roots.extend(read_file(&file).unwrap_or_default());
            }
        }
    } else {
        roots = read_file(path).map_err(refuse)?;
    }
    let found = roots.len();
    roots.retain(|root| match RootCertStore::empty().add(root.clone()) {
        Ok(()) => true,
        Err(error) => {
            problem.get_or_insert_with(|| error.to_string());
            false
        }
    });
    match (roots.is_empty(), problem) {
        (false, _) => Ok(roots),
        (true, Some(problem)) => Err(refuse(format!("none of its {found} certificates can be a root ({problem})"))),
        (true, None) => Err(refuse("it holds no certificate in PEM".into())),
    }
}

fn read_file(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = store::read_file(path, LARGEST_BUNDLE).map_err(|error| error.source.to_string())?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&bytes).filter_map(Result::ok).collect();
    // openssl writes DER too, and people name it .crt all the same.
    let is_der = certificates.is_empty() && bytes.first() == Some(&crate::der::SEQUENCE);
    Ok(if is_der { vec![CertificateDer::from(bytes)] } else { certificates })
}

/// Believes every certificate: `--no-verify-ssl`. The handshake's own signature is still checked.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

/// Believes none and says why: there is nothing to believe them by.
#[derive(Debug)]
struct NoRoots(Arc<CryptoProvider>);

impl ServerCertVerifier for SystemRoots {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let roots =
            self.ready().map_err(|error| rustls::Error::General(format!("the roots cannot be read: {error}")))?;
        roots.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

impl NoRoots {
    fn refuse<T>() -> Result<T, rustls::Error> {
        Err(rustls::Error::General(
            "this system has no root certificates: install ca-certificates or name a file with --ca-bundle".into(),
        ))
    }
}

impl ServerCertVerifier for NoRoots {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Self::refuse()
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Self::refuse()
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Self::refuse()
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(path: &Path) -> TransportSettings {
        TransportSettings { ca_bundles: vec![path.to_owned()], ..TransportSettings::new() }
    }

    fn problem_of(path: &Path) -> String {
        let at_once = SystemRoots::new(&named(path)).unwrap_err().to_string();
        let environment =
            TransportSettings { environment_ca_bundles: vec![path.to_owned()], ..TransportSettings::new() };
        let later = SystemRoots::new(&environment).unwrap().ready().unwrap_err().to_string();
        assert_eq!(at_once, later);
        at_once
    }

    #[test]
    fn bundles_that_cannot_be_used_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("missing.pem");
        assert!(problem_of(&missing).contains("missing.pem"));
        assert!(problem_of(&missing).contains("No such file"));
        let empty = dir.path().join("empty.pem");
        std::fs::write(&empty, "").unwrap();
        assert!(problem_of(&empty).contains("empty.pem cannot be used: it holds no certificate"));
        assert!(problem_of(dir.path()).contains("it holds no certificate"));
        let garbage = dir.path().join("garbage.pem");
        std::fs::write(&garbage, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        assert!(problem_of(&garbage).contains("none of its 1 certificates can be a root"));
    }

    #[test]
    fn roots_are_read_from_pem_der_and_directories() {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::default();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let root = parameters.self_signed(&key).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let (pem, der) = (dir.path().join("root.pem"), dir.path().join("root.crt"));
        // Text around the block and a certificate that is none do not make the good one unusable.
        let bad = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        std::fs::write(&pem, format!("my root\r\n{}{bad}", root.pem())).unwrap();
        std::fs::write(&der, root.der()).unwrap();
        for path in [pem.as_path(), der.as_path(), dir.path()] {
            assert!(SystemRoots::new(&named(path)).unwrap().ready().is_ok(), "{path:?}");
        }
    }
}
