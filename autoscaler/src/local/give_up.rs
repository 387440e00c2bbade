//! When failed starts end the run: then all that was started goes, so nobody may be left who serves.

use super::failure::{GaveUp, StartFailure, tail};
use super::fleet::Fleet;
use super::target::Local;
use std::collections::BTreeMap;
use std::path::PathBuf;
use tidegate_api::InferenceApi;

impl Local {
    /// From now on the requests of these APIs are split among others. One of those that does not come up
    /// leaves the others to serve: it is what a rollout is to find out, and no end of all.
    pub(crate) fn set_splits<'a>(&mut self, splits: impl IntoIterator<Item = &'a InferenceApi>) {
        let mut all = BTreeMap::<String, Vec<String>>::new();
        for traffic in splits.into_iter().filter_map(|split| split.traffic.as_ref()) {
            let versions = || traffic.versions.iter().map(|version| version.api.clone());
            let shadow = traffic.shadow.as_ref().map(|shadow| shadow.api.clone());
            for api in versions().chain(shadow) {
                all.entry(api).or_default().extend(versions());
            }
        }
        self.versions = all;
    }

    /// Why an API can't be started, where it has been tried in vain often enough to be sure.
    pub(crate) fn hopeless(&self, api: &str) -> Option<&str> {
        self.fleets.get(api).filter(|fleet| fleet.is_hopeless()).and_then(Fleet::trouble)
    }

    /// An API is tried again, whatever became of its starts before.
    pub(crate) fn try_anew(&mut self, api: &str) {
        if let Some(fleet) = self.fleets.get_mut(api) {
            fleet.try_anew();
        }
    }

    /// Whether an API has failed so often, and was never there, that the run may end for it.
    fn is_given_up(&self, api: &str) -> bool {
        let most = self.settings.give_up_after;
        self.fleets.get(api).is_some_and(|fleet| {
            !fleet.was_ready && fleet.is_founding && most != 0 && fleet.failures >= most
        })
    }

    /// Ends the run if this failure was one too many.
    pub(super) fn give_up(
        &self,
        api: String,
        failure: StartFailure,
        log: PathBuf,
    ) -> Result<(), Box<GaveUp>> {
        let versions = self.versions.get(&api).map_or(&[][..], Vec::as_slice);
        let all_failed = versions.iter().all(|version| self.is_given_up(version));
        let Some(fleet) = self.fleets.get(&api).filter(|_| self.is_given_up(&api) && all_failed)
        else {
            return Ok(());
        };
        let command = if failure.is_sidecar() {
            let words = self.settings.sidecar.iter().map(|word| word.to_string_lossy());
            words.collect::<Vec<_>>().join(" ")
        } else {
            fleet.make.api.container.command.join(" ")
        };
        let tail = tail(&log);
        Err(Box::new(GaveUp { api, failures: fleet.failures, failure, command, log, tail }))
    }
}
