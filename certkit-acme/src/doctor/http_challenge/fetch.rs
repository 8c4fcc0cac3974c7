//! One validation over http as Let's Encrypt makes it: from one address of the name on, redirects included.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use certkit_core::{DnsName, Identifier, escape};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RecordType};
use http::header::{HOST, LOCATION, USER_AGENT};
use http::{HeaderMap, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::HttpCheckSettings;
use crate::dns::Resolver;
use crate::dns::question::Mode;
use crate::transport::{TlsVerification, TransportSettings, trust};

/// Let's Encrypt's: https://letsencrypt.org/docs/challenge-types/ (read 2026-08).
const MOST_REDIRECTS: usize = 10;
/// What is read of a body, in bytes: Let's Encrypt gives up at 128, and the rest is for the message.
const LARGEST_BODY: usize = 1024;
/// What is read of a head, in bytes.
const LARGEST_HEAD: usize = 64 * 1024;
/// What is shown of a body, in characters.
const SHOWN_BODY: usize = 60;

/// How a validation ended.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) end: End,
    /// Every address that was connected to, with what was asked there.
    pub(super) way: Vec<Step>,
    /// A content delivery network that answered, by its headers.
    pub(super) network: Option<&'static str>,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) url: String,
    pub(super) address: IpAddr,
}

#[derive(Debug)]
pub(super) enum End {
    /// The body that came with status 200, cut and without trailing white space.
    Body(Vec<u8>),
    /// Another status.
    Status(u16),
    /// No connection.
    NoConnection(io::Error),
    /// A connection, but no answer in HTTP.
    Broken(String),
    /// Back where it was before, or more than ten redirects.
    Loop,
    /// To where CAs do not follow, and why not.
    Forbidden { target: String, why: &'static str },
    /// To a name without address.
    Unresolved(String),
    /// To a name for which the resolver gives no answer, so that nothing is known.
    Unknown(String),
}

/// Where a request goes.
struct Target {
    url: String,
    host: String,
    is_https: bool,
    path: String,
}

/// Asks `address` for `path` of `name`, and follows.
pub(super) async fn fetch(
    name: &Identifier,
    address: IpAddr,
    path: &str,
    resolver: &Resolver,
    settings: &HttpCheckSettings,
) -> Fetched {
    let mut target = Target::first(name, path);
    let mut fetched = Fetched { end: End::Loop, way: Vec::new(), network: None };
    let mut address = address;
    for _ in 0..=MOST_REDIRECTS {
        if fetched.way.iter().any(|step| step.url == target.url) {
            return fetched;
        }
        fetched.way.push(Step { url: target.url.clone(), address });
        let (status, headers, body) = match request(&target, address, settings).await {
            Ok(answer) => answer,
            Err(end) => {
                fetched.end = end;
                return fetched;
            }
        };
        fetched.network = fetched.network.or_else(|| content_network(&headers));
        if !is_redirect(status) {
            fetched.end = if status == StatusCode::OK {
                End::Body(body.trim_ascii_end().to_vec())
            } else {
                End::Status(status.as_u16())
            };
            return fetched;
        }
        let to = match follow(&target, &headers) {
            Ok(to) => to,
            Err(end) => {
                fetched.end = end;
                return fetched;
            }
        };
        // As CAs do it: IPv6 where there is one, and no other try after a redirect.
        address = match resolve(resolver, &to.host).await {
            Ok(address) => address,
            Err(end) => {
                fetched.end = end;
                return fetched;
            }
        };
        target = to;
    }
    fetched
}

impl Fetched {
    /// As if `address` had been waited for in vain.
    pub(super) fn silent(name: &Identifier, address: IpAddr, path: &str) -> Self {
        let way = vec![Step { url: Target::first(name, path).url, address }];
        Self { end: End::NoConnection(io::ErrorKind::TimedOut.into()), way, network: None }
    }

    pub(super) fn is_timed_out(&self) -> bool {
        matches!(&self.end, End::NoConnection(error) if error.kind() == io::ErrorKind::TimedOut)
    }
}

impl Target {
    fn first(name: &Identifier, path: &str) -> Self {
        let host = match name {
            Identifier::Ip(IpAddr::V6(address)) => format!("[{address}]"),
            name => name.to_string(),
        };
        Self { url: format!("http://{host}{path}"), host, is_https: false, path: path.to_owned() }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = if self.address.is_ipv4() { "IPv4" } else { "IPv6" };
        write!(f, "{} at {} ({family})", self.url, self.address)
    }
}

/// The beginning of a body, for people.
pub(super) fn shown_body(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let mut shown: String = escape(text.trim()).chars().take(SHOWN_BODY).collect();
    if text.chars().count() > SHOWN_BODY {
        shown.push('…');
    }
    if shown.is_empty() { "nothing".into() } else { format!("`{shown}`") }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

async fn request(
    target: &Target,
    address: IpAddr,
    settings: &HttpCheckSettings,
) -> Result<(StatusCode, HeaderMap, Bytes), End> {
    let port = if target.is_https { settings.https_port } else { settings.http_port };
    let connecting = TcpStream::connect(SocketAddr::new(address, port));
    let stream = match timeout(settings.dial_time, connecting).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(End::NoConnection(error)),
        Err(_) => return Err(End::NoConnection(io::ErrorKind::TimedOut.into())),
    };
    let exchange = async {
        if target.is_https {
            exchange(target, secured(target, stream).await?).await
        } else {
            exchange(target, stream).await
        }
    };
    match timeout(settings.answer_time, exchange).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(problem)) => Err(End::Broken(problem)),
        Err(_) => Err(End::Broken(format!("no complete answer within {}", seconds(settings.answer_time)))),
    }
}

pub(super) fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs_f32().ceil())
}

/// TLS without a look at the certificate: it is what is to be renewed.
async fn secured(
    target: &Target,
    stream: TcpStream,
) -> Result<impl AsyncRead + AsyncWrite + Unpin + Send + 'static, String> {
    let mut settings = TransportSettings::new();
    settings.tls_verification = TlsVerification::Off;
    let (config, _) = trust::client_config(&settings).map_err(|error| error.to_string())?;
    let name = ServerName::try_from(target.host.clone()).map_err(|_| "its name cannot be sent in TLS".to_owned())?;
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(name, stream).await.map_err(|error| format!("TLS: {}", escape(&error.to_string())))
}

async fn exchange(
    target: &Target,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<(StatusCode, HeaderMap, Bytes), String> {
    const AGENT: &str = concat!("certkit/", env!("CARGO_PKG_VERSION"), " (doctor)");
    let said = |error: hyper::Error| escape(&crate::transport::describe(&error)).into_owned();
    let (mut sender, connection) =
        http1::Builder::new().max_buf_size(LARGEST_HEAD).handshake(TokioIo::new(stream)).await.map_err(said)?;
    let request = Request::get(&target.path)
        .header(HOST, &target.host)
        .header(USER_AGENT, AGENT)
        .body(Empty::<Bytes>::new())
        .map_err(|error| escape(&error.to_string()).into_owned())?;
    let asking = async {
        let answer = sender.send_request(request).await.map_err(said)?;
        let (head, body) = answer.into_parts();
        // Only the beginning counts.
        let (mut body, mut read) = (std::pin::pin!(body), Vec::new());
        while read.len() < LARGEST_BODY
            && let Some(Ok(frame)) = body.frame().await
        {
            if let Ok(data) = frame.into_data() {
                read.extend_from_slice(&data);
            }
        }
        read.truncate(LARGEST_BODY);
        Ok((head.status, head.headers, Bytes::from(read)))
    };
    let mut asking = std::pin::pin!(asking);
    tokio::select! {
        biased;
        answer = &mut asking => answer,
        // The connection may end before its last answer is read.
        ended = connection => match ended {
            Ok(()) => asking.await,
            Err(error) => Err(said(error)),
        },
    }
}

/// Where a redirect leads, if a CA goes there.
fn follow(from: &Target, headers: &HeaderMap) -> Result<Target, End> {
    let location = headers.get(LOCATION).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let Some(location) = location.filter(|location| !location.trim().is_empty()) else {
        return Err(End::Broken("a redirect without Location".into()));
    };
    let shown: String = escape(&location).chars().take(200).collect();
    let forbidden = |why| End::Forbidden { target: shown.clone(), why };
    let location = location.trim().split('#').next().unwrap_or_default();
    let absolute = if let Some(rest) = location.strip_prefix("//") {
        format!("{}://{rest}", if from.is_https { "https" } else { "http" })
    } else if location.starts_with('/') {
        format!("{}://{}{location}", if from.is_https { "https" } else { "http" }, from.host)
    } else {
        location.to_owned()
    };
    let Ok(uri) = absolute.parse::<Uri>() else { return Err(forbidden("it is not a URL")) };
    let (is_https, usual) = match uri.scheme_str() {
        Some("http") => (false, 80),
        Some("https") => (true, 443),
        _ => return Err(forbidden("it is neither http nor https")),
    };
    if uri.port_u16().is_some_and(|port| port != usual) {
        return Err(forbidden("CAs only go to port 80 for http and 443 for https"));
    }
    let host = uri.host().unwrap_or_default().trim_end_matches('.').to_ascii_lowercase();
    // The name itself may be an address (RFC 8738); then the redirect may stay there.
    let is_same = host == from.host;
    let is_name = DnsName::parse(&host).is_ok_and(|name| !name.is_wildcard());
    if !is_name && !is_same {
        return Err(forbidden("CAs only go to names, not to addresses"));
    }
    let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let scheme = if is_https { "https" } else { "http" };
    Ok(Target { url: format!("{scheme}://{host}{path}"), host, is_https, path })
}

/// The address that a CA takes: IPv6 before IPv4.
async fn resolve(resolver: &Resolver, host: &str) -> Result<IpAddr, End> {
    if let Ok(address) = host.trim_start_matches('[').trim_end_matches(']').parse() {
        return Ok(address);
    }
    let Ok(name) = Name::from_ascii(format!("{host}.")) else { return Err(End::Unresolved(host.to_owned())) };
    let mut unknown = false;
    for kind in [RecordType::AAAA, RecordType::A] {
        match resolver.recursive(&name, kind, Mode::Recursive).await {
            Ok(answer) => {
                if let Some(address) = answer.answers.iter().find_map(|record| record.data.ip_addr()) {
                    return Ok(address);
                }
                unknown |= !matches!(answer.metadata.response_code, ResponseCode::NoError | ResponseCode::NXDomain);
            }
            Err(_) => unknown = true,
        }
    }
    Err(if unknown { End::Unknown(host.to_owned()) } else { End::Unresolved(host.to_owned()) })
}

/// Networks that stand in front of a server, by the headers that they put on every answer.
fn content_network(headers: &HeaderMap) -> Option<&'static str> {
    const BY_HEADER: [(&str, &str); 6] = [
        ("cf-ray", "Cloudflare"),
        ("x-amz-cf-id", "Amazon CloudFront"),
        ("x-fastly-request-id", "Fastly"),
        ("x-akamai-transformed", "Akamai"),
        ("x-azure-ref", "Azure Front Door"),
        ("x-sucuri-id", "Sucuri"),
    ];
    const BY_SERVER: [(&str, &str); 5] = [
        ("cloudflare", "Cloudflare"),
        ("cloudfront", "Amazon CloudFront"),
        ("akamaighost", "Akamai"),
        ("bunnycdn", "bunny.net"),
        ("sucuri", "Sucuri"),
    ];
    let by_header = BY_HEADER.iter().find(|(header, _)| headers.contains_key(*header));
    let server = headers.get(http::header::SERVER).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let server = server.to_ascii_lowercase();
    let by_server = BY_SERVER.iter().find(|(known, _)| server.starts_with(known));
    by_header.or(by_server).map(|(_, network)| *network)
}
