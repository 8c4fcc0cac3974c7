//! Nonces (RFC 8555 section 6.5).

use testkit::RequestKind as Kind;

use crate::case::{Case, at, everywhere, once_at};
use crate::run::run_all;

#[test]
fn nonces_that_do_not_work() {
    run_all(cases());
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for kind in [Kind::NewOrder, Kind::Finalize, Kind::Certificate] {
        let always = at(kind, |_, reply| reply.refuse(400, "badNonce", "JWS has an invalid anti-replay nonce"));
        let case = Case::new("refuses every nonce of one request", "RFC 8555 6.5", always).variant(format!("{kind:?}"));
        cases.push(case.fails("server-unavailable", "badNonce"));
    }
    for kind in [Kind::NewOrder, Kind::Authorization, Kind::Challenge, Kind::Order, Kind::Finalize, Kind::Certificate] {
        let once = once_at(kind, |_, reply| reply.refuse(400, "badNonce", "JWS has an invalid anti-replay nonce"));
        cases.push(Case::new("refuses a nonce once", "RFC 8555 6.5", once).variant(format!("{kind:?}")));
    }
    let none = everywhere(|_, reply| reply.without("Replay-Nonce"));
    cases.push(
        Case::new("gives no nonce", "RFC 8555 7.2", none)
            .fails("protocol", "no nonce (Replay-Nonce is missing or malformed)"),
    );
    for nonce in ["a b", "a+b/c=", "\"x\"", "$(touch canary)", "é"] {
        let bad = everywhere(move |_, reply| {
            reply.without("Replay-Nonce");
            reply.header("Replay-Nonce", nonce);
        });
        let case = Case::new("gives nonces that are none", "RFC 8555 6.5.1", bad).variant(nonce);
        cases.push(case.fails("protocol", "no nonce (Replay-Nonce is missing or malformed)"));
    }
    let same = everywhere(|_, reply| {
        reply.without("Replay-Nonce");
        reply.header("Replay-Nonce", "always-the-same");
    });
    cases.push(Case::new("gives the same nonce always", "RFC 8555 6.5", same));
    let only_later = at(Kind::NewOrder, |_, reply| reply.without("Replay-Nonce"));
    cases.push(Case::new("leaves the nonce out of an answer", "RFC 8555 6.5", only_later));
    cases
}
