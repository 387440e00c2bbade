//! Names that other programs rely on: metrics, headers, admin paths.

/// Group and version of the `InferenceApi` document.
pub const API_VERSION: &str = "tidegate.dev/v1alpha1";
/// Kind of the `InferenceApi` document.
pub const API_KIND: &str = "InferenceApi";

/// Metric names, in base units, counters with `_total`.
pub mod metric {
    /// Integral over time of requests running at the upstream, in request-seconds.
    pub const CONCURRENCY_SECONDS: &str = "tidegate_concurrency_seconds_total";
    /// Integral over time of requests waiting in the queue, in request-seconds.
    pub const QUEUE_SECONDS: &str = "tidegate_queue_seconds_total";
    /// Requests running at the upstream now.
    pub const REQUESTS_IN_FLIGHT: &str = "tidegate_requests_in_flight";
    /// Requests waiting in the queue now.
    pub const REQUESTS_QUEUED: &str = "tidegate_requests_queued";
    /// How many requests may run at once.
    pub const CONCURRENCY_LIMIT: &str = "tidegate_concurrency_limit";
    /// How many requests may wait at once.
    pub const QUEUE_CAPACITY: &str = "tidegate_queue_capacity";
    /// Requests ended, by `code` and `reason`.
    pub const REQUESTS: &str = "tidegate_requests_total";
    /// How long requests waited before they ran, were refused or left.
    pub const QUEUE_WAIT_SECONDS: &str = "tidegate_queue_wait_seconds";
    /// From the request's arrival to the upstream's response head.
    pub const TIME_TO_FIRST_BYTE_SECONDS: &str = "tidegate_time_to_first_byte_seconds";
    /// From the request's arrival to the end of its response.
    pub const REQUEST_DURATION_SECONDS: &str = "tidegate_request_duration_seconds";
    /// From dispatch to the upstream to the end of its response.
    pub const UPSTREAM_DURATION_SECONDS: &str = "tidegate_upstream_duration_seconds";
    /// The histogram's sum, in seconds.
    pub const UPSTREAM_DURATION_SECONDS_SUM: &str = "tidegate_upstream_duration_seconds_sum";
    /// The histogram's count.
    pub const UPSTREAM_DURATION_SECONDS_COUNT: &str = "tidegate_upstream_duration_seconds_count";
    /// 1 while the proxy is ready for traffic, else 0.
    pub const READY: &str = "tidegate_ready";
    /// 1 while the proxy drains, else 0.
    pub const DRAINING: &str = "tidegate_draining";
    /// From a request's arrival to the first token of its stream.
    pub const TIME_TO_FIRST_TOKEN_SECONDS: &str = "tidegate_time_to_first_token_seconds";
    /// Mean time between two tokens of a stream.
    pub const TIME_PER_OUTPUT_TOKEN_SECONDS: &str = "tidegate_time_per_output_token_seconds";
    /// Tokens of answers.
    pub const OUTPUT_TOKENS: &str = "tidegate_output_tokens_total";
    /// Tokens of questions, where answers say them.
    pub const PROMPT_TOKENS: &str = "tidegate_prompt_tokens_total";
    /// Connections that clients hold now.
    pub const CONNECTIONS: &str = "tidegate_connections";
    /// Connections that found no place.
    pub const CONNECTIONS_REFUSED: &str = "tidegate_connections_refused_total";
    /// Connections closed for what they said, or did not say, of their client (PROXY protocol).
    pub const PROXY_PROTOCOL_REFUSED: &str = "tidegate_proxy_protocol_refused_total";
    /// Lines of the access log that were dropped, as their reader was too slow.
    pub const ACCESS_LOG_DROPPED: &str = "tidegate_access_log_dropped_total";
    /// Handshakes of TLS that failed, by `side` and `reason`.
    pub const TLS_HANDSHAKE_FAILURES: &str = "tidegate_tls_handshake_failures_total";
    /// When a certificate in force ends, in seconds since 1970, by `certificate`.
    pub const TLS_CERTIFICATE_EXPIRY: &str = "tidegate_tls_certificate_expiry_timestamp_seconds";
    /// Files of settings, documents, keys or certificates that changed and could not be used; what
    /// was stays in force.
    pub const RELOAD_FAILURES: &str = "tidegate_reload_failures_total";
    /// Look-ups of endpoints' names that failed; the endpoints stay what they were.
    pub const LOOKUP_FAILURES: &str = "tidegate_endpoint_lookup_failures_total";
    /// Always 1; the labels say which build runs.
    pub const BUILD_INFO: &str = "tidegate_build_info";
    /// How long an API at zero took until its first endpoint could serve.
    pub const COLD_START_SECONDS: &str = "tidegate_cold_start_seconds";
    /// Second tries beside a slow first, by `outcome`.
    pub const HEDGES: &str = "tidegate_hedges_total";
    /// Requests of an API at zero that went to another.
    pub const FALLBACKS: &str = "tidegate_fallbacks_total";
    /// Endpoints of an API known to a gateway, by `state`.
    pub const ENDPOINTS: &str = "tidegate_endpoints";
    /// Endpoints taken out, by `reason`.
    pub const ENDPOINT_EJECTIONS: &str = "tidegate_endpoint_ejections_total";
    /// How many of a hundred requests of an API each of its versions gets now, by `version`.
    pub const TRAFFIC_WEIGHT: &str = "tidegate_traffic_weight";
    /// From dispatch to the upstream to the end of its response, in finer steps, of an API that is
    /// compared with other versions.
    pub const VERSION_DURATION_SECONDS: &str = "tidegate_version_duration_seconds";
    /// Its buckets.
    pub const VERSION_DURATION_SECONDS_BUCKET: &str = "tidegate_version_duration_seconds_bucket";
    /// Requests of an API that were to be copied to its shadow, by `outcome`.
    pub const SHADOW_REQUESTS: &str = "tidegate_shadow_requests_total";
    /// 1 once a gateway has seen everything of its cluster.
    pub const DISCOVERY_SYNCED: &str = "tidegate_discovery_synced";
    /// Lists and watches of the API server that failed, by `what` and `code`.
    pub const DISCOVERY_FAILURES: &str = "tidegate_discovery_failures_total";
    /// InferenceApis of a gateway's cluster, by `state`: `served`, `kept` or `refused`.
    pub const DISCOVERY_APIS: &str = "tidegate_discovery_apis";
    /// Resident memory of the process, in bytes.
    pub const PROCESS_RESIDENT_MEMORY_BYTES: &str = "process_resident_memory_bytes";
}

/// Metric label names.
pub mod label {
    /// The API's name, on a gateway's metrics.
    pub const API: &str = "api";
    /// The file of a certificate.
    pub const CERTIFICATE: &str = "certificate";
    /// Who is at the other end: `client` or `endpoint`.
    pub const SIDE: &str = "side";
    /// What an endpoint is up to: `starting`, `ready`, `draining` or `ejected`.
    pub const STATE: &str = "state";
    /// What was asked of an API server: the plural of its kind.
    pub const WHAT: &str = "what";
    /// The response's status code.
    pub const CODE: &str = "code";
    /// Why the proxy answered by itself; empty where the upstream answered.
    pub const REASON: &str = "reason";
    /// One of the APIs that share an API's requests.
    pub const VERSION: &str = "version";
    /// The upper end of a histogram's bucket.
    pub const LE: &str = "le";
    /// What became of a copy.
    pub const OUTCOME: &str = "outcome";
    /// On a pod: `true` where it has got a sidecar.
    pub const INJECTED: &str = "tidegate.dev/injected";
}

/// Annotations of pods and Deployments.
pub mod annotation {
    /// On a Deployment: the least replicas. Zero lets it sleep.
    pub const MIN_REPLICAS: &str = "tidegate.dev/min-replicas";
    /// On a Deployment: the most replicas.
    pub const MAX_REPLICAS: &str = "tidegate.dev/max-replicas";
    /// On a Deployment: the rule by which it is scaled.
    pub const POLICY: &str = "tidegate.dev/policy";
    /// On a Deployment: which share of its replicas' places is to be used.
    pub const UTILIZATION: &str = "tidegate.dev/utilization";
    /// On a Deployment: the time over which its load is averaged.
    pub const STABLE_WINDOW: &str = "tidegate.dev/stable-window";
    /// On a Deployment: how long its last replica stays without a request.
    pub const SCALE_TO_ZERO_GRACE: &str = "tidegate.dev/scale-to-zero-grace";
    /// On a Deployment: the host of its requests.
    pub const HOST: &str = "tidegate.dev/host";
    /// On a Deployment: what the paths of its requests begin with.
    pub const PATH: &str = "tidegate.dev/path";
    /// On a Deployment: whether that is taken off before the model sees it.
    pub const STRIP_PREFIX: &str = "tidegate.dev/strip-prefix";
    /// On a Deployment: the longest a request is held while it comes up from zero.
    pub const COLD_START_TIMEOUT: &str = "tidegate.dev/cold-start-timeout";
    /// On a Deployment: whether the number of its replicas is left alone.
    pub const PAUSED: &str = "tidegate.dev/paused";
    /// `true` or `false`: whether the pod gets a sidecar. As a label it means the same.
    pub const INJECT: &str = "tidegate.dev/inject";
    /// Which container is the model.
    pub const CONTAINER: &str = "tidegate.dev/container";
    /// Where the model listens: a number, or the name of one of its ports.
    pub const PORT: &str = "tidegate.dev/port";
    /// How many requests the model is given at once. It can change while the pod runs.
    pub const CONCURRENCY_LIMIT: &str = "tidegate.dev/concurrency-limit";
    /// How many requests may wait at the sidecar. It can change while the pod runs.
    pub const QUEUE_CAPACITY: &str = "tidegate.dev/queue-capacity";
    /// How many bytes of bodies may be held for those. It can change while the pod runs.
    pub const QUEUE_BYTES: &str = "tidegate.dev/queue-bytes";
    /// The longest a request waits. It can change while the pod runs.
    pub const QUEUE_TIMEOUT: &str = "tidegate.dev/queue-timeout";
}

/// HTTP header names, in lower case.
pub mod header {
    /// Why the proxy refused or failed a request.
    pub const REASON: &str = "x-tidegate-reason";
    /// How long a request waited for its API to come up from zero, in milliseconds.
    pub const COLD_START: &str = "x-tidegate-cold-start";
    /// The API that has answered instead of one at zero.
    pub const FALLBACK: &str = "x-tidegate-fallback";
    /// How many endpoints a request was sent to.
    pub const ATTEMPTS: &str = "x-tidegate-attempts";
    /// On an answer to a request that was split: the API of the version that gave it.
    pub const VERSION: &str = "x-tidegate-version";
    /// On a copy of a request, whose answer nobody sees: `true`.
    pub const SHADOW: &str = "x-tidegate-shadow";
    /// A gateway's word to a sidecar: refuse with `queue-full` rather than to let the request wait.
    pub const NO_WAIT: &str = "x-tidegate-no-wait";
    /// How urgent a request is: `critical`, `standard` or `sheddable`.
    pub const PRIORITY: &str = "x-tidegate-priority";
    /// How long the request's client waits for an answer, in milliseconds.
    pub const REQUEST_TIMEOUT_MS: &str = "x-request-timeout-ms";
    /// The request's identity, kept if well-formed, else made.
    pub const REQUEST_ID: &str = "x-request-id";
    /// ORCA: the form in which a request asks for the load, `text` or `json`.
    pub const LOAD_METRICS_FORMAT: &str = "endpoint-load-metrics-format";
    /// ORCA: the load, on an answer.
    pub const LOAD_METRICS: &str = "endpoint-load-metrics";
}

/// What a stream of events that began before the model's answer says of it.
pub mod event {
    /// The event's name.
    pub const ERROR: &str = "error";
    /// Its reason where the model has answered, but with no stream of events.
    pub const OTHER_ANSWER: &str = "other-answer";
}

/// Paths on admin ports.
pub mod path {
    /// 200 while the process is alive.
    pub const HEALTHZ: &str = "/healthz";
    /// 200 while the process may be sent traffic, else 503.
    pub const READYZ: &str = "/readyz";
    /// Prometheus text format.
    pub const METRICS: &str = "/metrics";
    /// Sidecar and gateway: its query, once for each name, for the series of these names only.
    pub const METRICS_NAME: &str = "name[]";
    /// What is in force: settings and where they come from, and what is followed in a file, as JSON.
    pub const CONFIG: &str = "/config";
    /// Gateway: what each endpoint is up to, and why, as JSON.
    pub const ENDPOINTS: &str = "/endpoints";
    /// Sidecar: is answered as soon as a request would find a free slot, or after five seconds, as JSON:
    /// `held`, `limit`, whether it `waited`, and a `pass` with which a request goes first for a moment.
    pub const ROOM: &str = "/room";
    /// Its query: for how many microseconds the request has waited that needs the slot.
    pub const ROOM_WAITED: &str = "waited_us";
    /// Sidecar and gateway: `GET /drain/{token}` drains, and is answered when that is done.
    pub const DRAIN: &str = "/drain/";
    /// Autoscaler: `POST /wake/{api}` asks for a tick at once.
    pub const WAKE: &str = "/wake/";
    /// Autoscaler: `POST /refresh/{api}` exchanges the API's replicas for new ones like them.
    pub const REFRESH: &str = "/refresh/";
    /// Autoscaler: what it sees and what it decided, as JSON.
    pub const STATUS: &str = "/status";
}

/// Names of container ports on Kubernetes, at most 15 characters long.
pub mod port {
    /// The sidecar's port that requests come to.
    pub const TRAFFIC: &str = "tidegate";
    /// The admin port of a sidecar or a gateway.
    pub const ADMIN: &str = "tidegate-admin";
}
