//! What is measured of a language model's answers (`--llm openai`).

use super::{LATENCY_BUCKETS_S, api_label};
use crate::fields::Fields;
use crate::policy::token_stream::{Form, Tokens};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use prometheus::core::Collector;
use prometheus::{Histogram, HistogramOpts, IntCounter, Opts, Registry};
use std::time::Instant;
use tidegate_api::names::metric;

/// From a small model on a large machine to a large one on a small machine.
const PER_TOKEN_BUCKETS_S: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0];

/// The handles of one API.
#[derive(Debug)]
pub struct TokenMetrics {
    first_token: Histogram,
    per_output_token: Histogram,
    output: IntCounter,
    prompt: IntCounter,
}

/// In which form an answer of this head says how many tokens it has, if in any.
pub fn form(headers: &Fields) -> Option<Form> {
    let is_plain = |encoding: &[u8]| encoding.eq_ignore_ascii_case(b"identity");
    if !headers.get(CONTENT_ENCODING).is_none_or(is_plain) {
        return None;
    }
    let kind = headers.get(CONTENT_TYPE)?.split(|byte| *byte == b';').next()?;
    let forms = [(&b"text/event-stream"[..], Form::Events), (b"application/json", Form::Document)];
    let is_kind = |(name, _): &(&[u8], Form)| kind.trim_ascii().eq_ignore_ascii_case(name);
    forms.into_iter().find(is_kind).map(|(_, form)| form)
}

// === impl TokenMetrics ===

impl TokenMetrics {
    /// All of them, to be taken off the page.
    pub(super) fn collectors(&self) -> Vec<Box<dyn Collector>> {
        vec![
            Box::new(self.first_token.clone()),
            Box::new(self.per_output_token.clone()),
            Box::new(self.output.clone()),
            Box::new(self.prompt.clone()),
        ]
    }

    /// Registers the metrics of one API.
    ///
    /// # Errors
    /// If an API of that name is registered already.
    pub fn register(registry: &Registry, api: Option<&str>) -> prometheus::Result<Self> {
        let histogram = |name: &str, help: &str, buckets: &[f64]| {
            let opts = HistogramOpts::new(name, help).const_labels(api_label(api));
            let histogram = Histogram::with_opts(opts.buckets(buckets.to_vec()))?;
            registry.register(Box::new(histogram.clone()))?;
            Ok::<_, prometheus::Error>(histogram)
        };
        let counter = |name: &str, help: &str| {
            let counter =
                IntCounter::with_opts(Opts::new(name, help).const_labels(api_label(api)))?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        Ok(Self {
            first_token: histogram(
                metric::TIME_TO_FIRST_TOKEN_SECONDS,
                "From a request's arrival to the first token of its stream.",
                &LATENCY_BUCKETS_S,
            )?,
            per_output_token: histogram(
                metric::TIME_PER_OUTPUT_TOKEN_SECONDS,
                "Mean time between two tokens of a stream.",
                &PER_TOKEN_BUCKETS_S,
            )?,
            output: counter(metric::OUTPUT_TOKENS, "Tokens of answers.")?,
            prompt: counter(metric::PROMPT_TOKENS, "Tokens of questions, where answers say them.")?,
        })
    }

    /// Counts an answer to a request that came at `arrived`.
    pub fn count(&self, tokens: &Tokens, arrived: Instant) {
        self.prompt.inc_by(tokens.prompt.unwrap_or(0));
        self.output.inc_by(tokens.output.unwrap_or(0));
        if let Some((first, _)) = tokens.between {
            self.first_token.observe(first.saturating_duration_since(arrived).as_secs_f64());
        }
        if let Some(seconds) = tokens.seconds_per_output_token() {
            self.per_output_token.observe(seconds);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderName;

    #[test]
    fn only_what_can_be_read_is_read() {
        for (kind, encoding, expected) in [
            ("text/event-stream", None, Some(Form::Events)),
            ("Text/Event-Stream; charset=utf-8", None, Some(Form::Events)),
            ("application/json", None, Some(Form::Document)),
            ("application/json", Some("identity"), Some(Form::Document)),
            ("application/json", Some("gzip"), None),
            ("application/jsonl", None, None),
            ("text/html", None, None),
            ("", None, None),
        ] {
            let said: [(HeaderName, Option<&str>); 2] =
                [(CONTENT_TYPE, Some(kind)), (CONTENT_ENCODING, encoding)];
            let said = said.into_iter().filter_map(|(name, said)| Some((name, said?)));
            assert_eq!(form(&said.collect()), expected, "{kind} {encoding:?}");
        }
        assert_eq!(form(&Fields::default()), None);
    }
}
