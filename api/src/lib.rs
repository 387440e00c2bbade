//! The contract between Tidegate's parts. No IO.
//!
//! # Layout
//!
//! - [`document`]: the checked `InferenceApi`, what the rest of the code works with.
//! - `defaults`: what holds where a document says nothing.
//! - [`annotated`]: annotations of a Deployment → `InferenceApi`.
//! - [`parse`]: text → `InferenceApi`, or a [`Report`] of all mistakes. On the way lie `tree`
//!   (YAML with lines), `conform` (the tree against the schema), `raw` (serde's mirror of the
//!   file), `check` (what a schema can't say).
//! - [`parse_all`]: the same where nothing else is read together with the file; [`dangling`] finds what
//!   the documents of several files name and don't have.
//! - [`json_schema`]: the document's schema, made of `raw`.
//! - [`endpoints`]: the file by which the autoscaler tells a gateway where replicas listen.
//! - [`names`]: metric, header and path names.
//! - [`schedule`]: at which times an API has more replicas than its load asks for.
//! - [`duration_text`]: a duration in the form that documents use.
//! - [`reason`]: why the proxy refused or failed a request.

pub mod annotated;
mod check;
mod conform;
mod defaults;
pub mod document;
pub mod endpoints;
mod key_path;
pub mod names;
mod parse;
mod quantity;
mod quote;
mod raw;
pub mod reason;
mod references;
mod report;
pub mod schedule;
mod schema;
mod tree;

pub use check::http_url;
pub use document::InferenceApi;
pub use parse::{Written, parse, parse_all, parse_written};
pub use quantity::shown as duration_text;
pub use references::{dangling, dangling_beside, dangling_fallbacks, dangling_versions, named};
pub use report::{Mistake, Report};
pub use schema::json_schema;
