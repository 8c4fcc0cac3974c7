//! The list of stored certificates, in certbot's layout of lines and as JSON.

use std::borrow::Cow;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use certkit_core::store::Kind;
use certkit_core::{Finding, Hindrance, Validity, ValidityStatus, Version, escape};
use chrono::{DateTime, Utc};
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::{Value, json};

use super::{FRAME, json_time, words};
use crate::ui::shown;

/// Everything the list shows.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Whether `-d` or `--cert-name` limited it.
    pub(crate) filtered: bool,
    /// The lineages, in certbot's order.
    pub(crate) lineages: Vec<Listed>,
    /// Where the live links lie that certbot lays.
    pub(crate) live_dir: PathBuf,
    /// What is wrong or worth knowing besides.
    pub(crate) findings: Vec<Finding>,
}

/// One lineage. There may be thousands: nothing is kept that can be made of the rest when it is shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listed {
    /// Its name; outside text.
    pub(crate) name: Box<str>,
    /// Why it cannot be used.
    pub(crate) broken: Option<Box<Broken>>,
    /// What its certificate says, where it can be read.
    pub(crate) certificate: Option<CertificateFacts>,
    /// Whether its CA is one for tests.
    pub(crate) is_test: bool,
    /// When it is due.
    pub(crate) due: Option<Due>,
    /// The live version.
    pub(crate) version: Option<Version>,
    /// The live links as the conf names them, unless they lie where certbot lays them.
    pub(crate) elsewhere: Option<Box<LivePaths>>,
}

/// Live links in the order of [`Kind::ALL`]; none where the conf does not name one.
pub(crate) type LivePaths = [Option<PathBuf>; 4];

/// Why a lineage cannot be used.
#[derive(Clone, Debug)]
pub(crate) struct Broken {
    /// Its conf.
    pub(crate) conf_path: PathBuf,
    /// Unescaped.
    pub(crate) reason: String,
    /// What keeps it from being read, where that is all that is known.
    pub(crate) hindrance: Option<Hindrance>,
}

/// When a lineage is due.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due {
    /// Whether it is now.
    pub(crate) is_due: bool,
    /// When it is, where that can be said.
    pub(crate) at: Option<DateTime<Utc>>,
    /// The stable word of the rule.
    pub(crate) reason: &'static str,
}

/// What the list shows of a certificate.
#[derive(Clone, Debug)]
pub(crate) struct CertificateFacts {
    /// certbot's order; outside text.
    pub(crate) names: Box<[Box<str>]>,
    /// Lower-case hex without leading zeros.
    pub(crate) serial: Box<str>,
    /// `RSA`, `ECDSA`, `Ed25519` …
    pub(crate) key_type: Cow<'static, str>,
    /// Its validity.
    pub(crate) validity: Validity,
}

impl Listed {
    /// Why it cannot be used, unescaped.
    pub(crate) fn error(&self) -> Option<&str> {
        self.broken.as_ref().map(|broken| broken.reason.as_str())
    }

    /// The live link of a kind; none where the conf does not name one.
    fn live_path(&self, live_dir: &Path, kind: Kind) -> Option<PathBuf> {
        match &self.elsewhere {
            Some(paths) => paths[kind as usize].clone(),
            None => Some(live_dir.join(&*self.name).join(kind.live_file())),
        }
    }
}

/// The report in certbot's frame, written line by line: there may be thousands of certificates.
pub(crate) fn write_text(listing: &Listing, now: DateTime<Utc>, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\n{FRAME}")?;
    let usable = || listing.lineages.iter().filter(|one| one.broken.is_none());
    let broken = || listing.lineages.iter().filter_map(|one| Some((one, one.broken.as_deref()?)));
    if listing.lineages.is_empty() && !listing.filtered {
        writeln!(out, "No certificates found.")?;
    }
    // certbot prints this heading even when the filter leaves nothing.
    if usable().next().is_some() || listing.filtered {
        let matching = if listing.filtered { "matching " } else { "" };
        writeln!(out, "Found the following {matching}certs:")?;
        if usable().next().is_none() {
            writeln!(out)?;
        }
        for one in usable() {
            writeln!(out, "{}", lines_of(one, &listing.live_dir, now))?;
        }
    }
    if broken().next().is_some() {
        writeln!(out, "\nThe following renewal configurations were invalid:")?;
        for (_, broken) in broken() {
            writeln!(out, "  {}", shown(&broken.conf_path))?;
        }
        writeln!(out, "\nWhy they are invalid:")?;
        for (one, broken) in broken() {
            let (name, reason) = (escape(&one.name), broken.reason.as_str());
            writeln!(out, "  {name}: {}", escape(reason))?;
            writeln!(out, "    What to do: {}.", words::cure_for(words::broken_cure(reason, broken.hindrance), &name))?;
        }
    }
    if !listing.findings.is_empty() {
        writeln!(out, "\nProblems:")?;
        for finding in &listing.findings {
            writeln!(out, "  {}: {}.", finding.subject, finding.what())?;
            writeln!(out, "    What to do: {}.", words::cure_for(finding.cure(), &finding.subject))?;
        }
    }
    writeln!(out, "{FRAME}")
}

fn lines_of(listed: &Listed, live_dir: &Path, now: DateTime<Utc>) -> String {
    let path = |kind: Kind| listed.live_path(live_dir, kind).as_deref().map(shown).unwrap_or_default();
    let mut text = format!("  Certificate Name: {}\n", escape(&listed.name));
    if let Some(certificate) = &listed.certificate {
        text.push_str(&format!(
            "    Serial Number: {}\n    Key Type: {}\n    Identifiers: {}\n    Expiry Date: {} ({})\n",
            escape(&certificate.serial),
            escape(&certificate.key_type),
            escape(&certificate.names.join(" ")),
            certificate.validity.not_after.format("%Y-%m-%d %H:%M:%S+00:00"),
            validity_words(listed, certificate, now),
        ));
    }
    text.push_str(&format!(
        "    Certificate Path: {}\n    Private Key Path: {}",
        path(Kind::Fullchain),
        path(Kind::Privkey)
    ));
    text
}

/// certbot's words in brackets. certbot calls a certificate that is not valid yet VALID; we do not.
fn validity_words(listed: &Listed, certificate: &CertificateFacts, now: DateTime<Utc>) -> String {
    let mut reasons = Vec::new();
    if listed.is_test {
        reasons.push("TEST_CERT");
    }
    match certificate.validity.status(now) {
        ValidityStatus::Expired => reasons.push("EXPIRED"),
        ValidityStatus::NotYetValid => reasons.push("NOT_YET_VALID"),
        _ => {}
    }
    if !reasons.is_empty() {
        return format!("INVALID: {}", reasons.join(", "));
    }
    let left = certificate.validity.remaining(now);
    match left.num_days() {
        1 => "VALID: 1 day".to_owned(),
        days if days < 1 => format!("VALID: {} hour(s)", left.num_hours()),
        days => format!("VALID: {days} days"),
    }
}

/// The document of `certificates --json`. Each part of its lists is made when it is written.
pub(crate) struct Document<'l> {
    pub(crate) listing: &'l Listing,
    pub(crate) now: DateTime<Utc>,
}

impl Serialize for Document<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        /// A list whose members are made one by one.
        struct Each<'i, T, F>(&'i [T], F);
        impl<T, F: Fn(&T) -> Value> Serialize for Each<'_, T, F> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_seq(self.0.iter().map(&self.1))
            }
        }
        // In the order of the alphabet, as every other document.
        let mut document = serializer.serialize_map(Some(4))?;
        document.serialize_entry(
            "lineages",
            &Each(&self.listing.lineages, |one: &Listed| json_of(one, &self.listing.live_dir, self.now)),
        )?;
        document.serialize_entry("now", &json_time(self.now))?;
        document.serialize_entry("problems", &Each(&self.listing.findings, problem))?;
        document.serialize_entry("schema", &1)?;
        document.end()
    }
}

/// A finding in JSON.
pub(crate) fn problem(finding: &Finding) -> Value {
    json!({
        "path": finding.subject,
        "what": finding.what(),
        "cure": words::cure_for(finding.cure(), &finding.subject),
        "code": finding.code,
        "severity": finding.severity,
    })
}

fn json_of(listed: &Listed, live_dir: &Path, now: DateTime<Utc>) -> Value {
    let certificate = listed.certificate.as_ref();
    let flags = flags(listed, now);
    let validity = certificate.map(|certificate| certificate.validity);
    let renewal =
        listed.due.as_ref().map(|due| json!({ "due": due.is_due, "at": due.at.map(json_time), "reason": due.reason }));
    let paths: serde_json::Map<String, Value> = Kind::ALL
        .iter()
        .map(|kind| {
            let path = listed.live_path(live_dir, *kind);
            (kind.as_str().to_owned(), json!(path.as_deref().map(Path::to_string_lossy)))
        })
        .collect();
    json!({
        "name": listed.name,
        "identifiers": certificate.map(|certificate| certificate.names.clone()).unwrap_or_default(),
        "serial": certificate.map(|certificate| &certificate.serial),
        "key_type": certificate.map(|certificate| &certificate.key_type),
        "not_before": validity.map(|validity| json_time(validity.not_before)),
        "not_after": validity.map(|validity| json_time(validity.not_after)),
        "status": flags.first().copied().unwrap_or("valid"),
        "flags": flags,
        "days_left": validity.map(|validity| days_left(validity, now)),
        "renewal": renewal,
        "version": listed.version.map(|version| version.0),
        "paths": paths,
        "error": listed.error(),
    })
}

/// Whole days, rounded down: -1 as soon as it has expired.
fn days_left(validity: Validity, now: DateTime<Utc>) -> i64 {
    validity.remaining(now).num_seconds().div_euclid(86_400)
}

/// Every state that applies, the one that counts first.
fn flags(listed: &Listed, now: DateTime<Utc>) -> Vec<&'static str> {
    let mut flags = Vec::new();
    if listed.broken.is_some() {
        flags.push("broken");
    }
    match listed.certificate.as_ref().map(|certificate| certificate.validity.status(now)) {
        Some(ValidityStatus::Expired) => flags.push("expired"),
        Some(ValidityStatus::NotYetValid) => flags.push("not-yet-valid"),
        _ => {}
    }
    if listed.is_test {
        flags.push("test-cert");
    }
    if flags.is_empty() {
        flags.push("valid");
    }
    flags
}

#[cfg(test)]
mod tests {
    use certkit_core::FindingCode;
    use chrono::TimeDelta;

    use super::*;

    fn text(listing: &Listing, now: DateTime<Utc>) -> String {
        let mut text = Vec::new();
        write_text(listing, now, &mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    fn now() -> DateTime<Utc> {
        "2026-11-23T14:35:13Z".parse().unwrap()
    }

    fn listed(name: &str, left: TimeDelta) -> Listed {
        let not_after = now() + left;
        Listed {
            name: name.into(),
            certificate: Some(CertificateFacts {
                names: [name, &format!("*.{name}"), "192.0.2.7"].map(Box::from).into(),
                serial: "668a122d".into(),
                key_type: "ECDSA".into(),
                validity: Validity { not_before: not_after - TimeDelta::days(90), not_after },
            }),
            version: Some(Version(3)),
            ..Listed::default()
        }
    }

    fn broken(conf_path: &str, reason: &str) -> Option<Box<Broken>> {
        Some(Box::new(Broken { conf_path: conf_path.into(), reason: reason.to_owned(), hindrance: None }))
    }

    #[test]
    fn certbots_lines_to_the_letter() {
        let listing = Listing {
            lineages: vec![listed("hours.example", TimeDelta::seconds(4 * 3600 + 3599))],
            live_dir: "/etc/letsencrypt/live".into(),
            ..Listing::default()
        };
        assert_eq!(
            text(&listing, now()),
            "
- - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - -
Found the following certs:
  Certificate Name: hours.example
    Serial Number: 668a122d
    Key Type: ECDSA
    Identifiers: hours.example *.hours.example 192.0.2.7
    Expiry Date: 2026-11-23 19:35:12+00:00 (VALID: 4 hour(s))
    Certificate Path: /etc/letsencrypt/live/hours.example/fullchain.pem
    Private Key Path: /etc/letsencrypt/live/hours.example/privkey.pem
- - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - -
"
        );
    }

    #[test]
    fn the_forms_of_valid_and_invalid() {
        let words = |left: TimeDelta, is_test: bool| {
            let one = Listed { is_test, ..listed("a", left) };
            validity_words(&one, one.certificate.as_ref().unwrap(), now())
        };
        assert_eq!(words(TimeDelta::days(48), false), "VALID: 48 days");
        assert_eq!(words(TimeDelta::days(2) - TimeDelta::seconds(1), false), "VALID: 1 day");
        assert_eq!(words(TimeDelta::seconds(86_399), false), "VALID: 23 hour(s)");
        assert_eq!(words(TimeDelta::seconds(59), false), "VALID: 0 hour(s)");
        assert_eq!(words(TimeDelta::seconds(-1), false), "INVALID: EXPIRED");
        assert_eq!(words(TimeDelta::days(48), true), "INVALID: TEST_CERT");
        assert_eq!(words(TimeDelta::days(-3), true), "INVALID: TEST_CERT, EXPIRED");
        assert_eq!(words(TimeDelta::days(91), false), "INVALID: NOT_YET_VALID");
    }

    #[test]
    fn headings_without_certificates() {
        let empty = Listing::default();
        assert_eq!(text(&empty, now()), format!("\n{FRAME}\nNo certificates found.\n{FRAME}\n"));
        let filtered = Listing { filtered: true, ..Listing::default() };
        assert_eq!(text(&filtered, now()), format!("\n{FRAME}\nFound the following matching certs:\n\n{FRAME}\n"));
        let broken = Listed { name: "b".into(), broken: broken("/r/b.conf", "x"), ..Listed::default() };
        let filtered = Listing { filtered: true, lineages: vec![broken], ..Listing::default() };
        let start =
            format!("\n{FRAME}\nFound the following matching certs:\n\n\nThe following renewal configurations were");
        assert!(text(&filtered, now()).starts_with(&start), "{}", text(&filtered, now()));
    }

    #[test]
    fn broken_ones_and_problems_follow_and_are_escaped() {
        let broken = Listed {
            name: "b\u{1b}[2J".into(),
            broken: broken("/r/b\u{1b}[2J.conf", "no\nsuch link"),
            elsewhere: Some(Box::default()),
            ..Listed::default()
        };
        let finding = Finding::new(FindingCode::LiveWithoutConf, "live/a.example.com", "");
        let listing = Listing { lineages: vec![broken], findings: vec![finding], ..Listing::default() };
        let shown = text(&listing, now());
        assert!(shown.starts_with(&format!(
            "\n{FRAME}\n\nThe following renewal configurations were invalid:\n  /r/b\\u{{1b}}[2J.conf\n\nWhy they are invalid:\n  b\\u{{1b}}[2J: no\\u{{a}}such link\n"
        )), "{shown}");
        assert!(shown.contains("\nProblems:\n  live/a.example.com: a live directory without"), "{shown}");
        assert!(!shown.contains('\u{1b}'));
        let document = serde_json::to_value(Document { listing: &listing, now: now() }).unwrap();
        assert_eq!(document["lineages"][0]["status"], "broken");
        assert_eq!(document["lineages"][0]["not_after"], Value::Null);
        assert_eq!(document["problems"][0]["path"], "live/a.example.com");
    }

    #[test]
    fn json_status_is_the_first_that_applies() {
        let states = |left: TimeDelta, is_test: bool, error: Option<&str>| {
            let broken = error.and_then(|error| broken("/r/a.conf", error));
            let one = Listed { is_test, broken, ..listed("a", left) };
            let value = json_of(&one, Path::new("/live"), now());
            assert_eq!(value["paths"]["cert"], "/live/a/cert.pem");
            (value["status"].as_str().unwrap().to_owned(), value["flags"].to_string(), value["days_left"].as_i64())
        };
        let expect = |status: &str, flags: &str, days: i64| (status.to_owned(), flags.to_owned(), Some(days));
        assert_eq!(states(TimeDelta::days(5), false, None), expect("valid", r#"["valid"]"#, 5));
        assert_eq!(states(TimeDelta::days(5), true, None), expect("test-cert", r#"["test-cert"]"#, 5));
        assert_eq!(states(TimeDelta::seconds(-1), true, None), expect("expired", r#"["expired","test-cert"]"#, -1));
        assert_eq!(states(TimeDelta::days(91), false, None), expect("not-yet-valid", r#"["not-yet-valid"]"#, 91));
        assert_eq!(
            states(TimeDelta::days(-2), true, Some("x")),
            expect("broken", r#"["broken","expired","test-cert"]"#, -2)
        );
    }
}
