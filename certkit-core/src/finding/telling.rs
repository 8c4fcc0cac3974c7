//! The words for what happens when the owner is told of something.

use super::Severity;
use super::words::Words;

pub(super) const HEARTBEAT_FAILED: Words = Words {
    severity: Severity::Warning,
    what: "the heartbeat's URL could not be called",
    why: "whoever waits for it takes this machine's renewals for dead, or does not notice when they are",
    cure: "check `url` in [heartbeat] of certkit/settings.toml and the network; it is called again by the next run",
};

pub(super) const METRICS_NOT_WRITTEN: Words = Words {
    severity: Severity::Warning,
    what: "the metrics for Prometheus could not be written, so what it knows is old",
    why: "alerts go by old values, or fire because nothing new comes",
    cure: "put right what the message names; `certkit status --prometheus` shows what would be written",
};

pub(super) const NOTICE_DUE: Words = Words {
    severity: Severity::Warning,
    what: "the owner has to know, and no channel is set to tell it",
    why: "nobody sees it unless somebody reads this",
    cure: "certkit update_account --email owner@example.org, or a [[notify]] table in certkit/settings.toml",
};

pub(super) const NOTICE_GIVEN_UP: Words = Words {
    severity: Severity::Error,
    what: "a notice could not be delivered for so long that it was given up",
    why: "whoever should have been told does not know",
    cure: "put right why the channel fails: certkit notify --test; what is still wrong is told again by a reminder",
};

pub(super) const NOTICE_NOT_DELIVERED: Words = Words {
    severity: Severity::Error,
    what: "a notice could not be delivered",
    why: "whoever should be told does not know yet",
    cure: "put right what the message names and try it with `certkit notify --test`; it is sent again by the next run",
};

pub(super) const SECRET_READABLE: Words = Words {
    severity: Severity::Warning,
    what: "the settings hold a secret, and everybody on this machine can read them",
    why: "who knows a password or the URL of a webhook can send in your name",
    cure: "chmod o-rwx the file, or move the secret into a file of its own (…_file) or a systemd credential (…_credential)",
};
