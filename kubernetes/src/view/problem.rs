//! Why an API's target is left alone, as a word and as a sentence.

use std::sync::Arc;

/// Why a target is left alone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The resource has mistakes.
    #[error("{0}")]
    Invalid(Arc<str>),
    /// Its requests go to other APIs.
    #[error("spec.traffic splits the requests among other InferenceApis: those are scaled")]
    Split,
    /// It names no target.
    #[error(
        "spec.target is missing: name the Deployment, or what else there is, that is to be scaled"
    )]
    NoTarget,
    /// The cluster has no kind like the target's, or that has no `/scale`.
    #[error(
        "the cluster has no {0} with a /scale; correct spec.target, or install what brings that kind"
    )]
    Kind(String),
    /// What the target's `/scale` says is not known yet.
    #[error("the /scale of the {kind} {name} is being asked for")]
    Asking {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
    },
    /// The target's `/scale` can't be had.
    #[error("the /scale of the {kind} {name} can't be had: {why}")]
    NoScale {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
        /// What the API server says.
        why: Arc<str>,
    },
    /// There is no such target.
    #[error("there is no {kind} {name} in this namespace; create it, or correct spec.target")]
    NotFound {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
    },
    /// What is made of its template is not there yet.
    #[error("the Deployment that is made of spec.template is not there yet")]
    Making,
    /// There is something of that name that was not made of its template.
    #[error(
        "the {kind} {name} was not made of spec.template; call the API something else, or delete it"
    )]
    Foreign {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
    },
    /// Nobody can say which pods are the target's.
    #[error("the target's spec.selector selects nothing, or can't be understood")]
    Selector,
    /// Another autoscaler scales it.
    #[error("{what} {name} scales the same target; delete one of the two")]
    Rival {
        /// The other's kind.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// Another API scales it.
    #[error("InferenceApi {0} is older and scales the same target; delete one of the two")]
    Contested(String),
    /// Its pods can't be measured.
    #[error(
        "the target's pods have no container port named tidegate-admin: they run without the \
         sidecar; label them for injection and restart them"
    )]
    NoSidecar,
    /// The resource says so.
    #[error("spec.paused is true: the target is left alone")]
    Paused,
}

impl Problem {
    /// The condition's reason: a word.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "InvalidSpec",
            Self::Split => "Split",
            Self::NoTarget => "NoTarget",
            Self::Kind(_) => "UnknownKind",
            Self::Asking { .. } => "Asking",
            Self::NoScale { .. } => "NoScale",
            Self::NotFound { .. } => "TargetNotFound",
            Self::Making => "Making",
            Self::Foreign { .. } => "NotOurs",
            Self::Selector => "InvalidSelector",
            Self::Rival { .. } | Self::Contested(_) => "ConflictingAutoscaler",
            Self::NoSidecar => "NoSidecar",
            Self::Paused => "Paused",
        }
    }

    /// What makes it another one of the same reason. What an API server says in its own words does not.
    pub fn about(&self) -> String {
        match self {
            Self::Invalid(_) | Self::Rival { .. } | Self::Contested(_) => self.to_string(),
            _ => String::new(),
        }
    }

    /// Whether someone should do something about it.
    pub const fn is_warning(&self) -> bool {
        !matches!(self, Self::Paused | Self::Split | Self::Making | Self::Asking { .. })
    }
}
