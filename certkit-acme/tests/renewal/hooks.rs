//! Hooks of a run: order, variables, failures.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use certkit_acme::renewal::{Mode, Outcome, Request};
use certkit_core::FailureClass;
use testkit::PebbleOptions;

use crate::support::{World, entry};

fn directory_hook(world: &World, stage: &str, name: &str, script: &str) {
    let folder = world.tree.config_dir().join("renewal-hooks").join(stage);
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn hooks_run_in_certbots_order_with_certbots_variables() {
    let world = World::new(PebbleOptions::default()).await;
    let log = world.file("log");
    let say = |what: &str| {
        format!("echo \"{what} [$RENEWED_LINEAGE] [$RENEWED_DOMAINS] [$FAILED_DOMAINS]\" >> {}", log.display())
    };
    for stage in ["pre", "deploy", "post"] {
        directory_hook(&world, stage, "10-first", &say(&format!("{stage}-dir")));
        directory_hook(&world, stage, "ignored~", &say("never"));
    }
    for name in ["a.example.com", "b.example.com", "dead.example.com"] {
        world
            .due(name)
            .param("pre_hook", &format!("'{}'", say("pre-conf")))
            .param("renew_hook", &format!("'{}'", say("deploy-conf")))
            .param("post_hook", &format!("'{}'", say("post-conf")))
            .write();
    }
    world.pebble.set_servfail("dead.example.com");
    let mut request = Request::renew();
    request.parallel_orders = Some(1);
    let report = world.run_request(request).await;
    assert!(matches!(entry(&report, "dead.example.com").outcome, Outcome::Failed { .. }), "{report:?}");
    let live = world.tree.config_dir().join("live");
    let (a, b) = (live.join("a.example.com"), live.join("b.example.com"));
    assert_eq!(
        lines(&log),
        [
            "pre-dir [] [] []".to_owned(),
            "pre-conf [] [] []".to_owned(),
            format!("deploy-dir [{}] [a.example.com] []", a.display()),
            format!("deploy-conf [{}] [a.example.com] []", a.display()),
            format!("deploy-dir [{}] [b.example.com] []", b.display()),
            format!("deploy-conf [{}] [b.example.com] []", b.display()),
            "post-dir [] [a.example.com b.example.com] [dead.example.com]".to_owned(),
            "post-conf [] [a.example.com b.example.com] [dead.example.com]".to_owned(),
        ]
    );
}

#[tokio::test]
async fn a_deploy_hook_that_a_pre_hook_puts_into_the_directory_runs_for_what_is_renewed_then() {
    let world = World::new(PebbleOptions::default()).await;
    let (log, folder) = (world.file("log"), world.tree.config_dir().join("renewal-hooks/deploy"));
    let hook = folder.join("late");
    let script = format!("#!/bin/sh\necho \"$RENEWED_DOMAINS\" >> {}\n", log.display());
    let made = world.file("made");
    std::fs::write(&made, script).unwrap();
    directory_hook(
        &world,
        "pre",
        "make",
        &format!("mkdir -p {0} && install -m 755 {1} {2}", folder.display(), made.display(), hook.display()),
    );
    world.due("a.example.com").write();
    let report = world.run().await;
    assert!(report.is_success(), "{report:?}");
    assert_eq!(lines(&log), ["a.example.com"]);
    assert!(world.run().await.is_success());
    assert_eq!(lines(&log), ["a.example.com"], "and once");
}

#[tokio::test]
async fn no_hook_runs_when_nothing_is_due() {
    let world = World::new(PebbleOptions::default()).await;
    world
        .tree
        .lineage("a.example.com")
        .server(&world.server())
        .account(&world.account)
        .param("pre_hook", "false")
        .param("post_hook", "false")
        .write();
    let report = world.run().await;
    assert!(report.is_success() && report.hooks.is_empty(), "{report:?}");
    // The version found live counts as deployed.
    assert!(world.seen.kinds("a.example.com").contains(&"first-seen".to_owned()));
}

#[tokio::test]
async fn a_failing_deploy_hook_is_told_and_tried_again_without_a_new_certificate() {
    // dehydrated#375, acme.sh#4845: a failed deploy was never retried.
    let world = World::new(PebbleOptions::default()).await;
    let gate = world.file("gate");
    world.due("a.example.com").deploy_hook(&format!("test -e {}", gate.display())).write();
    let report = world.run().await;
    assert!(!report.is_success());
    assert!(matches!(entry(&report, "a.example.com").outcome, Outcome::Renewed { .. }), "{report:?}");
    assert_eq!(entry(&report, "a.example.com").deploy_pending.len(), 1);
    assert!(!world.run().await.is_success(), "still pending");
    std::fs::write(&gate, "").unwrap();
    let report = world.run().await;
    assert!(report.is_success(), "{report:?}");
    assert_eq!(world.pebble.orders_placed(), 1);
    assert_eq!(world.whole_version("a.example.com"), 2);
}

#[tokio::test]
async fn a_failing_pre_hook_stops_what_it_belongs_to() {
    let world = World::new(PebbleOptions::default()).await;
    world.due("a.example.com").param("pre_hook", "false").write();
    world.due("b.example.com").param("pre_hook", "true").write();
    let report = world.run().await;
    let Outcome::Failed { failure, .. } = &entry(&report, "a.example.com").outcome else { panic!("{report:?}") };
    assert_eq!(failure.class, FailureClass::Hook);
    assert!(matches!(entry(&report, "b.example.com").outcome, Outcome::Renewed { .. }));
    assert_eq!(world.pebble.orders_placed(), 1);
    directory_hook(&world, "pre", "stop", "exit 3");
    world.due("c.example.com").write();
    let report = world.run().await;
    assert!(matches!(entry(&report, "c.example.com").outcome, Outcome::Failed { .. }), "{report:?}");
    assert_eq!(world.pebble.orders_placed(), 1);
}

#[tokio::test]
async fn a_dry_run_deploys_only_when_told_to() {
    let world = World::new(PebbleOptions::default()).await;
    let log = world.file("log");
    world.due("a.example.com").deploy_hook(&format!("echo ran >> {}", log.display())).write();
    for (run_deploy_hooks, expected) in [(false, 0), (true, 1)] {
        let mut request = Request::renew();
        request.mode = Mode::DryRun { run_deploy_hooks };
        assert!(world.run_request(request).await.is_success());
        assert_eq!(lines(&log).len(), expected);
    }
    assert_eq!(world.whole_version("a.example.com"), 1);
}

#[tokio::test]
async fn manual_hooks_answer_challenges_and_a_failing_one_fails_the_lineage() {
    let world = World::new(PebbleOptions::default()).await;
    let nginx = testkit::Nginx::start(&testkit::NginxOptions {
        http_port: Some(world.pebble.http_port()),
        ..testkit::NginxOptions::default()
    });
    let folder = nginx.webroot().join(".well-known/acme-challenge");
    std::fs::create_dir_all(&folder).unwrap();
    let log = world.file("cleanup");
    let auth =
        format!("printf %s \"$CERTBOT_VALIDATION\" > {}/$CERTBOT_TOKEN; echo made $CERTBOT_DOMAIN", folder.display());
    let cleanup = format!("rm {}/$CERTBOT_TOKEN; echo \"$CERTBOT_AUTH_OUTPUT\" >> {}", folder.display(), log.display());
    let manual = |name: &str, auth: &str| {
        world
            .tree
            .lineage(name)
            .days_left(5)
            .server(&world.server())
            .account(&world.account)
            .names([name.to_owned(), format!("www.{name}")])
            .manual(auth, &cleanup)
            .write()
    };
    manual("m.example.com", &auth);
    manual("f.example.com", "echo sorry >&2; exit 7");
    let report = world.run().await;
    assert!(matches!(entry(&report, "m.example.com").outcome, Outcome::Renewed { .. }), "{report:?}");
    // The one whose auth hook failed is cleaned up as well; it had printed nothing.
    let cleaned: Vec<String> = lines(&log).into_iter().filter(|line| !line.is_empty()).collect();
    assert_eq!(cleaned, ["made m.example.com", "made www.m.example.com"]);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    let Outcome::Failed { failure, .. } = &entry(&report, "f.example.com").outcome else { panic!("{report:?}") };
    assert_eq!(failure.class, FailureClass::ChallengeSetup);
    assert!(failure.detail.contains("sorry"), "{failure:?}");
    assert!(world.seen.hooks().is_empty(), "challenge hooks are not deploy hooks");
}

#[tokio::test]
async fn a_hook_that_was_put_right_takes_the_place_of_the_one_that_failed() {
    let world = World::new(PebbleOptions::default()).await;
    world.due("a.example.com").deploy_hook("false").write();
    assert!(!world.run().await.is_success());
    let mut edits = certkit_core::store::ConfEdits::default();
    edits.param("renew_hook", Some("true"));
    world.store().lock().unwrap().edit_conf(&"a.example.com".parse().unwrap(), &edits).unwrap();
    let report = world.run().await;
    assert!(report.is_success(), "{report:?}");
    assert_eq!(world.pebble.orders_placed(), 1);
    // A dry run is not about what is pending.
    world.due("b.example.com").deploy_hook("false").write();
    assert!(!world.run().await.is_success());
    assert!(world.run_request(Request::renew().dry_run()).await.is_success());
}

#[tokio::test]
async fn hooks_that_others_could_have_written_are_refused_without_stopping_the_renewal() {
    let world = World::new(PebbleOptions::default()).await;
    let log = world.file("log");
    directory_hook(&world, "deploy", "reload", &format!("echo ran >> {}", log.display()));
    let hook = world.tree.config_dir().join("renewal-hooks/deploy/reload");
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o777)).unwrap();
    world.due("a.example.com").write();
    let report = world.run().await;
    assert!(matches!(entry(&report, "a.example.com").outcome, Outcome::Renewed { .. }), "{report:?}");
    assert!(!report.is_success() && !log.exists());
    let shown = &report.hooks.last().unwrap().outcome;
    assert!(format!("{shown:?}").contains("chmod o-w"), "{shown:?}");
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    let report = world.run().await;
    assert!(report.is_success(), "{report:?}");
    assert_eq!(lines(&log), ["ran"]);
}

#[tokio::test]
async fn an_installer_of_the_conf_is_a_deploy_step_and_its_line_stays() {
    let world = World::new(PebbleOptions::default()).await;
    let (log, program) = (world.file("log"), world.file("nginx"));
    std::fs::write(&program, format!("#!/bin/sh\necho \"$@\" >> {}\n", log.display())).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let paths =
        world.due("a.example.com").param("installer", "nginx").param("nginx_ctl", program.to_str().unwrap()).write();
    let report = world.run().await;
    assert!(report.is_success(), "{report:?}");
    // The configuration is checked before the reload.
    assert_eq!(lines(&log), ["-t", "-s reload"]);
    assert!(std::fs::read_to_string(&paths.conf).unwrap().contains("installer = nginx"));
    // A configuration with an error is not loaded, and that is told.
    std::fs::write(&program, "#!/bin/sh\necho broken >&2\nexit 1\n").unwrap();
    let report = world.run_request(Request::renew().forced()).await;
    assert!(!report.is_success());
    assert_eq!(entry(&report, "a.example.com").deploy_pending.len(), 1);
}
