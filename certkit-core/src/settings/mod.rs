//! The owner's settings: what certbot's conf cannot express.
//!
//! They stand in `certkit/settings.toml` (for all certificates) and `certkit/lineages/NAME.toml` (for one), which only the
//! owner writes. A key that `renewal/NAME.conf` or `cli.ini` can express is refused: everything is said in one place.
//! [`Store::settings`](crate::store::Store::settings) and
//! [`Store::lineage_settings`](crate::store::Store::lineage_settings) read them.
//!
//! `values` says what can be set and what applies without it, `resolve` where a value comes from, `keys` which key
//! belongs where, `document` reads TOML with all its problems, `deploy_tables` reads `[[deploy]]`, `notify_tables` reads
//! `email`, `[[notify]]` and `[heartbeat]`, `endpoint_tables`
//! reads `[[endpoint]]`, `edit` changes `email`, `telling` reads how the owner is told in a file with mistakes.

mod deploy;
pub use deploy::{DeploySetting, FileAccess, FileKinds};

mod deploy_tables;

mod document;

mod edit;
pub(crate) use edit::with_email;

mod endpoint_tables;

mod interval;
pub use interval::interval_text;

mod keys;

mod notify;
pub use notify::{
    ChannelSetting, HeartbeatSetting, MailAddress, MailAddressError, MailAddresses, NotifySetting, Preset, SmtpSetting,
    SmtpTls, WebhookService,
};

mod notify_tables;

mod problem;
pub use problem::{SettingsError, SettingsProblem, SettingsProblemCode};

mod resolve;
pub use resolve::{Origin, Sourced};

mod source;
pub use source::{Secret, Source};

mod telling;

mod values;
pub use values::{LineageSettings, Settings};
