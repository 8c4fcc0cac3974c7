//! A certificate's life as a bar.

use anstyle::{AnsiColor, Style};
use certkit_core::{Condition, Lifeline};

use super::super::screen::{Screen, colour};

/// What a bar is drawn with.
struct Signs {
    gone: char,
    left: char,
    renewal: char,
    now: char,
    now_at_renewal: char,
    over: char,
    to_come: char,
}

const UNICODE: Signs =
    Signs { gone: '━', left: '─', renewal: '┃', now: '●', now_at_renewal: '◉', over: '✕', to_come: '○' };
const ASCII: Signs =
    Signs { gone: '=', left: '-', renewal: '|', now: '>', now_at_renewal: '#', over: 'x', to_come: '<' };

/// What the signs mean, in twelve characters.
pub(super) fn legend(screen: &Screen) -> String {
    let signs = signs(screen);
    format!("{} now  {} due", signs.now, signs.renewal)
}

/// The bar of a life, so many characters wide; empty room without one.
pub(super) fn bar(life: Option<Lifeline>, condition: Condition, width: usize, screen: &Screen) -> String {
    let Some(life) = life.filter(|_| width > 0) else { return " ".repeat(width) };
    let signs = signs(screen);
    let now = cell(life.now, width);
    let renewal = life.renewal.filter(|place| (0.0..1.0).contains(place)).map(|place| cell(place, width));
    let sign = |at: usize| {
        if at == now && life.now >= 1.0 {
            signs.over
        } else if at == now && life.now < 0.0 {
            signs.to_come
        } else if at == now && renewal == Some(at) {
            signs.now_at_renewal
        } else if at == now {
            signs.now
        } else if renewal == Some(at) {
            signs.renewal
        } else if at < now {
            signs.gone
        } else {
            signs.left
        }
    };
    let (gone, left): (String, String) = ((0..=now).map(sign).collect(), (now + 1..width).map(sign).collect());
    let rest: Style = AnsiColor::BrightBlack.on_default();
    format!("{}{}", screen.paint(colour(condition), &gone), screen.paint(rest, &left))
}

/// The cell of a place between 0 and 1; what lies outside is at the edge.
fn cell(place: f64, width: usize) -> usize {
    // Within the width by construction.
    ((place.clamp(0.0, 1.0) * width as f64) as usize).min(width.saturating_sub(1))
}

fn signs(screen: &Screen) -> &'static Signs {
    if screen.unicode { &UNICODE } else { &ASCII }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(now: f64, renewal: Option<f64>, unicode: bool) -> String {
        let mut life: Lifeline = certkit_core::Summary::of_broken(
            "x",
            "",
            false,
            Some(certkit_core::Validity {
                not_before: chrono::DateTime::UNIX_EPOCH,
                not_after: chrono::DateTime::UNIX_EPOCH,
            }),
            chrono::DateTime::UNIX_EPOCH,
        )
        .lifeline(chrono::DateTime::UNIX_EPOCH)
        .unwrap();
        (life.now, life.renewal) = (now, renewal);
        bar(Some(life), Condition::Ok, 12, &Screen { columns: 80, unicode, colour: false })
    }

    #[test]
    fn now_and_the_renewal_are_marked_wherever_they_lie() {
        let cases = [
            (0.0, Some(0.67), "●───────┃───", ">-------|---"),
            (0.5, Some(0.67), "━━━━━━●─┃───", "======>-|---"),
            (0.67, Some(0.67), "━━━━━━━━◉───", "========#---"),
            (0.9, Some(0.67), "━━━━━━━━┃━●─", "========|=>-"),
            (0.5, None, "━━━━━━●─────", "======>-----"),
            (0.5, Some(1.5), "━━━━━━●─────", "======>-----"),
            (1.0, Some(0.67), "━━━━━━━━┃━━✕", "========|==x"),
            (99.0, Some(0.67), "━━━━━━━━┃━━✕", "========|==x"),
            (-0.5, Some(0.67), "○───────┃───", "<-------|---"),
        ];
        for (now, renewal, unicode, ascii) in cases {
            assert_eq!(drawn(now, renewal, true), unicode);
            assert_eq!(drawn(now, renewal, false), ascii);
        }
        let screen = Screen { columns: 80, unicode: true, colour: false };
        assert_eq!(bar(None, Condition::Broken, 3, &screen), "   ");
    }
}
