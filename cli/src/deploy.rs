//! `tidegate deploy`: documents → APIs that serve, or the reason why they do not.

use crate::backend::{Applied, Backend, Change, Told, Where};
use crate::rollout::Rollout;
use crate::screen::{Format, Screen};
use crate::signals::Signals;
use crate::{clock, description, documents, exit, resource};
use anyhow::Result;
use exit::{BadUsage, NotDone};
use serde_json::Value;
use std::cell::RefCell;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tidegate_api::Written;

/// Between two drawings of what is waited for.
const FRAME: Duration = Duration::from_millis(100);
/// What turns while something is waited for.
const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

/// Flags of `deploy`.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::CODES)]
pub(crate) struct DeployArgs {
    /// InferenceApi documents; `-` is standard input
    #[arg(
        long = "filename",
        short,
        required = true,
        num_args = 1..,
        value_name = "FILE",
        value_delimiter = ',',
        env = "TIDEGATE_DEPLOY_FILES"
    )]
    files: Vec<PathBuf>,
    /// Don't wait until the APIs are ready
    #[arg(long, env = "TIDEGATE_DEPLOY_NO_WAIT")]
    no_wait: bool,
    /// How long to wait until all are ready
    #[arg(long, default_value = "5m", value_parser = humantime::parse_duration, value_name = "TIME", env = "TIDEGATE_DEPLOY_TIMEOUT")]
    timeout: Duration,
    /// Take over what others, such as kubectl, have set differently
    #[arg(long, env = "TIDEGATE_DEPLOY_FORCE_CONFLICTS")]
    force_conflicts: bool,
    #[command(flatten)]
    place: Where,
}

/// Deploys them all, and waits.
pub(crate) fn run(args: &DeployArgs) -> Result<ExitCode> {
    let documents = documents::read_written(&args.files)?;
    let mut place = args.place.clone();
    place.namespace = namespace(place.namespace, &documents)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let signals = Signals::listen()?;
        let screen = Screen::new(Format::Auto);
        let deploy = async {
            let backend = Backend::open(&place).await?;
            let mut rollouts = Vec::new();
            check_names(&backend, &documents).await?;
            let written: Vec<&Written> = documents.iter().map(|(_, written)| written).collect();
            let tell = |applied, object: &Value| {
                let word = match applied {
                    Applied::Created => "created",
                    Applied::Updated => "updated",
                    Applied::Unchanged => "unchanged",
                };
                screen.line(&format!("{} {word}", resource::name(object)));
                rollouts.push(Rollout::new(object, Duration::ZERO));
            };
            backend.apply(&written, args.force_conflicts, tell).await?;
            if args.no_wait {
                return Ok(ExitCode::SUCCESS);
            }
            wait(&backend, &screen, rollouts, args.timeout).await
        };
        tokio::select! {
            done = deploy => done,
            () = signals.first() => {
                let local = if place.local { " --local" } else { "" };
                exit::note(&format!(
                    "not waited for: what was deployed stays; see `tidegate get{local}`"
                ));
                Ok(exit::interrupted())
            }
        }
    })
}

/// The APIs that documents name must come with them, or be there already.
async fn check_names(backend: &Backend, documents: &[(String, Written)]) -> Result<()> {
    let mut names = documents.iter().flat_map(|(_, written)| tidegate_api::named(&written.api));
    if names.all(|name| documents.iter().any(|(_, written)| written.api.name == name)) {
        return documents::check_names(documents, &[]);
    }
    let there = backend.list(false).await?;
    let there = there.iter().filter(|object| !resource::is_leaving(object));
    documents::check_names(documents, &there.map(resource::name).collect::<Vec<_>>())
}

/// The namespace that is meant: by the flag, or by the documents, which must agree.
fn namespace(flag: Option<String>, documents: &[(String, Written)]) -> Result<Option<String>> {
    let its_own =
        |document: &Written| document.object["metadata"]["namespace"].as_str().map(str::to_owned);
    let first =
        flag.clone().or_else(|| documents.first().and_then(|(_, document)| its_own(document)));
    for (_, document) in documents {
        let given = its_own(document).or_else(|| flag.clone());
        if given != first {
            let text = |name: &Option<String>| name.clone().unwrap_or_else(|| "none".to_owned());
            return Err(BadUsage(format!(
                "{} says namespace {}, which is not {}; deploy one namespace at a time",
                document.api.name,
                text(&given),
                text(&first)
            ))
            .into());
        }
    }
    Ok(first)
}

/// Waits until each is ready or will not be, and says why.
async fn wait(
    backend: &Backend,
    screen: &Screen,
    rollouts: Vec<Rollout>,
    timeout: Duration,
) -> Result<ExitCode> {
    if !screen.is_live() {
        // What is ready already changes no more.
        let ready = rollouts.iter().filter(|rollout| rollout.is_ready());
        ready.for_each(|rollout| screen.line(&rollout.line()));
    }
    let (rollouts, start) = (RefCell::new(rollouts), clock::now());
    let elapsed = || clock::now().saturating_duration_since(start);
    let tell = |change: Change| {
        let now = elapsed();
        for rollout in rollouts.borrow_mut().iter_mut() {
            let its_own = |object: &&Value| resource::name(object) == rollout.name;
            let has_changed = match &change {
                Change::All(all) => match all.iter().find(its_own) {
                    Some(object) => rollout.see(object, now),
                    None => rollout.gone(now),
                },
                Change::Set(object) if its_own(&object) => rollout.see(object, now),
                Change::Gone(object) if its_own(&object) => rollout.gone(now),
                Change::Set(_) | Change::Gone(_) => false,
            };
            if has_changed && !screen.is_live() {
                screen.line(&rollout.line());
            }
        }
        ControlFlow::Continue(())
    };
    let follow = backend.follow(None, false, tell);
    let over = async {
        let mut frame = 0;
        loop {
            {
                let (now, all) = (elapsed(), rollouts.borrow());
                if all.iter().all(|rollout| rollout.is_over(now)) {
                    return;
                }
                if screen.is_live() {
                    let lines: Vec<_> = all.iter().map(|rollout| drawn(rollout, frame)).collect();
                    screen.draw(&lines);
                }
            }
            frame += 1;
            tokio::time::sleep(FRAME).await;
        }
    };
    let is_late = tokio::select! {
        done = follow => { done?; false }
        () = over => false,
        () = tokio::time::sleep(timeout) => true,
    };
    verdict(backend, screen, &rollouts.into_inner(), is_late.then_some(timeout)).await
}

/// What has become of them; `late` is how long was waited in vain.
async fn verdict(
    backend: &Backend,
    screen: &Screen,
    rollouts: &[Rollout],
    late: Option<Duration>,
) -> Result<ExitCode> {
    if screen.is_live() {
        rollouts.iter().for_each(|rollout| screen.line(&rollout.line()));
    }
    let missing: Vec<&Rollout> = rollouts.iter().filter(|rollout| !rollout.is_ready()).collect();
    if missing.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    for rollout in &missing {
        explain(backend, &rollout.name).await;
    }
    let names: Vec<&str> = missing.iter().map(|rollout| &*rollout.name).collect();
    let names = names.join(", ");
    Err(match late {
        Some(timeout) => NotDone::late(format!(
            "not ready within {}: {names}; see --timeout",
            humantime::format_duration(timeout)
        )),
        None => NotDone::refused(format!("not ready: {names}")),
    }
    .into())
}

fn drawn(rollout: &Rollout, frame: usize) -> String {
    let mark = if rollout.is_ready() { "✓" } else { SPINNER[frame % SPINNER.len()] };
    format!("{mark} {}", rollout.line())
}

/// Shows why an API is not ready.
async fn explain(backend: &Backend, name: &str) {
    exit::note("");
    match backend.details(name).await {
        Ok(details) => {
            let lines = description::lines(&details, clock::wall());
            lines.iter().for_each(|line| exit::note(line));
        }
        Err(error) => exit::note(&format!("{name}: {error:#}")),
    }
    // Where there are none, the text above says why.
    let told = backend.last_lines(name).await.unwrap_or_default();
    if !told.is_empty() {
        exit::note("Last lines:");
    }
    for told in told {
        exit::note(&match told {
            Told::Line { source, text } => format!("  [{source}] {text}"),
            Told::Note(note) => format!("  {note}"),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn flag_and_documents_agree_on_the_namespace() {
        let of = |flag: Option<&str>, namespaces: &[&str]| {
            let document = |(at, namespace): (usize, &&str)| {
                let text = format!(
                    "apiVersion: tidegate.dev/v1alpha1\nkind: InferenceApi\n\
                     metadata: {{name: a{at}{namespace}}}\nspec: {{target: {{name: a}}}}\n"
                );
                let parsed = tidegate_api::parse_written(&text, "a", Path::new("/"));
                ("a".to_owned(), parsed.unwrap().remove(0))
            };
            let documents: Vec<(String, Written)> =
                namespaces.iter().enumerate().map(document).collect();
            namespace(flag.map(str::to_owned), &documents).map_err(|error| error.to_string())
        };
        let (a, b) = (", namespace: a", ", namespace: b");
        assert_eq!(of(None, &["", ""]), Ok(None));
        assert_eq!(of(Some("x"), &["", ""]), Ok(Some("x".to_owned())));
        assert_eq!(of(None, &[a, a]), Ok(Some("a".to_owned())));
        assert_eq!(of(Some("a"), &[a, ""]), Ok(Some("a".to_owned())));
        for (flag, wrong) in
            [(None, [a, b]), (None, [a, ""]), (None, ["", a]), (Some("x"), ["", a])]
        {
            let error = of(flag, &wrong).unwrap_err();
            assert!(error.contains("deploy one namespace at a time"), "{error}");
        }
    }
}
