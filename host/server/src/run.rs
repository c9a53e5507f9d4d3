//! The life of a server process: open, load, register, serve, stop.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use shaddock_cluster::direct::DirectCluster;
use shaddock_cluster::master_link::{MasterClient, MasterClientSettings, Process};
use shaddock_cluster::{Cluster, Member, Members, Secret, Settings as ClusterSettings};
use shaddock_config::{Config, ServerEntry, ServerTypeSettings};
use shaddock_engine::Cache;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::control::Orders;
use crate::error::ServerError;
use crate::host::PluginHost;
use crate::load::Loader;
use crate::rollout::{Rollout, Source};
use crate::roster::info;
use crate::server::Server;
use crate::service::Peers;
use crate::stop::Stopping;
use crate::{admin, crons, listener};

/// What a server process is started with.
#[derive(Debug)]
pub struct ServerOptions {
    /// The whole configuration.
    pub config: Arc<Config>,
    /// Which server of servers.json to be.
    pub id: String,
    /// The cluster's secret, made by the master.
    pub secret: Secret,
    /// Where compiled plugins are.
    pub cache: Cache,
    /// The program `shaddock`, which compiles what the cache does not have.
    pub program: PathBuf,
}

/// Runs a server until `stop` is cancelled or the master says stop; returns when it has ended in good order.
///
/// # Errors
/// Why it could not start: a port is taken, a plugin does not load, the master cannot be reached. The master
/// has been told, if it was reached.
pub async fn run(options: ServerOptions, stop: CancellationToken) -> Result<(), ServerError> {
    let config = Arc::clone(&options.config);
    let entry = config.server(&options.id).ok_or_else(|| ServerError::UnknownServer(options.id.clone()))?;
    let admin_port = admin::bind(entry.admin_port.unwrap_or(0)).await?;
    let client_port = client_port(&config, entry)?;
    let member = Arc::new(member(entry));
    let server = Arc::new(new_server(&config, entry, &member)?);
    let master = Arc::new(connect(&options, &server, &admin_port, &member, &stop).await?);
    let _ = server.logins.master.set(Arc::clone(&master));
    let cluster = match prepare(&options, &server, &member, &master).await {
        Ok(cluster) => cluster,
        Err(error) => {
            master.report_failed(&error.to_string());
            master.close().await;
            return Err(error);
        }
    };
    let (tasks, closing) = (TaskTracker::new(), CancellationToken::new());
    // The cluster's list, and not the master's: what is listed can be reached.
    let following = tokio::spawn(follow(Arc::clone(&server), cluster.watch()));
    tasks.spawn(admin::serve(Arc::clone(&server), admin_port, closing.clone()));
    if let Some(port) = client_port {
        let connections_max = config.connections_max(entry);
        tasks.spawn(listener::accept(Arc::clone(&server), port, connections_max, closing.clone()));
    }
    start_clocks(&config, &server, &tasks, &closing);
    {
        let (server, closing) = (Arc::clone(&server), closing.clone());
        tasks.spawn(async move { server.watch_versions(closing).await });
    }
    master.report_ready();
    tracing::info!(id = %server.info.id, server_type = %server.info.server_type, "server ready");
    let all = config.servers.iter().map(|entry| entry.id.clone()).collect();
    tasks.spawn(Arc::clone(&server).tell_server_events(cluster.watch(), all, closing.clone()));
    tasks.close();
    stop.cancelled().await;
    let end =
        Stopping { server: &server, tasks: &tasks, closing: &closing, cluster: &cluster, master: &master };
    end.run().await;
    following.abort();
    Ok(())
}

/// Crons, timers and game loops of the plugins.
fn start_clocks(config: &Config, server: &Arc<Server>, tasks: &TaskTracker, closing: &CancellationToken) {
    crons::start(config, server, tasks, closing);
    tasks.spawn(Arc::clone(server).run_timers(closing.clone()));
    for plugin in server.own_plugins() {
        let entry = config.plugins.iter().find(|entry| *entry.name == *plugin.name().name);
        if let Some(hz) = entry.and_then(|entry| entry.tick_hz) {
            let name = Arc::clone(&plugin.name().name);
            tasks.spawn(Arc::clone(server).run_ticks(name, hz, closing.clone()));
        }
    }
}

fn client_port(config: &Config, entry: &ServerEntry) -> Result<Option<TcpListener>, ServerError> {
    let Some(port) = entry.client_port.filter(|_| entry.frontend) else { return Ok(None) };
    listener::bind(SocketAddr::new(config.listen_address(entry), port)).map(Some)
}

pub(crate) fn member(entry: &ServerEntry) -> Member {
    Member {
        id: entry.id.as_str().into(),
        server_type: entry.server_type.as_str().into(),
        host: entry.host.clone(),
        port: entry.port,
        frontend: entry.frontend,
        fields: entry.fields.clone(),
    }
}

/// A server as the configuration has it.
pub(crate) fn new_server(
    config: &Config,
    entry: &ServerEntry,
    member: &Member,
) -> Result<Server, ServerError> {
    Server::new(Arc::new(info(member)), config.app_for(&entry.server_type).clone())
}

async fn connect(
    options: &ServerOptions,
    server: &Arc<Server>,
    admin_port: &TcpListener,
    member: &Arc<Member>,
    stop: &CancellationToken,
) -> Result<MasterClient, ServerError> {
    let config = &options.config;
    let tokens = config.admin_tokens.as_ref();
    let settings = MasterClientSettings {
        cluster: cluster_settings(&server.settings),
        host: config.master.host.clone(),
        port: config.master.port,
        secret: options.secret.clone(),
        token: tokens.and_then(|tokens| tokens.get(&*member.server_type).cloned()),
        own: Arc::clone(member),
        process: Process {
            pid: std::process::id(),
            admin_port: admin_port.local_addr().ok().map(|address| address.port()),
        },
    };
    let orders = Orders { server: Arc::clone(server), stop: stop.clone() };
    Ok(MasterClient::connect(settings, Arc::new(orders)).await?)
}

fn cluster_settings(settings: &ServerTypeSettings) -> ClusterSettings {
    ClusterSettings {
        message_bytes_max: settings.rpc.message_bytes_max,
        pending_calls_max: settings.rpc.pending_max,
        connecting_calls_max: settings.rpc.pending_max,
        ..ClusterSettings::default()
    }
}

/// Loads the plugins, joins the cluster, starts the plugins.
async fn prepare(
    options: &ServerOptions,
    server: &Arc<Server>,
    member: &Arc<Member>,
    master: &Arc<MasterClient>,
) -> Result<Arc<DirectCluster>, ServerError> {
    let config = &options.config;
    let host = Arc::new(PluginHost(Arc::clone(server)));
    let loader = Loader::new(Arc::clone(config), Arc::clone(member), host)?;
    let source = Source { cache: options.cache.clone(), program: options.program.clone() };
    let (rollout, loaded) = Rollout::start(loader, source, Arc::clone(master), server).await?;
    server.run(loaded);
    let _ = server.rollout.set(rollout);
    // the link to the master carries little, and that at once
    let buffer = Duration::from_millis(server.settings.rpc.buffer_ms);
    let settings = ClusterSettings { buffer, ..cluster_settings(&server.settings) };
    let service = Arc::new(Peers::new(Arc::clone(server)));
    let secret = options.secret.clone();
    let members = master.watch();
    let cluster =
        DirectCluster::start(settings, secret, Arc::clone(member), service, members.clone()).await?;
    let cluster = Arc::new(cluster);
    let _ = server.cluster.set(Arc::clone(&cluster) as Arc<dyn Cluster>);
    server.tell_members(&members.borrow());
    for plugin in server.own_plugins() {
        let started = plugin.start().await;
        started.map_err(|reason| ServerError::Start { plugin: plugin.name().name.to_string(), reason })?;
    }
    Ok(cluster)
}

/// Passes changes of the membership on, to the very end: others leave while this server does.
async fn follow(server: Arc<Server>, mut members: watch::Receiver<Arc<Members>>) {
    loop {
        let current = Arc::clone(&members.borrow_and_update());
        server.tell_members(&current);
        if members.changed().await.is_err() {
            return;
        }
    }
}
