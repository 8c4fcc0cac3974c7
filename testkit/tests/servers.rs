//! The servers themselves: they start, answer, obey and end.
#![allow(clippy::unwrap_used)]

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use testkit::{Certbot, Nginx, NginxOptions, Pebble, PebbleOptions, Tree, https, serial_of_file, workspace};

#[test]
fn pebble_answers_and_ends() {
    let pebble = Pebble::start(PebbleOptions::default());
    let port = pebble.directory_url().split([':', '/']).nth(4).unwrap().parse().unwrap();
    let directory = https::get(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), "/dir").unwrap();
    assert_eq!(directory.status, 200);
    assert!(String::from_utf8_lossy(&directory.body).contains("newOrder"));
    assert!(pebble.issuing_root(0).starts_with("-----BEGIN CERTIFICATE-----"));
    assert!(pebble.ca_bundle().is_file());
    pebble.set_a("a.example", &["127.0.0.2"]);
    pebble.set_aaaa("a.example", &["::1"]);
    pebble.set_servfail("b.example");
    pebble.clear_servfail("b.example");
    assert_eq!(pebble.certificate_status("00ab"), None);
    drop(pebble);
    assert!(https::get(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), "/dir").is_err());
}

#[test]
fn pebbles_knobs_are_understood() {
    let options = PebbleOptions {
        nonce_reject_percent: 20,
        authorization_reuse_percent: 100,
        alternate_roots: 2,
        chain_length: 2,
        certificate_lifetime: Some(std::time::Duration::from_secs(576_000)),
        external_accounts: vec![(
            "kid-1".into(),
            "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W".into(),
        )],
        strict: true,
        ..PebbleOptions::default()
    };
    let pebble = Pebble::start(options);
    for line in ["reject 20% of good nonces", "reuse for each identifier 100%", "validity period of 576000 seconds"] {
        assert!(pebble.log().contains(line), "{line}: {}", pebble.log());
    }
    assert_ne!(pebble.issuing_root(0), pebble.issuing_root(2));
    assert!(!pebble.issuing_intermediate(1).is_empty());
}

#[test]
fn nginx_serves_and_reloads_what_the_links_point_to() {
    let folder = tempfile::tempdir().unwrap();
    let tree = Tree::new(folder.path().join("le"), testkit::now());
    let lineage = tree.lineage("n.example").versions(2).write();
    let live = |file: &str| lineage.live.join(file);
    let tls = Some((live("fullchain.pem"), live("privkey.pem")));
    let nginx = Nginx::start(&NginxOptions { tls, ..NginxOptions::default() });
    assert_eq!(nginx.served_serial("n.example"), lineage.serial);

    std::fs::write(nginx.webroot().join("hello"), "there").unwrap();
    let answer = https::get_plain((Ipv4Addr::LOCALHOST, nginx.http_port()).into(), "/hello").unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (200, b"there".as_slice()));

    for kind in ["fullchain", "privkey"] {
        std::fs::remove_file(live(&format!("{kind}.pem"))).unwrap();
        let target = PathBuf::from(format!("../../archive/n.example/{kind}1.pem"));
        std::os::unix::fs::symlink(target, live(&format!("{kind}.pem"))).unwrap();
    }
    assert_eq!(nginx.served_serial("n.example"), lineage.serial, "nothing changes before the reload");
    let reload = nginx.reload();
    assert!(reload.status.success(), "{}", String::from_utf8_lossy(&reload.stderr));
    let first = serial_of_file(lineage.archive.join("cert1.pem"));
    assert_ne!(first, lineage.serial);
    assert_eq!(nginx.wait_for_serial("n.example", &first), first);
    assert_eq!(nginx.reloads(), 1);
    let port = nginx.http_port();
    drop(nginx);
    assert!(https::get_plain((Ipv4Addr::LOCALHOST, port).into(), "/hello").is_err());
}

#[test]
fn certbot_lists_the_tree_and_renews_it() {
    let folder = tempfile::tempdir().unwrap();
    let config_dir = folder.path().join("le");
    let tree = Tree::new(&config_dir, testkit::now());
    let nginx = Nginx::start(&NginxOptions::default());
    let pebble = Pebble::start(PebbleOptions { http_port: Some(nginx.http_port()), ..PebbleOptions::default() });
    let certbot = Certbot::new(&config_dir, &pebble.directory_url(), &pebble.ca_bundle());
    let account = certbot.register();
    assert_eq!(tree.account_ids(&pebble.directory_url()), std::slice::from_ref(&account));
    let lineage = tree
        .lineage("p.example.com")
        .names(["p.example.com", "www.p.example.com"])
        .days_left(10)
        .server(&pebble.directory_url())
        .account(&account)
        .webroot(nginx.webroot())
        .write();

    let listing = certbot.succeed(&["certificates"]);
    assert!(listing.contains("Certificate Name: p.example.com"), "{listing}");
    assert!(listing.contains(&lineage.serial.trim_start_matches('0').to_lowercase()), "{listing}");
    assert!(!listing.contains("invalid"), "{listing}");

    certbot.succeed(&["renew", "--no-random-sleep-on-renew"]);
    assert!(lineage.archive.join("cert2.pem").is_file());
    assert_eq!(pebble.orders_placed(), 1, "{}", pebble.log());
    assert!(workspace().join("Cargo.toml").is_file());
}

#[test]
fn mail_servers_answer_and_end() {
    let folder = tempfile::tempdir().unwrap();
    let issued = testkit::Pki::new(testkit::now()).for_localhost(testkit::now());
    let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
    std::fs::write(&chain, issued.fullchain).unwrap();
    std::fs::write(&key, issued.privkey).unwrap();
    let (postfix, dovecot) = (testkit::Postfix::start(&chain, &key), testkit::Dovecot::start(&chain, &key));
    let ports = [postfix.smtp_port(), dovecot.imap_port(), dovecot.pop3_port()];
    let is_open = |port: u16| std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
    assert!(ports.into_iter().all(is_open));
    drop((postfix, dovecot));
    // Their children see a little later that they are to end.
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while ports.into_iter().any(is_open) {
        assert!(std::time::Instant::now() < end, "a mail server was left behind");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}
