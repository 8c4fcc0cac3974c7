//! Whether the user whom a service runs as can read the private key.

use std::ffi::CString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use certkit_core::{Finding, FindingCode, escape};
use nix::unistd::{Gid, Group, User, getgrouplist};

use super::{Check, Examined, Machine};

/// What systemd tells of a service.
pub(super) struct ServiceState {
    pub(super) is_active: bool,
    pub(super) can_reload: bool,
    user: String,
    groups: Vec<String>,
}

impl ServiceState {
    /// Asks systemd; none when it does not know the unit.
    pub(super) async fn of(unit: &str, machine: &Machine) -> Result<Option<Self>, String> {
        const PROPERTIES: &str = "--property=LoadState,ActiveState,CanReload,User,Group,SupplementaryGroups";
        let shown = machine.answer("systemctl", &["show", PROPERTIES, "--", unit]).await?;
        let value =
            |name: &str| shown.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default();
        if value("LoadState").is_empty() {
            return Err("systemctl says nothing of it".to_owned());
        }
        if value("LoadState") == "not-found" {
            return Ok(None);
        }
        let groups = value("Group").split_whitespace().chain(value("SupplementaryGroups").split_whitespace());
        Ok(Some(Self {
            is_active: matches!(value("ActiveState"), "active" | "reloading" | "activating"),
            can_reload: value("CanReload") != "no",
            user: value("User").to_owned(),
            groups: groups.map(str::to_owned).collect(),
        }))
    }
}

/// Whether the user of a service (`User=` of its unit) can read one of these files, which hold the key. A service without
/// `User=` begins as root and is not looked at: most servers read their keys before they give up root's rights.
pub async fn check_service_reads(unit: &str, keys: &[PathBuf], machine: &Machine) -> Option<Examined> {
    let state = ServiceState::of(unit, machine).await.ok().flatten()?;
    if state.user.is_empty() || state.user == "root" || state.user == "0" {
        return None;
    }
    let (unit, keys) = (unit.to_owned(), keys.to_vec());
    tokio::task::spawn_blocking(move || check(&unit, &state, &keys)).await.ok()
}

fn check(unit: &str, state: &ServiceState, keys: &[PathBuf]) -> Examined {
    let who = match Who::named(&state.user, &state.groups) {
        Ok(who) => who,
        // DynamicUser= makes one when the service starts.
        Err(why) => return Examined::not_checked(Check::ServiceReads, unit, why),
    };
    let refusals: Vec<String> = keys.iter().filter_map(|key| who.refusal(key)).collect();
    if refusals.len() < keys.len() || keys.is_empty() {
        return Examined::fine(Check::ServiceReads, unit);
    }
    let evidence = format!("{} runs as {}: {}", escape(unit), escape(&state.user), refusals.join("; "));
    let cure = format!(
        "give the service a copy of its own: in certkit/lineages/NAME.toml a [[deploy]] table with `copy = \"FOLDER\"` and `owner = \"{}\"`",
        escape(&state.user)
    );
    Examined::found(
        Check::ServiceReads,
        unit,
        vec![Finding::new(FindingCode::ServiceCannotReadKey, unit, evidence).with_cure(cure)],
    )
}

/// A user with all groups.
struct Who {
    uid: u32,
    gids: Vec<u32>,
}

impl Who {
    fn named(user: &str, groups: &[String]) -> Result<Self, String> {
        let by_number =
            user.parse().ok().and_then(|uid| User::from_uid(nix::unistd::Uid::from_raw(uid)).ok().flatten());
        let found = User::from_name(user).ok().flatten().or(by_number);
        let Some(found) = found else {
            return Err(format!("its user {} is not known while it does not run", escape(user)));
        };
        let name = CString::new(found.name.as_str()).map_err(|error| error.to_string())?;
        let mut gids: Vec<u32> =
            getgrouplist(&name, found.gid).unwrap_or_default().into_iter().map(Gid::as_raw).collect();
        gids.push(found.gid.as_raw());
        gids.extend(
            groups.iter().filter_map(|group| Group::from_name(group).ok().flatten().map(|one| one.gid.as_raw())),
        );
        Ok(Self { uid: found.uid.as_raw(), gids })
    }

    /// Why this user cannot read a file; none when it can. Access lists beyond the mode are not looked at.
    fn refusal(&self, file: &Path) -> Option<String> {
        const READ: u32 = 0o4;
        const SEARCH: u32 = 0o1;
        let real = match std::fs::canonicalize(file) {
            Ok(real) => real,
            Err(error) => return Some(format!("{}: {error}", escape(&file.to_string_lossy()))),
        };
        let mut path = PathBuf::new();
        for part in real.components() {
            path.push(part);
            let Ok(metadata) = std::fs::metadata(&path) else { continue };
            let wanted = if metadata.is_dir() { SEARCH } else { READ };
            if !self.has(&metadata, wanted) {
                return Some(format!(
                    "{} has mode {:04o}, owner {} and group {}",
                    escape(&path.to_string_lossy()),
                    metadata.mode() & 0o7777,
                    super::key_access::user(metadata.uid()),
                    super::key_access::group(metadata.gid()),
                ));
            }
        }
        None
    }

    fn has(&self, metadata: &std::fs::Metadata, wanted: u32) -> bool {
        let mode = metadata.mode();
        let class = if metadata.uid() == self.uid {
            mode >> 6
        } else if self.gids.contains(&metadata.gid()) {
            mode >> 3
        } else {
            mode
        };
        class & wanted == wanted
    }
}
