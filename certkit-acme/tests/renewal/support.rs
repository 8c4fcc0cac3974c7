//! A CA, a tree with a registered account, and a renewer that keeps what it is told.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use certkit_acme::accounts;
use certkit_acme::dns::ResolverSettings;
use certkit_acme::protocol::{Authority, NewAccount};
use certkit_acme::renewal::{HookRun, Observer, Renewer, Report, ReportEntry, Request};
use certkit_acme::transport::{Transport, TransportSettings};
use certkit_acme::{AwsLcKeyMath, Stop};
use certkit_core::state::{Event, LineageState};
use certkit_core::store::{Kind, Lineage, Store, StorePaths};
use certkit_core::{AcmeUrl, LineageName, Version};
use testkit::{FaultProxy, Pebble, PebbleOptions, Tree};

pub(crate) struct World {
    /// In front of Pebble, where a test wants it.
    proxy: Option<FaultProxy>,
    pub(crate) pebble: Pebble,
    pub(crate) tree: Tree,
    pub(crate) account: String,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) seen: Arc<Seen>,
}

/// An observer that keeps everything and can be asked to tell when an event comes.
#[derive(Default)]
pub(crate) struct Seen {
    events: Mutex<Vec<(String, Event)>>,
    hooks: Mutex<Vec<String>>,
    when: Mutex<Option<Trigger>>,
}

struct Trigger {
    event: &'static str,
    act: Box<dyn Fn() + Send>,
}

impl Drop for World {
    fn drop(&mut self) {
        make_writable(&self.tree.config_dir().join("certkit"));
    }
}

impl World {
    pub(crate) async fn new(options: PebbleOptions) -> Self {
        Self::of(Pebble::start(options), None).await
    }

    /// A world whose CA fails as it is told to.
    pub(crate) async fn with_faults(options: PebbleOptions) -> Self {
        let pebble = Pebble::start(options);
        let proxy = FaultProxy::start(&pebble);
        Self::of(pebble, Some(proxy)).await
    }

    async fn of(pebble: Pebble, proxy: Option<FaultProxy>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tree = Tree::new(folder.path().join("le"), testkit::now());
        let mut world = Self { proxy, pebble, tree, account: String::new(), folder, seen: Arc::default() };
        world.account = world.register().await;
        world
    }

    pub(crate) fn store(&self) -> Store {
        Store::open(self.paths()).unwrap()
    }

    pub(crate) fn paths(&self) -> StorePaths {
        let root = self.folder.path();
        StorePaths::new(self.tree.config_dir().to_owned(), root.join("work"), root.join("logs"))
    }

    pub(crate) fn proxy(&self) -> &FaultProxy {
        self.proxy.as_ref().unwrap()
    }

    pub(crate) fn server(&self) -> String {
        self.proxy.as_ref().map_or_else(|| self.pebble.directory_url(), FaultProxy::directory_url)
    }

    pub(crate) fn directory(&self) -> AcmeUrl {
        AcmeUrl::parse(&self.server()).unwrap()
    }

    pub(crate) fn transport(&self) -> TransportSettings {
        let mut settings = TransportSettings::new();
        settings.ca_bundles.push(self.pebble.ca_bundle());
        settings.ca_bundles.extend(self.proxy.as_ref().map(FaultProxy::ca_bundle));
        settings
    }

    /// The state of a lineage, as it is stored.
    pub(crate) fn state(&self, name: &str) -> LineageState {
        self.store().state(&LineageName::new(name).unwrap()).unwrap().0
    }

    /// The owner's settings for a lineage.
    pub(crate) fn set(&self, name: &str, toml: &str) {
        let file = self.store().paths().lineage_settings_file(&LineageName::new(name).unwrap());
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, toml).unwrap();
    }

    /// Registers an account at a further CA, with a contact, because some want one.
    pub(crate) async fn register_at(&self, directory: &str, ca_bundle: PathBuf) {
        let mut settings = self.transport();
        settings.ca_bundles.push(ca_bundle);
        let transport = Transport::new(&settings).unwrap();
        let authority = Authority::connect(transport, &AcmeUrl::parse(directory).unwrap()).await.unwrap();
        let locked = self.store().lock().unwrap();
        let new = NewAccount::new(vec!["mailto:admin@example.com".into()], true);
        accounts::register_and_save(&locked, &authority, &new, None, testkit::now(), "test").await.unwrap();
    }

    pub(crate) fn renewer(&self) -> Renewer {
        let observer: Arc<dyn Observer> = Arc::clone(&self.seen) as Arc<dyn Observer>;
        let names = ResolverSettings::with_servers(vec![self.pebble.dns_address()]);
        Renewer::builder(self.store()).transport(self.transport()).resolver(names).observer(observer).build().unwrap()
    }

    /// A lineage that is due, validated by the built-in responder on Pebble's port.
    pub(crate) fn due(&self, name: &str) -> testkit::LineageBuilder<'_> {
        self.tree
            .lineage(name)
            .days_left(10)
            .server(&self.server())
            .account(&self.account)
            .standalone(self.pebble.http_port())
    }

    pub(crate) async fn run(&self) -> Report {
        self.run_request(Request::renew()).await
    }

    pub(crate) async fn run_request(&self, request: Request) -> Report {
        self.renewer().run(request, &Stop::new()).await.unwrap()
    }

    pub(crate) fn lineage(&self, name: &str) -> Lineage {
        self.store().lineage(&LineageName::new(name).unwrap()).unwrap().unwrap()
    }

    /// The live version, which must be whole: key, chain and signatures fit.
    pub(crate) fn whole_version(&self, name: &str) -> u32 {
        let lineage = self.lineage(name);
        lineage.check_live(Some(&AwsLcKeyMath::new())).unwrap();
        let Version(version) = lineage.live_version().unwrap();
        version
    }

    pub(crate) fn live(&self, name: &str, kind: Kind) -> PathBuf {
        self.lineage(name).live_path(kind).to_owned()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn register(&self) -> String {
        let transport = Transport::new(&self.transport()).unwrap();
        let authority = Authority::connect(transport, &self.directory()).await.unwrap();
        let locked = self.store().lock().unwrap();
        let new = NewAccount::new(Vec::new(), true);
        let saved = accounts::register_and_save(&locked, &authority, &new, None, testkit::now(), "test").await.unwrap();
        saved.stored.id
    }
}

impl Seen {
    /// Calls `act` when an event of this kind comes, once it is durable.
    pub(crate) fn when(&self, event: &'static str, act: impl Fn() + Send + 'static) {
        *self.trigger() = Some(Trigger { event, act: Box::new(act) });
    }

    pub(crate) fn never(&self) {
        *self.trigger() = None;
    }

    /// A crash that a test wants happens while it is locked.
    fn trigger(&self) -> std::sync::MutexGuard<'_, Option<Trigger>> {
        self.when.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The kinds of the events of a lineage, in order.
    pub(crate) fn kinds(&self, lineage: &str) -> Vec<String> {
        self.events.lock().unwrap().iter().filter(|(name, _)| name == lineage).map(|(_, event)| kind(event)).collect()
    }

    /// The lineages of these events in the order in which the events came.
    pub(crate) fn order_of(&self, wanted: &[(&str, &str)]) -> Vec<String> {
        let events = self.events.lock().unwrap();
        let is_wanted = |name: &str, event: &Event| wanted.iter().any(|(of, what)| *of == name && *what == kind(event));
        events.iter().filter(|(name, event)| is_wanted(name, event)).map(|(name, _)| name.clone()).collect()
    }

    pub(crate) fn hooks(&self) -> Vec<String> {
        self.hooks.lock().unwrap().clone()
    }

    pub(crate) fn forget(&self) {
        self.events.lock().unwrap().clear();
        self.hooks.lock().unwrap().clear();
    }
}

impl Observer for Seen {
    fn event(&self, lineage: &LineageName, event: &Event) {
        self.events.lock().unwrap().push((lineage.to_string(), event.clone()));
        if let Some(trigger) = &*self.trigger()
            && trigger.event == kind(event)
        {
            (trigger.act)();
        }
    }

    fn hook(&self, hook: &HookRun) {
        self.hooks.lock().unwrap().push(hook.command.clone());
    }
}

/// A file of certkit's memory becomes a link that the system cannot follow, for its target's name has one byte more than
/// NAME_MAX: not even root reads it.
pub(crate) fn make_unreadable(file: &Path) {
    let _ = std::fs::remove_file(file);
    std::os::unix::fs::symlink("x".repeat(256), file).unwrap();
}

/// A file of certkit's memory is not to be written or replaced, not even by root, until the world ends.
pub(crate) fn make_unwritable(file: &Path) {
    if !file.exists() {
        std::fs::write(file, "").unwrap();
    }
    let status = Command::new("sh").args(["-c", &making_unwritable(file)]).status().unwrap();
    assert!(status.success(), "chattr is missing (install e2fsprogs), or this is not root: {status}");
}

/// The shell's words for [`make_unwritable`].
pub(crate) fn making_unwritable(file: &Path) -> String {
    format!("chattr +i {}", file.display())
}

/// Can be written again.
pub(crate) fn make_writable(dir: &Path) {
    let _ = Command::new("chattr").args(["-R", "-f", "-i"]).arg(dir).status();
}

pub(crate) fn entry<'a>(report: &'a Report, name: &str) -> &'a ReportEntry {
    report.entries.iter().find(|entry| entry.name == name).unwrap_or_else(|| panic!("no entry for {name}: {report:?}"))
}

/// The word for an event in the history file.
fn kind(event: &Event) -> String {
    serde_json::to_value(event).unwrap()["event"].as_str().unwrap().to_owned()
}
