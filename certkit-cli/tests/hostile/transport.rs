//! TLS, redirects, bodies, heads and broken connections.

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use testkit::RequestKind as Kind;
use testkit::{Cut, Delivery, Reply};

use crate::case::{Case, at, everywhere, once_at};
use crate::run::run_all;

#[test]
fn connections_urls_and_redirects() {
    run_all([tls(), urls(), redirects()].concat_all());
}

#[test]
fn heads_and_bodies() {
    run_all([bodies(), bombs(), heads()].concat_all());
}

#[test]
fn connections_that_break() {
    run_all(resets());
}

pub(crate) fn cases() -> Vec<Case> {
    [tls(), urls(), redirects(), bodies(), bombs(), heads(), resets()].concat_all()
}

/// `concat` for what cannot be cloned.
trait ConcatAll {
    fn concat_all(self) -> Vec<Case>;
}

impl<const N: usize> ConcatAll for [Vec<Case>; N] {
    fn concat_all(self) -> Vec<Case> {
        self.into_iter().flatten().collect()
    }
}

fn tls() -> Vec<Case> {
    let unknown =
        Case::new("has a certificate that no trusted root vouches for", "RFC 8555 6.1", everywhere(|_, _| {}));
    vec![unknown.fails("network", "is not issued by a trusted root").with(|setup| setup.trusts = false)]
}

/// RFC 8555 section 6.1: https only. CVE-2025-54799 was a client that let the directory name plain http.
fn urls() -> Vec<Case> {
    let plain = |base: &str, path: &str| format!("http{}{path}", base.strip_prefix("https").unwrap());
    let refused = "an https URL must not lead to plain http";
    let mut cases = Vec::new();
    for (kind, member, what) in [
        (Kind::Directory, "/newNonce", "the URL of newNonce"),
        (Kind::Directory, "/newOrder", "the URL of newOrder"),
        (Kind::NewOrder, "/authorizations/0", "the URL of an authorization"),
        (Kind::NewOrder, "/finalize", "the URL of finalize"),
        (Kind::Order, "/certificate", "the URL of the certificate"),
        (Kind::Authorization, "/challenges/0/url", "the URL of a challenge"),
    ] {
        let deviation = at(kind, move |asked, reply| {
            let url = plain(asked.base, "/here");
            match member {
                // It is there once the order is finalized.
                "/certificate" if !String::from_utf8_lossy(&reply.body).contains("certificate") => {}
                "/authorizations/0" => reply.set("/authorizations", serde_json::json!([url])),
                "/challenges/0/url" => reply.change(|body| body["challenges"][0]["url"] = url.into()),
                _ => reply.set(member, url.into()),
            }
        });
        let case =
            Case::new("names an `http:` URL in a directory, an order or an authorization", "RFC 8555 6.1", deviation);
        cases.push(case.variant(what).fails("protocol", refused));
    }
    let deviation = at(Kind::NewOrder, move |asked, reply| {
        reply.without("Location");
        reply.header("Location", &plain(asked.base, "/my-order/0"));
    });
    let case = Case::new("gives an order an `http:` URL (Location)", "RFC 8555 6.1", deviation);
    cases.push(case.fails("protocol", refused));
    for url in
        ["file:///etc/passwd", "gopher://ca.example/", "//ca.example/x", "https://user@ca.example/", "https://a b/"]
    {
        let deviation = at(Kind::Directory, move |_, reply| reply.set("/newOrder", url.into()));
        let case = Case::new("names a URL that is none, or has another scheme", "RFC 8555 6.1", deviation);
        cases.push(case.variant(url).fails("protocol", "is refused"));
    }
    cases
}

/// Not followed at all: ACME has none, and a signed request must not go to another origin.
fn redirects() -> Vec<Case> {
    let mut cases = Vec::new();
    for (does, status, target) in [
        ("redirects a GET to another origin", 301, "https://127.0.0.1:1/dir"),
        ("redirects in a circle", 302, "dir"),
        ("redirects to another scheme", 301, "file:///etc/passwd"),
        ("redirects to another scheme", 307, "gopher://127.0.0.1:1/x"),
        ("redirects to a cloud's metadata service", 302, "http://169.254.169.254/latest/meta-data/"),
        ("redirects to a target with control characters", 302, "https://x.example/\u{202e}\u{9b}31m"),
    ] {
        let deviation = at(Kind::Directory, move |_, reply| reply.redirect(status, target));
        let case = Case::new(does, "RFC 8555 6.1", deviation).variant(target);
        cases.push(case.fails("protocol", "it is not followed; use the final URL"));
    }
    for kind in [Kind::NewOrder, Kind::Certificate, Kind::Challenge, Kind::Finalize] {
        for status in [302, 307] {
            let deviation = at(kind, move |asked, reply| reply.redirect(status, &format!("{}/dir", asked.base)));
            let variant = format!("{kind:?} {status}");
            cases.push(if matches!(kind, Kind::NewOrder | Kind::Certificate) {
                let case = Case::new("redirects a signed POST", "RFC 8555 6.2", deviation);
                case.variant(variant).fails("protocol", "a redirect to")
            } else {
                // The authorization or the order tells what became of it.
                Case::new("redirects a signed POST, but heeds it", "RFC 8555 6.2", deviation).variant(variant)
            });
        }
    }
    cases
}

fn bodies() -> Vec<Case> {
    const LARGE: &str = "more than 1048576 bytes";
    let deliver = |kind, delivery: fn(&Reply) -> Delivery| at(kind, move |_, reply| reply.delivery = delivery(reply));
    let cut = |reply: &Reply| {
        Delivery::Raw(reply.bytes_with_head(|head| head.replace("Content-Length: ", "Content-Length: 9").into()))
    };
    let huge = |reply: &Reply| {
        let head = |head: String| head.replace("Content-Length: ", "Content-Length: 10485760").into_bytes();
        Delivery::Raw([reply.bytes_with_head(head), vec![b' '; 4 << 20]].concat())
    };
    let twice = |reply: &Reply| {
        Delivery::Raw(reply.bytes_with_head(|head| head.replace("\r\n\r\n", "\r\nContent-Length: 1\r\n\r\n").into()))
    };
    let slowly: fn(&Reply) -> Delivery = |_| Delivery::Slowly;
    let endlessly: fn(&Reply) -> Delivery = |_| Delivery::Endlessly;
    let slow = "sends a byte now and then, for ever";
    let endless = "sends a body without end";
    let two = "sends two lengths of a body";
    let hundred = "sends a body of 100 MiB that is what it should be but for its size";
    vec![
        Case::new(slow, "GHSA-cwjm-3f7h-9hwq", deliver(Kind::Directory, slowly))
            .hurries_from(Kind::Directory)
            .fails("network", "no complete answer within 45 s"),
        Case::new(slow, "GHSA-cwjm-3f7h-9hwq", deliver(Kind::Certificate, slowly))
            .variant("Certificate")
            .hurries_from(Kind::Certificate)
            .fails("network", "no complete answer within 45 s"),
        Case::new(endless, "CVE-2024-12401", deliver(Kind::Directory, endlessly)).fails("protocol", LARGE),
        Case::new(endless, "CVE-2024-12401", deliver(Kind::Certificate, endlessly))
            .variant("Certificate")
            .fails("protocol", LARGE),
        Case::new("announces a body of gigabytes", "CVE-2024-12401", deliver(Kind::Directory, huge))
            .fails("protocol", LARGE),
        Case::new(
            "sends a body of 4 MiB",
            "CVE-2024-12401",
            at(Kind::NewOrder, |_, reply| reply.body.resize(4 << 20, b' ')),
        )
        .fails("protocol", LARGE),
        Case::new(hundred, "CVE-2024-12401", deliver(Kind::Directory, |_| Delivery::Padded(100 << 20)))
            .fails("protocol", LARGE),
        Case::new(hundred, "CVE-2024-12401", deliver(Kind::Order, |_| Delivery::Padded(100 << 20)))
            .variant("Order")
            .fails("protocol", LARGE),
        Case::new(hundred, "CVE-2024-12401", deliver(Kind::Certificate, |_| Delivery::Padded(100 << 20)))
            .variant("Certificate")
            .fails("protocol", LARGE),
        Case::new("ends a body before its length", "RFC 9112 8", deliver(Kind::Directory, cut))
            .fails("network", "the body broke off"),
        Case::new("ends a body before its length", "RFC 9112 8", deliver(Kind::Certificate, cut))
            .variant("Certificate")
            .fails("network", "the body broke off"),
        Case::new(two, "RFC 9112 6.3", deliver(Kind::Directory, twice)).fails("protocol", "not a valid HTTP answer"),
        Case::new(two, "RFC 9112 6.3", deliver(Kind::Certificate, twice))
            .variant("Certificate")
            .fails("protocol", "not a valid HTTP answer"),
    ]
}

/// Ten megabytes that would be ten gigabytes.
static BOMB: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut gzip = Command::new("gzip").arg("-9c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("gzip");
    let mut zeros = gzip.stdin.take().unwrap();
    let writer = std::thread::spawn(move || std::io::copy(&mut std::io::repeat(0).take(10 << 20), &mut zeros));
    let member = gzip.wait_with_output().unwrap().stdout;
    assert_eq!(writer.join().unwrap().unwrap(), 10 << 20);
    // Members one after the other are one file (RFC 1952 section 2.2).
    member.repeat(1_000)
});

/// Nothing is decompressed: no request says that it may be compressed.
fn bombs() -> Vec<Case> {
    let mut cases = Vec::new();
    for kind in [Kind::Directory, Kind::NewOrder, Kind::Certificate] {
        for encoding in ["gzip", "deflate", "br", "identity, gzip"] {
            let deviation = at(kind, move |_, reply| {
                reply.header("Content-Encoding", encoding);
                reply.body.clone_from(&BOMB);
            });
            let case = Case::new("sends a compressed body that is a bomb", "RFC 9110 12.5.3", deviation);
            let case = case.variant(format!("{kind:?} {encoding}"));
            cases.push(case.fails("protocol", "a compressed body, which was not asked for"));
        }
        let unsaid = at(kind, |_, reply| reply.body.clone_from(&BOMB));
        let case = Case::new("sends a bomb without saying that it is compressed", "RFC 9110 12.5.3", unsaid);
        cases.push(case.variant(format!("{kind:?}")).fails("protocol", "more than 1048576 bytes"));
        let on_the_way = at(kind, |_, reply| {
            let head = |head: String| {
                let length = head.lines().find(|line| line.starts_with("Content-Length")).unwrap().to_owned();
                head.replace(&length, "Transfer-Encoding: gzip, chunked").into_bytes()
            };
            reply.body = [format!("{:x}\r\n", BOMB.len()).as_bytes(), &BOMB, b"\r\n0\r\n\r\n"].concat();
            reply.delivery = Delivery::Raw(reply.bytes_with_head(head));
        });
        let case = Case::new("compresses a bomb for the way alone (Transfer-Encoding)", "RFC 9112 6.1", on_the_way);
        cases.push(case.variant(format!("{kind:?}")).fails("protocol", "more than 1048576 bytes"));
    }
    cases
}

fn heads() -> Vec<Case> {
    let fields = |add: fn(String) -> Vec<u8>| {
        at(Kind::Directory, move |_, reply| reply.delivery = Delivery::Raw(reply.bytes_with_head(add)))
    };
    let with = |head: String, field: &[u8]| {
        let end = head.len() - 2;
        [&head.as_bytes()[..end], field, b"\r\n\r\n"].concat()
    };
    let invalid = "not a valid HTTP answer";
    let control = "sends a header field with a control character";
    let mut cases = vec![
        Case::new(
            "sends 100,000 header fields",
            "RFC 9110 5.4",
            fields(|head| {
                let end = head.len() - 2;
                [&head.as_bytes()[..end], "X: y\r\n".repeat(100_000).as_bytes(), b"\r\n"].concat()
            }),
        )
        .fails("protocol", invalid),
        Case::new(
            "sends a header field of a megabyte",
            "RFC 9110 5.4",
            fields(|head| {
                let end = head.len() - 2;
                [&head.as_bytes()[..end], b"X: ", "y".repeat(1 << 20).as_bytes(), b"\r\n\r\n"].concat()
            }),
        )
        .fails("protocol", invalid),
        Case::new(
            "speaks something else than HTTP",
            "RFC 9112 2.1",
            at(Kind::Directory, |_, reply| {
                reply.delivery = Delivery::Raw(b"SSH-2.0-OpenSSH_9.2\x1b[2J\r\n".to_vec());
            }),
        )
        .fails("protocol", invalid),
    ];
    for (variant, field) in [("NUL", &b"X: a\0b"[..]), ("CR", b"X: a\rb"), ("ESC", b"X: a\x1b[2Jb")] {
        let deviation = at(Kind::Directory, move |_, reply| {
            reply.delivery = Delivery::Raw(reply.bytes_with_head(|head| with(head, field)));
        });
        cases.push(Case::new(control, "RFC 9110 5.5", deviation).variant(variant).fails("protocol", invalid));
    }
    // RFC 9110 section 5.5: obs-text is opaque data.
    let deviation = everywhere(move |asked, reply| {
        if asked.kind != Kind::NewNonce {
            reply.delivery = Delivery::Raw(reply.bytes_with_head(|head| with(head, b"X: \xff\xfe\xc3\x28")));
        }
    });
    cases.push(Case::new("sends a header field that is not UTF-8", "RFC 9110 5.5", deviation));
    for (status, kind, says) in [
        (204, Kind::Directory, "HTTP 204: an empty answer"),
        (206, Kind::Directory, "HTTP 206: JSON that is not an ACME directory"),
        (304, Kind::Directory, "HTTP 304"),
        (204, Kind::NewOrder, "HTTP 204: an empty answer"),
        (206, Kind::Certificate, "HTTP 206"),
    ] {
        let deviation = at(kind, move |_, reply| {
            reply.status = status;
            if status != 206 {
                reply.body.clear();
            }
        });
        let case = Case::new("answers with status 204, 206 or 304 where 200 is due", "RFC 8555 7", deviation);
        cases.push(case.variant(format!("{status} {kind:?}")).fails("protocol", says));
    }
    cases.push(Case::new(
        "sends its JSON as text/plain and its chain as text/html",
        "RFC 8555 7.4.2",
        everywhere(|asked, reply| {
            reply.without("Content-Type");
            let is_chain = asked.kind == Kind::Certificate;
            reply.header("Content-Type", if is_chain { "text/html" } else { "text/plain" });
        }),
    ));
    for kind in [Kind::Directory, Kind::NewOrder, Kind::Certificate] {
        let deviation = at(kind, |_, reply| {
            reply.without("Content-Type");
            reply.header("Content-Type", "text/html");
            reply.body = b"<html><body>Please \x1b[2Jlog in to the WiFi</body></html>".to_vec();
        });
        let case =
            Case::new("is a captive portal that answers with a page and status 200", "RFC 8555 7.1.1", deviation);
        cases.push(case.variant(format!("{kind:?}")).fails("protocol", "an HTML page instead of"));
    }
    cases
}

/// Every request of the flow, cut at four places: once, and always.
fn resets() -> Vec<Case> {
    const FLOW: [Kind; 8] = [
        Kind::Directory,
        Kind::NewNonce,
        Kind::NewOrder,
        Kind::Authorization,
        Kind::Challenge,
        Kind::Order,
        Kind::Finalize,
        Kind::Certificate,
    ];
    let mut cases = Vec::new();
    for kind in FLOW {
        for cut in [Cut::Before, Cut::StatusLine, Cut::Head, Cut::Body] {
            // A nonce has no body.
            if kind == Kind::NewNonce && cut == Cut::Body {
                continue;
            }
            let reset = move |reply: &mut Reply| reply.delivery = Delivery::Reset(cut);
            let variant = format!("{kind:?} {cut:?}");
            let once = once_at(kind, move |_, reply| reset(reply));
            let does = match kind {
                // What is asked for once a run, or may have happened already, is not asked for again.
                Kind::Directory | Kind::NewNonce | Kind::NewOrder => {
                    "resets a connection once, before there is an order"
                }
                _ => "resets a connection once, in the middle of an order",
            };
            let case = Case::new(does, "RFC 8555 7.4", once).variant(&variant);
            cases.push(match kind {
                Kind::Directory | Kind::NewNonce | Kind::NewOrder => case.fails("network", "https://127.0.0.1"),
                _ => case,
            });
            let always = at(kind, move |_, reply| reset(reply));
            let case = match kind {
                Kind::Challenge => Case::new(
                    "resets each connection that tells it of a challenge, and hears it",
                    "RFC 8555 7.5.1",
                    always,
                ),
                Kind::Finalize => {
                    Case::new("resets each connection that brings a request, and issues", "RFC 8555 7.4", always)
                }
                _ => Case::new("resets every connection for one thing", "RFC 8555 7.4", always)
                    .fails("network", "https://127.0.0.1"),
            };
            cases.push(case.variant(variant));
        }
    }
    cases
}
