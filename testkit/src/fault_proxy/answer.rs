//! What is said instead of Pebble.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

/// An HTTP answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Body,
}

#[derive(Clone, Debug)]
pub(super) enum Body {
    /// A problem document (RFC 7807). It goes out with a good nonce, as RFC 8555 section 6.5 wants it.
    Problem(Value),
    Text(String),
}

impl Answer {
    /// Any text.
    pub fn text(status: u16, content_type: &str, body: &str) -> Self {
        let headers = vec![("Content-Type".to_owned(), content_type.to_owned())];
        Self { status, headers, body: Body::Text(body.to_owned()) }
    }

    /// Something that need not be JSON, as `application/json`.
    pub fn json(status: u16, body: &str) -> Self {
        Self::text(status, "application/json", body)
    }

    /// A problem of ACME: `kind` without the `urn:ietf:params:acme:error:` in front.
    pub fn problem(status: u16, kind: &str, detail: &str) -> Self {
        let problem =
            json!({ "type": format!("urn:ietf:params:acme:error:{kind}"), "detail": detail, "status": status });
        Self { status, headers: Vec::new(), body: Body::Problem(problem) }
    }

    /// Renewal information (RFC 9773 section 4.2) with this window and Let's Encrypt's Retry-After of six hours.
    pub fn renewal_window(start: DateTime<Utc>, end: DateTime<Utc>) -> Self {
        Self::renewal_information(&json!({ "suggestedWindow": window(start, end) }))
    }

    /// The same with a page that says why.
    pub fn explained_renewal_window(start: DateTime<Utc>, end: DateTime<Utc>, explanation_url: &str) -> Self {
        Self::renewal_information(&json!({ "suggestedWindow": window(start, end), "explanationURL": explanation_url }))
    }

    /// 429 as Let's Encrypt's limits say it; add a Retry-After.
    pub fn rate_limited() -> Self {
        Self::problem(
            429,
            "rateLimited",
            "too many certificates (5) already issued for this exact set of identifiers in the last 168h0m0s: see \
             https://letsencrypt.org/docs/rate-limits/#new-certificates-per-exact-set-of-identifiers",
        )
    }

    /// 429 as Let's Encrypt says that names are paused: without Retry-After, with a page that a person has to visit.
    pub fn paused(name: &str, unpause_url: &str) -> Self {
        Self::problem(
            429,
            "rateLimited",
            &format!(
                "Your account is temporarily prevented from requesting certificates for {name} and possibly others. \
                 Please visit: {unpause_url}"
            ),
        )
    }

    /// 409 for a certificate whose replacement is ordered already (RFC 9773 section 5).
    pub fn already_replaced() -> Self {
        let detail = "cannot indicate an order replaces a certificate which already has a replacement order";
        Self::problem(409, "alreadyReplaced", detail)
    }

    /// 400 for a profile that the CA does not know.
    pub fn invalid_profile(profile: &str) -> Self {
        Self::problem(400, "invalidProfile", &format!("profile name \"{profile}\" not recognized"))
    }

    /// 403 for a profile that is not for this account, as Let's Encrypt says it.
    pub fn profile_not_permitted(profile: &str) -> Self {
        let detail = format!("account ID 1 is not permitted to use certificate profile \"{profile}\"");
        Self::problem(403, "unauthorized", &detail)
    }

    /// 403 until a person has been at `instance` (RFC 8555 section 7.3.3).
    pub fn user_action_required(instance: &str) -> Self {
        Self::problem(403, "userActionRequired", "Terms of service have changed").instance(instance)
    }

    /// 403 for an account without external account binding.
    pub fn external_account_required() -> Self {
        Self::problem(403, "externalAccountRequired", "the account has no external account binding")
    }

    /// 400 for an account that the CA does not know, or knows no longer.
    pub fn account_does_not_exist() -> Self {
        Self::problem(400, "accountDoesNotExist", "Account \"https://127.0.0.1/acct/1\" not found")
    }

    /// 400 with a subproblem for each of these names.
    pub fn rejected_identifiers(names: &[&str]) -> Self {
        let answer = Self::problem(400, "rejectedIdentifier", "Cannot issue for some of the identifiers");
        names.iter().fold(answer, |answer, name| {
            answer.subproblem(
                name,
                "rejectedIdentifier",
                "The ACME server refuses to issue a certificate for this name",
            )
        })
    }

    /// 503 with the page of a load balancer instead of a problem.
    pub fn service_unavailable() -> Self {
        let page = "<html><head><title>503 Service Temporarily Unavailable</title></head>\r\n\
                    <body><center><h1>503 Service Temporarily Unavailable</h1></center></body></html>\r\n";
        Self::text(503, "text/html", page)
    }

    /// 500 `serverInternal`.
    pub fn server_internal() -> Self {
        Self::problem(500, "serverInternal", "The service is down for maintenance or had an internal error")
    }

    /// Retry-After in seconds.
    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        self.header("Retry-After", &seconds.to_string())
    }

    /// Retry-After as a date.
    #[must_use]
    pub fn retry_after_date(self, at: DateTime<Utc>) -> Self {
        self.header("Retry-After", &httpdate::fmt_http_date(at.into()))
    }

    /// Sets a header, or replaces one.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self = self.without_header(name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Takes a header away.
    #[must_use]
    pub fn without_header(mut self, name: &str) -> Self {
        self.headers.retain(|(existing, _)| !existing.eq_ignore_ascii_case(name));
        self
    }

    /// `instance` of a problem.
    #[must_use]
    pub fn instance(mut self, url: &str) -> Self {
        self.problem_document()["instance"] = url.into();
        self
    }

    /// A subproblem for one name or address (RFC 8555 section 6.7.1).
    #[must_use]
    pub fn subproblem(mut self, name: &str, kind: &str, detail: &str) -> Self {
        let identifier = if name.parse::<std::net::IpAddr>().is_ok() { "ip" } else { "dns" };
        let subproblem = json!({
            "type": format!("urn:ietf:params:acme:error:{kind}"),
            "detail": detail,
            "identifier": { "type": identifier, "value": name },
        });
        let problem = self.problem_document();
        match problem["subproblems"].as_array_mut() {
            Some(all) => all.push(subproblem),
            None => problem["subproblems"] = json!([subproblem]),
        }
        self
    }

    fn problem_document(&mut self) -> &mut Value {
        match &mut self.body {
            Body::Problem(problem) => problem,
            Body::Text(text) => panic!("not a problem: {text}"),
        }
    }

    fn renewal_information(document: &Value) -> Self {
        Self::json(200, &document.to_string()).retry_after(6 * 60 * 60)
    }
}

fn window(start: DateTime<Utc>, end: DateTime<Utc>) -> Value {
    let text = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    json!({ "start": text(start), "end": text(end) })
}
