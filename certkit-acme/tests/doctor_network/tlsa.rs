//! TLSA records that the next renewal breaks.

use certkit_acme::doctor::{Check, Examined, check_tlsa};
use certkit_core::{Certificate, FindingCode, Severity};
use testkit::{Data, Fault, KeyKind, NameServer, Tree};

use super::{assert_fine, because, name, name_server, only, resolver};

fn certificate() -> Certificate {
    let folder = tempfile::tempdir().unwrap();
    let tree = Tree::new(folder.path(), testkit::now());
    let paths = tree.lineage("a.example").names(["www.a.example"]).key(KeyKind::EcdsaP256).write();
    Certificate::from_pem(&std::fs::read(paths.live.join("cert.pem")).unwrap()).unwrap()
}

async fn look(server: &NameServer, certificate: &Certificate, reuse_key: bool) -> Vec<Examined> {
    check_tlsa(&resolver(server), &name("www.a.example"), certificate, reuse_key).await
}

#[tokio::test]
async fn no_records_are_silent() {
    assert_fine(&look(&name_server(), &certificate(), false).await);
}

#[tokio::test]
async fn a_pinned_key_needs_reuse_key() {
    let (server, certificate) = (name_server(), certificate());
    server.add("_25._tcp.www.a.example", Data::Tlsa(3, 1, 1, certificate.spki_sha256().to_vec()));
    assert_fine(&look(&server, &certificate, true).await);
    let examined = look(&server, &certificate, false).await;
    let finding = only(&examined, FindingCode::TlsaWillBreak);
    assert_eq!(finding.subject, "_25._tcp.www.a.example");
    assert!(finding.evidence.contains("3 1 1") && finding.cure().contains("--reuse-key"), "{finding:?}");
}

#[tokio::test]
async fn a_pinned_certificate_breaks_at_every_renewal() {
    let (server, certificate) = (name_server(), certificate());
    server.add("_443._tcp.www.a.example", Data::Tlsa(3, 0, 0, certificate.der().to_vec()));
    let examined = look(&server, &certificate, true).await;
    assert!(only(&examined, FindingCode::TlsaWillBreak).evidence.contains("3 0 0 pins the certificate itself"));
}

#[tokio::test]
async fn records_that_fit_nothing_are_told_with_the_one_that_does() {
    let (server, certificate) = (name_server(), certificate());
    server.add("_443._tcp.www.a.example", Data::Tlsa(3, 1, 1, vec![7; 32]));
    let examined = look(&server, &certificate, true).await;
    let finding = only(&examined, FindingCode::TlsaMismatch);
    let hex: String = certificate.spki_sha256().iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(finding.cure().contains(&format!("_443._tcp.www.a.example TLSA 3 1 1 {hex}")), "{finding:?}");
    server.remove("_443._tcp.www.a.example");
    server.add("_443._tcp.www.a.example", Data::Tlsa(2, 1, 1, vec![7; 32]));
    let examined = look(&server, &certificate, true).await;
    assert_eq!(only(&examined, FindingCode::TlsaWillBreak).severity, Severity::Notice);
}

#[tokio::test]
async fn what_cannot_be_looked_up_is_not_checked() {
    let (server, certificate) = (name_server(), certificate());
    server.fail("127.0.0.1", Some("a.example"), None, Fault::ServFail);
    assert!(because(&look(&server, &certificate, false).await, Check::TlsaRecords).contains("SERVFAIL"));
}
