//! Renewal information (RFC 9773): advice, which no renewal needs.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use testkit::RequestKind as Kind;
use testkit::{Asked, Delivery, Deviation, Reply, now};

use crate::case::{Case, everywhere};
use crate::run::run_all;

#[test]
fn advice_that_is_none() {
    run_all(cases());
}

pub(crate) fn cases() -> Vec<Case> {
    let window =
        |start: DateTime<Utc>, end: DateTime<Utc>| json!({ "start": start.to_rfc3339(), "end": end.to_rfc3339() });
    let day = TimeDelta::days(1);
    let ends_first = offering(move |_, reply| reply.set("/suggestedWindow", window(now() + day * 2, now() + day)));
    let past = offering(move |_, reply| reply.set("/suggestedWindow", window(now() - day * 2, now() - day)));
    let century = offering(move |_, reply| reply.set("/suggestedWindow", window(now() + day, now() + day * 36_500)));
    let far =
        offering(move |_, reply| reply.set("/suggestedWindow", window(now() + day * 36_500, now() + day * 36_501)));
    let explained = offering(move |_, reply| {
        reply.set("/suggestedWindow", window(now() - day * 2, now() - day));
        reply.set("/explanationURL", json!("https://ca.example/\u{1b}[2J\u{202e}`touch canary`"));
    });
    let no_pause = offering(|_, reply| reply.without("Retry-After"));
    let sixty = |case: Case| case.with(|setup| setup.days_left = 60);
    let mut cases = vec![
        Case::new("advises a window that ends before it begins", "RFC 9773 4.2", ends_first.clone()),
        sixty(Case::new(
            "advises a window that ends before it begins, for a certificate that is not due",
            "RFC 9773 4.2",
            ends_first,
        ))
        .stays_as_it_is(),
        sixty(Case::new("advises a window that is past", "RFC 9773 4.2", past)),
        Case::new("advises a window of 100 years", "RFC 9773 4.2", century.clone()),
        Case::new("advises a window after the certificate's end", "RFC 9773 4.2", far.clone()).variant("due"),
        sixty(Case::new("advises a window of 100 years, for a certificate that is not due", "RFC 9773 4.2", century))
            .stays_as_it_is(),
        sixty(Case::new("explains its advice with a terminal's commands", "RFC 9773 4.2", explained)),
        Case::new("advises without saying when to ask again", "RFC 9773 4.3", no_pause.clone()),
        sixty(Case::new(
            "advises without saying when to ask again, for a certificate that is not due",
            "RFC 9773 4.3",
            no_pause,
        ))
        .stays_as_it_is(),
        Case::new(
            "sends advice without end",
            "RFC 9773 4.3.3",
            offering(|_, reply| reply.delivery = Delivery::Endlessly),
        ),
        Case::new(
            "sends advice slowly, for ever",
            "RFC 9773 4.3.3",
            offering(|_, reply| reply.delivery = Delivery::Slowly),
        )
        .hurries_from(Kind::RenewalInfo),
        Case::new(
            "sends a page for advice",
            "RFC 9773 4.3.3",
            offering(|_, reply| reply.body = b"<html>\x1b[2J".to_vec()),
        ),
        Case::new(
            "redirects who asks for advice",
            "RFC 9773 4.3.3",
            offering(|_, reply| reply.redirect(302, "http://169.254.169.254/")),
        ),
    ];
    for pause in ["0", "-1", "1e30", "Fri, 31 Dec 9999 23:59:59 GMT", "soon"] {
        let deviation = offering(move |_, reply| {
            reply.without("Retry-After");
            reply.header("Retry-After", pause);
        });
        let case = Case::new("says oddly when it wants to be asked for advice again", "RFC 9773 4.3.2", deviation);
        cases.push(case.variant(pause));
    }
    cases
}

/// A CA that gives advice, with something wrong in it.
fn offering(change: impl Fn(&Asked<'_>, &mut Reply) + Send + Sync + 'static) -> Deviation {
    everywhere(move |asked, reply| match asked.kind {
        Kind::Directory => reply.set("/renewalInfo", format!("{}/renewal-info", asked.base).into()),
        Kind::RenewalInfo => change(asked, reply),
        _ => {}
    })
}
