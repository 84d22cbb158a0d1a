//! The configuration: part of the image, and therefore of its measurement.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// All of it. Unknown keys are refused.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Kernel modules, file names in `/lib/modules`, loaded in this order.
    #[serde(default)]
    pub modules: Vec<String>,
    /// Whom to tell that the enclave has booted; nobody if absent.
    pub heartbeat: Option<Heartbeat>,
    /// `steve-proxy serve`.
    pub proxy: Program,
    /// The app behind it, started before it.
    pub app: Program,
}

/// A vsock address of the parent.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heartbeat {
    /// The parent's CID: 3 on Nitro.
    pub cid: u32,
    /// The port on which it waits for the heartbeat: 9000 on Nitro.
    pub port: u32,
}

/// A program to run until the enclave ends.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// Absolute path and arguments. No shell reads it.
    pub command: Vec<String>,
    /// The environment; there is nothing else in it but a `PATH`, which can be replaced here.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
}

/// What is wrong with the configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read it: {0}")]
    Read(#[from] io::Error),
    /// Not JSON, an unknown or missing key, or a value of the wrong type.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// A module is not named by a plain file name.
    #[error("modules: \"{0}\" must be the name of a file in /lib/modules")]
    Module(String),
    /// A command does not begin with an absolute path.
    #[error("{0}.command: must be an absolute path and arguments")]
    Command(&'static str),
    /// A variable that no process can be given.
    #[error("{0}.environment: \"{1}\" is no name of a variable")]
    Variable(&'static str, String),
    /// NUL ends strings in the kernel's interface.
    #[error("{0}: NUL is not possible in arguments and variables")]
    Nul(&'static str),
}

impl Config {
    /// Reads the file and checks it.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        Self::parse(&std::fs::read(path)?)
    }

    /// Parses JSON and checks what can be checked before anything is started.
    pub fn parse(json: &[u8]) -> Result<Self, ConfigError> {
        let config: Self = serde_json::from_slice(json)?;
        for module in &config.modules {
            if module.is_empty() || module.starts_with('.') || module.contains(['/', '\0']) {
                return Err(ConfigError::Module(module.clone()));
            }
        }
        config.proxy.check("proxy")?;
        config.app.check("app")?;
        Ok(config)
    }
}

impl Program {
    fn check(&self, name: &'static str) -> Result<(), ConfigError> {
        if !self.command.first().is_some_and(|path| path.starts_with('/')) {
            return Err(ConfigError::Command(name));
        }
        for variable in self.environment.keys() {
            if variable.is_empty() || variable.contains('=') {
                return Err(ConfigError::Variable(name, variable.clone()));
            }
        }
        let variables = self.environment.iter().flat_map(|(name, value)| [name, value]);
        if self.command.iter().chain(variables).any(|text| text.contains('\0')) {
            return Err(ConfigError::Nul(name));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALLEST: &str = r#"{"proxy": {"command": ["/p"]}, "app": {"command": ["/a", "-x"]}}"#;

    fn refusal(from: &str, to: &str) -> String {
        let json = SMALLEST.replace(from, to);
        assert_ne!(json, SMALLEST);
        Config::parse(json.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn what_is_optional_may_be_absent() {
        let config = Config::parse(SMALLEST.as_bytes()).unwrap();
        assert!(config.modules.is_empty() && config.heartbeat.is_none());
        assert!(config.app.environment.is_empty());
        assert_eq!(config.app.command, ["/a", "-x"]);
    }

    #[test]
    fn everything_can_be_given() {
        let config = Config::parse(
            br#"{
                "modules": ["vsock.ko", "nsm.ko"],
                "heartbeat": {"cid": 3, "port": 9000},
                "proxy": {"command": ["/p"], "environment": {"A": "b=c"}},
                "app": {"command": ["/a"], "environment": {}}
            }"#,
        )
        .unwrap();
        assert_eq!(config.modules, ["vsock.ko", "nsm.ko"]);
        assert_eq!(config.heartbeat.map(|parent| (parent.cid, parent.port)), Some((3, 9000)));
        assert_eq!(config.proxy.environment["A"], "b=c");
    }

    #[test]
    fn unknown_keys_are_refused_and_named() {
        for (from, to) in [
            (r#"{"proxy""#, r#"{"prxy": 1, "proxy""#),
            (r#"["/p"]"#, r#"["/p"], "prxy": {}"#),
            (r#"{"proxy""#, r#"{"heartbeat": {"cid": 3, "port": 9, "prxy": 1}, "proxy""#),
        ] {
            let refusal = refusal(from, to);
            assert!(refusal.contains("unknown field `prxy`"), "{refusal}");
        }
    }

    #[test]
    fn modules_are_plain_file_names() {
        for name in ["", ".", "..", "../vsock.ko", "/vsock.ko", "a/vsock.ko"] {
            let to = format!(r#"{{"modules": ["{name}"], "proxy""#);
            assert!(refusal(r#"{"proxy""#, &to).contains("/lib/modules"), "{name}");
        }
    }

    #[test]
    fn programs_can_be_started() {
        for command in ["[]", r#"["p"]"#, r#"["./p"]"#, r#"[""]"#] {
            assert!(refusal(r#"["/p"]"#, command).starts_with("proxy.command"), "{command}");
        }
        for (name, expected) in [("", "no name"), ("A=B", "no name"), (r"A\u0000", "NUL")] {
            let to = format!(r#""-x"], "environment": {{"{name}": "1"}}"#);
            let refusal = refusal(r#""-x"]"#, &to);
            assert!(refusal.starts_with("app") && refusal.contains(expected), "{refusal}");
        }
        assert!(refusal("-x", r"-x\u0000").contains("NUL"));
    }

    #[test]
    fn a_missing_file_is_named_as_such() {
        let error = Config::read(Path::new("/nowhere/init.json")).unwrap_err();
        assert!(matches!(error, ConfigError::Read(_)));
    }
}
