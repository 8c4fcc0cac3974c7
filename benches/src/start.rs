//! How soon the command says something.

use std::path::PathBuf;
use std::process::Command;

use crate::cost::{millis, of_program};
use crate::{Failure, trees};

const ROUNDS: usize = 20;

/// The command, when it was built with the benches' profile.
pub(crate) fn certkit() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?.with_file_name("certkit");
    program.is_file().then_some(program)
}

/// Prints the wall time of the smallest commands, from the start of the process to its end.
pub(crate) fn print() -> Result<(), Failure> {
    let Some(program) = certkit() else {
        println!("certkit is not built: cargo build --release -p certkit-cli");
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let tree = trees::lay(&folder.path().join("letsencrypt"), 1);
    let nothing = of_program(&mut Command::new("true"), ROUNDS)?;
    let version = of_program(Command::new(&program).arg("--version"), ROUNDS)?;
    let mut list = Command::new(&program);
    list.arg("certificates").arg("--config-dir").arg(tree.config_dir());
    for dir in ["--work-dir", "--logs-dir"] {
        list.arg(dir).arg(folder.path().join("own"));
    }
    let list = of_program(&mut list, ROUNDS)?;
    println!("{:<38} {:>8}", "from start to end", "wall ms");
    for (name, wall) in [("true", nothing), ("certkit --version", version), ("certkit certificates, one lineage", list)]
    {
        println!("{name:<38} {:>8.1}", millis(wall));
    }
    Ok(())
}
