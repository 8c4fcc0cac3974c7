//! What other programs make of the files.

use std::ffi::OsStr;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use certkit_core::settings::{DeploySetting, FileAccess};
use testkit::process::{Server, require_program};
use testkit::{KeyKind, Nginx, NginxOptions, https, ports};

use super::{Version, combined, mode};

/// What openssl prints.
fn openssl(arguments: &[&str], input: &Path) -> Vec<u8> {
    let output = Command::new(require_program("openssl")).args(arguments).arg("-in").arg(input).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn der(certificate: PathBuf, key: Option<PathBuf>) -> DeploySetting {
    DeploySetting::Der { certificate, key, access: FileAccess::default() }
}

#[tokio::test]
async fn der_is_what_openssl_writes() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let issued = Version::new(1);
    fs::write(at("pem"), issued.chain.cert_pem()).unwrap();
    // A key in each of the formats that a lineage may have.
    let pkcs8 = |kind: KeyKind| kind.generate().serialize_pem();
    let traditional = |pem: String| {
        fs::write(at("key"), pem).unwrap();
        String::from_utf8(openssl(&["pkey", "-traditional"], &at("key"))).unwrap()
    };
    let keys = [
        (pkcs8(KeyKind::EcdsaP384), "BEGIN PRIVATE KEY"),
        (traditional(pkcs8(KeyKind::EcdsaP256)), "BEGIN EC PRIVATE KEY"),
        (traditional(pkcs8(KeyKind::Rsa2048)), "BEGIN RSA PRIVATE KEY"),
    ];
    for (key, label) in keys {
        assert!(key.contains(label), "{label}");
        let version = Version::of(&issued.chain.fullchain_pem(), &key, 1);
        version.deploy(&der(at("www.der"), Some(at("www.key")))).await.unwrap();
        assert_eq!(fs::read(at("www.der")).unwrap(), openssl(&["x509", "-outform", "der"], &at("pem")));
        fs::write(at("key"), &key).unwrap();
        let expected = openssl(&["pkcs8", "-topk8", "-nocrypt", "-outform", "der"], &at("key"));
        assert_eq!(fs::read(at("www.key")).unwrap(), expected, "{label}");
        assert_eq!((mode(&at("www.der")), mode(&at("www.key"))), (0o644, 0o600));
    }
}

#[tokio::test]
async fn der_without_a_key_writes_none() {
    let folder = tempfile::tempdir().unwrap();
    Version::new(1).deploy(&der(folder.path().join("www.der"), None)).await.unwrap();
    assert_eq!(super::names(folder.path()), ["www.der"]);
}

#[tokio::test]
async fn haproxy_serves_a_folder_of_combined_files() {
    let (haproxy, folder) = (require_program("haproxy"), tempfile::tempdir().unwrap());
    let (certificates, conf) = (folder.path().join("certs"), folder.path().join("haproxy.cfg"));
    fs::create_dir(&certificates).unwrap();
    let version = Version::new(0x51);
    version.deploy(&combined(&certificates.join("www.pem"))).await.unwrap();
    assert_eq!(mode(&certificates.join("www.pem")), 0o600);
    // What a crash may leave is not loaded.
    fs::write(certificates.join(".www.pem.certkit-tmp"), "half a fi").unwrap();
    let port = ports::free_port();
    let text = format!(
        "defaults\n mode http\n timeout connect 5s\n timeout client 5s\n timeout server 5s\n\
         frontend www\n bind 127.0.0.1:{port} ssl crt {}/\n http-request return status 200\n",
        certificates.display()
    );
    fs::write(&conf, text).unwrap();
    let check = Command::new(&haproxy).arg("-c").arg("-f").arg(&conf).output().unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
    let arguments = [OsStr::new("-db"), OsStr::new("-f"), conf.as_os_str()];
    let _server = Server::start("haproxy", &haproxy, &arguments, &[], &folder.path().join("log")).gently();
    assert!(ports::wait_for_port(port, Duration::from_secs(30)), "haproxy does not listen");
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    assert_eq!(https::served_serial(address, "localhost").unwrap(), version.serial);
    let chain = https::served_chain(address, "localhost").unwrap();
    assert_eq!(chain, version.chain.certificates().map(|one| one.der().to_vec()).collect::<Vec<_>>());
}

#[tokio::test]
async fn nginx_serves_a_combined_file_too() {
    let (folder, version) = (tempfile::tempdir().unwrap(), Version::new(0x52));
    let path = folder.path().join("www.pem");
    version.deploy(&combined(&path)).await.unwrap();
    let nginx = Nginx::start(&NginxOptions { tls: Some((path.clone(), path)), ..NginxOptions::default() });
    assert_eq!(nginx.served_serial("localhost"), version.serial);
}
