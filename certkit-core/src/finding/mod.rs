//! Findings: what is wrong or worth knowing about the store, with its cure. The words stand here, once.

mod code;
pub use code::FindingCode;

mod machine;
mod network;

mod run;

mod serving;

mod store;

mod telling;

mod words;

use serde::{Deserialize, Serialize};

use crate::Hindrance;

/// Something that the owner should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Finding {
    /// What kind of finding it is.
    pub code: FindingCode,
    /// How bad it is.
    pub severity: Severity,
    /// What it is about: a path or a certificate name, escaped.
    pub subject: String,
    /// What was seen, escaped; empty when code and subject say it all.
    pub evidence: String,
    /// The exact cure where the code's own words are too general: made from what was found, escaped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exact_cure: Option<String>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Severity {
    /// Worth knowing.
    Notice,
    /// Will or may cause trouble.
    Warning,
    /// Something does not work now.
    Error,
}

impl Finding {
    /// A finding with the code's own severity; `subject` and `evidence` are escaped here, and the evidence is cut at
    /// [`Failure::MAX_DETAIL_CHARS`](crate::Failure::MAX_DETAIL_CHARS): some of it is what strangers sent.
    pub fn new(code: FindingCode, subject: impl AsRef<str>, evidence: impl AsRef<str>) -> Self {
        Self {
            code,
            severity: code.severity(),
            subject: crate::escape(subject.as_ref()).into_owned(),
            evidence: crate::failure::clean(evidence.as_ref()),
            exact_cure: None,
        }
    }

    /// The same with the exact cure: what to do in this very case, in words or as a command; escaped here.
    #[must_use]
    pub fn with_cure(mut self, cure: impl AsRef<str>) -> Self {
        self.exact_cure = Some(crate::escape(cure.as_ref()).into_owned());
        self
    }

    /// The same with the cure for what keeps it from being read, where something does: what it holds may be well.
    #[must_use]
    pub fn hindered_by(self, hindrance: Option<Hindrance>) -> Self {
        match hindrance {
            Some(hindrance) => self.with_cure(hindrance.cure()),
            None => self,
        }
    }

    /// The same with another severity than the code's own.
    #[must_use]
    pub fn with_severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// What is wrong, in a sentence without a full stop.
    pub fn what(&self) -> String {
        let what = self.code.what();
        if self.evidence.is_empty() { what.to_owned() } else { format!("{what}: {}", self.evidence) }
    }

    /// Why it matters, in a sentence without a full stop.
    pub fn why(&self) -> &'static str {
        self.code.why()
    }

    /// What to do about it: by the code, and where the evidence says so, by what really stands in the way.
    pub fn cure(&self) -> &str {
        if let Some(cure) = &self.exact_cure {
            return cure;
        }
        match self.code {
            FindingCode::AuthenticatorUnsupported if self.evidence.contains("dns-01") => {
                "certkit reconfigure --cert-name NAME --manual --preferred-challenges dns --manual-auth-hook COMMAND --manual-cleanup-hook COMMAND"
            }
            code => code.cure(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_of_any_length_is_cut() {
        let finding = Finding::new(FindingCode::CaaForbids, "a.example", "\x1b".repeat(60_000));
        assert_eq!(finding.evidence.chars().count(), crate::Failure::MAX_DETAIL_CHARS + 1);
    }

    #[test]
    fn what_may_not_be_read_is_not_to_be_restored_from_a_backup() {
        let finding = || Finding::new(FindingCode::AccountUnusable, "accounts/x", "x (os error 13)");
        for hindrance in [Hindrance::Rights, Hindrance::Below] {
            assert_eq!(finding().hindered_by(Some(hindrance)).cure(), hindrance.cure());
        }
        // What is known of it, and not what the text says.
        assert_eq!(finding().hindered_by(None).cure(), FindingCode::AccountUnusable.cure());
    }

    #[test]
    fn a_wildcard_is_not_to_be_validated_by_webroot() {
        let evidence = "*.a.example can only be validated with dns-01";
        let finding = Finding::new(FindingCode::AuthenticatorUnsupported, "a.example", evidence);
        let cure = finding.cure();
        assert!(cure.contains("--manual") && !cure.contains("--webroot"), "{cure}");
    }
}
