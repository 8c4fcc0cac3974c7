//! The least that any program does: opening and reading the same files, and nothing with what they hold.

use std::ffi::OsString;
use std::fs;
use std::hint::black_box;
use std::path::Path;

use crate::Failure;

/// What decides whether a lineage is due.
pub(crate) const TWO: &[&str] = &["cert.pem"];
/// All that a lineage has.
pub(crate) const FIVE: &[&str] = &["cert.pem", "privkey.pem", "chain.pem", "fullchain.pem"];

/// Reads each conf and these of the live files. Gives the number of bytes.
pub(crate) fn read(config_dir: &Path, files: &[&str]) -> Result<usize, Failure> {
    each(config_dir, files, |_| Ok(()))
}

/// The same, and follows the four links of each: whoever is to tell of one that leads nowhere has to.
pub(crate) fn read_and_follow(config_dir: &Path, files: &[&str]) -> Result<usize, Failure> {
    each(config_dir, files, |live| {
        for file in FIVE {
            let target = live.join(fs::read_link(live.join(file))?);
            black_box(fs::metadata(target)?);
        }
        Ok(())
    })
}

fn each(config_dir: &Path, files: &[&str], look: impl Fn(&Path) -> Result<(), Failure>) -> Result<usize, Failure> {
    let renewal = config_dir.join("renewal");
    let mut confs: Vec<OsString> =
        fs::read_dir(&renewal)?.map(|entry| entry.map(|entry| entry.file_name())).collect::<Result<_, _>>()?;
    confs.sort_unstable();
    let mut bytes = 0;
    for conf in &confs {
        bytes += black_box(fs::read(renewal.join(conf))?).len();
        let live = config_dir.join("live").join(Path::new(conf).file_stem().ok_or("a conf without a name")?);
        look(&live)?;
        for file in files {
            bytes += black_box(fs::read(live.join(file))?).len();
        }
    }
    Ok(bytes)
}
