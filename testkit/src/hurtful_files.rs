//! Files below a mebibyte that are made to hurt a reader of certificates: large, deep, without an end.

use std::fs;

use data_encoding::BASE64;
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ED25519, SerialNumber};

use crate::Tree;

/// So many names are in the certificate that has the most.
const MANY_NAMES: usize = 10_000;

/// A little less, so that the files stay below it.
const MEBIBYTE: usize = (1 << 20) - 1;

/// A file, and what a reader makes of it.
pub struct HurtfulFile {
    /// What is in it.
    pub name: &'static str,
    /// The file.
    pub content: Vec<u8>,
    /// How many certificates can be read from it.
    pub certificates: usize,
    /// A part of what is said of the rest.
    pub problem: &'static str,
}

/// All of them. The certificates in them are made in `tree`.
pub fn hurtful_files(tree: &Tree) -> Vec<HurtfulFile> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----\n";
    let one = pem(tree, "a.example", vec!["a.example".to_owned()]);
    let (own, bare_key) = smallest();
    let count = MEBIBYTE / own.len();
    let der = |content: &[u8]| [&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff][..], content].concat();
    // Each ASN.1 element holds the next one; the lengths are not even right.
    let deep = [0x30, 0x83, 0x0f, 0xff, 0xff].repeat(200_000);
    let broken = |name, content, problem| HurtfulFile { name, content, certificates: 0, problem };
    let whole = |name, text: String, certificates| {
        let content = text.into_bytes();
        HurtfulFile { name, content, certificates, problem: "" }
    };
    vec![
        broken("begin lines", format!("{BEGIN}\n").repeat(20_000).into_bytes(), "no END line"),
        broken("begin without lines", BEGIN.repeat(20_000).into_bytes(), "no END line"),
        broken("begin and blanks", format!("{BEGIN}{}", " ".repeat(900_000)).into_bytes(), "no END line"),
        broken("end lines", END.repeat(20_000).into_bytes(), "no PEM block"),
        broken("hyphens", vec![b'-'; 1_000_000], "no PEM block"),
        broken("begin after begin on one line", "-----BEGIN A-----x-".repeat(50_000).into_bytes(), "no END line"),
        broken("hyphens before begin on one line", "-x-----BEGIN ".repeat(75_000).into_bytes(), "no END line"),
        broken("end after end on one line", "x-----END A-----".repeat(60_000).into_bytes(), "no PEM block"),
        broken("empty blocks", format!("{BEGIN}\n{END}").repeat(10_000).into_bytes(), "empty"),
        broken("four gigabytes, it says", der(b"abc"), "nothing readable"),
        broken("an endless length", [&[0x30][..], &[0xff; 10]].concat(), "nothing readable"),
        broken("deep", deep, "nothing readable"),
        broken("deep in PEM", format!("{BEGIN}\n{}\n{END}", "MIQA".repeat(200_000)).into_bytes(), "cannot be read"),
        broken("zeros", vec![0; 1_000_000], "nothing readable"),
        whole("ten thousand names in a certificate", certificate_of_many_names(tree), 1),
        whole("a thousand certificates", one.repeat(1_000), 1_000),
        whole("certificates that could all have signed each other", own.repeat(count), count),
        whole("a certificate and very many keys", format!("{own}{}", bare_key.repeat(3_000)), 1),
    ]
}

/// The names in the certificate of many names.
pub fn many_names() -> impl Iterator<Item = String> {
    (0..MANY_NAMES).map(|number| format!("host-{number}.example.com"))
}

/// A certificate of [`many_names`], PEM.
pub fn certificate_of_many_names(tree: &Tree) -> String {
    pem(tree, "many.example", many_names().collect())
}

/// A certificate signed by its own key, as small as they can be, and a key that does not carry its public half.
fn smallest() -> (String, String) {
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let mut own = CertificateParams::default();
    own.distinguished_name = DistinguishedName::new();
    own.serial_number = Some(SerialNumber::from(1_u64));
    let own = own.self_signed(&key).unwrap().pem();
    // RFC 5958: version, algorithm, and the seed in an OCTET STRING of its own.
    let head = [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
    let bare_key = BASE64.encode(&[head.as_slice(), &[7; 32]].concat());
    (own.replace('\r', ""), format!("-----BEGIN PRIVATE KEY-----\n{bare_key}\n-----END PRIVATE KEY-----\n"))
}

fn pem(tree: &Tree, name: &str, names: Vec<String>) -> String {
    fs::read_to_string(tree.lineage(name).names(names).write().archive.join("cert1.pem")).unwrap()
}
