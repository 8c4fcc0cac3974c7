//! `show_account`: what a CA knows of an account.

use clap::Args as _;

use certkit_acme::accounts::open_account;
use serde_json::json;

use super::{Command, Context, Operands, account};
use crate::exit::{CommandError, Exit};
use crate::runtime;

/// Show the account at a CA
///
/// Shows the URL, the key's thumbprint and the mail addresses of the account at a CA. Nothing is changed.
#[derive(clap::Args)]
struct About {}

/// `show_account`.
pub(crate) const COMMAND: Command = Command {
    name: "show_account",
    describe: About::augment_args,
    usage: "",
    flags: &["account", "server", "staging", "ca_bundle", "no_verify_ssl", "user_agent_comment"],
    writes: false,
    operands: Operands::None,
    run,
};

fn run(context: &Context<'_>) -> Result<Exit, CommandError> {
    let server = context.invocation.server_or_default()?;
    let store = context.store()?;
    let id = context.invocation.typed.account.account.as_deref();
    let stored = account::choose(&store, &server, id)?.ok_or_else(|| account::none_for(&server))?;
    if !account::nothing_to_settle(&store)? {
        context.ui.warning(
            "an account was getting another key, and that has not ended: the next `certkit renew` or `certkit update_account` ends it",
        );
    }
    let (thumbprint, details) = runtime::ask(async {
        let authority = account::connect(context, &server).await?;
        let account = open_account(&authority, &stored)?;
        Ok((account.thumbprint(), account.details().await?))
    })?;
    let contacts = match details.contacts.as_slice() {
        [] => "  Email contact: none".to_owned(),
        [one] => format!("  Email contact: {one}"),
        several => format!("  Email contacts: {}", several.join(", ")),
    };
    context.ui.result(&format!(
        "Account details for server {server}:\n  Account URL: {}\n  Account Thumbprint: {thumbprint}\n{contacts}\n",
        stored.uri
    ));
    if context.ui.voice().json {
        context.ui.json(&json!({
            "schema": 1,
            "server": server.as_str(),
            "account": stored.id,
            "url": stored.uri.as_str(),
            "thumbprint": thumbprint,
            "status": details.status,
            "contacts": details.contacts,
        }));
    }
    Ok(Exit::Well)
}
