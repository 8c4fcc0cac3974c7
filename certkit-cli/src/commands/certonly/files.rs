//! Where a certificate goes that belongs to no lineage: new files, never in the place of others.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use certkit_core::Chain;

use crate::args::typed::Typed;
use crate::exit::CommandError;
use crate::ui::shown;

/// certbot's mode for them: they are public.
const MODE: u32 = 0o644;

/// Numbers have four digits.
const MOST: u32 = 9999;

/// The three files that are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Destinations {
    cert: Destination,
    chain: Destination,
    fullchain: Destination,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Destination {
    /// This one.
    Named(PathBuf),
    /// `NNNN_NAME` with the first free number, as certbot does.
    Numbered { folder: PathBuf, name: &'static str },
}

/// The three files that were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Saved {
    /// The certificate.
    pub(crate) cert: PathBuf,
    /// Its issuers.
    pub(crate) chain: PathBuf,
    /// Both.
    pub(crate) fullchain: PathBuf,
}

impl Destinations {
    /// As the flags say; by default certbot's `0000_cert.pem`, `0000_chain.pem` and `0001_chain.pem` where we are.
    pub(super) fn of(typed: &Typed) -> Result<Self, CommandError> {
        let here = std::env::current_dir()
            .map_err(|problem| CommandError::failed(format!("the current directory cannot be used: {problem}")))?;
        let one = |named: &Option<PathBuf>, name: &'static str| match named {
            Some(path) => Destination::Named(here.join(path)),
            None => Destination::Numbered { folder: here.clone(), name },
        };
        Ok(Self {
            cert: one(&typed.revocation.cert_path, "cert.pem"),
            chain: one(&typed.csr.chain_path, "chain.pem"),
            fullchain: one(&typed.csr.fullchain_path, "chain.pem"),
        })
    }

    /// Refuses what could not be written, without writing anything.
    pub(super) fn check(&self) -> Result<(), CommandError> {
        let mut named: Vec<&Path> = Vec::new();
        for destination in [&self.cert, &self.chain, &self.fullchain] {
            if let Destination::Named(path) = destination {
                if named.contains(&path.as_path()) {
                    return Err(CommandError::usage(format!("{} is named twice", shown(path)))
                        .with_cure("give each of --cert-path, --chain-path and --fullchain-path a file of its own"));
                }
                if path.symlink_metadata().is_ok() {
                    return Err(CommandError::failed(format!("{} exists already", shown(path)))
                        .with_cure("name another file, or move this one away: nothing is overwritten"));
                }
                named.push(path);
            }
            let folder = destination.folder();
            let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
            rustix::fs::access(folder, access).map_err(|problem| {
                CommandError::failed(format!("cannot write to {}: {}", shown(folder), io::Error::from(problem)))
                    .with_cure(
                        "go to another directory, or name files with --cert-path, --chain-path and --fullchain-path",
                    )
            })?;
        }
        Ok(())
    }

    /// Writes all three, or none.
    pub(super) fn save(&self, chain: &Chain) -> Result<Saved, CommandError> {
        let mut made = Vec::new();
        let texts = [
            (&self.cert, chain.cert_pem()),
            (&self.chain, chain.chain_pem()),
            (&self.fullchain, chain.fullchain_pem()),
        ];
        for (destination, text) in texts {
            if let Err((path, problem)) = destination.write(&text, &mut made) {
                for path in made {
                    // What cannot be removed is at least not in the place of anything.
                    let _ = fs::remove_file(path);
                }
                return Err(CommandError::failed(format!("cannot write {}: {problem}", shown(&path))));
            }
        }
        match <[PathBuf; 3]>::try_from(made) {
            Ok([cert, chain, fullchain]) => Ok(Saved { cert, chain, fullchain }),
            Err(_) => Err(CommandError::failed("not every file was written")),
        }
    }
}

impl Destination {
    fn folder(&self) -> &Path {
        match self {
            Self::Named(path) => path.parent().unwrap_or(path),
            Self::Numbered { folder, .. } => folder,
        }
    }

    /// The path goes to `made` as soon as the file is there.
    fn write(&self, text: &str, made: &mut Vec<PathBuf>) -> Result<(), (PathBuf, io::Error)> {
        let (path, mut file) = match self {
            Self::Named(path) => (path.clone(), create(path).map_err(|problem| (path.clone(), problem))?),
            Self::Numbered { folder, name } => first_free(folder, name)?,
        };
        made.push(path.clone());
        file.write_all(text.as_bytes())
            .and_then(|()| file.set_permissions(Permissions::from_mode(MODE)))
            .and_then(|()| file.sync_all())
            .map_err(|problem| (path, problem))
    }
}

fn first_free(folder: &Path, name: &str) -> Result<(PathBuf, File), (PathBuf, io::Error)> {
    for number in 0..=MOST {
        let path = folder.join(format!("{number:04}_{name}"));
        match create(&path) {
            Ok(file) => return Ok((path, file)),
            Err(problem) if problem.kind() == io::ErrorKind::AlreadyExists => {}
            Err(problem) => return Err((path, problem)),
        }
    }
    Err((folder.join(name), io::Error::new(io::ErrorKind::AlreadyExists, "every number is taken")))
}

/// A link counts as a file that exists, wherever it leads.
fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(MODE).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(folder: &Path) -> Destinations {
        let one = |name| Destination::Numbered { folder: folder.to_owned(), name };
        Destinations { cert: one("cert.pem"), chain: one("chain.pem"), fullchain: one("chain.pem") }
    }

    fn chain() -> Chain {
        let pki = testkit::Pki::new(testkit::now());
        Chain::from_pem(pki.for_localhost(testkit::now()).fullchain.as_bytes()).unwrap()
    }

    fn names(saved: &Saved) -> Vec<&str> {
        [&saved.cert, &saved.chain, &saved.fullchain]
            .into_iter()
            .map(|path| path.file_name().unwrap().to_str().unwrap())
            .collect()
    }

    #[test]
    fn the_first_free_numbers_are_taken() {
        let folder = tempfile::tempdir().unwrap();
        let (destinations, chain) = (numbered(folder.path()), chain());
        let first = destinations.save(&chain).unwrap();
        assert_eq!(names(&first), ["0000_cert.pem", "0000_chain.pem", "0001_chain.pem"]);
        assert_eq!(fs::read_to_string(&first.cert).unwrap(), chain.cert_pem());
        assert_eq!(fs::read_to_string(&first.chain).unwrap(), chain.chain_pem());
        assert_eq!(fs::read_to_string(&first.fullchain).unwrap(), chain.fullchain_pem());
        assert_eq!(first.cert.metadata().unwrap().permissions().mode() & 0o7777, 0o644);
        let second = destinations.save(&chain).unwrap();
        assert_eq!(names(&second), ["0001_cert.pem", "0002_chain.pem", "0003_chain.pem"]);
    }

    #[test]
    fn nothing_is_overwritten_and_nothing_is_left_half_done() {
        let folder = tempfile::tempdir().unwrap();
        let mut destinations = numbered(folder.path());
        let taken = folder.path().join("full.pem");
        std::os::unix::fs::symlink("nowhere", &taken).unwrap();
        destinations.fullchain = Destination::Named(taken.clone());
        assert!(destinations.check().unwrap_err().what.contains("exists already"));
        assert!(destinations.save(&chain()).unwrap_err().what.contains("full.pem"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "only the link");
        fs::remove_file(&taken).unwrap();
        destinations.check().unwrap();
        assert_eq!(destinations.save(&chain()).unwrap().fullchain, taken);
    }

    #[test]
    fn what_cannot_be_written_is_told_beforehand() {
        let folder = tempfile::tempdir().unwrap();
        let mut destinations = numbered(&folder.path().join("missing"));
        assert!(destinations.check().unwrap_err().what.contains("cannot write to"));
        let same = Destination::Named(folder.path().join("same.pem"));
        destinations = Destinations { cert: same.clone(), chain: same, ..numbered(folder.path()) };
        assert!(destinations.check().unwrap_err().what.contains("named twice"));
    }
}
