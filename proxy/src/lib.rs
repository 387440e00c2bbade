//! Tidegate's data plane: a sidecar before one model, a gateway before many sidecars.
//!
//! # Life of a request
//!
//! 1. [`listen`]: a worker thread accepts the connection; it stays on that thread. [`connection`]
//!    serves it ([`h2_connection`] what begins with HTTP/2's preface), reading from [`inbound`] over a [`wire`] (a [`socket`]) what [`head`] and [`framing`] understand.
//!    [`proxy_protocol`]: whose connection it is, where a balancer says so. [`redirect`] sends on what is to come over HTTPS.
//!    [`secured`]: the same where [`tls`] is spoken.
//!    [`hop`]: whether the client's word about earlier hops counts.
//! 2. [`stack`]: the path itself, one function that names every step below.
//! 3. [`identity`]: the request's id and trace. [`guard`]: refuses what must not be let in.
//! 4. [`policy::route`]: finds the API ([`service`]), and [`split`] its version where it has some. In a sidecar
//!    there is one. [`classify`]: whose request it
//!    is, how urgent, how dear, and until when its client waits.
//! 5. [`read_ahead`]: takes a bounded part of the [`request_body`]; [`model_route`] finds the API by the
//!    model that it names.
//!    [`shadow`] sends copies of it to an API that is tried out.
//! 6. [`dispatch`], with [`keep_alive`] for who waits for an API at zero: [`gate`] over [`policy::admission`]: a slot at once, a place in line, or a refusal.
//! 7. [`forwarded`]: tells the next hop of this one. [`forward`]: over a connection of [`upstream`] ([`outbound`]), kept in a [`pool`], to the
//!    slot's [`endpoint`]; an upgraded connection goes on in [`tunnel`].
//! 8. [`orca`]: the load, for a balancer that asks. [`body`]: streams the answer back. Slot, connection and books end with it.
//! 9. [`account`] closes the books into [`metrics`] and [`access_log`]; [`respond`] words every refusal.
//!
//! Beside the path, on a thread of their own: [`admin`], [`health`] with [`probe`], [`wake`],
//! [`reload`]; and what a gateway is [`following`]: [`documents`] and [`endpoints_file`], or a cluster
//! (`cluster`), for its [`catalog`] and [`discover`] with [`names`]; and the certificates of [`tls`]. [`app`] wires all of it from [`config`]; [`drain`] ends it.

pub mod access;
pub mod access_log;
pub mod account;
pub mod admin;
pub mod affinity;
pub mod app;
pub mod body;
pub mod bounded_file;
pub mod catalog;
pub mod classify;
pub mod clock;
#[cfg(feature = "kubernetes")]
pub mod cluster;
pub mod complaints;
pub mod config;
pub mod connection;
pub mod connections;
pub mod control;
pub mod discover;
pub mod dispatch;
pub mod documents;
pub mod drain;
pub mod endpoint;
pub mod endpoints_file;
pub mod error;
pub mod fields;
pub mod file_limit;
pub mod file_watch;
pub mod following;
pub mod forward;
pub mod forwarded;
pub mod framing;
pub mod gate;
pub mod grpc;
pub mod guard;
pub mod h2_connection;
pub mod h2_head;
pub mod h2_inbound;
pub mod h2_outbound;
pub mod hangup;
pub mod head;
pub mod health;
pub mod hop;
pub mod hurry;
pub mod identity;
pub mod in_force;
pub mod inbound;
pub mod incoming;
pub mod interim;
pub mod keep_alive;
pub mod keys;
pub mod lazy_timer;
pub mod leaving;
pub mod listen;
pub mod listeners;
pub mod message;
pub mod metrics;
pub mod model_route;
pub mod names;
pub mod orca;
pub mod outbound;
pub mod overview;
pub mod places;
pub mod policy;
pub mod pool;
pub mod probe;
pub mod proxy_protocol;
pub mod read_ahead;
pub mod redirect;
pub mod reload;
pub mod request_body;
pub mod respond;
pub mod rewrite;
pub mod room;
mod run;
pub mod secured;
pub mod service;
pub mod shadow;
pub mod socket;
pub mod split;
pub mod stack;
pub mod takeover;
pub mod threads;
pub mod tls;
pub mod tunnel;
pub mod turn_away;
pub mod upstream;
pub mod vacancy;
pub mod wake;
pub mod wire;

pub use access_log::Selection as AccessLogSelection;
pub use app::{Gateway, Server};
pub use catalog::Teller;
pub use classify::ClassifySettings;
pub use config::{
    GatewayApi, GatewayArgs, GatewaySettings, Given, SidecarArgs, SidecarSettings, Sourced,
};
pub use drain::DrainSettings;
pub use error::StartError;
pub use guard::HttpLimits;
pub use hop::HopSettings;
pub use listeners::{ListenSettings, RedirectSettings};
pub use policy::overload::QueueOrder;
pub use run::{run_gateway, run_sidecar};
pub use tls::TlsSettings;
pub use wake::WakeSettings;
