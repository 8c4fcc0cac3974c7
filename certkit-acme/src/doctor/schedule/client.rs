//! Which commands renew certificates, and which of them restart a server.

use super::shell::ShellCommand;

/// certbot's timers: Debian's, the snap's, and those of Fedora, Arch and SUSE.
pub const CERTBOT_TIMERS: [&str; 3] = ["certbot.timer", "snap.certbot.renew.timer", "certbot-renew.timer"];

/// Timers under which other clients are packaged, or which their manuals tell to make.
pub(super) const OTHER_TIMERS: [(&str, &str); 8] = [
    ("acme.sh.timer", "acme.sh"),
    ("acme_letsencrypt.timer", "acme.sh"),
    ("acmetool.timer", "acmetool"),
    ("dehydrated.timer", "dehydrated"),
    ("getssl.timer", "getssl"),
    ("lego.timer", "lego"),
    ("simp_le.timer", "simp_le"),
    ("uacme.timer", "uacme"),
];

/// Programs that renew the certificates of certbot's tree.
const RENEWERS: [&str; 5] = ["certbot", "certbot-auto", "letsencrypt", "letsencrypt-auto", "certkit"];

/// Who renews.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Client {
    /// certkit.
    Certkit,
    /// certbot, which works on the same tree.
    Certbot,
    /// Another client, with certificates of its own.
    Other(&'static str),
}

/// Whether a line of a crontab, or of a script that cron runs, renews certificates of certbot's tree.
pub fn renews(line: &str, has_systemd: bool) -> bool {
    // Debian's line for certbot ends at once where systemd runs.
    if line.trim_start().starts_with('#') || (has_systemd && line.contains("-d /run/systemd/system")) {
        return false;
    }
    let mut is_renewer = false;
    for word in line.split(|c: char| c.is_whitespace() || "'\"()`".contains(c)).filter(|word| !word.is_empty()) {
        let (plain, ends) = match word.trim_end_matches([';', '&', '|']) {
            "" => ("", true),
            plain => (plain, plain.len() < word.len()),
        };
        if is_renewer && plain == "renew" {
            return true;
        }
        is_renewer |= plain.rsplit('/').next().is_some_and(|name| RENEWERS.contains(&name));
        is_renewer &= !ends;
    }
    false
}

/// Who renews by this command; nobody by most.
pub(super) fn client_of(command: &ShellCommand) -> Option<Client> {
    let mut words = command.words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        let rest: Vec<&str> = words.clone().collect();
        let has = |wanted: &[&str]| rest.iter().any(|word| wanted.contains(word));
        // Of an image (`certbot/certbot:latest`) the name counts.
        let name = word.rsplit('/').next().unwrap_or(word).split(':').next().unwrap_or_default();
        let client = match name {
            "certkit" if has(&["renew", "daemon"]) => Client::Certkit,
            name if RENEWERS.contains(&name) && has(&["renew"]) => Client::Certbot,
            "acme.sh" if has(&["--cron", "--renew-all", "--renew", "-r"]) => Client::Other("acme.sh"),
            "acmetool" => Client::Other("acmetool"),
            "acme-client" => Client::Other("acme-client"),
            "dehydrated" if has(&["-c", "--cron"]) => Client::Other("dehydrated"),
            "getssl" => Client::Other("getssl"),
            "lego" if has(&["renew", "run"]) => Client::Other("lego"),
            "simp_le" => Client::Other("simp_le"),
            "uacme" if has(&["issue"]) => Client::Other("uacme"),
            _ => continue,
        };
        return Some(client);
    }
    None
}

/// What a command does to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Touch {
    /// It gets a new configuration, or begins anew.
    Reload,
    /// It begins.
    Start,
    /// It ends.
    Stop,
}

/// What a command does to a server, by the words that all service managers and servers share.
pub(super) fn touches(command: &ShellCommand) -> Option<Touch> {
    const WORDS_BEFORE: [&str; 8] = ["then", "do", "else", "{", "sudo", "exec", "nohup", "!"];
    /// They only talk of it.
    const TALKERS: [&str; 7] = ["echo", "printf", "logger", "mail", "curl", "wget", "grep"];
    let mut words = command.words.iter().map(String::as_str).skip_while(|word| WORDS_BEFORE.contains(word));
    let program = words.next()?.rsplit('/').next().unwrap_or_default();
    if TALKERS.contains(&program) {
        return None;
    }
    let signals = ["kill", "pkill", "killall"].contains(&program);
    words.find_map(|word| match word {
        "reload"
        | "restart"
        | "force-reload"
        | "graceful"
        | "try-restart"
        | "reload-or-restart"
        | "try-reload-or-restart"
        | "condrestart" => Some(Touch::Reload),
        "start" => Some(Touch::Start),
        "stop" => Some(Touch::Stop),
        "-HUP" | "-SIGHUP" | "-USR1" | "-USR2" | "-1" if signals => Some(Touch::Reload),
        "HUP" | "SIGHUP" | "--signal=HUP" => Some(Touch::Reload),
        _ => None,
    })
}

/// Whether a command decides whether what follows is run: by something else than whether `renew` went well.
pub(super) fn decides(command: &ShellCommand) -> bool {
    let first = command.words.iter().map(String::as_str).find(|word| !["then", "do", "{", "!"].contains(word));
    matches!(
        first,
        Some("if" | "elif" | "case" | "while" | "until" | "for" | "[" | "[[" | "test" | "cmp" | "diff" | "find")
    )
}

#[cfg(test)]
mod tests {
    use super::super::shell::commands;
    use super::*;

    #[test]
    fn whoever_renews_is_known_and_nobody_else() {
        let client = |line: &str| commands(line).iter().find_map(client_of);
        for line in [
            "0 3 * * * root certbot renew --quiet",
            "/snap/bin/certbot -q renew",
            "docker run --rm -v /etc/letsencrypt:/etc/letsencrypt certbot/certbot:latest renew",
            "/usr/local/bin/letsencrypt-auto renew",
        ] {
            assert_eq!(client(line), Some(Client::Certbot), "{line}");
        }
        assert_eq!(client("17 2 * * * root /usr/bin/certkit renew -q"), Some(Client::Certkit));
        assert_eq!(client("/usr/bin/certkit daemon"), Some(Client::Certkit));
        assert_eq!(client("8 0 * * * \"/root/.acme.sh\"/acme.sh --cron --home x"), Some(Client::Other("acme.sh")));
        assert_eq!(client("@daily dehydrated -c"), Some(Client::Other("dehydrated")));
        assert_eq!(client("lego --email x run"), Some(Client::Other("lego")));
        for line in
            ["certbot certificates", "certkit check", "acme.sh --list", "echo renew", "cat /etc/lego/x", "legos renew"]
        {
            assert_eq!(client(line), None, "{line}");
        }
    }

    #[test]
    fn whatever_restarts_a_server_is_known_and_what_only_talks_of_it_is_not() {
        let touch = |line: &str| touches(&commands(line)[0]);
        for line in [
            "systemctl reload nginx",
            "/bin/systemctl --quiet try-restart postfix dovecot",
            "service apache2 restart",
            "/etc/init.d/nginx force-reload",
            "nginx -s reload",
            "apachectl graceful",
            "docker compose exec web nginx -s reload",
            "then sudo systemctl restart haproxy",
            "pkill -HUP nginx",
            "docker kill --signal=HUP web",
        ] {
            assert_eq!(touch(line), Some(Touch::Reload), "{line}");
        }
        assert_eq!(touch("service nginx stop"), Some(Touch::Stop));
        assert_eq!(touch("systemctl start nginx"), Some(Touch::Start));
        for line in ["echo restart", "mail -s 'restart failed' root", "logger reload", "pkill -TERM x", "sleep 1"] {
            assert_eq!(touch(line), None, "{line}");
        }
        assert!(decides(&commands("[ a -nt b ]")[0]) && !decides(&commands("systemctl reload x")[0]));
    }

    #[test]
    fn only_lines_that_renew_are_taken() {
        for line in [
            "0 */12 * * * root certbot -q renew",
            "@daily /usr/bin/certbot renew; systemctl reload nginx",
            "5 4 * * * root sh -c \"certkit renew\"",
        ] {
            assert!(renews(line, false), "{line}");
        }
        for line in ["# certbot renew", "certbot certificates", "certbot; echo renew", "renew certbot", ""] {
            assert!(!renews(line, false), "{line}");
        }
        let debian = "0 */12 * * * root test -x /usr/bin/certbot -a \\! -d /run/systemd/system && certbot -q renew";
        assert!(renews(debian, false) && !renews(debian, true));
    }
}
