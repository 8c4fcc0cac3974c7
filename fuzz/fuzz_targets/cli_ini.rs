//! A cli.ini: the file is read, or refused with a line that is safe to show.
#![no_main]
#![allow(dead_code)]

use std::path::Path;

use libfuzzer_sys::fuzz_target;

#[path = "../../certkit-cli/src/args/cli_ini.rs"]
mod cli_ini;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match cli_ini::parse(Path::new("cli.ini"), text) {
        Ok(settings) => {
            for setting in &settings {
                assert!(!setting.key.is_empty() && setting.line <= text.lines().count());
                assert_eq!(settings.iter().filter(|other| other.key == setting.key).count(), 1);
            }
        }
        Err(error) => assert!(!error.to_string().contains(|c: char| c.is_control()), "{error}"),
    }
});
