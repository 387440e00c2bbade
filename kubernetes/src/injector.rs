//! The sidecar injector: a mutating admission webhook.
//!
//! - `review`: what the API server asks and what it is answered. Pure;
//! - `inject`: a pod → the patch that gives it a sidecar, or why it is left alone. Pure;
//! - `model`: which container is the model, and where it listens. Pure;
//! - `obstacle`: what stands against a sidecar in a pod. Pure;
//! - `caution`: what a pod with a sidecar says that will not go as meant. Pure;
//! - `sidecar`: the sidecar's container. Pure;
//! - `certificate`: certificates from files, or made here; `own`: those kept in a Secret, renewed, and
//!   made known to the API server;
//! - `server`: HTTPS.

mod caution;
mod certificate;
mod inject;
mod model;
mod obstacle;
mod own;
mod review;
mod server;
mod sidecar;

pub(crate) use caution::cautions;
pub use certificate::{CertificateError, Certificates, Made, make};
pub use inject::{Injection, inject};
pub use own::{Own, OwnError, OwnSettings};
pub use review::{Answer, By, OUTCOMES, answer};
pub use server::{Injector, serve};
pub use sidecar::{InjectSettings, Mode};
