//! The master of one cluster: what it holds, and its life from start to stop.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use shaddock_cluster::master_link::{MasterListener, MasterListenerSettings};
use shaddock_cluster::{ClusterError, Secret, Settings};
use shaddock_config::Config;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::deploy::{Components, Deploys, Plugins};
use crate::logins::Logins;
use crate::metrics::Metrics;
use crate::process::Launch;
use crate::table::Table;
use crate::web::{Pages, WebFile};
use crate::{MasterError, RunFile, StateDir, admin, events, http, stop, web};

/// The page that is served if master.json has no `webRoot`, as seen from the configuration directory.
const WEB_ROOT: &str = "../plugins/chat/web";

/// How long servers of a run whose master was killed may take to notice it and stop.
const LAST_RUN_END: Duration = Duration::from_secs(5);

/// What a master is started with.
pub struct MasterOptions {
    /// The cluster.
    pub config: Arc<Config>,
    /// Where secret, run files and logs go.
    pub state: StateDir,
    /// How servers are started.
    pub launch: Launch,
    /// How long servers may take until all are ready.
    pub ready_timeout: Duration,
    /// What it needs to know of components.
    pub components: Components,
    /// What the web port serves beside the application's own page, which may then be missing.
    pub files: Vec<WebFile>,
}

/// A running master.
pub struct Master {
    pub(crate) hub: Arc<Hub>,
    _claim: RunFile,
}

/// What all tasks of a master share.
pub(crate) struct Hub {
    pub(crate) config: Arc<Config>,
    pub(crate) state: StateDir,
    pub(crate) launch: Launch,
    pub(crate) ready_timeout: Duration,
    pub(crate) table: Table,
    pub(crate) logins: Logins,
    pub(crate) deploys: Deploys,
    pub(crate) metrics: Metrics,
    pub(crate) ports: Ports,
    pub(crate) started: Instant,
    /// The links; set right after the port was opened, which needs the hub.
    pub(crate) links: OnceLock<MasterListener>,
    /// Watchers of processes, HTTP ports.
    pub(crate) tasks: TaskTracker,
    /// Held by who adds servers, until their processes are in the table.
    pub(crate) adding: Mutex<()>,
    /// Cancelled when everything is about to be stopped: nothing is started any more.
    pub(crate) stopping: CancellationToken,
    /// Cancelled when a tool asks the whole cluster to stop.
    pub(crate) asked_to_stop: CancellationToken,
    /// Cancelled when everything is down; ends the HTTP ports.
    closed: CancellationToken,
}

/// Where the master listens beside its link port.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    pub(crate) web: Option<SocketAddr>,
    pub(crate) admin: SocketAddr,
}

/// The sockets of [`Ports`], opened before anything else is changed.
struct Sockets {
    web: Option<(TcpListener, Pages)>,
    admin: TcpListener,
}

impl Master {
    /// Claims the state directory, opens all ports, makes the cluster's secret. No server is started yet.
    ///
    /// # Errors
    /// [`MasterError::Claimed`] if this cluster runs already (it is not touched), [`MasterError::Leftovers`], or
    /// what cannot be opened or written.
    pub async fn start(options: MasterOptions) -> Result<Master, MasterError> {
        let MasterOptions { config, state, launch, ready_timeout, components, files } = options;
        state.create()?;
        let claim = RunFile::claim(&state.master_run_file())?;
        let servers = state.servers_gone(LAST_RUN_END).await;
        if !servers.is_empty() {
            return Err(MasterError::Leftovers { servers });
        }
        let sockets = Sockets::open(&config, files).await?;
        let deploys = Deploys::open(&config, &state, components)?;
        deploys.compile_targets().await?;
        let secret = Secret::generate()?;
        let hub = Arc::new(Hub {
            table: Table::new(&config),
            logins: Logins::default(),
            deploys,
            metrics: Metrics::new()?,
            ports: sockets
                .ports()
                .map_err(|source| MasterError::listen("adminPort", ANY_LOOPBACK, source))?,
            started: Instant::now(),
            links: OnceLock::new(),
            tasks: TaskTracker::new(),
            adding: Mutex::new(()),
            stopping: CancellationToken::new(),
            asked_to_stop: CancellationToken::new(),
            closed: CancellationToken::new(),
            config,
            state,
            launch,
            ready_timeout,
        });
        let settings = hub.listener_settings(secret.clone());
        let links = MasterListener::start(settings, Arc::new(events::Service::new(&hub))).await;
        let links = links.map_err(|error| match error {
            ClusterError::Listen { address, source } => MasterError::Listen { what: "port", address, source },
            other => other.into(),
        })?;
        let port = links.local_addr().port();
        let _ = hub.links.set(links);
        secret.save(&hub.state.secret())?;
        hub.state.set_master_address(&hub.config.master.host, port)?;
        hub.serve_http(sockets);
        tracing::info!(id = %hub.config.master.id, env = %hub.config.env, "master listening");
        Ok(Master { hub, _claim: claim })
    }

    /// Serves until `shutdown` is cancelled or a tool asks the whole cluster to stop, then stops all servers.
    pub async fn run(self, shutdown: &CancellationToken) {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = self.hub.asked_to_stop.cancelled() => {}
        }
        self.close().await;
    }

    /// Stops all servers within a bound of time and closes all ports.
    pub(crate) async fn close(self) {
        stop::everything(&self.hub).await;
        if let Some(links) = self.hub.links.get() {
            links.close().await;
        }
        self.hub.closed.cancel();
        self.hub.tasks.close();
        self.hub.tasks.wait().await;
        tracing::info!("master stopped");
    }

    /// The versions of its plugins.
    pub fn plugins(&self) -> Plugins {
        Plugins::new(&self.hub)
    }

    /// The address of the page, if one is served.
    pub fn web_url(&self) -> Option<String> {
        self.hub.web_url()
    }
}

impl Hub {
    /// The links to the servers; none only while the master's port is being opened.
    pub(crate) fn links(&self) -> Option<&MasterListener> {
        self.links.get()
    }

    pub(crate) fn web_url(&self) -> Option<String> {
        let address = self.ports.web?;
        let host = match address.ip() {
            ip if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            ip => ip,
        };
        Some(format!("http://{}/", SocketAddr::new(host, address.port())))
    }

    fn listener_settings(&self, secret: Secret) -> MasterListenerSettings {
        MasterListenerSettings {
            cluster: Settings::default(),
            host: self.config.master.host.clone(),
            port: self.config.master.port,
            secret,
            tokens: self.config.admin_tokens.clone(),
        }
    }

    fn serve_http(self: &Arc<Hub>, sockets: Sockets) {
        if let Some((listener, pages)) = sockets.web {
            self.tasks.spawn(http::serve(listener, web::router(pages), self.closed.clone()));
        }
        self.tasks.spawn(http::serve(sockets.admin, admin::router(self), self.closed.clone()));
    }
}

const ANY_LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

impl Sockets {
    async fn open(config: &Config, files: Vec<WebFile>) -> Result<Sockets, MasterError> {
        let master = &config.master;
        let listen = async |what, address: SocketAddr| {
            TcpListener::bind(address).await.map_err(|source| MasterError::listen(what, address, source))
        };
        let web = match master.web_port {
            None => None,
            Some(port) => {
                let root = match web_root(config) {
                    Err(_) if !files.is_empty() && master.web_root.is_none() => None,
                    root => Some(root?),
                };
                let host = master.web_host.unwrap_or(Ipv4Addr::LOCALHOST.into());
                Some((listen("webPort", (host, port).into()).await?, Pages { root, files }))
            }
        };
        let port = master.admin_port.unwrap_or(0);
        let admin = listen("adminPort", (Ipv4Addr::LOCALHOST, port).into()).await?;
        Ok(Sockets { web, admin })
    }

    fn ports(&self) -> std::io::Result<Ports> {
        let web = self.web.as_ref().map(|(listener, _)| listener.local_addr()).transpose()?;
        Ok(Ports { web, admin: self.admin.local_addr()? })
    }
}

fn web_root(config: &Config) -> Result<PathBuf, MasterError> {
    let named = config.master.web_root.clone().unwrap_or_else(|| WEB_ROOT.into());
    let path = config.dir.join(named);
    if path.is_dir() { Ok(path) } else { Err(MasterError::WebRoot { path }) }
}
