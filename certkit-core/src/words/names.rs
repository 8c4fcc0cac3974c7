//! Names, targets and commands.

use crate::state::DeployTarget;
use crate::{LineageName, escape};

/// `a and b`, or `a and 4 more`, as certbot shortens names.
pub fn names_in_short(names: &[String]) -> String {
    match names {
        [] => "no names".to_owned(),
        [one] => escape(one).into_owned(),
        [first, second] => format!("{} and {}", escape(first), escape(second)),
        [first, rest @ ..] => format!("{} and {} more", escape(first), rest.len()),
    }
}

/// What stands for the certificate in the commands of cures.
const CERT_NAME: &str = "--cert-name NAME";

/// What to do about a renewal configuration or a folder with a name that no certificate can have, and no command takes.
pub const REFUSED_NAME_CURE: &str =
    "move it out of the config dir, or give it another name: no certificate can have this one, and nothing renews it";

/// A cure with the certificate's own name in its commands and files; a name that a shell would not take as it is, is
/// quoted, if it is not yet. Of one that no certificate can have there is no such command ([`REFUSED_NAME_CURE`]).
pub fn cure_for(cure: &str, name: &str) -> String {
    let plain = unquoted(name).unwrap_or_else(|| name.to_owned());
    if cure.contains(CERT_NAME) && LineageName::new(plain.as_str()).is_err() {
        return REFUSED_NAME_CURE.to_owned();
    }
    let mut cure = cure.replace(CERT_NAME, &format!("--cert-name {}", shell_word(&plain)));
    for folder in ["live", "lineages", "renewal"] {
        cure = cure.replace(&format!("{folder}/NAME"), &format!("{folder}/{plain}"));
    }
    cure
}

/// What [`shell_word`] has quoted.
fn unquoted(word: &str) -> Option<String> {
    let plain = word.strip_prefix('\'')?.strip_suffix('\'')?.replace("'\\''", "'");
    (shell_word(&plain) == word).then_some(plain)
}

/// A target in words for people, escaped: `copy to /etc/postfix/tls`, `reload of nginx.service`.
pub fn deploy_target(target: &DeployTarget) -> String {
    match target {
        DeployTarget::Combined(path) => format!("combined file {}", escape(path)),
        DeployTarget::Command(command) => format!("command `{}`", escape(command)),
        DeployTarget::Copy(folder) => format!("copy to {}", escape(folder)),
        DeployTarget::Der(path) => format!("DER file {}", escape(path)),
        DeployTarget::DirectoryHook(path) => escape(path).into_owned(),
        DeployTarget::Hook(command) => format!("deploy hook `{}`", escape(command)),
        DeployTarget::Installer(name) => format!("reload of {}", escape(name)),
        DeployTarget::Reload(unit) => format!("reload of {}", escape(unit)),
    }
}

/// A word of a command for a shell: as it is where no shell finds anything in it, else in single quotes.
pub fn shell_word(word: &str) -> String {
    let is_plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | ':' | '@' | ',' | '+' | '=');
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shortened_as_certbot_does() {
        let names = |list: &[&str]| names_in_short(&list.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(names(&["a"]), "a");
        assert_eq!(names(&["a", "b"]), "a and b");
        assert_eq!(names(&["a", "b", "c"]), "a and 2 more");
    }

    #[test]
    fn a_cure_names_the_certificate_wherever_it_stands() {
        assert_eq!(
            cure_for(
                "see live/NAME, renewal/NAME.conf and certkit/lineages/NAME.toml; certkit renew --cert-name NAME",
                "a.example"
            ),
            "see live/a.example, renewal/a.example.conf and certkit/lineages/a.example.toml; certkit renew --cert-name a.example"
        );
    }

    #[test]
    fn a_name_in_a_command_is_one_word_for_a_shell() {
        let command = "certkit renew --cert-name NAME";
        for name in ["a b;c", "'a b;c'"] {
            assert_eq!(cure_for(command, name), "certkit renew --cert-name 'a b;c'");
        }
        assert_eq!(cure_for("see live/NAME", "'a b;c'"), "see live/a b;c");
        // They look quoted and are not.
        for name in ["'a'; rm '", "'"] {
            assert_eq!(cure_for(command, name), format!("certkit renew --cert-name {}", shell_word(name)));
        }
    }

    #[test]
    fn targets_are_named_escaped() {
        assert_eq!(deploy_target(&DeployTarget::Copy("/etc/x\x1b".into())), "copy to /etc/x\\u{1b}");
        assert_eq!(deploy_target(&DeployTarget::Combined("/a.pem".into())), "combined file /a.pem");
        assert_eq!(deploy_target(&DeployTarget::Der("/a.der".into())), "DER file /a.der");
        assert_eq!(deploy_target(&DeployTarget::Command("x\n".into())), "command `x\\u{a}`");
        assert_eq!(deploy_target(&DeployTarget::Reload("nginx.service".into())), "reload of nginx.service");
    }

    #[test]
    fn a_shell_finds_nothing_in_a_word() {
        assert_eq!(shell_word("a.example"), "a.example");
        assert_eq!(shell_word("*.a.example"), "'*.a.example'");
        assert_eq!(shell_word("a'; rm -rf $HOME #"), "'a'\\''; rm -rf $HOME #'");
        assert_eq!(shell_word(""), "''");
    }
}
