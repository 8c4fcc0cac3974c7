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
    let mut out = head.to_owned();
    let mut width = head.chars().count();
    let mut is_first = true;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
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

#[cfg(test)]
mod tests {
    use super::*;

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
