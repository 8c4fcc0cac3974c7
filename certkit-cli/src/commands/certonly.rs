//! `certonly`: obtains a certificate as a lineage.

use std::collections::BTreeMap;

use clap::Args as _;

use certkit_acme::authorities;
use certkit_acme::renewal::{Mode, Outcome, Report, Request, Urgency};
use certkit_core::store::{ConfEdits, ConfValue, Kind, Lineage, Store};
use certkit_core::{AcmeUrl, Identifier, IdentifierSet, LineageName};

use super::renew::{Start, conclude, mode, perform, refuse_test_over_real};
use super::{Command, Context, Operands, account};
use crate::exit::{CommandError, Exit};
use crate::progress::Work;
use crate::render::renewal;
use crate::runtime;

/// Obtain a certificate
///
/// Obtains a certificate for the names of -d and stores it so that `certkit renew` (and certbot) renews it. With the
/// names of a certificate that exists already, that one is renewed when it is due. An account is registered when there
/// is none.
#[derive(clap::Args)]
struct About {}

/// `certonly`.
pub(crate) const COMMAND: Command = Command {
    name: "certonly",
    describe: About::augment_args,
    usage: "-d NAME…",
    flags: &[
        "domains",
        "ip_address",
        "cert_name",
        "standalone",
        "webroot",
        "manual",
        "authenticator",
        "webroot_path",
        "webroot_map",
        "manual_auth_hook",
        "manual_cleanup_hook",
        "preferred_challenges",
        "http_01_port",
        "http_01_address",
        "dry_run",
        "run_deploy_hooks",
        "force_renewal",
        "keep_until_expiring",
        "expand",
        "renew_with_new_domains",
        "duplicate",
        "no_autorenew",
        "break_my_certs",
        "key_type",
        "rsa_key_size",
        "elliptic_curve",
        "reuse_key",
        "no_reuse_key",
        "preferred_chain",
        "preferred_profile",
        "required_profile",
        "agree_tos",
        "email",
        "register_unsafely_without_email",
        "account",
        "eab_kid",
        "eab_hmac_key",
        "eab_hmac_alg",
        "pre_hook",
        "deploy_hook",
        "post_hook",
        "disable_hook_validation",
        "no_directory_hooks",
        "hook_time_limit",
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

/// A lineage that exists, as far as the choice needs it.
#[derive(Clone, Debug)]
struct Existing {
    name: LineageName,
    identifiers: IdentifierSet,
}

/// What the names and flags come to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Choice {
    /// A new lineage.
    New(LineageName, IdentifierSet),
    /// This lineage as it is.
    Same(LineageName, IdentifierSet),
    /// This lineage with other names.
    Changed(LineageName, IdentifierSet),
    /// Somebody has to say that this lineage shall get other names.
    Ask { name: LineageName, identifiers: IdentifierSet, question: String, cure: &'static str },
}

/// The flags that decide.
#[derive(Clone, Copy, Debug, Default)]
struct Flags {
    expand: bool,
    replace_names: bool,
    duplicate: bool,
}

fn run(context: &Context<'_>) -> Result<Exit, CommandError> {
    let invocation = context.invocation;
    let wanted = invocation.identifiers()?;
    let named = invocation.cert_name()?;
    let mut edits = invocation.edits()?;
    invocation.validate_hooks()?;
    let store = context.store()?;
    let renewal = &invocation.typed.renewal;
    let flags = Flags {
        // certbot: --force-renewal also implies --expand.
        expand: renewal.expand || renewal.force_renewal,
        replace_names: renewal.renew_with_new_domains,
        duplicate: renewal.duplicate,
    };
    let choice = choose(&existing(&store)?, wanted, named.as_ref(), flags, |name| taken(&store, name))?;
    let (name, identifiers, is_new) = match choice {
        Choice::New(name, identifiers) => (name, identifiers, true),
        Choice::Same(name, identifiers) | Choice::Changed(name, identifiers) => (name, identifiers, false),
        Choice::Ask { name, identifiers, question, cure } => {
            if !context.ui.voice().interactive || !context.ui.confirm(&question, false) {
                return Err(CommandError::failed(question).with_cure(cure));
            }
            (name, identifiers, false)
        }
    };
    let server = if is_new {
        complete_new(context, &mut edits)?
    } else {
        complete_existing(context, &store, &name, &mut edits)?
    };
    if !is_new {
        refuse_test_over_real(context, &store, Some(&name), &edits)?;
    }
    let shown_names: Vec<String> = identifiers.iter().map(ToString::to_string).collect();
    let work = match (is_new, renewal.dry_run) {
        (true, false) => Work::Requesting,
        (true, true) => Work::SimulatingRequest,
        (false, false) => Work::Renewing,
        (false, true) => Work::SimulatingRenewal,
    };
    let mut request = Request::obtain(name.clone(), identifiers, edits);
    request.mode = mode(context);
    if renewal.force_renewal {
        request.urgency = Urgency::Now;
    }
    request.directory_hooks = !invocation.typed.hooks.no_directory_hooks;
    request.account.clone_from(&invocation.typed.account.account);
    ensure_account(context, &store, &server, request.mode)?;
    let report = perform(context, work, BTreeMap::from([(name.clone(), shown_names)]), request, Start::AtOnce)?;
    tell(context, &report, &name)?;
    Ok(conclude(context, &report))
}

fn existing(store: &Store) -> Result<Vec<Existing>, CommandError> {
    let lineages = store.lineages()?.into_iter().flatten();
    Ok(lineages
        .filter_map(|lineage| {
            let identifiers = lineage.certificate().ok()?.identifiers().ok()?;
            Some(Existing { name: lineage.name().clone(), identifiers })
        })
        .collect())
}

/// A name is taken by a conf, readable or not.
fn taken(store: &Store, name: &LineageName) -> bool {
    store.paths().conf(name).symlink_metadata().is_ok()
}

/// certbot's rules, but for one: names are never replaced without a word from the owner.
fn choose(
    existing: &[Existing],
    wanted: IdentifierSet,
    named: Option<&LineageName>,
    flags: Flags,
    taken: impl Fn(&LineageName) -> bool,
) -> Result<Choice, CommandError> {
    if let Some(name) = named {
        let Some(current) = existing.iter().find(|one| one.name == *name) else {
            return new_with_name(name, wanted, &taken);
        };
        if wanted.is_empty() || wanted.same_as(&current.identifiers) {
            return Ok(Choice::Same(name.clone(), current.identifiers.clone()));
        }
        let grows = wanted.is_superset(&current.identifiers);
        if flags.replace_names || (flags.expand && grows) {
            return Ok(Choice::Changed(name.clone(), wanted));
        }
        return Ok(ask_for_change(current, wanted, grows));
    }
    let Some(first) = wanted.iter().next() else {
        return Err(CommandError::usage("no names were given")
            .with_cure("name them with -d NAME, or a certificate with --cert-name NAME to renew it"));
    };
    if !flags.duplicate {
        if let Some(same) = existing.iter().find(|one| one.identifiers.same_as(&wanted)) {
            return Ok(Choice::Same(same.name.clone(), same.identifiers.clone()));
        }
        let parts = existing.iter().filter(|one| !one.identifiers.is_empty() && wanted.is_superset(&one.identifiers));
        if let Some(part) = parts.max_by_key(|one| one.identifiers.len()) {
            if flags.expand || flags.replace_names {
                return Ok(Choice::Changed(part.name.clone(), wanted));
            }
            return Ok(ask_for_change(part, wanted, true));
        }
    }
    let base = base_name(first);
    Ok(Choice::New(free_name(&base, &taken)?, wanted))
}

fn new_with_name(
    name: &LineageName,
    wanted: IdentifierSet,
    taken: impl Fn(&LineageName) -> bool,
) -> Result<Choice, CommandError> {
    if taken(name) {
        return Err(CommandError::failed(format!("the certificate `{name}` exists but cannot be used"))
            .with_cure("`certkit certificates` tells why; repair it or remove it with `certkit delete`"));
    }
    if wanted.is_empty() {
        return Err(CommandError::failed(format!("No certificate with name {name} found")).with_cure(
            "use -d to name what it shall be for, or `certkit certificates` to see the names of certificates",
        ));
    }
    Ok(Choice::New(name.clone(), wanted))
}

fn ask_for_change(current: &Existing, wanted: IdentifierSet, grows: bool) -> Choice {
    let list = |set: &IdentifierSet| set.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let lost: Vec<String> =
        current.identifiers.iter().filter(|one| !wanted.contains(one)).map(ToString::to_string).collect();
    let lost = if lost.is_empty() { String::new() } else { format!("\nThese would be lost: {}.", lost.join(", ")) };
    let question = format!(
        "You have an existing certificate (name: {}).\nIt contains these names: {}.\nYou requested these names: {}.{lost}\nDo you want to replace this existing certificate with one for the requested names?",
        current.name,
        list(&current.identifiers),
        list(&wanted),
    );
    let cure = if grows {
        "pass --expand to replace it, or --duplicate for a certificate besides it"
    } else {
        "pass --renew-with-new-domains to replace it, or another --cert-name for a certificate besides it"
    };
    Choice::Ask { name: current.name.clone(), identifiers: wanted, question, cure }
}

/// The first name without `*.`.
fn base_name(first: &Identifier) -> String {
    match first {
        Identifier::Dns(name) => name.base().to_owned(),
        Identifier::Ip(address) => address.to_string(),
    }
}

/// The name itself, else NAME-0001, NAME-0002 …
fn free_name(base: &str, taken: impl Fn(&LineageName) -> bool) -> Result<LineageName, CommandError> {
    const MOST: u32 = 9999;
    let candidates = std::iter::once(base.to_owned()).chain((1..=MOST).map(|number| format!("{base}-{number:04}")));
    for candidate in candidates {
        let name = crate::args::meant::lineage_name(&candidate)?;
        if !taken(&name) {
            return Ok(name);
        }
    }
    Err(CommandError::failed(format!("there are {MOST} certificates named after {base}"))
        .with_cure("choose a --cert-name"))
}

fn value<'a>(edits: &'a ConfEdits, key: &str) -> Option<&'a ConfValue> {
    edits.params.iter().rev().find(|(name, _)| name == key).and_then(|(_, value)| value.as_ref())
}

/// What a new lineage needs and certbot always writes.
fn complete_new(context: &Context<'_>, edits: &mut ConfEdits) -> Result<AcmeUrl, CommandError> {
    match value(edits, "authenticator") {
        None => {
            return Err(CommandError::usage("it is not said how to prove control over the names")
                .with_cure("use --webroot -w DIR when a web server runs on port 80, --standalone when none does, or --manual with --manual-auth-hook"));
        }
        Some(ConfValue::Text(name)) if name == "webroot" && value(edits, "webroot_path").is_none() => {
            return Err(CommandError::usage("--webroot needs the document root").with_cure("add -w DIR"));
        }
        Some(_) => {}
    }
    let server = context.invocation.server_or_default()?;
    edits.param("server", Some(server.as_str()));
    if value(edits, "key_type").is_none() {
        edits.param("key_type", Some("ecdsa"));
    }
    Ok(server)
}

/// For a lineage that exists: the CA of its conf unless another is typed, and no change of the key's kind by accident.
fn complete_existing(
    context: &Context<'_>,
    store: &Store,
    name: &LineageName,
    edits: &mut ConfEdits,
) -> Result<AcmeUrl, CommandError> {
    let lineage: Lineage = context.lineage(store, name)?;
    let params = lineage.conf().params();
    let current = params.key_type.as_deref().unwrap_or("rsa").to_lowercase();
    if let Some(ConfValue::Text(kind)) = value(edits, "key_type")
        && *kind != current
        && context.invocation.typed.selection.cert_name.is_none()
    {
        return Err(CommandError::failed(format!(
            "Are you trying to change the key type of the certificate named {name} from {current} to {kind}? Please provide both --cert-name and --key-type on the command line to confirm the change you are trying to make"
        ))
        .with_cure(format!("add --cert-name {name}")));
    }
    let own = params.server.as_deref().map(crate::args::meant::resolve).transpose()?;
    if let Some(typed) = context.invocation.server_typed()? {
        if own.as_ref() != Some(&typed) {
            edits.param("server", Some(typed.as_str()));
        }
        return Ok(typed);
    }
    match own {
        Some(own) => Ok(own),
        None => context.invocation.server_or_default(),
    }
}

/// Registers on the fly, as certbot does. A dry run at Let's Encrypt goes to its test server, whose account the run
/// itself makes; an account that is named has to exist.
fn ensure_account(context: &Context<'_>, store: &Store, server: &AcmeUrl, mode: Mode) -> Result<(), CommandError> {
    let simulated_elsewhere = matches!(mode, Mode::DryRun { .. }) && authorities::staging_of(server).is_some();
    let wanted = context.invocation.typed.account.account.as_deref();
    if simulated_elsewhere || wanted.is_some() || !account::is_missing(store, server)? {
        return Ok(());
    }
    runtime::ask(account::register(context, server))?;
    context.ui.status("Account registered.");
    Ok(())
}

fn tell(context: &Context<'_>, report: &Report, name: &LineageName) -> Result<(), CommandError> {
    for entry in &report.entries {
        match &entry.outcome {
            Outcome::NotDue { .. } => {
                context.ui.result("Certificate not yet due for renewal; no action taken.\n");
            }
            Outcome::Renewed { not_after, .. } => {
                let store = context.store()?;
                let lineage = context.lineage(&store, name)?;
                context.ui.result(&renewal::received(
                    lineage.live_path(Kind::Fullchain),
                    lineage.live_path(Kind::Privkey),
                    *not_after,
                ));
            }
            Outcome::Simulated => context.ui.result("The dry run was successful.\n"),
            Outcome::Failed { failure, .. } => renewal::not_obtained(&entry.name, failure).say(context.ui),
            _ => renewal::outcome(entry).iter().for_each(|piece| piece.say(context.ui)),
        }
    }
    renewal::loose_ends(report).iter().for_each(|piece| piece.say(context.ui));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> IdentifierSet {
        names.iter().map(|name| Identifier::parse(name).unwrap()).collect()
    }

    fn name(text: &str) -> LineageName {
        LineageName::new(text).unwrap()
    }

    fn existing() -> Vec<Existing> {
        vec![
            Existing { name: name("a.example"), identifiers: set(&["a.example"]) },
            Existing { name: name("ab"), identifiers: set(&["a.example", "b.example"]) },
        ]
    }

    fn decide(wanted: &[&str], named: Option<&str>, flags: Flags) -> Result<Choice, CommandError> {
        let taken = |name: &LineageName| ["a.example", "ab", "broken"].contains(&name.as_str());
        choose(&existing(), set(wanted), named.map(name).as_ref(), flags, taken)
    }

    #[test]
    fn the_same_names_are_the_same_certificate_in_any_order() {
        let same = Choice::Same(name("ab"), set(&["a.example", "b.example"]));
        assert_eq!(decide(&["b.example", "a.example"], None, Flags::default()).unwrap(), same);
        assert_eq!(decide(&[], Some("ab"), Flags::default()).unwrap(), same);
    }

    #[test]
    fn more_names_need_a_word_and_the_largest_part_is_replaced() {
        let wanted = ["a.example", "b.example", "c.example"];
        let asked = decide(&wanted, None, Flags::default()).unwrap();
        assert!(matches!(asked, Choice::Ask { name, cure, .. } if name.as_str() == "ab" && cure.contains("--expand")));
        let expand = Flags { expand: true, ..Flags::default() };
        assert_eq!(decide(&wanted, None, expand).unwrap(), Choice::Changed(name("ab"), set(&wanted)));
    }

    #[test]
    fn names_are_never_lost_silently() {
        // certbot replaces the names in this case without a question when nobody is there to answer.
        let expand = Flags { expand: true, ..Flags::default() };
        for flags in [Flags::default(), expand] {
            let asked = decide(&["c.example"], Some("ab"), flags).unwrap();
            assert!(
                matches!(&asked, Choice::Ask { question, .. } if question.contains("would be lost: a.example, b.example")),
                "{asked:?}"
            );
        }
        let replace = Flags { replace_names: true, ..Flags::default() };
        assert_eq!(
            decide(&["c.example"], Some("ab"), replace).unwrap(),
            Choice::Changed(name("ab"), set(&["c.example"]))
        );
    }

    #[test]
    fn new_certificates_are_named_after_the_first_name() {
        let new = |text: &str, wanted: &[&str]| Choice::New(name(text), set(wanted));
        assert_eq!(decide(&["*.c.example"], None, Flags::default()).unwrap(), new("c.example", &["*.c.example"]));
        assert_eq!(decide(&["2001:db8::1"], None, Flags::default()).unwrap(), new("2001:db8::1", &["2001:db8::1"]));
        let duplicate = Flags { duplicate: true, ..Flags::default() };
        assert_eq!(decide(&["a.example"], None, duplicate).unwrap(), new("a.example-0001", &["a.example"]));
        assert_eq!(decide(&["x.example"], Some("mine"), Flags::default()).unwrap(), new("mine", &["x.example"]));
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        assert_eq!(decide(&[], None, Flags::default()).unwrap_err().exit, Exit::Usage);
        assert_eq!(decide(&[], Some("unknown"), Flags::default()).unwrap_err().exit, Exit::Failed);
        assert!(decide(&["x.example"], Some("broken"), Flags::default()).unwrap_err().what.contains("cannot be used"));
    }
}
