//! `plan`: when each certificate is renewed, and why then. It reads only.

use clap::Args as _;

use certkit_acme::renewal::Renewers;
use certkit_core::decision::parse_interval;
use certkit_core::escape;
use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};

use super::{Command, Context, Foresight, Operands, foresight};
use crate::exit::{CommandError, Exit};
use crate::render::forecast::{self, Foretold};
use crate::render::plan;
use crate::timer;
use crate::{runtime, ui};

/// Show when each certificate is renewed, and why
///
/// Shows every certificate in the order in which it is renewed: whether it is due and by which rule, the CA's window and the
/// instant that was chosen in it, what a certificate that is due waits for and until when, what is left of the CA's limits,
/// and how often certkit is run as far as it knows.
///
/// With --until or --assume-lifetime it shows the renewals to come instead: how many on which day if every attempt succeeds,
/// how near that comes to the CA's limits, what changes on the days on which certificates get shorter, and what here is too
/// slow for that: how often certkit or cron runs, days that are set in a renewal configuration, the time limit of hooks.
///
/// Nobody is asked and nothing is changed: it is what the next run would begin with.
#[derive(clap::Args)]
struct About {}

/// `plan`.
pub(crate) const COMMAND: Command = Command {
    name: "plan",
    describe: About::augment_args,
    usage: "",
    flags: &["cert_name", "until", "assume_lifetime"],
    writes: false,
    operands: Operands::None,
    run,
};

/// How far it is looked where nobody says so.
pub(super) const USUAL_SPAN: TimeDelta = TimeDelta::days(120);
/// Nobody knows what CAs do then.
const LONGEST_SPAN: TimeDelta = TimeDelta::days(5 * 366);
/// CAs give nothing shorter, and the public ones nothing longer (CA/Browser Forum, until 2026-03-15: 398 days).
const LIFETIMES: std::ops::RangeInclusive<TimeDelta> = TimeDelta::hours(1)..=TimeDelta::days(398);

fn run(context: &Context<'_>) -> Result<Exit, CommandError> {
    context.refuse_other_flags(&COMMAND)?;
    let name = context.invocation.cert_name()?;
    let view = &context.invocation.typed.view;
    let assumed = view.assume_lifetime.as_deref().map(lifetime).transpose()?;
    let until = view.until.as_deref().map(|text| instant(text, context.now)).transpose()?;
    let foresight = foresight::look(context, name.as_ref())?;
    let foretold = (until.is_some() || assumed.is_some()).then(|| {
        let until = until.unwrap_or(foresight.survey.now + USUAL_SPAN);
        foretell(context, &foresight, until, assumed)
    });
    match &foretold {
        Some(foretold) => {
            context.ui.result(&forecast::text(foretold, &ui::screen(&context.invocation.environment)));
            context.ui.result(&plan::what_is_wrong(&foresight));
        }
        None => context.ui.long_result(|out| plan::write_text(&foresight, out)),
    }
    if context.ui.voice().json {
        let mut document = plan::json(&foresight);
        if let Some(foretold) = &foretold {
            (document["forecast"], document["changes"]) = forecast::json(foretold);
        }
        context.ui.json(&document);
    }
    // The next run would begin with nothing.
    Ok(if foresight.settings_are_unusable() { Exit::Failed } else { Exit::Well })
}

/// What comes, and what changes.
pub(super) fn foretell(
    context: &Context<'_>,
    foresight: &Foresight,
    until: DateTime<Utc>,
    assumed: Option<TimeDelta>,
) -> Foretold {
    let mut renewers = Renewers::new();
    renewers.hook_time_limit = Some(foresight.settings.hook_time_limit.value);
    let machine = context.machine();
    match runtime::block_on(|_stop| machine.look()) {
        Ok(facts) => renewers.runs = timer::runs(&facts),
        Err(error) => context.ui.detail(&format!("What else renews here is not known: {}.", error.what)),
    }
    let forecast = foresight.survey.forecast(until, assumed);
    let changes = foresight.survey.lifetime_changes(&forecast, assumed, &renewers);
    Foretold { forecast, changes, assumed }
}

/// The end of a day, or an instant so far ahead.
fn instant(text: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, CommandError> {
    let day = text.parse::<NaiveDate>().ok().map(|day| day.and_time(NaiveTime::MIN).and_utc() + TimeDelta::days(1));
    let at = day.or_else(|| now.checked_add_signed(parse_interval(text).ok()?));
    match at {
        Some(at) if at <= now => {
            Err(CommandError::usage(format!("--until {} is past", escape(text)))
                .with_cure("name a day that is to come"))
        }
        Some(at) if at - now > LONGEST_SPAN => {
            Err(CommandError::usage(format!("--until {} is too far ahead", escape(text)))
                .with_cure("name a day within the next five years"))
        }
        Some(at) => Ok(at),
        None => Err(CommandError::usage(format!("`{}` is neither a day nor a length of time", escape(text)))
            .with_cure("write --until 2028-02-16, or --until 90d")),
    }
}

fn lifetime(text: &str) -> Result<TimeDelta, CommandError> {
    parse_interval(text).ok().filter(|lifetime| LIFETIMES.contains(lifetime)).ok_or_else(|| {
        CommandError::usage(format!("`{}` is not the lifetime of a certificate", escape(text)))
            .with_cure("write --assume-lifetime 45d; 1 hour to 398 days are possible")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_counts_to_its_end_and_a_length_of_time_from_now_on() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let until = |text: &str| instant(text, now).map(|at| at.to_rfc3339()).map_err(|error| error.what);
        assert_eq!(until("2027-02-10").unwrap(), "2027-02-11T00:00:00+00:00");
        assert_eq!(until("2027-01-15").unwrap(), "2027-01-16T00:00:00+00:00", "today has not ended");
        assert_eq!(until("90d").unwrap(), "2027-04-15T08:00:00+00:00");
        for (text, words) in [
            ("2027-01-14", "past"),
            ("9999-12-31", "too far ahead"),
            ("99999 years", "too far ahead"),
            ("999999999 years", "neither"),
            ("0", "past"),
            ("soon\u{1b}", "neither"),
        ] {
            let problem = until(text).unwrap_err();
            assert!(problem.contains(words) && !problem.contains('\u{1b}'), "{text}: {problem}");
        }
    }

    #[test]
    fn a_lifetime_is_one_that_certificates_have() {
        assert_eq!(lifetime("45d").unwrap(), TimeDelta::days(45));
        assert_eq!(lifetime("160 hours").unwrap(), TimeDelta::hours(160));
        for text in ["0d", "-3 days", "10 minutes", "2 years", "x"] {
            assert!(lifetime(text).is_err(), "{text}");
        }
    }
}
