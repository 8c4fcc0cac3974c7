//! The words for what a look at the network finds: the CA, DNS, and port 80 of each name.

use super::Severity;
use super::words::Words;

pub(super) const ACCOUNT_DEACTIVATED: Words = Words {
    severity: Severity::Error,
    what: "the CA says that the account is deactivated or revoked",
    why: "it can never be used again: every order is refused, and the certificates expire",
    cure: "register another account: certkit register --server URL; then name it in the confs that name the old one: certkit reconfigure --cert-name NAME --account ID",
};

pub(super) const ACCOUNT_LOST: Words = Words {
    severity: Severity::Warning,
    what: "the CA does not know the account that is stored for it",
    why: "the next renewal has to register it anew, which a CAA record with accounturi or a CA that wants an external account prevents",
    cure: "nothing to do if registering is possible: the next `certkit renew` does it; otherwise certkit register --server URL with what the CA wants",
};

pub(super) const ACCOUNT_MISSING: Words = Words {
    severity: Severity::Error,
    what: "there is no account for this CA",
    why: "nothing can be ordered there, so the next renewal fails",
    cure: "certkit register --server URL",
};

pub(super) const ADDRESS_NOT_PUBLIC: Words = Words {
    severity: Severity::Error,
    what: "the name leads to an address that no public CA can reach",
    why: "the CA refuses such an address or cannot connect to it, so the name cannot be validated over http",
    cure: "publish a public address for the name, or validate by DNS: certkit reconfigure --cert-name NAME --manual --preferred-challenges dns --manual-auth-hook COMMAND --manual-cleanup-hook COMMAND",
};

pub(super) const CAA_ACCOUNT_OTHER: Words = Words {
    severity: Severity::Error,
    what: "the CAA records permit this CA to issue for another account only (accounturi)",
    why: "the CA refuses every order of the account that is used here",
    cure: "put this account's URL (certkit show_account) into accounturi of the record, or remove that parameter",
};

pub(super) const CAA_CRITICAL_UNKNOWN: Words = Words {
    severity: Severity::Error,
    what: "a CAA record is marked as critical, and no CA knows its tag",
    why: "every CA must refuse the name (RFC 8659 section 4.1)",
    cure: "correct or remove the record",
};

pub(super) const CAA_FORBIDS: Words = Words {
    severity: Severity::Error,
    what: "the CAA records do not permit this CA to issue",
    why: "the CA refuses the name, and with it the whole certificate",
    cure: "add a CAA record that permits the CA, or have the certificate from a CA that is permitted",
};

pub(super) const CAA_METHOD_FORBIDDEN: Words = Words {
    severity: Severity::Error,
    what: "the CAA records do not permit this CA to validate in this way (validationmethods)",
    why: "the CA refuses the name, and with it the whole certificate",
    cure: "add the method to validationmethods of the record, or validate in a way that stands there",
};

pub(super) const CAA_SERVER_FAILS: Words = Words {
    severity: Severity::Warning,
    what: "a name server of the zone does not answer questions for CAA records as it should",
    why: "a CA that happens to ask this server cannot know whether it may issue, and refuses",
    cure: "have the name server updated or its firewall corrected: it has to answer type 257, with an empty answer where there are no records",
};

pub(super) const CAA_UNANSWERED: Words = Words {
    severity: Severity::Error,
    what: "the CAA records cannot be looked up",
    why: "a CA that cannot read them must not issue",
    cure: "put right the name servers of the zone: they have to answer type 257, with an empty answer where there are no records",
};

pub(super) const CHALLENGE_ALIAS_BROKEN: Words = Words {
    severity: Severity::Error,
    what: "the alias (CNAME) at _acme-challenge leads to a domain that is not there",
    why: "the CA cannot find the TXT record, so the name cannot be validated by DNS",
    cure: "correct the CNAME or remove it, so that the record that the auth hook sets is found",
};

pub(super) const CHALLENGE_BODY_WRONG: Words = Words {
    severity: Severity::Error,
    what: "something else came back than what was placed for the CA to find",
    why: "another server, another virtual host or a page for every path answers, so the CA finds a wrong answer",
    cure: "make the web server serve /.well-known/acme-challenge/ of this name from the webroot that is configured: certkit reconfigure --cert-name NAME --webroot -w DIR",
};

pub(super) const CHALLENGE_NOT_SERVED: Words = Words {
    severity: Severity::Error,
    what: "the web server does not serve what was placed for the CA to find",
    why: "the CA gets the same answer, so the name cannot be validated",
    cure: "make the web server serve /.well-known/acme-challenge/ of this name from the webroot that is configured, without password or filter: certkit reconfigure --cert-name NAME --webroot -w DIR",
};

pub(super) const CHALLENGE_NOT_SET_UP: Words = Words {
    severity: Severity::Error,
    what: "an answer for the CA cannot be placed",
    why: "the next renewal fails before the CA is asked",
    cure: "put right what the message names, or answer in another way: certkit reconfigure --cert-name NAME --webroot -w DIR (or --standalone)",
};

pub(super) const CHALLENGE_RECORDS_LEFT: Words = Words {
    severity: Severity::Notice,
    what: "TXT records of earlier validations are left at _acme-challenge",
    why: "they pile up when the cleanup hook does not remove them, until the answer is too large for a CA to read",
    cure: "remove the records, and see to it that the cleanup hook removes what the auth hook sets",
};

pub(super) const DIRECTORY_UNREACHABLE: Words = Words {
    severity: Severity::Error,
    what: "the CA cannot be reached from here",
    why: "nothing can be ordered or renewed there as long as it is so",
    cure: "see whether the network, the proxy settings and the CA's status page explain it; a second CA for such times is set with fallback_servers in certkit/settings.toml",
};

pub(super) const DIRECTORY_UNUSABLE: Words = Words {
    severity: Severity::Error,
    what: "what the CA's address answers is no ACME directory",
    why: "nothing can be ordered or renewed there",
    cure: "correct the URL: certkit reconfigure --cert-name NAME --server URL",
};

pub(super) const DNSSEC_BROKEN: Words = Words {
    severity: Severity::Error,
    what: "DNSSEC is broken: a resolver that validates gets no answer",
    why: "CAs must validate DNSSEC and must not issue when that fails",
    cure: "have the zone signed anew, or correct the DS record at the registrar; https://dnsviz.net shows which signature or DS is wrong",
};

pub(super) const EXTERNAL_ACCOUNT_NEEDED: Words = Words {
    severity: Severity::Error,
    what: "this CA wants an external account (EAB), and there is no account for it here",
    why: "an account cannot be made without credentials from the CA, so nothing can be ordered",
    cure: "get credentials from the CA, and run certkit register --server URL --eab-kid KID --eab-hmac-key KEY",
};

pub(super) const HTTP_PORT_CLOSED: Words = Words {
    severity: Severity::Error,
    what: "nobody answers on port 80",
    why: "the CA connects to port 80 of every address that DNS names, so the name cannot be validated",
    cure: "start the web server, open port 80 in the firewall and at the provider, or validate by DNS: certkit reconfigure --cert-name NAME --manual --preferred-challenges dns --manual-auth-hook COMMAND --manual-cleanup-hook COMMAND",
};

pub(super) const HTTP_PORT_TAKEN: Words = Words {
    severity: Severity::Error,
    what: "the port that standalone listens on is taken by another program",
    why: "the next renewal cannot answer the CA",
    cure: "use the web server that runs there: certkit reconfigure --cert-name NAME --webroot -w DIR",
};

pub(super) const IPV6_DIFFERS: Words = Words {
    severity: Severity::Error,
    what: "the IPv6 address does not answer as the IPv4 address does",
    why: "CAs prefer IPv6, so they see what is wrong there and not what is right with IPv4",
    cure: "make the server answer on IPv6 as well, or remove the AAAA record",
};

pub(super) const NAME_NOT_FOUND: Words = Words {
    severity: Severity::Error,
    what: "the name does not exist in DNS",
    why: "it cannot be validated, and with it the whole certificate is not renewed",
    cure: "publish the name again (an A or AAAA record), or take it out of the certificate: certkit certonly --cert-name NAME -d … with the names that are left",
};

pub(super) const NAME_SERVER_FAILS: Words = Words {
    severity: Severity::Warning,
    what: "a name server of the zone does not answer for it as it should",
    why: "a CA that happens to ask this server gets no answer, so validations fail now and then",
    cure: "put the server right, or remove it from the zone's NS records (and at the registrar)",
};

pub(super) const NAME_SERVERS_DISAGREE: Words = Words {
    severity: Severity::Warning,
    what: "the name servers of the zone give different answers",
    why: "CAs ask from several places and may get any of them",
    cure: "see to it that all servers have the newest version of the zone (the same serial)",
};

pub(super) const NAME_UNANSWERED: Words = Words {
    severity: Severity::Error,
    what: "no name server gives an answer for the name",
    why: "it cannot be validated, and with it the whole certificate is not renewed",
    cure: "put right the name servers of the zone, or the delegation at the registrar",
};

pub(super) const NAME_WITHOUT_ADDRESS: Words = Words {
    severity: Severity::Error,
    what: "the name has no address (neither A nor AAAA)",
    why: "the CA has nothing to connect to, so the name cannot be validated over http",
    cure: "publish an address for the name (an A or AAAA record), or take it out of the certificate: certkit certonly --cert-name NAME -d … with the names that are left",
};

pub(super) const PROFILE_NOT_OFFERED: Words = Words {
    severity: Severity::Warning,
    what: "the CA does not offer the certificate profile that is wanted",
    why: "the order is refused, or the certificate is another than was wished for",
    cure: "choose one that the CA offers: certkit reconfigure --cert-name NAME --preferred-profile PROFILE",
};

pub(super) const REDIRECT_FORBIDDEN: Words = Words {
    severity: Severity::Error,
    what: "the request for the challenge is redirected to where CAs do not follow",
    why: "CAs follow redirects only to http and https on ports 80 and 443 of names, so the name cannot be validated",
    cure: "serve /.well-known/acme-challenge/ without a redirect, or redirect to port 80 or 443 of a name",
};

pub(super) const REDIRECT_LOOP: Words = Words {
    severity: Severity::Error,
    what: "the request for the challenge is redirected in a loop or too often",
    why: "CAs give up after ten redirects, so the name cannot be validated",
    cure: "serve /.well-known/acme-challenge/ without a redirect",
};

pub(super) const REDIRECT_UNRESOLVED: Words = Words {
    severity: Severity::Error,
    what: "the request for the challenge is redirected to a name without an address",
    why: "the CA cannot follow, so the name cannot be validated",
    cure: "correct the redirect, or serve /.well-known/acme-challenge/ without one",
};

pub(super) const RENEWAL_INFORMATION_NOT_OFFERED: Words = Words {
    severity: Severity::Notice,
    what: "the CA does not say when to renew (no renewalInfo in its directory)",
    why: "a revocation in masses is not told in advance, and renewals are not exempt from its rate limits",
    cure: "nothing to do: certificates are renewed by the rule of their lifetime",
};

pub(super) const TERMS_NOT_AGREED: Words = Words {
    severity: Severity::Error,
    what: "the CA wants its owner to act, usually to agree to changed terms of service",
    why: "it refuses orders until that is done",
    cure: "read what the CA's page says and agree there",
};

pub(super) const TLSA_MISMATCH: Words = Words {
    severity: Severity::Warning,
    what: "TLSA records exist, and none of them fits the certificate in use",
    why: "clients that check DANE (mail servers above all) refuse to connect where this certificate is served",
    cure: "publish the record of the certificate that is served, for example `3 1 1` with the SHA-256 of its key",
};

pub(super) const TLSA_WILL_BREAK: Words = Words {
    severity: Severity::Warning,
    what: "the next renewal makes a certificate that the TLSA records do not fit",
    why: "clients that check DANE (mail servers above all) refuse to connect from then on",
    cure: "keep the key (certkit reconfigure --cert-name NAME --reuse-key) with a record `3 1 1`, or publish the next key's record before each renewal",
};
