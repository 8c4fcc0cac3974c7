//! What a stranger sends to the http-01 responder: the key authorization is said for the exact path alone, and nothing of
//! the request comes back.
#![no_main]

use std::sync::LazyLock;

use certkit_acme::fuzzing::{KEY_AUTHORIZATION, answer_request};
use libfuzzer_sys::fuzz_target;
use tokio::runtime::{Builder, Runtime};

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_time().build().expect("a runtime can be built"));

fuzz_target!(|request: &[u8]| {
    let said = RUNTIME.block_on(answer_request(request));
    let text = String::from_utf8_lossy(&said);
    assert!(text.is_empty() || text.starts_with("HTTP/1."), "{text}");
    let path = b"/.well-known/acme-challenge/known-Token_1";
    let asked = request.windows(path.len()).any(|part| part == path);
    assert!(asked || !text.contains(KEY_AUTHORIZATION), "{text}");
    // One request, one answer: a second one in the same bytes is not smuggled in.
    assert!(text.matches("HTTP/1.").count() <= 1, "{text}");
});
