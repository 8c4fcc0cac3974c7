//! The words for what a run meets.

use super::Severity;
use super::words::Words;

pub(super) const ACCOUNT_REVIVED: Words = Words {
    severity: Severity::Warning,
    what: "the CA did not know the account any more, so it was registered anew with the same key",
    why: "CAA and dns-persist-01 records that name the old account forbid the new one to issue",
    cure: "nothing to do, unless CAA records name the old account's URL",
};

pub(super) const AUTHENTICATOR_UNSUPPORTED: Words = Words {
    severity: Severity::Warning,
    what: "this way of validating names cannot be done by this version, so the next renewal would fail",
    why: "without a way to validate its names the certificate expires",
    cure: "certkit reconfigure --cert-name NAME --webroot -w DIR (or --standalone, or --manual with hooks)",
};

pub(super) const BEFORE_THE_WINDOW: Words = Words {
    severity: Severity::Notice,
    what: "it is ordered before the CA's renewal window begins, since the next run would come too late for it; the order is not exempt from the CA's rate limits",
    why: "it counts against the limits of the CA",
    cure: "nothing to do; a daemon or certkit's own timer, which wake at the exact instant, avoid it",
};

pub(super) const CERTIFICATE_REVOKED: Words = Words {
    severity: Severity::Error,
    what: "the CA has revoked this certificate",
    why: "browsers may refuse it long before it expires",
    cure: "nothing to do if it is renewed now; if its key may be known to others, renew with a new one: certkit renew --cert-name NAME --force-renewal --new-key",
};

pub(super) const CLOCK_OFF: Words = Words {
    severity: Severity::Warning,
    what: "this machine's clock differs from the CA's",
    why: "whether a certificate is due or valid is decided by the clock, and a CA refuses what is signed at a wrong time",
    cure: "set the clock of this machine (`timedatectl set-ntp true`, or `chronyc makestep` where chrony runs); from 24 hours on nothing is ordered",
};

pub(super) const DEPLOY_PENDING: Words = Words {
    severity: Severity::Warning,
    what: "the certificate in use is not deployed yet",
    why: "servers go on serving the old certificate until it expires",
    cure: "put right why it failed (certkit history --cert-name NAME tells); the next `certkit renew` tries it again, `certkit deploy` at once; another hook is set with certkit reconfigure --cert-name NAME --deploy-hook COMMAND",
};

pub(super) const FALLBACK_AUTHORITY: Words = Words {
    severity: Severity::Warning,
    what: "the certificate is from another CA than usual, because the first one fails",
    why: "another CA has other limits, other roots and other rules, and the first one still fails",
    cure: "nothing to do: the first CA is asked again when the certificate is due",
};

pub(super) const NAMES_LEFT_OUT: Words = Words {
    severity: Severity::Warning,
    what: "names could not be validated and were left out of the new certificate, as allow_subset_of_names permits; they are not served with a valid certificate any more",
    why: "visitors of these names get a warning",
    cure: "put right why they fail, and run certkit renew --cert-name NAME --force-renewal; or give them up: certkit certonly --cert-name NAME -d … without them",
};

pub(super) const PROFILE_EFFECTS: Words = Words {
    severity: Severity::Notice,
    what: "this certificate profile differs from the usual one",
    why: "clients that need what the profile leaves out stop working at the next renewal",
    cure: "read it before the certificate is used; another profile is chosen with certkit reconfigure --cert-name NAME --preferred-profile PROFILE",
};

pub(super) const PROFILE_NOT_GRANTED: Words = Words {
    severity: Severity::Warning,
    what: "the preferred certificate profile was not to be had, so the CA's default is used",
    why: "its lifetime and its extensions are others than those that were wished for",
    cure: "choose a profile that the CA offers to your account, or leave it: certkit reconfigure --cert-name NAME --preferred-profile PROFILE",
};

pub(super) const RENEW_BEFORE_EXPIRY_TOO_LONG: Words = Words {
    severity: Severity::Warning,
    what: "renew_before_expiry is as long as the certificate's lifetime or longer, so it is ignored and a third of the lifetime applies",
    why: "taken literally it would order at every run until the CA refuses",
    cure: "remove the line or shorten it, for example `renew_before_expiry = 10 days`",
};

pub(super) const RENEW_BEFORE_EXPIRY_UNREADABLE: Words = Words {
    severity: Severity::Warning,
    what: "renew_before_expiry cannot be understood, so it is ignored and a third of the lifetime applies",
    why: "the certificate is renewed at another time than was meant",
    cure: "remove the line or shorten it, for example `renew_before_expiry = 10 days`",
};

pub(super) const RENEWAL_INFORMATION_EXPLAINED: Words = Words {
    severity: Severity::Notice,
    what: "the CA explains why it wants this certificate to be renewed now",
    why: "an early renewal has a cause, often a revocation to come",
    cure: "read it; nothing else to do, it is renewed",
};

pub(super) const RENEWAL_INFORMATION_TOO_LATE: Words = Words {
    severity: Severity::Warning,
    what: "the CA advises a renewal so late that no time would be left for a failure, so it is renewed earlier",
    why: "a single failure would let the certificate expire",
    cure: "nothing to do; if it stays so, the CA can be left unasked: renewal_information = false in certkit/lineages/NAME.toml",
};

pub(super) const RENEWAL_INFORMATION_UNAVAILABLE: Words = Words {
    severity: Severity::Notice,
    what: "the CA was asked about the certificate and gave no usable answer, so the rule of the lifetime applies",
    why: "without it a revocation to come is not known in time",
    cure: "nothing to do; if it stays so, the CA can be left unasked: renewal_information = false in certkit/lineages/NAME.toml",
};

pub(super) const RUN_TOO_RARELY: Words = Words {
    severity: Severity::Warning,
    what: "certkit is run too rarely for the lifetime of this certificate",
    why: "each failed try costs a large part of the time that is left, so that few failures let it expire",
    cure: "run it more often: at least eight times in a lifetime; or let certkit daemon run",
};

pub(super) const WISH_POSTPONED: Words = Words {
    severity: Severity::Warning,
    what: "what was asked for fails, and the certificate is due: it is renewed as it is, and the change is tried again later",
    why: "the certificate is not what was asked for",
    cure: "put right why it fails; certkit history --cert-name NAME tells",
};
