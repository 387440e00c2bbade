//! `tidegate up`, `demo` and `top` as somebody at a shell meets them: whole trees of processes.

mod cold;
mod demo;
mod deploy;
mod digits;
mod faults;
mod metric;
mod mistakes;
mod observe;
mod queue;
mod replace;
mod rollout;
mod scale;
mod stop;
mod text;
mod top;
