//! Each preset's request, compared with what the service documents.

use certkit_core::settings::WebhookService;
use certkit_core::{Notice, NoticeLevel};
use serde_json::{Value, json};
use testkit::{HttpRequest, WebSink};

use crate::support::{HOSTILE, arrived, deliver, deliver_once, expiring, notifier, recovered, why};

/// The one request that a notice makes.
async fn request(settings: &str, sink: &WebSink, notice: Notice) -> HttpRequest {
    arrived(&deliver_once(&notifier(settings), &[notice]).await);
    let requests = sink.take();
    assert_eq!(requests.len(), 1, "{requests:#?}");
    assert_eq!(requests[0].method, "POST");
    assert_eq!(requests[0].header("content-type"), Some("application/json"));
    requests.into_iter().next().unwrap()
}

fn table(service: &str, fields: &[(&str, &str)]) -> String {
    let fields: String = fields.iter().map(|(name, value)| format!("{name} = \"{value}\"\n")).collect();
    format!("[[notify]]\nwebhook = \"{service}\"\n{fields}")
}

/// Every service with all its fields; `server` and `url` lead to the sink.
fn complete(service: WebhookService, sink: &WebSink) -> String {
    let (url, server) = (sink.url("/hook/secret"), sink.url(""));
    let value = |field: &str| match field {
        "url" => url.clone(),
        "server" => server.clone(),
        other => format!("the-{other}"),
    };
    let fields: Vec<(&str, String)> =
        service.needs.iter().chain(service.knows).map(|field| (*field, value(field))).collect();
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    table(service.name, &fields)
}

/// Every text in a document.
fn texts(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::String(text) => into.push(text.clone()),
        Value::Array(list) => list.iter().for_each(|one| texts(one, into)),
        Value::Object(members) => members.values().for_each(|one| texts(one, into)),
        _ => {}
    }
}

#[tokio::test]
async fn slack() {
    let sink = WebSink::start();
    let got = request(&table("slack", &[("url", &sink.url("/services/T/B/x"))]), &sink, expiring("a.example")).await;
    assert_eq!(got.path, "/services/T/B/x");
    let body = got.json();
    assert_eq!(body["mrkdwn"], false);
    assert_eq!(body["blocks"][0]["type"], "header");
    assert_eq!(body["blocks"][0]["text"]["type"], "plain_text");
    assert_eq!(body["blocks"][1]["text"]["type"], "plain_text");
    let text = body["blocks"][1]["text"]["text"].as_str().unwrap();
    assert!(text.contains("open port 80") && text.encode_utf16().count() <= 3000, "{text}");
    assert!(body["text"].as_str().unwrap().contains("a.example"));
}

#[tokio::test]
async fn discord() {
    let sink = WebSink::start();
    let got =
        request(&table("discord", &[("url", &sink.url("/api/webhooks/1/x"))]), &sink, expiring("a.example")).await;
    let body = got.json();
    assert_eq!(body["allowed_mentions"], json!({ "parse": [] }));
    assert_eq!(
        (body["embeds"][0]["color"].clone(), body["embeds"][0]["timestamp"].clone()),
        (json!(15105570), json!("2027-01-15T08:00:00Z"))
    );
    let text = body["embeds"][0]["description"].as_str().unwrap();
    assert!(text.starts_with("```\n") && text.ends_with("\n```") && text.contains("open port 80"), "{text}");
}

#[tokio::test]
async fn teams() {
    let sink = WebSink::start();
    let url = sink.url("/workflows/1/triggers/manual/paths/invoke?api-version=1&sig=x");
    let got = request(&table("teams", &[("url", &url)]), &sink, expiring("a.example")).await;
    assert!(got.path.ends_with("?api-version=1&sig=x"), "{}", got.path);
    let body = got.json();
    let card = &body["attachments"][0]["content"];
    assert_eq!((body["type"].clone(), card["type"].clone()), (json!("message"), json!("AdaptiveCard")));
    assert_eq!(body["attachments"][0]["contentType"], "application/vnd.microsoft.card.adaptive");
    let blocks = card["body"].as_array().unwrap();
    assert!(blocks.len() > 3 && blocks.iter().all(|block| block["type"] == "RichTextBlock"), "{card}");
    assert_eq!(blocks[0]["inlines"][0]["color"], "Attention");
    assert!(got.body.len() < 28 * 1024);
}

#[tokio::test]
async fn mattermost() {
    let sink = WebSink::start();
    let fields = [("url", sink.url("/hooks/x")), ("channel", "ops".to_owned())];
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let body = request(&table("mattermost", &fields), &sink, expiring("a.example")).await.json();
    assert_eq!(body["channel"], "ops");
    assert!(body["text"].as_str().unwrap().starts_with("```\n"));
    let without = request(&table("mattermost", &fields[..1]), &sink, expiring("a.example")).await.json();
    assert!(without.get("channel").is_none());
}

#[tokio::test]
async fn telegram() {
    let sink = WebSink::start();
    let server = sink.url("");
    let fields = [("token", "123:abc"), ("chat_id", "-100"), ("server", &server)];
    let got = request(&table("telegram", &fields), &sink, expiring("a.example")).await;
    assert_eq!(got.path, "/bot123:abc/sendMessage");
    let body = got.json();
    assert_eq!((body["chat_id"].clone(), body["disable_notification"].clone()), (json!("-100"), json!(false)));
    assert!(body.get("parse_mode").is_none() && body["text"].as_str().unwrap().contains("open port 80"));
}

#[tokio::test]
async fn ntfy() {
    let sink = WebSink::start();
    let server = sink.url("");
    let fields = [("topic", "certs"), ("server", server.as_str()), ("token", "tk_x")];
    let got = request(&table("ntfy", &fields), &sink, expiring("a.example")).await;
    assert_eq!((got.path.as_str(), got.header("authorization")), ("/", Some("Bearer tk_x")));
    let body = got.json();
    assert_eq!((body["topic"].clone(), body["priority"].clone()), (json!("certs"), json!(4)));
    assert!(body["message"].as_str().unwrap().len() <= 4096 && body["title"].as_str().unwrap().contains("a.example"));
    let open = request(&table("ntfy", &fields[..2]), &sink, expiring("a.example")).await;
    assert_eq!(open.header("authorization"), None);
}

#[tokio::test]
async fn gotify() {
    let sink = WebSink::start();
    let fields = [("server", sink.url("/gotify")), ("token", "A.x".to_owned())];
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let got = request(&table("gotify", &fields), &sink, expiring("a.example")).await;
    assert_eq!((got.path.as_str(), got.header("x-gotify-key")), ("/gotify/message", Some("A.x")));
    assert_eq!((got.json()["priority"].clone(), got.json()["title"].is_string()), (json!(8), true));
}

#[tokio::test]
async fn pushover() {
    let sink = WebSink::start();
    let server = sink.url("");
    let fields = [("token", "app"), ("user", "me"), ("server", server.as_str())];
    let got = request(&table("pushover", &fields), &sink, expiring("a.example")).await;
    assert_eq!(got.path, "/1/messages.json");
    let body = got.json();
    assert_eq!(
        (body["token"].clone(), body["user"].clone(), body["priority"].clone()),
        (json!("app"), json!("me"), json!(1))
    );
    assert!(body["message"].as_str().unwrap().chars().count() <= 1024 && body.get("retry").is_none());
    let mut worst = expiring("a.example");
    worst.level = NoticeLevel::Emergency;
    let body = request(&table("pushover", &fields), &sink, worst).await.json();
    assert_eq!(
        (body["priority"].clone(), body["retry"].clone(), body["expire"].clone()),
        (json!(2), json!(300), json!(3600))
    );
}

#[tokio::test]
async fn pagerduty_is_told_of_each_certificate_and_that_it_is_over() {
    let sink = WebSink::start();
    let server = sink.url("");
    let settings = table("pagerduty", &[("routing_key", "R1"), ("server", &server)]);
    let (notifier, mut memory) = (notifier(&settings), Default::default());
    arrived(&deliver(&notifier, &mut memory, &[expiring("a.example"), expiring("b.example")]).await);
    let requests = sink.take();
    assert_eq!(requests.len(), 2, "one event for each, although the cause is the same");
    let body = requests[0].json();
    assert_eq!(
        (requests[0].path.as_str(), &body["event_action"], &body["routing_key"]),
        ("/v2/enqueue", &json!("trigger"), &json!("R1"))
    );
    assert_eq!(body["dedup_key"], "certkit/host.example.net/renewal/a.example");
    assert_eq!(body["payload"]["severity"], "error");
    assert_eq!(
        (body["payload"]["source"].clone(), body["payload"]["component"].clone()),
        (json!("host.example.net"), json!("a.example"))
    );
    assert!(body["payload"]["summary"].as_str().unwrap().contains("a.example"));
    arrived(&deliver(&notifier, &mut memory, &[recovered("a.example")]).await);
    let body = sink.take()[0].json();
    assert_eq!(
        body,
        json!({"routing_key": "R1", "event_action": "resolve", "dedup_key": "certkit/host.example.net/renewal/a.example"})
    );
}

#[tokio::test]
async fn the_generic_webhook_gets_everything() {
    let sink = WebSink::start();
    let url = sink.url("/x");
    let got = request(&table("generic", &[("url", &url), ("token", "t")]), &sink, expiring("a.example")).await;
    assert_eq!(got.header("authorization"), Some("Bearer t"));
    let body = got.json();
    assert_eq!(
        (body["schema"].clone(), body["level"].clone(), body["resolved"].clone()),
        (json!(1), json!("critical"), json!(false))
    );
    let notice = &body["notices"][0];
    assert_eq!(notice["identifiers"], json!(["a.example", "www.a.example"]));
    assert_eq!(notice["failing"], json!([{ "name": "www.a.example", "problem": "connection" }]));
    assert_eq!(
        (notice["not_after"].clone(), notice["command"].clone()),
        (json!("2027-01-18T13:00:00Z"), json!("certkit renew --cert-name a.example"))
    );
    assert_eq!((notice["kind"].clone(), notice["incident"].clone()), (json!("expiring"), json!("renewal/a.example")));
    assert!(body.get("token").is_none() && !got.body.contains("Bearer"));
}

#[tokio::test]
async fn hostile_names_stay_texts_in_every_preset_and_reach_no_head_and_no_url() {
    let sink = WebSink::start();
    for service in WebhookService::ALL {
        let settings = complete(service, &sink);
        let plain = request(&settings, &sink, expiring("a.example")).await;
        let mut notice = expiring(HOSTILE);
        (notice.cause, notice.certificate) = (HOSTILE.to_owned(), HOSTILE.to_owned());
        let got = request(&settings, &sink, notice).await;
        assert_eq!(got.path, plain.path, "{}", service.name);
        let names = |request: &HttpRequest| request.headers.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&got), names(&plain), "{}", service.name);
        let mut all = Vec::new();
        texts(&got.json(), &mut all);
        let all = all.join("\n");
        assert!(all.contains("{{ 7*7 }}") && !all.contains("}}49"), "{}: {all}", service.name);
        assert!(!all.contains("\nBcc:"), "{}: {all}", service.name);
        if service.name == "slack" {
            assert!(!got.json()["text"].as_str().unwrap().contains("<!channel>"), "{all}");
        }
    }
}

#[tokio::test]
async fn a_thousand_names_stay_within_every_services_limits() {
    let sink = WebSink::start();
    let most = [
        ("slack", 3000),
        ("discord", 4096),
        ("telegram", 4096),
        ("ntfy", 4096),
        ("pushover", 1024),
        ("mattermost", 16383),
    ];
    for (name, most) in most {
        let settings = complete(WebhookService::named(name).unwrap(), &sink);
        let mut notice = expiring("a.example");
        notice.cause = "ü😀".repeat(9000);
        let mut all = Vec::new();
        texts(&request(&settings, &sink, notice).await.json(), &mut all);
        let longest = all.iter().max_by_key(|text| text.len()).unwrap();
        let length = if name == "ntfy" { longest.len() } else { longest.encode_utf16().count() };
        assert!(length <= most, "{name}: {length}");
        assert!(longest.contains('…'), "{name}");
    }
}

#[tokio::test]
async fn every_service_can_be_tried() {
    let sink = WebSink::start();
    let all: String = WebhookService::ALL.into_iter().map(|service| complete(service, &sink)).collect();
    let deliveries = notifier(&all).test(crate::support::now()).await;
    assert_eq!(deliveries.len(), WebhookService::ALL.len());
    arrived(&deliveries);
    assert_eq!(sink.take().len(), WebhookService::ALL.len());
}

#[tokio::test]
async fn a_service_that_refuses_is_told_without_the_secret_and_gets_it_again() {
    let sink = WebSink::start();
    sink.answer(404, "no_service for /services/T/B/secret\u{1b}[31m\n<html>");
    let notifier = notifier(&table("slack", &[("url", &sink.url("/services/T/B/secret"))]));
    let mut memory = Default::default();
    let deliveries = deliver(&notifier, &mut memory, &[expiring("a.example")]).await;
    let why = why(&deliveries);
    assert!(why.starts_with("HTTP 404 from 127.0.0.1:") && why.contains("no_service"), "{why}");
    assert!(!why.contains("secret") && !why.contains('\u{1b}'), "{why}");
    assert!(deliveries[0].finding().unwrap().cure().contains("make a new one there"));
    assert!(!format!("{notifier:?} {deliveries:?}").contains("T/B"));
    arrived(&deliver(&notifier, &mut memory, &[]).await);
    assert_eq!(sink.take().len(), 2);
    assert!(deliver(&notifier, &mut memory, &[]).await.is_empty());
}

#[tokio::test]
async fn what_arrived_before_a_failure_does_not_come_again() {
    let sink = WebSink::start();
    let server = sink.url("");
    let notifier = notifier(&table("pagerduty", &[("routing_key", "R1"), ("server", &server)]));
    let mut memory = Default::default();
    sink.answer(202, "");
    sink.answer(500, "");
    let notices = [expiring("a.example"), expiring("b.example"), expiring("c.example")];
    let deliveries = deliver(&notifier, &mut memory, &notices).await;
    assert_eq!(deliveries.iter().filter(|one| one.sent.is_complete()).count(), 1, "{deliveries:?}");
    assert_eq!(sink.take().len(), 2, "the third is not tried after the second has failed");
    arrived(&deliver(&notifier, &mut memory, &[]).await);
    let keys: Vec<Value> = sink.take().iter().map(|one| one.json()["dedup_key"].clone()).collect();
    assert_eq!(keys, ["certkit/host.example.net/renewal/b.example", "certkit/host.example.net/renewal/c.example"]);
}

#[tokio::test]
async fn plain_http_leaves_the_machine_neither_by_a_url_nor_by_a_redirect() {
    let deliveries =
        deliver_once(&notifier(&table("slack", &[("url", "http://hooks.example/secret")])), &[expiring("a")]).await;
    let why = why(&deliveries);
    assert!(why.contains("https://HOST/… is needed") && !why.contains("secret"), "{why}");
}

#[tokio::test]
async fn an_own_preset_is_data_too() {
    let (sink, dir) = (WebSink::start(), tempfile::tempdir().unwrap());
    let preset = dir.path().join("own.toml");
    let secret = dir.path().join("secret");
    std::fs::write(&secret, format!("{}\n", sink.url("/own"))).unwrap();
    std::fs::write(
        &preset,
        "needs = [\"url\"]\nknows = [\"room\"]\nurl = \"{{ url }}\"\nbody = '{\"room\": {{ room }}, \"says\": {{ subject }}, \"n\": {{ notices|length }}}'\n[headers]\nx-level = \"{{ room }}\"\n",
    )
    .unwrap();
    let settings =
        format!("[[notify]]\nwebhook = \"{}\"\nurl_file = \"{}\"\nroom = \"7\"\n", preset.display(), secret.display());
    let got = request(&settings, &sink, expiring("a.example")).await;
    assert_eq!((got.path.as_str(), got.header("x-level")), ("/own", Some("7")));
    assert_eq!((got.json()["room"].clone(), got.json()["n"].clone()), (json!("7"), json!(1)));
    std::fs::write(&preset, "needs = [\"url\"]\nknows = [\"room\"]\nurl = \"{{ url }}\"\nbody = '{ {{ subject }}'\n")
        .unwrap();
    let deliveries = deliver_once(&notifier(&settings), &[expiring("a.example")]).await;
    assert!(why(&deliveries).contains("is not JSON"), "{deliveries:?}");
    assert!(deliveries[0].finding().unwrap().cure().contains("correct the preset"));
    std::fs::remove_file(&secret).unwrap();
    let deliveries = deliver_once(&notifier(&settings), &[expiring("a.example")]).await;
    assert!(why(&deliveries).contains("`url` in the file"), "{deliveries:?}");
}
