//! The words for what a look at the machine finds.

use super::Severity;
use super::words::Words;

pub(super) const ACCOUNT_NOT_STORED: Words = Words {
    severity: Severity::Error,
    what: "the account that the renewal configuration names is not stored here",
    why: "no order can be placed without it",
    cure: "restore accounts/ from a backup, or register anew (certkit register --server URL --agree-tos) and take the account line out of renewal/NAME.conf",
};

pub(super) const ACCOUNT_UNCLEAR: Words = Words {
    severity: Severity::Error,
    what: "several accounts are stored for this CA, and the renewal configuration names none",
    why: "the next renewal stops and asks which one to use",
    cure: "certkit renew --cert-name NAME --force-renewal --account ID",
};

pub(super) const CHAIN_INCOMPLETE: Words = Words {
    severity: Severity::Error,
    what: "the stored chain does not lead from the certificate to its issuers, one after the other",
    why: "clients that do not fetch missing certificates by themselves refuse the connection",
    cure: "certkit renew --cert-name NAME --force-renewal",
};

pub(super) const DEPLOY_FOLDER_UNUSABLE: Words = Words {
    severity: Severity::Error,
    what: "files cannot be put where this deploy target wants them",
    why: "the new certificate stays where nobody uses it",
    cure: "make the folder and let the user who runs certkit write to it, or name another one in certkit/lineages/NAME.toml",
};

pub(super) const DEPLOY_OWNER_UNKNOWN: Words = Words {
    severity: Severity::Error,
    what: "files cannot be given to the owner or group that this deploy target names",
    why: "the new certificate stays where nobody uses it",
    cure: "create the user or group, or name another one in certkit/lineages/NAME.toml",
};

pub(super) const DISK_NEARLY_FULL: Words = Words {
    severity: Severity::Warning,
    what: "the disk is nearly full",
    why: "a full disk leaves empty certificates and configurations behind with many programs, and nothing is renewed",
    cure: "free some space: df -h tells where",
};

pub(super) const HARD_CODED_DAYS: Words = Words {
    severity: Severity::Notice,
    what: "a number of days is written into a rule about certificates",
    why: "lifetimes at Let's Encrypt fall to 64 days on 2027-02-10 and to 45 on 2028-02-16, so such a rule acts too early, too late or never",
    cure: "compare with a third of the lifetime, or leave the decision to certkit renew",
};

pub(super) const HOOK_DIRECTORY_REFUSED: Words = Words {
    severity: Severity::Error,
    what: "the hooks of this directory are not run",
    why: "the server is not told of the new certificate",
    cure: "chmod o-w (or chown root) what the message names",
};

pub(super) const HOOK_IGNORED: Words = Words {
    severity: Severity::Warning,
    what: "a file in a hook directory is not executable, so it is never run",
    why: "whoever put it there expects that something happens at a renewal",
    cure: "chmod +x the file, or move it away",
};

pub(super) const HOOK_LEFTOVER: Words = Words {
    severity: Severity::Warning,
    what: "a leftover of an editor or a package is executable, so it is run as a hook besides the real one",
    why: "an old version of a hook undoes what the new one does",
    cure: "chmod -x the file, or remove it",
};

pub(super) const HOOK_NOT_RUNNABLE: Words = Words {
    severity: Severity::Error,
    what: "a hook cannot be run",
    why: "certbot refuses to renew with it, and the server is not told of a new certificate",
    cure: "give the full path of an executable program",
};

pub(super) const INODES_NEARLY_USED: Words = Words {
    severity: Severity::Warning,
    what: "the file system has hardly any room for more files",
    why: "a new version of a certificate is made of new files: without inodes nothing is renewed",
    cure: "remove files that nobody needs: df -i tells where",
};

pub(super) const ISSUER_ENDS_EARLY: Words = Words {
    severity: Severity::Warning,
    what: "an issuer in the chain expires before the certificate does",
    why: "from then on clients refuse the certificate although it is valid",
    cure: "certkit renew --cert-name NAME --force-renewal gets the present chain",
};

pub(super) const KEY_REUSED_LONG: Words = Words {
    severity: Severity::Notice,
    what: "the private key is kept at renewals and has been in use for more than a year",
    why: "whatever copies of it were made in that time, in backups for example, can still be used",
    cure: "certkit renew --cert-name NAME --force-renewal --new-key",
};

pub(super) const LIMIT_NEARLY_USED: Words = Words {
    severity: Severity::Notice,
    what: "hardly anything is left of a limit of the CA",
    why: "when nothing is left the CA refuses every order that counts until time has passed",
    cure: "order nothing by hand until then; certkit waits by itself",
};

pub(super) const LOCK_HELD: Words = Words {
    severity: Severity::Notice,
    what: "the store is locked by a run of certkit or certbot",
    why: "meanwhile no other run does anything",
    cure: "wait until it ends",
};

pub(super) const NOBODY_IS_TOLD: Words = Words {
    severity: Severity::Warning,
    what: "nobody is told when something goes wrong",
    why: "CAs send no mails about certificates that expire, so the first who notices is a visitor",
    cure: "set a mail address (certkit update_account --email ADDRESS) or a [[notify]] table in certkit/settings.toml, and try it with certkit notify --test",
};

pub(super) const NOT_SCHEDULED: Words = Words {
    severity: Severity::Error,
    what: "nothing runs certkit regularly on this machine",
    why: "a certificate that nothing renews by itself expires",
    cure: "certkit timer install",
};

pub(super) const ORDER_STALE: Words = Words {
    severity: Severity::Warning,
    what: "an order was placed long ago and is still kept",
    why: "the CA has forgotten it by now, so the runs since then have failed or did not take place",
    cure: "certkit renew --cert-name NAME tells why",
};

pub(super) const OTHER_CLIENT: Words = Words {
    severity: Severity::Notice,
    what: "another ACME client is scheduled on this machine",
    why: "when two clients hold certificates for the same names, servers get one and owners look at the other",
    cure: "nothing to do if it keeps other names; otherwise stop it",
};

pub(super) const PRIVATE_KEY_FOR_GROUP: Words = Words {
    severity: Severity::Notice,
    what: "the private key can be read by a group, or by users that an access list names",
    why: "each of them can pass for this server",
    cure: "nothing to do if you meant it; otherwise chmod 0600 the file",
};

pub(super) const PRIVATE_KEY_OF_ANOTHER: Words = Words {
    severity: Severity::Warning,
    what: "the private key belongs to another user than root and the one who runs certkit",
    why: "its owner can read and replace it",
    cure: "chown root the file, unless you meant it",
};

pub(super) const RELOAD_CHAINED: Words = Words {
    severity: Severity::Warning,
    what: "a server is restarted after every run of renew, by its exit status",
    why: "it happens at every run whether or not anything was renewed, and it never happens when one certificate of many fails",
    cure: "make it a deploy hook, which runs once for each new certificate, and leave only the renewal in the line: certkit reconfigure --cert-name NAME --deploy-hook COMMAND",
};

pub(super) const RELOAD_UNIT_UNUSABLE: Words = Words {
    severity: Severity::Error,
    what: "the unit that is to be reloaded after a renewal cannot be reloaded",
    why: "the server goes on with the old certificate",
    cure: "systemctl list-units shows the names of the units",
};

pub(super) const RENEW_BEFORE_EXPIRY_IN_DAYS: Words = Words {
    severity: Severity::Notice,
    what: "renew_before_expiry is a fixed time that takes most of the shorter lifetimes to come",
    why: "lifetimes at Let's Encrypt fall to 64 days on 2027-02-10 and to 45 on 2028-02-16: it would be renewed far more often than necessary, up to the limits of the CA",
    cure: "remove the line from renewal/NAME.conf: a third of the lifetime, and what the CA says, apply by themselves",
};

pub(super) const RETIRED_OPTION: Words = Words {
    severity: Severity::Warning,
    what: "the renewal configuration asks for something that was withdrawn",
    why: "the CA refuses it, or gives something else",
    cure: "remove it from renewal/NAME.conf",
};

pub(super) const RUNS_STOPPED: Words = Words {
    severity: Severity::Error,
    what: "certkit has not run for a long time",
    why: "whatever is due meanwhile is not renewed",
    cure: "certkit timer show tells what is scheduled; certkit renew runs it now",
};

pub(super) const SERVER_CONFIGURATION_REFUSED: Words = Words {
    severity: Severity::Error,
    what: "the server refuses its configuration, so it cannot be reloaded",
    why: "it goes on with the old certificate, and does not start again after a reboot",
    cure: "mend what it says, until its own check (nginx -t, apachectl configtest, haproxy -c) finds nothing",
};

pub(super) const SERVICE_CANNOT_READ_KEY: Words = Words {
    severity: Severity::Warning,
    what: "the user whom the service runs as cannot read the private key",
    why: "the service goes on with the old certificate, or does not start",
    cure: "give the service a copy of its own in certkit/lineages/NAME.toml, with owner or group",
};

pub(super) const STORE_FAILING: Words = Words {
    severity: Severity::Error,
    what: "certkit cannot work with its store, because what lies below it fails",
    why: "nothing can be renewed, and what is not renewed expires",
    cure: "look at what the system says of the disk: dmesg",
};

pub(super) const STORE_FULL: Words = Words {
    severity: Severity::Error,
    what: "the disk of certkit's store is full",
    why: "nothing can be renewed, and what is not renewed expires",
    cure: "free some space: df -h tells where; the next run goes on by itself",
};

pub(super) const STORE_LOCKED: Words = Words {
    severity: Severity::Error,
    what: "no run can take place, because the lock of certkit's store has been held for too long",
    why: "nothing can be renewed, and what is not renewed expires",
    cure: "see what the process that holds it does, and end it if it hangs: the lock ends with it",
};

pub(super) const STORE_NOT_KEPT: Words = Words {
    severity: Severity::Warning,
    what: "the store lies on a file system that is lost at the next start",
    why: "every start orders all certificates anew until the CA refuses, a week long",
    cure: "put it on a disk or a volume that is kept",
};

pub(super) const STORE_NOT_WRITABLE: Words = Words {
    severity: Severity::Error,
    what: "this user may not write to the store",
    why: "nothing can be renewed by this user",
    cure: "run certkit as root, or give the folder to this user",
};

pub(super) const STORE_ON_NETWORK: Words = Words {
    severity: Severity::Notice,
    what: "the store lies on a network file system",
    why: "when the server is away nothing can be renewed, and locks may not keep two machines apart",
    cure: "let only one machine renew; the others read",
};

pub(super) const STORE_OUT_OF_FILES: Words = Words {
    severity: Severity::Error,
    what: "the file system of certkit's store takes no more files",
    why: "nothing can be renewed, and what is not renewed expires",
    cure: "remove files that nobody needs: df -i tells where; the next run goes on by itself",
};

pub(super) const STORE_READ_ONLY: Words = Words {
    severity: Severity::Error,
    what: "the file system is mounted read-only",
    why: "nothing can be renewed",
    cure: "mount it writable; a file system that became read-only by itself has an error: dmesg tells",
};

pub(super) const STORE_UNREADABLE: Words = Words {
    severity: Severity::Error,
    what: "certkit cannot read its store",
    why: "what cannot be read can neither be checked nor renewed, and what is not renewed expires",
    cure: "run certkit as the user who owns the store (usually root), or correct the modes",
};

pub(super) const TEST_AUTHORITY: Words = Words {
    severity: Severity::Warning,
    what: "this certificate comes from a test CA",
    why: "no browser trusts it",
    cure: "if it is meant for visitors: certkit certonly --cert-name NAME --server letsencrypt --force-renewal",
};

pub(super) const TIMER_INACTIVE: Words = Words {
    severity: Severity::Error,
    what: "the timer of certkit is installed but not active",
    why: "nothing is renewed",
    cure: "systemctl enable --now certkit.timer",
};

pub(super) const TOO_MANY_NAMES: Words = Words {
    severity: Severity::Error,
    what: "it has more names than the CA puts into one certificate",
    why: "the next renewal is refused",
    cure: "split it: certkit certonly --cert-name OTHER -d … for some of the names",
};

pub(super) const TWO_SCHEDULERS: Words = Words {
    severity: Severity::Warning,
    what: "another program renews the same certificates",
    why: "whoever comes first runs only its own hooks, and the other one finds nothing to do: servers are not told",
    cure: "disable one: certkit timer install finds certbot's timers and offers to disable them",
};

pub(super) const WEAK_KEY: Words = Words {
    severity: Severity::Error,
    what: "the key is weaker than CAs accept",
    why: "the next renewal with it is refused, and clients warn",
    cure: "certkit reconfigure --cert-name NAME --key-type ecdsa",
};

pub(super) const WEAK_SIGNATURE: Words = Words {
    severity: Severity::Error,
    what: "the certificate is signed by a method that clients no longer accept",
    why: "clients refuse the connection, and servers with OpenSSL 3 do not load it from a CA, so they fail to start",
    cure: "certkit renew --cert-name NAME --force-renewal",
};
