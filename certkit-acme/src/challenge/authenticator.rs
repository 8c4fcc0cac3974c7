//! From a conf's `authenticator` to a solver.

use std::net::IpAddr;
use std::path::PathBuf;

use certkit_core::store::{ConfText, RenewalParams};
use certkit_core::{Failure, FailureClass, Identifier, IdentifierSet, escape};

use super::manual::kinds;
use super::{ChallengeKind, ManualSolver, Solver, StandaloneServers, WebrootSolver, name_list};
use crate::command::CommandSettings;
use crate::stop::Stop;

/// How a lineage's names are validated.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Authenticator {
    /// certbot's `standalone`: a responder of our own.
    Standalone {
        /// Where it listens; on all addresses of the machine without one.
        address: Option<IpAddr>,
        /// On which port.
        port: u16,
    },
    /// certbot's `webroot`: files for a running web server.
    Webroot {
        /// Each name's document root.
        map: Vec<(Identifier, PathBuf)>,
        /// The one for names that are not in the map.
        default: Option<PathBuf>,
    },
    /// certbot's `manual` with hooks.
    Manual {
        /// Sets a challenge up.
        auth_hook: String,
        /// Removes it.
        cleanup_hook: Option<String>,
        /// The kinds to use in this order; empty for the usual ones.
        preferred: Vec<ChallengeKind>,
    },
    /// What this version cannot do. It can be reported before the lineage is due.
    Unsupported {
        /// As the conf names it, escaped.
        name: String,
        /// Why it cannot be done.
        reason: &'static str,
    },
}

impl Authenticator {
    /// What `[renewalparams]` ask for. An authenticator that cannot be done is a value; an error is a conf that
    /// contradicts itself or says too little ([`FailureClass::Settings`]).
    pub fn from_params(params: &RenewalParams) -> Result<Self, Failure> {
        const HTTP_PORT: u16 = 80;
        let Some(written) = params.authenticator.as_deref() else {
            return Err(settings(
                "the renewal conf names no authenticator: certkit reconfigure --cert-name NAME --webroot -w DIR sets one",
            ));
        };
        match plain_name(written) {
            "standalone" => {
                only_http01(written, params)?;
                let port = params.http01_port.unwrap_or(HTTP_PORT);
                Ok(Self::Standalone { address: params.http01_address, port })
            }
            "webroot" => {
                only_http01(written, params)?;
                webroot(params)
            }
            "manual" => manual(params),
            name => Ok(Self::Unsupported { name: escape(written).into_owned(), reason: why_not(name) }),
        }
    }

    /// certbot's name of it, escaped.
    pub fn name(&self) -> &str {
        match self {
            Self::Standalone { .. } => "standalone",
            Self::Webroot { .. } => "webroot",
            Self::Manual { .. } => "manual",
            Self::Unsupported { name, .. } => name,
        }
    }

    /// Whether it can validate all of these identifiers. Asks nobody and touches nothing: for the time before ordering,
    /// and for reports long before that.
    pub fn supports(&self, identifiers: &IdentifierSet) -> Result<(), Failure> {
        let name = self.name();
        match self {
            Self::Unsupported { .. } => return Err(self.unsupported()),
            Self::Webroot { map, default: None } => {
                let without = |identifier: &&Identifier| !map.iter().any(|(known, _)| known == *identifier);
                let without: Vec<&Identifier> = identifiers.iter().filter(without).collect();
                if !without.is_empty() {
                    return Err(settings(&format!(
                        "no webroot is known for {}: add them to [[webroot_map]], or name a webroot for all with --webroot -w DIR",
                        name_list(&without)
                    )));
                }
            }
            Self::Standalone { .. } | Self::Webroot { .. } | Self::Manual { .. } => {}
        }
        let (mut wildcards, mut others) = (Vec::new(), Vec::new());
        for identifier in identifiers.iter() {
            let wildcard = matches!(identifier, Identifier::Dns(name) if name.is_wildcard());
            let possible = match self {
                Self::Manual { preferred, .. } => !kinds(preferred, identifier, wildcard).is_empty(),
                _ => !wildcard,
            };
            match (possible, wildcard) {
                (true, _) => {}
                (false, true) => wildcards.push(identifier),
                (false, false) => others.push(identifier),
            }
        }
        if !wildcards.is_empty() {
            return Err(settings(&format!(
                "{} can only be validated with dns-01, which `{name}` as configured does not do: use --manual --preferred-challenges dns with --manual-auth-hook and --manual-cleanup-hook, or list the names one by one",
                name_list(&wildcards)
            )));
        }
        if !others.is_empty() {
            return Err(settings(&format!(
                "{} can only be validated with http-01, which `{name}` as configured does not do: add http-01 to the preferred challenges",
                name_list(&others)
            )));
        }
        Ok(())
    }

    /// Whether the machine is ready as far as can be seen without changing anything: each webroot is a directory that can
    /// be written to. For the time after the pre hooks and before ordering. It asks the file system, which can take as long
    /// as a dead NFS server does: call it where blocking is allowed (`spawn_blocking` with a clone), as
    /// [`WebrootSolver::check`].
    pub fn preflight(&self, identifiers: &IdentifierSet) -> Result<(), Failure> {
        match self {
            Self::Webroot { map, default } => Ok(WebrootSolver::new(map.clone(), default.clone()).check(identifiers)?),
            _ => Ok(()),
        }
    }

    /// The solver. `servers` is what all solvers of a run share.
    pub fn solver(&self, servers: &StandaloneServers, commands: &CommandSettings) -> Result<Box<dyn Solver>, Failure> {
        self.solver_stopping(servers, commands, &Stop::new())
    }

    /// As [`Authenticator::solver`], for a run that can be asked to stop: no auth hook is started after that, see
    /// [`ManualSolver::stopping_with`].
    pub fn solver_stopping(
        &self,
        servers: &StandaloneServers,
        commands: &CommandSettings,
        stop: &Stop,
    ) -> Result<Box<dyn Solver>, Failure> {
        Ok(match self {
            Self::Standalone { address, port } => Box::new(servers.solver(*address, *port)),
            Self::Webroot { map, default } => {
                Box::new(WebrootSolver::new(map.clone(), default.clone()).shared_by(servers))
            }
            Self::Manual { auth_hook, cleanup_hook, preferred } => {
                let solver =
                    ManualSolver::new(auth_hook.clone(), cleanup_hook.clone(), preferred.clone(), commands.clone());
                Box::new(solver.shared_by(servers).stopping_with(stop))
            }
            Self::Unsupported { .. } => return Err(self.unsupported()),
        })
    }

    fn unsupported(&self) -> Failure {
        let reason = match self {
            Self::Unsupported { reason, .. } => reason,
            _ => "",
        };
        Failure::new(
            FailureClass::AuthenticatorUnsupported,
            format!("the authenticator `{}` cannot be used: {reason}", self.name()),
        )
    }
}

/// The name without the distribution that very old confs put before it: `certbot-route53:auth`, `letsencrypt:webroot`.
fn plain_name(written: &str) -> &str {
    match written.split_once(':') {
        Some(("certbot-route53", "auth")) => "dns-route53",
        Some((
            "certbot" | "letsencrypt" | "certbot-nginx" | "letsencrypt-nginx" | "certbot-apache" | "letsencrypt-apache",
            name,
        )) => name,
        Some((distribution, name)) if distribution.starts_with("certbot-dns-") && name.starts_with("dns-") => name,
        _ => written,
    }
}

fn why_not(name: &str) -> &'static str {
    match name {
        "nginx" | "apache" => {
            "certkit does not edit web server configurations; --webroot with the server's document root does the same"
        }
        name if name.starts_with("dns-") => {
            "this version has no DNS providers of its own; --manual with hooks that set the TXT record does the same"
        }
        _ => "it is a plugin of certbot that this version does not have",
    }
}

fn webroot(params: &RenewalParams) -> Result<Authenticator, Failure> {
    // A key that is not a name cannot be asked for; certbot ignores it as well.
    let entry = |(name, path): &(ConfText, ConfText)| {
        Identifier::parse(name).ok().map(|name| (name, PathBuf::from(path.as_str())))
    };
    let map: Vec<_> = params.webroot_map.iter().filter_map(entry).collect();
    // certbot uses the last of several paths for every name without an entry of its own.
    let default = params.webroot_path.last().filter(|path| !path.is_empty()).map(|path| PathBuf::from(path.as_str()));
    if map.is_empty() && default.is_none() {
        return Err(settings(
            "the renewal conf names no webroot: certkit reconfigure --cert-name NAME --webroot -w DIR sets one",
        ));
    }
    Ok(Authenticator::Webroot { map, default })
}

fn manual(params: &RenewalParams) -> Result<Authenticator, Failure> {
    let hook = |hook: &Option<ConfText>| hook.clone().filter(|hook| !hook.trim().is_empty()).map(String::from);
    let Some(auth_hook) = hook(&params.manual_auth_hook) else {
        return Ok(Authenticator::Unsupported {
            name: "manual".into(),
            reason: "it has no manual_auth_hook, so that nobody would answer the challenges",
        });
    };
    let preferred: Vec<_> =
        params.preferred_challenges.iter().filter_map(|kind| ChallengeKind::from_certbot(kind)).collect();
    if preferred.is_empty() && !params.preferred_challenges.is_empty() {
        return Err(none_of_the_preferred("manual", params));
    }
    Ok(Authenticator::Manual { auth_hook, cleanup_hook: hook(&params.manual_cleanup_hook), preferred })
}

/// certbot fails too when none of the preferred challenges can be done.
fn only_http01(written: &str, params: &RenewalParams) -> Result<(), Failure> {
    let http01 = |kind: &String| ChallengeKind::from_certbot(kind) == Some(ChallengeKind::Http01);
    if params.preferred_challenges.is_empty() || params.preferred_challenges.iter().any(http01) {
        return Ok(());
    }
    Err(none_of_the_preferred(written, params))
}

fn none_of_the_preferred(authenticator: &str, params: &RenewalParams) -> Failure {
    settings(&format!(
        "the preferred challenges ({}) are none that `{authenticator}` can answer: correct pref_challs (--preferred-challenges)",
        params.preferred_challenges.join(", ")
    ))
}

fn settings(detail: &str) -> Failure {
    Failure::new(FailureClass::Settings, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(authenticator: &str) -> RenewalParams {
        let mut params = RenewalParams::default();
        params.authenticator = Some(authenticator.into());
        params
    }

    fn names(names: &[&str]) -> IdentifierSet {
        names.iter().map(|name| Identifier::parse(name).unwrap()).collect()
    }

    fn solver(authenticator: &Authenticator) -> Result<Box<dyn Solver>, Failure> {
        authenticator.solver(&StandaloneServers::new(), &CommandSettings::new())
    }

    #[test]
    fn standalone_listens_where_the_conf_says() {
        let read = |params: &RenewalParams| Authenticator::from_params(params).unwrap();
        let mut conf = params("standalone");
        assert_eq!(read(&conf), Authenticator::Standalone { address: None, port: 80 });
        conf.http01_port = Some(8080);
        conf.http01_address = Some("192.0.2.1".parse().unwrap());
        assert_eq!(read(&conf), Authenticator::Standalone { address: conf.http01_address, port: 8080 });
        assert!(solver(&read(&conf)).is_ok());
    }

    #[test]
    fn webroots_follow_the_map_and_then_the_last_path() {
        let mut conf = params("webroot");
        conf.webroot_map = vec![("A.example".into(), "/a".into()), ("not a name".into(), "/x".into())];
        let mapped_only = Authenticator::from_params(&conf).unwrap();
        conf.webroot_path = vec!["/first".into(), "/last".into()];
        let both = Authenticator::from_params(&conf).unwrap();
        let Authenticator::Webroot { map, default } = &both else { panic!("{both:?}") };
        assert_eq!(*map, [(Identifier::parse("a.example").unwrap(), PathBuf::from("/a"))]);
        assert_eq!(*default, Some(PathBuf::from("/last")));
        assert_eq!(both.supports(&names(&["a.example", "b.example", "192.0.2.1"])), Ok(()));
        let failure = mapped_only.supports(&names(&["a.example", "b.example", "c.example"])).unwrap_err();
        assert_eq!(failure.class, FailureClass::Settings);
        assert!(failure.detail.contains("no webroot is known for b.example, c.example:"), "{failure}");
        let failure = both.preflight(&names(&["a.example"])).unwrap_err();
        assert_eq!(failure.class, FailureClass::ChallengeSetup);
        assert!(failure.detail.contains("a.example (webroot /a)"), "{failure}");
        conf.webroot_map.clear();
        conf.webroot_path = vec!["".into()];
        assert_eq!(Authenticator::from_params(&conf).unwrap_err().class, FailureClass::Settings);
    }

    #[test]
    fn manual_needs_an_auth_hook() {
        let mut conf = params("manual");
        let without = Authenticator::from_params(&conf).unwrap();
        assert!(matches!(&without, Authenticator::Unsupported { name, .. } if name == "manual"), "{without:?}");
        conf.manual_auth_hook = Some("/usr/local/bin/auth".into());
        conf.manual_cleanup_hook = Some("  ".into());
        conf.preferred_challenges = vec!["dns-01".into(), "http".into(), "tls-sni-01".into()];
        let with = Authenticator::from_params(&conf).unwrap();
        assert_eq!(
            with,
            Authenticator::Manual {
                auth_hook: "/usr/local/bin/auth".into(),
                cleanup_hook: None,
                preferred: vec![ChallengeKind::Dns01, ChallengeKind::Http01],
            }
        );
        assert_eq!(with.supports(&names(&["*.example.org", "example.org", "2001:db8::1"])), Ok(()));
        conf.preferred_challenges = vec!["dns-01".into()];
        let dns_only = Authenticator::from_params(&conf).unwrap();
        let failure = dns_only.supports(&names(&["example.org", "2001:db8::1"])).unwrap_err();
        assert!(failure.detail.starts_with("2001:db8::1 can only be validated with http-01"), "{failure}");
        conf.preferred_challenges = vec!["tls-alpn-01".into()];
        assert_eq!(Authenticator::from_params(&conf).unwrap_err().class, FailureClass::Settings);
    }

    #[test]
    fn wildcards_are_refused_before_an_order_where_dns_is_not_possible() {
        let mut conf = params("webroot");
        conf.webroot_path = vec!["/srv".into()];
        for authenticator in [&conf, &params("standalone")] {
            let authenticator = Authenticator::from_params(authenticator).unwrap();
            let failure = authenticator.supports(&names(&["example.org", "*.example.org"])).unwrap_err();
            assert!(failure.detail.starts_with("*.example.org can only be validated with dns-01"), "{failure}");
        }
    }

    #[test]
    fn preferred_challenges_that_exclude_the_authenticator_are_an_error() {
        for name in ["standalone", "webroot"] {
            let mut conf = params(name);
            conf.webroot_path = vec!["/srv".into()];
            conf.preferred_challenges = vec!["dns".into()];
            let failure = Authenticator::from_params(&conf).unwrap_err();
            assert_eq!(failure.class, FailureClass::Settings);
            assert!(failure.detail.contains("pref_challs"), "{failure}");
            conf.preferred_challenges.push("http-01".into());
            assert!(Authenticator::from_params(&conf).is_ok());
        }
    }

    #[test]
    fn what_cannot_be_done_is_named_as_the_conf_names_it() {
        for name in
            ["nginx", "apache", "dns-cloudflare", "certbot-route53:auth", "certbot-dns-x:dns-x", "dns-multi", "x\x1b"]
        {
            let authenticator = Authenticator::from_params(&params(name)).unwrap();
            assert_eq!(authenticator.name(), escape(name));
            let failure = authenticator.supports(&names(&["a.example"])).unwrap_err();
            assert_eq!(failure.class, FailureClass::AuthenticatorUnsupported);
            assert_eq!(solver(&authenticator).err(), Some(failure.clone()));
            assert!(failure.detail.contains(&*escape(name)) && !failure.detail.contains('\x1b'), "{failure}");
        }
        let why =
            |name| Authenticator::from_params(&params(name)).unwrap().supports(&names(&["a.example"])).unwrap_err();
        assert!(why("certbot-route53:auth").detail.contains("DNS providers"));
        assert_eq!(Authenticator::from_params(&RenewalParams::default()).unwrap_err().class, FailureClass::Settings);
        assert!(matches!(
            Authenticator::from_params(&params("letsencrypt:standalone")),
            Ok(Authenticator::Standalone { .. })
        ));
    }
}
