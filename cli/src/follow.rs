//! `up` follows its documents: what they say is put in force as they change, while requests run.
//!
//! A change is taken as a whole or not at all: documents, Python environments, what the autoscaler
//! can run and what the gateway can serve are all checked before anything is another.

use crate::documents;
use crate::machine::{self, Changes};
use crate::run_dir;
use crate::screen::Screen;
use crate::venv::Venvs;
use anyhow::{Result, anyhow};
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use tidegate_api::InferenceApi;
use tidegate_autoscaler::Follow;

/// The files that are followed, and what they said last.
#[derive(Debug)]
pub(crate) struct Followed {
    files: Vec<PathBuf>,
    /// The folder of the run, to which documents can be deployed.
    run: PathBuf,
    /// Files that the documents name and that Python environments are made of.
    requirements: Vec<PathBuf>,
    follow: Follow,
}

impl Followed {
    /// Reads documents, and follows them from now on.
    ///
    /// # Errors
    /// Those of [`documents::read`].
    pub(crate) fn begin(files: &[PathBuf]) -> Result<(Self, Vec<InferenceApi>)> {
        // Before they are read: what changes from here on is seen.
        let mut follow = Follow::new(files.iter().cloned());
        let apis = documents::read(files)?;
        let requirements = requirements(&apis);
        follow.set(files.iter().chain(&requirements).cloned());
        let (files, run) = (files.to_vec(), PathBuf::new());
        Ok((Self { files, run, requirements, follow }, apis))
    }

    /// Follows also what is deployed to the run in this folder.
    pub(crate) fn with_deployed(self, run: &Path) -> Self {
        Self { run: run.to_owned(), ..self }
    }

    /// Puts in force what the documents say, whenever that changes, until dropped.
    pub(crate) async fn run(
        mut self,
        venvs: &Venvs,
        changes: &Changes,
        screen: Option<&Screen>,
    ) -> Infallible {
        let told = |line: &str| screen.map_or((), |screen| screen.line(line));
        loop {
            let Self { files, run, requirements, follow } = &mut self;
            follow.changed(|| all(files, requirements, run)).await;
            match self.take(venvs, changes).await {
                Ok(()) => {
                    tracing::info!("runs what the documents say now");
                    told("documents changed: this is what runs now");
                }
                Err(error) => {
                    let why = format!("{error:#}");
                    changes.refuse(&why, self.follow.seen());
                    told(&format!("documents changed and can't be used; what was goes on:\n{why}"));
                }
            }
        }
    }

    async fn take(&mut self, venvs: &Venvs, changes: &Changes) -> Result<()> {
        let deployed = run_dir::deployed(&self.run);
        let files: Vec<PathBuf> = self.files.iter().cloned().chain(deployed).collect();
        // As they are now, before they are read; what comes later is a change.
        self.follow.set(files.iter().chain(&self.requirements).cloned());
        let apis = documents::read(&files)?;
        self.requirements = requirements(&apis);
        self.follow.set(files.iter().chain(&self.requirements).cloned());
        let progress = |step: &str| tracing::info!(step, "Python");
        let bins = machine::python_bins(&apis, venvs, &progress).await?;
        changes.adopt(apis, &bins, self.follow.seen()).await.map_err(|why| anyhow!(why))
    }
}

/// Everything that is looked at.
fn all(files: &[PathBuf], requirements: &[PathBuf], run: &Path) -> Vec<PathBuf> {
    let named = files.iter().chain(requirements).cloned();
    named.chain(run_dir::deployed(run)).collect()
}

fn requirements(apis: &[InferenceApi]) -> Vec<PathBuf> {
    let python = apis.iter().filter_map(|api| api.container.python.as_ref());
    python.map(|python| python.requirements.clone()).collect()
}
