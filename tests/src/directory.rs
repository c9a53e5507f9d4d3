//! A configuration directory of the repository, copied with other ports.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::config::write;
use crate::{Ports, component};

/// Fields of master.json and servers.json that hold a port.
const PORTS: [&str; 3] = ["port", "clientPort", "webPort"];

/// Copies the JSON files of a directory. Ports become free ones, and components those that the tests use. Answers which
/// port became which.
pub(crate) fn copy(from: &Path, to: &Path, ports: &mut Ports) -> BTreeMap<u16, u16> {
    std::fs::create_dir_all(to).unwrap();
    let mut exchanged = BTreeMap::new();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let name = path.file_name().unwrap().to_str().unwrap();
        let mut content: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        match name {
            "master.json" | "servers.json" => exchange(&mut content, ports, &mut exchanged),
            "plugins.json" => name_components(&mut content),
            _ => {}
        }
        write(to, name, &content);
    }
    exchanged
}

/// Exchanges the ports of all entries, at whatever depth they are.
fn exchange(value: &mut Value, ports: &mut Ports, exchanged: &mut BTreeMap<u16, u16>) {
    let Value::Object(fields) = value else {
        for item in value.as_array_mut().into_iter().flatten() {
            exchange(item, ports, exchanged);
        }
        return;
    };
    let count = fields.get("clusterCount").and_then(Value::as_u64).unwrap_or(1);
    for (name, field) in fields.iter_mut() {
        match (field.as_u64(), field.as_str().and_then(|text| text.strip_suffix("++"))) {
            (Some(port), _) if PORTS.contains(&&**name) => {
                let port = u16::try_from(port).unwrap();
                *field = (*exchanged.entry(port).or_insert_with(|| ports.pick())).into();
            }
            (_, Some(first)) if PORTS.contains(&&**name) => {
                let (first, run) = (first.parse().unwrap(), ports.pick_run(usize::try_from(count).unwrap()));
                *field = format!("{}++", run[0]).into();
                exchanged.extend((first..).zip(run));
            }
            _ => exchange(field, ports, exchanged),
        }
    }
}

fn name_components(plugins: &mut Value) {
    for plugin in plugins.as_object_mut().unwrap().values_mut() {
        let name = Path::new(plugin["component"].as_str().unwrap()).file_stem().unwrap().to_owned();
        plugin["component"] = serde_json::json!(component(name.to_str().unwrap()));
    }
}
