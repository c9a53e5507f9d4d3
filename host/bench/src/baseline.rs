//! The bare servers that the product is compared with, each a process of its own.
//!
//! They run in the same program as the product, started again with a hidden command, so compiler, allocator and runtime
//! are the same on both sides.

mod echo;
mod fanout;

use std::io::{IsTerminal, Write, stdout};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use crate::args::{BaselineArgs, BaselineKind};
use crate::load::{Dialect, Target};

/// Serves until standard input ends, which it does when whoever started this process ends.
///
/// Prints the port as the first line. The port is a free one on loopback.
///
/// # Errors
///
/// If no port can be opened.
pub async fn baseline(args: BaselineArgs) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("opening a port")?;
    let mut out = stdout();
    writeln!(out, "{}", listener.local_addr()?.port())?;
    out.flush()?;
    if std::io::stdin().is_terminal() {
        eprintln!("serving until Ctrl-D");
    }
    let (mut stdin, mut nowhere) = (tokio::io::stdin(), tokio::io::sink());
    tokio::select! {
        served = accept(listener, args.kind) => served,
        _ = tokio::io::copy(&mut stdin, &mut nowhere) => Ok(()),
    }
}

pub(crate) async fn accept(listener: TcpListener, kind: BaselineKind) -> Result<()> {
    let members = fanout::Members::default();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                eprintln!("accepting a connection: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        stream.set_nodelay(true)?;
        // What a client does wrong ends its own connection only.
        match kind {
            BaselineKind::Echo => drop(tokio::spawn(echo::serve(stream))),
            BaselineKind::Fanout => drop(tokio::spawn(fanout::serve(stream, members.clone()))),
        }
    }
}

/// tungstenite's default of 128 KiB costs two fifths of the requests at 500 connections, and most of the memory.
const READ_BUFFER_BYTES: usize = 4096;

type WebSocket = tokio_tungstenite::WebSocketStream<TcpStream>;

fn websocket_config() -> tokio_tungstenite::tungstenite::protocol::WebSocketConfig {
    tokio_tungstenite::tungstenite::protocol::WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(64 << 10)
}

/// A bare server, running as a child process; it ends when this is dropped.
pub(crate) struct BaselineServer {
    child: Child,
    target: Target,
}

impl BaselineServer {
    /// Starts one.
    pub(crate) async fn start(kind: BaselineKind) -> Result<Self> {
        let name = match kind {
            BaselineKind::Echo => "echo",
            BaselineKind::Fanout => "fanout",
        };
        let program = std::env::current_exe().context("finding this program's own file")?;
        let mut child = Command::new(program)
            .args(["bench-baseline", name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting the bare {name} server"))?;
        let stdout = child.stdout.take().context("the bare server has no standard output")?;
        let mut line = String::new();
        let first =
            tokio::time::timeout(Duration::from_secs(10), BufReader::new(stdout).read_line(&mut line)).await;
        first.context("the bare server did not say its port in time")??;
        let port: u16 =
            line.trim().parse().with_context(|| format!("the bare {name} server said {line:?}"))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let pids = child.id().into_iter().collect();
        Ok(Self { child, target: Target { address, dialect: Dialect::Bare, pids } })
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// Ends the process and waits for it.
    pub(crate) async fn stop(mut self) {
        // It may have ended already; then there is nothing to do.
        let _ = self.child.kill().await;
    }
}
