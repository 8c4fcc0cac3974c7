//! Renewal configurations below a mebibyte, which is the most that is read of one, that are made to hurt a reader.

use std::fs;

use crate::place::{BAD, GOOD, Place, status_of};
use crate::support::{MOST_PROCESSOR_TIME, certkit};

/// In KiB. A list of half a million items is half a million texts.
const MOST_MEMORY: u32 = 256 * 1024;

/// The content comes before what was in the conf.
fn hurtful_confs() -> Vec<(&'static str, String)> {
    let lines = |count: usize, line: &dyn Fn(usize) -> String| (0..count).map(line).collect::<String>();
    let many = lines(60_000, &|number| format!("k{number} = x\n"));
    vec![
        ("names that lead nowhere", format!("{many}{}", lines(20_000, &|number| format!("w{number} = %(zz)s\n")))),
        ("the last of many names", format!("{many}{}", lines(990, &|number| format!("w{number} = %(k59999)s\n")))),
        (
            "a long value that is named again and again",
            format!("long = {}\n{}", "x".repeat(900_000), lines(990, &|number| format!("w{number} = %(long)s\n"))),
        ),
        (
            "values that double themselves",
            lines(40, &|number| format!("d{} = %(d{number})s%(d{number})s\n", number + 1)) + "d0 = xx\n",
        ),
        ("a list without an end", format!("items = {}\n", "a,".repeat(400_000))),
        ("sections", lines(50_000, &|number| format!("[s{number}]\n"))),
        (
            "a section in a section",
            lines(900, &|number| format!("{}n{}\n", "[".repeat(number + 1), "]".repeat(number + 1))),
        ),
        ("quotes", format!("q = {}\n", "'\"".repeat(400_000))),
        ("commas and hashes", format!("c = {}\n", ", #".repeat(300_000))),
    ]
}

#[test]
fn confs_below_a_mebibyte_take_little_time_and_memory_whatever_is_in_them() {
    let place = Place::new();
    let conf = place.at(&format!("renewal/{BAD}.conf"));
    let sound = fs::read_to_string(&conf).unwrap();
    for (name, content) in hurtful_confs() {
        let content = format!("{content}{sound}");
        assert!(content.len() < 1 << 20, "{name}: {}", content.len());
        fs::write(&conf, &content).unwrap();
        for command in [&["certificates", "--json"][..], &["status"], &["fsck"]] {
            let run = place.run_by(command, |all| certkit(all, &place.root, Some(MOST_MEMORY)));
            // Each looks at two lineages and more than once.
            assert!(run.processor_time <= 4 * MOST_PROCESSOR_TIME, "{name}: {command:?}: {:?}", run.processor_time);
            if command[0] == "certificates" {
                assert_eq!(status_of(&run.json(), GOOD).as_deref(), Some("valid"), "{name}");
            }
        }
    }
}
