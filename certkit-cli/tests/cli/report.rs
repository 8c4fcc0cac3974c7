//! The page, as a browser shows it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{Place, Run};

/// Looks at the page from inside and writes what it found into an attribute of the page: how wide it is, what has too
/// little contrast (WCAG 2.2, 1.4.3), what a reader without eyes would miss.
const PROBE: &str = r#"
const problems = [];
const rgb = (text) => { const m = text.match(/[\d.]+/g).map(Number); return m.length > 3 ? m : [m[0], m[1], m[2], 1]; };
const luminance = (c) => { const f = c.slice(0, 3).map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * f[0] + 0.7152 * f[1] + 0.0722 * f[2]; };
const contrast = (a, b) => { const [x, y] = [luminance(a), luminance(b)].sort((m, n) => n - m); return (x + 0.05) / (y + 0.05); };
const behind = (node) => { for (let one = node; one; one = one.parentElement) { const c = rgb(getComputedStyle(one).backgroundColor); if (c[3] === 1) return c; } return [255, 255, 255, 1]; };
let texts = 0, least = 99;
for (const details of document.querySelectorAll('details')) details.open = true;
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode() && texts < 4000) {
  const node = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || ['SCRIPT', 'STYLE', 'title', 'desc'].includes(node.tagName) || !node.getClientRects().length) continue;
  texts += 1;
  const style = getComputedStyle(node);
  const ratio = contrast(rgb(node instanceof SVGElement ? style.fill : style.color), behind(node));
  least = Math.min(least, ratio);
  if (ratio < 4.5) problems.push(`contrast ${ratio.toFixed(2)}: ${walker.currentNode.data.trim().slice(0, 40)}`);
}
for (const svg of document.querySelectorAll('svg[role=img]')) {
  for (const id of (svg.getAttribute('aria-labelledby') || '?').split(' ')) if (!document.getElementById(id)?.textContent.trim()) problems.push('a picture without a label');
}
for (const th of document.querySelectorAll('th')) if (!th.scope) problems.push('a th without scope');
for (const section of document.querySelectorAll('section')) if (!document.getElementById(section.getAttribute('aria-labelledby'))) problems.push('a section without a heading');
const ids = [...document.querySelectorAll('[id]')].map((one) => one.id);
if (new Set(ids).size !== ids.length) problems.push('an id twice');
if (!document.documentElement.lang || document.querySelectorAll('h1').length !== 1 || !document.querySelector('main')) problems.push('no language, heading or main');
if (document.querySelector('a.skip')?.hash.slice(1) !== document.querySelector('main').id) problems.push('nothing to skip with');
const root = document.scrollingElement;
const wide = [...document.querySelectorAll('body *')].filter((one) => !(one instanceof SVGElement) && !one.matches('.skip, thead *, thead') && one.getBoundingClientRect().right > root.clientWidth + 1).map((one) => one.tagName + '.' + one.className + ': ' + one.textContent.trim().slice(0, 30));
if (root.scrollWidth > root.clientWidth) problems.push(`${root.scrollWidth} wide in ${root.clientWidth}: ${wide.slice(0, 5).join(' | ')}`);
const table = document.querySelector('table.cards tbody tr');
document.body.dataset.probe = JSON.stringify({
  problems: problems.slice(0, 20), texts, least, width: root.clientWidth, height: root.scrollHeight,
  dark: matchMedia('(prefers-color-scheme: dark)').matches, background: getComputedStyle(document.body).backgroundColor,
  cards: table ? getComputedStyle(table).display === 'block' : null, nodes: document.querySelectorAll('*').length,
});
"#;

/// A browser: $CERTKIT_TEST_CHROMIUM, else `chromium`.
fn chromium(profile: &Path, more: &[&str]) -> Run {
    let program = std::env::var_os("CERTKIT_TEST_CHROMIUM").unwrap_or_else(|| "chromium".into());
    let output = Command::new(&program)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--enable-logging=stderr", "--hide-scrollbars"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .args(more)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program:?}: {error}; install chromium, or set CERTKIT_TEST_CHROMIUM"));
    Run::of(output).ends_with(0)
}

/// What the console said, and errors of the page. The browser's own complaints about a machine without a bus are its own.
fn console(run: &Run) -> Vec<&str> {
    run.stderr.lines().filter(|line| line.contains("CONSOLE") || line.contains("Refused to")).collect()
}

/// What [`PROBE`] finds in a copy of the page. Phones are narrower than any window that this browser opens, so the copy is
/// looked at in a frame.
fn probe(place: &Place, page: &Path, width: u32, dark: bool) -> Value {
    let html = fs::read_to_string(page).unwrap();
    let (before, rest) = html.split_once("<meta http-equiv=\"Content-Security-Policy\"").expect("it has a policy");
    let (_, after) = rest.split_once('>').unwrap();
    let copy = format!("{before}{after}").replace(
        "</body>",
        &format!("<script>{PROBE}\nparent.postMessage(document.body.dataset.probe, '*');</script></body>"),
    );
    fs::write(place.folder().join("copy.html"), copy).unwrap();
    let frame = format!(
        "<!DOCTYPE html><meta name=\"color-scheme\" content=\"light dark\"><body><script>onmessage = (event) => {{ document.body.dataset.found = event.data; }};</script><iframe src=\"copy.html\" style=\"width:{width}px;height:4200px;border:0\"></iframe>"
    );
    let file = place.folder().join("frame.html");
    fs::write(&file, frame).unwrap();
    let scheme = format!("--blink-settings=preferredColorScheme={}", u8::from(!dark));
    let url = format!("file://{}", file.display());
    let profile = place.folder().join(format!("profile-{width}-{dark}"));
    let run = chromium(
        &profile,
        &[&scheme, "--virtual-time-budget=8000", "--allow-file-access-from-files", "--dump-dom", &url],
    );
    let (_, found) = run.stdout.split_once("data-found=\"").unwrap_or_else(|| panic!("no answer: {run:?}"));
    let (found, _) = found.split_once('"').unwrap();
    serde_json::from_str(&found.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
        .unwrap()
}

/// Certificates of several kinds, and the page of them.
fn page(place: &Place, many: usize) -> PathBuf {
    let server = "https://acme-v02.api.letsencrypt.org/directory";
    let late = "a-rather-long-name-that-somebody-chose.customers.eu-central.cloud.example.org";
    place.tree.lineage(late).days_left(80).server(server).write();
    place.tree.lineage("due.example.org").days_left(20).server(server).write();
    place.tree.lineage("gone.example.org").days_left(-3).server(server).write();
    place.tree.lineage("own.example.org").days_left(70).server(server).top("renew_before_expiry", "60 days").write();
    let broken = place.tree.lineage("broken.example.org").write();
    fs::remove_file(broken.live.join("cert.pem")).unwrap();
    fs::write(broken.live.join("cert.pem"), "copied").unwrap();
    fs::create_dir(place.tree.config_dir().join("live/<img src=x onerror=alert(1)>")).unwrap();
    for number in 0..many {
        let left = 31 + (number % 58) as i64;
        place.tree.lineage(&format!("www.customer-{number}.example.net")).days_left(left).server(server).write();
    }
    let file = place.folder().join("page.html");
    let run = place.run(&["report", "--html", file.to_str().unwrap()]).ends_with(0);
    assert_eq!(run.stdout, format!("The page is in {}.\n", file.display()));
    file
}

/// Where CERTKIT_TEST_SCREENSHOTS names a folder, somebody wants to look at what is shown.
fn picture(place: &Place, file: &Path, name: &str, size: &str, dark: bool) {
    let Some(folder) = std::env::var_os("CERTKIT_TEST_SCREENSHOTS").map(PathBuf::from) else { return };
    fs::create_dir_all(&folder).unwrap();
    let scheme = format!("--blink-settings=preferredColorScheme={}", u8::from(!dark));
    let shot = format!("--screenshot={}", folder.join(name).display());
    let size = format!("--window-size={size}");
    chromium(
        &place.folder().join(format!("profile-{name}")),
        &[&scheme, &shot, &size, &format!("file://{}", file.display())],
    );
}

#[track_caller]
fn is_good(found: &Value) {
    assert_eq!(found["problems"], serde_json::json!([]), "{found}");
    assert!(found["least"].as_f64().unwrap() >= 4.5 && found["texts"].as_u64().unwrap() > 50, "{found}");
}

#[test]
fn a_browser_shows_the_page_on_a_desk_and_on_a_phone_by_day_and_by_night() {
    let place = Place::new();
    let file = page(&place, 6);
    let url = format!("file://{}", file.display());
    let run = chromium(&place.folder().join("profile"), &["--dump-dom", &url]);
    assert_eq!(console(&run), [""; 0], "{}", run.stderr);
    assert!(run.stdout.contains("gone.example.org") && run.stdout.contains("What failed, and what to do"));
    assert!(!run.stdout.contains("<img"), "a name of a folder is text");
    let mut backgrounds = Vec::new();
    for (width, dark) in [(1200, false), (1200, true), (360, false), (320, true)] {
        let found = probe(&place, &file, width, dark);
        is_good(&found);
        assert_eq!((&found["width"], &found["dark"]), (&Value::from(width), &Value::from(dark)), "{found}");
        assert_eq!(found["cards"], Value::from(width < 768), "{found}");
        backgrounds.push(found["background"].clone());
    }
    assert_ne!(backgrounds[0], backgrounds[1], "dark is dark");
    picture(&place, &file, "light.png", "1200,2600", false);
    picture(&place, &file, "dark.png", "1200,2600", true);
    picture(&place, &place.folder().join("frame.html"), "phone.png", "400,4200", true);
}

#[test]
fn a_page_of_a_thousand_certificates_stays_usable() {
    let place = Place::new();
    let file = page(&place, 995);
    let size = fs::metadata(&file).unwrap().len();
    assert!(size < 2_000_000, "{size}");
    for width in [1200, 360] {
        let found = probe(&place, &file, width, false);
        is_good(&found);
    }
    let shown = fs::read_to_string(&file).unwrap();
    let (in_the_open, _) = shown.split_once("<details>").unwrap();
    assert!(in_the_open.matches("<rect class=\"t\"").count() <= 25 && shown.contains("more that are well"));
    picture(&place, &file, "thousand.png", "1200,4200", false);
}

#[test]
fn the_page_goes_where_it_was_asked_for_and_nowhere_else() {
    let place = Place::new();
    place.tree.lineage("a.example.org").write();
    let run = place.run(&["report", "--html", "-"]).ends_with(0);
    assert!(run.stdout.starts_with("<!DOCTYPE html>\n") && run.stdout.ends_with("</html>\n"), "{}", run.stdout);
    let run = place.run(&["report"]).ends_with(2);
    assert!(run.stderr.contains("--html FILE"), "{}", run.stderr);
    place.run(&["report", "--html", "-", "--json"]).ends_with(2);
    let link = place.folder().join("link.html");
    std::os::unix::fs::symlink(place.folder().join("elsewhere"), &link).unwrap();
    let run = place.run(&["report", "--html", link.to_str().unwrap()]).ends_with(1);
    assert!(run.stderr.contains("is a link") && !place.folder().join("elsewhere").exists(), "{}", run.stderr);
    let file = place.folder().join("page.html");
    let document = place.run(&["report", "--json", "--html", file.to_str().unwrap()]).ends_with(0).json();
    assert_eq!(document["bytes"], fs::metadata(&file).unwrap().len());
    let run = place.run(&["status", "--html", "x"]).ends_with(2);
    assert!(run.stderr.contains("--html"), "{}", run.stderr);
    assert!(!place.log().exists(), "what only reads writes no log");
}
