//! Keeps looking up the names that documents give for endpoints.

use prometheus::IntCounter;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tidegate_api::document::DnsName;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};

/// The most addresses of one name that are used.
const MAX_ADDRESSES: usize = 1000;

/// The names that are followed.
pub struct Names {
    followed: HashMap<DnsName, Followed>,
    tasks: JoinSet<()>,
    news: Arc<Notify>,
    failures: IntCounter,
}

struct Followed {
    found: Arc<Found>,
    task: AbortHandle,
}

/// The addresses that a name was last found to have.
type Found = Mutex<BTreeSet<SocketAddr>>;

// === impl Names ===

impl Names {
    /// None yet. Look-ups that fail are counted.
    pub fn new(failures: IntCounter) -> Self {
        let (followed, tasks, news) = (HashMap::new(), JoinSet::new(), Arc::default());
        Self { followed, tasks, news, failures }
    }

    /// Follows these names from now on, and no others.
    pub fn follow(&mut self, wanted: &HashSet<&DnsName>) {
        while self.tasks.try_join_next().is_some() {}
        for (_, gone) in self.followed.extract_if(|name, _| !wanted.contains(name)) {
            gone.task.abort();
        }
        for name in wanted {
            if self.followed.contains_key(*name) {
                continue;
            }
            let (name, found) = ((*name).clone(), Arc::<Found>::default());
            let (host, port) = (name.name.clone(), name.port.get());
            let look_up = async move || {
                // The system is asked on a thread of its own.
                let addresses = tokio::net::lookup_host((host.as_str(), port)).await?;
                Ok::<BTreeSet<_>, io::Error>(addresses.take(MAX_ADDRESSES).collect())
            };
            let (news, failures) = (Arc::clone(&self.news), self.failures.clone());
            let task = look(name.clone(), Arc::clone(&found), news, failures, look_up);
            let task = self.tasks.spawn(task);
            self.followed.insert(name, Followed { found, task });
        }
    }

    /// The addresses that a name was last found to have.
    pub fn found(&self, name: &DnsName) -> BTreeSet<SocketAddr> {
        let found = self.followed.get(name).map(|followed| lock(&followed.found).clone());
        found.unwrap_or_default()
    }

    /// Waits until a name has other addresses.
    pub async fn changed(&self) {
        self.news.notified().await;
    }
}

/// Looks a name up again and again, until dropped: one question after the other, so that those to a
/// name server that does not answer don't become many. While the name can't be found, it is taken to
/// have what it had.
async fn look(
    name: DnsName,
    found: Arc<Found>,
    news: Arc<Notify>,
    failures: IntCounter,
    look_up: impl AsyncFn() -> io::Result<BTreeSet<SocketAddr>>,
) {
    let mut complained = false;
    loop {
        let answer = look_up().await.and_then(|addresses| match addresses.is_empty() {
            true => Err(io::Error::new(ErrorKind::NotFound, "it has no address")),
            false => Ok(addresses),
        });
        let shown = &name.name;
        match answer {
            Ok(addresses) => {
                if complained {
                    tracing::info!(name = shown, "name found again");
                }
                complained = false;
                let mut before = lock(&found);
                if *before != addresses {
                    *before = addresses;
                    news.notify_one();
                }
            }
            Err(error) => {
                failures.inc();
                if !complained {
                    tracing::warn!(name = shown, %error, "can't look a name up; keeping what was");
                }
                complained = true;
            }
        }
        tokio::time::sleep(name.period).await;
    }
}

fn lock(found: &Found) -> std::sync::MutexGuard<'_, BTreeSet<SocketAddr>> {
    // Nothing panics while it is held.
    found.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_name_keeps_what_it_had_while_it_can_not_be_looked_up() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let one: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let two: SocketAddr = "127.0.0.1:2".parse().unwrap();
        let (found, news) = (Arc::<Found>::default(), Arc::<Notify>::default());
        let failures = IntCounter::new("failures", "failures").unwrap();
        let name = DnsName {
            name: "a".to_owned(),
            port: 1.try_into().unwrap(),
            period: Duration::from_millis(1),
        };
        let asked = Mutex::new(0);
        let look_up = async || {
            let mut asked = asked.lock().unwrap();
            *asked += 1;
            match *asked {
                1 => Ok([one].into()),
                2 | 3 => Err(ErrorKind::TimedOut.into()),
                4 => Ok(BTreeSet::new()),
                _ => Ok([one, two].into()),
            }
        };
        runtime.block_on(async {
            let looking =
                look(name, Arc::clone(&found), Arc::clone(&news), failures.clone(), look_up);
            let seeing = async {
                news.notified().await;
                assert_eq!(*lock(&found), [one].into());
                news.notified().await;
                assert_eq!(*lock(&found), [one, two].into());
            };
            tokio::select! {
                () = looking => {}
                () = seeing => {}
            }
        });
        assert_eq!(failures.get(), 3, "it kept what it had meanwhile");
    }
}
