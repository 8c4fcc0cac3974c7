//! Mail: by a server (SMTP) or by this machine's own mail system (sendmail).

#[cfg(feature = "mail")]
mod compose;

#[cfg(feature = "mail")]
mod html;

#[cfg(feature = "mail")]
mod sendmail;
#[cfg(feature = "mail")]
pub(super) use sendmail::by_sendmail;

#[cfg(feature = "mail")]
mod smtp;
#[cfg(feature = "mail")]
pub(super) use smtp::by_smtp;

#[cfg(not(feature = "mail"))]
mod left_out;
#[cfg(not(feature = "mail"))]
pub(super) use left_out::{by_sendmail, by_smtp};
