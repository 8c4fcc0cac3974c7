//! One line of ConfigObj 5, read exactly as its regular expressions read it, in linear time.
//!
//! certbot hands its confs to Python's `configobj`, whose grammar is a handful of backtracking expressions. What they
//! accept at the edges (a blank as a key, a quote inside a quoted value, `[a] # see [b]`) is not what a reader written
//! from the documentation accepts, so each function here follows one expression, alternative by alternative. Where the
//! original backtracks, the possible continuations are computed from the right instead, so no line can make it slow.

use std::borrow::Cow;

/// A value before interpolation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RawValue<'a> {
    Text(Cow<'a, str>),
    List(Vec<&'a str>),
}

/// `key = rest`.
pub(super) struct Keyword<'a> {
    /// With its quotes taken off.
    pub(super) key: &'a str,
    /// Where the value begins in the line, in bytes.
    pub(super) value_at: usize,
}

/// `[[name]]`.
pub(super) struct Marker<'a> {
    /// With its quotes taken off.
    pub(super) name: &'a str,
    pub(super) open: usize,
    pub(super) close: usize,
}

/// A value on one line.
pub(super) struct Value<'a> {
    pub(super) value: RawValue<'a>,
    /// Where the comment begins, in bytes from the beginning of the value.
    pub(super) comment_at: Option<usize>,
}

/// What Python's `str.isspace` and `\s` call white space: Unicode's, and the four information separators.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

pub(super) fn trim(text: &str) -> &str {
    text.trim_matches(is_space)
}

pub(super) fn trim_start(text: &str) -> &str {
    text.trim_start_matches(is_space)
}

pub(super) fn trim_end(text: &str) -> &str {
    text.trim_end_matches(is_space)
}

/// Takes off one pair of equal quotes. A lone quote is both ends of itself and leaves nothing, as in the original.
pub(super) fn unquote(text: &str) -> &str {
    let mut chars = text.chars();
    match chars.next() {
        Some(quote @ ('"' | '\'')) => match chars.next_back() {
            None => "",
            Some(last) if last == quote => chars.as_str(),
            Some(_) => text,
        },
        _ => text,
    }
}

/// `^(\s*)((?:".*?")|(?:'.*?')|(?:[^'"=].*?))\s*=\s*(.*)$`
pub(super) fn keyword(line: &str) -> Option<Keyword<'_>> {
    let body = trim_start(line);
    let indent = line.len() - body.len();
    let found = match body.chars().next()? {
        quote @ ('"' | '\'') => body.char_indices().skip(1).filter(|&(_, c)| c == quote).find_map(|(close, _)| {
            let after = trim_start(body.get(close + 1..)?);
            after.strip_prefix('=').map(|rest| (indent, indent + close + 1, line.len() - rest.len()))
        }),
        '=' => None,
        first => body.get(first.len_utf8()..).and_then(|rest| {
            let equals = body.len() - rest.len() + rest.find('=')?;
            // The key has at least one character, which is not a blank here.
            Some((indent, indent + trim_end(&body[..equals]).len(), indent + equals + 1))
        }),
    };
    // The indentation gives back one blank, which then begins the key: ` = x` has the key ` `.
    let found = found.or_else(|| {
        let last_blank = line[..indent].chars().next_back()?;
        let equals = indent + body.find('=')?;
        let start = indent - last_blank.len_utf8();
        Some((start, indent.max(trim_end(&line[..equals]).len()), equals + 1))
    });
    let (start, end, after_equals) = found?;
    let key = unquote(line.get(start..end)?);
    let rest = line.get(after_equals..)?;
    Some(Keyword { key, value_at: line.len() - trim_start(rest).len() })
}

/// `^(\s*)((?:\[\s*)+)((?:"\s*\S.*?\s*")|(?:'\s*\S.*?\s*')|(?:[^'"\s].*?))((?:\s*\])+)\s*(\#.*)?$`
pub(super) fn marker(line: &str) -> Option<Marker<'_>> {
    let body = trim_start(line);
    if !body.starts_with('[') {
        return None;
    }
    let chars: Vec<(usize, char)> = body.char_indices().collect();
    let closes = closing_brackets(&chars);
    // The next such place at or after each position: every bracket that is given back asks again.
    let mut next_close = vec![None; chars.len() + 1];
    for index in (0..chars.len()).rev() {
        next_close[index] = if closes[index] { Some(index) } else { next_close[index + 1] };
    }
    let byte = |index: usize| chars.get(index).map_or(body.len(), |&(at, _)| at);
    // Where each opening bracket stands, and where the name begins after the last of them.
    let mut brackets = Vec::new();
    let mut name_at = 0;
    for (index, &(_, c)) in chars.iter().enumerate() {
        match c {
            '[' => brackets.push(index),
            c if is_space(c) => {}
            _ => break,
        }
        name_at = index + 1;
    }
    // The longest run of brackets first; a bracket that is given back begins the name.
    for open in (1..=brackets.len()).rev() {
        let start = if open == brackets.len() { name_at } else { *brackets.get(open)? };
        let Some(&(_, first)) = chars.get(start) else { continue };
        let end = if first == '"' || first == '\'' {
            let Some(solid) = (start + 1..chars.len()).find(|&i| !is_space(chars[i].1)) else { continue };
            (solid + 1..chars.len()).find(|&i| chars[i].1 == first && closes[i + 1]).map(|i| i + 1)
        } else {
            next_close[start + 1]
        };
        if let Some(end) = end {
            let name = unquote(body.get(byte(start)..byte(end))?);
            let run = chars[end..].iter().take_while(|&&(_, c)| c == ']' || is_space(c));
            return Some(Marker { name, open, close: run.filter(|&&(_, c)| c == ']').count() });
        }
    }
    None
}

/// For each position whether `(?:\s*\])+\s*(\#.*)?$` matches there.
fn closing_brackets(chars: &[(usize, char)]) -> Vec<bool> {
    let mut closes = vec![false; chars.len() + 1];
    let mut rest = true;
    for (index, &(_, c)) in chars.iter().enumerate().rev() {
        closes[index] = if is_space(c) { closes[index + 1] } else { c == ']' && (closes[index + 1] || rest) };
        rest = c == '#' || (is_space(c) && rest);
    }
    closes
}

/// The value of a triple-quoted text that closes on this line: what `^(.*?)"""\s*(#.*)?$` matches. Returns where the
/// text ends and where a comment begins.
pub(super) fn triple_close(text: &str, quotes: &str) -> Option<(usize, Option<usize>)> {
    let mut from = 0;
    while let Some(found) = text.get(from..)?.find(quotes) {
        let end = from + found;
        let after = text.get(end + quotes.len()..)?;
        let rest = trim_start(after);
        if rest.is_empty() {
            return Some((end, None));
        }
        if rest.starts_with('#') {
            return Some((end, Some(text.len() - rest.len())));
        }
        from = end + 1;
    }
    None
}

/// `_valueexp` and `_listvalueexp`: a text, a list or nothing, and a comment. The value's leading blanks are already off.
pub(super) fn value(text: &str) -> Option<Value<'_>> {
    let plain = |value| Some(Value { value: RawValue::Text(Cow::Borrowed(value)), comment_at: None });
    let trimmed = trim_end(text);
    match trimmed.as_bytes() {
        [] => return plain(""),
        [quote @ (b'"' | b'\''), inner @ .., last] if last == quote && !inner.contains(quote) => {
            return plain(unquote(trimmed));
        }
        [b'"' | b'\'', ..] => {}
        bytes if !bytes.iter().any(|byte| matches!(byte, b',' | b'#')) => return plain(trimmed),
        _ => {}
    }
    Matcher::new(text).run()
}

/// What follows at a position of a value when the rest of it matches.
#[derive(Clone, Copy)]
enum Step {
    /// A list item, its comma and blanks; the next part begins here.
    Item(usize),
    /// The last part, up to here (exclusive); none when there is nothing but an end or a comment.
    Last(Option<usize>),
}

struct Matcher<'a> {
    text: &'a str,
    chars: Vec<(usize, char)>,
}

impl<'a> Matcher<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, chars: text.char_indices().collect() }
    }

    fn byte(&self, index: usize) -> usize {
        self.chars.get(index).map_or(self.text.len(), |&(at, _)| at)
    }

    fn run(&self) -> Option<Value<'a>> {
        let steps = self.steps();
        let mut at = 0;
        let single = loop {
            match steps.get(at).copied().flatten() {
                Some(Step::Item(next)) => at = next,
                Some(Step::Last(end)) => break end,
                // Nothing matches, but for a comma alone: the empty list.
                None => {
                    let rest = trim_start(self.text.strip_prefix(',')?);
                    let comment_at = (!rest.is_empty()).then_some(self.text.len() - rest.len());
                    return (rest.is_empty() || rest.starts_with('#'))
                        .then_some(Value { value: RawValue::List(Vec::new()), comment_at });
                }
            }
        };
        let list_end = self.byte(at);
        let single_end = single.map_or(list_end, |end| self.byte(end));
        let rest = trim_start(self.text.get(single_end..)?);
        let comment_at = (!rest.is_empty()).then_some(self.text.len() - rest.len());
        let single = single.and_then(|_| self.text.get(list_end..single_end)).map(unquote);
        let value = if list_end == 0 {
            RawValue::Text(Cow::Borrowed(single.unwrap_or_default()))
        } else {
            let mut items = list_items(self.text.get(..list_end)?)?;
            items.extend(single);
            RawValue::List(items)
        };
        Some(Value { value, comment_at })
    }

    /// For each position what matches there, from the right: the first alternative of the expression whose whole
    /// continuation matches.
    fn steps(&self) -> Vec<Option<Step>> {
        let chars = &self.chars;
        let n = chars.len();
        let mut steps: Vec<Option<Step>> = vec![None; n + 1];
        steps[n] = Some(Step::Last(None));
        // For what lies to the right of the position: the first non-blank; whether only blanks and a comment follow;
        // the next comma or hash, the next comma, the next end of an unquoted text; and for each quote the next one
        // after which an item or the value can end.
        let mut solid = n;
        let mut rest_ok = vec![false; n + 1];
        rest_ok[n] = true;
        let mut after_comma: Vec<Option<usize>> = vec![None; n];
        let (mut special, mut comma, mut ends) = (None::<usize>, None::<usize>, n);
        let mut item_close: [Option<usize>; 2] = [None; 2];
        let mut last_close: [Option<usize>; 2] = [None; 2];
        for i in (0..n).rev() {
            let c = chars[i].1;
            let space = is_space(c);
            rest_ok[i] = c == '#' || (space && rest_ok[i + 1]);
            let quote = match c {
                '"' => Some(0),
                '\'' => Some(1),
                _ => None,
            };
            let item = match (quote, c) {
                (Some(quote), _) => item_close[quote],
                (None, ',' | '#') => None,
                _ => special.filter(|&at| chars[at].1 == ',').and_then(|at| after_comma[at]),
            };
            steps[i] = if let Some(next) = item {
                Some(Step::Item(next))
            } else if let Some(quote) = quote {
                last_close[quote].map(|close| Step::Last(Some(close + 1)))
            } else if !space && c != ',' && c != '#' {
                comma.is_none_or(|comma| comma >= ends).then_some(Step::Last(Some(ends)))
            } else {
                rest_ok[i].then_some(Step::Last(None))
            };
            if c == ',' {
                after_comma[i] = (i + 1..=solid).rev().find(|&start| steps[start].is_some());
            }
            if let Some(quote) = quote {
                if let Some(next) = chars.get(solid).filter(|next| next.1 == ',').and_then(|_| after_comma[solid]) {
                    // Where the item that closes here continues; the position itself is not needed.
                    item_close[quote] = Some(next);
                }
                if rest_ok[i + 1] {
                    last_close[quote] = Some(i);
                }
            }
            if !space {
                solid = i;
            }
            if c == ',' || c == '#' {
                special = Some(i);
            }
            if c == ',' {
                comma = Some(i);
            }
            if rest_ok[i] {
                ends = i;
            }
        }
        steps
    }
}

/// `_listvalueexp` with `findall`. The text ends with a comma and blanks. An empty item is an error.
fn list_items(text: &str) -> Option<Vec<&str>> {
    let mut items = Vec::new();
    let mut rest = text;
    let mut gone = [false; 2];
    while !rest.is_empty() {
        let quoted = match rest.as_bytes() {
            [b'"', ..] if !gone[0] => quoted_item(rest, '"', &mut gone[0]),
            [b'\'', ..] if !gone[1] => quoted_item(rest, '\'', &mut gone[1]),
            _ => None,
        };
        let (item, after) = match quoted {
            Some(found) => found,
            None => {
                let Some(comma) = rest.find(',') else { break };
                (trim_end(&rest[..comma]), rest.get(comma + 1..)?)
            }
        };
        if item.is_empty() {
            return None;
        }
        items.push(unquote(item));
        rest = trim_start(after);
    }
    Some(items)
}

/// A quoted item: up to the first closing quote that a comma follows. `gone` is set when there is none, nor will be.
fn quoted_item<'a>(rest: &'a str, quote: char, gone: &mut bool) -> Option<(&'a str, &'a str)> {
    for (close, _) in rest.char_indices().skip(1).filter(|&(_, c)| c == quote) {
        let (item, after) = rest.split_at(close + 1);
        if let Some(after) = trim_start(after).strip_prefix(',') {
            return Some((item, after));
        }
    }
    *gone = true;
    None
}
