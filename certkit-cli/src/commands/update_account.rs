//! `update_account`: changes the mail addresses of an account, or its key.

use clap::Args as _;

use certkit_acme::accounts::{change_key, open_account};
use certkit_core::store::StoredAccount;
use certkit_core::{Failure, escape};
use serde_json::json;

use super::{Command, Context, Operands, account};
use crate::exit::{CommandError, Exit};
use crate::runtime;

/// Change the mail addresses or the key of an account
///
/// Replaces the mail addresses that a CA has for an account, or removes them. With `--new-key` the account gets a new
/// key, for example because somebody may have read the old one: certificates, orders and the account's URL stay, and the
/// renewal configurations that name the account follow.
#[derive(clap::Args)]
struct About {}

/// `update_account`.
pub(crate) const COMMAND: Command = Command {
    name: "update_account",
    describe: About::augment_args,
    usage: "[--email ADDRESS] [--new-key]",
    flags: &[
        "email",
        "register_unsafely_without_email",
        "new_key",
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
    let typed = &context.invocation.typed;
    let contacts = context.invocation.contacts();
    let changes_contacts = !contacts.is_empty() || typed.account.register_unsafely_without_email;
    if !changes_contacts && !typed.key.new_key {
        return Err(CommandError::usage("`certkit update_account` needs --email ADDRESS or --new-key").with_cure(
            "pass --email, or --register-unsafely-without-email to remove the addresses, or --new-key to change the account's key",
        ));
    }
    let server = context.invocation.server_or_default()?;
    let store = context.store()?;
    let id = typed.account.account.as_deref();
    let (stored, details) = runtime::ask(async {
        account::settle(context, &store).await?;
        let mut stored = account::choose(&store, &server, id)?.ok_or_else(|| account::none_for(&server))?;
        // Before the CA is asked for anything.
        let locked = typed.key.new_key.then(|| context.locked()).transpose()?;
        let authority = account::connect(context, &server).await?;
        let mut details = None;
        if changes_contacts {
            details = Some(open_account(&authority, &stored)?.update_contacts(&contacts).await?);
            tell_contacts(context, &contacts);
        }
        if let Some(locked) = locked {
            let saved = change_key(&locked, &authority, &stored, context.now).await.map_err(Failure::from)?;
            tell_key(context, &stored, &saved.stored);
            if context.ui.voice().json && details.is_none() {
                // The key is changed, whatever the CA says now.
                details = saved.account.details().await.ok();
            }
            stored = saved.stored;
        }
        Ok((stored, details))
    })?;
    if context.ui.voice().json {
        context.ui.json(&json!({
            "schema": 1,
            "account": stored.id,
            "url": stored.uri.as_str(),
            "contacts": details.map(|details| details.contacts),
            "key_changed": typed.key.new_key,
        }));
    }
    Ok(Exit::Well)
}

fn tell_contacts(context: &Context<'_>, contacts: &[String]) {
    if contacts.is_empty() {
        context.ui.result("Any contact information associated with this account has been removed.\n");
    } else {
        let shown: Vec<_> = contacts.iter().map(|contact| escape(contact)).collect();
        context.ui.result(&format!("Your e-mail address was updated to {}.\n", shown.join(",")));
    }
}

fn tell_key(context: &Context<'_>, old: &StoredAccount, new: &StoredAccount) {
    context.ui.result(&format!(
        "The account has a new key. Its id is {} now, here and in the renewal configurations that name it; its URL stays {}.\n",
        new.id, new.uri
    ));
    if context.invocation.is_from_file("account") {
        context.ui.warning(&format!("cli.ini still says `account = {}`: change it to {}", escape(&old.id), new.id));
    }
}
