//! Text that stays within a terminal's width.

/// What is narrowest among the terminals that people use.
const WIDTH: usize = 80;
/// Where the text of a field begins.
const FIELD: usize = 14;

/// A text in lines, the first one after `head` and the others indented. A word that is too long for a line has one of its
/// own, as it is: a URL must stay one.
pub(crate) fn wrapped(head: &str, text: &str, indent: usize) -> String {
    wrapped_to(WIDTH, head, text, indent)
}

/// The same in lines of this width.
pub(crate) fn wrapped_to(columns: usize, head: &str, text: &str, indent: usize) -> String {
    in_lines(columns, head, text.split(' ').filter(|word| !word.is_empty()), indent)
}

fn in_lines<'t>(columns: usize, head: &str, words: impl Iterator<Item = &'t str>, indent: usize) -> String {
    let mut out = head.to_owned();
    let mut width = head.chars().count();
    let mut is_first = true;
    for word in words {
        let length = word.chars().count();
        if !is_first && width + 1 + length > columns {
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            width = indent;
        } else if !is_first {
            out.push(' ');
            width += 1;
        }
        out.push_str(word);
        width += length;
        is_first = false;
    }
    out.push('\n');
    out
}

/// `  Label:     text`, continued below the text.
pub(crate) fn field(label: &str, text: &str) -> String {
    let head = format!("  {:<width$}", format!("{label}:"), width = FIELD - 2);
    wrapped(&head, text, FIELD)
}

/// What to do, as a field: a command stays in one line however long it is, since people copy it.
pub(crate) fn cure_field(label: &str, text: &str) -> String {
    let head = format!("  {:<width$}", format!("{label}:"), width = FIELD - 2);
    in_lines(WIDTH, &head, units(text).into_iter(), FIELD)
}

/// How commands begin in cures; some words count only where an option follows, for they are words of the language, too.
const COMMANDS: [&str; 8] = ["certkit ", "chattr ", "chmod ", "chown ", "find -", "mount -", "rm -", "umount /"];

/// The words of a cure; each command is one: what stands between backticks, and what begins as one where a sentence or a part
/// of one begins, up to its end.
fn units(text: &str) -> Vec<&str> {
    let mut units = Vec::new();
    let mut rest = text.trim();
    let mut begins = true;
    while !rest.is_empty() {
        let word = rest.find(' ').unwrap_or(rest.len());
        let end = if begins && COMMANDS.iter().any(|command| rest.starts_with(command)) {
            end_of_command(rest)
        } else if let Some(opened) = rest.get(..word).and_then(|first| first.find('`')) {
            let closed = rest.get(opened + 1..).and_then(|inside| inside.find('`')).map(|at| opened + 1 + at);
            let after = closed.and_then(|closed| rest.get(closed..)?.find(' ').map(|at| closed + at));
            if closed.is_some() { after.unwrap_or(rest.len()) } else { word }
        } else {
            word
        };
        let (unit, others) = rest.split_at(end);
        begins = unit.ends_with([':', ';', '.']);
        units.push(unit);
        rest = others.trim_start();
    }
    units
}

/// Up to what follows a command in a sentence; a quoted argument may hold anything.
fn end_of_command(text: &str) -> usize {
    let mut quoted = false;
    for (at, character) in text.char_indices() {
        let after = text.get(at + character.len_utf8()..).unwrap_or_default();
        match character {
            '\'' => quoted = !quoted,
            ';' | ',' | ':' if !quoted && after.starts_with(' ') => return at + 1,
            ' ' if !quoted && after.starts_with('(') => return at,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_stay_in_one_line() {
        let command = format!("certkit reconfigure --cert-name a --deploy-hook '{}; true, x'", "x".repeat(70));
        for (text, expected) in [
            (format!("{command}; or nothing"), vec![&format!("{command};")[..], "or", "nothing"]),
            (format!("do this: {command} (once)"), vec!["do", "this:", &command, "(once)"]),
            ("run `a b`, then `c d` twice".to_owned(), vec!["run", "`a b`,", "then", "`c d`", "twice"]),
            ("an open ` tick".to_owned(), vec!["an", "open", "`", "tick"]),
            ("now: chown -h root -- '/a b', if so".to_owned(), vec!["now:", "chown -h root -- '/a b',", "if", "so"]),
            ("mount what is there; find it".to_owned(), vec!["mount", "what", "is", "there;", "find", "it"]),
            ("ask certkit for it".to_owned(), vec!["ask", "certkit", "for", "it"]),
            (String::new(), vec![]),
        ] {
            assert_eq!(units(&text), expected, "{text}");
        }
        let text = cure_field("To do", &format!("do this: {command}"));
        assert_eq!(text, format!("  To do:      do this:\n              {command}\n"));
    }

    #[test]
    fn lines_end_before_the_eightieth_column_and_urls_stay_whole() {
        let text = "word ".repeat(40);
        assert!(wrapped("  ", &text, 4).lines().all(|line| line.len() <= WIDTH));
        assert!(wrapped("  ", &text, 4).lines().skip(1).all(|line| line.starts_with("    word")));
        let url = format!("https://ca.example/{}", "x".repeat(90));
        assert_eq!(field("Explained", &format!("see {url}")), format!("  Explained:  see\n              {url}\n"));
    }

    #[test]
    fn a_field_continues_below_its_text() {
        let text = field("Why", &"word ".repeat(30));
        assert!(text.starts_with("  Why:        word word"), "{text}");
        assert!(text.lines().all(|line| line.len() <= WIDTH), "{text}");
        assert!(text.lines().skip(1).all(|line| line.starts_with("              word")), "{text}");
    }
}
