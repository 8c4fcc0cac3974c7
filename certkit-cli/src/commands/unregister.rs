//! `unregister`: deactivates an account for good.

use clap::Args as _;

use certkit_acme::accounts::unregister;
use certkit_core::Failure;
use serde_json::json;

use super::{Command, Context, Operands, account};
use crate::exit::{CommandError, Exit};
use crate::runtime;

/// Deactivate an account for good
///
/// Deactivates the account at the CA and removes its key here. Certificates stay valid; to renew them a new account is
/// needed.
#[derive(clap::Args)]
struct About {}

/// `unregister`.
pub(crate) const COMMAND: Command = Command {
    name: "unregister",
    describe: About::augment_args,
    usage: "",
    flags: &["account", "server", "staging", "ca_bundle", "no_verify_ssl", "user_agent_comment"],
    writes: true,
    operands: Operands::None,
    run,
};

fn run(context: &Context<'_>) -> Result<Exit, CommandError> {
    let server = context.invocation.server_or_default()?;
    let store = context.store()?;
    runtime::ask(account::settle(context, &store))?;
    let id = context.invocation.typed.account.account.as_deref();
    let none = || {
        CommandError::failed(format!("Could not find existing account for server {server}"))
            .with_cure("name the CA whose account is meant: --server URL")
    };
    let stored = account::choose(&store, &server, id)?.ok_or_else(none)?;
    let question = format!("The account {} will be deactivated for good. Go on?", stored.uri);
    if context.ui.voice().interactive && !context.ui.confirm(&question, false) {
        return Err(CommandError::failed("the account was not deactivated"));
    }
    let locked = context.locked()?;
    runtime::ask(async {
        let authority = account::connect(context, &server).await?;
        unregister(&locked, &authority, &stored).await.map_err(|error| Failure::from(error).into())
    })?;
    context.ui.result("Account deactivated.\n");
    if context.ui.voice().json {
        context.ui.json(&json!({ "schema": 1, "url": stored.uri.as_str(), "deactivated": true }));
    }
    Ok(Exit::Well)
}
