//! What is known of the servers that are talked to, so that many requests at once need few connections.
//!
//! Only the handshake tells whether a server speaks HTTP/2. hyper's pool makes a connection for each request that finds
//! none: a thousand requests at once would make a thousand connections, and all but one of them in vain. So one request
//! goes ahead, and the others wait until its connection stands.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::{Uri, Version};
use hyper_util::client::legacy::connect::CaptureConnection;
use tokio::sync::MutexGuard;

/// The servers by host and port.
#[derive(Default)]
pub(super) struct Servers(Mutex<HashMap<String, Arc<Server>>>);

/// One of them.
#[derive(Default)]
pub(super) struct Server {
    /// It chose HTTP/1.1 last time: every request under way at once needs a connection of its own anyway.
    speaks_http1: AtomicBool,
    /// The connections that there are, those that are being made included.
    live: Arc<AtomicUsize>,
    first: tokio::sync::Mutex<()>,
}

/// A connection, counted as long as it exists.
pub(super) struct Live(Arc<AtomicUsize>);

/// The right to make the connection that others wait for.
pub(super) struct Turn<'a> {
    server: &'a Server,
    _others_wait: MutexGuard<'a, ()>,
}

impl Servers {
    pub(super) fn of(&self, target: &Uri) -> Arc<Server> {
        let name = format!(
            "{}://{}",
            target.scheme_str().unwrap_or_default(),
            target.authority().map_or("", |authority| authority.as_str())
        );
        let mut servers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(servers.entry(name.to_ascii_lowercase()).or_default())
    }
}

impl Server {
    /// Waits while somebody else makes the first connection. None: go on, there is no need to be alone.
    pub(super) async fn turn(&self) -> Option<Turn<'_>> {
        if self.speaks_http1.load(Ordering::Relaxed) {
            return None;
        }
        let others_wait = self.first.lock().await;
        let needless = self.speaks_http1.load(Ordering::Relaxed) || self.live.load(Ordering::Relaxed) > 0;
        (!needless).then_some(Turn { server: self, _others_wait: others_wait })
    }

    /// Keeps in mind what the server answered in.
    pub(super) fn spoke(&self, version: Version) {
        self.speaks_http1.store(version != Version::HTTP_2, Ordering::Relaxed);
    }
}

impl Turn<'_> {
    /// Waits until the connection stands, and lets the others go. A connection that never does is waited for until the
    /// request fails, which drops this.
    pub(super) async fn until_connected(self, mut capture: CaptureConnection) {
        let is_http2 = capture.wait_for_connection_metadata().await.as_ref().map(|made| made.is_negotiated_h2());
        if let Some(is_http2) = is_http2 {
            self.server.spoke(if is_http2 { Version::HTTP_2 } else { Version::HTTP_11 });
        }
    }
}

impl Live {
    pub(super) fn new(server: &Server) -> Self {
        server.live.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(&server.live))
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
