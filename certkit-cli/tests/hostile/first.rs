//! A first certificate: registering at the CA, its terms of service, and an order for what is not there yet.

use std::collections::BTreeSet;

use serde_json::json;
use testkit::RequestKind as Kind;
use testkit::{Asked, Cut, Delivery, Reply};

use crate::case::{Case, Ends, First, at, once_at};
use crate::run::run_all;
use crate::{certificates, flow, refusals, tokens};

#[test]
fn accounts_that_are_made() {
    run_all(registering());
}

#[test]
fn terms_of_service_are_shown_safely_and_agreed_to_by_the_owner_alone() {
    run_all(terms());
}

#[test]
fn a_first_certificate_is_refused_where_a_renewal_is() {
    run_all(as_at_a_renewal());
}

pub(crate) fn cases() -> Vec<Case> {
    [registering(), terms()].into_iter().flatten().collect()
}

fn registering() -> Vec<Case> {
    const SOURCE: &str = "RFC 8555 7.3";
    let new = |does: &str, change: fn(&Asked<'_>, &mut Reply)| {
        Case::new(does, SOURCE, at(Kind::NewAccount, change)).first(First::Agreed)
    };
    let mut cases = vec![
        new("makes an account", |_, _| {}),
        new("knows the account already", |_, reply| reply.status = 200),
        new("tells of an account more than anybody asked", |_, reply| {
            reply.set("/contact", json!(vec!["mailto:\u{1b}[2J$(touch canary)"; 10_000]));
            reply.set("/orders", json!("http://169.254.169.254/`touch canary`"));
        }),
        new("refuses an account in a terminal's commands", |_, reply| {
            reply.refuse(403, "unauthorized", "\u{1b}[2J\r\n`touch canary`");
        })
        .registers_nothing("\\u{1b}[2J\\u{d}\\u{a}`touch canary`"),
        new("refuses an account in 900,000 characters", |_, reply| {
            reply.refuse(403, "unauthorized", &format!("\u{1b}{}", "x".repeat(900_000)));
        })
        .registers_nothing("\\u{1b}xxx"),
        new("refuses an account with a page", |_, reply| {
            reply.status = 403;
            reply.without("Content-Type");
            reply.header("Content-Type", "text/html");
            reply.body = b"<html>\x1b[2J</html>".to_vec();
        })
        .registers_nothing("HTTP 403: an HTML page"),
        new("gives an account no URL", |_, reply| reply.without("Location")).registers_nothing("Location"),
        // What makes an account is the URL that it gets, and what is ordered with it tells whether it can be used.
        new("says of a new account that it is closed, and issues", |_, reply| {
            reply.set("/status", json!("deactivated"));
        }),
        new("knows a new account in an unknown state, and issues", |_, reply| reply.set("/status", json!("\u{1b}[2J"))),
        new("wants an external account for a new one", |_, reply| {
            reply.refuse(403, "externalAccountRequired", "bind it");
        })
        .registers_nothing("--eab-kid"),
        Case::new(
            "wants an external account for a new one",
            SOURCE,
            at(Kind::Directory, |_, reply| reply.set("/meta", json!({ "externalAccountRequired": true }))),
        )
        .variant("by its directory")
        .first(First::Agreed)
        .registers_nothing("--eab-kid"),
        new("takes no new accounts for now", |_, reply| {
            reply.refuse(429, "rateLimited", "too many");
            reply.header("Retry-After", "1e30");
        })
        .registers_nothing("rateLimited: too many"),
        new("wants other terms to be agreed to than those it names", |_, reply| {
            reply.refuse(403, "userActionRequired", "read them");
            reply.set("/instance", json!("https://ca.example/\u{1b}[2J"));
        })
        .registers_nothing("read them"),
    ];
    for (url, says) in [
        ("http://127.0.0.1/x", "an https URL must not lead to plain http"),
        ("file:///etc/passwd", "the URL `file:///etc/passwd` is refused"),
        ("https://x.example/\u{202e}", "the URL `https://x.example/\\u{202e}` is refused"),
    ] {
        let deviation = at(Kind::NewAccount, move |_, reply| {
            reply.without("Location");
            reply.header("Location", url);
        });
        let case = Case::new("gives an account a URL that is none, or plain http", SOURCE, deviation);
        cases.push(case.variant(url).first(First::Agreed).registers_nothing(says));
    }
    for (status, target) in [(302, "dir"), (307, "https://127.0.0.1:1/x"), (307, "http://169.254.169.254/latest/")] {
        let deviation = at(Kind::NewAccount, move |_, reply| reply.redirect(status, target));
        let case = Case::new("redirects who registers", "RFC 8555 6.2", deviation).variant(target);
        cases.push(case.first(First::Agreed).registers_nothing("a redirect to"));
    }
    for (variant, change) in [
        ("nothing", (|reply| reply.body.clear()) as fn(&mut Reply)),
        ("no JSON", |reply| reply.body = b"hello \x1b[2J".to_vec()),
        ("a depth of 100,000", |reply| reply.body = b"[".repeat(100_000)),
    ] {
        let deviation = at(Kind::NewAccount, move |_, reply| change(reply));
        let case = Case::new("gives an account a URL, and says nothing readable of it", SOURCE, deviation);
        cases.push(case.variant(variant).first(First::Agreed));
    }
    for (variant, delivery) in [("100 MiB", 100 << 20), ("4 MiB", 4 << 20)] {
        let deviation = at(Kind::NewAccount, move |_, reply| reply.delivery = Delivery::Padded(delivery));
        let case = Case::new("says far too much of a new account", "CVE-2024-12401", deviation).variant(variant);
        cases.push(case.first(First::Agreed).registers_nothing("more than 1048576 bytes"));
    }
    let endless = at(Kind::NewAccount, |_, reply| reply.delivery = Delivery::Endlessly);
    let case = Case::new("says far too much of a new account", "CVE-2024-12401", endless).variant("without end");
    cases.push(case.first(First::Agreed).registers_nothing("more than 1048576 bytes"));
    let slowly = at(Kind::NewAccount, |_, reply| reply.delivery = Delivery::Slowly);
    let slowly = Case::new("tells of a new account slowly, for ever", "GHSA-cwjm-3f7h-9hwq", slowly);
    let slowly = slowly.hurries_from(Kind::NewAccount).first(First::Agreed);
    cases.push(slowly.registers_nothing("no complete answer within 45 s"));
    for cut in [Cut::Before, Cut::Head, Cut::Body] {
        let reset = move |reply: &mut Reply| reply.delivery = Delivery::Reset(cut);
        let always = at(Kind::NewAccount, move |_, reply| reset(reply));
        let case = Case::new("resets every connection that registers", SOURCE, always).variant(format!("{cut:?}"));
        cases.push(case.first(First::Agreed).registers_nothing("https://127.0.0.1"));
    }
    let nonces = |reply: &mut Reply| reply.refuse(400, "badNonce", "no");
    let once = once_at(Kind::NewAccount, move |_, reply| nonces(reply));
    cases.push(Case::new("refuses the nonce of a new account once", "RFC 8555 6.5", once).first(First::Agreed));
    let always = at(Kind::NewAccount, move |_, reply| nonces(reply));
    let case = Case::new("refuses every nonce of a new account", "RFC 8555 6.5", always).first(First::Agreed);
    cases.push(case.registers_nothing("badNonce"));
    cases
}

/// RFC 8555 section 7.3.3: the terms are agreed to by the owner, who has to see where they are.
fn terms() -> Vec<Case> {
    const SOURCE: &str = "RFC 8555 7.3.3";
    let evil = "https://ca.example/\u{1b}]0;x\u{7}\r\u{202e}$(touch canary)";
    let shown = "https://ca.example/\\u{1b}]0;x\\u{7}\\u{d}\\u{202e}$(touch canary)";
    let with = |terms: serde_json::Value| {
        at(Kind::Directory, move |_, reply| reply.set("/meta", json!({ "termsOfService": terms })))
    };
    let named = |does: &str, first| Case::new(does, SOURCE, with(json!(evil))).first(first);
    let refused = "the terms of service were not agreed to, so no account was registered";
    let long = format!("https://ca.example/{}", "x".repeat(900_000));
    vec![
        named("names terms of service in a terminal's commands, agreed to by flag", First::Agreed),
        named("names them to nobody who could agree", First::Unattended)
            .registers_nothing("You can set this with the --agree-tos flag")
            .also_says(shown),
        named("names them at a terminal, where somebody agrees", First::Typed("y\n")).also_says(shown),
        named("names them at a terminal, where nobody agrees", First::Typed("n\n"))
            .registers_nothing(refused)
            .also_says(shown),
        named("names them at a terminal, where nobody agrees", First::Typed("\u{4}"))
            .variant("the end of input")
            .registers_nothing(refused),
        Case::new("names terms of service of 900,000 characters", SOURCE, with(json!(long)))
            .first(First::Typed("n\n"))
            .registers_nothing(refused),
        Case::new("names terms of service that are no text", SOURCE, with(json!(["x", 1e300])))
            .first(First::Agreed)
            .registers_nothing("JSON that is not an ACME directory"),
        Case::new(
            "describes profiles and itself in a terminal's commands",
            SOURCE,
            at(Kind::Directory, move |_, reply| {
                let meta = json!({ "website": evil, "caaIdentities": [evil], "profiles": { evil: evil, "": evil } });
                reply.set("/meta", meta);
            }),
        )
        .first(First::Agreed),
    ]
}

/// What a renewal is refused for, and a first certificate is not: there is nothing that it could be worse than.
const OTHERWISE: [&str; 2] = ["issues for less than what is in place", "issues for a second"];

/// The first variant of each row about orders, refusals, tokens and certificates, for a certificate that is not there yet.
fn as_at_a_renewal() -> Vec<Case> {
    let all = [flow::cases(), refusals::cases(), tokens::cases(), certificates::cases()].into_iter().flatten();
    let mut seen = BTreeSet::new();
    let mut cases = Vec::new();
    for mut case in all.filter(|case| case.hurries.is_none() && case.setup.parameter.is_none()) {
        if seen.insert(case.does.clone()) {
            if OTHERWISE.contains(&case.does.as_str()) {
                (case.ends, case.says) = (Ends::Renewed, Vec::new());
            }
            cases.push(case.first(First::WithAccount));
        }
    }
    cases
}
