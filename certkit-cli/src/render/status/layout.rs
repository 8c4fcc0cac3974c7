//! Which columns a screen has room for, and how wide each is.

use super::super::screen::Screen;

/// What a line shows besides name and bar, in their order.
pub(super) const COLUMNS: [&str; 5] = ["Left", "State", "Due", "Served", "Last result"];
/// What a narrow screen goes without, the first one first.
const LEFT_OUT: [usize; 4] = [4, 3, 0, 2];
const GAP: usize = 2;
const LEAST_NAME: usize = 12;
const LEAST_BAR: usize = 12;
const FAIR_NAME: usize = 32;
const FAIR_BAR: usize = 24;
const MOST_BAR: usize = 48;

/// How a screen is divided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// How wide the names are.
    pub(super) name: usize,
    /// How wide the bars are; 0 where there is no room for any.
    pub(super) bar: usize,
    /// How wide each of the other columns is; none where it is left out.
    pub(super) columns: [Option<usize>; COLUMNS.len()],
}

impl Layout {
    /// For lines with these names and cells.
    pub(super) fn of(names: usize, cells: &[[String; COLUMNS.len()]], screen: &Screen) -> Self {
        let mut columns: [Option<usize>; COLUMNS.len()] = std::array::from_fn(|at| {
            let longest = cells.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max();
            Some(longest.unwrap_or(0).max(COLUMNS.get(at).map_or(0, |heading| heading.len())))
        });
        let room = |columns: &[Option<usize>]| {
            let taken: usize = columns.iter().flatten().map(|width| width + GAP).sum();
            screen.columns.saturating_sub(taken)
        };
        for at in LEFT_OUT {
            if room(&columns) >= LEAST_NAME + GAP + LEAST_BAR {
                break;
            }
            if let Some(column) = columns.get_mut(at) {
                *column = None;
            }
        }
        let room = room(&columns);
        let names = names.max("Certificate".len());
        if room < LEAST_NAME + GAP + LEAST_BAR {
            return Self { name: names.min(room), bar: 0, columns };
        }
        // A bar that shows something comes before the end of a long name, and its length after the name.
        let bar = if room >= FAIR_NAME + GAP + FAIR_BAR { FAIR_BAR } else { LEAST_BAR };
        let name = names.min(room - GAP - bar);
        Self { name, bar: (room - GAP - name).min(MOST_BAR), columns }
    }

    /// A line of these parts, which are as wide as they should be but for the last one.
    pub(super) fn line(&self, name: &str, bar: &str, cells: &[String]) -> String {
        let gap = " ".repeat(GAP);
        let mut parts = vec![name.to_owned()];
        if self.bar > 0 {
            parts.push(bar.to_owned());
        }
        parts.extend(self.columns.iter().zip(cells).filter(|(width, _)| width.is_some()).map(|(_, cell)| cell.clone()));
        format!("{}\n", parts.join(&gap).trim_end())
    }

    /// How wide the column is; 0 where it is left out.
    pub(super) fn width(&self, at: usize) -> usize {
        self.columns.get(at).copied().flatten().unwrap_or(0)
    }
}
