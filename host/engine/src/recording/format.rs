//! The format of a recording: JSON Lines. The first one is a [`Header`], then there is an [`Entry`] for each call, in the
//! order of their ends, and an [`End`].

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::host::PluginName;
use crate::settings::{Grants, PluginLimits, PluginSpec};
use crate::types::{Failure, ServerInfo};

/// Of the format.
const VERSION: u32 = 1;

/// What the calls ran on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Header {
    /// Also tells recordings from other files.
    pub(crate) shaddock_recording: u32,
    pub(crate) plugin: Arc<str>,
    pub(crate) digest: Arc<str>,
    pub(crate) server: ServerInfo,
    pub(crate) server_types: Vec<String>,
    pub(crate) settings: String,
    pub(crate) grants: Grants,
    pub(crate) limits: PluginLimits,
}

impl Header {
    pub(crate) fn new(spec: &PluginSpec, name: &PluginName, server: ServerInfo) -> Self {
        Self {
            shaddock_recording: VERSION,
            plugin: name.name.clone(),
            digest: name.digest.clone(),
            server,
            server_types: spec.server_types.clone(),
            settings: spec.settings.clone(),
            grants: spec.grants,
            limits: spec.limits.clone(),
        }
    }
}

/// One call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// In the order in which they began.
    pub(crate) call: u64,
    /// The instance that served it. Each begins with the entry of its `init`.
    pub(crate) instance: u64,
    /// The route, the method, or another name under which it ran.
    pub(crate) name: Arc<str>,
    /// A [`Job`](crate::job::Job).
    pub(crate) input: Value,
    /// What it asked the host for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) host: Vec<Step>,
    pub(crate) outcome: Outcome,
}

/// A call of a host function.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Step {
    /// `interface.function`.
    #[serde(rename = "do")]
    pub(crate) function: String,
    #[serde(rename = "with")]
    pub(crate) arguments: Value,
    /// None: there was none before the call ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) answer: Option<Value>,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Outcome {
    Ok(Value),
    Failure(Failure),
    Error {
        kind: String,
        message: String,
    },
    /// Its deadline passed, or nobody waited for it any more.
    GivenUp,
}

/// The last line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct End {
    /// It had as many bytes as it may have.
    pub(crate) is_full: bool,
    /// Calls that had begun and are not in it.
    pub(crate) left_out: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Line<'a> {
    End(End),
    #[serde(untagged)]
    Header(&'a Header),
    #[serde(untagged)]
    Call(&'a Entry),
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct EndLine {
    end: End,
}

/// A recording that has been read.
#[derive(Debug)]
pub struct Recording {
    pub(crate) header: Header,
    /// By instance, in the order in which the calls began.
    pub(crate) instances: BTreeMap<u64, Vec<Entry>>,
    pub(crate) end: Option<End>,
}

/// A file that is no recording.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct RecordingError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

impl Recording {
    /// Reads what `shaddock plugin record` has written.
    ///
    /// # Errors
    /// At the first line that is not of the format. A recording whose end is missing is fine.
    pub fn parse(text: &str) -> Result<Self, RecordingError> {
        let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let failed = |line: usize, reason: String| RecordingError { line: line + 1, reason };
        let (first, line) = lines.next().ok_or_else(|| failed(0, "the file is empty".into()))?;
        let header: Header = serde_json::from_str(line).map_err(|error| {
            failed(first, format!("this is no recording of `shaddock plugin record`: {error}"))
        })?;
        if header.shaddock_recording != VERSION {
            let found = header.shaddock_recording;
            let reason = format!("a recording of format {found}; this program reads format {VERSION}");
            return Err(failed(first, reason));
        }
        let mut recording = Self { header, instances: BTreeMap::new(), end: None };
        for (number, line) in lines {
            match serde_json::from_str::<Entry>(line) {
                Ok(entry) => recording.instances.entry(entry.instance).or_default().push(entry),
                Err(error) => match serde_json::from_str(line) {
                    Ok(EndLine { end }) => recording.end = Some(end),
                    Err(_) => return Err(failed(number, error.to_string())),
                },
            }
        }
        for entries in recording.instances.values_mut() {
            entries.sort_by_key(|entry| entry.call);
        }
        Ok(recording)
    }

    /// The plugin's name.
    pub fn plugin(&self) -> &str {
        &self.header.plugin
    }

    /// sha256 of the component that ran, 64 hex digits.
    pub fn digest(&self) -> &str {
        &self.header.digest
    }

    /// What one instance may have.
    pub fn memory_bytes_max(&self) -> u64 {
        self.header.limits.memory_bytes_max
    }

    /// What is not in it, in words; none if it is all there.
    pub fn incomplete(&self) -> Option<String> {
        match self.end {
            None => Some("the file has no end: what follows is lost".to_owned()),
            Some(End { is_full: true, left_out }) => Some(format!(
                "the recording was full before its time was over; {left_out} calls that had begun are not in it"
            )),
            Some(End { left_out: left_out @ 1.., .. }) => {
                Some(format!("{left_out} calls had not ended when the recording did, and are not in it"))
            }
            Some(_) => None,
        }
    }

    /// The id of the server on which it ran.
    pub fn server(&self) -> &str {
        &self.header.server.id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_recording_is_refused_with_its_line() {
        let error = |text: &str| Recording::parse(text).unwrap_err().to_string();
        assert_eq!(error(""), "line 1: the file is empty");
        assert!(
            error("{\"plugin\":\"chat\"}")
                .starts_with("line 1: this is no recording of `shaddock plugin record`")
        );
        let header = Header {
            shaddock_recording: 2,
            plugin: "chat".into(),
            digest: "ab".into(),
            server: ServerInfo {
                id: "chat-1".into(),
                server_type: "chat".into(),
                frontend: false,
                host: "h".into(),
                port: None,
                client_host: None,
                client_port: None,
                fields: "{}".into(),
            },
            server_types: vec!["chat".into()],
            settings: "{}".into(),
            grants: Grants::default(),
            limits: PluginLimits::default(),
        };
        let text = serde_json::to_string(&Line::Header(&header)).unwrap();
        assert_eq!(error(&text), "line 1: a recording of format 2; this program reads format 1");
        let text = text.replacen("\"shaddock_recording\":2", "\"shaddock_recording\":1", 1);
        assert!(error(&format!("{text}\n\n{{\"call\":1}}\n")).starts_with("line 3: missing field"));
        let end = serde_json::to_string(&Line::End(End { is_full: true, left_out: 3 })).unwrap();
        assert_eq!(end, r#"{"end":{"is_full":true,"left_out":3}}"#);
        let recording = Recording::parse(&format!("{text}\n{end}\n")).unwrap();
        assert_eq!((recording.server(), recording.end.map(|end| end.left_out)), ("chat-1", Some(3)));
    }
}
