//! pebble-challtestsrv, the DNS that test CAs ask when they validate.

use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::https;
use crate::ports::{free_port, wait_for_port};
use crate::process::{Server, require_program};

/// A DNS server on loopback that answers every name.
#[derive(Debug)]
pub(crate) struct TestDns {
    server: Server,
    port: u16,
    management_port: u16,
}

impl TestDns {
    /// Starts it with its log in `folder`. It goes on without a port that was taken: see [`TestDns::is_up`].
    pub(crate) fn start(folder: &Path, default_ipv4: &str, default_ipv6: &str) -> Self {
        let (port, management_port) = (free_port(), free_port());
        let (address, management) = (format!("127.0.0.1:{port}"), format!("127.0.0.1:{management_port}"));
        // Its own challenge responders stay off: the client under test answers.
        let arguments = [
            ["-dns01", &address],
            ["-management", &management],
            ["-http01", ""],
            ["-https01", ""],
            ["-tlsalpn01", ""],
            ["-defaultIPv4", default_ipv4],
            ["-defaultIPv6", default_ipv6],
        ];
        let arguments: Vec<_> = arguments.iter().flatten().map(OsStr::new).collect();
        let log = folder.join("challtestsrv.log");
        let program = require_program("pebble-challtestsrv");
        let server = Server::start("pebble-challtestsrv", &program, &arguments, &[], &log);
        Self { server, port, management_port }
    }

    /// Waits until it answers; false when somebody took a port first.
    pub(crate) fn is_up(&mut self) -> bool {
        wait_for_port(self.port, Duration::from_secs(10))
            && wait_for_port(self.management_port, Duration::from_secs(10))
            && self.server.ended().is_none()
            && !self.log().contains("address already in use")
    }

    /// The port at which it answers, by UDP and TCP.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn management_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.management_port)
    }

    pub(crate) fn log(&self) -> String {
        self.server.log()
    }

    /// A command of the management interface about one name, with more members than `host`.
    pub(crate) fn command(&self, command: &str, host: &str, more: &[(&str, Value)]) {
        // It knows names with their trailing dot.
        let mut body = json!({ "host": format!("{}.", host.trim_end_matches('.')) });
        for (name, value) in more {
            body[*name] = value.clone();
        }
        let address = (Ipv4Addr::LOCALHOST, self.management_port).into();
        let answer = https::post_plain(address, &format!("/{command}"), body.to_string().as_bytes()).unwrap();
        assert_eq!(answer.status, 200, "{command}: {}", String::from_utf8_lossy(&answer.body));
    }
}
