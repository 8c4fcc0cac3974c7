//! `[[deploy]]` tables.

use std::path::PathBuf;

use toml::de::DeTable;

use super::SettingsProblemCode as Code;
use super::document::{Lines, Names, Reader, Value};
use super::keys::nearest;
use super::problem::shown;
use super::values::tables;
use super::{DeploySetting, FileAccess, FileKinds, Origin, Sourced};
use crate::LineageName;
use crate::state::DeployTarget;
use crate::store::{Kind, StorePaths};

/// The keys that say what a table is, each with the further keys that belong to it.
const KINDS: [(&str, &[&str]); 5] = [
    ("combined", &["owner", "group", "mode"]),
    ("command", &[]),
    ("copy", &["files", "owner", "group", "mode"]),
    ("der", &["key", "owner", "group", "mode"]),
    ("reload", &["check"]),
];

/// The longest name of a systemd unit (systemd.unit(5)).
const MAX_UNIT_BYTES: usize = 255;

/// Reads the value of `deploy`. What has a problem is left out.
pub(super) fn read(
    reader: &mut Reader,
    value: &Value<'_>,
    name: &LineageName,
    paths: &StorePaths,
) -> Vec<Sourced<DeploySetting>> {
    let Some(tables) = tables(value) else {
        reader.wrong_type("deploy", value, "a list of tables", "write `[[deploy]]` above the keys of each target");
        return Vec::new();
    };
    let mut targets: Vec<Sourced<DeploySetting>> = Vec::new();
    for (place, table) in tables {
        let Some((setting, at)) = Table { reader, paths, place, table }.read() else { continue };
        if let Some(other) = targets.iter().find(|other| clashes(&other.value, &setting)) {
            let earlier = other.origin.line().unwrap_or_default();
            let (what, cure) = if same(&other.value, &setting) {
                (format!("the same target stands in line {earlier}"), "remove one of them")
            } else {
                (format!("it writes to a file of the target in line {earlier}"), "give each target files of its own")
            };
            reader.report(Code::Duplicate, at.span(), "deploy", what, cure);
            continue;
        }
        let line = reader.line(at.span().start);
        targets.push(Sourced::new(setting, Origin::LineageFile { name: name.clone(), line }));
    }
    targets
}

struct Table<'r, 'v, 't> {
    reader: &'r mut Reader,
    paths: &'r StorePaths,
    place: &'v Value<'t>,
    table: &'v DeTable<'t>,
}

impl<'v, 't> Table<'_, 'v, 't> {
    /// The target, and the value that says what it is.
    fn read(mut self) -> Option<(DeploySetting, &'v Value<'t>)> {
        let before = self.reader.count();
        let (kind, further) = self.kind()?;
        for (key, _) in self.table {
            let name = key.get_ref().as_ref();
            if name != kind && !further.contains(&name) {
                self.refuse(key, kind, further);
            }
        }
        let value = self.table.get(kind)?;
        let setting = match kind {
            "combined" => {
                let path = self.path("combined", value, Names::File);
                let access = self.access(true);
                path.zip(access).map(|(path, access)| DeploySetting::Combined { path, access })
            }
            "command" => self.text(kind, value, Lines::Many).map(|command| DeploySetting::Command { command }),
            "copy" => {
                let folder = self.path("copy", value, Names::Folder);
                let files = self.files();
                let holds_key = files.as_ref().is_some_and(|files| files.0.contains(&Kind::Privkey));
                let access = self.access(holds_key);
                folder.zip(files).zip(access).map(|((folder, files), access)| DeploySetting::Copy {
                    folder,
                    files,
                    access,
                })
            }
            "der" => {
                let certificate = self.path("der", value, Names::File);
                let key_value = self.table.get("key");
                let key = key_value.and_then(|value| self.path("key", value, Names::File));
                if let Some(value) = key_value
                    && key.is_some()
                    && key == certificate
                {
                    let what = "`key` and `der` name the same file";
                    self.reader.report(
                        Code::Duplicate,
                        value.span(),
                        "deploy.key",
                        what,
                        "give the key a file of its own",
                    );
                }
                let access = self.access(key_value.is_some());
                certificate.zip(access).map(|(certificate, access)| DeploySetting::Der { certificate, key, access })
            }
            _ => {
                let unit = self.unit(value);
                let check = self.table.get("check").map(|value| self.text("check", value, Lines::Many));
                match check {
                    Some(None) => None,
                    check => unit.map(|unit| DeploySetting::Reload { unit, check: check.flatten() }),
                }
            }
        };
        setting.filter(|_| self.reader.count() == before).map(|setting| (setting, value))
    }

    /// What the table is, by the one key that says so.
    fn kind(&mut self) -> Option<(&'static str, &'static [&'static str])> {
        let mut named: Vec<_> = KINDS.into_iter().filter(|(kind, _)| self.table.contains_key(*kind)).collect();
        let all = || KINDS.map(|(kind, _)| kind).join(", ");
        match named.as_slice() {
            [_] => named.pop(),
            [] => {
                let mistyped = self
                    .table
                    .iter()
                    .find_map(|(key, _)| Some((key.span(), nearest(key.get_ref(), KINDS.map(|(kind, _)| kind))?)));
                let (at, cure) = match mistyped {
                    Some((at, near)) => (at, format!("did you mean `{near}`?")),
                    None => (self.place.span(), format!("write one of the keys {} into it", all())),
                };
                self.reader.report(Code::DeployKind, at, "deploy", "a [[deploy]] table does not say what it is", cure);
                None
            }
            several => {
                let names: Vec<String> = several.iter().map(|(kind, _)| format!("`{kind}`")).collect();
                let what = format!("{} stand in one [[deploy]] table", names.join(" and "));
                self.reader.report(
                    Code::DeployKind,
                    self.place.span(),
                    "deploy",
                    what,
                    "write a [[deploy]] table for each of them",
                );
                None
            }
        }
    }

    fn refuse(&mut self, key: &super::document::Key<'_>, kind: &str, further: &[&str]) {
        let name = key.get_ref().as_ref();
        let shown_name = shown(name);
        let owners: Vec<String> =
            KINDS.iter().filter(|(_, keys)| keys.contains(&name)).map(|(kind, _)| format!("`{kind}`")).collect();
        let (what, cure) = if owners.is_empty() {
            let cure = match nearest(name, further.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if further.is_empty() => format!("remove it: `{kind}` has no further keys"),
                None => format!("the further keys of `{kind}` are: {}", further.join(", ")),
            };
            (format!("`{shown_name}` is not known in a [[deploy]] table"), cure)
        } else {
            let what = format!("`{shown_name}` has no meaning with `{kind}`");
            (what, format!("remove it: it belongs to {}", owners.join(", ")))
        };
        self.reader.report(Code::UnknownKey, key.span(), &format!("deploy.{name}"), what, cure);
    }

    fn text(&mut self, key: &str, value: &Value<'_>, lines: Lines) -> Option<String> {
        self.reader.text(&format!("deploy.{key}"), value, lines).map(str::to_owned)
    }

    /// A path that is not the store's own.
    fn path(&mut self, key: &str, value: &Value<'_>, names: Names) -> Option<PathBuf> {
        let key = format!("deploy.{key}");
        let path = self.reader.path(&key, value, names)?;
        if self.paths.own_folders().any(|own| path.starts_with(own)) {
            let what = format!("`{key}` lies in a folder of the store's own: `{}`", shown(&path.to_string_lossy()));
            let cure = "write to a folder outside: what lies there is written by renewals alone";
            self.reader.report(Code::InsideStore, value.span(), &key, what, cure);
            return None;
        }
        Some(path)
    }

    fn unit(&mut self, value: &Value<'_>) -> Option<String> {
        let unit = self.text("reload", value, Lines::One)?;
        // systemd.unit(5), with the backslash of escaped names. A leading hyphen would be an option of systemctl.
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
        if unit.len() > MAX_UNIT_BYTES || unit.starts_with('-') || !unit.bytes().all(valid) {
            let what = format!("`{}` cannot be the name of a systemd unit", shown(&unit));
            self.reader.bad("deploy.reload", value, what, "write for example `reload = \"nginx.service\"`");
            return None;
        }
        Some(unit)
    }

    /// All four, or those of `files`.
    fn files(&mut self) -> Option<FileKinds> {
        let Some(value) = self.table.get("files") else { return Some(FileKinds::default()) };
        let example = "[\"fullchain\", \"privkey\"]";
        let before = self.reader.count();
        let texts = self.reader.texts("deploy.files", value, example)?;
        let mut kinds = Vec::new();
        for (text, item) in &texts {
            match Kind::ALL.into_iter().find(|kind| kind.as_str() == *text) {
                Some(kind) => kinds.push(kind),
                None => {
                    let cure = match nearest(text, Kind::ALL.map(Kind::as_str)) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => "the files are: cert, privkey, chain, fullchain".to_owned(),
                    };
                    self.reader.bad("deploy.files", item, format!("there is no file `{}`", shown(text)), cure);
                }
            }
        }
        if texts.is_empty() {
            let cure = format!("write for example `files = {example}`, or remove the line for all four");
            self.reader.bad("deploy.files", value, "`deploy.files` is an empty list, so nothing would be copied", cure);
        }
        (self.reader.count() == before).then_some(FileKinds(kinds))
    }

    fn access(&mut self, holds_key: bool) -> Option<FileAccess> {
        let before = self.reader.count();
        let owner = self.table.get("owner").and_then(|value| self.principal("owner", value));
        let group = self.table.get("group").and_then(|value| self.principal("group", value));
        let mode = self.table.get("mode").and_then(|value| self.mode(value, holds_key));
        (self.reader.count() == before).then_some(FileAccess { owner, group, mode })
    }

    /// A name or a number, which may also be written as one.
    fn principal(&mut self, key: &str, value: &Value<'_>) -> Option<String> {
        let key = format!("deploy.{key}");
        if let toml::de::DeValue::Integer(_) = value.get_ref() {
            // The greatest number is the system's word for "leave it as it is".
            return self.reader.number(&key, value, 0..=u64::from(u32::MAX) - 1).map(|number| number.to_string());
        }
        let text = self.reader.text(&key, value, Lines::One)?;
        if text.contains([':', '/']) || text.trim() != text {
            let what = format!("`{key}` cannot be `{}`", shown(text));
            self.reader.bad(&key, value, what, "write one name or number; `owner` and `group` are keys of their own");
            return None;
        }
        Some(text.to_owned())
    }

    fn mode(&mut self, value: &Value<'_>, holds_key: bool) -> Option<u32> {
        const OTHERS: u32 = 0o007;
        let key = "deploy.mode";
        let cure = "write the bits in octal as a text, for example `mode = \"0640\"`";
        let toml::de::DeValue::String(text) = value.get_ref() else {
            // 640 is not 0o640, and nobody should have to know which one is meant.
            self.reader.wrong_type(key, value, "a text", cure);
            return None;
        };
        let octal = (3..=4).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
        let mode = u32::from_str_radix(text, 8).ok().filter(|mode| octal && *mode <= 0o777);
        let Some(mode) = mode else {
            self.reader.bad(key, value, format!("`{key}` cannot be `{}`", shown(text)), cure);
            return None;
        };
        if holds_key && mode & OTHERS != 0 {
            let what = format!("`{key}` {} would give every user the private key", shown(text));
            let cure = "write `mode = \"0640\"` and `group = …` for a program that is not root";
            self.reader.bad(key, value, what, cure);
            return None;
        }
        Some(mode)
    }
}

fn clashes(one: &DeploySetting, other: &DeploySetting) -> bool {
    let files = one.files();
    same(one, other) || other.files().iter().any(|file| files.contains(file))
}

/// `nginx` is `nginx.service` to systemd.
fn same(one: &DeploySetting, other: &DeploySetting) -> bool {
    let full = |target: DeployTarget| match target {
        DeployTarget::Reload(unit) if !unit.contains('.') => DeployTarget::Reload(format!("{unit}.service")),
        target => target,
    };
    full(one.target()) == full(other.target())
}
