//! By a mail server.

use std::net::SocketAddr;
use std::time::Duration;

use certkit_core::settings::{Secret, SmtpSetting, SmtpTls};
use lettre::Address;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::Severity;

use super::compose::compose;
use crate::notify::Notifier;
use crate::notify::channel::{EXCHANGE_LIMIT, Letter, Sent};
use crate::transport::{connect, trust};

/// For the connection; the rest has what is left of the limit.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Sends a mail. A recipient whom the server refuses keeps no other from getting it.
pub(in crate::notify) async fn by_smtp(
    notifier: &Notifier,
    smtp: &SmtpSetting,
    login: Option<(String, Secret)>,
    letter: &Letter<'_>,
) -> Sent {
    let exchange = exchange(notifier, smtp, login, letter);
    let server = format!("{}:{}", smtp.host, smtp.port);
    match tokio::time::timeout(EXCHANGE_LIMIT, exchange).await {
        Ok(Ok(sent)) => sent,
        Ok(Err(Wrong { why, cure: Some(cure) })) => Sent::failed_with(format!("{server}: {why}"), cure),
        Ok(Err(Wrong { why, cure: None })) => Sent::failed(format!("{server}: {why}")),
        Err(_) => Sent::failed(format!("{server}: not done within {} s", EXCHANGE_LIMIT.as_secs())),
    }
}

struct Wrong {
    why: String,
    cure: Option<&'static str>,
}

impl From<String> for Wrong {
    fn from(why: String) -> Self {
        Self { why, cure: None }
    }
}

impl From<Error> for Wrong {
    fn from(error: Error) -> Self {
        described(&error).into()
    }
}

const LOGIN_CURE: &str =
    "correct `username` and the password in certkit/settings.toml, and try them: certkit notify --test";
const STARTTLS_CURE: &str = "if the server speaks TLS from the first byte, write `tls = \"tls\"`; otherwise something on the way takes STARTTLS out, and no password is sent";
const RECIPIENT_CURE: &str = "correct the addresses in certkit/settings.toml (`email`, or `to` of the channel), and try them: certkit notify --test";

async fn exchange(
    notifier: &Notifier,
    smtp: &SmtpSetting,
    login: Option<(String, Secret)>,
    letter: &Letter<'_>,
) -> Result<Sent, Wrong> {
    let mail = compose(letter)?;
    let mut server = connected(notifier, smtp).await?;
    let result = transact(&mut server, smtp, login, letter, &mail).await;
    if server.has_broken() {
        return result;
    }
    // What was accepted is accepted, whatever comes of a farewell.
    let _ = tokio::time::timeout(Duration::from_secs(2), server.quit()).await;
    result
}

async fn connected(notifier: &Notifier, smtp: &SmtpSetting) -> Result<AsyncSmtpConnection, Wrong> {
    let name = ClientId::Domain(notifier.mail_domain());
    let (host, port) = (smtp.host.as_str(), smtp.port);
    match smtp.tls {
        SmtpTls::Tls => {
            let tls = tls(notifier, host).await?;
            let timeout = Some(CONNECT_LIMIT);
            Ok(AsyncSmtpConnection::connect_tokio1((host, port), timeout, &name, Some(tls), None).await?)
        }
        SmtpTls::None | SmtpTls::StartTls => {
            // A name may lead elsewhere than it looks.
            let may = |address: &SocketAddr| smtp.tls != SmtpTls::None || address.ip().is_loopback();
            let stream = connect(host, port, CONNECT_LIMIT, may).await.map_err(|error| error.to_string())?;
            let mut server = AsyncSmtpConnection::connect_with_transport(Box::new(stream), &name).await?;
            if smtp.tls == SmtpTls::StartTls {
                if !server.can_starttls() {
                    let why = "the server does not offer STARTTLS, so nothing is sent to it".to_owned();
                    server.abort().await;
                    return Err(Wrong { why, cure: Some(STARTTLS_CURE) });
                }
                server.starttls(tls(notifier, host).await?, &name).await?;
            }
            Ok(server)
        }
        _ => Err("this version does not know this kind of TLS".to_owned().into()),
    }
}

/// The system's roots and those of the owner's bundles, as for a CA; reading them may take a while.
async fn tls(notifier: &Notifier, host: &str) -> Result<TlsParameters, Wrong> {
    let (settings, host) = (notifier.transport.clone(), host.to_owned());
    let made = tokio::task::spawn_blocking(move || {
        let bundles: Vec<_> = settings.ca_bundles.iter().chain(&settings.environment_ca_bundles).cloned().collect();
        let mut builder = TlsParameters::builder(host);
        for root in trust::read_all(&bundles).map_err(|error| error.to_string())? {
            builder =
                builder.add_root_certificate(Certificate::from_der(root.to_vec()).map_err(|error| described(&error))?);
        }
        builder.build().map_err(|error| described(&error))
    });
    Ok(made.await.map_err(|error| error.to_string())??)
}

async fn transact(
    server: &mut AsyncSmtpConnection,
    smtp: &SmtpSetting,
    login: Option<(String, Secret)>,
    letter: &Letter<'_>,
    mail: &[u8],
) -> Result<Sent, Wrong> {
    if let Some((name, password)) = login {
        // By the type of the settings; what is not encrypted stays on this machine.
        if smtp.tls != SmtpTls::None && !server.is_encrypted() {
            return Err("the connection is not encrypted, so no password is sent".to_owned().into());
        }
        let credentials = Credentials::new(name, password.reveal().to_owned());
        server.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).await.map_err(|error| Wrong {
            why: format!("the server does not take the login: {}", described(&error)),
            cure: Some(LOGIN_CURE),
        })?;
    }
    let address = |text: &str| text.parse::<Address>().map_err(|error| format!("{text}: {error}"));
    server.command(Mail::new(Some(address(&letter.from)?), Vec::new())).await?;
    let (mut taken, mut refused, mut later) = (0_usize, Vec::new(), Vec::new());
    for to in &letter.to {
        match server.command(Rcpt::new(address(to.as_str())?, Vec::new())).await {
            Ok(_) => taken += 1,
            Err(error) => match error.status() {
                Some(code) if code.severity == Severity::PermanentNegativeCompletion => {
                    refused.push((to.to_string(), described(&error)));
                }
                Some(_) => later.push((to.to_string(), described(&error))),
                None => return Err(error.into()),
            },
        }
    }
    if taken == 0 {
        let all: Vec<String> = refused.iter().chain(&later).map(|(who, why)| format!("{who}: {why}")).collect();
        let cure = if later.is_empty() { Some(RECIPIENT_CURE) } else { None };
        return Err(Wrong { why: format!("the server takes mail for nobody: {}", all.join("; ")), cure });
    }
    server.command(Data).await?;
    server.message(mail).await?;
    Ok(if refused.is_empty() && later.is_empty() { Sent::ToAll } else { Sent::ToSome { refused, later } })
}

/// What went wrong with its causes; outside text.
fn described(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
