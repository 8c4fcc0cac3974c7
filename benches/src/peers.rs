//! The same tree listed by others: certbot, lego and `cat`. Who is not installed is left out.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::Failure;
use crate::cost::{millis, of_program};
use crate::start;

/// certbot would keep everybody waiting for more.
const MOST_FOR_CERTBOT: usize = 1000;

/// Prints what each needs for the tree, process and output included.
pub(crate) fn print(config_dir: &Path, lineages: usize) -> Result<(), Failure> {
    let rounds = if lineages > 1000 { 3 } else { 5 };
    let cat = of_program(&mut cat(config_dir), rounds)?;
    println!("{:<38} {:>8} {:>6}", "whole processes on this tree", "wall ms", "× cat");
    row("cat of the same five files", cat, cat);
    match start::certkit() {
        Some(program) => row("certkit certificates", of_program(&mut certkit(&program, config_dir), rounds)?, cat),
        None => println!("certkit is not built: cargo build --release -p certkit-cli"),
    }
    let lego_dir = config_dir.with_file_name("lego");
    if is_there("lego") {
        lay_for_lego(config_dir, &lego_dir)?;
        row("lego list", of_program(Command::new("lego").arg("--path").arg(&lego_dir).arg("list"), rounds)?, cat);
    } else {
        println!("lego is not installed: apt-get install lego");
    }
    if !is_there("certbot") && std::env::var_os("CERTKIT_TEST_CERTBOT").is_none() {
        println!("certbot is not installed: pip install certbot, and its folder in PATH");
    } else if lineages > MOST_FOR_CERTBOT {
        println!("certbot is asked about {MOST_FOR_CERTBOT} lineages at most");
    } else {
        row("certbot certificates", of_program(&mut certbot(config_dir), 1)?, cat);
    }
    println!();
    Ok(())
}

fn row(name: &str, wall: Duration, cat: Duration) {
    println!("{name:<38} {:>8.1} {:>6.1}", millis(wall), wall.as_secs_f64() / cat.as_secs_f64());
}

/// Through a shell, for the names are more than one command line takes.
fn cat(config_dir: &Path) -> Command {
    let mut command = Command::new("sh");
    let all = r#"find -L "$1/renewal" "$1/live" -name '*.conf' -o -name '*.pem' | xargs cat"#;
    command.args(["-c", all, "sh"]).arg(config_dir);
    command
}

fn certkit(program: &Path, config_dir: &Path) -> Command {
    let mut command = Command::new(program);
    let beside = |name: &str| config_dir.with_file_name(name);
    command.arg("certificates").arg("--config-dir").arg(config_dir);
    command.arg("--work-dir").arg(beside("work")).arg("--logs-dir").arg(beside("logs"));
    command
}

fn certbot(config_dir: &Path) -> Command {
    let program = std::env::var_os("CERTKIT_TEST_CERTBOT").unwrap_or_else(|| "certbot".into());
    let mut command = certkit(Path::new(&program), config_dir);
    command.arg("--non-interactive");
    command
}

fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// The same certificates as lego keeps them: `certificates/NAME.crt` and what it remembers of each in `NAME.json`.
fn lay_for_lego(config_dir: &Path, lego_dir: &Path) -> Result<(), Failure> {
    let certificates = lego_dir.join("certificates");
    fs::create_dir_all(&certificates)?;
    for entry in fs::read_dir(config_dir.join("live"))? {
        let live: PathBuf = entry?.path();
        let (Some(name), true) = (live.file_name().and_then(|name| name.to_str()), live.is_dir()) else { continue };
        fs::copy(live.join("fullchain.pem"), certificates.join(format!("{name}.crt")))?;
        fs::write(certificates.join(format!("{name}.json")), format!(r#"{{"domain":"{name}"}}"#))?;
    }
    Ok(())
}
