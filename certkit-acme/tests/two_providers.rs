//! A host program may have both of rustls' crypto libraries in its tree: rustls then has no default of its own, and the
//! host's choice, if it made one, is none of our business.
#![allow(clippy::unwrap_used)]

use certkit_acme::probe::probe;
use certkit_acme::protocol::Authority;
use certkit_acme::transport::{Transport, TransportSettings};
use certkit_core::AcmeUrl;
use rustls::crypto::CryptoProvider;
use testkit::{Pebble, PebbleOptions};

#[tokio::test]
async fn no_default_is_needed_and_none_is_left_behind() {
    // That both are there is what makes this test one.
    assert!(!rustls::crypto::ring::default_provider().cipher_suites.is_empty());
    assert!(!rustls::crypto::aws_lc_rs::default_provider().cipher_suites.is_empty());
    assert!(CryptoProvider::get_default().is_none());

    let pebble = Pebble::start(PebbleOptions::default());
    let mut settings = TransportSettings::new();
    settings.ca_bundles = vec![pebble.ca_bundle()];
    let directory = AcmeUrl::parse(&pebble.directory_url()).unwrap();
    Authority::connect(Transport::new(&settings).unwrap(), &directory).await.unwrap();
    let port = directory.authority().rsplit_once(':').unwrap().1.parse().unwrap();
    let served = probe("127.0.0.1", port, None, &settings).await.unwrap();
    assert_eq!(served.verdict, Ok(()));

    assert!(CryptoProvider::get_default().is_none());
}
