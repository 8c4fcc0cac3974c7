//! `update_account`: changes the mail addresses of an account, or its key.

use clap::Args as _;

use certkit_acme::accounts::{change_key, open_account};
use certkit_core::settings::{MailAddress, NotifySetting, Sourced};
use certkit_core::store::StoredAccount;
use certkit_core::{Failure, FindingCode, escape};
use serde_json::json;

use super::{Command, Context, Operands, account};
use crate::exit::{CommandError, Exit};
use crate::runtime;
use crate::ui::shown;

/// Change the owner's mail addresses, or the key of an account
///
/// Replaces the mail addresses to which this machine's notices go (`email` in certkit/settings.toml), and those that a CA
/// has for an account; most CAs send nothing there any more. --register-unsafely-without-email removes them. With `--new-key` the account gets a new
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
    // First: it needs nobody but this machine.
    let told = if changes_contacts { Some(set_own_address(context, &contacts)?) } else { None };
    let id = typed.account.account.as_deref();
    let (stored, details) = runtime::ask(async {
        account::settle(context, &store).await?;
        let chosen = account::choose(&store, &server, id)?;
        // Where no CA knows anybody, there is no address to change there.
        if chosen.is_none() && told.is_some() && !typed.key.new_key && id.is_none() {
            context.ui.status(&format!("There is no account at {server}, so no CA was told."));
            return Ok((None, None));
        }
        let mut stored = chosen.ok_or_else(|| account::none_for(&server))?;
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
        Ok((Some(stored), details))
    })?;
    if context.ui.voice().json {
        context.ui.json(&json!({
            "schema": 1,
            "account": stored.as_ref().map(|stored| &stored.id),
            "url": stored.as_ref().map(|stored| stored.uri.as_str()),
            "email": told,
            "contacts": details.map(|details| details.contacts),
            "key_changed": typed.key.new_key,
        }));
    }
    Ok(Exit::Well)
}

/// Sets `email` in certkit/settings.toml, and says what is sent there.
fn set_own_address(context: &Context<'_>, contacts: &[String]) -> Result<Vec<String>, CommandError> {
    let mut addresses: Vec<MailAddress> = Vec::new();
    for contact in contacts {
        let address = MailAddress::parse(contact).map_err(|problem| {
            CommandError::usage(format!("--email {}: {problem}", escape(contact)))
                .with_cure("write an address as owner@example.org; several are separated by commas")
        })?;
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    let locked = context.locked()?;
    let is_changed = locked.set_email(&addresses)?;
    let settings = locked.store().settings()?;
    let file = shown(&locked.store().paths().settings_file());
    if addresses.is_empty() {
        if is_changed {
            context.ui.result(&format!("`email` is not set in {file} any more.\n"));
        }
        if settings.channels().is_empty() {
            context.ui.warning(&format!(
                "{}; what to do: {}",
                FindingCode::NobodyIsTold.what(),
                FindingCode::NobodyIsTold.cure()
            ));
        }
        return Ok(Vec::new());
    }
    let list: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let channels = settings.channels();
    let uses = |channel: &&Sourced<NotifySetting>| {
        channel.value.channel.addresses().is_some_and(|addresses| addresses.to.is_empty())
    };
    let by: Vec<&str> = channels.iter().filter(uses).map(|channel| channel.value.name.as_str()).collect();
    context.ui.result(&format!("Notices of this machine go to {} now ({file}).\n", list.join(", ")));
    if by.is_empty() {
        context.ui.warning(
            "every mail channel in certkit/settings.toml has its own `to`, so nothing is sent to these addresses: remove those lines, or change them",
        );
    } else {
        context.ui.result(&format!(
            "They tell, by {}: a renewal that failed for what only you can cure, at once; one that is overdue; a certificate near its end, revoked, or not served; and that it is over. `certkit notify --test` tries it.\n",
            by.join(" and ")
        ));
    }
    Ok(list)
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
