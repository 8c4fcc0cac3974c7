//! The owner's settings: `certkit/settings.toml` and `certkit/lineages/NAME.toml`. Nothing is written there but `email`,
//! when the owner asks for it.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::files::Attributes;
use super::{LockedStore, Store, StoreError, StorePaths, files, folder_names, read};
use crate::settings::{
    DeploySetting, LineageSettings, MailAddress, Settings, SettingsError, SettingsProblem, SettingsProblemCode as Code,
    Sourced, with_email,
};
use crate::{Hindrance, LineageName, escape};

impl Store {
    /// What the owner set for all certificates. Without `certkit/settings.toml` the defaults apply; one that cannot be read
    /// or holds anything wrong is an error with all its problems, and no run may begin.
    pub fn settings(&self) -> Result<Settings, SettingsError> {
        let path = self.paths.settings_file();
        match self.owners_file(&path)? {
            Some(content) => Settings::parse(&content).map_err(|problems| SettingsError::new(path, problems)),
            None => Ok(Settings::default()),
        }
    }

    /// How the owner can be told that the settings cannot be used: see [`Settings::for_telling`]. A file that cannot be read,
    /// or that others could have written, tells of nobody.
    pub fn settings_for_telling(&self) -> Settings {
        let content = self.owners_file(&self.paths.settings_file()).ok().flatten();
        content.map_or_else(Settings::default, |content| Settings::for_telling(&content))
    }

    /// The environment variables in which there are secrets, by all that can be read of the settings: no program that is started
    /// has a use for them, whatever else is wrong there.
    pub fn secret_variables(&self) -> Vec<String> {
        self.settings_for_telling().secret_variables().into_iter().map(str::to_owned).collect()
    }

    /// What applies to one certificate: its own file over `settings`, in which flags may have had their say
    /// ([`Sourced::with_flag`]) and then keep it. A file with anything wrong in it is an error of this certificate alone.
    pub fn lineage_settings(&self, settings: &Settings, name: &LineageName) -> Result<LineageSettings, SettingsError> {
        let path = self.paths.lineage_settings_file(name);
        let Some(content) = self.owners_file(&path)? else { return Ok(LineageSettings::inherited(settings)) };
        let read = LineageSettings::parse(&content, settings, name, &self.paths).and_then(|read| {
            // By way of links, what the text of a path does not show.
            let problems: Vec<_> =
                read.deploy.iter().filter_map(|target| inside_by_links(&self.paths, target)).collect();
            if problems.is_empty() { Ok(read) } else { Err(problems) }
        });
        read.map_err(|problems| SettingsError::new(path, problems))
    }

    /// Whether everybody on this machine can read `certkit/settings.toml`: secrets in it are none then.
    pub fn settings_are_public(&self) -> bool {
        const READABLE_FOR_OTHERS: u32 = 0o004;
        const PASSABLE_FOR_OTHERS: u32 = 0o001;
        let mode = |path: &Path| std::fs::metadata(path).map_or(0, |meta| meta.mode());
        mode(&self.paths.settings_file()) & READABLE_FOR_OTHERS != 0
            && mode(&self.paths.own_dir()) & PASSABLE_FOR_OTHERS != 0
    }

    /// What lies in `certkit/lineages/` and belongs to no `renewal/NAME.conf`, sorted: nothing reads it. Names that begin
    /// with a dot or end in `~` are passed over, as editors leave them.
    pub fn orphaned_settings(&self) -> Result<Vec<PathBuf>, StoreError> {
        let dir = self.paths.lineage_settings_dir();
        let mut orphans = Vec::new();
        for file in folder_names(&dir)? {
            let shown = file.as_encoded_bytes();
            if shown.starts_with(b".") || shown.ends_with(b"~") {
                continue;
            }
            let has_conf = match lineage_of(&file) {
                Some(name) => files::exists(&self.paths.conf(&name))?,
                None => false,
            };
            if !has_conf {
                orphans.push(dir.join(file));
            }
        }
        orphans.sort_unstable();
        Ok(orphans)
    }

    /// The content of a file of settings; none when there is none. There may be passwords in it.
    fn owners_file(&self, path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, SettingsError> {
        let unreadable = |what: &str, cure: &str| {
            let problem = SettingsProblem::new(Code::Unreadable, None, "", what, cure);
            SettingsError::new(path, vec![problem])
        };
        match read::bounded_if(path, Settings::MAX_BYTES, |stat| writers(stat.st_uid, stat.st_mode)) {
            Ok(content) => {
                // Whoever can exchange the file can put one there that somebody else owns.
                for folder in self.folders_above(path) {
                    let meta =
                        std::fs::metadata(folder).map_err(|error| unreadable(&error.to_string(), RUN_AS_OWNER))?;
                    writers(meta.uid(), meta.mode())
                        .map_err(|error| unreadable(&format!("{}: {error}", folder.display()), CORRECT_WRITERS))?;
                }
                Ok(Some(Zeroizing::new(content)))
            }
            Err(error) if error.source.kind() == io::ErrorKind::NotFound && self.is_absent(path) => Ok(None),
            Err(error) => {
                let cure = match (error.source.kind(), Hindrance::of(&error.source)) {
                    (io::ErrorKind::PermissionDenied, _) if error.source.raw_os_error().is_none() => CORRECT_WRITERS,
                    (_, Some(hindrance)) => hindrance.cure(),
                    (io::ErrorKind::FileTooLarge, None) => "keep settings only in it",
                    (_, None) => "put a file of settings there, or remove it",
                };
                Err(unreadable(&error.source.to_string(), cure))
            }
        }
    }

    /// Whether there is nothing of this name, nor a link to nothing in its place or on the way from the config dir.
    fn is_absent(&self, path: &Path) -> bool {
        std::iter::once(path).chain(self.folders_above(path)).all(|place| {
            let is_link = std::fs::symlink_metadata(place).is_ok_and(|meta| meta.is_symlink());
            !is_link || std::fs::metadata(place).is_ok()
        })
    }

    /// The folders that lead from the config dir to a file.
    fn folders_above<'p>(&'p self, path: &'p Path) -> impl Iterator<Item = &'p Path> {
        path.ancestors().skip(1).take_while(|folder| *folder != self.paths.config_dir)
    }
}

impl LockedStore {
    /// Sets `email` in `certkit/settings.toml`, or removes it; everything else in the file stays as it is. A file that
    /// cannot be used as it stands is not changed. Tells whether anything was changed.
    pub fn set_email(&self, addresses: &[MailAddress]) -> Result<bool, SetEmailError> {
        let _writing = self.writing();
        let path = self.paths().settings_file();
        let old = self.store.owners_file(&path)?;
        let content = old.as_ref().map_or(&[][..], |old| old.as_slice());
        let new = with_email(content, addresses).map_err(|problems| SettingsError::new(&path, problems))?;
        if new.as_bytes() == content {
            return Ok(false);
        }
        files::ensure_own_dir(&self.paths().own_dir(), &self.paths().own_dir())?;
        // Where it is a link, the link stays.
        let real = if old.is_some() {
            std::fs::canonicalize(&path).map_err(|error| StoreError::new("read", &path, error))?
        } else {
            path
        };
        let attributes = if old.is_some() { Attributes::public_like(Some(&real)) } else { Attributes::ours(&real) };
        files::replace(&real, new.as_bytes(), &attributes)?;
        Ok(true)
    }
}

/// `email` could not be changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetEmailError {
    /// The file cannot be used as it stands, or not without an address.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// It cannot be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

const RUN_AS_OWNER: &str = "run as the user who owns it (usually root), or correct its mode";
const CORRECT_WRITERS: &str =
    "make sure that the content is yours, then: chown it to root (or to the user who runs certkit) and chmod it go-w";

/// Settings name commands that are run: nobody else may have written them. As with the hooks in `renewal-hooks/`, root and
/// the running user may.
fn writers(owner: u32, mode: u32) -> io::Result<()> {
    const WRITABLE_FOR_OTHERS: u32 = 0o002;
    let denied = |why: String| Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    if owner != 0 && owner != rustix::process::geteuid().as_raw() {
        return denied(format!("it belongs to user {owner}, neither root nor the user who runs this"));
    }
    if mode & WRITABLE_FOR_OTHERS != 0 {
        return denied("everybody on this machine can write to it".to_owned());
    }
    Ok(())
}

/// The lineage whose file of settings has this name.
fn lineage_of(file: &OsString) -> Option<LineageName> {
    LineageName::new(file.to_str()?.strip_suffix(".toml")?).ok()
}

/// A target whose folder is the store's own once links are followed.
fn inside_by_links(paths: &StorePaths, target: &Sourced<DeploySetting>) -> Option<SettingsProblem> {
    let own: Vec<PathBuf> = paths.own_folders().filter_map(|own| real_of_what_exists(&own)).collect();
    let inside = target.value.files().into_iter().find(|file| {
        // The file itself may be a link that is replaced by the new file; a folder on the way is followed.
        let folder = file.parent().and_then(real_of_what_exists);
        folder.is_some_and(|folder| own.iter().any(|own| folder.starts_with(own)))
    })?;
    Some(SettingsProblem::new(
        Code::InsideStore,
        target.origin.line(),
        "deploy",
        format!("{} lies, by way of links, in a folder of the store's own", escape(&inside.display().to_string())),
        "write to a folder outside: what lies there is written by renewals alone",
    ))
}

/// A folder without links in its path, as far as it exists.
fn real_of_what_exists(folder: &Path) -> Option<PathBuf> {
    folder.ancestors().find_map(|place| {
        let real = std::fs::canonicalize(place).ok()?;
        Some(real.join(folder.strip_prefix(place).ok()?))
    })
}
