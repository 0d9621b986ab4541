//! The environment as scripts from Windows ask for it.

use std::path::Path;

/// What some of Windows' variables are answered with.
#[derive(Clone, Debug, Default)]
pub struct Windows {
    /// `COMPUTERNAME`: the name of the server that the shell speaks to, without its domain.
    pub computer_name: String,
    /// `USERDNSDOMAIN`: the rest of that name.
    pub domain: String,
}

impl Windows {
    /// By the full name of the server.
    pub fn of_server(name: &str) -> Windows {
        let (computer_name, domain) = name.split_once('.').unwrap_or((name, ""));
        Windows { computer_name: computer_name.to_uppercase(), domain: domain.to_owned() }
    }

    /// A variable, by its name in any case: the real one, or what Windows would have.
    pub fn variable(&self, name: &str) -> Option<String> {
        let name = name.trim();
        // The server's own name comes first: it stands before a backslash in identities.
        if name.eq_ignore_ascii_case("COMPUTERNAME") && !self.computer_name.is_empty() {
            return Some(self.computer_name.clone());
        }
        if let Ok(value) = std::env::var(name) {
            return Some(value);
        }
        let real =
            std::env::vars_os().find(|(known, _)| known.to_str().is_some_and(|known| known.eq_ignore_ascii_case(name)));
        if let Some((_, value)) = real {
            return value.into_string().ok();
        }
        let home = || std::env::var("HOME").ok();
        let user = || std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).ok();
        let temporary = || Some(std::env::temp_dir().display().to_string());
        let fixed = |text: &str| Some(text.to_owned());
        match name.to_ascii_uppercase().as_str() {
            "TEMP" | "TMP" => temporary(),
            "USERNAME" => {
                user().or_else(|| home().and_then(|home| Some(Path::new(&home).file_name()?.to_str()?.to_owned())))
            }
            "USERPROFILE" | "HOMEPATH" | "APPDATA" | "LOCALAPPDATA" => home(),
            "HOMEDRIVE" => fixed(""),
            "USERDOMAIN" => Some(self.domain.split('.').next().unwrap_or_default().to_uppercase()),
            "USERDNSDOMAIN" => Some(self.domain.to_uppercase()),
            "SYSTEMDRIVE" => fixed("C:"),
            "SYSTEMROOT" | "WINDIR" => fixed(r"C:\Windows"),
            "PROGRAMFILES" | "PROGRAMW6432" => fixed(r"C:\Program Files"),
            "PROGRAMDATA" | "ALLUSERSPROFILE" => fixed(r"C:\ProgramData"),
            "EXCHANGEINSTALLPATH" => fixed(r"C:\Program Files\Microsoft\Exchange Server\V15\"),
            "NUMBER_OF_PROCESSORS" => Some(std::thread::available_parallelism().map_or(1, usize::from).to_string()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_windows_are_answered() {
        let windows = Windows::of_server("mx1.contoso.com");
        for (name, expected) in [
            ("computername", "MX1"),
            ("UserDnsDomain", "CONTOSO.COM"),
            ("USERDOMAIN", "CONTOSO"),
            ("SystemDrive", "C:"),
        ] {
            assert_eq!(windows.variable(name).as_deref(), Some(expected), "{name}");
        }
        assert_eq!(windows.variable("Path"), std::env::var("PATH").ok());
        assert!(windows.variable("temp").is_some_and(|folder| Path::new(&folder).is_dir()));
        assert_eq!(windows.variable("no such variable"), None);
    }
}
