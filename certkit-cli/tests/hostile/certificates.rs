//! Certificates and chains that do not fit what was asked for (RFC 8555 section 7.4.2).

use chrono::{DateTime, TimeDelta};
use testkit::RequestKind as Kind;
use testkit::{Asked, Deviation, Leaf, Pki, RequestedKey, now};

use crate::case::{Case, at};
use crate::run::run_all;

#[test]
fn certificates_that_do_not_fit() {
    run_all(cases());
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = leaves();
    cases.extend(chains());
    cases.extend(alternates());
    cases
}

/// Another leaf in place of the good one.
fn issuing(change: impl Fn(&mut Leaf) + Send + Sync + 'static) -> Deviation {
    at(Kind::Certificate, move |asked, reply| {
        let mut leaf = asked.leaf.clone().unwrap_or_else(|| Leaf::new(vec![], now(), now(), RequestedKey::another()));
        change(&mut leaf);
        reply.body = format!("{}{}", asked.pki.sign(&leaf), asked.pki.intermediate_pem()).into_bytes();
    })
}

fn leaves() -> Vec<Case> {
    let unfit = |does: &str, source, says: &str, change: fn(&mut Leaf)| {
        Case::new(does, source, issuing(change)).fails("certificate-unfit", says)
    };
    let day = TimeDelta::days(1);
    vec![
        unfit("issues for another key", "RFC 8555 7.4", "does not belong to the private key", |leaf| {
            leaf.key = RequestedKey::another();
        }),
        unfit("issues for other names", "RFC 8555 7.4", "does not cover a.example.com, www.a.example.com", |leaf| {
            leaf.names = vec!["evil.example.com".into()];
        }),
        unfit("issues without one of the names", "RFC 8555 7.4", "does not cover www.a.example.com", |leaf| {
            drop(leaf.names.pop());
        }),
        unfit("issues for one more name", "RFC 8555 7.4", "evil.example.com, which nobody asked for", |leaf| {
            leaf.names.push("evil.example.com".into());
        }),
        unfit("issues for a name with control characters", "CVE-2021-44531", "which cannot be in a DNS name", |leaf| {
            leaf.names.push("x\r\n\u{1b}[2J.example.com, DNS:a.example.com".into());
        }),
        unfit("issues what has expired", "RFC 5280 4.1.2.5", "expired", |leaf| {
            leaf.not_before = now() - TimeDelta::days(90);
            leaf.not_after = now() - TimeDelta::days(1);
        }),
        unfit("issues what is not valid yet", "RFC 5280 4.1.2.5", "is the clock right?", |leaf| {
            leaf.not_before = now() + TimeDelta::days(2);
        }),
        unfit("issues for a second", "RFC 5280 4.1.2.5", "the CA's certificate was not installed", |leaf| {
            leaf.not_before = now();
            leaf.not_after = now() + TimeDelta::seconds(1);
        }),
        unfit("issues for less than what is in place", "RFC 5280 4.1.2.5", "earlier than the one in place", |leaf| {
            leaf.not_after = now() + TimeDelta::days(2);
        }),
        unfit("issues what ends before it begins", "RFC 5280 4.1.2.5", "before it begins", |leaf| {
            leaf.not_before = now() + TimeDelta::days(30);
            leaf.not_after = now() + TimeDelta::days(20);
        }),
        unfit("issues the certificate of a CA", "RFC 5280 4.2.1.9", "is that of a CA", |leaf| leaf.is_ca = true),
        Case::new(
            "issues until the year 9999",
            "RFC 5280 4.1.2.5",
            issuing(move |leaf| {
                leaf.not_after = DateTime::from_timestamp(253_402_300_799, 0).unwrap() - day;
            }),
        ),
    ]
}

fn chains() -> Vec<Case> {
    let chain = |does: &str, class, says: &str, change: fn(&Asked<'_>, String) -> String| {
        let deviation = at(Kind::Certificate, move |asked, reply| {
            let good = String::from_utf8(reply.body.clone()).unwrap();
            reply.body = change(asked, good).into_bytes();
        });
        Case::new(does, "RFC 8555 7.4.2", deviation).fails(class, says)
    };
    vec![
        chain("sends the issuer first", "certificate-unfit", "the certificate is that of a CA", |asked, good| {
            let issuer = asked.pki.intermediate_pem();
            format!("{issuer}{}", good.replace(&issuer, ""))
        }),
        chain(
            "sends a certificate more that issued nothing",
            "certificate-unfit",
            "was not issued by the one after it",
            |_, good| format!("{good}{}", Pki::new(now()).root_pem()),
        ),
        chain("sends the leaf twice", "certificate-unfit", "was not issued by the one after it", |asked, good| {
            let leaf = good.replace(&asked.pki.intermediate_pem(), "");
            format!("{leaf}{good}")
        }),
        chain("sends a chain of 1,000 certificates", "protocol", "a chain of 1001 certificates", |asked, good| {
            format!("{}{}", good.replace(&asked.pki.intermediate_pem(), ""), asked.pki.intermediate_pem().repeat(1_000))
        }),
        chain("sends the leaf alone", "certificate-unfit", "the chain has no issuer", |asked, good| {
            good.replace(&asked.pki.intermediate_pem(), "")
        }),
        chain("sends nothing for a chain", "protocol", "an empty answer", |_, _| String::new()),
        chain("sends JSON for a chain", "protocol", "JSON that is not a PEM certificate chain", |_, _| "{}".into()),
        chain("sends NUL in a chain", "protocol", "that are not a PEM certificate chain", |_, good| {
            good.replace("MII", "M\0II")
        }),
        chain("sends a chain that breaks off", "protocol", "PEM certificate chain", |_, good| {
            good[..good.len() / 3].into()
        }),
        chain("sends 1 MB of PEM beginnings", "protocol", "PEM certificate chain", |_, _| {
            "-----BEGIN CERTIFICATE-----\n".repeat(36_000)
        }),
        chain("sends a key for a chain", "protocol", "PEM certificate chain", |_, _| {
            testkit::KeyKind::EcdsaP256.generate().serialize_pem()
        }),
    ]
}

/// Links to other chains (RFC 8555 section 7.4.2): only for who prefers one, and never needed.
fn alternates() -> Vec<Case> {
    let linked = |does: &str, links: fn(&str) -> Vec<String>| {
        let deviation = at(Kind::Certificate, move |asked, reply| {
            for link in links(asked.base) {
                reply.header("Link", &link);
            }
        });
        let case = Case::new(does, "RFC 8555 7.4.2", deviation);
        case.with(|setup| setup.parameter = Some(("preferred_chain", "Nobody Root X9")))
    };
    vec![
        linked("links a chain to itself as an alternate", |base| vec![format!("<{base}/certZ/0>;rel=\"alternate\"")]),
        linked("links to alternates that are not there", |base| {
            ["9", "8", "7"].iter().map(|number| format!("<{base}/certZ/{number}>;rel=\"alternate\"")).collect()
        }),
        linked("links to 1,000 alternates", |base| {
            let all: Vec<_> = (0..1_000).map(|number| format!("</certZ/{number}>;rel=\"alternate\"")).collect();
            let _ = base;
            all.chunks(50).map(|some| some.join(", ")).collect()
        }),
        linked("links to an alternate over plain http or elsewhere on the machine", |base| {
            let plain = base.replace("https", "http");
            vec![
                format!("<{plain}/certZ/0>;rel=\"alternate\""),
                "<file:///etc/passwd>;rel=\"alternate\"".into(),
                "<<>,;\"\\".into(),
            ]
        }),
    ]
}
