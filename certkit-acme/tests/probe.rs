//! What servers serve, as it is: good, expired, for other names, from unknown CAs.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use certkit_acme::probe::{ProbeError, probe};
use certkit_acme::transport::TransportSettings;
use certkit_core::Certificate;
use chrono::TimeDelta;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use testkit::{Issued, KeyKind, Pki};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

/// A TLS server for one certificate.
async fn serve(listener: TcpListener, issued: &Issued) -> SocketAddr {
    let address = listener.local_addr().unwrap();
    let chain = CertificateDer::pem_slice_iter(issued.fullchain.as_bytes()).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(issued.privkey.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move { drop(acceptor.accept(stream).await) });
        }
    });
    address
}

struct World {
    settings: TransportSettings,
    pki: Pki,
    _folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let (pki, folder) = (Pki::new(testkit::now()), tempfile::tempdir().unwrap());
        let root = folder.path().join("root.pem");
        std::fs::write(&root, pki.root_pem()).unwrap();
        let mut settings = TransportSettings::new();
        settings.ca_bundles = vec![root];
        settings.timeout = Duration::from_secs(3);
        settings.connect_timeout = Duration::from_secs(1);
        Self { settings, pki, _folder: folder }
    }

    fn issue(&self, names: &[&str], from: TimeDelta, until: TimeDelta) -> Issued {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let now = testkit::now();
        self.pki.issue(&names, now + from, now + until, &KeyKind::EcdsaP256.generate(), &[0x11; 8])
    }
}

async fn local() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

#[tokio::test]
async fn the_chain_and_the_verdict_are_kept_whatever_they_are() {
    let world = World::new();
    let day = TimeDelta::days(1);
    for (names, from, until, says) in [
        (&["www.example.org", "127.0.0.1"][..], -day, day, None),
        (&["www.example.org"], -day * 9, -day, Some("expired")),
        (&["www.example.org"], day, day * 9, Some("not valid yet")),
        (&["other.example.org"], -day, day, Some("is not valid for name www.example.org, but for other.example.org")),
    ] {
        let issued = world.issue(names, from, until);
        let address = serve(local().await, &issued).await;
        let served = probe("127.0.0.1", address.port(), Some("www.example.org"), &world.settings).await.unwrap();
        assert_eq!(served.address, address);
        assert_eq!(served.certificates.len(), 2);
        assert_eq!(served.certificates[0], Certificate::from_pem(issued.cert.as_bytes()).unwrap());
        match says {
            None => assert_eq!(served.verdict, Ok(())),
            Some(says) => assert!(served.verdict.as_ref().unwrap_err().contains(says), "{:?}", served.verdict),
        }
    }
}

#[tokio::test]
async fn an_unknown_ca_is_a_verdict_and_a_broken_bundle_an_error() {
    let world = World::new();
    let address = serve(local().await, &world.issue(&["127.0.0.1"], -TimeDelta::days(1), TimeDelta::days(1))).await;
    let mut settings = world.settings.clone();
    settings.ca_bundles = Vec::new();
    let served = probe("127.0.0.1", address.port(), None, &settings).await.unwrap();
    assert_eq!(served.certificates.len(), 2);
    assert!(served.verdict.is_err());
    assert_eq!(probe("127.0.0.1", address.port(), None, &world.settings).await.unwrap().verdict, Ok(()));
    settings.ca_bundles = vec!["/nonexistent/roots.pem".into()];
    let error = probe("127.0.0.1", address.port(), None, &settings).await.unwrap_err().to_string();
    assert!(error.contains("/nonexistent/roots.pem"), "{error}");
}

#[tokio::test]
async fn roots_of_the_environment_that_cannot_be_read_are_a_verdict() {
    let world = World::new();
    let address = serve(local().await, &world.issue(&["127.0.0.1"], -TimeDelta::days(1), TimeDelta::days(1))).await;
    let folder = tempfile::tempdir().unwrap();
    let (missing, empty) = (folder.path().join("missing.pem"), folder.path().join("empty.pem"));
    std::fs::write(&empty, "").unwrap();
    for bundle in [missing, empty] {
        let mut settings = world.settings.clone();
        settings.environment_ca_bundles = vec![bundle.clone()];
        let served = probe("127.0.0.1", address.port(), None, &settings).await.unwrap();
        assert_eq!(served.certificates.len(), 2);
        let verdict = served.verdict.unwrap_err();
        assert!(verdict.starts_with("the roots cannot be read: the CA bundle "), "{verdict}");
        assert!(verdict.contains(&bundle.display().to_string()), "{verdict}");
    }
}

#[tokio::test]
async fn a_certificate_that_vouches_for_itself_is_called_self_signed() {
    let world = World::new();
    for is_ca in [rcgen::IsCa::NoCa, rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained)] {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        parameters.is_ca = is_ca;
        let certificate = parameters.self_signed(&key).unwrap();
        let mut issued = world.pki.for_localhost(testkit::now());
        issued.fullchain = certificate.pem();
        issued.privkey = key.serialize_pem();
        let address = serve(local().await, &issued).await;
        let verdict = probe("127.0.0.1", address.port(), Some("localhost"), &world.settings).await.unwrap().verdict;
        assert!(verdict.as_ref().unwrap_err().contains("is self-signed"), "{verdict:?}");
    }
    // A CA's certificate that another CA issued.
    let root = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::default();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let mut other = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    other.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    other.distinguished_name.push(rcgen::DnType::CommonName, "other");
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = other.signed_by(&key, &rcgen::Issuer::new(parameters, root)).unwrap();
    let mut issued = world.pki.for_localhost(testkit::now());
    issued.fullchain = certificate.pem();
    issued.privkey = key.serialize_pem();
    let address = serve(local().await, &issued).await;
    let verdict = probe("127.0.0.1", address.port(), Some("localhost"), &world.settings).await.unwrap().verdict;
    assert_eq!(verdict.unwrap_err(), "the server's certificate is that of a CA (CA:TRUE), not that of a server");
}

#[tokio::test]
async fn addresses_of_both_families_and_names_are_reached() {
    let world = World::new();
    let issued = world.pki.for_localhost(testkit::now());
    let address = serve(local().await, &issued).await;
    // `localhost` may lead to ::1 first, where nobody listens: the next address is tried.
    let served = probe("localhost", address.port(), None, &world.settings).await.unwrap();
    assert_eq!((served.address, &served.verdict), (address, &Ok(())));
    if testkit::ports::has_ipv6() {
        let address = serve(TcpListener::bind("[::1]:0").await.unwrap(), &issued).await;
        for host in ["::1", "[::1]"] {
            let served = probe(host, address.port(), None, &world.settings).await.unwrap();
            assert_eq!((served.address, &served.verdict), (address, &Ok(())), "{host}");
        }
    }
}

#[tokio::test]
async fn who_serves_no_certificate_is_named() {
    let world = World::new();
    let said = async |host: &str, port: u16| {
        let ProbeError::Unreachable { endpoint, problem } = probe(host, port, None, &world.settings).await.unwrap_err()
        else {
            panic!("another error")
        };
        (endpoint, problem)
    };
    let port = testkit::ports::free_port();
    let (endpoint, problem) = said("127.0.0.1", port).await;
    assert_eq!(endpoint, format!("127.0.0.1:{port}"));
    assert!(problem.contains("Connection refused"), "{problem}");
    let (endpoint, problem) = said("bad name\u{1b}[2J", 443).await;
    assert!(!endpoint.contains('\u{1b}') && problem.contains("not a host name"), "{endpoint} {problem}");

    // One that speaks something else, and one that says nothing.
    let listener = local().await;
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").await;
        std::future::pending::<()>().await;
    });
    let (_, problem) = said("127.0.0.1", port).await;
    assert!(problem.contains("TLS"), "{problem}");
    let silent = local().await;
    let (_, problem) = said("127.0.0.1", silent.local_addr().unwrap().port()).await;
    assert!(problem.contains("no answer within 3 s"), "{problem}");
}
