//! What CAA records say (RFC 8659 section 4, RFC 8657).

use certkit_core::{DnsName, escape};

/// The CAA records that count for a name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CaaSet {
    /// The name.
    pub name: DnsName,
    /// Where the records are: the name itself or one above it. None when there are none, so that every CA may issue.
    pub found_at: Option<DnsName>,
    /// The records, in the order of the answer.
    pub properties: Vec<CaaProperty>,
}

/// One CAA record.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CaaProperty {
    /// The flags; 128 means that a CA which does not understand the tag must not issue.
    pub flags: u8,
    /// The tag in lower case, escaped: `issue`, `issuewild`, `iodef` …
    pub tag: String,
    /// The value, escaped.
    pub value: String,
    issuer: Option<CaaIssuer>,
}

/// What an `issue` or `issuewild` record permits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CaaIssuer {
    /// The CA's issuer domain name, in lower case; none permits nobody, and so does a value that cannot be understood.
    pub domain: Option<String>,
    /// The parameters in their order, the tags in lower case.
    pub parameters: Vec<(String, String)>,
}

/// "Issuer Critical" (RFC 8659 section 4.1).
const CRITICAL: u8 = 128;

/// The tags that CAs know: RFC 8659 section 4, RFC 9495, and what the Baseline Requirements register (as of 2026-11).
const KNOWN_TAGS: [&str; 7] = ["issue", "issuewild", "iodef", "issuemail", "issuevmc", "contactemail", "contactphone"];

impl CaaSet {
    pub(super) fn new(name: DnsName, found_at: Option<DnsName>, properties: Vec<CaaProperty>) -> Self {
        Self { name, found_at, properties }
    }

    /// The records that say who may issue for the name: for a wildcard the `issuewild` ones where there are any, else the
    /// `issue` ones (RFC 8659 section 4.3). Without any, every CA may.
    pub fn issuers(&self) -> impl Iterator<Item = &CaaIssuer> {
        let has_wild = self.properties.iter().any(|property| property.tag == "issuewild");
        let tag = if self.name.is_wildcard() && has_wild { "issuewild" } else { "issue" };
        self.properties
            .iter()
            .filter(move |property| property.tag == tag)
            .filter_map(|property| property.issuer.as_ref())
    }

    /// The accounts to which the records bind issuance by a CA (RFC 8657 section 3): another account of that CA could
    /// not issue. Empty when they bind it to none, because no record of the CA names an account or one permits them all.
    ///
    /// `identities` are the CA's issuer domain names (`caaIdentities` in its directory). Where it names none, every
    /// record may be its, and one that names an account binds.
    pub fn binds_account(&self, identities: &[String]) -> Vec<&str> {
        let is_its = |issuer: &&CaaIssuer| {
            let domain = issuer.domain.as_deref();
            domain.is_some_and(|domain| {
                identities.is_empty() || identities.iter().any(|identity| identity.eq_ignore_ascii_case(domain))
            })
        };
        let permits_all = |issuer: &CaaIssuer| issuer.account_uris().next().is_none();
        if !identities.is_empty() && self.issuers().filter(is_its).any(permits_all) {
            return Vec::new();
        }
        self.issuers().filter(is_its).flat_map(CaaIssuer::account_uris).collect()
    }

    /// The records that forbid every CA to issue because it must understand them and cannot (RFC 8659 section 4.1).
    pub fn unknown_critical(&self) -> impl Iterator<Item = &CaaProperty> {
        self.properties.iter().filter(|property| property.is_critical() && !KNOWN_TAGS.contains(&&*property.tag))
    }
}

impl CaaProperty {
    pub(super) fn new(flags: u8, tag: &str, value: &[u8]) -> Self {
        let tag = escape(tag).to_ascii_lowercase();
        let is_issuer = tag == "issue" || tag == "issuewild";
        Self {
            flags,
            issuer: is_issuer.then(|| CaaIssuer::parse(value).unwrap_or_default()),
            value: escape(&String::from_utf8_lossy(value)).into_owned(),
            tag,
        }
    }

    /// Whether a CA that does not understand the tag must not issue.
    pub fn is_critical(&self) -> bool {
        self.flags & CRITICAL != 0
    }

    /// What an `issue` or `issuewild` record permits; none for other tags.
    pub fn issuer(&self) -> Option<&CaaIssuer> {
        self.issuer.as_ref()
    }
}

impl CaaIssuer {
    /// The accounts of `accounturi`. More than one in a record permit nobody (RFC 8657 section 3).
    pub fn account_uris(&self) -> impl Iterator<Item = &str> {
        self.values("accounturi")
    }

    /// The methods of `validationmethods`, where that stands: only these may prove control (RFC 8657 section 4).
    pub fn validation_methods(&self) -> Option<Vec<&str>> {
        let mut lists = self.values("validationmethods").peekable();
        lists.peek()?;
        Some(lists.flat_map(|list| list.split(',')).collect())
    }

    fn values(&self, tag: &str) -> impl Iterator<Item = &str> {
        self.parameters.iter().filter(move |(name, _)| name == tag).map(|(_, value)| value.as_str())
    }

    /// issue-value of RFC 8659 section 4.2. None when it does not follow the grammar; it then permits nobody.
    fn parse(value: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?;
        let mut parts = text.split(';').map(|part| part.trim_matches([' ', '\t']));
        let domain = parts.next().unwrap_or_default();
        if !domain.is_empty() && !domain.split('.').all(is_label) {
            return None;
        }
        let mut rest: Vec<_> = parts.collect();
        // One semicolon may stand there without parameters.
        if rest == [""] {
            rest.clear();
        }
        let parameters = rest.into_iter().map(parameter).collect::<Option<Vec<_>>>()?;
        let domain = (!domain.is_empty()).then(|| domain.to_ascii_lowercase());
        Some(Self { domain, parameters })
    }
}

fn parameter(text: &str) -> Option<(String, String)> {
    let (tag, value) = text.split_once('=')?;
    let (tag, value) = (tag.trim_end_matches([' ', '\t']), value.trim_start_matches([' ', '\t']));
    // Semicolons cannot be in a part between semicolons.
    (is_label(tag) && value.bytes().all(|byte| byte.is_ascii_graphic()))
        .then(|| (tag.to_ascii_lowercase(), value.to_owned()))
}

/// (ALPHA / DIGIT) *( *("-") (ALPHA / DIGIT))
fn is_label(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    !text.is_empty() && text.bytes().all(is_inner) && !text.starts_with('-') && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    type Parameters = Vec<(String, String)>;

    fn issuer(value: &str) -> Option<(Option<String>, Parameters)> {
        CaaIssuer::parse(value.as_bytes()).map(|issuer| (issuer.domain, issuer.parameters))
    }

    fn set(name: &str, records: &[(u8, &str, &str)]) -> CaaSet {
        let properties = records.iter().map(|(flags, tag, value)| CaaProperty::new(*flags, tag, value.as_bytes()));
        CaaSet::new(DnsName::parse(name).unwrap(), None, properties.collect())
    }

    #[test]
    fn issue_values_follow_the_grammar_or_permit_nobody() {
        let pair = |tag: &str, value: &str| (tag.to_owned(), value.to_owned());
        let ca = || Some("ca1.example.net".to_owned());
        // The examples of RFC 8659 section 4.2 and RFC 8657 section 5.
        for (value, domain, parameters) in [
            ("ca1.example.net", ca(), vec![]),
            (" \tCA1.Example.net \t", ca(), vec![]),
            ("ca1.example.net;", ca(), vec![]),
            ("ca1.example.net ; ", ca(), vec![]),
            (";", None, vec![]),
            ("", None, vec![]),
            ("; policy=ev", None, vec![pair("policy", "ev")]),
            ("ca1.example.net; account=230123", ca(), vec![pair("account", "230123")]),
            ("ca1.example.net;account = 230123 ;x=", ca(), vec![pair("account", "230123"), pair("x", "")]),
            (
                "ca1.example.net; accounturi=https://ca1.example.net/account/1?a=b; validationmethods=dns-01,http-01",
                ca(),
                vec![
                    pair("accounturi", "https://ca1.example.net/account/1?a=b"),
                    pair("validationmethods", "dns-01,http-01"),
                ],
            ),
        ] {
            assert_eq!(issuer(value), Some((domain, parameters)), "{value}");
        }
        for value in [
            "%%%%%",
            "ca1..example.net",
            "ca1.example.net.",
            "-ca.example",
            "ca_1.example",
            "ca.example accounturi=x",
            "ca.example; accounturi",
            "ca.example; =x",
            "ca.example; a=b;",
            "ca.example;;a=b",
            "ca.example; a=b c",
            "ca.example; a=\u{e9}",
            "ca.example; a_b=c",
        ] {
            assert_eq!(issuer(value), None, "{value}");
            let property = CaaProperty::new(0, "ISSUE", value.as_bytes());
            assert_eq!(property.issuer().unwrap().domain, None);
        }
        assert_eq!(CaaIssuer::parse(b"ca.example; a=\xff"), None);
        assert!(CaaProperty::new(0, "iodef", b"mailto:a@b.example").issuer().is_none());
    }

    #[test]
    fn an_account_is_bound_where_no_record_of_its_ca_permits_all() {
        let le = ["letsencrypt.org".to_owned()];
        let (ours, theirs) = ("https://le.example/acct/1", "https://other.example/acct/2");
        let bound = |value: &str| format!("{value}; accounturi={ours}");
        let issue = |values: &[&str]| {
            let records: Vec<_> = values.iter().map(|value| (0, "issue", *value)).collect();
            set("a.example", &records)
        };
        assert_eq!(issue(&[&bound("LetsEncrypt.org")]).binds_account(&le), [ours]);
        assert_eq!(issue(&[&bound("letsencrypt.org"), ";"]).binds_account(&le), [ours]);
        // Records add up: one that permits every account lets the others bind nothing.
        assert!(issue(&[&bound("letsencrypt.org"), "letsencrypt.org"]).binds_account(&le).is_empty());
        assert!(issue(&["letsencrypt.org; validationmethods=dns-01"]).binds_account(&le).is_empty());
        assert!(
            issue(&[&format!("other.example; accounturi={theirs}"), "letsencrypt.org"]).binds_account(&le).is_empty()
        );
        assert!(issue(&[&format!("other.example; accounturi={theirs}")]).binds_account(&le).is_empty());
        assert!(issue(&[]).binds_account(&le).is_empty());
        // A CA that does not say who it is in DNS: whatever names an account may mean it.
        let both = [&*bound("letsencrypt.org"), "other.example"];
        assert_eq!(issue(&both).binds_account(&[]), [ours]);
        let twice = format!("{}; AccountURI={theirs}", bound("letsencrypt.org"));
        assert_eq!(issue(&[&twice]).binds_account(&le), [ours, theirs]);
    }

    #[test]
    fn wildcards_go_by_issuewild_where_there_is_one() {
        let bound = "letsencrypt.org; accounturi=https://le.example/acct/1";
        let le = ["letsencrypt.org".to_owned()];
        let records = [(0, "issue", "letsencrypt.org"), (0, "issuewild", bound)];
        assert!(set("a.example", &records).binds_account(&le).is_empty());
        assert_eq!(set("*.a.example", &records).binds_account(&le).len(), 1);
        let records = [(0, "issue", bound)];
        assert_eq!(set("*.a.example", &records).binds_account(&le).len(), 1);
        let records = [(0, "issue", bound), (0, "issuewild", "letsencrypt.org")];
        assert!(set("*.a.example", &records).binds_account(&le).is_empty());
    }

    #[test]
    fn a_critical_tag_that_nobody_knows_is_told() {
        let records = [(128, "tbs", "x"), (0, "other", "x"), (128, "issue", "ca.example"), (255, "Iodef", "mailto:x")];
        let set = set("a.example", &records);
        assert_eq!(set.unknown_critical().map(|one| one.tag.as_str()).collect::<Vec<_>>(), ["tbs"]);
        assert_eq!(set.issuers().count(), 1);
        let methods = CaaIssuer::parse(b"ca.example; validationmethods=dns-01,http-01").unwrap();
        assert_eq!(methods.validation_methods().unwrap(), ["dns-01", "http-01"]);
        assert_eq!(CaaIssuer::default().validation_methods(), None);
    }

    #[test]
    fn what_a_record_holds_is_escaped() {
        let property = CaaProperty::new(0, "is\x1bsue", b"\x1b[2J");
        assert!(!property.tag.contains('\x1b') && !property.value.contains('\x1b'), "{property:?}");
    }

    proptest::proptest! {
        #[test]
        fn any_value_is_read_without_panicking(flags: u8, tag in ".{0,20}", value: Vec<u8>) {
            let property = CaaProperty::new(flags, &tag, &value);
            let set = CaaSet::new(DnsName::parse("a.example").unwrap(), None, vec![property]);
            let _ = (set.binds_account(&[]).len(), set.unknown_critical().count());
        }

        #[test]
        fn what_is_written_by_the_grammar_is_read_back(
            domain in "[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?(\\.[a-z0-9]{1,5}){0,3}",
            parameters in proptest::collection::vec(("[a-z0-9]([a-z0-9-]{0,6}[a-z0-9])?", "[!-:<-~]{0,20}"), 0..4),
            blank in "[ \t]{0,2}",
        ) {
            let mut text = format!("{blank}{domain}{blank}");
            for (tag, value) in &parameters {
                text.push_str(&format!(";{blank}{tag}{blank}={blank}{value}{blank}"));
            }
            proptest::prop_assert_eq!(issuer(&text), Some((Some(domain), parameters)));
        }

        #[test]
        fn what_is_read_never_holds_what_the_grammar_forbids(text in "[ -~]{0,60}") {
            if let Some((domain, parameters)) = issuer(&text) {
                proptest::prop_assert!(domain.is_none_or(|domain| domain.split('.').all(is_label)));
                for (tag, value) in parameters {
                    proptest::prop_assert!(is_label(&tag) && !value.contains([' ', ';']));
                }
            }
        }
    }
}
