//! Findings: what is wrong or worth knowing about the store, with its cure. The words stand here, once.

use serde::{Deserialize, Serialize};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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

/// The kinds of finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FindingCode {
    /// The journal of a change of an account's key cannot be read; the key in it may be the one that counts.
    AccountKeyJournalUnusable,
    /// A change of an account's key that did not end.
    AccountKeyPending,
    /// An account that its CA had lost was registered anew.
    AccountRevived,
    /// An account directory that cannot be used, or that certbot could not use.
    AccountUnusable,
    /// `archive/NAME` without a conf.
    ArchiveWithoutConf,
    /// The authenticator of a conf cannot be done by this version.
    AuthenticatorUnsupported,
    /// A certificate is ordered before the CA's window begins.
    BeforeTheWindow,
    /// A lineage cannot be used.
    BrokenLineage,
    /// The CA has revoked the certificate in use.
    CertificateRevoked,
    /// This machine's clock and the CA's differ.
    ClockOff,
    /// A deploy hook or a reload failed for the version in use, and is tried again.
    DeployPending,
    /// An endpoint that counts cannot be reached, so that it is not known what it serves.
    EndpointUnreachable,
    /// The certificate was obtained from another CA than the conf's first, because that one fails.
    FallbackAuthority,
    /// A live link points somewhere that certbot would not have made it point to.
    ForeignLink,
    /// A commit of certkit that did not end.
    InterruptedCommit,
    /// certbot's journal links of an interrupted switch.
    InterruptedSwitch,
    /// What is live cannot be used: a file is empty or damaged, or the key is another's.
    LiveVersionDamaged,
    /// `live/NAME` without a conf.
    LiveWithoutConf,
    /// The live links point to different versions.
    MixedVersions,
    /// Names were left out of a certificate, as `allow_subset_of_names` permits.
    NamesLeftOut,
    /// A newer version is stored that does not verify.
    NewerVersionUnusable,
    /// Something that an interrupted run had left was put right by this one.
    PutRight,
    /// A complete version newer than the one in use.
    NewerVersionNotLive,
    /// Something else than the version in use is served where it counts.
    NotServed,
    /// An order is under way, or its key is kept.
    OrderPending,
    /// A private key that others may read.
    PrivateKeyReadable,
    /// A certificate profile has effects that surprise.
    ProfileEffects,
    /// The preferred certificate profile was not to be had, so the CA's default was taken.
    ProfileNotGranted,
    /// `renew_before_expiry` is as long as the lifetime, so that the certificate would be renewed at every run.
    RenewBeforeExpiryTooLong,
    /// `renew_before_expiry` cannot be understood.
    RenewBeforeExpiryUnreadable,
    /// The CA explains why it wants a certificate to be renewed.
    RenewalInformationExplained,
    /// The CA's window leaves too little time.
    RenewalInformationTooLate,
    /// The renewal information or the revocation list of a CA cannot be had.
    RenewalInformationUnavailable,
    /// certkit is run too rarely for a certificate's lifetime.
    RunTooRarely,
    /// The version in use is served, but in a way that clients refuse or will refuse.
    ServedWrongly,
    /// A certificate was issued but another tool had renewed meanwhile: it is kept aside.
    SetAside,
    /// A file of certkit's own state is damaged; its content is ignored.
    StateDamaged,
    /// A file of the owner's settings cannot be used.
    SettingsUnusable,
    /// A file or directory cannot be read.
    Unreadable,
    /// A setting in a conf has no effect here.
    SettingWithoutEffect,
    /// A wish that was recorded cannot be fulfilled for now, so the certificate is renewed as it is.
    WishPostponed,
}

impl Finding {
    /// A finding with the code's own severity; `subject` and `evidence` are escaped here.
    pub fn new(code: FindingCode, subject: impl AsRef<str>, evidence: impl AsRef<str>) -> Self {
        Self {
            code,
            severity: code.severity(),
            subject: crate::escape(subject.as_ref()).into_owned(),
            evidence: crate::escape(evidence.as_ref()).into_owned(),
            exact_cure: None,
        }
    }

    /// The same with the exact cure: what to do in this very case, in words or as a command; escaped here.
    #[must_use]
    pub fn with_cure(mut self, cure: impl AsRef<str>) -> Self {
        self.exact_cure = Some(crate::escape(cure.as_ref()).into_owned());
        self
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

    /// What to do about it: by the code, and where the evidence says so, by what really stands in the way.
    pub fn cure(&self) -> &str {
        if let Some(cure) = &self.exact_cure {
            return cure;
        }
        match self.code {
            FindingCode::AccountUnusable
            | FindingCode::BrokenLineage
            | FindingCode::SettingsUnusable
            | FindingCode::StateDamaged
                if self.evidence.contains("(os error 13)") =>
            {
                FindingCode::Unreadable.cure()
            }
            FindingCode::AuthenticatorUnsupported if self.evidence.contains("dns-01") => {
                "certkit reconfigure --cert-name NAME --manual --preferred-challenges dns --manual-auth-hook COMMAND --manual-cleanup-hook COMMAND"
            }
            code => code.cure(),
        }
    }
}

impl FindingCode {
    /// How names are validated that only DNS can validate: wildcards.
    pub const DNS_BY_HOOKS: &str = "use --manual --preferred-challenges dns --manual-auth-hook COMMAND --manual-cleanup-hook COMMAND, with commands that set and remove the TXT record";

    /// What is wrong.
    pub fn what(self) -> &'static str {
        match self {
            Self::AccountKeyJournalUnusable => {
                "an account was getting another key, and the file that holds it cannot be used"
            }
            Self::AccountKeyPending => "an account was getting another key, and it is not known whether the CA took it",
            Self::AccountRevived => {
                "the CA did not know the account any more, so it was registered anew with the same key"
            }
            Self::AccountUnusable => "an account cannot be used as it stands",
            Self::ArchiveWithoutConf => "an archive directory without a renewal configuration, so nothing renews it",
            Self::AuthenticatorUnsupported => {
                "this way of validating names cannot be done by this version, so the next renewal would fail"
            }
            Self::BeforeTheWindow => {
                "it is ordered before the CA's renewal window begins, since the next run would come too late for it; the order is not exempt from the CA's rate limits"
            }
            Self::BrokenLineage => "this certificate cannot be used or renewed as it stands",
            Self::CertificateRevoked => "the CA has revoked this certificate",
            Self::ClockOff => "this machine's clock differs from the CA's",
            Self::DeployPending => "the certificate in use is not deployed yet",
            Self::EndpointUnreachable => "it is not known whether the certificate in use is served",
            Self::FallbackAuthority => "the certificate is from another CA than usual, because the first one fails",
            Self::ForeignLink => "a live link does not point to a version in this certificate's own archive",
            Self::InterruptedCommit => "an earlier run of certkit ended before it had finished",
            Self::InterruptedSwitch => "certbot was interrupted while switching to a new version",
            Self::LiveVersionDamaged => "the version in use is damaged",
            Self::LiveWithoutConf => "a live directory without a renewal configuration, so nothing renews it",
            Self::MixedVersions => "the live links point to different versions, so key and certificate may not match",
            Self::NamesLeftOut => {
                "names could not be validated and were left out of the new certificate, as allow_subset_of_names permits; they are not served with a valid certificate any more"
            }
            Self::NewerVersionUnusable => "a newer version is stored but does not verify, so it is not used",
            Self::PutRight => "an interrupted run had left it unfinished, and this run put it right",
            Self::NewerVersionNotLive => "a newer complete version is stored but not in use",
            Self::NotServed => "the certificate in use is not served",
            Self::OrderPending => "an order is under way and is resumed at the next run",
            Self::PrivateKeyReadable => "the private key can be read by every user",
            Self::ProfileEffects => "this certificate profile differs from the usual one",
            Self::ProfileNotGranted => {
                "the preferred certificate profile was not to be had, so the CA's default is used"
            }
            Self::RenewBeforeExpiryTooLong => {
                "renew_before_expiry is as long as the certificate's lifetime or longer, so it is ignored and a third of the lifetime applies"
            }
            Self::RenewBeforeExpiryUnreadable => {
                "renew_before_expiry cannot be understood, so it is ignored and a third of the lifetime applies"
            }
            Self::RenewalInformationExplained => "the CA explains why it wants this certificate to be renewed now",
            Self::RenewalInformationTooLate => {
                "the CA advises a renewal so late that no time would be left for a failure, so it is renewed earlier"
            }
            Self::RenewalInformationUnavailable => {
                "the CA was asked about the certificate and gave no usable answer, so the rule of the lifetime applies"
            }
            Self::RunTooRarely => "certkit is run too rarely for the lifetime of this certificate",
            Self::ServedWrongly => "the certificate in use is served, but not as it should be",
            Self::SetAside => "a certificate was issued but not installed, because another tool had renewed meanwhile",
            Self::StateDamaged => "a file of certkit's own memory is damaged, and its content is ignored",
            Self::SettingsUnusable => "these settings cannot be used",
            Self::Unreadable => "it cannot be read",
            Self::SettingWithoutEffect => "a setting has no effect here",
            Self::WishPostponed => {
                "what was asked for fails, and the certificate is due: it is renewed as it is, and the change is tried again later"
            }
        }
    }

    /// What to do about it.
    pub fn cure(self) -> &'static str {
        match self {
            Self::ArchiveWithoutConf | Self::LiveWithoutConf => {
                "if nothing uses it, move it away; otherwise obtain the certificate again: certkit certonly -d NAME …"
            }
            Self::AuthenticatorUnsupported => {
                "certkit reconfigure --cert-name NAME --webroot -w DIR (or --standalone, or --manual with hooks)"
            }
            Self::AccountKeyJournalUnusable => {
                "keep the file: it may hold the only key of the account; put right what is wrong with it, or move it away once `certkit show_account` works without it"
            }
            Self::AccountKeyPending => "nothing to do: the next `certkit renew` asks the CA and finishes it",
            Self::AccountRevived => "nothing to do, unless CAA records name the old account's URL",
            Self::AccountUnusable => "restore the file from a backup, or move the account's directory away",
            Self::BeforeTheWindow => {
                "nothing to do; a daemon or certkit's own timer, which wake at the exact instant, avoid it"
            }
            Self::CertificateRevoked => {
                "nothing to do if it is renewed now; if its key may be known to others, renew with a new one: certkit renew --cert-name NAME --force-renewal --new-key"
            }
            Self::ClockOff => {
                "set the clock of this machine (time synchronisation); from 24 hours on nothing is ordered"
            }
            Self::DeployPending => {
                "put right why it failed (certkit history --cert-name NAME tells); the next `certkit renew` tries it again, `certkit deploy` at once; another hook is set with certkit reconfigure --cert-name NAME --deploy-hook COMMAND"
            }
            Self::ForeignLink => "make the link point to archive/NAME/KINDn.pem, the same n in all four",
            Self::EndpointUnreachable => {
                "see whether the server runs and can be reached from this machine; `certkit inspect HOST:PORT` tries it again"
            }
            Self::NotServed => {
                "make the server read its certificate again (reload it), and see that it uses the files of live/NAME; a reload after every renewal is set with certkit reconfigure --cert-name NAME --deploy-hook COMMAND"
            }
            Self::ServedWrongly => "let the server use fullchain.pem and privkey.pem of live/NAME, and reload it",
            Self::FallbackAuthority => "nothing to do: the first CA is asked again when the certificate is due",
            Self::NamesLeftOut => {
                "put right why they fail, and run certkit renew --cert-name NAME --force-renewal; or give them up: certkit certonly --cert-name NAME -d … without them"
            }
            Self::ProfileEffects => {
                "read it before the certificate is used; another profile is chosen with certkit reconfigure --cert-name NAME --preferred-profile PROFILE"
            }
            Self::ProfileNotGranted => {
                "choose a profile that the CA offers to your account, or leave it: certkit reconfigure --cert-name NAME --preferred-profile PROFILE"
            }
            Self::RenewalInformationExplained => "read it; nothing else to do, it is renewed",
            Self::RenewalInformationTooLate | Self::RenewalInformationUnavailable => {
                "nothing to do; if it stays so, the CA can be left unasked: renewal_information = false in certkit/lineages/NAME.toml"
            }
            Self::RunTooRarely => "run it more often: at least eight times in a lifetime; or let certkit daemon run",
            Self::BrokenLineage => {
                "correct what the message names or restore it from a backup; otherwise remove the certificate (certkit delete --cert-name NAME) and obtain it again"
            }
            Self::InterruptedCommit | Self::PutRight => "nothing to do: it was put right",
            Self::NewerVersionUnusable => "nothing to do: the next renewal makes a version that comes after it",
            Self::InterruptedSwitch | Self::MixedVersions | Self::NewerVersionNotLive => {
                "nothing to do: the next `certkit renew` puts it right"
            }
            Self::LiveVersionDamaged => {
                "nothing to do if another version was made live or the certificate is being renewed; otherwise restore the file from a backup"
            }
            Self::OrderPending => "nothing to do: the next `certkit renew` resumes it",
            Self::PrivateKeyReadable => "chmod o-rwx the file, unless you meant it",
            Self::RenewBeforeExpiryTooLong | Self::RenewBeforeExpiryUnreadable => {
                "remove the line or shorten it, for example `renew_before_expiry = 10 days`"
            }
            Self::SetAside => "nothing is lost: it can be read there; remove the directory when you don't need it",
            Self::StateDamaged => "nothing to do: it is written anew at the next run",
            Self::SettingsUnusable => "correct the line; `certkit config check` tells all that is wrong",
            Self::Unreadable => "run as the user who owns it (usually root), or correct its mode",
            Self::SettingWithoutEffect => "remove it, or change it to something that has an effect",
            Self::WishPostponed => "put right why it fails; certkit history --cert-name NAME tells",
        }
    }

    /// How bad it is.
    pub fn severity(self) -> Severity {
        match self {
            Self::AccountKeyJournalUnusable
            | Self::BrokenLineage
            | Self::CertificateRevoked
            | Self::LiveVersionDamaged
            | Self::MixedVersions
            | Self::NotServed
            | Self::SettingsUnusable
            | Self::Unreadable => Severity::Error,
            Self::AccountKeyPending
            | Self::AccountRevived
            | Self::AccountUnusable
            | Self::ArchiveWithoutConf
            | Self::ClockOff
            | Self::DeployPending
            | Self::EndpointUnreachable
            | Self::FallbackAuthority
            | Self::ForeignLink
            | Self::AuthenticatorUnsupported
            | Self::InterruptedSwitch
            | Self::LiveWithoutConf
            | Self::NamesLeftOut
            | Self::NewerVersionNotLive
            | Self::PrivateKeyReadable
            | Self::ProfileNotGranted
            | Self::RenewBeforeExpiryTooLong
            | Self::RenewBeforeExpiryUnreadable
            | Self::RenewalInformationTooLate
            | Self::RunTooRarely
            | Self::ServedWrongly
            | Self::WishPostponed
            | Self::SetAside
            | Self::StateDamaged => Severity::Warning,
            Self::BeforeTheWindow
            | Self::InterruptedCommit
            | Self::NewerVersionUnusable
            | Self::OrderPending
            | Self::ProfileEffects
            | Self::RenewalInformationExplained
            | Self::RenewalInformationUnavailable
            | Self::PutRight
            | Self::SettingWithoutEffect => Severity::Notice,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_not_be_read_is_not_to_be_restored_from_a_backup() {
        let finding = Finding::new(FindingCode::AccountUnusable, "accounts/x", "Permission denied (os error 13)");
        assert_eq!(finding.cure(), FindingCode::Unreadable.cure());
        let finding = Finding::new(FindingCode::AccountUnusable, "accounts/x", "no such field");
        assert_eq!(finding.cure(), FindingCode::AccountUnusable.cure());
        let finding = Finding::new(FindingCode::SettingsUnusable, "settings.toml", "Permission denied (os error 13)");
        assert_eq!(finding.cure(), FindingCode::Unreadable.cure());
    }

    #[test]
    fn a_wildcard_is_not_to_be_validated_by_webroot() {
        let evidence = "*.a.example can only be validated with dns-01";
        let finding = Finding::new(FindingCode::AuthenticatorUnsupported, "a.example", evidence);
        let cure = finding.cure();
        assert!(cure.contains("--manual") && !cure.contains("--webroot"), "{cure}");
    }
}
