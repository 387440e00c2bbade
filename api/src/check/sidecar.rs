//! What each replica's sidecar does beside its work.

use super::Check;
use crate::document::{AccessLog, Llm, Sidecar};
use crate::key_path::KeyPath;
use crate::quote;
use crate::raw::{RawLlm, RawSidecar};

pub(super) fn check(raw: RawSidecar, check: &mut Check<'_>) -> Sidecar {
    let access_log = access_log(&raw.access_log).unwrap_or_else(|| {
        let what = format!("is {}", quote::quoted(&raw.access_log));
        let must = "`off`, `errors`, `all`, or `sampled:SHARE` with a share from 0 to 1";
        check.wrong(&KeyPath::keys("spec.sidecar.accessLog"), what, must);
        AccessLog::Off
    });
    let llm = match raw.llm {
        RawLlm::Off => None,
        RawLlm::Openai => Some(Llm::OpenAi),
    };
    Sidecar { access_log, llm }
}

fn access_log(text: &str) -> Option<AccessLog> {
    match (text, text.strip_prefix("sampled:")) {
        ("off", _) => Some(AccessLog::Off),
        ("errors", _) => Some(AccessLog::Errors),
        ("all", _) => Some(AccessLog::All),
        (_, Some(share)) => {
            let share = share.parse().ok().filter(|share| (0.0..=1.0).contains(share));
            share.map(AccessLog::Sampled)
        }
        _ => None,
    }
}
