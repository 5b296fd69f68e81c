#![doc = "migration-warden"]
pub mod admit;
pub mod check;
pub mod cli;
pub mod config;
pub mod job;
pub mod manifest;
pub mod metrics;
mod output;
pub mod policy;
pub mod poll;
pub mod record;
pub mod render;
pub mod review;
pub mod server;
pub mod telemetry;
pub mod tls;
pub mod wire;
