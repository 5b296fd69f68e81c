//! What keeps runs from being written at all, told once and for as long as it lasts.

use std::sync::{Arc, Mutex, PoisonError};

use crate::server::admin::Status;

/// Why no run can be written. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Trouble(Arc<Mutex<Option<String>>>);

impl Trouble {
    /// How that looks to who asks: reviews go on all the same.
    #[must_use]
    pub fn status(&self) -> Status {
        let why = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*why {
            Some(why) => Status::Warning(why.clone()),
            None => Status::Ok(String::new()),
        }
    }

    pub(super) fn is(&self, why: &str) {
        if self.set(Some(why.to_owned())) {
            tracing::warn!("{why}");
        }
    }

    pub(super) fn over(&self) {
        if self.set(None) {
            tracing::info!("runs are written again");
        }
    }

    /// Whether that is news.
    fn set(&self, why: Option<String>) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = *known != why;
        *known = why;
        is_news
    }
}
