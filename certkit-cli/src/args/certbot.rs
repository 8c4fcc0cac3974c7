//! certbot's flags that have no effect of their own here: either nothing is missing without it (ignored, told at -v),
//! or what it asks for would not happen (refused, with what to do instead).

use clap::{Arg, ArgAction};

/// What becomes of a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Nothing changes without it; why.
    Ignored(&'static str),
    /// Its effect would be missing; what to do instead.
    Refused(&'static str),
}

/// A flag of certbot's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Foreign {
    /// Without the leading `--`.
    pub(crate) long: &'static str,
    /// The one-letter form.
    pub(crate) short: Option<char>,
    /// Whether a value follows.
    pub(crate) takes_value: bool,
    /// What becomes of it.
    pub(crate) fate: Fate,
}

use Fate::{Ignored, Refused};

const NO_SERVER_EDITING: &str =
    "certkit does not edit web server configurations: set this in the server's own configuration";
const USE_WEBROOT: &str =
    "use --webroot -w DIR with the document root that this server serves, and --deploy-hook to reload it";
const USE_MANUAL: &str = "certkit has no DNS plugins yet: use --manual --manual-auth-hook COMMAND --manual-cleanup-hook COMMAND --preferred-challenges dns";
const NO_PLUGINS: &str =
    "certkit has no plugins: see `certkit certonly --help` for the ways to prove control over names";
const NOT_NEEDED: &str = "it changes nothing in this version";

const fn flag(long: &'static str, fate: Fate) -> Foreign {
    Foreign { long, short: None, takes_value: false, fate }
}

const fn option(long: &'static str, fate: Fate) -> Foreign {
    Foreign { long, short: None, takes_value: true, fate }
}

/// The flags of certbot's main parser and of its web server plugins.
pub(crate) const FOREIGN: &[Foreign] = &[
    flag("apache", Refused(USE_WEBROOT)),
    option("apache-challenge-location", Refused(USE_WEBROOT)),
    option("apache-ctl", Refused(USE_WEBROOT)),
    option("apache-bin", Refused(USE_WEBROOT)),
    option("apache-dismod", Refused(USE_WEBROOT)),
    option("apache-enmod", Refused(USE_WEBROOT)),
    option("apache-handle-modules", Refused(USE_WEBROOT)),
    option("apache-handle-sites", Refused(USE_WEBROOT)),
    option("apache-le-vhost-ext", Refused(USE_WEBROOT)),
    option("apache-logs-root", Refused(USE_WEBROOT)),
    option("apache-server-root", Refused(USE_WEBROOT)),
    option("apache-vhost-root", Refused(USE_WEBROOT)),
    flag("authenticators", Refused(NO_PLUGINS)),
    flag("auto-hsts", Refused(NO_SERVER_EDITING)),
    option(
        "checkpoints",
        Refused(
            "it belongs to certbot's own rollback of server configurations; `certkit rollback --cert-name NAME --to N` goes back to an older certificate",
        ),
    ),
    option("configurator", Refused(USE_WEBROOT)),
    flag("debug", Ignored("failures are always told in full; -v says more")),
    flag(
        "debug-challenges",
        Refused("certkit does not pause before validation: use --dry-run -v to see what would happen"),
    ),
    flag("disable-renew-updates", Ignored("certkit makes no such updates")),
    flag("eff-email", Ignored("certkit passes no address on to others")),
    flag("force-interactive", Refused("certkit asks when standard input is a terminal: leave it out")),
    flag("hsts", Refused(NO_SERVER_EDITING)),
    option("https-port", Ignored("no way of proving control over names uses it")),
    flag("init", Refused(NO_PLUGINS)),
    flag("installers", Refused(NO_PLUGINS)),
    option("issuance-timeout", Ignored("certkit waits as long as the CA asks, within its own bounds")),
    flag("manual-public-ip-logging-ok", Ignored("certbot has dropped it, too")),
    option("max-log-backups", Ignored("certkit.log is bounded by itself")),
    flag("must-staple", Refused("Let's Encrypt and other CAs refuse such certificates since 2025: leave it out")),
    flag("nginx", Refused(USE_WEBROOT)),
    option("nginx-ctl", Refused(USE_WEBROOT)),
    option("nginx-server-root", Refused(USE_WEBROOT)),
    option("nginx-sleep-seconds", Refused(USE_WEBROOT)),
    flag("no-auto-hsts", Ignored("certkit edits no web server configuration")),
    flag("no-bootstrap", Ignored("certbot has dropped it, too")),
    flag("no-eff-email", Ignored("certkit passes no address on to others")),
    flag("no-hsts", Ignored("certkit edits no web server configuration")),
    flag("no-permissions-check", Ignored("certbot has dropped it, too")),
    flag("no-redirect", Ignored("certkit edits no web server configuration")),
    flag("no-self-upgrade", Ignored("certkit never updates itself")),
    flag("no-staple-ocsp", Ignored("certkit edits no web server configuration")),
    flag("no-uir", Ignored("certkit edits no web server configuration")),
    flag("os-packages-only", Ignored("certbot has dropped it, too")),
    flag("preconfigured-renewal", Ignored("it tells certbot that the distribution renews by a timer")),
    flag("prepare", Refused(NO_PLUGINS)),
    flag("redirect", Refused(NO_SERVER_EDITING)),
    flag("staple-ocsp", Refused(NO_SERVER_EDITING)),
    flag(
        "strict-permissions",
        Refused("`certkit certificates` tells of private keys that others may read: leave it out"),
    ),
    Foreign { long: "text", short: Some('t'), takes_value: false, fate: Ignored(NOT_NEEDED) },
    flag("uir", Refused(NO_SERVER_EDITING)),
    option("user-agent", Refused("use --user-agent-comment TEXT, which is appended to certkit's own")),
    option("verbose-level", Ignored("how much is said depends on -v alone")),
];

macro_rules! dns_plugins {
    ($($name:literal),*) => {
        &[$((concat!("dns-", $name), concat!("dns-", $name, "-credentials"), concat!("dns-", $name, "-propagation-seconds"))),*]
    };
}

/// The flags of certbot's DNS plugins: to choose it, for its credentials, for its patience.
const DNS_PLUGINS: &[(&str, &str, &str)] = dns_plugins![
    "cloudflare",
    "digitalocean",
    "dnsimple",
    "dnsmadeeasy",
    "gehirn",
    "google",
    "linode",
    "luadns",
    "nsone",
    "ovh",
    "rfc2136",
    "route53",
    "sakuracloud"
];

/// The table as arguments for the parser, hidden from help.
pub(crate) fn arguments() -> Vec<Arg> {
    let mut all: Vec<Arg> = FOREIGN.iter().map(|one| argument(one.long, one.short, one.takes_value)).collect();
    for (choose, credentials, patience) in DNS_PLUGINS {
        all.push(argument(choose, None, false));
        all.push(argument(credentials, None, true));
        all.push(argument(patience, None, true));
    }
    all.push(argument("dns-google-project", None, true));
    all
}

fn argument(long: &'static str, short: Option<char>, takes_value: bool) -> Arg {
    let arg = Arg::new(long).long(long).hide(true);
    let arg = match short {
        Some(letter) => arg.short(letter),
        None => arg,
    };
    if takes_value { arg.action(ArgAction::Append).value_name("VALUE") } else { arg.action(ArgAction::SetTrue) }
}

/// What becomes of a flag of the table, by its long name; none for a flag that has an effect.
pub(crate) fn fate(long: &str) -> Option<Fate> {
    if long.starts_with("dns-") {
        return Some(Refused(USE_MANUAL));
    }
    FOREIGN.iter().find(|one| one.long == long).map(|one| one.fate)
}

/// What to do instead of an authenticator that is not known here.
pub(crate) fn authenticator_cure(name: &str) -> &'static str {
    match name {
        "nginx" | "apache" => USE_WEBROOT,
        name if name.starts_with("dns-") => USE_MANUAL,
        _ => "use --standalone, --webroot -w DIR, or --manual with --manual-auth-hook",
    }
}

/// What to do instead of a command that certbot has and certkit has not.
pub(crate) fn command_cure(word: &str) -> Option<&'static str> {
    Some(match word {
        "run" | "everything" => {
            "use `certkit certonly -d NAME --webroot -w DIR --deploy-hook COMMAND`, and name the certificate's files in the server's configuration"
        }
        "install" | "enhance" => NO_SERVER_EDITING,
        "plugins" => NO_PLUGINS,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_enough_to_hold_each_flag_once() {
        for (at, one) in FOREIGN.iter().enumerate() {
            assert!(FOREIGN[at + 1..].iter().all(|other| other.long != one.long), "{}", one.long);
        }
    }

    #[test]
    fn every_refusal_and_every_reason_says_something() {
        for one in FOREIGN {
            let (Ignored(text) | Refused(text)) = one.fate;
            assert!(text.len() > 10, "{}", one.long);
        }
        assert!(matches!(fate("dns-cloudflare-credentials"), Some(Refused(_))));
        assert_eq!(fate("dry-run"), None);
    }
}
