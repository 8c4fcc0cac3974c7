//! What can be typed: every flag that has an effect, with its help. What it means stands in [`super::meant`].

use std::path::PathBuf;

use clap::{ArgAction, Args, FromArgMatches, Parser};

/// Keeps every TLS certificate of a machine valid, on the tree that certbot left.
#[derive(Clone, Debug, Default, Parser)]
#[command(
    name = "certkit",
    version,
    infer_long_args = true,
    args_override_self = true,
    disable_help_subcommand = true,
    disable_help_flag = true,
    disable_version_flag = true,
    max_term_width = 110
)]
pub(crate) struct Typed {
    /// The command, and what it is about.
    #[arg(value_name = "COMMAND", num_args = 0..)]
    pub(crate) words: Vec<String>,
    #[command(flatten)]
    pub(crate) general: General,
    #[command(flatten)]
    pub(crate) selection: Selection,
    #[command(flatten)]
    pub(crate) renewal: Renewal,
    #[command(flatten)]
    pub(crate) key: Key,
    #[command(flatten)]
    pub(crate) account: Account,
    #[command(flatten)]
    pub(crate) validation: Validation,
    #[command(flatten)]
    pub(crate) hooks: Hooks,
    #[command(flatten)]
    pub(crate) serving: Serving,
    #[command(flatten)]
    pub(crate) revocation: Revocation,
    #[command(flatten)]
    pub(crate) version_choice: VersionChoice,
    #[command(flatten)]
    pub(crate) csr: Csr,
    #[command(flatten)]
    pub(crate) timer: Timer,
    #[command(flatten)]
    pub(crate) doctor: Doctor,
    #[command(flatten)]
    pub(crate) fsck: Fsck,
    #[command(flatten)]
    pub(crate) notices: Notices,
    #[command(flatten)]
    pub(crate) metrics: Metrics,
    #[command(flatten)]
    pub(crate) view: View,
}

/// Flags of the commands that ask a CA; those that only read refuse them.
const ASKING: &str = "Where a CA is asked";

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct General {
    /// The directory with certificates, keys, accounts and renewal configurations.
    ///
    /// By default $CERTKIT_CONFIG_DIR, else /etc/letsencrypt.
    #[arg(long, value_name = "DIR")]
    pub(crate) config_dir: Option<PathBuf>,
    /// Working directory (its lock keeps certbot out) [default: /var/lib/letsencrypt]
    #[arg(long, value_name = "DIR")]
    pub(crate) work_dir: Option<PathBuf>,
    /// Directory of certkit.log [default: /var/log/letsencrypt]
    #[arg(long, value_name = "DIR")]
    pub(crate) logs_dir: Option<PathBuf>,
    /// A file with flags, one a line, besides cli.ini in the config dir and in $XDG_CONFIG_HOME/letsencrypt
    #[arg(short = 'c', long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The CA: the URL of its ACME directory, or a name such as letsencrypt, letsencrypt-staging, zerossl, google
    #[arg(long, value_name = "URL", help_heading = ASKING)]
    pub(crate) server: Option<String>,
    /// Use the staging server of Let's Encrypt: its certificates are for tests only
    #[arg(long, visible_alias = "test-cert", help_heading = ASKING)]
    pub(crate) staging: bool,
    /// A PEM file with roots to trust besides the system's; can be repeated
    #[arg(long, value_name = "FILE", action = ArgAction::Append, help_heading = ASKING)]
    pub(crate) ca_bundle: Vec<PathBuf>,
    /// Do not check the certificate of the ACME server: for a test CA only
    #[arg(long, help_heading = ASKING)]
    pub(crate) no_verify_ssl: bool,
    /// A comment to append to the User-Agent
    #[arg(long, value_name = "TEXT", help_heading = ASKING)]
    pub(crate) user_agent_comment: Option<String>,
    /// One JSON document on standard output, and nothing else
    #[arg(long)]
    pub(crate) json: bool,
    /// Say nothing when all is well; failures still go to standard error
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Say more; can be repeated
    #[arg(short, long, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Never ask
    #[arg(short = 'n', long, alias = "noninteractive")]
    pub(crate) non_interactive: bool,
    /// Show help, for a command when one is given
    #[arg(short, long)]
    pub(crate) help: bool,
    /// Show the version
    #[arg(long)]
    pub(crate) version: bool,
}

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Which certificates")]
pub(crate) struct Selection {
    /// A name of the certificate; can be repeated or be a list with commas
    #[arg(short = 'd', long, aliases = ["domain"], value_name = "NAME", action = ArgAction::Append)]
    pub(crate) domains: Vec<String>,
    /// An IP address of the certificate; can be repeated
    #[arg(long, value_name = "ADDRESS", action = ArgAction::Append)]
    pub(crate) ip_address: Vec<String>,
    /// The certificate name, as `certkit certificates` lists it
    #[arg(long, value_name = "NAME")]
    pub(crate) cert_name: Option<String>,
}

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Obtaining and renewing")]
pub(crate) struct Renewal {
    /// Change nothing: certificates are tried with the CA's test server and not kept, notices are shown and not sent, and the timer is only shown
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Run deploy hooks in a dry run, too
    #[arg(long)]
    pub(crate) run_deploy_hooks: bool,
    /// Renew now, due or not
    #[arg(long, alias = "renew-by-default")]
    pub(crate) force_renewal: bool,
    /// Keep a matching certificate until it is due (this is the rule anyway)
    #[arg(long, aliases = ["keep", "reinstall"])]
    pub(crate) keep_until_expiring: bool,
    /// Replace a certificate whose names are among the requested ones by one with all of them
    #[arg(long)]
    pub(crate) expand: bool,
    /// Replace the certificate of --cert-name even when names are lost
    #[arg(long)]
    pub(crate) renew_with_new_domains: bool,
    /// Obtain a further certificate although one with the same names exists
    #[arg(long)]
    pub(crate) duplicate: bool,
    /// Leave names out that cannot be validated, rather than fail for all
    ///
    /// The certificate is obtained for the names that can be validated, and each name that was left out is told: it is not
    /// served with a valid certificate any more. It is saved in the renewal configuration, and every renewal tries all names
    /// again.
    #[arg(long)]
    pub(crate) allow_subset_of_names: bool,
    /// Leave this certificate out of `certkit renew`
    #[arg(long)]
    pub(crate) no_autorenew: bool,
    /// Start at once: without it, a run that nobody watches waits up to eight minutes when something is due
    #[arg(long)]
    pub(crate) no_random_sleep_on_renew: bool,
    /// Let a test certificate take the place of a real one
    #[arg(long)]
    pub(crate) break_my_certs: bool,
}

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Key and certificate")]
pub(crate) struct Key {
    /// The kind of the private key [default for new certificates: ecdsa]
    #[arg(long, value_name = "KIND", value_parser = ["rsa", "ecdsa"])]
    pub(crate) key_type: Option<String>,
    /// The size of an RSA key in bits: 2048, 3072 or 4096 [default: 2048]
    #[arg(long, value_name = "N")]
    pub(crate) rsa_key_size: Option<u32>,
    /// The curve of an ECDSA key [default: secp256r1]
    #[arg(long, value_name = "CURVE", ignore_case = true, value_parser = ["secp256r1", "secp384r1", "secp521r1"])]
    pub(crate) elliptic_curve: Option<String>,
    /// Keep the same private key at renewals
    #[arg(long, overrides_with = "no_reuse_key")]
    pub(crate) reuse_key: bool,
    /// Make a new private key at every renewal (the default)
    #[arg(long, overrides_with = "reuse_key")]
    pub(crate) no_reuse_key: bool,
    /// Make a new private key for what is obtained in this run, although --reuse-key or the renewal configuration keeps it;
    /// what is not due is renewed only with --force-renewal. With update_account, a new key for the account
    #[arg(long)]
    pub(crate) new_key: bool,
    /// Prefer the chain whose topmost certificate was issued by this name
    #[arg(long, value_name = "NAME")]
    pub(crate) preferred_chain: Option<String>,
    /// Ask for this certificate profile if the CA offers it
    #[arg(long, value_name = "PROFILE")]
    pub(crate) preferred_profile: Option<String>,
    /// Ask for this certificate profile, and fail if the CA does not offer it
    #[arg(long, value_name = "PROFILE")]
    pub(crate) required_profile: Option<String>,
}

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Account")]
pub(crate) struct Account {
    /// Agree to the CA's terms of service
    #[arg(long)]
    pub(crate) agree_tos: bool,
    /// Mail address for the account; a list with commas is possible
    #[arg(short = 'm', long, value_name = "ADDRESS")]
    pub(crate) email: Option<String>,
    /// Register without a mail address (this is fine), or remove those of an account
    #[arg(long)]
    pub(crate) register_unsafely_without_email: bool,
    /// The account to use, when there are several for the CA
    #[arg(long, value_name = "ID")]
    pub(crate) account: Option<String>,
    /// Key id of an external account binding, as the CA hands it out
    #[arg(long, value_name = "KID")]
    pub(crate) eab_kid: Option<String>,
    /// HMAC key of an external account binding
    #[arg(long, value_name = "KEY")]
    pub(crate) eab_hmac_key: Option<String>,
    /// Algorithm of an external account binding [default: HS256]
    #[arg(long, value_name = "ALGORITHM", value_parser = ["HS256", "HS384", "HS512"])]
    pub(crate) eab_hmac_alg: Option<String>,
}

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Proving control over the names")]
pub(crate) struct Validation {
    /// Answer on port 80 with a small server of our own
    #[arg(long)]
    pub(crate) standalone: bool,
    /// Put the answers into the document root of a running web server (-w)
    #[arg(long)]
    pub(crate) webroot: bool,
    /// Let your own commands answer (--manual-auth-hook), also by DNS records
    #[arg(long)]
    pub(crate) manual: bool,
    /// The same by name: standalone, webroot or manual
    #[arg(short = 'a', long, value_name = "NAME")]
    pub(crate) authenticator: Option<String>,
    /// The web server to reload after a renewal: nginx or apache
    #[arg(short = 'i', long, value_name = "NAME")]
    pub(crate) installer: Option<String>,
    /// Document root for the names that follow it: -w /srv/a -d a.example -w /srv/b -d b.example
    #[arg(short = 'w', long, value_name = "DIR", action = ArgAction::Append)]
    pub(crate) webroot_path: Vec<PathBuf>,
    /// Document roots as JSON: {"a.example,www.a.example": "/srv/a"}
    #[arg(long, value_name = "JSON")]
    pub(crate) webroot_map: Option<String>,
    /// Command that answers a challenge for --manual
    #[arg(long, value_name = "COMMAND")]
    pub(crate) manual_auth_hook: Option<String>,
    /// Command that takes the answer away again
    #[arg(long, value_name = "COMMAND")]
    pub(crate) manual_cleanup_hook: Option<String>,
    /// Kinds of challenge in order of preference: http, dns
    #[arg(long, value_name = "LIST")]
    pub(crate) preferred_challenges: Option<String>,
    /// Port for --standalone, when port 80 is forwarded to it
    #[arg(long, value_name = "PORT")]
    pub(crate) http_01_port: Option<u16>,
    /// Address to listen on for --standalone
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) http_01_address: Option<String>,
}

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Hooks")]
pub(crate) struct Hooks {
    /// Command to run once before anything is attempted
    #[arg(long, value_name = "COMMAND")]
    pub(crate) pre_hook: Option<String>,
    /// Command to run once at the end, when something was attempted
    #[arg(long, value_name = "COMMAND")]
    pub(crate) post_hook: Option<String>,
    /// Command to run for each renewed certificate, for example to reload a server
    #[arg(long, alias = "renew-hook", value_name = "COMMAND")]
    pub(crate) deploy_hook: Option<String>,
    /// Do not check beforehand that hook commands exist
    #[arg(long)]
    pub(crate) disable_hook_validation: bool,
    /// Leave out the commands in renewal-hooks/
    #[arg(long)]
    pub(crate) no_directory_hooks: bool,
    /// Seconds after which a hook is ended [default: 3600]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=604_800))]
    pub(crate) hook_time_limit: Option<u64>,

    /// How a new version goes live: `exchange` replaces the whole live directory in one step, so that no program ever
    /// reads a mixed pair; `links` replaces link by link, for programs that watch single links
    #[arg(long, value_name = "HOW", value_parser = ["exchange", "links"])]
    pub(crate) live_switch: Option<String>,
}

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "What is served")]
pub(crate) struct Serving {
    /// Do not look at what servers serve; with check, go by what was seen last
    #[arg(long)]
    pub(crate) no_probe: bool,
    /// The hosts speak this before TLS: smtp, imap or pop3 with STARTTLS; without a port, its usual one counts
    #[arg(long, value_name = "PROTOCOL", value_parser = ["smtp", "imap", "pop3"])]
    pub(crate) starttls: Option<String>,
}

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Revoking")]
pub(crate) struct Revocation {
    /// The certificate to revoke; with --csr, the new file for the certificate
    #[arg(long, value_name = "FILE")]
    pub(crate) cert_path: Option<PathBuf>,
    /// Revoke with the certificate's own key instead of the account
    #[arg(long, value_name = "FILE")]
    pub(crate) key_path: Option<PathBuf>,
    /// Why [default: unspecified]
    #[arg(long, value_name = "REASON", ignore_case = true, value_parser = ["unspecified", "keycompromise", "affiliationchanged", "superseded", "cessationofoperation"])]
    pub(crate) reason: Option<String>,
    /// Delete the certificate's files after revoking it, without asking
    #[arg(long, overrides_with = "no_delete_after_revoke")]
    pub(crate) delete_after_revoke: bool,
    /// Keep the certificate's files after revoking it
    #[arg(long, overrides_with = "delete_after_revoke")]
    pub(crate) no_delete_after_revoke: bool,
}

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Versions")]
pub(crate) struct VersionChoice {
    /// The version to go back to [default: the one before the live one]
    #[arg(long, value_name = "N")]
    pub(crate) to: Option<u32>,
}

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "With a certificate request")]
pub(crate) struct Csr {
    /// A certificate signing request in PEM or DER: the certificate goes into files, and nothing renews it
    #[arg(long, value_name = "FILE")]
    pub(crate) csr: Option<PathBuf>,
    /// With --csr, the new file for the certificate's issuers [default: NNNN_chain.pem]
    #[arg(long, value_name = "FILE")]
    pub(crate) chain_path: Option<PathBuf>,
    /// With --csr, the new file for the certificate and its issuers [default: NNNN_chain.pem]
    #[arg(long, value_name = "FILE")]
    pub(crate) fullchain_path: Option<PathBuf>,
}

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Timer")]
pub(crate) struct Timer {
    /// The time between two runs, 1 to 24 hours [default: 6h]
    #[arg(long, value_name = "TIME")]
    pub(crate) interval: Option<String>,
}

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Looking for trouble")]
pub(crate) struct Doctor {
    /// Look at this machine alone: ask no CA, no name server, and not port 80
    #[arg(long)]
    pub(crate) no_network: bool,
}

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Repairing")]
pub(crate) struct Fsck {
    /// Put right what can be without guessing; what is changed is saved in certkit/saved/ in the config dir first
    #[arg(long)]
    pub(crate) repair: bool,
    /// A folder outside the config dir that belongs to this tree alone: to repair and to delete in it too; can be repeated
    #[arg(long, value_name = "DIR", action = ArgAction::Append)]
    pub(crate) also_in: Vec<PathBuf>,
}

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Notices")]
pub(crate) struct Notices {
    /// Send a test message by every channel, and say what became of it
    #[arg(long)]
    pub(crate) test: bool,
}

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Metrics")]
pub(crate) struct Metrics {
    /// Answer Prometheus at this address: /metrics and /healthz; a port alone is one of 127.0.0.1
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) metrics: Option<String>,
    /// Let --metrics be an address that other machines reach: all who do can read the names of all certificates
    #[arg(long)]
    pub(crate) remote_metrics: bool,
    /// Show what Prometheus is told, as the file of metrics_textfile would have it
    #[arg(long)]
    pub(crate) prometheus: bool,
}

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Showing")]
pub(crate) struct View {
    /// Show every certificate, however many there are
    #[arg(long)]
    pub(crate) all: bool,
    /// Show the renewals of each day until this one: YYYY-MM-DD, or a length of time such as 90d
    ///
    /// With it, or with --assume-lifetime, it is shown how many certificates are renewed on which day if every attempt
    /// succeeds, how near that comes to the CA's limits, and what changes on the days on which certificates get shorter.
    #[arg(long, value_name = "DATE")]
    pub(crate) until: Option<String>,
    /// As if every new certificate lived for so long, for example 45d [default: what the CAs have announced]
    #[arg(long, value_name = "TIME")]
    pub(crate) assume_lifetime: Option<String>,
    /// The file for the page; - for standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

impl Typed {
    /// What the matches say.
    pub(crate) fn from_matches(matches: &clap::ArgMatches) -> Result<Self, clap::Error> {
        Self::from_arg_matches(matches)
    }
}
