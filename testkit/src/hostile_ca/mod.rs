//! A CA that speaks ACME well, over https on loopback, and deviates where a test says: in what it says, in how it says
//! it, and in what it issues.
//!
//! Pebble behind [`crate::FaultProxy`] is the real CA that fails as real CAs do. This one is for what no real CA does:
//! every byte of an answer is the test's to choose. It takes every name as validated and checks no signature of a
//! request; what it issues is a real chain.

mod reply;
pub use reply::{Cut, Delivery, Reply};

mod serve;

mod state;

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::pki::{Leaf, Pki};
use crate::{RequestKind, now};
use state::Orders;

/// The CA. Dropping it ends it.
pub struct HostileCa {
    shared: Arc<Shared>,
    folder: tempfile::TempDir,
}

/// What a test makes of the good answer to a request.
pub type Deviation = Arc<dyn Fn(&Asked<'_>, &mut Reply) + Send + Sync>;

/// A request that came.
pub struct Asked<'a> {
    /// What it is for.
    pub kind: RequestKind,
    /// How many of this kind have come, this one included.
    pub nth: usize,
    /// The CA's own URL, without a path.
    pub base: &'a str,
    /// The payload of its JWS; null for POST-as-GET and where there is no JWS.
    pub payload: Value,
    /// The CA.
    pub pki: &'a Pki,
    /// What the certificate that is downloaded is for and says; another one can be made of it.
    pub leaf: Option<Leaf>,
}

struct Shared {
    address: SocketAddr,
    base: String,
    pki: Pki,
    tls: Arc<rustls::ServerConfig>,
    deviation: Deviation,
    orders: Mutex<Orders>,
    log: Mutex<Vec<RequestKind>>,
    strays: AtomicUsize,
    is_over: AtomicBool,
}

impl HostileCa {
    /// Starts it. `deviation` is given each request with the good answer.
    pub fn start(deviation: Deviation) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let pki = Pki::new(now());
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("root.pem"), pki.root_pem()).unwrap();
        let shared = Arc::new(Shared {
            address,
            base: format!("https://{address}"),
            tls: serve::tls(&pki),
            pki,
            deviation,
            orders: Mutex::default(),
            log: Mutex::default(),
            strays: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
        });
        let served = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if served.is_over.load(Ordering::Relaxed) {
                    return;
                }
                let (Ok(stream), served) = (stream, Arc::clone(&served)) else { continue };
                std::thread::spawn(move || served.serve(&stream));
            }
        });
        Self { shared, folder }
    }

    /// The URL of the directory.
    pub fn directory_url(&self) -> String {
        format!("{}/dir", self.shared.base)
    }

    /// The URL of the account that it knows.
    pub fn account_url(&self) -> String {
        format!("{}/my-account/1", self.shared.base)
    }

    /// The root of its own https certificate, PEM.
    pub fn ca_bundle(&self) -> PathBuf {
        self.folder.path().join("root.pem")
    }

    /// What was asked, in order.
    pub fn log(&self) -> Vec<RequestKind> {
        self.shared.log.lock().unwrap().clone()
    }

    /// How often something was asked.
    pub fn count(&self, kind: RequestKind) -> usize {
        self.log().iter().filter(|asked| **asked == kind).count()
    }

    /// How many connections did not speak TLS.
    pub fn strays(&self) -> usize {
        self.shared.strays.load(Ordering::Relaxed)
    }
}

impl Drop for HostileCa {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        // The listener looks when the next one comes.
        let _ = TcpStream::connect(self.shared.address);
    }
}
