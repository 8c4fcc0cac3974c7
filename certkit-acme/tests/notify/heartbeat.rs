//! The URL that is called after each run.

use certkit_acme::notify::Beat;
use testkit::WebSink;

use crate::support::{notifier, settings};

fn text(sink: &WebSink) -> String {
    format!("[heartbeat]\nurl = \"{}\"\n", sink.url("/uuid-secret"))
}

#[tokio::test]
async fn success_failure_and_start_are_told_apart() {
    let sink = WebSink::start();
    let text = text(&sink);
    let (notifier, settings) = (notifier(&text), settings(&text));
    let heartbeat = &settings.heartbeat.as_ref().unwrap().value;
    for beat in [Beat::Start, Beat::Success, Beat::Failure("a.example: no\nb.example: no".to_owned())] {
        notifier.beat(heartbeat, &beat).await.unwrap();
    }
    let requests = sink.take();
    let paths: Vec<&str> = requests.iter().map(|one| one.path.as_str()).collect();
    assert_eq!(paths, ["/uuid-secret/start", "/uuid-secret", "/uuid-secret/fail"]);
    assert_eq!(requests[2].body, "a.example: no\nb.example: no");
}

#[tokio::test]
async fn it_is_tried_again_a_few_times_and_no_secret_is_told() {
    let sink = WebSink::start();
    let text = text(&sink);
    let (notifier, settings) = (notifier(&text), settings(&text));
    let heartbeat = &settings.heartbeat.as_ref().unwrap().value;
    sink.answer(503, "");
    sink.answer(502, "");
    notifier.beat(heartbeat, &Beat::Success).await.unwrap();
    assert_eq!(sink.take().len(), 3);
    for _ in 0..3 {
        sink.answer(500, "");
    }
    let why = notifier.beat(heartbeat, &Beat::Success).await.unwrap_err();
    assert!(why.starts_with("HTTP 500 from 127.0.0.1:") && !why.contains("secret"), "{why}");
    sink.take();
    sink.answer(404, "");
    assert!(notifier.beat(heartbeat, &Beat::Success).await.unwrap_err().contains("404"));
    assert_eq!(sink.take().len(), 1, "another try would hear the same");
}
