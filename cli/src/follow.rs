//! `up` follows its documents: what they say is put in force as they change, while requests run.
//!
//! A change is taken as a whole or not at all: documents, Python environments, what the autoscaler
//! can run and what the gateway can serve are all checked before anything is another.

use crate::documents;
use crate::machine::{self, Changes};
use crate::screen::Screen;
use crate::venv::Venvs;
use anyhow::{Result, anyhow};
use std::convert::Infallible;
use std::path::PathBuf;
use tidegate_api::InferenceApi;
use tidegate_autoscaler::Follow;

/// The files that are followed, and what they said last.
#[derive(Debug)]
pub(crate) struct Followed {
    files: Vec<PathBuf>,
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
        follow.also(&requirements);
        Ok((Self { files: files.to_vec(), requirements, follow }, apis))
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
            let Self { files, requirements, follow } = &mut self;
            let all = || files.iter().chain(&*requirements).cloned().collect();
            follow.changed(all).await;
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
        let apis = documents::read(&self.files)?;
        self.requirements = requirements(&apis);
        self.follow.also(&self.requirements);
        let progress = |step: &str| tracing::info!(step, "Python");
        let bins = machine::python_bins(&apis, venvs, &progress).await?;
        changes.adopt(apis, &bins, self.follow.seen()).await.map_err(|why| anyhow!(why))
    }
}

fn requirements(apis: &[InferenceApi]) -> Vec<PathBuf> {
    let python = apis.iter().filter_map(|api| api.container.python.as_ref());
    python.map(|python| python.requirements.clone()).collect()
}
