//! Lines for cron: our own, and those of others that renew, too.

use certkit_acme::doctor::renews;

use super::{Job, MARKER, VARIABLE};

/// Begins a line that was taken out of use.
const DISABLED: &str = "# disabled by `certkit timer`: ";

/// A file for /etc/cron.d, crontab(5).
pub(crate) fn file(job: &Job) -> String {
    format!(
        "{MARKER}\nSHELL=/bin/sh\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n{VARIABLE}={}\n{} root {}\n",
        job.schedule.interval(),
        job.schedule.cron_fields(),
        command_line(job, &[])
    )
}

/// A line for `crontab -e`.
pub(crate) fn user_line(job: &Job) -> String {
    let interval = job.schedule.interval().to_string();
    format!("{} {}", job.schedule.cron_fields(), command_line(job, &[(VARIABLE, &interval)]))
}

/// The lines that renew.
pub(crate) fn renewing_lines(content: &str, has_systemd: bool) -> Vec<String> {
    content.lines().filter(|line| renews(line, has_systemd)).map(|line| line.trim().to_owned()).collect()
}

/// The same without the lines that renew.
pub(crate) fn disable(content: &str, has_systemd: bool) -> String {
    let lines = content.split_inclusive('\n');
    lines.map(|line| if renews(line, has_systemd) { format!("{DISABLED}{line}") } else { line.to_owned() }).collect()
}

/// The lines that [`disable`] took out of use.
pub(crate) fn disabled_lines(content: &str) -> Vec<String> {
    content.lines().filter_map(|line| line.strip_prefix(DISABLED)).map(|line| line.trim().to_owned()).collect()
}

/// The same with those lines in use again.
pub(crate) fn enable(content: &str) -> String {
    content.split_inclusive('\n').map(|line| line.strip_prefix(DISABLED).unwrap_or(line)).collect()
}

/// What `/bin/sh -c` gets, with cron's own escape for percent signs.
fn command_line(job: &Job, variables: &[(&str, &str)]) -> String {
    let user_dir = job.user_config_dir.as_deref().map(|dir| ("XDG_CONFIG_HOME", dir));
    let variables = variables.iter().copied().chain(user_dir);
    let mut words: Vec<String> = variables.map(|(name, value)| format!("{name}={}", word(value))).collect();
    words.extend(std::iter::once(&job.program).chain(&job.arguments).map(|text| word(text)));
    words.join(" ")
}

/// In single quotes where the shell or cron could read something else. The percent sign stands apart from what is before
/// it: cron would take a second backslash for the one that escapes.
fn word(text: &str) -> String {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-+,:=@".contains(&byte));
    if is_plain && !text.is_empty() {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''").replace('%', r"''\%"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timer::unit::tests::job;

    /// What cron does to a command before the shell sees it: the backslash of `\%` goes, and a bare `%` ends the command.
    fn as_cron_hands_it_on(line: &str) -> String {
        assert!(!line.replace(r"\%", "").contains('%'), "{line}");
        line.replace(r"\%", "%")
    }

    #[test]
    fn the_shell_gets_every_word_as_it_is() {
        let words = ["/a b/it's 100%", r"back\%slash", "$HOME `id` \"x\"", "", "plain", ";", "ä*"];
        let mut job = job("/usr/bin/printf", &["%s\\n"]);
        job.arguments.extend(words.map(str::to_owned));
        let line = as_cron_hands_it_on(&command_line(&job, &[("A", "b c")]));
        let output = std::process::Command::new("/bin/sh").args(["-c", &line]).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), words.map(|word| format!("{word}\n")).concat());
    }

    #[test]
    fn the_file_has_the_interval_and_the_user_and_the_line_for_everybody_has_none() {
        let job = job("/usr/bin/certkit", &["renew", "-q"]);
        let file = file(&job);
        let fields = job.schedule.cron_fields();
        assert!(file.starts_with(MARKER) && file.contains("\nCERTKIT_TIMER=6h\n"), "{file}");
        assert!(file.ends_with(&format!("\n{fields} root /usr/bin/certkit renew -q\n")), "{file}");
        assert_eq!(user_line(&job), format!("{fields} CERTKIT_TIMER=6h /usr/bin/certkit renew -q"));
    }

    /// As Debian 12 ships it.
    const DEBIAN: &str = "0 */12 * * * root test -x /usr/bin/certbot -a \\! -d /run/systemd/system && perl -e 'sleep int(rand(43200))' && certbot -q renew --no-random-sleep-on-renew";

    #[test]
    fn lines_that_renew_are_told_from_lines_that_do_not() {
        for line in [
            DEBIAN,
            "3 4 * * * certbot renew && systemctl restart nginx",
            "0 0 * * * root /opt/certbot/bin/python -c 'import time' && sudo certbot renew -q",
            "@daily /usr/local/bin/certbot-auto renew; service nginx reload",
            "  5 5 * * * (sleep 5; /usr/bin/letsencrypt --config /x renew)",
            "1 1 * * * root /usr/bin/certkit renew -q",
        ] {
            assert!(renews(line, false), "{line}");
        }
        for line in [
            "# 3 4 * * * certbot renew",
            "3 4 * * * certbot certificates; renew-my-books",
            "3 4 * * * certbot certificates && echo renew",
            "3 4 * * * test -x /usr/bin/certbot && library renew",
            "MAILTO=certbot",
            "",
        ] {
            assert!(!renews(line, false), "{line}");
        }
        assert!(!renews(DEBIAN, true), "it ends at once where systemd runs");
    }

    #[test]
    fn what_is_disabled_can_be_enabled_again() {
        let content = format!("SHELL=/bin/sh\r\n{DEBIAN}\n\n# certbot renew\n1 1 * * * certbot renew");
        let disabled = disable(&content, false);
        assert!(renewing_lines(&disabled, false).is_empty(), "{disabled}");
        assert_eq!(disabled_lines(&disabled), renewing_lines(&content, false));
        assert_eq!(enable(&disabled), content);
        assert_eq!(disable(&disabled, false), disabled);
    }
}
