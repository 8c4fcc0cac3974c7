//! What the owner asked for through certkit and what the certificate is: a difference makes it due.

use certkit_core::decision::{DueFacts, RenewalWish, Seed, due};
use certkit_core::state::{LineageState, RecordedWish};
use certkit_core::{Certificate, FailureClass, Finding, FindingCode};
use chrono::{DateTime, Utc};

use super::conf_settings::ProfileWish;
use super::subject::{Subject, asks_for};
use super::{Request, Selection};

impl Subject {
    /// What the command line asks for that the certificate is not. Empty when it asks for nothing new.
    pub(super) fn asks_for_another(&self, certificate: &Certificate, request: &Request) -> Changes {
        if !matches!(request.selection, Selection::Obtain { .. }) {
            return Changes::default();
        }
        let server = asks_for(request, "server");
        let profile = ["preferred_profile", "required_profile"].into_iter().any(|key| asks_for(request, key))
            && ProfileWish::of(self.conf.params()).name() != self.stored_profile.as_deref();
        Changes {
            identifiers: !certificate.identifiers().is_ok_and(|names| names.same_as(&self.identifiers)),
            key: !self.key_fits(certificate, request),
            // The command line is given a server only where it is another one than the conf's.
            authority: server && !self.is_new,
            profile: profile && !self.is_new,
        }
    }

    /// The wish to record before an attempt, so that it is not lost with it.
    pub(super) fn wish_to_record(&self, request: &Request, now: DateTime<Utc>) -> Option<RecordedWish> {
        let changes = self.asks_for_another(self.certificate.as_ref()?, request);
        if changes.is_empty() {
            return None;
        }
        let mut wish = RecordedWish::new(now);
        wish.identifiers = changes.identifiers.then(|| self.identifiers.clone());
        // What the conf has to say is saved with the certificate; until then the conf says what the certificate is.
        wish.key = changes.key;
        wish.profile = changes.profile;
        wish.authority = changes.authority;
        Some(wish)
    }

    /// Takes a recorded wish into account: other names are ordered from now on, and what differs makes it due. A wish
    /// that fails must not cost the names that work: once the certificate is due by its age it is renewed as it is.
    pub(super) fn take_wish(&mut self, state: &LineageState, now: DateTime<Utc>) {
        let Some(certificate) = self.certificate.clone() else { return };
        // What was left out before is tried again, whatever the reason for the renewal.
        if self.conf.params().allow_subset_of_names && !state.left_out.is_empty() {
            self.identifiers.extend(state.left_out.iter().cloned());
        }
        let Some(wish) = &state.wish else { return };
        let Ok(names) = certificate.identifiers() else { return };
        let other_names = wish.identifiers.as_ref().filter(|wished| !wished.same_as(&names));
        if other_names.is_none() && self.is_granted(wish, &certificate, state) {
            return;
        }
        if let Some(wished) = other_names {
            if self.is_due_all_the_same(&certificate, state, now) && has_failed(state, wish) {
                let lost: Vec<String> = names.missing_from(wished).map(ToString::to_string).collect();
                let what = format!("{} cannot be had with the names that were added: {}", self.name, lost.join(", "));
                self.postponed = Some(Finding::new(FindingCode::WishPostponed, self.name.as_str(), what));
                return;
            }
            self.identifiers = wished.clone();
        }
        self.changed_since = Some(wish.at);
    }

    /// Whether a recorded wish is what the certificate is: the run that had it was killed before it noted that.
    pub(super) fn has_had_its_wish(&self, state: &LineageState) -> bool {
        let (Some(wish), Some(certificate)) = (&state.wish, &self.certificate) else { return false };
        let has_names = |wished| certificate.identifiers().is_ok_and(|names| names.same_as(wished));
        wish.identifiers.as_ref().is_none_or(has_names) && self.is_granted(wish, certificate, state)
    }

    /// Whether the certificate is what is wished besides its names.
    fn is_granted(&self, wish: &RecordedWish, certificate: &Certificate, state: &LineageState) -> bool {
        let differs = (wish.key && !self.has_the_confs_key(certificate))
            || (wish.profile && ProfileWish::of(self.conf.params()).name() != state.issued_profile.as_deref())
            || (wish.authority && self.own_directory() != self.issuer_directory(state));
        !differs
    }

    /// Whether the certificate would be renewed without the wish: by its age, because it was revoked, or because the CA's
    /// window has begun.
    fn is_due_all_the_same(&self, certificate: &Certificate, state: &LineageState, now: DateTime<Utc>) -> bool {
        let wish = RenewalWish::new(self.conf.renew_before_expiry().map(str::to_owned), true);
        let mut facts = DueFacts::new(self.name.as_str(), certificate.validity(), &wish, Seed::of(&[], &self.name));
        let serial = certificate.serial().certbot_hex();
        facts.revoked_since =
            state.revocation.as_ref().filter(|known| known.serial == serial).and_then(|known| known.revoked_since);
        let id = certificate.ari_id();
        let information = state
            .renewal_information
            .as_ref()
            .filter(|known| id.as_ref().is_some_and(|id| id.as_str() == known.certificate));
        let window_began = information.and_then(|known| known.window).is_some_and(|window| window.start <= now);
        window_began || due(&facts, now).is_due(now)
    }
}

/// What differs between the certificate and what is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    identifiers: bool,
    key: bool,
    profile: bool,
    authority: bool,
}

impl Changes {
    pub(super) fn is_empty(self) -> bool {
        self == Self::default()
    }
}

/// Whether the wish was tried and its names were refused.
fn has_failed(state: &LineageState, wish: &RecordedWish) -> bool {
    state.last_failure.as_ref().is_some_and(|failure| {
        failure.at >= wish.at
            && matches!(failure.class, FailureClass::ChallengeFailed | FailureClass::IdentifierRefused)
    })
}
