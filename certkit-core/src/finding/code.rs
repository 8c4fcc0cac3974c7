//! The kinds of finding: one line for each, with the words for it.

use serde::{Deserialize, Serialize};

use super::words::Words;
use super::{Severity, network, run, store};

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
    /// The CA has deactivated or revoked the account.
    AccountDeactivated => network::ACCOUNT_DEACTIVATED,
    /// The journal of a change of an account's key cannot be read; the key in it may be the one that counts.
    AccountKeyJournalUnusable => store::ACCOUNT_KEY_JOURNAL_UNUSABLE,
    /// A change of an account's key that did not end.
    AccountKeyPending => store::ACCOUNT_KEY_PENDING,
    /// The CA does not know the account of a stored key.
    AccountLost => network::ACCOUNT_LOST,
    /// There is no account for a CA that certificates come from.
    AccountMissing => network::ACCOUNT_MISSING,
    /// An account that its CA had lost was registered anew.
    AccountRevived => run::ACCOUNT_REVIVED,
    /// An account directory that cannot be used, or that certbot could not use.
    AccountUnusable => store::ACCOUNT_UNUSABLE,
    /// A name leads to an address that a public CA cannot reach.
    AddressNotPublic => network::ADDRESS_NOT_PUBLIC,
    /// `archive/NAME` without a conf.
    ArchiveWithoutConf => store::ARCHIVE_WITHOUT_CONF,
    /// The authenticator of a conf cannot be done by this version.
    AuthenticatorUnsupported => run::AUTHENTICATOR_UNSUPPORTED,
    /// A certificate is ordered before the CA's window begins.
    BeforeTheWindow => run::BEFORE_THE_WINDOW,
    /// A lineage cannot be used.
    BrokenLineage => store::BROKEN_LINEAGE,
    /// CAA records permit the CA to issue for another account only.
    CaaAccountOther => network::CAA_ACCOUNT_OTHER,
    /// A critical CAA record with a tag that no CA knows.
    CaaCriticalUnknown => network::CAA_CRITICAL_UNKNOWN,
    /// CAA records forbid the CA.
    CaaForbids => network::CAA_FORBIDS,
    /// CAA records forbid the way in which the name is validated.
    CaaMethodForbidden => network::CAA_METHOD_FORBIDDEN,
    /// A name server fails when it is asked for CAA records.
    CaaServerFails => network::CAA_SERVER_FAILS,
    /// The CAA records of a name cannot be looked up.
    CaaUnanswered => network::CAA_UNANSWERED,
    /// The CA has revoked the certificate in use.
    CertificateRevoked => run::CERTIFICATE_REVOKED,
    /// `_acme-challenge` is an alias that leads nowhere.
    ChallengeAliasBroken => network::CHALLENGE_ALIAS_BROKEN,
    /// Another content than the challenge's came back.
    ChallengeBodyWrong => network::CHALLENGE_BODY_WRONG,
    /// The web server does not serve the challenge file.
    ChallengeNotServed => network::CHALLENGE_NOT_SERVED,
    /// The answer to a challenge cannot be placed.
    ChallengeNotSetUp => network::CHALLENGE_NOT_SET_UP,
    /// TXT records of earlier validations are left at `_acme-challenge`.
    ChallengeRecordsLeft => network::CHALLENGE_RECORDS_LEFT,
    /// This machine's clock and the CA's differ.
    ClockOff => run::CLOCK_OFF,
    /// A deploy hook or a reload failed for the version in use, and is tried again.
    DeployPending => run::DEPLOY_PENDING,
    /// The CA's directory cannot be reached.
    DirectoryUnreachable => network::DIRECTORY_UNREACHABLE,
    /// What the CA answers is no ACME directory.
    DirectoryUnusable => network::DIRECTORY_UNUSABLE,
    /// DNSSEC is broken: who validates gets no answer.
    DnssecBroken => network::DNSSEC_BROKEN,
    /// The CA wants an external account, and none is bound.
    ExternalAccountNeeded => network::EXTERNAL_ACCOUNT_NEEDED,
    /// The certificate was obtained from another CA than the conf's first, because that one fails.
    FallbackAuthority => run::FALLBACK_AUTHORITY,
    /// A live link points somewhere that certbot would not have made it point to.
    ForeignLink => store::FOREIGN_LINK,
    /// Nobody answers on port 80 of an address of the name.
    HttpPortClosed => network::HTTP_PORT_CLOSED,
    /// The port of the standalone authenticator is taken.
    HttpPortTaken => network::HTTP_PORT_TAKEN,
    /// A commit of certkit that did not end.
    InterruptedCommit => store::INTERRUPTED_COMMIT,
    /// certbot's journal links of an interrupted switch.
    InterruptedSwitch => store::INTERRUPTED_SWITCH,
    /// The IPv6 address of a name answers differently.
    Ipv6Differs => network::IPV6_DIFFERS,
    /// What is live cannot be used: a file is empty or damaged, or the key is another's.
    LiveVersionDamaged => store::LIVE_VERSION_DAMAGED,
    /// `live/NAME` without a conf.
    LiveWithoutConf => store::LIVE_WITHOUT_CONF,
    /// The live links point to different versions.
    MixedVersions => store::MIXED_VERSIONS,
    /// A name of a certificate no longer exists in DNS.
    NameNotFound => network::NAME_NOT_FOUND,
    /// A name server of the zone does not answer for it.
    NameServerFails => network::NAME_SERVER_FAILS,
    /// The name servers of a zone give different answers.
    NameServersDisagree => network::NAME_SERVERS_DISAGREE,
    /// No name server answers for a name.
    NameUnanswered => network::NAME_UNANSWERED,
    /// A name has no address.
    NameWithoutAddress => network::NAME_WITHOUT_ADDRESS,
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
    /// The CA does not offer the profile that is wanted.
    ProfileNotOffered => network::PROFILE_NOT_OFFERED,
    /// Something that an interrupted run had left was put right by this one.
    PutRight => store::PUT_RIGHT,
    /// The challenge is redirected to where no CA follows.
    RedirectForbidden => network::REDIRECT_FORBIDDEN,
    /// The challenge is redirected in a loop, or too often.
    RedirectLoop => network::REDIRECT_LOOP,
    /// The challenge is redirected to a name that does not resolve.
    RedirectUnresolved => network::REDIRECT_UNRESOLVED,
    /// `renew_before_expiry` is as long as the lifetime, so that the certificate would be renewed at every run.
    RenewBeforeExpiryTooLong => run::RENEW_BEFORE_EXPIRY_TOO_LONG,
    /// `renew_before_expiry` cannot be understood.
    RenewBeforeExpiryUnreadable => run::RENEW_BEFORE_EXPIRY_UNREADABLE,
    /// The CA explains why it wants a certificate to be renewed.
    RenewalInformationExplained => run::RENEWAL_INFORMATION_EXPLAINED,
    /// The CA does not say when to renew.
    RenewalInformationNotOffered => network::RENEWAL_INFORMATION_NOT_OFFERED,
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
    /// The CA wants its terms of service to be agreed to.
    TermsNotAgreed => network::TERMS_NOT_AGREED,
    /// No TLSA record fits the certificate in use.
    TlsaMismatch => network::TLSA_MISMATCH,
    /// The next renewal breaks a TLSA record.
    TlsaWillBreak => network::TLSA_WILL_BREAK,
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
