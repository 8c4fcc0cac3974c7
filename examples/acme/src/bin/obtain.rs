//! Obtains a certificate with a challenge solver of its own: `obtain DIRECTORY_URL NAME FOLDER`
//! FOLDER is what a web server shows at http://NAME/.well-known/acme-challenge/.
use std::{error::Error, fs, path::PathBuf};

use certkit_acme::challenge::{Challenge, ChallengeKind, SolveError, Solver};
use certkit_acme::protocol::{AccountKey, Authority, NewAccount};
use certkit_acme::transport::{Transport, TransportSettings};
use certkit_acme::{BoxFuture, Stop, keys::KeySpec, obtain};
use certkit_core::{AcmeUrl, Identifier, IdentifierSet};

struct Folder(PathBuf);

impl Solver for Folder {
    fn kinds(&self, _: &Identifier, _wildcard: bool) -> Vec<ChallengeKind> {
        vec![ChallengeKind::Http01]
    }
    fn present<'a>(&'a self, all: &'a [Challenge], _: &'a IdentifierSet) -> BoxFuture<'a, Result<(), SolveError>> {
        let write = |one: &Challenge| fs::write(self.0.join(one.token.as_str()), &one.key_authorization);
        let written = all.iter().try_for_each(write).map_err(|error| SolveError::Setup(error.to_string()));
        Box::pin(async { written })
    }
    fn withdraw<'a>(&'a self, all: &'a [Challenge]) -> BoxFuture<'a, Result<(), SolveError>> {
        all.iter().for_each(|one| drop(fs::remove_file(self.0.join(one.token.as_str()))));
        Box::pin(async { Ok(()) })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let argument = |at| std::env::args().nth(at).ok_or("usage: obtain DIRECTORY_URL NAME FOLDER");
    let (directory, folder) = (AcmeUrl::parse(&argument(1)?)?, Folder(argument(3)?.into()));
    let (names, key) = (IdentifierSet::from(vec![argument(2)?.parse()?]), KeySpec::EcdsaP256.generate()?);
    let authority = Authority::connect(Transport::new(&TransportSettings::from_env())?, &directory).await?;
    let account = authority.register(AccountKey::generate()?, &NewAccount::new(vec![], true), None).await?.account;
    let issued = obtain(&account, &names, &folder, &key, &Stop::new()).await?;
    print!("{}{}{}", issued.chain.cert_pem(), issued.chain.chain_pem(), key.to_pem().as_str());
    Ok(())
}
