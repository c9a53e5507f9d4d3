//! The life of a server process: open, load, register, serve, stop.

use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use shaddock_cluster::direct::DirectCluster;
use shaddock_cluster::master_link::{MasterClient, MasterClientSettings, Process};
use shaddock_cluster::{Cluster, Instant, Member, Members, Secret, Settings as ClusterSettings};
use shaddock_config::{Config, ServerEntry, ServerTypeSettings};
use shaddock_engine::Cache;
use shaddock_wire::dictionary::Dictionary;
use shaddock_wire::protobuf::Protos;
use shaddock_wire::protocol::{Limits, Protocol};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::channel::Channels;
use crate::control::Orders;
use crate::error::ServerError;
use crate::host::PluginHost;
use crate::metrics::Metrics;
use crate::plugins::Plugins;
use crate::roster::{Roster, info};
use crate::server::{Loaded, Server};
use crate::service::Peers;
use crate::session::Sessions;
use crate::throttle::Throttle;
use crate::{admin, listener, load};

/// How long calls under way may take when the server stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

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
    let master = connect(&options, &server, &admin_port, &member, &stop).await?;
    let cluster = match prepare(&options, &server, &member, master.watch()).await {
        Ok(cluster) => cluster,
        Err(error) => {
            master.report_failed(&error.to_string());
            master.close().await;
            return Err(error);
        }
    };
    let tasks = TaskTracker::new();
    tasks.spawn(follow(Arc::clone(&server), master.watch(), stop.clone()));
    tasks.spawn(admin::serve(Arc::clone(&server), admin_port, stop.clone()));
    if let Some(port) = client_port {
        let connections_max = config.connections_max(entry);
        tasks.spawn(listener::accept(Arc::clone(&server), port, connections_max, stop.clone()));
    }
    tasks.close();
    master.report_ready();
    tracing::info!(id = %server.info.id, server_type = %server.info.server_type, "server ready");
    stop.cancelled().await;
    shut_down(&server, &tasks, &cluster, &master).await;
    Ok(())
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

pub(crate) fn new_server(
    config: &Config,
    entry: &ServerEntry,
    member: &Member,
) -> Result<Server, ServerError> {
    let settings = config.app_for(&entry.server_type).clone();
    let id = Arc::clone(&member.id);
    Ok(Server {
        info: Arc::new(info(member)),
        sessions: Sessions::new(id),
        channels: Channels::new(settings.channel.clone()),
        roster: Roster::new(settings.routers.clone()),
        settings,
        metrics: Metrics::new()?,
        is_hanging_up: AtomicBool::new(false),
        failures: Throttle::new(),
        broken_calls: Throttle::with_lines_max(1),
        broken_routes: Throttle::with_lines_max(1),
        tasks: TaskTracker::new(),
        loaded: OnceLock::new(),
        cluster: OnceLock::new(),
        started: Instant::now(),
    })
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
    members: watch::Receiver<Arc<Members>>,
) -> Result<Arc<DirectCluster>, ServerError> {
    let config = &options.config;
    let host = Arc::new(PluginHost(Arc::clone(server)));
    let plugins = load::plugins(config, &member.server_type, &options.cache, host).await?;
    let protocol = Arc::new(protocol(config, &server.settings, &plugins)?);
    let _ = server.loaded.set(Loaded { plugins, protocol });
    // the link to the master carries little, and that at once
    let buffer = Duration::from_millis(server.settings.rpc.buffer_ms);
    let settings = ClusterSettings { buffer, ..cluster_settings(&server.settings) };
    let service = Arc::new(Peers::new(Arc::clone(server)));
    let secret = options.secret.clone();
    let cluster =
        DirectCluster::start(settings, secret, Arc::clone(member), service, members.clone()).await?;
    let cluster = Arc::new(cluster);
    let _ = server.cluster.set(Arc::clone(&cluster) as Arc<dyn Cluster>);
    tell_members(server, &members.borrow());
    for plugin in server.plugins().map(Plugins::own).unwrap_or_default() {
        let started = plugin.start().await;
        started.map_err(|reason| ServerError::Start { plugin: plugin.name().name.to_string(), reason })?;
    }
    Ok(cluster)
}

/// What this server's clients speak.
pub(crate) fn protocol(
    config: &Config,
    settings: &ServerTypeSettings,
    plugins: &Plugins,
) -> Result<Protocol, ServerError> {
    let connector = &settings.connector;
    let broken = |error: shaddock_wire::WireError| ServerError::Protocol(error.to_string());
    let dictionary = connector
        .use_dict
        .then(|| Dictionary::new(plugins.routes().map(str::to_owned), &config.dictionary).map_err(broken));
    let protos = connector
        .use_protobuf
        .then(|| Protos::parse(&config.client_protos, &config.server_protos).map_err(broken));
    Ok(Protocol {
        heartbeat: connector.heartbeat_s.map(Duration::from_secs),
        heartbeat_timeout: connector.heartbeat_timeout_s.map(Duration::from_secs),
        dictionary: dictionary.transpose()?,
        protos: protos.transpose()?,
        limits: Limits {
            handshake_body_bytes_max: connector.handshake_body_bytes_max,
            body_bytes_max: connector.body_bytes_max,
        },
    })
}

/// Passes changes of the membership on until `stop`.
async fn follow(server: Arc<Server>, mut members: watch::Receiver<Arc<Members>>, stop: CancellationToken) {
    loop {
        let current = Arc::clone(&members.borrow_and_update());
        tell_members(&server, &current);
        let changed = tokio::select! {
            () = stop.cancelled() => return,
            changed = members.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
    }
}

/// The roster first: a route function may only choose from what it was told.
fn tell_members(server: &Server, members: &Members) {
    server.roster.update(members);
    if let Ok(plugins) = server.plugins() {
        for (server_type, plugin) in plugins.routed_types() {
            plugin.set_servers(server_type, server.roster.of_type(server_type));
        }
    }
}

/// Ends everything in the order in which nothing is cut off that still could finish.
async fn shut_down(server: &Server, tasks: &TaskTracker, cluster: &DirectCluster, master: &MasterClient) {
    if tokio::time::timeout(DRAIN_TIMEOUT, tasks.wait()).await.is_err() {
        tracing::warn!(connections = server.metrics.connections.get(), "connections are cut off");
    }
    server.tasks.close();
    if tokio::time::timeout(DRAIN_TIMEOUT, server.tasks.wait()).await.is_err() {
        tracing::warn!(calls = server.tasks.len(), "calls for other servers are cut off");
    }
    for plugin in server.plugins().map(Plugins::own).unwrap_or_default() {
        if let Err(error) = plugin.stop().await {
            tracing::warn!(plugin = %plugin.name().name, %error, "stop failed");
        }
    }
    master.report_leaving();
    cluster.close().await;
    master.close().await;
    tracing::info!(id = %server.info.id, "server stopped");
}
