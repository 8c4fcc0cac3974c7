//! Lays the tree of `examples/demo.sh`: three lineages as certbot leaves them, and a folder that it forgot.

use std::error::Error;
use std::path::Path;

use testkit::Tree;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [config_dir, server, account, webroot] = arguments.as_slice() else {
        return Err("usage: lay_tree CONFIG_DIR SERVER ACCOUNT_ID WEBROOT".into());
    };
    let tree = Tree::new(config_dir, testkit::now());
    for (name, names, days_left) in [
        ("e.example.org", vec!["e.example.org"], 48),
        ("g.example.net", vec!["g.example.net"], 58),
        ("p.example.com", vec!["p.example.com", "www.p.example.com", "static.p.example.com"], 12),
    ] {
        // An hour more, so that the listing still says these days a few minutes later.
        let left = chrono::TimeDelta::days(days_left) + chrono::TimeDelta::hours(1);
        tree.lineage(name).names(names).left(left).server(server).account(account).webroot(webroot).write();
    }
    std::fs::create_dir(Path::new(config_dir).join("live/a.example.com"))?;
    Ok(())
}
