//! Loading a whole configuration: every file is read, whatever is wrong with the others.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Map, Value};

use crate::crosscheck::{self, Master};
use crate::problem::Findings;
use crate::server::ServerEntry;
use crate::servers::Listed;
use crate::source::{Directory, Opened};
use crate::{
    Config, ConfigError, MasterEntry, app, crons, dictionary, master, plugins, protos, servers, tokens,
};

/// Loads and checks everything below a directory.
pub(crate) fn load(dir: &Path, env: &str) -> Result<Config, ConfigError> {
    check_env(env)?;
    let absolute = readable(dir).map_err(|source| ConfigError::Directory { path: dir.to_owned(), source })?;
    let mut findings = Findings::default();
    let loaded = load_files(&Directory { dir, env }, &mut findings);
    let (mut config, warnings) = findings.finish(loaded)?;
    config.dir = absolute;
    config.warnings = warnings;
    Ok(config)
}

/// Loads and checks master.json alone.
pub(crate) fn load_master(dir: &Path, env: &str) -> Result<MasterEntry, ConfigError> {
    check_env(env)?;
    readable(dir).map_err(|source| ConfigError::Directory { path: dir.to_owned(), source })?;
    let mut findings = Findings::default();
    let file = Directory { dir, env }.open_required("master.json", &mut findings);
    let section = file.source().and_then(|file| file.section(env, master::is_section, &mut findings));
    let master = section.and_then(|section| master::read(&section, &mut findings));
    Ok(findings.finish(master)?.0)
}

/// An environment is a key in files and the name of a directory.
fn check_env(env: &str) -> Result<(), ConfigError> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let sound = (1..=64).contains(&env.len()) && env.chars().all(fine);
    sound.then_some(()).ok_or_else(|| ConfigError::Environment(env.to_owned()))
}

fn readable(dir: &Path) -> std::io::Result<std::path::PathBuf> {
    std::fs::read_dir(dir)?;
    dir.canonicalize()
}

fn load_files(files: &Directory<'_>, findings: &mut Findings) -> Option<Config> {
    let (dir, env) = (files.dir, files.env);
    let master_file = files.open_required("master.json", findings);
    let section = master_file.source().and_then(|file| file.section(env, master::is_section, findings));
    let master: Master<'_> = section.and_then(|spot| Some((master::read(&spot, findings)?, spot)));

    let servers_file = files.open_required("servers.json", findings);
    let section = servers_file.source().and_then(|file| file.section(env, servers::is_section, findings));
    let servers = section.as_ref().and_then(|spot| servers::read(spot, findings));
    let types = servers.as_ref().map(|servers| &servers.types);

    let plugins_file = files.open("plugins.json", findings);
    let surroundings = plugins::Surroundings { dir, types };
    let plugins = plugins_file.source().and_then(|file| {
        let section = file.section(env, plugins::is_section, findings)?;
        Some(plugins::read(&section, &surroundings, findings))
    });
    let plugins_known = plugins.is_some() || matches!(plugins_file, Opened::Absent);
    let plugins = plugins.unwrap_or_default();

    let app_file = files.open("app.json", findings);
    let app_section = app_file
        .source()
        .and_then(|file| file.section(env, |member| app::is_section(member, types), findings));
    let app = app_section.as_ref().map(|section| app::read(section, types, findings));

    if let (Some(section), Some(servers)) = (&section, &servers) {
        crosscheck::ids(&master, &servers.entries, findings);
        crosscheck::ports(&master, &servers.entries, findings);
        if plugins_known {
            crosscheck::unserved(section, servers, &plugins, findings);
        }
        crosscheck::uncallable(servers, findings);
        if let Some(app_section) = &app_section {
            crosscheck::connectors(app_section, servers, findings);
        }
    }
    let crons_file = files.open("crons.json", findings);
    let crons_section = crons_file.source().and_then(|file| file.section(env, servers::is_section, findings));
    let crons = crons_section.map(|section| crons::read(&section, servers.as_ref(), findings));
    let dictionary_file = files.open("dictionary.json", findings);
    let dictionary = dictionary_file.source().map(|file| dictionary::read(&file.whole(), findings));
    let client_protos = read_protos("clientProtos.json", files, findings);
    let server_protos = read_protos("serverProtos.json", files, findings);
    let admin_tokens = read_tokens(files, types, findings);
    Some(Config {
        env: env.to_owned(),
        dir: dir.to_owned(),
        master: master?.0,
        servers: sorted(servers?.entries),
        plugins,
        app: app.unwrap_or_default(),
        crons: crons.unwrap_or_default(),
        dictionary: dictionary.unwrap_or_default(),
        client_protos,
        server_protos,
        admin_tokens,
        warnings: Vec::new(),
    })
}

fn read_protos(name: &str, files: &Directory<'_>, findings: &mut Findings) -> Value {
    let file = files.open(name, findings);
    file.source().map_or_else(|| Value::Object(Map::new()), |file| protos::read(&file.whole(), findings))
}

fn read_tokens(
    files: &Directory<'_>,
    types: Option<&BTreeSet<&str>>,
    findings: &mut Findings,
) -> Option<std::collections::BTreeMap<String, String>> {
    let file = files.open("adminServer.json", findings);
    file.source().map(|file| tokens::read(&file.whole(), types, findings))
}

fn sorted(entries: Vec<Listed<'_>>) -> Vec<ServerEntry> {
    let mut servers: Vec<_> = entries.into_iter().map(|listed| listed.server).collect();
    servers.sort_by(|a, b| a.id.cmp(&b.id));
    servers
}
