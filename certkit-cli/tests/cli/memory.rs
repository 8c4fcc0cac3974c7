//! Keys and passwords that are not needed any more are not in memory any more: the daemon is looked into while it sleeps, as it
//! does for weeks. The URL of a webhook is: what speaks HTTP makes copies of it that nobody wipes.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use data_encoding::{BASE64, BASE64URL_NOPAD};
use rustix::process::{Pid, Signal, kill_process};
use testkit::{Pebble, PebbleOptions, Smtp, SmtpOptions};

use crate::support::{Place, Run};

/// Nothing here takes so long on a machine that works.
const PATIENCE: Duration = Duration::from_secs(120);

/// All that the process can write to: heap, stacks, its own data (proc_pid_maps(5)).
fn memory(child: &Child) -> Vec<Vec<u8>> {
    let maps = fs::read_to_string(format!("/proc/{}/maps", child.id())).unwrap();
    // Who cannot be dumped shows its memory to root alone.
    let memory = fs::File::open(format!("/proc/{}/mem", child.id())).expect("this test wants root");
    let ranges = maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|rights| rights.starts_with("rw")));
    let ranges = ranges.filter_map(|line| {
        let (from, to) = line.split(' ').next()?.split_once('-')?;
        Some((u64::from_str_radix(from, 16).ok()?, u64::from_str_radix(to, 16).ok()?))
    });
    let read = |(from, to): (u64, u64)| {
        let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
        memory.read_exact_at(&mut bytes, from).ok().map(|()| bytes)
    };
    ranges.filter_map(read).collect()
}

fn times(memory: &[Vec<u8>], needle: &[u8]) -> usize {
    // Enough to tell a secret from chance, and few enough to stand in one piece wherever it is.
    let needle = &needle[..needle.len().min(24)];
    let in_one = |bytes: &Vec<u8>| bytes.windows(needle.len()).filter(|window| *window == needle).count();
    memory.iter().map(in_one).sum()
}

/// What a private key looks like in memory: its text, its octets, its number.
fn traces_of_certificate_key(pem: &Path) -> Vec<(String, Vec<u8>)> {
    let text = fs::read_to_string(pem).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("--")).collect();
    let der = BASE64.decode(lines.concat().as_bytes()).unwrap();
    // ECPrivateKey (RFC 5915): version 1, then the number in 32 octets.
    let at = der.windows(5).position(|window| window == [2, 1, 1, 4, 32]).unwrap() + 5;
    let name = pem.file_name().unwrap().to_str().unwrap();
    vec![
        (format!("the text of {name}"), lines[1].as_bytes().to_vec()),
        (format!("the number of {name}"), der[at..at + 32].to_vec()),
    ]
}

fn traces_of_account_key(jwk: &Path) -> Vec<(String, Vec<u8>)> {
    let jwk: serde_json::Value = serde_json::from_str(&fs::read_to_string(jwk).unwrap()).unwrap();
    let members = ["d", "p", "q", "dp", "dq", "qi"].into_iter().filter_map(|name| Some((name, jwk[name].as_str()?)));
    let traces = members.flat_map(|(name, text)| {
        let number = BASE64URL_NOPAD.decode(text.as_bytes()).unwrap();
        [(format!("`{name}` as text"), text.as_bytes().to_vec()), (format!("`{name}` in octets"), number)]
    });
    traces.collect()
}

fn find(folder: &Path, name: &str) -> PathBuf {
    let all = walkdir::WalkDir::new(folder).into_iter().map(|entry| entry.unwrap().into_path());
    all.into_iter().find(|path| path.file_name().is_some_and(|file| file == name)).unwrap()
}

/// The memory of a daemon that has done what was due and sleeps; `has_worked` is asked before it is ended.
fn of_a_sleeping_daemon(place: &Place, ca: &Pebble, has_worked: &dyn Fn()) -> Vec<Vec<u8>> {
    let mut command = place.command(&["daemon", "-v"]);
    command.env("SSL_CERT_FILE", ca.ca_bundle()).env("MARK", "of this very process");
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begin = Instant::now();
    let log = || fs::read_to_string(place.log()).unwrap_or_default();
    while !log().contains("sleeping until ") {
        assert!(begin.elapsed() < PATIENCE, "it does not sleep: {}", log());
        std::thread::sleep(Duration::from_millis(20));
    }
    has_worked();
    let memory = memory(&child);
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    Run::of(child.wait_with_output().unwrap()).ends_with(143);
    // It is the right memory, and all of it.
    assert!(times(&memory, b"MARK=of this very process") > 0 && times(&memory, b"a.example.org") > 0);
    memory
}

#[test]
fn a_daemon_that_sleeps_has_no_key_in_its_memory() {
    let (place, ca) = (Place::new(), Pebble::start(PebbleOptions::default()));
    place.run_at(&ca, &["register", "-n", "--agree-tos"]).ends_with(0);
    let lineage = place.tree.lineage("a.example.org").days_left(5).server(&ca.directory_url());
    lineage.standalone(ca.http_port()).write();
    let archive = place.tree.config_dir().join("archive/a.example.org");

    let memory = of_a_sleeping_daemon(&place, &ca, &|| {
        assert!(archive.join("privkey2.pem").exists(), "it made no key");
    });
    let mut traces = traces_of_account_key(&find(&place.tree.config_dir().join("accounts"), "private_key.json"));
    for version in [1, 2] {
        traces.extend(traces_of_certificate_key(&archive.join(format!("privkey{version}.pem"))));
    }
    assert!(traces.len() >= 6, "{traces:?}");
    let found = traces.iter().map(|(what, needle)| (what, times(&memory, needle))).filter(|(_, times)| *times > 0);
    assert_eq!(found.collect::<Vec<_>>(), []);
}

#[test]
fn a_daemon_that_sleeps_has_no_password_of_the_mail_server_in_its_memory() {
    const PASSWORD: &str = "canary-of-the-mail-server";
    let (place, ca) = (Place::new(), Pebble::start(PebbleOptions::default()));
    place.run_at(&ca, &["register", "-n", "--agree-tos"]).ends_with(0);
    place.tree.lineage("a.example.org").days_left(-5).server("https://127.0.0.1:1/dir").standalone(1).write();
    let login = Some(("owner".to_owned(), PASSWORD.to_owned()));
    let mail = Smtp::start(&SmtpOptions { login, tls: "starttls", ..SmtpOptions::default() });
    fs::create_dir_all(place.tree.config_dir().join("certkit")).unwrap();
    fs::write(place.folder().join("password"), format!("{PASSWORD}\n")).unwrap();
    let settings = format!(
        "email = \"owner@example.org\"\nca_bundles = [\"{}\"]\n[[notify]]\nname = \"mail\"\nsmtp = \"localhost\"\n\
         port = {}\nusername = \"owner\"\npassword_file = \"{}\"\n",
        mail.ca_bundle().display(),
        mail.port(),
        place.folder().join("password").display(),
    );
    fs::write(place.tree.config_dir().join("certkit/settings.toml"), settings).unwrap();
    let memory = of_a_sleeping_daemon(&place, &ca, &|| {
        let mails = mail.mails();
        assert!(mails.iter().any(|mail| mail.login.as_deref() == Some("owner")), "nobody logged in: {mails:?}");
    });
    // As SASL sends it (RFC 4616 section 2).
    let sent = BASE64.encode(format!("\0owner\0{PASSWORD}").as_bytes());
    let found = [PASSWORD, &sent].map(|secret| times(&memory, secret.as_bytes()));
    assert_eq!(found, [0, 0]);
}
