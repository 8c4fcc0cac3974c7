//! A line for a shell, taken apart as far as it matters here: which commands come one after another.

/// A command of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ShellCommand {
    /// Its words without their quotes.
    pub(super) words: Vec<String>,
    /// As it is written.
    pub(super) text: String,
}

/// Lines within lines (`sh -c "…"`) nest; nobody nests them deeper by hand.
const MAX_DEPTH: usize = 4;

/// The commands of a text in their order, whatever joins them (`;`, `&&`, `||`, `|`, `&`, a new line). What is quoted
/// stays together, but for what a shell is given to run (`sh -c "…"`). This is no shell: expansions stay as they are.
pub(super) fn commands(text: &str) -> Vec<ShellCommand> {
    let mut all = Vec::new();
    collect(text, 0, &mut all);
    all
}

fn collect(text: &str, depth: usize, all: &mut Vec<ShellCommand>) {
    for command in split(text) {
        let script = script(&command.words);
        match script {
            Some(script) if depth < MAX_DEPTH => collect(&script, depth + 1, all),
            _ => all.push(command),
        }
    }
}

/// What one of these words is given to a shell to run.
fn script(words: &[String]) -> Option<String> {
    const SHELLS: [&str; 9] = ["sh", "ash", "bash", "dash", "flock", "ksh", "runuser", "su", "zsh"];
    let name = |word: &String| word.rsplit('/').next().is_some_and(|name| SHELLS.contains(&name));
    let from = words.iter().position(name)?;
    words.get(from..)?.windows(2).find_map(|pair| match pair {
        [flag, script] if is_script_flag(flag) && script.contains(char::is_whitespace) => Some(script.clone()),
        _ => None,
    })
}

/// `-c`, and `-lc` as some write it.
fn is_script_flag(word: &str) -> bool {
    word.strip_prefix('-').is_some_and(|letters| {
        letters.len() <= 3 && letters.ends_with('c') && letters.bytes().all(|c| c.is_ascii_lowercase())
    })
}

struct Parts {
    all: Vec<ShellCommand>,
    words: Vec<String>,
    word: Option<String>,
    text: String,
}

impl Parts {
    fn end_word(&mut self) {
        self.words.extend(self.word.take());
    }

    fn end_command(&mut self) {
        self.end_word();
        let (words, text) = (std::mem::take(&mut self.words), std::mem::take(&mut self.text));
        if !words.is_empty() {
            self.all.push(ShellCommand { words, text: text.trim().to_owned() });
        }
    }

    fn push(&mut self, c: char) {
        self.word.get_or_insert_default().push(c);
    }
}

fn split(text: &str) -> Vec<ShellCommand> {
    let mut parts = Parts { all: Vec::new(), words: Vec::new(), word: None, text: String::new() };
    let mut chars = text.chars().peekable();
    let mut quote: Option<char> = None;
    let mut before = ' ';
    while let Some(c) = chars.next() {
        match (c, quote) {
            (c, Some(open)) if c == open => {
                quote = None;
                parts.text.push(c);
            }
            ('\\', Some('"') | None) => match chars.next() {
                // A line that goes on.
                Some('\n') => {}
                Some(next) => {
                    parts.push(next);
                    parts.text.extend([c, next]);
                }
                None => {}
            },
            (c, Some(_)) => {
                parts.push(c);
                parts.text.push(c);
            }
            ('\'' | '"', None) => {
                quote = Some(c);
                // Empty quotes are a word, too.
                parts.word.get_or_insert_default();
                parts.text.push(c);
            }
            ('#', None) if parts.word.is_none() => while chars.next_if(|next| *next != '\n').is_some() {},
            // A redirection (`2>&1`, `&>`) joins no commands.
            ('&', None) if before == '>' || chars.peek() == Some(&'>') => {
                parts.push(c);
                parts.text.push(c);
            }
            (';' | '&' | '|' | '\n', None) => parts.end_command(),
            ('(' | ')' | '`', None) => {
                parts.end_word();
                parts.text.push(c);
            }
            (c, None) if c.is_whitespace() => {
                parts.end_word();
                parts.text.push(c);
            }
            (c, None) => {
                parts.push(c);
                parts.text.push(c);
            }
        }
        before = c;
    }
    parts.end_command();
    parts.all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(line: &str) -> Vec<String> {
        commands(line).into_iter().map(|command| command.text).collect()
    }

    #[test]
    fn a_line_is_taken_apart_where_a_shell_would() {
        assert_eq!(texts("a 1 && b || c; d | e & f"), ["a 1", "b", "c", "d", "e", "f"]);
        assert_eq!(texts("certbot renew >/dev/null 2>&1 && x"), ["certbot renew >/dev/null 2>&1", "x"]);
        assert_eq!(texts("a &> log; b"), ["a &> log", "b"]);
        assert_eq!(texts("a \\\n  --b\nc # && d\n# e; f\n"), ["a   --b", "c"]);
        assert!(texts("").is_empty() && texts(" ; && \n").is_empty());
    }

    #[test]
    fn what_is_quoted_stays_together_unless_a_shell_runs_it() {
        let hook = commands("certbot renew --deploy-hook \"systemctl reload a; systemctl reload b\"");
        assert_eq!(hook.len(), 1);
        assert_eq!(hook[0].words[3], "systemctl reload a; systemctl reload b");
        assert_eq!(texts("sh -c 'certbot renew && nginx -s reload'"), ["certbot renew", "nginx -s reload"]);
        assert_eq!(texts("su - root -c \"certbot renew; x\" && y"), ["certbot renew", "x", "y"]);
        assert_eq!(texts("certkit -c '/a b/cli.ini' renew"), ["certkit -c '/a b/cli.ini' renew"]);
        assert_eq!(texts("perl -e 'sleep int(rand(9)); 1' && a"), ["perl -e 'sleep int(rand(9)); 1'", "a"]);
    }

    #[test]
    fn nothing_that_is_no_line_at_all_does_harm() {
        for text in ["'", "\"a", "\\", "a\\", "&&&;;||", "((`", "sh -c", "-c '-c \"-c x y\"'", "\0\u{1b}["] {
            commands(text);
        }
        let deep = "sh -c 'a b' ".repeat(2000);
        commands(&deep);
    }
}
