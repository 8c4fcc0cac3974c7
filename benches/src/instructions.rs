//! Instructions instead of time: they are the same on a busy machine, so that a parser that became slower shows.

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::process::Command;

use certkit_acme::AwsLcKeyMath;
use certkit_core::store::RenewalConf;
use certkit_core::{Certificate, KeyMath as _, PrivateKey, read_bundle};

use crate::{Failure, trees};

/// What is counted, and what it is called.
const COUNTED: [(&str, &str); 5] = [
    ("bundle", "PEM bundle of leaf, issuer and key"),
    ("certificate", "certificate: dates, names, serial, key"),
    ("conf", "renewal conf as certbot writes it"),
    ("odd-conf", "the same with comments and quotes"),
    ("key-match", "public key of a private one"),
];

/// Once more than this many times, so that what comes before the work cancels out.
const TIMES: u64 = 200;

/// Prints the instructions that each work takes, counted by valgrind.
pub(crate) fn print() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let tree = trees::lay(&folder.path().join("letsencrypt"), 1);
    println!("{:<42} {:>12}", "", "instructions");
    for (work, name) in COUNTED {
        let (once, often) = (count(work, 1, tree.config_dir())?, count(work, TIMES + 1, tree.config_dir())?);
        println!("{name:<42} {:>12}", often.saturating_sub(once) / TIMES);
    }
    Ok(())
}

/// Does a work so many times, under valgrind.
pub(crate) fn repeat(work: &str, times: u64, config_dir: &Path) -> Result<(), Failure> {
    let input = Input::read(config_dir)?;
    for _ in 0..times {
        input.perform(work)?;
    }
    Ok(())
}

fn count(work: &str, times: u64, config_dir: &Path) -> Result<u64, Failure> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(std::env::current_exe()?);
    let output = command.args(["repeat", work, &times.to_string()]).arg(config_dir).output();
    let output = output.map_err(|error| format!("valgrind: {error} (apt-get install valgrind)"))?;
    let told = String::from_utf8_lossy(&output.stderr);
    let counted = told.lines().find_map(|line| line.split_once("Collected : ")).map(|(_, count)| count.trim());
    counted.and_then(|count| count.parse().ok()).ok_or_else(|| format!("valgrind counts nothing:\n{told}").into())
}

/// What is read.
struct Input {
    certificate: String,
    key: String,
    bundle: String,
    conf: String,
    odd_conf: String,
}

impl Input {
    fn read(config_dir: &Path) -> Result<Self, Failure> {
        let name = trees::name(0);
        let live = |file: &str| fs::read_to_string(config_dir.join("live").join(&name).join(file));
        let (certificate, key) = (live("cert.pem")?, live("privkey.pem")?);
        let conf = fs::read_to_string(config_dir.join("renewal").join(format!("{name}.conf")))?;
        let bundle = live("fullchain.pem")? + &key;
        // What people add.
        let odd_conf = conf.replace("account =", "# ours\naccount =");
        let odd_conf =
            odd_conf.replace("authenticator =", "renew_hook = 'systemctl reload nginx' # both\nauthenticator =");
        Ok(Self { certificate, key, bundle, conf, odd_conf })
    }

    fn perform(&self, work: &str) -> Result<(), Failure> {
        match work {
            "bundle" => drop(black_box(read_bundle(self.bundle.as_bytes()))),
            "certificate" => {
                let read = Certificate::from_pem(self.certificate.as_bytes())?;
                black_box((read.listed_names(), read.serial().certbot_hex(), read.key_type(), read.validity()));
            }
            "conf" => drop(black_box(RenewalConf::parse(self.conf.as_bytes())?)),
            "odd-conf" => drop(black_box(RenewalConf::parse(self.odd_conf.as_bytes())?)),
            "key-match" => {
                let key = PrivateKey::from_pem(self.key.as_bytes())?;
                black_box(AwsLcKeyMath::new().public_spki_der(&key)?);
            }
            other => return Err(format!("no such work: {other}").into()),
        }
        Ok(())
    }
}
