//! Documents that are none, that lack something, or hold something else.

use serde_json::json;
use testkit::RequestKind as Kind;
use testkit::{Asked, Reply};

use crate::case::{Case, at};
use crate::run::run_all;

#[test]
fn documents_that_are_not_what_they_should_be() {
    run_all(cases());
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = no_json();
    cases.extend(members());
    cases.extend(values());
    cases
}

fn no_json() -> Vec<Case> {
    let mut cases = Vec::new();
    let utf16 = |text: &[u8]| text.iter().flat_map(|byte| [*byte, 0]).collect::<Vec<u8>>();
    for kind in [Kind::Directory, Kind::NewOrder, Kind::Authorization] {
        let variant = format!("{kind:?}");
        let body = |does: &str, source, says: &str, change: fn(&[u8]) -> Vec<u8>| {
            let deviation = at(kind, move |_, reply| reply.body = change(&reply.body));
            Case::new(does, source, deviation).variant(&variant).fails("protocol", says)
        };
        cases.extend([
            body("sends what is not JSON", "RFC 8555 6", "bytes of type application/json that are not JSON", |_| {
                b"hello \x1b[2J".to_vec()
            }),
            body("sends JSON that breaks off", "RFC 8259 2", "JSON that breaks off", |body| {
                body[..body.len() / 2].to_vec()
            }),
            body("sends JSON with a depth of 100,000", "RFC 8259 9", "JSON that breaks off", |_| {
                "[".repeat(100_000).into_bytes()
            }),
            body("sends JSON with a depth of 100,000", "RFC 8259 9", "JSON", |_| {
                format!("{{\"status\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000)).into_bytes()
            }),
            body("sends JSON with a byte order mark", "RFC 8259 8.1", "that are not JSON", |body| {
                [b"\xef\xbb\xbf", body].concat()
            }),
        ]);
        let deep = at(kind, |_, reply| {
            let deep = format!(",\"x\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
            reply.body = [&reply.body[..reply.body.len() - 1], deep.as_bytes()].concat();
        });
        cases.push(
            Case::new("hides a depth of 100,000 in a member that nobody knows", "RFC 8259 9", deep).variant(&variant),
        );
        let deviation = at(kind, move |_, reply| reply.body = utf16(&reply.body));
        let case = Case::new("sends JSON in UTF-16", "RFC 8259 8.1", deviation).variant(&variant);
        cases.push(case.fails("protocol", "that are not JSON"));
        let twice = at(kind, |_, reply| {
            let member = if reply.body.starts_with(b"{\"authorizations\"") { "authorizations" } else { "status" };
            let text = String::from_utf8(reply.body.clone()).unwrap();
            let member = if text.contains("newOrder") { "newOrder" } else { member };
            let value = if member == "authorizations" { "[]" } else { "\"https://x.example/\"" };
            reply.body = format!("{{\"{member}\":{value},{}", &text[1..]).into_bytes();
        });
        let case = Case::new("sends a member twice", "RFC 8259 4", twice).variant(&variant);
        cases.push(case.fails("protocol", "duplicate field"));
    }
    cases
}

/// Each member that is needed, in turn: missing, and null.
fn members() -> Vec<Case> {
    let mut cases = Vec::new();
    for (kind, member) in [
        (Kind::Directory, "newNonce"),
        (Kind::Directory, "newAccount"),
        (Kind::Directory, "newOrder"),
        (Kind::NewOrder, "status"),
        (Kind::NewOrder, "identifiers"),
        (Kind::NewOrder, "finalize"),
        (Kind::Authorization, "identifier"),
        (Kind::Authorization, "status"),
    ] {
        let missing = at(kind, move |_, reply| reply.remove(member));
        let null = at(kind, move |_, reply| reply.set(&format!("/{member}"), json!(null)));
        for (does, deviation, says) in [
            ("leaves out a member that is needed", missing, "missing field"),
            ("sends null for a member that is needed", null, "invalid type: null"),
        ] {
            let case = Case::new(does, "RFC 8555 7.1", deviation).variant(format!("{kind:?} {member}"));
            cases.push(case.fails("protocol", says));
        }
    }
    for (does, pointer) in [
        ("offers a challenge without its type or URL", "type"),
        ("offers a challenge without its type or URL", "url"),
        ("offers no challenges", "challenges"),
    ] {
        let deviation = at(Kind::Authorization, move |_, reply| match pointer {
            "challenges" => reply.remove("challenges"),
            member => reply.change(|body| drop(body["challenges"][0].as_object_mut().unwrap().remove(member))),
        });
        let case = Case::new(does, "RFC 8555 7.1.4", deviation).variant(pointer);
        cases.push(case.fails("challenge-setup", "the CA offers nothing, this authenticator can do http-01"));
    }
    for (variant, value) in [("missing", None), ("null", Some(json!(null))), ("number", Some(json!(7)))] {
        let deviation = at(Kind::Authorization, move |_, reply| {
            reply.change(|body| {
                let challenge = body["challenges"][0].as_object_mut().unwrap();
                match value.clone() {
                    None => drop(challenge.remove("token")),
                    Some(value) => drop(challenge.insert("token".to_owned(), value)),
                }
            });
        });
        let case = Case::new("offers a challenge without a token", "RFC 8555 8.1", deviation).variant(variant);
        let says = if variant == "number" {
            "JSON that is not an authorization"
        } else {
            "the CA sent no token for a.example.com"
        };
        cases.push(case.fails("protocol", says));
    }
    let deviation = at(Kind::Order, |_, reply| {
        reply.change(|body| drop(body.as_object_mut().unwrap().remove("certificate")));
    });
    let case = Case::new("leaves the URL of the certificate out of a valid order", "RFC 8555 7.1.3", deviation);
    cases.push(case.fails("protocol", "a valid order without the URL of its certificate"));
    cases
}

/// Members that are there and hold something else.
fn values() -> Vec<Case> {
    let text = |kind, from: &'static str, to: &'static str| {
        at(kind, move |_: &Asked<'_>, reply: &mut Reply| {
            let body = String::from_utf8(reply.body.clone()).unwrap();
            reply.body = body.replacen(from, to, 1).into_bytes();
        })
    };
    let numbers = "sends a number that is none, or where a text is due";
    vec![
        Case::new(numbers, "RFC 8259 6", text(Kind::NewOrder, "\"pending\"", "1e400"))
            .variant("1e400")
            .fails("protocol", "JSON that is not an order"),
        Case::new(numbers, "RFC 8259 6", text(Kind::NewOrder, "\"pending\"", "-1"))
            .variant("-1")
            .fails("protocol", "invalid type: integer"),
        Case::new(
            numbers,
            "RFC 8259 6",
            text(Kind::Authorization, "\"identifier\"", "\"wildcard\":1e400,\"identifier\""),
        )
        .variant("wildcard")
        .fails("protocol", "JSON"),
        Case::new(
            "sends numbers and lists for members that are not needed",
            "RFC 8555 7.1.3",
            at(Kind::NewOrder, |_, reply| {
                reply.set("/expires", json!("-1"));
                reply.set("/notBefore", json!(-1));
                reply.set("/error", json!([1e300]));
            }),
        ),
        Case::new(
            "knows an order in an unknown state",
            "RFC 8555 7.1.6",
            at(Kind::NewOrder, |_, reply| reply.set("/status", json!("surprising\u{1b}[2J"))),
        )
        .fails("protocol", "an order of the unknown status `surprising\\u{1b}[2J`"),
        Case::new(
            "knows an authorization in an unknown state",
            "RFC 8555 7.1.6",
            at(Kind::Authorization, |_, reply| reply.set("/status", json!("\r\n"))),
        )
        .fails("protocol", "an authorization of the unknown status `\\u{d}\\u{a}`"),
        Case::new(
            "knows a challenge in an unknown state",
            "RFC 8555 7.1.6",
            at(Kind::Authorization, |_, reply| {
                reply.change(|body| body["challenges"][0]["status"] = json!("surprising"));
            }),
        ),
        Case::new(
            "sends members and challenges that nobody knows",
            "RFC 8555 7.1",
            crate::case::everywhere(|asked, reply| {
                if asked.kind == Kind::Certificate {
                    return;
                }
                reply.set("/$(touch canary)", json!({ "`touch canary`": [1, null, "';touch canary;'"] }));
                if asked.kind == Kind::Authorization {
                    reply.change(|body| {
                        body["challenges"]
                            .as_array_mut()
                            .unwrap()
                            .insert(0, json!({ "type": "$(touch canary)-01", "url": asked.base }));
                    });
                }
            }),
        ),
    ]
}
