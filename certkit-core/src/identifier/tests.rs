use proptest::prelude::*;

use super::*;

fn dns(text: &str) -> Result<String, IdentifierError> {
    DnsName::parse(text).map(String::from)
}

#[test]
fn names_are_folded_and_lose_one_dot() {
    assert_eq!(dns("WWW.Example.ORG."), Ok("www.example.org".to_owned()));
    assert_eq!(dns("*.example.org"), Ok("*.example.org".to_owned()));
    assert_eq!(dns("localhost"), Ok("localhost".to_owned()));
    assert_eq!(dns("_dmarc.a_b.example"), Ok("_dmarc.a_b.example".to_owned()));
    assert_eq!(dns("1.2.3.4.example"), Ok("1.2.3.4.example".to_owned()));
    assert_eq!(dns("xn--bcher-kva.example"), Ok("xn--bcher-kva.example".to_owned()));
}

#[test]
fn each_fault_has_its_own_error() {
    use IdentifierError as E;
    assert_eq!(dns(""), Err(E::Empty));
    assert_eq!(dns("."), Err(E::Empty));
    assert!(matches!(dns(".."), Err(E::EmptyLabel { .. })));
    assert!(matches!(dns("a..b"), Err(E::EmptyLabel { .. })));
    assert!(matches!(dns(".example.org"), Err(E::EmptyLabel { .. })));
    assert!(matches!(dns("example.org.."), Err(E::EmptyLabel { .. })));
    assert!(matches!(dns("bücher.example"), Err(E::NotAscii { .. })));
    assert_eq!(dns("*"), Err(E::WildcardAlone));
    assert_eq!(dns("*."), Err(E::WildcardAlone));
    for text in ["a.*.example.org", "*.*.example.org", "w*.example.org", "**.example.org", "example.*"] {
        assert!(matches!(dns(text), Err(E::MisplacedWildcard { .. })), "{text}");
    }
    assert!(matches!(dns("192.0.2.1"), Err(E::IsAddress { .. })));
    assert!(matches!(dns("2001:db8::1"), Err(E::IsAddress { .. })));
    for text in ["*.192.0.2.1", "192.0.2.256", "192.0.2", "1.2.3.4.5", "example.123", "5"] {
        assert!(matches!(dns(text), Err(E::NumericLastLabel { .. })), "{text}");
    }
    for text in ["-a.example", "a-.example", "a.example-", "xn--.example", "xn--example-.org"] {
        assert!(matches!(dns(text), Err(E::OuterHyphen { .. })), "{text}");
    }
    for text in ["a b.example", "https://example.org/", "a\n.example", "a\0.example", "a,b.example", "a/../b", "[::1]"]
    {
        assert!(matches!(dns(text), Err(E::BadCharacter { .. })), "{text}");
    }
}

#[test]
fn lengths_are_counted_in_octets() {
    let label = "a".repeat(63);
    assert!(dns(&format!("{label}.example")).is_ok());
    assert!(matches!(dns(&format!("{label}a.example")), Err(IdentifierError::LabelTooLong { octets: 64, .. })));
    let longest = format!("{label}.{label}.{label}.{}", "b".repeat(61));
    assert_eq!(longest.len(), 253);
    assert!(dns(&longest).is_ok());
    assert!(dns(&format!("{longest}.")).is_ok());
    assert!(matches!(dns(&format!("{longest}b")), Err(IdentifierError::TooLong { octets: 254, .. })));
}

#[test]
fn errors_are_escaped_and_cut() {
    let message = dns(&format!("\x1b[31m{}", "a".repeat(5_000))).unwrap_err().to_string();
    assert!(!message.contains('\x1b'));
    assert!(message.len() < 300, "{message}");
}

#[test]
fn addresses_are_told_from_names() {
    assert_eq!(Identifier::parse("192.0.2.1").unwrap(), Identifier::Ip("192.0.2.1".parse().unwrap()));
    assert_eq!(Identifier::parse("2001:DB8:0:0::1").unwrap().to_string(), "2001:db8::1");
    assert!(Identifier::parse("[::1]").is_err());
    assert!(Identifier::parse("fe80::1%eth0").is_err());
    // Octal and short forms are not addresses to us: they would name another host than the one that was meant.
    assert!(Identifier::parse("010.0.0.1").is_err());
    assert!(Identifier::parse("127.1").is_err());
}

#[cfg(feature = "idn")]
#[test]
fn names_from_people_are_converted() {
    let typed = |text: &str| Identifier::parse_unicode(text).map(|identifier| identifier.to_string());
    assert_eq!(typed(" Bücher.example "), Ok("xn--bcher-kva.example".to_owned()));
    assert_eq!(typed("*.bücher.example."), Ok("*.xn--bcher-kva.example".to_owned()));
    assert_eq!(typed("straße.example"), Ok("xn--strae-oqa.example".to_owned()));
    assert_eq!(typed("例え。テスト"), Ok("xn--r8jz45g.xn--zckzah".to_owned()));
    assert_eq!(typed("[::1]"), Ok("::1".to_owned()));
    assert_eq!(typed("*.example.org"), Ok("*.example.org".to_owned()));
    assert!(typed("[192.0.2.1]").is_err());
    assert!(matches!(typed("a\u{200d}b.example"), Err(IdentifierError::Unconvertible { .. })));
    assert!(matches!(typed("exa\u{ff0f}mple.org"), Err(IdentifierError::BadCharacter { .. })));
    assert!(matches!(typed("１２７.0.0.1"), Err(IdentifierError::IsAddress { .. })));
    assert!(matches!(typed("ü.*.example"), Err(IdentifierError::MisplacedWildcard { .. })));
}

#[cfg(feature = "idn")]
#[test]
fn a_labels_that_stand_for_nothing_else_are_refused() {
    for text in ["xn--99999999999.example", "xn--0.example", "xn--bcher-kvA9999999.example"] {
        assert!(dns(text).is_err(), "{text}");
    }
    assert!(matches!(dns("xn--abc-.example"), Err(IdentifierError::OuterHyphen { .. })));
}

#[test]
fn sets_keep_the_order_and_merge_what_folds_together() {
    let set: IdentifierSet = ["b.example", "A.example", "192.0.2.1", "a.example.", "b.example"]
        .map(|t| Identifier::parse(t).unwrap())
        .into_iter()
        .collect();
    assert_eq!(set.to_string(), "b.example, a.example, 192.0.2.1");
    assert_eq!(set.first().unwrap().to_string(), "b.example");
    assert_eq!(set.dns().count(), 2);
    assert_eq!(set.ips().count(), 1);
    let other: IdentifierSet = set.iter().rev().cloned().collect();
    assert_ne!(set, other);
    assert!(set.same_as(&other));
    let mut larger = set.clone();
    larger.extend([Identifier::parse("*.a.example").unwrap()]);
    assert!(larger.is_superset(&set) && !set.is_superset(&larger));
    assert_eq!(set.missing_from(&larger).map(ToString::to_string).collect::<Vec<_>>(), ["*.a.example"]);
}

#[test]
fn json_holds_only_valid_values() {
    let set: IdentifierSet = serde_json::from_str(r#"["A.example", "::1", "a.example"]"#).unwrap();
    assert_eq!(serde_json::to_string(&set).unwrap(), r#"["a.example","::1"]"#);
    assert!(serde_json::from_str::<IdentifierSet>(r#"["a b"]"#).is_err());
}

proptest! {
    #[test]
    fn what_is_shown_is_read_back(text in r"(\*\.)?([a-zA-Z0-9_]([a-zA-Z0-9_-]{0,12}[a-zA-Z0-9])?\.){0,4}[a-zA-Z]{1,10}\.?") {
        let read = Identifier::parse(&text);
        if text.to_ascii_lowercase().contains("xn--") {
            return Ok(());
        }
        let identifier = read.unwrap();
        prop_assert_eq!(Identifier::parse(&identifier.to_string()).unwrap(), identifier);
    }

    #[test]
    fn addresses_are_read_back(address: IpAddr) {
        let identifier = Identifier::Ip(address);
        prop_assert_eq!(Identifier::parse(&identifier.to_string()).unwrap(), identifier);
    }

    #[test]
    fn no_text_panics_and_what_passes_is_canonical(text in r"(\PC|[.*\-a1]|xn--){0,80}") {
        if let Ok(identifier) = Identifier::parse(&text) {
            prop_assert_eq!(Identifier::parse(&identifier.to_string()).unwrap(), identifier);
        }
        #[cfg(feature = "idn")]
        if let Ok(identifier) = Identifier::parse_unicode(&text) {
            prop_assert_eq!(Identifier::parse(&identifier.to_string()).unwrap(), identifier);
        }
    }
}
