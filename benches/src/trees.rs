//! The trees that are listed.

use std::path::Path;

use chrono::TimeDelta;
use testkit::{Issued, KeyKind, Tree};

/// A tree in which one lineage in nine is due. A handful of certificates serves all: what they say does not matter here.
pub(crate) fn lay(config_dir: &Path, lineages: usize) -> Tree {
    let tree = Tree::new(config_dir, testkit::now());
    let key = KeyKind::EcdsaP256.generate();
    let kinds: Vec<(i64, Issued)> = (1..=9)
        .map(|ninth| {
            let left = 23 + 6 * ninth;
            let not_after = tree.now() + TimeDelta::days(left);
            let names: Vec<String> = (0..ninth).map(|number| format!("n{number}.example.com")).collect();
            let serial = [4, u8::try_from(ninth).unwrap_or_default(), 0x5a, 0x17, 0x20, 0x99, 0x31, 0x42];
            let issued = tree.pki().issue(&names, not_after - TimeDelta::days(90), not_after, &key, &serial);
            (left, issued)
        })
        .collect();
    let server = "https://127.0.0.1:14000/dir";
    for (number, (left, issued)) in (0..lineages).zip(kinds.iter().cycle()) {
        let lineage = tree.lineage(&name(number)).days_left(*left).server(server);
        lineage.account("0123456789abcdef0123456789abcdef").webroot("/var/www/html").write_with(issued);
    }
    tree
}

/// The name of a lineage, by its number.
pub(crate) fn name(number: usize) -> String {
    format!("site-{number:06}.example.com")
}
