//! Nonces, orders, authorizations, chains and accounts that are not what was asked for.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use certkit_acme::protocol::{AccountKey, AccountKeyType, AcmeError, NewAccount, OrderStatus};
use certkit_core::{Failure, FailureClass, Identifier, Retry};
use serde_json::json;

use super::server::{Server, account, connect, http, order, within};

#[tokio::test]
async fn nonces_that_never_work_come_to_an_end() {
    let server = Server::start().await;
    let account = account(&server).await;
    let bad_nonce = json!({ "type": "urn:ietf:params:acme:error:badNonce", "detail": "no" }).to_string();
    server.gives("/order", 400, "Replay-Nonce: again\r\n", &bad_nonce);
    let error = within(account.new_order(&order())).await.unwrap_err();
    assert_eq!(error.problem_kind(), Some("badNonce"));
    assert_eq!(Failure::from(error).class, FailureClass::ServerUnavailable);
    assert!((10..=100).contains(&server.requests("/order")));

    // The last refusal brought a nonce; it is used up first.
    server.gives("/order", 500, "", "");
    assert_eq!(account.new_order(&order()).await.unwrap_err().http_status(), Some(500));
    for nonce in ["", "Replay-Nonce: a b\r\n", "Replay-Nonce: \"x\"\r\n"] {
        server.gives("/nonce", 200, nonce, "");
        let error = account.new_order(&order()).await.unwrap_err();
        assert!(error.to_string().contains("no nonce"), "{error}");
    }
    server.gives("/nonce", 503, "Retry-After: 60\r\n", "");
    let error = account.new_order(&order()).await.unwrap_err();
    assert!(matches!(Failure::from(error).retry, Retry::At(_)));

    // One that refuses slowly gets no more time for all tries than for one exchange (2 s here).
    server.gives("/nonce", 200, "Replay-Nonce: nonce\r\n", "");
    let before = server.requests("/order");
    let slow = http(400, "Replay-Nonce: again\r\n", bad_nonce.as_bytes());
    server.on("/order", move |_| {
        std::thread::sleep(Duration::from_millis(500));
        slow.clone()
    });
    let begun = Instant::now();
    let error = within(account.new_order(&order())).await.unwrap_err();
    assert_eq!(error.problem_kind(), Some("badNonce"));
    assert!((2..=6).contains(&(server.requests("/order") - before)) && begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn orders_are_what_was_asked_for_or_refused() {
    let server = Server::start().await;
    let account = account(&server).await;
    let good = json!({
        "status": "pending", "identifiers": [{ "type": "dns", "value": "A.example" }], "expires": "soon",
        "authorizations": [server.url("/authz/1"), server.url("/authz/1")], "finalize": server.url("/finalize"),
        "error": null, "profile": 7, "replaces": [],
    });
    let location = format!("Location: {}\r\nReplay-Nonce: n\r\n", server.url("/order/1"));
    let place = async |document: &serde_json::Value| {
        server.gives("/order", 201, &location, &document.to_string());
        within(account.new_order(&order())).await
    };
    let placed = place(&good).await.unwrap();
    assert_eq!((placed.url, placed.authorizations.len(), placed.expires), (server.url("/order/1"), 1, None));

    let url = server.url("/x").to_string();
    let many: Vec<_> = (0..10_000).map(|n| server.url(&format!("/authz/{n}"))).collect();
    for (field, value, says) in [
        ("status", json!("surprising\u{1b}"), "the unknown status `surprising\\u{1b}`"),
        ("status", json!("valid"), "without the URL of its certificate"),
        ("status", json!(null), "not an order"),
        (
            "identifiers",
            json!([{ "type": "dns", "value": "evil.example" }]),
            "an order for evil.example instead of a.example",
        ),
        ("identifiers", json!([]), "with more authorizations than identifiers"),
        (
            "identifiers",
            json!([{ "type": "dns", "value": "a.example" }, { "type": "dns", "value": "b.example" }]),
            "instead of a.example",
        ),
        ("identifiers", json!([{ "type": "ip", "value": "a.example" }]), "the identifier `a.example` of the type `ip`"),
        ("identifiers", json!([{ "type": "dns", "value": "../../x" }]), "the identifier `../../x`"),
        ("authorizations", json!(["http://ca.example/authz"]), "http://ca.example/authz"),
        ("authorizations", json!(many), "more authorizations than identifiers"),
        ("authorizations", json!("x"), "not an order"),
        ("finalize", json!("http://ca.example/finalize"), "http://ca.example/finalize"),
        ("finalize", json!(null), "not an order"),
        ("certificate", json!("file:///etc/passwd"), "file:///etc/passwd"),
    ] {
        let mut document = good.clone();
        document[field] = value;
        let error = place(&document).await.unwrap_err();
        assert!(matches!(error, AcmeError::NotAcme { .. }) && error.to_string().contains(says), "{error} / {says}");
    }
    // What nothing comes of any more is a dead order, whatever it is called.
    for dead in ["deactivated", "expired", "revoked"] {
        let mut document = good.clone();
        document["status"] = dead.into();
        let placed = place(&document).await.unwrap();
        let error = placed.error.clone().unwrap();
        assert_eq!((placed.status, error.kind.as_str()), (OrderStatus::Invalid, dead));
        assert_eq!(error.detail, format!("the CA says that the order is {dead}"));
        assert!(placed.is_for(&order().identifiers));
        assert!(!placed.is_for(&[Identifier::parse("b.example").unwrap()].into_iter().collect()));
        // The CA's own reason is the better one.
        document["error"] = json!({ "type": "urn:ietf:params:acme:error:caa", "detail": "forbidden" });
        assert_eq!(place(&document).await.unwrap().error.unwrap().kind, "caa");
    }
    // No authorization to be had, and a certificate already: legal.
    let mut document = good.clone();
    document["authorizations"] = json!([]);
    document["status"] = "valid".into();
    document["certificate"] = url.into();
    assert!(place(&document).await.is_ok());

    server.gives("/order", 201, "Replay-Nonce: n\r\n", &good.to_string());
    let error = account.new_order(&order()).await.unwrap_err().to_string();
    assert!(error.contains("without its URL (Location)"), "{error}");
    server.gives("/order", 201, "Replay-Nonce: n\r\nLocation: http://ca.example/order/1\r\n", &good.to_string());
    let error = account.new_order(&order()).await.unwrap_err().to_string();
    assert!(error.contains("http://ca.example/order/1"), "{error}");
}

#[tokio::test]
async fn every_failing_name_is_kept_with_its_reason() {
    let server = Server::start().await;
    let account = account(&server).await;
    let document = json!({
        "type": "urn:ietf:params:acme:error:compound", "detail": format!("two\u{1b}[2J names\r\n{}", "x".repeat(1_000)),
        "subproblems": [
            { "type": "urn:ietf:params:acme:error:caa", "detail": "forbidden", "identifier": { "type": "dns", "value": "a.example" } },
            { "type": "urn:ietf:params:acme:error:rejectedIdentifier", "identifier": { "type": "dns", "value": "b.example" } },
            { "type": "urn:ietf:params:acme:error:dns", "detail": "odd", "identifier": { "type": "dns", "value": "\n" } },
            7,
        ],
    });
    server.gives("/order", 403, "Replay-Nonce: n\r\n", &document.to_string());
    let failure = Failure::from(account.new_order(&order()).await.unwrap_err());
    let kinds: Vec<_> =
        failure.per_identifier.iter().map(|one| (one.identifier.to_string(), one.problem.kind.clone())).collect();
    assert_eq!(
        kinds,
        [("a.example".to_owned(), "caa".to_owned()), ("b.example".to_owned(), "rejectedIdentifier".to_owned()),]
    );
    assert_eq!(failure.class, FailureClass::IdentifierRefused);
    assert!(!failure.to_string().contains(['\u{1b}', '\r', '\n']));
}

#[tokio::test]
async fn an_order_refused_for_what_it_replaces_is_placed_without_it() {
    let server = Server::start().await;
    server.is_a_ca();
    let mut directory: serde_json::Value = json!({ "newNonce": server.url("/nonce"), "newAccount": server.url("/account"), "newOrder": server.url("/order") });
    directory["renewalInfo"] = server.url("/ari").to_string().into();
    server.gives("/dir", 200, "", &directory.to_string());
    let key = AccountKey::generate_kind(AccountKeyType::EcdsaP256).unwrap();
    let authority = connect(&server).await.unwrap();
    let account = authority.register(key, &NewAccount::new(vec![], true), None).await.unwrap().account;
    let conflict = json!({ "type": "urn:ietf:params:acme:error:alreadyReplaced", "detail": "already" }).to_string();
    let order_document = json!({
        "status": "pending", "identifiers": [{ "type": "dns", "value": "a.example" }],
        "authorizations": [], "finalize": server.url("/finalize"),
    });
    let location = format!("Location: {}\r\nReplay-Nonce: n\r\n", server.url("/order/1"));
    let tries = Arc::new(Mutex::new(0));
    server.on("/order", move |_| {
        let mut tries = tries.lock().unwrap();
        *tries += 1;
        if *tries == 1 {
            http(409, "Replay-Nonce: n\r\n", conflict.as_bytes())
        } else {
            http(201, &location, order_document.to_string().as_bytes())
        }
    });
    let mut wanted = order();
    wanted.replaces = Some("aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE".into());
    account.new_order(&wanted).await.unwrap();
    assert_eq!(server.requests("/order"), 2);
}

#[tokio::test]
async fn authorizations_are_read_whatever_they_offer() {
    let server = Server::start().await;
    let account = account(&server).await;
    let url = server.url("/authz/1");
    let challenge = server.url("/challenge/1");
    let document = json!({
        "identifier": { "type": "dns", "value": "*.A.example" }, "status": "pending", "expires": null,
        "challenges": [
            { "type": "dns-persist-01", "url": challenge, "accounturi": "x", "issuer-domain-names": ["ca.example"] },
            { "type": "future-99\n", "url": challenge, "token": null, "status": "odd" },
            { "type": "no-url-01" }, { "url": challenge },
            { "type": "http-01", "url": challenge, "token": "../../x", "status": "invalid",
              "error": { "type": "urn:ietf:params:acme:error:dns", "detail": "no such name" } },
        ],
    });
    server.gives("/authz/1", 200, "Replay-Nonce: n\r\nRetry-After: 3\r\n", &document.to_string());
    let authorization = account.authorization(&url).await.unwrap();
    assert_eq!((authorization.identifier.to_string(), authorization.wildcard), ("a.example".into(), true));
    let kinds: Vec<_> = authorization.challenges.iter().map(|offer| offer.kind.as_str()).collect();
    assert_eq!(kinds, ["dns-persist-01", "future-99\\u{a}", "http-01"]);
    assert_eq!(authorization.challenges[0].token, None);
    assert_eq!(authorization.challenges[2].error.as_ref().unwrap().kind, "dns");
    assert!(authorization.retry_after.is_some());
    for (field, value) in [
        ("status", json!("odd")),
        ("identifier", json!(null)),
        ("identifier", json!({ "type": "dns", "value": "a b" })),
        ("challenges", json!([{ "type": "http-01", "url": "http://ca.example/challenge" }])),
    ] {
        let mut document = document.clone();
        document[field] = value;
        server.gives("/authz/1", 200, "Replay-Nonce: n\r\n", &document.to_string());
        assert!(matches!(account.authorization(&url).await, Err(AcmeError::NotAcme { .. })), "{field}");
    }
}

#[tokio::test]
async fn chains_that_are_none_are_called_what_they_are() {
    let server = Server::start().await;
    let account = account(&server).await;
    let url = server.url("/certificate");
    let pki = testkit::Pki::new(testkit::now());
    let fullchain = pki.for_localhost(testkit::now()).fullchain;
    for (body, says) in [
        (String::new(), "an empty answer"),
        ("<html>".into(), "an HTML page"),
        ("{}".into(), "JSON that is not a PEM certificate chain"),
        ("garbage".into(), "7 bytes that are not a PEM certificate chain"),
        ("\u{1}garbage".into(), "8 bytes that are not a PEM certificate chain"),
        (fullchain.replace("MII", "\0II"), "certificate chain"),
        (format!("{fullchain}{}", pki.intermediate_pem().repeat(1_000)), "a chain of 100"),
    ] {
        server.gives("/certificate", 200, "Replay-Nonce: n\r\n", &body);
        let error = account.certificate(&url, false).await.unwrap_err();
        assert!(matches!(error, AcmeError::NotAcme { .. } | AcmeError::Transport(_)), "{error}");
        let text = error.to_string();
        assert!(text.contains(says) || text.contains("more than"), "{text} / {says}");
    }
    // Alternates: one that loops, one for another certificate, one that is missing, one that is good.
    let links = format!(
        "Replay-Nonce: n\r\nLink: <{url}>;rel=\"alternate\", </other>;rel=\"alternate\"\r\nLink: </missing>;rel=\"alternate\"\r\nLink: </good>;rel=\"alternate\"\r\n"
    );
    server.gives("/certificate", 200, &links, &fullchain);
    server.gives("/other", 200, "Replay-Nonce: n\r\n", &pki.for_localhost(testkit::now()).fullchain);
    server.gives("/missing", 404, "Replay-Nonce: n\r\n", "");
    server.gives("/good", 200, "Replay-Nonce: n\r\n", &fullchain);
    let chains = within(account.certificate(&url, true)).await.unwrap();
    let urls: Vec<_> = chains.iter().map(|chain| chain.url.path()).collect();
    assert_eq!(urls, ["/certificate", "/good"]);
}

#[tokio::test]
async fn what_the_ca_does_not_offer_is_said() {
    let server = Server::start().await;
    let url = server.url("/x");
    let directory = json!({ "newNonce": url, "newAccount": url, "newOrder": url });
    server.gives("/dir", 200, "", &directory.to_string());
    let authority = connect(&server).await.unwrap();
    let key = certkit_acme::keys::KeySpec::EcdsaP256.generate().unwrap();
    let pki = testkit::Pki::new(testkit::now());
    let certificate = certkit_core::Certificate::from_pem(pki.for_localhost(testkit::now()).cert.as_bytes()).unwrap();
    let error = authority.revoke_with_certificate_key(&certificate, &key, None).await.unwrap_err();
    assert!(error.to_string().contains("offers no revokeCert"), "{error}");
    let key = || AccountKey::generate_kind(AccountKeyType::EcdsaP256).unwrap();
    let account = authority.account(key(), server.url("/account/1")).unwrap();
    let error = within(account.change_key(key())).await.unwrap_err();
    assert!(error.to_string().contains("offers no change of account keys"), "{error}");
    assert_eq!(Failure::from(error).retry, Retry::AfterOwner);
}

#[tokio::test]
async fn a_new_account_key_that_another_account_has_is_said_with_the_account() {
    let server = Server::start().await;
    let account = account(&server).await;
    let key = || AccountKey::generate_kind(AccountKeyType::EcdsaP256).unwrap();
    let location = format!("Location: {}\r\n", server.url("/account/2"));
    server.gives("/key-change", 409, &location, r#"{"type":"urn:ietf:params:acme:error:malformed","detail":"in use"}"#);
    let error = within(account.change_key(key())).await.unwrap_err();
    assert!(matches!(&error, AcmeError::KeyInUse { account: Some(_), .. }), "{error:?}");
    assert!(error.to_string().contains("/account/2 has it already"), "{error}");
    let failure = Failure::from(error);
    assert_eq!((failure.http_status, failure.retry), (Some(409), Retry::AfterOwner));
    server.gives("/key-change", 409, "", "");
    let error = within(account.change_key(key())).await.unwrap_err();
    assert!(error.to_string().contains("another account has it already"), "{error}");
}
