//! What certkit costs, against the bare cost of the same work. `benches/README.md` says how to run it, and what came out.
//!
//! Nothing is asserted: a machine may be busy. Every figure stands beside one that was measured right before it.

mod bare;
mod cost;
mod crowd;
mod inspect;
mod instructions;
mod issue;
mod list;
mod peers;
mod start;
mod thousand;
mod trees;

use std::error::Error;
use std::path::Path;

/// What went wrong, in words.
type Failure = Box<dyn Error>;

/// So many lineages are laid, listed and decided about where nothing else is asked for.
const USUAL_SIZES: [usize; 2] = [1000, 10_000];

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["crowd"] => crowd::print(),
        [crowd::WORK] => crowd::answer(),
        ["inspect"] => inspect::print(),
        ["instructions"] => instructions::print(),
        ["issue-all", ca_bundle, folder] => issue::issue_all(ca_bundle, folder),
        ["issue", rest @ ..] => issue::print(rest),
        ["thousand", sizes @ ..] => thousand::print(sizes),
        // In a process of its own, for `cost::best` and `instructions`.
        ["do", inspect::WORK, file] => inspect::measure(Path::new(file)),
        ["do", work, folder] => cost::print_of(|| list::perform(work, Path::new(folder))),
        ["repeat", work, times, folder] => instructions::repeat(work, times.parse()?, Path::new(folder)),
        [] => compare(&USUAL_SIZES),
        sizes => compare(&sizes.iter().map(|size| size.parse()).collect::<Result<Vec<_>, _>>()?),
    }
}

/// Listing and deciding over trees of these sizes, side by side with whoever else can list them.
fn compare(sizes: &[usize]) -> Result<(), Failure> {
    for &size in sizes {
        let folder = tempfile::tempdir()?;
        let tree = trees::lay(&folder.path().join("letsencrypt"), size);
        println!("{size} lineages\n");
        list::print(tree.config_dir())?;
        peers::print(tree.config_dir(), size)?;
    }
    start::print()
}
