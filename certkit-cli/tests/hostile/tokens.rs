//! Tokens and whatever else of a CA's could become a path, a word of a shell or a line (RFC 8555 section 8.1).

use serde_json::{Value, json};
use testkit::RequestKind as Kind;

use crate::case::{Case, at};
use crate::run::run_all;

#[test]
fn tokens_reach_no_path_and_no_shell() {
    run_all(cases());
}

/// CVE-2026-40611 was a token that left the webroot, CVE-2023-38198 an answer that reached a shell.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let long = "a".repeat(300);
    for token in [
        "../../canary",
        "/etc/canary",
        "a/canary",
        "..",
        "%2e%2e%2fcanary",
        "canary\0",
        "canary\n",
        "canary\r\nX: y",
        "$(touch canary)",
        "`touch canary`",
        "';touch canary;'",
        "\u{1b}[2Jcanary",
        "é",
        &long,
    ] {
        for by_hooks in [false, true] {
            let sent = token.to_owned();
            let deviation = at(Kind::Authorization, move |_, reply| {
                reply.change(|body| body["challenges"][0]["token"] = sent.clone().into());
            });
            let case =
                Case::new("sends a token that could leave a folder, a line or a word", "RFC 8555 8.1", deviation);
            let case = case
                .variant(format!("{token:?} {by_hooks}"))
                .with(|setup| setup.hooks_answer = by_hooks.then_some("http-01"));
            cases.push(case.fails("protocol", "the CA sent an invalid token for a.example.com"));
        }
    }
    let quoted = at(Kind::Authorization, |_, reply| {
        reply.change(|body| {
            body["challenges"][0]["type"] = json!("dns-01");
            body["challenges"][0]["token"] = json!("a\" \"b");
        });
    });
    let case = Case::new("sends a token for a DNS record with quotes in it", "RFC 8555 8.4", quoted);
    let case = case.with(|setup| setup.hooks_answer = Some("dns-01"));
    cases.push(case.fails("protocol", "the CA sent an invalid token for a.example.com"));
    let empty = at(Kind::Authorization, |_, reply| reply.change(|body| body["challenges"][0]["token"] = json!("")));
    cases.push(
        Case::new("sends an empty token", "RFC 8555 8.1", empty)
            .fails("protocol", "the CA sent no token for a.example.com"),
    );
    for by_hooks in [false, true] {
        let same =
            at(Kind::Authorization, |_, reply| reply.change(|body| body["challenges"][0]["token"] = json!("the-same")));
        let case = Case::new("sends one token for two names", "RFC 8555 8.1", same).variant(format!("{by_hooks}"));
        cases.push(case.with(|setup| setup.hooks_answer = by_hooks.then_some("http-01")));
    }
    for (kind, class, says) in [
        (Kind::Directory, "protocol", "is refused"),
        (Kind::NewOrder, "protocol", "an order of the unknown status"),
        (Kind::Authorization, "protocol", "an authorization of the unknown status"),
        (Kind::Order, "protocol", "an order of the unknown status"),
        (Kind::Finalize, "protocol", "an order of the unknown status"),
    ] {
        for evil in ["`touch canary`", "$(touch canary)", "';touch canary;'", "\n\u{1b}]0;canary\u{7}"] {
            let deviation = at(kind, move |_, reply| reply.change(|body| replace_texts(body, evil)));
            let case =
                Case::new("sends a shell's or a terminal's commands for every text", "CVE-2023-38198", deviation);
            let case = case.variant(format!("{kind:?} {evil:?}")).with(|setup| setup.hooks_answer = Some("http-01"));
            cases.push(case.fails(class, says));
        }
    }
    cases
}

fn replace_texts(value: &mut Value, text: &str) {
    match value {
        Value::String(old) => text.clone_into(old),
        Value::Array(all) => all.iter_mut().for_each(|one| replace_texts(one, text)),
        Value::Object(all) => all.values_mut().for_each(|one| replace_texts(one, text)),
        _ => {}
    }
}
