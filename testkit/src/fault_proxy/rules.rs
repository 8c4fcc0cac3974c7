//! When something goes wrong, and what.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::answer::Answer;
use super::request::{LoggedRequest, NewOrderRequest, RequestKind};
use super::{FaultProxy, State};

/// A rule that is being described. It is in force from the method that says what happens.
#[must_use = "say what happens: `answer`, `cut_after` …"]
pub struct RuleBuilder<'p> {
    proxy: &'p FaultProxy,
    conditions: Conditions,
    delay: Duration,
}

pub(super) struct Rule {
    conditions: Conditions,
    delay: Duration,
    fault: Fault,
}

struct Conditions {
    kind: RequestKind,
    name: Option<String>,
    replaces: bool,
    profile: Option<String>,
    /// Requests that fit and are still let through.
    skipped: usize,
    /// How often it acts; for ever without.
    left: Option<usize>,
}

/// What happens to a request.
#[derive(Clone)]
pub(super) enum Fault {
    /// Answered by the proxy; Pebble never hears of it.
    Answer(Box<Answer>),
    /// As if there were no rule.
    Pass,
    /// The connection is cut before Pebble hears of it.
    CutBefore,
    /// Pebble acts, and the connection is cut without an answer.
    CutAfter,
    /// Pebble acts and nothing comes back, nor does the connection end.
    HangAfter,
    /// Nothing happens at all.
    Hang,
    /// Half of Pebble's answer, announced as if it were whole.
    Truncate,
    /// Half of Pebble's answer, and then the connection is cut.
    CutInBody,
    /// Pebble's status and an answer without end.
    Endless,
    /// Pebble's answer, changed.
    Rewrite(Rewrite),
}

/// A change of a JSON answer.
#[derive(Clone)]
pub(super) struct Rewrite(pub(super) Arc<dyn Fn(&mut Value) + Send + Sync>);

impl<'p> RuleBuilder<'p> {
    pub(super) fn new(proxy: &'p FaultProxy, kind: RequestKind) -> Self {
        let conditions = Conditions { kind, name: None, replaces: false, profile: None, skipped: 0, left: None };
        Self { proxy, conditions, delay: Duration::ZERO }
    }

    /// Only orders for this name, among others or alone.
    pub fn naming(mut self, name: &str) -> Self {
        self.conditions.name = Some(name.to_owned());
        self
    }

    /// Only orders that carry `replaces`.
    pub fn with_replaces(mut self) -> Self {
        self.conditions.replaces = true;
        self
    }

    /// Only orders that ask for this profile.
    pub fn with_profile(mut self, profile: &str) -> Self {
        self.conditions.profile = Some(profile.to_owned());
        self
    }

    /// Only for the n-th of the requests that fit, counted from 1 and from now.
    pub fn nth(mut self, n: usize) -> Self {
        self.conditions.skipped = n.checked_sub(1).expect("the first is 1");
        self.times(1)
    }

    /// Only so many times; for ever without.
    pub fn times(mut self, times: usize) -> Self {
        self.conditions.left = Some(times);
        self
    }

    /// Whatever happens, it happens so much later.
    pub fn delayed(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// The proxy answers; the request does not reach Pebble.
    pub fn answer(self, answer: Answer) {
        self.act(Fault::Answer(Box::new(answer)));
    }

    /// The request is passed on. For requests that are only delayed, or that a later rule must not see.
    pub fn pass(self) {
        self.act(Fault::Pass);
    }

    /// The connection is cut; the request does not reach Pebble.
    pub fn cut_before(self) {
        self.act(Fault::CutBefore);
    }

    /// Pebble does what was asked, and the connection is cut without an answer.
    pub fn cut_after(self) {
        self.act(Fault::CutAfter);
    }

    /// No answer, for as long as the client waits; the request does not reach Pebble.
    pub fn hang(self) {
        self.act(Fault::Hang);
    }

    /// Pebble does what was asked, and then there is no answer for as long as the client waits.
    pub fn hang_after(self) {
        self.act(Fault::HangAfter);
    }

    /// Pebble's answer ends in the middle, and its Content-Length agrees.
    pub fn truncate(self) {
        self.act(Fault::Truncate);
    }

    /// Pebble's answer ends in the middle because the connection is cut.
    pub fn cut_in_body(self) {
        self.act(Fault::CutInBody);
    }

    /// Pebble's answer goes on without end, as fast as the client reads.
    pub fn endless_body(self) {
        self.act(Fault::Endless);
    }

    /// Pebble's JSON is changed on its way back.
    pub fn rewrite(self, change: impl Fn(&mut Value) + Send + Sync + 'static) {
        self.act(Fault::Rewrite(Rewrite(Arc::new(change))));
    }

    fn act(self, fault: Fault) {
        let rule = Rule { conditions: self.conditions, delay: self.delay, fault };
        self.proxy.state().rules.push(rule);
    }
}

impl State {
    /// What happens to a request, and how much later. The rule that says so is used up by one.
    pub(super) fn fault_for(&mut self, request: &LoggedRequest) -> (Duration, Fault) {
        let order = NewOrderRequest::read(request);
        let fitting = |rule: &&mut Rule| rule.conditions.fit(request.kind, order.as_ref());
        for rule in self.rules.iter_mut().filter(fitting) {
            if rule.conditions.use_up() {
                return (rule.delay, rule.fault.clone());
            }
        }
        (Duration::ZERO, Fault::Pass)
    }
}

impl Conditions {
    fn fit(&self, kind: RequestKind, order: Option<&NewOrderRequest>) -> bool {
        let name = |name: &String| order.is_some_and(|order| order.names.contains(name));
        let profile = |profile: &String| order.is_some_and(|order| order.profile.as_ref() == Some(profile));
        self.kind == kind
            && self.name.as_ref().is_none_or(name)
            && self.profile.as_ref().is_none_or(profile)
            && (!self.replaces || order.is_some_and(|order| order.replaces.is_some()))
    }

    fn use_up(&mut self) -> bool {
        if self.skipped > 0 {
            self.skipped -= 1;
            return false;
        }
        match &mut self.left {
            None => true,
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
        }
    }
}

impl fmt::Debug for RuleBuilder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuleBuilder").field("kind", &self.conditions.kind).finish_non_exhaustive()
    }
}
