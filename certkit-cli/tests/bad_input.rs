//! Bad input: what certbot or the format allows is read with certbot's meaning; everything else is a clear error.
//! Either way nothing is lost and the other lineages go on.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use testkit::{Pebble, PebbleOptions, Tree};

struct World {
    tree: Tree,
    root: tempfile::TempDir,
    ca_bundle: Option<PathBuf>,
}

impl World {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let tree = Tree::new(root.path().join("le"), testkit::now());
        Self { tree, root, ca_bundle: None }
    }

    fn certkit(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_certkit"));
        command.args(arguments);
        command.arg("--config-dir").arg(self.tree.config_dir());
        command.arg("--work-dir").arg(self.root.path().join("work"));
        command.arg("--logs-dir").arg(self.root.path().join("logs"));
        if let Some(bundle) = &self.ca_bundle {
            command.arg("--ca-bundle").arg(bundle);
        }
        command.env("HOME", self.root.path()).env_remove("XDG_CONFIG_HOME").stdin(Stdio::null());
        let output = command.args(["-n", "--no-random-sleep-on-renew"]).output().unwrap();
        assert!(output.status.code().is_some_and(|code| code <= 2), "{output:?}");
        assert!(!text(&output).contains("panicked"), "{output:?}");
        output
    }

    fn listing(&self) -> serde_json::Value {
        let output = self.certkit(&["certificates", "--json"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn config(&self, path: &str) -> PathBuf {
        self.tree.config_dir().join(path)
    }
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn status_of(listing: &serde_json::Value, name: &str) -> String {
    let lineages = listing["lineages"].as_array().unwrap();
    let found =
        lineages.iter().find(|lineage| lineage["name"] == name).unwrap_or_else(|| panic!("{name} in {listing}"));
    found["status"].as_str().unwrap().to_owned()
}

fn relink(live: &Path, kind: &str, target: impl AsRef<Path>) {
    let link = live.join(format!("{kind}.pem"));
    fs::remove_file(&link).unwrap();
    symlink(target, link).unwrap();
}

#[test]
fn confs_are_read_as_certbot_reads_them_and_what_it_rejects_is_one_broken_lineage() {
    let world = World::new();
    let edit = |name: &str, change: &dyn Fn(String) -> Vec<u8>| {
        let paths = world.tree.lineage(name).server("https://127.0.0.1:9/dir").write();
        let before = fs::read_to_string(&paths.conf).unwrap();
        fs::write(&paths.conf, change(before)).unwrap();
    };
    edit("good.example.com", &String::into_bytes);
    edit("bom.example.com", &|text| format!("\u{feff}{text}").into_bytes());
    edit("crlf.example.com", &|text| text.replace('\n', "\r\n").into_bytes());
    edit("resolves.example.com", &|text| {
        format!("{text}post_hook = echo %(server)s\n").replace("[[webroot_map]]", "[[webroot_map]]").into_bytes()
    });
    edit("comment.example.com", &|text| format!("# a comment\n\n{text}").into_bytes());
    edit("noparams.example.com", &|text| text.split("[renewalparams]").next().unwrap().as_bytes().to_vec());
    edit("dangling.example.com", &|text| {
        text.replace("[renewalparams]", "[renewalparams]\npre_hook = echo %(nowhere)s").into_bytes()
    });
    edit("twice.example.com", &|text| {
        text.replace("[renewalparams]", "[renewalparams]\nserver = https://a.example/dir").into_bytes()
    });
    edit("binary.example.com", &|_| vec![0, 159, 146, 150, 0, 10, 61]);
    edit("empty.example.com", &|_| Vec::new());
    edit("nobool.example.com", &|text| {
        text.replace("[renewalparams]", "[renewalparams]\nautorenew = nope").into_bytes()
    });
    fs::create_dir(world.config("renewal/folder.example.com.conf")).unwrap();
    symlink("nowhere", world.config("renewal/nolink.example.com.conf")).unwrap();
    let listing = world.listing();
    for name in ["good", "bom", "crlf", "comment"] {
        assert_eq!(status_of(&listing, &format!("{name}.example.com")), "valid");
    }
    for name in ["noparams", "dangling", "twice", "binary", "empty", "nobool", "folder", "nolink"] {
        assert_eq!(status_of(&listing, &format!("{name}.example.com")), "broken", "{name}");
    }
    let output = world.certkit(&["renew"]);
    assert_eq!(output.status.code(), Some(1));
    for name in ["noparams", "twice", "binary"] {
        assert!(text(&output).contains(&format!("{name}.example.com.conf")), "{output:?}");
    }
    assert!(text(&output).contains("good.example.com"), "{output:?}");
}

#[test]
fn links_and_files_in_every_odd_state_are_told_apart() {
    let world = World::new();
    let plain = |name: &str| world.tree.lineage(name).server("https://127.0.0.1:9/dir").versions(2).write();
    plain("good.example.com");
    world.tree.lineage("absolute.example.com").server("https://127.0.0.1:9/dir").absolute_links().write();
    relink(&plain("dangling.example.com").live, "chain", "../../archive/dangling.example.com/chain9.pem");
    relink(&plain("other.example.com").live, "privkey", "../../archive/good.example.com/privkey2.pem");
    relink(&plain("mixed.example.com").live, "privkey", "../../archive/mixed.example.com/privkey1.pem");
    let copied = plain("copied.example.com");
    let content = fs::read(copied.live.join("cert.pem")).unwrap();
    fs::remove_file(copied.live.join("cert.pem")).unwrap();
    fs::write(copied.live.join("cert.pem"), content).unwrap();
    let empty = plain("empty.example.com");
    fs::write(empty.archive.join("fullchain2.pem"), "").unwrap();
    let cut = plain("cut.example.com");
    let whole = fs::read(cut.archive.join("cert2.pem")).unwrap();
    fs::write(cut.archive.join("cert2.pem"), &whole[..whole.len() / 2]).unwrap();
    let pipe = plain("pipe.example.com");
    fs::remove_file(pipe.archive.join("cert2.pem")).unwrap();
    assert!(Command::new("mkfifo").arg(pipe.archive.join("cert2.pem")).status().unwrap().success());
    let listing = world.listing();
    assert_eq!(status_of(&listing, "good.example.com"), "valid");
    assert_eq!(status_of(&listing, "absolute.example.com"), "valid");
    for name in ["dangling", "other", "mixed", "copied", "empty", "cut", "pipe"] {
        assert_eq!(status_of(&listing, &format!("{name}.example.com")), "broken", "{name}");
    }
    // The run puts right what it can prove, and leaves the rest as it is.
    let good = fs::read(world.config("archive/good.example.com/privkey2.pem")).unwrap();
    let output = world.certkit(&["renew"]);
    assert!(text(&output).contains("copied.example.com"), "{output:?}");
    assert_eq!(fs::read(world.config("archive/good.example.com/privkey2.pem")).unwrap(), good);
    assert_eq!(status_of(&world.listing(), "good.example.com"), "valid");
    assert_eq!(status_of(&world.listing(), "mixed.example.com"), "valid", "the newest complete version is live");
}

#[test]
fn reading_commands_write_nothing_at_all() {
    let world = World::new();
    world.tree.lineage("a.example.com").server("https://127.0.0.1:9/dir").write();
    fs::create_dir(world.config("live/empty.example.com")).unwrap();
    let before = world.tree.snapshot();
    for arguments in
        [&["certificates"][..], &["certificates", "--json"], &["versions"], &["history"], &["show_account"]]
    {
        world.certkit(arguments);
    }
    assert_eq!(world.tree.snapshot(), before);
    assert!(!world.root.path().join("logs").exists() && !world.root.path().join("work").exists());
}

#[test]
fn an_orphan_is_a_problem_with_a_cure() {
    let world = World::new();
    world.tree.lineage("a.example.com").server("https://127.0.0.1:9/dir").write();
    fs::create_dir(world.config("live/empty.example.com")).unwrap();
    let listing = world.listing();
    let problems = listing["problems"].as_array().unwrap();
    assert!(
        problems.iter().any(|problem| problem["path"].as_str().unwrap().ends_with("live/empty.example.com")),
        "{listing}"
    );
    let output = world.certkit(&["certificates"]);
    assert!(text(&output).contains("live/empty.example.com"), "{output:?}");
}

#[test]
fn hostile_names_reach_no_path_and_no_terminal() {
    let world = World::new();
    world.tree.lineage("a.example.com").server("https://127.0.0.1:9/dir").write();
    let folder = world.config("renewal");
    for name in [&b"\x1b[31mred.conf"[..], b"new\nline.conf", b"\xff\xfe.conf", b"-rf.conf"] {
        fs::write(folder.join(std::ffi::OsStr::from_bytes(name)), "x = 1\n").unwrap();
    }
    for arguments in [&["certificates"][..], &["renew"], &["certificates", "--json"]] {
        let output = world.certkit(arguments);
        let shown: Vec<u8> = output.stdout.iter().chain(&output.stderr).copied().collect();
        assert!(!shown.contains(&0x1b), "{output:?}");
        assert!(!String::from_utf8_lossy(&shown).contains("new\nline"), "{output:?}");
    }
    for arguments in [
        &["delete", "--cert-name", "../live"][..],
        &["renew", "--cert-name", "../../etc"],
        &["rollback", "--cert-name", "a/b"],
    ] {
        assert!(!world.certkit(arguments).status.success());
    }
    assert_eq!(status_of(&world.listing(), "a.example.com"), "valid");
}

#[test]
fn a_config_dir_that_cannot_be_read_is_an_error_and_not_an_empty_list() {
    let world = World::new();
    let file = world.root.path().join("file");
    fs::write(&file, "").unwrap();
    for command in ["certificates", "renew"] {
        let output = Command::new(env!("CARGO_BIN_EXE_certkit"))
            .args([command, "-n", "--config-dir"])
            .arg(&file)
            .arg("--work-dir")
            .arg(world.root.path().join("work"))
            .arg("--logs-dir")
            .arg(world.root.path().join("logs"))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(text(&output).contains("file"), "{output:?}");
    }
}

#[test]
fn what_is_not_a_ca_is_named_and_the_others_go_on() {
    let mut world = World::new();
    let pebble = Pebble::start(PebbleOptions::default());
    world.ca_bundle = Some(pebble.ca_bundle());
    let server = pebble.directory_url();
    assert!(world.certkit(&["register", "--agree-tos", "--server", &server]).status.success());
    let port = pebble.http_port();
    let due = |name: &str, server: &str| {
        world.tree.lineage(name).days_left(3).server(server).standalone(port).write();
    };
    due("good.example.com", &server);
    let html = answering("text/html", 200, b"<html><body>Please log in".to_vec());
    due("html.example.com", &html);
    due("notfound.example.com", &answering("application/json", 404, b"{\"error\": 404}".to_vec()));
    due("huge.example.com", &answering("application/json", 200, vec![b' '; 10 << 20]));
    due("plain.example.com", "http://acme.example.com/directory");
    let output = world.certkit(&["renew"]);
    assert_eq!(output.status.code(), Some(1));
    let shown = text(&output);
    for (name, word) in [("html", "HTML"), ("notfound", "404"), ("huge", "more than"), ("plain", "https")] {
        assert!(shown.contains(&format!("{name}.example.com")), "{name}: {shown}");
        assert!(shown.contains(word), "{word}: {shown}");
    }
    let report = world.certkit(&["renew", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&report.stdout).unwrap();
    assert_eq!(report["schema"], 1);
    let not_due: Vec<&str> =
        report["not_due"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(not_due, ["good.example.com"], "{report}");
}

/// A server that is not a CA. Its thread ends with the test process.
fn answering(content_type: &'static str, status: u16, body: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/dir", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let head = format!(
                "HTTP/1.1 {status} X\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.write_all(&body);
        }
    });
    url
}
