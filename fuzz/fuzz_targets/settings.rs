//! A file of settings, as the global one and as a lineage's: it is read, or refused with problems that are safe to show.
#![no_main]

use certkit_core::settings::{LineageSettings, Settings};
use certkit_core::store::StorePaths;
use certkit_core::{LineageName, escape};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let name = LineageName::new("a.example").expect("a name without anything special");
    let paths = StorePaths::within("/etc/letsencrypt");
    let own = LineageSettings::parse(bytes, &Settings::default(), &name, &paths);
    if let Ok(settings) = &own {
        for file in settings.deploy.iter().flat_map(|target| target.value.files()) {
            assert!(file.is_absolute() && !file.starts_with("/etc/letsencrypt/live"), "{file:?}");
        }
    }
    for problems in [Settings::parse(bytes).err(), own.err()].into_iter().flatten() {
        assert!(!problems.is_empty());
        for problem in problems {
            for text in [&problem.key, &problem.what, &problem.cure] {
                assert_eq!(escape(text), text.as_str());
            }
        }
    }
});
