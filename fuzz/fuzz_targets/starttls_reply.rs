//! What mail servers say before TLS begins: a talk ends after a bounded number of bytes, says nothing but what it has to, and
//! believes nothing that was put behind the agreement.
//!
//! The first byte is the protocol, the rest what the server says; a NUL ends a packet.
#![no_main]

use std::sync::LazyLock;

use certkit_acme::fuzzing::{Talked, talk};
use certkit_core::EndpointProtocol;
use libfuzzer_sys::fuzz_target;
use tokio::runtime::{Builder, Runtime};

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().build().expect("a runtime can be built"));

/// A hundred lines of 4 KiB, each with a packet that was read with its end.
const MOST_READ: usize = 100 * (4096 + 1024);
/// As much as is shown, with the words around it.
const LONGEST: usize = 200;

fuzz_target!(|input: &[u8]| {
    let Some((protocol, said)) = input.split_first() else { return };
    let (protocol, says): (_, &[&str]) = match protocol % 3 {
        0 => (EndpointProtocol::Smtp, &["EHLO [127.0.0.1]\r\n", "STARTTLS\r\n"]),
        1 => (EndpointProtocol::Imap, &["a1 STARTTLS\r\n"]),
        _ => (EndpointProtocol::Pop3, &["STLS\r\n"]),
    };
    let packets: Vec<&[u8]> = said.split(|byte| *byte == 0).collect();
    let Talked { told, read, end } = RUNTIME.block_on(talk(protocol, &packets));
    let told = String::from_utf8(told).expect("what is told is text");
    assert!(read <= MOST_READ, "{read} bytes were read");
    assert!((0..=says.len()).any(|count| told == says[..count].concat()), "{told:?}");
    match end {
        Ok(()) => {
            assert_eq!(told, says.concat());
            // What was read ends with the line that agrees.
            let heard: Vec<u8> = said.iter().copied().filter(|byte| *byte != 0).take(read).collect();
            assert_eq!(heard.last(), Some(&b'\n'), "text behind the agreement was believed");
        }
        Err(why) => {
            assert!(!why.contains(char::is_control), "{why:?}");
            assert!(why.chars().count() <= LONGEST, "{why}");
        }
    }
});
