//! What the account commands and `certonly` share: the CA, its stored accounts, registering.

use std::sync::Arc;

use certkit_acme::accounts::{self, RolloverEnd, choose_account, find_by_key, recover_rollovers, register_and_save};
use certkit_acme::authorities;
use certkit_acme::protocol::{Authority, ExternalAccountBinding, NewAccount};
use certkit_acme::transport::Transport;
use certkit_core::store::{Store, StoredAccount};
use certkit_core::words::shell_word;
use certkit_core::{AcmeUrl, Failure, FailureClass, escape};

use super::Context;
use crate::exit::CommandError;

/// Reads a CA's directory.
pub(crate) async fn connect(context: &Context<'_>, server: &AcmeUrl) -> Result<Authority, CommandError> {
    let transport = Transport::new(&context.transport()?)?;
    context.ui.detail(&format!("Asking {server} for its directory."));
    Ok(Authority::connect(transport, server).await?)
}

/// The account that is named, else the only one; none when there is none.
pub(crate) fn choose(
    store: &Store,
    server: &AcmeUrl,
    wanted: Option<&str>,
) -> Result<Option<StoredAccount>, CommandError> {
    Ok(choose_account(store, server, wanted)?.into_account())
}

/// Whether there is no account for a CA at all. One that cannot be read is not missing.
pub(crate) fn is_missing(store: &Store, server: &AcmeUrl) -> Result<bool, CommandError> {
    let (accounts, findings) = store.accounts(server)?;
    Ok(accounts.is_empty() && findings.is_empty())
}

/// Ends what an interrupted change of an account's key left, so that the account with the right key is used. What
/// cannot be ended now is told, and is no failure of its own: the command may be about another account.
pub(crate) async fn settle(context: &Context<'_>, store: &Store) -> Result<(), CommandError> {
    if nothing_to_settle(store)? {
        return Ok(());
    }
    let locked = context.locked()?;
    let transport = Transport::new(&context.transport()?)?;
    for recovered in recover_rollovers(&locked, &transport, context.now).await? {
        let account = &recovered.account;
        match recovered.result {
            Ok(RolloverEnd::Finished { id }) => {
                context.ui.status(&format!("The account {account} was getting another key: it has it now, as {id}."));
            }
            Ok(RolloverEnd::Dropped) => {
                context.ui.status(&format!("The account {account} was getting another key: the CA did not take it."));
            }
            Ok(_) => context.ui.warning(&format!(
                "the account {account} was getting another key a moment ago; whether the CA takes it is asked again later"
            )),
            Err(failure) => context.ui.warning(&format!("the account {account} was getting another key: {failure}")),
        }
    }
    Ok(())
}

/// Whether no account's key is being changed, as far as the store knows.
pub(crate) fn nothing_to_settle(store: &Store) -> Result<bool, CommandError> {
    let (rollovers, findings) = store.rollovers()?;
    Ok(rollovers.is_empty() && findings.is_empty())
}

/// Registers a new account and stores it as certbot does. The terms of service have to be agreed to, by flag or by a
/// person.
pub(crate) async fn register(context: &Context<'_>, server: &AcmeUrl) -> Result<StoredAccount, CommandError> {
    let binding = binding(context)?;
    let authority = connect(context, server).await?;
    let new = new_account(context, &authority, binding.is_some()).await?;
    // Before the CA is asked, so that no account is made there that cannot be stored here.
    let locked = context.locked()?;
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let saved = register_and_save(&locked, &authority, &new, binding.as_ref(), context.now, &host).await;
    Ok(saved.map_err(Failure::from)?.stored)
}

/// Whoever gives a CA an address expects to be told by it. Says, where this machine tells nobody either, how it would.
pub(crate) fn say_who_tells(context: &Context<'_>, store: &Store, server: &AcmeUrl) {
    let contacts = context.invocation.contacts();
    // Settings that cannot be used tell nothing about whom they name.
    let tells_nobody = store.settings().is_ok_and(|settings| settings.channels().is_empty());
    if contacts.is_empty() || !tells_nobody {
        return;
    }
    let mut command = format!("certkit update_account --email {}", shell_word(&contacts.join(",")));
    if server.as_str() != authorities::LETS_ENCRYPT {
        command.push_str(&format!(" --server {}", shell_word(server.as_str())));
    }
    context.ui.status(&format!(
        "CAs send no mail about certificates any more; for this machine to tell you what goes wrong: {command}"
    ));
}

/// Registers the key of a stored account anew when the CA does not know it any more; none when the CA does.
pub(crate) async fn register_again(
    context: &Context<'_>,
    server: &AcmeUrl,
    stored: &StoredAccount,
) -> Result<Option<StoredAccount>, CommandError> {
    let binding = binding(context)?;
    let authority = connect(context, server).await?;
    let locked = context.locked()?;
    if find_by_key(&locked, &authority, stored).await.map_err(Failure::from)?.is_some() {
        return Ok(None);
    }
    let new = new_account(context, &authority, binding.is_some()).await?;
    let saved = accounts::register_again(&locked, &authority, stored, &new, binding.as_ref()).await;
    Ok(Some(saved.map_err(Failure::from)?.stored))
}

/// What is needed to register; the terms are agreed to.
async fn new_account(context: &Context<'_>, authority: &Authority, bound: bool) -> Result<NewAccount, CommandError> {
    let directory = authority.directory();
    if directory.external_account_required && !bound {
        return Err(CommandError::failed(
            "Unable to register an account with ACME server. Server requires external account binding. Please use --eab-kid and --eab-hmac-key",
        )
        .with_cure(FailureClass::ExternalAccountRequired.cure()));
    }
    // Before the owner commits to the CA.
    for note in authorities::known(&directory.url).map_or(&[][..], |known| known.notes) {
        context.ui.status(&format!("Note: {}.", note.text));
    }
    agree(context, directory.terms_of_service.as_deref()).await?;
    Ok(NewAccount::new(context.invocation.contacts(), true))
}

/// The terms of service are shown and agreed to once.
async fn agree(context: &Context<'_>, terms: Option<&str>) -> Result<(), CommandError> {
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
        // On a thread of its own, so that Ctrl-C ends the question.
        let ui = Arc::clone(context.ui);
        let answer = tokio::task::spawn_blocking(move || ui.confirm(&question, false)).await;
        if answer.unwrap_or(false) {
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
