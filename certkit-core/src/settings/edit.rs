//! Changing `email` in a file of settings: everything else stays as it is, comments included.

use toml::de::DeTable;

use super::{MailAddress, Settings, SettingsProblem, SettingsProblemCode};

/// The content of `certkit/settings.toml` with these addresses in `email`; without any, without the key. The rest stays
/// byte for byte. An error tells what is wrong with the file as it is: half-understood content is not changed.
pub(crate) fn with_email(content: &[u8], addresses: &[MailAddress]) -> Result<String, Vec<SettingsProblem>> {
    Settings::parse(content)?;
    // It was parsed, so it is UTF-8.
    let text = String::from_utf8_lossy(content).into_owned();
    let value = match addresses {
        [] => None,
        [one] => Some(format!("\"{one}\"")),
        several => {
            let quoted: Vec<String> = several.iter().map(|address| format!("\"{address}\"")).collect();
            Some(format!("[{}]", quoted.join(", ")))
        }
    };
    let edited = match (place(&text), value) {
        (Some(place), Some(value)) => replaced(&text, place.value, &value),
        (Some(place), None) => replaced(&text, whole_lines(&text, place.key.start, place.value.end), ""),
        (None, Some(value)) => inserted(&text, &value),
        (None, None) => text,
    };
    // An edit that came out wrong would stop every run.
    if Settings::parse(edited.as_bytes())?.email.value != addresses {
        let what = "`email` stands there in a way in which it cannot be changed";
        let cure = "change it by hand: email = \"owner@example.org\"";
        return Err(vec![SettingsProblem::new(SettingsProblemCode::BadValue, None, "email", what, cure)]);
    }
    Ok(edited)
}

struct Place {
    key: std::ops::Range<usize>,
    value: std::ops::Range<usize>,
}

fn place(text: &str) -> Option<Place> {
    let table = DeTable::parse(text).ok()?;
    let (key, value) = table.get_ref().get_key_value("email")?;
    Some(Place { key: key.span(), value: value.span() })
}

fn replaced(text: &str, range: std::ops::Range<usize>, value: &str) -> String {
    let (before, after) = (text.get(..range.start).unwrap_or_default(), text.get(range.end..).unwrap_or_default());
    format!("{before}{value}{after}")
}

/// From the beginning of the key's line to the end of the value's, unless a comment stands behind the value: that stays.
fn whole_lines(text: &str, start: usize, end: usize) -> std::ops::Range<usize> {
    let line_start = text.get(..start).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
    let rest = text.get(end..).unwrap_or_default();
    let line_end = rest.find('\n').map_or(rest.len(), |at| at + 1);
    let is_bare = rest.get(..line_end).is_some_and(|rest| rest.trim().is_empty());
    if is_bare { line_start..end + line_end } else { start..end }
}

/// At the top: below the first table's heading it would belong to that.
fn inserted(text: &str, value: &str) -> String {
    let body = text.strip_prefix('\u{feff}');
    let mark = if body.is_some() { "\u{feff}" } else { "" };
    let body = body.unwrap_or(text);
    let line_end = if body.contains("\r\n") { "\r\n" } else { "\n" };
    format!("{mark}email = {value}{line_end}{body}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn addresses(list: &[&str]) -> Vec<MailAddress> {
        list.iter().map(|one| MailAddress::parse(one).unwrap()).collect()
    }

    fn edited(content: &str, list: &[&str]) -> String {
        with_email(content.as_bytes(), &addresses(list)).unwrap()
    }

    #[test]
    fn everything_else_stays_as_it_is() {
        let before = "# ours\nparallel_orders = 2 # few\n\nemail = [ \"a@example.org\", # me\n  \"b@example.org\" ] # both\n[heartbeat]\nurl = \"https://x.example\"\n";
        let one = edited(before, &["c@example.org"]);
        assert_eq!(
            one,
            "# ours\nparallel_orders = 2 # few\n\nemail = \"c@example.org\" # both\n[heartbeat]\nurl = \"https://x.example\"\n"
        );
        let two = edited(&one, &["c@example.org", "d@example.org"]);
        assert!(two.contains("email = [\"c@example.org\", \"d@example.org\"] # both\n"), "{two}");
        assert!(edited(&one, &[]).contains("few\n\n # both\n[heartbeat]"));
    }

    #[test]
    fn a_new_key_comes_before_every_table_and_a_removed_one_leaves_no_line() {
        let with = edited("[heartbeat]\nurl = \"https://x.example\"\n", &["a@example.org"]);
        assert_eq!(with, "email = \"a@example.org\"\n[heartbeat]\nurl = \"https://x.example\"\n");
        assert_eq!(edited(&with, &[]), "[heartbeat]\nurl = \"https://x.example\"\n");
        assert_eq!(edited("", &["a@example.org"]), "email = \"a@example.org\"\n");
        assert_eq!(edited("\u{feff}# x\r\n", &["a@example.org"]), "\u{feff}email = \"a@example.org\"\r\n# x\r\n");
        assert_eq!(edited("# none\n", &[]), "# none\n");
    }

    #[test]
    fn a_file_that_is_not_understood_is_not_changed() {
        assert!(with_email(b"live_swich = 1\n", &addresses(&["a@example.org"])).is_err());
    }

    #[test]
    fn the_last_address_of_a_mail_channel_cannot_be_taken_away() {
        let content = "email = \"a@example.org\"\n[[notify]]\nsmtp = \"mail.example.org\"\n";
        let problems = with_email(content.as_bytes(), &[]).unwrap_err();
        assert!(problems[0].what.contains("has nobody to send to"), "{problems:?}");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(count in 0_usize..4, before in "(# [a-z]{0,9}\n|\n|parallel_orders = 3\n){0,1}", old in any::<bool>()) {
            let start = if old { format!("{before}email = 'old@example.org'\n") } else { before };
            let list: Vec<MailAddress> =
                (0..count).map(|n| MailAddress::parse(&format!("u{n}@example.org")).unwrap()).collect();
            let edited = with_email(start.as_bytes(), &list).unwrap();
            prop_assert_eq!(Settings::parse(edited.as_bytes()).unwrap().email.value, list);
        }
    }
}
