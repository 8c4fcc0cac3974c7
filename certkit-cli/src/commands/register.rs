//! `register`: makes an account at a CA.

use clap::Args as _;

use certkit_core::AcmeUrl;
use certkit_core::store::{Store, StoredAccount};
use serde_json::json;

use super::{Command, Context, Operands, account};
use crate::exit::{CommandError, Exit};
use crate::runtime;

/// Register an account at a CA
///
/// Makes an account at a CA and stores it where certbot finds it, too. `certkit certonly` does it by itself when it is
/// needed. A mail address is not needed.
///
/// An account that is stored already, but that the CA no longer knows, is registered anew with its old key, so that the
/// certificates that use it are renewed as before.
#[derive(clap::Args)]
struct About {}

/// `register`.
pub(crate) const COMMAND: Command = Command {
    name: "register",
    describe: About::augment_args,
    usage: "",
    flags: &[
        "agree_tos",
        "email",
        "register_unsafely_without_email",
        "eab_kid",
        "eab_hmac_key",
        "eab_hmac_alg",
        "server",
        "staging",
        "ca_bundle",
        "no_verify_ssl",
        "user_agent_comment",
    ],
    writes: true,
    operands: Operands::None,
    run,
};

fn run(context: &Context<'_>) -> Result<Exit, CommandError> {
    let server = context.invocation.server_or_default()?;
    let store = context.store()?;
    runtime::ask(account::settle(context, &store))?;
    let is_first = account::is_missing(&store, &server)?;
    let stored =
        if is_first { runtime::ask(account::register(context, &server))? } else { again(context, &store, &server)? };
    context.ui.result("Account registered.\n");
    if is_first {
        account::say_who_tells(context, &store, &server);
    }
    if !is_first {
        context.ui.result(&format!(
            "The CA did not know the account any more. It has its key and its id still; its URL is {} now: a CAA record that names the old one has to be changed.\n",
            stored.uri
        ));
    }
    if context.ui.voice().json {
        context.ui.json(&json!({ "schema": 1, "account": stored.id, "url": stored.uri.as_str() }));
    }
    Ok(Exit::Well)
}

/// An account is stored: only one that its CA lost is registered once more. A CA that is not reached decides nothing.
fn again(context: &Context<'_>, store: &Store, server: &AcmeUrl) -> Result<StoredAccount, CommandError> {
    let duplicate = || {
        CommandError::failed(
            "There is an existing account; registration of a duplicate account with this command is currently unsupported",
        )
        .with_cure("use it: nothing has to be registered; `certkit show_account` shows it, `certkit update_account` changes it")
    };
    // Several, or none that can be read.
    let Ok(Some(stored)) = account::choose(store, server, None) else { return Err(duplicate()) };
    runtime::ask(account::register_again(context, server, &stored))?.ok_or_else(duplicate)
}
