//! What is printed.

use super::host::Host;

#[test]
fn nothing_is_said_of_a_machine_on_which_nothing_is_wrong() {
    let host = Host::with_certificate();
    let before = host.place.tree.snapshot();
    let run = host.run(&[]).ends_with(0);
    assert!(
        run.stdout.starts_with("Nothing is wrong; ") && run.stdout.ends_with(" checks found nothing wrong.\n"),
        "{run:?}"
    );
    host.problems().are(&[]);
    assert_eq!(host.place.tree.snapshot(), before, "nothing is written");
    assert_eq!(host.run(&["-q"]).ends_with(0).stdout, "");
}

#[test]
fn problems_come_first_with_why_and_cure_within_80_columns() {
    let host = Host::with_certificate();
    host.unit("certkit.timer", "LoadState=loaded\nActiveState=inactive\nUnitFileState=disabled\n");
    for name in ["b.example", "c.example"] {
        host.place.tree.lineage(name).deploy_hook("reload-everything now").write();
    }
    let run = host.run(&[]).ends_with(1);
    let expected = "\
Error: the timer of certkit is installed but not active: it is neither enabled
  nor started
  Where:      certkit.timer
  Why:        nothing is renewed
  To do:      systemctl enable --now certkit.timer

Error: a hook cannot be run: the deploy hook's command reload-everything is not
  a program in PATH";
    assert!(run.stdout.starts_with(expected), "{}", run.stdout);
    for part in [
        "  For:        b.example, c.example\n",
        "(NAME stands for each of these certificates)",
        "\n2 errors; ",
        "NAME --deploy-hook COMMAND",
    ] {
        assert!(run.stdout.contains(part), "{part}: {}", run.stdout);
    }
    let words = run.stdout.lines().filter(|line| line.chars().count() > 80).collect::<Vec<_>>();
    assert!(words.iter().all(|line| line.trim().split(' ').count() == 1), "{words:?}");
    // Quiet is about good news.
    assert!(host.run(&["-q"]).ends_with(1).stderr.contains("reload-everything"));
    let one = host.run(&["--cert-name", "a.example"]).ends_with(1);
    assert!(!one.stdout.contains("reload-everything"), "{}", one.stdout);
    assert!(host.run(&["--cert-name", "none.example"]).ends_with(1).stderr.contains("No certificate found"));
}
