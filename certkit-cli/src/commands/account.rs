//! What the account commands and `certonly` share: the CA, its stored accounts, registering.

use certkit_acme::protocol::{Account, AccountKey, Authority, ExternalAccountBinding, NewAccount};
use certkit_acme::transport::Transport;
use certkit_core::store::{NewStoredAccount, Store, StoredAccount};
use certkit_core::{AcmeUrl, Failure, FailureClass, escape};

use super::Context;
use crate::exit::CommandError;

/// Reads a CA's directory.
pub(crate) async fn connect(context: &Context<'_>, server: &AcmeUrl) -> Result<Authority, CommandError> {
    let transport = Transport::new(&context.invocation.transport())?;
    context.ui.detail(&format!("Asking {server} for its directory."));
    Ok(Authority::connect(transport, server).await?)
}

/// The stored accounts for a CA; damaged ones are told.
pub(crate) fn stored(context: &Context<'_>, store: &Store, server: &AcmeUrl) -> Result<Vec<StoredAccount>, CommandError> {
    let (accounts, findings) = store.accounts(server)?;
    crate::render::renewal::tell_findings(&findings, context.ui);
    Ok(accounts)
}

/// certbot's rule: the one that is named, else the only one.
pub(crate) fn choose(accounts: Vec<StoredAccount>, id: Option<&str>) -> Result<Option<StoredAccount>, CommandError> {
    let ids: Vec<String> = accounts.iter().map(|account| escape(&account.id).into_owned()).collect();
    if let Some(id) = id {
        return match accounts.into_iter().find(|account| account.id == id) {
            Some(account) => Ok(Some(account)),
            None => Err(CommandError::failed(format!("there is no account `{}` for this CA", escape(id)))
                .with_cure(known(&ids))),
        };
    }
    let mut accounts = accounts;
    if accounts.len() > 1 {
        return Err(CommandError::failed(format!(
            "there are several accounts for this CA: {}", ids.join(", ")
        ))
        .with_cure("name one of them: --account ID"));
    }
    Ok(accounts.pop())
}

fn known(ids: &[String]) -> String {
    if ids.is_empty() {
        FailureClass::AccountUnknown.cure().to_owned()
    } else {
        format!("use one of: {}", ids.join(", "))
    }
}

/// The account to talk to the CA with.
pub(crate) fn open(authority: &Authority, stored: &StoredAccount) -> Result<Account, CommandError> {
    let key = AccountKey::from_jwk(&stored.jwk)
        .map_err(|problem| CommandError::failed(format!("{}: {problem}", crate::ui::shown(&stored.path))))?;
    Ok(authority.account(key, stored.uri.clone())?)
}

/// Registers a new account and stores it as certbot does. The terms of service have to be agreed to, by flag or by a
/// person.
pub(crate) async fn register(context: &Context<'_>, server: &AcmeUrl) -> Result<StoredAccount, CommandError> {
    let binding = binding(context)?;
    let contacts = context.invocation.contacts();
    let authority = connect(context, server).await?;
    if authority.directory().external_account_required && binding.is_none() {
        return Err(CommandError::failed(
            "Unable to register an account with ACME server. Server requires external account binding. Please use --eab-kid and --eab-hmac-key",
        )
        .with_cure(Failure::new(FailureClass::ExternalAccountRequired, "").cure()));
    }
    agree(context, authority.directory().terms_of_service.as_deref())?;
    // Before the CA is asked, so that no account is made there that cannot be stored here.
    let locked = context.locked()?;
    let key = AccountKey::generate().map_err(|problem| CommandError::failed(escape(&problem.to_string())))?;
    let jwk = key.to_jwk();
    let spki_der = key.spki_der().to_vec();
    let registered = authority.register(key, &NewAccount::new(contacts, true), binding.as_ref()).await?;
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let new = NewStoredAccount {
        spki_der: &spki_der,
        jwk: &jwk,
        uri: registered.account.url(),
        created: context.now,
        host: &host,
    };
    Ok(locked.save_account(server, &new)?)
}

/// The terms of service are shown and agreed to once.
fn agree(context: &Context<'_>, terms: Option<&str>) -> Result<(), CommandError> {
    let Some(terms) = terms else { return Ok(()) };
    let terms = escape(terms);
    if context.invocation.typed.account.agree_tos {
        context.ui.detail(&format!("Agreed to the Terms of Service at {terms} (--agree-tos)."));
        return Ok(());
    }
    let question = format!(
        "Please read the Terms of Service at: {terms}\nYou must agree in order to register with the ACME server. Do you agree?"
    );
    if context.ui.voice().interactive {
        if context.ui.confirm(&question, false) {
            return Ok(());
        }
        return Err(CommandError::failed("the terms of service were not agreed to, so no account was registered"));
    }
    Err(CommandError::failed(format!(
        "Missing command line flag or config entry for this setting:\n{question}\n\n(You can set this with the --agree-tos flag)"
    ))
    .with_cure("read the terms and pass --agree-tos"))
}

/// The external account binding of the flags.
fn binding(context: &Context<'_>) -> Result<Option<ExternalAccountBinding>, CommandError> {
    let typed = &context.invocation.typed.account;
    match (&typed.eab_kid, &typed.eab_hmac_key) {
        (Some(kid), Some(key)) => {
            let algorithm = typed.eab_hmac_alg.as_deref().unwrap_or("HS256");
            ExternalAccountBinding::new(kid, key, algorithm)
                .map(Some)
                .map_err(|_| CommandError::usage("--eab-kid and --eab-hmac-key cannot be used: the key has to be the base64url text that the CA shows"))
        }
        (None, None) => Ok(None),
        _ => Err(CommandError::usage("--eab-kid and --eab-hmac-key belong together").with_cure("pass both")),
    }
}

/// No account where one is needed.
pub(crate) fn none_for(server: &AcmeUrl) -> CommandError {
    CommandError::failed(format!("Could not find an existing account for server {server}"))
        .with_cure(format!("register one: certkit register --server {server} --agree-tos"))
}
