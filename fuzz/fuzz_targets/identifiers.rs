//! Names of every kind: what is accepted reads back as itself and is safe in a path, a URL and a message.
#![no_main]

use certkit_core::decision::parse_interval;
use certkit_core::{AcmeUrl, CrlReach, CrlUrl, DnsName, Identifier, LineageName, escape};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for identifier in [Identifier::parse(text), Identifier::parse_unicode(text)] {
        match identifier {
            Ok(identifier) => {
                let shown = identifier.to_string();
                assert_eq!(Identifier::parse(&shown).as_ref(), Ok(&identifier));
                assert!(shown.bytes().all(|byte| byte.is_ascii_graphic() && !b"/\\'\"`$;|&<>()".contains(&byte)));
            }
            Err(error) => assert!(!error.to_string().contains(|c: char| c.is_control()), "{error}"),
        }
    }
    if let Ok(name) = DnsName::parse(text) {
        assert!(name.as_str().len() <= 255);
    }
    if let Ok(name) = LineageName::new(text) {
        assert!(!name.as_str().contains(['/', '\0']) && !name.as_str().starts_with('.'));
        assert_eq!(escape(name.as_str()), name.as_str());
    }
    if let Ok(url) = AcmeUrl::parse(text) {
        assert!(url.as_str().bytes().all(|byte| byte.is_ascii_graphic()));
        assert!(url.as_str().contains(url.authority()) && url.as_str().contains(url.path()));
        assert_eq!(AcmeUrl::parse(url.as_str()).as_ref(), Ok(&url));
    }
    let _ = (CrlUrl::parse(text, CrlReach::PublicOnly), parse_interval(text));
});
