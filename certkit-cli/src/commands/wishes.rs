//! What the owner asked of a certificate that it is not yet: it is remembered, and told.

use certkit_acme::renewal::{Report, Request, Selection};
use certkit_core::state::{Event, RecordedEvent, RecordedWish};
use certkit_core::store::{ConfEdits, LockedStore, RenewalConf};
use certkit_core::{LineageName, Step};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::foresight::Foreseen;
use super::{Context, foresight};
use crate::exit::CommandError;
use crate::render::{plan, time, words};

/// What `certonly` could not have is remembered; how it is had, and how it is given up. None when nothing is.
pub(super) fn remembered(
    context: &Context<'_>,
    report: &Report,
    name: &LineageName,
) -> Result<Option<RecordedWish>, CommandError> {
    // A version that is live fulfils it, and a dry run records nothing.
    if report.dry_run || report.entries.iter().all(|entry| entry.outcome.is_success()) {
        return Ok(None);
    }
    Ok(context.store()?.state(name)?.0.wish)
}

/// In words: what happens with it, and how to give it up. `edits` are those of the command line, which are saved only with
/// a certificate: what was not had of them is asked for by nobody afterwards.
pub(super) fn in_words(wish: &RecordedWish, edits: &ConfEdits, name: &LineageName) -> String {
    let typed = |keys: &[&str]| edits.params.iter().any(|(key, _)| keys.contains(&key.as_str()));
    let mut text = String::new();
    if let Some(names) = &wish.identifiers {
        text.push_str(&format!(
            "It is remembered that {name} shall be for {names}: `certkit renew` tries it again, and renews the certificate as it is when it is due before.\nTo give it up: certkit certonly --cert-name {name}, with the names that it has now or without any.\n"
        ));
    }
    let unsaved = [
        (
            wish.key && typed(&["key_type", "rsa_key_size", "elliptic_curve"]),
            "another key",
            "certkit reconfigure --cert-name NAME --key-type KIND",
        ),
        (
            wish.profile && typed(&["preferred_profile", "required_profile"]),
            "another profile",
            "certkit reconfigure --cert-name NAME --preferred-profile PROFILE",
        ),
        (wish.authority && typed(&["server"]), "another CA", "the same command again"),
    ];
    for (_, what, how) in unsaved.into_iter().filter(|(wished, _, _)| *wished) {
        let how = how.replace("NAME", name.as_str());
        text.push_str(&format!(
            "The configuration of {name} still says what it said: {what} is not tried again by itself. To have it: {how}.\n"
        ));
    }
    text
}

/// When it is had, in words: by the next run, or as soon as nothing holds it any more.
pub(super) fn when(one: &Foreseen, now: DateTime<Utc>) -> String {
    let why = "since the certificate differs from its configuration now";
    match &one.entry.step {
        Step::Attempt { .. } => format!("The next `certkit renew` renews it, {why}.\n"),
        Step::Held { until, by, .. } => format!(
            "`certkit renew` renews it as soon as nothing holds it any more, from {} on, {why}. It is held by {}.\n",
            time(*until),
            words::held_by(by)
        ),
        Step::NotDue { until: Some(at), .. } => {
            format!("`certkit renew` renews it as soon as it is due, at {}, {why}.\n", time(*at))
        }
        _ => format!("`certkit renew` renews it as soon as it may ({}), {why}.\n", plan::because(one, now)),
    }
}

/// For machines.
pub(crate) fn in_json(wish: Option<&RecordedWish>) -> Value {
    wish.map_or(Value::Null, |wish| {
        json!({
            "at": crate::render::json_time(wish.at),
            "identifiers": wish.identifiers.as_ref().map(|names| names.iter().map(ToString::to_string).collect::<Vec<_>>()),
            "key": wish.key,
            "profile": wish.profile,
            "authority": wish.authority,
        })
    })
}

/// After a conf was changed: what it says now and the certificate is not is wished from now on. What comes of it, when there
/// is such a thing.
pub(super) fn record(
    context: &Context<'_>,
    locked: &LockedStore,
    name: &LineageName,
    (before, after): (&RenewalConf, &RenewalConf),
) -> Result<Option<Foreseen>, CommandError> {
    let mut wish = RecordedWish::new(context.now);
    let (old, new) = (before.params(), after.params());
    wish.key = (&old.key_type, &old.elliptic_curve, old.rsa_key_size)
        != (&new.key_type, &new.elliptic_curve, new.rsa_key_size);
    wish.profile = (&old.preferred_profile, &old.required_profile) != (&new.preferred_profile, &new.required_profile);
    if wish.is_empty() {
        return Ok(None);
    }
    let store = locked.store();
    let (state, _) = store.state(name)?;
    let event = Event::WishRecorded { wish };
    let mut wishing = state.clone();
    wishing.apply(&event, context.now);
    locked.save_state(name, &wishing)?;
    let mut request = Request::renew();
    request.selection = Selection::One(name.clone());
    let (foreseen, _) = foresight::foresee(store, &request)?;
    let Some(wished) = foreseen.into_iter().find(|one| one.input.changed_since.is_some()) else {
        // The certificate is already what the conf says now: nothing is wished, and nothing may make it due later.
        locked.save_state(name, &state)?;
        return Ok(None);
    };
    locked.append_history(name, &[RecordedEvent::new(context.now, event)])?;
    Ok(Some(wished))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_not_promised_to_the_next_run() {
        use crate::render::sample::{certificate, challenge_failure, failed, foresight, now};

        let mut never = certificate("n.example", 20);
        never.wish.never = true;
        let failing = failed(certificate("f.example", 20), 3, &challenge_failure());
        let all = foresight(vec![certificate("d.example", 20), failing, never], Default::default());
        let texts: Vec<String> = all.certificates.iter().map(|one| when(one, now())).collect();
        let [due, held, never] = texts.as_slice() else { panic!("{texts:?}") };
        assert!(due.starts_with("The next `certkit renew` renews it, since"), "{due}");
        assert!(
            held.starts_with("`certkit renew` renews it as soon as nothing holds it any more, from 2027-01-15 "),
            "{held}"
        );
        assert!(held.contains("It is held by the failure of 2027-01-15 07:30:00 UTC: the CA could not"), "{held}");
        assert!(never.contains("as soon as it may (the conf says autorenew = False)"), "{never}");
    }

    #[test]
    fn names_are_tried_again_and_the_rest_has_to_be_asked_for() {
        let name = LineageName::new("a.example").unwrap();
        let mut wish = RecordedWish::new(DateTime::UNIX_EPOCH);
        wish.identifiers = Some(["a.example", "b.example"].iter().map(|name| name.parse().unwrap()).collect());
        let mut edits = ConfEdits::default();
        let text = in_words(&wish, &edits, &name);
        assert!(text.contains("shall be for a.example, b.example: `certkit renew` tries it again"), "{text}");
        assert!(text.contains("give it up: certkit certonly --cert-name a.example"), "{text}");
        assert!(!text.contains("key"), "{text}");
        wish.identifiers = None;
        wish.key = true;
        assert_eq!(in_words(&wish, &edits, &name), "", "the conf says it, so it is tried again");
        edits.param("key_type", Some("rsa"));
        let text = in_words(&wish, &edits, &name);
        assert!(text.contains("certkit reconfigure --cert-name a.example --key-type KIND"), "{text}");
        assert!(!text.contains("give it up"), "{text}");
        assert_eq!(in_json(Some(&wish))["key"], true);
        assert_eq!(in_json(None), Value::Null);
    }
}
