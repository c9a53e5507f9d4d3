//! Which versions of the plugins run: everything that depends on them, in one object behind one pointer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::{ArcSwapOption, Guard};
use shaddock_config::ServerTypeSettings;
use shaddock_wire::protocol::Protocol;

use crate::error::ServerError;
use crate::filters::AllFilters;
use crate::plugins::Plugins;

/// One version of every plugin, with what this server makes of them. It never changes.
#[derive(Default)]
pub(crate) struct Edition {
    pub(crate) plugins: Plugins,
    pub(crate) filters: AllFilters,
}

impl Edition {
    /// Of a server with these settings.
    pub(crate) fn new(settings: &ServerTypeSettings, plugins: Plugins) -> Result<Self, ServerError> {
        let filters = AllFilters::new(&settings.filters, &plugins)?;
        Ok(Self { plugins, filters })
    }
}

/// What a server runs at a time.
pub(crate) struct Loaded {
    pub(crate) edition: Arc<Edition>,
    /// What new clients of this frontend speak; its dictionary names the plugins' routes. A session keeps the one
    /// that it began with.
    pub(crate) protocol: Arc<Protocol>,
}

/// The pointer to what a server runs; nothing until its plugins are loaded.
#[derive(Default)]
pub(crate) struct Current {
    loaded: ArcSwapOption<Loaded>,
    /// Counts the changes of `loaded`, so that who has looked something up there can tell cheaply whether it still
    /// holds.
    serial: AtomicU64,
}

impl Current {
    /// For a short look, not to be kept: nothing is counted for it.
    pub(crate) fn look(&self) -> Guard<Option<Arc<Loaded>>> {
        self.loaded.load()
    }

    /// To be kept.
    pub(crate) fn get(&self) -> Option<Arc<Loaded>> {
        self.loaded.load_full()
    }

    /// See [`Current::set`].
    pub(crate) fn serial(&self) -> u64 {
        self.serial.load(Ordering::Acquire)
    }

    /// Changes what runs. Whoever reads the new serial number finds what it stands for, or something newer.
    pub(crate) fn set(&self, loaded: Loaded) {
        self.loaded.store(Some(Arc::new(loaded)));
        self.serial.fetch_add(1, Ordering::Release);
    }
}
