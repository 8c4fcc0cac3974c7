//! `update_account`: changes the mail addresses of an account.

use clap::Args as _;

use certkit_acme::accounts::open_account;
use serde_json::json;

use super::{Command, Context, Operands, account};
use crate::exit::{CommandError, Exit};
use crate::runtime;

/// Change the mail addresses of an account
///
/// Replaces the mail addresses that a CA has for an account, or removes them.
#[derive(clap::Args)]
struct About {}

/// `update_account`.
pub(crate) const COMMAND: Command = Command {
    name: "update_account",
    describe: About::augment_args,
    usage: "--email ADDRESS",
    flags: &[
        "email",
        "register_unsafely_without_email",
        "account",
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
    let contacts = context.invocation.contacts();
    if contacts.is_empty() && !context.invocation.typed.account.register_unsafely_without_email {
        return Err(CommandError::usage("`certkit update_account` needs --email ADDRESS")
            .with_cure("pass --email, or --register-unsafely-without-email to remove the addresses"));
    }
    let server = context.invocation.server_or_default()?;
    let store = context.store()?;
    let id = context.invocation.typed.account.account.as_deref();
    let stored = account::choose(&store, &server, id)?.ok_or_else(|| account::none_for(&server))?;
    let details = runtime::ask(async {
        let authority = account::connect(context, &server).await?;
        Ok(open_account(&authority, &stored)?.update_contacts(&contacts).await?)
    })?;
    if contacts.is_empty() {
        context.ui.result("Any contact information associated with this account has been removed.\n");
    } else {
        let shown: Vec<_> = contacts.iter().map(|contact| certkit_core::escape(contact)).collect();
        context.ui.result(&format!("Your e-mail address was updated to {}.\n", shown.join(",")));
    }
    if context.ui.voice().json {
        context.ui.json(&json!({ "schema": 1, "url": stored.uri.as_str(), "contacts": details.contacts }));
    }
    Ok(Exit::Well)
}
