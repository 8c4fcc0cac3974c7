//! nginx as an unprivileged server on loopback, with everything it needs in a folder of its own.

use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::ports::{free_port, has_ipv6, wait_for, wait_for_port};
use crate::process::{Server, require_program};
use crate::{https, tree};

/// What nginx serves.
#[derive(Clone, Debug, Default)]
pub struct NginxOptions {
    /// Certificate and key files (usually `live/NAME/fullchain.pem` and `privkey.pem`); no TLS without.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// The port for plain http; a free one without.
    pub http_port: Option<u16>,
    /// The document root; an own folder without.
    pub webroot: Option<PathBuf>,
    /// Further addresses with TLS on the same port.
    pub sites: Vec<Site>,
}

/// An address with a certificate of its own.
#[derive(Clone, Debug)]
pub struct Site {
    /// The address, such as `127.0.0.2` or `::1`.
    pub address: IpAddr,
    /// The name that a client has to ask for; any when empty. The first site of an address is what others get.
    pub name: String,
    /// Certificate and key files; several when the server shall choose by the client's kind of key.
    pub tls: Vec<(PathBuf, PathBuf)>,
}

/// A running nginx. It ends when it is dropped.
#[derive(Debug)]
pub struct Nginx {
    server: Server,
    folder: TempDir,
    webroot: PathBuf,
    http_port: u16,
    tls_port: u16,
}

impl Nginx {
    /// Starts it.
    pub fn start(options: &NginxOptions) -> Self {
        const TRIES: usize = 5;
        let mut logs = String::new();
        for _ in 0..TRIES {
            match Self::try_start(options) {
                Ok(running) => return running,
                Err(log) => logs = log,
            }
        }
        panic!("nginx does not start:\n{logs}");
    }

    fn try_start(options: &NginxOptions) -> Result<Self, String> {
        let folder = tempfile::Builder::new().prefix("nginx-").tempdir().unwrap();
        let webroot = options.webroot.clone().unwrap_or_else(|| folder.path().join("www"));
        std::fs::create_dir_all(&webroot).unwrap();
        let (http_port, tls_port) = (options.http_port.unwrap_or_else(free_port), free_port());
        let config = config(folder.path(), options, &webroot, http_port, tls_port);
        tree::write_with_mode(&folder.path().join("nginx.conf"), &config, 0o644);

        let arguments = arguments(folder.path());
        let arguments: Vec<_> = arguments.iter().map(OsStr::new).collect();
        let log = folder.path().join("nginx.log");
        let mut server = Server::start("nginx", &require_program("nginx"), &arguments, &[], &log).gently();
        let pid_file = folder.path().join("nginx.pid");
        let mut up = wait_for_port(http_port, Duration::from_secs(10));
        if options.tls.is_some() {
            up &= wait_for_port(tls_port, Duration::from_secs(10));
        }
        for site in &options.sites {
            up &= wait_for(SocketAddr::new(site.address, tls_port), Duration::from_secs(10));
        }
        let end = Instant::now() + Duration::from_secs(10);
        while !pid_file.exists() && server.ended().is_none() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
        if !up || server.ended().is_some() {
            return Err(server.log());
        }
        Ok(Self { server, folder, webroot, http_port, tls_port })
    }

    /// The document root.
    pub fn webroot(&self) -> &Path {
        &self.webroot
    }

    /// The port for plain http.
    pub fn http_port(&self) -> u16 {
        self.http_port
    }

    /// The port for TLS.
    pub fn tls_port(&self) -> u16 {
        self.tls_port
    }

    /// Where TLS is served.
    pub fn tls_address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.tls_port).into()
    }

    /// A shell command that makes it read its certificates again: a deploy hook.
    pub fn reload_command(&self) -> String {
        let arguments = arguments(self.folder.path()).map(|argument| format!("'{argument}'"));
        format!("'{}' {} -s reload", require_program("nginx").display(), arguments.join(" "))
    }

    /// Does that.
    pub fn reload(&self) -> Output {
        Command::new("/bin/sh").arg("-c").arg(self.reload_command()).output().unwrap()
    }

    /// How often it was told to reload.
    pub fn reloads(&self) -> usize {
        self.server.log().matches("(SIGHUP) received from").count()
    }

    /// The serial number of the certificate that it serves now, in upper-case hex.
    pub fn served_serial(&self, name: &str) -> String {
        https::served_serial(self.tls_address(), name).unwrap()
    }

    /// Waits until it serves this serial number: a reload returns before the workers have changed. Returns the one
    /// that it serves in the end.
    pub fn wait_for_serial(&self, name: &str, serial: &str) -> String {
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            let served = self.served_serial(name);
            if served.eq_ignore_ascii_case(serial) || Instant::now() >= end {
                return served;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn arguments(folder: &Path) -> [String; 6] {
    let folder = folder.display();
    ["-p", &format!("{folder}/"), "-e", "stderr", "-c", &format!("{folder}/nginx.conf")].map(str::to_owned)
}

fn config(folder: &Path, options: &NginxOptions, webroot: &Path, http_port: u16, tls_port: u16) -> String {
    let (folder, webroot) = (folder.display(), webroot.display());
    // Started by root, the workers would change to a user who cannot enter a private temporary folder.
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let listen = |port: u16, kind: &str| {
        let v6 = if has_ipv6() { format!("listen [::1]:{port} {kind};") } else { String::new() };
        format!("listen 127.0.0.1:{port} {kind}; {v6}")
    };
    let tls = options.tls.as_ref().map_or_else(String::new, |(fullchain, privkey)| {
        format!(
            "server {{ {} ssl_certificate {}; ssl_certificate_key {}; root {webroot}; }}",
            listen(tls_port, "ssl"),
            fullchain.display(),
            privkey.display()
        )
    });
    let sites: String = options
        .sites
        .iter()
        .map(|site| {
            let files: String = site
                .tls
                .iter()
                .map(|(chain, key)| {
                    format!("ssl_certificate {}; ssl_certificate_key {}; ", chain.display(), key.display())
                })
                .collect();
            let listen = SocketAddr::new(site.address, tls_port);
            let name = if site.name.is_empty() { String::new() } else { format!("server_name {};", site.name) };
            format!("server {{ listen {listen} ssl; {name} {files} root {webroot}; }}\n    ")
        })
        .collect();
    format!(
        "{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr notice;
events {{ worker_connections 64; }}
http {{
    access_log off;
    default_type text/plain;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{ {} root {webroot}; }}
    {tls}
    {sites}
}}
",
        listen(http_port, "")
    )
}
