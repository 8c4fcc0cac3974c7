//! aiosmtpd, a mail server in Python that shares no code with lettre, and keeps what it takes.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::pki::Pki;
use crate::ports::{free_port, wait_for_port};
use crate::process::{Server, of_venv};
use crate::tree::write_with_mode;

/// How the mail server behaves. By default it wants STARTTLS and nobody's password, and refuses nobody.
#[derive(Clone, Debug)]
pub struct SmtpOptions {
    /// `starttls`, `tls` or `none`.
    pub tls: &'static str,
    /// The only name and password that it takes; with one, nobody gets in without.
    pub login: Option<(String, String)>,
    /// Recipients that it refuses, each with the answer, for example `550 5.1.1 no such user`.
    pub refuse: Vec<(String, String)>,
    /// The port; a free one without.
    pub port: Option<u16>,
}

/// A running mail server. It ends when it is dropped.
#[derive(Debug)]
pub struct Smtp {
    // Dropped in this order: the server before the folder that it writes to.
    server: Server,
    folder: TempDir,
    port: u16,
}

/// A mail as the server got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedMail {
    /// The envelope's sender.
    pub from: String,
    /// The envelope's recipients.
    pub to: Vec<String>,
    /// Head and body, after the dots of the wire were taken away.
    pub data: String,
    /// Whether the connection was encrypted.
    pub tls: bool,
    /// Who had logged in.
    pub login: Option<String>,
}

impl Default for SmtpOptions {
    fn default() -> Self {
        Self { tls: "starttls", login: None, refuse: Vec::new(), port: None }
    }
}

impl Smtp {
    /// Starts the server with a certificate for `localhost` and 127.0.0.1.
    pub fn start(options: &SmtpOptions) -> Self {
        let folder = tempfile::Builder::new().prefix("smtp-").tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let pki = Pki::new(crate::now());
        let issued = pki.for_localhost(crate::now());
        write_with_mode(&file("root.pem"), &pki.root_pem(), 0o644);
        write_with_mode(&file("certificate.pem"), &issued.fullchain, 0o644);
        write_with_mode(&file("key.pem"), &issued.privkey, 0o600);
        write_with_mode(&file("smtp.py"), include_str!("smtp.py"), 0o644);
        std::fs::create_dir(file("mails")).unwrap();
        let port = options.port.unwrap_or_else(free_port);
        let settings = json!({
            "port": port,
            "folder": file("mails"),
            "tls": options.tls,
            "login": options.login,
            "refuse": options.refuse,
            "certificate": file("certificate.pem"),
            "key": file("key.pem"),
        })
        .to_string();
        let script = file("smtp.py");
        let arguments = [script.as_os_str(), OsStr::new(&settings)];
        let environment = [("PYTHONUNBUFFERED", "1".to_owned())];
        let mut server = Server::start(
            "aiosmtpd",
            &of_venv("aiosmtpd", "python", "CERTKIT_TEST_AIOSMTPD_PYTHON"),
            &arguments,
            &environment,
            &file("smtp.log"),
        );
        let up =
            server.wait_for_log("Serving", Duration::from_secs(60)) && wait_for_port(port, Duration::from_secs(10));
        assert!(up, "aiosmtpd does not start:\n{}", server.log());
        Self { server, folder, port }
    }

    /// Where it listens, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The root of its certificate, PEM.
    pub fn ca_bundle(&self) -> PathBuf {
        self.folder.path().join("root.pem")
    }

    /// What it took, in the order in which it came.
    pub fn mails(&self) -> Vec<ReceivedMail> {
        let mut files: Vec<PathBuf> = std::fs::read_dir(self.folder.path().join("mails"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
            .collect();
        files.sort();
        files.iter().map(|file| ReceivedMail::of(&std::fs::read(file).unwrap())).collect()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.server.log()
    }
}

impl ReceivedMail {
    fn of(json: &[u8]) -> Self {
        let value: Value = serde_json::from_slice(json).unwrap();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        Self {
            from: text(&value["from"]).unwrap(),
            to: value["to"].as_array().unwrap().iter().map(|to| text(to).unwrap()).collect(),
            data: text(&value["data"]).unwrap(),
            tls: value["tls"].as_bool().unwrap(),
            login: text(&value["login"]),
        }
    }

    /// The head's fields of this name, unfolded.
    pub fn headers(&self, name: &str) -> Vec<String> {
        let head = self.data.split("\r\n\r\n").next().unwrap_or_default();
        let unfolded = head.replace("\r\n ", " ").replace("\r\n\t", " ");
        let fields = unfolded.split("\r\n").filter_map(|line| line.split_once(':'));
        fields.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned()).collect()
    }
}
