//! certbot as the peer.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::process::of_venv;

/// certbot on a tree of its own, with a CA of its own.
#[derive(Clone, Debug)]
pub struct Certbot {
    /// `--config-dir`.
    pub config_dir: PathBuf,
    /// `--work-dir`.
    pub work_dir: PathBuf,
    /// `--logs-dir`.
    pub logs_dir: PathBuf,
    /// `--server`.
    pub server: String,
    /// What it trusts when it talks to the server.
    pub ca_bundle: PathBuf,
    program: PathBuf,
}

impl Certbot {
    /// certbot on this tree; its work and log folders lie inside, as `work` and `logs`.
    pub fn new(config_dir: &Path, server: &str, ca_bundle: &Path) -> Self {
        Self {
            config_dir: config_dir.to_owned(),
            work_dir: config_dir.join("work"),
            logs_dir: config_dir.join("logs"),
            server: server.to_owned(),
            ca_bundle: ca_bundle.to_owned(),
            program: certbot_program(),
        }
    }

    /// Runs a command.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// A command that can be run. `--server` is given unless it reads the tree only: on the command line it would make
    /// certbot forget the account that a lineage names.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).arg("--non-interactive");
        for (flag, folder) in
            [("--config-dir", &self.config_dir), ("--work-dir", &self.work_dir), ("--logs-dir", &self.logs_dir)]
        {
            command.arg(flag).arg(folder);
        }
        if matches!(
            arguments.first(),
            Some(&("certonly" | "register" | "unregister" | "update_account" | "show_account"))
        ) {
            command.args(["--server", &self.server]);
        }
        // Nothing of the machine's own certbot: neither its configuration nor its proxies.
        command
            .env("REQUESTS_CA_BUNDLE", &self.ca_bundle)
            .env("HOME", &self.config_dir)
            .env("XDG_CONFIG_HOME", &self.config_dir);
        for proxy in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
            command.env_remove(proxy);
        }
        command.stdin(Stdio::null());
        command
    }

    /// Runs a command that has to succeed and returns what it printed on stdout.
    pub fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "certbot {arguments:?}: {}\n{stdout}\n{stderr}", output.status);
        stdout.into_owned()
    }

    /// Registers an account without a mail address and returns its id.
    pub fn register(&self) -> String {
        self.succeed(&["register", "--agree-tos", "--register-unsafely-without-email"]);
        let ids = crate::account::stored_ids(&self.config_dir, &self.server);
        ids.last().expect("certbot registered an account").clone()
    }
}

/// Where certbot from PyPI is: `$CERTKIT_TEST_CERTBOT`, else `target/certbot-venv/bin/certbot` in the workspace.
pub fn certbot_program() -> PathBuf {
    of_venv("certbot", "certbot", "CERTKIT_TEST_CERTBOT")
}
