//! Which key belongs where, and the nearest name of one that nobody knows.

use super::SettingsProblemCode as Code;
use super::document::{Key, Reader};
use crate::LineageName;

/// The keys of both files; a lineage's own value wins.
pub(super) const BOTH: [&str; 7] = [
    "fallback_servers",
    "renewal_information",
    "revocation_check",
    "live_switch",
    "hook_time_limit",
    "default_endpoints",
    "proof_patience",
];

/// The keys of `certkit/settings.toml` alone.
pub(super) const GLOBAL: [&str; 9] = [
    "parallel_orders",
    "ca_bundles",
    "run_interval",
    "user_agent_comment",
    "email",
    "notify",
    "heartbeat",
    "metrics_textfile",
    "metrics_per_certificate",
];

/// The keys of `certkit/lineages/NAME.toml` alone.
pub(super) const LINEAGE: [&str; 2] = ["deploy", "endpoint"];

/// A file of settings.
#[derive(Clone, Copy, Debug)]
pub(super) enum SettingsFile<'a> {
    /// `certkit/settings.toml`.
    Global,
    /// `certkit/lineages/NAME.toml`.
    Lineage(&'a LineageName),
}

/// A key that has its place elsewhere.
struct Elsewhere {
    key: &'static str,
    /// How one certificate's is changed.
    how: &'static str,
    /// The line of `cli.ini` that says it for all certificates, where there is one.
    cli_ini: Option<&'static str>,
}

const fn conf(key: &'static str, how: &'static str, cli_ini: Option<&'static str>) -> Elsewhere {
    Elsewhere { key, how, cli_ini }
}

const AUTHENTICATOR: &str =
    "certkit reconfigure --cert-name NAME --webroot -w DIR (or --standalone, or --manual with hooks)";
const PLACES: &str = "leave it out: where the files lie stands in renewal/NAME.conf, and certkit keeps it";
const NOT_DONE: &str = "leave it out: certkit does not do it";

/// What `renewal/NAME.conf` expresses, with certbot's names for it there and on its command line.
const CONF: &[Elsewhere] = &[
    conf("account", "certkit renew --cert-name NAME --force-renewal --account ID", None),
    conf(
        "allow_subset_of_names",
        "certkit renew --cert-name NAME --allow-subset-of-names",
        Some("allow-subset-of-names = true"),
    ),
    conf("archive_dir", PLACES, None),
    conf("authenticator", AUTHENTICATOR, Some("authenticator = standalone")),
    conf("autorenew", "certkit reconfigure --cert-name NAME --no-autorenew", None),
    conf("cert", PLACES, None),
    conf("chain", PLACES, None),
    conf("deploy_hook", "certkit reconfigure --cert-name NAME --deploy-hook COMMAND", Some("deploy-hook = COMMAND")),
    conf("domains", "certkit certonly --cert-name NAME -d NAME1 -d NAME2", None),
    conf(
        "elliptic_curve",
        "certkit reconfigure --cert-name NAME --elliptic-curve secp384r1",
        Some("elliptic-curve = secp384r1"),
    ),
    conf("fullchain", PLACES, None),
    conf(
        "http01_address",
        "certkit reconfigure --cert-name NAME --http-01-address ADDRESS",
        Some("http-01-address = ADDRESS"),
    ),
    conf("http01_port", "certkit reconfigure --cert-name NAME --http-01-port PORT", Some("http-01-port = PORT")),
    conf(
        "http_01_address",
        "certkit reconfigure --cert-name NAME --http-01-address ADDRESS",
        Some("http-01-address = ADDRESS"),
    ),
    conf("http_01_port", "certkit reconfigure --cert-name NAME --http-01-port PORT", Some("http-01-port = PORT")),
    conf("installer", "certkit reconfigure --cert-name NAME --installer nginx", None),
    conf("key_type", "certkit reconfigure --cert-name NAME --key-type ecdsa", Some("key-type = ecdsa")),
    conf("manual", AUTHENTICATOR, Some("authenticator = manual")),
    conf(
        "manual_auth_hook",
        "certkit reconfigure --cert-name NAME --manual-auth-hook COMMAND",
        Some("manual-auth-hook = COMMAND"),
    ),
    conf(
        "manual_cleanup_hook",
        "certkit reconfigure --cert-name NAME --manual-cleanup-hook COMMAND",
        Some("manual-cleanup-hook = COMMAND"),
    ),
    conf("must_staple", NOT_DONE, None),
    conf("post_hook", "certkit reconfigure --cert-name NAME --post-hook COMMAND", Some("post-hook = COMMAND")),
    conf("pre_hook", "certkit reconfigure --cert-name NAME --pre-hook COMMAND", Some("pre-hook = COMMAND")),
    conf(
        "pref_challs",
        "certkit reconfigure --cert-name NAME --preferred-challenges http",
        Some("preferred-challenges = http"),
    ),
    conf(
        "preferred_chain",
        "certkit reconfigure --cert-name NAME --preferred-chain NAME-OF-ROOT",
        Some("preferred-chain = NAME-OF-ROOT"),
    ),
    conf(
        "preferred_challenges",
        "certkit reconfigure --cert-name NAME --preferred-challenges http",
        Some("preferred-challenges = http"),
    ),
    conf(
        "preferred_profile",
        "certkit reconfigure --cert-name NAME --preferred-profile PROFILE",
        Some("preferred-profile = PROFILE"),
    ),
    conf("privkey", PLACES, None),
    conf("renew_before_expiry", "write `renew_before_expiry = 10 days` at the top of renewal/NAME.conf", None),
    conf("renew_hook", "certkit reconfigure --cert-name NAME --deploy-hook COMMAND", Some("deploy-hook = COMMAND")),
    conf(
        "required_profile",
        "certkit reconfigure --cert-name NAME --required-profile PROFILE",
        Some("required-profile = PROFILE"),
    ),
    conf("reuse_key", "certkit reconfigure --cert-name NAME --reuse-key", Some("reuse-key = true")),
    conf("rsa_key_size", "certkit reconfigure --cert-name NAME --rsa-key-size 4096", Some("rsa-key-size = 4096")),
    conf(
        "server",
        "certkit certonly --cert-name NAME --server URL",
        // For new ones: certbot's issue 10663, where it made every renewal fail.
        None,
    ),
    conf("standalone", AUTHENTICATOR, Some("authenticator = standalone")),
    conf(
        "user_agent",
        "leave it out: certkit has its own User-Agent; user_agent_comment in certkit/settings.toml adds to it",
        None,
    ),
    conf("version", PLACES, None),
    conf("webroot", AUTHENTICATOR, None),
    conf("webroot_map", "certkit reconfigure --cert-name NAME -w DIR", None),
    conf("webroot_path", "certkit reconfigure --cert-name NAME -w DIR", None),
];

/// Flags of certbot's that stand in no conf, and the line of `cli.ini`.
const CLI_INI: &[(&str, &str)] = &[
    ("agree_tos", "agree-tos = true"),
    ("disable_hook_validation", "disable-hook-validation = true"),
    ("eab_hmac_key", "eab-hmac-key = KEY"),
    ("eab_kid", "eab-kid = KID"),
    ("logs_dir", "logs-dir = DIR"),
    ("no_directory_hooks", "no-directory-hooks = true"),
    ("no_random_sleep_on_renew", "no-random-sleep-on-renew = true"),
    ("no_verify_ssl", "no-verify-ssl = true"),
    ("non_interactive", "non-interactive = true"),
    ("quiet", "quiet = true"),
    ("staging", "staging = true"),
    ("work_dir", "work-dir = DIR"),
];

impl<'a> SettingsFile<'a> {
    /// The keys of this file.
    pub(super) fn keys(self) -> impl Iterator<Item = &'static str> {
        let own: &[&str] = match self {
            Self::Global => &GLOBAL,
            Self::Lineage(_) => &LINEAGE,
        };
        BOTH.into_iter().chain(own.iter().copied())
    }

    /// Tells of a key that this file has not.
    pub(super) fn refuse(self, reader: &mut Reader, key: &Key<'_>) {
        let (name, plain) = (key.get_ref().as_ref(), plain(key.get_ref()));
        let shown = super::problem::shown(name);
        let report = |reader: &mut Reader, code, what: String, cure: String| {
            reader.report(code, key.span(), name, what, cure);
        };
        let other: &[&str] = if matches!(self, Self::Global) { &LINEAGE } else { &GLOBAL };
        if other.contains(&name) {
            let (place, why) = match self {
                Self::Global => ("certkit/lineages/NAME.toml", "each certificate has its own"),
                Self::Lineage(_) => ("certkit/settings.toml", "it is for all certificates"),
            };
            report(
                reader,
                Code::OtherFile,
                format!("`{shown}` does not belong here"),
                format!("write it into {place}: {why}"),
            );
        } else if let Some(conf) = CONF.iter().find(|conf| conf.key == plain) {
            let what = format!("`{shown}` belongs to {}, not here", self.conf_file());
            report(reader, Code::BelongsToConf, what, self.conf_cure(conf));
        } else if let Some((_, line)) = CLI_INI.iter().find(|(flag, _)| *flag == plain) {
            let what = format!("`{shown}` is a flag, not a setting of this file");
            report(reader, Code::BelongsToCliIni, what, format!("write `{line}` into cli.ini"));
        } else {
            let cure = match nearest(&plain, self.keys().chain(other.iter().copied())) {
                Some(own) if other.contains(&own) => {
                    format!("did you mean `{own}`? It belongs to the other kind of file")
                }
                Some(own) => format!("did you mean `{own}`?"),
                None => match nearest(&plain, CONF.iter().map(|conf| conf.key)) {
                    Some(near) => {
                        let cure = CONF.iter().find(|conf| conf.key == near).map(|conf| self.conf_cure(conf));
                        format!(
                            "did you mean `{near}`? It belongs to {}: {}",
                            self.conf_file(),
                            cure.unwrap_or_default()
                        )
                    }
                    None => format!("the keys are: {}", self.keys().collect::<Vec<_>>().join(", ")),
                },
            };
            report(reader, Code::UnknownKey, format!("`{shown}` is not known"), cure);
        }
    }

    fn conf_file(self) -> String {
        match self {
            Self::Global => "renewal/NAME.conf".to_owned(),
            Self::Lineage(name) => format!("renewal/{name}.conf"),
        }
    }

    fn conf_cure(self, conf: &Elsewhere) -> String {
        match (self, conf.cli_ini) {
            (Self::Lineage(name), _) => conf
                .how
                .replace("--cert-name NAME", &format!("--cert-name {name}"))
                .replace("renewal/NAME.conf", &self.conf_file()),
            (Self::Global, Some(line)) => format!("{}; for all certificates, write `{line}` into cli.ini", conf.how),
            (Self::Global, None) => conf.how.to_owned(),
        }
    }
}

/// Flags are written with hyphens, and people take them over.
fn plain(key: &str) -> String {
    key.trim_start_matches('-').to_lowercase().replace('-', "_")
}

/// The known name that a mistyped one was most likely meant to be.
pub(super) fn nearest<'k>(typed: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    /// No key is as long, and the work grows with the square.
    const MAX_TYPED: usize = 40;
    /// A shorter part of a name says nothing.
    const MIN_PART: usize = 4;
    if typed.chars().count() > MAX_TYPED {
        return None;
    }
    let typed = plain(typed);
    let mut by_part = None;
    let mut best: Option<(usize, &str)> = None;
    for name in known {
        let distance = distance(&typed, name);
        // Every third letter may be wrong.
        if distance <= (name.len() / 3).max(1) && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, name));
        }
        if by_part.is_none()
            && typed.len() >= MIN_PART
            && (name.contains(&typed) || typed.contains(name) && name.len() >= MIN_PART)
        {
            by_part = Some(name);
        }
    }
    best.map(|(_, name)| name).or(by_part)
}

/// How many letters have to be added, left out, changed or swapped with their neighbour.
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=other.len()).collect();
    for (row, a) in one.iter().enumerate() {
        let mut line = Vec::with_capacity(other.len() + 1);
        line.push(row + 1);
        for (column, b) in other.iter().enumerate() {
            let mut least = (above[column] + usize::from(a != b)).min(above[column + 1] + 1).min(line[column] + 1);
            let swapped = row > 0 && column > 0 && one[row - 1] == *b && other[column - 1] == *a;
            if swapped {
                least = least.min(before[column - 1] + 1);
            }
            line.push(least);
        }
        before = std::mem::replace(&mut above, line);
    }
    above.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_no_far_one() {
        let all = || SettingsFile::Global.keys();
        for (typed, name) in [
            ("live_swicth", "live_switch"),
            ("live-switch", "live_switch"),
            ("paralel_order", "parallel_orders"),
            ("fallback_server", "fallback_servers"),
            ("fallback", "fallback_servers"),
            ("CA_BUNDLE", "ca_bundles"),
            ("interval", "run_interval"),
        ] {
            assert_eq!(nearest(typed, all()), Some(name), "{typed}");
        }
        for typed in ["", "x", "colour", "hostname", &"live_switch".repeat(9)] {
            assert_eq!(nearest(typed, all()), None, "{typed}");
        }
    }

    #[test]
    fn distances() {
        for (one, other, expected) in [("", "", 0), ("", "abc", 3), ("abc", "acb", 1), ("abc", "abd", 1), ("é", "e", 1)]
        {
            assert_eq!(distance(one, other), expected, "{one} {other}");
            assert_eq!(distance(other, one), expected, "{one} {other}");
        }
    }

    #[test]
    fn no_key_has_two_places() {
        let mut all: Vec<&str> = BOTH.into_iter().chain(GLOBAL).chain(LINEAGE).collect();
        all.extend(CONF.iter().map(|conf| conf.key).chain(CLI_INI.iter().map(|(flag, _)| *flag)));
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn every_key_that_a_conf_is_read_for_is_refused_here() {
        let params = include_str!("../store/renewal_config/params.rs");
        let mut found = 0;
        for line in params.lines().filter(|line| line.contains(" => ") && line.contains("value")) {
            let Some(key) = line.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next()) else {
                continue;
            };
            assert!(CONF.iter().any(|conf| conf.key == key), "{key}");
            found += 1;
        }
        assert!(found > 20, "{found}");
    }
}
