//! The owner's settings as files.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use certkit_core::settings::{LineageSettings, Settings, SettingsError, SettingsProblemCode};
use certkit_core::store::{LiveSwitch, Store};

use crate::support::*;

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(temp_dir());
        fs::create_dir_all(place.at("certkit/lineages")).unwrap();
        place
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn store(&self) -> Store {
        store(self.0.path())
    }

    fn global(&self, content: impl AsRef<[u8]>) -> Result<Settings, SettingsError> {
        fs::write(self.at("certkit/settings.toml"), content).unwrap();
        self.store().settings()
    }

    fn own(&self, content: &str) -> Result<LineageSettings, SettingsError> {
        fs::write(self.at("certkit/lineages/a.example.org.toml"), content).unwrap();
        self.store().lineage_settings(&Settings::default(), &name())
    }
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn absent_files_mean_the_defaults_and_nothing_is_written() {
    let dir = temp_dir();
    let store = store(dir.path());
    let settings = store.settings().unwrap();
    assert_eq!(settings, Settings::default());
    assert_eq!(store.lineage_settings(&settings, &name()).unwrap(), LineageSettings::default());
    assert!(store.orphaned_settings().unwrap().is_empty());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn both_files_are_read() {
    let place = Place::new();
    let settings = place.global("revocation_check = false\n").unwrap();
    fs::write(place.at("certkit/lineages/a.example.org.toml"), "live_switch = \"links\"\n").unwrap();
    let own = place.store().lineage_settings(&settings, &name()).unwrap();
    assert_eq!(own.live_switch.value, LiveSwitch::Links);
    assert!(!own.revocation_check.value);
}

#[test]
fn an_error_names_the_file_and_every_problem() {
    let place = Place::new();
    let error = place.global("a = 1\nparallel_orders = 0\n").unwrap_err();
    assert_eq!(error.path, place.at("certkit/settings.toml"));
    let text = error.to_string();
    assert!(text.contains("certkit/settings.toml cannot be used: line 1: `a` is not known; line 2: "), "{text}");
    assert!(error.cure().contains("certkit config check"));
    let only = place.global("parallel_orders = 0\n").unwrap_err();
    assert_eq!(only.cure(), "write a number from 1 to 64");
    // The global file is no business of this one, and this one's is no business of others.
    let own = place.own("x = 1\n").unwrap_err();
    assert_eq!(own.path, place.at("certkit/lineages/a.example.org.toml"));
    let other = certkit_core::LineageName::new("b.example.org").unwrap();
    assert!(place.store().lineage_settings(&Settings::default(), &other).is_ok());
}

#[track_caller]
fn unreadable<T: std::fmt::Debug>(result: Result<T, SettingsError>, expected: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.problems.len(), 1);
    assert_eq!(error.problems[0].code, SettingsProblemCode::Unreadable);
    assert!(error.problems[0].what.contains(expected), "{error}");
    assert!(!error.cure().is_empty());
}

#[test]
fn what_is_no_readable_file_is_an_error_and_no_absence() {
    let place = Place::new();
    let path = place.at("certkit/settings.toml");
    let read = || place.store().settings();
    fs::create_dir(&path).unwrap();
    unreadable(read(), "it is a directory, not a regular file");
    fs::remove_dir(&path).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    unreadable(read(), "it is a pipe");
    fs::remove_file(&path).unwrap();
    symlink("/nonexistent/settings.toml", &path).unwrap();
    unreadable(read(), "No such file");
    fs::remove_file(&path).unwrap();
    symlink("/dev/zero", &path).unwrap();
    unreadable(read(), "it is a device");
    fs::remove_file(&path).unwrap();
    fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
    unreadable(read(), "it is larger than 65536 bytes");
    fs::remove_file(&path).unwrap();
    assert!(read().is_ok());
    // The folder leads nowhere, or is none.
    fs::rename(place.at("certkit"), place.at("moved")).unwrap();
    symlink("/nonexistent/certkit", place.at("certkit")).unwrap();
    unreadable(read(), "No such file");
    unreadable(place.store().lineage_settings(&Settings::default(), &name()), "No such file");
    fs::remove_file(place.at("certkit")).unwrap();
    fs::write(place.at("certkit"), "").unwrap();
    unreadable(read(), "Not a directory");
}

#[test]
fn a_link_to_a_file_is_followed() {
    let place = Place::new();
    fs::write(place.at("elsewhere.toml"), "parallel_orders = 2\n").unwrap();
    symlink("../elsewhere.toml", place.at("certkit/settings.toml")).unwrap();
    assert_eq!(place.store().settings().unwrap().parallel_orders.value, 2);
}

#[test]
fn what_others_could_have_written_is_not_used() {
    let place = Place::new();
    place.global("").unwrap();
    let path = place.at("certkit/settings.toml");
    mode(&path, 0o602);
    unreadable(place.store().settings(), "everybody on this machine can write to it");
    mode(&path, 0o600);
    mode(&place.at("certkit"), 0o777);
    unreadable(place.store().settings(), "everybody on this machine can write to it");
    place.own("").unwrap_err();
    mode(&place.at("certkit"), 0o700);
    assert!(place.store().settings().is_ok());
    place.own("").unwrap();
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&path, Some(12_345), None).unwrap();
        unreadable(place.store().settings(), "it belongs to user 12345");
    }
}

#[test]
fn a_folder_that_leads_into_the_store_is_no_target() {
    let place = Place::new();
    fs::create_dir_all(place.at("live/a.example.org")).unwrap();
    fs::create_dir_all(place.at("real-archive")).unwrap();
    symlink("real-archive", place.at("archive")).unwrap();
    symlink(place.at("live"), place.at("out")).unwrap();
    let at = |path: &str| place.at(path).display().to_string();
    for folder in ["out/a.example.org", "out/not-yet", "real-archive"] {
        let error = place.own(&format!("\n[[deploy]]\ncombined = \"{}/x.pem\"\n", at(folder))).unwrap_err();
        assert_eq!(error.problems[0].code, SettingsProblemCode::InsideStore, "{error}");
        assert_eq!(error.problems[0].line, Some(3));
    }
    assert!(place.own(&format!("[[deploy]]\ncombined = \"{}/x.pem\"\n", at("elsewhere/new"))).is_ok());
}

#[test]
fn files_without_a_conf_are_told_of() {
    let place = Place::new();
    lay_lineage(place.0.path(), &name(), &["v1"]);
    for file in ["a.example.org.toml", "b.example.org.toml", "a.example.org", ".a.swp", "a.example.org.toml~", "-.toml"]
    {
        fs::write(place.at("certkit/lineages").join(file), "").unwrap();
    }
    let orphans = place.store().orphaned_settings().unwrap();
    let expected =
        ["-.toml", "a.example.org", "b.example.org.toml"].map(|file| place.at("certkit/lineages").join(file));
    assert_eq!(orphans, expected);
}
