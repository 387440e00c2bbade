//! What requests that belong to one endpoint have in common: a header, a cookie, how a prompt begins.

use crate::fields::Fields;
use crate::policy::prompt;
use http::header::{COOKIE, HeaderName};
use std::hash::{DefaultHasher, Hash, Hasher};

/// What a request's key is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Affinity {
    /// A header's value.
    Header(HeaderName),
    /// A cookie's value.
    Cookie(String),
    /// So many bytes of the prompt, from its first.
    PromptPrefix(usize),
}

// === impl Affinity ===

impl Affinity {
    /// The key of a request, if it has one. `ahead` is what is here of its body.
    pub fn key(&self, headers: &Fields, ahead: &[u8]) -> Option<u64> {
        let said = match self {
            Self::Header(name) => headers.get(name)?,
            Self::Cookie(name) => cookie(headers, name)?,
            Self::PromptPrefix(bytes) => {
                let prompt = prompt::find(ahead)?;
                prompt.get(..*bytes).unwrap_or(prompt)
            }
        };
        // Not keyed at random: every gateway must find the same endpoint. Whoever chooses keys that
        // collide is held back by the bound on an endpoint's load.
        let mut hasher = DefaultHasher::new();
        said.hash(&mut hasher);
        Some(hasher.finish()).filter(|_| !said.is_empty())
    }
}

/// A cookie's value (RFC 6265, section 4.2.1).
fn cookie<'a>(headers: &'a Fields, name: &str) -> Option<&'a [u8]> {
    let mut pairs = headers.get_all(COOKIE).flat_map(|line| line.split(|byte| *byte == b';'));
    pairs.find_map(|pair| pair.trim_ascii_start().strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, values: &[&str]) -> Fields {
        values.iter().map(|value| (name, *value)).collect()
    }

    #[test]
    fn what_is_alike_has_one_key() {
        let session = Affinity::Header(HeaderName::from_static("x-session"));
        let key = |said: &str| session.key(&headers("x-session", &[said]), b"");
        assert!(key("a").is_some() && key("a") == key("a") && key("a") != key("b"));
        assert_eq!((key(""), session.key(&Fields::default(), b"")), (None, None));
        let cookie = Affinity::Cookie("s".to_owned());
        let key = |lines: &[&str]| cookie.key(&headers("cookie", lines), b"");
        assert!(key(&["s=1"]).is_some());
        assert_eq!(key(&["s=1"]), key(&["as=2; s=1;t=3"]));
        assert_eq!(key(&["s=1"]), key(&["t=3", "s=1"]));
        assert_ne!(key(&["s=1"]), key(&["s=2"]));
        assert_eq!(key(&["ss=1; a=s=1"]), None);
    }

    #[test]
    fn prompts_that_begin_alike_have_one_key() {
        let affinity = Affinity::PromptPrefix(5);
        let key = |body: &str| affinity.key(&Fields::default(), body.as_bytes());
        assert!(key(r#"{"prompt":"Hello you"}"#).is_some());
        assert_eq!(
            key(r#"{"prompt":"Hello you"}"#),
            key(r#"{"model":"m","prompt": "Hello world"}"#)
        );
        assert_ne!(key(r#"{"prompt":"Hello"}"#), key(r#"{"prompt":"hello"}"#));
        assert_eq!((key("{}"), key("")), (None, None));
    }
}
