//! nginx with the server blocks that a test writes.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::pki::Pki;
use crate::ports::free_port;
use crate::process::{Server, require_program};

/// A running nginx with blocks of a test's own. It ends when it is dropped.
#[derive(Debug)]
pub struct NginxBlocks {
    _server: Server,
    folder: TempDir,
    port: u16,
    tls_port: u16,
}

impl NginxBlocks {
    /// Starts it with these blocks, in which `{port}`, `{tls_port}`, `{tls}` (certificate and key) and `{webroot}` are
    /// filled in.
    pub fn start(blocks: &str) -> Self {
        const TRIES: usize = 5;
        (0..TRIES).find_map(|_| Self::try_start(blocks)).expect("nginx does not start")
    }

    fn try_start(blocks: &str) -> Option<Self> {
        let folder = tempfile::Builder::new().prefix("doctor-web-").tempdir().unwrap();
        let at = folder.path();
        let (port, tls_port) = (free_port(), free_port());
        std::fs::create_dir(at.join("www")).unwrap();
        let issued = Pki::new(crate::now()).for_localhost(crate::now());
        std::fs::write(at.join("cert.pem"), issued.fullchain).unwrap();
        std::fs::write(at.join("key.pem"), issued.privkey).unwrap();
        let shown = at.display();
        let blocks = blocks
            .replace("{port}", &port.to_string())
            .replace("{tls_port}", &tls_port.to_string())
            .replace("{tls}", &format!("ssl_certificate {shown}/cert.pem; ssl_certificate_key {shown}/key.pem"))
            .replace("{webroot}", &format!("{shown}/www"));
        // Started by root, the workers would change to a user who cannot enter a private temporary folder.
        let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
        let config = format!(
            "{user} daemon off; worker_processes 1; pid {shown}/nginx.pid; error_log stderr notice;
            events {{ worker_connections 64; }}
            http {{ access_log off; default_type text/plain; client_body_temp_path {shown}/body;
            proxy_temp_path {shown}/proxy; fastcgi_temp_path {shown}/fastcgi; uwsgi_temp_path {shown}/uwsgi;
            scgi_temp_path {shown}/scgi; {blocks} }}"
        );
        std::fs::write(at.join("nginx.conf"), config).unwrap();
        let (prefix, conf) = (format!("{shown}/"), format!("{shown}/nginx.conf"));
        let arguments = ["-p", &prefix, "-e", "stderr", "-c", &conf].map(OsStr::new);
        let log = at.join("nginx.log");
        let mut server = Server::start("nginx", &require_program("nginx"), &arguments, &[], &log).gently();
        let end = Instant::now() + Duration::from_secs(10);
        // It writes its pid when its sockets are open.
        while !has_content(&at.join("nginx.pid")) && server.ended().is_none() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
        server.ended().is_none().then_some(Self { _server: server, folder, port, tls_port })
    }

    /// The port that `{port}` stands for.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The port that `{tls_port}` stands for.
    pub fn tls_port(&self) -> u16 {
        self.tls_port
    }

    /// The folder that `{webroot}` stands for.
    pub fn webroot(&self) -> PathBuf {
        self.folder.path().join("www")
    }
}

fn has_content(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.len() > 0)
}
