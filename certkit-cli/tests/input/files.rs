//! Files that are made to hurt a reader (`testkit::hurtful_files`), that are none, and PEM as people write it.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use testkit::{HurtfulFile, Tree};

use crate::support::{MOST_PROCESSOR_TIME, inspect, scratch};

#[test]
fn files_below_a_mebibyte_take_little_time_and_memory_whatever_is_in_them() {
    let (_folder, path) = scratch();
    let tree = Tree::new(path.join("tree"), testkit::now());
    for HurtfulFile { name, content, certificates, problem } in testkit::hurtful_files(&tree) {
        assert!(content.len() < 1 << 20, "{name}");
        let file = path.join("case");
        fs::write(&file, content).unwrap();
        let run = inspect(&file);
        let document = run.json();
        assert_eq!(document["certificates"].as_array().unwrap().len(), certificates, "{name}");
        assert!(run.stdout.contains(problem), "{name}: {}", run.stdout.get(..2_000).unwrap_or(&run.stdout));
        assert_eq!(run.status, i32::from(certificates == 0), "{name}");
        // A thousand certificates are a thousand times the work of one.
        let allowed = MOST_PROCESSOR_TIME * if certificates > 100 { 10 } else { 1 };
        assert!(run.processor_time <= allowed, "{name}: {:?}", run.processor_time);
    }
}

#[test]
fn ten_thousand_names_in_one_certificate_are_read() {
    let (_folder, path) = scratch();
    let tree = Tree::new(path.join("tree"), testkit::now());
    let file = path.join("many.pem");
    fs::write(&file, testkit::certificate_of_many_names(&tree)).unwrap();
    let names: Vec<String> = testkit::many_names().collect();
    assert_eq!(inspect(&file).json()["certificates"][0]["san_dns"], serde_json::json!(names));
}

#[test]
fn what_is_no_file_of_certificates_is_refused_without_being_read() {
    let (_folder, path) = scratch();
    let at = |name: &str| path.join(name);
    File::create(at("large")).unwrap().set_len(100_000_000).unwrap();
    File::create(at("huge")).unwrap().set_len(1 << 40).unwrap();
    assert!(Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    symlink("/dev/zero", at("device")).unwrap();
    symlink("circle", at("circle")).unwrap();
    for (name, why) in [
        ("large", "it is larger than 67108864 bytes"),
        ("huge", "it is larger than 67108864 bytes"),
        ("pipe", "it is a pipe, not a regular file"),
        ("socket", "it is a socket, not a regular file"),
        ("device", "it is a device, not a regular file"),
        ("circle", "symbolic links"),
    ] {
        let run = inspect(&at(name));
        assert_eq!(run.status, 1, "{name}");
        assert!(run.json()["problems"][0]["what"].as_str().unwrap().contains(why), "{name}: {}", run.stdout);
        assert!(run.processor_time <= MOST_PROCESSOR_TIME, "{name}: {:?}", run.processor_time);
    }
    // And all of them in a folder: they are passed over.
    assert_eq!(inspect(&path).status, 1);
}

#[test]
fn pem_is_read_as_leniently_as_others_do_and_what_is_lost_is_told() {
    let (_folder, path) = scratch();
    let tree = Tree::new(path.join("tree"), testkit::now());
    let one = fs::read_to_string(tree.lineage("a.example").write().archive.join("cert1.pem")).unwrap();
    let label = |label: &str| one.replace("CERTIFICATE", label);
    let glued = one.trim_end().repeat(3);
    for (name, text, certificates, problems) in [
        ("as it is", one.clone(), 1, 0),
        ("a mark", format!("\u{feff}{one}"), 1, 0),
        ("a mark in the middle", format!("{one}\u{feff}{one}"), 2, 0),
        ("lines of Windows", one.repeat(2).replace('\n', "\r\n"), 2, 0),
        ("lines of an old Mac", one.repeat(2).replace('\n', "\r"), 2, 0),
        ("blanks around lines", one.replace('\n', " \t\n  "), 1, 0),
        ("blank lines", one.replace('\n', "\n\n"), 1, 0),
        ("END and BEGIN in one line", glued, 3, 0),
        ("all in one line", one.replace('\n', ""), 1, 0),
        ("a line of text before it without an end", format!("subject=a{one}"), 1, 0),
        ("the old label", label("X509 CERTIFICATE"), 1, 0),
        ("OpenSSL's label with its trust", label("TRUSTED CERTIFICATE"), 1, 0),
        ("a block that is cut off", format!("{one}{}", &one[..200]), 1, 1),
        ("a BEGIN line alone", format!("-----BEGIN CERTIFICATE-----\n{one}"), 1, 1),
        ("two BEGIN lines in one", format!("-----BEGIN CERTIFICATE----------BEGIN CERTIFICATE-----\n{one}"), 1, 2),
        ("another END line", one.replace("END CERTIFICATE", "END CERT"), 0, 1),
    ] {
        let file = path.join("file.pem");
        fs::write(&file, text).unwrap();
        let document = inspect(Path::new(&file)).json();
        let count = |list: &str| document[list].as_array().unwrap().len();
        assert_eq!((count("certificates"), count("problems")), (certificates, problems), "{name}: {document}");
    }
}
