//! What a Deployment's annotations ask for: the same as a resource would. Pure.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use tidegate_api::{InferenceApi, annotated};

/// What a Deployment's annotations ask for.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// The Deployment's.
    pub uid: String,
    /// When it was made, in seconds since the Unix epoch.
    pub created: i64,
    /// Another number for other annotations.
    pub generation: i64,
    /// What they come to, or what is wrong with them.
    pub document: Result<Arc<InferenceApi>, Arc<str>>,
}

impl Asked {
    /// Of a Deployment's annotations and those of its pods' template; nothing where they ask for
    /// nothing.
    pub(crate) fn of(
        name: &str,
        uid: &str,
        created: i64,
        own: &BTreeMap<String, String>,
        of_pods: &BTreeMap<String, String>,
    ) -> Option<Self> {
        let document = annotated::document(name, own, of_pods)?;
        // A Deployment's own generation changes with its replicas, and not with its annotations.
        let mut hasher = DefaultHasher::new();
        for notes in [own, of_pods] {
            let ours = notes.iter().filter(|(key, _)| key.starts_with(annotated::PREFIX));
            ours.for_each(|note| note.hash(&mut hasher));
        }
        Some(Self {
            uid: uid.to_owned(),
            created,
            generation: hasher.finish().cast_signed(),
            document: document.map(Arc::new).map_err(Arc::from),
        })
    }
}
