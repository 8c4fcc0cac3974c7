//! A proxy in front of Pebble that does what Pebble never does: rate limits, renewal information, profiles, outages.
//!
//! Pebble builds its URLs from the Host header and checks the `url` of each JWS against it. The proxy passes the header
//! on as it came, so that every URL points at the proxy and every signature stays good.
//!
//! - [`Answer`]: what is said instead of Pebble.
//! - [`RuleBuilder`]: when something goes wrong, and what.
//! - [`LoggedRequest`]: what was asked.

mod answer;
pub use answer::Answer;

mod body;

mod directory;

mod request;
pub use request::{LoggedRequest, NewOrderRequest, RequestKind};

mod rules;
pub use rules::RuleBuilder;

mod serve;

mod upstream;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};

use chrono::TimeDelta;
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use self::directory::Edit;
use self::rules::Rule;
use crate::pebble::Pebble;
use crate::pki::Pki;
use crate::tree::write_with_mode;

/// A running proxy. Everything can be changed while it runs; it ends when it is dropped.
pub struct FaultProxy {
    shared: Arc<Shared>,
    door: tokio::sync::mpsc::UnboundedSender<serve::Door>,
    runtime: Option<Runtime>,
    folder: TempDir,
    port: u16,
}

/// What the connections and the test's thread both see.
struct Shared {
    state: Mutex<State>,
    upstream: upstream::Address,
}

#[derive(Default)]
struct State {
    rules: Vec<Rule>,
    log: Vec<LoggedRequest>,
    edits: Vec<Edit>,
    renewal_info: BTreeMap<String, Answer>,
    default_renewal_info: Option<Answer>,
    echoes: bool,
    /// `replaces` and `profile` by the last segment of the order's URL.
    echoed: BTreeMap<String, Map<String, Value>>,
    date_shift: TimeDelta,
}

impl FaultProxy {
    /// A proxy that passes everything on, until it is told otherwise.
    pub fn start(pebble: &Pebble) -> Self {
        let folder = tempfile::Builder::new().prefix("fault-proxy-").tempdir().unwrap();
        let now = crate::now();
        let pki = Pki::new(now);
        write_with_mode(&bundle_in(folder.path()), &pki.root_pem(), 0o644);
        let upstream = upstream::Address::new(&pebble.directory_url(), &pebble.ca_bundle());
        let shared = Arc::new(Shared { state: Mutex::default(), upstream });
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("fault-proxy")
            .enable_all()
            .build()
            .unwrap();
        let (port, door) = serve::start(&runtime, &shared, &pki.for_localhost(now));
        Self { shared, door, runtime: Some(runtime), folder, port }
    }

    /// The URL of the ACME directory through the proxy.
    pub fn directory_url(&self) -> String {
        format!("https://127.0.0.1:{}/dir", self.port)
    }

    /// PEM file with the root of the proxy's certificate.
    pub fn ca_bundle(&self) -> PathBuf {
        bundle_in(self.folder.path())
    }

    /// The port on 127.0.0.1 at which it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A rule for requests of this kind: conditions follow, and then what happens. Of several rules that fit, the one
    /// that was made first acts.
    pub fn on(&self, kind: RequestKind) -> RuleBuilder<'_> {
        RuleBuilder::new(self, kind)
    }

    /// Takes all rules back and accepts connections again. What the directory offers, renewal information, the shifted
    /// date and the log stay.
    pub fn clear(&self) {
        self.state().rules.clear();
        self.accept_connections();
    }

    /// An outage: open connections are cut, and new ones are refused by the kernel until
    /// [`FaultProxy::accept_connections`].
    pub fn refuse_connections(&self) {
        assert!(self.turn(serve::Door::Close), "the proxy has ended");
    }

    /// The end of an outage.
    pub fn accept_connections(&self) {
        assert!(self.turn(serve::Door::Open), "port {} was taken during the outage", self.port);
    }

    /// The directory offers `renewalInfo`, which the proxy serves itself. A certificate for which nothing is set is not
    /// found (404), as at Let's Encrypt.
    pub fn offer_renewal_info(&self) {
        self.state().edits.push(Edit::RenewalInfo);
    }

    /// What GET renewalInfo/CERTID says. `cert_id` is that of RFC 9773 section 4.1.
    pub fn set_renewal_info(&self, cert_id: &str, answer: Answer) {
        self.state().renewal_info.insert(cert_id.to_owned(), answer);
    }

    /// What it says for all other certificates.
    pub fn set_default_renewal_info(&self, answer: Answer) {
        self.state().default_renewal_info = Some(answer);
    }

    /// The directory offers these profiles (name, description) in `meta.profiles`.
    pub fn offer_profiles(&self, profiles: &[(&str, &str)]) {
        let profiles: Map<_, _> = profiles.iter().map(|(name, text)| ((*name).to_owned(), json!(text))).collect();
        self.set_in_directory("/meta/profiles", profiles.into());
    }

    /// The directory says `meta.externalAccountRequired`. Pebble itself goes on to accept accounts without a binding,
    /// unless it was started with external accounts.
    pub fn say_external_account_required(&self) {
        self.set_in_directory("/meta/externalAccountRequired", true.into());
    }

    /// Sets a member of the directory, named by a JSON pointer (RFC 6901): `/meta/website`.
    pub fn set_in_directory(&self, pointer: &str, value: Value) {
        self.state().edits.push(Edit::Set(pointer.to_owned(), value));
    }

    /// Removes a member of the directory, named by a JSON pointer: `/keyChange`.
    pub fn remove_from_directory(&self, pointer: &str) {
        self.state().edits.push(Edit::Remove(pointer.to_owned()));
    }

    /// From now on orders show the `replaces` and `profile` with which they were placed, as a CA does that knows them
    /// (RFC 9773 section 5, draft-ietf-acme-profiles section 4).
    pub fn echo_order_members(&self) {
        self.state().echoes = true;
    }

    /// Shifts the Date header of all answers; zero for the right time.
    pub fn shift_date(&self, shift: TimeDelta) {
        self.state().date_shift = shift;
    }

    /// All requests so far, in the order in which they came; those that a rule kept from Pebble too.
    pub fn log(&self) -> Vec<LoggedRequest> {
        self.state().log.clone()
    }

    /// How many requests of a kind came.
    pub fn count(&self, kind: RequestKind) -> usize {
        self.state().log.iter().filter(|request| request.kind == kind).count()
    }

    /// The newOrder requests so far. One that is repeated, after badNonce for example, is there each time.
    pub fn new_orders(&self) -> Vec<NewOrderRequest> {
        let state = self.state();
        state.log.iter().filter_map(NewOrderRequest::read).collect()
    }

    /// Over how many TCP connections the requests of a kind came.
    pub fn connections(&self, kind: RequestKind) -> usize {
        let state = self.state();
        let connections: BTreeSet<_> =
            state.log.iter().filter(|request| request.kind == kind).map(|request| request.connection).collect();
        connections.len()
    }

    /// Forgets the requests so far, so that a test counts from here.
    pub fn forget_log(&self) {
        self.state().log.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }

    /// Waits until it is done; false when the listener has ended.
    fn turn(&self, door: fn(mpsc::Sender<()>) -> serve::Door) -> bool {
        let (done, wait) = mpsc::channel();
        self.door.send(door(done)).is_ok() && wait.recv().is_ok()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        // When this returns, nobody listens any more.
        self.turn(serve::Door::Close);
        if let Some(runtime) = self.runtime.take() {
            // Tests are often async themselves, where waiting for another runtime is not allowed.
            runtime.shutdown_background();
        }
    }
}

fn bundle_in(folder: &Path) -> PathBuf {
    folder.join("root.pem")
}
