//! Real mail servers on loopback that speak STARTTLS: Postfix for SMTP, Dovecot for IMAP and POP3. Each keeps everything in
//! a folder of its own.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::ports::{free_port, wait_for_port};
use crate::process::{Server, require_program};

/// A running Postfix that takes no mail. It ends when it is dropped. Its master process has to be started by root.
#[derive(Debug)]
pub struct Postfix {
    _server: Server,
    _folder: TempDir,
    smtp_port: u16,
}

/// A running Dovecot without users. It ends when it is dropped.
#[derive(Debug)]
pub struct Dovecot {
    _server: Server,
    _folder: TempDir,
    imap_port: u16,
    pop3_port: u16,
}

const TRIES: usize = 5;
const START: Duration = Duration::from_secs(15);

impl Postfix {
    /// Starts it with this certificate (a chain in PEM) and key.
    pub fn start(fullchain: &Path, privkey: &Path) -> Self {
        assert!(rustix::process::geteuid().is_root(), "Postfix can be started by root alone: run the tests as root");
        let mut logs = String::new();
        for _ in 0..TRIES {
            match Self::try_start(fullchain, privkey) {
                Ok(running) => return running,
                Err(log) => logs = log,
            }
        }
        panic!("Postfix does not start:\n{logs}");
    }

    fn try_start(fullchain: &Path, privkey: &Path) -> Result<Self, String> {
        let folder = open_folder("postfix-");
        let (etc, queue, data) = (folder.path().join("etc"), folder.path().join("queue"), folder.path().join("data"));
        for one in [&etc, &queue, &data] {
            std::fs::create_dir(one).unwrap();
        }
        run(Command::new("chown").arg("postfix").arg(&data));
        let smtp_port = free_port();
        let (shown_queue, shown_data) = (queue.display(), data.display());
        let main = format!(
            "compatibility_level = 3.6
queue_directory = {shown_queue}
data_directory = {shown_data}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mail.testkit.example
mydestination =
alias_maps =
local_recipient_maps =
maillog_file = /dev/stdout
smtpd_tls_cert_file = {}
smtpd_tls_key_file = {}
smtpd_tls_security_level = may
",
            fullchain.display(),
            privkey.display(),
        );
        let master = format!(
            "127.0.0.1:{smtp_port} inet n - n - - smtpd
rewrite unix - - n - - trivial-rewrite
anvil unix - - n - 1 anvil
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
"
        );
        std::fs::write(etc.join("main.cf"), main).unwrap();
        std::fs::write(etc.join("master.cf"), master).unwrap();
        // It makes the folders of the queue.
        run(Command::new(require_program("postfix")).arg("-c").arg(&etc).arg("check"));
        let program = program(&["/usr/lib/postfix/sbin/master", "/usr/libexec/postfix/master"], "postfix");
        let arguments = [OsStr::new("-c"), etc.as_os_str(), OsStr::new("-s")];
        let mut server = Server::start("postfix", &program, &arguments, &[], &folder.path().join("log")).gently();
        if !wait_for_port(smtp_port, START) || server.ended().is_some() {
            return Err(server.log());
        }
        Ok(Self { _server: server, _folder: folder, smtp_port })
    }

    /// The port for SMTP.
    pub fn smtp_port(&self) -> u16 {
        self.smtp_port
    }
}

impl Dovecot {
    /// Starts it with this certificate (a chain in PEM) and key.
    pub fn start(fullchain: &Path, privkey: &Path) -> Self {
        let mut logs = String::new();
        for _ in 0..TRIES {
            match Self::try_start(fullchain, privkey) {
                Ok(running) => return running,
                Err(log) => logs = log,
            }
        }
        panic!("Dovecot does not start:\n{logs}");
    }

    fn try_start(fullchain: &Path, privkey: &Path) -> Result<Self, String> {
        let folder = open_folder("dovecot-");
        let shown = folder.path().display();
        let (imap_port, pop3_port) = (free_port(), free_port());
        let service = |name: &str, port: u16| {
            format!(
                "service {name}-login {{
  chroot =
  inet_listener {name} {{
    port = {port}
  }}
  inet_listener {name}s {{
    port = 0
  }}
}}
"
            )
        };
        let config = format!(
            "base_dir = {shown}/run
state_dir = {shown}/state
log_path = /dev/stderr
protocols = imap pop3
listen = 127.0.0.1
ssl = yes
ssl_cert = <{}
ssl_key = <{}
{}passdb {{
  driver = static
  args = nopassword=y
}}
userdb {{
  driver = static
  args = uid=65534 gid=65534 home=/nonexistent
}}
{}{}",
            fullchain.display(),
            privkey.display(),
            own_user(),
            service("imap", imap_port),
            service("pop3", pop3_port),
        );
        let file = folder.path().join("dovecot.conf");
        std::fs::write(&file, config).unwrap();
        let arguments = [OsStr::new("-F"), OsStr::new("-c"), file.as_os_str()];
        let log = folder.path().join("log");
        let mut server = Server::start("dovecot", &require_program("dovecot"), &arguments, &[], &log).gently();
        let up = wait_for_port(imap_port, START) && wait_for_port(pop3_port, START);
        if !up || server.ended().is_some() {
            return Err(server.log());
        }
        Ok(Self { _server: server, _folder: folder, imap_port, pop3_port })
    }

    /// The port for IMAP.
    pub fn imap_port(&self) -> u16 {
        self.imap_port
    }

    /// The port for POP3.
    pub fn pop3_port(&self) -> u16 {
        self.pop3_port
    }
}

/// Who is not root runs it as himself.
fn own_user() -> String {
    if rustix::process::geteuid().is_root() {
        return String::new();
    }
    let id = |flag: &str| {
        let output = Command::new("id").arg(flag).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    let (user, group) = (id("-un"), id("-gn"));
    format!("default_internal_user = {user}\ndefault_internal_group = {group}\ndefault_login_user = {user}\n")
}

/// Their helpers run as other users and have to get in.
fn open_folder(prefix: &str) -> TempDir {
    let folder = tempfile::Builder::new().prefix(prefix).tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

fn program(places: &[&str], name: &str) -> PathBuf {
    require_program(name);
    let found = places.iter().map(PathBuf::from).find(|place| place.is_file());
    found.unwrap_or_else(|| panic!("the program of `{name}` is in none of {places:?}"))
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
