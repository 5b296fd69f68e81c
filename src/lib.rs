//! migration-warden.
