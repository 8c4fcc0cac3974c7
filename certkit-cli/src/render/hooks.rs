//! What a hook or a reload printed and how it ended, in certbot's words.

use certkit_acme::command::CommandEnding;
use certkit_acme::deploy::HookStage;
use certkit_acme::renewal::HookRun;
use certkit_core::escape;

/// `pre-hook`, `deploy-hook`, `post-hook`.
pub(crate) fn stage(stage: HookStage) -> &'static str {
    match stage {
        HookStage::Pre => "pre-hook",
        HookStage::Deploy => "deploy-hook",
        HookStage::Post => "post-hook",
    }
}

/// Its output with a heading, and how it ended when not well; none when there is nothing to tell.
pub(crate) fn output(hook: &HookRun) -> Option<String> {
    let stage = stage(hook.stage);
    let target = target_failure(hook);
    // certbot has no words for what is no hook.
    let what = if target.is_some() { escape(&hook.command).into_owned() } else { format!("Hook '{stage}'") };
    let mut text = String::new();
    for (heading, output) in
        [("ran with output:", &hook.outcome.stdout), ("ran with error output:", &hook.outcome.stderr)]
    {
        if !output.trim().is_empty() {
            text.push_str(&format!("{what} {heading}\n"));
            for line in output.lines() {
                text.push_str(&format!(" {}\n", escape(line)));
            }
        }
    }
    if let Some(failure) = target {
        text.push_str(&format!("{failure}\n"));
    } else if !hook.outcome.success() {
        text.push_str(&format!("Hook '{stage}' {}: {}\n", ending(&hook.outcome.ending), escape(&hook.command)));
    }
    (!text.is_empty()).then_some(text)
}

/// Why a deploy target that is no hook failed: a check before a reload that failed is neither a hook nor a reload.
pub(crate) fn target_failure(hook: &HookRun) -> Option<String> {
    let failure = hook.failure.as_deref()?;
    let text = match failure.strip_prefix(&format!("{}: ", hook.command)) {
        Some(problem) => format!("{} failed: {problem}", hook.command),
        None => failure.to_owned(),
    };
    Some(escape(&text).into_owned())
}

/// How a command ended.
pub(crate) fn ending(ending: &CommandEnding) -> String {
    match ending {
        CommandEnding::Exited(0) => "ended well".to_owned(),
        CommandEnding::Exited(status) => format!("reported error code {status}"),
        CommandEnding::Signalled(signal) => format!("was ended by signal {signal}"),
        CommandEnding::TimedOut(limit) => format!("ran longer than {} seconds and was ended", limit.as_secs()),
        CommandEnding::NotStarted(problem) => format!("could not be started ({})", escape(problem)),
        _ => "ended in an unknown way".to_owned(),
    }
}
