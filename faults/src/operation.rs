//! The operations that change a tree.

use std::fs;
use std::path::Path;

use testkit::Tree;

use crate::look::{Live, live_pair};
use crate::world::{Place, World};

/// The lineage that most operations are about. It is due.
pub const DUE: &str = "a.example.org";
/// A lineage that nothing happens to.
pub const OTHER: &str = "b.example.org";
/// The lineage that is made.
pub const MADE: &str = "n.example.org";

/// The mail address that is set.
const ADDRESS: &str = "owner@example.org";

/// What changes a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// `certonly` on an empty config directory, the account included.
    FirstSave,
    /// `certonly` for one more lineage.
    FurtherLineage,
    /// `renew`; an old version is removed by it.
    Renewal,
    /// `renew` of a lineage that keeps its key.
    RenewalWithTheSameKey,
    /// `delete`.
    Delete,
    /// `reconfigure`, which writes the conf.
    ConfRewrite,
    /// `register`.
    Register,
    /// `update_account --email`.
    AccountAddress,
    /// `update_account --new-key`, which also changes the confs.
    AccountKey,
    /// `rollback`.
    Rollback,
}

/// How far an operation got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Everything is as before.
    Old,
    /// It is done.
    New,
}

impl Operation {
    /// All.
    pub const ALL: [Self; 10] = [
        Self::FirstSave,
        Self::FurtherLineage,
        Self::Renewal,
        Self::RenewalWithTheSameKey,
        Self::Delete,
        Self::ConfRewrite,
        Self::Register,
        Self::AccountAddress,
        Self::AccountKey,
        Self::Rollback,
    ];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::FirstSave => "first save",
            Self::FurtherLineage => "further lineage",
            Self::Renewal => "renewal",
            Self::RenewalWithTheSameKey => "renewal, same key",
            Self::Delete => "delete",
            Self::ConfRewrite => "conf rewrite",
            Self::Register => "account, register",
            Self::AccountAddress => "account, address",
            Self::AccountKey => "account, new key",
            Self::Rollback => "rollback",
        }
    }

    /// Whether it renews a lineage.
    pub fn renews(self) -> bool {
        matches!(self, Self::Renewal | Self::RenewalWithTheSameKey)
    }

    /// A place in which it can begin.
    pub fn prepare(self, world: &World) -> Place {
        let place = Place::new();
        if self == Self::FirstSave {
            fs::create_dir(place.tree()).unwrap();
            return place;
        }
        let tree = Tree::new(place.tree(), testkit::now());
        if self == Self::Register {
            lay(&tree, &place, OTHER, world, None, &[]);
            return place;
        }
        let account = register(world, &place);
        lay(&tree, &place, OTHER, world, Some(&account), &[]);
        match self {
            // So many versions are kept, and with one more the oldest goes.
            Self::Renewal => due(&tree, &place, world, &account, 6, &[]),
            Self::RenewalWithTheSameKey => due(&tree, &place, world, &account, 2, &[("reuse_key", "True")]),
            Self::Delete => due(&tree, &place, world, &account, 2, &[]),
            Self::ConfRewrite | Self::AccountKey => lay(&tree, &place, DUE, world, Some(&account), &[]),
            Self::Rollback => {
                tree.lineage(DUE)
                    .versions(2)
                    .days_left(80)
                    // The old version has less left than is usual, and stays all the same.
                    .top("renew_before_expiry", "5 days")
                    .server(&world.ca().directory_url())
                    .account(&account)
                    .webroot(place.webroot())
                    .deploy_hook(&place.deploy_hook())
                    .write();
            }
            Self::FirstSave | Self::FurtherLineage | Self::Register | Self::AccountAddress => {}
        }
        // Deleting would leave the folder for its sake.
        if self != Self::Delete && place.tree().join("live").join(DUE).is_dir() {
            fs::write(place.tree().join("live").join(DUE).join("owner.txt"), "the owner's").unwrap();
        }
        place
    }

    /// The command line for it.
    pub fn arguments(self, world: &World, folder: &Path) -> Vec<String> {
        let server = world.ca().directory_url();
        let webroot = folder.join("www").to_str().unwrap().to_owned();
        let hook = crate::world::deploy_hook(folder);
        let certonly = ["certonly", "-n", "--webroot", "-w", &webroot, "-d", MADE, "--server", &server, "--no-probe"];
        let certonly = [certonly.as_slice(), &["--deploy-hook", &hook]].concat();
        let arguments: Vec<&str> = match self {
            Self::FirstSave => [certonly.as_slice(), &["--agree-tos", "--register-unsafely-without-email"]].concat(),
            Self::FurtherLineage => certonly,
            Self::Renewal | Self::RenewalWithTheSameKey => RENEW.to_vec(),
            Self::Delete => vec!["delete", "-n", "--cert-name", DUE],
            Self::ConfRewrite => vec!["reconfigure", "-n", "--cert-name", DUE, "--deploy-hook", "true"],
            Self::Register => {
                vec!["register", "-n", "--agree-tos", "--email", ADDRESS, "--server", &server]
            }
            Self::AccountAddress => vec!["update_account", "-n", "--email", ADDRESS, "--server", &server],
            Self::AccountKey => vec!["update_account", "-n", "--new-key", "--server", &server],
            Self::Rollback => vec!["rollback", "--cert-name", DUE, "--to", "1", "--no-probe"],
        };
        arguments.into_iter().map(str::to_owned).collect()
    }

    /// How far it got in this tree, or what is neither before nor after it. `before` is what was live.
    pub fn progress(self, tree: &Path, before: &Live) -> Result<Progress, String> {
        let is_there = |path: &str| fs::symlink_metadata(tree.join(path)).is_ok();
        let new = |done: bool| Ok(if done { Progress::New } else { Progress::Old });
        match self {
            Self::FirstSave | Self::FurtherLineage => new(is_there(&format!("renewal/{MADE}.conf"))),
            Self::Renewal | Self::RenewalWithTheSameKey | Self::Rollback => {
                let (old, now) = (&before[DUE], live_pair(tree, DUE)?);
                if now == *old {
                    return Ok(Progress::Old);
                }
                // A roll-back that is asked for again after it was finished by recovery is one more version.
                let is_next = (now.version == old.version + 1 || self == Self::Rollback && now.version > old.version)
                    && now.serial != old.serial
                    && (now.key == old.key) == (self == Self::RenewalWithTheSameKey);
                if is_next { Ok(Progress::New) } else { Err(format!("live is neither {old:?} nor the next: {now:?}")) }
            }
            Self::Delete => new(!is_there(&format!("renewal/{DUE}.conf"))),
            Self::ConfRewrite => {
                let conf =
                    fs::read_to_string(tree.join(format!("renewal/{DUE}.conf"))).map_err(|error| error.to_string())?;
                match (conf.contains("renew_hook = true\n"), conf.contains("hooked")) {
                    (true, false) => Ok(Progress::New),
                    (false, true) => Ok(Progress::Old),
                    _ => Err(format!("a conf that is neither: {conf}")),
                }
            }
            Self::Register => new(!accounts(tree).is_empty()),
            Self::AccountAddress => {
                let settings = fs::read_to_string(tree.join("certkit/settings.toml")).unwrap_or_default();
                new(settings.contains(ADDRESS))
            }
            Self::AccountKey => {
                let conf =
                    fs::read_to_string(tree.join(format!("renewal/{DUE}.conf"))).map_err(|error| error.to_string())?;
                let named: Vec<String> = accounts(tree).into_iter().filter(|id| conf.contains(id.as_str())).collect();
                let old = fs::read_to_string(tree.join("../account")).unwrap_or_default();
                match named.as_slice() {
                    [id] => new(*id != old),
                    _ => Err(format!("the conf names {} accounts that are stored", named.len())),
                }
            }
        }
    }

    /// Whether deploy hooks ran for the version that is live, going by what they noted.
    pub fn hooks_ran(self, tree: &Path, hooked: &str) -> Result<(), String> {
        let name = match self {
            Self::FirstSave | Self::FurtherLineage => MADE,
            Self::Renewal | Self::RenewalWithTheSameKey | Self::Rollback => DUE,
            _ => return Ok(()),
        };
        let link = fs::read_link(tree.join("live").join(name).join("cert.pem")).map_err(|error| error.to_string())?;
        if hooked.lines().any(|line| line == link.to_str().unwrap_or_default()) {
            Ok(())
        } else {
            Err(format!("no deploy hook ran for {}: {hooked:?}", link.display()))
        }
    }
}

/// The run that comes next, by itself.
pub const RENEW: [&str; 4] = ["renew", "-n", "--no-random-sleep-on-renew", "--no-probe"];

/// What the next run finds an hour later. A key that the CA was asked to take a moment ago may still be on its way, so
/// that certkit does not ask about it at once.
pub fn let_time_pass(tree: &Path) {
    for entry in fs::read_dir(tree.join("certkit/rollover")).into_iter().flatten().flatten() {
        let text = fs::read_to_string(entry.path()).unwrap();
        let Ok(mut journal) = serde_json::from_str::<serde_json::Value>(&text) else { continue };
        journal["started"] = (testkit::now() - chrono::TimeDelta::hours(1)).to_rfc3339().into();
        fs::write(entry.path(), journal.to_string()).unwrap();
    }
}

fn due(tree: &Tree, place: &Place, world: &World, account: &str, versions: u32, params: &[(&str, &str)]) {
    let mut lineage = tree
        .lineage(DUE)
        .versions(versions)
        .days_left(5)
        .server(&world.ca().directory_url())
        .account(account)
        .webroot(place.webroot())
        .deploy_hook(&place.deploy_hook());
    for (key, value) in params {
        lineage = lineage.param(key, value);
    }
    lineage.write();
}

/// A lineage that is not due.
fn lay(tree: &Tree, place: &Place, name: &str, world: &World, account: Option<&str>, params: &[(&str, &str)]) {
    let mut lineage = tree.lineage(name).days_left(80).server(&world.ca().directory_url()).webroot(place.webroot());
    lineage = lineage.deploy_hook(&place.deploy_hook());
    for (key, value) in account.map(|id| ("account", id)).iter().chain(params) {
        lineage = lineage.param(key, value);
    }
    lineage.write();
}

/// Registers an account, notes which one beside the tree, and returns its id.
pub fn register(world: &World, place: &Place) -> String {
    let server = world.ca().directory_url();
    let run =
        world.run(place, &["register", "-n", "--agree-tos", "--register-unsafely-without-email", "--server", &server]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let id = accounts(&place.tree()).remove(0);
    fs::write(place.path().join("account"), &id).unwrap();
    id
}

/// The ids of all accounts that are stored.
pub fn accounts(tree: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![tree.join("accounts")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.path().join("private_key.json").is_file() {
                found.push(entry.file_name().into_string().unwrap());
            } else if entry.path().is_dir() {
                folders.push(entry.path());
            }
        }
    }
    found.sort();
    found
}
