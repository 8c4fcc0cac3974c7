//! Rules that count days, which lifetimes that get shorter break.

use std::path::Path;

use certkit_core::decision::parse_interval;
use certkit_core::{Finding, FindingCode, Severity};
use chrono::TimeDelta;

use super::{Check, Examined};

/// Let's Encrypt's default lifetime from 2028-02-16 on (letsencrypt.org/2025/12/02/from-90-to-45).
const COMING_LIFETIME: TimeDelta = TimeDelta::days(45);
/// A rule for fewer days than this is no rule about certificates that live for months.
const FEWEST_DAYS: i64 = 10;

/// Looks for rules that count days in a text that decides about certificates (a hook, a script, a line for cron):
/// `openssl x509 -checkend`, `find -mtime +60`, `lego --days 30`, comparisons with a number of days. `lifetime` is that of
/// the certificates that it is about, where that is known.
pub fn check_days_in(place: &Path, text: &str, lifetime: Option<TimeDelta>) -> Examined {
    let place = place.to_string_lossy();
    Examined::found(Check::FixedDays, &place, days_in(&place, text, lifetime).into_iter().collect())
}

pub(super) fn days_in(place: &str, text: &str, lifetime: Option<TimeDelta>) -> Option<Finding> {
    let (days, words) = text.lines().filter(|line| !line.trim_start().starts_with('#')).find_map(rule_in)?;
    let finding = Finding::new(FindingCode::HardCodedDays, place, format!("`{words}` ({days} days)"));
    // It never comes, or always holds, with what is in use now.
    let breaks_now = lifetime.is_some_and(|lifetime| TimeDelta::try_days(days).is_some_and(|rule| rule * 2 > lifetime));
    Some(if breaks_now { finding.with_severity(Severity::Warning) } else { finding })
}

/// The days of a rule in a line, and its words.
fn rule_in(line: &str) -> Option<(i64, String)> {
    const SECONDS_A_DAY: i64 = 86_400;
    let words: Vec<&str> =
        line.split(|c: char| c.is_whitespace() || "'\"[];,".contains(c)).filter(|word| !word.is_empty()).collect();
    let about_certificates = ["openssl", "cert", "expir", "enddate", "renew", "letsencrypt"];
    let lower = line.to_ascii_lowercase();
    let is_about = about_certificates.iter().any(|word| lower.contains(word));
    for (at, word) in words.iter().enumerate() {
        let next = words.get(at + 1).copied().unwrap_or_default();
        let number: Option<i64> = next.trim_start_matches(['+', '-']).parse().ok();
        let days = match *word {
            "-checkend" => number.or_else(|| product(next)).map(|seconds| seconds / SECONDS_A_DAY),
            "-mtime" | "-ctime" | "--days" | "--renew-days" if is_about => number,
            "-lt" | "-le" | "-gt" | "-ge" | "<" | "<=" | ">" | ">=" if lower.contains("day") => number,
            _ => match (word.parse::<i64>(), next) {
                (Ok(days), "days" | "day") if is_about => Some(days),
                _ => None,
            },
        };
        if let Some(days) = days.filter(|days| *days >= FEWEST_DAYS && *days < 1000) {
            return Some((days, format!("{word} {next}")));
        }
    }
    None
}

/// `$((30*86400))` without what is around it.
fn product(word: &str) -> Option<i64> {
    let factors: Option<Vec<i64>> =
        word.trim_matches(['$', '(', ')']).split('*').map(|factor| factor.trim().parse().ok()).collect();
    factors?.into_iter().try_fold(1_i64, i64::checked_mul)
}

/// A `renew_before_expiry` that was right for 90 days and is not for 45.
pub fn check_renew_before_expiry(name: &str, value: Option<&str>, lifetime: Option<TimeDelta>) -> Examined {
    let long = value.and_then(|text| parse_interval(text).ok().map(|length| (text, length))).filter(|(_, length)| {
        // What is as long as the present lifetime is told by the plan.
        *length * 2 > COMING_LIFETIME && lifetime.is_none_or(|lifetime| *length < lifetime)
    });
    let findings = long.map(|(text, length)| {
        let after = COMING_LIFETIME - length;
        let then = if after <= TimeDelta::zero() {
            "longer than 45 days, so that it is ignored then".to_owned()
        } else {
            format!("of 45 days, it would be renewed after {}", after.num_days())
        };
        Finding::new(FindingCode::RenewBeforeExpiryInDays, name, format!("renew_before_expiry = {text}: {then}"))
    });
    Examined::found(Check::FixedDays, name, findings.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_that_count_days_are_found_and_other_numbers_are_not() {
        let rule = |text: &str| days_in("x", text, None).map(|finding| finding.evidence);
        for (line, evidence) in [
            ("openssl x509 -checkend 2592000 -noout -in /etc/x.pem || certbot renew", "`-checkend 2592000` (30 days)"),
            ("if openssl x509 -in $F -noout -checkend $((30*86400)); then", "`-checkend $((30*86400))` (30 days)"),
            ("lego --email x renew --days 30", "`--days 30` (30 days)"),
            ("find /etc/letsencrypt -mtime +60 -exec x", "`-mtime +60` (60 days)"),
            ("if [ \"$days_left\" -lt 30 ]; then", "`-lt 30` (30 days)"),
            ("date -d 'now + 30 days' # expiry", "`30 days` (30 days)"),
        ] {
            assert_eq!(rule(line).as_deref(), Some(evidence), "{line}");
        }
        for line in [
            "# openssl x509 -checkend 2592000",
            "openssl x509 -checkend 3600 -in x",
            "find /var/log -mtime +30 -delete",
            "sleep 30",
            "keep backups for 30 days",
            "-checkend",
            "-checkend 99999999999999999999",
        ] {
            assert_eq!(rule(line), None, "{line}");
        }
    }

    #[test]
    fn a_rule_that_breaks_with_what_is_in_use_is_worse() {
        let severity =
            |days| days_in("x", "openssl x509 -checkend 2592000", Some(TimeDelta::days(days))).unwrap().severity;
        assert_eq!((severity(90), severity(45)), (Severity::Notice, Severity::Warning));
    }

    #[test]
    fn a_fixed_time_before_expiry_is_told_when_it_takes_most_of_45_days() {
        let told = |value: &str| match check_renew_before_expiry("a", Some(value), Some(TimeDelta::days(90))).outcome {
            super::super::Examination::Found(findings) => Some(findings[0].evidence.clone()),
            _ => None,
        };
        assert_eq!(told("30 days").unwrap(), "renew_before_expiry = 30 days: of 45 days, it would be renewed after 15");
        assert!(told("60 days").unwrap().contains("ignored"));
        assert_eq!((told("10 days"), told("nonsense"), told("90 days")), (None, None, None));
    }
}
