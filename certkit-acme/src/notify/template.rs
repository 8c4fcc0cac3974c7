//! The one template engine: data in, text out. What is filled in is never read as a template again.

use minijinja::value::{Kwargs, Value};
use minijinja::{AutoEscape, Environment, Error, UndefinedBehavior};
use serde::Serialize;

/// How values are written where a template names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writes {
    /// As JSON: a text stands in quotes, and nothing in it ends them.
    Json,
    /// As HTML: nothing in a text begins a tag.
    #[cfg(feature = "mail")]
    Html,
    /// As they are; for what the owner alone has written.
    Plain,
}

/// Fills a template in. The error says what is wrong with it, and may name a part of it.
pub(super) fn fill(template: &str, writes: Writes, data: &impl Serialize) -> Result<String, String> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(move |_| match writes {
        Writes::Json => AutoEscape::Json,
        #[cfg(feature = "mail")]
        Writes::Html => AutoEscape::Html,
        Writes::Plain => AutoEscape::None,
    });
    // A field that is not set is false, and an error where it would be written.
    environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.add_filter("limit", limit);
    environment.add_filter("limit_bytes", limit_bytes);
    environment.add_filter("slack", slack);
    environment.add_filter("code_block", code_block);
    environment.add_filter("sentence", sentence);
    environment.add_function("one_of", one_of);
    environment.render_str(template, Value::from_serialize(data)).map_err(|error| error.to_string())
}

/// At most so many UTF-16 code units, as chat services count; the last one is an ellipsis when something is left out.
fn limit(text: &str, most: usize) -> String {
    cut(text, most, char::len_utf16)
}

/// The same in bytes of UTF-8.
fn limit_bytes(text: &str, most: usize) -> String {
    cut(text, most, char::len_utf8)
}

fn cut(text: &str, most: usize, length: impl Fn(char) -> usize) -> String {
    const ELLIPSIS: char = '…';
    if text.chars().map(&length).sum::<usize>() <= most {
        return text.to_owned();
    }
    let mut left = most.saturating_sub(length(ELLIPSIS));
    let kept = text.chars().take_while(|c| {
        let fits = length(*c) <= left;
        left = left.saturating_sub(length(*c));
        fits
    });
    kept.chain([ELLIPSIS]).collect()
}

/// Slack reads `<!channel>`, `<@user>` and `<url|text>` in a text; with these three escaped it reads nothing
/// (docs.slack.dev/messaging/formatting-message-text, 2025).
fn slack(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A block of code in Markdown: nothing in it is a link, a heading or a mention. Three backticks would end it.
fn code_block(text: &str, most: usize) -> String {
    const FENCES: usize = "```\n\n```".len();
    let text = limit(text, most.saturating_sub(FENCES)).replace("```", "'''");
    format!("```\n{text}\n```")
}

/// With a capital letter in front, as a sentence begins.
fn sentence(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().map_or_else(String::new, |first| first.to_uppercase().chain(rest).collect())
}

/// `one_of(level, emergency=5, critical=4)`: a service's own word for a level.
fn one_of(level: &str, choices: Kwargs) -> Result<Value, Error> {
    choices.get(level)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const HOSTILE: &str = "a\"b\\c\r\nBcc: x@example.org\r\n.\r\n</script>{{ 7*7 }}{% raw %}%s$(id)`id`&<!channel>";

    #[test]
    fn what_is_filled_in_is_data_whatever_it_looks_like() {
        let data = json!({ "text": HOSTILE });
        let body = fill("{\"a\": {{ text }}, \"b\": [{{ text|limit(500) }}]}", Writes::Json, &data).unwrap();
        let read: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!((read["a"].as_str(), read["b"][0].as_str()), (Some(HOSTILE), Some(HOSTILE)));
        assert_eq!(fill("{{ text }}", Writes::Plain, &data).unwrap(), HOSTILE);
    }

    #[cfg(feature = "mail")]
    #[test]
    fn nothing_begins_a_tag() {
        let html = fill("<p>{{ text }}</p>", Writes::Html, &json!({ "text": HOSTILE })).unwrap();
        assert!(!html.contains("</script>") && html.contains("{{ 7*7 }}"), "{html}");
    }

    #[test]
    fn a_field_that_is_not_set_is_false_and_not_an_empty_text() {
        let data = json!({ "token": "t" });
        assert_eq!(fill("{% if token %}Bearer {{ token }}{% endif %}", Writes::Plain, &data).unwrap(), "Bearer t");
        assert_eq!(fill("{% if user %}{{ user }}{% endif %}x", Writes::Plain, &data).unwrap(), "x");
        assert!(fill("{{ tokn }}", Writes::Plain, &data).is_err());
    }

    #[test]
    fn levels_are_given_a_services_own_words() {
        let data = json!({ "level": "critical" });
        let template = "{{ one_of(level, emergency=\"!\", critical=4) }}";
        assert_eq!(fill(template, Writes::Json, &data).unwrap(), "4");
        assert!(fill("{{ one_of(level, info=1) }}", Writes::Json, &data).is_err());
    }

    #[test]
    fn nothing_leaves_a_block_of_code_or_calls_a_channel() {
        assert_eq!(code_block("a```b", 100), "```\na'''b\n```");
        assert_eq!(slack("<!channel> & <@U1>"), "&lt;!channel&gt; &amp; &lt;@U1&gt;");
    }

    proptest! {
        #[test]
        fn limits_hold_and_short_texts_stay(text in "\\PC{0,40}", most in 1_usize..60) {
            let short = limit(&text, most);
            prop_assert!(short.encode_utf16().count() <= most);
            prop_assert!(text.encode_utf16().count() > most || short == text);
            prop_assert!(limit_bytes(&text, most.max(3)).len() <= most.max(3));
            prop_assert!(code_block(&text, most + 8).encode_utf16().count() <= most + 8);
        }

        #[test]
        fn any_text_is_one_json_value(text in any::<String>()) {
            let body = fill("{\"a\": {{ text }}}", Writes::Json, &json!({ "text": text })).unwrap();
            let read: serde_json::Value = serde_json::from_str(&body).unwrap();
            prop_assert_eq!(read["a"].as_str(), Some(text.as_str()));
        }
    }
}
