//! Lines of a conf that name something else than a live link of its certificate. Each cure is followed literally, and ends it.

use super::*;

/// Does what a cure says of lines: ``let the lines in FILE say `KEY = VALUE`, …``.
fn say_as_told(conf: &Path, cure: &str) {
    let (file, lines) = cure.split_once(" say ").unwrap();
    let file = file.strip_prefix("let the line in ").or_else(|| file.strip_prefix("let the lines in ")).unwrap();
    assert_eq!(Path::new(file), conf, "{cure}");
    let lines: Vec<&str> = lines.split('`').skip(1).step_by(2).collect();
    assert_eq!(lines.len() > 1, cure.starts_with("let the lines"), "{cure}");
    let mut text = fs::read_to_string(conf).unwrap();
    for line in lines {
        let (key, _) = line.split_once(" = ").unwrap();
        let old = text.lines().find(|old| old.starts_with(&format!("{key} = "))).unwrap().to_owned();
        text = text.replace(&format!("{old}\n"), &format!("{line}\n"));
    }
    fs::write(conf, text).unwrap();
}

#[test]
fn a_conf_with_one_line_of_another_certificate_is_an_error_that_names_the_line() {
    let dir = laid(&["v1", "v2"]);
    lay_lineage(dir.path(), &other(), &["v3"]);
    rewrite(&conf(dir.path()), "live/a.example.org/privkey.pem", "live/b.example.org/privkey.pem");
    let report = repair(dir.path());
    let told = of(&report.left, FindingCode::BrokenLineage, &name());
    assert_eq!(told.finding.severity, Severity::Error);
    let line = "renewal/a.example.org.conf has privkey = live/b.example.org/privkey.pem, which is a live link of \
                b.example.org";
    assert_eq!(told.finding.evidence, line);
    let cure = told.finding.cure().to_owned();
    assert!(cure.ends_with("live/a.example.org/privkey.pem`") && !cure.contains("remove"), "{cure}");
    assert!(report.left.iter().all(|one| one.name != Some(other())), "{report:#?}");
    say_as_told(&conf(dir.path()), &cure);
    assert_eq!(self::told(&diagnose(dir.path())), []);
}

#[test]
fn no_repair_is_promised_beside_lines_that_are_wrong() {
    // What is missing could be written, and would end nothing.
    let dir = laid(&["v1", "v2"]);
    let text = fs::read_to_string(conf(dir.path())).unwrap();
    let (top, _) = text.split_once("[renewalparams]").unwrap();
    fs::write(conf(dir.path()), top.replace("live/a.example.org/", "live/")).unwrap();
    let [one] = diagnose(dir.path()).try_into().unwrap();
    assert_eq!((one.finding.code, &one.repair), (FindingCode::BrokenLineage, &None), "{one:#?}");
    say_as_told(&conf(dir.path()), one.finding.cure());
    let found = diagnose(dir.path());
    assert!(found.iter().any(|one| one.repair.is_some()), "{found:#?}");
}

#[test]
fn all_lines_that_are_wrong_are_told_at_once_with_what_has_to_stand_there() {
    let dir = laid(&["v1", "v2"]);
    lay_lineage(dir.path(), &other(), &["v3"]);
    let text = fs::read_to_string(conf(dir.path())).unwrap();
    for kinds in [&["cert", "chain", "fullchain"][..], &["privkey", "chain"]] {
        for there in ["live/b.example.org/", "live/a.example.org/old-", "archive/b.example.org/"] {
            fs::write(conf(dir.path()), &text).unwrap();
            for kind in kinds {
                rewrite(&conf(dir.path()), &format!("live/a.example.org/{kind}.pem"), &format!("{there}{kind}.pem"));
            }
            let [one] = diagnose(dir.path()).try_into().unwrap();
            assert_eq!(one.finding.code, FindingCode::BrokenLineage, "{one:#?}");
            assert!(kinds.iter().all(|kind| one.finding.evidence.contains(&format!("{there}{kind}.pem"))), "{one:#?}");
            let [of_run] = lock(dir.path()).recover(&TestMath::default(), now()).unwrap().try_into().unwrap();
            assert_eq!(of_run.finding, one.finding);
            // The audit says the same of one that can be used, and nothing of the links that its conf names.
            let audited = store(dir.path()).audit().unwrap();
            assert!(audited.iter().all(|told| told.cure() == one.finding.cure()), "{audited:#?}");
            say_as_told(&conf(dir.path()), one.finding.cure());
            assert_eq!(told(&diagnose(dir.path())), [], "{kinds:?} {there}");
        }
    }
}

#[test]
fn each_line_is_said_to_be_of_the_certificate_that_it_is_of() {
    let (dir, third) = (laid(&["v1", "v2"]), LineageName::new("c.example.org").unwrap());
    lay_lineage(dir.path(), &other(), &["v3"]);
    lay_lineage(dir.path(), &third, &["v4"]);
    for of_third in [&["chain"][..], &["chain", "fullchain"]] {
        let before = fs::read_to_string(conf(dir.path())).unwrap();
        for kind in ["cert", "privkey"] {
            rewrite(&conf(dir.path()), &format!("live/a.example.org/{kind}"), &format!("live/b.example.org/{kind}"));
        }
        for kind in of_third {
            rewrite(&conf(dir.path()), &format!("live/a.example.org/{kind}"), &format!("live/c.example.org/{kind}"));
        }
        let [one] = diagnose(dir.path()).try_into().unwrap();
        for of_one in ["b.example.org; ", "c.example.org"] {
            assert!(one.finding.evidence.contains(&format!("of {of_one}")), "{one:#?}");
        }
        say_as_told(&conf(dir.path()), one.finding.cure());
        assert_eq!(fs::read_to_string(conf(dir.path())).unwrap(), before);
    }
}

#[test]
fn live_links_are_not_wrong_where_archive_dir_is() {
    for said in ["", "live", "live/a.example.org"] {
        for (line, link) in [(false, true), (true, false), (true, true)] {
            let dir = laid(&["v1", "v2"]);
            let before = fs::read_to_string(conf(dir.path())).unwrap();
            let home = dir.path().join("archive/a.example.org").display().to_string();
            rewrite(&conf(dir.path()), &home, dir.path().join(said).to_str().unwrap());
            if line {
                rewrite(&conf(dir.path()), &format!("chain = {}\n", live(dir.path(), Kind::Chain).display()), "");
            }
            if link {
                fs::remove_file(live(dir.path(), Kind::Fullchain)).unwrap();
            }
            let found = diagnose(dir.path());
            assert!(
                found.iter().all(|one| !one.finding.evidence.contains("no live link")),
                "{said} {line} {link}: {found:#?}"
            );
            let promised = found.iter().all(|one| one.repair.is_some());
            let report = repair(dir.path());
            let is_left = report.left.iter().any(|one| one.finding.code != FindingCode::DeployPending);
            assert!(!is_left || !promised, "{said} {line} {link}: {found:#?} {report:#?}");
            if let Some(one) = report.left.iter().find(|one| one.finding.cure().starts_with("let archive_dir in ")) {
                assert!(one.finding.cure().ends_with(&home), "{one:#?}");
                rewrite(
                    &conf(dir.path()),
                    &format!("archive_dir = {}\n", dir.path().join(said).display()),
                    &format!("archive_dir = {home}\n"),
                );
                assert!(repair(dir.path()).is_success());
            }
            let left = diagnose(dir.path());
            assert!(
                left.iter().all(|one| one.finding.code == FindingCode::DeployPending),
                "{said} {line} {link}: {left:#?}"
            );
            assert_eq!(whole_version(dir.path(), &name()).0, Version(2));
            let sorted = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
            assert_eq!(sorted(&fs::read_to_string(conf(dir.path())).unwrap()), sorted(&before));
        }
    }
}

#[test]
fn a_file_that_a_wrong_line_calls_a_key_keeps_its_rights() {
    let dir = laid(&["v1", "v2"]);
    lay_lineage(dir.path(), &other(), &["v3"]);
    let chain = dir.path().join("archive/b.example.org/chain1.pem");
    chmod(&chain, 0o644);
    rewrite(&conf(dir.path()), "live/a.example.org/privkey.pem", "live/b.example.org/chain.pem");
    let report = repair(dir.path());
    assert_eq!(mode(&chain), 0o644, "{report:#?}");
    assert!(report.left.iter().all(|one| one.finding.code == FindingCode::BrokenLineage), "{report:#?}");
    // A key by another name, wherever it is, is one.
    let key = dir.path().join("archive/a.example.org/mine.key");
    fs::copy(archive(dir.path(), Kind::Privkey, 2), &key).unwrap();
    chmod(&key, 0o644);
    rewrite(&conf(dir.path()), "live/b.example.org/chain.pem", "live/a.example.org/privkey.pem");
    fs::remove_file(live(dir.path(), Kind::Privkey)).unwrap();
    symlink("../../archive/a.example.org/mine.key", live(dir.path(), Kind::Privkey)).unwrap();
    assert!(diagnose(dir.path()).iter().any(|one| one.finding.code == FindingCode::PrivateKeyReadable));
}

#[test]
fn what_is_missing_is_not_made_up_beside_the_links_of_another() {
    let line = |kind: &str| format!("live/a.example.org/{kind}.pem");
    let of_b = |kind: &str| format!("live/b.example.org/{kind}.pem");
    // Without a line of the cert, or with one that does not begin at the root, and other lines that lead to another certificate.
    for (cert, wrong) in [
        (None, &["privkey"][..]),
        (None, &["privkey", "chain", "fullchain"]),
        (Some("live/a.example.org/cert.pem"), &["privkey"]),
        (Some("cert.pem"), &["privkey", "chain", "fullchain"]),
    ] {
        let dir = laid(&["v1", "v2"]);
        lay_lineage(dir.path(), &other(), &["v3"]);
        let whole = fs::read_to_string(conf(dir.path())).unwrap();
        let own = format!("cert = {}\n", live(dir.path(), Kind::Cert).display());
        rewrite(&conf(dir.path()), &own, &cert.map_or_else(String::new, |cert| format!("cert = {cert}\n")));
        for kind in wrong {
            rewrite(&conf(dir.path()), &line(kind), &of_b(kind));
        }
        let before = fs::read(conf(dir.path())).unwrap();
        let report = repair(dir.path());
        assert_eq!(fs::read(conf(dir.path())).unwrap(), before, "{report:#?}");
        let [one] = report.left.try_into().unwrap();
        assert!(!one.finding.cure().contains("live/b.example.org"), "{one:#?}");
        say_as_told(&conf(dir.path()), one.finding.cure());
        assert!(repair(dir.path()).is_success());
        assert_eq!(told(&diagnose(dir.path())), []);
        let sorted = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
        assert_eq!(sorted(&fs::read_to_string(conf(dir.path())).unwrap()), sorted(&whole));
    }
}

#[test]
fn a_line_into_another_tree_is_told_once_with_what_has_to_stand_there() {
    let elsewhere = laid(&["v1", "v2"]);
    let archive = "archive/a.example.org";
    for there in
        ["live/a.example.org/cert.pem", "live/nothing.example.org/cert.pem", "live/a.example.org/mine.pem", archive]
    {
        let dir = laid(&["v1", "v2"]);
        let foreign = match there == archive {
            // With the versions as well, of which all is told at once.
            true => {
                let (own, foreign) = (dir.path().join(archive), elsewhere.path().join(archive));
                rewrite(&conf(dir.path()), own.to_str().unwrap(), foreign.to_str().unwrap());
                live(elsewhere.path(), Kind::Cert)
            }
            false => elsewhere.path().join(there),
        };
        let own = live(dir.path(), Kind::Cert);
        rewrite(&conf(dir.path()), own.to_str().unwrap(), foreign.to_str().unwrap());
        let before = snapshot(elsewhere.path());
        let report = repair(dir.path());
        assert!(report.repaired.is_empty() && snapshot(elsewhere.path()) == before, "{report:#?}");
        let [one] = report.left.try_into().unwrap();
        assert_eq!(one.finding.code, FindingCode::BrokenLineage);
        assert!(one.finding.evidence.contains(foreign.to_str().unwrap()), "{one:#?}");
        let refused = lock(dir.path()).check_committable(&name()).unwrap_err().to_string();
        assert!(refused.contains(one.finding.cure()), "{refused}");
        say_as_told(&conf(dir.path()), one.finding.cure());
        assert_eq!(told(&diagnose(dir.path())), [], "{there}");
    }
}

#[test]
fn paths_that_do_not_begin_at_the_root_are_written_anew_where_it_is_certain_which_is_meant() {
    let within = |dir: &Path| format!("{}/", dir.display());
    for lines in [&["cert = "][..], &["cert = ", "privkey = ", "chain = ", "fullchain = "], &["archive_dir = "]] {
        let dir = laid(&["v1", "v2"]);
        let before = fs::read_to_string(conf(dir.path())).unwrap();
        for line in lines {
            rewrite(&conf(dir.path()), &format!("\n{line}{}", within(dir.path())), &format!("\n{line}"));
        }
        let [one] = diagnose(dir.path()).try_into().unwrap();
        let is_told =
            ["no path from the root", "no paths from the root"].iter().any(|what| one.finding.evidence.contains(what));
        assert!(is_told, "{one:#?}");
        let code =
            if lines == ["archive_dir = "] { FindingCode::ArchiveDirDiffers } else { FindingCode::BrokenLineage };
        assert_eq!((one.finding.code, one.repair.is_some()), (code, true), "{one:#?}");
        let of_run = lock(dir.path()).recover(&TestMath::default(), now()).unwrap();
        assert_eq!(of_run.is_empty(), code == FindingCode::ArchiveDirDiffers, "{of_run:#?}");
        assert_eq!(lock(dir.path()).check_committable(&name()).is_ok(), code == FindingCode::ArchiveDirDiffers);
        assert!(repair(dir.path()).is_success());
        assert_eq!(fs::read_to_string(conf(dir.path())).unwrap(), before);
        assert_eq!(told(&diagnose(dir.path())), []);
    }
    // Where it is not, its owner is asked.
    let dir = laid(&["v1", "v2"]);
    lay_lineage(dir.path(), &other(), &["v3"]);
    rewrite(&conf(dir.path()), live(dir.path(), Kind::Cert).to_str().unwrap(), "../b.example.org/cert.pem");
    let [one] = repair(dir.path()).left.try_into().unwrap();
    assert!(
        one.finding.evidence.ends_with("cert = ../b.example.org/cert.pem, which is no path from the root"),
        "{one:#?}"
    );
    say_as_told(&conf(dir.path()), one.finding.cure());
    assert_eq!(told(&diagnose(dir.path())), []);
}

#[test]
fn a_conf_that_names_all_links_of_another_is_told_where_its_own_are() {
    // A link in the place of the conf is no conf that could be corrected: that would change the other one.
    let dir = laid(&["v1", "v2"]);
    lay_lineage(dir.path(), &other(), &["v3"]);
    let before = fs::read(conf(dir.path())).unwrap();
    fs::remove_file(conf(dir.path())).unwrap();
    symlink("b.example.org.conf", conf(dir.path())).unwrap();
    let [one] = repair(dir.path()).left.try_into().unwrap();
    assert_eq!(one.finding.evidence, "renewal/a.example.org.conf is a link to renewal/b.example.org.conf");
    assert!(one.finding.cure().starts_with(&format!("remove the link {}, or", conf(dir.path()).display())), "{one:#?}");
    fs::remove_file(conf(dir.path())).unwrap();
    fs::write(conf(dir.path()), before).unwrap();
    assert_eq!(told(&diagnose(dir.path())), []);
    // An empty folder is nothing of its own.
    let dir = laid(&["v1"]);
    fs::create_dir(dir.path().join("archive/b.example.org")).unwrap();
    fs::copy(conf(dir.path()), dir.path().join("renewal/b.example.org.conf")).unwrap();
    let found = diagnose(dir.path());
    assert!(found.iter().all(|one| !one.finding.cure().contains("four lines")), "{found:#?}");

    for (gone, with_archive) in [(None, false), (None, true), (Some("live"), false), (Some("archive"), true)] {
        let dir = laid(&["v1", "v2"]);
        lay_lineage(dir.path(), &other(), &["v3"]);
        let before = fs::read_to_string(conf(dir.path())).unwrap();
        rewrite(&conf(dir.path()), "live/a.example.org", "live/b.example.org");
        if with_archive {
            rewrite(&conf(dir.path()), "archive/a.example.org", "archive/b.example.org");
        }
        for part in gone.iter().flat_map(|gone| if *gone == "live" { &["live"][..] } else { &["live", "archive"] }) {
            fs::remove_dir_all(dir.path().join(part).join("a.example.org")).unwrap();
        }
        let [one] = repair(dir.path()).left.try_into().unwrap();
        let (evidence, cure) = (one.finding.evidence.as_str(), one.finding.cure());
        assert!(
            cure.contains("remove ") && cure.contains("b.example.org is the certificate that you want"),
            "{one:#?}"
        );
        if gone == Some("archive") {
            // Two confs of one certificate.
            assert_eq!((one.finding.code, cure.contains("four lines")), (FindingCode::ForeignLink, false), "{one:#?}");
            continue;
        }
        assert_eq!(one.finding.code, FindingCode::BrokenLineage, "{one:#?}");
        let part = gone.map_or("live", |_| "archive");
        assert!(evidence.ends_with(&format!("while its own are in {part}/a.example.org")), "{one:#?}");
        assert_eq!(cure.contains("archive_dir say "), with_archive, "{one:#?}");
        // As told.
        fs::write(conf(dir.path()), before).unwrap();
        assert!(repair(dir.path()).is_success());
        assert_eq!(whole_version(dir.path(), &name()).0, Version(2));
    }
}

#[test]
fn a_live_link_stays_that_only_a_conf_of_another_names_while_its_own_is_empty() {
    for folder_is_there in [true, false] {
        let dir = laid(&["v1", "v2"]);
        lay_lineage(dir.path(), &other(), &["v3", "v4"]);
        rewrite(&conf(dir.path()), "live/a.example.org/privkey.pem", "live/b.example.org/privkey.pem");
        fs::write(dir.path().join("renewal/b.example.org.conf"), "").unwrap();
        if !folder_is_there {
            fs::remove_dir_all(dir.path().join("live/b.example.org")).unwrap();
        }
        let report = repair(dir.path());
        assert_eq!(whole_version(dir.path(), &other()).0, Version(2), "{report:#?}");
        of(&report.left, FindingCode::BrokenLineage, &name());
    }
}

#[test]
fn a_conf_that_names_what_is_no_live_link_has_nothing_made_in_its_place() {
    type Change = fn(&Path);
    type Case = (&'static str, Vec<(String, String)>, Option<Change>);
    let line = |kind: &str, path: &str| (format!("live/a.example.org/{kind}.pem"), path.to_owned());
    let cases: Vec<Case> = vec![
        (
            "the versions themselves",
            ["cert", "privkey", "chain", "fullchain"]
                .map(|kind| line(kind, &format!("archive/a.example.org/{kind}2.pem")))
                .into(),
            None,
        ),
        (
            "those of another",
            ["cert", "privkey", "chain", "fullchain"]
                .map(|kind| line(kind, &format!("archive/b.example.org/{kind}1.pem")))
                .into(),
            None,
        ),
        ("one of another", vec![line("cert", "archive/b.example.org/cert1.pem")], None),
        ("an older key", vec![line("privkey", "archive/a.example.org/privkey1.pem")], None),
        (
            "the key of an account",
            vec![line("privkey", "accounts/x/private_key.json")],
            Some(|dir| {
                fs::create_dir_all(dir.join("accounts/x")).unwrap();
                chmod(dir.join("accounts"), 0o700);
                fs::write(dir.join("accounts/x/private_key.json"), "{}").unwrap();
                chmod(dir.join("accounts/x/private_key.json"), 0o600);
            }),
        ),
        ("another conf", vec![line("cert", "renewal/b.example.org.conf")], None),
        (
            "live itself",
            ["cert", "privkey", "chain", "fullchain"].map(|kind| line(kind, &format!("live/{kind}.pem"))).into(),
            None,
        ),
        (
            "two lines swapped",
            vec![
                line("cert", "live/a.example.org/x"),
                line("chain", "live/a.example.org/cert.pem"),
                ("live/a.example.org/x".to_owned(), "live/a.example.org/chain.pem".to_owned()),
            ],
            None,
        ),
        (
            "key and chain swapped",
            vec![
                line("privkey", "live/a.example.org/x"),
                line("fullchain", "live/a.example.org/privkey.pem"),
                ("live/a.example.org/x".to_owned(), "live/a.example.org/fullchain.pem".to_owned()),
            ],
            None,
        ),
        ("a line doubled", vec![line("cert", "live/a.example.org/fullchain.pem")], None),
    ];
    for (what, lines, prepare) in cases {
        let dir = laid(&["v1", "v2"]);
        lay_lineage(dir.path(), &other(), &["v3"]);
        if let Some(prepare) = prepare {
            prepare(dir.path());
        }
        for (from, to) in &lines {
            rewrite(&conf(dir.path()), from, to);
        }
        let before: Vec<_> = ["archive", "live", "renewal"].map(|part| snapshot(&dir.path().join(part))).into();
        let locked = lock(dir.path());
        let report = locked.repair(None, &TestMath::default(), now()).unwrap();
        let of_run = locked.recover(&TestMath::default(), now()).unwrap();
        let committable = locked.check_committable(&name());
        let after: Vec<_> = ["archive", "live", "renewal"].map(|part| snapshot(&dir.path().join(part))).into();
        assert!(after == before, "{what}: {report:#?} {of_run:#?}");
        let told = of(&report.left, FindingCode::BrokenLineage, &name());
        assert!(committable.is_err(), "{what}");
        assert_eq!(whole_version(dir.path(), &other()).0, Version(1), "{what}");
        say_as_told(&conf(dir.path()), told.finding.cure());
        assert!(report.left.iter().all(|one| one.name != Some(other())), "{what}: {report:#?}");
        assert!(diagnose(dir.path()).iter().all(|one| one.name.is_none()), "{what}: {:#?}", diagnose(dir.path()));
    }
}
