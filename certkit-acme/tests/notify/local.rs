//! Programs of this machine: sendmail, and commands of the owner's.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use certkit_core::store::StorePaths;
use serde_json::{Value, json};

use crate::support::{HOSTILE, arrived, deliver_once, expiring, notifier, why};

/// A program that keeps its arguments and its input.
fn keeper(dir: &Path, status: i32) -> PathBuf {
    let program = dir.join("keeper");
    let script = format!(
        "#!/bin/sh\ncd '{}'\nfor one in \"$@\"; do printf '%s\\n' \"$one\"; done > arguments\ncat > input\nenv | grep '^CERTKIT_' | sort > variables\necho once >> count\necho said >&2\nexit {status}\n",
        dir.display()
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    program
}

fn kept(dir: &Path, what: &str) -> String {
    std::fs::read_to_string(dir.join(what)).unwrap()
}

#[cfg(feature = "mail")]
#[tokio::test]
async fn sendmail_gets_recipients_as_arguments_and_the_mail_as_input() {
    let dir = tempfile::tempdir().unwrap();
    let program = keeper(dir.path(), 0);
    let settings = format!(
        "email = [\"a@example.org\", \"b@example.org\"]\n[[notify]]\nsendmail = \"{}\"\nfrom = \"certkit@example.net\"\n",
        program.display()
    );
    let mut notice = expiring(HOSTILE);
    (notice.certificate, notice.cause) = (HOSTILE.to_owned(), HOSTILE.to_owned());
    arrived(&deliver_once(&notifier(&settings), &[notice]).await);
    assert_eq!(kept(dir.path(), "arguments"), "-i\n-f\ncertkit@example.net\n--\na@example.org\nb@example.org\n");
    assert_eq!(kept(dir.path(), "count"), "once\n");
    let mail = kept(dir.path(), "input");
    assert!(!mail.contains('\r') && !mail.contains("\nBcc:") && !mail.contains("\n.\n"), "{mail}");
    assert!(
        mail.contains("\nTo: a@example.org, b@example.org\n") && mail.contains("\nAuto-Submitted: auto-generated\n"),
        "{mail}"
    );
}

#[cfg(feature = "mail")]
#[tokio::test]
async fn a_sendmail_that_fails_or_is_missing_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let program = keeper(dir.path(), 75);
    let settings =
        |program: &Path| format!("email = \"a@example.org\"\n[[notify]]\nsendmail = \"{}\"\n", program.display());
    let deliveries = deliver_once(&notifier(&settings(&program)), &[expiring("a.example")]).await;
    assert!(why(&deliveries).contains("failed with status 75: said"), "{deliveries:?}");
    let deliveries = deliver_once(&notifier(&settings(&dir.path().join("none"))), &[expiring("a.example")]).await;
    assert!(why(&deliveries).contains("could not be started"), "{deliveries:?}");
    assert!(deliveries[0].finding().unwrap().cure().contains("install a mail system"));
}

#[tokio::test]
async fn a_command_gets_the_document_and_variables() {
    let dir = tempfile::tempdir().unwrap();
    let program = keeper(dir.path(), 0);
    let settings = format!("[[notify]]\ncommand = \"{} x\"\n", program.display());
    let mut notice = expiring("a.example");
    notice.cause = HOSTILE.to_owned();
    arrived(&deliver_once(&notifier(&settings), &[notice, expiring("b.example")]).await);
    let document: Value = serde_json::from_str(&kept(dir.path(), "input")).unwrap();
    assert_eq!(
        (document["schema"].clone(), document["certificates"].clone()),
        (json!(1), json!(["a.example", "b.example"]))
    );
    let variables = kept(dir.path(), "variables");
    for told in [
        "CERTKIT_CERTIFICATES=a.example b.example\n",
        "CERTKIT_LEVEL=critical\n",
        "CERTKIT_KIND=expiring\n",
        "CERTKIT_RESOLVED=false\n",
        "CERTKIT_HOST=host.example.net\n",
    ] {
        assert!(variables.contains(told), "{told}{variables}");
    }
    assert_eq!((kept(dir.path(), "arguments").as_str(), kept(dir.path(), "count").as_str()), ("x\n", "once\n"));
}

#[tokio::test]
async fn a_command_that_reads_nothing_or_fails_holds_nothing_up() {
    let deliveries = deliver_once(&notifier("[[notify]]\ncommand = \"exec true\"\n"), &[expiring("a.example")]).await;
    arrived(&deliveries);
    let deliveries =
        deliver_once(&notifier("[[notify]]\ncommand = \"echo no >&2; exit 3\"\n"), &[expiring("a.example")]).await;
    assert!(why(&deliveries).contains("failed with status 3: no"), "{deliveries:?}");
}

#[cfg(feature = "mail")]
#[tokio::test]
async fn a_message_says_to_which_tree_its_commands_go_where_that_is_not_certbots_own() {
    let dir = tempfile::tempdir().unwrap();
    let keeper = keeper(dir.path(), 0);
    let mail = format!("email = \"a@example.org\"\n[[notify]]\nsendmail = \"{}\"\n", keeper.display());
    let command = format!("[[notify]]\ncommand = \"{}\"\n", keeper.display());
    let usual = StorePaths::certbot_default();
    let own = StorePaths::new("/srv/my tree".into(), usual.work_dir.clone(), usual.logs_dir.clone());
    let flags = "--config-dir '/srv/my tree'";
    for (paths, flags) in [(own, flags), (usual, "")] {
        let notifier = |settings: &str| notifier(settings).for_tree(&paths);
        arrived(&deliver_once(&notifier(&mail), &[expiring("a.example")]).await);
        // Quoted-printable breaks long lines.
        let text = kept(dir.path(), "input").replace("=\n", "");
        let told = [
            format!("certkit renew --cert-name a.example {flags}"),
            format!("Its commands are for the tree with {flags}."),
            "Commands are for the tree with --config-dir".to_owned(),
        ];
        for line in told {
            assert_eq!(text.contains(&line), !flags.is_empty(), "{line}: {text}");
        }
        arrived(&deliver_once(&notifier(&command), &[expiring("a.example")]).await);
        let document: Value = serde_json::from_str(&kept(dir.path(), "input")).unwrap();
        assert_eq!(document["flags"], flags);
        let command = document["notices"][0]["command"].as_str().unwrap();
        assert_eq!(command, format!("certkit renew --cert-name a.example {flags}").trim_end());
    }
}
