//! `shaddock add`: a server more for the running cluster.

use std::time::Duration;

use serde_json::{Map, Value, json};
use shaddock_master::control::{Added, ServerStatus, ToolRequest};

use crate::args::AddArgs;
use crate::exit::{Code, Failure};
use crate::screen::{self, Task};
use crate::{listing, tools};

/// How long a server that does not get ready may take to be ended, and the answer to come.
const REST: Duration = Duration::from_secs(10);
/// Fields that are texts even if they look like something else.
const TEXTS: [&str; 5] = ["id", "host", "serverType", "clientHost", "listenHost"];

/// Adds what the options and the `key=value` words say.
pub(crate) fn run(args: &AddArgs) -> Result<(), Failure> {
    let request = ToolRequest::Add { entry: entry(args)?, ready_timeout_s: args.ready_timeout };
    let json = args.tool.json.json;
    let task = Task::begin("starting", json);
    let limit = Duration::from_secs(args.ready_timeout) + REST;
    let added: Added = tools::ask(&args.tool, &request, limit)?;
    drop(task);
    match added {
        Added::Ready { servers, warnings } => {
            print(&servers, &warnings, json);
            Ok(())
        }
        Added::Invalid { error, problems } => {
            let details = json!({ "problems": problems });
            Err(Failure::message(Code::Usage, error).with_details(details))
        }
        Added::Running { id, pid } => {
            let holder = pid.map_or_else(String::new, |pid| format!(" (process {pid})"));
            let text = format!("the server {id} is running already{holder}");
            Err(Failure::message(Code::AlreadyRunning, text))
        }
        Added::Unknown { id } => {
            let text = format!(
                "the cluster has no server {id:?}; one that is new needs at least --type, --id, --host and --port"
            );
            Err(Failure::message(Code::NoMatch, text))
        }
        Added::Failed { servers } => {
            let lines: Vec<String> = servers.iter().map(ToString::to_string).collect();
            let text = format!("not added: {}", lines.join("\n"));
            Err(Failure::message(Code::Failed, text).with_details(json!({ "servers": servers })))
        }
    }
}

fn print(servers: &[ServerStatus], warnings: &[String], json: bool) {
    let ids: Vec<&str> = servers.iter().map(|server| server.id.as_str()).collect();
    if json {
        screen::print(json!({ "added": ids, "servers": servers, "warnings": warnings }));
        return;
    }
    for warning in warnings {
        screen::line(format_args!("warning: {warning}"));
    }
    screen::print(listing::servers(servers));
}

/// The entry as servers.json would have it. The words are pomelo's form; no field is named twice.
fn entry(args: &AddArgs) -> Result<Map<String, Value>, Failure> {
    let text = |key: &str, value: &Option<String>| value.clone().map(|v| (key.to_owned(), Value::from(v)));
    let port = |key: &str, port: Option<u16>| port.map(|port| (key.to_owned(), Value::from(port)));
    let options = [
        text("serverType", &args.server_type),
        text("id", &args.id),
        text("host", &args.host),
        port("port", args.port),
        port("clientPort", args.client_port),
        args.frontend.then(|| ("frontend".to_owned(), true.into())),
    ];
    let mut entry = Map::new();
    let words =
        args.field.iter().chain(&args.fields).map(|word| field(word)).collect::<Result<Vec<_>, _>>()?;
    for (key, value) in options.into_iter().flatten().chain(words) {
        if entry.contains_key(&key) {
            return Err(Failure::message(Code::Usage, format_args!("{key:?} is given twice")));
        }
        entry.insert(key, value);
    }
    if entry.is_empty() {
        let text =
            "nothing to add: give --type, --id, --host and --port, or the --id of a server that has stopped";
        return Err(Failure::message(Code::Usage, text));
    }
    Ok(entry)
}

/// Reads `key=value`; the value is JSON if it can be, else a text.
fn field(word: &str) -> Result<(String, Value), Failure> {
    let (key, value) = word.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or_else(|| {
        Failure::message(Code::Usage, format_args!("found {word:?}; allowed: key=value, such as zone=eu"))
    })?;
    let text = || Value::from(value);
    let value =
        if TEXTS.contains(&key) { text() } else { serde_json::from_str(value).unwrap_or_else(|_| text()) };
    Ok((key.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    fn entry_of(words: &[&str]) -> Result<Value, String> {
        let cli = Cli::try_parse_from(["shaddock", "add"].iter().chain(words)).unwrap();
        let Command::Add(args) = cli.command else { panic!("another command") };
        entry(&args).map(Value::Object).map_err(|failure| failure.text())
    }

    #[test]
    fn options_and_pomelos_words_say_the_same() {
        let expected =
            json!({"serverType": "chat", "id": "7", "host": "127.0.0.1", "port": 6053, "zone": "eu"});
        let options =
            ["--type", "chat", "--id", "7", "--host", "127.0.0.1", "--port", "6053", "--field", "zone=eu"];
        assert_eq!(entry_of(&options), Ok(expected.clone()));
        let words = ["serverType=chat", "id=7", "host=127.0.0.1", "port=6053", "zone=eu"];
        assert_eq!(entry_of(&words), Ok(expected));
        let counted = json!({"clusterCount": 2, "port": "3150++", "frontend": true, "clientPort": 3050});
        let words = ["clusterCount=2", "port=3150++", "--frontend", "--client-port", "3050"];
        assert_eq!(entry_of(&words), Ok(counted));
    }

    #[test]
    fn what_is_no_field_or_is_given_twice_is_refused() {
        for words in [&["--id", "a", "id=b"][..], &["=x"], &["chat"], &[]] {
            entry_of(words).unwrap_err();
        }
    }
}
