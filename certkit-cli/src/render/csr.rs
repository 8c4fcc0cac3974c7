//! A certificate that belongs to no lineage, in certbot's words and as JSON.

use certkit_acme::renewal::CsrReport;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::{date, json_time, renewal};
use crate::commands::Saved;
use crate::ui::shown;

/// certbot's text, and what to do because nothing renews it.
pub(crate) fn received(saved: &Saved, not_after: DateTime<Utc>) -> String {
    format!(
        "\nSuccessfully received certificate.\nCertificate is saved at:            {}\nIntermediate CA chain is saved at:  {}\nFull certificate chain is saved at: {}\nThis certificate expires on {}.\n\nNEXT STEPS:\n- This certificate will not be renewed automatically, because its key is not in the store. Run the same command again before it expires, or leave --csr out and name it with -d: then `certkit renew` renews it.\n",
        shown(&saved.cert),
        shown(&saved.chain),
        shown(&saved.fullchain),
        date(not_after)
    )
}

/// The document of `certonly --csr --json`.
pub(crate) fn json(report: &CsrReport, saved: Option<&Saved>, now: DateTime<Utc>, dry_run: bool) -> Value {
    let path = |path: &std::path::Path| path.to_string_lossy().into_owned();
    let certificate = report.outcome.as_ref().ok().zip(saved).map(|(chain, saved)| {
        json!({
            "identifiers": chain.leaf.listed_names(),
            "serial": chain.leaf.serial().certbot_hex(),
            "not_after": json_time(chain.leaf.validity().not_after),
            "paths": { "cert": path(&saved.cert), "chain": path(&saved.chain), "fullchain": path(&saved.fullchain) },
            "renewed_automatically": false,
        })
    });
    json!({
        "schema": 1,
        "now": json_time(now),
        "dry_run": dry_run,
        "certificate": certificate,
        "failed": report.outcome.as_ref().err().map(|failure| renewal::failure_json(failure, "NAME")),
        "hooks": report.hooks.iter().map(renewal::hook).collect::<Vec<_>>(),
        "stopped": report.stopped.is_some(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_certbots_and_says_that_nothing_renews_it() {
        let saved = Saved { cert: "/a/0000_cert.pem".into(), chain: "/a/x\n".into(), fullchain: "/a/f".into() };
        let text = received(&saved, DateTime::from_timestamp(1_800_000_000, 0).unwrap());
        let certbots = "\nSuccessfully received certificate.\nCertificate is saved at:            /a/0000_cert.pem\nIntermediate CA chain is saved at:  /a/x\\u{a}\nFull certificate chain is saved at: /a/f\nThis certificate expires on 2027-01-15.\n";
        assert!(text.starts_with(certbots), "{text}");
        assert!(text.contains("will not be renewed automatically"), "{text}");
    }
}
