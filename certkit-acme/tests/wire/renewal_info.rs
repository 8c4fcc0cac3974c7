//! Renewal information (RFC 9773): every answer that a CA may give, and many certificates at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use certkit_acme::protocol::{Authority, RenewalInfoAnswer, RenewalInfoError, RenewalInfoErrorKind};
use certkit_acme::transport::Transport;
use certkit_acme::{Stop, StopReason};
use certkit_core::{AcmeUrl, AriCertificateId, Certificate};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use tokio::net::TcpListener;

use super::server::{Answer, Server, Speaks, answer, endless};

const GOOD: &str = r#"{"suggestedWindow":{"start":"2027-01-01T00:00:00Z","end":"2027-01-02T00:00:00Z"},"explanationURL":"https://ca.example/why"}"#;

/// The ids of as many certificates.
fn ids(count: usize) -> Vec<AriCertificateId> {
    let (pki, now, key) = (testkit::Pki::new(testkit::now()), testkit::now(), testkit::KeyKind::EcdsaP256.generate());
    let id = |number: usize| {
        let serial = [&[0x41], &number.to_be_bytes()[4..]].concat();
        let issued = pki.issue(&["a.example".to_owned()], now, now + TimeDelta::days(90), &key, &serial);
        Certificate::from_pem(issued.cert.as_bytes()).unwrap().ari_id().unwrap()
    };
    (0..count).map(id).collect()
}

/// A CA whose renewalInfo is at `at`.
async fn authority_with(server: &Server, at: Option<&str>) -> Authority {
    let directory = Server::start(Speaks::Plain, {
        let (url, at) = (server.text_url("/x"), at.map(str::to_owned));
        move |_| {
            let directory = json!({ "newNonce": url, "newAccount": url, "newOrder": url, "renewalInfo": at });
            async move { answer(200, &[], directory.to_string()) }
        }
    })
    .await;
    Authority::connect(server.transport(), &directory.url("/dir")).await.unwrap()
}

async fn authority(server: &Server) -> Authority {
    authority_with(server, Some(&server.text_url("/renewal-info"))).await
}

/// What comes of one answer.
async fn given(
    status: u16,
    headers: &'static [(&str, &str)],
    body: &'static str,
) -> Result<RenewalInfoAnswer, RenewalInfoError> {
    let server = Server::start(Speaks::Plain, move |_| async move { answer(status, headers, body) }).await;
    authority(&server).await.renewal_info(&ids(1)[0]).await
}

fn minutes_until(at: DateTime<Utc>) -> i64 {
    // The clock runs on while the test does.
    ((at - testkit::now()).num_seconds() + 30) / 60
}

#[tokio::test]
async fn a_good_answer_is_read_and_its_retry_after_is_bounded() {
    let read = given(200, &[("retry-after", "21600")], GOOD).await.unwrap();
    assert_eq!(read.window_start, "2027-01-01T00:00:00Z".parse::<DateTime<Utc>>().unwrap());
    assert_eq!(read.window_end, "2027-01-02T00:00:00Z".parse::<DateTime<Utc>>().unwrap());
    assert_eq!(read.explanation_url.as_deref(), Some("https://ca.example/why"));
    assert_eq!(minutes_until(read.retry_after), 360);
    for (value, minutes) in
        [("0", 1), ("59", 1), ("Thu, 01 Jan 1970 00:00:00 GMT", 1), ("90000", 1440), ("99999999999999999999", 1440)]
    {
        let headers = Box::leak(Box::new([("retry-after", value)]));
        assert_eq!(minutes_until(given(200, headers, GOOD).await.unwrap().retry_after), minutes, "{value}");
    }
}

#[tokio::test]
async fn the_certificates_id_is_the_last_part_of_the_url() {
    let server = Server::start(Speaks::Plain, |_| async { answer(200, &[("retry-after", "60")], GOOD) }).await;
    let id = &ids(1)[0];
    for base in ["/renewal-info", "/renewal-info/"] {
        let authority = authority_with(&server, Some(&server.text_url(base))).await;
        authority.renewal_info(id).await.unwrap();
        assert_eq!(server.requests().last().unwrap().1, format!("/renewal-info/{id}"));
    }
    let authority = authority_with(&server, None).await;
    let error = authority.renewal_info(id).await.unwrap_err();
    assert!(error.to_string().contains("offers no renewalInfo"), "{error}");
    assert_eq!(error.kind(), RenewalInfoErrorKind::NotOffered);
}

#[tokio::test]
async fn what_does_not_change_soon_is_asked_again_after_six_hours() {
    let later: &[(&str, &str)] = &[("retry-after", "60")];
    for (status, headers, body, says) in [
        (200, &[][..], GOOD, "without a readable Retry-After"),
        (200, &[("retry-after", "soon")], GOOD, "without a readable Retry-After"),
        (200, later, "{}", "missing field `suggestedWindow`"),
        (200, later, r#"{"suggestedWindow":{"start":"2027-01-01T00:00:00Z"}}"#, "missing field `end`"),
        (200, later, r#"{"suggestedWindow":{"start":1,"end":2}}"#, "JSON that is not renewal information"),
        (200, later, "<html>", "an HTML page"),
        (200, later, "", "an empty answer"),
        (204, later, "", "HTTP 204"),
        (201, later, GOOD, "HTTP 201"),
        (400, later, r#"{"type":"urn:ietf:params:acme:error:malformed","detail":"bad\u001b id"}"#, "bad\\u{1b} id"),
        (404, &[], r#"{"type":"urn:ietf:params:acme:error:malformed","detail":"unknown"}"#, "unknown"),
        (403, &[], "", "HTTP 403"),
        (302, &[("location", "/elsewhere")], "", "a redirect to /elsewhere"),
    ] {
        let error = given(status, headers, body).await.unwrap_err();
        assert!(error.to_string().contains(says), "{error} / {says}");
        assert_eq!(error.kind(), RenewalInfoErrorKind::LongTerm, "{error}");
        assert_eq!(minutes_until(error.next_try(3, testkit::now())), 360, "{error}");
    }
    let server = Server::start(Speaks::Plain, |_| async { endless() }).await;
    let error = authority(&server).await.renewal_info(&ids(1)[0]).await.unwrap_err();
    assert_eq!(error.kind(), RenewalInfoErrorKind::LongTerm, "{error}");

    // Nobody there.
    let refused = format!("http://127.0.0.1:{}/", testkit::ports::free_port());
    let error = authority_with(&server, Some(&refused)).await.renewal_info(&ids(1)[0]).await.unwrap_err();
    assert!(error.to_string().contains("Connection refused"), "{error}");
    assert_eq!(error.kind(), RenewalInfoErrorKind::LongTerm, "{error}");
}

#[tokio::test]
async fn what_time_heals_is_asked_again_soon_and_then_more_and_more_seldom() {
    for (status, headers, wait) in [
        (500, &[][..], 4),
        (503, &[("retry-after", "1")], 4),
        (503, &[("retry-after", "600")], 10),
        (429, &[], 4),
        (429, &[("retry-after", "999999999")], 1440),
    ] {
        let error = given(status, headers, "<html>").await.unwrap_err();
        assert_eq!(error.kind(), RenewalInfoErrorKind::Temporary, "{error}");
        assert_eq!(minutes_until(error.next_try(2, testkit::now())), wait, "{error}");
    }
    let silent = Server::start(Speaks::HTTP2, |_| std::future::pending::<Answer>()).await;
    let error = authority(&silent).await.renewal_info(&ids(1)[0]).await.unwrap_err();
    assert!(error.to_string().contains("no complete answer"), "{error}");
    assert_eq!(error.kind(), RenewalInfoErrorKind::Temporary);
    // Accepted, and hung up on.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            drop(listener.accept().await.unwrap());
        }
    });
    let error = authority_with(&silent, Some(&url)).await.renewal_info(&ids(1)[0]).await.unwrap_err();
    assert_eq!(error.kind(), RenewalInfoErrorKind::Temporary, "{error}");
}

/// An answer that tells the number in the certificate's id.
fn window_of(path: &str, all: &[AriCertificateId]) -> Option<Answer> {
    let number = all.iter().position(|id| path.ends_with(id.as_str()))?;
    let start = DateTime::from_timestamp(1_800_000_000 + i64::try_from(number).unwrap(), 0).unwrap();
    let end = start + TimeDelta::days(1);
    let window = json!({ "suggestedWindow": { "start": start.to_rfc3339(), "end": end.to_rfc3339() } });
    Some(answer(200, &[("retry-after", "21600")], window.to_string()))
}

#[tokio::test]
async fn a_thousand_answers_have_the_order_of_the_questions_and_need_few_connections() {
    for (speaks, most) in [(Speaks::HTTP2, 1), (Speaks::Http1, 32)] {
        let all = Arc::new(ids(1_000));
        let known = all.clone();
        let server = Server::start(speaks, move |request| {
            let known = known.clone();
            async move {
                let path = request.uri().path().to_owned();
                tokio::time::sleep(Duration::from_millis(path.len() as u64 * path.as_bytes()[40] as u64 % 7)).await;
                window_of(&path, &known).unwrap_or_else(|| answer(404, &[], ""))
            }
        })
        .await;
        let authority = authority(&server).await;
        // In a task of its own, as a host program may do it.
        let questions = all.clone();
        let answers =
            tokio::spawn(async move { authority.renewal_infos(&questions, &Stop::new()).await }).await.unwrap();
        assert_eq!(answers.len(), all.len());
        for (number, answer) in answers.iter().enumerate() {
            let start = answer.as_ref().unwrap().window_start.timestamp();
            assert_eq!(start, 1_800_000_000 + i64::try_from(number).unwrap());
        }
        assert!(server.most_open() <= most, "{}", server.most_open());
        assert!(server.connections() <= most, "{}", server.connections());
    }
}

#[tokio::test]
async fn an_unreachable_ca_is_not_asked_a_thousand_times() {
    let all = ids(1_000);
    let template = Server::start(Speaks::Plain, |_| async { answer(404, &[], "") }).await;
    // Nobody there.
    let refused = format!("http://127.0.0.1:{}/", testkit::ports::free_port());
    let answers = authority_with(&template, Some(&refused)).await.renewal_infos(&all, &Stop::new()).await;
    assert_eq!(answers.len(), 1_000);
    assert!(answers.iter().all(|answer| answer.as_ref().unwrap_err().to_string().contains("Connection refused")));
    // Somebody who never answers.
    for speaks in [Speaks::Plain, Speaks::HTTP2] {
        let silent = Server::start(speaks, |_| std::future::pending::<Answer>()).await;
        let answers = authority(&silent).await.renewal_infos(&all, &Stop::new()).await;
        for answer in &answers {
            assert_eq!(answer.as_ref().unwrap_err().kind(), RenewalInfoErrorKind::Temporary);
        }
        assert_eq!((answers.len(), silent.requests().len()), (1_000, 3));
    }
    // Maintenance.
    let closed = Server::start(Speaks::Plain, |_| async { answer(503, &[("retry-after", "600")], "") }).await;
    let answers = authority(&closed).await.renewal_infos(&all, &Stop::new()).await;
    assert!(answers.iter().all(|answer| answer.as_ref().unwrap_err().retry_after().is_some()));
    assert_eq!((answers.len(), closed.requests().len()), (1_000, 3));
}

#[tokio::test]
async fn a_ca_that_goes_away_is_not_asked_for_the_rest() {
    let (all, asked) = (Arc::new(ids(500)), Arc::new(AtomicUsize::new(0)));
    let known = all.clone();
    let server = Server::start(Speaks::HTTP2, move |request| {
        let (known, number) = (known.clone(), asked.fetch_add(1, Ordering::SeqCst));
        async move {
            if number >= 100 {
                std::future::pending::<()>().await;
            }
            window_of(request.uri().path(), &known).unwrap()
        }
    })
    .await;
    let answers = authority(&server).await.renewal_infos(&all, &Stop::new()).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 100);
    assert!(server.requests().len() <= 100 + 2 * 32, "{}", server.requests().len());
}

#[tokio::test]
async fn one_certificate_on_which_the_ca_hangs_does_not_hold_up_the_others() {
    let all = Arc::new(ids(100));
    let (known, bad) = (all.clone(), all[0].to_string());
    let server = Server::start(Speaks::HTTP2, move |request| {
        let (known, bad) = (known.clone(), bad.clone());
        async move {
            if request.uri().path().ends_with(&bad) {
                std::future::pending::<()>().await;
            }
            window_of(request.uri().path(), &known).unwrap()
        }
    })
    .await;
    let answers = authority(&server).await.renewal_infos(&all, &Stop::new()).await;
    assert!(answers[0].is_err());
    assert!(answers[1..].iter().all(Result::is_ok));
}

#[tokio::test]
async fn a_ca_that_is_asked_too_much_is_left_alone() {
    let (all, asked) = (Arc::new(ids(500)), Arc::new(AtomicUsize::new(0)));
    let known = all.clone();
    let server = Server::start(Speaks::HTTP2, move |request| {
        let (known, number) = (known.clone(), asked.fetch_add(1, Ordering::SeqCst));
        async move {
            // Only every second one is refused: there are answers in between.
            if number >= 100 && number % 2 == 0 {
                return answer(429, &[("retry-after", "300")], "");
            }
            window_of(request.uri().path(), &known).unwrap()
        }
    })
    .await;
    let answers = authority(&server).await.renewal_infos(&all, &Stop::new()).await;
    assert!(server.requests().len() <= 100 + 2 * 32, "{}", server.requests().len());
    let rest = answers.last().unwrap().as_ref().unwrap_err();
    assert_eq!(minutes_until(rest.next_try(0, testkit::now())), 5, "{rest}");
}

#[tokio::test]
async fn a_run_that_is_asked_to_stop_does_not_wait_for_answers() {
    let stop = Stop::new();
    let (all, signal, first) = (Arc::new(ids(100)), stop.clone(), Arc::new(AtomicBool::new(true)));
    let known = all.clone();
    let server = Server::start(Speaks::HTTP2, move |request| {
        let (known, signal, is_first) = (known.clone(), signal.clone(), first.swap(false, Ordering::SeqCst));
        async move {
            if !is_first {
                signal.stop(StopReason::Terminate);
                std::future::pending::<()>().await;
            }
            window_of(request.uri().path(), &known).unwrap()
        }
    })
    .await;
    let answers = authority(&server).await.renewal_infos(&all, &stop).await;
    let stopped = answers.iter().filter(|answer| matches!(answer, Err(RenewalInfoError::Stopped))).count();
    assert!(answers.len() == 100 && stopped >= 99, "{stopped}");
    assert!(authority(&server).await.renewal_infos(&[], &Stop::new()).await.is_empty());
}

#[tokio::test]
async fn a_pebble_without_renewal_information_offers_none() {
    let pebble = testkit::Pebble::start(testkit::PebbleOptions::default());
    let mut settings = certkit_acme::transport::TransportSettings::new();
    settings.ca_bundles = vec![pebble.ca_bundle()];
    let url = AcmeUrl::parse(&pebble.directory_url()).unwrap();
    let authority = Authority::connect(Transport::new(&settings).unwrap(), &url).await.unwrap();
    let offered = authority.directory().renewal_info.is_some();
    let answer = authority.renewal_infos(&ids(1), &Stop::new()).await.remove(0).unwrap_err();
    // Later ones offer it and do not know the certificate.
    let expected = if offered { RenewalInfoErrorKind::LongTerm } else { RenewalInfoErrorKind::NotOffered };
    assert_eq!(answer.kind(), expected, "{answer}");
}
