//! The kinds of finding: one line for each, with the words for it.

use serde::{Deserialize, Serialize};

use super::words::Words;
use super::{Severity, machine, network, run, serving, store, telling};

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
    /// The key of an account can be read by others.
    AccountKeyReadable => store::ACCOUNT_KEY_READABLE,
    /// A change of an account's key that did not end.
    AccountKeyPending => store::ACCOUNT_KEY_PENDING,
    /// The CA does not know the account of a stored key.
    AccountLost => network::ACCOUNT_LOST,
    /// There is no account for a CA that certificates come from.
    AccountMissing => network::ACCOUNT_MISSING,
    /// The account that a conf names is not in the store.
    AccountNotStored => machine::ACCOUNT_NOT_STORED,
    /// An account that its CA had lost was registered anew.
    AccountRevived => run::ACCOUNT_REVIVED,
    /// A conf names no account, and there are several.
    AccountUnclear => machine::ACCOUNT_UNCLEAR,
    /// An account directory that cannot be used, or that certbot could not use.
    AccountUnusable => store::ACCOUNT_UNUSABLE,
    /// A name leads to an address that a public CA cannot reach.
    AddressNotPublic => network::ADDRESS_NOT_PUBLIC,
    /// The live links or versions of a lineage lie in another tree.
    AnotherTree => store::ANOTHER_TREE,
    /// The conf's `archive_dir` is not where the live links lead.
    ArchiveDirDiffers => store::ARCHIVE_DIR_DIFFERS,
    /// `archive/NAME` without a conf.
    ArchiveWithoutConf => store::ARCHIVE_WITHOUT_CONF,
    /// The CA of what is served is not known on this machine, and none of the public ones.
    AuthorityNotKnownHere => serving::AUTHORITY_NOT_KNOWN_HERE,
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
    /// The stored chain lacks an issuer or is in the wrong order.
    ChainIncomplete => machine::CHAIN_INCOMPLETE,
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
    /// A conf does not say how to renew.
    ConfIncomplete => store::CONF_INCOMPLETE,
    /// The folder of a deploy target cannot be written to.
    DeployFolderUnusable => machine::DEPLOY_FOLDER_UNUSABLE,
    /// The user or group of a deploy target does not exist.
    DeployOwnerUnknown => machine::DEPLOY_OWNER_UNKNOWN,
    /// A deploy hook or a reload failed for the version in use, and is tried again.
    DeployPending => run::DEPLOY_PENDING,
    /// The CA's directory cannot be reached.
    DirectoryUnreachable => network::DIRECTORY_UNREACHABLE,
    /// What the CA answers is no ACME directory.
    DirectoryUnusable => network::DIRECTORY_UNUSABLE,
    /// Little space is left where the store is.
    DiskNearlyFull => machine::DISK_NEARLY_FULL,
    /// DNSSEC is broken: who validates gets no answer.
    DnssecBroken => network::DNSSEC_BROKEN,
    /// An endpoint that counts cannot be reached, so that it is not known what it serves.
    EndpointUnreachable => serving::ENDPOINT_UNREACHABLE,
    /// The CA wants an external account, and none is bound.
    ExternalAccountNeeded => network::EXTERNAL_ACCOUNT_NEEDED,
    /// The certificate was obtained from another CA than the conf's first, because that one fails.
    FallbackAuthority => run::FALLBACK_AUTHORITY,
    /// Other users can look into a folder that is usually closed.
    FolderOpen => store::FOLDER_OPEN,
    /// A live link points somewhere that certbot would not have made it point to.
    ForeignLink => store::FOREIGN_LINK,
    /// A live `fullchain.pem` that is cert and chain to servers, and not letter by letter.
    FullchainDiffers => store::FULLCHAIN_DIFFERS,
    /// A rule counts days that shorter lifetimes break.
    HardCodedDays => machine::HARD_CODED_DAYS,
    /// The URL of the heartbeat could not be called.
    HeartbeatFailed => telling::HEARTBEAT_FAILED,
    /// The hooks of a directory are not run because of who can write to them.
    HookDirectoryRefused => machine::HOOK_DIRECTORY_REFUSED,
    /// A file in a hook directory is not executable.
    HookIgnored => machine::HOOK_IGNORED,
    /// A copy that an editor or a package left in a hook directory is run.
    HookLeftover => machine::HOOK_LEFTOVER,
    /// A hook command cannot be run.
    HookNotRunnable => machine::HOOK_NOT_RUNNABLE,
    /// Nobody answers on port 80 of an address of the name.
    HttpPortClosed => network::HTTP_PORT_CLOSED,
    /// The port of the standalone authenticator is taken.
    HttpPortTaken => network::HTTP_PORT_TAKEN,
    /// Few inodes are left where the store is.
    InodesNearlyUsed => machine::INODES_NEARLY_USED,
    /// A commit of certkit that did not end.
    InterruptedCommit => store::INTERRUPTED_COMMIT,
    /// A removal of a lineage that did not end.
    InterruptedDeletion => store::INTERRUPTED_DELETION,
    /// certbot's journal links of an interrupted switch.
    InterruptedSwitch => store::INTERRUPTED_SWITCH,
    /// The IPv6 address of a name answers differently.
    Ipv6Differs => network::IPV6_DIFFERS,
    /// An issuer in the stored chain ends before the certificate.
    IssuerEndsEarly => machine::ISSUER_ENDS_EARLY,
    /// A file of certificates with a private key in it.
    KeyBesideCertificates => store::KEY_BESIDE_CERTIFICATES,
    /// A key has been in use for long.
    KeyReusedLong => machine::KEY_REUSED_LONG,
    /// What could not be tidied up when a version went live, or was set aside.
    LeftAtCommit => store::LEFT_AT_COMMIT,
    /// A file that an interrupted run left.
    LeftOver => store::LEFT_OVER,
    /// Hardly anything is left of a limit of the CA.
    LimitNearlyUsed => machine::LIMIT_NEARLY_USED,
    /// What is live cannot be used: a file is empty or damaged, or the key is another's.
    LiveVersionDamaged => store::LIVE_VERSION_DAMAGED,
    /// `live/NAME` without a conf.
    LiveWithoutConf => store::LIVE_WITHOUT_CONF,
    /// Somebody works on the store.
    LockHeld => machine::LOCK_HELD,
    /// The file with metrics for Prometheus could not be written.
    MetricsNotWritten => telling::METRICS_NOT_WRITTEN,
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
    /// No channel is set by which the owner is told.
    NobodyIsTold => machine::NOBODY_IS_TOLD,
    /// Nothing runs certkit regularly.
    NotScheduled => machine::NOT_SCHEDULED,
    /// Something else than the version in use is served where it counts.
    NotServed => serving::NOT_SERVED,
    /// A notice is due, and no channel is set to deliver it.
    NoticeDue => telling::NOTICE_DUE,
    /// A notice could not be delivered for too long.
    NoticeGivenUp => telling::NOTICE_GIVEN_UP,
    /// A notice could not be delivered to all whom it is for.
    NoticeNotDelivered => telling::NOTICE_NOT_DELIVERED,
    /// An order is under way, or its key is kept.
    OrderPending => store::ORDER_PENDING,
    /// An order was begun long ago and never ended.
    OrderStale => machine::ORDER_STALE,
    /// Another ACME client is scheduled here.
    OtherClient => machine::OTHER_CLIENT,
    /// A part of the store belongs to another user.
    OwnedByAnother => store::OWNED_BY_ANOTHER,
    /// A live file that this program reads and servers do not load.
    PemRefused => store::PEM_REFUSED,
    /// A group can read a private key.
    PrivateKeyForGroup => machine::PRIVATE_KEY_FOR_GROUP,
    /// A private key belongs to another user.
    PrivateKeyOfAnother => machine::PRIVATE_KEY_OF_ANOTHER,
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
    /// A reload is chained to the exit status of renew.
    ReloadChained => machine::RELOAD_CHAINED,
    /// The unit that is to be reloaded cannot be.
    ReloadUnitUnusable => machine::RELOAD_UNIT_UNUSABLE,
    /// `renew_before_expiry` is long for the lifetimes to come.
    RenewBeforeExpiryInDays => machine::RENEW_BEFORE_EXPIRY_IN_DAYS,
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
    /// A repair of the store could not be done.
    RepairFailed => store::REPAIR_FAILED,
    /// A conf asks for what its CA has withdrawn.
    RetiredOption => machine::RETIRED_OPTION,
    /// certkit is run too rarely for a certificate's lifetime.
    RunTooRarely => run::RUN_TOO_RARELY,
    /// No run for long, although one is scheduled.
    RunsStopped => machine::RUNS_STOPPED,
    /// The second live folder of a lineage says something else than the first.
    SecondFolderBehind => store::SECOND_FOLDER_BEHIND,
    /// Settings that hold a secret can be read by everybody.
    SecretReadable => telling::SECRET_READABLE,
    /// The version in use is served, but in a way that clients refuse or will refuse.
    ServedWrongly => serving::SERVED_WRONGLY,
    /// The web server refuses its own configuration.
    ServerConfigurationRefused => machine::SERVER_CONFIGURATION_REFUSED,
    /// The user of a service cannot read the key that is deployed for it.
    ServiceCannotReadKey => machine::SERVICE_CANNOT_READ_KEY,
    /// A certificate was issued but another tool had renewed meanwhile: it is kept aside.
    SetAside => store::SET_ASIDE,
    /// The signature of the certificate in use is of a kind that is not verified here.
    SignatureNotVerified => store::SIGNATURE_NOT_VERIFIED,
    /// A setting in a conf has no effect here.
    SettingWithoutEffect => store::SETTING_WITHOUT_EFFECT,
    /// A file of the owner's settings cannot be used.
    SettingsUnusable => store::SETTINGS_UNUSABLE,
    /// A file of certkit's own state is damaged; its content is ignored.
    StateDamaged => store::STATE_DAMAGED,
    /// A run could not work with the store: what lies below it fails.
    StoreFailing => machine::STORE_FAILING,
    /// A run could not write to the store: nothing is left of the disk.
    StoreFull => machine::STORE_FULL,
    /// Runs do not take place because somebody holds the lock of the store.
    StoreLocked => machine::STORE_LOCKED,
    /// The store lies where nothing is kept.
    StoreNotKept => machine::STORE_NOT_KEPT,
    /// The user who runs certkit may not write to the store.
    StoreNotWritable => machine::STORE_NOT_WRITABLE,
    /// The store lies on a network file system.
    StoreOnNetwork => machine::STORE_ON_NETWORK,
    /// A run could not write to the store: its file system takes no more files.
    StoreOutOfFiles => machine::STORE_OUT_OF_FILES,
    /// The store lies on a read-only file system.
    StoreReadOnly => machine::STORE_READ_ONLY,
    /// A run could not read the store.
    StoreUnreadable => machine::STORE_UNREADABLE,
    /// The CA wants its terms of service to be agreed to.
    TermsNotAgreed => network::TERMS_NOT_AGREED,
    /// A lineage gets its certificates from a test CA.
    TestAuthority => machine::TEST_AUTHORITY,
    /// certkit's timer is installed but does not run.
    TimerInactive => machine::TIMER_INACTIVE,
    /// No TLSA record fits the certificate in use.
    TlsaMismatch => network::TLSA_MISMATCH,
    /// The next renewal breaks a TLSA record.
    TlsaWillBreak => network::TLSA_WILL_BREAK,
    /// More names than a certificate of this CA can have.
    TooManyNames => machine::TOO_MANY_NAMES,
    /// Two programs renew the same certificates.
    TwoSchedulers => machine::TWO_SCHEDULERS,
    /// A file or directory cannot be read.
    Unreadable => store::UNREADABLE,
    /// Files of a version that is not in use are missing or damaged.
    VersionIncomplete => store::VERSION_INCOMPLETE,
    /// A key is weaker than CAs accept.
    WeakKey => machine::WEAK_KEY,
    /// A certificate is signed with SHA-1.
    WeakSignature => machine::WEAK_SIGNATURE,
    /// A wish that was recorded cannot be fulfilled for now, so the certificate is renewed as it is.
    WishPostponed => run::WISH_POSTPONED,
    /// Every user can change a part of the store.
    WritableByOthers => store::WRITABLE_BY_OTHERS,
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

    #[test]
    fn every_kind_stands_in_the_documentation() {
        let documentation = include_str!("../../../docs/doctor.md");
        for code in FindingCode::ALL {
            let name = serde_json::to_value(code).unwrap();
            let name = name.as_str().unwrap();
            assert!(documentation.contains(&format!("\n| `{name}` | ")), "docs/doctor.md does not have {name}");
        }
    }
}
