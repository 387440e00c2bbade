//! API keys: files of their digests, followed as they change. No key is ever kept.

use crate::bounded_file;
use crate::fields::Fields;
use crate::file_watch::{FileWatch, SETTLE};
use arc_swap::ArcSwap;
use http::HeaderName;
use http::header::AUTHORIZATION;
use prometheus::IntCounter;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use subtle::ConstantTimeEq;
use tokio::time::sleep;

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const SCHEME: &[u8] = b"bearer ";
/// The largest file: about two hundred thousand keys.
const MAX_FILE_BYTES: u64 = 16 << 20;
/// SHA-256's.
const DIGEST_BYTES: usize = 32;

/// What a key comes to.
type KeyDigest = [u8; DIGEST_BYTES];

/// The keys of one file.
pub struct KeyFile {
    path: PathBuf,
    keys: ArcSwap<Keys>,
}

/// Digests with the names of who has the keys.
#[derive(Debug, Default)]
struct Keys {
    /// By a hash that is keyed anew for each process: where a digest is looked for says nothing of
    /// it. Whether it is the one is then compared in constant time.
    by_hash: HashMap<u64, Vec<(KeyDigest, Arc<str>)>>,
    hasher: RandomState,
}

/// A key that a request has brought: its digest, and where it stood.
pub struct Presented {
    digest: KeyDigest,
    /// The header that it stood in.
    pub header: HeaderName,
}

// === impl KeyFile ===

impl KeyFile {
    /// The keys that are in the file now.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn read(path: PathBuf) -> Result<Self, String> {
        let keys = Keys::parse(&text(&path)?)?;
        Ok(Self { path, keys: ArcSwap::from_pointee(keys) })
    }

    /// Whose key it is, if it is one of these.
    pub fn find(&self, presented: &Presented) -> Option<Arc<str>> {
        self.keys.load().find(&presented.digest)
    }

    /// Follows the file until dropped. One that is gone or wrong changes nothing; a warning says
    /// why, and it is counted. One with fewer keys counts if it still has them after a moment.
    pub async fn follow(self: Arc<Self>, failures: IntCounter) {
        let file = self.path.display();
        let mut watch = match FileWatch::new(&self.path) {
            Ok(watch) => watch,
            Err(error) => return tracing::error!(%error, "API keys are not followed"),
        };
        let (mut known, mut complaint) = (None, None);
        loop {
            watch.reading();
            let mut read = self.read_again();
            if read.as_ref().is_ok_and(|(keys, _)| keys.len() < self.keys.load().len()) {
                sleep(SETTLE).await;
                read = self.read_again();
            }
            match read {
                Ok((keys, text)) => {
                    if known.as_ref().is_some_and(|known| *known != text) || complaint.is_some() {
                        tracing::info!(%file, keys = keys.len(), "API keys read again");
                    }
                    if known.as_ref() != Some(&text) {
                        self.keys.store(Arc::new(keys));
                    }
                    (known, complaint) = (Some(text), None);
                }
                Err(error) if complaint.as_ref() == Some(&error) => {}
                Err(error) => {
                    failures.inc();
                    tracing::warn!(%error, %file, "can't use the API keys; keeping what was");
                    complaint = Some(error);
                }
            }
            watch.changed().await;
        }
    }

    fn read_again(&self) -> Result<(Keys, String), String> {
        let text = text(&self.path)?;
        Ok((Keys::parse(&text)?, text))
    }
}

// === impl Keys ===

impl Keys {
    /// Reads lines of `name:digest`; empty ones and those that begin with `#` say nothing.
    fn parse(text: &str) -> Result<Self, String> {
        let mut keys = Self::default();
        for (index, line) in text.lines().map(str::trim).enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |what| format!("line {}: {what}; must be NAME:SHA256-IN-HEX", index + 1);
            let (name, digest) = line.rsplit_once(':').ok_or_else(|| wrong("has no `:`"))?;
            if name.is_empty() {
                return Err(wrong("has no name"));
            }
            let digest = unhex(digest).ok_or_else(|| wrong("has no digest of 64 hex digits"))?;
            if keys.find(&digest).is_some() {
                return Err(wrong("has a key that another line has already"));
            }
            let hash = keys.hasher.hash_one(digest);
            keys.by_hash.entry(hash).or_default().push((digest, name.into()));
        }
        Ok(keys)
    }

    fn find(&self, digest: &KeyDigest) -> Option<Arc<str>> {
        let candidates = self.by_hash.get(&self.hasher.hash_one(digest))?;
        let own = candidates.iter().find(|(known, _)| known.ct_eq(digest).into());
        own.map(|(_, name)| Arc::clone(name))
    }

    fn len(&self) -> usize {
        self.by_hash.values().map(Vec::len).sum()
    }
}

// === impl Presented ===

impl Presented {
    /// The key that these headers bring: `authorization: Bearer KEY`, else `x-api-key: KEY`.
    pub fn of(headers: &Fields) -> Option<Self> {
        let bearer = headers.get(AUTHORIZATION).and_then(|value| {
            let (scheme, key) = value.split_at_checked(SCHEME.len())?;
            scheme.eq_ignore_ascii_case(SCHEME).then_some(key)
        });
        let (key, header) = match bearer {
            Some(key) => (key, AUTHORIZATION),
            None => (headers.get(X_API_KEY)?, X_API_KEY),
        };
        Some(Self { digest: Sha256::digest(key.trim_ascii()).into(), header })
    }
}

fn text(path: &Path) -> Result<String, String> {
    bounded_file::text(path, MAX_FILE_BYTES).map_err(|error| error.to_string())
}

fn unhex(text: &str) -> Option<KeyDigest> {
    let mut digest = [0; DIGEST_BYTES];
    if text.len() != 2 * DIGEST_BYTES {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digit = |index: usize| char::from(pair[index]).to_digit(16);
        *byte = u8::try_from(digit(0)? << 4 | digit(1)?).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use std::time::Duration;

    /// `printf %s secret | sha256sum`.
    const SECRET: &str = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

    fn presented(lines: &[(HeaderName, &'static str)]) -> Option<Presented> {
        Presented::of(&lines.iter().cloned().collect())
    }

    #[test]
    fn a_key_is_found_by_its_digest_wherever_it_stands() {
        let text = format!("# keys\n\n  team:red:{}  \n", SECRET.to_uppercase());
        let keys = Keys::parse(&text).unwrap();
        for (lines, name) in [
            (&[(AUTHORIZATION, "Bearer secret")][..], Some("team:red")),
            (&[(AUTHORIZATION, "bearer  secret ")], Some("team:red")),
            (&[(X_API_KEY, "secret")], Some("team:red")),
            (&[(X_API_KEY, "secret"), (AUTHORIZATION, "Basic eDp5")], Some("team:red")),
            (&[(X_API_KEY, "secret"), (AUTHORIZATION, "Bearer other")], None),
            (&[(AUTHORIZATION, "secret")], None),
            (&[(AUTHORIZATION, "Bearer ")], None),
            (&[(X_API_KEY, SECRET)], None),
            (&[], None),
        ] {
            let found = presented(lines).and_then(|presented| keys.find(&presented.digest));
            assert_eq!(found.as_deref(), name, "{lines:?}");
        }
    }

    #[tokio::test]
    async fn a_file_that_loses_keys_counts_if_it_still_does_after_a_moment() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, format!("a:{SECRET}")).unwrap();
        let keys = Arc::new(KeyFile::read(file.path().to_owned()).unwrap());
        let secret = presented(&[(X_API_KEY, "secret")]).unwrap();
        let emptied = async {
            let start = clock::now();
            std::fs::write(&file, "").unwrap();
            while keys.find(&secret).is_some() {
                sleep(Duration::from_millis(5)).await;
            }
            clock::now() - start
        };
        let follows = Arc::clone(&keys).follow(IntCounter::new("failures", "-").unwrap());
        let took = tokio::select! {
            () = follows => panic!("it does not follow"),
            took = tokio::time::timeout(Duration::from_secs(60), emptied) => took.unwrap(),
        };
        assert!(took >= SETTLE, "{took:?}");
    }

    #[test]
    fn what_is_wrong_in_a_file_is_named_with_its_line() {
        for (text, said) in [
            ("name".to_owned(), "line 1: has no `:`"),
            (format!("\n:{SECRET}"), "line 2: has no name"),
            ("a:b".to_owned(), "line 1: has no digest"),
            (format!("a:{SECRET}0"), "line 1: has no digest"),
            (format!("a:x{}", SECRET.split_at(1).1), "line 1: has no digest"),
            (format!("a:{SECRET}\nb:{SECRET}"), "line 2: has a key that another line has"),
        ] {
            let error = Keys::parse(&text).unwrap_err();
            assert!(error.starts_with(said) && !error.contains(SECRET), "{error}");
        }
        assert_eq!(Keys::parse("").unwrap().len(), 0);
    }
}
