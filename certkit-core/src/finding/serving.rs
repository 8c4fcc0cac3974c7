//! The words for what is served.

use super::Severity;
use super::words::Words;

pub(super) const AUTHORITY_NOT_KNOWN_HERE: Words = Words {
    severity: Severity::Notice,
    what: "this machine does not know the CA of what is served, so whether clients trust it cannot be seen here",
    why: "an issuer of the chain that ends early would not be noticed",
    cure: "if the CA is your own, name its root in certkit/settings.toml: ca_bundles = [\"/path/of/root.pem\"]; if it is a test CA, no client is to trust it",
};

pub(super) const ENDPOINT_UNREACHABLE: Words = Words {
    severity: Severity::Warning,
    what: "it is not known whether the certificate in use is served",
    why: "a server that went on with the old certificate would not be noticed",
    cure: "see whether the server runs and can be reached from this machine; `certkit inspect HOST:PORT` tries it again",
};

pub(super) const NOT_SERVED: Words = Words {
    severity: Severity::Error,
    what: "the certificate in use is not served",
    why: "visitors get the other certificate, until it expires and nothing works any more",
    cure: "make the server read its certificate again (reload it), and see that it uses the files of live/NAME; a reload after every renewal is set with certkit reconfigure --cert-name NAME --deploy-hook COMMAND",
};

pub(super) const SERVED_WRONGLY: Words = Words {
    severity: Severity::Warning,
    what: "the certificate in use is served, but not as it should be",
    why: "some clients refuse the connection, or will",
    cure: "let the server use fullchain.pem and privkey.pem of live/NAME, and reload it",
};
