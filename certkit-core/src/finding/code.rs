//! The kinds of finding: one line for each, with the words for it.

use serde::{Deserialize, Serialize};

use super::words::Words;
use super::{Severity, run, store};

macro_rules! codes {
    ($($(#[$doc:meta])+ $code:ident => $words:path,)+) => {
        /// The kinds of finding.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        #[non_exhaustive]
        pub enum FindingCode {
            $($(#[$doc])+ $code,)+
        }

        impl FindingCode {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$code),+];

            fn words(self) -> &'static Words {
                match self {
                    $(Self::$code => &$words,)+
                }
            }
        }
    };
}

codes! {
    /// The journal of a change of an account's key cannot be read; the key in it may be the one that counts.
    AccountKeyJournalUnusable => store::ACCOUNT_KEY_JOURNAL_UNUSABLE,
    /// A change of an account's key that did not end.
    AccountKeyPending => store::ACCOUNT_KEY_PENDING,
    /// An account that its CA had lost was registered anew.
    AccountRevived => run::ACCOUNT_REVIVED,
    /// An account directory that cannot be used, or that certbot could not use.
    AccountUnusable => store::ACCOUNT_UNUSABLE,
    /// `archive/NAME` without a conf.
    ArchiveWithoutConf => store::ARCHIVE_WITHOUT_CONF,
    /// The authenticator of a conf cannot be done by this version.
    AuthenticatorUnsupported => run::AUTHENTICATOR_UNSUPPORTED,
    /// A certificate is ordered before the CA's window begins.
    BeforeTheWindow => run::BEFORE_THE_WINDOW,
    /// A lineage cannot be used.
    BrokenLineage => store::BROKEN_LINEAGE,
    /// The CA has revoked the certificate in use.
    CertificateRevoked => run::CERTIFICATE_REVOKED,
    /// This machine's clock and the CA's differ.
    ClockOff => run::CLOCK_OFF,
    /// A deploy hook or a reload failed for the version in use, and is tried again.
    DeployPending => run::DEPLOY_PENDING,
    /// The certificate was obtained from another CA than the conf's first, because that one fails.
    FallbackAuthority => run::FALLBACK_AUTHORITY,
    /// A live link points somewhere that certbot would not have made it point to.
    ForeignLink => store::FOREIGN_LINK,
    /// A commit of certkit that did not end.
    InterruptedCommit => store::INTERRUPTED_COMMIT,
    /// certbot's journal links of an interrupted switch.
    InterruptedSwitch => store::INTERRUPTED_SWITCH,
    /// What is live cannot be used: a file is empty or damaged, or the key is another's.
    LiveVersionDamaged => store::LIVE_VERSION_DAMAGED,
    /// `live/NAME` without a conf.
    LiveWithoutConf => store::LIVE_WITHOUT_CONF,
    /// The live links point to different versions.
    MixedVersions => store::MIXED_VERSIONS,
    /// Names were left out of a certificate, as `allow_subset_of_names` permits.
    NamesLeftOut => run::NAMES_LEFT_OUT,
    /// A complete version newer than the one in use.
    NewerVersionNotLive => store::NEWER_VERSION_NOT_LIVE,
    /// A newer version is stored that does not verify.
    NewerVersionUnusable => store::NEWER_VERSION_UNUSABLE,
    /// An order is under way, or its key is kept.
    OrderPending => store::ORDER_PENDING,
    /// A private key that others may read.
    PrivateKeyReadable => store::PRIVATE_KEY_READABLE,
    /// A certificate profile has effects that surprise.
    ProfileEffects => run::PROFILE_EFFECTS,
    /// The preferred certificate profile was not to be had, so the CA's default was taken.
    ProfileNotGranted => run::PROFILE_NOT_GRANTED,
    /// Something that an interrupted run had left was put right by this one.
    PutRight => store::PUT_RIGHT,
    /// `renew_before_expiry` is as long as the lifetime, so that the certificate would be renewed at every run.
    RenewBeforeExpiryTooLong => run::RENEW_BEFORE_EXPIRY_TOO_LONG,
    /// `renew_before_expiry` cannot be understood.
    RenewBeforeExpiryUnreadable => run::RENEW_BEFORE_EXPIRY_UNREADABLE,
    /// The CA explains why it wants a certificate to be renewed.
    RenewalInformationExplained => run::RENEWAL_INFORMATION_EXPLAINED,
    /// The CA's window leaves too little time.
    RenewalInformationTooLate => run::RENEWAL_INFORMATION_TOO_LATE,
    /// The renewal information or the revocation list of a CA cannot be had.
    RenewalInformationUnavailable => run::RENEWAL_INFORMATION_UNAVAILABLE,
    /// certkit is run too rarely for a certificate's lifetime.
    RunTooRarely => run::RUN_TOO_RARELY,
    /// A certificate was issued but another tool had renewed meanwhile: it is kept aside.
    SetAside => store::SET_ASIDE,
    /// A setting in a conf has no effect here.
    SettingWithoutEffect => store::SETTING_WITHOUT_EFFECT,
    /// A file of the owner's settings cannot be used.
    SettingsUnusable => store::SETTINGS_UNUSABLE,
    /// A file of certkit's own state is damaged; its content is ignored.
    StateDamaged => store::STATE_DAMAGED,
    /// A file or directory cannot be read.
    Unreadable => store::UNREADABLE,
    /// A wish that was recorded cannot be fulfilled for now, so the certificate is renewed as it is.
    WishPostponed => run::WISH_POSTPONED,
}

impl FindingCode {
    /// How names are validated that only DNS can validate: wildcards.
    pub const DNS_BY_HOOKS: &str = "use --manual --preferred-challenges dns --manual-auth-hook COMMAND --manual-cleanup-hook COMMAND, with commands that set and remove the TXT record";

    /// How bad it is.
    pub fn severity(self) -> Severity {
        self.words().severity
    }

    /// What is wrong.
    pub fn what(self) -> &'static str {
        self.words().what
    }

    /// Why it matters: what happens to whom if nothing is done.
    pub fn why(self) -> &'static str {
        self.words().why
    }

    /// What to do about it.
    pub fn cure(self) -> &'static str {
        self.words().cure
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_kind_has_words_of_its_own_that_make_a_sentence_with_what_is_around_them() {
        let mut told = HashSet::new();
        for code in FindingCode::ALL {
            for words in [code.what(), code.why(), code.cure()] {
                assert!(words.len() > 10 && !words.ends_with('.'), "{code:?}: {words}");
            }
            assert!(told.insert(code.what()), "{code:?}: {}", code.what());
        }
    }
}
