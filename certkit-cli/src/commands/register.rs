//! `register`: makes an account at a CA.

use clap::Args as _;

use serde_json::json;

use super::{Command, Context, Operands, account};
use crate::exit::{CommandError, Exit};
use crate::runtime;

/// Register an account at a CA
///
/// Makes an account at a CA and stores it where certbot finds it, too. `certkit certonly` does it by itself when it is
/// needed. A mail address is not needed.
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
    if !account::is_missing(&store, &server)? {
        return Err(CommandError::failed(
            "There is an existing account; registration of a duplicate account with this command is currently unsupported",
        )
        .with_cure("use it: nothing has to be registered; `certkit show_account` shows it, `certkit update_account` changes it"));
    }
    let stored = runtime::ask(account::register(context, &server))?;
    context.ui.result("Account registered.\n");
    if context.ui.voice().json {
        context.ui.json(&json!({ "schema": 1, "account": stored.id, "url": stored.uri.as_str() }));
    }
    Ok(Exit::Well)
}
