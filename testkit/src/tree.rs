//! Trees as certbot leaves them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use chrono::{DateTime, TimeDelta, Utc};

use crate::account::{self, AccountKeyKind, StoredAccount};
use crate::pki::{Issued, KeyKind, Pki};
use crate::{FolderEntry, snapshot};

/// The kinds of file of a version, in the order of the conf.
const KINDS: [&str; 4] = ["cert", "privkey", "chain", "fullchain"];

/// A tree in certbot's format, with a CA of its own.
pub struct Tree {
    config_dir: PathBuf,
    now: DateTime<Utc>,
    // Keys for a CA take a moment; a tree without certificates needs none.
    pki: OnceLock<Pki>,
}

/// A lineage that is being described. Nothing is written before [`LineageBuilder::write`].
#[must_use = "call `write`"]
pub struct LineageBuilder<'t> {
    tree: &'t Tree,
    name: String,
    names: Vec<String>,
    left: TimeDelta,
    lifetime: TimeDelta,
    versions: u32,
    key: KeyKind,
    absolute_links: bool,
    crl_url: Option<String>,
    top: Vec<(String, String)>,
    params: Vec<(String, String)>,
    webroot_map: Vec<(String, PathBuf)>,
}

/// Where the files of a lineage are.
#[derive(Clone, Debug)]
pub struct LineagePaths {
    /// The lineage's name.
    pub name: String,
    /// `renewal/NAME.conf`.
    pub conf: PathBuf,
    /// `live/NAME`.
    pub live: PathBuf,
    /// `archive/NAME`.
    pub archive: PathBuf,
    /// The live certificate's serial number in upper-case hex.
    pub serial: String,
    /// The end of the live certificate's validity.
    pub not_after: DateTime<Utc>,
}

impl Tree {
    /// A tree at `config_dir` as certbot makes it before the first certificate. All dates are counted from `now`.
    pub fn new(config_dir: impl Into<PathBuf>, now: DateTime<Utc>) -> Self {
        let config_dir = config_dir.into();
        fs::create_dir_all(&config_dir).unwrap();
        make_dir(&config_dir, 0o755);
        for (folder, mode) in [
            ("accounts", 0o700),
            ("archive", 0o700),
            ("live", 0o700),
            ("renewal", 0o755),
            ("renewal-hooks", 0o755),
            ("renewal-hooks/pre", 0o755),
            ("renewal-hooks/deploy", 0o755),
            ("renewal-hooks/post", 0o755),
        ] {
            make_dir(&config_dir.join(folder), mode);
        }
        write_with_mode(
            &config_dir.join("live/README"),
            "Each folder here holds the current certificate of one name as links into ../archive.\n",
            0o644,
        );
        Self { config_dir, now, pki: OnceLock::new() }
    }

    /// `--config-dir`.
    pub fn config_dir(&self) -> &Path {
        &self.config_dir
    }

    /// The instant from which dates are counted.
    pub fn now(&self) -> DateTime<Utc> {
        self.now
    }

    /// The CA of its certificates.
    pub fn pki(&self) -> &Pki {
        self.pki.get_or_init(|| Pki::new(self.now))
    }

    /// Describes a lineage: an ECDSA certificate for its own name, 90 days long with 60 days left, one version, webroot
    /// /var/www/html, without account and server.
    pub fn lineage(&self, name: &str) -> LineageBuilder<'_> {
        LineageBuilder {
            tree: self,
            name: name.to_owned(),
            names: vec![name.trim_start_matches("*.").to_owned()],
            left: TimeDelta::days(60),
            lifetime: TimeDelta::days(90),
            versions: 1,
            key: KeyKind::EcdsaP256,
            absolute_links: false,
            crl_url: None,
            top: Vec::new(),
            params: Vec::new(),
            webroot_map: Vec::new(),
        }
    }

    /// Writes an account. No CA knows it until its key is registered.
    pub fn account(&self, server: &str, kind: AccountKeyKind) -> StoredAccount {
        self.account_with_url(server, kind, &format!("{}/account/1", server.trim_end_matches('/')))
    }

    /// Writes an account whose URL at the CA is known.
    pub fn account_with_url(&self, server: &str, kind: AccountKeyKind, url: &str) -> StoredAccount {
        account::write(&self.config_dir, server, kind, url, self.now)
    }

    /// The ids of the accounts that are stored for a server.
    pub fn account_ids(&self, server: &str) -> Vec<String> {
        account::stored_ids(&self.config_dir, server)
    }

    /// Everything below the config dir, with what tells whether it was touched. Two equal snapshots mean that nothing was
    /// written.
    pub fn snapshot(&self) -> BTreeMap<PathBuf, FolderEntry> {
        snapshot(&self.config_dir)
    }
}

impl LineageBuilder<'_> {
    /// What the certificate covers, in its order; addresses become IP alternative names.
    pub fn names<N: AsRef<str>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.names = names.into_iter().map(|name| name.as_ref().to_owned()).collect();
        self
    }

    /// How much of the live certificate's life is left; negative for an expired one.
    pub fn days_left(self, days: i64) -> Self {
        self.left(TimeDelta::days(days))
    }

    /// The same in hours, for certificates of hours: 160 at Let's Encrypt, 12 at Caddy's own CA.
    pub fn hours_left(self, hours: i64) -> Self {
        self.left(TimeDelta::hours(hours))
    }

    /// The same to the second.
    pub fn left(mut self, left: TimeDelta) -> Self {
        self.left = left;
        self
    }

    /// How long its certificates are valid.
    pub fn lifetime_days(self, days: i64) -> Self {
        self.lifetime(TimeDelta::days(days))
    }

    /// The same in hours.
    pub fn lifetime_hours(self, hours: i64) -> Self {
        self.lifetime(TimeDelta::hours(hours))
    }

    /// The same to the second.
    pub fn lifetime(mut self, lifetime: TimeDelta) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// How many versions the archive holds; the last one is live.
    pub fn versions(mut self, versions: u32) -> Self {
        self.versions = versions;
        self
    }

    /// The key's kind, which is also what the conf says.
    pub fn key(mut self, key: KeyKind) -> Self {
        self.key = key;
        self
    }

    /// Absolute live links, as they are after certbot recovered from a crash.
    pub fn absolute_links(mut self) -> Self {
        self.absolute_links = true;
        self
    }

    /// The URL of a CRL in its certificates, for what [`Pki::sign_revocation_list`] makes.
    pub fn crl_url(mut self, url: &str) -> Self {
        self.crl_url = Some(url.to_owned());
        self
    }

    /// `server`.
    pub fn server(self, url: &str) -> Self {
        self.param("server", url)
    }

    /// `account`.
    pub fn account(self, id: &str) -> Self {
        self.param("account", id)
    }

    /// `authenticator = webroot` with this folder for every name.
    pub fn webroot(mut self, folder: impl AsRef<Path>) -> Self {
        let folder = folder.as_ref();
        self.webroot_map = self.names.iter().map(|name| (name.clone(), folder.to_owned())).collect();
        self.param("authenticator", "webroot").param("webroot_path", &format!("{},", folder.display()))
    }

    /// `authenticator = standalone` on this port.
    pub fn standalone(self, port: u16) -> Self {
        self.param("authenticator", "standalone").param("http01_port", &port.to_string())
    }

    /// `authenticator = manual` with these hooks and http-01.
    pub fn manual(self, auth_hook: &str, cleanup_hook: &str) -> Self {
        self.param("authenticator", "manual")
            .param("pref_challs", "http-01,")
            .param("manual_auth_hook", &quoted(auth_hook))
            .param("manual_cleanup_hook", &quoted(cleanup_hook))
    }

    /// `renew_hook`: what `--deploy-hook` saves.
    pub fn deploy_hook(self, command: &str) -> Self {
        self.param("renew_hook", &quoted(command))
    }

    /// A further key of `[renewalparams]`, or another value for one. The text stands in the conf as it is.
    pub fn param(mut self, key: &str, value: &str) -> Self {
        self.params.retain(|(existing, _)| existing != key);
        self.params.push((key.to_owned(), value.to_owned()));
        self
    }

    /// A further top-level key, for example `renew_before_expiry`. The text stands in the conf as it is.
    pub fn top(mut self, key: &str, value: &str) -> Self {
        self.top.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Writes conf, archive and links.
    pub fn write(self) -> LineagePaths {
        let live_certificate = self.issue(self.versions, self.tree.now + self.left);
        self.write_with(&live_certificate)
    }

    /// The same with a live certificate that was made elsewhere, which saves the time for keys where there are many.
    pub fn write_with(self, live_certificate: &Issued) -> LineagePaths {
        let root = &self.tree.config_dir;
        let archive = root.join("archive").join(&self.name);
        let live = root.join("live").join(&self.name);
        make_dir(&archive, 0o755);
        make_dir(&live, 0o755);
        let not_after = self.tree.now + self.left;
        for version in 1..=self.versions {
            if version == self.versions {
                write_version(&archive, version, live_certificate);
            } else {
                // Certbot renews when a third is left, so each version ends two thirds of a lifetime after the last.
                let earlier = i32::try_from(self.versions - version).unwrap();
                let not_after = not_after - self.lifetime * earlier * 2 / 3;
                let issued = self.issue(version, not_after);
                write_version(&archive, version, &issued);
            }
        }
        for kind in KINDS {
            let file = format!("{kind}{}.pem", self.versions);
            let target = if self.absolute_links {
                archive.join(file)
            } else {
                Path::new("../../archive").join(&self.name).join(file)
            };
            symlink(target, live.join(format!("{kind}.pem"))).unwrap();
        }
        write_with_mode(
            &live.join("README"),
            "privkey.pem is the key, fullchain.pem the certificate with its issuers.\n",
            0o644,
        );
        let conf = root.join("renewal").join(format!("{}.conf", self.name));
        write_with_mode(&conf, &self.conf_text(&archive, &live), 0o644);
        LineagePaths {
            name: self.name,
            conf,
            live,
            archive,
            serial: data_encoding::HEXUPPER.encode(&live_certificate.serial),
            not_after,
        }
    }

    fn issue(&self, version: u32, not_after: DateTime<Utc>) -> Issued {
        let (key, serial, crl_url) = (self.key.generate(), self.serial(version), self.crl_url.as_deref());
        let not_before = not_after - self.lifetime;
        self.tree.pki().issue_with_crl_url(&self.names, not_before, not_after, &key, &serial, crl_url)
    }

    /// The conf as certbot 5 writes it: no comments, no blank lines, `[renewalparams]` in no particular order.
    fn conf_text(&self, archive: &Path, live: &Path) -> String {
        let mut text = String::new();
        for (key, value) in &self.top {
            let _ = writeln!(text, "{key} = {value}");
        }
        let _ = writeln!(text, "version = 5.8.0\narchive_dir = {}", archive.display());
        for kind in KINDS {
            let _ = writeln!(text, "{kind} = {}/{kind}.pem", live.display());
        }
        text.push_str("[renewalparams]\n");
        let mut params = self.params.clone();
        for (key, value) in [("authenticator", "webroot"), ("key_type", self.key.certbot_word())] {
            if !params.iter().any(|(existing, _)| existing == key) {
                params.push((key.to_owned(), value.to_owned()));
            }
        }
        let webroot = params.iter().any(|(key, value)| key == "authenticator" && value == "webroot");
        if webroot && !params.iter().any(|(key, _)| key == "webroot_path") {
            params.push(("webroot_path".to_owned(), "/var/www/html,".to_owned()));
        }
        for (key, value) in params {
            let _ = writeln!(text, "{key} = {value}");
        }
        if webroot && !self.webroot_map.is_empty() {
            text.push_str("[[webroot_map]]\n");
            for (name, folder) in &self.webroot_map {
                let _ = writeln!(text, "{name} = {}", folder.display());
            }
        }
        text
    }

    /// The same for the same lineage and version in every run, positive, 18 octets as Let's Encrypt's.
    fn serial(&self, version: u32) -> Vec<u8> {
        let part = |salt: u8| {
            let mut hasher = DefaultHasher::new();
            (&self.name, version, salt).hash(&mut hasher);
            hasher.finish().to_be_bytes()
        };
        [[0x04, 0x7c].as_slice(), &part(1), &part(2)].concat()
    }
}

fn write_version(archive: &Path, version: u32, issued: &Issued) {
    for (kind, text, mode) in [
        ("cert", &issued.cert, 0o644),
        ("chain", &issued.chain, 0o644),
        ("fullchain", &issued.fullchain, 0o644),
        ("privkey", &issued.privkey, 0o600),
    ] {
        write_with_mode(&archive.join(format!("{kind}{version}.pem")), text, mode);
    }
}

/// A value that ConfigObj reads back as one string: with the other kind of quotes around it where it holds one.
fn quoted(value: &str) -> String {
    match (value.contains('"'), value.contains('\'')) {
        (true, true) => format!("'''{value}'''"),
        (true, false) => format!("'{value}'"),
        (false, _) => format!("\"{value}\""),
    }
}

/// Makes a folder with exactly this mode, whatever the umask; one that exists gets the mode.
pub(crate) fn make_dir(path: &Path, mode: u32) {
    if !path.is_dir() {
        fs::create_dir(path).unwrap();
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Writes a file with exactly this mode, whatever the umask.
pub(crate) fn write_with_mode(path: &Path, text: &str, mode: u32) {
    use std::io::Write as _;
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[cfg(test)]
mod tests {
    use x509_parser::extensions::ParsedExtension;

    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_000_000, 0).unwrap()
    }

    #[test]
    fn a_lineage_has_certbots_files_modes_and_links() {
        let folder = tempfile::tempdir().unwrap();
        let tree = Tree::new(folder.path().join("le"), now());
        let paths = tree
            .lineage("p.example.com")
            .names(["p.example.com", "www.p.example.com", "192.0.2.7"])
            .days_left(10)
            .server("https://127.0.0.1:14000/dir")
            .account("0123")
            .webroot("/srv/www")
            .versions(3)
            .write();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(&paths.archive.join("privkey3.pem")), 0o600);
        assert_eq!(mode(&paths.archive.join("cert1.pem")), 0o644);
        assert_eq!(mode(&tree.config_dir().join("live")), 0o700);
        for kind in KINDS {
            let target = fs::read_link(paths.live.join(format!("{kind}.pem"))).unwrap();
            assert_eq!(target, PathBuf::from(format!("../../archive/p.example.com/{kind}3.pem")));
        }
        let read = |name: &str| fs::read_to_string(paths.live.join(name)).unwrap();
        assert_eq!(read("fullchain.pem"), format!("{}{}", read("cert.pem"), read("chain.pem")));
        let conf = fs::read_to_string(&paths.conf).unwrap();
        assert!(conf.contains("webroot_path = /srv/www,\n"), "{conf}");
        assert!(conf.ends_with(
            "[[webroot_map]]\np.example.com = /srv/www\nwww.p.example.com = /srv/www\n192.0.2.7 = /srv/www\n"
        ));
    }

    #[test]
    fn dates_and_serials_are_those_that_were_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let tree = Tree::new(folder.path().join("le"), now());
        let paths = tree.lineage("a.example").left(TimeDelta::seconds(-5)).lifetime_days(6).write();
        let pem = fs::read(paths.live.join("cert.pem")).unwrap();
        let (_, block) = x509_parser::pem::parse_x509_pem(&pem).unwrap();
        let certificate = block.parse_x509().unwrap();
        assert_eq!(certificate.validity().not_after.timestamp(), now().timestamp() - 5);
        assert_eq!(certificate.validity().not_before.timestamp(), now().timestamp() - 5 - 6 * 86_400);
        assert_eq!(data_encoding::HEXUPPER.encode(certificate.raw_serial()), paths.serial);
        let other = tempfile::tempdir().unwrap();
        let again = Tree::new(other.path().join("le"), now()).lineage("a.example").write();
        assert_eq!(again.serial, paths.serial);
    }

    #[test]
    fn certificates_of_hours_have_what_renewal_information_and_revocation_need() {
        let folder = tempfile::tempdir().unwrap();
        let tree = Tree::new(folder.path().join("le"), now());
        let url = "http://127.0.0.1:1/7.crl";
        let paths = tree.lineage("h.example").lifetime_hours(160).hours_left(12).crl_url(url).versions(2).write();
        for version in [1, 2] {
            let pem = fs::read(paths.archive.join(format!("cert{version}.pem"))).unwrap();
            let (_, block) = x509_parser::pem::parse_x509_pem(&pem).unwrap();
            let certificate = block.parse_x509().unwrap();
            let (validity, not_after) = (certificate.validity(), paths.not_after.timestamp());
            assert_eq!(validity.not_after.timestamp() - validity.not_before.timestamp(), 160 * 3600);
            // A version ends two thirds of a lifetime before the next one.
            assert_eq!(validity.not_after.timestamp(), not_after - (2 - version) * 160 * 2400);
            assert_eq!(not_after, now().timestamp() + 12 * 3600);
            let extensions: Vec<_> = certificate.extensions().iter().map(|each| each.parsed_extension()).collect();
            let key_id = extensions.iter().find_map(|extension| match extension {
                ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.as_ref(),
                _ => None,
            });
            assert_eq!(key_id.map(|id| id.0.len()), Some(20), "the first half of a certificate's ARI id");
            let points = extensions.iter().find_map(|extension| match extension {
                ParsedExtension::CRLDistributionPoints(points) => Some(format!("{points:?}")),
                _ => None,
            });
            assert!(points.is_some_and(|points| points.contains(url)));
        }
    }

    #[test]
    fn a_snapshot_sees_every_change() {
        let folder = tempfile::tempdir().unwrap();
        let tree = Tree::new(folder.path().join("le"), now());
        tree.account("https://127.0.0.1:14000/dir", AccountKeyKind::EcP256);
        let before = tree.snapshot();
        assert_eq!(before, tree.snapshot());
        fs::write(tree.config_dir().join("renewal/x.conf"), "").unwrap();
        assert_ne!(before, tree.snapshot());
        assert_eq!(tree.account_ids("https://127.0.0.1:14000/dir").len(), 1);
    }
}
