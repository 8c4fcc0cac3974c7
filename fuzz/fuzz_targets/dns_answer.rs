//! What name servers answer, to everything that the doctor asks of them: addresses with the zones and aliases above them,
//! CAA, TLSA and TXT records, whether answers are validated. Whatever they say, the checks end after a bounded number of
//! questions, and what they find is safe to show.
//!
//! The first byte is the check, the rest the answers one after the other (`certkit-acme/src/dns/fuzzing.rs`).
#![no_main]

use std::sync::LazyLock;

use certkit_acme::doctor::Examination;
use certkit_acme::fuzzing::{Asked, DnsChecks};
use libfuzzer_sys::fuzz_target;
use tokio::runtime::{Builder, Runtime};

/// More than a zone of eight servers with eight aliases needs.
const MOST_QUESTIONS: usize = 4_000;
/// As long as a message may be, and some more for the names of servers.
const LONGEST: usize = 4_000;

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_all().build().expect("a runtime can be built"));
static CHECKS: LazyLock<DnsChecks> = LazyLock::new(|| {
    let _inside = RUNTIME.enter();
    DnsChecks::new(include_bytes!("../seeds/certificate/cloudflare-dns-ipv4-ipv6.der")).expect("a certificate")
});

fuzz_target!(|input: &[u8]| {
    let Asked { examined, questions } = RUNTIME.block_on(CHECKS.go_through(input));
    assert!(questions <= MOST_QUESTIONS, "{questions} questions");
    for one in examined {
        let texts = match one.outcome {
            Examination::NotChecked { because } => vec![because],
            Examination::Found(findings) => findings
                .iter()
                .flat_map(|finding| [finding.subject.clone(), finding.evidence.clone(), finding.cure().to_owned()])
                .collect(),
            _ => Vec::new(),
        };
        for text in texts.iter().chain([&one.subject]) {
            assert!(!text.contains(char::is_control), "{text:?}");
            assert!(text.chars().count() <= LONGEST, "{} characters: {text}", text.chars().count());
        }
    }
});
