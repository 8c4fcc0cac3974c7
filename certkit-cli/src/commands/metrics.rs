//! What Prometheus is told: `daemon --metrics` and `status --prometheus`.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;

use certkit_acme::metrics;
use certkit_acme::renewal::Renewer;
use certkit_acme::{Monitor, Stop};
use certkit_core::{LineageName, escape};

use super::Context;
use crate::exit::{CommandError, Exit};
use crate::runtime;

/// `status --prometheus`.
pub(super) fn show(context: &Context<'_>, name: Option<&LineageName>) -> Result<Exit, CommandError> {
    if name.is_some() {
        return Err(CommandError::usage("--prometheus shows all certificates").with_cure("leave --cert-name out"));
    }
    if context.ui.voice().json && !context.invocation.is_from_file("json") {
        return Err(CommandError::usage("--prometheus is a text of its own").with_cure("leave --json out"));
    }
    let renewer = Renewer::builder(context.store()?).build()?;
    let text = runtime::ask(async { Ok(renewer.metrics(None, |_| {}).await?) })?;
    context.ui.plain(&text);
    Ok(Exit::Well)
}

/// The socket of --metrics, so that what is wrong with it is told before anything else is done.
pub(super) fn listen(context: &Context<'_>) -> Result<Option<TcpListener>, CommandError> {
    let typed = &context.invocation.typed.metrics;
    let Some(text) = &typed.metrics else {
        return match typed.remote_metrics {
            true if !context.invocation.is_from_file("remote_metrics") => {
                Err(CommandError::usage("--remote-metrics says how --metrics may be used, which is missing")
                    .with_cure("name the address: --metrics ADDRESS:PORT"))
            }
            _ => Ok(None),
        };
    };
    let address = address(text).ok_or_else(|| {
        CommandError::usage(format!("--metrics `{}` is not an address with a port", escape(text)))
            .with_cure("write for example --metrics 127.0.0.1:9700 or --metrics '[::1]:9700'")
    })?;
    if !address.ip().to_canonical().is_loopback() && !typed.remote_metrics {
        return Err(CommandError::usage(format!(
            "--metrics {address} can be reached from other machines, and there is neither a password nor TLS"
        ))
        .with_cure(format!(
            "use 127.0.0.1:{0} (behind a proxy that asks for a password), or add --remote-metrics if the names of the certificates are no secret there",
            address.port()
        )));
    }
    let listener = TcpListener::bind(address).map_err(|error| {
        CommandError::failed(format!("cannot listen on {address} for --metrics: {error}"))
            .with_cure("use a free port, and an address of this machine")
    })?;
    Ok(Some(listener))
}

/// Answers until the daemon ends.
pub(super) fn serve(context: &Context<'_>, listener: TcpListener, monitor: &Arc<Monitor>, stop: &Stop) {
    if let Ok(address) = listener.local_addr() {
        context.ui.status(&format!("Metrics are at http://{address}/metrics."));
    }
    let (ui, monitor, stop) = (Arc::clone(context.ui), Arc::clone(monitor), stop.clone());
    tokio::spawn(async move {
        if let Err(error) = metrics::serve(listener, monitor, &stop).await {
            ui.failure(&format!("There are no metrics: {}.\n", escape(&error.to_string())));
        }
    });
}

fn address(text: &str) -> Option<SocketAddr> {
    let port_alone = || text.parse().ok().map(|port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    text.parse().ok().or_else(port_alone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_port_and_a_port_alone_is_one_of_this_machine() {
        let shown = |text: &str| address(text).map(|address| address.to_string());
        assert_eq!(shown("9700").as_deref(), Some("127.0.0.1:9700"));
        assert_eq!(shown("127.0.0.2:9700").as_deref(), Some("127.0.0.2:9700"));
        assert_eq!(shown("[::1]:9700").as_deref(), Some("[::1]:9700"));
        for text in ["", ":9700", "127.0.0.1", "localhost:9700", "::1:9700x", "70000", "127.0.0.1:70000"] {
            assert_eq!(shown(text), None, "{text}");
        }
    }
}
