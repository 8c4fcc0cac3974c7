//! What certkit's tests need from the world: real servers on loopback, and trees as certbot leaves them.
//!
//! - [`Pebble`]: an ACME server with its test DNS, on free ports.
//! - [`FaultProxy`]: a proxy in front of it that does what Pebble never does.
//! - [`HostileCa`]: a CA that does what no real one does, byte by byte.
//! - [`Acme2Certifier`]: another ACME server, with renewal information, profiles and external accounts of its own.
//! - [`NameServer`]: a resolver and authoritative name servers that fail as a test says.
//! - [`Nginx`]: a web server that serves a lineage, reloads, and answers http-01 from a webroot; [`NginxBlocks`]: one with
//!   the server blocks that a test writes.
//! - [`Postfix`], [`Dovecot`]: mail servers with STARTTLS.
//! - [`Certbot`]: certbot itself, as the peer that must understand everything; [`CertbotLock`]: its lock.
//! - [`Tree`]: certbot-format trees, lineage by lineage, with a two-tier CA of their own ([`Pki`]).
//! - [`hurtful_files`]: files that are made to hurt a reader of certificates.
//! - [`Smtp`]: a mail server that keeps what it takes; [`WebSink`]: a web server that does.
//! - [`snapshot`], [`https`], [`ports`], [`process`]: the small things below.
//!
//! A program that is missing is a panic that says what to do: `bash .ci/test.sh` installs everything. Everything that
//! is started ends with its value, and with the test process should that be killed.
#![forbid(unsafe_code)]
// Test support speaks by panicking: a helper that cannot do its work ends the test with the reason.
#![allow(clippy::unwrap_used)]

mod account;
pub use account::{AccountKeyKind, StoredAccount};

mod acme2certifier;
pub use acme2certifier::{Acme2Certifier, Acme2CertifierOptions, RenewalWindow};

mod certbot_lock;
pub use certbot_lock::CertbotLock;

mod certbot;
pub use certbot::{Certbot, certbot_program};

mod dns;

mod fault_proxy;
pub use fault_proxy::{Answer, FaultProxy, LoggedRequest, NewOrderRequest, RequestKind, RuleBuilder};

mod folder;
pub use folder::{FolderEntry, snapshot};

mod hostile_ca;
pub use hostile_ca::{Asked, Cut, Delivery, Deviation, HostileCa, Reply};

mod http;
pub use http::HttpRequest;

pub mod https;

mod hurtful_files;
pub use hurtful_files::{HurtfulFile, certificate_of_many_names, hurtful_files, many_names};

mod mail;
pub use mail::{Dovecot, Postfix};

mod name_server;
pub use name_server::{Data, Fault, NameServer, RecordKind};

mod nginx;
pub use nginx::{Nginx, NginxOptions, Site};

mod nginx_blocks;
pub use nginx_blocks::NginxBlocks;

mod pebble;
pub use pebble::{Pebble, PebbleOptions};

mod pki;
pub use pki::{Issued, KeyKind, Leaf, Pki, RequestedKey, RevocationList, serial_of_file};

pub mod ports;

pub mod process;

mod smtp;
pub use smtp::{ReceivedMail, Smtp, SmtpOptions};

mod tree;
pub use tree::{LineageBuilder, LineagePaths, Tree};

mod web_sink;
pub use web_sink::WebSink;

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

/// The system's time.
pub fn now() -> DateTime<Utc> {
    std::time::SystemTime::now().into()
}

/// The workspace's folder.
pub fn workspace() -> PathBuf {
    // The manifest lies in WORKSPACE/testkit, so there is a parent.
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}
