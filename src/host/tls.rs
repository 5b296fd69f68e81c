//! The TLS settings of the server, which it can replace while it runs.
//!
//! [`crate::core::pki`] reads and creates certificates; this module loads, stores and reloads them.

pub mod issue;
pub mod live;
pub mod reload;
