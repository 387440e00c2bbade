//! Rules for `spec.target`.

use super::{Check, word};
use crate::document::Target;
use crate::key_path::KeyPath;
use crate::raw::RawTarget;

/// What [`is_version`] asks for.
const VERSION: &str = "a group and a version, such as `apps/v1`";
/// What [`is_kind`] asks for.
const KIND: &str = "a kind, such as `Deployment`: letters and digits, a capital first";
/// What [`word::is_host`] asks for in a name.
const NAME: &str = "a name on Kubernetes: lower-case letters, digits, `-` and `.`";

/// Checks what is scaled on Kubernetes.
pub(super) fn check(raw: RawTarget, check: &mut Check<'_>) -> Target {
    let path = KeyPath::keys("spec.target");
    let name = raw.name.unwrap_or_default();
    check.text(&path.key("apiVersion"), &raw.api_version, is_version, VERSION);
    check.text(&path.key("kind"), &raw.kind, is_kind, KIND);
    check.text(&path.key("name"), &name, is_name, NAME);
    Target { api_version: raw.api_version, kind: raw.kind, name }
}

fn is_version(text: &str) -> bool {
    let (group, version) = text.split_once('/').unwrap_or(("core", text));
    is_name(group) && word::is_dns_label(version)
}

fn is_kind(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|first: char| first.is_ascii_uppercase())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn is_name(text: &str) -> bool {
    !text.starts_with('*') && word::is_host(text)
}
