//! Everything that the doctor asks of name servers, with answers that were written before: for the fuzz target.

use certkit_core::{AcmeUrl, Certificate, DnsName};

use super::{
    AddressQuestion, CaaQuestion, Examined, check_addresses, check_caa, check_challenge_records, check_tlsa,
    check_validation,
};
use crate::challenge::ChallengeKind;
use crate::dns::{Resolver, ResolverSettings};

/// What a check makes of these answers.
#[derive(Debug)]
pub struct Asked {
    /// What it found.
    pub examined: Vec<Examined>,
    /// How many questions it asked.
    pub questions: usize,
}

/// The checks, with everything that they need besides answers.
#[derive(Debug)]
pub struct DnsChecks {
    resolver: Resolver,
    name: DnsName,
    wildcard: DnsName,
    alias: DnsName,
    certificate: Certificate,
    questions: [CaaQuestion; 2],
}

impl DnsChecks {
    /// Asks nobody, now or later; has to be called within a runtime. None when the certificate is none.
    pub fn new(certificate: &[u8]) -> Option<Self> {
        let nobody = ResolverSettings::with_servers(vec![([127, 0, 0, 1], 1).into()]);
        let directory = AcmeUrl::parse("https://ca.example/directory").ok()?;
        let account = AcmeUrl::parse("https://ca.example/account/1").ok()?;
        let question =
            |identities| CaaQuestion::new(directory.clone(), identities, Some(account.clone()), ChallengeKind::Dns01);
        Some(Self {
            resolver: Resolver::new(&nobody).ok()?,
            name: DnsName::parse("a.example").ok()?,
            wildcard: DnsName::parse("*.a.example").ok()?,
            alias: DnsName::parse("www.a.example").ok()?,
            certificate: Certificate::from_der(certificate).ok()?,
            questions: [question(vec!["ca.example".to_owned()]), question(Vec::new())],
        })
    }

    /// The check that the first byte says, with the rest as answers; see `dns/fuzzing.rs`.
    pub async fn go_through(&self, input: &[u8]) -> Asked {
        let (check, answers) = input.split_first().unwrap_or((&0, &[]));
        let resolver = self.resolver.scripted(answers);
        let examined = match check % 6 {
            0 => check_addresses(&resolver, &self.alias, AddressQuestion::new(true, true)).await.0,
            1 => check_addresses(&resolver, &self.wildcard, AddressQuestion::new(false, true)).await.0,
            2 => check_caa(&resolver, &self.wildcard, &self.questions).await,
            3 => check_challenge_records(&resolver, &self.name).await,
            4 => check_tlsa(&resolver, &self.name, &self.certificate, true).await,
            _ => check_validation(&resolver).await,
        };
        Asked { examined, questions: resolver.asked() }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::doctor::Examination;

    fn seeds() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds")
    }

    fn go_through(input: &[u8]) -> Asked {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let der = std::fs::read(seeds().join("certificate/cloudflare-dns-ipv4-ipv6.der")).unwrap();
            DnsChecks::new(&der).unwrap().go_through(input).await
        })
    }

    #[test]
    fn each_seed_finds_what_it_is_named_after() {
        let mut count = 0;
        for seed in std::fs::read_dir(seeds().join("dns_answer")).unwrap() {
            let seed = seed.unwrap();
            let name = seed.file_name().into_string().unwrap();
            let asked = go_through(&std::fs::read(seed.path()).unwrap());
            let found = asked.examined.iter().any(|one| match &one.outcome {
                Examination::Fine => name.ends_with("-fine"),
                Examination::NotChecked { .. } => name.ends_with("-not-checked"),
                Examination::Found(findings) => findings
                    .iter()
                    .any(|finding| name.starts_with(serde_json::to_value(finding.code).unwrap().as_str().unwrap())),
            });
            assert!(found, "{name}: {asked:?}");
            count += 1;
        }
        assert!(count >= 20, "{count} seeds");
    }

    proptest! {
        #[test]
        fn whatever_name_servers_answer_is_safe_to_show(input: Vec<u8>) {
            let asked = go_through(&input);
            for one in asked.examined {
                let text = format!("{one:?}");
                prop_assert!(!text.contains(char::is_control), "{}", text);
            }
        }
    }
}
