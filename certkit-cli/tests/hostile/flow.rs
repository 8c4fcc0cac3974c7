//! Accounts, orders, authorizations and challenges in every odd state (RFC 8555 section 7).

use serde_json::{Value, json};
use testkit::RequestKind as Kind;
use testkit::{Asked, Deviation, Leaf, Reply, RequestedKey, now};

use crate::case::{Case, at, everywhere};
use crate::run::run_all;

#[test]
fn directories_and_accounts() {
    run_all(accounts());
}

#[test]
fn orders_in_odd_states() {
    run_all(orders());
}

#[test]
fn states_that_never_end() {
    run_all(never_ending());
}

#[test]
fn authorizations_and_challenges_in_odd_states() {
    run_all(authorizations());
}

pub(crate) fn cases() -> Vec<Case> {
    [accounts(), orders(), never_ending(), authorizations()].into_iter().flatten().collect()
}

fn refusing(kind: Kind, status: u16, problem: &'static str, detail: &'static str) -> Deviation {
    at(kind, move |_, reply| reply.refuse(status, problem, detail))
}

fn dated(date: &'static str) -> Deviation {
    everywhere(move |_, reply| {
        reply.without("Date");
        reply.header("Date", date);
    })
}

/// A deviation in what is said of an order that was finalized.
fn after_finalize(change: fn(&Asked<'_>, &mut Reply)) -> Deviation {
    everywhere(move |asked, reply| {
        let is_order = matches!(asked.kind, Kind::Order | Kind::Finalize);
        if is_order && String::from_utf8_lossy(&reply.body).contains("\"valid\"") {
            change(asked, reply);
        }
    })
}

/// A deviation in the one challenge of each authorization.
fn challenge(change: fn(&mut Value)) -> Deviation {
    at(Kind::Authorization, move |_, reply| reply.change(|body| change(&mut body["challenges"][0])))
}

fn accounts() -> Vec<Case> {
    let unknown = |asked: &Asked<'_>, reply: &mut Reply| {
        if matches!(asked.kind, Kind::NewOrder | Kind::NewAccount) {
            reply.refuse(400, "accountDoesNotExist", "no such account");
        }
    };
    vec![
        Case::new(
            "offers no revocation, key change or renewal information",
            "RFC 8555 7.1.1",
            at(Kind::Directory, |_, reply| {
                reply.remove("revokeCert");
                reply.remove("keyChange");
            }),
        ),
        Case::new("does not know the account, nor lets it in again", "RFC 8555 7.3.1", everywhere(unknown))
            .fails("account-unknown", "certkit register"),
        Case::new(
            "has deactivated the account",
            "RFC 8555 7.3.6",
            refusing(Kind::NewOrder, 401, "unauthorized", "Account is not valid, has status \"deactivated\""),
        )
        .fails("account-unknown", "deactivated"),
        Case::new(
            "wants new terms of service to be agreed to",
            "RFC 8555 7.3.3",
            at(Kind::NewOrder, |_, reply| {
                reply.refuse(403, "userActionRequired", "Terms of service have changed");
                reply.set("/instance", json!("https://ca.example/terms/\u{1b}[2J"));
            }),
        )
        .fails("terms-of-service", "Terms of service have changed"),
        Case::new("says that it is the year 9999", "RFC 9110 6.6.1", dated("Fri, 31 Dec 9999 23:59:59 GMT"))
            .fails("clock", "this machine's clock is"),
        Case::new("says that it is 1970", "RFC 9110 6.6.1", dated("Thu, 01 Jan 1970 00:00:00 GMT"))
            .fails("clock", "this machine's clock is"),
        Case::new("gives a date that is none", "RFC 9110 6.6.1", dated("yesterday (((")),
        Case::new(
            "wants an external account",
            "RFC 8555 7.3.4",
            refusing(Kind::NewOrder, 403, "externalAccountRequired", "bind it"),
        )
        .fails("external-account-required", "--eab-kid"),
    ]
}

fn orders() -> Vec<Case> {
    let status = |kind, status: &'static str| at(kind, move |_, reply| reply.set("/status", status.into()));
    let all_orders = |change: fn(&mut Reply)| {
        everywhere(move |asked: &Asked<'_>, reply: &mut Reply| {
            if matches!(asked.kind, Kind::NewOrder | Kind::Order | Kind::Finalize) {
                change(reply);
            }
        })
    };
    let bare_and_ready = |reply: &mut Reply| {
        reply.change(|body| {
            body["authorizations"] = json!([]);
            if body["status"] == "pending" {
                body["status"] = json!("ready");
            }
        });
    };
    let foreign = || json!(["evil", "a"].map(|name| json!({ "type": "dns", "value": format!("{name}.example.com") })));
    vec![
        Case::new("has an order that is ready without any authorization", "RFC 8555 7.1.3", all_orders(bare_and_ready)),
        Case::new(
            "has an order that is ready at once",
            "RFC 8555 7.1.6",
            all_orders(|reply| {
                reply.change(|body| {
                    if body["status"] == "pending" {
                        body["status"] = json!("ready");
                    }
                });
            }),
        ),
        Case::new(
            "has an order that is valid at once, with a certificate",
            "RFC 8555 7.1.6",
            everywhere(|asked, reply| match asked.kind {
                Kind::NewOrder => {
                    reply.set("/status", json!("valid"));
                    reply.set("/certificate", format!("{}/certZ/0", asked.base).into());
                }
                Kind::Certificate => {
                    let leaf = Leaf::new(
                        vec!["a.example.com".into(), "www.a.example.com".into()],
                        now(),
                        now() + chrono::TimeDelta::days(90),
                        RequestedKey::another(),
                    );
                    reply.status = 200;
                    reply.body = format!("{}{}", asked.pki.sign(&leaf), asked.pki.intermediate_pem()).into_bytes();
                }
                _ => {}
            }),
        )
        .fails("certificate-unfit", "does not belong to the private key"),
        Case::new("has an order that is invalid at once", "RFC 8555 7.1.6", status(Kind::NewOrder, "invalid"))
            .fails("order-lost", "gave no reason"),
        Case::new(
            "works on an order and wants to be asked again in a month",
            "RFC 8555 7.4",
            after_finalize(|_, reply| {
                reply.set("/status", json!("processing"));
                reply.header("Retry-After", "2678400");
            }),
        )
        .fails("server-unavailable", "the CA wants to be asked again later"),
        Case::new(
            "takes a request and leaves the order ready",
            "RFC 8555 7.4",
            after_finalize(|_, reply| reply.set("/status", json!("ready"))),
        )
        .fails("server-unavailable", "took the request but leaves the order as it was"),
        Case::new(
            "says of a ready order that it is not ready",
            "RFC 8555 7.4",
            everywhere(|asked, reply| match asked.kind {
                Kind::Finalize => reply.refuse(403, "orderNotReady", "not yet"),
                Kind::Order => reply.change(|body| {
                    if body["status"] == "valid" {
                        body["status"] = json!("ready");
                    }
                }),
                _ => {}
            }),
        )
        .fails("order-lost", "orderNotReady"),
        Case::new(
            "refuses the certificate request",
            "RFC 8555 7.4",
            refusing(Kind::Finalize, 400, "badCSR", "no \u{1b}[2J thanks"),
        )
        .fails("bad-csr", "badCSR: no \\u{1b}[2J thanks"),
        Case::new(
            "answers an order for other names",
            "RFC 8555 7.1.3",
            at(Kind::NewOrder, move |_, reply| reply.set("/identifiers", foreign())),
        )
        .fails("protocol", "an order for evil.example.com, a.example.com instead of a.example.com, www.a.example.com"),
        Case::new(
            "answers an order for no names",
            "RFC 8555 7.1.3",
            at(Kind::NewOrder, |_, reply| reply.set("/identifiers", json!([]))),
        )
        .fails("protocol", "more authorizations than identifiers"),
        Case::new(
            "changes the names of an order under way",
            "RFC 8555 7.1.3",
            at(Kind::Order, move |_, reply| reply.set("/identifiers", foreign())),
        )
        .fails("order-lost", "for other names than were ordered"),
        Case::new(
            "wants 10,000 authorizations for two names",
            "RFC 8555 7.1.3",
            at(Kind::NewOrder, |asked, reply| {
                let many: Vec<_> = (0..10_000).map(|number| format!("{}/authZ/0/{number}", asked.base)).collect();
                reply.set("/authorizations", many.into());
            }),
        )
        .fails("protocol", "more authorizations than identifiers"),
        Case::new("gives an order no URL", "RFC 8555 7.4", at(Kind::NewOrder, |_, reply| reply.without("Location")))
            .fails("protocol", "an order without its URL (Location)"),
    ]
}

fn authorizations() -> Vec<Case> {
    vec![
        Case::new(
            "has authorizations that are valid already",
            "RFC 8555 7.1.4",
            everywhere(|asked, reply| match asked.kind {
                Kind::Authorization => reply.set("/status", json!("valid")),
                Kind::Order => reply.change(|body| {
                    if body["status"] == "pending" {
                        body["status"] = json!("ready");
                    }
                }),
                _ => {}
            }),
        ),
        Case::new(
            "has challenges that are valid already",
            "RFC 8555 7.1.5",
            everywhere(|asked, reply| match asked.kind {
                Kind::Authorization => {
                    let status = if asked.nth > 2 { "valid" } else { "pending" };
                    reply.set("/status", status.into());
                    reply.change(|body| body["challenges"][0]["status"] = json!("valid"));
                }
                Kind::Order => reply.change(|body| {
                    if body["status"] == "pending" {
                        body["status"] = json!("ready");
                    }
                }),
                _ => {}
            }),
        ),
        Case::new(
            "offers no challenge that anybody can answer",
            "RFC 8555 7.5",
            challenge(|challenge| challenge["type"] = json!("tls-alpn-01")),
        )
        .fails(
            "challenge-setup",
            "no way to validate a.example.com: the CA offers tls-alpn-01, this authenticator can do http-01",
        ),
        Case::new(
            "finds every name invalid",
            "RFC 8555 7.1.6",
            at(Kind::Authorization, |_, reply| {
                reply.set("/status", json!("invalid"));
                let error = json!({ "type": "urn:ietf:params:acme:error:dns", "detail": "\u{1b}[2J no such name" });
                reply.change(|body| body["challenges"][0]["error"] = error);
            }),
        )
        .fails("challenge-failed", "a.example.com, www.a.example.com were not validated by the CA")
        .also_says("Detail: \\u{1b}[2J no such name"),
        Case::new(
            "wants another name to be validated",
            "RFC 8555 7.1.4",
            at(Kind::Authorization, |_, reply| {
                reply.set("/identifier", json!({ "type": "dns", "value": "evil.example.com" }));
            }),
        )
        .fails("protocol", "the CA wants evil.example.com validated, which was not ordered"),
        Case::new(
            "wants the wildcard of a name to be validated",
            "RFC 8555 7.1.4",
            at(Kind::Authorization, |_, reply| reply.set("/wildcard", json!(true))),
        )
        .fails("challenge-setup", "no way to validate *.a.example.com"),
        Case::new(
            "wants the wildcard of a name to be validated",
            "RFC 8555 7.1.4",
            at(Kind::Authorization, |_, reply| {
                reply.set("/wildcard", json!(true));
                reply.change(|body| body["challenges"][0]["type"] = json!("dns-01"));
            }),
        )
        .variant("by hooks")
        .with(|setup| setup.hooks_answer = Some("dns-01"))
        .fails("protocol", "the CA wants *.a.example.com validated, which was not ordered"),
    ]
}

/// The run gives up after ten minutes. Faster than this, a busy machine is too slow for the time-outs.
fn never_ending() -> Vec<Case> {
    vec![
        Case::new(
            "has an order that stays pending without any authorization",
            "RFC 8555 7.1.3",
            everywhere(|asked, reply| match asked.kind {
                Kind::NewOrder | Kind::Order => {
                    reply.set("/status", json!("pending"));
                    reply.set("/authorizations", json!([]));
                }
                Kind::Finalize => reply.refuse(403, "orderNotReady", "not yet"),
                _ => {}
            }),
        )
        .hurries_from(Kind::Order)
        .fails("protocol", "stays pending although every name is authorized"),
        Case::new(
            "works on an order for ever",
            "RFC 8555 7.4",
            after_finalize(|_, reply| reply.set("/status", json!("processing"))),
        )
        .hurries_from(Kind::Finalize)
        .fails("server-unavailable", "the CA is still working on the order"),
        Case::new(
            "takes back that an order is valid",
            "RFC 8555 7.1.6",
            everywhere(|asked, reply| {
                if asked.kind == Kind::Order && String::from_utf8_lossy(&reply.body).contains("\"valid\"") {
                    reply.set("/status", json!("processing"));
                }
            }),
        )
        .hurries_from(Kind::Finalize)
        .fails("server-unavailable", "the CA is still working on the order"),
        Case::new(
            "has a challenge that is invalid in an authorization that stays pending",
            "RFC 8555 7.1.6",
            challenge(|challenge| challenge["status"] = json!("invalid")),
        )
        .hurries_from(Kind::Authorization)
        .fails("server-unavailable", "did not validate a.example.com in time"),
        Case::new(
            "never decides on a challenge",
            "RFC 8555 7.5.1",
            at(Kind::Authorization, |_, reply| reply.set("/status", json!("pending"))),
        )
        .hurries_from(Kind::Challenge)
        .fails("server-unavailable", "did not validate a.example.com in time"),
    ]
}
