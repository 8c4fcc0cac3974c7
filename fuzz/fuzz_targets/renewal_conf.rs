//! A renewal/NAME.conf: a file of any content is read or refused, without a panic.
#![no_main]

use certkit_core::store::RenewalConf;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = RenewalConf::parse(bytes);
});
