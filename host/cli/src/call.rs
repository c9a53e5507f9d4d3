//! `shaddock call`: one message to a running cluster, by the way that clients take.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use serde_json::Value;
use shaddock_master::control::{Listing, ToolRequest};
use shaddock_wire::client::{Codec, Delivery, HandshakeReply, Hello, ack_package, kick_reason};
use shaddock_wire::package::{self, Package, PackageKind};
use shaddock_wire::protocol::heartbeat_package;

use crate::args::CallArgs;
use crate::exit::{Code, Failure};
use crate::{configuration, paths, screen, tools};

/// How long the server may take for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// The only request of a connection.
const REQUEST_ID: u32 = 1;
/// An answer with such a code, or a higher one, is an error.
const ERROR_CODE_MIN: u64 = 400;

/// `shaddock call`
pub(crate) fn run(args: &CallArgs) -> Result<(), Failure> {
    let body: Value = serde_json::from_str(&args.body).map_err(|error| {
        Failure::message(
            Code::Usage,
            format_args!(
                "the body is no JSON: {error}; in a shell it goes into single quotes: '{{\"name\":\"Ada\"}}'"
            ),
        )
    })?;
    let address = match &args.address {
        Some(address) => address.clone(),
        None => frontend(args)?,
    };
    let mut client = Client::connect(&address)?;
    if args.notify {
        client.notify(&args.route, &body)?;
        return Ok(client.listen(Duration::from_millis(args.wait_ms))?);
    }
    let answer = client.request(&args.route, &body)?;
    screen::print(&answer);
    client.listen(Duration::from_millis(args.wait_ms))?;
    match code(&answer) {
        Some(code) if code >= ERROR_CODE_MIN => {
            let text = format!("{} answered with code {code}; the servers' log says why", args.route);
            Err(Failure::message(Code::Failed, text).printed(args.tool.json.json))
        }
        _ => Ok(()),
    }
}

fn code(answer: &str) -> Option<u64> {
    let answer: Value = serde_json::from_str(answer).ok()?;
    answer.get("code")?.as_u64()
}

/// A frontend of the running cluster: one of the type that the route names, else the first.
fn frontend(args: &CallArgs) -> Result<String, Failure> {
    let listing: Listing = tools::ask(&args.tool, &ToolRequest::List, tools::ANSWER_TIMEOUT)?;
    let server_type = args.route.split('.').next().unwrap_or_default();
    let port = |ports: &serde_json::Map<String, Value>| ports.get("client").and_then(Value::as_u64);
    let ready = listing.servers.iter().filter(|server| server.phase == "ready");
    let mut frontends: Vec<_> = ready.filter_map(|server| Some((server, port(&server.ports)?))).collect();
    frontends.sort_by_key(|(server, _)| server.server_type != server_type);
    let Some((server, port)) = frontends.first() else {
        return Err(Failure::message(
            Code::NoMatch,
            "no frontend of the cluster is ready; see `shaddock list`",
        ));
    };
    let cluster = &args.tool.cluster;
    let config = configuration::load(&paths::config_dir(cluster)?, &cluster.env)?;
    let entry = config.servers.iter().find(|entry| entry.id == server.id);
    Ok(format!("{}:{port}", entry.map_or("127.0.0.1", |entry| entry.host_for_clients())))
}

/// A connection that has shaken hands.
struct Client {
    socket: TcpStream,
    buffer: bytes::BytesMut,
    codec: Codec,
}

impl Client {
    fn connect(address: &str) -> anyhow::Result<Client> {
        let mut addresses = address.to_socket_addrs().with_context(|| format!("the address {address:?}"))?;
        let first = addresses.next().ok_or_else(|| anyhow!("{address:?} is no address"))?;
        let socket = TcpStream::connect_timeout(&first, PATIENCE)
            .with_context(|| format!("connecting to {address}"))?;
        socket.set_nodelay(true)?;
        let mut client = Client { socket, buffer: bytes::BytesMut::new(), codec: Codec::default() };
        let hello = Hello { client_type: Some("shaddock-call".to_owned()), ..Hello::default() };
        client.socket.write_all(&hello.package()?)?;
        let until = Instant::now() + PATIENCE;
        let reply =
            client.package(until)?.with_context(|| format!("{address} did not answer the handshake"))?;
        if reply.kind != PackageKind::Handshake {
            bail!("{address} does not speak the protocol of clients");
        }
        let reply = HandshakeReply::parse(&reply.body)?;
        if reply.code != 200 {
            bail!("{address} refused the handshake with code {}", reply.code);
        }
        client.codec = Codec::new(&reply, None)?;
        client.socket.write_all(&ack_package())?;
        Ok(client)
    }

    fn notify(&mut self, route: &str, body: &Value) -> anyhow::Result<()> {
        let mut out = bytes::BytesMut::new();
        self.codec.encode_notify(route, body.to_string().as_bytes(), &mut out)?;
        Ok(self.socket.write_all(&out)?)
    }

    /// The answer as it came.
    fn request(&mut self, route: &str, body: &Value) -> anyhow::Result<String> {
        let mut out = bytes::BytesMut::new();
        self.codec.encode_request(REQUEST_ID, route, body.to_string().as_bytes(), &mut out)?;
        self.socket.write_all(&out)?;
        let answer = self.hear(route, Instant::now() + PATIENCE)?;
        let answer =
            answer.with_context(|| format!("no answer to {route} within {} s", PATIENCE.as_secs()))?;
        if answer.is_empty() {
            bail!(
                "the answer to {route} does not fit its schema in serverProtos.json: the server sent nothing"
            );
        }
        Ok(answer)
    }

    /// Tells pushes for so long.
    fn listen(&mut self, time: Duration) -> anyhow::Result<()> {
        self.hear("", Instant::now() + time).map(drop)
    }

    /// Tells pushes until the answer comes, or none until then.
    fn hear(&mut self, route: &str, until: Instant) -> anyhow::Result<Option<String>> {
        while let Some(package) = self.package(until)? {
            match package.kind {
                PackageKind::Heartbeat => self.socket.write_all(&heartbeat_package())?,
                PackageKind::Kick => {
                    bail!("the server closed the connection: {}", kick_reason(&package.body))
                }
                PackageKind::Data => match self.codec.decode(package.body, |_| Some(route))? {
                    Delivery::Response { body, .. } => return Ok(Some(String::from_utf8(body.to_vec())?)),
                    Delivery::Push { route, body } => {
                        screen::line(format_args!("push {} {}", &*route, String::from_utf8_lossy(&body)));
                    }
                },
                other => bail!("the server sent a package that makes no sense here ({other:?})"),
            }
        }
        Ok(None)
    }

    /// The next package; none if none comes until then.
    fn package(&mut self, until: Instant) -> anyhow::Result<Option<Package>> {
        loop {
            if let Some(package) = package::decode(&mut self.buffer, package::BODY_BYTES_MAX)? {
                return Ok(Some(package));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.socket.set_read_timeout(Some(left))?;
            let mut space = [0; 4096];
            match self.socket.read(&mut space) {
                Ok(0) => bail!("the server closed the connection"),
                Ok(read) => self.buffer.extend_from_slice(space.get(..read).unwrap_or_default()),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => return Err(error).context("reading from the server"),
            }
        }
    }
}
