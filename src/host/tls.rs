//! What the server shows on its connections: certificates from files or of its own, taken into use while it runs.
//!
//! What is in a certificate, and how one is made, is [`crate::core::pki`]'s.

pub mod issue;
pub mod live;
pub mod reload;
