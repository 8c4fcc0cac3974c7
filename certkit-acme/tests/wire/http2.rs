//! HTTP/2 where the server speaks it: few connections for many requests, and the same limits as before.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use certkit_acme::transport::{TlsVerification, Transport, TransportError, TransportSettings};
use certkit_core::AcmeUrl;
use futures_util::future::join_all;
use http::Version;

use super::server::{Answer, Server, Speaks, acceptor, answer, endless, proxy};

async fn fine() -> Answer {
    // Long enough that the requests are really under way at once.
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    answer(200, &[], "fine")
}

/// So many requests at once; the errors among their answers.
async fn many(transport: &Transport, server: &Server, count: usize) -> Vec<TransportError> {
    let urls: Vec<AcmeUrl> = (0..count).map(|number| server.url(&format!("/{number}"))).collect();
    join_all(urls.iter().map(|url| transport.get(url))).await.into_iter().filter_map(Result::err).collect()
}

#[tokio::test]
async fn five_hundred_requests_at_once_share_a_connection() {
    let server = Server::start(Speaks::HTTP2, |_| fine()).await;
    let transport = server.transport();
    assert!(many(&transport, &server, 500).await.is_empty());
    let requests = server.requests();
    assert_eq!(requests.len(), 500);
    assert!(requests.iter().all(|(version, _)| *version == Version::HTTP_2));
    assert_eq!(server.connections(), 1);
    // And those that come later.
    assert!(many(&transport, &server, 100).await.is_empty());
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_server_without_http_2_works_as_before() {
    for speaks in [Speaks::Http1, Speaks::Plain] {
        let server = Server::start(speaks, |_| fine()).await;
        let transport = server.transport();
        assert!(many(&transport, &server, 20).await.is_empty());
        assert!(server.requests().iter().all(|(version, _)| *version == Version::HTTP_11));
        assert!(server.connections() <= 20, "{}", server.connections());
        // The connections are kept and used again.
        let before = server.connections();
        for number in 0..20 {
            transport.get(&server.url(&format!("/again/{number}"))).await.unwrap();
        }
        assert_eq!(server.connections(), before);
    }
}

#[tokio::test]
async fn a_server_that_ends_its_connections_loses_no_request() {
    // As nginx does after 1,000 requests.
    let server = Server::start(Speaks::Http2 { until: 100 }, |_| fine()).await;
    let transport = server.transport();
    for _ in 0..10 {
        let errors = many(&transport, &server, 60).await;
        assert!(errors.is_empty(), "{errors:?}");
    }
    assert!(server.connections() > 1);
}

/// An HTTP/2 server that refuses to look at the first `refused` requests of a connection.
async fn refusing(refused: usize) -> (Transport, AcmeUrl, Arc<AtomicUsize>) {
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = seen.clone();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = AcmeUrl::parse(&format!("https://{}/x", listener.local_addr().unwrap())).unwrap();
    let acceptor = acceptor(&testkit::Pki::new(testkit::now()).for_localhost(testkit::now()), Speaks::HTTP2);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, counted) = (acceptor.clone(), counted.clone());
            tokio::spawn(async move {
                let stream = acceptor.accept(stream).await.unwrap();
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    if counted.fetch_add(1, Ordering::SeqCst) < refused {
                        respond.send_reset(h2::Reason::REFUSED_STREAM);
                    } else {
                        let mut body = respond.send_response(http::Response::new(()), false).unwrap();
                        body.send_data(Bytes::from_static(b"fine"), true).unwrap();
                    }
                }
            });
        }
    });
    let mut settings = TransportSettings::new();
    settings.tls_verification = TlsVerification::Off;
    (Transport::new(&settings).unwrap(), url, seen)
}

#[tokio::test]
async fn a_request_that_the_server_refused_to_look_at_is_sent_again() {
    let (transport, url, seen) = refusing(3).await;
    assert_eq!(&transport.get(&url).await.unwrap().body[..], b"fine");
    assert_eq!(seen.load(Ordering::SeqCst), 4);
    // But not for ever.
    let (transport, url, seen) = refusing(usize::MAX).await;
    let error = transport.get(&url).await.unwrap_err();
    assert!(matches!(error, TransportError::Network { .. }), "{error}");
    assert_eq!(seen.load(Ordering::SeqCst), 9);
}

#[tokio::test]
async fn the_limits_hold_for_http_2_too() {
    let server = Server::start(Speaks::HTTP2, |request| async move {
        match request.uri().path() {
            "/many" => {
                let names: Vec<String> = (0..101).map(|number| format!("x-{number}")).collect();
                let headers: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "y")).collect();
                answer(200, &headers, "")
            }
            "/large" => answer(200, &[("x", &"y".repeat(80_000))], ""),
            "/endless" => endless(),
            "/announced" => answer(200, &[], vec![0; 2 * 1024 * 1024]),
            "/compressed" => answer(200, &[("content-encoding", "gzip")], "x"),
            "/redirect" => answer(302, &[("location", "/fine")], ""),
            "/silent" => std::future::pending().await,
            _ => answer(200, &[("retry-after", "7")], "fine"),
        }
    })
    .await;
    let transport = server.transport();
    let error = async |path| transport.get(&server.url(path)).await.unwrap_err();
    assert!(matches!(error("/many").await, TransportError::Broken { .. }));
    let large = error("/large").await;
    assert!(matches!(large, TransportError::Broken { .. }), "{large}");
    assert!(matches!(error("/endless").await, TransportError::TooLarge { status: 200, .. }));
    assert!(matches!(error("/announced").await, TransportError::TooLarge { .. }));
    assert!(matches!(error("/compressed").await, TransportError::Broken { .. }));
    assert!(matches!(error("/redirect").await, TransportError::Redirect { status: 302, .. }));
    assert!(matches!(error("/silent").await, TransportError::Timeout { .. }));
    // None of them harmed the connection for the others.
    let fine = transport.get(&server.url("/fine")).await.unwrap();
    assert_eq!((&fine.body[..], fine.retry_after.is_some()), (&b"fine"[..], true));
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn http_2_goes_through_a_proxy_too() {
    let server = Server::start(Speaks::HTTP2, |_| fine()).await;
    let (proxy, heads) = proxy(server.address).await;
    let mut settings = server.settings();
    settings.https_proxy = Some(format!("http://{proxy}"));
    // Any name leads to the server; that its certificate is for another one shows that it was reached.
    let url = AcmeUrl::parse("https://ca.example/x").unwrap();
    let error = Transport::new(&settings).unwrap().get(&url).await.unwrap_err();
    assert!(error.to_string().contains("is not valid for name ca.example"), "{error}");
    settings.tls_verification = TlsVerification::Off;
    let transport = Transport::new(&settings).unwrap();
    let answers = join_all((0..50).map(|_| transport.get(&url))).await;
    assert!(answers.iter().all(Result::is_ok));
    assert!(
        server.requests().iter().all(|(version, uri)| *version == Version::HTTP_2 && uri == "https://ca.example/x")
    );
    // One that was refused, one for all fifty.
    assert_eq!(heads.lock().unwrap().len(), 2);
}
