//! `shaddock check`: the configuration, and every plugin loaded once.

use anyhow::Context;
use serde_json::json;
use shaddock_engine::Cache;

use crate::args::CheckArgs;
use crate::exit::{Code, Failure};
use crate::{configuration, logging, one_thread, paths, plugins, screen};

/// Checks everything that can be checked without opening a port.
pub(crate) fn run(args: &CheckArgs) -> Result<(), Failure> {
    logging::start(&args.log, None)?;
    let config_dir = paths::config_dir(&args.cluster)?;
    let config = configuration::load(&config_dir, &args.cluster.env)?;
    let json = args.json.json;
    if !json {
        configuration::warn(&config);
    }
    let cache = Cache::open(&paths::cache_dir(args.cache.cache_dir.as_deref())?)?;
    let mut checked = one_thread()?.block_on(async {
        plugins::prepare(&config, &cache, json).await?;
        Ok::<_, Failure>(shaddock_server::check(&config, &cache).await?)
    });
    if let Err(failure) = &mut checked {
        failure.code = Code::Usage;
    }
    let checked = checked?;
    if !checked.problems.is_empty() {
        let problems: Vec<String> = checked.problems.iter().map(ToString::to_string).collect();
        let details = json!({ "problems": problems });
        return Err(Failure::message(Code::Usage, problems.join("\n")).with_details(details));
    }
    if json {
        let plugins = serde_json::to_value(&checked.plugins).context("the result as JSON")?;
        let result = json!({
            "ok": true,
            "env": config.env,
            "servers": config.servers.iter().map(|server| &server.id).collect::<Vec<_>>(),
            "plugins": plugins,
            "warnings": config.warnings,
        });
        screen::print(result);
        return Ok(());
    }
    for plugin in &checked.plugins {
        let (routes, methods, types) = (plugin.routes.len(), plugin.methods.len(), plugin.router_types.len());
        screen::print(format_args!(
            "plugin {} {}: {routes} routes, {methods} remote methods, {types} route functions",
            plugin.name, plugin.version
        ));
    }
    screen::print(format_args!(
        "{}: {} servers of {} types, {} plugins: all sound",
        config.env,
        config.servers.len(),
        config.types().len(),
        config.plugins.len()
    ));
    Ok(())
}
