//! A `tidegate up` on this machine as a place where APIs are deployed.
//!
//! Documents are deployed into the folder of its run, which it follows as it follows its own files:
//! whoever may write there may run any command, and nobody else may. Nothing is deployed over a port.

mod logs;
mod object;

use crate::backend::{Applied, Change, Details, LogsWanted, Told, Where};
use crate::client::HttpClient;
use crate::documents;
use crate::exit::{BadUsage, NotDone};
use crate::run_dir::{self, Running};
use anyhow::{Context, Result};
use serde_json::Value;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tidegate_api::Written;
use tidegate_api::names::path;
use tidegate_autoscaler::status::{ApiStatus, DocumentsStatus};
use tidegate_autoscaler::{Follow, Status};
use tokio::sync::mpsc::Sender;

/// Between two looks at what is followed.
const PERIOD: Duration = Duration::from_millis(500);

/// Between two looks whether a document was taken.
const LOOK: Duration = Duration::from_millis(100);

/// A running `tidegate up`.
pub(crate) struct Local {
    run: Running,
    client: HttpClient,
}

/// A document's file, as it was and as it is to be.
struct FileChange {
    file: PathBuf,
    before: Option<String>,
    after: Option<String>,
}

impl Local {
    /// The one that runs, or of several the one that the flags name.
    pub(crate) fn open(place: &Where) -> Result<Self> {
        let folder = std::path::absolute(&place.data_dir)?;
        let mut runs = run_dir::running(&folder);
        let folder = place.data_dir.display();
        if let Some(id) = &place.run {
            runs.retain(|run| run.id == *id);
        }
        let ids: Vec<String> = runs.iter().map(|run| run.id.clone()).collect();
        let Some(run) = runs.pop() else {
            let what = match &place.run {
                Some(id) => format!("no `tidegate up` with the process id {id} runs in {folder}"),
                None => format!("no `tidegate up` runs in {folder}"),
            };
            let advice = "start one, or name its folder with --data-dir";
            return Err(NotDone::unreachable(format!("{what}; {advice}")).into());
        };
        if !runs.is_empty() {
            let ids = ids.join(", ");
            let what =
                format!("several `tidegate up` run in {folder}; choose one with --run: {ids}");
            return Err(BadUsage(what).into());
        }
        Ok(Self { run, client: HttpClient::new() })
    }

    /// Where its autoscaler's port is.
    pub(crate) fn autoscaler(&self) -> String {
        format!("http://{}", self.run.told.autoscaler)
    }

    /// Every API.
    pub(crate) async fn list(&self) -> Result<Vec<Value>> {
        let status = self.status().await?;
        // While the files are wrong there is still what runs.
        let written = self.written().unwrap_or_default();
        let document = |name: &str| {
            let one = written.iter().find(|(_, written)| written.api.name == name);
            one.map(|(file, written)| (Path::new(file), written))
        };
        let object = |api: &ApiStatus| object::object(api, document(&api.name), self.run.begun);
        Ok(status.apis.iter().map(object).collect())
    }

    /// One API.
    pub(crate) async fn get(&self, name: &str) -> Result<Value> {
        let all = self.list().await?;
        let found = all.into_iter().find(|object| object["metadata"]["name"] == name);
        found.ok_or_else(|| missing(name).into())
    }

    /// Tells what there is, and each change.
    pub(crate) async fn follow(
        &self,
        name: Option<&str>,
        mut tell: impl FnMut(Change) -> ControlFlow<()>,
    ) -> Result<()> {
        let mut before: Option<Vec<Value>> = None;
        loop {
            let mut now = self.list().await?;
            now.retain(|object| name.is_none_or(|name| object["metadata"]["name"] == name));
            for change in changes(before.as_deref(), &now) {
                if tell(change).is_break() {
                    return Ok(());
                }
            }
            before = Some(now);
            tokio::time::sleep(PERIOD).await;
        }
    }

    /// Makes APIs be as documents say, all at once, as they may name each other; nothing has changed where
    /// that can't be.
    pub(crate) async fn apply(
        &self,
        documents: &[&Written],
        mut tell: impl FnMut(Applied, &Value),
    ) -> Result<()> {
        let own = documents::read_files(&self.run.told.files)?;
        let (mut changes, mut done) = (Vec::new(), Vec::new());
        for document in documents {
            let name = document.api.name.as_str();
            let applied = match own.iter().find(|(_, its)| its.api.name == name) {
                Some((_, its)) if its.api == document.api => Applied::Unchanged,
                Some((file, _)) => return Err(belongs_to(name, file)),
                None => {
                    let file = run_dir::documents(&self.run.path).join(format!("{name}.json"));
                    let text = format!("{:#}\n", object::absolute(document));
                    let before = std::fs::read_to_string(&file).ok();
                    let applied = match &before {
                        Some(before) if *before == text => Applied::Unchanged,
                        Some(_) => Applied::Updated,
                        None => Applied::Created,
                    };
                    if applied != Applied::Unchanged {
                        changes.push(FileChange { file, before, after: Some(text) });
                    }
                    applied
                }
            };
            done.push((applied, name));
        }
        self.change(&changes).await?;
        for (applied, name) in done {
            tell(applied, &self.get(name).await?);
        }
        Ok(())
    }

    /// Everything that is known of an API.
    pub(crate) async fn details(&self, name: &str) -> Result<Details> {
        let (object, status) = (self.get(name).await?, self.api(name).await?);
        Ok(object::details(object, &status, self.run.begun))
    }

    /// Sends the lines that its replicas have written, or write.
    pub(crate) async fn logs(
        &self,
        name: &str,
        wanted: &LogsWanted,
        told: Sender<Told>,
    ) -> Result<()> {
        self.api(name).await?;
        logs::read(&self.run, name, wanted, &told).await
    }

    /// The last lines of those of its replicas that don't get ready.
    pub(crate) async fn last_lines(&self, name: &str) -> Result<Vec<Told>> {
        let status = self.api(name).await?;
        logs::last_lines(&self.run, &status)
    }

    /// Takes an API away that was deployed.
    pub(crate) async fn delete(&self, name: &str) -> Result<Option<String>> {
        let file = run_dir::documents(&self.run.path).join(format!("{name}.json"));
        if !run_dir::deployed(&self.run.path).contains(&file) {
            let own = documents::read_files(&self.run.told.files)?;
            return match own.iter().find(|(_, its)| its.api.name == name) {
                Some((file, _)) => Err(belongs_to(name, file)),
                None => Ok(None),
            };
        }
        let before = Some(std::fs::read_to_string(&file)?);
        self.change(&[FileChange { file, before, after: None }]).await?;
        Ok(Some("its replicas finish what they have, and go".to_owned()))
    }

    /// Begins to exchange an API's replicas.
    pub(crate) async fn refresh(&self, name: &str) -> Result<String> {
        self.api(name).await?;
        let url = format!("{}{}{name}", self.autoscaler(), path::REFRESH);
        self.client.post(&url).await?;
        Ok("its replicas are exchanged, one after another".to_owned())
    }

    async fn status(&self) -> Result<Status> {
        let url = format!("{}{}", self.autoscaler(), path::STATUS);
        let text = self.client.get(&url).await.map_err(|error| {
            NotDone::unreachable(format!("`tidegate up` ({}): {error:#}", self.run.id))
        })?;
        serde_json::from_str(&text).with_context(|| format!("{url} is no autoscaler's status"))
    }

    async fn api(&self, name: &str) -> Result<ApiStatus> {
        let found = self.status().await?.apis.into_iter().find(|api| api.name == name);
        found.ok_or_else(|| missing(name).into())
    }

    /// Every document that it follows, and the file of each.
    fn written(&self) -> Result<Vec<(String, Written)>> {
        let deployed = run_dir::deployed(&self.run.path);
        let files: Vec<PathBuf> = self.run.told.files.iter().cloned().chain(deployed).collect();
        documents::read_files(&files)
    }

    /// Changes files that it follows, and back again if it could not use what it saw.
    async fn change(&self, files: &[FileChange]) -> Result<()> {
        files.iter().try_for_each(|FileChange { file, after, .. }| put(file, after.as_deref()))?;
        let words: Vec<_> =
            files.iter().map(|change| (&*change.file, Follow::word(&change.file))).collect();
        let Some(why) = self.until_looked_at(&words).await? else { return Ok(()) };
        // As it was, so that the next change has a chance.
        files
            .iter()
            .try_for_each(|FileChange { file, before, .. }| put(file, before.as_deref()))?;
        // Where they lie in the run's folder tells its user nothing.
        let folder = format!("{}/", run_dir::documents(&self.run.path).display());
        Err(NotDone::refused(why.replace(&folder, "")).into())
    }

    /// Waits until it has looked at files in this state, and says why it could not use what it saw.
    /// Python environments may have to be made first.
    async fn until_looked_at(&self, files: &[(&Path, Option<String>)]) -> Result<Option<String>> {
        // Its own path may begin elsewhere, as through a link.
        let documents = run_dir::documents(Path::new(&self.run.id));
        let name = |file: &Path| documents.join(file.file_name().unwrap_or_default());
        loop {
            let DocumentsStatus { files: seen, refused, changes } = self.status().await?.documents;
            let has_looked = changes > 0 || refused.is_some();
            let is_seen = |(file, word): &(&Path, Option<String>)| {
                let seen = seen.iter().find(|(seen, _)| seen.ends_with(name(file)));
                seen.map(|(_, word)| word) == word.as_ref()
            };
            if files.is_empty() || has_looked && files.iter().all(is_seen) {
                return Ok(refused.filter(|_| !files.is_empty()));
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// What has changed between two lists.
fn changes(before: Option<&[Value]>, now: &[Value]) -> Vec<Change> {
    let Some(before) = before else { return vec![Change::All(now.to_vec())] };
    let name = |object: &Value| object["metadata"]["name"].clone();
    let is_gone = |old: &&Value| !now.iter().any(|new| name(new) == name(old));
    let gone = before.iter().filter(is_gone).cloned().map(Change::Gone);
    let set = now.iter().filter(|new| !before.contains(new)).cloned().map(Change::Set);
    set.chain(gone).collect()
}

fn missing(name: &str) -> NotDone {
    NotDone::missing(format!("there is no api {name} here; see `tidegate get --local`"))
}

fn belongs_to(name: &str, file: &str) -> anyhow::Error {
    NotDone::refused(format!("{name} is in {file}, which `tidegate up` follows; change it there"))
        .into()
}

/// Makes a file be what it was or is to be.
fn put(file: &Path, text: Option<&str>) -> Result<()> {
    match text {
        Some(text) => write(file, text),
        None => {
            std::fs::remove_file(file).with_context(|| format!("can't remove {}", file.display()))
        }
    }
}

/// Writes a file beside the old one and puts it in its place.
fn write(file: &Path, text: &str) -> Result<()> {
    let beside = file.with_extension("new");
    let written = std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, file));
    written.with_context(|| format!("can't write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn changes_are_told_one_by_one() {
        let api = |name: &str, ready: u32| json!({"metadata": {"name": name}, "ready": ready});
        let (first, second) = ([api("a", 0), api("b", 0)], [api("b", 1), api("c", 0)]);
        assert_eq!(changes(None, &first), [Change::All(first.to_vec())]);
        let told = [Change::Set(api("b", 1)), Change::Set(api("c", 0)), Change::Gone(api("a", 0))];
        assert_eq!(changes(Some(&first), &second), told);
        assert_eq!(changes(Some(&second), &second), []);
    }
}
