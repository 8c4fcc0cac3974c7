//! In place of mail, where it was left out of the build.

use std::path::Path;

use certkit_core::settings::{Secret, SmtpSetting};

use crate::notify::Notifier;
use crate::notify::channel::{Letter, Sent};

pub(in crate::notify) async fn by_smtp(
    _notifier: &Notifier,
    _smtp: &SmtpSetting,
    _login: Option<(String, Secret)>,
    letter: &Letter<'_>,
) -> Sent {
    left_out(letter)
}

pub(in crate::notify) async fn by_sendmail(_notifier: &Notifier, _program: &Path, letter: &Letter<'_>) -> Sent {
    left_out(letter)
}

fn left_out(letter: &Letter<'_>) -> Sent {
    let why = format!(
        "mail was left out of this build (feature `mail` of certkit-acme), so `{}` is not sent to {} by {} as {}",
        letter.message.subject,
        letter.to.len(),
        letter.channel,
        letter.from
    );
    Sent::failed_with(why, "use a build with mail, or another kind of channel")
}
