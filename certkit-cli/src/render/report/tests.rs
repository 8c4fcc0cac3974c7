use certkit_acme::renewal::Renewers;
use certkit_core::FindingCode;
use certkit_core::state::{DeployTarget, Event};

use super::super::sample::*;
use super::*;

fn page(foresight: &Foresight, findings: &[Finding]) -> String {
    let forecast = foresight.survey.forecast(now() + TimeDelta::days(120), None);
    let changes = foresight.survey.lifetime_changes(&forecast, None, &Renewers::new());
    let foretold = Foretold { forecast, changes, assumed: None };
    html(&Page { foresight, findings, foretold: &foretold, host: "host.example" }).unwrap()
}

#[test]
fn the_page_says_what_is_wrong_what_to_do_and_what_comes() {
    let mut all = foresight(
        vec![certificate("ok.example", 60), failed(certificate("failing.example", 20), 3, &challenge_failure())],
        Default::default(),
    );
    all.survey.summaries.push(broken());
    let finding = Finding::new(FindingCode::LiveWithoutConf, "live/orphan.example", "");
    let shown = page(&all, &[finding]);
    for expected in [
        "<title>(2) Certificates of host.example</title>",
        "2 of 3 certificates need you",
        "<h2 id=\"problems\">What failed, and what to do</h2>",
        "The attempt of 2027-01-15 07:30:00 UTC failed: the CA could not validate the names",
        "<code>certkit history --cert-name failing.example</code> shows what the CA said",
        "<h2 id=\"timeline\">The next 120 days</h2>",
        "Renewals from 2027-01-15 to 2027-05-15",
        "From 2027-02-10 on new certificates live for 64 days, for 2 certificates here",
        "<strong>live&#x2f;orphan.example</strong>",
        "<time datetime=\"2027-01-15T08:00:00Z\">2027-01-15 08:00:00 UTC</time>",
    ] {
        assert!(shown.contains(expected), "{expected}\n{shown}");
    }
    let well = page(&foresight(vec![certificate("ok.example", 60)], Default::default()), &[]);
    assert!(well.contains("The certificate is well") && !well.contains("id=\"problems\""));
    let none = page(&foresight(Vec::new(), Default::default()), &[]);
    assert!(none.contains("There is no certificate") && !none.contains("<table"));
}

#[test]
fn nothing_is_loaded_and_nothing_runs() {
    let shown = page(&foresight(vec![certificate("ok.example", 60)], Default::default()), &[]);
    for never in
        ["<script", " src=", "@import", "@font-face", "url(http", "style=\"", "onclick", "<link rel=\"stylesheet"]
    {
        assert!(!shown.contains(never), "{never}");
    }
    assert!(shown.contains("content=\"default-src 'none';"));
    let (_, style) = shown.split_once("<style>").unwrap();
    let (style, _) = style.split_once("</style>").unwrap();
    let hash = BASE64.encode(&Sha256::digest(style.as_bytes()));
    assert!(
        shown.replace("&#x2f;", "/").contains(&format!("style-src 'sha256-{hash}'")),
        "the browser hashes what stands in the page"
    );
}

#[test]
fn hostile_names_stay_text() {
    let evil = "<img src=x onerror=alert(1)>\"'&\u{202e}";
    let mut all = foresight(vec![certificate("ok.example", 60)], Default::default());
    all.survey.summaries.push(Summary::of_broken(evil, evil, false, None, now()));
    let finding = Finding::new(FindingCode::LiveWithoutConf, evil, evil).with_cure(evil);
    let shown = page(&all, &[finding]);
    assert!(!shown.contains("<img") && !shown.contains('\u{202e}'), "{shown}");
    assert!(shown.contains("&lt;img src=x onerror=alert(1)&gt;&quot;"), "{shown}");
}

#[test]
fn commands_of_hooks_are_no_business_of_who_reads_a_page() {
    let mut pending = certificate("pending.example", 60);
    let committed: Event = serde_json::from_value(json!({
        "event": "committed", "version": 2, "not_after": "2027-03-01T00:00:00Z", "directory": LETS_ENCRYPT,
        "targets": [DeployTarget::Hook("push --token s3cret".into()), DeployTarget::Command("x --password s3cret".into())],
    }))
    .unwrap();
    pending.state.apply(&committed, now() - TimeDelta::days(1));
    let shown = page(&foresight(vec![pending], Default::default()), &[]);
    assert!(
        shown.contains("it: the deploy hook has not been tried yet, a command of the settings has not been tried yet"),
        "{shown}"
    );
    assert!(!shown.contains("s3cret"));
}

#[test]
fn a_page_of_many_certificates_has_a_bounded_size() {
    let many = |count: usize| {
        let inputs = (0..count)
            .map(|number| certificate(&format!("www.customer-{number}.example.org"), 31 + (number % 55) as i64));
        page(&foresight(inputs.collect(), Default::default()), &[])
    };
    let thousand = many(1000);
    assert!(thousand.len() < 2_000_000, "{}", thousand.len());
    assert!(thousand.contains("Time line of 975 more") && thousand.contains("975 more that are well"));
    let more = many(2500);
    assert!(more.len() < 4_000_000, "{}", more.len());
    assert!(more.contains("975 more have no room on this page"));
}
