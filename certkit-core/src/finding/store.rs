//! The words for what is wrong with what is stored.

use super::Severity;
use super::words::Words;

pub(super) const ACCOUNT_KEY_JOURNAL_UNUSABLE: Words = Words {
    severity: Severity::Error,
    what: "an account was getting another key, and the file that holds it cannot be used",
    why: "without the key that the CA knows, no certificate of this account can be renewed or revoked",
    cure: "keep the file: it may hold the only key of the account; put right what is wrong with it, or move it away once `certkit show_account` works without it",
};

pub(super) const ACCOUNT_KEY_PENDING: Words = Words {
    severity: Severity::Warning,
    what: "an account was getting another key, and it is not known whether the CA took it",
    why: "until it is known which key counts, every request of the account may be refused",
    cure: "nothing to do: the next `certkit renew` asks the CA and finishes it",
};

pub(super) const ACCOUNT_KEY_READABLE: Words = Words {
    severity: Severity::Error,
    what: "the key of an account can be read by other users",
    why: "whoever has it can revoke the certificates of the account and order others for its names",
    cure: "certkit fsck --repair, and when somebody may have read it: certkit update_account --new-key",
};

pub(super) const ACCOUNT_UNUSABLE: Words = Words {
    severity: Severity::Warning,
    what: "an account cannot be used as it stands",
    why: "certificates of this account cannot be renewed",
    cure: "restore the file from a backup, or move the account's directory away",
};

pub(super) const ANOTHER_TREE: Words = Words {
    severity: Severity::Warning,
    what: "the renewal configuration leads into another tree of certificates, as in a copy of that tree",
    why: "certbot would change the other tree from here, without its lock, and leave this one as it is; certkit renews nothing here",
    cure: "when this tree is a copy, let the paths in renewal/NAME.conf name it; otherwise remove renewal/NAME.conf here, and work on the other tree with --config-dir",
};

pub(super) const ARCHIVE_DIR_DIFFERS: Words = Words {
    severity: Severity::Warning,
    what: "`archive_dir` in the renewal configuration is not where the live links lead",
    why: "certbot orders a certificate at every run, cannot store it, and loses it",
    cure: "certkit fsck --repair, which writes where the links lead into the renewal configuration",
};

pub(super) const ARCHIVE_WITHOUT_CONF: Words = Words {
    severity: Severity::Warning,
    what: "an archive directory without a renewal configuration, so nothing renews it",
    why: "whoever serves this certificate serves it until it expires",
    cure: "if nothing uses it (`certkit fsck` says what does), move it away; otherwise obtain the certificate again: certkit certonly -d NAME …",
};

pub(super) const BROKEN_LINEAGE: Words = Words {
    severity: Severity::Error,
    what: "this certificate cannot be used or renewed as it stands",
    why: "nothing renews it, and what serves it fails or expires",
    cure: "correct what the message names: `certkit fsck` says how, and repairs what it can; otherwise restore it from a backup; only where neither helps remove the certificate (certkit delete --cert-name NAME) and obtain it again",
};

pub(super) const CONF_INCOMPLETE: Words = Words {
    severity: Severity::Error,
    what: "the renewal configuration does not say how names are validated",
    why: "the next renewal fails, and the certificate expires",
    cure: "certkit reconfigure --cert-name NAME --webroot -w DIR, or whatever else validates its names; with --server and --account where it is not Let's Encrypt",
};

pub(super) const FOLDER_OPEN: Words = Words {
    severity: Severity::Notice,
    what: "every user can look into this folder",
    why: "names of certificates and, where a key's own mode allows it, the key are open to all",
    cure: "nothing to do if you meant it; otherwise chmod o-rwx the folder",
};

pub(super) const FOREIGN_LINK: Words = Words {
    severity: Severity::Warning,
    what: "a live link does not point to a version in this certificate's own archive",
    why: "a renewal writes its version where certbot expects it, and what is served may not follow",
    cure: "make the link point to archive/NAME/KINDn.pem, the same n in all four",
};

pub(super) const INTERRUPTED_COMMIT: Words = Words {
    severity: Severity::Notice,
    what: "an earlier run of certkit ended before it had finished",
    why: "it shows that runs are ended from outside",
    cure: "nothing to do: it was put right",
};

pub(super) const INTERRUPTED_DELETION: Words = Words {
    severity: Severity::Warning,
    what: "a certificate was being deleted, and not all of it is gone",
    why: "its private key may still be there, and certbot cannot use the name",
    cure: "wait for the next `certkit renew`, which removes the rest, or do it now: certkit fsck --repair",
};

pub(super) const FULLCHAIN_DIFFERS: Words = Words {
    severity: Severity::Warning,
    what: "the files in use are written differently from each other, although the same certificates are in them",
    why: "servers take them, but certbot says that fullchain is not cert and chain, and renews the certificate no more",
    cure: "certkit fsck --repair, which writes the same anew",
};

pub(super) const INTERRUPTED_SWITCH: Words = Words {
    severity: Severity::Warning,
    what: "certbot was interrupted while switching to a new version",
    why: "certificate and key in use may be of different versions, which no server accepts",
    cure: "nothing to do: the next `certkit renew` puts it right",
};

pub(super) const LEFT_OVER: Words = Words {
    severity: Severity::Notice,
    what: "an interrupted run left files that belong to nothing",
    why: "they may hold a key, or say that a certificate is to be deleted; otherwise they are in nobody's way",
    cure: "certkit fsck --repair",
};

pub(super) const LIVE_VERSION_DAMAGED: Words = Words {
    severity: Severity::Error,
    what: "the version in use is damaged",
    why: "servers cannot load it, or send what does not belong together: the next restart may fail",
    cure: "nothing to do if another version was made live or the certificate is being renewed; otherwise restore the file from a backup",
};

pub(super) const LIVE_WITHOUT_CONF: Words = Words {
    severity: Severity::Warning,
    what: "a live directory without a renewal configuration, so nothing renews it",
    why: "whoever serves this certificate serves it until it expires",
    cure: "if nothing uses it (`certkit fsck` says what does), move it away; otherwise obtain the certificate again: certkit certonly -d NAME …",
};

pub(super) const MIXED_VERSIONS: Words = Words {
    severity: Severity::Error,
    what: "the live links point to different versions, so key and certificate may not match",
    why: "a server that loads a key of another certificate does not start",
    cure: "nothing to do: the next `certkit renew` puts it right",
};

pub(super) const KEY_BESIDE_CERTIFICATES: Words = Words {
    severity: Severity::Notice,
    what: "a file of certificates holds a private key too",
    why: "servers take it, but certbot says that fullchain is not cert and chain, and renews the certificate no more; and whoever may read the file has the key",
    cure: "have certkit write the file with both elsewhere (`combined` in certkit/lineages/NAME.toml), and take the key out of this one",
};

pub(super) const LEFT_AT_COMMIT: Words = Words {
    severity: Severity::Notice,
    what: "something was set aside, or could not be tidied up, when a version went live or a certificate was deleted",
    why: "nothing is lost, and nothing else is wrong; what was in the way is still there",
    cure: "read the message, and remove what it names when nobody needs it",
};

pub(super) const NEWER_VERSION_NOT_LIVE: Words = Words {
    severity: Severity::Warning,
    what: "a newer complete version is stored but not in use",
    why: "an older certificate than necessary is in use, and expires earlier",
    cure: "nothing to do: the next `certkit renew` puts it right",
};

pub(super) const NEWER_VERSION_UNUSABLE: Words = Words {
    severity: Severity::Notice,
    what: "a newer version is stored but does not verify, so it is not used",
    why: "a version that does not verify must not come into use",
    cure: "nothing to do: the next renewal makes a version that comes after it",
};

pub(super) const ORDER_PENDING: Words = Words {
    severity: Severity::Notice,
    what: "an order is under way and is resumed at the next renewal",
    why: "what was begun at the CA is used and not ordered twice",
    cure: "nothing to do: the next renewal goes on with it, or: certkit renew --force-renewal --cert-name NAME",
};

pub(super) const OWNED_BY_ANOTHER: Words = Words {
    severity: Severity::Warning,
    what: "it belongs to another user than root and the one who runs certkit",
    why: "its owner can exchange certificates, keys and the commands that are run after renewals",
    cure: "chown it to root, unless you meant it",
};

pub(super) const PEM_REFUSED: Words = Words {
    severity: Severity::Error,
    what: "servers do not load this file as it is written, although all of it is there",
    why: "the next restart or reload of a server that uses it fails, or it sends too few certificates",
    cure: "certkit fsck --repair --cert-name NAME, which writes the same anew",
};

pub(super) const PRIVATE_KEY_READABLE: Words = Words {
    severity: Severity::Warning,
    what: "the private key can be read by every user",
    why: "whoever has the key can pass for this server, and a key that has leaked has to be revoked",
    cure: "chmod o-rwx the file, unless you meant it",
};

pub(super) const PUT_RIGHT: Words = Words {
    severity: Severity::Notice,
    what: "an interrupted run had left it unfinished, and this run put it right",
    why: "it shows that runs are ended from outside",
    cure: "nothing to do: it was put right",
};

pub(super) const REPAIR_FAILED: Words = Words {
    severity: Severity::Error,
    what: "it could not be repaired",
    why: "what was wrong still is",
    cure: "put right what the message names, and run certkit fsck --repair again",
};

pub(super) const SECOND_FOLDER_BEHIND: Words = Words {
    severity: Severity::Notice,
    what: "whoever has had the live folder open or mounted since certkit's last switch still sees an older version there",
    why: "certbot has renewed since, or a run ended before it had finished",
    cure: "certkit fsck --repair, or the next `certkit renew`",
};

pub(super) const SET_ASIDE: Words = Words {
    severity: Severity::Warning,
    what: "a certificate was issued but not installed, because another tool had renewed meanwhile",
    why: "two tools renew the same certificate, which spends the limits of the CA twice",
    cure: "nothing is lost: it can be read there; remove the directory when you don't need it",
};

pub(super) const SETTING_WITHOUT_EFFECT: Words = Words {
    severity: Severity::Notice,
    what: "a setting has no effect here",
    why: "what it was meant to do does not happen",
    cure: "remove it, or change it to something that has an effect",
};

pub(super) const SETTINGS_UNUSABLE: Words = Words {
    severity: Severity::Error,
    what: "these settings cannot be used",
    why: "as long as they cannot be read, what they concern is not renewed",
    cure: "correct the line; `certkit config check` tells all that is wrong",
};

pub(super) const SIGNATURE_NOT_VERIFIED: Words = Words {
    severity: Severity::Notice,
    what: "the signature of this certificate is of a kind that is not verified here",
    why: "whether its chain is the right one is not known, and no version like it can be stored or made live; servers may well load it",
    cure: "nothing to do if clients accept it; openssl verify -partial_chain -trusted chain.pem cert.pem tells whether it is right",
};

pub(super) const STATE_DAMAGED: Words = Words {
    severity: Severity::Warning,
    what: "a file of certkit's own memory is damaged, and its content is ignored",
    why: "what was learned from failures and limits is forgotten",
    cure: "nothing to do: it is written anew at the next run",
};

pub(super) const UNREADABLE: Words = Words {
    severity: Severity::Error,
    what: "it cannot be read",
    why: "what cannot be read can neither be checked nor renewed",
    cure: "run as the user who owns it (usually root), or correct its mode",
};

pub(super) const VERSION_INCOMPLETE: Words = Words {
    severity: Severity::Notice,
    what: "files of a version that is not in use are missing or damaged",
    why: "it cannot be rolled back to; its number is passed over",
    cure: "nothing to do: remove the files when nothing else uses them",
};

pub(super) const WRITABLE_BY_OTHERS: Words = Words {
    severity: Severity::Error,
    what: "every user of this machine can change it",
    why: "whoever changes it decides which certificate is served and which commands run as root",
    cure: "certkit fsck --repair, or chmod o-w",
};
