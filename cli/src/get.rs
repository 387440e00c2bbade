//! `tidegate get`: the APIs that are deployed, as a table or as they are.

use crate::backend::{Backend, Change, Where};
use crate::exit;
use crate::listing::{Columns, Table};
use crate::screen::{Format, Screen};
use crate::signals::until_interrupted;
use crate::{clock, resource};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::ops::ControlFlow;
use std::process::ExitCode;

/// Flags of `get`.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::CODES)]
pub(crate) struct GetArgs {
    /// Only the API of this name
    #[arg(value_name = "NAME", env = "TIDEGATE_GET_NAME")]
    name: Option<String>,
    /// Go on, and print each API that changes
    #[arg(long, short, env = "TIDEGATE_GET_WATCH")]
    watch: bool,
    /// Another form than the table
    #[arg(long, short, value_name = "FORM", env = "TIDEGATE_GET_OUTPUT")]
    output: Option<Output>,
    /// The APIs of all namespaces
    #[arg(long, short = 'A', conflicts_with = "name", env = "TIDEGATE_GET_ALL_NAMESPACES")]
    all_namespaces: bool,
    #[command(flatten)]
    place: Where,
}

/// Forms of what is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Output {
    /// The resources as JSON
    Json,
    /// The resources as YAML
    Yaml,
    /// The table with what is scaled, and the whole sentence
    Wide,
}

/// Prints them once, or until Ctrl-C.
pub(crate) fn run(args: &GetArgs) -> Result<ExitCode> {
    until_interrupted(async { get(args).await.map(|()| ExitCode::SUCCESS) })
}

async fn get(args: &GetArgs) -> Result<()> {
    let backend = Backend::open(&args.place).await?;
    let screen = Screen::new(Format::Plain);
    let columns =
        Columns { namespace: args.all_namespaces, wide: args.output == Some(Output::Wide) };
    let table = Table::new(columns);
    let none = if args.place.local {
        "no APIs yet; see `tidegate deploy --local`"
    } else {
        "no InferenceApis found; see --namespace and --all-namespaces"
    };
    let mut printer = Printer { screen, none, table, form: args.output, has_printed: false };
    // Also before a watch: what is wrong is told at once.
    let first = match &args.name {
        Some(name) => vec![backend.get(name).await?],
        None => backend.list(args.all_namespaces).await?,
    };
    if !args.watch {
        return match (&args.name, first.as_slice()) {
            (Some(_), [only]) => printer.one(only),
            _ => printer.all(&first),
        };
    }
    let mut shown = Vec::new();
    printer.changed(&mut shown, Change::All(first))?;
    let mut failed = None;
    let follow = backend.follow(args.name.as_deref(), args.all_namespaces, |change| match printer
        .changed(&mut shown, change)
    {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            failed = Some(error);
            ControlFlow::Break(())
        }
    });
    follow.await?;
    failed.map_or(Ok(()), Err)
}

struct Printer {
    screen: Screen,
    /// What is said where there are no APIs.
    none: &'static str,
    table: Table,
    form: Option<Output>,
    /// Whether there is a document above the next one.
    has_printed: bool,
}

impl Printer {
    /// A list that is whole.
    fn all(&mut self, apis: &[Value]) -> Result<()> {
        match self.form {
            Some(Output::Json | Output::Yaml) => {
                self.object(&json!({"apiVersion": "v1", "kind": "List", "items": apis}))
            }
            _ if apis.is_empty() => {
                exit::note(self.none);
                Ok(())
            }
            _ => self.rows(apis),
        }
    }

    fn one(&mut self, api: &Value) -> Result<()> {
        match self.form {
            Some(Output::Json | Output::Yaml) => self.object(api),
            _ => self.rows(std::slice::from_ref(api)),
        }
    }

    /// Prints what differs from what was printed last.
    fn changed(&mut self, shown: &mut Vec<Value>, change: Change) -> Result<()> {
        let key = |api: &Value| {
            let metadata = &api["metadata"];
            (metadata["namespace"].clone(), metadata["name"].clone())
        };
        match change {
            Change::All(all) => {
                let new = all.iter().filter(|api| !shown.contains(api));
                new.cloned().collect::<Vec<_>>().iter().try_for_each(|api| self.one(api))?;
                *shown = all;
            }
            Change::Set(api) => {
                if !shown.contains(&api) {
                    self.one(&api)?;
                }
                shown.retain(|old| key(old) != key(&api));
                shown.push(api);
            }
            Change::Gone(api) => {
                shown.retain(|old| key(old) != key(&api));
                exit::note(&format!("{} is deleted", resource::name(&api)));
            }
        }
        Ok(())
    }

    fn rows(&mut self, apis: &[Value]) -> Result<()> {
        self.table.lines(apis, clock::wall()).iter().for_each(|line| self.screen.line(line));
        Ok(())
    }

    fn object(&mut self, object: &Value) -> Result<()> {
        let is_next = std::mem::replace(&mut self.has_printed, true);
        if self.form == Some(Output::Json) {
            self.screen.line(&serde_json::to_string_pretty(object)?);
            return Ok(());
        }
        let text = serde_saphyr::to_string(object).context("can't write it as YAML")?;
        if is_next {
            self.screen.line("---");
        }
        self.screen.line(text.trim_end());
        Ok(())
    }
}
